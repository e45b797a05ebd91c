// SPDX-License-Identifier: MIT
/*
 * simfile.c - what programs do with open files, and what they must read
 *
 * A file that is opened for writing has a shadow: the bytes it must hold, kept beside the node and
 * compared at each reading.  What is read of a file nobody writes is compared with the version
 * that it showed when it was opened, wherever the bytes have to come from.
 *
 * Contents come from a small pool now and then, so that equal contents meet.
 */
#include "simfile.h"
#include "oracle.h"
#include "simnode.h"
#include "simpool.h"
#include <stdlib.h>

#define SIZE_MAX_BYTES (2u << 20)

static uint32_t below(struct world *w, uint32_t bound)
{
	return (uint32_t)world_below(w, bound);
}

/* Errors that say nothing against the node. */
static bool may_fail(const struct simnode *n, enum err e)
{
	return (e == ERR_ROFS && simnode_may_lack(n)) || (e == ERR_NOSPC && n->full_until) ||
	       (e == ERR_DAMAGED && n->rotten.len);
}

static void any_bytes(struct world *w, struct wr *to, size_t len)
{
	uint8_t *p = wr_span(to, len);

	assert(p || len == 0);
	if (len == 0)
		return;
	switch (below(w, 6)) {
	case 0:
		memset(p, 0, len);
		break;
	case 1: /* the same on every device */
		memset(p, (int)('0' + below(w, 4)), len);
		break;
	default:
		dice_bytes(&w->dice, p, len);
		break;
	}
}

/* Contents that ride in the record: nobody need meet the author, who may be a liar. */
static bool tiny(const struct simnode *n)
{
	return n->w->p->tiny || n->liar;
}

static size_t any_size(const struct simnode *n)
{
	struct world *w = n->w;

	if (tiny(n))
		return 1 + below(w, 200);
	if (world_chance(w, w->p->big))
		return 1 + below(w, 700000);
	return world_chance(w, 4) ? 1 + below(w, 40000) : 1 + below(w, 300);
}

/* ---- shadows: what an open file must hold ---- */

static struct shadow *shadow_find(struct simnode *n, uint64_t file)
{
	for (uint32_t k = 0; k < n->shadows_count; k++)
		if (n->shadows[k].file == file)
			return &n->shadows[k];
	return NULL;
}

static struct shadow *shadow_of(struct simnode *n, uint64_t file)
{
	struct shadow *s = shadow_find(n, file);

	if (!s)
		abort();
	return s;
}

static uint64_t works(struct simnode *n)
{
	struct node_counts c;

	node_counts(n->node, &c);
	return c.works;
}

/* Forget what nobody has open any more, once nothing is unsealed. */
void simfile_prune(struct simnode *n)
{
	uint32_t kept = 0;

	if (works(n))
		return;
	for (uint32_t k = 0; k < n->shadows_count; k++) {
		if (n->shadows[k].handles || n->shadows[k].writers)
			n->shadows[kept++] = n->shadows[k];
		else
			wr_fini(&n->shadows[k].bytes);
	}
	n->shadows_count = kept;
}

static struct shadow *shadow_new(struct simnode *n, uint64_t file, struct inode_id inode)
{
	if (n->shadows_count == n->shadows_room) {
		n->shadows_room = n->shadows_room ? n->shadows_room * 2 : 16;
		n->shadows = realloc(n->shadows, n->shadows_room * sizeof(*n->shadows));
		assert(n->shadows);
	}
	struct shadow *s = &n->shadows[n->shadows_count++];
	memset(s, 0, sizeof(*s));
	s->file = file;
	s->inode = inode;
	return s;
}

static enum err read_step(struct simnode *n, uint64_t file, uint64_t tag, uint64_t off,
			  struct wr *ret)
{
	static const uint32_t lens[] = {4096, 65536, 131072, 1u << 20};
	struct piece *pieces = malloc(NODE_PIECES_MAX * sizeof(*pieces));
	struct event ev = {.kind = EV_READ};
	size_t before = ret->len;

