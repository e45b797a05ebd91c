// SPDX-License-Identifier: MIT
/*
 * local.c - what each local operation checks and writes down (merge.md section 3)
 *
 * The invariant: an operation changes the local view exactly as POSIX says and in no other way.
 * Errors of POSIX are found before the first record; after it only memory and disk can fail.
 */
#include "core/local.h"
#include "base/hash.h"
#include "codec/manifest.h"
#include "core/move.h"
#include <stdlib.h>

static enum err name_check(struct bytes name)
{
	if (name.len > NAME_BYTES_MAX)
		return fail(ERR_NAMETOOLONG);
	if (!name_ok(name))
		return fail(ERR_INVAL);
	return ERR_OK;
}

/* The canonical id of a shown directory. */
static enum err dir_check(struct op *op, struct inode_id dir, struct inode_id *ret)
{
	auto_parts parts = {0};

	bool shown = dirs_parts(op->v, dir, &parts);
	if (op->v->bad)
		return op->v->bad;
	if (!shown)
		return fail(ERR_NOTDIR);
	*ret = parts.at[0];
	return ERR_OK;
}

/* A place where nothing is shown. */
static enum err free_check(struct op *op, struct inode_id dir, struct bytes name, struct place *ret)
{
	auto_showing s = {0};
	enum err e = name_check(name);

	if (e)
		return e;
	e = place_lookup(op->v, dir, name, &s);
	if (e == ERR_OK)
		return ERR_EXIST;
	if (e != ERR_NOENT)
		return e;
	ret->name = name;
	return dir_check(op, dir, &ret->parent);
}

static enum err done(struct op *op)
{
	(void)pin_ok(op);
	return op->bad;
}

/* ---- new entries ---- */

static void emit_attr(struct op *op, struct inode_id i, const struct attr_value *a)
{
	struct record r = {.kind = REC_ATTR, .inode = i, .attr = *a};

	pin_emit(op, &r);
}

static void emit_attrs(struct op *op, struct inode_id i, const struct make *what)
{
	uint32_t usual = what->type == TYPE_DIR ? 0755 : what->type == TYPE_SYMLINK ? 0777 : 0644;
	struct attr_value mode = {.field = ATTR_MODE, .mode = what->mode & 07777};
	struct attr_value owner = {.field = ATTR_OWNER, .owner = {what->uid, what->gid}};

	if (mode.mode != usual)
		emit_attr(op, i, &mode);
	if (what->has_owner)
		emit_attr(op, i, &owner);
}

enum err local_make(struct view *v, const struct emitter *e, struct inode_id dir, struct bytes name,
		    const struct make *what, struct inode_id *ret)
{
	struct op op = pin_begin(v, e);
	struct place at;
	struct dot dot;
	uint64_t t;

	if (what->target.len > SYMLINK_BYTES_MAX)
		return fail(ERR_NAMETOOLONG);
	enum err bad = free_check(&op, dir, name, &at);
	if (bad)
		return bad;
	e->next(e->arg, &dot, &t);
	struct name_id n = {t, dot.inc, 0};
	struct record r = {.kind = REC_INODE, .inode = {dot.inc, dot.op}};
	r.ino.type = what->type;
	r.ino.target = what->target;
	r.ino.rdev = what->rdev;
	r.ino.born = (struct stamp){t, dot.inc};
	if (what->type == TYPE_DIR) {
		r.ino.has_birth = true;
		r.ino.birth = at;
	}
	struct inode_id i = r.inode;
	pin_emit(&op, &r);
	emit_attrs(&op, i, what);
	pin_put(&op, n, i, &at, NULL, false);
	if (what->type == TYPE_FILE && what->content.len) {
		struct record c = {.kind = REC_CONTENT, .inode = i};
		c.content.mtime_ns = what->mtime_ns;
		c.content.content = what->content;
		pin_emit(&op, &c);
	}
	if (done(&op))
		return op.bad;
	*ret = i;
	return ERR_OK;
}

