/* SPDX-License-Identifier: MIT */
/*
 * parked.h - reads whose bytes are not here yet
 *
 * A parked read is a small row: no worker, no buffer.  It is answered exactly once: with its
 * bytes, with the host's error, or with EINTR when its process is interrupted.
 */
#ifndef PARKED_H
#define PARKED_H

#include "front/mount_impl.h"

enum err parked_new(struct mount *m, struct parked **ret) MUST_USE; /* starts its thread */
/* No more reads will come; answers those that wait with an error.  Before the session goes. */
void parked_stop(struct parked *p);
void parked_free(struct parked *p); /* accepts NULL */

struct parked_read {
	uint64_t file, off;
	uint32_t len;
};
/* Read and answer; now, or when the bytes come. */
void parked_read(struct parked *p, fuse_req_t req, const struct parked_read *r);
void parked_again(struct parked *p, uint64_t tag, enum err err); /* the host's read_again() */
uint64_t parked_count(struct parked *p);

#endif
