// SPDX-License-Identifier: MIT
/*
 * test_log_hostile.c - bundles as no honest device makes them, or in an order nobody wanted
 *
 * One node, the founder's, hears what members sign.  What is proved here: whatever a member claims,
 * no log of another comes to a halt by it, no session of one who passes it on ends, and nothing
 * that this device writes later is worth less.
 */
#include "core/log.h"
#include "core/node.h"
#include "core/step.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum who { V, M, B, READER, WHO };
#define SESSION 7
#define WALL_MS INT64_C(1793000000000)

struct author {
	struct sign_pair pair;
	uint64_t nonce, inc, seq;
	struct hash prev;
};
struct world {
	struct node_config config;
	struct kv *kv;
	struct node *node;
	struct hash head;
	struct seal_keys keys;
	struct author who[WHO];
	struct wr journal;
	size_t frames[256];
	uint32_t frames_count, rebuilt;
	uint64_t now, dropped; /* dropped: the last session that the node ended */
	size_t most; /* journal bytes of one step */
};
struct forged { /* what a bundle says beside what its author's log demands */
	const struct vector *delta;
	const struct record *records;
	uint32_t count;
	bool broken_chain;
};

static struct bundle *opened(struct world *w, struct bytes raw);

static enum err open_again(void *arg, struct bytes raw, struct bundle **ret)
{
	*ret = opened(arg, raw);
	return ERR_OK;
}

static void append(struct world *w, struct bytes payload)
{
	assert_true(w->frames_count < ARRAY_LEN(w->frames));
	if (!payload.len)
		return;
	wr_bytes(&w->journal, payload);
	w->frames[w->frames_count++] = w->journal.len;
}

/* The view once more from the journal, as its owner does it when it is told to. */
static void rebuild(struct world *w, struct actions *acts)
{
	w->rebuilt++;
	assert_int_equal(node_rebuild_begin(w->node), ERR_OK);
	for (uint32_t k = 0; k < w->frames_count; k++) {
		size_t at = k ? w->frames[k - 1] : 0;
		struct bytes payload = {w->journal.at + at, w->frames[k] - at};
		assert_int_equal(node_rebuild_frame(w->node, at, payload, open_again, w), ERR_OK);
	}
	assert_int_equal(node_rebuild_end(w->node, acts), ERR_OK);
	assert_false(node_wants_rebuild(w->node));
}

static enum err step(struct world *w, struct event *ev)
{
	struct actions acts = {0};

	ev->now_usec = w->now += 1000;
	ev->wall_ms = WALL_MS;
	ev->journal_at = w->journal.len;
	enum err e = node_step(w->node, ev, &acts);
	append(w, wr_view(&acts.journal));
	if (node_wants_rebuild(w->node))
		rebuild(w, &acts);
	w->most = MAX(w->most, acts.journal.len);
	for (uint32_t k = 0; k < acts.count; k++)
		if (acts.at[k].kind == ACT_DROP)
			w->dropped = acts.at[k].drop.peer;
	actions_fini(&acts);
	return e;
}

static void roster_entry(struct wr *journal, struct bytes record)
{
	wr_u8(journal, J_ROSTER);
	wr_u32(journal, (uint32_t)record.len);
	wr_bytes(journal, record);
}

static void signed_record(struct world *w, struct member_record *m, struct wr *record)
{
	m->folder = w->config.folder;
	m->author = w->config.device.pub;
	m->parents_count = 1;
	m->parents[0] = w->head;
	member_encode(record, m, &w->config.device);
	hash_blake(wr_view(record), &w->head);
}

static void author_init(struct world *w, struct author *a, uint8_t n, uint64_t nonce)
{
	uint8_t seed[32];

	memset(seed, n, sizeof(seed));
	memset(a, 0, sizeof(*a));
	sign_pair_init(&a->pair, seed);
	a->nonce = nonce;
	a->inc = hash_incarnation(&w->config.folder, &a->pair.pub, nonce);
}

