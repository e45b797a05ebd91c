// SPDX-License-Identifier: MIT
/*
 * regain.c - restoring: ordinary operations of this device that carry old contents
 *
 * A version over the present one, or a new file, with the old manifest: no bytes move, and what
 * stood there becomes history in its turn.  A directory is walked as it stood at the moment, one
 * entry a step; what has come since stays.  The bytes of a version for elsewhere go to a pipe.
 */
#include "prog/regain.h"
#include "codec/manifest.h"
#include "prog/tell.h"
#include "sys/clock.h"
#include "sys/fdio.h"
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define DEPTH_MAX 2048
#define READ_BYTES (1u << 20)
#define READ_MS 20000 /* without a byte that comes */
#define POUR_MS 60000 /* without a byte that is taken */

struct level {
	struct past_dir was; /* the directory as it stood */
	struct inode_id dir; /* where its entries go */
	uint16_t after_len;
	uint8_t after[NAME_BYTES_MAX];
};
struct job {
	struct folder *folder;
	uint64_t at;
	uint64_t restored, unchanged, failed;
	char first[NAME_BYTES_MAX + 1]; /* what failed first, and why */
	enum err why;
	struct level *levels;
	uint32_t depth;
};
struct thing { /* one entry on its way back */
	struct inode_id from; /* whose attributes it has */
	struct make what;
	struct wr target, content;
};

static void thing_fini(struct thing *t)
{
	wr_fini(&t->target);
	wr_fini(&t->content);
}

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};

	(void)nanosleep(&t, NULL);
}

/* ---- one entry ---- */

/* Under the lock: what to make of an inode; version NULL: that of the moment. */
static enum err describe(struct view *v, const struct past_entry *x, uint64_t at,
			 const struct past_version *version, struct thing *t)
{
	struct past_version then = {.t = 0};
	struct view_attr a;
	enum err e = past_stat(v, x->inode, &a);

	if (e)
		return e;
	t->from = x->inode;
	t->what = (struct make){.type = a.type,
				.mode = a.mode,
				.rdev = a.rdev,
				.has_owner = a.has_owner,
				.uid = a.uid,
				.gid = a.gid};
	wr_bytes(&t->target, a.target);
	t->what.target = wr_view(&t->target);
	if (a.type != TYPE_FILE)
		return t->target.bad ? fail(ERR_NOMEM) : ERR_OK;
	if (!version) {
		e = past_version(v, x->inode, at, &then);
		version = &then;
	}
	if (e && e != ERR_NOENT)
		return e;
	if (version->content)
		wr_bytes(&t->content, past_bytes(version));
	else
		manifest_inline(&t->content, (struct bytes){NULL, 0}); /* nothing was sealed */
	t->what.content = wr_view(&t->content);
	t->what.mtime_ns =
		dot_compare(a.version, version->dot) == 0 ? a.mtime_ns : version->mtime_ns;
	past_version_fini(&then);
	return t->content.bad ? fail(ERR_NOMEM) : ERR_OK;
}

static enum err restore_xattrs(struct host *h, struct inode_id from, struct inode_id to)
{
	struct wr key = {0}, value = {0}, after = {0};
	enum err e = ERR_OK;

	while (!e) {
		struct event ev = {.kind = EV_XATTR};

		host_lock(h);
		e = past_xattr(node_view(host_node(h)), from, wr_view(&after), &key, &value);
		host_unlock(h);
		ev.xattr.inode = to;
		ev.xattr.key = wr_view(&key);
		ev.xattr.value =
			(struct bytes){value.at ? value.at : (const uint8_t *)"", value.len};
		if (!e)
			e = host_step(h, &ev);
		wr_reset(&after);
		wr_bytes(&after, wr_view(&key));
	}
	wr_fini(&key);
	wr_fini(&value);
	wr_fini(&after);
	return e == ERR_NODATA ? ERR_OK : e;
}

/* Under the lock: whether what is shown is just that. */
static bool is_same(struct view *v, const struct shown *s, const struct make *what)
{
	struct view_attr a;

	if (s->type != what->type || view_stat(v, s->id, &a))
		return false;
	if (s->type == TYPE_FILE)
		return manifest_equal(a.content, what->content);
	return s->type != TYPE_SYMLINK || bytes_equal(a.target, what->target);
}

