/* SPDX-License-Identifier: MIT */
/* exits.h - what the exit codes of peerfs mean: peerfs(1) */
#ifndef EXITS_H
#define EXITS_H

#include "base/err.h"

enum exits {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2, /* or a mistake in the configuration */
	EXIT_PARTLY = 3,
	EXIT_FALSE = 4,
	EXIT_NO_DAEMON = 5,
	EXIT_NOT_HERE = 6, /* content not available now */
	EXIT_TIME = 7,
	EXIT_CONFLICT = 8,
	EXIT_REFUSED = 9,
	EXIT_NO_SUCH = 10,
	EXIT_NO_SPACE = 11,
	EXIT_VERSION = 12,
	EXIT_LAST_COPY = 13
};
enum exits exits_of(enum err e); /* where nothing more is known */

#endif
