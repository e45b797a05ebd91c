// SPDX-License-Identifier: MIT
/*
 * place.c - what stands at a name, and what each directory shows (merge.md rules 2, 6, 7 and 8)
 *
 * A row of TABLE_PLACE stands for each live or kept name, at its nominal place.  Most places hold
 * one such row, or one directory, and show just that.  Where there is more to say (rivals, several
 * versions, kept and pinned names) a row ROW_CONTESTED stands, and the directory counts them: with
 * none, and no union, a directory needs no further look.  Else its derived entries, losers and
 * copies, are worked out together, for they may not take each other's names, and are cached as its
 * overlay.  Nominal names are evaluated one by one, whatever the size of the directory.
 *
 * I1  a place is marked if two rows, or a row and a directory, or a row with flags stand there
 * I2  a cached overlay is what place_overlay() would work out anew
 */
#include "core/place.h"
#include "codec/manifest.h"
#include "core/names.h"
#include <stdlib.h>

#define OVERLAYS_CACHED_MAX 512

struct rival { /* a name at a place */
	struct name_id n;
	struct inode_id i;
	struct stamp at;
	uint8_t flags;
	enum inode_type type;
	int32_t behind; /* -1: shown */
};
struct group { /* all that stands at one place of a shown directory */
	uint32_t count, room;
	struct rival *at;
	bool has_dir;
	struct inode_id dir;
};

static struct bytes row_name(const struct place_row *p)
{
	return (struct bytes){p->name, p->name_len};
}

/* ---- rows ---- */

static bool row_same_place(const struct place_row *a, const struct place_row *b)
{
	return inode_equal(a->parent, b->parent) && bytes_equal(row_name(a), row_name(b)) &&
	       name_id_compare(a->n, b->n) == 0 && inode_equal(a->i, b->i);
}

void place_move(struct view *v, const struct place_row *before, const struct place_row *after,
		const struct record *r)
{
	bool stays = before && after && row_same_place(before, after);

	if (before && !stays) {
		cells_del_place(v, before);
		rows_touch(v, before->parent, row_name(before));
	}
	if (after) {
		cells_put_place(v, after);
		rows_touch(v, after->parent, row_name(after));
	}
	if (stays)
		return;
	if (!before || !after)
		rows_count(v, ROW_NAMES, after ? 1 : -1);
	if (after)
		dirs_gain(v, after->parent, r->wall_ms, r->t);
	if (before)
		dirs_lose(v, before->parent, r->wall_ms, r->t);
}

static struct rkey mark_key(struct inode_id parent, struct bytes name)
{
	struct rkey k = rows_key_view(ROW_CONTESTED);

	rows_key_inode(&k, parent);
	rows_key_text(&k, name);
	return k;
}

bool place_contested(struct view *v, struct inode_id parent, struct bytes name)
{
	struct dir_glance g;

	if (!cells_glance(v, parent, &g) || g.contested == 0)
		return false;
	struct rkey k = mark_key(parent, name);
	return rows_has(v, &k);
}

void place_touch_names(struct view *v, const struct inode_row *i)
{
	struct walk w = cells_links(i->id);
	struct place_row p;

	while (reg_next_place(v, &w, i, &p))
		if (dirs_any_union(v) || place_contested(v, p.parent, row_name(&p)))
			rows_touch(v, p.parent, row_name(&p));
}

static bool is_contested(struct view *v, const struct inode_id *at, uint32_t at_count,
			 struct bytes name)
{
	uint32_t count = 0;
	bool dir = false;

	for (uint32_t k = 0; k < at_count; k++) {
		struct walk w = cells_places(at[k], name);
		struct place_row p;

		while (count < 2 && cells_places_next(v, &w, &p)) {
			count++;
			if (p.flags)
				return true;
		}
	}
	for (uint32_t k = 0; k < at_count && count == 1 && !dir; k++) {
		struct walk c = dirs_children(at[k], name);
		dir = rows_any(v, &c.prefix);
	}
	return count > 1 || (count == 1 && dir);
}

