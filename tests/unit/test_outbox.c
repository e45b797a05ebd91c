// SPDX-License-Identifier: MIT
/* test_outbox.c - own records: what goes into a bundle, in which order, and what waits */
#include "codec/manifest.h"
#include "core/local.h"
#include "core/outbox.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define INODES 6

struct held {
	struct kv *kv;
	struct view *view;
	struct log *log;
	struct outbox *outbox;
	struct actions acts;
	struct step step;
	struct sign_pair device;
	struct seal_keys keys;
	uint64_t unsealed[INODES]; /* since that clock; 0: nothing is */
	struct inode_id inodes[INODES];
	struct outbox_policy policy;
};

static struct where on_where(void *arg, struct dot dot)
{
	return log_where(((struct held *)arg)->log, dot);
}

static bool on_line(void *arg, struct where a, struct where b)
{
	return log_line(((struct held *)arg)->log, a, b);
}

static void on_device(void *arg, uint64_t inc, char name[65])
{
	(void)arg;
	(void)inc;
	memcpy(name, "device", 7);
}

static void on_changed(void *arg, const struct change *c)
{
	(void)arg;
	(void)c;
}

static uint32_t number_of(const struct held *h, struct inode_id i)
{
	for (uint32_t k = 0; k < INODES; k++)
		if (inode_equal(h->inodes[k], i))
			return k;
	return INODES;
}

static bool on_unsealed(void *arg, struct inode_id i, uint64_t t)
{
	struct held *h = arg;
	uint32_t k = number_of(h, i);

	return k < INODES && h->unsealed[k] && h->unsealed[k] <= t;
}

static void begin(struct held *h)
{
	const struct view_hooks view = {h, on_where, on_line, on_device, on_changed, NULL, NULL};
	const struct outbox_hooks hooks = {h, on_unsealed};

	h->view = view_new(h->kv, &view);
	h->log = log_new(h->kv, h->view, &h->policy.folder);
	h->outbox = outbox_new(h->kv, h->view, h->log, &hooks);
	assert_non_null(h->outbox);
}

static void end(struct held *h)
{
	outbox_free(h->outbox);
	log_free(h->log);
	view_free(h->view);
}

/* As a step of the node ends: the journal goes on, actions are done. */
static void step_over(struct held *h)
{
	h->step.journal_at += h->acts.journal.len;
	actions_reset(&h->acts);
}

static void make(struct held *h, unsigned k, enum inode_type type, char letter)
{
	const struct make what = {.type = type, .mode = 0755};
	const char name[2] = {letter, 0};
	struct emitter em = outbox_emitter(h->outbox);

	outbox_begin(h->outbox, &h->step);
	assert_int_equal(
		local_make(h->view, &em, INODE_ROOT, bytes_text(name), &what, &h->inodes[k]),
		ERR_OK);
	assert_int_equal(outbox_end(h->outbox), ERR_OK);
}

/* INODES directories, in no bundle yet. */
static void held_init(struct held *h)
{
	uint8_t seed[32] = {5}, key[KEY_LEN] = {6};

	*h = (struct held){.kv = kv_new_map()};
	assert_non_null(h->kv);
	h->step = (struct step){.kv = h->kv, .acts = &h->acts, .wall_ms = 1000};
	sign_pair_init(&h->device, seed);
	seal_keys_init(&h->keys, key, 1);
	h->policy.device = h->device.pub;
	h->policy.epoch = 1;
	h->policy.all = true;
	begin(h);
	assert_int_equal(log_begin(h->log, &h->device.pub, 1, (struct where){0, 0}), ERR_OK);
	for (unsigned k = 0; k < INODES; k++)
		make(h, k, TYPE_DIR, (char)('a' + k));
	step_over(h);
}

static void held_fini(struct held *h)
{
	end(h);
	actions_fini(&h->acts);
	kv_free_map(h->kv);
}

/* One operation that changes the modes of count inodes: one group. */
static void change(struct held *h, const uint32_t *which, uint32_t count)
{
	struct emitter em = outbox_emitter(h->outbox);

	outbox_begin(h->outbox, &h->step);
	for (uint32_t k = 0; k < count; k++) {
		struct record r = {.kind = REC_ATTR, .inode = h->inodes[which[k]]};
		r.attr = (struct attr_value){.field = ATTR_MODE, .mode = 0700};
		assert_int_equal(em.emit(em.arg, &r), ERR_OK);
	}
	assert_int_equal(outbox_end(h->outbox), ERR_OK);
	step_over(h);
}

