// SPDX-License-Identifier: MIT
/* test_history.c - what is remembered of versions and names that ended, and for how long */
#include "codec/manifest.h"
#include "core/history.h"
#include "viewfix.h"

#define MS(ms) ((uint64_t)(ms) << 16)

/* The device's next record is made at that time. */
static void at_ms(struct fix *f, uint64_t ms)
{
	assert_true(f->t < MS(ms));
	f->t = MS(ms) - 1;
}

static struct bytes text_of(const struct history_version *h)
{
	struct manifest m;

	assert_int_equal(manifest_decode(h->h.content, &m), ERR_OK);
	return m.data;
}

/* The count versions of an inode are these texts, the last first. */
static void versions_are(struct fix *f, struct inode_id i, const char *const *texts)
{
	struct walk w = history_versions(i, UINT64_MAX);
	auto_past h = {0};
	uint32_t n = 0;

	for (; history_versions_next(f->v, &w, &h); n++) {
		assert_non_null(texts[n]);
		assert_true(bytes_equal(text_of(&h), bytes_text(texts[n])));
	}
	assert_int_equal(f->v->bad, ERR_OK);
	assert_null(texts[n]);
}

static uint32_t names_at(struct fix *f, struct inode_id dir, const char *name,
			 struct history_name *first)
{
	struct walk w = history_names(dir, bytes_text(name));
	struct history_name h;
	uint32_t n = 0;

	for (; history_names_next(f->v, &w, &h); n++)
		if (n == 0)
			*first = h;
	assert_int_equal(f->v->bad, ERR_OK);
	return n;
}

static enum err unlink_name(struct fix *f, struct inode_id dir, const char *name)
{
	return local_unlink(f->v, &f->e, dir, bytes_text(name));
}

static enum err move_name(struct fix *f, struct inode_id dir, const char *from, const char *to)
{
	return local_rename(f->v, &f->e, &(struct place){dir, bytes_text(from)},
			    &(struct place){dir, bytes_text(to)}, 0);
}

/* A version of another device that had seen nothing; this one has seen it from then on. */
static void unseen_edit(struct fix *f, struct inode_id i, uint64_t inc, uint64_t op,
			const char *text)
{
	struct record r = {.kind = REC_CONTENT, .inode = i};
	struct wr w = {0};

	manifest_inline(&w, bytes_text(text));
	r.content.content = wr_view(&w);
	assert_int_equal(fix_foreign(f, &r, inc, op, f->t + 9, NULL), ERR_OK);
	wr_fini(&w);
	const struct vector *before = f->vec;
	f->vec = vector_with(before, inc, op);
	assert_non_null(f->vec);
	vector_unref(before);
}

/* A replaced version is remembered with its author, its time and what ended it; the head is not. */
static void test_history_replaced(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	at_ms(f, 2000);
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	at_ms(f, 3000);
	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	at_ms(f, 4000);
	assert_int_equal(fix_content(f, i, "three"), ERR_OK);
	versions_are(f, i, (const char *const[]){"two", "one", NULL});

	struct walk w = history_versions(i, MS(2999));
	auto_past h = {0};
	assert_true(history_versions_next(f->v, &w, &h));
	assert_true(bytes_equal(text_of(&h), bytes_text("one")));
	assert_int_equal(h.h.o.t >> 16, 2000);
	assert_int_equal(h.h.o.dot.inc, 1);
	assert_int_equal(h.since_ms, 3000);
	assert_int_equal(h.by, 1);
	assert_int_equal(h.end, HISTORY_REPLACED);
	assert_true(inode_equal(h.inode, i));
	assert_false(history_versions_next(f->v, &w, &h));
	w = history_versions(i, MS(1999));
	assert_false(history_versions_next(f->v, &w, &h));
	fix_free(f);
}

/* What is learnt late is dated by when it is learnt, or it would be over before anybody saw it. */
static void test_history_dates(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	auto_past h = {0};
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");

	f->now_ms = 5000;
	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	struct walk w = history_versions(i, UINT64_MAX);
	assert_true(history_versions_next(f->v, &w, &h));
	assert_int_equal(h.since_ms, 5000);
	fix_free(f);
}

