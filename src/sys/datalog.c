// SPDX-License-Identifier: MIT
/*
 * datalog.c - where written bytes rest until they are sealed
 *
 * A writer reserves a range under the lock and writes it outside, so writers run side by side; a
 * range that nobody refers to is garbage and harms nothing, so a crash needs no repair here.
 * Each run of the daemon begins a segment of its own: what stands behind the last sound byte of an
 * older one need not be known.
 *
 * I1  a segment in open[] is the current one (the last) or has writers or unsynced bytes
 * I2  the highest segment file is never removed, only emptied, so that its number is known
 *     to the next run
 *
 * Any thread; datalog_sync() by one thread at a time.
 */
#include "sys/datalog.h"
#include "sys/fdcache.h"
#include "sys/fdio.h"
#include "sys/report.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#define OPEN_MAX 16 /* segments not yet synced; then a roll waits for a sync of its own */

struct segment {
	uint32_t no;
	int fd;
	uint32_t used;
	unsigned busy; /* writers in it, or a sync */
	bool dirty;
};
struct datalog {
	pthread_mutex_t lock;
	pthread_mutex_t sync_lock; /* taken before lock */
	int dirfd;
	uint32_t segment_bytes;
	atomic_bool *broken;
	struct fdcache *readers;
	struct segment open[OPEN_MAX];
	size_t open_count;
	uint32_t last; /* highest number whose file exists */
	bool dir_dirty;
	uint64_t bytes;
};

/* Take over the segments that earlier runs left. */
static enum err adopt(struct datalog *d)
{
	uint32_t *no;
	size_t count;
	enum err e = fdio_numbers(d->dirfd, &no, &count);

	for (size_t k = 0; !e && k < count; k++) {
		uint64_t size = 0;
		int fd;
		e = fdcache_borrow(d->readers, no[k], &fd);
		if (e)
			break;
		e = fdio_size(fd, &size);
		/* A run that was killed may have left it unsynced, and nobody else would do it. */
		if (!e)
			e = fdio_sync(fd, "data log", d->broken);
		fdcache_back(d->readers, fd);
		d->bytes += size;
		d->last = no[k];
	}
	if (!e || count)
		free(no);
	return e;
}

enum err datalog_open(int dirfd, uint32_t segment_bytes, atomic_bool *broken, struct datalog **ret)
{
	struct datalog *d = calloc(1, sizeof(*d));

	if (!d) {
		(void)close(dirfd);
		return fail(ERR_NOMEM);
	}
	d->dirfd = dirfd;
	d->segment_bytes = segment_bytes;
	d->broken = broken;
	d->dir_dirty = true;
	(void)pthread_mutex_init(&d->lock, NULL);
	(void)pthread_mutex_init(&d->sync_lock, NULL);
	enum err e = fdcache_new(dirfd, &d->readers);
	if (!e)
		e = adopt(d);
	if (e) {
		datalog_close(d);
		return e;
	}
	*ret = d;
	return ERR_OK;
}

void datalog_close(struct datalog *d)
{
	if (!d)
		return;
	for (size_t k = 0; k < d->open_count; k++) {
		assert(d->open[k].busy == 0);
		(void)close(d->open[k].fd);
	}
	fdcache_free(d->readers);
	(void)close(d->dirfd);
	(void)pthread_mutex_destroy(&d->sync_lock);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

static struct segment *segment_of(struct datalog *d, uint32_t no)
{
	for (size_t k = 0; k < d->open_count; k++)
		if (d->open[k].no == no)
			return &d->open[k];
	return NULL;
}

/* Close what is synced, idle and no longer written to (I1). */
static void close_done(struct datalog *d)
{
	size_t keep = 0;

	for (size_t k = 0; k < d->open_count; k++) {
		struct segment *s = &d->open[k];
		if (k + 1 < d->open_count && s->busy == 0 && !s->dirty)
			(void)close(s->fd);
		else
			d->open[keep++] = *s;
	}
	d->open_count = keep;
}

/* Begin segment last + 1; under the lock. */
static enum err roll(struct datalog *d)
{
	char name[FDIO_NUMBER_LEN];

	close_done(d);
	if (d->open_count == OPEN_MAX)
		return fail(ERR_AGAIN);
	if (d->last == UINT32_MAX)
		return fail(ERR_FULL);
	fdio_number(name, d->last + 1);
	int fd = openat(d->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(fdio_errno(errno));
	d->last++;
	d->dir_dirty = true;
	d->open[d->open_count++] = (struct segment){.no = d->last, .fd = fd};
	close_done(d); /* the one before, if nothing holds it */
	return ERR_OK;
}

/* A range of len bytes in the current segment; its segment is busy until write_done(). */
static enum err reserve(struct datalog *d, uint32_t len, struct segment *ret)
{
	struct segment *s = d->open_count ? &d->open[d->open_count - 1] : NULL;

	if (!s || d->segment_bytes - s->used < len) {
		enum err e = roll(d);
		if (e)
			return e;
		s = &d->open[d->open_count - 1];
	}
	*ret = *s; /* .used: where the range begins */
	s->used += len;
	s->busy++;
	d->bytes += len;
	return ERR_OK;
}

/* A range was written, or not: give its room back then. */
static void write_done(struct datalog *d, const struct segment *range, uint32_t len, enum err e)
{
	(void)pthread_mutex_lock(&d->lock);
	struct segment *s = segment_of(d, range->no);
	assert(s && s->busy > 0);
	s->busy--;
	if (!e) {
		s->dirty = true;
	} else {
		if (s->used == range->used + len) {
			s->used = range->used;
			d->bytes -= len;
		}
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)range->used, (off_t)len);
	}
	(void)pthread_mutex_unlock(&d->lock);
}

