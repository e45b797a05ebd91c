/* SPDX-License-Identifier: MIT */
/*
 * inbox.h - messages from the link become events of a folder's node
 *
 * Called on the loop's thread.  What is checked here, outside the lock: framing, signatures,
 * seals, names of pieces; a session that sends what does not hold is closed.
 */
#ifndef INBOX_H
#define INBOX_H

#include "sys/host.h"

void inbox_up(struct host *h, uint64_t session, const struct device_id *who, bool joining,
	      const uint8_t hash[NOISE_HASH]);
void inbox_message(struct host *h, uint64_t session, struct bytes message);
void inbox_down(struct host *h, uint64_t session);

#endif
