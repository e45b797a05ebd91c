// SPDX-License-Identifier: MIT
/*
 * dirs.c - where directories are, which live, and which are shown as one (merge.md rules 1, 4, 5)
 *
 * A directory's row keeps its candidates (its place, its previous place, its birth place) and
 * which of them is effective; a row of TABLE_CHILD stands at the effective place of each live one.
 *
 * Cycles.  In the graph of effective edges before a change there is no cycle, so one that appears
 * runs through the directory that changed or, as skipped moves may come back when what stood
 * against them is gone, through one whose move is skipped.  Rule 1 is therefore run again from the
 * first candidates of these alone.  Cycles are disjoint and each stays until a member of its own
 * moves on, so the order in which they are broken does not matter.
 *
 *	'C' parent name 0 directory	born
 *
 * I1  following effective edges from any directory ends at the root
 * I2  live = has a place of its own, or a name or a live directory stands in it
 * I3  a row of TABLE_CHILD for each live directory but the root, no other
 */
#include "core/dirs.h"
#include "core/reg.h"
#include <stdlib.h>

#define PARTS_CACHED_MAX 4096

struct moved { /* a directory that changed, and where it stood */
	struct inode_id id;
	bool live;
	struct spot from;
};
struct moves {
	uint32_t count, room;
	struct moved *at;
};

static struct bytes spot_name(const struct spot *s)
{
	return (struct bytes){s->name, s->name_len};
}

static struct spot spot_of(const struct place *p)
{
	struct spot s = {.parent = p->parent, .name_len = (uint16_t)p->name.len};

	memcpy(s.name, p->name.at, p->name.len);
	return s;
}

/* ---- children ---- */

static struct rkey place_prefix(struct rkey k, struct inode_id parent, struct bytes name)
{
	rows_key_inode(&k, parent);
	rows_key_text(&k, name);
	return k;
}

struct walk dirs_children(struct inode_id parent, struct bytes name)
{
	struct walk w;

	w.begun = false;
	w.prefix = rows_key(TABLE_CHILD);
	rows_key_inode(&w.prefix, parent);
	rows_key_text(&w.prefix, name);
	return w;
}

bool dirs_children_next(struct view *v, struct walk *w, struct inode_id *id, struct stamp *born)
{
	auto_wr value = {0};

	if (!rows_each(v, w, &value))
		return false;
	struct rd r = {.at = w->at.b + w->at.len - INODE_ID_LEN, .end = w->at.b + w->at.len};
	*id = ids_rd_key_inode(&r);
	r = rd_of(wr_view(&value));
	uint64_t t = rd_u64(&r);
	*born = (struct stamp){t, rd_u64(&r)};
	return true;
}

static void set_row(struct view *v, const struct rkey *k, bool want)
{
	if (rows_has(v, k) == want || v->bad)
		return;
	if (want)
		rows_put(v, k, (struct bytes){NULL, 0});
	else
		rows_del(v, k);
}

/* After a child came or went at a place: is it a union? */
static void mark_union(struct view *v, const struct spot *s)
{
	struct walk w = dirs_children(s->parent, spot_name(s));
	struct rkey k = place_prefix(rows_key_view(ROW_UNION), s->parent, spot_name(s));
	struct inode_id id;
	struct stamp born;
	uint32_t count = 0;

	while (count < 2 && dirs_children_next(v, &w, &id, &born))
		count++;
	set_row(v, &k, count > 1);
	v->dirs_touched = true;
	rows_touch(v, s->parent, spot_name(s));
	rows_news(v, CHANGE_LINKS, s->parent);
}

static void count_child(struct view *v, struct inode_id parent, bool more)
{
	auto_dir d = {0};

	if (!cells_dir(v, parent, &d))
		return;
	d.subdirs += more ? 1u : (uint32_t)-1;
	cells_put_dir(v, &d);
}

static void put_child(struct view *v, const struct dir_row *d)
{
	struct spot s = spot_of(dirs_effective(d));
	struct rkey k = place_prefix(rows_key(TABLE_CHILD), s.parent, spot_name(&s));

	rows_key_inode(&k, d->id);
	struct wr *w = rows_begin(v, &k);
	wr_u64(w, d->born.t);
	wr_u64(w, d->born.inc);
	rows_end(v);
	count_child(v, s.parent, true);
	mark_union(v, &s);
}

