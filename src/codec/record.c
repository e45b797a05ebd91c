// SPDX-License-Identifier: MIT
/*
 * record.c - bytes of records, and all that a record alone can show to be false
 *
 * Records come from our own journal and, inside bundles, from other members.  Whoever holds a
 * decoded record need not look at it again but for what it refers to.
 *
 * I1  what sound() refuses is neither decoded nor encoded
 * I2  encode(decode(x)) is x: flags have no spare bits, lengths are exact, and a body of a known
 *     kind fills its frame
 * I3  a record of an unknown kind keeps its body whole, so that it can be stored and relayed
 *
 * Arrays and vectors that do not stand in the input as C has them live in the arena.
 */
#include "codec/record.h"
#include "codec/manifest.h"
#include <stdlib.h>

enum inode_flags { INODE_BIRTH = 1, INODE_ORIGIN = 2 };
enum link_flags { LINK_PLACE = 1, LINK_PREV = 2, LINK_PINNED = 4 };

/* ---- the arena ---- */

struct block {
	struct block *next;
	struct vector *vec; /* a reference; or NULL, and data[] is used */
	max_align_t data[];
};
struct record_arena {
	struct block *blocks;
};

struct record_arena *record_arena_new(void)
{
	return calloc(1, sizeof(struct record_arena));
}

void record_arena_free(struct record_arena *a)
{
	if (!a)
		return;
	while (a->blocks) {
		struct block *b = a->blocks;
		a->blocks = b->next;
		vector_unref(b->vec);
		free(b);
	}
	free(a);
}

static struct block *block_new(struct record_arena *a, size_t len)
{
	struct block *b = malloc(sizeof(*b) + len);

