// SPDX-License-Identifier: MIT
/*
 * users.c - see users.h
 *
 * Names come from a small pool, so that devices collide.  An act on names is checked against POSIX:
 * what it touched looks as it must, and nothing else has changed (semantics.md, rule 8).
 */
#include "users.h"
#include "liar.h"
#include "oracle.h"
#include "simfile.h"
#include "simnode.h"
#include "tree.h"
#include <stdlib.h>

#define TREE_CHECKED_MAX 200 /* larger trees are not compared entry by entry */
#define LEAVES_MAX 400

static const char *const names[] = {"a", "b", "c", "d.txt", "e.txt", "f", "g", ".h"};

struct act { /* what is being done, and to what */
	struct simnode *n;
	struct tree before;
	const struct leaf *leaf, *dir, *other; /* a file or directory, a directory, a second leaf */
	char name[NAME_BYTES_MAX + 1];
	char path[2][TREE_PATH_MAX]; /* touched: they and all below may change */
	struct inode_id inode; /* touched, under whatever name */
};

/* ---- choices ---- */

static uint32_t below(struct world *w, uint32_t bound)
{
	return (uint32_t)world_below(w, bound);
}

static const struct leaf *any_leaf(struct act *a, int type) /* type 0: any but the root */
{
	uint32_t at = below(a->n->w, a->before.count);

	for (uint32_t k = 0; k < a->before.count; k++) {
		const struct leaf *l = &a->before.at[(at + k) % a->before.count];
		if (l->s.kind != SHOWN_ROOT && (!type || (int)l->s.type == type))
			return l;
	}
	return NULL;
}

static const struct leaf *any_dir(struct act *a)
{
	const struct leaf *d = world_chance(a->n->w, 3) ? NULL : any_leaf(a, TYPE_DIR);

	return d ? d : &a->before.at[0];
}

static void any_name(struct act *a)
{
	snprintf(a->name, sizeof(a->name), "%s", names[below(a->n->w, ARRAY_LEN(names))]);
}

static void touch(struct act *a, unsigned which, const struct leaf *dir, struct bytes name)
{
	snprintf(a->path[which], sizeof(a->path[which]), "%s%s%.*s", dir->path,
		 *dir->path ? "/" : "", (int)name.len, (const char *)name.at);
}

static const struct leaf *dir_of(struct act *a, const struct leaf *l)
{
	for (uint32_t k = 0; k < a->before.count; k++)
		if (inode_equal(a->before.at[k].s.id, l->s.at) &&
		    a->before.at[k].s.type == TYPE_DIR)
			return &a->before.at[k];
	return &a->before.at[0];
}

static struct bytes name_of(const struct leaf *l)
{
	return (struct bytes){l->s.name, l->s.name_len};
}

/* ---- what must have happened ---- */

static bool touched(const struct act *a, const struct leaf *l)
{
	for (unsigned k = 0; k < 2; k++) {
		size_t len = strlen(a->path[k]);
		if (len && strncmp(l->path, a->path[k], len) == 0 &&
		    (l->path[len] == '\0' || l->path[len] == '/'))
			return true;
	}
	return !inode_none(a->inode) &&
	       (inode_equal(l->s.id, a->inode) || inode_equal(l->s.file, a->inode));
}

/* Among records that no honest device writes, a directory may have two names, and the like: the
 * tree is the same everywhere, but nothing is promised of what an operation does to it. */
static bool nonsense(const struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++)
		if (w->p->nodes[k].lies & LIE_RECORDS)
			return true;
	return false;
}

/* Nothing but what was touched has changed. */
static void check_rest(struct act *a, const char *what)
{
	struct world *w = a->n->w;
	struct tree after;
	char why[512];

	if (a->before.count > TREE_CHECKED_MAX || nonsense(w))
		return;
	if (!tree_list(a->n->node, &after, why, sizeof(why))) {
		world_fail(w, "node %u after %s: %s", a->n->no, what, why);
		tree_fini(&after);
		return;
	}
	for (uint32_t k = 0; k < a->before.count + after.count && !w->failed; k++) {
		bool old = k < a->before.count;
		const struct leaf *l = old ? &a->before.at[k] : &after.at[k - a->before.count];
		const struct leaf *m = tree_find(old ? &after : &a->before, l->path);
		if (touched(a, l) || (m && touched(a, m)))
			continue;
		if (!m || memcmp(&m->sum, &l->sum, sizeof(m->sum)) != 0)
			world_fail(w, "node %u: %s of /%s and /%s: /%s %s", a->n->no, what,
				   a->path[0], a->path[1], l->path,
				   m     ? "has changed too"
				   : old ? "has gone"
					 : "has come");
	}
	tree_fini(&after);
}