bool place_contested_in(struct view *v, const struct parts *parts, struct bytes name)
{
	if (parts->count == 1)
		return place_contested(v, parts->at[0], name);
	return is_contested(v, parts->at, parts->count, name);
}

void place_mark_touched(struct view *v)
{
	for (uint32_t n = 0; n < v->touched.count; n++) {
		const struct spot *s = &v->touched.at[n];
		struct bytes name = {s->name, s->name_len};
		auto_dir d = {0};
		bool want = is_contested(v, &s->parent, 1, name);
		if (want == place_contested(v, s->parent, name) || !cells_dir(v, s->parent, &d))
			continue;
		struct rkey k = mark_key(s->parent, name);
		if (want)
			rows_put(v, &k, (struct bytes){NULL, 0});
		else
			rows_del(v, &k);
		d.contested += want ? 1u : (uint32_t)-1;
		cells_put_dir(v, &d);
	}
}

/* ---- one place ---- */

static int rival_compare(const void *a, const void *b)
{
	const struct rival *x = a, *y = b;
	int c = name_id_compare(x->n, y->n); /* the oldest name first */

	if (!c)
		c = stamp_compare(y->at, x->at); /* within one, the latest */
	return c ? c : inode_compare(x->i, y->i);
}

/* Two non-directories at one place that need not both be shown. */
static bool same(struct view *v, const struct inode_row *a, const struct inode_row *b)
{
	if (inode_equal(a->id, b->id))
		return true;
	if (a->type != b->type)
		return false;
	if (a->type == TYPE_SYMLINK)
		return bytes_equal(a->target, b->target);
	return a->type == TYPE_FILE && a->heads_count > 0 && b->heads_count > 0 &&
	       manifest_equal(a->heads[0].content, b->heads[0].content) &&
	       reg_concurrent(v, &a->heads[0].o, &b->heads[0].o);
}

static void hide_equals(struct view *v, struct group *g)
{
	struct inode_row *rows = calloc(g->count, sizeof(*rows));

	if (!rows) {
		rows_fail(v, fail(ERR_NOMEM));
		return;
	}
	for (uint32_t k = 0; k < g->count && cells_inode(v, g->at[k].i, &rows[k]); k++)
		for (uint32_t n = 0; n < k && g->at[k].behind < 0; n++)
			if (g->at[n].behind < 0 && same(v, &rows[n], &rows[k]))
				g->at[k].behind = (int32_t)n;
	for (uint32_t k = 0; k < g->count; k++)
		cells_inode_fini(&rows[k]);
	free(rows);
}

static void group_fini(struct group *g)
{
	free(g->at);
}
#define auto_group __attribute__((cleanup(group_fini))) struct group

/* All that stands at name in a shown directory; false: nothing. */
static bool group_get(struct view *v, const struct parts *parts, struct bytes name, struct group *g)
{
	struct stamp least = {0, 0};

	for (uint32_t k = 0; k < parts->count; k++) {
		struct walk w = cells_places(parts->at[k], name);
		struct walk c = dirs_children(parts->at[k], name);
		struct place_row p;
		struct inode_id id;
		struct stamp born;

		while (cells_places_next(v, &w, &p)) {
			struct rival *at =
				rows_grow(v, g->at, g->count, &g->room, sizeof(g->at[0]));
			if (!at)
				return false;
			g->at = at;
			at[g->count++] = (struct rival){p.n, p.i, p.at, p.flags, p.type, -1};
		}
		while (dirs_children_next(v, &c, &id, &born)) {
			int o = g->has_dir ? stamp_compare(born, least) : -1;
			if (o < 0 || (o == 0 && inode_compare(id, g->dir) < 0)) {
				g->dir = id;
				least = born;
			}
			g->has_dir = true;
		}
	}
	if (g->count > 1) {
		qsort(g->at, g->count, sizeof(g->at[0]), rival_compare);
		hide_equals(v, g);
	}
	return !v->bad && (g->count > 0 || g->has_dir);
}

