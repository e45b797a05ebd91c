// SPDX-License-Identifier: MIT
/*
 * clock.c - monotonic, wall and slept time
 *
 * Deadlines run on CLOCK_MONOTONIC, not CLOCK_BOOTTIME.  A deadline bounds how long a program or
 * a peer is made to wait, and nobody waits while the lid is closed: with boot time every read
 * parked at suspend would fail at the instant of resume, before the network is back.  It is also
 * the clock of the event loop, so both agree.  What does age during sleep is our sessions (the
 * peers have given us up); sys/link learns of it from clock_slept_usec() and starts afresh.
 */
#include "sys/clock.h"
#include <assert.h>
#include <time.h>

static uint64_t usec_of(clockid_t which)
{
	struct timespec t;
	int failed = clock_gettime(which, &t);

	assert(!failed); /* the three clocks exist on every Linux we run on */
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_usec(void)
{
	return usec_of(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return (int64_t)(usec_of(CLOCK_REALTIME) / 1000);
}

uint64_t clock_slept_usec(void)
{
	uint64_t awake = usec_of(CLOCK_MONOTONIC); /* first, so that the difference is never < 0 */

	return usec_of(CLOCK_BOOTTIME) - awake;
}
