// SPDX-License-Identifier: MIT
/*
 * forget.c - what no record to come can concern any more goes
 *
 * A removal must be remembered while somebody may yet write who has not heard of it.  Two things
 * are listed here: inodes that are gone (no name, no unseen edit that keeps them; a directory: no
 * place of its own, and no record held names it), and files that have a name and, beside it, heads
 * that say "removed" or versions taken away.  The list has batches.  What a record changes is
 * listed anew in the open one; so what stands in a batch has not changed since that was closed.
 *
 *	open --look--> closing --own records up to then are in bundles--> dated --stable-->
 *forgotten
 *
 * Dating writes down the vector applied at that moment.  Once every member has applied that, a
 * bundle that we lack was written by somebody who had: there, too, the inode was gone, for nothing
 * about it came later; so nobody could touch it (merge.md section 5, and its section 8 for what
 * happens with less).  When it is late, too much is remembered, never too little.
 *
 * Rows are this device's own: members forget at different times, and show the same all the while.
 *
 *	'V' 'b' batch		t u64, state u8, inodes u64, [vector]; t: of the latest own record
 *	'V' 'q' batch, inode	(empty)
 *
 * I1  an inode's `listed` is the batch whose row of 'q' it has; 0: none
 * I2  a batch has a row while inodes are listed in it; numbers rise, the open one has the greatest
 * I3  dir_row.named is the number of places, previous places and birth places held in it
 */
#include "core/forget.h"
#include "core/history.h"
#include <stdlib.h>

#define BATCHES_MAX 64 /* dated and waiting: beyond that the open one collects what comes */

enum batch_state { BATCH_OPEN = 0, BATCH_CLOSING = 1, BATCH_DATED = 2 };
struct batch {
	uint64_t no, t, inodes;
	enum batch_state state;
	struct vector *vec; /* dated; owned */
};

static void batch_fini(struct batch *b)
{
	vector_unref(b->vec);
}
#define auto_batch __attribute__((cleanup(batch_fini))) struct batch

/* ---- batches ---- */

static struct rkey batch_key(uint64_t no)
{
	struct rkey k = rows_key_view(ROW_BATCH);

	rows_key_u64(&k, no);
	return k;
}

static void batch_put(struct view *v, const struct batch *b)
{
	struct rkey k = batch_key(b->no);
	auto_wr w = {0};

	wr_u64(&w, b->t);
	wr_u8(&w, (uint8_t)b->state);
	wr_u64(&w, b->inodes);
	if (b->state == BATCH_DATED)
		vector_encode(&w, b->vec);
	rows_wr(v, &w);
	rows_put(v, &k, wr_view(&w));
}

static bool batch_read(struct view *v, struct rd r, struct batch *b)
{
	vector_unref(b->vec);
	b->vec = NULL;
	b->t = rd_u64(&r);
	b->state = (enum batch_state)rd_u8(&r);
	b->inodes = rd_u64(&r);
	if (b->state == BATCH_DATED) {
		enum err e = vector_decode(&r, &b->vec);
		if (e)
			rows_fail(v, e == ERR_NOMEM ? e : fail(ERR_DAMAGED));
	}
	if (!v->bad && !rd_done(&r))
		rows_fail(v, fail(ERR_DAMAGED));
	return !v->bad;
}

/* The next batch in order; the walk begins with the prefix of all. */
static bool batch_next(struct view *v, struct walk *w, struct batch *b)
{
	auto_wr value = {0};

	if (!rows_each(v, w, &value))
		return false;
	struct rd key = {.at = w->at.b + 2, .end = w->at.b + w->at.len};
	b->no = rd_be64(&key);
	return batch_read(v, rd_of(wr_view(&value)), b);
}

static struct walk batches(void)
{
	return (struct walk){.prefix = rows_key_view(ROW_BATCH)};
}

/* The number of the open batch, whether it has a row yet or not. */
static uint64_t open_batch(struct view *v)
{
	struct walk w = batches();
	auto_batch b = {0};

	if (v->batch)
		return v->batch;
	while (batch_next(v, &w, &b))
		v->batch = b.state == BATCH_OPEN ? b.no : b.no + 1;
	if (!v->batch && !v->bad)
		v->batch = 1;
	return v->batch;
}

