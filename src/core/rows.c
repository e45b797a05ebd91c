// SPDX-License-Identifier: MIT
/*
 * rows.c - keys, the write set, and vectors by their key
 *
 * Reading merges the few rows written for the record in hand over those of the kv; with v->old set
 * it does not, and shows the state before that record.  Nothing reaches the kv before
 * rows_flush().  Values are copied out, as what a kv hands out dies with the next call on it.
 *
 * The rules ask for the same few rows again and again, as does the next record.  What the kv said
 * of a key, absence too, is therefore kept in a small cache, which rows_flush() keeps true; so is
 * whether there are any rows of a kind of 'V', most of which a tree without conflicts has not.
 * Nobody else writes rows of the view while there is one.
 *
 *	'V' 'b' batch			t, state, vector	see core/forget
 *	'V' 'c' parent name 0		(empty)		contested place
 *	'V' 'f'				vector		see core/forget
 *	'V' 'h' derived id		inode, dot	head that may be shown as a copy
 *	'V' 'n'				u64		inodes known
 *	'V' 'q' batch, inode		(empty)		listed: see core/forget
 *	'V' 'o' / 's' / 't' directory	(empty)		survivor / skipped move / moved twice
 *	'V' 'u' parent name 0		(empty)		united directories
 *	'V' 'y'				(empty)		to be made again
 *	'v' hash[16]			vector
 */
#include "core/rows.h"
#include "base/hash.h"
#include <stdlib.h>

/* ---- keys ---- */

static void key_raw(struct rkey *k, const void *from, size_t len)
{
	assert(k->len + len <= sizeof(k->b));
	if (len)
		memcpy(k->b + k->len, from, len);
	k->len += len;
}

static void key_be64(struct rkey *k, uint64_t x)
{
	assert(k->len + 8 <= sizeof(k->b));
	bytes_put_be64(k->b + k->len, x);
	k->len += 8;
}

struct rkey rows_key(enum table t)
{
	struct rkey k;

	k.len = 1;
	k.b[0] = (uint8_t)t;
	return k;
}

struct rkey rows_key_view(enum view_row r)
{
	struct rkey k = rows_key(TABLE_VIEW);

	k.b[k.len++] = (uint8_t)r;
	return k;
}

void rows_key_inode(struct rkey *k, struct inode_id i)
{
	key_be64(k, i.inc);
	key_be64(k, i.op);
}

void rows_key_name(struct rkey *k, struct name_id n)
{
	key_be64(k, n.t);
	key_be64(k, n.inc);
	key_be64(k, n.h);
}

void rows_key_u64(struct rkey *k, uint64_t x)
{
	key_be64(k, x);
}

void rows_key_text(struct rkey *k, struct bytes name)
{
	key_raw(k, name.at, name.len);
	k->b[k->len++] = 0; /* no name has this byte, so names order as their bytes do */
}

void rows_key_part(struct rkey *k, struct bytes name)
{
	key_raw(k, name.at, name.len);
}

void rows_key_after(struct rkey *k, struct bytes name)
{
	key_raw(k, name.at, name.len);
	k->b[k->len++] = 1; /* a longer name goes on with 1 or more */
}

struct bytes rows_key_bytes(const struct rkey *k)
{
	return (struct bytes){k->b, k->len};
}

bool rows_key_place(const struct rkey *k, size_t skip, struct inode_id *parent, struct bytes *name,
		    struct rd *r)
{
	*r = (struct rd){.at = k->b + skip, .end = k->b + k->len};
	*parent = ids_rd_key_inode(r);
	const uint8_t *end = r->bad ? NULL : memchr(r->at, 0, rd_left(r));
	if (!end)
		return false;
	*name = rd_bytes(r, (size_t)(end - r->at));
	(void)rd_u8(r);
	return true;
}

/* ---- the write set ---- */

void rows_fail(struct view *v, enum err e)
{
	if (v->bad == ERR_OK)
		v->bad = e;
}

void rows_wr(struct view *v, const struct wr *w)
{
	if (w->bad)
		rows_fail(v, fail(ERR_NOMEM));
}

void *rows_grow(struct view *v, void *at, uint32_t count, uint32_t *room, size_t size)
{
	if (count < *room)
		return at;
	uint32_t more = *room ? *room * 2 : 8;
	void *p = realloc(at, more * size);
	if (!p) {
		rows_fail(v, fail(ERR_NOMEM));
		return NULL;
	}
	*room = more;
	return p;
}

static struct bytes ws_key(const struct view *v, const struct ws_row *r)
{
	return (struct bytes){v->ws_bytes.at + r->key_at, r->key_len};
}

