// SPDX-License-Identifier: MIT
/*
 * roster.c - what the signed records of admins add up to
 *
 * All that trust rests on stands here, so it is a function of the set of records held and of
 * nothing else.  Records are taken in one order: parents first, among those that are ready the
 * smallest hash.  Each is judged by the roles at that moment; what its author had no right to say
 * is kept (its children need it) and skipped.
 *
 * A record whose author is no member by the record's own ancestors is refused outright: that too
 * is a function of the record alone, so all honest devices refuse it, and strangers cannot fill
 * the table.  A member could, with addresses or records of unknown kinds; the last quarter of the
 * table is kept for admins, who can remove that member.
 *
 * The usual record has all heads as parents, is thus the last of the one order, and costs a step;
 * any other makes all be worked out anew.
 *
 * I1  record 0 is the founding one, and its hash the folder's id
 * I2  parents stand before their children
 * I3  all memory that judging needs is taken when a record is taken: questions cannot fail
 *
 * Rows: TABLE_ROSTER number u64 -> record.
 */
#include "core/roster.h"
#include "base/map.h"
#include "core/seats.h"
#include "core/tables.h"
#include <stdlib.h>

#define ROSTER_RECORDS_MAX 16384
#define ROSTER_RECORDS_ADMIN (ROSTER_RECORDS_MAX - ROSTER_RECORDS_MAX / 4)
#define ROLES_CACHED 256
#define HEADS_TRIED 16

static_assert(ROSTER_ADDR_MAX > MEMBER_TEXT_MAX, "an address and its NUL");

struct record_held {
	struct hash hash;
	uint8_t *raw; /* owned */
	size_t len;
	struct member_record m; /* points into raw */
	uint32_t author, subject; /* device numbers; SEATS_NONE: it has no subject */
	uint32_t parents[MEMBER_PARENTS_MAX];
	uint32_t edge; /* first of the edges to its children; SEATS_NONE: none, so it is a head */
	bool counts; /* its author had the right to say it */
	struct folder_keys *keys; /* of its box, if it is for us and was opened */
	bool tried;
};
struct edge {
	uint32_t child, next;
};
struct known_role {
	bool set;
	uint32_t record, device;
	enum role role;
};

struct roster {
	struct kv *kv;
	struct folder_id folder;
	struct sign_pair device;
	struct record_held *at;
	uint32_t count, room;
	struct edge *edges;
	uint32_t edges_count, edges_room;
	uint32_t heads;
	struct map *by_hash, *by_device; /* -> number u32 */
	uint32_t devices, devices_room;
	struct seats now, other; /* other: of a part, for one question */
	uint32_t *order; /* of all records, the one order */
	uint32_t *missing, *ready; /* while ordering: parents not yet taken; a heap */
	bool *part; /* while ordering: the records that take part */
	struct roster_member *members; /* by first appearance in the one order */
	uint32_t *member_of; /* device number -> place in members */
	struct known_role known[ROLES_CACHED];
	bool head_known;
	uint32_t head;
};

struct roster *roster_new(struct kv *kv, const struct folder_id *folder,
			  const struct sign_pair *device)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->kv = kv;
	r->folder = *folder;
	r->device = *device;
	r->by_hash = map_new();
	r->by_device = map_new();
	r->members = calloc(MEMBERS_MAX, sizeof(*r->members));
	if (!r->by_hash || !r->by_device || !r->members) {
		roster_free(r);
		return NULL;
	}
	return r;
}

static void held_fini(struct record_held *h)
{
	vector_unref(h->m.vec);
	free(h->raw);
	free(h->keys);
}

void roster_free(struct roster *r)
{
	if (!r)
		return;
	for (uint32_t k = 0; k < r->count; k++)
		held_fini(&r->at[k]);
	free(r->at);
	free(r->edges);
	map_free(r->by_hash);
	map_free(r->by_device);
	free(r->now.at);
	free(r->other.at);
	free(r->order);
	free(r->missing);
	free(r->ready);
	free(r->part);
	free(r->members);
	free(r->member_of);
	free(r);
}

static uint32_t number_of(const struct map *m, const uint8_t id[32])
{
	struct bytes v;
	uint32_t n;

	if (!map_get(m, (struct bytes){id, 32}, &v))
		return SEATS_NONE;
	memcpy(&n, v.at, sizeof(n));
	return n;
}

static enum err number_set(struct map *m, const uint8_t id[32], uint32_t n)
{
	return map_put(m, (struct bytes){id, 32}, (struct bytes){(uint8_t *)&n, sizeof(n)});
}

