// SPDX-License-Identifier: MIT
/*
 * oracle.c - see oracle.h
 *
 * What happens is written down here: bytes that were sealed, contents that programs were promised,
 * bundles that were made, how nodes ended.  What follows from it stands in verdict.c.
 */
#include "core/log.h"
#include "liar.h"
#include "oracle_impl.h"
#include "simpool.h"
#include "tree.h"
#include <stdlib.h>

#define BUDGETS_EVERY 16
#define CHECK_EVERY 256 /* steps of a node between two walks of all its rows */

void oracle_sum(struct bytes of, struct hash *ret)
{
	memset(ret, 0, sizeof(*ret));
	bytes_put_u64(ret->b, hash_xxh(of, 0));
	bytes_put_u64(ret->b + 8, hash_xxh(of, 1));
}

void oracle_name(struct world *w, struct bytes sealed, struct hash *ret)
{
	struct hash sum;
	struct bytes had;

	oracle_sum(sealed, &sum);
	if (map_get(w->oracle->names, BYTES_OF(sum.b), &had)) {
		memcpy(ret, had.at, sizeof(*ret));
		return;
	}
	hash_blake(sealed, ret);
	if (map_put(w->oracle->names, BYTES_OF(sum.b), BYTES_OF(ret->b)))
		abort();
}

void oracle_init(struct world *w)
{
	w->oracle = calloc(1, sizeof(*w->oracle));
	assert(w->oracle);
	w->oracle->plain = map_new();
	w->oracle->dots = map_new();
	w->oracle->sums = map_new();
	w->oracle->names = map_new();
	assert(w->oracle->plain && w->oracle->dots && w->oracle->sums && w->oracle->names);
}

void oracle_fini(struct world *w)
{
	struct oracle *o = w->oracle;

	for (uint32_t k = 0; k < o->bundles_count; k++) {
		bundle_free(o->bundles[k].b);
		vector_unref(o->bundles[k].vec);
	}
	free(o->bundles);
	free(o->closed);
	free(o->lines);
	map_free(o->plain);
	map_free(o->dots);
	map_free(o->sums);
	map_free(o->names);
	free(o);
}

static bool is_path(struct view *v, struct inode_id id, const char *path)
{
	static char at[TREE_PATH_MAX]; /* one at a time: off the stack */

	return view_path(v, id, at, sizeof(at)) == ERR_OK && strcmp(at, path) == 0;
}

/* What a change leaves behind is a tree: the entry stands in its directory, that is reached from
 * the root, and a directory stands nowhere else.  Directories that are united have one path. */
void oracle_changed(struct simnode *n, const struct change *c)
{
	struct view *v = node_view(n->node);
	struct bytes name = {c->name, c->name_len};
	static char dir[TREE_PATH_MAX], path[2 * TREE_PATH_MAX];
	struct shown s;

	if (c->kind != CHANGE_ENTRY || !view_is_shown(v, c->inode) ||
	    view_lookup(v, c->inode, name, &s) || view_path(v, c->inode, dir, sizeof(dir)))
		return;
	snprintf(path, sizeof(path), "%s%s%.*s", dir,
		 *dir && dir[strlen(dir) - 1] != '/' ? "/" : "", (int)name.len,
		 (const char *)name.at);
	if (!is_path(v, s.at, dir) || !bytes_equal(name, (struct bytes){s.name, s.name_len}) ||
	    (s.type == TYPE_DIR && !is_path(v, s.id, path)))
		world_fail(n->w, "node %u: %s has changed, and is not where it was looked up",
			   n->no, path);
}

/* What nobody but honest peers and a few liars cause stays within bounds. */
static void check_budgets(struct simnode *n)
{
	struct node_counts c;

	node_counts(n->node, &c);
	if (c.waiting_bundles > LOG_WAITING_MAX || c.set_aside > LOG_HELD_MAX ||
	    c.parked_reads > n->parked_count + 1)
		world_fail(n->w, "node %u: %llu bundles wait, %llu are set aside, %llu reads",
			   n->no, (unsigned long long)c.waiting_bundles,
			   (unsigned long long)c.set_aside, (unsigned long long)c.parked_reads);
}

