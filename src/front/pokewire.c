// SPDX-License-Identifier: MIT
/* pokewire.c - orders to peerfs-poke as bytes: the table is in pokewire.h */
#include "front/pokewire.h"
#include "base/rd.h"

static bool two_places(enum poke_kind kind)
{
	return kind == POKE_RENAME || kind == POKE_EXCHANGE;
}

static void put_place(struct wr *w, const struct pokewire_place *p)
{
	size_t path_len = strlen(p->path), name_len = strlen(p->name);

	wr_u16(w, (uint16_t)path_len);
	wr_raw(w, p->path, path_len + 1);
	wr_u8(w, (uint8_t)name_len);
	wr_raw(w, p->name, name_len + 1);
}

void pokewire_encode(struct wr *w, const struct pokewire_order *o)
{
	wr_u8(w, (uint8_t)o->kind);
	wr_u8(w, (uint8_t)o->type);
	put_place(w, &o->at);
	if (two_places(o->kind))
		put_place(w, &o->to);
}

static bool path_ok(struct bytes path)
{
	while (path.len) {
		const uint8_t *slash = memchr(path.at, '/', path.len);
		size_t len = slash ? (size_t)(slash - path.at) : path.len;
		if (!name_ok((struct bytes){path.at, len}) || len + 1 == path.len)
			return false;
		path.at += MIN(len + 1, path.len);
		path.len -= MIN(len + 1, path.len);
	}
	return true;
}

/* A text of len bytes and its NUL; false: it is not that. */
static bool get_text(struct rd *r, size_t len, const char **ret, struct bytes *b)
{
	const uint8_t *at = rd_span(r, len + 1);

	if (!at || at[len] != 0)
		return false;
	*b = (struct bytes){at, len};
	*ret = (const char *)at;
	return true;
}

static bool get_place(struct rd *r, struct pokewire_place *p)
{
	struct bytes path, name;

	if (!get_text(r, rd_u16(r), &p->path, &path) || path.len > POKE_PATH_MAX || !path_ok(path))
		return false;
	return get_text(r, rd_u8(r), &p->name, &name) && name_ok(name); /* neither holds a NUL */
}

enum err pokewire_decode(struct bytes b, struct pokewire_order *ret)
{
	struct pokewire_order o = {.type = 0};
	struct rd r = rd_of(b);
	uint8_t kind = rd_u8(&r), type = rd_u8(&r);
	bool typeless = kind == POKE_MODIFY || kind == POKE_ATTRIB;
	if (kind < POKE_CREATE || kind > POKE_ATTRIB || type > TYPE_BLOCK ||
	    (type == 0) != typeless)
		return fail(ERR_MALFORMED);
	o.kind = (enum poke_kind)kind;
	o.type = (enum inode_type)type;
	if (!get_place(&r, &o.at) || (two_places(o.kind) && !get_place(&r, &o.to)) || !rd_done(&r))
		return fail(ERR_MALFORMED);
	*ret = o;
	return ERR_OK;
}
