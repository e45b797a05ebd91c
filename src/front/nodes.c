// SPDX-License-Identifier: MIT
/*
 * nodes.c - the mirror of what the kernel holds of one mount
 *
 * Three hash tables (by node id, by inode, by name) of the same entries, grown together.  Nodes
 * and names that the kernel must forget are linked into two lists through themselves: what is due
 * needs no memory, is never twice in a list, and goes away with the node.
 *
 * I1  every node but the root has lookups or open handles
 * I2  by inode are found exactly the nodes that are not detached, at most one an inode
 * I3  a name is in the table once, and in the list of the node it leads to
 * I4  due marks say truly whether an entry is in its list
 */
#include "front/nodes.h"
#include "base/hash.h"
#include <pthread.h>
#include <stddef.h>

#define BUCKETS_MIN 1024
#define TRIES_MAX 20

struct kname {
	struct kname *by_name; /* chain */
	struct kname *next, *prev; /* of the same node */
	struct kname *due_next, *due_prev;
	struct knode *node;
	uint64_t parent; /* its node id; the parent may be forgotten already */
	struct inode_id dir; /* the parent's inode when it was told */
	bool due;
	bool made_up; /* told without a lifetime: whoever comes by it asks again */
	uint8_t len;
	char b[];
};
struct nodes {
	pthread_mutex_t lock;
	struct knode **by_nodeid, **by_inode;
	struct kname **by_name;
	size_t buckets; /* of each table, a power of two */
	uint64_t last; /* node id given out */
	struct knode *due_nodes, *due_nodes_last;
	struct kname *due_names, *due_names_last;
	struct knode limbo; /* names that lead the kernel nobody knows where */
	struct nodes_counts count;
	uint64_t detached; /* nodes: old versions being served */
};

static size_t bucket_nodeid(const struct nodes *t, uint64_t nodeid)
{
	return nodeid & (t->buckets - 1);
}

