// SPDX-License-Identifier: MIT
/*
 * past.c - the tree and its history asked as one: see past.h
 *
 * An entry stood at a name from the stamp of the record that put it there to that of the record
 * that took it away: rows of history for those that ended, the view for those that did not.  A
 * file's lineage at a name goes on through saving by rename: the files that were replaced there
 * count as its earlier versions.
 */
#include "core/past.h"
#include "core/facts.h"
#include "core/history.h"
#include <stdlib.h>

/* A call begins: failures of the one before are over. */
static void begin(struct view *v)
{
	v->bad = ERR_OK;
}

static enum err absent(struct view *v)
{
	return v->bad ? v->bad : ERR_NOENT;
}

void past_root(struct past_dir *ret)
{
	*ret = (struct past_dir){.count = 1, .at = {INODE_ROOT}};
}

/* ---- entries ---- */

static void dir_add(struct past_dir *d, struct inode_id id)
{
	for (uint32_t k = 0; k < d->count; k++)
		if (inode_equal(d->at[k], id))
			return;
	if (d->count < PAST_PARTS_MAX)
		d->at[d->count++] = id;
}

/* Since when a shown entry stands where it does. */
static uint64_t stands_since(struct view *v, const struct showing *s)
{
	auto_inode i = {0};
	auto_dir d = {0};

	if (s->s.kind == SHOWN_DIR)
		return cells_dir(v, s->s.id, &d) ? d.at.t : 0;
	if (s->s.kept) /* its place is older than the edit that keeps it */
		return cells_inode(v, s->s.id, &i) ? i.born.t : 0;
	return s->at.t;
}

/* What is shown there now. */
static bool shown_at(struct view *v, const struct past_dir *dir, struct bytes name,
		     struct past_entry *ret)
{
	auto_showing s = {0};
	auto_parts parts = {0};
	enum err e = ERR_NOENT;

	for (uint32_t k = 0; k < dir->count && e; k++)
		e = place_lookup(v, dir->at[k], name, &s);
	if (e || v->bad)
		return false;
	ret->type = s.s.type;
	ret->inode = s.s.id;
	ret->from_t = stands_since(v, &s);
	if (s.s.kind == SHOWN_DIR && dirs_parts(v, s.s.id, &parts))
		for (uint32_t k = 0; k < parts.count; k++)
			dir_add(&ret->dir, parts.at[k]);
	return true;
}

/* Whether row h tells better than what was found so far what stood there at t. */
static bool better(const struct past_entry *found, bool any, const struct history_name *h,
		   uint64_t t)
{
	if (t != PAST_NOW && (h->from_t > t || h->until.t <= t))
		return false;
	if (!any)
		return true;
	if (t == PAST_NOW)
		return found->ended && stamp_compare(h->until, found->until) > 0;
	if (found->type == TYPE_DIR || h->type == TYPE_DIR)
		return found->type != TYPE_DIR;
	return h->from_t > found->from_t;
}

static void take_ended(struct past_entry *e, const struct history_name *h)
{
	e->type = h->type;
	e->inode = h->inode;
	e->ended = true;
	e->moved = h->moved;
	e->until = h->until;
	e->from_t = h->from_t;
}

static enum err lookup(struct view *v, const struct past_dir *dir, struct bytes name, uint64_t t,
		       struct past_entry *ret)
{
	struct past_entry e = {.name_len = (uint16_t)name.len}, now = {.type = 0};
	struct past_dir dirs = {0};
	struct history_name h;
	bool any = false;

	if (name.len > NAME_BYTES_MAX)
		return ERR_NOENT;
	if (shown_at(v, dir, name, &now) && now.from_t <= t) {
		e = now;
		dirs = now.dir;
		any = true;
	}
	e.name_len = (uint16_t)name.len;
	memcpy(e.name, name.at, name.len);
	for (uint32_t k = 0; k < dir->count; k++) {
		struct walk w = history_names(dir->at[k], name);

		while (history_names_next(v, &w, &h)) {
			bool stood = t != PAST_NOW && h.from_t <= t && h.until.t > t;

			if (h.type == TYPE_DIR && stood)
				dir_add(&dirs, h.inode);
			if (better(&e, any, &h, t)) {
				take_ended(&e, &h);
				any = true;
			}
		}
	}
	if (!any || v->bad)
		return absent(v);
	e.dir = dirs;
	if (e.type == TYPE_DIR)
		dir_add(&e.dir, e.inode);
	*ret = e;
	return ERR_OK;
}

