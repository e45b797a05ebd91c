// SPDX-License-Identifier: MIT
/*
 * ctl.c - the control socket, both ends
 *
 * The server has one thread that accepts and one for each client, blocking and simple: clients are
 * few and ask rarely, and an answer (a join, a mount) may wait for the network.
 *
 * I1  clients[] holds the descriptors of running threads, so that ctl_stop() can shut them down
 * I2  a client of another user is cut off before a byte of it is read
 */
#include "sys/ctl.h"
#include "base/bytes.h"
#include "sys/fdio.h"
#include "sys/report.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static enum err address_of(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (len >= sizeof(ret->sun_path))
		return fail(ERR_NAMETOOLONG);
	memcpy(ret->sun_path, path, len);
	return ERR_OK;
}

static void ctl_init(struct ctl *c, int fd)
{
	*c = (struct ctl){.fd = fd, .passed = -1};
}

enum err ctl_connect(const char *path, struct ctl *ret)
{
	struct sockaddr_un a;
	enum err e = address_of(path, &a);

	if (e)
		return e;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail(ERR_IO);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int why = errno;

		(void)close(fd);
		errno = why;
		return why == ENOENT || why == ECONNREFUSED ? ERR_CLOSED : fail(ERR_IO);
	}
	ctl_init(ret, fd);
	return ERR_OK;
}

void ctl_close(struct ctl *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	if (c->passed >= 0)
		(void)close(c->passed);
	free(c->buf);
	ctl_init(c, -1);
}

/* The first bytes of a message, with the descriptor. */
static ssize_t send_first(int fd, const char *at, size_t len, int pass)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = (void *)(uintptr_t)at, .iov_len = len};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

	if (pass >= 0) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

enum err ctl_send(struct ctl *c, const json_t *message, int pass)
{
	char *text = json_dumps(message, JSON_COMPACT);

	if (!text)
		return fail(ERR_NOMEM);
	size_t len = strlen(text) + 1, at = 0; /* the NUL ends it */

	while (at < len) {
		ssize_t n = send_first(c->fd, text + at, len - at, pass);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		pass = -1;
		at += (size_t)n;
	}
	free(text);
	return at == len ? ERR_OK : fail(ERR_CLOSED);
}

static void take_passed(struct ctl *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->passed < 0)
				c->passed = fd;
			else
				(void)close(fd);
		}
	}
}

/* Some more bytes into the buffer. */
static enum err receive_some(struct ctl *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	char control[CMSG_SPACE(4 * sizeof(int))];

	if (c->len == c->room) {
		size_t room = c->room ? c->room * 2 : 4096;
		char *grown = room <= CTL_BYTES_MAX ? realloc(c->buf, room) : NULL;

		if (!grown)
			return fail(ERR_TOOBIG);
		c->buf = grown;
		c->room = room;
	}
	int ready = poll(&p, 1, timeout_ms);

	if (ready == 0)
		return fail(ERR_TIMEDOUT);
	if (ready < 0)
		return errno == EINTR ? ERR_OK : fail(ERR_IO);
	struct iovec part = {.iov_base = c->buf + c->len, .iov_len = c->room - c->len};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? ERR_OK : ERR_CLOSED;
	if (n == 0)
		return ERR_CLOSED;
	take_passed(c, &m);
	c->len += (size_t)n;
	return ERR_OK;
}

enum err ctl_receive(struct ctl *c, int timeout_ms, json_t **ret)
{
	char *end;

	while (!(end = c->len ? memchr(c->buf, 0, c->len) : NULL)) {
		enum err e = receive_some(c, timeout_ms);

		if (e)
			return e;
	}
	json_t *got = json_loads(c->buf, JSON_REJECT_DUPLICATES, NULL);
	size_t used = (size_t)(end - c->buf) + 1;

	memmove(c->buf, c->buf + used, c->len - used);
	c->len -= used;
	if (!json_is_object(got)) {
		json_decref(got);
		return fail(ERR_MALFORMED);
	}
	*ret = got;
	return ERR_OK;
}

enum err ctl_ask(struct ctl *c, const char *method, json_t *take_parameters, int pass, json_t **ret)
{
	json_t *m = json_pack("{s:s, s:o}", "method", method, "parameters",
			      take_parameters ? take_parameters : json_object());

	if (!m)
		return fail(ERR_NOMEM);
	enum err e = ctl_send(c, m, pass);

	json_decref(m);
	return e ? e : ctl_receive(c, -1, ret);
}

/* ---- the daemon's side ---- */

struct ctl_server {
	struct ctl_ops ops;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd, stop[2];
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t gone;
	int clients[CTL_CLIENTS_MAX]; /* -1: free */
	unsigned running;
};
struct client {
	struct ctl_server *s;
	struct ctl c;
	unsigned slot;
};

static bool client_ours(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	return who.uid == geteuid() || who.uid == 0;
}

