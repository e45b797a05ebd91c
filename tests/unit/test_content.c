// SPDX-License-Identifier: MIT
/* test_content.c - what is written into open files, and when it becomes a version that others see
 */
#include "core/content.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define TEXT(s) bytes_text(s)
#define FILE_MAX (6u * PAIR_CHUNK)

static struct node_stat stat_of(struct side *s, struct inode_id i)
{
	struct node_stat st;

	assert_int_equal(node_stat(s->node, i, 0, &st), ERR_OK);
	return st;
}

/* The whole content of a shown file, as a program that opens it now reads it. */
static void expect(struct side *s, const char *name, struct bytes want)
{
	struct shown at;
	struct wr got = {0};

	assert_int_equal(pair_lookup(s, name, &at), ERR_OK);
	uint64_t f = pair_open(s, at.id, false);
	enum err e = ERR_AGAIN;
	for (uint64_t tag = 1; e == ERR_AGAIN && tag < 9; tag++) { /* nodes first, then chunks */
		e = pair_read(s, f, 0, (uint32_t)want.len + 100, tag, &got);
		if (e == ERR_AGAIN)
			pair_run(s->pair);
	}
	assert_int_equal(e, ERR_OK);
	assert_true(bytes_equal(wr_view(&got), want));
	assert_int_equal(pair_close(s, f, false), ERR_OK);
	wr_fini(&got);
}

/* ---- bytes ---- */

struct model {
	uint8_t at[FILE_MAX];
	uint64_t size;
};

static void compare(struct side *s, uint64_t file, const struct model *m)
{
	struct wr got = {0};

	assert_int_equal(pair_read(s, file, 0, FILE_MAX + 1, 0, &got), ERR_OK);
	assert_int_equal(got.len, m->size);
	assert_true(m->size == 0 || memcmp(got.at, m->at, m->size) == 0);
	wr_fini(&got);
}

static void one_write(struct side *s, uint64_t file, struct model *m, struct rng *r)
{
	static uint8_t data[2 * PAIR_CHUNK];
	uint64_t off = rng_below(r, FILE_MAX - 1);
	uint64_t len = 1 + rng_below(r, rng_below(r, 4) ? 40 : sizeof(data));

	if (rng_below(r, 3) == 0)
		off = MIN(m->size, FILE_MAX - 1);
	len = MIN(len, FILE_MAX - off);
	rng_bytes(r, data, len);
	assert_int_equal(pair_write(s, file, off, (struct bytes){data, len}), ERR_OK);
	if (off > m->size)
		memset(m->at + m->size, 0, off - m->size);
	memcpy(m->at + off, data, len);
	m->size = MAX(m->size, off + len);
}

static void one_truncate(struct side *s, uint64_t file, struct model *m, struct rng *r)
{
	uint64_t size = rng_below(r, FILE_MAX);

	assert_int_equal(pair_truncate(s, file, size), ERR_OK);
	if (size > m->size)
		memset(m->at + m->size, 0, size - m->size);
	m->size = size;
}

/* Whatever is written, truncated, cut and sealed, at each moment the file reads as a file would:
 * what was cut off by a truncation and comes back is zeros.  In the end the other reads the same.
 */
static void test_reads_as_a_file(void **state)
{
	static struct model m;

	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct pair p;
		struct rng r;
		struct inode_id i;
		pair_init(&p, ROLE_WRITER);
		rng_init_number(&r, seed);
		m.size = 0;
		p.a.hold_seals = true;
		assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
		uint64_t f = pair_open(&p.a, i, true);
		for (int k = 0; k < 120; k++) {
			uint64_t what = rng_below(&r, 10);
			if (what < 5)
				one_write(&p.a, f, &m, &r);
			else if (what < 7)
				one_truncate(&p.a, f, &m, &r);
			else if (what == 7)
				pair_seal_now(&p.a);
			else if (what == 8)
				pair_wait(&p, CONTENT_QUIET_USEC);
			else
				pair_run(&p);
			compare(&p.a, f, &m);
			assert_int_equal(stat_of(&p.a, i).size, m.size);
		}
		p.a.hold_seals = false;
		assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
		pair_seal_now(&p.a);
		pair_run(&p);
		assert_true(node_idle(p.a.node));
		expect(&p.b, "f", (struct bytes){m.at, m.size});
		pair_same(&p);
		pair_fini(&p);
	}
}