static void found(struct world *w)
{
	struct wr founding = {0};
	uint8_t seed[32] = {99};

	sign_pair_init(&w->config.device, seed);
	memcpy(w->config.device_name, "founder", 8);
	assert_int_equal(node_found(&w->config, bytes_text("folder"), 1, &founding), ERR_OK);
	struct rd r = rd_of(wr_view(&founding));
	for (int k = 0; k < 2; k++) {
		rd_u8(&r);
		hash_blake(rd_bytes(&r, rd_u32(&r)), &w->head);
	}
	for (uint8_t k = 0; k < WHO; k++) {
		struct wr record = {0};
		struct member_record add = {.kind = MEMBER_ADD,
					    .role = k == READER ? ROLE_READER : ROLE_WRITER,
					    .name = bytes_text("member")};
		author_init(w, &w->who[k], (uint8_t)(k + 1), 1);
		add.subject = w->who[k].pair.pub;
		signed_record(w, &add, &record);
		roster_entry(&founding, wr_view(&record));
		wr_fini(&record);
	}
	append(w, wr_view(&founding));
	wr_fini(&founding);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct event start = {.kind = EV_START}, up = {.kind = EV_UP, .peer = SESSION};
	struct node_keys keys;

	seal_use_fake(true);
	found(w);
	w->kv = kv_new_map();
	w->node = node_new(w->kv, &w->config);
	assert_int_equal(node_replay(w->node, 0, wr_view(&w->journal), NULL, NULL), ERR_OK);
	node_keys(w->node, &keys);
	w->keys = keys.newest;
	assert_int_equal(step(w, &start), ERR_OK);
	up.up.device = w->who[B].pair.pub; /* it passes on what the others sign */
	assert_int_equal(step(w, &up), ERR_OK);
	return w;
}

static void world_free(struct world *w)
{
	view_check(node_view(w->node));
	node_free(w->node);
	kv_free_map(w->kv);
	wr_fini(&w->journal);
	free(w);
}

static void raw_bundle(struct world *w, struct author *a, const struct forged *f, struct wr *raw)
{
	static const uint8_t nonce[SEAL_NONCE];
	struct wr body = {0}, sealed = {0};
	struct bundle_head h = {.folder = w->config.folder,
				.device = a->pair.pub,
				.nonce = a->nonce,
				.inc = a->inc,
				.seq = ++a->seq,
				.prev = a->prev,
				.roster = w->head,
				.epoch = w->keys.epoch};

	if (f->broken_chain)
		h.prev.b[0] ^= 1;
	h.delta = vector_ref(f->delta);
	for (uint32_t k = 0; k < f->count; k++)
		record_encode(&body, &f->records[k]);
	seal_piece(&sealed, &w->keys, &w->config.folder, SEAL_BUNDLE, 0, (uint32_t)body.len,
		   wr_view(&body), nonce);
	h.body = wr_view(&sealed);
	bundle_encode(raw, &h);
	bundle_sign(raw, 0, &a->pair);
	bundle_hash(wr_view(raw), &a->prev);
	vector_unref(h.delta);
	wr_fini(&sealed);
	wr_fini(&body);
}

static struct bundle *opened(struct world *w, struct bytes raw)
{
	struct bundle *b = calloc(1, sizeof(*b));
	struct seal_info info;

	b->raw = malloc(raw.len);
	memcpy(b->raw, raw.at, raw.len);
	b->raw_len = raw.len;
	assert_int_equal(bundle_decode((struct bytes){b->raw, raw.len}, &b->head), ERR_OK);
	bundle_hash(raw, &b->hash);
	b->plain = malloc(b->head.body.len);
	assert_int_equal(
		seal_open(b->head.body, &w->keys, &w->config.folder, SEAL_BUNDLE, b->plain, &info),
		ERR_OK);
	assert_int_equal(bundle_records(b, info.plain_len), ERR_OK);
	return b;
}

static enum err say(struct world *w, enum who who, const struct forged *f)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = SESSION};
	struct wr raw = {0};

	raw_bundle(w, &w->who[who], f, &raw);
	ev.bundle.take = opened(w, wr_view(&raw));
	wr_fini(&raw);
	return step(w, &ev);
}

static uint64_t applied(struct world *w, enum who who)
{
	return vector_get(node_vector(w->node), w->who[who].inc);
}

static struct record attr_record(uint64_t inc, uint64_t op, uint64_t t)
{
	struct record r = {.kind = REC_ATTR, .inode = INODE_ROOT, .dot = {inc, op}, .t = t};

	r.attr.field = ATTR_MODE;
	r.attr.mode = 0700;
	return r;
}

