/* SPDX-License-Identifier: MIT */
/*
 * packs.h - append-only files of sealed pieces
 *
 * Part of sys/files, whose header has the contract.  Pack numbers begin at 1.
 */
#ifndef PACKS_H
#define PACKS_H

#include "codec/store.h"
#include <stdatomic.h>

struct packs;
/* dirfd: the folder of packs; kept open, and closed by packs_close(). */
enum err packs_open(int dirfd, uint32_t pack_bytes, atomic_bool *broken,
		    struct packs **ret) MUST_USE;
void packs_close(struct packs *p); /* accepts NULL */
enum err packs_write(struct packs *p, uint8_t kind, const struct hash *name, struct bytes sealed,
		     uint64_t *addr) MUST_USE;
enum err packs_read(struct packs *p, uint64_t addr, void *to, size_t len) MUST_USE;
enum err packs_sync(struct packs *p) MUST_USE;
enum err packs_walk(struct packs *p, uint64_t from,
		    enum err (*show)(void *arg, uint64_t addr, const struct pack_head *h),
		    void *arg, uint64_t *end) MUST_USE;
uint64_t packs_bytes(struct packs *p);

#endif
