// SPDX-License-Identifier: MIT
/*
 * stable.c - see stable.h
 *
 * An acknowledgement counts when two things hold.  We hold all that its author held: so nothing
 * that it issued before is still to come.  And it names the roster that we hold: whoever
 * was let in since would otherwise be asked by nobody; as it is, all that anybody takes for stable
 * without knowing of a newcomer lies below what was acknowledged before the newcomer came.
 *
 * Of each member two are kept that do not count yet, the oldest and the latest: with the latest
 * alone a busy folder would never be caught up with.
 *
 * Bundles are no acknowledgements: a member may still hold back records that had seen less than a
 * bundle it has sent (outbox.h), and only it knows of them.
 *
 * What a device acknowledges must outlive a power cut, or it could write again below it: such a
 * message leaves when the journal is durable up to its step.  Rows are not in the journal: where
 * they are lost, nothing is known to be stable until it is heard again.
 *
 * I1  one entry per device; entries are never moved, so that their numbers are good for `told`
 * I2  known is what an acknowledgement that counted said last
 */
#include "core/stable.h"
#include "core/tables.h"
#include <stdlib.h>

struct said { /* by one device */
	struct device_id device;
	const struct vector *known; /* I2; owned */
	uint8_t *raw; /* the latest; owned */
	size_t len;
	uint64_t t, came_usec; /* of the latest; came: when it may be passed on at the earliest */
	struct ack oldest, latest; /* that do not count yet; held NULL: none */
};
struct talk { /* what a session has been told: the t of each entry's */
	uint64_t session;
	uint64_t *told; /* owned */
	uint32_t count;
};
struct stable {
	struct stable_config c;
	struct said *said;
	uint32_t count, room;
	struct talk talks[NODE_PEERS_MAX];
	uint32_t talks_count;
	uint64_t due, said_usec; /* said: when this device did last */
	bool spoke; /* it did since the start */
	uint64_t past_t; /* of one of its own that others have and it has not: rows were lost */
	struct hash roster; /* digest, of the tick */
};

struct stable *stable_new(const struct stable_config *c)
{
	struct stable *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->c = *c;
	st->due = UINT64_MAX;
	return st;
}

void stable_free(struct stable *st)
{
	if (!st)
		return;
	for (uint32_t k = 0; k < st->count; k++) {
		vector_unref(st->said[k].known);
		ack_fini(&st->said[k].oldest);
		ack_fini(&st->said[k].latest);
		free(st->said[k].raw);
	}
	for (uint32_t k = 0; k < st->talks_count; k++)
		free(st->talks[k].told);
	free(st->said);
	free(st);
}

static bool is_self(const struct stable *st, const struct device_id *d)
{
	return memcmp(d, &st->c.device->pub, sizeof(*d)) == 0;
}

static struct said *find(const struct stable *st, const struct device_id *d)
{
	for (uint32_t k = 0; k < st->count; k++)
		if (memcmp(&st->said[k].device, d, sizeof(*d)) == 0)
			return &st->said[k];
	return NULL;
}

static struct said *entry(struct stable *st, const struct device_id *d)
{
	struct said *s = find(st, d);

	if (s)
		return s;
	if (st->count == st->room) {
		uint32_t room = st->room ? st->room * 2 : 8;
		struct said *p = realloc(st->said, room * sizeof(*p));
		if (!p)
			return NULL;
		st->said = p;
		st->room = room;
	}
	s = &st->said[st->count++];
	*s = (struct said){.device = *d};
	return s;
}

/* ---- rows ---- */

static enum err store(struct stable *st, const struct said *s)
{
	struct step_key k;
	struct wr w = {0};

	step_key_init(&k, TABLE_STATE);
	step_key_u8(&k, 's');
	step_key_raw(&k, s->device.b, sizeof(s->device.b));
	vector_encode(&w, s->known);
	wr_raw(&w, s->raw, s->len);
	enum err e = w.bad ? fail(ERR_NOMEM) : kv_put(st->c.kv, step_key_view(&k), wr_view(&w));
	wr_fini(&w);
	return e;
}

