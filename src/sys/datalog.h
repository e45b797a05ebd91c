/* SPDX-License-Identifier: MIT */
/*
 * datalog.h - segments that hold the bytes of writes until they are sealed
 *
 * Part of sys/files, whose header has the contract.  Segment numbers begin at 1, so no address
 * is 0, and are never used twice.
 */
#ifndef DATALOG_H
#define DATALOG_H

#include "base/bytes.h"
#include "base/err.h"
#include <stdatomic.h>

struct datalog;
/* dirfd: the folder of segments; kept open, and closed by datalog_close(). */
enum err datalog_open(int dirfd, uint32_t segment_bytes, atomic_bool *broken,
		      struct datalog **ret) MUST_USE;
void datalog_close(struct datalog *d); /* accepts NULL */
enum err datalog_write(struct datalog *d, struct bytes data, uint64_t *addr) MUST_USE;
enum err datalog_read(struct datalog *d, uint64_t addr, void *to, size_t len) MUST_USE;
enum err datalog_sync(struct datalog *d) MUST_USE; /* one thread at a time */
void datalog_trim(struct datalog *d, uint64_t limit, bool (*in_use)(void *arg, uint64_t segment),
		  void *arg);
uint64_t datalog_segment(struct datalog *d);
uint64_t datalog_bytes(struct datalog *d);

#endif
