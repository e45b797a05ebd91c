// SPDX-License-Identifier: MIT
/*
 * outbox.c - own records on their way into bundles: see outbox.h
 *
 * On the path of a local change: core/local emits records here; each gets its dot, clock and
 * vector, goes into the view at once, and into the journal when the operation's group ends.
 *
 * I1  items are sorted by (t, op); t rises with every record, over incarnations too
 * I2  every item has its row; a group's items are neighbours
 * I3  items[0..taken) of a bundle under way are marked, and only those
 */
#include "core/outbox.h"
#include "base/map.h"
#include "core/tables.h"

struct item {
	struct dot dot;
	uint64_t t, group; /* group: t of its first record */
	uint64_t own_seq; /* last own bundle when it was emitted; 0: not known: as if none */
	const struct vector *vec; /* owned */
	struct inode_id inode, origin; /* origin: of a promoted copy, the inode it was a copy of */
	uint8_t *at; /* encoded record; owned */
	uint32_t len;
	bool taken;
	bool travelled; /* meanwhile it came in a bundle of another life of this device */
};
struct outbox {
	struct kv *kv;
	struct view *view;
	struct log *log;
	struct outbox_hooks hooks;
	struct item *items;
	uint32_t count, room;
	uint64_t next_op, last_t;
	struct step *step; /* of the open group */
	struct wr gathered; /* its records: others may write entries meanwhile */
	uint32_t in_group;
	uint64_t group;
	bool stirred, busy, replaying;
	uint64_t retry_usec; /* nothing is cut before; 0: at any time */
	uint32_t news; /* stirs and items since the last look */
	uint32_t reach; /* items the next look goes through */
	uint64_t bundle_seq, bundle_inc;
	const struct vector *bundle_vec; /* of the bundle under way; owned */
};

struct outbox *outbox_new(struct kv *kv, struct view *view, struct log *log,
			  const struct outbox_hooks *hooks)
{
	struct outbox *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->kv = kv;
	o->view = view;
	o->log = log;
	o->hooks = *hooks;
	o->next_op = 1;
	o->stirred = true;
	o->reach = OUTBOX_LOOK;
	return o;
}

static void item_fini(struct item *i)
{
	vector_unref(i->vec);
	free(i->at);
}

void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	for (uint32_t k = 0; k < o->count; k++)
		item_fini(&o->items[k]);
	vector_unref(o->bundle_vec);
	wr_fini(&o->gathered);
	free(o->items);
	free(o);
}

void outbox_reset(struct outbox *o)
{
	assert(!o->busy && !o->step);
	for (uint32_t k = 0; k < o->count; k++)
		item_fini(&o->items[k]);
	o->count = 0;
	outbox_stir(o);
}

void outbox_clock(const struct outbox *o, uint64_t *op, uint64_t *t)
{
	*op = o->next_op;
	*t = o->last_t;
}

void outbox_set_clock(struct outbox *o, uint64_t op, uint64_t t)
{
	o->next_op = op;
	o->last_t = t;
}

/* A clock at the top of its range is not followed: there must be room for what is written later. */
void outbox_saw(struct outbox *o, uint64_t t)
{
	if (t < OUTBOX_CLOCK_TOP)
		o->last_t = MAX(o->last_t, t);
}

void outbox_begins(struct outbox *o)
{
	log_note_own(o->log, log_seen(o->log));
}

void outbox_begins_again(struct outbox *o)
{
	log_note_own_now(o->log);
}

static uint64_t next_t(const struct outbox *o, const struct step *s)
{
	uint64_t wall = s->wall_ms > 0 ? (uint64_t)s->wall_ms << 16 : 0;

	return MAX(o->last_t + 1, wall);
}

/* ---- items ---- */

static void item_key(struct step_key *k, const struct item *i)
{
	step_key_init(k, TABLE_OUT);
	step_key_u64(k, i->t);
	step_key_u64(k, i->dot.inc);
	step_key_u64(k, i->dot.op);
}

static enum err item_store(struct outbox *o, const struct item *i)
{
	struct step_key k;
	struct wr w = {0};

	item_key(&k, i);
	wr_u64(&w, i->group);
	vector_encode(&w, i->vec);
	wr_raw(&w, i->at, i->len);
	enum err e = w.bad ? fail(ERR_NOMEM) : kv_put(o->kv, step_key_view(&k), wr_view(&w));
	wr_fini(&w);
	return e;
}