static const struct forged nothing;

/* A member is removed while others have bundles of it that the remover had not: what they write
 * afterwards can still be applied; what nobody vouches for is not. */
static void test_removal_does_not_stop_others(void **state)
{
	struct world *w = world_new();
	struct event ev = {.kind = EV_ADMIT};

	(void)state;
	ev.member.what = MEMBER_REMOVE;
	ev.member.subject = w->who[M].pair.pub;
	assert_int_equal(step(w, &ev), ERR_OK);
	assert_int_equal(say(w, M, &nothing), ERR_OK);
	assert_int_equal(say(w, M, &nothing), ERR_OK);
	assert_int_equal(applied(w, M), 0);
	const struct vector *saw = vector_new(&(struct where){w->who[M].inc, 1}, 1);
	const struct forged later = {.delta = saw};
	assert_int_equal(say(w, READER, &later), ERR_OK); /* it has no say */
	assert_int_equal(applied(w, M), 0);
	assert_int_equal(say(w, B, &later), ERR_OK);
	assert_int_equal(applied(w, B), 1);
	assert_int_equal(applied(w, M), 1);
	vector_unref(saw);
	world_free(w);
}

/* Bytes of a bundle made but not said. */
static struct wr made(struct world *w, enum who who, const struct forged *f)
{
	struct wr raw = {0};

	raw_bundle(w, &w->who[who], f, &raw);
	return raw;
}

static enum err hear(struct world *w, struct bytes raw)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = SESSION};

	ev.bundle.take = opened(w, raw);
	return step(w, &ev);
}

/* A removal signed by the founder, who had seen one bundle of M. */
static void hear_removal(struct world *w)
{
	struct event ev = {.kind = EV_ROSTER, .peer = SESSION};
	struct member_record m = {.kind = MEMBER_REMOVE, .subject = w->who[M].pair.pub};
	struct wire_message message = {.type = WIRE_ROSTER};
	struct wr record = {0}, list = {0}, bytes = {0};
	const struct hash before = w->head;

	m.vec = vector_new(&(struct where){w->who[M].inc, 1}, 1);
	signed_record(w, &m, &record);
	w->head = before; /* M and B write without knowing of it */
	vector_unref(m.vec);
	wr_u32(&list, (uint32_t)record.len);
	wr_bytes(&list, wr_view(&record));
	message.roster.count = 1;
	message.roster.rest = wr_view(&list);
	wire_encode(&bytes, &message);
	ev.message.bytes = wr_view(&bytes);
	assert_int_equal(step(w, &ev), ERR_OK);
	wr_fini(&record);
	wr_fini(&list);
	wr_fini(&bytes);
}

static uint64_t mode_of_root(struct world *w)
{
	struct node_stat st;

	assert_int_equal(node_stat(w->node, INODE_ROOT, 0, &st), ERR_OK);
	return st.a.mode;
}

/*
 * What is accepted is the same whatever comes first: M wrote three bundles, B one that had seen the
 * second, and the founder removed M having seen the first.
 */
static void test_accepted_in_every_order(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 120; order++) {
		struct world *w = world_new();
		struct record r[3];
		struct wr raw[4];
		uint32_t left[5] = {0, 1, 2, 3, 4}, n = order;
		for (uint64_t k = 0; k < 3; k++) {
			r[k] = attr_record(w->who[M].inc, k + 1, k + 1);
			r[k].attr.mode = 0701 + (uint32_t)k;
			raw[k] = made(w, M, &(struct forged){.records = &r[k], .count = 1});
		}
		const struct vector *saw = vector_new(&(struct where){w->who[M].inc, 2}, 1);
		raw[3] = made(w, B, &(struct forged){.delta = saw});
		for (unsigned k = 5; k > 0; n /= k, k--) {
			uint32_t which = left[n % k];
			memmove(&left[n % k], &left[n % k + 1], (k - n % k - 1) * sizeof(left[0]));
			if (which == 4)
				hear_removal(w);
			else
				assert_int_equal(hear(w, wr_view(&raw[which])), ERR_OK);
		}
		assert_int_equal(applied(w, M), 2);
		assert_int_equal(applied(w, B), 1);
		assert_int_equal(mode_of_root(w), 0702);
		struct node_counts c;
		node_counts(w->node, &c);
		assert_int_equal(c.set_aside, 1);
		node_check(w->node);
		vector_unref(saw);
		for (unsigned k = 0; k < 4; k++)
			wr_fini(&raw[k]);
		world_free(w);
	}
}

