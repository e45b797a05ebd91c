// SPDX-License-Identifier: MIT
/*
 * roster_ask.c - what may be asked of a roster: roles then and now, heads, members, keys
 *
 * Nothing here changes what the roster says; caches are no state.
 */
#include "core/roster_impl.h"
#include <stdlib.h>

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
uint32_t roster_heads(const struct roster *r, struct hash *ret, uint32_t max)
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
	return roster_number(r->by_hash, record->b) != SEATS_NONE;
}

static enum role role_at(struct roster *r, uint32_t record, uint32_t device)
{
	struct known_role *k = &r->known[(record * 31 + device) % ROLES_CACHED];

	if (k->set && k->record == record && k->device == device)
		return k->role;
	memset(r->part, 0, r->count * sizeof(*r->part));
	r->part[record] = true;
	roster_close_part(r);
	roster_work_out(r, &r->other, false);
	*k = (struct known_role){true, record, device, r->other.at[device].role};
	return k->role;
}

enum role roster_role_at(struct roster *r, const struct hash *head, const struct device_id *d)
{
	uint32_t record = roster_number(r->by_hash, head->b), device = roster_device(r, d);

	return record == SEATS_NONE || device == SEATS_NONE ? ROLE_NONE
							    : role_at(r, record, device);
}

/*
 * The record that this device's bundles name.  Heads may be several, and by the ancestors of one
 * of them alone this device might be no member yet; so the last is taken by which it has the role
 * that it has, or the last record that gave it that role.
 */
/* Whether record n knows of all that limits this device: an incarnation born under it has none. */
static bool aware(struct roster *r, uint32_t n)
{
	return roster_limit(r, &r->device.pub, &r->at[n].hash, 0) == UINT64_MAX;
}

static uint32_t head_find(struct roster *r)
{
	uint32_t self = roster_device(r, &r->device.pub), tried = 0;

	for (uint32_t k = r->count; self != SEATS_NONE && k-- > 0 && tried < HEADS_TRIED;) {
		if (r->at[r->order[k]].edge != SEATS_NONE)
			continue;
		if (role_at(r, r->order[k], self) == r->now.at[self].role && aware(r, r->order[k]))
			return r->order[k];
		tried++;
	}
	for (uint32_t k = r->count; self != SEATS_NONE && k-- > 0;) {
		const struct record_held *h = &r->at[r->order[k]];
		if (h->subject == self && h->counts &&
		    role_at(r, r->order[k], self) == r->now.at[self].role && aware(r, r->order[k]))
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

void roster_head_writing(struct roster *r, struct hash *ret)
{
	uint32_t self = roster_device(r, &r->device.pub);

	for (uint32_t k = r->count; self != SEATS_NONE && k-- > 0;) {
		if (role_at(r, r->order[k], self) < ROLE_WRITER)
			continue;
		*ret = r->at[r->order[k]].hash;
		return;
	}
	roster_head(r, ret);
}

enum role roster_role(const struct roster *r, const struct device_id *d)
{
	uint32_t n = roster_device(r, d);

	return n == SEATS_NONE ? ROLE_NONE : r->now.at[n].role;
}

const struct roster_member *roster_find(const struct roster *r, const struct device_id *d)
{
	uint32_t n = roster_device(r, d);

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
	roster_text_copy(name, MEMBER_NAME_MAX + 1, r->at[0].m.text);
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

/* ---- what is accepted ---- */

/* Whether record n is born or one of its ancestors: whoever named that head knew of it. */
static bool knew(struct roster *r, uint32_t born, uint32_t n)
{
	if (born == SEATS_NONE || n > born) /* I2 */
		return false;
	memset(r->part, 0, r->count * sizeof(*r->part));
	r->part[born] = true;
	roster_close_part(r);
	return r->part[n];
}

uint64_t roster_limit(struct roster *r, const struct device_id *d, const struct hash *born,
		      uint64_t inc)
{
	uint32_t device = roster_device(r, d);
	uint64_t limit = UINT64_MAX;

	for (uint32_t k = 0; device != SEATS_NONE && k < r->vecs_count; k++) {
		const struct record_held *h = &r->at[r->vecs[k]];
		uint64_t seq = vector_get(h->m.vec, inc);
		if (!h->limits || h->subject != device || seq >= limit ||
		    knew(r, roster_number(r->by_hash, born->b), r->vecs[k]))
			continue;
		limit = seq;
	}
	return limit;
}

uint64_t roster_granted(const struct roster *r, uint64_t inc, bool welcome)
{
	uint64_t most = 0;

	for (uint32_t k = 0; k < r->vecs_count; k++) {
		const struct record_held *h = &r->at[r->vecs[k]];
		bool says = h->limits || (h->counts && h->m.kind == MEMBER_ACCEPT) ||
			    (welcome && h->counts && h->m.kind == MEMBER_ADD);
		uint64_t seq = says ? vector_get(h->m.vec, inc) : 0;
		most = MAX(most, seq);
	}
	return most;
}

bool roster_covered(const struct roster *r, const struct vector *held)
{
	for (uint32_t k = 0; k < r->vecs_count; k++) {
		const struct record_held *h = &r->at[r->vecs[k]];
		if (h->limits && !vector_covers(held, h->m.vec))
			return false;
	}
	return true;
}

/* ---- keys ---- */

bool roster_keys(struct roster *r, struct folder_keys *ret)
{
	uint32_t self = roster_device(r, &r->device.pub);
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
