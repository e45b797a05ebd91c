/* SPDX-License-Identifier: MIT */
/* fdcache.h - a few open descriptors for reading numbered files of a folder, oldest use goes first
 */
#ifndef FDCACHE_H
#define FDCACHE_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define FDCACHE_MAX 24

struct fdcache;
enum err fdcache_new(int dirfd, struct fdcache **ret) MUST_USE; /* dirfd is borrowed */
void fdcache_free(struct fdcache *c); /* accepts NULL; nothing may be borrowed */
/* Borrow a descriptor of file no until fdcache_back(); any thread.  ERR_NOENT, ERR_IO. */
enum err fdcache_borrow(struct fdcache *c, uint32_t no, int *fd) MUST_USE;
void fdcache_back(struct fdcache *c, int fd);
void fdcache_forget(struct fdcache *c, uint32_t no); /* the file has been removed */

#endif
