// SPDX-License-Identifier: MIT
/*
 * notice.c - what a record changed for those who look
 *
 * The files that keep the rows only note which places they touched.  Here the state before is
 * asked once more, the write set is stored, and the state after is asked: what a touched place
 * shows is always told; of derived entries and of directories that unite or part, whose entries
 * move without any row of theirs changing, exactly what differs.
 */
#include "core/notice.h"
#include <stdlib.h>

struct seen { /* an entry as it was shown */
	struct inode_id dir, id;
	struct dot version;
	struct name_id n;
	uint8_t kind;
	uint16_t name_len;
	uint8_t name[NAME_BYTES_MAX];
};
struct seens {
	uint32_t count, room;
	struct seen *at;
};
struct recheck { /* a directory whose derived entries may change */
	struct inode_id dir;
	struct overlay *before; /* NULL: there were none */
};
struct ids {
	uint32_t count, room;
	struct inode_id *at;
};
struct was { /* what a spot to be told showed before */
	bool known;
	uint8_t type; /* enum inode_type; 0: nothing */
	struct inode_id id;
};
struct notice {
	struct spots tell;
	struct was *was; /* of the first was_count of them */
	uint32_t was_count, was_room;
	struct recheck *checks;
	uint32_t checks_count, checks_room;
	struct ids wide; /* directories that are, were or become parts of unions */
	struct seens before, after;
};

static struct bytes spot_name(const struct spot *s)
{
	return (struct bytes){s->name, s->name_len};
}

/* ---- derived entries ---- */

static bool checked(const struct notice *n, struct inode_id dir)
{
	for (uint32_t k = 0; k < n->checks_count; k++)
		if (inode_equal(n->checks[k].dir, dir))
			return true;
	return false;
}

static void check_later(struct view *v, struct notice *n, struct inode_id dir)
{
	struct recheck *p =
		rows_grow(v, n->checks, n->checks_count, &n->checks_room, sizeof(*n->checks));

	if (!p)
		return;
	n->checks = p;
	p[n->checks_count++] = (struct recheck){dir, place_overlay_take(v, dir)};
}

static bool contested_after(struct view *v, const struct parts *parts, const struct spot *s)
{
	v->old = false;
	bool is = place_contested_in(v, parts, spot_name(s));
	v->old = true;
	return is;
}

/* ---- what was there ---- */

static struct bytes shown_name(const struct showing *s)
{
	return (struct bytes){s->s.name, s->s.name_len};
}

static void was_add(struct view *v, struct notice *n, struct was w)
{
	struct was *p = rows_grow(v, n->was, n->was_count, &n->was_room, sizeof(*n->was));

	if (!p)
		return;
	n->was = p;
	p[n->was_count++] = w;
}

/* Of all spots noted so far, while the rows are those from before. */
static void note_before(struct view *v, struct notice *n)
{
	for (uint32_t k = n->was_count; k < n->tell.count && v->tell_before && !v->bad; k++) {
		const struct spot *s = &n->tell.at[k];
		auto_showing is = {0};
		struct was w = {.known = true};
		if (place_lookup(v, s->parent, spot_name(s), &is) == ERR_OK) {
			w.type = (uint8_t)is.s.type;
			w.id = is.s.id;
		}
		was_add(v, n, w);
		if (checked(n, s->parent)) /* what was worked out for this look is old soon */
			place_forget(v, s->parent);
	}
}

/* A spot found after the rows changed, and what it showed before. */
static void tell_late(struct view *v, struct notice *n, struct inode_id dir,
		      const struct showing *s, struct was w)
{
	uint32_t before = n->tell.count;

	rows_spot_add(v, &n->tell, dir, shown_name(s));
	while (v->tell_before && !v->bad && n->was_count < n->tell.count)
		was_add(v, n, n->was_count < before ? (struct was){.known = false} : w);
}

/* Before: where the spot is shown, and whether entries derived there hang on it. */
static void look_before(struct view *v, struct notice *n, const struct spot *s)
{
	auto_parts parts = {0};
	const struct overlay *o;

	if (!dirs_parts(v, s->parent, &parts)) {
		place_forget(v, s->parent);
		if (!checked(n, s->parent)) /* it may come to life with derived entries */
			check_later(v, n, s->parent);
		return;
	}
	struct inode_id dir = parts.at[0];
	rows_spot_add(v, &n->tell, dir, spot_name(s));
	if (checked(n, dir))
		return;
	bool moves = place_contested_in(v, &parts, spot_name(s)) || contested_after(v, &parts, s);
	if (!place_overlay(v, dir, &o))
		return;
	if (moves || (o && rows_spot_in(&o->probed, dir, spot_name(s))))
		check_later(v, n, dir);
}

