/* SPDX-License-Identifier: MIT */
/*
 * users.h - programs on the mounts: one act at a time, and what each must see
 */
#ifndef USERS_H
#define USERS_H

#include "world.h"

void users_act(struct simnode *n, enum item_kind kind); /* somebody does something there */

#endif
