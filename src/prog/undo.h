/* SPDX-License-Identifier: MIT */
/* undo.h - "peerfs versions" and "peerfs restore" */
#ifndef UNDO_H
#define UNDO_H

#include "prog/exits.h"
#include <stdbool.h>

enum exits undo_versions(const char *path, bool json);
/* at, to: NULL if not given. */
enum exits undo_restore(const char *path, const char *at, const char *to, bool json);

#endif
