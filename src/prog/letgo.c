// SPDX-License-Identifier: MIT
/*
 * letgo.c - see letgo.h
 *
 * The lock file names the process that holds it.  Its first thread is a zombie once it was killed,
 * whatever the others wait for; where it was mounted the configuration remembers.
 */
#include "prog/letgo.h"
#include "front/mount.h"
#include "sys/clock.h"
#include "sys/conf.h"
#include "sys/fdio.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_NS 5000000

void letgo_sign(int lock_fd)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "%ld\n", (long)getpid());

	if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, line, (size_t)n, 0) < 0)
		report(REPORT_WARN, "cannot write into the lock file: %s", strerror(errno));
}

/* The process that holds the lock; 0: nobody does, or it did not sign. */
static long holder(const struct paths *p)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATHS_MAX + 16], line[32] = "";

	(void)snprintf(path, sizeof(path), "%s/daemon.lock", p->data);
	auto_fd fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &all) < 0 || all.l_type == F_UNLCK ||
	    pread(fd, line, sizeof(line) - 1, 0) <= 0)
		return 0;
	return strtol(line, NULL, 10);
}

static bool dead(long process)
{
	char path[64], text[512] = "";

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", process);
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	/* A killed one that cannot end is still listed; one that is not is elsewhere, or gone. */
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	const char *state = strrchr(text, ')');
	return state && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

/* Until nobody holds the lock, or somebody who lives does. */
static bool has_gone(const struct paths *p, unsigned ms)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	uint64_t until = clock_usec() + ms * UINT64_C(1000);
	long process;

	while ((process = holder(p)) && dead(process)) {
		if (clock_usec() >= until)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

enum err letgo(const struct paths *p, char *text, size_t len)
{
	long process = holder(p);
	struct conf c;
	char why[512];

	if (!process || !dead(process) || has_gone(p, 100)) /* as a rule it ends by itself */
		return ERR_OK;
	enum err e = conf_load(p->config, &c, text, len);
	if (e)
		return e;
	for (size_t k = 0; !e && k < c.folder_count; k++) {
		enum err bad = c.folders[k].mount[0]
				       ? mount_abandon(c.folders[k].mount, why, sizeof(why))
				       : ERR_OK;
		if (bad == ERR_PERM)
			(void)snprintf(text, len, "%s", why);
		else if (!bad)
			report(REPORT_WARN,
			       "the killed daemon (process %ld) could not end: programs on %s "
			       "waited for it; they get errors now",
			       process, c.folders[k].mount);
		e = bad == ERR_NOENT ? ERR_OK : bad;
	}
	conf_free(&c);
	if (!e && !has_gone(p, LETGO_MS)) {
		(void)snprintf(text, len,
			       "the daemon (process %ld) was killed and has not ended: is one of "
			       "its folders mounted elsewhere?  umount -f there",
			       process);
		e = fail(ERR_BUSY);
	}
	return e;
}
