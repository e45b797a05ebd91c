/* SPDX-License-Identifier: MIT */
/*
 * log.h - the logs of all incarnations: what is applied, what waits, where it stands in the journal
 *
 * A bundle is applied when it is the next of its log and its vector is covered: so the tree always
 * stands at a causally closed prefix.  What comes too early waits in a bounded table.  Every
 * applied bundle, own ones too, gets an arrival number; arrivals are an order in which causes come
 * first, so they are what a peer that lacks them is sent.
 *
 * Rows: TABLE_LOG incarnation -> device, nonce, follows, seq, hash of the last, its vector
 *       TABLE_ARRIVAL number -> incarnation, seq, journal offset and length of the raw bytes
 *       TABLE_BUNDLE incarnation, seq -> arrival number
 *       TABLE_OWN own incarnation, last op of a run -> first op, bundle
 */
#ifndef LOG_H
#define LOG_H

#include "core/step.h"

#define LOG_WAITING_MAX 4096
#define LOG_WAITING_BYTES_MAX (64u << 20) /* of memory */
#define LOG_INCARNATIONS_MAX VECTOR_MAX
/* In a bundle's delta: this entry of the vector before is gone (a record held back had not seen
 * it). */
#define LOG_DELTA_GONE UINT64_MAX

struct log;
struct log_inc {
	uint64_t inc, nonce, seq; /* seq: last applied, 0: none */
	struct device_id device;
	struct where follows;
	struct hash last; /* of bundle seq */
	const struct vector *vec; /* of bundle seq; owned by the log; NULL: empty */
};
struct arrival {
	struct where in;
	uint64_t at; /* journal offset of the raw bytes */
	uint32_t len;
};

struct log *log_new(struct kv *kv, struct view *view, const struct folder_id *folder);
void log_free(struct log *l); /* accepts NULL */
enum err log_load(struct log *l, uint64_t current) MUST_USE; /* current: own incarnation, 0: none */

const struct vector *log_applied(const struct log *l); /* borrowed until the next change */
/* What this device's next record has seen: applied, without the current incarnation. */
const struct vector *log_seen(const struct log *l);
const struct log_inc *log_find(const struct log *l, uint64_t inc); /* NULL: unknown */
/* Start an own incarnation; it becomes the current one.  ERR_FULL, ERR_NOMEM. */
enum err log_begin(struct log *l, const struct device_id *device, uint64_t nonce,
		   struct where follows) MUST_USE;
uint64_t log_current(const struct log *l); /* 0: none yet */
bool log_is_own(const struct log *l, uint64_t inc, const struct device_id *self);
uint64_t log_waiting(const struct log *l); /* bundles that wait for their causes */
/* One of them, borrowed until the next change; NULL: there are no more than k. */
const struct bundle *log_waiting_at(const struct log *l, uint32_t k);

/* Hooks for the view (struct view_hooks). */
struct where log_where(void *arg, struct dot dot);
bool log_line(void *arg, struct where a, struct where b);

enum log_verdict { LOG_APPLIED = 1, LOG_WAITS, LOG_KNOWN, LOG_HELD };
/* May the author of this bundle write, by the roster it names?  ERR_OK, ERR_AGAIN (not yet: a
 * roster record is missing, or it has been removed since), ERR_REFUSED. */
struct log_judge {
	void *arg;
	enum err (*may)(void *arg, const struct bundle *b);
};
/*
 * Take a bundle (freed or kept inside, also on error): apply it now if it can be, else let it wait.
 * raw_at: 0, or the journal offset where its raw bytes already stand (replay).
 * ERR_MALFORMED, ERR_FORGED: its author lies; ERR_REFUSED: its role does not allow it.
 */
enum err log_take(struct log *l, struct step *s, const struct log_judge *j, struct bundle *take,
		  uint64_t raw_at, enum log_verdict *ret) MUST_USE;
/* Apply what waited and is ready now; true in *more when one was applied: call again. */
enum err log_ready(struct log *l, struct step *s, const struct log_judge *j, bool *more) MUST_USE;

/* An own bundle, sealed: note it.  ops: the dots of its records, count of them; all borrowed. */
struct log_own {
	const struct bundle_head *head;
	const struct vector *vec; /* its whole vector */
	struct hash hash;
	const struct dot *ops;
	uint32_t count;
	uint64_t raw_at; /* journal offset of the raw bytes */
	uint32_t raw_len;
};
enum err log_own(struct log *l, const struct log_own *o) MUST_USE;

uint64_t log_arrivals(const struct log *l); /* the number the next bundle gets; from 1 */
enum err log_arrival(struct log *l, uint64_t number, struct arrival *ret) MUST_USE;
/* The lowest arrival number that a peer with that vector may lack; log_arrivals() if none. */
enum err log_first_lacking(struct log *l, const struct vector *peer, uint64_t *ret) MUST_USE;
/* How many applied bundles a vector lacks. */
uint64_t log_lacks(const struct log *l, const struct vector *peer);

#endif
