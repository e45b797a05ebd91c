// SPDX-License-Identifier: MIT
/*
 * node_tidy.c - forgetting what has been removed, once every member has heard of it
 *
 * Part of node.c (node_impl.h).  core/stable tells what every member has applied, core/forget what
 * may go below that; here is when to look.  What a step removed is looked at TIDY_USEC later; what
 * waits for other members, when one of them has acknowledged more; for own records, when the next
 * bundle is out; for a program that has it open, when a file is closed.  Nothing else wakes.
 */
#include "core/node_impl.h"

#define TIDY_USEC (30u * 1000 * 1000) /* from a change to the look at what it removed */
#define TIDY_ROWS 256 /* forgotten in one step */

/* The oldest of what this device has given a clock and not published. */
static void held_back(struct node *n, struct oldest *ret)
{
	outbox_held(n->outbox, ret);
	content_held(n->content, ret);
}

/*
 * What this device acknowledges: all that it will publish from now on has seen it.  What is held
 * back has seen less, its own log included; vectors rise with clocks, so the oldest bounds all.
 */
static struct vector *acked(struct node *n, const struct oldest *h)
{
	const struct vector *applied = log_applied(n->log);

	if (h->t == UINT64_MAX)
		return applied ? vector_ref(applied) : vector_new(NULL, 0);
	struct vector *floor = vector_with(h->vec, h->own.inc, h->own.seq);
	struct vector *v = floor ? vector_meet(applied, floor) : NULL;
	vector_unref(floor);
	return v;
}

static bool busy(void *arg, struct inode_id id)
{
	struct node *n = arg;

	return content_busy(n->content, id);
}

static enum err tidy(struct node *n, const struct oldest *h, const struct vector *stable)
{
	struct forget_below b = {.applied = log_applied(n->log),
				 .stable = stable,
				 .held = h->t,
				 .busy = busy,
				 .arg = n,
				 .date = n->tidy_due <= n->step.now,
				 .rows = TIDY_ROWS};
	struct forgetting left;
	struct forgotten done;
	enum err e = view_forget(n->view, &b, &done);

	if (!e)
		e = view_forgetting(n->view, &left);
	if (e)
		return e;
	/* What went may have been the last to name a directory, and behind what waited for own
	 * records more may wait: look at once.  What is in use is listed again each time. */
	bool some = done.inodes + done.heads > 0 || (done.dated && !done.busy);
	bool again = done.more || (left.ready && some);
	if (b.date)
		n->tidy_due = UINT64_MAX;
	if (again)
		n->tidy_due = n->step.now;
	n->tidy_busy = done.busy > 0;
	return ERR_OK;
}

enum err node_tidy_tick(struct node *n)
{
	struct oldest h;
	bool news = false;

	if (n->step.now < node_tidy_deadline(n))
		return ERR_OK;
	held_back(n, &h);
	struct vector *mine = acked(n, &h);
	if (!mine)
		return fail(ERR_NOMEM);
	enum err e = stable_tick(n->stable, &n->step, mine, &news);
	if (!e && n->started && (news || n->tidy_due <= n->step.now)) {
		struct vector *stable = stable_vector(n->stable, mine);
		e = stable ? tidy(n, &h, stable) : fail(ERR_NOMEM);
		vector_unref(stable);
	}
	vector_unref(mine);
	return e;
}

enum err node_tidy_ack(struct node *n, const struct event *ev)
{
	struct peer *p = spread_find(n->spread, ev->peer);
	struct wire_message m;
	enum err e = wire_decode(ev->message.bytes, &m);

	if (!e && (!p || p->joining || p->we_join || m.type != WIRE_ACK))
		e = fail(ERR_MALFORMED);
	return e ? e : stable_take(n->stable, &n->step, p, m.ack);
}

void node_tidy_note(struct node *n, const struct event *ev)
{
	const struct vector *applied = log_applied(n->log);

	bool some = n->step.acts->journal.len || ev->kind == EV_START;
	if (some || (n->tidy_busy && ev->kind == EV_RELEASE))
		n->tidy_due = MIN(n->tidy_due, n->step.now + TIDY_USEC);
	if (applied == n->tidy_seen) /* as it is held, no other can be at that address */
		return;
	stable_stir(n->stable, &n->step, false);
	vector_ref(applied);
	vector_unref(n->tidy_seen);
	n->tidy_seen = applied;
}

uint64_t node_tidy_deadline(const struct node *n)
{
	uint64_t due = stable_deadline(n->stable);

	return n->started ? MIN(n->tidy_due, due) : due;
}
