// SPDX-License-Identifier: MIT
/*
 * contend.c - conflicts: listed with whose they are and what both sides had, and ended
 *
 * The view lists entries, some for more than one reason; here each entry is one conflict.  Those
 * that contend for one name of a directory, and the copies that stand beside it by their names,
 * are a group, which ends as a whole, in one step.
 */
#include "prog/contend.h"
#include "core/names.h"
#include "core/past.h"
#include "prog/recall.h"
#include "prog/tell.h"
#include "sys/clock.h"
#include <stdlib.h>
#include <time.h>

#define CONFLICTS_MAX 10000
#define PATH_BYTES (PATHS_MAX * 8) /* of what is shown */
#define GROUP_MAX 256

struct found {
	enum conflict_kind kind;
	struct shown s;
};
struct finding {
	struct found *at;
	uint32_t count, room;
};

static bool same_entry(const struct shown *a, const struct shown *b)
{
	return inode_equal(a->at, b->at) && a->name_len == b->name_len &&
	       memcmp(a->name, b->name, a->name_len) == 0;
}

static bool finding_add(void *arg, enum conflict_kind kind, const struct shown *s)
{
	struct finding *f = arg;

	/* Another reason for a file is told next, for a directory at the end. */
	for (uint32_t i = f->count; i > 0 && (i == f->count || s->type == TYPE_DIR); i--)
		if (same_entry(&f->at[i - 1].s, s))
			return true;
	if (f->count == f->room) {
		uint32_t room = f->room ? f->room * 2 : 16;
		struct found *grown =
			room <= CONFLICTS_MAX * 2 ? realloc(f->at, room * sizeof(*grown)) : NULL;

		if (!grown)
			return false;
		f->at = grown;
		f->room = room;
	}
	f->at[f->count++] = (struct found){kind, *s};
	return true;
}

static const struct {
	const char *kind, *text;
} kinds[] = {[CONFLICT_CONTENT] = {"content", "edited twice"},
	     [CONFLICT_NAME] = {"name", "two files of one name"},
	     [CONFLICT_KEPT] = {"kept", "removed here, edited there: kept"},
	     [CONFLICT_RENAMED_TWICE] = {"renamed-twice", "renamed twice"},
	     [CONFLICT_COPY] = {"copy", "conflict copy"},
	     [CONFLICT_MOVE_SKIPPED] = {"move-skipped", "a move that would make a loop"},
	     [CONFLICT_SURVIVORS] = {"survivors", "folder removed while it was filled"}};

/* ---- listing ---- */

static void add_version(json_t *o, struct node *n, const struct past_version *v)
{
	char name[MEMBER_NAME_MAX + 1];

	(void)node_author(n, v->dot.inc, name);
	(void)json_object_set_new(o, "device", tell_text(name));
	(void)json_object_set_new(o, "time_ms", json_integer((json_int_t)(v->t >> 16)));
	(void)json_object_set_new(o, "size",
				  json_integer((json_int_t)manifest_size(past_bytes(v))));
}

/* Under the lock: who wrote what, and what both had seen. */
static enum err add_versions(json_t *o, struct node *n, const struct shown *s, char *path)
{
	struct past_conflict c;
	enum err e = past_conflict(node_view(n), s, &c);

	if (e)
		return e == ERR_NOENT ? ERR_OK : e;
	add_version(o, n, &c.mine);
	if (c.theirs.content_len) {
		json_t *other = json_object();

		tell_path_of(node_view(n), &c.other, path, PATH_BYTES);
		(void)json_object_set_new(other, "path", tell_text(path));
		add_version(other, n, &c.theirs);
		(void)json_object_set_new(o, "with", other);
	}
	if (c.base.content_len) {
		json_t *base = json_object();

		add_version(base, n, &c.base);
		(void)json_object_set_new(base, "inode",
					  recall_id(c.base.inode.inc, c.base.inode.op));
		(void)json_object_set_new(base, "version",
					  recall_id(c.base.dot.inc, c.base.dot.op));
		(void)json_object_set_new(o, "base", base);
	}
	past_conflict_fini(&c);
	return ERR_OK;
}

static enum err list_of(struct folder *f, json_t *list)
{
	struct finding all = {0};
	char *path = malloc(PATH_BYTES);
	enum err e = path ? ERR_OK : fail(ERR_NOMEM);

	host_lock(f->host);
	struct node *n = host_node(f->host);

	if (!e)
		e = view_conflicts(node_view(n), finding_add, &all);
	for (uint32_t i = 0; !e && i < all.count; i++) {
		const struct found *x = &all.at[i];
		json_t *o = json_object();

		tell_path_of(node_view(n), &x->s, path, PATH_BYTES);
		(void)json_object_set_new(o, "folder", tell_text(f->name));
		(void)json_object_set_new(o, "path", tell_text(path));
		(void)json_object_set_new(o, "kind", json_string(kinds[x->kind].kind));
		(void)json_object_set_new(o, "what", json_string(kinds[x->kind].text));
		e = add_versions(o, n, &x->s, path);
		(void)json_array_append_new(list, o);
	}
	host_unlock(f->host);
	free(all.at);
	free(path);
	return e;
}

