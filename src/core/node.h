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
#include "codec/bundle.h"
#include "codec/manifest.h"
#include "codec/wire.h"
#include "core/local.h"

#define NODE_PEERS_MAX 256 /* sessions of one folder */
#define NODE_PIECES_MAX 1024 /* pieces one read or seal step may touch */
#define NODE_FETCH_BYTES (8u << 20) /* pieces asked of one peer and not yet here */
#define NODE_FILES_MAX 65536 /* files open or with unsealed writes */

struct node;

struct node_config {
	struct folder_id folder;
	struct sign_pair device;
	char device_name[MEMBER_NAME_MAX + 1];
	uint8_t seed[32]; /* secret, fresh at each start */
	uint32_t read_timeout_ms; /* deadline of a read while a holder is connected */
};

/* ---- contents: where the bytes of a file are ---- */

enum piece_kind { PIECE_ZERO = 1, PIECE_INLINE, PIECE_DATA, PIECE_CHUNK };
struct piece {
	enum piece_kind kind;
	uint64_t len; /* bytes of the file this piece covers, > 0 */
	const uint8_t *data; /* INLINE: borrowed until the next step; copy under the lock */
	uint64_t addr; /* DATA: data log address; CHUNK: pack address of the sealed bytes */
	uint32_t from; /* CHUNK: first byte used of the chunk's plaintext */
	struct entry entry; /* CHUNK */
};
struct missing { /* a sealed piece that is not here */
	struct hash name;
	uint8_t kind; /* enum seal_kind */
	uint32_t stored;
};

/* ---- events ---- */

enum event_kind {
	/* operations of a program on the mount; results stand in the event when the step returns
	   ERR_OK */
	EV_MAKE = 1, /* make.{dir, name, what} -> make.inode */
	EV_UNLINK, /* name.{dir, name} */
	EV_RMDIR, /* name */
	EV_RENAME, /* rename */
	EV_LINK, /* link */
	EV_SETATTR, /* setattr; a size goes by EV_TRUNCATE */
	EV_XATTR, /* xattr */
	EV_RESOLVE, /* resolve */
	EV_OPEN, /* open.{inode, write} -> open.file */
	EV_RELEASE, /* file.file: one EV_OPEN undone; the last writer's release cuts a version */
	EV_WRITE, /* write: bytes already in the data log */
	EV_TRUNCATE, /* truncate */
	EV_READ, /* read -> pieces, or ERR_AGAIN: parked, ACT_READ_AGAIN comes */
	EV_READ_CANCEL, /* read.tag */
	/* completions */
	EV_SEALED, /* sealed: of ACT_SEAL */
	EV_BUNDLE_SEALED, /* bundle_sealed: of ACT_BUNDLE */
	EV_PIECE, /* piece: a wanted piece has been stored (of ACT_SEND_WANT) */
	/* network */
	EV_UP, /* up: a session with a device */
	EV_DOWN, /* peer */
	EV_ROSTER, /* message.bytes: a roster message, decoded here */
	EV_VECTOR, /* vector: takes vec */
	EV_BUNDLE, /* bundle: takes it; signature verified, opened if we hold the key */
	EV_JOIN, /* join: somebody asks to join */
	EV_REFUSE, /* refuse: our wish to join was refused */
	EV_WANT, /* names */
	EV_NO, /* names */
	EV_CANCEL, /* names */
	/* from the owner */
	EV_START, /* once, after replay: opens an incarnation when needed, cuts what a crash left */
	EV_CUT, /* cut everything now (clean stop, wait) */
	EV_INVITE, /* invite: remember a token */
	EV_ADMIT, /* member: change a role, remove, retire (roster records by this device) */
	EV_ADDR, /* addr: announce this device's addresses if they changed */
	EV_TICK
};

