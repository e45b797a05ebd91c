// SPDX-License-Identifier: MIT
/*
 * packs.c - append sealed pieces, find them again after a crash
 *
 * Pieces are written one after another under the lock, which costs a copy into the page cache: so
 * a pack never has a hole below a piece that somebody was told is written, and walking it finds
 * everything.  Sealing, the dear part, happens before and outside.
 *
 * A piece's name is the BLAKE2b hash of its sealed bytes, so a piece proves itself.  In the last
 * pack, where a power cut may have left anything, the walk verifies each; packs before it were
 * synced whole when they were left.  Behind a bad piece the walk looks for the next that proves
 * itself, and goes on there: rot costs the pieces it touched.  What nothing sound follows in the
 * last pack is a torn tail, and cut off.
 *
 * I1  all packs but the last are durable
 * I2  the last pack is used bytes long
 */
#include "sys/packs.h"
#include "sys/fdcache.h"
#include "sys/fdio.h"
#include "sys/report.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#define SEARCH_BYTES (256u << 10)

struct packs {
	pthread_mutex_t lock;
	pthread_mutex_t sync_lock; /* taken before lock */
	int dirfd;
	uint32_t pack_bytes;
	atomic_bool *broken;
	struct fdcache *readers;
	uint32_t no; /* the last pack; 0: none yet */
	int fd; /* of the last pack, or -1 */
	uint64_t used;
	bool dirty, dir_dirty;
	uint64_t bytes;
};

/* Take over the packs that earlier runs left. */
static enum err adopt(struct packs *p)
{
	char name[FDIO_NUMBER_LEN];
	uint32_t *no;
	size_t count;
	enum err e = fdio_numbers(p->dirfd, &no, &count);

	if (e)
		return e;
	for (size_t k = 0; !e && k < count; k++) {
		uint64_t size = 0;
		auto_fd fd = -1;
		fdio_number(name, no[k]);
		fd = openat(p->dirfd, name, O_RDONLY | O_CLOEXEC);
		e = fd < 0 ? report_sys("open pack", name) : fdio_size(fd, &size);
		p->bytes += size;
		p->used = size;
		p->no = no[k];
	}
	free(no);
	if (e || p->no == 0)
		return e;
	fdio_number(name, p->no);
	p->fd = openat(p->dirfd, name, O_RDWR | O_CLOEXEC);
	return p->fd < 0 ? report_sys("open pack", name) : ERR_OK;
}

enum err packs_open(int dirfd, uint32_t pack_bytes, atomic_bool *broken, struct packs **ret)
{
	struct packs *p = calloc(1, sizeof(*p));

	if (!p) {
		(void)close(dirfd);
		return fail(ERR_NOMEM);
	}
	p->dirfd = dirfd;
	p->pack_bytes = pack_bytes;
	p->broken = broken;
	p->fd = -1;
	p->dirty = p->dir_dirty = true; /* a run that was killed may have left them unsynced */
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_mutex_init(&p->sync_lock, NULL);
	enum err e = fdcache_new(dirfd, &p->readers);
	if (!e)
		e = adopt(p);
	if (e) {
		packs_close(p);
		return e;
	}
	*ret = p;
	return ERR_OK;
}

void packs_close(struct packs *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		(void)close(p->fd);
	fdcache_free(p->readers);
	(void)close(p->dirfd);
	(void)pthread_mutex_destroy(&p->sync_lock);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Leave the last pack, durable (I1), and begin the next; under the lock. */
static enum err roll(struct packs *p)
{
	char name[FDIO_NUMBER_LEN];

	if (p->no == UINT32_MAX)
		return fail(ERR_FULL);
	if (p->fd >= 0 && p->dirty) {
		enum err e = fdio_sync(p->fd, "pack", p->broken);
		if (e)
			return e;
		p->dirty = false;
	}
	fdio_number(name, p->no + 1);
	int fd = openat(p->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(fdio_errno(errno));
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = fd;
	p->no++;
	p->used = 0;
	p->dir_dirty = true;
	return ERR_OK;
}

/* Cut the last pack to end; under the lock. */
static enum err cut_at(struct packs *p, uint64_t end)
{
	if (ftruncate(p->fd, (off_t)end) < 0) {
		atomic_store(p->broken, true);
		return report_sys("cut the last pack", "packs");
	}
	p->bytes -= p->used - MIN(p->used, end);
	p->used = end;
	p->dirty = true;
	return ERR_OK;
}

static enum err append(struct packs *p, const uint8_t *head, struct bytes sealed, uint64_t *addr)
{
	uint64_t at = p->used, size = PACK_HEAD + (uint64_t)sealed.len;
	/* const is cast away for struct iovec alone, which serves readv() too */
	const struct iovec parts[2] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = PACK_HEAD},
		{.iov_base = (void *)(uintptr_t)sealed.at, .iov_len = sealed.len}};
	enum err e = fdio_write(p->fd, parts, 2, at);

	if (e == ERR_NOSPC) {
		enum err undo = cut_at(p, at);
		return undo ? undo : e;
	}
	if (e) {
		atomic_store(p->broken, true);
		report(REPORT_ERROR, "pack: cannot write: %s; the store is read-only from now on",
		       err_text(e));
		return fail(ERR_IO);
	}
	p->dirty = true;
	p->used += size;
	p->bytes += size;
	*addr = (uint64_t)p->no << 32 | (at + PACK_HEAD);
	return ERR_OK;
}

