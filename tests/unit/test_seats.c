// SPDX-License-Identifier: MIT
/* test_seats.c - who may say what in the roster, and what it changes */
#include "core/seats.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

/* Who sits where in the folder of these tests; a second admin only where a row says so. */
enum { ADMIN, WRITER, READER, HELPER, FORMER, STRANGER, SECOND, DEVICES };

struct folder {
	struct seat at[DEVICES];
	struct seats s;
};

static void folder_init(struct folder *f, bool second)
{
	static const enum role roles[DEVICES] = {ROLE_ADMIN,  ROLE_WRITER, ROLE_READER,
						 ROLE_HELPER, ROLE_NONE,   ROLE_NONE};

	f->s = (struct seats){.at = f->at, .admins = second ? 2 : 1, .members = second ? 6 : 5};
	for (uint32_t k = 0; k < DEVICES; k++) {
		f->at[k] = SEAT_EMPTY;
		f->at[k].role = k == SECOND && second ? ROLE_ADMIN : roles[k];
		f->at[k].ever = f->at[k].role != ROLE_NONE || k == FORMER;
		f->at[k].named = f->at[k].ever ? 100 + k : SEATS_NONE;
	}
}

static bool apply(struct folder *f, enum member_kind kind, uint32_t by, uint32_t of, enum role role)
{
	struct member_record m = {.kind = (uint8_t)kind, .role = (uint8_t)role};
	struct seats_act a = {&m, by, of};
	struct folder was = *f;

	was.s.at = was.at;
	bool may = seats_allowed(&f->s, &a);
	assert_int_equal(seats_apply(&f->s, &a, 7), may);
	if (!may) { /* what is skipped changes nothing */
		assert_memory_equal(f->at, was.at, sizeof(f->at));
		assert_int_equal(f->s.admins, was.s.admins);
		assert_int_equal(f->s.members, was.s.members);
	}
	return may;
}

