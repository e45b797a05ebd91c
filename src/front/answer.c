// SPDX-License-Identifier: MIT
/*
 * answer.c - from the tree to struct stat and directory entries
 *
 * One rule decides which version a node shows: while the kernel has it open, that of its handles;
 * else the one that its names show.  A lookup that finds the open version behind detaches the node
 * on the spot, so a name never leads to an old version, whoever comes first, the lookup or the
 * host's report.
 */
#include "front/answer.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>

void answer_error(fuse_req_t req, enum err e)
{
	(void)fuse_reply_err(req, err_errno(e)); /* fails when the asker is gone: nothing to do */
}

enum err answer_name(const char *name, struct bytes *ret)
{
	struct bytes b = bytes_text(name);

	if (b.len > NAME_BYTES_MAX)
		return fail(ERR_NAMETOOLONG);
	if (!name_ok(b))
		return fail(ERR_INVAL);
	*ret = b;
	return ERR_OK;
}

enum err answer_node(struct mount *m, fuse_ino_t nodeid, struct knode **ret)
{
	struct knode *k = nodes_get(m->nodes, nodeid);

	if (!k)
		return fail(ERR_STALE);
	*ret = k;
	return ERR_OK;
}

static mode_t type_mode(enum inode_type t)
{
	static const mode_t modes[] = {
		[TYPE_FILE] = S_IFREG, [TYPE_DIR] = S_IFDIR,     [TYPE_SYMLINK] = S_IFLNK,
		[TYPE_FIFO] = S_IFIFO, [TYPE_SOCKET] = S_IFSOCK, [TYPE_CHAR] = S_IFCHR,
		[TYPE_BLOCK] = S_IFBLK};

	return (size_t)t < ARRAY_LEN(modes) ? modes[t] : S_IFREG;
}

static struct timespec from_ns(int64_t ns)
{
	int64_t sec = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) { /* times before 1970 */
		sec--;
		rest += 1000000000;
	}
	return (struct timespec){.tv_sec = sec, .tv_nsec = rest};
}

static void fill(const struct mount *m, const struct knode *k, const struct node_stat *s,
		 struct stat *ret)
{
	const struct view_attr *a = &s->a;
	bool own = !m->preserve_owner || !a->has_owner;

	memset(ret, 0, sizeof(*ret));
	ret->st_ino = ids_ino(k->inode);
	ret->st_mode = type_mode(a->type) | (a->mode & 07777);
	ret->st_nlink = a->nlink;
	ret->st_uid = own ? m->uid : a->uid;
	ret->st_gid = own ? m->gid : a->gid;
	ret->st_rdev = a->rdev;
	ret->st_size = a->type == TYPE_SYMLINK ? (off_t)a->target.len : (off_t)s->size;
	ret->st_blocks = (blkcnt_t)s->blocks;
	ret->st_blksize = MOUNT_BLOCK;
	ret->st_mtim = from_ns(s->mtime_ns);
	ret->st_ctim = from_ns(s->ctime_ns);
	ret->st_atim = ret->st_mtim;
	if (__atomic_load_n(&k->has_atime, __ATOMIC_ACQUIRE))
		ret->st_atim = from_ns(__atomic_load_n(&k->atime_ns, __ATOMIC_RELAXED));
}

enum err answer_stat(struct mount *m, struct knode *k, struct stat *ret)
{
	uint64_t file = nodes_file(m->nodes, k);
	bool retired = __atomic_load_n(&k->retired, __ATOMIC_RELAXED);
	struct node_stat s;

	/* Nobody has the old version open any more: what remains of the node leads nowhere. */
	if (!file && nodes_is_detached(m->nodes, k) && !retired)
		return fail(ERR_STALE);
	enum err e = node_stat(host_node(m->host), k->inode, file, &s);
	if (e)
		return e == ERR_NOENT ? fail(ERR_STALE) : e;
	fill(m, k, &s, ret);
	if (retired)
		ret->st_nlink = 0;
	return ERR_OK;
}

enum err answer_tell(struct mount *m, uint64_t dir_nodeid, struct bytes name, struct inode_id inode,
		     struct fuse_entry_param *ret)
{
	struct node *n = host_node(m->host);
	uint64_t file = nodes_open_file(m->nodes, inode);
	struct knode *k;
	struct node_stat s;

	enum err e = node_stat(n, inode, file, &s);
	if (!e && file && s.stale) {
		notify_stale(m->notify, inode, file);
		e = node_stat(n, inode, 0, &s);
	}
	if (!e)
		e = nodes_tell(m->nodes, dir_nodeid, name, inode, &k);
	if (e)
		return e;
	memset(ret, 0, sizeof(*ret));
	ret->ino = k->nodeid;
	ret->attr_timeout = MOUNT_TIMEOUT;
	ret->entry_timeout = MOUNT_TIMEOUT;
	fill(m, k, &s, &ret->attr);
	return ERR_OK;
}

enum err answer_dir_error(struct mount *m, const struct knode *dir, enum err e)
{
	if ((e == ERR_NOENT || e == ERR_NOTDIR) &&
	    !view_is_shown(node_view(host_node(m->host)), dir->inode))
		return fail(ERR_STALE);
	return e;
}

enum err answer_lookup(struct mount *m, const struct knode *dir, struct bytes name,
		       struct fuse_entry_param *ret)
{
	struct shown s;

	enum err e = view_lookup(node_view(host_node(m->host)), dir->inode, name, &s);
	if (e)
		return answer_dir_error(m, dir, e);
	return answer_tell(m, dir->nodeid, name, s.id, ret);
}

void answer_entry(fuse_req_t req, uint64_t dir_nodeid, struct bytes name,
		  const struct fuse_entry_param *e)
{
	struct mount *m = fuse_req_userdata(req);

	if (fuse_reply_entry(req, e) == 0)
		return;
	nodes_untell(m->nodes, dir_nodeid, name, e->ino);
	notify_kick(m->notify);
}

enum err answer_tell_made(struct mount *m, struct answer_made *made, struct fuse_entry_param *ret)
{
	struct shown s;

	host_lock(m->host);
	enum err e = answer_tell(m, made->dir_nodeid, made->name, made->inode, ret);
	made->undone = view_lookup(node_view(host_node(m->host)), made->dir, made->name, &s) ||
		       !inode_equal(s.id, made->inode);
	host_unlock(m->host);
	return e;
}

void answer_settle(struct mount *m, const struct answer_made *made)
{
	if (made->undone && nodes_name_due(m->nodes, made->dir, made->name))
		notify_kick(m->notify);
}

void answer_made(fuse_req_t req, struct answer_made *made, bool lasting)
{
	struct mount *m = fuse_req_userdata(req);
	struct fuse_entry_param entry;

	enum err e = answer_tell_made(m, made, &entry);
	if (e) {
		answer_error(req, e);
		return;
	}
	if (!lasting)
		entry.attr_timeout = 0;
	answer_entry(req, made->dir_nodeid, made->name, &entry);
	answer_settle(m, made);
}
