// SPDX-License-Identifier: MIT
/*
 * simnode.c - see simnode.h
 *
 * What sys/host is in the daemon: a step's journal is appended before anything of the step is
 * seen; each action that takes time comes back as a timer.
 *
 * A crash strikes at one step, before its journal is appended or when some of its actions have been
 * carried out.  Whoever called the step goes on unknowing to the end of the event, with a node that
 * nobody hears any more: no journal, no actions, nothing acknowledged (dying).
 */
#include "simnode.h"
#include "core/view_impl.h"
#include "liar.h"
#include "oracle.h"
#include "simfile.h"
#include "simnet.h"
#include "simpool.h"
#include <stdlib.h>

#define WALL_MS_START INT64_C(1793000000000)
#define ROOM_LEFT (64u << 10) /* what removals still find on a full disk */

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
	uint64_t due = node_deadline(n->node), now = n->w->now;

	if (due == UINT64_MAX || due >= n->tick_at)
		return;
	due = MAX(due, n->tick_rest);
	struct timer *t = world_timer_of(n, TIMER_TICK, due > now ? due - now : 0);
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
	if (a->kind == ACT_SEND_BUNDLE && !n->w->p->unsynced)
		simdisk_sync_journal(&n->disk); /* what was sent is never made again */
	m[0] = a->kind == ACT_SEND_BUNDLE ? WIRE_BUNDLE : WIRE_DATA;
	memcpy(m + 1, from->at + a->stored.addr, a->stored.len);
	struct simmsg out = {m, 1 + (size_t)a->stored.len, a->kind == ACT_SEND_PIECE, false};
	if (n->rot_sends) {
		n->rot_sends--;
		out.rotten = true;
		m[1 + world_below(n->w, a->stored.len)] ^= (uint8_t)(1u << world_below(n->w, 8));
	}
	out.rotten |= a->kind == ACT_SEND_PIECE && n->rotten.len;
	simnet_send(n, a->stored.peer, &out);
}

static void seal_bundle(struct simnode *n, const struct action *a)
{
	size_t len;
	uint8_t *raw = simpool_bundle(n, a, &len);

	if (!raw)
		return;
	struct timer *t = world_timer_of(n, TIMER_BUNDLE, 50 + world_below(n->w, 2000));
	t->a = a->bundle.head.seq;
	t->bytes = raw;
	t->len = len;
}

/* Among honest devices nobody writes about what others do not know, or know no more. */
static void reports(struct simnode *n, const char *text)
{
	unsigned long long inc;

	world_say(n->w, "node %u reports: %s", n->no, text);
	if (n->liar)
		return;
	bool skipped = strstr(text, "refer to what does not exist") != NULL;
	if (skipped && sscanf(text, "%*u records of bundle %llx", &inc) != 1)
		world_fail(n->w, "node %u: does not say of which bundle it skips records", n->no);
	else if (skipped && !plan_lies(n->w->p) && oracle_honest(n->w, inc))
		world_fail(n->w, "node %u: skips records of an honest device", n->no);
	/* Only who was put back to an old image writes below what it acknowledged. */
	if (strstr(text, "had not seen all that is forgotten") && !plan_lies(n->w->p) &&
	    !plan_has(n->w->p, ITEM_RESTORE, ITEM_RESTORE))
		world_fail(n->w, "node %u: forgot too early", n->no);
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
		if (a->send.durable)
			simdisk_sync_journal(&n->disk);
		simnet_send(n, a->send.peer,
			    &(struct simmsg){a->send.message, a->send.len, a->send.bulk, false});
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
		if ((a->drop.why == ERR_MALFORMED || a->drop.why == ERR_FORGED) &&
		    !simnet_lies(n, a->drop.peer))
			world_fail(n->w, "node %u: calls an honest peer a liar", n->no);
		simnet_drop(n, a->drop.peer);
		break;
	case ACT_REFUSED:
		world_fail(n->w, "node %u: was refused: %s", n->no, a->refused.text);
		break;
	case ACT_REPORT:
		reports(n, a->report.text);
		break;
	case ACT_NOTIFY:
		oracle_changed(n, &a->notify);
		break;
	case ACT_JOINED:
	case ACT_NEW_DATA:
	case ACT_KEEP:
		break;
	}
}