/* The whole journal into a node on fresh rows, as after the loss of the index. */
static void replayed_alike(struct world *w)
{
	struct node *was = w->node;
	struct kv *kv = w->kv;
	struct event start = {.kind = EV_START};
	struct hash before, after;

	assert_int_equal(view_digest(node_view(w->node), &before), ERR_OK);
	w->kv = kv_new_map();
	w->config.seed[0]++; /* as ever, fresh */
	w->node = node_new(w->kv, &w->config);
	for (uint32_t k = 0; k < w->frames_count; k++) {
		size_t at = k ? w->frames[k - 1] : 0;
		struct bytes payload = {w->journal.at + at, w->frames[k] - at};
		assert_int_equal(node_replay(w->node, at, payload, open_again, w), ERR_OK);
	}
	assert_int_equal(step(w, &start), ERR_OK);
	assert_int_equal(view_digest(node_view(w->node), &after), ERR_OK);
	assert_memory_equal(before.b, after.b, HASH_LEN);
	node_free(was);
	kv_free_map(kv);
}

/* What is done after the tree was made again replays, also from the beginning of the journal. */
static void test_replay_over_a_tree_made_again(void **state)
{
	struct world *w = world_new();
	struct event ev = {.kind = EV_ADMIT};
	struct event rm = {.kind = EV_RMDIR};
	const struct inode_id dir = {w->who[B].inc, 1};
	const struct place at = {INODE_ROOT, bytes_text("d")};
	struct record r[2] = {{.kind = REC_INODE, .inode = dir, .dot = {dir.inc, 1}, .t = 10},
			      {.kind = REC_LINK, .inode = dir, .dot = {dir.inc, 2}, .t = 11}};

	(void)state;
	r[0].ino = (struct rec_inode){
		.type = TYPE_DIR, .born = {10, dir.inc}, .has_birth = true, .birth = at};
	r[1].link = (struct rec_link){.name = {10, dir.inc, 0},
				      .has_place = true,
				      .has_prev = true,
				      .place = at,
				      .prev = at};
	ev.member.what = MEMBER_REMOVE;
	ev.member.subject = w->who[M].pair.pub;
	assert_int_equal(step(w, &ev), ERR_OK);
	assert_int_equal(say(w, M, &nothing), ERR_OK);
	assert_int_equal(w->rebuilt, 0);
	const struct vector *saw = vector_new(&(struct where){w->who[M].inc, 1}, 1);
	assert_int_equal(say(w, B, &(struct forged){.delta = saw, .records = r, .count = 2}),
			 ERR_OK);
	assert_int_equal(w->rebuilt, 1);
	rm.name.dir = INODE_ROOT;
	rm.name.name = at.name;
	assert_int_equal(step(w, &rm), ERR_OK);
	replayed_alike(w);
	assert_int_equal(applied(w, B), 1);
	vector_unref(saw);
	world_free(w);
}

/* A bundle that is set aside, and work that goes on beside it: a start has nothing to make again.
 */
static void test_replay_beside_what_is_set_aside(void **state)
{
	struct world *w = world_new();
	struct event rm = {.kind = EV_ADMIT}, make = {.kind = EV_MAKE};
	struct node_counts c;

	(void)state;
	rm.member.what = MEMBER_REMOVE;
	rm.member.subject = w->who[M].pair.pub;
	assert_int_equal(step(w, &rm), ERR_OK);
	assert_int_equal(say(w, M, &nothing), ERR_OK);
	make.make.dir = INODE_ROOT;
	make.make.name = bytes_text("d");
	make.make.what.type = TYPE_DIR;
	assert_int_equal(step(w, &make), ERR_OK);
	replayed_alike(w);
	node_counts(w->node, &c);
	assert_int_equal(c.set_aside, 1);
	assert_int_equal(w->rebuilt, 0);
	world_free(w);
}

