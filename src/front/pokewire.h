/* SPDX-License-Identifier: MIT */
/*
 * pokewire.h - an order to peerfs-poke: which change to repeat through the mount
 *
 * One datagram each way: the order, then the errno it came to (4 bytes, little-endian; 0: done).
 * The two ends are of one build; what is decoded is checked all the same.
 *
 *	0	1	kind	enum poke_kind
 *	1	1	type	enum inode_type of what comes or goes; 0 for POKE_MODIFY and
 *POKE_ATTRIB 2	2	length of the folder's path, 0 to POKE_PATH_MAX, the path and a NUL: from
 *the root of the mount, no "/" at its ends, no empty, "." or ".." component 1	length of the name
 *in it, 1 to 255, the name and a NUL POKE_RENAME and POKE_EXCHANGE: path and name of the other
 *place likewise
 */
#ifndef POKEWIRE_H
#define POKEWIRE_H

#include "base/wr.h"
#include "codec/record.h"

#define POKE_PATH_MAX 4095
#define POKEWIRE_BYTES_MAX (2 + 2 * (2 + POKE_PATH_MAX + 1 + 1 + NAME_BYTES_MAX + 1))

enum poke_kind {
	POKE_CREATE = 1,
	POKE_DELETE,
	POKE_RENAME,
	POKE_EXCHANGE,
	POKE_MODIFY,
	POKE_ATTRIB
};
struct pokewire_place { /* borrowed: from who encodes, or from the bytes decoded */
	const char *path, *name;
};
struct pokewire_order {
	enum poke_kind kind;
	enum inode_type type;
	struct pokewire_place at, to; /* to: RENAME and EXCHANGE */
};

void pokewire_encode(struct wr *w, const struct pokewire_order *o);
/* ERR_MALFORMED; *ret is written only on success, and points into b. */
enum err pokewire_decode(struct bytes b, struct pokewire_order *ret) MUST_USE;

#endif
