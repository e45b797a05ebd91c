/* SPDX-License-Identifier: MIT */
/* dirs.h - where directories are, which live, and which are shown as one (rules 1, 4, 5) */
#ifndef DIRS_H
#define DIRS_H

#include "core/cells.h"

void dirs_add_root(struct view *v);
/* A directory's inode record came. */
void dirs_add(struct view *v, struct inode_id id, struct stamp born, const struct place *birth);
/* Its link registers changed. */
void dirs_update(struct view *v, struct inode_id id);
/* A name came to stand in directory id, or left it; of the record with that time. */
void dirs_gain(struct view *v, struct inode_id id, int64_t wall_ms, uint64_t t);
void dirs_lose(struct view *v, struct inode_id id, int64_t wall_ms, uint64_t t);

static inline const struct place *dirs_effective(const struct dir_row *d) /* not of the root */
{
	return &d->cands[d->level];
}
bool dirs_live(struct view *v, struct inode_id id);
/* Whether any directories are united at all. */
bool dirs_any_union(struct view *v);
/* All that are shown as one with the live directory id; false: it is not shown. */
bool dirs_parts(struct view *v, struct inode_id id, struct parts *ret);
void dirs_parts_fini(struct parts *p);
void dirs_forget_cache(struct view *v);
struct walk dirs_children(struct inode_id parent, struct bytes name);
/* The next live directory standing at that place, with its stamp of birth. */
bool dirs_children_next(struct view *v, struct walk *w, struct inode_id *id, struct stamp *born);

#endif
