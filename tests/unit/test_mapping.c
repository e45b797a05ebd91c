// SPDX-License-Identifier: MIT
/* test_mapping.c - from ranges of a version to pieces; works and entries of a step, as bytes */
#include "base/rng.h"
#include "core/mapping.h"
#include "core/tables.h"
#include "core/work.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define LEAVES_MAX 200u
#define PER_NODE 7u
#define ROOMY 512u

/* A tree over leaves of random lengths, two levels of nodes deep at most. */
struct tree {
	struct kv *kv;
	struct manifest m;
	struct entry leaf[LEAVES_MAX];
	bool here[LEAVES_MAX]; /* its piece is stored */
	uint32_t parent[LEAVES_MAX]; /* number of its missing ancestor + 1; 0: none */
	uint32_t leaves;
	bool whole; /* nothing is missing */
	struct hash gone[LEAVES_MAX]; /* names of missing nodes */
	uint32_t gone_count;
};

static struct hash name_of(uint64_t n)
{
	struct hash h;

	hash_blake((struct bytes){(const uint8_t *)&n, sizeof(n)}, &h);
	return h;
}

static void make_leaves(struct tree *t, struct rng *r, uint32_t count)
{
	t->leaves = count;
	for (uint32_t k = 0; k < count; k++) {
		struct entry *e = &t->leaf[k];
		*e = (struct entry){.kind = ENTRY_HOLE, .len = 1 + rng_below(r, 100)};
		if (rng_below(r, 4)) {
			e->kind = ENTRY_CHUNK;
			e->epoch = 1;
			e->stored = (uint32_t)e->len + 56;
			e->name = name_of(k);
			e->id = name_of(1000 + k);
			t->here[k] = rng_below(r, 3) > 0 || t->whole;
		}
		t->m.size += e->len;
		if (t->here[k])
			assert_int_equal(mapping_put_piece(t->kv, &e->name, SEAL_CHUNK, 10000 + k,
							   e->stored),
					 ERR_OK);
	}
}

/* Nodes over at[], in their place; first[k] is the first leaf under each. */
static uint32_t raise_level(struct tree *t, struct rng *r, struct entry *at, uint32_t *first,
			    uint32_t count)
{
	uint32_t up = 0;

	for (uint32_t from = 0; from < count; from += PER_NODE, up++) {
		uint32_t n = MIN(PER_NODE, count - from);
		uint32_t end = from + n < count ? first[from + n] : t->leaves;
		struct entry x = {.kind = ENTRY_NODE, .epoch = 1, .stored = 900};
		struct wr plain = {0};
		for (uint32_t k = 0; k < n; k++)
			x.len += at[from + k].len;
		x.name = name_of(5000u + 100u * t->m.depth + up);
		node_encode(&plain, t->m.depth, &at[from], n);
		if (rng_below(r, 5) || t->whole) {
			assert_int_equal(mapping_put_node(t->kv, &x.name, wr_view(&plain)), ERR_OK);
		} else { /* the highest missing one is what stands in the way */
			t->gone[t->gone_count++] = x.name;
			for (uint32_t k = first[from]; k < end; k++)
				t->parent[k] = t->gone_count;
		}
		wr_fini(&plain);
		first[up] = first[from];
		at[up] = x;
	}
	t->m.depth++;
	return up;
}

static void make_tree(struct tree *t, struct rng *r, uint32_t leaves, bool whole)
{
	static struct entry at[LEAVES_MAX]; /* off the stack, as are the others below */
	static uint32_t first[LEAVES_MAX];
	uint32_t count = leaves;

	memset(t, 0, sizeof(*t));
	t->whole = whole;
	t->kv = kv_new_map();
	assert_non_null(t->kv);
	make_leaves(t, r, leaves);
	memcpy(at, t->leaf, leaves * sizeof(at[0]));
	for (uint32_t k = 0; k < leaves; k++)
		first[k] = k;
	while (count > MANIFEST_ROOT_MAX)
		count = raise_level(t, r, at, first, count);
	t->m.count = count;
	memcpy(t->m.at, at, count * sizeof(at[0]));
}

struct want { /* what stands over one byte */
	uint32_t leaf;
	uint64_t in; /* offset in the leaf */
};

static struct want leaf_over(const struct tree *t, uint64_t off)
{
	uint32_t k = 0;

	while (off >= t->leaf[k].len)
		off -= t->leaf[k++].len;
	return (struct want){k, off};
}

static bool listed(const struct sink *s, const struct hash *name)
{
	for (uint32_t k = 0; k < s->missing_count; k++)
		if (memcmp(&s->missing[k].name, name, sizeof(*name)) == 0)
			return true;
	return false;
}

