// SPDX-License-Identifier: MIT
/*
 * verdict.c - the oracle's judgement, of one node now and then, of all at the end
 *
 * The rules are those of semantics.md: the same tree everywhere, nothing acknowledged lost, no
 * writing when quiet.  "Not lost" is judged as the model's checker does, from the records seen:
 * a version is shown somewhere, or a later one or a removal had seen it.
 */
#include "codec/manifest.h"
#include "core/past.h"
#include "oracle_impl.h"
#include "tree.h"
#include <stdlib.h>

#define ASIDE_MAX 256

/* All that was ever said of an inode, for whoever looks for the bug. */
static void say_records(struct world *w, struct inode_id id)
{
	const struct oracle *o = w->oracle;

	for (uint32_t k = 0; w->verbose && k < o->bundles_count; k++) {
		const struct seen *b = &o->bundles[k];
		for (uint32_t j = 0; j < b->b->count; j++) {
			const struct record *r = &b->b->records[j];
			bool origin = r->kind == REC_INODE && r->ino.has_origin &&
				      inode_equal(r->ino.origin_inode, id);
			if (!inode_equal(r->inode, id) && !origin)
				continue;
			if (origin)
				world_say(w, "  copy %llx.%llu of version %llx.%llu:",
					  (unsigned long long)r->inode.inc,
					  (unsigned long long)r->inode.op,
					  (unsigned long long)r->ino.origin.dot.inc,
					  (unsigned long long)r->ino.origin.dot.op);
			world_say(w,
				  "  %llx.%llu kind %u dot %llx.%llu t %llx in %llx.%llu node %u",
				  (unsigned long long)id.inc, (unsigned long long)id.op, r->kind,
				  (unsigned long long)r->dot.inc, (unsigned long long)r->dot.op,
				  (unsigned long long)r->t, (unsigned long long)b->b->head.inc,
				  (unsigned long long)b->b->head.seq, b->node);
			for (uint32_t i = 0; r->kind == REC_CONTENT && i < w->count; i++) {
				struct version v;
				struct view *view =
					w->nodes[i].node ? node_view(w->nodes[i].node) : NULL;
				if (view && view_version(view, id, r->dot, &v) == ERR_OK)
					world_say(w, "      a head on node %u, %zu bytes", i,
						  v.content.len);
			}
			if (r->kind == REC_LINK)
				world_say(w, "      link %llx.%llx.%llx %s %.*s%s",
					  (unsigned long long)r->link.name.t,
					  (unsigned long long)r->link.name.inc,
					  (unsigned long long)r->link.name.h,
					  r->link.has_place ? "at" : "removed",
					  (int)r->link.place.name.len,
					  (const char *)r->link.place.name.at,
					  r->link.pinned ? " pinned" : "");
			for (uint32_t i = 0; r->kind == REC_CONTENT && i < r->content.bases_count;
			     i++)
				world_say(w, "      base %llx.%llu%s",
					  (unsigned long long)r->content.bases[i].inc,
					  (unsigned long long)r->content.bases[i].op,
					  r->content.dropped ? " dropped" : "");
			for (uint32_t i = 0; b->vec && i < b->vec->count; i++)
				world_say(w, "      saw %llx.%llu",
					  (unsigned long long)b->vec->at[i].inc,
					  (unsigned long long)b->vec->at[i].seq);
		}
	}
}

/* ---- the same everywhere ---- */

static void add_conflict(struct hash *sum, const void *at, size_t len)
{
	struct hash h;

	hash_blake((struct bytes){at, len}, &h);
	for (size_t k = 0; k < HASH_LEN; k++) /* any order */
		sum->b[k] = (uint8_t)(sum->b[k] + h.b[k]);
}

static bool conflict(void *arg, enum conflict_kind kind, const struct shown *s)
{
	struct wr w = {0};

	wr_u8(&w, (uint8_t)kind);
	wr_u64(&w, s->id.inc);
	wr_u64(&w, s->id.op);
	wr_u64(&w, s->at.inc);
	wr_u64(&w, s->at.op);
	wr_raw(&w, s->name, s->name_len);
	add_conflict(arg, w.at, w.len);
	wr_fini(&w);
	return true;
}

