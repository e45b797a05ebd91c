// SPDX-License-Identifier: MIT
/*
 * conn.c - one connection from its first byte to its last: frames, writes, its end
 *
 *	dial:	DIALLING --connected--> HELLO --sent the third--> WAITING --first frame--> UP
 *	accept:	HELLO --third message, authorised, no better session--> UP
 *	UP --link_close()--> DRAINING --> DEAD;  any state --conn_end()--> DEAD --> freed
 *
 * The steps from HELLO to UP are meet.c's.
 *
 * I1  up() and down() alternate for an id, and come from the top of the loop, never inside a call
 *     of the owner's
 * I2  a connection in the state DEAD touches nothing but its own memory
 * I3  at most one write is with libuv; nothing is sealed while it is
 *
 * Loop thread, except for the fields under the lock.
 */
#include "sys/clock.h"
#include "sys/link_impl.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SAY_EVERY_MS 60000
#define BATCHES_MAX 8 /* written in one go before others have their turn */
#define UNSENT_MAX (128 << 10) /* left to the kernel: what lies there cannot be overtaken */

static_assert(CONN_READ_HELLO >= HELLO_MAX + 2 && CONN_READ_UP >= 2 * FLOW_FRAME_MAX,
	      "a message fits");

/* ---- birth and death ---- */

bool conn_half_open(const struct conn *c)
{
	return !c->dialled && c->state == CONN_HELLO;
}

/* conn_new() has seen that there is one. */
static void slot_take(struct link *l, struct conn *c)
{
	bool found = false;

	pthread_mutex_lock(&l->lock);
	for (uint32_t k = 0; !found && k < LINK_SESSIONS_MAX; k++) {
		uint32_t slot = (l->slot_hint + k) % LINK_SESSIONS_MAX;
		if (l->slots[slot])
			continue;
		l->slots[slot] = c;
		l->slot_hint = slot + 1;
		c->id = ++l->serial * LINK_SESSIONS_MAX + slot;
		found = true;
	}
	pthread_mutex_unlock(&l->lock);
	assert(found);
	l->count++;
}

/* Nobody finds it any more, and what was queued goes. */
static void slot_give(struct conn *c)
{
	struct link *l = c->link;

	l->count--;
	pthread_mutex_lock(&l->lock);
	l->slots[c->id % LINK_SESSIONS_MAX] = NULL;
	c->open = false;
	for (struct conn **at = &l->dirty; *at; at = &(*at)->dirty_next)
		if (*at == c) {
			*at = c->dirty_next;
			break;
		}
	for (size_t k = 0; k < FLOW_CLASSES; k++)
		flow_clear(&c->inbox[k]);
	pthread_mutex_unlock(&l->lock);
}

static void list_add(struct link *l, struct conn *c)
{
	c->prev = l->conns_last;
	if (c->prev)
		c->prev->next = c;
	else
		l->conns = c;
	l->conns_last = c;
}

static void list_remove(struct link *l, struct conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		l->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		l->conns_last = c->prev;
}

struct conn *conn_new(struct link *l, struct keep *k, const char *addr)
{
	struct conn *c = l->count < LINK_SESSIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
	uint8_t e_secret[32];

	if (!c)
		return NULL;
	c->link = l;
	c->keep = k;
	c->dialled = k != NULL;
	c->state = k ? CONN_DIALLING : CONN_HELLO;
	c->hello = malloc(sizeof(*c->hello));
	c->read = malloc(CONN_READ_HELLO);
	c->read_room = CONN_READ_HELLO;
	if (!c->hello || !c->read || uv_tcp_init(l->loop, &c->tcp)) {
		free(c->hello);
		free(c->read);
		free(c);
		return NULL;
	}
	l->handles++;
	c->tcp.data = c;
	c->born_ms = c->heard_ms = uv_now(l->loop);
	snprintf(c->addr, sizeof(c->addr), "%s", addr);
	if (k) {
		c->folder = k->folder;
		c->who = k->who;
		c->joining = k->joining;
		k->tries++;
	}
	rng_bytes(&l->rng, e_secret, sizeof(e_secret));
	hello_init(c->hello, &l->self, c->dialled, e_secret);
	memset(e_secret, 0, sizeof(e_secret));
	list_add(l, c);
	l->half_open += conn_half_open(c);
	slot_take(l, c);
	link_arm(l, c->born_ms + l->times.half_open_ms);
	return c;
}

