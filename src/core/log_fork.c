// SPDX-License-Identifier: MIT
/*
 * log_fork.c - a device that gives one number to two bundles: both branches are kept
 *
 * Honest devices never do (node_accept.c); a modified program may, to show different readers
 * different trees.  Both bundles are signed by it, so whoever holds both has the proof; it spreads
 * as bundles do.  The log ends at the last bundle that both go on from, and each branch becomes an
 * incarnation of its own, numbered by its first bundle, that follows the trunk: what the branches
 * say is merged like what any two devices say, and where it contradicts itself there are conflict
 * copies.  Which branches there are is a function of the bundles held.
 *
 * Whoever wrote before the fork was known means the branch it held.  The tags in its bundle tell
 * which: its vector, and the ids in its records, are translated when they are read, here, and so
 * are those of the branches themselves.  An id stays as it is if the record that made it came in
 * the trunk; a stamp, if it is no later than the trunk's last.
 *
 * When a fork is found the view is made again (log_accept.c); until then the branch held is taken
 * for the log as before, and what goes on from the other waits.
 *
 * I1  forks has a row for each, and at most one fork for each log: the earliest
 */
#include "base/hash.h"
#include "core/log_impl.h"

#define DEEP 64 /* branches of branches that a record may lie in */

/* ---- which bundle ---- */

struct bundle_tag log_tag(struct log *l, struct where in)
{
	const struct log_inc *i = log_inc_of(l, in.inc);
	struct bundle_tag t = {{0}};
	struct step_key k;
	struct bytes value;

	if (!i || in.seq == 0 || in.seq > i->seq)
		return t;
	if (in.seq == i->seq)
		return bundle_tag_of(&i->last);
	step_key_init(&k, TABLE_BUNDLE);
	step_key_u64(&k, in.inc);
	step_key_u64(&k, in.seq);
	if (kv_get(l->kv, step_key_view(&k), &value))
		return t;
	struct rd r = rd_of(value);
	(void)rd_u64(&r);
	rd_copy(&r, t.b, sizeof(t.b));
	return t;
}

