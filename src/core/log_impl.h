/* SPDX-License-Identifier: MIT */
/* log_impl.h - the inside of the logs, for the files log*.c alone */
#ifndef LOG_IMPL_H
#define LOG_IMPL_H

#include "core/log.h"
#include "core/tables.h"

struct target { /* while rebuilding: how much of an incarnation is accepted */
	uint64_t inc, seq;
	struct where follows;
};
struct log {
	struct kv *kv;
	struct view *view;
	struct folder_id folder;
	struct log_rules rules;
	struct log_inc *incs;
	uint32_t incs_count, incs_room;
	const struct vector *held, *applied, *seen;
	const struct vector *own_top; /* seen by operations of this device */
	uint64_t current, arrivals;
	struct bundle **waiting;
	uint32_t waiting_count, waiting_room;
	size_t waiting_bytes;
	struct log_unapplied *unapplied;
	uint32_t unapplied_count, unapplied_room;
	size_t unapplied_bytes;
	enum {
		REPLAY_NOT,
		REPLAY_APPLY,
		REPLAY_HOLD
	} replay; /* what the journal says of a bundle */
	bool stray; /* records of a held own bundle are in the view though it is not applied, or
		       some met what was forgotten: the view is to be made again */
	bool limited; /* some incarnation has a limit, when it was last asked */
	struct log_fork *forks;
	uint32_t forks_count;
	bool doubting;
	struct where doubt; /* a log, and how much of it is not in doubt */
	uint64_t doubt_back; /* how far back it was put last; 0: a fork was found */
	struct dot *bases; /* of the record translated last, and what else it owns */
	struct stamped_attr *attrs;
	const struct vector *record_vec, *origin_vec;
	bool again; /* there are records that travelled twice */
	bool rebuilding;
	struct target *targets; /* ascending */
	uint32_t targets_count;
};

/* log.c */
struct log_inc *log_inc_of(const struct log *l, uint64_t inc); /* NULL: unknown */
/* log_fork.c */
struct log_placed { /* a bundle's head in terms of branches */
	struct where in, follows;
	struct where trunk; /* of the branch that it begins; else zeros */
	bool finds; /* a fork that was not known */
	const struct log_inc *before; /* over whose vector its delta is laid; NULL: none */
	const struct vector *delta; /* owned */
};
/*
 * Where a bundle stands.  ERR_AGAIN: it names what is not held, or waits for the view to be made
 * again; ERR_EXIST: it is held; ERR_FORGED: it does not go on from what is held.
 */
enum err log_fork_place(struct log *l, const struct bundle_head *h, const struct hash *hash,
			struct log_placed *ret) MUST_USE;
/* A record of b, which is placed: r->vec is set. */
enum err log_fork_record(struct log *l, const struct bundle *b, struct record *r) MUST_USE;
/* Whether a fork was found that the view does not stand at yet; and whether i is a branch of such.
 */
bool log_fork_pending(const struct log *l);
bool log_fork_open(const struct log *l, const struct log_inc *i);
/* A bundle that begins a branch is held from now on. */
enum err log_fork_taken(struct log *l, const struct log_placed *p) MUST_USE;
enum err log_fork_load(struct log *l) MUST_USE;
void log_fork_begin(struct log *l); /* all is fed again */
void log_fork_fini(struct log *l);
/* log_arrivals.c */
/* A bundle is held from now on: at journal offset at. */
enum err log_arrive(struct log *l, struct where in, const struct hash *hash, uint64_t at,
		    uint32_t len) MUST_USE;
/* log_dots.c */
struct log_dots { /* of one bundle's records, in its order */
	const struct dot *at;
	uint32_t count;
	struct where in;
};
/* The bundle that the record was applied from. */
bool log_dots_find(struct log *l, struct dot dot, struct where *ret);
bool log_dots_suspect(const struct log *l, struct dot dot, uint64_t inc);
enum err log_dots_note(struct log *l, enum table t, const struct log_dots *d) MUST_USE;
/* Own records are in a bundle of this device now. */
enum err log_dots_own(struct log *l, const struct log_dots *d) MUST_USE;
enum err log_dots_again(struct log *l, struct dot dot, struct where in) MUST_USE;
/* Whether the author of a bundle with that vector can have known of all that the record refers to.
 */
bool log_dots_known(struct log *l, const struct bundle *b, const struct record *r);
void log_dots_load(struct log *l);
/* log_accept.c */
/* What an incarnation follows, also while rebuilding, before it is met again; zeros: nothing. */
struct where log_follows(const struct log *l, uint64_t inc);
void log_accept_fini(struct log *l);
/* Whether bundle seq of i, with that vector, is the next to apply and its causes are applied. */
bool log_causes_applied(const struct log *l, const struct log_inc *i, uint64_t seq,
			const struct vector *vec);
/* Note that a bundle is held and not applied: takes no reference it does not make.  ERR_FULL. */
enum err log_set_aside(struct log *l, const struct log_unapplied *u) MUST_USE;
enum err log_load_unapplied(struct log *l) MUST_USE;
/* Records of b, which the view doubts, were applied: *stray if the view is to be made again. */
enum err log_look_back(struct log *l, struct step *s, const struct bundle *b, bool *stray) MUST_USE;
/* Join vec to what the bundles of an incarnation had seen. */
enum err log_raise(const struct vector **top, const struct vector *vec) MUST_USE;

#endif