json_t *contend_list(struct daemon *d)
{
	json_t *list = json_array();
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		if (list_of(f, list))
			report(REPORT_WARN, "%s: conflicts cannot be listed", f->name);
		loop_put(d->loop, f);
	}
	return json_pack("{s:o}", "conflicts", list);
}

/* ---- the group ---- */

struct group {
	struct inode_id dir;
	uint16_t file_len;
	uint8_t file[NAME_BYTES_MAX]; /* the name that they contend for */
	uint32_t count;
	struct shown at[GROUP_MAX]; /* listed, and what has that name */
	bool own[GROUP_MAX]; /* written by this device */
	bool listed; /* any of them */
};

static struct bytes name_of(const struct shown *s)
{
	return (struct bytes){s->name, s->name_len};
}

/* The name that an entry would have without the conflict. */
static void wanted(const struct shown *s, uint8_t ret[NAME_BYTES_MAX], uint16_t *ret_len)
{
	size_t len;

	if (s->kind == SHOWN_COPY || s->suffixed || !names_original(name_of(s), ret, &len)) {
		len = s->nominal_len;
		memcpy(ret, s->nominal, len);
	}
	*ret_len = (uint16_t)len;
}

static bool wants(const struct shown *s, const struct group *g)
{
	uint8_t name[NAME_BYTES_MAX];
	uint16_t len;

	wanted(s, name, &len);
	return inode_equal(s->at, g->dir) && s->type != TYPE_DIR && len == g->file_len &&
	       memcmp(name, g->file, len) == 0;
}

static void group_add(struct node *n, struct group *g, const struct shown *s)
{
	char name[MEMBER_NAME_MAX + 1];
	struct view_attr a;

	for (uint32_t i = 0; i < g->count; i++)
		if (same_entry(&g->at[i], s))
			return;
	if (g->count == GROUP_MAX)
		return;
	uint64_t author = s->id.inc;

	if (!view_stat(node_view(n), s->id, &a) && a.version.inc)
		author = a.version.inc;
	g->own[g->count] = node_author(n, author, name);
	g->at[g->count++] = *s;
}

/* Under the lock.  ERR_NOENT: there is no such path. */
static enum err find_group(struct node *n, const char *rest, struct group *g)
{
	struct view *v = node_view(n);
	struct finding all = {0};
	struct shown s, file;
	enum err e = tell_walk(v, rest, &s);

	if (e || s.kind == SHOWN_ROOT)
		return e;
	g->dir = s.at;
	wanted(&s, g->file, &g->file_len);
	e = view_conflicts(v, finding_add, &all);
	for (uint32_t i = 0; i < all.count && !e; i++) {
		const struct shown *x = &all.at[i].s;

		if (!same_entry(x, &s) && (s.type == TYPE_DIR || !wants(x, g)))
			continue;
		g->listed = true;
		group_add(n, g, x);
	}
	free(all.at);
	if (!e && s.type != TYPE_DIR &&
	    !view_lookup(v, g->dir, (struct bytes){g->file, g->file_len}, &file) &&
	    file.type != TYPE_DIR)
		group_add(n, g, &file);
	return e;
}

/* ---- ending it ---- */

static enum exits say_which(const struct group *g, const char *why, struct folders_say *say)
{
	size_t at = (size_t)snprintf(say->text, sizeof(say->text),
				     "%s: name the one that is to stay: --keep NAME, of", why);

	for (uint32_t i = 0; i < g->count && at < sizeof(say->text); i++)
		at += (size_t)snprintf(say->text + at, sizeof(say->text) - at, "%s \"%.*s\"",
				       i ? "," : "", (int)g->at[i].name_len,
				       (const char *)g->at[i].name);
	return EXIT_CONFLICT;
}

/* Which entry is meant. */
static enum exits find_keep(const struct group *g, const char *keep, int32_t *ret,
			    struct folders_say *say)
{
	const char *last = strrchr(keep, '/');
	const struct bytes name = bytes_text(last ? last + 1 : keep);
	bool mine = strcmp(keep, "mine") == 0, theirs = strcmp(keep, "theirs") == 0;
	uint32_t found = 0;

	for (uint32_t i = 0; i < g->count; i++) {
		bool hit =
			mine || theirs ? g->own[i] == mine : bytes_equal(name_of(&g->at[i]), name);

		if (!hit)
			continue;
		*ret = (int32_t)i;
		found++;
	}
	if (found == 1)
		return EXIT_DONE;
	if (mine)
		return say_which(g, found ? "several are this device's" : "none is this device's",
				 say);
	if (theirs)
		return say_which(
			g, found ? "several are other devices'" : "none is another device's", say);
	return say_which(g, "there is no such entry in the conflict", say);
}

