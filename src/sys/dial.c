// SPDX-License-Identifier: MIT
/*
 * dial.c - whom to dial, when, and at which address
 *
 * A keep is a device that the owner wants a session with.  All its addresses are tried at once,
 * since most are dead most of the time (another network, another day) and waiting for each in
 * turn would take longer than a user does; the first to answer as that device wins, and the others
 * end before they have said who we are.  When all have failed, the next round comes after a wait
 * that doubles, jittered by half, so that a folder's devices do not dial in step.
 *
 * I1  tries counts the dials and look-ups under way; no round begins while there are any
 * I2  no round begins while there is a session
 *
 * Loop thread only; called by link.c and conn.c.
 */
#include "sys/link_impl.h"
#include <stdlib.h>

enum err dial_split(const char *text, size_t len, char host[LINK_ADDR_TEXT], char port[8])
{
	const char *colon = memrchr(text, ':', len);

	if (!colon || len >= LINK_ADDR_TEXT)
		return fail(ERR_INVAL);
	size_t host_len = (size_t)(colon - text), port_len = len - host_len - 1;
	if (port_len == 0 || port_len > 5 || strspn(colon + 1, "0123456789") < port_len ||
	    strtoul(colon + 1, NULL, 10) > 65535)
		return fail(ERR_INVAL);
	if (host_len && text[0] == '[') {
		if (host_len < 3 || text[host_len - 1] != ']')
			return fail(ERR_INVAL);
		text++;
		host_len -= 2;
	} else if (memchr(text, ':', host_len)) {
		return fail(ERR_INVAL); /* V6 without brackets: where would its port begin? */
	}
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	memcpy(port, colon + 1, port_len);
	port[port_len] = '\0';
	return ERR_OK;
}

static struct keep *find(struct link *l, uint32_t folder, const struct device_id *who)
{
	for (struct keep *k = l->keeps; k; k = k->next)
		if (k->folder == folder && memcmp(k->who.b, who->b, sizeof(who->b)) == 0)
			return k;
	return NULL;
}

/* Half to the whole of the wait, and the next is twice as long. */
static void back_off(struct link *l, struct keep *k)
{
	const struct link_times *t = &l->times;
	uint64_t half = k->wait_ms / 2;

	k->next_ms = uv_now(l->loop) + half + rng_below(&l->rng, half + 1);
	k->wait_ms = MIN(k->wait_ms * 2, (uint64_t)t->retry_max_ms);
	link_arm(l, k->next_ms);
}

/* One less under way; the last that ends without a session makes the keep wait. */
static void one_over(struct link *l, struct keep *k)
{
	assert(k->tries);
	if (--k->tries == 0 && !conn_busy(l, k->folder, &k->who))
		back_off(l, k);
}

void dial_over(struct link *l, struct keep *k, const char *addr, enum err why)
{
	bool quiet = why == ERR_OK || why == ERR_EXIST || why == ERR_CANCELED ||
		     conn_busy(l, k->folder, &k->who);

	if (!quiet)
		l->ops.dial_failed(l->ops.arg, k->folder, addr, why);
	one_over(l, k);
}

void dial_lost(struct link *l, uint32_t folder, const struct device_id *who, uint64_t lived_ms)
{
	struct keep *k = find(l, folder, who);

	if (!k)
		return;
	if (lived_ms >= l->times.half_open_ms) /* else it may be refused at once, again and again */
		k->wait_ms = l->times.retry_min_ms;
	if (k->tries == 0)
		back_off(l, k);
}