static enum err replay_open(void *arg, struct bytes raw, struct bundle **ret)
{
	enum err e = simpool_open(arg, raw, false, ret);

	return e ? ERR_DAMAGED : ERR_OK;
}

/* What is accepted has changed: the view once more, from the journal. */
static void rebuild_once(struct simnode *n)
{
	size_t journal = 0;
	uint64_t at;
	struct bytes payload;
	enum err e = node_rebuild_begin(n->node);

	world_say(n->w, "node %u makes its tree again", n->no);
	while (!e && simdisk_frame(&n->disk, &journal, &at, &payload))
		e = node_rebuild_frame(n->node, at, payload, replay_open, n);
	if (!e)
		e = node_rebuild_end(n->node, &n->acts);
	if (e)
		world_fail(n->w, "node %u: the tree cannot be made again: %s", n->no, err_text(e));
}

/* Branches of a fork, and how much of them is accepted, may be known only when that was done. */
static void rebuild(struct simnode *n)
{
	for (int k = 0; k < NODE_REBUILDS_MAX && node_wants_rebuild(n->node); k++)
		rebuild_once(n);
	if (node_wants_rebuild(n->node))
		world_fail(n->w, "node %u: the tree made again is not what is accepted", n->no);
}

static void wall_clock(const struct simnode *n, struct event *ev)
{
	int64_t ms = (int64_t)(n->w->now / 1000);

	ev->now_usec = n->w->now;
	ev->wall_ms = WALL_MS_START + ms + n->skew_ms + ms * n->drift_ppm / 1000000;
}

/* The crash that was to come strikes with this step; false: not yet. */
static bool strikes(struct simnode *n)
{
	if (!n->armed || --n->crash_in)
		return false;
	world_say(n->w, "node %u: dies within a step", n->no);
	n->dying = n->armed;
	n->armed = CRASH_NONE;
	return true;
}

/* A member that its admin forgets could never come back: as sys/host, sync before anybody hears. */
static bool must_last(const struct simnode *n, const struct event *ev)
{
	bool joined = false;

	for (uint32_t k = 0; k < n->acts.count; k++)
		joined |= n->acts.at[k].kind == ACT_JOINED;
	return joined || ev->kind == EV_JOIN || ev->kind == EV_ADMIT || ev->kind == EV_INVITE;
}

/* Append, and carry out: all, or what a crash leaves time for. */
static void conclude(struct simnode *n, const struct event *ev, bool dies)
{
	struct world *w = n->w;
	uint32_t done = n->acts.count;

	if (dies && n->crash_done == 0) {
		oracle_gone(n);
		return;
	}
	if (n->acts.journal.len)
		simdisk_append(&n->disk, wr_view(&n->acts.journal));
	if (dies && n->crash_done > 1 && must_last(n, ev))
		simdisk_sync(&n->disk);
	else if (!dies && must_last(n, ev))
		simnode_sync(n);
	if (dies) {
		oracle_ends(n, false);
		done = MIN(done, n->crash_done - 1);
	}
	if (!dies && node_wants_rebuild(n->node)) {
		rebuild(n);
		done = n->acts.count;
	}
	for (uint32_t k = 0; k < done && !w->failed; k++) {
		trace_action(w, &n->acts.at[k]);
		carry(n, &n->acts.at[k]);
	}
}

/* As in sys/host: what there is no room for is not even begun. */
static bool no_room(const struct simnode *n, const struct event *ev)
{
	size_t room = n->full_until ? node_room(n->node, ev) : 0;

	return room && (n->full_all || room > ROOM_LEFT);
}

static void event_drop(struct event *ev)
{
	if (ev->kind == EV_BUNDLE)
		bundle_free(ev->bundle.take);
	else if (ev->kind == EV_BUNDLE_SEALED)
		free(ev->bundle_sealed.take_raw);
	else if (ev->kind == EV_VECTOR)
		vector_unref(ev->vector.take_applied);
}

