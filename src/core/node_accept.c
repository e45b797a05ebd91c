// SPDX-License-Identifier: MIT
/*
 * node_accept.c - what is accepted of whose bundles, and the view made again when that changes
 *
 * Part of node.c (node_impl.h).  The rule stands in core/log.h; here the roster answers for it.
 * When what is applied is no longer what is accepted the owner is told (node_wants_rebuild()): it
 * feeds the journal once more, and only what is accepted is applied.  Contents, pieces, works and
 * open files stay as they are: an open file whose inode is gone goes on as one that was unlinked.
 *
 * A device that learns that its own incarnation is limited writes nothing more in it: what it has
 * still to publish goes out, for the others to set aside as well, and then, if it may write, it
 * begins a new one.
 *
 * A store that was cleanly stopped may be an old image of itself: the life it was taken from has
 * gone on, and another bundle under a number that was given already would be a fork.  So an
 * incarnation is gone on with only when a member has told that it knows no more of it; who writes
 * before it has met anybody begins a new one.
 *
 * I1  while a rebuild is under way a row says so: rows that a crash leaves half made are not used
 */
#include "core/node_impl.h"

void node_accept_head(struct node *n, struct hash *ret)
{
	if (roster_role(n->roster, &n->config.device.pub) >= ROLE_WRITER)
		roster_head(n->roster, ret);
	else
		roster_head_writing(n->roster, ret);
}

static uint64_t on_limit(void *arg, const struct log_inc *i)
{
	struct node *n = arg;
	struct hash born;

	if (i->inc == log_current(n->log) && i->seq == 0) { /* what its first bundle would name */
		node_accept_head(n, &born);
		return roster_limit(n->roster, &n->config.device.pub, &born, i->inc);
	}
	return roster_limit(n->roster, &i->device, &i->born, i->inc);
}

static uint64_t on_granted(void *arg, uint64_t inc)
{
	struct node *n = arg;

	return roster_granted(n->roster, inc, false);
}

static uint64_t on_braked(void *arg, const struct log_inc *i)
{
	struct node *n = arg;

	return brake_limit(n->brake, i->inc);
}

/* For the brake: what a device made itself a moment ago is its own affair. */
static bool on_stood(void *arg, struct inode_id inode, const struct device_id *device,
		     uint64_t since_ms)
{
	struct node *n = arg;
	struct stamp born;

	if (view_born(n->view, inode, &born))
		return false; /* made in the same bundle */
	const struct log_inc *i = log_find(n->log, born.inc);
	return !i || memcmp(&i->device, device, sizeof(*device)) != 0 || born.t >> 16 < since_ms;
}

/* A reader's brake might hold what no writer holds, and nobody could decide: so it holds nothing.
 */
static bool may_decide(const struct node *n)
{
	return roster_role(n->roster, &n->config.device.pub) >= ROLE_WRITER;
}

/* What a member admitted here found when it came, or somebody accepted, is not held again. */
static enum err on_look(void *arg, struct step *s, const struct bundle *b, bool *hold)
{
	struct node *n = arg;

	*hold = false;
	if (!may_decide(n) ||
	    memcmp(&b->head.device, &n->config.device.pub, sizeof(b->head.device)) == 0)
		return ERR_OK; /* of its own is what a restored store meets */
	if (roster_granted(n->roster, b->head.inc, true) >= b->head.seq)
		return ERR_OK;
	const struct brake_tree tree = {n, view_names(n->view), on_stood};
	enum err e = brake_look(n->brake, s, b, &tree, hold);
	const struct roster_member *m = *hold ? roster_find(n->roster, &b->head.device) : NULL;
	if (m)
		step_report(s, true,
			    "%s removed or rewrote more than %u %% of the files at once: that is "
			    "held until a member says 'peerfs accept' or 'peerfs reject'",
			    m->name, n->config.brake.percent);
	return e;
}

/* Where a restored device meets its own bundles: what it was to publish has been published. */
static bool on_pending(void *arg, struct dot dot, struct where in)
{
	struct node *n = arg;

	return log_is_own(n->log, in.inc, &n->config.device.pub) &&
	       outbox_travelled(n->outbox, dot);
}

void node_accept_rules(struct node *n)
{
	log_set_rules(n->log,
		      &(struct log_rules){n, on_limit, on_granted, on_braked, on_pending, on_look});
}

/* *vec, with all that is held of that device besides; of others, no more. */
enum err node_accept_all(struct node *n, const struct device_id *d, struct vector **vec)
{
	bool any = false;

	for (uint32_t k = 0; k < log_incs(n->log); k++) {
		const struct log_inc *i = log_inc_at(n->log, k);
		if (i->applied == i->seq || memcmp(&i->device, d, sizeof(*d)) != 0)
			continue;
		struct vector *more = vector_with(*vec, i->inc, i->seq);
		vector_unref(*vec);
		*vec = more;
		if (!more)
			return fail(ERR_NOMEM);
		any = true;
	}
	if (!any) {
		vector_unref(*vec);
		*vec = NULL;
	}
	return any ? ERR_OK : fail(ERR_NODATA);
}