/* It becomes the one to pass on, and one that may come to count. */
static enum err keep(struct stable *st, struct said *s, struct bytes raw, struct ack *take)
{
	uint8_t *copy = malloc(raw.len);

	if (!copy) {
		ack_fini(take);
		return fail(ERR_NOMEM);
	}
	memcpy(copy, raw.at, raw.len);
	free(s->raw);
	s->raw = copy;
	s->len = raw.len;
	s->t = take->t;
	if (is_self(st, &s->device)) {
		ack_fini(&s->latest); /* what this device says is compared with it, no more */
		s->latest = *take;
		return ERR_OK;
	}
	struct ack *to = s->oldest.held ? &s->latest : &s->oldest;
	ack_fini(to);
	*to = *take;
	return ERR_OK;
}

static enum err load(struct stable *st, struct bytes key, struct bytes value)
{
	struct device_id d;
	struct vector *known;
	struct ack a;
	struct rd r = rd_of(value);

	if (key.len != 2 + sizeof(d.b) || vector_decode(&r, &known))
		return fail(ERR_DAMAGED);
	memcpy(d.b, key.at + 2, sizeof(d.b));
	struct bytes raw = {r.at, rd_left(&r)};
	enum err e = ack_decode(raw, &a);
	struct said *s = e ? NULL : entry(st, &d);
	if (!s) {
		vector_unref(known);
		return e == ERR_NOMEM || !e ? fail(ERR_NOMEM) : fail(ERR_DAMAGED);
	}
	s->known = known;
	return keep(st, s, raw, &a);
}

enum err stable_load(struct stable *st)
{
	uint8_t at[STEP_KEY_MAX] = {TABLE_STATE, 's'};
	struct bytes from = {at, 2}, key, value;
	enum err e;

	while ((e = kv_next_in(st->c.kv, from, 2, from.len > 2, &key, &value)) == ERR_OK) {
		if (key.len > sizeof(at))
			return fail(ERR_DAMAGED);
		memcpy(at, key.at, key.len);
		from.len = key.len;
		e = load(st, (struct bytes){at, from.len}, value);
		if (e)
			return e;
	}
	st->due = 0;
	return e == ERR_NOENT ? ERR_OK : e;
}

/* ---- heard ---- */

static struct talk *talk_of(struct stable *st, uint64_t session)
{
	for (uint32_t k = 0; k < st->talks_count; k++)
		if (st->talks[k].session == session)
			return &st->talks[k];
	return NULL;
}

static enum err told(struct talk *t, uint32_t number, uint64_t at)
{
	if (number >= t->count) {
		uint32_t count = number + 8;
		uint64_t *p = realloc(t->told, count * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		memset(p + t->count, 0, (count - t->count) * sizeof(*p));
		t->told = p;
		t->count = count;
	}
	t->told[number] = MAX(t->told[number], at);
	return ERR_OK;
}

enum err stable_take(struct stable *st, const struct step *s, const struct peer *from,
		     struct bytes raw)
{
	struct ack a;
	enum err e = ack_decode(raw, &a);

