// SPDX-License-Identifier: MIT
/* test_spread.c - what is told to whom, how much may be on its way, and what is sent again */
#include "core/spread.h"
#include "core/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

struct bench {
	struct kv *kv;
	struct view *view;
	struct log *log;
	struct roster *roster;
	struct spread *spread;
	struct actions acts;
	struct step step;
	struct sign_pair device;
	struct folder_id folder;
	uint64_t inc;
};

static struct where on_where(void *arg, struct dot dot)
{
	return log_where(((struct bench *)arg)->log, dot);
}

static bool on_line(void *arg, struct where a, struct where b)
{
	return log_line(((struct bench *)arg)->log, a, b);
}

static void on_device(void *arg, uint64_t inc, char name[65])
{
	(void)arg;
	(void)inc;
	memcpy(name, "device", 7);
}

static void on_changed(void *arg, const struct change *c)
{
	(void)arg;
	(void)c;
}

static void bench_init(struct bench *b)
{
	const struct view_hooks hooks = {b, on_where, on_line, on_device, on_changed, NULL, NULL};
	struct member_record m = {.kind = MEMBER_FOUND, .name = bytes_text("first")};
	uint8_t seed[32] = {1};
	struct wr found = {0};
	struct hash id;
	bool fresh;

	*b = (struct bench){.kv = kv_new_map()};
	sign_pair_init(&b->device, seed);
	m.author = m.subject = b->device.pub;
	m.text = bytes_text("folder");
	member_encode(&found, &m, &b->device);
	hash_blake(wr_view(&found), &id);
	memcpy(b->folder.b, id.b, HASH_LEN);
	b->step = (struct step){.kv = b->kv, .acts = &b->acts, .now = 1000};
	b->view = view_new(b->kv, &hooks);
	b->log = log_new(b->kv, b->view, &b->folder);
	b->roster = roster_new(b->kv, &b->folder, &b->device);
	assert_non_null(b->roster);
	assert_int_equal(roster_add(b->roster, wr_view(&found), &fresh), ERR_OK);
	b->spread = spread_new(b->log, b->roster);
	assert_non_null(b->spread);
	assert_int_equal(log_begin(b->log, &b->device.pub, 1, (struct where){0, 0}), ERR_OK);
	b->inc = log_current(b->log);
	wr_fini(&found);
}

static void bench_fini(struct bench *b)
{
	spread_free(b->spread);
	roster_free(b->roster);
	log_free(b->log);
	view_free(b->view);
	actions_fini(&b->acts);
	kv_free_map(b->kv);
}

/* count own bundles of that size; their journal offset is their number, from 1. */
static void publish(struct bench *b, uint32_t count, uint32_t len)
{
	for (uint32_t k = 0; k < count; k++) {
		struct bundle_head h = {.inc = b->inc, .seq = log_arrivals(b->log)};
		const struct dot op = {b->inc, h.seq};
		struct log_own own = {
			.head = &h, .ops = &op, .count = 1, .raw_at = h.seq, .raw_len = len};
		assert_int_equal(log_own(b->log, &own), ERR_OK);
	}
}

static struct peer *connect(struct bench *b, uint64_t session)
{
	const struct peer new = {.session = session, .device = {{(uint8_t)session}}};
	struct peer *p;

	assert_int_equal(spread_up(b->spread, &new, &p), ERR_OK);
	return p;
}

/* The peer says that it has applied seq bundles of ours. */
static void says(struct bench *b, struct peer *p, uint64_t seq)
{
	const struct where has = {b->inc, seq};
	struct hash digest;

	roster_digest(b->roster, &digest);
	assert_int_equal(spread_vector(b->spread, &b->step, p, vector_new(&has, seq > 0), &digest),
			 ERR_OK);
}

/* How many bundles are sent to session now; *first: the number of the first. */
static uint32_t pump(struct bench *b, uint64_t session, uint64_t *first)
{
	uint32_t count = 0;

	assert_int_equal(spread_pump(b->spread, &b->step), ERR_OK);
	for (uint32_t k = 0; k < b->acts.count; k++) {
		const struct action *a = &b->acts.at[k];
		if (a->kind != ACT_SEND_BUNDLE || a->stored.peer != session)
			continue;
		if (!count++)
			*first = a->stored.addr;
		assert_int_equal(a->stored.addr, *first + count - 1); /* in order of arrival */
	}
	actions_reset(&b->acts);
	return count;
}

/* How many messages of that type go to session; the actions are done then. */
static uint32_t messages(struct bench *b, uint64_t session, enum wire_type type)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < b->acts.count; k++) {
		const struct action *a = &b->acts.at[k];
		count += a->kind == ACT_SEND && a->send.peer == session &&
			 a->send.message[0] == type;
	}
	actions_reset(&b->acts);
	return count;
}

