/* SPDX-License-Identifier: MIT */
/*
 * users.h - programs on the mounts: one random act at a time, and what each must see
 */
#ifndef USERS_H
#define USERS_H

#include "world.h"

void users_act(struct world *w); /* somebody does something */
void users_read(struct simnode *n, uint64_t tag, enum err err); /* ACT_READ_AGAIN */
void users_close(struct simnode *n); /* close all that is open */
void users_forget(struct simnode *n); /* the node went down */
/* Read every file on every node, to the end: each must be what its version is. */
void users_read_all(struct world *w);
bool users_reading(const struct world *w);

#endif