static size_t bucket_inode(const struct nodes *t, struct inode_id i)
{
	return (i.op ^ (i.inc * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (t->buckets - 1);
}

static size_t bucket_name(const struct nodes *t, uint64_t parent, struct bytes name)
{
	return hash_xxh(name, parent) & (t->buckets - 1);
}

static struct bytes name_bytes(const struct kname *n)
{
	return (struct bytes){(const uint8_t *)n->b, n->len};
}

static struct knode *find_nodeid(struct nodes *t, uint64_t nodeid)
{
	struct knode *k = t->by_nodeid[bucket_nodeid(t, nodeid)];

	while (k && k->nodeid != nodeid)
		k = k->by_nodeid;
	return k;
}

static struct knode *find_inode(struct nodes *t, struct inode_id inode)
{
	struct knode *k = t->by_inode[bucket_inode(t, inode)];

	while (k && !inode_equal(k->inode, inode))
		k = k->by_inode;
	return k;
}

static struct kname *find_name(struct nodes *t, uint64_t parent, struct bytes name)
{
	struct kname *n = t->by_name[bucket_name(t, parent, name)];

	while (n && (n->parent != parent || !bytes_equal(name_bytes(n), name)))
		n = n->by_name;
	return n;
}

static void link_nodeid(struct nodes *t, struct knode *k)
{
	struct knode **at = &t->by_nodeid[bucket_nodeid(t, k->nodeid)];

	k->by_nodeid = *at;
	*at = k;
}

static void link_inode(struct nodes *t, struct knode *k)
{
	struct knode **at = &t->by_inode[bucket_inode(t, k->inode)];

	k->by_inode = *at;
	*at = k;
}

static void link_name(struct nodes *t, struct kname *n)
{
	struct kname **at = &t->by_name[bucket_name(t, n->parent, name_bytes(n))];

	n->by_name = *at;
	*at = n;
}

static void unlink_inode(struct nodes *t, struct knode *k)
{
	struct knode **at = &t->by_inode[bucket_inode(t, k->inode)];

	while (*at != k)
		at = &(*at)->by_inode;
	*at = k->by_inode;
}

static void unlink_name(struct nodes *t, struct kname *n)
{
	struct kname **at = &t->by_name[bucket_name(t, n->parent, name_bytes(n))];

	while (*at != n)
		at = &(*at)->by_name;
	*at = n->by_name;
}

/* Twice the buckets when entries crowd; staying as it is costs speed only. */
static void grow(struct nodes *t)
{
	struct nodes old = *t;
	size_t want = t->buckets * 2;

	if (MAX(t->count.nodes, t->count.names) < t->buckets)
		return;
	struct knode **a = calloc(want, sizeof(struct knode *));
	struct knode **b = calloc(want, sizeof(struct knode *));
	struct kname **c = calloc(want, sizeof(struct kname *));
	if (!a || !b || !c) {
		free(a);
		free(b);
		free(c);
		return;
	}
	t->by_nodeid = a;
	t->by_inode = b;
	t->by_name = c;
	t->buckets = want;
	for (size_t i = 0; i < old.buckets; i++) {
		for (struct knode *k = old.by_nodeid[i], *next; k; k = next) {
			next = k->by_nodeid;
			link_nodeid(t, k);
			if (!k->detached)
				link_inode(t, k);
		}
		for (struct kname *n = old.by_name[i], *next; n; n = next) {
			next = n->by_name;
			link_name(t, n);
		}
	}
	free(old.by_nodeid);
	free(old.by_inode);
	free(old.by_name);
}

/* ---- what is due ---- */

static void due_node(struct nodes *t, struct knode *k)
{
	if (k->due)
		return;
	k->due = true;
	k->due_next = NULL;
	k->due_prev = t->due_nodes_last;
	*(t->due_nodes_last ? &t->due_nodes_last->due_next : &t->due_nodes) = k;
	t->due_nodes_last = k;
	t->count.due++;
}

static void undue_node(struct nodes *t, struct knode *k)
{
	if (!k->due)
		return;
	k->due = false;
	*(k->due_prev ? &k->due_prev->due_next : &t->due_nodes) = k->due_next;
	*(k->due_next ? &k->due_next->due_prev : &t->due_nodes_last) = k->due_prev;
	t->count.due--;
}

static void due_name(struct nodes *t, struct kname *n)
{
	if (n->due)
		return;
	n->due = true;
	n->due_next = NULL;
	n->due_prev = t->due_names_last;
	*(t->due_names_last ? &t->due_names_last->due_next : &t->due_names) = n;
	t->due_names_last = n;
	t->count.due++;
}

static void undue_name(struct nodes *t, struct kname *n)
{
	if (!n->due)
		return;
	n->due = false;
	*(n->due_prev ? &n->due_prev->due_next : &t->due_names) = n->due_next;
	*(n->due_next ? &n->due_next->due_prev : &t->due_names_last) = n->due_prev;
	t->count.due--;
}

/* ---- names ---- */

static void name_from_node(struct kname *n)
{
	*(n->prev ? &n->prev->next : &n->node->names) = n->next;
	if (n->next)
		n->next->prev = n->prev;
}

static void name_to_node(struct kname *n, struct knode *k)
{
	n->node = k;
	n->prev = NULL;
	n->next = k->names;
	if (k->names)
		k->names->prev = n;
	k->names = n;
}

static void name_free(struct nodes *t, struct kname *n)
{
	undue_name(t, n);
	unlink_name(t, n);
	name_from_node(n);
	free(n);
	t->count.names--;
}

/* (parent, name) leads to k from now on.  dir: the parent's inode. */
static enum err name_set(struct nodes *t, const struct knode *parent, struct bytes name,
			 struct knode *k, bool made_up)
{
	struct kname *n = find_name(t, parent->nodeid, name);

	if (n) {
		n->made_up = made_up;
		if (n->node != k) {
			name_from_node(n);
			name_to_node(n, k);
		}
		return ERR_OK;
	}
	n = calloc(1, sizeof(*n) + name.len);
	if (!n)
		return fail(ERR_NOMEM);
	n->parent = parent->nodeid;
	n->dir = parent->inode;
	n->made_up = made_up;
	n->len = (uint8_t)name.len;
	memcpy(n->b, name.at, name.len);
	link_name(t, n);
	name_to_node(n, k);
	t->count.names++;
	return ERR_OK;
}

/* ---- nodes ---- */

static struct knode *node_add(struct nodes *t, struct inode_id inode)
{
	struct knode *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->nodeid = ++t->last;
	k->inode = inode;
	link_nodeid(t, k);
	link_inode(t, k);
	t->count.nodes++;
	return k;
}

static void node_free(struct nodes *t, struct knode *k)
{
	struct knode **at = &t->by_nodeid[bucket_nodeid(t, k->nodeid)];

	while (k->names)
		name_free(t, k->names);
	while (*at != k)
		at = &(*at)->by_nodeid;
	*at = k->by_nodeid;
	if (k->detached)
		t->detached--;
	else
		unlink_inode(t, k);
	undue_node(t, k);
	free(k);
	t->count.nodes--;
}

static void node_free_if_unused(struct nodes *t, struct knode *k)
{
	if (k->lookups == 0 && !k->open && k->nodeid != NODES_ROOT)
		node_free(t, k);
}

/* k stands for its inode no more; what it was told is due to be forgotten. */
static void detach(struct nodes *t, struct knode *k)
{
	if (k->detached || k->nodeid == NODES_ROOT)
		return;
	unlink_inode(t, k);
	k->detached = true;
	t->detached++;
	for (struct kname *n = k->names; n; n = n->next)
		due_name(t, n);
	due_node(t, k);
}

struct nodes *nodes_new(void)
{
	struct nodes *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->buckets = BUCKETS_MIN;
	t->by_nodeid = calloc(t->buckets, sizeof(struct knode *));
	t->by_inode = calloc(t->buckets, sizeof(struct knode *));
	t->by_name = calloc(t->buckets, sizeof(struct kname *));
	if (!t->by_nodeid || !t->by_inode || !t->by_name || !node_add(t, INODE_ROOT)) {
		free(t->by_nodeid);
		free(t->by_inode);
		free(t->by_name);
		free(t);
		return NULL;
	}
	assert(t->last == NODES_ROOT);
	t->limbo.detached = true;
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void nodes_free(struct nodes *t)
{
	if (!t)
		return;
	while (t->limbo.names)
		name_free(t, t->limbo.names);
	for (size_t i = 0; i < t->buckets; i++)
		while (t->by_nodeid[i])
			node_free(t, t->by_nodeid[i]);
	free(t->by_nodeid);
	free(t->by_inode);
	free(t->by_name);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

struct knode *nodes_get(struct nodes *t, uint64_t nodeid)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_nodeid(t, nodeid);
	pthread_mutex_unlock(&t->lock);
	return k;
}

uint64_t nodes_open_file(struct nodes *t, struct inode_id inode)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_inode(t, inode);
	uint64_t file = k && k->open ? k->open->file : 0;
	pthread_mutex_unlock(&t->lock);
	return file;
}

uint64_t nodes_file(struct nodes *t, const struct knode *k)
{
	pthread_mutex_lock(&t->lock);
	uint64_t file = k->open ? k->open->file : 0;
	pthread_mutex_unlock(&t->lock);
	return file;
}

bool nodes_is_detached(struct nodes *t, const struct knode *k)
{
	pthread_mutex_lock(&t->lock);
	bool is = k->detached;
	pthread_mutex_unlock(&t->lock);
	return is;
}

static enum err tell(struct nodes *t, const struct nodes_place *at, struct inode_id inode,
		     bool made_up, struct knode **ret)
{
	enum err e = ERR_OK;

	pthread_mutex_lock(&t->lock);
	struct knode *p = at->parent ? find_nodeid(t, at->parent) : NULL;
	struct knode *k = find_inode(t, inode);
	if (!k)
		k = node_add(t, inode);
	if (!k)
		e = fail(ERR_NOMEM);
	if (!e && p)
		e = name_set(t, p, at->name, k, made_up);
	if (e && k)
		node_free_if_unused(t, k);
	if (!e) {
		k->lookups++;
		k->tries = 0;
		*ret = k;
		grow(t);
	}
	pthread_mutex_unlock(&t->lock);
	return e;
}

enum err nodes_tell(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id inode,
		    struct knode **ret)
{
	return tell(t, &(struct nodes_place){parent, name}, inode, false, ret);
}

enum err nodes_tell_was(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id inode,
			struct knode **ret)
{
	return tell(t, &(struct nodes_place){parent, name}, inode, true, ret);
}

uint64_t nodes_nodeid(struct nodes *t, struct inode_id inode)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_inode(t, inode);
	uint64_t nodeid = k ? k->nodeid : 0;
	pthread_mutex_unlock(&t->lock);
	return nodeid;
}

enum err nodes_tell_stub(struct nodes *t, uint64_t parent, struct bytes name, uint64_t *nodeid)
{
	pthread_mutex_lock(&t->lock);
	struct knode *p = find_nodeid(t, parent);
	struct knode *k = p ? calloc(1, sizeof(*k)) : NULL;
	enum err e = k ? ERR_OK : fail(p ? ERR_NOMEM : ERR_STALE);
	if (!e) {
		k->nodeid = ++t->last;
		k->detached = true;
		t->detached++;
		link_nodeid(t, k);
		t->count.nodes++;
		e = name_set(t, p, name, k, true);
		if (e)
			node_free(t, k);
	}
	if (!e) {
		k->lookups = 1;
		*nodeid = k->nodeid;
		grow(t);
	}
	pthread_mutex_unlock(&t->lock);
	return e;
}

bool nodes_retire(struct nodes *t, struct inode_id inode)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_inode(t, inode);
	if (k && k->nodeid != NODES_ROOT) {
		detach(t, k);
		__atomic_store_n(&k->retired, true, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&t->lock);
	return k != NULL;
}

void nodes_forget(struct nodes *t, uint64_t nodeid, uint64_t lookups)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_nodeid(t, nodeid);
	if (k && nodeid != NODES_ROOT) {
		assert(k->lookups >= lookups);
		k->lookups -= lookups;
		node_free_if_unused(t, k);
	}
	pthread_mutex_unlock(&t->lock);
}