/* What keeps byte off from being here; NULL: nothing. */
static const struct hash *lacking(const struct tree *t, uint64_t off)
{
	uint32_t k = leaf_over(t, off).leaf;

	if (t->parent[k])
		return &t->gone[t->parent[k] - 1];
	return t->leaf[k].kind == ENTRY_CHUNK && !t->here[k] ? &t->leaf[k].name : NULL;
}

static void check_pieces(const struct tree *t, const struct sink *s, uint64_t off)
{
	for (uint32_t k = 0; k < s->count; k++) {
		const struct piece *p = &s->pieces[k];
		assert_true(p->len > 0);
		for (uint64_t i = 0; i < p->len; i++, off++) {
			if (off >= t->m.size) {
				assert_int_equal(p->kind, PIECE_ZERO);
				continue;
			}
			struct want w = leaf_over(t, off);
			if (t->leaf[w.leaf].kind == ENTRY_HOLE) {
				assert_int_equal(p->kind, PIECE_ZERO);
				continue;
			}
			assert_int_equal(p->kind, PIECE_CHUNK);
			assert_int_equal(p->addr, 10000 + w.leaf);
			assert_int_equal(p->from + i, w.in);
		}
	}
}

static void check_range(const struct tree *t, uint64_t off, uint64_t len)
{
	static struct piece pieces[ROOMY];
	static struct missing missing[ROOMY];
	struct sink s = {.pieces = pieces, .max = ROOMY, .missing = missing, .missing_max = ROOMY};
	uint32_t lacks = 0;

	assert_int_equal(mapping_range(t->kv, &t->m, off, len, &s), ERR_OK);
	assert_int_equal(s.len, len);
	assert_false(s.full);
	const struct hash *last = NULL;
	for (uint64_t k = off; k < MIN(off + len, t->m.size); k++) {
		const struct hash *h = lacking(t, k);
		if (h)
			assert_true(listed(&s, h));
		if (h && h != last)
			lacks++;
		last = h ? h : last;
	}
	assert_int_equal(s.missing_count, lacks); /* nothing else, nothing twice */
	if (!lacks)
		check_pieces(t, &s, off);
}

/* Any range of any tree: each byte is over the piece that holds it, behind the end are zeros, and
 * exactly what is missing is listed, once. */
static void test_ranges(void **state)
{
	static struct tree t;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct rng r;
		rng_init_number(&r, seed);
		make_tree(&t, &r, 1 + (uint32_t)rng_below(&r, LEAVES_MAX), false);
		for (int k = 0; k < 60; k++) {
			uint64_t off = rng_below(&r, t.m.size + 20);
			check_range(&t, off, 1 + rng_below(&r, k % 2 ? 50 : t.m.size));
		}
		kv_free_map(t.kv);
	}
}

/* What is here, counted, is what a walk over all leaves counts. */
static void test_residency(void **state)
{
	static struct tree t;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct rng r;
		uint64_t local, sum = 0;
		rng_init_number(&r, seed);
		make_tree(&t, &r, 1 + (uint32_t)rng_below(&r, LEAVES_MAX), false);
		for (uint64_t off = 0; off < t.m.size; off++)
			sum += lacking(&t, off) == NULL;
		assert_int_equal(mapping_local(t.kv, &t.m, &local), ERR_OK);
		assert_int_equal(local, sum);
		kv_free_map(t.kv);
	}
}

/* With little room a range is mapped piece by piece, and goes on where it stopped. */
static void test_little_room(void **state)
{
	static struct tree t;
	struct rng r;

	(void)state;
	rng_init_number(&r, 3);
	make_tree(&t, &r, 100, true);
	for (uint32_t room = 1; room < 5; room++) {
		struct piece pieces[5];
		static struct missing missing[ROOMY];
		uint64_t off = 0, end = t.m.size;
		for (uint32_t turns = 0; off < end; turns++) {
			struct sink s = {.pieces = pieces,
					 .max = room,
					 .missing = missing,
					 .missing_max = ROOMY};
			assert_int_equal(mapping_range(t.kv, &t.m, off, end - off, &s), ERR_OK);
			assert_int_equal(s.missing_count, 0);
			assert_true(s.count > 0 && s.len > 0 && turns < 200);
			check_pieces(&t, &s, off);
			assert_int_equal(s.full, off + s.len < end);
			off += s.len;
		}
	}
	kv_free_map(t.kv);
}

