// SPDX-License-Identifier: MIT
/*
 * node.c - the one switch of the core: see node.h
 *
 * A case for each event, calling one module; modules call only downward.  What all steps end
 * with - changes told to the kernel, bundles cut, peers told, pieces asked for - stands in
 * finish().
 *
 * I1  every change of a row is either written into the journal by the same step or derived from
 *     what is (the clock of TABLE_STATE 'c' is derived too), but for rows of history that their
 *     time lets go, which a rebuild brings back until the next sweep
 * I2  the kernel is told of every change but those it made itself
 */
#include "core/node_impl.h"

#define DATE_STEP_MS (INT64_C(3600) * 1000) /* between two entries J_DATE */

/* ---- hooks ---- */

static void on_changed(void *arg, const struct change *c)
{
	struct node *n = arg;

	if (n->step.replaying)
		return;
	if (n->changes_count == n->changes_room) {
		uint32_t room = n->changes_room ? n->changes_room * 2 : 16;
		struct change *p = realloc(n->changes, room * sizeof(*p));
		if (!p) {
			n->changes_lost = true;
			return;
		}
		n->changes = p;
		n->changes_room = room;
	}
	n->changes[n->changes_count++] = *c;
}

static struct where on_where(void *arg, struct dot dot)
{
	struct node *n = arg;

	return log_where(n->log, dot);
}

static bool on_also(void *arg, struct dot dot, uint32_t k, struct where *ret)
{
	struct node *n = arg;

	return log_also(n->log, dot, k, ret);
}

static bool on_line(void *arg, struct where a, struct where b)
{
	struct node *n = arg;

	return log_line(n->log, a, b);
}

/* The roster's name of the device behind an incarnation; a number when there is none. */
void node_device(void *arg, uint64_t inc, char name[65])
{
	struct node *n = arg;
	const struct log_inc *i = log_find(n->log, inc);
	const struct roster_member *m = i ? roster_find(n->roster, &i->device) : NULL;
	static const char digits[] = "0123456789abcdef";

	if (m) {
		memcpy(name, m->name, sizeof(m->name));
		return;
	}
	for (size_t k = 0; k < 8; k++)
		name[k] = digits[(inc >> (60 - 4 * k)) & 15];
	name[8] = 0;
}

/* What is learnt now counts from there: the journal's date, so that a replay says the same. */
static int64_t on_now(void *arg)
{
	const struct node *n = arg;

	return n->dated_ms;
}

static bool on_unsealed(void *arg, struct inode_id inode, uint64_t t)
{
	struct node *n = arg;

	return content_unsealed(n->content, inode, t);
}

static void on_settled(void *arg, struct step *s, struct waiter w, enum err err)
{
	struct node *n = arg;

	if (w.kind == WAITER_READ)
		reads_settled(n->reads, s, w.id, err);
	else
		content_settled(n->content, s, w.id, err);
}

/* Once in a while, before what others did comes into the tree: the date of learning it. */
void node_note_date(struct node *n)
{
	struct step *s = &n->step;
	int64_t ahead;
	size_t mark;

	if (!__builtin_sub_overflow(s->wall_ms, n->dated_ms, &ahead) && ahead >= -DATE_STEP_MS &&
	    ahead < DATE_STEP_MS)
		return;
	struct wr *w = step_entry(s, J_DATE, &mark);
	if (!w)
		return;
	wr_u64(w, (uint64_t)s->wall_ms);
	step_entry_end(s, mark);
	n->dated_ms = s->wall_ms;
}

/* ---- life ---- */

