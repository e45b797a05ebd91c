// SPDX-License-Identifier: MIT
/* test_reads.c - reads of bytes that are not here: parked, woken, failed in time, given up */
#include "core/reads.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define CHUNKS 12u

/* A file of A's that B knows and holds no byte of; open at B. */
static uint64_t begin(struct pair *p, struct inode_id *i)
{
	static uint8_t data[CHUNKS * PAIR_CHUNK];

	pair_init(p, ROLE_WRITER);
	for (size_t k = 0; k < sizeof(data); k++)
		data[k] = (uint8_t)(k / PAIR_CHUNK + 1);
	*i = pair_put(&p->a, "f", BYTES_OF(data));
	pair_run(p);
	return pair_open(&p->b, *i, false);
}

static enum err read_chunk(struct pair *p, uint64_t file, uint64_t chunk, uint64_t tag)
{
	struct wr got = {0};
	enum err e = pair_read(&p->b, file, chunk * PAIR_CHUNK + 5, 100, tag, &got);

	for (size_t k = 0; k < got.len; k++)
		assert_int_equal(got.at[k], chunk + 1);
	assert_true(e || got.len == 100);
	wr_fini(&got);
	return e;
}

static uint64_t parked(struct pair *p)
{
	struct node_counts n;

	node_counts(p->b.node, &n);
	return n.parked_reads;
}

static bool failed_with(struct pair *p, struct inode_id i, enum err want)
{
	enum err e;
	int64_t wall_ms;

	return node_last_failure(p->b.node, i, &e, &wall_ms) && e == want;
}

/* A read of absent bytes is parked, and woken once when they are here; then it succeeds, and so
 * does every later one without asking. */
static void test_parked_and_woken(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	assert_int_equal(read_chunk(&p, f, 7, 11), ERR_AGAIN);
	assert_int_equal(parked(&p), 1);
	assert_int_equal(p.b.woken_count, 0);
	pair_run(&p);
	assert_int_equal(p.b.woken_count, 1);
	assert_int_equal(p.b.woken[0].tag, 11);
	assert_int_equal(p.b.woken[0].err, ERR_OK);
	assert_int_equal(parked(&p), 0);
	assert_int_equal(read_chunk(&p, f, 7, 11), ERR_OK);
	uint32_t sent = p.a.did[ACT_SEND_PIECE];
	assert_int_equal(read_chunk(&p, f, 7, 12), ERR_OK);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_SEND_PIECE], sent);
	pair_fini(&p);
}

/* However many read the same bytes they are asked for once, and all are woken. */
static void test_many_readers(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	for (uint64_t tag = 1; tag <= 30; tag++)
		assert_int_equal(read_chunk(&p, f, 7, tag), ERR_AGAIN);
	assert_int_equal(read_chunk(&p, f, 7, 30), ERR_AGAIN); /* the same read again */
	assert_int_equal(parked(&p), 30);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_SEND_PIECE], 1);
	assert_int_equal(p.b.woken_count, 30);
	assert_int_equal(parked(&p), 0);
	pair_fini(&p);
}

/* With nobody connected a read fails soon, and says that nobody can be reached. */
static void test_alone(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	pair_unlink(&p);
	assert_int_equal(read_chunk(&p, f, 3, 1), ERR_AGAIN);
	pair_wait(&p, READS_ALONE_USEC - 1);
	assert_int_equal(p.b.woken_count, 0);
	pair_wait(&p, 1);
	assert_int_equal(p.b.woken_count, 1);
	assert_int_equal(p.b.woken[0].err, ERR_UNREACHABLE);
	assert_true(failed_with(&p, i, ERR_UNREACHABLE));
	assert_int_equal(parked(&p), 0);
	pair_fini(&p);
}

/* Who waits alone is served when somebody comes in time. */
static void test_somebody_comes(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	pair_unlink(&p);
	assert_int_equal(read_chunk(&p, f, 3, 1), ERR_AGAIN);
	pair_wait(&p, READS_ALONE_USEC / 2);
	pair_link(&p);
	pair_run(&p);
	assert_int_equal(p.b.woken_count, 1);
	assert_int_equal(p.b.woken[0].err, ERR_OK);
	assert_int_equal(read_chunk(&p, f, 3, 1), ERR_OK);
	pair_fini(&p);
}

