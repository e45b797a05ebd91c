// SPDX-License-Identifier: MIT
/* test_record.c - records: every rule that one record alone can break, and every limit */
#include "recode.h"
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

/* Offsets in an encoded record, as peerfs-store(5) has them. */
enum { AT_KIND = 4, AT_DOT_INC = 5, AT_DOT_OP = 13, AT_INODE = 37, AT_BODY = RECORD_HEAD };

static void encoded(void (*make)(struct record *r), struct wr *w)
{
	struct record r;

	make(&r);
	wr_reset(w);
	record_encode(w, &r);
	if (r.kind == REC_INODE)
		vector_unref(r.ino.origin.vec);
}

static enum err again(const struct wr *w)
{
	struct wr out = {0};
	enum err e = recode_record(wr_view(w), &out);

	if (!e)
		assert_true(bytes_equal(wr_view(w), wr_view(&out)));
	wr_fini(&out);
	return e;
}

/* One byte of a good record becomes another: refused. */
static void refused(void (*make)(struct record *r), size_t at, uint8_t value)
{
	struct wr w = {0};

	encoded(make, &w);
	assert_true(at < w.len && w.at[at] != value);
	w.at[at] = value;
	if (again(&w) != ERR_MALFORMED)
		fail_msg("byte %zu may be %u", at, value);
	wr_fini(&w);
}

static enum err decode(const struct record *r)
{
	struct wr w = {0};

	record_encode(&w, r);
	assert_int_equal(w.len, record_bytes(r));
	enum err e = again(&w);
	wr_fini(&w);
	return e;
}

/* A decoded record says what was encoded, and borrows from the input. */
static void test_a_content_record_is_read_back(void **state)
{
	struct record_arena *a = record_arena_new();
	struct record want, r;
	struct wr w = {0};

	(void)state;
	sample_content(&want);
	encoded(sample_content, &w);
	struct rd c = rd_of(wr_view(&w));
	assert_int_equal(record_decode(&c, a, &r), ERR_OK);
	assert_true(rd_done(&c));
	assert_int_equal(r.kind, REC_CONTENT);
	assert_int_equal(dot_compare(r.dot, want.dot), 0);
	assert_true(inode_equal(r.inode, want.inode));
	assert_int_equal(r.t, want.t);
	assert_int_equal(r.wall_ms, SAMPLE_WALL_MS);
	assert_int_equal(r.in.inc | r.in.seq, 0);
	assert_null(r.vec);
	assert_int_equal(r.content.bases_count, 1);
	assert_int_equal(dot_compare(r.content.bases[0], want.content.bases[0]), 0);
	assert_true(bytes_equal(r.content.content, want.content.content));
	assert_true(r.content.content.at > w.at && r.content.content.at < w.at + w.len);
	assert_int_equal(r.content.mtime_ns, want.content.mtime_ns);
	record_arena_free(a);
	wr_fini(&w);
}

static void test_a_copy_is_read_back(void **state)
{
	struct record_arena *a = record_arena_new();
	struct record want, r;
	struct wr w = {0};

	(void)state;
	sample_copy(&want);
	encoded(sample_copy, &w);
	struct rd c = rd_of(wr_view(&w));
	assert_int_equal(record_decode(&c, a, &r), ERR_OK);
	assert_true(r.ino.has_origin && !r.ino.has_birth);
	assert_true(inode_equal(r.ino.origin_inode, want.ino.origin_inode));
	assert_int_equal(dot_compare(r.ino.origin.dot, want.ino.origin.dot), 0);
	assert_int_equal(r.ino.origin.in.seq, 2);
	assert_true(vector_equal(r.ino.origin.vec, want.ino.origin.vec));
	assert_int_equal(r.ino.origin.mtime_ns, want.ino.origin.mtime_ns);
	assert_int_equal(r.ino.attrs_count, 2);
	assert_int_equal(r.ino.attrs[0].v.mode, 0600);
	assert_int_equal(r.ino.attrs[1].v.field, ATTR_XATTR);
	assert_null(r.ino.attrs[1].v.xattr.value.at);
	assert_int_equal(stamp_compare(r.ino.attrs[1].stamp, want.ino.attrs[1].stamp), 0);
	vector_unref(want.ino.origin.vec);
	record_arena_free(a);
	wr_fini(&w);
}

/* Kinds that this version does not know are carried whole, empty bodies and full frames too. */
static void test_unknown_kinds_are_carried(void **state)
{
	uint8_t *body = calloc(1, RECORD_BYTES_MAX);
	struct record r;
	struct wr w = {0};

	(void)state;
	assert_non_null(body);
	sample_attr(&r);
	r.kind = 200;
	r.unknown = (struct bytes){body, 0};
	assert_int_equal(decode(&r), ERR_OK);
	r.unknown.len = RECORD_BYTES_MAX - RECORD_HEAD;
	record_encode(&w, &r);
	assert_int_equal(w.len, RECORD_BYTES_MAX);
	assert_int_equal(again(&w), ERR_OK);
	wr_u8(&w, 0);
	wr_patch_u32(&w, 0, (uint32_t)w.len - 4);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
	refused(sample_attr, AT_KIND, 0);
	free(body);
}

