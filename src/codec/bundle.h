/* SPDX-License-Identifier: MIT */
/*
 * bundle.h - a signed, sealed batch of one incarnation's records, numbered from 1 in its log
 *
 * Clear header (peerfs-wire(5)): magic "PFSB", version, folder, device, nonce of the incarnation
 * (incarnation = hash_incarnation()), sequence, hash of the bundle before (zeros for 1),
 * predecessor incarnation and its last bundle held (sequence 1 only, else 0), vector as a delta
 * against the bundle before, with a tag of each bundle that it names, roster head, key epoch, body
 * length; then the sealed body (kind SEAL_BUNDLE; encoded records one after another, zstd or not);
 * then an Ed25519 signature over everything before it.
 */
#ifndef BUNDLE_H
#define BUNDLE_H

#include "codec/record.h"
#include "codec/seal.h"

#define BUNDLE_VERSION 1
#define BUNDLE_BYTES_MAX (5u << 20) /* whole, encoded */
#define BUNDLE_BODY_MAX SEAL_PLAIN_MAX /* after inflation */
#define BUNDLE_CUT_BYTES (256u << 10) /* the author closes one at this size */
#define BUNDLE_RECORDS_MAX 65536

/*
 * The first bytes of a bundle's hash, wherever another bundle names it by number: a device that
 * gives one number twice tells its readers apart by them.  Zeros name none in particular.
 */
#define BUNDLE_TAG 16
struct bundle_tag {
	uint8_t b[BUNDLE_TAG];
};

struct bundle_head {
	struct folder_id folder;
	struct device_id device;
	uint64_t nonce, inc; /* inc is computed, not encoded */
	uint64_t seq;
	struct hash prev;
	struct where follows; /* seq 1: predecessor incarnation and its last bundle held; or 0, 0 */
	struct bundle_tag follows_tag; /* zeros if there is none */
	struct vector *delta; /* entries that differ from the vector of seq - 1, lower ones too; an
				 entry that is gone has seq UINT64_MAX (core/log.h) */
	struct bundle_tag *tags; /* one for each entry of delta; owned with it; NULL: all zeros */
	struct hash roster; /* head of the roster its author had */
	uint32_t epoch;
	struct bytes body; /* sealed; borrowed */
	uint8_t sig[SIG_LEN];
};

/* Append all but the signature; then bundle_sign() appends that over w from start. */
void bundle_encode(struct wr *w, const struct bundle_head *h);
void bundle_sign(struct wr *w, size_t start, const struct sign_pair *p);
void bundle_head_fini(struct bundle_head *h); /* delta and tags */
struct bundle_tag bundle_tag_of(const struct hash *bundle);
bool bundle_tag_none(const struct bundle_tag *t);
/* Decode a whole bundle and compute inc; delta and tags are the caller's.  No signature check, but
 * the body is a sealed bundle of the head's epoch.  ERR_MALFORMED, ERR_VERSION, ERR_NOMEM. */
enum err bundle_decode(struct bytes from, struct bundle_head *ret) MUST_USE;
/* Whether the signature is its device's. */
bool bundle_verify(struct bytes whole, const struct bundle_head *h);
void bundle_hash(struct bytes whole, struct hash *ret); /* what the next one's prev names */

/* An opened bundle: made outside the lock by sys/pool, handed to the core with ownership. */
struct bundle {
	struct bundle_head head;
	uint8_t *raw; /* whole bytes as received; owned */
	size_t raw_len;
	struct hash hash;
	uint8_t *plain; /* inflated body; records point into it; owned */
	struct record_arena *arena; /* owned */
	struct record *records; /* owned; in and vec still unset */
	uint32_t count;
};
void bundle_free(struct bundle *b); /* accepts NULL and half-built */
/* Decode plain (owned by b, len bytes) into b->records; ERR_MALFORMED, ERR_NOMEM. */
enum err bundle_records(struct bundle *b, size_t len) MUST_USE;

#endif
