/* SPDX-License-Identifier: MIT */
/*
 * vector.h - version vectors: incarnation -> highest bundle held
 *
 * Immutable once made and shared by counted reference, as a head keeps the vector of its bundle.
 * Entries are sorted by incarnation, none with seq 0.  Counts are not atomic: one owner, the
 * node under its lock; whoever decodes outside hands the reference over.
 */
#ifndef VECTOR_H
#define VECTOR_H

#include "base/err.h"
#include "base/ids.h"

#define VECTOR_MAX 4096 /* incarnations in one vector */

struct vector {
	uint32_t refs;
	uint32_t count;
	struct where at[]; /* inc ascending */
};

struct vector *vector_new(const struct where *at,
			  uint32_t count); /* sorted input; NULL: no memory */
struct vector *vector_ref(const struct vector *v); /* one more reference; accepts NULL */
void vector_unref(const struct vector *v); /* accepts NULL */
uint64_t vector_get(const struct vector *v, uint64_t inc); /* 0 if absent; v may be NULL: empty */
/* A new vector like v but with inc at seq (0 removes); caller owns it.  NULL: no memory. */
struct vector *vector_with(const struct vector *v, uint64_t inc, uint64_t seq);
/* What both cover, and what covers both; NULL may be given for empty.  NULL: no memory. */
struct vector *vector_meet(const struct vector *a, const struct vector *b);
struct vector *vector_join(const struct vector *a, const struct vector *b);
bool vector_covers(const struct vector *big, const struct vector *small); /* NULL is empty */
bool vector_equal(const struct vector *a, const struct vector *b);
/* count u32, then (inc u64, seq u64) each; NULL is written as empty */
void vector_encode(struct wr *w, const struct vector *v);
/* ERR_MALFORMED unless sorted, nonzero, at most VECTOR_MAX; the caller owns *ret. */
enum err vector_decode(struct rd *r, struct vector **ret) MUST_USE;

#endif
