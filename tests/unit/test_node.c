// SPDX-License-Identifier: MIT
/* test_node.c - whole nodes: what is published when, and what a start makes of a journal */
#include "core/content.h"
#include "core/outbox.h"
#include "core/spread.h"
#include "core/tables.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define TEXT(s) bytes_text(s)

static bool shows(struct side *s, const char *name)
{
	struct shown at;

	return pair_lookup(s, name, &at) == ERR_OK;
}

static uint64_t size_of(struct side *s, const char *name)
{
	struct shown at;
	struct node_stat st;

	assert_int_equal(pair_lookup(s, name, &at), ERR_OK);
	assert_int_equal(node_stat(s->node, at.id, 0, &st), ERR_OK);
	return st.size;
}

/* What one does the other shows, and both say the same. */
static void test_what_one_does_the_other_shows(void **state)
{
	struct inode_id i;
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_mkdir(&p.a, "d", &i), ERR_OK);
	pair_put(&p.b, "f", TEXT("some bytes"));
	pair_run(&p);
	assert_true(shows(&p.b, "d"));
	assert_int_equal(size_of(&p.a, "f"), 10);
	pair_same(&p);
	assert_true(node_idle(p.a.node));
	assert_true(node_idle(p.b.node));
	pair_fini(&p);
}

/* A new file's name travels with its first version, however it is renamed meanwhile; other files
 * do not wait for it. */
static void test_a_name_waits_for_its_bytes(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	p.a.hold_seals = true;
	assert_int_equal(pair_make(&p.a, "tmp", &i), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("0123")), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.b), 0);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK); /* cut, and not sealed */
	assert_int_equal(pair_rename(&p.a, "tmp", "final"), ERR_OK);
	struct inode_id d;
	assert_int_equal(pair_mkdir(&p.a, "other", &d), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.b), 1);
	assert_true(shows(&p.b, "other"));
	pair_seal_now(&p.a);
	/* Whatever part of this has come, no name is there without its bytes. */
	while (pair_run_one(&p)) {
		assert_true(!shows(&p.b, "tmp") || size_of(&p.b, "tmp") == 4);
		assert_true(!shows(&p.b, "final") || size_of(&p.b, "final") == 4);
	}
	assert_true(shows(&p.b, "final"));
	assert_false(shows(&p.b, "tmp"));
	pair_same(&p);
	pair_fini(&p);
}

/* Records of one inode keep their order when its content is unsealed: nothing done to a file after
 * a write is seen before that write, and nothing done before waits for it. */
static void test_records_of_a_file_keep_their_order(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	struct inode_id i = pair_put(&p.a, "one", TEXT("1"));
	pair_run(&p);
	p.a.hold_seals = true;
	p.a.hold_bundles = true;
	assert_int_equal(pair_rename(&p.a, "one", "two"), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 1, TEXT("2")), ERR_OK);
	assert_int_equal(pair_rename(&p.a, "two", "three"), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 2, TEXT("3")), ERR_OK);
	assert_int_equal(pair_rename(&p.a, "three", "four"), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	p.a.hold_bundles = false;
	pair_bundle_now(&p.a, ERR_OK);
	pair_run(&p);
	assert_true(shows(&p.b, "two"));
	assert_int_equal(size_of(&p.b, "two"), 1);
	while (p.a.works_count) {
		pair_seal_now(&p.a);
		while (pair_run_one(&p)) {
			assert_int_equal(pair_entries(&p.b), 1);
			assert_true(!shows(&p.b, "three") || size_of(&p.b, "three") >= 2);
			assert_true(!shows(&p.b, "four") || size_of(&p.b, "four") == 3);
		}
	}
	assert_true(shows(&p.b, "four"));
	pair_same(&p);
	pair_fini(&p);
}

/* An operation's records travel whole: a rename over a file is never seen as a removal alone. */
static void test_operations_are_seen_whole(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	pair_put(&p.a, "x", TEXT("old"));
	pair_run(&p);
	p.a.hold_seals = true;
	pair_put(&p.a, "tmp", TEXT("newer"));
	assert_int_equal(pair_rename(&p.a, "tmp", "x"), ERR_OK);
	pair_run(&p);
	assert_int_equal(size_of(&p.b, "x"), 3);
	pair_seal_now(&p.a);
	while (pair_run_one(&p)) {
		assert_true(shows(&p.b, "x"));
		assert_int_equal(pair_entries(&p.b), 1);
	}
	assert_int_equal(size_of(&p.b, "x"), 5);
	assert_int_equal(pair_entries(&p.b), 1);
	pair_same(&p);
	pair_fini(&p);
}

