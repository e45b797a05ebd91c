// SPDX-License-Identifier: MIT
/*
 * sealer.c - walk a file, cut it, seal what is new, and say so to the core
 *
 *	map (short lock) -> read -> cut -> known? (short lock) -> seal, pack -> tree of nodes
 *	-> one sync for all that wait -> EV_SEALED
 *
 * Unchanged stretches are taken over from the base without being read: at each boundary the core
 * is asked for a base chunk that starts there.  A run of zeros that starts at a boundary is
 * skipped in multiples of the length at which zeros are cut, so a hole costs nothing and cut
 * points stay a function of content alone.
 *
 * I1  entries cover [0, off) without gaps, and neighbouring holes are one entry
 * I2  buf[start, end) are the bytes of the file from off on
 * I3  an entry in the batch has its bytes in buf; the batch is empty whenever buf moves
 * I4  EV_SEALED without an error comes after the sync that covers its pieces
 */
#include "sys/sealer.h"
#include "base/map.h"
#include "codec/cut.h"
#include "sys/pool.h"
#include "sys/rand.h"
#include <stdatomic.h>

#define PIECES_MAX 256 /* mapped at once */
#define MISSING_MAX 64 /* asked for at once */
#define BATCH_MAX 256 /* chunks looked up under one lock */
#define REUSE_MAX 256 /* base entries taken over under one lock */
#define MAP_MIN (64u << 10) /* where bytes are absent, no more than this is mapped */
#define MAP_START (512u << 10)
#define MAP_ZEROS_MAX (UINT64_C(1) << 62) /* mapping a hole costs nothing for its length */

struct level { /* entries of one depth of the tree */
	struct entry *at;
	uint32_t count, room;
};
struct seal_job {
	struct sealer *s;
	struct seal_job *next;
	uint64_t work, size;
	struct node_keys keys;
	struct mark mark;
	enum err err;
	uint64_t off;
	uint8_t *buf;
	size_t start, end, room;
	uint64_t map_len;
	bool base, careful; /* base: there is something to take over; careful: parts are absent */
	uint64_t zero_from, zero_to; /* a run of zeros met last */
	struct level level;
	struct {
		uint32_t entry;
		size_t at; /* in buf */
	} batch[BATCH_MAX];
	uint32_t batch_count;
	struct map *seen; /* id -> index of an entry sealed in this job */
	struct sealed_piece *fresh;
	uint32_t fresh_count, fresh_room;
	struct missing missing[MISSING_MAX];
	uint32_t missing_count;
	struct piece pieces[PIECES_MAX];
	struct wr scratch, manifest;
};
struct order { /* what waits for a thread */
	struct sealer *s;
	uint64_t work;
};
struct sealer {
	struct sealer_config c;
	struct pool *pool;
	pthread_mutex_t mutex; /* all below */
	bool have_cutter;
	struct cutter cutter;
	size_t zero_cut; /* the length at which zeros are cut */
	bool syncing;
	atomic_bool ending; /* long jobs give up */
	struct seal_job *done, **done_last; /* sealed, not yet synced */
	struct seal_job *held; /* their step found no room */
};

static void job_free(struct seal_job *j)
{
	for (uint32_t i = 0; i < j->fresh_count; i++)
		if (j->fresh[i].plain.len) /* owned: made with malloc() by node_store() */
			free((void *)(uintptr_t)j->fresh[i].plain.at);
	free(j->fresh);
	free(j->level.at);
	free(j->buf);
	map_free(j->seen);
	wr_fini(&j->scratch);
	wr_fini(&j->manifest);
	free(j);
}

/* ---- entries ---- */

static enum err level_add(struct level *l, const struct entry *e)
{
	struct entry *last = l->count ? &l->at[l->count - 1] : NULL;

