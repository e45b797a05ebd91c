// SPDX-License-Identifier: MIT
/*
 * log_accept.c - which of the bundles held are accepted, and whether the view stands there
 *
 * What is accepted is a function of the bundles held and of what the roster says (log_rules), so
 * members that hold the same apply the same, whatever came first.  As a rule a bundle is accepted
 * when it comes and stays so.  It may turn out otherwise: a removal is heard of after bundles that
 * it does not accept were applied, or somebody's bundle vouches for some that had been set aside.
 * The view cannot take records back; so it is then made again from the journal.
 *
 * What had seen a bundle vouches for it: each incarnation keeps the join of the vectors of its
 * bundles (top), which is all that its author had applied, causes included; own operations not yet
 * in a bundle are joined in own_top.  A record of the roster that limits a device carries such a
 * vector, too.
 *
 * I1  unapplied has every held bundle that is not applied, in order of arrival
 */
#include "core/log_impl.h"

void log_accept_fini(struct log *l)
{
	for (uint32_t k = 0; k < l->incs_count; k++) {
		vector_unref(l->incs[k].vec);
		vector_unref(l->incs[k].top);
	}
	for (uint32_t k = 0; k < l->unapplied_count; k++)
		vector_unref(l->unapplied[k].vec);
	vector_unref(l->held);
	vector_unref(l->applied);
	vector_unref(l->seen);
	vector_unref(l->own_top);
	free(l->unapplied);
	free(l->targets);
}

void log_set_rules(struct log *l, const struct log_rules *r)
{
	l->rules = *r;
}

/* ---- who has seen what ---- */

/* Both are sorted: one pass. */
static struct vector *join(const struct vector *a, const struct vector *b)
{
	struct where *at = malloc(((size_t)a->count + b->count) * sizeof(*at));
	uint32_t n = 0;

	if (!at)
		return NULL;
	for (uint32_t i = 0, k = 0; i < a->count || k < b->count; n++) {
		if (k == b->count || (i < a->count && a->at[i].inc < b->at[k].inc)) {
			at[n] = a->at[i++];
		} else if (i == a->count || b->at[k].inc < a->at[i].inc) {
			at[n] = b->at[k++];
		} else {
			at[n] = a->at[i].seq > b->at[k].seq ? a->at[i] : b->at[k];
			i++;
			k++;
		}
	}
	struct vector *v = vector_new(at, n);
	free(at);
	return v;
}

enum err log_raise(const struct vector **top, const struct vector *vec)
{
	if (vector_covers(vec, *top)) { /* as a rule: what is seen grows */
		vector_ref(vec);
		vector_unref(*top);
		*top = vec;
		return ERR_OK;
	}
	if (vector_covers(*top, vec))
		return ERR_OK;
	const struct vector *v = join(*top, vec);
	if (!v)
		return fail(ERR_NOMEM);
	vector_unref(*top);
	*top = v;
	return ERR_OK;
}

void log_note_own(struct log *l, const struct vector *vec)
{
	if (vec != l->own_top && log_raise(&l->own_top, vec))
		l->stray = true; /* without memory: look again later, from the journal */
}

static uint64_t work_out(const struct log *l, const struct log_inc *i);

void log_note_own_now(struct log *l)
{
	struct vector *v = vector_ref(l->seen);

	for (uint32_t k = 0; v && k < l->incs_count; k++) {
		uint64_t seq = vector_get(v, l->incs[k].inc), allowed = work_out(l, &l->incs[k]);
		if (seq <= allowed)
			continue;
		struct vector *less = vector_with(v, l->incs[k].inc, allowed);
		vector_unref(v);
		v = less;
	}
	if (v || !l->seen)
		log_note_own(l, v);
	else
		l->stray = true; /* as in log_note_own() */
	vector_unref(v);
}

bool log_own_done(struct log *l)
{
	bool had = l->own_top != NULL;

	vector_unref(l->own_top);
	l->own_top = NULL;
	return had && l->limited;
}

static uint64_t limit_of(const struct log *l, const struct log_inc *i)
{
	return l->rules.limit ? l->rules.limit(l->rules.arg, i) : UINT64_MAX;
}

/* What a bundle that waits says it has seen of inc; only what is clear about its author counts. */
static uint64_t seen_by_waiting(const struct log *l, uint64_t inc)
{
	uint64_t most = 0;

	for (uint32_t k = 0; k < l->waiting_count; k++) {
		const struct bundle_head *h = &l->waiting[k]->head;
		struct log_inc new = {.inc = h->inc, .device = h->device, .born = h->roster};
		const struct log_inc *i = h->seq == 1 ? &new : log_inc_of(l, h->inc);
		uint64_t seq = vector_get(h->delta, inc);
		if (!i || seq == LOG_DELTA_GONE || seq <= most || limit_of(l, i) != UINT64_MAX)
			continue;
		most = seq;
	}
	return most;
}

