// SPDX-License-Identifier: MIT
/* test_log.c - bundles made by hand: in which order they are applied, and which are not */
#include "core/log.h"
#include "core/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define AUTHORS 3

struct held { /* a log and what it needs */
	struct kv *kv;
	struct view *view;
	struct log *log;
	struct actions acts;
	struct step step;
	struct folder_id folder;
};
struct author {
	struct device_id device;
	uint64_t inc, nonce, op;
};
/* What is to be made: the seq-th bundle of an incarnation, and what it had seen. */
struct want {
	const struct author *by;
	uint64_t seq;
	struct hash prev;
	struct where saw[AUTHORS]; /* its delta; ascending; count of them */
	uint32_t saw_count;
	struct where follows;
	uint64_t op; /* the dot of its record; 0: by->inc's seq-th */
	uint64_t dot_inc; /* 0: by->inc */
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

static void begin(struct held *h)
{
	const struct view_hooks hooks = {h, on_where, on_line, on_device, on_changed, NULL, NULL};

	h->view = view_new(h->kv, &hooks);
	assert_non_null(h->view);
	h->log = log_new(h->kv, h->view, &h->folder);
	assert_non_null(h->log);
}

static void held_init(struct held *h)
{
	*h = (struct held){.kv = kv_new_map()};
	assert_non_null(h->kv);
	h->step = (struct step){.kv = h->kv, .acts = &h->acts};
	begin(h);
}

static void end(struct held *h)
{
	log_free(h->log);
	view_free(h->view);
}

static void held_fini(struct held *h)
{
	end(h);
	actions_fini(&h->acts);
	kv_free_map(h->kv);
}

static struct author author(unsigned k, uint64_t nonce)
{
	struct author a = {.device = {{(uint8_t)(k + 1)}}, .nonce = nonce};
	const struct folder_id folder = {{0}};

	a.inc = hash_incarnation(&folder, &a.device, nonce);
	return a;
}

/* A record that the tree shows: the mode of the root tells who wrote last. */
static struct bundle *make(const struct want *m)
{
	struct bundle *b = calloc(1, sizeof(*b));
	struct record r = {.kind = REC_ATTR, .inode = INODE_ROOT};
	struct wr plain = {0}, raw = {0};
	size_t len;

	assert_non_null(b);
	r.dot = (struct dot){m->dot_inc ? m->dot_inc : m->by->inc, m->op ? m->op : m->seq};
	r.t = 1000 * m->seq + r.dot.op;
	r.attr = (struct attr_value){.field = ATTR_MODE, .mode = m->seq & 07777};
	record_encode(&plain, &r);
	b->head = (struct bundle_head){.device = m->by->device,
				       .nonce = m->by->nonce,
				       .inc = m->by->inc,
				       .seq = m->seq,
				       .prev = m->prev,
				       .follows = m->follows};
	b->head.delta = vector_new(m->saw, m->saw_count);
	assert_non_null(b->head.delta);
	wr_u64(&raw, m->by->inc); /* only its own, of whatever form */
	wr_u64(&raw, m->seq);
	hash_blake(wr_view(&raw), &b->hash);
	b->raw = wr_take(&raw, &b->raw_len);
	b->plain = wr_take(&plain, &len);
	assert_int_equal(bundle_records(b, len), ERR_OK);
	return b;
}

static struct hash hash_of(const struct author *a, uint64_t seq)
{
	struct wr raw = {0};
	struct hash h = {{0}};