/* Put a thing at a place.  *same: it was there, just so. */
static enum err put(struct host *h, const struct place *at, const struct thing *t,
		    struct inode_id *ret, bool *same)
{
	struct event ev = {.kind = EV_RESTORE};
	uint64_t until = clock_usec() + RECALL_WRITTEN_MS * UINT64_C(1000);
	struct shown s;
	enum err e;

	do {
		host_lock(h);
		struct view *v = node_view(host_node(h));
		bool there = !view_lookup(v, at->parent, at->name, &s);

		*same = there && is_same(v, &s, &t->what);
		host_unlock(h);
		ev.restore.dir = at->parent;
		ev.restore.name = at->name;
		ev.restore.what = t->what;
		if (*same) {
			*ret = s.id;
			return ERR_OK;
		}
		e = host_step(h, &ev);
		if (e == ERR_AGAIN)
			pause_ms(RECALL_LOOK_MS);
		else if (!e && !there)
			e = restore_xattrs(h, t->from, ev.restore.inode);
	} while (e == ERR_AGAIN && clock_usec() < until);
	if (!e)
		*ret = ev.restore.inode;
	return e == ERR_AGAIN ? fail(ERR_BUSY) : e;
}

static void count(struct job *j, struct bytes name, enum err e, bool same)
{
	j->restored += !e && !same;
	j->unchanged += !e && same;
	j->failed += e != ERR_OK;
	if (!e || j->why)
		return;
	j->why = e;
	memcpy(j->first, name.at, name.len);
	j->first[name.len] = 0;
}

/* One entry of the deepest directory. */
static enum err walk_step(struct job *j)
{
	struct host *h = j->folder->host;
	struct level *l = &j->levels[j->depth - 1];
	struct thing t = {0};
	struct past_entry x;
	struct inode_id made;
	bool same = false;

	host_lock(h);
	struct view *v = node_view(host_node(h));
	enum err e = past_next(v, &l->was, (struct bytes){l->after, l->after_len}, j->at, &x);

	if (!e)
		e = describe(v, &x, j->at, NULL, &t);
	host_unlock(h);
	if (e == ERR_NOENT) {
		j->depth--;
		return ERR_OK;
	}
	if (e)
		return e;
	l->after_len = x.name_len;
	memcpy(l->after, x.name, x.name_len);
	const struct place at = {l->dir, {l->after, l->after_len}};

	e = put(h, &at, &t, &made, &same);
	count(j, at.name, e, same);
	thing_fini(&t);
	if (!e && x.type == TYPE_DIR && j->depth < DEPTH_MAX) {
		struct level *down = &j->levels[j->depth++];

		down->was = x.dir;
		down->dir = made;
		down->after_len = 0;
	}
	return e == ERR_ROFS || e == ERR_NOSPC || e == ERR_IO || e == ERR_NOMEM ? e : ERR_OK;
}

static enum err restore_tree(struct job *j, const struct past_dir *was, struct inode_id to)
{
	enum err e = ERR_OK;

	j->levels = calloc(DEPTH_MAX, sizeof(*j->levels));
	if (!j->levels)
		return fail(ERR_NOMEM);
	j->levels[0] = (struct level){.was = *was, .dir = to};
	for (j->depth = 1; j->depth && !e;)
		e = walk_step(j);
	free(j->levels);
	return e;
}

/* ---- where it goes ---- */

/* The directory that is to hold the last part of rest, made again as far as it is gone. */
static enum err restore_parents(struct job *j, const char *rest, struct inode_id *dir,
				struct bytes *name)
{
	struct host *h = j->folder->host;
	struct past_dir was;

	past_root(&was);
	*dir = INODE_ROOT;
	*name = recall_part(&rest);
	for (struct bytes next = recall_part(&rest); next.len; next = recall_part(&rest)) {
		struct thing t = {0};
		struct past_entry x, then;
		struct shown s;
		bool same;

		host_lock(h);
		struct view *v = node_view(host_node(h));
		enum err e = past_lookup(v, &was, *name, PAST_NOW, &x);

		if (!e && x.ended && !past_lookup(v, &was, *name, j->at, &then))
			x = then;
		bool shown = !view_lookup(v, *dir, *name, &s);

		if (!e && shown)
			e = s.type == TYPE_DIR ? ERR_OK : ERR_NOTDIR;
		else if (!e)
			e = describe(v, &x, j->at, NULL, &t);
		host_unlock(h);
		const struct place at = {*dir, *name};

		if (!e && shown)
			*dir = s.id;
		else if (!e)
			e = put(h, &at, &t, dir, &same);
		thing_fini(&t);
		if (e)
			return e;
		was = x.dir;
		*name = next;
	}
	return ERR_OK;
}

