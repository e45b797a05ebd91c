/* SPDX-License-Identifier: MIT */
/*
 * host.h - one folder in the daemon: the node, its lock, and the hands that carry out its actions
 *
 * host_step() is the only way a step happens: lock, journal room, step, append, unlock; then,
 * outside the lock, the actions.  FUSE threads call it themselves, so a reply costs no thread
 * hop.  Contents never cross the lock.  What comes from the network goes through sys/inbox.
 */
#ifndef HOST_H
#define HOST_H

#include "core/node.h"
#include "sys/files.h"
#include "sys/link.h"
#include "sys/marks.h"

struct host;
struct host_front { /* the mounts' side; called without the lock, from any thread; may be NULL */
	void *arg;
	void (*read_again)(void *arg, uint64_t tag, enum err err);
	void (*notify)(void *arg, const struct change *c);
	void (*notified)(void *arg); /* all changes of a step were told */
	void (*stale)(void *arg, struct inode_id inode, uint64_t file);
	bool tell_before; /* changes of entries say what was there before */
};
struct host_join {
	bool joining; /* we ask to join with this secret */
	uint8_t secret[32];
};

struct host_config {
	const char *store;
	const struct sign_pair *device;
	const char *device_name;
	uint32_t read_timeout_ms;
	int64_t keep_ms; /* as in struct node_config */
	bool brake;
	struct link *link;
	uint32_t folder_no; /* as given to link_folder() */
	struct host_join join;
	void (*on_joined)(void *arg, enum err err,
			  const char *text); /* once: ERR_OK, or ERR_REFUSED and why; any thread */
	void *on_joined_arg;
};
/* Make the store of a new folder, founded by this device; name: the folder's, also locally. */
enum err host_found(const char *store, const struct sign_pair *device, const char *device_name,
		    const char *name) MUST_USE;
/* Make the empty store of a folder to be joined; name: what it is called on this device. */
enum err host_prepare(const char *store, const struct sign_pair *device, const struct folder_id *id,
		      const char *name) MUST_USE;
/* Open a store that one of the two made, replay, start.  link may be NULL (no network).  store is
 * kept by copy. */
enum err host_open(const struct host_config *c, struct host **ret) MUST_USE;
/* Cut and publish what is open, wait for seals, flush, mark clean, close.  Accepts NULL.  Nobody
 * may call anything on the host meanwhile. */
void host_close(struct host *h);
/* Cut what is open and wait until everything is sealed and sent, at most so long; true: it is. */
bool host_settle(struct host *h, unsigned timeout_ms);

/* Fills in now, wall and journal_at, steps, and carries out the actions. */
enum err host_step(struct host *h, struct event *ev) MUST_USE;
/* One EV_OPEN undone, on a full disk, too: then the version is cut when there is room again. */
enum err host_release(struct host *h, uint64_t file, bool write) MUST_USE;
void host_lock(struct host *h); /* for queries on host_node() */
void host_unlock(struct host *h);
struct node *host_node(struct host *h);
void host_set_front(struct host *h, const struct host_front *f); /* NULL: none */

/* Write bytes to the data log for EV_WRITE; any thread, no lock. */
enum err host_data(struct host *h, struct bytes data, uint64_t *addr) MUST_USE;
/*
 * EV_READ and the bytes: reads at most len into buf.  ERR_AGAIN: parked under tag, read_again()
 * will come.  *done: bytes read (short only at the end of file).
 */
enum err host_read(struct host *h, uint64_t file, uint64_t off, uint32_t len, uint64_t tag,
		   bool polite, uint8_t *buf, uint32_t *done) MUST_USE;
enum err host_fsync(struct host *h) MUST_USE; /* data log and journal, group commit */
enum err host_space(struct host *h, struct files_space *ret) MUST_USE;

/* The owner's timer, on the loop's thread: milliseconds until host_tick() is due; -1: never.  The
 * loop asks again after each host_tick() and at least every 100 ms. */
int host_timeout(struct host *h);
void host_tick(struct host *h);

/* ---- for sys/inbox ---- */
const struct folder_id *host_folder(const struct host *h);
struct link *host_link(struct host *h);
bool host_joining(struct host *h, uint8_t secret[32]);
enum err host_keys(struct host *h, uint32_t epoch, struct seal_keys *ret) MUST_USE; /* no lock */
struct files *host_files(struct host *h);
struct marks *host_marks(struct host *h);
/* Run a job on a thread that never waits behind sealing. */
enum err host_submit(struct host *h, void (*job)(void *arg), void *arg) MUST_USE;
/* Bytes of pieces that have come and wait to be stored, after adding more (0: just asked). */
int64_t host_arriving(struct host *h, int64_t more);

#endif
