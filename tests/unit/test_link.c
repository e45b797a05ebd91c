// SPDX-License-Identifier: MIT
/* test_link.c - two devices on loopback, and everybody who is not one of them */
#include "base/rng.h"
#include "sys/clock.h"
#include "sys/flow.h"
#include "sys/hello.h"
#include "sys/link.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define DEADLINE_MS 20000
#define FOLDER_A 7 /* the two sides number the folder differently */
#define FOLDER_B 3

struct side { /* one device: what its owner has been told */
	struct link *link;
	struct sign_pair pair;
	uint16_t port;
	uint32_t folder;
	bool refuse, echo, close_on_up, send_on_up;
	int ups, downs, failures, asked, freed;
	bool last_dialled, last_joining, asked_joining;
	uint64_t session;
	enum err down_why, failure_why;
	uint8_t hash[NOISE_HASH];
	struct device_id up_who;
	uint64_t messages, bytes, bad;
	uint8_t first[4096]; /* first byte of each message, in order */
	size_t last_len;
};

struct world {
	uv_loop_t loop;
	uv_timer_t beat; /* so that a lost wake-up is a failed test, not a hang */
	struct side a, b;
	struct folder_id folder;
};

/* ---- the owner ---- */

static bool on_authorise(void *arg, uint32_t folder, const struct device_id *who, bool joining)
{
	struct side *s = arg;

	(void)who;
	assert_int_equal(folder, s->folder);
	s->asked++;
	s->asked_joining = joining;
	return !s->refuse;
}

/* A message whose every byte says where it stands, so that a mix-up shows. */
static uint8_t *pattern(uint8_t kind, size_t len)
{
	uint8_t *m = malloc(len);

	assert_non_null(m);
	m[0] = kind;
	for (size_t k = 1; k < len; k++)
		m[k] = (uint8_t)(k * 31 + kind);
	return m;
}

static bool is_pattern(struct bytes m)
{
	for (size_t k = 1; k < m.len; k++)
		if (m.at[k] != (uint8_t)(k * 31 + m.at[0]))
			return false;
	return true;
}

static void on_up(void *arg, uint64_t session, uint32_t folder, const struct device_id *who,
		  bool dialled, bool joining, const uint8_t hash[NOISE_HASH], const char *addr)
{
	struct side *s = arg;

	assert_int_equal(folder, s->folder);
	assert_non_null(strchr(addr, ':'));
	s->ups++;
	assert_int_equal(s->ups,
			 s->downs + 1); /* one session at a time, each ended before the next */
	s->session = session;
	s->up_who = *who;
	s->last_dialled = dialled;
	s->last_joining = joining;
	memcpy(s->hash, hash, NOISE_HASH);
	if (s->send_on_up)
		assert_int_equal(link_send(s->link, session, LINK_CONTROL, pattern(42, 10), 10),
				 ERR_OK);
	if (s->close_on_up)
		link_close(s->link, session, ERR_REFUSED);
}

static void on_message(void *arg, uint64_t session, struct bytes m)
{
	struct side *s = arg;

	assert_int_equal(session, s->session);
	assert_int_equal(s->ups, s->downs + 1);
	if (s->messages < sizeof(s->first))
		s->first[s->messages] = m.at[0];
	s->messages++;
	s->bytes += m.len;
	s->last_len = m.len;
	s->bad += m.len < 100000 && !is_pattern(m);
	if (s->echo) {
		uint8_t *copy = malloc(m.len);
		memcpy(copy, m.at, m.len);
		assert_int_equal(link_send(s->link, session, LINK_CONTROL, copy, m.len), ERR_OK);
	}
}

static void on_down(void *arg, uint64_t session, enum err why)
{
	struct side *s = arg;

	assert_int_equal(session, s->session);
	s->downs++;
	assert_int_equal(s->ups, s->downs);
	s->down_why = why;
}