	if (last && last->kind == ENTRY_HOLE && e->kind == ENTRY_HOLE) {
		last->len += e->len; /* I1 */
		return ERR_OK;
	}
	if (l->count == l->room) {
		uint32_t room = l->room ? l->room * 2 : 32;
		struct entry *grown = realloc(l->at, room * sizeof(*grown));

		if (!grown)
			return fail(ERR_NOMEM);
		l->at = grown;
		l->room = room;
	}
	l->at[l->count++] = *e;
	return ERR_OK;
}

static enum err add_hole(struct seal_job *j, uint64_t len)
{
	return level_add(&j->level, &(struct entry){.kind = ENTRY_HOLE, .len = len});
}

static void advance(struct seal_job *j, uint64_t len)
{
	j->off += len;
	j->start += (size_t)MIN(len, (uint64_t)(j->end - j->start)); /* I2 */
}

/* Seal a plaintext, store it, and note the piece.  plain is kept with the piece if take is set. */
static enum err store(struct seal_job *j, enum seal_kind kind, struct bytes plain, bool take,
		      struct entry *e)
{
	const struct sealer_config *c = &j->s->c;
	uint8_t nonce[32]; /* SEAL_NONCE of them are used */
	uint64_t addr = 0;

	if (j->fresh_count == j->fresh_room) {
		uint32_t room = j->fresh_room ? j->fresh_room * 2 : 8;
		struct sealed_piece *grown = realloc(j->fresh, room * sizeof(*grown));

		if (!grown)
			return fail(ERR_NOMEM);
		j->fresh = grown;
		j->fresh_room = room;
	}
	rand_seed(nonce);
	wr_reset(&j->scratch);
	enum err err = pool_seal(&j->scratch, &j->keys.newest, &c->folder, kind, plain, nonce);

	if (err)
		return err;
	struct bytes sealed = wr_view(&j->scratch);

	hash_blake(sealed, &e->name);
	e->epoch = j->keys.newest.epoch;
	e->stored = (uint32_t)sealed.len;
	err = files_pack_write(c->files, (uint8_t)kind, &e->name, sealed, &addr);
	if (err)
		return err;
	marks_wrote(c->marks, addr + sealed.len);
	j->fresh[j->fresh_count++] = (struct sealed_piece){
		.entry = *e, .addr = addr, .plain = take ? plain : (struct bytes){NULL, 0}};
	return ERR_OK;
}

/* Whether an entry's content is stored already: by this job, or (checked before) by the core. */
static bool seen_before(struct seal_job *j, struct entry *e)
{
	struct bytes value;
	uint32_t index;

	if (!j->seen || !map_get(j->seen, (struct bytes){e->id.b, HASH_LEN}, &value))
		return false;
	memcpy(&index, value.at, sizeof(index));
	uint64_t len = e->len;

	*e = j->level.at[index];
	e->len = len;
	return true;
}

static enum err see(struct seal_job *j, uint32_t index)
{
	if (!j->seen)
		j->seen = map_new();
	if (!j->seen)
		return fail(ERR_NOMEM);
	return map_put(j->seen, (struct bytes){j->level.at[index].id.b, HASH_LEN},
		       (struct bytes){(const uint8_t *)&index, sizeof(index)});
}

/* Take what the core says it has under e's id; false if it has nothing. */
static bool known(struct seal_job *j, struct entry *e)
{
	struct entry had;

	if (node_known(j->s->c.node, &e->id, &had))
		return false;
	e->name = had.name;
	e->epoch = had.epoch;
	e->stored = had.stored;
	return true;
}

/* Store the chunks of the batch that nobody has. */
static enum err batch_flush(struct seal_job *j)
{
	const struct sealer_config *c = &j->s->c;
	enum err e = ERR_OK;

