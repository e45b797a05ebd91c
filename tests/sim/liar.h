/* SPDX-License-Identifier: MIT */
/*
 * liar.h - devices whose program has been changed: members all the same, with keys of their own
 *
 * Underneath runs an honest node, so that a liar is let in and heard; what it says is bent on its
 * way out, and now and then it says what no honest node would.  Honest devices must stay of one
 * mind among themselves, take over nothing that its role does not allow, and read no wrong byte.
 */
#ifndef LIAR_H
#define LIAR_H

#include "simnet.h"

enum lie {
	LIE_WITHHOLD = 1, /* keeps bundles and pieces to itself */
	LIE_SWAP = 2, /* other bytes for a piece */
	LIE_ROLL_BACK = 4, /* tells an old vector */
	LIE_REPLAY = 8, /* says again what was said by itself or others */
	LIE_GARBAGE = 16, /* bytes that are no message, or one cut off */
	LIE_WRITE = 32, /* signs bundles of an incarnation that its node knows nothing of */
	LIE_RECORDS =
		64, /* in them: dots of others, unknown inodes, false bases, no records at all */
	LIE_VECTOR = 128, /* in them: vectors that nobody can cover */
	LIE_ROSTER = 256, /* roster records that it has no right to */
	LIE_FORK = 512, /* two bundles of one number */
	LIE_ALL = 1023
};

struct liar;
void liar_init(struct simnode *n, unsigned lies);
void liar_free(struct simnode *n);
void liar_acts(struct simnode *n); /* it tells a lie */
/* What its node sends; false: it does not leave (and is freed). */
bool liar_sends(struct simnode *n, struct simmsg *m);
void liar_hears(struct simnode *n, struct bytes message);
/* Honest nodes have taken over nothing that a liar had no right to write. */
void liar_check(const struct simnode *honest);

#endif
