// SPDX-License-Identifier: MIT
/* test_tidy.c - removals are forgotten once every member has heard of them, and no sooner */
#include "codec/ack.h"
#include "core/view.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define SECOND (1000u * 1000)

static uint64_t remembered(struct side *s)
{
	struct node_counts c;

	node_counts(s->node, &c);
	return c.removed;
}

static uint64_t known(struct side *s)
{
	return view_inodes(node_view(s->node));
}

/* Time passes, and what is said is heard. */
static void go_on(struct pair *p)
{
	for (unsigned k = 0; k < 30; k++) {
		pair_wait(p, 4 * SECOND);
		pair_run(p);
	}
}

static void begin(struct pair *p, enum role role)
{
	pair_init(p, role);
	pair_link(p);
	pair_run(p);
}

static enum err remove_dir(struct side *s, const char *name)
{
	struct event ev = {.kind = EV_RMDIR};

	ev.name.dir = INODE_ROOT;
	ev.name.name = bytes_text(name);
	return pair_step(s, &ev);
}

/* What both have heard of goes on both, and they show the same; a reader counts like a writer. */
static void test_what_all_have_heard_of_goes(void **state)
{
	struct pair p;
	struct inode_id dir;

	(void)state;
	for (enum role role = ROLE_READER; role <= ROLE_ADMIN; role++) {
		begin(&p, role);
		pair_put(&p.a, "stays", bytes_text("one"));
		pair_put(&p.a, "goes", bytes_text("two"));
		assert_int_equal(pair_mkdir(&p.a, "dir", &dir), ERR_OK);
		pair_run(&p);
		assert_int_equal(known(&p.b), 4);
		assert_int_equal(pair_unlink_name(&p.a, "goes"), ERR_OK);
		assert_int_equal(remove_dir(&p.a, "dir"), ERR_OK);
		pair_run(&p);
		assert_int_equal(remembered(&p.a), 2);
		assert_int_equal(remembered(&p.b), 2);
		go_on(&p);
		assert_int_equal(remembered(&p.a), 0);
		assert_int_equal(remembered(&p.b), 0);
		assert_int_equal(known(&p.a), 2);
		assert_int_equal(known(&p.b), 2);
		pair_same(&p);
		pair_put(&p.a, "goes", bytes_text("it is another one now"));
		pair_run(&p);
		assert_int_equal(known(&p.b), 3);
		pair_same(&p);
		pair_fini(&p);
	}
}

/* A second name that went was the last change of its file: that it was there is forgotten, when it
 * went is not. */
static void test_the_time_of_change_stays(void **state)
{
	struct pair p;
	struct event link = {.kind = EV_LINK};
	struct node_stat before, after;

	(void)state;
	begin(&p, ROLE_WRITER);
	struct inode_id i = pair_put(&p.a, "f", bytes_text("one"));
	link.link.inode = i;
	link.link.dir = INODE_ROOT;
	link.link.name = bytes_text("g");
	assert_int_equal(pair_step(&p.a, &link), ERR_OK);
	pair_run(&p);
	pair_wait(&p, 100 * SECOND);
	pair_run(&p);
	assert_int_equal(pair_unlink_name(&p.a, "g"), ERR_OK);
	pair_run(&p);
	assert_int_equal(node_stat(p.b.node, i, 0, &before), ERR_OK);
	assert_int_equal(remembered(&p.b), 1);
	go_on(&p);
	assert_int_equal(remembered(&p.b), 0);
	assert_int_equal(node_stat(p.b.node, i, 0, &after), ERR_OK);
	assert_int_equal(after.ctime_ns, before.ctime_ns);
	pair_same(&p);
	pair_fini(&p);
}

/* A member that is away holds everything back, and nothing wakes until it is there. */
static void test_one_that_is_away_holds_back(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, ROLE_WRITER);
	pair_put(&p.a, "f", bytes_text("one"));
	pair_run(&p);
	go_on(&p);
	pair_unlink(&p);
	assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	go_on(&p);
	assert_int_equal(remembered(&p.a), 1);
	assert_true(node_deadline(p.a.node) > p.now + 600 * (uint64_t)SECOND);
	/* It writes unseen what was removed here: that must find its file. */
	struct shown s;
	assert_int_equal(pair_lookup(&p.b, "f", &s), ERR_OK);
	uint64_t file = pair_open(&p.b, s.id, true);
	assert_int_equal(pair_write(&p.b, file, 0, bytes_text("two")), ERR_OK);
	assert_int_equal(pair_close(&p.b, file, true), ERR_OK);
	pair_link(&p);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(pair_lookup(&p.a, "f", &s), ERR_OK);
	assert_true(s.kept);
	pair_same(&p);
	assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(known(&p.a), 1);
	assert_int_equal(known(&p.b), 1);
	pair_fini(&p);
}

/* A record that its author still holds back had not seen the removal: so it does not acknowledge
 * it, though it has applied it and said so. */
static void test_a_record_held_back_bounds_what_is_acknowledged(void **state)
{
	struct pair p;
	struct inode_id g;

	(void)state;
	begin(&p, ROLE_WRITER);
	pair_put(&p.a, "f", bytes_text("one"));
	pair_run(&p);
	go_on(&p);
	p.b.hold_seals = true;
	assert_int_equal(pair_make(&p.b, "g", &g), ERR_OK);
	uint64_t file = pair_open(&p.b, g, true);
	assert_int_equal(pair_write(&p.b, file, 0, bytes_text("two")), ERR_OK);
	assert_int_equal(pair_close(&p.b, file, true), ERR_OK);
	assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(remembered(&p.a), 1);
	assert_int_equal(remembered(&p.b), 1);
	p.b.hold_seals = false;
	pair_seal_now(&p.b);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(remembered(&p.a), 0);
	assert_int_equal(remembered(&p.b), 0);
	pair_same(&p);
	pair_fini(&p);
}