	if (!b)
		return NULL;
	b->vec = NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

/* ---- what is sound ---- */

static bool inc_sound(uint64_t inc)
{
	return inc != 0 && (inc & DERIVED_BIT) == 0;
}

static bool dot_sound(struct dot d)
{
	return inc_sound(d.inc) && d.op != 0;
}

static bool inode_sound(struct inode_id i)
{
	if (inode_equal(i, INODE_ROOT) || inode_derived(i))
		return true;
	return i.inc != 0 && i.op != 0;
}

static bool place_sound(const struct place *p)
{
	return inode_sound(p->parent) && name_ok(p->name);
}

static bool content_sound(struct bytes content)
{
	struct manifest m;

	return manifest_decode(content, &m) == ERR_OK;
}

static bool where_sound(struct where in)
{
	return (in.inc & DERIVED_BIT) == 0 && (in.inc != 0 || in.seq == 0);
}

static bool attr_sound(const struct attr_value *v)
{
	switch (v->field) {
	case ATTR_MODE:
		return v->mode <= 07777;
	case ATTR_OWNER:
	case ATTR_TIMES:
		return true;
	case ATTR_XATTR:
		if (v->xattr.key.len == 0 || v->xattr.key.len > XATTR_NAME_MAX_BYTES)
			return false;
		if (memchr(v->xattr.key.at, 0, v->xattr.key.len))
			return false;
		return v->xattr.value.len <= XATTR_VALUE_MAX_BYTES;
	default:
		return false;
	}
}

/* A promoted copy is what its version says: its id, its birth and its type follow from that. */
static bool origin_sound(const struct record *r)
{
	const struct rec_inode *i = &r->ino;
	struct stamp of = {i->origin.t, i->origin.dot.inc};

	if (i->type != TYPE_FILE || stamp_compare(i->born, of) != 0)
		return false;
	if (!inode_sound(i->origin_inode) || inode_equal(i->origin_inode, INODE_ROOT))
		return false;
	if (!dot_sound(i->origin.dot) || !where_sound(i->origin.in))
		return false;
	if (!inode_equal(r->inode, hash_copy_id(i->origin_inode, i->origin.dot)))
		return false;
	if (!content_sound(i->origin.content) || i->attrs_count > RECORD_ATTRS_MAX)
		return false;
	for (uint32_t k = 0; k < i->attrs_count; k++)
		if (!inc_sound(i->attrs[k].stamp.inc) || !attr_sound(&i->attrs[k].v))
			return false;
	return true;
}

static bool rec_inode_sound(const struct record *r)
{
	const struct rec_inode *i = &r->ino;
	bool device = i->type == TYPE_CHAR || i->type == TYPE_BLOCK;
	bool symlink = i->type == TYPE_SYMLINK;

	if (i->type < TYPE_FILE || i->type > TYPE_BLOCK || (i->rdev && !device))
		return false;
	if (symlink != (i->target.len > 0) || i->target.len > SYMLINK_BYTES_MAX)
		return false;
	if (symlink && memchr(i->target.at, 0, i->target.len))
		return false;
	if (i->has_birth != (i->type == TYPE_DIR) || (i->has_birth && !place_sound(&i->birth)))
		return false;
	if (i->has_origin)
		return origin_sound(r);
	return r->inode.inc == r->dot.inc && r->inode.op == r->dot.op && i->born.inc == r->dot.inc;
}

static bool rec_link_sound(const struct record *r)
{
	const struct rec_link *l = &r->link;

	if (inode_equal(r->inode, INODE_ROOT) || !inc_sound(l->name.inc))
		return false;
	if (!l->has_place && (!l->has_prev || l->pinned))
		return false;
	if (l->has_place && !place_sound(&l->place))
		return false;
	return !l->has_prev || place_sound(&l->prev);
}

static bool rec_content_sound(const struct record *r)
{
	const struct rec_content *c = &r->content;

	if (inode_equal(r->inode, INODE_ROOT) || c->bases_count > RECORD_BASES_MAX)
		return false;
	for (uint32_t k = 0; k < c->bases_count; k++)
		if (!dot_sound(c->bases[k]))
			return false;
	return c->dropped ? c->bases_count > 0 : content_sound(c->content);
}

static bool sound(const struct record *r)
{
	if (r->kind == 0 || !dot_sound(r->dot) || !inode_sound(r->inode))
		return false;
	switch (r->kind) {
	case REC_INODE:
		return rec_inode_sound(r);
	case REC_LINK:
		return rec_link_sound(r);
	case REC_CONTENT:
		return rec_content_sound(r);
	case REC_ATTR:
		return attr_sound(&r->attr);
	default:
		return r->unknown.len <= RECORD_BYTES_MAX - RECORD_HEAD;
	}
}

/* ---- encoding ---- */

static void dot_encode(struct wr *w, struct dot d)
{
	wr_u64(w, d.inc);
	wr_u64(w, d.op);
}

static void inode_encode(struct wr *w, struct inode_id i)
{
	dot_encode(w, (struct dot){i.inc, i.op});
}

static void place_encode(struct wr *w, const struct place *p)
{
	inode_encode(w, p->parent);
	wr_u8(w, (uint8_t)p->name.len);
	wr_bytes(w, p->name);
}

static void attr_encode(struct wr *w, const struct attr_value *v)
{
	wr_u8(w, (uint8_t)v->field);
	switch (v->field) {
	case ATTR_MODE:
		wr_u32(w, v->mode);
		break;
	case ATTR_OWNER:
		wr_u32(w, v->owner.uid);
		wr_u32(w, v->owner.gid);
		break;
	case ATTR_TIMES:
		wr_u64(w, (uint64_t)v->mtime_ns);
		break;
	case ATTR_XATTR:
		wr_u8(w, (uint8_t)v->xattr.key.len);
		wr_bytes(w, v->xattr.key);
		wr_u8(w, v->xattr.value.at != NULL);
		if (v->xattr.value.at) {
			wr_u32(w, (uint32_t)v->xattr.value.len);
			wr_bytes(w, v->xattr.value);
		}
		break;
	}
}

static void content_encode(struct wr *w, struct bytes content)
{
	assert(content.len <= MANIFEST_BYTES_MAX);
	wr_u16(w, (uint16_t)content.len);
	wr_bytes(w, content);
}

void version_encode(struct wr *w, const struct version *v)
{
	dot_encode(w, v->dot);
	wr_u64(w, v->t);
	wr_u64(w, v->in.inc);
	wr_u64(w, v->in.seq);
	vector_encode(w, v->vec);
	wr_u64(w, (uint64_t)v->mtime_ns);
	content_encode(w, v->content);
}

static void rec_inode_encode(struct wr *w, const struct rec_inode *i)
{
	wr_u8(w, (uint8_t)i->type);
	wr_u8(w, (uint8_t)((i->has_birth ? INODE_BIRTH : 0) | (i->has_origin ? INODE_ORIGIN : 0)));
	wr_u64(w, i->born.t);
	wr_u64(w, i->born.inc);
	wr_u32(w, i->rdev);
	wr_u16(w, (uint16_t)i->target.len);
	wr_bytes(w, i->target);
	if (i->has_birth)
		place_encode(w, &i->birth);
	if (!i->has_origin)
		return;
	inode_encode(w, i->origin_inode);
	version_encode(w, &i->origin);
	wr_u16(w, (uint16_t)i->attrs_count);
	for (uint32_t k = 0; k < i->attrs_count; k++) {
		wr_u64(w, i->attrs[k].stamp.t);
		wr_u64(w, i->attrs[k].stamp.inc);
		attr_encode(w, &i->attrs[k].v);
	}
}

static void rec_link_encode(struct wr *w, const struct rec_link *l)
{
	wr_u64(w, l->name.t);
	wr_u64(w, l->name.inc);
	wr_u64(w, l->name.h);
	wr_u8(w, (uint8_t)((l->has_place ? LINK_PLACE : 0) | (l->has_prev ? LINK_PREV : 0) |
			   (l->pinned ? LINK_PINNED : 0)));
	if (l->has_place)
		place_encode(w, &l->place);
	if (l->has_prev)
		place_encode(w, &l->prev);
}

static void rec_content_encode(struct wr *w, const struct rec_content *c)
{
	wr_u8(w, c->dropped);
	wr_u16(w, (uint16_t)c->bases_count);
	for (uint32_t k = 0; k < c->bases_count; k++)
		dot_encode(w, c->bases[k]);
	if (c->dropped)
		return;
	wr_u64(w, (uint64_t)c->mtime_ns);
	content_encode(w, c->content);
}

void record_encode(struct wr *w, const struct record *r)
{
	size_t start = w->len;

	assert(sound(r)); /* I1 */
	wr_u32(w, 0);
	wr_u8(w, r->kind);
	dot_encode(w, r->dot);
	wr_u64(w, r->t);
	wr_u64(w, (uint64_t)r->wall_ms);
	inode_encode(w, r->inode);
	switch (r->kind) {
	case REC_INODE:
		rec_inode_encode(w, &r->ino);
		break;
	case REC_LINK:
		rec_link_encode(w, &r->link);
		break;
	case REC_CONTENT:
		rec_content_encode(w, &r->content);
		break;
	case REC_ATTR:
		attr_encode(w, &r->attr);
		break;
	default:
		wr_bytes(w, r->unknown);
		break;
	}
	if (w->bad)
		return;
	assert(w->len - start <= RECORD_BYTES_MAX);
	wr_patch_u32(w, start, (uint32_t)(w->len - start - 4));
}

static size_t place_bytes(const struct place *p)
{
	return INODE_ID_LEN + 1 + p->name.len;
}

static size_t attr_bytes(const struct attr_value *v)
{
	switch (v->field) {
	case ATTR_MODE:
		return 1 + 4;
	case ATTR_OWNER:
	case ATTR_TIMES:
		return 1 + 8;
	case ATTR_XATTR:
		break;
	}
	size_t value = v->xattr.value.at ? 4 + v->xattr.value.len : 0;
	return 1 + 1 + v->xattr.key.len + 1 + value;
}

#define VECTOR_ENTRY_BYTES 16
#define VERSION_FIXED_BYTES (DOT_LEN + 8 + 16 + 4 + 8 + 2)
#define INODE_FIXED_BYTES (1 + 1 + 16 + 4 + 2)

static size_t rec_inode_bytes(const struct rec_inode *i)
{
	size_t n = INODE_FIXED_BYTES + i->target.len + (i->has_birth ? place_bytes(&i->birth) : 0);

	if (!i->has_origin)
		return n;
	n += INODE_ID_LEN + VERSION_FIXED_BYTES + i->origin.content.len + 2;
	if (i->origin.vec)
		n += (size_t)i->origin.vec->count * VECTOR_ENTRY_BYTES;
	for (uint32_t k = 0; k < i->attrs_count; k++)
		n += 16 + attr_bytes(&i->attrs[k].v);
	return n;
}

size_t record_bytes(const struct record *r)
{
	switch (r->kind) {
	case REC_INODE:
		return RECORD_HEAD + rec_inode_bytes(&r->ino);
	case REC_LINK:
		return RECORD_HEAD + NAME_ID_LEN + 1 +
		       (r->link.has_place ? place_bytes(&r->link.place) : 0) +
		       (r->link.has_prev ? place_bytes(&r->link.prev) : 0);
	case REC_CONTENT:
		return RECORD_HEAD + 3 + (size_t)r->content.bases_count * DOT_LEN +
		       (r->content.dropped ? 0 : 8 + 2 + r->content.content.len);
	case REC_ATTR:
		return RECORD_HEAD + attr_bytes(&r->attr);
	default:
		return RECORD_HEAD + r->unknown.len;
	}
}

/* ---- decoding: shapes only; sound() judges the values ---- */

static struct dot dot_read(struct rd *r)
{
	uint64_t inc = rd_u64(r);