/* Put an item in its place; takes what it owns, also on error. */
static enum err item_add(struct outbox *o, struct item *take, bool store)
{
	if (o->count == o->room) {
		uint32_t room = o->room ? o->room * 2 : 64;
		struct item *p = realloc(o->items, room * sizeof(*p));
		if (!p) {
			item_fini(take);
			return fail(ERR_NOMEM);
		}
		o->items = p;
		o->room = room;
	}
	uint32_t at = o->count;
	while (at > 0 && o->items[at - 1].t > take->t)
		at--;
	memmove(o->items + at + 1, o->items + at, (o->count - at) * sizeof(*o->items));
	o->items[at] = *take;
	o->count++;
	outbox_stir(o);
	return store ? item_store(o, take) : ERR_OK;
}

static struct inode_id origin_of(const struct record *r)
{
	return r->kind == REC_INODE && r->ino.has_origin ? r->ino.origin_inode
							 : (struct inode_id){0, 0};
}

static enum err item_of(struct outbox *o, const struct record *r, uint64_t group, uint64_t own_seq)
{
	struct wr w = {0};
	size_t len;

	record_encode(&w, r);
	if (w.bad) {
		wr_fini(&w);
		return fail(ERR_NOMEM);
	}
	struct item i = {.dot = r->dot,
			 .t = r->t,
			 .group = group,
			 .own_seq = own_seq,
			 .inode = r->inode,
			 .origin = origin_of(r)};
	i.vec = vector_ref(r->vec);
	i.at = wr_take(&w, &len);
	i.len = (uint32_t)len;
	return item_add(o, &i, true);
}

/* ---- emitting ---- */

static void emit_next(void *arg, struct dot *dot, uint64_t *t)
{
	struct outbox *o = arg;

	*dot = (struct dot){log_current(o->log), o->next_op};
	*t = next_t(o, o->step);
}

/* The last bundle of this device's current log. */
static uint64_t own_seq(const struct outbox *o)
{
	const struct log_inc *i = log_find(o->log, log_current(o->log));

	return i ? i->seq : 0;
}

static enum err put_out(struct outbox *o, struct record *r, uint64_t group, uint64_t seq)
{
	r->in = (struct where){log_current(o->log), 0};
	enum err e = log_fork_own(o->log, r);
	if (e)
		return e;
	if (!log_rebuilding(o->log) || log_accepts_own(o->log, r->dot))
		e = view_apply(o->view, r);
	/* Of an incarnation whose end is not accepted, what it refers to may be gone: it goes out
	 * all the same, to be set aside by everybody. */
	bool later = o->replaying && log_unapplied(o->log) > 0;
	if (e && (e != ERR_MALFORMED || (!later && !log_own_limited(o->log))))
		return e;
	/* Or it was made when the tree had been made again, with what is set aside here still. */
	if (e && later)
		log_unsettle(o->log);
	if (!log_rebuilding(o->log)) /* else what is under way is known, and all else in bundles */
		log_note_own(o->log, r->vec);
	return item_of(o, r, group, seq);
}

static enum err emit(void *arg, struct record *r)
{
	struct outbox *o = arg;
	struct step *s = o->step;

	assert(s && log_current(o->log));
	emit_next(o, &r->dot, &r->t);
	o->next_op++;
	o->last_t = r->t;
	r->wall_ms = s->wall_ms;
	r->vec = log_seen(o->log);
	if (!o->in_group)
		o->group = r->t;
	o->in_group++;
	record_encode(&o->gathered, r);
	return put_out(o, r, o->group, own_seq(o));
}

struct emitter outbox_emitter(struct outbox *o)
{
	return (struct emitter){.arg = o, .next = emit_next, .emit = emit};
}

void outbox_begin(struct outbox *o, struct step *s)
{
	assert(!o->step);
	o->step = s;
	o->in_group = 0;
	wr_reset(&o->gathered);
}

enum err outbox_end(struct outbox *o)
{
	struct step *s = o->step;
	size_t mark;

	o->step = NULL;
	if (o->gathered.bad)
		return fail(ERR_NOMEM);
	if (o->in_group) {
		struct wr *w = step_entry(s, J_RECORDS, &mark);
		vector_encode(w, log_seen(o->log));
		wr_u32(w, o->in_group);
		wr_bytes(w, wr_view(&o->gathered));
		step_entry_end(s, mark);
	}
	return step_sound(s);
}

