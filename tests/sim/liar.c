// SPDX-License-Identifier: MIT
/*
 * liar.c - see liar.h
 *
 * A liar's bundles are told to the oracle like any others: where its role lets it write, they
 * count, and what they take away having seen it is gone by right.
 */
#include "liar.h"
#include "core/log.h"
#include "oracle.h"
#include "simnode.h"
#include "simpool.h"
#include <stdlib.h>

#define HEARD_MAX 24
#define BODY_MAX 4096
#define CLAIMS_MAX 600 /* entries of a vector that nobody can cover */

struct heard {
	uint8_t *at;
	size_t len;
};
struct liar {
	unsigned lies;
	struct heard heard[HEARD_MAX]; /* a ring of messages, its own and others' */
	uint32_t heard_count;
	uint8_t *vector; /* an old one */
	size_t vector_len;
	uint64_t nonce, inc, seq, op, t; /* of its own log */
	struct hash prev;
	struct { /* the other branch of its log, if it has forked: seq 0: it has not */
		uint64_t seq, op;
		struct hash prev;
	} other;
	struct dot others; /* somebody else's record, and its inode */
	struct inode_id inode;
	struct hash first_roster; /* a head from when it was let in */
};

void liar_init(struct simnode *n, unsigned lies)
{
	n->liar = calloc(1, sizeof(*n->liar));
	assert(n->liar);
	n->liar->lies = lies;
}

void liar_free(struct simnode *n)
{
	for (size_t k = 0; n->liar && k < HEARD_MAX; k++)
		free(n->liar->heard[k].at);
	if (n->liar)
		free(n->liar->vector);
	free(n->liar);
}

/* ---- what it says instead ---- */

static uint8_t *copy_of(struct bytes b)
{
	uint8_t *p = malloc(b.len ? b.len : 1);

	assert(p);
	if (b.len)
		memcpy(p, b.at, b.len);
	return p;
}

void liar_hears(struct simnode *n, struct bytes message)
{
	struct heard *h = &n->liar->heard[n->liar->heard_count++ % HEARD_MAX];

	free(h->at);
	*h = (struct heard){copy_of(message), message.len};
}

static void roll_back(struct liar *l, struct simmsg *m)
{
	if (!l->vector) {
		l->vector = copy_of((struct bytes){m->take, m->len});
		l->vector_len = m->len;
		return;
	}
	free(m->take);
	m->take = copy_of((struct bytes){l->vector, l->vector_len});
	m->len = l->vector_len;
}

bool liar_sends(struct simnode *n, struct simmsg *m)
{
	struct liar *l = n->liar;
	uint8_t type = m->take[0];

	if (type == WIRE_JOIN || n->joining)
		return true;
	if (m->len < 100000)
		liar_hears(n, (struct bytes){m->take, m->len});
	bool data = type == WIRE_DATA || type == WIRE_BUNDLE;
	if (data && (l->lies & LIE_WITHHOLD) && world_chance(n->w, 2)) {
		free(m->take);
		return false;
	}
	if (type == WIRE_DATA && (l->lies & LIE_SWAP) && m->len > 1)
		m->take[1 + world_below(n->w, m->len - 1)] ^= (uint8_t)(1 + world_below(n->w, 255));
	if (type == WIRE_VECTOR && (l->lies & LIE_ROLL_BACK) && world_chance(n->w, 2))
		roll_back(l, m);
	return true;
}

/* ---- what it makes up ---- */

static void say(struct simnode *n, struct bytes message)
{
	uint64_t peer;

	for (uint32_t k = 0; simnet_peer(n, k, &peer); k++) {
		if (world_chance(n->w, 4))
			continue;
		struct simmsg m = {copy_of(message), message.len, false, false};
		simnet_send(n, peer, &m);
	}
}

static void garbage(struct simnode *n)
{
	uint8_t b[64];
	size_t len = 1 + world_below(n->w, sizeof(b));

	dice_bytes(&n->w->dice, b, len);
	b[0] = (uint8_t)world_below(n->w, 14);
	say(n, (struct bytes){b, len});
}

