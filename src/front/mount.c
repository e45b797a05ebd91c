// SPDX-License-Identifier: MIT
/*
 * mount.c - one mount being served: the session, what it asks of the kernel, its end
 *
 * The crew's threads carry each request to its answer.  None of them ever waits for the network,
 * so a few serve any number of parked reads.
 *
 * The reply to INIT passes through our hands, because this version of libfuse does not pass on all
 * that the kernel offers: parallel lookups in a directory, and leaving set-id bits to us (or else
 * the kernel asks for a capability before each write).
 */
#include "front/mount.h"
#include "front/attrs.h"
#include "front/crew.h"
#include "front/entries.h"
#include "front/handles.h"
#include "front/listing.h"
#include "front/parked.h"
#include "front/poke.h"
#include "front/poked.h"
#include "sys/report.h"
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#define BACKGROUND 4096 /* read-ahead in flight; the library's 12 would let absent files block */
#define READAHEAD (1u << 20)

struct mount_session {
	_Atomic uint64_t init_unique; /* of the INIT request; 0: answered */
	uint32_t init_flags; /* that the kernel offered */
	void (*gone)(void *arg, struct mount *m);
	void *gone_arg;
};

/* ---- the descriptor ---- */

static ssize_t io_read(int fd, void *buf, size_t len, void *arg)
{
	struct mount *m = arg;
	ssize_t n = read(fd, buf, len);

	if (n >= (ssize_t)(sizeof(struct fuse_in_header) + sizeof(struct fuse_init_in))) {
		const struct fuse_in_header *h = buf;
		if (h->opcode == FUSE_INIT) { /* the first request, and alone */
			const struct fuse_init_in *in = (const void *)(h + 1);
			m->link->init_flags = in->flags;
			m->link->init_unique = h->unique;
		}
	}
	return n;
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *arg)
{
	struct mount *m = arg;
	const struct fuse_out_header *h = iov[0].iov_base;

	if (m->link->init_unique && h->unique == m->link->init_unique && !h->error && count > 1 &&
	    iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
		struct fuse_init_out *out = iov[1].iov_base;
		out->flags |= m->link->init_flags &
			      (FUSE_PARALLEL_DIROPS | (uint32_t)FUSE_HANDLE_KILLPRIV_V2);
		m->link->init_unique = 0;
	}
	return writev(fd, iov, count);
}

/* ---- what the kernel is asked for ---- */

static void init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
			FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO |
			FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS;

	/* No writeback cache: it hides remote sizes and disk-full.  No splicing: one copy is
	 * cheaper than two pipes for what goes through our buffers anyway. */
	conn->want = conn->capable & want;
	conn->max_write = MOUNT_WRITE_MAX;
	conn->max_readahead = READAHEAD;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND;
	conn->time_gran = 1;
}

static const struct fuse_lowlevel_ops ops = {
	.init = init,
	.lookup = poked_lookup,
	.forget = entries_forget,
	.forget_multi = entries_forget_multi,
	.getattr = attrs_get,
	.setattr = poked_setattr,
	.readlink = entries_readlink,
	.mknod = poked_mknod,
	.mkdir = poked_mkdir,
	.unlink = poked_unlink,
	.rmdir = poked_rmdir,
	.symlink = poked_symlink,
	.rename = poked_rename,
	.link = poked_link,
	.open = poked_open,
	.create = poked_create,
	.read = handles_read,
	.write = handles_write,
	.release = handles_release,
	.fsync = handles_fsync,
	.fallocate = handles_fallocate,
	.opendir = listing_open,
	.readdir = listing_read,
	.readdirplus = listing_read_plus,
	.releasedir = listing_release,
	.fsyncdir = listing_sync,
	.statfs = attrs_statfs,
	.setxattr = poked_setxattr,
	.getxattr = attrs_getxattr,
	.listxattr = attrs_listxattr,
	.removexattr = poked_removexattr,
	/* flush is not needed: nothing is kept back until close() */
};

/* ---- the host's calls ---- */

static void on_read_again(void *arg, uint64_t tag, enum err err)
{
	struct mount *m = arg;

	parked_again(m->parked, tag, err);
}

static void on_notify(void *arg, const struct change *c)
{
	struct mount *m = arg;

	if (notify_change(m->notify, c) && m->poke)
		poke_change(m->poke, c);
}

static void on_notified(void *arg)
{
	struct mount *m = arg;

	if (m->poke)
		poke_kick(m->poke);
}

static void on_stale(void *arg, struct inode_id inode, uint64_t file)
{
	struct mount *m = arg;

	notify_stale(m->notify, inode, file);
}

