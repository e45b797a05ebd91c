/* SPDX-License-Identifier: MIT */
/*
 * kv.h - the interface through which the core keeps its rows: an ordered map of byte strings
 *
 * The daemon puts a map in front of LMDB behind it (sys/index), the simulator a map alone
 * (kv_new_map() below).  Single owner, under the node's lock.  What get and next hand out is
 * borrowed until the next call of any kind on the same kv: copy what must outlive it.
 * Keys are 1..KV_KEY_MAX bytes, the first a table letter (core/tables.h); values up to
 * KV_VALUE_MAX bytes.
 */
#ifndef KV_H
#define KV_H

#include "base/bytes.h"
#include "base/err.h"

#define KV_KEY_MAX 480
#define KV_VALUE_MAX (16u << 20)

struct kv;
struct kv_from { /* where a search begins, and how far it may go */
	struct bytes key;
	bool beyond; /* behind key, not at it */
	size_t within; /* the row's key must share so many first bytes with key; 0: any */
};
struct kv_ops {
	enum err (*get)(void *self, struct bytes key, struct bytes *ret);
	enum err (*put)(void *self, struct bytes key, struct bytes value);
	enum err (*del)(void *self, struct bytes key);
	enum err (*next)(void *self, const struct kv_from *from, struct bytes *key,
			 struct bytes *value);
};
struct kv {
	const struct kv_ops *ops;
	void *self;
};

/* ERR_NOENT if there is none; ERR_NOMEM, ERR_IO. */
enum err kv_get(struct kv *kv, struct bytes key, struct bytes *ret) MUST_USE;
enum err kv_put(struct kv *kv, struct bytes key,
		struct bytes value) MUST_USE; /* ERR_NOMEM, ERR_IO */
enum err kv_del(struct kv *kv, struct bytes key) MUST_USE; /* absent is fine */
/* The first row whose key is >= from (> from if beyond is true); ERR_NOENT at the end. */
enum err kv_next(struct kv *kv, struct bytes from, bool beyond, struct bytes *key,
		 struct bytes *value) MUST_USE;
/* The same, but ERR_NOENT as soon as the keys leave the prefix of from of that length.  Not only a
 * convenience: rows that were deleted and not yet drained lie in the way of a search, and those
 * beyond the prefix need not be walked over. */
enum err kv_next_in(struct kv *kv, struct bytes from, size_t within, bool beyond, struct bytes *key,
		    struct bytes *value) MUST_USE;

/* A kv that is a map in memory alone; NULL: no memory. */
struct kv *kv_new_map(void);
void kv_free_map(struct kv *kv);

#endif
