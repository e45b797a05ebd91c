// SPDX-License-Identifier: MIT
/*
 * test_hello.c - the worked session of peerfs-wire(5) byte for byte; frames; and impostors
 *
 * "test_hello --write DIR" writes the examples: what one does when the format changes, before the
 * page is changed too.
 */
#include "sys/flow.h"
#include "sys/hello.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define EIGHT 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77
static const struct folder_id folder = {{EIGHT, EIGHT, EIGHT, EIGHT}};
static const struct folder_id other = {{1}};

struct two { /* device 1 dials device 2 */
	struct sign_pair pair[2];
	struct hello_self self[2];
	struct hello side[2];
	struct wr out, got;
};

static void two_init(struct two *t)
{
	*t = (struct two){0};
	for (uint8_t k = 0; k < 2; k++) {
		uint8_t seed[32], e_secret[32];
		memset(seed, k + 1, sizeof(seed));
		memset(e_secret, k + 5, sizeof(e_secret));
		sign_pair_init(&t->pair[k], seed);
		assert_int_equal(hello_self_init(&t->self[k], &t->pair[k]), ERR_OK);
		hello_init(&t->side[k], &t->self[k], k == 0, e_secret);
	}
}

static void two_fini(struct two *t)
{
	wr_fini(&t->out);
	wr_fini(&t->got);
}

/* The next message, of which at the reader's end one byte may be changed. */
static enum err step(struct two *t, int number, long flip)
{
	int from = number % 2;

	wr_reset(&t->out);
	assert_int_equal(hello_write(&t->side[from], &folder, true, &t->out), ERR_OK);
	assert_int_equal(t->out.at[0] << 8 | t->out.at[1], t->out.len - 2);
	if (flip >= 0)
		t->out.at[2 + flip] ^= 1;
	return hello_read(&t->side[!from], (struct bytes){t->out.at + 2, t->out.len - 2});
}

static void frame(struct two *t, struct wr *to)
{
	struct flow_out f = {.ping_due = true, .ping = 0x0102030405060708};
	struct noise_cipher in;
	uint8_t hash[NOISE_HASH];
	size_t freed;

	noise_split(&t->side[1].noise, &f.cipher, &in, hash);
	uint8_t *room = malloc(FLOW_BATCH);
	wr_raw(to, room, flow_fill(&f, room, FLOW_BATCH, &freed));
	free(room);
}

static const char *const names[] = {"hello-first", "hello-second", "hello-third", "frame-ping"};

static void make_all(struct wr of[4])
{
	struct two t;

	two_init(&t);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(step(&t, k, -1), ERR_OK);
		wr_bytes(&of[k], wr_view(&t.out));
	}
	frame(&t, &of[3]);
	two_fini(&t);
}

static void hex_read(const char *name, struct wr *to)
{
	char path[512];
	unsigned byte;

	snprintf(path, sizeof(path), "%s/%s.hex", VECTORS, name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fscanf(f, "%2x", &byte) == 1)
		wr_u8(to, (uint8_t)byte);
	fclose(f);
}

static int write_all(const char *dir)
{
	struct wr of[4] = {0};
	char path[512];

	make_all(of);
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		snprintf(path, sizeof(path), "%s/%s.hex", dir, names[k]);
		FILE *f = fopen(path, "w");
		if (!f)
			return 1;
		for (size_t at = 0; at < of[k].len; at++)
			fprintf(f, "%02x%c", of[k].at[at],
				at % 16 == 15 || at + 1 == of[k].len ? '\n' : ' ');
		fclose(f);
		wr_fini(&of[k]);
	}
	return 0;
}

static void test_worked_session(void **state)
{
	struct wr of[4] = {0};

	(void)state;
	make_all(of);
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		struct wr want = {0};
		hex_read(names[k], &want);
		assert_true(bytes_equal(wr_view(&want), wr_view(&of[k])));
		wr_fini(&want);
		wr_fini(&of[k]);
	}
}

