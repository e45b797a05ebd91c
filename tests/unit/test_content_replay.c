// SPDX-License-Identifier: MIT
/* test_content_replay.c - what was written comes back from the journal, and nothing else does */
#include "core/step.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define TEXT(s) bytes_text(s)
#define STAGES_MAX 32

struct stage { /* what a file was after so many frames */
	uint32_t frames;
	uint64_t size, works, unsealed;
	int64_t mtime_ns;
};
struct story {
	struct pair p;
	struct inode_id file;
	struct stage at[STAGES_MAX];
	uint32_t count;
};

static void look(struct node *n, struct inode_id i, struct stage *ret)
{
	struct node_counts c;
	struct node_stat st;

	assert_int_equal(node_stat(n, i, 0, &st), ERR_OK);
	node_counts(n, &c);
	ret->size = st.size;
	ret->mtime_ns = st.mtime_ns;
	ret->works = c.works;
	ret->unsealed = c.bytes_unsealed;
}

static void note(struct story *s)
{
	assert_true(s->count < STAGES_MAX);
	struct stage *at = &s->at[s->count++];
	at->frames = s->p.a.frames_count;
	look(s->p.a.node, s->file, at);
	pair_wait(&s->p, 1000);
}

static void touch(struct story *s, uint64_t file, int64_t mtime_ns)
{
	struct event ev = {.kind = EV_SETATTR};

	ev.setattr.inode = s->file;
	ev.setattr.file = file;
	ev.setattr.set_mtime = true;
	ev.setattr.mtime_ns = mtime_ns;
	assert_int_equal(pair_step(&s->p.a, &ev), ERR_OK);
	note(s);
}

/* A file that is written, touched, cut, written again while the version is sealed, and more. */
static void tell(struct story *s)
{
	static const uint8_t chunk[2000] = {1}; /* too much for a record: a piece of its own */
	struct side *a = &s->p.a;
	struct inode_id gone;

	memset(s, 0, sizeof(*s));
	pair_init(&s->p, ROLE_NONE);
	a->watch = a->hold_seals = true;
	assert_int_equal(pair_make(a, "f", &s->file), ERR_OK);
	uint64_t f = pair_open(a, s->file, true);
	assert_int_equal(pair_write(a, f, 0, TEXT("0123456789")), ERR_OK);
	note(s);
	assert_int_equal(pair_truncate(a, f, 4), ERR_OK);
	note(s);
	assert_int_equal(pair_truncate(a, f, 6), ERR_OK);
	note(s);
	touch(s, f, 1111);
	assert_int_equal(pair_close(a, f, true), ERR_OK);
	assert_int_equal(a->works_count, 1);
	note(s);
	touch(s, 0, 2222); /* on the version that is being sealed */
	f = pair_open(a, s->file, true);
	assert_int_equal(pair_write(a, f, 20, (struct bytes){chunk, sizeof(chunk)}), ERR_OK);
	note(s);
	touch(s, f, 3333);
	pair_seal_now(a);
	note(s);
	assert_int_equal(pair_close(a, f, true), ERR_OK);
	note(s);
	pair_seal_now(a);
	note(s);
	assert_int_equal(pair_make(a, "gone", &gone), ERR_OK);
	f = pair_open(a, gone, true);
	assert_int_equal(pair_write(a, f, 0, TEXT("nobody's")), ERR_OK);
	assert_int_equal(pair_unlink_name(a, "gone"), ERR_OK);
	note(s);
	assert_int_equal(pair_close(a, f, true), ERR_OK);
	note(s);
	assert_int_equal(s->at[s->count - 1].works, 0);
	assert_int_equal(s->at[s->count - 1].unsealed, 0);
}

static void same(const struct stage *got, const struct stage *want)
{
	assert_int_equal(got->size, want->size);
	assert_int_equal(got->mtime_ns, want->mtime_ns);
	assert_int_equal(got->works, want->works);
	assert_int_equal(got->unsealed, want->unsealed);
}