static void replay(struct simnode *n)
{
	struct liar *l = n->liar;
	const struct heard *h = &l->heard[world_below(n->w, HEARD_MAX)];
	size_t len = h->len;

	if (!h->at)
		return;
	if ((l->lies & LIE_GARBAGE) && world_chance(n->w, 3))
		len = 1 + world_below(n->w, len);
	uint8_t *again = copy_of((struct bytes){h->at, len}); /* saying it is hearing it, too */
	say(n, (struct bytes){again, len});
	free(again);
}

static void roster(struct simnode *n)
{
	struct member_record m = {.kind = MEMBER_ROLE, .subject = n->config.device.pub};
	struct simnode *of = &n->w->nodes[world_below(n->w, n->w->count)];
	struct wr record = {0}, all = {0}, out = {0};

	m.folder = n->config.folder;
	m.author = n->config.device.pub;
	m.role = ROLE_ADMIN;
	m.parents_count = 1;
	m.parents[0] = n->w->roster_head;
	if (world_chance(n->w, 2)) { /* away with somebody else */
		m.kind = MEMBER_REMOVE;
		m.subject = of->config.device.pub;
	}
	member_encode(&record, &m, &n->config.device);
	if (world_chance(n->w, 3)) /* in the founder's name */
		memcpy(record.at + record.len - SIG_LEN, n->config.device.secret, 16);
	wr_u32(&all, (uint32_t)record.len);
	wr_bytes(&all, wr_view(&record));
	struct wire_message w = {.type = WIRE_ROSTER};
	w.roster.count = 1;
	w.roster.rest = wr_view(&all);
	wire_encode(&out, &w);
	assert(!record.bad && !all.bad && !out.bad);
	say(n, wr_view(&out));
	wr_fini(&record);
	wr_fini(&all);
	wr_fini(&out);
}

/* ---- bundles ---- */

static void put(struct simnode *n, struct wr *body, struct record *r)
{
	struct liar *l = n->liar;

	if (r->dot.inc == 0)
		r->dot = (struct dot){l->inc, ++l->op};
	l->t = MAX(l->t + 1, n->w->highest_t);
	r->t = l->t;
	r->wall_ms = 1;
	record_encode(body, r);
}

/* A new file, as any program would make one. */
static void put_file(struct simnode *n, struct wr *body)
{
	struct liar *l = n->liar;
	struct record r = {.kind = REC_INODE, .dot = {l->inc, ++l->op}};
	struct inode_id id = {r.dot.inc, r.dot.op};
	struct wr manifest = {0};
	char name[2] = {(char)('a' + world_below(n->w, 4)), 0};

	r.inode = id;
	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){MAX(l->t + 1, n->w->highest_t), l->inc};
	put(n, body, &r);
	r = (struct record){.kind = REC_LINK, .inode = id};
	r.link.name = (struct name_id){l->t, l->inc, 0};
	r.link.has_place = true;
	r.link.place = (struct place){INODE_ROOT, bytes_text(name)};
	put(n, body, &r);
	manifest_inline(&manifest, bytes_text("a liar's words"));
	r = (struct record){.kind = REC_CONTENT, .inode = id};
	r.content.content = wr_view(&manifest);
	put(n, body, &r);
	wr_fini(&manifest);
}

/* A copy is promoted of a version that never was so: other bytes, another time. */
static struct record false_promotion(const struct liar *l, struct bytes content)
{
	struct record r = {.kind = REC_INODE, .inode = hash_copy_id(l->inode, l->others)};

	r.ino.type = TYPE_FILE;
	r.ino.born = (struct stamp){l->t + 5, l->others.inc};
	r.ino.has_origin = true;
	r.ino.origin_inode = l->inode;
	r.ino.origin.dot = l->others;
	r.ino.origin.t = l->t + 5;
	r.ino.origin.in = (struct where){l->others.inc, 1};
	r.ino.origin.content = content;
	return r;
}

static struct record false_link(struct simnode *n)
{
	const struct liar *l = n->liar;
	struct record r = {.kind = REC_LINK, .inode = l->inode};

