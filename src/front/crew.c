// SPDX-License-Identifier: MIT
/*
 * crew.c - who waits for the next request
 *
 * The kernel wakes those who wait in read(2) in turn.  With a dozen waiting, each request runs on
 * another thread, with cold caches and on the other processor: that costs three to six times the
 * request itself.  So one thread waits, carries the request, and waits again; the others sleep.
 * Another is woken when nobody is left waiting and
 *
 *	- the request in hand is one that may take long, or
 *	- more requests are there already, or
 *	- the request in hand has turned out to take long: the watch looks every WATCH_MS.
 *
 * Whoever comes back from a long request waits beside one other, so that a stream of them does not
 * put threads to sleep and wake them all the time.
 *
 * The end comes in two ways.  Unmounted: read(2) says ENODEV to everybody; the last one out calls
 * ended().  Stopped: the threads are cancelled, which is allowed only while they wait for a
 * request.  All signals are blocked here: they are the program's.
 *
 * I1  waiting counts the threads in read(2), or about to be
 * I2  a thread that was cancelled held neither the lock nor a request
 */
#include "front/crew.h"
#include "sys/clock.h"
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#define THREADS 32
#define WATCH_MS 5
#define LONG_READ 16384
#define LONG_WRITE 65536

struct crew {
	struct crew_config c;
	pthread_mutex_t lock;
	pthread_cond_t needed; /* somebody must wait for requests */
	pthread_cond_t watched; /* requests come again */
	pthread_t thread[THREADS], watch;
	unsigned started, running, waiting;
	uint64_t taken; /* requests */
	bool watching, resting; /* the watch runs; it sleeps until a request comes */
	bool ended, stopping;
};

static bool takes_long(const struct fuse_buf *buf)
{
	const struct fuse_in_header *h = buf->mem;

	switch (h->opcode) {
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return true;
	case FUSE_WRITE:
		return buf->size > LONG_WRITE;
	case FUSE_READ: {
		const struct fuse_read_in *in = (const void *)(h + 1);
		return buf->size >= sizeof(*h) + sizeof(*in) && in->size > LONG_READ;
	}
	default:
		return false;
	}
}

static bool more_are_there(const struct crew *c)
{
	struct pollfd p = {.fd = fuse_session_fd(c->c.session), .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* Become one of at most `most` who wait; false: the end. */
static bool wait_turn(struct crew *c, unsigned most)
{
	pthread_mutex_lock(&c->lock);
	while (!c->ended && !c->stopping && c->waiting >= most)
		pthread_cond_wait(&c->needed, &c->lock);
	bool go = !c->ended && !c->stopping;
	c->waiting += go;
	pthread_mutex_unlock(&c->lock);
	return go;
}

/* A request is in hand.  Whether nobody waits any more. */
static bool took(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	bool none = --c->waiting == 0;
	c->taken++;
	if (c->resting)
		pthread_cond_signal(&c->watched);
	pthread_mutex_unlock(&c->lock);
	return none;
}

static void call_another(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->waiting == 0)
		pthread_cond_signal(&c->needed);
	pthread_mutex_unlock(&c->lock);
}

static void over(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	pthread_cond_broadcast(&c->needed);
	pthread_cond_signal(&c->watched);
	pthread_mutex_unlock(&c->lock);
}

static void free_buffer(void *arg)
{
	struct fuse_buf *buf = arg;

	free(buf->mem);
}

static void serve(struct crew *c, struct fuse_buf *buf)
{
	unsigned most = 1;

	while (wait_turn(c, most)) {
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL); /* I2 */
		int n = fuse_session_receive_buf(c->c.session, buf);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		bool none = took(c);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0) {
			over(c);
			break;
		}
		bool slow = takes_long(buf);
		if (none && (slow || more_are_there(c)))
			call_another(c);
		fuse_session_process_buf(c->c.session, buf);
		most = slow ? 2 : 1;
	}
}

static void *crew_thread(void *arg)
{
	struct crew *c = arg;
	struct fuse_buf buf = {.mem = NULL};

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_push(free_buffer, &buf);
	serve(c, &buf);
	pthread_cleanup_pop(1);
	pthread_mutex_lock(&c->lock);
	bool last = --c->running == 0 && c->ended && !c->stopping;
	pthread_mutex_unlock(&c->lock);
	if (last && c->c.ended)
		c->c.ended(c->c.arg);
	return NULL;
}

static void *watch_thread(void *arg)
{
	struct crew *c = arg;
	uint64_t seen = 0;

	pthread_mutex_lock(&c->lock);
	while (!c->ended && !c->stopping) {
		bool idle = c->taken == seen;
		seen = c->taken;
		if (idle && c->waiting > 0) {
			c->resting = true;
			pthread_cond_wait(&c->watched, &c->lock);
			c->resting = false;
			continue;
		}
		if (idle)
			pthread_cond_signal(&c->needed);
		uint64_t at = clock_usec() + WATCH_MS * 1000;
		struct timespec until = {.tv_sec = (time_t)(at / 1000000),
					 .tv_nsec = (long)(at % 1000000) * 1000};
		(void)pthread_cond_timedwait(&c->watched, &c->lock, &until);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

void crew_stop(struct crew *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_broadcast(&c->needed);
	pthread_cond_signal(&c->watched);
	pthread_mutex_unlock(&c->lock);
	for (unsigned k = 0; k < c->started; k++)
		pthread_cancel(c->thread[k]);
	for (unsigned k = 0; k < c->started; k++)
		pthread_join(c->thread[k], NULL);
	if (c->watching)
		pthread_join(c->watch, NULL);
	pthread_cond_destroy(&c->needed);
	pthread_cond_destroy(&c->watched);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

enum err crew_start(const struct crew_config *config, struct crew **ret)
{
	struct crew *c = calloc(1, sizeof(*c));
	pthread_condattr_t mono;
	sigset_t all, old;
	int failed = 0;

	if (!c)
		return fail(ERR_NOMEM);
	c->c = *config;
	c->running = THREADS; /* from the start: none may be the last while others are made */
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->needed, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&c->watched, &mono);
	pthread_condattr_destroy(&mono);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->watching = pthread_create(&c->watch, NULL, watch_thread, c) == 0;
	while (c->watching && c->started < THREADS && !failed) {
		failed = pthread_create(&c->thread[c->started], NULL, crew_thread, c);
		c->started += !failed;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed || !c->watching) {
		crew_stop(c);
		return fail(ERR_NOMEM);
	}
	*ret = c;
	return ERR_OK;
}