	wr_u64(&raw, a->inc);
	wr_u64(&raw, seq);
	if (seq)
		hash_blake(wr_view(&raw), &h);
	wr_fini(&raw);
	return h;
}

static enum err take(struct held *h, const struct want *m, enum log_verdict *ret)
{
	return log_take(h->log, &h->step, NULL, make(m), ret);
}

static void applies(struct held *h, const struct want *m)
{
	enum log_verdict v;

	assert_int_equal(take(h, m, &v), ERR_OK);
	assert_int_equal(v, LOG_APPLIED);
}

static void ready_all(struct held *h)
{
	bool more = true;

	while (more)
		assert_int_equal(log_ready(h->log, &h->step, NULL, &more), ERR_OK);
}

static struct want want(const struct author *by, uint64_t seq)
{
	return (struct want){.by = by, .seq = seq, .prev = hash_of(by, seq - 1)};
}

/* Everything a log says, as bytes that may be compared. */
static void tell(struct held *h, struct wr *w)
{
	struct hash digest;

	wr_reset(w);
	vector_encode(w, log_applied(h->log));
	vector_encode(w, log_seen(h->log));
	wr_u64(w, log_arrivals(h->log));
	assert_int_equal(view_digest(h->view, &digest), ERR_OK);
	wr_raw(w, digest.b, HASH_LEN);
	for (uint32_t k = 0; log_applied(h->log) && k < log_applied(h->log)->count; k++) {
		const struct log_inc *i = log_find(h->log, log_applied(h->log)->at[k].inc);
		wr_u64(w, i->inc);
		wr_u64(w, i->seq);
		wr_u64(w, i->nonce);
		wr_raw(w, i->device.b, sizeof(i->device.b));
		wr_u64(w, i->follows.inc);
		wr_u64(w, i->follows.seq);
		wr_raw(w, i->last.b, HASH_LEN);
		vector_encode(w, i->vec);
	}
}

/* ---- order ---- */

static void check_arrivals(struct held *h)
{
	struct vector *so_far = NULL;

	for (uint64_t n = 1; n < log_arrivals(h->log); n++) {
		struct arrival a;
		assert_int_equal(log_arrival(h->log, n, &a), ERR_OK);
		assert_int_equal(vector_get(so_far, a.in.inc) + 1, a.in.seq);
		struct vector *more = vector_with(so_far, a.in.inc, a.in.seq);
		vector_unref(so_far);
		so_far = more;
	}
	assert_true(vector_equal(so_far, log_applied(h->log)));
	vector_unref(so_far);
}

/* In whatever order bundles come, they wait for their causes, and all ends the same. */
static void test_any_order_of_coming(void **state)
{
	struct author a = author(0, 1), b = author(1, 1), c = author(2, 1);
	struct want all[] = {want(&a, 1), want(&a, 2), want(&b, 1), want(&b, 2), want(&c, 1)};
	uint32_t count = ARRAY_LEN(all), orders = 0;
	struct wr first = {0}, now = {0};

	(void)state;
	all[2].saw[0] = (struct where){a.inc, 2}; /* b 1 saw a 2 */
	all[2].saw_count = 1;
	all[4].saw[0] = (struct where){b.inc, 1}; /* c 1 saw b 1 */
	all[4].saw_count = 1;
	for (uint32_t code = 0; code < 3125; code++) {
		uint32_t digits[5] = {code % 5, code / 5 % 5, code / 25 % 5, code / 125 % 5,
				      code / 625};
		uint32_t mask = 0;
		for (uint32_t k = 0; k < count; k++)
			mask |= 1u << digits[k];
		if (mask != 31)
			continue; /* no permutation */
		struct held h;
		held_init(&h);
		for (uint32_t k = 0; k < count; k++) {
			enum log_verdict v;
			assert_int_equal(take(&h, &all[digits[k]], &v), ERR_OK);
			assert_true(v == LOG_APPLIED || v == LOG_WAITS);
			if (v == LOG_APPLIED)
				ready_all(&h);
			check_arrivals(&h);
		}
		assert_int_equal(log_waiting(h.log), 0);
		assert_int_equal(log_arrivals(h.log), count + 1);
		tell(&h, orders++ ? &now : &first);
		assert_true(orders == 1 || bytes_equal(wr_view(&first), wr_view(&now)));
		held_fini(&h);
	}
	assert_int_equal(orders, 120);
	wr_fini(&first);
	wr_fini(&now);
}

/* A bundle is applied once, and waits once, however often it comes. */
static void test_once(void **state)
{
	struct author a = author(0, 1);
	struct want one = want(&a, 1), two = want(&a, 2), three = want(&a, 3);
	struct held h;
	enum log_verdict v;

	(void)state;
	held_init(&h);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(take(&h, &three, &v), ERR_OK);
		assert_int_equal(v, LOG_WAITS);
		assert_int_equal(log_waiting(h.log), 1);
	}
	applies(&h, &one);
	size_t journal = h.acts.journal.len;
	assert_int_equal(take(&h, &one, &v), ERR_OK);
	assert_int_equal(v, LOG_KNOWN);
	assert_int_equal(h.acts.journal.len, journal);
	applies(&h, &two);
	ready_all(&h);
	assert_int_equal(log_arrivals(h.log), 4);
	assert_int_equal(vector_get(log_applied(h.log), a.inc), 3);
	held_fini(&h);
}