void outbox_reserve(struct outbox *o, struct step *s, struct reserved *ret)
{
	ret->dot = (struct dot){log_current(o->log), o->next_op++};
	ret->t = o->last_t = next_t(o, s);
	ret->wall_ms = s->wall_ms;
	ret->vec = vector_ref(log_seen(o->log));
	log_note_own(o->log, ret->vec);
	ret->own_seq = own_seq(o);
}

enum err outbox_emit_at(struct outbox *o, struct step *s, const struct reserved *at,
			struct record *r)
{
	size_t mark;

	assert(!o->step);
	if (log_applied_dot(o->log, at->dot))
		return ERR_OK; /* it has come in a bundle of the life that our image was taken from
				*/
	r->dot = at->dot;
	r->t = at->t;
	r->wall_ms = at->wall_ms;
	r->vec = at->vec;
	struct wr *w = step_entry(s, J_RECORDS, &mark);
	if (w) {
		vector_encode(w, r->vec);
		wr_u32(w, 1);
		record_encode(w, r);
		step_entry_end(s, mark);
	}
	return put_out(o, r, r->t, at->own_seq);
}

enum err outbox_replay(struct outbox *o, struct bytes body)
{
	struct rd r = rd_of(body);
	struct vector *vec;
	uint64_t group = 0;
	enum err e = vector_decode(&r, &vec);

	if (e)
		return fail(ERR_DAMAGED);
	uint32_t count = rd_u32(&r);
	struct record_arena *arena = record_arena_new();
	if (!arena)
		e = fail(ERR_NOMEM);
	o->replaying = true;
	for (uint32_t k = 0; k < count && !e; k++) {
		struct record rec;
		e = record_decode(&r, arena, &rec);
		if (e)
			break;
		rec.vec = vec;
		group = group ? group : rec.t;
		/* One whose dot was given earlier, for a version, is older than bundles since. */
		bool next = rec.dot.inc == log_current(o->log) && rec.dot.op >= o->next_op;
		if (rec.dot.inc == log_current(o->log))
			o->next_op = MAX(o->next_op, rec.dot.op + 1);
		o->last_t = MAX(o->last_t, rec.t);
		e = put_out(o, &rec, group, next ? own_seq(o) : 0);
	}
	o->replaying = false;
	record_arena_free(arena);
	vector_unref(vec);
	return e == ERR_MALFORMED || (!e && !rd_done(&r)) ? fail(ERR_DAMAGED) : e;
}

/* ---- cutting ---- */

void outbox_stir(struct outbox *o)
{
	o->stirred = true;
	o->news++;
}

void outbox_held(const struct outbox *o, struct oldest *ret)
{
	*ret = (struct oldest){.t = UINT64_MAX};
	if (!o->count)
		return;
	const struct item *i = &o->items[0]; /* I1 */
	*ret = (struct oldest){i->t, i->vec, {i->dot.inc, i->own_seq}};
}

uint32_t outbox_count(const struct outbox *o)
{
	return o->count;
}

bool outbox_busy(const struct outbox *o)
{
	return o->busy;
}

/* A set of inodes: a map without values. */
static struct bytes inode_key(const struct inode_id *i, uint64_t key[2])
{
	key[0] = i->inc;
	key[1] = i->op;
	return (struct bytes){(const uint8_t *)key, 16};
}

static bool in_set(const struct map *set, const struct inode_id *i)
{
	uint64_t key[2];
	struct bytes value;

	return map_get(set, inode_key(i, key), &value);
}

static enum err add_to_set(struct map *set, const struct inode_id *i)
{
	uint64_t key[2];

	return map_put(set, inode_key(i, key), (struct bytes){(const uint8_t *)"", 0});
}

/* The end of the group that begins at item k. */
static uint32_t group_end(const struct outbox *o, uint32_t k)
{
	uint32_t end = k + 1;

	while (end < o->count && o->items[end].group == o->items[k].group)
		end++;
	return end;
}

static bool waits(struct outbox *o, const struct map *set, const struct inode_id *i, uint64_t t)
{
	return !inode_none(*i) && (in_set(set, i) || o->hooks.unsealed(o->hooks.arg, *i, t));
}

/* Whether the group [k, end) must wait; then its inodes hold back what follows.  A promoted copy is
 * as much about the inode whose version it was: gone ahead of that version, it would take away
 * nothing, and the copy would stand there twice. */
static enum err held_back(struct outbox *o, struct map *set, uint32_t k, uint32_t end, bool *ret)
{
	bool held = false;