/* A name that was removed or moved is remembered where it stood, with what stood there. */
static void test_history_names(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct history_name h;
	at_ms(f, 2000);
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	assert_int_equal(names_at(f, INODE_ROOT, "f", &h), 0);
	at_ms(f, 3000);
	assert_int_equal(move_name(f, INODE_ROOT, "f", "g"), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "f", &h), 1);
	assert_true(h.moved);
	assert_true(inode_equal(h.inode, i));
	assert_int_equal(h.type, TYPE_FILE);
	assert_int_equal(h.from_t >> 16, 2000);
	assert_int_equal(h.until.t >> 16, 3000);
	assert_int_equal(h.since_ms, 3000);
	assert_int_equal(h.name_len, 1);
	at_ms(f, 4000);
	assert_int_equal(unlink_name(f, INODE_ROOT, "g"), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "g", &h), 1);
	assert_false(h.moved);
	assert_int_equal(h.from_t >> 16, 3000);
	assert_int_equal(h.until.inc, 1);
	versions_are(f, i, (const char *const[]){NULL}); /* its registers still hold the last */
	/* The same name again: the last one to end comes first. */
	at_ms(f, 5000);
	struct inode_id k = fix_make(f, TYPE_FILE, INODE_ROOT, "g", "two");
	at_ms(f, 6000);
	assert_int_equal(unlink_name(f, INODE_ROOT, "g"), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "g", &h), 2);
	assert_true(inode_equal(h.inode, k));
	fix_free(f);
}

/* Saving by rename ends the old file at its name. */
static void test_history_safe_save(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct history_name h;
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	(void)fix_make(f, TYPE_FILE, INODE_ROOT, "tmp", "two");

	assert_int_equal(move_name(f, INODE_ROOT, "tmp", "f"), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "f", &h), 1);
	assert_true(inode_equal(h.inode, i));
	assert_false(h.moved);
	assert_int_equal(names_at(f, INODE_ROOT, "tmp", &h), 1);
	fix_free(f);
}

/* A directory that is removed or moved is remembered; what is in it stays where it is. */
static void test_history_directories(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct history_name h;
	uint8_t name[NAME_BYTES_MAX];
	size_t len;
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	struct inode_id e = fix_make(f, TYPE_DIR, d, "e", NULL);
	(void)fix_make(f, TYPE_FILE, e, "b", "b");
	(void)fix_make(f, TYPE_FILE, e, "a", "a");

	assert_int_equal(move_name(f, INODE_ROOT, "d", "moved"), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "d", &h), 1);
	assert_true(h.moved);
	assert_int_equal(h.type, TYPE_DIR);
	assert_int_equal(names_at(f, d, "e", &h), 0);
	assert_false(history_name_after(f->v, e, (struct bytes){NULL, 0}, name, &len));
	assert_int_equal(unlink_name(f, e, "b"), ERR_OK);
	assert_int_equal(unlink_name(f, e, "a"), ERR_OK);
	assert_int_equal(local_rmdir(f->v, &f->e, d, bytes_text("e")), ERR_OK);
	assert_int_equal(names_at(f, d, "e", &h), 1);
	assert_true(inode_equal(h.inode, e));
	assert_false(h.moved);
	assert_true(history_name_after(f->v, e, (struct bytes){NULL, 0}, name, &len));
	assert_true(len == 1 && name[0] == 'a');
	assert_true(history_name_after(f->v, e, bytes_text("a"), name, &len));
	assert_true(len == 1 && name[0] == 'b');
	assert_false(history_name_after(f->v, e, bytes_text("b"), name, &len));
	fix_free(f);
}

