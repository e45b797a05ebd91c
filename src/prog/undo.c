// SPDX-License-Identifier: MIT
/*
 * undo.c - what was, listed and brought back: the command's side
 *
 * Within the folder the daemon restores.  For a directory outside it, this program asks entry by
 * entry and writes what it is told itself, the contents through a pipe: the daemon touches no path
 * of the user's.
 */
#include "prog/undo.h"
#include "prog/client.h"
#include "prog/show.h"
#include "prog/when.h"
#include "sys/clock.h"
#include "sys/fdio.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define DEPTH_MAX 2048
#define CLOCK_OF(ms) (((json_int_t)(ms) << 16) | 0xffff) /* core/past.h: moments are stamps */

/* ---- paths ---- */

/* An absolute path whose last parts need not exist any more. */
static enum exits absolute(const char *path, char ret[PATHS_MAX])
{
	char text[PATHS_MAX], real[PATH_MAX];
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len == 0 || len >= sizeof(text))
		return client_fail(EXIT_USAGE, "\"%s\" is not a path", path);
	memcpy(text, path, len);
	text[len] = 0;
	const char *last = strrchr(text, '/') ? strrchr(text, '/') + 1 : text;

	if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return client_absolute(path, ret);
	for (;;) {
		char *slash = strrchr(text, '/');
		const char *dir = slash == text ? "/" : slash ? text : ".";

		if (slash && slash != text)
			*slash = 0;
		if (realpath(dir, real))
			len = slash ? (size_t)(slash - text) + 1 : 0;
		else if (slash && slash != text && (errno == ENOENT || errno == ENOTDIR))
			continue;
		else
			return client_fail(EXIT_NO_SUCH, "%s: %s", path, strerror(errno));
		break;
	}
	int n = snprintf(ret, PATHS_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, path + len);

	if (n >= PATHS_MAX)
		return client_fail(EXIT_USAGE, "%s: too long", path);
	while (n > 1 && ret[n - 1] == '/')
		ret[--n] = 0;
	return EXIT_DONE;
}

static enum exits ask(struct ctl *c, const char *method, json_t *take_parameters, json_t **ret)
{
	return client_ask(c, method, take_parameters, -1, ret);
}

static enum exits connect_at(const char *path, struct ctl *c, char absolute_path[PATHS_MAX])
{
	struct paths p;
	enum exits x = absolute(path, absolute_path);

	if (!x)
		x = client_paths(&p);
	return x ? x : client_connect(&p, false, c);
}

enum exits undo_versions(const char *path, bool json)
{
	char at[PATHS_MAX];
	struct ctl c;
	json_t *answer;
	enum exits x = connect_at(path, &c, at);

	if (x)
		return x;
	x = ask(&c, "versions", client_path(json_object(), "path", at), &answer);
	if (!x) {
		(json ? show_json : show_versions)(answer);
		json_decref(answer);
	}
	ctl_close(&c);
	return x;
}

/* ---- outside ---- */

struct level { /* a directory that is written: lengths of its paths, and how far it is done */
	size_t from_len, to_len;
	json_t *page;
	size_t next;
	json_int_t mode;
	char after[NAME_MAX + 1];
};
struct out {
	struct ctl *ctl;
	char from[PATHS_MAX], to[PATHS_MAX]; /* the entry in hand: in the folder, and here */
	json_int_t at;
	uint64_t restored;
	struct level *levels;
	size_t depth;
};

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* A byte string that came as text or, with _hex behind its key, in hex; false: too long, or none.
 */
static bool bytes_in(const json_t *o, const char *key, char *ret, size_t room)
{
	char key_hex[32];
	const char *text = json_string_value(json_object_get(o, key));

	(void)snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
	const char *hex = json_string_value(json_object_get(o, key_hex));

	if (!hex)
		return text && snprintf(ret, room, "%s", text) < (int)room;
	size_t len = strlen(hex) / 2;

	if (len >= room)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

		ret[i] = (char)strtoul(two, NULL, 16);
	}
	ret[len] = 0;
	return true;
}

/* The child's part: from the pipe into the file; what goes wrong is said. */
static int drain(int from, int to, const char *name)
{
	static char buf[1 << 16];

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 || close(to) < 0 ? 1 : 0;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(to, buf + done, (size_t)(n - done));

			if (w < 0 && errno != EINTR) {
				(void)client_fail(EXIT_FAILED, "cannot write %s: %s", name,
						  strerror(errno));
				return 1;
			}
			done += w > 0 ? w : 0;
		}
	}
}

