// SPDX-License-Identifier: MIT
/* test_past.c - what stood where and when, which versions a name had, and what two had both seen */
#include "core/history.h"
#include "core/past.h"
#include "core/reg.h"
#include "viewfix.h"

#define MS(ms) ((uint64_t)(ms) << 16)

static void at_ms(struct fix *f, uint64_t ms)
{
	assert_true(f->t < MS(ms));
	f->t = MS(ms) - 1;
}

static struct past_dir root_dir(void)
{
	struct past_dir d;

	past_root(&d);
	return d;
}

static struct place in(struct inode_id dir, const char *name)
{
	return (struct place){dir, bytes_text(name)};
}

static void move_name(struct fix *f, struct inode_id dir, const char *from, const char *to)
{
	const struct place a = in(dir, from), b = in(dir, to);

	assert_int_equal(local_rename(f->v, &f->e, &a, &b, 0), ERR_OK);
}

static bool has_text(const struct past_version *v, const char *text)
{
	struct manifest m;

	return manifest_decode(past_bytes(v), &m) == ERR_OK &&
	       bytes_equal(m.data, bytes_text(text));
}

struct expected {
	const char *text;
	enum past_state state;
};

static void versions_are(struct fix *f, const char *name, const struct expected *want)
{
	const struct past_dir root = root_dir();
	struct past_versions l = {0};
	uint32_t n = 0;

	assert_int_equal(past_versions(f->v, &root, bytes_text(name), &l), ERR_OK);
	for (; n < l.count; n++) {
		assert_non_null(want[n].text);
		assert_true(has_text(&l.at[n], want[n].text));
		assert_int_equal(l.at[n].state, want[n].state);
	}
	assert_null(want[n].text);
	past_versions_fini(&l);
}

static enum err restore(struct fix *f, const char *name, const char *text, struct inode_id *ret)
{
	struct wr w = {0};

	manifest_inline(&w, bytes_text(text));
	const struct make what = {
		.type = TYPE_FILE, .mode = 0640, .content = wr_view(&w), .mtime_ns = 55};
	enum err e = local_restore(f->v, &f->e, INODE_ROOT, bytes_text(name), &what, ret);
	wr_fini(&w);
	return e;
}

/* A name at a moment is whatever stood there from one record to the next, and nothing between. */
static void test_past_lookup(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	const struct past_dir root = root_dir();
	const struct bytes name = bytes_text("f");
	struct past_entry x;

	assert_int_equal(past_lookup(f->v, &root, name, PAST_NOW, &x), ERR_NOENT);
	at_ms(f, 2000);
	struct inode_id a = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "a");
	at_ms(f, 3000);
	move_name(f, INODE_ROOT, "f", "g");
	at_ms(f, 4000);
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "f", NULL);
	at_ms(f, 5000);
	assert_int_equal(local_rmdir(f->v, &f->e, INODE_ROOT, name), ERR_OK);
	at_ms(f, 6000);
	struct inode_id b = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "b");

	const struct {
		uint64_t ms;
		struct inode_id is;
	} when[] = {{1999, {0, 0}}, {2001, a}, {2999, a}, {3000, {0, 0}},
		    {3999, {0, 0}}, {4001, d}, {4999, d}, {5000, {0, 0}},
		    {5999, {0, 0}}, {6001, b}, {9999, b}};
	for (size_t k = 0; k < ARRAY_LEN(when); k++) {
		enum err e = past_lookup(f->v, &root, name, MS(when[k].ms) | 0xffff, &x);
		assert_int_equal(e, inode_none(when[k].is) ? ERR_NOENT : ERR_OK);
		if (!e)
			assert_true(inode_equal(x.inode, when[k].is));
	}
	assert_int_equal(past_lookup(f->v, &root, name, MS(4500), &x), ERR_OK);
	assert_int_equal(x.type, TYPE_DIR);
	assert_true(x.ended && !x.moved);
	assert_int_equal(x.dir.count, 1);
	assert_int_equal(past_lookup(f->v, &root, name, PAST_NOW, &x), ERR_OK);
	assert_false(x.ended);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, name), ERR_OK);
	assert_int_equal(past_lookup(f->v, &root, name, PAST_NOW, &x), ERR_OK);
	assert_true(x.ended && inode_equal(x.inode, b));
	fix_free(f);
}

