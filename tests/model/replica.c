// SPDX-License-Identifier: MIT
/*
 * replica.c - replicas of one folder in one process: what they write, cut into bundles and pull
 *
 * Each is a view with an emitter, without a log: its world keeps the bundles of all devices, and a
 * replica takes the next of one when its causes are there.  replay.c drives them by a script,
 * arrivals.c has them write what a node is then fed.
 */
#include "base/hash.h"
#include "codec/manifest.h"
#include "replay.h"
#include <stdlib.h>

/* ---- hooks and emitter ---- */

static struct where hook_where(void *arg, struct dot dot)
{
	struct replica *r = arg;

	must(dot.inc == r->inc && dot.op <= r->ops, "where() asked of a foreign record");
	return (struct where){r->inc, r->bundle_of[dot.op]};
}

static bool hook_line(void *arg, struct where a, struct where b)
{
	(void)arg;
	return a.inc == b.inc;
}

/* The number of the device that an incarnation is of. */
static size_t device_of(const struct world *w, uint64_t inc)
{
	size_t k = 0;

	while (k < DEVICES && inc_of(w, k) != inc)
		k++;
	must(k < DEVICES, "an incarnation of no device");
	return k;
}

uint64_t inc_of(const struct world *w, size_t device)
{
	return w->incs[device] ? w->incs[device] : device + 1;
}

static void hook_device(void *arg, uint64_t inc, char name[65])
{
	struct replica *r = arg;

	name[0] = (char)('A' + device_of(r->world, inc));
	name[1] = 0;
}

static void hook_changed(void *arg, const struct change *c)
{
	struct replica *r = arg;

	r->told.at = must_alloc(r->told.at, (r->told.count + 1) * sizeof(*c));
	r->told.at[r->told.count++] = *c;
}

static void emit_next(void *arg, struct dot *dot, uint64_t *t)
{
	struct replica *r = arg;

	*dot = (struct dot){r->inc, r->ops + 1};
	*t = MAX(r->last_t + 1, r->now << 16);
}

static bool is_in(const struct inode_id *at, size_t count, struct inode_id i)
{
	for (size_t k = 0; k < count; k++)
		if (inode_equal(at[k], i))
			return true;
	return false;
}

static void add_inode(struct inode_id **at, size_t *count, struct inode_id i)
{
	if (is_in(*at, *count, i))
		return;
	*at = must_alloc(*at, (*count + 1) * sizeof(**at));
	(*at)[(*count)++] = i;
}

/* The group of the running operation. */
static struct group *group_of(struct replica *r)
{
	if (!r->groups_count || r->groups[r->groups_count - 1].op != r->op) {
		r->groups = must_alloc(r->groups, (r->groups_count + 1) * sizeof(r->groups[0]));
		r->groups[r->groups_count++] =
			(struct group){.op = r->op, .first = r->ops + 1, .vec = vector_ref(r->vec)};
	}
	return &r->groups[r->groups_count - 1];
}

static enum err emit(void *arg, struct record *rec)
{
	struct replica *r = arg;

	struct group *g = group_of(r);
	emit_next(r, &rec->dot, &rec->t);
	rec->wall_ms = (int64_t)r->now;
	rec->in = (struct where){r->inc, 0};
	rec->vec = g->vec;
	g->t = g->t ? g->t : rec->t;
	r->last_t = rec->t;
	r->ops++;
	r->bundle_of = must_alloc(r->bundle_of, (r->ops + 1) * sizeof(r->bundle_of[0]));
	r->bundle_of[r->ops] = 0;
	g->last = r->ops;
	record_encode(&g->bytes, rec);
	add_inode(&g->about, &g->about_count, rec->inode);
	if (rec->kind == REC_INODE && rec->ino.has_origin)
		add_inode(&g->about, &g->about_count, rec->ino.origin_inode);
	enum err e = view_apply(r->view, rec);
	must(e == ERR_OK, "own record refused");
	must(view_apply(r->view, rec) == ERR_OK, "own record twice");
	return e;
}

static const struct emitter *emitter_of(struct replica *r, struct emitter *e)
{
	*e = (struct emitter){.arg = r, .next = emit_next, .emit = emit};
	return e;
}

/* ---- replicas ---- */

