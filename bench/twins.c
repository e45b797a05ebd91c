// SPDX-License-Identifier: MIT
/* twins.c - see twins.h */
#include "twins.h"
#include "core/node_impl.h"
#include "figure.h"
#include "sys/host_impl.h"
#include "sys/inbox.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void must(enum err e, const char *what)
{
	if (!e)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, err_text(e));
	exit(1);
}

void twins_step(struct host *h, struct event *ev)
{
	must(host_step(h, ev), "a step");
}

/* ---- messages ---- */

static void append(struct twins_messages *m, struct bytes take)
{
	if (m->count == m->room) {
		m->room = m->room ? m->room * 2 : 64;
		m->at = realloc(m->at, m->room * sizeof(*m->at));
		if (!m->at)
			figure_die("memory");
	}
	m->at[m->count++] = take;
	m->bytes += take.len;
}

void twins_messages_fini(struct twins_messages *m)
{
	for (uint32_t k = 0; k < m->count; k++)
		free((void *)(uintptr_t)m->at[k].at);
	free(m->at);
	*m = (struct twins_messages){0};
}

/* ---- making them ---- */

static struct sign_pair keys_of(uint8_t number)
{
	const uint8_t seed[32] = {number};
	struct sign_pair p;

	sign_pair_init(&p, seed);
	return p;
}

static struct host *open_store(const char *store, const struct sign_pair *device, const char *name)
{
	struct host_config c = {.store = store, .device = device, .device_name = name};
	struct host *h;

	must(host_open(&c, &h), "open a store");
	return h;
}

/* What the other one does with a message of the joining; its own answers come back so. */
static void hear(struct host *h, struct bytes whole, struct host *from, uint64_t session);

/* A step whose messages are given to the other one, once they are carried out here. */
static void step_over(struct host *h, struct event *ev, struct host *to, uint64_t session)
{
	struct twins_messages said = {0};
	struct actions a;

	must(host_begin(h, ev, &a), "a step");
	for (uint32_t k = 0; k < a.count; k++) {
		if (a.at[k].kind != ACT_SEND)
			continue;
		append(&said, (struct bytes){a.at[k].send.message, a.at[k].send.len});
		a.at[k].send.message = NULL;
	}
	host_end(h, &a);
	for (uint32_t k = 0; k < said.count; k++)
		hear(to, said.at[k], h, session);
	twins_messages_fini(&said);
}

static void hear(struct host *h, struct bytes whole, struct host *from, uint64_t session)
{
	struct event ev = {.peer = session};
	struct wire_message m;

	must(wire_decode(whole, &m), "a message");
	if (m.type == WIRE_VECTOR)
		vector_unref(m.vector.applied);
	if (m.type != WIRE_JOIN && m.type != WIRE_ROSTER)
		return;
	ev.kind = m.type == WIRE_JOIN ? EV_JOIN : EV_ROSTER;
	if (m.type == WIRE_JOIN)
		ev.join = m.join;
	else
		ev.message.bytes = whole;
	step_over(h, &ev, from, session);
}

/* B asks A to be let in, as over a session; then both have the other as a member's session. */
static void let_in(struct twins *t, const struct device_id *a, const struct device_id *b)
{
	struct event ev = {.kind = EV_INVITE};
	uint8_t secret[32] = {7};

	memcpy(ev.invite.secret, secret, sizeof(secret));
	ev.invite.role = ROLE_WRITER;
	ev.invite.expires_ms = INT64_MAX;
	twins_step(t->a, &ev);
	ev = (struct event){.kind = EV_UP, .peer = 1};
	ev.up.device = *b;
	ev.up.joining = true;
	twins_step(t->a, &ev);
	ev = (struct event){.kind = EV_UP, .peer = 1};
	ev.up.device = *a;
	ev.up.we_join = true;
	memcpy(ev.up.secret, secret, sizeof(secret));
	step_over(t->b, &ev, t->a, 1);
	host_lock(t->b);
	bool member = node_is_member(host_node(t->b));
	host_unlock(t->b);
	must(member ? ERR_OK : ERR_REFUSED, "joining");
	ev = (struct event){.kind = EV_DOWN, .peer = 1}; /* A sends nothing by itself */
	twins_step(t->a, &ev);
}

