// SPDX-License-Identifier: MIT
/*
 * reg.c - the registers and who wins; knows nothing of what is shown where
 *
 * A register keeps the heads that no record applied has replaced.  A record that comes a second
 * time is known by the heads: whatever replaced it had seen it.  Only a version that was dropped
 * or promoted away may leave nobody behind who has seen it, so such are remembered in `gone` until
 * a head has seen them.
 *
 * I1  heads of an inode stand by stamp falling
 * I2  a row ROW_COPY exists for each head of an inode that has several, for no other
 */
#include "core/reg.h"
#include "base/hash.h"
#include "codec/manifest.h"
#include "core/history.h"
#include <stdlib.h>

/* ---- who saw whom ---- */

static struct where where_of(struct view *v, const struct origin *o)
{
	return o->in.seq ? o->in : v->hooks.where(v->hooks.arg, o->dot);
}

/*
 * An incarnation that ends uncleanly leaves records behind that travel in a later one's bundles,
 * under their old dots and with vectors that do not count the log they were meant for.  So among
 * the records of one device it is the clock that tells what had been seen: it rises with every
 * record, over incarnations too.  Where a device's life has forked (a restored store), the other
 * branch's records are in no line with these, and the vector decides as for any other device.
 */
static bool saw_as(struct view *v, const struct origin *r, const struct origin *s,
		   const struct where at[2])
{
	if (v->hooks.line(v->hooks.arg, at[0], at[1]))
		return r->t > s->t;
	return at[1].seq && vector_get(rows_vector(v, r->vec), at[1].inc) >= at[1].seq;
}

static bool also(struct view *v, const struct origin *o, uint32_t k, struct where *ret)
{
	return v->hooks.also && v->hooks.also(v->hooks.arg, o->dot, k, ret);
}

/* Each may have travelled in several bundles: whoever had seen one of them has seen the record. */
bool reg_saw(struct view *v, const struct origin *r, const struct origin *s)
{
	if (r->dot.inc == s->dot.inc)
		return r->dot.op > s->dot.op;
	struct where at[2] = {where_of(v, r), {0, 0}};
	uint32_t i = 0;
	do {
		uint32_t k = 0;
		at[1] = where_of(v, s);
		do {
			if (saw_as(v, r, s, at))
				return true;
		} while (also(v, s, k++, &at[1]));
	} while (also(v, r, i++, &at[0]));
	return false;
}

bool reg_concurrent(struct view *v, const struct origin *r, const struct origin *s)
{
	return dot_compare(r->dot, s->dot) != 0 && !reg_saw(v, r, s) && !reg_saw(v, s, r);
}

static struct origin origin_of(struct view *v, const struct record *r)
{
	struct origin o = {.dot = r->dot, .t = r->t, .in = r->in};

	rows_vector_key(v, r->vec, o.vec);
	return o;
}

/* ---- versions ---- */

int32_t *reg_behind(struct view *v, const struct inode_row *i)
{
	int32_t *behind = malloc(MAX(i->heads_count, 1u) * sizeof(*behind));

	if (!behind) {
		rows_fail(v, fail(ERR_NOMEM));
		return NULL;
	}
	for (uint32_t k = 0; k < i->heads_count; k++) {
		behind[k] = -1;
		for (uint32_t n = 0; n < k && behind[k] < 0; n++)
			if (behind[n] < 0 &&
			    manifest_equal(i->heads[n].content, i->heads[k].content) &&
			    reg_concurrent(v, &i->heads[n].o, &i->heads[k].o))
				behind[k] = (int32_t)n;
	}
	return behind;
}

static struct rkey copy_key(struct inode_id copy)
{
	struct rkey k = rows_key_view(ROW_COPY);

	rows_key_inode(&k, copy);
	return k;
}

bool reg_copy(struct view *v, struct inode_id copy, struct inode_id *file, struct dot *dot)
{
	struct rkey k = copy_key(copy);
	auto_wr w = {0};

	if (!inode_derived(copy) || !rows_get(v, &k, &w))
		return false;
	struct rd r = rd_of(wr_view(&w));
	*file = ids_rd_key_inode(&r);
	struct inode_id d = ids_rd_key_inode(&r);
	*dot = (struct dot){d.inc, d.op};
	return true;
}

