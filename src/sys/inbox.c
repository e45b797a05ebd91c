// SPDX-License-Identifier: MIT
/*
 * inbox.c - verify, open and hand on what peers send
 *
 * Bundles are opened by the thread they arrive on: they come in order and stay so, and a small one
 * costs less than waking another thread.  Pieces have no order; the larger ones are hashed and
 * stored by the pool.
 *
 * I1  a piece is stored only if it was asked of that session, under the name that is its hash
 * I2  a node (of a manifest) is opened and decoded before the core hears of it
 * I3  what is inside a signed bundle is its author's doing: who passed it on is not blamed
 */
#include "sys/inbox.h"
#include "sys/pool.h"
#include <stdlib.h>

#define ARRIVING_BYTES_MAX (64u << 20) /* pieces that wait for the pool, of all peers */
#define PIECE_INLINE_MAX (8u << 10) /* smaller pieces are stored by the loop's thread */

/* A peer lied, or there is no room for what it sent: it comes back after a while. */
static void drop(struct host *h, uint64_t session, enum err e)
{
	report(REPORT_WARN, "a peer is dropped: %s", err_text(e));
	link_close(host_link(h), session, e);
}

static void step(struct host *h, struct event *ev)
{
	enum err e = host_step(h, ev);

	if (e == ERR_MALFORMED || e == ERR_FORGED || e == ERR_NOSPC ||
	    (e == ERR_FULL && ev->kind == EV_UP))
		drop(h, ev->peer, e);
}

void inbox_up(struct host *h, uint64_t session, const struct device_id *who, bool joining,
	      const uint8_t hash[NOISE_HASH])
{
	struct event ev = {.kind = EV_UP, .peer = session};

	ev.up.device = *who;
	ev.up.we_join = joining && host_joining(h, ev.up.secret);
	ev.up.joining = joining && !ev.up.we_join;
	memcpy(ev.up.hash, hash, sizeof(ev.up.hash));
	step(h, &ev);
}

void inbox_down(struct host *h, uint64_t session)
{
	struct event ev = {.kind = EV_DOWN, .peer = session};

	step(h, &ev);
}

/* ---- bundles ---- */

static enum err bundle_open(struct host *h, struct bytes raw, struct bundle *b)
{
	struct seal_keys keys;
	size_t len;

	b->raw = malloc(raw.len ? raw.len : 1);
	if (!b->raw)
		return fail(ERR_NOMEM);
	memcpy(b->raw, raw.at, raw.len);
	b->raw_len = raw.len;
	struct bytes whole = {b->raw, raw.len};
	enum err e = bundle_decode(whole, &b->head);

	if (e)
		return e;
	if (memcmp(&b->head.folder, host_folder(h), sizeof(b->head.folder)) != 0)
		return fail(ERR_MALFORMED);
	if (!bundle_verify(whole, &b->head))
		return fail(ERR_FORGED);
	bundle_hash(whole, &b->hash);
	if (host_keys(h, b->head.epoch, &keys))
		return ERR_OK; /* kept and passed on, read when the key comes */
	e = pool_open(b->head.body, &keys, host_folder(h), SEAL_BUNDLE, BUNDLE_BODY_MAX, &b->plain,
		      &len);
	if (!e)
		e = bundle_records(b, len);
	if (e == ERR_NOMEM || !e)
		return e;
	report(REPORT_WARN,
	       "a bundle that its author signed cannot be read: %s; that device's "
	       "log stops here",
	       err_text(e));
	return fail(ERR_REFUSED); /* I3 */
}

static void on_bundle(struct host *h, uint64_t session, struct bytes raw)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = session};
	struct bundle *b = calloc(1, sizeof(*b));
	enum err e = b ? bundle_open(h, raw, b) : fail(ERR_NOMEM);

	if (e) {
		bundle_free(b);
		if (e != ERR_REFUSED)
			drop(h, session, e);
		return;
	}
	ev.bundle.take = b;
	step(h, &ev);
}

/* ---- pieces ---- */

struct arrived {
	struct host *h;
	uint64_t session;
	size_t len;
	uint8_t sealed[];
};

static enum err node_plain(struct host *h, struct bytes sealed, uint8_t **plain, size_t *len)
{
	struct seal_info info;
	struct seal_keys keys;
	enum err e = seal_peek(sealed, &info);

	if (e)
		return e;
	if (host_keys(h, info.epoch, &keys))
		return ERR_OK; /* a helper keeps what it cannot read */
	e = pool_open(sealed, &keys, host_folder(h), SEAL_NODE, NODE_BYTES_MAX, plain, len);
	if (e)
		return e;
	struct entry *at = malloc(MANIFEST_NODE_MAX * sizeof(*at));
	uint8_t depth;
	uint32_t count;

	e = at ? node_decode((struct bytes){*plain, *len}, &depth, at, &count) : fail(ERR_NOMEM);
	free(at);
	return e;
}

static enum err piece_store(struct host *h, uint64_t session, struct bytes sealed)
{
	struct event ev = {.kind = EV_PIECE, .peer = session};
	uint8_t *plain = NULL;
	size_t plain_len = 0;
	struct mark mark;

