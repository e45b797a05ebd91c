// SPDX-License-Identifier: MIT
/*
 * history.c - rows of what was: see history.h
 *
 * On the path of a record: reg hands over each head that it takes away; when the record is done
 * and before its rows are stored, the places that it empties are found in the write set, so that
 * what moves away and back within one record leaves no trace.  A removed file's last version needs
 * no row while its registers are kept: they hold it.
 *
 * Each row begins with the date of its end, by which it goes: the latest of the record's own time
 * and clock and of the date at which it came here (J_DATE), so that what an absent device did weeks
 * ago can be undone for keep_versions from the day on which it is known.
 *
 *	'H' 'v' inode ~t inc op			since end by, origin mtime content
 *	'H' 'n' parent name 0 ~t inc op		since flags type inode n from
 *	'H' 'i' inode				since, row of 'I' without heads
 *	'H' 'x' inode key			since, row of 'X'
 *	'H' 'o' copy				since, inode, dot
 *
 * ~t: clocks run backwards in keys, so that the latest comes first.
 */
#include "core/history.h"

enum history_row {
	ROW_VERSION = 'v',
	ROW_NAME = 'n',
	ROW_INODE = 'i',
	ROW_XATTR = 'x',
	ROW_ORIGIN = 'o'
};

static struct rkey key_of(enum history_row r)
{
	struct rkey k = rows_key(TABLE_HISTORY);

	k.b[k.len++] = (uint8_t)r;
	return k;
}

static struct rkey key_inode(enum history_row r, struct inode_id i)
{
	struct rkey k = key_of(r);

	rows_key_inode(&k, i);
	return k;
}

static void put(struct view *v, const struct rkey *k, const struct wr *w)
{
	rows_wr(v, w);
	rows_put(v, k, wr_view(w));
}

/* ---- written ---- */

static int64_t news_ms(struct view *v)
{
	return v->hooks.now ? v->hooks.now(v->hooks.arg) : 0;
}

static int64_t since(struct view *v, const struct record *r)
{
	return MAX(MAX((int64_t)(r->t >> 16), r->wall_ms), news_ms(v));
}

static void put_version(struct view *v, const struct history_version *h)
{
	struct rkey k = key_inode(ROW_VERSION, h->inode);
	auto_wr w = {0};

	rows_key_name(&k, (struct name_id){~h->h.o.t, h->h.o.dot.inc, h->h.o.dot.op});
	wr_u64(&w, (uint64_t)h->since_ms);
	wr_u8(&w, (uint8_t)h->end);
	wr_u64(&w, h->by);
	cells_put_origin(&w, &h->h.o);
	wr_u64(&w, (uint64_t)h->h.mtime_ns);
	wr_bytes(&w, h->h.content);
	put(v, &k, &w);
}

void history_took(struct view *v, struct inode_id i, const struct head *h, const struct record *r)
{
	struct history_version old = {
		.inode = i, .h = *h, .since_ms = since(v, r), .by = r->dot.inc};

	if (r->kind == REC_INODE)
		old.end = HISTORY_PROMOTED;
	else
		old.end = r->content.dropped ? HISTORY_DROPPED : HISTORY_REPLACED;
	put_version(v, &old);
}

void history_promoted(struct view *v, struct inode_id id, struct inode_id file, struct dot dot,
		      const struct record *r)
{
	struct rkey k = key_inode(ROW_ORIGIN, id);
	auto_wr w = {0};

	wr_u64(&w, (uint64_t)since(v, r));
	ids_key_inode(&w, file);
	ids_key_inode(&w, (struct inode_id){dot.inc, dot.op});
	put(v, &k, &w);
}

static void put_name(struct view *v, const struct history_name *h, uint64_t op)
{
	struct rkey k = key_inode(ROW_NAME, h->parent);
	auto_wr w = {0};

	rows_key_text(&k, (struct bytes){h->name, h->name_len});
	rows_key_name(&k, (struct name_id){~h->until.t, h->until.inc, op});
	wr_u64(&w, (uint64_t)h->since_ms);
	wr_u8(&w, h->moved);
	wr_u8(&w, (uint8_t)h->type);
	ids_key_inode(&w, h->inode);
	ids_key_name(&w, h->n);
	wr_u64(&w, h->from_t);
	put(v, &k, &w);
}

/* Fill in what stood at a place whose row goes, as things were before; false: nothing did. */
static bool stood(struct view *v, const struct rkey *k, struct history_name *h)
{
	auto_wr value = {0};
	struct bytes name;
	struct rd r;

	if (!rows_get(v, k, &value) || !rows_key_place(k, 1, &h->parent, &name, &r))
		return false;
	h->n = ids_rd_key_name(&r);
	h->inode = ids_rd_key_inode(&r);
	r = rd_of(wr_view(&value));
	(void)rd_u8(&r);
	h->type = rd_u8(&r);
	h->from_t = rd_u64(&r);
	h->name_len = (uint16_t)name.len;
	memcpy(h->name, name.at, name.len);
	return true;
}

