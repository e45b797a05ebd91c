// SPDX-License-Identifier: MIT
/*
 * entries.c - the namespace: each request is one event, its answer what the tree shows then
 *
 * The kernel holds the directories' locks meanwhile and changes its own cache as the request says:
 * those changes are marked as our own and not reported back to it.
 */
#include "front/entries.h"
#include <sys/stat.h>

void entries_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct fuse_entry_param entry;
	struct knode *dir;
	struct bytes b;

	enum err e = answer_name(name, &b);
	if (!e)
		e = answer_node(m, parent, &dir);
	if (!e) {
		host_lock(m->host);
		e = answer_lookup(m, dir, b, &entry);
		host_unlock(m->host);
	}
	if (e)
		answer_error(req, e == ERR_INVAL ? ERR_NOENT : e);
	else
		answer_entry(req, parent, b, &entry);
}

void entries_forget(fuse_req_t req, fuse_ino_t nodeid, uint64_t lookups)
{
	struct mount *m = fuse_req_userdata(req);

	nodes_forget(m->nodes, nodeid, lookups);
	fuse_reply_none(req);
}

void entries_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *m = fuse_req_userdata(req);

	for (size_t k = 0; k < count; k++)
		nodes_forget(m->nodes, forgets[k].ino, forgets[k].nlookup);
	fuse_reply_none(req);
}

void entries_readlink(fuse_req_t req, fuse_ino_t nodeid)
{
	struct mount *m = fuse_req_userdata(req);
	char target[SYMLINK_BYTES_MAX + 1];
	struct node_stat s;
	struct knode *k;

	enum err e = answer_node(m, nodeid, &k);
	if (!e) {
		host_lock(m->host);
		e = node_stat(host_node(m->host), k->inode, 0, &s);
		if (!e && s.a.type != TYPE_SYMLINK)
			e = fail(ERR_INVAL);
		if (!e) {
			assert(s.a.target.len < sizeof(target));
			memcpy(target, s.a.target.at, s.a.target.len);
			target[s.a.target.len] = 0;
		}
		host_unlock(m->host);
	}
	if (e)
		answer_error(req, e == ERR_NOENT ? ERR_STALE : e);
	else
		(void)fuse_reply_readlink(req, target);
}

/* Owner, and what a setgid directory hands down. */
static enum err inherit(fuse_req_t req, const struct knode *dir, struct make *what)
{
	struct mount *m = fuse_req_userdata(req);
	const struct fuse_ctx *c = fuse_req_ctx(req);
	struct node_stat s;

	host_lock(m->host);
	enum err e = node_stat(host_node(m->host), dir->inode, 0, &s);
	e = e ? answer_dir_error(m, dir, e) : e;
	host_unlock(m->host);
	if (e)
		return e;
	bool setgid = s.a.mode & S_ISGID;
	if (setgid && what->type == TYPE_DIR)
		what->mode |= S_ISGID;
	if (m->preserve_owner) {
		what->has_owner = true;
		what->uid = c->uid;
		what->gid = !setgid ? c->gid : s.a.has_owner ? s.a.gid : m->gid;
	}
	return ERR_OK;
}

/* One step for an operation in dir; "not there" becomes ERR_STALE if dir itself is gone. */
static enum err step_in(struct mount *m, const struct knode *dir, struct event *ev,
			const struct notify_own *own)
{
	notify_set_own(own);
	enum err e = host_step(m->host, ev);
	notify_set_own(NULL);
	if (e == ERR_NOENT || e == ERR_NOTDIR) {
		host_lock(m->host);
		e = answer_dir_error(m, dir, e);
		host_unlock(m->host);
	}
	return e;
}

enum err entries_make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct make *what,
		      struct answer_made *ret)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = EV_MAKE};
	struct knode *dir;
	struct bytes b;

	enum err e = answer_name(name, &b);
	if (!e)
		e = answer_node(m, parent, &dir);
	ev.make.what = *what;
	if (!e)
		e = inherit(req, dir, &ev.make.what);
	if (e)
		return e;
	ev.make.dir = dir->inode;
	ev.make.name = b;
	struct notify_own own = {.names_count = 1,
				 .names = {{dir->inode, b}},
				 .inodes_count = 1,
				 .inodes = {dir->inode}};
	e = step_in(m, dir, &ev, &own);
	if (!e)
		__atomic_store_n(&m->own, ev.make.inode.inc, __ATOMIC_RELAXED);
	if (!e)
		*ret = (struct answer_made){
			.dir = dir->inode, .inode = ev.make.inode, .dir_nodeid = parent, .name = b};
	return e;
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct make *what)
{
	struct answer_made made;

	enum err e = entries_make(req, parent, name, what, &made);
	if (e)
		answer_error(req, e);
	else
		answer_made(req, &made, true);
}

void entries_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mount *m = fuse_req_userdata(req);
	struct make what = {.mode = mode & 07777};

	if (S_ISREG(mode))
		what.type = TYPE_FILE;
	else if (S_ISFIFO(mode))
		what.type = TYPE_FIFO;
	else if (S_ISSOCK(mode))
		what.type = TYPE_SOCKET;
	else if (S_ISCHR(mode))
		what.type = TYPE_CHAR;
	else if (S_ISBLK(mode))
		what.type = TYPE_BLOCK;
	bool device = S_ISCHR(mode) || S_ISBLK(mode);
	if (device)
		what.rdev = (uint32_t)rdev;
	if (!what.type)
		answer_error(req, ERR_INVAL);
	else if (device && !m->privileged)
		answer_error(req, ERR_PERM);
	else
		make(req, parent, name, &what);
}

