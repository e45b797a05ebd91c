// SPDX-License-Identifier: MIT
/* test_view.c - what the model cannot say of the view: files without versions, costs, exchange */
#include "viewfix.h"

/* A file without a version is shown, can be moved and removed, and gets its version later. */
static void test_view_file_without_version(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", NULL);
	struct shown s;
	struct view_attr a;

	assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text("f"), &s), ERR_OK);
	assert_int_equal(s.kind, SHOWN_LINK);
	assert_int_equal(view_stat(f->v, i, &a), ERR_OK);
	assert_int_equal(a.content.len, 0);
	assert_int_equal(a.nlink, 1);
	assert_int_equal(a.mode, 0644);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, bytes_text("f")},
				      &(struct place){INODE_ROOT, bytes_text("g")}, 0),
			 ERR_OK);
	assert_int_equal(local_edit(f->v, &f->e, i), ERR_OK);
	assert_int_equal(fix_content(f, i, "hello"), ERR_OK);
	assert_int_equal(view_stat(f->v, i, &a), ERR_OK);
	assert_true(a.content.len > 0);
	assert_int_equal(a.mtime_ns, 77);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, bytes_text("g")), ERR_OK);
	assert_false(view_is_shown(f->v, i));
	assert_int_equal(fix_content(f, i, "after the name went"), ERR_OK);
	assert_false(view_is_shown(f->v, i));
	assert_true(view_dir_empty(f->v, INODE_ROOT));
	assert_int_equal(view_stat(f->v, i, &a), ERR_OK);
	assert_int_equal(a.nlink, 0);
	/* An unlinked file may be given a name again. */
	assert_int_equal(local_link(f->v, &f->e, i, INODE_ROOT, bytes_text("back")), ERR_OK);
	assert_true(view_is_shown(f->v, i));
	fix_free(f);
}

/* Two files without a version at one name are not equal: both are shown. */
static void test_view_rivals_without_versions(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", NULL);
	struct record r = {.kind = REC_INODE, .inode = {2, 1}};
	struct shown s;

	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){f->t + 9, 2};
	assert_int_equal(fix_foreign(f, &r, 2, 1, f->t + 9, NULL), ERR_OK);
	struct record l = {.kind = REC_LINK, .inode = {2, 1}};
	l.link.name = (struct name_id){f->t + 9, 2, 0};
	l.link.has_place = true;
	l.link.place = (struct place){INODE_ROOT, bytes_text("f")};
	assert_int_equal(fix_foreign(f, &l, 2, 2, f->t + 10, NULL), ERR_OK);
	assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text("f"), &s), ERR_OK);
	assert_true(inode_equal(s.id, i));
	assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text("f"), &s), ERR_OK);
	assert_true(inode_equal(s.id, (struct inode_id){2, 1}));
	assert_string_equal((const char *)s.name, "f (conflict B 1970-01-01 000001)");
	assert_true(s.suffixed);
	fix_free(f);
}

static void foreign_version(struct fix *f, uint64_t inc, uint64_t t, struct inode_id i,
			    const char *text)
{
	struct record r = {.kind = REC_CONTENT, .inode = i};
	struct wr w = {0};

	manifest_inline(&w, bytes_text(text));
	r.content.content = wr_view(&w);
	assert_int_equal(fix_foreign(f, &r, inc, 1, t, NULL), ERR_OK);
	wr_fini(&w);
}

/* A copy that is unlinked takes with it the equal versions that hid behind it; one that is
 * promoted leaves none of them either. */