/* The bundle that is begun now, as records; NULL: none is. */
struct cut {
	struct record at[4096];
	uint32_t count;
	struct record_arena *arena;
	uint8_t *raw, *body;
	size_t raw_len, body_len;
};

static bool publish(struct held *h, struct cut *c)
{
	assert_int_equal(outbox_publish(h->outbox, &h->step, &h->policy), ERR_OK);
	*c = (struct cut){0};
	if (!h->acts.count)
		return false;
	assert_int_equal(h->acts.count, 1);
	struct action *a = &h->acts.at[0];
	assert_int_equal(a->kind, ACT_BUNDLE);
	/* It is freed without the node's lock, under which alone references are counted. */
	assert_int_equal(a->bundle.head.delta->refs, 1);
	c->raw = pair_raw_bundle(&h->keys, &h->device, a, &c->raw_len);
	c->body = a->bundle.body;
	c->body_len = a->bundle.len;
	a->bundle.body = NULL;
	c->arena = record_arena_new();
	struct rd r = rd_of((struct bytes){c->body, c->body_len});
	while (rd_left(&r)) {
		assert_true(c->count < ARRAY_LEN(c->at));
		assert_int_equal(record_decode(&r, c->arena, &c->at[c->count++]), ERR_OK);
	}
	step_over(h);
	return true;
}

static void cut_free(struct cut *c)
{
	record_arena_free(c->arena);
	free(c->raw);
	free(c->body);
}

static void sealed(struct held *h, struct cut *c, enum err e)
{
	struct bytes raw = {c->raw, c->raw_len};

	assert_int_equal(outbox_sealed(h->outbox, &h->step, e, raw), e);
	step_over(h);
	cut_free(c);
}

static void publish_all(struct held *h)
{
	static struct cut c;

	while (publish(h, &c))
		sealed(h, &c, ERR_OK);
}

#define OPS_MAX 4096
struct ops { /* what was done, by operation number */
	uint32_t inode[OPS_MAX], group[OPS_MAX];
	bool out[OPS_MAX];
	uint32_t count; /* the last operation */
};

/* Nothing of a group is left when one record of it went; no record passed an earlier one of its
 * inode; nothing went that stands behind unsealed content. */
static void check(const struct ops *o)
{
	for (uint32_t a = 1; a <= o->count; a++) {
		for (uint32_t b = a + 1; b <= o->count; b++) {
			if (o->group[a] && o->group[a] == o->group[b])
				assert_int_equal(o->out[a], o->out[b]);
			if (o->inode[a] == o->inode[b] && o->inode[a] < INODES)
				assert_true(o->out[a] || !o->out[b]);
		}
	}
}

/* Groups travel whole; records of one inode keep their order; what was unsealed when it was done
 * waits, and what has nothing to do with it does not. */
static void test_what_waits(void **state)
{
	static struct cut c;
	static struct ops o;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct held h;
		struct rng rng;
		uint64_t op, t;
		held_init(&h);
		publish_all(&h);
		o = (struct ops){0};
		rng_init_number(&rng, seed);
		outbox_clock(h.outbox, &op, &t);
		uint64_t base = op - 1;
		for (uint32_t turn = 1; turn <= 150; turn++) {
			uint32_t which[4], n = 1 + (uint32_t)rng_below(&rng, 4);
			for (uint32_t k = 0; k < n; k++) {
				which[k] = (uint32_t)rng_below(&rng, INODES);
				o.inode[o.count + 1 + k] = which[k];
				o.group[o.count + 1 + k] = turn;
			}
			o.count += n;
			change(&h, which, n);
			uint32_t some = (uint32_t)rng_below(&rng, INODES);
			outbox_clock(h.outbox, &op, &t);
			h.unsealed[some] = h.unsealed[some] || rng_below(&rng, 3) ? 0 : t + 1;
			outbox_stir(h.outbox);
			if (rng_below(&rng, 2) || !publish(&h, &c))
				continue;
			for (uint32_t k = 0; k < c.count; k++) {
				assert_false(on_unsealed(&h, c.at[k].inode, c.at[k].t));
				o.out[c.at[k].dot.op - base] = true;
			}
			check(&o);
			sealed(&h, &c, ERR_OK);
		}
		memset(h.unsealed, 0, sizeof(h.unsealed));
		outbox_stir(h.outbox);
		publish_all(&h);
		assert_int_equal(outbox_count(h.outbox), 0);
		held_fini(&h);
	}
}

