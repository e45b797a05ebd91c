// SPDX-License-Identifier: MIT
/* hearer.c - a node that only hears, and those who write what it hears */
#include "hearer.h"
#include "replay.h"
#include <stdlib.h>

#define SESSION 7
#define INCS_EACH ((UINT64_C(1) << 63) / (AUTHORS + 1) + 1)

/* ---- the folder ---- */

static void roster_entry(struct wr *journal, struct bytes record)
{
	wr_u8(journal, J_ROSTER);
	wr_u32(journal, (uint32_t)record.len);
	wr_bytes(journal, record);
}

static void admit(struct folder *f, size_t k)
{
	struct author *a = &f->who[k];
	const char name[] = {(char)('A' + k), 0};
	struct wr record = {0};
	uint8_t seed[32];

	memset(seed, (int)k + 1, sizeof(seed));
	sign_pair_init(&a->pair, seed);
	do
		a->inc = hash_incarnation(&f->config.folder, &a->pair.pub, ++a->nonce);
	while (a->inc / INCS_EACH != k); /* where ties go by the number they go by the name */
	struct member_record m = {.kind = MEMBER_ADD,
				  .role = k < AUTHORS ? ROLE_WRITER : ROLE_READER,
				  .folder = f->config.folder,
				  .author = f->config.device.pub,
				  .subject = a->pair.pub,
				  .parents_count = 1,
				  .name = bytes_text(name)};
	m.parents[0] = f->head;
	member_encode(&record, &m, &f->config.device);
	hash_blake(wr_view(&record), &f->head);
	roster_entry(&f->founding, wr_view(&record));
	wr_fini(&record);
}

void folder_init(struct folder *f)
{
	const uint8_t seed[32] = {99};
	struct hearer h;
	struct node_keys keys;

	memset(f, 0, sizeof(*f));
	seal_use_fake(true);
	sign_pair_init(&f->config.device, seed);
	memcpy(f->config.device_name, "founder", 8);
	must(node_found(&f->config, bytes_text("folder"), 1, &f->founding) == ERR_OK, "node_found");
	struct rd r = rd_of(wr_view(&f->founding));
	for (int k = 0; k < 2; k++) { /* the founding record, and the founder's keys */
		rd_u8(&r);
		hash_blake(rd_bytes(&r, rd_u32(&r)), &f->head);
	}
	for (size_t k = 0; k <= AUTHORS; k++)
		admit(f, k);
	f->decided = f->head;
	hearer_init(&h, f, &f->config.brake);
	node_keys(h.node, &keys);
	f->keys = keys.newest;
	hearer_fini(&h);
}

void folder_rewind(struct folder *f)
{
	for (size_t k = 0; k < AUTHORS; k++) {
		vector_unref(f->who[k].vec);
		f->who[k].vec = NULL;
		f->who[k].seq = 0;
		memset(&f->who[k].prev, 0, sizeof(f->who[k].prev));
	}
	f->decided = f->head;
}

void folder_fini(struct folder *f)
{
	folder_rewind(f);
	wr_fini(&f->founding);
}

/* What a vector says that the one before did not; its author's own log is not in it. */
static struct vector *delta_of(uint64_t inc, const struct vector *was, const struct vector *is)
{
	struct vector *all = vector_join(was, is), *delta = NULL;

	for (uint32_t k = 0; all && k < all->count; k++) {
		const uint64_t of = all->at[k].inc, seq = vector_get(is, of);
		struct vector *less = delta;
		if (of == inc || vector_get(was, of) == seq)
			continue;
		delta = vector_with(less, of, seq ? seq : LOG_DELTA_GONE);
		vector_unref(less);
	}
	vector_unref(all);
	return delta ? delta : vector_new(NULL, 0);
}

void folder_bundle(struct folder *f, size_t who, struct bytes records, const struct vector *vec,
		   struct wr *raw)
{
	static const uint8_t nonce[SEAL_NONCE];
	struct author *a = &f->who[who];
	struct wr sealed = {0};
	struct bundle_head h = {.folder = f->config.folder,
				.device = a->pair.pub,
				.nonce = a->nonce,
				.inc = a->inc,
				.seq = ++a->seq,
				.prev = a->prev,
				.roster = f->head,
				.epoch = f->keys.epoch};

	h.delta = delta_of(a->inc, a->vec, vec);
	seal_piece(&sealed, &f->keys, &f->config.folder, SEAL_BUNDLE, 0, (uint32_t)records.len,
		   records, nonce);
	h.body = wr_view(&sealed);
	bundle_encode(raw, &h);
	bundle_sign(raw, 0, &a->pair);
	bundle_hash(wr_view(raw), &a->prev);
	vector_unref(h.delta);
	vector_unref(a->vec);
	a->vec = vector_ref(vec);
	wr_fini(&sealed);
}

bool folder_decision(struct bytes word, struct member_record *ret)
{
	static const struct {
		const char *word;
		enum member_kind kind;
	} kinds[] = {{"remove", MEMBER_REMOVE},
		     {"retire", MEMBER_RETIRE},
		     {"reject", MEMBER_REJECT},
		     {"reader", MEMBER_ROLE},
		     {"accept", MEMBER_ACCEPT}};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		if (!bytes_equal(word, bytes_text(kinds[k].word)))
			continue;
		ret->kind = (uint8_t)kinds[k].kind;
		ret->role = kinds[k].kind == MEMBER_ROLE ? ROLE_READER : ROLE_NONE;
		return true;
	}
	return false;
}

