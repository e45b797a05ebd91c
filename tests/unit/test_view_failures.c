// SPDX-License-Identifier: MIT
/*
 * test_view_failures.c - the rows cannot be read or written, at any moment
 *
 * A folder with all that can be contested in it: copies, losers, unions, kept files, a skipped
 * move, directories that only survivors keep.  Every question and every operation is tried with
 * each row gone or cut short, which must crash nobody, and with the n-th access to the rows
 * failing, for each n: the answer is the error, whatever was under way, and never an answer made of
 * half of the rows.
 */
#include "viewfix.h"

#define ENTRIES_MAX 48
#define B 2u /* another device: its records have seen nothing of ours */

struct failing { /* a kv whose n-th call fails; 0: none does */
	struct kv kv;
	struct kv *under;
	uint64_t calls, fails_at;
};

static bool due(struct failing *k)
{
	return ++k->calls == k->fails_at;
}

static enum err failing_get(void *self, struct bytes key, struct bytes *ret)
{
	struct failing *k = self;

	return due(k) ? ERR_IO : k->under->ops->get(k->under->self, key, ret);
}

static enum err failing_put(void *self, struct bytes key, struct bytes value)
{
	struct failing *k = self;

	return due(k) ? ERR_IO : k->under->ops->put(k->under->self, key, value);
}

static enum err failing_del(void *self, struct bytes key)
{
	struct failing *k = self;

	return due(k) ? ERR_IO : k->under->ops->del(k->under->self, key);
}

static enum err failing_next(void *self, const struct kv_from *from, struct bytes *key,
			     struct bytes *value)
{
	struct failing *k = self;

	return due(k) ? ERR_IO : k->under->ops->next(k->under->self, from, key, value);
}

static const struct kv_ops failing_ops = {failing_get, failing_put, failing_del, failing_next};

/* ---- the folder ---- */

static void foreign_inode(struct fix *f, uint64_t op, enum inode_type type, const char *birth)
{
	struct record r = {.kind = REC_INODE, .inode = {B, op}};

	r.ino.type = type;
	r.ino.born = (struct stamp){f->t + op, B};
	r.ino.has_birth = birth != NULL;
	if (birth)
		r.ino.birth = (struct place){INODE_ROOT, bytes_text(birth)};
	assert_int_equal(fix_foreign(f, &r, B, op, f->t + op, NULL), ERR_OK);
}

static void foreign_place(struct fix *f, uint64_t op, struct inode_id i, struct name_id n,
			  struct place at)
{
	struct record r = {.kind = REC_LINK, .inode = i};

	r.link.name = n;
	r.link.has_place = true;
	r.link.place = at;
	assert_int_equal(fix_foreign(f, &r, B, op, f->t + op, NULL), ERR_OK);
}

static void foreign_content(struct fix *f, uint64_t op, struct inode_id i, const char *text)
{
	struct record r = {.kind = REC_CONTENT, .inode = i};
	struct wr w = {0};

	manifest_inline(&w, bytes_text(text));
	r.content.content = wr_view(&w);
	assert_int_equal(fix_foreign(f, &r, B, op, f->t + op, NULL), ERR_OK);
	wr_fini(&w);
}

static struct place in(struct inode_id dir, const char *name)
{
	return (struct place){dir, bytes_text(name)};
}

/* One device's folder, and what another did meanwhile. */
static struct fix *contested(void)
{
	struct fix *f = fix_new();
	struct inode_id copied = fix_make(f, TYPE_FILE, INODE_ROOT, "copied.txt", "one");
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	struct inode_id united = fix_make(f, TYPE_DIR, INODE_ROOT, "united", NULL);
	struct inode_id kept = fix_make(f, TYPE_FILE, INODE_ROOT, "kept", "k");
	struct inode_id dead = fix_make(f, TYPE_DIR, INODE_ROOT, "dead", NULL);
	struct inode_id m = fix_make(f, TYPE_DIR, INODE_ROOT, "m", NULL);
	uint64_t born_n = f->t + 1;
	struct inode_id n = fix_make(f, TYPE_DIR, INODE_ROOT, "n", NULL);
	const struct attr_value x = {.field = ATTR_XATTR,
				     .xattr = {bytes_text("user.k"), bytes_text("v")}};

