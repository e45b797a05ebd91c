/* SPDX-License-Identifier: MIT */
/*
 * node.h - one device's replica of one folder: the whole core behind one step
 *
 * node_step() takes an event and fills in actions; node_deadline() says when the next EV_TICK is
 * due.  Nothing here knows of clocks, files, sockets or threads: time comes with the event,
 * chance from the node's own rng, rows live in the kv.  The same code runs in the daemon
 * (sys/host) and in the simulator (tests/sim).  Calls are serialised by the owner's lock.
 *
 * The journal is the truth: what a step changes for good it also writes into actions->journal.
 * The owner appends that as one frame, before it lets anybody see the step's results.  After a
 * crash node_replay() is fed the frames in order and comes to the same state.  If the append fails
 * the node must not be stepped any more.
 *
 * Actions of one step are unordered; what must come later waits for the completion event of the
 * same name (ACT_SEAL / EV_SEALED, ACT_BUNDLE / EV_BUNDLE_SEALED).
 *
 * Queries (node_lookup() and the like) change nothing and may be called under the same lock at
 * any time between steps.
 */
#ifndef NODE_H
#define NODE_H

#include "base/rng.h"
#include "core/brake.h"
#include "core/event.h"

struct node;

struct node_config {
	struct folder_id folder;
	struct sign_pair device;
	char device_name[MEMBER_NAME_MAX + 1];
	uint8_t seed[32]; /* secret, fresh at each start */
	uint32_t read_timeout_ms; /* deadline of a read while a holder is connected */
	struct brake_limits brake; /* percent 0: none */
	int64_t keep_ms; /* superseded versions and removed names are remembered; 0: for ever */
};

/* ---- life ---- */

/* A node on an empty or replayed kv, which outlives it.  NULL: no memory. */
struct node *node_new(struct kv *kv, const struct node_config *c);
void node_free(struct node *n); /* accepts NULL */
/* Found a new folder: fills in config->folder and appends the founding entries to journal (one
 * payload, to be appended to a fresh journal and then replayed).  ERR_INVAL: bad name. */
enum err node_found(struct node_config *c, struct bytes folder_name, int64_t wall_ms,
		    struct wr *journal) MUST_USE;
/*
 * Feed one journal payload, standing at file offset at, before EV_START.  open() turns raw bundle
 * bytes into an opened bundle (owned by the node from then on).  ERR_DAMAGED, ERR_NOMEM, ERR_IO.
 */
enum err node_replay(struct node *n, uint64_t at, struct bytes payload,
		     enum err (*open)(void *arg, struct bytes raw, struct bundle **ret),
		     void *arg) MUST_USE;
/* A piece found in a pack at start-up (also before EV_START). */
enum err node_replay_piece(struct node *n, const struct hash *name, uint8_t kind, uint64_t addr,
			   uint32_t stored) MUST_USE;
/* In-memory state from the rows of a kv that was not empty; before node_replay(). */
enum err node_load(struct node *n) MUST_USE;

/* One after another at most: forks of branches show one by one. */
#define NODE_REBUILDS_MAX 64
/*
 * Whether what is applied is no longer what is accepted (a member was removed, say): asked after
 * each step and, if so, the view is made again before the next: node_rebuild_begin(), then all
 * frames of the journal from its beginning, then node_rebuild_end(), which fills in actions (and
 * writes nothing into the journal).  Queries see half a tree meanwhile.  Errors as node_replay().
 */
bool node_wants_rebuild(const struct node *n);
/* Whether the view stands where it should; if not it will be made again. */
bool node_settled(const struct node *n);
enum err node_rebuild_begin(struct node *n) MUST_USE;
enum err node_rebuild_frame(struct node *n, uint64_t at, struct bytes payload,
			    enum err (*open)(void *arg, struct bytes raw, struct bundle **ret),
			    void *arg) MUST_USE;
enum err node_rebuild_end(struct node *n, struct actions *a) MUST_USE;

/* One step.  The error is the event's answer (local operations: what the program gets); the node
 * stays sound whatever it is, but for ERR_NOMEM and ERR_IO from the kv, after which it must be
 * replayed.  An event that takes something takes it also on error. */
enum err node_step(struct node *n, struct event *ev, struct actions *a) MUST_USE;
/* Journal bytes that a step with this event may write; 0: it writes nothing, and goes ahead on a
 * full disk.  What adds to the folder asks for more than it needs: so removals still find room. */
size_t node_room(const struct node *n, const struct event *ev);
/* Monotonic usec at which EV_TICK is due; UINT64_MAX: never. */
uint64_t node_deadline(const struct node *n);

/* ---- queries ---- */

struct view *node_view(struct node *n);
/* Attributes as a program sees them: unsealed writes included.  file: of an open handle, whose
 * version may be older than the one shown; or 0. */
enum err node_stat(struct node *n, struct inode_id inode, uint64_t file,
		   struct node_stat *ret) MUST_USE;
