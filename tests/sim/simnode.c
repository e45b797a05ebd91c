// SPDX-License-Identifier: MIT
/*
 * simnode.c - see simnode.h
 *
 * What sys/host is in the daemon: a step's journal is appended before anything of the step is
 * seen; each action that takes time comes back as a timer.
 */
#include "simnode.h"
#include "oracle.h"
#include "simfile.h"
#include "simnet.h"
#include "simpool.h"
#include <stdlib.h>

#define WALL_MS_START INT64_C(1793000000000)

/* ---- steps ---- */

/* Errors that say the node itself, or an honest peer, went wrong. */
static bool grave(const struct event *ev, enum err e)
{
	if (e == ERR_NOMEM || e == ERR_IO || e == ERR_DAMAGED)
		return true;
	return ev->kind >= EV_SEALED && (e == ERR_MALFORMED || e == ERR_FORGED);
}

static void tick_later(struct simnode *n)
{
	uint64_t due = node_deadline(n->node);

	if (due == UINT64_MAX || due >= n->tick_at)
		return;
	struct timer *t = world_timer_of(n, TIMER_TICK, due > n->w->now ? due - n->w->now : 0);
	n->tick_at = t->at;
}

static void trace_action(struct world *w, const struct action *a)
{
	world_trace_u64(w, a->kind);
	switch (a->kind) {
	case ACT_SEAL:
		world_trace_u64(w, a->seal.work);
		break;
	case ACT_BUNDLE:
		world_trace(w, a->bundle.body, a->bundle.len);
		break;
	case ACT_SEND:
		world_trace(w, a->send.message, a->send.len);
		break;
	case ACT_SEND_BUNDLE:
	case ACT_SEND_PIECE:
		world_trace_u64(w, a->stored.addr);
		break;
	case ACT_READ_AGAIN:
		world_trace_u64(w, a->read.tag);
		break;
	case ACT_NOTIFY:
		world_trace_u64(w, ids_ino(a->notify.inode));
		world_trace(w, a->notify.name, a->notify.name_len);
		break;
	case ACT_REPORT:
		world_trace(w, a->report.text, strlen(a->report.text));
		break;
	case ACT_NEW_DATA:
	case ACT_DROP:
	case ACT_KEEP:
	case ACT_JOINED:
	case ACT_REFUSED:
		break;
	}
}

static void send_stored(struct simnode *n, const struct action *a)
{
	const struct wr *from = a->kind == ACT_SEND_BUNDLE ? &n->disk.journal : &n->disk.packs;
	uint8_t *m = malloc(1 + (size_t)a->stored.len);

	assert(m);
	if (a->stored.addr > from->len || a->stored.len > from->len - a->stored.addr) {
		world_fail(n->w, "node %u: sends bytes that its disk does not hold", n->no);
		free(m);
		return;
	}
	if (a->kind == ACT_SEND_BUNDLE && !n->w->o.unsynced)
		simdisk_sync_journal(&n->disk); /* what was sent is never made again */
	m[0] = a->kind == ACT_SEND_BUNDLE ? WIRE_BUNDLE : WIRE_DATA;
	memcpy(m + 1, from->at + a->stored.addr, a->stored.len);
	simnet_send(n, a->stored.peer, a->kind == ACT_SEND_PIECE, m, 1 + (size_t)a->stored.len);
}

static void seal_bundle(struct simnode *n, const struct action *a)
{
	size_t len;
	uint8_t *raw = simpool_bundle(n, a, &len);

	if (!raw)
		return;
	struct timer *t = world_timer_of(n, TIMER_BUNDLE, 50 + rng_below(&n->w->rng, 2000));
	t->a = a->bundle.head.seq;
	t->bytes = raw;
	t->len = len;
}

