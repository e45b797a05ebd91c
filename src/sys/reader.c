// SPDX-License-Identifier: MIT
/*
 * reader.c - pieces to bytes, with the chunks opened last kept at hand
 *
 * A chunk that several threads want at once is opened by the first; the others wait for it.
 * Buffers go round: an entry that is dropped hands its memory to the next chunk, as fresh pages
 * are dear (pitfalls.md 51).
 *
 * I1  an entry with users is neither dropped nor reused
 * I2  ready entries without users are in the list, the one used longest ago first
 * I3  bytes counts the room of all entries; above the limit only entries with users remain
 */
#include "sys/reader.h"
#include "sys/pool.h"
#include <pthread.h>

#define BUCKETS 1024

enum state { LOADING, READY, FAILED };
struct cached {
	struct cached *chain; /* of its bucket */
	struct cached *older, *newer; /* in the list */
	struct hash name;
	enum state state;
	enum err err; /* FAILED: why */
	unsigned users;
	uint8_t *at;
	size_t len, room;
};
struct reader {
	struct files *files;
	struct folder_id folder;
	struct reader_ops ops;
	pthread_mutex_t mutex;
	pthread_cond_t loaded;
	struct cached *bucket[BUCKETS];
	struct cached *oldest, *newest;
	size_t bytes;
};

enum err reader_new(struct files *f, const struct folder_id *folder, const struct reader_ops *ops,
		    struct reader **ret)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return fail(ERR_NOMEM);
	r->files = f;
	r->folder = *folder;
	r->ops = *ops;
	(void)pthread_mutex_init(&r->mutex, NULL);
	(void)pthread_cond_init(&r->loaded, NULL);
	*ret = r;
	return ERR_OK;
}

static struct cached **bucket_of(struct reader *r, const struct hash *name)
{
	return &r->bucket[(name->b[0] | (unsigned)name->b[1] << 8) % BUCKETS];
}

static void list_add(struct reader *r, struct cached *c)
{
	c->newer = NULL;
	c->older = r->newest;
	if (r->newest)
		r->newest->newer = c;
	else
		r->oldest = c;
	r->newest = c;
}

static void list_del(struct reader *r, struct cached *c)
{
	if (c->older)
		c->older->newer = c->newer;
	else
		r->oldest = c->newer;
	if (c->newer)
		c->newer->older = c->older;
	else
		r->newest = c->older;
}

static void unchain(struct reader *r, const struct cached *c)
{
	struct cached **at = bucket_of(r, &c->name);

	while (*at != c)
		at = &(*at)->chain;
	*at = c->chain;
}

static void cached_free(struct reader *r, struct cached *c)
{
	r->bytes -= c->room;
	free(c->at);
	free(c);
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	while (r->oldest) {
		struct cached *c = r->oldest;

		list_del(r, c);
		cached_free(r, c);
	}
	assert(r->bytes == 0); /* I1: nobody reads any more */
	(void)pthread_cond_destroy(&r->loaded);
	(void)pthread_mutex_destroy(&r->mutex);
	free(r);
}

/* A new entry, LOADING, with one user, made of an old one when the cache is full. */
static struct cached *cached_make(struct reader *r, const struct hash *name, size_t len)
{
	struct cached *c = NULL;

	while (r->oldest && r->bytes + len > READER_CACHE_BYTES) { /* I3 */
		struct cached *gone = r->oldest;

		list_del(r, gone);
		unchain(r, gone);
		if (!c && gone->room >= len && gone->room / 2 <= len) {
			c = gone;
			break;
		}
		cached_free(r, gone);
	}
	if (!c) {
		c = calloc(1, sizeof(*c));
		uint8_t *at = c ? malloc(len) : NULL;

		if (!at) {
			free(c);
			return NULL;
		}
		c->at = at;
		c->room = len;
		r->bytes += len;
	}
	c->name = *name;
	c->len = len;
	c->state = LOADING;
	c->err = ERR_OK;
	c->users = 1;
	c->chain = *bucket_of(r, name);
	*bucket_of(r, name) = c;
	return c;
}

