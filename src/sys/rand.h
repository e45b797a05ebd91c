/* SPDX-License-Identifier: MIT */
/* rand.h - secret random bytes from the kernel, to seed each struct rng; any thread */
#ifndef RAND_H
#define RAND_H

#include <stdint.h>

/* Once, first of all: makes ready the cryptographic library too, which without it uses its slow
 * portable code.  Never fails. */
void rand_init(void);
/* 32 bytes nobody else knows.  Waits for the kernel's pool at early boot; never fails. */
void rand_seed(uint8_t seed[32]);

#endif