static bool allowed(enum err e)
{
	switch ((int)e) {
	case ERR_OK:
	case ERR_NOENT:
	case ERR_EXIST:
	case ERR_NOTDIR:
	case ERR_ISDIR:
	case ERR_NOTEMPTY:
	case ERR_LOOP:
	case ERR_NODATA:
	case ERR_NAMETOOLONG:
	case ERR_INVAL:
	case ERR_PERM:
		return true;
	default:
		return false;
	}
}

/* Carry out an act on names, and judge it. */
static bool do_names(struct act *a, struct event *ev, const char *what)
{
	struct simnode *n = a->n;
	enum err e = simnode_step(n, ev);

	world_say(n->w, "node %u: %s /%s /%s: %s", n->no, what, a->path[0], a->path[1],
		  err_text(e));
	if (n->w->failed || !n->node)
		return false;
	if (e == ERR_ROFS && simnode_may_lack(n))
		return false;
	if (!allowed(e) && !(e == ERR_NOSPC && n->full_until)) {
		world_fail(n->w, "node %u: %s of /%s and /%s says %s", n->no, what, a->path[0],
			   a->path[1], err_text(e));
		return false;
	}
	if (e) { /* nothing at all has changed */
		a->path[0][0] = a->path[1][0] = '\0';
		a->inode = (struct inode_id){0, 0};
	}
	check_rest(a, what);
	return e == ERR_OK && !n->w->failed;
}

static void must_show(struct act *a, const char *what, const struct leaf *dir, struct bytes name,
		      struct inode_id id)
{
	struct shown s;

	if (nonsense(a->n->w))
		return;
	enum err e = view_lookup(node_view(a->n->node), dir->s.id, name, &s);

	if (inode_none(id) ? e != ERR_NOENT : e || !inode_equal(s.id, id))
		world_fail(a->n->w, "node %u: after %s, %s/%.*s shows something else (%s)",
			   a->n->no, what, dir->path, (int)name.len, (const char *)name.at,
			   err_text(e));
}

/* ---- acts ---- */

static void act_make(struct act *a, enum inode_type type)
{
	struct event ev = {.kind = EV_MAKE};

	a->dir = any_dir(a);
	any_name(a);
	ev.make.dir = a->dir->s.id;
	ev.make.name = bytes_text(a->name);
	ev.make.what.type = type;
	ev.make.what.mode = type == TYPE_DIR ? 0755 : type == TYPE_SYMLINK ? 0777 : 0644;
	if (type == TYPE_SYMLINK)
		ev.make.what.target = bytes_text(names[below(a->n->w, 3)]);
	if (world_chance(a->n->w, 8))
		ev.make.what.mode = 0700;
	touch(a, 0, a->dir, ev.make.name);
	struct bytes name = ev.make.name;
	if (!do_names(a, &ev, "make"))
		return;
	must_show(a, "make", a->dir, name, ev.make.inode);
	if (type == TYPE_FILE && !a->n->w->failed)
		simfile_write(a->n, ev.make.inode);
}

static void act_remove(struct act *a)
{
	struct event ev = {.kind = EV_UNLINK};

	a->leaf = any_leaf(a, 0);
	if (!a->leaf)
		return;
	if (a->leaf->s.type == TYPE_DIR)
		ev.kind = EV_RMDIR;
	a->dir = dir_of(a, a->leaf);
	ev.name.dir = a->dir->s.id;
	ev.name.name = name_of(a->leaf);
	touch(a, 0, a->dir, ev.name.name);
	oracle_removed(a->n);
	if (do_names(a, &ev, ev.kind == EV_RMDIR ? "rmdir" : "unlink"))
		must_show(a, "removal", a->dir, name_of(a->leaf), (struct inode_id){0, 0});
}

