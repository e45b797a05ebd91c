// SPDX-License-Identifier: MIT
/*
 * loop.c - one libuv loop: the link's callbacks, the hosts' timers, jobs from other threads
 *
 * I1  a folder is freed by loop_leave() alone, when nobody else uses it
 * I2  jobs run in order; whoever gave one waits for it
 * I3  sessions[] is touched by the loop's thread and, to read, under the lock
 */
#include "sys/loop.h"
#include "sys/clock.h"
#include "sys/inbox.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define BEAT_MS 100 /* hosts are asked for their deadlines at least so often */
#define HOUSE_USEC 1000000 /* and ticked for their own housekeeping */
#define ADDRS_USEC 30000000 /* the machine's addresses are looked at again */
#define WOKEN_USEC 5000000 /* a sleep that peers may have noticed */
#define SESSIONS_MAX 1024

struct job {
	struct job *next;
	enum err (*run)(void *arg);
	void *arg;
	enum err err;
	bool done;
};
struct session {
	uint64_t id;
	struct folder *folder;
	struct loop_session shown;
};
struct loop {
	struct loop_config c;
	uv_loop_t uv;
	uv_async_t wake;
	uv_timer_t beat;
	uv_signal_t signals[3];
	struct link *link;
	uint16_t port;
	char listen[WIRE_ADDR_MAX];
	char addrs[LOOP_ADDRS_MAX];
	bool running, ending;
	uint64_t next_house, next_addrs, slept;
	struct session sessions[SESSIONS_MAX];
	uint32_t session_count;
	pthread_mutex_t mutex; /* folders, jobs, addrs, sessions */
	pthread_cond_t changed;
	struct job *jobs, **jobs_last;
	struct folder *folders[LOOP_FOLDERS_MAX];
	uint32_t next_no;
};

void loop_lock(struct loop *l)
{
	(void)pthread_mutex_lock(&l->mutex);
}

void loop_unlock(struct loop *l)
{
	(void)pthread_mutex_unlock(&l->mutex);
}

/* ---- jobs ---- */

static void jobs_run(struct loop *l)
{
	loop_lock(l);
	while (l->jobs) {
		struct job *j = l->jobs;

		l->jobs = j->next;
		if (!l->jobs)
			l->jobs_last = &l->jobs;
		loop_unlock(l);
		enum err e = j->run(j->arg);

		loop_lock(l);
		j->err = e;
		j->done = true; /* I2: j is its giver's again */
		(void)pthread_cond_broadcast(&l->changed);
	}
	loop_unlock(l);
}

enum err loop_call(struct loop *l, enum err (*job)(void *arg), void *arg)
{
	struct job j = {.run = job, .arg = arg};

	loop_lock(l);
	if (!l->running) {
		loop_unlock(l);
		return job(arg);
	}
	*l->jobs_last = &j;
	l->jobs_last = &j.next;
	(void)uv_async_send(&l->wake);
	while (!j.done)
		(void)pthread_cond_wait(&l->changed, &l->mutex);
	loop_unlock(l);
	return j.err;
}

/* ---- folders ---- */

static struct folder *folder_no(struct loop *l, uint32_t no)
{
	struct folder *f = NULL;

	loop_lock(l);
	for (uint32_t i = 0; i < LOOP_FOLDERS_MAX && !f; i++)
		if (l->folders[i] && l->folders[i]->no == no && l->folders[i]->host) {
			f = l->folders[i];
			f->users++;
		}
	loop_unlock(l);
	return f;
}

struct folder *loop_get(struct loop *l, const char *name)
{
	struct folder *f = NULL;

	loop_lock(l);
	for (uint32_t i = 0; i < LOOP_FOLDERS_MAX && !f; i++)
		if (l->folders[i] && l->folders[i]->host && !l->folders[i]->leaving &&
		    strcmp(l->folders[i]->name, name) == 0) {
			f = l->folders[i];
			f->users++;
		}
	loop_unlock(l);
	return f;
}

struct folder *loop_at(struct loop *l, uint32_t i)
{
	struct folder *f = NULL;

	loop_lock(l);
	for (uint32_t k = 0; k < LOOP_FOLDERS_MAX && !f; k++) {
		struct folder *at = l->folders[k];

		if (!at || !at->host || at->leaving)
			continue;
		if (i-- == 0) {
			f = at;
			f->users++;
		}
	}
	loop_unlock(l);
	return f;
}

void loop_put(struct loop *l, struct folder *f)
{
	loop_lock(l);
	assert(f->users > 0);
	f->users--;
	(void)pthread_cond_broadcast(&l->changed);
	loop_unlock(l);
}

/* Take a slot and a number for the name. */
static enum err folder_enter(struct loop *l, struct folder *f)
{
	uint32_t slot = LOOP_FOLDERS_MAX;
	enum err e = ERR_OK;