static struct ws_row *ws_find(struct view *v, struct bytes key)
{
	for (uint32_t k = 0; k < v->ws_count; k++)
		if (bytes_equal(ws_key(v, &v->ws[k]), key))
			return &v->ws[k];
	return NULL;
}

static struct bytes ws_value(const struct view *v, const struct ws_row *r)
{
	return (struct bytes){v->ws_bytes.at + r->value_at, r->value_len};
}

static void copy_out(struct view *v, struct wr *to, struct bytes b)
{
	wr_reset(to);
	wr_bytes(to, b);
	rows_wr(v, to);
}

/* ---- the cache ---- */

bool rows_cache_new(struct view *v)
{
	v->rows = calloc(ROWS_CACHED, sizeof(v->rows[0]));
	memset(v->kinds, -1, sizeof(v->kinds));
	return v->rows != NULL;
}

void rows_cache_clear(struct view *v)
{
	for (size_t k = 0; v->rows && k < ROWS_CACHED; k++)
		wr_reset(&v->rows[k].key);
	memset(v->kinds, -1, sizeof(v->kinds));
}

void rows_cache_free(struct view *v)
{
	for (size_t k = 0; v->rows && k < ROWS_CACHED; k++) {
		wr_fini(&v->rows[k].key);
		wr_fini(&v->rows[k].value);
	}
	free(v->rows);
}

static struct row_cached *cache_slot(struct view *v, struct bytes key)
{
	return &v->rows[hash_xxh(key, 0) % ROWS_CACHED];
}

static bool cache_is(const struct row_cached *c, struct bytes key)
{
	return bytes_equal(wr_view(&c->key), key);
}

/* The kv has that value for key, or none if value is NULL.  Without memory nothing is kept. */
static void cache_note(struct row_cached *c, struct bytes key, const struct bytes *value)
{
	wr_reset(&c->key);
	wr_reset(&c->value);
	c->there = value != NULL;
	if (value && value->len > ROW_CACHED_MAX)
		return;
	if (value)
		wr_bytes(&c->value, *value);
	wr_bytes(&c->key, key);
	if (c->value.bad || c->key.bad)
		wr_reset(&c->key);
}

/* Whether the kv is known to have no row of the kind that key is of. */
static bool kind_absent(struct view *v, struct bytes key)
{
	struct bytes at, value;

	if (key.len < 2 || key.at[0] != TABLE_VIEW)
		return false;
	int8_t *any = &v->kinds[key.at[1]];
	if (*any < 0) {
		enum err e = kv_next_in(v->kv, (struct bytes){key.at, 2}, 2, false, &at, &value);
		if (e && e != ERR_NOENT) {
			rows_fail(v, e);
			return true;
		}
		*any = !e;
	}
	return !*any;
}

/* What the kv has, borrowed; false: absent, or v->bad. */
static bool kv_row(struct view *v, struct bytes key, struct bytes *ret)
{
	if (kind_absent(v, key))
		return false;
	struct row_cached *c = cache_slot(v, key);

	if (cache_is(c, key)) {
		*ret = wr_view(&c->value);
		return c->there;
	}
	enum err e = kv_get(v->kv, key, ret);
	if (e && e != ERR_NOENT) {
		rows_fail(v, e);
		return false;
	}
	cache_note(c, key, e ? NULL : ret);
	return !e;
}

bool rows_peek(struct view *v, const struct rkey *k, struct bytes *ret)
{
	const struct ws_row *r = v->old ? NULL : ws_find(v, rows_key_bytes(k));

	if (v->bad || (r && r->del))
		return false;
	if (!r)
		return kv_row(v, rows_key_bytes(k), ret);
	*ret = ws_value(v, r);
	return true;
}

bool rows_get(struct view *v, const struct rkey *k, struct wr *value)
{
	struct bytes b;

	if (!rows_peek(v, k, &b))
		return false;
	copy_out(v, value, b);
	return !v->bad;
}

bool rows_has(struct view *v, const struct rkey *k)
{
	struct bytes b;

	return rows_peek(v, k, &b);
}

/* ---- walks ---- */

static void key_copy(struct rkey *k, struct bytes b)
{
	k->len = 0;
	key_raw(k, b.at, b.len);
}

/* The first row of the kv from there on that the write set does not touch. */
static bool kv_untouched(struct view *v, const struct rkey *from, size_t within, bool beyond,
			 struct rkey *key, struct bytes *value)
{
	struct bytes at;

