// SPDX-License-Identifier: MIT
/*
 * content.c - open files and the versions they become: see content.h
 *
 * On the path of a write: front puts the bytes into the data log, the step comes here with their
 * address; an extent row and one journal entry later it is acknowledged.  The last close cuts:
 * the version gets its dot, clock and vector now, and is emitted when its manifest is known.
 *
 * I1  a file has at most one work being sealed (cut) and one active; the active lies over the cut
 * one I2  a file without opens and works is freed I3  a file that is not stale shows the primary
 * version of its inode, or what is written over it I4  every work in memory has its rows, and the
 * other way round
 */
#include "core/content_impl.h"

/* ---- files ---- */

struct file **content_bucket(struct content *c, struct inode_id i)
{
	return &c->by_inode[(i.op * 31 + i.inc) % CONTENT_BUCKETS];
}

struct file *content_file(struct content *c, uint64_t no)
{
	struct file *f;

	/* The number's low bits name the bucket, so a handle finds its file without a second table.
	 */
	for (f = c->by_inode[no % CONTENT_BUCKETS]; f; f = f->next_by_inode)
		if (f->no == no)
			return f;
	return NULL;
}

/* The file that new opens of inode share; NULL: none. */
struct file *content_current(struct content *c, struct inode_id i)
{
	for (struct file *f = *content_bucket(c, i); f; f = f->next_by_inode)
		if (inode_equal(f->inode, i) && !f->stale)
			return f;
	return NULL;
}

struct file *content_file_new(struct content *c, struct inode_id i)
{
	struct file **at = content_bucket(c, i);
	struct file *f = c->files < NODE_FILES_MAX ? calloc(1, sizeof(*f)) : NULL;

	if (!f)
		return NULL;
	c->next_file++;
	f->no = c->next_file * CONTENT_BUCKETS + (uint64_t)(at - c->by_inode);
	f->inode = i;
	f->next_by_inode = *at;
	*at = f;
	c->files++;
	return f;
}

static void file_free(struct content *c, struct file *f)
{
	struct file **at = content_bucket(c, f->inode);

	while (*at != f)
		at = &(*at)->next_by_inode;
	*at = f->next_by_inode;
	c->works -= f->active ? 1 : 0;
	c->works -= f->sealing ? 1 : 0;
	work_free(f->active);
	work_free(f->sealing);
	wr_fini(&f->manifest);
	free(f);
	c->files--;
}

void content_settle(struct content *c, struct file *f) /* I2 */
{
	if (!f->opens && !f->active && !f->sealing)
		file_free(c, f);
}

enum err content_file_base(struct file *f, struct bytes manifest, struct dot version)
{
	wr_reset(&f->manifest);
	wr_bytes(&f->manifest, manifest);
	f->version = version;
	return f->manifest.bad ? fail(ERR_NOMEM) : ERR_OK;
}

static enum err file_get(struct content *c, struct inode_id i, struct file **ret)
{
	struct view_attr a;
	struct file *f = content_current(c, i);

	if (f) {
		*ret = f;
		return ERR_OK;
	}
	enum err e = view_stat(c->k.view, i, &a);
	if (e)
		return e;
	if (a.type != TYPE_FILE)
		return fail(a.type == TYPE_DIR ? ERR_ISDIR : ERR_INVAL);
	f = content_file_new(c, i);
	if (!f)
		return fail(ERR_FULL);
	e = content_file_base(f, a.content, a.version);
	if (e) {
		file_free(c, f);
		return e;
	}
	*ret = f;
	return ERR_OK;
}

struct file *content_file_of_work(struct content *c, uint64_t work) /* numbered as files are */
{
	for (struct file *f = c->by_inode[work % CONTENT_BUCKETS]; f; f = f->next_by_inode)
		if ((f->active && f->active->no == work) || (f->sealing && f->sealing->no == work))
			return f;
	return NULL;
}

uint64_t content_size(const struct file *f)
{
	if (f->active)
		return f->active->size;
	return f->sealing ? f->sealing->size : manifest_size(wr_view(&f->manifest));
}

struct content *content_new(const struct content_config *k)
{
	struct content *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->k = *k;
	c->due = UINT64_MAX;
	c->next_work = 1;
	c->extents = extents_new(k->kv);
	if (!c->extents) {
		free(c);
		return NULL;
	}
	return c;
}