static bool same_shown(const struct shown *a, const struct shown *b)
{
	return a->kind == b->kind && inode_equal(a->id, b->id) && a->type == b->type &&
	       name_id_compare(a->n, b->n) == 0;
}

/* Both stand by name: tell what only one has, or what differs. */
static void compare_overlays(struct view *v, struct notice *n, struct inode_id dir,
			     const struct overlay *a, const struct overlay *b)
{
	uint32_t i = 0, k = 0, a_count = a ? a->count : 0, b_count = b ? b->count : 0;

	while (i < a_count || k < b_count) {
		int c = i == a_count   ? 1
			: k == b_count ? -1
				       : bytes_compare(shown_name(a->at[i]), shown_name(b->at[k]));
		const struct showing *s = c <= 0 ? a->at[i] : b->at[k];
		struct was w = {.known = true};
		if (c <= 0) {
			w.type = (uint8_t)s->s.type;
			w.id = s->s.id;
		}
		if (c != 0 || !same_shown(&a->at[i]->s, &b->at[k]->s))
			tell_late(v, n, dir, s, w);
		i += c <= 0;
		k += c >= 0;
	}
}

/* ---- unions ---- */

static bool ids_add(struct view *v, struct ids *s, struct inode_id id)
{
	for (uint32_t k = 0; k < s->count; k++)
		if (inode_equal(s->at[k], id))
			return false;
	struct inode_id *p = rows_grow(v, s->at, s->count, &s->room, sizeof(s->at[0]));
	if (!p)
		return false;
	s->at = p;
	p[s->count++] = id;
	return true;
}

static void add_children(struct view *v, struct ids *s, struct inode_id parent, struct bytes name)
{
	struct walk w = dirs_children(parent, name);
	struct inode_id id;
	struct stamp born;

	while (dirs_children_next(v, &w, &id, &born))
		(void)ids_add(v, s, id);
}

/* Those from before and those to come: what a record brings to life may have a name in common with
 * what was there. */
static void add_children_ever(struct view *v, struct ids *s, struct inode_id parent,
			      struct bytes name)
{
	const bool old = v->old;

	v->old = true;
	add_children(v, s, parent, name);
	v->old = false;
	add_children(v, s, parent, name);
	v->old = old;
}

/* Names of directories that several of a group have: those may unite or part with them. */
static void add_shared(struct view *v, struct ids *wide, const struct ids *group)
{
	for (uint32_t k = 0; k < group->count; k++) {
		struct walk w = {.prefix = rows_key(TABLE_CHILD)};
		auto_wr value = {0};
		struct inode_id parent;
		struct bytes name;
		struct rd r;

		rows_key_inode(&w.prefix, group->at[k]);
		while (rows_each(v, &w, &value)) {
			struct ids all = {0};
			if (!rows_key_place(&w.at, 1, &parent, &name, &r))
				break;
			for (uint32_t n = 0; n < group->count; n++)
				add_children_ever(v, &all, group->at[n], name);
			for (uint32_t n = 0; n < all.count && all.count > 1; n++)
				(void)ids_add(v, wide, all.at[n]);
			free(all.at);
		}
	}
}

/*
 * The directories whose entries may move to or from another shown directory as the touched places
 * gain or lose directories, and so on below, wherever two share a name.
 */
static void find_wide(struct view *v, struct notice *n)
{
	for (uint32_t k = 0; k < v->touched.count && !v->bad; k++) {
		const struct spot *s = &v->touched.at[k];
		auto_parts parts = {0};
		struct ids group = {0};

		(void)dirs_parts(v, s->parent, &parts); /* one that is not live has none */
		for (uint32_t p = 0; p < parts.count; p++)
			add_children_ever(v, &group, parts.at[p], spot_name(s));
		add_children_ever(v, &group, s->parent, spot_name(s));
		for (uint32_t p = 0; p < group.count && group.count > 1; p++)
			(void)ids_add(v, &n->wide, group.at[p]);
		free(group.at);
	}
	for (uint32_t count = 0; count < n->wide.count && !v->bad;) {
		struct ids group = n->wide;
		count = n->wide.count;
		group.at = malloc(count * sizeof(group.at[0]));
		if (!group.at) {
			rows_fail(v, fail(ERR_NOMEM));
			return;
		}
		memcpy(group.at, n->wide.at, count * sizeof(group.at[0]));
		add_shared(v, &n->wide, &group);
		free(group.at);
	}
}