/* A file of many chunks, whose manifest has nodes, is read by the other; a byte changed in its
 * middle changes that byte. */
static void test_large(void **state)
{
	uint8_t *data = malloc(40 * PAIR_CHUNK + 5);
	struct bytes all = {data, 40 * PAIR_CHUNK + 5};
	struct pair p;
	struct rng r;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	rng_init_number(&r, 1);
	rng_bytes(&r, data, all.len);
	struct inode_id i = pair_put(&p.a, "f", all);
	uint32_t made = p.a.pieces_count;
	assert_int_equal(made, 41 + 3);
	pair_run(&p);
	expect(&p.b, "f", all);
	data[20 * PAIR_CHUNK] ^= 1;
	uint64_t w = pair_open(&p.a, i, true);
	assert_int_equal(
		pair_write(&p.a, w, 20 * PAIR_CHUNK, (struct bytes){data + 20 * PAIR_CHUNK, 1}),
		ERR_OK);
	assert_int_equal(pair_close(&p.a, w, true), ERR_OK);
	assert_int_equal(p.a.pieces_count, made + 2); /* a chunk and the node over it */
	pair_run(&p);
	uint32_t had = p.b.pieces_count;
	expect(&p.b, "f", all);
	assert_true(p.b.pieces_count <= had + 2);
	pair_same(&p);
	pair_fini(&p);
	free(data);
}

/* A chunk of the version before is taken over only where it is wanted whole: it begins there, no
 * written byte is in it, no truncation cut it, and it was not the last unless the end is the same.
 */
static void test_reuse(void **state)
{
	static uint8_t data[4 * PAIR_CHUNK + 100];
	struct pair p;
	struct entry e;

	(void)state;
	pair_init(&p, ROLE_NONE);
	for (size_t k = 0; k < sizeof(data); k++)
		data[k] = (uint8_t)(k / PAIR_CHUNK + 1);
	struct inode_id i = pair_put(&p.a, "f", BYTES_OF(data));
	p.a.hold_seals = true;
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 2 * PAIR_CHUNK - 1, TEXT("ab")), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	assert_int_equal(p.a.works_count, 1);
	const bool taken[] = {true, false, false, true, true};
	for (uint64_t k = 0; k < ARRAY_LEN(taken); k++) {
		enum err want = taken[k] ? ERR_OK : ERR_NOENT;
		assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], k * PAIR_CHUNK, &e), want);
		assert_true(!taken[k] || e.len == (k == 4 ? 100 : PAIR_CHUNK));
	}
	assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], 7, &e), ERR_NOENT);
	pair_seal_now(&p.a);
	f = pair_open(&p.a, i, true); /* longer: the last chunk had ended for want of bytes */
	assert_int_equal(pair_write(&p.a, f, sizeof(data), TEXT("more")), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], 3 * PAIR_CHUNK, &e), ERR_OK);
	assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], 4 * PAIR_CHUNK, &e), ERR_NOENT);
	pair_seal_now(&p.a);
	f = pair_open(&p.a, i, true); /* down into a chunk and up again: zeros stand there now */
	assert_int_equal(pair_truncate(&p.a, f, PAIR_CHUNK + 5), ERR_OK);
	assert_int_equal(pair_truncate(&p.a, f, 3 * PAIR_CHUNK), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], 0, &e), ERR_OK);
	assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], PAIR_CHUNK, &e), ERR_NOENT);
	assert_int_equal(node_work_reuse(p.a.node, p.a.works[0], 2 * PAIR_CHUNK, &e), ERR_NOENT);
	pair_seal_now(&p.a);
	struct wr got = {0};
	f = pair_open(&p.a, i, false);
	assert_int_equal(pair_read(&p.a, f, PAIR_CHUNK, 2 * PAIR_CHUNK, 0, &got), ERR_OK);
	for (size_t k = 0; k < got.len; k++)
		assert_int_equal(got.at[k], k < 5 ? 2 : 0);
	wr_fini(&got);
	pair_fini(&p);
}

/* ---- when ---- */

/* A version is cut by the last close, by quiet, and at the latest when it has been busy long
 * enough; not before. */
