/* SPDX-License-Identifier: MIT */
/*
 * oracle_impl.h - what the oracle remembers, for oracle.c and verdict.c alone
 */
#ifndef ORACLE_IMPL_H
#define ORACLE_IMPL_H

#include "oracle.h"

struct seen { /* a bundle that left the sealer of its author */
	struct bundle *b;
	struct vector *vec;
	uint32_t node;
	uint64_t at; /* journal offset */
	bool may_be_lost, lie;
};
struct closed {
	struct inode_id inode;
	struct hash sum;
	size_t len;
	uint32_t node;
	bool synced, sealed;
};
struct before { /* how a node ended */
	bool known;
	struct hash digest;
};
/* A restored device goes on from its image: what it made in between is of another line of its life,
 * which it has not seen. */
struct line {
	uint32_t node, from, to; /* of bundles: made after the image, before it was put back */
};
struct oracle {
	struct map *plain;
	struct map *sums; /* manifest -> sum of its content */
	struct map *names; /* sum of a sealed piece -> its name */
	struct map *dots; /* dot -> hash of the record that travels under it */
	struct seen *bundles;
	uint32_t bundles_count, bundles_room;
	struct closed *closed;
	uint32_t closed_count, closed_room;
	struct before before[SIM_NODES_MAX];
	uint32_t images[SIM_NODES_MAX]; /* bundles there were when its image was made */
	struct line *lines;
	uint32_t lines_count, lines_room;
};

/* The sum of the bytes that a manifest stands for; false: nobody ever sealed such pieces. */
bool oracle_content_sum(struct world *w, struct bytes manifest, struct hash *ret);

#endif
