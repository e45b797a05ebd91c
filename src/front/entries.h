/* SPDX-License-Identifier: MIT */
/* entries.h - requests on names: look up, make, link, rename, remove */
#ifndef ENTRIES_H
#define ENTRIES_H

#include "front/answer.h"

void entries_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void entries_forget(fuse_req_t req, fuse_ino_t nodeid, uint64_t lookups);
void entries_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void entries_readlink(fuse_req_t req, fuse_ino_t nodeid);
void entries_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void entries_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void entries_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void entries_link(fuse_req_t req, fuse_ino_t nodeid, fuse_ino_t parent, const char *name);
void entries_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void entries_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void entries_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		    const char *new_name, unsigned flags);

/* Make an inode; what needs no owner and no inherited bits, they are filled in.  Not answered. */
enum err entries_make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct make *what,
		      struct answer_made *ret) MUST_USE;

#endif
