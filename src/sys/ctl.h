/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - the control socket: JSON messages that end in a NUL, with a descriptor now and then
 *
 * A request is {"method": NAME, "parameters": {...}}; its answer {"parameters": {...}} or
 * {"error": NAME, "parameters": {"exit": NUMBER, "text": TEXT}}.  Only the user who runs the
 * daemon (and root) may speak; a descriptor travels with the message by SCM_RIGHTS.
 */
#ifndef CTL_H
#define CTL_H

#include "base/err.h"
#include <jansson.h>
#include <stddef.h>

#define CTL_BYTES_MAX (8u << 20) /* of a message */
#define CTL_CLIENTS_MAX 32

/* One end of a connection. */
struct ctl {
	int fd;
	char *buf;
	size_t len, room;
	int passed; /* a descriptor that came, or -1 */
};
/* ERR_CLOSED: nobody listens there. */
enum err ctl_connect(const char *path, struct ctl *ret) MUST_USE;
void ctl_close(struct ctl *c);
/* pass: a descriptor to send along, or -1. */
enum err ctl_send(struct ctl *c, const json_t *message, int pass) MUST_USE;
/* The next message; the caller owns *ret.  ERR_CLOSED at the end, ERR_TIMEDOUT (timeout_ms; -1:
 * none), ERR_MALFORMED. */
enum err ctl_receive(struct ctl *c, int timeout_ms, json_t **ret) MUST_USE;
/* Send a request and wait for its answer. */
enum err ctl_ask(struct ctl *c, const char *method, json_t *take_parameters, int pass,
		 json_t **ret) MUST_USE;

/* The daemon's side: a thread for each client, so that an answer may take its time. */
struct ctl_server;
struct ctl_ops {
	void *arg;
	/* The answer to a request; fd: passed along (taken), or -1.  The server sends it and frees
	 * it.  On a thread of the client. */
	json_t *(*answer)(void *arg, const char *method, json_t *parameters, int take_fd);
};
/* ERR_BUSY: somebody listens there. */
enum err ctl_serve(const char *path, const struct ctl_ops *ops, struct ctl_server **ret) MUST_USE;
/* No new clients; connected ones are cut off and their threads awaited.  Not from answer(). */
void ctl_stop(struct ctl_server *s); /* accepts NULL */

#endif
