// SPDX-License-Identifier: MIT
/*
 * walk.c - questions about the whole tree: conflicts, the digest, the invariants of the rows
 *
 * Conflicts are found by the marks of contested places, the unions, and the lists of survivors,
 * skipped and double moves, so their cost is that of what is contested.  The digest and the check
 * walk all.
 */
#include "core/walk.h"
#include "base/hash.h"
#include "codec/manifest.h"
#include "core/facts.h"
#include "core/forget.h"
#include <stdlib.h>

struct ids {
	uint32_t count, room;
	struct inode_id *at;
};

static bool ids_add(struct view *v, struct ids *s, struct inode_id id)
{
	struct inode_id *p = rows_grow(v, s->at, s->count, &s->room, sizeof(s->at[0]));

	if (!p)
		return false;
	s->at = p;
	p[s->count++] = id;
	return true;
}

static bool ids_in(const struct ids *s, struct inode_id id)
{
	for (uint32_t k = 0; k < s->count; k++)
		if (inode_equal(s->at[k], id))
			return true;
	return false;
}

static void ids_fini(struct ids *s)
{
	free(s->at);
}
#define auto_ids __attribute__((cleanup(ids_fini))) struct ids

/* ---- conflicts ---- */

struct telling {
	bool (*show)(void *arg, enum conflict_kind kind, const struct shown *s);
	void *arg;
	bool stopped;
};

static void tell(struct telling *t, enum conflict_kind kind, const struct shown *s)
{
	if (!t->stopped && !t->show(t->arg, kind, s))
		t->stopped = true;
}

/* An entry is told once, with the first of the reasons that there may be. */
static void tell_entry(struct view *v, struct telling *t, const struct showing *e)
{
	const struct shown *s = &e->s;
	auto_link l = {0};

	if (s->kind == SHOWN_COPY) {
		tell(t, CONFLICT_CONTENT, s);
	} else if (s->kind != SHOWN_LINK) {
		return;
	} else if (s->suffixed) {
		tell(t, CONFLICT_NAME, s);
	} else if (s->kept) {
		if (e->hidden_count == 0) /* else somebody put the same bytes there */
			tell(t, CONFLICT_KEPT, s);
	} else if (cells_link(v, s->id, s->n, &l)) {
		int32_t k = reg_placed(&l);
		if (reg_asked_twice(&l))
			tell(t, CONFLICT_RENAMED_TWICE, s);
		else if (k >= 0 && l.heads[k].pinned)
			tell(t, CONFLICT_COPY, s);
	}
}

static void tell_overlay(struct view *v, struct telling *t, struct inode_id dir)
{
	const struct overlay *o;

	if (!place_overlay(v, dir, &o))
		return;
	for (uint32_t k = 0; o && k < o->count && !t->stopped; k++)
		tell_entry(v, t, o->at[k]);
}

static void tell_nominal(struct view *v, struct telling *t, struct inode_id dir, struct bytes name)
{
	auto_showing s = {0};

	if (place_lookup(v, dir, name, &s) == ERR_OK && !s.s.suffixed)
		tell_entry(v, t, &s);
}

static bool marked(struct view *v, struct inode_id dir, struct bytes name)
{
	struct rkey k = rows_key_view(ROW_CONTESTED);

	rows_key_inode(&k, dir);
	rows_key_text(&k, name);
	return rows_has(v, &k);
}

/* Directories that are no part of a union: each contested place in its order. */
static void tell_plain(struct view *v, struct telling *t)
{
	struct walk w = {.prefix = rows_key_view(ROW_CONTESTED)};
	struct inode_id last = {0, 0}, dir;
	auto_wr value = {0};
	struct bytes name;
	struct rd r;

	while (!t->stopped && rows_each(v, &w, &value)) {
		auto_parts parts = {0};
		if (!rows_key_place(&w.at, 2, &dir, &name, &r) || !dirs_parts(v, dir, &parts) ||
		    parts.count > 1)
			continue;
		if (!inode_equal(dir, last))
			tell_overlay(v, t, dir);
		last = dir;
		tell_nominal(v, t, dir, name);
	}
}

/* All unions: those at places with several directories, and what is united below them. */
static void find_unions(struct view *v, struct ids *all)
{
	struct walk w = {.prefix = rows_key_view(ROW_UNION)};
	auto_wr value = {0};
	struct inode_id parent, id;
	struct stamp born;
	struct bytes name;
	struct rd r;

	while (rows_each(v, &w, &value)) {
		if (!rows_key_place(&w.at, 2, &parent, &name, &r))
			continue;
		struct walk c = dirs_children(parent, name);
		auto_parts parts = {0};
		if (dirs_children_next(v, &c, &id, &born) && dirs_parts(v, id, &parts) &&
		    !ids_in(all, parts.at[0]))
			(void)ids_add(v, all, parts.at[0]);
	}
	for (uint32_t k = 0; k < all->count; k++) {
		auto_parts up = {0};
		if (!dirs_parts(v, all->at[k], &up))
			continue;
		for (uint32_t n = 0; n < up.count; n++) {
			struct walk c = {.prefix = rows_key(TABLE_CHILD)};
			rows_key_inode(&c.prefix, up.at[n]);
			while (dirs_children_next(v, &c, &id, &born)) {
				auto_parts parts = {0};
				if (dirs_parts(v, id, &parts) && parts.count > 1 &&
				    !ids_in(all, parts.at[0]))
					(void)ids_add(v, all, parts.at[0]);
			}
		}
	}
}

