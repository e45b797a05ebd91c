// SPDX-License-Identifier: MIT
/* pairhands.c - the part of pair.c that handles bytes: packs, pieces, sealing; see pair.h */
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define NODE_ENTRIES 16u /* of the nodes that this sealer makes */
#define ENTRIES_MAX 256u
#define MISSING_MAX 64u

/* Room for one more at the end of an array. */
void *pair_grown(void *at, uint32_t count, uint32_t *room, size_t size)
{
	if (count < *room)
		return at;
	*room = *room ? *room * 2 : 16;
	at = realloc(at, *room * size);
	assert_non_null(at);
	return at;
}

/* ---- packs ---- */

uint64_t pair_pack(struct side *s, uint8_t kind, const struct hash *name, struct bytes sealed)
{
	s->pieces = pair_grown(s->pieces, s->pieces_count, &s->pieces_room, sizeof(*s->pieces));
	s->pieces[s->pieces_count++] =
		(struct pair_piece){*name, s->packs.len, (uint32_t)sealed.len, kind};
	wr_bytes(&s->packs, sealed);
	assert_false(s->packs.bad);
	return s->packs.len - sealed.len;
}

enum err pair_open_piece(struct side *s, struct bytes sealed, enum seal_kind kind, struct wr *w)
{
	struct seal_info info;
	struct seal_keys keys;
	enum err e = seal_peek(sealed, &info);

	if (e)
		return e;
	if (node_keys_of(s->node, info.epoch, &keys))
		return ERR_NOENT;
	uint8_t *to = wr_span(w, sealed.len - SEAL_OVERHEAD);
	assert_non_null(to);
	return seal_open(sealed, &keys, &s->config.folder, kind, to, &info);
}

void pair_read_piece(struct side *s, const struct piece *p, struct wr *w)
{
	struct wr plain = {0};
	uint8_t *to;

	switch (p->kind) {
	case PIECE_ZERO:
		to = wr_span(w, p->len);
		assert_non_null(to);
		memset(to, 0, p->len);
		break;
	case PIECE_INLINE:
		wr_raw(w, p->data, p->len);
		break;
	case PIECE_DATA:
		assert_true(p->addr + p->len <= s->data.len);
		wr_raw(w, s->data.at + p->addr, p->len);
		break;
	case PIECE_CHUNK:
		assert_true(p->addr + p->entry.stored <= s->packs.len);
		assert_int_equal(
			pair_open_piece(s, (struct bytes){s->packs.at + p->addr, p->entry.stored},
					SEAL_CHUNK, &plain),
			ERR_OK);
		assert_true(p->from + p->len <= plain.len);
		wr_raw(w, plain.at + p->from, p->len);
		break;
	}
	wr_fini(&plain);
}

/* ---- sealing ---- */

struct job {
	struct side *s;
	uint64_t work, size;
	struct node_keys keys;
	struct entry level[ENTRIES_MAX];
	uint32_t count;
	struct sealed_piece fresh[ENTRIES_MAX + NODE_ENTRIES];
	uint32_t fresh_count;
	struct missing missing[MISSING_MAX];
	uint32_t missing_count;
	struct wr manifest;
};

static void store(struct job *j, enum seal_kind kind, struct bytes plain, struct entry *e)
{
	struct wr sealed = {0};
	struct entry had;
	uint8_t nonce[SEAL_NONCE] = {0};
	uint32_t number = ++j->s->pair->seeds;

	if (node_known(j->s->node, &e->id, &had) == ERR_OK) {
		*e = had;
		return;
	}
	memcpy(nonce, &number, sizeof(number));
	seal_piece(&sealed, &j->keys.newest, &j->s->config.folder, kind, 0, (uint32_t)plain.len,
		   plain, nonce);
	hash_blake(wr_view(&sealed), &e->name);
	e->epoch = j->keys.newest.epoch;
	e->stored = (uint32_t)sealed.len;
	struct sealed_piece *p = &j->fresh[j->fresh_count++];
	*p = (struct sealed_piece){.entry = *e};
	p->addr = pair_pack(j->s, (uint8_t)kind, &e->name, wr_view(&sealed));
	wr_fini(&sealed);
	if (kind == SEAL_NODE) {
		uint8_t *copy = malloc(plain.len);
		assert_non_null(copy);
		memcpy(copy, plain.at, plain.len);
		p->plain = (struct bytes){copy, plain.len};
	}
}

