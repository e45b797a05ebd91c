/* SPDX-License-Identifier: MIT */
/*
 * mount.h - a folder as a file system: FUSE requests in, replies out
 *
 * The room front/ is the only one that knows libfuse.  The program that the user ran mounts
 * (mount_attach()) and hands the descriptor to the daemon, which serves it (mount_serve()); the
 * daemon never touches a path under a mount.
 */
#ifndef MOUNT_H
#define MOUNT_H

#include "sys/host.h"

struct mount;
struct mount_options {
	bool allow_other; /* root, or user_allow_other in fuse.conf */
	bool preserve_owner; /* owner = preserve */
	uint32_t uid, gid; /* owner = mounter: whose everything is */
	bool privileged; /* mounted by root: device nodes, trusted xattrs */
	bool events; /* programs that watch hear of changes from elsewhere (mount_poke()) */
};

/*
 * In the user's program: mount on dir (an empty directory of ours) and give the /dev/fuse
 * descriptor, which the caller passes on and closes.  On error text says what happened and what to
 * do (missing device, not empty, no fusermount3, still mounted by a dead daemon).  A mount that a
 * dead daemon left on dir is taken away first.
 */
enum err mount_attach(const char *dir, const char *folder, const struct mount_options *o, int *fd,
		      char *text, size_t text_len) MUST_USE;
/* Unmount dir (lazily if lazy), by fusermount3 or umount2(); also a mount whose daemon is dead.
 * ERR_BUSY: in use; ERR_INVAL: nothing of that kind is mounted there. */
enum err mount_detach(const char *dir, bool lazy, char *text, size_t text_len) MUST_USE;
/*
 * End the connection of a mount of ours whose daemon was killed and cannot end (abandon.c): whoever
 * waits for it gets an error.  ERR_NOENT: none is mounted on dir; ERR_PERM and what to do: the
 * control files cannot be reached.
 */
enum err mount_abandon(const char *dir, char *text, size_t text_len) MUST_USE;
/* The two checks of mount_attach() alone: what any mount needs; what dir must be. */
enum err mount_check_system(const struct mount_options *o, char *text, size_t text_len) MUST_USE;
enum err mount_check_dir(const char *dir, char *text, size_t text_len) MUST_USE;
bool mount_is_dead(const char *dir); /* "Transport endpoint is not connected" */

/*
 * In the daemon: serve fd (taken, also on error) with threads of its own until unmounted; then
 * gone() once, from one of those threads: it may not call mount_stop() itself.  One mount a host:
 * it is the host's front (host_set_front()) until mount_stop().
 */
enum err mount_serve(struct host *h, int take_fd, const char *dir, const struct mount_options *o,
		     void (*gone)(void *arg, struct mount *m), void *arg,
		     struct mount **ret) MUST_USE;
const char *mount_dir(const struct mount *m);
struct mount_counts {
	uint64_t nodes, names, handles; /* that the kernel holds */
	uint64_t parked; /* reads that wait for bytes */
	bool events; /* there is a peerfs-poke, and it is recognised */
	uint64_t events_told, events_missed;
};
void mount_counts(struct mount *m, struct mount_counts *ret);
/*
 * peerfs-poke's end of a SOCK_SEQPACKET socket that it made (taken, also on error): it is given
 * orders (pokewire.h) once it has looked nonce up in the root of the mount.  ERR_NOTSUP: no events
 * here; ERR_BUSY: there is one already; ERR_REFUSED: another user's.
 */
#define MOUNT_NONCE_TEXT 80
enum err mount_poke(struct mount *m, int take_fd, char nonce[MOUNT_NONCE_TEXT]) MUST_USE;
/* End the session (the kernel sees ENOTCONN unless unmounted before), join threads, free.  No
 * gone() after it.  Does not touch the mount point. */
void mount_stop(struct mount *m);

#endif