static void test_when_a_version_is_cut(void **state)
{
	struct pair p;
	struct inode_id i;

	(void)state;
	pair_init(&p, ROLE_NONE);
	p.a.hold_seals = true;
	assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true), g = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("1")), ERR_OK);
	assert_int_equal(pair_close(&p.a, g, true), ERR_OK);
	assert_int_equal(p.a.works_count, 0); /* another writer has it open */
	pair_wait(&p, CONTENT_QUIET_USEC - 1);
	assert_int_equal(p.a.works_count, 0);
	pair_wait(&p, 1);
	assert_int_equal(p.a.works_count, 1);
	pair_seal_now(&p.a);
	uint64_t begun = p.now;
	while (!p.a.works_count) {
		assert_int_equal(pair_write(&p.a, f, 0, TEXT("2")), ERR_OK);
		pair_wait(&p, CONTENT_QUIET_USEC / 2);
		assert_true(p.now - begun <= CONTENT_BUSY_USEC + CONTENT_QUIET_USEC);
	}
	assert_true(p.now - begun >= CONTENT_BUSY_USEC);
	pair_seal_now(&p.a);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("3")), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	assert_int_equal(p.a.works_count, 1);
	pair_seal_now(&p.a);
	pair_fini(&p);
}

/* One version is sealed at a time; what is written meanwhile is the next, and is cut when that is
 * done. */
static void test_one_version_after_another(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	p.a.hold_seals = true;
	struct inode_id i = pair_put(&p.a, "f", TEXT("one"));
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 3, TEXT(" two")), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	assert_int_equal(p.a.works_count, 1);
	assert_int_equal(node_work_size(p.a.node, p.a.works[0]), 3);
	expect(&p.a, "f", TEXT("one two"));
	p.a.hold_seals = false;
	pair_seal_now(&p.a);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_SEAL], 2);
	expect(&p.b, "f", TEXT("one two"));
	pair_same(&p);
	pair_fini(&p);
}

/* A sealing that failed is tried again after a while; nothing is lost meanwhile. */
static void test_a_sealing_that_fails(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	p.a.hold_seals = true;
	pair_put(&p.a, "f", TEXT("bytes"));
	for (int k = 0; k < 3; k++) {
		pair_seal_fails(&p.a, ERR_NOSPC);
		pair_wait(&p, CONTENT_RETRY_USEC - 1);
		assert_int_equal(p.a.works_count, 0);
		expect(&p.a, "f", TEXT("bytes"));
		pair_wait(&p, 1);
		assert_int_equal(p.a.works_count, 1);
		pair_wait(&p, 2 * CONTENT_RETRY_USEC); /* under way: it is not asked for again */
		assert_int_equal(p.a.works_count, 1);
	}
	assert_true(p.a.did[ACT_REPORT] >= 3);
	pair_seal_now(&p.a);
	pair_run(&p);
	expect(&p.b, "f", TEXT("bytes"));
	pair_fini(&p);
}

/* Bytes of the version before that are not here are fetched before a new one is sealed. */
static void test_a_write_into_absent_bytes(void **state)
{
	static uint8_t data[3 * PAIR_CHUNK];
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	memset(data, 7, sizeof(data));
	struct inode_id i = pair_put(&p.a, "f", BYTES_OF(data));
	pair_run(&p);
	uint64_t f = pair_open(&p.b, i, true);
	assert_int_equal(pair_write(&p.b, f, PAIR_CHUNK + 3, TEXT("new")), ERR_OK);
	assert_int_equal(pair_close(&p.b, f, true), ERR_OK);
	assert_false(node_idle(p.b.node));
	pair_run(&p);
	pair_wait(&p, 1);
	pair_run(&p);
	assert_true(node_idle(p.b.node));
	assert_int_equal(p.a.did[ACT_SEND_PIECE], 1); /* the chunk written into, and no other */
	memcpy(data + PAIR_CHUNK + 3, "new", 3);
	expect(&p.a, "f", BYTES_OF(data));
	pair_same(&p);
	pair_fini(&p);
}