/* An inode with unsealed content holds back itself and what shares an operation with it, and
 * nothing else. */
static void test_others_do_not_wait(void **state)
{
	static struct cut c;
	const uint32_t first[] = {0}, both[] = {0, 1}, second[] = {1}, third[] = {2};
	struct held h;
	uint64_t op, t;

	(void)state;
	held_init(&h);
	publish_all(&h);
	change(&h, first, 1); /* before the write: goes */
	outbox_clock(h.outbox, &op, &t);
	h.unsealed[0] = t + 1;
	change(&h, first, 1);
	change(&h, both, 2); /* waits for inode 0, and inode 1 with it */
	change(&h, second, 1);
	change(&h, third, 1);
	assert_true(publish(&h, &c));
	assert_int_equal(c.count, 2);
	assert_int_equal(c.at[0].dot.op, op - 1);
	assert_true(inode_equal(c.at[1].inode, h.inodes[2]));
	sealed(&h, &c, ERR_OK);
	assert_false(publish(&h, &c));
	h.unsealed[0] = 0;
	outbox_stir(h.outbox);
	assert_true(publish(&h, &c));
	assert_int_equal(c.count, 4);
	sealed(&h, &c, ERR_OK);
	held_fini(&h);
}

/* A bundle is closed at its size, at the end of a group, and the next goes on there. */
/* One operation that promotes a copy of an inode's version. */
static struct inode_id promote(struct held *h, uint32_t of)
{
	struct emitter em = outbox_emitter(h->outbox);
	const struct dot version = {h->inodes[of].inc, 1};
	struct record r = {.kind = REC_INODE, .inode = hash_copy_id(h->inodes[of], version)};
	struct wr manifest = {0};

	manifest_inline(&manifest, BYTES_OF("x"));
	r.ino.born = (struct stamp){1, version.inc};
	r.ino.origin.t = 1;
	r.ino.origin.in = (struct where){version.inc, 1};
	r.ino.type = TYPE_FILE;
	r.ino.has_origin = true;
	r.ino.origin_inode = h->inodes[of];
	r.ino.origin.dot = version;
	r.ino.origin.content = wr_view(&manifest);
	outbox_begin(h->outbox, &h->step);
	assert_int_equal(em.emit(em.arg, &r), ERR_OK);
	assert_int_equal(outbox_end(h->outbox), ERR_OK);
	step_over(h);
	wr_fini(&manifest);
	return r.inode;
}

/* A copy that is promoted does not overtake what was said before of the inode it was a copy of. */
static void test_a_copy_waits_for_its_origin(void **state)
{
	static struct cut c;
	const uint32_t first[] = {0};
	struct held h;
	uint64_t op, t;

	(void)state;
	for (unsigned restart = 0; restart < 2; restart++) {
		held_init(&h);
		make(&h, 0, TYPE_FILE, 'x');
		step_over(&h);
		publish_all(&h);
		outbox_clock(h.outbox, &op, &t);
		h.unsealed[0] = t + 1;
		change(&h, first, 1);
		struct inode_id copy = promote(&h, 0);
		uint64_t current = log_current(h.log);
		outbox_clock(h.outbox, &op, &t);
		if (restart) {
			end(&h);
			begin(&h);
			assert_int_equal(log_load(h.log, current), ERR_OK);
			assert_int_equal(outbox_load(h.outbox), ERR_OK);
			outbox_set_clock(h.outbox, op, t);
		}
		assert_false(publish(&h, &c));
		h.unsealed[0] = 0;
		outbox_stir(h.outbox);
		assert_true(publish(&h, &c));
		assert_int_equal(c.count, 2);
		assert_true(inode_equal(c.at[0].inode, h.inodes[0]));
		assert_true(inode_equal(c.at[1].inode, copy));
		sealed(&h, &c, ERR_OK);
		held_fini(&h);
	}
}

