// SPDX-License-Identifier: MIT
/*
 * journal.c - append, walk and cut the journal
 *
 * Frames follow each other without gaps and each one's checksum is seeded with its own offset, so
 * a frame found at an offset was written there.  What a crash leaves is told from what rot leaves:
 *
 *	torn	after the first bad frame no sound one follows: the tail is cut.
 *	unwritten	sound frames follow, but the bad one covers a block of nothing but zeros:
 *		a power cut kept later blocks and lost this one, so none of them was ever synced:
 *		the tail is cut.  (A frame holds no run of 4096 zeros: contents are not in it.)
 *	damaged	sound frames follow otherwise: nothing is cut, ERR_DAMAGED.
 *
 * To look for a sound frame behind a bad one, every offset is a candidate.  A candidate is hashed
 * only if a likely head or the end of the file follows it, or else garbage would have us hash the
 * tail a hundred thousand times.
 *
 * I1  [0, end) is whole frames once the journal has been walked; end is the file's size
 * I2  blocks of [end, ahead) are reserved
 *
 * Appends under the node's lock; reads and end from any thread; sync from one at a time.
 */
#include "sys/journal.h"
#include "sys/fdio.h"
#include "sys/report.h"
#include <fcntl.h>
#include <stdlib.h>

#define WINDOW (1u << 20)
#define BLOCK 4096
#define SEARCH_HASH_MAX (UINT64_C(4) << 30) /* hashed at most while looking for a sound frame */

struct journal {
	int fd;
	bool walked;
	atomic_bool *broken;
	_Atomic uint64_t end;
	uint64_t ahead;
	_Atomic uint64_t synced; /* [0, synced) is durable; under the caller's lock of syncs */
};

/* A part of the file in memory; bytes of it are borrowed until the next window_at(). */
struct window {
	int fd;
	uint64_t size; /* of the file */
	uint8_t *b;
	size_t room, len;
	uint64_t off;
};

/* len bytes from offset at, which must lie inside the file. */
static enum err window_at(struct window *w, uint64_t at, size_t len, const uint8_t **ret)
{
	assert(at + len <= w->size);
	if (at < w->off || at + len > w->off + w->len) {
		size_t want = MAX(len, (size_t)WINDOW);
		if (want > w->room) {
			free(w->b);
			w->len = w->room = 0;
			w->b = malloc(want);
			if (!w->b)
				return fail(ERR_NOMEM);
			w->room = want;
		}
		w->len = 0;
		enum err e = fdio_read_some(w->fd, w->b, want, at, &w->len);
		if (e)
			return e;
		w->off = at;
		if (w->len < len)
			return fail(ERR_IO); /* it was longer a moment ago */
	}
	*ret = w->b + (at - w->off);
	return ERR_OK;
}