	loop_lock(l);
	for (uint32_t i = 0; i < LOOP_FOLDERS_MAX; i++) {
		if (!l->folders[i])
			slot = MIN(slot, i);
		else if (strcmp(l->folders[i]->name, f->name) == 0)
			e = ERR_EXIST;
	}
	if (!e && slot == LOOP_FOLDERS_MAX)
		e = fail(ERR_FULL);
	if (!e) {
		f->no = l->next_no++;
		f->users = 1;
		l->folders[slot] = f;
	}
	loop_unlock(l);
	return e;
}

static void folder_forget(struct loop *l, struct folder *f)
{
	loop_lock(l);
	for (uint32_t i = 0; i < LOOP_FOLDERS_MAX; i++)
		if (l->folders[i] == f)
			l->folders[i] = NULL;
	loop_unlock(l);
	free(f->store);
	free(f);
}

void loop_announce(struct loop *l, struct folder *f)
{
	struct event ev = {.kind = EV_ADDR};
	char text[LOOP_ADDRS_MAX];

	loop_addrs(l, text);
	ev.addr.text = bytes_text(text);
	host_lock(f->host);
	bool member = node_is_member(host_node(f->host));

	host_unlock(f->host);
	if (!member || !text[0])
		return;
	enum err e = host_step(f->host, &ev);

	if (e)
		report(REPORT_WARN, "%s: addresses are not announced: %s", f->name, err_text(e));
}

struct serving {
	struct loop *l;
	struct folder *f;
	const struct invitation *by;
};

static enum err serve_job(void *arg)
{
	struct serving *s = arg;
	enum err e = link_folder(s->l->link, s->f->no, &s->f->id);

	if (!e && s->by)
		e = link_keep(s->l->link, s->f->no, &s->by->admin, s->by->addr, true);
	return e;
}

static enum err unserve_job(void *arg)
{
	struct serving *s = arg;

	link_folder_gone(s->l->link, s->f->no);
	return ERR_OK;
}

enum err loop_open(struct loop *l, const struct loop_folder *c, struct folder **ret)
{
	struct folder *f = calloc(1, sizeof(*f));
	struct host *host = NULL;

	if (!f)
		return fail(ERR_NOMEM);
	(void)snprintf(f->name, sizeof(f->name), "%s", c->name);
	f->store = strdup(c->store);
	if (c->by)
		f->admin = c->by->admin;
	enum err e = f->store ? folder_enter(l, f) : fail(ERR_NOMEM);

	if (e) {
		free(f->store);
		free(f);
		return e;
	}
	struct host_config hc = {.store = c->store,
				 .device = l->c.device,
				 .device_name = l->c.device_name,
				 .read_timeout_ms = c->read_timeout_ms,
				 .keep_ms = c->keep_ms,
				 .brake = c->brake,
				 .link = l->link,
				 .folder_no = f->no,
				 .on_joined = c->on_joined,
				 .on_joined_arg = c->arg};

	if (c->join)
		hc.join = *c->join;
	e = host_open(&hc, &host);
	if (e) {
		folder_forget(l, f);
		return e;
	}
	f->id = *host_folder(host);
	loop_lock(l);
	f->host = host;
	loop_unlock(l);
	struct serving s = {l, f, c->by};

	e = loop_call(l, serve_job, &s);
	if (e) {
		loop_leave(l, f);
		return e;
	}
	loop_announce(l, f);
	*ret = f;
	return ERR_OK;
}

void loop_leave(struct loop *l, struct folder *take_f)
{
	struct serving s = {.l = l, .f = take_f};

	loop_lock(l);
	take_f->leaving = true;
	loop_unlock(l);
	if (loop_call(l, unserve_job, &s))
		report(REPORT_WARN, "%s: is still served", take_f->name);
	loop_lock(l);
	while (take_f->users > 1) /* I1; sessions are users, too */
		(void)pthread_cond_wait(&l->changed, &l->mutex);
	loop_unlock(l);
	host_close(take_f->host);
	folder_forget(l, take_f);
}

/* ---- the link's side ---- */

static bool on_authorise(void *arg, uint32_t no, const struct device_id *who, bool joining)
{
	struct loop *l = arg;
	struct folder *f = folder_no(l, no);
	uint8_t secret[32];

	if (!f)
		return false;
	bool ask = host_joining(f->host, secret), ok;

	if (ask) {
		ok = memcmp(&f->admin, who, sizeof(*who)) == 0;
	} else {
		host_lock(f->host);
		ok = joining || node_role(host_node(f->host), who) != ROLE_NONE;
		host_unlock(f->host);
	}
	loop_put(l, f);
	return ok;
}