/* A directory at a moment lists what stood in it, in order, whatever came and went since. */
static void test_past_next(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct past_entry x;
	char name[16], all[200] = "";

	at_ms(f, 2000);
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	for (int k = 0; k < 8; k++) {
		(void)snprintf(name, sizeof(name), "f%d", k);
		fix_make(f, TYPE_FILE, d, name, name);
	}
	at_ms(f, 3000);
	assert_int_equal(local_unlink(f->v, &f->e, d, bytes_text("f1")), ERR_OK);
	move_name(f, d, "f2", "f5x");
	move_name(f, d, "f4", "f3"); /* over it */
	fix_make(f, TYPE_FILE, d, "f9", "new");
	struct past_dir dir = {.count = 1, .at = {d}};
	struct bytes after = {NULL, 0};
	while (past_next(f->v, &dir, after, MS(2500), &x) == ERR_OK) {
		memcpy(name, x.name, x.name_len);
		name[x.name_len] = 0;
		after = bytes_text(name);
		(void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s ", name);
	}
	assert_string_equal(all, "f0 f1 f2 f3 f4 f5 f6 f7 ");
	assert_int_equal(past_ended(f->v, &dir, bytes_text("f2"), &x), ERR_OK);
	assert_true(x.name_len == 2 && x.name[1] == '3' && !x.moved);
	assert_int_equal(past_ended(f->v, &dir, bytes_text("f4"), &x), ERR_NOENT);
	fix_free(f);
}

/* A name's versions go on through saving by rename, and end where the file goes elsewhere. */
static void test_past_versions(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	at_ms(f, 2000);
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	at_ms(f, 3000);
	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	at_ms(f, 4000);
	(void)fix_make(f, TYPE_FILE, INODE_ROOT, "tmp", "three");
	at_ms(f, 5000);
	move_name(f, INODE_ROOT, "tmp", "f");
	versions_are(f, "f",
		     (const struct expected[]){{"three", PAST_CURRENT},
					       {"two", PAST_REMOVED},
					       {"one", PAST_REPLACED},
					       {NULL, 0}});
	at_ms(f, 6000);
	move_name(f, INODE_ROOT, "f", "g");
	versions_are(f, "f",
		     (const struct expected[]){{"three", PAST_MOVED},
					       {"two", PAST_REMOVED},
					       {"one", PAST_REPLACED},
					       {NULL, 0}});
	versions_are(f, "g", (const struct expected[]){{"three", PAST_CURRENT}, {NULL, 0}});
	const struct past_dir root = root_dir();
	struct past_versions l = {0};
	assert_int_equal(past_versions(f->v, &root, bytes_text("f"), &l), ERR_OK);
	assert_int_equal(l.at[0].shown_t >> 16, 5000); /* written at 4000, there since 5000 */
	assert_int_equal(l.at[0].t >> 16, 4000);
	assert_int_equal(l.at[0].until_ms, 6000);
	assert_int_equal(l.at[1].until_ms, 5000);
	past_versions_fini(&l);
	assert_int_equal(past_versions(f->v, &root, bytes_text("none"), &l), ERR_NOENT);
	fix_free(f);
}

/* The version at a moment is the one with the greatest stamp up to then. */
static void test_past_version_at(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct past_version v;
	at_ms(f, 2000);
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	at_ms(f, 3000);
	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	at_ms(f, 4000);
	assert_int_equal(fix_content(f, i, "three"), ERR_OK);

	assert_int_equal(past_version(f->v, i, MS(1999), &v), ERR_NOENT);
	const struct {
		uint64_t ms;
		const char *text;
	} when[] = {{2001, "one"}, {2999, "one"}, {3000, "two"}, {3999, "two"}, {4000, "three"}};
	for (size_t k = 0; k < ARRAY_LEN(when); k++) {
		assert_int_equal(past_version(f->v, i, MS(when[k].ms) | 0xffff, &v), ERR_OK);
		assert_true(has_text(&v, when[k].text));
		struct past_version again;
		assert_int_equal(past_content(f->v, i, v.dot, &again), ERR_OK);
		assert_true(has_text(&again, when[k].text));
		past_version_fini(&again);
		past_version_fini(&v);
	}
	assert_int_equal(past_content(f->v, i, (struct dot){1, 999}, &v), ERR_NOENT);
	fix_free(f);
}

/* Restoring writes one version over the present one, nothing if it is the same, and never loses
 * what stood there. */
static void test_restore_over(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one"), got;
	struct view_attr a;

	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	uint64_t ops = f->ops;
	assert_int_equal(restore(f, "f", "one", &got), ERR_OK);
	assert_true(inode_equal(got, i));
	assert_int_equal(f->ops, ops + 1);
	assert_int_equal(view_stat(f->v, i, &a), ERR_OK);
	assert_int_equal(a.mtime_ns, 55);
	assert_int_equal(a.mode, 0644); /* of a file that is there only the contents come back */
	versions_are(f, "f",
		     (const struct expected[]){{"one", PAST_CURRENT},
					       {"two", PAST_REPLACED},
					       {"one", PAST_REPLACED},
					       {NULL, 0}});
	assert_int_equal(restore(f, "f", "one", &got), ERR_OK);
	assert_int_equal(f->ops, ops + 1);
	fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	ops = f->ops;
	assert_int_equal(restore(f, "d", "one", &got), ERR_EXIST);
	assert_int_equal(f->ops, ops);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, bytes_text("f")), ERR_OK);
	assert_int_equal(restore(f, "f", "one", &got), ERR_OK);
	assert_false(inode_equal(got, i));
	assert_int_equal(view_stat(f->v, got, &a), ERR_OK);
	assert_int_equal(a.mode, 0640);
	fix_free(f);
}