enum err local_link(struct view *v, const struct emitter *e, struct inode_id inode,
		    struct inode_id dir, struct bytes name)
{
	struct op op = pin_begin(v, e);
	auto_inode i = {0};
	auto_showing s = {0};
	struct place at;
	struct dot dot;
	uint64_t t;
	uint32_t head;

	bool known = facts_inode(v, inode, &i, &head);
	if (v->bad)
		return v->bad;
	if (!known)
		return fail(ERR_NOENT);
	if (i.type == TYPE_DIR)
		return fail(ERR_PERM);
	enum err bad = free_check(&op, dir, name, &at);
	if (bad)
		return bad;
	bad = place_find(v, inode, &s);
	if (bad && (bad != ERR_NOENT || !inode_equal(i.id, inode)))
		return bad;
	if (!bad)
		pin_own_name(&op, &s);
	e->next(e->arg, &dot, &t);
	pin_put(&op, (struct name_id){t, dot.inc, 0}, inode, &at, NULL, false);
	return done(&op);
}

/* ---- removal ---- */

enum err local_unlink(struct view *v, const struct emitter *e, struct inode_id dir,
		      struct bytes name)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0};
	static const struct but none;

	enum err bad = place_lookup(v, dir, name, &s);
	if (bad)
		return bad;
	if (s.s.kind == SHOWN_DIR)
		return fail(ERR_ISDIR);
	pin_leave(&op, &s, NULL);
	move_remove(&op, &s, &none);
	return done(&op);
}

enum err local_rmdir(struct view *v, const struct emitter *e, struct inode_id dir,
		     struct bytes name)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0};

	enum err bad = place_lookup(v, dir, name, &s);
	if (bad)
		return bad;
	if (s.s.kind != SHOWN_DIR)
		return fail(ERR_NOTDIR);
	if (!move_dir_empty(&op, s.s.id))
		return v->bad ? v->bad : ERR_NOTEMPTY;
	pin_skipped(&op);
	pin_leave(&op, &s, NULL);
	move_remove_dir(&op, &s);
	return done(&op);
}

/* ---- rename ---- */

/* What stands in the way of s going where t (NULL: nothing) is. */
static enum err rename_check(struct op *op, const struct showing *s, const struct showing *t,
			     struct inode_id to_dir, unsigned flags)
{
	bool s_dir = s->s.kind == SHOWN_DIR, t_dir = t && t->s.kind == SHOWN_DIR;

	if (s_dir && move_within(op, s, to_dir))
		return fail(ERR_LOOP);
	if (t_dir && (flags & LOCAL_EXCHANGE) && move_within(op, t, s->s.at))
		return fail(ERR_LOOP);
	if (flags & LOCAL_EXCHANGE)
		return ERR_OK;
	if (t && s_dir && !t_dir)
		return fail(ERR_NOTDIR);
	if (t_dir && !s_dir)
		return fail(ERR_ISDIR);
	if (t_dir && !move_dir_empty(op, t->s.id))
		return op->v->bad ? op->v->bad : ERR_NOTEMPTY;
	return ERR_OK;
}

enum err local_rename(struct view *v, const struct emitter *e, const struct place *from,
		      const struct place *to, unsigned flags)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0}, t_entry = {0};
	struct place at = {.name = to->name};

	enum err bad = place_lookup(v, from->parent, from->name, &s);
	if (!bad)
		bad = name_check(to->name);
	if (!bad)
		bad = dir_check(&op, to->parent, &at.parent);
	if (bad)
		return bad;
	bad = place_lookup(v, at.parent, at.name, &t_entry);
	if (bad && bad != ERR_NOENT)
		return bad;
	const struct showing *t = bad ? NULL : &t_entry;
	if (t && (flags & LOCAL_NOREPLACE))
		return ERR_EXIST;
	if (!t && (flags & LOCAL_EXCHANGE))
		return ERR_NOENT;
	if (t && inode_equal(s.s.id, t->s.id))
		return ERR_OK; /* the same file under two names, or the same name: nothing to do */
	bad = rename_check(&op, &s, t, at.parent, flags);
	if (bad)
		return bad;
	if (flags & LOCAL_EXCHANGE)
		move_exchange(&op, &s, t);
	else if (s.s.kind == SHOWN_DIR)
		move_dir(&op, &s, t, &at);
	else
		move_file(&op, &s, t, &at);
	return done(&op);
}

