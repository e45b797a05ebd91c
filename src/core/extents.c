// SPDX-License-Identifier: MIT
/*
 * extents.c - see extents.h
 *
 * I1  no two extents of a work overlap
 * I2  live[segment] is the sum of the lengths of all extents there; no entry is zero
 */
#include "core/extents.h"
#include "core/tables.h"

struct live {
	uint64_t segment, bytes;
};
struct extents {
	struct kv *kv;
	struct live *live;
	uint32_t count, room;
};

struct extents *extents_new(struct kv *kv)
{
	struct extents *x = calloc(1, sizeof(*x));

	if (x)
		x->kv = kv;
	return x;
}

void extents_free(struct extents *x)
{
	if (x)
		free(x->live);
	free(x);
}

static enum err live_add(struct extents *x, const struct extent *e)
{
	uint64_t segment = e->addr / EXTENTS_SEGMENT_BYTES;

	for (uint32_t k = 0; k < x->count; k++) {
		if (x->live[k].segment == segment) {
			x->live[k].bytes += e->len;
			return ERR_OK;
		}
	}
	if (x->count == x->room) {
		uint32_t room = x->room ? x->room * 2 : 16;
		struct live *p = realloc(x->live, room * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		x->live = p;
		x->room = room;
	}
	x->live[x->count++] = (struct live){segment, e->len};
	return ERR_OK;
}

static void live_sub(struct extents *x, const struct extent *e)
{
	uint64_t segment = e->addr / EXTENTS_SEGMENT_BYTES;

	for (uint32_t k = 0; k < x->count; k++) {
		if (x->live[k].segment != segment)
			continue;
		assert(x->live[k].bytes >= e->len); /* I2 */
		x->live[k].bytes -= e->len;
		if (!x->live[k].bytes)
			x->live[k] = x->live[--x->count];
		return;
	}
	assert(!"an extent in a segment without live bytes");
}

bool extents_in_use(const struct extents *x, uint64_t segment)
{
	for (uint32_t k = 0; k < x->count; k++)
		if (x->live[k].segment == segment)
			return true;
	return false;
}

uint64_t extents_live(const struct extents *x)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < x->count; k++)
		sum += x->live[k].bytes;
	return sum;
}

static void row_key(struct step_key *k, uint64_t work, uint64_t last)
{
	step_key_init(k, TABLE_EXTENT);
	step_key_u64(k, work);
	step_key_u64(k, last);
}

static enum err row_put(struct extents *x, uint64_t work, const struct extent *e)
{
	struct step_key k;
	uint8_t value[16];
	struct wr w = {.at = value, .room = sizeof(value)};

	row_key(&k, work, e->off + e->len - 1);
	wr_u64(&w, e->off);
	wr_u64(&w, e->addr);
	enum err err = kv_put(x->kv, step_key_view(&k), wr_view(&w));
	return err ? err : live_add(x, e);
}

static enum err row_del(struct extents *x, uint64_t work, const struct extent *e)
{
	struct step_key k;

	row_key(&k, work, e->off + e->len - 1);
	enum err err = kv_del(x->kv, step_key_view(&k));
	if (!err)
		live_sub(x, e);
	return err;
}

static enum err row_read(struct bytes key, struct bytes value, struct extent *ret)
{
	struct rd rk = {.at = key.at + 9, .end = key.at + key.len};
	struct rd r = rd_of(value);
	uint64_t last = rd_be64(&rk);

	ret->off = rd_u64(&r);
	ret->addr = rd_u64(&r);
	ret->len = last - ret->off + 1;
	return rd_done(&r) && rd_done(&rk) && ret->off <= last ? ERR_OK : fail(ERR_DAMAGED);
}

enum err extents_find(struct extents *x, uint64_t work, uint64_t off, struct extent *ret)
{
	struct step_key k;
	struct bytes key, value;
	struct extent e;

	row_key(&k, work, off);
	enum err err = kv_next_in(x->kv, step_key_view(&k), 9, false, &key, &value);
	if (err)
		return err;
	if (key.len != k.len)
		return fail(ERR_DAMAGED);
	err = row_read(key, value, &e);
	if (!err)
		*ret = e;
	return err;
}

enum err extents_cut(struct extents *x, uint64_t work, uint64_t off, uint64_t end)
{
	struct extent e;

	while (off < end) {
		enum err err = extents_find(x, work, off, &e);
		if (err)
			return err == ERR_NOENT ? ERR_OK : err;
		if (e.off >= end)
			return ERR_OK;
		uint64_t e_end = e.off + e.len;
		err = row_del(x, work, &e);
		if (!err && e.off < off)
			err = row_put(x, work, &(struct extent){e.off, off - e.off, e.addr});
		if (!err && e_end > end)
			err = row_put(x, work,
				      &(struct extent){end, e_end - end, e.addr + (end - e.off)});
		if (err)
			return err;
	}
	return ERR_OK;
}

enum err extents_put(struct extents *x, uint64_t work, struct extent e)
{
	struct extent before;
	enum err err = extents_cut(x, work, e.off, e.off + e.len);

	if (!err && e.off > 0)
		err = extents_find(x, work, e.off - 1, &before);
	if (err && err != ERR_NOENT)
		return err;
	bool joins = e.off > 0 && !err && before.off + before.len == e.off &&
		     before.addr + before.len == e.addr &&
		     before.addr / EXTENTS_SEGMENT_BYTES == e.addr / EXTENTS_SEGMENT_BYTES;
	if (joins) {
		err = row_del(x, work, &before);
		if (err)
			return err;
		e = (struct extent){before.off, before.len + e.len, before.addr};
	}
	return row_put(x, work, &e);
}

enum err extents_load(struct extents *x)
{
	uint8_t copy[STEP_KEY_MAX] = {TABLE_EXTENT};
	struct bytes from = {copy, 1}, key, value;
	struct extent e;

	while (kv_next(x->kv, from, true, &key, &value) == ERR_OK && key.at[0] == TABLE_EXTENT) {
		if (key.len != 17)
			return fail(ERR_DAMAGED);
		memcpy(copy, key.at, key.len);
		from.len = key.len;
		enum err err = row_read(key, value, &e);
		if (!err)
			err = live_add(x, &e);
		if (err)
			return err;
	}
	return ERR_OK;
}