/* An empty file is a version like any other, without sealing. */
static void test_empty(void **state)
{
	struct pair p;
	struct inode_id i;
	struct shown at;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	i = pair_put(&p.a, "f", (struct bytes){0});
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_SEAL], 0);
	assert_int_equal(pair_lookup(&p.b, "f", &at), ERR_OK);
	assert_true(stat_of(&p.b, i).a.version.inc != 0);
	pair_put(&p.a, "g", TEXT("x"));
	assert_int_equal(pair_lookup(&p.a, "g", &at), ERR_OK);
	struct event ev = {.kind = EV_TRUNCATE}; /* by name, nobody has it open */
	ev.truncate.inode = at.id;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	pair_run(&p);
	expect(&p.b, "g", (struct bytes){0});
	pair_same(&p);
	pair_fini(&p);
}

/* A modification time set while a file is written is that of the version. */
static void test_touch(void **state)
{
	struct pair p;
	struct inode_id i;
	struct event ev = {.kind = EV_SETATTR};

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("x")), ERR_OK);
	ev.setattr.inode = i;
	ev.setattr.file = f;
	ev.setattr.set_mtime = true;
	ev.setattr.mtime_ns = 12345;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_int_equal(stat_of(&p.a, i).mtime_ns, 12345);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	pair_run(&p);
	assert_int_equal(stat_of(&p.a, i).mtime_ns, 12345);
	assert_int_equal(stat_of(&p.b, i).mtime_ns, 12345);
	pair_fini(&p);
}

/* Absent chunks that a write touches are fetched, all of them and no other, before the version is
 * sealed. */
static void test_a_write_over_two_absent_chunks(void **state)
{
	static uint8_t data[3 * PAIR_CHUNK];
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	for (size_t k = 0; k < sizeof(data); k++)
		data[k] = (uint8_t)(k / PAIR_CHUNK);
	struct inode_id i = pair_put(&p.a, "f", BYTES_OF(data));
	pair_run(&p);
	uint64_t f = pair_open(&p.b, i, true);
	assert_int_equal(pair_write(&p.b, f, PAIR_CHUNK - 1, TEXT("ab")), ERR_OK);
	assert_int_equal(pair_close(&p.b, f, true), ERR_OK);
	for (int k = 0; k < 4; k++) {
		pair_run(&p);
		pair_wait(&p, 1);
	}
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_SEND_PIECE], 2);
	assert_int_equal(p.b.did[ACT_REPORT], 0); /* nothing went wrong */
	assert_true(node_idle(p.b.node));
	memcpy(data + PAIR_CHUNK - 1, "ab", 2);
	expect(&p.a, "f", BYTES_OF(data));
	pair_fini(&p);
}

/* While nobody has the bytes that a version needs it is tried again and again, and waits; when
 * somebody has them again it is sealed. */
static void test_a_write_into_bytes_nobody_has_now(void **state)
{
	static uint8_t data[3 * PAIR_CHUNK];
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	memset(data, 7, sizeof(data));
	struct inode_id i = pair_put(&p.a, "f", BYTES_OF(data));
	pair_run(&p);
	pair_unlink(&p);
	uint64_t f = pair_open(&p.b, i, true);
	assert_int_equal(pair_write(&p.b, f, 3, TEXT("new")), ERR_OK);
	assert_int_equal(pair_close(&p.b, f, true), ERR_OK);
	for (int k = 0; k < 10; k++) {
		pair_wait(&p, CONTENT_RETRY_USEC);
		assert_false(node_idle(p.b.node));
	}
	assert_true(p.b.did[ACT_SEAL] <= 11);
	pair_link(&p);
	for (int k = 0; k < 4; k++) {
		pair_run(&p);
		pair_wait(&p, CONTENT_RETRY_USEC);
	}
	pair_run(&p);
	assert_true(node_idle(p.b.node));
	memcpy(data + 3, "new", 3);
	expect(&p.a, "f", BYTES_OF(data));
	pair_same(&p);
	pair_fini(&p);
}

/* Cutting a file to the size it has makes no version, but a new file's first. */
static void test_truncate_to_the_same_size(void **state)
{
	struct pair p;
	struct inode_id i;
	struct event ev = {.kind = EV_TRUNCATE};

	(void)state;
	pair_init(&p, ROLE_NONE);
	i = pair_put(&p.a, "f", TEXT("four"));
	struct dot before = stat_of(&p.a, i).a.version;
	uint32_t frames = p.a.frames_count;
	ev.truncate.inode = i;
	ev.truncate.size = 4;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_int_equal(p.a.frames_count, frames);
	assert_true(dot_compare(stat_of(&p.a, i).a.version, before) == 0);
	ev.truncate.size = 3;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_true(dot_compare(stat_of(&p.a, i).a.version, before) != 0);
	expect(&p.a, "f", TEXT("fou"));
	assert_int_equal(pair_make(&p.a, "new", &i), ERR_OK);
	ev.truncate.inode = i;
	ev.truncate.size = 0;
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_true(stat_of(&p.a, i).a.version.inc != 0);
	pair_fini(&p);
}

