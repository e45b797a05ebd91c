/* SPDX-License-Identifier: MIT */
/*
 * roster.h - who is in the folder, in which role: the signed records of admins, and what they add
 * up to
 *
 * Records form a graph by their parents.  What they mean is a pure function of the set held: they
 * are taken in one order (parents first, among the ready ones by the hash), each judged by the
 * roles at that moment; what its author had no right to say is kept and skipped.
 */
#ifndef ROSTER_H
#define ROSTER_H

#include "codec/member.h"
#include "core/kv.h"

#define ROSTER_ADDR_MAX 256

struct roster;
struct roster_member {
	struct device_id device;
	enum role role; /* ROLE_NONE: removed or retired */
	char name[MEMBER_NAME_MAX + 1];
	char addr[ROSTER_ADDR_MAX];
};

/* Rows TABLE_ROSTER in kv: number (order of arrival) -> record.  NULL: no memory. */
struct roster *roster_new(struct kv *kv, const struct folder_id *folder,
			  const struct sign_pair *device);
void roster_free(struct roster *r);
enum err roster_load(struct roster *r) MUST_USE; /* from rows, after a start */
/* Take one record (bytes copied).  *fresh: it was not held before.  ERR_MALFORMED, ERR_FORGED: the
 * sender lies; ERR_AGAIN: a parent is missing; ERR_FULL, ERR_NOMEM. */
enum err roster_add(struct roster *r, struct bytes record, bool *fresh) MUST_USE;
/* All records, parents first: i from 0; false at the end.  Borrowed until the next add. */
bool roster_record(struct roster *r, uint32_t i, struct bytes *ret);
void roster_digest(const struct roster *r, struct hash *ret); /* of the set of heads */
/* What this device's bundles name: the last record in the one order by which it has its present
 * role and which knows of all that limits it, if there is such a one. */
void roster_head(const struct roster *r, struct hash *ret);
/* The last by which this device may write: what the rest is published under when it may no more. */
void roster_head_writing(struct roster *r, struct hash *ret);
bool roster_has(const struct roster *r, const struct hash *record);
/* The role of a device by the records that head (a record held) and its ancestors are: what the
 * author of a bundle had when it named that head.  Results are cached. */
enum role roster_role_at(struct roster *r, const struct hash *head, const struct device_id *d);
enum role roster_role(const struct roster *r, const struct device_id *d); /* now */
const struct roster_member *roster_find(const struct roster *r, const struct device_id *d);
uint32_t roster_count(const struct roster *r); /* members ever, removed ones too */
const struct roster_member *roster_at(const struct roster *r, uint32_t i);
/*
 * How many bundles of an incarnation of device d the roster accepts; UINT64_MAX: all.  born: the
 * head that its first bundle names.  A record that removes, retires or rejects the device, or takes
 * its right to write, limits every incarnation that began without knowing of it to what the
 * record's author had applied: so one that comes back begins a new incarnation, and nothing that
 * it wrote unseen is accepted as if nothing had happened.
 */
uint64_t roster_limit(struct roster *r, const struct device_id *d, const struct hash *born,
		      uint64_t inc);
/* How many bundles of an incarnation the vectors of such records vouch for, and those that accept
 * what a brake held; with welcome also those of admissions: a new member begins with what the
 * members had. */
uint64_t roster_granted(const struct roster *r, uint64_t inc, bool welcome);
/* Whether held has all that the records which limit somebody vouch for: of such devices nothing
 * else that counts is to come. */
bool roster_covered(const struct roster *r, const struct vector *held);
bool roster_name(const struct roster *r, char name[MEMBER_NAME_MAX + 1]); /* the folder's */
/* Whether an invitation's token (hash of its secret) was used by an ADD record. */
bool roster_token_used(const struct roster *r, const struct hash *token);
/* Folder keys this device can open from boxes meant for it; false: none. */
bool roster_keys(struct roster *r, struct folder_keys *ret);
/* Append a new record by this device, signed, with the present heads as parents, to w.  It is not
 * taken yet: roster_add() it.  m: kind, subject, role, epoch, name, text, box, token, vec. */
enum err roster_write(struct roster *r, const struct member_record *m, int64_t wall_ms,
		      struct wr *w) MUST_USE;
/* A box with all folder keys for a device. */
enum err roster_box(struct roster *r, const struct device_id *to, const uint8_t seed[32],
		    struct wr *w) MUST_USE;

#endif