static void dial_address(struct link *l, struct keep *k, const char *addr,
			 const struct sockaddr *to)
{
	struct conn *c = conn_new(l, k, addr);

	if (c)
		conn_dial(c, to);
	else
		l->ops.dial_failed(l->ops.arg, k->folder, addr, ERR_FULL);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct resolve *r = req->data;
	struct link *l = r->link;
	struct keep *k = l->freeing ? NULL : r->keep;
	unsigned count = 0;

	for (struct resolve **at = &l->resolving; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	if (k && !status && !conn_busy(l, k->folder, &k->who))
		for (struct addrinfo *a = res; a && count < LINK_ADDRS_MAX; a = a->ai_next, count++)
			dial_address(l, k, r->addr, a->ai_addr);
	if (k && status)
		dial_over(l, k, r->addr, fail(ERR_UNREACHABLE));
	else if (k)
		one_over(l, k);
	uv_freeaddrinfo(res);
	free(r);
	link_handle_closed(l);
}

/* Names may take seconds; libuv looks them up on another thread. */
static enum err look_up(struct link *l, struct keep *k, const char *addr, const char *host,
			const char *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return fail(ERR_NOMEM);
	r->link = l;
	r->keep = k;
	r->req.data = r;
	snprintf(r->addr, sizeof(r->addr), "%s", addr);
	if (uv_getaddrinfo(l->loop, &r->req, on_resolved, host, port, &hints)) {
		free(r);
		return fail(ERR_INVAL);
	}
	r->next = l->resolving;
	l->resolving = r;
	l->handles++;
	k->tries++;
	return ERR_OK;
}

static enum err dial_one(struct link *l, struct keep *k, const char *addr)
{
	char host[LINK_ADDR_TEXT], port[8];
	struct sockaddr_in six4;
	struct sockaddr_in6 six;

	enum err e = dial_split(addr, strlen(addr), host, port);
	if (e)
		return e;
	int number = (int)strtoul(port, NULL, 10);
	if (host[0] == '\0' || number == 0)
		return fail(ERR_INVAL);
	if (uv_ip4_addr(host, number, &six4) == 0)
		dial_address(l, k, addr, (struct sockaddr *)&six4);
	else if (uv_ip6_addr(host, number, &six) == 0)
		dial_address(l, k, addr, (struct sockaddr *)&six);
	else
		return look_up(l, k, addr, host, port);
	return ERR_OK;
}

static void round_start(struct link *l, struct keep *k)
{
	const char *at = k->addrs;
	unsigned count = 0;

	k->tries++; /* of this loop, lest a dial that fails at once ends the round */
	while (*at && count < LINK_ADDRS_MAX) {
		char addr[LINK_ADDR_TEXT];
		size_t len = strcspn(at, ",");
		size_t fits = MIN(len, sizeof(addr) - 1);

		memcpy(addr, at, fits);
		addr[fits] = '\0';
		at += len + (at[len] == ',');
		if (len == 0)
			continue;
		count++;
		enum err e = dial_one(l, k, addr);
		if (e)
			l->ops.dial_failed(l->ops.arg, k->folder, addr, e);
	}
	one_over(l, k);
}

uint64_t dial_tick(struct keep *k, struct link *l, uint64_t now)
{
	if (k->tries || conn_busy(l, k->folder, &k->who))
		return UINT64_MAX; /* I1, I2 */
	if (now < k->next_ms)
		return k->next_ms;
	round_start(l, k);
	return k->tries ? UINT64_MAX : k->next_ms;
}

/* ---- commands ---- */

static void soon(struct link *l, struct keep *k)
{
	k->wait_ms = l->times.retry_min_ms;
	k->next_ms = 0;
	link_arm(l, 0);
}

static void keep(struct link *l, struct command *m)
{
	struct keep *k = find(l, m->folder, &m->who);
	bool fresh = !k;

	if (fresh)
		k = calloc(1, sizeof(*k));
	if (!k) {
		l->ops.dial_failed(l->ops.arg, m->folder, m->addrs, fail(ERR_NOMEM));
		return;
	}
	if (fresh) {
		k->folder = m->folder;
		k->who = m->who;
		k->next = l->keeps;
		l->keeps = k;
	}
	bool differs = fresh || k->joining != m->joining || strcmp(k->addrs, m->addrs) != 0;
	free(k->addrs);
	k->addrs = m->addrs;
	k->joining = m->joining;
	m->addrs = NULL;
	if (differs)
		soon(l, k);
	pthread_mutex_lock(&l->lock);
	l->keeps_count -= !fresh; /* link_keep() had counted it as one more */
	pthread_mutex_unlock(&l->lock);
}

/* Its dials end without a word to the owner, who does not want them any more. */
static void drop(struct link *l, struct keep **at)
{
	struct keep *k = *at;
	struct conn *next;

	*at = k->next;
	for (struct resolve *r = l->resolving; r; r = r->next)
		if (r->keep == k)
			r->keep = NULL;
	for (struct conn *c = l->conns; c; c = next) {
		next = c->next;
		if (c->keep != k)
			continue;
		c->keep = NULL;
		conn_end(c, ERR_CANCELED);
	}
	free(k->addrs);
	free(k);
	pthread_mutex_lock(&l->lock);
	l->keeps_count--;
	pthread_mutex_unlock(&l->lock);
}

static void folder_gone(struct link *l, uint32_t folder)
{
	struct conn *next;

	for (struct keep **at = &l->keeps; *at;)
		if ((*at)->folder == folder)
			drop(l, at);
		else
			at = &(*at)->next;
	for (struct conn *c = l->conns; c; c = next) {
		next = c->next;
		if (c->state == CONN_UP && c->folder == folder)
			conn_end(c, ERR_CLOSED);
	}
}

void dial_run(struct link *l, struct command *take)
{
	switch (take->kind) {
	case COMMAND_KEEP:
		keep(l, take);
		break;
	case COMMAND_FORGET:
		for (struct keep **at = &l->keeps; *at; at = &(*at)->next)
			if (*at == find(l, take->folder, &take->who)) {
				drop(l, at);
				break;
			}
		break;
	case COMMAND_DIAL:
		for (struct keep *k = l->keeps; k; k = k->next)
			soon(l, k);
		break;
	case COMMAND_GONE:
		folder_gone(l, take->folder);
		break;
	}
	free(take->addrs);
	free(take);
}

void dial_free(struct link *l)
{
	while (l->keeps)
		drop(l, &l->keeps);
	for (struct resolve *r = l->resolving; r; r = r->next)
		(void)uv_cancel((uv_req_t *)&r->req); /* on_resolved() comes all the same */
}