/* Rules about roles, each with who may and who may not. */
static const struct {
	enum member_kind kind;
	uint32_t by, of;
	enum role role;
	bool second, may;
} rules[] = {
	/* Nobody founds a folder twice. */
	{MEMBER_FOUND, ADMIN, ADMIN, ROLE_NONE, false, false},
	/* Admins let in: strangers, and those that were here; nobody else does. */
	{MEMBER_ADD, ADMIN, STRANGER, ROLE_READER, false, true},
	{MEMBER_ADD, ADMIN, FORMER, ROLE_READER, false, true},
	{MEMBER_ADD, ADMIN, WRITER, ROLE_READER, false, true},
	{MEMBER_ADD, WRITER, STRANGER, ROLE_READER, false, false},
	{MEMBER_ADD, STRANGER, STRANGER, ROLE_ADMIN, false, false},
	/* Admins change roles, of members, but the last of them stays one. */
	{MEMBER_ROLE, ADMIN, WRITER, ROLE_READER, false, true},
	{MEMBER_ROLE, ADMIN, HELPER, ROLE_ADMIN, false, true},
	{MEMBER_ROLE, ADMIN, ADMIN, ROLE_ADMIN, false, true},
	{MEMBER_ROLE, ADMIN, ADMIN, ROLE_WRITER, false, false},
	{MEMBER_ROLE, ADMIN, ADMIN, ROLE_WRITER, true, true},
	{MEMBER_ROLE, ADMIN, SECOND, ROLE_READER, true, true},
	{MEMBER_ROLE, ADMIN, FORMER, ROLE_READER, false, false},
	{MEMBER_ROLE, ADMIN, STRANGER, ROLE_READER, false, false},
	{MEMBER_ROLE, WRITER, READER, ROLE_WRITER, false, false},
	{MEMBER_ROLE, WRITER, WRITER, ROLE_READER, false, false},
	/* Admins remove members; nobody leaves by removal of their own; an admin stays. */
	{MEMBER_REMOVE, ADMIN, WRITER, ROLE_NONE, false, true},
	{MEMBER_REMOVE, ADMIN, SECOND, ROLE_NONE, true, true},
	{MEMBER_REMOVE, ADMIN, ADMIN, ROLE_NONE, true, true},
	{MEMBER_REMOVE, ADMIN, ADMIN, ROLE_NONE, false, false},
	{MEMBER_REMOVE, ADMIN, FORMER, ROLE_NONE, false, false},
	{MEMBER_REMOVE, ADMIN, STRANGER, ROLE_NONE, false, false},
	{MEMBER_REMOVE, WRITER, READER, ROLE_NONE, false, false},
	{MEMBER_REMOVE, WRITER, WRITER, ROLE_NONE, false, false},
	/* Each may retire itself, admins anybody, but for the last admin. */
	{MEMBER_RETIRE, WRITER, WRITER, ROLE_NONE, false, true},
	{MEMBER_RETIRE, ADMIN, WRITER, ROLE_NONE, false, true},
	{MEMBER_RETIRE, WRITER, READER, ROLE_NONE, false, false},
	{MEMBER_RETIRE, ADMIN, ADMIN, ROLE_NONE, true, true},
	{MEMBER_RETIRE, ADMIN, ADMIN, ROLE_NONE, false, false},
	{MEMBER_RETIRE, FORMER, FORMER, ROLE_NONE, false, false},
	{MEMBER_RETIRE, STRANGER, STRANGER, ROLE_NONE, false, false},
	/* Keys come from admins alone; addresses are a member's. */
	{MEMBER_KEYS, ADMIN, READER, ROLE_NONE, false, true},
	{MEMBER_KEYS, WRITER, READER, ROLE_NONE, false, false},
	{MEMBER_ADDR, HELPER, HELPER, ROLE_NONE, false, true},
	{MEMBER_ADDR, FORMER, FORMER, ROLE_NONE, false, false},
	{MEMBER_ADDR, STRANGER, STRANGER, ROLE_NONE, false, false},
	/* A mass change is waved through, or not, by whoever may write and did not make it.
	 */
	{MEMBER_ACCEPT, ADMIN, WRITER, ROLE_NONE, false, true},
	{MEMBER_ACCEPT, WRITER, ADMIN, ROLE_NONE, false, true},
	{MEMBER_ACCEPT, WRITER, WRITER, ROLE_NONE, false, false},
	{MEMBER_ACCEPT, READER, WRITER, ROLE_NONE, false, false},
	{MEMBER_ACCEPT, WRITER, FORMER, ROLE_NONE, false, false},
	{MEMBER_REJECT, WRITER, READER, ROLE_NONE, false, true},
	{MEMBER_REJECT, WRITER, WRITER, ROLE_NONE, false, false},
	{MEMBER_REJECT, HELPER, WRITER, ROLE_NONE, false, false},
	{MEMBER_REJECT, FORMER, WRITER, ROLE_NONE, false, false},
	/* What this version does not know, and what names nobody, has no effect. */
	{MEMBER_REJECT + 1, ADMIN, SEATS_NONE, ROLE_NONE, false, false},
	{0, ADMIN, SEATS_NONE, ROLE_NONE, false, false},
};

/* Each rule holds. */
static void test_who_may_say_what(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(rules); k++) {
		struct folder f;
		folder_init(&f, rules[k].second);
		bool may = apply(&f, rules[k].kind, rules[k].by, rules[k].of, rules[k].role);
		if (may != rules[k].may)
			print_error("row %zu\n", k);
		assert_int_equal(may, rules[k].may);
	}
}

/* A folder without members can be founded, and nothing else can be said in it. */
static void test_founding(void **state)
{
	(void)state;
	for (int kind = MEMBER_FOUND; kind <= MEMBER_REJECT; kind++) {
		struct folder f = {.s = {.at = f.at}};
		for (uint32_t k = 0; k < DEVICES; k++)
			f.at[k] = SEAT_EMPTY;
		bool may = apply(&f, (enum member_kind)kind, STRANGER, STRANGER, ROLE_WRITER);
		assert_int_equal(may, kind == MEMBER_FOUND);
		assert_int_equal(f.s.members, may);
		assert_int_equal(f.s.admins, may);
		assert_int_equal(f.at[STRANGER].role, may ? ROLE_ADMIN : ROLE_NONE);
	}
}

