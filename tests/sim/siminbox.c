// SPDX-License-Identifier: MIT
/*
 * siminbox.c - see siminbox.h
 *
 * What sys/inbox is in the daemon: bytes become checked structs, and whoever sent what is none, or
 * what there is no room for, is dropped.  An honest device that sends such bytes fails the run,
 * unless its disk gave it others than it had been given.
 */
#include "siminbox.h"
#include "liar.h"
#include "oracle.h"
#include "simnet.h"
#include "simnode.h"
#include "simpool.h"

void siminbox_up(struct simnode *n, uint64_t peer, const struct simnode *other, bool joining)
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

void siminbox_down(struct simnode *n, uint64_t peer)
{
	struct event ev = {.kind = EV_DOWN, .peer = peer};

	(void)simnode_step(n, &ev);
}

/* As the daemon does: it comes back after a while. */
static void step(struct simnode *n, struct event *ev)
{
	uint64_t peer = ev->peer;
	enum err e = simnode_step(n, ev);

	if ((e == ERR_NOSPC || e == ERR_MALFORMED || e == ERR_FORGED) && n->node)
		simnet_drop(n, peer);
}

static void on_data(struct simnode *n, uint64_t peer, struct bytes sealed)
{
	struct event ev = {.kind = EV_PIECE, .peer = peer};
	struct wr plain = {0};

	oracle_name(n->w, sealed, &ev.piece.name);
	if (!node_expects(n->node, peer, &ev.piece.name, &ev.piece.kind))
		return; /* also what is rotten */
	if (ev.piece.kind == SEAL_NODE) {
		enum err e = simpool_node(n, sealed, &plain);
		if (e && e != ERR_NOENT)
			world_fail(n->w, "node %u: a manifest node does not open: %s", n->no,
				   err_text(e));
	}
	ev.piece.stored = (uint32_t)sealed.len;
	ev.piece.addr = simdisk_pack(&n->disk, ev.piece.kind, &ev.piece.name, sealed);
	ev.piece.plain = wr_view(&plain);
	step(n, &ev);
	wr_fini(&plain);
}

static void on_bundle(struct simnode *n, uint64_t peer, struct bytes raw, bool rotten)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = peer};
	enum err e = simpool_open(n, raw, true, &ev.bundle.take);

	if (!e)
		step(n, &ev);
	else if (rotten || simnet_lies(n, peer))
		simnet_drop(n, peer);
	else
		world_fail(n->w, "node %u: a bundle does not open: %s", n->no, err_text(e));
}

static bool to_event(const struct wire_message *m, struct event *ev)
{
	switch ((int)m->type) {
	case WIRE_JOIN:
		ev->kind = EV_JOIN;
		ev->join = m->join;
		return true;
	case WIRE_REFUSE:
		ev->kind = EV_REFUSE;
		ev->refuse.code = m->refuse.code;
		ev->refuse.text = m->refuse.text;
		return true;
	case WIRE_VECTOR:
		ev->kind = EV_VECTOR;
		ev->vector.take_applied = m->vector.applied;
		ev->vector.heads = m->vector.heads;
		ev->vector.roster = m->vector.roster;
		return true;
	case WIRE_WANT:
	case WIRE_NO:
	case WIRE_CANCEL:
		ev->kind = m->type == WIRE_WANT ? EV_WANT : m->type == WIRE_NO ? EV_NO : EV_CANCEL;
		ev->names.at = m->names.at;
		ev->names.count = m->names.count;
		return true;
	default:
		return false; /* a ping, or not for the core */
	}
}

void siminbox_message(struct simnode *n, uint64_t peer, const struct queued *q)
{
	struct bytes message = {q->bytes, q->len};
	struct event ev = {.peer = peer};
	struct wire_message m;
	enum err e = wire_decode(message, &m);

	if (n->liar)
		liar_hears(n, message);
	if (e && (q->rotten || simnet_lies(n, peer))) {
		simnet_drop(n, peer);
		return;
	}
	if (e) {
		world_fail(n->w, "node %u: a message does not decode: type %u, %s", n->no,
			   message.at[0], err_text(e));
		return;
	}
	if (m.type == WIRE_DATA) {
		on_data(n, peer, m.data);
	} else if (m.type == WIRE_BUNDLE) {
		on_bundle(n, peer, m.bundle, q->rotten);
	} else if (m.type == WIRE_ROSTER || m.type == WIRE_ACK) {
		ev.kind = m.type == WIRE_ACK ? EV_ACK : EV_ROSTER;
		ev.message.bytes = message;
		step(n, &ev);
	} else if (to_event(&m, &ev)) {
		step(n, &ev);
	}
}
