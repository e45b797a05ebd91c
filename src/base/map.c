// SPDX-License-Identifier: MIT
/*
 * map.c - the ordered map behind the simulator's rows and in front of LMDB: a B+tree
 *
 * Entries never move when nodes split; leaves are chained, so that a walk touches no inner node.
 * Entries lie in large blocks that go with the map, as most maps are filled and then dropped whole;
 * room that an entry gave up is kept for others of its size.  Full nodes are split on the way down:
 * each split is a whole change that leaves a valid tree, so running out of memory half way harms
 * nothing.  Nodes are given back when they are empty and never merged: rows come and go in runs of
 * neighbours.
 *
 * I1  entries of a leaf ascend, and all of child k are >= key[k - 1] and < key[k] of its parent
 * I2  no leaf but a root is empty, no inner node has no child
 * I3  next chains all leaves in order
 */
#include "base/map.h"
#include <stdlib.h>

#define FANOUT 64
#define HEIGHT_MAX 16 /* a level more needs 32 times the splits: never reached */

#define ITEM_ALIGN 16
#ifdef __SANITIZE_ADDRESS__
#define ITEM_POOLED_MAX 0 /* what is used after its entry went shows only if each is a block */
#else
#define ITEM_POOLED_MAX 1024 /* larger ones are blocks of their own */
#endif
#define BLOCK_MIN 1024
#define BLOCK_MAX (64u << 10)

struct item {
	uint32_t key_len, value_len, room; /* room: bytes for the value */
	uint8_t b[]; /* key, value */
};
struct spare { /* where an item was */
	struct spare *next;
};
struct block { /* of items */
	struct block *next;
	size_t room, used;
	_Alignas(ITEM_ALIGN) uint8_t b[];
};
struct sep {
	uint32_t len;
	uint8_t b[];
};
struct leaf {
	uint32_t count;
	struct leaf *prev, *next;
	struct item *at[FANOUT];
};
struct inner {
	uint32_t count; /* children */
	struct sep *key[FANOUT - 1];
	void *at[FANOUT];
};
struct map {
	void *root; /* a leaf if height is 0 */
	uint32_t height;
	size_t count, bytes, large; /* large: items that are blocks of their own */
	struct block *blocks; /* the first is being filled */
	struct spare *spare[ITEM_POOLED_MAX / ITEM_ALIGN + 1]; /* by size / ITEM_ALIGN */
};

static struct bytes item_key(const struct item *i)
{
	return (struct bytes){i->b, i->key_len};
}

static struct bytes item_value(const struct item *i)
{
	return (struct bytes){i->b + i->key_len, i->value_len};
}

static size_t item_size(const struct item *i)
{
	return sizeof(*i) + i->key_len + i->room;
}

/* ---- where items lie ---- */

static size_t rounded(size_t size)
{
	return (size + ITEM_ALIGN - 1) / ITEM_ALIGN * ITEM_ALIGN;
}

/* A new block, twice as large as the last one; what that one had left is lost. */
static bool block_add(struct map *m)
{
	size_t room = m->blocks ? MIN(2 * m->blocks->room, (size_t)BLOCK_MAX) : BLOCK_MIN;
	struct block *b = malloc(sizeof(*b) + room);

	if (!b)
		return false;
	*b = (struct block){.next = m->blocks, .room = room};
	m->blocks = b;
	return true;
}

static void *item_room(struct map *m, size_t size)
{
	if (size > ITEM_POOLED_MAX) {
		void *p = malloc(size);
		m->large += p != NULL;
		return p;
	}
	size = rounded(size);
	struct spare **s = &m->spare[size / ITEM_ALIGN];
	if (*s) {
		void *p = *s;
		*s = (*s)->next;
		return p;
	}
	if ((!m->blocks || m->blocks->room - m->blocks->used < size) && !block_add(m))
		return NULL;
	void *p = m->blocks->b + m->blocks->used;
	m->blocks->used += size;
	return p;
}

static void item_free(struct map *m, struct item *i)
{
	size_t size = item_size(i);

	if (size > ITEM_POOLED_MAX) {
		m->large--;
		free(i);
		return;
	}
	struct spare **s = &m->spare[rounded(size) / ITEM_ALIGN], *p = (void *)i;
	p->next = *s;
	*s = p;
}

static void blocks_free(struct map *m)
{
	while (m->blocks) {
		struct block *b = m->blocks;
		m->blocks = b->next;
		free(b);
	}
}

struct map *map_new(void)
{
	struct map *m = calloc(1, sizeof(*m));
	struct leaf *l = calloc(1, sizeof(*l));

	if (!m || !l) {
		free(m);
		free(l);
		return NULL;
	}
	m->root = l;
	m->bytes = sizeof(*m) + sizeof(*l);
	return m;
}

