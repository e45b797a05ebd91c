// SPDX-License-Identifier: MIT
/*
 * peerfs.c - the command: what users type
 *
 * Each command is a row of the table at the end.  It asks the daemon, starting it when the command
 * needs one, and mounts itself: the /dev/fuse descriptor goes to the daemon with the request.
 * Errors say what happened, to which path or peer, and what to do next; exits.h has the codes.
 */
#include "codec/wire.h"
#include "front/mount.h"
#include "prog/client.h"
#include "prog/device.h"
#include "prog/show.h"
#include "prog/undo.h"
#include "sys/conf.h"
#include "sys/fdio.h"
#include "sys/rand.h"
#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

struct command {
	const char *name, *usage, *help;
	int least, most; /* arguments besides options */
	enum exits (*run)(const struct command *c, char **args, int count);
};
struct options { /* given to the command at hand */
	const char *name, *listen, *role, *expires, *at, *to, *keep;
	bool print, json, lazy;
};
static struct options given;

static enum exits usage(const struct command *c)
{
	return client_fail(EXIT_USAGE, "usage: peerfs %s %s", c->name, c->usage);
}

/* ---- directories ---- */

/* What was made for a folder that did not come about leaves nothing behind. */
static void unmake(const char *dir, bool made)
{
	if (made)
		(void)rmdir(dir);
}

/* An empty directory to mount on, made if it is not there; one with a dead mount on it will do. */
static enum exits mount_point(const char *dir, bool *made)
{
	struct dirent *e;
	bool empty = true;

	if (mount_is_dead(dir))
		return EXIT_DONE;
	*made = mkdir(dir, 0755) == 0;
	if (!*made && errno != EEXIST)
		return client_fail(EXIT_FAILED, "cannot make %s: %s", dir, strerror(errno));
	DIR *d = opendir(dir);

	if (!d)
		return client_fail(EXIT_FAILED, "cannot mount on %s: %s", dir, strerror(errno));
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			empty = false;
	(void)closedir(d);
	if (!empty)
		return client_fail(EXIT_FAILED,
				   "%s is not empty: choose an empty or a new directory, and copy "
				   "files into the folder once it is mounted",
				   dir);
	return EXIT_DONE;
}

/* Whether dir can be mounted on, before anything is done that would have to be undone. */
static enum exits prepare(const char *arg, char dir[PATHS_MAX], bool *made)
{
	const struct mount_options o = {.allow_other = false};
	char text[512];
	enum exits x = client_absolute(arg, dir);

	*made = false;
	if (!x && !client_is_utf8(dir))
		x = client_fail(EXIT_USAGE, "%s is not UTF-8: choose another directory", dir);
	if (!x && mount_check_system(&o, text, sizeof(text)))
		x = client_fail(EXIT_FAILED, "%s", text);
	if (!x)
		x = mount_point(dir, made);
	if (!x && !mount_is_dead(dir) && mount_check_dir(dir, text, sizeof(text))) {
		x = client_fail(EXIT_FAILED, "%s", text);
		unmake(dir, *made);
	}
	return x;
}

/* ---- mounting ---- */

static bool wants_events(const struct paths *p, const char *name)
{
	char key[CONF_TEXT], value[CONF_TEXT], why[CONF_WHY];

	(void)snprintf(key, sizeof(key), "folder.%s.inotify", name);
	return conf_get(p->config, key, value, sizeof(value), why, sizeof(why)) ||
	       strcmp(value, "yes") == 0;
}

static enum exits attach(struct ctl *c, const struct paths *p, const char *name, const char *dir)
{
	char text[512], key[CONF_TEXT], owner[CONF_TEXT], why[CONF_WHY];
	struct mount_options o = {.uid = geteuid(), .gid = getegid(), .privileged = geteuid() == 0};
	int fd = -1;

	(void)snprintf(key, sizeof(key), "folder.%s.owner", name);
	if (!conf_get(p->config, key, owner, sizeof(owner), why, sizeof(why)))
		o.preserve_owner = strcmp(owner, "preserve") == 0;
	enum err e = mount_attach(dir, name, &o, &fd, text, sizeof(text));

	if (e)
		return client_fail(exits_of(e) == EXIT_USAGE ? EXIT_FAILED : exits_of(e), "%s",
				   text);
	enum exits x =
		client_ask(c, "mount", json_pack("{s:s, s:s}", "name", name, "dir", dir), fd, NULL);

	(void)close(fd);
	if (!x && wants_events(p, name))
		client_poke(name, dir);
	if (x && mount_detach(dir, true, text, sizeof(text)))
		(void)client_fail(x, "%s", text);
	return x;
}

