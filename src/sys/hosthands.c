// SPDX-License-Identifier: MIT
/*
 * hosthands.c - carry out the actions of a step
 *
 * Messages to one session must leave in the order of the steps that made them, whichever threads
 * those ran on.  So they are queued under the node's lock, and whoever comes first hands the
 * queue to the link, one at a time; bytes of bundles are read from the journal at that moment.
 * Pieces have no order; they are read by the pool and travel as bulk.
 *
 * A bundle leaves only when the journal is durable up to its end: a power cut must not take it
 * from its author, who would put the same records into another bundle, and what saw what would
 * depend on which of the two a member took them from (found by the simulator).  Nor may a power
 * cut take what the device has acknowledged: that waits likewise.  The sync is a job of the pool,
 * so neither a program nor the network waits for it; other messages need not wait.
 *
 * I1  each queue holds messages in the order of their steps; only the thread that set sending
 *     takes from it
 */
#include "sys/host_impl.h"
#include "sys/rand.h"
#include <stdlib.h>

/* ---- the queues to the link ---- */

static void outgoing_free(struct outgoing *o)
{
	free(o->message);
	free(o);
}

static struct outgoing *outgoing_of(struct action *a)
{
	struct outgoing *o = calloc(1, sizeof(*o));

	if (!o) {
		report(REPORT_ERROR, "out of memory: a message to a peer is lost");
		return NULL;
	}
	o->kind = a->kind;
	o->class = LINK_CONTROL;
	if (a->kind == ACT_SEND) {
		o->peer = a->send.peer;
		o->class = a->send.bulk ? LINK_BULK : LINK_CONTROL;
		o->message = a->send.message;
		o->len = a->send.len;
		a->send.message = NULL; /* ours now */
	} else {
		o->peer = a->stored.peer;
		o->addr = a->stored.addr;
		o->len = a->stored.len;
		o->end = o->addr + o->len;
	}
	return o;
}

void hosthands_queue(struct host *h, struct actions *a)
{
	for (uint32_t i = 0; i < a->count; i++) {
		struct action *act = &a->at[i];

		if ((act->kind != ACT_SEND && act->kind != ACT_SEND_BUNDLE) || !h->c.link)
			continue;
		struct outgoing *o = outgoing_of(act);

		if (!o)
			continue;
		bool waits = act->kind == ACT_SEND_BUNDLE || act->send.durable;
		struct queue *q = waits ? &h->bundles : &h->messages;

		if (act->kind == ACT_SEND && waits)
			o->end = files_journal_end(h->files);
		(void)pthread_mutex_lock(&h->out_mutex);
		*q->last = o;
		q->last = &o->next;
		(void)pthread_mutex_unlock(&h->out_mutex);
	}
}

/* A message of one type byte and len stored bytes, which fill() reads. */
static enum err framed(struct host *h, enum wire_type type, uint64_t addr, size_t len,
		       uint8_t **ret)
{
	uint8_t *m = malloc(1 + len);

	if (!m)
		return fail(ERR_NOMEM);
	m[0] = (uint8_t)type;
	enum err e = type == WIRE_BUNDLE ? files_journal_read(h->files, addr, m + 1, len)
					 : files_pack_read(h->files, addr, m + 1, len);

	if (e) {
		free(m);
		return e;
	}
	*ret = m;
	return ERR_OK;
}

static void outgoing_send(struct host *h, struct outgoing *o)
{
	enum err e = ERR_OK;

	if (o->kind == ACT_SEND_BUNDLE) {
		e = framed(h, WIRE_BUNDLE, o->addr, o->len, &o->message);
		o->len++;
	}
	if (!e) {
		e = link_send(h->c.link, o->peer, o->class, o->message, o->len);
		o->message = NULL; /* taken, also on error */
	}
	if (e && e != ERR_CLOSED) {
		report(REPORT_WARN, "cannot send to a peer: %s", err_text(e));
		link_close(h->c.link, o->peer, e); /* it comes again and asks for what it lacks */
	}
}

static void send_list(struct host *h, struct outgoing *list)
{
	while (list) {
		struct outgoing *next = list->next;

		outgoing_send(h, list);
		outgoing_free(list);
		list = next;
	}
}