/* Who is removed, retired or rejected is accepted only so far, and so is who may write no more. */
static void test_limits(void **state)
{
	static const struct {
		enum member_kind kind;
		uint32_t of;
		enum role role;
		bool limits;
	} row[] = {
		{MEMBER_FOUND, ADMIN, ROLE_NONE, false},
		{MEMBER_ADD, WRITER, ROLE_READER, false},
		{MEMBER_REMOVE, READER, ROLE_NONE, true},
		{MEMBER_RETIRE, WRITER, ROLE_NONE, true},
		{MEMBER_KEYS, WRITER, ROLE_NONE, false},
		{MEMBER_ADDR, WRITER, ROLE_NONE, false},
		{MEMBER_ACCEPT, WRITER, ROLE_NONE, false},
		{MEMBER_REJECT, WRITER, ROLE_NONE, true},
		{MEMBER_ROLE, WRITER, ROLE_READER, true},
		{MEMBER_ROLE, ADMIN, ROLE_READER, true},
		{MEMBER_ROLE, ADMIN, ROLE_WRITER, false},
		{MEMBER_ROLE, WRITER, ROLE_ADMIN, false},
		{MEMBER_ROLE, READER, ROLE_HELPER, false},
		{MEMBER_ROLE, READER, ROLE_WRITER, false},
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(row); k++) {
		struct member_record m = {.kind = (uint8_t)row[k].kind,
					  .role = (uint8_t)row[k].role};
		struct folder f;
		folder_init(&f, false);
		if (seats_limits(&f.s, &(struct seats_act){&m, ADMIN, row[k].of}) != row[k].limits)
			print_error("row %zu\n", k);
		assert_int_equal(seats_limits(&f.s, &(struct seats_act){&m, ADMIN, row[k].of}),
				 row[k].limits);
	}
}

/* What is said changes just what it says. */
static void test_what_it_changes(void **state)
{
	struct folder f;

	(void)state;
	folder_init(&f, false);
	assert_true(apply(&f, MEMBER_ADD, ADMIN, STRANGER, ROLE_READER));
	assert_true(f.at[STRANGER].role == ROLE_READER && f.at[STRANGER].ever);
	assert_int_equal(f.at[STRANGER].named, 7);
	assert_int_equal(f.s.members, 6);
	assert_true(
		apply(&f, MEMBER_ADD, ADMIN, FORMER, ROLE_ADMIN)); /* comes back: counted once */
	assert_int_equal(f.s.members, 6);
	assert_int_equal(f.s.admins, 2);
	assert_int_equal(f.at[FORMER].named, 7);
	assert_true(apply(&f, MEMBER_ADD, ADMIN, WRITER, ROLE_READER)); /* it is here: keys alone */
	assert_int_equal(f.at[WRITER].role, ROLE_WRITER);
	assert_int_equal(f.at[WRITER].named, 100 + WRITER);
	assert_true(apply(&f, MEMBER_ROLE, ADMIN, FORMER, ROLE_WRITER));
	assert_int_equal(f.s.admins, 1);
	assert_int_equal(f.at[FORMER].role, ROLE_WRITER);
	assert_true(apply(&f, MEMBER_REMOVE, ADMIN, READER, ROLE_NONE));
	assert_true(f.at[READER].role == ROLE_NONE && f.at[READER].ever);
	assert_true(apply(&f, MEMBER_RETIRE, HELPER, HELPER, ROLE_NONE));
	assert_int_equal(f.at[HELPER].role, ROLE_NONE);
	assert_int_equal(f.s.members, 6);
	assert_true(apply(&f, MEMBER_ADDR, ADMIN, ADMIN, ROLE_NONE));
	assert_int_equal(f.at[ADMIN].addr, 7);
	assert_int_equal(f.at[WRITER].addr, SEATS_NONE);
}

/* As many as may ever be members are let in, not one more; who was one may still return. */
static void test_members_max(void **state)
{
	struct folder f;

	(void)state;
	folder_init(&f, false);
	f.s.members = MEMBERS_MAX - 1;
	assert_true(apply(&f, MEMBER_ADD, ADMIN, STRANGER, ROLE_READER));
	assert_int_equal(f.s.members, MEMBERS_MAX);
	assert_false(apply(&f, MEMBER_ADD, ADMIN, SECOND, ROLE_READER));
	assert_true(apply(&f, MEMBER_ADD, ADMIN, FORMER, ROLE_READER));
	assert_int_equal(f.s.members, MEMBERS_MAX);
}

