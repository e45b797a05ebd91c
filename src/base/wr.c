// SPDX-License-Identifier: MIT
/* wr.c - the growing buffer: see wr.h */
#include "base/wr.h"
#include <assert.h>
#include <stdlib.h>

uint8_t *wr_span(struct wr *w, size_t len)
{
	if (w->bad)
		return NULL;
	if (w->room - w->len < len || !w->at) {
		size_t room = MAX(MAX(w->room * 2, w->len + len), (size_t)64);
		uint8_t *p = realloc(w->at, room);
		if (!p) {
			w->bad = true;
			return NULL;
		}
		w->at = p;
		w->room = room;
	}
	uint8_t *p = w->at + w->len;
	w->len += len;
	return p;
}

void wr_raw(struct wr *w, const void *from, size_t len)
{
	uint8_t *p = wr_span(w, len);

	if (p && len)
		memcpy(p, from, len);
}

void wr_bytes(struct wr *w, struct bytes b)
{
	wr_raw(w, b.at, b.len);
}

static void little(struct wr *w, uint64_t v, size_t len)
{
	uint8_t *p = wr_span(w, len);

	for (size_t k = 0; p && k < len; k++)
		p[k] = (uint8_t)(v >> (8 * k));
}

void wr_u8(struct wr *w, uint8_t v)
{
	little(w, v, 1);
}

void wr_u16(struct wr *w, uint16_t v)
{
	little(w, v, 2);
}

void wr_u32(struct wr *w, uint32_t v)
{
	little(w, v, 4);
}

void wr_u64(struct wr *w, uint64_t v)
{
	little(w, v, 8);
}

void wr_be64(struct wr *w, uint64_t v)
{
	uint8_t *p = wr_span(w, 8);

	for (size_t k = 0; p && k < 8; k++)
		p[k] = (uint8_t)(v >> (56 - 8 * k));
}

void wr_patch_u32(struct wr *w, size_t at, uint32_t v)
{
	if (w->bad)
		return;
	assert(at + 4 <= w->len);
	for (size_t k = 0; k < 4; k++)
		w->at[at + k] = (uint8_t)(v >> (8 * k));
}

void wr_reset(struct wr *w)
{
	w->len = 0;
	w->bad = false;
}

void wr_fini(struct wr *w)
{
	free(w->at);
	*w = (struct wr){0};
}

uint8_t *wr_take(struct wr *w, size_t *len)
{
	uint8_t *p = w->at;

	*len = w->len;
	*w = (struct wr){0};
	return p;
}
