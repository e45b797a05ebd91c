/* SPDX-License-Identifier: MIT */
/*
 * admit.h - how devices come into a folder: invitations given out, used, and asked for; admins'
 * acts
 *
 * Rows: TABLE_STATE 't' token hash -> secret, role, expiry: invitations of this device
 */
#ifndef ADMIT_H
#define ADMIT_H

#include "core/spread.h"

/* Remember an invitation (EV_INVITE).  ERR_REFUSED: only admins invite. */
enum err admit_invite(struct step *s, struct roster *r, const struct device_id *self,
		      const struct event *ev) MUST_USE;
/* Somebody asks to join (EV_JOIN): a roster record in *record (to be added by the caller), or a
 * refusal has been sent and ERR_REFUSED comes back.  ERR_EXIST: it is a member already.  applied:
 * what this device has, which the newcomer then takes without asking (borrowed). */
enum err admit_join(struct step *s, struct roster *r, struct peer *from, const struct event *ev,
		    const struct vector *applied, struct wr *record) MUST_USE;
/* Ask to be let in (we_join). */
enum err admit_ask(struct step *s, const struct peer *to, const struct device_id *self,
		   const char *name) MUST_USE;
/* Replay of J_TOKEN. */
enum err admit_replay(struct step *s, struct bytes body) MUST_USE;
/* The founding record of a new folder, whose hash is the folder's id, and the record that holds its
 * first key for the founder. */
struct admit_seed {
	struct rng *rng;
	int64_t wall_ms;
};
struct admit_founding {
	struct wr record, keys; /* the caller's to free, on error too */
	struct folder_id folder;
};
enum err admit_found(const struct sign_pair *device, struct bytes device_name,
		     struct bytes folder_name, const struct admit_seed *seed,
		     struct admit_founding *ret) MUST_USE;

#endif
