// SPDX-License-Identifier: MIT
/*
 * pin.c - writing down shown places, so that an operation changes nothing else (merge.md 3)
 *
 * An entry that is shown where it is only because of another (a loser, a copy, a kept file, a
 * survivor, a directory whose move is skipped) would move when that other goes.  Before the records
 * of an operation, such entries get a record of their own that says where they are.
 */
#include "core/pin.h"
#include "base/hash.h"
#include <stdlib.h>

struct op pin_begin(struct view *v, const struct emitter *e)
{
	v->bad = ERR_OK;
	return (struct op){.v = v, .e = e, .bad = ERR_OK};
}

bool pin_ok(struct op *op)
{
	if (!op->bad)
		op->bad = op->v->bad;
	return !op->bad;
}

void pin_emit(struct op *op, struct record *r)
{
	if (pin_ok(op))
		op->bad = op->e->emit(op->e->arg, r);
}

struct but pin_but(const struct showing *a, const struct showing *b)
{
	struct but x = {0};

	if (a)
		x.at[x.count++] = a->s.id;
	if (b)
		x.at[x.count++] = b->s.id;
	return x;
}

static struct but but_also(const struct but *but, struct inode_id id)
{
	struct but x = *but;

	assert(x.count < ARRAY_LEN(x.at));
	x.at[x.count++] = id;
	return x;
}

static bool excepted(const struct but *but, struct inode_id id)
{
	for (uint32_t k = 0; k < but->count; k++)
		if (inode_equal(but->at[k], id))
			return true;
	return false;
}

void pin_list_fini(struct list *l)
{
	for (uint32_t k = 0; k < l->count; k++)
		place_showing_fini(&l->at[k]);
	free(l->at);
	*l = (struct list){0};
}

void pin_list_add(struct op *op, struct list *l, const struct showing *s)
{
	struct showing *p = rows_grow(op->v, l->at, l->count, &l->room, sizeof(l->at[0]));

	if (!p)
		return;
	l->at = p;
	p[l->count] = (struct showing){0};
	place_showing_copy(op->v, &p[l->count++], s);
}

static int derived_compare(const void *a, const void *b)
{
	const struct showing *x = a, *y = b;
	int c = stamp_compare(x->at, y->at);

	return c ? c : inode_compare(x->s.id, y->s.id);
}

void pin_derived(struct op *op, struct inode_id dir, struct list *ret)
{
	const struct overlay *o;

	if (!pin_ok(op) || !place_overlay(op->v, dir, &o))
		return;
	for (uint32_t k = 0; o && k < o->count; k++)
		pin_list_add(op, ret, o->at[k]);
	if (ret->count)
		qsort(ret->at, ret->count, sizeof(ret->at[0]), derived_compare);
}

/* The shown copies of i (only those beside name n, when given), except but. */
static void copies(struct op *op, struct inode_id i, const struct name_id *n, const struct but *but,
		   struct list *ret)
{
	auto_inode row = {0};
	auto_list all = {0};
	struct place_row anchor;

	if (!pin_ok(op) || !cells_inode(op->v, i, &row) || row.heads_count < 2 ||
	    !reg_anchor(op->v, &row, &anchor))
		return;
	pin_derived(op, anchor.parent, &all);
	for (uint32_t k = 0; k < all.count; k++) {
		const struct shown *s = &all.at[k].s;
		if (s->kind == SHOWN_COPY && inode_equal(s->file, i) &&
		    (!n || name_id_compare(*n, s->n) == 0) && !excepted(but, s->id))
			pin_list_add(op, ret, &all.at[k]);
	}
}

/* ---- records ---- */

void pin_put(struct op *op, struct name_id n, struct inode_id i, const struct place *at,
	     const struct place *prev, bool pinned)
{
	struct record r = {.kind = REC_LINK, .inode = i};

	r.link.name = n;
	r.link.pinned = pinned;
	r.link.has_place = at != NULL;
	r.link.has_prev = prev != NULL;
	if (at)
		r.link.place = *at;
	if (prev)
		r.link.prev = *prev;
	pin_emit(op, &r);
}

void pin_remove(struct op *op, struct name_id n, struct inode_id i, const struct place *prev)
{
	pin_put(op, n, i, NULL, prev, false);
}

