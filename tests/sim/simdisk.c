// SPDX-License-Identifier: MIT
/*
 * simdisk.c - see simdisk.h
 *
 * I1  addresses of the data log are never given twice: lost bytes read as zeros
 */
#include "simdisk.h"
#include <stdlib.h>

#define PAGE 4096

void simdisk_fini(struct simdisk *d)
{
	wr_fini(&d->journal);
	wr_fini(&d->data);
	wr_fini(&d->packs);
	free(d->pieces);
}

uint64_t simdisk_payload_at(const struct simdisk *d)
{
	return d->journal.len + JOURNAL_HEAD;
}

void simdisk_append(struct simdisk *d, struct bytes payload)
{
	uint8_t head[JOURNAL_HEAD];

	assert(payload.len <= JOURNAL_PAYLOAD_MAX);
	journal_head(head, d->journal.len, payload);
	wr_raw(&d->journal, head, sizeof(head));
	wr_bytes(&d->journal, payload);
	assert(!d->journal.bad);
}

bool simdisk_frame(const struct simdisk *d, size_t *at, uint64_t *payload_at, struct bytes *payload)
{
	struct bytes rest = {d->journal.at + *at, d->journal.len - *at};

	if (rest.len == 0 || journal_next(rest, *at, payload))
		return false;
	*payload_at = *at + JOURNAL_HEAD;
	*at += JOURNAL_HEAD + payload->len;
	return true;
}

uint64_t simdisk_write(struct simdisk *d, struct bytes data)
{
	uint64_t addr = d->data.len;

	wr_bytes(&d->data, data);
	assert(!d->data.bad);
	return addr;
}

uint64_t simdisk_pack(struct simdisk *d, uint8_t kind, const struct hash *name, struct bytes sealed)
{
	static const uint8_t head[PACK_HEAD];

	if (d->pieces_count == d->pieces_room) {
		d->pieces_room = d->pieces_room ? d->pieces_room * 2 : 64;
		d->pieces = realloc(d->pieces, d->pieces_room * sizeof(*d->pieces));
		assert(d->pieces);
	}
	wr_raw(&d->packs, head, sizeof(head));
	struct simpiece p = {.name = *name, .addr = d->packs.len, .kind = kind};
	p.len = (uint32_t)sealed.len;
	wr_bytes(&d->packs, sealed);
	assert(!d->packs.bad);
	d->pieces[d->pieces_count++] = p;
	return p.addr;
}

void simdisk_sync_packs(struct simdisk *d)
{
	d->pieces_synced = d->pieces_count;
}

void simdisk_sync_journal(struct simdisk *d)
{
	d->journal_synced = d->journal.len;
}

void simdisk_sync(struct simdisk *d)
{
	d->data_synced = d->data.len;
	simdisk_sync_journal(d);
	simdisk_sync_packs(d);
}

/* Pages of the data log that were not synced are there, or are not, each by itself. */
static void data_cut(struct simdisk *d, struct dice *dice)
{
	uint64_t luck = dice_below(dice, 4);

	for (size_t at = d->data_synced; at < d->data.len;) {
		size_t next = MIN((at / PAGE + 1) * PAGE, d->data.len);
		if (dice_below(dice, 3) >= luck)
			memset(d->data.at + at, 0, next - at); /* I1 */
		at = next;
	}
	d->data_synced = d->data.len;
}

/* So are pieces; what is lost of them is a hole in a segment. */
static void pieces_cut(struct simdisk *d, struct dice *dice)
{
	uint64_t luck = dice_below(dice, 4);
	uint32_t kept = d->pieces_synced;

	for (uint32_t k = kept; k < d->pieces_count; k++)
		if (dice_below(dice, 3) < luck)
			d->pieces[kept++] = d->pieces[k];
	d->pieces_count = d->pieces_synced = kept;
}

void simdisk_power_cut(struct simdisk *d, struct dice *dice)
{
	struct bytes payload;
	uint64_t payload_at;
	size_t at = 0;

	data_cut(d, dice);
	pieces_cut(d, dice);
	d->journal.len =
		d->journal_synced + dice_below(dice, d->journal.len - d->journal_synced + 1);
	while (simdisk_frame(d, &at, &payload_at, &payload))
		;
	assert(at >= d->journal_synced);
	d->journal.len = d->journal_synced = at; /* a torn frame is cut off */
	d->clean = false;
}

static void wr_copy(struct wr *to, const struct wr *from)
{
	*to = (struct wr){0};
	wr_raw(to, from->at, from->len);
	assert(!to->bad);
}

void simdisk_copy(struct simdisk *to, const struct simdisk *from)
{
	*to = *from;
	wr_copy(&to->journal, &from->journal);
	wr_copy(&to->data, &from->data);
	wr_copy(&to->packs, &from->packs);
	to->pieces_room = from->pieces_count + 1;
	to->pieces = malloc(to->pieces_room * sizeof(*to->pieces));
	assert(to->pieces);
	if (from->pieces_count)
		memcpy(to->pieces, from->pieces, from->pieces_count * sizeof(*to->pieces));
}
