// SPDX-License-Identifier: MIT
/*
 * cells.c - the rows of inodes, links, directories and places: bytes <-> structs
 *
 * Rows are this device's own and derived, so damage is an error of the disk, never a peer's lie.
 * All integers in values are little-endian, ids in keys big-endian; a name is a length byte and
 * its bytes.
 *
 *	origin		dot inc op, t, in inc seq, vector key[16]
 *	'I' inode	type rdev target born birth made wall, stamped mode owner mtime, listed
 *			tidied,
 *			heads: origin mtime content; gone: origin
 *	'L' inode n	heads: origin wall flags [place] [prev]
 *	'D' directory	flags level at born candidates contested subdirs named mtime
 *			touched
 *	'P' parent name 0 n inode	flags type at
 */
#include "core/cells.h"
#include <stdlib.h>

#define ORIGIN_LEN 56

static void put_inode(struct wr *w, struct inode_id i)
{
	wr_u64(w, i.inc);
	wr_u64(w, i.op);
}

static struct inode_id get_inode(struct rd *r)
{
	uint64_t inc = rd_u64(r);

	return (struct inode_id){inc, rd_u64(r)};
}

static void put_stamp(struct wr *w, struct stamp s)
{
	wr_u64(w, s.t);
	wr_u64(w, s.inc);
}

static struct stamp get_stamp(struct rd *r)
{
	uint64_t t = rd_u64(r);

	return (struct stamp){t, rd_u64(r)};
}

static void put_place(struct wr *w, const struct place *p)
{
	put_inode(w, p->parent);
	wr_u8(w, (uint8_t)p->name.len);
	wr_bytes(w, p->name);
}

static struct place get_place(struct rd *r)
{
	struct inode_id parent = get_inode(r);
	uint8_t len = rd_u8(r);

	return (struct place){parent, rd_bytes(r, len)};
}

void cells_put_origin(struct wr *w, const struct origin *o)
{
	wr_u64(w, o->dot.inc);
	wr_u64(w, o->dot.op);
	wr_u64(w, o->t);
	wr_u64(w, o->in.inc);
	wr_u64(w, o->in.seq);
	wr_raw(w, o->vec, VEC_KEY_LEN);
}

struct origin cells_get_origin(struct rd *r)
{
	struct origin o;

	o.dot.inc = rd_u64(r);
	o.dot.op = rd_u64(r);
	o.t = rd_u64(r);
	o.in.inc = rd_u64(r);
	o.in.seq = rd_u64(r);
	rd_copy(r, o.vec, VEC_KEY_LEN);
	return o;
}

/* The end of reading a row: false, and an error, if it was cut short. */
static bool row_done(struct view *v, const struct rd *r)
{
	if (!rd_done(r))
		rows_fail(v, fail(ERR_DAMAGED));
	return !v->bad;
}

static void *row_array(struct view *v, void *old, uint32_t count, size_t size)
{
	void *p = realloc(old, MAX(count, 1u) * size);

	if (!p)
		rows_fail(v, fail(ERR_NOMEM));
	return p;
}

/* ---- inodes ---- */

static struct rkey inode_key(struct inode_id id)
{
	struct rkey k = rows_key(TABLE_INODE);

	rows_key_inode(&k, id);
	return k;
}

static bool get_heads(struct view *v, struct rd *r, struct inode_row *i)
{
	i->heads_count = rd_u32(r);
	i->gone_count = rd_u32(r);
	if (r->bad || i->heads_count > rd_left(r) / ORIGIN_LEN ||
	    i->gone_count > rd_left(r) / ORIGIN_LEN) {
		i->heads_count = i->gone_count = 0;
		rows_fail(v, fail(ERR_DAMAGED));
		return false;
	}
	/* Room for one more of each, as a record adds one at most. */
	struct head *h = row_array(v, i->heads, i->heads_count + 1, sizeof(i->heads[0]));
	i->heads = h ? h : i->heads;
	struct origin *g = row_array(v, i->gone, i->gone_count + 1, sizeof(i->gone[0]));
	i->gone = g ? g : i->gone;
	if (!h || !g)
		return false;
	for (uint32_t k = 0; k < i->heads_count; k++) {
		i->heads[k].o = cells_get_origin(r);
		i->heads[k].mtime_ns = (int64_t)rd_u64(r);
		uint32_t len = rd_u32(r);
		i->heads[k].content = rd_bytes(r, len);
	}
	for (uint32_t k = 0; k < i->gone_count; k++)
		i->gone[k] = cells_get_origin(r);
	return true;
}

