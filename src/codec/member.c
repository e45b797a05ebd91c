// SPDX-License-Identifier: MIT
/*
 * member.c - bytes of roster records, and of the keys that they hand on in boxes
 *
 * The roster decides whose bundles count, so its records are few, signed one by one, and checked
 * here for all that one record alone can show; whether its author was allowed is core/roster's.
 *
 * I1  what sound() refuses is neither decoded nor encoded
 * I2  a record has one encoding, so its hash, by which children name it, is its own
 */
#include "codec/member.h"

#define MEMBER_VERSION 1

static const uint8_t magic[4] = {'P', 'F', 'S', 'R'};

/* The length of the UTF-8 sequence at s, and its code point; 0 if it is none. */
static size_t utf8_next(struct bytes s, uint32_t *point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t first = s.at[0];
	size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (len == 0 || len > s.len || first > 0xf4)
		return 0;
	uint32_t p = len == 1 ? first : first & (0x7fu >> len);
	for (size_t k = 1; k < len; k++) {
		if ((s.at[k] & 0xc0) != 0x80)
			return 0;
		p = p << 6 | (s.at[k] & 0x3f);
	}
	if (p < least[len] || p > 0x10ffff || (p >= 0xd800 && p < 0xe000))
		return 0;
	*point = p;
	return len;
}

bool member_name_ok(struct bytes name)
{
	if (name.len == 0 || name.len > MEMBER_NAME_MAX)
		return false;
	while (name.len) {
		uint32_t p = 0;
		size_t n = utf8_next(name, &p);
		if (n == 0 || p < 0x20 || (p >= 0x7f && p < 0xa0) || p == '/')
			return false;
		name = (struct bytes){name.at + n, name.len - n};
	}
	return true;
}

static bool addr_ok(struct bytes text)
{
	if (text.len > MEMBER_TEXT_MAX)
		return false;
	for (size_t k = 0; k < text.len; k++)
		if (text.at[k] <= ' ' || text.at[k] > '~')
			return false;
	return true;
}

static const char *const role_names[] = {
	[ROLE_NONE] = "none",     [ROLE_HELPER] = "helper", [ROLE_READER] = "reader",
	[ROLE_WRITER] = "writer", [ROLE_ADMIN] = "admin",
};

const char *role_text(enum role r)
{
	return (size_t)r < ARRAY_LEN(role_names) ? role_names[r] : "unknown";
}

bool role_parse(const char *s, enum role *ret)
{
	for (size_t k = ROLE_HELPER; k < ARRAY_LEN(role_names); k++) {
		if (strcmp(s, role_names[k]) == 0) {
			*ret = (enum role)k;
			return true;
		}
	}
	return false;
}

static bool zero32(const uint8_t b[32])
{
	static const uint8_t zero[32];

	return memcmp(b, zero, sizeof(zero)) == 0;
}

static bool role_ok(uint8_t role)
{
	return role >= ROLE_HELPER && role <= ROLE_ADMIN;
}

static bool subject_is_author(const struct member_record *m)
{
	return memcmp(m->subject.b, m->author.b, sizeof(m->author.b)) == 0;
}

static bool body_sound(const struct member_record *m)
{
	switch (m->kind) {
	case MEMBER_FOUND:
		return subject_is_author(m) && member_name_ok(m->name) && member_name_ok(m->text);
	case MEMBER_ADD:
		return role_ok(m->role) && member_name_ok(m->name) && m->box.len <= MEMBER_BOX_MAX;
	case MEMBER_ROLE:
		return role_ok(m->role);
	case MEMBER_REMOVE:
	case MEMBER_RETIRE:
	case MEMBER_ACCEPT:
	case MEMBER_REJECT:
		return true;
	case MEMBER_KEYS:
		return m->box.len >= BOX_OVERHEAD && m->box.len <= MEMBER_BOX_MAX;
	case MEMBER_ADDR:
		return subject_is_author(m) && addr_ok(m->text);
	default:
		return m->kind != 0;
	}
}

static bool sound(const struct member_record *m)
{
	bool found = m->kind == MEMBER_FOUND;

	if (found != zero32(m->folder.b) || found != (m->parents_count == 0))
		return false;
	if (m->parents_count > MEMBER_PARENTS_MAX)
		return false;
	for (uint32_t k = 1; k < m->parents_count; k++) /* I2 */
		if (memcmp(m->parents[k - 1].b, m->parents[k].b, HASH_LEN) >= 0)
			return false;
	return body_sound(m);
}