static void say_leaf(struct world *w, uint32_t node, const struct leaf *l)
{
	struct hash h;

	hash_blake((struct bytes){l->content, l->content_len}, &h);
	world_say(w,
		  "node %u: /%s kind %d type %d id %llx.%llu file %llx.%llu version %llx.%llu "
		  "mode %o content %zu %02x%02x%s%s",
		  node, l->path, (int)l->s.kind, (int)l->s.type, (unsigned long long)l->s.id.inc,
		  (unsigned long long)l->s.id.op, (unsigned long long)l->s.file.inc,
		  (unsigned long long)l->s.file.op, (unsigned long long)l->s.version.inc,
		  (unsigned long long)l->s.version.op, l->mode, l->content_len, h.b[0], h.b[1],
		  l->s.kept ? " kept" : "", l->s.suffixed ? " suffixed" : "");
}

static void tell_difference(struct world *w, uint32_t other, const char *what)
{
	struct tree a, b;
	char why[256];

	if (!tree_list(w->nodes[0].node, &a, why, sizeof(why)) ||
	    !tree_list(w->nodes[other].node, &b, why, sizeof(why))) {
		world_fail(w, "%s of nodes 0 and %u differ; %s", what, other, why);
		return;
	}
	for (uint32_t k = 0; k < a.count + b.count; k++) {
		const struct leaf *l = k < a.count ? &a.at[k] : &b.at[k - a.count];
		const struct leaf *m = tree_find(k < a.count ? &b : &a, l->path);
		if (m && memcmp(&l->sum, &m->sum, sizeof(l->sum)) == 0)
			continue;
		say_leaf(w, k < a.count ? 0 : other, l);
		say_records(w, l->s.file);
		if (m)
			say_leaf(w, k < a.count ? other : 0, m);
		if (m && !inode_equal(m->s.file, l->s.file))
			say_records(w, m->s.file);
		world_fail(w, "%s of nodes 0 and %u differ: /%s %s", what, other, l->path,
			   m ? "is not the same" : "is on one of them only");
	}
	world_fail(w, "%s of nodes 0 and %u differ", what, other);
	tree_fini(&a);
	tree_fini(&b);
}

static void check_same(struct world *w)
{
	struct hash first = {{0}}, first_conflicts = {{0}};

	for (uint32_t k = 0; k < w->count && !w->failed; k++) {
		if (!world_counts(w, k))
			continue;
		struct view *v = node_view(w->nodes[k].node);
		struct hash digest, conflicts = {{0}};
		node_check(w->nodes[k].node);
		view_check(v);
		if (view_digest(v, &digest) || view_conflicts(v, conflict, &conflicts)) {
			world_fail(w, "node %u: digest or conflicts fail", k);
			return;
		}
		if (k == 0) {
			first = digest;
			first_conflicts = conflicts;
		}
		if (memcmp(&first, &digest, sizeof(digest)) != 0)
			tell_difference(w, k, "views");
		else if (memcmp(&first_conflicts, &conflicts, sizeof(conflicts)) != 0)
			tell_difference(w, k, "conflicts");
	}
}

/* ---- nothing lost ---- */

static bool held(const struct simnode *n, const struct bundle *b)
{
	return vector_get(node_vector(n->node), b->head.inc) >= b->head.seq;
}

/* Or it may be, in a branch of its log. */
static bool counts(const struct simnode *n, const struct bundle *b)
{
	return held(n, b) || node_branch(n->node, b->head.inc, 0);
}

/* Whether both are of one line of a device's life. */
static bool one_line(const struct oracle *o, const struct seen *x, const struct seen *y)
{
	uint32_t i = (uint32_t)(x - o->bundles), j = (uint32_t)(y - o->bundles);

	for (uint32_t k = 0; k < o->lines_count; k++) {
		const struct line *l = &o->lines[k];
		bool lost_x = l->node == x->node && i >= l->from && i < l->to;
		bool lost_y = l->node == y->node && j >= l->from && j < l->to;
		if ((lost_y && i >= l->to) || (lost_x && j >= l->to))
			return false;
	}
	return x->node == y->node;
}