struct event {
	enum event_kind kind;
	uint64_t now_usec; /* monotonic */
	int64_t wall_ms; /* since 1970 */
	uint64_t journal_at; /* file offset at which this step's journal payload will stand */
	uint64_t peer; /* network events: the session */
	union {
		struct {
			struct inode_id dir;
			struct bytes name;
			struct make what;
			struct inode_id inode; /* result */
		} make;
		struct {
			struct inode_id dir;
			struct bytes name;
		} name;
		struct {
			struct inode_id from_dir, to_dir;
			struct bytes from, to;
			unsigned flags; /* enum local_rename_flags */
		} rename;
		struct {
			struct inode_id inode, dir;
			struct bytes name;
		} link;
		struct {
			struct inode_id inode;
			uint64_t file; /* of the handle it came through, or 0 */
			bool set_mode, set_owner, set_mtime;
			uint32_t mode, uid, gid;
			int64_t mtime_ns;
		} setattr;
		struct {
			struct inode_id inode;
			struct bytes key, value; /* value.at NULL: remove */
			bool create, replace; /* XATTR_CREATE, XATTR_REPLACE */
		} xattr;
		struct {
			struct inode_id dir;
			struct bytes name, keep;
			bool all;
		} resolve;
		struct {
			struct inode_id inode;
			bool write;
			uint64_t file; /* result: a number never 0 */
		} open;
		struct {
			uint64_t file;
			bool write; /* as it was opened */
		} file;
		struct {
			uint64_t file, off, addr;
			uint32_t len; /* > 0 */
			bool append; /* off is ignored and set to the size */
		} write;
		struct {
			struct inode_id inode; /* used if file is 0 */
			uint64_t file, size;
		} truncate;
		struct {
			uint64_t file, off, tag; /* tag: the owner's, unique among parked reads; 0:
						    do not park, fail with ERR_AGAIN */
			uint32_t len;
			bool polite; /* absent bytes: ERR_UNREACHABLE at once */
			struct piece *pieces; /* room for NODE_PIECES_MAX */
			uint32_t count; /* result; the read is short only at the end of file */
		} read;
		struct {
			uint64_t work;
			enum err err; /* ERR_OK; ERR_AGAIN: missing[] first; else tried again later
				       */
			struct bytes manifest; /* encoded root */
			const struct sealed_piece *pieces; /* new ones */
			uint32_t pieces_count;
			const struct missing *missing;
			uint32_t missing_count;
		} sealed;
		struct {
			enum err err;
			uint64_t seq;
			uint8_t *take_raw; /* malloc'd */
			size_t len;
		} bundle_sealed;
		struct {
			struct hash name;
			uint8_t kind; /* enum seal_kind */
			uint32_t stored;
			uint64_t addr;
			struct bytes plain; /* of a node; else len 0 */
		} piece;
		struct {
			struct device_id device;
			bool joining; /* it is not in the roster and asks to join */
			bool we_join; /* we are not in the roster yet and ask */
			uint8_t hash[64]; /* the session's */
			uint8_t secret[32]; /* we_join: the invitation's */
		} up;
		struct {
			struct bytes bytes; /* the whole message */
		} message;
		struct {
			struct vector *take_applied;
			struct hash roster;
		} vector;
		struct {
			struct bundle *take;
		} bundle;
		struct wire_join join;
		struct {
			uint8_t code;
			struct bytes text;
		} refuse;
		struct {
			const uint8_t *at; /* count times HASH_LEN */
			uint32_t count;
		} names;
		struct {
			uint8_t secret[32];
			enum role role;
			int64_t expires_ms;
		} invite;
		struct {
			enum member_kind what; /* MEMBER_ROLE, MEMBER_REMOVE, MEMBER_RETIRE */
			struct device_id subject;
			enum role role;
		} member;
		struct {
			struct bytes text; /* "host:port,..." */
		} addr;
	};
};
struct sealed_piece {
	struct entry entry; /* kind ENTRY_CHUNK or ENTRY_NODE */
	uint64_t addr; /* pack address */
	struct bytes plain; /* nodes: encoded plaintext */
};

/* ---- actions ---- */

