// SPDX-License-Identifier: MIT
/*
 * node_net.c - the node's dealings with other devices: sessions, roster, bundles, pieces
 *
 * Part of node.c (node_impl.h).  Only a member's session may say anything but "let me in"; what a
 * peer claims falsely comes back as ERR_MALFORMED or ERR_FORGED, and the owner ends the session.
 */
#include "core/node_impl.h"

#define JOINERS_MAX 16 /* sessions with devices that are not members */

void node_net_keep_all(struct node *n)
{
	for (uint32_t k = 0; k < roster_count(n->roster); k++) {
		const struct roster_member *m = roster_at(n->roster, k);
		bool self = memcmp(&m->device, &n->config.device.pub, sizeof(m->device)) == 0;
		if (self || m->role == ROLE_NONE || !m->addr[0])
			continue;
		struct action *a = step_act(&n->step, ACT_KEEP);
		if (!a)
			return;
		a->keep.device = m->device;
		memcpy(a->keep.addr, m->addr, MIN(sizeof(a->keep.addr), sizeof(m->addr)));
	}
}

/* ---- roster ---- */

static enum err take_record(struct node *n, struct bytes record, bool *any)
{
	bool fresh = false;
	size_t mark;
	enum err e = roster_add(n->roster, record, &fresh);

	if (e || !fresh)
		return e;
	*any = true;
	struct wr *w = step_entry(&n->step, J_ROSTER, &mark);
	wr_bytes(w, record);
	step_entry_end(&n->step, mark);
	return step_sound(&n->step);
}

/* End a session; until it has ended nothing is said in it and nothing is heard. */
static enum err part_with(struct node *n, struct peer *p, enum err why)
{
	struct action *a = step_act(&n->step, ACT_DROP);

	if (!a)
		return fail(ERR_NOMEM);
	a->drop.peer = p->session;
	a->drop.why = why;
	p->joining = true;
	fetch_down(n->fetch, p->session);
	return ERR_OK;
}

/* Whoever is a member no longer hears no more of the folder. */
static enum err part_with_strangers(struct node *n)
{
	enum err e = ERR_OK;

	for (uint32_t k = 0; k < spread_count(n->spread) && !e; k++) {
		struct peer *p = spread_at(n->spread, k);
		if (!p->joining && !p->we_join && roster_role(n->roster, &p->device) == ROLE_NONE)
			e = part_with(n, p, ERR_REFUSED);
	}
	return e;
}

/* The roster has grown: keys, sessions and bundles that waited may follow. */
static enum err roster_grew(struct node *n, const struct peer *from)
{
	bool had = n->have_keys;

	stable_stir(n->stable, &n->step, false);
	n->waiting_due = log_waiting(n->log) > 0;
	node_refresh_keys(n);
	enum err e = node_begin(n);
	if (!e && !had && n->have_keys && !step_act(&n->step, ACT_JOINED))
		e = fail(ERR_NOMEM);
	node_net_keep_all(n);
	for (uint32_t k = 0; k < spread_count(n->spread) && !e; k++) {
		struct peer *p = spread_at(n->spread, k);
		if (p->we_join && n->have_keys) {
			p->we_join = false;
			fetch_up(n->fetch, p->session);
			e = spread_greet(n->spread, &n->step, p);
		}
	}
	if (!e)
		e = spread_roster(n->spread, &n->step, from);
	if (!e)
		e = part_with_strangers(n);
	spread_owe(n->spread);
	if (!e)
		e = node_accept_decided(n);
	node_accept_look(n);
	return e;
}

static enum err on_roster(struct node *n, const struct event *ev)
{
	struct peer *from = spread_find(n->spread, ev->peer);
	struct wire_message m;
	struct bytes record;
	bool any = false;
	enum err e = wire_decode(ev->message.bytes, &m);

	if (e || !from || m.type != WIRE_ROSTER)
		return e ? e : fail(ERR_MALFORMED);
	while (!e && wire_roster_next(&m.roster.rest, &record))
		e = take_record(n, record, &any);
	if (any) {
		enum err e2 = roster_grew(n, from);
		e = e ? e : e2;
	}
	return e == ERR_AGAIN ? ERR_OK : e; /* a parent is missing: it will come */
}

static enum err add_own(struct node *n, struct wr *record)
{
	bool any = false;
	enum err e = record->bad ? fail(ERR_NOMEM) : take_record(n, wr_view(record), &any);

	return e ? e : roster_grew(n, NULL);
}

static enum err on_join(struct node *n, const struct event *ev)
{
	struct peer *from = spread_find(n->spread, ev->peer);
	struct wr record = {0};