/* The same of a directory: its own row tells whether it lived, and so had that one. */
static bool dir_stood(struct view *v, const struct rkey *k, struct history_name *h)
{
	auto_dir d = {0};
	struct bytes name;
	struct rd r;

	if (!rows_key_place(k, 1, &h->parent, &name, &r))
		return false;
	h->inode = ids_rd_key_inode(&r);
	if (!cells_dir(v, h->inode, &d) || !d.live)
		return false;
	const struct place *at = &d.cands[d.level]; /* where it was effective, and nowhere else */
	if (!inode_equal(at->parent, h->parent) || !bytes_equal(at->name, name))
		return false;
	h->n = (struct name_id){0, 0, 0};
	h->type = TYPE_DIR;
	h->from_t = d.at.t;
	h->name_len = (uint16_t)name.len;
	memcpy(h->name, name.at, name.len);
	return true;
}

void history_left(struct view *v, const struct record *r)
{
	const uint32_t count = v->ws_count; /* rows of ours come behind them */

	for (uint32_t n = 0; n < count && !v->bad; n++) {
		const struct ws_row *row = &v->ws[n];
		const uint8_t table = v->ws_bytes.at[row->key_at];
		struct history_name h;
		struct rkey k;

		if (!row->del || (table != TABLE_PLACE && table != TABLE_CHILD))
			continue;
		k.len = row->key_len;
		memcpy(k.b, v->ws_bytes.at + row->key_at, row->key_len);
		v->old = true;
		bool left = table == TABLE_PLACE ? stood(v, &k, &h) : dir_stood(v, &k, &h);
		v->old = false;
		if (!left)
			continue;
		h.until = record_stamp(r);
		h.since_ms = since(v, r);
		h.moved =
			r->kind == REC_LINK && r->link.has_place && inode_equal(r->inode, h.inode);
		put_name(v, &h, r->dot.op);
	}
}

void history_forget(struct view *v, const struct inode_row *i)
{
	struct rkey prefix = rows_key(TABLE_XATTR), k = key_inode(ROW_INODE, i->id);
	struct history_version last = {
		.inode = i->id, .since_ms = MAX(news_ms(v), i->wall_ms), .end = HISTORY_GONE};
	struct inode_row bare = *i;
	auto_wr w = {0}, value = {0};

	for (uint32_t n = 0; n < i->heads_count; n++) {
		last.h = i->heads[n];
		put_version(v, &last);
	}
	bare.heads_count = bare.gone_count = 0;
	wr_u64(&w, (uint64_t)last.since_ms);
	cells_write_inode(&w, &bare);
	put(v, &k, &w);
	rows_key_inode(&prefix, i->id);
	struct walk x = {.prefix = prefix};
	while (rows_each(v, &x, &value)) {
		k = key_inode(ROW_XATTR, i->id);
		memcpy(k.b + k.len, x.at.b + prefix.len, x.at.len - prefix.len);
		k.len += x.at.len - prefix.len;
		wr_reset(&w);
		wr_u64(&w, (uint64_t)last.since_ms);
		wr_bytes(&w, wr_view(&value));
		put(v, &k, &w);
	}
}

/* ---- asked ---- */

static bool damaged(struct view *v, const struct rd *r)
{
	if (r->bad)
		rows_fail(v, fail(ERR_DAMAGED));
	return v->bad;
}

struct walk history_versions(struct inode_id inode, uint64_t t)
{
	struct walk w = {.prefix = key_inode(ROW_VERSION, inode), .begun = true};

	w.at = w.prefix;
	rows_key_name(&w.at, (struct name_id){~t, 0, 0});
	return w;
}

bool history_versions_next(struct view *v, struct walk *w, struct history_version *h)
{
	if (!rows_each(v, w, &h->raw))
		return false;
	struct rd r = {.at = w->at.b + 2, .end = w->at.b + w->at.len};
	h->inode = ids_rd_key_inode(&r);
	r = rd_of(wr_view(&h->raw));
	h->since_ms = (int64_t)rd_u64(&r);
	h->end = rd_u8(&r);
	h->by = rd_u64(&r);
	h->h.o = cells_get_origin(&r);
	h->h.mtime_ns = (int64_t)rd_u64(&r);
	h->h.content = rd_bytes(&r, rd_left(&r));
	return !damaged(v, &r);
}

void history_version_fini(struct history_version *h)
{
	wr_fini(&h->raw);
	*h = (struct history_version){0};
}

struct walk history_names(struct inode_id parent, struct bytes name)
{
	struct walk w = {.prefix = key_inode(ROW_NAME, parent)};

	rows_key_text(&w.prefix, name);
	return w;
}

bool history_names_next(struct view *v, struct walk *w, struct history_name *h)
{
	auto_wr value = {0};
	struct bytes name;
	struct rd r;

	if (!rows_each(v, w, &value))
		return false;
	if (!rows_key_place(&w->at, 2, &h->parent, &name, &r) || name.len > NAME_BYTES_MAX) {
		rows_fail(v, fail(ERR_DAMAGED));
		return false;
	}
	h->name_len = (uint16_t)name.len;
	memcpy(h->name, name.at, name.len);
	struct name_id until = ids_rd_key_name(&r);
	h->until = (struct stamp){~until.t, until.inc};
	r = rd_of(wr_view(&value));
	h->since_ms = (int64_t)rd_u64(&r);
	h->moved = rd_u8(&r);
	h->type = rd_u8(&r);
	h->inode = ids_rd_key_inode(&r);
	h->n = ids_rd_key_name(&r);
	h->from_t = rd_u64(&r);
	return !damaged(v, &r);
}