static bool build(struct node *n)
{
	const struct view_hooks view = {n,          on_where, on_line, node_device,
					on_changed, on_now,   on_also};
	const struct outbox_hooks outbox = {n, on_unsealed};
	const struct fetch_hooks fetch = {n, on_settled};

	n->view = view_new(n->kv, &view);
	n->roster = roster_new(n->kv, &n->config.folder, &n->config.device);
	n->log = n->view ? log_new(n->kv, n->view, &n->config.folder) : NULL;
	n->brake = brake_new(n->kv, &n->config.brake);
	n->outbox = n->log ? outbox_new(n->kv, n->view, n->log, &outbox) : NULL;
	n->fetch = fetch_new(&fetch);
	const struct content_config content = {n->kv, n->view, n->outbox, n->fetch,
					       n->config.device_name};
	n->content = n->outbox && n->fetch ? content_new(&content) : NULL;
	n->ahead = n->view && n->fetch ? ahead_new(n->kv, n->view, n->fetch) : NULL;
	n->reads = n->content && n->ahead
			   ? reads_new(n->content, n->fetch, n->ahead, n->config.read_timeout_ms)
			   : NULL;
	if (n->reads)
		reads_names(n->reads, n->view);
	n->spread = n->log && n->roster ? spread_new(n->log, n->roster) : NULL;
	const struct stable_config stable = {n->kv,     n->log,           n->roster,
					     n->spread, n->config.folder, &n->config.device};
	n->stable = n->spread ? stable_new(&stable) : NULL;
	if (n->log)
		node_accept_rules(n);
	return n->roster && n->reads && n->stable && n->brake;
}

struct node *node_new(struct kv *kv, const struct node_config *c)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->kv = kv;
	n->config = *c;
	n->tidy_due = UINT64_MAX;
	rng_init(&n->rng, c->seed);
	if (build(n))
		return n;
	node_free(n);
	return NULL;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	stable_free(n->stable);
	vector_unref(n->tidy_seen);
	spread_free(n->spread);
	reads_free(n->reads);
	ahead_free(n->ahead);
	content_free(n->content);
	fetch_free(n->fetch);
	outbox_free(n->outbox);
	brake_free(n->brake);
	log_free(n->log);
	roster_free(n->roster);
	view_free(n->view);
	free(n->changes);
	memset(&n->keys, 0, sizeof(n->keys));
	memset(&n->config, 0, sizeof(n->config));
	free(n);
}

static void write_entry(struct wr *journal, enum journal_kind kind, struct bytes body)
{
	wr_u8(journal, (uint8_t)kind);
	wr_u32(journal, (uint32_t)body.len);
	wr_bytes(journal, body);
}

enum err node_found(struct node_config *c, struct bytes folder_name, int64_t wall_ms,
		    struct wr *journal)
{
	struct rng rng;
	struct admit_seed seed = {&rng, wall_ms};
	struct admit_founding f = {0};

	rng_init(&rng, c->seed);
	enum err e = admit_found(&c->device, bytes_text(c->device_name), folder_name, &seed, &f);
	if (!e) {
		c->folder = f.folder;
		write_entry(journal, J_ROSTER, wr_view(&f.record));
		write_entry(journal, J_ROSTER, wr_view(&f.keys));
		e = journal->bad ? fail(ERR_NOMEM) : ERR_OK;
	}
	wr_fini(&f.record);
	wr_fini(&f.keys);
	return e;
}

void node_refresh_keys(struct node *n)
{
	struct folder_keys k;

	if (!roster_keys(n->roster, &k))
		return;
	n->keys = k;
	n->have_keys = k.count > 0;
}

/* The clock and the current incarnation: rows TABLE_STATE 'c'. */
static void clock_key(struct step_key *k)
{
	step_key_init(k, TABLE_STATE);
	step_key_u8(k, 'c');
}

static enum err store_clock(struct node *n)
{
	struct step_key k;
	uint8_t value[32];
	struct wr w = {.at = value, .room = sizeof(value)};
	uint64_t op, t;

	outbox_clock(n->outbox, &op, &t);
	wr_u64(&w, op);
	wr_u64(&w, t);
	wr_u64(&w, log_current(n->log));
	wr_u64(&w, (uint64_t)n->dated_ms);
	clock_key(&k);
	return kv_put(n->kv, step_key_view(&k), wr_view(&w));
}

enum err node_load(struct node *n)
{
	struct step_key k;
	struct bytes value;
	uint64_t op = 1, t = 0, current = 0;

