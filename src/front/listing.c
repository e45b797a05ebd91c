// SPDX-License-Identifier: MIT
/*
 * listing.c - directories are read from a list of names taken when reading begins
 *
 * An offset is a place in that list: names that come and go meanwhile move nobody's place, so
 * removing while reading misses nothing.  rewinddir() takes a new list.  What a name leads to is
 * looked up when it is given out, since the kernel keeps that.
 *
 * The list is taken in runs: a large directory holds nobody else up.
 */
#include "front/listing.h"
#include "front/answer.h"

#define RUN 128 /* names under one hold of the lock */

struct item {
	struct inode_id inode;
	uint32_t name; /* where in text, with a NUL */
	uint8_t len;
	uint8_t type; /* enum inode_type */
};
struct listing {
	struct mount *m;
	struct listing *prev, *next; /* of the mount's, under its lock */
	unsigned refs; /* atomic: the handle, and an answer that may yet be taken back */
	bool taken;
	struct inode_id parent;
	struct item *items;
	uint32_t count, room;
	struct wr text;
};

static void listing_free(struct listing *l)
{
	free(l->items);
	wr_fini(&l->text);
	free(l);
}

static void unref(struct listing *l)
{
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL))
		return;
	(void)pthread_mutex_lock(&l->m->listings_lock);
	*(l->prev ? &l->prev->next : &l->m->listings) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	(void)pthread_mutex_unlock(&l->m->listings_lock);
	listing_free(l);
}

void listing_init(struct mount *m)
{
	(void)pthread_mutex_init(&m->listings_lock, NULL);
}

void listing_fini(struct mount *m)
{
	while (m->listings) {
		struct listing *l = m->listings;

		m->listings = l->next;
		listing_free(l);
	}
	(void)pthread_mutex_destroy(&m->listings_lock);
}

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

static enum err add(struct listing *l, const struct shown *s)
{
	if (l->count == l->room) {
		uint32_t room = l->room ? l->room * 2 : 64;
		struct item *more = reallocarray(l->items, room, sizeof(struct item));
		if (!more)
			return fail(ERR_NOMEM);
		l->items = more;
		l->room = room;
	}
	l->items[l->count] = (struct item){.inode = s->id,
					   .name = (uint32_t)l->text.len,
					   .len = (uint8_t)s->name_len,
					   .type = (uint8_t)s->type};
	wr_bytes(&l->text, (struct bytes){s->name, s->name_len});
	wr_u8(&l->text, 0);
	if (l->text.bad)
		return fail(ERR_NOMEM);
	l->count++;
	return ERR_OK;
}

/* Up to RUN names behind the last; ERR_NOENT at the end. */
static enum err take_run(struct mount *m, const struct knode *dir, struct listing *l)
{
	enum err e = ERR_OK;
	struct shown s;

	host_lock(m->host);
	for (unsigned k = 0; k < RUN && !e; k++) {
		struct bytes after = {NULL, 0};
		if (l->count) {
			const struct item *last = &l->items[l->count - 1];
			after = (struct bytes){l->text.at + last->name, last->len};
		}
		e = view_next(node_view(host_node(m->host)), dir->inode, after, &s);
		if (!e)
			e = add(l, &s);
	}
	host_unlock(m->host);
	return e;
}

static enum err take(struct mount *m, const struct knode *dir, struct listing *l)
{
	enum err e = ERR_OK;
	struct shown s;

	l->count = 0;
	wr_reset(&l->text);
	host_lock(m->host);
	l->parent = view_find(node_view(host_node(m->host)), dir->inode, &s) || s.kind == SHOWN_ROOT
			    ? dir->inode
			    : s.at;
	host_unlock(m->host);
	while (!e)
		e = take_run(m, dir, l);
	if (e != ERR_NOENT && e != ERR_NOTDIR)
		return e;
	l->taken = true;
	return ERR_OK;
}

void listing_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct listing *l = calloc(1, sizeof(*l));
	(void)nodeid;

	if (!l) {
		answer_error(req, ERR_NOMEM);
		return;
	}
	l->m = m;
	l->refs = 1;
	(void)pthread_mutex_lock(&m->listings_lock);
	l->next = m->listings;
	if (l->next)
		l->next->prev = l;
	m->listings = l;
	(void)pthread_mutex_unlock(&m->listings_lock);
	fi->fh = (uint64_t)(uintptr_t)l;
	if (fuse_reply_open(req, fi))
		unref(l);
}

void listing_release(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	(void)nodeid;

	unref(listing_of(fi));
	answer_error(req, ERR_OK);
}

void listing_sync(fuse_req_t req, fuse_ino_t nodeid, int datasync, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	(void)nodeid;
	(void)datasync;
	(void)fi;
	answer_error(req, host_fsync(m->host));
}

/* One answer in the making. */
struct page {
	fuse_req_t req;
	struct mount *m;
	const struct knode *dir;
	struct listing *l;
	bool plus;
	char *buf;
	size_t size, used;
	struct told {
		uint32_t item;
		uint64_t nodeid;
	} * told; /* plus: what the kernel learns of it */
	uint32_t told_count;
};
#define ENTRY_MIN 128 /* an entry with attributes takes more than that */

