/* SPDX-License-Identifier: MIT */
/*
 * outbox.h - own records: emitted one operation at a time, held back while contents are unsealed,
 * cut into bundles
 *
 * All records of one operation are one group and travel in one bundle.  A group waits while
 * content written before it, of an inode it concerns, is unsealed, and while an earlier group of
 * such an inode waits: so records of one inode keep their order, and a peer never sees a name
 * before its bytes.  A bundle is a run of groups that had seen the same.
 *
 * Rows: TABLE_OUT t, incarnation, op -> group, vector, record
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "core/log.h"

#define OUTBOX_CUT_BYTES                                                                           \
	(64u << 10) /* a bundle is closed at this size (applying it is one step)                   \
		     */
#define OUTBOX_CUT_RECORDS 512
#define OUTBOX_CLOCK_TOP (UINT64_MAX - (UINT64_C(1) << 40)) /* others' clocks followed below */
#define OUTBOX_RETRY_USEC (5u * 1000 * 1000)
#define OUTBOX_LOOK 2048 /* items looked through for the next bundle, at first */

struct outbox;
struct outbox_hooks {
	void *arg;
	/* Whether content of inode written before clock t is unsealed. */
	bool (*unsealed)(void *arg, struct inode_id inode, uint64_t t);
};
struct outbox *outbox_new(struct kv *kv, struct view *view, struct log *log,
			  const struct outbox_hooks *hooks);
void outbox_free(struct outbox *o); /* accepts NULL */
enum err outbox_load(struct outbox *o) MUST_USE;
/* A record of this device is in no bundle and turns out to have travelled in that one: it is
 * dropped. False: there is none, or a bundle with it is being sealed. */
bool outbox_travelled(struct outbox *o, struct dot dot);
void outbox_reset(struct outbox *o); /* forget the items; their rows are gone; the clock stays */
/* The clock: op the next record gets, t the last given out or seen.  Set after a start. */
void outbox_clock(const struct outbox *o, uint64_t *op, uint64_t *t);
void outbox_set_clock(struct outbox *o, uint64_t op, uint64_t t);
void outbox_saw(struct outbox *o, uint64_t t); /* of a record from elsewhere */
/* Something begins that will have seen what is applied now. */
void outbox_begins(struct outbox *o);
void outbox_begins_again(struct outbox *o); /* the same, in a replay */

/* Open the group of this step (ended by outbox_end(), which writes the journal entry). */
void outbox_begin(struct outbox *o, struct step *s);
enum err outbox_end(struct outbox *o) MUST_USE;
/* An emitter for core/local within an open group. */
struct emitter outbox_emitter(struct outbox *o);
/* Give a dot, clock and vector to a version that is cut now; it is emitted by outbox_emit_at(). */
struct reserved {
	uint64_t own_seq; /* last own bundle then; 0: none, or not known any more */
	struct dot dot;
	uint64_t t;
	int64_t wall_ms;
	const struct vector *vec; /* a reference of the caller's */
};
void outbox_reserve(struct outbox *o, struct step *s, struct reserved *ret);
/* Emit a record with a reserved dot, as a group of its own.  Not inside an open group. */
enum err outbox_emit_at(struct outbox *o, struct step *s, const struct reserved *at,
			struct record *r) MUST_USE;
/* Replay of J_RECORDS. */
enum err outbox_replay(struct outbox *o, struct bytes body) MUST_USE;

/* Something was sealed or acknowledged: a look may be worth while. */
void outbox_stir(struct outbox *o);
struct outbox_policy {
	bool listening; /* a peer is connected */
	bool unacked; /* something of ours is on its way to one */
	bool all; /* cut whatever can be cut */
	struct device_id device;
	struct folder_id folder;
	struct hash roster;
	uint32_t epoch;
};
/* Start a bundle (ACT_BUNDLE) if the policy says so and none is under way. */
enum err outbox_publish(struct outbox *o, struct step *s, const struct outbox_policy *p) MUST_USE;
/* The bundle is sealed; raw is noted in journal and log.  err: sealing failed: its records stay. */
enum err outbox_sealed(struct outbox *o, struct step *s, enum err err, struct bytes raw) MUST_USE;
/* Replay of J_OWN; raw_at: journal offset of the raw bytes. */
enum err outbox_replay_own(struct outbox *o, struct bytes body, uint64_t body_at) MUST_USE;

/* A bundle that could not be stored is tried again after OUTBOX_RETRY_USEC. */
void outbox_tick(struct outbox *o, const struct step *s);
uint64_t outbox_deadline(const struct outbox *o);

/* What is given out and in no bundle yet: the oldest of it bounds what may be acknowledged, as
 * vectors rise with clocks. */
struct oldest {
	uint64_t t; /* UINT64_MAX: nothing is held */
	const struct vector *vec; /* what it had seen, its own log aside; borrowed */
	struct where own; /* and of that: only up to there is all older than it */
};
void outbox_held(const struct outbox *o, struct oldest *ret);

uint32_t outbox_count(const struct outbox *o); /* records in no bundle yet */
bool outbox_busy(const struct outbox *o); /* a bundle is being sealed */

#endif