void twins_init(struct twins *t, const char *scratch)
{
	static struct sign_pair a, b; /* hosts keep a pointer to theirs */
	char store[2][300];

	*t = (struct twins){.taken = 1, .a_session = 1};
	a = keys_of(1);
	b = keys_of(2);
	snprintf(t->dir, sizeof(t->dir), "%s/peerfs-bench-XXXXXX", scratch);
	if (!mkdtemp(t->dir))
		figure_die(t->dir);
	snprintf(store[0], sizeof(store[0]), "%s/a", t->dir);
	snprintf(store[1], sizeof(store[1]), "%s/b", t->dir);
	must(host_found(store[0], &a, "first", "bench"), "found a folder");
	t->a = open_store(store[0], &a, "first");
	must(host_prepare(store[1], &b, host_folder(t->a), "bench"), "make a store");
	t->b = open_store(store[1], &b, "second");
	let_in(t, &a.pub, &b.pub);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void twins_fini(struct twins *t)
{
	host_close(t->a);
	host_close(t->b);
	if (nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		figure_die(t->dir);
}

/* ---- what A does ---- */

struct inode_id twins_make(struct twins *t, struct inode_id dir, const char *name,
			   enum inode_type type)
{
	struct event ev = {.kind = EV_MAKE};
	struct wr content = {0};

	ev.make.dir = dir;
	ev.make.name = bytes_text(name);
	ev.make.what.type = type;
	ev.make.what.mode = type == TYPE_DIR ? 0755 : 0644;
	if (type == TYPE_FILE) {
		manifest_inline(&content, bytes_text(name));
		ev.make.what.content = wr_view(&content);
		ev.make.what.mtime_ns = INT64_C(1700000000) * 1000000000;
	}
	twins_step(t->a, &ev);
	wr_fini(&content);
	return ev.make.inode;
}

void twins_rename(struct twins *t, struct inode_id from_dir, const char *from,
		  struct inode_id to_dir, const char *to)
{
	struct event ev = {.kind = EV_RENAME};

	ev.rename.from_dir = from_dir;
	ev.rename.from = bytes_text(from);
	ev.rename.to_dir = to_dir;
	ev.rename.to = bytes_text(to);
	twins_step(t->a, &ev);
}

/* ---- from A to B ---- */

void twins_take(struct twins *t, struct twins_messages *m)
{
	struct event ev = {.kind = EV_CUT};

	twins_step(t->a, &ev);
	host_lock(t->a);
	const struct log *log = host_node(t->a)->log;
	for (; t->taken < log_arrivals(log); t->taken++) {
		struct arrival r;
		must(log_arrival(host_node(t->a)->log, t->taken, &r), "an own bundle");
		uint8_t *message = malloc(1 + (size_t)r.len);
		if (!message)
			figure_die("memory");
		message[0] = WIRE_BUNDLE;
		must(files_journal_read(host_files(t->a), r.at, message + 1, r.len), "the journal");
		append(m, (struct bytes){message, 1 + (size_t)r.len});
	}
	host_node(t->a)->cut_all = false; /* what comes next gathers in full bundles again */
	host_unlock(t->a);
}

void twins_give(struct twins *t, const struct twins_messages *m)
{
	for (uint32_t k = 0; k < m->count; k++)
		inbox_message(t->b, t->a_session, m->at[k]);
}

/* ---- what they show ---- */

static void digest(struct host *h, struct hash *ret)
{
	host_lock(h);
	must(view_digest(node_view(host_node(h)), ret), "a digest");
	host_unlock(h);
}

void twins_same(struct twins *t)
{
	struct hash a, b;

	digest(t->a, &a);
	digest(t->b, &b);
	must(memcmp(&a, &b, sizeof(a)) == 0 ? ERR_OK : ERR_DAMAGED, "both show the same tree");
}

void twins_flush(struct host *h)
{
	must(index_flush(h->index), "the index");
}

uint64_t twins_inodes(struct host *h)
{
	host_lock(h);
	uint64_t n = view_inodes(node_view(host_node(h)));
	host_unlock(h);
	return n;
}
