// SPDX-License-Identifier: MIT
/* test_nodes.c - the mirror of what the kernel holds: counts, versions, what is due */
#include "base/rng.h"
#include "front/nodes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct inode_id ino(uint64_t op)
{
	return (struct inode_id){7, op};
}

static struct knode *tell(struct nodes *t, uint64_t parent, const char *name, uint64_t op)
{
	struct knode *k = NULL;

	assert_int_equal(nodes_tell(t, parent, bytes_text(name), ino(op), &k), ERR_OK);
	assert_non_null(k);
	return k;
}

/* A node lives exactly as long as the kernel holds it, and its id never comes again. */
static void test_lookups_and_forgets(void **state)
{
	struct nodes *t = nodes_new();
	(void)state;

	struct knode *k = tell(t, NODES_ROOT, "a", 5);
	uint64_t id = k->nodeid;
	assert_ptr_equal(tell(t, NODES_ROOT, "b", 5), k);
	nodes_check(t);
	nodes_forget(t, id, 1);
	assert_ptr_equal(nodes_get(t, id), k);
	nodes_forget(t, id, 1);
	assert_null(nodes_get(t, id));
	assert_true(tell(t, NODES_ROOT, "a", 5)->nodeid > id);
	nodes_forget(t, NODES_ROOT, 3);
	assert_non_null(nodes_get(t, NODES_ROOT));
	nodes_check(t);
	nodes_free(t);
}

/* A forgotten node with an open handle serves it until it is closed. */
static void test_handle_outlives_forget(void **state)
{
	struct nodes *t = nodes_new();
	struct handle *h;
	(void)state;

	struct knode *k = tell(t, NODES_ROOT, "a", 5);
	uint64_t id = k->nodeid;
	assert_int_equal(nodes_open_handle(t, k, 9, true, &h), ERR_OK);
	nodes_forget(t, id, 1);
	assert_ptr_equal(nodes_get(t, id), k);
	assert_int_equal(nodes_open_file(t, ino(5)), 9);
	nodes_close_handle(t, h);
	assert_null(nodes_get(t, id));
	nodes_check(t);
	nodes_free(t);
}

/* A newer version gets a new node under the same name; every old name is due to be forgotten. */
static void test_a_new_version_is_a_new_node(void **state)
{
	struct nodes *t = nodes_new();
	struct nodes_due due;
	struct handle *h;
	(void)state;

	struct knode *k = tell(t, NODES_ROOT, "a", 5);
	tell(t, NODES_ROOT, "hard link", 5);
	assert_int_equal(nodes_open_handle(t, k, 9, false, &h), ERR_OK);
	assert_false(nodes_detach(t, ino(5), 8)); /* that handle is none of its */
	assert_true(nodes_detach(t, ino(5), 9));
	assert_false(nodes_detach(t, ino(5), 9));
	assert_true(nodes_is_detached(t, k));
	assert_int_equal(nodes_file(t, k), 9);
	nodes_check(t);
	for (int n = 0; n < 2; n++) {
		assert_true(nodes_take_due(t, &due) && due.is_name);
		assert_true(nodes_name_wrong(
			t, due.nodeid, (struct bytes){(uint8_t *)due.name, due.name_len}, ino(5)));
	}
	assert_true(nodes_take_due(t, &due) && !due.is_name && due.nodeid == k->nodeid);
	assert_false(nodes_take_due(t, &due));
	struct knode *newer = tell(t, NODES_ROOT, "a", 5);
	assert_ptr_not_equal(newer, k);
	assert_int_equal(nodes_open_file(t, ino(5)), 0);
	nodes_close_handle(t, h);
	nodes_check(t);
	nodes_free(t);
}

/* What the kernel does not know is never due, and what it knows is due once. */
static void test_due_is_exact(void **state)
{
	struct nodes *t = nodes_new();
	struct nodes_due due;
	(void)state;

	struct knode *dir = tell(t, NODES_ROOT, "d", 3);
	tell(t, dir->nodeid, "f", 4);
	assert_false(nodes_attr_due(t, ino(99)));
	assert_false(nodes_name_due(t, ino(99), bytes_text("f")));
	assert_true(nodes_name_due(t, ino(3), bytes_text("unknown")));
	assert_true(nodes_take_due(t, &due) && !due.is_name && due.nodeid == dir->nodeid);
	assert_false(nodes_take_due(t, &due));
	assert_true(nodes_name_due(t, ino(3), bytes_text("f")));
	assert_true(nodes_name_due(t, ino(3), bytes_text("f")));
	assert_true(nodes_take_due(t, &due) && due.is_name);
	assert_int_equal(due.nodeid, dir->nodeid);
	assert_string_equal(due.name, "f");
	/* still the same inode there: the kernel is right */
	assert_false(nodes_name_wrong(t, due.nodeid, bytes_text("f"), ino(4)));
	assert_true(nodes_name_wrong(t, due.nodeid, bytes_text("f"), ino(5)));
	assert_true(nodes_take_due(t, &due) && !due.is_name);
	assert_false(nodes_take_due(t, &due));
	nodes_check(t);
	nodes_free(t);
}

