// SPDX-License-Identifier: MIT
/*
 * serve.c - one function for each request of the control socket
 *
 * Runs on the client's thread, so a request may wait for disk and network.  Each parameter is
 * checked here; what is behind trusts it.
 */
#include "prog/serve.h"
#include "prog/contend.h"
#include "prog/decide.h"
#include "prog/regain.h"
#include "prog/tell.h"
#include <stdlib.h>
#include <unistd.h>

struct asked {
	struct daemon *d;
	json_t *parameters;
	int fd; /* passed along, or -1 */
	json_t *result; /* set on EXIT_DONE; NULL: {} */
	struct folders_say say;
};

static const char *text_in(const struct asked *a, const char *key)
{
	return json_string_value(json_object_get(a->parameters, key));
}

static enum exits lacking(struct asked *a, const char *key)
{
	(void)snprintf(a->say.text, sizeof(a->say.text), "the request lacks \"%s\"", key);
	return EXIT_USAGE;
}

/* A path of bytes that are not UTF-8. */
static bool bytes_of_hex(const char *hex, char ret[PATHS_MAX])
{
	size_t len = strlen(hex);

	if (len % 2 || len / 2 >= PATHS_MAX || strspn(hex, "0123456789abcdef") != len)
		return false;
	for (size_t i = 0; i < len / 2; i++) {
		const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

		ret[i] = (char)strtoul(digits, NULL, 16);
	}
	ret[len / 2] = 0;
	return true;
}

/* A path by the name key, or key_hex; NULL: it is not given, or is none. */
static const char *path_in(const struct asked *a, const char *key, char room[PATHS_MAX])
{
	char key_hex[32];
	const char *path = text_in(a, key);

	(void)snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
	const char *hex = text_in(a, key_hex);

	if (hex)
		return bytes_of_hex(hex, room) ? room : NULL;
	return path && strlen(path) < PATHS_MAX ? path : NULL;
}

static uint64_t moment_in(const struct asked *a)
{
	json_int_t at = json_integer_value(json_object_get(a->parameters, "at"));

	return at > 0 ? (uint64_t)at : 0;
}

static enum exits on_status(struct asked *a)
{
	char room[PATHS_MAX];
	const char *path = path_in(a, "path", room);

	if (path)
		return tell_path(a->d, path, &a->result, &a->say);
	if (json_object_get(a->parameters, "path") || json_object_get(a->parameters, "path_hex"))
		return lacking(a, "path");
	a->result = tell_status(a->d);
	return EXIT_DONE;
}

static enum exits on_resolve(struct asked *a)
{
	char room[PATHS_MAX];
	const char *path = path_in(a, "path", room), *keep = text_in(a, "keep");

	if (!path || !keep)
		return lacking(a, !path ? "path" : "keep");
	return contend_resolve(a->d, path, keep, &a->result, &a->say);
}

/* ---- history ---- */

static enum exits on_versions(struct asked *a)
{
	char room[PATHS_MAX];
	const char *path = path_in(a, "path", room);

	return path ? recall_versions(a->d, path, &a->result, &a->say) : lacking(a, "path");
}

static enum exits on_past(struct asked *a)
{
	char room[PATHS_MAX], after[PATHS_MAX];
	const struct recall_page p = {path_in(a, "path", room), path_in(a, "after", after),
				      moment_in(a)};

	return p.path ? recall_entry(a->d, &p, &a->result, &a->say) : lacking(a, "path");
}

static enum exits on_past_read(struct asked *a)
{
	char room[PATHS_MAX];
	struct regain_version v = {.path = path_in(a, "path", room)};

	if (!v.path || a->fd < 0 ||
	    !recall_parse_id(text_in(a, "inode"), &v.inode.inc, &v.inode.op) ||
	    !recall_parse_id(text_in(a, "version"), &v.dot.inc, &v.dot.op))
		return lacking(a, !v.path ? "path" : a->fd < 0 ? "descriptor" : "version");
	return regain_read(a->d, &v, a->fd, &a->say);
}

static enum exits on_restore(struct asked *a)
{
	char room[PATHS_MAX], to[PATHS_MAX];
	const struct regain_ask r = {path_in(a, "path", room), path_in(a, "to", to), moment_in(a)};

	return r.path ? regain_restore(a->d, &r, &a->result, &a->say) : lacking(a, "path");
}

static enum exits on_peers(struct asked *a)
{
	a->result = tell_peers(a->d);
	return EXIT_DONE;
}

static enum exits on_conflicts(struct asked *a)
{
	a->result = contend_list(a->d);
	return EXIT_DONE;
}

static enum exits on_folder(struct asked *a)
{
	const char *name = text_in(a, "name");

