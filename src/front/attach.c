// SPDX-License-Identifier: MIT
/*
 * attach.c - mounting and unmounting, in the program that the user ran
 *
 * The daemon may be confined so that it could never mount; and it never touches a mount point.  So
 * the user's program opens the mount, with the user's rights, and passes the descriptor on.  Every
 * refusal says what was found and what to do about it.
 */
#include "front/mount.h"
#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/magic.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUSY_TRIES 10
#define BUSY_PAUSE_NS 10000000

struct text {
	char *at;
	size_t len;
};

static enum err say(const struct text *t, enum err e, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static enum err say(const struct text *t, enum err e, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(t->at, t->len, format, ap);
	va_end(ap);
	return fail(e);
}

bool mount_is_dead(const char *dir)
{
	struct statfs st;

	/* Not stat(2), which the kernel may answer from what it remembers. */
	return statfs(dir, &st) < 0 && errno == ENOTCONN;
}

/* The directory is fit to be a mount point. */
static enum err check_dir(const char *dir, const struct text *t)
{
	struct stat st, up;
	struct dirent *d;
	char parent[4200];

	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return say(t, ERR_NOENT, "%s does not exist; make it: mkdir -p '%s'", dir, dir);
	if (fd < 0 && errno == ELOOP)
		return say(t, ERR_NOTDIR, "%s is a symbolic link; name the directory itself", dir);
	if (fd < 0 && errno == ENOTDIR)
		return say(t, ERR_NOTDIR,
			   "%s is not a directory, or a symbolic link to one; name an empty "
			   "directory",
			   dir);
	if (fd < 0)
		return say(t, ERR_REFUSED, "cannot open %s: %s", dir, strerror(errno));
	snprintf(parent, sizeof(parent), "%s/..", dir);
	bool known = fstat(fd, &st) == 0 && stat(parent, &up) == 0;
	DIR *list = fdopendir(fd);
	if (!list) {
		close(fd);
		return say(t, ERR_NOMEM, "cannot read %s: %s", dir, strerror(errno));
	}
	bool empty = true;
	while (empty && (d = readdir(list)))
		empty = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
	closedir(list);
	if (known && st.st_dev != up.st_dev)
		return say(t, ERR_BUSY,
			   "something is mounted on %s already; unmount it first: peerfs umount "
			   "'%s'",
			   dir, dir);
	if (known && st.st_uid != geteuid() && geteuid() != 0)
		return say(t, ERR_PERM,
			   "%s belongs to somebody else; mount on a directory of your own", dir);
	if (!empty)
		return say(t, ERR_NOTEMPTY,
			   "%s is not empty; mount on an empty directory (files in it would be "
			   "hidden)",
			   dir);
	return ERR_OK;
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char whole[4096];

	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");
		snprintf(whole, sizeof(whole), "%.*s/%s", (int)len, p, program);
		if (access(whole, X_OK) == 0)
			return true;
		p += len + (p[len] == ':');
	}
	return false;
}

static bool conf_allows_others(void)
{
	FILE *f = fopen("/etc/fuse.conf", "re");
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, " \t\r\n#")] = 0;
		found = strcmp(line, "user_allow_other") == 0;
	}
	if (f)
		fclose(f);
	return found;
}

/* What must be so before anybody can mount. */
static enum err check_system(const struct mount_options *o, const struct text *t)
{
	if (access("/dev/fuse", F_OK) < 0)
		return say(t, ERR_NOENT,
			   "/dev/fuse is missing; load the module (modprobe fuse), or in a "
			   "container pass the device in");
	if (geteuid() == 0)
		return ERR_OK;
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return say(t, ERR_REFUSED,
			   "/dev/fuse may not be opened by this user: %s; as root: chmod 666 "
			   "/dev/fuse",
			   strerror(errno));
	if (!in_path("fusermount3"))
		return say(t, ERR_NOENT,
			   "fusermount3 is not installed; as root: apt-get install fuse3");
	if (o->allow_other && !conf_allows_others())
		return say(t, ERR_PERM,
			   "other users may be let in only if /etc/fuse.conf says "
			   "user_allow_other; add that line as root, or mount without "
			   "allow_other");
	return ERR_OK;
}

/* Mount options are separated by commas; a folder may be called anything. */
static void plain_name(const char *from, char *to, size_t room)
{
	size_t k = 0;

	for (; from[k] && k + 1 < room; k++) {
		unsigned char c = (unsigned char)from[k];
		to[k] = c <= ' ' || c == ',' || c == '\\' || c == 0x7f ? '_' : from[k];
	}
	to[k] = 0;
}

static char lib_text[256]; /* what libfuse said last; this program mounts from one thread */