/* How much of inc somebody whose word counts has built on. */
static uint64_t vouched(const struct log *l, uint64_t inc)
{
	const struct log_inc *own = log_inc_of(l, l->current);
	uint64_t most = l->rules.granted ? l->rules.granted(l->rules.arg, inc) : 0;

	for (uint32_t k = 0; k < l->incs_count; k++) {
		uint64_t seq = vector_get(l->incs[k].top, inc);
		if (seq > most && limit_of(l, &l->incs[k]) == UINT64_MAX)
			most = seq;
	}
	if (own && limit_of(l, own) == UINT64_MAX)
		most = MAX(most, vector_get(l->own_top, inc));
	return MAX(most, seen_by_waiting(l, inc));
}

/* What an incarnation follows may have been rejected since: then it is, too. */
static bool lost_ground(const struct log *l, const struct log_inc *i)
{
	const struct log_inc *f = i->follows.inc ? log_inc_of(l, i->follows.inc) : NULL;

	return f && limit_of(l, f) < i->follows.seq && work_out(l, f) < i->follows.seq;
}

static uint64_t work_out(const struct log *l, const struct log_inc *i)
{
	uint64_t limit = lost_ground(l, i) ? 0 : limit_of(l, i);
	uint64_t brake = l->rules.braked ? l->rules.braked(l->rules.arg, i) : UINT64_MAX;

	if (limit != UINT64_MAX)
		limit = MAX(limit, vouched(l, i->inc));
	return MIN(limit, brake);
}

/* A branch that was not known when the targets were set has none: NULL. */
static const struct target *target_at(const struct log *l, uint64_t inc)
{
	uint32_t low = 0, high = l->targets_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (l->targets[mid].inc < inc)
			low = mid + 1;
		else
			high = mid;
	}
	bool found = low < l->targets_count && l->targets[low].inc == inc;
	return found ? &l->targets[low] : NULL;
}

static bool target_of(const struct log *l, uint64_t inc, uint64_t *ret)
{
	const struct target *t = target_at(l, inc);

	*ret = t ? t->seq : UINT64_MAX;
	return t;
}

/* Own records that a crash left behind stand in the journal before the incarnation that they travel
 * in. */
struct where log_follows(const struct log *l, uint64_t inc)
{
	const struct log_inc *i = log_inc_of(l, inc);
	const struct target *t = i || !l->rebuilding ? NULL : target_at(l, inc);

	return i ? i->follows : t ? t->follows : (struct where){0, 0};
}

uint64_t log_allowed(struct log *l, const struct log_inc *i)
{
	uint64_t target;

	return l->rebuilding && target_of(l, i->inc, &target) ? target : work_out(l, i);
}

bool log_own_limited(struct log *l)
{
	const struct log_inc *i = log_inc_of(l, l->current);

	return i && (limit_of(l, i) != UINT64_MAX || lost_ground(l, i));
}

bool log_own_forked(struct log *l)
{
	return log_tip(l, l->current) != l->current;
}

/* ---- what is held and not applied ---- */

/*
 * An incarnation comes after what it follows, whatever its vectors say: records that a crash left
 * behind do not count the log that they were meant for, and refer to what stands in it.
 */
bool log_causes_applied(const struct log *l, const struct log_inc *i, uint64_t seq,
			const struct vector *vec)
{
	return i->applied + 1 == seq && vector_covers(l->applied, vec) && !log_fork_open(l, i) &&
	       (seq > 1 || vector_get(l->applied, i->follows.inc) >= i->follows.seq);
}

static enum err add(struct log *l, const struct log_unapplied *u)
{
	if (l->unapplied_count == l->unapplied_room) {
		uint32_t room = l->unapplied_room ? l->unapplied_room * 2 : 16;
		struct log_unapplied *p = realloc(l->unapplied, room * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		l->unapplied = p;
		l->unapplied_room = room;
	}
	l->unapplied[l->unapplied_count] = *u;
	vector_ref(u->vec);
	l->unapplied_count++;
	l->unapplied_bytes += u->len;
	return ERR_OK;
}

enum err log_set_aside(struct log *l, const struct log_unapplied *u)
{
	struct step_key k;
	struct wr w = {0};

	step_key_init(&k, TABLE_HELD);
	step_key_u64(&k, u->arrival);
	wr_u64(&w, u->in.inc);
	wr_u64(&w, u->in.seq);
	wr_u32(&w, u->len);
	vector_encode(&w, u->vec);
	enum err e = w.bad ? fail(ERR_NOMEM) : kv_put(l->kv, step_key_view(&k), wr_view(&w));
	wr_fini(&w);
	return e ? e : add(l, u);
}

uint32_t log_unapplied(const struct log *l)
{
	return l->unapplied_count;
}

const struct log_unapplied *log_unapplied_at(const struct log *l, uint32_t k)
{
	assert(k < l->unapplied_count);
	return &l->unapplied[k];
}

uint32_t log_incs(const struct log *l)
{
	return l->incs_count;
}

const struct log_inc *log_inc_at(const struct log *l, uint32_t k)
{
	assert(k < l->incs_count);
	return &l->incs[k];
}

enum err log_load_unapplied(struct log *l)
{
	struct bytes key, value;
	uint8_t from[1 + 8] = {TABLE_HELD};
	size_t len = 1;

