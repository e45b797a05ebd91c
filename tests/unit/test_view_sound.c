// SPDX-License-Identifier: MIT
/*
 * test_view_sound.c - records that say what cannot be
 *
 * A record is refused as malformed, and changes nothing, when it refers to what its author cannot
 * have seen, or says of it what it cannot be; one that is just within the rule is taken.
 */
#include "base/hash.h"
#include "viewfix.h"

#define B 2u /* another device; its next dot is (B, 50) */
#define OP 50u

static const struct inode_id unknown_inode = {B, 40};
static uint8_t long_bytes[XATTR_VALUE_MAX_BYTES + 1];

struct setup {
	struct fix *f;
	struct inode_id file, dir, link;
	struct dot version; /* of file */
};

static void setup_init(struct setup *s)
{
	struct make what = {.type = TYPE_SYMLINK, .target = bytes_text("target")};
	struct view_attr a;

	s->f = fix_new();
	s->file = fix_make(s->f, TYPE_FILE, INODE_ROOT, "file", "text");
	s->dir = fix_make(s->f, TYPE_DIR, INODE_ROOT, "dir", NULL);
	assert_int_equal(
		local_make(s->f->v, &s->f->e, INODE_ROOT, bytes_text("link"), &what, &s->link),
		ERR_OK);
	assert_int_equal(view_stat(s->f->v, s->file, &a), ERR_OK);
	s->version = a.version;
}

static void apply(struct setup *s, struct record *r, enum err want, const char *what)
{
	struct hash before, after;

	assert_int_equal(view_digest(s->f->v, &before), ERR_OK);
	uint64_t known = view_inodes(s->f->v);
	enum err e = fix_foreign(s->f, r, B, OP, s->f->t + 10, NULL);
	if (e != want)
		print_error("%s: %s\n", what, err_text(e));
	assert_int_equal(e, want);
	if (want == ERR_OK)
		return;
	assert_int_equal(view_digest(s->f->v, &after), ERR_OK);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(view_inodes(s->f->v), known);
}

