/* SPDX-License-Identifier: MIT */
/* shown.h - what the view shows and tells: plain data, for the files of the view and its callers */
#ifndef SHOWN_H
#define SHOWN_H

#include "codec/record.h"

enum change_kind {
	CHANGE_ENTRY = 1, /* what name shows in directory dir may have changed, or gone, or come */
	CHANGE_ATTR = 2, /* attributes or xattrs of inode */
	CHANGE_DATA = 3, /* the primary version of inode */
	CHANGE_ALL = 4, /* anything: the tree was made again */
	CHANGE_LINKS = 5 /* the links of inode: names of it, or directories in it, came or went */
};
struct change {
	enum change_kind kind;
	struct inode_id inode; /* ENTRY: the shown (canonical) directory */
	uint8_t name_len; /* ENTRY */
	uint8_t name[NAME_BYTES_MAX];
	/* ENTRY, after view_tell_before(): what was shown there before; was_type 0: nothing. */
	bool was_known;
	uint8_t was_type; /* enum inode_type */
	struct inode_id was;
};
struct view_hooks {
	void *arg;
	/* The bundle an own record has been put in since it was applied; seq 0 if in none. */
	struct where (*where)(void *arg, struct dot dot);
	/* Whether records in bundles a and b were made by one device in one line of its life, so
	 * that its clock tells which of them it made first. */
	bool (*line)(void *arg, struct where a, struct where b);
	/* The device's name for conflict names (the same on every member); copy of at most
	 * MEMBER_NAME_MAX bytes and a NUL. */
	void (*device)(void *arg, uint64_t inc, char name[65]);
	void (*changed)(void *arg, const struct change *c);
	/* Wall clock in ms at which records that come were learnt here, roughly; the same when they
	 * are replayed.  It dates history, and nothing of what is shown.  NULL: always 0. */
	int64_t (*now)(void *arg);
	/* Further bundles in which the record of that dot travelled, too (a restored device makes
	 * some again): the k-th, from 0.  May be NULL. */
	bool (*also)(void *arg, struct dot dot, uint32_t k, struct where *ret);
};

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

/* What has been removed and may be forgotten some day: see core/forget. */
struct forget_below {
	const struct vector *applied; /* by this device, own bundles included */
	const struct vector *stable; /* by every member */
	uint64_t held; /* clock of the oldest own record that is in no bundle; UINT64_MAX: none */
	/* Whether an inode is in use here although it has no name (open); NULL: none is. */
	bool (*busy)(void *arg, struct inode_id id);
	void *arg;
	bool date; /* look at what was listed since the last time, too */
	uint32_t rows; /* at most so many go in one step, and a few more */
};
struct forgotten {
	uint64_t inodes, heads; /* heads: removed names of files that have another */
	uint64_t busy; /* inodes left alone because they are in use */
	bool dated; /* a batch was; the next may be, too */
	bool more; /* call again */
};
struct forgetting {
	bool listed; /* there is something that may be forgotten some day */
	uint64_t inodes; /* of so many */
	bool ready; /* some of it waits for a look, neither for own records nor for members */
};

/* What local operations hand their records to. */
struct emitter {
	void *arg;
	/* The dot and clock that the next emitted record will get. */
	void (*next)(void *arg, struct dot *dot, uint64_t *t);
	/* Fill in dot, t, wall, in and vec, note it for journal and bundle, view_apply() it. */
	enum err (*emit)(void *arg, struct record *r);
};

#endif
