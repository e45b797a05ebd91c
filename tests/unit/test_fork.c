// SPDX-License-Identifier: MIT
/*
 * test_fork.c - a device that gives one number to two bundles: all come to keep both branches
 *
 * A modified program with B's key writes a log of its own, and forks it.  A and B stand for two
 * honest members who were told different branches (B's node takes it for another life of itself).
 */
#include "base/hash.h"
#include "codec/wire.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define NONCE 99

struct branch { /* of the liar's log: where it stands */
	uint64_t seq, op, t;
	struct hash prev;
};

static struct hash head_of(struct pair *p)
{
	struct hash last = {{0}};

	for (uint32_t k = 0; k < p->a.frames_count; k++) {
		struct rd r = {.at = p->a.journal.at + p->a.frames[k].at};
		r.end = r.at + p->a.frames[k].len;
		while (rd_left(&r)) {
			uint8_t kind = rd_u8(&r);
			struct bytes body = rd_bytes(&r, rd_u32(&r));
			if (kind == J_ROSTER)
				hash_blake(body, &last);
		}
	}
	return last;
}

static uint64_t inc_of(struct pair *p)
{
	return hash_incarnation(&p->b.config.folder, &p->b.config.device.pub, NONCE);
}

/* What makes an empty file, as an operation does. */
static void put_file(struct wr *w, struct branch *b, uint64_t inc, const char *name)
{
	struct record r = {.kind = REC_INODE, .ino = {.type = TYPE_FILE}};
	struct record l = {.kind = REC_LINK, .link = {.has_place = true}};

	r.dot = (struct dot){inc, ++b->op};
	r.t = ++b->t;
	r.inode = (struct inode_id){inc, b->op};
	r.ino.born = (struct stamp){r.t, inc};
	record_encode(w, &r);
	l.dot = (struct dot){inc, ++b->op};
	l.t = ++b->t;
	l.inode = r.inode;
	l.link.name = (struct name_id){r.t, inc, 0};
	l.link.place = (struct place){INODE_ROOT, bytes_text(name)};
	record_encode(w, &l);
}

/* The liar's next bundle on a branch: it makes a file of that name.  The message; the caller frees.
 */
static struct wr bundle(struct pair *p, struct branch *b, const char *name)
{
	struct action a = {.kind = ACT_BUNDLE};
	struct bundle_head *h = &a.bundle.head;
	struct wr body = {0}, message = {0};
	struct node_keys k;
	size_t len;

	node_keys(p->b.node, &k);
	h->folder = p->b.config.folder;
	h->device = p->b.config.device.pub;
	h->nonce = NONCE;
	h->inc = inc_of(p);
	h->seq = ++b->seq;
	h->prev = b->prev;
	h->roster = head_of(p);
	h->epoch = k.newest.epoch;
	h->delta = vector_new(NULL, 0);
	put_file(&body, b, h->inc, name);
	a.bundle.body = wr_take(&body, &a.bundle.len);
	uint8_t *raw = pair_raw_bundle(&k.newest, &p->b.config.device, &a, &len);
	bundle_hash((struct bytes){raw, len}, &b->prev);
	wr_u8(&message, WIRE_BUNDLE);
	wr_raw(&message, raw, len);
	free(raw);
	free(a.bundle.body);
	bundle_head_fini(h);
	return message;
}

/* Told to one alone: what that one passes on is lost. */
static void tell(struct pair *p, struct side *to, struct wr *message)
{
	pair_other(to)->deaf = true;
	pair_send(to, wr_view(message));
	pair_run(p);
	pair_other(to)->deaf = false;
}

static void begin(struct pair *p, struct branch *b)
{
	*b = (struct branch){.t = UINT64_C(1) << 50};
	pair_init(p, ROLE_WRITER);
	pair_run(p);
}

static void meet_again(struct pair *p)
{
	pair_unlink(p);
	pair_forget(p);
	pair_link(p);
	pair_run(p);
}

static uint32_t forks(struct side *s)
{
	struct node_fork f[4];

	return node_forks(s->node, f, 4);
}

static bool shows(struct side *s, const char *name)
{
	struct shown at;

	return pair_lookup(s, name, &at) == ERR_OK;
}

/* Who hears both has both; who hears of it from an index that was lost, too. */
static void test_both_branches_are_kept(void **state)
{
	struct node_fork f[4];
	struct branch one, two;
	struct pair p;

	(void)state;
	begin(&p, &one);
	struct wr common = bundle(&p, &one, "common");
	two = one;
	struct wr first = bundle(&p, &one, "first"), second = bundle(&p, &two, "second");
	struct wr later = bundle(&p, &two, "later");
	struct wr *all[] = {&common, &first, &second, &later};
	for (size_t k = 0; k < ARRAY_LEN(all); k++)
		tell(&p, &p.a, all[k]);
	assert_int_equal(pair_entries(&p.a), 4);
	assert_int_equal(node_forks(p.a.node, f, 4), 1);
	assert_int_equal(f[0].at.inc, inc_of(&p));
	assert_int_equal(f[0].at.seq, 1);
	assert_memory_equal(&f[0].device, &p.b.config.device.pub, sizeof(f[0].device));
	for (size_t k = 0; k < ARRAY_LEN(all); k++) /* said again, they are nothing new */
		tell(&p, &p.a, all[k]);
	assert_int_equal(pair_entries(&p.a), 4);
	pair_unlink(&p);
	pair_stop(&p.a);
	pair_start(&p.a, false);
	assert_int_equal(pair_entries(&p.a), 4);
	assert_int_equal(forks(&p.a), 1);
	pair_link(&p);
	pair_run(&p);
	pair_same(&p);
	assert_int_equal(forks(&p.b), 1);
	for (size_t k = 0; k < ARRAY_LEN(all); k++)
		wr_fini(all[k]);
	pair_fini(&p);
}

