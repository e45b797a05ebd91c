/* SPDX-License-Identifier: MIT */
/* answer.h - attributes, entries and errors as the kernel wants them */
#ifndef ANSWER_H
#define ANSWER_H

#include "front/mount_impl.h"

void answer_error(fuse_req_t req, enum err e);

/* A name from the kernel as bytes: ERR_NAMETOOLONG, ERR_INVAL. */
enum err answer_name(const char *name, struct bytes *ret) MUST_USE;
/* A node id from the kernel: ERR_STALE when it means nothing. */
enum err answer_node(struct mount *m, fuse_ino_t nodeid, struct knode **ret) MUST_USE;

/*
 * Under the host's lock.  stat: attributes of k as its open handles, or new ones, see it; ERR_STALE
 * when nothing is left of it.  tell: name in dir is inode, which the kernel is about to learn: an
 * entry for it, counted and noted.
 */
enum err answer_stat(struct mount *m, struct knode *k, struct stat *ret) MUST_USE;
enum err answer_tell(struct mount *m, uint64_t dir_nodeid, struct bytes name, struct inode_id inode,
		     struct fuse_entry_param *ret) MUST_USE;
/* What dir shows as name, and tell.  ERR_STALE when dir itself is gone. */
enum err answer_lookup(struct mount *m, const struct knode *dir, struct bytes name,
		       struct fuse_entry_param *ret) MUST_USE;
/* An error of an operation in dir: ERR_STALE instead of "not there" when dir itself is gone. */
enum err answer_dir_error(struct mount *m, const struct knode *dir, enum err e) MUST_USE;

/* Without the lock: give the entry; if the kernel does not take it, it is taken back. */
void answer_entry(fuse_req_t req, uint64_t dir_nodeid, struct bytes name,
		  const struct fuse_entry_param *e);
/* After an operation of this mount made name in dir lead to inode.  Plain data: the request holds
 * dir only until it is answered. */
struct answer_made {
	struct inode_id dir, inode;
	uint64_t dir_nodeid;
	struct bytes name; /* borrowed from the request's bytes */
	bool undone; /* somebody else changed the name since: the kernel must not keep it */
};
enum err answer_tell_made(struct mount *m, struct answer_made *made,
			  struct fuse_entry_param *ret) MUST_USE;
void answer_settle(struct mount *m, const struct answer_made *made); /* once it is answered */
/* All three.  lasting: the kernel may keep the attributes. */
void answer_made(fuse_req_t req, struct answer_made *made, bool lasting);

#endif