enum err datalog_write(struct datalog *d, struct bytes data, uint64_t *addr)
{
	struct segment range;

	assert(data.len >= 1 && data.len <= d->segment_bytes);
	for (;;) {
		if (atomic_load(d->broken))
			return fail(ERR_IO);
		(void)pthread_mutex_lock(&d->lock);
		enum err e = reserve(d, (uint32_t)data.len, &range);
		(void)pthread_mutex_unlock(&d->lock);
		if (e == ERR_AGAIN)
			e = datalog_sync(d); /* makes room in open[] */
		else if (!e)
			break;
		if (e)
			return e;
	}
	/* const is cast away for struct iovec alone, which serves readv() too */
	struct iovec all = {.iov_base = (void *)(uintptr_t)data.at, .iov_len = data.len};
	enum err e = fdio_write(range.fd, &all, 1, range.used);
	write_done(d, &range, (uint32_t)data.len, e);
	if (e && e != ERR_NOSPC) {
		atomic_store(d->broken, true);
		report(REPORT_ERROR,
		       "data log: cannot write: %s; the store is read-only from now on",
		       err_text(e));
	}
	if (e)
		return e;
	*addr = (uint64_t)range.no * d->segment_bytes + range.used;
	return ERR_OK;
}

enum err datalog_read(struct datalog *d, uint64_t addr, void *to, size_t len)
{
	uint64_t no = addr / d->segment_bytes, off = addr % d->segment_bytes;
	int fd;

	if (no == 0 || no > UINT32_MAX || len > d->segment_bytes - off)
		return fail(ERR_DAMAGED);
	enum err e = fdcache_borrow(d->readers, (uint32_t)no, &fd);
	if (e)
		return e == ERR_NOENT ? fail(ERR_DAMAGED) : e;
	e = fdio_read(fd, to, len, off);
	fdcache_back(d->readers, fd);
	return e;
}

/* Sync the first dirty segment whose number is at least *no, and count *no on; ERR_NOENT: none. */
static enum err sync_one(struct datalog *d, uint64_t *no)
{
	struct segment *s = NULL;

	(void)pthread_mutex_lock(&d->lock);
	for (size_t k = 0; k < d->open_count && !s; k++)
		if (d->open[k].dirty && d->open[k].no >= *no)
			s = &d->open[k];
	if (!s) {
		close_done(d);
		(void)pthread_mutex_unlock(&d->lock);
		return ERR_NOENT;
	}
	s->dirty = false; /* what is written from here on makes it dirty again */
	s->busy++;
	struct segment copy = *s;
	*no = (uint64_t)s->no + 1;
	(void)pthread_mutex_unlock(&d->lock);
	enum err e = fdio_sync(copy.fd, "data log", d->broken);
	(void)pthread_mutex_lock(&d->lock);
	s = segment_of(d, copy.no);
	assert(s);
	s->busy--;
	(void)pthread_mutex_unlock(&d->lock);
	return e;
}

enum err datalog_sync(struct datalog *d)
{
	enum err e = ERR_OK;
	uint64_t no = 0; /* each segment once: one that gets dirty meanwhile is for the next sync */

	(void)pthread_mutex_lock(&d->sync_lock);
	(void)pthread_mutex_lock(&d->lock);
	bool dir = d->dir_dirty;
	d->dir_dirty = false;
	(void)pthread_mutex_unlock(&d->lock);
	if (dir)
		e = fdio_sync_dir(d->dirfd, "data log", d->broken);
	while (!e)
		e = sync_one(d, &no);
	(void)pthread_mutex_unlock(&d->sync_lock);
	return e == ERR_NOENT ? ERR_OK : e;
}

static void remove_segment(struct datalog *d, uint32_t no)
{
	char name[FDIO_NUMBER_LEN];
	uint64_t size = 0;
	auto_fd fd = -1;

	fdio_number(name, no);
	fd = openat(d->dirfd, name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fdio_size(fd, &size))
		return;
	if (no == d->last) { /* I2 */
		if (ftruncate(fd, 0) < 0)
			return;
	} else if (unlinkat(d->dirfd, name, 0) < 0) {
		return;
	}
	fdcache_forget(d->readers, no);
	d->bytes -= MIN(size, d->bytes);
}

void datalog_trim(struct datalog *d, uint64_t limit, bool (*in_use)(void *arg, uint64_t segment),
		  void *arg)
{
	uint32_t *no;
	size_t count;

	if (fdio_numbers(d->dirfd, &no, &count))
		return; /* what cannot be listed stays */
	for (size_t k = 0; k < count && no[k] < limit; k++) {
		if (in_use(arg, no[k]))
			continue;
		(void)pthread_mutex_lock(&d->lock);
		if (!segment_of(d, no[k]))
			remove_segment(d, no[k]);
		(void)pthread_mutex_unlock(&d->lock);
	}
	free(no);
}

uint64_t datalog_segment(struct datalog *d)
{
	(void)pthread_mutex_lock(&d->lock);
	uint64_t no = d->open_count ? d->open[d->open_count - 1].no : (uint64_t)d->last + 1;
	(void)pthread_mutex_unlock(&d->lock);
	return no;
}

uint64_t datalog_bytes(struct datalog *d)
{
	(void)pthread_mutex_lock(&d->lock);
	uint64_t bytes = d->bytes;
	(void)pthread_mutex_unlock(&d->lock);
	return bytes;
}