/* The first bundle of a later incarnation waits for the last that its author held of the earlier
 * one, and the two are known to follow each other. */
static void test_incarnations_follow(void **state)
{
	struct author a = author(0, 1), again = author(0, 2), third = author(0, 3);
	struct want one = want(&a, 1), two = want(&a, 2), next = want(&again, 1),
		    last = want(&third, 1);
	struct held h;
	enum log_verdict v;

	(void)state;
	held_init(&h);
	next.follows = (struct where){a.inc, 2};
	last.follows = (struct where){again.inc, 1};
	assert_int_equal(take(&h, &last, &v), ERR_OK);
	assert_int_equal(v, LOG_WAITS);
	assert_int_equal(take(&h, &next, &v), ERR_OK);
	assert_int_equal(v, LOG_WAITS);
	applies(&h, &one);
	ready_all(&h);
	assert_int_equal(log_waiting(h.log), 2);
	applies(&h, &two);
	ready_all(&h);
	assert_int_equal(log_waiting(h.log), 0);
	const struct where first = {a.inc, 2}, fork = {a.inc, 3}, second = {again.inc, 1},
			   later = {third.inc, 1}, stranger = {author(1, 1).inc, 1};
	assert_true(log_line(h.log, first, second) && log_line(h.log, second, first));
	assert_true(log_line(h.log, first, later) && log_line(h.log, later, second));
	assert_true(log_line(h.log, fork, fork));
	assert_false(log_line(h.log, fork, second)); /* made where the store was restored from */
	assert_false(log_line(h.log, later, fork));
	assert_false(log_line(h.log, stranger, first));
	held_fini(&h);
}

/* The vector of a bundle may go back: an entry may fall, or go with LOG_DELTA_GONE. */
static void test_vector_goes_back(void **state)
{
	struct author a = author(0, 1), b = author(1, 1);
	struct want w[] = {want(&b, 1), want(&b, 2), want(&b, 3), want(&b, 4)};
	const uint64_t saw[] = {2, 1, LOG_DELTA_GONE, 2}, now[] = {2, 1, 0, 2};
	struct want one = want(&a, 1), two = want(&a, 2);
	struct held h;

	(void)state;
	held_init(&h);
	applies(&h, &one);
	applies(&h, &two);
	for (size_t k = 0; k < ARRAY_LEN(w); k++) {
		w[k].saw[0] = (struct where){a.inc, saw[k]};
		w[k].saw_count = 1;
		applies(&h, &w[k]);
		assert_int_equal(vector_get(log_find(h.log, b.inc)->vec, a.inc), now[k]);
		assert_int_equal(vector_get(log_applied(h.log), a.inc), 2);
	}
	held_fini(&h);
}

/* ---- lies ---- */

