// SPDX-License-Identifier: MIT
/*
 * facts.c - attributes, xattrs and versions of one inode or copy
 *
 * A copy that nobody promoted has the attributes of the inode it is of, and a version of its own.
 * What is handed out points into v->result and v->result_bytes.
 */
#include "core/facts.h"
#include "core/names.h"

#define NS_PER_MS 1000000

static int64_t ns_of(int64_t ms)
{
	int64_t ns;

	if (__builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns)) /* wall clocks are hearsay */
		return ms < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

bool facts_inode(struct view *v, struct inode_id id, struct inode_row *ret, uint32_t *head)
{
	struct inode_id file;
	struct dot dot;

	*head = 0;
	if (cells_inode(v, id, ret))
		return true;
	if (v->bad || !reg_copy(v, id, &file, &dot) || !cells_inode(v, file, ret))
		return false;
	for (uint32_t k = 0; k < ret->heads_count; k++) {
		if (dot_compare(ret->heads[k].o.dot, dot) == 0) {
			*head = k;
			return true;
		}
	}
	return false;
}

static enum err absent(struct view *v, enum err e)
{
	return v->bad ? v->bad : e;
}

uint32_t facts_mode(const struct inode_row *i)
{
	static const struct stamp never;

	if (stamp_compare(i->mode_at, never))
		return i->mode;
	if (i->type == TYPE_SYMLINK)
		return 0777;
	return i->type == TYPE_DIR ? 0755 : 0644;
}

static void stat_dir(struct view *v, struct view_attr *a, const struct inode_row *i)
{
	auto_parts parts = {0};
	auto_dir d = {0};

	if (!cells_dir(v, i->id, &d))
		return;
	bool one = dirs_parts(v, i->id, &parts) && parts.count == 1;
	a->nlink = one ? 2 + d.subdirs : 1;
	if (d.mtime_ms != 0 && d.touched_t > i->times_at.t)
		a->mtime_ns = ns_of(d.mtime_ms);
	a->ctime_ns = MAX(a->ctime_ns, ns_of(d.mtime_ms));
}

/* Its live names, and when they last changed. */
static void stat_names(struct view *v, struct view_attr *a, struct inode_id file)
{
	struct walk w = cells_links(file);
	auto_link l = {0};
	int64_t wall_ms = INT64_MIN;

	while (cells_links_next(v, &w, &l)) {
		a->nlink += reg_placed(&l) >= 0;
		for (uint32_t k = 0; k < l.count; k++)
			wall_ms = MAX(wall_ms, l.heads[k].wall_ms);
	}
	a->ctime_ns = MAX(a->ctime_ns, ns_of(wall_ms));
}

enum err facts_born(struct view *v, struct inode_id id, struct stamp *ret)
{
	struct inode_row *i = &v->result;
	uint32_t head;

	if (!facts_inode(v, id, i, &head))
		return absent(v, ERR_NOENT);
	*ret = i->born;
	return ERR_OK;
}

enum err facts_stat(struct view *v, struct inode_id id, struct view_attr *ret)
{
	struct inode_row *i = &v->result;
	static const struct stamp never;
	struct place_row kept = {0};
	uint32_t head;

	if (!facts_inode(v, id, i, &head))
		return absent(v, ERR_NOENT);
	struct view_attr a = {.id = id, .type = i->type, .rdev = i->rdev, .target = i->target};
	a.mode = facts_mode(i);
	a.has_owner = stamp_compare(i->owner_at, never) != 0;
	a.uid = i->uid;
	a.gid = i->gid;
	a.ctime_ns = ns_of(i->wall_ms);
	a.mtime_ns = ns_of(i->made_ms);
	struct stamp at = {0, 0};
	if (head < i->heads_count) {
		const struct head *h = &i->heads[head];
		a.content = h->content;
		a.version = h->o.dot;
		a.mtime_ns = h->mtime_ns;
		at = reg_stamp(&h->o);
	}
	if (stamp_compare(i->times_at, at) > 0)
		a.mtime_ns = i->mtime_ns;
	if (i->type == TYPE_DIR)
		stat_dir(v, &a, i);
	else if (inode_equal(id, i->id))
		stat_names(v, &a, i->id);
	if (a.nlink == 0 && i->type != TYPE_DIR &&
	    (!inode_equal(id, i->id) || reg_kept(v, i, &kept)))
		a.nlink = 1; /* a copy, or a file kept though removed: the name it is shown under */
	if (v->bad)
		return v->bad;
	*ret = a;
	return ERR_OK;
}

