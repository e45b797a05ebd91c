/* SPDX-License-Identifier: MIT */
/*
 * ids.h - the numbers and names by which things are known, and their orders
 *
 * An inode's id is the dot of the record that made it, so ids of one author are sequential; the
 * id of a conflict copy is derived (top bit of inc set).  A name's id is its birth stamp, as
 * merge.md orders names by birth; h is zero but for the name of a promoted copy.
 */
#ifndef IDS_H
#define IDS_H

#include "base/bytes.h"
#include "base/rd.h"
#include "base/wr.h"

#define HASH_LEN 32
#define KEY_LEN 32
#define DERIVED_BIT (UINT64_C(1) << 63)

struct hash { /* BLAKE2b-256 */
	uint8_t b[HASH_LEN];
};
struct device_id { /* Ed25519 public key */
	uint8_t b[32];
};
struct folder_id { /* hash of the founding roster record */
	uint8_t b[HASH_LEN];
};
struct dot { /* incarnation, operation counter from 1 */
	uint64_t inc, op;
};
struct inode_id {
	uint64_t inc, op;
};
struct stamp { /* t: hybrid clock, 48 bits of ms since 1970 and a 16-bit counter */
	uint64_t t, inc;
};
struct name_id {
	uint64_t t, inc, h;
};
struct where { /* the bundle a record travels in; seq 0: in none so far */
	uint64_t inc, seq;
};

#define INODE_ROOT ((struct inode_id){0, 1})
#define DOT_LEN 16
#define INODE_ID_LEN 16
#define NAME_ID_LEN 24

static inline int u64_compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static inline int dot_compare(struct dot a, struct dot b)
{
	int c = u64_compare(a.inc, b.inc);

	return c ? c : u64_compare(a.op, b.op);
}

static inline int inode_compare(struct inode_id a, struct inode_id b)
{
	return dot_compare((struct dot){a.inc, a.op}, (struct dot){b.inc, b.op});
}

static inline bool inode_equal(struct inode_id a, struct inode_id b)
{
	return a.inc == b.inc && a.op == b.op;
}

static inline bool inode_none(struct inode_id a) /* {0, 0} is no inode */
{
	return a.inc == 0 && a.op == 0;
}

static inline bool inode_derived(struct inode_id a)
{
	return (a.inc & DERIVED_BIT) != 0;
}

static inline int stamp_compare(struct stamp a, struct stamp b)
{
	int c = u64_compare(a.t, b.t);

	return c ? c : u64_compare(a.inc, b.inc);
}

static inline int name_id_compare(struct name_id a, struct name_id b)
{
	int c = u64_compare(a.t, b.t);

	if (!c)
		c = u64_compare(a.inc, b.inc);
	return c ? c : u64_compare(a.h, b.h);
}

/* In keys: big-endian, so that bytes order as the ids do. */
void ids_key_inode(struct wr *w, struct inode_id i);
void ids_key_name(struct wr *w, struct name_id n);
struct inode_id ids_rd_key_inode(struct rd *r);
struct name_id ids_rd_key_name(struct rd *r);

/* What a mount shows as st_ino: a function of the id alone; 1 for the root, never 0. */
uint64_t ids_ino(struct inode_id i);

/* 1 to 255 bytes, no '/' and no NUL, neither "." nor "..": the one rule, at FUSE and at decode. */
#define NAME_BYTES_MAX 255
bool name_ok(struct bytes name);

#endif
