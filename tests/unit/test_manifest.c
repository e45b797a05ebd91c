// SPDX-License-Identifier: MIT
/* test_manifest.c - contents: limits, sums, equality, nodes */
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static enum err decode_of(const struct manifest *m, struct manifest *ret)
{
	struct wr w = {0};

	manifest_encode(&w, m);
	enum err e = manifest_decode(wr_view(&w), ret);
	wr_fini(&w);
	return e;
}

static struct entry chunk(uint64_t len)
{
	return (struct entry){ENTRY_CHUNK, len, 1, 100, {{1}}, {{2}}};
}

static struct entry node(uint64_t len)
{
	return (struct entry){ENTRY_NODE, len, 1, 100, {{1}}, {{2}}};
}

static struct entry hole(uint64_t len)
{
	return (struct entry){.kind = ENTRY_HOLE, .len = len};
}

static enum err one(struct entry e, uint8_t depth)
{
	struct manifest m = {.size = e.len, .depth = depth, .count = 1}, ret;

	m.at[0] = e;
	return decode_of(&m, &ret);
}

/* Inline contents hold 0 to INLINE_BYTES_MAX bytes, and no more. */
static void test_inline_at_its_limits(void **state)
{
	uint8_t data[INLINE_BYTES_MAX + 1] = {5};
	struct wr w = {0};
	struct manifest m;

	(void)state;
	for (size_t len = 0; len <= INLINE_BYTES_MAX; len += INLINE_BYTES_MAX / 4) {
		wr_reset(&w);
		manifest_inline(&w, (struct bytes){data, len});
		assert_int_equal(manifest_decode(wr_view(&w), &m), ERR_OK);
		assert_true(m.is_inline && m.size == len && m.data.len == len);
		assert_int_equal(manifest_size(wr_view(&w)), len);
		assert_true(bytes_equal(m.data, (struct bytes){data, len}));
	}
	wr_reset(&w);
	wr_u8(&w, 1);
	wr_u16(&w, sizeof(data));
	wr_bytes(&w, BYTES_OF(data));
	assert_int_equal(manifest_decode(wr_view(&w), &m), ERR_MALFORMED);
	assert_int_equal(manifest_size(wr_view(&w)), 0);
	wr_fini(&w);
}

/* An entry's kind fits its depth, and its lengths their limits. */
static void test_entries_are_judged(void **state)
{
	struct entry e;

	(void)state;
	assert_int_equal(one(chunk(1), 0), ERR_OK);
	assert_int_equal(one(chunk(CHUNK_BYTES_MAX), 0), ERR_OK);
	assert_int_equal(one(chunk(CHUNK_BYTES_MAX + 1), 0), ERR_MALFORMED);
	assert_int_equal(one(chunk(0), 0), ERR_MALFORMED);
	assert_int_equal(one(chunk(1), 1), ERR_MALFORMED);
	assert_int_equal(one(hole(MANIFEST_SIZE_MAX), 0), ERR_OK);
	assert_int_equal(one(hole(MANIFEST_SIZE_MAX + 1), 0), ERR_MALFORMED);
	assert_int_equal(one(hole(1), 1), ERR_MALFORMED);
	assert_int_equal(one(node(CHUNK_BYTES_MAX + 1), 1), ERR_OK);
	assert_int_equal(one(node(1), MANIFEST_DEPTH_MAX), ERR_OK);
	assert_int_equal(one(node(1), 0), ERR_MALFORMED);
	e = chunk(1);
	e.stored = 0;
	assert_int_equal(one(e, 0), ERR_MALFORMED);
	e.stored = ENTRY_STORED_MAX;
	assert_int_equal(one(e, 0), ERR_OK);
	e.stored++;
	assert_int_equal(one(e, 0), ERR_MALFORMED);
	e = hole(1);
	e.epoch = 1;
	assert_int_equal(one(e, 0), ERR_MALFORMED);
	e = hole(1);
	e.id.b[31] = 1;
	assert_int_equal(one(e, 0), ERR_MALFORMED);
	e = hole(1);
	e.kind = 4;
	assert_int_equal(one(e, 0), ERR_MALFORMED);
}

