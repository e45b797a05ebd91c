// SPDX-License-Identifier: MIT
/*
 * machine_waits.c - what this machine makes anybody wait for: a loopback round trip, an fsync
 *
 *	machine_waits [DIR]	DIR is where the fsync is tried; the working directory by default
 *
 * A change cannot reach a peer sooner than a round trip, and fsync() on the mount cannot return
 * sooner than one below it; our latencies are told as multiples of these, measured in the same run.
 * Waking another CPU costs many times what waking the same one does, so both are shown.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figure.h"

#define ROUNDS 10000
#define ROUNDS_WARM 500
#define MESSAGE 64
#define FSYNCS 200
#define BLOCK 4096

/* Stay on the n-th CPU of those that we were given; false if there are fewer. */
static bool pin(const cpu_set_t *given, int n)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, given) || n-- > 0)
			continue;
		CPU_SET(cpu, &one);
		return sched_setaffinity(0, sizeof(one), &one) == 0;
	}
	return false;
}

static bool read_all(int fd, char *at, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* Two ends of one TCP connection over loopback. */
static void connect_pair(int end[2])
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	socklen_t len = sizeof(to);
	int one = 1;
	int at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (at < 0 || bind(at, (struct sockaddr *)&to, len) < 0 || listen(at, 1) < 0 ||
	    getsockname(at, (struct sockaddr *)&to, &len) < 0)
		figure_die("listen on 127.0.0.1");
	end[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (end[0] < 0 || connect(end[0], (struct sockaddr *)&to, len) < 0)
		figure_die("connect to 127.0.0.1");
	end[1] = accept4(at, NULL, NULL, SOCK_CLOEXEC);
	if (end[1] < 0)
		figure_die("accept");
	close(at);
	for (int k = 0; k < 2; k++)
		if (setsockopt(end[k], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
			figure_die("TCP_NODELAY");
}

static void echo(int fd)
{
	char message[MESSAGE];

	while (read_all(fd, message, MESSAGE) && write(fd, message, MESSAGE) == MESSAGE)
		continue;
	_exit(0);
}

static void round_trips(const char *name, const cpu_set_t *given, int other_cpu)
{
	static double took[ROUNDS];
	char message[MESSAGE] = {0};
	int end[2];

	if (!pin(given, other_cpu)) {
		fprintf(stderr, "bench: no second CPU: no figure %s\n", name);
		return;
	}
	connect_pair(end);
	pid_t child = fork();
	if (child < 0)
		figure_die("fork");
	if (child == 0) {
		close(end[0]);
		echo(end[1]);
	}
	close(end[1]);
	pin(given, 0);
	for (int k = -ROUNDS_WARM; k < ROUNDS; k++) {
		uint64_t began = figure_now();

		if (write(end[0], message, MESSAGE) != MESSAGE ||
		    !read_all(end[0], message, MESSAGE))
			figure_die("round trip");
		if (k >= 0)
			took[k] = (double)(figure_now() - began) / 1000;
	}
	close(end[0]); /* the child reads an end of file */
	waitpid(child, NULL, 0);
	figure_print_spread(name, took, ROUNDS, "us");
}

static void appends(const char *dir)
{
	static char block[BLOCK];
	double took[FSYNCS];
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/fsync.XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		figure_die(dir);
	}
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		figure_die(path);
	unlink(path);
	memset(block, 7, sizeof(block));
	for (int k = 0; k < FSYNCS; k++) {
		uint64_t began = figure_now();

		if (write(fd, block, BLOCK) != BLOCK || fsync(fd) < 0)
			figure_die("append and fsync");
		took[k] = (double)(figure_now() - began) / 1000;
	}
	close(fd);
	figure_print_spread("append-4K-fsync", took, FSYNCS, "us");
}

int main(int argc, char **argv)
{
	cpu_set_t given;

	if (argc > 2) {
		fprintf(stderr, "usage: machine_waits [DIR]\n");
		return 2;
	}
	if (sched_getaffinity(0, sizeof(given), &given) < 0)
		figure_die("sched_getaffinity");
	round_trips("tcp-same-cpu", &given, 0);
	round_trips("tcp-cross-cpu", &given, 1);
	sched_setaffinity(0, sizeof(given), &given);
	appends(argc == 2 ? argv[1] : ".");
	return 0;
}