enum err packs_write(struct packs *p, uint8_t kind, const struct hash *name, struct bytes sealed,
		     uint64_t *addr)
{
	struct pack_head h = {.kind = kind, .len = (uint32_t)sealed.len, .name = *name};
	uint8_t head[PACK_HEAD];
	enum err e = ERR_OK;

	if (sealed.len > p->pack_bytes - PACK_HEAD)
		return fail(ERR_TOOBIG);
	pack_head_encode(head, &h);
	(void)pthread_mutex_lock(&p->lock);
	if (atomic_load(p->broken))
		e = fail(ERR_IO);
	else if (p->fd < 0 || p->used + PACK_HEAD + sealed.len > p->pack_bytes)
		e = roll(p);
	if (!e)
		e = append(p, head, sealed, addr);
	(void)pthread_mutex_unlock(&p->lock);
	return e;
}

enum err packs_read(struct packs *p, uint64_t addr, void *to, size_t len)
{
	int fd;
	enum err e = fdcache_borrow(p->readers, (uint32_t)(addr >> 32), &fd);

	if (e)
		return e == ERR_NOENT ? fail(ERR_DAMAGED) : e;
	e = fdio_read(fd, to, len, addr & UINT32_MAX);
	fdcache_back(p->readers, fd);
	return e;
}

enum err packs_sync(struct packs *p)
{
	enum err e = ERR_OK;

	(void)pthread_mutex_lock(&p->sync_lock);
	(void)pthread_mutex_lock(&p->lock);
	bool dir = p->dir_dirty, file = p->dirty && p->fd >= 0;
	/* A descriptor of our own: the pack may be left and closed while we sync it. */
	auto_fd fd = file ? fcntl(p->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (file && fd < 0)
		e = report_sys("sync", "pack");
	else
		p->dir_dirty = p->dirty = false;
	(void)pthread_mutex_unlock(&p->lock);
	if (!e && atomic_load(p->broken))
		e = fail(ERR_IO);
	if (!e && dir)
		e = fdio_sync_dir(p->dirfd, "packs", p->broken);
	if (!e && file)
		e = fdio_sync(fd, "pack", p->broken);
	(void)pthread_mutex_unlock(&p->sync_lock);
	return e;
}

/* ---- walking ---- */

struct walk {
	int fd;
	uint64_t size;
	bool verify;
	uint8_t *b; /* of a piece */
	size_t room;
};

/* The piece whose header is at offset at.  ERR_MALFORMED: there is none that is sound. */
static enum err piece_at(struct walk *w, uint64_t at, bool verify, struct pack_head *ret)
{
	uint8_t head[PACK_HEAD];
	struct pack_head h;
	struct hash name;

	if (w->size - at < PACK_HEAD)
		return ERR_MALFORMED;
	enum err e = fdio_read(w->fd, head, PACK_HEAD, at);
	if (!e)
		e = pack_head_decode(head, &h);
	if (e)
		return e;
	if (w->size - at - PACK_HEAD < h.len)
		return ERR_MALFORMED;
	if (verify) {
		if (h.len > w->room) {
			free(w->b);
			w->b = malloc(h.len);
			w->room = w->b ? h.len : 0;
			if (!w->b)
				return fail(ERR_NOMEM);
		}
		e = fdio_read(w->fd, w->b, h.len, at + PACK_HEAD);
		if (e)
			return e;
		hash_blake((struct bytes){w->b, h.len}, &name);
		if (memcmp(name.b, h.name.b, HASH_LEN) != 0)
			return ERR_MALFORMED;
	}
	*ret = h;
	return ERR_OK;
}

/* The first piece at or behind offset from that proves itself; *at: the size if there is none. */
static enum err search(struct walk *w, uint64_t from, uint64_t *at)
{
	uint8_t *b = malloc(SEARCH_BYTES);
	enum err e = b ? ERR_OK : fail(ERR_NOMEM);

