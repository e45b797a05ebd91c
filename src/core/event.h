/* SPDX-License-Identifier: MIT */
/*
 * event.h - what goes into a step of the core and what comes out: pure data
 *
 * Actions of one step are unordered; what must come later waits for the completion event of the
 * same name (ACT_SEAL / EV_SEALED, ACT_BUNDLE / EV_BUNDLE_SEALED).
 */
#ifndef EVENT_H
#define EVENT_H

#include "codec/bundle.h"
#include "codec/manifest.h"
#include "codec/wire.h"
#include "core/local.h"

#define NODE_PEERS_MAX 256 /* sessions of one folder */
#define NODE_PIECES_MAX 1024 /* pieces one read or seal step may touch */
#define NODE_FETCH_BYTES (8u << 20) /* pieces asked of one peer and not yet here */
#define NODE_FILES_MAX 65536 /* files open or with unsealed writes */

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
	EV_SETTLE, /* settle; ERR_AGAIN, with a base: the file is being written */
	EV_RESTORE, /* restore.{dir, name, what} -> restore.inode; ERR_AGAIN: it is being written */
	EV_OPEN, /* open.{inode, write, version} -> open.file */
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
	EV_ACK, /* message.bytes: an acknowledgement, decoded here */
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
		struct settle settle;
		struct {
			struct inode_id dir;
			struct bytes name;
			struct make what; /* files: content is that of the version */
			struct inode_id inode; /* result */
		} restore;
		struct {
			struct inode_id inode;
			bool write;
			struct dot version; /* {0, 0}: that which is shown; else that one, which
					       may be past, to be read */
			uint64_t file; /* result: a number never 0 */
		} open;
		struct {
			uint64_t file;
			bool write; /* as it was opened */
			bool full; /* the disk: nothing is written; the cut is left to a tick */
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
			uint32_t count; /* result, with len: the bytes mapped, short only at the end
					   of file or when more is set */
			bool more; /* result: the pieces ran out before the range did */
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
			struct bytes heads; /* of its entries, WIRE_HEAD bytes each; borrowed */
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
		struct {
			bool full; /* the disk: only what writes nothing is done */
		} tick;
		struct {
			bool clean; /* the stop before was clean, on this machine and store */
		} start;
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
	ACT_SEND_BUNDLE, /* stored: a WIRE_BUNDLE of journal bytes [addr, addr + len), once they are
			    durable: what was published must not be made again in another bundle */
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
			struct bundle_head head; /* but for body and signature; delta and tags owned
						    by the action */
			uint8_t *body; /* encoded records; owned by the action */
			size_t len;
		} bundle;
		struct {
			uint64_t peer;
			bool bulk;
			bool durable; /* once the journal is, up to this step */
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

/* Attributes as a program sees them: node_stat(). */
struct node_stat {
	struct view_attr a;
	uint64_t size;
	uint64_t blocks; /* 512-byte units allocated in the version, local or not */
	int64_t mtime_ns, ctime_ns;
	bool stale; /* file is older than what the name shows */
};

#endif
