// SPDX-License-Identifier: MIT
/* test_wire.c - messages and invitations: there and back, cut short, at each limit and past it */
#include "codec/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static uint8_t names[(WIRE_NAMES_MAX + 1) * HASH_LEN];

static void drop(struct wire_message *m)
{
	if (m->type == WIRE_VECTOR)
		vector_unref(m->vector.applied);
}

/* Decode a copy of exactly that length, so that ASan sees a read past the end. */
static enum err decode_exact(struct bytes b)
{
	uint8_t *copy = malloc(b.len ? b.len : 1);
	struct wire_message m = {.type = 77};

	if (b.len)
		memcpy(copy, b.at, b.len);
	enum err e = wire_decode((struct bytes){copy, b.len}, &m);
	if (e)
		assert_int_equal(m.type, 77); /* *ret is left alone */
	else
		drop(&m);
	free(copy);
	return e;
}

/* Every message decodes to what re-encodes to the same bytes; returns them in w. */
static void round_trip(const struct wire_message *m, struct wr *w)
{
	struct wire_message back;
	struct wr again = {0};

	wr_reset(w);
	wire_encode(w, m);
	assert_int_equal(wire_decode(wr_view(w), &back), ERR_OK);
	assert_int_equal(back.type, m->type);
	wire_encode(&again, &back);
	assert_true(bytes_equal(wr_view(w), wr_view(&again)));
	drop(&back);
	wr_fini(&again);
}

/* No shorter message is accepted (free: its last free bytes may be fewer), and none longer. */
static void refuses_other_lengths(struct wr *w, size_t free_bytes, bool grows)
{
	for (size_t len = 0; len + free_bytes < w->len; len++)
		assert_int_equal(decode_exact((struct bytes){w->at, len}), ERR_MALFORMED);
	wr_u8(w, 'x');
	assert_int_equal(decode_exact(wr_view(w)), grows ? ERR_OK : ERR_MALFORMED);
}

static struct wire_message join_of(struct bytes name)
{
	struct wire_message m = {.type = WIRE_JOIN, .join.name = name};

	memset(m.join.device.b, 1, 32);
	memset(m.join.proof.b, 2, 32);
	memset(m.join.token.b, 3, 32);
	return m;
}

static void test_join(void **state)
{
	struct wr w = {0};
	struct wire_message m = join_of(bytes_text("laptop")), back;

	(void)state;
	round_trip(&m, &w);
	assert_int_equal(wire_decode(wr_view(&w), &back), ERR_OK);
	assert_true(bytes_equal(back.join.name, m.join.name));
	assert_memory_equal(&back.join.device, &m.join.device, 32);
	assert_memory_equal(&back.join.proof, &m.join.proof, 32);
	assert_memory_equal(&back.join.token, &m.join.token, 32);
	w.at[34] = '/'; /* inside the name */
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	w.at[34] = 'a';
	refuses_other_lengths(&w, 0, false);

	char longest[MEMBER_NAME_MAX + 1];
	memset(longest, 'n', sizeof(longest));
	m = join_of((struct bytes){(uint8_t *)longest, MEMBER_NAME_MAX});
	round_trip(&m, &w);
	w.at[33]++; /* one past it, with a byte more to fill it */
	wr_u8(&w, 'n');
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	m = join_of(bytes_text("x"));
	round_trip(&m, &w);
	memmove(w.at + 34, w.at + 35, w.len - 35); /* an empty name */
	w.at[33] = 0;
	w.len--;
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

static void test_refuse(void **state)
{
	char longest[WIRE_TEXT_MAX];
	struct wr w = {0};
	struct wire_message m = {.type = WIRE_REFUSE};

	(void)state;
	m.refuse.code = REFUSE_USED;
	m.refuse.text = bytes_text("this invitation was used");
	round_trip(&m, &w);
	refuses_other_lengths(&w, m.refuse.text.len, true);
	memset(longest, 't', sizeof(longest));
	m.refuse.text = BYTES_OF(longest);
	round_trip(&m, &w);
	refuses_other_lengths(&w, sizeof(longest), false);
	m.refuse.text.len = 0;
	round_trip(&m, &w);
	w.at[1] = 0; /* no code */
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

static void roster_put(struct wr *w, uint32_t len)
{
	wr_u32(w, len);
	for (uint32_t k = 0; k < len; k++)
		wr_u8(w, (uint8_t)k);
}

static void test_roster(void **state)
{
	struct wr w = {0}, rest = {0};
	struct wire_message m = {.type = WIRE_ROSTER}, back;
	struct bytes record;

	(void)state;
	round_trip(&m, &w); /* no records: nothing new */
	const uint32_t lens[] = {1, 200, 3, 77};
	for (size_t k = 0; k < ARRAY_LEN(lens); k++)
		roster_put(&rest, lens[k]);
	m.roster.count = ARRAY_LEN(lens);
	m.roster.rest = wr_view(&rest);
	round_trip(&m, &w);
	assert_int_equal(wire_decode(wr_view(&w), &back), ERR_OK);
	struct bytes left = back.roster.rest;
	for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
		assert_true(wire_roster_next(&left, &record));
		assert_int_equal(record.len, lens[k]);
	}
	assert_false(wire_roster_next(&left, &record));
	for (int by = -1; by <= 1; by += 2) { /* a count that lies */
		w.at[1] = (uint8_t)(4 + by);
		assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	}
	w.at[1] = 4;
	refuses_other_lengths(&w, 0, false);
	wr_fini(&rest);
	wr_fini(&w);
}

static void test_roster_limits(void **state)
{
	struct wr w = {0}, rest = {0};
	struct wire_message m = {.type = WIRE_ROSTER};

	(void)state;
	for (uint32_t k = 0; k < WIRE_ROSTER_MAX; k++)
		roster_put(&rest, 1);
	m.roster.count = WIRE_ROSTER_MAX;
	m.roster.rest = wr_view(&rest);
	round_trip(&m, &w);
	roster_put(&w, 1);
	w.at[1]++;
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	for (uint32_t over = 0; over < 2; over++) {
		wr_reset(&rest);
		roster_put(&rest, MEMBER_BYTES_MAX + over);
		m.roster.count = 1;
		m.roster.rest = wr_view(&rest);
		wr_reset(&w);
		wire_encode(&w, &m);
		assert_int_equal(decode_exact(wr_view(&w)), over ? ERR_MALFORMED : ERR_OK);
	}
	wr_reset(&w);
	wr_u8(&w, WIRE_ROSTER);
	wr_u32(&w, 1);
	wr_u32(&w, 0); /* an empty record */
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	w.at[5] = w.at[6] = w.at[7] = w.at[8] = 0xff; /* a length beyond everything */
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&rest);
	wr_fini(&w);
}

