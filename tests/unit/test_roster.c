// SPDX-License-Identifier: MIT
/* test_roster.c - who is in the folder: one meaning of a set of records, whatever comes when */
#include "core/roster.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define DEVICES 6
#define RECORDS 8

struct set { /* records made by hand, with their hashes */
	struct sign_pair device[DEVICES];
	struct folder_id folder;
	struct wr raw[RECORDS];
	struct hash hash[RECORDS];
	uint32_t count;
};

/* What is to be written: kind, author, subject, role, and parents as a mask of record numbers. */
struct act {
	enum member_kind kind;
	unsigned by, of;
	enum role role;
	unsigned parents;
};

static int hash_order(const void *a, const void *b)
{
	return memcmp(a, b, HASH_LEN);
}

static void write_act(struct set *s, const struct act *a)
{
	char name[] = "device 0", addr[] = "host0:7";
	const struct where up_to = {1 + a->of,
				    10 + s->count}; /* incarnation of device of: 1 + of */
	struct member_record m = {.kind = (uint8_t)a->kind, .role = (uint8_t)a->role};
	struct wr *w = &s->raw[s->count];

	name[7] = (char)('0' + a->of);
	addr[4] = (char)('0' + s->count);
	m.author = s->device[a->by].pub;
	m.subject = s->device[a->of].pub;
	m.name = bytes_text(name);
	m.text = a->kind == MEMBER_FOUND ? bytes_text("folder") : bytes_text(addr);
	m.wall_ms = 1000 + s->count;
	for (uint32_t k = 0; k < s->count; k++)
		if (a->parents & (1u << k))
			m.parents[m.parents_count++] = s->hash[k];
	qsort(m.parents, m.parents_count, sizeof(m.parents[0]), hash_order);
	if (a->kind != MEMBER_FOUND)
		m.folder = s->folder;
	m.vec = vector_new(&up_to, 1);
	member_encode(w, &m, &s->device[a->by]);
	vector_unref(m.vec);
	assert_false(w->bad);
	hash_blake(wr_view(w), &s->hash[s->count]);
	if (a->kind == MEMBER_FOUND)
		memcpy(s->folder.b, s->hash[0].b, HASH_LEN);
	s->count++;
}

static void set_init(struct set *s, const struct act *acts, uint32_t count)
{
	memset(s, 0, sizeof(*s));
	for (unsigned k = 0; k < DEVICES; k++) {
		uint8_t seed[32] = {(uint8_t)(k + 1)};
		sign_pair_init(&s->device[k], seed);
	}
	for (uint32_t k = 0; k < count; k++)
		write_act(s, &acts[k]);
}

static void set_fini(struct set *s)
{
	for (uint32_t k = 0; k < s->count; k++)
		wr_fini(&s->raw[k]);
}

struct held {
	struct kv *kv;
	struct roster *r;
};

static struct held held_new(const struct set *s, unsigned device)
{
	struct held h = {.kv = kv_new_map()};

	assert_non_null(h.kv);
	h.r = roster_new(h.kv, &s->folder, &s->device[device]);
	assert_non_null(h.r);
	return h;
}

static void held_free(struct held *h)
{
	roster_free(h->r);
	kv_free_map(h->kv);
}

static enum err add(struct held *h, const struct set *s, uint32_t k)
{
	bool fresh;

	return roster_add(h->r, wr_view(&s->raw[k]), &fresh);
}

static void add_all(struct held *h, const struct set *s)
{
	for (uint32_t k = 0; k < s->count; k++)
		assert_int_equal(add(h, s, k), ERR_OK);
}