/*
 * Each honest member was told another branch, and has built on it: the same numbers, the same ids,
 * and they mean different files.  When they meet both see all of it, and go on.
 */
static void test_what_was_built_on_a_branch_stays_there(void **state)
{
	struct branch one, two;
	struct inode_id d;
	struct pair p;

	(void)state;
	for (int longer = 0; longer < 3; longer++) {
		begin(&p, &one);
		struct wr common = bundle(&p, &one, "common");
		two = one;
		struct wr first = bundle(&p, &one, "first"), second = bundle(&p, &two, "second");
		struct wr later = bundle(&p, longer == 1 ? &one : &two, "later");
		tell(&p, &p.a, &common);
		tell(&p, &p.b, &common);
		tell(&p, &p.a, &first);
		tell(&p, &p.b, &second);
		if (longer)
			tell(&p, longer == 1 ? &p.a : &p.b, &later);
		assert_true(shows(&p.a, "first") && !shows(&p.a, "second"));
		assert_true(shows(&p.b, "second") && !shows(&p.b, "first"));
		p.a.deaf = p.b.deaf = true;
		assert_int_equal(pair_rename(&p.a, "first", "first of A"), ERR_OK);
		assert_int_equal(pair_rename(&p.b, "second", "second of B"), ERR_OK);
		assert_int_equal(pair_rename(&p.a, "common", "common of A"), ERR_OK);
		assert_int_equal(pair_mkdir(&p.b, "of B", &d), ERR_OK);
		pair_run(&p);
		p.a.deaf = p.b.deaf = false;
		meet_again(&p);
		pair_same(&p);
		assert_true(shows(&p.a, "first of A") && shows(&p.a, "second of B"));
		assert_true(shows(&p.a, "common of A") && shows(&p.a, "of B"));
		assert_true(!longer || shows(&p.a, "later"));
		assert_int_equal(pair_entries(&p.a), longer ? 5 : 4);
		assert_int_equal(forks(&p.a) + forks(&p.b), 2);
		assert_int_equal(pair_rename(&p.b, "first of A", "first of both"), ERR_OK);
		assert_int_equal(pair_mkdir(&p.a, "after", &d), ERR_OK);
		pair_run(&p);
		pair_same(&p);
		assert_true(shows(&p.a, "first of both") && shows(&p.b, "after"));
		for (int k = 0; k < 2; k++) { /* from the journal alone */
			struct side *s = k ? &p.b : &p.a;
			pair_unlink(&p);
			pair_stop(s);
			pair_start(s, false);
			pair_link(&p);
			pair_run(&p);
			pair_same(&p);
		}
		wr_fini(&common);
		wr_fini(&first);
		wr_fini(&second);
		wr_fini(&later);
		pair_fini(&p);
	}
}

/* A fork of the very first bundle, one of a branch, and one that lies before another. */
static void test_forks_of_forks(void **state)
{
	struct branch at[6];
	struct pair p;

	(void)state;
	for (int order = 0; order < 4; order++) {
		begin(&p, &at[0]);
		at[1] = at[0];
		struct wr m[6] = {bundle(&p, &at[0], "zero")};
		m[1] = bundle(&p, &at[1], "one");
		at[2] = at[0];
		m[2] = bundle(&p, &at[0], "two");
		m[3] = bundle(&p, &at[2], "three");
		at[3] = at[2];
		m[4] = bundle(&p, &at[2], "four");
		m[5] = bundle(&p, &at[3], "five");
		static const int orders[4][6] = {{0, 1, 2, 3, 4, 5},
						 {0, 2, 3, 4, 5, 1},
						 {1, 0, 3, 2, 5, 4},
						 {0, 3, 4, 5, 2, 1}};
		for (int k = 0; k < 6; k++)
			tell(&p, k % 2 ? &p.a : &p.b, &m[orders[order][k]]);
		for (int k = 0; k < 6; k++)
			tell(&p, k % 2 ? &p.b : &p.a, &m[orders[order][k]]);
		meet_again(&p);
		pair_wait(&p,
			  1000000); /* what waited for a branch is looked at when that is known */
		pair_run(&p);
		pair_same(&p);
		assert_int_equal(pair_entries(&p.a), 6);
		assert_int_equal(forks(&p.a), 3);
		for (int k = 0; k < 6; k++)
			wr_fini(&m[k]);
		pair_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_branches_are_kept),
		cmocka_unit_test(test_what_was_built_on_a_branch_stays_there),
		cmocka_unit_test(test_forks_of_forks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
