// SPDX-License-Identifier: MIT
/* replay_show.c - a replica's whole view as text, and whether each change in it was told */
#include "base/hash.h"
#include "codec/manifest.h"
#include "replay.h"
#include <stdlib.h>

void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("FAILED %s\n", what);
	fflush(stdout);
	abort();
}

void *must_alloc(void *old, size_t size)
{
	void *p = realloc(old, size);

	must(p != NULL, "memory");
	return p;
}

/* The shown entry of a path; the root's for "". */
enum err find(struct replica *r, const char *path, struct shown *ret)
{
	enum err e = view_find(r->view, INODE_ROOT, ret);

	while (!e && *path) {
		const char *end = strchr(path + 1, '/');
		size_t len = end ? (size_t)(end - path - 1) : strlen(path + 1);
		struct bytes name = {(const uint8_t *)path + 1, len};
		e = view_lookup(r->view, ret->id, name, ret);
		path += 1 + len;
	}
	return e;
}

static void paths_add(struct paths *p, const char *path)
{
	p->at = must_alloc(p->at, (p->count + 1) * sizeof(p->at[0]));
	p->at[p->count] = must_alloc(NULL, strlen(path) + 1);
	memcpy(p->at[p->count++], path, strlen(path) + 1);
}

void paths_fini(struct paths *p)
{
	for (size_t k = 0; k < p->count; k++)
		free(p->at[k]);
	free(p->at);
	*p = (struct paths){0};
}

static int path_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every path below top, "" for all; top itself comes first. */
void list_paths(struct replica *r, const char *top, struct paths *ret)
{
	paths_add(ret, top);
	for (size_t k = ret->count - 1; k < ret->count; k++) {
		struct shown at, s;
		char path[PATH_BYTES];
		uint8_t name[NAME_BYTES_MAX];
		struct bytes after = {name, 0};

		must(find(r, ret->at[k], &at) == ERR_OK, "path vanished");
		while (at.type == TYPE_DIR && view_next(r->view, at.id, after, &s) == ERR_OK) {
			must(inode_equal(s.at, at.id), "entry elsewhere");
			snprintf(path, sizeof(path), "%s/%s", ret->at[k], (const char *)s.name);
			paths_add(ret, path);
			after.len = s.name_len;
			memcpy(name, s.name, s.name_len);
		}
	}
}

void sort_paths(struct paths *p)
{
	if (p->count)
		qsort(p->at, p->count, sizeof(p->at[0]), path_compare);
}

static void text(struct wr *w, const char *s)
{
	wr_bytes(w, bytes_text(s));
}

static void print_entry(struct replica *r, const char *path, struct wr *w)
{
	static const char *const types[] = {
		[TYPE_FILE] = "file", [TYPE_DIR] = "dir", [TYPE_SYMLINK] = "symlink"};
	struct view_attr a;
	struct shown s, again;
	struct manifest m;
	char buf[128], back[PATH_BYTES];
	uint8_t name[XATTR_NAME_MAX_BYTES];
	struct bytes key, value, after = {name, 0};

	must(find(r, path, &s) == ERR_OK, "path");
	must(view_find(r->view, s.id, &again) == ERR_OK, "view_find");
	must(inode_equal(again.id, s.id), "view_find finds another");
	must(view_path(r->view, s.id, back, sizeof(back)) == ERR_OK, "view_path");
	must(s.kind != SHOWN_DIR || strcmp(back, path) == 0, "view_path of a directory");
	must(view_stat(r->view, s.id, &a) == ERR_OK, "view_stat");
	text(w, path);
	text(w, "\t");
	text(w, types[a.type]);
	text(w, "\t");
	if (a.type == TYPE_FILE && a.content.len) {
		must(manifest_decode(a.content, &m) == ERR_OK, "manifest_decode");
		wr_bytes(w, m.data);
	}
	wr_bytes(w, a.target);
	snprintf(buf, sizeof(buf), "\t%o\t", a.mode);
	text(w, buf);
	while (view_xattr_next(r->view, s.id, after, &key) == ERR_OK) {
		memcpy(name, key.at, key.len);
		after.len = key.len;
		must(view_xattr(r->view, s.id, after, &value) == ERR_OK, "view_xattr");
		wr_bytes(w, after);
		text(w, "=");
		wr_bytes(w, value);
		text(w, ",");
	}
	snprintf(buf, sizeof(buf), "\t%llu.%llu\n", (unsigned long long)s.id.inc,
		 (unsigned long long)s.id.op);
	text(w, buf);
}

