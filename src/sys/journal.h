/* SPDX-License-Identifier: MIT */
/*
 * journal.h - the journal file: frames appended in order, never rewritten, cut at a torn tail
 *
 * Part of sys/files, whose header has the contract; offsets are those of the file.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include "codec/store.h"
#include <stdatomic.h>
#include <stdbool.h>

#define JOURNAL_STEP (4u << 20) /* blocks are reserved this far ahead */

struct journal;
/* Set *broken when durability is lost.  dirfd is used during the call alone. */
enum err journal_open(int dirfd, atomic_bool *broken, struct journal **ret) MUST_USE;
void journal_close(struct journal *j); /* accepts NULL */
enum err journal_walk(struct journal *j, uint64_t from,
		      enum err (*show)(void *arg, uint64_t at, struct bytes payload, uint64_t next),
		      void *arg, uint64_t *cut_bytes) MUST_USE;
enum err journal_room(struct journal *j, size_t len) MUST_USE;
enum err journal_append(struct journal *j, struct bytes payload, uint64_t *at) MUST_USE;
enum err journal_read(struct journal *j, uint64_t at, void *to, size_t len) MUST_USE;
enum err journal_sync(struct journal *j) MUST_USE; /* one thread at a time */
bool journal_is_synced(const struct journal *j, uint64_t end); /* any thread: up to offset end */
uint64_t journal_end(const struct journal *j);

#endif