/* One user less; the last one leaves it to the list, or ends it. */
static void cached_drop(struct reader *r, struct cached *c)
{
	assert(c->users > 0);
	if (--c->users > 0)
		return;
	if (c->state == READY) {
		list_add(r, c);
		return;
	}
	unchain(r, c);
	cached_free(r, c);
}

static enum err chunk_open(struct reader *r, const struct piece *p, uint8_t *to)
{
	struct seal_keys keys;
	enum err e = r->ops.keys(r->ops.arg, p->entry.epoch, &keys);

	if (e)
		return e;
	uint8_t *sealed = malloc(p->entry.stored);

	if (!sealed)
		return fail(ERR_NOMEM);
	e = files_pack_read(r->files, p->addr, sealed, p->entry.stored);
	if (!e)
		e = pool_open_into((struct bytes){sealed, p->entry.stored}, &keys, &r->folder,
				   SEAL_CHUNK, to, p->entry.len);
	free(sealed);
	if (e == ERR_MALFORMED || e == ERR_FORGED || e == ERR_VERSION)
		e = fail(ERR_DAMAGED); /* it was sound when it was stored */
	return e;
}

static struct cached *cached_find(struct reader *r, const struct hash *name)
{
	struct cached *c = *bucket_of(r, name);

	while (c && memcmp(&c->name, name, sizeof(*name)) != 0)
		c = c->chain;
	return c;
}

/* With the mutex held: the entry of that chunk, READY or FAILED, for one more user. */
static struct cached *cached_get(struct reader *r, const struct piece *p)
{
	struct cached *c = cached_find(r, &p->entry.name);

	if (c) {
		if (c->users++ == 0)
			list_del(r, c);
		while (c->state == LOADING)
			(void)pthread_cond_wait(&r->loaded, &r->mutex);
		return c;
	}
	c = cached_make(r, &p->entry.name, p->entry.len);
	if (!c)
		return NULL;
	(void)pthread_mutex_unlock(&r->mutex);
	enum err e = chunk_open(r, p, c->at);

	(void)pthread_mutex_lock(&r->mutex);
	c->state = e ? FAILED : READY;
	c->err = e;
	(void)pthread_cond_broadcast(&r->loaded);
	return c;
}

static enum err chunk_copy(struct reader *r, const struct piece *p, uint64_t from, uint8_t *to,
			   size_t len)
{
	if (p->entry.len > CHUNK_BYTES_MAX || from + len > p->entry.len)
		return fail(ERR_DAMAGED);
	if (from == 0 && len == p->entry.len) /* nobody comes back for the rest of it */
		return chunk_open(r, p, to);
	(void)pthread_mutex_lock(&r->mutex);
	struct cached *c = cached_get(r, p);
	enum err e = c ? c->err : fail(ERR_NOMEM);

	(void)pthread_mutex_unlock(&r->mutex);
	if (c && !e && c->len < from + len)
		e = fail(ERR_DAMAGED); /* two manifests disagree about one name */
	if (c && !e)
		memcpy(to, c->at + from, len); /* I1 */
	(void)pthread_mutex_lock(&r->mutex);
	if (c)
		cached_drop(r, c);
	(void)pthread_mutex_unlock(&r->mutex);
	return e;
}

enum err reader_copy(struct reader *r, const struct piece *p, uint64_t skip, uint8_t *to,
		     size_t len)
{
	assert(skip + len <= p->len);
	switch (p->kind) {
	case PIECE_ZERO:
		memset(to, 0, len);
		return ERR_OK;
	case PIECE_DATA:
		return files_data_read(r->files, p->addr + skip, to, len);
	case PIECE_CHUNK:
		return chunk_copy(r, p, p->from + skip, to, len);
	case PIECE_INLINE:
		break;
	}
	assert(false); /* inline bytes are copied under the lock */
	return fail(ERR_INVAL);
}
