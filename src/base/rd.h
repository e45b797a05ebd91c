/* SPDX-License-Identifier: MIT */
/*
 * rd.h - a reading cursor with an end and a sticky "bad" flag
 *
 * Reading past the end gives zeros (or NULL) and sets bad; one check closes a decoder.
 * All integers are little-endian; rd_be64() is for keys, whose order is that of their bytes.
 */
#ifndef RD_H
#define RD_H

#include "base/bytes.h"

struct rd {
	const uint8_t *at, *end;
	bool bad;
};

static inline struct rd rd_of(struct bytes b)
{
	return (struct rd){.at = b.at, .end = b.len ? b.at + b.len : b.at};
}

static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->at);
}

/* The next len bytes, borrowed; NULL and bad if there are fewer. */
static inline const uint8_t *rd_span(struct rd *r, size_t len)
{
	const uint8_t *p = r->at;

	if (r->bad || rd_left(r) < len) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return p;
}

/* {NULL, 0} and bad if there are fewer. */
static inline struct bytes rd_bytes(struct rd *r, size_t len)
{
	const uint8_t *p = rd_span(r, len);

	return (struct bytes){p, p ? len : 0};
}

void rd_copy(struct rd *r, void *to, size_t len); /* zeros if there are fewer */

static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_span(r, 1);

	return p ? *p : 0;
}

static inline uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_span(r, 2);

	return (uint16_t)(p ? p[0] | p[1] << 8 : 0);
}

static inline uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_span(r, 4);

	return p ? bytes_get_u32(p) : 0;
}

static inline uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_span(r, 8);

	return p ? bytes_get_u64(p) : 0;
}

static inline uint64_t rd_be64(struct rd *r)
{
	const uint8_t *p = rd_span(r, 8);

	return p ? bytes_get_be64(p) : 0;
}

/* Whether everything was read and nothing was missing. */
static inline bool rd_done(const struct rd *r)
{
	return !r->bad && r->at == r->end;
}

#endif