static enum exits mounted_too(enum exits x, const char *did, const char *name, const char *dir)
{
	if (!x) {
		(void)printf("%s \"%s\" and mounted it on %s\n", did, name, dir);
		return EXIT_DONE;
	}
	return client_fail(EXIT_PARTLY, "%s \"%s\", but it is not mounted: peerfs mount %s %s", did,
			   name, name, dir);
}

static enum exits run_mount(const struct command *cmd, char **args, int count)
{
	char dir[PATHS_MAX];
	struct paths p;
	struct ctl c;
	json_t *f;
	bool made;
	enum exits x = client_paths(&p);

	(void)cmd;
	if (!x)
		x = client_connect(&p, true, &c);
	if (x)
		return x;
	x = client_ask(&c, "folder", json_pack("{s:s}", "name", args[0]), -1, &f);
	if (x) {
		ctl_close(&c);
		return x;
	}
	const char *now = json_string_value(json_object_get(f, "mount"));
	const char *last = json_string_value(json_object_get(f, "last_mount"));
	const char *want = count > 1 ? args[1] : last;

	if (now && now[0])
		x = client_fail(EXIT_FAILED, "\"%s\" is mounted on %s already", args[0], now);
	else if (!want || !want[0])
		x = client_fail(EXIT_USAGE, "where to?  peerfs mount %s DIR", args[0]);
	if (!x)
		x = prepare(want, dir, &made);
	if (!x) {
		x = attach(&c, &p, args[0], dir);
		unmake(dir, made && x);
	}
	if (!x)
		(void)printf("mounted \"%s\" on %s\n", args[0], dir);
	json_decref(f);
	ctl_close(&c);
	return x;
}

static enum exits run_umount(const struct command *cmd, char **args, int count)
{
	char dir[PATHS_MAX], text[512];
	struct paths p;
	enum exits x = client_absolute(args[0], dir);

	(void)cmd, (void)count;
	if (!x)
		x = client_paths(&p);
	if (!x)
		x = client_let_go(&p);
	if (x)
		return x;
	enum err e = mount_detach(dir, given.lazy, text, sizeof(text));

	if (e == ERR_INVAL || e == ERR_NOENT)
		return client_fail(EXIT_NO_SUCH, "%s", text);
	return e ? client_fail(EXIT_FAILED, "%s", text) : EXIT_DONE;
}

/* ---- folders ---- */

static enum exits run_create(const struct command *cmd, char **args, int count)
{
	char dir[PATHS_MAX];
	struct paths p;
	struct ctl c;
	bool made;
	enum exits x = client_paths(&p);

	(void)cmd, (void)count;
	if (!x)
		x = prepare(args[1], dir, &made);
	if (x)
		return x;
	x = client_connect(&p, true, &c);
	if (x) {
		unmake(dir, made);
		return x;
	}
	x = client_ask(&c, "create", json_pack("{s:s}", "name", args[0]), -1, NULL);
	if (!x)
		x = mounted_too(attach(&c, &p, args[0], dir), "created", args[0], dir);
	else
		unmake(dir, made);
	ctl_close(&c);
	return x;
}

static enum exits run_join(const struct command *cmd, char **args, int count)
{
	char dir[PATHS_MAX];
	struct invitation i;
	struct paths p;
	struct ctl c;
	json_t *joined;
	bool made;
	enum exits x = client_paths(&p);
	enum err e = invitation_parse(args[0], &i);

	(void)cmd, (void)count;
	if (e)
		return client_fail(e == ERR_VERSION ? EXIT_VERSION : EXIT_REFUSED,
				   e == ERR_VERSION ? "the invitation is of a newer version of "
						      "peerfs: upgrade this device"
						    : "this is not an invitation, or it is "
						      "damaged: copy the whole line that \"peerfs "
						      "invite\" printed");
	if (!x)
		x = prepare(args[1], dir, &made);
	if (x)
		return x;
	x = client_connect(&p, true, &c);
	if (x) {
		unmake(dir, made);
		return x;
	}
	json_t *ask = json_pack("{s:s}", "invitation", args[0]);

	if (given.name)
		(void)json_object_set_new(ask, "name", json_string(given.name));
	x = client_ask(&c, "join", ask, -1, &joined);
	if (!x) {
		const char *name = json_string_value(json_object_get(joined, "name"));

		x = mounted_too(attach(&c, &p, name, dir), "joined", name, dir);
		json_decref(joined);
	} else {
		unmake(dir, made);
	}
	ctl_close(&c);
	return x;
}

