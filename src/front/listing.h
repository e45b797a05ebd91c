/* SPDX-License-Identifier: MIT */
/* listing.h - requests on directories: open, read, sync, close */
#ifndef LISTING_H
#define LISTING_H

#include "front/mount_impl.h"

void listing_init(struct mount *m);
/* What an unmount in force left open; no request is being answered any more. */
void listing_fini(struct mount *m);
void listing_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi);
void listing_read(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t off,
		  struct fuse_file_info *fi);
void listing_read_plus(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t off,
		       struct fuse_file_info *fi);
void listing_release(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi);
void listing_sync(fuse_req_t req, fuse_ino_t nodeid, int datasync, struct fuse_file_info *fi);

#endif