static struct session *session_of(struct loop *l, uint64_t id)
{
	for (uint32_t i = 0; i < l->session_count; i++)
		if (l->sessions[i].id == id)
			return &l->sessions[i];
	return NULL;
}

static void on_up(void *arg, const struct link_up *up)
{
	struct loop *l = arg;
	struct folder *f = folder_no(l, up->folder);

	if (!f || l->session_count == SESSIONS_MAX) {
		if (f)
			loop_put(l, f);
		link_close(l->link, up->session, ERR_FULL);
		return;
	}
	loop_lock(l);
	struct session *s = &l->sessions[l->session_count++];

	*s = (struct session){.id = up->session, .folder = f};
	s->shown.dialled = up->dialled;
	(void)snprintf(s->shown.addr, sizeof(s->shown.addr), "%s", up->addr ? up->addr : "");
	loop_unlock(l);
	report(REPORT_INFO, "%s: connected %s %s", f->name, up->dialled ? "to" : "from",
	       s->shown.addr);
	inbox_up(f->host, up->session, &up->who, up->joining, up->hash);
}

static void on_message(void *arg, uint64_t id, struct bytes message)
{
	struct session *s = session_of(arg, id);

	if (s)
		inbox_message(s->folder->host, id, message);
}

static void on_down(void *arg, uint64_t id, enum err why)
{
	struct loop *l = arg;
	struct session *s = session_of(l, id);

	if (!s)
		return;
	struct folder *f = s->folder;

	report(REPORT_INFO, "%s: connection with %s ended: %s", f->name, s->shown.addr,
	       err_text(why));
	inbox_down(f->host, id);
	loop_lock(l);
	*s = l->sessions[--l->session_count];
	loop_unlock(l);
	loop_put(l, f);
}

static void on_dial_failed(void *arg, uint32_t no, const char *addr, enum err why)
{
	(void)arg, (void)no;
	report(REPORT_DEBUG, "no connection to %s: %s", addr, err_text(why));
}

bool loop_session(struct loop *l, uint64_t id, struct loop_session *ret)
{
	struct link_stats stats;

	loop_lock(l);
	struct session *s = session_of(l, id);

	if (s)
		*ret = s->shown;
	loop_unlock(l);
	if (!s)
		return false;
	if (link_stats(l->link, id, &stats)) {
		ret->sent = stats.sent;
		ret->received = stats.received;
		ret->rtt_usec = stats.rtt_usec;
	}
	return true;
}

/* ---- addresses ---- */

static void add_addr(char *text, size_t size, const char *host, bool v6, uint16_t port)
{
	char one[80];
	size_t len = strlen(text);
	int n = snprintf(one, sizeof(one), v6 ? "%s[%s]:%u" : "%s%s:%u", len ? "," : "", host,
			 port);

	if (n > 0 && len + (size_t)n < size) /* what does not fit is left out */
		memcpy(text + len, one, (size_t)n + 1);
}

/* The machine's own addresses, loopback last. */
static void interface_addrs(char *text, size_t size, uint16_t port, bool v6)
{
	struct ifaddrs *list, *i;
	char host[INET6_ADDRSTRLEN];

	if (getifaddrs(&list) < 0)
		list = NULL;
	for (i = list; i; i = i->ifa_next) {
		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		if (i->ifa_addr->sa_family == AF_INET) {
			struct sockaddr_in in;

			memcpy(&in, i->ifa_addr, sizeof(in));
			if (inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host)))
				add_addr(text, size, host, false, port);
		} else if (i->ifa_addr->sa_family == AF_INET6 && v6) {
			struct sockaddr_in6 in6;

			memcpy(&in6, i->ifa_addr, sizeof(in6));
			if (!IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) &&
			    inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host)))
				add_addr(text, size, host, true, port);
		}
	}
	if (list)
		freeifaddrs(list);
	add_addr(text, size, "127.0.0.1", false, port);
}

static void find_addrs(struct loop *l, char ret[LOOP_ADDRS_MAX])
{
	const char *colon = strrchr(l->listen, ':');
	size_t host = colon ? (size_t)(colon - l->listen) : 0;

	ret[0] = 0;
	if (l->c.announce && l->c.announce[0]) {
		(void)snprintf(ret, LOOP_ADDRS_MAX, "%s", l->c.announce);
		return;
	}
	if (!l->listen[0])
		return;
	bool any4 = host == 0 || strncmp(l->listen, "0.0.0.0", host) == 0 || l->listen[0] == '*';
	bool any6 = strncmp(l->listen, "[::]", 4) == 0;

	if (any4 || any6)
		interface_addrs(ret, LOOP_ADDRS_MAX, l->port, any6);
	else
		(void)snprintf(ret, LOOP_ADDRS_MAX, "%.*s:%u", (int)host, l->listen, l->port);
}