	return (struct dot){inc, rd_u64(r)};
}

static struct inode_id inode_read(struct rd *r)
{
	struct dot d = dot_read(r);

	return (struct inode_id){d.inc, d.op};
}

static struct stamp stamp_read(struct rd *r)
{
	uint64_t t = rd_u64(r);

	return (struct stamp){t, rd_u64(r)};
}

static uint8_t flags_read(struct rd *r, uint8_t known)
{
	uint8_t flags = rd_u8(r);

	if (flags & ~known) /* I2 */
		r->bad = true;
	return flags;
}

/*
 * A place.
 *	0	16	parent	inode
 *	16	1	length	of the name
 *	17	n	name	name_ok()
 */
static void place_read(struct rd *r, struct place *ret)
{
	ret->parent = inode_read(r);
	ret->name = rd_bytes(r, rd_u8(r));
}

static void attr_read(struct rd *r, struct attr_value *ret)
{
	ret->field = rd_u8(r);
	switch (ret->field) {
	case ATTR_MODE:
		ret->mode = rd_u32(r);
		break;
	case ATTR_OWNER:
		ret->owner.uid = rd_u32(r);
		ret->owner.gid = rd_u32(r);
		break;
	case ATTR_TIMES:
		ret->mtime_ns = (int64_t)rd_u64(r);
		break;
	case ATTR_XATTR:
		ret->xattr.key = rd_bytes(r, rd_u8(r));
		if (flags_read(r, 1))
			ret->xattr.value = rd_bytes(r, rd_u32(r));
		break;
	default:
		r->bad = true;
		break;
	}
}

/*
 * A version.
 *	0	16	dot
 *	16	8	t
 *	24	16	in	incarnation and sequence of its bundle
 *	40	4+16n	vector	count, then incarnation and sequence each
 *	..	8	mtime	ns since 1970
 *	..	2	length	of the manifest
 *	..	n	content	the manifest
 */
static enum err version_read(struct rd *r, struct record_arena *a, struct version *ret)
{
	ret->dot = dot_read(r);
	ret->t = rd_u64(r);
	ret->in.inc = rd_u64(r);
	ret->in.seq = rd_u64(r);
	struct block *b = block_new(a, 0);
	if (!b)
		return fail(ERR_NOMEM);
	enum err e = vector_decode(r, &b->vec);
	if (e)
		return e;
	ret->vec = b->vec;
	ret->mtime_ns = (int64_t)rd_u64(r);
	ret->content = rd_bytes(r, rd_u16(r));
	return r->bad ? fail(ERR_MALFORMED) : ERR_OK;
}

enum err version_decode(struct rd *r, struct record_arena *a, struct version *ret)
{
	struct version v;