/* A directory that stays because of what came into it has not ended; when that goes, it has. */
static void test_history_survivor(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct history_name h;
	struct inode_id d = fix_make(f, TYPE_DIR, INODE_ROOT, "d", NULL);
	struct record r = {.kind = REC_INODE, .inode = {2, 1}};
	struct record l = {.kind = REC_LINK, .inode = {2, 1}};
	struct name_id n = {MS(9000), 2, 0};

	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){MS(9000), 2};
	l.link.name = n;
	l.link.has_place = true;
	l.link.place = (struct place){d, bytes_text("x")};
	assert_int_equal(local_rmdir(f->v, &f->e, INODE_ROOT, bytes_text("d")), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "d", &h), 1);
	assert_int_equal(fix_foreign(f, &r, 2, 1, MS(9000), NULL), ERR_OK);
	assert_int_equal(fix_foreign(f, &l, 2, 2, MS(9000) + 1, NULL), ERR_OK);
	assert_true(view_is_shown(f->v, d));
	l.link.has_place = false;
	l.link.has_prev = true;
	l.link.prev = l.link.place;
	assert_int_equal(fix_foreign(f, &l, 2, 3, MS(9001), NULL), ERR_OK);
	assert_int_equal(names_at(f, INODE_ROOT, "d", &h), 2);
	assert_int_equal(h.until.inc, 2);
	assert_int_equal(h.until.t >> 16, 9001);
	fix_free(f);
}

/* A conflict copy that is removed is remembered as dropped; one that is renamed, as promoted. */
static void test_history_copies(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "mine"), file;
	struct dot dot;
	auto_past h = {0};
	struct shown s;

	unseen_edit(f, i, 2, 1, "theirs");
	assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text("f"), &s), ERR_OK);
	assert_int_equal(s.kind, SHOWN_COPY);
	const struct bytes name = {s.name, s.name_len};
	assert_int_equal(local_unlink(f->v, &f->e, INODE_ROOT, name), ERR_OK);
	versions_are(f, i, (const char *const[]){"mine", NULL});
	struct walk w = history_versions(i, UINT64_MAX);
	assert_true(history_versions_next(f->v, &w, &h));
	assert_int_equal(h.end, HISTORY_DROPPED);

	unseen_edit(f, i, 3, 1, "of a third");
	assert_int_equal(view_next(f->v, INODE_ROOT, bytes_text("f"), &s), ERR_OK);
	const struct bytes again = {s.name, s.name_len};
	const struct inode_id copy = s.id;
	assert_int_equal(local_rename(f->v, &f->e, &(struct place){INODE_ROOT, again},
				      &(struct place){INODE_ROOT, bytes_text("own")}, 0),
			 ERR_OK);
	versions_are(f, i, (const char *const[]){"theirs", "mine", NULL});
	w = history_versions(i, UINT64_MAX);
	assert_true(history_versions_next(f->v, &w, &h));
	assert_int_equal(h.end, HISTORY_PROMOTED);
	assert_true(history_origin(f->v, copy, &file, &dot));
	assert_true(inode_equal(file, i));
	assert_int_equal(dot_compare(dot, h.h.o.dot), 0);
	assert_false(history_origin(f->v, i, &file, &dot));
	fix_free(f);
}

static void del_rows(struct fix *f, struct bytes prefix)
{
	struct bytes key, value;

	while (kv_next_in(f->kv, prefix, prefix.len, false, &key, &value) == ERR_OK) {
		uint8_t copy[KV_KEY_MAX];

		memcpy(copy, key.at, key.len);
		assert_int_equal(kv_del(f->kv, (struct bytes){copy, key.len}), ERR_OK);
	}
}

static uint32_t count_rows(struct fix *f, struct bytes prefix)
{
	struct bytes key, value;
	uint8_t at[KV_KEY_MAX];
	size_t len = prefix.len;
	uint32_t n = 0;

	memcpy(at, prefix.at, len);
	while (kv_next_in(f->kv, (struct bytes){at, len}, prefix.len, n > 0, &key, &value) ==
	       ERR_OK) {
		memcpy(at, key.at, key.len);
		len = key.len;
		n++;
	}
	return n;
}