/* A dot that claims another's incarnation: neither log stops, in whatever order they come. */
static void test_claimed_incarnation(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct world *w = world_new();
		struct record r = attr_record(w->who[V].inc, 5, 1);
		const struct forged claim = {.records = &r, .count = 1};
		struct record own = attr_record(w->who[V].inc, 1, 2);
		const struct forged honest = {.records = &own, .count = 1};
		for (int k = 0; k < 2; k++) {
			bool liar = (k == 0) == (first == 0);
			assert_int_equal(liar ? say(w, M, &claim) : say(w, V, &honest), ERR_OK);
		}
		assert_int_equal(applied(w, M), 1);
		assert_int_equal(applied(w, V), 1);
		assert_int_equal(say(w, V, &nothing), ERR_OK);
		assert_int_equal(applied(w, V), 2);
		world_free(w);
	}
}

/* Dots of thousands of incarnations that nobody has heard of leave room for real ones. */
static void test_flood_of_incarnations(void **state)
{
	struct world *w = world_new();
	const uint32_t count = LOG_INCARNATIONS_MAX + 100;
	struct record *r = calloc(count, sizeof(*r));
	const struct forged flood = {.records = r, .count = count};

	(void)state;
	for (uint32_t k = 0; k < count; k++)
		r[k] = attr_record(1000 + k, 1, k);
	assert_int_equal(say(w, M, &flood), ERR_OK);
	assert_int_equal(applied(w, M), 1);
	assert_int_equal(say(w, V, &nothing), ERR_OK);
	assert_int_equal(applied(w, V), 1);
	free(r);
	world_free(w);
}

/* Neither who may not write nor a clock at its end moves ours where it cannot go on. */
static void test_clocks(void **state)
{
	struct world *w = world_new();
	struct record r = attr_record(w->who[READER].inc, 1, (uint64_t)1 << 62);
	const struct forged by_reader = {.records = &r, .count = 1};
	struct event ev = {.kind = EV_MAKE};
	struct shown s;

	(void)state;
	assert_int_equal(say(w, READER, &by_reader), ERR_OK);
	r = attr_record(w->who[M].inc, 1, UINT64_MAX - 1);
	assert_int_equal(say(w, M, &by_reader), ERR_OK);
	assert_int_equal(applied(w, M), 1);
	ev.make.dir = INODE_ROOT;
	ev.make.name = bytes_text("d");
	ev.make.what.type = TYPE_SYMLINK;
	ev.make.what.target = bytes_text("x");
	assert_int_equal(step(w, &ev), ERR_OK);
	assert_int_equal(view_lookup(node_view(w->node), INODE_ROOT, bytes_text("d"), &s), ERR_OK);
	assert_in_range(s.n.t, (uint64_t)WALL_MS << 16, ((uint64_t)WALL_MS << 16) + 1000);
	world_free(w);
}

/* Whoever may not write gets nothing to wait here. */
static void test_flood_of_strangers(void **state)
{
	struct world *w = world_new();
	struct author stranger;
	struct node_counts counts;

	(void)state;
	for (uint8_t k = 0; k < 50; k++) {
		struct event ev = {.kind = EV_BUNDLE, .peer = SESSION};
		struct wr raw = {0};
		author_init(w, &stranger, (uint8_t)(100 + k), 1);
		stranger.seq = 1; /* the one before will never come */
		stranger.prev.b[0] = 1;
		raw_bundle(w, &stranger, &nothing, &raw);
		ev.bundle.take = opened(w, wr_view(&raw));
		wr_fini(&raw);
		assert_int_equal(step(w, &ev), ERR_OK);
	}
	node_counts(w->node, &counts);
	assert_int_equal(counts.waiting_bundles, 0);
	world_free(w);
}

/* A log that does not fit together is its author's doing: who passes it on stays welcome. */
static void test_broken_chain(void **state)
{
	struct world *w = world_new();
	const struct forged broken = {.broken_chain = true};

	(void)state;
	assert_int_equal(say(w, M, &nothing), ERR_OK);
	assert_int_equal(say(w, M, &broken), ERR_OK);
	assert_int_equal(applied(w, M), 1);
	assert_int_equal(say(w, B, &nothing), ERR_OK);
	assert_int_equal(say(w, B, &broken), ERR_FORGED); /* by the one who says it */
	world_free(w);
}

