// SPDX-License-Identifier: MIT
/*
 * tell.c - from the state of nodes to JSON
 *
 * Everything is copied out under a node's lock first and made into JSON after, so that a question
 * holds nobody up.  The names of fields are an interface: peerfs(1) lists them.
 */
#include "prog/tell.h"
#include <stdlib.h>
#include <unistd.h>

#define ASIDE_MAX 256 /* incarnations told */
#define FORKS_MAX 64

static json_t *hex(const uint8_t *at, size_t len)
{
	char text[2 * HASH_LEN + 1];

	for (size_t i = 0; i < len && i < HASH_LEN; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", at[i]);
	return json_string(text);
}

json_t *tell_text(const char *s)
{
	json_t *j = json_string(s);
	size_t len = strlen(s);

	if (j)
		return j;
	char *safe = malloc(len * 3 + 1), *to = safe;

	if (!safe)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x80) {
			*to++ = s[i];
			continue;
		}
		memcpy(to, "\xef\xbf\xbd", 3);
		to += 3;
	}
	*to = 0;
	j = json_string(safe);
	free(safe);
	return j;
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* ---- folders ---- */

struct picture { /* of a folder, copied under its lock */
	struct node_counts counts;
	uint32_t members_count;
	struct node_member members[MEMBERS_MAX];
	uint32_t aside_count;
	struct node_aside aside[ASIDE_MAX];
	uint32_t forks_count;
	struct node_fork forks[FORKS_MAX];
	enum role role;
	bool member;
};

static struct picture *picture_take(struct daemon *d, struct folder *f)
{
	struct picture *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	host_lock(f->host);
	node_counts(host_node(f->host), &p->counts);
	p->members_count = node_members(host_node(f->host), p->members, MEMBERS_MAX);
	p->aside_count = node_aside(host_node(f->host), p->aside, ASIDE_MAX);
	p->forks_count = node_forks(host_node(f->host), p->forks, FORKS_MAX);
	p->role = node_role(host_node(f->host), &d->device.pub);
	p->member = node_is_member(host_node(f->host));
	host_unlock(f->host);
	return p;
}

static void add_counts(json_t *o, const struct node_counts *c)
{
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{"inodes", c->inodes},
		{"bundles", c->bundles},
		{"bundles_waiting", c->waiting_bundles},
		{"records_held", c->records_held},
		{"removed_remembered", c->removed},
		{"files_unsealed", c->works},
		{"bytes_unsealed", c->bytes_unsealed},
		{"reads_waiting", c->parked_reads},
		{"pieces", c->pieces},
		{"piece_bytes", c->piece_bytes},
		{"conflicts", c->conflicts},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		(void)json_object_set_new(o, all[i].name, number(all[i].value));
}

static void add_space(json_t *o, struct host *h)
{
	struct files_space s;

	if (host_space(h, &s))
		return;
	(void)json_object_set_new(o, "store_free", number(s.avail * s.block));
	(void)json_object_set_new(o, "journal_bytes", number(s.journal_bytes));
	(void)json_object_set_new(o, "data_bytes", number(s.data_bytes));
	(void)json_object_set_new(o, "pack_bytes", number(s.pack_bytes));
}

static const char *why_text(enum aside_why why)
{
	switch (why) {
	case ASIDE_BRAKE:
		return "mass change";
	case ASIDE_LIMIT:
		return "not accepted";
	case ASIDE_CAUSES:
		return "follows from others";
	}
	return "";
}

static void add_device(json_t *o, const struct picture *p, const struct device_id *d)
{
	for (uint32_t i = 0; i < p->members_count; i++)
		if (memcmp(&p->members[i].device, d, sizeof(*d)) == 0)
			(void)json_object_set_new(o, "name", tell_text(p->members[i].name));
	(void)json_object_set_new(o, "device", hex(d->b, sizeof(d->b)));
}

/* The logs whose device gave one number to two bundles. */
static json_t *forks_json(const struct picture *p)
{
	json_t *list = json_array();

	for (uint32_t k = 0; k < p->forks_count; k++) {
		json_t *o = json_object();
		add_device(o, p, &p->forks[k].device);
		(void)json_object_set_new(o, "bundles", number(p->forks[k].at.seq));
		(void)json_array_append_new(list, o);
	}
	return list;
}

