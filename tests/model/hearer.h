/* SPDX-License-Identifier: MIT */
/*
 * hearer.h - a node that only hears: it founded the folder, members write in it
 *
 * The folder and its members are made once (struct folder); a hearer is a node on fresh rows that
 * is fed signed bundles and records of the roster, and makes its view again when it wants to.
 * Everything that cannot happen ends the program.
 */
#ifndef HEARER_H
#define HEARER_H

#include "core/node.h"

#define AUTHORS 6 /* members A to F; their incarnations rise as their names do */
#define HEARER_WALL_MS INT64_C(1793000000000)

struct author {
	struct sign_pair pair;
	uint64_t nonce, inc, seq; /* seq: its last bundle that was made */
	struct hash prev; /* of that one */
	const struct vector *vec; /* of that one; owned */
};
struct folder {
	struct node_config config;
	struct author who[AUTHORS + 1]; /* the last only passes on what the others sign */
	struct seal_keys keys;
	struct hash head; /* of the roster, before any decision: what bundles name */
	struct hash decided; /* the last decision, or head */
	struct wr founding; /* journal payload */
};
struct hearer {
	const struct folder *folder;
	struct node_config config;
	struct kv *kv;
	struct node *node;
	struct wr journal;
	size_t *frames; /* where each ends */
	uint32_t frames_count, frames_room, rebuilt;
	uint64_t now;
	uint32_t warned; /* reports that an operator should read, but for the brake's */
	bool waited, braked; /* whether ever */
};

void folder_init(struct folder *f);
void folder_fini(struct folder *f);
/* Logs and decisions from the beginning. */
void folder_rewind(struct folder *f);
/* The next bundle of a member; its records encoded, and all that it had seen. */
void folder_bundle(struct folder *f, size_t who, struct bytes records, const struct vector *vec,
		   struct wr *raw);
/* What a word decides: kind and role.  False: there is no such decision. */
bool folder_decision(struct bytes word, struct member_record *ret);
/* A record of the founder's about a member, who knows of those before, as the message that brings
 * it. */
void folder_decide(struct folder *f, const struct member_record *what, size_t who,
		   struct wr *message);

void hearer_init(struct hearer *h, const struct folder *f, const struct brake_limits *brake);
void hearer_fini(struct hearer *h);
void hearer_bundle(struct hearer *h, struct bytes raw);
void hearer_roster(struct hearer *h, struct bytes message);

#endif