static uint32_t device_of(const struct roster *r, const struct device_id *d)
{
	return number_of(r->by_device, d->b);
}

/* ---- room ---- */

static bool grow(void *array, uint32_t room, size_t each) /* array: address of the pointer */
{
	void *old, *p;

	memcpy(&old, array, sizeof(old));
	p = realloc(old, room * each);
	if (!p)
		return false;
	memcpy(array, &p, sizeof(p));
	return true;
}

static bool room_for_record(struct roster *r)
{
	if (r->count < r->room)
		return true;
	uint32_t room = r->room ? r->room * 2 : 16;
	if (!grow(&r->at, room, sizeof(*r->at)) || !grow(&r->order, room, sizeof(*r->order)) ||
	    !grow(&r->missing, room, sizeof(*r->missing)) ||
	    !grow(&r->ready, room, sizeof(*r->ready)) || !grow(&r->part, room, sizeof(*r->part)))
		return false;
	r->room = room;
	return true;
}

static bool room_for_edges(struct roster *r, uint32_t more)
{
	if (r->edges_count + more <= r->edges_room)
		return true;
	uint32_t room = MAX(r->edges_room * 2, 64u);
	if (!grow(&r->edges, room, sizeof(*r->edges)))
		return false;
	r->edges_room = room;
	return true;
}

static bool room_for_device(struct roster *r)
{
	if (r->devices < r->devices_room)
		return true;
	uint32_t room = r->devices_room ? r->devices_room * 2 : 16;
	if (!grow(&r->now.at, room, sizeof(*r->now.at)) ||
	    !grow(&r->other.at, room, sizeof(*r->other.at)) ||
	    !grow(&r->member_of, room, sizeof(*r->member_of)))
		return false;
	r->devices_room = room;
	return true;
}

/* The number of a device, a new one if need be; a number without a seat taken does no harm. */
static enum err device_number(struct roster *r, const struct device_id *d, uint32_t *ret)
{
	uint32_t n = device_of(r, d);

	if (n == SEATS_NONE) {
		if (!room_for_device(r))
			return fail(ERR_NOMEM);
		n = r->devices;
		enum err e = number_set(r->by_device, d->b, n);
		if (e)
			return e;
		r->now.at[n] = SEAT_EMPTY;
		r->member_of[n] = SEATS_NONE;
		r->devices++;
	}
	*ret = n;
	return ERR_OK;
}

/* ---- the one order ---- */

static int by_hash(const struct roster *r, uint32_t a, uint32_t b)
{
	return memcmp(r->at[a].hash.b, r->at[b].hash.b, HASH_LEN);
}

static void heap_put(struct roster *r, uint32_t *count, uint32_t record)
{
	uint32_t k = (*count)++;

	while (k > 0 && by_hash(r, record, r->ready[(k - 1) / 2]) < 0) {
		r->ready[k] = r->ready[(k - 1) / 2];
		k = (k - 1) / 2;
	}
	r->ready[k] = record;
}

static uint32_t heap_take(struct roster *r, uint32_t *count)
{
	uint32_t least = r->ready[0], last = r->ready[--*count], k = 0;

	for (;;) {
		uint32_t child = 2 * k + 1;
		if (child >= *count)
			break;
		if (child + 1 < *count && by_hash(r, r->ready[child + 1], r->ready[child]) < 0)
			child++;
		if (by_hash(r, last, r->ready[child]) <= 0)
			break;
		r->ready[k] = r->ready[child];
		k = child;
	}
	r->ready[k] = last;
	return least;
}

static bool take(const struct roster *r, struct seats *s, uint32_t n)
{
	const struct record_held *h = &r->at[n];
	const struct seats_act act = {.m = &h->m, .author = h->author, .subject = h->subject};

	return seats_apply(s, &act, n);
}

/* Work out a state from the records in r->part (closed under ancestors); whole: of all, and note
 * their order and whether each counts. */
static void work_out(struct roster *r, struct seats *s, bool whole)
{
	uint32_t ready = 0, done = 0;

	for (uint32_t k = 0; k < r->devices; k++)
		s->at[k] = SEAT_EMPTY;
	s->admins = s->members = 0;
	for (uint32_t k = 0; k < r->count; k++)
		r->missing[k] = r->at[k].m.parents_count;
	heap_put(r, &ready, 0); /* I1 */
	while (ready) {
		uint32_t n = heap_take(r, &ready);
		bool counts = take(r, s, n);
		if (whole) {
			r->at[n].counts = counts;
			r->order[done] = n;
		}
		done++;
		for (uint32_t e = r->at[n].edge; e != SEATS_NONE; e = r->edges[e].next) {
			uint32_t child = r->edges[e].child;
			if (r->part[child] && --r->missing[child] == 0)
				heap_put(r, &ready, child);
		}
	}
	assert(!whole || done == r->count); /* I2 */
	assert(s->admins > 0);
}

