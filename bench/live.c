// SPDX-License-Identifier: MIT
/*
 * live.c - how long after a change on one device a program that watches another one is told
 *
 *	live DIR-A DIR-B COUNT
 *
 * Each sample is one change below DIR-A; a watch of DIR-B (inotify) waits for its event.  Between
 * samples both rest.  From just before the call that makes the change, to the return of the read
 * that brings the event:
 *
 *	"rename-to-event"	rename(2) of a file; until IN_MOVED_TO
 *	"save-to-event"		open(2), write(2) of 4 KiB over old contents, close(2); until
 *IN_MODIFY
 *
 * Prints both as figure.h does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "figure.h"

#define FILE_BYTES 4096u
#define GIVE_UP_MS 10000
#define REST_NS 5000000

static void save(const char *path, unsigned k)
{
	static char bytes[FILE_BYTES];

	memset(bytes, (int)('a' + k % 26), sizeof(bytes));
	memcpy(bytes, &k, sizeof(k)); /* no two versions are equal */
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || close(fd))
		figure_die(path);
}

/* Whether one of the events that are there is that one. */
static int heard(int watch, uint32_t kind, const char *name)
{
	static char buf[65536] __attribute__((aligned(8)));
	ssize_t n = read(watch, buf, sizeof(buf));
	int found = 0;

	if (n <= 0)
		figure_die("read of events");
	for (ssize_t at = 0; at < n;) {
		struct inotify_event e;
		memcpy(&e, buf + at, sizeof(e));
		found |= (e.mask & kind) && strcmp(buf + at + sizeof(e), name) == 0;
		at += (ssize_t)(sizeof(e) + e.len);
	}
	return found;
}

static void await(int watch, uint32_t kind, const char *name)
{
	struct pollfd p = {.fd = watch, .events = POLLIN};

	do {
		if (poll(&p, 1, GIVE_UP_MS) != 1) {
			errno = ETIMEDOUT;
			figure_die(name);
		}
	} while (!heard(watch, kind, name));
}

static double sample(int watch, const char *a, unsigned k, int rename_it)
{
	char from[1100], to[1100], name[2][16];
	const struct timespec rest = {.tv_nsec = REST_NS};

	(void)nanosleep(&rest, NULL);
	snprintf(name[0], sizeof(name[0]), "live.%u", k % 2);
	snprintf(name[1], sizeof(name[1]), "live.%u", (k + 1) % 2);
	snprintf(from, sizeof(from), "%s/%s", a, name[0]);
	snprintf(to, sizeof(to), "%s/%s", a, name[1]);
	uint64_t since = figure_now();
	if (!rename_it)
		save(from, k);
	else if (rename(from, to) < 0)
		figure_die(from);
	await(watch, rename_it ? IN_MOVED_TO : IN_MODIFY, name[rename_it]);
	return (double)(figure_now() - since) / 1e3;
}

int main(int argc, char **argv)
{
	unsigned count = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	char a[1024], b[1024], first[1100];

	if (!count || snprintf(a, sizeof(a), "%s/live", argv[1]) >= (int)sizeof(a) ||
	    snprintf(b, sizeof(b), "%s/live", argv[2]) >= (int)sizeof(b)) {
		fprintf(stderr, "usage: live DIR-A DIR-B COUNT\n");
		return 2;
	}
	double *renamed = calloc(count, sizeof(*renamed)), *saved = calloc(count, sizeof(*saved));
	int watch = inotify_init1(IN_CLOEXEC);
	if (!renamed || !saved || watch < 0)
		figure_die("memory");
	if (inotify_add_watch(watch, argv[2], IN_CREATE) < 0)
		figure_die(argv[2]);
	if (mkdir(a, 0755) < 0)
		figure_die(a);
	await(watch, IN_CREATE, "live");
	if (inotify_add_watch(watch, b, IN_CREATE | IN_MOVED_TO | IN_MODIFY) < 0)
		figure_die(b);
	snprintf(first, sizeof(first), "%s/live.0", a);
	save(first, 0);
	await(watch, IN_CREATE, "live.0");
	for (unsigned k = 0; k < count; k++) {
		saved[k] = sample(watch, a, k, 0);
		renamed[k] = sample(watch, a, k, 1);
	}
	figure_print_spread("rename-to-event", renamed, count, "us");
	figure_print_spread("save-to-event", saved, count, "us");
	for (char last = '0'; last <= '1'; last++) {
		first[strlen(first) - 1] = last;
		(void)unlink(first); /* one of the two is there */
	}
	if (rmdir(a) < 0)
		figure_die(a);
	free(renamed);
	free(saved);
	return 0;
}
