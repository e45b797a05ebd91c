// SPDX-License-Identifier: MIT
/*
 * simpool.c - see simpool.h
 *
 * The sealer takes the same cuts and makes the same tree as the daemon's (sys/sealer), in one go:
 * what it stores is synced before the core hears of it.
 */
#include "simpool.h"
#include "codec/cut.h"
#include "oracle.h"
#include "simnode.h"
#include <stdlib.h>

#define MISSING_MAX 32
#define PIECES_MAX 40

struct entries {
	struct entry *at;
	uint32_t count, room;
};
struct job {
	struct simnode *n;
	uint64_t work, size;
	struct node_keys keys;
	struct cutter cutter;
	struct entries level;
	struct sealed_piece *fresh;
	uint32_t fresh_count, fresh_room;
	struct missing missing[MISSING_MAX];
	uint32_t missing_count;
	struct map *seen; /* id -> entry sealed in this job */
	struct wr buf, manifest;
};

static void add(struct entries *l, const struct entry *e)
{
	struct entry *last = l->count ? &l->at[l->count - 1] : NULL;

	if (last && last->kind == ENTRY_HOLE && e->kind == ENTRY_HOLE) {
		last->len += e->len;
		return;
	}
	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 32;
		l->at = realloc(l->at, l->room * sizeof(*l->at));
		assert(l->at);
	}
	l->at[l->count++] = *e;
}

static void random_nonce(struct simnode *n, uint8_t nonce[SEAL_NONCE])
{
	dice_bytes(&n->w->dice, nonce, SEAL_NONCE);
}

/* Seal and store a plaintext that nobody has, or take what there is. */
static void store(struct job *j, enum seal_kind kind, struct bytes plain, struct entry *e)
{
	struct bytes id = {e->id.b, HASH_LEN}, value;
	struct entry had;
	uint8_t nonce[SEAL_NONCE];
	struct wr sealed = {0};

	oracle_plain(j->n->w, kind, &e->id, plain);
	bool known = node_known(j->n->node, &e->id, &had) == ERR_OK;
	if (!known && map_get(j->seen, id, &value)) {
		memcpy(&had, value.at, sizeof(had));
		known = true;
	}
	if (known) {
		e->name = had.name;
		e->epoch = had.epoch;
		e->stored = had.stored;
		return;
	}
	random_nonce(j->n, nonce);
	seal_piece(&sealed, &j->keys.newest, &j->n->config.folder, kind, 0, (uint32_t)plain.len,
		   plain, nonce);
	assert(!sealed.bad);
	oracle_name(j->n->w, wr_view(&sealed), &e->name);
	e->epoch = j->keys.newest.epoch;
	e->stored = (uint32_t)sealed.len;
	if (j->fresh_count == j->fresh_room) {
		j->fresh_room = j->fresh_room ? j->fresh_room * 2 : 8;
		j->fresh = realloc(j->fresh, j->fresh_room * sizeof(*j->fresh));
		assert(j->fresh);
	}
	struct sealed_piece *p = &j->fresh[j->fresh_count++];
	memset(p, 0, sizeof(*p));
	p->entry = *e;
	p->addr = simdisk_pack(&j->n->disk, (uint8_t)kind, &e->name, wr_view(&sealed));
	if (kind == SEAL_NODE) {
		uint8_t *copy = malloc(plain.len);
		assert(copy);
		memcpy(copy, plain.at, plain.len);
		p->plain = (struct bytes){copy, plain.len};
	}
	if (map_put(j->seen, id, (struct bytes){(const uint8_t *)e, sizeof(*e)}))
		abort();
	wr_fini(&sealed);
}

/* The next bytes of the work from off, into buf. */
static enum err fill(struct job *j, uint64_t off, uint64_t len)
{
	static struct piece pieces[PIECES_MAX]; /* one job at a time: off the stack */
	enum err e = ERR_OK;

	wr_reset(&j->buf);
	while (!e && j->buf.len < len) {
		struct node_map map = {pieces, j->missing, PIECES_MAX, MISSING_MAX};
		e = node_work_map(j->n->node, j->work, off + j->buf.len, len - j->buf.len, &map);
		j->missing_count = map.missing_count;
		size_t before = j->buf.len;
		if (!e)
			e = simpool_read(j->n, pieces, map.count, &j->buf);
		if (!e && j->buf.len == before) {
			world_fail(j->n->w, "node %u: node_work_map() maps nothing at %llu of %llu",
				   j->n->no, (unsigned long long)off, (unsigned long long)j->size);
			return ERR_IO;
		}
	}
	if (!e && j->buf.len > len) {
		world_fail(j->n->w, "node %u: node_work_map() maps too much", j->n->no);
		return ERR_IO;
	}
	return e;
}

static bool all_zero(struct bytes b)
{
	return b.len == 0 || (b.at[0] == 0 && memcmp(b.at, b.at + 1, b.len - 1) == 0);
}

static enum err chunk(struct job *j, uint64_t off, uint64_t *len)
{
	uint64_t want = MIN(j->size - off, (uint64_t)CHUNK_BYTES_MAX);
	enum err e = fill(j, off, want);