/* An entry without attributes to keep; false: no room. */
static bool put_plain(struct page *p, const char *name, const struct stat *st, uint64_t next)
{
	struct fuse_entry_param e = {.attr = *st};
	size_t room = p->size - p->used;
	size_t len =
		p->plus ? fuse_add_direntry_plus(p->req, p->buf + p->used, room, name, &e,
						 (off_t)next)
			: fuse_add_direntry(p->req, p->buf + p->used, room, name, st, (off_t)next);

	if (len > room)
		return false;
	p->used += len;
	return true;
}

static mode_t item_mode(const struct item *i)
{
	static const mode_t modes[] = {
		[TYPE_FILE] = S_IFREG, [TYPE_DIR] = S_IFDIR,     [TYPE_SYMLINK] = S_IFLNK,
		[TYPE_FIFO] = S_IFIFO, [TYPE_SOCKET] = S_IFSOCK, [TYPE_CHAR] = S_IFCHR,
		[TYPE_BLOCK] = S_IFBLK};

	return i->type < ARRAY_LEN(modes) ? modes[i->type] : 0;
}

/* Under the host's lock if plus. */
static bool put_item(struct page *p, uint32_t at)
{
	const struct item *i = &p->l->items[at];
	const char *name = (const char *)p->l->text.at + i->name;
	struct stat st = {.st_ino = ids_ino(i->inode), .st_mode = item_mode(i)};
	struct bytes b = {(const uint8_t *)name, i->len};
	struct fuse_entry_param e;
	uint64_t next = (uint64_t)at + 3;

	if (!p->plus)
		return put_plain(p, name, &st, next);
	if (fuse_add_direntry_plus(p->req, NULL, 0, name, NULL, 0) > p->size - p->used)
		return false;
	enum err err = answer_lookup(p->m, p->dir, b, &e);
	if (err) /* gone meanwhile, or no memory for its node: named, but nothing to keep */
		return err == ERR_NOENT || err == ERR_STALE || put_plain(p, name, &st, next);
	p->used += fuse_add_direntry_plus(p->req, p->buf + p->used, p->size - p->used, name, &e,
					  (off_t)next);
	p->told[p->told_count++] = (struct told){at, e.ino};
	return true;
}

static void fill(struct page *p, uint64_t off)
{
	struct stat dot = {.st_ino = ids_ino(p->dir->inode), .st_mode = S_IFDIR};
	struct stat dots = {.st_ino = ids_ino(p->l->parent), .st_mode = S_IFDIR};

	if (off == 0 && !put_plain(p, ".", &dot, 1))
		return;
	if (off <= 1 && !put_plain(p, "..", &dots, 2))
		return;
	uint64_t at = off <= 2 ? 0 : off - 2;
	bool room = at < p->l->count;
	while (room) {
		host_lock(p->m->host);
		for (unsigned k = 0; k < RUN && room; k++) {
			room = put_item(p, (uint32_t)at);
			at += room;
			room = room && at < p->l->count;
		}
		host_unlock(p->m->host);
	}
}

static void answer_page(struct page *p)
{
	uint64_t dir = p->dir->nodeid;

	if (fuse_reply_buf(p->req, p->buf, p->used) == 0 || !p->plus)
		return;
	for (uint32_t k = 0; k < p->told_count; k++) {
		const struct item *i = &p->l->items[p->told[k].item];
		struct bytes name = {p->l->text.at + i->name, i->len};
		nodes_untell(p->m->nodes, dir, name, p->told[k].nodeid);
	}
	notify_kick(p->m->notify);
}

static void read_page(struct page *p, fuse_ino_t nodeid, off_t off)
{
	struct knode *dir;

	p->buf = malloc(p->size);
	p->told = p->plus ? calloc(p->size / ENTRY_MIN + 1, sizeof(struct told)) : NULL;
	enum err e =
		p->buf && (p->told || !p->plus) ? answer_node(p->m, nodeid, &dir) : fail(ERR_NOMEM);
	if (!e && (off == 0 || !p->l->taken))
		e = take(p->m, dir, p->l);
	if (e) {
		answer_error(p->req, e);
	} else {
		__atomic_add_fetch(&p->l->refs, 1, __ATOMIC_RELAXED);
		p->dir = dir;
		fill(p, (uint64_t)off);
		answer_page(p);
		unref(p->l);
	}
	free(p->buf);
	free(p->told);
}

void listing_read(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t off,
		  struct fuse_file_info *fi)
{
	struct page p = {
		.req = req, .m = fuse_req_userdata(req), .l = listing_of(fi), .size = size};

	read_page(&p, nodeid, off);
}

void listing_read_plus(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct page p = {.req = req,
			 .m = fuse_req_userdata(req),
			 .l = listing_of(fi),
			 .size = size,
			 .plus = true};

	read_page(&p, nodeid, off);
}