void pin_put_dir(struct op *op, struct inode_id d, const struct place *at, const struct place *prev)
{
	struct walk w = cells_links(d);
	auto_link l = {0};
	auto_inode i = {0};

	if (!pin_ok(op) || !cells_inode(op->v, d, &i))
		return;
	struct name_id n = {i.born.t, i.born.inc, 0};
	if (cells_links_next(op->v, &w, &l))
		n = l.n;
	pin_put(op, n, d, at, prev, false);
}

/* Versions of i hidden behind that one, and the one itself if own. */
static uint32_t versions_behind(struct op *op, struct inode_id i, struct dot of, bool own,
				struct dot **ret)
{
	auto_inode row = {0};
	uint32_t count = 0, at = 0;

	*ret = NULL;
	if (!pin_ok(op) || !cells_inode(op->v, i, &row))
		return 0;
	while (at < row.heads_count && dot_compare(row.heads[at].o.dot, of) != 0)
		at++;
	struct dot *dots = malloc(MAX(row.heads_count, 1u) * sizeof(*dots));
	int32_t *behind = reg_behind(op->v, &row);
	if (!dots)
		rows_fail(op->v, fail(ERR_NOMEM));
	for (uint32_t k = 0; dots && behind && k < row.heads_count; k++)
		if ((k == at && own) || behind[k] == (int32_t)at)
			dots[count++] = row.heads[k].o.dot;
	free(behind);
	*ret = dots;
	return count;
}

void pin_drop(struct op *op, const struct showing *s, bool own)
{
	struct dot *dots;
	uint32_t count = versions_behind(op, s->s.file, s->s.version, own, &dots);

	for (uint32_t k = 0; k < count; k += RECORD_BASES_MAX) {
		struct record r = {.kind = REC_CONTENT, .inode = s->s.file};
		r.content.dropped = true;
		r.content.bases = dots + k;
		r.content.bases_count = MIN(count - k, (uint32_t)RECORD_BASES_MAX);
		pin_emit(op, &r);
	}
	free(dots);
}

/* ---- promotion ---- */

struct attrs { /* of an inode, with their stamps; bytes: what keys and values point into */
	uint32_t count, room;
	struct stamped_attr *at;
	struct wr bytes;
};

static struct stamped_attr *attrs_add(struct op *op, struct attrs *a, enum attr_field field,
				      struct stamp at)
{
	static const struct stamp never;

	if (stamp_compare(at, never) == 0 || a->count == RECORD_ATTRS_MAX)
		return NULL;
	struct stamped_attr *p = rows_grow(op->v, a->at, a->count, &a->room, sizeof(a->at[0]));
	if (!p)
		return NULL;
	a->at = p;
	p[a->count] = (struct stamped_attr){.stamp = at, .v = {.field = field}};
	return &p[a->count++];
}

static void gather_xattrs(struct op *op, struct inode_id i, struct attrs *a)
{
	struct walk w = {.prefix = reg_xattr_key(i, (struct bytes){NULL, 0})};
	auto_wr value = {0};
	size_t at = 0;
	uint32_t first = a->count;

	while (rows_each(op->v, &w, &value)) {
		struct rd r = rd_of(wr_view(&value));
		uint64_t t = rd_u64(&r);
		struct stamp st = {t, rd_u64(&r)};
		bool set = rd_u8(&r);
		struct bytes key = {w.at.b + w.prefix.len, w.at.len - w.prefix.len};
		struct stamped_attr *x = attrs_add(op, a, ATTR_XATTR, st);
		if (!x)
			break;
		x->v.xattr.key.len = key.len;
		x->v.xattr.value = (struct bytes){NULL, rd_left(&r)};
		wr_bytes(&a->bytes, key);
		wr_bytes(&a->bytes, rd_bytes(&r, rd_left(&r)));
		wr_u8(&a->bytes, set);
	}
	rows_wr(op->v, &a->bytes);
	for (uint32_t k = first; k < a->count && !op->v->bad; k++) {
		/* The buffer moves no more: point into it. */
		struct stamped_attr *x = &a->at[k];
		size_t value_len = x->v.xattr.value.len;
		x->v.xattr.key.at = a->bytes.at + at;
		at += x->v.xattr.key.len;
		bool set = a->bytes.at[at + value_len];
		x->v.xattr.value =
			set ? (struct bytes){a->bytes.at + at, value_len} : (struct bytes){NULL, 0};
		at += value_len + 1;
	}
}

