// SPDX-License-Identifier: MIT
/* test_residency.c - how much of a file is here, when a few nodes stand for a million terabytes */
#include "core/mapping.h"
#include "core/step.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define DEPTH 5

/* Each node names the one below it 256 times, the lowest one chunk of a byte. */
static void tower(struct kv *kv, struct manifest *m, uint8_t leaf)
{
	static struct entry at[MANIFEST_NODE_MAX]; /* off the stack */
	struct entry e = {.kind = leaf, .len = 1, .stored = leaf == ENTRY_HOLE ? 0 : 1};

	if (leaf != ENTRY_HOLE)
		e.name.b[0] = 1;
	for (uint8_t depth = 0; depth < DEPTH; depth++) {
		struct wr w = {0};
		for (uint32_t k = 0; k < MANIFEST_NODE_MAX; k++)
			at[k] = e;
		node_encode(&w, depth, at, MANIFEST_NODE_MAX);
		e = (struct entry){
			.kind = ENTRY_NODE, .len = e.len * MANIFEST_NODE_MAX, .stored = 1};
		hash_blake(wr_view(&w), &e.name);
		assert_int_equal(mapping_put_node(kv, &e.name, wr_view(&w)), ERR_OK);
		wr_fini(&w);
	}
	*m = (struct manifest){.depth = DEPTH, .count = MANIFEST_ROOT_MAX};
	for (uint32_t k = 0; k < m->count; k++)
		m->at[k] = e;
	m->size = e.len * m->count;
}

static void test_tower(void **state)
{
	struct kv *kv = kv_new_map();
	struct manifest m;
	uint64_t local;

	(void)state;
	tower(kv, &m, ENTRY_CHUNK);
	assert_int_equal(mapping_local(kv, &m, &local), ERR_OK);
	assert_int_equal(local, 0);
	tower(kv, &m, ENTRY_HOLE);
	assert_int_equal(mapping_local(kv, &m, &local), ERR_OK);
	assert_int_equal(local, m.size);
	kv_free_map(kv);
}

/* Neither do they keep a read: what a step does not look at is left to the next. */
static void test_range_of_a_tower(void **state)
{
	static const uint8_t leaves[] = {ENTRY_CHUNK, ENTRY_HOLE};
	struct kv *kv = kv_new_map();
	struct missing missing[16];
	struct piece pieces[16];
	struct manifest m;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(leaves); k++) {
		struct sink sink = {.pieces = pieces,
				    .max = ARRAY_LEN(pieces),
				    .missing = missing,
				    .missing_max = ARRAY_LEN(missing)};
		tower(kv, &m, leaves[k]);
		assert_int_equal(mapping_range(kv, &m, 1000, 64u << 20, &sink), ERR_OK);
		assert_true(sink.full);
		assert_in_range(sink.len, 1, 1 << 20);
	}
	kv_free_map(kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tower),
					   cmocka_unit_test(test_range_of_a_tower)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