static uint32_t head_len(const uint8_t *head)
{
	return (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
	       (uint32_t)head[3] << 24;
}

static bool len_likely(uint32_t len)
{
	return len >= 1 && len <= JOURNAL_PAYLOAD_MAX;
}

/* The frame at offset at: ERR_OK and its payload, or ERR_MALFORMED, or what reading met. */
static enum err frame_at(struct window *w, uint64_t at, struct bytes *payload)
{
	const uint8_t *p;

	if (w->size - at < JOURNAL_HEAD)
		return ERR_MALFORMED;
	enum err e = window_at(w, at, JOURNAL_HEAD, &p);
	if (e)
		return e;
	uint32_t len = head_len(p);
	if (!len_likely(len) || w->size - at - JOURNAL_HEAD < len)
		return ERR_MALFORMED;
	e = window_at(w, at, JOURNAL_HEAD + (size_t)len, &p);
	if (e)
		return e;
	return journal_next((struct bytes){p, JOURNAL_HEAD + (size_t)len}, at, payload);
}

/* Whether a frame could start at offset at, or the file ends there. */
static enum err likely_at(struct window *w, uint64_t at, bool *ret)
{
	const uint8_t *p;

	*ret = true;
	if (w->size - at < JOURNAL_HEAD)
		return ERR_OK;
	enum err e = window_at(w, at, JOURNAL_HEAD, &p);
	if (!e)
		*ret = len_likely(head_len(p));
	return e;
}

/* Look for a sound frame behind the bad one at offset bad; *at: where, or the file's size.
 * ERR_DAMAGED when it is too much work to be sure that there is none. */
static enum err search(struct window *w, uint64_t bad, uint64_t *at)
{
	struct window there = {.fd = w->fd, .size = w->size};
	uint64_t hashed = 0;
	enum err e = ERR_OK;

	*at = w->size;
	for (uint64_t k = bad + 1; !e && k + JOURNAL_HEAD < w->size; k++) {
		const uint8_t *p;
		struct bytes payload;
		bool likely = false;
		e = window_at(w, k, JOURNAL_HEAD, &p);
		if (e)
			break;
		uint32_t len = head_len(p);
		if (!len_likely(len) || w->size - k - JOURNAL_HEAD < len)
			continue;
		e = likely_at(&there, k + JOURNAL_HEAD + len, &likely);
		if (e || !likely)
			continue;
		hashed += len;
		if (hashed > SEARCH_HASH_MAX) {
			e = fail(ERR_DAMAGED);
			break;
		}
		e = frame_at(&there, k, &payload);
		if (!e) {
			*at = k;
			break;
		}
		if (e == ERR_MALFORMED)
			e = ERR_OK;
	}
	free(there.b);
	return e;
}

/* Whether a whole block of zeros lies in [from, to). */
static enum err has_unwritten(struct window *w, uint64_t from, uint64_t to, bool *ret)
{
	static const uint8_t zeros[BLOCK];

	*ret = false;
	for (uint64_t at = (from + BLOCK - 1) / BLOCK * BLOCK; at + BLOCK <= to; at += BLOCK) {
		const uint8_t *p;
		enum err e = window_at(w, at, BLOCK, &p);
		if (e)
			return e;
		if (memcmp(p, zeros, BLOCK) == 0) {
			*ret = true;
			return ERR_OK;
		}
	}
	return ERR_OK;
}

/* Give back everything behind offset end, reserved blocks too. */
static enum err cut_at(struct journal *j, uint64_t end)
{
	if (ftruncate(j->fd, (off_t)end) < 0) {
		atomic_store(j->broken, true);
		return report_sys("cut the journal", "journal");
	}
	atomic_store(&j->end, end);
	j->ahead = end;
	return ERR_OK;
}

/* The frame at offset bad is not sound: decide whether it begins a tail, and cut that. */
static enum err cut_tail(struct journal *j, struct window *w, uint64_t bad)
{
	uint64_t sound;
	bool unwritten = false;
	enum err e = search(w, bad, &sound);

	if (!e && sound < w->size)
		e = has_unwritten(w, bad, sound, &unwritten);
	if (e && e != ERR_DAMAGED)
		return e;
	if (e || (sound < w->size && !unwritten)) {
		report(REPORT_ERROR, "journal: damaged at offset %llu, with sound frames behind it",
		       (unsigned long long)bad);
		return fail(ERR_DAMAGED);
	}
	report(REPORT_WARN, "journal: torn at offset %llu, the last %llu bytes are cut off",
	       (unsigned long long)bad, (unsigned long long)(w->size - bad));
	e = cut_at(j, bad);
	/* The cut must not come undone: later frames will stand where the tail stood. */
	return e ? e : journal_sync(j);
}

enum err journal_walk(struct journal *j, uint64_t from,
		      enum err (*show)(void *arg, uint64_t at, struct bytes payload, uint64_t next),
		      void *arg, uint64_t *cut_bytes)
{
	struct window w = {.fd = j->fd, .size = atomic_load(&j->end)};
	uint64_t at = from, cut = 0;
	enum err e = ERR_OK;

	if (from > w.size)
		return fail(ERR_DAMAGED); /* what was made from it is newer than the journal */
	while (!e && at < w.size) {
		struct bytes payload;
		e = frame_at(&w, at, &payload);
		if (e == ERR_MALFORMED) {
			cut = w.size - at;
			e = cut_tail(j, &w, at);
			break;
		}
		if (e)
			break;
		uint64_t next = at + JOURNAL_HEAD + payload.len;
		e = show(arg, at + JOURNAL_HEAD, payload, next);
		at = next;
	}
	free(w.b);
	if (e)
		return e;
	j->walked = true;
	*cut_bytes = cut;
	return ERR_OK;
}

enum err journal_open(int dirfd, atomic_bool *broken, struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));
	uint64_t end = 0;

	if (!j)
		return fail(ERR_NOMEM);
	j->broken = broken;
	j->fd = openat(dirfd, "journal", O_RDWR | O_CLOEXEC);
	enum err e = j->fd < 0 ? report_sys("open", "journal") : fdio_size(j->fd, &end);
	if (e) {
		journal_close(j);
		return e == ERR_NOENT ? fail(ERR_DAMAGED) : e;
	}
	atomic_store(&j->end, end);
	j->ahead = end;
	j->synced = UINT64_MAX; /* a run that was killed may have left it unsynced */
	*ret = j;
	return ERR_OK;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		(void)close(j->fd);
	free(j);
}

