/* SPDX-License-Identifier: MIT */
/*
 * simdisk.h - one device's store in memory: journal, data log, packs, and what of them is synced
 *
 * A power cut keeps what was synced and a random part of the rest: of the journal a beginning, of
 * data log and packs any pages and pieces.  A killed process loses nothing that was written.
 */
#ifndef SIMDISK_H
#define SIMDISK_H

#include "codec/store.h"
#include "dice.h"

struct simpiece { /* a piece in the packs */
	struct hash name;
	uint64_t addr; /* of the sealed bytes */
	uint32_t len;
	uint8_t kind;
};
struct simdisk {
	struct wr journal, data, packs;
	size_t journal_synced, data_synced;
	struct simpiece *pieces;
	uint32_t pieces_count, pieces_room, pieces_synced;
	bool clean; /* the marker of a clean stop */
};
void simdisk_fini(struct simdisk *d);
uint64_t simdisk_payload_at(const struct simdisk *d); /* where the next payload will stand */
void simdisk_append(struct simdisk *d, struct bytes payload); /* one frame of the journal */
/* The frame at offset *at, which then is behind it; false at the end. */
bool simdisk_frame(const struct simdisk *d, size_t *at, uint64_t *payload_at,
		   struct bytes *payload);
uint64_t simdisk_write(struct simdisk *d, struct bytes data); /* to the data log */
uint64_t simdisk_pack(struct simdisk *d, uint8_t kind, const struct hash *name,
		      struct bytes sealed);
void simdisk_sync(struct simdisk *d);
void simdisk_sync_journal(struct simdisk *d); /* alone: data may be lost that it refers to */
void simdisk_sync_packs(struct simdisk *d);
void simdisk_power_cut(struct simdisk *d, struct dice *dice);
void simdisk_copy(struct simdisk *to, const struct simdisk *from); /* to: nothing of its own */

#endif
