/* SPDX-License-Identifier: MIT */
/*
 * reads.h - reads of bytes that are not here: parked as data until they come, fail, or time is up
 *
 * A read of absent bytes waits at most read_timeout while a device is connected that may hold
 * them, READS_ALONE_USEC when none is (semantics.md section 4).  Thousands may wait; none of them
 * delays anything else.
 */
#ifndef READS_H
#define READS_H

#include "core/ahead.h"
#include "core/content.h"

#define READS_ALONE_USEC (900u * 1000)
#define READS_PARKED_MAX 65536
#define READS_SAY_MAX 10 /* lines about failed reads, in so long */
#define READS_SAY_USEC (10u * 1000 * 1000)
#define READS_PATH_SHOWN 128
#define READS_FAILURES 256 /* the last ones are remembered, for status */

struct reads;
struct reads *reads_new(struct content *c, struct fetch *f, struct ahead *a, uint32_t timeout_ms);
void reads_names(struct reads *r, struct view *names); /* so that the log can name files */
void reads_free(struct reads *r); /* accepts NULL */
/* EV_READ: fill in the pieces, or park (ERR_AGAIN). */
enum err reads_read(struct reads *r, struct step *s, struct event *ev) MUST_USE;
void reads_cancel(struct reads *r, uint64_t tag);
void reads_settled(struct reads *r, struct step *s, uint64_t tag,
		   enum err err); /* of WAITER_READ */
void reads_tick(struct reads *r, struct step *s);
uint64_t reads_deadline(const struct reads *r);
uint32_t reads_count(const struct reads *r);
bool reads_last_failure(const struct reads *r, struct inode_id inode, enum err *e,
			int64_t *wall_ms);

#endif