static void test_vector(void **state)
{
	static struct where at[VECTOR_MAX];
	static uint8_t heads[VECTOR_MAX * WIRE_HEAD];
	struct wr w = {0};
	struct wire_message m = {.type = WIRE_VECTOR}, back;

	(void)state;
	for (uint32_t k = 0; k < VECTOR_MAX; k++)
		at[k] = (struct where){10 * (uint64_t)k + 5, k + 1};
	memset(m.vector.roster.b, 0xab, HASH_LEN);
	memset(heads, 0xcd, sizeof(heads));
	const uint32_t counts[] = {0, 1, 3, VECTOR_MAX};
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		m.vector.applied = vector_new(at, counts[k]);
		m.vector.heads = (struct bytes){heads, counts[k] * WIRE_HEAD};
		round_trip(&m, &w);
		assert_int_equal(wire_decode(wr_view(&w), &back), ERR_OK);
		assert_true(vector_equal(back.vector.applied, m.vector.applied));
		assert_memory_equal(&back.vector.roster, &m.vector.roster, HASH_LEN);
		assert_true(bytes_equal(back.vector.heads, m.vector.heads));
		drop(&back);
		drop(&m);
		if (counts[k] < 10)
			refuses_other_lengths(&w, 0, false);
	}
	w.len--; /* what refuses_other_lengths() would have added to the longest */
	assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	wr_fini(&w);
}

static void test_names(void **state)
{
	const uint8_t types[] = {WIRE_WANT, WIRE_NO, WIRE_CANCEL};
	struct wr w = {0};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(types); k++) {
		struct wire_message m = {.type = types[k]};
		m.names.at = names;
		m.names.count = 2;
		round_trip(&m, &w);
		refuses_other_lengths(&w, 0, false);
		m.names.count = WIRE_NAMES_MAX;
		round_trip(&m, &w);
		w.at[1]++;
		wr_raw(&w, names, HASH_LEN);
		w.at[1] = 1; /* 257 is 01 01 00 00 */
		w.at[2] = 1;
		assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
		wr_reset(&w);
		wr_u8(&w, types[k]);
		wr_u32(&w, 0);
		assert_int_equal(decode_exact(wr_view(&w)), ERR_MALFORMED);
	}
	wr_fini(&w);
}