static void del_child(struct view *v, struct inode_id id, const struct spot *s)
{
	struct rkey k = place_prefix(rows_key(TABLE_CHILD), s->parent, spot_name(s));

	rows_key_inode(&k, id);
	rows_del(v, &k);
	count_child(v, s->parent, false);
	mark_union(v, s);
}

/* ---- life ---- */

/* A directory's row, and the rows that list it as survivor or skipped. */
static void store(struct view *v, const struct dir_row *d)
{
	struct rkey survivor = rows_key_view(ROW_SURVIVOR), skipped = rows_key_view(ROW_SKIPPED);

	cells_put_dir(v, d);
	rows_key_inode(&survivor, d->id);
	rows_key_inode(&skipped, d->id);
	set_row(v, &survivor, d->live && !d->own);
	set_row(v, &skipped, d->level > 0);
}

static bool has_kids(struct view *v, struct inode_id id)
{
	struct rkey names = rows_key(TABLE_PLACE), children = rows_key(TABLE_CHILD);

	rows_key_inode(&names, id);
	rows_key_inode(&children, id);
	return rows_any(v, &names) || rows_any(v, &children);
}

/* Something lives at id: so does it, and all above it. */
static void revive(struct view *v, struct inode_id id)
{
	auto_dir d = {0};

	if (dirs_live(v, id))
		return;
	while (cells_dir(v, id, &d) && !d.live) {
		d.live = true;
		store(v, &d);
		put_child(v, &d);
		id = dirs_effective(&d)->parent;
	}
}

/* Something at id went: if nothing is left, it goes too, and perhaps what is above it. */
static void bury(struct view *v, struct inode_id id)
{
	auto_dir d = {0};

	while (cells_dir(v, id, &d) && d.live && !d.own && !has_kids(v, id)) {
		struct spot s = spot_of(dirs_effective(&d));
		d.live = false;
		store(v, &d);
		del_child(v, id, &s);
		id = s.parent;
	}
}

static void note_time(struct view *v, struct inode_id id, int64_t wall_ms, uint64_t t)
{
	auto_dir d = {0};

	if (!cells_dir(v, id, &d) || (d.mtime_ms >= wall_ms && d.touched_t >= t))
		return;
	d.mtime_ms = MAX(d.mtime_ms, wall_ms);
	d.touched_t = MAX(d.touched_t, t);
	cells_put_dir(v, &d);
}

void dirs_gain(struct view *v, struct inode_id id, int64_t wall_ms, uint64_t t)
{
	note_time(v, id, wall_ms, t);
	revive(v, id);
}

void dirs_lose(struct view *v, struct inode_id id, int64_t wall_ms, uint64_t t)
{
	note_time(v, id, wall_ms, t);
	bury(v, id);
}

bool dirs_live(struct view *v, struct inode_id id)
{
	struct dir_glance g;

	return cells_glance(v, id, &g) && g.live;
}

/* ---- rule 1 ---- */

struct step { /* a directory whose level is worked out anew */
	struct inode_id id;
	uint8_t level;
	uint32_t mark; /* the walk that passed here last */
};
struct steps {
	uint32_t count, room;
	struct step *at;
};

static struct step *step_find(struct steps *s, struct inode_id id)
{
	for (uint32_t k = 0; k < s->count; k++)
		if (inode_equal(s->at[k].id, id))
			return &s->at[k];
	return NULL;
}

static void step_add(struct view *v, struct steps *s, struct inode_id id, uint8_t level)
{
	struct step *p = rows_grow(v, s->at, s->count, &s->room, sizeof(s->at[0]));

	if (!p)
		return;
	s->at = p;
	p[s->count++] = (struct step){.id = id, .level = level};
}

/* The parent of id as things are being worked out; false at the root. */
static bool step_up(struct view *v, struct steps *s, struct inode_id *id)
{
	auto_dir d = {0};

	if (inode_equal(*id, INODE_ROOT) || !cells_dir(v, *id, &d))
		return false;
	const struct step *at = step_find(s, *id);
	*id = d.cands[at ? at->level : d.level].parent;
	return true;
}

