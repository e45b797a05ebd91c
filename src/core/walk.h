/* SPDX-License-Identifier: MIT */
/* walk.h - questions about the whole tree: conflicts, the digest, the invariants of the rows */
#ifndef WALK_H
#define WALK_H

#include "core/place.h"

void walk_conflicts(struct view *v,
		    bool (*show)(void *arg, enum conflict_kind kind, const struct shown *s),
		    void *arg);
void walk_digest(struct view *v, struct hash *ret);
void walk_check(struct view *v);

#endif