/* When the registers of a removed file are forgotten, its last version and attributes stay. */
static void test_history_outlives_registers(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "last");
	struct attr_value mode = {.field = ATTR_MODE, .mode = 0640};
	struct attr_value a = {.field = ATTR_XATTR,
			       .xattr = {bytes_text("user.a"), bytes_text("1")}};
	struct attr_value b = {.field = ATTR_XATTR,
			       .xattr = {bytes_text("user.b"), bytes_text("22")}};
	struct attr_value gone = {.field = ATTR_XATTR, .xattr = {bytes_text("user.c"), {NULL, 0}}};
	auto_inode row = {0}, past = {0};
	auto_wr key = {0}, value = {0};

	assert_int_equal(local_set(f->v, &f->e, i, &mode), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &a), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &b), ERR_OK);
	assert_int_equal(local_set(f->v, &f->e, i, &gone), ERR_OK);
	assert_int_equal(unlink_name(f, INODE_ROOT, "f"), ERR_OK);
	f->now_ms = 77000;
	assert_true(cells_inode(f->v, i, &row));
	history_forget(f->v, &row);
	rows_flush(f->v);
	assert_int_equal(f->v->bad, ERR_OK);
	struct rkey k = rows_key(TABLE_INODE);
	rows_key_inode(&k, i);
	del_rows(f, rows_key_bytes(&k));
	k.b[0] = TABLE_XATTR;
	del_rows(f, rows_key_bytes(&k));

	versions_are(f, i, (const char *const[]){"last", NULL});
	assert_true(history_inode(f->v, i, &past));
	assert_int_equal(past.mode, 0640);
	assert_int_equal(past.type, TYPE_FILE);
	assert_int_equal(past.heads_count, 0);
	assert_true(history_xattr(f->v, i, (struct bytes){NULL, 0}, &key, &value));
	assert_true(bytes_equal(wr_view(&key), bytes_text("user.a")));
	assert_true(bytes_equal(wr_view(&value), bytes_text("1")));
	assert_true(history_xattr(f->v, i, bytes_text("user.a"), &key, &value));
	assert_true(bytes_equal(wr_view(&value), bytes_text("22")));
	assert_false(history_xattr(f->v, i, bytes_text("user.b"), &key, &value));
	assert_int_equal(f->v->bad, ERR_OK);
	cells_inode_fini(&row);
	cells_inode_fini(&past);
	view_free(f->v); /* its checks want the rows that this test took away */
	kv_free_map(f->kv);
	free(f);
}

/* The tree does not depend on history: without its rows every digest is the same. */
static void test_history_shows_nothing(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "one");
	struct hash with, without;

	assert_int_equal(fix_content(f, i, "two"), ERR_OK);
	unseen_edit(f, i, 2, 1, "theirs");
	assert_int_equal(unlink_name(f, INODE_ROOT, "f"), ERR_OK);
	assert_int_equal(view_digest(f->v, &with), ERR_OK);
	assert_true(count_rows(f, bytes_text("H")) > 0);
	del_rows(f, bytes_text("H"));
	assert_int_equal(view_digest(f->v, &without), ERR_OK);
	assert_memory_equal(&with, &without, sizeof(with));
	fix_free(f);
}

/* A row goes when its time is over, not a millisecond before, and a step looks at so many. */
static void test_history_sweep(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct history_sweep s = {0};
	const int64_t day = 86400000, keep = 30 * day;
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "0");
	char text[16];

	for (uint32_t n = 1; n <= HISTORY_SWEEP_ROWS + 10; n++) {
		(void)snprintf(text, sizeof(text), "%u", n);
		f->now_ms = 1000 * day + (n > 5); /* the first five end a millisecond earlier */
		assert_int_equal(fix_content(f, i, text), ERR_OK);
	}
	const uint32_t all = HISTORY_SWEEP_ROWS + 10;
	assert_int_equal(count_rows(f, bytes_text("H")), all);
	assert_int_equal(history_sweep(f->kv, &s, 0, 1030 * day, keep), ERR_OK);
	assert_int_equal(s.due_usec, HISTORY_SWEEP_USEC); /* there is more to look at */
	assert_int_equal(count_rows(f, bytes_text("H")), all);
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec - 1, 1031 * day, keep), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), all); /* it was not due */
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec, 1030 * day, keep), ERR_OK);
	assert_true(s.due_usec >= HISTORY_PASS_USEC);
	assert_int_equal(count_rows(f, bytes_text("H")), all);
	/* A sweep later, and a millisecond. */
	for (int step = 0; step < 2; step++)
		assert_int_equal(history_sweep(f->kv, &s, s.due_usec, 1030 * day + 1, keep),
				 ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), all - 5);
	/* Kept for ever. */
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec, 9000 * day, 0), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), all - 5);
	for (int step = 0; step < 2; step++)
		assert_int_equal(history_sweep(f->kv, &s, s.due_usec, 1040 * day, keep), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), 0);
	fix_free(f);
}

