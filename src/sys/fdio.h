/* SPDX-License-Identifier: MIT */
/*
 * fdio.h - whole reads and writes, syncs, and files replaced as a whole
 *
 * A short transfer is never an answer here: a call does all of it or fails.  None of these calls
 * writes to the log but where it says so; errno is turned into an enum err.
 */
#ifndef FDIO_H
#define FDIO_H

#include "base/bytes.h"
#include "base/err.h"
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>

#define auto_fd __attribute__((cleanup(fdio_cleanup))) int
static inline void fdio_cleanup(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* errno as an enum err; a full disk, a quota and a file size limit are all ERR_NOSPC. */
enum err fdio_errno(int number);
/* All parts (at most FDIO_PARTS) at offset at, by one call of the kernel unless it takes less. */
#define FDIO_PARTS 4
enum err fdio_write(int fd, const struct iovec *parts, int count, uint64_t at) MUST_USE;
/* ERR_DAMAGED: the file ends before. */
enum err fdio_read(int fd, void *to, size_t len, uint64_t at) MUST_USE;
/* As much as there is, up to len: *got. */
enum err fdio_read_some(int fd, void *to, size_t len, uint64_t at, size_t *got) MUST_USE;
enum err fdio_size(int fd, uint64_t *ret) MUST_USE;
/* Reserve blocks behind the end without changing the size; fine where it cannot be done but the
 * file system says that there is room. */
enum err fdio_ahead(int fd, uint64_t at, uint64_t len) MUST_USE;
/* fdatasync; a failure sets *broken and is reported; with *broken set nothing is tried any more:
 * what the kernel dropped at the first failure would look written at the second. */
enum err fdio_sync(int fd, const char *what, atomic_bool *broken) MUST_USE;
enum err fdio_sync_dir(int dirfd, const char *what, atomic_bool *broken) MUST_USE;

/* Replace the file name in dirfd: temporary file beside it, fsync, rename, fsync of the folder. */
enum err fdio_replace(int dirfd, const char *name, struct bytes content, unsigned mode) MUST_USE;
/* The whole file, malloc'd and with a NUL behind it; ERR_TOOBIG beyond limit, ERR_NOENT. */
enum err fdio_slurp(int dirfd, const char *name, size_t limit, char **ret, size_t *len) MUST_USE;

/* Numbered files, "%08x" in a folder: their numbers, ascending, malloc'd; others are ignored. */
#define FDIO_NUMBER_LEN 9
void fdio_number(char name[FDIO_NUMBER_LEN], uint32_t no);
enum err fdio_numbers(int dirfd, uint32_t **ret, size_t *count) MUST_USE;

#endif
