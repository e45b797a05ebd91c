/* SPDX-License-Identifier: MIT */
/*
 * poked.h - requests of peerfs-poke, answered without doing anything; all others pass on
 *
 * One function for each request that could change something, and for lookups.
 */
#ifndef POKED_H
#define POKED_H

#include "front/mount_impl.h"

void poked_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void poked_setattr(fuse_req_t req, fuse_ino_t nodeid, struct stat *attr, int to_set,
		   struct fuse_file_info *fi);
void poked_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void poked_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void poked_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void poked_link(fuse_req_t req, fuse_ino_t nodeid, fuse_ino_t parent, const char *name);
void poked_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void poked_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void poked_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		  const char *new_name, unsigned flags);
void poked_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi);
void poked_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		  struct fuse_file_info *fi);
void poked_setxattr(fuse_req_t req, fuse_ino_t nodeid, const char *name, const char *value,
		    size_t size, int flags);
void poked_removexattr(fuse_req_t req, fuse_ino_t nodeid, const char *name);

#endif
