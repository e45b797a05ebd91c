// SPDX-License-Identifier: MIT
/*
 * spread.c - see spread.h
 *
 * I1  flight holds, in order, the arrivals sent to the peer and not covered by its vector
 * I2  every arrival below cursor is in flight, or covered by theirs, or was when the cursor passed
 */
#include "core/spread.h"

struct sent {
	struct where in;
	uint32_t len;
};
struct line { /* a peer and what is in flight to it */
	struct peer peer;
	struct sent *flight;
	uint32_t count, room;
	uint64_t bytes;
	uint64_t again; /* the first arrival that it asked for again; 0: none */
	uint64_t again_usec; /* when that may be sent */
	uint64_t moved_usec; /* when its vector last covered something in flight, or the first was
				sent */
};
struct spread {
	struct log *log;
	struct roster *roster;
	struct line *lines[NODE_PEERS_MAX];
	uint32_t count;
};

struct spread *spread_new(struct log *l, struct roster *r)
{
	struct spread *p = calloc(1, sizeof(*p));

	if (p) {
		p->log = l;
		p->roster = r;
	}
	return p;
}

static void line_free(struct line *l)
{
	vector_unref(l->peer.theirs);
	free(l->flight);
	free(l);
}

void spread_free(struct spread *p)
{
	for (uint32_t k = 0; p && k < p->count; k++)
		line_free(p->lines[k]);
	free(p);
}

static struct line *line_of(struct spread *p, uint64_t session)
{
	for (uint32_t k = 0; k < p->count; k++)
		if (p->lines[k]->peer.session == session)
			return p->lines[k];
	return NULL;
}

enum err spread_up(struct spread *p, const struct peer *new, struct peer **ret)
{
	if (p->count == NODE_PEERS_MAX)
		return fail(ERR_FULL);
	struct line *l = calloc(1, sizeof(*l));
	if (!l)
		return fail(ERR_NOMEM);
	l->peer = *new;
	p->lines[p->count++] = l;
	*ret = &l->peer;
	return ERR_OK;
}

void spread_down(struct spread *p, uint64_t session)
{
	for (uint32_t k = 0; k < p->count; k++) {
		if (p->lines[k]->peer.session != session)
			continue;
		line_free(p->lines[k]);
		p->lines[k] = p->lines[--p->count];
		return;
	}
}

struct peer *spread_find(struct spread *p, uint64_t session)
{
	struct line *l = line_of(p, session);

	return l ? &l->peer : NULL;
}

uint32_t spread_count(const struct spread *p)
{
	return p->count;
}

struct peer *spread_at(struct spread *p, uint32_t i)
{
	return &p->lines[i]->peer;
}

/* ---- telling ---- */

static enum err send(struct step *s, const struct peer *to, const struct wire_message *m)
{
	struct action *a = step_act(s, ACT_SEND);
	struct wr w = {0};

	if (!a)
		return fail(ERR_NOMEM);
	wire_encode(&w, m);
	a->send.peer = to->session;
	a->send.message = wr_take(&w, &a->send.len);
	return a->send.message ? ERR_OK : fail(ERR_NOMEM);
}

static enum err send_vector(struct spread *p, struct step *s, const struct peer *to,
			    struct vector *v)
{
	struct wire_message m = {.type = WIRE_VECTOR, .vector.applied = v};
	struct wr heads = {0};

	for (uint32_t k = 0; k < v->count; k++) {
		struct bundle_tag t = log_tag(p->log, v->at[k]);
		wr_raw(&heads, t.b, WIRE_HEAD);
	}
	m.vector.heads = wr_view(&heads);
	roster_digest(p->roster, &m.vector.roster);
	enum err e = heads.bad ? fail(ERR_NOMEM) : send(s, to, &m);
	wr_fini(&heads);
	return e;
}

enum err spread_greet(struct spread *p, struct step *s, struct peer *to)
{
	struct vector *v = vector_ref(log_held(p->log));