static void tell_union(struct view *v, struct telling *t, struct inode_id dir)
{
	auto_parts parts = {0};

	tell_overlay(v, t, dir);
	if (!dirs_parts(v, dir, &parts))
		return;
	for (uint32_t k = 0; k < parts.count && !t->stopped; k++) {
		struct walk w = {.prefix = rows_key_view(ROW_CONTESTED)};
		auto_wr value = {0};
		struct inode_id part;
		struct bytes name;
		struct rd r;

		rows_key_inode(&w.prefix, parts.at[k]);
		while (rows_each(v, &w, &value) && rows_key_place(&w.at, 2, &part, &name, &r)) {
			bool told = false;
			for (uint32_t n = 0; n < k && !told; n++)
				told = marked(v, parts.at[n], name);
			if (!told)
				tell_nominal(v, t, dir, name);
		}
	}
}

/* Why a directory is listed: what comes first is told. */
static const struct {
	enum view_row row;
	enum conflict_kind kind;
} dir_reasons[] = {{ROW_SKIPPED, CONFLICT_MOVE_SKIPPED},
		   {ROW_SURVIVOR, CONFLICT_SURVIVORS},
		   {ROW_TWICE, CONFLICT_RENAMED_TWICE}};

static bool dir_listed(struct view *v, size_t reason, struct inode_id id)
{
	struct rkey k = rows_key_view(dir_reasons[reason].row);

	rows_key_inode(&k, id);
	return rows_has(v, &k);
}

/* Whether what is shown with parts is told for this part's sake, and for no reason before. */
static bool dir_first(struct view *v, size_t reason, const struct parts *parts, struct inode_id id)
{
	for (size_t r = 0; r < reason; r++)
		for (uint32_t k = 0; k < parts->count; k++)
			if (dir_listed(v, r, parts->at[k]))
				return false;
	for (uint32_t k = 0; !inode_equal(parts->at[k], id); k++)
		if (dir_listed(v, reason, parts->at[k]))
			return false;
	return true;
}

static void tell_dirs(struct view *v, struct telling *t, size_t reason)
{
	struct walk w = {.prefix = rows_key_view(dir_reasons[reason].row)};
	auto_wr value = {0};

	while (!t->stopped && rows_each(v, &w, &value)) {
		struct rd r = {.at = w.at.b + 2, .end = w.at.b + w.at.len};
		struct inode_id id = ids_rd_key_inode(&r);
		auto_parts parts = {0};
		auto_showing s = {0};

		if (dirs_parts(v, id, &parts) && dir_first(v, reason, &parts, id) &&
		    place_find(v, id, &s) == ERR_OK)
			tell(t, dir_reasons[reason].kind, &s.s);
	}
}

void walk_conflicts(struct view *v,
		    bool (*show)(void *arg, enum conflict_kind kind, const struct shown *s),
		    void *arg)
{
	struct telling t = {show, arg, false};
	auto_ids unions = {0};

	tell_plain(v, &t);
	if (dirs_any_union(v))
		find_unions(v, &unions);
	for (uint32_t k = 0; k < unions.count && !t.stopped; k++)
		tell_union(v, &t, unions.at[k]);
	for (size_t r = 0; r < ARRAY_LEN(dir_reasons) && !t.stopped; r++)
		tell_dirs(v, &t, r);
}

/* ---- the digest ---- */

static void wr_id(struct wr *w, struct inode_id i)
{
	wr_u64(w, i.inc);
	wr_u64(w, i.op);
}

static void wr_text(struct wr *w, struct bytes b)
{
	wr_u32(w, (uint32_t)b.len);
	wr_bytes(w, b);
}

/* All of an entry that members must agree on. */
static void write_entry(struct view *v, struct wr *w, const struct shown *s)
{
	struct view_attr a;
	uint8_t name[XATTR_NAME_MAX_BYTES];
	struct bytes key, value, after = {name, 0};

	wr_id(w, s->at);
	wr_text(w, (struct bytes){s->name, s->name_len});
	wr_id(w, s->id);
	wr_u8(w, (uint8_t)s->type);
	if (facts_stat(v, s->id, &a) != ERR_OK)
		return;
	wr_u32(w, a.mode);
	wr_u8(w, a.has_owner);
	wr_u32(w, a.uid);
	wr_u32(w, a.gid);
	wr_u32(w, a.rdev);
	manifest_identity(w, a.content);
	wr_text(w, a.target);
	while (facts_xattr_next(v, s->id, after, &key) == ERR_OK) {
		after.len = key.len;
		memcpy(name, key.at, key.len);
		wr_text(w, after);
		if (facts_xattr(v, s->id, after, &value) == ERR_OK)
			wr_text(w, value);
	}
}

