// SPDX-License-Identifier: MIT
/* test_pokes.c - what watchers are told of changes, and the bytes in which peerfs-poke is told */
#include "base/rng.h"
#include "front/pokes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- a tree of a few places ---- */

#define NAMES 8
#define PLACES (3 * NAMES) /* in folders 1 to 3 */

struct tree {
	struct pokes_thing at[PLACES]; /* what is there */
	struct pokes_thing told[PLACES]; /* what whoever listens believes to be there */
	struct pokes *q;
	uint64_t next; /* id */
};

static const struct pokes_thing nothing;

static struct pokes_place place(unsigned k)
{
	struct pokes_place p = {.dir = {7, 1 + k / NAMES}, .len = 1};

	p.name[0] = (uint8_t)('a' + k % NAMES);
	return p;
}

static unsigned number(const struct pokes_place *p)
{
	assert_int_equal(p->len, 1);
	return (unsigned)(p->dir.op - 1) * NAMES + (unsigned)(p->name[0] - 'a');
}

static bool same(struct pokes_thing a, struct pokes_thing b)
{
	return a.type == b.type && inode_equal(a.id, b.id);
}

static struct pokes_thing shows(void *arg, const struct pokes_place *at)
{
	struct tree *t = arg;

	return t->at[number(at)];
}

static bool where(void *arg, struct inode_id id, struct pokes_place *ret)
{
	struct tree *t = arg;

	for (unsigned k = 0; k < PLACES; k++)
		if (t->at[k].type && inode_equal(t->at[k].id, id)) {
			*ret = place(k);
			return true;
		}
	return false;
}

static void tree_init(struct tree *t, uint32_t max)
{
	memset(t, 0, sizeof(*t));
	t->q = pokes_new(max);
	assert_non_null(t->q);
}

static struct pokes_thing fresh(struct tree *t, enum inode_type type)
{
	return (struct pokes_thing){(uint8_t)type, {9, ++t->next}};
}

/* The place shows something else from now on. */
static void put(struct tree *t, unsigned k, struct pokes_thing what)
{
	struct pokes_thing before = t->at[k];
	struct pokes_place p = place(k);

	t->at[k] = what;
	assert_int_equal(pokes_entry(t->q, &p, &before), ERR_OK);
	pokes_check(t->q);
}

static void put_told(struct tree *t, unsigned k, struct pokes_thing what)
{
	t->at[k] = t->told[k] = what;
}

static bool next(struct tree *t, struct pokes_order *o)
{
	const struct pokes_view v = {t, shows, where};
	bool have = pokes_next(t->q, &v, o);

	pokes_check(t->q);
	return have;
}

static void expect(struct tree *t, enum poke_kind kind, unsigned at, unsigned to)
{
	struct pokes_order o;

	assert_true(next(t, &o));
	assert_int_equal(o.kind, kind);
	assert_int_equal(number(&o.at), at);
	if (kind == POKE_RENAME || kind == POKE_EXCHANGE)
		assert_int_equal(number(&o.to), to);
}

static void expect_none(struct tree *t)
{
	struct pokes_order o;

	assert_false(next(t, &o));
	assert_int_equal(pokes_count(t->q), 0);
}

static void touch(struct tree *t, unsigned k, bool data)
{
	struct pokes_place p = place(k);

	assert_int_equal(pokes_touch(t->q, &p, data), ERR_OK);
}

/* ---- rules ---- */

/* A name that comes is one event, with all that was written to it; one that goes is one. */
static void test_come_and_go(void **state)
{
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	touch(&t, 0, true);
	put(&t, 0, fresh(&t, TYPE_FILE));
	touch(&t, 0, false);
	expect(&t, POKE_CREATE, 0, 0);
	expect_none(&t);
	put(&t, 0, nothing);
	expect(&t, POKE_DELETE, 0, 0);
	expect_none(&t);
	pokes_free(t.q);
}

/* What came and went before anybody was told, or is as it was, costs nothing. */
static void test_came_to_nothing(void **state)
{
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	put(&t, 0, fresh(&t, TYPE_DIR));
	put(&t, 0, nothing);
	struct pokes_thing x = fresh(&t, TYPE_FILE);
	put_told(&t, 1, x);
	put(&t, 1, nothing);
	put(&t, 1, x);
	expect_none(&t);
	pokes_free(t.q);
}

/* Contents and attributes are an event each, however often they changed, of what is there. */
static void test_touched(void **state)
{
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	put_told(&t, 0, fresh(&t, TYPE_FILE));
	for (unsigned k = 0; k < 5; k++) {
		touch(&t, 0, false);
		touch(&t, 0, true);
		touch(&t, 1, true); /* nothing is there */
	}
	expect(&t, POKE_MODIFY, 0, 0);
	expect(&t, POKE_ATTRIB, 0, 0);
	expect_none(&t);
	pokes_free(t.q);
}