/* A batch gains or loses an inode; its clock covers r, when it is given. */
static void batch_touch(struct view *v, uint64_t no, int more, const struct record *r)
{
	struct rkey k = batch_key(no);
	auto_batch b = {.no = no};
	auto_wr value = {0};
	uint64_t t = r && r->in.seq == 0 ? r->t : 0; /* others' records came in a bundle */

	bool had = rows_get(v, &k, &value) && batch_read(v, rd_of(wr_view(&value)), &b);
	if (v->bad || (had && b.t >= t && !more))
		return;
	b.t = MAX(b.t, t);
	b.inodes += (uint64_t)(int64_t)more;
	batch_put(v, &b);
}

/* ---- the list ---- */

static struct rkey list_key(uint64_t no)
{
	struct rkey k = rows_key_view(ROW_LISTED);

	rows_key_u64(&k, no);
	return k;
}

/* I1 */
static void list(struct view *v, struct inode_row *i, bool want, const struct record *r)
{
	uint64_t to = want ? open_batch(v) : 0;

	if (to)
		batch_touch(v, to, i->listed != to, r);
	if (v->bad || i->listed == to)
		return;
	if (i->listed)
		batch_touch(v, i->listed, -1, NULL);
	struct rkey from = list_key(i->listed), key = list_key(to);
	rows_key_inode(&from, i->id);
	rows_key_inode(&key, i->id);
	if (i->listed)
		rows_del(v, &from);
	if (to)
		rows_put(v, &key, (struct bytes){NULL, 0});
	i->listed = to;
	cells_put_inode(v, i);
}

enum use { USE_LIVE, USE_TIDY, USE_KEPT, USE_GONE };

static enum use dir_use(struct view *v, struct inode_id id)
{
	auto_dir d = {0};

	if (inode_equal(id, INODE_ROOT) || !cells_dir(v, id, &d))
		return USE_LIVE;
	return d.own || d.named ? USE_LIVE : USE_GONE;
}

static enum use use_of(struct view *v, const struct inode_row *i)
{
	struct walk w = cells_links(i->id);
	auto_link l = {0};
	struct place_row kept;
	bool live = false, removed = i->gone_count > 0;

	if (i->type == TYPE_DIR)
		return dir_use(v, i->id);
	while (cells_links_next(v, &w, &l)) {
		live |= reg_placed(&l) >= 0;
		for (uint32_t k = 0; k < l.count; k++)
			removed |= !l.heads[k].has_place;
	}
	if (live)
		return removed ? USE_TIDY : USE_LIVE;
	return reg_kept(v, i, &kept) ? USE_KEPT : USE_GONE;
}

static bool wanted(struct view *v, const struct inode_row *i)
{
	enum use u = use_of(v, i);

	return u == USE_GONE || u == USE_TIDY;
}

void forget_follow(struct view *v, struct inode_id id, const struct record *r)
{
	auto_inode i = {0};

	if (!cells_inode(v, id, &i))
		return;
	bool want = wanted(v, &i);
	if (want || i.listed)
		list(v, &i, want, r);
}

void forget_settle(struct view *v, const struct record *r)
{
	for (uint32_t k = 0; k < v->named_count && !v->bad; k++) {
		struct named n = v->named[k];
		auto_dir d = {0};
		if (n.by == 0 || !cells_dir(v, n.id, &d))
			continue;
		uint32_t before = d.named;
		d.named += (uint32_t)n.by; /* I3 */
		cells_put_dir(v, &d);
		if (before == 0 || d.named == 0)
			forget_follow(v, n.id, r);
	}
	v->named_count = 0;
}

/* ---- forgetting ---- */

#define FLUSH_ROWS 128 /* the write set is searched in a line */

struct job {
	const struct forget_below *b;
	struct forgotten *done;
	uint32_t rows; /* that may still go in this step */
};

static void drop_row(struct view *v, struct job *j, const struct rkey *k)
{
	rows_del(v, k);
	j->rows -= MIN(j->rows, 1);
	if (v->ws_count >= FLUSH_ROWS)
		rows_flush(v);
}