static void gather_attrs(struct op *op, const struct inode_row *i, struct attrs *a)
{
	struct stamped_attr *x = attrs_add(op, a, ATTR_MODE, i->mode_at);

	if (x)
		x->v.mode = i->mode;
	x = attrs_add(op, a, ATTR_OWNER, i->owner_at);
	if (x) {
		x->v.owner.uid = i->uid;
		x->v.owner.gid = i->gid;
	}
	x = attrs_add(op, a, ATTR_TIMES, i->times_at);
	if (x)
		x->v.mtime_ns = i->mtime_ns;
	gather_xattrs(op, i->id, a);
}

static void emit_copy(struct op *op, const struct showing *s, uint64_t *version_t)
{
	struct record r = {.kind = REC_INODE, .inode = s->s.id};
	auto_inode i = {0};
	struct attrs a = {0};
	struct version ver;
	auto_wr content = {0};

	if (!pin_ok(op) || !cells_inode(op->v, s->s.file, &i))
		return;
	enum err e = facts_version(op->v, s->s.file, s->s.version, &ver);
	if (e == ERR_NOENT) /* a pin before this one promoted it: say the same once more */
		e = facts_version(op->v, s->s.id, s->s.version, &ver);
	if (e) {
		op->bad = e;
		return;
	}
	*version_t = ver.t;
	const struct vector *vec = vector_ref(ver.vec);
	wr_bytes(&content, ver.content);
	rows_wr(op->v, &content);
	gather_attrs(op, &i, &a);
	ver.vec = vec;
	ver.content = wr_view(&content);
	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){ver.t, ver.dot.inc};
	r.ino.has_origin = true;
	r.ino.origin_inode = s->s.file;
	r.ino.origin = ver;
	r.ino.attrs = a.at;
	r.ino.attrs_count = a.count;
	pin_emit(op, &r);
	vector_unref(vec);
	free(a.at);
	wr_fini(&a.bytes);
}

void pin_promote(struct op *op, const struct showing *s, const struct place *at, bool pinned,
		 const struct name_id *n, const struct but *but)
{
	uint64_t t = 0;

	pin_keep(op, s, but);
	pin_drop(op, s, false);
	emit_copy(op, s, &t);
	struct name_id own = {t, s->s.version.inc, s->s.id.op};
	pin_put(op, n ? *n : own, s->s.id, at, NULL, pinned);
}

static void promote_all(struct op *op, const struct list *l)
{
	static const struct but none;

	for (uint32_t k = 0; k < l->count; k++) {
		struct place at = pin_place(&l->at[k]);
		pin_promote(op, &l->at[k], &at, true, NULL, &none);
	}
}

/* ---- pins ---- */

void pin_entry(struct op *op, const struct showing *s, const struct but *but, bool pinned,
	       struct inode_id *ret)
{
	struct place at = pin_place(s);
	auto_list beside = {0};

	if (ret)
		*ret = s->s.id;
	if (s->s.kind == SHOWN_COPY) {
		pin_promote(op, s, &at, pinned, NULL, but);
		return;
	}
	bool lost = s->s.suffixed;
	if (lost) {
		copies(op, s->s.id, &s->s.n, but, &beside);
		pin_remove_hidden(op, s->hidden, s->hidden_count, but);
	}
	pin_put(op, s->s.n, s->s.id, &at, NULL, pinned && lost);
	promote_all(op, &beside); /* they were shown beside the nominal name */
}

void pin_own_name(struct op *op, const struct showing *s)
{
	static const struct but none;

	if (s->s.kind == SHOWN_COPY || s->s.kept)
		pin_entry(op, s, &none, true, NULL);
}

void pin_keep(struct op *op, const struct showing *s, const struct but *but)
{
	struct but more = but_also(but, s->s.id);
	auto_inode i = {0};
	auto_showing o = {0};
	struct place_row kept;

	if (!pin_ok(op) || reg_live_name(op->v, s->s.file, NULL) ||
	    !cells_inode(op->v, s->s.file, &i) || !reg_kept(op->v, &i, &kept))
		return;
	enum err e = place_of_name(op->v, &kept, &o);
	if (e == ERR_NOENT) { /* hidden behind an equal one: a place would be newer than that */
		struct name_of hidden = {s->s.n, s->s.file};
		pin_remove_hidden(op, &hidden, 1, &more);
		return;
	}
	if (pin_ok(op))
		pin_entry(op, &o, &more, true, NULL);
}

