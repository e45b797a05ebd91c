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
#include "core/roster_impl.h"
#include <stdlib.h>

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
	free(r->vecs);
	free(r->missing);
	free(r->ready);
	free(r->part);
	free(r->members);
	free(r->member_of);
	free(r);
}

uint32_t roster_number(const struct map *m, const uint8_t id[32])
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

uint32_t roster_device(const struct roster *r, const struct device_id *d)
{
	return roster_number(r->by_device, d->b);
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
	    !grow(&r->vecs, room, sizeof(*r->vecs)) ||
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
	uint32_t n = roster_device(r, d);

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

static bool take(const struct roster *r, struct seats *s, uint32_t n, bool *limits)
{
	const struct record_held *h = &r->at[n];
	const struct seats_act act = {.m = &h->m, .author = h->author, .subject = h->subject};

	*limits = seats_limits(s, &act);
	return seats_apply(s, &act, n);
}

/* Work out a state from the records in r->part (closed under ancestors); whole: of all, and note
 * their order and whether each counts. */
void roster_work_out(struct roster *r, struct seats *s, bool whole)
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
		bool limits, counts = take(r, s, n, &limits);
		if (whole) {
			r->at[n].counts = counts;
			r->at[n].limits = counts && limits;
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
void roster_close_part(struct roster *r)
{
	for (uint32_t k = r->count; k-- > 0;) /* I2: descendants first */
		for (uint32_t p = 0; r->part[k] && p < r->at[k].m.parents_count; p++)
			r->part[r->at[k].parents[p]] = true;
}

static void work_out_whole(struct roster *r)
{
	for (uint32_t k = 0; k < r->count; k++)
		r->part[k] = true;
	roster_work_out(r, &r->now, true);
}

/* ---- what is known of members, for those who ask ---- */

void roster_text_copy(char *to, size_t size, struct bytes from)
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
	roster_text_copy(m->name, sizeof(m->name), r->at[s->named].m.name);
	if (s->addr != SEATS_NONE)
		roster_text_copy(m->addr, sizeof(m->addr), r->at[s->addr].m.text);
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
	uint32_t author = roster_device(r, &h->m.author);

	if (author == SEATS_NONE)
		return ROLE_NONE;
	if (follows_all(r, h))
		return r->now.at[author].role;
	memset(r->part, 0, r->count * sizeof(*r->part));
	for (uint32_t k = 0; k < h->m.parents_count; k++)
		r->part[h->parents[k]] = true;
	roster_close_part(r);
	roster_work_out(r, &r->other, false);
	return r->other.at[author].role;
}

/* Is it a record that belongs here, after what is held? */
static enum err fits(struct roster *r, struct record_held *h)
{
	if (r->count == 0) {
		if (h->m.kind != MEMBER_FOUND) /* it has parents */
			return ERR_AGAIN;
		return memcmp(h->hash.b, r->folder.b, HASH_LEN) ? fail(ERR_MALFORMED) : ERR_OK;
	}
	if (h->m.kind == MEMBER_FOUND || memcmp(h->m.folder.b, r->folder.b, HASH_LEN) != 0)
		return fail(ERR_MALFORMED);
	for (uint32_t k = 0; k < h->m.parents_count; k++) {
		h->parents[k] = roster_number(r->by_hash, h->m.parents[k].b);
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
	if (h->m.vec)
		r->vecs[r->vecs_count++] = r->count;
	r->at[r->count++] = *h;
	r->head_known = false;
	return ERR_OK;
}

static void take_last(struct roster *r)
{
	uint32_t n = r->count - 1, members = r->now.members;

	r->order[n] = n;
	bool limits;
	r->at[n].counts = take(r, &r->now, n, &limits);
	r->at[n].limits = r->at[n].counts && limits;
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
		h.parents[k] = roster_number(r->by_hash, h.m.parents[k].b);
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

/* ---- writing ---- */

/* Whether the record would count if it were taken now. */
static enum err may_write(struct roster *r, const struct member_record *m)
{
	struct seats_act act = {
		.m = m, .author = roster_device(r, &r->device.pub), .subject = SEATS_NONE};

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
		n.parents_count = roster_heads(r, n.parents, MEMBER_PARENTS_MAX);
		n.parents_count = MIN(n.parents_count, (uint32_t)MEMBER_PARENTS_MAX);
	}
	member_encode(w, &n, &r->device);
	return w->bad ? fail(ERR_NOMEM) : ERR_OK;
}