	*at = w->size;
	for (uint64_t off = from; !e && *at == w->size && w->size - off >= PACK_HEAD;) {
		size_t got;
		e = fdio_read_some(w->fd, b, SEARCH_BYTES, off, &got);
		if (e || got < PACK_HEAD)
			break;
		size_t last = got - PACK_HEAD;
		for (size_t k = 0; k <= last; k++) {
			struct pack_head h;
			if (b[k] != 'P' || pack_head_decode(b + k, &h))
				continue;
			e = piece_at(w, off + k, true, &h);
			if (e == ERR_MALFORMED)
				e = ERR_OK;
			else if (!e)
				*at = off + k;
			if (e || *at != w->size)
				break;
		}
		off += last + 1;
	}
	free(b);
	return e;
}

/* Pieces [from, bad) are fine, at bad there is none: *next says where to go on. */
static enum err skip_bad(struct packs *p, struct walk *w, uint32_t no, uint64_t bad, uint64_t *next)
{
	enum err e = search(w, bad + 1, next);

	if (e)
		return e;
	if (*next < w->size || !w->verify) {
		report(REPORT_ERROR, "pack %08x: damaged from offset %llu to %llu", no,
		       (unsigned long long)bad, (unsigned long long)*next);
		return ERR_OK;
	}
	(void)pthread_mutex_lock(&p->lock);
	if (p->no == no && p->used == w->size) {
		report(REPORT_WARN, "pack %08x: torn, the last %llu bytes are cut off", no,
		       (unsigned long long)(w->size - bad));
		e = cut_at(p, bad);
	}
	(void)pthread_mutex_unlock(&p->lock);
	w->size = *next = bad;
	return e;
}

static enum err walk_pack(struct packs *p, uint32_t no, uint64_t from,
			  enum err (*show)(void *arg, uint64_t addr, const struct pack_head *h),
			  void *arg, uint64_t *end)
{
	struct walk w = {0};

	(void)pthread_mutex_lock(&p->lock);
	w.verify = no == p->no;
	w.size = p->used;
	(void)pthread_mutex_unlock(&p->lock);
	enum err e = fdcache_borrow(p->readers, no, &w.fd);
	if (e)
		return e;
	if (!w.verify)
		e = fdio_size(w.fd, &w.size);
	if (!e && from > w.size)
		e = fail(ERR_DAMAGED); /* what was made from it is newer than the pack */
	while (!e && from < w.size) {
		struct pack_head h;
		e = piece_at(&w, from, w.verify, &h);
		if (e == ERR_MALFORMED) {
			e = skip_bad(p, &w, no, from, &from);
			continue;
		}
		if (!e)
			e = show(arg, (uint64_t)no << 32 | (from + PACK_HEAD), &h);
		from += PACK_HEAD + (uint64_t)h.len;
	}
	*end = (uint64_t)no << 32 | from;
	fdcache_back(p->readers, w.fd);
	free(w.b);
	return e;
}

enum err packs_walk(struct packs *p, uint64_t from,
		    enum err (*show)(void *arg, uint64_t addr, const struct pack_head *h),
		    void *arg, uint64_t *end)
{
	uint32_t *no, first = (uint32_t)(from >> 32);
	uint64_t at = from;
	size_t count;
	enum err e = fdio_numbers(p->dirfd, &no, &count);

	if (e)
		return e;
	if (from && (count == 0 || no[count - 1] < first))
		e = fail(ERR_DAMAGED);
	for (size_t k = 0; !e && k < count; k++)
		if (no[k] >= first)
			e = walk_pack(p, no[k], no[k] == first ? from & UINT32_MAX : 0, show, arg,
				      &at);
	free(no);
	if (e)
		return e;
	*end = at;
	return ERR_OK;
}

uint64_t packs_bytes(struct packs *p)
{
	(void)pthread_mutex_lock(&p->lock);
	uint64_t bytes = p->bytes;
	(void)pthread_mutex_unlock(&p->lock);
	return bytes;
}