void nodes_untell(struct nodes *t, uint64_t parent, struct bytes name, uint64_t nodeid)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_nodeid(t, nodeid);
	struct kname *n = find_name(t, parent, name);
	if (n && n->node == k) {
		name_from_node(n);
		name_to_node(n, &t->limbo);
		n->made_up = false;
		due_name(t, n);
	}
	assert(k && k->lookups > 0);
	k->lookups--;
	node_free_if_unused(t, k);
	pthread_mutex_unlock(&t->lock);
}

bool nodes_name_inode(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id *ret)
{
	pthread_mutex_lock(&t->lock);
	struct kname *n = find_name(t, parent, name);
	bool known = n && n->node != &t->limbo;
	if (known)
		*ret = n->node->inode;
	pthread_mutex_unlock(&t->lock);
	return known;
}

void nodes_name_gone(struct nodes *t, uint64_t parent, struct bytes name)
{
	pthread_mutex_lock(&t->lock);
	struct kname *n = find_name(t, parent, name);
	if (n)
		name_free(t, n);
	pthread_mutex_unlock(&t->lock);
}

/* The node that a name leads to; the name is struck. */
static struct knode *name_pick(struct nodes *t, const struct nodes_place *at)
{
	struct kname *n = find_name(t, at->parent, at->name);
	struct knode *k = n ? n->node : NULL;