void content_free(struct content *c)
{
	if (!c)
		return;
	for (size_t b = 0; b < CONTENT_BUCKETS; b++)
		while (c->by_inode[b])
			file_free(c, c->by_inode[b]);
	extents_free(c->extents);
	free(c);
}

/* ---- works ---- */

void content_note_due(struct content *c, uint64_t at)
{
	c->due = MIN(c->due, at);
}

/*
 * The active work of a file that is written to, made if there is none.  newborn: the name itself,
 * emitted before, waits for the first version too.
 */
static enum err work_begin(struct content *c, struct step *s, struct file *f, bool newborn)
{
	uint64_t op, t;
	size_t mark;

	if (f->active)
		return ERR_OK;
	outbox_clock(c->k.outbox, &op, &t);
	uint64_t bucket = (uint64_t)(content_bucket(c, f->inode) - c->by_inode);
	struct work *w =
		work_new(c->next_work++ * CONTENT_BUCKETS + bucket, f->inode, newborn ? 0 : t + 1);
	if (!w)
		return fail(ERR_NOMEM);
	f->active = w;
	c->works++;
	outbox_begins(c->k.outbox);
	if (f->sealing)
		w->over = f->sealing->no;
	else
		wr_bytes(&w->base, wr_view(&f->manifest));
	w->base_version = f->version;
	w->size = w->base_limit =
		f->sealing ? f->sealing->size : manifest_size(wr_view(&f->manifest));
	w->mtime_ns = s->wall_ms * 1000000;
	w->first_usec = w->last_usec = s->now;
	struct wr *j = step_entry(s, J_WORK, &mark);
	if (j) {
		work_write_new(j, w);
		step_entry_end(s, mark);
	}
	enum err e = w->base.bad ? fail(ERR_NOMEM) : work_store_static(c->k.kv, w);
	return e ? e : work_store(c->k.kv, w);
}

static void touched(struct content *c, struct step *s, struct work *w)
{
	w->mtime_ns = s->wall_ms * 1000000;
	w->last_usec = s->now;
	content_note_due(c, s->now + CONTENT_QUIET_USEC);
}

/* What J_WRITE and a live write have in common. */
enum err content_apply_write(struct content *c, struct work *w, struct extent x, int64_t mtime_ns)
{
	enum err e = extents_put(c->extents, w->no, x);

	w->size = MAX(w->size, x.off + x.len);
	w->mtime_ns = mtime_ns;
	return e ? e : work_store(c->k.kv, w);
}

enum err content_apply_truncate(struct content *c, struct work *w, uint64_t size, int64_t mtime_ns)
{
	enum err e = size < w->size ? extents_cut(c->extents, w->no, size, UINT64_MAX) : ERR_OK;

	w->base_limit = MIN(w->base_limit, size);
	w->size = size;
	w->mtime_ns = mtime_ns;
	return e ? e : work_store(c->k.kv, w);
}

enum err content_made(struct content *c, struct step *s, struct inode_id inode)
{
	struct file *f;
	enum err e = file_get(c, inode, &f);

	if (e)
		return e;
	e = work_begin(c, s, f, true);
	if (!e)
		touched(c, s, f->active);
	return e;
}

enum err content_open(struct content *c, struct event *ev)
{
	struct file *f;

	enum err e = file_get(c, ev->open.inode, &f);

	if (e)
		return e;
	/* It lost its name since it was looked up, and nobody holds it: what was not sealed of it
	 * is gone, and nothing was.  Whoever comes by a path finds what stands there now. */
	if (!f->opens && !f->active && !f->sealing && f->manifest.len == 0 &&
	    !view_is_shown(c->k.view, ev->open.inode)) {
		content_settle(c, f);
		return fail(ERR_STALE);
	}
	f->opens++;
	f->writers += ev->open.write;
	ev->open.file = f->no;
	return ERR_OK;
}

enum err content_open_version(struct content *c, const struct past_version *v, uint64_t *file)
{
	struct file *f = content_file_new(c, v->inode);

	if (!f)
		return fail(ERR_FULL);
	enum err e = content_file_base(f, past_bytes(v), v->dot);
	if (e) {
		file_free(c, f);
		return e;
	}
	f->stale = true; /* nobody else's opens share it */
	f->opens = 1;
	*file = f->no;
	return ERR_OK;
}

