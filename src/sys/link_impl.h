/* SPDX-License-Identifier: MIT */
/*
 * link_impl.h - what link.c, conn.c and dial.c share; nobody else includes it
 *
 * Fields under "lock" are read and written with link.lock held; all others belong to the loop's
 * thread.  The lock is never held over a callback or a system call.
 */
#ifndef LINK_IMPL_H
#define LINK_IMPL_H

#include "base/rng.h"
#include "sys/flow.h"
#include "sys/hello.h"
#include "sys/link.h"
#include <pthread.h>
#include <stdatomic.h>

#define LINK_LISTENERS_MAX 8
#define CONN_READ_HELLO 1024 /* read buffer: half-open ones cost little memory */
#define CONN_READ_UP (256u << 10)
#define LINK_DRAIN_MS 1000 /* how long a closed session may still deliver what was queued */
#define LINK_ADDR_TEXT 280 /* HOST:PORT with the longest host name */

enum conn_state {
	CONN_DIALLING, /* TCP is not there yet */
	CONN_HELLO, /* handshake messages */
	CONN_WAITING, /* we sent the third: up when the first frame comes */
	CONN_UP,
	CONN_DRAINING, /* closed by the owner: the rest is written, what comes is ignored */
	CONN_DEAD /* waits for libuv to let go */
};

struct keep;
struct conn {
	struct conn *next, *prev; /* link.conns, oldest first */
	struct link *link;
	uint64_t id; /* serial * LINK_SESSIONS_MAX + slot */
	enum conn_state state;
	bool dialled, joining, knocked, announced; /* announced: up() was called, down() is due */
	bool writing, shut;
	uint32_t folder;
	struct device_id who;
	struct keep *keep; /* of a dial; NULL when it was forgotten */
	char addr[LINK_ADDR_TEXT];
	struct sockaddr_storage from;
	uv_tcp_t tcp;
	uv_connect_t connecting;
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct hello *hello; /* until the session is up */
	struct flow_in in;
	struct flow_out out;
	uint8_t *read;
	size_t read_len, read_room;
	uint8_t *batch; /* FLOW_BATCH bytes, from link's spare ones while there is something to
			   write */
	uint64_t born_ms, heard_ms, pinged_ms, wrote_ms;
	bool ping_open; /* sent and not answered */
	atomic_size_t queued;
	atomic_int doom; /* enum err: of a failure found where no callback may be made */
	_Atomic uint64_t sent, received, rtt_usec;
	/* lock */
	bool open; /* link_send() may queue */
	bool dirty; /* in link.dirty */
	bool closing; /* link_close() was called */
	enum err why; /* of link_close() */
	struct conn *dirty_next;
	struct flow_queue inbox[FLOW_CLASSES];
};

struct keep { /* a device we want a session with */
	struct keep *next;
	uint32_t folder;
	struct device_id who;
	char *addrs; /* owned */
	bool joining;
	unsigned tries; /* dials and look-ups under way */
	uint64_t next_ms, wait_ms; /* when to dial next; the back-off */
};

struct resolve { /* a host name being looked up */
	struct resolve *next;
	struct link *link;
	struct keep *keep; /* NULL when it was forgotten */
	uv_getaddrinfo_t req;
	char addr[LINK_ADDR_TEXT];
};

struct listener {
	uv_tcp_t tcp;
	struct link *link;
	bool used, waiting; /* waiting: libuv holds one that we could not take up */
};

struct command { /* a call from any thread, carried out on the loop's */
	struct command *next;
	enum { COMMAND_KEEP, COMMAND_FORGET, COMMAND_DIAL, COMMAND_GONE } kind;
	uint32_t folder;
	struct device_id who;
	char *addrs; /* owned */
	bool joining;
};

