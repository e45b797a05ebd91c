// SPDX-License-Identifier: MIT
/*
 * brake.c - see brake.h
 *
 * Two generations of a window each: a file counts once in both together, and what is older than
 * two windows is forgotten.  So a device is held for what it did in ten to twenty minutes.
 *
 * I1  counted has at most BRAKE_DEVICES_MAX devices
 * I2  every incarnation in held has its row
 */
#include "core/brake.h"
#include "base/map.h"
#include "core/tables.h"

struct counted { /* what one device did lately */
	struct device_id device;
	struct map *now, *before; /* inodes; a map without values */
	uint64_t since_ms; /* by the device's clock: when the present window began */
	uint64_t base; /* names in the tree then, at most */
	uint64_t sum; /* files in both */
};
struct brake {
	struct kv *kv;
	struct brake_limits limits;
	struct counted counted[BRAKE_DEVICES_MAX];
	uint32_t counted_count;
	struct braked *held;
	uint32_t held_count, held_room;
};

struct brake *brake_new(struct kv *kv, const struct brake_limits *limits)
{
	struct brake *b = calloc(1, sizeof(*b));

	if (b) {
		b->kv = kv;
		b->limits = *limits;
	}
	return b;
}

static void counted_fini(struct counted *c)
{
	map_free(c->now);
	map_free(c->before);
	memset(c, 0, sizeof(*c));
}

void brake_free(struct brake *b)
{
	if (!b)
		return;
	for (uint32_t k = 0; k < b->counted_count; k++)
		counted_fini(&b->counted[k]);
	free(b->held);
	free(b);
}

/* ---- what is held ---- */

static void row_key(struct step_key *k, uint64_t inc)
{
	step_key_init(k, TABLE_STATE);
	step_key_u8(k, 'k');
	step_key_u64(k, inc);
}

static struct braked *held_of(const struct brake *b, uint64_t inc)
{
	for (uint32_t k = 0; k < b->held_count; k++)
		if (b->held[k].inc == inc)
			return &b->held[k];
	return NULL;
}

static enum err held_add(struct brake *b, const struct braked *h)
{
	if (b->held_count == b->held_room) {
		uint32_t room = b->held_room ? b->held_room * 2 : 4;
		struct braked *p = realloc(b->held, room * sizeof(*p));
		if (!p)
			return fail(ERR_NOMEM);
		b->held = p;
		b->held_room = room;
	}
	b->held[b->held_count++] = *h;
	return ERR_OK;
}

/* from 0: no longer. */
static enum err set(struct brake *b, const struct braked *h)
{
	struct braked *old = held_of(b, h->inc);
	struct step_key k;
	uint8_t value[16];
	struct wr w = {.at = value, .room = sizeof(value)};

	row_key(&k, h->inc);
	if (h->from == 0) {
		if (old)
			*old = b->held[--b->held_count];
		return kv_del(b->kv, step_key_view(&k));
	}
	wr_u64(&w, h->from);
	wr_u64(&w, (uint64_t)h->wall_ms);
	enum err e = kv_put(b->kv, step_key_view(&k), wr_view(&w));
	if (!e && !old)
		return held_add(b, h);
	if (!e)
		*old = *h;
	return e;
}

static enum err decide(struct brake *b, struct step *s, const struct braked *h)
{
	size_t mark;
	struct wr *w = step_entry(s, J_BRAKE, &mark);

	if (w) {
		wr_u64(w, h->inc);
		wr_u64(w, h->from);
		wr_u64(w, (uint64_t)h->wall_ms);
		step_entry_end(s, mark);
	}
	return set(b, h);
}

enum err brake_replay(struct brake *b, struct bytes body)
{
	struct rd r = rd_of(body);
	struct braked h = {.inc = rd_u64(&r)};

	h.from = rd_u64(&r);
	h.wall_ms = (int64_t)rd_u64(&r);
	return rd_done(&r) ? set(b, &h) : fail(ERR_DAMAGED);
}

enum err brake_load(struct brake *b)
{
	uint8_t from[2 + 8] = {TABLE_STATE, 'k'};
	struct bytes key, value;
	size_t len = 2;

