/* SPDX-License-Identifier: MIT */
/* host_impl.h - struct host, for the modules that share it: host and hosthands */
#ifndef HOST_IMPL_H
#define HOST_IMPL_H

#include "sys/host.h"
#include "sys/index.h"
#include "sys/pool.h"
#include "sys/reader.h"
#include "sys/sealer.h"
#include <pthread.h>
#include <stdatomic.h>

struct outgoing { /* a message that waits to be handed to the link */
	struct outgoing *next;
	enum action_kind kind;
	uint64_t peer, addr;
	uint64_t end; /* it leaves when the journal is durable up to there */
	enum link_class class;
	uint8_t *message;
	size_t len;
};
struct kept { /* what only the loop's thread may tell the link */
	struct kept *next;
	struct device_id device;
	char addr[WIRE_ADDR_MAX];
};
struct read_room { /* the pieces of one read; they go round */
	struct read_room *next;
	struct piece at[NODE_PIECES_MAX];
};
#define TRIM_SEGMENTS_MAX 256
struct spare_segment { /* of the data log: seen without use */
	uint64_t no, since_usec, commits;
};
struct queue {
	struct outgoing *first, **last;
	bool sending; /* somebody hands it to the link */
};
struct host {
	char *store;
	struct host_config c;
	struct folder_id folder;
	struct files *files;
	struct index *index;
	struct node *node;
	struct reader *reader;
	struct sealer *sealer;
	struct pool *pool; /* serves peers: pieces in and out */
	struct marks marks;

	pthread_mutex_t lock; /* the node's */
	pthread_cond_t stepped; /* signalled after steps while somebody settles */
	pthread_cond_t rebuilt; /* signalled when rebuilding ends */
	bool rebuilding; /* the view is half made: nobody but who makes it may look */
	unsigned settling;
	bool dead; /* the node must not be stepped any more; why has been reported */
	bool joining;

	_Atomic int64_t arriving; /* host_arriving() */
	pthread_mutex_t out_mutex;
	struct queue messages, bundles; /* to the link; bundles leave when they are durable */

	pthread_mutex_t small; /* keys, kept, rooms */
	struct seal_keys keys[FOLDER_EPOCHS_MAX];
	uint32_t keys_count;
	struct kept *kept;
	struct read_room *rooms;

	pthread_rwlock_t front_lock;
	bool have_front;
	struct host_front front;

	/* the loop's thread alone */
	uint64_t next_trim, next_retry;
	struct spare_segment spare[TRIM_SEGMENTS_MAX];
	uint32_t spare_count;
};

/* hosthands.c: what one step asked for, carried out.  hosthands_queue() under the lock, for what
 * must keep the order of the steps; hosthands_carry() after, without it; consumes the actions. */
void hosthands_queue(struct host *h, struct actions *a);
void hosthands_carry(struct host *h, struct actions *a);
void hosthands_flush(struct host *h); /* hand the queue to the link */
void hosthands_fini(struct host *h); /* drop what is queued */
/* Seal and sign; the completion event, to be stepped. */
void hosthands_bundle(struct host *h, struct action *a, struct event *ret);

/* hoststart.c: the view once more from the journal (node_rebuild_begin()).  Under the lock, which
 * is given up now and then for the index. */
enum err hoststart_rebuild(struct host *h, struct actions *a) MUST_USE;

/* One step without its actions, for those who must look at results under the lock.  On return
 * the lock is held; host_end() releases it and carries out the actions. */
enum err host_begin(struct host *h, struct event *ev, struct actions *a) MUST_USE;
void host_end(struct host *h, struct actions *a);

#endif