enum err journal_room(struct journal *j, size_t len)
{
	uint64_t end = atomic_load(&j->end), need = end + len;

	if (need <= j->ahead)
		return ERR_OK;
	uint64_t goal = (need + JOURNAL_STEP - 1) / JOURNAL_STEP * JOURNAL_STEP;
	enum err e = fdio_ahead(j->fd, j->ahead, goal - j->ahead);
	if (e == ERR_NOSPC) { /* no room for the whole step: what is asked may still fit */
		goal = need;
		e = fdio_ahead(j->fd, j->ahead, goal - j->ahead);
	}
	if (!e)
		j->ahead = goal;
	return e;
}

enum err journal_append(struct journal *j, struct bytes payload, uint64_t *at)
{
	uint8_t head[JOURNAL_HEAD];
	uint64_t end = atomic_load(&j->end);
	size_t len = JOURNAL_HEAD + payload.len;

	assert(payload.len >= 1 && payload.len <= JOURNAL_PAYLOAD_MAX);
	assert(j->walked); /* I1 */
	if (atomic_load(j->broken))
		return fail(ERR_IO);
	enum err e = journal_room(j, len);
	if (e)
		return e;
	journal_head(head, end, payload);
	/* const is cast away for struct iovec alone, which serves readv() too */
	const struct iovec parts[2] = {
		{.iov_base = head, .iov_len = JOURNAL_HEAD},
		{.iov_base = (void *)(uintptr_t)payload.at, .iov_len = payload.len}};
	e = fdio_write(j->fd, parts, 2, end);
	if (e == ERR_NOSPC) {
		/* Reserving may promise more than the file system keeps: undo what was written. */
		enum err undo = cut_at(j, end);
		return undo ? undo : e;
	}
	if (e) {
		atomic_store(j->broken, true);
		report(REPORT_ERROR,
		       "journal: cannot write: %s; the store is read-only from now on",
		       err_text(e));
		return fail(ERR_IO);
	}
	atomic_store(&j->end, end + len);
	*at = end + JOURNAL_HEAD;
	return ERR_OK;
}

enum err journal_read(struct journal *j, uint64_t at, void *to, size_t len)
{
	return fdio_read(j->fd, to, len, at);
}

enum err journal_sync(struct journal *j)
{
	uint64_t end = atomic_load(&j->end);

	if (j->synced == end)
		return atomic_load(j->broken) ? fail(ERR_IO) : ERR_OK;
	enum err e = fdio_sync(j->fd, "journal", j->broken);
	if (!e)
		j->synced = end;
	return e;
}

bool journal_is_synced(const struct journal *j, uint64_t end)
{
	uint64_t synced = atomic_load(&j->synced);

	return synced != UINT64_MAX && synced >= end; /* at first nothing is known */
}

uint64_t journal_end(const struct journal *j)
{
	return atomic_load(&j->end);
}