static void put_copy(struct view *v, struct inode_id i, struct dot d)
{
	struct rkey k = copy_key(hash_copy_id(i, d));
	auto_wr w = {0};

	ids_key_inode(&w, i);
	ids_key_inode(&w, (struct inode_id){d.inc, d.op});
	rows_wr(v, &w);
	rows_put(v, &k, wr_view(&w));
}

static void del_copy(struct view *v, struct inode_id i, struct dot d)
{
	struct rkey k = copy_key(hash_copy_id(i, d));

	rows_del(v, &k);
}

/*
 * Take the version with that dot out of the heads; it is remembered as gone.  Only what the record
 * has seen can be taken away by it: where a version comes later than a record that names it unseen,
 * it stays a head, so it must where it came before.
 */
static bool take_head(struct view *v, struct inode_row *i, struct dot d, const struct record *r)
{
	const struct origin by = origin_of(v, r);
	uint32_t k = 0;

	while (k < i->heads_count && dot_compare(i->heads[k].o.dot, d) != 0)
		k++;
	if (k == i->heads_count || !reg_saw(v, &by, &i->heads[k].o))
		return false;
	history_took(v, i->id, &i->heads[k], r);
	struct origin *g = realloc(i->gone, (i->gone_count + 1) * sizeof(*g));
	if (!g) {
		rows_fail(v, fail(ERR_NOMEM));
		return false;
	}
	i->gone = g;
	g[i->gone_count++] = i->heads[k].o;
	memmove(&i->heads[k], &i->heads[k + 1], (i->heads_count - k - 1) * sizeof(i->heads[0]));
	i->heads_count--;
	return true;
}

/* Forget of the gone what a head has seen: whatever comes again is known by that head. */
static void prune_gone(struct view *v, struct inode_row *i)
{
	uint32_t left = 0;

	for (uint32_t k = 0; k < i->gone_count; k++) {
		bool seen = false;
		for (uint32_t n = 0; n < i->heads_count && !seen; n++)
			seen = reg_saw(v, &i->heads[n].o, &i->gone[k]);
		if (!seen)
			i->gone[left++] = i->gone[k];
	}
	i->gone_count = left;
}

static void add_head(struct inode_row *i, const struct head *h)
{
	uint32_t k = 0; /* cells_inode() left room for one */

	while (k < i->heads_count && stamp_compare(reg_stamp(&i->heads[k].o), reg_stamp(&h->o)) > 0)
		k++;
	memmove(&i->heads[k + 1], &i->heads[k], (i->heads_count - k) * sizeof(i->heads[0]));
	i->heads[k] = *h;
	i->heads_count++;
}

/* Keep ROW_COPY after the heads of an inode changed: before are the dots it had. */
static void sync_copies(struct view *v, const struct inode_row *i, const struct dot *before,
			uint32_t count)
{
	if (count < 2 && i->heads_count < 2)
		return;
	for (uint32_t k = 0; k < count && count > 1; k++)
		del_copy(v, i->id, before[k]);
	for (uint32_t k = 0; k < i->heads_count && i->heads_count > 1; k++)
		put_copy(v, i->id, i->heads[k].o.dot);
}

void reg_drop_copies(struct view *v, const struct inode_row *i)
{
	for (uint32_t k = 0; k < i->heads_count && i->heads_count > 1; k++)
		del_copy(v, i->id, i->heads[k].o.dot);
}

static struct dot *dots_of(struct view *v, const struct inode_row *i)
{
	struct dot *d = malloc(MAX(i->heads_count, 1u) * sizeof(*d));

	if (!d)
		rows_fail(v, fail(ERR_NOMEM));
	for (uint32_t k = 0; d && k < i->heads_count; k++)
		d[k] = i->heads[k].o.dot;
	return d;
}

/* Tell of what changed in an inode's versions: its primary, and the attributes of its copies. */
static void tell_versions(struct view *v, const struct inode_row *i, const struct dot *before,
			  uint32_t count)
{
	bool same =
		count > 0 && i->heads_count > 0 && dot_compare(before[0], i->heads[0].o.dot) == 0;

	if (!same && (count > 0 || i->heads_count > 0))
		rows_news(v, CHANGE_DATA, i->id);
}

/* ---- names ---- */

int32_t reg_placed(const struct link_row *l)
{
	int32_t best = -1;

	for (uint32_t k = 0; k < l->count; k++) {
		const struct link_head *h = &l->heads[k];
		if (!h->has_place)
			continue;
		const struct link_head *b = best < 0 ? NULL : &l->heads[best];
		if (!b || (b->pinned && !h->pinned) ||
		    (b->pinned == h->pinned &&
		     stamp_compare(reg_stamp(&b->o), reg_stamp(&h->o)) < 0))
			best = (int32_t)k;
	}
	return best;
}

