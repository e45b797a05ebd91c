// SPDX-License-Identifier: MIT
/* test_content_ask.c - questions about files being written: sizes, blocks, where the bytes are */
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define TEXT(s) bytes_text(s)

static struct node_stat stat_of(struct side *s, struct inode_id i)
{
	struct node_stat st;

	assert_int_equal(node_stat(s->node, i, 0, &st), ERR_OK);
	return st;
}

static uint64_t blocks_of(struct side *s, struct inode_id i)
{
	return stat_of(s, i).blocks;
}

/* Blocks are those of bytes that were written, or show of the version below: holes and what was
 * cut off take none. */
static void test_blocks(void **state)
{
	static uint8_t data[3 * PAIR_CHUNK];
	struct pair p;
	struct inode_id i;
	const uint64_t chunk = PAIR_CHUNK / 512;

	(void)state;
	pair_init(&p, ROLE_NONE);
	memset(data, 7, sizeof(data));
	assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), 0);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 1 << 20, TEXT("x")), ERR_OK);
	assert_int_equal(stat_of(&p.a, i).size, (1 << 20) + 1);
	assert_int_equal(blocks_of(&p.a, i), 1);
	assert_int_equal(pair_write(&p.a, f, 0, (struct bytes){data, 511}), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), 1);
	assert_int_equal(pair_write(&p.a, f, 511, (struct bytes){data, 1}), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), 2);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	i = pair_put(&p.a, "g", BYTES_OF(data));
	assert_int_equal(blocks_of(&p.a, i), 3 * chunk);
	p.a.hold_seals = true;
	f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, sizeof(data), (struct bytes){data, 512}), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), 3 * chunk + 1);
	assert_int_equal(pair_truncate(&p.a, f, PAIR_CHUNK), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), chunk);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK); /* cut, and not sealed yet */
	assert_int_equal(blocks_of(&p.a, i), chunk);
	f = pair_open(&p.a, i, true);
	assert_int_equal(pair_truncate(&p.a, f, 512), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), 1);
	assert_int_equal(pair_truncate(&p.a, f, 4 * PAIR_CHUNK), ERR_OK); /* zeros */
	assert_int_equal(blocks_of(&p.a, i), 1);
	assert_int_equal(pair_write(&p.a, f, PAIR_CHUNK, (struct bytes){data, 1024}), ERR_OK);
	assert_int_equal(blocks_of(&p.a, i), 3);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	pair_fini(&p);
}

/* Only the work that is being sealed can be asked for by its number: not the one that is written
 * over it meanwhile, nor one that is done, nor one that never was. */
static void test_works_by_number(void **state)
{
	struct pair p;
	struct entry e;
	struct piece piece;
	struct event ev = {.kind = EV_SEALED};

	(void)state;
	pair_init(&p, ROLE_NONE);
	p.a.hold_seals = true;
	struct inode_id i = pair_put(&p.a, "f", TEXT("one"));
	uint64_t sealing = p.a.works[0], active = sealing + 1024; /* of the same inode */
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 0, TEXT("two")), ERR_OK);
	assert_int_equal(node_work_size(p.a.node, sealing), 3);
	for (uint64_t no = sealing; no <= active + 1; no++) {
		struct node_map map = {.pieces = &piece, .count = 1};
		bool is = no == sealing;
		if (no > sealing + 2 && no < active - 2)
			continue;
		assert_int_equal(node_work_size(p.a.node, no), is ? 3 : 0);
		assert_int_equal(node_work_map(p.a.node, no, 0, 3, &map), is ? ERR_OK : ERR_STALE);
		assert_int_equal(node_work_reuse(p.a.node, no, 0, &e), is ? ERR_NOENT : ERR_STALE);
		ev.sealed.work = no;
		ev.sealed.err = ERR_IO;
		if (is)
			continue;
		assert_int_equal(pair_step(&p.a, &ev), ERR_OK); /* it was dropped meanwhile */
		assert_int_equal(p.a.did[ACT_REPORT], 0);
	}
	pair_seal_now(&p.a);
	assert_int_equal(node_work_size(p.a.node, sealing), 0);
	assert_int_equal(node_work_reuse(p.a.node, sealing, 0, &e), ERR_STALE);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	pair_seal_now(&p.a);
	pair_fini(&p);
}

/* A range is mapped in as few pieces as it has, each with bytes in it: a hole that ends where the
 * range ends is one, and a range that ends in a write does not show what follows. */
