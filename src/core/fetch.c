// SPDX-License-Identifier: MIT
/*
 * fetch.c - wants, and whom they have been asked of: see fetch.h
 *
 *	QUEUED --fetch_pump()--> ASKED --fetch_arrived()--> gone
 *	  ^---- NO, silence, or peer lost ----'
 *	QUEUED with nobody left to ask --> failed: waiters told, gone
 *
 * I1  a name is in the table at most once
 * I2  a peer's debt is the sum of stored over the wants asked of it
 * I3  a want is in exactly one list: demand, ahead, or asked
 */
#include "core/fetch.h"

#define BUCKETS 4096

struct want {
	struct hash name;
	uint8_t kind;
	uint32_t stored;
	bool demand;
	uint64_t asked; /* session, 0: queued */
	uint64_t asked_at;
	uint64_t tried[FETCH_TRIED_MAX];
	uint32_t tried_count;
	struct waiter *waiters;
	uint32_t waiters_count, waiters_room;
	struct want *next_in_bucket, *prev, *next;
	struct want_list *list;
};
struct want_list {
	struct want *first, *last;
};
struct source {
	uint64_t peer, debt;
};
struct fetch {
	struct fetch_hooks hooks;
	struct want *bucket[BUCKETS];
	struct want_list demand, ahead, asked; /* asked: oldest first */
	struct source sources[NODE_PEERS_MAX];
	uint32_t sources_count, count;
};

struct fetch *fetch_new(const struct fetch_hooks *hooks)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f)
		f->hooks = *hooks;
	return f;
}

/* ---- lists and table ---- */

static void list_leave(struct want *w)
{
	struct want_list *l = w->list;

	if (w->prev)
		w->prev->next = w->next;
	else
		l->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		l->last = w->prev;
	w->prev = w->next = NULL;
	w->list = NULL;
}

static void list_join(struct want_list *l, struct want *w)
{
	if (w->list)
		list_leave(w);
	w->list = l;
	w->prev = l->last;
	if (l->last)
		l->last->next = w;
	else
		l->first = w;
	l->last = w;
}

static struct want **bucket_of(struct fetch *f, const struct hash *name)
{
	return &f->bucket[(name->b[0] | (size_t)name->b[1] << 8) % BUCKETS];
}

static struct want *find(const struct fetch *f, const struct hash *name)
{
	struct want *w = f->bucket[(name->b[0] | (size_t)name->b[1] << 8) % BUCKETS];

	while (w && memcmp(&w->name, name, sizeof(*name)) != 0)
		w = w->next_in_bucket;
	return w;
}

static struct source *source_of(struct fetch *f, uint64_t peer)
{
	for (uint32_t k = 0; k < f->sources_count; k++)
		if (f->sources[k].peer == peer)
			return &f->sources[k];
	return NULL;
}

static void unask(struct fetch *f, struct want *w)
{
	struct source *s = w->asked ? source_of(f, w->asked) : NULL;

	if (s)
		s->debt -= MIN(s->debt, w->stored);
	w->asked = 0;
}

static void remove_want(struct fetch *f, struct want *w)
{
	struct want **at = bucket_of(f, &w->name);

	while (*at != w)
		at = &(*at)->next_in_bucket;
	*at = w->next_in_bucket;
	unask(f, w);
	list_leave(w);
	free(w->waiters);
	free(w);
	f->count--;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	for (size_t b = 0; b < BUCKETS; b++)
		while (f->bucket[b])
			remove_want(f, f->bucket[b]);
	free(f);
}

/* Take the want away, then tell those who waited: a hook may want the same piece again. */
static void settle(struct fetch *f, struct step *s, struct want *w, enum err err)
{
	struct waiter *waiters = w->waiters;
	uint32_t count = w->waiters_count;

	w->waiters = NULL;
	remove_want(f, w);
	for (uint32_t k = 0; k < count; k++)
		f->hooks.settled(f->hooks.arg, s, waiters[k], err);
	free(waiters);
}

