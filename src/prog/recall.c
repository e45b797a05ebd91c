// SPDX-License-Identifier: MIT
/*
 * recall.c - which version a path and a moment mean, and JSON about what was
 *
 * A path is followed as it is today as far as it goes; where a part of it is gone, what stood
 * there at the moment asked for, or last, is followed instead.
 */
#include "prog/recall.h"
#include "codec/manifest.h"
#include "prog/tell.h"
#include "sys/clock.h"
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define RUN_GAP ((UINT64_C(60) * 1000) << 16) /* between removals of one run */
#define RUN_MAX (1u << 20) /* removals looked at */
#define DEPTH_MAX 2048

struct bytes recall_part(const char **rest)
{
	*rest += strspn(*rest, "/");
	const struct bytes part = {(const uint8_t *)*rest, strcspn(*rest, "/")};

	*rest += part.len;
	return part;
}

/* Under the lock: the directory that holds the last part of rest, and that part; len 0: the root */
static enum err find_parent(struct view *v, const char *rest, uint64_t at, struct past_dir *dir,
			    struct bytes *name)
{
	past_root(dir);
	*name = recall_part(&rest);
	for (struct bytes next = recall_part(&rest); next.len; next = recall_part(&rest)) {
		struct past_entry x, then;
		enum err e = past_lookup(v, dir, *name, PAST_NOW, &x);

		if (e)
			return e;
		if (x.ended && at && !past_lookup(v, dir, *name, at, &then))
			x = then;
		if (x.type != TYPE_DIR)
			return ERR_NOTDIR;
		*dir = x.dir;
		*name = next;
	}
	return ERR_OK;
}

/* ---- choosing ---- */

/* Of the versions at a name: at 0: the one before what is shown, or the last; else that of then. */
static const struct past_version *pick(const struct past_versions *l, uint64_t at)
{
	const struct past_version *now = NULL;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct past_version *p = &l->at[i];

		if (at && p->shown_t <= at)
			return p;
		if (p->state == PAST_CURRENT)
			now = p;
	}
	for (uint32_t i = 0; i < l->count && !at; i++) {
		const struct past_version *p = &l->at[i];
		bool other = p->state == PAST_COPY || p->state == PAST_DROPPED ||
			     p->state == PAST_PROMOTED;

		if (p == now || (other && now) ||
		    (now &&
		     (p->shown_t > now->shown_t || manifest_equal(past_bytes(p), past_bytes(now)))))
			continue;
		return p;
	}
	return NULL;
}

static bool is_shown(const struct past_versions *l, const struct past_version *p)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (l->at[i].state == PAST_CURRENT &&
		    manifest_equal(past_bytes(&l->at[i]), past_bytes(p)))
			return true;
	return false;
}

static enum err choose_version(struct view *v, struct bytes name, uint64_t at,
			       struct recall_choice *c)
{
	struct past_versions l = {0};
	enum err e = past_versions(v, &c->parent, name, &l);
	const struct past_version *p = e ? NULL : pick(&l, at);

	if (p) {
		c->shown = is_shown(&l, p);
		e = past_content(v, p->inode, p->dot, &c->version);
	} else if (at || e != ERR_NOENT) {
		e = e ? e : ERR_NOENT;
	} else if (!c->entry.ended) {
		e = ERR_NOENT; /* there is no earlier one */
	} else {
		e = ERR_OK; /* it was removed before it had a version */
	}
	past_versions_fini(&l);
	return e;
}

/* Under the lock.  ERR_AGAIN: what is there now is no version yet. */
static enum err choose(struct node *n, uint64_t at, struct recall_choice *c)
{
	struct view *v = node_view(n);
	struct bytes name;
	enum err e = find_parent(v, c->rest, at, &c->parent, &name);