/* All link heads of an inode that is gone; true when none is left. */
static bool drop_links(struct view *v, struct job *j, struct inode_id id)
{
	struct walk w = cells_links(id);
	auto_link l = {0};

	while (j->rows && cells_links_next(v, &w, &l)) {
		for (uint32_t k = 0; k < l.count; k++)
			reg_name(v, &l.heads[k], -1);
		drop_row(v, j, &w.at);
	}
	return j->rows > 0;
}

static bool drop_xattrs(struct view *v, struct job *j, struct inode_id id)
{
	struct walk w = {.prefix = reg_xattr_key(id, (struct bytes){NULL, 0})};

	while (j->rows && rows_each(v, &w, NULL))
		drop_row(v, j, &w.at);
	return j->rows > 0;
}

static void drop_dir(struct view *v, struct inode_id id)
{
	static const enum view_row marks[] = {ROW_SURVIVOR, ROW_SKIPPED};
	struct rkey k = rows_key(TABLE_DIR);

	rows_key_inode(&k, id);
	rows_del(v, &k);
	for (size_t n = 0; n < ARRAY_LEN(marks); n++) {
		struct rkey mark = rows_key_view(marks[n]);
		rows_key_inode(&mark, id);
		if (rows_has(v, &mark))
			rows_del(v, &mark);
	}
}

/*
 * An inode that is gone, with all that is kept of it; false: the step is full, and it goes on with
 * the next.  Versions go first: without them no edit can keep the file while its removals go.
 */
static bool forget_inode(struct view *v, struct job *j, struct inode_row *i)
{
	history_forget(v, i);
	if (i->heads_count || i->gone_count) {
		reg_drop_copies(v, i);
		i->heads_count = i->gone_count = 0;
		cells_put_inode(v, i);
	}
	if (!drop_links(v, j, i->id) || !drop_xattrs(v, j, i->id))
		return false;
	if (i->has_birth)
		cells_name(v, &i->birth, -1);
	if (i->type == TYPE_DIR)
		drop_dir(v, i->id);
	struct rkey row = rows_key(TABLE_INODE), listed = list_key(i->listed);
	rows_key_inode(&row, i->id);
	rows_key_inode(&listed, i->id);
	rows_del(v, &row);
	rows_del(v, &listed);
	batch_touch(v, i->listed, -1, NULL);
	rows_count(v, ROW_COUNT, -1);
	j->done->inodes++;
	return true;
}

/* A file that has a name: the heads beside it that say "removed", and what is known of versions
 * taken away.  When it was last changed stays. */
static bool tidy_inode(struct view *v, struct job *j, struct inode_row *i)
{
	struct walk w = cells_links(i->id);
	auto_link l = {0};

	while (j->rows && cells_links_next(v, &w, &l)) {
		uint32_t left = 0;
		for (uint32_t k = 0; k < l.count; k++) {
			const struct link_head *h = &l.heads[k];
			i->wall_ms = MAX(i->wall_ms, h->wall_ms);
			if (h->has_place)
				l.heads[left++] = *h;
			else
				reg_name(v, h, -1);
		}
		if (left == l.count)
			continue;
		j->done->heads += l.count - left;
		l.count = left;
		if (left)
			cells_put_link(v, &l);
		else
			drop_row(v, j, &w.at);
	}
	bool all = j->rows > 0;
	i->tidied = true;
	if (all)
		i->gone_count = 0;
	cells_put_inode(v, i);
	if (all)
		list(v, i, false, NULL);
	return all;
}

static bool forget_one(struct view *v, struct job *j, struct inode_id id)
{
	auto_inode i = {0};

	if (!cells_inode(v, id, &i)) {
		rows_fail(v, v->bad ? v->bad : fail(ERR_DAMAGED)); /* I1 */
		return false;
	}
	j->rows -= MIN(j->rows, 1);
	if (j->b->busy && j->b->busy(j->b->arg, id)) {
		list(v, &i, true, NULL); /* asked again with the next batch */
		j->done->busy++;
		return true;
	}
	switch (use_of(v, &i)) {
	case USE_GONE:
		return forget_inode(v, j, &i);
	case USE_TIDY:
		return tidy_inode(v, j, &i);
	case USE_KEPT:
	case USE_LIVE:
		break;
	}
	list(v, &i, false, NULL);
	return true;
}