static void on_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct link *l = c->link;

	if (c->batch && !l->spare)
		l->spare = c->batch;
	else
		free(c->batch);
	for (size_t k = 0; k < FLOW_CLASSES; k++)
		flow_clear(&c->out.queue[k]);
	flow_in_fini(&c->in);
	free(c->read);
	memset(&c->in.cipher, 0, sizeof(c->in.cipher));
	free(c);
	link_handle_closed(l);
}

/* The owner hears of it once (I1). */
static void tell_down(struct conn *c, enum err why)
{
	struct link *l = c->link;

	if (!c->announced)
		return;
	c->announced = false;
	if (!l->freeing)
		l->ops.down(l->ops.arg, c->id, why);
}

/* A stranger that talks nonsense is told of, but cannot fill the log: once a minute. */
static void say_nonsense(struct conn *c, enum err why)
{
	struct link *l = c->link;
	uint64_t now = uv_now(l->loop);

	if (c->dialled || c->announced || l->freeing ||
	    (why != ERR_MALFORMED && why != ERR_FORGED && why != ERR_REFUSED && why != ERR_VERSION))
		return;
	if (l->said_ms && now - l->said_ms < SAY_EVERY_MS)
		return;
	l->said_ms = now;
	report(REPORT_WARN,
	       "%s is no member and was hung up on (%s); if it should be one, look that its "
	       "version is ours and that it has joined",
	       c->addr, err_text(why));
}

void conn_end(struct conn *c, enum err why)
{
	struct link *l = c->link;
	struct keep *k = c->keep;

	if (c->state == CONN_DEAD)
		return;
	say_nonsense(c, why);
	l->half_open -= conn_half_open(c);
	bool was_dial = k && (c->state == CONN_DIALLING || c->state == CONN_HELLO ||
			      c->state == CONN_WAITING);
	bool was_session = c->state == CONN_UP || c->state == CONN_DRAINING;
	c->state = CONN_DEAD;
	c->keep = NULL;
	slot_give(c);
	list_remove(l, c);
	c->hello = hello_free(c->hello);
	uv_close((uv_handle_t *)&c->tcp, on_closed);
	tell_down(c, why);
	if (was_session && !l->freeing)
		dial_lost(l, c->folder, &c->who, uv_now(l->loop) - c->born_ms);
	if (was_dial && !l->freeing)
		dial_over(l, k, c->addr, why);
}

/* Where no callback may be made: the loop ends it as soon as it is back at its top. */
static void doom(struct conn *c, enum err why)
{
	struct link *l = c->link;

	atomic_store(&c->doom, (int)why);
	pthread_mutex_lock(&l->lock);
	c->open = false;
	(void)link_mark(l, c);
	pthread_mutex_unlock(&l->lock);
	(void)uv_async_send(&l->wake);
}

struct conn *conn_find(struct link *l, uint32_t folder, const struct device_id *who)
{
	for (struct conn *c = l->conns; c; c = c->next)
		if (c->state == CONN_UP && c->folder == folder &&
		    memcmp(c->who.b, who->b, sizeof(who->b)) == 0)
			return c;
	return NULL;
}

bool conn_busy(struct link *l, uint32_t folder, const struct device_id *who)
{
	for (struct conn *c = l->conns; c; c = c->next)
		if ((c->state == CONN_UP || c->state == CONN_DRAINING) && c->folder == folder &&
		    memcmp(c->who.b, who->b, sizeof(who->b)) == 0)
			return true;
	return false;
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status)
{
	struct conn *c = req->data;

	c->writing = false;
	if (c->state == CONN_DEAD)
		return;
	if (status < 0)
		conn_end(c, link_err(status));
	else
		conn_flush(c);
}

