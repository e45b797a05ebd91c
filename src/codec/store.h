/* SPDX-License-Identifier: MIT */
/*
 * store.h - the bytes on disk that are not bundles: journal frames, pack and data log headers,
 * local.db: peerfs-store(5)
 *
 * A journal frame: length u32 (of the payload, at least 1), XXH3-64 of the payload seeded with the
 * frame's offset u64, payload.  The payload's first byte is a journal_kind; the core encodes and
 * decodes the rest (core/node). A pack's piece: magic "PK", kind u8 (seal_kind), pad u8 0, length
 * u32, name 32, sealed bytes. local.db: magic "PFSL", version u32, folder 32, device 32, store id
 * 16, machine u64, clean u8, length of the name u8, name, XXH3-64 of all that u64.
 */
#ifndef STORE_H
#define STORE_H

#include "base/err.h"
#include "base/hash.h"

#define STORE_VERSION 1
#define JOURNAL_HEAD 12
#define JOURNAL_PAYLOAD_MAX (24u << 20)
#define PACK_HEAD 40

struct journal_frame {
	uint32_t len;
	uint64_t sum;
};
/* Fill in the head of a frame whose payload will stand at file offset at + JOURNAL_HEAD. */
void journal_head(uint8_t head[JOURNAL_HEAD], uint64_t at, struct bytes payload);
/* ERR_MALFORMED when the frame at offset at (rest of the file given) is not whole and sound. */
enum err journal_next(struct bytes rest, uint64_t at, struct bytes *payload) MUST_USE;

struct pack_head {
	uint8_t kind;
	uint32_t len;
	struct hash name;
};
void pack_head_encode(uint8_t to[PACK_HEAD], const struct pack_head *h);
enum err pack_head_decode(const uint8_t from[PACK_HEAD], struct pack_head *ret) MUST_USE;

/* local.db: what only this device knows of one folder; replaced whole, atomically. */
#define LOCAL_TEXT_MAX 255
struct local_db {
	uint32_t version; /* STORE_VERSION */
	struct folder_id folder;
	struct device_id device;
	uint8_t store_id[16]; /* random, made with the store */
	uint64_t machine; /* hash of machine-id and of the store directory's inode */
	bool clean; /* left by a clean stop; consumed durably by the next start */
	char name[LOCAL_TEXT_MAX + 1]; /* the folder's local name */
};
void local_db_encode(struct wr *w, const struct local_db *l);
enum err local_db_decode(struct bytes from,
			 struct local_db *ret) MUST_USE; /* ERR_VERSION if newer */

#endif
