// SPDX-License-Identifier: MIT
/*
 * handles.c - open files: each is pinned to the version that was shown when it was opened
 *
 * A node serves one version at a time.  An open that would mix versions, because a newer one came
 * while old handles are open, gets ESTALE: the kernel then looks the name up again, finds the new
 * node, and opens that.
 *
 * A write puts its bytes in the data log without any lock, then steps the core with where they
 * are.  Nothing here waits for the network; reads of absent bytes are parked.
 */
#include "front/handles.h"
#include "front/answer.h"
#include "front/entries.h"
#include "front/parked.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static void release_file(struct mount *m, uint64_t file, bool write)
{
	/* The answer to a failed step would go to nobody; the host has reported it. */
	(void)!host_release(m->host, file, write);
}

void handles_close(struct mount *m, struct handle *h)
{
	uint64_t file = h->file;
	bool write = h->write;

	nodes_close_handle(m->nodes, h); /* first: nobody may look at a released file */
	release_file(m, file, write);
}

/* Whether file may join the handles that k has; k is left behind if not. */
static enum err join_version(struct mount *m, struct knode *k, uint64_t file, bool write,
			     bool *keep_pages)
{
	struct nodes_opened opened = {.write = write,
				      .own = __atomic_load_n(&m->own, __ATOMIC_RELAXED)};
	enum err e = ERR_OK;
	struct node_stat s, now;

	host_lock(m->host);
	uint64_t other = nodes_file(m->nodes, k);
	if (nodes_is_detached(m->nodes, k)) {
		e = fail(ERR_STALE);
	} else if (other && other != file && !node_stat(host_node(m->host), k->inode, other, &s) &&
		   s.stale) {
		notify_stale(m->notify, k->inode, other);
		e = fail(ERR_STALE);
	} else {
		e = node_stat(host_node(m->host), k->inode, file, &now);
		opened.version = now.a.version;
		if (!e)
			*keep_pages = nodes_keep_pages(m->nodes, k, &opened);
	}
	host_unlock(m->host);
	/* The report of another version may be on its way still; its size must not come later. */
	if (!e && !*keep_pages && !opened.first)
		notify_attr_now(m->notify, k->nodeid);
	return e;
}

static enum err open_file(struct mount *m, struct knode *k, struct fuse_file_info *fi,
			  struct handle **ret)
{
	bool write = (fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC);
	struct event ev = {.kind = EV_OPEN};
	struct handle *h = NULL;
	bool keep = false;

	ev.open.inode = k->inode;
	ev.open.write = write;
	enum err e = host_step(m->host, &ev);
	if (e)
		return e == ERR_NOENT ? fail(ERR_STALE) : e;
	e = join_version(m, k, ev.open.file, write, &keep);
	if (!e)
		e = nodes_open_handle(m->nodes, k, ev.open.file, write, &h);
	if (e) {
		release_file(m, ev.open.file, write);
		return e;
	}
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->keep_cache = keep;
	*ret = h;
	return ERR_OK;
}

static enum err truncate_to(fuse_req_t req, struct handle *h, uint64_t size)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = EV_TRUNCATE};

	ev.truncate.inode = h->node->inode;
	ev.truncate.file = h->file;
	ev.truncate.size = size;
	enum err e = handles_drop_privileges(req, h->node, h->file);
	return e ? e : host_step(m->host, &ev);
}

void handles_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = NULL;
	struct knode *k;

	enum err e = answer_node(m, nodeid, &k);
	if (e) {
		answer_error(req, e);
		return;
	}
	struct notify_own own = {.inodes_count = 1, .inodes = {k->inode}};
	notify_set_own(&own);
	e = open_file(m, k, fi, &h);
	if (!e && (fi->flags & O_TRUNC)) {
		e = truncate_to(req, h, 0);
		if (e)
			handles_close(m, h);
	}
	notify_set_own(NULL);
	if (e)
		answer_error(req, e);
	else if (fuse_reply_open(req, fi))
		handles_close(m, h); /* the opener is gone; no release will come */
}

/* The name is there although the kernel thought it was not: it must look, and check permissions. */
static enum err made_meanwhile(enum err e, int flags)
{
	return e == ERR_EXIST && !(flags & O_EXCL) ? fail(ERR_STALE) : e;
}

void handles_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		    struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	const struct make what = {.type = TYPE_FILE, .mode = mode & 07777};
	struct fuse_entry_param entry;
	struct answer_made made;
	struct handle *h = NULL;

	enum err e = entries_make(req, parent, name, &what, &made);
	e = made_meanwhile(e, fi->flags);
	if (!e)
		e = answer_tell_made(m, &made, &entry);
	if (e) {
		answer_error(req, e);
		return;
	}
	e = open_file(m, nodes_get(m->nodes, entry.ino), fi, &h);
	bool taken = !e && fuse_reply_create(req, &entry, fi) == 0;
	if (!taken) { /* its creator is gone, or is told so now */
		if (h)
			handles_close(m, h);
		nodes_untell(m->nodes, made.dir_nodeid, made.name, entry.ino);
		notify_kick(m->notify);
	}
	answer_settle(m, &made);
	if (e)
		answer_error(req, e);
}