/* What is listed in a batch that is stable; true when nothing is left of it. */
static bool forget_batch(struct view *v, struct job *j, uint64_t no)
{
	struct walk w = {.prefix = list_key(no)};

	while (j->rows && !v->bad) {
		w.begun = false; /* the first goes each time */
		if (!rows_each(v, &w, NULL))
			break;
		struct rd r = {.at = w.at.b + w.at.len - INODE_ID_LEN, .end = w.at.b + w.at.len};
		(void)forget_one(v, j, ids_rd_key_inode(&r));
		forget_settle(v, NULL);
		rows_flush(v);
	}
	if (!j->rows || v->bad)
		return false;
	struct rkey k = batch_key(no);
	rows_del(v, &k);
	rows_flush(v);
	return !v->bad;
}

/* ---- what was forgotten ---- */

struct vector *forget_below(struct view *v)
{
	struct rkey k = rows_key_view(ROW_FORGOT);
	auto_wr w = {0};
	struct vector *vec = NULL;

	if (!rows_get(v, &k, &w))
		return NULL;
	struct rd r = rd_of(wr_view(&w));
	enum err e = vector_decode(&r, &vec);
	if (e)
		rows_fail(v, e == ERR_NOMEM ? e : fail(ERR_DAMAGED));
	return vec;
}

/* Before anything of a batch goes. */
static void note_below(struct view *v, const struct vector *vec)
{
	struct rkey k = rows_key_view(ROW_FORGOT);
	struct vector *old = forget_below(v);
	auto_wr w = {0};

	if (!vector_covers(old, vec) || !old) {
		struct vector *more = vector_join(old, vec);
		vector_encode(&w, more);
		rows_wr(v, &w);
		if (!more)
			rows_fail(v, fail(ERR_NOMEM));
		rows_put(v, &k, wr_view(&w));
		vector_unref(more);
	}
	vector_unref(old);
}

/* ---- the step ---- */

static void date(struct view *v, struct batch *b, const struct vector *applied)
{
	b->state = BATCH_DATED;
	b->vec = applied ? vector_ref(applied) : vector_new(NULL, 0);
	if (!b->vec) {
		rows_fail(v, fail(ERR_NOMEM));
		return;
	}
	batch_put(v, b);
}

/* Move batches on: the open one closes, unless too many wait; a closing one is dated when all of
 * this device's records that it tells of are in bundles. */
static void turn(struct view *v, const struct forget_below *b, struct forgotten *ret)
{
	struct walk w = batches();
	auto_batch x = {0};
	uint32_t waiting = 0;

	while (batch_next(v, &w, &x)) {
		if (x.state == BATCH_DATED) {
			waiting++;
			continue;
		}
		if (x.state == BATCH_OPEN) {
			if (waiting >= BATCHES_MAX)
				break;
			x.state = BATCH_CLOSING;
			v->batch = x.no + 1;
		}
		ret->dated = x.t < b->held;
		if (ret->dated)
			date(v, &x, b->applied);
		else
			batch_put(v, &x);
		break; /* one is closing at a time, and it is the last but the open one */
	}
	rows_flush(v);
}

enum err forget_step(struct view *v, const struct forget_below *b, struct forgotten *ret)
{
	struct job j = {b, ret, b->rows};

	*ret = (struct forgotten){0};
	if (b->date)
		turn(v, b, ret);
	while (!v->bad) {
		struct walk w = batches();
		auto_batch x = {0};
		if (!batch_next(v, &w, &x) || x.state != BATCH_DATED ||
		    !vector_covers(b->stable, x.vec))
			break;
		note_below(v, x.vec);
		if (!forget_batch(v, &j, x.no)) {
			ret->more = true;
			break;
		}
	}
	return v->bad;
}

