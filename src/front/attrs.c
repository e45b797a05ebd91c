// SPDX-License-Identifier: MIT
/*
 * attrs.c - attributes, extended attributes, and the size of the whole
 *
 * Permissions have been checked by the kernel (default_permissions); what is left is what the
 * folder's options say about owners and namespaces.  Access times stay here, in memory: they are
 * nobody else's business.
 *
 * user.peerfs.* tells about a file's state; such names can be read but not listed, so that a copy
 * of the file does not carry them along.
 */
#include "front/attrs.h"
#include "front/answer.h"
#include "front/handles.h"
#include "sys/clock.h"
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define OWN_PREFIX "user.peerfs."

void attrs_get(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct knode *k;
	struct stat st;
	(void)fi;

	enum err e = answer_node(m, nodeid, &k);
	if (!e) {
		host_lock(m->host);
		e = answer_stat(m, k, &st);
		host_unlock(m->host);
	}
	if (e)
		answer_error(req, e);
	else
		(void)fuse_reply_attr(req, &st, MOUNT_TIMEOUT);
}

static int64_t to_ns(struct timespec t)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)t.tv_sec, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns))
		return t.tv_sec < 0 ? INT64_MIN : INT64_MAX; /* the years 1677 and 2262 */
	return ns;
}

/* To the millisecond, as a write sets it: a finer clock here would order the two wrongly. */
static int64_t now_ns(void)
{
	return clock_wall_ms() * 1000000;
}

/* Owner and mode of the event, from what is asked and what is. */
static enum err set_owner(struct mount *m, const struct stat *is, const struct stat *attr,
			  int to_set, struct event *ev)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : is->st_uid;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : is->st_gid;
	mode_t drop = S_ISUID | (is->st_mode & S_IXGRP ? S_ISGID : 0);

	if (!m->preserve_owner && (uid != m->uid || gid != m->gid))
		return fail(ERR_PERM);
	if (m->preserve_owner) {
		ev->setattr.set_owner = true;
		ev->setattr.uid = uid;
		ev->setattr.gid = gid;
	}
	if (S_ISREG(is->st_mode) && (is->st_mode & drop) && !ev->setattr.set_mode) {
		ev->setattr.set_mode = true;
		ev->setattr.mode = is->st_mode & 07777 & ~drop;
	}
	return ERR_OK;
}

static enum err set_size(fuse_req_t req, struct knode *k, uint64_t file, uint64_t size)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = EV_TRUNCATE};

	enum err e = handles_drop_privileges(req, k, file);
	ev.truncate.inode = k->inode;
	ev.truncate.file = file;
	ev.truncate.size = size;
	return e ? e : host_step(m->host, &ev);
}

static enum err set_rest(fuse_req_t req, struct knode *k, uint64_t file, const struct stat *attr,
			 int to_set)
{
	struct mount *m = fuse_req_userdata(req);
	struct event ev = {.kind = EV_SETATTR};
	enum err e = ERR_OK;
	struct stat is;

	ev.setattr.inode = k->inode;
	ev.setattr.file = file;
	if (to_set & FUSE_SET_ATTR_MODE) {
		ev.setattr.set_mode = true;
		ev.setattr.mode = attr->st_mode & 07777;
	}
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		host_lock(m->host);
		e = answer_stat(m, k, &is);
		host_unlock(m->host);
		if (!e)
			e = set_owner(m, &is, attr, to_set, &ev);
	}
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
		bool now = to_set & FUSE_SET_ATTR_MTIME_NOW;
		ev.setattr.set_mtime = true;
		ev.setattr.mtime_ns = now ? now_ns() : to_ns(attr->st_mtim);
	}
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) {
		bool now = to_set & FUSE_SET_ATTR_ATIME_NOW;
		int64_t ns = now ? now_ns() : to_ns(attr->st_atim);
		__atomic_store_n(&k->atime_ns, ns, __ATOMIC_RELAXED);
		__atomic_store_n(&k->has_atime, true, __ATOMIC_RELEASE);
	}
	if (e || (!ev.setattr.set_mode && !ev.setattr.set_owner && !ev.setattr.set_mtime))
		return e;
	__atomic_store_n(&k->plain, false, __ATOMIC_RELAXED);
	return host_step(m->host, &ev);
}