enum err past_lookup(struct view *v, const struct past_dir *dir, struct bytes name, uint64_t t,
		     struct past_entry *ret)
{
	begin(v);
	return lookup(v, dir, name, t, ret);
}

/* The first name > after that anything stands or ended at, in any part of dir. */
static bool next_name(struct view *v, const struct past_dir *dir, struct bytes after,
		      uint8_t ret[NAME_BYTES_MAX], size_t *len)
{
	auto_showing s = {0};
	uint8_t name[NAME_BYTES_MAX];
	size_t n;

	*len = 0;
	for (uint32_t k = 0; k < dir->count && !v->bad; k++) {
		bool shown = place_next(v, dir->at[k], after, &s) == ERR_OK;

		if (shown && (!*len || bytes_compare((struct bytes){s.s.name, s.s.name_len},
						     (struct bytes){ret, *len}) < 0)) {
			*len = s.s.name_len;
			memcpy(ret, s.s.name, *len);
		}
		if (history_name_after(v, dir->at[k], after, name, &n) &&
		    (!*len ||
		     bytes_compare((struct bytes){name, n}, (struct bytes){ret, *len}) < 0)) {
			*len = n;
			memcpy(ret, name, n);
		}
	}
	return *len > 0 && !v->bad;
}

enum err past_next(struct view *v, const struct past_dir *dir, struct bytes after, uint64_t t,
		   struct past_entry *ret)
{
	uint8_t name[2][NAME_BYTES_MAX];
	struct bytes at = after;
	size_t len;

	begin(v);
	for (unsigned n = 0; next_name(v, dir, at, name[n % 2], &len); n++) {
		at = (struct bytes){name[n % 2], len};
		enum err e = lookup(v, dir, at, t, ret);

		if (e != ERR_NOENT)
			return e;
	}
	return absent(v);
}

enum err past_ended(struct view *v, const struct past_dir *dir, struct bytes after,
		    struct past_entry *ret)
{
	struct past_entry e = {.type = 0};
	struct history_name h;
	uint8_t name[NAME_BYTES_MAX];
	size_t n, len = 0;
	bool any = false;

	begin(v);
	for (uint32_t k = 0; k < dir->count; k++)
		if (history_name_after(v, dir->at[k], after, name, &n) &&
		    (!len ||
		     bytes_compare((struct bytes){name, n}, (struct bytes){e.name, len}) < 0)) {
			len = n;
			memcpy(e.name, name, n);
		}
	for (uint32_t k = 0; k < dir->count && len; k++) {
		struct walk w = history_names(dir->at[k], (struct bytes){e.name, len});

		if (!history_names_next(v, &w, &h) || (any && stamp_compare(h.until, e.until) <= 0))
			continue;
		take_ended(&e, &h);
		any = true;
	}
	if (!any || v->bad)
		return absent(v);
	e.name_len = (uint16_t)len;
	if (e.type == TYPE_DIR)
		dir_add(&e.dir, e.inode);
	*ret = e;
	return ERR_OK;
}

/* ---- attributes ---- */

enum err past_stat(struct view *v, struct inode_id id, struct view_attr *ret)
{
	struct inode_row *i = &v->result;

	begin(v);
	enum err e = facts_stat(v, id, ret);

	if (e != ERR_NOENT)
		return e;
	if (!history_inode(v, id, i))
		return absent(v);
	struct walk w = history_versions(id, UINT64_MAX);
	auto_past last = {0};
	*ret = (struct view_attr){.id = id,
				  .type = i->type,
				  .mode = facts_mode(i),
				  .has_owner = i->owner_at.t || i->owner_at.inc,
				  .uid = i->uid,
				  .gid = i->gid,
				  .rdev = i->rdev,
				  .mtime_ns = i->mtime_ns,
				  .target = i->target};
	if (history_versions_next(v, &w, &last) && last.end == HISTORY_GONE) {
		ret->version = last.h.o.dot;
		if (stamp_compare(reg_stamp(&last.h.o), i->times_at) > 0)
			ret->mtime_ns = last.h.mtime_ns;
	}
	return v->bad;
}

enum err past_xattr(struct view *v, struct inode_id id, struct bytes after, struct wr *key,
		    struct wr *value)
{
	struct bytes name, what;
	auto_inode i = {0};
	uint32_t head;