/* A bundle that could not be stored loses nothing: after a while its records are cut into the next.
 */
static void test_a_bundle_that_fails_is_made_again(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	p.a.hold_bundles = true;
	assert_int_equal(pair_mkdir(&p.a, "d", &i), ERR_OK);
	pair_bundle_now(&p.a, ERR_NOSPC);
	assert_null(p.a.bundle); /* not at once: as a rule the disk is full */
	assert_false(node_idle(p.a.node));
	pair_wait(&p, OUTBOX_RETRY_USEC);
	assert_non_null(p.a.bundle);
	p.a.hold_bundles = false;
	pair_bundle_now(&p.a, ERR_OK);
	pair_run(&p);
	assert_true(shows(&p.b, "d"));
	pair_same(&p);
	pair_fini(&p);
}

/* A cut publishes what there is, also with nobody listening; what comes after it gathers in full
 * bundles again. */
static void test_a_cut_ends_with_what_it_cut(void **state)
{
	struct event ev = {.kind = EV_CUT};
	struct inode_id i;
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	pair_unlink(&p);
	pair_put(&p.a, "f", TEXT("some bytes"));
	assert_false(node_idle(p.a.node));
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_true(node_idle(p.a.node));
	uint32_t bundles = p.a.did[ACT_BUNDLE];
	assert_int_equal(pair_mkdir(&p.a, "d", &i), ERR_OK);
	assert_int_equal(pair_mkdir(&p.a, "e", &i), ERR_OK);
	assert_int_equal(p.a.did[ACT_BUNDLE], bundles);
	assert_false(node_idle(p.a.node));
	pair_fini(&p);
}

/* ---- replay ---- */

/* One random operation of a user of s. */
static void act(struct side *s, struct rng *r)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	static uint8_t bytes[40000];
	const char *one = names[rng_below(r, 4)], *two = names[rng_below(r, 4)];
	struct shown at;
	struct inode_id i;
	bool is = pair_lookup(s, one, &at) == ERR_OK;
	uint64_t len = rng_below(r, 3) ? 1 + rng_below(r, 50) : 1 + rng_below(r, sizeof(bytes));

	rng_bytes(r, bytes, len);
	switch (rng_below(r, 6)) {
	case 0:
		if (!is)
			assert_int_equal(pair_mkdir(s, one, &i), ERR_OK);
		break;
	case 1:
	case 2:
		if (!is) {
			pair_put(s, one, (struct bytes){bytes, len});
		} else if (at.type == TYPE_FILE) {
			uint64_t f = pair_open(s, at.id, true);
			assert_int_equal(
				pair_write(s, f, rng_below(r, 100), (struct bytes){bytes, len}),
				ERR_OK);
			if (rng_below(r, 2))
				assert_int_equal(pair_truncate(s, f, rng_below(r, 30000)), ERR_OK);
			assert_int_equal(pair_close(s, f, true), ERR_OK);
		}
		break;
	case 3:
	case 4:
		(void)!pair_rename(s, one, two);
		break;
	default:
		(void)!pair_unlink_name(s, one);
		break;
	}
}

/* Pieces come from the packs; what others acknowledged is not in the journal. */
static bool row_matters(struct bytes key)
{
	return key.at[0] != TABLE_PIECE && !(key.at[0] == TABLE_STATE && key.at[1] == 's');
}

/* The next row that matters behind *key; the row in *key and *value. */
static bool next_row(struct kv *kv, uint8_t *copy, struct bytes *key, struct bytes *value)
{
	bool some;

	do {
		some = kv_next(kv, *key, true, key, value) == ERR_OK;
		if (some)
			memcpy(copy, key->at, key->len);
		key->at = copy;
	} while (some && !row_matters(*key));
	return some;
}

static void same_rows(struct kv *x, struct kv *y)
{
	uint8_t kx[KV_KEY_MAX] = {1}, ky[KV_KEY_MAX] = {1};
	struct bytes key_x = {kx, 1}, key_y = {ky, 1}, vx, vy;

	for (;;) {
		bool more = next_row(x, kx, &key_x, &vx);
		assert_int_equal(next_row(y, ky, &key_y, &vy), more);
		if (!more)
			return;
		assert_true(bytes_equal(key_x, key_y));
		assert_true(bytes_equal(vx, vy));
	}
}