struct conflict_at {
	enum conflict_kind kind;
	struct inode_id dir;
	char name[NAME_BYTES_MAX + 1];
};
struct conflict_list {
	size_t count;
	struct conflict_at *at;
};

static bool note_conflict(void *arg, enum conflict_kind kind, const struct shown *s)
{
	struct conflict_list *l = arg;

	l->at = must_alloc(l->at, (l->count + 1) * sizeof(l->at[0]));
	struct conflict_at *c = &l->at[l->count++];
	*c = (struct conflict_at){.kind = kind, .dir = s->at};
	memcpy(c->name, s->name, s->name_len);
	return true;
}

static void print_conflicts(struct replica *r, struct wr *w)
{
	static const char *const kinds[] = {[CONFLICT_CONTENT] = "content",
					    [CONFLICT_NAME] = "name",
					    [CONFLICT_KEPT] = "kept: edited while deleted",
					    [CONFLICT_RENAMED_TWICE] = "renamed twice",
					    [CONFLICT_COPY] = "copy",
					    [CONFLICT_MOVE_SKIPPED] = "move skipped",
					    [CONFLICT_SURVIVORS] = "kept: has survivors"};
	struct conflict_list l = {0};
	struct paths lines = {0};
	char path[PATH_BYTES], line[PATH_BYTES + 512];

	must(view_conflicts(r->view, note_conflict, &l) == ERR_OK, "view_conflicts");
	for (size_t k = 0; k < l.count; k++) {
		must(view_path(r->view, l.at[k].dir, path, sizeof(path)) == ERR_OK, "dir path");
		snprintf(line, sizeof(line), "! %s\t%s/%s\n", kinds[l.at[k].kind],
			 strcmp(path, "/") ? path : "", l.at[k].name);
		paths_add(&lines, line);
	}
	sort_paths(&lines);
	for (size_t k = 0; k < lines.count; k++) {
		must(k == 0 || strcmp(lines.at[k - 1], lines.at[k]) != 0, "conflict told twice");
		text(w, lines.at[k]);
	}
	paths_fini(&lines);
	free(l.at);
}

void print_view(struct replica *r, struct wr *w)
{
	struct paths all = {0};

	list_paths(r, "", &all);
	sort_paths(&all);
	for (size_t k = 1; k < all.count; k++)
		print_entry(r, all.at[k], w);
	paths_fini(&all);
	print_conflicts(r, w);
}

void print_stats(struct replica *r, struct wr *w)
{
	struct paths all = {0};
	struct view_attr a;
	struct shown s;
	char line[PATH_BYTES + 128];

	list_paths(r, "", &all);
	sort_paths(&all);
	for (size_t k = 1; k < all.count; k++) {
		must(find(r, all.at[k], &s) == ERR_OK, "path");
		must(view_stat(r->view, s.id, &a) == ERR_OK, "view_stat");
		snprintf(line, sizeof(line), "%s\t%u\t%u:%u\t%lld\n", all.at[k], a.nlink, a.uid,
			 a.gid, (long long)(a.mtime_ns / 1000000));
		text(w, line);
	}
	paths_fini(&all);
}

/* ---- watching ---- */

static int shadow_compare(const void *a, const void *b)
{
	const struct shadow *x = a, *y = b;
	int c = inode_compare(x->dir, y->dir);

	return c ? c
		 : bytes_compare((struct bytes){x->name, x->name_len},
				 (struct bytes){y->name, y->name_len});
}

static struct shadows shadows_of(struct replica *r)
{
	struct shadows all = {0};
	struct paths paths = {0};

	list_paths(r, "", &paths);
	for (size_t k = 0; k < paths.count; k++) {
		struct shown s;
		struct view_attr a;
		all.at = must_alloc(all.at, (all.count + 1) * sizeof(all.at[0]));
		struct shadow *x = &all.at[all.count++];
		memset(x, 0, sizeof(*x));
		must(find(r, paths.at[k], &s) == ERR_OK, "path");
		must(view_stat(r->view, s.id, &a) == ERR_OK, "view_stat");
		x->dir = s.kind == SHOWN_ROOT ? (struct inode_id){0, 0} : s.at;
		x->id = s.id;
		x->version = a.version;
		x->mode = a.mode;
		x->nlink = s.type == TYPE_DIR ? 0 : a.nlink;
		x->type = s.type;
		x->name_len = s.name_len;
		memcpy(x->name, s.name, s.name_len);
	}
	paths_fini(&paths);
	qsort(all.at, all.count, sizeof(all.at[0]), shadow_compare);
	return all;
}

