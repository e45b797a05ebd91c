// SPDX-License-Identifier: MIT
/*
 * conf_set.c - change one key of peerfs.conf and leave everything else as its owner wrote it
 *
 * The file is text with comments, so it is edited line by line and never written anew from what was
 * parsed.  The outcome is parsed before it replaces the file: what would be refused later is
 * refused now, and the file stays as it was.
 */
#include "base/wr.h"
#include "sys/conf.h"
#include "sys/conf_impl.h"
#include "sys/fdio.h"
#include "sys/paths.h"
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

struct line {
	const char *at;
	size_t len; /* with its newline */
};

static bool next_line(const char **at, const char *end, struct line *ret)
{
	if (*at == end)
		return false;
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	ret->at = *at;
	ret->len = stop ? (size_t)(stop - *at) + 1 : (size_t)(end - *at);
	*at += ret->len;
	return true;
}

static bool blank(const struct line *l)
{
	for (size_t k = 0; k < l->len; k++)
		if (!strchr(" \t\r\n", l->at[k]))
			return false;
	return true;
}

/* Whether the line is [section]; the parser takes blanks inside for part of the name. */
static bool is_section(const struct line *l, const char *section)
{
	size_t len = strlen(section);

	return l->len > len + 1 && l->at[0] == '[' && memcmp(l->at + 1, section, len) == 0 &&
	       l->at[len + 1] == ']';
}

static bool is_key(const struct line *l, const char *name)
{
	size_t len = strlen(name);

	if (l->len <= len || memcmp(l->at, name, len) != 0)
		return false;
	while (len < l->len && (l->at[len] == ' ' || l->at[len] == '\t'))
		len++;
	return len < l->len && l->at[len] == '=';
}

/* Where the line's own comment begins, with the blanks before it; its end if it has none. */
static size_t comment_at(const struct line *l)
{
	size_t end = l->len;

	while (end && (l->at[end - 1] == '\n' || l->at[end - 1] == '\r'))
		end--;
	for (size_t k = 1; k < end; k++) {
		if (l->at[k] != ';' || (l->at[k - 1] != ' ' && l->at[k - 1] != '\t'))
			continue;
		while (k && (l->at[k - 1] == ' ' || l->at[k - 1] == '\t'))
			k--;
		return k;
	}
	return end;
}

static void put_text(struct wr *w, const char *s)
{
	wr_bytes(w, bytes_text(s));
}

static void put_key(struct wr *w, const char *name, const char *value)
{
	put_text(w, name);
	put_text(w, " = ");
	put_text(w, value);
}

static void end_line(struct wr *w)
{
	if (w->len && w->at[w->len - 1] != '\n')
		wr_u8(w, '\n');
}

/*
 * Copy text to w with the key changed (value NULL: left out); name NULL: the section left out.
 * A key that is new goes behind the last line of its section that is not blank.
 */
static void edit(struct wr *w, const char *text, size_t len, const struct conf_address *a,
		 const char *value)
{
	const char *at = text, *end = text + len;
	struct line l;
	bool inside = false, done = false, seen = false;
	size_t behind = 0; /* in w: where a new key of the section goes */

	while (next_line(&at, end, &l)) {
		if (l.at[0] == '[')
			inside = is_section(&l, a->section);
		if (inside && !a->name)
			continue;
		if (inside && is_key(&l, a->name)) {
			done = true;
			if (!value)
				continue;
			size_t comment = comment_at(&l);
			put_key(w, a->name, value);
			wr_raw(w, l.at + comment, l.len - comment);
			continue;
		}
		wr_raw(w, l.at, l.len);
		if (inside && !blank(&l)) {
			end_line(w);
			behind = w->len;
			seen = true;
		}
	}
	if (done || !value)
		return;
	struct wr tail = {0};
	if (!seen) {
		end_line(w);
		if (w->len)
			wr_u8(w, '\n');
		put_text(w, "[");
		put_text(w, a->section);
		put_text(w, "]\n");
		behind = w->len;
	}
	wr_raw(&tail, w->at + behind, w->len - behind);
	w->len = behind;
	put_key(w, a->name, value);
	wr_u8(w, '\n');
	wr_bytes(w, wr_view(&tail));
	w->bad = w->bad || tail.bad;
	wr_fini(&tail);
}

/* Whether the new text is sound and gives the key the value that was asked for. */
static enum err check(const struct wr *w, const char *file, const struct conf_address *a,
		      const char *value, struct conf_first *first)
{
	char got[CONF_TEXT];
	struct conf c;
	unsigned problems;
	enum err e = conf_parse((const char *)w->at, w->len, &c, conf_first, first, &problems);

	if (e) {
		(void)snprintf(first->why, first->why_len, "%s: %s", file, err_text(e));
		return e;
	}
	if (problems) {
		e = fail(ERR_INVAL);
	} else if (value) {
		conf_value(&c, a, got, sizeof(got));
		if (strcmp(got, value) != 0) {
			(void)snprintf(first->why, first->why_len,
				       "%s = %s: cannot be written so that it reads the same: no "
				       "blanks around it, no \" ;\" in it",
				       a->name, value);
			e = fail(ERR_INVAL);
		}
	}
	conf_free(&c);
	return e;
}

/* Replace the file itself, not a symbolic link to it. */
static enum err replace(const char *file, struct bytes content)
{
	char real[PATH_MAX], *slash;

	if (!realpath(file, real)) {
		if (errno != ENOENT || strlen(file) >= sizeof(real))
			return fail(fdio_errno(errno));
		memcpy(real, file, strlen(file) + 1);
	}
	slash = strrchr(real, '/');
	if (!slash) {
		auto_fd here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return here < 0 ? fail(fdio_errno(errno)) : fdio_replace(here, real, content, 0600);
	}
	*slash = 0;
	enum err e = real[0] ? paths_make(real) : ERR_OK;
	if (e)
		return e;
	auto_fd dirfd = open(real[0] ? real : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return fail(fdio_errno(errno));
	return fdio_replace(dirfd, slash + 1, content, 0600);
}

static enum err address_of(const char *key, const char *value, struct conf_address *ret)
{
	enum err e = conf_address(key, ret);

	if (!e || value || strncmp(key, "folder.", 7) != 0 || !conf_folder_name_ok(key + 7))
		return e;
	*ret = (struct conf_address){.name = NULL}; /* a whole section */
	(void)snprintf(ret->section, sizeof(ret->section), "folder %s", key + 7);
	return ERR_OK;
}

enum err conf_set(const char *file, const char *key, const char *value, char *why, size_t why_len)
{
	struct conf_first first = {.file = file, .why = why, .why_len = why_len};
	struct conf_address a;
	struct wr w = {0};
	char *text;
	size_t len;

	if (address_of(key, value, &a)) {
		conf_no_key(key, why, why_len);
		return fail(ERR_NOENT);
	}
	if (value && strpbrk(value, "\n\r")) {
		(void)snprintf(why, why_len, "%s: a value is one line", key);
		return fail(ERR_INVAL);
	}
	enum err e = conf_slurp(file, &text, &len, why, why_len);
	if (e)
		return e;
	edit(&w, text, len, &a, value);
	free(text);
	if (w.bad) {
		(void)snprintf(why, why_len, "%s: %s", file, err_text(ERR_NOMEM));
		e = fail(ERR_NOMEM);
	}
	if (!e)
		e = check(&w, file, &a, value, &first);
	if (!e) {
		e = replace(file, wr_view(&w));
		if (e)
			(void)snprintf(why, why_len, "%s: cannot be replaced: %s", file,
				       err_text(e));
	}
	wr_fini(&w);
	return e;
}