/* ---- content and attributes ---- */

enum err local_edit(struct view *v, const struct emitter *e, struct inode_id inode)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0};
	static const struct but none;
	uint32_t count;

	enum err bad = place_find(v, inode, &s);
	if (bad == ERR_NOENT)
		return ERR_OK; /* shown nowhere: the new version stands for itself */
	if (bad)
		return bad;
	struct name_of *hidden = pin_hidden_by(&op, &s, &count);
	pin_own_name(&op, &s);
	pin_remove_hidden(&op, hidden, count, &none);
	free(hidden);
	return done(&op);
}

enum err local_set(struct view *v, const struct emitter *e, struct inode_id inode,
		   const struct attr_value *a)
{
	struct op op = pin_begin(v, e);
	auto_inode i = {0};
	auto_showing s = {0};
	static const struct but none;

	if (!cells_inode(v, inode, &i)) {
		enum err bad = v->bad ? v->bad : place_find(v, inode, &s);
		if (bad)
			return bad;
		pin_entry(&op, &s, &none, true, NULL);
	}
	emit_attr(&op, inode, a);
	return done(&op);
}

/* ---- history ---- */

/* A version over what s shows now. */
static void emit_version(struct op *op, const struct showing *s, const struct make *what)
{
	struct dot bases[RECORD_BASES_MAX];
	struct record r = {.kind = REC_CONTENT, .inode = s->s.id};

	r.content.content = what->content;
	r.content.mtime_ns = what->mtime_ns;
	r.content.bases = bases;
	op->bad = local_edit(op->v, op->e, s->s.id);
	if (pin_ok(op))
		op->bad = facts_bases(op->v, s->s.id, bases, RECORD_BASES_MAX,
				      &r.content.bases_count);
	pin_emit(op, &r);
}

enum err local_restore(struct view *v, const struct emitter *e, struct inode_id dir,
		       struct bytes name, const struct make *what, struct inode_id *ret)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0};
	struct view_attr a;

	enum err bad = place_lookup(v, dir, name, &s);
	if (bad == ERR_NOENT)
		return local_make(v, e, dir, name, what, ret);
	if (bad)
		return bad;
	if (s.s.type != what->type || (what->type != TYPE_FILE && what->type != TYPE_DIR))
		return ERR_EXIST;
	if (what->type == TYPE_FILE) {
		bad = facts_stat(v, s.s.id, &a);
		if (bad)
			return bad;
		if (!manifest_equal(a.content, what->content))
			emit_version(&op, &s, what);
	}
	if (done(&op))
		return op.bad;
	*ret = s.s.id;
	return ERR_OK;
}

/* ---- conflicts ---- */

/* The files that contend for one name in a directory, that at name itself left out. */
static void gather_group(struct op *op, const struct showing *s, struct list *ret)
{
	auto_showing nominal = {0};
	auto_list derived = {0};
	struct bytes name = {s->s.nominal, s->s.nominal_len};

	if (s->s.suffixed && place_lookup(op->v, s->s.at, name, &nominal) == ERR_OK &&
	    !nominal.s.suffixed && nominal.s.type == TYPE_FILE)
		pin_list_add(op, ret, &nominal);
	pin_derived(op, s->s.at, &derived);
	for (uint32_t k = 0; k < derived.count; k++) {
		const struct shown *o = &derived.at[k].s;
		bool self = inode_equal(o->id, s->s.id) && name_id_compare(o->n, s->s.n) == 0;
		if (o->type == TYPE_FILE && !self &&
		    bytes_equal((struct bytes){o->nominal, o->nominal_len}, name))
			pin_list_add(op, ret, &derived.at[k]);
	}
}

