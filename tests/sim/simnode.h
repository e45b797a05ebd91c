/* SPDX-License-Identifier: MIT */
/*
 * simnode.h - the owner of one struct node: journal, actions, messages, life and death
 */
#ifndef SIMNODE_H
#define SIMNODE_H

#include "world.h"

void simnode_found(struct simnode *n); /* the first device of a new folder */
void simnode_start(struct simnode *n); /* from disk, as after any stop */
enum simnode_end { SIMNODE_KILL, SIMNODE_POWER, SIMNODE_CLEAN };
void simnode_end(struct simnode *n, enum simnode_end how);
void simnode_stop(struct simnode *n); /* ask for a clean stop; it ends when the node is idle */
void simnode_sync(struct simnode *n);
void simnode_image(struct simnode *n); /* of its disk, while it runs */
void simnode_restore(struct simnode *n, uint64_t len); /* it goes down; up again after len */
void simnode_repair(struct simnode *n); /* what is rotten on its disk */
bool simnode_is_rotten(const struct simnode *n, const struct hash *name);
void simnode_space(struct simnode *n); /* its disk has room again */
void simnode_free(struct simnode *n);
void simnode_commit(struct simnode *n); /* the index commits its rows */
enum err simnode_step(struct simnode *n, struct event *ev);
/* Whether ERR_ROFS is an answer that may be: it is, or may have become, a reader, or what it does
 * has just been rejected. */
bool simnode_may_lack(const struct simnode *n);
void simnode_timer(struct simnode *n, struct timer *t);

#endif