/* Complete r->part, in which some records are marked, with their ancestors. */
static void close_part(struct roster *r)
{
	for (uint32_t k = r->count; k-- > 0;) /* I2: descendants first */
		for (uint32_t p = 0; r->part[k] && p < r->at[k].m.parents_count; p++)
			r->part[r->at[k].parents[p]] = true;
}

static void work_out_whole(struct roster *r)
{
	for (uint32_t k = 0; k < r->count; k++)
		r->part[k] = true;
	work_out(r, &r->now, true);
}

/* ---- what is known of members, for those who ask ---- */

static void text_copy(char *to, size_t size, struct bytes from)
{
	size_t n = MIN(from.len, size - 1);

	if (n)
		memcpy(to, from.at, n);
	to[n] = '\0';
}

static void member_fill(struct roster *r, uint32_t device, const struct device_id *id)
{
	const struct seat *s = &r->now.at[device];
	struct roster_member *m = &r->members[r->member_of[device]];

	memset(m, 0, sizeof(*m));
	m->device = *id;
	m->role = s->role;
	text_copy(m->name, sizeof(m->name), r->at[s->named].m.name);
	if (s->addr != SEATS_NONE)
		text_copy(m->addr, sizeof(m->addr), r->at[s->addr].m.text);
	if (s->role == ROLE_NONE && s->cut != SEATS_NONE)
		m->cut = r->at[s->cut].m.vec;
}

/* Record n has just been taken into the state: renew what is told of its subject. */
static void member_renew(struct roster *r, uint32_t n, uint32_t *members)
{
	uint32_t d = r->at[n].subject;

	if (d == SEATS_NONE || !r->now.at[d].ever)
		return;
	if (r->member_of[d] == SEATS_NONE)
		r->member_of[d] = (*members)++;
	member_fill(r, d, &r->at[n].m.subject);
}

static void members_renew(struct roster *r)
{
	uint32_t members = 0;

	for (uint32_t k = 0; k < r->devices; k++)
		r->member_of[k] = SEATS_NONE;
	for (uint32_t k = 0; k < r->count; k++)
		member_renew(r, r->order[k], &members);
	assert(members == r->now.members);
}

/* ---- taking records ---- */

/* Whether the parents of h are all heads there are, so that it comes last of all. */
static bool follows_all(const struct roster *r, const struct record_held *h)
{
	for (uint32_t k = 0; k < h->m.parents_count; k++)
		if (r->at[h->parents[k]].edge != SEATS_NONE)
			return false;
	return h->m.parents_count == r->heads;
}

/* The author's role by the record's own ancestors. */
static enum role author_role(struct roster *r, const struct record_held *h)
{
	uint32_t author = device_of(r, &h->m.author);

	if (author == SEATS_NONE)
		return ROLE_NONE;
	if (follows_all(r, h))
		return r->now.at[author].role;
	memset(r->part, 0, r->count * sizeof(*r->part));
	for (uint32_t k = 0; k < h->m.parents_count; k++)
		r->part[h->parents[k]] = true;
	close_part(r);
	work_out(r, &r->other, false);
	return r->other.at[author].role;
}

/* Is it a record that belongs here, after what is held? */
static enum err fits(struct roster *r, struct record_held *h)
{
	if (r->count == 0) {
		if (h->m.kind != MEMBER_FOUND && h->m.parents_count)
			return ERR_AGAIN;
		return memcmp(h->hash.b, r->folder.b, HASH_LEN) ? fail(ERR_MALFORMED) : ERR_OK;
	}
	if (h->m.kind == MEMBER_FOUND || memcmp(h->m.folder.b, r->folder.b, HASH_LEN) != 0)
		return fail(ERR_MALFORMED);
	for (uint32_t k = 0; k < h->m.parents_count; k++) {
		h->parents[k] = number_of(r->by_hash, h->m.parents[k].b);
		if (h->parents[k] == SEATS_NONE)
			return ERR_AGAIN;
	}
	enum role role = author_role(r, h);
	if (role == ROLE_NONE)
		return fail(ERR_MALFORMED);
	uint32_t limit = role == ROLE_ADMIN ? ROSTER_RECORDS_MAX : ROSTER_RECORDS_ADMIN;
	return r->count < limit ? ERR_OK : fail(ERR_FULL);
}