static void test_bundles_are_cut(void **state)
{
	static struct cut c;
	const uint32_t which[] = {0, 1, 2, 3, 4, 0, 1};
	struct held h;
	uint64_t next;
	uint32_t bundles = 0;

	(void)state;
	held_init(&h);
	publish_all(&h);
	outbox_clock(h.outbox, &next, &(uint64_t){0});
	for (int k = 0; k < 300; k++)
		change(&h, which, ARRAY_LEN(which));
	for (; publish(&h, &c); bundles++) {
		assert_true(c.count % ARRAY_LEN(which) == 0);
		assert_true(c.count < OUTBOX_CUT_RECORDS + ARRAY_LEN(which));
		for (uint32_t k = 0; k < c.count; k++)
			assert_int_equal(c.at[k].dot.op, next++);
		sealed(&h, &c, ERR_OK);
	}
	assert_int_equal(bundles, 300 * ARRAY_LEN(which) / OUTBOX_CUT_RECORDS + 1);
	held_fini(&h);
}

/* Large records go into several bundles, each begun before it had its full size. */
static void test_bundles_are_cut_by_size(void **state)
{
	static uint8_t value[XATTR_VALUE_MAX_BYTES];
	static struct cut c;
	struct held h;
	uint32_t bundles = 0, records = 0;

	(void)state;
	held_init(&h);
	publish_all(&h);
	for (uint32_t k = 0; k < 20; k++) {
		struct record r = {.kind = REC_ATTR, .inode = h.inodes[0]};
		struct emitter em = outbox_emitter(h.outbox);
		r.attr.field = ATTR_XATTR;
		r.attr.xattr.key = bytes_text("user.k");
		value[0] = (uint8_t)k;
		r.attr.xattr.value = BYTES_OF(value);
		outbox_begin(h.outbox, &h.step);
		assert_int_equal(em.emit(em.arg, &r), ERR_OK);
		assert_int_equal(outbox_end(h.outbox), ERR_OK);
		step_over(&h);
	}
	for (; publish(&h, &c); bundles++) {
		assert_true(c.body_len < OUTBOX_CUT_BYTES + sizeof(value) + 1000);
		records += c.count;
		sealed(&h, &c, ERR_OK);
	}
	assert_int_equal(records, 20);
	assert_true(bundles > 1);
	held_fini(&h);
}

/* One bundle is made at a time; when that fails its records stay and go into the next, which is not
 * tried at once: the disk is full. */
static void test_a_failed_bundle(void **state)
{
	static struct cut c, none;
	const uint32_t which[] = {3};
	struct held h;

	(void)state;
	held_init(&h);
	publish_all(&h);
	change(&h, which, 1);
	assert_true(publish(&h, &c));
	assert_true(outbox_busy(h.outbox));
	change(&h, which, 1);
	assert_false(publish(&h, &none));
	assert_int_equal(outbox_deadline(h.outbox), UINT64_MAX);
	sealed(&h, &c, ERR_NOSPC);
	assert_int_equal(outbox_count(h.outbox), 2);
	assert_false(outbox_busy(h.outbox));
	assert_false(publish(&h, &none));
	assert_int_equal(outbox_deadline(h.outbox), h.step.now + OUTBOX_RETRY_USEC);
	h.step.now = outbox_deadline(h.outbox);
	outbox_tick(h.outbox, &h.step);
	assert_int_equal(outbox_deadline(h.outbox), UINT64_MAX);
	assert_true(publish(&h, &c));
	assert_int_equal(c.count, 2);
	assert_int_equal(log_find(h.log, log_current(h.log))->seq + 1, 2);
	sealed(&h, &c, ERR_OK);
	assert_int_equal(outbox_count(h.outbox), 0);
	held_fini(&h);
}

/* Without a listener nothing is cut but full bundles; with one, at once, unless something is on
 * its way. */
static void test_policy(void **state)
{
	static struct cut c;
	const uint32_t which[] = {1};
	struct held h;

	(void)state;
	held_init(&h);
	publish_all(&h);
	h.policy.all = false;
	change(&h, which, 1);
	assert_false(publish(&h, &c));
	h.policy.listening = h.policy.unacked = true;
	outbox_stir(h.outbox);
	assert_false(publish(&h, &c));
	h.policy.unacked = false;
	assert_true(publish(&h, &c));
	sealed(&h, &c, ERR_OK);
	h.policy.listening = false;
	for (uint32_t k = 0; k < OUTBOX_CUT_RECORDS - 1; k++)
		change(&h, which, 1);
	assert_false(publish(&h, &c));
	for (uint32_t k = 0; k < OUTBOX_CUT_RECORDS / 2; k++)
		change(&h, which, 1);
	assert_true(publish(&h, &c));
	assert_int_equal(c.count, OUTBOX_CUT_RECORDS);
	sealed(&h, &c, ERR_OK);
	assert_int_equal(outbox_count(h.outbox), OUTBOX_CUT_RECORDS / 2 - 1);
	held_fini(&h);
}