/* In the cycle through start, the latest that has a candidate left takes its next one. */
static void break_cycle(struct view *v, struct steps *s, struct inode_id start)
{
	struct inode_id id = start, best = {0, 0};
	struct stamp best_at = {0, 0};
	uint8_t best_level = 0;

	do {
		auto_dir d = {0};
		if (!cells_dir(v, id, &d))
			return;
		const struct step *at = step_find(s, id);
		uint8_t level = at ? at->level : d.level;
		int c = stamp_compare(d.at, best_at);
		if (level + 1 < d.count && (c > 0 || (c == 0 && inode_compare(id, best) > 0))) {
			best = id;
			best_at = d.at;
			best_level = level;
		}
		id = d.cands[level].parent;
	} while (!inode_equal(id, start));
	assert(!inode_none(best)); /* birth edges have no cycle */
	struct step *at = step_find(s, best);
	if (at)
		at->level = (uint8_t)(best_level + 1);
	else
		step_add(v, s, best, (uint8_t)(best_level + 1));
}

/* Walk up from the k-th step; whether that ended in a cycle, which is broken then. */
static bool step_walk(struct view *v, struct steps *s, uint32_t k, uint32_t mark)
{
	struct inode_id id = s->at[k].id;

	do {
		struct step *at = step_find(s, id);
		if (at && at->mark == mark) {
			break_cycle(v, s, id);
			return true;
		}
		if (at)
			at->mark = mark;
	} while (step_up(v, s, &id));
	return false;
}

/* All levels that follow from a change of id: *s holds them for those it looked at. */
static void rule_one(struct view *v, struct inode_id id, struct steps *s)
{
	struct walk w = {.prefix = rows_key_view(ROW_SKIPPED)};
	auto_wr value = {0};
	uint32_t mark = 0;

	step_add(v, s, id, 0);
	while (rows_each(v, &w, &value)) {
		struct rd r = {.at = w.at.b + 2, .end = w.at.b + w.at.len};
		struct inode_id x = ids_rd_key_inode(&r);
		if (!inode_equal(x, id))
			step_add(v, s, x, 0);
	}
	for (uint32_t k = 0; k < s->count && !v->bad;)
		if (step_walk(v, s, k, ++mark))
			k = 0;
		else
			k++;
}

static bool leads_to_itself(struct view *v, struct inode_id id)
{
	struct inode_id at = id;
	struct steps none = {0};

	while (step_up(v, &none, &at))
		if (inode_equal(at, id))
			return true;
	return false;
}

/* ---- changes ---- */

static void moves_add(struct view *v, struct moves *m, const struct dir_row *d)
{
	struct moved *p = rows_grow(v, m->at, m->count, &m->room, sizeof(m->at[0]));

	if (!p)
		return;
	m->at = p;
	p[m->count++] =
		(struct moved){.id = d->id, .live = d->live, .from = spot_of(dirs_effective(d))};
}

/* Carry out moves: all leave where they stood, then those that live come to stand anew. */
static void settle(struct view *v, struct moves *m)
{
	for (uint32_t k = 0; k < m->count; k++)
		if (m->at[k].live)
			del_child(v, m->at[k].id, &m->at[k].from);
	for (uint32_t k = 0; k < m->count; k++) {
		auto_dir d = {0};
		if (cells_dir(v, m->at[k].id, &d) && (d.own || has_kids(v, d.id)))
			revive(v, d.id);
	}
	for (uint32_t k = 0; k < m->count; k++)
		if (m->at[k].live)
			bury(v, m->at[k].from.parent);
}

