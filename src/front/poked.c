// SPDX-License-Identifier: MIT
/*
 * poked.c - peerfs-poke's requests: the kernel must believe that something was done
 *
 * The kernel makes an event of a change only if it finds things as they were before it: no name,
 * where one comes; a name, where one goes.  So the process's lookups at the places of the order in
 * hand are answered with what was.  Such answers have no lifetime: any other program's lookup asks
 * again, and is told what is.  Its change is answered as done, if the tree still shows what the
 * order stands for and the kernel knows of nothing else there; then the kernel's names are as they
 * would be had it made the change itself.  Else it is refused, and the event is missing.
 *
 * While such a request is carried the kernel holds the lock of the directory, so no program's
 * change of the same name comes between the lookup and the answer; what comes from elsewhere
 * meanwhile is told to the kernel as ever.
 *
 * I1  nothing here steps the core: no record is written
 * I2  a directory that went is no node's any more: the kernel never lets it live again
 */
#include "front/poked.h"
#include "front/answer.h"
#include "front/attrs.h"
#include "front/entries.h"
#include "front/handles.h"
#include "front/poke.h"
#include <sys/stat.h>

#define FOREIGN ECANCELED /* means nothing to the kernel */

static struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static bool is_poke(fuse_req_t req)
{
	return poke_is(mount_of(req)->poke, req);
}

static void refuse(fuse_req_t req)
{
	(void)fuse_reply_err(req, FOREIGN);
}

/* Whether a request about name in parent is about that place. */
static bool is_place(struct mount *m, fuse_ino_t parent, const char *name,
		     const struct pokes_place *at)
{
	struct knode *dir;

	return !answer_node(m, parent, &dir) && inode_equal(dir->inode, at->dir) &&
	       bytes_equal(bytes_text(name), (struct bytes){at->name, at->len});
}

static struct bytes name_of(const struct pokes_place *at)
{
	return (struct bytes){at->name, at->len};
}

static bool two_places(enum poke_kind kind)
{
	return kind == POKE_RENAME || kind == POKE_EXCHANGE;
}

/* Under the host's lock: what the tree shows at a place. */
static struct pokes_thing shown_at(struct mount *m, const struct pokes_place *at)
{
	struct shown s;

	if (view_lookup(node_view(host_node(m->host)), at->dir, name_of(at), &s))
		return (struct pokes_thing){0};
	return (struct pokes_thing){(uint8_t)s.type, s.id};
}

static bool same_thing(struct pokes_thing a, struct pokes_thing b)
{
	return a.type == b.type && inode_equal(a.id, b.id);
}

/* Whether the kernel, as far as it knows that place, has there what the order says. */
static bool kernel_has(struct mount *m, fuse_ino_t parent, const struct pokes_place *at,
		       struct inode_id id)
{
	struct inode_id has;

	return nodes_name_inode(m->nodes, parent, name_of(at), &has) ? inode_equal(has, id)
								     : inode_none(id);
}

/* ---- lookups ---- */

static mode_t type_mode(uint8_t type)
{
	static const mode_t modes[] = {
		[TYPE_FILE] = S_IFREG, [TYPE_DIR] = S_IFDIR,     [TYPE_SYMLINK] = S_IFLNK,
		[TYPE_FIFO] = S_IFIFO, [TYPE_SOCKET] = S_IFSOCK, [TYPE_CHAR] = S_IFCHR,
		[TYPE_BLOCK] = S_IFBLK};

	return type < ARRAY_LEN(modes) ? modes[type] : 0;
}

/* What is not in the tree any more, or not there. */
static void made_up(const struct mount *m, struct pokes_thing what, struct stat *st)
{
	*st = (struct stat){.st_ino = ids_ino(what.id),
			    .st_mode = type_mode(what.type) | 0700,
			    .st_nlink = 1,
			    .st_uid = m->uid,
			    .st_gid = m->gid,
			    .st_blksize = MOUNT_BLOCK};
}

/*
 * Name in parent is what was there.  goes: the kernel will take a link off it, so it is given one
 * more than is left, or whoever watches the file itself would be told that it is gone for good.
 */
static void tell_was(fuse_req_t req, fuse_ino_t parent, const struct pokes_place *at,
		     struct pokes_thing was, bool goes)
{
	struct mount *m = mount_of(req);
	struct fuse_entry_param e;
	struct knode *k;