enum action_kind {
	ACT_SEAL = 1, /* seal.work: cut, seal and store a version; read it by node_work_*();
			 EV_SEALED */
	ACT_BUNDLE, /* bundle: compress, seal, sign; EV_BUNDLE_SEALED */
	ACT_SEND, /* send: a whole control message */
	ACT_SEND_BUNDLE, /* stored: a WIRE_BUNDLE of journal bytes [addr, addr + len) */
	ACT_SEND_PIECE, /* stored: a WIRE_DATA of pack bytes [addr, addr + len); class bulk */
	ACT_READ_AGAIN, /* read: give EV_READ again (ERR_OK), or fail it */
	ACT_NOTIFY, /* notify: the kernel must forget */
	ACT_NEW_DATA, /* file: file no. is stale: a newer version is shown; its node must be left to
			 it */
	ACT_DROP, /* drop: end the session; why */
	ACT_KEEP, /* keep: dial that device at these addresses from now on (again when they change)
		   */
	ACT_JOINED, /* we are a member now, and hold the keys */
	ACT_REFUSED, /* refused: our wish to join was refused */
	ACT_REPORT /* report: something an operator should read */
};
struct action {
	enum action_kind kind;
	union {
		struct {
			uint64_t work;
		} seal;
		struct {
			struct bundle_head
				head; /* but for body and signature; delta owned by the action */
			uint8_t *body; /* encoded records; owned by the action */
			size_t len;
		} bundle;
		struct {
			uint64_t peer;
			bool bulk;
			uint8_t *message; /* owned by the action */
			size_t len;
		} send;
		struct {
			uint64_t peer, addr;
			uint32_t len;
		} stored;
		struct {
			uint64_t tag;
			enum err err;
		} read;
		struct change notify;
		struct {
			struct inode_id inode;
			uint64_t file;
		} file;
		struct {
			uint64_t peer;
			enum err why;
		} drop;
		struct {
			struct device_id device;
			char addr[WIRE_ADDR_MAX];
		} keep;
		struct {
			uint8_t code; /* enum refuse_code */
			char text[128];
		} refused;
		struct {
			bool warn;
			char text[256];
		} report;
	};
};
struct actions { /* a zeroed struct is empty; reuse it with actions_reset() */
	struct wr journal; /* payload of one frame; empty: nothing to append */
	struct action *at;
	uint32_t count, room;
	bool bad; /* memory ran out: the step returned ERR_NOMEM */
};
void actions_reset(struct actions *a); /* frees what the actions own; keeps the arrays */
void actions_fini(struct actions *a);

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

/* One step.  The error is the event's answer (local operations: what the program gets); the node
 * stays sound whatever it is, but for ERR_NOMEM and ERR_IO from the kv, after which it must be
 * replayed.  An event that takes something takes it also on error. */
enum err node_step(struct node *n, struct event *ev, struct actions *a) MUST_USE;
/* Monotonic usec at which EV_TICK is due; UINT64_MAX: never. */
uint64_t node_deadline(const struct node *n);

/* ---- queries ---- */

struct view *node_view(struct node *n);
/* Attributes as a program sees them: unsealed writes included.  file: of an open handle, whose
 * version may be older than the one shown; or 0. */
struct node_stat {
	struct view_attr a;
	uint64_t size;
	uint64_t blocks; /* 512-byte units allocated in the version, local or not */
	int64_t mtime_ns, ctime_ns;
	bool stale; /* file is older than what the name shows */
};
enum err node_stat(struct node *n, struct inode_id inode, uint64_t file,
		   struct node_stat *ret) MUST_USE;
/* As EV_READ's map, for one work of ACT_SEAL: pieces of [off, off + len), at most max; missing
 * chunks and nodes are listed (ERR_AGAIN). */
enum err node_work_map(struct node *n, uint64_t work, uint64_t off, uint64_t len,
		       struct piece *pieces, uint32_t *count, struct missing *missing,
		       uint32_t *missing_count) MUST_USE;
uint64_t node_work_size(struct node *n, uint64_t work);
/* The base chunk (or hole) that starts at off and may be taken over as it is; ERR_NOENT. */
enum err node_work_reuse(struct node *n, uint64_t work, uint64_t off, struct entry *ret) MUST_USE;
/* A chunk or node with that plaintext id that is stored here; ERR_NOENT. */
enum err node_known(struct node *n, const struct hash *id, struct entry *ret) MUST_USE;
/* Whether a piece of that name has been asked of that session and not arrived. */
bool node_expects(struct node *n, uint64_t peer, const struct hash *name, uint8_t *kind);
bool node_segment_in_use(struct node *n, uint64_t segment,
			 uint64_t segment_bytes); /* of the data log */

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
struct node_counts {
	uint64_t inodes, bundles, waiting_bundles, records_held, works, bytes_unsealed;
	uint64_t parked_reads, pieces, piece_bytes, conflicts;
	uint64_t quarantined;
};
void node_counts(struct node *n, struct node_counts *ret);
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
