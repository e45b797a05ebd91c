/* SPDX-License-Identifier: MIT */
/*
 * seats.h - who sits in the folder in which role, and what one roster record changes in that
 *
 * Devices and records are numbers here; core/roster gives them and decides the order.
 */
#ifndef SEATS_H
#define SEATS_H

#include "codec/member.h"

#define SEATS_NONE UINT32_MAX

struct seat { /* what is known of one device */
	enum role role;
	bool ever; /* it was a member once */
	uint32_t named, addr; /* records that say so, or SEATS_NONE */
};
#define SEAT_EMPTY ((struct seat){ROLE_NONE, false, SEATS_NONE, SEATS_NONE})
struct seats {
	struct seat *at; /* by device number; the owner's */
	uint32_t admins, members; /* members: ever */
};
struct seats_act { /* a record, and the numbers of whom it concerns */
	const struct member_record *m;
	uint32_t author, subject; /* subject SEATS_NONE: it has none */
};
bool seats_has_subject(uint8_t kind);
/* Whether the act, if it counts, limits what is accepted of its subject to its vector; as of now.
 */
bool seats_limits(const struct seats *s, const struct seats_act *a);
/* Whether the act's author may do it now. */
bool seats_allowed(const struct seats *s, const struct seats_act *a);
/* One record, in its turn; false: it is skipped. */
bool seats_apply(struct seats *s, const struct seats_act *a, uint32_t number);

/* Add keys to others; the first that tells an epoch's key tells it for good. */
void seats_keys_add(struct folder_keys *to, const struct folder_keys *from);
/* The keys in a box for this device, to be freed; NULL: none, or (*tried stays) no memory. */
struct folder_keys *seats_keys_open(const struct sign_pair *mine, struct bytes box, bool *tried);

#endif
