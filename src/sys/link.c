// SPDX-License-Identifier: MIT
/*
 * link.c - the network as the rest of the daemon sees it: folders, listeners, sessions, time
 *
 * Life of a message: link_send() queues it under the lock; on the loop's thread it is sealed and
 * written at once (conn_flush()), from other threads the loop is woken.  While received messages
 * are being handed to the owner, what it answers waits for the end of that batch, so that many
 * small answers are one write.  A peer's bytes come the other way through conn.c.
 *
 * Calls that change what is dialled are commands, queued from any thread and carried out by the
 * loop, so that dial.c needs no lock and no callback comes from inside a call (conn.c, I1).
 *
 * There is one timer.  link_tick() asks every connection and keep when it next wants to be asked,
 * so an idle daemon wakes once in a keepalive and not ten times a second.
 */
#include "sys/clock.h"
#include "sys/link_impl.h"
#include "sys/rand.h"
#include <netinet/in.h>
#include <stdlib.h>

bool link_here(const struct link *l)
{
	return pthread_equal(pthread_self(), l->thread) != 0;
}

enum err link_err(int uv)
{
	switch (uv) {
	case UV_ETIMEDOUT:
		return ERR_TIMEDOUT;
	case UV_EADDRINUSE:
		return ERR_BUSY;
	case UV_EACCES:
	case UV_EPERM:
		return ERR_PERM;
	case UV_ENOMEM:
	case UV_ENOBUFS:
	case UV_EMFILE:
	case UV_ENFILE:
		return ERR_NOMEM;
	case UV_EOF:
	case UV_EPIPE:
	case UV_ECONNRESET:
	case UV_ECANCELED:
		return ERR_CLOSED;
	case UV_EINVAL:
		return ERR_INVAL;
	default: /* refused, no route, no network, no such address here */
		return ERR_UNREACHABLE;
	}
}

bool link_folder_id(struct link *l, uint32_t no, struct folder_id *ret)
{
	bool found = false;

	pthread_mutex_lock(&l->lock);
	for (size_t k = 0; !found && k < LINK_FOLDERS_MAX; k++)
		if (l->folders[k].used && l->folders[k].no == no) {
			*ret = l->folders[k].id;
			found = true;
		}
	pthread_mutex_unlock(&l->lock);
	return found;
}

/* ---- the loop ---- */

bool link_mark(struct link *l, struct conn *c)
{
	bool first = l->dirty == NULL;

	if (!c->dirty) {
		c->dirty = true;
		c->dirty_next = l->dirty;
		l->dirty = c;
	}
	return first;
}

void link_run(struct link *l)
{
	for (;;) {
		pthread_mutex_lock(&l->lock);
		struct conn *c = l->dirty;
		if (c) {
			l->dirty = c->dirty_next;
			c->dirty = false;
		}
		pthread_mutex_unlock(&l->lock);
		if (!c)
			return;
		conn_dirty(c);
	}
}

static void run_commands(struct link *l)
{
	pthread_mutex_lock(&l->lock);
	struct command *m = l->commands;
	l->commands = NULL;
	l->commands_end = &l->commands;
	pthread_mutex_unlock(&l->lock);
	while (m) {
		struct command *next = m->next;
		dial_run(l, m);
		m = next;
	}
}

static void on_wake(uv_async_t *a)
{
	struct link *l = a->data;

	assert(link_here(l)); /* link_new() was called on the loop's thread */
	if (l->freeing)
		return;
	run_commands(l);
	link_run(l);
}

/* The machine slept longer than peers wait: sessions are dead on their side, so start afresh. */
static void wake_from_sleep(struct link *l)
{
	uint64_t slept = clock_slept_usec(), before = l->slept_usec;
	struct conn *next;

	l->slept_usec = slept;
	if (slept < before + (uint64_t)l->times.dead_ms * 1000)
		return;
	for (struct conn *c = l->conns; c; c = next) {
		next = c->next;
		conn_end(c, ERR_TIMEDOUT);
	}
	for (struct keep *k = l->keeps; k; k = k->next)
		k->next_ms = 0;
}