/* Rows after frames [from, to) over those after from: digest and rows are what the live node had.
 */
static void check_replay(struct side *s, uint32_t from, uint32_t to)
{
	struct kv *kv = from ? pair_rows_copy(s->frames[from - 1].rows) : kv_new_map();
	struct node *n = pair_replay(s, from, to, kv);
	struct hash digest;

	assert_int_equal(view_digest(node_view(n), &digest), ERR_OK);
	assert_memory_equal(&digest, &s->frames[to - 1].digest, sizeof(digest));
	same_rows(kv, s->frames[to - 1].rows);
	node_check(n);
	node_free(n);
	kv_free_map(kv);
}

/* After any step a replay of the journal so far comes to the same tree and the same rows: from the
 * beginning, and from the rows of any earlier step.  So little time passes that nothing removed is
 * looked at yet: when that is forgotten is not in the journal. */
static void test_replay_of_every_prefix(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct pair p;
		struct rng r;
		pair_init(&p, ROLE_WRITER);
		rng_init_number(&r, seed);
		p.a.watch = p.b.watch = true;
		uint32_t first = p.b.frames_count;
		for (int k = 0; k < 40; k++) {
			p.b.hold_seals = rng_below(&r, 3) == 0;
			act(&p.a, &r);
			act(&p.b, &r);
			if (!p.b.hold_seals)
				pair_seal_now(&p.b);
			if (rng_below(&r, 3) == 0)
				pair_run(&p);
			if (rng_below(&r, 5) == 0)
				pair_wait(&p, CONTENT_QUIET_USEC);
		}
		for (uint32_t to = first + 1; to <= p.b.frames_count; to++) {
			check_replay(&p.b, 0, to);
			if (to > first + 1) {
				uint64_t span = to - first - 1;
				check_replay(&p.b, first + 1 + (uint32_t)rng_below(&r, span), to);
			}
		}
		pair_fini(&p);
	}
}

/* ---- starts ---- */

static uint64_t incarnations(struct side *s)
{
	const struct vector *v = node_vector(s->node);

	return v ? v->count : 0;
}

/* An unclean start opens a new incarnation, a clean one does not. */
static void test_incarnations(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_mkdir(&p.a, "1", &i), ERR_OK);
	pair_run(&p);
	uint64_t inc = i.inc;
	for (int k = 0; k < 2; k++) {
		bool clean = k == 0;
		pair_unlink(&p);
		pair_stop(&p.a);
		pair_start(&p.a, clean);
		pair_link(&p);
		pair_run(&p);
		assert_int_equal(pair_mkdir(&p.a, clean ? "2" : "3", &i), ERR_OK);
		assert_int_equal(i.inc == inc, clean);
		pair_run(&p);
		assert_int_equal(incarnations(&p.b), 1 + k);
		pair_same(&p);
	}
	pair_fini(&p);
}

/* What an incarnation did and never sent is sent by the one after it, even when several ended
 * without a word, and both end with the same tree. */
static void test_held_records_of_an_ended_incarnation(void **state)
{
	(void)state;
	for (int ends = 1; ends <= 3; ends++) {
		struct pair p;
		struct inode_id i;
		pair_init(&p, ROLE_WRITER);
		pair_put(&p.a, "x", TEXT("first"));
		pair_run(&p);
		pair_unlink(&p);
		for (int k = 0; k < ends; k++) {
			char name[] = "d0";
			name[1] = (char)('0' + k);
			p.a.hold_seals = true;
			pair_put(&p.a, name, TEXT("held"));
			assert_int_equal(pair_rename(&p.a, name, k % 2 ? "y" : "x"), ERR_OK);
			name[0] = 'e';
			assert_int_equal(pair_mkdir(&p.a, name, &i), ERR_OK);
			p.a.hold_seals = false;
			pair_stop(&p.a);
			pair_start(&p.a, false);
		}
		uint64_t f;
		struct shown at;
		assert_int_equal(pair_lookup(&p.b, "x", &at), ERR_OK);
		f = pair_open(&p.b, at.id, true); /* B edits meanwhile what A replaced */
		assert_int_equal(pair_write(&p.b, f, 5, TEXT(" edited")), ERR_OK);
		assert_int_equal(pair_close(&p.b, f, true), ERR_OK);
		pair_link(&p);
		pair_run(&p);
		pair_same(&p);
		assert_true(node_idle(p.a.node));
		assert_true(shows(&p.b, "e0"));
		assert_int_equal(size_of(&p.b, "x"), 4);
		assert_int_equal(pair_entries(&p.a), (uint32_t)(ends + (ends > 1) + 2));
		pair_fini(&p);
	}
}