void reg_name(struct view *v, const struct link_head *h, int32_t by)
{
	if (h->has_place)
		cells_name(v, &h->place, by);
	if (h->has_prev)
		cells_name(v, &h->prev, by);
}

static bool place_equal(const struct place *a, const struct place *b)
{
	return inode_equal(a->parent, b->parent) && bytes_equal(a->name, b->name);
}

bool reg_asked_twice(const struct link_row *l)
{
	const struct place *first = NULL;

	for (uint32_t k = 0; k < l->count; k++) {
		const struct link_head *h = &l->heads[k];
		if (!h->has_place || h->pinned)
			continue;
		if (first && !place_equal(first, &h->place))
			return true;
		first = &h->place;
	}
	return false;
}

bool reg_live_name(struct view *v, struct inode_id i, const struct name_id *but)
{
	struct walk w = cells_links(i);
	auto_link l = {0};

	while (cells_links_next(v, &w, &l))
		if (reg_placed(&l) >= 0 && !(but && name_id_compare(l.n, *but) == 0))
			return true;
	return false;
}

static void place_fill(struct place_row *p, const struct place *at, struct name_id n,
		       const struct inode_row *i)
{
	p->parent = at->parent;
	p->name_len = (uint16_t)at->name.len;
	memcpy(p->name, at->name.at, at->name.len);
	p->n = n;
	p->i = i->id;
	p->type = i->type;
	p->flags = i->heads_count > 1 ? PLACE_MULTI : 0;
}

static bool live_row(const struct link_row *l, const struct inode_row *i, struct place_row *ret)
{
	int32_t k = reg_placed(l);

	if (k < 0)
		return false;
	place_fill(ret, &l->heads[k].place, l->n, i);
	ret->at = reg_stamp(&l->heads[k].o);
	if (l->heads[k].pinned || (l->count > 1 && reg_asked_twice(l)))
		ret->flags |= PLACE_ODD;
	return true;
}

struct removal {
	struct origin o;
	struct name_id n;
	bool has_prev;
	struct place_row at;
};

/* All heads of all names of an inode without live names: they are removals. */
static struct removal *removals(struct view *v, const struct inode_row *i, uint32_t *count)
{
	struct walk w = cells_links(i->id);
	auto_link l = {0};
	struct removal *all = NULL;
	uint32_t room = 0;

	*count = 0;
	while (cells_links_next(v, &w, &l)) {
		for (uint32_t k = 0; k < l.count; k++) {
			struct removal *p = rows_grow(v, all, *count, &room, sizeof(*all));
			if (!p)
				return all;
			all = p;
			struct removal *r = &all[(*count)++];
			*r = (struct removal){.o = l.heads[k].o, .n = l.n};
			r->has_prev = l.heads[k].has_prev;
			if (r->has_prev)
				place_fill(&r->at, &l.heads[k].prev, l.n, i);
		}
	}
	return all;
}

bool reg_kept(struct view *v, const struct inode_row *i, struct place_row *ret)
{
	uint32_t count;
	int64_t best = -1;

	if (i->heads_count == 0)
		return false;
	struct removal *all = removals(v, i, &count);
	for (uint32_t k = 0; k < count && !v->bad; k++) {
		bool out = !all[k].has_prev, hit = false;
		for (uint32_t n = 0; n < count && !out; n++)
			out = n != k && reg_saw(v, &all[n].o, &all[k].o);
		for (uint32_t n = 0; n < i->heads_count && !out && !hit; n++)
			hit = reg_concurrent(v, &all[k].o, &i->heads[n].o);
		if (hit &&
		    (best < 0 || stamp_compare(reg_stamp(&all[best].o), reg_stamp(&all[k].o)) < 0))
			best = k;
	}
	if (best >= 0 && !v->bad) {
		*ret = all[best].at;
		ret->flags |= PLACE_KEPT;
		ret->at = reg_stamp(&i->heads[0].o);
	}
	free(all);
	return best >= 0 && !v->bad;
}

bool reg_current(struct view *v, const struct inode_row *i, struct name_id n, struct place_row *ret)
{
	auto_link l = {0};

	if (cells_link(v, i->id, n, &l) && live_row(&l, i, ret))
		return true;
	return !reg_live_name(v, i->id, NULL) && reg_kept(v, i, ret);
}