	if (j->batch_count == 0)
		return ERR_OK;
	c->lock(c->arg);
	for (uint32_t i = 0; i < j->batch_count; i++)
		(void)known(j, &j->level.at[j->batch[i].entry]);
	c->unlock(c->arg);
	for (uint32_t i = 0; !e && i < j->batch_count; i++) {
		struct entry *at = &j->level.at[j->batch[i].entry];

		if (at->stored || seen_before(j, at))
			continue;
		e = store(j, SEAL_CHUNK, (struct bytes){j->buf + j->batch[i].at, (size_t)at->len},
			  false, at);
		if (!e && j->level.count > 1)
			e = see(j, j->batch[i].entry);
	}
	j->batch_count = 0;
	return e;
}

/* ---- bytes ---- */

/* Map the next bytes behind those in buf; inline ones are copied at once. */
static enum err job_map(struct seal_job *j, uint64_t len, uint32_t *count)
{
	const struct sealer_config *c = &j->s->c;
	uint64_t from = j->off + (j->end - j->start);

	struct node_map map = {j->pieces, j->missing, PIECES_MAX, MISSING_MAX};
	c->lock(c->arg);
	enum err e = node_work_map(c->node, j->work, from, len, &map);
	*count = map.count;
	j->missing_count = map.missing_count;
	size_t at = j->end;

	for (uint32_t i = 0; !e && i < *count && at < j->room; i++) {
		const struct piece *p = &j->pieces[i];
		size_t n = (size_t)MIN(p->len, (uint64_t)(j->room - at));

		if (p->kind == PIECE_INLINE)
			memcpy(j->buf + at, p->data, n);
		at += n;
	}
	c->unlock(c->arg);
	return e;
}

static enum err job_room(struct seal_job *j)
{
	if (!j->buf) {
		j->room = (size_t)MIN(j->size, (uint64_t)SEALER_WINDOW + CHUNK_BYTES_MAX);
		j->buf = malloc(j->room);
		return j->buf ? ERR_OK : fail(ERR_NOMEM);
	}
	enum err e = batch_flush(j); /* I3 */

	memmove(j->buf, j->buf + j->start, j->end - j->start);
	j->end -= j->start;
	j->start = 0;
	return e;
}

/* Copy mapped pieces behind the bytes in buf, as far as there is room. */
static enum err job_copy(struct seal_job *j, uint32_t count)
{
	uint64_t at = j->off + j->end; /* start is 0 */
	enum err e = ERR_OK;

	for (uint32_t i = 0; !e && i < count && j->end < j->room; i++) {
		const struct piece *p = &j->pieces[i];
		size_t n = (size_t)MIN(p->len, (uint64_t)(j->room - j->end));

		if (p->kind == PIECE_ZERO) {
			if (at < j->zero_from || at > j->zero_to)
				j->zero_from = at;
			j->zero_to = at + p->len;
			n = MIN(n, (size_t)CHUNK_BYTES_MAX); /* the rest is skipped, see zeros() */
		}
		j->base |= p->kind == PIECE_CHUNK;
		if (p->kind != PIECE_INLINE)
			e = reader_copy(j->s->c.reader, p, 0, j->buf + j->end, n);
		if (e)
			break;
		j->end += n;
		at += n;
		if (n < p->len)
			break;
	}
	return e;
}

/* More bytes into buf: as many as the file seems to allow. */
static enum err job_fill(struct seal_job *j)
{
	uint32_t count;
	enum err e = job_room(j);

	if (e)
		return e;
	for (;;) {
		uint64_t left = j->size - (j->off + j->end);

		e = job_map(j, MIN(j->map_len, left), &count);
		if (e != ERR_AGAIN || j->map_len <= MAP_MIN)
			break;
		j->map_len = MAP_MIN;
		j->careful = j->base = true;
	}
	if (!e)
		e = job_copy(j, count);
	if (e)
		return e;
	bool hole = count == 1 && j->pieces[0].kind == PIECE_ZERO;
	uint64_t most = hole ? MAP_ZEROS_MAX : SEALER_WINDOW;

	if (j->careful)
		j->map_len = MAP_MIN;
	else if (j->base && !hole)
		j->map_len = MAP_START;
	else
		j->map_len = MIN(j->map_len * 2, most);
	return ERR_OK;
}

