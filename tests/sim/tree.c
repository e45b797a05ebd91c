// SPDX-License-Identifier: MIT
/*
 * tree.c - see tree.h
 *
 * The walk also holds the view to its contract: names rise, each entry is found by its name, each
 * directory is reached once.
 */
#include "tree.h"
#include "oracle.h"
#include <stdarg.h>
#include <stdlib.h>

static bool broken(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static bool broken(char *why, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return false;
}

static struct leaf *leaf_add(struct tree *t, const char *dir, const struct shown *s)
{
	size_t size = strlen(dir) + 2 + s->name_len;

	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->at = realloc(t->at, t->room * sizeof(*t->at));
		assert(t->at);
	}
	struct leaf *l = &t->at[t->count++];
	memset(l, 0, sizeof(*l));
	l->path = malloc(size);
	assert(l->path);
	snprintf(l->path, size, "%s%s%.*s", dir, *dir ? "/" : "", (int)s->name_len,
		 (const char *)s->name);
	l->s = *s;
	return l;
}

static void keep_content(struct leaf *l, struct bytes content)
{
	l->content = malloc(content.len + 1);
	assert(l->content);
	if (content.len)
		memcpy(l->content, content.at, content.len);
	l->content_len = content.len;
}

static bool describe(struct view *v, struct leaf *l, char *why, size_t size)
{
	struct view_attr a;
	struct wr w = {0};
	enum err e = view_stat(v, l->s.id, &a);

	if (e)
		return broken(why, size, "%s is shown but view_stat() says %s", l->path,
			      err_text(e));
	l->mode = a.mode;
	keep_content(l, a.content);
	wr_u8(&w, (uint8_t)a.type);
	wr_u32(&w, a.mode);
	wr_u64(&w, l->s.id.inc);
	wr_u64(&w, l->s.id.op);
	wr_bytes(&w, a.target);
	wr_bytes(&w, (struct bytes){l->content, l->content_len});
	oracle_sum(wr_view(&w), &l->sum);
	wr_fini(&w);
	if (a.type != l->s.type)
		return broken(why, size, "%s: lookup and stat differ in type", l->path);
	return true;
}

static bool list_dir(struct node *n, struct tree *t, uint32_t dir, char *why, size_t size)
{
	struct view *v = node_view(n);
	struct shown s, again;
	uint8_t after[NAME_BYTES_MAX + 1];
	size_t after_len = 0;

	for (;;) {
		struct inode_id id = t->at[dir].s.id;
		enum err e = view_next(v, id, (struct bytes){after, after_len}, &s);
		if (e == ERR_NOENT)
			return true;
		if (e)
			return broken(why, size, "%s: view_next() says %s", t->at[dir].path,
				      err_text(e));
		struct bytes name = {s.name, s.name_len};
		if (bytes_compare((struct bytes){after, after_len}, name) >= 0)
			return broken(why, size, "%s: names do not rise", t->at[dir].path);
		memcpy(after, s.name, s.name_len);
		after_len = s.name_len;
		struct leaf *l = leaf_add(t, t->at[dir].path, &s);
		e = view_lookup(v, id, name, &again);
		if (e || !inode_equal(again.id, s.id) || again.kind != s.kind)
			return broken(why, size, "%s: lookup and readdir differ (%s)", l->path,
				      err_text(e));
		if (!inode_equal(s.at, id))
			return broken(why, size, "%s: shown in another directory", l->path);
		if (!describe(v, l, why, size))
			return false;
	}
}

bool tree_list(struct node *n, struct tree *ret, char *why, size_t size)
{
	struct shown root = {.kind = SHOWN_ROOT, .type = TYPE_DIR, .id = INODE_ROOT};

	*ret = (struct tree){0};
	if (!describe(node_view(n), leaf_add(ret, "", &root), why, size))
		return false;
	for (uint32_t k = 0; k < ret->count; k++) {
		if (ret->at[k].s.type != TYPE_DIR)
			continue;
		for (uint32_t j = 0; j < k; j++)
			if (inode_equal(ret->at[j].s.id, ret->at[k].s.id))
				return broken(why, size, "directory %s is also %s", ret->at[k].path,
					      ret->at[j].path);
		if (!list_dir(n, ret, k, why, size))
			return false;
	}
	return true;
}

void tree_fini(struct tree *t)
{
	for (uint32_t k = 0; k < t->count; k++) {
		free(t->at[k].path);
		free(t->at[k].content);
	}
	free(t->at);
	*t = (struct tree){0};
}

const struct leaf *tree_find(const struct tree *t, const char *path)
{
	for (uint32_t k = 0; k < t->count; k++)
		if (strcmp(t->at[k].path, path) == 0)
			return &t->at[k];
	return NULL;
}