	for (uint32_t i = k; i < end && !held; i++)
		held = waits(o, set, &o->items[i].inode, o->items[k].t) ||
		       waits(o, set, &o->items[i].origin, o->items[k].t);
	*ret = held;
	for (uint32_t i = k; i < end && held; i++) {
		enum err e = add_to_set(set, &o->items[i].inode);
		if (!e && !inode_none(o->items[i].origin))
			e = add_to_set(set, &o->items[i].origin);
		if (e)
			return e;
	}
	return ERR_OK;
}

/*
 * Mark the items of the next bundle: groups in order that may go and had seen the same.  A look
 * goes through a bounded number of items; when all of them wait the next one goes twice as far.
 */
static enum err choose(struct outbox *o, uint32_t *count, size_t *bytes)
{
	const struct vector *vec = NULL;
	struct map *set = map_new();
	enum err e = set ? ERR_OK : fail(ERR_NOMEM);
	bool first = true;

	*count = 0;
	*bytes = 0;
	for (uint32_t k = 0, end; k < o->count && k < o->reach && !e; k = end) {
		bool held;
		end = group_end(o, k);
		e = held_back(o, set, k, end, &held);
		if (e || held)
			continue;
		if (first)
			vec = o->items[k].vec;
		else if (!vector_equal(vec, o->items[k].vec))
			break;
		first = false;
		for (uint32_t i = k; i < end; i++) {
			o->items[i].taken = true;
			*bytes += o->items[i].len;
		}
		*count += end - k;
		if (*bytes >= OUTBOX_CUT_BYTES || *count >= OUTBOX_CUT_RECORDS)
			break;
	}
	o->reach = *count ? OUTBOX_LOOK : MIN(2 * o->reach, UINT32_MAX / 2);
	map_free(set);
	return e;
}

static enum err item_drop(struct outbox *o, struct item *i)
{
	struct step_key key;

	item_key(&key, i);
	enum err e = kv_del(o->kv, step_key_view(&key));
	item_fini(i);
	return e;
}

/* The bundle under way comes to nothing. */
static enum err release(struct outbox *o)
{
	uint32_t kept = 0;
	enum err e = ERR_OK;

	for (uint32_t k = 0; k < o->count; k++) {
		struct item *i = &o->items[k];
		i->taken = false;
		if (i->travelled && !e)
			e = item_drop(o, i);
		else
			o->items[kept++] = *i;
	}
	o->count = kept;
	return e;
}

/* The entries of vec that differ from those of prev; LOG_DELTA_GONE for what prev alone has.  Never
 * vec itself: what an action holds is freed without the lock under which references are counted. */
static struct vector *delta_of(const struct vector *prev, const struct vector *vec)
{
	struct vector *d = vector_new(vec ? vec->at : NULL, vec ? vec->count : 0);

	for (uint32_t k = 0; d && prev && k < prev->count; k++) {
		uint64_t inc = prev->at[k].inc, seq = vector_get(vec, inc);
		if (seq && seq != prev->at[k].seq)
			continue;
		struct vector *n = vector_with(d, inc, seq ? 0 : LOG_DELTA_GONE);
		vector_unref(d);
		d = n;
	}
	return d;
}

static struct bundle_tag *tags_of(struct outbox *o, const struct vector *delta)
{
	uint32_t count = delta ? delta->count : 0;
	struct bundle_tag *t = calloc(MAX(count, 1u), sizeof(*t));

	for (uint32_t k = 0; t && k < count; k++)
		if (delta->at[k].seq != LOG_DELTA_GONE)
			t[k] = log_tag(o->log, delta->at[k]);
	return t;
}

static enum err start_bundle(struct outbox *o, struct step *s, const struct outbox_policy *p)
{
	const struct log_inc *i = log_find(o->log, log_current(o->log));
	struct action *a = step_act(s, ACT_BUNDLE);
	struct wr body = {0};

