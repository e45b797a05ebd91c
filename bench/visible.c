// SPDX-License-Identifier: MIT
/*
 * visible.c - how long after close() on one device a file stands on another, and its bytes
 *
 *	visible DIR-A DIR-B COUNT
 *
 * Each sample writes a new 4 KiB file below DIR-A, and from the return of close() on asks for it by
 * name below DIR-B, every 50 us, until it is there; then reads it there to its end.  Prints
 * "close-to-stat" and "close-to-bytes" as figure.h does.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "figure.h"

#define FILE_BYTES 4096u
#define GIVE_UP_NS UINT64_C(10000000000)

static void write_file(const char *path, unsigned k)
{
	static char bytes[FILE_BYTES];

	memset(bytes, (int)('a' + k % 26), sizeof(bytes));
	memcpy(bytes, &k, sizeof(k)); /* no two files are equal */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || close(fd))
		figure_die(path);
}

static void read_file(const char *path)
{
	static char bytes[FILE_BYTES + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, bytes, sizeof(bytes)) != (ssize_t)FILE_BYTES || close(fd))
		figure_die(path);
}

static void await(const char *path, uint64_t since)
{
	const struct timespec pause = {.tv_nsec = 50000};
	struct stat st;

	while (stat(path, &st) < 0) {
		if (figure_now() - since > GIVE_UP_NS)
			figure_die(path);
		(void)nanosleep(&pause, NULL); /* between two looks */
	}
}

int main(int argc, char **argv)
{
	unsigned count = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	char a[1024], b[1024];

	if (!count) {
		fprintf(stderr, "usage: visible DIR-A DIR-B COUNT\n");
		return 2;
	}
	double *seen = calloc(count, sizeof(*seen)), *got = calloc(count, sizeof(*got));
	if (!seen || !got)
		figure_die("memory");
	for (unsigned k = 0; k < count; k++) {
		if (snprintf(a, sizeof(a), "%s/visible.%d.%u", argv[1], getpid(), k) >=
			    (int)sizeof(a) ||
		    snprintf(b, sizeof(b), "%s/visible.%d.%u", argv[2], getpid(), k) >=
			    (int)sizeof(b))
			return 2;
		write_file(a, k);
		uint64_t since = figure_now();
		await(b, since);
		seen[k] = (double)(figure_now() - since) / 1e3;
		read_file(b);
		got[k] = (double)(figure_now() - since) / 1e3;
	}
	figure_print_spread("close-to-stat", seen, count, "us");
	figure_print_spread("close-to-bytes", got, count, "us");
	free(seen);
	free(got);
	return 0;
}