bool content_is_written(struct content *c, struct inode_id inode)
{
	for (struct file *f = *content_bucket(c, inode); f; f = f->next_by_inode)
		if (inode_equal(f->inode, inode) && (f->active || f->sealing))
			return true;
	return false;
}

#define FILE_BYTES_MAX INT64_MAX

enum err content_write(struct content *c, struct step *s, struct event *ev)
{
	struct file *f = content_file(c, ev->write.file);
	size_t mark;

	if (!f)
		return fail(ERR_STALE);
	if (ev->write.append)
		ev->write.off = content_size(f);
	if (ev->write.off > (uint64_t)FILE_BYTES_MAX - ev->write.len)
		return fail(ERR_FBIG);
	enum err e = work_begin(c, s, f, false);
	if (e)
		return e;
	struct work *w = f->active;
	touched(c, s, w);
	struct wr *j = step_entry(s, J_WRITE, &mark);
	if (j) {
		wr_u64(j, w->no);
		wr_u64(j, ev->write.off);
		wr_u64(j, ev->write.len);
		wr_u64(j, ev->write.addr);
		wr_u64(j, (uint64_t)w->mtime_ns);
		step_entry_end(s, mark);
	}
	struct extent x = {ev->write.off, ev->write.len, ev->write.addr};
	return content_apply_write(c, w, x, w->mtime_ns);
}

static enum err truncate_file(struct content *c, struct step *s, struct file *f, uint64_t size)
{
	size_t mark;
	enum err e = work_begin(c, s, f, false);

	if (e)
		return e;
	touched(c, s, f->active);
	struct wr *j = step_entry(s, J_TRUNCATE, &mark);
	if (j) {
		wr_u64(j, f->active->no);
		wr_u64(j, size);
		wr_u64(j, (uint64_t)f->active->mtime_ns);
		step_entry_end(s, mark);
	}
	return content_apply_truncate(c, f->active, size, f->active->mtime_ns);
}

enum err content_truncate(struct content *c, struct step *s, struct event *ev)
{
	struct file *f = ev->truncate.file ? content_file(c, ev->truncate.file) : NULL;
	enum err e = ERR_OK;

	if (ev->truncate.file && !f)
		return fail(ERR_STALE);
	if (ev->truncate.size > (uint64_t)FILE_BYTES_MAX)
		return fail(ERR_FBIG);
	if (!f)
		e = file_get(c, ev->truncate.inode, &f);
	if (e)
		return e;
	if (content_size(f) != ev->truncate.size || !f->version.inc)
		e = truncate_file(c, s, f, ev->truncate.size);
	if (!e && !f->writers)
		e = content_cut(c, s, f);
	else
		content_settle(c, f);
	return e;
}

enum err content_touch(struct content *c, struct step *s, struct inode_id inode, uint64_t file,
		       int64_t mtime_ns, bool *ret)
{
	struct file *f = file ? content_file(c, file) : content_current(c, inode);
	size_t mark;

	*ret = f && f->active;
	struct work *w = f ? (f->active ? f->active : f->sealing) : NULL;
	if (!w)
		return ERR_OK;
	struct wr *j = step_entry(s, J_TOUCH, &mark);
	if (j) {
		wr_u64(j, w->no);
		wr_u64(j, (uint64_t)mtime_ns);
		step_entry_end(s, mark);
	}
	w->mtime_ns = mtime_ns;
	return work_store(c->k.kv, w);
}

enum err content_release(struct content *c, struct step *s, struct event *ev)
{
	struct file *f = content_file(c, ev->file.file);

	if (!f || !f->opens)
		return fail(ERR_STALE);
	f->opens--;
	f->writers -= MIN(f->writers, (uint32_t)ev->file.write);
	bool last = f->active && !f->writers;
	if (last && !ev->file.full)
		return content_cut(c, s, f);
	if (last)
		content_note_due(c, s->now); /* cut by the first tick that there is room for */
	content_settle(c, f);
	return ERR_OK;
}

/* ---- staleness ---- */

enum err content_changed(struct content *c, struct step *s, struct inode_id inode, bool *news)
{
	struct view_attr a;
	struct file *f = content_current(c, inode);