	clock_key(&k);
	enum err e = kv_get(n->kv, step_key_view(&k), &value);
	if (!e) {
		struct rd r = rd_of(value);
		op = rd_u64(&r);
		t = rd_u64(&r);
		current = rd_u64(&r);
		n->dated_ms = (int64_t)rd_u64(&r);
	}
	e = node_accept_load(n);
	if (!e)
		e = brake_load(n->brake);
	if (!e)
		e = roster_load(n->roster);
	node_refresh_keys(n);
	if (!e)
		e = stable_load(n->stable);
	if (!e)
		e = log_load(n->log, current);
	outbox_set_clock(n->outbox, op, t);
	if (!e)
		e = outbox_load(n->outbox);
	return e ? e : content_load(n->content);
}

/* ---- replay ---- */

static enum err replay_inc(struct node *n, struct bytes body)
{
	struct rd r = rd_of(body);
	uint64_t nonce = rd_u64(&r), op, t;
	struct where follows = {rd_u64(&r), 0};

	follows.seq = rd_u64(&r);
	if (!rd_done(&r))
		return fail(ERR_DAMAGED);
	outbox_clock(n->outbox, &op, &t);
	outbox_set_clock(n->outbox, 1, t);
	return log_begin(n->log, &n->config.device.pub, nonce, follows);
}

static enum err replay_date(struct node *n, struct bytes body)
{
	struct rd r = rd_of(body);

	n->dated_ms = (int64_t)rd_u64(&r);
	return rd_done(&r) ? ERR_OK : fail(ERR_DAMAGED);
}

static enum err replay_node(struct node *n, struct bytes body)
{
	struct rd r = rd_of(body);
	struct hash name;

	rd_copy(&r, name.b, HASH_LEN);
	return r.bad ? fail(ERR_DAMAGED)
		     : mapping_put_node(n->kv, &name, (struct bytes){r.at, rd_left(&r)});
}

void node_saw_clocks(struct node *n, const struct bundle *b)
{
	for (uint32_t k = 0; k < b->count; k++)
		outbox_saw(n->outbox, b->records[k].t);
}

struct opener {
	enum err (*open)(void *arg, struct bytes raw, struct bundle **ret);
	void *arg;
};
struct entry_read { /* of the journal */
	enum journal_kind kind;
	struct bytes body;
	uint64_t at; /* of the body */
};

static enum err replay_bundle(struct node *n, const struct entry_read *j, const struct opener *o)
{
	struct bundle *b;
	enum err e = o->open(o->arg, j->body, &b);

	if (e)
		return e;
	node_saw_clocks(n, b);
	return log_replay(n->log, &n->step, b, j->at, j->kind == J_HELD);
}

/* What the view is made of. */
static enum err replay_view(struct node *n, const struct entry_read *j, const struct opener *o)
{
	switch ((int)j->kind) {
	case J_RECORDS:
		return outbox_replay(n->outbox, j->body);
	case J_OWN:
		return outbox_replay_own(n->outbox, j->body, j->at);
	case J_BUNDLE:
	case J_HELD:
		return replay_bundle(n, j, o);
	case J_INC:
		return replay_inc(n, j->body);
	case J_DATE:
		return replay_date(n, j->body);
	default:
		return ERR_OK;
	}
}

static enum err replay_entry(struct node *n, const struct entry_read *j, const struct opener *o)
{
	struct bytes body = j->body;
	bool fresh;
	enum err e;

	switch (j->kind) {
	case J_RECORDS:
	case J_OWN:
	case J_BUNDLE:
	case J_HELD:
	case J_INC:
	case J_DATE:
		return replay_view(n, j, o);
	case J_NODE:
		return replay_node(n, body);
	case J_ROSTER:
		e = roster_add(n->roster, body, &fresh);
		node_refresh_keys(n);
		return e;
	case J_TOKEN:
		return admit_replay(&n->step, body);
	case J_BRAKE:
		return brake_replay(n->brake, body);
	case J_WORK:
	case J_WRITE:
	case J_TRUNCATE:
	case J_TOUCH:
	case J_CUT:
	case J_SEALED:
	case J_DISCARD:
	case J_BESIDE:
		return content_replay(n->content, (uint8_t)j->kind, body);
	default:
		return fail(ERR_DAMAGED);
	}
}