/* The same bytes, written on both sides, are no news to whoever has the file open. */
static void test_equal_versions_are_no_news(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	struct inode_id i = pair_put(&p.a, "f", TEXT("one"));
	pair_run(&p);
	pair_unlink(&p);
	struct side *sides[] = {&p.a, &p.b};
	for (size_t k = 0; k < ARRAY_LEN(sides); k++) {
		uint64_t f = pair_open(sides[k], i, true);
		assert_int_equal(pair_write(sides[k], f, 0, TEXT("two")), ERR_OK);
		assert_int_equal(pair_close(sides[k], f, true), ERR_OK);
		pair_wait(&p, 1000000);
	}
	uint64_t f = pair_open(&p.a, i, false), g = pair_open(&p.b, i, false);
	pair_link(&p);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_NEW_DATA] + p.b.did[ACT_NEW_DATA], 0);
	assert_int_equal(pair_open(&p.a, i, false), f); /* opens still share it */
	assert_int_equal(pair_open(&p.b, i, false), g);
	assert_int_equal(pair_entries(&p.a), 1);
	pair_same(&p);
	pair_fini(&p);
}

/* A handle is released as often as it was opened, also while its file is being sealed. */
static void test_releases(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_NONE);
	p.a.hold_seals = true;
	struct inode_id i = pair_put(&p.a, "f", TEXT("x"));
	uint64_t f = pair_open(&p.a, i, false);
	assert_int_equal(pair_close(&p.a, f, false), ERR_OK);
	assert_int_equal(p.a.works_count, 1);
	assert_int_equal(pair_close(&p.a, f, false), ERR_STALE); /* the file is still there */
	uint64_t g = pair_open(&p.a, i, false);
	assert_int_equal(f, g);
	assert_int_equal(pair_close(&p.a, g, false), ERR_OK);
	pair_seal_now(&p.a);
	assert_true(pair_open(&p.a, i, false) != f); /* it had gone with its last work */
	pair_fini(&p);
}

/* The last writer's release on a full disk writes nothing and is no less a release: the version is
 * cut by the next tick, without the quiet time that a writer would have. */
static void test_release_on_a_full_disk(void **state)
{
	struct event ev = {.kind = EV_RELEASE};
	struct inode_id i;
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("kept")), ERR_OK);
	size_t written = p.a.journal.len;
	ev.file.file = f;
	ev.file.write = true;
	ev.file.full = true;
	assert_int_equal(node_room(p.a.node, &ev), 0);
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_int_equal(p.a.journal.len, written);
	assert_false(node_idle(p.a.node));
	pair_wait(&p, 1);
	pair_run(&p);
	assert_true(node_idle(p.a.node));
	assert_int_equal(pair_close(&p.a, f, true), ERR_STALE); /* it was counted once */
	expect(&p.b, "f", TEXT("kept"));
	pair_same(&p);
	pair_fini(&p);
}

/* A reader's release needs no room either, and the file goes with it. */
static void test_reader_released_on_a_full_disk(void **state)
{
	struct event ev = {.kind = EV_RELEASE};
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_NONE);
	struct inode_id i = pair_put(&p.a, "f", TEXT("x"));
	ev.file.file = pair_open(&p.a, i, false);
	ev.file.full = true;
	assert_int_equal(node_room(p.a.node, &ev), 0);
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	assert_int_equal(pair_close(&p.a, ev.file.file, false), ERR_STALE);
	pair_fini(&p);
}

/* ---- other versions ---- */

/* A handle stays on the version it was opened on; what is written through it then is beside the
 * newer one, and nobody's bytes are lost. */