	assert(pieces);
	ev.read.file = file;
	ev.read.off = off;
	ev.read.len = lens[below(n->w, ARRAY_LEN(lens))];
	ev.read.tag = tag;
	ev.read.pieces = pieces;
	uint32_t asked = ev.read.len;
	enum err e = simnode_step(n, &ev);
	if (!e)
		e = simpool_read(n, pieces, ev.read.count, ret);
	if (!e && ret->len - before != ev.read.len)
		world_fail(n->w, "node %u: EV_READ tells %u bytes and maps %zu", n->no, ev.read.len,
			   ret->len - before);
	if (!e && ev.read.len > asked)
		world_fail(n->w, "node %u: EV_READ maps more than was asked for", n->no);
	if (!e && ev.read.len == 0 && ev.read.more)
		world_fail(n->w, "node %u: EV_READ makes no progress", n->no);
	free(pieces);
	return e;
}

static enum err read_now(struct simnode *n, uint64_t file, struct wr *ret)
{
	for (;;) {
		size_t before = ret->len;
		enum err e = read_step(n, file, 0, before, ret);
		if (e || n->w->failed)
			return e ? e : ERR_IO;
		if (ret->len == before)
			return ERR_OK;
	}
}

static void differs(struct simnode *n, const char *what, struct bytes got, struct bytes want)
{
	size_t at = 0;

	while (at < got.len && at < want.len && got.at[at] == want.at[at])
		at++;
	world_fail(n->w, "node %u: %s: %zu bytes, not the %zu expected; they differ at %zu", n->no,
		   what, got.len, want.len, at);
}

/* What is read at opening is what the version is, or what was written here before. */
static void shadow_begin(struct simnode *n, struct shadow *s, uint64_t unsealed)
{
	struct wr got = {0}, want = {0};
	struct node_stat st;
	enum err e = read_now(n, s->file, &got);

	if (e == ERR_AGAIN || e == ERR_UNREACHABLE || may_fail(n, e)) {
		s->known = false;
		wr_fini(&got);
		return;
	}
	if (e || node_stat(n->node, s->inode, s->file, &st)) {
		world_fail(n->w, "node %u: an open file cannot be read: %s", n->no, err_text(e));
		wr_fini(&got);
		return;
	}
	if (st.size != got.len)
		world_fail(n->w, "node %u: a file of %zu bytes has %llu by node_stat()", n->no,
			   got.len, (unsigned long long)st.size);
	bool same = s->known && bytes_equal(wr_view(&got), wr_view(&s->bytes));
	bool told = oracle_content(n->w, st.a.content, &want);
	if (!same && !unsealed && !told)
		world_fail(n->w, "node %u: a manifest that nobody sealed", n->no);
	else if (!same && !unsealed && !bytes_equal(wr_view(&got), wr_view(&want)))
		differs(n, "at opening", wr_view(&got), wr_view(&want));
	wr_fini(&want);
	wr_fini(&s->bytes);
	s->bytes = got;
	s->known = true;
}

static struct shadow *open_for(struct simnode *n, struct inode_id inode, bool write)
{
	struct event ev = {.kind = EV_OPEN};
	uint64_t unsealed = works(n);

	ev.open.inode = inode;
	ev.open.write = write;
	enum err e = simnode_step(n, &ev);
	if (e) {
		if (e != ERR_NOENT && !may_fail(n, e))
			world_fail(n->w, "node %u: open says %s", n->no, err_text(e));
		return NULL;
	}
	struct shadow *s = shadow_find(n, ev.open.file);
	bool fresh = !s || (s->handles == 0 && s->writers == 0);
	if (!s)
		s = shadow_new(n, ev.open.file, inode);
	if (fresh)
		shadow_begin(n, s, unsealed);
	for (uint32_t k = 0; write && k < n->parked_count; k++)
		n->parked[k].moved |= n->parked[k].file == s->file;
	if (write)
		s->writers++;
	else
		s->handles++;
	return n->w->failed ? NULL : s;
}

/* A close cannot fail: the mount goes on with it when there is room. */
static void close_later(struct simnode *n, uint64_t file, bool write)
{
	if (n->late_count == n->late_room) {
		n->late_room = n->late_room ? n->late_room * 2 : 8;
		n->late = realloc(n->late, n->late_room * sizeof(*n->late));
		assert(n->late);
	}
	n->late[n->late_count++] = (struct late){file, write};
}