static void carry(struct simnode *n, struct action *a)
{
	struct timer *t;

	switch (a->kind) {
	case ACT_SEAL:
		t = world_timer_of(n, TIMER_SEAL, world_about(n->w, 20000));
		t->a = a->seal.work;
		break;
	case ACT_BUNDLE:
		seal_bundle(n, a);
		break;
	case ACT_SEND:
		simnet_send(n, a->send.peer, a->send.bulk, a->send.message, a->send.len);
		a->send.message = NULL;
		break;
	case ACT_SEND_BUNDLE:
	case ACT_SEND_PIECE:
		send_stored(n, a);
		break;
	case ACT_READ_AGAIN:
		t = world_timer_of(n, TIMER_READ, 10);
		t->a = a->read.tag;
		t->b = a->read.err;
		break;
	case ACT_DROP:
		world_say(n->w, "node %u drops a session: %s", n->no, err_text(a->drop.why));
		if (a->drop.why == ERR_MALFORMED || a->drop.why == ERR_FORGED)
			world_fail(n->w, "node %u: calls an honest peer a liar", n->no);
		simnet_drop(n, a->drop.peer);
		break;
	case ACT_REFUSED:
		world_fail(n->w, "node %u: was refused: %s", n->no, a->refused.text);
		break;
	case ACT_REPORT:
		world_say(n->w, "node %u reports: %s", n->no, a->report.text);
		break;
	case ACT_JOINED: /* the invitation is used up: what it brought must not be lost */
		n->sync = true;
		break;
	case ACT_NOTIFY:
	case ACT_NEW_DATA:
	case ACT_KEEP:
		break;
	}
}

enum err simnode_step(struct simnode *n, struct event *ev)
{
	struct world *w = n->w;

	assert(n->node);
	ev->now_usec = w->now;
	ev->wall_ms = WALL_MS_START + (int64_t)(w->now / 1000) + n->skew_ms;
	ev->journal_at = simdisk_payload_at(&n->disk);
	world_trace_u64(w, ev->kind);
	world_trace_u64(w, n->no);
	world_trace_u64(w, w->now);
	enum err e = node_step(n->node, ev, &n->acts);
	w->steps++;
	w->events[ev->kind]++;
	n->steps++;
	world_trace_u64(w, e);
	world_trace(w, n->acts.journal.at, n->acts.journal.len);
	if (n->acts.journal.len)
		simdisk_append(&n->disk, wr_view(&n->acts.journal));
	if (ev->kind == EV_JOIN || ev->kind == EV_ADMIT || ev->kind == EV_INVITE)
		n->sync = true; /* a member that its admin forgets could never come back */
	if (grave(ev, e))
		world_fail(w, "node %u: event %d: %s", n->no, (int)ev->kind, err_text(e));
	for (uint32_t k = 0; k < n->acts.count && !w->failed; k++) {
		trace_action(w, &n->acts.at[k]);
		carry(n, &n->acts.at[k]);
	}
	actions_reset(&n->acts);
	if (w->failed)
		return e;
	oracle_step(n);
	tick_later(n);
	if (n->sync) {
		simdisk_sync(&n->disk);
		oracle_synced(n);
		n->sync = false;
	}
	if (n->joining && node_is_member(n->node)) {
		n->joining = false;
		world_say(w, "node %u is a member", n->no);
	}
	return e;
}

bool simnode_may_lack(const struct simnode *n)
{
	return n->role < ROLE_WRITER || n->w->f.roles;
}

/* ---- life ---- */

static enum err replay_open(void *arg, struct bytes raw, struct bundle **ret)
{
	struct bundle *b = simpool_open(arg, raw, false);

	if (!b)
		return ERR_DAMAGED;
	*ret = b;
	return ERR_OK;
}

static struct kv *rows_copy(struct kv *from)
{
	struct kv *to = kv_new_map();
	struct bytes key = {(const uint8_t *)"", 1}, value;
	bool beyond = false;

	assert(to);
	while (kv_next(from, key, beyond, &key, &value) == ERR_OK) {
		if (kv_put(to, key, value))
			abort();
		beyond = true;
	}
	return to;
}

void simnode_commit(struct simnode *n)
{
	if (!n->node)
		return;
	simdisk_sync(&n->disk);
	kv_free_map(n->snap.kv);
	n->snap = (struct snapshot){.kv = rows_copy(n->kv),
				    .journal = n->disk.journal.len,
				    .pieces = n->disk.pieces_count};
	oracle_synced(n);
}

/* Rows from the snapshot if there is one and chance will have it, else none. */
static void rows_begin(struct simnode *n, size_t *journal, uint32_t *piece)
{
	*journal = 0;
	*piece = 0;
	if (n->snap.kv && !world_chance(n->w, 4)) {
		n->kv = rows_copy(n->snap.kv);
		*journal = n->snap.journal;
		*piece = n->snap.pieces;
		return;
	}
	n->kv = kv_new_map();
	assert(n->kv);
}

static enum err replay(struct simnode *n, size_t journal, uint32_t piece)
{
	uint64_t at;
	struct bytes payload;
	enum err e = journal ? node_load(n->node) : ERR_OK;