/* x saw y: two records, each with the bundle it came in. */
static bool saw(const struct oracle *o, const struct seen *in_x, const struct record *x,
		const struct seen *in_y, const struct record *y)
{
	if (x->dot.inc == y->dot.inc)
		return x->dot.op > y->dot.op;
	if (one_line(o, in_x, in_y))
		return x->t > y->t; /* of one device, whose clock rises over its incarnations */
	return vector_get(in_x->vec, in_y->b->head.inc) >= in_y->b->head.seq;
}

static bool replaces(const struct record *x, const struct record *y)
{
	for (uint32_t k = 0; x->kind == REC_CONTENT && k < x->content.bases_count; k++)
		if (dot_compare(x->content.bases[k], y->dot) == 0)
			return true;
	if (x->kind != REC_LINK || x->link.has_place)
		return false;
	struct inode_id copy = hash_copy_id(y->inode, y->dot);
	return inode_equal(x->inode, y->inode) || inode_equal(x->inode, copy) ||
	       inode_equal(x->inode, hash_copy_id(copy, y->dot));
}

/* A liar promotes a copy with bytes of its own: as if it had written over it. */
static bool promotes(const struct record *x, const struct record *y)
{
	return x->kind == REC_INODE && x->ino.has_origin &&
	       dot_compare(x->ino.origin.dot, y->dot) == 0;
}

static bool superseded(const struct simnode *n, const struct seen *in_y, const struct record *y)
{
	struct oracle *o = n->w->oracle;

	for (uint32_t k = 0; k < o->bundles_count; k++) {
		const struct seen *in_x = &o->bundles[k];
		for (uint32_t j = 0; counts(n, in_x->b) && j < in_x->b->count; j++) {
			const struct record *x = &in_x->b->records[j];
			bool gone = replaces(x, y) || (in_x->lie && promotes(x, y));
			if (gone && saw(o, in_x, x, in_y, y))
				return true;
		}
	}
	return false;
}

/* The same record may have come in a second bundle, which tells more of what had been seen. */
static bool superseded_anywhere(const struct simnode *n, const struct record *y)
{
	struct oracle *o = n->w->oracle;

	for (uint32_t k = 0; k < o->bundles_count; k++) {
		const struct bundle *b = o->bundles[k].b;
		for (uint32_t j = 0; counts(n, b) && j < b->count; j++)
			if (dot_compare(b->records[j].dot, y->dot) == 0 &&
			    superseded(n, &o->bundles[k], &b->records[j]))
				return true;
	}
	return false;
}

static bool shown(struct world *w, const struct tree *t, const struct hash *sum)
{
	for (uint32_t k = 0; k < t->count; k++) {
		struct hash s;
		if (t->at[k].s.type != TYPE_FILE)
			continue;
		struct bytes content = {t->at[k].content, t->at[k].content_len};
		if (oracle_content_sum(w, content, &s) && memcmp(&s, sum, sizeof(s)) == 0)
			return true;
	}
	return false;
}

/*
 * Whether a version was perhaps sealed twice.  An image of a disk on which it was cut and not yet
 * sealed may be put back when it has been published: then it is sealed again, and what was one
 * content has other names and the same bytes.
 */
static bool sealed_again(const struct world *w)
{
	return plan_has(w->p, ITEM_RESTORE, ITEM_RESTORE);
}

/* Whether it can be had back: it is a head, or in history, which keeps all here. */
static bool remembered(const struct simnode *n, const struct record *r)
{
	struct past_version v;

	if (past_content(node_view(n->node), r->inode, r->dot, &v) != ERR_OK)
		return false;
	bool same = bytes_equal(past_bytes(&v), r->content.content) ||
		    (sealed_again(n->w) && manifest_equal(past_bytes(&v), r->content.content));
	past_version_fini(&v);
	return same;
}