static void close_one(struct simnode *n, uint64_t file, bool write)
{
	struct event ev = {.kind = EV_RELEASE};
	struct shadow *s = shadow_of(n, file);

	ev.file.file = file;
	ev.file.write = write;
	if (write)
		s->writers--;
	else
		s->handles--;
	enum err e = simnode_step(n, &ev);
	if (e == ERR_NOSPC) {
		close_later(n, file, write);
		return;
	}
	if (e)
		world_fail(n->w, "node %u: close says %s", n->no, err_text(e));
}

void simfile_space(struct simnode *n)
{
	uint32_t count = n->late_count;

	n->late_count = 0;
	for (uint32_t k = 0; n->node && k < count && !n->w->failed; k++) {
		struct event ev = {.kind = EV_RELEASE};
		ev.file.file = n->late[k].file;
		ev.file.write = n->late[k].write;
		enum err e = simnode_step(n, &ev);
		if (e)
			world_fail(n->w, "node %u: a late close says %s", n->no, err_text(e));
	}
}

/* ---- contents ---- */

static void shadow_write(struct shadow *s, uint64_t off, struct bytes data)
{
	s->changed = true;
	if (!s->known)
		return;
	if (off + data.len > s->bytes.len) {
		size_t more = off + data.len - s->bytes.len;
		uint8_t *to = wr_span(&s->bytes, more);
		assert(to);
		memset(to, 0, more);
	}
	memcpy(s->bytes.at + off, data.at, data.len);
}

static void write_once(struct simnode *n, uint64_t file)
{
	struct world *w = n->w;
	struct shadow *s = shadow_of(n, file);
	struct event ev = {.kind = EV_WRITE};
	struct wr data = {0};
	uint64_t size = s->known ? s->bytes.len : 1000;

	any_bytes(w, &data, any_size(n));
	ev.write.file = file;
	ev.write.append = world_chance(w, 3);
	ev.write.off = world_below(w, size + (world_chance(w, 4) ? 30000 : 1));
	ev.write.len = (uint32_t)data.len;
	uint64_t most = tiny(n) ? INLINE_BYTES_MAX : SIZE_MAX_BYTES;
	if (ev.write.off + data.len > most)
		ev.write.off = 0;
	ev.write.addr = simdisk_write(&n->disk, wr_view(&data));
	uint64_t off = ev.write.append && s->known ? s->bytes.len : ev.write.off;
	if (ev.write.append && (tiny(n) || off + data.len > most)) {
		ev.write.append = false;
		ev.write.off = off = 0;
	}
	enum err e = simnode_step(n, &ev);
	if (e && !may_fail(n, e))
		world_fail(w, "node %u: write says %s", n->no, err_text(e));
	else if (!e)
		shadow_write(shadow_of(n, file), off, wr_view(&data));
	world_say(w, "node %u: write file %llu: %u bytes at %llu", n->no, (unsigned long long)file,
		  ev.write.len, (unsigned long long)off);
	wr_fini(&data);
}

static void truncate_once(struct simnode *n, uint64_t file)
{
	struct event ev = {.kind = EV_TRUNCATE};
	struct shadow *s = shadow_of(n, file);
	uint64_t size = s->known ? s->bytes.len : 1000;

	ev.truncate.file = file;
	ev.truncate.inode = s->inode;
	if (!world_chance(n->w, 3))
		ev.truncate.size = world_below(n->w, tiny(n) ? 500 : size + 5000);
	enum err e = simnode_step(n, &ev);
	world_say(n->w, "node %u: truncate file %llu to %llu: %s", n->no, (unsigned long long)file,
		  (unsigned long long)ev.truncate.size, err_text(e));
	if (e) {
		if (!may_fail(n, e))
			world_fail(n->w, "node %u: truncate says %s", n->no, err_text(e));
		return;
	}
	s = shadow_of(n, file);
	s->changed = true;
	if (s->known && ev.truncate.size < s->bytes.len) {
		s->bytes.len = ev.truncate.size;
	} else if (s->known && ev.truncate.size > s->bytes.len) {
		size_t more = ev.truncate.size - s->bytes.len;
		uint8_t *to = wr_span(&s->bytes, more);
		assert(to);
		memset(to, 0, more);
	}
	if (!s->known && ev.truncate.size == 0) {
		s->known = true;
		s->bytes.len = 0; /* what it held when its content was last known */
	}
}