	if (e)
		return e;
	struct bytes have = {j->buf.at, j->buf.len};
	have.len = cut_next(&j->cutter, have, off + want == j->size);
	assert(have.len);
	struct entry entry = {.kind = ENTRY_HOLE, .len = have.len};
	if (!all_zero(have)) {
		entry.kind = ENTRY_CHUNK;
		hash_keyed(j->keys.id_key, have, &entry.id);
		store(j, SEAL_CHUNK, have, &entry);
	}
	add(&j->level, &entry);
	*len = have.len;
	return ERR_OK;
}

static enum err walk(struct job *j)
{
	struct entry reused;

	for (uint64_t off = 0, len = 0; off < j->size; off += len) {
		if (node_work_reuse(j->n->node, j->work, off, &reused) == ERR_OK &&
		    reused.len <= j->size - off) {
			add(&j->level, &reused);
			len = reused.len;
			continue;
		}
		enum err e = chunk(j, off, &len);
		if (e)
			return e;
	}
	return ERR_OK;
}

static void raise_level(struct job *j, uint8_t depth)
{
	struct entries up = {0};

	for (uint32_t from = 0; from < j->level.count;) {
		const struct entry *at = &j->level.at[from];
		struct entry node = {.kind = ENTRY_NODE};
		struct wr plain = {0};
		uint32_t n = 1;
		while (!node_ends(&at[n - 1], n) && from + n < j->level.count)
			n++;
		for (uint32_t k = 0; k < n; k++)
			node.len += at[k].len;
		node_id(j->keys.id_key, at, n, &node.id);
		node_encode(&plain, depth, at, n);
		assert(!plain.bad);
		store(j, SEAL_NODE, wr_view(&plain), &node);
		wr_fini(&plain);
		add(&up, &node);
		from += n;
	}
	free(j->level.at);
	j->level = up;
}

static enum err run(struct job *j)
{
	struct manifest m = {.size = j->size};

	if (j->size <= INLINE_BYTES_MAX) {
		enum err e = fill(j, 0, j->size);
		if (!e)
			manifest_inline(&j->manifest, wr_view(&j->buf));
		return e;
	}
	enum err e = walk(j);
	if (e)
		return e;
	for (uint32_t k = 0; k < j->level.count; k++)
		m.holes += j->level.at[k].kind == ENTRY_HOLE ? j->level.at[k].len : 0;
	for (; j->level.count > MANIFEST_ROOT_MAX; m.depth++)
		raise_level(j, m.depth);
	m.count = j->level.count;
	memcpy(m.at, j->level.at, m.count * sizeof(m.at[0]));
	manifest_encode(&j->manifest, &m);
	return ERR_OK;
}

static void job_fini(struct job *j)
{
	for (uint32_t k = 0; k < j->fresh_count; k++)
		free((void *)(uintptr_t)j->fresh[k].plain.at);
	free(j->fresh);
	free(j->level.at);
	map_free(j->seen);
	wr_fini(&j->buf);
	wr_fini(&j->manifest);
}

void simpool_seal(struct simnode *n, uint64_t work)
{
	struct event ev = {.kind = EV_SEALED};
	struct job j = {.n = n, .work = work};

	j.seen = map_new();
	assert(j.seen);
	node_keys(n->node, &j.keys);
	if (!j.keys.have) {
		world_fail(n->w, "node %u: ACT_SEAL without keys", n->no);
		job_fini(&j);
		return;
	}
	cut_init(&j.cutter, j.keys.cut_key);
	j.size = node_work_size(n->node, work);
	ev.sealed.work = work;
	ev.sealed.err = run(&j);
	ev.sealed.manifest = wr_view(&j.manifest);
	ev.sealed.pieces = j.fresh;
	ev.sealed.pieces_count = j.fresh_count;
	ev.sealed.missing = j.missing;
	ev.sealed.missing_count = ev.sealed.err == ERR_AGAIN ? j.missing_count : 0;
	simdisk_sync_packs(&n->disk);
	bool sealed = !ev.sealed.err;
	enum err e = simnode_step(n, &ev);
	if (e == ERR_NOSPC) /* the job is kept until there is room */
		world_timer_of(n, TIMER_SEAL, 5 * SIM_SECOND)->a = work;
	else if (sealed && !n->dying)
		oracle_sealed(n, wr_view(&j.manifest));
	job_fini(&j);
}

void simpool_pair(struct sign_pair *p, uint8_t number)
{
	static struct sign_pair pairs[256]; /* making one takes longer than many a run's steps */
	static bool made[256];
	uint8_t seed[32] = {number};

	if (!made[number])
		sign_pair_init(&pairs[number], seed);
	made[number] = true;
	*p = pairs[number];
}