	*news = !f;
	if (!f)
		return ERR_OK;
	enum err e = view_stat(c->k.view, inode, &a);
	if (e == ERR_NOENT || (!e && dot_compare(a.version, f->version) == 0))
		return ERR_OK;
	if (e)
		return e;
	*news = true;
	if (!f->active && !f->sealing && manifest_equal(a.content, wr_view(&f->manifest)))
		return content_file_base(f, a.content, a.version);
	f->stale = true;
	struct action *act = f->opens ? step_act(s, ACT_NEW_DATA) : NULL;
	if (act) {
		act->file.inode = inode;
		act->file.file = f->no;
	}
	return step_sound(s);
}

enum err content_recheck(struct content *c, struct step *s)
{
	enum err e = ERR_OK;
	bool news;

	for (uint32_t b = 0; b < CONTENT_BUCKETS; b++)
		for (struct file *f = c->by_inode[b], *next; f && !e; f = next) {
			next = f->next_by_inode;
			if (!f->stale)
				e = content_changed(c, s, f->inode, &news);
		}
	return e;
}

/* ---- time ---- */

static uint64_t due_at(const struct file *f)
{
	uint64_t due = UINT64_MAX;

	if (f->sealing && f->sealing->retry_usec)
		due = f->sealing->retry_usec;
	if (f->active && !f->sealing) {
		uint64_t quiet = f->active->last_usec + CONTENT_QUIET_USEC;
		uint64_t busy = f->active->first_usec + MAX(CONTENT_BUSY_USEC, 10 * f->seal_usec);
		due = f->writers ? MIN(due, MIN(quiet, busy)) : 0; /* closed: as soon as it may */
	}
	return due;
}

static enum err file_tick(struct content *c, struct step *s, struct file *f)
{
	if (f->sealing && f->sealing->retry_usec && f->sealing->retry_usec <= s->now)
		return content_ask_to_seal(c, s, f->sealing);
	if (f->active && !f->sealing && due_at(f) <= s->now) {
		if (!f->opens || !content_is_gone(c, f->inode))
			return content_cut(c, s, f); /* which discards it when gone */
		f->active->first_usec = f->active->last_usec = s->now; /* unlinked, still open */
	}
	return ERR_OK;
}

enum err content_tick(struct content *c, struct step *s)
{
	if (c->due > s->now)
		return ERR_OK;
	c->due = UINT64_MAX;
	for (size_t b = 0; b < CONTENT_BUCKETS; b++) {
		for (struct file *f = c->by_inode[b], *next; f; f = next) {
			next = f->next_by_inode;
			bool now = due_at(f) <= s->now;
			if (!now)
				content_note_due(c, due_at(f));
			enum err e = now ? file_tick(c, s, f) : ERR_OK;
			if (e)
				return e;
		}
	}
	return ERR_OK;
}

uint64_t content_deadline(const struct content *c)
{
	return c->due;
}

enum err content_cut_all(struct content *c, struct step *s)
{
	for (size_t b = 0; b < CONTENT_BUCKETS; b++) {
		for (struct file *f = c->by_inode[b], *next; f; f = next) {
			next = f->next_by_inode;
			enum err e = f->active ? content_cut(c, s, f) : ERR_OK;
			if (e)
				return e;
		}
	}
	return ERR_OK;
}

enum err content_start(struct content *c, struct step *s)
{
	for (size_t b = 0; b < CONTENT_BUCKETS; b++) {
		for (struct file *f = c->by_inode[b], *next; f; f = next) {
			next = f->next_by_inode;
			bool news;
			enum err e = content_changed(c, s, f->inode, &news);
			if (!e)
				/* A cut version keeps its dot: it was never published, as a bundle
				 * leaves when it is durable, and J_SEALED before it. */
				e = f->sealing ? content_ask_to_seal(c, s, f->sealing)
					       : content_cut(c, s, f);
			if (e)
				return e;
		}
	}
	return ERR_OK;
}

/* ---- what forgetting asks ---- */

void content_held(struct content *c, struct oldest *ret)
{
	for (size_t k = 0; c->works && k < CONTENT_BUCKETS; k++) {
		for (const struct file *f = c->by_inode[k]; f; f = f->next_by_inode) {
			const struct work *w = f->sealing;
			if (w && w->at.t < ret->t)
				*ret = (struct oldest){
					w->at.t, w->at.vec, {w->at.dot.inc, w->at.own_seq}};
		}
	}
}

bool content_busy(struct content *c, struct inode_id inode)
{
	for (const struct file *f = *content_bucket(c, inode); f; f = f->next_by_inode)
		if (inode_equal(f->inode, inode))
			return true;
	return false;
}