/* Everything that directories of the list show now under their own id. */
static void list_wide(struct view *v, const struct ids *wide, struct seens *to)
{
	for (uint32_t k = 0; k < wide->count; k++) {
		auto_parts parts = {0};
		auto_showing s = {0};

		if (!dirs_parts(v, wide->at[k], &parts) || !inode_equal(parts.at[0], wide->at[k]))
			continue;
		uint8_t name[NAME_BYTES_MAX];
		struct bytes after = {name, 0};
		while (place_next(v, wide->at[k], after, &s) == ERR_OK) {
			struct seen *p =
				rows_grow(v, to->at, to->count, &to->room, sizeof(to->at[0]));
			if (!p)
				return;
			to->at = p;
			p = &to->at[to->count++];
			memset(p, 0, sizeof(*p));
			p->dir = wide->at[k];
			p->id = s.s.id;
			p->n = s.s.n;
			p->kind = (uint8_t)s.s.kind;
			p->name_len = s.s.name_len;
			memcpy(p->name, s.s.name, s.s.name_len);
			memcpy(name, s.s.name, s.s.name_len);
			after.len = s.s.name_len;
		}
	}
}

static int seen_compare(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	int c = inode_compare(x->dir, y->dir);

	return c ? c
		 : bytes_compare((struct bytes){x->name, x->name_len},
				 (struct bytes){y->name, y->name_len});
}

static void compare_lists(struct view *v, struct notice *n)
{
	const struct seens *a = &n->before, *b = &n->after;
	uint32_t i = 0, k = 0;

	if (a->count)
		qsort(a->at, a->count, sizeof(a->at[0]), seen_compare);
	if (b->count)
		qsort(b->at, b->count, sizeof(b->at[0]), seen_compare);
	while (i < a->count || k < b->count) {
		int c = i == a->count ? 1 : k == b->count ? -1 : seen_compare(&a->at[i], &b->at[k]);
		const struct seen *s = c <= 0 ? &a->at[i] : &b->at[k];
		if (c != 0 || memcmp(&a->at[i], &b->at[k], sizeof(*s)) != 0)
			rows_spot_push(v, &n->tell, s->dir, (struct bytes){s->name, s->name_len});
		i += c <= 0;
		k += c >= 0;
	}
}

/* ---- the whole ---- */

static void look_after(struct view *v, struct notice *n)
{
	for (uint32_t k = 0; k < v->touched.count; k++) {
		const struct spot *s = &v->touched.at[k];
		auto_parts parts = {0};
		if (dirs_parts(v, s->parent, &parts))
			rows_spot_add(v, &n->tell, parts.at[0], spot_name(s));
	}
	for (uint32_t k = 0; k < n->checks_count; k++) {
		const struct overlay *o;
		if (!place_overlay(v, n->checks[k].dir, &o))
			o = NULL; /* shown no more */
		compare_overlays(v, n, n->checks[k].dir, n->checks[k].before, o);
	}
	list_wide(v, &n->wide, &n->after);
	compare_lists(v, n);
}

static void tell(struct view *v, const struct notice *n)
{
	struct change c;

	for (uint32_t k = 0; k < n->tell.count && v->hooks.changed; k++) {
		const struct spot *s = &n->tell.at[k];
		c = (struct change){.kind = CHANGE_ENTRY, .inode = s->parent};
		c.name_len = (uint8_t)s->name_len;
		memcpy(c.name, s->name, s->name_len);
		if (k < n->was_count) {
			c.was_known = n->was[k].known;
			c.was_type = n->was[k].type;
			c.was = n->was[k].id;
		}
		v->hooks.changed(v->hooks.arg, &c);
	}
	for (uint32_t k = 0; k < v->news_count && v->hooks.changed; k++) {
		c = (struct change){.kind = v->news[k].kind, .inode = v->news[k].inode};
		v->hooks.changed(v->hooks.arg, &c);
	}
}

static void notice_fini(struct notice *n)
{
	for (uint32_t k = 0; k < n->checks_count; k++)
		place_overlay_free(n->checks[k].before);
	free(n->checks);
	free(n->was);
	free(n->wide.at);
	free(n->before.at);
	free(n->after.at);
	rows_spots_fini(&n->tell);
}

void notice_flush(struct view *v)
{
	__attribute__((cleanup(notice_fini))) struct notice n = {0};
	struct rkey unions = rows_key_view(ROW_UNION);

	bool wide = v->dirs_touched && rows_any(v, &unions);
	v->old = true;
	if (v->dirs_touched) {
		v->has_unions = rows_any(v, &unions);
		wide |= v->has_unions > 0;
	}
	for (uint32_t k = 0; k < v->touched.count && !v->bad; k++)
		look_before(v, &n, &v->touched.at[k]);
	if (wide) {
		find_wide(v, &n);
		list_wide(v, &n.wide, &n.before);
	}
	note_before(v, &n);
	v->old = false;
	rows_flush(v);
	if (v->dirs_touched) {
		v->has_unions = -1;
		dirs_forget_cache(v);
	}
	if (wide || v->bad)
		place_forget_all(v);
	if (v->bad)
		return;
	look_after(v, &n);
	tell(v, &n);
}