/* The frame's length counts: a body with a byte too many, or too few, is none. */
static void test_a_body_fills_its_frame(void **state)
{
	struct wr w = {0};

	(void)state;
	encoded(sample_content, &w);
	wr_u8(&w, 0);
	wr_patch_u32(&w, 0, (uint32_t)w.len - 4);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_patch_u32(&w, 0, (uint32_t)w.len - 6);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_patch_u32(&w, 0, UINT32_MAX);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
}

static void set_u64(struct wr *w, size_t at, uint64_t v)
{
	for (size_t k = 0; k < 8; k++)
		w->at[at + k] = (uint8_t)(v >> (8 * k));
}

/* Dots are of incarnations, which have their top bit clear and are not 0; operations count from 1;
 * an inode is the root, an own one, or derived. */
static void test_ids_are_judged(void **state)
{
	struct wr w = {0};

	(void)state;
	encoded(sample_content, &w);
	set_u64(&w, AT_DOT_INC, 0);
	assert_int_equal(again(&w), ERR_MALFORMED);
	set_u64(&w, AT_DOT_INC, DERIVED_BIT | 5);
	assert_int_equal(again(&w), ERR_MALFORMED);
	encoded(sample_content, &w);
	set_u64(&w, AT_DOT_OP, 0);
	assert_int_equal(again(&w), ERR_MALFORMED);
	encoded(sample_content, &w);
	set_u64(&w, AT_INODE, DERIVED_BIT | 5);
	assert_int_equal(again(&w), ERR_OK);
	set_u64(&w, AT_INODE, 0);
	set_u64(&w, AT_INODE + 8, 0);
	assert_int_equal(again(&w), ERR_MALFORMED);
	set_u64(&w, AT_INODE + 8, 1); /* the root has no content */
	assert_int_equal(again(&w), ERR_MALFORMED);
	encoded(sample_attr, &w); /* but it has attributes */
	set_u64(&w, AT_INODE, 0);
	set_u64(&w, AT_INODE + 8, 1);
	assert_int_equal(again(&w), ERR_OK);
	set_u64(&w, AT_INODE + 8, 2);
	assert_int_equal(again(&w), ERR_MALFORMED);
	encoded(sample_link, &w); /* and no name */
	set_u64(&w, AT_INODE, 0);
	set_u64(&w, AT_INODE + 8, 1);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
}

/* An inode's id is the dot of its record; one that says otherwise takes somebody else's id. */
static void test_inode_records_make_their_own_ids(void **state)
{
	struct record r;

	(void)state;
	refused(sample_inode, AT_INODE, 0x89);
	refused(sample_inode, AT_INODE + 8, 2);
	refused(sample_inode, AT_BODY + 10, 0x89); /* born: by somebody else */
	refused(sample_inode, AT_BODY, 0); /* types */
	refused(sample_inode, AT_BODY, TYPE_BLOCK + 1);
	refused(sample_inode, AT_BODY, TYPE_FILE); /* with a birth place */
	refused(sample_inode, AT_BODY + 1, 0); /* a directory without one */
	refused(sample_inode, AT_BODY + 1, 4);
	refused(sample_inode, AT_BODY + 18, 1); /* rdev of no device */
	sample_inode(&r);
	r.ino.has_birth = false;
	r.ino.type = TYPE_CHAR;
	r.ino.rdev = 0x0103;
	assert_int_equal(decode(&r), ERR_OK);
	for (enum inode_type t = TYPE_FILE; t <= TYPE_BLOCK; t++) {
		r.ino.type = t;
		r.ino.rdev = 0;
		r.ino.target = t == TYPE_SYMLINK ? bytes_text("../x") : (struct bytes){NULL, 0};
		r.ino.has_birth = t == TYPE_DIR;
		r.ino.birth = (struct place){INODE_ROOT, bytes_text("d")};
		assert_int_equal(decode(&r), ERR_OK);
	}
}

static void symlink_of(struct wr *w, struct bytes target)
{
	struct record r;

	sample_inode(&r);
	r.ino.type = TYPE_SYMLINK;
	r.ino.has_birth = false;
	r.ino.target = bytes_text("x");
	wr_reset(w);
	record_encode(w, &r);
	wr_reset(w);
	w->len = AT_BODY + 22; /* all before the target's length stays */
	wr_u16(w, (uint16_t)target.len);
	wr_bytes(w, target);
	wr_patch_u32(w, 0, (uint32_t)w->len - 4);
}

