/* SPDX-License-Identifier: MIT */
/*
 * work.h - versions being written: what stands over the base, and its rows
 *
 * A work holds the writes since a file's last cut version.  It is active while programs write
 * it, then cut (its dot, clock and vector are given), sealed, and gone.  A file has at most one
 * that is being sealed and, over it, one that is active.
 *
 * Rows: TABLE_WORK number 's' -> inode, since, base manifest (what never changes)
 *       TABLE_WORK number 'd' -> size, mtime, base limit, cut: dot, clock, vector, bases
 *       TABLE_WORK number 'p' -> parent, name: where it will stand beside, if it will
 */
#ifndef WORK_H
#define WORK_H

#include "core/extents.h"
#include "core/outbox.h"

#define WORK_BASES_MAX 64

struct work {
	uint64_t no;
	struct inode_id inode;
	uint64_t since; /* clock t before its first write: records of the inode after wait */
	uint64_t over; /* the work it lies over, 0: over the base manifest */
	uint64_t size;
	uint64_t base_limit; /* bytes of what it lies over that still show */
	int64_t mtime_ns;
	struct dot base_version; /* {0, 0}: none */
	struct wr base; /* encoded manifest it lies over; empty: none */
	bool cut;
	struct reserved at; /* if cut */
	struct dot bases[WORK_BASES_MAX];
	uint32_t bases_count;
	bool beside; /* sealed, it becomes a file of its own: its file's last name is gone */
	struct inode_id beside_dir;
	uint8_t beside_len, beside_name[NAME_BYTES_MAX];
	/* not in rows */
	uint64_t first_usec, last_usec; /* of its writes, monotonic */
	uint64_t retry_usec; /* sealing is to be tried again; 0: under way or not begun */
	uint32_t lacks; /* pieces of the base that are being fetched */
	uint64_t begun_usec; /* sealing began */
};

struct work *work_new(uint64_t no, struct inode_id inode, uint64_t since); /* NULL: no memory */
void work_free(struct work *w); /* accepts NULL */
enum err work_store_static(struct kv *kv, const struct work *w) MUST_USE;
enum err work_store(struct kv *kv, const struct work *w) MUST_USE; /* the changing part */
/* Where it will stand beside: marked, and its row. */
enum err work_put_beside(struct kv *kv, struct work *w, const struct place *at) MUST_USE;
enum err work_drop(struct kv *kv, struct extents *x,
		   const struct work *w) MUST_USE; /* rows, extents */
/* Calls show with each work of the rows, in order of number; it takes them. */
enum err work_load(struct kv *kv, enum err (*show)(void *arg, struct work *take),
		   void *arg) MUST_USE;

/* Bodies of journal entries. */
void work_write_new(struct wr *w, const struct work *k);
enum err work_read_new(struct bytes body, struct work **ret) MUST_USE;
void work_write_cut(struct wr *w, const struct work *k);
enum err work_read_cut(struct rd *r, struct work *k) MUST_USE;

#endif