	c->at = at;
	if (!e && !name.len) {
		c->entry.type = TYPE_DIR;
		c->entry.inode = INODE_ROOT;
		past_root(&c->entry.dir);
		return ERR_OK;
	}
	if (!e)
		e = past_lookup(v, &c->parent, name, at ? at : PAST_NOW, &c->entry);
	if (e || c->entry.type != TYPE_FILE)
		return e;
	if (!at && !c->entry.ended && node_is_written(n, c->entry.inode))
		return ERR_AGAIN;
	return choose_version(v, name, at, c);
}

/* Waits until what is written to the file is a version: that is the present one then. */
static enum err choose_settled(struct host *h, uint64_t at, struct recall_choice *c)
{
	const uint64_t until = clock_usec() + RECALL_WRITTEN_MS * UINT64_C(1000);
	const struct timespec pause = {.tv_nsec = RECALL_LOOK_MS * 1000000};

	for (;;) {
		host_lock(h);
		enum err e = choose(host_node(h), at, c);

		host_unlock(h);
		if (e != ERR_AGAIN)
			return e;
		if (clock_usec() > until)
			return fail(ERR_BUSY);
		(void)nanosleep(&pause, NULL);
	}
}

/* ---- when a removal began ---- */

struct level { /* of a tree that is walked: a directory, and how far it is done */
	struct past_dir dir;
	uint16_t after_len;
	uint8_t after[NAME_BYTES_MAX];
};
struct run { /* removals in a directory that is gone, of whoever removed it */
	const struct past_entry *top;
	struct level *levels; /* DEPTH_MAX */
	uint32_t depth;
	uint64_t *at;
	uint32_t count, room;
};

static bool run_add(struct run *r, uint64_t t)
{
	if (r->count == r->room) {
		uint32_t room = r->room ? r->room * 2 : 1024;
		uint64_t *p = realloc(r->at, room * sizeof(*p));

		if (!p)
			return false;
		r->at = p;
		r->room = room;
	}
	r->at[r->count++] = t;
	return true;
}

/* One name further in the deepest directory; under the lock. */
static enum err run_step(struct view *v, struct run *r)
{
	struct level *l = &r->levels[r->depth - 1];
	struct past_entry x;
	enum err e = past_ended(v, &l->dir, (struct bytes){l->after, l->after_len}, &x);

	if (e == ERR_NOENT) {
		r->depth--;
		return ERR_OK;
	}
	if (e)
		return e;
	l->after_len = x.name_len;
	memcpy(l->after, x.name, x.name_len);
	if (x.moved || x.until.inc != r->top->until.inc || x.until.t > r->top->until.t)
		return ERR_OK;
	if (!run_add(r, x.until.t))
		return fail(ERR_NOMEM);
	if (x.type == TYPE_DIR && r->depth < DEPTH_MAX) {
		r->levels[r->depth].dir = x.dir;
		r->levels[r->depth++].after_len = 0;
	}
	return ERR_OK;
}

static int latest_first(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return u64_compare(*y, *x);
}

/*
 * "rm -r" removes what is in a directory before the directory.  What was removed by the same device
 * with no longer pause than RUN_GAP was removed with it: the moment before all that.
 */
static enum err before_removal(struct folder *f, struct recall_choice *c)
{
	struct run r = {.top = &c->entry, .depth = 1};
	enum err e = ERR_OK;

	r.levels = calloc(DEPTH_MAX, sizeof(*r.levels));
	if (!r.levels)
		return fail(ERR_NOMEM);
	r.levels[0].dir = c->entry.dir;
	while (r.depth && r.count < RUN_MAX && !e) {
		host_lock(f->host);
		struct view *v = node_view(host_node(f->host));

		for (uint32_t n = 0; n < RECALL_PAGE && r.depth && !e; n++)
			e = run_step(v, &r);
		host_unlock(f->host);
	}
	if (r.count)
		qsort(r.at, r.count, sizeof(*r.at), latest_first);
	c->at = c->entry.until.t;
	for (uint32_t i = 0; i < r.count && c->at - r.at[i] <= RUN_GAP; i++)
		c->at = r.at[i];
	c->at--;
	free(r.at);
	free(r.levels);
	return e;
}