static void test_both_learn_who(void **state)
{
	struct two t;

	(void)state;
	two_init(&t);
	assert_int_equal(step(&t, 0, -1), ERR_OK);
	assert_true(hello_knocks((struct bytes){t.out.at + 2, t.out.len - 2}, &folder));
	assert_false(hello_knocks((struct bytes){t.out.at + 2, t.out.len - 2}, &other));
	assert_false(hello_knocks((struct bytes){t.out.at + 2, t.out.len - 3}, &folder));
	assert_int_equal(step(&t, 1, -1), ERR_OK);
	assert_memory_equal(&t.side[0].peer, &t.pair[1].pub, 32);
	assert_int_equal(step(&t, 2, -1), ERR_OK);
	assert_memory_equal(&t.side[1].peer, &t.pair[0].pub, 32);
	assert_true(hello_done(&t.side[0]) && hello_done(&t.side[1]));
	assert_true(t.side[1].joining);
	assert_true(hello_names(&t.side[1], &folder));
	assert_false(hello_names(&t.side[1], &other));
	assert_int_equal(hello_read(&t.side[1], BYTES_OF("more")), ERR_MALFORMED);
	two_fini(&t);
}

/* Every byte of every message matters; a changed knock is found before any key is touched. */
static void test_every_byte_counts(void **state)
{
	const size_t lens[3] = {HELLO_FIRST, HELLO_SECOND, HELLO_THIRD};

	(void)state;
	for (int number = 0; number < 3; number++)
		for (size_t at = 0; at < lens[number]; at++) {
			struct two t;
			enum err e = ERR_OK;
			bool knocked = true;
			two_init(&t);
			for (int k = 0; !e && k < 3; k++) {
				e = step(&t, k, k == number ? (long)at : -1);
				if (k == 0)
					knocked = hello_knocks(
						(struct bytes){t.out.at + 2, HELLO_FIRST}, &folder);
			}
			assert_int_equal(e, ERR_FORGED);
			assert_int_equal(knocked, number != 0);
			two_fini(&t);
		}
}

/* A third device that shows the certificate of another cannot speak with its own Noise key. */
static void test_certificate_of_another(void **state)
{
	struct two t;
	struct sign_pair third;
	struct hello_self self;
	uint8_t seed[32] = {3}, e_secret[32] = {4};

	(void)state;
	two_init(&t);
	sign_pair_init(&third, seed);
	assert_int_equal(hello_self_init(&self, &third), ERR_OK);
	self.device = t.self[1].device;
	memcpy(self.cert, t.self[1].cert, SIG_LEN);
	hello_init(&t.side[1], &self, false, e_secret);
	assert_int_equal(step(&t, 0, -1), ERR_OK);
	assert_int_equal(step(&t, 1, -1), ERR_FORGED);
	two_fini(&t);
}

static void test_lengths(void **state)
{
	static uint8_t zeros[HELLO_MAX];
	struct two t;

	(void)state;
	for (size_t len = 0; len <= HELLO_MAX; len++) {
		two_init(&t);
		enum err e = hello_read(&t.side[1], (struct bytes){zeros, len});
		assert_int_equal(e, len == HELLO_FIRST ? ERR_OK : ERR_MALFORMED);
		assert_int_equal(step(&t, 0, -1), len == HELLO_FIRST ? ERR_MALFORMED : ERR_OK);
		e = hello_read(&t.side[0], (struct bytes){zeros, len});
		assert_int_equal(e, len == HELLO_SECOND ? ERR_FORGED : ERR_MALFORMED);
		two_fini(&t);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worked_session),
		cmocka_unit_test(test_both_learn_who),
		cmocka_unit_test(test_every_byte_counts),
		cmocka_unit_test(test_certificate_of_another),
		cmocka_unit_test(test_lengths),
	};

	if (argc == 3 && strcmp(argv[1], "--write") == 0)
		return write_all(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