	if (!v)
		v = vector_new(NULL, 0);
	if (!v)
		return fail(ERR_NOMEM);
	to->owes = false;
	enum err e = send_vector(p, s, to, v);
	vector_unref(v);
	return e;
}

enum err spread_again(struct spread *p, struct step *s, const struct peer *from, struct where held)
{
	enum err e = ERR_OK;

	for (uint32_t k = 0; k < p->count && !e; k++) {
		struct peer *to = &p->lines[k]->peer;
		if ((from && to != from) || to->joining || to->we_join)
			continue;
		struct vector *v = vector_with(log_held(p->log), held.inc, held.seq);
		e = v ? send_vector(p, s, to, v) : fail(ERR_NOMEM);
		vector_unref(v);
		to->owes = true; /* what is held indeed, behind what is asked for */
	}
	return e;
}

/* Our whole roster; parents before children. */
static enum err send_roster(struct spread *p, struct step *s, const struct peer *to)
{
	struct wire_message m = {.type = WIRE_ROSTER};
	struct wr w = {0};
	struct bytes record;

	for (uint32_t i = 0; roster_record(p->roster, i, &record); i++) {
		if (m.roster.count == WIRE_ROSTER_MAX || w.len + record.len > WIRE_BYTES_MAX / 2) {
			m.roster.rest = wr_view(&w);
			enum err e = w.bad ? fail(ERR_NOMEM) : send(s, to, &m);
			if (e) {
				wr_fini(&w);
				return e;
			}
			wr_reset(&w);
			m.roster.count = 0;
		}
		m.roster.count++;
		wr_u32(&w, (uint32_t)record.len);
		wr_bytes(&w, record);
	}
	m.roster.rest = wr_view(&w);
	enum err e = w.bad ? fail(ERR_NOMEM) : send(s, to, &m);
	wr_fini(&w);
	return e;
}

enum err spread_roster(struct spread *p, struct step *s, const struct peer *from)
{
	for (uint32_t k = 0; k < p->count; k++) {
		struct peer *to = &p->lines[k]->peer;
		if (to == from || to->joining || to->we_join)
			continue;
		enum err e = send_roster(p, s, to);
		if (e)
			return e;
	}
	return ERR_OK;
}

void spread_owe(struct spread *p)
{
	for (uint32_t k = 0; k < p->count; k++)
		p->lines[k]->peer.owes = true;
}

/* ---- what they have ---- */

/* Forget what is in flight and arrived; true if anything had. */
static bool land(struct line *l)
{
	uint32_t kept = 0;

	for (uint32_t k = 0; k < l->count; k++) {
		struct sent *f = &l->flight[k];
		if (vector_get(l->peer.theirs, f->in.inc) >= f->in.seq)
			l->bytes -= f->len;
		else
			l->flight[kept++] = *f;
	}
	bool some = kept < l->count;
	l->count = kept;
	return some;
}

enum err spread_vector(struct spread *p, struct step *s, struct peer *from,
		       struct vector *take_applied, const struct hash *roster)
{
	struct line *l = line_of(p, from->session);
	struct hash mine;
	enum err e = ERR_OK;

	bool less = from->greeted && !vector_covers(take_applied, from->theirs);
	vector_unref(from->theirs);
	from->theirs = take_applied;
	if (!from->greeted) {
		from->greeted = true;
		e = log_first_lacking(p->log, from->theirs, &from->cursor);
	} else if (less) { /* it asks for some again */
		uint64_t first;
		e = log_first_lacking(p->log, from->theirs, &first);
		if (!e)
			l->again = l->again ? MIN(l->again, first) : first;
	}
	if (land(l))
		l->moved_usec = s->now;
	roster_digest(p->roster, &mine);
	if (!e && memcmp(&mine, roster, sizeof(mine)) != 0 &&
	    memcmp(&from->told_roster, roster, sizeof(mine)) != 0) {
		from->told_roster = *roster;
		e = send_roster(p, s, from);
	}
	return e;
}

enum err spread_came(struct spread *p, struct peer *from, struct where in)
{
	struct line *l = line_of(p, from->session);

