/* SPDX-License-Identifier: MIT */
/*
 * simnet.h - sessions between devices: in order or broken, delayed, cut and clogged
 */
#ifndef SIMNET_H
#define SIMNET_H

#include "world.h"

void simnet_init(struct world *w); /* who may ever connect */
void simnet_fini(struct world *w);
struct simmsg {
	uint8_t *take; /* malloc'd; taken */
	size_t len;
	bool bulk, rotten;
};
void simnet_send(struct simnode *from, uint64_t peer,
		 const struct simmsg *m); /* peer: as the node
					     knows the session */
void simnet_drop(struct simnode *from, uint64_t peer); /* it ends the session */
void simnet_gone(struct simnode *n); /* the node went down with all its sessions */
void simnet_break(struct simnode *n); /* its sessions break, it goes on */
void simnet_half(struct simnode *n); /* one of them ends, and the other side does not notice */
void simnet_timer(struct world *w, struct timer *t);
/* Break every session over which nothing passes any more; clog: some only stand still. */
void simnet_cut(struct world *w, bool clog);
bool simnet_peer(struct simnode *n, uint32_t k,
		 uint64_t *peer); /* its k-th session; false: no more */
bool simnet_lies(struct simnode *n, uint64_t peer); /* the other side is a liar, or may have been */
bool simnet_silent(const struct world *w); /* nothing is on its way */

#endif