/* With a peer that is connected and silent a read fails after the configured time, and says so. */
static void test_silent_peer(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	p.a.deaf = true;
	assert_int_equal(read_chunk(&p, f, 3, 1), ERR_AGAIN);
	pair_run(&p);
	pair_wait(&p, (uint64_t)p.b.config.read_timeout_ms * 1000 - 1);
	assert_int_equal(p.b.woken_count, 0);
	pair_wait(&p, 1);
	assert_int_equal(p.b.woken_count, 1);
	assert_int_equal(p.b.woken[0].err, ERR_TIMEDOUT);
	assert_true(failed_with(&p, i, ERR_TIMEDOUT));
	p.a.deaf = false; /* when it is itself again so are reads: after another is asked, or it
			     again */
	for (uint64_t tag = 2; tag < 20 && read_chunk(&p, f, 3, tag) == ERR_AGAIN; tag++) {
		pair_run(&p);
		pair_wait(&p, FETCH_ASK_USEC / 2);
		pair_run(&p);
	}
	assert_int_equal(read_chunk(&p, f, 3, 30), ERR_OK);
	pair_fini(&p);
}

/* The peer goes away while it is asked: what waits fails at the latest in its time. */
static void test_the_peer_goes(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	assert_int_equal(read_chunk(&p, f, 3, 1), ERR_AGAIN);
	pair_unlink(&p);
	pair_wait(&p, (uint64_t)p.b.config.read_timeout_ms * 1000);
	assert_int_equal(p.b.woken_count, 1);
	assert_int_equal(p.b.woken[0].err, ERR_UNREACHABLE);
	assert_int_equal(parked(&p), 0);
	pair_fini(&p);
}

/* When all say that they hold it not, waiting is over at once. */
static void test_nobody_holds_it(void **state)
{
	struct pair p;
	struct inode_id i;
	struct wire_message m;

	(void)state;
	uint64_t f = begin(&p, &i);
	p.a.deaf = true;
	assert_int_equal(read_chunk(&p, f, 3, 1), ERR_AGAIN);
	for (uint32_t k = 0; k < p.queue_count; k++) { /* the WANT comes back as a NO */
		struct pair_message *q = &p.queue[k];
		if (q->to != &p.a || q->at[0] != WIRE_WANT)
			continue;
		assert_int_equal(wire_decode((struct bytes){q->at, q->len}, &m), ERR_OK);
		struct wr w = {0};
		m.type = WIRE_NO;
		wire_encode(&w, &m);
		pair_send(&p.b, wr_view(&w));
		wr_fini(&w);
		break;
	}
	pair_run(&p);
	assert_int_equal(p.b.woken_count, 1);
	assert_int_equal(p.b.woken[0].err, ERR_UNREACHABLE);
	assert_true(failed_with(&p, i, ERR_UNREACHABLE));
	pair_fini(&p);
}

/* Who asks politely does not wait; who gives no tag is not parked; who gives up is forgotten. */
static void test_who_does_not_wait(void **state)
{
	static struct piece pieces[NODE_PIECES_MAX]; /* off the stack */
	struct pair p;
	struct inode_id i;
	struct event ev = {.kind = EV_READ};

	(void)state;
	uint64_t f = begin(&p, &i);
	ev.read.file = f;
	ev.read.len = 10;
	ev.read.tag = 5;
	ev.read.polite = true;
	ev.read.pieces = pieces;
	assert_int_equal(pair_step(&p.b, &ev), ERR_UNREACHABLE);
	assert_true(failed_with(&p, i, ERR_UNREACHABLE));
	assert_int_equal(read_chunk(&p, f, 0, 0), ERR_AGAIN);
	assert_int_equal(parked(&p), 0);
	assert_int_equal(p.queue_count, 0);
	assert_int_equal(read_chunk(&p, f, 6, 9), ERR_AGAIN);
	ev = (struct event){.kind = EV_READ_CANCEL};
	ev.read.tag = 9;
	assert_int_equal(pair_step(&p.b, &ev), ERR_OK);
	assert_int_equal(pair_step(&p.b, &ev), ERR_OK); /* twice does no harm */
	assert_int_equal(parked(&p), 0);
	pair_run(&p);
	assert_int_equal(p.b.woken_count, 0);
	pair_fini(&p);
}

/* A read never delays another: what is here is answered while others wait. */
static void test_no_read_delays_another(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	uint64_t f = begin(&p, &i);
	assert_int_equal(read_chunk(&p, f, 0, 1), ERR_AGAIN);
	pair_run(&p);
	p.a.deaf = true;
	for (uint64_t tag = 2; tag < 500; tag++)
		assert_int_equal(read_chunk(&p, f, CHUNKS - 1, tag), ERR_AGAIN);
	assert_int_equal(read_chunk(&p, f, 0, 600), ERR_OK);
	pair_fini(&p);
}

/* Who reads in order finds what comes next here already, wherever the order begins; one read alone
 * makes nothing come. */