	if (!from || !from->joining)
		return fail(ERR_MALFORMED);
	enum err e = admit_join(&n->step, n->roster, from, ev, log_applied(n->log), &record);
	bool known = e == ERR_EXIST;
	if (!e || known) {
		from->joining = false;
		fetch_up(n->fetch, from->session);
		e = known ? spread_roster(n->spread, &n->step, NULL) : add_own(n, &record);
		if (!e)
			e = spread_greet(n->spread, &n->step, from);
	}
	wr_fini(&record);
	return e == ERR_REFUSED ? ERR_OK : e; /* the refusal is on its way; the joiner hangs up */
}

static enum err on_admit(struct node *n, const struct event *ev)
{
	struct member_record m = {.kind = (uint8_t)ev->member.what,
				  .subject = ev->member.subject,
				  .role = (uint8_t)ev->member.role};
	struct wr record = {0};

	if (!roster_find(n->roster, &m.subject))
		return fail(ERR_NOENT);
	m.vec = vector_ref(log_applied(n->log));
	if (m.kind == MEMBER_ACCEPT) {
		enum err e = node_accept_all(n, &m.subject, &m.vec);
		if (e)
			return e;
	}
	enum err e = roster_write(n->roster, &m, n->step.wall_ms, &record);
	if (!e)
		e = add_own(n, &record);
	vector_unref(m.vec);
	wr_fini(&record);
	return e;
}

static enum err write_addr(struct node *n, struct bytes text)
{
	struct member_record m = {
		.kind = MEMBER_ADDR, .subject = n->config.device.pub, .text = text};
	struct wr record = {0};
	enum err e = roster_write(n->roster, &m, n->step.wall_ms, &record);

	if (!e)
		e = add_own(n, &record);
	wr_fini(&record);
	return e;
}

enum err node_net_join_heads(struct node *n)
{
	const struct roster_member *self = roster_find(n->roster, &n->config.device.pub);
	char addr[ROSTER_ADDR_MAX];

	assert(self);
	memcpy(addr, self->addr, sizeof(addr));
	return write_addr(n, bytes_text(addr));
}

static enum err on_addr(struct node *n, const struct event *ev)
{
	const struct roster_member *self = roster_find(n->roster, &n->config.device.pub);

	if (!self || bytes_equal(bytes_text(self->addr), ev->addr.text))
		return ERR_OK;
	return write_addr(n, ev->addr.text);
}

/* ---- network ---- */

/* Strangers who say that they want to join must not keep members out: of too many the oldest goes.
 * One that may join has said so at once. */
static enum err room_for_joiner(struct node *n)
{
	struct peer *oldest = NULL;
	uint32_t count = 0;

	for (uint32_t k = 0; k < spread_count(n->spread); k++) {
		struct peer *p = spread_at(n->spread, k);
		if (!p->joining)
			continue;
		count++;
		if (!oldest || p->session < oldest->session)
			oldest = p;
	}
	if (count < JOINERS_MAX)
		return ERR_OK;
	uint64_t session = oldest->session;
	enum err e = part_with(n, oldest, ERR_FULL);
	spread_down(n->spread, session);
	return e;
}

static enum err on_up(struct node *n, const struct event *ev)
{
	struct peer new = {.session = ev->peer,
			   .device = ev->up.device,
			   .joining = ev->up.joining,
			   .we_join = ev->up.we_join};
	struct peer *p;

	memcpy(new.hash, ev->up.hash, sizeof(new.hash));
	memcpy(new.secret, ev->up.secret, sizeof(new.secret));
	enum err e = new.joining ? room_for_joiner(n) : ERR_OK;
	if (!e)
		e = spread_up(n->spread, &new, &p);
	if (e)
		return e;
	if (p->we_join)
		return admit_ask(&n->step, p, &n->config.device.pub, n->config.device_name);
	if (p->joining)
		return ERR_OK;
	fetch_up(n->fetch, p->session);
	return spread_greet(n->spread, &n->step, p);
}

static enum err on_down(struct node *n, uint64_t session)
{
	fetch_down(n->fetch, session);
	spread_down(n->spread, session);
	return ERR_OK;
}

/* The peer of an event that only a member may send. */
static struct peer *member_of(struct node *n, const struct event *ev)
{
	struct peer *p = spread_find(n->spread, ev->peer);

	return p && !p->joining && !p->we_join ? p : NULL;
}

/* Where its last bundle of a log is another than ours under that number, one of a fork is missing
 * on either side. */
static enum err look_at_heads(struct node *n, struct peer *p, const struct event *ev)
{
	const struct vector *v = ev->vector.take_applied;
	static const uint8_t none[WIRE_HEAD];
	struct where at;

