/* SPDX-License-Identifier: MIT */
/*
 * map.h - an ordered map of byte strings to byte strings, in memory
 *
 * Keys are ordered as memcmp() does, a prefix first.  Keys and values are copied in; what comes
 * out is borrowed until the next put or del.  Reading changes nothing, so several threads may read
 * a map that nobody writes.  A value may be empty; whoever needs "deleted" marks puts a byte of
 * their own into the value.
 */
#ifndef MAP_H
#define MAP_H

#include "base/bytes.h"
#include "base/err.h"

struct map;

struct map *map_new(void); /* NULL: no memory */
void map_free(struct map *m); /* accepts NULL */
bool map_get(const struct map *m, struct bytes key, struct bytes *value); /* false: not there */
/* Put or replace.  key and value may be borrowed from this map.  ERR_NOMEM: nothing changed. */
enum err map_put(struct map *m, struct bytes key, struct bytes value) MUST_USE;
bool map_del(struct map *m, struct bytes key); /* whether it was there */
/* The first entry whose key is >= from (> from if beyond); false at the end. */
bool map_next(const struct map *m, struct bytes from, bool beyond, struct bytes *key,
	      struct bytes *value);
size_t map_bytes(const struct map *m); /* keys, values and what holds them, about */
size_t map_count(const struct map *m);

#endif