	fix_make(f, TYPE_FILE, INODE_ROOT, "lost", "ours");
	fix_make(f, TYPE_FILE, d, "x", "x");
	fix_make(f, TYPE_FILE, united, "ours", "o");
	assert_int_equal(local_link(f->v, &f->e, copied, d, bytes_text("link")), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, copied, &x), ERR_OK);
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, bytes_text("kept")), ERR_OK);
	assert_int_equal(local_rmdir(f->v, &f->e, INODE_ROOT, bytes_text("dead")), ERR_OK);
	const struct place from = in(INODE_ROOT, "m"), to = in(n, "m");
	assert_int_equal(local_rename(f->v, &f->e, &from, &to, 0), ERR_OK);

	foreign_content(f, 1, copied, "two");
	foreign_content(f, 2, copied, "three");
	foreign_inode(f, 3, TYPE_FILE, NULL);
	foreign_place(f, 4, (struct inode_id){B, 3}, (struct name_id){f->t + 3, B, 0},
		      in(INODE_ROOT, "lost"));
	foreign_content(f, 5, (struct inode_id){B, 3}, "theirs");
	foreign_inode(f, 6, TYPE_DIR, "united");
	foreign_place(f, 7, (struct inode_id){B, 6}, (struct name_id){f->t + 6, B, 0},
		      in(INODE_ROOT, "united"));
	foreign_inode(f, 8, TYPE_FILE, NULL);
	foreign_place(f, 9, (struct inode_id){B, 8}, (struct name_id){f->t + 8, B, 0},
		      in((struct inode_id){B, 6}, "ours"));
	foreign_content(f, 10, (struct inode_id){B, 8}, "t");
	foreign_content(f, 11, kept, "edited while deleted");
	foreign_inode(f, 12, TYPE_FILE, NULL);
	foreign_place(f, 13, (struct inode_id){B, 12}, (struct name_id){f->t + 12, B, 0},
		      in(dead, "survivor"));
	foreign_content(f, 14, (struct inode_id){B, 12}, "s");
	foreign_place(f, 15, n, (struct name_id){born_n, n.inc, 0}, in(m, "n"));
	f->vec = vector_new(&(struct where){B, 15}, 1); /* now it has come here */
	assert_non_null(f->vec);
	f->t += 100;
	return f;
}

struct entry_at {
	struct inode_id dir, id;
	char name[64];
	bool is_dir;
};

static void gather(struct fix *f, struct inode_id dir, struct entry_at *at, uint32_t *count)
{
	struct shown s = {0};
	struct bytes after = {NULL, 0};

	for (; view_next(f->v, dir, after, &s) == ERR_OK; after = bytes_text(at[*count - 1].name)) {
		assert_true(*count < ENTRIES_MAX && s.name_len < sizeof(at->name));
		at[*count] =
			(struct entry_at){.dir = dir, .id = s.id, .is_dir = s.type == TYPE_DIR};
		memcpy(at[*count].name, s.name, s.name_len + 1u);
		(*count)++;
	}
}

/* ---- what is tried ---- */

typedef enum err attempt(struct fix *f, const struct entry_at *e);

static enum err ask_lookup(struct fix *f, const struct entry_at *e)
{
	struct shown s;

	return view_lookup(f->v, e->dir, bytes_text(e->name), &s);
}

static enum err ask_list(struct fix *f, const struct entry_at *e)
{
	struct shown s = {0};
	struct bytes after = {NULL, 0};
	enum err x = ERR_OK;