/* A removed file whose registers are forgotten is told of as before. */
static void test_past_of_forgotten(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	const struct past_dir root = root_dir();
	struct attr_value mode = {.field = ATTR_MODE, .mode = 0600};
	struct attr_value times = {.field = ATTR_TIMES, .mtime_ns = 4711};
	struct attr_value xattr = {.field = ATTR_XATTR,
				   .xattr = {bytes_text("user.a"), bytes_text("1")}};
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	struct past_entry x;
	struct view_attr a;
	auto_inode row = {0};
	auto_wr key = {0}, value = {0};

	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &mode), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &times), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &xattr), ERR_OK);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, bytes_text("f")), ERR_OK);
	for (int forgotten = 0; forgotten < 2; forgotten++) {
		if (forgotten) {
			assert_true(cells_inode(f->v, i, &row));
			history_forget(f->v, &row);
			struct rkey k = rows_key(TABLE_INODE), xk;
			rows_key_inode(&k, i);
			rows_del(f->v, &k);
			xk = reg_xattr_key(i, bytes_text("user.a"));
			rows_del(f->v, &xk);
			rows_flush(f->v);
		}
		versions_are(f, "f",
			     (const struct expected[]){
				     {"two", PAST_REMOVED}, {"one", PAST_REPLACED}, {NULL, 0}});
		assert_int_equal(past_lookup(f->v, &root, bytes_text("f"), PAST_NOW, &x), ERR_OK);
		assert_true(x.ended && inode_equal(x.inode, i));
		assert_int_equal(past_stat(f->v, i, &a), ERR_OK);
		assert_int_equal(a.mode, 0600);
		assert_int_equal(a.mtime_ns, 4711);
		assert_int_equal(past_xattr(f->v, i, (struct bytes){NULL, 0}, &key, &value),
				 ERR_OK);
		assert_true(bytes_equal(wr_view(&value), bytes_text("1")));
		assert_int_equal(past_xattr(f->v, i, bytes_text("user.a"), &key, &value),
				 ERR_NODATA);
	}
	view_free(f->v); /* its checks want the rows that this test took away */
	kv_free_map(f->kv);
	free(f);
}

/* ---- bases ---- */

/* Device 2's version of inode i over base, having seen vec. */
static void foreign_edit(struct fix *f, struct inode_id i, uint64_t op, const struct dot *base,
			 const struct vector *vec, const char *text)
{
	struct record r = {.kind = REC_CONTENT, .inode = i};
	struct wr w = {0};

	manifest_inline(&w, bytes_text(text));
	r.content.content = wr_view(&w);
	r.content.bases = base;
	r.content.bases_count = base ? 1 : 0;
	assert_int_equal(fix_foreign(f, &r, 2, op, f->t + 9, vec), ERR_OK);
	wr_fini(&w);
}

static struct dot version_of(struct fix *f, struct inode_id i)
{
	struct view_attr a;

	assert_int_equal(view_stat(f->v, i, &a), ERR_OK);
	return a.version;
}

/* The one conflict there is. */
static bool note_conflict(void *arg, enum conflict_kind kind, const struct shown *s)
{
	(void)kind;
	*(struct shown *)arg = *s;
	return true;
}

/* Own records count as seen up to bundle 1 from now on: the fixture never cuts. */
static struct where in_first(void *arg, struct dot dot)
{
	(void)arg;
	return (struct where){dot.inc, dot.op <= 1000 ? 1 : 2};
}

