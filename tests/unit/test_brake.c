// SPDX-License-Identifier: MIT
/* test_brake.c - a device that removes or rewrites too much at once is held until a member decides
 */
#include "core/tables.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define FILES 40 /* in the folder */
#define LIMIT 10 /* that may be destroyed without the brake */
#define MINUTE (60u * 1000 * 1000)

static void name_of(unsigned k, char name[16])
{
	snprintf(name, 16, "file%02u", k);
}

/* A folder that A keeps with a brake, and that both have; linked. */
static void begin(struct pair *p)
{
	char name[16];

	pair_init(p, ROLE_WRITER);
	p->a.config.brake = (struct brake_limits){.percent = 30, .files = LIMIT};
	pair_unlink(p);
	pair_stop(&p->a);
	pair_start(&p->a, true);
	for (unsigned k = 0; k < FILES; k++) {
		name_of(k, name);
		(void)pair_put(&p->a, name, bytes_text(name));
	}
	pair_link(p);
	pair_run(p);
	pair_same(p);
}

/* B removes files [from, to), each in a bundle of its own. */
static void b_removes(struct pair *p, unsigned from, unsigned to)
{
	char name[16];

	for (unsigned k = from; k < to; k++) {
		name_of(k, name);
		assert_int_equal(pair_unlink_name(&p->b, name), ERR_OK);
		pair_run(p);
	}
}

static void b_rewrites(struct pair *p, unsigned from, unsigned to)
{
	struct shown s;
	char name[16];

	for (unsigned k = from; k < to; k++) {
		name_of(k, name);
		assert_int_equal(pair_lookup(&p->b, name, &s), ERR_OK);
		uint64_t f = pair_open(&p->b, s.id, true);
		assert_int_equal(pair_truncate(&p->b, f, 0), ERR_OK);
		assert_int_equal(pair_write(&p->b, f, 0, bytes_text("encrypted")), ERR_OK);
		assert_int_equal(pair_close(&p->b, f, true), ERR_OK);
		pair_run(p);
	}
}

static uint32_t aside(struct side *s, struct node_aside ret[4])
{
	return node_aside(s->node, ret, 4);
}

static enum err decide(struct side *s, enum member_kind what)
{
	struct event ev = {.kind = EV_ADMIT};

	ev.member.what = what;
	ev.member.subject = pair_other(s)->config.device.pub;
	return pair_step(s, &ev);
}

/* Up to both limits everything goes through; what would pass them is held, and what is behind it;
 * the old tree is served; when a member accepts, both are one again. */
static void test_held_until_accepted(void **state)
{
	struct node_aside held[4];
	struct pair p;

	(void)state;
	for (int rewrite = 0; rewrite < 2; rewrite++) {
		void (*destroy)(struct pair *, unsigned, unsigned) =
			rewrite ? b_rewrites : b_removes;
		begin(&p);
		destroy(&p, 0, 12); /* 30 % of 40 */
		assert_int_equal(aside(&p.a, held), 0);
		pair_same(&p);
		destroy(&p, 12, FILES);
		assert_int_equal(aside(&p.a, held), 1);
		assert_int_equal(held[0].why, ASIDE_BRAKE);
		assert_int_equal(held[0].bundles, FILES - 12);
		assert_memory_equal(held[0].device.b, p.b.config.device.pub.b, 32);
		assert_true(held[0].since_ms > 0);
		assert_int_equal(pair_entries(&p.a), rewrite ? FILES : FILES - 12);
		assert_int_equal(aside(&p.b, held), 0);
		assert_int_equal(decide(&p.b, MEMBER_ACCEPT), ERR_NODATA);
		assert_int_equal(decide(&p.a, MEMBER_ACCEPT), ERR_OK);
		pair_run(&p);
		assert_int_equal(aside(&p.a, held), 0);
		assert_int_equal(pair_entries(&p.a), rewrite ? FILES : 0);
		pair_same(&p);
		pair_fini(&p);
	}
}