/* What the brake holds goes on, or is limited for good. */
enum err node_accept_decided(struct node *n)
{
	enum err e = ERR_OK;

	for (uint32_t k = brake_count(n->brake); k-- > 0 && !e;) {
		const struct braked h = *brake_at(n->brake, k);
		const struct log_inc *i = log_find(n->log, h.inc);
		if (!may_decide(n) || (i && on_limit(n, i) != UINT64_MAX) ||
		    on_granted(n, h.inc) >= h.from)
			e = brake_release(n->brake, &n->step, h.inc);
	}
	return e;
}

/* Might the author of a bundle write?  By the roster that it names.  Only the clocks of one who may
 * are followed. */
enum err node_judge(void *arg, const struct bundle *b)
{
	struct node *n = arg;

	if (!roster_has(n->roster, &b->head.roster))
		return ERR_AGAIN;
	enum role role = roster_role_at(n->roster, &b->head.roster, &b->head.device);
	if (role < ROLE_WRITER)
		return fail(ERR_REFUSED);
	node_saw_clocks(n, b);
	node_note_date(n);
	return ERR_OK;
}

/* Whose log it is: one that forked at its first bundle is known by its branches alone. */
static const struct log_inc *forked(const struct node *n, const struct log_fork *f)
{
	const struct log_inc *i = log_find(n->log, f->at.inc);

	return i ? i : log_find(n->log, f->mine);
}

/* Each fork is told of once, and at each start. */
static void tell_forks(struct node *n)
{
	for (; n->forks_told < log_forks(n->log); n->forks_told++) {
		const struct log_fork *f = log_fork_at(n->log, n->forks_told);
		const struct log_inc *i = forked(n, f);
		const struct roster_member *m = i ? roster_find(n->roster, &i->device) : NULL;
		if (n->started)
			step_report(
				&n->step, true,
				"%s gave one number to two different bundles: its store was "
				"copied, or its program is not honest.  Both are kept, and merged "
				"as if two devices had written them",
				m ? m->name : "a device");
	}
}

void node_accept_look(struct node *n)
{
	tell_forks(n);
	n->own_limited = log_own_limited(n->log) || log_own_forked(n->log);
	n->unsettled = !log_settled(n->log);
}

bool node_settled(const struct node *n)
{
	return !n->unsettled;
}

bool node_wants_rebuild(const struct node *n)
{
	return n->started && n->unsettled && !outbox_busy(n->outbox);
}

/* ---- making the view again ---- */

static enum err clear_table(struct kv *kv, uint8_t table)
{
	uint8_t at[KV_KEY_MAX] = {table};
	struct bytes from = {at, 1}, key, value;
	bool beyond = false;
	enum err e;

	while (!(e = kv_next_in(kv, from, 1, beyond, &key, &value))) {
		memcpy(at, key.at, key.len);
		from.len = key.len;
		beyond = true;
		e = kv_del(kv, from);
		if (e)
			return e;
	}
	return e == ERR_NOENT ? ERR_OK : e;
}

static void half_made_key(struct step_key *k)
{
	step_key_init(k, TABLE_STATE);
	step_key_u8(k, 'r');
}

enum err node_accept_load(struct node *n)
{
	struct step_key k;
	struct bytes value;

	half_made_key(&k);
	enum err e = kv_get(n->kv, step_key_view(&k), &value);
	return e == ERR_NOENT ? ERR_OK : e ? e : fail(ERR_DAMAGED); /* I1 */
}

enum err node_rebuild_begin(struct node *n)
{
	static const char tables[] = TABLES_OF_VIEW;
	struct step_key k;

	assert(node_wants_rebuild(n));
	half_made_key(&k);
	enum err e = kv_put(n->kv, step_key_view(&k), (struct bytes){(const uint8_t *)"", 0});
	if (!e)
		e = log_rebuild(n->log);
	for (size_t t = 0; t + 1 < sizeof(tables) && !e; t++)
		e = clear_table(n->kv, (uint8_t)tables[t]);
	outbox_clock(n->outbox, &n->clock_op, &n->clock_t);
	n->dated_ms = 0;
	outbox_reset(n->outbox);
	return e ? e : view_reset(n->view);
}

enum err node_rebuild_frame(struct node *n, uint64_t at, struct bytes payload,
			    enum err (*open)(void *arg, struct bytes raw, struct bundle **ret),
			    void *arg)
{
	return node_replay_only(n, &(struct node_frame){at, payload, true}, open, arg);
}

enum err node_rebuild_end(struct node *n, struct actions *a)
{
	struct step_key k;

