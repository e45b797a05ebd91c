/* SPDX-License-Identifier: MIT */
/*
 * flow.h - messages to sealed frames and back: two classes, no sockets
 *
 * A frame: length u16 (big-endian, of the sealed rest), sealed: class u8, flags u8 (1: more of
 * this message follows), part of a message.
 */
#ifndef FLOW_H
#define FLOW_H

#include "codec/noise.h"
#include "codec/wire.h"

#define FLOW_CLASSES 2 /* 0 goes before 1 */
#define FLOW_HEAD 2 /* class and flags */
#define FLOW_OVERHEAD (2 + FLOW_HEAD + NOISE_TAG)
#define FLOW_PART_MAX (NOISE_MESSAGE_MAX - FLOW_HEAD - NOISE_TAG)
#define FLOW_FRAME_MAX (2 + NOISE_MESSAGE_MAX)
#define FLOW_BATCH (4 * FLOW_FRAME_MAX) /* what is sealed ahead of one write */
#define FLOW_KEEP_BYTES (1u << 20) /* a larger assembly buffer is not kept between messages */

struct flow_item {
	struct flow_item *next;
	uint8_t *bytes; /* owned */
	size_t len, sent;
};
struct flow_queue {
	struct flow_item *first, *last;
};
void flow_push(struct flow_queue *q, struct flow_item *take);
void flow_splice(struct flow_queue *to, struct flow_queue *from); /* from becomes empty */
void flow_clear(struct flow_queue *q); /* frees all */

struct flow_out {
	struct noise_cipher cipher;
	struct flow_queue queue[FLOW_CLASSES];
	bool ping_due, pong_due; /* at most one of each waits, so a peer cannot heap them up */
	uint64_t ping, pong;
};
/*
 * Seal frames into out, class 0 first, as many as fit; returns the bytes written, 0: nothing to
 * send.  *freed: bytes of messages that are done with.  room: at least FLOW_FRAME_MAX.
 */
size_t flow_fill(struct flow_out *f, uint8_t *out, size_t room, size_t *freed);
bool flow_waiting(const struct flow_out *f);

struct flow_in {
	struct noise_cipher cipher;
	struct flow_part {
		uint8_t *at;
		size_t len, room;
		bool open; /* a message of that class has begun */
	} part[FLOW_CLASSES];
};
/*
 * Open one frame, in place.  A message that it completes is handed out in *message, borrowed until
 * the next call and as long as the frame's bytes are; else *message is empty.  ERR_FORGED,
 * ERR_MALFORMED, ERR_NOMEM.
 */
enum err flow_take(struct flow_in *f, uint8_t *sealed, size_t len, struct bytes *message) MUST_USE;
void flow_in_trim(struct flow_in *f); /* give back memory no message is using */
void flow_in_fini(struct flow_in *f);

#endif