enum err node_replay_only(struct node *n, const struct node_frame *f,
			  enum err (*open)(void *arg, struct bytes raw, struct bundle **ret),
			  void *arg)
{
	const struct opener o = {open, arg};
	struct actions none = {0};
	struct rd r = rd_of(f->payload);
	enum err e = ERR_OK;

	n->step = (struct step){
		.kv = n->kv, .rng = &n->rng, .acts = &none, .journal_at = f->at, .replaying = true};
	while (rd_left(&r) && !e) {
		struct entry_read j = {.kind = (enum journal_kind)rd_u8(&r)};
		j.body = rd_bytes(&r, rd_u32(&r));
		j.at = f->at + (size_t)(r.at - f->payload.at) - j.body.len;
		e = r.bad          ? fail(ERR_DAMAGED)
		    : f->view_only ? replay_view(n, &j, &o)
				   : replay_entry(n, &j, &o);
	}
	actions_fini(&none);
	return e;
}

enum err node_replay(struct node *n, uint64_t at, struct bytes payload,
		     enum err (*open)(void *arg, struct bytes raw, struct bundle **ret), void *arg)
{
	enum err e = node_replay_only(n, &(struct node_frame){at, payload, false}, open, arg);

	return e ? e : store_clock(n);
}

enum err node_replay_piece(struct node *n, const struct hash *name, uint8_t kind, uint64_t addr,
			   uint32_t stored)
{
	return mapping_put_piece(n->kv, name, kind, addr, stored);
}

/* ---- starting ---- */

/*
 * After a crash it may follow what was rejected: then it is set aside like that, with the records
 * that the crash left behind, and the next one begins when they have left.
 */
enum err node_begin_incarnation(struct node *n)
{
	struct step *s = &n->step;
	struct where follows = {log_tip(n->log, log_current(n->log)), UINT64_MAX};
	const struct log_inc *i = log_find(n->log, follows.inc);
	uint64_t nonce = rng_u64(&n->rng);
	size_t mark;

	/* One of which nothing is accepted is none to go on from. */
	while (i && i->applied == 0) {
		follows = i->follows;
		i = log_find(n->log, follows.inc);
	}
	if (i)
		follows.seq = MIN(follows.seq, i->applied);
	else
		follows = (struct where){0, 0};
	struct wr *w = step_entry(s, J_INC, &mark);
	size_t start = w->len;
	wr_u64(w, nonce);
	wr_u64(w, follows.inc);
	wr_u64(w, follows.seq);
	step_entry_end(s, mark);
	if (w->bad)
		return fail(ERR_NOMEM);
	return replay_inc(n, (struct bytes){w->at + start, w->len - start});
}

bool node_may_write(struct node *n)
{
	return n->have_keys && !n->own_limited &&
	       roster_role(n->roster, &n->config.device.pub) >= ROLE_WRITER;
}

/* What a crash left unsealed, when the tree stands where it stood: a version says what it had seen.
 */
static enum err cut_left(struct node *n)
{
	if (!n->cuts_due || n->unsettled)
		return ERR_OK;
	n->cuts_due = false;
	return content_start(n->content, &n->step);
}

/* Once there are keys: an incarnation, and what a crash left unsealed. */
enum err node_begin(struct node *n)
{
	enum err e = ERR_OK;

	if (n->started || !n->have_keys)
		return ERR_OK;
	n->started = true;
	n->unconfirmed = log_current(n->log) && n->clean_start;
	if (!n->unconfirmed)
		e = node_begin_incarnation(n);
	node_accept_look(n);
	n->cuts_due = true;
	return e ? e : cut_left(n);
}

static enum err on_bundle_sealed(struct node *n, struct event *ev)
{
	struct bytes raw = {ev->bundle_sealed.take_raw, ev->bundle_sealed.len};
	enum err e = outbox_sealed(n->outbox, &n->step, ev->bundle_sealed.err, raw);

	free(ev->bundle_sealed.take_raw);
	if (n->own_limited)
		node_accept_look(n);
	return e ? e : node_net_apply_waiting(n);
}