enum err facts_xattr(struct view *v, struct inode_id id, struct bytes key, struct bytes *value)
{
	auto_inode i = {0};
	uint32_t head;

	if (key.len == 0 || key.len > XATTR_NAME_MAX_BYTES || !facts_inode(v, id, &i, &head))
		return absent(v, ERR_NODATA);
	struct rkey k = reg_xattr_key(i.id, key);
	if (!rows_get(v, &k, &v->result_bytes))
		return absent(v, ERR_NODATA);
	struct rd r = rd_of(wr_view(&v->result_bytes));
	(void)rd_span(&r, 16);
	if (!rd_u8(&r))
		return absent(v, ERR_NODATA);
	*value = rd_bytes(&r, rd_left(&r));
	return ERR_OK;
}

enum err facts_xattr_next(struct view *v, struct inode_id id, struct bytes after, struct bytes *key)
{
	auto_inode i = {0};
	auto_wr value = {0};
	uint32_t head;

	if (after.len > XATTR_NAME_MAX_BYTES || !facts_inode(v, id, &i, &head))
		return absent(v, ERR_NODATA);
	struct rkey prefix = reg_xattr_key(i.id, (struct bytes){NULL, 0});
	struct rkey at = reg_xattr_key(i.id, after);
	while (rows_next(v, &at, prefix.len, true, &at, &value)) {
		struct rd r = rd_of(wr_view(&value));
		(void)rd_span(&r, 16);
		if (!rd_u8(&r))
			continue;
		wr_reset(&v->result_bytes);
		wr_raw(&v->result_bytes, at.b + prefix.len, at.len - prefix.len);
		rows_wr(v, &v->result_bytes);
		*key = wr_view(&v->result_bytes);
		return v->bad;
	}
	return absent(v, ERR_NODATA);
}

enum err facts_bases(struct view *v, struct inode_id id, struct dot *ret, uint32_t max,
		     uint32_t *count)
{
	auto_inode i = {0};
	uint32_t head, n = 0;

	if (!facts_inode(v, id, &i, &head))
		return absent(v, ERR_NOENT);
	int32_t *behind = reg_behind(v, &i);
	for (uint32_t k = 0; behind && k < i.heads_count; k++) {
		if (k != head && behind[k] != (int32_t)head)
			continue;
		if (n < max)
			ret[n] = i.heads[k].o.dot;
		n++;
	}
	free(behind);
	if (v->bad)
		return v->bad;
	if (n > max)
		return fail(ERR_FULL);
	*count = n;
	return ERR_OK;
}

enum err facts_version(struct view *v, struct inode_id id, struct dot dot, struct version *ret)
{
	struct inode_row *i = &v->result;
	uint32_t head;

	if (!facts_inode(v, id, i, &head))
		return absent(v, ERR_NOENT);
	for (uint32_t k = 0; k < i->heads_count; k++) {
		const struct head *h = &i->heads[k];
		if (dot_compare(h->o.dot, dot) != 0)
			continue;
		struct where in = h->o.in.seq ? h->o.in : v->hooks.where(v->hooks.arg, h->o.dot);
		if (in.seq == 0)
			in = h->o.in;
		*ret = (struct version){.dot = h->o.dot,
					.t = h->o.t,
					.in = in,
					.vec = rows_vector(v, h->o.vec),
					.mtime_ns = h->mtime_ns,
					.content = h->content};
		return v->bad;
	}
	return absent(v, ERR_NOENT);
}
