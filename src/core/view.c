// SPDX-License-Identifier: MIT
/*
 * view.c - the front of the view: applies records, answers questions
 *
 * A record goes through four rooms: reg puts it into its registers; place and dirs let their rows
 * follow; marks of contested places follow those; notice stores all of it at once and tells what
 * changed.  Until then everything is in the write set, so a malformed record changes nothing.
 */
#include "core/view.h"
#include "core/facts.h"
#include "core/forget.h"
#include "core/history.h"
#include "core/notice.h"
#include "core/place.h"
#include "core/walk.h"
#include <stdlib.h>

struct view *view_new(struct kv *kv, const struct view_hooks *hooks)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->kv = kv;
	v->hooks = *hooks;
	v->has_unions = -1;
	if (!rows_cache_new(v)) {
		view_free(v);
		return NULL;
	}
	auto_dir root = {0};
	if (!cells_dir(v, INODE_ROOT, &root)) {
		dirs_add_root(v);
		rows_flush(v);
	}
	if (v->bad) {
		view_free(v);
		return NULL;
	}
	return v;
}

static void forget_caches(struct view *v)
{
	for (size_t k = 0; k < VECTORS_CACHED; k++)
		vector_unref(v->vectors[k].vec);
	memset(v->vectors, 0, sizeof(v->vectors));
	vector_unref(v->vec_last);
	v->vec_last = NULL;
	rows_cache_clear(v);
	dirs_forget_cache(v);
	place_forget_all(v);
}

enum err view_reset(struct view *v)
{
	v->bad = ERR_OK;
	forget_caches(v);
	v->has_unions = -1;
	v->batch = 0;
	dirs_add_root(v);
	rows_flush(v);
	return v->bad;
}

void view_free(struct view *v)
{
	if (!v)
		return;
	forget_caches(v);
	rows_cache_free(v);
	rows_spots_fini(&v->touched);
	free(v->news);
	free(v->named);
	free(v->ws);
	wr_fini(&v->ws_bytes);
	cells_inode_fini(&v->result);
	wr_fini(&v->result_bytes);
	free(v);
}

void view_tell_before(struct view *v, bool yes)
{
	v->tell_before = yes;
}

/* A call begins: failures of the one before are over. */
static void begin(struct view *v)
{
	v->bad = ERR_OK;
}

/* ---- applying ---- */

struct places { /* what stood or stands for one inode */
	uint32_t count, room;
	struct place_row *at;
};

static void places_add(struct view *v, struct places *s, const struct place_row *p)
{
	struct place_row *at = rows_grow(v, s->at, s->count, &s->room, sizeof(s->at[0]));

	if (!at)
		return;
	s->at = at;
	at[s->count++] = *p;
}

static void all_places(struct view *v, struct inode_id id, struct places *s)
{
	auto_inode i = {0};
	struct walk w = cells_links(id);
	struct place_row p;

	if (!cells_inode(v, id, &i))
		return;
	while (reg_next_place(v, &w, &i, &p))
		places_add(v, s, &p);
	if (s->count == 0 && reg_kept(v, &i, &p))
		places_add(v, s, &p);
}

/* The rows of places follow the versions of an inode, which a record has changed. */
static void follow_versions(struct view *v, const struct record *r, struct inode_id id)
{
	auto_inode before = {0}, after = {0};
	struct places a = {0}, b = {0};

	v->old = true;
	bool known = cells_inode(v, id, &before);
	v->old = false;
	if (!known || !cells_inode(v, id, &after))
		return;
	place_touch_names(v, &after);
	bool flags = (before.heads_count > 1) != (after.heads_count > 1);
	bool live = reg_live_name(v, id, NULL);
	if (!live || after.listed || after.gone_count)
		forget_follow(v, id, r);
	if (!flags && live)
		return;
	v->old = true;
	all_places(v, id, &a);
	v->old = false;
	all_places(v, id, &b);
	for (uint32_t k = 0; k < MAX(a.count, b.count); k++) {
		/* Names are the same and in order, or it is one kept name for another. */
		const struct place_row *x = k < a.count ? &a.at[k] : NULL;
		const struct place_row *y = k < b.count ? &b.at[k] : NULL;
		place_move(v, x, y, r);
	}
	free(a.at);
	free(b.at);
}