static void test_bundle_and_data(void **state)
{
	struct wr w = {0};
	struct wire_message m = {.type = WIRE_BUNDLE, .bundle = {names, 100}}, back;

	(void)state;
	round_trip(&m, &w);
	refuses_other_lengths(&w, 99, true);
	m = (struct wire_message){.type = WIRE_DATA, .data = {names, 1}};
	round_trip(&m, &w);
	assert_int_equal(wire_decode(wr_view(&w), &back), ERR_OK);
	assert_int_equal(back.data.len, 1);
	refuses_other_lengths(&w, 0, true);

	uint8_t *big = calloc(1, WIRE_BYTES_MAX + 1);
	big[0] = WIRE_DATA;
	assert_int_equal(decode_exact((struct bytes){big, WIRE_BYTES_MAX}), ERR_OK);
	assert_int_equal(decode_exact((struct bytes){big, WIRE_BYTES_MAX + 1}), ERR_MALFORMED);
	free(big);
	wr_fini(&w);
}

static void test_ping_and_types(void **state)
{
	struct wr w = {0};
	struct wire_message m = {.type = WIRE_PING, .number = UINT64_MAX - 1};

	(void)state;
	round_trip(&m, &w);
	m.type = WIRE_PONG;
	round_trip(&m, &w);
	refuses_other_lengths(&w, 0, false);
	for (unsigned type = 0; type < 256; type++) {
		uint8_t one = (uint8_t)type;
		enum err e = decode_exact((struct bytes){&one, 1});
		assert_int_equal(e, ERR_MALFORMED); /* no message is a type alone, none unknown */
	}
	wr_fini(&w);
}

/* ---- the worked examples of peerfs-wire(5) ---- */

static void hex_same(const char *name, const struct wire_message *m)
{
	char path[512];
	unsigned byte;
	struct wr want = {0}, w = {0};

	snprintf(path, sizeof(path), "%s/%s.hex", VECTORS, name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fscanf(f, "%2x", &byte) == 1)
		wr_u8(&want, (uint8_t)byte);
	fclose(f);
	wire_encode(&w, m);
	assert_true(bytes_equal(wr_view(&want), wr_view(&w)));
	assert_int_equal(decode_exact(wr_view(&want)), ERR_OK);
	wr_fini(&want);
	wr_fini(&w);
}

static void test_worked_messages(void **state)
{
	const struct where at[] = {{0x0102030405060708, 3}, {0x1122334455667788, 12}};
	uint8_t two[2 * HASH_LEN];
	struct wire_message m = join_of(bytes_text("laptop"));

	(void)state;
	hex_same("wire-join", &m);
	m = (struct wire_message){.type = WIRE_VECTOR};
	m.vector.applied = vector_new(at, 2);
	memset(two, 0x55, WIRE_HEAD);
	memset(two + WIRE_HEAD, 0x66, WIRE_HEAD);
	m.vector.heads = (struct bytes){two, 2 * WIRE_HEAD};
	memset(m.vector.roster.b, 0x44, HASH_LEN);
	hex_same("wire-vector", &m);
	drop(&m);
	memset(two, 0xaa, HASH_LEN);
	memset(two + HASH_LEN, 0xbb, HASH_LEN);
	m = (struct wire_message){.type = WIRE_WANT, .names = {2, two}};
	hex_same("wire-want", &m);
	m = (struct wire_message){.type = WIRE_REFUSE, .refuse = {REFUSE_USED, bytes_text("used")}};
	hex_same("wire-refuse", &m);
}

/* ---- invitations ---- */

static struct invitation sample(void)
{
	struct invitation i = {.expires_ms = 1750000000000, .role = ROLE_WRITER};

	memset(i.folder.b, 0x11, sizeof(i.folder.b));
	memset(i.admin.b, 0xfe, sizeof(i.admin.b));
	for (size_t k = 0; k < sizeof(i.secret); k++)
		i.secret[k] = (uint8_t)(k * 7);
	memcpy(i.addr, "box.example:7400,[fd00::1]:7400", 32);
	memcpy(i.folder_name, "photos", 7);
	return i;
}

static void test_invitation_round_trip(void **state)
{
	struct invitation i = sample(), back;
	char text[INVITATION_TEXT_MAX], spaced[INVITATION_TEXT_MAX + 8];

	(void)state;
	assert_int_equal(invitation_print(&i, text), ERR_OK);
	assert_memory_equal(text, "peerfs1:", 8);
	assert_int_equal(invitation_parse(text, &back), ERR_OK);
	assert_memory_equal(&i, &back, sizeof(i));
	snprintf(spaced, sizeof(spaced), " \t%s\r\n", text);
	assert_int_equal(invitation_parse(spaced, &back), ERR_OK);
	snprintf(spaced, sizeof(spaced), "%s x", text);
	assert_int_equal(invitation_parse(spaced, &back), ERR_MALFORMED);

	memset(i.addr, 'a', sizeof(i.addr)); /* every length, so every end of base64 */
	memset(i.folder_name, 'f', sizeof(i.folder_name));
	for (size_t len = 1; len <= MEMBER_NAME_MAX; len++) {
		memset(i.folder_name, 0, sizeof(i.folder_name));
		memset(i.folder_name, 'f', len);
		memset(i.addr, 0, sizeof(i.addr));
		memset(i.addr, 'a', WIRE_ADDR_MAX - len);
		assert_int_equal(invitation_print(&i, text), ERR_OK);
		assert_int_equal(invitation_parse(text, &back), ERR_OK);
		assert_memory_equal(&i, &back, sizeof(i));
	}
}