bool cells_inode(struct view *v, struct inode_id id, struct inode_row *i)
{
	struct rkey k = inode_key(id);

	i->heads_count = i->gone_count = 0;
	return rows_get(v, &k, &i->raw) && cells_read_inode(v, id, wr_view(&i->raw), i);
}

bool cells_read_inode(struct view *v, struct inode_id id, struct bytes row, struct inode_row *i)
{
	struct rd r = rd_of(row);

	i->id = id;
	i->type = rd_u8(&r);
	i->rdev = rd_u32(&r);
	uint16_t len = rd_u16(&r);
	i->target = rd_bytes(&r, len);
	i->born = get_stamp(&r);
	i->has_birth = rd_u8(&r);
	if (i->has_birth)
		i->birth = get_place(&r);
	i->made_ms = (int64_t)rd_u64(&r);
	i->wall_ms = (int64_t)rd_u64(&r);
	i->mode_at = get_stamp(&r);
	i->owner_at = get_stamp(&r);
	i->times_at = get_stamp(&r);
	i->mode = rd_u32(&r);
	i->uid = rd_u32(&r);
	i->gid = rd_u32(&r);
	i->mtime_ns = (int64_t)rd_u64(&r);
	i->listed = rd_u64(&r);
	i->tidied = rd_u8(&r);
	return get_heads(v, &r, i) && row_done(v, &r);
}

void cells_put_inode(struct view *v, const struct inode_row *i)
{
	struct rkey k = inode_key(i->id);
	struct wr *w = rows_begin(v, &k);

	cells_write_inode(w, i);
	rows_end(v);
}

void cells_write_inode(struct wr *w, const struct inode_row *i)
{
	wr_u8(w, (uint8_t)i->type);
	wr_u32(w, i->rdev);
	wr_u16(w, (uint16_t)i->target.len);
	wr_bytes(w, i->target);
	put_stamp(w, i->born);
	wr_u8(w, i->has_birth);
	if (i->has_birth)
		put_place(w, &i->birth);
	wr_u64(w, (uint64_t)i->made_ms);
	wr_u64(w, (uint64_t)i->wall_ms);
	put_stamp(w, i->mode_at);
	put_stamp(w, i->owner_at);
	put_stamp(w, i->times_at);
	wr_u32(w, i->mode);
	wr_u32(w, i->uid);
	wr_u32(w, i->gid);
	wr_u64(w, (uint64_t)i->mtime_ns);
	wr_u64(w, i->listed);
	wr_u8(w, i->tidied);
	wr_u32(w, i->heads_count);
	wr_u32(w, i->gone_count);
	for (uint32_t n = 0; n < i->heads_count; n++) {
		cells_put_origin(w, &i->heads[n].o);
		wr_u64(w, (uint64_t)i->heads[n].mtime_ns);
		wr_u32(w, (uint32_t)i->heads[n].content.len);
		wr_bytes(w, i->heads[n].content);
	}
	for (uint32_t n = 0; n < i->gone_count; n++)
		cells_put_origin(w, &i->gone[n]);
}

void cells_inode_fini(struct inode_row *i)
{
	free(i->heads);
	free(i->gone);
	wr_fini(&i->raw);
	*i = (struct inode_row){0};
}

/* ---- links ---- */

static struct rkey link_key(struct inode_id id)
{
	struct rkey k = rows_key(TABLE_LINK);

	rows_key_inode(&k, id);
	return k;
}

enum { LINK_PLACE = 1, LINK_PREV = 2, LINK_PINNED = 4 };