struct view *view_of(struct replica *r)
{
	const struct view_hooks hooks = {.arg = r,
					 .where = hook_where,
					 .line = hook_line,
					 .device = hook_device,
					 .changed = hook_changed};
	struct view *v = view_new(r->kv, &hooks);

	must(v != NULL, "view_new");
	view_tell_before(v, true);
	return v;
}

struct replica *replica_of(struct world *w, char name)
{
	must(name >= 'A' && name <= 'Z', "device");
	struct replica **at = &w->at[name - 'A'];

	if (*at)
		return *at;
	struct replica *r = must_alloc(NULL, sizeof(*r));
	*r = (struct replica){.world = w, .device = (size_t)(name - 'A'), .kv = kv_new_map()};
	r->inc = inc_of(w, r->device);
	r->view = view_of(r);
	*at = r;
	return r;
}

static void group_fini(struct group *g)
{
	vector_unref(g->vec);
	wr_fini(&g->bytes);
	free(g->about);
}

/* Whether a group waits; then what it is about holds back later ones. */
static bool waits(const struct group *g, struct inode_id **held, size_t *count)
{
	bool yes = false;

	for (size_t k = 0; k < g->about_count; k++)
		yes |= is_in(*held, *count, g->about[k]);
	for (size_t k = 0; k < g->about_count && yes; k++)
		add_inode(held, count, g->about[k]);
	return yes;
}

/* Close bundles of what need not wait: runs of groups that had seen the same. */
void cut(struct world *w, struct replica *r)
{
	struct own_log *l = &w->logs[r->device];
	struct inode_id *held = NULL;
	size_t held_count = 0, kept = 0;
	bool fresh = true; /* the next group that goes begins a bundle */

	for (size_t k = 0; k < r->unsealed_count; k++)
		add_inode(&held, &held_count, r->unsealed[k]);
	for (size_t k = 0; k < r->groups_count; k++) {
		struct group g = r->groups[k];
		if (waits(&g, &held, &held_count)) {
			r->groups[kept++] = g;
			continue;
		}
		if (fresh || !vector_equal(l->at[l->count - 1].vec, g.vec)) {
			l->at = must_alloc(l->at, (l->count + 1) * sizeof(l->at[0]));
			l->at[l->count++] = (struct published){.vec = vector_ref(g.vec)};
		}
		fresh = false;
		wr_bytes(&l->at[l->count - 1].bytes, wr_view(&g.bytes));
		for (uint64_t op = g.first; op <= g.last; op++)
			r->bundle_of[op] = l->count;
		group_fini(&g);
	}
	r->groups_count = kept;
	free(held);
	struct vector *vec = l->count ? vector_with(r->vec, r->inc, l->count) : vector_ref(r->vec);
	vector_unref(r->vec);
	r->vec = vec;
}

/* What it acknowledges: all that it is still to publish has seen it. */
static struct vector *acked(const struct replica *r)
{
	return r->groups_count ? vector_meet(r->vec, r->groups[0].vec) : vector_ref(r->vec);
}

void hold(struct world *w, struct replica *r, const char *path)
{
	struct shown at;

	if (find(r, path, &at) || at.type != TYPE_FILE)
		return;
	cut(w, r);
	add_inode(&r->unsealed, &r->unsealed_count, at.file);
}

/* ---- forgetting ---- */

static void learn(struct replica *r, size_t device, const struct vector *vec)
{
	struct vector *v = vector_join(r->known[device], vec);

	vector_unref(r->known[device]);
	r->known[device] = v;
}

/* After a bundle or, with members, at gc: what is listed gets its vector; what is stable goes. */
void forget(struct replica *r, const char *members)
{
	struct vector *stable = members ? acked(r) : NULL;
	struct forgotten done = {.more = true};

	for (; members && *members; members++) {
		size_t k = (size_t)(*members - 'A');
		if (k == r->device)
			continue;
		struct vector *less = vector_meet(stable, r->known[k]);
		vector_unref(stable);
		stable = less;
	}
	const struct forget_below b = {.applied = r->vec,
				       .stable = stable,
				       .held = r->groups_count ? r->groups[0].t : UINT64_MAX,
				       .date = true,
				       .rows = 5}; /* so that it takes several calls */
	for (int calls = 0; done.more || done.dated || done.inodes || done.heads; calls++) {
		must(calls < 10000, "forgetting comes to an end");
		must(view_forget(r->view, &b, &done) == ERR_OK, "view_forget");
	}
	vector_unref(stable);
}

