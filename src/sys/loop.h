/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the daemon's one event loop: network, timers, signals, and the folders it serves
 *
 * Everything of the link happens on the loop's thread.  Other threads reach it by loop_call().
 * Folders are counted: a struct folder that loop_get() gave stays until loop_put().
 */
#ifndef LOOP_H
#define LOOP_H

#include "sys/host.h"

#define LOOP_FOLDERS_MAX 256
#define LOOP_ADDRS_MAX 256

struct loop;
struct folder {
	char name[LOCAL_TEXT_MAX + 1]; /* on this device */
	char *store; /* owned */
	uint32_t no;
	struct folder_id id;
	struct host *host;
	struct device_id admin; /* while we join: who invited */
	void *mount; /* for the mounts' owner; under loop_lock() */
	unsigned users;
	bool leaving;
};
struct loop_config {
	const struct sign_pair *device; /* outlives the loop */
	const char *device_name; /* outlives the loop */
	const char *announce; /* comma list of addresses, or "": the listener's own */
	void (*signalled)(void *arg, int signal); /* SIGTERM, SIGINT, SIGHUP; the loop's thread */
	void *arg;
};
enum err loop_new(const struct loop_config *c, struct loop **ret) MUST_USE;
/* Before loop_run().  "HOST:PORT"; ERR_BUSY: the port is in use. */
enum err loop_listen(struct loop *l, const char *addr) MUST_USE;
uint16_t loop_port(const struct loop *l);
void loop_run(struct loop *l); /* until loop_end() */
/* From another thread: close the network, then let loop_run() return. */
void loop_end(struct loop *l);
void loop_free(struct loop *l); /* accepts NULL; all folders are gone */

/* Run job on the loop's thread and wait for it.  From other threads, or before loop_run(). */
enum err loop_call(struct loop *l, enum err (*job)(void *arg), void *arg) MUST_USE;

struct loop_folder { /* what to open */
	const char *name, *store;
	uint32_t read_timeout_ms;
	int64_t keep_ms;
	bool brake; /* mass changes of other devices wait for a word: core/brake.h */
	const struct host_join *join; /* NULL: we are a member */
	const struct invitation *by; /* with join: whom to ask, and where */
	void (*on_joined)(void *arg, enum err err, const char *text);
	void *arg;
};
/* Open a folder and serve it; one user more.  ERR_EXIST: the name is taken; ERR_FULL; and those of
 * host_open(). */
enum err loop_open(struct loop *l, const struct loop_folder *f, struct folder **ret) MUST_USE;
/* No longer served: sessions end, other users are awaited, the host is closed; consumes the user
 * that the caller is. */
void loop_leave(struct loop *l, struct folder *take_f);
struct folder *loop_get(struct loop *l, const char *name); /* NULL: no such folder */
struct folder *loop_at(struct loop *l, uint32_t i); /* the i-th; NULL: no more */
void loop_put(struct loop *l, struct folder *f);
void loop_lock(struct loop *l);
void loop_unlock(struct loop *l);

/* Tell the members of a folder our addresses; also done at opening and when they change. */
void loop_announce(struct loop *l, struct folder *f);
/* Addresses at which others reach this device, by commas; "" if it does not listen. */
void loop_addrs(struct loop *l, char ret[LOOP_ADDRS_MAX]);
struct loop_session {
	uint64_t sent, received, rtt_usec;
	char addr[WIRE_ADDR_MAX];
	bool dialled;
};
/* Of a session that a node names; false: gone. */
bool loop_session(struct loop *l, uint64_t session, struct loop_session *ret);

#endif