/* All that a roster says, as bytes that may be compared. */
static void tell(struct held *h, const struct set *s, struct wr *w)
{
	struct hash head;

	wr_reset(w);
	roster_digest(h->r, &head);
	wr_raw(w, head.b, HASH_LEN);
	roster_head(h->r, &head);
	wr_raw(w, head.b, HASH_LEN);
	wr_u32(w, roster_count(h->r));
	for (uint32_t k = 0; k < roster_count(h->r); k++) {
		const struct roster_member *m = roster_at(h->r, k);
		wr_raw(w, m->device.b, sizeof(m->device.b));
		wr_u32(w, m->role);
		wr_bytes(w, bytes_text(m->name));
		wr_bytes(w, bytes_text(m->addr));
		assert_ptr_equal(roster_find(h->r, &m->device), m);
		assert_int_equal(roster_role(h->r, &m->device), m->role);
	}
	for (uint32_t k = 0; k < s->count; k++)
		for (unsigned d = 0; d < DEVICES; d++)
			wr_u8(w, (uint8_t)roster_role_at(h->r, &s->hash[k], &s->device[d].pub));
	for (uint32_t k = 0; k < s->count; k++)
		for (unsigned d = 0; d < DEVICES; d++)
			wr_u64(w, roster_limit(h->r, &s->device[d].pub, &s->hash[k], 1 + d));
	for (unsigned d = 0; d < DEVICES; d++) {
		wr_u64(w, roster_granted(h->r, 1 + d, false));
		wr_u64(w, roster_granted(h->r, 1 + d, true));
	}
}

static unsigned admins(struct held *h)
{
	unsigned n = 0;

	for (uint32_t k = 0; k < roster_count(h->r); k++)
		n += roster_at(h->r, k)->role == ROLE_ADMIN;
	return n;
}

/* Feed the records in the order given, again and again while parents are missing. */
static void feed(struct held *h, const struct set *s, const uint32_t *order)
{
	bool done[RECORDS] = {false};

	for (uint32_t left = s->count, before = left + 1; left;) {
		assert_true(left < before);
		before = left;
		for (uint32_t k = 0; k < s->count; k++) {
			if (done[k])
				continue;
			enum err e = add(h, s, order[k]);
			assert_true(e == ERR_OK || e == ERR_AGAIN);
			done[k] = !e;
			left -= !e;
			assert_true(roster_count(h->r) == 0 || admins(h) > 0);
		}
	}
}

static bool next_order(uint32_t *at, uint32_t count)
{
	uint32_t k = count - 1, j = count - 1;

	while (k > 0 && at[k - 1] >= at[k])
		k--;
	if (k == 0)
		return false;
	while (at[j] <= at[k - 1])
		j--;
	uint32_t t = at[j];
	at[j] = at[k - 1];
	at[k - 1] = t;
	for (j = count - 1; k < j; k++, j--) {
		t = at[k];
		at[k] = at[j];
		at[j] = t;
	}
	return true;
}

/* What is told after every permutation of the set is the same, and again after a load. */
static void check_orders(const struct act *acts, uint32_t count)
{
	struct set s;
	uint32_t order[RECORDS];
	struct wr first = {0}, now = {0};

	seal_use_fake(true); /* the order is what is tried here */
	set_init(&s, acts, count);
	for (uint32_t k = 0; k < count; k++)
		order[k] = k;
	do {
		struct held h = held_new(&s, 0);
		feed(&h, &s, order);
		tell(&h, &s, first.len ? &now : &first);
		assert_true(now.len == 0 || bytes_equal(wr_view(&first), wr_view(&now)));
		struct roster *again = roster_new(h.kv, &s.folder, &s.device[0]);
		assert_int_equal(roster_load(again), ERR_OK);
		roster_free(h.r);
		h.r = again;
		tell(&h, &s, &now);
		assert_true(bytes_equal(wr_view(&first), wr_view(&now)));
		held_free(&h);
	} while (next_order(order, count));
	seal_use_fake(false);
	wr_fini(&first);
	wr_fini(&now);
	set_fini(&s);
}

