/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what must hold: after each step, after each restart, and at the end
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "world.h"

/* A sum that tells contents apart: of our own making, so it need not be hard to forge. */
void oracle_sum(struct bytes of, struct hash *ret);
/* hash_blake() of a sealed piece, worked out once for each in a world: it is most of what real
 * devices do, and all of them do it. */
void oracle_name(struct world *w, struct bytes sealed, struct hash *ret);
void oracle_init(struct world *w);
void oracle_fini(struct world *w);
void oracle_step(struct simnode *n);
void oracle_changed(struct simnode *n, const struct change *c); /* the kernel is told so */

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
bool oracle_honest(const struct world *w, uint64_t inc); /* made by an honest device */
uint32_t oracle_bundles(const struct world *w); /* that honest devices have made */
/* A bundle that a liar made up.  Any record of others that it holds, for it to refer to, or also of
 * those that it does not (forks): these have views differ, which is known.  False: none. */
void oracle_lie(struct simnode *n, struct bytes raw);
bool oracle_any_record(const struct simnode *n, struct dot *dot, struct inode_id *inode);
void oracle_synced(struct simnode *n);
void oracle_power_cut(struct simnode *n); /* after its disk lost what it lost */
void oracle_gone(struct simnode *n); /* it died before a step's journal was appended */
void oracle_cut_off(struct simnode *n); /* it went down; its journal ends where it ends */
void oracle_image(struct simnode *n); /* an image of its disk is made */
void oracle_restored(struct simnode *n); /* and has been put back */
void oracle_audit(struct simnode *n); /* what is otherwise looked at now and then */
void oracle_ends(struct simnode *n, bool clean);
/* After replay, and once it has started (last): what is accepted may have to be applied anew. */
void oracle_started(struct simnode *n, bool last);
/* Nothing that was removed is remembered, and all know the same inodes. */
bool oracle_forgotten(struct world *w);
void oracle_end(struct world *w); /* all has converged */

#endif