/* A bundle holds what had seen the same; what had seen less or more goes in another, each with its
 * own vector, also when that goes back. */
static void test_one_vector_a_bundle(void **state)
{
	static struct cut c;
	const uint32_t first[] = {0}, second[] = {1};
	struct held h;
	uint64_t op, t;

	(void)state;
	held_init(&h);
	publish_all(&h);
	outbox_clock(h.outbox, &op, &t);
	h.unsealed[0] = t + 1;
	change(&h, first, 1); /* held, and has seen nothing */
	struct bundle *b = calloc(1, sizeof(*b)); /* another device's log moves on */
	enum log_verdict v;
	assert_non_null(b);
	b->head.device = (struct device_id){{7}};
	b->head.inc = 100;
	b->head.seq = 1;
	b->raw = calloc(1, 1);
	b->raw_len = 1;
	assert_int_equal(log_take(h.log, &h.step, NULL, b, &v), ERR_OK);
	step_over(&h);
	change(&h, second, 1);
	assert_true(publish(&h, &c));
	assert_int_equal(c.count, 1);
	sealed(&h, &c, ERR_OK);
	const struct log_inc *i = log_find(h.log, log_current(h.log));
	assert_int_equal(vector_get(i->vec, 100), 1);
	h.unsealed[0] = 0;
	outbox_stir(h.outbox);
	assert_int_equal(outbox_publish(h.outbox, &h.step, &h.policy), ERR_OK);
	assert_int_equal(h.acts.count, 1);
	const struct vector *delta = h.acts.at[0].bundle.head.delta;
	assert_int_equal(delta->count, 1);
	assert_int_equal(delta->at[0].inc, 100);
	assert_int_equal(delta->at[0].seq, LOG_DELTA_GONE);
	held_fini(&h);
}

/* An outbox made from its rows cuts the bundle that the one before would have cut. */
static void test_load(void **state)
{
	static struct cut c, again;
	const uint32_t both[] = {0, 1}, second[] = {1}, third[] = {2};
	struct held h;
	uint64_t op, t;

	(void)state;
	held_init(&h);
	publish_all(&h);
	change(&h, both, 2);
	change(&h, second, 1);
	change(&h, third, 1);
	change(&h, both, 2);
	assert_true(publish(&h, &c));
	uint64_t current = log_current(h.log);
	outbox_clock(h.outbox, &op, &t);
	end(&h);
	begin(&h);
	assert_int_equal(log_load(h.log, current), ERR_OK);
	assert_int_equal(outbox_load(h.outbox), ERR_OK);
	outbox_set_clock(h.outbox, op, t);
	assert_true(publish(&h, &again));
	assert_int_equal(c.body_len, again.body_len);
	assert_memory_equal(c.body, again.body, c.body_len);
	cut_free(&c);
	sealed(&h, &again, ERR_OK);
	assert_int_equal(outbox_count(h.outbox), 0);
	held_fini(&h);
}

/* Clocks rise with every record, whatever the wall clock does, and pass what was seen elsewhere. */
static void test_clocks_rise(void **state)
{
	const uint32_t which[] = {0};
	struct held h;
	uint64_t op, t, last = 0;

	(void)state;
	held_init(&h);
	for (int k = 0; k < 50; k++) {
		h.step.wall_ms = k % 7 == 0 ? -5 : 5000 - 100 * k;
		if (k == 20)
			outbox_saw(h.outbox, UINT64_C(9000000) << 16);
		change(&h, which, 1);
		outbox_clock(h.outbox, &op, &t);
		assert_true(t > last);
		last = t;
	}
	assert_true(last > UINT64_C(9000000) << 16);
	held_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_waits),
		cmocka_unit_test(test_others_do_not_wait),
		cmocka_unit_test(test_a_copy_waits_for_its_origin),
		cmocka_unit_test(test_bundles_are_cut),
		cmocka_unit_test(test_bundles_are_cut_by_size),
		cmocka_unit_test(test_a_failed_bundle),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_one_vector_a_bundle),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_clocks_rise),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