/* Inline bytes are handed out from where they begin, and zeros behind them. */
static void test_inline(void **state)
{
	static const uint8_t data[] = "0123456789";
	struct piece pieces[4];
	struct missing missing[1];
	struct kv *kv = kv_new_map();
	struct manifest m = {.is_inline = true, .size = 10, .data = {data, 10}};
	struct sink s = {.pieces = pieces, .max = 4, .missing = missing, .missing_max = 1};

	(void)state;
	assert_int_equal(mapping_range(kv, &m, 4, 20, &s), ERR_OK);
	assert_int_equal(s.count, 2);
	assert_int_equal(pieces[0].kind, PIECE_INLINE);
	assert_int_equal(pieces[0].len, 6);
	assert_memory_equal(pieces[0].data, "456789", 6);
	assert_int_equal(pieces[1].kind, PIECE_ZERO);
	assert_int_equal(pieces[1].len, 14);
	kv_free_map(kv);
}

/* A content is known when its id is, and its sealed piece is still here. */
static void test_known(void **state)
{
	struct kv *kv = kv_new_map();
	struct entry e = {.kind = ENTRY_CHUNK, .len = 9, .epoch = 2, .stored = 65}, got = {0};

	(void)state;
	e.id = name_of(1);
	e.name = name_of(2);
	assert_int_equal(mapping_known(kv, &e.id, &got), ERR_NOENT);
	assert_int_equal(mapping_put_known(kv, &e), ERR_OK);
	assert_int_equal(mapping_known(kv, &e.id, &got), ERR_NOENT);
	assert_int_equal(mapping_put_piece(kv, &e.name, SEAL_CHUNK, 77, e.stored), ERR_OK);
	assert_int_equal(mapping_known(kv, &e.id, &got), ERR_OK);
	assert_memory_equal(&got.name, &e.name, sizeof(e.name));
	assert_int_equal(got.len, e.len);
	assert_int_equal(mapping_known(kv, &e.name, &got), ERR_NOENT);
	kv_free_map(kv);
}

/* ---- works ---- */

static struct work *some_work(uint64_t no, bool cut)
{
	struct work *w = work_new(no, (struct inode_id){3, no}, 100 + no);
	const struct where saw[] = {{4, 5}, {6, 7}};

	assert_non_null(w);
	w->over = no / 2;
	w->size = 5000 + no;
	w->base_limit = 40;
	w->mtime_ns = -7;
	w->base_version = (struct dot){8, 9};
	wr_raw(&w->base, "manifest", 8);
	w->cut = cut;
	if (cut) {
		w->at = (struct reserved){.dot = {1, 2}, .t = 3, .wall_ms = -4};
		w->at.vec = vector_new(saw, 2);
		w->bases[0] = (struct dot){5, 6};
		w->bases[1] = (struct dot){7, 8};
		w->bases_count = 2;
	}
	return w;
}

static void same_work(const struct work *a, const struct work *b)
{
	assert_int_equal(a->no, b->no);
	assert_true(inode_equal(a->inode, b->inode));
	assert_int_equal(a->since, b->since);
	assert_int_equal(a->over, b->over);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->base_limit, b->base_limit);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(dot_compare(a->base_version, b->base_version), 0);
	assert_true(bytes_equal(wr_view(&a->base), wr_view(&b->base)));
	assert_int_equal(a->cut, b->cut);
	assert_int_equal(dot_compare(a->at.dot, b->at.dot), 0);
	assert_int_equal(a->at.t, b->at.t);
	assert_int_equal(a->at.wall_ms, b->at.wall_ms);
	assert_true(vector_equal(a->at.vec, b->at.vec));
	assert_int_equal(a->bases_count, b->bases_count);
	assert_memory_equal(a->bases, b->bases, sizeof(a->bases));
}

struct shown_works {
	struct work *at[4];
	uint32_t count;
};

static enum err keep_work(void *arg, struct work *take)
{
	struct shown_works *s = arg;

	s->at[s->count++] = take;
	return ERR_OK;
}

/* A work is the same after its rows, and after its journal entries, cut or not; dropped, it is
 * gone with its extents. */
static void test_works(void **state)
{
	struct kv *kv = kv_new_map();
	struct extents *x = extents_new(kv);
	struct shown_works s = {.count = 0};
	struct work *w[3];

	(void)state;
	for (uint64_t k = 0; k < 3; k++) {
		w[k] = some_work(10 + k, k == 1);
		assert_int_equal(work_store_static(kv, w[k]), ERR_OK);
		assert_int_equal(work_store(kv, w[k]), ERR_OK);
		assert_int_equal(extents_put(x, 10 + k, (struct extent){0, 30, 64}), ERR_OK);
	}
	assert_int_equal(work_drop(kv, x, w[0]), ERR_OK);
	assert_int_equal(extents_live(x), 60);
	assert_int_equal(work_load(kv, keep_work, &s), ERR_OK);
	assert_int_equal(s.count, 2);
	for (uint64_t k = 0; k < 2; k++) {
		same_work(s.at[k], w[k + 1]);
		work_free(s.at[k]);
	}
	for (uint64_t k = 0; k < 3; k++)
		work_free(w[k]);
	extents_free(x);
	kv_free_map(kv);
}

