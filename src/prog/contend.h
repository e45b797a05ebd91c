/* SPDX-License-Identifier: MIT */
/* contend.h - conflicts: listed with whose they are and what both sides had, and ended */
#ifndef CONTEND_H
#define CONTEND_H

#include "prog/folders.h"
#include <jansson.h>

json_t *contend_list(struct daemon *d); /* NULL: no memory */
/* End the conflict at an absolute path.  keep: "mine", "theirs", "both", "base", or the name of
 * what is to stay. */
enum exits contend_resolve(struct daemon *d, const char *path, const char *keep, json_t **ret,
			   struct folders_say *say);

#endif