static void on_timer(uv_timer_t *t)
{
	struct link *l = t->data;
	uint64_t now = uv_now(l->loop), due = UINT64_MAX;
	struct conn *next;

	l->timer_ms = 0; /* whoever arms it meanwhile is asked below, or arms it again */
	wake_from_sleep(l);
	for (struct keep *k = l->keeps; k; k = k->next)
		due = MIN(due, dial_tick(k, l, now));
	for (struct conn *c = l->conns; c; c = next) {
		next = c->next;
		due = MIN(due, conn_tick(c, now));
	}
	for (struct keep *k = l->keeps; k; k = k->next) /* a tick may have made one wait */
		if (!k->tries && !conn_busy(l, k->folder, &k->who))
			due = MIN(due, k->next_ms);
	l->timer_ms = UINT64_MAX;
	if (due != UINT64_MAX)
		link_arm(l, due);
	link_run(l);
}

void link_arm(struct link *l, uint64_t at_ms)
{
	uint64_t now = uv_now(l->loop);

	if (l->freeing || at_ms >= l->timer_ms)
		return;
	l->timer_ms = at_ms;
	(void)uv_timer_start(&l->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

/* ---- life ---- */

enum err link_new(uv_loop_t *loop, const struct sign_pair *device, const struct link_ops *ops,
		  struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));
	uint8_t seed[32];

	if (!l)
		return fail(ERR_NOMEM);
	l->loop = loop;
	l->thread = pthread_self();
	l->ops = *ops;
	l->commands_end = &l->commands;
	l->timer_ms = UINT64_MAX;
	l->slept_usec = clock_slept_usec();
	l->times = (struct link_times){LINK_HALF_OPEN_MS, LINK_KEEPALIVE_MS, LINK_DEAD_MS,
				       LINK_RETRY_MIN_MS, LINK_RETRY_MAX_MS};
	rand_seed(seed);
	rng_init(&l->rng, seed);
	memset(seed, 0, sizeof(seed));
	enum err e = hello_self_init(&l->self, device);
	if (!e && uv_async_init(loop, &l->wake, on_wake))
		e = fail(ERR_NOMEM);
	if (e) {
		free(l);
		return e;
	}
	l->wake.data = l;
	(void)uv_timer_init(loop, &l->timer); /* cannot fail */
	l->timer.data = l;
	l->handles = 2;
	(void)pthread_mutex_init(&l->lock, NULL); /* cannot fail with these attributes on Linux */
	*ret = l;
	return ERR_OK;
}

void link_times(struct link *l, const struct link_times *t)
{
	l->times = *t;
}

void link_handle_closed(struct link *l)
{
	assert(l->handles);
	if (--l->handles == 0) {
		void (*freed)(void *arg) = l->freed;
		void *arg = l->freed_arg;

		free(l->spare);
		(void)pthread_mutex_destroy(&l->lock);
		memset(&l->self, 0, sizeof(l->self));
		free(l);
		if (freed)
			freed(arg);
		return;
	}
	for (size_t k = 0; !l->freeing && k < LINK_LISTENERS_MAX; k++)
		if (l->listeners[k].used && l->listeners[k].waiting)
			conn_accept(&l->listeners[k]);
}

static void on_handle_closed(uv_handle_t *h)
{
	link_handle_closed(h->data);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *s = h->data;

	s->used = false;
	link_handle_closed(s->link);
}

void link_free(struct link *l, void (*done)(void *arg), void *arg)
{
	l->freeing = true;
	l->freed = done;
	l->freed_arg = arg;
	while (l->conns)
		conn_end(l->conns, ERR_CLOSED);
	dial_free(l);
	pthread_mutex_lock(&l->lock);
	struct command *m = l->commands;
	l->commands = NULL;
	pthread_mutex_unlock(&l->lock);
	while (m) {
		struct command *next = m->next;
		free(m->addrs);
		free(m);
		m = next;
	}
	for (size_t k = 0; k < LINK_LISTENERS_MAX; k++)
		if (l->listeners[k].used && !uv_is_closing((uv_handle_t *)&l->listeners[k].tcp))
			uv_close((uv_handle_t *)&l->listeners[k].tcp, on_listener_closed);
	uv_close((uv_handle_t *)&l->timer, on_handle_closed);
	uv_close((uv_handle_t *)&l->wake, on_handle_closed);
}

/* ---- listening ---- */