static void after(struct simnode *n)
{
	struct world *w = n->w;

	oracle_step(n);
	tick_later(n);
	if (n->joining && !n->dying && node_is_member(n->node)) {
		n->joining = false;
		n->admitted = true;
		world_say(w, "node %u is a member", n->no);
	}
}

enum err simnode_step(struct simnode *n, struct event *ev)
{
	struct world *w = n->w;
	bool dying = n->dying;

	assert(n->node);
	if (no_room(n, ev)) {
		event_drop(ev);
		return ERR_NOSPC;
	}
	size_t room = node_room(n->node, ev);
	wall_clock(n, ev);
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
	if (n->acts.journal.len > room)
		world_fail(w, "node %u: event %d writes %zu bytes of journal, not %zu", n->no,
			   (int)ev->kind, n->acts.journal.len, room);
	if (grave(ev, e) && !n->liar && !simnet_lies(n, ev->peer))
		world_fail(w, "node %u: event %d: %s", n->no, (int)ev->kind, err_text(e));
	if (!dying)
		conclude(n, ev, strikes(n));
	actions_reset(&n->acts);
	if (!w->failed)
		after(n);
	return e;
}

void simnode_sync(struct simnode *n)
{
	if (n->dying)
		return;
	simdisk_sync(&n->disk);
	oracle_synced(n);
}

bool simnode_may_lack(const struct simnode *n)
{
	bool closes = n->rejected && !n->w->healed; /* what it had under way goes out first */

	return n->role < ROLE_WRITER || closes || plan_has(n->w->p, ITEM_ROLE, ITEM_RETIRE);
}

/* ---- life ---- */

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
	if (!n->node || n->dying)
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
	if (n->full_until) { /* the daemon would not come up */
		(void)world_timer_of(n, TIMER_START, 1 + n->full_until - n->w->now);
		return;
	}
	n->life++;
	n->tick_at = UINT64_MAX;
	n->tick_rest = 0;
	n->stopping = false;
	n->joining = n->no > 0 && !n->admitted; /* until it shows that it is a member */
	dice_bytes(&n->w->dice, n->config.seed, sizeof(n->config.seed));
	rows_begin(n, &journal, &piece);
	n->node = node_new(n->kv, &n->config);
	assert(n->node);
	enum err e = replay(n, journal, piece);
	if (e) {
		world_fail(n->w, "node %u: replay: %s", n->no, err_text(e));
		return;
	}
	simdisk_sync(&n->disk); /* as sys/host: what is replayed is acted on */
	oracle_started(n, false);
	ev.start.clean = n->disk.clean;
	n->disk.clean = false;
	e = simnode_step(n, &ev);
	if (e)
		world_fail(n->w, "node %u: start: %s", n->no, err_text(e));
	else if (!n->dying) /* the tree has been made again, if need be */
		oracle_started(n, true);
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
	if (n->node)
		(void)simnode_step(n, &ev);
	(void)world_timer_of(n, TIMER_STOP, 10 * SIM_SECOND);
}

static void free_node(struct simnode *n)
{
	if (n->node)
		n->w->applied += node_view(n->node)->applied;
	node_free(n->node);
	n->node = NULL;
}

void simnode_end(struct simnode *n, enum simnode_end how)
{
	static const char *const ways[] = {"is killed", "loses power", "stops"};

	if (!n->node)
		return;
	world_say(n->w, "node %u %s", n->no, ways[how]);
	if (!n->dying)
		oracle_ends(n, how == SIMNODE_CLEAN);
	n->dying = n->armed = CRASH_NONE;
	if (how == SIMNODE_CLEAN) {
		simnode_commit(n);
		n->disk.clean = true;
	} else if (how == SIMNODE_POWER) {
		simdisk_power_cut(&n->disk, &n->w->dice);
		oracle_power_cut(n);
	}
	oracle_cut_off(n);
	free_node(n);
	kv_free_map(n->kv);
	n->kv = NULL;
	n->life++;
	simfile_forget(n);
	simnet_gone(n);
}

static void image_fini(struct image *i)
{
	simdisk_fini(&i->disk);
	kv_free_map(i->snap.kv);
	*i = (struct image){0};
}