/* Bytes written and never cut are cut by the next start; so is a version that was being sealed. */
static void test_a_start_cuts_what_a_crash_left(void **state)
{
	struct pair p;
	struct inode_id i, j;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	p.a.hold_seals = true;
	assert_int_equal(pair_make(&p.a, "open", &i), ERR_OK);
	assert_int_equal(pair_write(&p.a, pair_open(&p.a, i, true), 0, TEXT("abc")), ERR_OK);
	j = pair_put(&p.a, "cut", TEXT("defg"));
	assert_int_equal(pair_write(&p.a, pair_open(&p.a, j, true), 4, TEXT("hi")), ERR_OK);
	pair_unlink(&p);
	pair_stop(&p.a);
	p.a.hold_seals = false;
	pair_start(&p.a, false);
	pair_link(&p);
	pair_run(&p);
	assert_true(node_idle(p.a.node));
	assert_int_equal(size_of(&p.b, "open"), 3);
	assert_int_equal(size_of(&p.b, "cut"), 6);
	pair_same(&p);
	pair_fini(&p);
}

/* What a device did it has seen, whichever incarnation's bundles carried it: made before one crash
 * and undone before the next, it is undone everywhere. */
static void test_undone_over_two_crashes(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	pair_unlink(&p);
	pair_put(&p.a, "f", TEXT("bytes"));
	for (int k = 0; k < 2; k++) {
		pair_stop(&p.a);
		pair_start(&p.a, false);
		pair_link(&p);
		pair_run(&p);
		pair_same(&p);
		assert_int_equal(pair_entries(&p.b), k == 0);
		pair_unlink(&p);
		if (k == 0)
			assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	}
	pair_fini(&p);
}

/* Until nobody has anything left to say: bytes that a version lacks are fetched first, what was
 * lost is sent again. */
static void settle(struct pair *p)
{
	for (int k = 0; k < 20; k++) {
		pair_wait(p, SPREAD_AGAIN_USEC);
		pair_seal_now(&p->a);
		pair_seal_now(&p->b);
		pair_run(p);
		if (node_idle(p->a.node) && node_idle(p->b.node))
			return;
	}
}

/* A crash at any frame, then more work: both still come to the same tree, and what the other had
 * seen stays. */
static void test_crash_anywhere(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct pair p;
		struct rng r;
		pair_init(&p, ROLE_WRITER);
		rng_init_number(&r, 1000 + seed);
		for (int k = 0; k < 60; k++) {
			struct side *s = rng_below(&r, 2) ? &p.a : &p.b;
			s->hold_seals = rng_below(&r, 3) == 0;
			act(s, &r);
			if (!s->hold_seals)
				pair_seal_now(s);
			if (rng_below(&r, 4) == 0)
				pair_run(&p);
			if (rng_below(&r, 6) == 0) {
				pair_unlink(&p);
				pair_stop(s);
				pair_start(s, false);
				pair_link(&p);
			}
		}
		p.a.hold_seals = p.b.hold_seals = false;
		settle(&p);
		assert_true(node_idle(p.a.node));
		assert_true(node_idle(p.b.node));
		pair_same(&p);
		pair_fini(&p);
	}
}

/* ---- modules below that a node drives ---- */

/* Damaged journal entries are told, never believed. */
static void test_replay_of_damaged_frames(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	pair_put(&p.b, "f", TEXT("bytes"));
	pair_run(&p);
	pair_unlink(&p);
	for (uint32_t k = 0; k < p.b.frames_count; k++) {
		struct pair_frame *f = &p.b.frames[k];
		for (size_t cut = 1; cut < f->len; cut += 1 + f->len / 40) {
			struct kv *kv = kv_new_map();
			struct node *n = pair_replay(&p.b, 0, k, kv);
			struct bytes part = {p.b.journal.at + f->at, cut};
			enum err e = node_replay(n, f->at, part, pair_replay_open, &p.b);
			/* a frame may be several entries: a cut between them is not seen here */
			assert_true(e == ERR_DAMAGED || e == ERR_OK || e == ERR_MALFORMED);
			node_free(n);
			kv_free_map(kv);
		}
	}
	pair_fini(&p);
}