static void test_invitation_worked(void **state)
{
	struct invitation i = sample();
	char text[INVITATION_TEXT_MAX], want[INVITATION_TEXT_MAX];

	(void)state;
	FILE *f = fopen(VECTORS "/invitation.txt", "r");
	assert_non_null(f);
	assert_non_null(fgets(want, sizeof(want), f));
	fclose(f);
	want[strcspn(want, "\n")] = '\0';
	assert_int_equal(invitation_print(&i, text), ERR_OK);
	assert_string_equal(text, want);
}

static void test_invitation_limits(void **state)
{
	struct invitation i = sample();
	char text[INVITATION_TEXT_MAX];

	(void)state;
	memset(i.addr, 'a', sizeof(i.addr));
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
	i = sample();
	i.addr[3] = '\n';
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
	i = sample();
	memset(i.folder_name, 'f', sizeof(i.folder_name));
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
	i = sample();
	i.folder_name[0] = '\0';
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
	i = sample();
	i.role = ROLE_NONE;
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
	i.role = ROLE_ADMIN + 1;
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
	i = sample();
	i.expires_ms = -1;
	assert_int_equal(invitation_print(&i, text), ERR_INVAL);
}

/* One character mistyped, dropped, doubled or swapped with its neighbour never passes. */
static void test_invitation_mistyped(void **state)
{
	static const char typed[] = "AZaz09-_+/=1lI ";
	struct invitation i = sample(), back;
	char text[INVITATION_TEXT_MAX], bad[INVITATION_TEXT_MAX];

	(void)state;
	assert_int_equal(invitation_print(&i, text), ERR_OK);
	size_t len = strlen(text);
	for (size_t at = 0; at < len; at++) {
		for (size_t k = 0; k < sizeof(typed) - 1; k++) {
			memcpy(bad, text, len + 1);
			bad[at] = typed[k];
			bool blank = typed[k] == ' ' && at + 1 == len; /* then it is cut */
			if (typed[k] != text[at] || blank)
				assert_int_equal(invitation_parse(bad, &back),
						 at == 6 && typed[k] == '9' ? ERR_VERSION
									    : ERR_MALFORMED);
		}
		memcpy(bad, text, at); /* dropped */
		memcpy(bad + at, text + at + 1, len - at);
		assert_int_equal(invitation_parse(bad, &back), ERR_MALFORMED);
		memcpy(bad, text, at + 1); /* doubled */
		memcpy(bad + at + 1, text + at, len - at + 1);
		assert_int_equal(invitation_parse(bad, &back), ERR_MALFORMED);
		memcpy(bad, text, at); /* cut off */
		bad[at] = '\0';
		assert_int_equal(invitation_parse(bad, &back), ERR_MALFORMED);
		memcpy(bad, text, len + 1);
		if (at + 1 < len && bad[at] != bad[at + 1]) {
			bad[at] = text[at + 1];
			bad[at + 1] = text[at];
			assert_int_equal(invitation_parse(bad, &back), ERR_MALFORMED);
		}
	}
	assert_int_equal(invitation_parse("", &back), ERR_MALFORMED);
	assert_int_equal(invitation_parse("peerfs1:", &back), ERR_MALFORMED);
	assert_int_equal(invitation_parse("peerfs2:AAAA", &back), ERR_VERSION);
	memset(bad, 'A', sizeof(bad) - 1);
	bad[sizeof(bad) - 1] = '\0';
	memcpy(bad, "peerfs1:", 8);
	assert_int_equal(invitation_parse(bad, &back), ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_roster),
		cmocka_unit_test(test_roster_limits),
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bundle_and_data),
		cmocka_unit_test(test_ping_and_types),
		cmocka_unit_test(test_worked_messages),
		cmocka_unit_test(test_invitation_worked),
		cmocka_unit_test(test_invitation_round_trip),
		cmocka_unit_test(test_invitation_limits),
		cmocka_unit_test(test_invitation_mistyped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
