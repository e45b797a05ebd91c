// SPDX-License-Identifier: MIT
/*
 * onenode.c - one folder, one mount, no network: what the tests of the mount run against
 *
 *	onenode STORE DIR [preserve] [privileged] [allow_other]
 *
 * Founds a folder in STORE if there is none (the device's key is a fixed one), mounts it on DIR,
 * says "ready" and serves until SIGTERM or until it is unmounted.  Killed and started again it
 * goes on with the same STORE; the dead mount is taken away first.
 *
 * Unlike the daemon it unmounts by itself: from a child process, never from one of its threads.
 */
#include "front/mount.h"
#include "sys/rand.h"
#include "sys/report.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char folder[] = "test";
static const uint8_t seed[32] = {1, 2, 3};
static volatile sig_atomic_t unmounted;

/* Debian 12's libfuse never frees the name of a mount point that is to stay mounted. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:fuse_session_mount";
}

static int die(const char *what, enum err e)
{
	fprintf(stderr, "onenode: %s: %s\n", what, err_text(e));
	return 1;
}

static void gone(void *arg, struct mount *m)
{
	(void)arg;
	(void)m;
	unmounted = 1;
	kill(getpid(), SIGUSR1);
}

/* Tick the host until told to stop. */
static void serve(struct host *h, const sigset_t *set)
{
	for (;;) {
		int ms = host_timeout(h);
		ms = ms < 0 || ms > 100 ? 100 : ms;
		struct timespec t = {.tv_nsec = (long)ms * 1000000};
		int got = sigtimedwait(set, NULL, &t);
		if (got > 0)
			return;
		host_tick(h);
	}
}

static void unmount(const char *dir)
{
	char text[256];
	pid_t child = fork();

	if (child == 0) {
		enum err e = mount_detach(dir, false, text, sizeof(text));
		if (e)
			e = mount_detach(dir, true, text, sizeof(text));
		_exit(e != ERR_OK);
	}
	if (child > 0)
		(void)waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
	struct mount_options o = {.uid = getuid(), .gid = getgid()};
	struct sign_pair pair;
	struct host *h;
	struct mount *m;
	char text[512];
	sigset_t set;
	int fd;

	rand_init();
	if (argc < 3)
		return die("usage: onenode STORE DIR [OPTION]...", ERR_INVAL);
	for (int k = 3; k < argc; k++) {
		o.preserve_owner |= strcmp(argv[k], "preserve") == 0;
		o.privileged |= strcmp(argv[k], "privileged") == 0;
		o.allow_other |= strcmp(argv[k], "allow_other") == 0;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	report_level(REPORT_WARN);
	sign_pair_init(&pair, seed);
	if (access(argv[1], F_OK) < 0) {
		enum err e = host_found(argv[1], &pair, "tester", folder);
		if (e)
			return die("cannot found a folder", e);
	}
	struct host_config c = {.store = argv[1],
				.device = &pair,
				.device_name = "tester",
				.read_timeout_ms = 1000};
	enum err e = host_open(&c, &h);
	if (e)
		return die("cannot open the store", e);
	if (mount_attach(argv[2], folder, &o, &fd, text, sizeof(text))) {
		fprintf(stderr, "onenode: %s\n", text);
		host_close(h);
		return 1;
	}
	e = mount_serve(h, fd, argv[2], &o, gone, NULL, &m);
	if (e)
		return die("cannot serve", e);
	printf("ready\n");
	fflush(stdout);
	serve(h, &set);
	if (!unmounted)
		unmount(argv[2]);
	mount_stop(m);
	host_close(h);
	return 0;
}
