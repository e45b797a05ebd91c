// SPDX-License-Identifier: MIT
/*
 * log.c - bundles of every incarnation, in causal order: see log.h
 *
 * On the path of a remote change: node hands a verified and opened bundle to log_take(); here it
 * is judged, put in order and fed to the view record by record; its raw bytes go into the journal
 * with the same step, so that replay meets it at the same place.
 *
 * I1  incs is sorted by number; held has every incarnation with its seq, applied with its applied
 * I2  seen is applied without the current incarnation
 * I3  a waiting bundle is neither held nor the next that could be
 * I4  an incarnation belongs to the device that its number was computed from.  What another
 *     member's records or their dots claim never keeps a log from going on: members who heard of it
 *     in another order would judge otherwise, and wait for ever for what the others have applied
 */
#include "core/log_impl.h"

struct log *log_new(struct kv *kv, struct view *view, const struct folder_id *folder)
{
	struct log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->kv = kv;
	l->view = view;
	l->folder = *folder;
	l->arrivals = 1;
	return l;
}

void log_free(struct log *l)
{
	if (!l)
		return;
	for (uint32_t k = 0; k < l->waiting_count; k++)
		bundle_free(l->waiting[k]);
	log_accept_fini(l);
	log_fork_fini(l);
	free(l->waiting);
	free(l->incs);
	free(l);
}

/* ---- incarnations ---- */

