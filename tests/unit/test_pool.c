// SPDX-License-Identifier: MIT
/* test_pool.c - sealing and opening, their limits, jobs; and how far the packs are accounted for */
#include "sys/marks.h"
#include "sys/pool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
// cmocka wants the headers above
#include <cmocka.h>

static const struct folder_id folder = {{7}};
static const uint8_t nonce[SEAL_NONCE] = {1, 2, 3};

static void keys_make(struct seal_keys *k)
{
	const uint8_t key[KEY_LEN] = {42};

	seal_keys_init(k, key, 1);
}

static struct wr sealed(struct bytes plain, enum seal_kind kind)
{
	struct seal_keys k;
	struct wr w = {0};

	keys_make(&k);
	assert_int_equal(pool_seal(&w, &k, &folder, kind, plain, nonce), ERR_OK);
	return w;
}

/* What was sealed opens to the same bytes, whether or not it could be compressed. */
static void test_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 16383, 16384, 100000, CHUNK_BYTES_MAX};
	uint8_t *plain = malloc(CHUNK_BYTES_MAX), *back;
	struct seal_keys k;
	struct rng rng;
	size_t len;

	(void)state;
	keys_make(&k);
	rng_init_number(&rng, 5);
	for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
		struct bytes p = {plain, sizes[i / 2]};

		memset(plain, 'x', CHUNK_BYTES_MAX);
		if (i % 2)
			rng_bytes(&rng, plain, p.len);
		struct wr w = sealed(p, SEAL_CHUNK);

		assert_true(w.len <= p.len + SEAL_OVERHEAD); /* never larger than stored raw */
		if (i % 2 == 0 && p.len >= 100)
			assert_true(w.len < p.len / 2 + SEAL_OVERHEAD);
		assert_int_equal(
			pool_open(wr_view(&w), &k, &folder, SEAL_CHUNK, p.len, &back, &len),
			ERR_OK);
		assert_int_equal(len, p.len);
		assert_memory_equal(back, plain, len);
		free(back);
		wr_fini(&w);
	}
	free(plain);
}

/* A header that says more than the caller allows is refused before a byte is inflated; so are the
 * wrong kind, a changed byte, and every prefix. */
static void test_refusals(void **state)
{
	uint8_t plain[5000] = {0}, *back;
	struct wr w = sealed(BYTES_OF(plain), SEAL_CHUNK);
	struct seal_keys k;
	size_t len;

	(void)state;
	keys_make(&k);
	assert_int_equal(pool_open(wr_view(&w), &k, &folder, SEAL_CHUNK, 4999, &back, &len),
			 ERR_MALFORMED);
	assert_int_not_equal(pool_open(wr_view(&w), &k, &folder, SEAL_NODE, 5000, &back, &len),
			     ERR_OK);
	for (size_t i = 0; i < w.len; i++) {
		assert_int_not_equal(pool_open((struct bytes){w.at, i}, &k, &folder, SEAL_CHUNK,
					       5000, &back, &len),
				     ERR_OK);
		w.at[i] ^= 1;
		assert_int_not_equal(
			pool_open(wr_view(&w), &k, &folder, SEAL_CHUNK, 5000, &back, &len), ERR_OK);
		w.at[i] ^= 1;
	}
	assert_int_equal(pool_open_into(wr_view(&w), &k, &folder, SEAL_CHUNK, plain, 4000),
			 ERR_MALFORMED);
	wr_fini(&w);
}

struct order {
	pthread_mutex_t mutex;
	int ran[100], count;
};
struct numbered {
	struct order *o;
	int number;
};

static void number_job(void *arg)
{
	struct numbered *n = arg;

	(void)pthread_mutex_lock(&n->o->mutex);
	n->o->ran[n->o->count++] = n->number;
	(void)pthread_mutex_unlock(&n->o->mutex);
}

/* Jobs run in the order of submission, and all of them before pool_free() returns. */
static void test_jobs(void **state)
{
	struct order o = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	struct numbered n[100];
	struct pool *p;

	(void)state;
	assert_int_equal(pool_new(1, &p), ERR_OK);
	for (int i = 0; i < 100; i++) {
		n[i] = (struct numbered){&o, i};
		assert_int_equal(pool_submit(p, number_job, &n[i]), ERR_OK);
	}
	pool_free(p);
	assert_int_equal(o.count, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(o.ran[i], i);
}

/* The packs are accounted for up to the oldest piece that no step has told yet. */
static void test_marks(void **state)
{
	struct mark a, b, c;
	struct marks m;

	(void)state;
	marks_init(&m, 100);
	assert_int_equal(marks_low(&m), 100);
	marks_begin(&m, &a);
	marks_wrote(&m, 200);
	marks_begin(&m, &b);
	marks_wrote(&m, 300);
	marks_begin(&m, &c);
	marks_wrote(&m, 250); /* reported late: the end does not go back */
	assert_int_equal(marks_low(&m), 100);
	marks_end(&m, &b);
	assert_int_equal(marks_low(&m), 100);
	marks_end(&m, &a);
	assert_int_equal(marks_low(&m), 300);
	marks_wrote(&m, 400);
	assert_int_equal(marks_low(&m), 300);
	marks_end(&m, &c);
	assert_int_equal(marks_low(&m), 400);
	marks_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
