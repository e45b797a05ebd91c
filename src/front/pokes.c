// SPDX-License-Identifier: MIT
/*
 * pokes.c - places whose watchers have to be told, and what they are told
 *
 * An item is a place, with what stood there when it was last told.  Its turn compares that with
 * what is shown:
 *
 *	nothing, then X		X left another place that waits: a rename.  Else it came.
 *	X, then nothing		X is at another place that waits (a directory: anywhere): a rename.
 *				Else it went.
 *	X, then Y		X is elsewhere: renamed away, then Y comes.  Y left elsewhere:
 *renamed over X.  Else X went, then Y comes.
 *
 * A file saved by way of a temporary name shows nothing at that name, before and after; what stood
 * there in between is remembered, so that the watchers see the rename over the file that it was.
 *
 * I1  one item a place; every item is in the list of turns and in the table of places
 * I2  an item is in the table of ids if, and only if, something left its place: what stood there
 *     when it was last told or, if that was nothing, what stood there since
 * I3  count items are there, at most max
 */
#include "front/pokes.h"
#include "base/hash.h"
#include <stdlib.h>

struct item {
	struct item *next, *prev; /* turns */
	struct item *by_place, *by_left; /* chains */
	struct pokes_place at;
	struct pokes_thing was; /* valid if entry */
	struct pokes_thing left; /* I2; type 0: not in the table of ids */
	unsigned tries; /* to tell who stands there, in vain */
	bool entry, data, attr;
};
struct pokes {
	struct item *first, *last;
	struct item **places, **lefts;
	uint32_t count, max, buckets;
};

static bool same_thing(struct pokes_thing a, struct pokes_thing b)
{
	return a.type == b.type && inode_equal(a.id, b.id);
}

static struct bytes name_of(const struct pokes_place *p)
{
	return (struct bytes){p->name, p->len};
}

bool pokes_same_place(const struct pokes_place *a, const struct pokes_place *b)
{
	return inode_equal(a->dir, b->dir) && bytes_equal(name_of(a), name_of(b));
}

static struct item **bucket_place(const struct pokes *q, const struct pokes_place *p)
{
	return &q->places[hash_xxh(name_of(p), p->dir.inc ^ p->dir.op) & (q->buckets - 1)];
}

static struct item **bucket_left(const struct pokes *q, struct inode_id id)
{
	uint64_t mixed = (id.op ^ id.inc) * UINT64_C(0x9e3779b97f4a7c15);

	return &q->lefts[(mixed >> 32) & (q->buckets - 1)];
}

static struct item *find(const struct pokes *q, const struct pokes_place *p)
{
	struct item *i = *bucket_place(q, p);

	while (i && !pokes_same_place(&i->at, p))
		i = i->by_place;
	return i;
}

/* ---- items ---- */

static void set_left(struct pokes *q, struct item *i, struct pokes_thing left)
{
	if (i->left.type) {
		struct item **at = bucket_left(q, i->left.id);
		while (*at != i)
			at = &(*at)->by_left;
		*at = i->by_left;
	}
	i->left = left;
	if (left.type) {
		struct item **at = bucket_left(q, left.id);
		i->by_left = *at;
		*at = i;
	}
}

static struct item *add(struct pokes *q, const struct pokes_place *at)
{
	struct item *i = q->count < q->max ? calloc(1, sizeof(*i)) : NULL;

	if (!i)
		return NULL;
	i->at = *at;
	i->prev = q->last;
	*(q->last ? &q->last->next : &q->first) = i;
	q->last = i;
	struct item **bucket = bucket_place(q, at);
	i->by_place = *bucket;
	*bucket = i;
	q->count++;
	return i;
}

static void drop(struct pokes *q, struct item *i)
{
	struct item **at = bucket_place(q, &i->at);

	set_left(q, i, (struct pokes_thing){0});
	while (*at != i)
		at = &(*at)->by_place;
	*at = i->by_place;
	*(i->prev ? &i->prev->next : &q->first) = i->next;
	*(i->next ? &i->next->prev : &q->last) = i->prev;
	free(i);
	q->count--;
}

static enum err no_item(const struct pokes *q)
{
	return fail(q->count == q->max ? ERR_FULL : ERR_NOMEM);
}

