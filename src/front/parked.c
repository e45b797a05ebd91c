// SPDX-License-Identifier: MIT
/*
 * parked.c - answer reads, and wait for bytes without a thread that waits
 *
 *	(fast path) all bytes are here: answered by the request's own thread, no row
 *	BUSY    a thread is asking the host, or has been told to ask again
 *	PARKED  the host has its tag and will call parked_again()
 *	READY   called: in the queue for our thread, which makes it BUSY again
 *
 * I1  a row leaves the table under the lock, by the one who then answers its request
 * I2  only a PARKED or READY row is taken by an interrupt; a BUSY one is marked, its thread answers
 *
 * libfuse is never called under the lock: it calls the interrupt function under locks of its own.
 */
#include "front/parked.h"
#include "front/answer.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define BUCKETS 1024
#define BUFFERS_KEPT 16

enum state { BUSY, PARKED, READY };
struct row {
	struct row *chain; /* of its bucket */
	struct row *next; /* READY: queue */
	uint64_t tag;
	fuse_req_t req;
	struct parked_read r;
	enum state state;
	bool canceled; /* BUSY: interrupted */
	bool again; /* BUSY: parked_again() came first */
	enum err err; /* of parked_again() */
};
struct parked {
	struct mount *m;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct row *bucket[BUCKETS];
	struct row *first, *last; /* READY */
	uint64_t tag, count;
	bool stop;
	void *spare[BUFFERS_KEPT]; /* MOUNT_WRITE_MAX bytes each: fresh memory is slow */
	unsigned spares;
};

static void *buffer_take(struct parked *p, uint32_t len)
{
	void *b = NULL;

	if (len > MOUNT_WRITE_MAX)
		return malloc(len);
	pthread_mutex_lock(&p->lock);
	if (p->spares)
		b = p->spare[--p->spares];
	pthread_mutex_unlock(&p->lock);
	return b ? b : malloc(MOUNT_WRITE_MAX);
}

