// SPDX-License-Identifier: MIT
/*
 * ahead.c - see ahead.h
 *
 * One reader is followed at a time: the last one.  The window is extended when its middle is read,
 * so that a reader in order meets no absent file any more.
 */
#include "core/ahead.h"

struct ahead {
	struct kv *kv;
	struct view *view;
	struct fetch *fetch;
	struct inode_id dir;
	uint32_t in_order; /* absent files read in order in dir */
	size_t name_len; /* the last name looked at */
	uint8_t name[NAME_BYTES_MAX];
	struct inode_id middle; /* of the window; reading it extends the window */
	struct piece pieces[64];
	struct missing missing[64];
};

struct ahead *ahead_new(struct kv *kv, struct view *view, struct fetch *fetch)
{
	struct ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->kv = kv;
	a->view = view;
	a->fetch = fetch;
	return a;
}

void ahead_free(struct ahead *a)
{
	free(a);
}

static void note_name(struct ahead *a, const struct shown *s)
{
	a->name_len = s->name_len;
	memcpy(a->name, s->name, s->name_len);
}

/* Want what is absent of the first bytes of a file. */
static enum err want_file(struct ahead *a, struct inode_id inode)
{
	struct view_attr attr;
	struct manifest m;
	struct sink sink = {.pieces = a->pieces,
			    .max = ARRAY_LEN(a->pieces),
			    .missing = a->missing,
			    .missing_max = ARRAY_LEN(a->missing)};
	enum err e = view_stat(a->view, inode, &attr);

	if (e || !attr.content.len)
		return e == ERR_NOENT ? ERR_OK : e;
	e = manifest_decode(attr.content, &m);
	if (!e && !m.is_inline)
		e = mapping_range(a->kv, &m, 0, MIN(m.size, (uint64_t)AHEAD_FILE_BYTES), &sink);
	for (uint32_t k = 0; k < sink.missing_count && !e; k++)
		e = fetch_want(a->fetch, &a->missing[k], false, (struct waiter){WAITER_NONE, 0});
	return e;
}

static enum err window(struct ahead *a)
{
	enum err e = ERR_OK;

	a->middle = (struct inode_id){0, 0};
	for (uint32_t k = 0; k < AHEAD_FILES && !e; k++) {
		struct shown s;
		e = view_next(a->view, a->dir, (struct bytes){a->name, a->name_len}, &s);
		if (e)
			break;
		note_name(a, &s);
		if (s.type != TYPE_FILE)
			continue;
		e = want_file(a, s.id);
		if (k <= AHEAD_FILES / 2)
			a->middle = s.id;
	}
	return e == ERR_NOENT || e == ERR_FULL || e == ERR_NOTDIR ? ERR_OK : e;
}

enum err ahead_read(struct ahead *a, struct inode_id inode, bool absent)
{
	struct shown s;

	if (inode_equal(inode, a->middle))
		return window(a);
	if (!absent)
		return ERR_OK;
	enum err e = view_find(a->view, inode, &s);
	if (e)
		return e == ERR_NOENT ? ERR_OK : e;
	struct bytes name = {s.name, s.name_len}, last = {a->name, a->name_len};
	bool next = inode_equal(s.at, a->dir) && bytes_compare(name, last) > 0;
	a->in_order = next ? a->in_order + 1 : 1;
	a->dir = s.at;
	note_name(a, &s);
	return a->in_order >= AHEAD_AFTER ? window(a) : ERR_OK;
}
