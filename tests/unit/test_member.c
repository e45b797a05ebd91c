// SPDX-License-Identifier: MIT
/* test_member.c - roster records, their signatures and limits; names, roles, keys */
#include "recode.h"
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static struct sign_pair author;
static struct device_id other;
static struct hash some_hash = {{3}};

static void base(struct member_record *m, enum member_kind kind)
{
	struct sign_pair p;

	memset(m, 0, sizeof(*m));
	sample_device(&author, 1);
	sample_device(&p, 2);
	other = p.pub;
	m->kind = (uint8_t)kind;
	m->author = author.pub;
	m->subject = kind == MEMBER_FOUND || kind == MEMBER_ADDR ? author.pub : other;
	m->role = ROLE_WRITER;
	m->name = bytes_text("desktop");
	m->text = bytes_text("papers");
	m->wall_ms = SAMPLE_WALL_MS;
	if (kind == MEMBER_FOUND)
		return;
	m->folder.b[0] = 1;
	m->parents_count = 1;
	m->parents[0] = some_hash;
}

static enum err again(struct bytes b)
{
	struct wr out = {0};
	enum err e = recode_member(b, &out);

	if (!e)
		assert_true(bytes_equal(b, wr_view(&out)));
	wr_fini(&out);
	return e;
}

static enum err decode(const struct member_record *m)
{
	struct wr w = {0};

	member_encode(&w, m, &author);
	enum err e = again(wr_view(&w));
	wr_fini(&w);
	return e;
}

/* Every kind comes back as it was. */
static void test_kinds_are_read_back(void **state)
{
	static const uint8_t box[MEMBER_BOX_MAX] = {1};
	struct member_record m, got;
	struct wr w = {0};

	(void)state;
	for (enum member_kind kind = MEMBER_FOUND; kind <= MEMBER_REJECT; kind++) {
		base(&m, kind);
		m.box = (struct bytes){box, sizeof(box)};
		m.epoch = 7;
		m.token = some_hash;
		wr_reset(&w);
		member_encode(&w, &m, &author);
		assert_int_equal(again(wr_view(&w)), ERR_OK);
		assert_int_equal(member_decode(wr_view(&w), &got), ERR_OK);
		assert_true(member_verify(wr_view(&w), &got));
		assert_int_equal(got.kind, kind);
		assert_memory_equal(got.subject.b, m.subject.b, 32);
		assert_int_equal(got.wall_ms, SAMPLE_WALL_MS);
		assert_int_equal(got.parents_count, m.parents_count);
		if (kind == MEMBER_ADD) {
			assert_int_equal(got.role, ROLE_WRITER);
			assert_true(bytes_equal(got.name, m.name));
			assert_int_equal(got.box.len, MEMBER_BOX_MAX);
			assert_memory_equal(got.token.b, some_hash.b, HASH_LEN);
		}
		if (kind == MEMBER_KEYS)
			assert_int_equal(got.epoch, 7);
		if (kind == MEMBER_ADDR || kind == MEMBER_FOUND)
			assert_true(bytes_equal(got.text, m.text));
		vector_unref(got.vec);
	}
	wr_fini(&w);
}

