/* SPDX-License-Identifier: MIT */
/*
 * marks.h - how far the packs are accounted for by steps of the core
 *
 * A piece is written to a pack first and told to the core after; a crash in between must find it
 * again.  So the pack position that goes with the index is the lowest place at which somebody may
 * have written what no step has told yet.
 *
 * I1  marks stand in the order in which they were taken, and never ascend against it: a mark is
 *     the end known when it was taken, and what its owner writes later lies behind that
 */
#ifndef MARKS_H
#define MARKS_H

#include <pthread.h>
#include <stdint.h>

struct mark {
	struct mark *before, *after;
	uint64_t at;
};
struct marks {
	pthread_mutex_t mutex;
	struct mark *first, *last;
	uint64_t end; /* of all pieces known to be written */
};
void marks_init(struct marks *m, uint64_t end);
void marks_fini(struct marks *m);
void marks_begin(struct marks *m, struct mark *k); /* before a piece is written */
void marks_wrote(struct marks *m, uint64_t end); /* a piece ends there */
void marks_end(struct marks *m, struct mark *k); /* after the step that told it */
uint64_t marks_low(struct marks *m);

#endif
