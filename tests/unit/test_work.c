// SPDX-License-Identifier: MIT
/* test_work.c - works in rows and journal entries: what is read is what was written, or damage */
#include "core/tables.h"
#include "core/work.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define WORKS 3u

static struct work *some_work(uint64_t no, bool cut, uint32_t bases)
{
	struct work *w = work_new(no, (struct inode_id){11, no + 1}, 1000 + no);

	assert_non_null(w);
	w->over = no + 2;
	w->size = no + 3;
	w->base_limit = no + 4;
	w->mtime_ns = -5 - (int64_t)no;
	w->base_version = (struct dot){6, no + 7};
	wr_bytes(&w->base, bytes_text("a manifest"));
	w->cut = cut;
	if (!cut)
		return w;
	w->at.dot = (struct dot){8, no + 9};
	w->at.t = no + 10;
	w->at.wall_ms = -11 - (int64_t)no;
	w->at.vec = vector_new(&(struct where){12, no + 13}, 1);
	assert_non_null(w->at.vec);
	w->bases_count = bases;
	for (uint32_t k = 0; k < bases; k++)
		w->bases[k] = (struct dot){14 + k, 15};
	return w;
}

static void same_static(const struct work *a, const struct work *b)
{
	assert_int_equal(a->no, b->no);
	assert_true(inode_equal(a->inode, b->inode));
	assert_int_equal(a->since, b->since);
	assert_true(dot_compare(a->base_version, b->base_version) == 0);
	assert_true(bytes_equal(wr_view(&a->base), wr_view(&b->base)));
}

static void same_cut(const struct work *a, const struct work *b)
{
	assert_int_equal(a->cut, b->cut);
	if (!a->cut)
		return;
	assert_true(dot_compare(a->at.dot, b->at.dot) == 0);
	assert_int_equal(a->at.t, b->at.t);
	assert_int_equal(a->at.wall_ms, b->at.wall_ms);
	assert_int_equal(vector_get(b->at.vec, 12), vector_get(a->at.vec, 12));
	assert_int_equal(a->bases_count, b->bases_count);
	for (uint32_t k = 0; k < a->bases_count; k++)
		assert_true(dot_compare(a->bases[k], b->bases[k]) == 0);
}

static void same_changing(const struct work *a, const struct work *b)
{
	assert_int_equal(a->over, b->over);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->base_limit, b->base_limit);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
}

/* A journal entry of a new work, and one of a cut, tell what was written; no prefix and nothing
 * with a byte more does. */
static void test_entries(void **state)
{
	struct wr w = {0};
	struct work *got;

	(void)state;
	struct work *k = some_work(5, true, WORK_BASES_MAX);
	work_write_new(&w, k);
	assert_int_equal(work_read_new(wr_view(&w), &got), ERR_OK);
	same_static(k, got);
	same_changing(k, got);
	for (size_t len = 0; len < w.len; len++) {
		struct work *none = NULL;
		assert_int_equal(work_read_new((struct bytes){w.at, len}, &none), ERR_DAMAGED);
		assert_null(none);
	}
	wr_u8(&w, 0);
	struct work *none = NULL;
	assert_int_equal(work_read_new(wr_view(&w), &none), ERR_DAMAGED);
	wr_reset(&w);
	work_write_cut(&w, k);
	for (size_t len = 0; len <= w.len; len++) {
		struct rd r = rd_of((struct bytes){w.at, len});
		assert_int_equal(work_read_cut(&r, got), len < w.len ? ERR_DAMAGED : ERR_OK);
	}
	same_cut(k, got);
	wr_u8(&w, 0);
	struct rd r = rd_of(wr_view(&w));
	assert_int_equal(work_read_cut(&r, got), ERR_DAMAGED);
	wr_reset(&w);
	k->bases_count = WORK_BASES_MAX + 1; /* one dot more than there is room for */
	wr_u64(&w, 1);
	wr_u64(&w, 2);
	wr_u64(&w, 3);
	wr_u64(&w, 4);
	vector_encode(&w, k->at.vec);
	wr_u32(&w, WORK_BASES_MAX + 1);
	for (uint32_t n = 0; n < 2 * (WORK_BASES_MAX + 1); n++)
		wr_u64(&w, n);
	r = rd_of(wr_view(&w));
	assert_int_equal(work_read_cut(&r, got), ERR_DAMAGED);
	work_free(got);
	work_free(k);
	wr_fini(&w);
}

struct seen {
	struct work *at[WORKS + 1];
	uint32_t count;
	enum err answer;
};

static enum err take(void *arg, struct work *take)
{
	struct seen *s = arg;

