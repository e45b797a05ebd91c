// SPDX-License-Identifier: MIT
/*
 * reads.c - see reads.h
 *
 * I1  a parked read waits for at least one piece, and has a deadline
 * I2  the parked reads are a list in order of their coming; with one timeout, the first is due
 * first but for those parked while nobody was connected, so all deadlines are looked at
 */
#include "core/reads.h"

struct parked {
	uint64_t tag, deadline;
	struct inode_id inode;
	uint32_t lacks;
	struct parked *prev, *next;
};
struct failure {
	struct inode_id inode;
	enum err err;
	int64_t wall_ms;
};
struct reads {
	struct content *content;
	struct fetch *fetch;
	struct ahead *siblings;
	uint64_t timeout_usec, due;
	struct parked *first, *last;
	uint32_t count;
	struct failure failures[READS_FAILURES];
	uint32_t failures_next;
	struct view *names; /* NULL: none are told */
	uint64_t said_since; /* lines to the log since then */
	uint32_t said;
	struct missing missing[NODE_PIECES_MAX];
	struct piece ahead[NODE_PIECES_MAX];
};

struct reads *reads_new(struct content *c, struct fetch *f, struct ahead *a, uint32_t timeout_ms)
{
	struct reads *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->content = c;
	r->fetch = f;
	r->siblings = a;
	r->timeout_usec = (uint64_t)timeout_ms * 1000;
	r->due = UINT64_MAX;
	return r;
}

void reads_names(struct reads *r, struct view *names)
{
	r->names = names;
}

void reads_free(struct reads *r)
{
	while (r && r->first) {
		struct parked *p = r->first;
		r->first = p->next;
		free(p);
	}
	free(r);
}

static struct parked *find(const struct reads *r, uint64_t tag)
{
	struct parked *p = r->first;

	while (p && p->tag != tag)
		p = p->next;
	return p;
}

static void unpark(struct reads *r, struct parked *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		r->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	else
		r->last = p->prev;
	free(p);
	r->count--;
}

static void note_failure(struct reads *r, const struct step *s, struct inode_id inode, enum err e)
{
	r->failures[r->failures_next++ % READS_FAILURES] = (struct failure){inode, e, s->wall_ms};
}

bool reads_last_failure(const struct reads *r, struct inode_id inode, enum err *e, int64_t *wall_ms)
{
	for (uint32_t k = r->failures_next; k > 0 && r->failures_next - k < READS_FAILURES; k--) {
		const struct failure *f = &r->failures[(k - 1) % READS_FAILURES];
		if (!inode_equal(f->inode, inode))
			continue;
		*e = f->err;
		*wall_ms = f->wall_ms;
		return true;
	}
	return false;
}

/* Into the log, a few at a time: whoever searches a tree offline fails at every file of it. */
static void say_failure(struct reads *r, struct step *s, struct inode_id inode, enum err e)
{
	char path[READS_PATH_SHOWN];
	const char *shown = "a file that has no path, or a long one,";

	if (s->now - r->said_since >= READS_SAY_USEC) {
		r->said_since = s->now;
		r->said = 0;
	}
	if (r->said++ >= READS_SAY_MAX)
		return;
	if (r->names && !view_path(r->names, inode, path, sizeof(path))) {
		for (char *c = path; *c; c++) /* names are bytes; a log is lines */
			*c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
		shown = path;
	}
	step_report(s, true, "a read of %s failed: %s; peerfs peers tells who is connected", shown,
		    err_text(e));
}

/* The read is over as parked: let the front ask again, or fail it. */
static void wake(struct reads *r, struct step *s, struct parked *p, enum err err)
{
	struct action *a = step_act(s, ACT_READ_AGAIN);

	if (a) {
		a->read.tag = p->tag;
		a->read.err = err;
	}
	if (err) {
		note_failure(r, s, p->inode, err);
		say_failure(r, s, p->inode, err);
		fetch_leave(r->fetch, (struct waiter){WAITER_READ, p->tag});
	}
	unpark(r, p);
}