	r.link.name = (struct name_id){1 + world_below(n->w, 99), l->others.inc, 0};
	r.link.has_prev = true;
	r.link.prev = (struct place){INODE_ROOT, bytes_text("a")};
	r.link.has_place = world_chance(n->w, 2);
	r.link.place = (struct place){l->inode, bytes_text("b")}; /* within itself */
	if (world_chance(n->w, 2))
		r.link.place.parent = INODE_ROOT;
	r.link.pinned = r.link.has_place && world_chance(n->w, 2);
	return r;
}

/* What no honest device writes, though each record by itself is sound. */
static void put_nonsense(struct simnode *n, struct wr *body)
{
	struct liar *l = n->liar;
	struct wr manifest = {0};
	struct record r = {.kind = REC_CONTENT, .inode = l->inode};
	struct dot base = l->others;

	manifest_inline(&manifest, bytes_text("false"));
	r.content.content = wr_view(&manifest);
	switch (world_below(n->w, 7)) {
	case 0: /* under somebody else's dot */
		r.dot = (struct dot){l->others.inc, l->others.op + world_below(n->w, 3)};
		break;
	case 1: /* of an inode that there is not */
		r.inode.op += 1000;
		break;
	case 2: /* away with a version that it may not have seen */
		r.content.bases = &base;
		r.content.bases_count = 1;
		r.content.dropped = true;
		r.content.content = (struct bytes){NULL, 0};
		break;
	case 3: /* the same, with bytes of its own */
		r.content.bases = &base;
		r.content.bases_count = 1;
		break;
	case 4:
		r = false_link(n);
		break;
	case 5:
		r = false_promotion(l, wr_view(&manifest));
		break;
	default: /* a kind of the future */
		r = (struct record){.kind = 77, .inode = l->inode};
		r.unknown = bytes_text("?");
		break;
	}
	if (l->others.inc && !inode_none(l->inode) && !inode_equal(l->inode, INODE_ROOT))
		put(n, body, &r);
	wr_fini(&manifest);
}

static struct vector *claims(struct simnode *n)
{
	static struct where at[CLAIMS_MAX]; /* one at a time: off the stack */
	uint32_t count = 1 + (uint32_t)world_below(n->w, CLAIMS_MAX);
	uint64_t inc = 1 + world_below(n->w, 1u << 30);

	for (uint32_t k = 0; k < count; k++) {
		at[k] = (struct where){inc, 1 + world_below(n->w, 1000)};
		inc += 1 + world_below(n->w, 1u << 30);
	}
	struct vector *v = vector_new(at, count);
	assert(v);
	return v;
}

/* What its node has applied, as an honest vector would say, as far as it is of other logs. */
static struct vector *seen(struct simnode *n)
{
	struct vector *v = vector_with(node_vector(n->node), n->liar->inc, 0);

	assert(v);
	return v;
}

static void begin_log(struct simnode *n)
{
	struct liar *l = n->liar;

	l->nonce = dice_u64(&n->w->dice);
	l->inc = hash_incarnation(&n->config.folder, &n->config.device.pub, l->nonce);
	l->seq = l->op = l->other.seq = 0;
	l->prev = (struct hash){{0}};
}

static uint8_t *make_bundle(struct simnode *n, bool advance, size_t *len)
{
	struct liar *l = n->liar;
	struct action a = {.kind = ACT_BUNDLE};
	struct bundle_head *h = &a.bundle.head;
	struct wr body = {0};
	struct node_keys keys;

	node_keys(n->node, &keys);
	*h = (struct bundle_head){.folder = n->config.folder, .device = n->config.device.pub};
	h->nonce = l->nonce;
	h->inc = l->inc;
	h->seq = l->seq + 1;
	h->prev = l->prev;
	h->epoch = keys.newest.epoch;
	h->roster = world_chance(n->w, 3) ? l->first_roster : n->w->roster_head;
	bool claim = (l->lies & LIE_VECTOR) && world_chance(n->w, 2);
	h->delta = claim ? claims(n) : seen(n);
	if ((l->lies & LIE_RECORDS) && world_chance(n->w, 8)) {
		uint8_t noise[64]; /* no records at all */
		dice_bytes(&n->w->dice, noise, sizeof(noise));
		wr_raw(&body, noise, sizeof(noise));
	} else {
		put_file(n, &body);
	}
	for (unsigned k = 0; (l->lies & LIE_RECORDS) && k < 3; k++)
		put_nonsense(n, &body);
	a.bundle.body = body.at;
	a.bundle.len = body.len;
	uint8_t *raw = simpool_bundle(n, &a, len);
	assert(raw);
	if (advance) {
		bundle_hash((struct bytes){raw, *len}, &l->prev);
		l->seq++;
	}
	vector_unref(h->delta);
	wr_fini(&body);
	return raw;
}