static void text_encode(struct wr *w, struct bytes text)
{
	wr_u8(w, (uint8_t)text.len);
	wr_bytes(w, text);
}

static void box_encode(struct wr *w, struct bytes box)
{
	wr_u16(w, (uint16_t)box.len);
	wr_bytes(w, box);
}

static void body_encode(struct wr *w, const struct member_record *m)
{
	if (m->kind < MEMBER_FOUND || m->kind > MEMBER_REJECT) {
		wr_bytes(w, m->unknown);
		return;
	}
	wr_bytes(w, BYTES_OF(m->subject.b));
	switch (m->kind) {
	case MEMBER_FOUND:
		text_encode(w, m->name);
		text_encode(w, m->text);
		break;
	case MEMBER_ADD:
		wr_u8(w, m->role);
		text_encode(w, m->name);
		box_encode(w, m->box);
		wr_bytes(w, BYTES_OF(m->token.b));
		vector_encode(w, m->vec);
		break;
	case MEMBER_ROLE:
		wr_u8(w, m->role);
		vector_encode(w, m->vec);
		break;
	case MEMBER_REMOVE:
	case MEMBER_RETIRE:
	case MEMBER_ACCEPT:
	case MEMBER_REJECT:
		vector_encode(w, m->vec);
		break;
	case MEMBER_KEYS:
		wr_u32(w, m->epoch);
		box_encode(w, m->box);
		break;
	default:
		text_encode(w, m->text);
		break;
	}
}

void member_encode(struct wr *w, const struct member_record *m, const struct sign_pair *by)
{
	size_t start = w->len;
	uint8_t sig[SIG_LEN];

	assert(sound(m)); /* I1 */
	assert(memcmp(by->pub.b, m->author.b, sizeof(m->author.b)) == 0);
	wr_raw(w, magic, sizeof(magic));
	wr_u8(w, MEMBER_VERSION);
	wr_bytes(w, BYTES_OF(m->folder.b));
	wr_u8(w, m->kind);
	wr_bytes(w, BYTES_OF(m->author.b));
	wr_u8(w, (uint8_t)m->parents_count);
	for (uint32_t k = 0; k < m->parents_count; k++)
		wr_bytes(w, BYTES_OF(m->parents[k].b));
	wr_u64(w, (uint64_t)m->wall_ms);
	body_encode(w, m);
	if (w->bad)
		return;
	assert(w->len - start <= MEMBER_BYTES_MAX - SIG_LEN);
	sign_make(by, (struct bytes){w->at + start, w->len - start}, sig);
	wr_bytes(w, BYTES_OF(sig));
}

static struct bytes text_read(struct rd *r)
{
	return rd_bytes(r, rd_u8(r));
}

/*
 * The bodies, by kind; each begins with the subject, 32 bytes, but for unknown ones.
 *	FOUND		name's length 1, name, folder's name's length 1, folder's name
 *	ADD		role 1, name's length 1, name, box's length 2, box, token 32, vector
 *	ROLE		role 1, vector
 *	REMOVE, RETIRE,
 *	ACCEPT, REJECT	vector: count 4, then incarnation 8 and sequence 8 each
 *	KEYS		epoch 4, box's length 2, box
 *	ADDR		length 1, addresses
 */
static enum err body_read(struct rd *r, struct member_record *m)
{
	if (m->kind < MEMBER_FOUND || m->kind > MEMBER_REJECT) {
		m->unknown = rd_bytes(r, rd_left(r));
		return ERR_OK;
	}
	rd_copy(r, m->subject.b, sizeof(m->subject.b));
	switch (m->kind) {
	case MEMBER_FOUND:
		m->name = text_read(r);
		m->text = text_read(r);
		return ERR_OK;
	case MEMBER_ADD:
		m->role = rd_u8(r);
		m->name = text_read(r);
		m->box = rd_bytes(r, rd_u16(r));
		rd_copy(r, m->token.b, HASH_LEN);
		return vector_decode(r, &m->vec);
	case MEMBER_ROLE:
		m->role = rd_u8(r);
		return vector_decode(r, &m->vec);
	case MEMBER_REMOVE:
	case MEMBER_RETIRE:
	case MEMBER_ACCEPT:
	case MEMBER_REJECT:
		return vector_decode(r, &m->vec);
	case MEMBER_KEYS:
		m->epoch = rd_u32(r);
		m->box = rd_bytes(r, rd_u16(r));
		return ERR_OK;
	default:
		m->text = text_read(r);
		return ERR_OK;
	}
}

