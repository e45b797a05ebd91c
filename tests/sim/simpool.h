/* SPDX-License-Identifier: MIT */
/*
 * simpool.h - the owner's hands for bytes: cut, seal, open and read, all at once and without zstd
 */
#ifndef SIMPOOL_H
#define SIMPOOL_H

#include "world.h"

/* Seal a work and store its pieces, durable; then EV_SEALED. */
void simpool_seal(struct simnode *n, uint64_t work);
/* The raw bundle of an ACT_BUNDLE. */
uint8_t *simpool_bundle(struct simnode *n, const struct action *a, size_t *len);
/* Decode, verify and open; one whose key is not here stays closed.  ERR_FORGED, ERR_MALFORMED. */
enum err simpool_open(struct simnode *n, struct bytes raw, bool verify, struct bundle **ret);
void simpool_pair(struct sign_pair *p, uint8_t number); /* the device key of that number */
/* Plaintext of a manifest node that has come (key known), appended to w. */
enum err simpool_node(struct simnode *n, struct bytes sealed, struct wr *w);
/* The bytes of pieces, appended to w. */
enum err simpool_read(struct simnode *n, const struct piece *p, uint32_t count, struct wr *w);

#endif
