/* SPDX-License-Identifier: MIT */
/*
 * mapping.h - from a range of a file version to the places of its bytes
 *
 * Manifest nodes are kept in plaintext in rows TABLE_NODE name -> plaintext; sealed pieces that are
 * here have rows TABLE_PIECE name -> pack address, kind, stored length.
 */
#ifndef MAPPING_H
#define MAPPING_H

#include "core/step.h"

/* Where results go: pieces in order of the range, and what is missing. */
struct sink {
	struct piece *pieces;
	uint32_t count, max;
	struct missing *missing;
	uint32_t missing_count, missing_max;
	uint64_t len; /* bytes mapped; the range is done when it reaches the range's length */
	bool full; /* no room: the rest of the range is not mapped */
	bool blind; /* a node is missing, so that what it stands for is unknown, from ... */
	uint64_t seen; /* ... this many bytes into the range */
};
void sink_zero(struct sink *k, uint64_t len);
void sink_data(struct sink *k, uint64_t addr, uint64_t len);
void sink_missing(struct sink *k, const struct hash *name, uint8_t kind, uint32_t stored);

/* The leaf entry (chunk or hole) over byte off of a manifest, and where it starts.  ERR_AGAIN: a
 * node is missing, told in *m, and *start and ret->len say what range it covers. */
enum err mapping_find(struct kv *kv, const struct manifest *m, uint64_t off, struct entry *ret,
		      uint64_t *start, struct missing *lacks) MUST_USE;
/* Map [off, off + len) of a manifest; beyond its size are zeros.  Stops when the sink is full. */
enum err mapping_range(struct kv *kv, const struct manifest *m, uint64_t off, uint64_t len,
		       struct sink *sink) MUST_USE;

/* How many bytes of a version are here; holes and inline bytes count as here. */
enum err mapping_local(struct kv *kv, const struct manifest *m, uint64_t *ret) MUST_USE;

enum err mapping_put_piece(struct kv *kv, const struct hash *name, uint8_t kind, uint64_t addr,
			   uint32_t stored) MUST_USE;
/* ERR_NOENT: not here. */
enum err mapping_piece(struct kv *kv, const struct hash *name, uint64_t *addr, uint8_t *kind,
		       uint32_t *stored) MUST_USE;
enum err mapping_put_node(struct kv *kv, const struct hash *name, struct bytes plain) MUST_USE;
/* Known contents: plaintext id -> entry. */
enum err mapping_put_known(struct kv *kv, const struct entry *e) MUST_USE;
enum err mapping_known(struct kv *kv, const struct hash *id, struct entry *ret) MUST_USE;

#endif