static enum err park(struct reads *r, struct step *s, const struct event *ev, struct inode_id inode,
		     const struct sink *sink)
{
	bool alone = fetch_peers(r->fetch) == 0;
	struct parked *p = r->count < READS_PARKED_MAX ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return fail(ERR_FULL);
	p->tag = ev->read.tag;
	p->inode = inode;
	p->deadline = s->now + (alone ? READS_ALONE_USEC : r->timeout_usec);
	p->prev = r->last;
	if (r->last)
		r->last->next = p;
	else
		r->first = p;
	r->last = p;
	r->count++;
	r->due = MIN(r->due, p->deadline);
	for (uint32_t k = 0; k < sink->missing_count; k++) {
		struct waiter who = {WAITER_READ, p->tag};
		enum err e = fetch_want(r->fetch, &sink->missing[k], true, who);
		if (e && !p->lacks) {
			unpark(r, p);
			return e;
		}
		if (e)
			break; /* asked again for the rest when these are here */
		p->lacks++;
	}
	return ERR_AGAIN;
}

/* Want what a reader in order will read next, of this file and of those beside it; nobody waits. */
static enum err fetch_ahead(struct reads *r, const struct event *ev, struct inode_id inode,
			    bool absent)
{
	uint64_t from = 0;
	uint64_t len = content_ahead(r->content, ev->read.file, ev->read.off, ev->read.len, &from);

	enum err e = ERR_OK;
	if (!fetch_peers(r->fetch))
		return ERR_OK;
	if (ev->read.off == 0)
		e = ahead_read(r->siblings, inode, absent);
	if (!len || e)
		return e;
	struct sink sink = {.pieces = r->ahead,
			    .max = NODE_PIECES_MAX,
			    .missing = r->missing,
			    .missing_max = NODE_PIECES_MAX};
	struct content_range range = {.file = ev->read.file, .off = from, .len = len};
	e = content_map(r->content, &range, &sink);
	if (!e && sink.blind)
		content_ahead_until(r->content, ev->read.file, from + sink.seen);
	for (uint32_t k = 0; k < sink.missing_count && !e; k++)
		e = fetch_want(r->fetch, &sink.missing[k], false, (struct waiter){WAITER_NONE, 0});
	return e == ERR_FULL ? ERR_OK : e;
}

enum err reads_read(struct reads *r, struct step *s, struct event *ev)
{
	struct content_range range = {
		.file = ev->read.file, .off = ev->read.off, .len = ev->read.len};
	struct sink sink = {.pieces = ev->read.pieces,
			    .max = NODE_PIECES_MAX,
			    .missing = r->missing,
			    .missing_max = NODE_PIECES_MAX};
	enum err e = content_map(r->content, &range, &sink);

	if (e)
		return e;
	if (sink.missing_count) {
		if (ev->read.polite) {
			note_failure(r, s, range.inode, ERR_UNREACHABLE);
			return fail(ERR_UNREACHABLE);
		}
		if (!ev->read.tag || find(r, ev->read.tag))
			return ERR_AGAIN;
		e = park(r, s, ev, range.inode, &sink);
	} else {
		ev->read.count = sink.count;
		ev->read.len = (uint32_t)sink.len;
		ev->read.more = sink.full;
	}
	enum err e2 = fetch_ahead(r, ev, range.inode, sink.missing_count > 0);
	return e ? e : e2;
}

void reads_cancel(struct reads *r, uint64_t tag)
{
	struct parked *p = find(r, tag);

	if (!p)
		return;
	fetch_leave(r->fetch, (struct waiter){WAITER_READ, tag});
	unpark(r, p);
}

void reads_settled(struct reads *r, struct step *s, uint64_t tag, enum err err)
{
	struct parked *p = find(r, tag);

	if (!p)
		return;
	if (err || --p->lacks == 0)
		wake(r, s, p, err);
}

void reads_tick(struct reads *r, struct step *s)
{
	enum err why = fetch_peers(r->fetch) ? ERR_TIMEDOUT : ERR_UNREACHABLE;

	if (r->due > s->now)
		return;
	r->due = UINT64_MAX;
	for (struct parked *p = r->first, *next; p; p = next) {
		next = p->next;
		if (p->deadline <= s->now)
			wake(r, s, p, why);
		else
			r->due = MIN(r->due, p->deadline);
	}
}

uint64_t reads_deadline(const struct reads *r)
{
	return r->due;
}

uint32_t reads_count(const struct reads *r)
{
	return r->count;
}