static void test_symlink_targets_at_their_limits(void **state)
{
	uint8_t target[SYMLINK_BYTES_MAX + 1];
	struct wr w = {0};

	(void)state;
	memset(target, 'x', sizeof(target));
	symlink_of(&w, (struct bytes){target, SYMLINK_BYTES_MAX});
	assert_int_equal(again(&w), ERR_OK);
	symlink_of(&w, (struct bytes){target, SYMLINK_BYTES_MAX + 1});
	assert_int_equal(again(&w), ERR_MALFORMED);
	symlink_of(&w, (struct bytes){target, 0});
	assert_int_equal(again(&w), ERR_MALFORMED);
	target[1] = 0;
	symlink_of(&w, (struct bytes){target, 3});
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
}

/* A copy's id is the hash of what it is a copy of; its birth is its version's. */
static void test_copies_have_derived_ids(void **state)
{
	enum { AT_ORIGIN = AT_BODY + 24, AT_VERSION = AT_ORIGIN + 16 };

	(void)state;
	refused(sample_copy, AT_INODE, 0);
	refused(sample_copy, AT_INODE + 15, 0);
	refused(sample_copy, AT_ORIGIN, 0x89); /* another inode */
	refused(sample_copy, AT_VERSION + 8, 10); /* another version */
	refused(sample_copy, AT_BODY + 2, 0xff); /* born at another time */
	refused(sample_copy, AT_VERSION + 16, 0xff);
	refused(sample_copy, AT_BODY, TYPE_FIFO);
	refused(sample_copy, AT_BODY + 1, 0);
	refused(sample_copy, AT_VERSION + 31, 0x80); /* came in a bundle of no incarnation */
}

static void test_attributes_of_copies_at_their_limit(void **state)
{
	static struct stamped_attr attrs[RECORD_ATTRS_MAX + 1];
	struct record r;
	struct wr w = {0};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(attrs); k++)
		attrs[k] = (struct stamped_attr){{k, 5}, {.field = ATTR_MODE, .mode = 0644}};
	sample_copy(&r);
	r.ino.attrs = attrs;
	r.ino.attrs_count = RECORD_ATTRS_MAX;
	assert_int_equal(decode(&r), ERR_OK);
	record_encode(&w, &r);
	size_t at = w.len - RECORD_ATTRS_MAX * (size_t)21 - 2;
	assert_int_equal(w.at[at] | w.at[at + 1] << 8, RECORD_ATTRS_MAX);
	wr_u64(&w, 1);
	wr_u64(&w, 5);
	wr_u8(&w, ATTR_MODE);
	wr_u32(&w, 0644);
	w.at[at]++;
	wr_patch_u32(&w, 0, (uint32_t)w.len - 4);
	assert_int_equal(again(&w), ERR_MALFORMED);
	vector_unref(r.ino.origin.vec);
	wr_fini(&w);
}

/* A link has a place, or says from where it was taken; pinned is a place. */
static void test_links_have_the_places_they_need(void **state)
{
	enum { AT_FLAGS = AT_BODY + NAME_ID_LEN, AT_PLACE = AT_FLAGS + 1 };
	struct record r;

	(void)state;
	refused(sample_link, AT_FLAGS, 0);
	refused(sample_link, AT_FLAGS, 2 | 4);
	refused(sample_link, AT_FLAGS, 2 | 8);
	refused(sample_link, AT_FLAGS, 1 | 2);
	refused(sample_link, AT_PLACE + 17, '/');
	refused(sample_link, AT_PLACE + 17, 0);
	refused(sample_link, AT_PLACE + 16, 0);
	sample_link(&r);
	r.link.has_place = r.link.pinned = true;
	r.link.place = (struct place){INODE_ROOT, bytes_text("b")};
	assert_int_equal(decode(&r), ERR_OK);
	r.link.has_prev = false;
	assert_int_equal(decode(&r), ERR_OK);
	r.link.name.h = 77;
	assert_int_equal(decode(&r), ERR_OK);
}

