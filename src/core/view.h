/* SPDX-License-Identifier: MIT */
/*
 * view.h - the registers and the one tree they show (merge.md sections 1, 2 and 4)
 *
 * view_apply() takes records in causal order and keeps the rows; all else asks.  The tree is a
 * function of the records applied: the model in tests/model is the judge.  Evaluation is
 * incremental: a record costs what it touches; only a directory in which something is contested
 * (rivals at one name, several versions of a file, united directories) is worked out as a whole,
 * when asked for.  The view is the only producer of "changed".
 *
 * One owner, under the node's lock.  Borrowed results (names, targets, contents, values) are
 * valid until the next call on the view, queries included, unless a struct holds its own buffer.
 */
#ifndef VIEW_H
#define VIEW_H

#include "codec/record.h"
#include "core/kv.h"

struct view;

enum change_kind {
	CHANGE_ENTRY = 1, /* what name shows in directory dir may have changed, or gone, or come */
	CHANGE_ATTR = 2, /* attributes, link count or xattrs of inode */
	CHANGE_DATA = 3 /* the primary version of inode */
};
struct change {
	enum change_kind kind;
	struct inode_id inode; /* ATTR, DATA; ENTRY: the shown (canonical) directory */
	uint8_t name_len; /* ENTRY */
	uint8_t name[NAME_BYTES_MAX];
};
struct view_hooks {
	void *arg;
	/* The bundle an own record has been put in since it was applied; seq 0 if in none. */
	struct where (*where)(void *arg, struct dot dot);
	/* Within one log: whether incarnation a comes before b on the same device. */
	bool (*before)(void *arg, uint64_t a, uint64_t b);
	/* The device's name for conflict names (the same on every member); copy of at most
	 * MEMBER_NAME_MAX bytes and a NUL. */
	void (*device)(void *arg, uint64_t inc, char name[65]);
	void (*changed)(void *arg, const struct change *c);
};

/* kv outlives the view.  NULL: no memory. */
struct view *view_new(struct kv *kv, const struct view_hooks *hooks);
void view_free(struct view *v); /* accepts NULL */

/*
 * Apply one record: r->in (own records not yet cut: {incarnation, 0}) and r->vec are set.
 * "r saw s" is: same dot.inc: r.op > s.op; else same in.inc: before(s.dot.inc, r.dot.inc);
 * else r.vec covers s.in (own s with in.seq 0: ask where()).
 * A record whose dot was applied before is a no-op.  Unknown kinds are a no-op.
 * ERR_MALFORMED when it refers to what its author cannot have seen (an unknown inode): nothing
 * is changed then.  ERR_NOMEM, ERR_IO.
 */
enum err view_apply(struct view *v, const struct record *r) MUST_USE;

/* ---- what is shown ---- */

enum shown_kind { SHOWN_ROOT = 1, SHOWN_DIR, SHOWN_LINK, SHOWN_COPY };
struct shown {
	enum shown_kind kind;
	enum inode_type type;
	struct inode_id id; /* shown id: canonical directory, inode, or derived id of a copy */
	struct inode_id file; /* the inode whose registers hold it (a copy: the inode it is of) */
	struct name_id n; /* LINK, COPY (of the name it is beside) */
	struct dot version; /* COPY */
	struct inode_id at; /* shown parent directory */
	bool kept; /* no live name: stays because of an unseen edit */
	bool suffixed; /* name is not the nominal one */
	uint16_t name_len, nominal_len;
	uint8_t name[NAME_BYTES_MAX + 1], nominal[NAME_BYTES_MAX + 1];
};
/* dir: shown (canonical) directory.  ERR_NOENT, ERR_NOTDIR (no such directory is shown). */
enum err view_lookup(struct view *v, struct inode_id dir, struct bytes name,
		     struct shown *ret) MUST_USE;
/* The first entry with a name > after in byte order (after.len 0: the first); ERR_NOENT at the end.
 */
enum err view_next(struct view *v, struct inode_id dir, struct bytes after,
		   struct shown *ret) MUST_USE;
/* One shown entry of inode id (the one beside the oldest name first); ERR_NOENT if not shown. */
enum err view_find(struct view *v, struct inode_id id, struct shown *ret) MUST_USE;
bool view_dir_empty(struct view *v, struct inode_id dir);
/* The path from the root, "/" separated, into buf; ERR_NOENT if not shown, ERR_RANGE. */
enum err view_path(struct view *v, struct inode_id id, char *buf, size_t size) MUST_USE;

struct view_attr {
	struct inode_id id; /* as asked */
	enum inode_type type;
	uint32_t mode; /* 07777; default 0644, 0755 for directories, 0777 symlinks */
	bool has_owner;
	uint32_t uid, gid;
	uint32_t rdev;
	int64_t mtime_ns; /* of the primary version, or of a later times record */
	int64_t ctime_ns; /* wall time of the latest record about it */
	uint32_t nlink; /* live names; directories: 2 + subdirectories (1 if costly) */
	struct bytes content; /* files: encoded manifest of the primary version; len 0: none yet */
	struct dot version; /* its dot; {0,0}: none yet */
	struct bytes target; /* symlinks */
};
/* Also for inodes that are shown nowhere any more but are still known; ERR_NOENT if unknown. */
enum err view_stat(struct view *v, struct inode_id id, struct view_attr *ret) MUST_USE;
bool view_is_shown(struct view *v, struct inode_id id);
/* value borrowed; ERR_NODATA */
enum err view_xattr(struct view *v, struct inode_id id, struct bytes key,
		    struct bytes *value) MUST_USE;
/* The first key > after with a value; ERR_NODATA at the end. */
enum err view_xattr_next(struct view *v, struct inode_id id, struct bytes after,
			 struct bytes *key) MUST_USE;
/* Dots of the visible head of inode id that is shown as itself, and of the heads hidden behind
 * it: what a new version replaces.  At most max; ERR_NOENT, ERR_FULL. */
enum err view_bases(struct view *v, struct inode_id id, struct dot *ret, uint32_t max,
		    uint32_t *count) MUST_USE;
/* Content of the version of inode with that dot, while it is a head: borrowed; ERR_NOENT. */
enum err view_version(struct view *v, struct inode_id id, struct dot dot,
		      struct version *ret) MUST_USE;

/* Conflicts, for users: kinds as merge.md section 2 lists them. */
enum conflict_kind {
	CONFLICT_CONTENT = 1,
	CONFLICT_NAME,
	CONFLICT_KEPT,
	CONFLICT_RENAMED_TWICE,
	CONFLICT_COPY,
	CONFLICT_MOVE_SKIPPED,
	CONFLICT_SURVIVORS
};
/* Calls show for each, any order; stops when it returns false.  Costs a walk of contested places.
 */
enum err view_conflicts(struct view *v,
			bool (*show)(void *arg, enum conflict_kind kind, const struct shown *s),
			void *arg) MUST_USE;
/* A hash over the whole shown tree (paths, types, contents, modes, xattrs, ids): equal trees, equal
 * digests.  Costs a walk. */
enum err view_digest(struct view *v, struct hash *ret) MUST_USE;
uint64_t view_inodes(struct view *v); /* inodes known, for statfs */
void view_check(struct view *v); /* asserts the invariants of its rows; costs a walk */

#endif