static void on_failed(void *arg, uint32_t folder, const char *addr, enum err why)
{
	struct side *s = arg;

	(void)addr;
	assert_int_equal(folder, s->folder);
	s->failures++;
	s->failure_why = why;
}

/* ---- the world ---- */

static const struct link_times quick = {2000, 15000, 45000, 20, 200};

static void on_beat(uv_timer_t *t)
{
	(void)t;
}

static void side_start(struct world *w, struct side *s, uint8_t seed_byte, uint32_t folder)
{
	uint8_t seed[32];
	const struct link_ops ops = {s, on_authorise, on_up, on_message, on_down, on_failed};

	memset(seed, seed_byte, sizeof(seed));
	sign_pair_init(&s->pair, seed);
	s->folder = folder;
	s->port = 0;
	assert_int_equal(link_new(&w->loop, &s->pair, &ops, &s->link), ERR_OK);
	link_times(s->link, &quick);
	assert_int_equal(link_folder(s->link, folder, &w->folder), ERR_OK);
	assert_int_equal(link_listen(s->link, "127.0.0.1:0", &s->port), ERR_OK);
	assert_true(s->port != 0);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_timer_init(&w->loop, &w->beat);
	uv_timer_start(&w->beat, on_beat, 5, 5);
	memset(w->folder.b, 0xf0, sizeof(w->folder.b));
	side_start(w, &w->a, 1, FOLDER_A);
	side_start(w, &w->b, 2, FOLDER_B);
	return w;
}

static void on_freed(void *arg)
{
	((struct side *)arg)->freed++;
}

#define UNTIL(w, condition)                                                                        \
	do {                                                                                       \
		uint64_t end = clock_usec() + DEADLINE_MS * 1000;                                  \
		while (!(condition) && clock_usec() < end)                                         \
			uv_run(&(w)->loop, UV_RUN_ONCE);                                           \
		assert_true(condition);                                                            \
	} while (0)

static void world_free(struct world *w)
{
	if (!w->a.freed)
		link_free(w->a.link, on_freed, &w->a);
	if (!w->b.freed)
		link_free(w->b.link, on_freed, &w->b);
	uv_close((uv_handle_t *)&w->beat, NULL);
	UNTIL(w, w->a.freed && w->b.freed);
	assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&w->loop), 0); /* nothing of ours is left in the loop */
	free(w);
}

static void dial(struct side *from, const struct side *to, bool joining)
{
	char addr[64];

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", to->port);
	assert_int_equal(link_keep(from->link, from->folder, &to->pair.pub, addr, joining), ERR_OK);
}

static void pair_up(struct world *w)
{
	dial(&w->a, &w->b, false);
	UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
}

static void send_pattern(struct side *s, enum link_class class, uint8_t kind, size_t len)
{
	assert_int_equal(link_send(s->link, s->session, class, pattern(kind, len), len), ERR_OK);
}

/* ---- sessions ---- */

static void up_one_way(bool from_a, bool joining)
{
	struct world *w = world_new();
	struct side *d = from_a ? &w->a : &w->b, *o = from_a ? &w->b : &w->a;

	dial(d, o, joining);
	UNTIL(w, d->ups == 1 && o->ups == 1);
	assert_true(d->last_dialled && !o->last_dialled);
	assert_int_equal(d->last_joining, joining);
	assert_int_equal(o->last_joining, joining);
	assert_int_equal(o->asked_joining, joining);
	assert_memory_equal(&d->up_who, &o->pair.pub, 32);
	assert_memory_equal(&o->up_who, &d->pair.pub, 32);
	assert_memory_equal(d->hash, o->hash, NOISE_HASH);
	send_pattern(d, LINK_CONTROL, 50, 100);
	send_pattern(o, LINK_BULK, 51, 1);
	UNTIL(w, d->messages == 1 && o->messages == 1);
	assert_int_equal(o->first[0], 50);
	assert_int_equal(d->first[0], 51);
	struct link_stats st;
	UNTIL(w, link_stats(d->link, d->session, &st) && st.rtt_usec > 0);
	assert_true(st.sent > 100 && st.received > 100);
	assert_int_equal(d->failures + o->failures + d->downs + o->downs, 0);
	world_free(w);
}