static enum err row_put(struct roster *r, const struct record_held *h)
{
	struct wr key = {0};

	wr_u8(&key, TABLE_ROSTER);
	wr_be64(&key, r->count);
	enum err e = key.bad ? fail(ERR_NOMEM)
			     : kv_put(r->kv, wr_view(&key), (struct bytes){h->raw, h->len});
	wr_fini(&key);
	return e;
}

/* Put a record that fits behind the others; whether it is the last of the one order in *last. */
static enum err link_in(struct roster *r, struct record_held *h, bool *last)
{
	enum err e = ERR_OK;

	if (!room_for_record(r) || !room_for_edges(r, h->m.parents_count))
		return fail(ERR_NOMEM);
	*last = follows_all(r, h);
	e = device_number(r, &h->m.author, &h->author);
	h->subject = SEATS_NONE;
	if (!e && seats_has_subject(h->m.kind))
		e = device_number(r, &h->m.subject, &h->subject);
	if (!e)
		e = number_set(r->by_hash, h->hash.b, r->count);
	if (e)
		return e;
	h->edge = SEATS_NONE;
	for (uint32_t k = 0; k < h->m.parents_count; k++) {
		struct record_held *parent = &r->at[h->parents[k]];
		r->heads -= parent->edge == SEATS_NONE;
		r->edges[r->edges_count] = (struct edge){.child = r->count, .next = parent->edge};
		parent->edge = r->edges_count++;
	}
	r->heads++;
	r->at[r->count++] = *h;
	r->head_known = false;
	return ERR_OK;
}

static void take_last(struct roster *r)
{
	uint32_t n = r->count - 1, members = r->now.members;

	r->order[n] = n;
	r->at[n].counts = take(r, &r->now, n);
	if (r->at[n].counts)
		member_renew(r, n, &members);
}

static enum err held_init(struct record_held *h, struct bytes record)
{
	memset(h, 0, sizeof(*h));
	h->raw = malloc(record.len ? record.len : 1);
	if (!h->raw)
		return fail(ERR_NOMEM);
	memcpy(h->raw, record.at, record.len);
	h->len = record.len;
	enum err e = member_decode((struct bytes){h->raw, h->len}, &h->m);
	if (e)
		h->m.vec = NULL;
	return e;
}

enum err roster_add(struct roster *r, struct bytes record, bool *fresh)
{
	struct record_held h;
	struct hash hash;
	bool last = false;

	if (record.len == 0 || record.len > MEMBER_BYTES_MAX)
		return fail(ERR_MALFORMED);
	hash_blake(record, &hash);
	if (roster_has(r, &hash)) {
		*fresh = false;
		return ERR_OK;
	}
	enum err e = held_init(&h, record);
	h.hash = hash;
	if (!e && !member_verify(record, &h.m))
		e = fail(ERR_FORGED);
	if (!e)
		e = fits(r, &h);
	if (!e)
		e = row_put(r, &h);
	if (!e)
		e = link_in(r, &h, &last);
	if (e) {
		held_fini(&h);
		return e;
	}
	if (last) {
		take_last(r);
	} else {
		work_out_whole(r);
		members_renew(r);
	}
	*fresh = true;
	return ERR_OK;
}

/* Rows are our own, signatures were checked before they were written. */
static enum err load_row(struct roster *r, struct bytes value)
{
	struct record_held h;
	bool last;
	enum err e = held_init(&h, value);

	hash_blake(value, &h.hash);
	if (!e && r->count == 0 && memcmp(h.hash.b, r->folder.b, HASH_LEN) != 0)
		e = fail(ERR_DAMAGED);
	for (uint32_t k = 0; !e && k < h.m.parents_count; k++) {
		h.parents[k] = number_of(r->by_hash, h.m.parents[k].b);
		if (h.parents[k] == SEATS_NONE)
			e = fail(ERR_DAMAGED);
	}
	if (!e)
		e = link_in(r, &h, &last);
	if (e)
		held_fini(&h);
	return e == ERR_MALFORMED ? fail(ERR_DAMAGED) : e;
}

enum err roster_load(struct roster *r)
{
	static const uint8_t first[] = {TABLE_ROSTER};
	struct bytes key = BYTES_OF(first), value;
	uint8_t at[1 + 8];
	bool beyond = false;