static void act_rename(struct act *a)
{
	struct event ev = {.kind = EV_RENAME};

	a->leaf = any_leaf(a, 0);
	if (!a->leaf)
		return;
	const struct leaf *from = dir_of(a, a->leaf);
	a->dir = any_dir(a);
	any_name(a);
	ev.rename.to = bytes_text(a->name);
	a->other = world_chance(a->n->w, 3) ? any_leaf(a, 0) : NULL;
	if (a->other) { /* over something */
		a->dir = dir_of(a, a->other);
		ev.rename.to = name_of(a->other);
	}
	ev.rename.from_dir = from->s.id;
	ev.rename.from = name_of(a->leaf);
	ev.rename.to_dir = a->dir->s.id;
	if (world_chance(a->n->w, 6))
		ev.rename.flags = LOCAL_NOREPLACE;
	else if (world_chance(a->n->w, 8))
		ev.rename.flags = LOCAL_EXCHANGE;
	touch(a, 0, from, ev.rename.from);
	touch(a, 1, a->dir, ev.rename.to);
	oracle_removed(a->n);
	bool itself = strcmp(a->path[0], a->path[1]) == 0;
	struct tree *t = &a->before;
	const struct leaf *over = tree_find(t, a->path[1]);
	itself |= over && inode_equal(over->s.id, a->leaf->s.id);
	if (!do_names(a, &ev, "rename") || itself)
		return;
	if (ev.rename.flags != LOCAL_EXCHANGE)
		must_show(a, "rename", from, name_of(a->leaf), (struct inode_id){0, 0});
	must_show(a, "rename", a->dir, ev.rename.to, a->leaf->s.id);
}

static void act_link(struct act *a)
{
	struct event ev = {.kind = EV_LINK};

	a->leaf = any_leaf(a, TYPE_FILE);
	if (!a->leaf)
		return;
	a->dir = any_dir(a);
	any_name(a);
	ev.link.inode = a->leaf->s.id;
	ev.link.dir = a->dir->s.id;
	ev.link.name = bytes_text(a->name);
	touch(a, 0, a->dir, ev.link.name);
	if (do_names(a, &ev, "link"))
		must_show(a, "link", a->dir, bytes_text(a->name), a->leaf->s.id);
}

static void act_attr(struct act *a)
{
	struct event ev = {.kind = EV_SETATTR};
	struct node_stat st;

	a->leaf = any_leaf(a, 0);
	if (!a->leaf)
		return;
	a->inode = a->leaf->s.id;
	snprintf(a->path[0], sizeof(a->path[0]), "%s", "");
	ev.setattr.inode = a->inode;
	ev.setattr.set_mode = true;
	ev.setattr.mode = 0600 + below(a->n->w, 64);
	uint32_t mode = ev.setattr.mode;
	if (world_chance(a->n->w, 3)) {
		ev.setattr.set_mtime = true;
		ev.setattr.mtime_ns = (int64_t)world_below(a->n->w, 1u << 30);
	}
	if (!do_names(a, &ev, "chmod"))
		return;
	enum err e = node_stat(a->n->node, a->leaf->s.id, 0, &st);
	if (e || st.a.mode != mode)
		world_fail(a->n->w, "node %u: chmod of /%s does not show", a->n->no, a->leaf->path);
}

static void act_xattr(struct act *a)
{
	struct event ev = {.kind = EV_XATTR};
	struct bytes value;
	char text[16], key[16];

	a->leaf = any_leaf(a, 0);
	if (!a->leaf)
		return;
	a->inode = a->leaf->s.id;
	struct inode_id id = a->inode;
	snprintf(key, sizeof(key), "user.%u", below(a->n->w, 3));
	snprintf(text, sizeof(text), "%u", below(a->n->w, 100));
	ev.xattr.inode = id;
	ev.xattr.key = bytes_text(key);
	bool remove = world_chance(a->n->w, 4);
	if (!remove)
		ev.xattr.value = bytes_text(text);
	if (!do_names(a, &ev, "setxattr"))
		return;
	enum err e = view_xattr(node_view(a->n->node), id, bytes_text(key), &value);
	if (remove ? e != ERR_NODATA : e || !bytes_equal(value, bytes_text(text)))
		world_fail(a->n->w, "node %u: setxattr of /%s does not show", a->n->no,
			   a->leaf->path);
}