	begin(v);
	if (!facts_inode(v, id, &i, &head))
		return history_xattr(v, id, after, key, value) ? ERR_OK
		       : v->bad                                ? v->bad
							       : ERR_NODATA;
	enum err e = facts_xattr_next(v, id, after, &name);
	if (e)
		return e;
	wr_reset(key);
	wr_bytes(key, name);
	e = facts_xattr(v, id, wr_view(key), &what);
	if (e)
		return e;
	wr_reset(value);
	wr_bytes(value, what);
	rows_wr(v, key);
	rows_wr(v, value);
	return v->bad;
}

/* ---- versions ---- */

/* Head k of inode as a version that did not end; content moves into raw. */
static void head_copy(struct view *v, const struct inode_row *i, uint32_t k,
		      struct history_version *ret)
{
	wr_reset(&ret->raw);
	wr_bytes(&ret->raw, i->heads[k].content);
	rows_wr(v, &ret->raw);
	ret->inode = i->id;
	ret->h = i->heads[k];
	ret->h.content = wr_view(&ret->raw);
	ret->since_ms = 0;
	ret->end = 0;
	ret->by = 0;
}

static enum past_state state_of(enum history_end end)
{
	switch (end) {
	case HISTORY_DROPPED:
		return PAST_DROPPED;
	case HISTORY_PROMOTED:
		return PAST_PROMOTED;
	case HISTORY_GONE:
		return PAST_REMOVED;
	case HISTORY_REPLACED:
		return PAST_REPLACED;
	}
	return PAST_CURRENT;
}

/* Out of the rows' buffers, for those who ask. */
static enum err give(struct view *v, const struct history_version *h, struct past_version *ret)
{
	uint8_t *content = v->bad ? NULL : malloc(h->h.content.len + 1);

	if (!content)
		return v->bad ? v->bad : fail(ERR_NOMEM);
	memcpy(content, h->h.content.at, h->h.content.len);
	*ret = (struct past_version){.inode = h->inode,
				     .dot = h->h.o.dot,
				     .t = h->h.o.t,
				     .mtime_ns = h->h.mtime_ns,
				     .state = state_of(h->end),
				     .until_ms = h->since_ms,
				     .by = h->by,
				     .content = content,
				     .content_len = h->h.content.len};
	return ERR_OK;
}

void past_version_fini(struct past_version *v)
{
	free(v->content);
	*v = (struct past_version){.t = 0};
}

static bool version_at(struct view *v, struct inode_id inode, uint64_t t,
		       struct history_version *ret)
{
	struct walk w = history_versions(inode, t);
	auto_inode i = {0};
	auto_past old = {0};
	uint32_t head = 0;
	bool any = facts_inode(v, inode, &i, &head);

	if (any && !inode_equal(i.id, inode)) { /* a copy that nobody promoted is one version */
		head_copy(v, &i, head, ret);
		return ret->h.o.t <= t;
	}
	for (head = 0; any && head < i.heads_count && i.heads[head].o.t > t;)
		head++;
	any = any && head < i.heads_count;
	if (any)
		head_copy(v, &i, head, ret);
	if (!history_versions_next(v, &w, &old) ||
	    (any && stamp_compare(reg_stamp(&old.h.o), reg_stamp(&ret->h.o)) < 0))
		return any;
	history_version_fini(ret);
	*ret = old;
	old.raw = (struct wr){0};
	return true;
}

enum err past_version(struct view *v, struct inode_id inode, uint64_t t, struct past_version *ret)
{
	auto_past h = {0};

	begin(v);
	return version_at(v, inode, t, &h) ? give(v, &h, ret) : absent(v);
}

enum err past_content(struct view *v, struct inode_id inode, struct dot dot,
		      struct past_version *ret)
{
	struct walk w = history_versions(inode, UINT64_MAX);
	auto_inode i = {0};
	auto_past h = {0};
	uint32_t head;

	begin(v);
	for (uint32_t k = 0; facts_inode(v, inode, &i, &head) && k < i.heads_count; k++)
		if (dot_compare(i.heads[k].o.dot, dot) == 0) {
			head_copy(v, &i, k, &h);
			return give(v, &h, ret);
		}
	while (history_versions_next(v, &w, &h))
		if (dot_compare(h.h.o.dot, dot) == 0)
			return give(v, &h, ret);
	return absent(v);
}

static bool listed(const struct past_versions *l, struct inode_id inode, struct dot dot)
{
	for (uint32_t k = 0; k < l->count; k++)
		if (inode_equal(l->at[k].inode, inode) && dot_compare(l->at[k].dot, dot) == 0)
			return true;
	return false;
}

