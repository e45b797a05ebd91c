// SPDX-License-Identifier: MIT
/*
 * peerfsd.c - the daemon: options, one instance, start, stop
 *
 * Serves all folders of one device until SIGTERM, SIGINT or a request to stop.  It never execs,
 * never forks (but to free itself of a dead one: letgo.c) and never touches a path below a mount:
 * "peerfs" mounts and hands descriptors over. The main thread runs the loop; a stop has a thread of
 * its own, as it waits for others.
 */
#include "prog/device.h"
#include "prog/folders.h"
#include "prog/letgo.h"
#include "prog/serve.h"
#include "sys/ctl.h"
#include "sys/fdio.h"
#include "sys/rand.h"
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct serving {
	struct daemon d;
	struct ctl_server *ctl;
	int ready_fd, lock_fd;
	pthread_mutex_t mutex;
	bool ready, stopping;
	pthread_t stopper;
};

/* ---- telling who started us ---- */

/* sd_notify(3) in a few lines: a datagram to the manager that set NOTIFY_SOCKET. */
static void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;

	if (len == 0 || len >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, len);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = 0;
	auto_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

/* One line for the program that started us: "0 ready", or an exit code and what went wrong. */
static void tell_starter(struct serving *s, enum exits code, const char *text)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%d %s\n", (int)code, text);

	if (s->ready_fd < 0)
		return;
	if (n > 0 && write(s->ready_fd, line, MIN((size_t)n, sizeof(line) - 1)) < 0)
		report(REPORT_DEBUG, "who started the daemon does not listen");
	(void)close(s->ready_fd);
	s->ready_fd = -1;
}

static enum exits give_up(struct serving *s, enum exits code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static enum exits give_up(struct serving *s, enum exits code, const char *format, ...)
{
	char text[900];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report(REPORT_ERROR, "%s", text);
	tell_starter(s, code, text);
	return code;
}

/* ---- stopping ---- */

static void *stop_thread(void *arg)
{
	struct serving *s = arg;

	notify_manager("STOPPING=1");
	ctl_stop(s->ctl);
	folders_close_all(&s->d);
	loop_end(s->d.loop);
	return NULL;
}

static void stop(void *arg)
{
	struct serving *s = arg;

	(void)pthread_mutex_lock(&s->mutex);
	if (!s->stopping) {
		s->stopping = pthread_create(&s->stopper, NULL, stop_thread, s) == 0;
		report(REPORT_INFO, "stopping");
	}
	(void)pthread_mutex_unlock(&s->mutex);
}

static void on_signal(void *arg, int number)
{
	if (number == SIGHUP)
		report(REPORT_INFO, "a changed configuration is read at the next start");
	else
		stop(arg);
}

/* ---- starting ---- */

/* Memory that was freed is used again instead of given back: fresh pages are dear (pitfalls 51). */
static void keep_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
	(void)mallopt(M_ARENA_MAX, 4);
}

static void confine(void)
{
	struct rlimit files;

	(void)umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker traces its own process */
	(void)prctl(PR_SET_DUMPABLE, 0); /* keys are in memory */
#endif
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = MIN(files.rlim_max, (rlim_t)65536);
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* One daemon for each device: whoever holds the lock of DATA/daemon.lock. */
static enum exits take_lock(struct serving *s)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATHS_MAX + 16], text[700];

	(void)snprintf(path, sizeof(path), "%s/daemon.lock", s->d.paths.data);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return give_up(s, EXIT_FAILED, "cannot open %s: %s", path, strerror(errno));
	enum err e = letgo(&s->d.paths, text, sizeof(text));
	if (e)
		return give_up(s, EXIT_FAILED, "%s", text);
	if (fcntl(s->lock_fd, F_OFD_SETLK, &all) == 0) {
		letgo_sign(s->lock_fd);
		return EXIT_DONE;
	}
	return give_up(s, EXIT_FAILED,
		       "another daemon of this device is running (it holds %s): "
		       "peerfs status shows it, peerfs daemon stop ends it",
		       path);
}

static enum exits configure(struct serving *s)
{
	char why[CONF_WHY];
	bool made;
	enum err e = paths_find(&s->d.paths, why, sizeof(why));

