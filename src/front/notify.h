/* SPDX-License-Identifier: MIT */
/*
 * notify.h - tells the kernel what it must forget, from a thread of its own
 *
 * The host reports every change of the tree; what concerns nothing that the kernel holds is
 * dropped at once, the rest waits in nodes for the thread.  Never from a request's thread: the
 * kernel waits for locks that requests in flight hold.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "front/nodes.h"
#include "sys/host.h"

struct notify;

/* forget() is how libfuse is told (mount.c): a name under a node, or (name NULL) a node's
 * attributes.  Returns 0 or a negative errno. */
struct notify_config {
	struct host *host;
	struct nodes *nodes;
	int (*forget)(void *arg, uint64_t nodeid, const char *name, size_t len);
	void *arg;
};
enum err notify_new(const struct notify_config *c, struct notify **ret) MUST_USE;
void notify_free(struct notify *n); /* joins the thread; accepts NULL */

/* Any thread, without the host's lock.  Whether it is news: not of the request that this thread
 * carries out. */
bool notify_change(struct notify *n, const struct change *c);
void notify_stale(struct notify *n, struct inode_id inode, uint64_t file);
void notify_kick(struct notify *n); /* something became due in nodes otherwise */
/* Now, on this thread, which carries out no request: forget the name if it leads the kernel to what
 * is not shown there, or in any case. */
void notify_name_now(struct notify *n, struct inode_id dir, struct bytes name, bool any_case);
/* A request on that very node changed its attributes behind the kernel's back: at once, from the
 * request's thread.  Attributes alone wait for no lock, and the request holds the inode. */
void notify_attr_now(struct notify *n, uint64_t nodeid);

/*
 * What the kernel knows by itself about the request that this thread is carrying out: changes of
 * these are not reported back to it.  NULL: nothing.
 */
struct notify_own {
	unsigned names_count, inodes_count;
	struct {
		struct inode_id dir;
		struct bytes name;
	} names[2];
	struct inode_id inodes[4];
};
void notify_set_own(const struct notify_own *own);

#endif
