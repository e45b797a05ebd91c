// SPDX-License-Identifier: MIT
/*
 * peerfs-poke.c - repeats through the mount what came from elsewhere, so that watchers are told
 *
 * The kernel makes inotify events only of what a process does through the mount.  This is that
 * process; the daemon gives it orders (front/pokewire.h) and answers its requests without doing
 * anything (front/poked.c).  "peerfs mount" starts it; it ends when the mount or the daemon does,
 * and whatever becomes of it, nothing but events is missing.
 *
 * It holds nothing of the mount between two orders, or the mount could not be unmounted; so each
 * order opens the root anew, by the path given.  That path may lead elsewhere by then:
 *
 * I1  nothing is done but below a root of the very mount that the daemon knows us by: the daemon
 *     saw a request of ours, for a name that nobody else can guess, come through it (meet())
 * I2  nor could it be: a rule of the kernel (Landlock) lets this process make, remove and rename
 *     only below that root; where the kernel has no such rules, I1 is what there is
 * I3  no symbolic link is followed and no other mount entered below it
 */
#include "base/rd.h"
#include "front/pokewire.h"
#include "prog/exits.h"
#include "sys/ctl.h"
#include "sys/fdio.h"
#include "sys/paths.h"
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U /* newer than our headers: a number never given again */
#endif

struct root { /* by what it is known again */
	uint32_t major, minor;
	uint64_t mount;
};
struct poking {
	const char *dir;
	struct root root;
	int orders; /* the socket */
	char nonce[NAME_BYTES_MAX + 1];
};

static enum exits give_up(enum exits code, const char *what)
{
	(void)fprintf(stderr, "peerfs-poke: %s%s%s\n", what, errno ? ": " : "",
		      errno ? strerror(errno) : "");
	return code;
}

/* ---- the root ---- */

static bool identify(int fd, struct root *ret)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID_UNIQUE, &st) < 0)
		return false;
	if (!(st.stx_mask & STATX_MNT_ID_UNIQUE) &&
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) < 0)
		return false;
	*ret = (struct root){st.stx_dev_major, st.stx_dev_minor, st.stx_mnt_id};
	return true;
}

static int open_dir(const char *dir)
{
	return open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* I1 */
static int open_root(const struct poking *p)
{
	struct root now;
	int fd = open_dir(p->dir);

	if (fd < 0)
		return -1;
	if (identify(fd, &now) && now.major == p->root.major && now.minor == p->root.minor &&
	    now.mount == p->root.mount)
		return fd;
	(void)close(fd);
	errno = ENODEV;
	return -1;
}

/* I2; false: this kernel has no such rules. */
static bool bind_to(int root)
{
	const uint64_t all = (LANDLOCK_ACCESS_FS_REFER << 1) - 1; /* of the first two versions */
	const struct landlock_ruleset_attr attr = {.handled_access_fs = all};
	struct landlock_path_beneath_attr below = {
		.allowed_access = LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
				  LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
				  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
				  LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
				  LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER,
		.parent_fd = root};
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	auto_fd rules = version < 2
				? -1
				: (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (version == 1) /* the first version lets nothing be renamed from folder to folder */
		errno = EOPNOTSUPP;
	return rules >= 0 &&
	       syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0 &&
	       syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}

/* ---- orders ---- */

/* A folder below the root; the root itself for "". */
static int open_below(int root, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};

	return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how)); /* I3 */
}

static int make(int dir, const char *name, enum inode_type type)
{
	switch (type) {
	case TYPE_FILE:
		return mknodat(dir, name, S_IFREG | 0600, 0);
	case TYPE_DIR:
		return mkdirat(dir, name, 0700);
	case TYPE_SYMLINK:
		return symlinkat("-", dir, name);
	case TYPE_FIFO:
		return mknodat(dir, name, S_IFIFO | 0600, 0);
	case TYPE_SOCKET:
		return mknodat(dir, name, S_IFSOCK | 0600, 0);
	case TYPE_CHAR:
		return mknodat(dir, name, S_IFCHR | 0600, makedev(1, 3));
	case TYPE_BLOCK:
		return mknodat(dir, name, S_IFBLK | 0600, makedev(1, 3));
	}
	errno = EINVAL;
	return -1;
}