static void on_connection(uv_stream_t *s, int status)
{
	struct listener *from = s->data;

	if (status >= 0) /* else: out of descriptors; libuv tries again */
		conn_accept(from);
}

static enum err bind_and_listen(struct listener *s, const struct sockaddr *to, uint16_t *port)
{
	struct sockaddr_storage bound;
	int len = sizeof(bound);

	int r = uv_tcp_bind(&s->tcp, to, 0);
	if (!r)
		r = uv_listen((uv_stream_t *)&s->tcp, SOMAXCONN, on_connection);
	if (!r)
		r = uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&bound, &len);
	if (r)
		return fail(link_err(r));
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)&bound;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)&bound;
	*port = ntohs(bound.ss_family == AF_INET6 ? six->sin6_port : four->sin_port);
	return ERR_OK;
}

static enum err listen_on(struct link *l, const struct sockaddr *to, uint16_t *port)
{
	struct listener *s = NULL;

	for (size_t k = 0; !s && k < LINK_LISTENERS_MAX; k++)
		if (!l->listeners[k].used)
			s = &l->listeners[k];
	if (!s)
		return fail(ERR_FULL);
	s->link = l;
	s->waiting = false;
	int r = uv_tcp_init(l->loop, &s->tcp);
	if (r)
		return fail(link_err(r));
	s->tcp.data = s;
	s->used = true;
	l->handles++;
	enum err e = bind_and_listen(s, to, port);
	if (e)
		uv_close((uv_handle_t *)&s->tcp, on_listener_closed);
	return e;
}

enum err link_listen(struct link *l, const char *addr, uint16_t *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	char host[LINK_ADDR_TEXT], number[8];
	uv_getaddrinfo_t req;
	struct sockaddr_in any;

	enum err e = dial_split(addr, strlen(addr), host, number);
	if (e)
		return e;
	/* Without a host: every address, of both families where the kernel has V6. */
	int r = uv_getaddrinfo(l->loop, &req, NULL, host[0] ? host : "::", number, &hints);
	if (r)
		return fail(ERR_INVAL);
	e = listen_on(l, req.addrinfo->ai_addr, port);
	uv_freeaddrinfo(req.addrinfo);
	if (e == ERR_UNREACHABLE && !host[0] &&
	    uv_ip4_addr("0.0.0.0", (int)strtoul(number, NULL, 10), &any) == 0)
		e = listen_on(l, (struct sockaddr *)&any, port);
	return e;
}

/* ---- calls from any thread ---- */

enum err link_folder(struct link *l, uint32_t no, const struct folder_id *id)
{
	struct link_folder_entry *to = NULL;

	pthread_mutex_lock(&l->lock);
	for (size_t k = 0; k < LINK_FOLDERS_MAX; k++) {
		struct link_folder_entry *f = &l->folders[k];
		if (f->used ? f->no == no : !to)
			to = f;
		if (f->used && f->no == no)
			break;
	}
	if (to)
		*to = (struct link_folder_entry){true, no, *id};
	pthread_mutex_unlock(&l->lock);
	return to ? ERR_OK : fail(ERR_FULL);
}

static void command(struct link *l, struct command *take)
{
	pthread_mutex_lock(&l->lock);
	*l->commands_end = take;
	l->commands_end = &take->next;
	pthread_mutex_unlock(&l->lock);
	(void)uv_async_send(&l->wake);
}

void link_folder_gone(struct link *l, uint32_t no)
{
	struct command *m = calloc(1, sizeof(*m));

	pthread_mutex_lock(&l->lock); /* from now on nobody new comes in */
	for (size_t k = 0; k < LINK_FOLDERS_MAX; k++)
		if (l->folders[k].used && l->folders[k].no == no)
			l->folders[k].used = false;
	pthread_mutex_unlock(&l->lock);
	if (!m)
		return; /* its sessions stay up; the owner's ids of it are refused above us */
	m->kind = COMMAND_GONE;
	m->folder = no;
	command(l, m);
}

