// SPDX-License-Identifier: MIT
/* hostile.c - see hostile.h */
#include "hostile.h"
#include <assert.h>
#include <stdlib.h>

/* ---- nodes ---- */

enum err hostile_open_bundle(void *arg, struct bytes raw, struct bundle **ret)
{
	struct world *w = arg;
	struct bundle *b = calloc(1, sizeof(*b));
	struct seal_info info;

	assert(b);
	b->raw = malloc(raw.len);
	assert(b->raw);
	memcpy(b->raw, raw.at, raw.len);
	b->raw_len = raw.len;
	enum err e = bundle_decode((struct bytes){b->raw, raw.len}, &b->head);
	if (!e && !bundle_verify((struct bytes){b->raw, raw.len}, &b->head))
		e = ERR_FORGED;
	if (!e) {
		bundle_hash((struct bytes){b->raw, raw.len}, &b->hash);
		b->plain = malloc(b->head.body.len);
		assert(b->plain);
		e = seal_open(b->head.body, &w->keys, &w->config.folder, SEAL_BUNDLE, b->plain,
			      &info);
	}
	if (!e)
		e = bundle_records(b, info.plain_len);
	if (e) {
		bundle_free(b);
		return e;
	}
	*ret = b;
	return ERR_OK;
}

static void sealed_bundle(struct world *w, struct replica *r, struct action *a);

/* A step, and what its owner does with the actions. */
enum err hostile_step(struct world *w, struct replica *r, struct event *ev)
{
	struct actions acts = {0};

	r->now += 1000;
	ev->now_usec = r->now;
	ev->wall_ms = INT64_C(1793000000000) + (int64_t)(r->now / 1000);
	ev->journal_at = r->journal.len;
	enum err e = node_step(r->node, ev, &acts);
	assert(e != ERR_NOMEM && e != ERR_IO && e != ERR_DAMAGED);
	if (acts.journal.len) {
		assert(r->frames_count < JOURNAL_MAX);
		r->frames[r->frames_count++] = (struct frame){r->journal.len, acts.journal.len};
		wr_bytes(&r->journal, wr_view(&acts.journal));
	}
	for (uint32_t k = 0; k < acts.count; k++)
		if (acts.at[k].kind == ACT_BUNDLE)
			sealed_bundle(w, r, &acts.at[k]);
	actions_fini(&acts);
	return e;
}

static void sealed_bundle(struct world *w, struct replica *r, struct action *a)
{
	static const uint8_t nonce[SEAL_NONCE];
	struct event ev = {.kind = EV_BUNDLE_SEALED};
	struct wr body = {0}, raw = {0};

	seal_piece(&body, &w->keys, &w->config.folder, SEAL_BUNDLE, 0, (uint32_t)a->bundle.len,
		   (struct bytes){a->bundle.body, a->bundle.len}, nonce);
	a->bundle.head.body = wr_view(&body);
	bundle_encode(&raw, &a->bundle.head);
	bundle_sign(&raw, 0, &w->config.device);
	ev.bundle_sealed.seq = a->bundle.head.seq;
	ev.bundle_sealed.take_raw = wr_take(&raw, &ev.bundle_sealed.len);
	(void)hostile_step(w, r, &ev);
	wr_fini(&body);
}

void hostile_open(struct world *w, struct replica *r)
{
	memset(r, 0, sizeof(*r));
	r->kv = kv_new_map();
	assert(r->kv);
	r->node = node_new(r->kv, &w->config);
	assert(r->node);
	wr_bytes(&r->journal, wr_view(&w->founding));
	r->frames[r->frames_count++] = (struct frame){0, r->journal.len};
	enum err e = node_replay(r->node, 0, wr_view(&r->journal), hostile_open_bundle, w);
	assert(!e);
}

void hostile_start(struct world *w, struct replica *r)
{
	struct event start = {.kind = EV_START};
	struct event up = {.kind = EV_UP, .peer = SESSION};

	up.up.device = w->members[0].pair.pub;
	enum err e = hostile_step(w, r, &start);
	assert(!e);
	e = hostile_step(w, r, &up);
	assert(!e);
}

void hostile_close(struct replica *r)
{
	node_free(r->node);
	kv_free_map(r->kv);
	wr_fini(&r->journal);
}

struct hash hostile_digest_of(struct replica *r)
{
	struct hash h;

	view_check(node_view(r->node));
	enum err e = view_digest(node_view(r->node), &h);
	assert(!e);
	return h;
}

/* ---- the folder ---- */

static void entry(struct wr *journal, struct bytes body)
{
	wr_u8(journal, J_ROSTER);
	wr_u32(journal, (uint32_t)body.len);
	wr_bytes(journal, body);
}

