/* SPDX-License-Identifier: MIT */
/*
 * history.h - what was: versions that are heads no more, names that ended
 *
 * Rows are written as records are applied, and let go by the clock when keep_versions is over.
 * Nothing of what is shown depends on them (I2), so members may differ in what they remember.
 * core/past asks them what stood where, and when.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "core/cells.h"

#define HISTORY_SWEEP_ROWS 256 /* looked at in one step */
#define HISTORY_SWEEP_USEC (50u * 1000) /* between two steps of a sweep */
#define HISTORY_PASS_USEC (UINT64_C(3600) * 1000 * 1000) /* between two sweeps */
#define HISTORY_AHEAD_MS (INT64_C(86400) * 1000) /* a date so far ahead is no date */

enum history_end {
	HISTORY_REPLACED = 1, /* by a version whose author had seen it */
	HISTORY_DROPPED, /* a conflict copy that was removed */
	HISTORY_PROMOTED, /* a conflict copy that became a file of its own */
	HISTORY_GONE /* the last of a removed file whose registers are forgotten */
};
struct history_version { /* a zeroed struct is empty */
	struct inode_id inode;
	struct head h; /* content is borrowed from raw */
	int64_t since_ms; /* when it ended, as far as is known here */
	enum history_end end;
	uint64_t by; /* incarnation that ended it */
	struct wr raw;
};
/* Name n of inode stood at (parent, name) from from_t until record (until, by). */
struct history_name {
	struct inode_id parent, inode;
	struct name_id n;
	enum inode_type type;
	bool moved; /* to another place; else removed */
	uint64_t from_t;
	struct stamp until; /* inc: who ended it */
	int64_t since_ms;
	uint16_t name_len;
	uint8_t name[NAME_BYTES_MAX];
};
#define auto_past __attribute__((cleanup(history_version_fini))) struct history_version

/* ---- written by the view ---- */

/* Record r took head h of inode i away. */
void history_took(struct view *v, struct inode_id i, const struct head *h, const struct record *r);
/* Record r made a copy of version dot of file the inode id. */
void history_promoted(struct view *v, struct inode_id id, struct inode_id file, struct dot dot,
		      const struct record *r);
/* What the write set of record r is about to take out of places. */
void history_left(struct view *v, const struct record *r);
/* Before the registers of an inode are forgotten: its heads, attributes and xattrs. */
void history_forget(struct view *v, const struct inode_row *i);

/* ---- asked ---- */

/* Versions of inode, stamps falling, those with a clock <= t; begun by history_versions(). */
struct walk history_versions(struct inode_id inode, uint64_t t);
bool history_versions_next(struct view *v, struct walk *w, struct history_version *ret);
void history_version_fini(struct history_version *h);
/* Names that ended at a place, the last first. */
struct walk history_names(struct inode_id parent, struct bytes name);
bool history_names_next(struct view *v, struct walk *w, struct history_name *ret);
/* The first name > after (len 0: any) in parent that something ended at. */
bool history_name_after(struct view *v, struct inode_id parent, struct bytes after,
			uint8_t ret[NAME_BYTES_MAX], size_t *len);
/* Attributes of an inode whose registers are forgotten; it has no heads: they are versions. */
bool history_inode(struct view *v, struct inode_id id, struct inode_row *ret);
/* The next xattr with a key > after of such an inode. */
bool history_xattr(struct view *v, struct inode_id id, struct bytes after, struct wr *key,
		   struct wr *value);
/* The file and version that a promoted copy is of. */
bool history_origin(struct view *v, struct inode_id id, struct inode_id *file, struct dot *dot);

/* ---- expiry ---- */

struct history_sweep { /* zeroed: at the beginning */
	uint64_t due_usec; /* of the next step */
	struct rkey at; /* rows up to there are done; len 0: a sweep begins */
};
/*
 * One step of a sweep, if it is due: rows whose end is longer ago than keep_ms go.  A date that is
 * ahead of the clock by more than HISTORY_AHEAD_MS becomes now.  keep_ms 0: all is kept.
 * ERR_IO, ERR_NOMEM.
 */
enum err history_sweep(struct kv *kv, struct history_sweep *s, uint64_t now_usec, int64_t wall_ms,
		       int64_t keep_ms) MUST_USE;

#endif
