// SPDX-License-Identifier: MIT
/*
 * cut.c - where contents are cut: FastCDC with a keyed gear table
 *
 * The gear hash of a position is made of the 64 bytes before it, and only them, so two files cut
 * alike from where they become equal, however much stood before.  A position is a cut when the
 * hash is small: that looks at its top bits, which depend on all 64 bytes.
 *
 * Chance per byte is 1 in 256 KiB up to CUT_NORMAL and 1 in 32 KiB after it, which gives
 * 16 + 256 (1 - exp(-64/256)) + 32 exp(-64/256) = 97.5 KiB on average for random bytes.
 */
#include "codec/cut.h"
#include "base/rng.h"

#define WINDOW 64
#define CUT_NORMAL (80u << 10)
#define LIMIT_HARD (UINT64_MAX >> 18)
#define LIMIT_EASY (UINT64_MAX >> 15)

void cut_init(struct cutter *c, const uint8_t key[KEY_LEN])
{
	struct rng r;

	rng_init(&r, key);
	for (size_t k = 0; k < ARRAY_LEN(c->gear); k++)
		c->gear[k] = rng_u64(&r);
}

/* The first position from at (the hash of those before is *h) whose hash is at most limit, plus
 * one; or 0 if there is none before end. */
static size_t scan(const uint64_t *gear, uint64_t *h, const uint8_t *data, size_t at, size_t end,
		   uint64_t limit)
{
	uint64_t x = *h;

	for (; at + 2 <= end; at += 2) {
		x = (x << 1) + gear[data[at]];
		if (__builtin_expect(x <= limit, 0))
			return at + 1;
		x = (x << 1) + gear[data[at + 1]];
		if (__builtin_expect(x <= limit, 0))
			return at + 2;
	}
	if (at < end) {
		x = (x << 1) + gear[data[at]];
		if (x <= limit)
			return at + 1;
	}
	*h = x;
	return 0;
}

size_t cut_next(const struct cutter *c, struct bytes data, bool last)
{
	size_t len = MIN(data.len, (size_t)CHUNK_BYTES_MAX), at = CHUNK_BYTES_MIN - 1, found;
	uint64_t h = 0;

	if (data.len <= CHUNK_BYTES_MIN)
		return last ? data.len : 0;
	for (size_t k = at - (WINDOW - 1); k < at; k++)
		h = (h << 1) + c->gear[data.at[k]];
	found = scan(c->gear, &h, data.at, at, MIN(len, (size_t)CUT_NORMAL), LIMIT_HARD);
	if (!found && len > CUT_NORMAL)
		found = scan(c->gear, &h, data.at, CUT_NORMAL, len, LIMIT_EASY);
	if (found)
		return found;
	return len == CHUNK_BYTES_MAX || last ? len : 0;
}