bool receive(struct world *w, struct replica *r, size_t device)
{
	struct own_log *l = &w->logs[device];
	uint64_t inc = inc_of(w, device);
	uint64_t have = vector_get(r->vec, inc);

	if (have >= l->count || !vector_covers(r->vec, l->at[have].vec))
		return false;
	struct published *b = &l->at[have];
	struct rd rd = rd_of(wr_view(&b->bytes));
	while (!rd_done(&rd)) {
		struct record_arena *a = record_arena_new();
		struct record rec;
		must(record_decode(&rd, a, &rec) == ERR_OK, "record_decode");
		rec.in = (struct where){inc, have + 1};
		rec.vec = b->vec;
		must(view_apply(r->view, &rec) == ERR_OK, "record refused");
		r->last_t = MAX(r->last_t, rec.t);
		record_arena_free(a);
	}
	rd = rd_of(wr_view(&b->bytes)); /* every record a second time: nothing happens */
	size_t told = r->told.count;
	while (!rd_done(&rd)) {
		struct record_arena *a = record_arena_new();
		struct record rec;
		must(record_decode(&rd, a, &rec) == ERR_OK, "record_decode");
		rec.in = (struct where){inc, have + 1};
		rec.vec = b->vec;
		must(view_apply(r->view, &rec) == ERR_OK, "record refused");
		record_arena_free(a);
	}
	r->told.count = told;
	struct vector *vec = vector_with(r->vec, inc, have + 1);
	vector_unref(r->vec);
	r->vec = vec;
	forget(r, NULL);
	return true;
}

void pull(struct world *w, struct replica *r, struct replica *from, uint64_t limit)
{
	uint64_t moved = 0;
	bool progress = true;

	cut(w, r);
	cut(w, from);
	while (progress && moved < limit) {
		progress = false;
		for (size_t d = 0; d < DEVICES; d++) {
			uint64_t inc = inc_of(w, d);
			if (vector_get(r->vec, inc) < vector_get(from->vec, inc) && moved < limit &&
			    receive(w, r, d)) {
				moved++;
				progress = true;
			}
		}
	}
	if (!vector_covers(r->vec, from->vec))
		return; /* something it knew of is still to come */
	struct vector *theirs = acked(from);
	learn(r, from->device, theirs);
	vector_unref(theirs);
	for (size_t k = 0; k < DEVICES; k++)
		learn(r, k, from->known[k]);
}

void reset(struct world *w)
{
	for (int k = 0; k < DEVICES; k++) {
		struct replica *r = w->at[k];
		for (uint64_t n = 0; n < w->logs[k].count; n++) {
			vector_unref(w->logs[k].at[n].vec);
			wr_fini(&w->logs[k].at[n].bytes);
		}
		free(w->logs[k].at);
		w->logs[k] = (struct own_log){0};
		if (!r)
			continue;
		view_free(r->view);
		kv_free_map(r->kv);
		for (size_t d = 0; d < DEVICES; d++)
			vector_unref(r->known[d]);
		vector_unref(r->vec);
		for (size_t g = 0; g < r->groups_count; g++)
			group_fini(&r->groups[g]);
		free(r->groups);
		free(r->unsealed);
		free(r->bundle_of);
		free(r->before.at);
		free(r->told.at);
		free(r);
		w->at[k] = NULL;
	}
}

/* ---- paths ---- */

/* The directory that holds path, and the last name. */
static enum err split(struct replica *r, const char *path, struct inode_id *dir, struct bytes *name)
{
	char head[PATH_BYTES];
	struct shown s;
	const char *slash = strrchr(path, '/');

	if (!slash)
		return ERR_INVAL; /* the root itself */
	snprintf(head, sizeof(head), "%.*s", (int)(slash - path), path);
	*name = bytes_text(slash + 1);
	enum err e = find(r, head, &s);
	if (!e && s.type != TYPE_DIR)
		return ERR_NOTDIR;
	*dir = s.id;
	return e;
}

/* ---- operations ---- */

static enum err write_text(struct replica *r, struct inode_id i, const char *text)
{
	struct emitter e;
	struct dot bases[64];
	uint32_t count;
	struct wr w = {0};

