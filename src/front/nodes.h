/* SPDX-License-Identifier: MIT */
/*
 * nodes.h - what the kernel knows of one mount: node ids, names, open handles, what to forget
 *
 * A node id stands for one inode *at one version*: when a remote version comes while the file is
 * open, its node is detached, keeps serving the old handles, and the next lookup makes a new node
 * with the same st_ino.  Ids are given out in sequence and never again.
 *
 * The table of names mirrors the kernel's cached names: (parent node, name) -> node that it was
 * told.  So it is known exactly which remote changes concern the kernel, and their number is
 * bounded by what the kernel holds.
 *
 * Any thread; each call locks for itself.  Lock order: the host's lock, then this one; no call
 * here takes another lock.  A struct knode is valid while the kernel holds it (any request on it),
 * and until nodes_forget() or nodes_close_handle() returns.
 */
#ifndef NODES_H
#define NODES_H

#include "base/err.h"
#include "base/ids.h"

#define NODES_ROOT 1 /* FUSE_ROOT_ID */

struct nodes;
struct kname;
struct handle;

struct knode {
	uint64_t nodeid;
	struct inode_id inode;
	/* all below under the lock of nodes, but for plain, retired and atime, which are atomic */
	uint64_t lookups; /* entries given to the kernel and not forgotten */
	struct handle *open; /* handles, newest first */
	struct kname *names;
	struct knode *by_nodeid, *by_inode; /* chains */
	struct knode *due_next, *due_prev; /* attributes the kernel must forget */
	unsigned tries; /* to tell it: the kernel may not have the inode yet */
	bool due;
	bool detached; /* an old version: no lookup finds it */
	bool retired; /* detached, as a directory that was removed here */
	bool plain; /* known to have no setuid or setgid bit and no capability */
	/* The kernel's pages are of version, and of what was written over it through this node. */
	struct dot version;
	bool paged; /* version is valid */
	bool wrote; /* there were writers since */
	bool changed; /* another version came since */
	bool has_atime;
	int64_t atime_ns;
};
struct handle { /* one open file; its address is the handle that the kernel holds */
	struct knode *node;
	uint64_t file; /* number of EV_OPEN */
	bool write; /* as given to EV_OPEN */
	struct handle *next, *prev;
};
struct nodes_due { /* one thing the kernel must forget */
	bool is_name;
	uint64_t nodeid; /* a node's attributes; a name: the parent's node */
	struct inode_id dir; /* a name: the parent's inode */
	uint8_t name_len;
	char name[NAME_BYTES_MAX + 1];
};

struct nodes *nodes_new(void); /* with the root; NULL: no memory */
void nodes_free(struct nodes *t); /* accepts NULL; handles must be closed */

/* NULL: never given out, or forgotten (the request gets ESTALE). */
struct knode *nodes_get(struct nodes *t, uint64_t nodeid);
/* The file number by which to see inode's attached node, if the kernel has it open; else 0. */
uint64_t nodes_open_file(struct nodes *t, struct inode_id inode);
/* The file number of a node's newest handle; 0: none is open. */
uint64_t nodes_file(struct nodes *t, const struct knode *k);
bool nodes_is_detached(struct nodes *t, const struct knode *k);
/*
 * The kernel is about to be told that name in parent is inode: find or make the attached node,
 * count a lookup, note the name.  Under the host's lock, so that what is noted is what was true.
 * parent 0: no name (a handle that is looked up by itself).  ERR_NOMEM.
 */
enum err nodes_tell(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id inode,
		    struct knode **ret) MUST_USE;
void nodes_forget(struct nodes *t, uint64_t nodeid, uint64_t lookups);
/* The kernel did not take what nodes_tell() had noted: it may still have what it had before. */
void nodes_untell(struct nodes *t, uint64_t parent, struct bytes name, uint64_t nodeid);

/* The inode of the node that the kernel has under that name; false if none. */
bool nodes_name_inode(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id *ret);
/* The kernel dropped a name itself, or moved it, or exchanged two (whether anything is due then).
 */
void nodes_name_gone(struct nodes *t, uint64_t parent, struct bytes name);
struct nodes_place {
	uint64_t parent;
	struct bytes name;
};
bool nodes_name_moved(struct nodes *t, const struct nodes_place *from, const struct nodes_place *to,
		      bool exchange);

/* A handle on k, whose file number is set; ERR_NOMEM. */
enum err nodes_open_handle(struct nodes *t, struct knode *k, uint64_t file, bool write,
			   struct handle **ret) MUST_USE;
void nodes_close_handle(struct nodes *t, struct handle *h); /* frees h, and its node if forgotten */
/* At the end: close() for each handle that is left, which it closes. */
void nodes_close_all(struct nodes *t, void (*close)(void *arg, struct handle *h), void *arg);
/*
 * A file was opened: whether the kernel may keep the pages it has of k.  From now on it has pages
 * of that version.  Also kept when the version is of this device and all that came over the pages
 * was written through k.
 */
struct nodes_opened {
	struct dot version;
	bool write;
	uint64_t own; /* this device's incarnation; 0: not known */
	bool first; /* result: the kernel had no pages of k yet */
};
bool nodes_keep_pages(struct nodes *t, struct knode *k, struct nodes_opened *o);
void nodes_data_changed(struct nodes *t, struct inode_id inode); /* not by writes of this mount */
/* If inode's node has file open: it no longer stands for the inode, and all its names are due. */
bool nodes_detach(struct nodes *t, struct inode_id inode, uint64_t file);

/* A directory was removed through this mount: the kernel takes it for dead for good, so its node
 * stands for it no more, should it come back.  Whether anything is due then. */
bool nodes_retire(struct nodes *t, struct inode_id inode);

/* The kernel must forget inode's attributes, or what it has under a name: queued if the kernel
 * knows them at all.  Return whether anything was queued. */
bool nodes_attr_due(struct nodes *t, struct inode_id inode);
bool nodes_name_due(struct nodes *t, struct inode_id dir, struct bytes name);
/* Everything that the kernel was told. */
void nodes_all_due(struct nodes *t);
/* Again, because the kernel did not have that inode (yet); false: tried often enough. */
bool nodes_attr_again(struct nodes *t, uint64_t nodeid);
/* Take one that is due; false: none. */
bool nodes_take_due(struct nodes *t, struct nodes_due *ret);
/* Whether the kernel has that name and it leads to another node than inode's; if so the name is
 * struck from the table.  inode {0, 0}: nothing is shown there. */
bool nodes_name_wrong(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id inode);

/*
 * For what the kernel is told although it is not so (poked.c), without a lifetime: so it need not
 * be forgotten.  was: as nodes_tell().  stub: name in parent leads to a node that stands for no
 * inode.  nodeid: that of inode's attached node; 0: the kernel has none.
 */
uint64_t nodes_nodeid(struct nodes *t, struct inode_id inode);
enum err nodes_tell_was(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id inode,
			struct knode **ret) MUST_USE;
enum err nodes_tell_stub(struct nodes *t, uint64_t parent, struct bytes name,
			 uint64_t *nodeid) MUST_USE;

struct nodes_counts {
	uint64_t nodes, names, handles, due;
};
void nodes_counts(struct nodes *t, struct nodes_counts *ret);
void nodes_check(struct nodes *t); /* asserts I1 to I4; costs a walk */

#endif