bool reg_next_place(struct view *v, struct walk *w, const struct inode_row *i,
		    struct place_row *ret)
{
	auto_link l = {0};

	while (cells_links_next(v, w, &l))
		if (live_row(&l, i, ret))
			return true;
	return false;
}

bool reg_anchor(struct view *v, const struct inode_row *i, struct place_row *ret)
{
	struct walk w = cells_links(i->id);

	return reg_next_place(v, &w, i, ret) || reg_kept(v, i, ret);
}

/* ---- records ---- */

static bool is_dir(struct view *v, struct inode_id id)
{
	struct dir_glance g;

	return cells_glance(v, id, &g);
}

static bool place_sound(struct view *v, const struct place *p)
{
	return name_ok(p->name) && is_dir(v, p->parent);
}

/* What a record refers to cannot be unknown here, for records come in causal order. */
static enum err unknown(struct view *v)
{
	if (v->bad)
		return v->bad;
	v->doubtful = true; /* unless it was forgotten, and the author had not heard of that */
	return fail(ERR_MALFORMED);
}

struct rkey reg_xattr_key(struct inode_id i, struct bytes name)
{
	struct rkey k = rows_key(TABLE_XATTR);

	rows_key_inode(&k, i);
	assert(name.len <= XATTR_NAME_MAX_BYTES);
	if (name.len)
		memcpy(k.b + k.len, name.at, name.len);
	k.len += name.len;
	return k;
}

static bool set_xattr(struct view *v, struct inode_id i, const struct attr_value *a,
		      struct stamp at)
{
	struct rkey k = reg_xattr_key(i, a->xattr.key);
	auto_wr w = {0};

	if (rows_get(v, &k, &w)) {
		struct rd r = rd_of(wr_view(&w));
		uint64_t t = rd_u64(&r);
		struct stamp old = {t, rd_u64(&r)};
		if (stamp_compare(old, at) >= 0)
			return false;
	}
	wr_reset(&w);
	wr_u64(&w, at.t);
	wr_u64(&w, at.inc);
	wr_u8(&w, a->xattr.value.at != NULL);
	wr_bytes(&w, a->xattr.value);
	rows_wr(v, &w);
	rows_put(v, &k, wr_view(&w));
	return true;
}

/* A plain last-writer register each; false: what is there is newer. */
static bool set_attr(struct view *v, struct inode_row *i, const struct attr_value *a,
		     struct stamp at)
{
	switch (a->field) {
	case ATTR_MODE:
		if (stamp_compare(i->mode_at, at) >= 0)
			return false;
		i->mode_at = at;
		i->mode = a->mode & 07777;
		return true;
	case ATTR_OWNER:
		if (stamp_compare(i->owner_at, at) >= 0)
			return false;
		i->owner_at = at;
		i->uid = a->owner.uid;
		i->gid = a->owner.gid;
		return true;
	case ATTR_TIMES:
		if (stamp_compare(i->times_at, at) >= 0)
			return false;
		i->times_at = at;
		i->mtime_ns = a->mtime_ns;
		return true;
	case ATTR_XATTR:
		return set_xattr(v, i->id, a, at);
	}
	return false;
}

static bool attr_sound(const struct attr_value *a)
{
	return a->field != ATTR_XATTR ||
	       (a->xattr.key.len > 0 && a->xattr.key.len <= XATTR_NAME_MAX_BYTES &&
		a->xattr.value.len <= XATTR_VALUE_MAX_BYTES);
}

static void tell_attr(struct view *v, const struct inode_row *i, enum change_kind kind)
{
	rows_news(v, kind, i->id);
	for (uint32_t k = 1; k < i->heads_count; k++) /* derived copies have its attributes */
		rows_news(v, kind, hash_copy_id(i->id, i->heads[k].o.dot));
}

enum err reg_apply_attr(struct view *v, const struct record *r, bool *done)
{
	auto_inode i = {0};

	if (!cells_inode(v, r->inode, &i) || !attr_sound(&r->attr))
		return unknown(v);
	*done = !set_attr(v, &i, &r->attr, record_stamp(r));
	if (*done)
		return v->bad;
	i.wall_ms = MAX(i.wall_ms, r->wall_ms);
	cells_put_inode(v, &i);
	tell_attr(v, &i, CHANGE_ATTR);
	return v->bad;
}

