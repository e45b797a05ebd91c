// SPDX-License-Identifier: MIT
/*
 * client.c - the control socket from the user's side, and the daemon's start
 *
 * The daemon is started as a grandchild in a session of its own, with its log in DATA/daemon.log;
 * it says over a pipe when it is ready or why not, so that the user reads the reason at once.
 */
#include "prog/client.h"
#include "base/bytes.h"
#include "prog/letgo.h"
#include "sys/clock.h"
#include "sys/fdio.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LOG_BYTES_MAX (4 << 20)
#define STOP_MS 60000

enum exits client_fail(enum exits code, const char *format, ...)
{
	va_list args;

	(void)fflush(stdout);
	(void)fputs("peerfs: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return code;
}

enum exits client_paths(struct paths *ret)
{
	char why[512];

	return paths_find(ret, why, sizeof(why)) ? client_fail(EXIT_USAGE, "%s", why) : EXIT_DONE;
}

/* ---- starting ---- */

/* A program that belongs to this one: beside it (a build), in ../sbin, or in the PATH. */
static void exec_ours(char *const argv[])
{
	static const char *const places[] = {"", "../sbin/"};
	char self[PATHS_MAX], path[PATHS_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = 0;
	char *slash = strrchr(self, '/');

	if (slash)
		slash[1] = 0;
	for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
		(void)snprintf(path, sizeof(path), "%s%s%s", self, places[i], argv[0]);
		(void)execv(path, argv);
	}
	(void)execvp(argv[0], argv);
}

enum exits client_become(void)
{
	char name[] = "peerfsd";
	char *argv[] = {name, NULL};