	if (n)
		name_free(t, n);
	return k == &t->limbo ? NULL : k;
}

static void name_put(struct nodes *t, const struct nodes_place *at, struct knode *k)
{
	struct knode *p = find_nodeid(t, at->parent);

	/* Without memory the name would be missing here, and the kernel keep it after a remote
	 * change.  So the node is given up: whoever uses it next is sent to look it up anew. */
	if (k && p && name_set(t, p, at->name, k, false))
		detach(t, k);
	else if (k && p && k->detached)
		due_name(t, find_name(t, at->parent, at->name));
}

bool nodes_name_moved(struct nodes *t, const struct nodes_place *from, const struct nodes_place *to,
		      bool exchange)
{
	pthread_mutex_lock(&t->lock);
	struct knode *a = name_pick(t, from), *b = name_pick(t, to);
	name_put(t, to, a);
	if (exchange)
		name_put(t, from, b);
	bool due = t->due_names || t->due_nodes;
	pthread_mutex_unlock(&t->lock);
	return due;
}

/* ---- handles ---- */

enum err nodes_open_handle(struct nodes *t, struct knode *k, uint64_t file, bool write,
			   struct handle **ret)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return fail(ERR_NOMEM);
	h->node = k;
	h->file = file;
	h->write = write;
	pthread_mutex_lock(&t->lock);
	h->next = k->open;
	if (k->open)
		k->open->prev = h;
	k->open = h;
	t->count.handles++;
	pthread_mutex_unlock(&t->lock);
	*ret = h;
	return ERR_OK;
}

