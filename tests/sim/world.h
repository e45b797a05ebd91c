/* SPDX-License-Identifier: MIT */
/*
 * world.h - a whole folder in one process: devices, their disks, clocks, sessions and users, under
 * one seed
 *
 * Time is virtual: a heap of timers, the earliest next, equal ones in order of making.  What is
 * going to happen stands in a plan (plan.h); the rest is drawn from dice that are cast anew for
 * each event (dice.h).  All goes into the trace, a running hash: the same plan gives the same
 * trace.
 */
#ifndef WORLD_H
#define WORLD_H

#include "base/map.h"
#include "core/node.h"
#include "plan.h"
#include "simdisk.h"

enum timer_kind {
	TIMER_TICK = 1, /* a node's deadline */
	TIMER_SEAL, /* a: work */
	TIMER_BUNDLE, /* bytes: the raw bundle; a: sequence */
	TIMER_READ, /* a: tag of a parked read, b: enum err */
	TIMER_DELIVER, /* a: session, b: direction and class */
	TIMER_DOWN, /* a: session, b: side */
	TIMER_BREAK, /* a: session */
	TIMER_CONNECT, /* a, b: the pair of nodes */
	TIMER_ITEM, /* a: of the plan */
	TIMER_HEAL, /* a: item of the plan whose time is over; b: the cuts that were */
	TIMER_START, /* a node that is down comes up */
	TIMER_STOP /* a clean stop has waited long enough */
};
struct timer {
	uint64_t at, seq;
	enum timer_kind kind;
	uint32_t node, life; /* of a node's timer: void in another life */
	uint64_t a, b;
	uint8_t *bytes; /* owned */
	size_t len;
};

struct shadow { /* what a file opened on a node must hold */
	uint64_t file;
	struct inode_id inode;
	bool known; /* bytes is its content */
	bool changed; /* by a write that succeeded, since it was closed by all */
	struct wr bytes;
	uint32_t handles, writers;
};
struct parked { /* a read that goes on, piece by piece */
	uint64_t tag, file, off;
	bool must, moved; /* a failure fails the run; it was opened for writing meanwhile */
	struct wr want;
	char path[256];
};
struct snapshot { /* rows as an index has committed them */
	struct kv *kv; /* NULL: none */
	size_t journal;
	uint32_t pieces;
};
struct image { /* of a whole device, to be put back some day */
	bool made;
	struct simdisk disk;
	struct snapshot snap;
};
enum crash { CRASH_NONE, CRASH_KILL, CRASH_POWER };
struct simnode {
	struct world *w;
	uint32_t no, life;
	struct node_config config;
	struct simdisk disk;
	struct snapshot snap;
	struct kv *kv;
	struct node *node; /* NULL: down */
	bool stopping, joining; /* joining: it asks to be let in when it meets node 0 */
	bool admitted; /* it has been a member */
	bool limited; /* an admin changed its role, or sent it away, at some time */
	bool rejected; /* some of what it did was, by a member */
	uint8_t secret[32];
	enum role role; /* at first */
	int64_t skew_ms;
	int32_t drift_ppm;
	uint64_t full_until; /* its disk takes nothing; 0: it does */
	bool full_all; /* not even what removes */
	struct image image;
	enum crash armed, dying; /* dying: it is dead already, and ends with this event */
	uint32_t crash_in, crash_done; /* steps to go; actions of that step still carried out */
	uint64_t crash_len; /* how long it will be down */
	uint32_t rot_sends; /* so many of the next stored bytes it sends are not what they were */
	struct simpiece rotten; /* a piece on its disk with a bit that fell over; len 0: none */
	uint64_t tick_at; /* of its earliest TIMER_TICK */
	uint64_t tick_rest; /* its disk was full: no tick before that */
	uint64_t steps;
	struct actions acts;
	struct shadow *shadows;
	uint32_t shadows_count, shadows_room;
	struct liar *liar; /* NULL: an honest one */
	struct late { /* closes that found the disk full */
		uint64_t file;
		bool write;
	} * late;
	uint32_t late_count, late_room;
	struct parked *parked;
	uint32_t parked_count, parked_room;
};

struct queued { /* a message on its way; bytes NULL: the session's beginning */
	struct queued *next;
	uint8_t *bytes;
	size_t len;
	bool rotten; /* stored bytes that were no longer what they had been */
};
struct session {
	uint64_t no;
	uint32_t node[2], life[2];
	bool up, joining, told[2]; /* told: EV_UP has come there */
	bool half; /* ended, but side lingers still hears what was on its way */
	unsigned lingers;
	bool over[2]; /* EV_DOWN has come there */
	uint32_t downs; /* sides that still wait for EV_DOWN */
	struct {
		struct queued *first, **last;
		uint64_t free_at, sent_at; /* of the last one: it arrives, it has left */
		size_t bytes; /* on their way */
	} way[4]; /* 2 * side that receives + bulk */
};

struct oracle;
struct world {
	const struct plan *p;
	bool verbose;
	struct dice dice;
	uint64_t now, seq, steps, trace;
	uint64_t events[EV_TICK + 1]; /* how many of each kind */
	struct timer *heap;
	uint32_t heap_count, heap_room;
	struct simnode *nodes;
	uint32_t count;
	struct folder_id folder;
	struct session *sessions;
	uint32_t sessions_count, sessions_room;
	uint64_t sessions_made;
	uint8_t cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* [from][to]: so many cuts let nothing pass */
	uint64_t healed_cuts; /* how often all cuts were healed at once */
	bool healed; /* no more faults */
	bool quiet; /* no more users */
	uint32_t items; /* of the plan, still to come */
	uint64_t tags;
	struct hash roster_head; /* of the roster that the last bundle was made under */
	uint64_t highest_t; /* of records in bundles */
	struct oracle *oracle;
	uint64_t applied; /* records, by nodes that are gone */
	bool failed;
	char why[1024];
};

enum world_answer { WORLD_OK, WORLD_FAILED };
struct world_sum {
	uint64_t trace;
	uint64_t applied; /* records, by all views together */
};
enum world_answer world_run(const struct plan *p, bool verbose, struct world_sum *sum,
			    char why[1024]);
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say(const struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void world_trace(struct world *w, const void *at, size_t len);
void world_trace_u64(struct world *w, uint64_t v);
/* A timer after a delay; the caller may fill in a, b and bytes of what is returned. */
struct timer *world_timer(struct world *w, enum timer_kind kind, uint64_t delay);
struct timer *world_timer_of(struct simnode *n, enum timer_kind kind, uint64_t delay);
uint64_t world_below(struct world *w, uint64_t bound);
uint64_t world_about(struct world *w, uint64_t usec); /* a random time, usec on average */
bool world_chance(struct world *w, uint32_t one_in); /* 0: never */
/* A device whose word and view count: a member, by the first one's roster, and honest. */
bool world_counts(const struct world *w, uint32_t k);
bool world_converged(struct world *w, char *why, size_t size);

#endif