	exec_ours(argv);
	return client_fail(EXIT_FAILED, "cannot run peerfsd: %s; is it installed?",
			   strerror(errno));
}

/* The log, begun anew when it has grown long. */
static int open_log(const struct paths *p)
{
	char path[PATHS_MAX + 16], old[PATHS_MAX + 32];
	struct stat st;

	if (paths_make(p->data))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/daemon.log", p->data);
	(void)snprintf(old, sizeof(old), "%s.old", path);
	if (stat(path, &st) == 0 && st.st_size > LOG_BYTES_MAX)
		(void)rename(path, old);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* In the grandchild. */
static void daemon_child(int log, int ready)
{
	char name[] = "peerfsd", option[] = "--ready-fd", number[16];
	char *argv[] = {name, option, number, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)snprintf(number, sizeof(number), "%d", ready);
	(void)fcntl(ready, F_SETFD, 0);
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(log >= 0 ? log : null, 2);
	if (chdir("/") == 0)
		exec_ours(argv);
	(void)dprintf(ready, "%d cannot run peerfsd: %s; is it installed?\n", EXIT_FAILED,
		      strerror(errno));
	_exit(EXIT_FAILED);
}

/* The daemon's one line; false: it ended or said nothing in time. */
static bool read_line(int fd, char *line, size_t size)
{
	uint64_t until = clock_usec() + CLIENT_START_MS * UINT64_C(1000);
	size_t len = 0;

	while (len + 1 < size && !memchr(line, '\n', len)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = clock_usec();

		if (now >= until || poll(&p, 1, (int)((until - now) / 1000) + 1) < 0)
			return false;
		ssize_t n = p.revents ? read(fd, line + len, size - 1 - len) : 0;

		if (p.revents && n <= 0)
			return false;
		len += (size_t)n;
	}
	line[len] = 0;
	line[strcspn(line, "\n")] = 0;
	return true;
}

enum exits client_start(const struct paths *p)
{
	char line[1024] = "";
	int ready[2], log = open_log(p);

	if (pipe2(ready, O_CLOEXEC) < 0)
		return client_fail(EXIT_FAILED, "cannot make a pipe: %s", strerror(errno));
	pid_t child = fork();

	if (child == 0) {
		(void)setsid();
		if (fork() == 0)
			daemon_child(log, ready[1]);
		_exit(0);
	}
	(void)close(ready[1]);
	if (log >= 0)
		(void)close(log);
	if (child > 0)
		(void)waitpid(child, NULL, 0);
	bool said = child > 0 && read_line(ready[0], line, sizeof(line));

	(void)close(ready[0]);
	if (!said)
		return client_fail(EXIT_NO_DAEMON,
				   "the daemon did not start; its log is %s/daemon.log", p->data);
	char *text;
	long code = strtol(line, &text, 10);

	if (code == 0)
		return EXIT_DONE;
	return client_fail((enum exits)code, "the daemon did not start:%s", text);
}

/* In the grandchild: that there are no events is no reason to fail, nor to talk. */
static void poke_child(const char *name, const char *dir)
{
	char program[] = "peerfs-poke", *argv[] = {program, strdup(name), strdup(dir), NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++)
		(void)dup2(null, fd);
	if (argv[1] && argv[2] && chdir("/") == 0)
		exec_ours(argv);
	_exit(EXIT_FAILED);
}

void client_poke(const char *name, const char *dir)
{
	pid_t child = fork();

	if (child == 0) {
		(void)setsid();
		if (fork() == 0)
			poke_child(name, dir);
		_exit(0);
	}
	if (child > 0)
		(void)waitpid(child, NULL, 0);
}

enum exits client_let_go(const struct paths *p)
{
	char text[1024];

	return letgo(p, text, sizeof(text)) ? client_fail(EXIT_FAILED, "%s", text) : EXIT_DONE;
}

enum exits client_connect(const struct paths *p, bool start, struct ctl *ret)
{
	enum exits stuck = client_let_go(p);

	if (stuck)
		return stuck;
	enum err e = ctl_connect(p->socket, ret);

	if (e == ERR_CLOSED && start) {
		enum exits x = client_start(p);

		/* of two that start it at once one fails, and finds the other's */
		e = ctl_connect(p->socket, ret);
		if (e && x)
			return x;
	}
	if (e == ERR_CLOSED)
		return client_fail(EXIT_NO_DAEMON,
				   "the daemon is not running: start it with \"peerfs daemon "
				   "start\"");
	if (e)
		return client_fail(EXIT_FAILED, "cannot reach the daemon at %s: %s", p->socket,
				   strerror(errno));
	return EXIT_DONE;
}

enum exits client_ask(struct ctl *c, const char *method, json_t *take_parameters, int fd,
		      json_t **ret)
{
	json_t *answer;
	enum err e = ctl_ask(c, method, take_parameters, fd, &answer);

	if (e)
		return client_fail(EXIT_NO_DAEMON,
				   "the daemon went away (%s); its log says why: daemon.log",
				   err_text(e));
	json_t *parameters = json_object_get(answer, "parameters");

	if (json_object_get(answer, "error")) {
		json_int_t code = json_integer_value(json_object_get(parameters, "exit"));
		const char *text = json_string_value(json_object_get(parameters, "text"));
		enum exits x = client_fail(code > 0 ? (enum exits)code : EXIT_FAILED, "%s",
					   text ? text : "the daemon gave no reason");

		json_decref(answer);
		return x;
	}
	if (ret)
		*ret = json_incref(parameters);
	json_decref(answer);
	return EXIT_DONE;
}

/* ---- stopping ---- */

static bool gone(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

enum exits client_stop(const struct paths *p)
{
	json_t *status;
	struct ctl c;
	enum exits x = client_connect(p, false, &c);

	if (x)
		return x;
	x = client_ask(&c, "status", NULL, -1, &status);
	if (!x) {
		pid_t pid = (pid_t)json_integer_value(json_object_get(status, "pid"));
		auto_fd fd = (int)syscall(SYS_pidfd_open, pid, 0);
		json_decref(status);
		x = client_ask(&c, "stop", NULL, -1, NULL);
		if (!x && fd >= 0 && !gone(fd, STOP_MS))
			x = client_fail(EXIT_TIME,
					"the daemon (process %ld) has not ended yet; it goes on "
					"to",
					(long)pid);
	}
	ctl_close(&c);
	return x;
}

/* ---- paths ---- */

enum exits client_absolute(const char *dir, char ret[PATHS_MAX])
{
	char parent[PATHS_MAX], real[PATH_MAX];
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 0 || len >= sizeof(parent))
		return client_fail(EXIT_USAGE, "\"%s\" is not a path", dir);
	memcpy(parent, dir, len);
	parent[len] = 0;
	char *slash = strrchr(parent, '/');
	const char *last = slash ? slash + 1 : parent;

	if (strcmp(last, "..") == 0 || strcmp(last, ".") == 0 || !*last) {
		if (!realpath(parent, real))
			return client_fail(EXIT_NO_SUCH, "%s: %s", dir, strerror(errno));
		(void)snprintf(ret, PATHS_MAX, "%.*s", PATHS_MAX - 1, real);
		return EXIT_DONE;
	}
	char name[PATHS_MAX];

	(void)snprintf(name, sizeof(name), "%s", last);
	if (slash)
		slash[slash == parent] = 0;
	if (!realpath(slash ? parent : ".", real))
		return client_fail(EXIT_NO_SUCH, "%s: %s", slash ? parent : ".", strerror(errno));
	int n = snprintf(ret, PATHS_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);

	return n < PATHS_MAX ? EXIT_DONE : client_fail(EXIT_USAGE, "%s: too long", dir);
}

bool client_is_utf8(const char *s)
{
	json_t *j = json_string(s);
	bool ok = j != NULL;

	json_decref(j);
	return ok;
}

json_t *client_path(json_t *o, const char *key, const char *path)
{
	char hex[2 * PATHS_MAX + 1], key_hex[32];

	if (client_is_utf8(path)) {
		(void)json_object_set_new(o, key, json_string(path));
		return o;
	}
	for (size_t i = 0; i < strlen(path) && i < PATHS_MAX; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)path[i]);
	(void)snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
	(void)json_object_set_new(o, key_hex, json_string(hex));
	return o;
}