	log_rebuilt(n->log);
	outbox_set_clock(n->outbox, n->clock_op, n->clock_t);
	half_made_key(&k);
	enum err e = kv_del(n->kv, step_key_view(&k));
	n->step.acts = a;
	n->step.replaying = false;
	n->changes_count = 0;
	node_accept_look(n);
	struct action *all = e ? NULL : step_act(&n->step, ACT_NOTIFY);
	if (all)
		all->notify = (struct change){.kind = CHANGE_ALL};
	if (!e)
		e = content_recheck(n->content, &n->step);
	step_report(&n->step, false,
		    "what is accepted of other devices has changed: the tree was made again, %u "
		    "bundles are set aside",
		    log_unapplied(n->log));
	spread_owe(n->spread);
	n->waiting_due = log_waiting(n->log) > 0; /* for a branch that was not known */
	return e ? e : step_sound(&n->step);
}

/* ---- what is set aside ---- */

uint32_t node_aside(struct node *n, struct node_aside *ret, uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < log_unapplied(n->log); k++) {
		const struct log_unapplied *u = log_unapplied_at(n->log, k);
		const struct log_inc *i = log_find(n->log, u->in.inc);
		uint32_t at = 0;
		while (at < count && ret[at].inc != u->in.inc)
			at++;
		if (at == count && (count == max || !i))
			continue;
		if (at == count) {
			ret[count++] = (struct node_aside){.device = i->device, .inc = i->inc};
			ret[at].why = on_braked(n, i) < i->seq          ? ASIDE_BRAKE
				      : log_allowed(n->log, i) < i->seq ? ASIDE_LIMIT
									: ASIDE_CAUSES;
			for (uint32_t h = 0; h < brake_count(n->brake); h++)
				if (brake_at(n->brake, h)->inc == i->inc)
					ret[at].since_ms = brake_at(n->brake, h)->wall_ms;
		}
		ret[at].bundles++;
		ret[at].bytes += u->len;
	}
	return count;
}

/* ---- logs that have forked ---- */

uint32_t node_forks(struct node *n, struct node_fork *ret, uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < log_forks(n->log) && count < max; k++) {
		const struct log_fork *f = log_fork_at(n->log, k);
		const struct log_inc *i = forked(n, f);
		if (i)
			ret[count++] = (struct node_fork){i->device, f->at};
	}
	return count;
}

uint64_t node_branch(struct node *n, uint64_t inc, uint32_t k)
{
	for (uint32_t a = 0; a < log_incs(n->log); a++) {
		const struct log_inc *i = log_inc_at(n->log, a);
		if (i->trunk.inc == inc && k-- == 0)
			return i->inc;
	}
	return 0;
}

/* ---- an own incarnation that others know more of ---- */

bool node_accept_outlived(const struct node *n, const struct vector *theirs)
{
	const struct log_inc *i = log_find(n->log, log_current(n->log));

	return i && n->started && vector_get(theirs, i->inc) > i->seq;
}

enum err node_accept_told(struct node *n, const struct vector *theirs)
{
	if (!log_current(n->log) || !n->started)
		return ERR_OK;
	n->unconfirmed = false;
	if (!node_accept_outlived(n, theirs))
		return ERR_OK;
	step_report(
		&n->step, true,
		"this store is older than what other devices have of it: was it put back from a "
		"backup?  It goes on from here as a new incarnation; what was changed since "
		"comes back from the others");
	return node_begin_incarnation(n);
}

enum err node_accept_write(struct node *n)
{
	if (!n->unconfirmed)
		return ERR_OK;
	n->unconfirmed = false;
	return node_begin_incarnation(n);
}

/* ---- an own incarnation that is limited ---- */

/* Another life of this device goes on under its numbers: as another incarnation, and so does this
 * one. */
static enum err go_on_from_fork(struct node *n)
{
	enum err e = node_begin_incarnation(n);

	node_accept_look(n);
	return e;
}

static bool has_forked(const struct node *n)
{
	return log_own_forked(n->log) && !n->unsettled && !outbox_busy(n->outbox);
}

/* Its incarnation is limited, and nothing stands in the way of a new one. */
static bool limited_due(const struct node *n)
{
	return n->own_limited && !n->unsettled && !outbox_count(n->outbox) &&
	       !outbox_busy(n->outbox) && !content_works(n->content) &&
	       roster_role(n->roster, &n->config.device.pub) >= ROLE_WRITER;
}

bool node_accept_due(const struct node *n)
{
	return has_forked(n) || limited_due(n);
}

/* When nothing own is under way: if its incarnation is limited, and it may write, a new one.  In a
 * step that must write nothing that is left to the next tick. */
enum err node_accept_go_on(struct node *n, bool may_write)
{
	if (may_write && has_forked(n))
		return go_on_from_fork(n);
	if (outbox_count(n->outbox) || outbox_busy(n->outbox) || content_works(n->content))
		return ERR_OK;
	if (log_own_done(n->log))
		node_accept_look(n);
	if (!may_write || !limited_due(n))
		return ERR_OK;
	struct hash head;
	enum err e = ERR_OK;
	roster_head(n->roster, &head);
	if (roster_limit(n->roster, &n->config.device.pub, &head, 0) != UINT64_MAX)
		e = node_net_join_heads(n); /* no record knows of all that limits this device */
	else
		e = node_begin_incarnation(n);
	node_accept_look(n);
	return e;
}