	if (!name)
		return lacking(a, "name");
	a->result = tell_folder(a->d, name);
	if (a->result)
		return EXIT_DONE;
	(void)snprintf(a->say.text, sizeof(a->say.text),
		       "there is no folder \"%s\" on this device: peerfs status lists them", name);
	return EXIT_NO_SUCH;
}

static enum exits on_create(struct asked *a)
{
	const char *name = text_in(a, "name");

	return name ? folders_create(a->d, name, &a->say) : lacking(a, "name");
}

static enum exits on_invite(struct asked *a)
{
	const char *name = text_in(a, "name"), *role_name = text_in(a, "role");
	json_int_t seconds = json_integer_value(json_object_get(a->parameters, "seconds"));
	char text[INVITATION_TEXT_MAX];
	enum role role;

	if (!name)
		return lacking(a, "name");
	if (!role_name || !role_parse(role_name, &role) || role == ROLE_NONE || seconds <= 0) {
		(void)snprintf(a->say.text, sizeof(a->say.text),
			       "a role is one of reader, writer, admin");
		return EXIT_USAGE;
	}
	if (role == ROLE_HELPER) {
		(void)snprintf(a->say.text, sizeof(a->say.text),
			       "this version cannot serve as a helper yet: invite a reader or a "
			       "writer");
		return EXIT_USAGE;
	}
	enum exits x = folders_invite(a->d, name, role, seconds, text, &a->say);

	if (!x)
		a->result = json_pack("{s:s}", "invitation", text);
	return x;
}

static enum exits on_decide(struct asked *a)
{
	const struct decide_ask ask = {text_in(a, "device"), text_in(a, "folder"),
				       json_is_true(json_object_get(a->parameters, "accept"))};

	return ask.device ? decide(a->d, &ask, &a->result, &a->say) : lacking(a, "device");
}

static enum exits on_join(struct asked *a)
{
	const char *invitation = text_in(a, "invitation");
	char name[MEMBER_NAME_MAX + 1] = "";

	if (!invitation)
		return lacking(a, "invitation");
	enum exits x = folders_join(a->d, invitation, text_in(a, "name"), name, &a->say);

	if (!x)
		a->result = json_pack("{s:s}", "name", name);
	return x;
}

static enum exits on_mount(struct asked *a)
{
	const char *name = text_in(a, "name"), *dir = text_in(a, "dir");

	if (!name || !dir || a->fd < 0)
		return lacking(a, !name ? "name" : !dir ? "dir" : "descriptor");
	int fd = a->fd;

	a->fd = -1;
	return folders_mount(a->d, name, dir, fd, &a->say);
}

static enum exits on_poke(struct asked *a)
{
	const char *name = text_in(a, "name");
	char nonce[MOUNT_NONCE_TEXT];

	if (!name || a->fd < 0)
		return lacking(a, !name ? "name" : "descriptor");
	int fd = a->fd;

	a->fd = -1;
	enum exits x = folders_poke(a->d, name, fd, nonce, &a->say);

	if (!x)
		a->result = json_pack("{s:s}", "nonce", nonce);
	return x;
}

static enum exits on_stop(struct asked *a)
{
	a->d->stop(a->d->stop_arg);
	return EXIT_DONE;
}

static const struct {
	const char *method;
	enum exits (*run)(struct asked *a);
} methods[] = {
	{"status", on_status},       {"peers", on_peers},       {"conflicts", on_conflicts},
	{"folder", on_folder},       {"create", on_create},     {"invite", on_invite},
	{"decide", on_decide},       {"join", on_join},         {"mount", on_mount},
	{"stop", on_stop},           {"versions", on_versions}, {"past", on_past},
	{"past_read", on_past_read}, {"restore", on_restore},   {"resolve", on_resolve},
	{"poke", on_poke},
};

json_t *serve_answer(void *arg, const char *method, json_t *parameters, int take_fd)
{
	struct asked a = {.d = arg, .parameters = parameters, .fd = take_fd};
	enum exits x = EXIT_VERSION;

	(void)snprintf(a.say.text, sizeof(a.say.text),
		       "the daemon (%s) does not know \"%s\": stop it and start the new one: "
		       "peerfs daemon stop",
		       PEERFS_VERSION, method);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i].method, method) == 0) {
			a.say.text[0] = 0;
			x = methods[i].run(&a);
		}
	if (a.fd >= 0)
		(void)close(a.fd);
	if (!x)
		return json_pack("{s:o}", "parameters", a.result ? a.result : json_object());
	return json_pack("{s:s, s:{s:i, s:o}}", "error", "peerfs.Failed", "parameters", "exit",
			 (int)x, "text", tell_text(a.say.text));
}