static bool get_link(struct view *v, struct link_row *l)
{
	struct rd r = rd_of(wr_view(&l->raw));

	l->count = rd_u32(&r);
	if (r.bad || l->count > rd_left(&r) / ORIGIN_LEN) {
		l->count = 0;
		rows_fail(v, fail(ERR_DAMAGED));
		return false;
	}
	struct link_head *h = row_array(v, l->heads, l->count + 1, sizeof(l->heads[0]));
	if (!h)
		return false;
	l->heads = h;
	for (uint32_t k = 0; k < l->count; k++) {
		h[k].o = cells_get_origin(&r);
		h[k].wall_ms = (int64_t)rd_u64(&r);
		uint8_t flags = rd_u8(&r);
		h[k].has_place = flags & LINK_PLACE;
		h[k].has_prev = flags & LINK_PREV;
		h[k].pinned = flags & LINK_PINNED;
		h[k].place = h[k].prev = (struct place){0};
		if (h[k].has_place)
			h[k].place = get_place(&r);
		if (h[k].has_prev)
			h[k].prev = get_place(&r);
	}
	return row_done(v, &r);
}

bool cells_link(struct view *v, struct inode_id id, struct name_id n, struct link_row *l)
{
	struct rkey k = link_key(id);

	rows_key_name(&k, n);
	l->id = id;
	l->n = n;
	l->count = 0;
	return rows_get(v, &k, &l->raw) && get_link(v, l);
}

void cells_put_link(struct view *v, const struct link_row *l)
{
	struct rkey k = link_key(l->id);

	rows_key_name(&k, l->n);
	struct wr *w = rows_begin(v, &k);

	wr_u32(w, l->count);
	for (uint32_t n = 0; n < l->count; n++) {
		const struct link_head *h = &l->heads[n];
		cells_put_origin(w, &h->o);
		wr_u64(w, (uint64_t)h->wall_ms);
		wr_u8(w, (uint8_t)((h->has_place ? LINK_PLACE : 0) | (h->has_prev ? LINK_PREV : 0) |
				   (h->pinned ? LINK_PINNED : 0)));
		if (h->has_place)
			put_place(w, &h->place);
		if (h->has_prev)
			put_place(w, &h->prev);
	}
	rows_end(v);
}

void cells_link_fini(struct link_row *l)
{
	free(l->heads);
	wr_fini(&l->raw);
	*l = (struct link_row){0};
}

struct walk cells_links(struct inode_id id)
{
	struct walk w;

	w.begun = false;
	w.prefix = link_key(id);
	return w;
}

bool cells_links_next(struct view *v, struct walk *w, struct link_row *l)
{
	if (!rows_each(v, w, &l->raw))
		return false;
	struct rd r = {.at = w->at.b + 1, .end = w->at.b + w->at.len};
	l->id = ids_rd_key_inode(&r);
	l->n = ids_rd_key_name(&r);
	return get_link(v, l);
}

/* ---- directories ---- */

static struct rkey dir_key(struct inode_id id)
{
	struct rkey k = rows_key(TABLE_DIR);

	rows_key_inode(&k, id);
	return k;
}

bool cells_dir(struct view *v, struct inode_id id, struct dir_row *d)
{
	struct rkey k = dir_key(id);

	if (!rows_get(v, &k, &d->raw))
		return false;
	struct rd r = rd_of(wr_view(&d->raw));
	d->id = id;
	uint8_t flags = rd_u8(&r);
	d->own = flags & 1;
	d->live = flags & 2;
	d->level = rd_u8(&r);
	d->at = get_stamp(&r);
	d->born = get_stamp(&r);
	d->contested = rd_u32(&r);
	d->subdirs = rd_u32(&r);
	d->named = rd_u32(&r);
	d->mtime_ms = (int64_t)rd_u64(&r);
	d->touched_t = rd_u64(&r);
	d->count = rd_u8(&r);
	if (d->count > CANDIDATES_MAX)
		r.bad = true;
	for (uint8_t n = 0; n < d->count && !r.bad; n++)
		d->cands[n] = get_place(&r);
	return row_done(v, &r);
}

