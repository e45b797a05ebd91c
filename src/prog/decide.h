/* SPDX-License-Identifier: MIT */
/* decide.h - "peerfs accept" and "peerfs reject": what to make of bundles that are set aside */
#ifndef DECIDE_H
#define DECIDE_H

#include "prog/folders.h"
#include <jansson.h>

/*
 * Accept, or reject, what the brake holds of a device, named by its name or the first 8 or more
 * digits of its id; in all folders (folder NULL) where it holds some, or in one.
 * *result: {"folders": [NAME...]}.
 */
struct decide_ask {
	const char *device, *folder;
	bool accept;
};
enum exits decide(struct daemon *d, const struct decide_ask *a, json_t **result,
		  struct folders_say *say);

#endif