	if (e)
		return e;
	struct said *old = find(st, &a.device);
	struct talk *t = talk_of(st, from->session);
	bool mine = is_self(st, &a.device);
	bool same = old && bytes_equal(raw, (struct bytes){old->raw, old->len});
	bool stale = same || (old && (mine ? old->t > a.t : old->t >= a.t));
	/* What differs from ours and is no later goes back: its author has lost what it said. */
	if (old && t && (same || a.t < old->t))
		e = told(t, (uint32_t)(old - st->said), a.t);
	if (stale && !same)
		st->due = MIN(st->due, s->now);
	if (memcmp(&a.folder, &st->c.folder, sizeof(a.folder)) != 0)
		e = fail(ERR_MALFORMED);
	/* Of one who is no member here (yet) it is of no use: it will say more when it is. */
	if (e || stale || roster_role(st->c.roster, &a.device) == ROLE_NONE) {
		ack_fini(&a);
		return e;
	}
	if (!ack_verify(raw, &a)) {
		ack_fini(&a);
		return fail(ERR_FORGED);
	}
	if (mine) { /* what it says next must come after it */
		st->past_t = MAX(st->past_t, a.t);
		st->due = MIN(st->due, s->now);
		ack_fini(&a);
		return ERR_OK;
	}
	old = entry(st, &a.device);
	if (!old) {
		ack_fini(&a);
		return fail(ERR_NOMEM);
	}
	uint64_t at = a.t;
	e = keep(st, old, raw, &a);
	old->came_usec = s->now;
	if (!e && t)
		e = told(t, (uint32_t)(old - st->said), at);
	st->due = MIN(st->due, s->now);
	return e ? e : store(st, old);
}

void stable_stir(struct stable *st, const struct step *s, bool now)
{
	uint64_t at = st->spoke && !now ? st->said_usec + STABLE_SAY_USEC : s->now;

	st->due = MIN(st->due, MAX(at, s->now));
}

/* ---- counted ---- */

static bool counts(const struct stable *st, const struct ack *a)
{
	return memcmp(&a->roster, &st->roster, sizeof(a->roster)) == 0 &&
	       vector_covers(log_held(st->c.log), a->held);
}

/* One of the two counts now, or cannot any more, as it names another roster and a later one came.
 */
static enum err settle(struct stable *st, struct said *s, bool *news)
{
	bool some = false;

	while (s->oldest.held) {
		bool now = counts(st, &s->oldest);
		bool other = memcmp(&s->oldest.roster, &st->roster, sizeof(st->roster)) != 0;
		if (!now && !(other && s->latest.held))
			break;
		if (now && !vector_equal(s->known, s->oldest.acked)) {
			vector_unref(s->known);
			s->known = vector_ref(s->oldest.acked);
			some = true;
		}
		ack_fini(&s->oldest);
		s->oldest = s->latest;
		memset(&s->latest, 0, sizeof(s->latest));
	}
	*news |= some;
	return some ? store(st, s) : ERR_OK;
}

struct vector *stable_vector(const struct stable *st, const struct vector *acked)
{
	bool all = roster_covered(st->c.roster, log_held(st->c.log));
	struct vector *v = acked && all ? vector_ref(acked) : vector_new(NULL, 0);

	for (uint32_t k = 0; v && k < roster_count(st->c.roster); k++) {
		const struct roster_member *m = roster_at(st->c.roster, k);
		const struct said *s = find(st, &m->device);
		if (is_self(st, &m->device) || m->role == ROLE_NONE)
			continue;
		struct vector *less = vector_meet(v, s ? s->known : NULL);
		vector_unref(v);
		v = less;
	}
	return v;
}

/* ---- said ---- */

static bool listens(const struct peer *p)
{
	return p->greeted && !p->joining && !p->we_join;
}

static bool any_listens(const struct stable *st)
{
	for (uint32_t k = 0; k < spread_count(st->c.spread); k++)
		if (listens(spread_at(st->c.spread, k)))
			return true;
	return false;
}

static enum err say(struct stable *st, const struct step *s, const struct vector *acked)
{
	struct said *mine = find(st, &st->c.device->pub);
	struct ack a = {.folder = st->c.folder, .device = st->c.device->pub, .roster = st->roster};
	struct wr w = {0};