void pin_copies(struct op *op, struct inode_id i, const struct name_id *n, const struct but *but)
{
	auto_list all = {0};

	copies(op, i, n, but, &all);
	for (uint32_t k = 0; k < all.count; k++)
		pin_entry(op, &all.at[k], but, true, NULL);
}

/* The place of a name, or the one it was removed from last. */
static bool place_or_prev(struct op *op, struct name_id n, struct inode_id i, struct link_row *l,
			  struct place *ret)
{
	if (!pin_ok(op) || !cells_link(op->v, i, n, l) || l->count == 0)
		return false;
	int32_t at = reg_placed(l);
	if (at >= 0) {
		*ret = l->heads[at].place;
		return true;
	}
	uint32_t last = 0;
	for (uint32_t k = 1; k < l->count; k++)
		if (stamp_compare(reg_stamp(&l->heads[last].o), reg_stamp(&l->heads[k].o)) < 0)
			last = k;
	*ret = l->heads[last].prev;
	return l->heads[last].has_prev;
}

void pin_remove_hidden(struct op *op, const struct name_of *at, uint32_t count,
		       const struct but *but)
{
	for (uint32_t k = 0; k < count; k++) {
		auto_list beside = {0};
		auto_link l = {0};
		struct place prev;

		copies(op, at[k].i, &at[k].n, but, &beside);
		if (place_or_prev(op, at[k].n, at[k].i, &l, &prev))
			pin_remove(op, at[k].n, at[k].i, &prev);
		promote_all(op, &beside);
	}
}

static int name_of_compare(const void *a, const void *b)
{
	const struct name_of *x = a, *y = b;
	int c = name_id_compare(x->n, y->n);

	return c ? c : inode_compare(x->i, y->i);
}

/* Add of entry o's hidden names those of inode i, or all if o is i itself. */
static void add_hidden(struct op *op, const struct showing *o, struct inode_id i,
		       struct name_of **at, uint32_t *count, uint32_t *room)
{
	for (uint32_t k = 0; k < o->hidden_count; k++) {
		if (!inode_equal(o->s.id, i) && !inode_equal(o->hidden[k].i, i))
			continue;
		struct name_of *p = rows_grow(op->v, *at, *count, room, sizeof(**at));
		if (!p)
			return;
		*at = p;
		p[(*count)++] = o->hidden[k];
	}
}

/* All entries that hide or are names at the place of one name of inode i. */
static void hidden_at(struct op *op, const struct place_row *p, struct inode_id i,
		      struct name_of **at, uint32_t *count, uint32_t *room)
{
	auto_list derived = {0};
	auto_showing o = {0};
	struct bytes name = {p->name, p->name_len};

	if (place_lookup(op->v, p->parent, name, &o) == ERR_OK && !o.s.suffixed)
		add_hidden(op, &o, i, at, count, room);
	pin_derived(op, p->parent, &derived);
	for (uint32_t k = 0; k < derived.count; k++) {
		const struct shown *s = &derived.at[k].s;
		if (s->kind == SHOWN_LINK &&
		    bytes_equal((struct bytes){s->nominal, s->nominal_len}, name))
			add_hidden(op, &derived.at[k], i, at, count, room);
	}
}

struct name_of *pin_hidden_by(struct op *op, const struct showing *s, uint32_t *count)
{
	struct walk w = cells_links(s->s.id);
	auto_inode i = {0};
	struct place_row p;
	struct name_of *at = NULL;
	uint32_t room = 0, left = 0;
	bool any = false;

	*count = 0;
	if (s->s.kind != SHOWN_LINK || !pin_ok(op) || !cells_inode(op->v, s->s.id, &i))
		return NULL;
	for (; reg_next_place(op->v, &w, &i, &p); any = true)
		if (dirs_any_union(op->v) ||
		    place_contested(op->v, p.parent, (struct bytes){p.name, p.name_len}))
			hidden_at(op, &p, i.id, &at, count, &room);
	if (!any && reg_kept(op->v, &i, &p))
		hidden_at(op, &p, i.id, &at, count, &room);
	if (*count)
		qsort(at, *count, sizeof(*at), name_of_compare);
	for (uint32_t k = 0; k < *count; k++) /* a place may have been looked at twice */
		if (k == 0 || name_of_compare(&at[left - 1], &at[k]) != 0)
			at[left++] = at[k];
	*count = left;
	return at;
}