/* ---- the walk ---- */

/* Take over base entries from off on, as long as there are any. */
static enum err job_reuse(struct seal_job *j)
{
	const struct sealer_config *c = &j->s->c;
	struct entry e;

	for (uint32_t n = REUSE_MAX; n == REUSE_MAX && j->off < j->size;) {
		enum err err = ERR_OK;

		c->lock(c->arg);
		for (n = 0; !err && n < REUSE_MAX && j->off < j->size; n++) {
			if (node_work_reuse(c->node, j->work, j->off, &e) ||
			    e.len > j->size - j->off)
				break;
			err = level_add(&j->level, &e);
			advance(j, e.len);
			j->base = true;
		}
		c->unlock(c->arg);
		if (err)
			return err;
	}
	return ERR_OK;
}

/* Skip zeros that start at off; false if there are none to skip. */
static bool zeros(struct seal_job *j, enum err *e)
{
	if (j->off < j->zero_from || j->off >= j->zero_to)
		return false;
	uint64_t run = MIN(j->zero_to, j->size) - j->off;
	uint64_t n = j->zero_to >= j->size ? run : run - run % j->s->zero_cut;

	if (n == 0)
		return false;
	*e = add_hole(j, n);
	advance(j, n);
	return true;
}

static bool all_zero(struct bytes b)
{
	return b.len == 0 || (b.at[0] == 0 && memcmp(b.at, b.at + 1, b.len - 1) == 0);
}

/* Cut one chunk off the bytes in buf, or bring more of them. */
static enum err job_chunk(struct seal_job *j)
{
	bool last = j->off + (j->end - j->start) == j->size;
	struct bytes have = {j->buf + j->start, j->end - j->start};
	size_t n = have.len ? cut_next(&j->s->cutter, have, last) : 0;

	if (n == 0)
		return job_fill(j);
	have.len = n;
	if (all_zero(have)) {
		enum err e = add_hole(j, n);

		advance(j, n);
		return e;
	}
	struct entry e = {.kind = ENTRY_CHUNK, .len = n};

	hash_keyed(j->keys.id_key, have, &e.id);
	enum err err = level_add(&j->level, &e);

	if (err)
		return err;
	j->batch[j->batch_count].entry = j->level.count - 1;
	j->batch[j->batch_count++].at = j->start;
	advance(j, n);
	return j->batch_count == BATCH_MAX ? batch_flush(j) : ERR_OK;
}

static enum err job_walk(struct seal_job *j)
{
	enum err e = ERR_OK;
	uint64_t asked = UINT64_MAX;

	while (!e && j->off < j->size) {
		if (atomic_load_explicit(&j->s->ending, memory_order_relaxed))
			return ERR_AGAIN; /* the writes are in the journal: sealed after a start */
		/* asked keeps a boundary from being asked for twice, while more bytes come */
		if (asked != j->off && (j->base || j->start == j->end)) {
			asked = j->off;
			e = job_reuse(j);
			if (e || j->off != asked)
				continue;
		}
		if (!zeros(j, &e))
			e = job_chunk(j);
	}
	return e ? e : batch_flush(j);
}

/* ---- the tree ---- */

/* The node over at[0..count): known, or stored now. */
static enum err node_store(struct seal_job *j, uint8_t depth, const struct entry *at,
			   uint32_t count, struct entry *ret)
{
	const struct sealer_config *c = &j->s->c;
	struct entry e = {.kind = ENTRY_NODE};

	for (uint32_t i = 0; i < count; i++)
		e.len += at[i].len;
	node_id(j->keys.id_key, at, count, &e.id);
	c->lock(c->arg);
	bool have = known(j, &e);

	c->unlock(c->arg);
	if (!have) {
		struct wr w = {0};
		size_t len;

		node_encode(&w, depth, at, count);
		if (w.bad) {
			wr_fini(&w);
			return fail(ERR_NOMEM);
		}
		uint8_t *plain = wr_take(&w, &len);
		enum err err = store(j, SEAL_NODE, (struct bytes){plain, len}, true, &e);

		if (err) {
			free(plain);
			return err;
		}
	}
	*ret = e;
	return ERR_OK;
}