/* What left one place and came to another was renamed, whichever was noticed first, and is still
 * told of what was written to it. */
static void test_renamed(void **state)
{
	(void)state;

	for (unsigned order = 0; order < 2; order++) {
		struct tree t;

		tree_init(&t, 100);
		struct pokes_thing x = fresh(&t, TYPE_FILE);
		put_told(&t, 0, x);
		put(&t, order, order ? x : nothing);
		put(&t, !order, order ? nothing : x);
		touch(&t, 1, true);
		expect(&t, POKE_RENAME, 0, 1);
		expect(&t, POKE_MODIFY, 1, 0);
		expect_none(&t);
		pokes_free(t.q);
	}
}

/* A chain of renames is one, from the first place to the last. */
static void test_renamed_on(void **state)
{
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	struct pokes_thing x = fresh(&t, TYPE_FILE);
	put_told(&t, 0, x);
	for (unsigned k = 0; k < 5; k++) {
		put(&t, k, nothing);
		put(&t, k + 1, x);
	}
	expect(&t, POKE_RENAME, 0, 5);
	expect_none(&t);
	pokes_free(t.q);
}

/* Saving by way of a temporary name, in one go: one rename over what was there. */
static void test_saved(void **state)
{
	struct pokes_order o;
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	struct pokes_thing old = fresh(&t, TYPE_FILE), new = fresh(&t, TYPE_FILE);
	put_told(&t, 0, old);
	put(&t, 1, new);
	touch(&t, 1, true);
	put(&t, 0, nothing);
	put(&t, 0, new);
	put(&t, 1, nothing);
	touch(&t, 0, true);
	assert_true(next(&t, &o));
	assert_int_equal(o.kind, POKE_RENAME);
	assert_int_equal(number(&o.at), 1);
	assert_int_equal(number(&o.to), 0);
	assert_true(same(o.what, new) && same(o.over, old));
	expect_none(&t);
	pokes_free(t.q);
}

/* Two that changed places are an exchange; one that made room for another a rename before it. */
static void test_exchanged_and_made_room(void **state)
{
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	struct pokes_thing x = fresh(&t, TYPE_FILE), y = fresh(&t, TYPE_DIR);
	put_told(&t, 0, x);
	put_told(&t, 1, y);
	put(&t, 0, y);
	put(&t, 1, x);
	expect(&t, POKE_EXCHANGE, 0, 1);
	expect_none(&t);

	put(&t, 2, t.at[0]);
	put(&t, 0, t.at[1]);
	put(&t, 1, nothing);
	expect(&t, POKE_RENAME, 0, 2);
	expect(&t, POKE_RENAME, 1, 0);
	expect_none(&t);
	pokes_free(t.q);
}

/* What stands where something else stood, and came from nowhere: that went, then this came. */
static void test_replaced(void **state)
{
	struct pokes_order o;
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	struct pokes_thing x = fresh(&t, TYPE_DIR), y = fresh(&t, TYPE_FILE);
	put_told(&t, 0, x);
	put(&t, 0, y);
	assert_true(next(&t, &o));
	assert_int_equal(o.kind, POKE_DELETE);
	assert_true(same(o.what, x) && same(o.now, y));
	expect(&t, POKE_CREATE, 0, 0);
	expect_none(&t);
	pokes_free(t.q);
}

/* A directory is never told to be gone while it stands somewhere, even where nobody looks. */
static void test_directory_elsewhere(void **state)
{
	struct tree t;
	(void)state;

	tree_init(&t, 100);
	struct pokes_thing d = fresh(&t, TYPE_DIR), f = fresh(&t, TYPE_FILE);
	put_told(&t, 0, d);
	put_told(&t, 1, f);
	t.at[10] = d; /* not told of */
	t.at[11] = f;
	put(&t, 0, nothing);
	put(&t, 1, nothing);
	expect(&t, POKE_RENAME, 0, 10);
	expect(&t, POKE_DELETE, 1, 0); /* another link of it, for all we know */
	expect_none(&t);
	pokes_free(t.q);
}

