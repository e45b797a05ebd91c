// SPDX-License-Identifier: MIT
/* test_link.c - two honest devices on loopback: sessions, messages, threads, time, addresses */
#include "linkworld.h"
#include <netdb.h>
#include <pthread.h>
#include <signal.h>

/* ---- sessions ---- */

static void up_one_way(bool from_a, bool joining)
{
	struct world *w = world_new();
	struct side *d = from_a ? &w->a : &w->b, *o = from_a ? &w->b : &w->a;

	world_dial(d, o, joining);
	UNTIL(w, d->ups == 1 && o->ups == 1);
	assert_true(d->last_dialled && !o->last_dialled);
	assert_int_equal(d->last_joining, joining);
	assert_int_equal(o->last_joining, joining);
	assert_int_equal(o->asked_joining, joining);
	assert_memory_equal(&d->up_who, &o->pair.pub, 32);
	assert_memory_equal(&o->up_who, &d->pair.pub, 32);
	assert_memory_equal(d->hash, o->hash, NOISE_HASH);
	world_send(d, LINK_CONTROL, 50, 100);
	world_send(o, LINK_BULK, 51, 1);
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
		world_dial(round % 2 ? &w->a : &w->b, round % 2 ? &w->b : &w->a, false);
		world_dial(round % 2 ? &w->b : &w->a, round % 2 ? &w->a : &w->b, false);
		UNTIL(w, w->a.ups > w->a.downs && w->b.ups > w->b.downs &&
				 memcmp(w->a.hash, w->b.hash, NOISE_HASH) == 0);
		world_send(&w->a, LINK_CONTROL, 60, 10);
		world_send(&w->b, LINK_CONTROL, 61, 10);
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
	world_pair(w);
	world_free(w);
}

static void test_authorise_refused(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->b.refuse = true;
	world_dial(&w->a, &w->b, false);
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
	world_dial(&w->a, &w->b, false);
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
	world_pair(w);
	for (uint8_t k = 0; k < 4; k++)
		world_send(&w->a, LINK_BULK, (uint8_t)(100 + k), WIRE_BYTES_MAX);
	for (uint8_t k = 0; k < 10; k++)
		world_send(&w->a, LINK_CONTROL, 20 + k, 1 + k * 7u);
	world_send(&w->a, LINK_CONTROL, 30, WIRE_BYTES_MAX); /* the limit in both classes */
	UNTIL(w, w->b.messages == 15);
	for (uint8_t k = 0, control = 20, bulk = 100; k < 15; k++) { /* in order in each class */
		assert_int_equal(w->b.first[k], w->b.first[k] < 100 ? control++ : bulk++);
		before += w->b.first[k] < 100 && bulk < 103;
	}
	assert_int_equal(before, 11); /* control overtook bulk that was queued earlier */
	assert_int_equal(w->b.bad, 0);
	assert_int_equal(link_queued(w->a.link, w->a.session), 0);
	for (size_t len = 65500; len < 65560; len++) /* around the edge of one frame */
		world_send(&w->b, LINK_BULK, (uint8_t)(len - 65400), len);
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
	world_pair(w);
	while (!e && sent < 100) { /* the loop does not run, so nothing leaves but a batch or two */
		e = link_send(w->a.link, w->a.session, LINK_BULK, world_pattern(1, WIRE_BYTES_MAX),
			      WIRE_BYTES_MAX);
		sent++;
		assert_true(link_queued(w->a.link, w->a.session) <= LINK_QUEUE_BYTES_MAX);
	}
	assert_int_equal(e, ERR_FULL);
	assert_true(sent >= LINK_QUEUE_BYTES_MAX / WIRE_BYTES_MAX);
	assert_int_equal(w->a.downs, 0); /* never from inside a call */
	e = link_send(w->a.link, w->a.session, LINK_CONTROL, world_pattern(1, 5), 5);
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
	world_dial(&w->a, &w->b, true);
	UNTIL(w, w->a.downs == 1 && w->b.downs == 1);
	assert_int_equal(w->a.messages, 1);
	assert_int_equal(w->a.first[0], 42);
	assert_int_equal(w->b.down_why, ERR_REFUSED);
	assert_int_equal(w->a.down_why, ERR_CLOSED);
	w->b.send_on_up = w->b.close_on_up = false;
	UNTIL(w, w->a.ups == w->a.downs + 1 && w->b.ups == w->b.downs + 1);
	uint64_t got = w->b.messages;
	world_send(&w->a, LINK_BULK, 9, WIRE_BYTES_MAX);
	link_close(w->a.link, w->a.session, ERR_OK);
	UNTIL(w, w->b.messages == got + 1);
	assert_int_equal(w->b.last_len, WIRE_BYTES_MAX);
	world_free(w);
}

static void test_echo_in_batches(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_pair(w);
	w->b.echo = true;
	for (unsigned k = 0; k < 3000; k++)
		world_send(&w->a, LINK_CONTROL, (uint8_t)(20 + k % 200), 1 + k % 300);
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
		s->failed += link_send(s->side->link, s->session, class,
				       world_pattern(s->kind, len), len) != ERR_OK;
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
	world_pair(w);
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

/* ---- time ---- */

static void test_reconnect(void **state)
{
	struct world *w = world_new();
	uint16_t port = w->b.port;
	char addr[64];

	(void)state;
	link_free(w->b.link, world_freed, &w->b);
	UNTIL(w, w->b.freed == 1);
	world_dial(&w->a, &w->b,
		   false); /* nobody is there: again and again, and slower and slower */
	uint64_t began = clock_usec();
	UNTIL(w, w->a.failures == 5);
	assert_true(clock_usec() - began >= (10 + 20 + 40 + 80) * 1000); /* half of each wait */
	assert_int_equal(w->a.failure_why, ERR_UNREACHABLE);

	w->b = (struct side){0};
	world_start(w, &w->b, 2, FOLDER_B);
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
	world_pair(w);
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

static bool resolves(const char *host)
{
	const struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int e = getaddrinfo(host, NULL, &want, &found);

	if (!e)
		freeaddrinfo(found);
	return e == 0;
}

/* Dead and senseless addresses beside the right one do not matter; names and V6 work. */
static void test_addresses(void **state)
{
	const char *const forms[] = {"127.0.0.1:%u", "localhost:%u",
				     "127.0.0.1:1,nonsense,127.0.0.2:7,127.0.0.1:%u", "[::1]:%u"};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
		struct world *w = world_new();
		char addr[128];
		uint16_t port = w->b.port;

		bool no_v6 = forms[k][0] == '[' && link_listen(w->b.link, "[::1]:0", &port);
		bool no_name = forms[k][0] == 'l' && !resolves("localhost");
		if (no_v6 || no_name) { /* not on this machine */
			world_free(w);
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
		world_dial(&w->a, &w->b, false);
		world_dial(&w->b, &w->a, false);
		assert_int_equal(link_keep(w->a.link, FOLDER_A, &w->a.pair.pub,
					   "localhost:1,127.0.0.1:1", false),
				 ERR_OK);
		for (int k = 0; k < turns; k++) {
			uv_run(&w->loop, UV_RUN_NOWAIT);
			if (w->a.ups > w->a.downs)
				world_send(&w->a, LINK_BULK, 1, 100000);
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
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_folder_gone),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_free_at_any_time),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
