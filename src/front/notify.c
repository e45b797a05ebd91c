// SPDX-License-Identifier: MIT
/*
 * notify.c - the thread that makes the kernel forget, and the filter before it
 *
 * Why no reply in flight can bring back what was just forgotten:
 *
 * Names.  The kernel holds the directory's lock from a lookup, create or readdirplus until its
 * answer is in the cache, and forgetting a name takes that lock: so it comes after.  Revalidating
 * lookups hold no lock, but forgetting unhashes the name that they look at.
 *
 * Attributes.  The kernel counts versions: an answer that was asked for before a forget is not
 * taken.  Answers which escape that count (setattr, link) are given with no lifetime at all.  A
 * node whose inode the kernel does not have yet, because the answer that makes it is on its way, is
 * told again a little later.
 *
 * Pages.  They are never forgotten from here: that would wait for pages which wait for peers.  An
 * open that finds another version drops them; while handles are open the node keeps its version.
 *
 * So the thread takes nothing for granted when it comes to a name: it compares what the kernel was
 * told last with what is shown now, and calls the kernel only if they differ.
 */
#include "front/notify.h"
#include "sys/clock.h"
#include <pthread.h>
#include <signal.h>

#define AGAIN_MS 5
#define AGAIN_MAX 256 /* nodes told again in one round; more wait for the next change */

struct notify {
	struct notify_config c;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool kicked, stop; /* under lock */
	uint64_t again[AGAIN_MAX]; /* the thread's */
	unsigned again_count;
};

static _Thread_local const struct notify_own *own;

void notify_set_own(const struct notify_own *o)
{
	own = o;
}

static bool own_inode(struct inode_id inode)
{
	for (unsigned k = 0; own && k < own->inodes_count; k++)
		if (inode_equal(own->inodes[k], inode))
			return true;
	return false;
}

static bool own_name(struct inode_id dir, struct bytes name)
{
	for (unsigned k = 0; own && k < own->names_count; k++)
		if (inode_equal(own->names[k].dir, dir) && bytes_equal(own->names[k].name, name))
			return true;
	return false;
}

void notify_kick(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	if (!n->kicked) {
		n->kicked = true;
		pthread_cond_signal(&n->cond);
	}
	pthread_mutex_unlock(&n->lock);
}

bool notify_change(struct notify *n, const struct change *c)
{
	struct bytes name = {c->name, c->name_len};
	bool own_doing = c->kind == CHANGE_ENTRY ? own_name(c->inode, name) : own_inode(c->inode);
	bool due = false;

	if (c->kind == CHANGE_ALL) {
		nodes_all_due(n->c.nodes);
		notify_kick(n);
		return true;
	}
	if (c->kind == CHANGE_DATA)
		nodes_data_changed(n->c.nodes, c->inode);
	if (!own_doing && c->kind == CHANGE_ENTRY)
		due = nodes_name_due(n->c.nodes, c->inode, name);
	else if (!own_doing)
		due = nodes_attr_due(n->c.nodes, c->inode);
	if (due)
		notify_kick(n);
	return !own_doing;
}

void notify_stale(struct notify *n, struct inode_id inode, uint64_t file)
{
	if (nodes_detach(n->c.nodes, inode, file))
		notify_kick(n);
}

void notify_attr_now(struct notify *n, uint64_t nodeid)
{
	(void)n->c.forget(n->c.arg, nodeid, NULL, 0);
}

static void forget_name(struct notify *n, const struct nodes_due *d)
{
	struct bytes name = {(const uint8_t *)d->name, d->name_len};
	struct inode_id now = {0, 0};
	struct shown s;

	host_lock(n->c.host);
	if (!view_lookup(node_view(host_node(n->c.host)), d->dir, name, &s))
		now = s.id;
	bool wrong = nodes_name_wrong(n->c.nodes, d->nodeid, name, now);
	host_unlock(n->c.host);
	/* That the kernel has dropped the name meanwhile is no failure. */
	if (wrong)
		(void)n->c.forget(n->c.arg, d->nodeid, d->name, d->name_len);
}

void notify_name_now(struct notify *n, struct inode_id dir, struct bytes name, bool any_case)
{
	struct nodes_due d = {.is_name = true, .dir = dir, .name_len = (uint8_t)name.len};

	d.nodeid = nodes_nodeid(n->c.nodes, dir);
	memcpy(d.name, name.at, name.len);
	if (d.nodeid && any_case)
		(void)n->c.forget(n->c.arg, d.nodeid, d.name, d.name_len);
	else if (d.nodeid)
		forget_name(n, &d);
}

static void forget_attr(struct notify *n, uint64_t nodeid)
{
	if (n->c.forget(n->c.arg, nodeid, NULL, 0) == -ENOENT && n->again_count < AGAIN_MAX)
		n->again[n->again_count++] = nodeid;
}

/* Wait for work; false: stop. */
static bool wait_kick(struct notify *n, bool soon)
{
	uint64_t at = clock_usec() + AGAIN_MS * 1000;
	struct timespec until = {.tv_sec = (time_t)(at / 1000000),
				 .tv_nsec = (long)(at % 1000000) * 1000};

	pthread_mutex_lock(&n->lock);
	while (!n->kicked && !n->stop) {
		if (!soon)
			pthread_cond_wait(&n->cond, &n->lock);
		else if (pthread_cond_timedwait(&n->cond, &n->lock, &until) == ETIMEDOUT)
			break;
	}
	n->kicked = false;
	bool go = !n->stop;
	pthread_mutex_unlock(&n->lock);
	return go;
}

static bool stopping(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	bool stop = n->stop;
	pthread_mutex_unlock(&n->lock);
	return stop;
}

static void *notify_thread(void *arg)
{
	struct notify *n = arg;
	struct nodes_due d;
	bool soon = false;

	while (wait_kick(n, soon)) {
		n->again_count = 0;
		while (!stopping(n) && nodes_take_due(n->c.nodes, &d)) {
			if (d.is_name)
				forget_name(n, &d);
			else
				forget_attr(n, d.nodeid);
		}
		soon = false;
		for (unsigned k = 0; k < n->again_count; k++)
			soon |= nodes_attr_again(n->c.nodes, n->again[k]);
	}
	return NULL;
}

enum err notify_new(const struct notify_config *c, struct notify **ret)
{
	struct notify *n = calloc(1, sizeof(*n));
	pthread_condattr_t mono;
	sigset_t all, old;

	if (!n)
		return fail(ERR_NOMEM);
	n->c = *c;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&n->cond, &mono);
	pthread_condattr_destroy(&mono);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the program's */
	int failed = pthread_create(&n->thread, NULL, notify_thread, n);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed) {
		pthread_cond_destroy(&n->cond);
		pthread_mutex_destroy(&n->lock);
		free(n);
		return fail(ERR_NOMEM);
	}
	*ret = n;
	return ERR_OK;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	pthread_cond_signal(&n->cond);
	pthread_mutex_unlock(&n->lock);
	pthread_join(n->thread, NULL);
	pthread_cond_destroy(&n->cond);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