/* At the limit nothing more waits, but what waits already may change on. */
static void test_limit(void **state)
{
	struct pokes_place p = place(5);
	struct tree t;
	(void)state;

	tree_init(&t, 3);
	for (unsigned k = 0; k < 3; k++)
		put(&t, k, fresh(&t, TYPE_FILE));
	assert_int_equal(pokes_entry(t.q, &p, &nothing), ERR_FULL);
	assert_int_equal(pokes_touch(t.q, &p, true), ERR_FULL);
	put(&t, 1, nothing);
	assert_int_equal(pokes_count(t.q), 3);
	expect(&t, POKE_CREATE, 0, 0);
	put(&t, 5, fresh(&t, TYPE_FILE));
	expect(&t, POKE_CREATE, 2, 0);
	expect(&t, POKE_CREATE, 5, 0);
	expect_none(&t);
	put(&t, 6, fresh(&t, TYPE_FILE));
	pokes_clear(t.q);
	expect_none(&t);
	pokes_free(t.q);
}

/* What fails is told as things stand at its next turn, and given up after a few. */
static void test_failed(void **state)
{
	struct pokes_order o;
	struct tree t;
	unsigned turns = 0;
	(void)state;

	tree_init(&t, 100);
	put(&t, 0, fresh(&t, TYPE_FILE));
	assert_true(next(&t, &o));
	put(&t, 0, nothing);
	assert_true(pokes_failed(t.q, &o));
	expect_none(&t); /* nobody was told that it came */
	put(&t, 0, fresh(&t, TYPE_FILE));
	while (next(&t, &o)) {
		turns++;
		assert_int_equal(pokes_failed(t.q, &o), turns <= POKES_TRIES);
	}
	assert_int_equal(turns, POKES_TRIES + 1);
	pokes_free(t.q);
}

/* ---- whatever happens ---- */

/* Who listens: each order must be about what he believes, and changes that. */
static void listen(struct tree *t, const struct pokes_order *o)
{
	bool two = o->kind == POKE_RENAME || o->kind == POKE_EXCHANGE;
	unsigned at = number(&o->at), to = two ? number(&o->to) : 0;

	switch (o->kind) {
	case POKE_CREATE:
		assert_true(same(t->told[at], nothing));
		t->told[at] = o->what;
		break;
	case POKE_DELETE:
		assert_true(same(t->told[at], o->what));
		t->told[at] = nothing;
		break;
	case POKE_RENAME:
		assert_true(same(t->told[at], o->through ? nothing : o->what));
		assert_true(same(t->told[to], o->over));
		t->told[at] = nothing;
		t->told[to] = o->what;
		break;
	case POKE_EXCHANGE:
		assert_true(same(t->told[at], o->what) && same(t->told[to], o->over));
		t->told[at] = o->over;
		t->told[to] = o->what;
		break;
	case POKE_MODIFY:
	case POKE_ATTRIB:
		break;
	}
}

static void change(struct tree *t, struct rng *rng)
{
	unsigned k = (unsigned)rng_below(rng, PLACES), n = (unsigned)rng_below(rng, PLACES);
	struct pokes_thing x = t->at[k], y = t->at[n];

	switch (rng_below(rng, 6)) {
	case 0:
		if (!x.type)
			put(t, k, fresh(t, rng_below(rng, 3) ? TYPE_FILE : TYPE_DIR));
		break;
	case 1:
		put(t, k, nothing);
		break;
	case 2:
		if (x.type && k != n && (!y.type || x.type == y.type)) {
			put(t, k, nothing);
			put(t, n, x);
		}
		break;
	case 3:
		if (x.type == TYPE_FILE && !y.type)
			put(t, n, x);
		break;
	case 4:
		if (x.type && y.type && k != n) {
			put(t, k, y);
			put(t, n, x);
		}
		break;
	default:
		touch(t, k, rng_below(rng, 2));
	}
}

/* Random changes, told late, early and in vain: he who listens knows at the end what is there. */
static void test_random(void **state)
{
	struct rng rng;
	uint8_t seed[32] = {1};
	(void)state;

	rng_init(&rng, seed);
	for (unsigned round = 0; round < 20000; round++) {
		struct pokes_order o;
		struct tree t;

		tree_init(&t, 1000);
		for (unsigned k = (unsigned)rng_below(&rng, 60); k > 0; k--) {
			change(&t, &rng);
			if (rng_below(&rng, 4) || !next(&t, &o))
				continue;
			if (o.tries < POKES_TRIES && o.kind < POKE_MODIFY &&
			    rng_below(&rng, 5) == 0)
				assert_true(pokes_failed(t.q, &o));
			else
				listen(&t, &o);
		}
		while (next(&t, &o))
			listen(&t, &o);
		for (unsigned k = 0; k < PLACES; k++)
			assert_true(same(t.at[k], t.told[k]));
		assert_int_equal(pokes_count(t.q), 0);
		pokes_free(t.q);
	}
}

/* ---- bytes ---- */