static bool same_name(const struct showing *a, const struct showing *b)
{
	return a && name_id_compare(a->s.n, b->s.n) == 0 && inode_equal(a->s.id, b->s.id);
}

struct dead { /* directories above an entry that live only for survivors */
	struct inode_id *at;
	uint32_t count, room;
};

static void find_dead(struct op *op, struct inode_id dir, struct dead *ret)
{
	while (pin_ok(op) && !inode_equal(dir, INODE_ROOT)) {
		auto_parts parts = {0};
		auto_dir d = {0};
		if (!dirs_parts(op->v, dir, &parts))
			return;
		for (uint32_t k = 0; k < parts.count && cells_dir(op->v, parts.at[k], &d); k++) {
			if (d.own)
				continue;
			struct inode_id *p =
				rows_grow(op->v, ret->at, ret->count, &ret->room, sizeof(*ret->at));
			if (!p)
				return;
			ret->at = p;
			p[ret->count++] = d.id;
		}
		if (!cells_dir(op->v, parts.at[0], &d))
			return;
		dir = dirs_effective(&d)->parent;
	}
}

/* They get their place back. */
static void revive_dead(struct op *op, const struct dead *dead)
{
	if (dead->count)
		pin_skipped(op);
	for (uint32_t k = 0; k < dead->count && pin_ok(op); k++) {
		auto_dir d = {0};
		if (cells_dir(op->v, dead->at[k], &d))
			pin_put_dir(op, dead->at[k], dirs_effective(&d), dirs_effective(&d));
	}
}

void pin_leave(struct op *op, const struct showing *s, const struct showing *t)
{
	auto_list derived = {0};
	struct dead dead = {0};
	struct but but = pin_but(s, t);
	struct bytes name = {s->s.name, s->s.name_len};

	pin_derived(op, s->s.at, &derived);
	find_dead(op, s->s.at, &dead); /* now: a pin may take its last survivor out of one */
	for (uint32_t k = 0; k < derived.count; k++) {
		const struct showing *o = &derived.at[k];
		struct bytes own = {o->s.name, o->s.name_len}, pref = {o->pref, o->pref_len};
		struct bytes nominal = {o->s.nominal, o->s.nominal_len};
		if (same_name(t, o))
			continue;
		/* Not s: an entry that is derived is not shown under its nominal name, and s under
		 * the one it wanted if its name is that. */
		bool lost = o->s.kind == SHOWN_LINK && bytes_equal(nominal, name);
		if (lost || (bytes_equal(pref, name) && !bytes_equal(pref, own)))
			pin_entry(op, o, &but, true, NULL);
	}
	revive_dead(op, &dead);
	free(dead.at);
}

void pin_skipped(struct op *op)
{
	struct walk w = {.prefix = rows_key_view(ROW_SKIPPED)};
	auto_wr value = {0};
	struct inode_id *all = NULL;
	uint32_t count = 0, room = 0;

	while (pin_ok(op) && rows_each(op->v, &w, &value)) {
		struct rd r = {.at = w.at.b + 2, .end = w.at.b + w.at.len};
		struct inode_id *p = rows_grow(op->v, all, count, &room, sizeof(*all));
		if (!p)
			break;
		all = p;
		all[count++] = ids_rd_key_inode(&r);
	}
	struct dir_row *rows = calloc(MAX(count, 1u), sizeof(*rows));
	if (!rows)
		rows_fail(op->v, fail(ERR_NOMEM));
	/* Where all of them are now, before the first record moves any. */
	for (uint32_t k = 0; k < count && pin_ok(op); k++)
		(void)cells_dir(op->v, all[k], &rows[k]);
	for (uint32_t k = 0; k < count && pin_ok(op); k++) {
		const struct place *at = dirs_effective(&rows[k]);
		pin_put_dir(op, all[k], rows[k].own ? at : NULL, at); /* a dead one stays dead */
	}
	for (uint32_t k = 0; rows && k < count; k++)
		cells_dir_fini(&rows[k]);
	free(rows);
	free(all);
}