enum err pokes_entry(struct pokes *q, const struct pokes_place *at,
		     const struct pokes_thing *before)
{
	struct item *i = find(q, at);

	if (!i)
		i = add(q, at);
	if (!i)
		return no_item(q);
	if (!i->entry) {
		i->entry = true;
		i->was = *before;
		set_left(q, i, i->was);
	} else if (!i->was.type && before->type) {
		set_left(q, i, *before);
	}
	return ERR_OK;
}

enum err pokes_touch(struct pokes *q, const struct pokes_place *at, bool data)
{
	struct item *i = find(q, at);

	if (!i)
		i = add(q, at);
	if (!i)
		return no_item(q);
	i->data |= data;
	i->attr |= !data;
	return ERR_OK;
}

/* Whoever watches still believes that a thing stands there. */
static void believed(struct pokes *q, const struct pokes_place *at, struct pokes_thing thing,
		     unsigned tries)
{
	struct item *i = find(q, at);

	if (!i)
		i = add(q, at);
	if (!i)
		return; /* full: one more of those that are not told */
	i->entry = true;
	i->was = thing;
	i->tries = tries;
	set_left(q, i, thing.type ? thing : i->left);
}

bool pokes_failed(struct pokes *q, const struct pokes_order *o)
{
	const struct pokes_thing none = {0};

	if (o->tries == POKES_TRIES || o->kind == POKE_MODIFY || o->kind == POKE_ATTRIB)
		return false;
	bool unknown = o->kind == POKE_CREATE || o->through;
	believed(q, &o->at, unknown ? none : o->what, o->tries + 1);
	if (o->kind == POKE_RENAME || o->kind == POKE_EXCHANGE)
		believed(q, &o->to, o->over, o->tries + 1);
	return true;
}

/* ---- turns ---- */

/* What stood at the place was told away; what is shown there now comes next. */
static void emptied(struct pokes *q, struct item *i)
{
	i->was = (struct pokes_thing){0};
	set_left(q, i, (struct pokes_thing){0});
}

/* All about who stands at the place is told. */
static void told(struct pokes *q, struct item *i, bool keep_touched)
{
	i->entry = false;
	i->tries = 0;
	set_left(q, i, (struct pokes_thing){0});
	if (!keep_touched)
		i->data = i->attr = false;
}

static struct pokes_order between(enum poke_kind kind, const struct item *from,
				  const struct pokes_place *to, struct pokes_thing what)
{
	return (struct pokes_order){.kind = kind, .at = from->at, .to = *to, .what = what};
}

/* What stood at i is elsewhere now, at a place whose watchers do not know: it was renamed. */
static bool moved_away(struct pokes *q, const struct pokes_view *v, struct item *i,
		       struct pokes_order *ret)
{
	struct pokes_thing x = i->was, none = {0};
	struct pokes_place to;

	if (!x.type || !v->where(v->arg, x.id, &to) || pokes_same_place(&to, &i->at))
		return false;
	struct item *target = find(q, &to);
	if (target && (!target->entry || same_thing(target->was, x)))
		target = NULL;
	if (!target && x.type != TYPE_DIR)
		return false;
	struct pokes_thing over = target ? target->was : none, now = v->shows(v->arg, &i->at);
	bool swapped = over.type && same_thing(over, now);
	if (!swapped && over.type && (x.type == TYPE_DIR || over.type == TYPE_DIR))
		return false;
	*ret = between(swapped ? POKE_EXCHANGE : POKE_RENAME, i, &to, x);
	ret->over = over;
	ret->now = now;
	if (swapped)
		told(q, i, true);
	else
		emptied(q, i);
	if (target)
		told(q, target, true);
	return true;
}

/* The place other than i's that y has left; one where it was told to stand before one that it only
 * came through. */
static struct item *place_left(struct pokes *q, const struct pokes_view *v, const struct item *i,
			       struct pokes_thing y)
{
	struct item *through = NULL;

	for (struct item *s = *bucket_left(q, y.id); s; s = s->by_left) {
		if (s == i || !s->entry || !same_thing(s->left, y) ||
		    same_thing(v->shows(v->arg, &s->at), y))
			continue;
		if (s->was.type)
			return s;
		through = s;
	}
	return through;
}

/* What stands at i has left another place whose watchers do not know: it was renamed. */
static bool moved_here(struct pokes *q, const struct pokes_view *v, struct item *i,
		       struct pokes_thing y, struct pokes_order *ret)
{
	struct item *s = y.type ? place_left(q, v, i, y) : NULL;

