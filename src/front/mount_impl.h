/* SPDX-License-Identifier: MIT */
/*
 * mount_impl.h - what the files of the mount share: its struct, and the answers they give
 *
 * Request handlers run in the mount's threads; each answers its request exactly once.
 */
#ifndef MOUNT_IMPL_H
#define MOUNT_IMPL_H

#define FUSE_USE_VERSION 314
#include "front/notify.h"
#include <fuse_lowlevel.h>
#include <pthread.h>

struct crew;
struct listing;
struct parked;
struct poke;
struct mount {
	struct host *host;
	struct nodes *nodes;
	struct notify *notify;
	struct parked *parked;
	struct poke *poke; /* NULL: nobody is told of changes */
	struct fuse_session *session;
	bool preserve_owner, privileged;
	uint32_t uid, gid;
	uint64_t own; /* atomic: this device's incarnation, as seen in ids of its inodes; 0 */
	char *dir;
	struct mount_session *link; /* mount.c: to the kernel, and who wants to hear of the end */
	struct crew *crew;
	pthread_mutex_t listings_lock;
	struct listing *listings; /* directories that are open */
};

/* How long the kernel may believe what it is told: for ever, since it is told of each change. */
#define MOUNT_TIMEOUT (24 * 3600.0)
#define MOUNT_WRITE_MAX (1u << 20)
#define MOUNT_BLOCK 131072 /* st_blksize */

#endif