	assert_true(s->count < ARRAY_LEN(s->at));
	s->at[s->count++] = take;
	return s->answer;
}

static void seen_fini(struct seen *s)
{
	for (uint32_t k = 0; k < s->count; k++)
		work_free(s->at[k]);
	s->count = 0;
}

/* All works come back from their rows, in order, with what changed last; a dropped one does not. */
static void test_rows(void **state)
{
	struct kv *kv = kv_new_map();
	struct extents *x = extents_new(kv);
	struct work *w[WORKS];
	struct seen s = {0};

	(void)state;
	for (uint32_t k = 0; k < WORKS; k++) {
		w[k] = some_work(300 - 100 * k, false, 0);
		assert_int_equal(work_store_static(kv, w[k]), ERR_OK);
	}
	assert_int_equal(work_load(kv, take, &s), ERR_OK); /* nothing has changed yet */
	assert_int_equal(s.count, WORKS);
	for (uint32_t k = 0; k < WORKS; k++)
		same_changing(w[WORKS - 1 - k], s.at[k]);
	seen_fini(&s);
	work_free(w[1]);
	w[1] = some_work(200, true, 2);
	w[0]->size = 77;
	w[0]->over = 0;
	for (uint32_t k = 0; k < WORKS; k++)
		assert_int_equal(work_store(kv, w[k]), ERR_OK);
	assert_int_equal(extents_put(x, 200, (struct extent){0, 10, 4096}), ERR_OK);
	assert_int_equal(work_load(kv, take, &s), ERR_OK);
	assert_int_equal(s.count, WORKS);
	for (uint32_t k = 0; k < WORKS; k++) {
		same_static(w[WORKS - 1 - k], s.at[k]);
		same_changing(w[WORKS - 1 - k], s.at[k]);
		same_cut(w[WORKS - 1 - k], s.at[k]);
	}
	seen_fini(&s);
	s.answer = ERR_NOMEM; /* who takes them may fail: that is the end */
	assert_int_equal(work_load(kv, take, &s), ERR_NOMEM);
	assert_int_equal(s.count, 1);
	seen_fini(&s);
	s.answer = ERR_OK;
	assert_int_equal(work_drop(kv, x, w[1]), ERR_OK);
	assert_int_equal(extents_live(x), 0);
	assert_int_equal(work_load(kv, take, &s), ERR_OK);
	assert_int_equal(s.count, WORKS - 1);
	seen_fini(&s);
	uint8_t key[11] = {TABLE_WORK, 0, 0, 0, 0, 0, 0, 0, 200, 'd'};
	struct bytes value;
	assert_int_equal(kv_get(kv, (struct bytes){key, 10}, &value), ERR_NOENT);
	for (uint32_t k = 0; k < WORKS; k++)
		work_free(w[k]);
	extents_free(x);
	kv_free_map(kv);
}

/* Rows that nobody wrote so are damage: a key of another length, a value cut short or too long. */
static void test_damaged_rows(void **state)
{
	struct work *w = some_work(1, true, 1);
	struct wr good = {0};
	uint8_t key[11] = {TABLE_WORK, 0, 0, 0, 0, 0, 0, 0, 1, 'd', 0};
	struct bytes value;

	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		w->cut = cut;
		struct kv *kv = kv_new_map();
		struct seen s = {0};
		assert_int_equal(work_store_static(kv, w), ERR_OK);
		assert_int_equal(work_store(kv, w), ERR_OK);
		assert_int_equal(kv_get(kv, (struct bytes){key, 10}, &value), ERR_OK);
		wr_reset(&good);
		wr_bytes(&good, value);
		wr_u8(&good, 0);
		for (size_t len = 0; len <= good.len; len++) {
			struct bytes part = {good.at, len};
			enum err want = len == good.len - 1 ? ERR_OK : ERR_DAMAGED;
			assert_int_equal(kv_put(kv, (struct bytes){key, 10}, part), ERR_OK);
			assert_int_equal(work_load(kv, take, &s), want);
			seen_fini(&s);
		}
		kv_free_map(kv);
	}
	for (size_t len = 2; len <= sizeof(key); len++) {
		struct kv *kv = kv_new_map();
		struct seen s = {0};
		assert_int_equal(work_store_static(kv, w), ERR_OK);
		assert_int_equal(kv_put(kv, (struct bytes){key, len}, bytes_text("")), ERR_OK);
		assert_int_equal(work_load(kv, take, &s), ERR_DAMAGED);
		seen_fini(&s);
		kv_free_map(kv);
	}
	work_free(w);
	wr_fini(&good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_damaged_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