/* The bundles of each device that are held and not applied. */
static json_t *aside_json(const struct picture *p)
{
	json_t *list = json_array();

	for (uint32_t k = 0; k < p->aside_count; k++) {
		const struct node_aside *a = &p->aside[k];
		json_t *o = json_object();
		add_device(o, p, &a->device);
		(void)json_object_set_new(o, "why", json_string(why_text(a->why)));
		(void)json_object_set_new(o, "bundles", number(a->bundles));
		(void)json_object_set_new(o, "bytes", number(a->bytes));
		if (a->since_ms)
			(void)json_object_set_new(o, "since_ms", json_integer(a->since_ms));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static json_t *folder_json(struct daemon *d, struct folder *f)
{
	struct folders_where where;
	struct picture *p = picture_take(d, f);
	json_t *o = json_object();
	uint64_t connected = 0, members = 0, traffic = 0;

	for (uint32_t i = 0; p && i < p->members_count; i++) {
		members += p->members[i].role != ROLE_NONE;
		connected += p->members[i].connected;
		traffic += p->members[i].fetched;
	}
	folders_where(d, f, &where);
	(void)json_object_set_new(o, "name", tell_text(f->name));
	(void)json_object_set_new(o, "id", hex(f->id.b, HASH_LEN));
	(void)json_object_set_new(o, "mount", tell_text(where.dir));
	(void)json_object_set_new(o, "last_mount", tell_text(where.remembered));
	(void)json_object_set_new(o, "inotify", json_boolean(where.counts.events));
	(void)json_object_set_new(o, "inotify_told", number(where.counts.events_told));
	(void)json_object_set_new(o, "inotify_missed", number(where.counts.events_missed));
	(void)json_object_set_new(o, "store", tell_text(f->store));
	if (p) {
		(void)json_object_set_new(o, "role", json_string(role_text(p->role)));
		(void)json_object_set_new(o, "members", number(members));
		(void)json_object_set_new(o, "connected", number(connected));
		(void)json_object_set_new(o, "fetched_bytes", number(traffic));
		add_counts(o, &p->counts);
		(void)json_object_set_new(o, "set_aside", aside_json(p));
		(void)json_object_set_new(o, "forks", forks_json(p));
	}
	add_space(o, f->host);
	free(p);
	return o;
}

json_t *tell_folder(struct daemon *d, const char *name)
{
	struct folder *f = loop_get(d->loop, name);
	json_t *o = f ? folder_json(d, f) : NULL;

	if (f)
		loop_put(d->loop, f);
	return o;
}

json_t *tell_status(struct daemon *d)
{
	char addrs[LOOP_ADDRS_MAX];
	json_t *list = json_array(), *o;
	struct folder *f;

	loop_addrs(d->loop, addrs);
	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		(void)json_array_append_new(list, folder_json(d, f));
		loop_put(d->loop, f);
	}
	o = json_pack("{s:i, s:s, s:s, s:s, s:i}", "pid", (int)getpid(), "version", PEERFS_VERSION,
		      "name", d->name, "addresses", addrs, "port", (int)loop_port(d->loop));
	(void)json_object_set_new(o, "device", hex(d->device.pub.b, sizeof(d->device.pub.b)));
	(void)json_object_set_new(o, "folders", list);
	(void)json_object_set_new(o, "folders_unopened", number(d->unopened));
	return o;
}

/* ---- peers ---- */

static json_t *member_json(struct daemon *d, const struct folder *f, const struct node_member *m)
{
	struct loop_session s;
	json_t *o = json_object();

	(void)json_object_set_new(o, "folder", tell_text(f->name));
	(void)json_object_set_new(o, "name", tell_text(m->name));
	(void)json_object_set_new(o, "device", hex(m->device.b, sizeof(m->device.b)));
	(void)json_object_set_new(o, "role", json_string(role_text(m->role)));
	(void)json_object_set_new(o, "self", json_boolean(m->self));
	(void)json_object_set_new(o, "connected", json_boolean(m->connected));
	(void)json_object_set_new(o, "addresses", tell_text(m->addr));
	(void)json_object_set_new(o, "lacks_bundles", number(m->lacks));
	(void)json_object_set_new(o, "fetched_bytes", number(m->fetched));
	(void)json_object_set_new(o, "served_bytes", number(m->served));
	if (m->connected && loop_session(d->loop, m->peer, &s)) {
		(void)json_object_set_new(o, "address", tell_text(s.addr));
		(void)json_object_set_new(o, "sent_bytes", number(s.sent));
		(void)json_object_set_new(o, "received_bytes", number(s.received));
		(void)json_object_set_new(o, "round_trip_usec", number(s.rtt_usec));
	}
	return o;
}

json_t *tell_peers(struct daemon *d)
{
	json_t *list = json_array();
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		struct picture *p = picture_take(d, f);

		for (uint32_t k = 0; p && k < p->members_count; k++)
			(void)json_array_append_new(list, member_json(d, f, &p->members[k]));
		free(p);
		loop_put(d->loop, f);
	}
	return json_pack("{s:o}", "peers", list);
}

/* ---- one path ---- */

