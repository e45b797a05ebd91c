/* SPDX-License-Identifier: MIT */
/*
 * content.h - open files, what programs write into them, and when that becomes a version
 *
 *	clean --write--> active --last close, quiet, or its time--> cut --EV_SEALED--> version
 *
 * A handle stays on the version it was opened on: when another version comes to be shown, the
 * file is stale (ACT_NEW_DATA), new opens get a new file, and what is written through the old
 * handle continues the old version.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "core/fetch.h"
#include "core/mapping.h"
#include "core/past.h"
#include "core/work.h"

#define CONTENT_QUIET_USEC (2u * 1000 * 1000) /* without writes: a version is cut */
#define CONTENT_BUSY_USEC (30u * 1000 * 1000) /* at the latest, or 10 times its sealing time */
#define CONTENT_RETRY_USEC (5u * 1000 * 1000) /* after a failed sealing */
#define CONTENT_AHEAD_MIN (512u << 10) /* read-ahead of absent bytes, when reads are in order */
#define CONTENT_AHEAD_MAX (16u << 20)

struct content;
struct content_config {
	struct kv *kv;
	struct view *view;
	struct outbox *outbox;
	struct fetch *fetch;
	const char *device_name; /* in the names of files that stand beside; outlives it */
};
struct content *content_new(const struct content_config *c);
void content_free(struct content *c); /* accepts NULL */
enum err content_load(struct content *c) MUST_USE;
enum err content_start(struct content *c, struct step *s) MUST_USE; /* cut what a crash left */

enum err content_made(struct content *c, struct step *s, struct inode_id inode) MUST_USE;
enum err content_open(struct content *c, struct event *ev) MUST_USE;
/* A version as it is, to be read; released as any file.  ERR_FULL, ERR_NOMEM. */
enum err content_open_version(struct content *c, const struct past_version *v,
			      uint64_t *file) MUST_USE;
/* Whether something is written into inode that is no version yet. */
bool content_is_written(struct content *c, struct inode_id inode);
enum err content_release(struct content *c, struct step *s, struct event *ev) MUST_USE;
enum err content_write(struct content *c, struct step *s, struct event *ev) MUST_USE;
enum err content_truncate(struct content *c, struct step *s, struct event *ev) MUST_USE;
/* Set the modification time on what is being written, or sealed; false: its version is cut already,
 * or there is none: an attribute record is needed too. */
enum err content_touch(struct content *c, struct step *s, struct inode_id inode, uint64_t file,
		       int64_t mtime_ns, bool *ret) MUST_USE;
/*
 * The last name of inode, at that place, is about to go by a local operation.  What was written to
 * it over an older version than the one shown, is closed and has not been sealed is then no part of
 * what the operation saw: it becomes a file of its own, beside the place, when it is sealed, as it
 * would have stood there as a conflict copy had it been sealed in time.
 */
enum err content_beside(struct content *c, struct step *s, struct inode_id inode,
			const struct place *at) MUST_USE;
enum err content_sealed(struct content *c, struct step *s, struct event *ev) MUST_USE;
enum err content_cut_all(struct content *c, struct step *s) MUST_USE;
/* The view says another version of inode may be shown.  *news: the kernel's pages of it are out of
 * date (they are not when the version is what was written here). */
enum err content_changed(struct content *c, struct step *s, struct inode_id inode,
			 bool *news) MUST_USE;
/* The view was made again: the same for every open file. */
enum err content_recheck(struct content *c, struct step *s) MUST_USE;
enum err content_tick(struct content *c, struct step *s) MUST_USE;
uint64_t content_deadline(const struct content *c);
void content_settled(struct content *c, struct step *s, uint64_t work,
		     enum err err); /* of WAITER_WORK */
enum err content_replay(struct content *c, uint8_t kind, struct bytes body) MUST_USE;

bool content_unsealed(void *content, struct inode_id inode, uint64_t t); /* hook of the outbox */
enum err content_stat(struct content *c, struct inode_id inode, uint64_t file,
		      struct node_stat *ret) MUST_USE;
/* Map a range of an open file.  Missing pieces are listed in the sink. */
struct content_range {
	uint64_t file, off, len;
	uint64_t size; /* result: of the file */
	struct inode_id inode; /* result */
};
enum err content_map(struct content *c, struct content_range *r, struct sink *sink) MUST_USE;
enum err content_work_map(struct content *c, uint64_t work, uint64_t off, uint64_t len,
			  struct sink *sink) MUST_USE;
uint64_t content_work_size(struct content *c, uint64_t work);
struct inode_id content_work_inode(struct content *c, uint64_t work); /* {0, 0}: no such work */
bool content_work_shown(struct content *c, uint64_t work); /* over the version that is shown */
enum err content_work_reuse(struct content *c, uint64_t work, uint64_t off,
			    struct entry *ret) MUST_USE;
/* What to fetch ahead after a read of [off, off + len) of file; 0: nothing. */
uint64_t content_ahead(struct content *c, uint64_t file, uint64_t off, uint64_t len,
		       uint64_t *from);
/* Only up to there could be looked ahead, as a manifest node is missing: go on from there. */
void content_ahead_until(struct content *c, uint64_t file, uint64_t off);
bool content_segment_in_use(struct content *c, uint64_t segment);
/* The oldest version that has its clock and is not emitted yet, if it is older than *ret. */
void content_held(struct content *c, struct oldest *ret);
bool content_busy(struct content *c, struct inode_id inode); /* open, or being written */
uint64_t content_works(const struct content *c);
uint64_t content_bytes(const struct content *c); /* unsealed, in the data log */

#endif