	for (; !x; after = (struct bytes){s.name, s.name_len})
		x = view_next(f->v, e->dir, after, &s);
	return x == ERR_NOENT ? ERR_OK : x;
}

static enum err ask_path(struct fix *f, const struct entry_at *e)
{
	char buf[256];

	return view_path(f->v, e->id, buf, sizeof(buf));
}

static enum err ask_stat(struct fix *f, const struct entry_at *e)
{
	struct view_attr a;

	return view_stat(f->v, e->id, &a);
}

static enum err ask_digest(struct fix *f, const struct entry_at *e)
{
	struct hash h;

	(void)e;
	return view_digest(f->v, &h);
}

static bool more(void *arg, enum conflict_kind kind, const struct shown *s)
{
	(void)arg;
	(void)kind;
	(void)s;
	return true;
}

static enum err ask_conflicts(struct fix *f, const struct entry_at *e)
{
	(void)e;
	return view_conflicts(f->v, more, NULL);
}

static enum err do_remove(struct fix *f, const struct entry_at *e)
{
	struct bytes name = bytes_text(e->name);

	return e->is_dir ? local_rmdir(f->v, &f->e, e->dir, name)
			 : local_unlink(f->v, &f->e, e->dir, name);
}

static enum err do_rename(struct fix *f, const struct entry_at *e)
{
	const struct place from = in(e->dir, e->name), to = in(INODE_ROOT, "new");

	return local_rename(f->v, &f->e, &from, &to, 0);
}

static enum err do_rename_over(struct fix *f, const struct entry_at *e)
{
	const struct place from = in(e->dir, e->name), to = in(INODE_ROOT, "lost");

	return local_rename(f->v, &f->e, &from, &to, 0);
}

static enum err do_replace(struct fix *f, const struct entry_at *e)
{
	const struct place from = in(INODE_ROOT, "lost"), to = in(e->dir, e->name);

	return local_rename(f->v, &f->e, &from, &to, 0);
}

static enum err do_edit(struct fix *f, const struct entry_at *e)
{
	enum err x = local_edit(f->v, &f->e, e->id);

	return x ? x : fix_content(f, e->id, "edited");
}

static enum err do_set(struct fix *f, const struct entry_at *e)
{
	return local_set(f->v, &f->e, e->id,
			 &(struct attr_value){.field = ATTR_MODE, .mode = 0600});
}

static enum err do_link(struct fix *f, const struct entry_at *e)
{
	return local_link(f->v, &f->e, e->id, INODE_ROOT, bytes_text("another"));
}

static enum err do_make(struct fix *f, const struct entry_at *e)
{
	struct make what = {.type = TYPE_FILE, .mode = 0600};
	struct inode_id i;

	return local_make(f->v, &f->e, e->dir, bytes_text("new"), &what, &i);
}

static attempt *const attempts[] = {ask_lookup,    ask_list,  ask_path,  ask_stat,       ask_digest,
				    ask_conflicts, do_remove, do_rename, do_rename_over, do_replace,
				    do_edit,       do_set,    do_link,   do_make};

/* The same folder on a copy of its rows, the n-th access to which fails. */
static enum err try_on_copy(const struct fix *from, struct failing *k, attempt *what,
			    const struct entry_at *e)
{
	struct fix f = *from;
	struct bytes key = {(const uint8_t *)"", 1}, value;
	bool beyond = false;

	k->under = kv_new_map();
	assert_non_null(k->under);
	for (; kv_next(from->kv, key, beyond, &key, &value) == ERR_OK; beyond = true)
		assert_int_equal(kv_put(k->under, key, value), ERR_OK);
	k->kv = (struct kv){&failing_ops, k};
	uint64_t fails_at = k->fails_at;
	k->fails_at = 0;
	f.kv = &k->kv;
	const struct view_hooks hooks = {.arg = &f,
					 .where = fix_where,
					 .line = fix_line,
					 .device = fix_device,
					 .changed = fix_changed,
					 .now = fix_now};
	f.v = view_new(&k->kv, &hooks);
	f.e.arg = &f;
	k->calls = 0;
	k->fails_at = fails_at;
	enum err x = f.v ? what(&f, e) : ERR_DAMAGED; /* it begins with reading a row */
	view_free(f.v);
	kv_free_map(k->under);
	return x;
}