/* A content record replaces at most RECORD_BASES_MAX versions; one that drops has some. */
static void test_bases_at_their_limits(void **state)
{
	static struct dot bases[RECORD_BASES_MAX];
	struct record r;
	struct wr w = {0};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(bases); k++)
		bases[k] = (struct dot){1 + k, 1};
	sample_content(&r);
	r.content.bases = bases;
	r.content.bases_count = 0;
	assert_int_equal(decode(&r), ERR_OK);
	r.content.bases_count = RECORD_BASES_MAX;
	assert_int_equal(decode(&r), ERR_OK);
	r.content.dropped = true;
	record_encode(&w, &r);
	assert_int_equal(again(&w), ERR_OK);
	wr_u64(&w, 9);
	wr_u64(&w, 9);
	w.at[AT_BODY + 1]++;
	wr_patch_u32(&w, 0, (uint32_t)w.len - 4);
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.len = AT_BODY + 3;
	w.at[AT_BODY + 1] = w.at[AT_BODY + 2] = 0;
	wr_patch_u32(&w, 0, (uint32_t)w.len - 4);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
	refused(sample_content, AT_BODY, 2);
	refused(sample_content, AT_BODY + 3 + 8, 0); /* a base of operation 0 */
	refused(sample_content, AT_BODY + 3 + 16 + 8 + 2, 9); /* no manifest */
}

static void attr_of(struct record *r, enum attr_field f)
{
	sample_attr(r);
	memset(&r->attr, 0, sizeof(r->attr));
	r->attr.field = f;
}

static void test_attributes_at_their_limits(void **state)
{
	static uint8_t big[XATTR_VALUE_MAX_BYTES + 1];
	struct record r;
	struct wr w = {0};

	(void)state;
	memset(big, 'k', sizeof(big));
	attr_of(&r, ATTR_MODE);
	r.attr.mode = 07777;
	record_encode(&w, &r);
	assert_int_equal(again(&w), ERR_OK);
	w.at[AT_BODY + 2] = 0x10;
	assert_int_equal(again(&w), ERR_MALFORMED);
	attr_of(&r, ATTR_OWNER);
	r.attr.owner.uid = UINT32_MAX - 1;
	assert_int_equal(decode(&r), ERR_OK);
	attr_of(&r, ATTR_TIMES);
	r.attr.mtime_ns = INT64_MIN;
	assert_int_equal(decode(&r), ERR_OK);
	attr_of(&r, ATTR_XATTR);
	r.attr.xattr.key = (struct bytes){big, XATTR_NAME_MAX_BYTES};
	assert_int_equal(decode(&r), ERR_OK);
	r.attr.xattr.value = (struct bytes){big, 0};
	assert_int_equal(decode(&r), ERR_OK);
	r.attr.xattr.value = (struct bytes){big, XATTR_VALUE_MAX_BYTES};
	wr_reset(&w);
	record_encode(&w, &r);
	assert_int_equal(again(&w), ERR_OK);
	size_t at = w.len - XATTR_VALUE_MAX_BYTES - 4;
	wr_u8(&w, 0);
	wr_patch_u32(&w, at, XATTR_VALUE_MAX_BYTES + 1);
	wr_patch_u32(&w, 0, (uint32_t)w.len - 4);
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
	refused(sample_attr, AT_BODY, 0);
	refused(sample_attr, AT_BODY, 5);
	refused(sample_attr, AT_BODY + 2, 0); /* NUL in a key */
	refused(sample_attr, AT_BODY + 8, 2);
}

/* A version alone survives, with an empty vector too, and is as strict. */
static void test_versions_alone(void **state)
{
	struct record r;
	struct wr w = {0}, out = {0};

	(void)state;
	sample_copy(&r);
	version_encode(&w, &r.ino.origin);
	assert_int_equal(recode_version(wr_view(&w), &out), ERR_OK);
	assert_true(bytes_equal(wr_view(&w), wr_view(&out)));
	for (size_t len = 0; len < w.len; len++)
		assert_int_equal(recode_version((struct bytes){w.at, len}, &out), ERR_MALFORMED);
	vector_unref(r.ino.origin.vec);
	r.ino.origin.vec = NULL;
	wr_reset(&w);
	wr_reset(&out);
	version_encode(&w, &r.ino.origin);
	assert_int_equal(recode_version(wr_view(&w), &out), ERR_OK);
	assert_true(bytes_equal(wr_view(&w), wr_view(&out)));
	w.at[7] = 0x80;
	assert_int_equal(recode_version(wr_view(&w), &out), ERR_MALFORMED);
	wr_fini(&w);
	wr_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_content_record_is_read_back),
		cmocka_unit_test(test_a_copy_is_read_back),
		cmocka_unit_test(test_unknown_kinds_are_carried),
		cmocka_unit_test(test_a_body_fills_its_frame),
		cmocka_unit_test(test_ids_are_judged),
		cmocka_unit_test(test_inode_records_make_their_own_ids),
		cmocka_unit_test(test_symlink_targets_at_their_limits),
		cmocka_unit_test(test_copies_have_derived_ids),
		cmocka_unit_test(test_attributes_of_copies_at_their_limit),
		cmocka_unit_test(test_links_have_the_places_they_need),
		cmocka_unit_test(test_bases_at_their_limits),
		cmocka_unit_test(test_attributes_at_their_limits),
		cmocka_unit_test(test_versions_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
