/* SPDX-License-Identifier: MIT */
/* handles.h - requests on contents: open, create, read, write, truncate, fsync, release */
#ifndef HANDLES_H
#define HANDLES_H

#include "front/mount_impl.h"

void handles_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi);
void handles_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		    struct fuse_file_info *fi);
void handles_read(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t off,
		  struct fuse_file_info *fi);
void handles_write(fuse_req_t req, fuse_ino_t nodeid, const char *buf, size_t size, off_t off,
		   struct fuse_file_info *fi);
void handles_release(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi);
void handles_fsync(fuse_req_t req, fuse_ino_t nodeid, int datasync, struct fuse_file_info *fi);
void handles_fallocate(fuse_req_t req, fuse_ino_t nodeid, int mode, off_t off, off_t len,
		       struct fuse_file_info *fi);

/* Somebody changes the contents of k: setuid and setgid bits and capabilities go, as for root or
 * not.  file: of the handle, or 0. */
enum err handles_drop_privileges(fuse_req_t req, struct knode *k, uint64_t file) MUST_USE;
/* Close what open and create have opened. */
void handles_close(struct mount *m, struct handle *h);

#endif