void oracle_step(struct simnode *n)
{
	if (n->steps % BUDGETS_EVERY == 0)
		check_budgets(n);
	if (!n->liar)
		liar_check(n);
	if (n->steps % CHECK_EVERY == 0) {
		node_check(n->node);
		view_check(node_view(n->node));
	}
}

/* ---- contents ---- */

static void plain_key(enum seal_kind kind, const struct hash *id, uint8_t key[1 + HASH_LEN])
{
	key[0] = (uint8_t)kind;
	memcpy(key + 1, id->b, HASH_LEN);
}

void oracle_plain(struct world *w, enum seal_kind kind, const struct hash *id, struct bytes plain)
{
	uint8_t key[1 + HASH_LEN];

	plain_key(kind, id, key);
	if (map_put(w->oracle->plain, BYTES_OF(key), plain))
		abort();
}

static void append_zeros(struct wr *w, uint64_t len)
{
	uint8_t *to = wr_span(w, len);

	assert(to);
	memset(to, 0, len);
}

struct walk { /* entries still to be taken, the next one last */
	struct entry *at;
	uint32_t count, room;
};

static void push(struct walk *l, const struct entry *e, uint32_t count)
{
	while (l->count + count > l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->at = realloc(l->at, l->room * sizeof(*l->at));
		assert(l->at);
	}
	while (count)
		l->at[l->count++] = e[--count];
}

/* One entry: its bytes, or its children onto the pile. */
static bool take_entry(struct world *w, struct walk *l, struct wr *ret)
{
	struct entry e = l->at[--l->count];
	uint8_t key[1 + HASH_LEN], depth;
	struct bytes plain;
	uint32_t count;

	if (e.kind == ENTRY_HOLE) {
		append_zeros(ret, e.len);
		return true;
	}
	plain_key(e.kind == ENTRY_NODE ? SEAL_NODE : SEAL_CHUNK, &e.id, key);
	if (!map_get(w->oracle->plain, BYTES_OF(key), &plain))
		return false;
	if (e.kind == ENTRY_CHUNK) {
		wr_bytes(ret, plain);
		return plain.len == e.len;
	}
	struct entry *children = malloc(MANIFEST_NODE_MAX * sizeof(*children));
	assert(children);
	bool ok = node_decode(plain, &depth, children, &count) == ERR_OK;
	if (ok)
		push(l, children, count);
	free(children);
	return ok;
}

bool oracle_content(struct world *w, struct bytes manifest, struct wr *ret)
{
	struct manifest m;
	struct walk l = {0};
	size_t before = ret->len;
	bool ok = true;

	if (manifest.len == 0)
		return true;
	if (manifest_decode(manifest, &m))
		return false;
	if (m.is_inline) {
		wr_bytes(ret, m.data);
		return true;
	}
	push(&l, m.at, m.count);
	while (ok && l.count)
		ok = take_entry(w, &l, ret);
	free(l.at);
	return ok && ret->len - before == m.size;
}

bool oracle_content_sum(struct world *w, struct bytes manifest, struct hash *ret)
{
	struct wr bytes = {0};
	struct bytes had;

	if (map_get(w->oracle->sums, manifest, &had)) {
		memcpy(ret, had.at, sizeof(*ret));
		return true;
	}
	bool ok = oracle_content(w, manifest, &bytes);
	oracle_sum(wr_view(&bytes), ret);
	wr_fini(&bytes);
	if (ok && map_put(w->oracle->sums, manifest, BYTES_OF(ret->b)))
		abort();
	return ok;
}

/* ---- what programs were told ---- */

void oracle_sealed(struct simnode *n, struct bytes manifest)
{
	struct oracle *o = n->w->oracle;
	struct hash sum;

	if (!oracle_content_sum(n->w, manifest, &sum)) {
		world_fail(n->w, "node %u: a sealed manifest does not add up", n->no);
		return;
	}
	for (uint32_t k = 0; k < o->closed_count; k++)
		if (o->closed[k].node == n->no && memcmp(&o->closed[k].sum, &sum, sizeof(sum)) == 0)
			o->closed[k].sealed = true;
}