/* The first entry at or after key; *there if it has that key. */
static uint32_t leaf_find(const struct leaf *l, struct bytes key, bool *there)
{
	uint32_t low = 0, high = l->count;

	*there = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = bytes_compare(item_key(l->at[mid]), key);
		if (c == 0) {
			*there = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The child in which key belongs. */
static uint32_t inner_find(const struct inner *n, struct bytes key)
{
	uint32_t low = 0, high = n->count - 1;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct sep *s = n->key[mid];
		if (bytes_compare((struct bytes){s->b, s->len}, key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct leaf *leaf_of(const struct map *m, struct bytes key)
{
	void *at = m->root;

	for (uint32_t h = m->height; h > 0; h--) {
		struct inner *n = at;
		at = n->at[inner_find(n, key)];
	}
	return at;
}

static void free_below(struct map *m, void *at, uint32_t height)
{
	/* The depth is that of the tree, HEIGHT_MAX at most. */
	if (height == 0) {
		struct leaf *l = at;
		for (uint32_t k = 0; m->large && k < l->count; k++)
			if (item_size(l->at[k]) > ITEM_POOLED_MAX)
				item_free(m, l->at[k]);
	} else {
		struct inner *n = at;
		for (uint32_t k = 0; k < n->count; k++)
			free_below(m, n->at[k], height - 1);
		for (uint32_t k = 0; k + 1 < n->count; k++)
			free(n->key[k]);
	}
	free(at);
}

void map_free(struct map *m)
{
	if (!m)
		return;
	free_below(m, m->root, m->height);
	blocks_free(m);
	free(m);
}

bool map_get(const struct map *m, struct bytes key, struct bytes *value)
{
	const struct leaf *l = leaf_of(m, key);
	bool there;
	uint32_t k = leaf_find(l, key, &there);

	if (there)
		*value = item_value(l->at[k]);
	return there;
}

static struct sep *sep_new(struct map *m, struct bytes key)
{
	struct sep *s = malloc(sizeof(*s) + key.len);

	if (!s)
		return NULL;
	s->len = (uint32_t)key.len;
	if (key.len)
		memcpy(s->b, key.at, key.len);
	m->bytes += sizeof(*s) + key.len;
	return s;
}

static void sep_free(struct map *m, struct sep *s)
{
	m->bytes -= sizeof(*s) + s->len;
	free(s);
}

/* Make room beside child k of parent, for a new child with its separator. */
static void inner_insert(struct inner *parent, uint32_t k, struct sep *s, void *child)
{
	assert(parent->count < FANOUT && k < parent->count);
	memmove(&parent->at[k + 2], &parent->at[k + 1],
		(parent->count - k - 1) * sizeof(parent->at[0]));
	memmove(&parent->key[k + 1], &parent->key[k],
		(parent->count - k - 1) * sizeof(parent->key[0]));
	parent->at[k + 1] = child;
	parent->key[k] = s;
	parent->count++;
}

/*
 * Split the full leaf that is child k of parent.  A key that goes behind all others leaves the
 * old leaf full: rows made in order then fill their leaves.
 */
static bool split_leaf(struct map *m, struct inner *parent, uint32_t k, struct bytes key)
{
	struct leaf *old = parent->at[k], *l = calloc(1, sizeof(*l));
	bool last = bytes_compare(item_key(old->at[old->count - 1]), key) < 0;
	uint32_t stay = last ? old->count - 1 : old->count / 2;
	struct sep *s = l ? sep_new(m, item_key(old->at[stay])) : NULL;

	if (!s) {
		free(l);
		return false;
	}
	l->count = old->count - stay;
	memcpy(l->at, &old->at[stay], l->count * sizeof(l->at[0]));
	old->count = stay;
	l->prev = old;
	l->next = old->next;
	if (l->next)
		l->next->prev = l;
	old->next = l;
	inner_insert(parent, k, s, l);
	m->bytes += sizeof(*l);
	return true;
}

static bool split_inner(struct map *m, struct inner *parent, uint32_t k, struct bytes key)
{
	struct inner *old = parent->at[k], *n = calloc(1, sizeof(*n));
	const struct sep *end = old->key[old->count - 2];
	bool last = bytes_compare((struct bytes){end->b, end->len}, key) < 0;
	uint32_t stay = last ? old->count - 2 : old->count / 2;

	if (!n)
		return false;
	n->count = old->count - stay;
	memcpy(n->at, &old->at[stay], n->count * sizeof(n->at[0]));
	memcpy(n->key, &old->key[stay], (n->count - 1) * sizeof(n->key[0]));
	old->count = stay;
	inner_insert(parent, k, old->key[stay - 1], n);
	m->bytes += sizeof(*n);
	return true;
}

/* A new root above the old one, so that the old one can be split. */
static bool grow(struct map *m)
{
	struct inner *n = calloc(1, sizeof(*n));

	if (!n)
		return false;
	n->at[0] = m->root;
	n->count = 1;
	m->root = n;
	m->height++;
	assert(m->height < HEIGHT_MAX);
	m->bytes += sizeof(*n);
	return true;
}

static bool is_full(const void *at, uint32_t height)
{
	return (height ? ((const struct inner *)at)->count : ((const struct leaf *)at)->count) ==
	       FANOUT;
}

/* The leaf for key with room for one more; NULL: no memory. */
static struct leaf *leaf_with_room(struct map *m, struct bytes key)
{
	if (is_full(m->root, m->height) && !grow(m))
		return NULL;
	void *at = m->root;
	for (uint32_t h = m->height; h > 0; h--) {
		struct inner *n = at;
		uint32_t k = inner_find(n, key);
		if (is_full(n->at[k], h - 1)) {
			bool ok = h > 1 ? split_inner(m, n, k, key) : split_leaf(m, n, k, key);
			if (!ok)
				return NULL;
			k = inner_find(n, key);
		}
		at = n->at[k];
	}
	return at;
}

static struct item *item_new(struct map *m, struct bytes key, struct bytes value)
{
	struct item *i = item_room(m, sizeof(*i) + key.len + value.len);

	if (!i)
		return NULL;
	i->key_len = (uint32_t)key.len;
	i->value_len = i->room = (uint32_t)value.len;
	if (key.len)
		memcpy(i->b, key.at, key.len);
	if (value.len)
		memcpy(i->b + key.len, value.at, value.len);
	return i;
}

static enum err replace(struct map *m, struct item **at, struct bytes value)
{
	struct item *old = *at;

	if (value.len <= old->room && old->room - value.len <= 64) {
		if (value.len)
			memmove(old->b + old->key_len, value.at, value.len);
		old->value_len = (uint32_t)value.len;
		return ERR_OK;
	}
	struct item *i = item_new(m, item_key(old), value);
	if (!i)
		return fail(ERR_NOMEM);
	m->bytes += item_size(i) - item_size(old);
	*at = i;
	item_free(m, old);
	return ERR_OK;
}

enum err map_put(struct map *m, struct bytes key, struct bytes value)
{
	struct leaf *l = leaf_of(m, key);
	bool there;
	uint32_t k = leaf_find(l, key, &there);

	assert(key.len <= UINT32_MAX / 4 && value.len <= UINT32_MAX / 4);
	if (there)
		return replace(m, &l->at[k], value);
	struct item *i = item_new(m, key, value);
	if (!i)
		return fail(ERR_NOMEM);
	if (l->count == FANOUT) {
		l = leaf_with_room(m, item_key(i));
		if (!l) {
			item_free(m, i);
			return fail(ERR_NOMEM);
		}
		k = leaf_find(l, item_key(i), &there);
	}
	memmove(&l->at[k + 1], &l->at[k], (l->count - k) * sizeof(l->at[0]));
	l->at[k] = i;
	l->count++;
	m->count++;
	m->bytes += item_size(i);
	return ERR_OK;
}

/* Take the empty leaf at the end of a way down out of the tree, and parents that empty with it. */
static void prune(struct map *m, struct inner **way, const uint32_t *pos, struct leaf *l)
{
	if (l->prev)
		l->prev->next = l->next;
	if (l->next)
		l->next->prev = l->prev;
	free(l);
	m->bytes -= sizeof(*l);
	uint32_t h = 0;
	while (way[h]->count == 1) { /* the root keeps a child, for the tree had another leaf */
		free(way[h]);
		m->bytes -= sizeof(*way[h]);
		h++;
		assert(h < m->height);
	}
	struct inner *n = way[h];
	uint32_t k = pos[h], gone = k ? k - 1 : 0;
	sep_free(m, n->key[gone]);
	memmove(&n->key[gone], &n->key[gone + 1], (n->count - 2 - gone) * sizeof(n->key[0]));
	memmove(&n->at[k], &n->at[k + 1], (n->count - 1 - k) * sizeof(n->at[0]));
	n->count--;
	while (m->height && ((struct inner *)m->root)->count == 1) {
		struct inner *old = m->root;
		m->root = old->at[0];
		m->height--;
		free(old);
		m->bytes -= sizeof(*old);
	}
}

bool map_del(struct map *m, struct bytes key)
{
	struct inner *way[HEIGHT_MAX];
	uint32_t pos[HEIGHT_MAX];
	void *at = m->root;

	for (uint32_t h = m->height; h > 0; h--) {
		way[h - 1] = at;
		pos[h - 1] = inner_find(way[h - 1], key);
		at = way[h - 1]->at[pos[h - 1]];
	}
	struct leaf *l = at;
	bool there;
	uint32_t k = leaf_find(l, key, &there);
	if (!there)
		return false;
	m->bytes -= item_size(l->at[k]);
	m->count--;
	item_free(m, l->at[k]);
	memmove(&l->at[k], &l->at[k + 1], (l->count - k - 1) * sizeof(l->at[0]));
	l->count--;
	if (l->count == 0 && m->height)
		prune(m, way, pos, l);
	return true;
}

bool map_next(const struct map *m, struct bytes from, bool beyond, struct bytes *key,
	      struct bytes *value)
{
	const struct leaf *l = leaf_of(m, from);
	bool there;
	uint32_t k = leaf_find(l, from, &there);

	if (there && beyond)
		k++;
	if (k == l->count) {
		l = l->next;
		k = 0;
		if (!l)
			return false;
	}
	*key = item_key(l->at[k]);
	*value = item_value(l->at[k]);
	return true;
}

size_t map_bytes(const struct map *m)
{
	return m->bytes;
}

size_t map_count(const struct map *m)
{
	return m->count;
}