/* The directory of the folder that is asked for, and that nothing is in the way there. */
static enum exits find_to(struct folder *f, const char *rest, struct bytes name,
			  struct inode_id *dir, struct folders_say *say)
{
	struct shown s = {.id = INODE_ROOT, .type = TYPE_DIR}, there;
	enum err e = ERR_OK;

	host_lock(f->host);
	struct view *v = node_view(host_node(f->host));

	for (struct bytes part = recall_part(&rest); part.len && !e; part = recall_part(&rest)) {
		const struct inode_id at = s.id;

		e = view_lookup(v, at, part, &s);
	}
	if (!e && s.type != TYPE_DIR)
		e = ERR_NOTDIR;
	bool taken = !e && !view_lookup(v, s.id, name, &there);

	host_unlock(f->host);
	if (e) {
		(void)snprintf(say->text, sizeof(say->text), "--to: %s", err_text(e));
		return exits_of(e) == EXIT_FAILED ? EXIT_NO_SUCH : exits_of(e);
	}
	if (taken) {
		(void)snprintf(say->text, sizeof(say->text),
			       "--to: there is a \"%.*s\" already: give another directory",
			       (int)name.len, (const char *)name.at);
		return EXIT_FAILED;
	}
	*dir = s.id;
	return EXIT_DONE;
}

static enum exits say_failed(const char *path, const struct job *j, enum err e,
			     struct folders_say *say)
{
	const char *next = "";

	if (e == ERR_ROFS)
		next = ": restore it to a directory outside the folder: --to DIR";
	else if (e == ERR_BUSY)
		next = ": it is being written; close it and try again";
	else if (e == ERR_EXIST)
		next = ": something else stands there; give another place: --to DIR";
	if (!j->restored && !j->unchanged)
		(void)snprintf(say->text, sizeof(say->text), "%s cannot be restored: %s%s", path,
			       err_text(e), next);
	else
		(void)snprintf(say->text, sizeof(say->text),
			       "%s: %" PRIu64 " restored, %" PRIu64 " not, first \"%s\": %s%s",
			       path, j->restored, MAX(j->failed, 1u), j->first, err_text(e), next);
	return j->restored || j->unchanged ? EXIT_PARTLY : exits_of(e);
}

static json_t *told(const struct recall_choice *c, const struct job *j)
{
	json_t *o = json_object();
	bool file = c->entry.type == TYPE_FILE;

	(void)json_object_set_new(o, "restored", json_integer((json_int_t)j->restored));
	(void)json_object_set_new(o, "unchanged", json_integer((json_int_t)j->unchanged));
	(void)json_object_set_new(o, "time_ms",
				  json_integer((json_int_t)((file ? c->version.t : c->at) >> 16)));
	return o;
}

static enum err restore(struct job *j, const struct recall_choice *c, const struct place *at)
{
	struct host *h = j->folder->host;
	struct thing t = {0};
	struct inode_id made;
	bool same = false;

	host_lock(h);
	enum err e = describe(node_view(host_node(h)), &c->entry, c->at,
			      c->entry.type == TYPE_FILE ? &c->version : NULL, &t);

	host_unlock(h);
	if (!e && inode_equal(c->entry.inode, INODE_ROOT))
		made = INODE_ROOT;
	else if (!e)
		e = put(h, at, &t, &made, &same);
	count(j, at->name, e, same);
	thing_fini(&t);
	return e || c->entry.type != TYPE_DIR ? e : restore_tree(j, &c->entry.dir, made);
}

static struct bytes last_part(const char *rest)
{
	struct bytes name = recall_part(&rest);

	for (struct bytes next = recall_part(&rest); next.len; next = recall_part(&rest))
		name = next;
	return name;
}

enum exits regain_restore(struct daemon *d, const struct regain_ask *a, json_t **ret,
			  struct folders_say *say)
{
	struct recall_choice c;
	struct folders_say none;
	const char *to_rest = NULL;
	struct place at;
	enum err e = ERR_OK;
	enum exits x = recall_choose(d, a->path, a->at, &c, say);

	if (x)
		return x;
	struct job j = {.folder = c.folder, .at = c.at ? c.at : PAST_NOW - 1};
	struct folder *there = a->to ? tell_folder_at(d, a->to, &to_rest, &none) : NULL;
	bool outside = a->to && there != c.folder;

