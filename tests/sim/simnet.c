// SPDX-License-Identifier: MIT
/*
 * simnet.c - see simnet.h
 *
 * A session is what sys/link gives: messages of one class arrive in order, whole, or the session
 * goes down at both ends, each hearing of it in its own time: meanwhile a new one may be up, and
 * what was on its way in the old one comes after the new one's first messages, where one side
 * noticed nothing (half); soon after that side drops the old one.  Bulk and control overtake each
 * other.
 *
 * I1  a side hears EV_UP first and EV_DOWN last, and nothing after it
 * I2  a pair has a session that is up or one timer to connect it
 */
#include "simnet.h"
#include "core/spread.h"
#include "liar.h"
#include "siminbox.h"
#include <stdlib.h>

/* What one side may have on its way: bundles without an answer and roster; pieces asked for. */
#define CONTROL_BYTES_MAX (SPREAD_WINDOW_BYTES + BUNDLE_BYTES_MAX + (1u << 20))
#define BULK_BYTES_MAX (2 * NODE_FETCH_BYTES)
#define CLOG (15 * SIM_SECOND) /* what stands still for so long is given up */
#define LINGER (40 * SIM_SECOND) /* a side that hears nothing gives up, at the latest */

static void connect_later(struct world *w, uint32_t a, uint32_t b)
{
	struct timer *t = world_timer(w, TIMER_CONNECT, world_about(w, SIM_SECOND / 2));

	t->a = a;
	t->b = b;
}

/* Small worlds are a mesh, as nobody fetches through another (design.md section 8). */
void simnet_init(struct world *w)
{
	for (uint32_t a = 0; a < w->count; a++) {
		for (uint32_t b = 0; b < a; b++) {
			bool near = b == 0 || b + 1 == a || (b + 7) % 11 == a % 11;
			if (w->count <= SIM_MESH_MAX || near)
				connect_later(w, b, a);
		}
	}
}

static void queued_free(struct queued *q)
{
	free(q->bytes);
	free(q);
}

static void session_empty(struct session *s)
{
	for (size_t k = 0; k < ARRAY_LEN(s->way); k++) {
		while (s->way[k].first) {
			struct queued *q = s->way[k].first;
			s->way[k].first = q->next;
			queued_free(q);
		}
		s->way[k].last = &s->way[k].first;
		s->way[k].bytes = 0;
	}
}

void simnet_fini(struct world *w)
{
	for (uint32_t k = 0; k < w->sessions_count; k++)
		session_empty(&w->sessions[k]);
	free(w->sessions);
}

static struct session *session_find(struct world *w, uint64_t no)
{
	for (uint32_t k = 0; k < w->sessions_count; k++)
		if (w->sessions[k].no == no)
			return &w->sessions[k];
	return NULL;
}

static struct session *session_of(struct world *w, uint32_t a, uint32_t b)
{
	for (uint32_t k = 0; k < w->sessions_count; k++)
		if (w->sessions[k].up && w->sessions[k].node[0] == a && w->sessions[k].node[1] == b)
			return &w->sessions[k];
	return NULL;
}

static struct simnode *side_node(struct world *w, const struct session *s, unsigned side)
{
	struct simnode *n = &w->nodes[s->node[side]];

	return n->node && n->life == s->life[side] ? n : NULL;
}

/* ---- the end ---- */

static void session_remove(struct world *w, struct session *s)
{
	session_empty(s);
	*s = w->sessions[--w->sessions_count];
	for (size_t k = 0; k < ARRAY_LEN(s->way); k++) /* it has moved */
		if (!s->way[k].first)
			s->way[k].last = &s->way[k].first;
}

static void down_later(struct world *w, struct session *s, unsigned side, uint64_t usec)
{
	struct timer *t = world_timer(w, TIMER_DOWN, usec);

	t->a = s->no;
	t->b = side;
	t->node = s->node[side];
	s->downs++;
}

/* lingers: the side that notices last, or 2: both soon. */
static void session_end(struct world *w, struct session *s, unsigned lingers)
{
	if (!s->up)
		return;
	s->up = false;
	s->half = lingers < 2 && s->told[lingers];
	s->lingers = lingers;
	if (!s->half)
		session_empty(s);
	s->downs = 0;
	for (unsigned side = 0; side < 2; side++) {
		if (!s->told[side] || !side_node(w, s, side))
			continue;
		bool late = s->half && side == lingers;
		down_later(w, s, side, world_about(w, late ? LINGER / 2 : w->p->delay_usec));
	}
	connect_later(w, s->node[0], s->node[1]); /* I2 */
	if (s->downs == 0)
		session_remove(w, s);
}

static void session_break(struct world *w, struct session *s)
{
	session_end(w, s, 2);
}

static void on_down(struct world *w, const struct timer *t)
{
	struct session *s = session_find(w, t->a);

	if (!s || s->over[t->b])
		return;
	struct simnode *n = side_node(w, s, (unsigned)t->b);
	s->over[t->b] = true;
	bool last = --s->downs == 0;
	if (last)
		session_remove(w, s);
	if (n)
		siminbox_down(n, t->a * 2 + t->b);
}

