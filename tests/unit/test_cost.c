// SPDX-License-Identifier: MIT
/*
 * test_cost.c - a record costs what it touches, not the tree (merge.md section 4)
 *
 * A kv that counts stands between the view and its map.  Each operation is done in a small tree and
 * in a large one; what its records read, write and walk over must be about the same.  Counts, not
 * times: they are the same on every machine.
 */
#include "viewfix.h"

#define SMALL 10u
#define LARGE 100000u
/* A row more or less where a neighbour's key happens to stand, or a cache was full. */
#define SLACK 6u

static uint32_t large = LARGE;

/* ---- a kv that counts ---- */

struct counting {
	struct kv kv, *below;
	uint64_t reads, writes;
};

static enum err count_get(void *self, struct bytes key, struct bytes *ret)
{
	struct counting *c = self;

	c->reads++;
	return kv_get(c->below, key, ret);
}

static enum err count_put(void *self, struct bytes key, struct bytes value)
{
	struct counting *c = self;

	c->writes++;
	return kv_put(c->below, key, value);
}

static enum err count_del(void *self, struct bytes key)
{
	struct counting *c = self;

	c->writes++;
	return kv_del(c->below, key);
}

static enum err count_next(void *self, const struct kv_from *from, struct bytes *key,
			   struct bytes *value)
{
	struct counting *c = self;

	c->reads++;
	return kv_next_in(c->below, from->key, from->within, from->beyond, key, value);
}

static const struct kv_ops counting_ops = {
	.get = count_get, .put = count_put, .del = count_del, .next = count_next};

struct trial {
	struct fix *f;
	struct counting counting;
	struct inode_id top, dir, other, sub, file;
};

/* ---- the tree ---- */

static void trial_init(struct trial *t, uint32_t entries)
{
	char name[32];

	t->f = fix_new();
	t->top = fix_make(t->f, TYPE_DIR, INODE_ROOT, "top", NULL);
	t->other = fix_make(t->f, TYPE_DIR, INODE_ROOT, "other", NULL);
	t->dir = fix_make(t->f, TYPE_DIR, t->top, "dir", NULL);
	for (uint32_t k = 0; k < entries; k++) {
		(void)snprintf(name, sizeof(name), "entry-%u", k);
		if (k % 8 == 3)
			(void)fix_make(t->f, TYPE_DIR, t->dir, name, NULL);
		else
			(void)fix_make(t->f, TYPE_FILE, t->dir, name, "content");
	}
	t->file = fix_make(t->f, TYPE_FILE, t->dir, "file", "one");
	t->sub = fix_make(t->f, TYPE_DIR, t->dir, "sub", NULL);
	/* from here on the view counts: a new one on the same rows, its caches cold */
	struct view_hooks hooks = {.arg = t->f,
				   .where = fix_where,
				   .line = fix_line,
				   .device = fix_device,
				   .changed = fix_changed,
				   .now = fix_now};
	t->counting = (struct counting){.below = t->f->kv};
	t->counting.kv = (struct kv){.ops = &counting_ops, .self = &t->counting};
	view_free(t->f->v);
	t->f->v = view_new(&t->counting.kv, &hooks);
	assert_non_null(t->f->v);
}

static struct place at(struct inode_id dir, const char *name)
{
	return (struct place){dir, bytes_text(name)};
}

/* ---- what is done in it ---- */

static void create(struct trial *t)
{
	(void)fix_make(t->f, TYPE_FILE, t->dir, "new", "two");
}

static void make_dir(struct trial *t)
{
	(void)fix_make(t->f, TYPE_DIR, t->dir, "newdir", NULL);
}

static void edit(struct trial *t)
{
	assert_int_equal(fix_content(t->f, t->file, "three"), ERR_OK);
}

static void set_mode(struct trial *t)
{
	const struct attr_value mode = {.field = ATTR_MODE, .mode = 0600};

	assert_int_equal(local_set(t->f->v, &t->f->e, t->file, &mode), ERR_OK);
}

static void rename_to(struct trial *t, struct place from, struct place to)
{
	assert_int_equal(local_rename(t->f->v, &t->f->e, &from, &to, 0), ERR_OK);
}

static void rename_file(struct trial *t)
{
	rename_to(t, at(t->dir, "file"), at(t->dir, "renamed"));
}

static void rename_over(struct trial *t)
{
	rename_to(t, at(t->dir, "new"), at(t->dir, "entry-1"));
}

static void remove_file(struct trial *t)
{
	assert_int_equal(local_unlink(t->f->v, &t->f->e, t->dir, bytes_text("entry-2")), ERR_OK);
}

static void add_link(struct trial *t)
{
	assert_int_equal(local_link(t->f->v, &t->f->e, t->file, t->dir, bytes_text("second")),
			 ERR_OK);
}

static void rename_dir(struct trial *t)
{
	rename_to(t, at(t->top, "dir"), at(t->top, "folder"));
}

static void move_dir(struct trial *t)
{
	rename_to(t, at(t->top, "folder"), at(t->other, "folder"));
}

static void move_sub_out(struct trial *t)
{
	rename_to(t, at(t->dir, "sub"), at(t->other, "sub"));
}

static void remove_dir(struct trial *t)
{
	assert_int_equal(local_rmdir(t->f->v, &t->f->e, t->dir, bytes_text("newdir")), ERR_OK);
}