/* Replace the entries by the nodes over them. */
static enum err job_level(struct seal_job *j, uint8_t depth)
{
	struct level up = {0};
	enum err e = ERR_OK;

	for (uint32_t from = 0; !e && from < j->level.count;) {
		const struct entry *at = &j->level.at[from];
		struct entry node;
		uint32_t n = 1;

		while (!node_ends(&at[n - 1], n) && from + n < j->level.count)
			n++;
		e = node_store(j, depth, at, n, &node);
		if (!e)
			e = level_add(&up, &node);
		from += n;
	}
	free(j->level.at);
	j->level = up;
	return e;
}

static enum err job_manifest(struct seal_job *j)
{
	struct manifest m = {.size = j->size};
	enum err e = ERR_OK;

	for (uint32_t k = 0; k < j->level.count; k++)
		m.holes += j->level.at[k].kind == ENTRY_HOLE ? j->level.at[k].len : 0;
	for (; !e && j->level.count > MANIFEST_ROOT_MAX; m.depth++) {
		if (m.depth == MANIFEST_DEPTH_MAX)
			return fail(ERR_FBIG);
		e = job_level(j, m.depth);
	}
	if (e)
		return e;
	m.count = j->level.count;
	memcpy(m.at, j->level.at, m.count * sizeof(m.at[0]));
	manifest_encode(&j->manifest, &m);
	return j->manifest.bad ? fail(ERR_NOMEM) : ERR_OK;
}

/* Contents of a few bytes ride in the record itself. */
static enum err job_inline(struct seal_job *j)
{
	enum err e = ERR_OK;

	while (!e && j->end < j->size)
		e = job_fill(j);
	if (e)
		return e;
	manifest_inline(&j->manifest, (struct bytes){j->buf, (size_t)j->size});
	return j->manifest.bad ? fail(ERR_NOMEM) : ERR_OK;
}

/* ---- jobs ---- */

/* Tell the core; false: there was no room for the step. */
static bool job_tell(struct seal_job *j)
{
	struct event ev = {.kind = EV_SEALED};

	ev.sealed.work = j->work;
	ev.sealed.err = j->err;
	ev.sealed.manifest = wr_view(&j->manifest);
	ev.sealed.pieces = j->fresh;
	ev.sealed.pieces_count = j->fresh_count;
	ev.sealed.missing = j->missing;
	ev.sealed.missing_count = j->err == ERR_AGAIN ? j->missing_count : 0;
	if (j->s->c.step(j->s->c.arg, &ev) == ERR_NOSPC)
		return false;
	marks_end(j->s->c.marks, &j->mark);
	job_free(j);
	return true;
}

static void job_give(struct seal_job *j)
{
	struct sealer *s = j->s;

	if (job_tell(j))
		return;
	(void)pthread_mutex_lock(&s->mutex);
	j->next = s->held;
	s->held = j;
	(void)pthread_mutex_unlock(&s->mutex);
}

/* Sync and tell; what is finished meanwhile by other threads shares the next sync. */
static void job_finish(struct seal_job *j)
{
	struct sealer *s = j->s;

	if (j->fresh_count == 0) {
		job_give(j);
		return;
	}
	(void)pthread_mutex_lock(&s->mutex);
	j->next = NULL;
	*s->done_last = j;
	s->done_last = &j->next;
	while (!s->syncing && s->done) {
		struct seal_job *list = s->done;

		s->done = NULL;
		s->done_last = &s->done;
		s->syncing = true;
		(void)pthread_mutex_unlock(&s->mutex);
		enum err e = files_pack_sync(s->c.files);

		/* the next sync may run while these are told */
		(void)pthread_mutex_lock(&s->mutex);
		s->syncing = false;
		(void)pthread_mutex_unlock(&s->mutex);
		while (list) {
			struct seal_job *next = list->next;

			if (e && !list->err)
				list->err = e; /* I4 */
			job_give(list);
			list = next;
		}
		(void)pthread_mutex_lock(&s->mutex);
	}
	(void)pthread_mutex_unlock(&s->mutex);
}

