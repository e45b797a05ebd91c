/* SPDX-License-Identifier: MIT */
/* names.h - the names of conflict copies: a function of name, device and stamp alone */
#ifndef NAMES_H
#define NAMES_H

#include "base/hash.h"

#define NAMES_DEVICE_MAX 64

/*
 * "stem (conflict DEVICE YYYY-MM-DD HHMMSS).ext", in UTC, split at the last dot unless that is the
 * first byte or a blank follows it.  A name that would pass 255 bytes is shortened in its stem.
 * Each writes at most NAME_BYTES_MAX bytes to ret and gives their count.
 */
size_t names_conflict(struct bytes name, uint64_t t, const char *device, uint8_t *ret);
/* The try-th name, from 0, for what wanted that name: a growing piece of a hash of id is added. */
size_t names_further(struct bytes name, struct inode_id id, uint32_t try, uint8_t *ret);

/*
 * The name that a copy is a copy of by its own name, as names_conflict() and names_further() make
 * it; false: it is not such a name.  A shortened one is of the shortened name.
 */
bool names_original(struct bytes name, uint8_t ret[NAME_BYTES_MAX], size_t *len);

#endif
