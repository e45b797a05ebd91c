// SPDX-License-Identifier: MIT
/*
 * kv.c - the calls of kv.h, and the kv that is a map in memory alone
 *
 * The checks of key and value sizes stand here, so that each kv behind the interface may rely on
 * them and none of them can differ.
 */
#include "core/kv.h"
#include "base/map.h"
#include <stdlib.h>

static void check_key(struct bytes key)
{
	assert(key.len >= 1 && key.len <= KV_KEY_MAX);
}

enum err kv_get(struct kv *kv, struct bytes key, struct bytes *ret)
{
	check_key(key);
	return kv->ops->get(kv->self, key, ret);
}

enum err kv_put(struct kv *kv, struct bytes key, struct bytes value)
{
	check_key(key);
	assert(value.len <= KV_VALUE_MAX);
	return kv->ops->put(kv->self, key, value);
}

enum err kv_del(struct kv *kv, struct bytes key)
{
	check_key(key);
	return kv->ops->del(kv->self, key);
}

enum err kv_next(struct kv *kv, struct bytes from, bool beyond, struct bytes *key,
		 struct bytes *value)
{
	return kv_next_in(kv, from, 0, beyond, key, value);
}

enum err kv_next_in(struct kv *kv, struct bytes from, size_t within, bool beyond, struct bytes *key,
		    struct bytes *value)
{
	const struct kv_from f = {from, beyond, within};

	check_key(from);
	assert(within <= from.len);
	return kv->ops->next(kv->self, &f, key, value);
}

/* Absence is an answer, not a failure: it leaves no note in the trail of errors. */
static enum err map_kv_get(void *self, struct bytes key, struct bytes *ret)
{
	return map_get(self, key, ret) ? ERR_OK : ERR_NOENT;
}

static enum err map_kv_put(void *self, struct bytes key, struct bytes value)
{
	return map_put(self, key, value);
}

static enum err map_kv_del(void *self, struct bytes key)
{
	(void)map_del(self, key);
	return ERR_OK;
}

static enum err map_kv_next(void *self, const struct kv_from *from, struct bytes *key,
			    struct bytes *value)
{
	struct bytes k, v;

	if (!map_next(self, from->key, from->beyond, &k, &v) ||
	    !bytes_prefix(k, (struct bytes){from->key.at, from->within}))
		return ERR_NOENT;
	*key = k;
	*value = v;
	return ERR_OK;
}

static const struct kv_ops map_ops = {
	.get = map_kv_get, .put = map_kv_put, .del = map_kv_del, .next = map_kv_next};

struct kv *kv_new_map(void)
{
	struct kv *kv = malloc(sizeof(*kv));
	struct map *m = map_new();

	if (!kv || !m) {
		free(kv);
		map_free(m);
		return NULL;
	}
	*kv = (struct kv){.ops = &map_ops, .self = m};
	return kv;
}

void kv_free_map(struct kv *kv)
{
	if (!kv)
		return;
	map_free(kv->self);
	free(kv);
}