static enum err on_tick(struct node *n, const struct event *ev)
{
	reads_tick(n->reads, &n->step);
	if (ev->tick.full)
		return ERR_OK;
	outbox_tick(n->outbox, &n->step);
	spread_tick(n->spread, &n->step);
	enum err e = n->waiting_due ? node_net_apply_waiting(n) : ERR_OK;
	if (!e)
		e = history_sweep(n->kv, &n->sweep, n->step.now, n->step.wall_ms,
				  n->config.keep_ms);
	if (!e)
		e = node_tidy_tick(n);
	return e ? e : content_tick(n->content, &n->step);
}

/* ---- the step ---- */

static enum err dispatch(struct node *n, struct event *ev)
{
	switch (ev->kind) {
	case EV_MAKE:
	case EV_UNLINK:
	case EV_RMDIR:
	case EV_RENAME:
	case EV_LINK:
	case EV_SETATTR:
	case EV_XATTR:
	case EV_RESOLVE:
	case EV_SETTLE:
	case EV_RESTORE:
		return node_local(n, ev);
	case EV_WRITE:
	case EV_TRUNCATE:
		return node_local_write(n, ev);
	case EV_OPEN:
		if (ev->open.write && !node_may_write(n))
			return fail(ERR_ROFS);
		return ev->open.version.inc ? node_open_version(n, ev)
					    : content_open(n->content, ev);
	case EV_RELEASE:
		return content_release(n->content, &n->step, ev);
	case EV_READ:
		return reads_read(n->reads, &n->step, ev);
	case EV_READ_CANCEL:
		reads_cancel(n->reads, ev->read.tag);
		return ERR_OK;
	case EV_SEALED:
		return content_sealed(n->content, &n->step, ev);
	case EV_BUNDLE_SEALED:
		return on_bundle_sealed(n, ev);
	case EV_UP:
	case EV_DOWN:
	case EV_ROSTER:
	case EV_VECTOR:
	case EV_ACK:
	case EV_BUNDLE:
	case EV_JOIN:
	case EV_REFUSE:
	case EV_PIECE:
	case EV_WANT:
	case EV_NO:
	case EV_CANCEL:
		return node_net(n, ev);
	case EV_INVITE:
		return admit_invite(&n->step, n->roster, &n->config.device.pub, ev);
	case EV_ADMIT:
	case EV_ADDR:
		return node_net_admin(n, ev);
	case EV_START:
		n->clean_start = ev->start.clean;
		node_net_keep_all(n);
		return node_begin(n);
	case EV_CUT:
		n->cut_all = true;
		return content_cut_all(n->content, &n->step);
	case EV_TICK:
		return on_tick(n, ev);
	default:
		return fail(ERR_INVAL);
	}
}

/* ---- what every step ends with ---- */

/* Whether the kernel itself made this change: the names of the running operation. */
static bool knows_attr(const struct node *n, const struct event *ev, struct inode_id i)
{
	switch ((int)ev->kind) {
	case EV_SETATTR:
		return inode_equal(i, ev->setattr.inode);
	case EV_MAKE: /* it forgets a directory's attributes itself when it changes an entry */
		return inode_equal(i, ev->make.dir) || inode_equal(i, ev->make.inode);
	case EV_UNLINK:
	case EV_RMDIR:
		return inode_equal(i, ev->name.dir);
	case EV_LINK:
		return inode_equal(i, ev->link.dir);
	case EV_RENAME:
		return inode_equal(i, ev->rename.from_dir) || inode_equal(i, ev->rename.to_dir);
	case EV_SEALED: /* size and time were those of the writes */
		return inode_equal(i, n->sealing);
	default:
		return false;
	}
}

/* What a program here wrote has become a version: its bytes are those that the kernel has seen. */
static bool knows_data(struct node *n, const struct event *ev, struct inode_id i)
{
	struct view_attr a;

	return ev->kind == EV_SEALED && n->sealing_shown && inode_equal(i, n->sealing) &&
	       !view_stat(n->view, i, &a) &&
	       log_is_own(n->log, a.version.inc, &n->config.device.pub);
}