/* A bundle that does not continue its log is forged, and changes nothing. */
static void test_forged(void **state)
{
	struct author a = author(0, 1);
	struct want one = want(&a, 1), two = want(&a, 2);
	struct wr before = {0}, after = {0};
	struct held h;
	enum log_verdict v;

	(void)state;
	held_init(&h);
	one.prev.b[0] = 1; /* the first names none before it */
	assert_int_equal(take(&h, &one, &v), ERR_FORGED);
	one.prev.b[0] = 0;
	applies(&h, &one);
	size_t journal = h.acts.journal.len;
	tell(&h, &before);
	two.prev.b[5] ^= 1;
	assert_int_equal(take(&h, &two, &v), ERR_FORGED);
	two.prev.b[5] ^= 1;
	assert_int_equal(h.acts.journal.len, journal);
	tell(&h, &after);
	assert_true(bytes_equal(wr_view(&before), wr_view(&after)));
	assert_int_equal(log_waiting(h.log), 0);
	applies(&h, &two);
	held_fini(&h);
	wr_fini(&before);
	wr_fini(&after);
}

static uint32_t mode_of_root(struct held *h)
{
	struct view_attr at;

	assert_int_equal(view_stat(h->view, INODE_ROOT, &at), ERR_OK);
	return at.mode;
}

/* A record under a dot of another device is skipped, and the log that it came in goes
 * on; what dots claim of an incarnation does not keep its true author from writing. */
static void test_claimed_dots(void **state)
{
	struct author a = author(0, 1), thief = author(1, 1), later = author(0, 2);
	struct want one = want(&a, 1);
	struct held h;

	(void)state;
	held_init(&h);
	applies(&h, &one);
	struct want lies[] = {want(&thief, 1), want(&thief, 2)};
	lies[0].dot_inc = a.inc; /* of a device that is known */
	lies[0].op = 9;
	applies(&h, &lies[0]);
	assert_int_equal(mode_of_root(&h), 1);
	lies[1].dot_inc = later.inc; /* before its author is heard of */
	applies(&h, &lies[1]);
	struct want next = want(&later, 1);
	next.follows = (struct where){a.inc, 1};
	applies(&h, &next);
	assert_memory_equal(&log_find(h.log, later.inc)->device, &a.device, sizeof(a.device));
	struct want more = want(&later, 2);
	applies(&h, &more);
	assert_int_equal(vector_get(log_applied(h.log), later.inc), 2);
	assert_int_equal(vector_get(log_applied(h.log), thief.inc), 2);
	held_fini(&h);
}

struct judged {
	enum err say;
};

static enum err judge(void *arg, const struct bundle *b)
{
	struct judged *j = arg;

	(void)b;
	return j->say;
}

/* Who may not write is refused and nothing changes; who is not known yet waits to be judged. */
static void test_judged(void **state)
{
	struct author a = author(0, 1);
	struct want one = want(&a, 1);
	struct judged verdict = {.say = ERR_AGAIN};
	const struct log_judge j = {&verdict, judge};
	struct held h;
	enum log_verdict v;
	bool more;

	(void)state;
	held_init(&h);
	assert_int_equal(log_take(h.log, &h.step, &j, make(&one), &v), ERR_OK);
	assert_int_equal(v, LOG_WAITS);
	assert_int_equal(log_ready(h.log, &h.step, &j, &more), ERR_OK);
	assert_false(more);
	assert_int_equal(log_waiting(h.log), 1);
	verdict.say = ERR_REFUSED;
	assert_int_equal(log_ready(h.log, &h.step, &j, &more), ERR_OK);
	assert_false(more);
	assert_int_equal(log_waiting(h.log), 0);
	assert_int_equal(log_take(h.log, &h.step, &j, make(&one), &v), ERR_REFUSED);
	assert_null(log_find(h.log, a.inc));
	assert_int_equal(h.acts.journal.len, 0);
	struct want two = want(&a, 2); /* nor does it find a place among those that wait */
	assert_int_equal(log_take(h.log, &h.step, &j, make(&two), &v), ERR_REFUSED);
	assert_int_equal(log_waiting(h.log), 0);
	verdict.say = ERR_OK;
	assert_int_equal(log_take(h.log, &h.step, &j, make(&one), &v), ERR_OK);
	assert_int_equal(v, LOG_APPLIED);
	held_fini(&h);
}