/* ---- entries ---- */

void place_showing_fini(struct showing *s)
{
	free(s->hidden);
	*s = (struct showing){0};
}

void place_showing_copy(struct view *v, struct showing *to, const struct showing *from)
{
	place_showing_fini(to);
	*to = *from;
	to->hidden = NULL;
	if (from->hidden_count == 0)
		return;
	to->hidden = malloc(from->hidden_count * sizeof(to->hidden[0]));
	if (!to->hidden) {
		to->hidden_count = 0;
		rows_fail(v, fail(ERR_NOMEM));
		return;
	}
	memcpy(to->hidden, from->hidden, from->hidden_count * sizeof(to->hidden[0]));
}

static void set_nominal(struct shown *s, struct bytes name)
{
	s->nominal_len = s->name_len = (uint16_t)name.len;
	memcpy(s->nominal, name.at, name.len);
	memcpy(s->name, name.at, name.len);
	s->nominal[name.len] = s->name[name.len] = 0;
}

static void set_pref(struct showing *s, struct bytes name)
{
	s->pref_len = (uint16_t)name.len;
	memcpy(s->pref, name.at, name.len);
}

static void show_dir(struct showing *ret, struct inode_id at, struct bytes name, struct inode_id id)
{
	place_showing_fini(ret);
	ret->s.kind = SHOWN_DIR;
	ret->s.type = TYPE_DIR;
	ret->s.id = ret->s.file = id;
	ret->s.at = at;
	set_nominal(&ret->s, name);
	set_pref(ret, name);
}

/* The k-th of a group, which is shown, under its nominal name. */
static void show_rival(struct view *v, struct showing *ret, struct inode_id at, struct bytes name,
		       const struct group *g, uint32_t k)
{
	const struct rival *r = &g->at[k];

	place_showing_fini(ret);
	ret->s.kind = SHOWN_LINK;
	ret->s.type = r->type;
	ret->s.id = ret->s.file = r->i;
	ret->s.n = r->n;
	ret->s.at = at;
	ret->s.kept = r->flags & PLACE_KEPT;
	ret->at = r->at;
	set_nominal(&ret->s, name);
	set_pref(ret, name);
	for (uint32_t n = k + 1; n < g->count; n++)
		ret->hidden_count += g->at[n].behind == (int32_t)k;
	if (ret->hidden_count == 0)
		return;
	ret->hidden = malloc(ret->hidden_count * sizeof(ret->hidden[0]));
	if (!ret->hidden) {
		ret->hidden_count = 0;
		rows_fail(v, fail(ERR_NOMEM));
		return;
	}
	uint32_t count = 0;
	for (uint32_t n = k + 1; n < g->count; n++)
		if (g->at[n].behind == (int32_t)k)
			ret->hidden[count++] = (struct name_of){g->at[n].n, g->at[n].i};
}

/* ---- the overlay ---- */

void place_overlay_free(struct overlay *o)
{
	if (!o)
		return;
	for (uint32_t k = 0; k < o->count; k++) {
		place_showing_fini(o->at[k]);
		free(o->at[k]);
	}
	free(o->at);
	rows_spots_fini(&o->probed);
	free(o);
}

static struct overlay **overlay_slot(struct view *v, struct inode_id dir)
{
	struct overlay **at = &v->overlays[ids_ino(dir) % BUCKETS];

	while (*at && !inode_equal((*at)->dir, dir))
		at = &(*at)->next;
	return at;
}

struct overlay *place_overlay_take(struct view *v, struct inode_id dir)
{
	struct overlay **at = overlay_slot(v, dir), *o = *at;

	if (!o)
		return NULL;
	*at = o->next;
	v->overlays_count--;
	return o;
}

void place_forget(struct view *v, struct inode_id dir)
{
	place_overlay_free(place_overlay_take(v, dir));
}