bool history_name_after(struct view *v, struct inode_id parent, struct bytes after,
			uint8_t ret[NAME_BYTES_MAX], size_t *len)
{
	struct rkey prefix = key_inode(ROW_NAME, parent), at = prefix;
	struct bytes name;
	struct rd r;

	if (after.len)
		rows_key_after(&at, after);
	if (!rows_next(v, &at, prefix.len, false, &at, NULL) ||
	    !rows_key_place(&at, 2, &parent, &name, &r) || name.len > NAME_BYTES_MAX)
		return false;
	memcpy(ret, name.at, name.len);
	*len = name.len;
	return true;
}

bool history_inode(struct view *v, struct inode_id id, struct inode_row *ret)
{
	struct rkey k = key_inode(ROW_INODE, id);

	if (!rows_get(v, &k, &ret->raw) || ret->raw.len < 8)
		return false;
	return cells_read_inode(v, id, (struct bytes){ret->raw.at + 8, ret->raw.len - 8}, ret);
}

bool history_xattr(struct view *v, struct inode_id id, struct bytes after, struct wr *key,
		   struct wr *value)
{
	struct rkey prefix = key_inode(ROW_XATTR, id), at = prefix;
	auto_wr row = {0};

	memcpy(at.b + at.len, after.at ? after.at : prefix.b, after.len);
	at.len += after.len;
	while (rows_next(v, &at, prefix.len, true, &at, &row)) {
		struct rd r = rd_of(wr_view(&row));

		(void)rd_span(&r, 8 + 16); /* its dates */
		if (!rd_u8(&r))
			continue; /* it was taken away */
		wr_reset(key);
		wr_raw(key, at.b + prefix.len, at.len - prefix.len);
		wr_reset(value);
		wr_bytes(value, rd_bytes(&r, rd_left(&r)));
		rows_wr(v, key);
		rows_wr(v, value);
		return !damaged(v, &r);
	}
	return false;
}

bool history_origin(struct view *v, struct inode_id id, struct inode_id *file, struct dot *dot)
{
	struct rkey k = key_inode(ROW_ORIGIN, id);
	auto_wr w = {0};

	if (!inode_derived(id) || !rows_get(v, &k, &w))
		return false;
	struct rd r = rd_of(wr_view(&w));
	(void)rd_u64(&r);
	*file = ids_rd_key_inode(&r);
	struct inode_id d = ids_rd_key_inode(&r);
	*dot = (struct dot){d.inc, d.op};
	return !damaged(v, &r);
}

/* ---- expiry ---- */

/* The row in hand: gone, dated anew, or left. */
static enum err sweep_row(struct kv *kv, const struct rkey *k, struct bytes value, int64_t wall_ms,
			  int64_t keep_ms)
{
	struct rd r = rd_of(value);
	int64_t end_ms = (int64_t)rd_u64(&r);

	if (r.bad || (end_ms < wall_ms && wall_ms - end_ms > keep_ms))
		return kv_del(kv, rows_key_bytes(k));
	if (end_ms <= wall_ms || end_ms - wall_ms <= HISTORY_AHEAD_MS)
		return ERR_OK;
	struct wr w = {0};

	wr_u64(&w, (uint64_t)wall_ms);
	wr_bytes(&w, (struct bytes){value.at + 8, value.len - 8});
	enum err e = w.bad ? fail(ERR_NOMEM) : kv_put(kv, rows_key_bytes(k), wr_view(&w));

	wr_fini(&w);
	return e;
}

enum err history_sweep(struct kv *kv, struct history_sweep *s, uint64_t now_usec, int64_t wall_ms,
		       int64_t keep_ms)
{
	struct bytes key, value;
	bool beyond = s->at.len > 0;
	enum err e = ERR_OK;

	if (s->due_usec > now_usec)
		return ERR_OK;
	if (!beyond)
		s->at = rows_key(TABLE_HISTORY);
	for (uint32_t n = 0; n < HISTORY_SWEEP_ROWS && !e && keep_ms; n++) {
		e = kv_next_in(kv, rows_key_bytes(&s->at), 1, beyond, &key, &value);
		if (e)
			break;
		beyond = true;
		assert(key.len <= sizeof(s->at.b));
		s->at.len = key.len;
		memcpy(s->at.b, key.at, key.len);
		e = sweep_row(kv, &s->at, value, wall_ms, keep_ms);
	}
	bool over = e == ERR_NOENT || !keep_ms;
	if (over)
		s->at.len = 0;
	s->due_usec = now_usec + (over ? HISTORY_PASS_USEC : HISTORY_SWEEP_USEC);
	return e == ERR_NOENT ? ERR_OK : e;
}