void nodes_close_handle(struct nodes *t, struct handle *h)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = h->node;
	*(h->prev ? &h->prev->next : &k->open) = h->next;
	if (h->next)
		h->next->prev = h->prev;
	free(h);
	t->count.handles--;
	node_free_if_unused(t, k);
	pthread_mutex_unlock(&t->lock);
}

void nodes_close_all(struct nodes *t, void (*close)(void *arg, struct handle *h), void *arg)
{
	for (size_t i = 0; i < t->buckets; i++) {
		struct knode *k = t->by_nodeid[i];
		while (k) {
			if (!k->open) {
				k = k->by_nodeid;
				continue;
			}
			close(arg, k->open);
			k = t->by_nodeid[i]; /* k may be gone with its last handle */
		}
	}
}

bool nodes_keep_pages(struct nodes *t, struct knode *k, struct nodes_opened *o)
{
	bool writers = o->write;

	pthread_mutex_lock(&t->lock);
	for (struct handle *h = k->open; h && !writers; h = h->next)
		writers = h->write;
	bool same = k->paged && dot_compare(k->version, o->version) == 0;
	bool ours = k->paged && k->wrote && !k->changed && !t->detached && o->own &&
		    o->version.inc == o->own;
	o->first = !k->paged;
	k->paged = true;
	k->version = o->version;
	k->wrote = writers || (same && k->wrote);
	k->changed = false;
	pthread_mutex_unlock(&t->lock);
	return same || ours;
}

void nodes_data_changed(struct nodes *t, struct inode_id inode)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_inode(t, inode);
	if (k)
		k->changed = true;
	pthread_mutex_unlock(&t->lock);
}

bool nodes_detach(struct nodes *t, struct inode_id inode, uint64_t file)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_inode(t, inode);
	bool is = k && k->open && k->open->file == file;
	if (is)
		detach(t, k);
	pthread_mutex_unlock(&t->lock);
	return is;
}

bool nodes_attr_due(struct nodes *t, struct inode_id inode)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_inode(t, inode);
	if (k) {
		__atomic_store_n(&k->plain, false, __ATOMIC_RELAXED);
		k->tries = 0;
		due_node(t, k);
	}
	pthread_mutex_unlock(&t->lock);
	return k != NULL;
}

