/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - what a file version's content is: inline bytes, or a tree of sealed chunks
 *
 * The root rides in the content record: up to MANIFEST_ROOT_MAX entries at depth 0 (chunks and
 * holes) or above (nodes).  A node ends after an entry whose id's first byte ANDed with
 * MANIFEST_NODE_MASK is 0, or at MANIFEST_NODE_MAX entries: a function of the ids alone, so an
 * insert in the middle of a large file changes a path of nodes and no more.
 * A node's id is the keyed hash of its children's (length, id) list, so equal contents have
 * equal roots whatever their seals.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "base/err.h"
#include "base/hash.h"

#define INLINE_BYTES_MAX 1024
#define MANIFEST_ROOT_MAX 16
#define MANIFEST_NODE_MASK 0x3f
#define MANIFEST_NODE_MIN 16
#define MANIFEST_NODE_MAX 256
#define MANIFEST_DEPTH_MAX 8
#define CHUNK_BYTES_MAX (512u << 10) /* plaintext */
#define CHUNK_BYTES_MIN (16u << 10) /* but for the last of a file, or before a hole */
#define MANIFEST_SIZE_MAX ((uint64_t)INT64_MAX) /* of a file, as off_t has it */

enum entry_kind { ENTRY_CHUNK = 1, ENTRY_HOLE = 2, ENTRY_NODE = 3 };
struct entry {
	uint8_t kind; /* enum entry_kind */
	uint64_t len; /* bytes of the file it covers, > 0 */
	uint32_t epoch; /* folder key it is sealed under; 0 for holes */
	uint32_t stored; /* bytes of the sealed piece, 1..ENTRY_STORED_MAX; 0 for holes */
	struct hash id; /* keyed hash of the plaintext; zero for holes */
	struct hash name; /* BLAKE2b-256 of the sealed bytes; zero for holes */
};
struct manifest {
	uint64_t size;
	uint64_t holes; /* bytes of it in holes: encoded as given above depth 0, else as they are */
	uint8_t depth; /* 0: entries are chunks and holes; k: nodes of depth k - 1 */
	bool is_inline;
	struct bytes data; /* if inline: size bytes, borrowed */
	uint32_t count;
	struct entry at[MANIFEST_ROOT_MAX];
};

/*
 * A root's bytes: form u8; then, form 1 (inline): size u16, data; form 2 (tree): depth u8,
 * count u8 (1..MANIFEST_ROOT_MAX), size u64, entries.
 */
void manifest_encode(struct wr *w, const struct manifest *m);
/* Lengths sum to size, kinds fit the depth; ERR_MALFORMED.  ret->data borrowed from the input. */
enum err manifest_decode(struct bytes from, struct manifest *ret) MUST_USE;
/* Equal as contents: same size and same (length, id) lists.  Malformed input is never equal. */
bool manifest_equal(struct bytes a, struct bytes b);
/* Append what tells contents apart: size and (length, id) of each entry, not how they are sealed;
 * of malformed input its bytes. */
void manifest_identity(struct wr *w, struct bytes encoded);
uint64_t manifest_size(struct bytes encoded); /* 0 if malformed */
/* The manifest of len <= INLINE_BYTES_MAX bytes (0 too). */
void manifest_inline(struct wr *w, struct bytes data);

/* A node's plaintext: depth u8, count u16, entries.  At most MANIFEST_NODE_MAX entries. */
void node_encode(struct wr *w, uint8_t depth, const struct entry *at, uint32_t count);
/* Fills at most MANIFEST_NODE_MAX entries; ERR_MALFORMED. */
enum err node_decode(struct bytes from, uint8_t *depth, struct entry *at, uint32_t *count) MUST_USE;
#define ENTRY_BYTES 81 /* encoded: kind 1, len 8, epoch 4, stored 4, id 32, name 32 */
#define NODE_HEAD 3
#define NODE_BYTES_MAX (NODE_HEAD + MANIFEST_NODE_MAX * ENTRY_BYTES)
#define ENTRY_STORED_MAX (CHUNK_BYTES_MAX + 4096u) /* seal, and zstd at its worst */
#define MANIFEST_TREE_HEAD 19
#define MANIFEST_BYTES_MAX (MANIFEST_TREE_HEAD + MANIFEST_ROOT_MAX * ENTRY_BYTES) /* of a root */
void entry_encode(struct wr *w, const struct entry *e);
enum err entry_decode(struct rd *r, struct entry *ret) MUST_USE;
/* The id of a node over its children. */
void node_id(const uint8_t id_key[KEY_LEN], const struct entry *at, uint32_t count,
	     struct hash *ret);
/* Whether a node ends after entry e, the count-th (from 1) in it. */
bool node_ends(const struct entry *e, uint32_t count);

#endif