static enum err client_answer(struct client *k, json_t *request)
{
	const char *method = json_string_value(json_object_get(request, "method"));
	json_t *parameters = json_object_get(request, "parameters");
	int passed = k->c.passed;

	if (!method)
		return fail(ERR_MALFORMED);
	k->c.passed = -1;
	json_t *answer = k->s->ops.answer(k->s->ops.arg, method, parameters, passed);

	if (!answer)
		return fail(ERR_NOMEM);
	enum err e = ctl_send(&k->c, answer, -1);

	json_decref(answer);
	return e;
}

static void *client_thread(void *arg)
{
	struct client *k = arg;
	struct ctl_server *s = k->s;
	enum err e = ERR_OK;

	while (!e) {
		json_t *request;

		e = ctl_receive(&k->c, -1, &request);
		if (!e) {
			e = client_answer(k, request);
			json_decref(request);
		}
	}
	if (e != ERR_CLOSED)
		report(REPORT_WARN, "a control client is cut off: %s", err_text(e));
	(void)pthread_mutex_lock(&s->mutex);
	s->clients[k->slot] = -1;
	ctl_close(&k->c); /* under the mutex: ctl_stop() must not shut down a number used again */
	free(k);
	s->running--;
	(void)pthread_cond_broadcast(&s->gone);
	(void)pthread_mutex_unlock(&s->mutex);
	return NULL;
}

/* Give a new client a slot and a thread; false: it was turned away. */
static bool client_start(struct ctl_server *s, int fd)
{
	struct client *k = calloc(1, sizeof(*k));
	unsigned slot = 0;
	pthread_t thread;

	if (!k || !client_ours(fd)) { /* I2 */
		free(k);
		return false;
	}
	k->s = s;
	ctl_init(&k->c, fd);
	(void)pthread_mutex_lock(&s->mutex);
	while (slot < CTL_CLIENTS_MAX && s->clients[slot] >= 0)
		slot++;
	k->slot = slot;
	bool ok = slot < CTL_CLIENTS_MAX && !pthread_create(&thread, NULL, client_thread, k);

	if (ok) {
		s->clients[slot] = fd; /* I1 */
		s->running++;
		(void)pthread_detach(thread);
	} else {
		free(k);
	}
	(void)pthread_mutex_unlock(&s->mutex);
	return ok;
}

static void *accept_thread(void *arg)
{
	struct ctl_server *s = arg;
	struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN},
			      {.fd = s->stop[0], .events = POLLIN}};

	for (;;) {
		int n = poll(p, 2, -1);

		if (p[1].revents || (n < 0 && errno != EINTR))
			return NULL;
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && !client_start(s, fd))
			(void)close(fd);
	}
}

static enum err server_bind(struct ctl_server *s)
{
	struct sockaddr_un a;
	struct ctl probe;
	enum err e = address_of(s->path, &a);

	if (e)
		return e;
	if (!ctl_connect(s->path, &probe)) {
		ctl_close(&probe);
		return fail(ERR_BUSY);
	}
	(void)unlink(s->path); /* of a daemon that was killed */
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(s->path, 0600) < 0 || listen(s->fd, CTL_CLIENTS_MAX) < 0)
		return report_sys("listen on", s->path);
	return pipe2(s->stop, O_CLOEXEC) < 0 ? report_sys("make a pipe for", s->path) : ERR_OK;
}

static void server_free(struct ctl_server *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	for (int i = 0; i < 2; i++)
		if (s->stop[i] >= 0)
			(void)close(s->stop[i]);
	(void)pthread_cond_destroy(&s->gone);
	(void)pthread_mutex_destroy(&s->mutex);
	free(s);
}

enum err ctl_serve(const char *path, const struct ctl_ops *ops, struct ctl_server **ret)
{
	struct ctl_server *s = calloc(1, sizeof(*s));

	if (!s)
		return fail(ERR_NOMEM);
	s->ops = *ops;
	s->fd = s->stop[0] = s->stop[1] = -1;
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		s->clients[i] = -1;
	(void)pthread_mutex_init(&s->mutex, NULL);
	(void)pthread_cond_init(&s->gone, NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	enum err e = server_bind(s);

	if (!e && pthread_create(&s->thread, NULL, accept_thread, s))
		e = fail(ERR_NOMEM);
	if (e) {
		server_free(s);
		return e;
	}
	*ret = s;
	return ERR_OK;
}

void ctl_stop(struct ctl_server *s)
{
	if (!s)
		return;
	(void)unlink(s->path);
	(void)close(s->stop[1]);
	s->stop[1] = -1;
	(void)pthread_join(s->thread, NULL);
	(void)pthread_mutex_lock(&s->mutex);
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		if (s->clients[i] >= 0)
			(void)shutdown(s->clients[i], SHUT_RD); /* answers still go out */
	while (s->running > 0)
		(void)pthread_cond_wait(&s->gone, &s->mutex);
	(void)pthread_mutex_unlock(&s->mutex);
	server_free(s);
}
