/* SPDX-License-Identifier: MIT */
/* forget.h - what no record to come can concern any more, and when it may go (merge.md section 5)
 */
#ifndef FORGET_H
#define FORGET_H

#include "core/reg.h"

/* Records changed something of inode id: list it, or take it off.  r: the last of them, or NULL. */
void forget_follow(struct view *v, struct inode_id id, const struct record *r);
/* Directories that v->named tells of are named more or less often; those nobody names are listed.
 */
void forget_settle(struct view *v, const struct record *r);

/* As view_forget() and view_forgetting(); other failures are in v->bad. */
enum err forget_step(struct view *v, const struct forget_below *b, struct forgotten *ret) MUST_USE;
struct vector *forget_below(struct view *v); /* as view_forgot() */
void forget_count(struct view *v, struct forgetting *ret);
void forget_check(struct view *v); /* asserts I1 to I3; costs a walk */

#endif
