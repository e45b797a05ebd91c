// SPDX-License-Identifier: MIT
/*
 * seats.c - what one roster record changes, and who may say it
 *
 * These are all the rules about roles; the order in which records come is core/roster's.
 *
 * I1  the founding record, the first, makes its subject admin; from then on there is an admin
 */
#include "core/seats.h"
#include <stdlib.h>

bool seats_has_subject(uint8_t kind)
{
	return kind >= MEMBER_FOUND && kind <= MEMBER_REJECT;
}

static bool by_admin(const struct seats *s, const struct seats_act *a)
{
	return s->at[a->author].role == ROLE_ADMIN;
}

/* Whether taking away subject's role would leave no admin. */
static bool last_admin(const struct seats *s, uint32_t subject)
{
	return s->at[subject].role == ROLE_ADMIN && s->admins == 1;
}

bool seats_allowed(const struct seats *s, const struct seats_act *a)
{
	enum role role = a->subject == SEATS_NONE ? ROLE_NONE : s->at[a->subject].role;

	switch (a->m->kind) {
	case MEMBER_FOUND:
		return s->members == 0;
	case MEMBER_ADD:
		return by_admin(s, a) && (s->at[a->subject].ever || s->members < MEMBERS_MAX);
	case MEMBER_ROLE:
		return by_admin(s, a) && role != ROLE_NONE &&
		       (a->m->role == ROLE_ADMIN || !last_admin(s, a->subject)); /* I1 */
	case MEMBER_REMOVE:
		return by_admin(s, a) && role != ROLE_NONE && !last_admin(s, a->subject);
	case MEMBER_RETIRE:
		return (by_admin(s, a) || a->author == a->subject) && role != ROLE_NONE &&
		       !last_admin(s, a->subject);
	case MEMBER_KEYS:
		return by_admin(s, a);
	case MEMBER_ADDR:
		return role != ROLE_NONE;
	case MEMBER_ACCEPT: /* whoever made a mass change must not be the one to wave it through */
	case MEMBER_REJECT:
		return s->at[a->author].role >= ROLE_WRITER && a->author != a->subject &&
		       role != ROLE_NONE;
	default:
		return false;
	}
}

bool seats_limits(const struct seats *s, const struct seats_act *a)
{
	switch (a->m->kind) {
	case MEMBER_REMOVE:
	case MEMBER_RETIRE:
	case MEMBER_REJECT:
		return true;
	case MEMBER_ROLE:
		return a->m->role < ROLE_WRITER && s->at[a->subject].role >= ROLE_WRITER;
	default:
		return false;
	}
}

static void set_role(struct seats *s, uint32_t device, enum role role)
{
	struct seat *seat = &s->at[device];

	s->admins -= seat->role == ROLE_ADMIN;
	s->admins += role == ROLE_ADMIN;
	seat->role = role;
}

/* A second ADD of a present member says no more than its keys. */
static void join(struct seats *s, const struct seats_act *a, uint32_t number)
{
	struct seat *seat = &s->at[a->subject];

	if (seat->role != ROLE_NONE)
		return;
	s->members += !seat->ever;
	seat->ever = true;
	seat->named = number;
	set_role(s, a->subject, a->m->kind == MEMBER_FOUND ? ROLE_ADMIN : (enum role)a->m->role);
}

bool seats_apply(struct seats *s, const struct seats_act *a, uint32_t number)
{
	if (!seats_allowed(s, a))
		return false;
	switch (a->m->kind) {
	case MEMBER_FOUND:
	case MEMBER_ADD:
		join(s, a, number);
		return true;
	case MEMBER_ROLE:
		set_role(s, a->subject, (enum role)a->m->role);
		return true;
	case MEMBER_REMOVE:
	case MEMBER_RETIRE:
		set_role(s, a->subject, ROLE_NONE);
		return true;
	case MEMBER_ADDR:
		s->at[a->subject].addr = number;
		return true;
	default:
		return true;
	}
}

void seats_keys_add(struct folder_keys *to, const struct folder_keys *from)
{
	for (uint32_t k = 0; k < from->count; k++) {
		uint32_t at = 0;
		while (at < to->count && to->at[at].epoch < from->at[k].epoch)
			at++;
		bool there = at < to->count && to->at[at].epoch == from->at[k].epoch;
		if (there || to->count == FOLDER_EPOCHS_MAX)
			continue;
		memmove(&to->at[at + 1], &to->at[at], (to->count - at) * sizeof(to->at[0]));
		to->at[at] = from->at[k];
		to->count++;
	}
}

struct folder_keys *seats_keys_open(const struct sign_pair *mine, struct bytes box, bool *tried)
{
	uint8_t plain[MEMBER_BOX_MAX];
	struct folder_keys *k = malloc(sizeof(*k));

	if (!k)
		return NULL;
	*tried = true;
	if (box.len >= BOX_OVERHEAD && box.len <= MEMBER_BOX_MAX &&
	    !seal_box_open(mine, box, plain) &&
	    !folder_keys_decode((struct bytes){plain, box.len - BOX_OVERHEAD}, k))
		return k;
	free(k);
	return NULL;
}
