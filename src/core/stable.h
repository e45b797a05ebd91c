/* SPDX-License-Identifier: MIT */
/*
 * stable.h - what every member is known to have applied: below that, removals may be forgotten
 *
 * Each member says now and then what it acknowledges (codec/ack); all pass on all.  A member that
 * was never heard of holds everything back, and so does one that stays away: that is what retiring
 * is for.
 *
 * Rows: TABLE_STATE 's' device -> known vector, the last acknowledgement
 */
#ifndef STABLE_H
#define STABLE_H

#include "codec/ack.h"
#include "core/spread.h"

#define STABLE_SAY_USEC (15u * 1000 * 1000) /* between two of our own, while it changes */
#define STABLE_RELAY_USEC                                                                          \
	(20u * 1000 * 1000) /* after which one is passed on: as a rule its author                  \
			       has told by then itself */
#define STABLE_SENDS_MAX 16 /* to one peer in one tick */

struct stable;
struct stable_config {
	struct kv *kv;
	struct log *log;
	struct roster *roster;
	struct spread *spread;
	struct folder_id folder;
	const struct sign_pair *device; /* outlives it */
};
struct stable *stable_new(const struct stable_config *c); /* NULL: no memory */
void stable_free(struct stable *st); /* accepts NULL */
enum err stable_load(struct stable *st) MUST_USE; /* from rows, after a start */

/* A peer handed over an acknowledgement, its own or another's.  ERR_MALFORMED, ERR_VERSION,
 * ERR_FORGED: it lies. */
enum err stable_take(struct stable *st, const struct step *s, const struct peer *from,
		     struct bytes raw) MUST_USE;
/* What is applied or who is a member has changed: look soon; or now, as somebody new listens. */
void stable_stir(struct stable *st, const struct step *s, bool now);
/* When it is due: say what has changed (acked: what this device acknowledges now), pass on, and see
 * what others' are worth by now.
 * *news: more may be stable than before. */
enum err stable_tick(struct stable *st, struct step *s, const struct vector *acked,
		     bool *news) MUST_USE;
uint64_t stable_deadline(const struct stable *st);
/* What every member has applied, and before which we lack nothing.  Owned; NULL: no memory. */
struct vector *stable_vector(const struct stable *st, const struct vector *acked);

#endif