/* After any of the steps the journal alone, and the rows of an earlier moment with the rest of the
 * journal, tell the size, the time, and what is unsealed. */
static void test_a_journal_tells_what_was_written(void **state)
{
	static struct story s;

	(void)state;
	tell(&s);
	for (uint32_t k = 0; k < s.count; k++) {
		for (uint32_t from = 0; from <= k; from++) {
			struct kv *kv =
				from ? pair_rows_copy(s.p.a.frames[s.at[from - 1].frames - 1].rows)
				     : kv_new_map();
			uint32_t first = from ? s.at[from - 1].frames : 0;
			struct node *n = pair_replay(&s.p.a, first, s.at[k].frames, kv);
			struct stage got = {0};
			look(n, s.file, &got);
			same(&got, &s.at[k]);
			node_free(n);
			kv_free_map(kv);
		}
	}
	pair_fini(&s.p);
}

/* The entry of that kind in frames [0, count), the last one; its body. */
static struct bytes find_entry(struct side *s, uint32_t count, enum journal_kind kind)
{
	struct bytes found = {NULL, 0};

	for (uint32_t k = 0; k < count; k++) {
		struct rd r =
			rd_of((struct bytes){s->journal.at + s->frames[k].at, s->frames[k].len});
		while (rd_left(&r)) {
			uint8_t is = rd_u8(&r);
			struct bytes body = rd_bytes(&r, rd_u32(&r));
			assert_false(r.bad);
			if (is == (uint8_t)kind)
				found = body;
		}
	}
	return found;
}

static enum err replay_entry(struct side *s, uint32_t count, uint8_t kind, struct bytes body)
{
	struct wr frame = {0};
	struct kv *kv = kv_new_map();
	struct node *n = pair_replay(s, 0, count, kv);

	wr_u8(&frame, kind);
	wr_u32(&frame, (uint32_t)body.len);
	wr_bytes(&frame, body);
	enum err e = node_replay(n, s->journal.len, wr_view(&frame), pair_replay_open, s);
	node_free(n);
	kv_free_map(kv);
	wr_fini(&frame);
	return e;
}

/* An entry that does not fit what stands there is damage: cut short, too long, of a work that is
 * not there, a second time, or out of its order. */
static void test_entries_that_do_not_fit(void **state)
{
	static const enum journal_kind kinds[] = {J_WRITE,  J_TRUNCATE, J_TOUCH, J_CUT,
						  J_SEALED, J_DISCARD,  J_WORK};
	static struct story s;
	struct wr body = {0};

	(void)state;
	tell(&s);
	struct side *a = &s.p.a;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct bytes good = find_entry(a, a->frames_count, kinds[k]);
		uint32_t before = a->frames_count; /* frames before the one with that entry */
		assert_true(good.len > 0);
		while (find_entry(a, before, kinds[k]).at == good.at)
			before--;
		for (size_t len = 0; len <= good.len + 1; len++) {
			wr_reset(&body);
			wr_bytes(&body, (struct bytes){good.at, MIN(len, good.len)});
			if (len > good.len)
				wr_u8(&body, 0);
			enum err want = len == good.len ? ERR_OK : ERR_DAMAGED;
			assert_int_equal(replay_entry(a, before, (uint8_t)kinds[k], wr_view(&body)),
					 want);
		}
		/* Its work is no more. */
		if (kinds[k] != J_WORK)
			assert_int_equal(replay_entry(a, a->frames_count, (uint8_t)kinds[k], good),
					 ERR_DAMAGED);
	}
	wr_fini(&body);
	pair_fini(&s.p);
}

static uint32_t frames_at(const struct story *s, uint32_t stage)
{
	return s->at[stage].frames;
}

