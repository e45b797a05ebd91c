/* SPDX-License-Identifier: MIT */
/*
 * recall.h - what stood at a path: its versions, and which one is meant
 *
 * Moments are clocks of stamps (core/past.h); 0: none was given.  Paths are absolute, below a
 * mount.  On error say tells what happened and what to do next.
 */
#ifndef RECALL_H
#define RECALL_H

#include "core/past.h"
#include "prog/folders.h"
#include <jansson.h>

#define RECALL_PAGE 256 /* names looked at under one lock */
#define RECALL_WRITTEN_MS 15000 /* how long to wait for a version that is being made */
#define RECALL_LOOK_MS 20 /* between two looks */
#define RECALL_LISTED_MAX 10000 /* names told of a directory */

struct recall_choice { /* what a path and a moment mean; recall_choice_fini() */
	struct folder *folder; /* a user of it: loop_put() */
	const char *rest; /* the path behind the mount */
	struct past_dir parent;
	struct past_entry entry;
	struct past_version version; /* files; without content: none was ever sealed */
	uint64_t at; /* directories: the moment at which to look into them */
	bool shown; /* the file has just that content */
};
/* One part of a path: to the next slash. */
struct bytes recall_part(const char **rest);
/* Without a moment: of a file the version before the one that is shown, or the last one of what
 * was removed; of a directory that was removed, what went with it. */
enum exits recall_choose(struct daemon *d, const char *path, uint64_t at, struct recall_choice *ret,
			 struct folders_say *say);
void recall_choice_fini(struct daemon *d, struct recall_choice *c);

/* Versions of a file, or what ended in a directory. */
enum exits recall_versions(struct daemon *d, const char *path, json_t **ret,
			   struct folders_say *say);
/* What stood at path, and of a directory the names behind after (or NULL). */
struct recall_page {
	const char *path, *after;
	uint64_t at;
};
enum exits recall_entry(struct daemon *d, const struct recall_page *p, json_t **ret,
			struct folders_say *say);
/* "inc.op" as hexadecimal numbers. */
json_t *recall_id(uint64_t inc, uint64_t op);
bool recall_parse_id(const char *text, uint64_t *inc, uint64_t *op);

#endif
