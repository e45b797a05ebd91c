// SPDX-License-Identifier: MIT
/*
 * wire.c - messages inside a session to checked structs and back; invitations
 *
 * The bytes are those of peerfs-wire(5).  Little-endian; the first byte is the type.
 *
 *	JOIN	device 32, name length u8, name, proof 32, token 32
 *	REFUSE	code u8, text to the end (0..WIRE_TEXT_MAX)
 *	ROSTER	count u32, then count times: length u32, record
 *	VECTOR	vector (count u32, then inc u64, seq u64 each), for each entry the start of that
 *		bundle's hash 8 (zeros: not told), hash of the roster 32
 *	BUNDLE	the bundle to the end
 *	WANT, NO, CANCEL	count u32 (1..WIRE_NAMES_MAX), count times 32
 *	DATA	the sealed piece to the end
 *	PING, PONG	number u64
 *	ACK	the acknowledgement to the end
 *
 * A message that decodes re-encodes to the same bytes: there is one way to say each thing.
 * Pure.  Called by sys/link (PING, PONG) and whoever hands messages to the core.
 */
#include "codec/wire.h"
#include "base/hash.h"
#include <stdlib.h>

static enum err join_decode(struct rd *r, struct wire_message *m)
{
	rd_copy(r, m->join.device.b, sizeof(m->join.device.b));
	m->join.name = rd_bytes(r, rd_u8(r));
	rd_copy(r, m->join.proof.b, HASH_LEN);
	rd_copy(r, m->join.token.b, HASH_LEN);
	if (r->bad || !member_name_ok(m->join.name))
		return fail(ERR_MALFORMED);
	return ERR_OK;
}

static enum err refuse_decode(struct rd *r, struct wire_message *m)
{
	m->refuse.code = rd_u8(r);
	m->refuse.text = rd_bytes(r, rd_left(r));
	if (r->bad || m->refuse.code == 0 || m->refuse.text.len > WIRE_TEXT_MAX)
		return fail(ERR_MALFORMED);
	return ERR_OK;
}

bool wire_roster_next(struct bytes *rest, struct bytes *ret)
{
	struct rd r = rd_of(*rest);
	struct bytes record = rd_bytes(&r, rd_u32(&r));

	if (r.bad || record.len == 0 || record.len > MEMBER_BYTES_MAX)
		return false;
	*ret = record;
	*rest = (struct bytes){r.at, rd_left(&r)};
	return true;
}

static enum err roster_decode(struct rd *r, struct wire_message *m)
{
	struct bytes record;

	m->roster.count = rd_u32(r);
	m->roster.rest = rd_bytes(r, rd_left(r));
	if (r->bad || m->roster.count > WIRE_ROSTER_MAX)
		return fail(ERR_MALFORMED);
	struct bytes rest = m->roster.rest;
	for (uint32_t k = 0; k < m->roster.count; k++)
		if (!wire_roster_next(&rest, &record))
			return fail(ERR_MALFORMED);
	return rest.len ? fail(ERR_MALFORMED) : ERR_OK;
}

/* Last, as it allocates: nothing may fail after the vector stands. */
static enum err vector_message_decode(struct rd *r, struct wire_message *m)
{
	if (rd_left(r) < HASH_LEN)
		return fail(ERR_MALFORMED);
	struct rd hash = {.at = r->end - HASH_LEN, .end = r->end};
	struct rd head = {.at = r->at, .end = hash.at};
	struct vector *v;

	enum err e = vector_decode(&head, &v);
	if (e)
		return e;
	m->vector.heads = rd_bytes(&head, v->count * WIRE_HEAD);
	if (!rd_done(&head)) {
		vector_unref(v);
		return fail(ERR_MALFORMED);
	}
	rd_copy(&hash, m->vector.roster.b, HASH_LEN);
	m->vector.applied = v;
	r->at = r->end;
	return ERR_OK;
}

static enum err names_decode(struct rd *r, struct wire_message *m)
{
	m->names.count = rd_u32(r);
	if (r->bad || m->names.count == 0 || m->names.count > WIRE_NAMES_MAX)
		return fail(ERR_MALFORMED);
	m->names.at = rd_span(r, (size_t)m->names.count * HASH_LEN);
	return r->bad ? fail(ERR_MALFORMED) : ERR_OK;
}

static enum err rest_decode(struct rd *r, struct bytes *to)
{
	*to = rd_bytes(r, rd_left(r));
	return to->len ? ERR_OK : fail(ERR_MALFORMED);
}

static enum err body_decode(struct rd *r, struct wire_message *m)
{
	switch (m->type) {
	case WIRE_JOIN:
		return join_decode(r, m);
	case WIRE_REFUSE:
		return refuse_decode(r, m);
	case WIRE_ROSTER:
		return roster_decode(r, m);
	case WIRE_VECTOR:
		return vector_message_decode(r, m);
	case WIRE_BUNDLE:
		return rest_decode(r, &m->bundle);
	case WIRE_WANT:
	case WIRE_NO:
	case WIRE_CANCEL:
		return names_decode(r, m);
	case WIRE_DATA:
		return rest_decode(r, &m->data);
	case WIRE_ACK:
		return rest_decode(r, &m->ack);
	case WIRE_PING:
	case WIRE_PONG:
		m->number = rd_u64(r);
		return r->bad ? fail(ERR_MALFORMED) : ERR_OK;
	default: /* the version is agreed on in the handshake, so this is no newer friend */
		return fail(ERR_MALFORMED);
	}
}

