/* SPDX-License-Identifier: MIT */
/* attrs.h - requests on attributes: stat, chmod, chown, utimes, truncate, xattrs, statfs */
#ifndef ATTRS_H
#define ATTRS_H

#include "front/mount_impl.h"

void attrs_get(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi);
void attrs_set(fuse_req_t req, fuse_ino_t nodeid, struct stat *attr, int to_set,
	       struct fuse_file_info *fi);
void attrs_setxattr(fuse_req_t req, fuse_ino_t nodeid, const char *name, const char *value,
		    size_t size, int flags);
void attrs_getxattr(fuse_req_t req, fuse_ino_t nodeid, const char *name, size_t size);
void attrs_listxattr(fuse_req_t req, fuse_ino_t nodeid, size_t size);
void attrs_removexattr(fuse_req_t req, fuse_ino_t nodeid, const char *name);
void attrs_statfs(fuse_req_t req, fuse_ino_t nodeid);

#endif
