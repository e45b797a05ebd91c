// SPDX-License-Identifier: MIT
/*
 * device.c - make or read the device's key
 *
 * The file is made under another name, synced and linked into place, so that there is never half a
 * key, and of two programs that make one at once the second takes the first one's.
 */
#include "prog/device.h"
#include "sys/fdio.h"
#include "sys/rand.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static enum err key_read(const char *path, struct sign_pair *ret, char *why, size_t why_len)
{
	uint8_t seed[33];
	struct stat st;
	size_t got = 0;
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT)
			return ERR_NOENT;
		(void)snprintf(why, why_len, "cannot read the device key %s: %s", path,
			       strerror(errno));
		return fail(ERR_IO);
	}
	if (fstat(fd, &st) < 0 || (st.st_mode & 077)) {
		(void)snprintf(why, why_len,
			       "the device key %s can be read by others: chmod 600 it", path);
		return fail(ERR_REFUSED);
	}
	enum err e = fdio_read_some(fd, seed, sizeof(seed), 0, &got);
	if (e || got != 32) {
		(void)snprintf(
			why, why_len,
			"the device key %s is damaged: put it back from a backup, or move it "
			"away and join the folders again as a new device",
			path);
		return fail(ERR_DAMAGED);
	}
	sign_pair_init(ret, seed);
	explicit_bzero(seed, sizeof(seed));
	return ERR_OK;
}

static enum err key_make(const char *path, char *why, size_t why_len)
{
	char temp[PATHS_MAX + 32];
	uint8_t seed[32];
	bool ok;

	(void)snprintf(temp, sizeof(temp), "%s.new-%ld", path, (long)getpid());
	auto_fd fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rand_seed(seed);
	ok = fd >= 0 && write(fd, seed, sizeof(seed)) == (ssize_t)sizeof(seed) && fsync(fd) == 0;
	explicit_bzero(seed, sizeof(seed));
	if (ok && link(temp, path) < 0 && errno != EEXIST)
		ok = false;
	if (!ok)
		(void)snprintf(why, why_len, "cannot make the device key %s: %s", path,
			       strerror(errno));
	(void)unlink(temp);
	return ok ? ERR_OK : fail(ERR_IO);
}

enum err device_load(const struct paths *p, struct sign_pair *ret, bool *made, char *why,
		     size_t why_len)
{
	enum err e = key_read(p->key, ret, why, why_len);

	*made = e == ERR_NOENT;
	if (e != ERR_NOENT)
		return e;
	e = paths_make(p->data);
	if (e) {
		(void)snprintf(why, why_len, "cannot make %s: %s", p->data, strerror(errno));
		return e;
	}
	e = key_make(p->key, why, why_len);
	return e ? e : key_read(p->key, ret, why, why_len);
}
