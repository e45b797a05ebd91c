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
	ev = (struct event){.kind = EV_UP, .peer = TWINS_SESSION};
	ev.up.device = *b;
	ev.up.joining = true;
	twins_step(t->a, &ev);
	ev = (struct event){.kind = EV_UP, .peer = TWINS_SESSION};
	ev.up.device = *a;
	ev.up.we_join = true;
	memcpy(ev.up.secret, secret, sizeof(secret));
	step_over(t->b, &ev, t->a, TWINS_SESSION);
	host_lock(t->b);
	bool member = node_is_member(host_node(t->b));
	host_unlock(t->b);
	must(member ? ERR_OK : ERR_REFUSED, "joining");
	ev = (struct event){.kind = EV_DOWN, .peer = TWINS_SESSION}; /* A sends nothing by itself */
	twins_step(t->a, &ev);
}

void twins_init(struct twins *t, const char *scratch)
{
	static const char *const names[2] = {"first", "second"};

	*t = (struct twins){.taken = 1};
	snprintf(t->dir, sizeof(t->dir), "%s/peerfs-bench-XXXXXX", scratch);
	if (!mkdtemp(t->dir))
		figure_die(t->dir);
	for (uint8_t k = 0; k < 2; k++) {
		const uint8_t seed[32] = {(uint8_t)(k + 1)};
		sign_pair_init(&t->device[k], seed);
		snprintf(t->store[k], sizeof(t->store[k]), "%s/%s", t->dir, names[k]);
	}
	must(host_found(t->store[0], &t->device[0], names[0], "bench"), "found a folder");
	t->a = open_store(t->store[0], &t->device[0], names[0]);
	must(host_prepare(t->store[1], &t->device[1], host_folder(t->a), "bench"), "make a store");
	t->b = open_store(t->store[1], &t->device[1], names[1]);
	let_in(t, &t->device[0].pub, &t->device[1].pub);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void twins_close(struct twins *t)
{
	host_close(t->a);
	host_close(t->b);
	t->a = t->b = NULL;
}

void twins_fini(struct twins *t)
{
	twins_close(t);
	if (nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		figure_die(t->dir);
}

/* ---- what one does ---- */

struct inode_id twins_make(struct host *h, struct inode_id dir, const char *name,
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
	twins_step(h, &ev);
	wr_fini(&content);
	return ev.make.inode;
}

void twins_rename(struct host *h, const struct place *from, const struct place *to)
{
	struct event ev = {.kind = EV_RENAME};

	ev.rename.from_dir = from->parent;
	ev.rename.from = from->name;
	ev.rename.to_dir = to->parent;
	ev.rename.to = to->name;
	twins_step(h, &ev);
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
	host_unlock(t->a);
}

void twins_give(struct twins *t, const struct twins_messages *m)
{
	for (uint32_t k = 0; k < m->count; k++)
		inbox_message(t->b, TWINS_SESSION, m->at[k]);
}

/* ---- what they show ---- */

static void digest(struct host *h, struct hash *ret)
{
	host_lock(h);
	must(view_digest(node_view(host_node(h)), ret), "a digest");
	host_unlock(h);
}

void twins_same(struct host *a, struct host *b)
{
	struct hash of_a, of_b;

	digest(a, &of_a);
	digest(b, &of_b);
	must(memcmp(&of_a, &of_b, sizeof(of_a)) == 0 ? ERR_OK : ERR_DAMAGED,
	     "both show the same tree");
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