enum err reg_apply_content(struct view *v, const struct record *r, bool *done)
{
	auto_inode i = {0};
	struct origin o = origin_of(v, r);

	if (!cells_inode(v, r->inode, &i) || i.type != TYPE_FILE ||
	    (!r->content.dropped && r->content.content.len == 0))
		return unknown(v);
	v->doubtful |= i.tidied;
	*done = false;
	for (uint32_t k = 0; k < i.heads_count + i.gone_count && !*done; k++) {
		const struct origin *h =
			k < i.heads_count ? &i.heads[k].o : &i.gone[k - i.heads_count];
		*done = dot_compare(h->dot, r->dot) == 0 || reg_saw(v, h, &o);
	}
	if (*done)
		return v->bad;
	struct dot *before = dots_of(v, &i);
	uint32_t count = i.heads_count;
	for (uint32_t k = 0; k < r->content.bases_count; k++)
		(void)take_head(v, &i, r->content.bases[k], r);
	if (!r->content.dropped) {
		struct head h = {o, r->content.mtime_ns, r->content.content};
		add_head(&i, &h);
	}
	prune_gone(v, &i);
	i.wall_ms = MAX(i.wall_ms, r->wall_ms);
	cells_put_inode(v, &i);
	if (before) {
		sync_copies(v, &i, before, count);
		tell_versions(v, &i, before, count);
	}
	free(before);
	return v->bad;
}

/* The version leaves the heads of the inode whose copy was promoted. */
static void leave_first(struct view *v, const struct record *r, const struct origin *o)
{
	auto_inode i = {0};

	if (!cells_inode(v, r->ino.origin_inode, &i))
		return;
	v->doubtful |= i.tidied;
	struct dot *before = dots_of(v, &i);
	uint32_t count = i.heads_count;
	bool took = take_head(v, &i, o->dot, r);
	if (!took) { /* unknown here: it must not come back when it comes again */
		free(before);
		return;
	}
	prune_gone(v, &i);
	i.wall_ms = MAX(i.wall_ms, r->wall_ms);
	cells_put_inode(v, &i);
	if (before) {
		sync_copies(v, &i, before, count);
		tell_versions(v, &i, before, count);
	}
	free(before);
}

/* The version as its author had it; if we have it too, as we have it, which is the same. */
static struct origin promoted_origin(struct view *v, const struct record *r)
{
	const struct version *ver = &r->ino.origin;
	struct origin o = {.dot = ver->dot, .t = ver->t, .in = ver->in};
	auto_inode i = {0};

	if (cells_inode(v, r->ino.origin_inode, &i))
		for (uint32_t k = 0; k < i.heads_count; k++)
			if (dot_compare(i.heads[k].o.dot, ver->dot) == 0)
				return i.heads[k].o;
	if (o.in.seq == 0)
		o.in = r->in; /* written down before its author had cut it */
	rows_vector_key(v, ver->vec, o.vec);
	return o;
}

static bool inode_sound(struct view *v, const struct record *r)
{
	const struct rec_inode *n = &r->ino;

	if (n->type < TYPE_FILE || n->type > TYPE_BLOCK || inode_equal(r->inode, INODE_ROOT))
		return false;
	if (n->type == TYPE_DIR && (!n->has_birth || !place_sound(v, &n->birth)))
		return false;
	if (!n->has_origin)
		return r->inode.inc == r->dot.inc && r->inode.op == r->dot.op &&
		       !inode_derived(r->inode) && r->inode.inc != 0;
	auto_inode first = {0};
	if (n->type != TYPE_FILE || n->origin.content.len == 0 ||
	    !inode_equal(r->inode, hash_copy_id(n->origin_inode, n->origin.dot)))
		return false;
	for (uint32_t k = 0; k < n->attrs_count; k++)
		if (!attr_sound(&n->attrs[k].v))
			return false;
	return cells_inode(v, n->origin_inode, &first) && first.type == TYPE_FILE;
}

/*
 * Several members may promote a copy, and what is honest is the same version each time.  A liar
 * gives it other bytes: then all keep the lesser of the two, whichever came first.
 */