/*
 * A new session takes the place of one that this side believes in, soon.  A side that never heard
 * of the old one, or has been started since, has nothing to end: an end too many would take the
 * place of the other side's.
 */
static void replace_older(struct world *w, uint32_t to, uint32_t from)
{
	for (uint32_t k = 0; k < w->sessions_count; k++) {
		const struct session *s = &w->sessions[k];
		unsigned side = s->node[0] == to ? 0 : 1;
		if (s->up || s->node[side] != to || s->node[1 - side] != from)
			continue;
		if (!s->told[side] || !side_node(w, s, side))
			continue;
		struct timer *t = world_timer(w, TIMER_DOWN, world_about(w, SIM_SECOND / 4));
		t->a = s->no;
		t->b = side;
		t->node = to;
	}
}

void simnet_drop(struct simnode *from, uint64_t peer)
{
	struct session *s = session_find(from->w, peer / 2);

	if (s && s->half && s->lingers == peer % 2) { /* it hears no more of it */
		s->half = false;
		session_empty(s);
	}
	if (s)
		session_break(from->w, s);
}

void simnet_gone(struct simnode *n)
{
	struct world *w = n->w;

	for (uint32_t k = w->sessions_count; k-- > 0;) {
		struct session *s = &w->sessions[k];
		if (s->node[0] == n->no || s->node[1] == n->no)
			session_break(w, s);
	}
}

void simnet_break(struct simnode *n)
{
	simnet_gone(n);
	world_say(n->w, "node %u: its sessions break", n->no);
}

void simnet_half(struct simnode *n)
{
	struct world *w = n->w;

	for (uint32_t k = 0; k < w->sessions_count; k++) {
		struct session *s = &w->sessions[k];
		if (!s->up || (s->node[0] != n->no && s->node[1] != n->no) || world_chance(w, 2))
			continue;
		world_say(w, "the session of nodes %u and %u ends on one side", s->node[0],
			  s->node[1]);
		session_end(w, s, s->node[0] == n->no ? 1 : 0);
		return;
	}
}

void simnet_cut(struct world *w, bool clog)
{
	for (uint32_t k = w->sessions_count; k-- > 0;) {
		struct session *s = &w->sessions[k];
		if (!w->cut[s->node[0]][s->node[1]] && !w->cut[s->node[1]][s->node[0]])
			continue;
		if (!clog) {
			session_break(w, s);
			continue;
		}
		struct timer *t = world_timer(w, TIMER_BREAK, CLOG);
		t->a = s->no;
	}
}

/* After standing still for so long, the link gives up. */
static void on_break(struct world *w, const struct timer *t)
{
	struct session *s = session_find(w, t->a);

	if (s && (w->cut[s->node[0]][s->node[1]] || w->cut[s->node[1]][s->node[0]]))
		session_break(w, s);
}

/* ---- messages ---- */

static struct queued *enqueue(struct world *w, struct session *s, unsigned way, uint8_t *take,
			      size_t len)
{
	struct queued *q = calloc(1, sizeof(*q));
	uint64_t delay = 100 + world_below(w, w->p->delay_usec + 1);

	assert(q);
	q->bytes = take;
	q->len = len;
	*s->way[way].last = q;
	s->way[way].last = &q->next;
	s->way[way].bytes += len;
	if (s->way[way].bytes > (way & 1 ? BULK_BYTES_MAX : CONTROL_BYTES_MAX) && !plan_lies(w->p))
		world_fail(w, "nodes %u and %u: %zu bytes are on their way", s->node[0], s->node[1],
			   s->way[way].bytes);
	s->way[way].sent_at = MAX(s->way[way].sent_at, w->now);
	if (w->p->bandwidth && !w->healed)
		s->way[way].sent_at += len * SIM_SECOND / w->p->bandwidth;
	s->way[way].free_at = MAX(s->way[way].free_at, s->way[way].sent_at + delay);
	struct timer *t = world_timer(w, TIMER_DELIVER, s->way[way].free_at - w->now);
	t->a = s->no;
	t->b = way;
	t->node = s->node[way / 2];
	return q;
}

void simnet_send(struct simnode *from, uint64_t peer, const struct simmsg *m)
{
	struct world *w = from->w;
	struct session *s = session_find(w, peer / 2);

	if (!s || !s->up) {
		free(m->take);
		return;
	}
	assert(m->take && m->len);
	struct simmsg out = *m;
	if (from->liar && !liar_sends(from, &out))
		return;
	if (!w->healed && world_chance(w, w->p->loss)) {
		free(out.take);
		session_break(w, s);
		return;
	}
	enqueue(w, s, 2 * (unsigned)(1 - peer % 2) + out.bulk, out.take, out.len)->rotten =
		out.rotten;
}