	if (vector_get(from->theirs, in.inc) >= in.seq)
		return ERR_OK;
	if (from->theirs && from->theirs->count >= VECTOR_MAX)
		return ERR_OK; /* it makes them up; what it has, its own vector tells */
	const struct vector *v = vector_with(from->theirs, in.inc, in.seq);
	if (!v)
		return fail(ERR_NOMEM);
	vector_unref(from->theirs);
	from->theirs = v;
	(void)land(l);
	return ERR_OK;
}

/* ---- sending ---- */

static enum err launch(struct line *l, struct step *s, const struct arrival *a)
{
	if (l->count == l->room) {
		uint32_t room = l->room ? l->room * 2 : 16;
		struct sent *f = realloc(l->flight, room * sizeof(*f));
		if (!f)
			return fail(ERR_NOMEM);
		l->flight = f;
		l->room = room;
	}
	struct action *act = step_act(s, ACT_SEND_BUNDLE);
	if (!act)
		return fail(ERR_NOMEM);
	act->stored.peer = l->peer.session;
	act->stored.addr = a->at;
	act->stored.len = a->len;
	if (!l->count)
		l->moved_usec = s->now;
	l->flight[l->count++] = (struct sent){a->in, a->len};
	l->bytes += a->len;
	return ERR_OK;
}

static enum err pump_line(struct spread *p, struct step *s, struct line *l)
{
	enum err e = ERR_OK;

	if (l->again && l->again_usec <= s->now) { /* once in a while, however often it asks */
		l->peer.cursor = MIN(l->peer.cursor, l->again);
		l->again = 0;
		l->again_usec = s->now + SPREAD_AGAIN_USEC;
	}

	while (!e && l->peer.cursor < log_arrivals(p->log) && l->bytes < SPREAD_WINDOW_BYTES &&
	       l->count < SPREAD_WINDOW_COUNT) {
		struct arrival a;
		e = log_arrival(p->log, l->peer.cursor, &a);
		if (!e && vector_get(l->peer.theirs, a.in.inc) < a.in.seq)
			e = launch(l, s, &a);
		l->peer.cursor++;
	}
	return e;
}

enum err spread_pump(struct spread *p, struct step *s)
{
	for (uint32_t k = 0; k < p->count; k++) {
		struct line *l = p->lines[k];
		enum err e = ERR_OK;
		if (l->peer.joining || l->peer.we_join)
			continue;
		if (l->peer.greeted)
			e = pump_line(p, s, l);
		if (!e && l->peer.owes)
			e = spread_greet(p, s, &l->peer);
		if (e)
			return e;
	}
	return ERR_OK;
}

static bool stuck(const struct line *l, uint64_t now)
{
	return l->count && l->moved_usec + SPREAD_AGAIN_USEC <= now;
}

void spread_tick(struct spread *p, struct step *s)
{
	for (uint32_t k = 0; k < p->count; k++) {
		struct line *l = p->lines[k];
		uint64_t cursor;
		if (!stuck(l, s->now) || log_first_lacking(p->log, l->peer.theirs, &cursor))
			continue;
		l->peer.cursor = cursor;
		l->count = 0;
		l->bytes = 0;
		l->moved_usec = s->now;
	}
}

uint64_t spread_deadline(const struct spread *p)
{
	uint64_t due = UINT64_MAX;

	for (uint32_t k = 0; k < p->count; k++) {
		if (p->lines[k]->count)
			due = MIN(due, p->lines[k]->moved_usec + SPREAD_AGAIN_USEC);
		if (p->lines[k]->again)
			due = MIN(due, p->lines[k]->again_usec);
	}
	return due;
}

bool spread_listening(const struct spread *p)
{
	for (uint32_t k = 0; k < p->count; k++)
		if (p->lines[k]->peer.greeted)
			return true;
	return false;
}

bool spread_unacked(const struct spread *p)
{
	for (uint32_t k = 0; k < p->count; k++)
		if (p->lines[k]->peer.greeted && !p->lines[k]->count)
			return false;
	return true;
}