/* What nobody vouches for yet leaves room for the bundles of members. */
static void test_room_for_members(void **state)
{
	struct author a = author(0, 1), b = author(1, 1);
	struct judged verdict = {.say = ERR_AGAIN};
	const struct log_judge j = {&verdict, judge};
	struct held h;
	enum log_verdict v;

	(void)state;
	held_init(&h);
	for (uint64_t seq = 1; seq <= LOG_WAITING_MAX + 10; seq++) {
		struct want m = want(&a, seq);
		assert_int_equal(log_take(h.log, &h.step, &j, make(&m), &v), ERR_OK);
	}
	uint64_t strangers = log_waiting(h.log);
	assert_true(strangers <= LOG_WAITING_MAX / 2);
	verdict.say = ERR_OK;
	for (uint64_t seq = 2; seq <= 100; seq++) {
		struct want m = want(&b, seq);
		assert_int_equal(log_take(h.log, &h.step, &j, make(&m), &v), ERR_OK);
		assert_int_equal(v, LOG_WAITS);
	}
	assert_int_equal(log_waiting(h.log), strangers + 99);
	held_fini(&h);
}

/* The table of what waits is bounded: what finds no room is dropped without a word, and is taken
 * when it comes again. */
static void test_waiting_is_bounded(void **state)
{
	struct author a = author(0, 1);
	struct held h;
	enum log_verdict v;

	(void)state;
	held_init(&h);
	for (uint64_t seq = LOG_WAITING_MAX + 10; seq >= 2; seq--) {
		struct want m = want(&a, seq);
		assert_int_equal(take(&h, &m, &v), ERR_OK);
		assert_int_equal(v, LOG_WAITS);
		assert_true(log_waiting(h.log) <= LOG_WAITING_MAX);
	}
	for (uint64_t seq = 1; seq <= LOG_WAITING_MAX + 10; seq++) {
		struct want m = want(&a, seq);
		assert_int_equal(take(&h, &m, &v), ERR_OK);
		assert_int_equal(vector_get(log_applied(h.log), a.inc), seq);
	}
	ready_all(&h);
	assert_int_equal(log_waiting(h.log), 0);
	held_fini(&h);
}

/* ---- arrivals, and after a start ---- */

/* What a peer may lack begins at the first arrival that its vector does not cover. */
static void test_first_lacking(void **state)
{
	struct author by[AUTHORS] = {author(0, 1), author(1, 1), author(2, 1)};
	struct held h;
	struct rng rng;

	(void)state;
	held_init(&h);
	rng_init_number(&rng, 7);
	for (int k = 0; k < 60; k++) {
		const struct author *a = &by[rng_below(&rng, AUTHORS)];
		struct want m = want(a, vector_get(log_applied(h.log), a->inc) + 1);
		applies(&h, &m);
	}
	for (int k = 0; k < 200; k++) {
		struct vector *peer = NULL;
		uint64_t lacks = 0, first = log_arrivals(h.log), got;
		for (int i = 0; i < AUTHORS; i++) {
			struct vector *n = vector_with(peer, by[i].inc, rng_below(&rng, 30));
			vector_unref(peer);
			peer = n;
		}
		for (uint64_t n = log_arrivals(h.log) - 1; n > 0; n--) {
			struct arrival a;
			assert_int_equal(log_arrival(h.log, n, &a), ERR_OK);
			if (vector_get(peer, a.in.inc) < a.in.seq) {
				first = n;
				lacks++;
			}
		}
		assert_int_equal(log_first_lacking(h.log, peer, &got), ERR_OK);
		assert_int_equal(got, first);
		assert_int_equal(log_lacks(h.log, peer), lacks);
		vector_unref(peer);
	}
	held_fini(&h);
}

