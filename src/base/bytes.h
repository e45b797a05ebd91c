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

/* Integers of fixed size: u the little end first, be the big.  Straight lines, so that each is one
 * load or store. */
static inline void bytes_put_u32(uint8_t p[4], uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline void bytes_put_u64(uint8_t p[8], uint64_t v)
{
	bytes_put_u32(p, (uint32_t)v);
	bytes_put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline void bytes_put_be64(uint8_t p[8], uint64_t v)
{
	bytes_put_u64(p, __builtin_bswap64(v));
}

static inline uint32_t bytes_get_u32(const uint8_t p[4])
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t bytes_get_u64(const uint8_t p[8])
{
	return bytes_get_u32(p) | (uint64_t)bytes_get_u32(p + 4) << 32;
}

static inline uint64_t bytes_get_be64(const uint8_t p[8])
{
	return __builtin_bswap64(bytes_get_u64(p));
}

#endif