static void test_view_copies_hide_equals(void **state)
{
	static const char copy[] = "f (conflict C 1970-01-01 000001)";

	(void)state;
	for (int what = 0; what < 3; what++) {
		struct fix *f = fix_new();
		struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "ours");
		struct shown s;
		foreign_version(f, 2, f->t - 2, i, "same");
		foreign_version(f, 3, f->t - 1, i, "same");
		foreign_version(f, 4, f->t + 5, i, "last");
		const struct where seen[] = {{2, 1}, {3, 1}, {4, 1}};
		f->vec = vector_new(seen, ARRAY_LEN(seen));
		f->t += 100;
		uint32_t before = 0, after = 0;
		struct bytes at = {NULL, 0};
		for (; view_next(f->v, INODE_ROOT, at, &s) == ERR_OK; before++)
			at = (struct bytes){s.name, s.name_len};
		assert_int_equal(before, 3); /* the last one, ours, and one of two equals */
		struct shown c;
		assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text(copy), &c), ERR_OK);
		const struct place from = {INODE_ROOT, bytes_text(copy)};
		const struct place to = {INODE_ROOT, bytes_text("g")};
		if (what == 0)
			assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, from.name), ERR_OK);
		else if (what == 1)
			assert_int_equal(local_rename(f->v, &f->e, &from, &to, 0), ERR_OK);
		else
			assert_int_equal(local_edit(f->v, &f->e, c.id), ERR_OK);
		at = (struct bytes){NULL, 0};
		for (; view_next(f->v, INODE_ROOT, at, &s) == ERR_OK; after++)
			at = (struct bytes){s.name, s.name_len};
		assert_int_equal(after, what == 0 ? 2 : 3);
		fix_free(f);
	}
}

/* A listing goes on behind any name, also one longer than names are. */
static void test_view_lists_behind_long_names(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	char longest[NAME_BYTES_MAX + 3];
	struct shown s;

	memset(longest, 'm', sizeof(longest));
	longest[NAME_BYTES_MAX] = 0;
	fix_make(f, TYPE_FILE, INODE_ROOT, longest, "x");
	fix_make(f, TYPE_FILE, INODE_ROOT, "z", "x");
	assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text("a"), &s), ERR_OK);
	assert_int_equal(s.name_len, NAME_BYTES_MAX);
	assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text(longest), &s), ERR_OK);
	assert_string_equal((const char *)s.name, "z");
	for (size_t len = NAME_BYTES_MAX + 1; len < sizeof(longest); len++) { /* no such name */
		const struct bytes after = {(const uint8_t *)longest, len};
		assert_int_equal(view_next(f->v, INODE_ROOT, after, &s), ERR_OK);
		assert_string_equal((const char *)s.name, "z");
	}
	assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text(longest), &s), ERR_OK);
	fix_free(f);
}

/* Errors are those of POSIX, and a refused operation writes nothing. */
static void test_view_posix_errors(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL), i;
	struct inode_id e = fix_make(f, TYPE_DIR, d, "e", NULL);
	struct inode_id file = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "f");
	struct make what = {.type = TYPE_FILE, .mode = 0644};
	struct bytes fn = bytes_text("f"), dn = bytes_text("d"), en = bytes_text("e");
	struct bytes none = bytes_text("none");
	char name[300];
	uint64_t ops = f->ops;
	struct shown s;

	memset(name, 'x', sizeof(name));
	struct bytes longer = {(const uint8_t *)name, 256};
	assert_int_equal(local_make(f->v, &f->e, INODE_ROOT, fn, &what, &i), ERR_EXIST);
	assert_int_equal(local_make(f->v, &f->e, file, fn, &what, &i), ERR_NOTDIR);
	assert_int_equal(local_make(f->v, &f->e, INODE_ROOT, longer, &what, &i), ERR_NAMETOOLONG);
	assert_int_equal(local_make(f->v, &f->e, INODE_ROOT, bytes_text(".."), &what, &i),
			 ERR_INVAL);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, none), ERR_NOENT);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, dn), ERR_ISDIR);
	assert_int_equal(local_rmdir(f->v, &f->e, INODE_ROOT, fn), ERR_NOTDIR);
	assert_int_equal(local_rmdir(f->v, &f->e, INODE_ROOT, dn), ERR_NOTEMPTY);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, dn},
				      &(struct place){e, none}, 0),
			 ERR_LOOP);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, dn},
				      &(struct place){INODE_ROOT, fn}, 0),
			 ERR_NOTDIR);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, fn},
				      &(struct place){INODE_ROOT, dn}, 0),
			 ERR_ISDIR);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, fn},
				      &(struct place){INODE_ROOT, dn}, LOCAL_NOREPLACE),
			 ERR_EXIST);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, fn},
				      &(struct place){d, none}, LOCAL_EXCHANGE),
			 ERR_NOENT);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, dn},
				      &(struct place){d, en}, LOCAL_EXCHANGE),
			 ERR_LOOP);
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){d, en},
				      &(struct place){INODE_ROOT, dn}, LOCAL_EXCHANGE),
			 ERR_LOOP);
	assert_int_equal(local_link(f->v, &f->e, d, INODE_ROOT, none), ERR_PERM);
	assert_int_equal(local_link(f->v, &f->e, file, INODE_ROOT, dn), ERR_EXIST);
	assert_int_equal(view_lookup(f->v, file, none, &s), ERR_NOTDIR);
	assert_int_equal(view_lookup(f->v, INODE_ROOT, longer, &s), ERR_NOENT);
	assert_int_equal(f->ops, ops);
	fix_free(f);
}