static void test_read_ahead(void **state)
{
	const uint64_t begins[] = {0, 1, 5};

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(begins); n++) {
		struct pair p;
		struct inode_id i;
		uint64_t f = begin(&p, &i), from = begins[n];
		assert_int_equal(read_chunk(&p, f, from, 1), ERR_AGAIN);
		pair_run(&p);
		assert_int_equal(p.a.did[ACT_SEND_PIECE], 1);
		for (uint64_t k = from; k < from + 3; k++) {
			(void)!read_chunk(&p, f, k, 2 + k);
			pair_run(&p);
		}
		for (uint64_t k = from + 3; k < CHUNKS; k++)
			assert_int_equal(read_chunk(&p, f, k, 50 + k), ERR_OK);
		pair_fini(&p);
	}
}

/* After a leap nothing comes ahead until reads are in order again. */
static void test_read_ahead_after_a_leap(void **state)
{
	const uint64_t far = CONTENT_AHEAD_MIN / PAIR_CHUNK + 16; /* under one node */
	struct bytes all = {NULL, (far + 16) * PAIR_CHUNK};
	uint8_t *data = calloc(1, all.len);
	struct pair p;
	struct wr got = {0};

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_non_null(data);
	for (size_t k = 0; k < all.len; k += PAIR_CHUNK)
		memcpy(data + k, &k, sizeof(k));
	all.at = data;
	struct inode_id i = pair_put(&p.a, "f", all);
	pair_run(&p);
	uint64_t f = pair_open(&p.b, i, false), tag = 1;
	while (pair_read(&p.b, f, 0, 10, tag++, &got) == ERR_AGAIN)
		pair_run(&p); /* the nodes too */
	while (pair_read(&p.b, f, far * PAIR_CHUNK, 10, tag++, &got) == ERR_AGAIN)
		pair_run(&p);
	for (uint64_t k = far + 1; k < far + 4; k++) {
		while (pair_read(&p.b, f, k * PAIR_CHUNK, 10, tag++, &got) == ERR_AGAIN)
			pair_run(&p);
		pair_run(&p);
	}
	for (uint64_t k = far + 5; k < far + 16; k++)
		assert_int_equal(pair_read(&p.b, f, k * PAIR_CHUNK, 10, tag++, &got), ERR_OK);
	wr_fini(&got);
	pair_fini(&p);
	free(data);
}

/* Of a large file a part comes ahead, and more of it the longer reads are in order. */
static void test_read_ahead_grows(void **state)
{
	const uint64_t least = CONTENT_AHEAD_MIN / PAIR_CHUNK;
	struct bytes all = {NULL, 8 * CONTENT_AHEAD_MIN};
	uint8_t *data = calloc(1, all.len);
	struct pair p;
	struct wr got = {0};
	uint64_t tag = 1;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_non_null(data);
	for (size_t k = 0; k < all.len; k += PAIR_CHUNK)
		memcpy(data + k, &k, sizeof(k));
	all.at = data;
	struct inode_id i = pair_put(&p.a, "f", all);
	pair_run(&p);
	uint64_t f = pair_open(&p.b, i, false);
	for (uint64_t k = 0; k < least; k++) {
		while (pair_read(&p.b, f, k * PAIR_CHUNK, PAIR_CHUNK, tag++, &got) == ERR_AGAIN)
			pair_run(&p);
		pair_run(&p);
		if (k == 2) {
			assert_int_equal(pair_read(&p.b, f, (least / 2) * PAIR_CHUNK, 10, 0, &got),
					 ERR_OK);
			assert_int_equal(pair_read(&p.b, f, 3 * CONTENT_AHEAD_MIN, 10, 0, &got),
					 ERR_AGAIN);
			(void)!pair_read(&p.b, f, k * PAIR_CHUNK, PAIR_CHUNK, 0, &got);
		}
	}
	assert_int_equal(pair_read(&p.b, f, 2 * CONTENT_AHEAD_MIN, 10, 0, &got), ERR_OK);
	wr_fini(&got);
	pair_fini(&p);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parked_and_woken),
		cmocka_unit_test(test_many_readers),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_somebody_comes),
		cmocka_unit_test(test_silent_peer),
		cmocka_unit_test(test_the_peer_goes),
		cmocka_unit_test(test_nobody_holds_it),
		cmocka_unit_test(test_who_does_not_wait),
		cmocka_unit_test(test_no_read_delays_another),
		cmocka_unit_test(test_read_ahead),
		cmocka_unit_test(test_read_ahead_grows),
		cmocka_unit_test(test_read_ahead_after_a_leap),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