static bool by_kernel(const struct node *n, const struct event *ev, const struct change *c)
{
	struct bytes name = {c->name, c->name_len};

	if (c->kind != CHANGE_ENTRY)
		return c->kind != CHANGE_DATA && knows_attr(n, ev, c->inode);
	switch ((int)ev->kind) {
	case EV_MAKE:
		return inode_equal(c->inode, ev->make.dir) && bytes_equal(name, ev->make.name);
	case EV_UNLINK:
	case EV_RMDIR:
		return inode_equal(c->inode, ev->name.dir) && bytes_equal(name, ev->name.name);
	case EV_LINK:
		return inode_equal(c->inode, ev->link.dir) && bytes_equal(name, ev->link.name);
	case EV_RENAME:
		return (inode_equal(c->inode, ev->rename.from_dir) &&
			bytes_equal(name, ev->rename.from)) ||
		       (inode_equal(c->inode, ev->rename.to_dir) &&
			bytes_equal(name, ev->rename.to));
	default:
		return false;
	}
}

static enum err tell_kernel(struct node *n, const struct event *ev)
{
	enum err e = n->changes_lost ? fail(ERR_NOMEM) : ERR_OK;

	for (uint32_t k = 0; k < n->changes_count && !e; k++) {
		struct change c = n->changes[k];
		bool news = true;
		if (c.kind == CHANGE_DATA)
			e = content_changed(n->content, &n->step, c.inode, &news);
		if (c.kind == CHANGE_DATA && news && !e)
			news = !knows_data(n, ev, c.inode);
		if (e || !news || by_kernel(n, ev, &c))
			continue;
		struct action *a = step_act(&n->step, ACT_NOTIFY);
		if (a)
			a->notify = c;
	}
	n->changes_count = 0;
	n->changes_lost = false;
	return e;
}

static enum err publish(struct node *n)
{
	struct outbox_policy p = {.listening = spread_listening(n->spread),
				  .unacked = spread_unacked(n->spread),
				  .all = n->cut_all,
				  .device = n->config.device.pub,
				  .folder = n->config.folder};

	if (!n->started)
		return ERR_OK;
	p.all |= n->own_limited;
	node_accept_head(n, &p.roster);
	p.epoch = n->keys.at[n->keys.count - 1].epoch;
	n->cut_all = n->cut_all && !node_idle(n); /* all that was asked for has left */
	return outbox_publish(n->outbox, &n->step, &p);
}

static enum err finish(struct node *n, const struct event *ev)
{
	enum err e = tell_kernel(n, ev);

	if (!e)
		e = spread_pump(n->spread, &n->step);
	if (!e)
		e = node_accept_go_on(n, node_writes(ev));
	if (!e)
		e = publish(n);
	if (!e)
		e = fetch_pump(n->fetch, &n->step);
	node_tidy_note(n, ev);
	if (!e && n->step.acts->journal.len)
		e = store_clock(n);
	return e ? e : step_sound(&n->step);
}

enum err node_step(struct node *n, struct event *ev, struct actions *a)
{
	n->step = (struct step){.kv = n->kv,
				.rng = &n->rng,
				.acts = a,
				.now = ev->now_usec,
				.wall_ms = ev->wall_ms,
				.journal_at = ev->journal_at};
	if (ev->kind == EV_SEALED) {
		n->sealing = content_work_inode(n->content, ev->sealed.work);
		n->sealing_shown = content_work_shown(n->content, ev->sealed.work);
	}
	enum err left = node_writes(ev) ? cut_left(n) : ERR_OK;
	enum err e = dispatch(n, ev);
	enum err e2 = finish(n, ev);
	return left ? left : e ? e : e2;
}

uint64_t node_deadline(const struct node *n)
{
	uint64_t due = MIN(content_deadline(n->content), reads_deadline(n->reads));

	if (n->waiting_due || (n->cuts_due && !n->unsettled) || (n->started && node_accept_due(n)))
		return 0;
	due = MIN(due, MIN(fetch_deadline(n->fetch), outbox_deadline(n->outbox)));
	if (n->started && n->config.keep_ms)
		due = MIN(due, n->sweep.due_usec);
	due = MIN(due, node_tidy_deadline(n));
	return MIN(due, spread_deadline(n->spread));
}
