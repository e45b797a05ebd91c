/* SPDX-License-Identifier: MIT */
/*
 * extents.h - which bytes of a file being written stand where in the data log
 *
 * Rows TABLE_EXTENT work, last byte's offset -> first byte's offset, address.  Keyed by the last
 * byte, so that the extent over a byte is one search away.  Extents of a work never overlap;
 * neighbours that continue each other in the same segment of the log are one.
 */
#ifndef EXTENTS_H
#define EXTENTS_H

#include "core/step.h"

#define EXTENTS_SEGMENT_BYTES (64u << 20) /* of the data log; no extent crosses a segment's end */

struct extent {
	uint64_t off, len, addr;
};
struct extents;
struct extents *extents_new(struct kv *kv);
void extents_free(struct extents *x); /* accepts NULL */
enum err extents_load(struct extents *x) MUST_USE; /* counts live bytes again, from the rows */
/* [off, off + len) of work now stands at addr; what it covers is forgotten. */
enum err extents_put(struct extents *x, uint64_t work, struct extent e) MUST_USE;
/* Forget [off, end). */
enum err extents_cut(struct extents *x, uint64_t work, uint64_t off, uint64_t end) MUST_USE;
/* The first extent with a byte at or behind off; ERR_NOENT. */
enum err extents_find(struct extents *x, uint64_t work, uint64_t off, struct extent *ret) MUST_USE;
bool extents_in_use(const struct extents *x, uint64_t segment);
uint64_t extents_live(const struct extents *x); /* bytes */

#endif