static void say_bundle(struct simnode *n, uint8_t *take, size_t len)
{
	struct wr out = {0};

	oracle_lie(n, (struct bytes){take, len});
	wr_u8(&out, WIRE_BUNDLE);
	wr_raw(&out, take, len);
	say(n, wr_view(&out));
	wr_fini(&out);
	free(take);
}

static void other_branch(struct liar *l)
{
	const uint64_t seq = l->seq, op = l->op;
	const struct hash prev = l->prev;

	l->seq = l->other.seq;
	l->op = l->other.op;
	l->prev = l->other.prev;
	l->other.seq = seq;
	l->other.op = op;
	l->other.prev = prev;
}

/* The next bundle has another beside it, which may be gone on from, or not. */
static void fork_log(struct simnode *n)
{
	struct liar *l = n->liar;
	const uint64_t seq = l->seq, op = l->op;
	const struct hash prev = l->prev;
	size_t len;

	uint8_t *raw = make_bundle(n, true, &len);
	say_bundle(n, raw, len);
	l->other.seq = l->seq;
	l->other.op = l->op;
	l->other.prev = l->prev;
	l->seq = seq;
	l->op = op;
	l->prev = prev;
}

static void write_bundle(struct simnode *n)
{
	struct liar *l = n->liar;
	struct node_keys keys;
	size_t len;

	node_keys(n->node, &keys);
	if (!keys.have)
		return;
	if (!l->inc || world_chance(n->w, 4))
		begin_log(n);
	if (l->other.seq && world_chance(n->w, 2))
		other_branch(l);
	if ((l->lies & LIE_FORK) && world_chance(n->w, 2))
		fork_log(n);
	uint8_t *raw = make_bundle(n, true, &len);
	say_bundle(n, raw, len);
}

void liar_acts(struct simnode *n)
{
	static void (*const acts[])(struct simnode * n) = {replay, garbage, write_bundle, roster};
	static const unsigned of[] = {LIE_REPLAY, LIE_GARBAGE,
				      LIE_WRITE | LIE_RECORDS | LIE_VECTOR | LIE_FORK, LIE_ROSTER};
	size_t k = world_below(n->w, ARRAY_LEN(acts));

	if (!n->liar || !n->node || !node_is_member(n->node))
		return;
	if (oracle_any_record(n, &n->liar->others, &n->liar->inode) &&
	    n->liar->first_roster.b[0] == 0)
		n->liar->first_roster = n->w->roster_head;
	for (size_t j = 0; j < ARRAY_LEN(acts); j++, k = (k + 1) % ARRAY_LEN(acts)) {
		if (!(n->liar->lies & of[k]))
			continue;
		world_say(n->w, "node %u lies (%zu)", n->no, k);
		acts[k](n);
		return;
	}
}

/* ---- judging ---- */

void liar_check(const struct simnode *honest)
{
	struct world *w = honest->w;

	for (uint32_t k = 0; k < w->count; k++) {
		const struct simnode *n = &w->nodes[k];
		if (!n->liar || !n->liar->inc || n->role >= ROLE_WRITER ||
		    plan_has(w->p, ITEM_ROLE, ITEM_RETIRE))
			continue;
		if (vector_get(node_vector(honest->node), n->liar->inc))
			world_fail(w, "node %u: has applied a bundle of node %u, a %s", honest->no,
				   k, role_text(n->role));
	}
}
