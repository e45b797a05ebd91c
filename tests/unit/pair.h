/* SPDX-License-Identifier: MIT */
/*
 * pair.h - two nodes of one folder and their hands, for unit tests
 *
 * What sys/host is in the daemon, without files, threads and sockets: the journal is a byte
 * buffer, sealing is done at once (or when the test says so), messages wait in one queue until
 * pair_run().  Time stands still but for pair_wait().  Everything that cannot happen fails the
 * running test.
 */
#ifndef PAIR_H
#define PAIR_H

#include "core/node.h"

#define PAIR_CHUNK (16u << 10) /* its sealer cuts at multiples of this */
#define PAIR_HELD_MAX 16
#define PAIR_WOKEN_MAX 64

struct pair;
struct pair_frame { /* of the journal */
	size_t at, len;
	struct hash digest; /* of the view after it, when frames are watched */
	struct kv *rows; /* copy of the rows after it, when frames are watched */
};
struct pair_piece { /* in the packs */
	struct hash name;
	uint64_t addr;
	uint32_t len;
	uint8_t kind;
};
struct pair_woken { /* of ACT_READ_AGAIN */
	uint64_t tag;
	enum err err;
};
struct side {
	struct pair *pair;
	struct node_config config;
	struct node *node; /* NULL: stopped */
	struct kv *kv;
	struct wr journal, data, packs;
	struct pair_frame *frames;
	uint32_t frames_count, frames_room;
	uint32_t rebuilt; /* times that the view was made again */
	struct pair_piece *pieces;
	uint32_t pieces_count, pieces_room;
	bool watch; /* keep digest and rows of each frame */
	bool hold_seals, hold_bundles, deaf; /* deaf: messages to it are lost */
	uint64_t works[PAIR_HELD_MAX]; /* of held ACT_SEALs */
	uint32_t works_count;
	uint8_t *bundle; /* of the held ACT_BUNDLE */
	size_t bundle_len;
	uint64_t bundle_seq;
	struct pair_woken woken[PAIR_WOKEN_MAX];
	uint32_t woken_count;
	uint32_t did[ACT_REPORT + 1]; /* how often each action came out */
	enum refuse_code refused; /* of ACT_REFUSED */
	enum err last; /* of the last message delivered to it */
};
struct pair_message {
	struct side *to;
	uint8_t *at;
	size_t len;
};
struct pair {
	struct side a, b;
	uint64_t now; /* usec */
	uint64_t session; /* 0: not linked */
	uint64_t sessions;
	uint32_t seeds; /* numbers given out, for seeds and nonces */
	struct pair_message *queue;
	uint32_t queue_count, queue_room;
};

/* A founds a folder and B is let in with that role; ROLE_NONE: it stays outside. */
void pair_init(struct pair *p, enum role role);
void pair_fini(struct pair *p);
struct side *pair_other(struct side *s);
void pair_link(struct pair *p); /* a session between members; nothing is delivered yet */
void pair_link_to_join(struct pair *p, const uint8_t secret[32]); /* B asks A */
void pair_unlink(struct pair *p);
bool pair_run_one(struct pair *p); /* deliver the oldest message; false: none is on its way */
/* Deliver until nothing is on its way and nothing is to be done at once. */
void pair_run(struct pair *p);
void pair_wait(struct pair *p, uint64_t usec); /* time passes; what is due is ticked; no delivery */
void pair_forget(struct pair *p); /* what is on its way is lost */
void pair_send(struct side *to, struct bytes message); /* as if the other had sent it */

void pair_stop(struct side *s); /* as kill -9 would */
void pair_start(struct side *s, bool clean); /* from journal and packs alone */
/* A node on fresh rows (or on a copy of those of frame from - 1) that replays frames [from, to). */
struct node *pair_replay(struct side *s, uint32_t from, uint32_t to, struct kv *kv);
enum err pair_replay_open(void *side, struct bytes raw, struct bundle **ret);
struct kv *pair_rows_copy(struct kv *from);

enum err pair_step(struct side *s, struct event *ev);
void pair_seal_now(struct side *s); /* the held works, in order */
void pair_seal_fails(struct side *s, enum err e);
void pair_bundle_now(struct side *s, enum err e);

enum err pair_make(struct side *s, const char *name,
		   struct inode_id *ret); /* a file, in the root */
enum err pair_mkdir(struct side *s, const char *name, struct inode_id *ret);
uint64_t pair_open(struct side *s, struct inode_id i, bool write);
enum err pair_close(struct side *s, uint64_t file, bool write);
enum err pair_write(struct side *s, uint64_t file, uint64_t off, struct bytes data);
enum err pair_truncate(struct side *s, uint64_t file, uint64_t size);
enum err pair_rename(struct side *s, const char *from, const char *to);
enum err pair_unlink_name(struct side *s, const char *name);
/* Bytes of an open file, appended to w; tag as in EV_READ. */
enum err pair_read(struct side *s, uint64_t file, uint64_t off, uint32_t len, uint64_t tag,
		   struct wr *w);
/* A file of that name, with that content, closed. */
struct inode_id pair_put(struct side *s, const char *name, struct bytes content);
enum err pair_lookup(struct side *s, const char *name, struct shown *ret);
uint32_t pair_entries(struct side *s); /* names shown in the root */
void pair_digest(struct side *s, struct hash *ret);
void pair_same(struct pair *p); /* both show the same tree, or the test fails */

/* The raw bundle of an action's head and body, sealed and signed. */
uint8_t *pair_raw_bundle(const struct seal_keys *keys, const struct sign_pair *device,
			 const struct action *a, size_t *len);

/* ---- pairhands.c: for pair.c ---- */

void *pair_grown(void *at, uint32_t count, uint32_t *room, size_t size); /* room for one more */
uint64_t pair_pack(struct side *s, uint8_t kind, const struct hash *name, struct bytes sealed);
enum err pair_open_piece(struct side *s, struct bytes sealed, enum seal_kind kind, struct wr *w);
void pair_read_piece(struct side *s, const struct piece *p, struct wr *w);
void pair_seal_work(struct side *s, uint64_t work);

#endif
