// SPDX-License-Identifier: MIT
/*
 * poke.c - the thread that gives peerfs-poke its orders, and how that process is known
 *
 * Changes are put together in pokes.c; when a step's changes are all told, the thread is kicked.
 * It works out one order, sends it, and waits for the answer before the next: so at any moment at
 * most one order is in hand, and requests of the process that are not of it are refused.
 *
 * Never in the daemon itself: a thread that waits in the kernel for its own process to answer
 * cannot be killed.  And nobody waits for the process but this thread: if it hangs or is stopped,
 * events are late, then dropped; nothing else is.
 *
 * A stopped flood: at most POKES_MAX places wait (more are dropped, and the log says so once), and
 * at most RATE orders a second are given, BURST at once.
 *
 * I1  tid is that of a process that lives: a thread id is used again only after its process is
 *     gone, and then pidfd is readable
 * I2  current is an order from before it is sent until its answer came or the process is gone
 */
#include "front/poke.h"
#include "base/rd.h"
#include "sys/clock.h"
#include "sys/rand.h"
#include "sys/report.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POKES_MAX 4096
#define RATE 2000
#define BURST 500

struct poke {
	struct mount *m;
	pthread_t thread;
	int wake; /* eventfd: look again */
	pthread_mutex_t lock; /* all below; taken after the host's */
	bool stop, full; /* full: dropping, and it was said */
	unsigned telling; /* threads in the midst of telling a step's changes */
	int fd, pidfd; /* -1: no process */
	uint32_t tid; /* atomic; 0: no process, or not recognised yet */
	char nonce[POKE_NONCE_TEXT];
	struct pokes *q;
	struct poke_current current; /* I2 */
	struct poke_counts counts;
	/* the thread's */
	struct pokes_order again[2]; /* instead of a rename that could not be */
	unsigned again_count;
	uint64_t tokens_usec; /* saved up */
	uint64_t last_usec;
	char path[2][POKE_PATH_MAX + 2], name[2][NAME_BYTES_MAX + 1];
};

/* ---- what the tree shows: under the host's lock ---- */

static struct pokes_thing shows(void *arg, const struct pokes_place *at)
{
	struct poke *p = arg;
	struct bytes name = {at->name, at->len};
	struct shown s;

	if (view_lookup(node_view(host_node(p->m->host)), at->dir, name, &s))
		return (struct pokes_thing){0};
	return (struct pokes_thing){(uint8_t)s.type, s.id};
}

static bool place_of(struct view *v, struct inode_id id, struct pokes_place *ret)
{
	struct shown s;

	if (view_find(v, id, &s) || s.kind == SHOWN_ROOT)
		return false;
	ret->dir = s.at;
	ret->len = (uint8_t)s.name_len;
	memcpy(ret->name, s.name, s.name_len);
	return true;
}

static bool where(void *arg, struct inode_id id, struct pokes_place *ret)
{
	struct poke *p = arg;

	return place_of(node_view(host_node(p->m->host)), id, ret);
}

/* ---- changes ---- */

/* The core did not say what was there: what the kernel has there. */
static struct pokes_thing kernel_has(struct poke *p, const struct pokes_place *at)
{
	struct pokes_thing t = {0};
	struct view_attr a;
	uint64_t dir = nodes_nodeid(p->m->nodes, at->dir);

	if (!dir || !nodes_name_inode(p->m->nodes, dir, (struct bytes){at->name, at->len}, &t.id) ||
	    inode_none(t.id))
		return (struct pokes_thing){0};
	host_lock(p->m->host);
	t.type = TYPE_FILE;
	if (!view_stat(node_view(host_node(p->m->host)), t.id, &a))
		t.type = (uint8_t)a.type;
	host_unlock(p->m->host);
	return t;
}

static void count_dropped(struct poke *p, enum err e)
{
	if (!e)
		return;
	p->counts.dropped++;
	if (!p->full)
		report(REPORT_WARN,
		       "%s: changes come faster than they can be told as events (inotify): some "
		       "programs that watch the folder will not hear of all of them; the folder "
		       "itself is right",
		       p->m->dir);
	p->full = true;
}

/* The p for which this thread tells a step's changes: they count as one, so none goes out yet. */
static _Thread_local struct poke *telling;

static void begin_telling(struct poke *p)
{
	if (telling == p)
		return;
	telling = p;
	pthread_mutex_lock(&p->lock);
	p->telling++;
	pthread_mutex_unlock(&p->lock);
}

