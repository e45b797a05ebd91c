/* SPDX-License-Identifier: MIT */
/*
 * brake.h - one device removes or rewrites much of the tree at once: the others wait for a word
 *
 * Counted are the files that a device's bundles remove or give other contents within
 * BRAKE_WINDOW_MS of its clock, but for those that it had made itself within BRAKE_WINDOW_MS
 * before: programs make files for a moment by the thousand.  The bundle that would bring them over
 * both limits (a number, and a share of the tree as it was) is held, and all of its incarnation
 * behind it, until a member accepts or rejects them in the roster.  The old tree is served
 * meanwhile.
 *
 * Each device that may write decides for itself, and its decision stands in its journal.  What is
 * counted is not kept over a restart: then a device may go on for as much again.
 *
 * Rows: TABLE_STATE 'k', incarnation -> first bundle held, when (ms since 1970)
 */
#ifndef BRAKE_H
#define BRAKE_H

#include "core/log.h"

#define BRAKE_WINDOW_MS (10 * 60 * 1000)
#define BRAKE_PERCENT 30
#define BRAKE_FILES 1000
#define BRAKE_DEVICES_MAX 64 /* counted at once; the one that was counted least goes */

struct brake;
struct brake_limits {
	uint32_t percent; /* of the tree; 0: no brake */
	uint64_t files; /* and more than so many */
};
struct braked { /* one incarnation that is held */
	uint64_t inc, from; /* from: the first bundle held */
	int64_t wall_ms;
};

struct brake *brake_new(struct kv *kv, const struct brake_limits *limits); /* NULL: no memory */
void brake_free(struct brake *b); /* accepts NULL */
enum err brake_load(struct brake *b) MUST_USE;
/*
 * A bundle of another device is about to be applied: count, and hold its incarnation if that is too
 * much (*held).
 */
struct brake_tree { /* before it is applied */
	void *arg;
	uint64_t files; /* names in it */
	/* Whether it knows an inode, and that was not made by the device at or after since_ms. */
	bool (*stood)(void *arg, struct inode_id inode, const struct device_id *device,
		      uint64_t since_ms);
};
enum err brake_look(struct brake *b, struct step *s, const struct bundle *of,
		    const struct brake_tree *tree, bool *held) MUST_USE;
uint64_t brake_limit(const struct brake *b, uint64_t inc); /* bundles that pass; UINT64_MAX: all */
/* Somebody has decided: hold it no more. */
enum err brake_release(struct brake *b, struct step *s, uint64_t inc) MUST_USE;
enum err brake_replay(struct brake *b, struct bytes body) MUST_USE; /* J_BRAKE */
uint32_t brake_count(const struct brake *b);
const struct braked *brake_at(const struct brake *b, uint32_t k); /* borrowed until a change */

#endif
