/* SPDX-License-Identifier: MIT */
/*
 * fetch.h - which sealed pieces we lack, who is asked for each, and who waits for them
 *
 * A piece is wanted once however many wait.  What a reader waits for goes ahead of what is
 * fetched ahead of it.  A peer that says NO, goes away or does not answer in FETCH_ASK_USEC is
 * followed by another; when none is left the piece has failed, and all who wait are told.
 */
#ifndef FETCH_H
#define FETCH_H

#include "core/step.h"

#define FETCH_ASK_USEC (10u * 1000 * 1000) /* silence after which another peer is asked */
#define FETCH_WANTS_MAX 65536
#define FETCH_TRIED_MAX 64

struct fetch;
enum waiter_kind { WAITER_NONE = 0, WAITER_READ, WAITER_WORK };
struct waiter {
	enum waiter_kind kind;
	uint64_t id; /* tag of a parked read, number of a work */
};
struct fetch_hooks {
	void *arg;
	/* A piece that w waited for is here (ERR_OK) or cannot be had (ERR_UNREACHABLE). */
	void (*settled)(void *arg, struct step *s, struct waiter w, enum err err);
};
struct fetch *fetch_new(const struct fetch_hooks *hooks);
void fetch_free(struct fetch *f); /* accepts NULL */

void fetch_up(struct fetch *f, uint64_t peer); /* a member's session that may be asked */
void fetch_down(struct fetch *f, uint64_t peer);
uint32_t fetch_peers(const struct fetch *f);
/* Want a piece; wanting it again adds a waiter and may raise its urgency.  ERR_FULL, ERR_NOMEM. */
enum err fetch_want(struct fetch *f, const struct missing *m, bool demand,
		    struct waiter w) MUST_USE;
void fetch_leave(struct fetch *f, struct waiter w); /* no longer waits for anything */
void fetch_arrived(struct fetch *f, struct step *s, const struct hash *name); /* stored here */
void fetch_no(struct fetch *f, struct step *s, uint64_t peer, const struct hash *name);
bool fetch_expects(const struct fetch *f, uint64_t peer, const struct hash *name, uint8_t *kind);
/* Ask for what can be asked now (ACT_SEND of WANT messages); gives up on silent peers. */
enum err fetch_pump(struct fetch *f, struct step *s) MUST_USE;
uint64_t fetch_deadline(const struct fetch *f); /* when to pump although nothing happened */
uint32_t fetch_count(const struct fetch *f);

#endif