void entries_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, &(struct make){.type = TYPE_DIR, .mode = mode & 07777});
}

void entries_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct make what = {.type = TYPE_SYMLINK, .mode = 0777, .target = bytes_text(target)};

	if (what.target.len > SYMLINK_BYTES_MAX)
		answer_error(req, ERR_NAMETOOLONG);
	else if (what.target.len == 0)
		answer_error(req, ERR_NOENT);
	else
		make(req, parent, name, &what);
}

void entries_link(fuse_req_t req, fuse_ino_t nodeid, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = EV_LINK};
	struct knode *dir, *k;
	struct bytes b;

	enum err e = answer_name(name, &b);
	if (!e)
		e = answer_node(m, parent, &dir);
	if (!e)
		e = answer_node(m, nodeid, &k);
	if (e) {
		answer_error(req, e);
		return;
	}
	ev.link.inode = k->inode;
	ev.link.dir = dir->inode;
	ev.link.name = b;
	struct notify_own own = {.names_count = 1,
				 .names = {{dir->inode, b}},
				 .inodes_count = 2,
				 .inodes = {dir->inode, k->inode}};
	e = step_in(m, dir, &ev, &own);
	if (e) {
		answer_error(req, e);
		return;
	}
	struct answer_made made = {
		.dir = dir->inode, .inode = k->inode, .dir_nodeid = parent, .name = b};
	/* The kernel would take these attributes over newer ones: they get no lifetime. */
	answer_made(req, &made, false);
}

/* The kernel takes a directory that it removed or renamed over for dead, and never asks again. */
static void bury(struct mount *m, struct inode_id inode)
{
	struct view_attr a;

	host_lock(m->host);
	bool file = !view_stat(node_view(host_node(m->host)), inode, &a) && a.type != TYPE_DIR;
	bool due = !file && nodes_retire(m->nodes, inode);
	host_unlock(m->host);
	if (due)
		notify_kick(m->notify);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, enum event_kind kind)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = kind};
	struct knode *dir;
	struct bytes b;

	enum err e = answer_name(name, &b);
	if (!e)
		e = answer_node(m, parent, &dir);
	if (e) {
		answer_error(req, e == ERR_INVAL ? ERR_NOENT : e);
		return;
	}
	ev.name.dir = dir->inode;
	ev.name.name = b;
	struct notify_own own = {.names_count = 1,
				 .names = {{dir->inode, b}},
				 .inodes_count = 1,
				 .inodes = {dir->inode}};
	if (nodes_name_inode(m->nodes, parent, b, &own.inodes[1]))
		own.inodes_count = 2;
	e = step_in(m, dir, &ev, &own);
	if (!e)
		nodes_name_gone(m->nodes, parent, b);
	if (!e && kind == EV_RMDIR && own.inodes_count == 2)
		bury(m, own.inodes[1]);
	answer_error(req, e);
}

void entries_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, EV_UNLINK);
}

void entries_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, EV_RMDIR);
}

/* The kernel has moved its names; where the tree shows something else by now it must forget. */
static void settle_moved(struct mount *m, const struct knode *dir, struct bytes name)
{
	struct shown s;
	struct inode_id has;
	bool wrong = false;

	host_lock(m->host);
	bool shown = !view_lookup(node_view(host_node(m->host)), dir->inode, name, &s);
	if (nodes_name_inode(m->nodes, dir->nodeid, name, &has))
		wrong = !shown || !inode_equal(has, s.id);
	host_unlock(m->host);
	if (wrong && nodes_name_due(m->nodes, dir->inode, name))
		notify_kick(m->notify);
}

void entries_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		    const char *new_name, unsigned flags)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = EV_RENAME};
	struct knode *from_dir, *to_dir;
	struct bytes from, to;

	enum err e =
		flags & ~(unsigned)(LOCAL_NOREPLACE | LOCAL_EXCHANGE) ? fail(ERR_INVAL) : ERR_OK;
	if (!e)
		e = answer_name(name, &from);
	if (!e)
		e = answer_name(new_name, &to);
	if (!e)
		e = answer_node(m, parent, &from_dir);
	if (!e)
		e = answer_node(m, new_parent, &to_dir);
	if (e) {
		answer_error(req, e);
		return;
	}
	ev.rename.from_dir = from_dir->inode;
	ev.rename.to_dir = to_dir->inode;
	ev.rename.from = from;
	ev.rename.to = to;
	ev.rename.flags = flags;
	struct notify_own own = {.names_count = 2,
				 .names = {{from_dir->inode, from}, {to_dir->inode, to}},
				 .inodes_count = 2,
				 .inodes = {from_dir->inode, to_dir->inode}};
	if (nodes_name_inode(m->nodes, parent, from, &own.inodes[own.inodes_count]))
		own.inodes_count++;
	struct inode_id *over = &own.inodes[own.inodes_count];
	bool has_over = nodes_name_inode(m->nodes, new_parent, to, over);
	own.inodes_count += has_over;
	e = step_in(m, from_dir, &ev, &own);
	if (e == ERR_NOENT || e == ERR_NOTDIR) {
		host_lock(m->host);
		e = answer_dir_error(m, to_dir, e);
		host_unlock(m->host);
	}
	if (!e) {
		struct nodes_place a = {parent, from}, b = {new_parent, to};
		if (nodes_name_moved(m->nodes, &a, &b, flags & LOCAL_EXCHANGE))
			notify_kick(m->notify);
		settle_moved(m, from_dir, from);
		settle_moved(m, to_dir, to);
		if (has_over && !(flags & LOCAL_EXCHANGE))
			bury(m, *over);
	}
	answer_error(req, e);
}