/* Two devices change what both had: the base is that, and not what either wrote since. */
static void test_base_of_edits(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct past_conflict c;
	struct shown s = {0};

	f->v->hooks.where = in_first;
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "old");
	assert_int_equal(fix_content(f, i, "base"), ERR_OK);
	const struct dot base = version_of(f, i);
	struct vector *saw = vector_with(NULL, 1, 1);
	f->ops = 2000; /* what is written here from now on is not seen there */
	assert_int_equal(fix_content(f, i, "here 1"), ERR_OK);
	assert_int_equal(fix_content(f, i, "here 2"), ERR_OK);
	foreign_edit(f, i, 1, &base, saw, "there");
	assert_int_equal(view_conflicts(f->v, note_conflict, &s), ERR_OK);
	assert_int_equal(s.kind, SHOWN_COPY);
	assert_int_equal(past_conflict(f->v, &s, &c), ERR_OK);
	assert_true(has_text(&c.mine, "here 2"));
	assert_true(has_text(&c.theirs, "there"));
	assert_true(has_text(&c.base, "base"));
	assert_true(inode_equal(c.other.id, i));
	past_conflict_fini(&c);
	vector_unref(saw);
	fix_free(f);
}

/* What nobody had seen in common has no base. */
static void test_base_none(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct past_conflict c;
	struct shown s = {0};
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "mine");

	foreign_edit(f, i, 1, NULL, NULL, "theirs");
	assert_int_equal(view_conflicts(f->v, note_conflict, &s), ERR_OK);
	assert_int_equal(past_conflict(f->v, &s, &c), ERR_OK);
	assert_int_equal(c.base.content_len, 0);
	past_conflict_fini(&c);
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	assert_int_equal(view_find(f->v, d, &s), ERR_OK);
	assert_int_equal(past_conflict(f->v, &s, &c), ERR_NOENT);
	fix_free(f);
}

/* Both save by rename: two files contend for one name, and the base is the file both replaced. */
static void test_base_of_safe_saves(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct past_conflict c;
	struct shown t, s = {0};

	f->v->hooks.where = in_first;
	(void)fix_make(f, TYPE_FILE, INODE_ROOT, "f", "base");
	assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text("f"), &t), ERR_OK);
	struct vector *saw = vector_with(NULL, 1, 1);
	f->ops = 2000;
	(void)fix_make(f, TYPE_FILE, INODE_ROOT, "tmp", "here");
	move_name(f, INODE_ROOT, "tmp", "f");

	struct record r = {.kind = REC_INODE, .inode = {2, 1}};
	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){f->t + 9, 2};
	assert_int_equal(fix_foreign(f, &r, 2, 1, f->t + 9, saw), ERR_OK);
	foreign_edit(f, (struct inode_id){2, 1}, 2, NULL, saw, "there");
	struct record gone = {.kind = REC_LINK, .inode = t.id};
	gone.link.name = t.n;
	gone.link.has_prev = true;
	gone.link.prev = in(INODE_ROOT, "f");
	assert_int_equal(fix_foreign(f, &gone, 2, 3, f->t + 10, saw), ERR_OK);
	struct record l = {.kind = REC_LINK, .inode = {2, 1}};
	l.link.name = t.n;
	l.link.has_place = true;
	l.link.place = in(INODE_ROOT, "f");
	assert_int_equal(fix_foreign(f, &l, 2, 4, f->t + 11, saw), ERR_OK);

	assert_int_equal(view_conflicts(f->v, note_conflict, &s), ERR_OK);
	assert_true(s.suffixed);
	assert_int_equal(past_conflict(f->v, &s, &c), ERR_OK);
	assert_true(has_text(&c.mine, "here"));
	assert_true(has_text(&c.theirs, "there"));
	assert_true(has_text(&c.base, "base"));
	past_conflict_fini(&c);
	vector_unref(saw);
	fix_free(f);
}

/* ---- ending conflicts ---- */

static bool count_conflict(void *arg, enum conflict_kind kind, const struct shown *s)
{
	(void)kind;
	(void)s;
	++*(uint32_t *)arg;
	return true;
}

static uint32_t conflicts(struct fix *f)
{
	uint32_t n = 0;

	assert_int_equal(view_conflicts(f->v, count_conflict, &n), ERR_OK);
	return n;
}

static void see(struct fix *f, uint64_t inc, uint64_t seq)
{
	struct vector *seen = vector_with(f->vec, inc, seq);

	vector_unref(f->vec);
	f->vec = seen;
}