/* A kind of a later version is kept with its body. */
static void test_unknown_kinds_are_kept(void **state)
{
	struct member_record m, got;
	struct wr w = {0};

	(void)state;
	base(&m, MEMBER_ADDR);
	m.kind = 99;
	m.unknown = bytes_text("later");
	member_encode(&w, &m, &author);
	assert_int_equal(member_decode(wr_view(&w), &got), ERR_OK);
	assert_true(bytes_equal(got.unknown, m.unknown));
	assert_true(member_verify(wr_view(&w), &got));
	w.at[37] = 0;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

/* All of a record is signed, by its author. */
static void all_is_signed(void)
{
	struct member_record m, got;
	struct wr w = {0};

	base(&m, MEMBER_ROLE);
	member_encode(&w, &m, &author);
	for (size_t bit = 0; bit < w.len * 8; bit++) {
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
		if (member_decode(wr_view(&w), &got) == ERR_OK) {
			assert_false(member_verify(wr_view(&w), &got));
			vector_unref(got.vec);
		}
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
	}
	wr_fini(&w);
}

static void test_all_is_signed(void **state)
{
	(void)state;
	all_is_signed();
	seal_use_fake(true);
	all_is_signed();
	seal_use_fake(false);
}

enum { AT_VERSION = 4, AT_FOLDER = 5, AT_COUNT = 70, AT_PARENTS = 71 };

/* Only the founding record has no folder and no parents; parents ascend and are few. */
static void test_parents_and_folder(void **state)
{
	struct member_record m;
	struct wr w = {0};

	(void)state;
	base(&m, MEMBER_ROLE);
	m.parents_count = MEMBER_PARENTS_MAX;
	for (uint32_t k = 0; k < MEMBER_PARENTS_MAX; k++)
		m.parents[k].b[0] = (uint8_t)(k + 10);
	member_encode(&w, &m, &author);
	assert_int_equal(again(wr_view(&w)), ERR_OK);
	w.at[AT_PARENTS] = 11; /* twice the same */
	memcpy(w.at + AT_PARENTS, w.at + AT_PARENTS + HASH_LEN, HASH_LEN);
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_PARENTS] = 12;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_PARENTS] = 10;
	assert_int_equal(again(wr_view(&w)), ERR_OK);
	w.at[AT_VERSION] = 2;
	assert_int_equal(again(wr_view(&w)), ERR_VERSION);
	w.at[AT_VERSION] = 1;
	w.at[AT_FOLDER] = 0;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_FOLDER] = 1;
	w.at[AT_COUNT] = MEMBER_PARENTS_MAX + 1;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_COUNT] = 0;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	wr_reset(&w);
	base(&m, MEMBER_FOUND);
	member_encode(&w, &m, &author);
	w.at[AT_FOLDER] = 1;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_FOLDER] = 0;
	w.at[AT_PARENTS + 8] ^= 1; /* the founder is somebody else than the author */
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

/* Bodies: roles that exist, names that are names, boxes of their size, addresses. */
static void test_bodies_are_judged(void **state)
{
	static char text[MEMBER_TEXT_MAX + 1];
	enum { AT_BODY = AT_PARENTS + HASH_LEN + 8, AT_ROLE = AT_BODY + 32 };
	struct member_record m;
	struct wr w = {0};

	(void)state;
	base(&m, MEMBER_ROLE);
	member_encode(&w, &m, &author);
	w.at[AT_ROLE] = ROLE_NONE;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_ROLE] = ROLE_ADMIN + 1;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	wr_reset(&w);
	base(&m, MEMBER_ADD);
	assert_int_equal(decode(&m), ERR_OK); /* a helper gets no keys */
	member_encode(&w, &m, &author);
	w.at[AT_ROLE + 2] = '/';
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_ROLE + 2] = 'D';
	w.at[AT_ROLE] = ROLE_NONE;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	base(&m, MEMBER_ADDR);
	memset(text, 'a', sizeof(text));
	m.text = (struct bytes){(uint8_t *)text, 0};
	assert_int_equal(decode(&m), ERR_OK);
	m.text.len = MEMBER_TEXT_MAX;
	assert_int_equal(decode(&m), ERR_OK);
	wr_reset(&w);
	member_encode(&w, &m, &author);
	w.at[AT_ROLE + 5] = ' ';
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.at[AT_ROLE + 5] = 'a';
	w.at[AT_BODY] ^= 1; /* somebody else's addresses */
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

