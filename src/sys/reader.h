/* SPDX-License-Identifier: MIT */
/*
 * reader.h - bytes of a file from the pieces that the core maps: data log, packs, zeros
 *
 * Opened chunks are kept in a small shared cache, as a reader of 128 KiB at a time meets most
 * chunks twice.  All calls from any thread, never under the node's lock.
 */
#ifndef READER_H
#define READER_H

#include "core/event.h"
#include "sys/files.h"

#define READER_CACHE_BYTES (32u << 20) /* plaintext kept; what is being read comes on top */

struct reader;
struct reader_ops {
	void *arg;
	/* The keys of an epoch; ERR_NOENT.  May take the node's lock. */
	enum err (*keys)(void *arg, uint32_t epoch, struct seal_keys *ret);
};
enum err reader_new(struct files *f, const struct folder_id *folder, const struct reader_ops *ops,
		    struct reader **ret) MUST_USE;
void reader_free(struct reader *r); /* accepts NULL */
/*
 * Bytes [skip, skip + len) of what a piece covers, to to.  Not for PIECE_INLINE, whose bytes were
 * copied under the lock.  ERR_DAMAGED: it does not open; ERR_NOENT: the data log moved on (map
 * again); ERR_IO, ERR_NOMEM.
 */
enum err reader_copy(struct reader *r, const struct piece *p, uint64_t skip, uint8_t *to,
		     size_t len) MUST_USE;

#endif