/* Take all of a queue, if there is something and nobody is at it (I1). */
static struct outgoing *take(struct host *h, struct queue *q)
{
	struct outgoing *list = NULL;

	(void)pthread_mutex_lock(&h->out_mutex);
	if (!q->sending && q->first) {
		list = q->first;
		q->first = NULL;
		q->last = &q->first;
		q->sending = true;
	}
	(void)pthread_mutex_unlock(&h->out_mutex);
	return list;
}

static void done(struct host *h, struct queue *q)
{
	(void)pthread_mutex_lock(&h->out_mutex);
	q->sending = false;
	(void)pthread_mutex_unlock(&h->out_mutex);
}

static uint64_t end_of(const struct outgoing *list)
{
	uint64_t end = 0;

	for (; list; list = list->next)
		end = MAX(end, list->end);
	return end;
}

struct due { /* bundles taken from their queue that wait for a sync */
	struct host *h;
	struct outgoing *list;
};

static void bundles_job(void *arg)
{
	struct due *d = arg;
	struct host *h = d->h;

	if (files_journal_sync(h->files, end_of(d->list)) == ERR_OK) {
		send_list(h, d->list);
	} else { /* the store is broken and has said so: nothing is published any more */
		while (d->list) {
			struct outgoing *next = d->list->next;

			outgoing_free(d->list);
			d->list = next;
		}
	}
	free(d);
	done(h, &h->bundles);
	hosthands_flush(h);
}

static void bundles_flush(struct host *h)
{
	struct outgoing *list;

	while ((list = take(h, &h->bundles))) {
		struct due *d = NULL;

		if (!files_journal_is_synced(h->files, end_of(list)))
			d = malloc(sizeof(*d));
		if (d) {
			*d = (struct due){h, list};
			if (pool_submit(h->pool, bundles_job, d) == ERR_OK)
				return;
			free(d);
		}
		if (files_journal_sync(h->files, end_of(list)) == ERR_OK)
			send_list(h, list); /* without memory for a job: here and now */
		done(h, &h->bundles);
	}
}

void hosthands_flush(struct host *h)
{
	struct outgoing *list;

	while ((list = take(h, &h->messages))) {
		send_list(h, list);
		done(h, &h->messages);
	}
	bundles_flush(h);
}

static void queue_fini(struct queue *q)
{
	while (q->first) {
		struct outgoing *o = q->first;

		q->first = o->next;
		outgoing_free(o);
	}
}

void hosthands_fini(struct host *h)
{
	queue_fini(&h->messages);
	queue_fini(&h->bundles);
	while (h->kept) {
		struct kept *k = h->kept;

		h->kept = k->next;
		free(k);
	}
}

/* ---- pieces ---- */

struct piece_job {
	struct host *h;
	uint64_t peer, addr;
	uint32_t len;
};

static void piece_send(void *arg)
{
	struct piece_job *j = arg;
	uint8_t *m = NULL;
	enum err e = framed(j->h, WIRE_DATA, j->addr, j->len, &m);

	if (!e)
		e = link_send(j->h->c.link, j->peer, LINK_BULK, m, 1 + (size_t)j->len);
	if (e && e != ERR_CLOSED) {
		report(REPORT_WARN, "cannot serve a piece: %s", err_text(e));
		link_close(j->h->c.link, j->peer, e);
	}
	free(j);
}

static void piece_queue(struct host *h, const struct action *a)
{
	struct piece_job *j = malloc(sizeof(*j));

	if (!j || !h->c.link) {
		free(j);
		return;
	}
	*j = (struct piece_job){h, a->stored.peer, a->stored.addr, a->stored.len};
	if (pool_submit(h->pool, piece_send, j))
		free(j);
}

/* ---- bundles ---- */

