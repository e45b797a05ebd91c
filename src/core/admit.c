// SPDX-License-Identifier: MIT
/*
 * admit.c - see admit.h
 *
 * A joiner proves that it holds the invitation's secret by a keyed hash over the session's hash, so
 * the secret itself never crosses a wire and a proof is worth nothing in another session.
 */
#include "core/admit.h"
#include "core/tables.h"

static void token_key(struct step_key *k, const struct hash *token)
{
	step_key_init(k, TABLE_STATE);
	step_key_u8(k, 't');
	step_key_raw(k, token->b, HASH_LEN);
}

/* Body of J_TOKEN: token hash 32, secret 32, role u8, expiry u64. */
enum err admit_replay(struct step *s, struct bytes body)
{
	struct rd r = rd_of(body);
	struct step_key k;
	struct hash token;

	rd_copy(&r, token.b, HASH_LEN);
	if (r.bad || rd_left(&r) != KEY_LEN + 1 + 8)
		return fail(ERR_DAMAGED);
	token_key(&k, &token);
	return kv_put(s->kv, step_key_view(&k), (struct bytes){r.at, rd_left(&r)});
}

enum err admit_invite(struct step *s, struct roster *r, const struct device_id *self,
		      const struct event *ev)
{
	struct hash token;
	size_t mark;

	if (roster_role(r, self) != ROLE_ADMIN)
		return fail(ERR_REFUSED);
	hash_blake(BYTES_OF(ev->invite.secret), &token);
	struct wr *w = step_entry(s, J_TOKEN, &mark);
	size_t start = w->len;
	wr_raw(w, token.b, HASH_LEN);
	wr_raw(w, ev->invite.secret, KEY_LEN);
	wr_u8(w, (uint8_t)ev->invite.role);
	wr_u64(w, (uint64_t)ev->invite.expires_ms);
	step_entry_end(s, mark);
	if (w->bad)
		return fail(ERR_NOMEM);
	return admit_replay(s, (struct bytes){w->at + start, w->len - start});
}

static enum err refuse(struct step *s, const struct peer *to, enum refuse_code code,
		       const char *text)
{
	struct wire_message m = {.type = WIRE_REFUSE};
	struct action *a = step_act(s, ACT_SEND);
	struct wr w = {0};

	if (!a)
		return fail(ERR_NOMEM);
	m.refuse.code = (uint8_t)code;
	m.refuse.text = bytes_text(text);
	wire_encode(&w, &m);
	a->send.peer = to->session;
	a->send.message = wr_take(&w, &a->send.len);
	step_report(s, true, "a device that asked to join was refused: %s", text);
	return fail(ERR_REFUSED);
}

static enum err look_up(struct step *s, const struct hash *token, uint8_t secret[KEY_LEN],
			enum role *role, int64_t *expires_ms)
{
	struct step_key k;
	struct bytes value;

	token_key(&k, token);
	enum err e = kv_get(s->kv, step_key_view(&k), &value);
	if (e)
		return e;
	struct rd r = rd_of(value);
	rd_copy(&r, secret, KEY_LEN);
	*role = (enum role)rd_u8(&r);
	*expires_ms = (int64_t)rd_u64(&r);
	return rd_done(&r) ? ERR_OK : fail(ERR_DAMAGED);
}

static enum err write_add(struct step *s, struct roster *r, const struct event *ev, enum role role,
			  const struct vector *applied, struct wr *record)
{
	struct member_record m = {.kind = MEMBER_ADD,
				  .subject = ev->join.device,
				  .role = (uint8_t)role,
				  .name = ev->join.name,
				  .token = ev->join.token,
				  .vec = vector_ref(applied)};
	struct wr box = {0};
	uint8_t seed[32];
	enum err e = ERR_OK;

	if (role != ROLE_HELPER) {
		rng_bytes(s->rng, seed, sizeof(seed));
		e = roster_box(r, &ev->join.device, seed, &box);
	}
	m.box = wr_view(&box);
	if (!e)
		e = roster_write(r, &m, s->wall_ms, record);
	wr_fini(&box);
	vector_unref(m.vec);
	return e;
}