static void lib_log(enum fuse_log_level level, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void lib_log(enum fuse_log_level level, const char *format, va_list ap)
{
	(void)level;
	(void)vsnprintf(lib_text, sizeof(lib_text), format, ap);
	lib_text[strcspn(lib_text, "\n")] = 0;
}

static enum err open_mount(const char *dir, const char *folder, const struct mount_options *o,
			   int *fd, const struct text *t)
{
	char name[128], options[512], program[] = "peerfs", flag[] = "-o";
	char *argv[] = {program, flag, options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	const struct fuse_lowlevel_ops none = {0};

	plain_name(folder, name, sizeof(name));
	/* nosuid and nodev, also for root: who else may write here decides what stands in it */
	snprintf(options, sizeof(options),
		 "fsname=peerfs:%s,subtype=peerfs,default_permissions,nosuid,nodev%s", name,
		 o->allow_other ? ",allow_other" : "");
	lib_text[0] = 0;
	fuse_set_log_func(lib_log);
	struct fuse_session *se = fuse_session_new(&args, &none, sizeof(none), NULL);
	bool ok = se && fuse_session_mount(se, dir) == 0;
	int copy = ok ? fcntl(fuse_session_fd(se), F_DUPFD_CLOEXEC, 3) : -1;
	if (ok && copy < 0)
		fuse_session_unmount(se);
	if (se)
		fuse_session_destroy(se); /* closes its descriptor; the mount stays */
	fuse_set_log_func(NULL);
	fuse_opt_free_args(&args);
	if (copy < 0)
		return say(t, ERR_REFUSED, "cannot mount on %s: %s%s", dir,
			   lib_text[0] ? lib_text : strerror(errno),
			   geteuid() ? "; in a container or sandbox, unprivileged mounts may be "
				       "forbidden"
				     : "");
	*fd = copy;
	return ERR_OK;
}

enum err mount_check_system(const struct mount_options *o, char *text, size_t text_len)
{
	return check_system(o, &(const struct text){text, text_len});
}

enum err mount_check_dir(const char *dir, char *text, size_t text_len)
{
	return check_dir(dir, &(const struct text){text, text_len});
}

enum err mount_attach(const char *dir, const char *folder, const struct mount_options *o, int *fd,
		      char *text, size_t text_len)
{
	const struct text t = {text, text_len};
	char *whole = NULL;

	enum err e = check_system(o, &t);
	if (!e && mount_is_dead(dir))
		e = mount_detach(dir, true, text, text_len);
	if (!e)
		e = check_dir(dir, &t);
	if (!e) {
		whole = realpath(dir, NULL);
		e = whole ? open_mount(whole, folder, o, fd, &t)
			  : say(&t, ERR_NOENT, "cannot find %s: %s", dir, strerror(errno));
	}
	free(whole);
	return e;
}

/* Run fusermount3 and keep what it says. */
static enum err run_fusermount(const char *dir, bool lazy, const struct text *t)
{
	char program[] = "fusermount3", unmount[] = "-u", later[] = "-z", end[] = "--";
	char *whole = strdup(dir), *argv[6], said[256];
	posix_spawn_file_actions_t actions;
	int k = 0, out[2], status = -1;
	size_t have = 0;
	pid_t pid;

	argv[k++] = program;
	argv[k++] = unmount;
	if (lazy)
		argv[k++] = later;
	argv[k++] = end;
	argv[k++] = whole;
	argv[k] = NULL;
	if (!whole || pipe2(out, O_CLOEXEC) < 0) {
		free(whole);
		return say(t, ERR_NOMEM, "cannot run fusermount3: %s", strerror(errno));
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	int failed = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	for (ssize_t n = 1; !failed && n > 0 && have + 1 < sizeof(said);) {
		n = read(out[0], said + have, sizeof(said) - 1 - have);
		have += n > 0 ? (size_t)n : 0;
	}
	close(out[0]);
	said[have] = 0;
	said[strcspn(said, "\n")] = 0;
	free(whole);
	if (failed)
		return say(t, ERR_NOENT,
			   "cannot run fusermount3: %s; as root: apt-get install fuse3",
			   strerror(failed));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ERR_OK;
	if (strstr(said, "busy"))
		return say(t, ERR_BUSY, "%s is in use; close what is open there, or add --lazy",
			   dir);
	return say(t, strstr(said, "not found in") ? ERR_INVAL : ERR_PERM, "cannot unmount %s: %s",
		   dir, said);
}

static enum err detach(const char *dir, bool lazy, const struct text *t)
{
	struct statfs st;

	/* root's umount2() would take away any file system */
	if (statfs(dir, &st) == 0 && st.f_type != FUSE_SUPER_MAGIC)
		return say(t, ERR_INVAL, "nothing is mounted on %s", dir);
	if (geteuid() != 0)
		return run_fusermount(dir, lazy, t);
	if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return ERR_OK;
	if (errno == EBUSY)
		return say(t, ERR_BUSY, "%s is in use; close what is open there, or add --lazy",
			   dir);
	if (errno == EINVAL)
		return say(t, ERR_INVAL, "nothing is mounted on %s", dir);
	return say(t, errno == ENOENT ? ERR_NOENT : ERR_PERM, "cannot unmount %s: %s", dir,
		   strerror(errno));
}

enum err mount_detach(const char *dir, bool lazy, char *text, size_t text_len)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
	const struct text t = {text, text_len};
	enum err e = detach(dir, lazy, &t);

	/* peerfs-poke is in there for a moment now and then */
	for (int k = 0; k < BUSY_TRIES && e == ERR_BUSY; k++) {
		(void)nanosleep(&pause, NULL);
		e = detach(dir, lazy, &t);
	}
	return e;
}