static void image_copy(struct image *to, const struct simdisk *disk, const struct snapshot *snap)
{
	image_fini(to);
	to->made = true;
	simdisk_copy(&to->disk, disk);
	to->snap = *snap;
	if (snap->kv)
		to->snap.kv = rows_copy(snap->kv);
}

void simnode_image(struct simnode *n)
{
	if (!n->node || n->dying || !node_is_member(n->node))
		return;
	simnode_sync(n); /* as the tools that make such images ask for */
	image_copy(&n->image, &n->disk, &n->snap);
	oracle_image(n);
	world_say(n->w, "node %u: an image is made", n->no);
}

/* The packs stay as they are: with them contents would be lost that nobody else had fetched, which
 * is what restoring an old disk means. */
static void take_packs(struct simdisk *to, struct simdisk *from)
{
	wr_fini(&to->packs);
	free(to->pieces);
	to->packs = from->packs;
	to->pieces = from->pieces;
	to->pieces_count = from->pieces_count;
	to->pieces_synced = from->pieces_synced;
	to->pieces_room = from->pieces_room;
	from->packs = (struct wr){0};
	from->pieces = NULL;
}

void simnode_restore(struct simnode *n, uint64_t len)
{
	struct image old = {0};

	if (!n->image.made || !n->node || n->dying)
		return;
	simnode_end(n, SIMNODE_KILL);
	simnode_repair(n);
	image_copy(&old, &n->image.disk, &n->image.snap);
	take_packs(&old.disk, &n->disk);
	simdisk_fini(&n->disk);
	kv_free_map(n->snap.kv);
	n->disk = old.disk;
	n->snap = old.snap;
	oracle_restored(n);
	(void)world_timer_of(n, TIMER_START, len);
	world_say(n->w, "node %u: the image is put back", n->no);
}

void simnode_repair(struct simnode *n)
{
	if (n->rotten.len)
		n->disk.packs.at[n->rotten.addr + n->rotten.len / 2] ^= 1;
	n->rotten.len = 0;
}

bool simnode_is_rotten(const struct simnode *n, const struct hash *name)
{
	return n->rotten.len && memcmp(&n->rotten.name, name, sizeof(*name)) == 0;
}

void simnode_space(struct simnode *n)
{
	n->full_until = 0;
	n->full_all = false;
	world_say(n->w, "node %u: the disk has room again", n->no);
	simfile_space(n);
}

void simnode_free(struct simnode *n)
{
	free_node(n);
	kv_free_map(n->kv);
	kv_free_map(n->snap.kv);
	image_fini(&n->image);
	simdisk_fini(&n->disk);
	actions_fini(&n->acts);
	simfile_forget(n);
	free(n->shadows);
	free(n->late);
	liar_free(n);
	free(n->parked);
}

/* ---- timers ---- */

static void on_tick(struct simnode *n)
{
	struct event ev = {.kind = EV_TICK};

	n->tick_at = UINT64_MAX;
	if (node_deadline(n->node) > n->w->now) {
		tick_later(n);
		return;
	}
	if (simnode_step(n, &ev) != ERR_NOSPC)
		return;
	ev = (struct event){.kind = EV_TICK}; /* reads that waited long enough end all the same */
	ev.tick.full = true;
	n->tick_rest = n->w->now + SIM_SECOND;
	(void)simnode_step(n, &ev);
}

static void on_bundle_sealed(struct simnode *n, struct timer *t)
{
	struct event ev = {.kind = EV_BUNDLE_SEALED};

	ev.bundle_sealed.seq = t->a;
	ev.bundle_sealed.take_raw = t->bytes;
	ev.bundle_sealed.len = t->len;
	if (!no_room(n, &ev))
		oracle_bundle(n, (struct bytes){t->bytes, t->len});
	t->bytes = NULL;
	enum err e = simnode_step(n, &ev);
	if (e == ERR_NOSPC) { /* it is told that it has to be made again */
		ev = (struct event){.kind = EV_BUNDLE_SEALED};
		ev.bundle_sealed.err = e;
		e = simnode_step(n, &ev) == ERR_NOSPC ? ERR_OK : ERR_IO;
	}
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
}
