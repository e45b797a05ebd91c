/* SPDX-License-Identifier: MIT */
/* reg.h - the registers: which heads there are, who saw whom, who wins (merge.md sections 1, 2) */
#ifndef REG_H
#define REG_H

#include "core/cells.h"

bool reg_saw(struct view *v, const struct origin *r, const struct origin *s);
bool reg_concurrent(struct view *v, const struct origin *r, const struct origin *s);
static inline struct stamp reg_stamp(const struct origin *o)
{
	return (struct stamp){o->t, o->dot.inc};
}

/*
 * The visible versions: an array, to be freed, of a number per head: -1 if it is shown, else the
 * head it is hidden behind.  Head 0 is the primary.  NULL only with v->bad.
 */
int32_t *reg_behind(struct view *v, const struct inode_row *i);
/* The head that places a name, or -1: the latest, but a pinned one only if there is no other. */
int32_t reg_placed(const struct link_row *l);
/* Whether places of heads not pinned differ. */
bool reg_asked_twice(const struct link_row *l);
/* Whether inode i has a live name other than but (NULL: any). */
bool reg_live_name(struct view *v, struct inode_id i, const struct name_id *but);
/* What stands at the place of name n: live, or, if i has no live name at all, kept (of any name).
 */
bool reg_current(struct view *v, const struct inode_row *i, struct name_id n,
		 struct place_row *ret);
/* For an inode without live names: the place an unseen edit keeps; false: gone. */
bool reg_kept(struct view *v, const struct inode_row *i, struct place_row *ret);
/* As reg_current for each name of i, in order of birth; begun with cells_links(). */
bool reg_next_place(struct view *v, struct walk *w, const struct inode_row *i,
		    struct place_row *ret);
/* The oldest shown name of i: that beside which its copies stand. */
bool reg_anchor(struct view *v, const struct inode_row *i, struct place_row *ret);

/*
 * Put a record into its registers.  *done: nothing changed, it was applied before.
 * ERR_MALFORMED; other failures are in v->bad.
 */
enum err reg_apply_inode(struct view *v, const struct record *r, bool *done) MUST_USE;
enum err reg_apply_link(struct view *v, const struct record *r, bool *done) MUST_USE;
enum err reg_apply_content(struct view *v, const struct record *r, bool *done) MUST_USE;
enum err reg_apply_attr(struct view *v, const struct record *r, bool *done) MUST_USE;
/* The places that a head names: v->named follows. */
void reg_name(struct view *v, const struct link_head *h, int32_t by);
void reg_drop_copies(struct view *v, const struct inode_row *i); /* I2, before all heads go */
/* The inode and dot of the head whose copy has that id. */
bool reg_copy(struct view *v, struct inode_id copy, struct inode_id *file, struct dot *dot);

struct rkey reg_xattr_key(struct inode_id i, struct bytes name);

#endif