static void test_boxes_at_their_limit(void **state)
{
	static const uint8_t box[MEMBER_BOX_MAX + 1] = {1};
	enum { AT_BOX = AT_PARENTS + HASH_LEN + 8 + 32 + 4 };
	struct member_record m;
	struct wr w = {0};

	(void)state;
	base(&m, MEMBER_KEYS);
	m.box = (struct bytes){box, BOX_OVERHEAD};
	assert_int_equal(decode(&m), ERR_OK);
	m.box.len = MEMBER_BOX_MAX;
	assert_int_equal(decode(&m), ERR_OK);
	member_encode(&w, &m, &author);
	wr_u8(&w, 0);
	w.at[AT_BOX]++;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	w.len = AT_BOX + 2 + (BOX_OVERHEAD - 1) + SIG_LEN;
	w.at[AT_BOX] = BOX_OVERHEAD - 1;
	w.at[AT_BOX + 1] = 0;
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

static void test_whole_records_have_a_limit(void **state)
{
	uint8_t *big = calloc(1, MEMBER_BYTES_MAX);
	struct member_record m;
	struct wr w = {0};

	(void)state;
	assert_non_null(big);
	base(&m, MEMBER_ADDR);
	m.kind = 99;
	m.unknown = (struct bytes){big, MEMBER_BYTES_MAX - AT_PARENTS - HASH_LEN - 8 - SIG_LEN};
	member_encode(&w, &m, &author);
	assert_int_equal(w.len, MEMBER_BYTES_MAX);
	assert_int_equal(again(wr_view(&w)), ERR_OK);
	wr_u8(&w, 0);
	assert_int_equal(again(wr_view(&w)), ERR_MALFORMED);
	free(big);
	wr_fini(&w);
}

/* Names: 1 to 64 bytes of UTF-8, no control characters, no '/'. */
static void test_names(void **state)
{
	static const char *const good[] = {"a",
					   "Mo's laptop",
					   "\xc3\xa9",
					   "\xe2\x82\xac",
					   "\xf0\x9f\x98\x80",
					   "\xf4\x8f\xbf\xbf",
					   "\xc2\xa0"};
	static const char *const bad[] = {"",
					  "a/b",
					  "a\n",
					  "\x7f",
					  "\x80",
					  "\xc2",
					  "\xc2\x80",
					  "\xc2\x9f",
					  "\xc0\xaf",
					  "\xc1\xbf",
					  "\xe0\x9f\xbf",
					  "\xed\xa0\x80",
					  "\xf0\x8f\xbf\xbf",
					  "\xf4\x90\x80\x80",
					  "\xf8\x88\x80\x80\x80",
					  "\xe2\x82",
					  "\xff",
					  "a\xe2\x28\xa1"};
	char name[MEMBER_NAME_MAX + 1];

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(good); k++)
		assert_true(member_name_ok(bytes_text(good[k])));
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		if (member_name_ok(bytes_text(bad[k])))
			fail_msg("bad name %zu is taken", k);
	memset(name, 'n', sizeof(name));
	assert_true(member_name_ok((struct bytes){(uint8_t *)name, MEMBER_NAME_MAX}));
	assert_false(member_name_ok((struct bytes){(uint8_t *)name, MEMBER_NAME_MAX + 1}));
	name[3] = 0;
	assert_false(member_name_ok((struct bytes){(uint8_t *)name, 5}));
}

static void test_roles_have_texts(void **state)
{
	enum role r = ROLE_NONE;

	(void)state;
	for (enum role k = ROLE_HELPER; k <= ROLE_ADMIN; k++) {
		assert_true(role_parse(role_text(k), &r));
		assert_int_equal(r, k);
	}
	assert_false(role_parse("none", &r));
	assert_false(role_parse("Admin", &r));
	assert_false(role_parse("", &r));
	assert_int_equal(r, ROLE_ADMIN);
	assert_string_equal(role_text((enum role)77), "unknown");
}

/* Keys of 0 to FOLDER_EPOCHS_MAX epochs, strictly ascending. */
static void test_keys_at_their_limits(void **state)
{
	struct folder_keys k = {.count = FOLDER_EPOCHS_MAX};
	struct wr w = {0}, out = {0};

	(void)state;
	for (uint32_t n = 0; n < FOLDER_EPOCHS_MAX; n++)
		k.at[n].epoch = n * 2;
	folder_keys_encode(&w, &k);
	assert_int_equal(recode_keys(wr_view(&w), &out), ERR_OK);
	assert_true(bytes_equal(wr_view(&w), wr_view(&out)));
	assert_true(w.len + BOX_OVERHEAD <= MEMBER_BOX_MAX);
	w.at[4] = 2; /* as the second */
	assert_int_equal(recode_keys(wr_view(&w), &out), ERR_MALFORMED);
	w.at[4] = 0;
	wr_u32(&w, 999);
	for (size_t n = 0; n < KEY_LEN; n++)
		wr_u8(&w, 0);
	w.at[0]++;
	assert_int_equal(recode_keys(wr_view(&w), &out), ERR_MALFORMED);
	wr_reset(&w);
	k.count = 0;
	folder_keys_encode(&w, &k);
	wr_reset(&out);
	assert_int_equal(recode_keys(wr_view(&w), &out), ERR_OK);
	wr_fini(&w);
	wr_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_are_read_back),
		cmocka_unit_test(test_unknown_kinds_are_kept),
		cmocka_unit_test(test_all_is_signed),
		cmocka_unit_test(test_parents_and_folder),
		cmocka_unit_test(test_bodies_are_judged),
		cmocka_unit_test(test_boxes_at_their_limit),
		cmocka_unit_test(test_whole_records_have_a_limit),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_roles_have_texts),
		cmocka_unit_test(test_keys_at_their_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
