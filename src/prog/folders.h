/* SPDX-License-Identifier: MIT */
/*
 * folders.h - the daemon's folders: found at start, created, joined, mounted
 *
 * Calls come from control threads and may take their time.  On error text says what happened and
 * what to do next, and the code is an exit code.
 */
#ifndef FOLDERS_H
#define FOLDERS_H

#include "codec/wire.h"
#include "front/mount.h"
#include "prog/exits.h"
#include "sys/conf.h"
#include "sys/loop.h"
#include "sys/paths.h"
#include <pthread.h>

#define FOLDERS_TEXT 512

struct daemon {
	struct paths paths;
	struct conf conf; /* as read at start */
	char name[MEMBER_NAME_MAX + 1]; /* the device's */
	struct sign_pair device;
	struct loop *loop;
	pthread_mutex_t mutex; /* creating, joining, mounting: one at a time */
	uint32_t unopened; /* folders that could not be opened at start */
	bool closed; /* under the mutex: no folder is open any more */
	void (*stop)(void *arg); /* begin to end the daemon */
	void *stop_arg;
};
struct folders_say {
	char text[FOLDERS_TEXT];
};

/* Open every folder there is; one that cannot be opened is reported and left. */
void folders_open_all(struct daemon *d);
/* Stop the mounts, settle, close all. */
void folders_close_all(struct daemon *d);
enum exits folders_create(struct daemon *d, const char *name, struct folders_say *say);
/* local: the name on this device, or NULL for the folder's own, which is put into name. */
enum exits folders_join(struct daemon *d, const char *invitation, const char *local,
			char name[MEMBER_NAME_MAX + 1], struct folders_say *say);
enum exits folders_invite(struct daemon *d, const char *name, enum role role, int64_t seconds,
			  char text[INVITATION_TEXT_MAX], struct folders_say *say);
/* fd: /dev/fuse, mounted on dir; taken. */
enum exits folders_mount(struct daemon *d, const char *name, const char *dir, int take_fd,
			 struct folders_say *say);
/* peerfs-poke offers itself: mount_poke().  fd: taken. */
enum exits folders_poke(struct daemon *d, const char *name, int take_fd,
			char nonce[MOUNT_NONCE_TEXT], struct folders_say *say);
/* Where it is mounted now, else ""; where it was last; of a mount, what there is to count. */
struct folders_where {
	char dir[PATHS_MAX], remembered[PATHS_MAX];
	struct mount_counts counts;
};
void folders_where(struct daemon *d, struct folder *f, struct folders_where *ret);

#endif