void forget_count(struct view *v, struct forgetting *ret)
{
	struct walk w = batches();
	auto_batch x = {0};
	uint32_t waiting = 0;
	bool open = false;

	*ret = (struct forgetting){0};
	while (batch_next(v, &w, &x)) {
		ret->listed = true;
		ret->inodes += x.inodes;
		waiting += x.state == BATCH_DATED;
		open = x.state == BATCH_OPEN;
	}
	ret->ready = open && waiting < BATCHES_MAX;
}

/* ---- invariants ---- */

struct names { /* the directories that records held name, one entry for each time */
	struct inode_id *at;
	uint32_t count, room;
};

static void names_add(struct view *v, struct names *s, const struct place *p)
{
	struct inode_id *at = rows_grow(v, s->at, s->count, &s->room, sizeof(*at));

	if (!at)
		return;
	s->at = at;
	at[s->count++] = p->parent;
}

static int id_compare(const void *a, const void *b)
{
	return inode_compare(*(const struct inode_id *)a, *(const struct inode_id *)b);
}

static void names_of(struct view *v, struct names *s, const struct inode_row *i)
{
	struct walk w = cells_links(i->id);
	auto_link l = {0};

	if (i->has_birth)
		names_add(v, s, &i->birth);
	while (cells_links_next(v, &w, &l)) {
		for (uint32_t k = 0; k < l.count; k++) {
			if (l.heads[k].has_place)
				names_add(v, s, &l.heads[k].place);
			if (l.heads[k].has_prev)
				names_add(v, s, &l.heads[k].prev);
		}
	}
}

/* I3; both are in the order of ids. */
static void check_named(struct view *v, const struct names *s)
{
	struct walk w = {.prefix = rows_key(TABLE_DIR)};
	uint32_t at = 0;

	while (rows_each(v, &w, NULL)) {
		struct rd r = {.at = w.at.b + 1, .end = w.at.b + w.at.len};
		struct inode_id id = ids_rd_key_inode(&r);
		auto_dir d = {0};
		uint32_t from = at;

		if (!cells_dir(v, id, &d))
			return;
		while (at < s->count && inode_equal(s->at[at], id))
			at++;
		assert(inode_equal(id, INODE_ROOT) || d.named == at - from);
	}
	assert(v->bad || at == s->count); /* none that is not here */
}

static void check_batches(struct view *v)
{
	struct walk w = {.prefix = rows_key_view(ROW_LISTED)};
	struct forgetting f;
	uint64_t count = 0;

	for (; rows_each(v, &w, NULL); count++) {
		struct rd r = {.at = w.at.b + 2, .end = w.at.b + w.at.len};
		uint64_t no = rd_be64(&r);
		struct rkey k = batch_key(no);
		auto_inode i = {0};

		bool known = cells_inode(v, ids_rd_key_inode(&r), &i);
		assert(v->bad || (known && i.listed == no)); /* I1 */
		assert(v->bad || rows_has(v, &k)); /* I2 */
		assert(v->bad || no <= open_batch(v));
	}
	forget_count(v, &f);
	assert(v->bad || f.inodes == count);
}

void forget_check(struct view *v)
{
	struct walk w = {.prefix = rows_key(TABLE_INODE)};
	struct names s = {0};

	while (rows_each(v, &w, NULL)) {
		struct rd r = {.at = w.at.b + 1, .end = w.at.b + w.at.len};
		auto_inode i = {0};
		if (!cells_inode(v, ids_rd_key_inode(&r), &i))
			break;
		names_of(v, &s, &i);
		struct walk links = cells_links(i.id);
		struct rkey row = list_key(i.listed);
		rows_key_inode(&row, i.id);
		bool is = wanted(v, &i);
		assert(v->bad || !i.listed || (is && rows_has(v, &row)));
		/* One whose name has not come yet is not listed: it comes in the same bundle. */
		assert(v->bad || i.listed || !is || !rows_any(v, &links.prefix));
	}
	if (s.count)
		qsort(s.at, s.count, sizeof(s.at[0]), id_compare);
	check_named(v, &s);
	check_batches(v);
	free(s.at);
}
