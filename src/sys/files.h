/* SPDX-License-Identifier: MIT */
/*
 * files.h - one folder's store on disk: journal, data log, packs, local.db, lock
 *
 *	STORE/lock		held by the daemon that has it open (fcntl lock, OFD)
 *	STORE/local.db		what only this device knows; replaced whole
 *	STORE/journal		frames in order (codec/store.h); only ever cut, at a torn tail
 *	STORE/data/NNNNNNNN	data log segments: raw bytes of writes not yet sealed
 *	STORE/packs/NNNNNNNN	sealed pieces, each behind a header
 *	STORE/reserve		room given up so that local.db can be replaced on a full disk
 *	STORE/index/		LMDB: derived (sys/index)
 *
 * Journal appends come under the node's lock; data log writes and all reads from any thread.
 * A failed write or fsync of ours is never retried as if nothing had happened: the store turns
 * read-only (files_broken()) and says so.
 */
#ifndef FILES_H
#define FILES_H

#include "codec/store.h"
#include "sys/report.h"

struct files;
#define DATA_SEGMENT_BYTES (64u << 20)
#define PACK_SEGMENT_BYTES (256u << 20)

/* Create STORE (0700) with its folders and local.db; ERR_EXIST if there is one. */
enum err files_create(const char *store, const struct local_db *l) MUST_USE;
/* ERR_BUSY: another daemon has it; ERR_VERSION: from a newer version (untouched); ERR_DAMAGED. */
enum err files_open(const char *store, struct files **ret) MUST_USE;
void files_close(struct files *f); /* accepts NULL */
const struct local_db *files_local(const struct files *f);
enum err files_set_local(struct files *f,
			 const struct local_db *l) MUST_USE; /* durable on return */
bool files_broken(const struct files *f);

/* ---- journal ---- */
/* Walk whole frames from offset from; show gets the payload's offset, the payload, and the offset
 * behind it (where a later walk may begin); stops at the first error of show.  ERR_DAMAGED also
 * when from is beyond the end.  Walk once after opening, before the first append.  A damaged or
 * torn tail is cut off: *cut_bytes says how much (0: none). A sound frame behind a damaged one is
 * damage, not a tail: ERR_DAMAGED, nothing is cut. */
enum err files_journal_walk(struct files *f, uint64_t from,
			    enum err (*show)(void *arg, uint64_t at, struct bytes payload,
					     uint64_t next),
			    void *arg, uint64_t *cut_bytes) MUST_USE;
/* Make sure len more bytes of journal can be written (fallocate ahead); ERR_NOSPC.  Ask for more
 * than you write, and what must always work (removals) has room kept for it. */
enum err files_journal_room(struct files *f, size_t len) MUST_USE;
/* Append one frame by one write; *at: the payload's offset.  ERR_NOSPC, ERR_IO (store broken). */
enum err files_journal_append(struct files *f, struct bytes payload, uint64_t *at) MUST_USE;
enum err files_journal_read(struct files *f, uint64_t at, void *to,
			    size_t len) MUST_USE; /* any thread */
uint64_t files_journal_end(const struct files *f);
/* fdatasync data log then journal; concurrent callers share one (group commit).  Any thread. */
enum err files_sync(struct files *f) MUST_USE;
/* The journal alone, up to offset end: for what is published.  Any thread. */
enum err files_journal_sync(struct files *f, uint64_t end) MUST_USE;
bool files_journal_is_synced(const struct files *f, uint64_t end);

/* ---- data log ---- addresses are (segment number * DATA_SEGMENT_BYTES + offset), never 0 */
/* Write data at a freshly reserved address; never straddles segments (data.len <= segment).  Any
 * thread.  ERR_NOSPC, ERR_IO. */
enum err files_data_write(struct files *f, struct bytes data, uint64_t *addr) MUST_USE;
enum err files_data_read(struct files *f, uint64_t addr, void *to, size_t len) MUST_USE;
/* Remove every segment below segment limit that in_use() denies. */
void files_data_trim(struct files *f, uint64_t limit_segment,
		     bool (*in_use)(void *arg, uint64_t segment), void *arg);
uint64_t files_data_segment(const struct files *f); /* the one being written */

/* ---- packs ---- addresses are (pack number << 32 | offset of the sealed bytes), never 0 */
/* name must be hash_blake() of the sealed bytes: by it the walk tells whole pieces from torn ones.
 * ERR_TOOBIG, ERR_NOSPC, ERR_IO. */
enum err files_pack_write(struct files *f, uint8_t kind, const struct hash *name,
			  struct bytes sealed,
			  uint64_t *addr) MUST_USE; /* any thread; not yet durable */
enum err files_pack_read(struct files *f, uint64_t addr, void *to, size_t len) MUST_USE;
enum err files_pack_sync(struct files *f) MUST_USE; /* all that was written before is durable */
/* Walk pieces from (pack << 32 | offset of a header; 0: all): used to index what a crash left
 * behind.  show gets the address of the sealed bytes; *end: where a later walk may begin.  A torn
 * tail of the last pack is cut off; damage elsewhere is reported, and skipped up to the next piece
 * that proves itself.  ERR_DAMAGED when from is beyond the end. */
enum err files_pack_walk(struct files *f, uint64_t from,
			 enum err (*show)(void *arg, uint64_t addr, const struct pack_head *h),
			 void *arg, uint64_t *end) MUST_USE;

struct files_space {
	uint64_t block, blocks, free, avail; /* statvfs of the store */
	uint64_t journal_bytes, data_bytes, pack_bytes;
};
enum err files_space(struct files *f, struct files_space *ret) MUST_USE;

#endif