/* A file without a name stays while it is open, and goes when it is closed. */
static void test_an_open_file_stays(void **state)
{
	struct pair p;
	struct node_stat st;

	(void)state;
	begin(&p, ROLE_WRITER);
	struct inode_id f = pair_put(&p.a, "f", bytes_text("one"));
	pair_run(&p);
	uint64_t file = pair_open(&p.b, f, false);
	assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(known(&p.a), 1);
	assert_int_equal(node_stat(p.b.node, f, file, &st), ERR_OK);
	assert_int_equal(st.size, 3);
	assert_int_equal(pair_close(&p.b, file, false), ERR_OK);
	go_on(&p);
	assert_int_equal(known(&p.b), 1);
	pair_fini(&p);
}

/* From the journal alone everything is there again, and goes again when others are heard. */
static void test_rows_that_are_lost_are_made_again(void **state)
{
	struct pair p;
	struct hash before, after;

	(void)state;
	begin(&p, ROLE_WRITER);
	pair_put(&p.a, "f", bytes_text("one"));
	pair_put(&p.a, "g", bytes_text("two"));
	pair_run(&p);
	assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(known(&p.b), 2);
	pair_digest(&p.b, &before);
	pair_unlink(&p);
	pair_stop(&p.b);
	pair_start(&p.b, false);
	go_on(&p);
	assert_int_equal(known(&p.b), 3);
	assert_int_equal(remembered(&p.b), 1);
	pair_digest(&p.b, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	pair_link(&p);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(known(&p.b), 2);
	pair_same(&p);
	pair_fini(&p);
}

/* One whose rows were lost has said more than it knows of, and its clock stands where it did: what
 * it says then counts all the same. */
static void test_one_that_forgot_what_it_said_is_heard(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, ROLE_READER);
	pair_put(&p.a, "f", bytes_text("one"));
	pair_run(&p);
	go_on(&p);
	for (int k = 0; k < 3; k++) {
		pair_unlink(&p);
		pair_stop(&p.b);
		pair_start(&p.b, true);
		pair_link(&p);
		pair_run(&p);
		pair_wait(&p, SECOND);
		pair_run(&p);
	}
	assert_int_equal(pair_unlink_name(&p.a, "f"), ERR_OK);
	pair_run(&p);
	go_on(&p);
	assert_int_equal(known(&p.a), 1);
	assert_int_equal(known(&p.b), 1);
	pair_fini(&p);
}

/* A whole tree, many more rows than go in one step. */
static void test_a_large_tree_goes_in_many_steps(void **state)
{
	struct pair p;
	char name[32];

	(void)state;
	begin(&p, ROLE_WRITER);
	for (unsigned k = 0; k < 700; k++) {
		snprintf(name, sizeof(name), "f%u", k);
		pair_put(&p.a, name, bytes_text("x"));
	}
	pair_run(&p);
	for (unsigned k = 0; k < 700; k++) {
		snprintf(name, sizeof(name), "f%u", k);
		assert_int_equal(pair_unlink_name(&p.a, name), ERR_OK);
	}
	pair_run(&p);
	assert_int_equal(remembered(&p.b), 700);
	go_on(&p);
	assert_int_equal(known(&p.a), 1);
	assert_int_equal(known(&p.b), 1);
	node_check(p.a.node);
	pair_fini(&p);
}

static struct bytes said(struct pair *p, struct wr *w)
{
	struct ack a = {.t = 1, .folder = p->b.config.folder, .device = p->b.config.device.pub};

	wr_reset(w);
	wr_u8(w, WIRE_ACK);
	ack_encode(w, &a, &p->b.config.device);
	return wr_view(w);
}

/* What is not signed by its device, or is of another folder, is a lie. */
static void test_lies_are_found_out(void **state)
{
	struct pair p;
	struct wr w = {0};

	(void)state;
	begin(&p, ROLE_WRITER);
	struct bytes whole = said(&p, &w);
	pair_send(&p.a, whole);
	pair_run(&p);
	assert_int_equal(p.a.last, ERR_OK);
	said(&p, &w);
	w.at[1 + 69]++; /* its clock */
	pair_send(&p.a, wr_view(&w));
	pair_run(&p);
	assert_int_equal(p.a.last, ERR_FORGED);
	pair_fini(&p);

	begin(&p, ROLE_WRITER);
	said(&p, &w);
	w.at[1 + 5]++; /* the folder */
	pair_send(&p.a, wr_view(&w));
	pair_run(&p);
	assert_int_equal(p.a.last, ERR_MALFORMED);
	pair_fini(&p);

	begin(&p, ROLE_WRITER);
	said(&p, &w);
	w.len--;
	pair_send(&p.a, wr_view(&w));
	pair_run(&p);
	assert_int_equal(p.a.last, ERR_MALFORMED);
	pair_fini(&p);
	wr_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_all_have_heard_of_goes),
		cmocka_unit_test(test_the_time_of_change_stays),
		cmocka_unit_test(test_one_that_is_away_holds_back),
		cmocka_unit_test(test_a_record_held_back_bounds_what_is_acknowledged),
		cmocka_unit_test(test_an_open_file_stays),
		cmocka_unit_test(test_rows_that_are_lost_are_made_again),
		cmocka_unit_test(test_one_that_forgot_what_it_said_is_heard),
		cmocka_unit_test(test_a_large_tree_goes_in_many_steps),
		cmocka_unit_test(test_lies_are_found_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