/* ---- peers ---- */

void fetch_up(struct fetch *f, uint64_t peer)
{
	if (f->sources_count < NODE_PEERS_MAX && !source_of(f, peer))
		f->sources[f->sources_count++] = (struct source){.peer = peer};
}

uint32_t fetch_peers(const struct fetch *f)
{
	return f->sources_count;
}

static bool was_tried(const struct want *w, uint64_t peer)
{
	for (uint32_t k = 0; k < w->tried_count; k++)
		if (w->tried[k] == peer)
			return true;
	return false;
}

static bool anybody_left(const struct fetch *f, const struct want *w)
{
	for (uint32_t k = 0; k < f->sources_count; k++)
		if (!was_tried(w, f->sources[k].peer))
			return true;
	return false;
}

/* Ask somebody else, or give up when everybody connected has been asked. */
static void next_source(struct fetch *f, struct step *s, struct want *w, bool tried)
{
	if (tried && w->tried_count < FETCH_TRIED_MAX)
		w->tried[w->tried_count++] = w->asked;
	unask(f, w);
	if (w->tried_count && !anybody_left(f, w)) {
		settle(f, s, w, ERR_UNREACHABLE);
		return;
	}
	list_join(w->demand ? &f->demand : &f->ahead, w);
}

void fetch_down(struct fetch *f, uint64_t peer)
{
	struct source *gone = source_of(f, peer);

	if (!gone)
		return;
	*gone = f->sources[--f->sources_count];
	for (struct want *w = f->asked.first, *next; w; w = next) {
		next = w->next;
		if (w->asked != peer)
			continue;
		w->asked = 0;
		list_join(w->demand ? &f->demand : &f->ahead, w);
	}
	for (struct want *w = f->ahead.first, *next; w && !f->sources_count; w = next) {
		next = w->next; /* nobody to fetch ahead from */
		if (!w->waiters_count)
			remove_want(f, w);
	}
}

/* ---- wants ---- */

static enum err add_waiter(struct want *w, struct waiter waiter)
{
	if (waiter.kind == WAITER_NONE)
		return ERR_OK;
	for (uint32_t k = 0; k < w->waiters_count; k++)
		if (w->waiters[k].kind == waiter.kind && w->waiters[k].id == waiter.id)
			return ERR_OK;
	if (w->waiters_count == w->waiters_room) {
		uint32_t room = w->waiters_room ? w->waiters_room * 2 : 2;
		struct waiter *p = realloc(w->waiters, room * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		w->waiters = p;
		w->waiters_room = room;
	}
	w->waiters[w->waiters_count++] = waiter;
	return ERR_OK;
}

enum err fetch_want(struct fetch *f, const struct missing *m, bool demand, struct waiter waiter)
{
	struct want *w = find(f, &m->name);

