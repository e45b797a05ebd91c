/* SPDX-License-Identifier: MIT */
/* regain.h - bringing back what stood at a path: into the folder, or as bytes for elsewhere */
#ifndef REGAIN_H
#define REGAIN_H

#include "prog/recall.h"

struct regain_ask {
	const char *path;
	const char *to; /* a directory in the same folder, or NULL: where it stood */
	uint64_t at;
};
/* {"outside": true}: to is not in that folder: the caller writes it there itself.  EXIT_PARTLY and
 * say: some of it could not be restored. */
enum exits regain_restore(struct daemon *d, const struct regain_ask *a, json_t **ret,
			  struct folders_say *say);
/* Write the bytes of a version to a descriptor; a pipe, so that no path is touched here. */
struct regain_version {
	const char *path; /* any in the folder */
	struct inode_id inode;
	struct dot dot;
};
enum exits regain_read(struct daemon *d, const struct regain_version *v, int fd,
		       struct folders_say *say);

#endif
