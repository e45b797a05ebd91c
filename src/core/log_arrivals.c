// SPDX-License-Identifier: MIT
/*
 * log_arrivals.c - in what order bundles came to be held, where they stand, and what a peer lacks
 *
 * Arrivals are numbered from 1, causes before what they caused: whoever lacks some gets them in
 * that order (spread.c).
 */
#include "core/log_impl.h"

enum err log_arrive(struct log *l, struct where in, const struct hash *hash, uint64_t at,
		    uint32_t len)
{
	const struct bundle_tag tag = bundle_tag_of(hash);
	struct step_key k;
	uint8_t value[28];
	struct wr w = {.at = value, .room = sizeof(value)};

	wr_u64(&w, in.inc);
	wr_u64(&w, in.seq);
	wr_u64(&w, at);
	wr_u32(&w, len);
	step_key_init(&k, TABLE_ARRIVAL);
	step_key_u64(&k, l->arrivals);
	enum err e = kv_put(l->kv, step_key_view(&k), wr_view(&w));
	if (e)
		return e;
	wr_reset(&w);
	wr_u64(&w, l->arrivals);
	wr_raw(&w, tag.b, sizeof(tag.b));
	step_key_init(&k, TABLE_BUNDLE);
	step_key_u64(&k, in.inc);
	step_key_u64(&k, in.seq);
	e = kv_put(l->kv, step_key_view(&k), wr_view(&w));
	if (!e)
		l->arrivals++;
	return e;
}

uint64_t log_arrivals(const struct log *l)
{
	return l->arrivals;
}

enum err log_arrival(struct log *l, uint64_t number, struct arrival *ret)
{
	struct step_key k;
	struct bytes value;

	step_key_init(&k, TABLE_ARRIVAL);
	step_key_u64(&k, number);
	enum err e = kv_get(l->kv, step_key_view(&k), &value);
	if (e)
		return e;
	struct rd r = rd_of(value);
	struct arrival a;
	a.in.inc = rd_u64(&r);
	a.in.seq = rd_u64(&r);
	a.at = rd_u64(&r);
	a.len = rd_u32(&r);
	if (!rd_done(&r))
		return fail(ERR_DAMAGED);
	*ret = a;
	return ERR_OK;
}

enum err log_first_lacking(struct log *l, const struct vector *peer, uint64_t *ret)
{
	uint64_t low = l->arrivals;

	for (uint32_t i = 0; l->held && i < l->held->count; i++) {
		struct where in = l->held->at[i];
		uint64_t theirs = vector_get(peer, in.inc);
		struct step_key k;
		struct bytes value;

		if (theirs >= in.seq)
			continue;
		step_key_init(&k, TABLE_BUNDLE);
		step_key_u64(&k, in.inc);
		step_key_u64(&k, theirs + 1);
		enum err e = kv_get(l->kv, step_key_view(&k), &value);
		if (e)
			return e;
		struct rd r = rd_of(value);
		uint64_t number = rd_u64(&r);
		low = MIN(low, number);
	}
	*ret = low;
	return ERR_OK;
}

uint64_t log_lacks(const struct log *l, const struct vector *peer)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; l->held && i < l->held->count; i++) {
		uint64_t theirs = vector_get(peer, l->held->at[i].inc);
		if (theirs < l->held->at[i].seq)
			sum += l->held->at[i].seq - theirs;
	}
	return sum;
}