	if (e)
		return give_up(s, EXIT_USAGE, "%s", why);
	e = conf_load(s->d.paths.config, &s->d.conf, why, sizeof(why));
	if (e)
		return give_up(s, EXIT_USAGE, "%s", why);
	report_level((enum report_level)s->d.conf.log_level);
	(void)snprintf(s->d.name, sizeof(s->d.name), "%.*s", MEMBER_NAME_MAX, s->d.conf.name);
	errno = 0;
	e = paths_make(s->d.paths.data);
	if (!e)
		e = paths_make(s->d.paths.run);
	if (e)
		return give_up(s, exits_of(e), "cannot make %s or %s: %s", s->d.paths.data,
			       s->d.paths.run, errno ? strerror(errno) : err_text(e));
	enum exits x = take_lock(s);

	if (x)
		return x;
	e = device_load(&s->d.paths, &s->d.device, &made, why, sizeof(why));
	return e ? give_up(s, EXIT_FAILED, "%s", why) : EXIT_DONE;
}

static enum exits start(struct serving *s)
{
	struct loop_config lc = {.device = &s->d.device,
				 .device_name = s->d.name,
				 .announce = s->d.conf.announce,
				 .signalled = on_signal,
				 .arg = s};
	struct ctl_ops ops = {.arg = &s->d, .answer = serve_answer};
	enum err e = loop_new(&lc, &s->d.loop);

	if (e)
		return give_up(s, EXIT_FAILED, "cannot start: %s", err_text(e));
	e = loop_listen(s->d.loop, s->d.conf.listen);
	if (e == ERR_BUSY)
		return give_up(s, EXIT_FAILED,
			       "the port of %s is in use by another program: choose another with "
			       "peerfs config set device.listen ADDRESS:PORT",
			       s->d.conf.listen);
	if (e)
		return give_up(s, EXIT_FAILED,
			       "cannot listen on %s (%s): correct device.listen in %s",
			       s->d.conf.listen,
			       e == ERR_UNREACHABLE ? "this host does not have that address"
			       : e == ERR_INVAL     ? "there is no such address"
						    : err_text(e),
			       s->d.paths.config);
	s->d.stop = stop;
	s->d.stop_arg = s;
	folders_open_all(&s->d);
	e = ctl_serve(s->d.paths.socket, &ops, &s->ctl);
	if (e)
		return give_up(s, EXIT_FAILED, "cannot listen on %s: %s", s->d.paths.socket,
			       err_text(e));
	return EXIT_DONE;
}

static void run(struct serving *s)
{
	report(REPORT_INFO, "peerfsd %s serves %s, device %s, port %u", PEERFS_VERSION,
	       s->d.paths.data, s->d.name, loop_port(s->d.loop));
	notify_manager("READY=1");
	tell_starter(s, EXIT_DONE, "ready");
	loop_run(s->d.loop);
	(void)pthread_mutex_lock(&s->mutex);
	bool stopping = s->stopping;

	(void)pthread_mutex_unlock(&s->mutex);
	if (stopping)
		(void)pthread_join(s->stopper, NULL);
	loop_free(s->d.loop);
	conf_free(&s->d.conf);
	report(REPORT_INFO, "stopped");
}

static void usage(void)
{
	(void)puts("usage: peerfsd [--ready-fd N] [--version] [--help]\n"
		   "Serves the folders of this device in the foreground; peerfs starts it when "
		   "needed.\n"
		   "PEERFS_HOME=DIR keeps everything of one device below DIR.  See peerfsd(8).");
}

int main(int argc, char **argv)
{
	static struct serving s = {.ready_fd = -1, .lock_fd = -1};
	static const struct option options[] = {{"ready-fd", required_argument, NULL, 'r'},
						{"version", no_argument, NULL, 'v'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	int o;

	rand_init();
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == 'r') {
			s.ready_fd = (int)strtol(optarg, NULL, 10);
			(void)fcntl(s.ready_fd, F_SETFD, FD_CLOEXEC);
		} else if (o == 'v') {
			(void)puts("peerfsd " PEERFS_VERSION);
			return EXIT_DONE;
		} else {
			usage();
			return o == 'h' ? EXIT_DONE : EXIT_USAGE;
		}
	}
	if (optind < argc) {
		usage();
		return EXIT_USAGE;
	}
	keep_memory();
	confine();
	(void)pthread_mutex_init(&s.mutex, NULL);
	(void)pthread_mutex_init(&s.d.mutex, NULL);
	enum exits x = configure(&s);

	if (!x)
		x = start(&s);
	if (!x)
		run(&s);
	return (int)x;
}