	host_lock(m->host);
	enum err err = nodes_tell_was(m->nodes, parent, name_of(at), was.id, &k);
	if (!err) {
		memset(&e, 0, sizeof(e));
		e.ino = k->nodeid;
		if (answer_stat(m, k, &e.attr) || (e.attr.st_mode & S_IFMT) != type_mode(was.type))
			made_up(m, was, &e.attr);
		else if (goes && was.type != TYPE_DIR)
			e.attr.st_nlink++;
	}
	host_unlock(m->host);
	if (err)
		answer_error(req, err);
	else
		answer_entry(req, parent, name_of(at), &e);
}

static void tell_stub(fuse_req_t req, fuse_ino_t parent, const struct pokes_place *at)
{
	const struct pokes_thing dir = {.type = TYPE_DIR};
	struct mount *m = mount_of(req);
	struct fuse_entry_param e = {0};

	enum err err = nodes_tell_stub(m->nodes, parent, name_of(at), &e.ino);
	if (err) {
		answer_error(req, err);
		return;
	}
	made_up(m, dir, &e.attr);
	e.attr.st_ino = e.ino;
	answer_entry(req, parent, name_of(at), &e);
}

static void tell_thing(fuse_req_t req, fuse_ino_t parent, const struct pokes_place *at,
		       struct pokes_thing was, bool goes)
{
	if (was.type)
		tell_was(req, parent, at, was, goes);
	else
		answer_error(req, ERR_NOENT);
}

void poked_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = mount_of(req);
	struct poke_current c;

	if (m->poke && parent == NODES_ROOT && name[0] == '.')
		poke_meet(m->poke, req, name);
	if (!is_poke(req)) {
		entries_lookup(req, parent, name);
		return;
	}
	poke_current(m->poke, &c);
	bool at = c.o.kind && is_place(m, parent, name, &c.o.at);
	bool to = two_places(c.o.kind) && is_place(m, parent, name, &c.o.to);
	if (at && c.o.kind == POKE_CREATE)
		answer_error(req, ERR_NOENT);
	else if (at && c.o.kind == POKE_DELETE && c.stub)
		tell_stub(req, parent, &c.o.at);
	else if (at && (c.o.kind == POKE_DELETE || two_places(c.o.kind)))
		tell_was(req, parent, &c.o.at, c.o.what, c.o.kind == POKE_DELETE);
	else if (to)
		tell_thing(req, parent, &c.o.to, c.o.over, c.o.kind == POKE_RENAME);
	else
		entries_lookup(req, parent, name);
}

/* ---- changes ---- */

/* The order in hand, if it is of that kind. */
static bool in_hand(struct mount *m, enum poke_kind kind, struct poke_current *ret)
{
	poke_current(m->poke, ret);
	return ret->o.kind == kind;
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t type)
{
	struct mount *m = mount_of(req);
	struct fuse_entry_param e;
	struct poke_current c;

	if (!in_hand(m, POKE_CREATE, &c) || !is_place(m, parent, name, &c.o.at) ||
	    type_mode(c.o.what.type) != (type & S_IFMT)) {
		refuse(req);
		return;
	}
	host_lock(m->host);
	enum err err = same_thing(shown_at(m, &c.o.at), c.o.what)
			       ? answer_tell(m, parent, name_of(&c.o.at), c.o.what.id, &e)
			       : fail(ERR_STALE);
	host_unlock(m->host);
	if (err) {
		refuse(req);
		return;
	}
	e.attr_timeout = 0; /* the kernel would take them over newer ones */
	answer_entry(req, parent, name_of(&c.o.at), &e);
}

void poked_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	if (is_poke(req))
		make(req, parent, name, mode);
	else
		entries_mknod(req, parent, name, mode, rdev);
}

void poked_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (is_poke(req))
		make(req, parent, name, S_IFDIR);
	else
		entries_mkdir(req, parent, name, mode);
}

void poked_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	if (is_poke(req))
		make(req, parent, name, S_IFLNK);
	else
		entries_symlink(req, target, parent, name);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool dir)
{
	struct mount *m = mount_of(req);
	struct poke_current c;

	if (!in_hand(m, POKE_DELETE, &c) || !is_place(m, parent, name, &c.o.at) ||
	    (c.o.what.type == TYPE_DIR) != dir) {
		refuse(req);
		return;
	}
	struct inode_id id = c.stub ? (struct inode_id){0} : c.o.what.id;
	struct inode_id has;
	host_lock(m->host);
	bool ok = same_thing(shown_at(m, &c.o.at), c.o.now) &&
		  nodes_name_inode(m->nodes, parent, name_of(&c.o.at), &has) &&
		  inode_equal(has, id);
	if (dir && !c.stub)
		ok = ok && !view_is_shown(node_view(host_node(m->host)), id);
	if (ok)
		nodes_name_gone(m->nodes, parent, name_of(&c.o.at));
	bool due = ok && dir && !c.stub && nodes_retire(m->nodes, id); /* I2 */
	host_unlock(m->host);
	if (due)
		notify_kick(m->notify);
	if (!ok)
		refuse(req);
	else
		answer_error(req, ERR_OK);
}