/* Vectors of thousands of entries are laid over each other in one pass. */
static void test_large_vectors(void **state)
{
	struct world *w = world_new();
	static struct where at[VECTOR_MAX];

	(void)state;
	for (uint32_t k = 0; k < VECTOR_MAX; k++)
		at[k] = (struct where){k + 1, LOG_DELTA_GONE};
	const struct vector *gone = vector_new(at, VECTOR_MAX);
	const struct forged large = {.delta = gone};
	for (int k = 0; k < 20; k++)
		assert_int_equal(say(w, M, &large), ERR_OK);
	assert_int_equal(applied(w, M), 20);
	const struct vector *back = vector_new(&(struct where){w->who[V].inc, 1}, 1);
	const struct forged sees = {.delta = back};
	assert_int_equal(say(w, M, &sees), ERR_OK);
	assert_int_equal(applied(w, M), 20);
	assert_int_equal(say(w, V, &nothing), ERR_OK);
	assert_int_equal(applied(w, M), 21);
	vector_unref(gone);
	vector_unref(back);
	world_free(w);
}

/* A compressed bundle that waits takes the room that it takes in memory. */
static void test_flood_of_large_bundles(void **state)
{
	struct world *w = world_new();
	const uint32_t count = 20000;
	struct record *r = calloc(count, sizeof(*r));
	const struct forged large = {.records = r, .count = count};
	struct node_counts counts;

	(void)state;
	for (uint32_t k = 0; k < count; k++)
		r[k] = attr_record(w->who[M].inc, k + 1, k);
	w->who[M].seq = 1; /* the one before will never come */
	w->who[M].prev.b[0] = 1;
	for (uint32_t k = 0; k < 20; k++)
		assert_int_equal(say(w, M, &large), ERR_OK);
	node_counts(w->node, &counts);
	assert_in_range(counts.waiting_bundles, 1,
			LOG_WAITING_BYTES_MAX / (count * sizeof(struct record)));
	free(r);
	world_free(w);
}

/* Many large ones that become ready at once are applied in several steps: the journal's frames
 * have a limit. */
static void test_backlog(void **state)
{
	struct world *w = world_new();
	static uint8_t body[2u << 20];
	struct record r = {.kind = 200, .inode = INODE_ROOT, .dot = {w->who[M].inc, 1}};
	const struct forged large = {.records = &r, .count = 1};
	struct wr raw[9] = {{0}};
	const size_t count = ARRAY_LEN(raw);

	(void)state;
	r.unknown = BYTES_OF(body);
	for (size_t k = 0; k < count; k++)
		raw_bundle(w, &w->who[M], &large, &raw[k]);
	for (size_t k = count; k-- > 0;) {
		struct event ev = {.kind = EV_BUNDLE, .peer = SESSION};
		ev.bundle.take = opened(w, wr_view(&raw[k]));
		assert_int_equal(step(w, &ev), ERR_OK);
		wr_fini(&raw[k]);
	}
	for (size_t k = 0; node_deadline(w->node) <= w->now && k < count; k++) {
		struct event tick = {.kind = EV_TICK};
		assert_int_equal(step(w, &tick), ERR_OK);
	}
	assert_int_equal(applied(w, M), count);
	assert_in_range(w->most, 1, 12u << 20);
	world_free(w);
}

/* Who is removed while a session is open hears no more in it. */
static void test_removed_while_connected(void **state)
{
	struct world *w = world_new();
	struct event ev = {.kind = EV_ADMIT};

	(void)state;
	ev.member.what = MEMBER_REMOVE;
	ev.member.subject = w->who[B].pair.pub;
	assert_int_equal(step(w, &ev), ERR_OK);
	assert_int_equal(w->dropped, SESSION);
	assert_int_equal(say(w, V, &nothing), ERR_MALFORMED);
	world_free(w);
}

/* However many say that they want to join: a member finds room. */
static void test_flood_of_joiners(void **state)
{
	struct world *w = world_new();
	struct event up = {.kind = EV_UP};

	(void)state;
	for (uint64_t k = 0; k < 2 * NODE_PEERS_MAX; k++) {
		up.peer = 100 + k;
		up.up.joining = true;
		up.up.device.b[0] = (uint8_t)k;
		assert_int_equal(step(w, &up), ERR_OK);
	}
	assert_int_not_equal(w->dropped, 0);
	up.peer = 5000;
	up.up.joining = false;
	up.up.device = w->who[V].pair.pub;
	assert_int_equal(step(w, &up), ERR_OK);
	world_free(w);
}