static void act_resolve(struct act *a)
{
	struct event ev = {.kind = EV_RESOLVE};

	for (uint32_t k = 0; k < a->before.count && !a->leaf; k++)
		if (a->before.at[k].s.kind == SHOWN_COPY || a->before.at[k].s.suffixed)
			a->leaf = &a->before.at[k];
	if (!a->leaf)
		return;
	a->dir = dir_of(a, a->leaf);
	ev.resolve.dir = a->dir->s.id;
	ev.resolve.name = (struct bytes){a->leaf->s.nominal, a->leaf->s.nominal_len};
	ev.resolve.all = world_chance(a->n->w, 2);
	ev.resolve.keep = world_chance(a->n->w, 2) ? name_of(a->leaf) : ev.resolve.name;
	oracle_removed(a->n);
	enum err e = simnode_step(a->n, &ev);
	world_say(a->n->w, "node %u: resolve /%s: %s", a->n->no, a->leaf->path, err_text(e));
	bool may =
		(e == ERR_ROFS && simnode_may_lack(a->n)) || (e == ERR_NOSPC && a->n->full_until);
	if (!a->n->w->failed && !allowed(e) && !may)
		world_fail(a->n->w, "node %u: resolve says %s", a->n->no, err_text(e));
}

static void act_on_file(struct act *a, bool write)
{
	a->leaf = any_leaf(a, TYPE_FILE);
	if (!a->leaf)
		return;
	world_say(a->n->w, "node %u: %s /%s", a->n->no, write ? "write" : "read", a->leaf->path);
	if (write)
		simfile_write(a->n, a->leaf->s.id);
	else
		simfile_read(a->n, a->leaf, false);
}

static void act(struct act *a, enum item_kind kind)
{
	bool makes = kind == ITEM_MAKE || kind == ITEM_MKDIR || kind == ITEM_SYMLINK ||
		     kind == ITEM_LINK;

	if (a->before.count > LEAVES_MAX && makes)
		kind = ITEM_REMOVE; /* full enough */
	switch ((int)kind) {
	case ITEM_MAKE:
		act_make(a, TYPE_FILE);
		break;
	case ITEM_MKDIR:
		act_make(a, TYPE_DIR);
		break;
	case ITEM_SYMLINK:
		act_make(a, TYPE_SYMLINK);
		break;
	case ITEM_WRITE:
	case ITEM_READ:
		act_on_file(a, kind == ITEM_WRITE);
		break;
	case ITEM_REMOVE:
		act_remove(a);
		break;
	case ITEM_RENAME:
		act_rename(a);
		break;
	case ITEM_LINK:
		act_link(a);
		break;
	case ITEM_CHMOD:
		act_attr(a);
		break;
	case ITEM_XATTR:
		act_xattr(a);
		break;
	default:
		act_resolve(a);
		break;
	}
}

void users_act(struct simnode *n, enum item_kind kind)
{
	struct world *w = n->w;
	struct act *a;
	char why[512];

	if (!n->node || n->stopping || !node_is_member(n->node))
		return;
	if (n->liar && kind == ITEM_WRITE && !w->p->tiny)
		return; /* others would wait for pieces that it keeps to itself */
	simfile_prune(n);
	if (kind == ITEM_FSYNC || kind == ITEM_GO_ON) {
		if (kind == ITEM_FSYNC)
			simnode_sync(n);
		else
			(void)simfile_go_on(n);
		return;
	}
	a = calloc(1, sizeof(*a));
	assert(a);
	a->n = n;
	if (tree_list(n->node, &a->before, why, sizeof(why)))
		act(a, kind);
	else
		world_fail(w, "node %u: %s", n->no, why);
	tree_fini(&a->before);
	free(a);
}
