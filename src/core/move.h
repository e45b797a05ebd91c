/* SPDX-License-Identifier: MIT */
/* move.h - rename, exchange and removal of entries (merge.md section 3) */
#ifndef MOVE_H
#define MOVE_H

#include "core/pin.h"

/* Take away a shown non-directory, but being about to move over it. */
void move_remove(struct op *op, const struct showing *s, const struct but *but);
void move_remove_dir(struct op *op, const struct showing *s);
bool move_dir_empty(struct op *op, struct inode_id dir);
/* s to place at; t: what is there, or NULL.  All checks are done by the caller. */
void move_file(struct op *op, const struct showing *s, const struct showing *t,
	       const struct place *at);
void move_dir(struct op *op, const struct showing *s, const struct showing *t,
	      const struct place *at);
void move_exchange(struct op *op, const struct showing *s, const struct showing *t);
/* Whether shown directory dir is below, or is, the directory s. */
bool move_within(struct op *op, const struct showing *s, struct inode_id dir);

#endif