/* A file that was written reads back as written. */
static void read_back(struct simnode *n, uint64_t file)
{
	struct wr got = {0};
	enum err e = read_now(n, file, &got);
	struct shadow *s = shadow_of(n, file);

	if (!e && s->known && !bytes_equal(wr_view(&got), wr_view(&s->bytes)))
		differs(n, "reading back", wr_view(&got), wr_view(&s->bytes));
	if (e && e != ERR_AGAIN && e != ERR_UNREACHABLE && !may_fail(n, e))
		world_fail(n->w, "node %u: reading back says %s", n->no, err_text(e));
	wr_fini(&got);
}

static void close_written(struct simnode *n, uint64_t file)
{
	struct shadow *s = shadow_of(n, file);
	struct inode_id inode = s->inode;

	if (s->known && s->changed && s->writers == 1 && view_is_shown(node_view(n->node), inode))
		oracle_closed(n, inode, wr_view(&s->bytes));
	s->changed &= s->writers > 1;
	close_one(n, file, true);
}

void simfile_write(struct simnode *n, struct inode_id inode)
{
	struct world *w = n->w;
	struct shadow *s = open_for(n, inode, true);

	if (!s)
		return;
	uint64_t file = s->file;
	oracle_removed(n); /* what was closed before may be written over before it is sealed */
	if (world_chance(w, 4))
		truncate_once(n, file);
	for (uint32_t k = 1 + below(w, 3); k && !w->failed; k--)
		write_once(n, file);
	if (world_chance(w, 5) && !w->failed)
		truncate_once(n, file);
	if (!w->failed)
		read_back(n, file);
	if (!w->failed && !world_chance(w, 5))
		close_written(n, file); /* else it stays open */
}

bool simfile_go_on(struct simnode *n)
{
	for (uint32_t k = 0; k < n->shadows_count; k++) {
		if (!n->shadows[k].writers)
			continue;
		uint64_t file = n->shadows[k].file;
		if (world_chance(n->w, 3))
			write_once(n, file);
		if (!n->w->failed)
			read_back(n, file);
		if (!n->w->failed)
			close_written(n, file);
		return true;
	}
	return false;
}

/* ---- reads that may wait ---- */

static void parked_free(struct simnode *n, uint32_t k)
{
	wr_fini(&n->parked[k].want);
	n->parked[k] = n->parked[--n->parked_count];
}

static struct parked *parked_find(struct simnode *n, uint64_t tag, uint32_t *at)
{
	for (*at = 0; *at < n->parked_count; (*at)++)
		if (n->parked[*at].tag == tag)
			return &n->parked[*at];
	return NULL;
}

static void read_ends(struct simnode *n, uint32_t at, enum err e)
{
	struct parked *p = &n->parked[at];
	uint64_t file = p->file;

	bool may = e == ERR_UNREACHABLE || e == ERR_TIMEDOUT || may_fail(n, e);
	if (e && (p->must || !may))
		world_fail(n->w, "node %u: reading /%s at %llu of %zu: %s", n->no, p->path,
			   (unsigned long long)p->off, p->want.len, err_text(e));
	if (!e && p->off != p->want.len)
		world_fail(n->w, "node %u: /%s ends at %llu of %zu", n->no, p->path,
			   (unsigned long long)p->off, p->want.len);
	parked_free(n, at);
	if (n->node && !n->w->failed)
		close_one(n, file, false);
}

void simfile_again(struct simnode *n, uint64_t tag, enum err err)
{
	uint32_t at;
	struct parked *p = parked_find(n, tag, &at);
	struct wr got = {0};
	enum err e = err;

	if (!p)
		return;
	if (p->moved) { /* somebody writes it meanwhile */
		uint64_t file = p->file;
		parked_free(n, at);
		close_one(n, file, false);
		return;
	}
	if (!e)
		e = read_step(n, p->file, tag, p->off, &got);
	if (n->w->failed || e == ERR_AGAIN) {
		wr_fini(&got);
		return;
	}
	p = parked_find(n, tag, &at);
	bool end = !e && got.len == 0;
	if (!e && (got.len > p->want.len - p->off ||
		   (got.len && memcmp(got.at, p->want.at + p->off, got.len) != 0)))
		world_fail(n->w, "node %u: /%s holds something else at %llu", n->no, p->path,
			   (unsigned long long)p->off);
	p->off += got.len;
	wr_fini(&got);
	if (e || end || n->w->failed)
		read_ends(n, at, e);
	else
		world_timer_of(n, TIMER_READ, 10)->a = tag;
}

