/* SPDX-License-Identifier: MIT */
/* place.h - what stands at a name, and what each directory shows (rules 2, 6, 7 and 8) */
#ifndef PLACE_H
#define PLACE_H

#include "core/dirs.h"
#include "core/reg.h"

/* Rows of TABLE_PLACE follow the registers: before and after, NULL for nothing there. */
void place_move(struct view *v, const struct place_row *before, const struct place_row *after,
		const struct record *r);
/* Touch the places of i where something is contested: its versions changed. */
void place_touch_names(struct view *v, const struct inode_row *i);
/* Bring the marks of contested places up to date for all that was touched. */
void place_mark_touched(struct view *v);
bool place_contested(struct view *v, struct inode_id parent, struct bytes name);
/* The same of a name in a shown directory, whose parts may have marks none of them has alone. */
bool place_contested_in(struct view *v, const struct parts *parts, struct bytes name);

/* The derived entries of the shown directory that id is part of; *ret is NULL if there are none.
 * Borrowed until the next call of it.  False: not shown, or v->bad. */
bool place_overlay(struct view *v, struct inode_id dir, const struct overlay **ret);
void place_overlay_free(struct overlay *o);
struct overlay *place_overlay_take(struct view *v, struct inode_id dir); /* out of the cache */
void place_forget(struct view *v, struct inode_id dir);
void place_forget_all(struct view *v);

/* Entries.  ret must be zeroed or finished.  ERR_NOENT, ERR_NOTDIR; failures. */
enum err place_lookup(struct view *v, struct inode_id dir, struct bytes name,
		      struct showing *ret) MUST_USE;
enum err place_next(struct view *v, struct inode_id dir, struct bytes after,
		    struct showing *ret) MUST_USE;
/* The entry that shows the name in that row; ERR_NOENT: it is hidden. */
enum err place_of_name(struct view *v, const struct place_row *p, struct showing *ret) MUST_USE;
/* One shown entry of an id: directory, inode or copy. */
enum err place_find(struct view *v, struct inode_id id, struct showing *ret) MUST_USE;
void place_showing_fini(struct showing *s);
void place_showing_copy(struct view *v, struct showing *to, const struct showing *from);

#endif
