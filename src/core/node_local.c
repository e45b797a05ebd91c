// SPDX-License-Identifier: MIT
/*
 * node_local.c - what programs on the mount do to the tree and to contents
 *
 * Part of node.c (node_impl.h).  An operation on the tree is one group of records in the outbox.
 */
#include "core/node_impl.h"

static enum err set_one(struct node *n, const struct emitter *em, struct inode_id inode,
			struct attr_value v)
{
	return local_set(n->view, em, inode, &v);
}

static enum err on_setattr(struct node *n, const struct emitter *em, const struct event *ev)
{
	struct inode_id i = ev->setattr.inode;
	bool done = false;
	enum err e = ERR_OK;

	if (ev->setattr.set_mode)
		e = set_one(n, em, i,
			    (struct attr_value){.field = ATTR_MODE, .mode = ev->setattr.mode});
	if (!e && ev->setattr.set_owner)
		e = set_one(n, em, i,
			    (struct attr_value){.field = ATTR_OWNER,
						.owner = {ev->setattr.uid, ev->setattr.gid}});
	if (!e && ev->setattr.set_mtime)
		e = content_touch(n->content, &n->step, i, ev->setattr.file, ev->setattr.mtime_ns,
				  &done);
	if (!e && ev->setattr.set_mtime && !done)
		e = set_one(
			n, em, i,
			(struct attr_value){.field = ATTR_TIMES, .mtime_ns = ev->setattr.mtime_ns});
	return e;
}

static enum err on_xattr(struct node *n, const struct emitter *em, const struct event *ev)
{
	struct bytes old;
	enum err e = view_xattr(n->view, ev->xattr.inode, ev->xattr.key, &old);

	if (e && e != ERR_NODATA)
		return e;
	if (e == ERR_NODATA && (ev->xattr.replace || !ev->xattr.value.at))
		return ERR_NODATA;
	if (!e && ev->xattr.create)
		return ERR_EXIST;
	if (ev->xattr.key.len == 0 || ev->xattr.key.len > XATTR_NAME_MAX_BYTES)
		return fail(ERR_RANGE);
	if (ev->xattr.value.len > XATTR_VALUE_MAX_BYTES)
		return fail(ERR_TOOBIG);
	return set_one(n, em, ev->xattr.inode,
		       (struct attr_value){.field = ATTR_XATTR,
					   .xattr = {ev->xattr.key, ev->xattr.value}});
}

/* What a program does to the tree: one group of records. */
static enum err local(struct node *n, struct event *ev)
{
	struct emitter em = outbox_emitter(n->outbox);

	switch ((int)ev->kind) {
	case EV_MAKE:
		return local_make(n->view, &em, ev->make.dir, ev->make.name, &ev->make.what,
				  &ev->make.inode);
	case EV_UNLINK:
		return local_unlink(n->view, &em, ev->name.dir, ev->name.name);
	case EV_RMDIR:
		return local_rmdir(n->view, &em, ev->name.dir, ev->name.name);
	case EV_RENAME:
		return local_rename(
			n->view, &em, &(struct place){ev->rename.from_dir, ev->rename.from},
			&(struct place){ev->rename.to_dir, ev->rename.to}, ev->rename.flags);
	case EV_LINK:
		return local_link(n->view, &em, ev->link.inode, ev->link.dir, ev->link.name);
	case EV_SETATTR:
		return on_setattr(n, &em, ev);
	case EV_XATTR:
		return on_xattr(n, &em, ev);
	case EV_RESTORE:
		return local_restore(n->view, &em, ev->restore.dir, ev->restore.name,
				     &ev->restore.what, &ev->restore.inode);
	case EV_SETTLE:
		return local_settle(n->view, &em, &ev->settle);
	case EV_RESOLVE:
		return local_resolve(n->view, &em, ev->resolve.dir, ev->resolve.name,
				     ev->resolve.keep, ev->resolve.all);
	default:
		assert(!"not an operation on the tree");
		return ERR_INVAL;
	}
}

/*
 * A version is on its way: its dot is given, or it will stand on what is shown now.  One that is
 * put over the file meanwhile would count as having seen it.
 */
static bool is_written(struct node *n, const struct event *ev)
{
	struct place at = {ev->restore.dir, ev->restore.name};
	struct shown s;

	if (ev->kind == EV_SETTLE && ev->settle.base)
		at = (struct place){ev->settle.dir, ev->settle.names[ev->settle.keep]};
	else if (ev->kind != EV_RESTORE)
		return false;
	return view_lookup(n->view, at.parent, at.name, &s) == ERR_OK &&
	       content_is_written(n->content, s.id);
}

/* The file whose name the operation takes, if that is its last. */
static enum err before_loss(struct node *n, const struct event *ev)
{
	struct place at = {ev->name.dir, ev->name.name};
	struct shown s;
	struct view_attr a;

	if (ev->kind == EV_RENAME)
		at = (struct place){ev->rename.to_dir, ev->rename.to};
	if ((ev->kind != EV_UNLINK && ev->kind != EV_RENAME) ||
	    (ev->kind == EV_RENAME && ev->rename.flags))
		return ERR_OK;
	if (view_lookup(n->view, at.parent, at.name, &s) || s.kind != SHOWN_LINK ||
	    s.type != TYPE_FILE || view_stat(n->view, s.id, &a) || a.nlink > 1)
		return ERR_OK; /* the operation itself tells what is wrong */
	return content_beside(n->content, &n->step, s.id, &at);
}

enum err node_local(struct node *n, struct event *ev)
{
	if (!node_may_write(n))
		return fail(ERR_ROFS);
	if (is_written(n, ev))
		return ERR_AGAIN;
	enum err e = node_accept_write(n);
	if (!e)
		e = before_loss(n, ev);
	if (e)
		return e;
	outbox_begin(n->outbox, &n->step);
	e = local(n, ev);
	enum err e2 = outbox_end(n->outbox);
	e = e ? e : e2;
	if (!e && ev->kind == EV_MAKE && ev->make.what.type == TYPE_FILE &&
	    !ev->make.what.content.len)
		e = content_made(n->content, &n->step, ev->make.inode);
	return e;
}

/* EV_OPEN of a version that is named, past ones too. */
enum err node_open_version(struct node *n, struct event *ev)
{
	struct past_version v;

	if (ev->open.write)
		return fail(ERR_INVAL);
	enum err e = past_content(n->view, ev->open.inode, ev->open.version, &v);
	if (e)
		return e;
	e = content_open_version(n->content, &v, &ev->open.file);
	past_version_fini(&v);
	return e;
}

enum err node_local_write(struct node *n, struct event *ev)
{
	if (!node_may_write(n))
		return fail(ERR_ROFS);
	enum err e = node_accept_write(n);
	if (e)
		return e;
	return ev->kind == EV_WRITE ? content_write(n->content, &n->step, ev)
				    : content_truncate(n->content, &n->step, ev);
}