bool cells_glance(struct view *v, struct inode_id id, struct dir_glance *ret)
{
	struct rkey k = dir_key(id);
	struct bytes b;

	if (!rows_peek(v, &k, &b))
		return false;
	struct rd r = rd_of(b);
	ret->live = rd_u8(&r) & 2;
	(void)rd_span(&r, 1 + 16 + 16); /* level, at, born */
	ret->contested = rd_u32(&r);
	if (r.bad)
		rows_fail(v, fail(ERR_DAMAGED));
	return !v->bad;
}

void cells_put_dir(struct view *v, const struct dir_row *d)
{
	struct rkey k = dir_key(d->id);
	struct wr *w = rows_begin(v, &k);

	wr_u8(w, (uint8_t)((d->own ? 1 : 0) | (d->live ? 2 : 0)));
	wr_u8(w, d->level);
	put_stamp(w, d->at);
	put_stamp(w, d->born);
	wr_u32(w, d->contested);
	wr_u32(w, d->subdirs);
	wr_u32(w, d->named);
	wr_u64(w, (uint64_t)d->mtime_ms);
	wr_u64(w, d->touched_t);
	wr_u8(w, d->count);
	for (uint8_t n = 0; n < d->count; n++)
		put_place(w, &d->cands[n]);
	rows_end(v);
}

void cells_dir_fini(struct dir_row *d)
{
	wr_fini(&d->raw);
	*d = (struct dir_row){0};
}

void cells_name(struct view *v, const struct place *p, int32_t by)
{
	if (inode_equal(p->parent, INODE_ROOT)) /* it stays anyway */
		return;
	for (uint32_t k = 0; k < v->named_count; k++) {
		if (inode_equal(v->named[k].id, p->parent)) {
			v->named[k].by += by;
			return;
		}
	}
	struct named *n =
		rows_grow(v, v->named, v->named_count, &v->named_room, sizeof(v->named[0]));
	if (!n)
		return;
	v->named = n;
	n[v->named_count++] = (struct named){p->parent, by};
}

/* ---- places ---- */

static struct rkey place_key(const struct place_row *p)
{
	struct rkey k = rows_key(TABLE_PLACE);

	rows_key_inode(&k, p->parent);
	rows_key_text(&k, (struct bytes){p->name, p->name_len});
	rows_key_name(&k, p->n);
	rows_key_inode(&k, p->i);
	return k;
}

void cells_put_place(struct view *v, const struct place_row *p)
{
	struct rkey k = place_key(p);
	struct wr *w = rows_begin(v, &k);

	wr_u8(w, p->flags);
	wr_u8(w, (uint8_t)p->type);
	put_stamp(w, p->at);
	rows_end(v);
}

void cells_del_place(struct view *v, const struct place_row *p)
{
	struct rkey k = place_key(p);

	rows_del(v, &k);
}

struct walk cells_places(struct inode_id parent, struct bytes name)
{
	struct walk w;

	w.begun = false;
	w.prefix = rows_key(TABLE_PLACE);
	rows_key_inode(&w.prefix, parent);
	rows_key_text(&w.prefix, name);
	return w;
}

bool cells_places_next(struct view *v, struct walk *w, struct place_row *p)
{
	auto_wr value = {0};
	struct bytes name;
	struct rd r;

	if (!rows_each(v, w, &value))
		return false;
	if (!rows_key_place(&w->at, 1, &p->parent, &name, &r) || name.len > NAME_BYTES_MAX) {
		rows_fail(v, fail(ERR_DAMAGED));
		return false;
	}
	p->name_len = (uint16_t)name.len;
	memcpy(p->name, name.at, name.len);
	p->n = ids_rd_key_name(&r);
	p->i = ids_rd_key_inode(&r);
	r = rd_of(wr_view(&value));
	p->flags = rd_u8(&r);
	p->type = rd_u8(&r);
	p->at = get_stamp(&r);
	return row_done(v, &r);
}
