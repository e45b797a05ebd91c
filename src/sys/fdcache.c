// SPDX-License-Identifier: MIT
/*
 * fdcache.c - descriptors for reading segments and packs
 *
 * A store may have thousands of packs and a process twenty thousand descriptors for all folders,
 * so readers share FDCACHE_MAX of them.  When all are lent a further reader opens one of its own,
 * which is closed when it comes back: nobody ever waits for a descriptor.
 *
 * I1  an entry with lent > 0 is neither closed nor given another number
 * I2  a forgotten entry is found by no borrow, and closed with its last return
 */
#include "sys/fdcache.h"
#include "sys/fdio.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

struct entry {
	int fd; /* -1: free */
	uint32_t no;
	unsigned lent;
	bool forgotten;
	uint64_t used;
};
struct fdcache {
	pthread_mutex_t lock;
	int dirfd;
	uint64_t clock;
	struct entry at[FDCACHE_MAX];
};

enum err fdcache_new(int dirfd, struct fdcache **ret)
{
	struct fdcache *c = calloc(1, sizeof(*c));

	if (!c)
		return fail(ERR_NOMEM);
	c->dirfd = dirfd;
	(void)pthread_mutex_init(&c->lock, NULL);
	for (size_t k = 0; k < FDCACHE_MAX; k++)
		c->at[k].fd = -1;
	*ret = c;
	return ERR_OK;
}

void fdcache_free(struct fdcache *c)
{
	if (!c)
		return;
	for (size_t k = 0; k < FDCACHE_MAX; k++) {
		assert(c->at[k].lent == 0);
		if (c->at[k].fd >= 0)
			(void)close(c->at[k].fd);
	}
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *find(struct fdcache *c, uint32_t no)
{
	for (size_t k = 0; k < FDCACHE_MAX; k++)
		if (c->at[k].fd >= 0 && !c->at[k].forgotten && c->at[k].no == no)
			return &c->at[k];
	return NULL;
}

/* A free entry, or the idle one that was used longest ago, closed; NULL: all are lent. */
static struct entry *evict(struct fdcache *c)
{
	struct entry *best = NULL;

	for (size_t k = 0; k < FDCACHE_MAX; k++) {
		struct entry *x = &c->at[k];
		if (x->fd < 0)
			return x;
		if (x->lent == 0 && (!best || x->used < best->used))
			best = x;
	}
	if (best) {
		(void)close(best->fd);
		best->fd = -1;
	}
	return best;
}

enum err fdcache_borrow(struct fdcache *c, uint32_t no, int *ret)
{
	char name[FDIO_NUMBER_LEN];

	(void)pthread_mutex_lock(&c->lock);
	struct entry *x = find(c, no);
	if (x) {
		x->lent++;
		x->used = ++c->clock;
		*ret = x->fd;
		(void)pthread_mutex_unlock(&c->lock);
		return ERR_OK;
	}
	fdio_number(name, no);
	int fd = openat(c->dirfd, name, O_RDONLY | O_CLOEXEC);
	int number = errno;
	x = fd < 0 ? NULL : evict(c);
	if (x)
		*x = (struct entry){.fd = fd, .no = no, .lent = 1, .used = ++c->clock};
	(void)pthread_mutex_unlock(&c->lock);
	if (fd < 0)
		return fail(fdio_errno(number));
	*ret = fd;
	return ERR_OK;
}

void fdcache_back(struct fdcache *c, int fd)
{
	struct entry *x = NULL;
	bool drop = true; /* an overflow descriptor is in no entry */

	(void)pthread_mutex_lock(&c->lock);
	for (size_t k = 0; k < FDCACHE_MAX && !x; k++)
		if (c->at[k].fd == fd)
			x = &c->at[k];
	if (x) {
		assert(x->lent > 0); /* I1 */
		drop = --x->lent == 0 && x->forgotten;
		if (drop)
			*x = (struct entry){.fd = -1};
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (drop)
		(void)close(fd);
}

void fdcache_forget(struct fdcache *c, uint32_t no)
{
	int fd = -1;

	(void)pthread_mutex_lock(&c->lock);
	struct entry *x = find(c, no);
	if (x && x->lent) {
		x->forgotten = true;
	} else if (x) {
		fd = x->fd;
		*x = (struct entry){.fd = -1};
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (fd >= 0)
		(void)close(fd);
}