void tell_path_of(struct view *v, const struct shown *s, char *buf, size_t size)
{
	if (s->kind == SHOWN_ROOT || view_path(v, s->at, buf, size))
		buf[0] = 0;
	size_t len = strlen(buf);

	if (len && buf[len - 1] != '/' && len + 1 < size)
		buf[len++] = '/';
	(void)snprintf(buf + len, size - len, "%.*s", (int)s->name_len, (const char *)s->name);
}

struct folder *tell_folder_at(struct daemon *d, const char *path, const char **rest,
			      struct folders_say *say)
{
	struct folders_where where;
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		folders_where(d, f, &where);
		size_t len = strlen(where.dir);

		if (len && strncmp(path, where.dir, len) == 0 && (path[len] == '/' || !path[len])) {
			*rest = path + len;
			return f;
		}
		loop_put(d->loop, f);
	}
	(void)snprintf(say->text, sizeof(say->text),
		       "%s is in no folder that is mounted here: peerfs status lists them", path);
	return NULL;
}

enum err tell_walk(struct view *v, const char *rest, struct shown *s)
{
	enum err e = ERR_OK;

	memset(s, 0, sizeof(*s));
	s->kind = SHOWN_ROOT;
	s->type = TYPE_DIR;
	s->id = s->file = INODE_ROOT;
	while (!e) {
		while (*rest == '/')
			rest++;
		size_t n = strcspn(rest, "/");

		if (n == 0)
			break;
		struct inode_id dir = s->id;

		e = view_lookup(v, dir, (struct bytes){(const uint8_t *)rest, n}, s);
		rest += n;
	}
	return e;
}

struct looking { /* for one entry among the conflicts */
	const struct shown *only;
	bool seen;
};

static bool look(void *arg, enum conflict_kind kind, const struct shown *s)
{
	struct looking *l = arg;

	(void)kind;
	l->seen |= inode_equal(s->file, l->only->file) || inode_equal(s->id, l->only->id);
	return !l->seen;
}

struct about {
	struct shown s;
	struct node_stat st;
	uint64_t local, size;
	bool failed;
	enum err failure;
	int64_t failed_ms;
	struct looking conflict;
};

static enum err about(struct folder *f, const char *rest, struct about *a)
{
	struct node *n = host_node(f->host);

	memset(a, 0, sizeof(*a));
	host_lock(f->host);
	enum err e = tell_walk(node_view(n), rest, &a->s);

	if (!e)
		e = node_stat(n, a->s.id, 0, &a->st);
	if (!e && a->s.type == TYPE_FILE) {
		e = node_residency(n, a->s.id, &a->local, &a->size);
		a->failed = node_last_failure(n, a->s.id, &a->failure, &a->failed_ms);
	}
	if (!e) {
		a->conflict.only = &a->s;
		e = view_conflicts(node_view(n), look, &a->conflict);
	}
	host_unlock(f->host);
	return e;
}

static const char *state_of(const struct about *a)
{
	if (a->s.type != TYPE_FILE || a->local >= a->size)
		return "local";
	return a->local == 0 ? "remote" : "partial";
}

const char *tell_type(enum inode_type t)
{
	static const char *const names[] = {"",     "file",   "dir",  "symlink",
					    "fifo", "socket", "char", "block"};

	return (unsigned)t < ARRAY_LEN(names) ? names[t] : "";
}

enum exits tell_path(struct daemon *d, const char *path, json_t **ret, struct folders_say *say)
{
	const char *rest;
	struct folder *f = tell_folder_at(d, path, &rest, say);
	struct about a;

	if (!f)
		return EXIT_NO_SUCH;
	enum err e = about(f, rest, &a);
	json_t *o = json_object();

	if (!e) {
		(void)json_object_set_new(o, "path", tell_text(path));
		(void)json_object_set_new(o, "folder", tell_text(f->name));
		(void)json_object_set_new(o, "type", json_string(tell_type(a.s.type)));
		(void)json_object_set_new(o, "state", json_string(state_of(&a)));
		(void)json_object_set_new(o, "size", number(a.size));
		(void)json_object_set_new(o, "local", number(a.local));
		(void)json_object_set_new(o, "conflict", json_boolean(a.conflict.seen));
		(void)json_object_set_new(o, "conflict_copy", json_boolean(a.s.kind == SHOWN_COPY));
	}
	if (!e && a.failed && a.local < a.size) { /* a later read found the rest */
		(void)json_object_set_new(o, "last_failure", json_string(err_text(a.failure)));
		(void)json_object_set_new(o, "last_failure_ms", json_integer(a.failed_ms));
	}
	loop_put(d->loop, f);
	if (e) {
		json_decref(o);
		(void)snprintf(say->text, sizeof(say->text), "%s: %s", path, err_text(e));
		return e == ERR_NOENT || e == ERR_NOTDIR ? EXIT_NO_SUCH : exits_of(e);
	}
	*ret = o;
	return EXIT_DONE;
}
