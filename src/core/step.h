/* SPDX-License-Identifier: MIT */
/*
 * step.h - what every module of a running step needs: time, rows, the actions it fills in
 *
 * A step's journal payload is a run of entries: kind u8, length u32, body (peerfs-store(5)).
 */
#ifndef STEP_H
#define STEP_H

#include "base/rng.h"
#include "core/event.h"

enum journal_kind {
	J_RECORDS = 1, /* own records of one operation */
	J_WORK = 2, /* a file begins to be written */
	J_WRITE = 3,
	J_TRUNCATE = 4,
	J_TOUCH = 5, /* its modification time was set */
	J_CUT = 6, /* a version is cut: dot, clock and vector are given */
	J_SEALED = 7, /* its manifest is known; the work is done */
	J_DISCARD = 8, /* a work without a name is dropped */
	J_OWN = 9, /* an own bundle, sealed */
	J_BUNDLE = 10, /* another's bundle, applied */
	J_NODE = 11, /* plaintext of a manifest node */
	J_ROSTER = 12, /* a roster record */
	J_INC = 13, /* an incarnation begins */
	J_TOKEN = 14, /* an invitation given out, or used */
	J_DATE = 15, /* the wall clock: what comes behind it was learnt then, or later */
	J_HELD = 16, /* another's bundle, held and not applied */
	J_BRAKE = 17, /* an incarnation is held by the brake, or no longer */
	J_BESIDE = 18 /* a work will be a file of its own, beside the place that its file lost */
};

struct step {
	struct kv *kv;
	struct rng *rng;
	struct actions *acts;
	uint64_t now; /* monotonic usec */
	int64_t wall_ms;
	uint64_t journal_at;
	bool replaying; /* changes come from the journal: write none, act not */
};

/* A new zeroed action of that kind to fill in; NULL without memory (acts->bad). */
struct action *step_act(struct step *s, enum action_kind kind);
/* ACT_REPORT, printf-like. */
void step_report(struct step *s, bool warn, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Open an entry, write its body to acts->journal, close it.  While replaying, NULL. */
struct wr *step_entry(struct step *s, enum journal_kind kind, size_t *mark);
void step_entry_end(struct step *s, size_t mark);
/* ERR_NOMEM if the journal or the actions ran out of memory. */
enum err step_sound(const struct step *s) MUST_USE;

/* Rows with small keys: a table letter and the bytes of key. */
#define STEP_KEY_MAX 80
struct step_key {
	uint8_t at[STEP_KEY_MAX];
	size_t len;
};
static inline struct bytes step_key_view(const struct step_key *k)
{
	return (struct bytes){k->at, k->len};
}
void step_key_init(struct step_key *k, uint8_t table);
void step_key_u8(struct step_key *k, uint8_t v);
void step_key_u64(struct step_key *k, uint64_t v); /* big-endian */
void step_key_raw(struct step_key *k, const void *at, size_t len);

#endif
