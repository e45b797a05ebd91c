/* SPDX-License-Identifier: MIT */
/*
 * siminbox.h - what comes in over a session, on its way to the node
 */
#ifndef SIMINBOX_H
#define SIMINBOX_H

#include "world.h"

void siminbox_up(struct simnode *n, uint64_t peer, const struct simnode *other, bool joining);
void siminbox_down(struct simnode *n, uint64_t peer);
void siminbox_message(struct simnode *n, uint64_t peer, const struct queued *q);

#endif
