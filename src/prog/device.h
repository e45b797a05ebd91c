/* SPDX-License-Identifier: MIT */
/* device.h - this device's key: 32 secret bytes in a file of their own, mode 0600 */
#ifndef DEVICE_H
#define DEVICE_H

#include "codec/seal.h"
#include "sys/paths.h"

/* Read the key, or make it and its folder if there is none (*made).  why: what failed and what to
 * do. */
enum err device_load(const struct paths *p, struct sign_pair *ret, bool *made, char *why,
		     size_t why_len) MUST_USE;

#endif