/* Rejected, it is undone where it was made, too; that device goes on in a new incarnation. */
static void test_rejected_everywhere(void **state)
{
	struct node_aside held[4];
	struct inode_id d;
	struct pair p;

	(void)state;
	begin(&p);
	b_removes(&p, 0, 30);
	assert_int_equal(pair_entries(&p.b), FILES - 30);
	assert_int_equal(decide(&p.a, MEMBER_REJECT), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), FILES - 12);
	pair_same(&p);
	assert_int_equal(aside(&p.a, held), 1);
	assert_int_equal(held[0].why, ASIDE_LIMIT);
	assert_int_equal(aside(&p.b, held), 1);
	assert_true(p.b.rebuilt > 0);
	assert_int_equal(pair_mkdir(&p.b, "after", &d), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), FILES - 12 + 1);
	pair_same(&p);
	/* Somebody thinks again: it is taken in all the same. */
	assert_int_equal(decide(&p.a, MEMBER_ACCEPT), ERR_OK);
	pair_run(&p);
	assert_int_equal(aside(&p.a, held), 0);
	assert_int_equal(aside(&p.b, held), 0);
	assert_int_equal(pair_entries(&p.a), FILES - 30 + 1);
	pair_same(&p);
	assert_int_equal(decide(&p.a, MEMBER_ACCEPT), ERR_NODATA);
	pair_fini(&p);
}

/* What a device wrote before it heard that it may write no more is set aside, until it is taken in:
 * that, and nothing that it writes later. */
static void test_set_aside_and_taken_in(void **state)
{
	struct node_aside held[4];
	struct event ev = {.kind = EV_ADMIT};
	struct inode_id d;
	struct pair p;
	char name[16];

	(void)state;
	pair_init(&p, ROLE_WRITER);
	for (unsigned k = 0; k < 3; k++) {
		name_of(k, name);
		(void)pair_put(&p.a, name, bytes_text(name));
	}
	pair_run(&p);
	p.b.deaf = true;
	ev.member.what = MEMBER_ROLE;
	ev.member.role = ROLE_READER;
	ev.member.subject = p.b.config.device.pub;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_unlink_name(&p.b, "file00"), ERR_OK);
	(void)pair_put(&p.b, "of b", bytes_text("precious"));
	pair_run(&p);
	p.b.deaf = false;
	pair_unlink(&p);
	pair_forget(&p);
	pair_link(&p);
	pair_run(&p);
	pair_same(&p);
	assert_int_equal(pair_entries(&p.a), 3);
	assert_int_equal(aside(&p.a, held), 1);
	assert_int_equal(held[0].why, ASIDE_LIMIT);
	ev.member.what = MEMBER_ACCEPT;
	assert_int_equal(pair_step(&p.b, &ev), ERR_REFUSED); /* its own */
	assert_int_equal(decide(&p.a, MEMBER_ACCEPT), ERR_OK);
	pair_run(&p);
	pair_same(&p);
	assert_int_equal(pair_entries(&p.b), 3);
	assert_int_equal(aside(&p.a, held), 0);
	assert_int_equal(pair_mkdir(&p.b, "more", &d), ERR_ROFS);
	pair_fini(&p);
}

/* What is held stays so over a restart of whoever holds it, and over the loss of its index. */
static void test_held_over_a_restart(void **state)
{
	struct node_aside held[4];
	struct pair p;

	(void)state;
	begin(&p);
	b_removes(&p, 0, 20);
	pair_unlink(&p);
	pair_stop(&p.a);
	pair_start(&p.a, false);
	assert_int_equal(aside(&p.a, held), 1);
	assert_int_equal(held[0].bundles, 8);
	assert_int_equal(pair_entries(&p.a), FILES - 12);
	pair_link(&p);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), FILES - 12);
	assert_int_equal(decide(&p.a, MEMBER_ACCEPT), ERR_OK);
	pair_run(&p);
	pair_same(&p);
	pair_fini(&p);
}