/* Another device makes a file of the same name, unseen: from now on dir has a conflict. */
static void clash(struct trial *t)
{
	struct record r = {.kind = REC_INODE, .inode = {2, 1}};
	struct record l = {.kind = REC_LINK, .inode = {2, 1}};

	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){t->f->t + 1, 2};
	assert_int_equal(fix_foreign(t->f, &r, 2, 1, t->f->t + 1, NULL), ERR_OK);
	l.link.name = (struct name_id){t->f->t + 1, 2, 0};
	l.link.has_place = true;
	l.link.place = at(t->dir, "entry-0");
	assert_int_equal(fix_foreign(t->f, &l, 2, 2, t->f->t + 2, NULL), ERR_OK);
	t->f->t += 10;
}

static void create_beside(struct trial *t)
{
	(void)fix_make(t->f, TYPE_FILE, t->dir, "beside a conflict", "four");
}

/* Another device makes a directory where dir stands now, unseen, and a file in it: two shown as
 * one. */
static void unite(struct trial *t)
{
	struct record d = {.kind = REC_INODE, .inode = {2, 11}};
	struct record l = {.kind = REC_LINK, .inode = {2, 11}};
	struct record f = {.kind = REC_INODE, .inode = {2, 13}};
	struct record n = {.kind = REC_LINK, .inode = {2, 13}};
	uint64_t now = t->f->t;

	d.ino.type = TYPE_DIR;
	d.ino.has_birth = true;
	d.ino.birth = at(t->other, "folder");
	d.ino.born = (struct stamp){now + 1, 2};
	l.link.name = (struct name_id){now + 1, 2, 0};
	f.ino.type = TYPE_FILE;
	f.ino.born = (struct stamp){now + 3, 2};
	n.link.name = (struct name_id){now + 3, 2, 0};
	l.link.has_place = n.link.has_place = true;
	l.link.place = at(t->other, "folder");
	n.link.place = at(d.inode, "entry-5");
	assert_int_equal(fix_foreign(t->f, &d, 2, 11, now + 1, NULL), ERR_OK);
	assert_int_equal(fix_foreign(t->f, &l, 2, 12, now + 2, NULL), ERR_OK);
	assert_int_equal(fix_foreign(t->f, &f, 2, 13, now + 3, NULL), ERR_OK);
	assert_int_equal(fix_foreign(t->f, &n, 2, 14, now + 4, NULL), ERR_OK);
	t->f->t += 10;
}

static void make_dir_elsewhere(struct trial *t)
{
	(void)fix_make(t->f, TYPE_DIR, t->top, "elsewhere", NULL);
}

static void create_in_union(struct trial *t)
{
	(void)fix_make(t->f, TYPE_FILE, t->dir, "in a union", "five");
}

static void make_dir_in_union(struct trial *t)
{
	(void)fix_make(t->f, TYPE_DIR, t->dir, "dir in a union", NULL);
}

static void remove_in_union(struct trial *t)
{
	assert_int_equal(local_unlink(t->f->v, &t->f->e, t->dir, bytes_text("entry-5")), ERR_OK);
}

struct act {
	const char *name;
	void (*run)(struct trial *t);
};

static const struct act acts[] = {
	{"create", create},
	{"mkdir", make_dir},
	{"edit", edit},
	{"chmod", set_mode},
	{"link", add_link},
	{"rename a file", rename_file},
	{"rename over a file", rename_over},
	{"unlink", remove_file},
	{"move a directory out", move_sub_out},
	{"rmdir", remove_dir},
	{"rename the directory", rename_dir},
	{"move the directory", move_dir},
	{"a conflict appears", clash},
	{"create beside a conflict", create_beside},
};
/* In a tree with a union each of these also works out again what meets in it. */
static const struct act united[] = {
	{"mkdir elsewhere", make_dir_elsewhere},
	{"create in a union", create_in_union},
	{"mkdir in a union", make_dir_in_union},
	{"unlink in a union", remove_in_union},
};

static void compare(struct trial *small, struct trial *big, const struct act *act)
{
	struct counting *s = &small->counting, *b = &big->counting;

	s->reads = s->writes = b->reads = b->writes = 0;
	act->run(small);
	act->run(big);
	print_message("%-26s reads %3u %3u  writes %3u %3u\n", act->name, (unsigned)s->reads,
		      (unsigned)b->reads, (unsigned)s->writes, (unsigned)b->writes);
	assert_in_range(b->reads, s->reads > SLACK ? s->reads - SLACK : 0, s->reads + SLACK);
	assert_int_equal(b->writes, s->writes);
}

static void test_a_record_costs_what_it_touches(void **state)
{
	struct trial small, big;

	(void)state;
	trial_init(&small, SMALL);
	trial_init(&big, large);
	for (size_t k = 0; k < ARRAY_LEN(acts); k++)
		compare(&small, &big, &acts[k]);
	unite(&small); /* itself it tells of every entry that is now shown elsewhere */
	unite(&big);
	for (size_t k = 0; k < ARRAY_LEN(united); k++)
		compare(&small, &big, &united[k]);
	fix_free(small.f);
	fix_free(big.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_costs_what_it_touches),
	};

	/* a sanitizer's build is slow: what it is there for shows in a smaller tree as well */
	if (getenv("ASAN_OPTIONS") || getenv("UBSAN_OPTIONS"))
		large = LARGE / 10;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
