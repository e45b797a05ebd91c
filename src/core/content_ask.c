// SPDX-License-Identifier: MIT
/*
 * content_ask.c - what is asked of contents: attributes, and where the bytes of a range are
 *
 * Part of content.c (content_impl.h).  A range is looked up from the top: the extents of the active
 * work, below them those of the work being sealed, below those the manifest.
 */
#include "core/content_impl.h"

bool content_unsealed(void *content, struct inode_id inode, uint64_t t)
{
	struct content *c = content;

	for (struct file *f = *content_bucket(c, inode); f; f = f->next_by_inode) {
		if (!inode_equal(f->inode, inode))
			continue;
		if (f->active && f->active->since <= t)
			return true;
		if (f->sealing && f->sealing->since <= t)
			return true;
	}
	return false;
}

/* Bytes of a version that are not holes, of its first limit bytes (a guess when it is cut off). */
static uint64_t base_allocated(struct bytes manifest, uint64_t limit)
{
	struct manifest m;

	if (!manifest.len || manifest_decode(manifest, &m))
		return 0;
	return MIN(m.size - MIN(m.holes, m.size), limit);
}

/* What is allocated once it is sealed: bytes in extents, and what shows of the version below. */
static uint64_t allocated(struct content *c, const struct file *f)
{
	uint64_t bytes = base_allocated(wr_view(&f->manifest), UINT64_MAX);

	for (int k = 0; k < 2; k++) {
		const struct work *w = k == 0 ? f->sealing : f->active;
		struct extent x = {0};
		uint64_t off = 0, written = 0;
		if (!w)
			continue;
		for (; extents_find(c->extents, w->no, off, &x) == ERR_OK; off = x.off + x.len)
			written += x.len;
		bytes = MIN(MIN(bytes, w->base_limit) + written, w->size);
	}
	return bytes;
}

enum err content_stat(struct content *c, struct inode_id inode, uint64_t file,
		      struct node_stat *ret)
{
	struct node_stat st = {0};
	struct file *f = file ? content_file(c, file) : NULL;
	enum err e = view_stat(c->k.view, inode, &st.a);

	if (e)
		return e;
	st.mtime_ns = st.a.mtime_ns;
	st.ctime_ns = st.a.ctime_ns;
	if (!f && st.a.type == TYPE_FILE)
		f = content_current(c, inode);
	if (f) {
		const struct work *w = f->active ? f->active : f->sealing;
		st.stale = f->stale;
		st.size = content_size(f);
		if (w) {
			st.mtime_ns = w->mtime_ns;
			st.ctime_ns = MAX(st.ctime_ns, w->mtime_ns);
		}
	} else if (st.a.type == TYPE_FILE) {
		st.size = manifest_size(st.a.content);
	} else if (st.a.type == TYPE_SYMLINK) {
		st.size = st.a.target.len;
	}
	uint64_t bytes = f ? allocated(c, f) : base_allocated(st.a.content, UINT64_MAX);
	st.blocks = bytes / 512 + (bytes % 512 != 0);
	*ret = st;
	return ERR_OK;
}

/* ---- where the bytes are ---- */

static enum err map_base(struct content *c, struct bytes manifest, uint64_t off, uint64_t len,
			 struct sink *sink)
{
	struct manifest m;

	if (!manifest.len) {
		sink_zero(sink, len);
		return ERR_OK;
	}
	enum err e = manifest_decode(manifest, &m);
	return e ? fail(ERR_DAMAGED) : mapping_range(c->k.kv, &m, off, len, sink);
}

struct layers { /* of a file, from the top; NULL: not there */
	const struct work *top, *under;
	struct bytes base; /* encoded manifest */
};

/* A range of the top work.  Between its extents shows what it lies over up to base_limit, and zeros
 * behind that. */
static enum err map_work(struct content *c, const struct layers *l, uint64_t off, uint64_t len,
			 struct sink *sink)
{
	const struct work *w = l->top;
	const struct layers below = {.top = l->under, .base = l->base};
	uint64_t end = off + len;
	enum err e = ERR_OK;

	if (!w)
		return map_base(c, l->base, off, len, sink);
	while (off < end && !sink->full && !e) {
		struct extent x;
		e = extents_find(c->extents, w->no, off, &x);
		if (e && e != ERR_NOENT)
			return e; /* neither zeros nor what lies below: nobody knows what was
				     written */
		bool found = !e && x.off < end;
		e = ERR_OK;
		uint64_t stop = found ? MAX(x.off, off) : end;
		uint64_t shows = MIN(stop, MAX(w->base_limit, off));
		if (off < shows)
			e = map_work(c, &below, off, shows - off, sink);
		if (!e && !sink->full && shows < stop)
			sink_zero(sink, stop - shows);
		if (found && !e && !sink->full) {
			uint64_t n = MIN(end, x.off + x.len) - stop;
			sink_data(sink, x.addr + (stop - x.off), n);
			stop += n;
		}
		off = stop;
	}
	return e;
}