/* "30m", "24h", "7d" in seconds; 0: nonsense. */
static json_int_t seconds_of(const char *s)
{
	char *end;
	long long n = strtoll(s, &end, 10);
	static const struct {
		char unit;
		long long seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

	if (n <= 0 || n > 36500 || strlen(end) != 1)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].unit == *end)
			return n * units[i].seconds;
	return 0;
}

static enum exits run_invite(const struct command *cmd, char **args, int count)
{
	const char *role = given.role ? given.role : "writer";
	json_int_t seconds = seconds_of(given.expires ? given.expires : "24h");
	enum role parsed;
	struct paths p;
	struct ctl c;
	json_t *answer;
	enum exits x = client_paths(&p);

	(void)count;
	if (!given.print)
		return usage(cmd);
	if (!role_parse(role, &parsed) || parsed == ROLE_NONE)
		return client_fail(EXIT_USAGE, "\"%s\" is not a role: reader, writer or admin",
				   role);
	if (seconds == 0)
		return client_fail(EXIT_USAGE, "\"%s\" is not a time: 30m, 24h or 7d, say",
				   given.expires);
	if (!x)
		x = client_connect(&p, true, &c);
	if (x)
		return x;
	x = client_ask(
		&c, "invite",
		json_pack("{s:s, s:s, s:I}", "name", args[0], "role", role, "seconds", seconds), -1,
		&answer);
	if (!x) {
		(void)puts(json_string_value(json_object_get(answer, "invitation")));
		json_decref(answer);
	}
	ctl_close(&c);
	return x;
}

/* ---- what there is ---- */

static enum exits ask_and_show(const char *method, json_t *parameters,
			       void (*show)(const json_t *o))
{
	struct paths p;
	struct ctl c;
	json_t *answer;
	enum exits x = client_paths(&p);

	if (!x)
		x = client_connect(&p, false, &c);
	if (x) {
		json_decref(parameters);
		return x;
	}
	x = client_ask(&c, method, parameters, -1, &answer);
	if (!x) {
		(given.json ? show_json : show)(answer);
		json_decref(answer);
	}
	ctl_close(&c);
	return x;
}

static enum exits run_status(const struct command *cmd, char **args, int count)
{
	char path[PATHS_MAX];
	enum exits x;

	(void)cmd;
	if (count == 0)
		return ask_and_show("status", NULL, show_status);
	x = client_absolute(args[0], path);
	return x ? x : ask_and_show("status", client_path(json_object(), "path", path), show_path);
}

static enum exits run_peers(const struct command *cmd, char **args, int count)
{
	(void)cmd, (void)args, (void)count;
	return ask_and_show("peers", NULL, show_peers);
}

static enum exits run_conflicts(const struct command *cmd, char **args, int count)
{
	(void)cmd, (void)args, (void)count;
	return ask_and_show("conflicts", NULL, show_conflicts);
}

static enum exits run_resolve(const struct command *cmd, char **args, int count)
{
	char path[PATHS_MAX];
	enum exits x = client_absolute(args[0], path);
	json_t *what = json_object();

	(void)count;
	if (!given.keep) {
		json_decref(what);
		return usage(cmd);
	}
	(void)json_object_set_new(what, "keep", json_string(given.keep));
	if (!x)
		return ask_and_show("resolve", client_path(what, "path", path), show_resolved);
	json_decref(what);
	return x;
}

static void show_decided(const json_t *o)
{
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(o, "folders"), i, name)(void)
		printf("decided in %s, for all its members\n", json_string_value(name));
}

static enum exits ask_decide(char **args, int count, bool accept)
{
	json_t *ask = json_pack("{s:s, s:b}", "device", args[0], "accept", accept);

	if (count > 1)
		(void)json_object_set_new(ask, "folder", json_string(args[1]));
	return ask_and_show("decide", ask, show_decided);
}

static enum exits run_accept(const struct command *cmd, char **args, int count)
{
	(void)cmd;
	return ask_decide(args, count, true);
}

static enum exits run_reject(const struct command *cmd, char **args, int count)
{
	(void)cmd;
	return ask_decide(args, count, false);
}

/* ---- history ---- */

static enum exits run_versions(const struct command *cmd, char **args, int count)
{
	(void)cmd, (void)count;
	return undo_versions(args[0], given.json);
}

static enum exits run_restore(const struct command *cmd, char **args, int count)
{
	(void)cmd, (void)count;
	return undo_restore(args[0], given.at, given.to, given.json);
}

/* ---- the device ---- */

static enum exits set_key(const struct paths *p, const char *key, const char *value)
{
	char why[CONF_WHY];
	enum err e = conf_set(p->config, key, value, why, sizeof(why));