static enum exits say_absent(const char *path, uint64_t at, const struct recall_choice *c,
			     enum err e, struct folders_say *say)
{
	const char *what = "nothing is remembered of it";

	if (e != ERR_NOENT && e != ERR_NOTDIR) {
		(void)snprintf(say->text, sizeof(say->text), "%s: %s", path,
			       e == ERR_BUSY ? "it is being written: close it and try again"
					     : err_text(e));
		return exits_of(e);
	}
	if (!at && c->entry.type && !c->entry.ended)
		what = "there is no earlier version of it";
	else if (at)
		what = "nothing is remembered of that time";
	(void)snprintf(say->text, sizeof(say->text),
		       "%s: %s: \"peerfs versions\" of it, or of the folder that it was in, lists "
		       "what is; keep_versions in peerfs.conf(5) says for how long",
		       path, what);
	return EXIT_NO_SUCH;
}

enum exits recall_choose(struct daemon *d, const char *path, uint64_t at, struct recall_choice *ret,
			 struct folders_say *say)
{
	struct recall_choice c = {.shown = false};

	c.folder = tell_folder_at(d, path, &c.rest, say);
	if (!c.folder)
		return EXIT_NO_SUCH;
	enum err e = choose_settled(c.folder->host, at, &c);
	bool dir = !e && c.entry.type == TYPE_DIR;
	enum exits x = e ? say_absent(path, at, &c, e, say) : EXIT_DONE;

	if (dir && !at && !c.entry.ended) {
		(void)snprintf(say->text, sizeof(say->text),
			       "%s is there: say as of when with --at TIME", path);
		x = EXIT_USAGE;
	} else if (dir && !at) {
		e = before_removal(c.folder, &c);
		x = e ? say_absent(path, at, &c, e, say) : EXIT_DONE;
	} else if (!e && !dir && c.entry.type != TYPE_FILE && !at && !c.entry.ended) {
		x = say_absent(path, at, &c, ERR_NOENT, say);
	}
	if (x)
		recall_choice_fini(d, &c);
	else
		*ret = c;
	return x;
}

void recall_choice_fini(struct daemon *d, struct recall_choice *c)
{
	past_version_fini(&c->version);
	if (c->folder)
		loop_put(d->loop, c->folder);
	c->folder = NULL;
}

/* ---- JSON ---- */

json_t *recall_id(uint64_t inc, uint64_t op)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%" PRIx64 ".%" PRIx64, inc, op);
	return json_string(text);
}

bool recall_parse_id(const char *text, uint64_t *inc, uint64_t *op)
{
	int end = 0;

	return text && sscanf(text, "%" SCNx64 ".%" SCNx64 "%n", inc, op, &end) == 2 && end > 0 &&
	       !text[end];
}

static void add_author(json_t *o, const char *key, struct node *n, uint64_t inc)
{
	char name[MEMBER_NAME_MAX + 1];

	if (!inc)
		return;
	(void)node_author(n, inc, name);
	(void)json_object_set_new(o, key, tell_text(name));
}

static void add_ms(json_t *o, const char *key, int64_t ms)
{
	(void)json_object_set_new(o, key, json_integer(ms));
}

static const char *state_text(enum past_state s)
{
	static const char *const names[] = {"",        "current",  "copy",    "replaced",
					    "dropped", "promoted", "removed", "moved"};

	return (unsigned)s < ARRAY_LEN(names) ? names[s] : "";
}