static void entry_changed(struct poke *p, const struct change *c)
{
	struct pokes_place at = {.dir = c->inode, .len = c->name_len};
	struct pokes_thing before = {c->was_type, c->was};

	if (!nodes_nodeid(p->m->nodes, c->inode))
		return; /* nobody has looked at it */
	memcpy(at.name, c->name, c->name_len);
	if (!c->was_known)
		before = kernel_has(p, &at);
	pthread_mutex_lock(&p->lock);
	count_dropped(p, pokes_entry(p->q, &at, &before));
	pthread_mutex_unlock(&p->lock);
}

static void thing_changed(struct poke *p, const struct change *c)
{
	struct pokes_place at;

	host_lock(p->m->host);
	bool placed = place_of(node_view(host_node(p->m->host)), c->inode, &at);
	host_unlock(p->m->host);
	if (!placed || (!nodes_nodeid(p->m->nodes, at.dir) && !nodes_nodeid(p->m->nodes, c->inode)))
		return;
	pthread_mutex_lock(&p->lock);
	count_dropped(p, pokes_touch(p->q, &at, c->kind == CHANGE_DATA));
	pthread_mutex_unlock(&p->lock);
}

void poke_change(struct poke *p, const struct change *c)
{
	if (!__atomic_load_n(&p->tid, __ATOMIC_RELAXED))
		return; /* nobody would be told */
	if (c->kind == CHANGE_ALL) { /* what it was before, nobody knows any more */
		pthread_mutex_lock(&p->lock);
		p->counts.dropped++;
		pthread_mutex_unlock(&p->lock);
		return;
	}
	begin_telling(p);
	if (c->kind == CHANGE_ENTRY)
		entry_changed(p, c);
	else if (c->kind != CHANGE_LINKS) /* whoever watches hears of the directory itself */
		thing_changed(p, c);
}

static void wake(struct poke *p)
{
	const uint64_t one = 1;

	(void)!write(p->wake, &one, sizeof(one)); /* fails only when it is awake a while already */
}

void poke_kick(struct poke *p)
{
	if (telling != p)
		return;
	telling = NULL;
	pthread_mutex_lock(&p->lock);
	p->telling -= p->telling > 0;
	bool due = pokes_count(p->q) > 0 && p->telling == 0;
	pthread_mutex_unlock(&p->lock);
	if (due)
		wake(p);
}

/* ---- who it is ---- */

static enum err nonce_make(char nonce[POKE_NONCE_TEXT])
{
	uint8_t seed[32];
	int len = snprintf(nonce, POKE_NONCE_TEXT, ".poke-");

	rand_seed(seed);
	for (size_t k = 0; k < sizeof(seed); k++)
		len += snprintf(nonce + len, POKE_NONCE_TEXT - (size_t)len, "%02x", seed[k]);
	return len < POKE_NONCE_TEXT ? ERR_OK : fail(ERR_RANGE);
}

enum err poke_connect(struct poke *p, int take_fd, char nonce[POKE_NONCE_TEXT])
{
	struct ucred who = {.pid = 0};
	socklen_t len = sizeof(who);
	int type = 0, pidfd = -1;
	socklen_t type_len = sizeof(type);