	if (within >= 2 && kind_absent(v, rows_key_bytes(from)))
		return false;
	key_copy(key, rows_key_bytes(from));
	for (;;) {
		enum err e = kv_next_in(v->kv, rows_key_bytes(key), within, beyond, &at, value);
		if (e && e != ERR_NOENT)
			rows_fail(v, e);
		if (e || at.len > sizeof(key->b))
			return false; /* keys of ours are shorter: another room's table */
		key_copy(key, at);
		if (v->old || !v->ws_count || !ws_find(v, rows_key_bytes(key)))
			return true;
		beyond = true;
	}
}

bool rows_next(struct view *v, const struct rkey *from, size_t within, bool beyond,
	       struct rkey *key, struct wr *value)
{
	struct bytes b, start = rows_key_bytes(from);
	struct rkey at;
	const struct ws_row *best = NULL;

	if (v->bad)
		return false;
	const struct bytes prefix = {start.at, within};
	bool found = kv_untouched(v, from, within, beyond, &at, &b);
	if (v->bad)
		return false;
	for (uint32_t k = 0; !v->old && k < v->ws_count; k++) {
		const struct ws_row *r = &v->ws[k];
		int c = bytes_compare(ws_key(v, r), start);
		if (r->del || c < 0 || (c == 0 && beyond) || !bytes_prefix(ws_key(v, r), prefix))
			continue;
		if (!best || bytes_compare(ws_key(v, r), ws_key(v, best)) < 0)
			best = r;
	}
	if (!found && !best)
		return false;
	if (best && (!found || bytes_compare(ws_key(v, best), rows_key_bytes(&at)) < 0)) {
		key_copy(key, ws_key(v, best));
		b = ws_value(v, best);
	} else {
		key_copy(key, rows_key_bytes(&at));
	}
	if (value)
		copy_out(v, value, b);
	return !v->bad;
}

bool rows_any(struct view *v, const struct rkey *prefix)
{
	struct rkey at;

	return rows_next(v, prefix, prefix->len, false, &at, NULL);
}

bool rows_each(struct view *v, struct walk *w, struct wr *value)
{
	if (!w->begun)
		key_copy(&w->at, rows_key_bytes(&w->prefix));
	bool beyond = w->begun;
	w->begun = true;
	return rows_next(v, &w->at, w->prefix.len, beyond, &w->at, value);
}

/* The row of the write set for that key, made if need be; NULL: v->bad. */
static struct ws_row *ws_row(struct view *v, const struct rkey *k)
{
	struct ws_row *r = ws_find(v, rows_key_bytes(k));

	assert(!v->old);
	if (v->bad || r)
		return v->bad ? NULL : r;
	struct ws_row *p = rows_grow(v, v->ws, v->ws_count, &v->ws_room, sizeof(v->ws[0]));
	if (!p)
		return NULL;
	v->ws = p;
	r = &v->ws[v->ws_count++];
	*r = (struct ws_row){.key_at = v->ws_bytes.len, .key_len = k->len};
	wr_bytes(&v->ws_bytes, rows_key_bytes(k));
	return r;
}

struct wr *rows_begin(struct view *v, const struct rkey *k)
{
	struct ws_row *r = ws_row(v, k);

	v->ws_open = r ? (uint32_t)(r - v->ws) : v->ws_count;
	if (r)
		r->value_at = v->ws_bytes.len;
	return &v->ws_bytes;
}

void rows_end(struct view *v)
{
	rows_wr(v, &v->ws_bytes);
	if (v->ws_open == v->ws_count)
		return;
	struct ws_row *r = &v->ws[v->ws_open];
	r->del = false;
	r->value_len = v->ws_bytes.len - r->value_at;
	if (r->value_len > KV_VALUE_MAX)
		rows_fail(v, fail(ERR_FULL));
}

void rows_put(struct view *v, const struct rkey *k, struct bytes value)
{
	wr_bytes(rows_begin(v, k), value);
	rows_end(v);
}

void rows_del(struct view *v, const struct rkey *k)
{
	struct ws_row *r = ws_row(v, k);

	rows_wr(v, &v->ws_bytes);
	if (!r)
		return;
	r->del = true;
	r->value_len = 0;
}

void rows_flush(struct view *v)
{
	for (uint32_t k = 0; k < v->ws_count && !v->bad; k++) {
		const struct ws_row *r = &v->ws[k];
		struct bytes key = ws_key(v, r), value = ws_value(v, r);
		enum err e = r->del ? kv_del(v->kv, key) : kv_put(v->kv, key, value);
		cache_note(cache_slot(v, key), key, r->del ? NULL : &value);
		if (key.len >= 2 && key.at[0] == TABLE_VIEW)
			v->kinds[key.at[1]] = r->del ? -1 : 1;
		if (e)
			rows_fail(v, e);
	}
	if (v->bad)
		rows_cache_clear(v); /* what came of the last row is not known */
	rows_drop(v);
}