enum err wire_decode(struct bytes from, struct wire_message *ret)
{
	struct rd r = rd_of(from);
	struct wire_message m;

	memset(&m, 0, sizeof(m));
	if (from.len > WIRE_BYTES_MAX)
		return fail(ERR_MALFORMED);
	m.type = rd_u8(&r);
	enum err e = body_decode(&r, &m);
	if (e)
		return e;
	if (!rd_done(&r))
		return fail(ERR_MALFORMED); /* a vector stands only if it was read to the end */
	*ret = m;
	return ERR_OK;
}

void wire_encode(struct wr *w, const struct wire_message *m)
{
	wr_u8(w, m->type);
	switch (m->type) {
	case WIRE_JOIN:
		assert(member_name_ok(m->join.name));
		wr_raw(w, m->join.device.b, sizeof(m->join.device.b));
		wr_u8(w, (uint8_t)m->join.name.len);
		wr_bytes(w, m->join.name);
		wr_raw(w, m->join.proof.b, HASH_LEN);
		wr_raw(w, m->join.token.b, HASH_LEN);
		break;
	case WIRE_REFUSE:
		assert(m->refuse.code && m->refuse.text.len <= WIRE_TEXT_MAX);
		wr_u8(w, m->refuse.code);
		wr_bytes(w, m->refuse.text);
		break;
	case WIRE_ROSTER:
		assert(m->roster.count <= WIRE_ROSTER_MAX);
		wr_u32(w, m->roster.count);
		wr_bytes(w, m->roster.rest);
		break;
	case WIRE_VECTOR:
		vector_encode(w, m->vector.applied);
		assert(m->vector.heads.len == m->vector.applied->count * WIRE_HEAD);
		wr_bytes(w, m->vector.heads);
		wr_raw(w, m->vector.roster.b, HASH_LEN);
		break;
	case WIRE_BUNDLE:
		wr_bytes(w, m->bundle);
		break;
	case WIRE_WANT:
	case WIRE_NO:
	case WIRE_CANCEL:
		assert(m->names.count && m->names.count <= WIRE_NAMES_MAX);
		wr_u32(w, m->names.count);
		wr_raw(w, m->names.at, (size_t)m->names.count * HASH_LEN);
		break;
	case WIRE_DATA:
		wr_bytes(w, m->data);
		break;
	case WIRE_ACK:
		wr_bytes(w, m->ack);
		break;
	case WIRE_PING:
	case WIRE_PONG:
		wr_u64(w, m->number);
		break;
	default:
		assert(false); /* a message has a type */
	}
}

/* ---- invitations ---- */

/*
 * The bytes behind "peerfs1:", in base64url without padding (RFC 4648, section 5):
 *	0	1	version (1)
 *	1	32	folder
 *	33	32	admin
 *	65	8	expires, ms since 1970
 *	73	1	role
 *	74	32	secret
 *	106	2+	length u16, addresses
 *		1+	length u8, folder name
 *		4	checksum: the start of BLAKE2b-256 of all before
 */
static const char prefix[] = "peerfs1:";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
#define CHECK_LEN 4
#define INVITATION_BYTES_MAX (74 + 32 + 2 + WIRE_ADDR_MAX + 1 + MEMBER_NAME_MAX + CHECK_LEN)

static_assert(sizeof(prefix) + (INVITATION_BYTES_MAX + 2) / 3 * 4 <= INVITATION_TEXT_MAX,
	      "the longest invitation fits its text");

static char *base64_print(struct bytes from, char *to)
{
	for (size_t at = 0; at < from.len; at += 3) {
		size_t n = MIN(from.len - at, (size_t)3);
		uint32_t v = (uint32_t)from.at[at] << 16;

		v |= n > 1 ? (uint32_t)from.at[at + 1] << 8 : 0;
		v |= n > 2 ? from.at[at + 2] : 0;
		for (size_t k = 0; k <= n; k++)
			*to++ = alphabet[v >> (18 - 6 * k) & 63];
	}
	*to = '\0';
	return to;
}

/* Appends the bytes; false for a foreign character, a stray one, or bits beyond the last byte. */
static bool base64_parse(const char *from, struct wr *w)
{
	size_t len = strlen(from);
	uint32_t v = 0, bits = 0;

	if (len % 4 == 1)
		return false;
	for (size_t k = 0; k < len; k++) {
		const char *digit = memchr(alphabet, from[k], sizeof(alphabet) - 1);
		if (!digit)
			return false;
		v = v << 6 | (uint32_t)(digit - alphabet);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			wr_u8(w, (uint8_t)(v >> bits));
			v &= (1u << bits) - 1;
		}
	}
	return v == 0;
}