	emitter_of(r, &e);
	must(view_bases(r->view, i, bases, ARRAY_LEN(bases), &count) == ERR_OK, "view_bases");
	manifest_inline(&w, bytes_text(text));
	struct record rec = {.kind = REC_CONTENT, .inode = i};
	rec.content.bases = bases;
	rec.content.bases_count = count;
	rec.content.content = wr_view(&w);
	rec.content.mtime_ns = (int64_t)r->now * 1000000;
	enum err bad = e.emit(e.arg, &rec);
	wr_fini(&w);
	return bad;
}

static enum err make(struct replica *r, enum inode_type type, const char *path, const char *text)
{
	struct emitter e;
	struct inode_id dir, i;
	struct bytes name;
	struct wr w = {0};
	struct make what = {.type = type,
			    .mode = type == TYPE_DIR ? 0755 : 0644,
			    .mtime_ns = (int64_t)r->now * 1000000};

	enum err bad = split(r, path, &dir, &name);
	if (bad)
		return bad;
	if (type == TYPE_SYMLINK) {
		what.mode = 0777;
		what.target = bytes_text(text);
	}
	if (type == TYPE_FILE) {
		manifest_inline(&w, bytes_text(text));
		what.content = wr_view(&w);
	}
	bad = local_make(r->view, emitter_of(r, &e), dir, name, &what, &i);
	wr_fini(&w);
	return bad;
}

static enum err do_create(struct turn *s)
{
	return make(s->r, TYPE_FILE, s->arg[1], s->arg[2]);
}

static enum err do_mkdir(struct turn *s)
{
	return make(s->r, TYPE_DIR, s->arg[1], NULL);
}

static enum err do_symlink(struct turn *s)
{
	return make(s->r, TYPE_SYMLINK, s->arg[1], s->arg[2]);
}

static enum err do_write(struct turn *s)
{
	struct emitter e;
	struct shown at;
	enum err bad = find(s->r, s->arg[1], &at);

	if (!bad && at.type != TYPE_FILE)
		bad = ERR_ISDIR;
	if (!bad)
		bad = local_edit(s->r->view, emitter_of(s->r, &e), at.id);
	return bad ? bad : write_text(s->r, at.id, s->arg[2]);
}

static enum err rename_paths(struct replica *r, const char *from, const char *to, unsigned flags)
{
	struct emitter e;
	struct inode_id from_dir, to_dir;
	struct bytes from_name, to_name;
	enum err bad = split(r, from, &from_dir, &from_name);

	if (!bad)
		bad = split(r, to, &to_dir, &to_name);
	if (bad)
		return bad;
	return local_rename(r->view, emitter_of(r, &e), &(struct place){from_dir, from_name},
			    &(struct place){to_dir, to_name}, flags);
}

static enum err do_rename(struct turn *s)
{
	return rename_paths(s->r, s->arg[1], s->arg[2], 0);
}

static enum err do_exchange(struct turn *s)
{
	return rename_paths(s->r, s->arg[1], s->arg[2], LOCAL_EXCHANGE);
}

static enum err do_safe_save(struct turn *s)
{
	char temp[PATH_BYTES];
	struct shown at;
	const char *slash = strrchr(s->arg[1], '/');
	enum err bad = find(s->r, s->arg[1], &at);

	if (!bad && at.type == TYPE_DIR)
		bad = ERR_ISDIR;
	if (bad)
		return bad;
	snprintf(temp, sizeof(temp), "%.*s/.tmp", (int)(slash - s->arg[1]), s->arg[1]);
	bad = make(s->r, TYPE_FILE, temp, s->arg[2]);
	return bad ? bad : rename_paths(s->r, temp, s->arg[1], 0);
}

static enum err remove_path(struct replica *r, const char *path, bool dir)
{
	struct emitter e;
	struct inode_id at;
	struct bytes name;
	enum err bad = split(r, path, &at, &name);

	if (bad)
		return bad;
	emitter_of(r, &e);
	return dir ? local_rmdir(r->view, &e, at, name) : local_unlink(r->view, &e, at, name);
}

static enum err do_unlink(struct turn *s)
{
	return remove_path(s->r, s->arg[1], false);
}

static enum err do_rmdir(struct turn *s)
{
	return remove_path(s->r, s->arg[1], true);
}

static enum err do_link(struct turn *s)
{
	struct emitter e;
	struct shown at;
	struct inode_id dir;
	struct bytes name;
	enum err bad = find(s->r, s->arg[1], &at);