static void test_up_both_ways(void **state)
{
	(void)state;
	up_one_way(true, false);
	up_one_way(false, false);
	up_one_way(true, true);
}

/* Both dial at once, many times: each time exactly one session stays, the same on both sides. */
static void test_simultaneous_dial(void **state)
{
	(void)state;
	for (int round = 0; round < 30; round++) {
		struct world *w = world_new();
		dial(round % 2 ? &w->a : &w->b, round % 2 ? &w->b : &w->a, false);
		dial(round % 2 ? &w->b : &w->a, round % 2 ? &w->a : &w->b, false);
		UNTIL(w, w->a.ups > w->a.downs && w->b.ups > w->b.downs &&
				 memcmp(w->a.hash, w->b.hash, NOISE_HASH) == 0);
		send_pattern(&w->a, LINK_CONTROL, 60, 10);
		send_pattern(&w->b, LINK_CONTROL, 61, 10);
		UNTIL(w, w->a.messages == 1 && w->b.messages == 1);
		assert_int_equal(w->a.ups, 1); /* nobody heard of a session that did not stay */
		assert_int_equal(w->b.ups, 1);
		assert_int_equal(w->a.failures + w->b.failures, 0);
		assert_true(w->a.last_dialled != w->b.last_dialled);
		world_free(w);
	}
}

/* The address answers, but as another device than the one wanted. */
static void test_wrong_device(void **state)
{
	struct world *w = world_new();
	struct sign_pair other;
	uint8_t seed[32] = {9};
	char addr[64];

	(void)state;
	sign_pair_init(&other, seed);
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", w->b.port);
	assert_int_equal(link_keep(w->a.link, FOLDER_A, &other.pub, addr, false), ERR_OK);
	UNTIL(w, w->a.failures >= 2); /* it goes on trying */
	assert_int_equal(w->a.failure_why, ERR_FORGED);
	assert_int_equal(w->b.asked + w->a.ups + w->b.ups, 0);
	link_forget(w->a.link, FOLDER_A, &other.pub);
	pair_up(w);
	world_free(w);
}

static void test_authorise_refused(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->b.refuse = true;
	dial(&w->a, &w->b, false);
	UNTIL(w, w->a.failures >= 2);
	assert_int_equal(w->a.failure_why, ERR_REFUSED);
	assert_true(w->b.asked >= 2);
	assert_int_equal(w->a.ups + w->b.ups, 0);
	w->b.refuse = false;
	UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
	world_free(w);
}

/* Who does not know the folder gets no answer, and learns not even whose address it is. */
static void test_unknown_folder(void **state)
{
	struct world *w = world_new();
	struct folder_id other = {{5}};

	(void)state;
	link_folder_gone(w->b.link, FOLDER_B);
	assert_int_equal(link_folder(w->b.link, FOLDER_B, &other), ERR_OK);
	dial(&w->a, &w->b, false);
	UNTIL(w, w->a.failures >= 1);
	assert_int_equal(w->a.failure_why, ERR_REFUSED);
	assert_int_equal(w->b.asked, 0);
	world_free(w);
}

/* ---- messages ---- */