	if (!a)
		return fail(ERR_NOMEM);
	assert(i);
	for (uint32_t k = 0; k < o->count; k++) {
		if (!o->items[k].taken)
			continue;
		vector_unref(o->bundle_vec);
		o->bundle_vec = vector_ref(o->items[k].vec);
		wr_raw(&body, o->items[k].at, o->items[k].len);
	}
	struct bundle_head *h = &a->bundle.head;
	h->folder = p->folder;
	h->device = p->device;
	h->nonce = i->nonce;
	h->inc = i->inc;
	o->bundle_inc = i->inc;
	h->seq = o->bundle_seq = i->seq + 1;
	if (i->seq)
		h->prev = i->last;
	else
		h->follows = i->follows;
	h->follows_tag = log_tag(o->log, h->follows);
	h->delta = delta_of(i->vec, o->bundle_vec);
	h->tags = tags_of(o, h->delta);
	h->roster = p->roster;
	h->epoch = p->epoch;
	a->bundle.body = wr_take(&body, &a->bundle.len);
	o->busy = true;
	return h->delta && h->tags && a->bundle.body ? ERR_OK : fail(ERR_NOMEM);
}

enum err outbox_publish(struct outbox *o, struct step *s, const struct outbox_policy *p)
{
	uint32_t count;
	size_t bytes;

	if (log_own_forked(o->log)) /* they go out in the next incarnation */
		return ERR_OK;
	if (o->busy || !o->count || !o->stirred || !log_current(o->log) || s->now < o->retry_usec)
		return ERR_OK;
	if (!p->all && (!p->listening || p->unacked) && o->news < OUTBOX_CUT_RECORDS / 4)
		return ERR_OK; /* it would have to be a full one */
	o->news = 0;
	enum err e = choose(o, &count, &bytes);
	bool full = bytes >= OUTBOX_CUT_BYTES || count >= OUTBOX_CUT_RECORDS;
	if (!e && count && (p->all || full || (p->listening && !p->unacked)))
		return start_bundle(o, s, p);
	o->stirred =
		count != 0 || o->reach < o->count; /* else look when something comes or is sealed */
	enum err bad = release(o);
	return e ? e : bad;
}

/* Whether dot is the next of ops; those before it that are items no more have travelled. */
static bool next_of(struct outbox *o, struct dot dot, const struct dot *ops, uint32_t count,
		    uint32_t *at)
{
	uint32_t k = *at;

	while (k < count && dot_compare(dot, ops[k]) != 0 && log_applied_dot(o->log, ops[k]))
		k++;
	if (k == count || dot_compare(dot, ops[k]) != 0)
		return false;
	*at = k + 1;
	return true;
}

/* Drop the items of an own bundle, which is not in the log yet, and their rows. */
static enum err drop(struct outbox *o, const struct dot *ops, uint32_t count)
{
	uint32_t kept = 0, gone = 0;
	enum err e = ERR_OK;

	for (uint32_t k = 0; k < o->count; k++) {
		struct item *i = &o->items[k];
		if (!e && next_of(o, i->dot, ops, count, &gone))
			e = item_drop(o, i);
		else
			o->items[kept++] = *i;
	}
	o->count = kept;
	for (; gone < count && !e; gone++)
		e = log_applied_dot(o->log, ops[gone]) ? ERR_OK : fail(ERR_DAMAGED);
	return e;
}

bool outbox_travelled(struct outbox *o, struct dot dot)
{
	for (uint32_t k = 0; k < o->count; k++) {
		struct item *i = &o->items[k];
		if (dot_compare(i->dot, dot) != 0 || i->travelled)
			continue;
		i->travelled = i->taken;
		return i->taken || drop(o, &dot, 1) == ERR_OK;
	}
	return false;
}

/* The highest clock of what goes into a bundle. */
static uint64_t most_t(const struct outbox *o, const struct dot *ops, uint32_t count)
{
	uint64_t most = 0;

	for (uint32_t k = 0, at = 0; k < o->count && at < count; k++) {
		bool match = dot_compare(o->items[k].dot, ops[at]) == 0;
		most = match ? MAX(most, o->items[k].t) : most;
		at += match;
	}
	return most;
}

/* The body of J_OWN: vector, count u32, dots, raw length u32, raw bytes. */
enum err outbox_replay_own(struct outbox *o, struct bytes body, uint64_t body_at)
{
	struct rd r = rd_of(body);
	struct vector *vec;
	struct bundle_head h = {0};
	struct dot *ops = NULL;
	enum err e = vector_decode(&r, &vec);