void place_forget_all(struct view *v)
{
	for (size_t k = 0; v->overlays_count && k < BUCKETS; k++)
		while (v->overlays[k])
			place_forget(v, v->overlays[k]->dir);
}

static struct showing *overlay_add(struct view *v, struct overlay *o)
{
	struct showing **p = rows_grow(v, o->at, o->count, &o->room, sizeof(o->at[0]));
	struct showing *s = calloc(1, sizeof(*s));

	if (p)
		o->at = p;
	if (!p || !s) {
		rows_fail(v, fail(ERR_NOMEM));
		free(s);
		return NULL;
	}
	o->at[o->count++] = s;
	return s;
}

static void want_conflict_name(struct view *v, struct showing *s, struct bytes name)
{
	char device[NAMES_DEVICE_MAX + 1] = {0};
	uint8_t buf[NAME_BYTES_MAX + 1];

	v->hooks.device(v->hooks.arg, s->at.inc, device);
	device[NAMES_DEVICE_MAX] = 0;
	set_pref(s, (struct bytes){buf, names_conflict(name, s->at.t, device, buf)});
}

/* The copies shown beside a name, if it is its inode's oldest. */
static void add_copies(struct view *v, struct overlay *o, const struct rival *r, struct bytes name)
{
	auto_inode i = {0};
	struct place_row anchor;

	if (!(r->flags & PLACE_MULTI) || !cells_inode(v, r->i, &i) || !reg_anchor(v, &i, &anchor) ||
	    name_id_compare(anchor.n, r->n) != 0)
		return;
	int32_t *behind = reg_behind(v, &i);
	for (uint32_t k = 1; behind && k < i.heads_count; k++) {
		if (behind[k] >= 0)
			continue;
		struct showing *s = overlay_add(v, o);
		if (!s)
			break;
		s->s.kind = SHOWN_COPY;
		s->s.type = TYPE_FILE;
		s->s.id = hash_copy_id(i.id, i.heads[k].o.dot);
		s->s.file = i.id;
		s->s.n = r->n;
		s->s.version = i.heads[k].o.dot;
		s->s.at = o->dir;
		s->at = reg_stamp(&i.heads[k].o);
		set_nominal(&s->s, name);
		want_conflict_name(v, s, name);
	}
	free(behind);
}

static void add_derived(struct view *v, struct overlay *o, const struct parts *parts,
			struct bytes name)
{
	auto_group g = {0};

	if (!group_get(v, parts, name, &g))
		return;
	for (uint32_t k = g.has_dir ? 0 : 1; k < g.count; k++) {
		if (g.at[k].behind >= 0)
			continue;
		struct showing *s = overlay_add(v, o);
		if (!s)
			return;
		show_rival(v, s, o->dir, name, &g, k);
		want_conflict_name(v, s, name);
	}
	for (uint32_t k = 0; k < g.count; k++)
		add_copies(v, o, &g.at[k], name);
}

static bool marked_in(struct view *v, const struct parts *parts, uint32_t count, struct bytes name)
{
	bool marked = false;

	for (uint32_t k = 0; k < count && !marked; k++) {
		struct rkey mark = mark_key(parts->at[k], name);
		marked = rows_has(v, &mark);
	}
	return marked;
}

/* What is contested in one part by itself. */
static void derive_marked(struct view *v, struct overlay *o, const struct parts *parts, uint32_t k)
{
	struct walk w = {.prefix = rows_key_view(ROW_CONTESTED)};
	auto_wr value = {0};
	struct inode_id parent;
	struct bytes name;
	struct rd r;

	rows_key_inode(&w.prefix, parts->at[k]);
	while (rows_each(v, &w, &value))
		if (rows_key_place(&w.at, 2, &parent, &name, &r) && !marked_in(v, parts, k, name))
			add_derived(v, o, parts, name);
}

