/* SPDX-License-Identifier: MIT */
/* client.h - how "peerfs" reaches the daemon, starts it, and says what went wrong */
#ifndef CLIENT_H
#define CLIENT_H

#include "prog/exits.h"
#include "sys/ctl.h"
#include "sys/paths.h"
#include <stdbool.h>

#define CLIENT_START_MS 30000

/* "peerfs: ..." to stderr; returns code. */
enum exits client_fail(enum exits code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Paths of this device; says what is wrong. */
enum exits client_paths(struct paths *ret);
/* If a killed daemon cannot end: free it, or say why not and what to do. */
enum exits client_let_go(const struct paths *p);
/* Connect; start: the daemon first if it does not run.  EXIT_NO_DAEMON and what to do. */
enum exits client_connect(const struct paths *p, bool start, struct ctl *ret);
/* Ask and give the answer's parameters; what went wrong is said.  fd: passed along, or -1. */
enum exits client_ask(struct ctl *c, const char *method, json_t *take_parameters, int fd,
		      json_t **ret);
/* Start the daemon and wait until it is ready; why it is not is said. */
enum exits client_start(const struct paths *p);
/* Start peerfs-poke for a folder that is mounted on dir, and leave it to itself. */
void client_poke(const char *name, const char *dir);
/* Replace this program by the daemon in the foreground; returns only on error. */
enum exits client_become(void);
/* End the daemon and wait until it is gone. */
enum exits client_stop(const struct paths *p);

/* dir as an absolute path without following its last part, which may not exist. */
enum exits client_absolute(const char *dir, char ret[PATHS_MAX]);
bool client_is_utf8(const char *s);
/* Put a path into a request.  Names on a disk are bytes, JSON is text: one that is not goes as hex,
 * as key_hex.  Returns o. */
json_t *client_path(json_t *o, const char *key, const char *path);

#endif