/* Directories and files exchange places in one operation. */
static void test_view_exchange(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	struct inode_id inner = fix_make(f, TYPE_FILE, d, "inner", "1");
	struct inode_id file = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "2");
	struct shown s;
	char path[64];

	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, bytes_text("d")},
				      &(struct place){INODE_ROOT, bytes_text("f")}, LOCAL_EXCHANGE),
			 ERR_OK);
	assert_int_equal(view_lookup(f->v, INODE_ROOT, bytes_text("d"), &s), ERR_OK);
	assert_true(inode_equal(s.id, file));
	assert_int_equal(view_path(f->v, inner, path, sizeof(path)), ERR_OK);
	assert_string_equal(path, "/f/inner");
	assert_int_equal(view_path(f->v, INODE_ROOT, path, sizeof(path)), ERR_OK);
	assert_string_equal(path, "/");
	assert_int_equal(view_path(f->v, inner, path, 8), ERR_RANGE);
	fix_free(f);
}

/* Attributes: defaults, each field alone, xattrs in order, link counts. */
static void test_view_attributes(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	struct inode_id i = fix_make(f, TYPE_FILE, d, "f", "text");
	struct attr_value owner = {.field = ATTR_OWNER, .owner = {5, 6}};
	struct attr_value times = {.field = ATTR_TIMES, .mtime_ns = -5};
	struct attr_value x = {.field = ATTR_XATTR};
	struct view_attr a;
	struct bytes key, value;

	assert_int_equal(local_set(f->v, &f->e, i, &owner), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &times), ERR_OK);
	assert_int_equal(local_link(f->v, &f->e, i, INODE_ROOT, bytes_text("second")), ERR_OK);
	assert_int_equal(view_stat(f->v, i, &a), ERR_OK);
	assert_true(a.has_owner && a.uid == 5 && a.gid == 6 && a.mtime_ns == -5 && a.nlink == 2);
	assert_int_equal(view_stat(f->v, d, &a), ERR_OK);
	assert_true(a.nlink == 2 && a.mode == 0755 && !a.has_owner);
	assert_int_equal(view_stat(f->v, INODE_ROOT, &a), ERR_OK);
	assert_int_equal(a.nlink, 3);
	x.xattr.key = bytes_text("user.b");
	x.xattr.value = bytes_text("1");
	assert_int_equal(local_set(f->v, &f->e, i, &x), ERR_OK);
	x.xattr.key = bytes_text("user.a");
	x.xattr.value = bytes_text("");
	assert_int_equal(local_set(f->v, &f->e, i, &x), ERR_OK);
	assert_int_equal(view_xattr(f->v, i, bytes_text("user.a"), &value), ERR_OK);
	assert_int_equal(value.len, 0);
	assert_int_equal(view_xattr_next(f->v, i, (struct bytes){NULL, 0}, &key), ERR_OK);
	assert_true(bytes_equal(key, bytes_text("user.a")));
	assert_int_equal(view_xattr_next(f->v, i, bytes_text("user.a"), &key), ERR_OK);
	assert_true(bytes_equal(key, bytes_text("user.b")));
	x.xattr.key = bytes_text("user.b");
	x.xattr.value = (struct bytes){NULL, 0};
	assert_int_equal(local_set(f->v, &f->e, i, &x), ERR_OK);
	assert_int_equal(view_xattr(f->v, i, bytes_text("user.b"), &value), ERR_NODATA);
	assert_int_equal(view_xattr_next(f->v, i, bytes_text("user.a"), &key), ERR_NODATA);
	assert_int_equal(view_inodes(f->v), 3);
	fix_free(f);
}

