/* SPDX-License-Identifier: MIT */
/*
 * world.h - a whole folder in one process: devices, their disks, clocks, sessions and users, under
 * one seed
 *
 * Time is virtual: a heap of timers, the earliest next, equal ones in order of making.  Whatever
 * happens is drawn from the world's one generator of random numbers and goes into the trace, a
 * running hash: the same seed gives the same trace.
 */
#ifndef WORLD_H
#define WORLD_H

#include "base/map.h"
#include "core/node.h"
#include "simdisk.h"

#define SIM_NODES_MAX 50
#define SIM_MESH_MAX 12 /* in larger worlds each meets the first, its neighbours and a few */
#define SIM_SECOND UINT64_C(1000000)

enum timer_kind {
	TIMER_TICK = 1, /* a node's deadline */
	TIMER_SEAL, /* a: work */
	TIMER_BUNDLE, /* bytes: the raw bundle; a: sequence */
	TIMER_READ, /* a: tag of a parked read, b: enum err */
	TIMER_DELIVER, /* a: session, b: direction and class */
	TIMER_DOWN, /* a: session, b: side */
	TIMER_BREAK, /* a: session */
	TIMER_CONNECT, /* a, b: the pair of nodes */
	TIMER_USER, /* something a user does */
	TIMER_FAULT, /* something that breaks */
	TIMER_HEAL, /* a: enum heal of what broke */
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

struct options {
	uint64_t seed;
	uint32_t nodes, steps; /* 0: as the seed says */
	bool verbose;
	bool roles; /* admins change roles */
	bool unsynced; /* own bundles leave before they are synced */
};
struct faults { /* what this seed turns on */
	uint64_t delay_usec; /* of a message, at most */
	uint32_t loss; /* one message in so many breaks its session; 0: none */
	uint64_t skew_ms; /* of wall clocks, at most */
	bool partition, clog, power, kill, clean, roles;
	bool early; /* also while devices join */
	uint64_t pause_usec; /* between two faults, about */
	uint64_t user_usec; /* between two acts of users, about */
	uint32_t big; /* one write in so many is large */
	bool tiny; /* contents that ride in the record: nobody need meet the author */
};

struct shadow { /* what a file opened on a node must hold */
	uint64_t file;
	struct inode_id inode;
	bool known; /* bytes is its content */
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
struct simnode {
	struct world *w;
	uint32_t no, life;
	struct node_config config;
	struct simdisk disk;
	struct snapshot snap;
	struct kv *kv;
	struct node *node; /* NULL: down */
	bool stopping, joining, sync; /* joining: it asks to be let in when it meets node 0;
				    sync: after this step */
	uint8_t secret[32];
	enum role role;
	int64_t skew_ms;
	uint64_t tick_at; /* of its earliest TIMER_TICK */
	uint64_t steps;
	struct actions acts;
	struct shadow *shadows;
	uint32_t shadows_count, shadows_room;
	struct parked *parked;
	uint32_t parked_count, parked_room;
};

struct queued { /* a message on its way; bytes NULL: the session's beginning */
	struct queued *next;
	uint8_t *bytes;
	size_t len;
};
struct session {
	uint64_t no;
	uint32_t node[2], life[2];
	bool up, joining, told[2]; /* told: EV_UP has come there */
	uint32_t downs; /* sides that still wait for EV_DOWN */
	struct {
		struct queued *first, **last;
		uint64_t free_at;
	} way[4]; /* 2 * side that receives + bulk */
};

struct oracle;
struct world {
	struct options o;
	struct faults f;
	struct rng rng;
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
	bool cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* [from][to]: nothing passes */
	bool healed; /* no more faults */
	bool quiet; /* no more users */
	uint32_t acts; /* of users, still to come */
	uint64_t tags;
	struct oracle *oracle;
	bool failed;
	char why[1024];
};

enum world_answer { WORLD_OK, WORLD_FAILED };
enum world_answer world_run(const struct options *o, uint64_t *trace, char why[1024]);
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say(const struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void world_trace(struct world *w, const void *at, size_t len);
void world_trace_u64(struct world *w, uint64_t v);
/* A timer after a delay; the caller may fill in a, b and bytes of what is returned. */
struct timer *world_timer(struct world *w, enum timer_kind kind, uint64_t delay);
struct timer *world_timer_of(struct simnode *n, enum timer_kind kind, uint64_t delay);
uint64_t world_about(struct world *w, uint64_t usec); /* a random time, usec on average */
bool world_chance(struct world *w, uint32_t one_in); /* 0: never */
bool world_converged(struct world *w, char *why, size_t size);

#endif