void attrs_set(fuse_req_t req, fuse_ino_t nodeid, struct stat *attr, int to_set,
	       struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	uint64_t file = fi ? ((struct handle *)(uintptr_t)fi->fh)->file : 0;
	struct knode *k;
	struct stat st;

	enum err e = answer_node(m, nodeid, &k);
	if (!e && !file && nodes_is_detached(m->nodes, k))
		file = nodes_file(m->nodes, k); /* by a descriptor that says so to nobody */
	if (e) {
		answer_error(req, e);
		return;
	}
	struct notify_own own = {.inodes_count = 1, .inodes = {k->inode}};
	notify_set_own(&own);
	if (to_set & FUSE_SET_ATTR_SIZE)
		e = set_size(req, k, file, (uint64_t)attr->st_size);
	if (!e)
		e = set_rest(req, k, file, attr, to_set);
	notify_set_own(NULL);
	if (!e) {
		host_lock(m->host);
		e = answer_stat(m, k, &st);
		host_unlock(m->host);
	}
	/* The kernel takes these over whatever came meanwhile: it must ask again. */
	if (e)
		answer_error(req, e == ERR_NOENT ? ERR_STALE : e);
	else
		(void)fuse_reply_attr(req, &st, 0);
}

/* ---- extended attributes ---- */

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Access control lists are refused: the kernel would not apply them. */
static enum err namespace_ok(const struct mount *m, const char *name)
{
	if (has_prefix(name, "user."))
		return ERR_OK;
	if (m->privileged && (has_prefix(name, "security.") || has_prefix(name, "trusted.")))
		return ERR_OK;
	return fail(ERR_NOTSUP);
}

static void set_xattr(fuse_req_t req, fuse_ino_t nodeid, struct event *ev)
{
	struct mount *m = fuse_req_userdata(req);
	struct knode *k;

	enum err e = answer_node(m, nodeid, &k);
	if (e) {
		answer_error(req, e);
		return;
	}
	struct notify_own own = {.inodes_count = 1, .inodes = {k->inode}};
	notify_set_own(&own);
	ev->xattr.inode = k->inode;
	__atomic_store_n(&k->plain, false, __ATOMIC_RELAXED);
	e = host_step(m->host, ev);
	notify_set_own(NULL);
	answer_error(req, e == ERR_NOENT ? ERR_STALE : e);
}

void attrs_setxattr(fuse_req_t req, fuse_ino_t nodeid, const char *name, const char *value,
		    size_t size, int flags)
{
	struct event ev = {.kind = EV_XATTR};

	ev.xattr.key = bytes_text(name);
	ev.xattr.value = (struct bytes){(const uint8_t *)value, size};
	ev.xattr.create = flags & XATTR_CREATE;
	ev.xattr.replace = flags & XATTR_REPLACE;
	enum err e = namespace_ok(fuse_req_userdata(req), name);
	if (!e && has_prefix(name, OWN_PREFIX))
		e = fail(ERR_PERM);
	if (!e && (ev.xattr.key.len > XATTR_NAME_MAX_BYTES))
		e = fail(ERR_RANGE);
	if (!e && size > XATTR_VALUE_MAX_BYTES)
		e = fail(ERR_TOOBIG);
	if (e)
		answer_error(req, e);
	else
		set_xattr(req, nodeid, &ev);
}

void attrs_removexattr(fuse_req_t req, fuse_ino_t nodeid, const char *name)
{
	struct event ev = {.kind = EV_XATTR};

	ev.xattr.key = bytes_text(name);
	enum err e = namespace_ok(fuse_req_userdata(req), name);
	if (!e && has_prefix(name, OWN_PREFIX))
		e = fail(ERR_PERM);
	if (e)
		answer_error(req, e);
	else
		set_xattr(req, nodeid, &ev);
}

static const char *state_of(struct node *n, const struct knode *k, const struct node_stat *s)
{
	uint64_t local, size;
	struct shown shown;

	if (!view_find(node_view(n), k->inode, &shown) &&
	    (shown.kind == SHOWN_COPY || shown.kept || shown.suffixed))
		return "conflict";
	if (s->a.type != TYPE_FILE)
		return "local";
	if (s->a.content.len == 0 || s->size > 0) {
		if (s->a.version.op == 0)
			return "pending";
	}
	if (node_residency(n, k->inode, &local, &size) || local == size)
		return "local";
	return local == 0 ? "remote" : "partial";
}

/* The text of a name of ours; under the host's lock. */
static enum err own_xattr(struct mount *m, const struct knode *k, const char *name,
			  struct bytes *ret, char buf[64])
{
	struct node *n = host_node(m->host);
	uint64_t local = 0, size = 0;
	struct node_stat s;