	memset(&v, 0, sizeof(v));
	enum err e = version_read(r, a, &v);
	if (e)
		return e;
	if (!dot_sound(v.dot) || !where_sound(v.in) || !content_sound(v.content))
		return fail(ERR_MALFORMED);
	*ret = v;
	return ERR_OK;
}

#define STAMPED_ATTR_BYTES_MIN 21 /* a stamp and a mode */

static enum err attrs_read(struct rd *r, struct record_arena *a, struct rec_inode *ret)
{
	uint32_t count = rd_u16(r);

	if (r->bad || count > RECORD_ATTRS_MAX ||
	    rd_left(r) < (size_t)count * STAMPED_ATTR_BYTES_MIN)
		return fail(ERR_MALFORMED);
	struct block *b = block_new(a, count * sizeof(struct stamped_attr));
	if (!b)
		return fail(ERR_NOMEM);
	struct stamped_attr *at = (void *)b->data;
	for (uint32_t k = 0; k < count; k++) {
		memset(&at[k], 0, sizeof(at[k]));
		at[k].stamp = stamp_read(r);
		attr_read(r, &at[k].v);
	}
	ret->attrs = at;
	ret->attrs_count = count;
	return ERR_OK;
}

/*
 * The body of an inode record.
 *	0	1	type	enum inode_type
 *	1	1	flags	1 birth place, 2 origin
 *	2	16	born	stamp
 *	18	4	rdev	devices
 *	22	2	length	of the target
 *	24	n	target	symlinks
 *	..		birth	place: directories
 *	..		origin	inode 16, version, count 2, (stamp 16, attribute) each
 */
static enum err rec_inode_read(struct rd *r, struct record_arena *a, struct rec_inode *ret)
{
	ret->type = rd_u8(r);
	uint8_t flags = flags_read(r, INODE_BIRTH | INODE_ORIGIN);
	ret->born = stamp_read(r);
	ret->rdev = rd_u32(r);
	ret->target = rd_bytes(r, rd_u16(r));
	ret->has_birth = (flags & INODE_BIRTH) != 0;
	ret->has_origin = (flags & INODE_ORIGIN) != 0;
	if (ret->has_birth)
		place_read(r, &ret->birth);
	if (!ret->has_origin)
		return ERR_OK;
	ret->origin_inode = inode_read(r);
	enum err e = version_read(r, a, &ret->origin);
	return e ? e : attrs_read(r, a, ret);
}

/*
 * The body of a link record.
 *	0	24	name	birth stamp and h
 *	24	1	flags	1 place, 2 previous place, 4 pinned
 *	25		place, previous place
 */
static enum err rec_link_read(struct rd *r, struct rec_link *ret)
{
	ret->name.t = rd_u64(r);
	ret->name.inc = rd_u64(r);
	ret->name.h = rd_u64(r);
	uint8_t flags = flags_read(r, LINK_PLACE | LINK_PREV | LINK_PINNED);
	ret->has_place = (flags & LINK_PLACE) != 0;
	ret->has_prev = (flags & LINK_PREV) != 0;
	ret->pinned = (flags & LINK_PINNED) != 0;
	if (ret->has_place)
		place_read(r, &ret->place);
	if (ret->has_prev)
		place_read(r, &ret->prev);
	return ERR_OK;
}

/*
 * The body of a content record.
 *	0	1	dropped	1: bases are taken away, and nothing follows them
 *	1	2	count	of bases
 *	3	16 each	bases	dots
 *	..	8	mtime	ns since 1970
 *	..	2	length	of the manifest
 *	..	n	content	the manifest
 */
static enum err rec_content_read(struct rd *r, struct record_arena *a, struct rec_content *ret)
{
	ret->dropped = flags_read(r, 1) != 0;
	ret->bases_count = rd_u16(r);
	if (r->bad || ret->bases_count > RECORD_BASES_MAX ||
	    rd_left(r) < (size_t)ret->bases_count * DOT_LEN)
		return fail(ERR_MALFORMED);
	if (ret->bases_count) {
		struct block *b = block_new(a, ret->bases_count * sizeof(struct dot));
		if (!b)
			return fail(ERR_NOMEM);
		struct dot *bases = (void *)b->data;
		for (uint32_t k = 0; k < ret->bases_count; k++)
			bases[k] = dot_read(r);
		ret->bases = bases;
	}
	if (ret->dropped)
		return ERR_OK;
	ret->mtime_ns = (int64_t)rd_u64(r);
	ret->content = rd_bytes(r, rd_u16(r));
	return ERR_OK;
}

static enum err body_read(struct rd *r, struct record_arena *a, struct record *ret)
{
	switch (ret->kind) {
	case REC_INODE:
		return rec_inode_read(r, a, &ret->ino);
	case REC_LINK:
		return rec_link_read(r, &ret->link);
	case REC_CONTENT:
		return rec_content_read(r, a, &ret->content);
	case REC_ATTR:
		attr_read(r, &ret->attr);
		return ERR_OK;
	default: /* I3 */
		ret->unknown = rd_bytes(r, rd_left(r));
		return ERR_OK;
	}
}

/*
 * A record.
 *	0	4	length	of what follows
 *	4	1	kind	enum record_kind
 *	5	16	dot	incarnation, operation
 *	21	8	t	hybrid clock
 *	29	8	wall	ms since 1970
 *	37	16	inode
 *	53		body
 */
enum err record_decode(struct rd *r, struct record_arena *a, struct record *ret)
{
	struct record c;
	uint32_t len = rd_u32(r);

	if (r->bad || len > RECORD_BYTES_MAX - 4)
		return fail(ERR_MALFORMED);
	struct bytes frame = rd_bytes(r, len);
	if (r->bad)
		return fail(ERR_MALFORMED);
	struct rd f = rd_of(frame);
	memset(&c, 0, sizeof(c));
	c.kind = rd_u8(&f);
	c.dot = dot_read(&f);
	c.t = rd_u64(&f);
	c.wall_ms = (int64_t)rd_u64(&f);
	c.inode = inode_read(&f);
	if (f.bad)
		return fail(ERR_MALFORMED);
	enum err e = body_read(&f, a, &c);
	if (e)
		return e;
	if (!rd_done(&f) || !sound(&c))
		return fail(ERR_MALFORMED);
	*ret = c;
	return ERR_OK;
}
