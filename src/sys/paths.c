// SPDX-License-Identifier: MIT
/*
 * paths.c - the one place that reads PEERFS_HOME and the XDG variables
 *
 * The CLI and the daemon must agree on these to the letter, or they do not find each other.
 */
#include "sys/paths.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *absolute(const char *variable)
{
	const char *v = getenv(variable);

	return v && v[0] == '/' ? v : NULL;
}

/* a, b and c, one after another; ret has room for PATHS_MAX. */
static enum err join(char *ret, const char *a, const char *b, const char *c)
{
	int n = snprintf(ret, PATHS_MAX, "%s%s%s", a, b, c);

	return n < 0 || n >= PATHS_MAX ? fail(ERR_NAMETOOLONG) : ERR_OK;
}

static enum err of_home(struct paths *p, const char *home)
{
	enum err e = join(p->config, home, "/peerfs.conf", "");

	if (!e)
		e = join(p->data, home, "/data", "");
	if (!e)
		e = join(p->run, home, "/run", "");
	return e;
}

static enum err of_xdg(struct paths *p, const char *home)
{
	const char *config = absolute("XDG_CONFIG_HOME"), *data = absolute("XDG_DATA_HOME");
	const char *run = absolute("XDG_RUNTIME_DIR");
	enum err e;

	if (config)
		e = join(p->config, config, "/peerfs/peerfs.conf", "");
	else
		e = join(p->config, home, "/.config", "/peerfs/peerfs.conf");
	if (!e && data)
		e = join(p->data, data, "/peerfs", "");
	else if (!e)
		e = join(p->data, home, "/.local/share", "/peerfs");
	if (!e && run)
		e = join(p->run, run, "/peerfs", "");
	else if (!e)
		e = join(p->run, p->data, "", "");
	return e;
}

enum err paths_find(struct paths *ret, char *why, size_t why_len)
{
	const char *own = getenv("PEERFS_HOME"), *home = absolute("HOME");
	struct paths p;
	enum err e;

	if (own && own[0] && own[0] != '/') {
		(void)snprintf(why, why_len, "PEERFS_HOME is %s: it must be an absolute path", own);
		return fail(ERR_INVAL);
	}
	if (own && own[0])
		e = of_home(&p, own);
	else
		e = of_xdg(&p, home ? home : "");
	if (!(own && own[0]) && !home &&
	    (!absolute("XDG_CONFIG_HOME") || !absolute("XDG_DATA_HOME"))) {
		(void)snprintf(why, why_len,
			       "neither PEERFS_HOME nor HOME is set: set one of them");
		return fail(ERR_INVAL);
	}
	if (!e)
		e = join(p.socket, p.run, "/ctl.sock", "");
	if (!e)
		e = join(p.key, p.data, "/device.key", "");
	if (!e && strlen(p.socket) > PATHS_SOCKET_MAX)
		e = fail(ERR_NAMETOOLONG);
	if (e) {
		(void)snprintf(why, why_len,
			       "the path of the control socket would be longer than %d bytes: set "
			       "PEERFS_HOME or XDG_RUNTIME_DIR to a shorter one",
			       PATHS_SOCKET_MAX);
		return e;
	}
	*ret = p;
	return ERR_OK;
}

enum err paths_store(const struct paths *p, const char *name, char *ret, size_t len)
{
	int n = snprintf(ret, len, "%s/folders/%s", p->data, name);

	return n < 0 || (size_t)n >= len ? fail(ERR_NAMETOOLONG) : ERR_OK;
}

enum err paths_make(const char *path)
{
	char part[PATHS_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return fail(ERR_NAMETOOLONG);
	memcpy(part, path, len + 1);
	for (size_t k = 1; k <= len; k++) {
		if (part[k] != '/' && part[k] != 0)
			continue;
		char was = part[k];
		part[k] = 0;
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return fail(errno == ENOSPC ? ERR_NOSPC : ERR_IO);
		part[k] = was;
	}
	return ERR_OK;
}