	for (; !e && piece < n->disk.pieces_count; piece++) {
		const struct simpiece *p = &n->disk.pieces[piece];
		e = node_replay_piece(n->node, &p->name, p->kind, p->addr, p->len);
	}
	while (!e && simdisk_frame(&n->disk, &journal, &at, &payload))
		e = node_replay(n->node, at, payload, replay_open, n);
	return e;
}

void simnode_start(struct simnode *n)
{
	struct event ev = {.kind = EV_START};
	size_t journal;
	uint32_t piece;

	if (n->node)
		return;
	n->life++;
	n->tick_at = UINT64_MAX;
	n->stopping = n->sync = false;
	n->joining = n->no > 0; /* until it shows that it is a member */
	rng_bytes(&n->w->rng, n->config.seed, sizeof(n->config.seed));
	rows_begin(n, &journal, &piece);
	n->node = node_new(n->kv, &n->config);
	assert(n->node);
	enum err e = replay(n, journal, piece);
	if (e) {
		world_fail(n->w, "node %u: replay: %s", n->no, err_text(e));
		return;
	}
	oracle_started(n);
	ev.start.clean = n->disk.clean;
	n->disk.clean = false;
	e = simnode_step(n, &ev);
	if (e)
		world_fail(n->w, "node %u: start: %s", n->no, err_text(e));
	world_say(n->w, "node %u is up", n->no);
}

void simnode_found(struct simnode *n)
{
	struct wr payload = {0};
	enum err e = node_found(&n->config, bytes_text("folder"), WALL_MS_START, &payload);

	if (e)
		world_fail(n->w, "node_found: %s", err_text(e));
	simdisk_append(&n->disk, wr_view(&payload));
	simdisk_sync(&n->disk);
	wr_fini(&payload);
}

void simnode_stop(struct simnode *n)
{
	struct event ev = {.kind = EV_CUT};

	if (!n->node || n->stopping)
		return;
	n->stopping = true;
	simfile_close_all(n);
	(void)simnode_step(n, &ev);
	(void)world_timer_of(n, TIMER_STOP, 10 * SIM_SECOND);
}

void simnode_end(struct simnode *n, enum simnode_end how)
{
	static const char *const ways[] = {"is killed", "loses power", "stops"};

	if (!n->node)
		return;
	world_say(n->w, "node %u %s", n->no, ways[how]);
	oracle_ends(n, how == SIMNODE_CLEAN);
	if (how == SIMNODE_CLEAN) {
		simnode_commit(n);
		n->disk.clean = true;
	} else if (how == SIMNODE_POWER) {
		simdisk_power_cut(&n->disk, &n->w->rng);
		oracle_power_cut(n);
	}
	node_free(n->node);
	n->node = NULL;
	kv_free_map(n->kv);
	n->kv = NULL;
	n->life++;
	simfile_forget(n);
	simnet_gone(n);
}

void simnode_free(struct simnode *n)
{
	node_free(n->node);
	kv_free_map(n->kv);
	kv_free_map(n->snap.kv);
	simdisk_fini(&n->disk);
	actions_fini(&n->acts);
	simfile_forget(n);
	free(n->shadows);
	free(n->parked);
}

/* ---- messages ---- */

void simnode_up(struct simnode *n, uint64_t peer, const struct simnode *other, bool joining)
{
	struct event ev = {.kind = EV_UP, .peer = peer};
	struct hash h;
	uint64_t no = peer / 2;

	ev.up.device = other->config.device.pub;
	ev.up.we_join = joining && n->joining;
	ev.up.joining = joining && !ev.up.we_join;
	hash_blake((struct bytes){(const uint8_t *)&no, sizeof(no)}, &h);
	memcpy(ev.up.hash, h.b, HASH_LEN);
	if (ev.up.we_join)
		memcpy(ev.up.secret, n->secret, sizeof(ev.up.secret));
	(void)simnode_step(n, &ev);
}

void simnode_down(struct simnode *n, uint64_t peer)
{
	struct event ev = {.kind = EV_DOWN, .peer = peer};

	(void)simnode_step(n, &ev);
}