static bool has(const struct simnode *n, const struct tree *t, const struct record *r,
		const struct hash *sum, int deep)
{
	if (remembered(n, r) && (shown(n->w, t, sum) || superseded_anywhere(n, r)))
		return true;
	/* Its log has forked, or that of the device that made the file: in a branch. */
	for (uint32_t k = 0; deep < 8; k++) {
		struct record in = *r;
		uint64_t branch = node_branch(n->node, r->dot.inc, k);
		in.dot.inc = branch;
		if (branch && has(n, t, &in, sum, deep + 1))
			return true;
		in = *r;
		in.inode.inc = node_branch(n->node, r->inode.inc, k);
		if (in.inode.inc && has(n, t, &in, sum, deep + 1))
			return true;
		if (!branch && !in.inode.inc)
			break;
	}
	return false;
}

static void check_version(const struct simnode *n, const struct tree *t, const struct record *r)
{
	struct world *w = n->w;
	struct hash sum;

	if (!oracle_content_sum(w, r->content.content, &sum)) {
		world_fail(w, "a version has a content that nobody sealed");
		return;
	}
	if (has(n, t, r, &sum, 0))
		return;
	say_records(w, r->inode);
	say_records(w, hash_copy_id(r->inode, r->dot));
	world_fail(w, "node %u: lost: version %llx.%llu of inode %llx.%llu", n->no,
		   (unsigned long long)r->dot.inc, (unsigned long long)r->dot.op,
		   (unsigned long long)r->inode.inc, (unsigned long long)r->inode.op);
}

/* Each version in a bundle that a node holds is shown there, or was replaced by who had seen it and
 * is in history. */
static void check_versions(const struct simnode *n, const struct tree *t)
{
	struct oracle *o = n->w->oracle;

	for (uint32_t k = 0; k < o->bundles_count && !n->w->failed; k++) {
		const struct bundle *b = o->bundles[k].b;
		for (uint32_t j = 0; held(n, b) && j < b->count && !n->w->failed; j++)
			if (!o->bundles[k].lie && b->records[j].kind == REC_CONTENT &&
			    !b->records[j].content.dropped)
				check_version(n, t, &b->records[j]);
	}
}

/* A dot is one record, however often it travels, and had seen the same each time. */
static void check_dots(struct world *w, const struct seen *b)
{
	struct map *dots = w->oracle->dots;

	for (uint32_t k = 0; k < b->b->count; k++) {
		const struct record *r = &b->b->records[k];
		struct bytes dot = {(const uint8_t *)&r->dot, sizeof(r->dot)}, had;
		struct wr bytes = {0}, content = {0};
		struct record as = *r;
		struct hash h;
		if (r->kind == REC_CONTENT && !r->content.dropped && sealed_again(w)) {
			struct hash sum = {{0}};
			(void)oracle_content_sum(w, r->content.content, &sum);
			manifest_inline(&content, BYTES_OF(sum.b));
			as.content.content = wr_view(&content);
		}
		record_encode(&bytes, &as);
		wr_fini(&content);
		vector_encode(&bytes, b->vec);
		oracle_sum(wr_view(&bytes), &h);
		wr_fini(&bytes);
		if (map_get(dots, dot, &had) && !bytes_equal(had, BYTES_OF(h.b))) {
			say_records(w, r->inode);
			world_fail(w, "node %u: two records under one dot %llx.%llu, kind %u",
				   b->node, (unsigned long long)r->dot.inc,
				   (unsigned long long)r->dot.op, r->kind);
		}
		if (map_put(dots, dot, BYTES_OF(h.b)))
			abort();
	}
}

/* What was rejected is set aside, with all that its device made after it. */
static bool set_aside(struct world *w, const struct seen *b)
{
	static struct node_aside at[ASIDE_MAX];
	uint32_t count = node_aside(w->nodes[0].node, at, ASIDE_MAX);

	for (uint32_t k = 0; k < count && w->nodes[b->node].rejected; k++)
		if (at[k].inc == b->b->head.inc)
			return at[k].why != ASIDE_BRAKE;
	return false;
}

