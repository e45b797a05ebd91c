// SPDX-License-Identifier: MIT
/*
 * flow.c - messages to sealed frames and back
 *
 * Sealed bytes cannot be reordered, since each takes the next nonce; so what is urgent must be
 * chosen before sealing, and little may be sealed ahead of a write (FLOW_BATCH).
 *
 * A message's bytes are sealed straight from where they lie.  A frame's plaintext begins with two
 * header bytes: for all frames of a message but its first, they are written over the two bytes
 * before the part, which have been sent already and belong to us.  Only the first part is copied.
 *
 * I1  frames of one class do not interleave: a new message starts when the last has ended
 * I2  no assembly grows beyond WIRE_BYTES_MAX
 * I3  a frame that is not the last of its message carries at least one byte, so no peer can send
 *     frames for ever without reaching I2
 *
 * Loop thread only, but for the queue calls, which work under their owner's lock.
 */
#include "sys/flow.h"
#include <stdlib.h>

#define FLAG_MORE 1
#define SLIVER 4096 /* no frame is cut this small just because a batch ends */

void flow_push(struct flow_queue *q, struct flow_item *take)
{
	take->next = NULL;
	if (q->last)
		q->last->next = take;
	else
		q->first = take;
	q->last = take;
}

void flow_splice(struct flow_queue *to, struct flow_queue *from)
{
	if (!from->first)
		return;
	if (to->last)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	*from = (struct flow_queue){0};
}

static void pop(struct flow_queue *q)
{
	struct flow_item *i = q->first;

	q->first = i->next;
	if (!q->first)
		q->last = NULL;
	free(i->bytes);
	free(i);
}

void flow_clear(struct flow_queue *q)
{
	while (q->first)
		pop(q);
}

bool flow_waiting(const struct flow_out *f)
{
	return f->ping_due || f->pong_due || f->queue[0].first || f->queue[1].first;
}

static void put_length(uint8_t *out, size_t sealed)
{
	out[0] = (uint8_t)(sealed >> 8);
	out[1] = (uint8_t)sealed;
}

/* 2^64 frames are never sent, so a used-up nonce is our bug. */
static void seal(struct flow_out *f, struct bytes plain, uint8_t *out)
{
	put_length(out, plain.len + NOISE_TAG);
	enum err e = noise_seal(&f->cipher, plain, out + 2);
	assert(!e);
}

static size_t fill_number(struct flow_out *f, uint8_t type, uint64_t number, uint8_t *out)
{
	uint8_t plain[FLOW_HEAD + 9] = {0, 0, type};

	for (size_t k = 0; k < 8; k++)
		plain[FLOW_HEAD + 1 + k] = (uint8_t)(number >> (8 * k));
	seal(f, BYTES_OF(plain), out);
	return 2 + sizeof(plain) + NOISE_TAG;
}

/* One frame of the first message of a class; 0 if it would be cut to a sliver. */
static size_t fill_frame(struct flow_out *f, uint8_t class, uint8_t *out, size_t room)
{
	struct flow_item *i = f->queue[class].first;
	size_t rest = i->len - i->sent;

	if (room < FLOW_OVERHEAD + MIN(rest, (size_t)SLIVER))
		return 0;
	size_t part = MIN(MIN(rest, (size_t)FLOW_PART_MAX), room - FLOW_OVERHEAD);
	const uint8_t head[FLOW_HEAD] = {class, part < rest ? FLAG_MORE : 0};
	uint8_t *plain = out + 2;
	if (i->sent >= FLOW_HEAD) {
		plain = i->bytes + i->sent - FLOW_HEAD;
	} else if (part) {
		memcpy(plain + FLOW_HEAD, i->bytes + i->sent, part);
	}
	memcpy(plain, head, FLOW_HEAD);
	seal(f, (struct bytes){plain, FLOW_HEAD + part}, out);
	i->sent += part;
	return FLOW_OVERHEAD + part;
}

size_t flow_fill(struct flow_out *f, uint8_t *out, size_t room, size_t *freed)
{
	const struct flow_item *first = f->queue[0].first;
	size_t at = 0;

	*freed = 0;
	assert(room >= FLOW_FRAME_MAX);
	if ((f->ping_due || f->pong_due) && (!first || first->sent == 0)) { /* I1 */
		if (f->pong_due)
			at += fill_number(f, WIRE_PONG, f->pong, out + at);
		if (f->ping_due)
			at += fill_number(f, WIRE_PING, f->ping, out + at);
		f->ping_due = f->pong_due = false;
	}
	for (uint8_t class = 0; class < FLOW_CLASSES; class ++) {
		struct flow_queue *q = &f->queue[class];
		while (q->first) {
			size_t n = fill_frame(f, class, out + at, room - at);
			if (n == 0)
				return at;
			at += n;
			if (q->first->sent == q->first->len) {
				*freed += q->first->len;
				pop(q);
			}
		}
	}
	return at;
}

/* ---- incoming ---- */

static enum err grow(struct flow_part *p, size_t more)
{
	size_t need = p->len + more;

	if (need > WIRE_BYTES_MAX)
		return fail(ERR_MALFORMED); /* I2 */
	if (need <= p->room)
		return ERR_OK;
	size_t room = MIN(MAX(need, p->room * 2), (size_t)WIRE_BYTES_MAX);
	uint8_t *at = realloc(p->at, room);
	if (!at)
		return fail(ERR_NOMEM);
	p->at = at;
	p->room = room;
	return ERR_OK;
}

static void part_reset(struct flow_part *p)
{
	p->len = 0;
	p->open = false;
	if (p->room > FLOW_KEEP_BYTES) {
		free(p->at);
		*p = (struct flow_part){0};
	}
}

enum err flow_take(struct flow_in *f, uint8_t *sealed, size_t len, struct bytes *message)
{
	if (len < FLOW_HEAD + NOISE_TAG)
		return fail(ERR_MALFORMED);
	enum err e = noise_open(&f->cipher, (struct bytes){sealed, len}, sealed);
	if (e)
		return e;
	uint8_t class = sealed[0], flags = sealed[1];
	struct bytes part = {sealed + FLOW_HEAD, len - FLOW_HEAD - NOISE_TAG};
	if (class >= FLOW_CLASSES || (flags & ~FLAG_MORE) || part.len == 0)
		return fail(ERR_MALFORMED); /* I3 */
	struct flow_part *p = &f->part[class];
	if (!p->open)
		part_reset(p); /* the message handed out last is done with */
	*message = (struct bytes){NULL, 0};
	if (!p->open && !(flags & FLAG_MORE)) {
		*message = part;
		return ERR_OK;
	}
	e = grow(p, part.len);
	if (e)
		return e;
	memcpy(p->at + p->len, part.at, part.len);
	p->len += part.len;
	p->open = flags & FLAG_MORE;
	if (!p->open)
		*message = (struct bytes){p->at, p->len};
	return ERR_OK;
}

void flow_in_trim(struct flow_in *f)
{
	for (size_t k = 0; k < FLOW_CLASSES; k++)
		if (!f->part[k].open) {
			free(f->part[k].at);
			f->part[k] = (struct flow_part){0};
		}
}

void flow_in_fini(struct flow_in *f)
{
	for (size_t k = 0; k < FLOW_CLASSES; k++)
		free(f->part[k].at);
	*f = (struct flow_in){0};
}
