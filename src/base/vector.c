// SPDX-License-Identifier: MIT
/* vector.c - see vector.h */
#include "base/vector.h"
#include <stdlib.h>

struct vector *vector_new(const struct where *at, uint32_t count)
{
	struct vector *v = malloc(sizeof(*v) + count * sizeof(v->at[0]));

	if (!v)
		return NULL;
	v->refs = 1;
	v->count = count;
	if (count)
		memcpy(v->at, at, count * sizeof(v->at[0]));
	return v;
}

/* The count is bookkeeping, not value: it changes behind a pointer to const. */
static uint32_t *refs_of(const struct vector *v)
{
	return (uint32_t *)(uintptr_t)&v->refs;
}

struct vector *vector_ref(const struct vector *v)
{
	if (v)
		++*refs_of(v);
	return (struct vector *)(uintptr_t)v;
}

void vector_unref(const struct vector *v)
{
	if (v && --*refs_of(v) == 0)
		free((void *)(uintptr_t)v);
}

/* The first place whose incarnation is not below inc. */
static uint32_t place(const struct vector *v, uint64_t inc)
{
	uint32_t low = 0, high = v ? v->count : 0;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (v->at[mid].inc < inc)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint64_t vector_get(const struct vector *v, uint64_t inc)
{
	uint32_t k = place(v, inc);

	return v && k < v->count && v->at[k].inc == inc ? v->at[k].seq : 0;
}

struct vector *vector_with(const struct vector *v, uint64_t inc, uint64_t seq)
{
	uint32_t count = v ? v->count : 0, k = place(v, inc);
	bool there = k < count && v->at[k].inc == inc;
	uint32_t rest = count - k - (there ? 1 : 0);
	struct vector *n = malloc(sizeof(*n) + ((size_t)count + 1) * sizeof(n->at[0]));

	if (!n)
		return NULL;
	n->refs = 1;
	n->count = k + (seq ? 1 : 0) + rest;
	if (k)
		memcpy(n->at, v->at, k * sizeof(n->at[0]));
	if (seq)
		n->at[k] = (struct where){inc, seq};
	if (rest)
		memcpy(n->at + k + (seq ? 1 : 0), v->at + count - rest, rest * sizeof(n->at[0]));
	return n;
}

static struct vector *merge(const struct vector *a, const struct vector *b, bool meet)
{
	uint32_t na = a ? a->count : 0, nb = b ? b->count : 0, i = 0, k = 0, n = 0;
	struct vector *v = malloc(sizeof(*v) + ((size_t)na + nb) * sizeof(v->at[0]));

	if (!v)
		return NULL;
	while (i < na || k < nb) {
		if (k == nb || (i < na && a->at[i].inc < b->at[k].inc)) {
			v->at[n] = a->at[i++];
			n += !meet;
		} else if (i == na || b->at[k].inc < a->at[i].inc) {
			v->at[n] = b->at[k++];
			n += !meet;
		} else {
			bool first = (a->at[i].seq < b->at[k].seq) == meet;
			v->at[n++] = first ? a->at[i] : b->at[k];
			i++;
			k++;
		}
	}
	v->refs = 1;
	v->count = n;
	return v;
}

struct vector *vector_meet(const struct vector *a, const struct vector *b)
{
	return merge(a, b, true);
}

struct vector *vector_join(const struct vector *a, const struct vector *b)
{
	return merge(a, b, false);
}

bool vector_covers(const struct vector *big, const struct vector *small)
{
	for (uint32_t k = 0; small && k < small->count; k++)
		if (vector_get(big, small->at[k].inc) < small->at[k].seq)
			return false;
	return true;
}

bool vector_equal(const struct vector *a, const struct vector *b)
{
	uint32_t na = a ? a->count : 0, nb = b ? b->count : 0;

	return na == nb && (na == 0 || memcmp(a->at, b->at, na * sizeof(a->at[0])) == 0);
}

void vector_encode(struct wr *w, const struct vector *v)
{
	uint32_t count = v ? v->count : 0;

	wr_u32(w, count);
	for (uint32_t k = 0; k < count; k++) {
		wr_u64(w, v->at[k].inc);
		wr_u64(w, v->at[k].seq);
	}
}

enum err vector_decode(struct rd *r, struct vector **ret)
{
	uint32_t count = rd_u32(r);

	if (r->bad || count > VECTOR_MAX || rd_left(r) < (size_t)count * sizeof(struct where))
		return fail(ERR_MALFORMED);
	struct vector *v = malloc(sizeof(*v) + count * sizeof(v->at[0]));
	if (!v)
		return fail(ERR_NOMEM);
	*v = (struct vector){.refs = 1, .count = count};
	for (uint32_t k = 0; k < count; k++) {
		v->at[k].inc = rd_u64(r);
		v->at[k].seq = rd_u64(r);
		if (v->at[k].seq == 0 || (k && v->at[k].inc <= v->at[k - 1].inc)) {
			free(v);
			return fail(ERR_MALFORMED);
		}
	}
	*ret = v;
	return ERR_OK;
}