/* The digest is that of the tree: it changes with it and comes back with it. */
static void test_view_digest_is_of_the_tree(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct attr_value mode = {.field = ATTR_MODE, .mode = 0600};
	struct hash a, b, c;

	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "1");
	assert_int_equal(view_digest(f->v, &a), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &mode), ERR_OK);
	assert_int_equal(view_digest(f->v, &b), ERR_OK);
	assert_memory_not_equal(&a, &b, sizeof(a));
	mode.mode = 0644;
	assert_int_equal(local_set(f->v, &f->e, i, &mode), ERR_OK);
	fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	assert_int_equal(local_rmdir(f->v, &f->e, INODE_ROOT, bytes_text("d")), ERR_OK);
	assert_int_equal(view_digest(f->v, &c), ERR_OK);
	assert_memory_equal(&a, &c, sizeof(a));
	/* Each entry counts, not the last alone. */
	fix_make(f, TYPE_FILE, INODE_ROOT, "g", "2");
	assert_int_equal(view_digest(f->v, &b), ERR_OK);
	mode.mode = 0600;
	assert_int_equal(local_set(f->v, &f->e, i, &mode), ERR_OK);
	assert_int_equal(view_digest(f->v, &c), ERR_OK);
	assert_memory_not_equal(&b, &c, sizeof(b));
	fix_free(f);
}

/* ---- costs ---- */

struct counted {
	struct kv kv, *inner;
	uint64_t calls;
};

static enum err count_get(void *self, struct bytes key, struct bytes *ret)
{
	struct counted *c = self;

	c->calls++;
	return kv_get(c->inner, key, ret);
}

static enum err count_put(void *self, struct bytes key, struct bytes value)
{
	struct counted *c = self;

	c->calls++;
	return kv_put(c->inner, key, value);
}

static enum err count_del(void *self, struct bytes key)
{
	struct counted *c = self;

	c->calls++;
	return kv_del(c->inner, key);
}

static enum err count_next(void *self, const struct kv_from *from, struct bytes *key,
			   struct bytes *value)
{
	struct counted *c = self;

	c->calls++;
	return kv_next_in(c->inner, from->key, from->within, from->beyond, key, value);
}

static const struct kv_ops counted_ops = {
	.get = count_get, .put = count_put, .del = count_del, .next = count_next};

static uint64_t cost_of_make(struct fix *f, struct counted *c, struct inode_id dir,
			     const char *name)
{
	c->calls = 0;
	fix_make(f, TYPE_FILE, dir, name, "text");
	return c->calls;
}

/* What a create touches does not grow with the directory, with or without a conflict in it. */
static void test_view_cost_does_not_grow(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct counted c = {.inner = f->kv};
	const struct view_hooks hooks = {.arg = f,
					 .where = fix_where,
					 .line = fix_line,
					 .device = fix_device,
					 .changed = fix_changed};
	char name[32];

	c.kv = (struct kv){.ops = &counted_ops, .self = &c};
	view_free(f->v);
	f->v = view_new(&c.kv, &hooks);
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	uint64_t first = cost_of_make(f, &c, d, "first");
	for (int k = 0; k < 3000; k++) {
		snprintf(name, sizeof(name), "file%d", k);
		fix_make(f, TYPE_FILE, d, name, "text");
	}
	assert_true(cost_of_make(f, &c, d, "last") <= first + 2);
	struct shown s;
	c.calls = 0;
	assert_int_equal(view_lookup(f->v, d, bytes_text("file7"), &s), ERR_OK);
	assert_true(c.calls < 10);
	struct record r = {.kind = REC_CONTENT, .inode = s.id}; /* an unseen edit: two heads */
	struct wr w = {0};
	manifest_inline(&w, bytes_text("other"));
	r.content.content = wr_view(&w);
	assert_int_equal(fix_foreign(f, &r, 2, 1, f->t + 9, NULL), ERR_OK);
	wr_fini(&w);
	assert_int_equal(view_next(f->v, d, bytes_text("file7"), &s), ERR_OK);
	assert_int_equal(s.kind, SHOWN_COPY);
	assert_true(cost_of_make(f, &c, d, "very last") <= first + 20);
	view_free(f->v);
	f->v = view_new(f->kv, &hooks);
	fix_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view_file_without_version),
		cmocka_unit_test(test_view_rivals_without_versions),
		cmocka_unit_test(test_view_copies_hide_equals),
		cmocka_unit_test(test_view_lists_behind_long_names),
		cmocka_unit_test(test_view_posix_errors),
		cmocka_unit_test(test_view_exchange),
		cmocka_unit_test(test_view_attributes),
		cmocka_unit_test(test_view_digest_is_of_the_tree),
		cmocka_unit_test(test_view_cost_does_not_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