/* The bytes [off, off + len) of the work. */
static enum err fill(struct job *j, uint64_t off, uint64_t len, struct wr *w)
{
	struct piece pieces[32];
	size_t end = w->len + len;

	while (w->len < end) {
		struct node_map map = {pieces, j->missing, ARRAY_LEN(pieces), MISSING_MAX};
		size_t before = w->len;
		enum err e = node_work_map(j->s->node, j->work, off, end - w->len, &map);
		j->missing_count = map.missing_count;
		if (e)
			return e;
		for (uint32_t k = 0; k < map.count; k++)
			pair_read_piece(j->s, &pieces[k], w);
		assert_true(w->len > before && w->len <= end);
		off += w->len - before;
	}
	return ERR_OK;
}

static enum err walk(struct job *j)
{
	for (uint64_t off = 0; off < j->size;) {
		struct entry x = {.kind = ENTRY_CHUNK, .len = MIN(PAIR_CHUNK, j->size - off)};
		struct wr plain = {0};
		struct entry old;
		enum err e = ERR_OK;
		if (node_work_reuse(j->s->node, j->work, off, &old) == ERR_OK) {
			x = old;
		} else {
			e = fill(j, off, x.len, &plain);
			hash_keyed(j->keys.id_key, wr_view(&plain), &x.id);
			if (!e)
				store(j, SEAL_CHUNK, wr_view(&plain), &x);
		}
		wr_fini(&plain);
		if (e)
			return e;
		assert_true(j->count < ENTRIES_MAX);
		j->level[j->count++] = x;
		off += x.len;
	}
	return ERR_OK;
}

/* One level of nodes over too many chunks. */
static void raise_level(struct job *j)
{
	uint32_t up = 0;

	for (uint32_t from = 0; from < j->count; from += NODE_ENTRIES) {
		uint32_t n = MIN(NODE_ENTRIES, j->count - from);
		struct entry x = {.kind = ENTRY_NODE};
		struct wr plain = {0};
		for (uint32_t k = 0; k < n; k++)
			x.len += j->level[from + k].len;
		node_id(j->keys.id_key, &j->level[from], n, &x.id);
		node_encode(&plain, 0, &j->level[from], n);
		store(j, SEAL_NODE, wr_view(&plain), &x);
		wr_fini(&plain);
		j->level[up++] = x;
	}
	j->count = up;
}

static enum err seal(struct job *j)
{
	struct manifest m = {.size = j->size};
	struct wr plain = {0};
	enum err e;

	if (j->size <= INLINE_BYTES_MAX) {
		e = fill(j, 0, j->size, &plain);
		if (!e)
			manifest_inline(&j->manifest, wr_view(&plain));
		wr_fini(&plain);
		return e;
	}
	e = walk(j);
	if (e)
		return e;
	if (j->count > MANIFEST_ROOT_MAX) {
		raise_level(j);
		m.depth = 1;
	}
	m.count = j->count;
	memcpy(m.at, j->level, m.count * sizeof(m.at[0]));
	manifest_encode(&j->manifest, &m);
	return ERR_OK;
}

void pair_seal_work(struct side *s, uint64_t work)
{
	struct job *j = calloc(1, sizeof(*j));
	struct event ev = {.kind = EV_SEALED};

	assert_non_null(j);
	j->s = s;
	j->work = work;
	node_keys(s->node, &j->keys);
	assert_true(j->keys.have);
	j->size = node_work_size(s->node, work);
	if (j->size) { /* else it was dropped meanwhile */
		ev.sealed.work = work;
		ev.sealed.err = seal(j);
		ev.sealed.manifest = wr_view(&j->manifest);
		ev.sealed.pieces = j->fresh;
		ev.sealed.pieces_count = j->fresh_count;
		ev.sealed.missing = j->missing;
		ev.sealed.missing_count = ev.sealed.err == ERR_AGAIN ? j->missing_count : 0;
		assert_int_equal(pair_step(s, &ev), ERR_OK);
	}
	for (uint32_t k = 0; k < j->fresh_count; k++)
		free((void *)(uintptr_t)j->fresh[k].plain.at);
	wr_fini(&j->manifest);
	free(j);
}