static void promoted_again(struct view *v, struct inode_row *i, const struct head *again)
{
	uint32_t k = 0;

	while (k < i->heads_count && dot_compare(i->heads[k].o.dot, again->o.dot) != 0)
		k++;
	struct head *had = k < i->heads_count ? &i->heads[k] : NULL;
	if (!had ||
	    (manifest_equal(had->content, again->content) && had->mtime_ns == again->mtime_ns))
		return;
	int by_bytes = memcmp(had->content.at, again->content.at,
			      MIN(had->content.len, again->content.len));
	if (!by_bytes && had->content.len != again->content.len)
		by_bytes = had->content.len < again->content.len ? -1 : 1;
	if (by_bytes < 0 || (by_bytes == 0 && had->mtime_ns <= again->mtime_ns))
		return;
	memmove(had, had + 1, (--i->heads_count - k) * sizeof(*had));
	add_head(i, again); /* I1: a liar may date it otherwise */
	rows_news(v, CHANGE_DATA, i->id);
}

enum err reg_apply_inode(struct view *v, const struct record *r, bool *done)
{
	auto_inode i = {0};
	const struct rec_inode *n = &r->ino;

	if (!inode_sound(v, r))
		return unknown(v);
	bool known = cells_inode(v, r->inode, &i);
	*done = known && !n->has_origin;
	if (*done || v->bad)
		return v->bad;
	struct origin o = {0};
	if (n->has_origin) {
		o = promoted_origin(v, r);
		leave_first(v, r, &o);
	}
	struct head first = {o, n->origin.mtime_ns, n->origin.content};
	if (!known) {
		i.id = r->inode;
		i.type = n->type;
		i.rdev = n->rdev;
		i.target = n->type == TYPE_SYMLINK ? n->target : (struct bytes){NULL, 0};
		i.born = n->born;
		i.has_birth = n->type == TYPE_DIR;
		i.birth = n->birth;
		i.made_ms = i.wall_ms = r->wall_ms;
		i.heads = n->has_origin ? malloc(sizeof(*i.heads)) : NULL;
		if (n->has_origin && !i.heads)
			rows_fail(v, fail(ERR_NOMEM));
		if (i.heads)
			add_head(&i, &first);
		if (n->has_origin)
			history_promoted(v, r->inode, n->origin_inode, n->origin.dot, r);
		rows_count(v, ROW_COUNT, 1);
		if (i.has_birth)
			cells_name(v, &i.birth, 1);
	} else {
		promoted_again(v, &i, &first);
	}
	for (uint32_t k = 0; n->has_origin && k < n->attrs_count; k++)
		(void)set_attr(v, &i, &n->attrs[k].v, n->attrs[k].stamp);
	cells_put_inode(v, &i);
	tell_attr(v, &i, CHANGE_ATTR); /* of its copies, too, if it is promoted once more */
	return v->bad;
}

enum err reg_apply_link(struct view *v, const struct record *r, bool *done)
{
	auto_inode i = {0};
	auto_link l = {0};
	const struct rec_link *n = &r->link;
	struct link_head h = {.wall_ms = r->wall_ms,
			      .has_place = n->has_place,
			      .has_prev = n->has_prev,
			      .pinned = n->pinned,
			      .place = n->place,
			      .prev = n->prev};

	if (inode_equal(r->inode, INODE_ROOT) || !cells_inode(v, r->inode, &i) ||
	    (n->has_place && !place_sound(v, &n->place)) ||
	    (n->has_prev && !place_sound(v, &n->prev)))
		return unknown(v);
	v->doubtful |= i.tidied;
	h.o = origin_of(v, r);
	(void)cells_link(v, r->inode, n->name, &l);
	*done = false;
	for (uint32_t k = 0; k < l.count && !*done; k++)
		*done = dot_compare(l.heads[k].o.dot, r->dot) == 0 ||
			reg_saw(v, &l.heads[k].o, &h.o);
	if (*done || v->bad)
		return v->bad;
	uint32_t left = 0;
	for (uint32_t k = 0; k < l.count; k++) {
		if (reg_saw(v, &h.o, &l.heads[k].o))
			reg_name(v, &l.heads[k], -1);
		else
			l.heads[left++] = l.heads[k];
	}
	if (!l.heads)
		l.heads = malloc(sizeof(*l.heads));
	if (!l.heads) {
		rows_fail(v, fail(ERR_NOMEM));
		return v->bad;
	}
	l.heads[left] = h;
	l.count = left + 1;
	reg_name(v, &h, 1);
	v->plain = left == 0 && h.has_place;
	cells_put_link(v, &l);
	if (i.type != TYPE_DIR)
		tell_attr(v, &i, CHANGE_LINKS);
	return v->bad;
}