static void test_classes_interleave(void **state)
{
	struct world *w = world_new();
	uint64_t before = 0;

	(void)state;
	pair_up(w);
	for (uint8_t k = 0; k < 4; k++)
		send_pattern(&w->a, LINK_BULK, (uint8_t)(100 + k), WIRE_BYTES_MAX);
	for (uint8_t k = 0; k < 10; k++)
		send_pattern(&w->a, LINK_CONTROL, 20 + k, 1 + k * 7u);
	send_pattern(&w->a, LINK_CONTROL, 30, WIRE_BYTES_MAX); /* the limit in both classes */
	UNTIL(w, w->b.messages == 15);
	for (uint8_t k = 0, control = 20, bulk = 100; k < 15; k++) { /* in order in each class */
		assert_int_equal(w->b.first[k], w->b.first[k] < 100 ? control++ : bulk++);
		before += w->b.first[k] < 100 && bulk < 103;
	}
	assert_int_equal(before, 11); /* control overtook bulk that was queued earlier */
	assert_int_equal(w->b.bad, 0);
	assert_int_equal(link_queued(w->a.link, w->a.session), 0);
	for (size_t len = 65500; len < 65560; len++) /* around the edge of one frame */
		send_pattern(&w->b, LINK_BULK, (uint8_t)(len - 65400), len);
	UNTIL(w, w->a.messages == 60);
	assert_int_equal(w->a.bad, 0);
	world_free(w);
}

static void test_queue_limit(void **state)
{
	struct world *w = world_new();
	enum err e = ERR_OK;
	unsigned sent = 0;

	(void)state;
	pair_up(w);
	while (!e && sent < 100) { /* the loop does not run, so nothing leaves but a batch or two */
		e = link_send(w->a.link, w->a.session, LINK_BULK, pattern(1, WIRE_BYTES_MAX),
			      WIRE_BYTES_MAX);
		sent++;
		assert_true(link_queued(w->a.link, w->a.session) <= LINK_QUEUE_BYTES_MAX);
	}
	assert_int_equal(e, ERR_FULL);
	assert_true(sent >= LINK_QUEUE_BYTES_MAX / WIRE_BYTES_MAX);
	assert_int_equal(w->a.downs, 0); /* never from inside a call */
	e = link_send(w->a.link, w->a.session, LINK_CONTROL, pattern(1, 5), 5);
	assert_int_equal(e, ERR_CLOSED);
	link_forget(w->a.link, FOLDER_A, &w->b.pair.pub);
	UNTIL(w, w->a.downs == 1 && w->b.downs == 1);
	assert_int_equal(w->a.down_why, ERR_FULL);
	world_free(w);
}

/* What was queued before the close arrives: a refusal must reach the one it refuses. */
static void test_close_delivers_first(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->b.send_on_up = w->b.close_on_up = true;
	dial(&w->a, &w->b, true);
	UNTIL(w, w->a.downs == 1 && w->b.downs == 1);
	assert_int_equal(w->a.messages, 1);
	assert_int_equal(w->a.first[0], 42);
	assert_int_equal(w->b.down_why, ERR_REFUSED);
	assert_int_equal(w->a.down_why, ERR_CLOSED);
	w->b.send_on_up = w->b.close_on_up = false;
	UNTIL(w, w->a.ups == w->a.downs + 1 && w->b.ups == w->b.downs + 1);
	uint64_t got = w->b.messages;
	send_pattern(&w->a, LINK_BULK, 9, WIRE_BYTES_MAX);
	link_close(w->a.link, w->a.session, ERR_OK);
	UNTIL(w, w->b.messages == got + 1);
	assert_int_equal(w->b.last_len, WIRE_BYTES_MAX);
	world_free(w);
}

static void test_echo_in_batches(void **state)
{
	struct world *w = world_new();

	(void)state;
	pair_up(w);
	w->b.echo = true;
	for (unsigned k = 0; k < 3000; k++)
		send_pattern(&w->a, LINK_CONTROL, (uint8_t)(20 + k % 200), 1 + k % 300);
	UNTIL(w, w->a.messages == 3000);
	for (unsigned k = 0; k < 3000; k++)
		assert_int_equal(w->a.first[k], 20 + k % 200);
	assert_int_equal(w->a.bad + w->b.bad, 0);
	world_free(w);
}

/* ---- threads ---- */

#define SENDS 2000
struct sender {
	struct side *side;
	uint64_t session;
	uint8_t kind;
	int failed;
};