	if (!e)
		return EXIT_DONE;
	return client_fail(e == ERR_NOENT || e == ERR_INVAL ? EXIT_USAGE : EXIT_FAILED, "%s", why);
}

static enum exits run_init(const struct command *cmd, char **args, int count)
{
	struct sign_pair device;
	char why[512];
	bool made;
	struct paths p;
	enum exits x = client_paths(&p);

	(void)cmd, (void)args, (void)count;
	if (!x && given.name)
		x = set_key(&p, "device.name", given.name);
	if (!x && given.listen)
		x = set_key(&p, "device.listen", given.listen);
	if (x)
		return x;
	if (device_load(&p, &device, &made, why, sizeof(why)))
		return client_fail(EXIT_FAILED, "%s", why);
	(void)printf("%s device %02x%02x%02x%02x, configuration %s\n",
		     made ? "made" : "this is still", device.pub.b[0], device.pub.b[1],
		     device.pub.b[2], device.pub.b[3], p.config);
	explicit_bzero(&device, sizeof(device));
	return EXIT_DONE;
}

static enum exits run_daemon(const struct command *cmd, char **args, int count)
{
	struct paths p;
	struct ctl c;
	enum exits x = client_paths(&p);

	(void)count;
	if (x)
		return x;
	if (strcmp(args[0], "run") == 0)
		return client_become();
	if (strcmp(args[0], "stop") == 0)
		return client_stop(&p);
	if (strcmp(args[0], "start") != 0)
		return usage(cmd);
	if (!ctl_connect(p.socket, &c)) {
		ctl_close(&c);
		(void)puts("the daemon is running already");
		return EXIT_DONE;
	}
	return client_start(&p);
}

