// SPDX-License-Identifier: MIT
/* wr.c - the growing buffer: see wr.h */
#include "base/wr.h"
#include <assert.h>
#include <stdlib.h>

uint8_t *wr_grow(struct wr *w, size_t len)
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

void wr_patch_u32(struct wr *w, size_t at, uint32_t v)
{
	if (w->bad)
		return;
	assert(at + 4 <= w->len);
	bytes_put_u32(w->at + at, v);
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