static void check_held(struct world *w)
{
	static struct node_aside at[ASIDE_MAX];

	for (uint32_t k = 0; k < w->count; k++) {
		uint32_t count =
			world_counts(w, k) ? node_aside(w->nodes[k].node, at, ASIDE_MAX) : 0;
		for (uint32_t j = 0; j < count; j++)
			if (at[j].why == ASIDE_BRAKE)
				world_fail(w, "node %u: its brake still holds %llu bundles", k,
					   (unsigned long long)at[j].bundles);
	}
}

/* What left its author has come to all. */
static void check_bundles(struct world *w)
{
	struct oracle *o = w->oracle;

	for (uint32_t k = 0; k < o->bundles_count && !w->failed; k++)
		if (o->bundles[k].lie)
			continue;
		else if (held(&w->nodes[0], o->bundles[k].b))
			check_dots(w, &o->bundles[k]);
		else if (!o->bundles[k].may_be_lost && !w->nodes[o->bundles[k].node].limited &&
			 !set_aside(w, &o->bundles[k]))
			world_fail(w, "bundle %llu of node %u is lost",
				   (unsigned long long)o->bundles[k].b->head.seq,
				   o->bundles[k].node);
}

void oracle_audit(struct simnode *n)
{
	struct tree t;
	char why[256];

	if (!n->node || n->dying)
		return;
	node_check(n->node);
	view_check(node_view(n->node));
	if (!tree_list(n->node, &t, why, sizeof(why)))
		world_fail(n->w, "node %u: %s", n->no, why);
	else if (node_idle(n->node)) /* all it did is in its bundles */
		check_versions(n, &t);
	tree_fini(&t);
}

/* What was rejected has been told to the others all the same. */
static bool published(struct world *w, const struct closed *c)
{
	struct oracle *o = w->oracle;

	for (uint32_t k = 0; k < o->bundles_count; k++) {
		const struct bundle *b = o->bundles[k].b;
		bool counts = held(&w->nodes[0], b) || w->nodes[c->node].rejected;
		for (uint32_t j = 0; counts && j < b->count; j++) {
			const struct record *r = &b->records[j];
			struct hash sum;
			if (r->kind == REC_CONTENT && !r->content.dropped &&
			    oracle_content_sum(w, r->content.content, &sum) &&
			    memcmp(&sum, &c->sum, sizeof(sum)) == 0)
				return true;
		}
	}
	return false;
}

/* What an admin takes away from a device it need not publish; what the only one left does, neither.
 */
static bool must_publish(const struct world *w, uint32_t node)
{
	uint32_t members = 0;

	for (uint32_t k = 0; k < w->count; k++)
		members += world_counts(w, k);
	return !w->nodes[node].limited && members > 1;
}

void oracle_end(struct world *w)
{
	struct oracle *o = w->oracle;
	struct tree t;
	char why[256];

	check_same(w);
	if (w->failed)
		return;
	if (!tree_list(w->nodes[0].node, &t, why, sizeof(why))) {
		world_fail(w, "node 0: %s", why);
		return;
	}
	check_bundles(w);
	check_held(w);
	if (node_idle(w->nodes[0].node)) /* else it is alone, and keeps what it did to itself */
		check_versions(&w->nodes[0], &t);
	for (uint32_t k = 0; k < o->closed_count && !w->failed; k++)
		if (must_publish(w, o->closed[k].node) && !published(w, &o->closed[k]))
			world_fail(w,
				   "node %u: a file of %zu bytes was closed and its content "
				   "never published (%s), inode %llx.%llu",
				   o->closed[k].node, o->closed[k].len,
				   o->closed[k].sealed ? "sealed" : "not sealed",
				   (unsigned long long)o->closed[k].inode.inc,
				   (unsigned long long)o->closed[k].inode.op);
	tree_fini(&t);
}