/* Ask for the bytes of a version, which a child writes into file fd. */
static enum exits fetch_bytes(struct out *o, const json_t *entry, int fd)
{
	const char *inode = json_string_value(json_object_get(entry, "inode"));
	const char *version = json_string_value(json_object_get(entry, "version"));
	int ends[2], status = 1;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return client_fail(EXIT_FAILED, "no pipe: %s", strerror(errno));
	pid_t child = fork();

	if (child == 0) {
		(void)close(ends[1]);
		_exit(drain(ends[0], fd, o->to));
	}
	(void)close(ends[0]);
	json_t *what = json_pack("{s:s, s:s}", "inode", inode, "version", version);
	enum exits x = child < 0 ? client_fail(EXIT_FAILED, "no process: %s", strerror(errno))
				 : client_ask(o->ctl, "past_read",
					      client_path(what, "path", o->from), ends[1], NULL);

	if (child < 0)
		json_decref(what);
	(void)close(ends[1]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return x ? x : WIFEXITED(status) && WEXITSTATUS(status) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static enum exits write_file(struct out *o, const json_t *entry)
{
	const int64_t ns = number(entry, "mtime_ns");
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
					  {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
	auto_fd fd = open(o->to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return client_fail(EXIT_FAILED, "cannot make %s: %s", o->to, strerror(errno));
	enum exits x = EXIT_DONE;

	if (strcmp(json_string_value(json_object_get(entry, "version")), "0.0") != 0)
		x = fetch_bytes(o, entry, fd);
	if (x) {
		(void)unlink(o->to); /* a part of a file is worse than none */
		return x;
	}
	if (fchmod(fd, (mode_t)number(entry, "mode") & 0777) < 0 ||
	    (ns >= 0 && futimens(fd, times) < 0))
		return client_fail(EXIT_FAILED, "%s: %s", o->to, strerror(errno));
	return EXIT_DONE;
}

/* Make the entry in hand here.  *dir: it is a directory, to be filled. */
static enum exits write_entry(struct out *o, json_t *entry, bool *dir)
{
	char target[PATH_MAX];
	const char *type = json_string_value(json_object_get(entry, "type"));

	*dir = type && strcmp(type, "dir") == 0;
	if (*dir && mkdir(o->to, 0700) < 0)
		return client_fail(EXIT_FAILED, "cannot make %s: %s", o->to, strerror(errno));
	if (*dir)
		return EXIT_DONE;
	if (type && strcmp(type, "symlink") == 0) {
		if (!bytes_in(entry, "target", target, sizeof(target)) ||
		    symlink(target, o->to) < 0)
			return client_fail(EXIT_FAILED, "cannot make %s: %s", o->to,
					   strerror(errno));
	} else if (type && strcmp(type, "file") == 0) {
		return write_file(o, entry);
	} else {
		(void)client_fail(EXIT_DONE, "%s: left out, it is a %s", o->from, type);
	}
	return EXIT_DONE;
}

static enum exits ask_entry(struct out *o, const char *after, json_t **ret)
{
	json_t *p = client_path(json_object(), "path", o->from);

	if (o->at)
		(void)json_object_set_new(p, "at", json_integer(o->at));
	if (after)
		(void)client_path(p, "after", after);
	return ask(o->ctl, "past", p, ret);
}

static bool add_part(char path[PATHS_MAX], size_t len, const char *name)
{
	return snprintf(path + len, PATHS_MAX - len, "/%s", name) < (int)(PATHS_MAX - len);
}

/* The entry in hand, and if it is a directory, one level more. */
static enum exits take_entry(struct out *o)
{
	json_t *entry;
	bool dir;
	enum exits x = ask_entry(o, NULL, &entry);

	if (x)
		return x;
	if (!o->at) /* of a directory that was removed: all of it as of one moment */
		o->at = number(entry, "at");
	x = write_entry(o, entry, &dir);
	o->restored += !x;
	if (x || !dir) {
		json_decref(entry);
		return x;
	}
	if (o->depth == DEPTH_MAX) {
		json_decref(entry);
		return client_fail(EXIT_FAILED, "%s: too deep", o->from);
	}
	o->levels[o->depth++] = (struct level){.from_len = strlen(o->from),
					       .to_len = strlen(o->to),
					       .page = entry,
					       .mode = number(entry, "mode")};
	return EXIT_DONE;
}

/* The next entry of the deepest directory, its next page, or its end. */
static enum exits walk_step(struct out *o)
{
	struct level *l = &o->levels[o->depth - 1];
	const json_t *one = json_array_get(json_object_get(l->page, "entries"), l->next++);
	json_t *page;

	o->from[l->from_len] = 0;
	o->to[l->to_len] = 0;
	if (!one && json_is_true(json_object_get(l->page, "more"))) {
		enum exits x = ask_entry(o, l->after, &page);

		if (x)
			return x;
		json_decref(l->page);
		l->page = page;
		l->next = 0;
		return EXIT_DONE;
	}
	if (!one) {
		o->depth--;
		json_decref(l->page);
		if (chmod(o->to, (mode_t)l->mode & 0777) < 0)
			return client_fail(EXIT_FAILED, "%s: %s", o->to, strerror(errno));
		return EXIT_DONE;
	}
	if (!bytes_in(one, "name", l->after, sizeof(l->after)) ||
	    !add_part(o->from, l->from_len, l->after) || !add_part(o->to, l->to_len, l->after))
		return client_fail(EXIT_FAILED, "%s: a name in it is too long", o->from);
	return take_entry(o);
}

static enum exits restore_outside(struct ctl *ctl, const char *path, const char *to, json_int_t at)
{
	struct out *o = calloc(1, sizeof(*o));
	const char *name = strrchr(path, '/') + 1;
	enum exits x = EXIT_DONE, first = EXIT_DONE;

	if (o)
		o->levels = calloc(DEPTH_MAX, sizeof(*o->levels));
	if (!o || !o->levels) {
		free(o);
		return client_fail(EXIT_FAILED, "out of memory");
	}
	o->ctl = ctl;
	o->at = at;
	if (snprintf(o->from, PATHS_MAX, "%s", path) >= PATHS_MAX ||
	    snprintf(o->to, PATHS_MAX, "%s/%s", to, name) >= PATHS_MAX)
		x = client_fail(EXIT_USAGE, "%s: too long", to);
	else
		x = take_entry(o);
	while (o->depth) {
		enum exits e = walk_step(o);

		first = first ? first : e;
	}
	if (!x && !first)
		(void)printf("restored %s into %s\n", path, to);
	x = x ? x : first && o->restored > 1 ? EXIT_PARTLY : first;
	free(o->levels);
	free(o);
	return x;
}

/* ---- restore ---- */

static enum exits run_restore(struct ctl *c, const char *path, const char *to, json_int_t at,
			      bool json)
{
	json_t *p = client_path(json_object(), "path", path), *answer;

	if (at)
		(void)json_object_set_new(p, "at", json_integer(at));
	if (to)
		(void)client_path(p, "to", to);
	enum exits x = ask(c, "restore", p, &answer);

	if (x)
		return x;
	bool outside = json_is_true(json_object_get(answer, "outside"));

	if (outside)
		x = restore_outside(c, path, to, at);
	else if (json)
		show_json(answer);
	else
		show_restored(path, answer);
	json_decref(answer);
	return x;
}

/* A directory that is there, as an absolute path; the caller frees it.  NULL and said. */
static char *directory(const char *to, enum exits *x)
{
	char *dir = realpath(to, NULL);
	struct stat st;

	*x = EXIT_NO_SUCH;
	if (!dir) {
		(void)client_fail(*x, "%s: %s", to, strerror(errno));
		return NULL;
	}
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && strlen(dir) < PATHS_MAX)
		return dir;
	*x = client_fail(EXIT_USAGE, "%s is no directory", to);
	free(dir);
	return NULL;
}

enum exits undo_restore(const char *path, const char *at, const char *to, bool json)
{
	char from[PATHS_MAX], *dir = NULL;
	int64_t ms = 0;
	struct ctl c;
	enum exits x = EXIT_DONE;

	if (at && !when_parse(at, clock_wall_ms(), &ms))
		return client_fail(EXIT_USAGE,
				   "\"%s\" is not a time: 2h, 3d, \"2026-11-25 14:03\" or "
				   "2026-11-25T14:03:55.120, say",
				   at);
	if (to && !(dir = directory(to, &x)))
		return x;
	x = connect_at(path, &c, from);
	if (!x) {
		x = run_restore(&c, from, dir, ms ? CLOCK_OF(ms) : 0, json);
		ctl_close(&c);
	}
	free(dir);
	return x;
}