	if (!bad)
		bad = split(s->r, s->arg[2], &dir, &name);
	return bad ? bad : local_link(s->r->view, emitter_of(s->r, &e), at.id, dir, name);
}

static enum err set(struct turn *s, const struct attr_value *a)
{
	struct emitter e;
	struct shown at;
	enum err bad = find(s->r, s->arg[1], &at);

	return bad ? bad : local_set(s->r->view, emitter_of(s->r, &e), at.id, a);
}

static enum err do_chmod(struct turn *s)
{
	struct attr_value a = {.field = ATTR_MODE, .mode = (uint32_t)strtoul(s->arg[2], NULL, 0)};

	return set(s, &a);
}

static enum err do_chown(struct turn *s)
{
	struct attr_value a = {.field = ATTR_OWNER};

	a.owner.uid = a.owner.gid = (uint32_t)strtoul(s->arg[2], NULL, 10);
	return set(s, &a);
}

static enum err do_utimes(struct turn *s)
{
	struct attr_value a = {.field = ATTR_TIMES};

	a.mtime_ns = strtoll(s->arg[2], NULL, 10) * 1000000000;
	return set(s, &a);
}

static enum err do_removexattr(struct turn *s)
{
	char key[64];
	struct attr_value a = {.field = ATTR_XATTR};

	snprintf(key, sizeof(key), "user.%s", s->arg[2]);
	a.xattr.key = bytes_text(key);
	return set(s, &a);
}

static enum err do_setxattr(struct turn *s)
{
	char key[64];
	struct attr_value a = {.field = ATTR_XATTR};

	snprintf(key, sizeof(key), "user.%s", s->arg[2]);
	a.xattr.key = bytes_text(key);
	a.xattr.value = bytes_text(s->arg[3]);
	return set(s, &a);
}

static enum err do_resolve(struct turn *s)
{
	struct emitter e;
	struct inode_id dir, keep_dir;
	struct bytes name, keep = {NULL, 0};
	bool all = strcmp(s->arg[2], "all") == 0;
	enum err bad = split(s->r, s->arg[1], &dir, &name);

	if (!bad && !all)
		bad = split(s->r, s->arg[2], &keep_dir, &keep);
	if (bad)
		return bad;
	if (!all && !inode_equal(dir, keep_dir)) /* compare.py asks for none such */
		return ERR_INVAL;
	return local_resolve(s->r->view, emitter_of(s->r, &e), dir, name, keep, all);
}

void do_rmrf(struct turn *s)
{
	struct paths all = {0};
	struct shown at;

	if (find(s->r, s->arg[1], &at) == ERR_OK)
		list_paths(s->r, s->arg[1], &all);
	sort_paths(&all);
	for (size_t k = all.count; k > 0; k--) {
		if (all.at[k - 1][0] == 0)
			continue;
		s->r->op++;
		if (find(s->r, all.at[k - 1], &at) == ERR_OK)
			(void)remove_path(s->r, all.at[k - 1], at.type == TYPE_DIR);
	}
	paths_fini(&all);
}

static const struct {
	const char *name;
	enum err (*run)(struct turn *s);
	int args;
} operations[] = {{"create", do_create, 3},
		  {"mkdir", do_mkdir, 2},
		  {"symlink", do_symlink, 3},
		  {"write", do_write, 3},
		  {"rename", do_rename, 3},
		  {"exchange", do_exchange, 3},
		  {"safe_save", do_safe_save, 3},
		  {"unlink", do_unlink, 2},
		  {"rmdir", do_rmdir, 2},
		  {"link", do_link, 3},
		  {"chmod", do_chmod, 3},
		  {"setxattr", do_setxattr, 4},
		  {"chown", do_chown, 3},
		  {"utimes", do_utimes, 3},
		  {"removexattr", do_removexattr, 3},
		  {"resolve", do_resolve, 3}};

bool run_operation(struct turn *s)
{
	for (size_t k = 0; k < ARRAY_LEN(operations); k++) {
		if (strcmp(s->arg[0], operations[k].name) != 0)
			continue;
		must(s->args == operations[k].args, "arguments");
		s->r->op++;
		return operations[k].run(s) == ERR_OK;
	}
	must(false, "operation");
	return false;
}