static void begin(struct world *w, struct session *s, unsigned side)
{
	struct simnode *n = side_node(w, s, side);
	struct simnode *other = &w->nodes[s->node[1 - side]];

	s->told[side] = true;
	replace_older(w, s->node[side], s->node[1 - side]);
	if (n)
		siminbox_up(n, s->no * 2 + side, other, s->joining);
}

static bool hears(const struct session *s, unsigned side)
{
	return s->up || (s->half && side == s->lingers && !s->over[side]);
}

static void on_deliver(struct world *w, const struct timer *t)
{
	struct session *s = session_find(w, t->a);
	unsigned side = (unsigned)t->b / 2;

	if (!s || !s->way[t->b].first || !hears(s, side))
		return;
	struct simnode *n = side_node(w, s, side);
	if (!n)
		return;
	bool blocked = w->cut[s->node[1 - side]][s->node[side]];
	if (blocked || (!s->told[side] && s->way[t->b].first->bytes)) { /* I1 */
		struct timer *again = world_timer(w, TIMER_DELIVER, SIM_SECOND / 5);
		again->a = t->a;
		again->b = t->b;
		again->node = t->node;
		return;
	}
	struct queued *q = s->way[t->b].first;
	s->way[t->b].first = q->next;
	s->way[t->b].bytes -= q->len;
	if (!q->next)
		s->way[t->b].last = &s->way[t->b].first;
	if (q->bytes)
		siminbox_message(n, t->a * 2 + side, q);
	else
		begin(w, s, side);
	queued_free(q);
}

/* ---- the beginning ---- */

static bool knows(struct simnode *a, struct simnode *b)
{
	return node_role(a->node, &b->config.device.pub) != ROLE_NONE;
}

static bool may_connect(struct world *w, struct simnode *a, struct simnode *b, bool *joining)
{
	if (!a->node || !b->node || w->cut[a->no][b->no] || w->cut[b->no][a->no])
		return false;
	*joining = a->no == 0 && b->joining && !node_is_member(b->node) && node_is_member(a->node);
	return *joining ||
	       (node_is_member(a->node) && node_is_member(b->node) && knows(a, b) && knows(b, a));
}

static void on_connect(struct world *w, const struct timer *t)
{
	struct simnode *a = &w->nodes[t->a], *b = &w->nodes[t->b];
	bool joining = false;

	assert(!session_of(w, a->no, b->no)); /* I2 */
	if (!may_connect(w, a, b, &joining)) {
		connect_later(w, a->no, b->no);
		return;
	}
	if (w->sessions_count == w->sessions_room) {
		w->sessions_room = w->sessions_room ? w->sessions_room * 2 : 16;
		struct session *at = calloc(w->sessions_room, sizeof(*at));
		assert(at);
		for (uint32_t k = 0; k < w->sessions_count; k++) {
			at[k] = w->sessions[k];
			for (size_t j = 0; j < ARRAY_LEN(at[k].way); j++)
				if (!at[k].way[j].first)
					at[k].way[j].last = &at[k].way[j].first;
		}
		free(w->sessions);
		w->sessions = at;
	}
	struct session *s = &w->sessions[w->sessions_count++];
	*s = (struct session){.no = ++w->sessions_made,
			      .node = {a->no, b->no},
			      .life = {a->life, b->life},
			      .up = true,
			      .joining = joining};
	for (size_t k = 0; k < ARRAY_LEN(s->way); k++)
		s->way[k].last = &s->way[k].first;
	enqueue(w, s, 0, NULL, 0);
	enqueue(w, s, 2, NULL, 0);
}

void simnet_timer(struct world *w, struct timer *t)
{
	switch ((int)t->kind) {
	case TIMER_DELIVER:
		on_deliver(w, t);
		break;
	case TIMER_DOWN:
		on_down(w, t);
		break;
	case TIMER_BREAK:
		on_break(w, t);
		break;
	default:
		on_connect(w, t);
		break;
	}
}

bool simnet_peer(struct simnode *n, uint32_t k, uint64_t *peer)
{
	struct world *w = n->w;

	for (uint32_t j = 0; j < w->sessions_count; j++) {
		const struct session *s = &w->sessions[j];
		unsigned side = s->node[0] == n->no ? 0 : 1;
		if (!s->up || s->node[side] != n->no || !s->told[side] || k--)
			continue;
		*peer = s->no * 2 + side;
		return true;
	}
	return false;
}

bool simnet_lies(struct simnode *n, uint64_t peer)
{
	const struct session *s = session_find(n->w, peer / 2);

	return s ? n->w->nodes[s->node[1 - peer % 2]].liar != NULL : plan_lies(n->w->p);
}

bool simnet_silent(const struct world *w)
{
	for (uint32_t k = 0; k < w->sessions_count; k++)
		for (size_t j = 0; j < ARRAY_LEN(w->sessions[k].way); j++)
			if (w->sessions[k].way[j].first)
				return false;
	return true;
}
