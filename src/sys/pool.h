/* SPDX-License-Identifier: MIT */
/*
 * pool.h - worker threads that cut, compress, seal, open and verify, always outside the lock
 *
 * The only home of zstd.  Pure helpers first; the queue of jobs behind them.
 */
#ifndef POOL_H
#define POOL_H

#include "core/node.h"
#include "sys/files.h"

/* Compress (if it pays) and seal a plaintext; appends to w.  Thread-safe. */
enum err pool_seal(struct wr *w, const struct seal_keys *k, const struct folder_id *folder,
		   enum seal_kind kind, struct bytes plain,
		   const uint8_t nonce[SEAL_NONCE]) MUST_USE;
/* Open and inflate; *ret malloc'd, at most limit bytes.  ERR_FORGED, ERR_MALFORMED, ERR_NOMEM. */
enum err pool_open(struct bytes sealed, const struct seal_keys *k, const struct folder_id *folder,
		   enum seal_kind kind, size_t limit, uint8_t **ret, size_t *len) MUST_USE;
/* As pool_open() into out, which has room for exactly plain_len bytes. */
enum err pool_open_into(struct bytes sealed, const struct seal_keys *k,
			const struct folder_id *folder, enum seal_kind kind, uint8_t *out,
			size_t plain_len) MUST_USE;

/* A fixed number of threads that run jobs in order of submission. */
struct pool;
enum err pool_new(unsigned threads, struct pool **ret) MUST_USE;
/* ERR_NOMEM; ERR_CLOSED while pool_free() runs. */
enum err pool_submit(struct pool *p, void (*job)(void *arg), void *arg) MUST_USE;
void pool_free(struct pool *p); /* finishes what was submitted, joins; accepts NULL */

#endif
