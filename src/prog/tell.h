/* SPDX-License-Identifier: MIT */
/* tell.h - what the daemon tells about itself: JSON for status and peers */
#ifndef TELL_H
#define TELL_H

#include "prog/folders.h"
#include <jansson.h>

/* As JSON; names are bytes, and what is not UTF-8 becomes replacement characters. */
json_t *tell_text(const char *s);
/* NULL: no memory. */
json_t *tell_status(struct daemon *d);
json_t *tell_peers(struct daemon *d);
/* Of a path, absolute, below a mount.  EXIT_NO_SUCH and say. */
enum exits tell_path(struct daemon *d, const char *path, json_t **ret, struct folders_say *say);
/* The folder whose mount holds path, an absolute one, and one user more; *rest: what follows the
 * mount point.  NULL and say. */
struct folder *tell_folder_at(struct daemon *d, const char *path, const char **rest,
			      struct folders_say *say);
/* Under the lock: follow names from the root. */
enum err tell_walk(struct view *v, const char *rest, struct shown *ret) MUST_USE;
/* Under the lock: the path of a shown entry from the folder's root, cut off if it is too long. */
void tell_path_of(struct view *v, const struct shown *s, char *buf, size_t size);
const char *tell_type(enum inode_type t); /* "file", "dir", ... */
/* Of one folder: name, where it is mounted, where it was; NULL: no such folder. */
json_t *tell_folder(struct daemon *d, const char *name);

#endif