void hosthands_bundle(struct host *h, struct action *a, struct event *ret)
{
	struct bundle_head *head = &a->bundle.head;
	struct seal_keys keys;
	struct wr sealed = {0}, whole = {0};
	uint8_t nonce[32]; /* SEAL_NONCE of them are used */
	enum err e = host_keys(h, head->epoch, &keys);

	memset(ret, 0, sizeof(*ret));
	ret->kind = EV_BUNDLE_SEALED;
	ret->bundle_sealed.seq = head->seq;
	if (!e) {
		rand_seed(nonce);
		e = pool_seal(&sealed, &keys, &h->folder, SEAL_BUNDLE,
			      (struct bytes){a->bundle.body, a->bundle.len}, nonce);
	}
	if (!e) {
		head->body = wr_view(&sealed);
		bundle_encode(&whole, head);
		bundle_sign(&whole, 0, h->c.device);
		e = whole.bad ? fail(ERR_NOMEM) : ERR_OK;
	}
	ret->bundle_sealed.err = e;
	if (!e)
		ret->bundle_sealed.take_raw = wr_take(&whole, &ret->bundle_sealed.len);
	wr_fini(&sealed);
	wr_fini(&whole);
}

/* ---- the rest ---- */

/* For the loop's thread: host_tick() tells the link. */
static void keep(struct host *h, const struct action *a)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (!k)
		return;
	k->device = a->keep.device;
	memcpy(k->addr, a->keep.addr, sizeof(k->addr));
	(void)pthread_mutex_lock(&h->small);
	struct kept **last = &h->kept;

	while (*last)
		last = &(*last)->next;
	*last = k;
	(void)pthread_mutex_unlock(&h->small);
}

static void to_front(struct host *h, const struct action *a)
{
	(void)pthread_rwlock_rdlock(&h->front_lock);
	if (h->have_front) {
		const struct host_front *f = &h->front;

		if (a->kind == ACT_READ_AGAIN)
			f->read_again(f->arg, a->read.tag, a->read.err);
		else if (a->kind == ACT_NOTIFY)
			f->notify(f->arg, &a->notify);
		else
			f->stale(f->arg, a->file.inode, a->file.file);
	}
	(void)pthread_rwlock_unlock(&h->front_lock);
}

static void front_notified(struct host *h)
{
	(void)pthread_rwlock_rdlock(&h->front_lock);
	if (h->have_front)
		h->front.notified(h->front.arg);
	(void)pthread_rwlock_unlock(&h->front_lock);
}

static void joined(struct host *h, enum err e, const char *text)
{
	(void)pthread_mutex_lock(&h->lock);
	bool first = h->joining;

	h->joining = false;
	(void)pthread_mutex_unlock(&h->lock);
	if (first && h->c.on_joined)
		h->c.on_joined(h->c.on_joined_arg, e, text);
}

static void carry_one(struct host *h, struct action *a)
{
	switch (a->kind) {
	case ACT_SEAL: {
		enum err e = sealer_submit(h->sealer, a->seal.work);

		if (e && e != ERR_CLOSED)
			report(REPORT_ERROR, "cannot seal a file: %s", err_text(e));
		break;
	}
	case ACT_SEND_PIECE:
		piece_queue(h, a);
		break;
	case ACT_READ_AGAIN:
	case ACT_NOTIFY:
	case ACT_NEW_DATA:
		to_front(h, a);
		break;
	case ACT_DROP:
		if (h->c.link)
			link_close(h->c.link, a->drop.peer, a->drop.why);
		break;
	case ACT_KEEP:
		keep(h, a);
		break;
	case ACT_JOINED:
		joined(h, ERR_OK, "joined");
		break;
	case ACT_REFUSED:
		joined(h, ERR_REFUSED, a->refused.text);
		break;
	case ACT_REPORT:
		report(a->report.warn ? REPORT_WARN : REPORT_INFO, "%s", a->report.text);
		break;
	case ACT_SEND: /* in the queue */
	case ACT_SEND_BUNDLE:
	case ACT_BUNDLE: /* host_end() */
		break;
	}
}

void hosthands_carry(struct host *h, struct actions *a)
{
	bool told = false;

	hosthands_flush(h);
	for (uint32_t i = 0; i < a->count; i++) {
		carry_one(h, &a->at[i]);
		told = told || a->at[i].kind == ACT_NOTIFY;
	}
	if (told)
		front_notified(h);
}