/* Nothing is sent before the peer has said what it has; then what it lacks, and nothing twice. */
static void test_what_a_peer_lacks(void **state)
{
	struct bench b;
	uint64_t first = 0;

	(void)state;
	bench_init(&b);
	publish(&b, 10, 100);
	struct peer *p = connect(&b, 1);
	assert_int_equal(pump(&b, 1, &first), 0);
	assert_false(spread_listening(b.spread));
	says(&b, p, 4);
	assert_true(spread_listening(b.spread));
	assert_int_equal(pump(&b, 1, &first), 6);
	assert_int_equal(first, 5);
	assert_int_equal(pump(&b, 1, &first), 0);
	publish(&b, 1, 100);
	assert_int_equal(pump(&b, 1, &first), 1);
	assert_int_equal(first, 11);
	assert_true(spread_unacked(b.spread));
	says(&b, p, 10);
	assert_true(spread_unacked(b.spread));
	says(&b, p, 11);
	assert_false(spread_unacked(b.spread));
	bench_fini(&b);
}

/* No more than a window is on its way, by count and by bytes; what is acknowledged makes room. */
static void test_windows(void **state)
{
	const uint32_t big = SPREAD_WINDOW_BYTES / 8;
	struct bench b;
	uint64_t first = 0;

	(void)state;
	bench_init(&b);
	publish(&b, SPREAD_WINDOW_COUNT + 30, 10);
	struct peer *p = connect(&b, 1);
	says(&b, p, 0);
	assert_int_equal(pump(&b, 1, &first), SPREAD_WINDOW_COUNT);
	says(&b, p, 7);
	assert_int_equal(pump(&b, 1, &first), 7);
	assert_int_equal(first, SPREAD_WINDOW_COUNT + 1);
	says(&b, p, SPREAD_WINDOW_COUNT + 7);
	assert_int_equal(pump(&b, 1, &first), 23);
	says(&b, p, SPREAD_WINDOW_COUNT + 30);
	publish(&b, 20, big);
	assert_int_equal(pump(&b, 1, &first), 8);
	says(&b, p, SPREAD_WINDOW_COUNT + 31);
	assert_int_equal(pump(&b, 1, &first), 1);
	bench_fini(&b);
}

/* A peer that stands still is sent again what it lacks, after a while and not before; one that
 * moves is not. */
static void test_sent_again(void **state)
{
	struct bench b;
	uint64_t first = 0;

	(void)state;
	bench_init(&b);
	assert_int_equal(spread_deadline(b.spread), UINT64_MAX);
	publish(&b, 10, 100);
	struct peer *p = connect(&b, 1);
	says(&b, p, 0);
	assert_int_equal(pump(&b, 1, &first), 10);
	assert_int_equal(spread_deadline(b.spread), b.step.now + SPREAD_AGAIN_USEC);
	b.step.now += SPREAD_AGAIN_USEC - 1;
	spread_tick(b.spread, &b.step);
	assert_int_equal(pump(&b, 1, &first), 0);
	says(&b, p, 2); /* it moves: it has time again */
	b.step.now += SPREAD_AGAIN_USEC - 1;
	spread_tick(b.spread, &b.step);
	assert_int_equal(pump(&b, 1, &first), 0);
	b.step.now++;
	spread_tick(b.spread, &b.step);
	assert_int_equal(pump(&b, 1, &first), 8);
	assert_int_equal(first, 3);
	says(&b, p, 10);
	b.step.now += 10 * SPREAD_AGAIN_USEC;
	spread_tick(b.spread, &b.step);
	assert_int_equal(pump(&b, 1, &first), 0);
	assert_int_equal(spread_deadline(b.spread), UINT64_MAX);
	bench_fini(&b);
}

/* One slow peer neither delays another nor holds back what is published. */
static void test_one_slow_peer(void **state)
{
	struct bench b;
	uint64_t first = 0;

	(void)state;
	bench_init(&b);
	publish(&b, 3, 100);
	struct peer *slow = connect(&b, 1), *quick = connect(&b, 2);
	says(&b, slow, 0);
	says(&b, quick, 0);
	assert_int_equal(pump(&b, 2, &first), 3);
	assert_true(spread_unacked(b.spread));
	says(&b, quick, 3);
	assert_false(spread_unacked(b.spread));
	publish(&b, 5, 100);
	assert_int_equal(pump(&b, 2, &first), 5);
	bench_fini(&b);
}