static enum err apply_link(struct view *v, const struct record *r, bool *done)
{
	auto_inode i = {0};
	struct place_row before, after;

	bool known = cells_inode(v, r->inode, &i);
	if (v->bad)
		return v->bad;
	if (!known) {
		v->doubtful = true;
		return fail(ERR_MALFORMED);
	}
	bool had = i.type != TYPE_DIR && reg_current(v, &i, r->link.name, &before);
	enum err e = reg_apply_link(v, r, done);
	if (e || *done)
		return e;
	if (i.type == TYPE_DIR) {
		dirs_update(v, r->inode);
		if (!v->plain || i.listed)
			forget_follow(v, r->inode, r);
		return v->bad;
	}
	bool has = reg_current(v, &i, r->link.name, &after);
	place_move(v, had ? &before : NULL, has ? &after : NULL, r);
	if (i.heads_count > 1) { /* its copies may move to another name of it */
		v->old = true;
		place_touch_names(v, &i);
		v->old = false;
		place_touch_names(v, &i);
	}
	bool kept = had && before.flags & PLACE_KEPT; /* with removals, yet not listed */
	if (!v->plain || i.listed || kept)
		forget_follow(v, r->inode, r);
	return v->bad;
}

static enum err apply_inode(struct view *v, const struct record *r, bool *done)
{
	enum err e = reg_apply_inode(v, r, done);

	if (e || *done) /* done: also every directory that is known */
		return e;
	if (r->ino.type == TYPE_DIR)
		dirs_add(v, r->inode, r->ino.born, &r->ino.birth);
	if (r->ino.has_origin)
		follow_versions(v, r, r->ino.origin_inode);
	return v->bad;
}

static enum err apply_kind(struct view *v, const struct record *r, bool *done)
{
	enum err e;

	switch (r->kind) {
	case REC_INODE:
		return apply_inode(v, r, done);
	case REC_LINK:
		return apply_link(v, r, done);
	case REC_CONTENT:
		e = reg_apply_content(v, r, done);
		if (!e && !*done)
			follow_versions(v, r, r->inode);
		return e ? e : v->bad;
	case REC_ATTR:
		return reg_apply_attr(v, r, done);
	default: /* a kind of a later version: carried by the log, no part of the tree */
		*done = true;
		return ERR_OK;
	}
}

/* Records of a bundle share its vector: look its key up once. */
static void remember_vector(struct view *v, const struct vector *vec)
{
	uint8_t key[VEC_KEY_LEN];

	if (vec == v->vec_last)
		return;
	rows_vector_key(v, vec, key);
	vector_unref(v->vec_last);
	v->vec_last = vector_ref(vec);
	memcpy(v->vec_last_key, key, VEC_KEY_LEN);
	if (!v->bad && v->ws_count)
		rows_flush(v); /* the row of the vector stays, whatever becomes of the record */
}

enum err view_apply(struct view *v, const struct record *r)
{
	bool done = false;

	begin(v);
	assert(v->ws_count == 0 && !v->old);
	v->touched.count = 0;
	v->news_count = 0;
	v->named_count = 0;
	v->dirs_touched = false;
	remember_vector(v, r->vec);
	enum err e = v->bad ? v->bad : apply_kind(v, r, &done);
	if (!e && !done) {
		forget_settle(v, r);
		place_mark_touched(v);
		history_left(v, r);
		e = v->bad;
	}
	if (e || done) {
		rows_drop(v);
		v->has_unions = -1; /* it may have been asked of what is dropped now */
		return e;
	}
	notice_flush(v);
	v->applied += v->bad ? 0 : 1;
	return v->bad;
}

/* ---- what is shown ---- */

static enum err give(enum err e, const struct showing *s, struct shown *ret)
{
	if (e)
		return e;
	*ret = s->s;
	return ERR_OK;
}

enum err view_lookup(struct view *v, struct inode_id dir, struct bytes name, struct shown *ret)
{
	auto_showing s = {0};

	begin(v);
	return give(place_lookup(v, dir, name, &s), &s, ret);
}

enum err view_next(struct view *v, struct inode_id dir, struct bytes after, struct shown *ret)
{
	auto_showing s = {0};

	begin(v);
	return give(place_next(v, dir, after, &s), &s, ret);
}

enum err view_find(struct view *v, struct inode_id id, struct shown *ret)
{
	auto_showing s = {0};

