/* SPDX-License-Identifier: MIT */
/*
 * twins.h - two replicas of one folder in one process, without a network between them
 *
 * Both are whole: sys/host with its journal, its index on LMDB and real keys; B was let in by A's
 * invitation.  Bundles are taken from A's journal, where its outbox put them, and handed to B where
 * the loop hands on what a session brings: inbox_message() verifies, opens, decodes, steps (roster,
 * log, registers, view, index) and appends to the journal.  What fails ends the program.
 */
#ifndef TWINS_H
#define TWINS_H

#include "sys/host.h"

#define TWINS_SESSION 1 /* at each, of the other one */

struct twins { /* stays where it is: hosts point into it */
	struct host *a, *b; /* NULL: closed */
	uint64_t taken; /* arrival number of A's next bundle to take */
	struct sign_pair device[2];
	char dir[256], store[2][300];
};
struct twins_messages { /* wire messages of type bundle, in A's order */
	struct bytes *at; /* owned, with their bytes */
	uint32_t count, room;
	uint64_t bytes;
};

/* Stores are made in a new directory below scratch. */
void twins_init(struct twins *t, const char *scratch);
void twins_close(struct twins *t); /* both; their stores stay */
void twins_fini(struct twins *t); /* closes both and removes the stores */
void twins_step(struct host *h, struct event *ev);

/* A file has its name as content. */
struct inode_id twins_make(struct host *h, struct inode_id dir, const char *name,
			   enum inode_type type);
void twins_rename(struct host *h, const struct place *from, const struct place *to);
/* Cut what A has not published, and append all bundles that were not taken yet. */
void twins_take(struct twins *t, struct twins_messages *m);
void twins_give(struct twins *t, const struct twins_messages *m); /* to B */
void twins_messages_fini(struct twins_messages *m);
void twins_same(struct host *a,
		struct host *b); /* ends the program unless both show the same tree */
void twins_flush(struct host *h); /* wait until LMDB holds all rows */
uint64_t twins_inodes(struct host *h);

#endif
