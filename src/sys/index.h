/* SPDX-License-Identifier: MIT */
/*
 * index.h - the daemon's kv: a map in memory in front of LMDB
 *
 * A step writes the active map under the node's lock.  One index thread freezes it every
 * INDEX_DRAIN_MS or at INDEX_DRAIN_BYTES and drains the frozen map into LMDB in one fully synced
 * transaction that also stores the journal position; readers look in active map, frozen map, LMDB.
 * So no fsync happens under the lock, and after any crash LMDB is whole at a known position.  The
 * write transaction never crosses threads (pitfalls.md 46); reads use a short read transaction of
 * their own inside the call.
 */
#ifndef INDEX_H
#define INDEX_H

#include "core/kv.h"
#include "sys/report.h"

#define INDEX_DRAIN_MS 2000
#define INDEX_DRAIN_BYTES (64u << 20)

struct index;
/*
 * Open or create dir.  before_commit runs in the index thread, outside all locks, before each
 * commit: it must make journal and packs durable up to what the frozen map holds.
 * ERR_DAMAGED: LMDB cannot be read; remove dir and call again to rebuild.
 */
enum err index_open(const char *dir, enum err (*before_commit)(void *arg), void *arg,
		    struct index **ret) MUST_USE;
struct kv *index_kv(struct index *x); /* to be used under the node's lock */
/* Position stored with the last commit (0, 0 for a new index). */
void index_position(struct index *x, uint64_t *journal, uint64_t *pack);
/* Under the node's lock, at the end of a step: the journal and pack position the active map stands
 * for. */
void index_at(struct index *x, uint64_t journal, uint64_t pack);
/* The lock the index thread must hold while it freezes the active map: the node's. */
void index_lock_with(struct index *x, void (*lock)(void *arg), void (*unlock)(void *arg),
		     void *arg);
/* Start the thread; before that nothing is drained. */
enum err index_start(struct index *x) MUST_USE;
/* Drain now and wait until committed; called without the node's lock, after index_start().
 * ERR_NOSPC: the disk is full; nothing is lost, the index thread tries again every INDEX_DRAIN_MS.
 * ERR_IO: LMDB failed and is left alone until the next start: memory grows, so stop soon. */
enum err index_flush(struct index *x) MUST_USE;
/* Rows in memory and not yet in LMDB, in bytes, about; grows while the disk is full. */
size_t index_backlog(struct index *x);
/* Positions of the last commit: data log segments below may be trimmed when this has moved. */
uint64_t index_commits(struct index *x);
void index_close(struct index *x); /* flushes if it was started, joins; accepts NULL */

#endif
