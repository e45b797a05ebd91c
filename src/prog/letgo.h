/* SPDX-License-Identifier: MIT */
/* letgo.h - a daemon that was killed, and still holds what the next one needs */
#ifndef LETGO_H
#define LETGO_H

#include "sys/paths.h"

#define LETGO_MS 10000 /* that it may take to end once nothing holds it */

/*
 * If this device's daemon is dead but has not ended (front/abandon.c says why that happens): end
 * what it waits for, and wait until it has.  A daemon that lives is left alone.  ERR_OK: there is
 * none, it lives, or it has gone; ERR_PERM, ERR_BUSY: why not, and what to do, in text.
 */
enum err letgo(const struct paths *p, char *text, size_t len) MUST_USE;
/* Write our process into the lock file, for that. */
void letgo_sign(int lock_fd);

#endif