	enum err e = getsockopt(take_fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
				     getsockopt(take_fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0
			     ? fail(ERR_REFUSED)
			     : ERR_OK;
	if (!e &&
	    (type != SOCK_SEQPACKET || who.pid <= 0 || (who.uid != geteuid() && who.uid != 0)))
		e = fail(ERR_REFUSED);
	if (!e) {
		pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
		e = pidfd < 0 ? fail(ERR_REFUSED) : nonce_make(nonce);
	}
	pthread_mutex_lock(&p->lock);
	if (!e && (p->fd >= 0 || p->stop))
		e = fail(ERR_BUSY);
	if (!e) {
		p->fd = take_fd;
		p->pidfd = pidfd;
		memcpy(p->nonce, nonce, POKE_NONCE_TEXT);
	}
	pthread_mutex_unlock(&p->lock);
	if (e) {
		(void)close(take_fd);
		if (pidfd >= 0)
			(void)close(pidfd);
		return e;
	}
	wake(p);
	return ERR_OK;
}

void poke_meet(struct poke *p, fuse_req_t req, const char *name)
{
	pid_t tid = fuse_req_ctx(req)->pid;

	pthread_mutex_lock(&p->lock);
	bool met = p->fd >= 0 && p->nonce[0] && strcmp(name, p->nonce) == 0;
	if (met)
		p->nonce[0] = 0;
	if (met && tid > 0)
		__atomic_store_n(&p->tid, (uint32_t)tid, __ATOMIC_RELAXED);
	else if (met)
		(void)shutdown(p->fd, SHUT_RDWR); /* both sides find out, and part */
	pthread_mutex_unlock(&p->lock);
	if (met && tid <= 0)
		report(REPORT_WARN,
		       "%s: peerfs-poke runs in another process namespace than the mount: "
		       "programs will not hear of changes from elsewhere",
		       p->m->dir);
}

static bool alive(int pidfd)
{
	struct pollfd f = {.fd = pidfd, .events = POLLIN};

	return poll(&f, 1, 0) == 0;
}

bool poke_is(struct poke *p, fuse_req_t req)
{
	uint32_t tid = p ? __atomic_load_n(&p->tid, __ATOMIC_RELAXED) : 0;

	if (!tid || (uint32_t)fuse_req_ctx(req)->pid != tid)
		return false;
	pthread_mutex_lock(&p->lock);
	bool is = p->tid == tid && p->pidfd >= 0 && alive(p->pidfd); /* I1 */
	pthread_mutex_unlock(&p->lock);
	return is;
}

void poke_current(struct poke *p, struct poke_current *ret)
{
	pthread_mutex_lock(&p->lock);
	*ret = p->current;
	pthread_mutex_unlock(&p->lock);
}

void poke_counts(struct poke *p, struct poke_counts *ret)
{
	*ret = (struct poke_counts){0};
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	*ret = p->counts;
	ret->connected = p->tid != 0;
	pthread_mutex_unlock(&p->lock);
}

/* ---- orders ---- */

/* Under the lock: the process is gone, or was never there. */
static void disconnect(struct poke *p)
{
	__atomic_store_n(&p->tid, 0, __ATOMIC_RELAXED);
	if (p->fd >= 0)
		(void)close(p->fd);
	if (p->pidfd >= 0)
		(void)close(p->pidfd);
	p->fd = p->pidfd = -1;
	p->nonce[0] = 0;
	p->current.o.kind = 0;
	p->again_count = 0;
	pokes_clear(p->q);
}

static void lose(struct poke *p)
{
	pthread_mutex_lock(&p->lock);
	bool was = p->tid != 0, stop = p->stop;
	disconnect(p);
	pthread_mutex_unlock(&p->lock);
	if (was && !stop)
		report(REPORT_INFO,
		       "%s: peerfs-poke has ended: programs hear of changes from elsewhere again "
		       "after the next mount",
		       p->m->dir);
}

/* Where a place is, in words; false: nowhere, or nobody has looked at it. */
static bool spell(struct poke *p, const struct pokes_place *at, unsigned which,
		  struct pokewire_place *ret)
{
	struct view *v = node_view(host_node(p->m->host));

	if (view_path(v, at->dir, p->path[which], sizeof(p->path[which])))
		return false;
	memcpy(p->name[which], at->name, at->len);
	p->name[which][at->len] = 0;
	ret->path = p->path[which] + 1;
	ret->name = p->name[which];
	return true;
}

/* The next order, in hand from now on, and how it is sent; false: none. */
static bool next_order(struct poke *p, struct pokewire_order *wire)
{
	const struct pokes_view view = {p, shows, where};
	struct view *v = node_view(host_node(p->m->host));
	struct poke_current c = {.stub = false};
	bool have = false, more = true;

	host_lock(p->m->host);
	while (!have && more) {
		pthread_mutex_lock(&p->lock);
		more = p->again_count > 0;
		if (more)
			c.o = p->again[--p->again_count];
		else
			more = p->telling == 0 && pokes_next(p->q, &view, &c.o);
		p->full = p->full && pokes_count(p->q) > 0;
		pthread_mutex_unlock(&p->lock);
		*wire = (struct pokewire_order){.kind = c.o.kind};
		if (c.o.kind != POKE_MODIFY && c.o.kind != POKE_ATTRIB)
			wire->type = (enum inode_type)c.o.what.type;
		have = more && spell(p, &c.o.at, 0, &wire->at) &&
		       ((c.o.kind != POKE_RENAME && c.o.kind != POKE_EXCHANGE) ||
			spell(p, &c.o.to, 1, &wire->to));
	}
	c.stub = have && c.o.kind == POKE_DELETE && c.o.what.type == TYPE_DIR &&
		 view_is_shown(v, c.o.what.id);
	host_unlock(p->m->host);
	pthread_mutex_lock(&p->lock);
	if (have)
		p->current = c; /* I2 */
	pthread_mutex_unlock(&p->lock);
	return have;
}

static struct bytes name_of(const struct pokes_place *at)
{
	return (struct bytes){at->name, at->len};
}

/* What the kernel was told for an order that came to nothing must not stay. */
static void take_back(struct poke *p, const struct pokes_place *at)
{
	if (nodes_name_due(p->m->nodes, at->dir, name_of(at)))
		notify_kick(p->m->notify);
}

/* The order in hand was answered. */
static void answered(struct poke *p, uint32_t error)
{
	pthread_mutex_lock(&p->lock);
	const struct pokes_order o = p->current.o;
	p->current.o.kind = 0;
	p->counts.told += !error;
	/* The kernel may have the directory at its new place already: told as two events. */
	bool split = error == ESTALE && o.kind == POKE_RENAME && o.what.type == TYPE_DIR;
	if (error && !split && !pokes_failed(p->q, &o))
		p->counts.failed++;
	if (split) {
		p->again[1] = p->again[0] = (struct pokes_order){
			.kind = POKE_CREATE, .at = o.to, .what = o.what, .tries = POKES_TRIES};
		p->again[1].kind = POKE_DELETE;
		p->again[1].at = o.at;
		p->again_count = 2;
	}
	pthread_mutex_unlock(&p->lock);
	if (!error)
		return;
	report(REPORT_DEBUG, "%s: an event (%u of %.*s) could not be told: %s", p->m->dir,
	       (unsigned)o.kind, (int)o.at.len, (const char *)o.at.name, strerror((int)error));
	take_back(p, &o.at);
	if (o.kind == POKE_RENAME || o.kind == POKE_EXCHANGE)
		take_back(p, &o.to);
}

static bool send_order(struct poke *p, const struct pokewire_order *wire)
{
	struct wr w = {0};

	const bool since = p->current.o.now.type != 0;

	/* What the kernel has there is in the way of what goes: the old name, which is due to be
	 * forgotten in any moment, or what a program has looked up since. */
	if (wire->kind != POKE_CREATE)
		notify_name_now(p->m->notify, p->current.o.at.dir, name_of(&p->current.o.at),
				since);
	pokewire_encode(&w, wire);
	bool ok = !w.bad && send(p->fd, w.at, w.len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)w.len;
	wr_fini(&w);
	return ok;
}

/* Save up for orders; microseconds until one may be given. */
static uint64_t until_token(struct poke *p)
{
	const uint64_t cost = 1000000 / RATE;
	uint64_t now = clock_usec();

	p->tokens_usec = MIN(p->tokens_usec + (now - p->last_usec), BURST * cost);
	p->last_usec = now;
	return p->tokens_usec >= cost ? 0 : cost - p->tokens_usec;
}

/* Give an order if there is one and it may be; how long to wait otherwise, -1: for ever. */
static int give(struct poke *p)
{
	struct pokewire_order wire;
	uint64_t wait = until_token(p);

	if (wait)
		return (int)(wait / 1000) + 1;
	if (!next_order(p, &wire))
		return -1;
	p->tokens_usec -= 1000000 / RATE;
	if (!send_order(p, &wire))
		lose(p);
	return -1;
}

static void hear(struct poke *p)
{
	uint8_t b[8];
	ssize_t n = recv(p->fd, b, sizeof(b), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 4 || !p->current.o.kind) {
		lose(p);
		return;
	}
	struct rd r = rd_of((struct bytes){b, 4});
	answered(p, rd_u32(&r));
}

static void *poke_thread(void *arg)
{
	struct poke *p = arg;
	bool stop = false;

	while (!stop) {
		pthread_mutex_lock(&p->lock);
		struct pollfd f[2] = {{.fd = p->wake, .events = POLLIN},
				      {.fd = p->fd, .events = POLLIN}};
		bool idle = p->tid && !p->current.o.kind;
		pthread_mutex_unlock(&p->lock);
		int wait = idle ? give(p) : -1;
		if (wait < 0 && idle)
			f[1].fd = p->fd; /* lost meanwhile, perhaps */
		int n = poll(f, 2, wait);
		uint64_t count;
		if (n > 0 && f[0].revents)
			(void)!read(p->wake, &count, sizeof(count));
		if (n > 0 && f[1].revents)
			hear(p);
		pthread_mutex_lock(&p->lock);
		stop = p->stop;
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

/* ---- life ---- */

enum err poke_new(struct mount *m, struct poke **ret)
{
	struct poke *p = calloc(1, sizeof(*p));
	sigset_t all, old;

	if (!p)
		return fail(ERR_NOMEM);
	p->m = m;
	p->fd = p->pidfd = -1;
	p->last_usec = clock_usec();
	pthread_mutex_init(&p->lock, NULL);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->q = pokes_new(POKES_MAX);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the program's */
	bool ok = p->wake >= 0 && p->q && pthread_create(&p->thread, NULL, poke_thread, p) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ok) {
		p->stop = true; /* there is no thread */
		poke_free(p);
		return fail(ERR_NOMEM);
	}
	*ret = p;
	return ERR_OK;
}

void poke_stop(struct poke *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	pthread_join(p->thread, NULL);
	pthread_mutex_lock(&p->lock);
	disconnect(p);
	pthread_mutex_unlock(&p->lock);
}

void poke_free(struct poke *p)
{
	if (!p)
		return;
	if (p->wake >= 0)
		(void)close(p->wake);
	pokes_free(p->q);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