void handles_read(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t off,
		  struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	(void)nodeid;

	struct parked_read r = {.file = handle_of(fi)->file,
				.off = (uint64_t)off,
				.len = (uint32_t)MIN(size, MOUNT_WRITE_MAX)};
	parked_read(m->parked, req, &r);
}

/* The owner's bits that a change of contents takes away; false: none. */
static bool privileges(const struct view_attr *a, uint32_t *mode)
{
	uint32_t drop = a->mode & S_ISUID;

	if ((a->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		drop |= S_ISGID;
	*mode = a->mode & ~drop;
	return a->type == TYPE_FILE && drop;
}

enum err handles_drop_privileges(fuse_req_t req, struct knode *k, uint64_t file)
{
	struct mount *m = fuse_req_userdata(req);
	struct bytes capability = bytes_text("security.capability"), value;
	struct event mode = {.kind = EV_SETATTR}, caps = {.kind = EV_XATTR};
	struct node_stat s;
	bool has_caps = false;

	if (__atomic_load_n(&k->plain, __ATOMIC_RELAXED))
		return ERR_OK;
	host_lock(m->host);
	enum err e = node_stat(host_node(m->host), k->inode, file, &s);
	uint32_t left = 0;
	bool has_bits = !e && privileges(&s.a, &left);
	if (!e)
		has_caps = !view_xattr(node_view(host_node(m->host)), k->inode, capability, &value);
	if (!e && !has_bits && !has_caps)
		__atomic_store_n(&k->plain, true, __ATOMIC_RELAXED);
	host_unlock(m->host);
	if (!e && has_bits && fuse_req_ctx(req)->uid != 0) {
		mode.setattr.inode = k->inode;
		mode.setattr.file = file;
		mode.setattr.set_mode = true;
		mode.setattr.mode = left;
		e = host_step(m->host, &mode);
		if (!e)
			notify_attr_now(m->notify, k->nodeid);
	}
	if (!e && has_caps) {
		caps.xattr.inode = k->inode;
		caps.xattr.key = capability;
		e = host_step(m->host, &caps);
	}
	return e;
}

void handles_write(fuse_req_t req, fuse_ino_t nodeid, const char *buf, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_of(fi);
	struct event ev = {.kind = EV_WRITE};
	struct notify_own own = {.inodes_count = 1, .inodes = {h->node->inode}};
	(void)nodeid;

	if (size == 0) {
		(void)fuse_reply_write(req, 0);
		return;
	}
	notify_set_own(&own);
	enum err e = handles_drop_privileges(req, h->node, h->file);
	if (!e)
		e = host_data(m->host, (struct bytes){(const uint8_t *)buf, size}, &ev.write.addr);
	if (!e) {
		ev.write.file = h->file;
		ev.write.off = (uint64_t)off;
		ev.write.len = (uint32_t)size;
		/* A page written back has its place; only write(2) appends. */
		ev.write.append = (fi->flags & O_APPEND) && !fi->writepage;
		e = host_step(m->host, &ev);
	}
	notify_set_own(NULL);
	if (e)
		answer_error(req, e);
	else
		(void)fuse_reply_write(req, size);
}

void handles_release(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	(void)nodeid;
	handles_close(fuse_req_userdata(req), handle_of(fi));
	answer_error(req, ERR_OK);
}

void handles_fsync(fuse_req_t req, fuse_ino_t nodeid, int datasync, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	(void)nodeid;
	(void)datasync;
	(void)fi;
	answer_error(req, host_fsync(m->host));
}

void handles_fallocate(fuse_req_t req, fuse_ino_t nodeid, int mode, off_t off, off_t len,
		       struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_of(fi);
	struct notify_own own = {.inodes_count = 1, .inodes = {h->node->inode}};
	struct node_stat s;
	(void)nodeid;

	/* Reserving is all that is offered: bytes go to a log, where no hole can be kept free. */
	if (mode & ~FALLOC_FL_KEEP_SIZE) {
		answer_error(req, ERR_NOTSUP);
		return;
	}
	host_lock(m->host);
	enum err e = node_stat(host_node(m->host), h->node->inode, h->file, &s);
	host_unlock(m->host);
	notify_set_own(&own);
	/* The kernel holds the inode's lock meanwhile: no write comes between. */
	if (!e && !(mode & FALLOC_FL_KEEP_SIZE) && (uint64_t)off + (uint64_t)len > s.size)
		e = truncate_to(req, h, (uint64_t)off + (uint64_t)len);
	notify_set_own(NULL);
	answer_error(req, e);
}