	enum err e = node_stat(n, k->inode, 0, &s);
	if (e)
		return e;
	if (strcmp(name, OWN_PREFIX "state") == 0) {
		snprintf(buf, 64, "%s", state_of(n, k, &s));
	} else if (strcmp(name, OWN_PREFIX "local_bytes") == 0) {
		if (s.a.type == TYPE_FILE && node_residency(n, k->inode, &local, &size))
			local = 0;
		snprintf(buf, 64, "%" PRIu64, local);
	} else if (strcmp(name, OWN_PREFIX "version") == 0) {
		snprintf(buf, 64, "%016" PRIx64 "-%" PRIu64, s.a.version.inc, s.a.version.op);
	} else {
		return fail(ERR_NODATA);
	}
	*ret = bytes_text(buf);
	return ERR_OK;
}

void attrs_getxattr(fuse_req_t req, fuse_ino_t nodeid, const char *name, size_t size)
{
	struct mount *m = fuse_req_userdata(req);
	struct bytes value = {NULL, 0};
	uint8_t *copy = NULL;
	char text[64];
	struct knode *k;

	enum err e = namespace_ok(m, name);
	if (!e)
		e = answer_node(m, nodeid, &k);
	if (!e) {
		host_lock(m->host);
		if (has_prefix(name, OWN_PREFIX))
			e = own_xattr(m, k, name, &value, text);
		else
			e = view_xattr(node_view(host_node(m->host)), k->inode, bytes_text(name),
				       &value);
		if (!e && size && value.len > size)
			e = fail(ERR_RANGE);
		if (!e && size && value.len) {
			copy = malloc(value.len);
			if (copy)
				memcpy(copy, value.at, value.len);
			else
				e = fail(ERR_NOMEM);
		}
		host_unlock(m->host);
	}
	if (e)
		answer_error(req, e == ERR_NOENT ? ERR_STALE : e);
	else if (size == 0)
		(void)fuse_reply_xattr(req, value.len);
	else
		(void)fuse_reply_buf(req, (const char *)copy, value.len);
	free(copy);
}

void attrs_listxattr(fuse_req_t req, fuse_ino_t nodeid, size_t size)
{
	struct mount *m = fuse_req_userdata(req);
	char last[XATTR_NAME_MAX_BYTES + 1];
	struct bytes key = {NULL, 0};
	struct wr names = {0};
	struct knode *k;

	enum err e = answer_node(m, nodeid, &k);
	if (!e)
		host_lock(m->host);
	bool locked = !e;
	while (!e) {
		struct bytes after = {(const uint8_t *)last, key.len};
		e = view_xattr_next(node_view(host_node(m->host)), k->inode, after, &key);
		if (e)
			break;
		assert(key.len < sizeof(last)); /* checked when it was set, or decoded */
		memcpy(last, key.at, key.len);
		last[key.len] = 0;
		if (!namespace_ok(m, last)) {
			wr_raw(&names, last, key.len);
			wr_u8(&names, 0);
		}
	}
	if (locked)
		host_unlock(m->host);
	if (e == ERR_NODATA)
		e = names.bad ? fail(ERR_NOMEM) : ERR_OK;
	if (!e && size && names.len > size)
		e = fail(ERR_RANGE);
	if (e)
		answer_error(req, e == ERR_NOENT ? ERR_STALE : e);
	else if (size == 0)
		(void)fuse_reply_xattr(req, names.len);
	else
		(void)fuse_reply_buf(req, (const char *)names.at, names.len);
	wr_fini(&names);
}

void attrs_statfs(fuse_req_t req, fuse_ino_t nodeid)
{
	struct mount *m = fuse_req_userdata(req);
	struct files_space space;
	struct statvfs st = {0};
	(void)nodeid;

	enum err e = host_space(m->host, &space);
	if (e) {
		answer_error(req, e);
		return;
	}
	host_lock(m->host);
	st.f_files = view_inodes(node_view(host_node(m->host)));
	host_unlock(m->host);
	st.f_bsize = st.f_frsize = space.block;
	st.f_blocks = space.blocks;
	st.f_bfree = space.free;
	st.f_bavail = space.avail;
	st.f_ffree = st.f_favail = UINT32_MAX; /* no inode is allocated beforehand */
	st.f_files += st.f_ffree;
	st.f_namemax = NAME_BYTES_MAX;
	(void)fuse_reply_statfs(req, &st);
}