static uint32_t inc_place(const struct log *l, uint64_t inc)
{
	uint32_t low = 0, high = l->incs_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (l->incs[mid].inc < inc)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct log_inc *log_inc_of(const struct log *l, uint64_t inc)
{
	uint32_t k = inc_place(l, inc);

	return k < l->incs_count && l->incs[k].inc == inc ? &l->incs[k] : NULL;
}

const struct log_inc *log_find(const struct log *l, uint64_t inc)
{
	return log_inc_of(l, inc);
}

static enum err inc_store(struct log *l, const struct log_inc *i)
{
	struct step_key k;
	struct wr w = {0};

	step_key_init(&k, TABLE_LOG);
	step_key_u64(&k, i->inc);
	wr_raw(&w, i->device.b, sizeof(i->device.b));
	wr_u64(&w, i->nonce);
	wr_u64(&w, i->follows.inc);
	wr_u64(&w, i->follows.seq);
	wr_u64(&w, i->trunk.inc);
	wr_u64(&w, i->trunk.seq);
	wr_u64(&w, i->most_t);
	wr_u64(&w, i->seq);
	wr_u64(&w, i->applied);
	wr_raw(&w, i->last.b, HASH_LEN);
	wr_raw(&w, i->born.b, HASH_LEN);
	vector_encode(&w, i->vec);
	wr_u8(&w, i->borrowed);
	wr_u8(&w, i->top == i->vec); /* as a rule */
	if (i->top != i->vec)
		vector_encode(&w, i->top);
	enum err e = w.bad ? fail(ERR_NOMEM) : kv_put(l->kv, step_key_view(&k), wr_view(&w));
	wr_fini(&w);
	return e;
}

static enum err inc_add(struct log *l, const struct log_inc *new, struct log_inc **ret)
{
	if (l->incs_count >= LOG_INCARNATIONS_MAX)
		return fail(ERR_FULL);
	if (l->incs_count == l->incs_room) {
		uint32_t room = l->incs_room ? l->incs_room * 2 : 16;
		struct log_inc *p = realloc(l->incs, room * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		l->incs = p;
		l->incs_room = room;
	}
	uint32_t k = inc_place(l, new->inc);
	memmove(l->incs + k + 1, l->incs + k, (l->incs_count - k) * sizeof(*l->incs));
	l->incs[k] = *new;
	l->incs_count++;
	*ret = &l->incs[k];
	return ERR_OK;
}

/* I1 */
static enum err note_held(struct log *l, struct where in)
{
	struct vector *held = vector_with(l->held, in.inc, in.seq);

	if (!held)
		return fail(ERR_NOMEM);
	vector_unref(l->held);
	l->held = held;
	return ERR_OK;
}

/* I1, I2 */
static enum err note_applied(struct log *l, struct where in)
{
	struct vector *applied = vector_with(l->applied, in.inc, in.seq);
	struct vector *seen =
		in.inc == l->current ? vector_ref(l->seen) : vector_with(l->seen, in.inc, in.seq);

	if (!applied || (!seen && in.inc != l->current)) {
		vector_unref(applied);
		vector_unref(seen);
		return fail(ERR_NOMEM);
	}
	vector_unref(l->applied);
	vector_unref(l->seen);
	l->applied = applied;
	l->seen = seen;
	return ERR_OK;
}

struct passed { /* a bundle that is held from now on */
	struct where in;
	struct hash hash;
	const struct vector *vec; /* borrowed */
};

/* Its log is so much longer. */
static enum err inc_went_on(struct log *l, struct log_inc *i, const struct passed *p)
{
	i->seq = p->in.seq;
	i->last = p->hash;
	vector_ref(p->vec);
	vector_unref(i->vec);
	i->vec = p->vec;
	enum err e = log_raise(&i->top, p->vec);
	if (!e)
		e = inc_store(l, i);
	return e ? e : note_held(l, p->in);
}

/* An applied bundle's dots; incarnations whose dots another's bundle carries are marked. */
static enum err note_dots(struct log *l, const struct log_dots *d)
{
	enum err e = log_dots_note(l, TABLE_DOTS, d);

	for (uint32_t k = 0; k < d->count && !e; k++) {
		struct log_inc *i = d->at[k].inc == d->in.inc ? NULL : log_inc_of(l, d->at[k].inc);
		if (!i || i->borrowed)
			continue;
		i->borrowed = true;
		e = inc_store(l, i);
	}
	return e;
}

/* So much of it is applied: the next bundle, too. */
static enum err inc_applied(struct log *l, struct log_inc *i)
{
	i->applied++;
	enum err e = inc_store(l, i);
	return e ? e : note_applied(l, (struct where){i->inc, i->applied});
}

enum err log_begin(struct log *l, const struct device_id *device, uint64_t nonce,
		   struct where follows)
{
	struct log_inc new = {.nonce = nonce, .device = *device, .follows = follows};
	struct log_inc *i;

	new.inc = hash_incarnation(&l->folder, device, nonce);
	if (log_inc_of(l, new.inc))
		return fail(ERR_EXIST);
	enum err e = inc_add(l, &new, &i);
	if (!e)
		e = inc_store(l, i);
	if (e)
		return e;
	l->current = new.inc;
	vector_unref(l->seen);
	l->seen = vector_ref(l->applied);
	return ERR_OK;
}

uint64_t log_current(const struct log *l)
{
	return l->current;
}

bool log_is_own(const struct log *l, uint64_t inc, const struct device_id *self)
{
	const struct log_inc *i = log_inc_of(l, inc);

	return i && memcmp(&i->device, self, sizeof(*self)) == 0;
}

const struct vector *log_held(const struct log *l)
{
	return l->held;
}

const struct vector *log_applied(const struct log *l)
{
	return l->applied;
}

const struct vector *log_seen(const struct log *l)
{
	return l->seen;
}

uint64_t log_waiting(const struct log *l)
{
	return l->waiting_count;
}

/* ---- hooks of the view ---- */

/* Whether bundle a lies in the past of incarnation inc of the same device. */
static bool descends(const struct log *l, uint64_t inc, struct where a)
{
	struct where f = log_follows(l, inc);

	for (uint32_t hops = 0; f.inc && hops < MAX(l->incs_count, l->targets_count); hops++) {
		if (f.inc == a.inc)
			return a.seq <= f.seq;
		f = log_follows(l, f.inc);
	}
	return false;
}

bool log_line(void *arg, struct where a, struct where b)
{
	const struct log *l = arg;

	return a.inc == b.inc || descends(l, a.inc, b) || descends(l, b.inc, a);
}

/* ---- own bundles ---- */

/* The vector of the bundle: its delta laid over that of the one before.  Both are sorted: one pass,
 * for either may have thousands of entries. */
static enum err whole_vector(const struct log_inc *i, const struct vector *delta,
			     const struct vector **ret)
{
	const struct vector *old = i ? i->vec : NULL;
	uint32_t rest = old ? old->count : 0, more = delta ? delta->count : 0, n = 0;

	if (!more) {
		*ret = vector_ref(old);
		return ERR_OK;
	}
	struct where *at = malloc(((size_t)rest + more) * sizeof(*at));
	if (!at)
		return fail(ERR_NOMEM);
	for (uint32_t a = 0, b = 0; a < rest || b < more;) {
		if (b == more || (a < rest && old->at[a].inc < delta->at[b].inc)) {
			at[n++] = old->at[a++];
			continue;
		}
		a += a < rest && old->at[a].inc == delta->at[b].inc;
		if (delta->at[b].seq != LOG_DELTA_GONE)
			at[n++] = delta->at[b];
		b++;
	}
	const struct vector *v = vector_new(at, n);
	free(at);
	if (!v)
		return fail(ERR_NOMEM);
	*ret = v;
	return ERR_OK;
}

/* The incarnation that a bundle is placed in.  Whose it is shows in its number; a dot is a mere
 * claim (I4).  A branch is bound by what binds its trunk. */
static enum err inc_placed(struct log *l, const struct log_inc *shown, const struct log_placed *p,
			   struct log_inc **ret)
{
	const struct log_inc *trunk = log_inc_of(l, p->trunk.inc);
	struct log_inc new = {.inc = p->in.inc, .trunk = p->trunk};
	enum err e = ERR_OK;

	if (trunk)
		new.born = trunk->born;
	*ret = log_inc_of(l, new.inc);
	if (!*ret)
		e = inc_add(l, &new, ret);
	if (e)
		return e;
	(*ret)->nonce = shown->nonce;
	(*ret)->device = shown->device;
	if (p->in.seq == 1) {
		(*ret)->follows = p->follows;
		(*ret)->trunk = p->trunk;
	}
	return p->trunk.inc ? log_fork_taken(l, p) : ERR_OK;
}

/* The dots of an own bundle; what went into its log's branch has that for its incarnation. */
static enum err own_dots(struct log *l, const struct log_own *o, const struct log_placed *p)
{
	const struct log_dots said = {o->ops, o->count, p->in};
	enum err e = log_dots_own(l, &said);

	if (e || p->in.inc == o->head->inc)
		return e ? e : note_dots(l, &said);
	struct dot *at = malloc(MAX(o->count, 1u) * sizeof(*at));
	if (!at)
		return fail(ERR_NOMEM);
	for (uint32_t k = 0; k < o->count; k++) {
		bool own = o->ops[k].inc == o->head->inc;
		at[k] = (struct dot){own ? p->in.inc : o->ops[k].inc, o->ops[k].op};
	}
	e = note_dots(l, &(struct log_dots){at, o->count, p->in});
	free(at);
	return e;
}

static enum err own_placed(struct log *l, const struct log_own *o, const struct log_placed *p,
			   const struct vector *vec)
{
	const struct log_inc shown = {.device = o->head->device, .nonce = o->head->nonce};
	struct log_inc *i;
	uint64_t number = l->arrivals;
	enum err e = inc_placed(l, &shown, p, &i);

	if (!e)
		e = log_arrive(l, p->in, &o->hash, o->raw_at, o->raw_len);
	if (e)
		return e;
	if (p->in.seq == 1 && !p->trunk.inc)
		i->born = o->head->roster;
	i->most_t = MAX(i->most_t, o->most_t);
	e = inc_went_on(l, i, &(struct passed){p->in, o->hash, vec});
	if (e)
		return e;
	if (i->applied + 1 == p->in.seq && p->in.seq <= log_allowed(l, i)) {
		e = own_dots(l, o, p);
		return e ? e : inc_applied(l, log_inc_of(l, p->in.inc));
	}
	e = log_dots_own(l, &(struct log_dots){o->ops, o->count, p->in});
	if (e)
		return e;
	l->stray |= !l->rebuilding;
	return log_set_aside(l, &(struct log_unapplied){p->in, number, o->raw_len, vec});
}

enum err log_own(struct log *l, const struct log_own *o)
{
	struct log_placed p;
	const struct vector *vec = NULL;
	enum err e = log_fork_place(l, o->head, &o->hash, &p);

	bool later = log_fork_pending(l);
	if (e == ERR_AGAIN || e == ERR_EXIST || e == ERR_FORGED)
		return later ? ERR_OK : fail(ERR_DAMAGED);
	if (e)
		return e;
	const struct log_inc *i = log_inc_of(l, p.in.inc);
	if (p.in.seq != (i ? i->seq : 0) + 1) {
		vector_unref(p.delta);
		return later ? ERR_OK : fail(ERR_DAMAGED);
	}
	if (!l->forks_count)
		vec = vector_ref(o->vec);
	else
		e = whole_vector(p.before, p.delta, &vec);
	if (!e)
		e = own_placed(l, o, &p, vec);
	vector_unref(vec);
	vector_unref(p.delta);
	return e;
}

/* ---- others' bundles ---- */

/*
 * What stands between a bundle and its turn: ERR_OK nothing, and then p and vec are the caller's;
 * ERR_AGAIN something missing; ERR_EXIST known already; ERR_FORGED.
 */
static enum err turn(struct log *l, const struct bundle *b, struct log_placed *p,
		     const struct vector **vec)
{
	enum err e = log_fork_place(l, &b->head, &b->hash, p);

	if (e)
		return e;
	const struct log_inc *i = log_inc_of(l, p->in.inc);
	uint64_t have = i ? i->seq : 0;
	static const struct hash none;
	if (p->in.seq != have + 1)
		e = ERR_AGAIN;
	if (!e && !p->trunk.inc &&
	    memcmp(&b->head.prev, have ? &i->last : &none, sizeof(none)) != 0) {
		log_doubts(l, (struct where){p->in.inc, have});
		e = fail(ERR_FORGED);
	}
	if (!e && have == 0 && p->follows.seq &&
	    vector_get(l->held, p->follows.inc) < p->follows.seq)
		e = ERR_AGAIN;
	if (!e)
		e = whole_vector(p->before, p->delta, vec);
	if (!e && !vector_covers(l->held, *vec)) {
		vector_unref(*vec);
		e = ERR_AGAIN;
	}
	if (e)
		vector_unref(p->delta);
	return e;
}

/* Whether a bundle's author may use a dot: that of an incarnation of its own device.  One that
 * nobody knows is taken for that: an incarnation may end before it sent a bundle, and its records
 * come in a later one's. */
static bool own_dot(const struct log *l, const struct bundle *b, struct dot dot)
{
	const struct log_inc *i = log_inc_of(l, dot.inc);

	return i && memcmp(&i->device, &b->head.device, sizeof(i->device)) == 0;
}

/* Note the incarnations that only dots tell of, as far as there is room for such. */
static enum err note_silent(struct log *l, const struct bundle *b)
{
	for (uint32_t k = 0; k < b->count; k++) {
		struct log_inc new = {.inc = b->records[k].dot.inc, .device = b->head.device};
		struct log_inc *i = log_inc_of(l, new.inc);
		enum err e = ERR_OK;
		if (!i && l->incs_count >= LOG_INCARNATIONS_MAX - LOG_INCARNATIONS_MAX / 4)
			continue;
		if (!i)
			e = inc_add(l, &new, &i);
		if (!e && i->seq == 0 && i->nonce == 0)
			e = inc_store(l, i);
		if (e)
			return e;
	}
	return ERR_OK;
}

/* One record of another bundle than the one, or of the same, that its dot was applied from. */
static enum err apply_record(struct log *l, struct bundle *b, struct record *r)
{
	struct where first;

	if (!own_dot(l, b, r->dot) || !log_dots_known(l, b, r))
		return ERR_MALFORMED;
	/* Our own, which is in the view already: now it is in a bundle, too. */
	if (l->rules.pending && l->rules.pending(l->rules.arg, r->dot, r->in))
		return log_dots_note(l, TABLE_OWN, &(struct log_dots){&r->dot, 1, r->in});
	if (log_dots_suspect(l, r->dot, r->in.inc) && log_dots_find(l, r->dot, &first))
		return log_dots_again(l, r->dot, r->in);
	return view_apply(l->view, r);
}

static enum err apply_records(struct log *l, struct step *s, struct bundle *b,
			      const struct vector *vec)
{
	struct dot *at = malloc(MAX(b->count, 1u) * sizeof(*at));
	struct log_dots dots = {at, 0, {b->head.inc, b->head.seq}};
	uint32_t bad = 0;
	bool stray = false;
	enum err e = at ? ERR_OK : fail(ERR_NOMEM);

	(void)view_doubtful(l->view);
	for (uint32_t k = 0; k < b->count && !e; k++) {
		struct record *r = &b->records[k];
		r->in = dots.in;
		r->vec = vec;
		e = log_fork_record(l, b, r);
		if (!e)
			e = apply_record(l, b, r);
		if (!e) /* what is not applied leaves its dot to whose it is */
			at[dots.count++] = r->dot;
		bad += e == ERR_MALFORMED; /* the same on every member: skipped, the log goes on */
		e = e == ERR_MALFORMED ? ERR_OK : e;
	}
	if (!e)
		e = note_dots(l, &dots);
	free(at);
	if (!e && view_doubtful(l->view))
		e = log_look_back(l, s, b, &stray);
	if (!e && bad && !stray && !s->replaying)
		step_report(
			s, true,
			"%u records of bundle %016llx.%llu refer to what does not exist: skipped",
			bad, (unsigned long long)b->head.inc, (unsigned long long)b->head.seq);
	return e;
}

/* Whether a bundle that is held now is to be applied: its turn has come there, too, and nothing
 * speaks against it. */
static bool accepted(struct log *l, const struct log_inc *i, const struct passed *p)
{
	if (l->replay == REPLAY_HOLD && !l->rebuilding)
		return false;
	if (!log_causes_applied(l, i, p->in.seq, p->vec))
		return false;
	return (l->replay == REPLAY_APPLY && !l->rebuilding) || p->in.seq <= log_allowed(l, i);
}

/* The bundle's head in terms of branches, from now on. */
static void place(struct bundle *b, const struct log_placed *p)
{
	b->head.inc = p->in.inc;
	b->head.seq = p->in.seq;
	b->head.follows = p->follows;
}

static uint64_t most_t(const struct bundle *b, uint64_t inc)
{
	uint64_t t = 0;

	for (uint32_t k = 0; k < b->count; k++)
		if (b->records[k].dot.inc == inc)
			t = MAX(t, b->records[k].t);
	return t;
}

struct taken {
	const struct log_placed *placed;
	const struct vector *vec;
	uint64_t raw_at;
};

static enum err hold(struct log *l, struct step *s, struct bundle *b, const struct taken *t)
{
	const struct passed p = {t->placed->in, b->hash, t->vec};
	const struct log_inc shown = {.device = b->head.device, .nonce = b->head.nonce};
	uint64_t number = l->arrivals, raw_at = t->raw_at, t_most = most_t(b, b->head.inc);
	struct log_inc *i;
	size_t mark = 0;
	enum err e = inc_placed(l, &shown, t->placed, &i);

	if (e)
		return e;
	if (p.in.seq == 1 && !t->placed->trunk.inc)
		i->born = b->head.roster;
	place(b, t->placed);
	bool go = accepted(l, i, &p), held = false;
	if (go && l->rules.look && !s->replaying)
		e = l->rules.look(l->rules.arg, s, b, &held);
	if (e)
		return e;
	go = go && !held;
	if (!go && (l->unapplied_count >= LOG_HELD_MAX ||
		    l->unapplied_bytes + b->raw_len > LOG_HELD_BYTES_MAX))
		return fail(ERR_FULL); /* it will be sent again */
	struct wr *w = step_entry(s, go ? J_BUNDLE : J_HELD, &mark);
	if (w) {
		raw_at = s->journal_at + w->len;
		wr_raw(w, b->raw, b->raw_len);
		step_entry_end(s, mark);
	}
	i->most_t = MAX(i->most_t, t_most);
	e = inc_went_on(l, i, &p);
	if (!e && go)
		e = note_silent(l, b); /* moves incs: i is not used below */
	if (!e)
		e = log_arrive(l, p.in, &b->hash, raw_at, (uint32_t)b->raw_len);
	if (!e && !go)
		return log_set_aside(
			l, &(struct log_unapplied){p.in, number, (uint32_t)b->raw_len, p.vec});
	if (!e)
		e = apply_records(l, s, b, p.vec);
	return e ? e : inc_applied(l, log_inc_of(l, p.in.inc));
}

/* What a waiting bundle takes: compressed, it may be thousands of times larger than it came. */
static size_t wait_bytes(const struct bundle *b)
{
	struct seal_info info;

	if (!b->plain || seal_peek(b->head.body, &info))
		return b->raw_len;
	return b->raw_len + 2 * (size_t)info.plain_len + b->count * sizeof(b->records[0]);
}

/* What nobody vouches for yet gets a quarter of the table. */
static enum err wait(struct log *l, struct bundle *b, bool judged)
{
	unsigned part = judged ? 1 : 4;

	if (l->waiting_count >= LOG_WAITING_MAX / part ||
	    l->waiting_bytes + wait_bytes(b) > LOG_WAITING_BYTES_MAX / part)
		return fail(ERR_FULL);
	for (uint32_t k = 0; k < l->waiting_count; k++)
		if (memcmp(&l->waiting[k]->hash, &b->hash, sizeof(b->hash)) == 0)
			return ERR_EXIST;
	if (l->waiting_count == l->waiting_room) {
		uint32_t room = l->waiting_room ? l->waiting_room * 2 : 64;
		struct bundle **p = realloc(l->waiting, room * sizeof(struct bundle *));
		if (!p)
			return fail(ERR_NOMEM);
		l->waiting = p;
		l->waiting_room = room;
	}
	l->waiting[l->waiting_count++] = b;
	l->waiting_bytes += wait_bytes(b);
	return ERR_OK;
}

/* ERR_OK: held and freed.  ERR_AGAIN: its turn has not come; the bundle is still the caller's.
 * Anything else: freed. */
static enum err try_hold(struct log *l, struct step *s, const struct log_judge *j, struct bundle *b,
			 uint64_t raw_at)
{
	const struct vector *vec = NULL;
	struct log_placed p;
	enum err e = turn(l, b, &p, &vec);

	if (e == ERR_AGAIN)
		return e;
	if (!e) {
		e = j && !s->replaying ? j->may(j->arg, b) : ERR_OK;
		if (!e)
			e = hold(l, s, b, &(struct taken){&p, vec, raw_at});
		vector_unref(vec);
		vector_unref(p.delta);
		if (e == ERR_AGAIN)
			return e;
	}
	bundle_free(b);
	return e;
}

enum err log_take(struct log *l, struct step *s, const struct log_judge *j, struct bundle *take,
		  enum log_verdict *ret)
{
	const struct where in = {take->head.inc, take->head.seq};
	enum err e = try_hold(l, s, j, take, 0);

	if (e == ERR_AGAIN) {
		enum err may = j ? j->may(j->arg, take) : ERR_OK;
		e = may && may != ERR_AGAIN ? may : wait(l, take, !may);
		if (e)
			bundle_free(take);
		*ret = LOG_WAITS;
		if (e == ERR_FULL) /* it will be sent again: see spread.c */
			e = ERR_OK;
		return e == ERR_EXIST ? ERR_OK : e;
	}
	*ret = e == ERR_EXIST ? LOG_KNOWN : e == ERR_FULL ? LOG_WAITS : LOG_APPLIED;
	if (!e && vector_get(l->applied, in.inc) < in.seq)
		*ret = LOG_HELD;
	return e == ERR_EXIST || e == ERR_FULL ? ERR_OK : e;
}

enum err log_replay(struct log *l, struct step *s, struct bundle *take, uint64_t raw_at, bool held)
{
	l->replay = held ? REPLAY_HOLD : REPLAY_APPLY;
	enum err e = try_hold(l, s, NULL, take, raw_at);

	l->replay = REPLAY_NOT;
	if (e == ERR_AGAIN)
		bundle_free(take);
	if (e != ERR_AGAIN && e != ERR_EXIST)
		return e;
	/* It is fed again when the fork is known from the start. */
	return log_fork_pending(l) ? ERR_OK : fail(ERR_DAMAGED);
}

enum err log_ready(struct log *l, struct step *s, const struct log_judge *j, bool *more)
{
	*more = false;
	for (uint32_t k = 0; k < l->waiting_count; k++) {
		struct bundle *b = l->waiting[k];
		size_t len = wait_bytes(b);
		enum err e = try_hold(l, s, j, b, 0);
		if (e == ERR_AGAIN)
			continue;
		l->waiting[k] = l->waiting[--l->waiting_count];
		l->waiting_bytes -= len;
		if (e == ERR_NOMEM || e == ERR_IO)
			return e;
		if (e == ERR_OK) {
			*more = true;
			return ERR_OK;
		}
		k--; /* a known or refused one is gone; look at what took its place */
	}
	return ERR_OK;
}

/* ---- after a start ---- */

static enum err load_inc(struct log *l, struct bytes key, struct bytes value)
{
	struct rd rk = {.at = key.at + 1, .end = key.at + key.len};
	struct rd r = rd_of(value);
	struct log_inc new = {.inc = rd_be64(&rk)};
	struct vector *vec = NULL, *top = NULL;
	struct log_inc *i;

	rd_copy(&r, new.device.b, sizeof(new.device.b));
	new.nonce = rd_u64(&r);
	new.follows.inc = rd_u64(&r);
	new.follows.seq = rd_u64(&r);
	new.trunk.inc = rd_u64(&r);
	new.trunk.seq = rd_u64(&r);
	new.most_t = rd_u64(&r);
	new.seq = rd_u64(&r);
	new.applied = rd_u64(&r);
	rd_copy(&r, new.last.b, HASH_LEN);
	rd_copy(&r, new.born.b, HASH_LEN);
	enum err e = vector_decode(&r, &vec);
	new.borrowed = !e &&rd_u8(&r);
	if (!e && rd_u8(&r))
		top = vector_ref(vec);
	else if (!e)
		e = vector_decode(&r, &top);
	if (e || !rd_done(&r) || new.applied > new.seq) {
		vector_unref(vec);
		vector_unref(top);
		return fail(ERR_DAMAGED);
	}
	new.vec = vec;
	new.top = top;
	e = inc_add(l, &new, &i);
	if (e) {
		vector_unref(vec);
		vector_unref(top);
	}
	if (!e && new.seq)
		e = note_held(l, (struct where){new.inc, new.seq});
	return e || !new.applied ? e : note_applied(l, (struct where){new.inc, new.applied});
}

enum err log_load(struct log *l, uint64_t current)
{
	struct bytes key, value;
	uint8_t copy[STEP_KEY_MAX] = {TABLE_LOG};
	struct bytes from = {copy, 1};

	l->current = current; /* before the first note_applied(): I2 */
	while (kv_next(l->kv, from, true, &key, &value) == ERR_OK && key.at[0] == TABLE_LOG) {
		if (key.len > sizeof(copy))
			return fail(ERR_DAMAGED);
		memcpy(copy, key.at, key.len);
		from.len = key.len;
		enum err e = load_inc(l, key, value);
		if (e)
			return e;
	}
	for (uint32_t k = 0; k < l->incs_count; k++) { /* the last arrival is some log's last */
		struct step_key row;
		step_key_init(&row, TABLE_BUNDLE);
		step_key_u64(&row, l->incs[k].inc);
		step_key_u64(&row, l->incs[k].seq);
		if (kv_get(l->kv, step_key_view(&row), &value))
			continue;
		struct rd r = rd_of(value);
		uint64_t number = rd_u64(&r);
		l->arrivals = MAX(l->arrivals, number + 1);
	}
	log_dots_load(l);
	enum err e = log_fork_load(l);
	if (e)
		return e;
	l->stray = view_is_stray(l->view);
	return log_load_unapplied(l);
}