enum err link_keep(struct link *l, uint32_t folder, const struct device_id *who, const char *addrs,
		   bool joining)
{
	struct command *m = calloc(1, sizeof(*m));
	char *copy = strdup(addrs);

	pthread_mutex_lock(&l->lock);
	bool full = l->keeps_count >= LINK_KEEPS_MAX;
	if (m && copy && !full)
		l->keeps_count++;
	pthread_mutex_unlock(&l->lock);
	if (!m || !copy || full) {
		free(m);
		free(copy);
		return fail(full ? ERR_FULL : ERR_NOMEM);
	}
	m->kind = COMMAND_KEEP;
	m->folder = folder;
	m->who = *who;
	m->addrs = copy;
	m->joining = joining;
	command(l, m);
	return ERR_OK;
}

void link_forget(struct link *l, uint32_t folder, const struct device_id *who)
{
	struct command *m = calloc(1, sizeof(*m));

	if (!m)
		return; /* it goes on dialling: harmless, and the machine has other worries */
	m->kind = COMMAND_FORGET;
	m->folder = folder;
	m->who = *who;
	command(l, m);
}

void link_dial_now(struct link *l)
{
	struct command *m = calloc(1, sizeof(*m));

	if (!m)
		return; /* the back-off ends by itself */
	m->kind = COMMAND_DIAL;
	command(l, m);
}

/* Under lock; NULL: no such session, or none any more. */
static struct conn *session_of(struct link *l, uint64_t session)
{
	struct conn *c = l->slots[session % LINK_SESSIONS_MAX];

	return c && c->id == session ? c : NULL;
}

enum err link_send(struct link *l, uint64_t session, enum link_class class, uint8_t *take_message,
		   size_t len)
{
	struct flow_item *i = malloc(sizeof(*i));
	bool wake = false, here = link_here(l);
	enum err e = ERR_OK;

	assert(take_message && len > 0 && len <= WIRE_BYTES_MAX);
	assert(take_message[0] != WIRE_PING && take_message[0] != WIRE_PONG); /* ours */
	if (!i) {
		free(take_message);
		return fail(ERR_NOMEM);
	}
	*i = (struct flow_item){.bytes = take_message, .len = len};
	pthread_mutex_lock(&l->lock);
	struct conn *c = session_of(l, session);
	if (!c || !c->open) {
		e = ERR_CLOSED;
	} else if (atomic_load_explicit(&c->queued, memory_order_relaxed) + len >
		   LINK_QUEUE_BYTES_MAX) {
		e = ERR_FULL;
		c->open = false;
		atomic_store(&c->doom, (int)ERR_FULL);
		wake = link_mark(l, c);
	} else {
		atomic_fetch_add_explicit(&c->queued, len, memory_order_relaxed);
		flow_push(&c->inbox[class], i);
		if (!here || l->corked)
			wake = link_mark(l, c);
	}
	pthread_mutex_unlock(&l->lock);
	if (e) {
		free(take_message);
		free(i);
	} else if (here && !l->corked) {
		conn_flush(c); /* only this thread frees it */
		return ERR_OK;
	}
	if (wake && !(here && l->corked)) /* on_read() runs the dirty ones at its end */
		(void)uv_async_send(&l->wake);
	return e ? fail(e) : ERR_OK;
}

size_t link_queued(struct link *l, uint64_t session)
{
	pthread_mutex_lock(&l->lock);
	struct conn *c = session_of(l, session);
	size_t n = c ? atomic_load_explicit(&c->queued, memory_order_relaxed) : 0;
	pthread_mutex_unlock(&l->lock);
	return n;
}

void link_close(struct link *l, uint64_t session, enum err why)
{
	pthread_mutex_lock(&l->lock);
	struct conn *c = session_of(l, session);
	if (c && c->open) {
		c->open = false;
		c->closing = true;
		c->why = why;
		(void)link_mark(l, c);
	}
	pthread_mutex_unlock(&l->lock);
	(void)uv_async_send(&l->wake);
}

bool link_stats(struct link *l, uint64_t session, struct link_stats *ret)
{
	pthread_mutex_lock(&l->lock);
	struct conn *c = session_of(l, session);
	if (c)
		*ret = (struct link_stats){
			atomic_load_explicit(&c->sent, memory_order_relaxed),
			atomic_load_explicit(&c->received, memory_order_relaxed),
			atomic_load_explicit(&c->rtt_usec, memory_order_relaxed)};
	pthread_mutex_unlock(&l->lock);
	return c != NULL;
}