	begin(v);
	return give(place_find(v, id, &s), &s, ret);
}

bool view_dir_empty(struct view *v, struct inode_id dir)
{
	auto_showing s = {0};

	begin(v);
	return place_next(v, dir, (struct bytes){NULL, 0}, &s) == ERR_NOENT;
}

enum err view_path(struct view *v, struct inode_id id, char *buf, size_t size)
{
	auto_showing s = {0};
	size_t at = size;

	begin(v);
	enum err e = place_find(v, id, &s);
	while (!e && s.s.kind != SHOWN_ROOT) {
		if (at < s.s.name_len + 2u)
			return fail(ERR_RANGE);
		at -= s.s.name_len + 1u;
		buf[at] = '/';
		memcpy(buf + at + 1, s.s.name, s.s.name_len);
		e = place_find(v, s.s.at, &s);
	}
	if (e)
		return e;
	if (at == size && at < 2)
		return fail(ERR_RANGE);
	if (at == size)
		buf[--at] = '/';
	memmove(buf, buf + at, size - at);
	buf[size - at] = 0;
	return ERR_OK;
}

enum err view_born(struct view *v, struct inode_id id, struct stamp *ret)
{
	begin(v);
	return facts_born(v, id, ret);
}

enum err view_stat(struct view *v, struct inode_id id, struct view_attr *ret)
{
	begin(v);
	return facts_stat(v, id, ret);
}

bool view_is_shown(struct view *v, struct inode_id id)
{
	auto_showing s = {0};

	begin(v);
	return place_find(v, id, &s) == ERR_OK;
}

enum err view_xattr(struct view *v, struct inode_id id, struct bytes key, struct bytes *value)
{
	begin(v);
	return facts_xattr(v, id, key, value);
}

enum err view_xattr_next(struct view *v, struct inode_id id, struct bytes after, struct bytes *key)
{
	begin(v);
	return facts_xattr_next(v, id, after, key);
}

enum err view_bases(struct view *v, struct inode_id id, struct dot *ret, uint32_t max,
		    uint32_t *count)
{
	begin(v);
	return facts_bases(v, id, ret, max, count);
}

enum err view_version(struct view *v, struct inode_id id, struct dot dot, struct version *ret)
{
	begin(v);
	return facts_version(v, id, dot, ret);
}

enum err view_conflicts(struct view *v,
			bool (*show)(void *arg, enum conflict_kind kind, const struct shown *s),
			void *arg)
{
	begin(v);
	walk_conflicts(v, show, arg);
	return v->bad;
}

enum err view_digest(struct view *v, struct hash *ret)
{
	struct hash h;

	begin(v);
	walk_digest(v, &h);
	if (!v->bad)
		*ret = h;
	return v->bad;
}

/* Nothing shown hangs on what goes: no notice, and what is cached stays true. */
enum err view_forget(struct view *v, const struct forget_below *b, struct forgotten *ret)
{
	begin(v);
	assert(v->ws_count == 0 && !v->old);
	v->named_count = 0;
	enum err e = forget_step(v, b, ret);
	if (e)
		rows_drop(v);
	return e;
}

bool view_doubtful(struct view *v)
{
	bool was = v->doubtful;

	v->doubtful = false;
	return was;
}

enum err view_note_stray(struct view *v)
{
	struct rkey k = rows_key_view(ROW_STRAY);

	begin(v);
	rows_put(v, &k, (struct bytes){NULL, 0});
	rows_flush(v);
	return v->bad;
}

bool view_is_stray(struct view *v)
{
	struct rkey k = rows_key_view(ROW_STRAY);

	begin(v);
	return rows_has(v, &k);
}

enum err view_forgot(struct view *v, struct vector **ret)
{
	begin(v);
	*ret = forget_below(v);
	return v->bad;
}

enum err view_forgetting(struct view *v, struct forgetting *ret)
{
	begin(v);
	forget_count(v, ret);
	return v->bad;
}

uint64_t view_inodes(struct view *v)
{
	begin(v);
	return rows_counted(v, ROW_COUNT) + 1; /* and the root */
}

uint64_t view_names(struct view *v)
{
	begin(v);
	return rows_counted(v, ROW_NAMES);
}

void view_check(struct view *v)
{
	begin(v);
	walk_check(v);
}
