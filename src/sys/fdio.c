// SPDX-License-Identifier: MIT
/*
 * fdio.c - the loops around read, write and fsync that everybody gets wrong once, in one place
 *
 * Any thread; no state.
 */
#include "sys/fdio.h"
#include "sys/report.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum err fdio_errno(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_NOSPC;
	case ENOMEM:
		return ERR_NOMEM;
	case ENOENT:
		return ERR_NOENT;
	case EEXIST:
		return ERR_EXIST;
	default:
		return ERR_IO;
	}
}

enum err fdio_write(int fd, const struct iovec *parts, int count, uint64_t at)
{
	struct iovec v[FDIO_PARTS];
	int first = 0;

	assert(count <= FDIO_PARTS);
	for (int k = 0; k < count; k++)
		v[k] = parts[k];
	while (first < count) {
		ssize_t n = pwritev(fd, v + first, count - first, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(fdio_errno(errno));
		at += (uint64_t)n;
		size_t left = (size_t)n;
		while (first < count && left >= v[first].iov_len)
			left -= v[first++].iov_len;
		if (first < count) {
			v[first].iov_base = (char *)v[first].iov_base + left;
			v[first].iov_len -= left;
		}
	}
	return ERR_OK;
}

enum err fdio_read_some(int fd, void *to, size_t len, uint64_t at, size_t *got)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(fd, (char *)to + have, len - have, (off_t)(at + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(fdio_errno(errno));
		if (n == 0)
			break;
		have += (size_t)n;
	}
	*got = have;
	return ERR_OK;
}

enum err fdio_read(int fd, void *to, size_t len, uint64_t at)
{
	size_t got;
	enum err e = fdio_read_some(fd, to, len, at, &got);

	if (e)
		return e;
	return got == len ? ERR_OK : fail(ERR_DAMAGED);
}

enum err fdio_size(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(fdio_errno(errno));
	*ret = (uint64_t)st.st_size;
	return ERR_OK;
}

enum err fdio_ahead(int fd, uint64_t at, uint64_t len)
{
	struct statvfs sv;
	int r;

	do
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return ERR_OK;
	if (errno != EOPNOTSUPP)
		return fail(fdio_errno(errno));
	if (fstatvfs(fd, &sv) < 0)
		return fail(fdio_errno(errno));
	return sv.f_bavail >= len / sv.f_frsize + 1 ? ERR_OK : fail(ERR_NOSPC);
}

enum err fdio_sync(int fd, const char *what, atomic_bool *broken)
{
	if (atomic_load(broken))
		return fail(ERR_IO);
	if (fdatasync(fd) == 0)
		return ERR_OK;
	atomic_store(broken, true);
	report(REPORT_ERROR, "%s: cannot make durable: %s; the store is read-only from now on",
	       what, strerror(errno));
	return fail(ERR_IO);
}

enum err fdio_sync_dir(int dirfd, const char *what, atomic_bool *broken)
{
	if (atomic_load(broken))
		return fail(ERR_IO);
	if (fsync(dirfd) == 0)
		return ERR_OK;
	atomic_store(broken, true);
	report(REPORT_ERROR, "%s: cannot make folder durable: %s; read-only from now on", what,
	       strerror(errno));
	return fail(ERR_IO);
}

enum err fdio_replace(int dirfd, const char *name, struct bytes content, unsigned mode)
{
	char temp[300];
	int n = snprintf(temp, sizeof(temp), "%s.new", name);

	if (n < 0 || (size_t)n >= sizeof(temp))
		return fail(ERR_NAMETOOLONG);
	auto_fd fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			    (mode_t)mode);
	if (fd < 0)
		return fail(fdio_errno(errno));
	/* const is cast away for struct iovec alone, which serves readv() too */
	struct iovec all = {.iov_base = (void *)(uintptr_t)content.at, .iov_len = content.len};
	enum err e = fdio_write(fd, &all, 1, 0);
	if (!e && fsync(fd) < 0) /* content before name: the name must never lead to less */
		e = fail(fdio_errno(errno));
	if (!e && renameat(dirfd, temp, dirfd, name) < 0)
		e = fail(fdio_errno(errno));
	if (e) {
		(void)unlinkat(dirfd, temp, 0);
		return e;
	}
	if (fsync(dirfd) < 0)
		return fail(fdio_errno(errno));
	return ERR_OK;
}

enum err fdio_slurp(int dirfd, const char *name, size_t limit, char **ret, size_t *len)
{
	auto_fd fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	uint64_t size;

	if (fd < 0)
		return fail(fdio_errno(errno));
	enum err e = fdio_size(fd, &size);
	if (e)
		return e;
	if (size > limit)
		return fail(ERR_TOOBIG);
	char *p = malloc((size_t)size + 1);
	if (!p)
		return fail(ERR_NOMEM);
	e = fdio_read_some(fd, p, (size_t)size, 0, len);
	if (e) {
		free(p);
		return e;
	}
	p[*len] = 0;
	*ret = p;
	return ERR_OK;
}

void fdio_number(char name[FDIO_NUMBER_LEN], uint32_t no)
{
	(void)snprintf(name, FDIO_NUMBER_LEN, "%08x", no);
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool parse_number(const char *name, uint32_t *ret)
{
	char same[FDIO_NUMBER_LEN];
	unsigned long no = strtoul(name, NULL, 16);

	if (strlen(name) != FDIO_NUMBER_LEN - 1 || no > UINT32_MAX)
		return false;
	fdio_number(same, (uint32_t)no);
	*ret = (uint32_t)no;
	return strcmp(same, name) == 0;
}

enum err fdio_numbers(int dirfd, uint32_t **ret, size_t *count)
{
	uint32_t *all = NULL;
	size_t n = 0, room = 0;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		enum err e = fdio_errno(errno);
		if (fd >= 0)
			(void)close(fd);
		return fail(e);
	}
	for (;;) {
		uint32_t no;
		errno = 0;
		const struct dirent *de = readdir(d);
		if (!de)
			break;
		if (!parse_number(de->d_name, &no))
			continue;
		if (n == room) {
			room = room ? room * 2 : 16;
			uint32_t *more = realloc(all, room * sizeof(*all));
			if (!more) {
				errno = ENOMEM;
				break;
			}
			all = more;
		}
		all[n++] = no;
	}
	int failed = errno;
	(void)closedir(d);
	if (failed) {
		free(all);
		return fail(fdio_errno(failed));
	}
	if (n)
		qsort(all, n, sizeof(*all), compare_numbers);
	*ret = all;
	*count = n;
	return ERR_OK;
}