enum err content_map(struct content *c, struct content_range *r, struct sink *sink)
{
	struct file *f = content_file(c, r->file);

	if (!f)
		return fail(ERR_STALE);
	r->size = content_size(f);
	r->inode = f->inode;
	if (r->off >= r->size)
		return ERR_OK;
	const struct layers l = {f->active ? f->active : f->sealing, f->active ? f->sealing : NULL,
				 wr_view(&f->manifest)};
	return map_work(c, &l, r->off, MIN(r->len, r->size - r->off), sink);
}

enum err content_work_map(struct content *c, uint64_t work, uint64_t off, uint64_t len,
			  struct sink *sink)
{
	struct file *f = content_file_of_work(c, work);

	if (!f || !f->sealing || f->sealing->no != work)
		return fail(ERR_STALE);
	if (off >= f->sealing->size)
		return ERR_OK;
	len = MIN(len, f->sealing->size - off);
	const struct layers l = {.top = f->sealing, .base = wr_view(&f->manifest)};
	return map_work(c, &l, off, len, sink);
}

struct inode_id content_work_inode(struct content *c, uint64_t work)
{
	struct file *f = content_file_of_work(c, work);

	return f ? f->inode : (struct inode_id){0, 0};
}

bool content_work_shown(struct content *c, uint64_t work)
{
	struct file *f = content_file_of_work(c, work);

	return f && !f->stale;
}

uint64_t content_work_size(struct content *c, uint64_t work)
{
	struct file *f = content_file_of_work(c, work);

	return f && f->sealing && f->sealing->no == work ? f->sealing->size : 0;
}

/*
 * A chunk of the base that starts here and holds no written byte can be taken over: cut points are
 * a function of the content behind a cut.  But the base's last chunk ended for want of bytes.
 */
enum err content_work_reuse(struct content *c, uint64_t work, uint64_t off, struct entry *ret)
{
	struct file *f = content_file_of_work(c, work);
	struct manifest m;
	struct entry e;
	struct missing lacks;
	struct extent x;
	uint64_t start;

	if (!f || !f->sealing || f->sealing->no != work)
		return fail(ERR_STALE);
	struct work *w = f->sealing;
	if (!f->manifest.len || off >= w->base_limit || manifest_decode(wr_view(&f->manifest), &m))
		return ERR_NOENT;
	if (m.is_inline || off >= m.size)
		return ERR_NOENT;
	enum err err = mapping_find(c->k.kv, &m, off, &e, &start, &lacks);
	if (err)
		return err == ERR_AGAIN ? ERR_NOENT : err;
	uint64_t end = start + e.len;
	if (start != off || end > w->base_limit || (end == m.size && w->size != m.size))
		return ERR_NOENT;
	err = extents_find(c->extents, work, off, &x);
	if (err && err != ERR_NOENT)
		return err;
	if (!err && x.off < end)
		return ERR_NOENT;
	*ret = e;
	return ERR_OK;
}

uint64_t content_ahead(struct content *c, uint64_t file, uint64_t off, uint64_t len, uint64_t *from)
{
	struct file *f = content_file(c, file);

	if (!f)
		return 0;
	/* The kernel's read-ahead sends several requests at once: a little out of order is in
	 * order. */
	bool in_order = off <= f->ahead_next + CONTENT_AHEAD_MIN &&
			off + CONTENT_AHEAD_MIN >= f->ahead_next;
	if (in_order && off + len <= f->ahead_next)
		return 0; /* the same read again, once its bytes are here */
	f->ahead_next = MAX(in_order ? f->ahead_next : 0, off + len);
	if (!in_order || f->ahead_window == 0) { /* the first read, or the first after a leap */
		f->ahead_window = in_order ? CONTENT_AHEAD_MIN : 0;
		f->ahead_done = f->ahead_next;
		return 0;
	}
	uint64_t size = content_size(f);
	uint64_t target = MIN(size, f->ahead_next + f->ahead_window);
	*from = MAX(f->ahead_done, f->ahead_next);
	if (*from >= target || (target < size && target - *from < f->ahead_window / 2))
		return 0;
	f->ahead_window = MIN(CONTENT_AHEAD_MAX, MAX(CONTENT_AHEAD_MIN, f->ahead_window * 2));
	f->ahead_done = target;
	return target - *from;
}

void content_ahead_until(struct content *c, uint64_t file, uint64_t off)
{
	struct file *f = content_file(c, file);

	if (f)
		f->ahead_done = MIN(f->ahead_done, off);
}

bool content_segment_in_use(struct content *c, uint64_t segment)
{
	return extents_in_use(c->extents, segment);
}

uint64_t content_works(const struct content *c)
{
	return c->works;
}

uint64_t content_bytes(const struct content *c)
{
	return extents_live(c->extents);
}
