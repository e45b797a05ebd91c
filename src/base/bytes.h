/* SPDX-License-Identifier: MIT */
/* bytes.h - a borrowed run of bytes, and small helpers every room uses */
#ifndef BYTES_H
#define BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *at;
	size_t len;
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BYTES_OF(array) ((struct bytes){(const uint8_t *)(array), sizeof(array)})
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static inline struct bytes bytes_text(const char *s) /* without its NUL */
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static inline int bytes_compare(struct bytes a, struct bytes b) /* memcmp order, shorter first */
{
	size_t n = MIN(a.len, b.len);
	int c = n ? memcmp(a.at, b.at, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool bytes_prefix(struct bytes whole, struct bytes prefix)
{
	return whole.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(whole.at, prefix.at, prefix.len) == 0);
}

#endif