/* Names follow the kernel's own renames. */
static void test_names_move(void **state)
{
	struct nodes *t = nodes_new();
	struct inode_id i;
	(void)state;

	tell(t, NODES_ROOT, "a", 4);
	tell(t, NODES_ROOT, "b", 5);
	struct nodes_place a = {NODES_ROOT, bytes_text("a")}, b = {NODES_ROOT, bytes_text("b")};
	assert_false(nodes_name_moved(t, &a, &b, true));
	assert_true(nodes_name_inode(t, NODES_ROOT, b.name, &i) && i.op == 4);
	assert_true(nodes_name_inode(t, NODES_ROOT, a.name, &i) && i.op == 5);
	assert_false(nodes_name_moved(t, &a, &b, false));
	assert_false(nodes_name_inode(t, NODES_ROOT, a.name, &i));
	assert_true(nodes_name_inode(t, NODES_ROOT, b.name, &i) && i.op == 5);
	nodes_check(t);
	nodes_free(t);
}

/* An answer that the kernel did not take leaves a name that must be forgotten. */
static void test_untold_name_is_due(void **state)
{
	struct nodes *t = nodes_new();
	struct nodes_due due;
	struct inode_id i;
	(void)state;

	struct knode *k = tell(t, NODES_ROOT, "a", 4);
	nodes_untell(t, NODES_ROOT, bytes_text("a"), k->nodeid);
	nodes_check(t);
	assert_false(nodes_name_inode(t, NODES_ROOT, bytes_text("a"), &i));
	assert_true(nodes_take_due(t, &due) && due.is_name);
	assert_true(nodes_name_wrong(t, due.nodeid, bytes_text("a"), ino(4)));
	assert_false(nodes_take_due(t, &due));
	nodes_check(t);
	nodes_free(t);
}

static bool keep(struct nodes *t, struct knode *k, struct dot version, bool write)
{
	struct nodes_opened o = {.version = version, .write = write, .own = 1};

	return nodes_keep_pages(t, k, &o);
}

/* Pages are kept for the version that they are of, and for one that was written through them. */
static void test_pages(void **state)
{
	struct nodes *t = nodes_new();
	(void)state;

	struct knode *k = tell(t, NODES_ROOT, "a", 4);
	assert_false(keep(t, k, (struct dot){1, 1}, false));
	assert_true(keep(t, k, (struct dot){1, 1}, false));
	assert_false(keep(t, k, (struct dot){1, 2}, true));
	assert_true(keep(t, k, (struct dot){1, 2}, false)); /* not sealed yet */
	assert_true(keep(t, k, (struct dot){1, 3}, false)); /* sealed now */
	assert_false(keep(t, k, (struct dot){1, 4}, true)); /* nobody wrote that through k */
	assert_false(keep(t, k, (struct dot){2, 1}, true)); /* somebody else's */
	nodes_data_changed(t, ino(4));
	assert_false(keep(t, k, (struct dot){1, 5}, true));
	nodes_free(t);
}

/* Random traffic keeps all invariants, and in the end nothing is left. */
static void test_random(void **state)
{
	enum { KINDS = 7, NAMES = 40, STEPS = 20000 };
	struct nodes *t = nodes_new();
	struct nodes_counts c;
	struct nodes_due due;
	struct handle *open[NAMES] = {0};
	static uint64_t held[STEPS];
	uint64_t count = 0;
	struct rng r;
	(void)state;

	rng_init(&r, (const uint8_t[32]){3});
	for (int step = 0; step < STEPS; step++) {
		uint64_t at = rng_below(&r, NAMES);
		char name[16];
		snprintf(name, sizeof(name), "n%d", (int)rng_below(&r, NAMES));
		switch (rng_below(&r, KINDS)) {
		case 0:
		case 1: /* the names' parents are nodes themselves */
			held[count] = tell(t, count ? held[rng_below(&r, count)] : NODES_ROOT, name,
					   2 + at)
					      ->nodeid;
			count++;
			break;
		case 2:
		case 3:
			if (count) {
				uint64_t k = rng_below(&r, count);
				nodes_forget(t, held[k], 1);
				held[k] = held[--count];
			}
			break;
		case 4:
			if (open[at]) {
				nodes_close_handle(t, open[at]);
				open[at] = NULL;
			} else if (count) {
				struct knode *k = nodes_get(t, held[rng_below(&r, count)]);
				assert_int_equal(nodes_open_handle(t, k, at + 1, false, &open[at]),
						 ERR_OK);
			}
			break;
		case 5:
			nodes_detach(t, ino(2 + at), rng_below(&r, NAMES) + 1);
			nodes_name_due(t, ino(2 + at), bytes_text(name));
			break;
		case 6:
			if (nodes_take_due(t, &due) && due.is_name)
				nodes_name_wrong(t, due.nodeid, bytes_text(due.name), ino(2 + at));
			break;
		}
		if (step % 100 == 0)
			nodes_check(t);
	}
	while (count)
		nodes_forget(t, held[--count], 1);
	for (int k = 0; k < NAMES; k++)
		if (open[k])
			nodes_close_handle(t, open[k]);
	nodes_check(t);
	nodes_counts(t, &c);
	assert_int_equal(c.nodes, 1);
	assert_int_equal(c.names, 0);
	nodes_free(t);
}

