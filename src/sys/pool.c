// SPDX-License-Identifier: MIT
/*
 * pool.c - compress and seal, open and inflate; and the threads that do so outside the lock
 *
 * The only home of zstd.  Contexts and buffers live as long as the thread that uses them and are
 * found by a pthread key, so that threads which come and go (a mount's) leak nothing.
 *
 * I1  nothing inflates to more than its header said, and the header is checked against the
 *     caller's limit before a byte is inflated (threats.md: expansion bombs)
 * I2  jobs start in the order of their submission; pool_free() runs all of them
 */
#include "sys/pool.h"
#include <pthread.h>
#include <zstd.h>

#define LEVEL 1
#define PROBE_MIN (16u << 10) /* smaller plaintexts are simply tried */
#define PROBE_BYTES (4u << 10)
#define WINDOW_LOG_MAX 24 /* 16 MiB: what SEAL_PLAIN_MAX needs, and no more */

struct squeezer { /* of one thread */
	ZSTD_CCtx *press;
	ZSTD_DCtx *inflate;
	uint8_t *buf;
	size_t room;
};

static pthread_key_t squeezer_key;
static pthread_once_t squeezer_once = PTHREAD_ONCE_INIT;

static void squeezer_free(void *arg)
{
	struct squeezer *s = arg;

	(void)ZSTD_freeCCtx(s->press);
	(void)ZSTD_freeDCtx(s->inflate);
	free(s->buf);
	free(s);
}

static void squeezer_start(void)
{
	int r = pthread_key_create(&squeezer_key, squeezer_free);

	assert(r == 0);
}

/* This thread's, with room for so many bytes in buf; NULL: no memory. */
static struct squeezer *squeezer(size_t room)
{
	(void)pthread_once(&squeezer_once, squeezer_start);
	struct squeezer *s = pthread_getspecific(squeezer_key);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || pthread_setspecific(squeezer_key, s)) {
			free(s);
			return NULL;
		}
	}
	if (s->room < room) {
		uint8_t *grown = realloc(s->buf, room);

		if (!grown)
			return NULL;
		s->buf = grown;
		s->room = room;
	}
	return s;
}

static bool squeezer_press(struct squeezer *s)
{
	if (!s->press)
		s->press = ZSTD_createCCtx();
	return s->press != NULL;
}

/* The body to seal: compressed into s->buf if that is smaller, else the plaintext itself. */
static struct bytes press(struct squeezer *s, struct bytes plain, uint8_t *flags)
{
	size_t got;

	*flags = 0;
	if (plain.len >= PROBE_MIN) {
		size_t at = (plain.len - PROBE_BYTES) / 2;

		got = ZSTD_compressCCtx(s->press, s->buf, s->room, plain.at + at, PROBE_BYTES,
					LEVEL);
		if (ZSTD_isError(got) || got > PROBE_BYTES - PROBE_BYTES / 32)
			return plain;
	}
	got = ZSTD_compressCCtx(s->press, s->buf, s->room, plain.at, plain.len, LEVEL);
	if (ZSTD_isError(got) || got >= plain.len)
		return plain;
	*flags = SEAL_ZSTD;
	return (struct bytes){s->buf, got};
}

enum err pool_seal(struct wr *w, const struct seal_keys *k, const struct folder_id *folder,
		   enum seal_kind kind, struct bytes plain, const uint8_t nonce[SEAL_NONCE])
{
	uint8_t flags = 0;

	if (plain.len > SEAL_PLAIN_MAX)
		return fail(ERR_TOOBIG);
	struct squeezer *s = squeezer(ZSTD_compressBound(plain.len));

	if (!s || !squeezer_press(s))
		return fail(ERR_NOMEM);
	struct bytes body = press(s, plain, &flags);

	seal_piece(w, k, folder, kind, flags, (uint32_t)plain.len, body, nonce);
	return w->bad ? fail(ERR_NOMEM) : ERR_OK;
}

