/* SPDX-License-Identifier: MIT */
/*
 * past.h - what stood where, and when: the tree and its history asked as one
 *
 * Moments are clocks (struct stamp's t); PAST_NOW is the present, in which an entry that is gone
 * is found as it was last.  What stood somewhere at a moment is told by the stamps of records, so
 * it is the same on every member that remembers as much.  Conflict copies are derived from the
 * versions of today: of the past only files under their own names are told.
 *
 * Failures of memory or disk are in v->bad, as for all rules of the view.
 */
#ifndef PAST_H
#define PAST_H

#include "core/view.h"

#define PAST_NOW UINT64_MAX
#define PAST_PARTS_MAX 16 /* directories looked at as one; further parts are left out */
#define PAST_VERSIONS_MAX 1000 /* of one path, the latest */

struct past_dir { /* a directory, or several that were shown as one */
	uint32_t count;
	struct inode_id at[PAST_PARTS_MAX];
};
struct past_entry {
	enum inode_type type;
	struct inode_id inode; /* as shown, if it is; a conflict copy has its derived id */
	struct past_dir dir; /* directories: what to look names up in */
	bool ended; /* it is not there any more */
	bool moved; /* but somewhere else */
	struct stamp until; /* ended: when, and inc tells who did it */
	uint64_t from_t; /* it stood there since then */
	uint16_t name_len;
	uint8_t name[NAME_BYTES_MAX];
};
void past_root(struct past_dir *ret);
/* ERR_NOENT: nothing stood there that is remembered. */
enum err past_lookup(struct view *v, const struct past_dir *dir, struct bytes name, uint64_t t,
		     struct past_entry *ret) MUST_USE;
/* The first entry with a name > after (len 0: any) that stood in dir at t; ERR_NOENT at the end. */
enum err past_next(struct view *v, const struct past_dir *dir, struct bytes after, uint64_t t,
		   struct past_entry *ret) MUST_USE;
/* The first name > after in dir that something ended at, and what ended there last. */
enum err past_ended(struct view *v, const struct past_dir *dir, struct bytes after,
		    struct past_entry *ret) MUST_USE;

/* Attributes of an inode that may be gone; target is borrowed, content is not told.  mtime_ns goes
 * with the version that is told. */
enum err past_stat(struct view *v, struct inode_id id, struct view_attr *ret) MUST_USE;
/* Its next xattr with a key > after; ERR_NODATA at the end. */
enum err past_xattr(struct view *v, struct inode_id id, struct bytes after, struct wr *key,
		    struct wr *value) MUST_USE;

enum past_state {
	PAST_CURRENT = 1, /* what the name shows */
	PAST_COPY, /* shown as a conflict copy */
	PAST_REPLACED,
	PAST_DROPPED, /* a conflict copy that was removed */
	PAST_PROMOTED, /* a conflict copy that became a file of its own */
	PAST_REMOVED, /* the last of a file that was removed or replaced by another */
	PAST_MOVED /* the last before the file went to another name */
};
struct past_version { /* a zeroed struct is none; past_version_fini() */
	struct inode_id inode;
	struct dot dot;
	uint64_t t;
	uint64_t shown_t; /* past_versions(): since when it could be seen at that name */
	int64_t mtime_ns;
	enum past_state state;
	int64_t until_ms; /* when it ended; 0: it did not */
	uint64_t by; /* incarnation that ended it; 0: unknown */
	uint8_t *content; /* encoded manifest; owned */
	size_t content_len;
};
static inline struct bytes past_bytes(const struct past_version *v)
{
	return (struct bytes){v->content, v->content_len};
}
void past_version_fini(struct past_version *v);
struct past_versions { /* shown_t falling; past_versions_fini() */
	uint32_t count, room;
	struct past_version *at;
};
/* All versions that files had at a name of a directory: the one there and those before it.
 * ERR_NOENT: none is remembered. */
enum err past_versions(struct view *v, const struct past_dir *dir, struct bytes name,
		       struct past_versions *ret) MUST_USE;
void past_versions_fini(struct past_versions *l);
/* The version that inode showed at t: of those with a clock <= t the one with the greatest stamp.
 * ERR_NOENT.  *ret is overwritten. */
enum err past_version(struct view *v, struct inode_id inode, uint64_t t,
		      struct past_version *ret) MUST_USE;
/* The version with that dot, head or past; ERR_NOENT. */
enum err past_content(struct view *v, struct inode_id inode, struct dot dot,
		      struct past_version *ret) MUST_USE;

/*
 * For an entry listed as a conflict: its version, the version it contends with, and the newest
 * version that the authors of both had seen.  Each is zeroed when there is none, or none is
 * remembered.  ERR_NOENT: s is no file.
 */
struct past_conflict { /* past_conflict_fini() */
	struct shown other; /* with theirs: the entry that shows it */
	struct past_version mine, theirs, base;
};
enum err past_conflict(struct view *v, const struct shown *s, struct past_conflict *ret) MUST_USE;
void past_conflict_fini(struct past_conflict *c);

#endif