	while (kv_next_in(b->kv, (struct bytes){from, len}, 2, len > 2, &key, &value) == ERR_OK) {
		struct rd rk = {.at = key.at + 2, .end = key.at + key.len}, r = rd_of(value);
		struct braked h = {.inc = rd_be64(&rk), .from = rd_u64(&r)};
		h.wall_ms = (int64_t)rd_u64(&r);
		if (key.len != sizeof(from) || !rd_done(&r))
			return fail(ERR_DAMAGED);
		memcpy(from, key.at, sizeof(from));
		len = sizeof(from);
		enum err e = held_add(b, &h);
		if (e)
			return e;
	}
	return ERR_OK;
}

uint64_t brake_limit(const struct brake *b, uint64_t inc)
{
	const struct braked *h = held_of(b, inc);

	return h ? h->from - 1 : UINT64_MAX;
}

enum err brake_release(struct brake *b, struct step *s, uint64_t inc)
{
	if (!held_of(b, inc))
		return ERR_OK;
	return decide(b, s, &(struct braked){.inc = inc});
}

uint32_t brake_count(const struct brake *b)
{
	return b->held_count;
}

const struct braked *brake_at(const struct brake *b, uint32_t k)
{
	assert(k < b->held_count);
	return &b->held[k];
}

/* ---- counting ---- */

static struct counted *counted_of(struct brake *b, const struct device_id *d)
{
	struct counted *least = NULL;

	for (uint32_t k = 0; k < b->counted_count; k++) {
		struct counted *c = &b->counted[k];
		if (memcmp(&c->device, d, sizeof(*d)) == 0)
			return c;
		if (!least || c->sum < least->sum)
			least = c;
	}
	if (b->counted_count < BRAKE_DEVICES_MAX) /* I1 */
		least = &b->counted[b->counted_count++];
	else
		counted_fini(least);
	least->device = *d;
	return least;
}

static enum err fresh(struct map **m)
{
	map_free(*m);
	*m = map_new();
	return *m ? ERR_OK : fail(ERR_NOMEM);
}

/* Time goes on, by the device's own clock; one that goes back stands still. */
static enum err turn_windows(struct counted *c, uint64_t t_ms, uint64_t files)
{
	enum err e = ERR_OK;

	if (!c->now || t_ms >= c->since_ms + 2 * (uint64_t)BRAKE_WINDOW_MS) {
		e = fresh(&c->now);
		if (!e)
			e = fresh(&c->before);
		c->sum = c->base = 0;
		c->since_ms = t_ms;
	} else if (t_ms >= c->since_ms + BRAKE_WINDOW_MS) {
		struct map *oldest = c->before;
		c->sum = map_count(c->now);
		c->before = c->now;
		c->now = oldest;
		e = fresh(&c->now);
		c->since_ms += BRAKE_WINDOW_MS;
	}
	c->base = MAX(c->base, files);
	return e;
}

/* Whether a record takes a file away, or its contents. */
static bool destroys(const struct record *r)
{
	if (r->kind == REC_LINK)
		return !r->link.has_place;
	return r->kind == REC_CONTENT && r->content.bases_count > 0;
}

static enum err count(struct counted *c, const struct record *r)
{
	const uint64_t id[2] = {r->inode.inc, r->inode.op};
	struct bytes key = {(const uint8_t *)id, sizeof(id)}, value;

	if (map_get(c->now, key, &value) || map_get(c->before, key, &value))
		return ERR_OK;
	enum err e = map_put(c->now, key, (struct bytes){(const uint8_t *)"", 0});
	c->sum += !e;
	return e;
}

static bool too_much(const struct brake *b, const struct counted *c)
{
	return c->sum > b->limits.files && c->sum * 100 > c->base * b->limits.percent;
}

enum err brake_look(struct brake *b, struct step *s, const struct bundle *of,
		    const struct brake_tree *tree, bool *held)
{
	enum err e = ERR_OK;

	*held = false;
	if (b->limits.percent == 0 || of->count == 0)
		return ERR_OK;
	struct counted *c = counted_of(b, &of->head.device);
	for (uint32_t k = 0; k < of->count && !e; k++) {
		const struct record *r = &of->records[k];
		uint64_t t_ms = r->t >> 16, since = t_ms - MIN(t_ms, BRAKE_WINDOW_MS);
		if (!destroys(r) || !tree->stood(tree->arg, r->inode, &of->head.device, since))
			continue;
		e = turn_windows(c, t_ms, tree->files);
		if (!e)
			e = count(c, r);
	}
	if (e || !c->now || !too_much(b, c))
		return e;
	*held = true;
	counted_fini(c); /* when it is accepted it begins anew */
	c->device = of->head.device;
	return decide(b, s, &(struct braked){of->head.inc, of->head.seq, s->wall_ms});
}