enum err admit_join(struct step *s, struct roster *r, struct peer *from, const struct event *ev,
		    const struct vector *applied, struct wr *record)
{
	uint8_t secret[KEY_LEN] = {0};
	struct hash proof;
	enum role role = ROLE_NONE;
	int64_t expires_ms = 0;
	enum err e = look_up(s, &ev->join.token, secret, &role, &expires_ms);

	if (e && e != ERR_NOENT)
		return e;
	hash_keyed(secret, BYTES_OF(from->hash), &proof);
	bool proven = !e && memcmp(&proof, &ev->join.proof, sizeof(proof)) == 0;
	memset(secret, 0, sizeof(secret));
	if (!proven || memcmp(&ev->join.device, &from->device, sizeof(from->device)) != 0)
		return refuse(s, from, REFUSE_UNKNOWN, "this invitation is not known here");
	if (roster_role(r, &ev->join.device) != ROLE_NONE)
		return ERR_EXIST;
	if (roster_token_used(r, &ev->join.token))
		return refuse(s, from, REFUSE_USED, "this invitation has been used");
	if (s->wall_ms > expires_ms)
		return refuse(s, from, REFUSE_EXPIRED, "this invitation has expired");
	if (!member_name_ok(ev->join.name))
		return refuse(s, from, REFUSE_UNKNOWN, "the device's name is not acceptable");
	return write_add(s, r, ev, role, applied, record);
}

enum err admit_ask(struct step *s, const struct peer *to, const struct device_id *self,
		   const char *name)
{
	struct wire_message m = {.type = WIRE_JOIN};
	struct action *a = step_act(s, ACT_SEND);
	struct wr w = {0};

	if (!a)
		return fail(ERR_NOMEM);
	m.join.device = *self;
	m.join.name = bytes_text(name);
	hash_keyed(to->secret, BYTES_OF(to->hash), &m.join.proof);
	hash_blake(BYTES_OF(to->secret), &m.join.token);
	wire_encode(&w, &m);
	a->send.peer = to->session;
	a->send.message = wr_take(&w, &a->send.len);
	return a->send.message ? ERR_OK : fail(ERR_NOMEM);
}

/* The first key of the folder, in a box that only its founder opens. */
static enum err first_key(const struct sign_pair *device, struct rng *rng, struct wr *box)
{
	struct folder_keys keys = {.count = 1};
	struct wr plain = {0};
	uint8_t seed[32];

	keys.at[0].epoch = 1;
	rng_bytes(rng, keys.at[0].key, KEY_LEN);
	rng_bytes(rng, seed, sizeof(seed));
	folder_keys_encode(&plain, &keys);
	enum err e =
		plain.bad ? fail(ERR_NOMEM) : seal_box(box, &device->pub, wr_view(&plain), seed);
	if (plain.at)
		memset(plain.at, 0, plain.len);
	memset(&keys, 0, sizeof(keys));
	wr_fini(&plain);
	return e;
}

enum err admit_found(const struct sign_pair *device, struct bytes device_name,
		     struct bytes folder_name, const struct admit_seed *seed,
		     struct admit_founding *ret)
{
	struct member_record m = {.kind = MEMBER_FOUND,
				  .author = device->pub,
				  .subject = device->pub,
				  .wall_ms = seed->wall_ms,
				  .name = device_name,
				  .text = folder_name};
	struct wr box = {0};
	struct hash id;

	if (!member_name_ok(device_name) || !member_name_ok(folder_name))
		return fail(ERR_INVAL);
	enum err e = first_key(device, seed->rng, &box);
	if (e)
		return e;
	member_encode(&ret->record, &m, device);
	hash_blake(wr_view(&ret->record), &id);
	memcpy(ret->folder.b, id.b, HASH_LEN);
	struct member_record k = {.folder = ret->folder,
				  .kind = MEMBER_KEYS,
				  .author = device->pub,
				  .subject = device->pub,
				  .parents_count = 1,
				  .parents = {id},
				  .wall_ms = seed->wall_ms,
				  .epoch = 1,
				  .box = wr_view(&box)};
	member_encode(&ret->keys, &k, device);
	wr_fini(&box);
	return ret->record.bad || ret->keys.bad ? fail(ERR_NOMEM) : ERR_OK;
}