static void test_a_stale_handle(void **state)
{
	struct pair p;
	struct wr got = {0};

	(void)state;
	pair_init(&p, ROLE_WRITER);
	struct inode_id i = pair_put(&p.a, "f.txt", TEXT("one"));
	pair_run(&p);
	expect(&p.b, "f.txt", TEXT("one"));
	uint64_t old = pair_open(&p.a, i, true);
	uint64_t f = pair_open(&p.b, i, true);
	assert_int_equal(pair_write(&p.b, f, 0, TEXT("newer")), ERR_OK);
	assert_int_equal(pair_close(&p.b, f, true), ERR_OK);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_NEW_DATA], 1);
	assert_int_equal(pair_read(&p.a, old, 0, 100, 0, &got), ERR_OK);
	assert_true(bytes_equal(wr_view(&got), TEXT("one")));
	wr_fini(&got);
	assert_true(pair_open(&p.a, i, false) != old); /* new opens see the newer one */
	assert_int_equal(pair_write(&p.a, old, 3, TEXT(" mine")), ERR_OK);
	assert_int_equal(pair_close(&p.a, old, true), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), 2);
	pair_same(&p);
	struct node_counts n;
	node_counts(p.b.node, &n);
	assert_true(n.conflicts > 0);
	expect(&p.b, "f.txt", TEXT("one mine")); /* the later stamp keeps the name */
	pair_fini(&p);
}

/* What is written into a file after its last name is gone is never published, and dropped by the
 * last close. */
static void test_unlinked_while_open(void **state)
{
	struct pair p;
	struct inode_id i;
	struct wr got = {0};

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_make(&p.a, "tmp", &i), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("secret")), ERR_OK);
	assert_int_equal(pair_unlink_name(&p.a, "tmp"), ERR_OK);
	assert_int_equal(pair_write(&p.a, f, 6, TEXT("s")), ERR_OK);
	for (int k = 0; k < 40; k++) {
		pair_wait(&p, CONTENT_QUIET_USEC);
		pair_run(&p);
	}
	assert_int_equal(pair_read(&p.a, f, 0, 100, 0, &got), ERR_OK);
	assert_true(bytes_equal(wr_view(&got), TEXT("secrets")));
	wr_fini(&got);
	assert_int_equal(p.a.did[ACT_SEAL], 0);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_SEAL], 0);
	assert_true(node_idle(p.a.node));
	assert_int_equal(pair_entries(&p.b), 0);
	pair_same(&p);
	pair_fini(&p);
}

/* Handles that are not open, and offsets that no file has, are errors and change nothing. */
static void test_errors(void **state)
{
	struct pair p;
	struct inode_id i, d;
	struct event ev = {.kind = EV_OPEN};
	struct wr got = {0};

	(void)state;
	pair_init(&p, ROLE_NONE);
	assert_int_equal(pair_mkdir(&p.a, "d", &d), ERR_OK);
	ev.open.inode = d;
	assert_int_equal(pair_step(&p.a, &ev), ERR_ISDIR);
	i = pair_put(&p.a, "f", TEXT("x"));
	uint64_t f = pair_open(&p.a, i, true);
	uint32_t frames = p.a.frames_count;
	assert_int_equal(pair_write(&p.a, f + 1024, 0, TEXT("x")), ERR_STALE);
	assert_int_equal(pair_write(&p.a, f, INT64_MAX, TEXT("x")), ERR_FBIG);
	assert_int_equal(pair_truncate(&p.a, f, UINT64_C(1) << 63), ERR_FBIG);
	assert_int_equal(pair_truncate(&p.a, f + 1024, 5), ERR_STALE);
	assert_int_equal(pair_read(&p.a, f + 1024, 0, 5, 0, &got), ERR_STALE);
	assert_int_equal(pair_close(&p.a, f + 1024, true), ERR_STALE);
	assert_int_equal(p.a.frames_count, frames);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_STALE);
	expect(&p.a, "f", TEXT("x"));
	pair_fini(&p);
}

/* The only entry but the one of that name; none: the test fails. */
static void other_entry(struct side *s, const char *but, char name[NAME_BYTES_MAX + 1])
{
	struct bytes after = {(const uint8_t *)"", 0};
	struct shown e;
	uint32_t found = 0;

	while (!view_next(node_view(s->node), INODE_ROOT, after, &e)) {
		static uint8_t last[NAME_BYTES_MAX];
		memcpy(last, e.name, e.name_len);
		after = (struct bytes){last, e.name_len};
		if (strcmp((const char *)e.name, but) == 0)
			continue;
		memcpy(name, e.name, e.name_len + 1u);
		found++;
	}
	assert_int_equal(found, 1);
}