/* Whatever access fails, the answer is that. */
static void test_every_access_may_fail(void **state)
{
	struct fix *f = contested();
	struct entry_at at[ENTRIES_MAX];
	uint32_t count = 0, conflicts = 0, fine = 0;

	(void)state;
	gather(f, INODE_ROOT, at, &count);
	for (uint32_t k = 0, top = count; k < top; k++)
		if (at[k].is_dir)
			gather(f, at[k].id, at, &count);
	for (uint32_t k = 0; k < count; k++)
		conflicts += strstr(at[k].name, "(conflict ") != NULL;
	assert_int_equal(conflicts, 5);
	for (uint32_t a = 0; a < ARRAY_LEN(attempts); a++) {
		for (uint32_t k = 0; k < count; k++) {
			if ((attempts[a] == ask_digest || attempts[a] == ask_conflicts) && k)
				continue;
			struct failing kv = {.fails_at = 0};
			enum err usual = try_on_copy(f, &kv, attempts[a], &at[k]);
			uint64_t calls = kv.calls;
			fine += usual == ERR_OK;
			for (kv.fails_at = 1; kv.fails_at <= calls; kv.fails_at++) {
				enum err x = try_on_copy(f, &kv, attempts[a], &at[k]);
				if (x != ERR_IO && (x != usual || !usual))
					print_error("attempt %u on %s, call %llu of %llu: %s\n", a,
						    at[k].name, (unsigned long long)kv.fails_at,
						    (unsigned long long)calls, err_text(x));
				assert_true(x == ERR_IO || (usual && x == usual));
			}
		}
	}
	assert_true(fine > 100);
	fix_free(f);
}

/* The rows of from but the n-th, which is gone (cut -1) or shorter by cut bytes; false: no n-th. */
static bool rows_without(struct kv *from, struct kv *to, uint64_t n, int cut)
{
	struct bytes key = {(const uint8_t *)"", 1}, value;
	bool beyond = false;
	uint64_t k = 0;

	for (; kv_next(from, key, beyond, &key, &value) == ERR_OK; beyond = true, k++) {
		if (k == n && cut < 0)
			continue;
		if (k == n)
			value.len -= MIN(value.len, (size_t)cut);
		assert_int_equal(kv_put(to, key, value), ERR_OK);
	}
	return n < k;
}

/* A row that is gone or cut short is an error or an absence to whoever comes to it: the index is
 * made again then.  Nobody crashes. */
static void test_any_row_may_be_damaged(void **state)
{
	struct fix *f = contested();
	struct entry_at at[ENTRIES_MAX];
	uint32_t count = 0;

	(void)state;
	gather(f, INODE_ROOT, at, &count);
	for (uint32_t k = 0, top = count; k < top; k++)
		if (at[k].is_dir)
			gather(f, at[k].id, at, &count);
	for (int cut = -1; cut <= 1; cut += 2) {
		for (uint64_t n = 0;; n++) {
			struct kv *damaged = kv_new_map();
			bool more_rows = rows_without(f->kv, damaged, n, cut);
			struct fix g = *f;
			g.kv = damaged;
			for (uint32_t a = 0; more_rows && a < ARRAY_LEN(attempts); a++) {
				for (uint32_t k = 0; k < count; k++) {
					struct failing kv = {.fails_at = 0};
					(void)try_on_copy(&g, &kv, attempts[a], &at[k]);
				}
			}
			kv_free_map(damaged);
			if (!more_rows)
				break;
		}
	}
	fix_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_access_may_fail),
		cmocka_unit_test(test_any_row_may_be_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
