/* SPDX-License-Identifier: MIT */
/* clock.h - what time it is: the only caller of clock_gettime(2); any thread */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* For deadlines and durations: never goes back, and stands still while the machine sleeps. */
uint64_t clock_usec(void);
/* Milliseconds since 1970, for people and for stamps; may jump. */
int64_t clock_wall_ms(void);
/* Time slept since boot: when it has grown, the machine was suspended in between. */
uint64_t clock_slept_usec(void);

#endif