static void show_problem(void *arg, unsigned line, const char *text)
{
	const char *file = arg;

	if (line)
		(void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
	else
		(void)fprintf(stderr, "%s\n", text); /* of the file as a whole, which it names */
}

static enum exits run_config(const struct command *cmd, char **args, int count)
{
	char value[PATHS_MAX], why[CONF_WHY];
	struct paths p;
	struct ctl c;
	enum exits x = client_paths(&p);

	if (x)
		return x;
	if (strcmp(args[0], "check") == 0 && count == 1)
		return conf_check(p.config, show_problem, p.config) ? EXIT_USAGE : EXIT_DONE;
	if (strcmp(args[0], "get") == 0 && count == 2) {
		enum err e = conf_get(p.config, args[1], value, sizeof(value), why, sizeof(why));

		if (e)
			return client_fail(EXIT_USAGE, "%s", why);
		(void)puts(value);
		return EXIT_DONE;
	}
	if (strcmp(args[0], "set") != 0 || count != 3)
		return usage(cmd);
	x = set_key(&p, args[1], args[2]);
	if (!x && !ctl_connect(p.socket, &c)) {
		ctl_close(&c);
		(void)fputs("the running daemon takes it over at its next start: peerfs daemon "
			    "stop; peerfs daemon start\n",
			    stderr);
	}
	return x;
}

/* ---- help ---- */

static enum exits run_help(const struct command *cmd, char **args, int count);

static enum exits run_version(const struct command *cmd, char **args, int count)
{
	(void)cmd, (void)args, (void)count;
	(void)puts("peerfs " PEERFS_VERSION);
	return EXIT_DONE;
}

static const struct command commands[] = {
	{"init", "[--name NAME] [--listen ADDRESS:PORT]",
	 "Make this device's key, and set how others see and reach it.", 0, 0, run_init},
	{"create", "NAME DIR", "Create a folder and mount it on DIR.", 2, 2, run_create},
	{"invite", "NAME --print [--role ROLE] [--expires TIME]",
	 "Print one line that lets one more device join: keep it secret.\n"
	 "ROLE: reader, writer (default) or admin.  TIME: 30m, 24h (default), 7d.",
	 1, 1, run_invite},
	{"join", "INVITATION DIR [--name NAME]", "Join a folder and mount it on DIR.", 2, 2,
	 run_join},
	{"mount", "NAME [DIR]", "Mount a folder; without DIR where it was last.", 1, 2, run_mount},
	{"umount", "DIR [--lazy]", "Unmount a folder; it goes on being served to peers.", 1, 1,
	 run_umount},
	{"status", "[PATH] [--json]",
	 "What the daemon does; or of PATH: how much of it is here, and why it last failed.", 0, 1,
	 run_status},
	{"peers", "[--json]", "The members of each folder and who is connected.", 0, 0, run_peers},
	{"conflicts", "[--json]", "What was changed in two places at once.", 0, 0, run_conflicts},
	{"accept", "DEVICE [NAME] [--json]",
	 "Let a mass change of DEVICE go on, in folder NAME or wherever one is held.", 1, 2,
	 run_accept},
	{"reject", "DEVICE [NAME] [--json]",
	 "Undo a mass change of DEVICE that is held, there and everywhere.", 1, 2, run_reject},
	{"resolve", "PATH --keep mine|theirs|both|base|NAME [--json]",
	 "End the conflict of PATH on every device: keep one of its files under its name, each\n"
	 "as it is shown, or the contents that both sides had before.",
	 1, 1, run_resolve},
	{"versions", "PATH [--json]",
	 "Contents that PATH had; of a folder: what was removed from it or moved away.", 1, 1,
	 run_versions},
	{"restore", "PATH [--at TIME] [--to DIR] [--json]",
	 "Bring back the contents before the present ones, or what was removed.\n"
	 "TIME: 2h, 3d (ago), or \"2026-11-25 14:03\"; a folder is restored with all below it.\n"
	 "DIR: put it there, in the folder or outside it, and leave PATH alone.",
	 1, 1, run_restore},
	{"daemon", "start|stop|run", "Start or end the daemon; run: stay in the foreground.", 1, 1,
	 run_daemon},
	{"config", "get KEY | set KEY VALUE | check", "Read, change or check peerfs.conf(5).", 1, 3,
	 run_config},
	{"version", "", "Print the version.", 0, 0, run_version},
	{"help", "[COMMAND]", "Explain a command.", 0, 1, run_help},
};

static const struct command *command_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Paths below a mount are bytes; all else must be UTF-8, for it goes into JSON as it is. */
static bool takes_bytes(const struct command *c)
{
	return c->run == run_status || c->run == run_umount || c->run == run_versions ||
	       c->run == run_restore || c->run == run_resolve;
}

static enum exits run_help(const struct command *cmd, char **args, int count)
{
	const struct command *c = count ? command_of(args[0]) : NULL;

	(void)cmd;
	if (count && !c)
		return client_fail(EXIT_USAGE, "there is no command \"%s\": peerfs help", args[0]);
	if (c) {
		(void)printf("peerfs %s %s\n%s\n", c->name, c->usage, c->help);
		return EXIT_DONE;
	}
	(void)puts("peerfs shares a folder among your devices, without a server.\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)printf("  peerfs %s %s\n", commands[i].name, commands[i].usage);
	(void)puts("\nBegin with \"peerfs create NAME DIR\" here, \"peerfs invite NAME --print\",\n"
		   "and \"peerfs join INVITATION DIR\" on the other device.  See peerfs(1).");
	return EXIT_DONE;
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"name", required_argument, NULL, 'n'},    {"listen", required_argument, NULL, 'l'},
		{"role", required_argument, NULL, 'r'},    {"at", required_argument, NULL, 'a'},
		{"to", required_argument, NULL, 't'},      {"keep", required_argument, NULL, 'k'},
		{"expires", required_argument, NULL, 'e'}, {"print", no_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},          {"lazy", no_argument, NULL, 'z'},
		{"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == 'n')
			given.name = optarg;
		else if (o == 'l')
			given.listen = optarg;
		else if (o == 'r')
			given.role = optarg;
		else if (o == 'a')
			given.at = optarg;
		else if (o == 'k')
			given.keep = optarg;
		else if (o == 't')
			given.to = optarg;
		else if (o == 'e')
			given.expires = optarg;
		else if (o == 'p')
			given.print = true;
		else if (o == 'j')
			given.json = true;
		else if (o == 'z')
			given.lazy = true;
		else
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	rand_init();
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		(void)run_help(NULL, NULL, 0);
		return argc < 2 ? EXIT_USAGE : EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0)
		return (int)run_version(NULL, NULL, 0);
	const struct command *c = command_of(argv[1]);

	if (!c)
		return (int)client_fail(EXIT_USAGE, "there is no command \"%s\": peerfs help",
					argv[1]);
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0)
			return (int)run_help(NULL, &argv[1], 1);
	if (!parse(argc - 1, argv + 1))
		return (int)usage(c);
	int count = argc - 1 - optind;

	if (count < c->least || count > c->most)
		return (int)usage(c);
	for (int i = 2; i < argc; i++)
		if (!takes_bytes(c) && !client_is_utf8(argv[i]))
			return (int)client_fail(EXIT_USAGE, "\"%s\" is not UTF-8", argv[i]);
	report_level(REPORT_WARN);
	return (int)c->run(c, argv + 1 + optind, count);
}