/* A name may lead the kernel to a node that is nobody's; it goes as it came, and is due to go. */
static void test_stub(void **state)
{
	struct nodes *t = nodes_new();
	struct inode_id has = ino(1);
	struct nodes_due d;
	uint64_t id;
	(void)state;

	struct knode *dir = tell(t, NODES_ROOT, "d", 2);
	uint64_t dir_id = dir->nodeid;
	tell(t, dir_id, "n", 3);
	assert_int_equal(nodes_tell_stub(t, dir_id, bytes_text("n"), &id), ERR_OK);
	nodes_check(t);
	assert_true(nodes_is_detached(t, nodes_get(t, id)));
	assert_true(nodes_name_inode(t, dir_id, bytes_text("n"), &has));
	assert_true(inode_none(has));
	assert_int_equal(nodes_nodeid(t, ino(0)), 0);
	assert_false(nodes_name_wrong(t, dir_id, bytes_text("n"), ino(3))); /* it has no lifetime */
	nodes_forget(t, id, 1);
	assert_false(nodes_name_inode(t, dir_id, bytes_text("n"), &has));
	assert_null(nodes_get(t, id));
	nodes_check(t);
	assert_int_equal(nodes_tell_stub(t, 999, bytes_text("n"), &id), ERR_STALE);
	assert_false(nodes_take_due(t, &d));
	nodes_free(t);
}

/* What is told without a lifetime is not wrong, until it is told for good. */
static void test_made_up(void **state)
{
	struct nodes *t = nodes_new();
	struct inode_id has;
	struct knode *k;
	(void)state;

	assert_int_equal(nodes_tell_was(t, NODES_ROOT, bytes_text("n"), ino(3), &k), ERR_OK);
	assert_true(nodes_name_inode(t, NODES_ROOT, bytes_text("n"), &has));
	assert_true(inode_equal(has, ino(3)));
	assert_false(nodes_name_wrong(t, NODES_ROOT, bytes_text("n"), ino(4)));
	assert_ptr_equal(tell(t, NODES_ROOT, "n", 3), k);
	assert_true(nodes_name_wrong(t, NODES_ROOT, bytes_text("n"), ino(4)));
	assert_int_equal(nodes_tell_was(t, NODES_ROOT, bytes_text("m"), ino(3), &k), ERR_OK);
	const struct nodes_place from = {NODES_ROOT, bytes_text("m")},
				 to = {NODES_ROOT, bytes_text("o")};
	nodes_name_moved(t, &from, &to, false);
	assert_true(nodes_name_wrong(t, NODES_ROOT, bytes_text("o"), ino(4)));
	nodes_check(t);
	nodes_free(t);
}

/* A directory removed here that comes back is another node, and what led to the old one is due. */
static void test_retire(void **state)
{
	struct nodes *t = nodes_new();
	struct nodes_due d;
	(void)state;

	struct knode *k = tell(t, NODES_ROOT, "d", 2);
	uint64_t id = k->nodeid;
	assert_int_equal(nodes_nodeid(t, ino(2)), id);
	assert_true(nodes_retire(t, ino(2)));
	nodes_check(t);
	assert_true(k->retired && nodes_is_detached(t, k));
	assert_int_equal(nodes_nodeid(t, ino(2)), 0);
	assert_false(nodes_retire(t, ino(2)));
	assert_true(nodes_take_due(t, &d));
	assert_true(d.is_name && d.nodeid == NODES_ROOT);
	uint64_t again = tell(t, NODES_ROOT, "d", 2)->nodeid;
	assert_true(again != id);
	assert_false(nodes_get(t, again)->retired);
	assert_true(nodes_retire(t, INODE_ROOT)); /* cannot go */
	assert_int_equal(nodes_nodeid(t, INODE_ROOT), NODES_ROOT);
	nodes_check(t);
	nodes_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups_and_forgets),
		cmocka_unit_test(test_handle_outlives_forget),
		cmocka_unit_test(test_a_new_version_is_a_new_node),
		cmocka_unit_test(test_due_is_exact),
		cmocka_unit_test(test_names_move),
		cmocka_unit_test(test_untold_name_is_due),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_stub),
		cmocka_unit_test(test_made_up),
		cmocka_unit_test(test_retire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
