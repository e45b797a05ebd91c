/* SPDX-License-Identifier: MIT */
/*
 * linkworld.h - two devices in one loop, and what their owners have been told
 *
 * Everything is a condition with a deadline: UNTIL turns the loop, and a timer beats in it so that
 * a lost wake-up is a failed test and not a hang.
 */
#ifndef LINKWORLD_H
#define LINKWORLD_H

#include "sys/clock.h"
#include "sys/link.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define DEADLINE_MS 20000
#define FOLDER_A 7 /* the two sides number the folder differently */
#define FOLDER_B 3

struct side { /* one device: what its owner has been told */
	struct link *link;
	struct sign_pair pair;
	uint16_t port;
	uint32_t folder;
	bool refuse, echo, close_on_up, send_on_up;
	int ups, downs, failures, asked, freed;
	bool last_dialled, last_joining, asked_joining;
	uint64_t session;
	enum err down_why, failure_why;
	uint8_t hash[NOISE_HASH];
	struct device_id up_who;
	uint64_t messages, bytes, bad;
	uint8_t first[4096]; /* first byte of each message, in order */
	size_t last_len;
};

struct world {
	uv_loop_t loop;
	uv_timer_t beat; /* so that a lost wake-up is a failed test, not a hang */
	struct side a, b;
	struct folder_id folder;
};

extern const struct link_times world_quick; /* what both sides start with */

struct world *world_new(void); /* two listening sides, A with seed 1 and B with seed 2 */
void world_free(struct world *w); /* and nothing of theirs is left in the loop */
/* A side by itself, its loop and folder those of w. */
void world_start(struct world *w, struct side *s, uint8_t seed_byte, uint32_t folder);
void world_freed(void *side); /* for link_free() */
void world_dial(struct side *from, const struct side *to, bool joining);
void world_pair(struct world *w); /* A dials B, until both are up */
/* A message whose every byte says where it stands, so that a mix-up shows: side.bad counts. */
uint8_t *world_pattern(uint8_t kind, size_t len);
void world_send(struct side *s, enum link_class class, uint8_t kind, size_t len);

#define UNTIL(w, condition)                                                                        \
	do {                                                                                       \
		uint64_t end = clock_usec() + DEADLINE_MS * 1000;                                  \
		while (!(condition) && clock_usec() < end)                                         \
			uv_run(&(w)->loop, UV_RUN_ONCE);                                           \
		assert_true(condition);                                                            \
	} while (0)

#endif