static const struct pokewire_order samples[] = {
	{POKE_CREATE, TYPE_DIR, {"", "a"}, {NULL, NULL}},
	{POKE_DELETE, TYPE_SOCKET, {"some/where deep", "\xff\x01 name"}, {NULL, NULL}},
	{POKE_RENAME, TYPE_FILE, {"a", "b"}, {"", "c"}},
	{POKE_EXCHANGE, TYPE_SYMLINK, {"", "b"}, {"x/y/z", "c"}},
	{POKE_MODIFY, 0, {"a/...", "b"}, {NULL, NULL}},
	{POKE_ATTRIB, 0, {"", "..."}, {NULL, NULL}},
};

static void same_text(const char *a, const char *b)
{
	assert_int_equal(!a, !b);
	if (a)
		assert_string_equal(a, b);
}

/* What is encoded is decoded alike; no prefix of it is taken, nor with a byte behind it. */
static void test_wire(void **state)
{
	(void)state;

	for (size_t k = 0; k < ARRAY_LEN(samples); k++) {
		struct pokewire_order o;
		struct wr w = {0};

		pokewire_encode(&w, &samples[k]);
		assert_false(w.bad);
		for (size_t len = 0; len < w.len; len++) {
			uint8_t *cut = malloc(len + 1); /* a sanitizer sees the end */
			assert_non_null(cut);
			memcpy(cut, w.at, len);
			assert_int_equal(pokewire_decode((struct bytes){cut, len}, &o),
					 ERR_MALFORMED);
			free(cut);
		}
		assert_int_equal(pokewire_decode(wr_view(&w), &o), ERR_OK);
		assert_int_equal(o.kind, samples[k].kind);
		assert_int_equal(o.type, samples[k].type);
		same_text(o.at.path, samples[k].at.path);
		same_text(o.at.name, samples[k].at.name);
		same_text(o.to.path, samples[k].to.path);
		same_text(o.to.name, samples[k].to.name);
		wr_u8(&w, 0);
		assert_int_equal(pokewire_decode(wr_view(&w), &o), ERR_MALFORMED);
		wr_fini(&w);
	}
}

/* Paths that lead elsewhere, names that are none, kinds and types that there are not: refused. */
static void test_wire_refuses(void **state)
{
	static const char *const paths[] = {"/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "/"};
	static const char *const names[] = {"", ".", "..", "a/b", "/"};
	struct pokewire_order o;
	struct wr w = {0};
	char longest[POKE_PATH_MAX + 2];
	(void)state;

	for (size_t k = 0; k < ARRAY_LEN(paths) + ARRAY_LEN(names); k++) {
		bool path = k < ARRAY_LEN(paths);
		struct pokewire_order bad = samples[2];
		if (path)
			bad.at.path = paths[k];
		else
			bad.to.name = names[k - ARRAY_LEN(paths)];
		wr_reset(&w);
		pokewire_encode(&w, &bad);
		assert_int_equal(pokewire_decode(wr_view(&w), &o), ERR_MALFORMED);
	}
	for (unsigned kind = 0; kind < 256; kind++) {
		for (unsigned type = 0; type < 256; type++) {
			struct pokewire_order one = samples[0];
			bool typeless = kind == POKE_MODIFY || kind == POKE_ATTRIB;
			bool two = kind == POKE_RENAME || kind == POKE_EXCHANGE;
			wr_reset(&w);
			pokewire_encode(&w, &one);
			w.at[0] = (uint8_t)kind;
			w.at[1] = (uint8_t)type;
			bool good = kind >= POKE_CREATE && kind <= POKE_ATTRIB && !two &&
				    (typeless ? type == 0 : type >= 1 && type <= TYPE_BLOCK);
			assert_int_equal(pokewire_decode(wr_view(&w), &o),
					 good ? ERR_OK : ERR_MALFORMED);
		}
	}
	for (size_t len = POKE_PATH_MAX; len <= POKE_PATH_MAX + 1; len++) {
		struct pokewire_order one = samples[0];
		for (size_t k = 0; k < len; k++)
			longest[k] = k % 200 == 199 && k + 1 < len ? '/' : 'p';
		longest[len] = 0;
		one.at.path = longest;
		wr_reset(&w);
		pokewire_encode(&w, &one);
		assert_int_equal(pokewire_decode(wr_view(&w), &o),
				 len == POKE_PATH_MAX ? ERR_OK : ERR_MALFORMED);
	}
	wr_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_come_and_go),
		cmocka_unit_test(test_came_to_nothing),
		cmocka_unit_test(test_touched),
		cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_renamed_on),
		cmocka_unit_test(test_saved),
		cmocka_unit_test(test_exchanged_and_made_room),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_directory_elsewhere),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_wire_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