/* The entry that gets the base, and the base.  Under the lock. */
static bool find_base(struct view *v, const struct group *g, int32_t *keep,
		      struct past_version *ret)
{
	*keep = 0;
	for (uint32_t i = 0; i < g->count; i++)
		if (bytes_equal(name_of(&g->at[i]), (struct bytes){g->file, g->file_len}))
			*keep = (int32_t)i;
	for (uint32_t i = 0; i < g->count; i++) {
		struct past_conflict c;

		if (past_conflict(v, &g->at[i], &c))
			continue;
		*ret = c.base;
		c.base = (struct past_version){.t = 0};
		bool any = ret->content_len > 0 && c.theirs.content_len > 0;

		past_conflict_fini(&c);
		if (any)
			return true;
		past_version_fini(ret);
	}
	return false;
}

static enum err settle(struct host *h, const struct group *g, int32_t keep,
		       const struct past_version *base)
{
	struct bytes names[GROUP_MAX];
	struct make what = {.type = TYPE_FILE, .mode = 0644};
	const uint64_t until = clock_usec() + RECALL_WRITTEN_MS * UINT64_C(1000);
	const struct timespec pause = {.tv_nsec = RECALL_LOOK_MS * 1000000};

	for (uint32_t i = 0; i < g->count; i++)
		names[i] = name_of(&g->at[i]);
	for (;;) {
		struct event ev = {.kind = EV_SETTLE};

		ev.settle = (struct settle){.dir = g->dir,
					    .file = {g->file, g->file_len},
					    .names = names,
					    .count = g->count,
					    .keep = keep};
		if (base) {
			what.content = past_bytes(base);
			what.mtime_ns = base->mtime_ns;
			ev.settle.base = &what;
		}
		enum err e = host_step(h, &ev);

		if (e != ERR_AGAIN || clock_usec() > until)
			return e == ERR_AGAIN ? fail(ERR_BUSY) : e;
		(void)nanosleep(&pause, NULL);
	}
}

static enum exits say_failed(const char *path, enum err e, struct folders_say *say)
{
	(void)snprintf(say->text, sizeof(say->text), "%s: %s", path,
		       e == ERR_BUSY ? "it is being written: close it and try again" : err_text(e));
	return e == ERR_NOTDIR ? EXIT_NO_SUCH : exits_of(e);
}

static enum exits resolve(struct folder *f, const char *path, const char *keep, struct group *g,
			  struct folders_say *say)
{
	struct past_version base = {.t = 0};
	bool both = strcmp(keep, "both") == 0, to_base = strcmp(keep, "base") == 0;
	int32_t which = -1;
	enum exits x = EXIT_DONE;

	if (!g->listed) {
		(void)snprintf(say->text, sizeof(say->text),
			       "%s is in no conflict: peerfs conflicts lists those there are",
			       path);
		return EXIT_NO_SUCH;
	}
	if (to_base) {
		host_lock(f->host);
		bool any = find_base(node_view(host_node(f->host)), g, &which, &base);

		host_unlock(f->host);
		if (!any) {
			(void)snprintf(say->text, sizeof(say->text),
				       "%s: no version is remembered that both sides had seen: "
				       "--keep mine, theirs, both, or a name",
				       path);
			return EXIT_CONFLICT;
		}
	} else if (!both) {
		x = find_keep(g, keep, &which, say);
	}
	enum err e = x ? ERR_OK : settle(f->host, g, which, to_base ? &base : NULL);

	past_version_fini(&base);
	return e ? say_failed(path, e, say) : x;
}

enum exits contend_resolve(struct daemon *d, const char *path, const char *keep, json_t **ret,
			   struct folders_say *say)
{
	struct group *g = calloc(1, sizeof(*g));
	const char *rest;
	struct folder *f = tell_folder_at(d, path, &rest, say);
	enum err e = g ? ERR_OK : fail(ERR_NOMEM);
	enum exits x = EXIT_NO_SUCH;

	if (!f) {
		free(g);
		return x;
	}
	if (!e) {
		host_lock(f->host);
		e = find_group(host_node(f->host), rest, g);
		host_unlock(f->host);
	}
	x = e ? say_failed(path, e, say) : resolve(f, path, keep, g, say);
	if (!x) {
		char name[NAME_BYTES_MAX + 1];

		(void)snprintf(name, sizeof(name), "%.*s", (int)g->file_len, (const char *)g->file);
		*ret = json_pack("{s:o, s:i}", "file", tell_text(name), "entries", (int)g->count);
	}
	loop_put(d->loop, f);
	free(g);
	return x;
}
