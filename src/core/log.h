/* SPDX-License-Identifier: MIT */
/*
 * log.h - the logs of all incarnations: what is applied, what waits, where it stands in the journal
 *
 * A bundle is *held* when it is the next of its log, its causes are held, and its author might
 * write by the roster that it names: then it stands in the journal and is passed on.  What comes
 * too early waits in a bounded table.  Every held bundle, own ones too, gets an arrival number;
 * arrivals are an order in which causes come first, so they are what a peer that lacks them is
 * sent.
 *
 * A held bundle is *applied* if it is accepted (struct log_rules) and so are its causes: the tree
 * always stands at a causally closed prefix of what is accepted.  Which bundles those are is a
 * function of the bundles held and of the roster.  When it turns out that one more is, or one less,
 * log_settled() says no, and the owner has the view made again from the journal: log_rebuild().
 *
 * Rows: TABLE_LOG incarnation -> device, nonce, follows, seq, applied, hash of the last, its
 * vector, the head its first names, all that its bundles had seen TABLE_ARRIVAL number ->
 * incarnation, seq, journal offset and length of the raw bytes TABLE_HELD arrival number ->
 * incarnation, seq, vector: held and not applied TABLE_BUNDLE incarnation, seq -> arrival number
 *       TABLE_OWN own incarnation, last op of a run -> first op, bundle
 *       TABLE_DOTS incarnation, last op of a run -> first op, bundle it was applied from
 *       TABLE_AGAIN incarnation, op, incarnation, seq: a further bundle with the same record
 */
#ifndef LOG_H
#define LOG_H

#include "core/step.h"

#define LOG_WAITING_MAX 4096
#define LOG_WAITING_BYTES_MAX (64u << 20) /* of memory */
#define LOG_INCARNATIONS_MAX VECTOR_MAX
#define LOG_HELD_MAX 65536 /* bundles held and not applied */
#define LOG_HELD_BYTES_MAX (256u << 20) /* of them, as they came */
/* In a bundle's delta: this entry of the vector before is gone (a record held back had not seen
 * it). */
#define LOG_DELTA_GONE UINT64_MAX

struct log;
struct log_inc {
	uint64_t inc, nonce, seq, applied; /* seq: last held, 0: none; applied: no more than that */
	struct device_id device;
	struct where follows;
	struct where trunk; /* a branch of a fork: where it left what; else zeros */
	uint64_t most_t; /* the highest clock of a record of its own in its bundles */
	struct hash last; /* of bundle seq */
	struct hash born; /* the roster head that bundle 1 names */
	const struct vector *vec; /* of bundle seq; owned by the log; NULL: empty */
	const struct vector *top; /* all that its bundles had seen; likewise */
	bool borrowed; /* bundles of other incarnations carry records with its dots */
};
/*
 * What the log asks of the roster and of the brake.  Accepted of an incarnation is: everything, if
 * the roster sets no limit; else what is below the limit, what a record of the roster vouches for,
 * and what a bundle of an incarnation without limit, or an operation of this device, had seen: its
 * author has that in its tree and in all that it writes, and could write it itself.
 */
struct log_rules {
	void *arg;
	uint64_t (*limit)(void *arg, const struct log_inc *i); /* UINT64_MAX: none */
	uint64_t (*granted)(void *arg, uint64_t inc); /* 0: nothing */
	uint64_t (*braked)(void *arg, const struct log_inc *i); /* as limit; nobody vouches */
	/* A record of this device that is in no bundle yet turns out to travel in that one: true if
	 * it was such a one. */
	bool (*pending)(void *arg, struct dot dot, struct where in);
	/* A bundle is about to be applied: shall it be held after all?  braked() says so from now
	 * on. */
	enum err (*look)(void *arg, struct step *s, const struct bundle *b, bool *hold);
};
struct arrival {
	struct where in;
	uint64_t at; /* journal offset of the raw bytes */
	uint32_t len;
};

struct log *log_new(struct kv *kv, struct view *view, const struct folder_id *folder);
void log_free(struct log *l); /* accepts NULL */
void log_set_rules(struct log *l, const struct log_rules *r); /* before: all is accepted */
enum err log_load(struct log *l, uint64_t current) MUST_USE; /* current: own incarnation, 0: none */

/* All three are borrowed until the next change. */
const struct vector *log_held(const struct log *l);
const struct vector *log_applied(const struct log *l);
/* What this device's next record has seen: applied, without the current incarnation. */
const struct vector *log_seen(const struct log *l);
const struct log_inc *log_find(const struct log *l, uint64_t inc); /* NULL: unknown */
/* Start an own incarnation; it becomes the current one.  ERR_FULL, ERR_NOMEM. */
enum err log_begin(struct log *l, const struct device_id *device, uint64_t nonce,
		   struct where follows) MUST_USE;
uint64_t log_current(const struct log *l); /* 0: none yet */
bool log_is_own(const struct log *l, uint64_t inc, const struct device_id *self);
uint64_t log_waiting(const struct log *l); /* bundles that wait for their causes */
/* How many bundles of an incarnation may be applied; UINT64_MAX: all. */
uint64_t log_allowed(struct log *l, const struct log_inc *i);
/* Whether the current incarnation is limited: what is written in it is not accepted any more. */
bool log_own_limited(struct log *l);
/* Whether it has forked: another life of this device goes on under its numbers. */
bool log_own_forked(struct log *l);
/* An operation of this device has seen vec (borrowed), and what it makes will say so. */
void log_note_own(struct log *l, const struct vector *vec);
/* One begins, which has seen what is applied as far as that is accepted: in a replay more is
 * applied than was in the tree then. */