struct link {
	uv_loop_t *loop;
	pthread_t thread;
	struct link_ops ops;
	struct hello_self self;
	struct rng rng;
	struct link_times times;
	uv_async_t wake;
	uv_timer_t timer;
	uint64_t timer_ms; /* when the timer is due; UINT64_MAX: it is not */
	uint64_t slept_usec;
	struct listener listeners[LINK_LISTENERS_MAX];
	struct conn *conns, *conns_last;
	struct keep *keeps;
	struct resolve *resolving;
	unsigned count, half_open, handles; /* conns in slots; of those; of libuv */
	unsigned corked; /* > 0: flush at the end of the batch */
	uint8_t *spare; /* one batch buffer that no conn uses */
	uint64_t serial;
	uint64_t said_ms; /* when the log last told of a stranger; 0: never */
	bool freeing;
	void (*freed)(void *arg);
	void *freed_arg;
	/* lock */
	pthread_mutex_t lock;
	struct conn *slots[LINK_SESSIONS_MAX];
	uint32_t slot_hint;
	struct conn *dirty;
	struct command *commands, **commands_end;
	unsigned keeps_count;
	struct link_folder_entry {
		bool used;
		uint32_t no;
		struct folder_id id;
	} folders[LINK_FOLDERS_MAX];
};

/* ---- link.c ---- */
void link_arm(struct link *l, uint64_t at_ms); /* tick by then */
void link_handle_closed(struct link *l); /* libuv let go of one; the last completes link_free() */
bool link_folder_id(struct link *l, uint32_t no, struct folder_id *ret);
/* Under lock: put in the dirty list; true: the loop must be woken. */
bool link_mark(struct link *l, struct conn *c);
enum err link_err(int uv); /* what libuv says, in our words */
void link_run(struct link *l); /* see to the dirty ones */
bool link_here(const struct link *l); /* on the loop's thread */

/* ---- conn.c ---- */
/* A connection over a new socket; NULL: no slot or memory.  Dials give a keep. */
struct conn *conn_new(struct link *l, struct keep *k, const char *addr);
void conn_accept(struct listener *from);
void conn_dial(struct conn *c, const struct sockaddr *to);
/* Loop's thread, not inside a call of the owner's: end it, telling the owner what it must know. */
void conn_end(struct conn *c, enum err why);
/* Write what is queued, as far as the socket takes it. */
void conn_flush(struct conn *c);
/* What link_send() and link_close() left to do; may end it. */
void conn_dirty(struct conn *c);
/* Time's work on one; returns when to look again. */
uint64_t conn_tick(struct conn *c, uint64_t now);
bool conn_half_open(const struct conn *c);
/* A PING or PONG is seen to and said to be ours; the owner never sees one. */
enum err conn_ping_came(struct conn *c, struct bytes message, bool *ours) MUST_USE;
struct conn *conn_find(struct link *l, uint32_t folder, const struct device_id *who); /* up */
/* Up, or still delivering: a dial now would make the other side give that session up. */
bool conn_busy(struct link *l, uint32_t folder, const struct device_id *who);

/* ---- meet.c: errors end the connection ---- */
enum err meet_write(struct conn *c) MUST_USE; /* our next handshake message */
enum err meet_came(struct conn *c, struct bytes message) MUST_USE; /* the peer's */
/* The frame at that place of the read buffer, which may move. */
enum err meet_first_frame(struct conn *c, size_t at, size_t len) MUST_USE;

/* ---- dial.c ---- */
void dial_run(struct link *l, struct command *take);
uint64_t dial_tick(struct keep *k, struct link *l, uint64_t now);
/* A dial of that keep is over; why ERR_OK: with a session (or one was there already). */
void dial_over(struct link *l, struct keep *k, const char *addr, enum err why);
/* A session with that device ended that had lived so long. */
void dial_lost(struct link *l, uint32_t folder, const struct device_id *who, uint64_t lived_ms);
void dial_free(struct link *l);
/* HOST:PORT, [V6]:PORT, :PORT.  ERR_INVAL. */
enum err dial_split(const char *text, size_t len, char host[LINK_ADDR_TEXT], char port[8]) MUST_USE;

#endif
