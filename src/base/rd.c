// SPDX-License-Identifier: MIT
/* rd.c - the reading cursor: see rd.h */
#include "base/rd.h"

const uint8_t *rd_span(struct rd *r, size_t len)
{
	if (r->bad || rd_left(r) < len) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += len;
	return p;
}

struct bytes rd_bytes(struct rd *r, size_t len)
{
	const uint8_t *p = rd_span(r, len);

	return (struct bytes){p, p ? len : 0};
}

void rd_copy(struct rd *r, void *to, size_t len)
{
	const uint8_t *p = rd_span(r, len);

	if (p)
		memcpy(to, p, len);
	else
		memset(to, 0, len);
}

static uint64_t little(struct rd *r, size_t len)
{
	const uint8_t *p = rd_span(r, len);
	uint64_t v = 0;

	for (size_t k = 0; p && k < len; k++)
		v |= (uint64_t)p[k] << (8 * k);
	return v;
}

uint8_t rd_u8(struct rd *r)
{
	return (uint8_t)little(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
	return (uint16_t)little(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
	return (uint32_t)little(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
	return little(r, 8);
}

uint64_t rd_be64(struct rd *r)
{
	const uint8_t *p = rd_span(r, 8);
	uint64_t v = 0;

	for (size_t k = 0; p && k < 8; k++)
		v = v << 8 | p[k];
	return v;
}

bool rd_done(const struct rd *r)
{
	return !r->bad && r->at == r->end;
}