	assert(r->count == 0);
	for (;;) {
		enum err e = kv_next(r->kv, key, beyond, &key, &value);
		if (e == ERR_NOENT || (!e && key.at[0] != TABLE_ROSTER))
			break;
		if (!e && key.len != sizeof(at))
			e = fail(ERR_DAMAGED);
		if (e)
			return e;
		memcpy(at, key.at, sizeof(at));
		e = load_row(r, value);
		if (e)
			return e;
		key = BYTES_OF(at);
		beyond = true;
	}
	if (r->count) {
		work_out_whole(r);
		members_renew(r);
	}
	return ERR_OK;
}

/* ---- questions ---- */

bool roster_record(struct roster *r, uint32_t i, struct bytes *ret)
{
	if (i >= r->count)
		return false;
	*ret = (struct bytes){r->at[i].raw, r->at[i].len};
	return true;
}

static int hash_order(const void *a, const void *b)
{
	return memcmp(a, b, HASH_LEN);
}

/* The heads, at most max, those with the smallest hashes first; how many in all. */
static uint32_t heads_find(const struct roster *r, struct hash *ret, uint32_t max)
{
	uint32_t found = 0;

	for (uint32_t k = 0; k < r->count; k++) {
		if (r->at[k].edge != SEATS_NONE)
			continue;
		if (found < max)
			ret[found] = r->at[k].hash;
		else if (memcmp(r->at[k].hash.b, ret[max - 1].b, HASH_LEN) < 0)
			ret[max - 1] = r->at[k].hash;
		found++;
		if (found >= max)
			qsort(ret, max, sizeof(*ret), hash_order);
	}
	qsort(ret, MIN(found, max), sizeof(*ret), hash_order);
	return found;
}

/* Without order, so that no memory is needed: the exclusive-or of the heads, and their number. */
void roster_digest(const struct roster *r, struct hash *ret)
{
	uint8_t all[HASH_LEN + 4] = {0};

	for (uint32_t k = 0; k < r->count; k++)
		for (size_t b = 0; r->at[k].edge == SEATS_NONE && b < HASH_LEN; b++)
			all[b] ^= r->at[k].hash.b[b];
	for (size_t b = 0; b < 4; b++)
		all[HASH_LEN + b] = (uint8_t)(r->heads >> (8 * b));
	hash_blake(BYTES_OF(all), ret);
}

bool roster_has(const struct roster *r, const struct hash *record)
{
	return number_of(r->by_hash, record->b) != SEATS_NONE;
}

static enum role role_at(struct roster *r, uint32_t record, uint32_t device)
{
	struct known_role *k = &r->known[(record * 31 + device) % ROLES_CACHED];

	if (k->set && k->record == record && k->device == device)
		return k->role;
	memset(r->part, 0, r->count * sizeof(*r->part));
	r->part[record] = true;
	close_part(r);
	work_out(r, &r->other, false);
	*k = (struct known_role){true, record, device, r->other.at[device].role};
	return k->role;
}

enum role roster_role_at(struct roster *r, const struct hash *head, const struct device_id *d)
{
	uint32_t record = number_of(r->by_hash, head->b), device = device_of(r, d);

	return record == SEATS_NONE || device == SEATS_NONE ? ROLE_NONE
							    : role_at(r, record, device);
}

/*
 * The record that this device's bundles name.  Heads may be several, and by the ancestors of one
 * of them alone this device might be no member yet; so the last is taken by which it has the role
 * that it has, or the last record that gave it that role.
 */
static uint32_t head_find(struct roster *r)
{
	uint32_t self = device_of(r, &r->device.pub), tried = 0;

	for (uint32_t k = r->count; self != SEATS_NONE && k-- > 0 && tried < HEADS_TRIED;) {
		if (r->at[r->order[k]].edge != SEATS_NONE)
			continue;
		if (role_at(r, r->order[k], self) == r->now.at[self].role)
			return r->order[k];
		tried++;
	}
	for (uint32_t k = r->count; self != SEATS_NONE && k-- > 0;) {
		const struct record_held *h = &r->at[r->order[k]];
		if (h->subject == self && h->counts && h->m.kind <= MEMBER_RETIRE &&
		    role_at(r, r->order[k], self) == r->now.at[self].role)
			return r->order[k];
	}
	return r->order[r->count - 1];
}