static void *send_many(void *arg)
{
	struct sender *s = arg;

	for (unsigned k = 0; k < SENDS; k++) {
		size_t len = 1 + k % 500;
		enum link_class class = k % 5 ? LINK_CONTROL : LINK_BULK;
		s->failed += link_send(s->side->link, s->session, class, pattern(s->kind, len),
				       len) != ERR_OK;
		if (k % 100 == 0) {
			struct link_stats st;
			(void)link_stats(s->side->link, s->session, &st);
			(void)link_queued(s->side->link, s->session);
			link_dial_now(s->side->link);
		}
	}
	return NULL;
}

static void test_send_from_threads(void **state)
{
	struct world *w = world_new();
	pthread_t thread[4];
	struct sender s[4];

	(void)state;
	pair_up(w);
	for (unsigned k = 0; k < 4; k++) {
		struct side *side = k % 2 ? &w->a : &w->b;
		s[k] = (struct sender){side, side->session, (uint8_t)k, 0};
		assert_int_equal(pthread_create(&thread[k], NULL, send_many, &s[k]), 0);
	}
	UNTIL(w, w->a.messages == 2 * SENDS && w->b.messages == 2 * SENDS);
	for (unsigned k = 0; k < 4; k++) {
		pthread_join(thread[k], NULL);
		assert_int_equal(s[k].failed, 0);
	}
	assert_int_equal(w->a.bad + w->b.bad, 0);
	world_free(w);
}

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
	pair_up(w);
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

	link_times(w->b.link, &quick);
	for (size_t k = 0; k < ARRAY_LEN(fd); k++) { /* ten addresses, more than the table */
		snprintf(from, sizeof(from), "127.0.1.%u", (unsigned)(k % 10 + 1));
		fd[k] = raw_connect(w, w->b.port, from);
	}
	pair_up(w);
	for (size_t k = 0; k < ARRAY_LEN(fd); k++)
		close(fd[k]);
	for (size_t k = 0; k < ARRAY_LEN(same); k++)
		same[k] = raw_connect(w, w->b.port, "127.0.2.1");
	assert_true(raw_closed(w, same[LINK_PER_ADDRESS_MAX])); /* one too many from there */
	for (size_t k = 0; k < ARRAY_LEN(same); k++)
		close(same[k]);
	world_free(w);
}

/* ---- time ---- */

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

	dial(&w->a, &w->b, false); /* two that answer pings live on without a message */
	UNTIL(w, w->a.ups == 2 && w->b.ups == 1);
	uint64_t began = clock_usec();
	UNTIL(w, clock_usec() - began > 600000);
	assert_int_equal(w->a.downs, 1);
	assert_int_equal(w->b.downs, 0);
	assert_int_equal(w->a.messages + w->b.messages, 0);
	world_free(w);
}

static void test_reconnect(void **state)
{
	struct world *w = world_new();
	uint16_t port = w->b.port;
	char addr[64];

	(void)state;
	link_free(w->b.link, on_freed, &w->b);
	UNTIL(w, w->b.freed == 1);
	dial(&w->a, &w->b, false); /* nobody is there: again and again, and slower and slower */
	uint64_t began = clock_usec();
	UNTIL(w, w->a.failures == 5);
	assert_true(clock_usec() - began >= (10 + 20 + 40 + 80) * 1000); /* half of each wait */
	assert_int_equal(w->a.failure_why, ERR_UNREACHABLE);

	w->b = (struct side){0};
	side_start(w, &w->b, 2, FOLDER_B);
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
	assert_int_equal(link_listen(w->b.link, addr, &port), ERR_OK);
	link_dial_now(w->a.link);
	UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
	link_close(w->b.link, w->b.session, ERR_CANCELED);
	UNTIL(w, w->a.ups == 2 && w->b.ups == 2);
	assert_int_equal(w->b.down_why, ERR_CANCELED);

	link_forget(w->a.link, FOLDER_A, &w->b.pair.pub); /* the session stays, but only it */
	link_close(w->b.link, w->b.session, ERR_CANCELED);
	UNTIL(w, w->a.downs == 2);
	began = clock_usec();
	UNTIL(w, clock_usec() - began > 300000);
	assert_int_equal(w->a.ups, 2);
	world_free(w);
}