static bool stands_in(struct view *v, struct inode_id dir, struct bytes name)
{
	struct walk w = cells_places(dir, name), c = dirs_children(dir, name);

	return rows_any(v, &w.prefix) || rows_any(v, &c.prefix);
}

/* The first name that stands in one directory at or behind from; false: none. */
static bool stands_from(struct view *v, struct inode_id dir, struct bytes from, struct wr *ret)
{
	static const enum table tables[2] = {TABLE_PLACE, TABLE_CHILD};
	struct bytes best = {NULL, 0}, name;
	struct rkey at[2];

	for (size_t k = 0; k < ARRAY_LEN(tables); k++) {
		struct inode_id parent;
		struct rd r;

		at[k] = rows_key(tables[k]);
		rows_key_inode(&at[k], dir);
		size_t within = at[k].len;
		rows_key_part(&at[k], from);
		if (rows_next(v, &at[k], within, false, &at[k], NULL) &&
		    rows_key_place(&at[k], 1, &parent, &name, &r) &&
		    (!best.at || bytes_compare(name, best) < 0))
			best = name;
	}
	wr_reset(ret);
	wr_bytes(ret, best);
	rows_wr(v, ret);
	return best.at != NULL;
}

/*
 * Names that stand in two parts of a union though no part marks them.  Each list leaps to where the
 * other stands, so that a small directory that meets a large one costs what the small one holds.
 */
static void derive_meeting(struct view *v, struct overlay *o, const struct parts *parts, uint32_t i,
			   uint32_t k)
{
	auto_wr a = {0}, b = {0};

	while (stands_from(v, parts->at[i], wr_view(&b), &a) &&
	       stands_from(v, parts->at[k], wr_view(&a), &b)) {
		if (!bytes_equal(wr_view(&a), wr_view(&b)))
			continue;
		bool done = marked_in(v, parts, parts->count, wr_view(&a));
		for (uint32_t n = 0; n < k && !done; n++)
			done = n != i && stands_in(v, parts->at[n], wr_view(&a));
		if (!done) /* else it is told of with the mark, or with the first two that have it
			    */
			add_derived(v, o, parts, wr_view(&a));
		wr_u8(&b, 1); /* no name is between */
	}
}

static int derived_compare(const void *a, const void *b)
{
	const struct showing *const *x = a, *const *y = b;
	int c = stamp_compare((*x)->at, (*y)->at);

	return c ? c : inode_compare((*x)->s.id, (*y)->s.id);
}

static struct bytes shown_name(const struct showing *s)
{
	return (struct bytes){s->s.name, s->s.name_len};
}

static bool nominal_taken(struct view *v, const struct parts *parts, struct bytes name)
{
	for (uint32_t k = 0; k < parts->count; k++)
		if (stands_in(v, parts->at[k], name))
			return true;
	return false;
}