void loop_addrs(struct loop *l, char ret[LOOP_ADDRS_MAX])
{
	loop_lock(l);
	memcpy(ret, l->addrs, LOOP_ADDRS_MAX);
	loop_unlock(l);
}

uint16_t loop_port(const struct loop *l)
{
	return l->port;
}

enum err loop_listen(struct loop *l, const char *addr)
{
	enum err e = link_listen(l->link, addr, &l->port);

	if (e)
		return e;
	(void)snprintf(l->listen, sizeof(l->listen), "%s", addr);
	find_addrs(l, l->addrs);
	return ERR_OK;
}

/* ---- time ---- */

static void look_around(struct loop *l, uint64_t now)
{
	char addrs[LOOP_ADDRS_MAX];
	uint64_t slept = clock_slept_usec();

	if (slept > l->slept + WOKEN_USEC)
		link_dial_now(l->link);
	l->slept = slept;
	if (now < l->next_addrs)
		return;
	l->next_addrs = now + ADDRS_USEC;
	find_addrs(l, addrs);
	if (strcmp(addrs, l->addrs) == 0)
		return;
	loop_lock(l);
	memcpy(l->addrs, addrs, sizeof(addrs));
	loop_unlock(l);
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(l, i)); i++) {
		loop_announce(l, f);
		loop_put(l, f);
	}
}

static void on_beat(uv_timer_t *t)
{
	struct loop *l = t->data;
	uint64_t now = clock_usec();
	bool house = now >= l->next_house;
	int wait = BEAT_MS;
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(l, i)); i++) {
		if (house || host_timeout(f->host) == 0)
			host_tick(f->host);
		int due = host_timeout(f->host);

		if (due >= 0 && due < wait)
			wait = due;
		loop_put(l, f);
	}
	if (house) {
		l->next_house = now + HOUSE_USEC;
		look_around(l, now);
	}
	if (!l->ending)
		(void)uv_timer_start(&l->beat, on_beat, (uint64_t)MAX(wait, 1), 0);
}

/* ---- the loop ---- */

static void on_wake(uv_async_t *a)
{
	jobs_run(a->data);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct loop *l = s->data;

	if (l->c.signalled)
		l->c.signalled(l->c.arg, number);
}

static enum err handles(struct loop *l)
{
	static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};

	if (uv_async_init(&l->uv, &l->wake, on_wake) || uv_timer_init(&l->uv, &l->beat))
		return fail(ERR_IO);
	l->wake.data = l->beat.data = l;
	if (uv_timer_start(&l->beat, on_beat, 1, 0))
		return fail(ERR_IO);
	for (int i = 0; i < 3; i++) {
		if (uv_signal_init(&l->uv, &l->signals[i]) ||
		    uv_signal_start(&l->signals[i], on_signal, numbers[i]))
			return fail(ERR_IO);
		l->signals[i].data = l;
	}
	return ERR_OK;
}

enum err loop_new(const struct loop_config *c, struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return fail(ERR_NOMEM);
	struct link_ops ops = {.arg = l,
			       .authorise = on_authorise,
			       .up = on_up,
			       .message = on_message,
			       .down = on_down,
			       .dial_failed = on_dial_failed};

	l->c = *c;
	l->jobs_last = &l->jobs;
	l->next_no = 1;
	l->slept = clock_slept_usec();
	(void)pthread_mutex_init(&l->mutex, NULL);
	(void)pthread_cond_init(&l->changed, NULL);
	if (uv_loop_init(&l->uv)) {
		free(l);
		return fail(ERR_NOMEM);
	}
	enum err e = handles(l);

	if (!e)
		e = link_new(&l->uv, c->device, &ops, &l->link);
	if (e)
		return e; /* the program ends; half a loop cannot be taken down without running */
	*ret = l;
	return ERR_OK;
}

void loop_run(struct loop *l)
{
	loop_lock(l);
	l->running = true;
	loop_unlock(l);
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	loop_lock(l);
	l->running = false;
	loop_unlock(l);
	jobs_run(l);
}

/* The link is down: nothing but our own handles keeps the loop alive. */
static void on_link_freed(void *arg)
{
	struct loop *l = arg;

	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->beat, NULL);
	for (int i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&l->signals[i], NULL);
}

static enum err end_job(void *arg)
{
	struct loop *l = arg;

	l->ending = true;
	(void)uv_timer_stop(&l->beat);
	link_free(l->link, on_link_freed, l);
	return ERR_OK;
}

void loop_end(struct loop *l)
{
	if (loop_call(l, end_job, l))
		report(REPORT_WARN, "the loop does not end");
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < LOOP_FOLDERS_MAX; i++)
		assert(!l->folders[i]);
	(void)uv_loop_close(&l->uv);
	(void)pthread_cond_destroy(&l->changed);
	(void)pthread_mutex_destroy(&l->mutex);
	free(l);
}