static json_t *version_json(struct node *n, const struct past_version *p)
{
	json_t *o = json_object();
	uint64_t size = manifest_size(past_bytes(p)), local;

	add_ms(o, "time_ms", (int64_t)(p->shown_t >> 16));
	add_ms(o, "written_ms", (int64_t)(p->t >> 16));
	add_author(o, "device", n, p->dot.inc);
	(void)json_object_set_new(o, "state", json_string(state_text(p->state)));
	(void)json_object_set_new(o, "size", json_integer((json_int_t)size));
	if (!node_local_bytes(n, past_bytes(p), &local))
		(void)json_object_set_new(o, "local", json_integer((json_int_t)local));
	add_ms(o, "mtime_ms", p->mtime_ns / 1000000);
	if (p->until_ms)
		add_ms(o, "until_ms", p->until_ms);
	add_author(o, "by", n, p->by);
	(void)json_object_set_new(o, "inode", recall_id(p->inode.inc, p->inode.op));
	(void)json_object_set_new(o, "version", recall_id(p->dot.inc, p->dot.op));
	return o;
}

/* Names are bytes: those that are not UTF-8 are told in hex too. */
static void add_name(json_t *o, struct bytes name)
{
	char text[NAME_BYTES_MAX + 1], hex[2 * NAME_BYTES_MAX + 1];

	memcpy(text, name.at, name.len);
	text[name.len] = 0;
	json_t *plain = json_string(text);

	if (plain) {
		(void)json_object_set_new(o, "name", plain);
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", name.at[i]);
	(void)json_object_set_new(o, "name", tell_text(text));
	(void)json_object_set_new(o, "name_hex", json_string(hex));
}

static json_t *ended_json(struct node *n, const struct past_entry *x)
{
	json_t *o = json_object();
	char path[PATHS_MAX];

	add_name(o, (struct bytes){x->name, x->name_len});
	(void)json_object_set_new(o, "type", json_string(tell_type(x->type)));
	(void)json_object_set_new(o, "state", json_string(x->moved ? "moved" : "removed"));
	add_ms(o, "until_ms", (int64_t)(x->until.t >> 16));
	add_author(o, "by", n, x->until.inc);
	if (x->moved && !view_path(node_view(n), x->inode, path, sizeof(path)))
		(void)json_object_set_new(o, "now", tell_text(path));
	return o;
}

/* What ended in a directory, a page under a lock. */
static enum err list_ended(struct folder *f, const struct past_dir *dir, json_t *list)
{
	struct past_entry x = {.name_len = 0};
	enum err e = ERR_OK;

	while (!e && json_array_size(list) < RECALL_LISTED_MAX) {
		host_lock(f->host);
		struct node *n = host_node(f->host);

		for (uint32_t i = 0; i < RECALL_PAGE && !e; i++) {
			uint8_t name[NAME_BYTES_MAX];
			const struct bytes after = {name, x.name_len};

			memcpy(name, x.name, x.name_len);
			e = past_ended(node_view(n), dir, after, &x);
			if (!e)
				(void)json_array_append_new(list, ended_json(n, &x));
		}
		host_unlock(f->host);
	}
	return e == ERR_NOENT ? ERR_OK : e;
}

/* Under the lock: the versions of a file; *dir.count: it is a directory, to be listed. */
static enum err list_versions(struct node *n, const char *rest, json_t *list, struct past_dir *dir)
{
	struct past_versions l = {0};
	struct past_entry x = {.type = TYPE_DIR};
	struct past_dir parent;
	struct bytes name;
	enum err e = find_parent(node_view(n), rest, 0, &parent, &name);

	if (!e && !name.len) {
		past_root(dir);
		return ERR_OK;
	}
	if (!e)
		e = past_lookup(node_view(n), &parent, name, PAST_NOW, &x);
	if (!e && x.type == TYPE_DIR) {
		*dir = x.dir;
		return ERR_OK;
	}
	if (!e)
		e = past_versions(node_view(n), &parent, name, &l);
	for (uint32_t i = 0; i < l.count && !e; i++)
		(void)json_array_append_new(list, version_json(n, &l.at[i]));
	past_versions_fini(&l);
	return e;
}

enum exits recall_versions(struct daemon *d, const char *path, json_t **ret,
			   struct folders_say *say)
{
	struct recall_choice none = {.shown = false};
	struct past_dir dir = {.count = 0};
	json_t *list = json_array();
	const char *rest;
	struct folder *f = tell_folder_at(d, path, &rest, say);

	if (!f) {
		json_decref(list);
		return EXIT_NO_SUCH;
	}
	host_lock(f->host);
	enum err e = list_versions(host_node(f->host), rest, list, &dir);

	host_unlock(f->host);
	if (!e && dir.count)
		e = list_ended(f, &dir, list);
	if (!e) {
		*ret = json_pack("{s:o, s:o, s:s, s:o}", "path", tell_text(path), "folder",
				 tell_text(f->name), "type", dir.count ? "dir" : "file",
				 dir.count ? "ended" : "versions", list);
	} else {
		json_decref(list);
	}
	loop_put(d->loop, f);
	return e ? say_absent(path, 0, &none, e, say) : EXIT_DONE;
}

/* ---- one entry, for who writes it elsewhere ---- */

static void add_target(json_t *o, struct bytes target)
{
	char *hex = malloc(2 * target.len + 1);

	if (!hex)
		return;
	hex[0] = 0;
	for (size_t i = 0; i < target.len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", target.at[i]);
	(void)json_object_set_new(o, "target_hex", json_string(hex));
	free(hex);
}

static enum err add_children(struct view *v, const struct recall_choice *c, const char *after,
			     json_t *o)
{
	json_t *list = json_array();
	struct past_entry x;
	uint8_t name[NAME_BYTES_MAX];
	size_t len = MIN(after ? strlen(after) : 0, sizeof(name));
	enum err e = ERR_OK;

	memcpy(name, after ? after : "", len);
	for (uint32_t i = 0; i < RECALL_PAGE && !e; i++) {
		e = past_next(v, &c->entry.dir, (struct bytes){name, len}, c->at, &x);
		if (e)
			break;
		json_t *one = json_object();

		len = x.name_len;
		memcpy(name, x.name, len);
		add_name(one, (struct bytes){name, len});
		(void)json_array_append_new(list, one);
	}
	(void)json_object_set_new(o, "entries", list);
	(void)json_object_set_new(o, "more", json_boolean(!e));
	return e == ERR_NOENT ? ERR_OK : e;
}

enum exits recall_entry(struct daemon *d, const struct recall_page *p, json_t **ret,
			struct folders_say *say)
{
	struct recall_choice c;
	struct view_attr a;
	enum exits x = recall_choose(d, p->path, p->at, &c, say);

	if (x)
		return x;
	json_t *o = json_object();
	struct host *h = c.folder->host;

	host_lock(h);
	struct view *v = node_view(host_node(h));
	enum err e = past_stat(v, c.entry.inode, &a);

	if (!e) {
		(void)json_object_set_new(o, "type", json_string(tell_type(a.type)));
		(void)json_object_set_new(o, "mode", json_integer(a.mode));
		if (a.type == TYPE_SYMLINK)
			add_target(o, a.target);
	}
	if (!e && c.entry.type == TYPE_DIR)
		e = add_children(v, &c, p->after, o);
	host_unlock(h);
	if (!e) {
		bool last = dot_compare(a.version, c.version.dot) == 0;
		int64_t ns = last ? a.mtime_ns : c.version.mtime_ns;

		(void)json_object_set_new(o, "mtime_ns", json_integer(ns));
		(void)json_object_set_new(o, "at", json_integer((json_int_t)c.at));
		(void)json_object_set_new(o, "inode",
					  recall_id(c.version.inode.inc, c.version.inode.op));
		(void)json_object_set_new(o, "version",
					  recall_id(c.version.dot.inc, c.version.dot.op));
		*ret = o;
	} else {
		json_decref(o);
		x = say_absent(p->path, p->at, &c, e, say);
	}
	recall_choice_fini(d, &c);
	return x;
}