enum err local_resolve(struct view *v, const struct emitter *e, struct inode_id dir,
		       struct bytes name, struct bytes keep, bool all)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0};
	auto_list group = {0};
	static const struct but none;

	enum err bad = place_lookup(v, dir, name, &s);
	if (bad)
		return bad;
	gather_group(&op, &s, &group);
	for (uint32_t k = 0; all && k < group.count; k++)
		if (group.at[k].s.suffixed || group.at[k].s.kept)
			pin_entry(&op, &group.at[k], &none, false, NULL);
	if (all || done(&op))
		return done(&op);
	if (!bytes_equal(keep, name))
		bad = local_rename(v, e, &(struct place){dir, keep}, &(struct place){dir, name}, 0);
	for (uint32_t k = 0; k < group.count && !bad; k++) {
		struct bytes other = {group.at[k].s.name, group.at[k].s.name_len};
		if (bytes_equal(other, keep))
			continue;
		bad = local_unlink(v, e, dir, other);
		if (bad == ERR_NOENT)
			bad = ERR_OK; /* gone with what came before */
	}
	return bad;
}

/* Whether the registers of a name say more than where it is shown. */
static bool is_odd(struct op *op, const struct showing *s)
{
	auto_link l = {0};

	if (s->s.suffixed || s->s.kept || s->s.kind != SHOWN_LINK)
		return true;
	if (!cells_link(op->v, s->s.id, s->s.n, &l))
		return false;
	int32_t k = reg_placed(&l);
	return reg_asked_twice(&l) || (k >= 0 && l.heads[k].pinned);
}

/* What is shown at a place is written down as it is, as its author's wish. */
static enum err settle_one(struct view *v, const struct emitter *e, struct inode_id dir,
			   struct bytes name)
{
	struct op op = pin_begin(v, e);
	auto_showing s = {0};
	auto_parts parts = {0};
	static const struct but none;

	enum err bad = place_lookup(v, dir, name, &s);
	if (bad)
		return bad == ERR_NOENT ? ERR_OK : bad;
	if (s.s.kind != SHOWN_DIR) {
		if (is_odd(&op, &s))
			pin_entry(&op, &s, &none, false, NULL);
		return done(&op);
	}
	pin_skipped(&op);
	if (pin_ok(&op))
		(void)dirs_parts(v, s.s.id, &parts);
	for (uint32_t k = 0; k < parts.count && pin_ok(&op); k++) {
		auto_dir d = {0};
		if (cells_dir(v, parts.at[k], &d) && !d.own)
			pin_put_dir(&op, d.id, dirs_effective(&d), dirs_effective(&d));
	}
	return done(&op);
}

static bool settle_has(const struct settle *s, struct bytes name)
{
	for (uint32_t k = 0; k < s->count; k++)
		if (bytes_equal(s->names[k], name))
			return true;
	return false;
}

enum err local_settle(struct view *v, const struct emitter *e, const struct settle *s)
{
	struct inode_id inode;
	enum err bad = ERR_OK;

	for (uint32_t k = 0; s->keep < 0 && k < s->count && !bad; k++)
		bad = settle_one(v, e, s->dir, s->names[k]);
	if (bad || s->keep < 0)
		return bad;
	const struct bytes keep = s->names[s->keep];
	const struct bytes file = settle_has(s, s->file) ? s->file : keep;
	if (s->base)
		bad = local_restore(v, e, s->dir, keep, s->base, &inode);
	if (!bad && !bytes_equal(keep, file))
		bad = local_rename(v, e, &(struct place){s->dir, keep},
				   &(struct place){s->dir, file}, 0);
	for (uint32_t k = 0; k < s->count && !bad; k++) {
		if (bytes_equal(s->names[k], keep) || bytes_equal(s->names[k], file))
			continue;
		bad = local_unlink(v, e, s->dir, s->names[k]);
		if (bad == ERR_NOENT)
			bad = ERR_OK;
	}
	return bad ? bad : settle_one(v, e, s->dir, file);
}