bool nodes_name_due(struct nodes *t, struct inode_id dir, struct bytes name)
{
	bool any = false;

	pthread_mutex_lock(&t->lock);
	struct knode *p = find_inode(t, dir);
	if (p) { /* what a directory shows is among its own attributes: link count, times */
		p->tries = 0;
		due_node(t, p);
		any = true;
		struct kname *n = find_name(t, p->nodeid, name);
		if (n)
			due_name(t, n);
	}
	pthread_mutex_unlock(&t->lock);
	return any;
}

void nodes_all_due(struct nodes *t)
{
	pthread_mutex_lock(&t->lock);
	for (size_t b = 0; b < t->buckets; b++) {
		for (struct knode *k = t->by_nodeid[b]; k; k = k->by_nodeid) {
			__atomic_store_n(&k->plain, false, __ATOMIC_RELAXED);
			k->tries = 0;
			k->changed = true;
			due_node(t, k);
		}
		for (struct kname *n = t->by_name[b]; n; n = n->by_name)
			due_name(t, n);
	}
	pthread_mutex_unlock(&t->lock);
}

bool nodes_attr_again(struct nodes *t, uint64_t nodeid)
{
	pthread_mutex_lock(&t->lock);
	struct knode *k = find_nodeid(t, nodeid);
	bool again = k && k->tries < TRIES_MAX;
	if (again) {
		k->tries++;
		due_node(t, k);
	}
	pthread_mutex_unlock(&t->lock);
	return again;
}

bool nodes_take_due(struct nodes *t, struct nodes_due *ret)
{
	bool any = true;

	pthread_mutex_lock(&t->lock);
	if (t->due_names) {
		struct kname *n = t->due_names;
		undue_name(t, n);
		ret->is_name = true;
		ret->nodeid = n->parent;
		ret->dir = n->dir;
		ret->name_len = n->len;
		memcpy(ret->name, n->b, n->len);
		ret->name[n->len] = 0;
	} else if (t->due_nodes) {
		struct knode *k = t->due_nodes;
		undue_node(t, k);
		ret->is_name = false;
		ret->nodeid = k->nodeid;
	} else {
		any = false;
	}
	pthread_mutex_unlock(&t->lock);
	return any;
}

bool nodes_name_wrong(struct nodes *t, uint64_t parent, struct bytes name, struct inode_id inode)
{
	pthread_mutex_lock(&t->lock);
	struct kname *n = find_name(t, parent, name);
	bool wrong = n && !n->made_up && (n->node->detached || !inode_equal(n->node->inode, inode));
	if (wrong)
		name_free(t, n);
	pthread_mutex_unlock(&t->lock);
	return wrong;
}

void nodes_counts(struct nodes *t, struct nodes_counts *ret)
{
	pthread_mutex_lock(&t->lock);
	*ret = t->count;
	pthread_mutex_unlock(&t->lock);
}

static uint64_t check_node(struct nodes *t, struct knode *k)
{
	uint64_t handles = 0;

	assert(k->nodeid == NODES_ROOT || k->lookups > 0 || k->open); /* I1 */
	assert(k->detached || find_inode(t, k->inode) == k); /* I2 */
	for (struct handle *h = k->open; h; h = h->next) {
		assert(h->node == k);
		handles++;
	}
	for (struct kname *n = k->names; n; n = n->next) {
		assert(n->node == k);
		assert(find_name(t, n->parent, name_bytes(n)) == n); /* I3 */
	}
	return handles;
}

void nodes_check(struct nodes *t)
{
	uint64_t nodes = 0, names = 0, handles = 0, due = 0;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->buckets; i++) {
		for (struct knode *k = t->by_nodeid[i]; k; k = k->by_nodeid) {
			nodes++;
			due += k->due;
			handles += check_node(t, k);
		}
		for (struct kname *n = t->by_name[i]; n; n = n->by_name) {
			names++;
			due += n->due;
		}
	}
	assert(nodes == t->count.nodes && names == t->count.names);
	assert(handles == t->count.handles && due == t->count.due); /* I4 */
	pthread_mutex_unlock(&t->lock);
}