/*
 * A's disk is put back to an image of a moment when it had records that no bundle carried yet; the
 * life that went on published them, and B built on them.  They are the same records, whichever
 * bundle brings them: nothing is lost, nothing superseded comes back, and both show one tree.
 */
static void test_a_restored_image_publishes_again(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		struct node_counts counts;
		struct shown f;
		struct pair p;
		pair_init(&p, ROLE_WRITER);
		pair_run(&p);
		pair_unlink(&p);
		(void)pair_put(&p.a, "f", bytes_text("one"));
		(void)pair_put(&p.a, "g", bytes_text("two"));
		const struct side image = p.a;
		pair_link(&p);
		pair_run(&p);
		if (how & 1) { /* B's edit replaces the version */
			assert_int_equal(pair_lookup(&p.b, "f", &f), ERR_OK);
			uint64_t file = pair_open(&p.b, f.id, true);
			assert_int_equal(pair_write(&p.b, file, 0, bytes_text("three")), ERR_OK);
			assert_int_equal(pair_close(&p.b, file, true), ERR_OK);
		}
		if (how & 2)
			assert_int_equal(pair_unlink_name(&p.b, "g"), ERR_OK);
		pair_run(&p);
		pair_unlink(&p);
		pair_stop(&p.a);
		p.a.journal.len = image.journal.len;
		p.a.frames_count = image.frames_count;
		p.a.packs.len = image.packs.len;
		p.a.pieces_count = image.pieces_count;
		pair_start(&p.a, false);
		assert_int_equal(pair_entries(&p.a), 2);
		pair_link(&p);
		pair_run(&p);
		pair_same(&p);
		assert_int_equal(pair_entries(&p.a), how & 2 ? 1 : 2);
		node_counts(p.a.node, &counts);
		assert_int_equal(counts.conflicts, 0);
		assert_int_equal(counts.records_held, 0);
		pair_stop(&p.b); /* and over a replay */
		pair_start(&p.b, false);
		pair_same(&p);
		pair_fini(&p);
	}
}

/*
 * The same with a store that had been stopped cleanly: what it writes before it has met anybody is
 * in a new incarnation, and when it meets who knows more of it, it goes on in one.
 */
static void test_a_restored_clean_image(void **state)
{
	(void)state;
	for (unsigned writes = 0; writes < 2; writes++) {
		struct pair p;
		pair_init(&p, ROLE_WRITER);
		(void)pair_put(&p.a, "f", bytes_text("one"));
		pair_run(&p);
		pair_unlink(&p);
		pair_stop(&p.a);
		const struct side image = p.a;
		pair_start(&p.a, true);
		pair_link(&p);
		pair_run(&p);
		(void)pair_put(&p.a, "after", bytes_text("the image"));
		pair_run(&p);
		pair_unlink(&p);
		pair_stop(&p.a);
		p.a.journal.len = image.journal.len;
		p.a.frames_count = image.frames_count;
		p.a.packs.len = image.packs.len;
		p.a.pieces_count = image.pieces_count;
		pair_start(&p.a, true);
		if (writes)
			(void)pair_put(&p.a, "offline", bytes_text("before it met anybody"));
		pair_link(&p);
		pair_run(&p);
		(void)pair_put(&p.a, "again", bytes_text("and on"));
		pair_run(&p);
		assert_int_equal(pair_entries(&p.a), 3 + writes);
		pair_same(&p);
		pair_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_restored_image_publishes_again),
		cmocka_unit_test(test_a_restored_clean_image),
		cmocka_unit_test(test_what_one_does_the_other_shows),
		cmocka_unit_test(test_a_name_waits_for_its_bytes),
		cmocka_unit_test(test_records_of_a_file_keep_their_order),
		cmocka_unit_test(test_operations_are_seen_whole),
		cmocka_unit_test(test_a_bundle_that_fails_is_made_again),
		cmocka_unit_test(test_a_cut_ends_with_what_it_cut),
		cmocka_unit_test(test_replay_of_every_prefix),
		cmocka_unit_test(test_incarnations),
		cmocka_unit_test(test_held_records_of_an_ended_incarnation),
		cmocka_unit_test(test_a_start_cuts_what_a_crash_left),
		cmocka_unit_test(test_undone_over_two_crashes),
		cmocka_unit_test(test_crash_anywhere),
		cmocka_unit_test(test_replay_of_damaged_frames),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