static void test_arrival_order_never_matters(void **state)
{
	(void)state;
	/* Two admins remove each other, one of them adds a writer meanwhile. */
	const struct act duel[] = {
		{MEMBER_FOUND, 0, 0, 0, 0},         {MEMBER_ADD, 0, 1, ROLE_ADMIN, 1},
		{MEMBER_REMOVE, 0, 1, 0, 2},        {MEMBER_REMOVE, 1, 0, 0, 2},
		{MEMBER_ADD, 1, 2, ROLE_WRITER, 2}, {MEMBER_ADDR, 0, 0, 0, 4}};
	/* Both step down at once: one stays. */
	const struct act down[] = {
		{MEMBER_FOUND, 0, 0, 0, 0},          {MEMBER_ADD, 0, 1, ROLE_ADMIN, 1},
		{MEMBER_ROLE, 0, 0, ROLE_READER, 2}, {MEMBER_ROLE, 1, 1, ROLE_READER, 2},
		{MEMBER_RETIRE, 1, 1, 0, 8},         {MEMBER_ADDR, 1, 1, 0, 2}};
	/* One member under several hands. */
	const struct act hands[] = {
		{MEMBER_FOUND, 0, 0, 0, 0},         {MEMBER_ADD, 0, 1, ROLE_ADMIN, 1},
		{MEMBER_ADD, 0, 2, ROLE_WRITER, 2}, {MEMBER_ADD, 1, 2, ROLE_READER, 2},
		{MEMBER_ROLE, 1, 2, ROLE_ADMIN, 8}, {MEMBER_REMOVE, 0, 2, 0, 4},
		{MEMBER_ADD, 2, 3, ROLE_WRITER, 16}};

	/* Removed, taken back, rejected and accepted again. */
	const struct act back[] = {
		{MEMBER_FOUND, 0, 0, 0, 0},         {MEMBER_ADD, 0, 1, ROLE_WRITER, 1},
		{MEMBER_ADD, 0, 2, ROLE_WRITER, 2}, {MEMBER_REMOVE, 0, 1, 0, 4},
		{MEMBER_REJECT, 2, 1, 0, 4},        {MEMBER_ADD, 0, 1, ROLE_WRITER, 24},
		{MEMBER_ACCEPT, 2, 1, 0, 32}};

	/* Many at one time: the last in order says where it is. */
	const struct act many[] = {{MEMBER_FOUND, 0, 0, 0, 0}, {MEMBER_ADDR, 0, 0, 0, 1},
				   {MEMBER_ADDR, 0, 0, 0, 1},  {MEMBER_ADDR, 0, 0, 0, 1},
				   {MEMBER_ADDR, 0, 0, 0, 1},  {MEMBER_ADDR, 0, 0, 0, 1},
				   {MEMBER_ADDR, 0, 0, 0, 1}};

	check_orders(many, ARRAY_LEN(many));
	check_orders(back, ARRAY_LEN(back));
	check_orders(duel, ARRAY_LEN(duel));
	check_orders(down, ARRAY_LEN(down));
	check_orders(hands, ARRAY_LEN(hands));
}

/*
 * What is accepted of a device ends where the record's author stood, for incarnations that began
 * without knowing of it; nobody judges a mass change of its own, and a reader judges none.
 */
static void test_limits(void **state)
{
	const struct act acts[] = {
		{MEMBER_FOUND, 0, 0, 0, 0},         {MEMBER_ADD, 0, 1, ROLE_WRITER, 1},
		{MEMBER_ADD, 0, 2, ROLE_READER, 2}, {MEMBER_ROLE, 0, 1, ROLE_ADMIN, 4},
		{MEMBER_REJECT, 1, 1, 0, 8},        {MEMBER_REJECT, 2, 1, 0, 8},
		{MEMBER_REJECT, 0, 1, 0, 8},        {MEMBER_ROLE, 0, 1, ROLE_READER, 64}};
	struct set s;

	(void)state;
	set_init(&s, acts, ARRAY_LEN(acts));
	struct held h = held_new(&s, 0);
	const struct device_id *d = &s.device[1].pub;
	for (uint32_t k = 0; k < 6; k++)
		assert_int_equal(add(&h, &s, k), ERR_OK);
	assert_int_equal(roster_limit(h.r, d, &s.hash[3], 2), UINT64_MAX);
	assert_int_equal(roster_granted(h.r, 2, false), 0);
	assert_int_equal(roster_granted(h.r, 2, true), 11); /* its admission */
	assert_int_equal(add(&h, &s, 6), ERR_OK);
	assert_int_equal(roster_limit(h.r, d, &s.hash[3], 2), 16);
	assert_int_equal(roster_limit(h.r, d, &s.hash[3], 9), 0); /* the admin saw none of it */
	assert_int_equal(roster_limit(h.r, d, &s.hash[6], 2), UINT64_MAX); /* it knows */
	assert_int_equal(roster_limit(h.r, &s.device[2].pub, &s.hash[3], 2), UINT64_MAX);
	assert_int_equal(roster_granted(h.r, 2, false), 16);
	assert_int_equal(add(&h, &s, 7), ERR_OK); /* it may write no more */
	assert_int_equal(roster_limit(h.r, d, &s.hash[6], 2), 17);
	assert_int_equal(roster_limit(h.r, d, &s.hash[3], 2), 16);
	assert_int_equal(roster_limit(h.r, d, &s.hash[7], 2), UINT64_MAX);
	held_free(&h);
	set_fini(&s);
}