/* The kinds that speak of a device are the known ones. */
static void test_subjects(void **state)
{
	(void)state;
	for (int kind = 0; kind < 256; kind++)
		assert_int_equal(seats_has_subject((uint8_t)kind),
				 kind >= MEMBER_FOUND && kind < MEMBER_REJECT + 1);
}

static void key_add(struct folder_keys *k, uint32_t epoch, uint8_t what)
{
	k->at[k->count].epoch = epoch;
	memset(k->at[k->count].key, what, KEY_LEN);
	k->count++;
}

/* Keys stand by epoch; who tells an epoch's key first tells it for good; beyond the limit no more
 * are taken. */
static void test_keys_add(void **state)
{
	struct folder_keys all = {0}, more = {0};

	(void)state;
	key_add(&all, 3, 30);
	key_add(&all, 7, 70);
	key_add(&more, 1, 11);
	key_add(&more, 3, 31);
	key_add(&more, 5, 51);
	key_add(&more, 7, 71);
	key_add(&more, 9, 91);
	seats_keys_add(&all, &more);
	static const uint8_t epochs[] = {1, 3, 5, 7, 9}, keys[] = {11, 30, 51, 70, 91};
	assert_int_equal(all.count, ARRAY_LEN(epochs));
	for (uint32_t k = 0; k < all.count; k++) {
		assert_int_equal(all.at[k].epoch, epochs[k]);
		assert_int_equal(all.at[k].key[0], keys[k]);
		assert_int_equal(all.at[k].key[KEY_LEN - 1], keys[k]);
	}
	more.count = 0;
	for (uint32_t k = 0; k < FOLDER_EPOCHS_MAX; k++)
		key_add(&more, 100 + k, 1);
	seats_keys_add(&all, &more);
	assert_int_equal(all.count, FOLDER_EPOCHS_MAX);
	assert_int_equal(all.at[FOLDER_EPOCHS_MAX - 1].epoch, 100 + FOLDER_EPOCHS_MAX - 6);
	more.count = 0;
	key_add(&more, 2, 1);
	seats_keys_add(&all, &more);
	assert_int_equal(all.at[1].epoch, 3);
}

/* A box opens for whom it is meant; one that is too short or too long, for another, changed, or
 * with something else in it than keys does not, but was tried. */
static void test_keys_open(void **state)
{
	struct sign_pair mine, other;
	struct folder_keys k = {0};
	struct wr plain = {0}, box = {0}, wrong = {0};
	uint8_t seed[32] = {1}, big[MEMBER_BOX_MAX + 1] = {0};
	bool tried = false;

	(void)state;
	sign_pair_init(&mine, seed);
	seed[0] = 2;
	sign_pair_init(&other, seed);
	key_add(&k, 4, 44);
	folder_keys_encode(&plain, &k);
	assert_int_equal(seal_box(&box, &mine.pub, wr_view(&plain), seed), ERR_OK);
	struct folder_keys *got = seats_keys_open(&mine, wr_view(&box), &tried);
	assert_non_null(got);
	assert_true(tried && got->count == 1 && got->at[0].epoch == 4 && got->at[0].key[9] == 44);
	free(got);
	assert_null(seats_keys_open(&other, wr_view(&box), &tried));
	for (size_t len = 0; len < box.len; len++)
		assert_null(seats_keys_open(&mine, (struct bytes){box.at, len}, &tried));
	box.at[box.len - 1] ^= 1;
	tried = false;
	assert_null(seats_keys_open(&mine, wr_view(&box), &tried));
	assert_true(tried);
	assert_int_equal(seal_box(&wrong, &mine.pub, bytes_text("no keys"), seed), ERR_OK);
	assert_null(seats_keys_open(&mine, wr_view(&wrong), &tried));
	assert_null(seats_keys_open(&mine, BYTES_OF(big), &tried));
	wr_fini(&plain);
	wr_fini(&box);
	wr_fini(&wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_may_say_what), cmocka_unit_test(test_founding),
		cmocka_unit_test(test_what_it_changes),  cmocka_unit_test(test_members_max),
		cmocka_unit_test(test_subjects),         cmocka_unit_test(test_keys_add),
		cmocka_unit_test(test_keys_open),        cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
