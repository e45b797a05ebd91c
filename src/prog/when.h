/* SPDX-License-Identifier: MIT */
/* when.h - a TIME that a user typed */
#ifndef WHEN_H
#define WHEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A TIME: "90s", "30m", "2h", "3d" ago; or local "2026-11-25", "2026-11-25 14:03",
 * "2026-11-25T14:03:55", "... 14:03:55.120", in UTC with a "Z" behind it.  What is left out means
 * the end of it: of that day, minute, second.  now_ms: since 1970.  False: it is none, or lies
 * before 1970.
 */
bool when_parse(const char *text, int64_t now_ms, int64_t *ret_ms);

#endif
