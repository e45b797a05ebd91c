// SPDX-License-Identifier: MIT
/*
 * test_vectors.c - the worked examples of the format pages, and what holds for every format
 *
 * "test_vectors --write DIR" writes DIR/NAME.hex for each: what one does when a format changes,
 * before the page is changed too (scripts/check-vectors compares them).
 */
#include "base/rng.h"
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define MUTATIONS 3000

static struct bytes copy_exact(struct bytes of) /* so that a sanitizer sees the end */
{
	uint8_t *p = malloc(of.len ? of.len : 1);

	assert_non_null(p);
	if (of.len)
		memcpy(p, of.at, of.len);
	return (struct bytes){p, of.len};
}

static void drop(struct bytes b)
{
	free((void *)(uintptr_t)b.at);
}

static void hex_read(const char *name, struct wr *w)
{
	char path[512];
	unsigned byte;

	snprintf(path, sizeof(path), "%s/%s.hex", VECTORS, name);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("no vector %s", path);
	while (fscanf(f, "%2x", &byte) == 1)
		wr_u8(w, (uint8_t)byte);
	fclose(f);
}

static void hex_write(FILE *f, struct bytes b)
{
	for (size_t k = 0; k < b.len; k++)
		fprintf(f, "%02x%c", b.at[k], k % 16 == 15 || k + 1 == b.len ? '\n' : ' ');
}

/* The bytes of a worked example are what today's encoder makes of it. */
static void test_examples_are_made_byte_for_byte(void **state)
{
	(void)state;
	for (size_t k = 0; k < samples_count; k++) {
		struct wr w = {0}, want = {0};

		samples[k].make(&w);
		hex_read(samples[k].name, &want);
		if (!bytes_equal(wr_view(&w), wr_view(&want)))
			fail_msg("%s differs from its vector", samples[k].name);
		wr_fini(&w);
		wr_fini(&want);
	}
}

/* Decoding an example and encoding it again gives the same bytes. */
static void test_examples_survive_recoding(void **state)
{
	(void)state;
	for (size_t k = 0; k < samples_count; k++) {
		struct wr w = {0}, again = {0};

		hex_read(samples[k].name, &w);
		if (samples[k].recode(wr_view(&w), &again))
			fail_msg("%s is refused", samples[k].name);
		if (!bytes_equal(wr_view(&w), wr_view(&again)))
			fail_msg("%s is encoded differently again", samples[k].name);
		wr_fini(&w);
		wr_fini(&again);
	}
}

/* What is cut off, wherever, or has a byte too many is refused. */
static void test_prefixes_and_leftovers_are_refused(void **state)
{
	(void)state;
	for (size_t k = 0; k < samples_count; k++) {
		struct wr w = {0}, again = {0};

		samples[k].make(&w);
		for (size_t len = 0; len < w.len; len++) {
			struct bytes cut = copy_exact((struct bytes){w.at, len});
			if (samples[k].recode(cut, &again) != ERR_MALFORMED)
				fail_msg("%s: a prefix of %zu is taken", samples[k].name, len);
			drop(cut);
		}
		wr_u8(&w, 0);
		assert_int_equal(samples[k].recode(wr_view(&w), &again), ERR_MALFORMED);
		wr_fini(&w);
		wr_fini(&again);
	}
}

static void mutate(struct rng *rng, uint8_t *at, size_t len)
{
	static const uint8_t telling[] = {0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff};

	for (uint64_t n = 1 + rng_below(rng, 3); n > 0; n--) {
		uint8_t *p = at + rng_below(rng, len);
		if (rng_below(rng, 2))
			*p = telling[rng_below(rng, sizeof(telling))];
		else
			*p = (uint8_t)(*p ^ (1u << rng_below(rng, 8)));
	}
}

/* Garbled bytes are refused, or mean something else that is encoded as just these bytes. */
static void test_garbled_bytes_have_one_meaning_or_none(void **state)
{
	struct rng rng;

	(void)state;
	rng_init_number(&rng, 1);
	for (size_t k = 0; k < samples_count; k++) {
		struct wr w = {0}, again = {0};

		samples[k].make(&w);
		for (int n = 0; n < MUTATIONS; n++) {
			struct bytes bad = copy_exact(wr_view(&w));
			mutate(&rng, (uint8_t *)(uintptr_t)bad.at, bad.len);
			wr_reset(&again);
			enum err e = samples[k].recode(bad, &again);
			if (!e && !bytes_equal(bad, wr_view(&again)))
				fail_msg("%s: two encodings of one value", samples[k].name);
			drop(bad);
		}
		wr_fini(&w);
		wr_fini(&again);
	}
}

static int write_all(const char *dir)
{
	for (size_t k = 0; k < samples_count; k++) {
		char path[512];
		struct wr w = {0};

		snprintf(path, sizeof(path), "%s/%s.hex", dir, samples[k].name);
		FILE *f = fopen(path, "w");
		if (!f)
			return 1;
		samples[k].make(&w);
		hex_write(f, wr_view(&w));
		wr_fini(&w);
		if (fclose(f))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples_are_made_byte_for_byte),
		cmocka_unit_test(test_examples_survive_recoding),
		cmocka_unit_test(test_prefixes_and_leftovers_are_refused),
		cmocka_unit_test(test_garbled_bytes_have_one_meaning_or_none),
	};

	if (argc == 3 && strcmp(argv[1], "--write") == 0)
		return write_all(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