	while (kv_next_in(l->kv, (struct bytes){from, len}, 1, len > 1, &key, &value) == ERR_OK) {
		struct rd rk = {.at = key.at + 1, .end = key.at + key.len};
		struct rd r = rd_of(value);
		struct log_unapplied u = {.arrival = rd_be64(&rk)};
		struct vector *vec;
		if (key.len != sizeof(from))
			return fail(ERR_DAMAGED);
		memcpy(from, key.at, sizeof(from));
		len = sizeof(from);
		u.in.inc = rd_u64(&r);
		u.in.seq = rd_u64(&r);
		u.len = rd_u32(&r);
		if (vector_decode(&r, &vec))
			return fail(ERR_DAMAGED);
		u.vec = vec;
		enum err e = rd_done(&r) ? add(l, &u) : fail(ERR_DAMAGED);
		vector_unref(vec);
		if (e)
			return e;
	}
	return ERR_OK;
}

/* ---- what was forgotten ---- */

/* Whether a bundle has records of an incarnation that its vector does not count: left behind by an
 * unclean stop, they had seen that log as far as it went then. */
static bool has_left_behind(const struct bundle *b, uint64_t inc)
{
	for (uint32_t k = 0; k < b->count; k++)
		if (b->records[k].dot.inc == inc)
			return true;
	return false;
}

/*
 * A bundle met what may have been forgotten here: had its author seen all of that?  It had, if what
 * its device acknowledged was true, and is now (core/stable): but a store may have been restored
 * from an old image, or a newcomer may write before it has caught up.
 */
enum err log_look_back(struct log *l, struct step *s, const struct bundle *b, bool *stray)
{
	const struct vector *vec = b->count ? b->records[0].vec : NULL; /* all have one */
	struct vector *f;
	enum err e = view_forgot(l->view, &f);

	for (uint32_t k = 0; !e && f && k < f->count && !*stray; k++) {
		uint64_t seen = vector_get(vec, f->at[k].inc);
		*stray = f->at[k].inc != b->head.inc && seen < f->at[k].seq &&
			 !(seen == 0 && has_left_behind(b, f->at[k].inc));
	}
	vector_unref(f);
	if (e || !*stray)
		return e;
	l->stray = true;
	if (!s->replaying)
		step_report(s, false, "a bundle had not seen all that is forgotten here");
	return view_note_stray(l->view);
}

/* ---- whether the view stands where it should ---- */

/* Whether one that was set aside could be applied now. */
static bool grown(struct log *l)
{
	for (uint32_t k = 0; k < l->unapplied_count; k++) {
		const struct log_unapplied *u = &l->unapplied[k];
		const struct log_inc *i = log_inc_of(l, u->in.inc);
		if (i && log_causes_applied(l, i, u->in.seq, u->vec) &&
		    u->in.seq <= log_allowed(l, i))
			return true;
	}
	return false;
}

bool log_settled(struct log *l)
{
	l->limited = false;
	for (uint32_t k = 0; k < l->incs_count; k++)
		l->limited |= limit_of(l, &l->incs[k]) != UINT64_MAX;
	if (l->stray || grown(l))
		return false;
	for (uint32_t k = 0; l->limited && k < l->incs_count; k++)
		if (l->incs[k].applied && l->incs[k].applied > log_allowed(l, &l->incs[k]))
			return false;
	return true;
}

void log_unsettle(struct log *l)
{
	l->stray |= !l->rebuilding;
}

enum err log_rebuild(struct log *l)
{
	struct target *t = calloc(MAX(l->incs_count, 1u), sizeof(*t));

	if (!t)
		return fail(ERR_NOMEM);
	for (uint32_t k = 0; k < l->incs_count; k++)
		t[k] = (struct target){l->incs[k].inc, work_out(l, &l->incs[k]),
				       l->incs[k].follows};
	uint32_t count = l->incs_count;
	const struct vector *own_top = vector_ref(l->own_top);
	log_accept_fini(l);
	l->incs_count = l->unapplied_count = l->unapplied_room = 0;
	l->held = l->applied = l->seen = NULL;
	l->unapplied = NULL;
	l->unapplied_bytes = 0;
	l->own_top = own_top;
	l->current = 0;
	l->arrivals = 1;
	l->stray = l->again = false;
	log_fork_begin(l);
	l->rebuilding = true;
	l->targets = t;
	l->targets_count = count;
	return ERR_OK;
}

void log_rebuilt(struct log *l)
{
	l->rebuilding = false;
	free(l->targets);
	l->targets = NULL;
	l->targets_count = 0;
}

bool log_rebuilding(const struct log *l)
{
	return l->rebuilding;
}

bool log_accepts_own(struct log *l, struct dot dot)
{
	struct where in = log_where(l, dot);
	uint64_t target;

	(void)target_of(l, in.inc, &target);
	return in.seq <= target;
}