static void on_shut(uv_shutdown_t *req, int status)
{
	(void)req; /* the peer's end of file, or the clock, ends it */
	(void)status;
}

/* All is written: say so to the peer, and wait for its end of file, lest a reset overtake data. */
static void drained(struct conn *c)
{
	if (c->state != CONN_DRAINING || c->shut)
		return;
	c->shut = true;
	if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shut))
		doom(c, ERR_CLOSED);
}

static bool batch_take(struct conn *c)
{
	struct link *l = c->link;

	if (!c->batch && l->spare) {
		c->batch = l->spare;
		l->spare = NULL;
	}
	if (!c->batch)
		c->batch = malloc(FLOW_BATCH);
	return c->batch != NULL;
}

static void batch_give(struct conn *c)
{
	struct link *l = c->link;

	if (l->spare) {
		free(c->batch);
	} else {
		l->spare = c->batch;
	}
	c->batch = NULL;
}

static void inbox_take(struct conn *c)
{
	pthread_mutex_lock(&c->link->lock);
	for (size_t k = 0; k < FLOW_CLASSES; k++)
		flow_splice(&c->out.queue[k], &c->inbox[k]);
	pthread_mutex_unlock(&c->link->lock);
}

/* Hand bytes of the batch to libuv, which calls on_written() later. */
static bool write_later(struct conn *c, size_t from, size_t to)
{
	uv_buf_t buf = uv_buf_init((char *)c->batch + from, (unsigned)(to - from));

	c->write.data = c;
	c->writing = true; /* I3 */
	c->wrote_ms = uv_now(c->link->loop);
	int r = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
	if (r < 0) {
		c->writing = false;
		doom(c, link_err(r));
	}
	return r >= 0;
}

/* One batch; false when there is nothing more to do now. */
static bool write_batch(struct conn *c, bool last)
{
	size_t freed;

	if (!batch_take(c)) {
		doom(c, ERR_NOMEM);
		return false;
	}
	if (c->out.ping_due) {
		c->out.ping = clock_usec();
		c->ping_open = true;
	}
	size_t len = flow_fill(&c->out, c->batch, FLOW_BATCH, &freed);
	atomic_fetch_sub_explicit(&c->queued, freed, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->sent, len, memory_order_relaxed);
	if (last) { /* others have their turn before on_written() goes on */
		(void)write_later(c, 0, len);
		return false;
	}
	uv_buf_t buf = uv_buf_init((char *)c->batch, (unsigned)len);
	int r = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
	if (r < 0 && r != UV_EAGAIN) {
		doom(c, link_err(r));
		return false;
	}
	size_t done = r < 0 ? 0 : (size_t)r;
	if (done == len)
		return true;
	(void)write_later(c, done, len);
	return false;
}

void conn_flush(struct conn *c)
{
	if (c->writing || c->shut || atomic_load(&c->doom) ||
	    (c->state != CONN_UP && c->state != CONN_DRAINING))
		return;
	inbox_take(c);
	for (int k = 1; flow_waiting(&c->out); k++)
		if (!write_batch(c, k == BATCHES_MAX))
			return;
	if (c->batch)
		batch_give(c);
	drained(c);
}

/* ---- reading ---- */

/* Whether it is ours, and seen to: the owner never sees pings. */
enum err conn_ping_came(struct conn *c, struct bytes message, bool *ours)
{
	struct wire_message m;

	*ours = message.at[0] == WIRE_PING || message.at[0] == WIRE_PONG;
	if (!*ours)
		return ERR_OK;
	enum err e = wire_decode(message, &m);
	if (e)
		return e;
	if (m.type == WIRE_PING) {
		c->out.pong = m.number;
		c->out.pong_due = true;
	} else if (c->ping_open && m.number == c->out.ping) {
		uint64_t took = clock_usec() - m.number;
		c->ping_open = false;
		atomic_store_explicit(&c->rtt_usec, MAX(took, (uint64_t)1), memory_order_relaxed);
	}
	return ERR_OK;
}