	if (e)
		return fail(ERR_DAMAGED);
	uint32_t count = rd_u32(&r);
	if (count == 0 || rd_left(&r) < (size_t)count * DOT_LEN)
		e = fail(ERR_DAMAGED);
	if (!e && !(ops = calloc(count, sizeof(*ops))))
		e = fail(ERR_NOMEM);
	for (uint32_t k = 0; k < count && !e; k++) {
		ops[k].inc = rd_u64(&r);
		ops[k].op = rd_u64(&r);
	}
	struct bytes raw = rd_bytes(&r, e ? 0 : rd_u32(&r));
	if (!e && !rd_done(&r))
		e = fail(ERR_DAMAGED);
	if (!e)
		e = bundle_decode(raw, &h);
	if (!e) {
		struct log_own own = {.head = &h,
				      .vec = vec,
				      .ops = ops,
				      .count = count,
				      .most_t = most_t(o, ops, count),
				      .raw_at = body_at + (size_t)(raw.at - body.at),
				      .raw_len = (uint32_t)raw.len};
		bundle_hash(raw, &own.hash);
		e = drop(o, ops, count);
		if (!e)
			e = log_own(o->log, &own);
	}
	bundle_head_fini(&h);
	vector_unref(vec);
	free(ops);
	return e;
}

enum err outbox_sealed(struct outbox *o, struct step *s, enum err err, struct bytes raw)
{
	size_t mark;
	uint32_t count = 0;

	assert(o->busy);
	o->busy = false;
	o->stirred = true;
	if (!err && o->bundle_inc != log_current(o->log))
		return release(o); /* a new incarnation has begun: in a bundle of that */
	if (err) { /* as a rule the disk is full */
		o->retry_usec = s->now + OUTBOX_RETRY_USEC;
		enum err bad = release(o);
		return bad ? bad : err;
	}
	struct wr *w = step_entry(s, J_OWN, &mark);
	size_t start = w->len;
	vector_encode(w, o->bundle_vec);
	for (uint32_t k = 0; k < o->count; k++)
		count += o->items[k].taken;
	wr_u32(w, count);
	for (uint32_t k = 0; k < o->count; k++) {
		if (o->items[k].taken) {
			wr_u64(w, o->items[k].dot.inc);
			wr_u64(w, o->items[k].dot.op);
		}
	}
	wr_u32(w, (uint32_t)raw.len);
	wr_bytes(w, raw);
	step_entry_end(s, mark);
	if (w->bad)
		return fail(ERR_NOMEM);
	struct bytes body = {w->at + start, w->len - start};
	return outbox_replay_own(o, body, s->journal_at + start);
}

void outbox_tick(struct outbox *o, const struct step *s)
{
	if (!o->retry_usec || s->now < o->retry_usec)
		return;
	o->retry_usec = 0;
	outbox_stir(o);
}

uint64_t outbox_deadline(const struct outbox *o)
{
	return o->retry_usec ? o->retry_usec : UINT64_MAX;
}

/* ---- after a start ---- */

static enum err load_item(struct outbox *o, struct bytes key, struct bytes value)
{
	struct rd rk = {.at = key.at + 1, .end = key.at + key.len};
	struct rd r = rd_of(value);
	struct item i = {0};
	struct vector *vec;

	i.t = rd_be64(&rk);
	i.dot.inc = rd_be64(&rk);
	i.dot.op = rd_be64(&rk);
	i.group = rd_u64(&r);
	if (vector_decode(&r, &vec))
		return fail(ERR_DAMAGED);
	struct record_arena *arena = record_arena_new();
	struct rd copy = r;
	struct record rec;
	enum err e = arena ? record_decode(&copy, arena, &rec) : fail(ERR_NOMEM);
	if (!e && !rd_done(&copy))
		e = fail(ERR_DAMAGED);
	size_t len = rd_left(&r);
	if (!e) {
		i.inode = rec.inode;
		i.origin = origin_of(&rec);
	}
	record_arena_free(arena);
	i.vec = vec;
	log_note_own(o->log, vec);
	i.at = malloc(len ? len : 1);
	i.len = (uint32_t)len;
	if (e || !i.at) {
		item_fini(&i);
		return e ? e : fail(ERR_NOMEM);
	}
	memcpy(i.at, r.at, len);
	return item_add(o, &i, false);
}

enum err outbox_load(struct outbox *o)
{
	uint8_t copy[STEP_KEY_MAX] = {TABLE_OUT};
	struct bytes from = {copy, 1}, key, value;

	while (kv_next(o->kv, from, true, &key, &value) == ERR_OK && key.at[0] == TABLE_OUT) {
		if (key.len > sizeof(copy))
			return fail(ERR_DAMAGED);
		memcpy(copy, key.at, key.len);
		from.len = key.len;
		enum err e = load_item(o, key, value);
		if (e)
			return e;
	}
	return ERR_OK;
}
