/* SPDX-License-Identifier: MIT */
/*
 * ahead.h - whoever reads the files of a directory in order soon reads the next ones
 *
 * After AHEAD_AFTER reads of absent files in the order of their names, the first bytes of the files
 * that follow are wanted too, a window at a time.  A program that opens one file, or jumps about,
 * causes nothing to be fetched that it did not ask for.
 */
#ifndef AHEAD_H
#define AHEAD_H

#include "core/fetch.h"
#include "core/mapping.h"

#define AHEAD_AFTER 3 /* absent files read in order before anything is fetched ahead */
#define AHEAD_FILES 32 /* looked at in one window */
#define AHEAD_FILE_BYTES (1u << 20) /* of each, at most */

struct ahead;
struct ahead *ahead_new(struct kv *kv, struct view *view, struct fetch *fetch);
void ahead_free(struct ahead *a); /* accepts NULL */
/* A read at the beginning of a file; absent: some of its bytes are not here.  ERR_NOMEM, ERR_IO. */
enum err ahead_read(struct ahead *a, struct inode_id inode, bool absent) MUST_USE;

#endif