/* A date that lies ahead of the clock does not keep a row for ever. */
static void test_history_sweep_dates_ahead(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct history_sweep s = {0};
	const int64_t day = 86400000, keep = 30 * day;
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "0");
	auto_past h = {0};

	f->now_ms = 1000 * day + HISTORY_AHEAD_MS; /* so much is an honest clock's */
	assert_int_equal(fix_content(f, i, "honest"), ERR_OK);
	assert_int_equal(history_sweep(f->kv, &s, 0, 1000 * day, keep), ERR_OK);
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec, f->now_ms + keep, keep), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), 1);
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec, f->now_ms + keep + 1, keep), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), 0);
	s = (struct history_sweep){0};
	f->now_ms = INT64_MAX / 2; /* a clock that is wrong by ages */
	assert_int_equal(fix_content(f, i, "1"), ERR_OK);
	assert_int_equal(history_sweep(f->kv, &s, 0, 1000 * day, keep), ERR_OK);
	struct walk w = history_versions(i, UINT64_MAX);
	assert_true(history_versions_next(f->v, &w, &h));
	assert_int_equal(h.since_ms, 1000 * day);
	assert_true(bytes_equal(text_of(&h), bytes_text("honest")));
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec, 1030 * day, keep), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), 1);
	assert_int_equal(history_sweep(f->kv, &s, s.due_usec, 1030 * day + 1, keep), ERR_OK);
	assert_int_equal(count_rows(f, bytes_text("H")), 0);
	fix_free(f);
}

/* A row that the disk cut short is damage, whatever is left of it. */
static void test_history_cut_rows(void **state)
{
	(void)state;
	struct fix *f = fix_new();
	struct inode_id i = fix_make(f, TYPE_FILE, INODE_ROOT, "f", "0");
	struct bytes key, value;
	struct history_name n;
	auto_past h = {0};
	uint8_t at[KV_KEY_MAX], row[400];

	assert_int_equal(fix_content(f, i, "1"), ERR_OK);
	assert_int_equal(unlink_name(f, INODE_ROOT, "f"), ERR_OK);
	const struct {
		const char *prefix;
		size_t least; /* bytes that are never left out */
	} rows[] = {{"Hv", 8 + 1 + 8 + 56 + 8}, {"Hn", 8 + 2 + 16 + 24 + 8}};
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		const struct bytes p = bytes_text(rows[k].prefix);
		assert_int_equal(kv_next_in(f->kv, p, p.len, false, &key, &value), ERR_OK);
		const struct bytes whole = {row, value.len}, own = {at, key.len};
		assert_true(value.len <= sizeof(row));
		memcpy(at, key.at, key.len);
		memcpy(row, value.at, value.len);
		for (size_t len = 0; len < rows[k].least; len++) {
			assert_int_equal(kv_put(f->kv, own, (struct bytes){row, len}), ERR_OK);
			struct walk w = k ? history_names(INODE_ROOT, bytes_text("f"))
					  : history_versions(i, UINT64_MAX);
			assert_false(k ? history_names_next(f->v, &w, &n)
				       : history_versions_next(f->v, &w, &h));
			assert_int_equal(f->v->bad, ERR_DAMAGED);
			f->v->bad = ERR_OK;
		}
		assert_int_equal(kv_put(f->kv, own, whole), ERR_OK);
	}
	fix_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history_replaced),
		cmocka_unit_test(test_history_dates),
		cmocka_unit_test(test_history_names),
		cmocka_unit_test(test_history_safe_save),
		cmocka_unit_test(test_history_directories),
		cmocka_unit_test(test_history_survivor),
		cmocka_unit_test(test_history_copies),
		cmocka_unit_test(test_history_outlives_registers),
		cmocka_unit_test(test_history_shows_nothing),
		cmocka_unit_test(test_history_sweep),
		cmocka_unit_test(test_history_sweep_dates_ahead),
		cmocka_unit_test(test_history_cut_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