static enum err frame_came(struct conn *c, uint8_t *sealed, size_t len)
{
	struct link *l = c->link;
	struct bytes message;
	bool ours;

	enum err e = flow_take(&c->in, sealed, len, &message);
	if (e || message.len == 0)
		return e;
	e = conn_ping_came(c, message, &ours);
	if (e || ours)
		return e;
	l->ops.message(l->ops.arg, c->id, message);
	return ERR_OK;
}

static size_t length_max(const struct conn *c)
{
	return c->state == CONN_HELLO     ? HELLO_MAX
	       : c->state == CONN_WAITING ? CONN_READ_HELLO - 2
					  : NOISE_MESSAGE_MAX;
}

/* What lies in the read buffer, frame by frame; stops when the connection ends. */
static enum err parse(struct conn *c)
{
	size_t at = 0;
	enum err e = ERR_OK;

	while (!e && !atomic_load(&c->doom) && c->read_len - at >= 2) {
		size_t len = (size_t)c->read[at] << 8 | c->read[at + 1];
		if (len > length_max(c))
			return fail(ERR_MALFORMED);
		if (c->read_len - at - 2 < len)
			break;
		if (c->state == CONN_HELLO)
			e = meet_came(c, (struct bytes){c->read + at + 2, len});
		else if (c->state == CONN_WAITING)
			e = meet_first_frame(c, at + 2, len);
		else if (c->state == CONN_UP)
			e = frame_came(c, c->read + at + 2, len);
		at += 2 + len;
	}
	if (!e && at) {
		memmove(c->read, c->read + at, c->read_len - at);
		c->read_len -= at;
	}
	return e;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct conn *c = h->data;

	(void)suggested;
	if (c->state == CONN_DRAINING)
		c->read_len = 0; /* it goes nowhere */
	*buf = uv_buf_init((char *)c->read + c->read_len, (unsigned)(c->read_room - c->read_len));
}

/* A dial that the other side closes at the end of the handshake was refused. */
static enum err end_of_file(const struct conn *c)
{
	return c->state == CONN_WAITING || c->state == CONN_HELLO ? ERR_REFUSED : ERR_CLOSED;
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = s->data;
	struct link *l = c->link;

	(void)buf;
	if (n == 0 || c->state == CONN_DEAD)
		return;
	if (n < 0) {
		conn_end(c, n == UV_EOF || n == UV_ECONNRESET ? end_of_file(c) : link_err((int)n));
		return;
	}
	c->read_len += (size_t)n;
	c->heard_ms = uv_now(l->loop);
	atomic_fetch_add_explicit(&c->received, (uint64_t)n, memory_order_relaxed);
	if (c->state == CONN_DRAINING)
		return;
	l->corked++;
	enum err e = parse(c);
	l->corked--;
	if (e)
		conn_end(c, e);
	else if (c->out.pong_due)
		conn_flush(c);
	link_run(l); /* what the owner answered to the messages of this batch */
}

/* ---- TCP ---- */

static enum err start(struct conn *c)
{
	const int unsent = UNSENT_MAX;
	uv_os_fd_t fd;

	(void)uv_tcp_nodelay(&c->tcp, 1); /* both are only for speed */
	if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	int r = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
	return r ? fail(link_err(r)) : ERR_OK;
}

static void on_connected(uv_connect_t *req, int status)
{
	struct conn *c = req->data;

	if (c->state == CONN_DEAD)
		return;
	enum err e = status < 0 ? fail(link_err(status)) : start(c);
	c->state = e ? c->state : CONN_HELLO;
	if (!e)
		e = meet_write(c);
	if (e)
		conn_end(c, e);
}

void conn_dial(struct conn *c, const struct sockaddr *to)
{
	c->connecting.data = c;
	int r = uv_tcp_connect(&c->connecting, &c->tcp, to, on_connected);
	if (r)
		conn_end(c, link_err(r));
}

/* One host may own a whole /64 of IPv6, so that is what counts as one address. */
static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
			      &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 8) == 0;
	return memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr,
		      &((const struct sockaddr_in *)(const void *)b)->sin_addr, 4) == 0;
}