	at.name = last_part(c.rest);
	if (outside)
		*ret = json_pack("{s:b}", "outside", 1);
	else if (a->to)
		x = find_to(c.folder, to_rest, at.name, &at.parent, say);
	else
		e = restore_parents(&j, c.rest, &at.parent, &at.name);
	if (!x && !e && !outside)
		e = restore(&j, &c, &at);
	e = e ? e : j.why;
	if (!x && e)
		x = say_failed(a->path, &j, e, say);
	else if (!x && !outside)
		*ret = told(&c, &j);
	if (there)
		loop_put(d->loop, there);
	recall_choice_fini(d, &c);
	return x;
}

/* ---- bytes for elsewhere ---- */

/* Whether the last read of inode failed since then. */
static bool has_failed(struct host *h, struct inode_id inode, int64_t since_ms, enum err *why)
{
	int64_t at_ms;

	host_lock(h);
	bool failed = node_last_failure(host_node(h), inode, why, &at_ms) && at_ms >= since_ms;

	host_unlock(h);
	return failed;
}

/* The next bytes of an open version, waiting for those that are elsewhere. */
static enum err read_some(struct host *h, const struct regain_version *rv, uint64_t file,
			  uint64_t off, struct wr *buf)
{
	static uint64_t tags = UINT64_C(1) << 63; /* those of the mounts count from 1 */
	const uint64_t tag = __atomic_fetch_add(&tags, 1, __ATOMIC_RELAXED);
	const int64_t since_ms = clock_wall_ms();
	const uint64_t until = clock_usec() + READ_MS * UINT64_C(1000);
	enum err e, why;
	uint32_t n = 0;

	while ((e = host_read(h, file, off, READ_BYTES, tag, false, buf->at, &n)) == ERR_AGAIN) {
		if (has_failed(h, rv->inode, since_ms, &why) || clock_usec() > until) {
			struct event ev = {.kind = EV_READ_CANCEL};

			ev.read.tag = tag;
			enum err gone = host_step(h, &ev);

			return gone ? gone : fail(clock_usec() > until ? ERR_TIMEDOUT : why);
		}
		pause_ms(RECALL_LOOK_MS);
	}
	buf->len = n;
	return e;
}

/* Into a pipe; whoever reads it may be slow, or stop. */
static enum err pour(int fd, struct bytes b)
{
	while (b.len) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		int ready = poll(&p, 1, POUR_MS);
		ssize_t n = ready > 0 ? write(fd, b.at, b.len) : -1;

		if (ready == 0)
			return fail(ERR_TIMEDOUT);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return fail(fdio_errno(errno));
		if (n > 0)
			b = (struct bytes){b.at + n, b.len - (size_t)n};
	}
	return ERR_OK;
}

static enum err read_all(struct host *h, const struct regain_version *rv, uint64_t file, int fd)
{
	uint8_t *at = malloc(READ_BYTES);
	struct wr buf = {.at = at, .room = READ_BYTES};
	enum err e = at ? ERR_OK : fail(ERR_NOMEM);

	for (uint64_t off = 0; !e; off += buf.len) {
		e = read_some(h, rv, file, off, &buf);
		if (e || !buf.len)
			break;
		e = pour(fd, wr_view(&buf));
	}
	free(at);
	return e;
}

enum exits regain_read(struct daemon *d, const struct regain_version *rv, int fd,
		       struct folders_say *say)
{
	struct event ev = {.kind = EV_OPEN};
	const char *rest;
	struct folder *f = tell_folder_at(d, rv->path, &rest, say);

	if (!f)
		return EXIT_NO_SUCH;
	ev.open.inode = rv->inode;
	ev.open.version = rv->dot;
	enum err e = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? fail(fdio_errno(errno)) : ERR_OK;

	e = e ? e : host_step(f->host, &ev);

	if (!e) {
		e = read_all(f->host, rv, ev.open.file, fd);
		enum err e2 = host_release(f->host, ev.open.file, false);

		e = e ? e : e2;
	}
	loop_put(d->loop, f);
	if (e)
		(void)snprintf(say->text, sizeof(say->text),
			       "%s: its contents cannot be read: %s; peerfs peers tells who is "
			       "connected",
			       rv->path, err_text(e));
	return e ? exits_of(e) : EXIT_DONE;
}