/* A bundle that came from a peer is not sent back to it. */
static void test_not_sent_back(void **state)
{
	struct bench b;
	uint64_t first = 0;

	(void)state;
	bench_init(&b);
	struct peer *p = connect(&b, 1), *q = connect(&b, 2);
	says(&b, p, 0);
	says(&b, q, 0);
	assert_int_equal(spread_came(b.spread, p, (struct where){b.inc, 1}), ERR_OK);
	publish(&b, 1, 100); /* as if it had been applied */
	assert_int_equal(spread_pump(b.spread, &b.step), ERR_OK);
	assert_int_equal(b.acts.count, 1);
	assert_int_equal(b.acts.at[0].stored.peer, 2);
	actions_reset(&b.acts);
	publish(&b, 1, 100);
	assert_int_equal(pump(&b, 1, &first), 1);
	assert_int_equal(first, 2);
	bench_fini(&b);
}

/* Who asks to join is told nothing. */
static void test_joiners_hear_nothing(void **state)
{
	struct bench b;
	uint64_t first = 0;

	(void)state;
	bench_init(&b);
	publish(&b, 3, 100);
	struct peer *p = connect(&b, 1), *q = connect(&b, 2);
	p->joining = true;
	q->we_join = true;
	says(&b, p, 0);
	says(&b, q, 0);
	spread_owe(b.spread);
	assert_int_equal(spread_roster(b.spread, &b.step, NULL), ERR_OK);
	assert_int_equal(b.acts.count, 0);
	assert_int_equal(pump(&b, 1, &first) + pump(&b, 2, &first), 0);
	assert_int_equal(b.acts.count, 0);
	bench_fini(&b);
}

/* What has changed is told once to everybody at the end of a step. */
static void test_owed(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b);
	struct peer *p = connect(&b, 1);
	(void)connect(&b, 2);
	spread_owe(b.spread);
	assert_int_equal(spread_pump(b.spread, &b.step), ERR_OK);
	assert_int_equal(b.acts.count, 2);
	assert_int_equal(messages(&b, 1, WIRE_VECTOR), 1);
	assert_int_equal(spread_pump(b.spread, &b.step), ERR_OK);
	assert_int_equal(b.acts.count, 0);
	spread_owe(b.spread);
	assert_int_equal(spread_greet(b.spread, &b.step, p), ERR_OK); /* it is told already */
	assert_int_equal(spread_pump(b.spread, &b.step), ERR_OK);
	assert_int_equal(messages(&b, 1, WIRE_VECTOR), 1);
	bench_fini(&b);
}

/* A peer with another roster is sent ours, once for each that it says it has. */
static void test_rosters(void **state)
{
	struct bench b;
	struct hash other = {{1}}, mine;

	(void)state;
	bench_init(&b);
	struct peer *p = connect(&b, 1), *q = connect(&b, 2);
	roster_digest(b.roster, &mine);
	assert_int_equal(spread_vector(b.spread, &b.step, p, vector_new(NULL, 0), &mine), ERR_OK);
	assert_int_equal(messages(&b, 1, WIRE_ROSTER), 0);
	for (int k = 0; k < 3; k++) {
		other.b[0]++;
		for (int again = 0; again < 3; again++) {
			assert_int_equal(
				spread_vector(b.spread, &b.step, p, vector_new(NULL, 0), &other),
				ERR_OK);
			assert_int_equal(messages(&b, 1, WIRE_ROSTER), again == 0);
		}
	}
	assert_int_equal(spread_roster(b.spread, &b.step, q), ERR_OK); /* from q: not to q */
	assert_int_equal(messages(&b, 2, WIRE_ROSTER), 0);
	assert_int_equal(spread_roster(b.spread, &b.step, NULL), ERR_OK);
	assert_int_equal(messages(&b, 2, WIRE_ROSTER), 1);
	bench_fini(&b);
}

/* Sessions are found by their number until they end, and no more of them are kept than may be. */
static void test_sessions(void **state)
{
	struct bench b;
	struct peer new = {.session = 0}, *p;

	(void)state;
	bench_init(&b);
	for (uint64_t k = 1; k <= NODE_PEERS_MAX; k++)
		(void)connect(&b, k);
	assert_int_equal(spread_up(b.spread, &new, &p), ERR_FULL);
	assert_int_equal(spread_count(b.spread), NODE_PEERS_MAX);
	for (uint64_t k = 2; k <= NODE_PEERS_MAX; k += 2)
		spread_down(b.spread, k);
	spread_down(b.spread, 2); /* gone already */
	assert_int_equal(spread_count(b.spread), NODE_PEERS_MAX / 2);
	for (uint64_t k = 1; k <= NODE_PEERS_MAX; k++) {
		p = spread_find(b.spread, k);
		assert_int_equal(p != NULL, k % 2);
		assert_true(!p || p->session == k);
	}
	bench_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_peer_lacks),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_sent_again),
		cmocka_unit_test(test_one_slow_peer),
		cmocka_unit_test(test_not_sent_back),
		cmocka_unit_test(test_joiners_hear_nothing),
		cmocka_unit_test(test_owed),
		cmocka_unit_test(test_rosters),
		cmocka_unit_test(test_sessions),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