/* Inflate body into exactly len bytes. */
static enum err inflate(struct squeezer *s, struct bytes body, uint8_t *out, size_t len)
{
	if (!s->inflate) {
		s->inflate = ZSTD_createDCtx();
		if (!s->inflate)
			return fail(ERR_NOMEM);
		(void)ZSTD_DCtx_setParameter(s->inflate, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	}
	size_t got = ZSTD_decompressDCtx(s->inflate, out, len, body.at, body.len); /* I1 */

	if (ZSTD_isError(got) || got != len)
		return fail(ERR_MALFORMED);
	return ERR_OK;
}

enum err pool_open_into(struct bytes sealed, const struct seal_keys *k,
			const struct folder_id *folder, enum seal_kind kind, uint8_t *out,
			size_t plain_len)
{
	struct seal_info info;
	enum err e = seal_peek(sealed, &info);

	if (e)
		return e;
	if (info.plain_len != plain_len)
		return fail(ERR_MALFORMED);
	if (!(info.flags & SEAL_ZSTD)) {
		if (sealed.len - SEAL_OVERHEAD != plain_len)
			return fail(ERR_MALFORMED);
		return seal_open(sealed, k, folder, kind, out, &info);
	}
	struct squeezer *s = squeezer(sealed.len);

	if (!s)
		return fail(ERR_NOMEM);
	e = seal_open(sealed, k, folder, kind, s->buf, &info);
	if (e)
		return e;
	return inflate(s, (struct bytes){s->buf, sealed.len - SEAL_OVERHEAD}, out, plain_len);
}

enum err pool_open(struct bytes sealed, const struct seal_keys *k, const struct folder_id *folder,
		   enum seal_kind kind, size_t limit, uint8_t **ret, size_t *len)
{
	struct seal_info info;
	enum err e = seal_peek(sealed, &info);

	if (e)
		return e;
	if (info.plain_len > limit) /* I1 */
		return fail(ERR_MALFORMED);
	uint8_t *out = malloc(MAX(info.plain_len, 1u));

	if (!out)
		return fail(ERR_NOMEM);
	e = pool_open_into(sealed, k, folder, kind, out, info.plain_len);
	if (e) {
		free(out);
		return e;
	}
	*ret = out;
	*len = info.plain_len;
	return ERR_OK;
}

/* ---- jobs ---- */

#define POOL_THREADS_MAX 64

struct job {
	struct job *next;
	void (*run)(void *arg);
	void *arg;
};
struct pool {
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct job *first, **last;
	bool ending;
	unsigned threads;
	pthread_t thread[POOL_THREADS_MAX];
};

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	(void)pthread_mutex_lock(&p->mutex);
	for (;;) {
		struct job *j = p->first;

		if (!j && p->ending)
			break;
		if (!j) {
			(void)pthread_cond_wait(&p->more, &p->mutex);
			continue;
		}
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		(void)pthread_mutex_unlock(&p->mutex);
		j->run(j->arg);
		free(j);
		(void)pthread_mutex_lock(&p->mutex);
	}
	(void)pthread_mutex_unlock(&p->mutex);
	return NULL;
}

enum err pool_new(unsigned threads, struct pool **ret)
{
	assert(threads > 0 && threads <= POOL_THREADS_MAX);
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return fail(ERR_NOMEM);
	p->last = &p->first;
	(void)pthread_mutex_init(&p->mutex, NULL);
	(void)pthread_cond_init(&p->more, NULL);
	for (; p->threads < threads; p->threads++)
		if (pthread_create(&p->thread[p->threads], NULL, pool_thread, p)) {
			pool_free(p);
			return fail(ERR_NOMEM);
		}
	*ret = p;
	return ERR_OK;
}

enum err pool_submit(struct pool *p, void (*job)(void *arg), void *arg)
{
	struct job *j = malloc(sizeof(*j));

	if (!j)
		return fail(ERR_NOMEM);
	*j = (struct job){.run = job, .arg = arg};
	(void)pthread_mutex_lock(&p->mutex);
	bool closed = p->ending;

	if (!closed) {
		*p->last = j;
		p->last = &j->next;
		(void)pthread_cond_signal(&p->more);
	}
	(void)pthread_mutex_unlock(&p->mutex);
	if (closed)
		free(j);
	return closed ? fail(ERR_CLOSED) : ERR_OK;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->mutex);
	p->ending = true;
	(void)pthread_cond_broadcast(&p->more);
	(void)pthread_mutex_unlock(&p->mutex);
	for (unsigned i = 0; i < p->threads; i++)
		(void)pthread_join(p->thread[i], NULL);
	assert(!p->first); /* I2 */
	(void)pthread_cond_destroy(&p->more);
	(void)pthread_mutex_destroy(&p->mutex);
	free(p);
}