/* Candidates as the heads have them, the first of them effective for now; it stands nowhere. */
static void renew(struct view *v, const struct dir_row *old, const struct inode_row *i)
{
	struct walk w = cells_links(old->id);
	struct dir_row d = *old;
	auto_link l = {0};
	auto_wr names = {0};
	struct rkey asked = rows_key_view(ROW_TWICE);
	bool any = false, placed = false, twice = false;
	struct inode_id parents[2] = {{0, 0}};
	uint8_t lens[2] = {0};

	d.at = (struct stamp){0, 0};
	while (cells_links_next(v, &w, &l)) {
		twice = twice || reg_asked_twice(&l);
		for (uint32_t k = 0; k < l.count; k++) {
			const struct link_head *h = &l.heads[k];
			struct stamp at = {h->o.t, h->o.dot.inc};
			bool better = !any || (h->has_place && !placed) ||
				      (h->has_place == placed && stamp_compare(at, d.at) > 0);
			if (!better)
				continue;
			any = true;
			placed = h->has_place;
			d.at = at;
			d.count = 0;
			wr_reset(&names);
			const struct place *ways[2] = {h->has_place ? &h->place : NULL,
						       h->has_prev ? &h->prev : NULL};
			for (size_t n = 0; n < 2; n++) {
				if (!ways[n])
					continue;
				parents[d.count] = ways[n]->parent;
				lens[d.count++] = (uint8_t)ways[n]->name.len;
				wr_bytes(&names, ways[n]->name);
			}
		}
	}
	rows_wr(v, &names);
	if (v->bad)
		return;
	if (!any)
		d.count = 0;
	size_t at = 0;
	for (uint8_t n = 0; n < d.count; at += lens[n], n++)
		d.cands[n] = (struct place){parents[n], {names.at + at, lens[n]}};
	d.cands[d.count++] = i->birth;
	rows_key_inode(&asked, d.id);
	set_row(v, &asked, twice);
	d.own = placed;
	d.level = 0;
	d.live = false;
	cells_put_dir(v, &d);
}

static bool same_spot(const struct place *a, const struct place *b)
{
	return inode_equal(a->parent, b->parent) && bytes_equal(a->name, b->name);
}

void dirs_update(struct view *v, struct inode_id id)
{
	auto_dir old = {0}, d = {0};
	auto_inode i = {0};
	struct rkey skipped = rows_key_view(ROW_SKIPPED);

	if (!cells_dir(v, id, &old) || !cells_inode(v, id, &i))
		return;
	bool hard = rows_any(v, &skipped);
	renew(v, &old, &i);
	if (!cells_dir(v, id, &d))
		return;
	bool stays = same_spot(dirs_effective(&old), dirs_effective(&d));
	if (!hard && stays && old.own == d.own) {
		d.live = old.live;
		cells_put_dir(v, &d);
		return;
	}
	struct moves m = {0};
	struct steps s = {0};
	moves_add(v, &m, &old);
	if (hard || (!stays && leads_to_itself(v, id)))
		rule_one(v, id, &s);
	else
		step_add(v, &s, id, 0);
	for (uint32_t k = 0; k < s.count && !v->bad; k++) {
		auto_dir x = {0};
		if (!cells_dir(v, s.at[k].id, &x))
			break;
		if (!inode_equal(x.id, id) && x.level == s.at[k].level)
			continue;
		if (!inode_equal(x.id, id))
			moves_add(v, &m, &x);
		x.level = s.at[k].level;
		x.live = false;
		store(v, &x);
	}
	settle(v, &m);
	free(m.at);
	free(s.at);
}

void dirs_add(struct view *v, struct inode_id id, struct stamp born, const struct place *birth)
{
	struct dir_row d = {.id = id, .born = born, .count = 1};

	d.cands[0] = *birth;
	cells_put_dir(v, &d);
}

void dirs_add_root(struct view *v)
{
	struct inode_row i = {.id = INODE_ROOT, .type = TYPE_DIR};
	struct dir_row d = {.id = INODE_ROOT, .own = true, .live = true};

	cells_put_inode(v, &i);
	cells_put_dir(v, &d);
}

/* ---- unions ---- */

bool dirs_any_union(struct view *v)
{
	struct rkey k = rows_key_view(ROW_UNION);

	if (v->has_unions < 0)
		v->has_unions = rows_any(v, &k);
	return v->has_unions;
}

void dirs_parts_fini(struct parts *p)
{
	if (p->at != &p->one)
		free(p->at);
	*p = (struct parts){0};
}

void dirs_forget_cache(struct view *v)
{
	for (size_t k = 0; v->parts_count && k < BUCKETS; k++) {
		while (v->parts[k]) {
			struct parts_cached *c = v->parts[k];
			v->parts[k] = c->next;
			free(c);
		}
	}
	v->parts_count = 0;
}