void log_note_own_now(struct log *l);
/* None is under way any more, all are in bundles; true: look whether it is settled. */
bool log_own_done(struct log *l);
/* Bundles held and not applied: their number, and one of them (k from 0, in order of arrival). */
struct log_unapplied {
	struct where in;
	uint64_t arrival;
	uint32_t len; /* of the raw bytes */
	const struct vector *vec; /* borrowed until the next change */
};
uint32_t log_unapplied(const struct log *l);
const struct log_unapplied *log_unapplied_at(const struct log *l, uint32_t k);
/* The number of incarnations known, and one of them, in order of number. */
uint32_t log_incs(const struct log *l);
const struct log_inc *log_inc_at(const struct log *l, uint32_t k);
/* Whether what is applied is what is accepted; costs little while there are no limits. */
bool log_settled(struct log *l);
/* While replaying: the view lacks what it had; after the replay it must be made again. */
void log_unsettle(struct log *l);
/*
 * Begin to apply all again: what is accepted is fixed now, all else is forgotten but for what
 * waits and which bundles own operations travel in.  The owner has deleted the rows of
 * TABLE_LOG, ARRIVAL, BUNDLE and HELD, and feeds what the journal has, in order; then
 * log_rebuilt().  ERR_NOMEM: nothing has changed.
 */
enum err log_rebuild(struct log *l) MUST_USE;
void log_rebuilt(struct log *l);
bool log_rebuilding(const struct log *l);
/* Whether an own record is accepted, as far as it is in a bundle; while rebuilding. */
bool log_accepts_own(struct log *l, struct dot dot);

/* Hooks for the view (struct view_hooks). */
struct where log_where(void *arg, struct dot dot);
bool log_also(void *arg, struct dot dot, uint32_t k, struct where *ret);
bool log_applied_dot(struct log *l, struct dot dot); /* from some bundle */
bool log_line(void *arg, struct where a, struct where b);

enum log_verdict { LOG_APPLIED = 1, LOG_WAITS, LOG_KNOWN, LOG_HELD };
/* Might the author of this bundle write, by the roster it names?  ERR_OK, ERR_AGAIN (a roster
 * record is missing), ERR_REFUSED. */
struct log_judge {
	void *arg;
	enum err (*may)(void *arg, const struct bundle *b);
};
/*
 * Take a bundle (freed or kept inside, also on error): hold it now and apply it, if it can be, else
 * let it wait.
 * ERR_MALFORMED, ERR_FORGED: its author lies; ERR_REFUSED: its role does not allow it.
 */
enum err log_take(struct log *l, struct step *s, const struct log_judge *j, struct bundle *take,
		  enum log_verdict *ret) MUST_USE;
/* Replay of J_BUNDLE, and of J_HELD (held: it was not applied then), whose raw bytes stand at
 * journal offset raw_at.  Takes the bundle.  While rebuilding, held is not looked at. */
enum err log_replay(struct log *l, struct step *s, struct bundle *take, uint64_t raw_at,
		    bool held) MUST_USE;
/* Hold what waited and is ready now; true in *more when one was: call again. */
enum err log_ready(struct log *l, struct step *s, const struct log_judge *j, bool *more) MUST_USE;

/* An own bundle, sealed: note it.  ops: the dots of its records, count of them; all borrowed. */
struct log_own {
	const struct bundle_head *head;
	const struct vector *vec; /* its whole vector */
	struct hash hash;
	const struct dot *ops;
	uint32_t count;
	uint64_t most_t; /* the highest clock among its records */
	uint64_t raw_at; /* journal offset of the raw bytes */
	uint32_t raw_len;
};
enum err log_own(struct log *l, const struct log_own *o) MUST_USE;

/*
 * Forks: see log_fork.c.  The tag of a bundle held; zeros for one that is not.
 */
struct bundle_tag log_tag(struct log *l, struct where in);
/* Others hold another bundle under that number. */
void log_doubts(struct log *l, struct where in);
/* A log, and how much of it is not in doubt: the rest is to be asked for again.  False: nothing is
 * doubted since it was last asked. */
bool log_doubt(struct log *l, struct where *ret);
struct log_fork {
	struct where at; /* the last bundle that all agree on; seq 0: none */
	uint64_t mine; /* the branch that operations here had seen before it was known; 0: none */
};
uint32_t log_forks(const struct log *l);
const struct log_fork *log_fork_at(const struct log *l, uint32_t k);
/* The incarnation that goes on where inc ends here: itself, or its branch. */
uint64_t log_tip(const struct log *l, uint64_t inc);
/* What a record of this device and its vector say in terms of branches; what they point to is
 * valid until the next record. */
enum err log_fork_own(struct log *l, struct record *r) MUST_USE;

uint64_t log_arrivals(const struct log *l); /* the number the next bundle gets; from 1 */
enum err log_arrival(struct log *l, uint64_t number, struct arrival *ret) MUST_USE;
/* The lowest arrival number that a peer with that vector may lack; log_arrivals() if none. */
enum err log_first_lacking(struct log *l, const struct vector *peer, uint64_t *ret) MUST_USE;
/* How many applied bundles a vector lacks. */
uint64_t log_lacks(const struct log *l, const struct vector *peer);

#endif