	if (!w) {
		if (f->count >= FETCH_WANTS_MAX)
			return fail(ERR_FULL);
		w = calloc(1, sizeof(*w));
		if (!w)
			return fail(ERR_NOMEM);
		w->name = m->name;
		w->kind = m->kind;
		w->stored = m->stored;
		struct want **at = bucket_of(f, &w->name);
		w->next_in_bucket = *at;
		*at = w;
		f->count++;
		w->demand = demand;
		list_join(demand ? &f->demand : &f->ahead, w);
	} else if (demand && !w->demand) {
		w->demand = true;
		if (!w->asked)
			list_join(&f->demand, w);
	}
	return add_waiter(w, waiter);
}

void fetch_leave(struct fetch *f, struct waiter waiter)
{
	for (size_t b = 0; b < BUCKETS; b++) {
		for (struct want *w = f->bucket[b], *next; w; w = next) {
			next = w->next_in_bucket;
			for (uint32_t k = 0; k < w->waiters_count; k++)
				if (w->waiters[k].kind == waiter.kind &&
				    w->waiters[k].id == waiter.id)
					w->waiters[k--] = w->waiters[--w->waiters_count];
			if (!w->waiters_count && !w->asked && w->demand)
				remove_want(f, w);
		}
	}
}

void fetch_arrived(struct fetch *f, struct step *s, const struct hash *name)
{
	struct want *w = find(f, name);

	if (w)
		settle(f, s, w, ERR_OK);
}

void fetch_no(struct fetch *f, struct step *s, uint64_t peer, const struct hash *name)
{
	struct want *w = find(f, name);

	if (w && w->asked == peer)
		next_source(f, s, w, true);
}

bool fetch_expects(const struct fetch *f, uint64_t peer, const struct hash *name, uint8_t *kind)
{
	const struct want *w = find(f, name);

	if (!w || (w->asked != peer && !was_tried(w, peer))) /* a late answer is welcome too */
		return false;
	*kind = w->kind;
	return true;
}

uint32_t fetch_count(const struct fetch *f)
{
	return f->count;
}

/* ---- asking ---- */

/* The peer with the least debt that may be asked for w; NULL if all are busy or tried. */
static struct source *choose(struct fetch *f, const struct want *w)
{
	uint64_t limit = w->demand ? 2 * (uint64_t)NODE_FETCH_BYTES : NODE_FETCH_BYTES;
	struct source *best = NULL;

	for (uint32_t k = 0; k < f->sources_count; k++) {
		struct source *c = &f->sources[k];
		if (c->debt + w->stored > limit && c->debt > 0)
			continue;
		if (!was_tried(w, c->peer) && (!best || c->debt < best->debt))
			best = c;
	}
	return best;
}

static enum err send_wants(struct step *s, uint64_t peer, const struct hash *names, uint32_t count)
{
	struct wire_message m = {.type = WIRE_WANT};
	struct action *a = step_act(s, ACT_SEND);
	struct wr w = {0};

	if (!a)
		return fail(ERR_NOMEM);
	m.names.count = count;
	m.names.at = names->b;
	wire_encode(&w, &m);
	a->send.peer = peer;
	a->send.message = wr_take(&w, &a->send.len);
	return a->send.message ? ERR_OK : fail(ERR_NOMEM);
}

/* Ask one peer for as many queued pieces of a list as it may owe, oldest first. */
static enum err ask(struct fetch *f, struct step *s, struct want_list *list, struct source *to)
{
	struct hash
		names[WIRE_NAMES_MAX / 4]; /* on the stack; a long list takes several messages */
	uint32_t count = 0;

	for (struct want *w = list->first, *next; w && count < ARRAY_LEN(names); w = next) {
		next = w->next;
		struct source *best = choose(f, w);
		if (!best && w->tried_count == 0)
			break; /* all are busy */
		if (best != to)
			continue;
		names[count++] = w->name;
		w->asked = to->peer;
		w->asked_at = s->now;
		to->debt += w->stored;
		list_join(&f->asked, w);
	}
	return count ? send_wants(s, to->peer, names, count) : ERR_NOENT;
}

static enum err pump_list(struct fetch *f, struct step *s, struct want_list *list)
{
	bool asked = true;

	while (asked && list->first) {
		asked = false;
		for (uint32_t k = 0; k < f->sources_count; k++) {
			enum err e = ask(f, s, list, &f->sources[k]);
			if (e == ERR_OK)
				asked = true;
			else if (e != ERR_NOENT)
				return e;
		}
	}
	return ERR_OK;
}

enum err fetch_pump(struct fetch *f, struct step *s)
{
	while (f->asked.first && f->asked.first->asked_at + FETCH_ASK_USEC <= s->now)
		next_source(f, s, f->asked.first, true);
	enum err e = pump_list(f, s, &f->demand);
	return e ? e : pump_list(f, s, &f->ahead);
}

uint64_t fetch_deadline(const struct fetch *f)
{
	return f->asked.first ? f->asked.first->asked_at + FETCH_ASK_USEC : UINT64_MAX;
}
