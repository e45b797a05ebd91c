/* SPDX-License-Identifier: MIT */
/*
 * pokes.h - which events programs that watch the mount have still to be given
 *
 * Changes go in as they are told; orders come out, one at a time, in the order in which their
 * places first changed.  What a place shows is asked when its turn comes: so what came and went
 * meanwhile costs nothing, and a name is one event however often it changed.  A name that left one
 * place and came to another is one rename.
 *
 * No clock, thread or lock: the caller has one lock around all calls.
 */
#ifndef POKES_H
#define POKES_H

#include "base/err.h"
#include "core/shown.h"
#include "front/pokewire.h"

struct pokes;
struct pokes_place {
	struct inode_id dir;
	uint8_t len;
	uint8_t name[NAME_BYTES_MAX];
};
struct pokes_thing {
	uint8_t type; /* enum inode_type; 0: nothing */
	struct inode_id id; /* {0, 0} for nothing */
};
struct pokes_order {
	enum poke_kind kind;
	struct pokes_place at, to; /* to: RENAME, EXCHANGE */
	struct pokes_thing what; /* comes, goes, moves from at to to, or (MODIFY, ATTRIB) stands */
	struct pokes_thing over; /* RENAME: what stood at to; EXCHANGE: what moves from to to at */
	struct pokes_thing now; /* DELETE, RENAME: what is shown at at since; nothing, as a rule */
	bool through; /* RENAME: nobody was told that what stood at at, it only came through */
	unsigned tries; /* that failed before */
};
/* What the tree shows. */
struct pokes_view {
	void *arg;
	struct pokes_thing (*shows)(void *arg, const struct pokes_place *at);
	bool (*where)(void *arg, struct inode_id id, struct pokes_place *ret); /* one place of it */
};

struct pokes *pokes_new(uint32_t places_max); /* NULL: no memory */
void pokes_free(struct pokes *q); /* accepts NULL */
/* What a place shows has changed; before: what it was.  ERR_FULL, ERR_NOMEM: nobody will be told.
 */
enum err pokes_entry(struct pokes *q, const struct pokes_place *at,
		     const struct pokes_thing *before) MUST_USE;
/* Contents (data) or attributes of what stands there have changed; errors as above. */
enum err pokes_touch(struct pokes *q, const struct pokes_place *at, bool data) MUST_USE;
/* The next order; false: there is none. */
bool pokes_next(struct pokes *q, const struct pokes_view *v, struct pokes_order *ret);
/* An order came to nothing: its places are as they were to those who watch.  They take their turn
 * again, but not more than POKES_TRIES times for one reason; false: nobody will be told. */
#define POKES_TRIES 3
bool pokes_failed(struct pokes *q, const struct pokes_order *o);
uint32_t pokes_count(const struct pokes *q); /* places that wait */
void pokes_clear(struct pokes *q);
void pokes_check(const struct pokes *q); /* asserts I1 to I3 of pokes.c */

bool pokes_same_place(const struct pokes_place *a, const struct pokes_place *b);

#endif