/* One time alone is to the kernel a change of contents, both together one of attributes. */
static int touch(int dir, const char *name, bool contents)
{
	const struct timespec times[2] = {{.tv_nsec = contents ? UTIME_OMIT : UTIME_NOW},
					  {.tv_nsec = UTIME_NOW}};

	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static int move(int root, int dir, const struct pokewire_order *o)
{
	auto_fd to = open_below(root, o->to.path);
	unsigned flags = o->kind == POKE_EXCHANGE ? RENAME_EXCHANGE : 0;

	return to < 0 ? -1 : renameat2(dir, o->at.name, to, o->to.name, flags);
}

static int carry_out(int root, const struct pokewire_order *o)
{
	auto_fd dir = open_below(root, o->at.path);

	if (dir < 0)
		return -1;
	switch (o->kind) {
	case POKE_CREATE:
		return make(dir, o->at.name, o->type);
	case POKE_DELETE:
		return unlinkat(dir, o->at.name, o->type == TYPE_DIR ? AT_REMOVEDIR : 0);
	case POKE_RENAME:
	case POKE_EXCHANGE:
		return move(root, dir, o);
	case POKE_MODIFY:
	case POKE_ATTRIB:
		return touch(dir, o->at.name, o->kind == POKE_MODIFY);
	}
	errno = EINVAL;
	return -1;
}

/* The errno it came to; nothing is held afterwards. */
static uint32_t obey(const struct poking *p, const struct pokewire_order *o)
{
	auto_fd root = open_root(p);
	uint32_t came_to = 0;

	if (root < 0 || carry_out(root, o) < 0)
		came_to = errno ? (uint32_t)errno : EIO;
	return came_to;
}

static enum exits serve(const struct poking *p)
{
	static uint8_t in[POKEWIRE_BYTES_MAX];
	struct pokewire_order o;
	struct wr out = {0};

	for (;;) {
		ssize_t n = recv(p->orders, in, sizeof(in), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return EXIT_DONE; /* the mount or the daemon has ended */
		errno = 0;
		if (pokewire_decode((struct bytes){in, (size_t)n}, &o))
			return give_up(EXIT_FAILED, "an order that is none");
		wr_reset(&out);
		wr_u32(&out, obey(p, &o));
		if (out.bad || send(p->orders, out.at, out.len, MSG_NOSIGNAL) < 0)
			return EXIT_DONE;
	}
}

/* ---- becoming known ---- */

/* Offer one end of a socket to the daemon; the other is where orders come. */
static enum exits offer(struct poking *p, const char *name)
{
	char why[512];
	struct paths paths;
	int ends[2];
	struct ctl c;
	json_t *answer = NULL;

	if (paths_find(&paths, why, sizeof(why))) {
		errno = 0;
		return give_up(EXIT_USAGE, why);
	}
	if (ctl_connect(paths.socket, &c))
		return give_up(EXIT_NO_DAEMON, "cannot reach the daemon");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return give_up(EXIT_FAILED, "cannot make a socket");
	p->orders = ends[0];
	enum err e = ctl_ask(&c, "poke", json_pack("{s:s}", "name", name), ends[1], &answer);

	(void)close(ends[1]);
	ctl_close(&c);
	const json_t *said = e ? NULL : json_object_get(answer, "parameters");
	const char *nonce = json_string_value(json_object_get(said, "nonce"));
	const char *text = json_string_value(json_object_get(said, "text"));
	json_int_t code = json_integer_value(json_object_get(said, "exit"));
	errno = 0;
	enum exits x = EXIT_DONE;
	if (!nonce)
		x = give_up(code > 0 ? (enum exits)code : EXIT_FAILED,
			    text ? text : "the daemon gave no answer");
	else
		(void)snprintf(p->nonce, sizeof(p->nonce), "%s", nonce);
	json_decref(answer);
	return x;
}

/* Be seen by the daemon in the mount, and bound to it from then on. */
static enum exits meet(struct poking *p)
{
	auto_fd root = open_dir(p->dir);
	struct stat st;

	if (root < 0 || !identify(root, &p->root))
		return give_up(EXIT_NO_SUCH, p->dir);
	if (!bind_to(root) && errno != ENOSYS && errno != EOPNOTSUPP)
		return give_up(EXIT_FAILED, "cannot give up the rest of the file system");
	if (fstatat(root, p->nonce, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return give_up(EXIT_FAILED, p->dir); /* another file system by now */
	return EXIT_DONE;
}

static void confine(void)
{
	const struct rlimit few = {16, 16}, none = {0, 0};

	(void)syscall(SYS_close_range, 3, ~0u, 0);
	(void)umask(0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setrlimit(RLIMIT_NOFILE, &few);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void usage(void)
{
	(void)puts(
		"usage: peerfs-poke FOLDER DIR\n"
		"Tells programs that watch the folder mounted on DIR of changes from elsewhere.\n"
		"\"peerfs mount\" starts it by itself.  See peerfs-poke(8).");
}

int main(int argc, char **argv)
{
	static struct poking p = {.orders = -1};

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)puts("peerfs-poke " PEERFS_VERSION);
		return EXIT_DONE;
	}
	if (argc != 3 || argv[2][0] != '/') {
		usage();
		return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_DONE : EXIT_USAGE;
	}
	confine();
	p.dir = argv[2];
	enum exits x = offer(&p, argv[1]);

	if (!x)
		x = meet(&p);
	if (!x)
		x = serve(&p);
	return (int)x;
}
