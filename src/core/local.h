/* SPDX-License-Identifier: MIT */
/*
 * local.h - what a local operation writes down (merge.md section 3)
 *
 * An operation changes the local view exactly as POSIX says and in no other way: what would move
 * because of it is first pinned at its shown place.  Each call checks what POSIX asks, works out
 * all pins from the view before it, and hands the records to emit(), pins first.
 */
#ifndef LOCAL_H
#define LOCAL_H

#include "core/view.h"

struct make {
	enum inode_type type;
	uint32_t mode, rdev; /* mode: an attribute record is emitted unless it is the default */
	bool has_owner;
	uint32_t uid, gid;
	struct bytes target; /* symlinks */
	struct bytes content; /* files: first version's manifest, or len 0: none yet */
	int64_t mtime_ns; /* of that version */
};
/* dir is a shown directory everywhere.  Errors are those of POSIX: ERR_EXIST, ERR_NOENT,
 * ERR_NOTDIR, ERR_NAMETOOLONG, ERR_INVAL (bad name); ERR_NOMEM. */
enum err local_make(struct view *v, const struct emitter *e, struct inode_id dir, struct bytes name,
		    const struct make *what, struct inode_id *ret) MUST_USE;
enum err local_unlink(struct view *v, const struct emitter *e, struct inode_id dir,
		      struct bytes name) MUST_USE; /* also ERR_ISDIR */
enum err local_rmdir(struct view *v, const struct emitter *e, struct inode_id dir,
		     struct bytes name) MUST_USE; /* also ERR_NOTEMPTY */
enum local_rename_flags { LOCAL_NOREPLACE = 1, LOCAL_EXCHANGE = 2 };
/* Also ERR_LOOP, ERR_ISDIR, ERR_NOTEMPTY. */
enum err local_rename(struct view *v, const struct emitter *e, const struct place *from,
		      const struct place *to, unsigned flags) MUST_USE;
/* A further name for a non-directory; a copy is promoted first.  ERR_PERM for directories. */
enum err local_link(struct view *v, const struct emitter *e, struct inode_id inode,
		    struct inode_id dir, struct bytes name) MUST_USE;
/* mode, owner, times or one xattr (value NULL: removed); a copy is promoted first. */
enum err local_set(struct view *v, const struct emitter *e, struct inode_id inode,
		   const struct attr_value *a) MUST_USE;
/* Before a version of inode is cut: promotes a copy, gives a kept file its name back, removes
 * names hidden behind it.  Nothing to do for an ordinary file. */
enum err local_edit(struct view *v, const struct emitter *e, struct inode_id inode) MUST_USE;

/*
 * Bring back what stood at a place.  Nothing there: as local_make().  A file there, and what is
 * a file: a version with the old content over the one that is shown, the same inode; nothing is
 * written if it has that content.  A directory for a directory: nothing to do.  Else ERR_EXIST.
 */
enum err local_restore(struct view *v, const struct emitter *e, struct inode_id dir,
		       struct bytes name, const struct make *what, struct inode_id *ret) MUST_USE;

/* End the conflict of the file at (dir, name): keep that of keep (a name in dir); all: keep all. */
enum err local_resolve(struct view *v, const struct emitter *e, struct inode_id dir,
		       struct bytes name, struct bytes keep, bool all) MUST_USE;
/*
 * The same for entries of dir that are listed as conflicts, whatever lists them.  keep: the one
 * that stays, under the name file if that is one of them; -1: each stays as it is shown, and is
 * listed no more.  base: contents that file gets instead of its own (keep is file then); or NULL.
 * An entry that is gone by now is fine.
 */
struct settle {
	struct inode_id dir;
	struct bytes file;
	const struct bytes *names;
	uint32_t count;
	int32_t keep;
	const struct make *base;
};
enum err local_settle(struct view *v, const struct emitter *e, const struct settle *s) MUST_USE;

#endif