uint8_t *simpool_bundle(struct simnode *n, const struct action *a, size_t *len)
{
	struct bundle_head head = a->bundle.head;
	struct seal_keys keys;
	struct wr sealed = {0}, whole = {0};
	uint8_t nonce[SEAL_NONCE];

	if (node_keys_of(n->node, head.epoch, &keys)) {
		world_fail(n->w, "node %u: ACT_BUNDLE of an epoch without key", n->no);
		return NULL;
	}
	if (!n->liar)
		n->w->roster_head = head.roster;
	random_nonce(n, nonce);
	seal_piece(&sealed, &keys, &n->config.folder, SEAL_BUNDLE, 0, (uint32_t)a->bundle.len,
		   (struct bytes){a->bundle.body, a->bundle.len}, nonce);
	head.body = wr_view(&sealed);
	bundle_encode(&whole, &head);
	bundle_sign(&whole, 0, &n->config.device);
	assert(!whole.bad && whole.len <= BUNDLE_BYTES_MAX);
	wr_fini(&sealed);
	return wr_take(&whole, len);
}

/* Open a sealed piece, appended to w.  ERR_NOENT: its key is not known. */
static enum err open_piece(struct simnode *n, struct bytes sealed, enum seal_kind kind,
			   struct wr *w)
{
	struct seal_info info;
	struct seal_keys keys;
	enum err e = seal_peek(sealed, &info);

	if (e)
		return e;
	if (node_keys_of(n->node, info.epoch, &keys))
		return ERR_NOENT;
	size_t before = w->len;
	uint8_t *to = wr_span(w, sealed.len - SEAL_OVERHEAD);
	assert(to);
	e = seal_open(sealed, &keys, &n->config.folder, kind, to, &info);
	if (e)
		w->len = before;
	return e;
}

enum err simpool_open(struct simnode *n, struct bytes raw, bool verify, struct bundle **ret)
{
	struct bundle *b = calloc(1, sizeof(*b));
	struct wr plain = {0};
	size_t len;

	assert(b);
	b->raw = malloc(raw.len ? raw.len : 1);
	assert(b->raw);
	memcpy(b->raw, raw.at, raw.len);
	b->raw_len = raw.len;
	struct bytes whole = {b->raw, raw.len};
	enum err e = bundle_decode(whole, &b->head);
	if (!e && verify && !bundle_verify(whole, &b->head))
		e = ERR_FORGED;
	if (!e) {
		bundle_hash(whole, &b->hash);
		e = open_piece(n, b->head.body, SEAL_BUNDLE, &plain);
	}
	if (!e) {
		b->plain = wr_take(&plain, &len);
		e = bundle_records(b, len);
	}
	wr_fini(&plain);
	if (e && e != ERR_NOENT) {
		bundle_free(b);
		return e;
	}
	*ret = b;
	return ERR_OK;
}

enum err simpool_node(struct simnode *n, struct bytes sealed, struct wr *w)
{
	static struct entry at[MANIFEST_NODE_MAX]; /* one at a time: off the stack */
	uint8_t depth;
	uint32_t count;
	enum err e = open_piece(n, sealed, SEAL_NODE, w);

	return e ? e : node_decode(wr_view(w), &depth, at, &count);
}

static enum err read_chunk(struct simnode *n, const struct piece *p, uint64_t len, struct wr *w)
{
	struct wr plain = {0};
	struct hash name;

	if (p->addr > n->disk.packs.len || p->entry.stored > n->disk.packs.len - p->addr)
		return ERR_DAMAGED;
	struct bytes sealed = {n->disk.packs.at + p->addr, p->entry.stored};
	oracle_name(n->w, sealed, &name);
	enum err e = memcmp(&name, &p->entry.name, sizeof(name)) ? ERR_DAMAGED : ERR_OK;
	if (!e)
		e = open_piece(n, sealed, SEAL_CHUNK, &plain);
	if (!e && (p->from > plain.len || len > plain.len - p->from))
		e = ERR_DAMAGED;
	if (!e)
		wr_raw(w, plain.at + p->from, len);
	wr_fini(&plain);
	return e;
}

enum err simpool_read(struct simnode *n, const struct piece *p, uint32_t count, struct wr *w)
{
	for (uint32_t k = 0; k < count; k++) {
		enum err e = ERR_OK;
		uint8_t *to;
		switch (p[k].kind) {
		case PIECE_ZERO:
			to = wr_span(w, p[k].len);
			assert(to);
			memset(to, 0, p[k].len);
			break;
		case PIECE_INLINE:
			wr_raw(w, p[k].data, p[k].len);
			break;
		case PIECE_DATA:
			e = p[k].addr + p[k].len > n->disk.data.len ? ERR_DAMAGED : ERR_OK;
			if (!e)
				wr_raw(w, n->disk.data.at + p[k].addr, p[k].len);
			break;
		case PIECE_CHUNK:
			e = read_chunk(n, &p[k], p[k].len, w);
			break;
		}
		if (e && p[k].kind == PIECE_CHUNK && simnode_is_rotten(n, &p[k].entry.name))
			return e;
		if (e) {
			world_fail(n->w, "node %u: a mapped piece of kind %d is not there: %s",
				   n->no, (int)p[k].kind, err_text(e));
			return e;
		}
	}
	return ERR_OK;
}
