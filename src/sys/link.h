/* SPDX-License-Identifier: MIT */
/*
 * link.h - sessions with other devices: TCP, Noise XX, frames, keepalive, back-off
 *
 * One control session for each pair of devices and folder.  Two devices that dial each other at
 * once keep the session dialled by the lower device id.  The Noise static key is certified by the
 * device's Ed25519 identity inside the handshake's payloads; the initiator names the folder by a
 * keyed tag that tells a stranger nothing.  Before a session is up the owner is asked whether the
 * device may speak (authorise); until then nothing is said.
 *
 * A frame: length u16 (big-endian, of the sealed rest), sealed: class u8, flags u8 (1: more of this
 * message follows), part of a message.  Messages of class CONTROL go before those of BULK at every
 * write; frames of both may interleave, those of one class do not.
 *
 * Threads: link_new(), link_free(), link_listen() are for the loop's thread; all else any thread
 * may call.  Callbacks come on the loop's thread, never from inside a call of ours, so a caller may
 * hold its own lock.  Each up() is followed by one down(), unless link_free() comes first.
 */
#ifndef LINK_H
#define LINK_H

#include "codec/noise.h"
#include "codec/seal.h"
#include "codec/wire.h"
#include "sys/report.h"
#include <uv.h>

#define LINK_FRAME_MAX (64u << 10)
#define LINK_HALF_OPEN_MAX 256
#define LINK_HALF_OPEN_MS 5000
#define LINK_KEEPALIVE_MS 15000
#define LINK_DEAD_MS 45000
#define LINK_QUEUE_BYTES_MAX (64u << 20) /* per session: beyond, the session is dropped */
#define LINK_RETRY_MIN_MS 500
#define LINK_RETRY_MAX_MS 60000
#define LINK_PER_ADDRESS_MAX 64 /* half-open ones from one address */
#define LINK_SESSIONS_MAX 4096 /* half-open ones included */
#define LINK_FOLDERS_MAX 256
#define LINK_KEEPS_MAX 4096
#define LINK_ADDRS_MAX 8 /* tried at once for one device */

enum link_class { LINK_CONTROL = 0, LINK_BULK = 1 };
struct link;
struct link_up { /* a session that has come up; borrowed for the call */
	uint64_t session;
	uint32_t folder;
	struct device_id who;
	bool dialled, joining;
	uint8_t hash[NOISE_HASH]; /* the session's, the same on both sides */
	const char *addr;
};
struct link_ops {
	void *arg;
	/* A device that dialled us has proved its identity and names a folder (the number given
	 * with link_folder()).  joining: it asks to join, so it is not in the roster.  True: go on.
	 * Not asked for sessions we dial: link_keep() has named the one device we accept there. */
	bool (*authorise)(void *arg, uint32_t folder, const struct device_id *who, bool joining);
	void (*up)(void *arg, const struct link_up *up);
	void (*message)(void *arg, uint64_t session, struct bytes message); /* borrowed */
	void (*down)(void *arg, uint64_t session, enum err why);
	/* A dial ended without a session: to show in status; it is retried with back-off.
	 * ERR_FORGED: another device answered; ERR_REFUSED: it would not speak with us;
	 * ERR_TIMEDOUT, ERR_UNREACHABLE, ERR_INVAL (address). */
	void (*dial_failed)(void *arg, uint32_t folder, const char *addr, enum err why);
};
enum err link_new(uv_loop_t *loop, const struct sign_pair *device, const struct link_ops *ops,
		  struct link **ret) MUST_USE;
void link_free(struct link *l, void (*done)(void *arg), void *arg); /* closes all, then done */
/* addr "HOST:PORT", "[V6]:PORT" or ":PORT" (every address); port 0 picks one; *port: the one bound.
 * ERR_BUSY: port in use; ERR_INVAL: not an address; ERR_PERM, ERR_UNREACHABLE (no such address
 * here). */
enum err link_listen(struct link *l, const char *addr, uint16_t *port) MUST_USE;
/* Serve a folder under number no from now on (unserve: link_folder_gone). */
enum err link_folder(struct link *l, uint32_t no, const struct folder_id *id) MUST_USE;
void link_folder_gone(struct link *l, uint32_t no); /* ends its sessions and dials too */
/* Keep a session with that device of that folder: dial its addresses (comma list), retrying with
 * jittered back-off from LINK_RETRY_MIN_MS to LINK_RETRY_MAX_MS until link_forget().  Called again:
 * the addresses and the flag are replaced, and dialled at once if they differ. */
enum err link_keep(struct link *l, uint32_t folder, const struct device_id *who, const char *addrs,
		   bool joining) MUST_USE;
void link_forget(struct link *l, uint32_t folder, const struct device_id *who); /* session stays */
void link_dial_now(struct link *l); /* forget the back-off: try all absent ones at once */
/* Queue a message of 1..WIRE_BYTES_MAX bytes, never a PING or PONG; consumes take_message
 * (malloc'd), also on failure. On the loop's thread it is written before this returns, or at the
 * end of the current batch of received messages.  ERR_CLOSED: no such session; ERR_FULL: the
 * session is being dropped. */
enum err link_send(struct link *l, uint64_t session, enum link_class c, uint8_t *take_message,
		   size_t len) MUST_USE;
size_t link_queued(struct link *l, uint64_t session); /* bytes waiting to be written */
/* down(why) follows soon; what was queued before is still delivered, for up to a second. */
void link_close(struct link *l, uint64_t session, enum err why);
struct link_stats {
	uint64_t sent, received; /* bytes on the wire */
	uint64_t rtt_usec; /* of the last keepalive or 0 */
};
/* Other times than the constants above: for tests, right after link_new(). */
struct link_times {
	uint32_t half_open_ms, keepalive_ms, dead_ms, retry_min_ms, retry_max_ms;
};
void link_times(struct link *l, const struct link_times *t);
bool link_stats(struct link *l, uint64_t session, struct link_stats *ret);

#endif
