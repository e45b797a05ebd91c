/* SPDX-License-Identifier: MIT */
/* rows.h - the view's rows: keys, bytes, and the write set of the record being applied */
#ifndef ROWS_H
#define ROWS_H

#include "core/view_impl.h"

/* keys */
struct rkey rows_key(enum table t);
struct rkey rows_key_view(enum view_row r);
void rows_key_inode(struct rkey *k, struct inode_id i);
void rows_key_name(struct rkey *k, struct name_id n);
void rows_key_u64(struct rkey *k, uint64_t x);
void rows_key_text(struct rkey *k, struct bytes name); /* with its end mark */
void rows_key_part(struct rkey *k, struct bytes name); /* before all rows of name and behind */
void rows_key_after(struct rkey *k, struct bytes name); /* just behind all rows of name */
struct bytes rows_key_bytes(const struct rkey *k);
/* Reading a key of 'table parent name...': what follows the name stays in *r. */
bool rows_key_place(const struct rkey *k, size_t skip, struct inode_id *parent, struct bytes *name,
		    struct rd *r);

/* rows; false: absent (or v->bad).  Values are copied. */
bool rows_get(struct view *v, const struct rkey *k, struct wr *value);
bool rows_peek(struct view *v, const struct rkey *k, struct bytes *ret); /* until the next call */
bool rows_has(struct view *v, const struct rkey *k);
/* The first row at or beyond from whose key shares its first within bytes. */
bool rows_next(struct view *v, const struct rkey *from, size_t within, bool beyond,
	       struct rkey *key, struct wr *value);
/* Whether any row's key starts so. */
bool rows_any(struct view *v, const struct rkey *prefix);
/* A walk over the rows whose keys start with prefix: at is the key in hand. */
struct walk {
	struct rkey prefix, at; /* at: not set before begun */
	bool begun;
};
bool rows_each(struct view *v, struct walk *w, struct wr *value);
void rows_put(struct view *v, const struct rkey *k, struct bytes value);
/* The same in two steps: the value is written between them, and nothing else is put or read. */
struct wr *rows_begin(struct view *v, const struct rkey *k);
void rows_end(struct view *v);
void rows_del(struct view *v, const struct rkey *k);
bool rows_cache_new(struct view *v); /* false: no memory */
void rows_cache_clear(struct view *v); /* others have written its rows */
void rows_cache_free(struct view *v);
void rows_flush(struct view *v);
void rows_drop(struct view *v);
void rows_fail(struct view *v, enum err e); /* keeps the first */
void rows_wr(struct view *v, const struct wr *w); /* fails if the buffer ran out of memory */
void *rows_grow(struct view *v, void *at, uint32_t count, uint32_t *room, size_t size);

/* Rows that count something. */
void rows_count(struct view *v, enum view_row which, int by);
uint64_t rows_counted(struct view *v, enum view_row which);

/* vectors */
void rows_vector_key(struct view *v, const struct vector *vec, uint8_t key[VEC_KEY_LEN]);
const struct vector *rows_vector(struct view *v, const uint8_t key[VEC_KEY_LEN]); /* borrowed */

void rows_news(struct view *v, enum change_kind kind, struct inode_id i);
void rows_touch(struct view *v, struct inode_id parent, struct bytes name);
void rows_spot_add(struct view *v, struct spots *s, struct inode_id parent, struct bytes name);
void rows_spot_push(struct view *v, struct spots *s, struct inode_id parent, struct bytes name);
bool rows_spot_in(const struct spots *s, struct inode_id parent, struct bytes name);
void rows_spots_fini(struct spots *s);

#endif
