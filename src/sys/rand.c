// SPDX-License-Identifier: MIT
/*
 * rand.c - the kernel's random numbers, the only ones a process does not make itself
 *
 * There is no fallback: a daemon with guessable keys is worse than one that stops.
 */
#include "sys/rand.h"
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <sys/random.h>
#include <unistd.h>

void rand_init(void)
{
	int e = sodium_init();

	assert(e >= 0); /* it fails only where the kernel has no random numbers */
}

void rand_seed(uint8_t seed[32])
{
	ssize_t n;

	do
		n = getrandom(seed, 32, 0); /* up to 256 bytes come whole or not at all */
	while (n < 0 && errno == EINTR);
	assert(n == 32);
}