void folder_decide(struct folder *f, const struct member_record *what, size_t who,
		   struct wr *message)
{
	struct member_record m = *what;
	struct wire_message wire = {.type = WIRE_ROSTER};
	struct wr record = {0}, list = {0};

	m.folder = f->config.folder;
	m.author = f->config.device.pub;
	m.subject = f->who[who].pair.pub;
	m.parents_count = 1;
	m.parents[0] = f->decided;
	member_encode(&record, &m, &f->config.device);
	hash_blake(wr_view(&record), &f->decided);
	wr_u32(&list, (uint32_t)record.len);
	wr_bytes(&list, wr_view(&record));
	wire.roster.count = 1;
	wire.roster.rest = wr_view(&list);
	wire_encode(message, &wire);
	wr_fini(&record);
	wr_fini(&list);
}

/* ---- the node ---- */

static enum err opened(void *arg, struct bytes raw, struct bundle **ret)
{
	const struct folder *f = ((struct hearer *)arg)->folder;
	struct bundle *b = must_alloc(NULL, sizeof(*b));
	struct seal_info info;

	memset(b, 0, sizeof(*b));
	b->raw = must_alloc(NULL, raw.len);
	memcpy(b->raw, raw.at, raw.len);
	b->raw_len = raw.len;
	must(bundle_decode((struct bytes){b->raw, raw.len}, &b->head) == ERR_OK, "bundle_decode");
	bundle_hash(raw, &b->hash);
	b->plain = must_alloc(NULL, b->head.body.len);
	must(seal_open(b->head.body, &f->keys, &f->config.folder, SEAL_BUNDLE, b->plain, &info) ==
		     ERR_OK,
	     "seal_open");
	must(bundle_records(b, info.plain_len) == ERR_OK, "bundle_records");
	*ret = b;
	return ERR_OK;
}

static void append(struct hearer *h, struct bytes payload)
{
	if (!payload.len)
		return;
	if (h->frames_count == h->frames_room) {
		h->frames_room = 2 * h->frames_room + 16;
		h->frames = must_alloc(h->frames, h->frames_room * sizeof(h->frames[0]));
	}
	wr_bytes(&h->journal, payload);
	h->frames[h->frames_count++] = h->journal.len;
}

/* The view once more from the journal, as its owner does it when it is told to. */
static void rebuild(struct hearer *h, struct actions *acts)
{
	h->rebuilt++;
	must(node_rebuild_begin(h->node) == ERR_OK, "node_rebuild_begin");
	for (uint32_t k = 0; k < h->frames_count; k++) {
		size_t at = k ? h->frames[k - 1] : 0;
		struct bytes payload = {h->journal.at + at, h->frames[k] - at};
		must(node_rebuild_frame(h->node, at, payload, opened, h) == ERR_OK,
		     "node_rebuild_frame");
	}
	must(node_rebuild_end(h->node, acts) == ERR_OK, "node_rebuild_end");
	must(!node_wants_rebuild(h->node), "one rebuild is enough");
}

static void note(struct hearer *h, const struct actions *acts)
{
	struct node_counts counts;
	struct node_aside aside[AUTHORS];

	for (uint32_t k = 0; k < acts->count; k++) {
		const struct action *a = &acts->at[k];
		must(a->kind != ACT_DROP, "the session goes on");
		if (a->kind == ACT_REPORT && a->report.warn &&
		    !strstr(a->report.text, "peerfs accept"))
			h->warned++;
	}
	node_counts(h->node, &counts);
	h->waited |= counts.waiting_bundles > 0;
	uint32_t count = node_aside(h->node, aside, AUTHORS);
	for (uint32_t k = 0; k < count; k++)
		h->braked |= aside[k].why == ASIDE_BRAKE;
}

static void step(struct hearer *h, struct event *ev)
{
	struct actions acts = {0};

	ev->now_usec = h->now += 1000;
	ev->wall_ms = HEARER_WALL_MS;
	ev->journal_at = h->journal.len;
	must(node_step(h->node, ev, &acts) == ERR_OK, "node_step");
	append(h, wr_view(&acts.journal));
	if (node_wants_rebuild(h->node))
		rebuild(h, &acts);
	note(h, &acts);
	actions_fini(&acts);
}

void hearer_init(struct hearer *h, const struct folder *f, const struct brake_limits *brake)
{
	struct event start = {.kind = EV_START}, up = {.kind = EV_UP, .peer = SESSION};

	*h = (struct hearer){.folder = f, .config = f->config, .kv = kv_new_map()};
	h->config.brake = *brake;
	h->node = node_new(h->kv, &h->config);
	must(h->kv && h->node, "memory");
	append(h, wr_view(&f->founding));
	must(node_replay(h->node, 0, wr_view(&f->founding), NULL, NULL) == ERR_OK, "node_replay");
	step(h, &start);
	up.up.device = f->who[AUTHORS].pair.pub;
	step(h, &up);
}

void hearer_fini(struct hearer *h)
{
	node_free(h->node);
	kv_free_map(h->kv);
	wr_fini(&h->journal);
	free(h->frames);
}

void hearer_bundle(struct hearer *h, struct bytes raw)
{
	struct event ev = {.kind = EV_BUNDLE, .peer = SESSION};

	must(opened(h, raw, &ev.bundle.take) == ERR_OK, "opened");
	step(h, &ev);
}

void hearer_roster(struct hearer *h, struct bytes message)
{
	struct event ev = {.kind = EV_ROSTER, .peer = SESSION};

	ev.message.bytes = message;
	step(h, &ev);
}
