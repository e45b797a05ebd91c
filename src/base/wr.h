/* SPDX-License-Identifier: MIT */
/*
 * wr.h - a growing buffer to write into
 *
 * Grows on the heap; when memory runs out it sets bad, keeps what it has and drops the rest, so
 * that an encoder is a straight line with one check at its end.  A zeroed struct is empty.
 * Little-endian, but for wr_be64().
 */
#ifndef WR_H
#define WR_H

#include "base/bytes.h"

struct wr {
	uint8_t *at;
	size_t len, room;
	bool bad;
};

uint8_t *wr_grow(struct wr *w, size_t len); /* wr_span() when there is no room */

/* len bytes to fill in; NULL and bad without memory */
static inline uint8_t *wr_span(struct wr *w, size_t len)
{
	if (w->bad || !w->at || w->room - w->len < len)
		return wr_grow(w, len);
	uint8_t *p = w->at + w->len;
	w->len += len;
	return p;
}

static inline void wr_raw(struct wr *w, const void *from, size_t len)
{
	uint8_t *p = wr_span(w, len);

	if (p && len)
		memcpy(p, from, len);
}

static inline void wr_bytes(struct wr *w, struct bytes b)
{
	wr_raw(w, b.at, b.len);
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_span(w, 1);

	if (p)
		*p = v;
}

static inline void wr_u16(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_span(w, 2);

	if (p) {
		p[0] = (uint8_t)v;
		p[1] = (uint8_t)(v >> 8);
	}
}

static inline void wr_u32(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_span(w, 4);

	if (p)
		bytes_put_u32(p, v);
}

static inline void wr_u64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_span(w, 8);

	if (p)
		bytes_put_u64(p, v);
}

static inline void wr_be64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_span(w, 8);

	if (p)
		bytes_put_be64(p, v);
}

/* Write v over the four bytes at offset at, written before. */
void wr_patch_u32(struct wr *w, size_t at, uint32_t v);
void wr_reset(struct wr *w); /* empty again, memory kept */
void wr_fini(struct wr *w); /* frees; the struct is empty and usable */
/* Give the buffer away: caller frees the result with free(); the struct is empty. */
uint8_t *wr_take(struct wr *w, size_t *len);

static inline struct bytes wr_view(const struct wr *w) /* borrowed until the next write */
{
	return (struct bytes){w->at, w->len};
}

#endif