static void test_pieces_of_a_range(void **state)
{
	static const struct {
		uint64_t off, len;
		uint32_t count;
		uint64_t first; /* bytes in the first piece */
		bool hole; /* it is one */
	} row[] = {
		{0, 100, 1, 100, true}, {50, 50, 1, 50, true},   {0, 101, 2, 100, true},
		{100, 4, 1, 4, false},  {101, 2, 1, 2, false},   {103, 10, 2, 1, false},
		{104, 96, 1, 96, true}, {104, 97, 2, 96, true},  {0, 500, 4, 100, true},
		{200, 1, 1, 1, false},  {201, 100, 0, 0, false},
	};
	struct pair p;
	struct inode_id i;

	(void)state;
	pair_init(&p, ROLE_NONE);
	p.a.hold_seals = true;
	assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
	uint64_t f = pair_open(&p.a, i, true);
	assert_int_equal(pair_write(&p.a, f, 100, TEXT("four")), ERR_OK);
	assert_int_equal(pair_write(&p.a, f, 200, TEXT("1")), ERR_OK);
	assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
	for (size_t k = 0; k < ARRAY_LEN(row); k++) {
		struct piece pieces[8];
		struct node_map map = {.pieces = pieces, .count = ARRAY_LEN(pieces)};
		assert_int_equal(
			node_work_map(p.a.node, p.a.works[0], row[k].off, row[k].len, &map),
			ERR_OK);
		assert_int_equal(map.count, row[k].count);
		if (map.count == 0)
			continue;
		assert_int_equal(pieces[0].len, row[k].first);
		assert_int_equal(pieces[0].kind, row[k].hole ? PIECE_ZERO : PIECE_DATA);
		for (uint32_t n = 0; n < map.count; n++)
			assert_true(pieces[n].len > 0);
	}
	pair_fini(&p);
}

/* What is no file is not opened, nor cut. */
static void test_only_files_are_opened(void **state)
{
	struct pair p;
	struct event ev = {.kind = EV_MAKE};
	struct node_stat st;

	(void)state;
	pair_init(&p, ROLE_NONE);
	ev.make.dir = INODE_ROOT;
	ev.make.name = TEXT("link");
	ev.make.what = (struct make){.type = TYPE_SYMLINK, .target = TEXT("target")};
	assert_int_equal(pair_step(&p.a, &ev), ERR_OK);
	struct inode_id i = ev.make.inode;
	assert_int_equal(node_stat(p.a.node, i, 0, &st), ERR_OK);
	assert_int_equal(st.size, 6);
	assert_int_equal(st.blocks, 0);
	ev = (struct event){.kind = EV_OPEN};
	ev.open.inode = i;
	assert_int_equal(pair_step(&p.a, &ev), ERR_INVAL);
	ev = (struct event){.kind = EV_TRUNCATE};
	ev.truncate.inode = i;
	assert_int_equal(pair_step(&p.a, &ev), ERR_INVAL);
	ev.truncate.inode = INODE_ROOT;
	assert_int_equal(pair_step(&p.a, &ev), ERR_ISDIR);
	ev.truncate.inode.op = 999;
	ev.truncate.inode.inc = 999;
	assert_int_equal(pair_step(&p.a, &ev), ERR_NOENT);
	pair_fini(&p);
}

/*
 * A file loses its name between a program's lookup and its open, and its bytes were never sealed:
 * it has none any more, and the program must look again (it would read an empty file).
 */
static void test_opened_when_it_has_gone(void **state)
{
	struct event open = {.kind = EV_OPEN};
	struct inode_id i;
	struct pair p;

	(void)state;
	for (int over = 0; over < 2; over++) {
		pair_init(&p, ROLE_NONE);
		assert_int_equal(pair_make(&p.a, "f", &i), ERR_OK);
		(void)pair_put(&p.a, "g", TEXT("new"));
		uint64_t f = pair_open(&p.a, i, true);
		assert_int_equal(pair_write(&p.a, f, 0, TEXT("old")), ERR_OK);
		assert_int_equal(over ? pair_rename(&p.a, "g", "f") : pair_unlink_name(&p.a, "f"),
				 ERR_OK);
		uint64_t again = pair_open(&p.a, i, false); /* somebody holds it: it is there */
		assert_int_equal(pair_close(&p.a, again, false), ERR_OK);
		assert_int_equal(pair_close(&p.a, f, true), ERR_OK);
		open.open.inode = i;
		assert_int_equal(pair_step(&p.a, &open), ERR_STALE);
		pair_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_works_by_number),
		cmocka_unit_test(test_pieces_of_a_range),
		cmocka_unit_test(test_only_files_are_opened),
		cmocka_unit_test(test_opened_when_it_has_gone),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