/*
 * A roster record.
 *	0	4	magic	"PFSR"
 *	4	1	version	1
 *	5	32	folder	zeros in the founding record
 *	37	1	kind	enum member_kind
 *	38	32	author
 *	70	1	count	of parents: 0 in the founding record, else 1..16
 *	71	32 each	parents	strictly ascending
 *	..	8	wall	ms since 1970
 *	..		body
 *	..	64	signature over all before it
 */
static enum err head_read(struct rd *r, struct member_record *m)
{
	const uint8_t *mark = rd_span(r, sizeof(magic));
	uint8_t version = rd_u8(r);

	if (!mark || memcmp(mark, magic, sizeof(magic)) != 0)
		return fail(ERR_MALFORMED);
	if (!r->bad && version != MEMBER_VERSION)
		return fail(ERR_VERSION);
	rd_copy(r, m->folder.b, sizeof(m->folder.b));
	m->kind = rd_u8(r);
	rd_copy(r, m->author.b, sizeof(m->author.b));
	m->parents_count = rd_u8(r);
	if (r->bad || m->parents_count > MEMBER_PARENTS_MAX)
		return fail(ERR_MALFORMED);
	for (uint32_t k = 0; k < m->parents_count; k++)
		rd_copy(r, m->parents[k].b, HASH_LEN);
	m->wall_ms = (int64_t)rd_u64(r);
	return r->bad ? fail(ERR_MALFORMED) : ERR_OK;
}

enum err member_decode(struct bytes from, struct member_record *ret)
{
	struct member_record m;

	memset(&m, 0, sizeof(m));
	if (from.len < SIG_LEN || from.len > MEMBER_BYTES_MAX)
		return fail(ERR_MALFORMED);
	struct rd r = rd_of((struct bytes){from.at, from.len - SIG_LEN});
	enum err e = head_read(&r, &m);
	if (!e)
		e = body_read(&r, &m);
	if (e)
		return e;
	if (!rd_done(&r) || !sound(&m)) {
		vector_unref(m.vec);
		return fail(ERR_MALFORMED);
	}
	memcpy(m.sig, from.at + from.len - SIG_LEN, SIG_LEN);
	*ret = m;
	return ERR_OK;
}

bool member_verify(struct bytes whole, const struct member_record *m)
{
	assert(whole.len >= SIG_LEN);
	return sign_ok(&m->author, (struct bytes){whole.at, whole.len - SIG_LEN}, m->sig);
}

void folder_keys_encode(struct wr *w, const struct folder_keys *k)
{
	assert(k->count <= FOLDER_EPOCHS_MAX);
	wr_u32(w, k->count);
	for (uint32_t n = 0; n < k->count; n++) {
		assert(n == 0 || k->at[n - 1].epoch < k->at[n].epoch);
		wr_u32(w, k->at[n].epoch);
		wr_raw(w, k->at[n].key, KEY_LEN);
	}
}

/*
 * Keys, the plaintext of a box.
 *	0	4	count	0..FOLDER_EPOCHS_MAX
 *	4	36 each	keys	epoch 4, strictly ascending; key 32
 */
enum err folder_keys_decode(struct bytes from, struct folder_keys *ret)
{
	struct rd r = rd_of(from);
	struct folder_keys k;

	memset(&k, 0, sizeof(k));
	k.count = rd_u32(&r);
	if (r.bad || k.count > FOLDER_EPOCHS_MAX)
		return fail(ERR_MALFORMED);
	for (uint32_t n = 0; n < k.count; n++) {
		k.at[n].epoch = rd_u32(&r);
		rd_copy(&r, k.at[n].key, KEY_LEN);
		if (n && k.at[n].epoch <= k.at[n - 1].epoch)
			return fail(ERR_MALFORMED);
	}
	if (!rd_done(&r))
		return fail(ERR_MALFORMED);
	*ret = k;
	return ERR_OK;
}
