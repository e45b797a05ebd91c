// SPDX-License-Identifier: MIT
/*
 * abandon.c - ending the connection of a mount whose daemon was killed
 *
 * A thread of the daemon that makes the kernel forget a name waits for the directory's lock.  A
 * program that holds it waits for the daemon's answer.  Killed at that moment the daemon cannot
 * end, its descriptors stay open, and so the kernel does not end the connection by itself: all
 * three wait for ever.  The way out is the connection's control file (Documentation/filesystems/
 * fuse.rst, "Interrupting filesystem operations"), found by the mount's device number: a path on
 * the mount would only wait, too.
 */
#include "front/mount.h"
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL "/sys/fs/fuse/connections"

static enum err say(char *text, size_t len, enum err e, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static enum err say(char *text, size_t len, enum err e, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, len, format, ap);
	va_end(ap);
	return fail(e);
}

/* In /proc/self/mountinfo blanks and the like are written as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

/* The number in a line of mountinfo, if it is of our kind and mounted on dir. */
static bool is_ours(char *line, const char *dir, unsigned *number)
{
	char *save, *word = strtok_r(line, " ", &save), *numbers = NULL, *on = NULL;
	bool last = false;

	for (int k = 0; word; k++, word = strtok_r(NULL, " ", &save)) {
		if (k == 2)
			numbers = word;
		else if (k == 4)
			on = word;
		else if (k > 4 && last)
			break;
		last = k > 4 && strcmp(word, "-") == 0;
	}
	if (!word || !numbers || !on || strcmp(word, "fuse.peerfs") != 0)
		return false;
	unescape(on);
	char *minor = strchr(numbers, ':');
	if (!minor || strcmp(on, dir) != 0)
		return false;
	*number = (unsigned)strtoul(minor + 1, NULL, 10);
	return true;
}

/* The last one mounted there covers the others. */
static bool find(const char *dir, unsigned *number)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (f && getline(&line, &room, f) > 0)
		found |= is_ours(line, dir, number);
	free(line);
	if (f)
		fclose(f);
	return found;
}

static bool end_connection(unsigned number)
{
	char path[sizeof(CONTROL) + 32];

	snprintf(path, sizeof(path), CONTROL "/%u/abort", number);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "1", 1) == 1;
	int why = errno;
	if (fd >= 0)
		close(fd);
	errno = why;
	return done;
}

/* As root, where nobody has mounted the control files: in a mount namespace that ends with it. */
static bool end_connection_apart(unsigned number)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		bool done = unshare(CLONE_NEWNS) == 0 &&
			    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
			    mount("fusectl", CONTROL, "fusectl", 0, NULL) == 0 &&
			    end_connection(number);
		_exit(done ? 0 : 1);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

enum err mount_abandon(const char *dir, char *text, size_t text_len)
{
	unsigned number = 0;

	if (!find(dir, &number))
		return say(text, text_len, ERR_NOENT, "nothing is mounted on %s", dir);
	if (end_connection(number))
		return ERR_OK;
	int why = errno;
	if (geteuid() == 0 && end_connection_apart(number))
		return ERR_OK;
	return say(text, text_len, ERR_PERM,
		   "the daemon of %s was killed and cannot end, as programs wait for it in the "
		   "kernel (%s: %s); as root: mount -t fusectl fusectl " CONTROL
		   "; echo 1 > " CONTROL "/%u/abort",
		   dir, CONTROL, strerror(why), number);
}