void oracle_closed(struct simnode *n, struct inode_id inode, struct bytes content)
{
	struct oracle *o = n->w->oracle;

	if (n->dying || n->liar)
		return;
	if (o->closed_count == o->closed_room) {
		o->closed_room = o->closed_room ? o->closed_room * 2 : 64;
		o->closed = realloc(o->closed, o->closed_room * sizeof(*o->closed));
		assert(o->closed);
	}
	struct closed *c = &o->closed[o->closed_count++];
	memset(c, 0, sizeof(*c));
	c->inode = inode;
	c->node = n->no;
	c->len = content.len;
	oracle_sum(content, &c->sum);
}

static void closed_drop(struct simnode *n, bool (*which)(const struct closed *c))
{
	struct oracle *o = n->w->oracle;
	uint32_t kept = 0;

	for (uint32_t k = 0; k < o->closed_count; k++)
		if (o->closed[k].node != n->no || !which(&o->closed[k]))
			o->closed[kept++] = o->closed[k];
	o->closed_count = kept;
}

static bool unsealed(const struct closed *c)
{
	return !c->sealed;
}

static bool unsynced(const struct closed *c)
{
	return !c->synced;
}

void oracle_removed(struct simnode *n)
{
	closed_drop(n, unsealed);
}

void oracle_synced(struct simnode *n)
{
	struct oracle *o = n->w->oracle;

	for (uint32_t k = 0; k < o->closed_count; k++)
		if (o->closed[k].node == n->no)
			o->closed[k].synced = true;
}

void oracle_power_cut(struct simnode *n)
{
	closed_drop(n, unsynced);
	n->w->oracle->before[n->no].known = false;
}

void oracle_gone(struct simnode *n)
{
	n->w->oracle->before[n->no].known = false;
}

void oracle_cut_off(struct simnode *n)
{
	struct oracle *o = n->w->oracle;

	for (uint32_t k = 0; k < o->bundles_count; k++)
		if (o->bundles[k].node == n->no && o->bundles[k].at >= n->disk.journal.len)
			o->bundles[k].may_be_lost = true;
}

void oracle_image(struct simnode *n)
{
	n->w->oracle->images[n->no] = n->w->oracle->bundles_count;
}

static bool any_closed(const struct closed *c)
{
	(void)c;
	return true;
}

void oracle_restored(struct simnode *n)
{
	struct oracle *o = n->w->oracle;
	struct line l = {n->no, o->images[n->no], o->bundles_count};

	closed_drop(n, any_closed); /* what came after the image was given up */
	for (uint32_t k = l.from; k < l.to; k++)
		o->bundles[k].may_be_lost |= o->bundles[k].node == n->no;
	if (o->lines_count == o->lines_room) {
		o->lines_room = o->lines_room ? o->lines_room * 2 : 4;
		o->lines = realloc(o->lines, o->lines_room * sizeof(*o->lines));
		assert(o->lines);
	}
	o->lines[o->lines_count++] = l;
	o->before[n->no].known = false;
}

/* ---- bundles ---- */

static struct vector *vector_after(const struct vector *before, const struct vector *delta)
{
	struct vector *v = vector_ref(before);

	for (uint32_t k = 0; delta && k < delta->count; k++) {
		uint64_t seq = delta->at[k].seq == LOG_DELTA_GONE ? 0 : delta->at[k].seq;
		struct vector *next = vector_with(v, delta->at[k].inc, seq);
		assert(next);
		vector_unref(v);
		v = next;
	}
	return v;
}

static void add_bundle(struct simnode *n, struct bundle *b, bool lie)
{
	struct oracle *o = n->w->oracle;
	const struct vector *before = NULL;

	for (uint32_t k = 0; k < b->count; k++)
		n->w->highest_t = MAX(n->w->highest_t, b->records[k].t);
	for (uint32_t k = 0; k < o->bundles_count; k++) {
		const struct bundle_head *h = &o->bundles[k].b->head;
		if (h->inc != b->head.inc)
			continue;
		if (h->seq == b->head.seq && !n->liar)
			world_fail(n->w, "node %u: bundle %llu of one incarnation made twice",
				   n->no, (unsigned long long)h->seq);
		if (h->seq + 1 == b->head.seq)
			before = o->bundles[k].vec;
	}
	if (o->bundles_count == o->bundles_room) {
		o->bundles_room = o->bundles_room ? o->bundles_room * 2 : 64;
		o->bundles = realloc(o->bundles, o->bundles_room * sizeof(*o->bundles));
		assert(o->bundles);
	}
	o->bundles[o->bundles_count++] = (struct seen){.b = b,
						       .vec = vector_after(before, b->head.delta),
						       .node = n->no,
						       .lie = lie,
						       .may_be_lost = n->liar != NULL,
						       .at = simdisk_payload_at(&n->disk)};
}