static bool shows_dir(const struct shadows *s, struct inode_id dir)
{
	for (size_t k = 0; k < s->count; k++)
		if (s->at[k].type == TYPE_DIR && inode_equal(s->at[k].id, dir))
			return true;
	return false;
}

static const struct shadow *shadow_by_id(const struct shadows *s, struct inode_id id)
{
	for (size_t k = 0; k < s->count; k++)
		if (inode_equal(s->at[k].id, id))
			return &s->at[k];
	return NULL;
}

static bool was_told(const struct replica *r, enum change_kind kind, struct inode_id id,
		     const struct shadow *s)
{
	for (size_t k = 0; k < r->told.count; k++) {
		const struct change *c = &r->told.at[k];
		if (c->kind == kind && inode_equal(c->inode, id) &&
		    (!s || bytes_equal((struct bytes){c->name, c->name_len},
				       (struct bytes){s->name, s->name_len})))
			return true;
	}
	return false;
}

static void watch_entry(const struct replica *r, const struct shadows *a, const struct shadows *b,
			const struct shadow *s)
{
	if (inode_none(s->dir) || !shows_dir(a, s->dir) || !shows_dir(b, s->dir))
		return;
	if (!was_told(r, CHANGE_ENTRY, s->dir, s))
		printf("entry %.*s of %llu.%llu\n", (int)s->name_len, (const char *)s->name,
		       (unsigned long long)s->dir.inc, (unsigned long long)s->dir.op);
	must(was_told(r, CHANGE_ENTRY, s->dir, s), "an entry changed untold");
}

static const struct shadow *shadow_at(const struct shadows *s, const struct change *c)
{
	struct shadow x = {.dir = c->inode, .name_len = c->name_len};

	memcpy(x.name, c->name, c->name_len);
	return s->count ? bsearch(&x, s->at, s->count, sizeof(x), shadow_compare) : NULL;
}

/* The first that is told of a place says what was shown there before, if it says anything. */
static void watch_before(const struct replica *r, const struct shadows *old)
{
	for (size_t k = 0; k < r->told.count; k++) {
		const struct change *c = &r->told.at[k];
		const struct shadow *was;
		bool first = true;

		for (size_t i = 0; i < k && first; i++)
			first = r->told.at[i].kind != CHANGE_ENTRY ||
				!inode_equal(r->told.at[i].inode, c->inode) ||
				!bytes_equal(
					(struct bytes){r->told.at[i].name, r->told.at[i].name_len},
					(struct bytes){c->name, c->name_len});
		if (c->kind != CHANGE_ENTRY || !first || !c->was_known || !shows_dir(old, c->inode))
			continue;
		was = shadow_at(old, c);
		must(c->was_type == (was ? was->type : 0), "another type told than was there");
		must(!was || inode_equal(was->id, c->was), "another inode told than was there");
	}
}

/* What differs since the last step was told. */
void watch(struct replica *r)
{
	struct shadows now = shadows_of(r), *old = &r->before;
	size_t i = 0, k = 0;

	view_check(r->view);
	watch_before(r, old);
	while (i < old->count || k < now.count) {
		int c = i == old->count  ? 1
			: k == now.count ? -1
					 : shadow_compare(&old->at[i], &now.at[k]);
		if (c < 0)
			watch_entry(r, old, &now, &old->at[i]);
		else if (c > 0 || !inode_equal(old->at[i].id, now.at[k].id))
			watch_entry(r, old, &now, &now.at[k]);
		i += c <= 0;
		k += c >= 0;
	}
	for (k = 0; k < now.count; k++) {
		const struct shadow *x = &now.at[k], *was = shadow_by_id(old, x->id);
		if (!was)
			continue;
		if (x->mode != was->mode && !was_told(r, CHANGE_ATTR, x->id, NULL))
			printf("%.*s: mode %o was %o\n", (int)x->name_len, (const char *)x->name,
			       x->mode, was->mode);
		must(x->mode == was->mode || was_told(r, CHANGE_ATTR, x->id, NULL), "mode untold");
		must(x->nlink == was->nlink || was_told(r, CHANGE_LINKS, x->id, NULL) ||
			     was_told(r, CHANGE_ATTR, x->id, NULL),
		     "nlink untold");
		must(dot_compare(x->version, was->version) == 0 ||
			     was_told(r, CHANGE_DATA, x->id, NULL),
		     "version untold");
	}
	free(old->at);
	*old = now;
	r->told.count = 0;
}