static void buffer_give(struct parked *p, void *b, uint32_t len)
{
	pthread_mutex_lock(&p->lock);
	if (len <= MOUNT_WRITE_MAX && p->spares < BUFFERS_KEPT) {
		p->spare[p->spares++] = b;
		b = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	free(b);
}

/*
 * Programs that read whole trees of contents that nobody asked for: their reads of absent bytes
 * fail at once instead of pulling the folder over the network.
 */
static bool is_polite(pid_t pid)
{
	static const char *const names[] = {
		"updatedb", "plocate",  "mlocate",    "baloo_file",      "baloo_file_extr",
		"tumblerd", "localsea", "tracker-ex", "tracker-miner-f", "gnome-thumbnail",
		"clamscan", "clamd",    "clamonacc"};
	char path[32], comm[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t len = read(fd, comm, sizeof(comm) - 1);
	close(fd);
	if (len <= 0)
		return false;
	comm[len] = 0;
	comm[strcspn(comm, "\n")] = 0;
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		if (strncmp(comm, names[k], strlen(names[k])) == 0)
			return true;
	return false;
}

static struct row **row_at(struct parked *p, uint64_t tag)
{
	struct row **at = &p->bucket[tag % BUCKETS];

	while (*at && (*at)->tag != tag)
		at = &(*at)->chain;
	return at;
}

static void row_remove(struct parked *p, struct row *w)
{
	*row_at(p, w->tag) = w->chain;
	p->count--;
}

static void cancel(struct parked *p, uint64_t tag)
{
	struct event ev = {.kind = EV_READ_CANCEL};

	ev.read.tag = tag;
	/* That the host does not know the tag any more is fine: it was just about to call. */
	(void)!host_step(p->m->host, &ev);
}

/* What became of a BUSY row after the host was asked, decided under the lock. */
enum verdict { ANSWER, CANCEL, WAIT, ASK };
static enum verdict row_decide(struct parked *p, struct row *w, enum err *e)
{
	enum verdict v = ANSWER;

	pthread_mutex_lock(&p->lock);
	if (*e == ERR_AGAIN && (w->canceled || p->stop))
		v = CANCEL;
	else if (*e == ERR_AGAIN && w->again && w->err)
		*e = w->err;
	else if (*e == ERR_AGAIN)
		v = w->again ? ASK : WAIT;
	w->again = false;
	if (v == WAIT)
		w->state = PARKED;
	else if (v != ASK)
		row_remove(p, w);
	pthread_mutex_unlock(&p->lock);
	return v;
}

/* Ask the host for a BUSY row of ours until it is answered or parked. */
static void row_run(struct parked *p, struct row *w, bool polite)
{
	enum verdict v = ASK;

	while (v == ASK) {
		struct parked_read r = w->r; /* parked, the row is anybody's */
		uint32_t done = 0;
		void *buf = buffer_take(p, r.len);
		enum err e = buf ? host_read(p->m->host, r.file, r.off, r.len, w->tag, polite, buf,
					     &done)
				 : fail(ERR_NOMEM);
		v = row_decide(p, w, &e);
		if (v == CANCEL)
			cancel(p, w->tag);
		if (v == CANCEL || (v == ANSWER && e))
			answer_error(w->req, v == CANCEL ? ERR_CANCELED : e);
		else if (v == ANSWER)
			(void)fuse_reply_buf(w->req, buf, done);
		if (v == CANCEL || v == ANSWER)
			free(w);
		if (buf)
			buffer_give(p, buf, r.len);
	}
}

static void row_ready(struct parked *p, struct row *w)
{
	w->state = READY;
	w->next = NULL;
	*(p->last ? &p->last->next : &p->first) = w;
	p->last = w;
	pthread_cond_signal(&p->cond);
}

static void row_unready(struct parked *p, struct row *w)
{
	struct row **at = &p->first, *prev = NULL;

	while (*at != w) {
		prev = *at;
		at = &prev->next;
	}
	*at = w->next;
	if (p->last == w)
		p->last = prev;
}

void parked_again(struct parked *p, uint64_t tag, enum err err)
{
	pthread_mutex_lock(&p->lock);
	struct row *w = *row_at(p, tag);
	if (w && w->state == BUSY) {
		w->again = true;
		w->err = err;
	} else if (w && w->state == PARKED) {
		w->err = err;
		row_ready(p, w);
	}
	pthread_mutex_unlock(&p->lock);
}

/* libfuse calls this under locks of the request, which therefore lives; the row may not. */
static void interrupted(fuse_req_t req, void *data)
{
	struct mount *m = fuse_req_userdata(req);
	struct parked *p = m->parked;
	uint64_t tag = (uint64_t)(uintptr_t)data;

	pthread_mutex_lock(&p->lock);
	struct row *w = *row_at(p, tag);
	if (w && w->state == BUSY) {
		w->canceled = true;
		w = NULL;
	} else if (w) {
		if (w->state == READY)
			row_unready(p, w);
		row_remove(p, w);
	}
	pthread_mutex_unlock(&p->lock);
	if (!w)
		return;
	cancel(p, tag);
	answer_error(w->req, ERR_CANCELED);
	free(w);
}

static void park(struct parked *p, fuse_req_t req, const struct parked_read *r)
{
	struct row *w = calloc(1, sizeof(*w));

	if (!w) {
		answer_error(req, ERR_NOMEM);
		return;
	}
	w->req = req;
	w->r = *r;
	w->state = BUSY;
	bool polite = is_polite(fuse_req_ctx(req)->pid);
	pthread_mutex_lock(&p->lock);
	w->tag = ++p->tag;
	struct row **at = &p->bucket[w->tag % BUCKETS];
	w->chain = *at;
	*at = w;
	p->count++;
	pthread_mutex_unlock(&p->lock);
	fuse_req_interrupt_func(req, interrupted, (void *)(uintptr_t)w->tag);
	row_run(p, w, polite);
}

void parked_read(struct parked *p, fuse_req_t req, const struct parked_read *r)
{
	uint32_t done = 0;
	void *buf = buffer_take(p, r->len);
	/* tag 0: do not park */
	enum err e = buf ? host_read(p->m->host, r->file, r->off, r->len, 0, false, buf, &done)
			 : fail(ERR_NOMEM);

	if (!e)
		(void)fuse_reply_buf(req, buf, done);
	if (buf)
		buffer_give(p, buf, r->len);
	if (e == ERR_AGAIN)
		park(p, req, r);
	else if (e)
		answer_error(req, e);
}

static void *parked_thread(void *arg)
{
	struct parked *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct row *w = p->first;
		if (!w) {
			pthread_cond_wait(&p->cond, &p->lock);
			continue;
		}
		row_unready(p, w);
		w->state = BUSY;
		enum err e = w->err;
		w->err = ERR_OK;
		if (e)
			row_remove(p, w);
		pthread_mutex_unlock(&p->lock);
		if (e) {
			answer_error(w->req, e);
			free(w);
		} else {
			row_run(p, w, false);
		}
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

enum err parked_new(struct mount *m, struct parked **ret)
{
	struct parked *p = calloc(1, sizeof(*p));
	sigset_t all, old;

	if (!p)
		return fail(ERR_NOMEM);
	p->m = m;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->cond, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&p->thread, NULL, parked_thread, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed) {
		pthread_cond_destroy(&p->cond);
		pthread_mutex_destroy(&p->lock);
		free(p);
		return fail(ERR_NOMEM);
	}
	*ret = p;
	return ERR_OK;
}

void parked_stop(struct parked *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	/* The request threads are gone too: every row left is PARKED or READY and ours. */
	for (size_t k = 0; k < BUCKETS; k++) {
		while (p->bucket[k]) {
			struct row *w = p->bucket[k];
			row_remove(p, w);
			cancel(p, w->tag);
			answer_error(w->req, ERR_CANCELED);
			free(w);
		}
	}
	p->first = p->last = NULL;
}

void parked_free(struct parked *p)
{
	if (!p)
		return;
	while (p->spares)
		free(p->spare[--p->spares]);
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

uint64_t parked_count(struct parked *p)
{
	pthread_mutex_lock(&p->lock);
	uint64_t n = p->count;
	pthread_mutex_unlock(&p->lock);
	return n;
}