struct stay { /* of an inode at the name whose versions are listed */
	struct inode_id inode;
	uint64_t from_t, until_t;
	const struct history_name *gone; /* NULL: it is there */
};

/* A version could be seen at the name once both were there, unless it had ended before. */
static uint64_t seen_since(const struct stay *s, const struct history_version *h)
{
	if (h->since_ms && h->since_ms < (int64_t)(s->from_t >> 16))
		return h->h.o.t;
	return MAX(h->h.o.t, s->from_t);
}

static void list_add(struct view *v, struct past_versions *l, const struct history_version *h,
		     const struct stay *s, enum past_state state)
{
	if (v->bad || listed(l, h->inode, h->h.o.dot))
		return;
	struct past_version *p = rows_grow(v, l->at, l->count, &l->room, sizeof(*l->at));

	if (!p)
		return;
	l->at = p;
	p += l->count;
	rows_fail(v, give(v, h, p));
	if (v->bad)
		return;
	l->count++;
	p->state = state;
	p->shown_t = seen_since(s, h);
	if (s->gone && (state == PAST_REMOVED || state == PAST_MOVED)) {
		p->until_ms = s->gone->since_ms;
		p->by = s->gone->until.inc;
	}
}

/* The versions that one inode had while it was at the name, and before. */
static void list_stay(struct view *v, struct past_versions *l, const struct stay *s)
{
	struct walk w = history_versions(s->inode, s->until_t);
	auto_inode i = {0};
	auto_past h = {0};
	uint32_t head, count = 0;

	bool known = facts_inode(v, s->inode, &i, &head);
	bool copy = known && !inode_equal(i.id, s->inode);
	for (uint32_t k = 0; known && k < i.heads_count; k++) {
		enum past_state state = k == 0 || copy ? PAST_CURRENT : PAST_COPY;

		if (i.heads[k].o.t > s->until_t || (copy && k != head))
			continue;
		if (s->gone)
			state = s->gone->moved ? PAST_MOVED : PAST_REMOVED;
		head_copy(v, &i, k, &h);
		list_add(v, l, &h, s, state);
	}
	for (; count < PAST_VERSIONS_MAX && history_versions_next(v, &w, &h); count++)
		list_add(v, l, &h, s, state_of(h.end));
}

static int later_first(const void *a, const void *b)
{
	const struct past_version *x = a, *y = b;
	int c = u64_compare(y->shown_t, x->shown_t);

	return c ? c
		 : stamp_compare((struct stamp){y->t, y->dot.inc},
				 (struct stamp){x->t, x->dot.inc});
}

enum err past_versions(struct view *v, const struct past_dir *dir, struct bytes name,
		       struct past_versions *ret)
{
	struct past_entry now = {.type = 0};
	struct history_name h;

	begin(v);
	if (shown_at(v, dir, name, &now) && now.type == TYPE_FILE)
		list_stay(v, ret, &(struct stay){now.inode, now.from_t, UINT64_MAX, NULL});
	for (uint32_t k = 0; k < dir->count && name.len <= NAME_BYTES_MAX; k++) {
		struct walk w = history_names(dir->at[k], name);

		while (ret->count < PAST_VERSIONS_MAX && history_names_next(v, &w, &h))
			if (h.type == TYPE_FILE && !inode_equal(h.inode, now.inode))
				list_stay(v, ret, &(struct stay){h.inode, h.from_t, h.until.t, &h});
	}
	if (v->bad || !ret->count)
		return absent(v);
	qsort(ret->at, ret->count, sizeof(*ret->at), later_first);
	while (ret->count > PAST_VERSIONS_MAX)
		past_version_fini(&ret->at[--ret->count]);
	return ERR_OK;
}

void past_versions_fini(struct past_versions *l)
{
	for (uint32_t k = 0; k < l->count; k++)
		past_version_fini(&l->at[k]);
	free(l->at);
	*l = (struct past_versions){0};
}

/* ---- conflicts ---- */

struct seen_by { /* what both had seen */
	const struct origin *a, *b; /* b NULL: there is one alone */
	struct history_version *best;
};

static void consider(struct view *v, struct seen_by *s, const struct history_version *h)
{
	if (!reg_saw(v, s->a, &h->h.o) || (s->b && !reg_saw(v, s->b, &h->h.o)))
		return;
	if (s->best->h.content.len &&
	    stamp_compare(reg_stamp(&h->h.o), reg_stamp(&s->best->h.o)) <= 0)
		return;
	wr_reset(&s->best->raw);
	wr_bytes(&s->best->raw, h->h.content);
	rows_wr(v, &s->best->raw);
	const struct wr raw = s->best->raw;

	*s->best = *h;
	s->best->raw = raw;
	s->best->h.content = wr_view(&s->best->raw);
}