	if (!s || (i->was.type && (i->was.type == TYPE_DIR || y.type == TYPE_DIR)))
		return false;
	*ret = between(POKE_RENAME, s, &i->at, y);
	ret->over = i->was;
	ret->now = v->shows(v->arg, &s->at);
	ret->through = !s->was.type;
	told(q, i, s->was.type); /* what was written under a temporary name is nobody's news */
	emptied(q, s);
	return true;
}

/* Nothing stood at i and nothing does, but what stood there in between is where somebody waits. */
static bool passed_on(struct pokes *q, const struct pokes_view *v, struct item *i,
		      struct pokes_order *ret)
{
	struct pokes_thing x = i->left;
	struct pokes_place to;

	if (!x.type || i->was.type || !v->where(v->arg, x.id, &to))
		return false;
	struct item *target = find(q, &to);
	return target && target->entry && !same_thing(target->was, x) &&
	       moved_here(q, v, target, x, ret);
}

/* The order about who stands at i; false: nothing to tell. */
static bool entry_order(struct pokes *q, const struct pokes_view *v, struct item *i,
			struct pokes_order *ret)
{
	struct pokes_thing now = v->shows(v->arg, &i->at);

	if (same_thing(i->was, now)) {
		if (passed_on(q, v, i, ret))
			return true;
		told(q, i, true);
		return false;
	}
	if (moved_away(q, v, i, ret) || moved_here(q, v, i, now, ret))
		return true;
	*ret = (struct pokes_order){.at = i->at, .now = now};
	if (i->was.type) {
		ret->kind = POKE_DELETE;
		ret->what = i->was;
		emptied(q, i);
	} else {
		ret->kind = POKE_CREATE;
		ret->what = now;
		told(q, i, false);
	}
	return true;
}

/* One order for i; false: nothing is left to tell. */
static bool turn(struct pokes *q, const struct pokes_view *v, struct item *i,
		 struct pokes_order *ret)
{
	unsigned tries = i->tries;

	if (i->entry && entry_order(q, v, i, ret)) {
		ret->tries = tries;
		return true;
	}
	if (!i->data && !i->attr)
		return false;
	*ret = (struct pokes_order){.kind = i->data ? POKE_MODIFY : POKE_ATTRIB,
				    .at = i->at,
				    .what = v->shows(v->arg, &i->at)};
	if (i->data)
		i->data = false;
	else
		i->attr = false;
	return ret->what.type != 0;
}

bool pokes_next(struct pokes *q, const struct pokes_view *v, struct pokes_order *ret)
{
	while (q->first) {
		struct item *i = q->first;
		if (turn(q, v, i, ret)) {
			if (!i->entry && !i->data && !i->attr)
				drop(q, i);
			return true;
		}
		drop(q, i);
	}
	return false;
}

/* ---- life ---- */

struct pokes *pokes_new(uint32_t places_max)
{
	struct pokes *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->max = places_max;
	q->buckets = 64;
	while (q->buckets < places_max)
		q->buckets *= 2;
	q->places = calloc(q->buckets, sizeof(struct item *));
	q->lefts = calloc(q->buckets, sizeof(struct item *));
	if (q->places && q->lefts)
		return q;
	pokes_free(q);
	return NULL;
}

void pokes_clear(struct pokes *q)
{
	while (q->first)
		drop(q, q->first);
}

void pokes_free(struct pokes *q)
{
	if (!q)
		return;
	pokes_clear(q);
	free(q->places);
	free(q->lefts);
	free(q);
}

uint32_t pokes_count(const struct pokes *q)
{
	return q->count;
}

void pokes_check(const struct pokes *q)
{
	uint32_t count = 0, lefts = 0, in_table = 0;

	for (const struct item *i = q->first; i; i = i->next) {
		assert(find(q, &i->at) == i); /* I1 */
		assert(!i->left.type || i->entry); /* I2 */
		assert(!i->entry || !i->was.type || same_thing(i->was, i->left));
		lefts += i->left.type != 0;
		count++;
	}
	for (uint32_t k = 0; k < q->buckets; k++)
		for (const struct item *i = q->lefts[k]; i; i = i->by_left)
			in_table++;
	assert(lefts == in_table);
	assert(count == q->count && count <= q->max); /* I3 */
}
