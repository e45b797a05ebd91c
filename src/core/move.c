// SPDX-License-Identifier: MIT
/*
 * move.c - rename, exchange and removal of entries (merge.md section 3)
 *
 * All pins go out before the records of the operation itself: a record that vacates a name,
 * emitted first, would change what the others are shown as.
 */
#include "core/move.h"
#include <stdlib.h>

bool move_dir_empty(struct op *op, struct inode_id dir)
{
	auto_showing s = {0};

	return pin_ok(op) && place_next(op->v, dir, (struct bytes){NULL, 0}, &s) == ERR_NOENT;
}

bool move_within(struct op *op, const struct showing *s, struct inode_id dir)
{
	auto_showing at = {0};

	while (pin_ok(op) && place_find(op->v, dir, &at) == ERR_OK) {
		if (inode_equal(at.s.id, s->s.id))
			return true;
		if (at.s.kind == SHOWN_ROOT)
			return false;
		dir = at.s.at;
	}
	return false;
}

void move_remove(struct op *op, const struct showing *s, const struct but *but)
{
	struct place prev = pin_place(s);

	if (s->s.kind == SHOWN_COPY) {
		pin_keep(op, s, but);
		pin_drop(op, s, true);
		return;
	}
	pin_copies(op, s->s.id, &s->s.n, but);
	pin_remove_hidden(op, s->hidden, s->hidden_count, but);
	pin_remove(op, s->s.n, s->s.id, &prev);
}

/* Every constituent of a shown directory goes to a place, or (NULL) away. */
static void put_parts(struct op *op, const struct parts *parts, const struct place *at)
{
	for (uint32_t k = 0; k < parts->count; k++) {
		auto_dir d = {0};
		if (!pin_ok(op) || !cells_dir(op->v, parts->at[k], &d))
			return;
		pin_put_dir(op, parts->at[k], at, dirs_effective(&d));
	}
}

void move_remove_dir(struct op *op, const struct showing *s)
{
	auto_parts parts = {0};

	if (pin_ok(op) && dirs_parts(op->v, s->s.id, &parts))
		put_parts(op, &parts, NULL);
}

static bool has_place(struct op *op, struct inode_id i, struct name_id n)
{
	auto_link l = {0};

	return pin_ok(op) && cells_link(op->v, i, n, &l) && reg_placed(&l) >= 0;
}

void move_file(struct op *op, const struct showing *s, const struct showing *t,
	       const struct place *at)
{
	struct but but = pin_but(t, NULL), self = pin_but(s, NULL);
	struct place from = pin_place(s);

	pin_leave(op, s, t);
	if (s->s.kind == SHOWN_COPY) {
		pin_keep(op, s, &but);
	} else {
		pin_copies(op, s->s.id, NULL, &but);
		pin_remove_hidden(op, s->hidden, s->hidden_count, &but);
	}
	bool heir = t && t->s.kind == SHOWN_LINK; /* s takes over t's name id */
	if (heir && name_id_compare(t->s.n, s->s.n) != 0 && has_place(op, s->s.id, t->s.n))
		heir = false; /* one inode has one place per name id */
	if (t) {
		pin_leave(op, t, s);
		move_remove(op, t, &self);
	}
	if (s->s.kind == SHOWN_COPY) {
		static const struct but none;
		pin_promote(op, s, at, false, heir ? &t->s.n : NULL, &none);
		return;
	}
	struct name_id n = heir ? t->s.n : s->s.n;
	if (name_id_compare(n, s->s.n) != 0)
		pin_remove(op, s->s.n, s->s.id, &from);
	pin_put(op, n, s->s.id, at, NULL, false);
}

void move_dir(struct op *op, const struct showing *s, const struct showing *t,
	      const struct place *at)
{
	auto_parts parts = {0};

	if (!pin_ok(op) || !dirs_parts(op->v, s->s.id, &parts))
		return;
	pin_skipped(op);
	pin_leave(op, s, NULL);
	if (t)
		move_remove_dir(op, t);
	put_parts(op, &parts, at);
}

/* One side of an exchange: nothing is left that hangs on s standing where it does. */
static void free_place(struct op *op, const struct showing *s, const struct showing *other)
{
	struct but but = pin_but(other, NULL);

	pin_leave(op, s, other);
	if (s->s.kind == SHOWN_COPY) {
		pin_keep(op, s, &but);
	} else if (s->s.kind == SHOWN_LINK) {
		pin_copies(op, s->s.id, NULL, &but);
		pin_remove_hidden(op, s->hidden, s->hidden_count, &but);
	}
}

static void put_at(struct op *op, const struct showing *s, const struct parts *parts,
		   const struct place *at)
{
	static const struct but none;

	if (s->s.kind == SHOWN_DIR)
		put_parts(op, parts, at);
	else if (s->s.kind == SHOWN_COPY)
		pin_promote(op, s, at, false, NULL, &none);
	else
		pin_put(op, s->s.n, s->s.id, at, NULL, false);
}

void move_exchange(struct op *op, const struct showing *s, const struct showing *t)
{
	auto_parts s_parts = {0}, t_parts = {0};
	struct place s_at = pin_place(s), t_at = pin_place(t);

	if (s->s.kind == SHOWN_DIR && !dirs_parts(op->v, s->s.id, &s_parts))
		return;
	if (t->s.kind == SHOWN_DIR && !dirs_parts(op->v, t->s.id, &t_parts))
		return;
	if (s->s.kind == SHOWN_DIR || t->s.kind == SHOWN_DIR)
		pin_skipped(op);
	free_place(op, s, t);
	free_place(op, t, s);
	put_at(op, s, &s_parts, &t_at);
	put_at(op, t, &t_parts, &s_at);
}