/*
 * A device is killed with records of what is held that it had not sent.  Its next incarnation sends
 * them; it comes after what is held, so it is held, too, and is accepted or rejected with it.
 */
static void test_held_over_a_crash_of_its_author(void **state)
{
	struct node_aside held[4];
	struct inode_id d;
	struct pair p;

	(void)state;
	for (int reject = 0; reject < 2; reject++) {
		begin(&p);
		b_removes(&p, 0, 20);
		p.b.hold_bundles = true; /* in the journal, and in no bundle */
		assert_int_equal(pair_mkdir(&p.b, "made", &d), ERR_OK);
		assert_int_equal(pair_rename(&p.b, "made", "called otherwise"), ERR_OK);
		pair_unlink(&p);
		pair_stop(&p.b);
		pair_start(&p.b, false);
		p.b.hold_bundles = false;
		pair_link(&p);
		pair_run(&p);
		assert_int_equal(pair_entries(&p.a), FILES - 12);
		assert_int_equal(pair_mkdir(&p.b, "after", &d), ERR_OK);
		pair_run(&p);
		assert_int_equal(pair_entries(&p.a), FILES - 12);
		assert_true(aside(&p.a, held) >= 2);
		assert_int_equal(decide(&p.a, reject ? MEMBER_REJECT : MEMBER_ACCEPT), ERR_OK);
		pair_run(&p);
		assert_int_equal(pair_entries(&p.a), reject ? FILES - 12 : FILES - 20 + 2);
		pair_same(&p);
		assert_int_equal(pair_mkdir(&p.b, "last", &d), ERR_OK);
		pair_run(&p);
		pair_same(&p);
		pair_fini(&p);
	}
}

/*
 * A device is killed around the time that what it did is rejected: its next life follows what is
 * accepted of the last one, whether it begins before the decision or before the tree is made again.
 */
static void test_rejected_and_killed(void **state)
{
	struct inode_id d;
	struct pair p;

	(void)state;
	for (int before = 0; before < 2; before++) {
		begin(&p);
		b_removes(&p, 0, 20);
		if (!before)
			assert_int_equal(decide(&p.a, MEMBER_REJECT), ERR_OK);
		while (!before && p.b.rebuilt == 0)
			assert_true(pair_run_one(&p));
		pair_unlink(&p);
		pair_stop(&p.b);
		pair_start(&p.b, false);
		pair_link(&p);
		pair_run(&p);
		if (before)
			assert_int_equal(decide(&p.a, MEMBER_REJECT), ERR_OK);
		pair_run(&p);
		assert_int_equal(pair_mkdir(&p.b, "after", &d), ERR_OK);
		pair_run(&p);
		assert_int_equal(pair_entries(&p.a), FILES - 12 + 1);
		pair_same(&p);
		pair_fini(&p);
	}
}

/*
 * What a device made itself a moment ago it may remove and rewrite as it likes: programs make files
 * for a moment by the thousand.
 */
static void test_own_new_files_do_not_count(void **state)
{
	struct node_aside held[4];
	struct pair p;
	char name[16];

	(void)state;
	begin(&p);
	for (unsigned k = FILES; k < 2 * FILES; k++) {
		name_of(k, name);
		(void)pair_put(&p.b, name, bytes_text(name));
		if (k % 2)
			assert_int_equal(pair_unlink_name(&p.b, name), ERR_OK);
		pair_run(&p);
	}
	b_rewrites(&p, FILES, FILES + 1);
	for (unsigned k = FILES + 2; k < 2 * FILES; k += 2)
		b_removes(&p, k, k + 1);
	assert_int_equal(aside(&p.a, held), 0);
	pair_same(&p);
	for (unsigned k = FILES; k < 2 * FILES; k++) { /* but when they have stood for a while */
		name_of(k, name);
		if (k % 2)
			(void)pair_put(&p.b, name, bytes_text(name));
	}
	pair_run(&p);
	pair_wait(&p, 11 * MINUTE);
	for (unsigned k = FILES; k < 2 * FILES; k++)
		if (k % 2)
			b_removes(&p, k, k + 1);
	assert_int_equal(aside(&p.a, held), 1);
	pair_fini(&p);
}