void roster_head(const struct roster *r, struct hash *ret)
{
	struct roster *cache = (struct roster *)(uintptr_t)r; /* what is remembered is no state */

	memset(ret, 0, sizeof(*ret));
	if (r->count == 0)
		return;
	if (!r->head_known) {
		cache->head = head_find(cache);
		cache->head_known = true;
	}
	*ret = r->at[r->head].hash;
}

enum role roster_role(const struct roster *r, const struct device_id *d)
{
	uint32_t n = device_of(r, d);

	return n == SEATS_NONE ? ROLE_NONE : r->now.at[n].role;
}

const struct roster_member *roster_find(const struct roster *r, const struct device_id *d)
{
	uint32_t n = device_of(r, d);

	return n == SEATS_NONE || r->member_of[n] == SEATS_NONE ? NULL
								: &r->members[r->member_of[n]];
}

uint32_t roster_count(const struct roster *r)
{
	return r->now.members;
}

const struct roster_member *roster_at(const struct roster *r, uint32_t i)
{
	assert(i < r->now.members);
	return &r->members[i];
}

bool roster_name(const struct roster *r, char name[MEMBER_NAME_MAX + 1])
{
	if (r->count == 0)
		return false;
	text_copy(name, MEMBER_NAME_MAX + 1, r->at[0].m.text);
	return true;
}

bool roster_token_used(const struct roster *r, const struct hash *token)
{
	for (uint32_t k = 0; k < r->count; k++)
		if (r->at[k].counts && r->at[k].m.kind == MEMBER_ADD &&
		    memcmp(r->at[k].m.token.b, token->b, HASH_LEN) == 0)
			return true;
	return false;
}

/* ---- keys ---- */

bool roster_keys(struct roster *r, struct folder_keys *ret)
{
	uint32_t self = device_of(r, &r->device.pub);
	struct folder_keys all;

	memset(&all, 0, sizeof(all));
	for (uint32_t k = 0; self != SEATS_NONE && k < r->count; k++) {
		struct record_held *h = &r->at[r->order[k]];
		if (!h->counts || h->subject != self)
			continue;
		if (!h->tried)
			h->keys = seats_keys_open(&r->device, h->m.box, &h->tried);
		if (h->keys)
			seats_keys_add(&all, h->keys);
	}
	if (all.count == 0)
		return false;
	*ret = all;
	return true;
}

enum err roster_box(struct roster *r, const struct device_id *to, const uint8_t seed[32],
		    struct wr *w)
{
	struct folder_keys k;
	struct wr plain = {0};

	if (!roster_keys(r, &k))
		return fail(ERR_NOENT);
	folder_keys_encode(&plain, &k);
	enum err e = plain.bad ? fail(ERR_NOMEM) : seal_box(w, to, wr_view(&plain), seed);
	if (plain.at)
		memset(plain.at, 0, plain.len);
	wr_fini(&plain);
	return e;
}

/* ---- writing ---- */

/* Whether the record would count if it were taken now. */
static enum err may_write(struct roster *r, const struct member_record *m)
{
	struct seats_act act = {
		.m = m, .author = device_of(r, &r->device.pub), .subject = SEATS_NONE};

	if (act.author == SEATS_NONE || r->now.at[act.author].role == ROLE_NONE)
		return fail(ERR_REFUSED);
	if (!seats_has_subject(m->kind))
		return ERR_OK;
	enum err e = device_number(r, &m->subject, &act.subject);
	if (e)
		return e;
	if (seats_allowed(&r->now, &act))
		return ERR_OK;
	bool full = m->kind == MEMBER_ADD && r->now.at[act.author].role == ROLE_ADMIN;
	return full ? fail(ERR_FULL) : fail(ERR_REFUSED);
}

enum err roster_write(struct roster *r, const struct member_record *m, int64_t wall_ms,
		      struct wr *w)
{
	struct member_record n = *m;

	memset(&n.folder, 0, sizeof(n.folder));
	n.parents_count = 0;
	n.author = r->device.pub;
	n.wall_ms = wall_ms;
	if (m->kind != MEMBER_FOUND) {
		enum err e = r->count ? may_write(r, m) : fail(ERR_REFUSED);
		if (e)
			return e;
		n.folder = r->folder;
		n.parents_count = heads_find(r, n.parents, MEMBER_PARENTS_MAX);
		n.parents_count = MIN(n.parents_count, (uint32_t)MEMBER_PARENTS_MAX);
	}
	member_encode(w, &n, &r->device);
	return w->bad ? fail(ERR_NOMEM) : ERR_OK;
}