/*
 * Room for one more half-open one: the oldest that has not even knocked makes room, for whoever
 * knows a folder knocks within a round trip and a flood does not.
 */
static bool admit(struct conn *c)
{
	struct link *l = c->link;
	struct conn *oldest = NULL;
	unsigned same = 0;

	for (struct conn *o = l->conns; o; o = o->next)
		if (o != c && conn_half_open(o)) {
			same += same_address(&o->from, &c->from);
			if (!oldest || (oldest->knocked && !o->knocked))
				oldest = o;
		}
	if (same >= LINK_PER_ADDRESS_MAX)
		return false;
	if (l->half_open > LINK_HALF_OPEN_MAX && oldest)
		conn_end(oldest, ERR_FULL);
	return true;
}

static void name_peer(struct conn *c)
{
	char host[64] = "?";
	int len = sizeof(c->from), port = 0;

	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&c->from, &len))
		return;
	if (c->from.ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)&c->from;
		(void)uv_ip6_name(a, host, sizeof(host));
		port = ntohs(a->sin6_port);
	} else {
		const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)&c->from;
		(void)uv_ip4_name(a, host, sizeof(host));
		port = ntohs(a->sin_port);
	}
	bool six = c->from.ss_family == AF_INET6;
	snprintf(c->addr, sizeof(c->addr), "%s%s%s:%d", six ? "[" : "", host, six ? "]" : "", port);
}

void conn_accept(struct listener *from)
{
	struct link *l = from->link;
	struct conn *c = conn_new(l, NULL, "");

	/* Not taking it up stops libuv from accepting more: link_handle_closed() tries again. */
	from->waiting = c == NULL;
	if (!c)
		return;
	int r = uv_accept((uv_stream_t *)&from->tcp, (uv_stream_t *)&c->tcp);
	name_peer(c);
	enum err e = r ? link_err(r) : admit(c) ? start(c) : ERR_FULL;
	if (e)
		conn_end(c, e);
}

/* ---- what others left to do, and time ---- */

void conn_dirty(struct conn *c)
{
	struct link *l = c->link;

	pthread_mutex_lock(&l->lock);
	bool closing = c->closing;
	enum err why = c->why;
	pthread_mutex_unlock(&l->lock);
	if (atomic_load(&c->doom)) {
		conn_end(c, (enum err)atomic_load(&c->doom));
		return;
	}
	if (closing && c->state == CONN_UP) {
		c->state = CONN_DRAINING;
		c->pinged_ms = uv_now(l->loop);
		link_arm(l, c->pinged_ms + LINK_DRAIN_MS);
		tell_down(c, why);
	}
	conn_flush(c);
}

uint64_t conn_tick(struct conn *c, uint64_t now)
{
	const struct link_times *t = &c->link->times;

	switch (c->state) {
	case CONN_DIALLING:
	case CONN_HELLO:
	case CONN_WAITING:
		if (now < c->born_ms + t->half_open_ms)
			return c->born_ms + t->half_open_ms;
		conn_end(c, ERR_TIMEDOUT);
		return UINT64_MAX;
	case CONN_DRAINING:
		if (now < c->pinged_ms + LINK_DRAIN_MS)
			return c->pinged_ms + LINK_DRAIN_MS;
		conn_end(c, ERR_CLOSED);
		return UINT64_MAX;
	case CONN_DEAD:
		return UINT64_MAX;
	case CONN_UP:
		break;
	}
	if (now >= c->heard_ms + t->dead_ms || (c->writing && now >= c->wrote_ms + t->dead_ms)) {
		conn_end(c, ERR_TIMEDOUT);
		return UINT64_MAX;
	}
	if (now >= c->pinged_ms + t->keepalive_ms) {
		c->pinged_ms = now;
		c->out.ping_due = true;
		flow_in_trim(&c->in);
		conn_flush(c);
	}
	return MIN(c->heard_ms + t->dead_ms, c->pinged_ms + t->keepalive_ms);
}