/* As EV_READ's map, for one work of ACT_SEAL: [off, off + len), as far as there is room for pieces.
 * ERR_AGAIN: chunks or nodes are missing, told as far as there is room. */
struct node_map {
	struct piece *pieces; /* room for count of them; count: those filled in */
	struct missing *missing;
	uint32_t count, missing_count;
};
enum err node_work_map(struct node *n, uint64_t work, uint64_t off, uint64_t len,
		       struct node_map *map) MUST_USE;
uint64_t node_work_size(struct node *n, uint64_t work);
/* The base chunk (or hole) that starts at off and may be taken over as it is; ERR_NOENT. */
enum err node_work_reuse(struct node *n, uint64_t work, uint64_t off, struct entry *ret) MUST_USE;
/* A chunk or node with that plaintext id that is stored here; ERR_NOENT. */
enum err node_known(struct node *n, const struct hash *id, struct entry *ret) MUST_USE;
/* Whether a piece of that name has been asked of that session and not arrived. */
bool node_expects(struct node *n, uint64_t peer, const struct hash *name, uint8_t *kind);
bool node_segment_in_use(struct node *n,
			 uint64_t segment); /* of the data log: EXTENTS_SEGMENT_BYTES */

struct node_keys { /* for sys/pool: newest first; borrowed until the next step */
	bool have;
	struct seal_keys newest;
	uint8_t id_key[KEY_LEN], cut_key[KEY_LEN];
};
void node_keys(struct node *n, struct node_keys *ret);
enum err node_keys_of(struct node *n, uint32_t epoch,
		      struct seal_keys *ret) MUST_USE; /* ERR_NOENT */

enum role node_role(struct node *n, const struct device_id *d); /* ROLE_NONE: no member */
bool node_is_member(struct node *n); /* this device is in the roster, with keys */
bool node_folder_name(struct node *n, char name[MEMBER_NAME_MAX + 1]);

struct node_member {
	struct device_id device;
	enum role role;
	char name[MEMBER_NAME_MAX + 1];
	char addr[WIRE_ADDR_MAX];
	bool self, connected;
	uint64_t lacks; /* bundles it is not known to have applied */
	uint64_t peer; /* session, if connected */
	uint64_t fetched, served; /* bytes of pieces since start */
};
uint32_t node_members(struct node *n, struct node_member *ret, uint32_t max);
/* Whether something is written into inode that is no version yet. */
bool node_is_written(struct node *n, struct inode_id inode);
/* The name of the device behind an incarnation, as conflict copies have it, and whether it is this
 * one. */
bool node_author(struct node *n, uint64_t inc, char name[MEMBER_NAME_MAX + 1]);
/* How many bytes of contents that are known by their manifest are here; ERR_DAMAGED. */
enum err node_local_bytes(struct node *n, struct bytes manifest, uint64_t *ret) MUST_USE;
struct node_counts {
	uint64_t inodes, bundles, waiting_bundles, records_held, works, bytes_unsealed;
	uint64_t set_aside; /* bundles held and not applied */
	uint64_t parked_reads, pieces, piece_bytes, conflicts;
	uint64_t removed; /* inodes of which something removed is remembered */
};
void node_counts(struct node *n, struct node_counts *ret);
enum aside_why {
	ASIDE_BRAKE = 1, /* too much at once: a member accepts or rejects it */
	ASIDE_LIMIT, /* its author was removed, retired, rejected, or may write no more */
	ASIDE_CAUSES /* it had seen what is set aside for one of the other reasons */
};
struct node_aside { /* what is held of one incarnation and not applied */
	struct device_id device;
	uint64_t inc, bundles, bytes;
	enum aside_why why;
	int64_t since_ms; /* BRAKE: when it was held */
};
struct node_fork { /* a log whose device gave one number to two bundles */
	struct device_id device;
	struct where at; /* the last bundle that all agree on */
};
uint32_t node_forks(struct node *n, struct node_fork *ret, uint32_t max);
/* The k-th branch of an incarnation's log, from 0; 0: no more. */
uint64_t node_branch(struct node *n, uint64_t inc, uint32_t k);
uint32_t node_aside(struct node *n, struct node_aside *ret, uint32_t max);
/* How much of a file's bytes is here; ERR_NOENT. */
enum err node_residency(struct node *n, struct inode_id inode, uint64_t *local,
			uint64_t *size) MUST_USE;
/* Why a read of inode last failed; false if none did since start. */
bool node_last_failure(struct node *n, struct inode_id inode, enum err *e, int64_t *wall_ms);
const struct vector *node_vector(struct node *n); /* what is applied; borrowed */
bool node_idle(
	struct node *n); /* nothing dirty, held, unsealed or unsent: a clean stop may follow */
void node_check(struct node *n); /* asserts the invariants; costs a walk */

#endif
