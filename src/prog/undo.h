/* SPDX-License-Identifier: MIT */
/* undo.h - "peerfs versions" and "peerfs restore" */
#ifndef UNDO_H
#define UNDO_H

#include "prog/exits.h"
#include <stdbool.h>
#include <stdint.h>

/*
 * A TIME: "90s", "30m", "2h", "3d" ago; or local "2026-11-25", "2026-11-25 14:03",
 * "2026-11-25T14:03:55", "... 14:03:55.120", in UTC with a "Z" behind it.  What is left out means
 * the end of it: of that day, minute, second.  now_ms: since 1970.  False: it is none, or lies
 * before 1970.
 */
bool undo_parse_time(const char *text, int64_t now_ms, int64_t *ret_ms);
enum exits undo_versions(const char *path, bool json);
/* at, to: NULL if not given. */
enum exits undo_restore(const char *path, const char *at, const char *to, bool json);

#endif