static void admit(struct world *w, uint8_t n, struct hash *head)
{
	struct member *m = &w->members[n];
	uint8_t seed[32];
	struct wr record = {0};

	memset(seed, n + 1, sizeof(seed));
	sign_pair_init(&m->pair, seed);
	m->nonce = n + 1u;
	m->inc = hash_incarnation(&w->config.folder, &m->pair.pub, m->nonce);
	m->op = 1;
	m->t = (uint64_t)1792000000000 << 16;
	struct member_record add = {.folder = w->config.folder,
				    .kind = MEMBER_ADD,
				    .author = w->config.device.pub,
				    .subject = m->pair.pub,
				    .parents_count = 1,
				    .parents = {*head},
				    .role = ROLE_WRITER,
				    .name = bytes_text("member")};
	member_encode(&record, &add, &w->config.device);
	hash_blake(wr_view(&record), head);
	entry(&w->founding, wr_view(&record));
	wr_fini(&record);
}

void hostile_found(struct world *w)
{
	uint8_t seed[32] = {99};
	struct node_keys keys;
	struct rd r;

	sign_pair_init(&w->config.device, seed);
	memcpy(w->config.device_name, "founder", 8);
	w->config.read_timeout_ms = 1000;
	enum err e = node_found(&w->config, bytes_text("folder"), 1, &w->founding);
	assert(!e);
	r = rd_of(wr_view(&w->founding));
	for (int k = 0; k < 2; k++) {
		rd_u8(&r);
		hash_blake(rd_bytes(&r, rd_u32(&r)), &w->head);
	}
	for (uint8_t k = 0; k < MEMBERS; k++)
		admit(w, k, &w->head);
	hostile_open(w, &w->a);
	node_keys(w->a.node, &keys);
	assert(keys.have);
	w->keys = keys.newest;
	hostile_start(w, &w->a);
}

/* ---- members ---- */

/* The bundle that a member is writing now, as others will know it. */
struct where hostile_current(const struct world *w, const struct member *m)
{
	return (struct where){(uint64_t)(m - w->members), m->seq + 1};
}

bool hostile_sees(const struct world *w, const struct member *m, struct where in)
{
	if (!w->honest)
		return true;
	if (in.inc == (uint64_t)(m - w->members))
		return true;
	return m->sees[in.inc] >= in.seq;
}

static void flush(struct world *w, struct member *m)
{
	static const uint8_t nonce[SEAL_NONCE];
	struct bundle_head h = {.folder = w->config.folder,
				.device = m->pair.pub,
				.nonce = m->nonce,
				.inc = m->inc,
				.seq = m->seq + 1,
				.prev = m->prev,
				.roster = w->head,
				.epoch = w->keys.epoch};
	struct wr sealed = {0};
	const struct vector *delta = vector_new(NULL, 0);

	if (m->seq == BUNDLES_MAX) {
		vector_unref(delta);
		return;
	}
	for (int k = 0; k < MEMBERS; k++) {
		if (m->sees[k] == m->told[k])
			continue;
		const struct vector *n = vector_with(delta, w->members[k].inc, m->sees[k]);
		vector_unref(delta);
		delta = n;
		m->told[k] = m->sees[k];
	}
	h.delta = vector_ref(delta);
	seal_piece(&sealed, &w->keys, &w->config.folder, SEAL_BUNDLE, 0, (uint32_t)m->body.len,
		   wr_view(&m->body), nonce);
	h.body = wr_view(&sealed);
	struct wr *raw = &m->bundles[m->seq++];
	bundle_encode(raw, &h);
	bundle_sign(raw, 0, &m->pair);
	bundle_hash(wr_view(raw), &m->prev);
	vector_unref(h.delta);
	vector_unref(delta);
	wr_fini(&sealed);
	wr_reset(&m->body);
}

enum err hostile_feed(struct world *w, struct replica *r, struct bytes raw)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = SESSION};
	enum err e = hostile_open_bundle(w, raw, &ev.bundle.take);

	return e ? e : hostile_step(w, r, &ev);
}

void hostile_publish(struct world *w, struct member *m)
{
	if (m->body.len == 0 || m->seq == BUNDLES_MAX)
		return;
	flush(w, m);
	enum err e = hostile_feed(w, &w->a, wr_view(&m->bundles[m->seq - 1]));
	assert(!e || !w->honest);
	view_check(node_view(w->a.node));
}

/* A member has seen all of another's log, and so whatever that one had seen. */
void hostile_meet(struct world *w, struct member *m, struct member *other)
{
	uint64_t who = (uint64_t)(other - w->members);

	if (m == other)
		return;
	hostile_publish(w, other);
	hostile_publish(w, m); /* one vector a bundle */
	m->sees[who] = other->seq;
	for (int k = 0; k < MEMBERS; k++)
		if (&w->members[k] != m)
			m->sees[k] = MAX(m->sees[k], other->sees[k]);
	m->t = MAX(m->t, other->t);
}
