/* SPDX-License-Identifier: MIT */
/*
 * spread.h - the connected members: what each has, what is on its way to it, what it is owed
 *
 * Two members that meet tell each other what they have applied and which roster they hold.  From
 * then on each sends what the other lacks, in order of arrival, new bundles at once, with at most
 * SPREAD_WINDOW_BYTES unacknowledged; everybody passes on everybody's.  A bundle that the other
 * had to drop is sent again when its vector stands still for SPREAD_AGAIN_USEC.
 */
#ifndef SPREAD_H
#define SPREAD_H

#include "core/log.h"
#include "core/roster.h"

#define SPREAD_WINDOW_BYTES (4u << 20)
#define SPREAD_WINDOW_COUNT 1024
#define SPREAD_AGAIN_USEC (5u * 1000 * 1000)

struct spread;
struct peer {
	uint64_t session;
	struct device_id device;
	bool joining; /* it asks to join: nothing is told */
	bool we_join; /* it is asked to let us in */
	bool greeted; /* its vector is known */
	bool owes; /* our vector has changed since it was told */
	struct where asked; /* the log whose bundles it was last asked for again, and its last */
	uint8_t hash[64], secret[32];
	const struct vector *theirs; /* owned */
	struct hash told_roster; /* their digest when our roster was last sent */
	uint64_t cursor; /* the next arrival to look at for it */
	uint64_t fetched, served; /* bytes of pieces */
};

struct spread *spread_new(struct log *l, struct roster *r);
void spread_free(struct spread *p); /* accepts NULL */
enum err spread_up(struct spread *p, const struct peer *new,
		   struct peer **ret) MUST_USE; /* ERR_FULL */
void spread_down(struct spread *p, uint64_t session);
struct peer *spread_find(struct spread *p, uint64_t session); /* NULL: none */
uint32_t spread_count(const struct spread *p);
struct peer *spread_at(struct spread *p, uint32_t i);

/* Tell a member what we have; at once. */
enum err spread_greet(struct spread *p, struct step *s, struct peer *to) MUST_USE;
enum err spread_vector(struct spread *p, struct step *s, struct peer *from,
		       struct vector *take_applied, const struct hash *roster) MUST_USE;
/* Ask a member (NULL: all) for all of a log behind what is named, though some of it is held: it may
 * hold other bundles. */
enum err spread_again(struct spread *p, struct step *s, const struct peer *from,
		      struct where held) MUST_USE;
/* A bundle came from that peer, so it has it. */
enum err spread_came(struct spread *p, struct peer *from, struct where in) MUST_USE;
/* What we have applied has changed: everybody is told at the end of the step. */
void spread_owe(struct spread *p);
/* The roster has changed: everybody but from (may be NULL) gets it. */
enum err spread_roster(struct spread *p, struct step *s, const struct peer *from) MUST_USE;
/* At the end of a step: send what may be sent, and what is owed. */
enum err spread_pump(struct spread *p, struct step *s) MUST_USE;
void spread_tick(struct spread *p, struct step *s);
uint64_t spread_deadline(const struct spread *p);
bool spread_listening(const struct spread *p); /* a greeted member is connected */
bool spread_unacked(const struct spread *p); /* bundles are on their way */

#endif