	for (uint32_t k = 0; k < v->count && ev->vector.heads.len; k++) {
		const uint8_t *head = ev->vector.heads.at + (size_t)k * WIRE_HEAD;
		const struct log_inc *i = log_find(n->log, v->at[k].inc);
		if (!i || i->seq != v->at[k].seq || memcmp(head, none, WIRE_HEAD) == 0 ||
		    memcmp(head, i->last.b, WIRE_HEAD) == 0)
			continue;
		if (p->asked.inc == i->inc && p->asked.seq == i->seq)
			continue;
		p->asked = (struct where){i->inc, i->seq};
		log_doubts(n->log, p->asked);
		enum err e =
			log_doubt(n->log, &at) ? spread_again(n->spread, &n->step, p, at) : ERR_OK;
		if (e)
			return e;
	}
	return ERR_OK;
}

static enum err on_vector(struct node *n, const struct event *ev)
{
	struct peer *p = member_of(n, ev);

	if (!p) {
		vector_unref(ev->vector.take_applied);
		return fail(ERR_MALFORMED);
	}
	outbox_stir(n->outbox);
	enum err e = node_accept_told(n, ev->vector.take_applied);
	if (!e)
		e = look_at_heads(n, p, ev);
	if (e) {
		vector_unref(ev->vector.take_applied);
		return e;
	}
	if (!p->greeted)
		stable_stir(n->stable, &n->step, true);
	return spread_vector(n->spread, &n->step, p, ev->vector.take_applied, &ev->vector.roster);
}

/* What is ready, but no more in one step than its journal entry may hold. */
enum err node_net_apply_waiting(struct node *n)
{
	const struct log_judge judge = {n, node_judge};
	struct where doubted;
	bool more = true;
	enum err e = ERR_OK;

	n->waiting_due = false;
	while (more && !e && !n->waiting_due) {
		e = log_ready(n->log, &n->step, &judge, &more);
		n->waiting_due = more && n->step.acts->journal.len > NODE_APPLY_BYTES_MAX;
		if (more)
			spread_owe(n->spread);
	}
	if (!e && log_doubt(n->log, &doubted))
		e = spread_again(n->spread, &n->step, NULL, doubted);
	return e;
}

static enum err on_bundle(struct node *n, const struct event *ev)
{
	const struct log_judge judge = {n, node_judge};
	struct peer *p = member_of(n, ev);
	struct bundle *b = ev->bundle.take;
	struct where in = {b->head.inc, b->head.seq};
	struct device_id author = b->head.device;
	enum log_verdict verdict = LOG_KNOWN;

	if (!p || memcmp(&b->head.folder, &n->config.folder, sizeof(b->head.folder)) != 0) {
		bundle_free(b);
		return fail(ERR_MALFORMED);
	}
	enum err e = spread_came(n->spread, p, in);
	if (e) {
		bundle_free(b);
		return e;
	}
	e = log_take(n->log, &n->step, &judge, b, &verdict);
	if (log_doubt(n->log, &in)) {
		enum err e2 = spread_again(n->spread, &n->step, p, in);
		e = e2 ? e2 : e;
	}
	if (e == ERR_REFUSED) {
		step_report(&n->step, true, "a bundle of a device that may not write was refused");
		return ERR_OK; /* who passes it on need not know */
	}
	if ((e == ERR_FORGED || e == ERR_MALFORMED) &&
	    memcmp(&author, &p->device, sizeof(author)) != 0) {
		step_report(&n->step, true, "a bundle that does not fit its log was dropped");
		return ERR_OK; /* its author signed it; who passes it on may not know better */
	}
	if (!e && verdict != LOG_KNOWN)
		e = node_net_apply_waiting(n);
	if (verdict != LOG_APPLIED || log_unapplied(n->log))
		node_accept_look(n);
	spread_owe(n->spread);
	return e;
}

static enum err send_no(struct node *n, uint64_t peer, const struct wr *names)
{
	struct wire_message m = {.type = WIRE_NO};
	struct action *a = step_act(&n->step, ACT_SEND);
	struct wr w = {0};

	if (!a || names->bad)
		return fail(ERR_NOMEM);
	m.names.count = (uint32_t)(names->len / HASH_LEN);
	m.names.at = names->at;
	wire_encode(&w, &m);
	a->send.peer = peer;
	a->send.message = wr_take(&w, &a->send.len);
	return a->send.message ? ERR_OK : fail(ERR_NOMEM);
}

static enum err on_want(struct node *n, const struct event *ev)
{
	struct peer *p = member_of(n, ev);
	struct wr lacking = {0};
	enum err e = p ? ERR_OK : fail(ERR_MALFORMED);