static bool tag_equal(struct bundle_tag a, struct bundle_tag b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Theirs under that number is another: from there on, and if that is not enough, from further and
 * further before. */
void log_doubts(struct log *l, struct where in)
{
	l->doubt_back = l->doubt.inc == in.inc && l->doubt_back ? l->doubt_back * 2 : 1;
	l->doubt = (struct where){in.inc, in.seq - MIN(in.seq, l->doubt_back)};
	l->doubting = true;
}

bool log_doubt(struct log *l, struct where *ret)
{
	bool any = l->doubting;

	*ret = l->doubt;
	l->doubting = false;
	return any;
}

/* ---- the forks known ---- */

static struct log_fork *fork_of(const struct log *l, uint64_t inc)
{
	for (uint32_t k = 0; k < l->forks_count; k++)
		if (l->forks[k].at.inc == inc)
			return &l->forks[k];
	return NULL;
}

uint32_t log_forks(const struct log *l)
{
	return l->forks_count;
}

const struct log_fork *log_fork_at(const struct log *l, uint32_t k)
{
	assert(k < l->forks_count);
	return &l->forks[k];
}

uint64_t log_tip(const struct log *l, uint64_t inc)
{
	const struct log_fork *f = fork_of(l, inc);

	for (int k = 0; k < DEEP && f && f->mine; k++) {
		inc = f->mine;
		f = fork_of(l, inc);
	}
	return inc;
}

/* Whether the view stands at its branches: then its trunk has ended. */
static bool parted(const struct log *l, const struct log_fork *f)
{
	const struct log_inc *i = log_inc_of(l, f->at.inc);

	return !i || i->seq <= f->at.seq;
}

bool log_fork_pending(const struct log *l)
{
	for (uint32_t k = 0; k < l->forks_count; k++)
		if (!parted(l, &l->forks[k]))
			return true;
	return false;
}

/* Whether what i says can be told apart from what the other branches say. */
bool log_fork_open(const struct log *l, const struct log_inc *i)
{
	const struct log_fork *f = i->trunk.inc ? fork_of(l, i->trunk.inc) : NULL;

	return f && !parted(l, f);
}

static void fork_key(struct step_key *k, uint64_t inc)
{
	step_key_init(k, TABLE_STATE);
	step_key_u8(k, 'f');
	step_key_u64(k, inc);
}

static enum err fork_store(struct log *l, const struct log_fork *f)
{
	struct step_key k;
	uint8_t value[16];
	struct wr w = {.at = value, .room = sizeof(value)};

	fork_key(&k, f->at.inc);
	wr_u64(&w, f->at.seq);
	wr_u64(&w, f->mine);
	return kv_put(l->kv, step_key_view(&k), wr_view(&w));
}

static enum err fork_add(struct log *l, const struct log_fork *new)
{
	struct log_fork *p = realloc(l->forks, (l->forks_count + 1) * sizeof(*p));

	if (!p)
		return fail(ERR_NOMEM);
	l->forks = p;
	p[l->forks_count++] = *new;
	return ERR_OK;
}

/* Both bundles after it are there. */
static enum err fork_found(struct log *l, struct where at)
{
	struct log_fork *f = fork_of(l, at.inc);
	const struct log_fork new = {.at = at};

	if (f && f->at.seq <= at.seq)
		return ERR_OK;
	l->stray = true;
	l->doubt_back = 0;
	enum err e = fork_store(l, &new);
	if (f) /* an earlier one: what was a trunk until now lies in a branch */
		*f = new;
	if (!e && !f)
		e = fork_add(l, &new);
	return e ? e : view_note_stray(l->view);
}

enum err log_fork_load(struct log *l)
{
	uint8_t from[2 + 8] = {TABLE_STATE, 'f'};
	struct bytes key, value;
	size_t len = 2;
	enum err e = ERR_OK;

	while (!e && !kv_next_in(l->kv, (struct bytes){from, len}, 2, len > 2, &key, &value)) {
		struct rd rk = {.at = key.at + 2, .end = key.at + key.len}, r = rd_of(value);
		struct log_fork f = {.at.inc = rd_be64(&rk)};
		f.at.seq = rd_u64(&r);
		f.mine = rd_u64(&r);
		if (key.len != sizeof(from) || !rd_done(&r))
			return fail(ERR_DAMAGED);
		memcpy(from, key.at, sizeof(from));
		len = sizeof(from);
		e = fork_add(l, &f);
	}
	return e;
}

enum err log_fork_taken(struct log *l, const struct log_placed *p)
{
	if (p->finds)
		return fork_found(l, p->trunk);
	struct log_fork *f = fork_of(l, p->trunk.inc);
	if (!f || f->mine || !parted(l, f))
		return ERR_OK;
	f->mine = p->in.inc;
	return fork_store(l, f);
}

void log_fork_begin(struct log *l)
{
	for (uint32_t k = 0; k < l->forks_count; k++)
		l->forks[k].mine = 0;
}

static void record_fini(struct log *l)
{
	free(l->bases);
	free(l->attrs);
	vector_unref(l->record_vec);
	vector_unref(l->origin_vec);
	l->bases = NULL;
	l->attrs = NULL;
	l->record_vec = l->origin_vec = NULL;
}

void log_fork_fini(struct log *l)
{
	record_fini(l);
	free(l->forks);
}

/* ---- the place of a bundle ---- */

/* The branch that begins with that bundle. */
static uint64_t number_of(const struct hash *first)
{
	static const uint8_t what[] = "branch";
	struct hash h;
	uint64_t n;

	hash_blake_all((struct bytes[]){BYTES_OF(what), BYTES_OF(first->b)}, 2, &h);
	memcpy(&n, h.b, sizeof(n));
	n &= ~DERIVED_BIT;
	return n ? n : 1;
}

/* Whether the bundle with that tag is in.seq of in.inc, or of what goes on from where that ends. */
static bool leads_to(struct log *l, struct where in, struct bundle_tag tag, int deep)
{
	const struct log_fork *f = fork_of(l, in.inc);

	if (tag_equal(log_tag(l, in), tag))
		return true;
	for (uint32_t k = 0; f && in.seq > f->at.seq && deep && k < l->incs_count; k++) {
		const struct log_inc *i = &l->incs[k];
		const struct where there = {i->inc, in.seq - f->at.seq};
		if (i->trunk.inc == f->at.inc && i->trunk.seq == f->at.seq &&
		    leads_to(l, there, tag, deep - 1))
			return true;
	}
	return false;
}

/* The branch of trunk that leads to a bundle with that tag at seq, counted in the trunk's numbers.
 */
static const struct log_inc *branch_with(struct log *l, struct where at, uint64_t seq,
					 struct bundle_tag tag)
{
	for (uint32_t k = 0; k < l->incs_count; k++) {
		const struct log_inc *i = &l->incs[k];
		if (i->trunk.inc == at.inc && i->trunk.seq == at.seq && seq > at.seq &&
		    leads_to(l, (struct where){i->inc, seq - at.seq}, tag, DEEP))
			return i;
	}
	return NULL;
}

/* A bundle that some bundle names: *in becomes the one held.  ERR_AGAIN: it is not. */
static enum err named(struct log *l, struct where *in, const struct bundle_tag *tag)
{
	for (int k = 0; k < DEEP; k++) {
		const struct log_fork *f = fork_of(l, in->inc);
		const struct log_inc *i = log_inc_of(l, in->inc);
		if (!i || (in->seq > i->seq && !f))
			return ERR_AGAIN;
		if (in->seq <= i->seq && tag_equal(log_tag(l, *in), *tag))
			return ERR_OK;
		if (!f || in->seq <= f->at.seq) {
			if (bundle_tag_none(tag))
				return ERR_OK;
			log_doubts(l, *in);
			return ERR_AGAIN;
		}
		if (bundle_tag_none(tag)) { /* it means no branch */
			in->seq = f->at.seq;
			return ERR_OK;
		}
		const struct log_inc *b = branch_with(l, f->at, in->seq, *tag);
		if (!b)
			return ERR_AGAIN;
		*in = (struct where){b->inc, in->seq - f->at.seq};
	}
	return ERR_AGAIN;
}

/* The tag of the bundle that the one at {inc, seq} goes on from. */
static struct bundle_tag parent_tag(struct log *l, struct where in)
{
	const struct log_inc *i = log_inc_of(l, in.inc);

	if (in.seq == 1 && i && i->trunk.inc)
		return log_tag(l, i->trunk);
	return log_tag(l, (struct where){in.inc, in.seq - 1});
}

static enum err begins(struct log *l, const struct hash *hash, struct log_placed *p,
		       struct where trunk)
{
	const struct log_inc *b;

	p->trunk = trunk;
	p->in = (struct where){number_of(hash), 1};
	b = log_inc_of(l, p->in.inc);
	return b && b->seq ? ERR_EXIST : ERR_OK;
}

/* Where the bundle stands: p->in, and whether it begins a branch, of a fork that was known or not.
 */
static enum err stand(struct log *l, const struct bundle_head *h, const struct hash *hash,
		      struct log_placed *p)
{
	const struct bundle_tag self = bundle_tag_of(hash), prev = bundle_tag_of(&h->prev);
	struct where *in = &p->in;

	for (int k = 0; k < DEEP; k++) {
		const struct log_inc *i = log_inc_of(l, in->inc);
		const struct log_fork *f = fork_of(l, in->inc);
		uint64_t have = i ? i->seq : 0;
		bool known = in->seq <= have;
		if (known && tag_equal(log_tag(l, *in), self))
			return ERR_EXIST;
		if (known && !(f && in->seq > f->at.seq)) { /* another under its number */
			if (!tag_equal(parent_tag(l, *in), prev)) {
				log_doubts(l, (struct where){in->inc, in->seq - 1});
				return fail(ERR_FORGED);
			}
			p->finds = true;
			return begins(l, hash, p, (struct where){in->inc, in->seq - 1});
		}
		if (!f || in->seq <= f->at.seq)
			return ERR_OK;
		if (in->seq == have + 1 && !parted(l, f) &&
		    tag_equal(log_tag(l, (struct where){in->inc, have}), prev))
			return ERR_OK; /* of the branch that is taken for the log */
		if (in->seq == f->at.seq + 1)
			return begins(l, hash, p, f->at);
		const struct log_inc *b = branch_with(l, f->at, in->seq - 1, prev);
		if (!b)
			return ERR_AGAIN;
		*in = (struct where){b->inc, in->seq - f->at.seq};
	}
	return ERR_AGAIN;
}

/* The entries of a delta in terms of branches. */
struct entries {
	struct where *at;
	uint32_t count, room;
};

/* One that says how far counts more than one that says that it is gone. */
static enum err put(struct entries *n, struct where in)
{
	for (uint32_t k = 0; k < n->count; k++) {
		if (n->at[k].inc != in.inc)
			continue;
		if (in.seq != LOG_DELTA_GONE)
			n->at[k] = in;
		return ERR_OK;
	}
	if (n->count == n->room) {
		uint32_t room = n->room ? n->room * 2 : 16;
		struct where *p = realloc(n->at, room * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		n->at = p;
		n->room = room;
	}
	n->at[n->count++] = in;
	return ERR_OK;
}

/* Whether i is a branch of inc, or of a branch of it. */
static bool branch_of(const struct log *l, const struct log_inc *i, uint64_t inc)
{
	for (int d = 0; i && i->trunk.inc && d < DEEP; d++) {
		if (i->trunk.inc == inc)
			return true;
		i = log_inc_of(l, i->trunk.inc);
	}
	return false;
}

/* What its author has seen of inc is said anew: nothing else of its branches remains. */
static enum err put_gone(struct log *l, struct entries *n, uint64_t inc,
			 const struct vector *before)
{
	enum err e = ERR_OK;

	for (uint32_t k = 0; before && k < before->count && !e; k++)
		if (branch_of(l, log_inc_of(l, before->at[k].inc), inc))
			e = put(n, (struct where){before->at[k].inc, LOG_DELTA_GONE});
	return e;
}

/* Who has seen a branch has seen its trunk. */
static enum err put_named(struct log *l, struct entries *n, struct where in)
{
	enum err e = ERR_OK;

	for (int d = 0; in.inc && !e && d < DEEP; d++) {
		const struct log_inc *i = log_inc_of(l, in.inc);
		if (in.seq)
			e = put(n, in);
		in = i ? i->trunk : (struct where){0, 0};
	}
	return e;
}

static int by_inc(const void *a, const void *b)
{
	return u64_compare(((const struct where *)a)->inc, ((const struct where *)b)->inc);
}

static enum err to_vector(struct entries *n, struct vector **ret)
{
	if (n->count)
		qsort(n->at, n->count, sizeof(*n->at), by_inc);
	*ret = vector_new(n->at, n->count);
	return *ret ? ERR_OK : fail(ERR_NOMEM);
}

/* Whether all that the delta names is held, and what it says in terms of branches. */
static enum err delta_named(struct log *l, const struct bundle_head *h, const struct vector *before,
			    const struct vector **ret)
{
	static const struct bundle_tag none;
	struct entries n = {0};
	struct vector *v = NULL;
	enum err e = ERR_OK;

	for (uint32_t k = 0; h->delta && k < h->delta->count && !e; k++) {
		struct where in = h->delta->at[k];
		bool gone = in.seq == LOG_DELTA_GONE;
		if (!gone)
			e = named(l, &in, h->tags ? &h->tags[k] : &none);
		if (!l->forks_count || e)
			continue;
		e = gone ? put(&n, in) : put_named(l, &n, in);
		if (!e && fork_of(l, h->delta->at[k].inc))
			e = put_gone(l, &n, h->delta->at[k].inc, before);
	}
	if (!e && l->forks_count)
		e = to_vector(&n, &v);
	free(n.at);
	if (!e)
		*ret = l->forks_count ? v : vector_ref(h->delta);
	return e;
}

enum err log_fork_place(struct log *l, const struct bundle_head *h, const struct hash *hash,
			struct log_placed *ret)
{
	struct log_placed p = {.in = {h->inc, h->seq}, .follows = h->follows};
	enum err e = stand(l, h, hash, &p);

	if (!e && p.trunk.seq)
		p.follows = p.trunk;
	else if (!e && p.follows.seq)
		e = named(l, &p.follows, &h->follows_tag);
	if (e)
		return e;
	if (!p.trunk.inc || p.trunk.seq)
		p.before = log_inc_of(l, p.trunk.inc ? p.trunk.inc : p.in.inc);
	e = delta_named(l, h, p.before ? p.before->vec : NULL, &p.delta);
	if (!e)
		*ret = p;
	return e;
}

/* ---- what its records say ---- */

struct saying { /* whose words are translated */
	struct log *l;
	uint64_t inc; /* of the bundle, as placed; 0: an operation of this device */
	const struct vector *vec; /* of the bundle, in terms of branches */
};

/* The branch in the line of incarnations of inc, or the only one that vec counts; 0: none, or
 * several: then it knows of the fork and means what it says. */
static uint64_t branch_meant(const struct saying *y, const struct log_fork *f)
{
	struct log *l = y->l;
	const struct log_inc *i = log_inc_of(l, y->inc);
	uint64_t only = 0;

	if (!y->inc)
		return f->mine;
	for (uint32_t hops = 0; i && hops < l->incs_count; hops++) {
		if (i->trunk.inc == f->at.inc)
			return i->inc;
		i = log_inc_of(l, i->trunk.seq ? i->trunk.inc : i->follows.inc);
	}
	for (uint32_t k = 0; y->vec && k < y->vec->count; k++) {
		i = log_inc_of(l, y->vec->at[k].inc);
		if (!i || i->trunk.inc != f->at.inc)
			continue;
		if (only)
			return 0;
		only = i->inc;
	}
	return only;
}

static void say_dot(const struct saying *y, uint64_t *inc, uint64_t op)
{
	const struct log_fork *f;

	for (int d = 0; d < DEEP && (f = fork_of(y->l, *inc)) && parted(y->l, f); d++) {
		uint64_t branch = branch_meant(y, f);
		if (!branch || log_applied_dot(y->l, (struct dot){*inc, op}))
			return;
		*inc = branch;
	}
}

static void say_stamp(const struct saying *y, uint64_t t, uint64_t *inc)
{
	const struct log_fork *f;

	for (int d = 0; d < DEEP && (f = fork_of(y->l, *inc)) && parted(y->l, f); d++) {
		const struct log_inc *i = log_inc_of(y->l, *inc);
		uint64_t branch = branch_meant(y, f);
		if (!branch || (i && t <= i->most_t))
			return;
		*inc = branch;
	}
}

static void alias_key(struct step_key *k, uint64_t branch, struct inode_id id)
{
	step_key_init(k, TABLE_ALIAS);
	step_key_u64(k, branch);
	step_key_u64(k, id.inc);
	step_key_u64(k, id.op);
}

/* A conflict copy's id is a hash of ids: what it became was noted when the copy was made.  Its name
 * has a word of it, and the incarnation of its version. */
static bool say_copy_id(const struct saying *y, struct inode_id *id, uint64_t *version)
{
	struct step_key k;
	struct bytes value;

	for (uint32_t f = 0; f < y->l->forks_count; f++) {
		alias_key(&k, branch_meant(y, &y->l->forks[f]), *id);
		if (kv_get(y->l->kv, step_key_view(&k), &value))
			continue;
		struct rd r = rd_of(value);
		id->inc = rd_u64(&r);
		id->op = rd_u64(&r);
		*version = rd_u64(&r);
		return true;
	}
	return false;
}

static void say_inode(const struct saying *y, struct inode_id *id)
{
	uint64_t version;

	if (inode_derived(*id))
		(void)say_copy_id(y, id, &version);
	else
		say_dot(y, &id->inc, id->op);
}

/* version: the incarnation of the copy's version. */
static enum err alias_note(const struct saying *y, struct inode_id old, struct inode_id new,
			   uint64_t version)
{
	uint8_t value[24];
	struct wr w = {.at = value, .room = sizeof(value)};
	enum err e = ERR_OK;

	wr_u64(&w, new.inc);
	wr_u64(&w, new.op);
	wr_u64(&w, version);
	for (uint32_t f = 0; f < y->l->forks_count && !e; f++) {
		uint64_t branch = branch_meant(y, &y->l->forks[f]);
		struct step_key k;
		alias_key(&k, branch, old);
		if (branch)
			e = kv_put(y->l->kv, step_key_view(&k), wr_view(&w));
	}
	return e;
}

static enum err say_vector(const struct saying *y, const struct vector *v,
			   const struct vector **ret)
{
	struct entries n = {0};
	struct vector *made = NULL;
	enum err e = ERR_OK;

	for (uint32_t k = 0; v && k < v->count && !e; k++) {
		struct where in = v->at[k];
		const struct log_fork *f;
		for (int d = 0; d < DEEP && (f = fork_of(y->l, in.inc)) && in.seq > f->at.seq;
		     d++) {
			uint64_t branch = parted(y->l, f) ? branch_meant(y, f) : 0;
			in = branch ? (struct where){branch, in.seq - f->at.seq} : f->at;
		}
		e = put_named(y->l, &n, in);
	}
	if (!e)
		e = to_vector(&n, &made);
	free(n.at);
	*ret = made;
	return e;
}

static enum err say_copy(const struct saying *y, struct record *r)
{
	struct rec_inode *i = &r->ino;
	struct inode_id old = r->inode;
	struct log *l = y->l;

	say_inode(y, &i->origin_inode);
	say_dot(y, &i->origin.dot.inc, i->origin.dot.op);
	r->inode = hash_copy_id(i->origin_inode, i->origin.dot);
	i->born.inc = i->origin.dot.inc;
	const struct log_fork *f = fork_of(l, i->origin.in.inc);
	if (f && i->origin.in.seq > f->at.seq && branch_meant(y, f))
		i->origin.in = (struct where){branch_meant(y, f), i->origin.in.seq - f->at.seq};
	enum err e = say_vector(y, i->origin.vec, &l->origin_vec);
	i->origin.vec = l->origin_vec;
	if (!e && !inode_equal(old, r->inode))
		e = alias_note(y, old, r->inode, i->origin.dot.inc);
	if (e || !i->attrs_count)
		return e;
	l->attrs = malloc(i->attrs_count * sizeof(*l->attrs));
	if (!l->attrs)
		return fail(ERR_NOMEM);
	for (uint32_t k = 0; k < i->attrs_count; k++) {
		l->attrs[k] = i->attrs[k];
		say_stamp(y, l->attrs[k].stamp.t, &l->attrs[k].stamp.inc);
	}
	i->attrs = l->attrs;
	return ERR_OK;
}

static enum err say_content(const struct saying *y, struct rec_content *c)
{
	struct log *l = y->l;

	if (!c->bases_count)
		return ERR_OK;
	l->bases = malloc(c->bases_count * sizeof(*l->bases));
	if (!l->bases)
		return fail(ERR_NOMEM);
	for (uint32_t k = 0; k < c->bases_count; k++) {
		l->bases[k] = c->bases[k];
		say_dot(y, &l->bases[k].inc, l->bases[k].op);
	}
	c->bases = l->bases;
	return ERR_OK;
}

static void say_link(const struct saying *y, struct record *r)
{
	struct rec_link *k = &r->link;
	struct inode_id old = r->inode;
	uint64_t version;

	if (inode_derived(old) && k->name.h == old.op && say_copy_id(y, &r->inode, &version)) {
		k->name.inc = version;
		k->name.h = r->inode.op;
	} else {
		say_inode(y, &r->inode);
		say_stamp(y, k->name.t, &k->name.inc);
	}
	say_inode(y, &k->place.parent);
	say_inode(y, &k->prev.parent);
}

static enum err say(const struct saying *y, struct record *r)
{
	enum err e = ERR_OK;

	record_fini(y->l);
	say_dot(y, &r->dot.inc, r->dot.op);
	if (r->kind == REC_INODE) {
		say_stamp(y, r->ino.born.t, &r->ino.born.inc);
		say_inode(y, &r->ino.birth.parent);
	}
	if (r->kind == REC_INODE && r->ino.has_origin)
		return say_copy(y, r);
	if (r->kind == REC_LINK)
		say_link(y, r);
	else
		say_inode(y, &r->inode);
	if (r->kind == REC_CONTENT)
		e = say_content(y, &r->content);
	return e;
}

enum err log_fork_record(struct log *l, const struct bundle *b, struct record *r)
{
	const struct saying y = {l, b->head.inc, r->vec};

	return l->forks_count ? say(&y, r) : ERR_OK;
}

enum err log_fork_own(struct log *l, struct record *r)
{
	const struct saying y = {l, 0, NULL};

	if (!l->forks_count)
		return ERR_OK;
	enum err e = say(&y, r);
	if (!e)
		e = say_vector(&y, r->vec, &l->record_vec);
	r->vec = l->record_vec;
	return e;
}