static struct parts_cached **bucket(struct view *v, struct inode_id id)
{
	return &v->parts[ids_ino(id) % BUCKETS];
}

static const struct parts_cached *cached(struct view *v, struct inode_id id)
{
	const struct parts_cached *c = *bucket(v, id);

	while (c && !inode_equal(c->of, id))
		c = c->next;
	return c;
}

struct born_dir {
	struct stamp born;
	struct inode_id id;
};

static int born_compare(const void *a, const void *b)
{
	const struct born_dir *x = a, *y = b;
	int c = stamp_compare(x->born, y->born);

	return c ? c : inode_compare(x->id, y->id);
}

/* Put into the cache what is shown as one with id, whose parent's parts are up. */
static const struct parts_cached *unite(struct view *v, struct inode_id id, struct bytes name,
					const struct inode_id *up, uint32_t up_count)
{
	struct born_dir *all = NULL;
	uint32_t count = 0, room = 0;

	for (uint32_t k = 0; k < up_count; k++) {
		struct walk w = dirs_children(up[k], name);
		struct born_dir one;
		while (dirs_children_next(v, &w, &one.id, &one.born)) {
			struct born_dir *p = rows_grow(v, all, count, &room, sizeof(*all));
			if (!p)
				break;
			all = p;
			all[count++] = one;
		}
	}
	struct parts_cached *c = malloc(sizeof(*c) + count * sizeof(c->at[0]));
	if (!c)
		rows_fail(v, fail(ERR_NOMEM));
	if (v->bad) {
		free(c);
		free(all);
		return NULL;
	}
	if (count)
		qsort(all, count, sizeof(*all), born_compare);
	c->of = id;
	c->count = count;
	for (uint32_t k = 0; k < count; k++)
		c->at[k] = all[k].id;
	free(all);
	c->next = *bucket(v, id);
	*bucket(v, id) = c;
	v->parts_count++;
	return c;
}

/* Parts of id in a tree that has unions: from the nearest directory above that is known, down. */
static const struct parts_cached *resolve(struct view *v, struct inode_id id)
{
	struct spots up = {0}; /* parent: a directory on the way up, name: its own */
	const struct parts_cached *c = NULL;
	struct inode_id root = INODE_ROOT;
	uint32_t room = 0;

	if (v->parts_count > PARTS_CACHED_MAX)
		dirs_forget_cache(v);
	while (!v->bad && !inode_equal(id, INODE_ROOT) && !(c = cached(v, id))) {
		auto_dir d = {0};
		struct spot *p = rows_grow(v, up.at, up.count, &room, sizeof(up.at[0]));
		if (!p)
			break;
		up.at = p; /* whatever comes now: the old one is gone */
		if (!cells_dir(v, id, &d))
			break;
		p[up.count] = spot_of(dirs_effective(&d));
		p[up.count++].parent = id;
		id = dirs_effective(&d)->parent;
	}
	for (uint32_t k = up.count; k > 0 && !v->bad; k--)
		c = unite(v, up.at[k - 1].parent, spot_name(&up.at[k - 1]), c ? c->at : &root,
			  c ? c->count : 1);
	free(up.at);
	return v->bad ? NULL : c;
}

bool dirs_parts(struct view *v, struct inode_id id, struct parts *ret)
{
	if (ret->at != &ret->one)
		free(ret->at);
	*ret = (struct parts){0};
	if (!dirs_live(v, id))
		return false;
	ret->one = id;
	ret->at = &ret->one;
	ret->count = 1;
	if (inode_equal(id, INODE_ROOT) || !dirs_any_union(v))
		return true;
	const struct parts_cached *c = resolve(v, id);
	if (!c || c->count == 0)
		return false;
	ret->one = c->at[0];
	ret->count = c->count;
	if (c->count == 1)
		return true;
	ret->at = malloc(c->count * sizeof(ret->at[0]));
	if (!ret->at) {
		rows_fail(v, fail(ERR_NOMEM));
		return false;
	}
	memcpy(ret->at, c->at, c->count * sizeof(ret->at[0]));
	return true;
}