/* Every pair of acts of two admins, made at once, means the same in both orders and leaves an
 * admin. */
static void test_every_pair_of_acts(void **state)
{
	static const struct act pool[] = {
		{MEMBER_ADD, 0, 3, ROLE_WRITER, 0},  {MEMBER_ADD, 0, 2, ROLE_ADMIN, 0},
		{MEMBER_ROLE, 0, 0, ROLE_WRITER, 0}, {MEMBER_ROLE, 0, 1, ROLE_READER, 0},
		{MEMBER_ROLE, 0, 2, ROLE_ADMIN, 0},  {MEMBER_REMOVE, 0, 0, 0, 0},
		{MEMBER_REMOVE, 0, 1, 0, 0},         {MEMBER_REMOVE, 0, 2, 0, 0},
		{MEMBER_RETIRE, 0, 0, 0, 0},         {MEMBER_RETIRE, 0, 1, 0, 0},
		{MEMBER_ADDR, 0, 0, 0, 0},           {MEMBER_ACCEPT, 0, 2, 0, 0},
		{MEMBER_REJECT, 0, 1, 0, 0},         {MEMBER_REJECT, 0, 2, 0, 0},
	};
	struct act acts[5] = {{MEMBER_FOUND, 0, 0, 0, 0},
			      {MEMBER_ADD, 0, 1, ROLE_ADMIN, 1},
			      {MEMBER_ADD, 1, 2, ROLE_WRITER, 2}};

	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(pool); a++) {
		for (size_t b = 0; b < ARRAY_LEN(pool); b++) {
			acts[3] = pool[a];
			acts[4] = pool[b];
			acts[4].by = 1;
			if (acts[4].kind == MEMBER_ADDR)
				acts[4].of = 1;
			acts[3].parents = acts[4].parents = 4;
			check_orders(acts, 5);
		}
	}
}

static void test_only_the_founding_record_begins(void **state)
{
	const struct act acts[] = {{MEMBER_FOUND, 0, 0, 0, 0}, {MEMBER_FOUND, 1, 1, 0, 0}};
	struct set s;
	bool fresh = false;

	(void)state;
	set_init(&s, acts, 1);
	struct held h = held_new(&s, 0);
	struct folder_id folder = s.folder;
	write_act(&s, &acts[1]);
	s.folder = folder;
	assert_int_equal(add(&h, &s, 1), ERR_MALFORMED);
	assert_int_equal(roster_add(h.r, wr_view(&s.raw[0]), &fresh), ERR_OK);
	assert_true(fresh);
	assert_int_equal(roster_add(h.r, wr_view(&s.raw[0]), &fresh), ERR_OK);
	assert_false(fresh);
	assert_int_equal(add(&h, &s, 1), ERR_MALFORMED);
	assert_int_equal(roster_role(h.r, &s.device[0].pub), ROLE_ADMIN);
	held_free(&h);
	set_fini(&s);
}

static void test_a_writer_has_no_say(void **state)
{
	const struct act acts[] = {
		{MEMBER_FOUND, 0, 0, 0, 0},         {MEMBER_ADD, 0, 1, ROLE_WRITER, 1},
		{MEMBER_ROLE, 1, 1, ROLE_ADMIN, 2}, {MEMBER_ADD, 1, 2, ROLE_ADMIN, 4},
		{MEMBER_REMOVE, 1, 0, 0, 8},        {MEMBER_ADDR, 1, 1, 0, 16},
		{MEMBER_RETIRE, 1, 1, 0, 32},       {MEMBER_ADDR, 1, 1, 0, 64}};
	struct set s;

	(void)state;
	set_init(&s, acts, ARRAY_LEN(acts));
	struct held h = held_new(&s, 0);
	for (uint32_t k = 0; k + 1 < s.count; k++)
		assert_int_equal(add(&h, &s, k), ERR_OK);
	assert_int_equal(roster_role(h.r, &s.device[0].pub), ROLE_ADMIN);
	assert_int_equal(roster_role(h.r, &s.device[1].pub), ROLE_NONE);
	assert_int_equal(roster_role(h.r, &s.device[2].pub), ROLE_NONE);
	assert_null(roster_find(h.r, &s.device[2].pub));
	assert_string_equal(roster_find(h.r, &s.device[1].pub)->addr, "host5:7");
	assert_int_equal(roster_role_at(h.r, &s.hash[5], &s.device[1].pub), ROLE_WRITER);
	assert_int_equal(roster_role_at(h.r, &s.hash[0], &s.device[1].pub), ROLE_NONE);
	/* After its own retirement it is a stranger, and strangers are refused. */
	assert_int_equal(add(&h, &s, 7), ERR_MALFORMED);
	held_free(&h);
	set_fini(&s);
}