static void on_data(struct simnode *n, uint64_t peer, struct bytes sealed)
{
	struct event ev = {.kind = EV_PIECE, .peer = peer};
	struct wr plain = {0};

	hash_blake(sealed, &ev.piece.name);
	if (!node_expects(n->node, peer, &ev.piece.name, &ev.piece.kind))
		return;
	if (ev.piece.kind == SEAL_NODE) {
		enum err e = simpool_node(n, sealed, &plain);
		if (e && e != ERR_NOENT)
			world_fail(n->w, "node %u: a manifest node does not open: %s", n->no,
				   err_text(e));
	}
	ev.piece.stored = (uint32_t)sealed.len;
	ev.piece.addr = simdisk_pack(&n->disk, ev.piece.kind, &ev.piece.name, sealed);
	ev.piece.plain = wr_view(&plain);
	(void)simnode_step(n, &ev);
	wr_fini(&plain);
}

static void on_bundle(struct simnode *n, uint64_t peer, struct bytes raw)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = peer};

	ev.bundle.take = simpool_open(n, raw, true);
	if (ev.bundle.take)
		(void)simnode_step(n, &ev);
}

void simnode_message(struct simnode *n, uint64_t peer, struct bytes message)
{
	struct event ev = {.peer = peer};
	struct wire_message m;
	enum err e = wire_decode(message, &m);

	if (e) {
		world_fail(n->w, "node %u: a message does not decode: type %u, %s", n->no,
			   message.at[0], err_text(e));
		return;
	}
	switch ((enum wire_type)m.type) {
	case WIRE_DATA:
		on_data(n, peer, m.data);
		return;
	case WIRE_BUNDLE:
		on_bundle(n, peer, m.bundle);
		return;
	case WIRE_JOIN:
		ev.kind = EV_JOIN;
		ev.join = m.join;
		break;
	case WIRE_REFUSE:
		ev.kind = EV_REFUSE;
		ev.refuse.code = m.refuse.code;
		ev.refuse.text = m.refuse.text;
		break;
	case WIRE_ROSTER:
		ev.kind = EV_ROSTER;
		ev.message.bytes = message;
		break;
	case WIRE_VECTOR:
		ev.kind = EV_VECTOR;
		ev.vector.take_applied = m.vector.applied;
		ev.vector.roster = m.vector.roster;
		break;
	case WIRE_WANT:
	case WIRE_NO:
	case WIRE_CANCEL:
		ev.kind = m.type == WIRE_WANT ? EV_WANT : m.type == WIRE_NO ? EV_NO : EV_CANCEL;
		ev.names.at = m.names.at;
		ev.names.count = m.names.count;
		break;
	case WIRE_PING:
	case WIRE_PONG:
		return;
	}
	(void)simnode_step(n, &ev);
}

/* ---- timers ---- */

static void on_tick(struct simnode *n)
{
	struct event ev = {.kind = EV_TICK};

	n->tick_at = UINT64_MAX;
	if (node_deadline(n->node) <= n->w->now)
		(void)simnode_step(n, &ev);
	else
		tick_later(n);
}

static void on_bundle_sealed(struct simnode *n, struct timer *t)
{
	struct event ev = {.kind = EV_BUNDLE_SEALED};

	oracle_bundle(n, (struct bytes){t->bytes, t->len});
	ev.bundle_sealed.seq = t->a;
	ev.bundle_sealed.take_raw = t->bytes;
	ev.bundle_sealed.len = t->len;
	t->bytes = NULL;
	enum err e = simnode_step(n, &ev);
	if (e)
		world_fail(n->w, "node %u: its own bundle: %s", n->no, err_text(e));
}

void simnode_timer(struct simnode *n, struct timer *t)
{
	if (t->kind == TIMER_START) {
		simnode_start(n);
		return;
	}
	if (!n->node || n->life != t->life)
		return;
	switch ((int)t->kind) {
	case TIMER_TICK:
		on_tick(n);
		break;
	case TIMER_SEAL:
		simpool_seal(n, t->a);
		break;
	case TIMER_BUNDLE:
		on_bundle_sealed(n, t);
		break;
	case TIMER_READ:
		simfile_again(n, t->a, (enum err)t->b);
		break;
	default: /* TIMER_STOP: it took too long, as an impatient system would say */
		simnode_end(n, SIMNODE_KILL);
		(void)world_timer_of(n, TIMER_START, world_about(n->w, SIM_SECOND));
		break;
	}
	if (n->node && n->stopping && node_idle(n->node)) {
		simnode_end(n, SIMNODE_CLEAN);
		(void)world_timer_of(n, TIMER_START, world_about(n->w, SIM_SECOND));
	}
}
