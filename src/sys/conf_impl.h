/* SPDX-License-Identifier: MIT */
/* conf_impl.h - what the reading and the writing half of conf.h share */
#ifndef CONF_IMPL_H
#define CONF_IMPL_H

#include "sys/conf.h"

struct conf_address { /* where a key stands in the file */
	char section[CONF_TEXT]; /* as between the brackets */
	const char *name;
	size_t no; /* in the table */
	bool found;
};
/* ERR_NOENT: no such key in the table. */
enum err conf_address(const char *key, struct conf_address *ret) MUST_USE;
void conf_no_key(const char *key, char *why, size_t why_len); /* say so, and what was meant */
/* Checks text and shows each problem; *ret is filled in all the same. */
enum err conf_parse(const char *text, size_t len, struct conf *ret,
		    void (*show)(void *arg, unsigned line, const char *text), void *arg,
		    unsigned *problems) MUST_USE;
void conf_value(const struct conf *c, const struct conf_address *a, char *value, size_t len);
/* The whole file, malloc'd; one that is missing is empty. */
enum err conf_slurp(const char *file, char **ret, size_t *len, char *why, size_t why_len) MUST_USE;

/* A show() that keeps the first problem as "FILE:LINE: text". */
struct conf_first {
	const char *file;
	char *why;
	size_t why_len;
	bool seen;
};
void conf_first(void *arg, unsigned line, const char *text);

#endif