	for (uint32_t k = 0; k < ev->names.count && !e; k++) {
		struct hash name;
		uint64_t addr;
		uint32_t stored;
		uint8_t kind;
		memcpy(name.b, ev->names.at + (size_t)k * HASH_LEN, HASH_LEN);
		e = mapping_piece(n->kv, &name, &addr, &kind, &stored);
		if (e == ERR_NOENT) {
			wr_raw(&lacking, name.b, HASH_LEN);
			e = ERR_OK;
			continue;
		}
		struct action *a = e ? NULL : step_act(&n->step, ACT_SEND_PIECE);
		if (!a)
			continue;
		a->stored.peer = ev->peer;
		a->stored.addr = addr;
		a->stored.len = stored;
		p->served += stored;
	}
	if (!e && lacking.len)
		e = send_no(n, ev->peer, &lacking);
	wr_fini(&lacking);
	return e;
}

static enum err on_no(struct node *n, const struct event *ev)
{
	for (uint32_t k = 0; k < ev->names.count; k++) {
		struct hash name;
		memcpy(name.b, ev->names.at + (size_t)k * HASH_LEN, HASH_LEN);
		fetch_no(n->fetch, &n->step, ev->peer, &name);
	}
	return ERR_OK;
}

/* The plaintext of a node is checked here, once: whoever reads it later trusts it. */
static enum err take_node(struct node *n, const struct event *ev)
{
	struct entry *scratch = calloc(MANIFEST_NODE_MAX, sizeof(*scratch));
	uint8_t depth;
	uint32_t count;
	size_t mark;

	if (!scratch)
		return fail(ERR_NOMEM);
	enum err e = node_decode(ev->piece.plain, &depth, scratch, &count);
	free(scratch);
	if (e)
		return e;
	struct wr *w = step_entry(&n->step, J_NODE, &mark);
	wr_raw(w, ev->piece.name.b, HASH_LEN);
	wr_bytes(w, ev->piece.plain);
	step_entry_end(&n->step, mark);
	return mapping_put_node(n->kv, &ev->piece.name, ev->piece.plain);
}

static enum err on_piece(struct node *n, const struct event *ev)
{
	struct peer *p = spread_find(n->spread, ev->peer);
	enum err e = ev->piece.kind == SEAL_NODE ? take_node(n, ev) : ERR_OK;

	if (!e)
		e = mapping_put_piece(n->kv, &ev->piece.name, ev->piece.kind, ev->piece.addr,
				      ev->piece.stored);
	if (e)
		return e;
	if (p)
		p->fetched += ev->piece.stored;
	n->pieces++;
	n->piece_bytes += ev->piece.stored;
	fetch_arrived(n->fetch, &n->step, &ev->piece.name);
	return ERR_OK;
}

static enum err on_refuse(struct node *n, const struct event *ev)
{
	struct peer *p = spread_find(n->spread, ev->peer);
	struct action *a = p && p->we_join ? step_act(&n->step, ACT_REFUSED) : NULL;

	if (!a)
		return p ? ERR_OK : fail(ERR_MALFORMED);
	a->refused.code = ev->refuse.code;
	size_t len = MIN(ev->refuse.text.len, sizeof(a->refused.text) - 1);
	memcpy(a->refused.text, ev->refuse.text.at, len);
	return ERR_OK;
}

/* ---- the network's events ---- */

static enum err on_names(struct node *n, const struct event *ev)
{
	if (ev->kind == EV_WANT)
		return on_want(n, ev);
	if (ev->kind == EV_NO)
		return on_no(n, ev);
	return ERR_OK; /* EV_CANCEL: what was asked for is on its way already */
}

enum err node_net(struct node *n, struct event *ev)
{
	switch ((int)ev->kind) {
	case EV_UP:
		return on_up(n, ev);
	case EV_DOWN:
		return on_down(n, ev->peer);
	case EV_ROSTER:
		return on_roster(n, ev);
	case EV_VECTOR:
		return on_vector(n, ev);
	case EV_ACK:
		return node_tidy_ack(n, ev);
	case EV_BUNDLE:
		return on_bundle(n, ev);
	case EV_JOIN:
		return on_join(n, ev);
	case EV_REFUSE:
		return on_refuse(n, ev);
	case EV_PIECE:
		return on_piece(n, ev);
	default:
		return on_names(n, ev);
	}
}

enum err node_net_admin(struct node *n, const struct event *ev)
{
	return ev->kind == EV_ADMIT ? on_admit(n, ev) : on_addr(n, ev);
}