void walk_digest(struct view *v, struct hash *ret)
{
	auto_ids todo = {0};
	struct hash h = {{0}};
	auto_wr w = {0};

	(void)ids_add(v, &todo, INODE_ROOT);
	while (todo.count && !v->bad) {
		struct inode_id dir = todo.at[--todo.count];
		auto_showing s = {0};
		uint8_t name[NAME_BYTES_MAX];
		struct bytes after = {name, 0};

		while (place_next(v, dir, after, &s) == ERR_OK) {
			wr_reset(&w);
			wr_raw(&w, h.b, HASH_LEN);
			write_entry(v, &w, &s.s);
			rows_wr(v, &w);
			hash_blake(wr_view(&w), &h);
			if (s.s.kind == SHOWN_DIR)
				(void)ids_add(v, &todo, s.s.id);
			after.len = s.s.name_len;
			memcpy(name, s.s.name, s.s.name_len);
		}
	}
	*ret = h;
}

/* ---- invariants ---- */

static uint64_t count_rows(struct view *v, struct rkey prefix)
{
	struct walk w = {.prefix = prefix};
	uint64_t n = 0;

	while (rows_each(v, &w, NULL))
		n++;
	return n;
}

/* The row of TABLE_PLACE for p is there, says the same, and is marked if it has flags. */
static void check_place(struct view *v, const struct place_row *p)
{
	struct bytes name = {p->name, p->name_len};
	struct walk w = cells_places(p->parent, name);
	struct place_row at;
	bool found = false;

	while (cells_places_next(v, &w, &at))
		if (name_id_compare(at.n, p->n) == 0 && inode_equal(at.i, p->i)) {
			found = true;
			assert(v->bad || (at.flags == p->flags && at.type == p->type));
			assert(v->bad || stamp_compare(at.at, p->at) == 0);
		}
	assert(v->bad || found);
	assert(v->bad || !p->flags || marked(v, p->parent, name));
	assert(v->bad || dirs_live(v, p->parent));
}

static uint64_t check_names(struct view *v, const struct inode_row *i)
{
	struct walk w = cells_links(i->id);
	struct place_row p;
	uint64_t n = 0;

	for (; reg_next_place(v, &w, i, &p); n++)
		check_place(v, &p);
	if (n == 0 && reg_kept(v, i, &p)) {
		check_place(v, &p);
		n++;
	}
	return n;
}

static void check_dir(struct view *v, const struct dir_row *d)
{
	struct rkey names = rows_key(TABLE_PLACE), children = rows_key(TABLE_CHILD);
	struct rkey marks = rows_key_view(ROW_CONTESTED);

	rows_key_inode(&names, d->id);
	rows_key_inode(&children, d->id);
	rows_key_inode(&marks, d->id);
	bool used = rows_any(v, &names) || rows_any(v, &children);
	assert(v->bad || d->live == (d->own || used)); /* I2 of dirs.c */
	assert(v->bad || count_rows(v, children) == d->subdirs);
	assert(v->bad || count_rows(v, marks) == d->contested);
	if (inode_equal(d->id, INODE_ROOT))
		return;
	struct walk w = dirs_children(dirs_effective(d)->parent, dirs_effective(d)->name);
	struct inode_id id;
	struct stamp born;
	bool found = false;
	while (dirs_children_next(v, &w, &id, &born))
		found |= inode_equal(id, d->id);
	assert(v->bad || found == d->live);
	uint64_t up = 0;
	for (struct inode_id at = d->id; !inode_equal(at, INODE_ROOT) && !v->bad; up++) {
		auto_dir x = {0};
		if (!cells_dir(v, at, &x))
			break;
		at = dirs_effective(&x)->parent;
		assert(up < (UINT64_C(1) << 32)); /* I1 of dirs.c */
	}
}

void walk_check(struct view *v)
{
	struct walk w = {.prefix = rows_key(TABLE_INODE)};
	auto_wr value = {0};
	uint64_t places = 0, live = 0;

	while (rows_each(v, &w, &value)) {
		struct rd r = {.at = w.at.b + 1, .end = w.at.b + w.at.len};
		struct inode_id id = ids_rd_key_inode(&r);
		auto_inode i = {0};
		auto_dir d = {0};

		if (!cells_inode(v, id, &i))
			break;
		for (uint32_t k = 1; k < i.heads_count; k++)
			assert(stamp_compare(reg_stamp(&i.heads[k - 1].o),
					     reg_stamp(&i.heads[k].o)) >= 0);
		if (i.type != TYPE_DIR) {
			places += check_names(v, &i);
		} else if (cells_dir(v, id, &d)) {
			check_dir(v, &d);
			live += d.live;
		}
	}
	assert(v->bad || count_rows(v, rows_key(TABLE_PLACE)) == places);
	assert(v->bad || count_rows(v, rows_key(TABLE_CHILD)) + 1 == live);
	forget_check(v);
}