	hash_blake(sealed, &ev.piece.name);
	host_lock(h);
	bool wanted = node_expects(host_node(h), session, &ev.piece.name, &ev.piece.kind); /* I1 */

	host_unlock(h);
	if (!wanted)
		return ERR_OK; /* asked for and cancelled, or come from another meanwhile */
	enum err e = ev.piece.kind == SEAL_NODE ? node_plain(h, sealed, &plain, &plain_len)
						: ERR_OK; /* I2 */

	if (!e) {
		marks_begin(host_marks(h), &mark);
		e = files_pack_write(host_files(h), ev.piece.kind, &ev.piece.name, sealed,
				     &ev.piece.addr);
		if (!e) {
			marks_wrote(host_marks(h), ev.piece.addr + sealed.len);
			ev.piece.stored = (uint32_t)sealed.len;
			ev.piece.plain = (struct bytes){plain, plain_len};
			e = host_step(h, &ev);
		}
		marks_end(host_marks(h), &mark);
	}
	free(plain);
	return e;
}

static void piece_job(void *arg)
{
	struct arrived *a = arg;
	enum err e = piece_store(a->h, a->session, (struct bytes){a->sealed, a->len});

	if (e)
		drop(a->h, a->session, e);
	(void)host_arriving(a->h, -(int64_t)a->len);
	free(a);
}

static void on_data(struct host *h, uint64_t session, struct bytes sealed)
{
	/* no piece is larger, and no honest peers send more than was asked of all of them */
	if (sealed.len > ENTRY_STORED_MAX) {
		drop(h, session, fail(ERR_MALFORMED));
		return;
	}
	if (host_arriving(h, 0) > ARRIVING_BYTES_MAX) {
		drop(h, session, fail(ERR_FULL));
		return;
	}
	struct arrived *a = sealed.len > PIECE_INLINE_MAX ? malloc(sizeof(*a) + sealed.len) : NULL;

	if (a) {
		a->h = h;
		a->session = session;
		a->len = sealed.len;
		memcpy(a->sealed, sealed.at, sealed.len);
		(void)host_arriving(h, (int64_t)sealed.len);
		if (!host_submit(h, piece_job, a))
			return;
		(void)host_arriving(h, -(int64_t)sealed.len);
		free(a);
	}
	enum err e = piece_store(h, session, sealed);

	if (e)
		drop(h, session, e);
}

/* ---- all messages ---- */

static void on_names(struct host *h, uint64_t session, enum event_kind kind,
		     const struct wire_message *m)
{
	struct event ev = {.kind = kind, .peer = session};

	ev.names.at = m->names.at;
	ev.names.count = m->names.count;
	step(h, &ev);
}

static void on_ping(struct host *h, uint64_t session, uint64_t number)
{
	struct wire_message m = {.type = WIRE_PONG, .number = number};
	struct wr w = {0};
	size_t len;

	wire_encode(&w, &m);
	if (w.bad) {
		wr_fini(&w);
		return;
	}
	uint8_t *bytes = wr_take(&w, &len);

	if (link_send(host_link(h), session, LINK_CONTROL, bytes, len))
		report(REPORT_DEBUG, "a ping stays unanswered");
}

static void on_control(struct host *h, uint64_t session, struct bytes whole,
		       const struct wire_message *m)
{
	struct event ev = {.peer = session};

	switch ((enum wire_type)m->type) {
	case WIRE_JOIN:
		ev.kind = EV_JOIN;
		ev.join = m->join;
		break;
	case WIRE_REFUSE:
		ev.kind = EV_REFUSE;
		ev.refuse.code = m->refuse.code;
		ev.refuse.text = m->refuse.text;
		break;
	case WIRE_ROSTER:
		ev.kind = EV_ROSTER;
		ev.message.bytes = whole;
		break;
	case WIRE_VECTOR:
		ev.kind = EV_VECTOR;
		ev.vector.take_applied = m->vector.applied;
		ev.vector.heads = m->vector.heads;
		ev.vector.roster = m->vector.roster;
		break;
	case WIRE_ACK:
		ev.kind = EV_ACK;
		ev.message.bytes = whole;
		break;
	case WIRE_BUNDLE:
	case WIRE_WANT:
	case WIRE_DATA:
	case WIRE_NO:
	case WIRE_CANCEL:
	case WIRE_PING:
	case WIRE_PONG:
		return;
	}
	step(h, &ev);
}

void inbox_message(struct host *h, uint64_t session, struct bytes message)
{
	struct wire_message m;
	enum err e = wire_decode(message, &m);

	if (e) {
		drop(h, session, e);
		return;
	}
	if (m.type == WIRE_BUNDLE)
		on_bundle(h, session, m.bundle);
	else if (m.type == WIRE_DATA)
		on_data(h, session, m.data);
	else if (m.type == WIRE_WANT)
		on_names(h, session, EV_WANT, &m);
	else if (m.type == WIRE_NO)
		on_names(h, session, EV_NO, &m);
	else if (m.type == WIRE_CANCEL)
		on_names(h, session, EV_CANCEL, &m);
	else if (m.type == WIRE_PING)
		on_ping(h, session, m.number);
	else
		on_control(h, session, message, &m);
}