/* The raw bytes of an applied bundle stand in the journal where its arrival says. */
static void test_raw_bytes_are_in_the_journal(void **state)
{
	struct author a = author(0, 1);
	struct held h;

	(void)state;
	held_init(&h);
	h.step.journal_at = 5000;
	for (uint64_t seq = 1; seq <= 3; seq++) {
		struct want m = want(&a, seq);
		struct bundle *b = make(&m);
		struct wr raw = {0};
		struct arrival at;
		enum log_verdict v;
		wr_raw(&raw, b->raw, b->raw_len);
		assert_int_equal(log_take(h.log, &h.step, NULL, b, &v), ERR_OK);
		assert_int_equal(log_arrival(h.log, seq, &at), ERR_OK);
		assert_int_equal(at.len, raw.len);
		assert_memory_equal(h.acts.journal.at + (at.at - 5000), raw.at, raw.len);
		wr_fini(&raw);
	}
	held_fini(&h);
}

/* A log made from its rows says what the one that wrote them said. */
static void test_load(void **state)
{
	struct author a = author(0, 1), b = author(1, 1);
	const struct where none = {0, 0};
	struct wr before = {0}, after = {0};
	struct held h;

	(void)state;
	held_init(&h);
	assert_int_equal(log_begin(h.log, &(struct device_id){{9}}, 4, none), ERR_OK);
	for (uint64_t seq = 1; seq <= 4; seq++) {
		struct want one = want(&a, seq), two = want(&b, seq);
		applies(&h, &one);
		two.saw[0] = (struct where){a.inc, seq == 3 ? LOG_DELTA_GONE : seq};
		two.saw_count = 1;
		applies(&h, &two);
	}
	uint64_t current = log_current(h.log);
	tell(&h, &before);
	end(&h);
	begin(&h);
	assert_int_equal(log_load(h.log, current), ERR_OK);
	tell(&h, &after);
	assert_true(bytes_equal(wr_view(&before), wr_view(&after)));
	assert_int_equal(log_current(h.log), current);
	assert_true(log_is_own(h.log, current, &(struct device_id){{9}}));
	held_fini(&h);
	wr_fini(&before);
	wr_fini(&after);
}

/* An own bundle is known by its operations: each says which bundle it went in, others none. */
static void test_own_bundles(void **state)
{
	const struct device_id self = {{9}};
	const struct where none = {0, 0};
	struct held h;

	(void)state;
	held_init(&h);
	assert_int_equal(log_begin(h.log, &self, 4, none), ERR_OK);
	assert_int_equal(log_begin(h.log, &self, 4, none), ERR_EXIST);
	uint64_t inc = log_current(h.log);
	const struct dot first[] = {{inc, 1}, {inc, 2}, {inc, 5}}, second[] = {{inc, 3}, {inc, 4}};
	struct bundle_head head = {.device = self, .nonce = 4, .inc = inc, .seq = 1};
	struct log_own own = {.head = &head, .ops = first, .count = 3};
	assert_int_equal(log_own(h.log, &own), ERR_OK);
	assert_int_equal(log_own(h.log, &own), ERR_DAMAGED); /* not the next */
	head.seq = 2;
	own.ops = second;
	own.count = 2;
	assert_int_equal(log_own(h.log, &own), ERR_OK);
	const uint64_t in[] = {0, 1, 1, 2, 2, 1, 0, 0};
	for (uint64_t op = 1; op < ARRAY_LEN(in); op++) {
		struct where w = log_where(h.log, (struct dot){inc, op});
		assert_int_equal(w.inc, inc);
		assert_int_equal(w.seq, in[op]);
	}
	assert_int_equal(vector_get(log_applied(h.log), inc), 2);
	assert_int_equal(vector_get(log_seen(h.log), inc), 0); /* its own log is not "seen" */
	held_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order_of_coming),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_incarnations_follow),
		cmocka_unit_test(test_vector_goes_back),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_claimed_dots),
		cmocka_unit_test(test_judged),
		cmocka_unit_test(test_room_for_members),
		cmocka_unit_test(test_waiting_is_bounded),
		cmocka_unit_test(test_first_lacking),
		cmocka_unit_test(test_raw_bytes_are_in_the_journal),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_own_bundles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
