/* SPDX-License-Identifier: MIT */
/*
 * hostile.h - replicas of a folder, and members that write into it whatever a program tells them
 *
 * For fuzz_node.c: nodes with their journals and without disks or threads; members that are no
 * nodes, but keys with which bundles are signed.  Everything that cannot happen ends the program.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "core/node.h"
#include "core/step.h"

#define MEMBERS 3
#define BUNDLES_MAX 64 /* of one member */
#define THINGS_MAX 128
#define JOURNAL_MAX 512
#define SESSION 7

struct thing { /* something that a record may refer to */
	struct inode_id inode;
	uint8_t type;
	struct where in; /* member, bundle */
	struct name_id name;
	struct dot version; /* of a file: the last */
	uint64_t version_t, version_seq, version_sees[MEMBERS];
	bool named;
	struct place at;
	uint8_t letters[4];
};
struct member {
	struct sign_pair pair;
	uint64_t nonce, inc, seq, op, t;
	struct hash prev;
	uint64_t sees[MEMBERS], told[MEMBERS]; /* bundles of the others, now and in the last one */
	struct wr body;
	struct wr bundles[BUNDLES_MAX];
};
struct frame {
	uint64_t at, len;
};
struct replica {
	struct kv *kv;
	struct node *node;
	struct wr journal;
	struct frame frames[JOURNAL_MAX];
	uint32_t frames_count;
	uint64_t now;
};
struct world {
	struct node_config config;
	struct hash head;
	struct seal_keys keys;
	struct wr founding;
	struct member members[MEMBERS];
	struct thing things[THINGS_MAX];
	uint32_t count;
	struct replica a;
	bool honest, local;
	struct rd in;
};

enum err hostile_open_bundle(void *arg, struct bytes raw, struct bundle **ret);
enum err hostile_step(struct world *w, struct replica *r, struct event *ev);
void hostile_open(struct world *w, struct replica *r);
void hostile_start(struct world *w, struct replica *r);
void hostile_close(struct replica *r);
struct hash hostile_digest_of(struct replica *r);
void hostile_found(struct world *w);
bool hostile_sees(const struct world *w, const struct member *m, struct where in);
struct where hostile_current(const struct world *w, const struct member *m);
enum err hostile_feed(struct world *w, struct replica *r, struct bytes raw);
void hostile_publish(struct world *w, struct member *m);
void hostile_meet(struct world *w, struct member *m, struct member *other);

#endif
