/* SPDX-License-Identifier: MIT */
/* roster_impl.h - the inside of a roster, for roster.c and roster_ask.c alone */
#ifndef ROSTER_IMPL_H
#define ROSTER_IMPL_H

#include "base/map.h"
#include "core/roster.h"
#include "core/seats.h"
#include "core/tables.h"

#define ROSTER_RECORDS_MAX 16384
#define ROSTER_RECORDS_ADMIN (ROSTER_RECORDS_MAX - ROSTER_RECORDS_MAX / 4)
#define ROLES_CACHED 256
#define HEADS_TRIED 16

static_assert(ROSTER_ADDR_MAX > MEMBER_TEXT_MAX, "an address and its NUL");

struct record_held {
	struct hash hash;
	uint8_t *raw; /* owned */
	size_t len;
	struct member_record m; /* points into raw */
	uint32_t author, subject; /* device numbers; SEATS_NONE: it has no subject */
	uint32_t parents[MEMBER_PARENTS_MAX];
	uint32_t edge; /* first of the edges to its children; SEATS_NONE: none, so it is a head */
	bool counts; /* its author had the right to say it */
	bool limits; /* and it limits what is accepted of its subject */
	struct folder_keys *keys; /* of its box, if it is for us and was opened */
	bool tried;
};
struct edge {
	uint32_t child, next;
};
struct known_role {
	bool set;
	uint32_t record, device;
	enum role role;
};

struct roster {
	struct kv *kv;
	struct folder_id folder;
	struct sign_pair device;
	struct record_held *at;
	uint32_t count, room;
	struct edge *edges;
	uint32_t edges_count, edges_room;
	uint32_t heads;
	struct map *by_hash, *by_device; /* -> number u32 */
	uint32_t devices, devices_room;
	struct seats now, other; /* other: of a part, for one question */
	uint32_t *order; /* of all records, the one order */
	uint32_t *vecs, vecs_count; /* records that carry a vector */
	uint32_t *missing, *ready; /* while ordering: parents not yet taken; a heap */
	bool *part; /* while ordering: the records that take part */
	struct roster_member *members; /* by first appearance in the one order */
	uint32_t *member_of; /* device number -> place in members */
	struct known_role known[ROLES_CACHED];
	bool head_known;
	uint32_t head;
};

/* roster.c */
uint32_t roster_number(const struct map *m, const uint8_t id[32]); /* SEATS_NONE: unknown */
uint32_t roster_device(const struct roster *r, const struct device_id *d);
void roster_close_part(struct roster *r); /* completes part with the ancestors of its records */
void roster_work_out(struct roster *r, struct seats *s, bool whole); /* of part */
void roster_text_copy(char *to, size_t size, struct bytes from);
/* roster_ask.c */
uint32_t roster_heads(const struct roster *r, struct hash *ret, uint32_t max);

#endif
