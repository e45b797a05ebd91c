// SPDX-License-Identifier: MIT
/* test_keep.c - a node's history: how long it is kept, read, and brought back */
#include "core/past.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define DAY_USEC (UINT64_C(86400) * 1000 * 1000)
#define DAY_MS (INT64_C(86400) * 1000)

static uint32_t versions(struct side *s, const char *name)
{
	struct past_versions l = {0};
	struct past_dir root;

	past_root(&root);
	enum err e = past_versions(node_view(s->node), &root, bytes_text(name), &l);
	uint32_t n = e ? 0 : l.count;
	past_versions_fini(&l);
	return n;
}

/* The last version but one at a name. */
static struct past_version before(struct side *s, const char *name, struct past_versions *l)
{
	struct past_dir root;

	past_root(&root);
	assert_int_equal(past_versions(node_view(s->node), &root, bytes_text(name), l), ERR_OK);
	assert_true(l->count > 1);
	return l->at[1];
}

static struct inode_id put_over(struct side *s, const char *name, const char *text)
{
	struct shown f;

	assert_int_equal(pair_lookup(s, name, &f), ERR_OK);
	uint64_t file = pair_open(s, f.id, true);
	assert_int_equal(pair_truncate(s, file, 0), ERR_OK);
	assert_int_equal(pair_write(s, file, 0, bytes_text(text)), ERR_OK);
	assert_int_equal(pair_close(s, file, true), ERR_OK);
	return f.id;
}

static void shows(struct side *s, const char *name, const char *text)
{
	struct shown f;
	struct wr got = {0};

	assert_int_equal(pair_lookup(s, name, &f), ERR_OK);
	uint64_t file = pair_open(s, f.id, false);
	assert_int_equal(pair_read(s, file, 0, 100, 0, &got), ERR_OK);
	assert_true(bytes_equal(wr_view(&got), bytes_text(text)));
	assert_int_equal(pair_close(s, file, false), ERR_OK);
	wr_fini(&got);
}

/* What was replaced is forgotten after so long by who keeps it so long; the tree is the same. */
static void test_kept_so_long(void **state)
{
	(void)state;
	struct pair p;

	pair_init(&p, ROLE_WRITER);
	(void)pair_put(&p.a, "f", bytes_text("one"));
	(void)pair_put(&p.a, "g", bytes_text("gone"));
	(void)put_over(&p.a, "f", "two");
	assert_int_equal(pair_unlink_name(&p.a, "g"), ERR_OK);
	pair_run(&p);
	pair_stop(&p.b);
	p.b.config.keep_ms = 30 * DAY_MS;
	pair_start(&p.b, true);
	assert_int_equal(versions(&p.b, "f"), 2);
	assert_int_equal(versions(&p.b, "g"), 1);
	pair_wait(&p, 29 * DAY_USEC);
	assert_int_equal(versions(&p.b, "f"), 2);
	assert_int_equal(versions(&p.b, "g"), 1);
	pair_wait(&p, 2 * DAY_USEC);
	assert_int_equal(versions(&p.b, "f"), 1);
	assert_int_equal(versions(&p.b, "g"), 0);
	assert_int_equal(versions(&p.a, "f"), 2); /* it keeps all */
	shows(&p.b, "f", "two");
	pair_same(&p);
	pair_fini(&p);
}

static enum err restore(struct side *s, const char *name, const struct past_version *v)
{
	struct event ev = {.kind = EV_RESTORE};

	ev.restore.dir = INODE_ROOT;
	ev.restore.name = bytes_text(name);
	ev.restore.what = (struct make){
		.type = TYPE_FILE, .mode = 0644, .content = past_bytes(v), .mtime_ns = v->mtime_ns};
	return pair_step(s, &ev);
}

/* Restoring is seen by the other, survives a crash, and moves no bytes. */
static void test_restored(void **state)
{
	(void)state;
	struct pair p;
	struct past_versions l = {0};

	pair_init(&p, ROLE_WRITER);
	(void)pair_put(&p.a, "f", bytes_text("one"));
	(void)put_over(&p.a, "f", "two");
	pair_run(&p);
	size_t packs = p.b.packs.len;
	struct past_version v = before(&p.b, "f", &l);
	assert_int_equal(restore(&p.b, "f", &v), ERR_OK);
	past_versions_fini(&l);
	pair_run(&p);
	assert_int_equal(p.b.packs.len, packs);
	shows(&p.a, "f", "one");
	pair_same(&p);
	assert_int_equal(versions(&p.a, "f"), 3);
	pair_stop(&p.b);
	pair_start(&p.b, false);
	shows(&p.b, "f", "one");
	assert_int_equal(versions(&p.b, "f"), 3);
	pair_fini(&p);
}

/* A version that is on its way is waited for: it would count as seen, and be lost. */
static void test_restore_waits(void **state)
{
	(void)state;
	struct pair p;
	struct past_versions l = {0};
	static char text[PAIR_CHUNK + 1];

	pair_init(&p, ROLE_WRITER);
	(void)pair_put(&p.a, "f", bytes_text("one"));
	(void)put_over(&p.a, "f", "two");
	struct past_version v = before(&p.a, "f", &l);
	p.a.hold_seals = true;
	memset(text, 'x', PAIR_CHUNK);
	(void)put_over(&p.a, "f", text);
	assert_int_equal(restore(&p.a, "f", &v), ERR_AGAIN);
	p.a.hold_seals = false;
	pair_seal_now(&p.a);
	assert_int_equal(restore(&p.a, "f", &v), ERR_OK);
	past_versions_fini(&l);
	pair_run(&p);
	shows(&p.b, "f", "one");
	assert_int_equal(versions(&p.b, "f"), 4);
	pair_fini(&p);
}

/* A reader restores nothing, but reads any version, while others read the present one. */
static void test_past_is_read(void **state)
{
	(void)state;
	struct pair p;
	struct past_versions l = {0};
	struct wr got = {0};
	struct event ev = {.kind = EV_OPEN};

	pair_init(&p, ROLE_READER);
	(void)pair_put(&p.a, "f", bytes_text("one"));
	(void)put_over(&p.a, "f", "two");
	pair_run(&p);
	struct past_version v = before(&p.b, "f", &l);
	assert_int_equal(restore(&p.b, "f", &v), ERR_ROFS);
	ev.open.inode = v.inode;
	ev.open.version = v.dot;
	assert_int_equal(pair_step(&p.b, &ev), ERR_OK);
	shows(&p.b, "f", "two");
	assert_int_equal(pair_read(&p.b, ev.open.file, 0, 100, 0, &got), ERR_OK);
	assert_true(bytes_equal(wr_view(&got), bytes_text("one")));
	assert_int_equal(pair_close(&p.b, ev.open.file, false), ERR_OK);
	struct event write = ev;
	write.open.write = true;
	assert_int_equal(pair_step(&p.a, &write), ERR_INVAL);
	ev.open.version.op += 1000;
	assert_int_equal(pair_step(&p.b, &ev), ERR_NOENT);
	wr_fini(&got);
	past_versions_fini(&l);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_so_long),
		cmocka_unit_test(test_restored),
		cmocka_unit_test(test_restore_waits),
		cmocka_unit_test(test_past_is_read),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