static bool addr_ok(struct bytes addr) /* printable, so that it can be shown and typed */
{
	for (size_t k = 0; k < addr.len; k++)
		if (addr.at[k] <= ' ' || addr.at[k] > '~')
			return false;
	return true;
}

static bool role_ok(uint8_t role)
{
	return role >= ROLE_HELPER && role <= ROLE_ADMIN;
}

enum err invitation_print(const struct invitation *i, char text[INVITATION_TEXT_MAX])
{
	struct bytes addr = {(const uint8_t *)i->addr, strnlen(i->addr, sizeof(i->addr))};
	struct bytes name = {(const uint8_t *)i->folder_name,
			     strnlen(i->folder_name, sizeof(i->folder_name))};
	struct wr w = {0};
	struct hash sum;

	if (addr.len == sizeof(i->addr) || i->expires_ms < 0 || !addr_ok(addr) ||
	    !role_ok(i->role) || !member_name_ok(name))
		return fail(ERR_INVAL);
	wr_u8(&w, WIRE_INVITATION_VERSION);
	wr_raw(&w, i->folder.b, sizeof(i->folder.b));
	wr_raw(&w, i->admin.b, sizeof(i->admin.b));
	wr_u64(&w, (uint64_t)i->expires_ms);
	wr_u8(&w, i->role);
	wr_raw(&w, i->secret, sizeof(i->secret));
	wr_u16(&w, (uint16_t)addr.len);
	wr_bytes(&w, addr);
	wr_u8(&w, (uint8_t)name.len);
	wr_bytes(&w, name);
	hash_blake(wr_view(&w), &sum);
	wr_raw(&w, sum.b, CHECK_LEN);
	enum err e = w.bad ? fail(ERR_NOMEM) : ERR_OK;
	if (!e) {
		memcpy(text, prefix, sizeof(prefix) - 1);
		base64_print(wr_view(&w), text + sizeof(prefix) - 1);
	}
	wr_fini(&w);
	return e;
}

static bool text_rd(struct rd *r, size_t len, char *to, size_t room)
{
	struct bytes b = rd_bytes(r, len);

	if (r->bad || b.len >= room || (b.len && memchr(b.at, 0, b.len)))
		return false;
	if (b.len)
		memcpy(to, b.at, b.len);
	to[b.len] = '\0';
	return true;
}

static enum err invitation_decode(struct bytes from, struct invitation *ret)
{
	struct invitation i;
	struct hash sum;

	memset(&i, 0, sizeof(i));
	if (from.len < CHECK_LEN + 1)
		return fail(ERR_MALFORMED);
	struct rd r = {.at = from.at, .end = from.at + from.len - CHECK_LEN};
	hash_blake((struct bytes){r.at, rd_left(&r)}, &sum);
	if (memcmp(sum.b, r.end, CHECK_LEN) != 0)
		return fail(ERR_MALFORMED);
	if (rd_u8(&r) != WIRE_INVITATION_VERSION) /* after the checksum: no typing error */
		return fail(ERR_VERSION);
	rd_copy(&r, i.folder.b, sizeof(i.folder.b));
	rd_copy(&r, i.admin.b, sizeof(i.admin.b));
	i.expires_ms = (int64_t)rd_u64(&r);
	i.role = rd_u8(&r);
	rd_copy(&r, i.secret, sizeof(i.secret));
	bool fits = text_rd(&r, rd_u16(&r), i.addr, sizeof(i.addr));
	fits = fits && text_rd(&r, rd_u8(&r), i.folder_name, sizeof(i.folder_name));
	if (!fits || !rd_done(&r) || !role_ok(i.role) || i.expires_ms < 0 ||
	    !addr_ok(bytes_text(i.addr)) || !member_name_ok(bytes_text(i.folder_name)))
		return fail(ERR_MALFORMED);
	*ret = i;
	return ERR_OK;
}

/* Blanks around the text are what copying from a mail brings; within, it is broken. */
enum err invitation_parse(const char *text, struct invitation *ret)
{
	char body[INVITATION_TEXT_MAX];
	struct wr w = {0};

	text += strspn(text, " \t\r\n");
	size_t len = strcspn(text, " \t\r\n");
	if (text[len + strspn(text + len, " \t\r\n")] != '\0' || len >= sizeof(body))
		return fail(ERR_MALFORMED);
	if (strncmp(text, "peerfs", 6) == 0 && len > 7 && text[7] == ':' && text[6] >= '2' &&
	    text[6] <= '9')
		return fail(ERR_VERSION);
	if (len < sizeof(prefix) || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return fail(ERR_MALFORMED);
	memcpy(body, text + sizeof(prefix) - 1, len - (sizeof(prefix) - 1));
	body[len - (sizeof(prefix) - 1)] = '\0';
	bool ok = base64_parse(body, &w);
	enum err e = w.bad ? fail(ERR_NOMEM) : ok ? ERR_OK : fail(ERR_MALFORMED);
	if (!e)
		e = invitation_decode(wr_view(&w), ret);
	wr_fini(&w);
	return e;
}