/* The versions of one inode, the latest first; older ones than the first that both saw cannot be
 * newer than it. */
static void consider_inode(struct view *v, struct seen_by *s, struct inode_id id)
{
	struct walk w = history_versions(id, UINT64_MAX);
	auto_inode i = {0};
	auto_past h = {0};

	if (cells_inode(v, id, &i))
		for (uint32_t k = 0; k < i.heads_count; k++) {
			head_copy(v, &i, k, &h);
			consider(v, s, &h);
		}
	for (uint32_t n = 0; n < PAST_VERSIONS_MAX && history_versions_next(v, &w, &h); n++) {
		consider(v, s, &h);
		if (s->best->h.content.len &&
		    stamp_compare(reg_stamp(&h.h.o), reg_stamp(&s->best->h.o)) <= 0)
			return;
	}
}

/* The version that an entry shows. */
static void version_of(struct view *v, const struct shown *s, struct history_version *ret)
{
	auto_inode i = {0};
	uint32_t head;

	if (facts_inode(v, s->id, &i, &head) && head < i.heads_count)
		head_copy(v, &i, head, ret);
}

/* The entry that s contends with: the file it is a copy of, or what has its nominal name. */
static bool other_of(struct view *v, const struct shown *s, struct shown *ret)
{
	auto_showing o = {0};
	struct inode_id file;
	struct dot dot;
	enum err e = ERR_NOENT;

	if (s->kind == SHOWN_COPY)
		e = place_find(v, s->file, &o);
	else if (s->suffixed)
		e = place_lookup(v, s->at, (struct bytes){s->nominal, s->nominal_len}, &o);
	else if (history_origin(v, s->id, &file, &dot))
		e = place_find(v, file, &o);
	if (e || o.s.type != TYPE_FILE)
		return false;
	*ret = o.s;
	return true;
}

/*
 * Those that the lineage of s and of what it contends with may have in common: their own, that of
 * the file a copy was made of, and files that had one of their names before a save replaced them
 * there.  What else once stood at the place does not count: whether it was ever seen there depends
 * on what came first.
 */
static void consider_lineage(struct view *v, struct seen_by *seen, const struct shown *s,
			     const struct shown *other)
{
	struct history_name h;
	struct inode_id file;
	auto_parts parts = {0};
	struct dot dot;

	consider_inode(v, seen, s->file);
	if (other)
		consider_inode(v, seen, other->file);
	if (history_origin(v, s->id, &file, &dot))
		consider_inode(v, seen, file);
	if (!dirs_parts(v, s->at, &parts))
		return;
	for (uint32_t k = 0; k < parts.count; k++) {
		struct walk w =
			history_names(parts.at[k], (struct bytes){s->nominal, s->nominal_len});

		while (history_names_next(v, &w, &h))
			if (h.type == TYPE_FILE && (name_id_compare(h.n, s->n) == 0 ||
						    (other && name_id_compare(h.n, other->n) == 0)))
				consider_inode(v, seen, h.inode);
	}
}

enum err past_conflict(struct view *v, const struct shown *s, struct past_conflict *ret)
{
	auto_past mine = {0}, theirs = {0}, base = {0};
	struct past_conflict c = {.other = {.kind = 0}};

	begin(v);
	version_of(v, s, &mine);
	if (s->type != TYPE_FILE || v->bad || !mine.h.content.len)
		return absent(v);
	if (other_of(v, s, &c.other))
		version_of(v, &c.other, &theirs);
	bool two = theirs.h.content.len > 0;
	struct seen_by seen = {&mine.h.o, two ? &theirs.h.o : NULL, &base};
	consider_lineage(v, &seen, s, two ? &c.other : NULL);
	enum err e = give(v, &mine, &c.mine);
	if (!e && two)
		e = give(v, &theirs, &c.theirs);
	if (!e && base.h.content.len)
		e = give(v, &base, &c.base);
	if (e)
		past_conflict_fini(&c);
	else
		*ret = c;
	return e;
}

void past_conflict_fini(struct past_conflict *c)
{
	past_version_fini(&c->mine);
	past_version_fini(&c->theirs);
	past_version_fini(&c->base);
}