/* A shortened or lengthened journal entry of a work is told. */
static void test_works_in_the_journal(void **state)
{
	struct work *w = some_work(20, true), *got;
	struct wr new = {0}, cut = {0};

	(void)state;
	work_write_new(&new, w);
	work_write_cut(&cut, w);
	for (size_t len = 0; len < new.len; len++)
		assert_int_equal(work_read_new((struct bytes){new.at, len}, &got), ERR_DAMAGED);
	assert_int_equal(work_read_new(wr_view(&new), &got), ERR_OK);
	for (size_t len = 0; len < cut.len; len++) {
		struct work *half = work_new(1, (struct inode_id){1, 1}, 0);
		struct rd r = rd_of((struct bytes){cut.at, len});
		assert_int_equal(work_read_cut(&r, half), ERR_DAMAGED);
		work_free(half);
	}
	struct rd r = rd_of(wr_view(&cut));
	assert_int_equal(work_read_cut(&r, got), ERR_OK);
	same_work(got, w);
	work_free(got);
	wr_u8(&new, 0);
	assert_int_equal(work_read_new(wr_view(&new), &got), ERR_DAMAGED);
	work_free(w);
	wr_fini(&new);
	wr_fini(&cut);
}

/* ---- steps ---- */

/* A journal payload is a run of entries, each with its length; nothing is written in replay. */
static void test_entries(void **state)
{
	struct actions acts = {0};
	struct step s = {.acts = &acts};
	size_t mark = 0;

	(void)state;
	for (uint8_t k = 0; k < 3; k++) {
		struct wr *w = step_entry(&s, J_WORK, &mark);
		assert_non_null(w);
		for (uint8_t n = 0; n < k; n++)
			wr_u8(w, k);
		step_entry_end(&s, mark);
	}
	const uint8_t want[] = {J_WORK, 0, 0,      0, 0, J_WORK, 1, 0, 0,
				0,      1, J_WORK, 2, 0, 0,      0, 2, 2};
	assert_true(bytes_equal(wr_view(&acts.journal), BYTES_OF(want)));
	s.replaying = true;
	assert_null(step_entry(&s, J_WORK, &mark));
	step_entry_end(&s, mark);
	assert_int_equal(acts.journal.len, sizeof(want));
	actions_fini(&acts);
}

/* Actions keep their order and what they own is freed with them; a long report is cut short. */
static void test_actions(void **state)
{
	struct actions acts = {0};
	struct step s = {.acts = &acts};
	char text[600];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (int round = 0; round < 2; round++) {
		for (uint64_t k = 0; k < 100; k++) {
			struct action *a = step_act(&s, ACT_SEND);
			assert_non_null(a);
			a->send.peer = k;
			a->send.message = malloc(10);
		}
		step_report(&s, true, "%s", text);
		assert_int_equal(acts.count, 101);
		for (uint64_t k = 0; k < 100; k++)
			assert_int_equal(acts.at[k].send.peer, k);
		assert_int_equal(strlen(acts.at[100].report.text),
				 sizeof(acts.at[100].report.text) - 1);
		assert_int_equal(step_sound(&s), ERR_OK);
		actions_reset(&acts);
		assert_int_equal(acts.count, 0);
	}
	actions_fini(&acts);
}

/* Numbers in keys sort as numbers do. */
static void test_keys(void **state)
{
	const uint64_t rising[] = {0, 1, 255, 256, 65536, UINT64_C(1) << 40, UINT64_MAX};
	struct step_key a, b;

	(void)state;
	for (size_t k = 1; k < ARRAY_LEN(rising); k++) {
		step_key_init(&a, TABLE_WORK);
		step_key_u64(&a, rising[k - 1]);
		step_key_init(&b, TABLE_WORK);
		step_key_u64(&b, rising[k]);
		assert_true(bytes_compare(step_key_view(&a), step_key_view(&b)) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_residency),
		cmocka_unit_test(test_little_room),
		cmocka_unit_test(test_inline),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_works),
		cmocka_unit_test(test_works_in_the_journal),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