void poked_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_poke(req))
		remove_name(req, parent, name, false);
	else
		entries_unlink(req, parent, name);
}

void poked_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_poke(req))
		remove_name(req, parent, name, true);
	else
		entries_rmdir(req, parent, name);
}

/* The tree may have gone on: then the kernel must forget what the rename made it believe. */
static void settle(struct mount *m, const struct pokes_place *at)
{
	if (nodes_name_due(m->nodes, at->dir, name_of(at)))
		notify_kick(m->notify);
}

static void rename_names(fuse_req_t req, const struct poke_current *c, fuse_ino_t parent,
			 fuse_ino_t new_parent)
{
	const struct pokes_order *o = &c->o;
	struct mount *m = mount_of(req);
	const struct nodes_place from = {parent, name_of(&o->at)},
				 to = {new_parent, name_of(&o->to)};
	bool exchange = o->kind == POKE_EXCHANGE, due = false;

	host_lock(m->host);
	bool ok = same_thing(shown_at(m, &o->to), o->what) &&
		  kernel_has(m, parent, &o->at, o->what.id) &&
		  (kernel_has(m, new_parent, &o->to, o->over.id) ||
		   kernel_has(m, new_parent, &o->to, o->what.id)); /* some program has looked */
	if (exchange)
		ok = ok && same_thing(shown_at(m, &o->at), o->over);
	if (ok)
		due = nodes_name_moved(m->nodes, &from, &to, exchange);
	host_unlock(m->host);
	if (!ok) {
		refuse(req);
		return;
	}
	if (due)
		notify_kick(m->notify);
	settle(m, &o->at);
	settle(m, &o->to);
	answer_error(req, ERR_OK);
}

void poked_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		  const char *new_name, unsigned flags)
{
	struct mount *m = mount_of(req);
	struct poke_current c;

	if (!is_poke(req)) {
		entries_rename(req, parent, name, new_parent, new_name, flags);
		return;
	}
	enum poke_kind kind = flags & LOCAL_EXCHANGE ? POKE_EXCHANGE : POKE_RENAME;
	if (in_hand(m, kind, &c) && is_place(m, parent, name, &c.o.at) &&
	    is_place(m, new_parent, new_name, &c.o.to))
		rename_names(req, &c, parent, new_parent);
	else
		refuse(req);
}

void poked_setattr(fuse_req_t req, fuse_ino_t nodeid, struct stat *attr, int to_set,
		   struct fuse_file_info *fi)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME |
			  FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
	struct mount *m = mount_of(req);
	struct poke_current c;
	struct knode *k;
	struct stat st;

	if (!is_poke(req)) {
		attrs_set(req, nodeid, attr, to_set, fi);
		return;
	}
	poke_current(m->poke, &c);
	if ((c.o.kind != POKE_MODIFY && c.o.kind != POKE_ATTRIB) || (to_set & ~times)) {
		refuse(req);
		return;
	}
	enum err e = answer_node(m, nodeid, &k);
	if (!e) {
		host_lock(m->host);
		e = answer_stat(m, k, &st);
		host_unlock(m->host);
	}
	if (e)
		refuse(req);
	else
		(void)fuse_reply_attr(req, &st, 0);
}

/* ---- what it has no business with ---- */

void poked_link(fuse_req_t req, fuse_ino_t nodeid, fuse_ino_t parent, const char *name)
{
	if (is_poke(req))
		refuse(req);
	else
		entries_link(req, nodeid, parent, name);
}

void poked_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	if (is_poke(req))
		refuse(req);
	else
		handles_open(req, nodeid, fi);
}

void poked_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		  struct fuse_file_info *fi)
{
	if (is_poke(req))
		refuse(req);
	else
		handles_create(req, parent, name, mode, fi);
}

void poked_setxattr(fuse_req_t req, fuse_ino_t nodeid, const char *name, const char *value,
		    size_t size, int flags)
{
	if (is_poke(req))
		refuse(req);
	else
		attrs_setxattr(req, nodeid, name, value, size, flags);
}

void poked_removexattr(fuse_req_t req, fuse_ino_t nodeid, const char *name)
{
	if (is_poke(req))
		refuse(req);
	else
		attrs_removexattr(req, nodeid, name);
}