/* A file with a copy of device 2, and all of it seen here. */
static struct inode_id edited_twice(struct fix *f, struct shown *copy)
{
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "mine");

	foreign_edit(f, i, 1, NULL, NULL, "theirs");
	see(f, 2, 1);
	assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text("f"), copy), ERR_OK);
	assert_int_equal(copy->kind, SHOWN_COPY);
	return i;
}

static enum err settle(struct fix *f, const char *file, const struct shown *s, int32_t keep)
{
	const struct bytes names[] = {bytes_text(file), {s->name, s->name_len}};
	const struct settle what = {.dir = INODE_ROOT,
				    .file = bytes_text(file),
				    .names = names,
				    .count = 2,
				    .keep = keep};

	return local_settle(f->v, &f->e, &what);
}

/* Keeping all changes nothing that is shown, be it a copy, a pinned one, or a file kept. */
static void test_settle_keeps_what_is_shown(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		struct fix *f = fix_new();
		struct hash before, after;
		struct shown s;
		struct inode_id i = edited_twice(f, &s);

		if (how == 1) { /* the copy is pinned, when its file goes elsewhere */
			move_name(f, INODE_ROOT, "f", "g");
		} else if (how == 2) { /* the file is kept: removed by who had seen one version */
			struct shown file;
			assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text("f"), &file),
					 ERR_OK);
			struct record r = {.kind = REC_LINK, .inode = i};
			struct vector *all = vector_with(f->vec, 1, 1);
			f->v->hooks.where = in_first;
			r.link.name = file.n;
			r.link.has_prev = true;
			r.link.prev = in(INODE_ROOT, "f");
			f->ops = 2000;
			assert_int_equal(fix_content(f, i, "unseen"), ERR_OK);
			assert_int_equal(fix_foreign(f, &r, 2, 2, f->t + 20, all), ERR_OK);
			vector_unref(all);
			see(f, 2, 2);
		} else if (how == 3) { /* the name is nobody's any more */
			assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, bytes_text("f")),
					 ERR_OK);
		}
		assert_true(conflicts(f) > 0);
		assert_int_equal(view_digest(f->v, &before), ERR_OK);
		assert_int_equal(settle(f, "f", &s, -1), ERR_OK);
		assert_int_equal(view_digest(f->v, &after), ERR_OK);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(conflicts(f), 0);
		uint64_t ops = f->ops;
		assert_int_equal(settle(f, "f", &s, -1), ERR_OK);
		assert_int_equal(f->ops, ops); /* it is settled: nothing to write down */
		fix_free(f);
	}
}

/* Keeping one leaves it alone under the name, whichever it is; entries that are gone are fine. */
static void test_settle_keeps_one(void **state)
{
	(void)state;
	for (int32_t keep = 0; keep < 2; keep++) {
		struct fix *f = fix_new();
		struct shown s, left;
		struct view_attr a;
		struct past_version v;

		(void)edited_twice(f, &s);
		assert_int_equal(settle(f, "f", &s, keep), ERR_OK);
		assert_int_equal(conflicts(f), 0);
		assert_int_equal(view_next(f->v, INODE_ROOT, (struct bytes){NULL, 0}, &left),
				 ERR_OK);
		assert_true(left.name_len == 1 && left.name[0] == 'f');
		assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text("f"), &left), ERR_NOENT);
		assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text("f"), &left), ERR_OK);
		assert_int_equal(view_stat(f->v, left.id, &a), ERR_OK);
		assert_int_equal(past_content(f->v, left.id, a.version, &v), ERR_OK);
		assert_true(has_text(&v, keep ? "mine" : "theirs"));
		past_version_fini(&v);
		/* Both are remembered: the other one as what went. */
		const struct past_dir root = root_dir();
		struct past_versions l = {0};
		assert_int_equal(past_versions(f->v, &root, bytes_text("f"), &l), ERR_OK);
		assert_int_equal(l.count, 2);
		past_versions_fini(&l);
		assert_int_equal(settle(f, "f", &s, 0), ERR_OK);
		fix_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_past_lookup),
		cmocka_unit_test(test_past_next),
		cmocka_unit_test(test_past_versions),
		cmocka_unit_test(test_past_version_at),
		cmocka_unit_test(test_restore_over),
		cmocka_unit_test(test_past_of_forgotten),
		cmocka_unit_test(test_base_of_edits),
		cmocka_unit_test(test_base_none),
		cmocka_unit_test(test_base_of_safe_saves),
		cmocka_unit_test(test_settle_keeps_what_is_shown),
		cmocka_unit_test(test_settle_keeps_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