/* A's version is not sealed when B's comes. */
static void both_edit(struct pair *p, struct inode_id i)
{
	p->a.hold_seals = true;
	uint64_t f = pair_open(&p->a, i, true);
	assert_int_equal(pair_write(&p->a, f, 0, TEXT("mine")), ERR_OK);
	assert_int_equal(pair_close(&p->a, f, true), ERR_OK);
	f = pair_open(&p->b, i, true);
	assert_int_equal(pair_write(&p->b, f, 0, TEXT("theirs")), ERR_OK);
	assert_int_equal(pair_close(&p->b, f, true), ERR_OK);
	pair_run(p);
}

/*
 * What A closed is not sealed yet when B's version comes and takes the name; A then removes that
 * name, or renames another file over it, having seen only B's: A's own stays, beside it, here and
 * there, also over a crash in between.
 */
static void test_unsealed_survives_the_loss_of_its_name(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		bool over = how & 1, crash = how & 2;
		char name[NAME_BYTES_MAX + 1];
		struct pair p;
		pair_init(&p, ROLE_WRITER);
		struct inode_id i = pair_put(&p.a, "f", TEXT("base"));
		if (over)
			(void)pair_put(&p.a, "g", TEXT("another"));
		pair_run(&p);
		both_edit(&p, i);
		expect(&p.a, "f", TEXT("theirs"));
		assert_int_equal(over ? pair_rename(&p.a, "g", "f") : pair_unlink_name(&p.a, "f"),
				 ERR_OK);
		p.a.hold_seals = false;
		if (crash) {
			pair_unlink(&p);
			pair_stop(&p.a);
			pair_start(&p.a, false);
			pair_link(&p);
		} else {
			pair_seal_now(&p.a);
		}
		pair_run(&p);
		other_entry(&p.a, "f", name);
		assert_non_null(strstr(name, "(conflict "));
		expect(&p.a, name, TEXT("mine"));
		if (over)
			expect(&p.a, "f", TEXT("another"));
		pair_same(&p);
		expect(&p.b, name, TEXT("mine"));
		pair_fini(&p);
	}
}

/* The same below the root: it stays in the directory where its name was. */
static void test_unsealed_stays_in_its_directory(void **state)
{
	struct event move = {.kind = EV_RENAME}, unlink = {.kind = EV_UNLINK};
	struct inode_id d;
	struct pair p;
	struct shown e;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_mkdir(&p.a, "d", &d), ERR_OK);
	struct inode_id i = pair_put(&p.a, "f", TEXT("base"));
	move.rename.from_dir = INODE_ROOT;
	move.rename.to_dir = d;
	move.rename.from = move.rename.to = TEXT("f");
	assert_int_equal(pair_step(&p.a, &move), ERR_OK);
	pair_run(&p);
	both_edit(&p, i);
	unlink.name.dir = d;
	unlink.name.name = TEXT("f");
	assert_int_equal(pair_step(&p.a, &unlink), ERR_OK);
	p.a.hold_seals = false;
	pair_seal_now(&p.a);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), 1);
	assert_int_equal(view_next(node_view(p.a.node), d, TEXT(""), &e), ERR_OK);
	assert_non_null(strstr((const char *)e.name, "(conflict "));
	pair_same(&p);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_as_a_file),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_when_a_version_is_cut),
		cmocka_unit_test(test_one_version_after_another),
		cmocka_unit_test(test_a_sealing_that_fails),
		cmocka_unit_test(test_a_write_into_absent_bytes),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_touch),
		cmocka_unit_test(test_a_write_over_two_absent_chunks),
		cmocka_unit_test(test_a_write_into_bytes_nobody_has_now),
		cmocka_unit_test(test_truncate_to_the_same_size),
		cmocka_unit_test(test_equal_versions_are_no_news),
		cmocka_unit_test(test_releases),
		cmocka_unit_test(test_release_on_a_full_disk),
		cmocka_unit_test(test_reader_released_on_a_full_disk),
		cmocka_unit_test(test_a_stale_handle),
		cmocka_unit_test(test_unsealed_stays_in_its_directory),
		cmocka_unit_test(test_unsealed_survives_the_loss_of_its_name),
		cmocka_unit_test(test_unlinked_while_open),
		cmocka_unit_test(test_errors),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
