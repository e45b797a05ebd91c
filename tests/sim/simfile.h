/* SPDX-License-Identifier: MIT */
/*
 * simfile.h - open files of programs on one node: written, read back, read from afar
 */
#ifndef SIMFILE_H
#define SIMFILE_H

#include "tree.h"
#include "world.h"

void simfile_write(struct simnode *n, struct inode_id inode); /* open, write, perhaps close */
bool simfile_go_on(struct simnode *n); /* with one that was left open; false: there is none */
/* Read a file to its end, parked where bytes are absent; must: a failure fails the run. */
void simfile_read(struct simnode *n, const struct leaf *l, bool must);
void simfile_again(struct simnode *n, uint64_t tag, enum err err); /* ACT_READ_AGAIN */
void simfile_read_all(struct world *w); /* every file on every node */
bool simfile_reading(const struct world *w);
void simfile_prune(struct simnode *n); /* forget what is closed, once all is sealed */
void simfile_close_all(struct simnode *n);
void simfile_space(struct simnode *n); /* the disk has room: closes that waited go on */
void simfile_forget(struct simnode *n); /* the node went down */

#endif