void simfile_read(struct simnode *n, const struct leaf *l, bool must)
{
	uint64_t unsealed = works(n);
	struct event ev = {.kind = EV_OPEN};
	struct wr want = {0};
	struct node_stat st;

	ev.open.inode = l->s.id;
	enum err e = simnode_step(n, &ev);
	if (e) {
		if (!may_fail(n, e))
			world_fail(n->w, "node %u: open /%s says %s", n->no, l->path, err_text(e));
		return;
	}
	struct shadow *s = shadow_find(n, ev.open.file);
	e = node_stat(n->node, l->s.id, ev.open.file, &st);
	if (e) {
		world_fail(n->w, "node %u: stat of open /%s: %s", n->no, l->path, err_text(e));
		return;
	}
	bool told = oracle_content(n->w, st.a.content, &want);
	if (!told)
		world_fail(n->w, "node %u: /%s is of a manifest nobody sealed", n->no, l->path);
	if (!s)
		s = shadow_new(n, ev.open.file, l->s.id);
	s->handles++;
	if (unsealed || s->writers || s->handles > 1) { /* it may be written meanwhile */
		wr_fini(&want);
		close_one(n, s->file, false);
		return;
	}
	if (st.size != want.len)
		world_fail(n->w, "node %u: /%s has %zu bytes, node_stat() says %llu", n->no,
			   l->path, want.len, (unsigned long long)st.size);
	if (n->parked_count == n->parked_room) {
		n->parked_room = n->parked_room ? n->parked_room * 2 : 16;
		n->parked = realloc(n->parked, n->parked_room * sizeof(*n->parked));
		assert(n->parked);
	}
	struct parked *p = &n->parked[n->parked_count++];
	memset(p, 0, sizeof(*p));
	p->tag = ++n->w->tags;
	p->file = s->file;
	p->must = must;
	p->want = want;
	snprintf(p->path, sizeof(p->path), "%s", l->path);
	world_timer_of(n, TIMER_READ, 10)->a = p->tag;
}

void simfile_read_all(struct world *w)
{
	bool must = !plan_lies(w->p) && !plan_has(w->p, ITEM_EXPEL, ITEM_RETIRE);

	for (uint32_t k = 0; k < w->count && !w->failed; k++) {
		struct tree t;
		char why[256];
		if (!world_counts(w, k))
			continue;
		if (!tree_list(w->nodes[k].node, &t, why, sizeof(why)))
			world_fail(w, "node %u: %s", k, why);
		for (uint32_t j = 0; j < t.count && !w->failed; j++)
			if (t.at[j].s.type == TYPE_FILE)
				simfile_read(&w->nodes[k], &t.at[j], must);
		tree_fini(&t);
	}
}

bool simfile_reading(const struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++)
		if (w->nodes[k].parked_count)
			return true;
	return false;
}

void simfile_close_all(struct simnode *n)
{
	for (uint32_t k = 0; k < n->parked_count; k++) {
		struct event ev = {.kind = EV_READ_CANCEL};
		ev.read.tag = n->parked[k].tag;
		(void)simnode_step(n, &ev);
	}
	while (n->parked_count && !n->w->failed) {
		uint64_t file = n->parked[0].file;
		parked_free(n, 0);
		close_one(n, file, false);
	}
	for (uint32_t k = 0; k < n->shadows_count && !n->w->failed; k++) {
		uint64_t file = n->shadows[k].file;
		while (shadow_of(n, file)->writers && !n->w->failed)
			close_written(n, file);
		while (shadow_of(n, file)->handles && !n->w->failed)
			close_one(n, file, false);
	}
}

void simfile_forget(struct simnode *n)
{
	while (n->parked_count)
		parked_free(n, 0);
	for (uint32_t k = 0; k < n->shadows_count; k++)
		wr_fini(&n->shadows[k].bytes);
	n->shadows_count = n->late_count = 0;
}