void rows_drop(struct view *v)
{
	v->ws_count = 0;
	wr_reset(&v->ws_bytes);
}

/* ---- vectors ---- */

uint64_t rows_counted(struct view *v, enum view_row which)
{
	struct rkey k = rows_key_view(which);
	auto_wr w = {0};

	if (!rows_get(v, &k, &w))
		return 0;
	struct rd r = rd_of(wr_view(&w));
	return rd_u64(&r);
}

void rows_count(struct view *v, enum view_row which, int by)
{
	struct rkey k = rows_key_view(which);
	uint8_t value[8];
	struct wr w = {.at = value, .room = sizeof(value)};

	wr_u64(&w, rows_counted(v, which) + (uint64_t)(int64_t)by);
	rows_put(v, &k, wr_view(&w));
}

void rows_vector_key(struct view *v, const struct vector *vec, uint8_t key[VEC_KEY_LEN])
{
	struct hash h;

	memset(key, 0, VEC_KEY_LEN);
	if (!vec || vec->count == 0)
		return;
	if (vec == v->vec_last) { /* all records of a bundle share one */
		memcpy(key, v->vec_last_key, VEC_KEY_LEN);
		return;
	}
	auto_wr w = {0};
	vector_encode(&w, vec);
	rows_wr(v, &w);
	hash_blake(wr_view(&w), &h);
	memcpy(key, h.b, VEC_KEY_LEN);
	struct rkey k = rows_key(TABLE_VECTOR);
	key_raw(&k, key, VEC_KEY_LEN);
	if (!rows_has(v, &k))
		rows_put(v, &k, wr_view(&w));
}

static bool key_empty(const uint8_t key[VEC_KEY_LEN])
{
	static const uint8_t zeros[VEC_KEY_LEN];

	return memcmp(key, zeros, VEC_KEY_LEN) == 0;
}

const struct vector *rows_vector(struct view *v, const uint8_t key[VEC_KEY_LEN])
{
	if (key_empty(key))
		return NULL;
	struct vector_cached *c = &v->vectors[key[0] % VECTORS_CACHED];
	if (c->vec && memcmp(c->key, key, VEC_KEY_LEN) == 0)
		return c->vec;
	struct rkey k = rows_key(TABLE_VECTOR);
	key_raw(&k, key, VEC_KEY_LEN);
	auto_wr w = {0};
	if (!rows_get(v, &k, &w)) {
		rows_fail(v, fail(ERR_DAMAGED));
		return NULL;
	}
	struct rd r = rd_of(wr_view(&w));
	struct vector *vec;
	enum err e = vector_decode(&r, &vec);
	if (e) {
		rows_fail(v, e);
		return NULL;
	}
	vector_unref(c->vec);
	c->vec = vec;
	memcpy(c->key, key, VEC_KEY_LEN);
	return vec;
}

/* ---- spots ---- */

bool rows_spot_in(const struct spots *s, struct inode_id parent, struct bytes name)
{
	for (uint32_t k = 0; k < s->count; k++)
		if (inode_equal(s->at[k].parent, parent) &&
		    bytes_equal((struct bytes){s->at[k].name, s->at[k].name_len}, name))
			return true;
	return false;
}

/* Without looking whether it is there. */
void rows_spot_push(struct view *v, struct spots *s, struct inode_id parent, struct bytes name)
{
	assert(name.len <= NAME_BYTES_MAX);
	struct spot *p = rows_grow(v, s->at, s->count, &s->room, sizeof(s->at[0]));
	if (!p)
		return;
	s->at = p;
	struct spot *one = &s->at[s->count++];
	one->parent = parent;
	one->name_len = (uint16_t)name.len;
	memcpy(one->name, name.at, name.len);
}

void rows_spot_add(struct view *v, struct spots *s, struct inode_id parent, struct bytes name)
{
	if (!rows_spot_in(s, parent, name))
		rows_spot_push(v, s, parent, name);
}

void rows_touch(struct view *v, struct inode_id parent, struct bytes name)
{
	rows_spot_add(v, &v->touched, parent, name);
}

void rows_news(struct view *v, enum change_kind kind, struct inode_id i)
{
	for (uint32_t k = 0; k < v->news_count; k++)
		if (v->news[k].kind == kind && inode_equal(v->news[k].inode, i))
			return;
	struct news *p = rows_grow(v, v->news, v->news_count, &v->news_room, sizeof(v->news[0]));
	if (!p)
		return;
	v->news = p;
	v->news[v->news_count++] = (struct news){kind, i};
}

void rows_spots_fini(struct spots *s)
{
	free(s->at);
	*s = (struct spots){0};
}