static int forget(void *arg, uint64_t nodeid, const char *name, size_t len)
{
	struct mount *m = arg;

	if (name)
		return fuse_lowlevel_notify_inval_entry(m->session, nodeid, name, len);
	return fuse_lowlevel_notify_inval_inode(m->session, nodeid, -1, 0);
}

static void on_ended(void *arg)
{
	struct mount *m = arg;

	if (m->link->gone)
		m->link->gone(m->link->gone_arg, m);
}

/* ---- life ---- */

static void mount_free(struct mount *m)
{
	poke_free(m->poke);
	if (m->notify)
		notify_free(m->notify);
	if (m->session)
		fuse_session_destroy(m->session);
	parked_free(m->parked);
	nodes_free(m->nodes);
	listing_fini(m);
	free(m->link);
	free(m->dir);
	free(m);
}

/* The session takes fd only if this succeeds. */
static enum err new_session(struct mount *m, int fd)
{
	char name[] = "peerfs", *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	const struct fuse_custom_io io = {.read = io_read, .writev = io_writev};

	m->session = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	if (!m->session)
		return fail(ERR_NOMEM);
	int n = fuse_session_custom_io(m->session, &io, fd);
	return n ? fail(n == -ENOMEM ? ERR_NOMEM : ERR_INVAL) : ERR_OK;
}

static enum err new_parts(struct mount *m, bool events)
{
	m->nodes = nodes_new();
	if (!m->nodes)
		return fail(ERR_NOMEM);
	const struct notify_config c = {
		.host = m->host, .nodes = m->nodes, .forget = forget, .arg = m};
	enum err e = notify_new(&c, &m->notify);
	if (!e && events)
		e = poke_new(m, &m->poke);
	return e ? e : parked_new(m, &m->parked);
}

enum err mount_serve(struct host *h, int take_fd, const char *dir, const struct mount_options *o,
		     void (*gone)(void *arg, struct mount *m), void *arg, struct mount **ret)
{
	struct mount *m = calloc(1, sizeof(*m));
	bool taken = false;

	enum err e = m ? ERR_OK : fail(ERR_NOMEM);
	if (!e) {
		m->host = h;
		listing_init(m);
		m->preserve_owner = o->preserve_owner;
		m->privileged = o->privileged;
		m->uid = o->uid;
		m->gid = o->gid;
		m->dir = strdup(dir);
		m->link = calloc(1, sizeof(*m->link));
		if (m->link) {
			m->link->gone = gone;
			m->link->gone_arg = arg;
		}
		e = m->dir && m->link ? new_session(m, take_fd) : fail(ERR_NOMEM);
		taken = !e;
	}
	if (!e)
		e = new_parts(m, o->events);
	if (!e) {
		const struct host_front front = {.arg = m,
						 .read_again = on_read_again,
						 .notify = on_notify,
						 .notified = on_notified,
						 .stale = on_stale,
						 .tell_before = o->events};
		const struct crew_config crew = {
			.session = m->session, .ended = on_ended, .arg = m};
		host_set_front(h, &front);
		e = crew_start(&crew, &m->crew);
	}
	if (!taken)
		close(take_fd);
	if (!e) {
		*ret = m;
		return ERR_OK;
	}
	if (m && m->parked) {
		mount_stop(m);
	} else if (m) {
		poke_stop(m->poke);
		mount_free(m);
	}
	return e;
}

const char *mount_dir(const struct mount *m)
{
	return m->dir;
}

void mount_counts(struct mount *m, struct mount_counts *ret)
{
	struct nodes_counts c;

	nodes_counts(m->nodes, &c);
	*ret = (struct mount_counts){
		.nodes = c.nodes,
		.names = c.names,
		.handles = c.handles,
		.parked = parked_count(m->parked),
	};
	struct poke_counts p;
	poke_counts(m->poke, &p);
	ret->events = p.connected;
	ret->events_told = p.told;
	ret->events_missed = p.failed + p.dropped;
}

enum err mount_poke(struct mount *m, int take_fd, char nonce[MOUNT_NONCE_TEXT])
{
	static_assert(MOUNT_NONCE_TEXT == POKE_NONCE_TEXT, "one length");
	if (m->poke)
		return poke_connect(m->poke, take_fd, nonce);
	(void)close(take_fd);
	return fail(ERR_NOTSUP);
}

static void close_handle(void *arg, struct handle *h)
{
	handles_close(arg, h);
}

void mount_stop(struct mount *m)
{
	poke_stop(m->poke);
	crew_stop(m->crew);
	parked_stop(m->parked);
	host_set_front(m->host, NULL);
	/* An unmount in force leaves handles open; their last writes are versions, too. */
	nodes_close_all(m->nodes, close_handle, m);
	mount_free(m);
}