/* The same number over a long time is nobody's mass change; one file rewritten often is one. */
static void test_slowly_is_no_mass_change(void **state)
{
	struct node_aside held[4];
	struct pair p;

	(void)state;
	begin(&p);
	for (unsigned k = 0; k < FILES; k += 5) {
		b_removes(&p, k, k + 5);
		pair_wait(&p, 11 * MINUTE);
		pair_run(&p);
	}
	for (unsigned k = 0; k < 2; k++)
		assert_int_equal(aside(&p.a, held), 0);
	assert_int_equal(pair_entries(&p.a), 0);
	pair_fini(&p);
	begin(&p);
	for (unsigned k = 0; k < 30; k++)
		b_rewrites(&p, 3, 4);
	assert_int_equal(aside(&p.a, held), 0);
	pair_fini(&p);
}

/* A removes all there is, when it has stood for a while; B has a brake. */
static void a_removes_all(struct pair *p, enum role role_of_b)
{
	char name[16];

	pair_init(p, role_of_b);
	p->b.config.brake = (struct brake_limits){.percent = 30, .files = LIMIT};
	pair_unlink(p);
	pair_stop(&p->b);
	pair_start(&p->b, true);
	pair_link(p);
	for (unsigned k = 0; k < FILES; k++) {
		name_of(k, name);
		(void)pair_put(&p->a, name, bytes_text(name));
	}
	pair_run(p);
	pair_wait(p, 11 * MINUTE);
	for (unsigned k = 0; k < FILES; k++) {
		name_of(k, name);
		assert_int_equal(pair_unlink_name(&p->a, name), ERR_OK);
		pair_run(p);
	}
}

/* Who may not decide does not hold, or no longer: in a folder with one writer nobody could ever let
 * it go on. */
static void test_only_who_may_decide_holds(void **state)
{
	struct event ev = {.kind = EV_ADMIT};
	struct node_aside held[4];
	struct pair p;

	(void)state;
	a_removes_all(&p, ROLE_READER);
	assert_int_equal(aside(&p.b, held), 0);
	pair_same(&p);
	pair_fini(&p);
	a_removes_all(&p, ROLE_WRITER);
	assert_int_equal(aside(&p.b, held), 1);
	ev.member.what = MEMBER_ROLE;
	ev.member.role = ROLE_READER;
	ev.member.subject = p.b.config.device.pub;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	pair_run(&p);
	assert_int_equal(aside(&p.b, held), 0);
	pair_same(&p);
	pair_fini(&p);
}

/* Without a brake nothing is held, and below the number nothing is, whatever its share. */
static void test_limits_are_both_needed(void **state)
{
	struct node_aside held[4];
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	p.a.config.brake = (struct brake_limits){.percent = 30, .files = LIMIT};
	pair_unlink(&p);
	pair_stop(&p.a);
	pair_start(&p.a, true);
	pair_link(&p);
	for (unsigned k = 0; k < LIMIT; k++) {
		char name[16];
		name_of(k, name);
		(void)pair_put(&p.a, name, bytes_text(name));
	}
	pair_run(&p);
	b_removes(&p, 0, LIMIT); /* all there is */
	assert_int_equal(aside(&p.a, held), 0);
	assert_int_equal(pair_entries(&p.a), 0);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held_until_accepted),
		cmocka_unit_test(test_rejected_everywhere),
		cmocka_unit_test(test_set_aside_and_taken_in),
		cmocka_unit_test(test_held_over_a_restart),
		cmocka_unit_test(test_held_over_a_crash_of_its_author),
		cmocka_unit_test(test_rejected_and_killed),
		cmocka_unit_test(test_own_new_files_do_not_count),
		cmocka_unit_test(test_slowly_is_no_mass_change),
		cmocka_unit_test(test_only_who_may_decide_holds),
		cmocka_unit_test(test_limits_are_both_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
