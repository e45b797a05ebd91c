/* SPDX-License-Identifier: MIT */
/*
 * plan.h - all that a run is going to do to its devices: drawn from a seed, or read from a script
 *
 * A plan is the world's set-up and a list of items, each an act of a user or a fault with its time.
 * What an item does in detail follows from its own number (arg), so any item can be left out and
 * the others stay what they are: that is how shrink.c makes a failing plan short.
 */
#ifndef PLAN_H
#define PLAN_H

#include "codec/member.h"
#include "dice.h"
#include <stdio.h>

#define SIM_NODES_MAX 50
#define SIM_MESH_MAX 12 /* in larger worlds each meets the first, its neighbours and a few */
#define SIM_SECOND UINT64_C(1000000)

struct options {
	uint64_t seed;
	uint32_t nodes, steps; /* 0: as the seed says */
	bool verbose;
	bool small; /* few devices, few acts, small files */
	bool roles; /* admins change roles, remove and retire */
	bool forks; /* liars make two bundles of one number, and refer to what they have not seen */
	bool unsynced; /* own bundles leave before they are synced */
};

enum item_kind {
	/* users */
	ITEM_MAKE = 1,
	ITEM_MKDIR,
	ITEM_SYMLINK,
	ITEM_WRITE,
	ITEM_REMOVE,
	ITEM_RENAME,
	ITEM_LINK,
	ITEM_CHMOD,
	ITEM_XATTR,
	ITEM_RESOLVE,
	ITEM_READ,
	ITEM_GO_ON, /* with a file that was left open */
	ITEM_FSYNC,
	/* admins */
	ITEM_ROLE,
	ITEM_EXPEL,
	ITEM_RETIRE,
	/* faults */
	ITEM_CUT, /* for len: nothing passes between some of the devices */
	ITEM_BREAK, /* the sessions of a device end */
	ITEM_HALF, /* one of them ends on one side only, at first */
	ITEM_POWER, /* down for len, what was not synced is lost in part */
	ITEM_KILL, /* down for len */
	ITEM_CRASH, /* killed or without power within one of its next steps; down for len */
	ITEM_STOP,
	ITEM_COMMIT, /* the index commits */
	ITEM_CLOCK, /* its wall clock jumps */
	ITEM_FULL, /* its disk is full for len */
	ITEM_IMAGE, /* an image of its disk is made */
	ITEM_RESTORE, /* and put back; down for len */
	ITEM_ROT, /* a bit of its disk falls over */
	ITEM_LIE, /* a liar says what no honest device would */
	ITEM_AUDIT, /* nothing: it is judged in full */
	/* a member decides about what its brake holds */
	ITEM_ACCEPT,
	ITEM_REJECT,
	ITEM_KINDS
};
struct item {
	uint64_t at; /* usec since users were let loose; early: since the beginning */
	enum item_kind kind;
	uint32_t node;
	uint64_t arg; /* what it draws from */
	uint64_t len; /* usec, of what lasts */
	bool early;
};
struct plan_node {
	enum role role;
	int64_t skew_ms; /* of its wall clock at the beginning */
	int32_t drift_ppm;
	unsigned lies; /* enum lie, of liar.h; 0: an honest one */
	uint32_t brake; /* files that others may remove or rewrite at once; 0: any number */
};
struct plan {
	uint64_t seed; /* of all that is not in the items */
	uint32_t count; /* devices */
	struct plan_node nodes[SIM_NODES_MAX];
	uint64_t delay_usec; /* of a message, at most */
	uint64_t bandwidth; /* bytes a second and way; 0: any */
	uint32_t loss; /* one message in so many breaks its session; 0: none */
	uint32_t big; /* one write in so many is large */
	bool tiny; /* contents that ride in the record: nobody need meet the author */
	bool real; /* the true ciphers */
	bool unsynced;
	bool forks; /* liars refer to what they have not seen, too */
	struct item *items; /* owned */
	uint32_t items_count, items_room;
};

void plan_draw(struct plan *ret, const struct options *o);
void plan_fini(struct plan *p);
void plan_copy(struct plan *to, const struct plan *from); /* to: zeroed or finished */
const char *plan_kind_text(enum item_kind k);
bool plan_has(const struct plan *p, enum item_kind from, enum item_kind to);
bool plan_lies(const struct plan *p); /* some devices are liars */
bool plan_brakes(const struct plan *p); /* some devices have a brake */
/* The script of a plan, a line each; '#' begins a comment. */
void plan_write(const struct plan *p, FILE *to);
bool plan_read(struct plan *ret, FILE *from, unsigned *line); /* false: line is the bad one */

#endif
