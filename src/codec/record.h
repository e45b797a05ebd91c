/* SPDX-License-Identifier: MIT */
/*
 * record.h - one register's new value: the struct, and its bytes in journal and bundle
 *
 * Decoded pointers are borrowed from the bytes decoded.  What a struct record points to is
 * valid as long as its owner says.  Registers and their meaning: merge.md section 1.
 */
#ifndef RECORD_H
#define RECORD_H

#include "base/err.h"
#include "base/vector.h"

enum record_kind { REC_INODE = 1, REC_LINK = 2, REC_CONTENT = 3, REC_ATTR = 4 };
enum inode_type {
	TYPE_FILE = 1,
	TYPE_DIR,
	TYPE_SYMLINK,
	TYPE_FIFO,
	TYPE_SOCKET,
	TYPE_CHAR,
	TYPE_BLOCK
};
enum attr_field { ATTR_MODE = 1, ATTR_OWNER = 2, ATTR_TIMES = 3, ATTR_XATTR = 4 };

#define RECORD_BASES_MAX 256 /* versions one content record replaces */
#define RECORD_ATTRS_MAX 512 /* attributes carried by a promoted copy */
#define SYMLINK_BYTES_MAX 4095
#define XATTR_NAME_MAX_BYTES 255
#define XATTR_VALUE_MAX_BYTES 65536
#define RECORD_BYTES_MAX (4u << 20) /* one encoded record, its frame included */
#define RECORD_HEAD 53 /* length 4, kind 1, dot 16, t 8, wall 8, inode 16 */

struct place { /* a name in a directory */
	struct inode_id parent;
	struct bytes name; /* name_ok() */
};

/* One version of a file's content.  content: encoded manifest (codec/manifest.h), never empty. */
struct version {
	struct dot dot;
	uint64_t t; /* stamp is (t, dot.inc) */
	struct where in; /* bundle it came in */
	const struct vector *vec; /* what its author had applied */
	int64_t mtime_ns; /* since 1970 */
	struct bytes content;
};

struct attr_value {
	enum attr_field field;
	union {
		uint32_t mode; /* permission bits, 07777 */
		struct {
			uint32_t uid, gid;
		} owner;
		int64_t mtime_ns;
		struct {
			struct bytes key, value; /* value.at NULL: removed */
		} xattr;
	};
};
struct stamped_attr {
	struct stamp stamp;
	struct attr_value v;
};

struct rec_inode {
	enum inode_type type;
	struct bytes target; /* symlinks */
	uint32_t rdev; /* TYPE_CHAR, TYPE_BLOCK */
	struct stamp born;
	bool has_birth, has_origin;
	struct place birth; /* directories but the root */
	/* origin of a promoted copy: inode, version, and the attributes with their stamps */
	struct inode_id origin_inode;
	struct version origin;
	const struct stamped_attr *attrs;
	uint32_t attrs_count;
};
struct rec_link {
	struct name_id name;
	bool has_place, has_prev, pinned; /* no place: removed */
	struct place place, prev;
};
struct rec_content {
	const struct dot *bases;
	uint32_t bases_count;
	bool dropped; /* only takes bases away */
	int64_t mtime_ns;
	struct bytes content; /* encoded manifest; unless dropped */
};

struct record {
	uint8_t kind; /* enum record_kind, or unknown: carried and skipped */
	struct dot dot;
	uint64_t t;
	int64_t wall_ms; /* for display only */
	struct where in; /* not encoded: the bundle it travels in */
	const struct vector *vec; /* not encoded: its bundle's vector; borrowed */
	struct inode_id inode; /* the register's inode (kinds 1 to 4) */
	union {
		struct rec_inode ino;
		struct rec_link link;
		struct rec_content content;
		struct attr_value attr;
		struct bytes unknown; /* the body of an unknown kind */
	};
};

/* Arrays that decoded records point into, besides the input: one arena a bundle. */
struct record_arena;
struct record_arena *record_arena_new(void); /* NULL: no memory */
void record_arena_free(struct record_arena *a); /* also drops vectors of decoded origins */

/* Append one framed record: length u32, kind u8, ...; see peerfs-store(5).  What record_decode()
 * would refuse is the caller's bug: asserted. */
void record_encode(struct wr *w, const struct record *r);
/* The bytes record_encode() would append: at most RECORD_BYTES_MAX may be encoded, which only the
 * attributes of a promoted copy can exceed. */
size_t record_bytes(const struct record *r);
/*
 * Read one record.  Checks all that a record alone can show: names, limits, known types, derived
 * ids that equal their hash, places present where needed.  in and vec are left zero.
 * ERR_MALFORMED, ERR_NOMEM.
 */
enum err record_decode(struct rd *r, struct record_arena *a, struct record *ret) MUST_USE;

static inline struct stamp record_stamp(const struct record *r)
{
	return (struct stamp){r->t, r->dot.inc};
}

/* A version alone, for rows that keep heads (its vector by value); ERR_MALFORMED, ERR_NOMEM. */
void version_encode(struct wr *w, const struct version *v);
enum err version_decode(struct rd *r, struct record_arena *a, struct version *ret) MUST_USE;

#endif