/* Whatever bit of a record is turned, it is refused and nothing changes. */
static void test_garbled_records(void **state)
{
	const struct act acts[] = {{MEMBER_FOUND, 0, 0, 0, 0}, {MEMBER_ADD, 0, 1, ROLE_WRITER, 1}};
	struct set s;
	struct wr before = {0}, after = {0};
	bool fresh;

	(void)state;
	set_init(&s, acts, ARRAY_LEN(acts));
	struct held h = held_new(&s, 0);
	assert_int_equal(add(&h, &s, 0), ERR_OK);
	tell(&h, &s, &before);
	for (size_t bit = 0; bit < s.raw[1].len * 8; bit++) {
		s.raw[1].at[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(roster_add(h.r, wr_view(&s.raw[1]), &fresh), ERR_OK);
		s.raw[1].at[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t len = 0; len < s.raw[1].len; len++)
		assert_int_not_equal(roster_add(h.r, (struct bytes){s.raw[1].at, len}, &fresh),
				     ERR_OK);
	tell(&h, &s, &after);
	assert_true(bytes_equal(wr_view(&before), wr_view(&after)));
	wr_fini(&before);
	wr_fini(&after);
	held_free(&h);
	set_fini(&s);
}

/* A device names a head by which it may write, even if another head is later in the order. */
static void test_head_shows_own_role(void **state)
{
	(void)state;
	for (unsigned extra = 0; extra < 4; extra++) {
		struct act acts[7] = {
			{MEMBER_FOUND, 0, 0, 0, 0},         {MEMBER_ADD, 0, 1, ROLE_ADMIN, 1},
			{MEMBER_ADD, 0, 2, ROLE_WRITER, 2}, {MEMBER_ADDR, 1, 1, 0, 2},
			{MEMBER_ADDR, 1, 1, 0, 8},          {MEMBER_ADDR, 1, 1, 0, 16},
			{MEMBER_ADDR, 1, 1, 0, 32}};
		struct set s;
		struct hash head;
		set_init(&s, acts, 4 + extra);
		struct held h = held_new(&s, 2);
		add_all(&h, &s);
		roster_head(h.r, &head);
		assert_int_equal(roster_role_at(h.r, &head, &s.device[2].pub), ROLE_WRITER);
		held_free(&h);
		set_fini(&s);
	}
}

/* Write by this device and take it; the record's bytes go to others by roster_record(). */
static void act_by(struct held *h, const struct member_record *m)
{
	struct wr w = {0};
	bool fresh = false;

	assert_int_equal(roster_write(h->r, m, 5, &w), ERR_OK);
	assert_int_equal(roster_add(h->r, wr_view(&w), &fresh), ERR_OK);
	assert_true(fresh);
	wr_fini(&w);
}

static void test_keys_reach_the_invited(void **state)
{
	const struct act acts[] = {{MEMBER_FOUND, 0, 0, 0, 0}};
	struct folder_keys keys = {.count = 2}, got;
	struct wr plain = {0}, box = {0}, w = {0};
	struct set s;
	uint8_t seed[32] = {9};
	bool fresh;

	(void)state;
	set_init(&s, acts, 1);
	struct held a = held_new(&s, 0), b = held_new(&s, 1);
	add_all(&a, &s);
	assert_false(roster_keys(a.r, &got));
	assert_int_equal(roster_box(a.r, &s.device[1].pub, seed, &box), ERR_NOENT);
	keys.at[0].epoch = 1;
	keys.at[1].epoch = 2;
	memset(keys.at[1].key, 7, KEY_LEN);
	folder_keys_encode(&plain, &keys);
	assert_int_equal(seal_box(&box, &s.device[0].pub, wr_view(&plain), seed), ERR_OK);
	struct member_record m = {
		.kind = MEMBER_KEYS, .subject = s.device[0].pub, .epoch = 2, .box = wr_view(&box)};
	act_by(&a, &m);
	assert_true(roster_keys(a.r, &got));
	wr_reset(&box);
	assert_int_equal(roster_box(a.r, &s.device[1].pub, seed, &box), ERR_OK);
	m = (struct member_record){.kind = MEMBER_ADD,
				   .subject = s.device[1].pub,
				   .role = ROLE_WRITER,
				   .name = bytes_text("b"),
				   .box = wr_view(&box),
				   .token = {{3}}};
	act_by(&a, &m);
	assert_true(roster_token_used(a.r, &m.token));
	m.token.b[0]++;
	assert_false(roster_token_used(a.r, &m.token));
	struct bytes record;
	for (uint32_t k = 0; roster_record(a.r, k, &record); k++)
		assert_int_equal(roster_add(b.r, record, &fresh), ERR_OK);
	assert_true(roster_keys(b.r, &got));
	assert_int_equal(got.count, 2);
	assert_memory_equal(&got.at[1], &keys.at[1], sizeof(keys.at[1]));
	/* A writer may announce addresses, and nothing else. */
	assert_int_equal(roster_write(b.r, &m, 5, &w), ERR_REFUSED);
	m = (struct member_record){
		.kind = MEMBER_ADDR, .subject = s.device[1].pub, .text = bytes_text("here:1")};
	assert_int_equal(roster_write(b.r, &m, 5, &w), ERR_OK);
	/* The last admin cannot leave. */
	wr_reset(&w);
	m = (struct member_record){.kind = MEMBER_RETIRE, .subject = s.device[0].pub};
	assert_int_equal(roster_write(a.r, &m, 5, &w), ERR_REFUSED);
	wr_fini(&w);
	wr_fini(&plain);
	wr_fini(&box);
	held_free(&a);
	held_free(&b);
	set_fini(&s);
}

/* A member that floods the roster is stopped while there is room left for admins. */
static void test_flood_leaves_room_for_admins(void **state)
{
	const struct act acts[] = {{MEMBER_FOUND, 0, 0, 0, 0}, {MEMBER_ADD, 0, 1, ROLE_READER, 1}};
	struct set s;
	struct bytes record;
	uint32_t taken = 0, seen = 0;
	enum err e = ERR_OK;
	struct wr w = {0};
	bool fresh;

	(void)state;
	seal_use_fake(true);
	set_init(&s, acts, ARRAY_LEN(acts));
	struct held a = held_new(&s, 0), b = held_new(&s, 1);
	add_all(&a, &s);
	add_all(&b, &s);
	while (!e) {
		struct member_record m = {
			.kind = MEMBER_ADDR, .subject = s.device[1].pub, .text = bytes_text("x:1")};
		wr_reset(&w);
		assert_int_equal(roster_write(b.r, &m, (int64_t)++taken, &w), ERR_OK);
		e = roster_add(b.r, wr_view(&w), &fresh);
	}
	assert_int_equal(e, ERR_FULL);
	for (; roster_record(b.r, seen, &record); seen++)
		assert_int_equal(roster_add(a.r, record, &fresh), ERR_OK);
	assert_int_equal(seen, taken + 1);
	struct member_record out = {.kind = MEMBER_REMOVE, .subject = s.device[1].pub};
	act_by(&a, &out);
	assert_int_equal(roster_role(a.r, &s.device[1].pub), ROLE_NONE);
	seal_use_fake(false);
	wr_fini(&w);
	held_free(&a);
	held_free(&b);
	set_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrival_order_never_matters),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every_pair_of_acts),
		cmocka_unit_test(test_only_the_founding_record_begins),
		cmocka_unit_test(test_a_writer_has_no_say),
		cmocka_unit_test(test_garbled_records),
		cmocka_unit_test(test_head_shows_own_role),
		cmocka_unit_test(test_keys_reach_the_invited),
		cmocka_unit_test(test_flood_leaves_room_for_admins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