/* Apply one record to a folder of its own; view_check() looks at what is left. */
#define TRY(want, ...)                                                                             \
	do {                                                                                       \
		struct setup s;                                                                    \
		struct record r = {0};                                                             \
		setup_init(&s);                                                                    \
		__VA_ARGS__;                                                                       \
		apply(&s, &r, want, #__VA_ARGS__);                                                 \
		fix_free(s.f);                                                                     \
	} while (0)

static void new_inode(struct record *r, enum inode_type type)
{
	*r = (struct record){.kind = REC_INODE, .inode = {B, OP}};
	r->ino.type = type;
	r->ino.born = (struct stamp){7, B};
	if (type == TYPE_SYMLINK)
		r->ino.target = bytes_text("target");
}

static void new_dir(struct record *r, struct inode_id parent, struct bytes name)
{
	new_inode(r, TYPE_DIR);
	r->ino.has_birth = true;
	r->ino.birth = (struct place){parent, name};
}

static struct bytes name_of_length(size_t len)
{
	memset(long_bytes, 'n', sizeof(long_bytes));
	return (struct bytes){long_bytes, len};
}

/* What a new inode may be, where its directory was born, and whose number it bears. */
static void test_inodes(void **state)
{
	(void)state;
	for (int type = TYPE_FILE; type <= TYPE_BLOCK; type++)
		if (type != TYPE_DIR)
			TRY(ERR_OK, new_inode(&r, (enum inode_type)type));
	TRY(ERR_MALFORMED, new_inode(&r, (enum inode_type)0));
	TRY(ERR_MALFORMED, new_inode(&r, (enum inode_type)(TYPE_BLOCK + 1)));
	TRY(ERR_MALFORMED, new_inode(&r, TYPE_FILE); r.inode = INODE_ROOT);
	TRY(ERR_MALFORMED, new_inode(&r, TYPE_FILE); r.inode.op = OP - 1);
	TRY(ERR_MALFORMED, new_inode(&r, TYPE_FILE); r.inode.inc = B + 1);
	TRY(ERR_MALFORMED, new_inode(&r, TYPE_FILE); r.inode = s.file);
	TRY(ERR_MALFORMED, new_inode(&r, TYPE_DIR)); /* born nowhere */
	TRY(ERR_OK, new_dir(&r, INODE_ROOT, bytes_text("new")));
	TRY(ERR_OK, new_dir(&r, s.dir, name_of_length(NAME_BYTES_MAX)));
	TRY(ERR_MALFORMED, new_dir(&r, s.file, bytes_text("new")));
	TRY(ERR_MALFORMED, new_dir(&r, s.link, bytes_text("new")));
	TRY(ERR_MALFORMED, new_dir(&r, unknown_inode, bytes_text("new")));
}

static void new_place(struct record *r, struct inode_id i, struct inode_id parent, const char *name)
{
	*r = (struct record){.kind = REC_LINK, .inode = i};
	r->link.name = (struct name_id){9, B, 0};
	r->link.has_place = true;
	r->link.place = (struct place){parent, bytes_text(name)};
}

/* Names are of known inodes but the root, in known directories, now and before. */
static void test_links(void **state)
{
	(void)state;
	TRY(ERR_OK, new_place(&r, s.file, s.dir, "n"));
	TRY(ERR_OK, new_place(&r, s.link, INODE_ROOT, "n"));
	TRY(ERR_MALFORMED, new_place(&r, INODE_ROOT, s.dir, "n"));
	TRY(ERR_MALFORMED, new_place(&r, unknown_inode, s.dir, "n"));
	TRY(ERR_MALFORMED, new_place(&r, s.file, unknown_inode, "n"));
	TRY(ERR_MALFORMED, new_place(&r, s.file, s.link, "n"));
	TRY(ERR_MALFORMED, new_place(&r, s.file, s.file, "n"));
	for (int good = 0; good < 2; good++) {
		enum err want = good ? ERR_OK : ERR_MALFORMED;
		TRY(want, new_place(&r, s.file, s.dir, "n"); r.link.has_prev = true;
		    r.link.prev =
			    (struct place){good ? s.dir : unknown_inode, bytes_text("before")});
		TRY(want, new_place(&r, s.file, s.dir, "n"); r.link.has_place = false;
		    r.link.has_prev = true;
		    r.link.prev = (struct place){good ? INODE_ROOT : s.file, bytes_text("was")});
	}
}

static void new_version(struct record *r, struct inode_id i, struct wr *w)
{
	*r = (struct record){.kind = REC_CONTENT, .inode = i};
	wr_reset(w);
	manifest_inline(w, bytes_text("version"));
	r->content.content = wr_view(w);
}

/* Versions are of known files, and say what is in them unless they drop others. */
static void test_contents(void **state)
{
	struct wr w = {0};

	(void)state;
	TRY(ERR_OK, new_version(&r, s.file, &w));
	TRY(ERR_MALFORMED, new_version(&r, s.dir, &w));
	TRY(ERR_MALFORMED, new_version(&r, s.link, &w));
	TRY(ERR_MALFORMED, new_version(&r, unknown_inode, &w));
	TRY(ERR_MALFORMED, new_version(&r, s.file, &w); r.content.content.len = 0);
	TRY(ERR_OK, new_version(&r, s.file, &w); r.content.content.len = 0;
	    r.content.dropped = true);
	wr_fini(&w);
}

static struct attr_value xattr(size_t key, size_t value)
{
	memset(long_bytes, 'x', sizeof(long_bytes));
	return (struct attr_value){
		.field = ATTR_XATTR,
		.xattr = {{long_bytes, key}, {long_bytes, value}},
	};
}

static void new_attr(struct record *r, struct inode_id i, struct attr_value a)
{
	*r = (struct record){.kind = REC_ATTR, .inode = i};
	r->attr = a;
}

/* Attributes are of known inodes; a key has 1 to so many bytes, a value up to so many. */
static void test_attributes(void **state)
{
	(void)state;
	TRY(ERR_OK, new_attr(&r, s.dir, (struct attr_value){.field = ATTR_MODE, .mode = 1}));
	TRY(ERR_MALFORMED,
	    new_attr(&r, unknown_inode, (struct attr_value){.field = ATTR_MODE, .mode = 1}));
	TRY(ERR_OK, new_attr(&r, s.file, xattr(1, 0)));
	TRY(ERR_OK, new_attr(&r, s.file, xattr(XATTR_NAME_MAX_BYTES, XATTR_VALUE_MAX_BYTES)));
	TRY(ERR_MALFORMED, new_attr(&r, s.file, xattr(0, 1)));
	TRY(ERR_MALFORMED, new_attr(&r, s.file, xattr(XATTR_NAME_MAX_BYTES + 1, 1)));
	TRY(ERR_MALFORMED, new_attr(&r, s.file, xattr(1, XATTR_VALUE_MAX_BYTES + 1)));
}

static void new_copy(struct record *r, struct inode_id of, struct dot version, struct wr *w)
{
	static struct stamped_attr attr;

	new_inode(r, TYPE_FILE);
	wr_reset(w);
	manifest_inline(w, bytes_text("text"));
	attr = (struct stamped_attr){.stamp = {5, 1}, .v = xattr(1, 1)};
	r->inode = hash_copy_id(of, version);
	r->ino.has_origin = true;
	r->ino.origin_inode = of;
	r->ino.origin = (struct version){.dot = version, .t = 5, .in = {1, 1}};
	r->ino.origin.content = wr_view(w);
	r->ino.attrs = &attr;
	r->ino.attrs_count = 1;
}

/* A promoted copy is a file, of a version of a known file, with its bytes, under the id that
 * follows from them, with attributes as an attribute may be. */
static void test_copies(void **state)
{
	struct wr w = {0};
	struct stamped_attr bad = {.stamp = {5, 1}};

	(void)state;
	TRY(ERR_OK, new_copy(&r, s.file, s.version, &w));
	TRY(ERR_OK, new_copy(&r, s.file, ((struct dot){1, 1000}), &w)); /* replaced long ago */
	TRY(ERR_MALFORMED, new_copy(&r, unknown_inode, s.version, &w));
	TRY(ERR_MALFORMED, new_copy(&r, s.dir, s.version, &w));
	TRY(ERR_MALFORMED, new_copy(&r, s.link, s.version, &w));
	TRY(ERR_MALFORMED, new_copy(&r, s.file, s.version, &w); r.inode.op ^= 1);
	TRY(ERR_MALFORMED, new_copy(&r, s.file, s.version, &w); r.inode = (struct inode_id){B, OP});
	TRY(ERR_MALFORMED, new_copy(&r, s.file, s.version, &w); r.ino.origin.content.len = 0);
	TRY(ERR_MALFORMED, new_copy(&r, s.file, s.version, &w); r.ino.type = TYPE_FIFO);
	TRY(ERR_MALFORMED, new_copy(&r, s.file, s.version, &w);
	    bad.v = xattr(XATTR_NAME_MAX_BYTES + 1, 1); r.ino.attrs = &bad);
	wr_fini(&w);
}

/* A copy of a version replaced long ago is promoted twice, once by a liar with bytes of its own; a
 * version that somebody wrote over it stands, whatever comes of the other. */
static void promote_twice(bool liar_first, bool written_over, struct hash *ret)
{
	static const char *const texts[] = {"text of a liar", "text"};
	struct dot version = {1, 1000};
	struct setup s;

	setup_init(&s);
	for (uint32_t k = 0; k < 2; k++) {
		struct record r;
		struct wr w = {0};
		uint32_t who = liar_first ? k : 1 - k;
		new_copy(&r, s.file, version, &w);
		wr_reset(&w);
		manifest_inline(&w, bytes_text(texts[who]));
		r.ino.origin.content = wr_view(&w);
		r.ino.origin.t += 1 - who;
		assert_int_equal(fix_foreign(s.f, &r, B + who, OP, s.f->t + 10, NULL), ERR_OK);
		r = (struct record){.kind = REC_LINK, .inode = hash_copy_id(s.file, version)};
		r.link.name = (struct name_id){7, B, 7};
		r.link.has_place = true;
		r.link.place = (struct place){INODE_ROOT, bytes_text("copy")};
		assert_int_equal(fix_foreign(s.f, &r, B + who, OP + 1, s.f->t + 11, NULL), ERR_OK);
		wr_reset(&w);
		manifest_inline(&w, bytes_text("written"));
		r = (struct record){.kind = REC_CONTENT, .inode = hash_copy_id(s.file, version)};
		r.content.bases = &version;
		r.content.bases_count = 1;
		r.content.content = wr_view(&w);
		if (written_over && who == 0)
			assert_int_equal(fix_foreign(s.f, &r, B, OP + 2, s.f->t + 12, NULL),
					 ERR_OK);
		wr_fini(&w);
		view_check(s.f->v);
	}
	assert_int_equal(view_digest(s.f->v, ret), ERR_OK);
	fix_free(s.f);
}

static void test_copies_promoted_twice(void **state)
{
	struct hash one, other;

	(void)state;
	for (int written_over = 0; written_over < 2; written_over++) {
		promote_twice(false, written_over, &one);
		promote_twice(true, written_over, &other);
		assert_memory_equal(&one, &other, sizeof(one));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inodes),   cmocka_unit_test(test_links),
		cmocka_unit_test(test_contents), cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_copies),   cmocka_unit_test(test_copies_promoted_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