/* A record about what its author cannot have known counts nowhere, whichever comes first. */
static void test_inode_not_seen(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct world *w = world_new();
		const struct inode_id dir = {w->who[B].inc, 1};
		const struct place at = {INODE_ROOT, bytes_text("d")};
		struct record make[] = {
			{.kind = REC_INODE, .inode = dir, .dot = {dir.inc, 1}, .t = 10},
			{.kind = REC_LINK, .inode = dir, .dot = {dir.inc, 2}, .t = 11}};
		struct record lie = attr_record(w->who[M].inc, 1, 12);
		struct node_stat st;
		make[0].ino = (struct rec_inode){
			.type = TYPE_DIR, .born = {10, dir.inc}, .has_birth = true, .birth = at};
		make[1].link =
			(struct rec_link){.name = {11, dir.inc, 0}, .has_place = true, .place = at};
		lie.inode = dir;
		for (int k = 0; k < 2; k++) {
			const struct forged *f =
				k == first ? &(struct forged){.records = make, .count = 2}
					   : &(struct forged){.records = &lie, .count = 1};
			assert_int_equal(say(w, k == first ? B : M, f), ERR_OK);
		}
		assert_int_equal(node_stat(w->node, dir, 0, &st), ERR_OK);
		assert_int_equal(st.a.mode, 0755);
		world_free(w);
	}
}

/* A version that claims to replace one it has not seen: the same tree, whichever comes first. */
static void test_base_not_seen(void **state)
{
	static const uint8_t one[] = {1, 1, 0, 'a'}, two[] = {1, 1, 0, 'b'};
	struct hash shown[2];

	(void)state;
	for (int first = 0; first < 2; first++) {
		struct world *w = world_new();
		const struct inode_id file = {w->who[B].inc, 1};
		struct dot base = {w->who[V].inc, 1};
		struct record make[] = {
			{.kind = REC_INODE, .inode = file, .dot = {file.inc, 1}, .t = 10},
			{.kind = REC_LINK, .inode = file, .dot = {file.inc, 2}, .t = 11}};
		struct record v = {.kind = REC_CONTENT, .inode = file, .dot = base, .t = 20};
		struct record m = {.kind = REC_CONTENT, .inode = file, .t = 21};
		const struct forged made = {.records = make, .count = ARRAY_LEN(make)};
		make[0].ino.type = TYPE_FILE;
		make[0].ino.born = (struct stamp){10, file.inc};
		make[1].link.name = (struct name_id){11, file.inc, 0};
		make[1].link.has_place = true;
		make[1].link.place = (struct place){INODE_ROOT, bytes_text("a")};
		v.content.content = BYTES_OF(one);
		m.dot = (struct dot){w->who[M].inc, 1};
		m.content.content = BYTES_OF(two);
		m.content.bases = &base;
		m.content.bases_count = 1;
		assert_int_equal(say(w, B, &made), ERR_OK);
		const struct vector *saw = vector_new(&(struct where){file.inc, 1}, 1);
		const struct forged honest = {.delta = saw, .records = &v, .count = 1};
		const struct forged liar = {.delta = saw, .records = &m, .count = 1};
		for (int k = 0; k < 2; k++)
			assert_int_equal(k == first ? say(w, V, &honest) : say(w, M, &liar),
					 ERR_OK);
		assert_int_equal(view_digest(node_view(w->node), &shown[first]), ERR_OK);
		vector_unref(saw);
		world_free(w);
	}
	assert_memory_equal(&shown[0], &shown[1], sizeof(shown[0])); /* I2 of the design */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_removal_does_not_stop_others),
		cmocka_unit_test(test_accepted_in_every_order),
		cmocka_unit_test(test_replay_over_a_tree_made_again),
		cmocka_unit_test(test_replay_beside_what_is_set_aside),
		cmocka_unit_test(test_claimed_incarnation),
		cmocka_unit_test(test_flood_of_incarnations),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_flood_of_strangers),
		cmocka_unit_test(test_broken_chain),
		cmocka_unit_test(test_large_vectors),
		cmocka_unit_test(test_flood_of_large_bundles),
		cmocka_unit_test(test_base_not_seen),
		cmocka_unit_test(test_inode_not_seen),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_removed_while_connected),
		cmocka_unit_test(test_flood_of_joiners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
