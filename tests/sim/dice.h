/* SPDX-License-Identifier: MIT */
/*
 * dice.h - the simulator's chance: cheap, and cast anew for each event
 *
 * What happens in a world must not change all over when one act is taken out of it, or no failing
 * run could be made shorter.  So chance is no one stream: each event draws from its own, begun by
 * the seed, the time and whom it concerns (world.c).
 */
#ifndef DICE_H
#define DICE_H

#include "base/bytes.h"
#include <assert.h>

struct dice {
	uint64_t s;
};

static inline uint64_t dice_mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
	return v ^ (v >> 31);
}

static inline uint64_t dice_u64(struct dice *d)
{
	d->s += UINT64_C(0x9e3779b97f4a7c15);
	return dice_mix(d->s);
}

/* 0..bound-1; the bias of a bound below 2^32 does not matter here. */
static inline uint64_t dice_below(struct dice *d, uint64_t bound)
{
	assert(bound > 0);
	return dice_u64(d) % bound;
}

static inline void dice_bytes(struct dice *d, void *to, size_t len)
{
	uint8_t *p = to;

	while (len) {
		uint64_t v = dice_u64(d);
		size_t n = len < sizeof(v) ? len : sizeof(v);
		memcpy(p, &v, n);
		p += n;
		len -= n;
	}
}

#endif
