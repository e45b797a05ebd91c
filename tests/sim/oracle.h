/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what must hold: after each step, after each restart, and at the end
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "world.h"

void oracle_init(struct world *w);
void oracle_fini(struct world *w);
void oracle_step(struct simnode *n);

/* Plaintext of a chunk or manifest node by its id, whoever sealed it. */
void oracle_plain(struct world *w, enum seal_kind kind, const struct hash *id, struct bytes plain);
/* The bytes that a manifest stands for, appended; false: nobody ever sealed such pieces. */
bool oracle_content(struct world *w, struct bytes manifest, struct wr *ret);

void oracle_sealed(struct simnode *n, struct bytes manifest);
/* A program closed a file that it had written: this content has been acknowledged. */
void oracle_closed(struct simnode *n, struct inode_id inode, struct bytes content);
/* It takes away the last name, or writes on: what is not sealed yet need never be. */
void oracle_removed(struct simnode *n);
void oracle_bundle(struct simnode *n, struct bytes raw); /* an own one, before the node knows */
void oracle_synced(struct simnode *n);
void oracle_power_cut(struct simnode *n); /* after its disk lost what it lost */
void oracle_ends(struct simnode *n, bool clean);
void oracle_started(struct simnode *n); /* after replay */
void oracle_end(struct world *w); /* all has converged */

#endif