void oracle_bundle(struct simnode *n, struct bytes raw)
{
	struct bundle *b;
	enum err e = simpool_open(n, raw, true, &b);

	if (e)
		world_fail(n->w, "node %u: its own bundle does not open: %s", n->no, err_text(e));
	else
		add_bundle(n, b, false);
}

bool oracle_honest(const struct world *w, uint64_t inc)
{
	for (uint32_t k = 0; k < w->oracle->bundles_count; k++)
		if (w->oracle->bundles[k].b->head.inc == inc)
			return !w->nodes[w->oracle->bundles[k].node].liar;
	return false;
}

uint32_t oracle_bundles(const struct world *w)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < w->oracle->bundles_count; k++)
		count += !w->nodes[w->oracle->bundles[k].node].liar;
	return count;
}

void oracle_lie(struct simnode *n, struct bytes raw)
{
	struct bundle *b;

	if (simpool_open(n, raw, true, &b) == ERR_OK)
		add_bundle(n, b, true);
}

bool oracle_any_record(const struct simnode *n, struct dot *dot, struct inode_id *inode)
{
	struct world *w = n->w;
	const struct oracle *o = w->oracle;
	uint32_t at = o->bundles_count ? (uint32_t)world_below(w, o->bundles_count) : 0;

	for (uint32_t k = 0; k < o->bundles_count; k++) {
		const struct seen *s = &o->bundles[(at + k) % o->bundles_count];
		bool held = vector_get(node_vector(n->node), s->b->head.inc) >= s->b->head.seq;
		if (s->node == n->no || s->b->count == 0 || (!held && !w->p->forks))
			continue;
		uint32_t j = (uint32_t)world_below(w, s->b->count);
		*dot = s->b->records[j].dot;
		*inode = s->b->records[j].inode;
		return true;
	}
	return false;
}

/* ---- restarts ---- */

void oracle_ends(struct simnode *n, bool clean)
{
	struct before *b = &n->w->oracle->before[n->no];

	if (clean && !node_idle(n->node))
		world_fail(n->w, "node %u: stops though it is not idle", n->no);
	/* If the tree is still to be made again, the start does that. */
	b->known = node_settled(n->node) && view_digest(node_view(n->node), &b->digest) == ERR_OK;
}

void oracle_started(struct simnode *n, bool last)
{
	struct before *b = &n->w->oracle->before[n->no];
	struct hash digest;

	node_check(n->node);
	view_check(node_view(n->node));
	if (view_digest(node_view(n->node), &digest)) {
		world_fail(n->w, "node %u: view_digest() fails", n->no);
		return;
	}
	bool same = b->known && memcmp(&b->digest, &digest, sizeof(digest)) == 0;
	if (!same && !last)
		return;
	if (b->known && !same)
		world_fail(n->w, "node %u: a restart that lost nothing changed the view", n->no);
	b->known = false;
}

bool oracle_forgotten(struct world *w)
{
	uint64_t inodes = 0;

	for (uint32_t k = 0; k < w->count; k++) {
		struct forgetting f = {0};
		struct node *n = w->nodes[k].node;
		/* One that is alone publishes nothing, so what it removed stays. */
		if (!world_counts(w, k) || (n && !node_idle(n)))
			continue;
		if (!n)
			return false;
		if (view_forgetting(node_view(n), &f) || f.listed)
			return false;
		uint64_t known = view_inodes(node_view(n));
		inodes = inodes ? inodes : known;
		if (known != inodes)
			return false;
	}
	return true;
}
