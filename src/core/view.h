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

#include "core/kv.h"
#include "core/shown.h"

struct view;

/* kv outlives the view.  NULL: no memory. */
struct view *view_new(struct kv *kv, const struct view_hooks *hooks);
void view_free(struct view *v); /* accepts NULL */
/* Whether changes of entries tell what was there before, which costs a look for each. */
void view_tell_before(struct view *v, bool yes);
enum err view_reset(struct view *v) MUST_USE; /* its rows have been deleted: begin again */

/*
 * Apply one record: r->in (own records not yet cut: {incarnation, 0}) and r->vec are set.
 * "r saw s" is: same dot.inc: r.op > s.op; else, when line() says so: r.t > s.t; else r.vec covers
 * s.in. (in.seq 0, own records not yet cut: ask where().) A record whose dot was applied before is
 * a no-op.  Unknown kinds are a no-op. ERR_MALFORMED when it refers to what its author cannot have
 * seen (an unknown inode): nothing is changed then.  ERR_NOMEM, ERR_IO.
 */
enum err view_apply(struct view *v, const struct record *r) MUST_USE;

/* ---- what is shown ---- */

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

/* Also for inodes that are shown nowhere any more but are still known; ERR_NOENT if unknown. */
enum err view_stat(struct view *v, struct inode_id id, struct view_attr *ret) MUST_USE;
enum err view_born(struct view *v, struct inode_id id, struct stamp *ret) MUST_USE; /* likewise */
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

/* Calls show for each, any order; stops when it returns false.  Costs a walk of contested places.
 */
enum err view_conflicts(struct view *v,
			bool (*show)(void *arg, enum conflict_kind kind, const struct shown *s),
			void *arg) MUST_USE;
/* A hash over the whole shown tree (paths, types, contents, modes, xattrs, ids): equal trees, equal
 * digests.  Costs a walk. */
enum err view_digest(struct view *v, struct hash *ret) MUST_USE;
/* Forget what no record to come can concern, a bounded part of it in one call.  Shows nothing
 * else than before.  Called between bundles. */
enum err view_forget(struct view *v, const struct forget_below *b, struct forgotten *ret) MUST_USE;
/*
 * Whether, since it was last asked, a record met something that may have been forgotten: an inode
 * that is not known, or a file of which heads were.  If its author had applied less than all that
 * was forgotten here, it may mean what is no more, and the view must be made again without
 * forgetting: members who had not forgotten it show it.
 */
bool view_doubtful(struct view *v);
/* The view is to be made again: remembered over a restart, until view_reset(). */
enum err view_note_stray(struct view *v) MUST_USE;
bool view_is_stray(struct view *v);
/* The vector below which all lies that was forgotten since the view was made; owned; NULL: nothing
 * was. */
enum err view_forgot(struct view *v, struct vector **ret) MUST_USE;
enum err view_forgetting(struct view *v, struct forgetting *ret) MUST_USE;
uint64_t view_inodes(struct view *v); /* inodes known, for statfs */
uint64_t view_names(struct view *v); /* of files, symlinks and the like that stand somewhere */
void view_check(struct view *v); /* asserts the invariants of its rows; costs a walk */

#endif