/* Where name is, or belongs, among the first count entries, which stand by name. */
static uint32_t overlay_find(const struct overlay *o, uint32_t count, struct bytes name,
			     bool *there)
{
	uint32_t low = 0, high = count;

	*there = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = bytes_compare(shown_name(o->at[mid]), name);
		if (c == 0) {
			*there = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Rule 8: by stamp and id each takes the name it wants, or that with a piece of hash. */
static void give_names(struct view *v, struct overlay *o, const struct parts *parts)
{
	if (o->count)
		qsort(o->at, o->count, sizeof(o->at[0]), derived_compare);
	for (uint32_t k = 0; k < o->count && !v->bad; k++) {
		struct showing *s = o->at[k];
		uint8_t buf[NAME_BYTES_MAX + 1];
		struct bytes pref = {s->pref, s->pref_len}, name = pref;
		bool taken;
		uint32_t at;

		for (uint32_t try = 0;; try++) {
			rows_spot_push(v, &o->probed, o->dir, name);
			at = overlay_find(o, k, name, &taken);
			if (!taken && !nominal_taken(v, parts, name))
				break;
			name = (struct bytes){buf, names_further(pref, s->s.id, try, buf)};
		}
		s->s.name_len = (uint16_t)name.len;
		memcpy(s->s.name, name.at, name.len);
		s->s.name[name.len] = 0;
		s->s.suffixed = true;
		memmove(&o->at[at + 1], &o->at[at], (k - at) * sizeof(o->at[0]));
		o->at[at] = s;
	}
}

static bool overlay_of(struct view *v, const struct parts *parts, const struct overlay **ret)
{
	struct dir_glance g;

	*ret = NULL;
	if (parts->count == 1 && cells_glance(v, parts->at[0], &g) && g.contested == 0)
		return !v->bad;
	struct overlay *o = *overlay_slot(v, parts->at[0]);
	if (o) {
		*ret = o;
		return true;
	}
	if (v->overlays_count > OVERLAYS_CACHED_MAX)
		place_forget_all(v);
	o = calloc(1, sizeof(*o));
	if (!o) {
		rows_fail(v, fail(ERR_NOMEM));
		return false;
	}
	o->dir = parts->at[0];
	for (uint32_t k = 0; k < parts->count; k++) {
		derive_marked(v, o, parts, k);
		for (uint32_t i = 0; i < k; i++)
			derive_meeting(v, o, parts, i, k);
	}
	give_names(v, o, parts);
	if (v->bad) {
		place_overlay_free(o);
		return false;
	}
	*overlay_slot(v, o->dir) = o;
	v->overlays_count++;
	*ret = o;
	return true;
}

bool place_overlay(struct view *v, struct inode_id dir, const struct overlay **ret)
{
	auto_parts parts = {0};

	return dirs_parts(v, dir, &parts) && overlay_of(v, &parts, ret);
}

/* ---- asking ---- */

static enum err absent(struct view *v, enum err e)
{
	return v->bad ? v->bad : e; /* absence is an answer: no note in the trail */
}

enum err place_lookup(struct view *v, struct inode_id dir, struct bytes name, struct showing *ret)
{
	auto_parts parts = {0};
	auto_group g = {0};
	const struct overlay *o;
	bool there = false;

	if (!dirs_parts(v, dir, &parts))
		return absent(v, ERR_NOTDIR);
	if (!overlay_of(v, &parts, &o))
		return v->bad;
	uint32_t k = o ? overlay_find(o, o->count, name, &there) : 0;
	if (there) {
		place_showing_copy(v, ret, o->at[k]);
		return v->bad;
	}
	if (name.len > NAME_BYTES_MAX || !group_get(v, &parts, name, &g))
		return absent(v, ERR_NOENT);
	if (g.has_dir)
		show_dir(ret, parts.at[0], name, g.dir);
	else
		show_rival(v, ret, parts.at[0], name, &g, 0);
	return v->bad;
}

enum err place_next(struct view *v, struct inode_id dir, struct bytes after, struct showing *ret)
{
	auto_parts parts = {0};
	auto_wr from = {0}, name = {0}, best = {0};
	const struct overlay *o;
	bool there;

	if (after.len > NAME_BYTES_MAX)
		after.len = NAME_BYTES_MAX; /* no name is longer, so none is between */
	if (!dirs_parts(v, dir, &parts))
		return absent(v, ERR_NOTDIR);
	if (!overlay_of(v, &parts, &o))
		return v->bad;
	wr_bytes(&from, after);
	if (after.len)
		wr_u8(&from, 1); /* no name is between */
	for (uint32_t k = 0; k < parts.count; k++) {
		if (!stands_from(v, parts.at[k], wr_view(&from), &name) ||
		    (best.len && bytes_compare(wr_view(&best), wr_view(&name)) <= 0))
			continue;
		wr_reset(&best);
		wr_bytes(&best, wr_view(&name));
	}
	rows_wr(v, &from);
	rows_wr(v, &best);
	if (v->bad)
		return v->bad;
	uint32_t k = o ? overlay_find(o, o->count, after, &there) : 0;
	if (o && k < o->count && there)
		k++;
	if (o && k < o->count &&
	    (best.len == 0 || bytes_compare(shown_name(o->at[k]), wr_view(&best)) < 0)) {
		place_showing_copy(v, ret, o->at[k]);
		return v->bad;
	}
	if (best.len == 0)
		return absent(v, ERR_NOENT);
	return place_lookup(v, dir, wr_view(&best), ret);
}

enum err place_of_name(struct view *v, const struct place_row *p, struct showing *ret)
{
	auto_parts parts = {0};
	auto_group g = {0};
	const struct overlay *o;

	if (!dirs_parts(v, p->parent, &parts) || !group_get(v, &parts, row_name(p), &g))
		return absent(v, ERR_NOENT);
	uint32_t k = 0;
	while (k < g.count &&
	       !(inode_equal(g.at[k].i, p->i) && name_id_compare(g.at[k].n, p->n) == 0))
		k++;
	if (k == g.count || g.at[k].behind >= 0)
		return absent(v, ERR_NOENT);
	if (k == 0 && !g.has_dir) {
		show_rival(v, ret, parts.at[0], row_name(p), &g, 0);
		return v->bad;
	}
	if (!overlay_of(v, &parts, &o))
		return v->bad;
	for (k = 0; o && k < o->count; k++) {
		const struct shown *s = &o->at[k]->s;
		if (s->kind == SHOWN_LINK && inode_equal(s->id, p->i) &&
		    name_id_compare(s->n, p->n) == 0) {
			place_showing_copy(v, ret, o->at[k]);
			return v->bad;
		}
	}
	return absent(v, ERR_NOENT);
}

static enum err find_dir(struct view *v, struct inode_id id, struct showing *ret)
{
	auto_parts parts = {0}, up = {0};
	auto_dir d = {0};

	if (!dirs_parts(v, id, &parts) || !cells_dir(v, parts.at[0], &d))
		return absent(v, ERR_NOENT);
	if (inode_equal(id, INODE_ROOT)) {
		show_dir(ret, INODE_ROOT, (struct bytes){(const uint8_t *)"", 0}, id);
		ret->s.kind = SHOWN_ROOT;
		return ERR_OK;
	}
	const struct place *at = dirs_effective(&d);
	if (!dirs_parts(v, at->parent, &up))
		return absent(v, ERR_NOENT);
	show_dir(ret, up.at[0], at->name, parts.at[0]);
	return ERR_OK;
}

static enum err find_copy(struct view *v, struct inode_id id, struct showing *ret)
{
	auto_inode i = {0};
	struct inode_id file;
	struct dot dot;
	struct place_row anchor;
	const struct overlay *o;

	if (!reg_copy(v, id, &file, &dot) || !cells_inode(v, file, &i) ||
	    !reg_anchor(v, &i, &anchor) || !place_overlay(v, anchor.parent, &o))
		return absent(v, ERR_NOENT);
	for (uint32_t k = 0; o && k < o->count; k++) {
		if (o->at[k]->s.kind == SHOWN_COPY && inode_equal(o->at[k]->s.id, id)) {
			place_showing_copy(v, ret, o->at[k]);
			return v->bad;
		}
	}
	return absent(v, ERR_NOENT);
}

enum err place_find(struct view *v, struct inode_id id, struct showing *ret)
{
	auto_inode i = {0};
	struct place_row p;

	if (!cells_inode(v, id, &i))
		return v->bad ? v->bad : find_copy(v, id, ret);
	if (i.type == TYPE_DIR)
		return find_dir(v, id, ret);
	struct walk w = cells_links(id);
	bool any = false;
	while (reg_next_place(v, &w, &i, &p)) {
		enum err e = place_of_name(v, &p, ret);
		if (e != ERR_NOENT)
			return e;
		any = true;
	}
	if (!any && !v->bad && reg_kept(v, &i, &p))
		return place_of_name(v, &p, ret);
	return absent(v, ERR_NOENT);
}