	if (mine && mine->t > st->past_t && vector_equal(mine->latest.acked, acked) &&
	    memcmp(&mine->latest.roster, &st->roster, sizeof(st->roster)) == 0)
		return ERR_OK;
	if (st->spoke && s->now < st->said_usec + STABLE_SAY_USEC) {
		st->due = MIN(st->due, st->said_usec + STABLE_SAY_USEC);
		return ERR_OK;
	}
	if (!mine)
		mine = entry(st, &st->c.device->pub);
	const struct vector *held = log_held(st->c.log);
	/* By the wall clock it differs from all said before, also where rows were lost. */
	uint64_t wall = s->wall_ms > 0 ? (uint64_t)s->wall_ms << 16 : 0;
	a.t = MAX(MAX(wall, st->past_t + 1), mine ? mine->t + 1 : 1);
	a.held = held ? vector_ref(held) : vector_new(NULL, 0);
	a.acked = acked ? vector_ref(acked) : vector_new(NULL, 0);
	if (!mine || !a.held || !a.acked) {
		ack_fini(&a);
		return fail(ERR_NOMEM);
	}
	ack_encode(&w, &a, st->c.device);
	enum err e = w.bad ? fail(ERR_NOMEM) : keep(st, mine, wr_view(&w), &a);
	if (w.bad)
		ack_fini(&a);
	wr_fini(&w);
	st->spoke = true;
	st->said_usec = s->now;
	return e ? e : store(st, mine);
}

static enum err send(struct step *s, uint64_t session, const struct said *what, bool own)
{
	struct action *a = step_act(s, ACT_SEND);
	struct wire_message m = {.type = WIRE_ACK, .ack = {what->raw, what->len}};
	struct wr w = {0};

	if (!a)
		return fail(ERR_NOMEM);
	wire_encode(&w, &m);
	a->send.peer = session;
	a->send.durable = own;
	a->send.message = wr_take(&w, &a->send.len);
	return a->send.message ? ERR_OK : fail(ERR_NOMEM);
}

/* What a session has not been told, and may be. */
static enum err tell(struct stable *st, struct step *s, struct talk *t)
{
	uint32_t sent = 0;

	for (uint32_t k = 0; k < st->count; k++) {
		const struct said *x = &st->said[k];
		bool own = is_self(st, &x->device);
		uint64_t at = own ? 0 : x->came_usec + (x->came_usec ? STABLE_RELAY_USEC : 0);
		if (!x->raw || (k < t->count && t->told[k] >= x->t) ||
		    roster_role(st->c.roster, &x->device) == ROLE_NONE)
			continue;
		if (at > s->now || sent == STABLE_SENDS_MAX) {
			st->due = MIN(st->due, MAX(at, s->now + 1));
			continue;
		}
		sent++;
		enum err e = told(t, k, x->t);
		if (!e)
			e = send(s, t->session, x, own);
		if (e)
			return e;
	}
	return ERR_OK;
}

static void drop_talks(struct stable *st)
{
	for (uint32_t k = 0; k < st->talks_count;) {
		const struct peer *p = spread_find(st->c.spread, st->talks[k].session);
		if (p && listens(p)) {
			k++;
			continue;
		}
		free(st->talks[k].told);
		st->talks[k] = st->talks[--st->talks_count];
	}
}

static enum err tell_all(struct stable *st, struct step *s)
{
	drop_talks(st);
	for (uint32_t k = 0; k < spread_count(st->c.spread); k++) {
		const struct peer *p = spread_at(st->c.spread, k);
		if (!listens(p))
			continue;
		struct talk *t = talk_of(st, p->session);
		if (!t) {
			t = &st->talks[st->talks_count++]; /* as many as spread has peers */
			*t = (struct talk){.session = p->session};
		}
		enum err e = tell(st, s, t);
		if (e)
			return e;
	}
	return ERR_OK;
}

enum err stable_tick(struct stable *st, struct step *s, const struct vector *acked, bool *news)
{
	enum err e = ERR_OK;

	*news = false;
	if (s->now < st->due)
		return ERR_OK;
	st->due = UINT64_MAX;
	roster_digest(st->c.roster, &st->roster);
	for (uint32_t k = 0; k < st->count && !e; k++)
		if (!is_self(st, &st->said[k].device))
			e = settle(st, &st->said[k], news);
	if (!e && any_listens(st) && roster_role(st->c.roster, &st->c.device->pub) != ROLE_NONE)
		e = say(st, s, acked);
	return e ? e : tell_all(st, s);
}

uint64_t stable_deadline(const struct stable *st)
{
	return st->due;
}
