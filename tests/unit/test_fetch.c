// SPDX-License-Identifier: MIT
/* test_fetch.c - pieces are asked of one peer after another, and everybody who waits is told once
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include "core/fetch.h"

#define TOLD_MAX 64

struct world {
	struct fetch *f;
	struct rng rng;
	struct actions acts;
	struct step s;
	struct {
		struct waiter w;
		enum err err;
	} told[TOLD_MAX];
	uint32_t told_count;
};

static void on_settled(void *arg, struct step *s, struct waiter w, enum err err)
{
	struct world *o = arg;

	(void)s;
	assert_true(o->told_count < TOLD_MAX);
	o->told[o->told_count].w = w;
	o->told[o->told_count++].err = err;
}

static void world_init(struct world *o)
{
	const struct fetch_hooks hooks = {o, on_settled};

	memset(o, 0, sizeof(*o));
	o->f = fetch_new(&hooks);
	o->s = (struct step){.rng = &o->rng, .acts = &o->acts, .now = 1};
	assert_non_null(o->f);
}

static void world_fini(struct world *o)
{
	fetch_free(o->f);
	actions_fini(&o->acts);
}

static struct missing piece(uint8_t number, uint32_t stored)
{
	struct missing m = {.kind = SEAL_CHUNK, .stored = stored};

	memset(m.name.b, number, sizeof(m.name.b));
	return m;
}

static void want(struct world *o, uint8_t number, bool demand, uint64_t tag)
{
	struct missing m = piece(number, 100000);
	struct waiter w = {tag ? WAITER_READ : WAITER_NONE, tag};

	assert_int_equal(fetch_want(o->f, &m, demand, w), ERR_OK);
}

/* Pump, and count the names asked of a peer (0: of anybody), in the order they were asked. */
static uint32_t pump(struct world *o, uint64_t peer, uint8_t *first)
{
	uint32_t count = 0;

	actions_reset(&o->acts);
	assert_int_equal(fetch_pump(o->f, &o->s), ERR_OK);
	for (uint32_t k = 0; k < o->acts.count; k++) {
		struct wire_message m;
		const struct action *a = &o->acts.at[k];
		assert_int_equal(a->kind, ACT_SEND);
		assert_int_equal(wire_decode((struct bytes){a->send.message, a->send.len}, &m), 0);
		assert_int_equal(m.type, WIRE_WANT);
		if (peer && a->send.peer != peer)
			continue;
		if (!count && first)
			*first = m.names.at[0];
		count += m.names.count;
	}
	return count;
}

/* However many wait, a piece is asked for once; when it comes each is told once. */
static void test_fetch_asks_once(void **state)
{
	struct world o;
	struct missing m = piece(1, 0);
	uint8_t kind;

	(void)state;
	world_init(&o);
	fetch_up(o.f, 5);
	for (uint64_t tag = 1; tag <= 3; tag++)
		want(&o, 1, true, tag);
	want(&o, 1, true, 3);
	assert_int_equal(pump(&o, 5, NULL), 1);
	assert_int_equal(pump(&o, 0, NULL), 0);
	assert_true(fetch_expects(o.f, 5, &m.name, &kind));
	assert_false(fetch_expects(o.f, 6, &m.name, &kind));
	fetch_arrived(o.f, &o.s, &m.name);
	assert_int_equal(o.told_count, 3);
	assert_int_equal(o.told[2].err, ERR_OK);
	assert_int_equal(fetch_count(o.f), 0);
	assert_false(fetch_expects(o.f, 5, &m.name, &kind));
	world_fini(&o);
}

/* NO leads to the next peer; when nobody is left those who wait are told so. */
static void test_fetch_goes_round(void **state)
{
	struct world o;
	struct missing m = piece(1, 0);

	(void)state;
	world_init(&o);
	fetch_up(o.f, 5);
	fetch_up(o.f, 6);
	want(&o, 1, true, 9);
	uint64_t first = pump(&o, 5, NULL) ? 5 : 6, second = 11 - first;
	fetch_no(o.f, &o.s, first, &m.name);
	assert_int_equal(o.told_count, 0);
	assert_int_equal(pump(&o, second, NULL), 1);
	fetch_no(o.f, &o.s, first, &m.name); /* not asked now: says nothing new */
	assert_int_equal(o.told_count, 0);
	fetch_no(o.f, &o.s, second, &m.name);
	assert_int_equal(o.told_count, 1);
	assert_int_equal(o.told[0].err, ERR_UNREACHABLE);
	assert_int_equal(o.told[0].w.id, 9);
	world_fini(&o);
}

/* A silent peer is given up after FETCH_ASK_USEC, a lost one at once. */
static void test_fetch_leaves_the_silent(void **state)
{
	struct world o;

	(void)state;
	world_init(&o);
	fetch_up(o.f, 5);
	want(&o, 1, true, 9);
	assert_int_equal(pump(&o, 5, NULL), 1);
	assert_int_equal(fetch_deadline(o.f), 1 + FETCH_ASK_USEC);
	fetch_up(o.f, 6);
	o.s.now += FETCH_ASK_USEC;
	assert_int_equal(pump(&o, 6, NULL), 1);
	fetch_down(o.f, 6);
	fetch_up(o.f, 7);
	assert_int_equal(pump(&o, 7, NULL), 1);
	assert_int_equal(o.told_count, 0);
	world_fini(&o);
}

/* What a reader waits for goes ahead of what is fetched ahead, and debt is bounded. */
static void test_fetch_demand_first_and_bounded(void **state)
{
	struct world o;
	uint8_t first = 0;

	(void)state;
	world_init(&o);
	fetch_up(o.f, 5);
	for (uint8_t k = 1; k <= 200; k++)
		want(&o, k, false, 0);
	want(&o, 250, true, 1);
	uint32_t asked = pump(&o, 5, &first);
	assert_int_equal(first, 250);
	assert_in_range(asked, NODE_FETCH_BYTES / 100000, NODE_FETCH_BYTES / 100000 + 2);
	assert_int_equal(pump(&o, 5, NULL), 0);
	struct missing m = piece(1, 0);
	fetch_arrived(o.f, &o.s, &m.name); /* frees its debt */
	assert_int_equal(pump(&o, 5, NULL), 1);
	world_fini(&o);
}

/* Who leaves is not told. */
static void test_fetch_leave(void **state)
{
	struct world o;
	struct missing m = piece(1, 0);

	(void)state;
	world_init(&o);
	fetch_up(o.f, 5);
	want(&o, 1, true, 1);
	want(&o, 1, true, 2);
	assert_int_equal(pump(&o, 5, NULL), 1);
	fetch_leave(o.f, (struct waiter){WAITER_READ, 1});
	fetch_arrived(o.f, &o.s, &m.name);
	assert_int_equal(o.told_count, 1);
	assert_int_equal(o.told[0].w.id, 2);
	world_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch_asks_once),
		cmocka_unit_test(test_fetch_goes_round),
		cmocka_unit_test(test_fetch_leaves_the_silent),
		cmocka_unit_test(test_fetch_demand_first_and_bounded),
		cmocka_unit_test(test_fetch_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
