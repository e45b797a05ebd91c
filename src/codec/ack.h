/* SPDX-License-Identifier: MIT */
/*
 * ack.h - what a member has applied, signed: by these, removals can be forgotten
 *
 * It says: whatever I have not issued yet was written by one who had applied `acked`.  Members pass
 * each other's on, so that two who never meet hear of each other, and a liar can lie for itself
 * alone.  The bytes are those of peerfs-wire(5).
 */
#ifndef ACK_H
#define ACK_H

#include "base/vector.h"
#include "codec/seal.h"

#define ACK_HEAD_BYTES (4 + 1 + 32 + 32 + 8 + HASH_LEN)
#define ACK_BYTES_MAX (ACK_HEAD_BYTES + 2 * (4 + VECTOR_MAX * 16) + SIG_LEN)

struct ack {
	struct folder_id folder;
	struct device_id device; /* whose it is */
	uint64_t t; /* its clock: of two the one with the greater counts */
	struct hash roster; /* digest of the roster it holds */
	struct vector *held; /* what it holds; owned by whoever decoded; NULL: empty */
	struct vector *acked; /* likewise; held covers it */
};
/* Appends and signs; by is a->device. */
void ack_encode(struct wr *w, const struct ack *a, const struct sign_pair *by);
/* No signature check.  The vectors are the caller's.  ERR_MALFORMED, ERR_VERSION, ERR_NOMEM. */
enum err ack_decode(struct bytes from, struct ack *ret) MUST_USE;
bool ack_verify(struct bytes whole, const struct ack *a);
void ack_fini(struct ack *a); /* drops its vectors */

#endif