/* A work is written while it is active, cut once, sealed once it is cut; a file has one of each. */
static void test_the_order_of_a_work(void **state)
{
	static struct story s;
	enum { WRITTEN = 3, CUT = 4, OVER = 6, SEALED = 8 }; /* stages of tell() */

	(void)state;
	tell(&s);
	struct side *a = &s.p.a;
	struct bytes first = find_entry(a, frames_at(&s, WRITTEN), J_WORK);
	struct bytes write = find_entry(a, frames_at(&s, WRITTEN), J_WRITE);
	struct bytes truncate = find_entry(a, frames_at(&s, WRITTEN), J_TRUNCATE);
	struct bytes cut = find_entry(a, frames_at(&s, CUT), J_CUT);
	struct bytes sealed = find_entry(a, frames_at(&s, SEALED), J_SEALED);
	struct bytes drop = {write.at, 8}; /* the number alone */

	assert_int_equal(replay_entry(a, frames_at(&s, WRITTEN), J_WORK, first), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, WRITTEN), J_SEALED, sealed), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, WRITTEN), J_DISCARD, drop), ERR_OK);
	assert_int_equal(replay_entry(a, frames_at(&s, WRITTEN), J_CUT, cut), ERR_OK);
	struct wr other = {0}; /* a work of the same file that there is not */
	struct rd number = {.at = cut.at, .end = cut.at + 8};
	wr_u64(&other, rd_u64(&number) + 1024);
	wr_bytes(&other, (struct bytes){cut.at + 8, cut.len - 8});
	assert_int_equal(replay_entry(a, frames_at(&s, WRITTEN), J_CUT, wr_view(&other)),
			 ERR_DAMAGED);
	wr_fini(&other);
	assert_int_equal(replay_entry(a, frames_at(&s, CUT), J_CUT, cut), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, CUT), J_WRITE, write), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, CUT), J_TRUNCATE, truncate), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, CUT), J_DISCARD, drop), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, CUT), J_SEALED, sealed), ERR_OK);
	/* One is sealed and another written: neither can be cut now. */
	struct bytes over = find_entry(a, frames_at(&s, OVER), J_WORK);
	struct wr second = {0};
	wr_bytes(&second, (struct bytes){over.at, 8});
	wr_bytes(&second, (struct bytes){cut.at + 8, cut.len - 8});
	assert_int_equal(replay_entry(a, frames_at(&s, OVER), J_CUT, cut), ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, OVER), J_CUT, wr_view(&second)),
			 ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, SEALED), J_CUT, wr_view(&second)), ERR_OK);
	wr_reset(&second); /* another work over the same one */
	wr_u64(&second, 1024 * 1024);
	wr_bytes(&second, (struct bytes){over.at + 8, over.len - 8});
	assert_int_equal(replay_entry(a, frames_at(&s, OVER), J_WORK, wr_view(&second)),
			 ERR_DAMAGED);
	assert_int_equal(replay_entry(a, frames_at(&s, CUT), J_WORK, wr_view(&second)), ERR_OK);
	wr_fini(&second);
	pair_fini(&s.p);
}

/* Works are numbered one after another, however often a device stops with versions unsealed. */
static void test_numbers_go_on(void **state)
{
	struct pair p;
	char name[] = "f0";

	(void)state;
	pair_init(&p, ROLE_NONE);
	p.a.hold_seals = true;
	for (uint32_t k = 0; k < 9; k++) {
		name[1] = (char)('0' + k);
		pair_put(&p.a, name, TEXT("text"));
		pair_stop(&p.a);
		pair_start(&p.a, false);
		assert_int_equal(p.a.works_count, k + 1); /* asked for again */
		for (uint32_t n = 0; n < p.a.works_count; n++)
			assert_true(p.a.works[n] / 1024 >= 1 && p.a.works[n] / 1024 <= k + 1);
	}
	pair_seal_now(&p.a);
	assert_int_equal(p.a.works_count, 0);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_journal_tells_what_was_written),
		cmocka_unit_test(test_entries_that_do_not_fit),
		cmocka_unit_test(test_the_order_of_a_work),
		cmocka_unit_test(test_numbers_go_on),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