/* Size, keys, and the cutter, which is made once: its key never changes. */
static enum err job_begin(struct seal_job *j)
{
	struct sealer *s = j->s;

	s->c.lock(s->c.arg);
	j->size = node_work_size(s->c.node, j->work);
	node_keys(s->c.node, &j->keys);
	s->c.unlock(s->c.arg);
	if (!j->keys.have)
		return fail(ERR_REFUSED);
	j->map_len = MAP_START;
	(void)pthread_mutex_lock(&s->mutex);
	uint8_t *nothing = s->have_cutter ? NULL : calloc(1, CHUNK_BYTES_MAX);

	if (nothing) {
		cut_init(&s->cutter, j->keys.cut_key);
		s->zero_cut = cut_next(&s->cutter, (struct bytes){nothing, CHUNK_BYTES_MAX}, false);
		s->have_cutter = true;
	}
	free(nothing);
	bool ready = s->have_cutter;

	(void)pthread_mutex_unlock(&s->mutex);
	return ready ? ERR_OK : fail(ERR_NOMEM);
}

static void job_run(void *arg)
{
	struct order o = *(struct order *)arg;
	struct seal_job *j = calloc(1, sizeof(*j));

	free(arg);
	if (!j) {
		struct event ev = {.kind = EV_SEALED};

		ev.sealed.work = o.work;
		ev.sealed.err = fail(ERR_NOMEM);
		(void)o.s->c.step(o.s->c.arg, &ev);
		return;
	}
	j->s = o.s;
	j->work = o.work;
	marks_begin(j->s->c.marks, &j->mark);
	j->err = job_begin(j);
	if (!j->err && j->size <= INLINE_BYTES_MAX) {
		j->err = job_inline(j);
	} else if (!j->err) {
		j->err = job_walk(j);
		if (!j->err)
			j->err = job_manifest(j);
	}
	free(j->buf);
	j->buf = NULL;
	job_finish(j);
}

enum err sealer_submit(struct sealer *s, uint64_t work)
{
	struct order *o = malloc(sizeof(*o));

	if (!o)
		return fail(ERR_NOMEM);
	*o = (struct order){s, work};
	enum err e = pool_submit(s->pool, job_run, o);

	if (e)
		free(o);
	return e;
}

void sealer_retry(struct sealer *s)
{
	(void)pthread_mutex_lock(&s->mutex);
	struct seal_job *list = s->held;

	s->held = NULL;
	(void)pthread_mutex_unlock(&s->mutex);
	while (list) {
		struct seal_job *next = list->next;

		job_give(list);
		list = next;
	}
}

enum err sealer_new(const struct sealer_config *c, struct sealer **ret)
{
	struct sealer *s = calloc(1, sizeof(*s));

	if (!s)
		return fail(ERR_NOMEM);
	s->c = *c;
	s->done_last = &s->done;
	(void)pthread_mutex_init(&s->mutex, NULL);
	enum err e = pool_new(SEALER_THREADS, &s->pool);

	if (e) {
		sealer_free(s);
		return e;
	}
	*ret = s;
	return ERR_OK;
}

void sealer_free(struct sealer *s)
{
	if (!s)
		return;
	atomic_store(&s->ending, true);
	pool_free(s->pool);
	while (s->held) { /* never told: the journal has the writes, the next start seals again */
		struct seal_job *j = s->held;

		s->held = j->next;
		marks_end(s->c.marks, &j->mark);
		job_free(j);
	}
	(void)pthread_mutex_destroy(&s->mutex);
	free(s);
}