static void test_folder_gone(void **state)
{
	struct world *w = world_new();

	(void)state;
	pair_up(w);
	link_folder_gone(w->b.link, FOLDER_B);
	UNTIL(w, w->a.downs == 1 && w->b.downs == 1 && w->a.failures > 0);
	assert_int_equal(w->a.failure_why, ERR_REFUSED);
	world_free(w);
}

/* ---- addresses ---- */

static void test_listen(void **state)
{
	struct world *w = world_new();
	char addr[64];
	uint16_t port = 0;

	(void)state;
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", w->a.port);
	assert_int_equal(link_listen(w->b.link, addr, &port), ERR_BUSY);
	const char *const bad[] = {"",         "127.0.0.1",     "127.0.0.1:", "127.0.0.1:x",
				   "::1:7400", "1.2.3.4:65536", "[]:1",       "127.0.0.1:-1"};
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_int_equal(link_listen(w->b.link, bad[k], &port), ERR_INVAL);
	assert_int_equal(link_listen(w->b.link, "192.0.2.1:0", &port), ERR_UNREACHABLE);
	assert_int_equal(port, 0);
	assert_int_equal(link_listen(w->b.link, ":0", &port), ERR_OK);
	assert_true(port != 0);
	world_free(w);
}

/* Dead and senseless addresses beside the right one do not matter; names and V6 work. */
static void test_addresses(void **state)
{
	const char *const forms[] = {"127.0.0.1:%u", "localhost:%u",
				     "127.0.0.1:1,nonsense,192.0.2.1:7,127.0.0.1:%u", "[::1]:%u"};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
		struct world *w = world_new();
		char addr[128];
		uint16_t port = w->b.port;

		if (forms[k][0] == '[' && link_listen(w->b.link, "[::1]:0", &port)) {
			world_free(w); /* no V6 on this machine */
			continue;
		}
		int n = 0;
		for (const char *f = forms[k]; *f; f++) /* a format the compiler cannot see */
			if (*f == '%' && f++)
				n += snprintf(addr + n, sizeof(addr) - (size_t)n, "%u", port);
			else
				addr[n++] = *f;
		addr[n] = '\0';
		assert_int_equal(link_keep(w->a.link, FOLDER_A, &w->b.pair.pub, addr, false),
				 ERR_OK);
		UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
		world_free(w);
	}
}

/* link_free() in the middle of everything leaves nothing behind (ASan and uv_loop_close look). */
static void test_free_at_any_time(void **state)
{
	(void)state;
	for (int turns = 0; turns < 25; turns++) {
		struct world *w = world_new();
		dial(&w->a, &w->b, false);
		dial(&w->b, &w->a, false);
		assert_int_equal(link_keep(w->a.link, FOLDER_A, &w->a.pair.pub,
					   "localhost:1,127.0.0.1:1", false),
				 ERR_OK);
		for (int k = 0; k < turns; k++) {
			uv_run(&w->loop, UV_RUN_NOWAIT);
			if (w->a.ups > w->a.downs)
				send_pattern(&w->a, LINK_BULK, 1, 100000);
		}
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up_both_ways),
		cmocka_unit_test(test_simultaneous_dial),
		cmocka_unit_test(test_wrong_device),
		cmocka_unit_test(test_authorise_refused),
		cmocka_unit_test(test_unknown_folder),
		cmocka_unit_test(test_classes_interleave),
		cmocka_unit_test(test_queue_limit),
		cmocka_unit_test(test_close_delivers_first),
		cmocka_unit_test(test_echo_in_batches),
		cmocka_unit_test(test_send_from_threads),
		cmocka_unit_test(test_liars),
		cmocka_unit_test(test_peer_closes_mid_message),
		cmocka_unit_test(test_newer_replaces),
		cmocka_unit_test(test_garbage_clients),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_dead_peer),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_folder_gone),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_free_at_any_time),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
