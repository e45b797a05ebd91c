// SPDX-License-Identifier: MIT
/* test_liars.c - a device on loopback, and everybody who means it no good or has gone away */
#include "base/rng.h"
#include "linkworld.h"
#include "sys/flow.h"
#include "sys/hello.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- strangers, and liars who know the folder ---- */

static int raw_connect(struct world *w, uint16_t port, const char *from)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, me = to;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, from, &me.sin_addr);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	me.sin_port = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof(me)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	return fd;
}

/* Reads exactly len bytes, the loop turning meanwhile; false: closed by the other side. */
static bool raw_read(struct world *w, int fd, uint8_t *to, size_t len)
{
	uint64_t end = clock_usec() + DEADLINE_MS * 1000;

	for (size_t got = 0; got < len;) {
		ssize_t n = recv(fd, to + got, len - got, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		got += n > 0 ? (size_t)n : 0;
		if (n < 0)
			uv_run(&w->loop, UV_RUN_ONCE);
		assert_true(clock_usec() < end);
	}
	return true;
}

static bool raw_closed(struct world *w, int fd)
{
	uint8_t byte;
	bool open = true;

	while (open)
		open = raw_read(w, fd, &byte, 1);
	return true;
}

static void raw_write(struct world *w, int fd, const void *from, size_t len)
{
	for (size_t put = 0; put < len;) {
		ssize_t n = send(fd, (const uint8_t *)from + put, len - put,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return; /* it has thrown us out, which the caller looks for */
		put += n > 0 ? (size_t)n : 0;
		uv_run(&w->loop, UV_RUN_NOWAIT);
	}
	uv_run(&w->loop, UV_RUN_NOWAIT);
}

struct liar { /* a member that goes through the handshake with A and then says what it likes */
	int fd;
	struct noise_cipher out, in;
};

static struct liar liar_meet(struct world *w, uint8_t seed_byte)
{
	struct liar liar;
	struct sign_pair pair;
	struct hello_self self;
	struct hello *h = calloc(1, sizeof(*h));
	struct wr out = {0};
	uint8_t seed[32], in[HELLO_MAX + 2], hash[NOISE_HASH];
	int ups = w->a.ups;

	memset(seed, seed_byte, sizeof(seed));
	sign_pair_init(&pair, seed);
	assert_int_equal(hello_self_init(&self, &pair), ERR_OK);
	hello_init(h, &self, true, seed);
	liar.fd = raw_connect(w, w->a.port, "127.0.0.1");
	assert_int_equal(hello_write(h, &w->folder, false, &out), ERR_OK);
	raw_write(w, liar.fd, out.at, out.len);
	assert_true(raw_read(w, liar.fd, in, 2 + HELLO_SECOND));
	assert_int_equal(hello_read(h, (struct bytes){in + 2, HELLO_SECOND}), ERR_OK);
	wr_reset(&out);
	assert_int_equal(hello_write(h, &w->folder, false, &out), ERR_OK);
	raw_write(w, liar.fd, out.at, out.len);
	UNTIL(w, w->a.ups == ups + 1);
	noise_split(&h->noise, &liar.out, &liar.in, hash);
	assert_memory_equal(hash, w->a.hash, NOISE_HASH);
	hello_free(h);
	wr_fini(&out);
	return liar;
}

static void liar_frame(struct world *w, struct liar *l, struct bytes plain)
{
	uint8_t *frame = malloc(plain.len + NOISE_TAG + 2);

	frame[0] = (uint8_t)((plain.len + NOISE_TAG) >> 8);
	frame[1] = (uint8_t)(plain.len + NOISE_TAG);
	assert_int_equal(noise_seal(&l->out, plain, frame + 2), ERR_OK);
	raw_write(w, l->fd, frame, plain.len + NOISE_TAG + 2);
	free(frame);
}

/* Each of these ends the session with that error, and the next one is welcome. */
static void test_liars(void **state)
{
	static uint8_t long_part[FLOW_HEAD + FLOW_PART_MAX] = {LINK_BULK, 1};
	static const uint8_t bad_class[] = {2, 0, 'x'}, bad_flags[] = {0, 2, 'x'}, empty[] = {0, 0},
			     empty_more[] = {0, 1}, bad_ping[] = {0, 0, WIRE_PING, 1},
			     good[] = {0, 0, 77}, none[1] = {0};
	const struct {
		struct bytes plain;
		enum err why;
	} lies[] = {{BYTES_OF(bad_class), ERR_MALFORMED}, {BYTES_OF(bad_flags), ERR_MALFORMED},
		    {BYTES_OF(empty), ERR_MALFORMED},     {BYTES_OF(empty_more), ERR_MALFORMED},
		    {BYTES_OF(bad_ping), ERR_MALFORMED},  {{none, 1}, ERR_MALFORMED},
		    {{none, 0}, ERR_MALFORMED},           {BYTES_OF(long_part), ERR_MALFORMED}};
	struct world *w = world_new();

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(lies); k++) {
		struct liar l = liar_meet(w, 20);
		liar_frame(w, &l, BYTES_OF(good));
		UNTIL(w, w->a.messages == k + 1);
		/* a message beyond the limit takes many frames; all other lies one */
		for (size_t n = 0; lies[k].plain.len == sizeof(long_part) && n < 100; n++)
			liar_frame(w, &l, lies[k].plain);
		if (lies[k].plain.len != sizeof(long_part))
			liar_frame(w, &l, lies[k].plain);
		UNTIL(w, w->a.downs == (int)k + 1);
		assert_int_equal(w->a.down_why, lies[k].why);
		close(l.fd);
	}
	struct liar l = liar_meet(w, 20); /* bytes of the network, not of the peer */
	uint8_t noise[50] = {0, 48};
	raw_write(w, l.fd, noise, sizeof(noise));
	UNTIL(w, w->a.downs == w->a.ups);
	assert_int_equal(w->a.down_why, ERR_FORGED);
	close(l.fd);
	world_free(w);
}

static void test_peer_closes_mid_message(void **state)
{
	static uint8_t part[1000] = {LINK_BULK, 1, 'm'};
	struct world *w = world_new();

	(void)state;
	for (int half_frame = 0; half_frame < 2; half_frame++) {
		struct liar l = liar_meet(w, 21);
		liar_frame(w, &l, BYTES_OF(part));
		if (half_frame) {
			part[0] = 4; /* a length, to the other side */
			raw_write(w, l.fd, part, 500);
		}
		shutdown(l.fd, SHUT_WR);
		UNTIL(w, w->a.downs == half_frame + 1);
		assert_int_equal(w->a.down_why, ERR_CLOSED);
		assert_int_equal(w->a.messages, 0);
		close(l.fd);
	}
	world_free(w);
}

/* A device that comes again has lost its old session: the new one replaces it. */
static void test_newer_replaces(void **state)
{
	struct world *w = world_new();

	(void)state;
	struct liar one = liar_meet(w, 22), two = liar_meet(w, 22);
	assert_int_equal(w->a.ups, 2);
	assert_int_equal(w->a.downs, 1);
	assert_true(raw_closed(w, one.fd));
	close(one.fd);
	close(two.fd);
	world_free(w);
}

static void test_garbage_clients(void **state)
{
	struct world *w = world_new();
	struct rng rng;
	uint8_t noise[3000];

	(void)state;
	rng_init_number(&rng, 5);
	for (int round = 0; round < 60; round++) {
		int fd = raw_connect(w, w->b.port, "127.0.0.1");
		rng_bytes(&rng, noise, sizeof(noise));
		if (round % 3 == 0) { /* the right lengths, at least */
			noise[0] = 0;
			noise[1] = HELLO_FIRST;
		} else if (round % 3 == 1) {
			noise[0] = 0xff;
		}
		raw_write(w, fd, noise, 1 + rng_below(&rng, sizeof(noise)));
		shutdown(fd, SHUT_WR);
		assert_true(raw_closed(w, fd));
		close(fd);
	}
	assert_int_equal(w->b.asked + w->b.ups, 0);
	world_pair(w);
	world_free(w);
}

/* Whoever connects and says nothing is put out in time, and a flood of them keeps nobody out. */
static void test_half_open(void **state)
{
	const struct link_times hasty = {150, 15000, 45000, 20, 200};
	struct world *w = world_new();
	int fd[LINK_HALF_OPEN_MAX + 44], same[LINK_PER_ADDRESS_MAX + 1];
	char from[32];

	(void)state;
	link_times(w->b.link, &hasty);
	int lone = raw_connect(w, w->b.port, "127.0.0.1");
	uint64_t began = clock_usec();
	assert_true(raw_closed(w, lone));
	assert_true(clock_usec() - began < 5000000);
	close(lone);

	link_times(w->b.link, &world_quick);
	for (size_t k = 0; k < ARRAY_LEN(fd); k++) { /* ten addresses, more than the table */
		snprintf(from, sizeof(from), "127.0.1.%u", (unsigned)(k % 10 + 1));
		fd[k] = raw_connect(w, w->b.port, from);
	}
	world_pair(w);
	for (size_t k = 0; k < ARRAY_LEN(fd); k++)
		close(fd[k]);
	for (size_t k = 0; k < ARRAY_LEN(same); k++)
		same[k] = raw_connect(w, w->b.port, "127.0.2.1");
	assert_true(raw_closed(w, same[LINK_PER_ADDRESS_MAX])); /* one too many from there */
	for (size_t k = 0; k < ARRAY_LEN(same); k++)
		close(same[k]);
	world_free(w);
}

static void test_dead_peer(void **state)
{
	const struct link_times hasty = {2000, 20, 150, 20, 200};
	struct world *w = world_new();

	(void)state;
	link_times(w->a.link, &hasty);
	link_times(w->b.link, &hasty);
	struct liar l = liar_meet(w, 23); /* and then it is silent */
	UNTIL(w, w->a.downs == 1);
	assert_int_equal(w->a.down_why, ERR_TIMEDOUT);
	close(l.fd);

	world_dial(&w->a, &w->b, false); /* two that answer pings live on without a message */
	UNTIL(w, w->a.ups == 2 && w->b.ups == 1);
	uint64_t began = clock_usec();
	UNTIL(w, clock_usec() - began > 600000);
	assert_int_equal(w->a.downs, 1);
	assert_int_equal(w->b.downs, 0);
	assert_int_equal(w->a.messages + w->b.messages, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_liars),
		cmocka_unit_test(test_peer_closes_mid_message),
		cmocka_unit_test(test_newer_replaces),
		cmocka_unit_test(test_garbage_clients),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_dead_peer),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
