/* SPDX-License-Identifier: MIT */
/*
 * err.h - the one set of error codes, and where an error was born
 *
 * Three kinds, never mixed: a bug of ours is an assert(); what the world did (disk, memory,
 * limits) is returned; what a peer claimed falsely is ERR_MALFORMED and drops the peer.
 */
#ifndef ERR_H
#define ERR_H

#include <assert.h>
#include <errno.h>

#define MUST_USE __attribute__((warn_unused_result))

/* code, errno that a program on the mount sees, text */
#define ERR_TABLE(X)                                                                               \
	X(OK, 0, "done")                                                                           \
	X(NOENT, ENOENT, "no such file or directory")                                              \
	X(EXIST, EEXIST, "already exists")                                                         \
	X(NOTDIR, ENOTDIR, "not a directory")                                                      \
	X(ISDIR, EISDIR, "is a directory")                                                         \
	X(NOTEMPTY, ENOTEMPTY, "directory not empty")                                              \
	X(INVAL, EINVAL, "invalid argument")                                                       \
	X(NAMETOOLONG, ENAMETOOLONG, "name too long")                                              \
	X(PERM, EPERM, "operation not permitted")                                                  \
	X(ROFS, EROFS, "this device may only read this folder")                                    \
	X(LOOP, EINVAL, "a directory cannot move below itself")                                    \
	X(STALE, ESTALE, "stale handle")                                                           \
	X(NODATA, ENODATA, "no such attribute")                                                    \
	X(RANGE, ERANGE, "buffer too small")                                                       \
	X(TOOBIG, E2BIG, "too big")                                                                \
	X(FBIG, EFBIG, "file too big")                                                             \
	X(NOTSUP, EOPNOTSUPP, "not supported")                                                     \
	X(NOSPC, ENOSPC, "no space left")                                                          \
	X(NOMEM, ENOMEM, "out of memory")                                                          \
	X(IO, EIO, "input/output error")                                                           \
	X(DAMAGED, EIO, "stored data is damaged")                                                  \
	X(MALFORMED, EIO, "malformed data from a peer or a file")                                  \
	X(FORGED, EIO, "signature or seal does not verify")                                        \
	X(UNREACHABLE, EHOSTUNREACH, "no reachable device holds these bytes")                      \
	X(TIMEDOUT, ETIMEDOUT, "the devices that hold these bytes did not answer in time")         \
	X(FULL, ENOBUFS, "a table is full")                                                        \
	X(AGAIN, EAGAIN, "not now")                                                                \
	X(REFUSED, EACCES, "refused")                                                              \
	X(VERSION, EPROTO, "version not supported")                                                \
	X(BUSY, EBUSY, "busy")                                                                     \
	X(CLOSED, ENOTCONN, "closed")                                                              \
	X(CANCELED, EINTR, "interrupted")

enum err {
#define X(code, number, text) ERR_##code,
	ERR_TABLE(X)
#undef X
		ERR_COUNT
};

const char *err_text(enum err e); /* static, never NULL */
int err_errno(enum err e); /* positive errno; 0 for ERR_OK */

/* Note where an error was born, in a ring of the last ERR_TRAIL births, and hand it back. */
#define ERR_TRAIL 64
#define fail(e) (err_note((e), __FILE__, __LINE__), (enum err)(e)) /* plain to compilers */
void err_note(enum err e, const char *file, int line);
/* The births of errors, oldest first: calls show once for each. */
void err_trail(void (*show)(void *arg, enum err e, const char *file, int line), void *arg);

#endif