/* Entries cover the size exactly; no sum wraps; the root has 1 to MANIFEST_ROOT_MAX of them. */
static void test_a_root_covers_its_size(void **state)
{
	struct manifest m = {.size = 3, .count = 2}, ret;
	struct wr w = {0};

	(void)state;
	m.at[0] = chunk(1);
	m.at[1] = chunk(2);
	assert_int_equal(decode_of(&m, &ret), ERR_OK);
	m.size = 4;
	assert_int_equal(decode_of(&m, &ret), ERR_MALFORMED);
	m.at[0] = m.at[1] = hole(MANIFEST_SIZE_MAX);
	m.size = MANIFEST_SIZE_MAX * 2;
	assert_int_equal(decode_of(&m, &ret), ERR_MALFORMED);
	m.count = MANIFEST_ROOT_MAX;
	m.size = MANIFEST_ROOT_MAX;
	for (uint32_t k = 0; k < m.count; k++)
		m.at[k] = hole(1);
	manifest_encode(&w, &m);
	assert_int_equal(w.len, MANIFEST_BYTES_MAX);
	assert_int_equal(manifest_decode(wr_view(&w), &ret), ERR_OK);
	entry_encode(&w, &m.at[0]);
	w.at[2]++;
	w.at[3]++;
	assert_int_equal(manifest_decode(wr_view(&w), &ret), ERR_MALFORMED);
	w.at[2] = 0;
	assert_int_equal(manifest_decode((struct bytes){w.at, MANIFEST_TREE_HEAD}, &ret),
			 ERR_MALFORMED);
	w.at[2] = 1;
	w.at[1] = MANIFEST_DEPTH_MAX + 1;
	assert_int_equal(manifest_decode(wr_view(&w), &ret), ERR_MALFORMED);
	wr_fini(&w);
}

/* Equal are contents whose lengths and ids are, whatever their seals. */
static void test_equality_is_of_lengths_and_ids(void **state)
{
	struct manifest m;
	struct wr a = {0}, b = {0}, c = {0};

	(void)state;
	sample_manifest_tree(&m);
	manifest_encode(&a, &m);
	m.at[0].epoch = 9;
	m.at[0].stored = 77;
	m.at[0].name.b[0] ^= 1;
	manifest_encode(&b, &m);
	assert_true(manifest_equal(wr_view(&a), wr_view(&b)));
	m.at[0].id.b[0] ^= 1;
	manifest_encode(&c, &m);
	assert_false(manifest_equal(wr_view(&a), wr_view(&c)));
	wr_reset(&c);
	manifest_inline(&c, bytes_text("x"));
	assert_false(manifest_equal(wr_view(&a), wr_view(&c)));
	assert_true(manifest_equal(wr_view(&c), wr_view(&c)));
	wr_reset(&b);
	manifest_inline(&b, bytes_text("y"));
	assert_false(manifest_equal(wr_view(&b), wr_view(&c)));
	a.at[0] = 0; /* malformed is never equal, not even to itself */
	assert_false(manifest_equal(wr_view(&a), wr_view(&a)));
	wr_fini(&a);
	wr_fini(&b);
	wr_fini(&c);
}

/* A node holds 1 to MANIFEST_NODE_MAX entries of its depth. */
static void test_nodes_at_their_limits(void **state)
{
	static struct entry at[MANIFEST_NODE_MAX], got[MANIFEST_NODE_MAX];
	struct wr w = {0};
	uint8_t depth = 9;
	uint32_t count = 9;

	(void)state;
	for (uint32_t k = 0; k < MANIFEST_NODE_MAX; k++)
		at[k] = node(k + 1);
	node_encode(&w, MANIFEST_DEPTH_MAX - 1, at, MANIFEST_NODE_MAX);
	assert_int_equal(w.len, NODE_BYTES_MAX);
	assert_int_equal(node_decode(wr_view(&w), &depth, got, &count), ERR_OK);
	assert_int_equal(depth, MANIFEST_DEPTH_MAX - 1);
	assert_int_equal(count, MANIFEST_NODE_MAX);
	assert_memory_equal(at, got, sizeof(at));
	w.at[0]++;
	assert_int_equal(node_decode(wr_view(&w), &depth, got, &count), ERR_MALFORMED);
	w.at[0] = 0; /* nodes do not stand at depth 0 */
	assert_int_equal(node_decode(wr_view(&w), &depth, got, &count), ERR_MALFORMED);
	w.at[0] = 1;
	entry_encode(&w, &at[0]);
	w.at[1]++;
	assert_int_equal(node_decode(wr_view(&w), &depth, got, &count), ERR_MALFORMED);
	w.at[1] = w.at[2] = 0;
	assert_int_equal(node_decode((struct bytes){w.at, NODE_HEAD}, &depth, got, &count),
			 ERR_MALFORMED);
	assert_int_equal(depth, MANIFEST_DEPTH_MAX - 1);
	wr_fini(&w);
}

/* A node's id depends on its children's lengths, ids, order and number, and on the key. */
static void test_node_ids(void **state)
{
	static struct entry at[MANIFEST_NODE_MAX];
	uint8_t key[KEY_LEN] = {1};
	struct hash seen[8], h;
	size_t n = 0;

	(void)state;
	for (uint32_t k = 0; k < MANIFEST_NODE_MAX; k++) {
		at[k] = chunk(k + 1);
		at[k].id.b[5] = (uint8_t)k;
	}
	node_id(key, at, MANIFEST_NODE_MAX, &seen[n++]);
	at[200].stored++;
	at[200].name.b[0]++;
	at[200].epoch++;
	node_id(key, at, MANIFEST_NODE_MAX, &h);
	assert_memory_equal(h.b, seen[0].b, HASH_LEN);
	node_id(key, at, MANIFEST_NODE_MAX - 1, &seen[n++]);
	node_id(key, at, 64, &seen[n++]);
	node_id(key, at, 65, &seen[n++]);
	at[200].len++;
	node_id(key, at, MANIFEST_NODE_MAX, &seen[n++]);
	at[3].id.b[31] ^= 1;
	node_id(key, at, MANIFEST_NODE_MAX, &seen[n++]);
	struct entry swap = at[0];
	at[0] = at[1];
	at[1] = swap;
	node_id(key, at, MANIFEST_NODE_MAX, &seen[n++]);
	key[0]++;
	node_id(key, at, MANIFEST_NODE_MAX, &seen[n++]);
	for (size_t k = 0; k < n; k++)
		for (size_t j = 0; j < k; j++)
			assert_memory_not_equal(seen[k].b, seen[j].b, HASH_LEN);
}

/* A node ends at an id with low bits zero, but never small, and always when full. */
static void test_where_nodes_end(void **state)
{
	struct entry ends = chunk(1), goes_on = chunk(1);

	(void)state;
	ends.id.b[0] = MANIFEST_NODE_MASK + 1;
	goes_on.id.b[0] = 1;
	assert_false(node_ends(&ends, MANIFEST_NODE_MIN - 1));
	assert_true(node_ends(&ends, MANIFEST_NODE_MIN));
	assert_false(node_ends(&goes_on, MANIFEST_NODE_MIN));
	assert_false(node_ends(&goes_on, MANIFEST_NODE_MAX - 1));
	assert_true(node_ends(&goes_on, MANIFEST_NODE_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inline_at_its_limits),
		cmocka_unit_test(test_entries_are_judged),
		cmocka_unit_test(test_a_root_covers_its_size),
		cmocka_unit_test(test_equality_is_of_lengths_and_ids),
		cmocka_unit_test(test_nodes_at_their_limits),
		cmocka_unit_test(test_node_ids),
		cmocka_unit_test(test_where_nodes_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
