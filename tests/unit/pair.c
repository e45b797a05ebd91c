// SPDX-License-Identifier: MIT
/* pair.c - see pair.h */
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define WALL_MS_START INT64_C(1793000000000)

struct side *pair_other(struct side *s)
{
	return s == &s->pair->a ? &s->pair->b : &s->pair->a;
}

/* ---- sealing ---- */

void pair_seal_now(struct side *s)
{
	bool hold = s->hold_seals;

	s->hold_seals = false;
	while (s->works_count) {
		uint64_t work = s->works[0];
		memmove(s->works, s->works + 1, --s->works_count * sizeof(work));
		pair_seal_work(s, work);
	}
	s->hold_seals = hold;
}

void pair_seal_fails(struct side *s, enum err e)
{
	assert_true(s->works_count > 0);
	struct event ev = {.kind = EV_SEALED};
	ev.sealed.work = s->works[0];
	ev.sealed.err = e;
	memmove(s->works, s->works + 1, --s->works_count * sizeof(s->works[0]));
	assert_int_equal(pair_step(s, &ev), ERR_OK);
}

/* ---- bundles ---- */

uint8_t *pair_raw_bundle(const struct seal_keys *keys, const struct sign_pair *device,
			 const struct action *a, size_t *len)
{
	struct bundle_head head = a->bundle.head;
	struct wr sealed = {0}, whole = {0};
	uint8_t nonce[SEAL_NONCE] = {(uint8_t)head.seq};

	seal_piece(&sealed, keys, &head.folder, SEAL_BUNDLE, 0, (uint32_t)a->bundle.len,
		   (struct bytes){a->bundle.body, a->bundle.len}, nonce);
	head.body = wr_view(&sealed);
	bundle_encode(&whole, &head);
	bundle_sign(&whole, 0, device);
	assert_false(whole.bad);
	wr_fini(&sealed);
	return wr_take(&whole, len);
}

static enum err bundle_of(struct side *s, struct bytes raw, struct bundle **ret)
{
	struct bundle *b = calloc(1, sizeof(*b));
	struct wr plain = {0};
	size_t len;

	assert_non_null(b);
	b->raw = malloc(raw.len);
	assert_non_null(b->raw);
	memcpy(b->raw, raw.at, raw.len);
	b->raw_len = raw.len;
	struct bytes whole = {b->raw, raw.len};
	enum err e = bundle_decode(whole, &b->head);
	if (!e && !bundle_verify(whole, &b->head))
		e = ERR_FORGED;
	if (!e) {
		bundle_hash(whole, &b->hash);
		e = pair_open_piece(s, b->head.body, SEAL_BUNDLE, &plain);
		b->plain = wr_take(&plain, &len);
	}
	if (!e)
		e = bundle_records(b, len);
	*ret = b;
	return e;
}

static void hold_bundle(struct side *s, const struct action *a)
{
	struct seal_keys keys;

	assert_null(s->bundle);
	assert_int_equal(node_keys_of(s->node, a->bundle.head.epoch, &keys), ERR_OK);
	s->bundle = pair_raw_bundle(&keys, &s->config.device, a, &s->bundle_len);
	s->bundle_seq = a->bundle.head.seq;
}

void pair_bundle_now(struct side *s, enum err err)
{
	struct event ev = {.kind = EV_BUNDLE_SEALED};

	assert_non_null(s->bundle);
	ev.bundle_sealed.err = err;
	ev.bundle_sealed.seq = s->bundle_seq;
	ev.bundle_sealed.take_raw = s->bundle;
	ev.bundle_sealed.len = s->bundle_len;
	s->bundle = NULL;
	assert_int_equal(pair_step(s, &ev), err);
}

/* ---- steps ---- */

static void enqueue(struct side *to, uint8_t *take, size_t len)
{
	struct pair *p = to->pair;

	p->queue = pair_grown(p->queue, p->queue_count, &p->queue_room, sizeof(*p->queue));
	p->queue[p->queue_count++] = (struct pair_message){to, take, len};
}

void pair_send(struct side *to, struct bytes message)
{
	uint8_t *copy = malloc(message.len);

	assert_non_null(copy);
	memcpy(copy, message.at, message.len);
	enqueue(to, copy, message.len);
}

static void send_stored(struct side *s, const struct action *a)
{
	const struct wr *from = a->kind == ACT_SEND_BUNDLE ? &s->journal : &s->packs;
	uint8_t *m = malloc(1 + (size_t)a->stored.len);

	assert_non_null(m);
	assert_int_equal(a->stored.peer, s->pair->session);
	assert_true(a->stored.addr + a->stored.len <= from->len);
	m[0] = a->kind == ACT_SEND_BUNDLE ? WIRE_BUNDLE : WIRE_DATA;
	memcpy(m + 1, from->at + a->stored.addr, a->stored.len);
	enqueue(pair_other(s), m, 1 + (size_t)a->stored.len);
}

static void carry(struct side *s, struct action *a)
{
	s->did[a->kind]++;
	switch ((int)a->kind) {
	case ACT_SEAL:
		assert_true(s->works_count < PAIR_HELD_MAX);
		s->works[s->works_count++] = a->seal.work;
		if (!s->hold_seals)
			pair_seal_now(s);
		break;
	case ACT_BUNDLE:
		hold_bundle(s, a);
		if (!s->hold_bundles)
			pair_bundle_now(s, ERR_OK);
		break;
	case ACT_SEND:
		assert_int_equal(a->send.peer, s->pair->session);
		enqueue(pair_other(s), a->send.message, a->send.len);
		a->send.message = NULL;
		break;
	case ACT_SEND_BUNDLE:
	case ACT_SEND_PIECE:
		send_stored(s, a);
		break;
	case ACT_READ_AGAIN:
		assert_true(s->woken_count < PAIR_WOKEN_MAX);
		s->woken[s->woken_count++] = (struct pair_woken){a->read.tag, a->read.err};
		break;
	case ACT_REFUSED:
		s->refused = (enum refuse_code)a->refused.code;
		break;
	default:
		break;
	}
}

struct kv *pair_rows_copy(struct kv *from)
{
	struct kv *to = kv_new_map();
	struct bytes key = {(const uint8_t *)"", 1}, value;
	bool beyond = false;

	assert_non_null(to);
	for (; kv_next(from, key, beyond, &key, &value) == ERR_OK; beyond = true)
		assert_int_equal(kv_put(to, key, value), ERR_OK);
	return to;
}

static void append(struct side *s, struct bytes payload)
{
	s->frames = pair_grown(s->frames, s->frames_count, &s->frames_room, sizeof(*s->frames));
	struct pair_frame *f = &s->frames[s->frames_count++];
	*f = (struct pair_frame){.at = s->journal.len, .len = payload.len};
	wr_bytes(&s->journal, payload);
	assert_false(s->journal.bad);
	if (s->watch) {
		pair_digest(s, &f->digest);
		f->rows = pair_rows_copy(s->kv);
	}
}

static void rebuild(struct side *s, struct actions *acts)
{
	s->rebuilt++;
	assert_int_equal(node_rebuild_begin(s->node), ERR_OK);
	for (uint32_t k = 0; k < s->frames_count; k++) {
		const struct pair_frame *f = &s->frames[k];
		struct bytes payload = {s->journal.at + f->at, f->len};
		assert_int_equal(node_rebuild_frame(s->node, f->at, payload, pair_replay_open, s),
				 ERR_OK);
	}
	assert_int_equal(node_rebuild_end(s->node, acts), ERR_OK);
}

enum err pair_step(struct side *s, struct event *ev)
{
	struct actions acts = {0};

	assert_non_null(s->node);
	ev->now_usec = s->pair->now;
	ev->wall_ms = WALL_MS_START + (int64_t)(s->pair->now / 1000);
	ev->journal_at = s->journal.len;
	size_t room = node_room(s->node, ev);
	enum err e = node_step(s->node, ev, &acts);
	assert_true(acts.journal.len <= room);
	assert_true(e != ERR_NOMEM && e != ERR_IO && e != ERR_DAMAGED);
	if (acts.journal.len)
		append(s, wr_view(&acts.journal));
	for (int k = 0; k < NODE_REBUILDS_MAX && node_wants_rebuild(s->node); k++)
		rebuild(s, &acts);
	assert_false(node_wants_rebuild(s->node));
	for (uint32_t k = 0; k < acts.count; k++)
		carry(s, &acts.at[k]);
	actions_fini(&acts);
	return e;
}

void pair_wait(struct pair *p, uint64_t usec)
{
	struct side *sides[] = {&p->a, &p->b};

	p->now += usec;
	for (size_t k = 0; k < ARRAY_LEN(sides); k++) {
		struct event ev = {.kind = EV_TICK};
		if (sides[k]->node && node_deadline(sides[k]->node) <= p->now)
			assert_int_equal(pair_step(sides[k], &ev), ERR_OK);
	}
}

/* ---- life ---- */

enum err pair_replay_open(void *arg, struct bytes raw, struct bundle **ret)
{
	return bundle_of(arg, raw, ret);
}

struct node *pair_replay(struct side *s, uint32_t from, uint32_t to, struct kv *kv)
{
	struct node *was = s->node;
	struct node *n = node_new(kv, &s->config);

	assert_non_null(n);
	s->node = n; /* whose keys open bundles */
	if (from)
		assert_int_equal(node_load(n), ERR_OK);
	for (uint32_t k = 0; k < s->pieces_count; k++) {
		const struct pair_piece *p = &s->pieces[k];
		assert_int_equal(node_replay_piece(n, &p->name, p->kind, p->addr, p->len), ERR_OK);
	}
	for (uint32_t k = from; k < to; k++) {
		const struct pair_frame *f = &s->frames[k];
		assert_int_equal(node_replay(n, f->at,
					     (struct bytes){s->journal.at + f->at, f->len},
					     pair_replay_open, s),
				 ERR_OK);
	}
	s->node = was;
	return n;
}

void pair_stop(struct side *s)
{
	node_free(s->node);
	kv_free_map(s->kv);
	free(s->bundle);
	s->node = NULL;
	s->kv = NULL;
	s->bundle = NULL;
	s->works_count = s->woken_count = 0;
}

void pair_start(struct side *s, bool clean)
{
	struct event ev = {.kind = EV_START};

	uint32_t number = ++s->pair->seeds;
	memcpy(s->config.seed, &number, sizeof(number));
	s->kv = kv_new_map();
	assert_non_null(s->kv);
	s->node = pair_replay(s, 0, s->frames_count, s->kv);
	ev.start.clean = clean;
	assert_int_equal(pair_step(s, &ev), ERR_OK);
}

static void side_init(struct pair *p, struct side *s, const char *name, uint8_t seed)
{
	uint8_t secret[32] = {seed};

	s->pair = p;
	sign_pair_init(&s->config.device, secret);
	memcpy(s->config.device_name, name, strlen(name) + 1);
	s->config.read_timeout_ms = 2000;
	s->config.seed[31] = seed;
}

void pair_init(struct pair *p, enum role role)
{
	struct wr payload = {0};
	struct event ev = {.kind = EV_INVITE};

	*p = (struct pair){.now = 1000000};
	side_init(p, &p->a, "first", 1);
	side_init(p, &p->b, "second", 2);
	assert_int_equal(node_found(&p->a.config, bytes_text("folder"), WALL_MS_START, &payload),
			 ERR_OK);
	append(&p->a, wr_view(&payload));
	wr_fini(&payload);
	p->b.config.folder = p->a.config.folder;
	pair_start(&p->a, false);
	pair_start(&p->b, false);
	if (role == ROLE_NONE)
		return;
	ev.invite.secret[0] = 77;
	ev.invite.role = role;
	ev.invite.expires_ms = INT64_MAX;
	assert_int_equal(pair_step(&p->a, &ev), ERR_OK);
	pair_link_to_join(p, ev.invite.secret);
	pair_run(p);
	assert_true(node_is_member(p->b.node));
}

static void side_fini(struct side *s)
{
	pair_stop(s);
	for (uint32_t k = 0; k < s->frames_count; k++)
		kv_free_map(s->frames[k].rows);
	free(s->frames);
	free(s->pieces);
	wr_fini(&s->journal);
	wr_fini(&s->data);
	wr_fini(&s->packs);
}

void pair_forget(struct pair *p)
{
	for (uint32_t k = 0; k < p->queue_count; k++)
		free(p->queue[k].at);
	p->queue_count = 0;
}

void pair_fini(struct pair *p)
{
	pair_forget(p);
	free(p->queue);
	side_fini(&p->a);
	side_fini(&p->b);
}

/* ---- the link ---- */

static void up(struct side *s, const uint8_t *secret)
{
	struct event ev = {.kind = EV_UP, .peer = s->pair->session};

	ev.up.device = pair_other(s)->config.device.pub;
	ev.up.joining = secret && s == &s->pair->a;
	ev.up.we_join = secret && s == &s->pair->b;
	ev.up.hash[0] = (uint8_t)s->pair->session;
	if (ev.up.we_join)
		memcpy(ev.up.secret, secret, sizeof(ev.up.secret));
	assert_int_equal(pair_step(s, &ev), ERR_OK);
}

void pair_link_to_join(struct pair *p, const uint8_t secret[32])
{
	pair_unlink(p);
	p->session = ++p->sessions;
	up(&p->a, secret);
	up(&p->b, secret);
}

void pair_link(struct pair *p)
{
	pair_link_to_join(p, NULL);
}

void pair_unlink(struct pair *p)
{
	struct side *sides[] = {&p->a, &p->b};
	struct event ev = {.kind = EV_DOWN, .peer = p->session};

	if (!p->session)
		return;
	pair_forget(p);
	for (size_t k = 0; k < ARRAY_LEN(sides); k++)
		if (sides[k]->node)
			assert_int_equal(pair_step(sides[k], &ev), ERR_OK);
	p->session = 0;
	pair_forget(p);
}

static enum err on_data(struct side *s, struct event *ev, struct bytes sealed)
{
	struct wr plain = {0};

	ev->kind = EV_PIECE;
	hash_blake(sealed, &ev->piece.name);
	if (!node_expects(s->node, ev->peer, &ev->piece.name, &ev->piece.kind))
		return ERR_OK;
	if (ev->piece.kind == SEAL_NODE)
		assert_int_equal(pair_open_piece(s, sealed, SEAL_NODE, &plain), ERR_OK);
	ev->piece.stored = (uint32_t)sealed.len;
	ev->piece.addr = pair_pack(s, ev->piece.kind, &ev->piece.name, sealed);
	ev->piece.plain = wr_view(&plain);
	enum err e = pair_step(s, ev);
	wr_fini(&plain);
	return e;
}

static enum err deliver(struct side *s, struct bytes message)
{
	struct event ev = {.peer = s->pair->session};
	struct wire_message m;

	assert_int_equal(wire_decode(message, &m), ERR_OK);
	switch ((int)m.type) {
	case WIRE_DATA:
		return on_data(s, &ev, m.data);
	case WIRE_BUNDLE:
		ev.kind = EV_BUNDLE;
		assert_int_equal(bundle_of(s, m.bundle, &ev.bundle.take), ERR_OK);
		break;
	case WIRE_JOIN:
		ev.kind = EV_JOIN;
		ev.join = m.join;
		break;
	case WIRE_REFUSE:
		ev.kind = EV_REFUSE;
		ev.refuse.code = m.refuse.code;
		ev.refuse.text = m.refuse.text;
		break;
	case WIRE_ROSTER:
		ev.kind = EV_ROSTER;
		ev.message.bytes = message;
		break;
	case WIRE_ACK:
		ev.kind = EV_ACK;
		ev.message.bytes = message;
		break;
	case WIRE_VECTOR:
		ev.kind = EV_VECTOR;
		ev.vector.take_applied = m.vector.applied;
		ev.vector.heads = m.vector.heads;
		ev.vector.roster = m.vector.roster;
		break;
	default:
		ev.kind = m.type == WIRE_WANT ? EV_WANT : m.type == WIRE_NO ? EV_NO : EV_CANCEL;
		ev.names.at = m.names.at;
		ev.names.count = m.names.count;
		break;
	}
	return pair_step(s, &ev);
}

bool pair_run_one(struct pair *p)
{
	if (!p->queue_count)
		return false;
	struct pair_message m = p->queue[0];
	memmove(p->queue, p->queue + 1, --p->queue_count * sizeof(m));
	if (!m.to->deaf && m.to->node && p->session)
		m.to->last = deliver(m.to, (struct bytes){m.at, m.len});
	free(m.at);
	return true;
}

/* What a step left to a tick that is to come at once. */
static bool tick_now(struct side *s)
{
	struct event ev = {.kind = EV_TICK};

	if (!s->node || node_deadline(s->node) > 0)
		return false;
	assert_int_equal(pair_step(s, &ev), ERR_OK);
	return true;
}

void pair_run(struct pair *p)
{
	uint32_t turns = 0;

	while (pair_run_one(p) || tick_now(&p->a) || tick_now(&p->b))
		assert_true(turns++ < 100000); /* else they talk for ever */
}

/* ---- what programs do ---- */

static enum err make(struct side *s, const char *name, enum inode_type type, struct inode_id *ret)
{
	struct event ev = {.kind = EV_MAKE};

	ev.make.dir = INODE_ROOT;
	ev.make.name = bytes_text(name);
	ev.make.what = (struct make){.type = type, .mode = type == TYPE_DIR ? 0755 : 0644};
	enum err e = pair_step(s, &ev);
	if (!e)
		*ret = ev.make.inode;
	return e;
}

enum err pair_make(struct side *s, const char *name, struct inode_id *ret)
{
	return make(s, name, TYPE_FILE, ret);
}

enum err pair_mkdir(struct side *s, const char *name, struct inode_id *ret)
{
	return make(s, name, TYPE_DIR, ret);
}

uint64_t pair_open(struct side *s, struct inode_id i, bool write)
{
	struct event ev = {.kind = EV_OPEN};

	ev.open.inode = i;
	ev.open.write = write;
	assert_int_equal(pair_step(s, &ev), ERR_OK);
	return ev.open.file;
}

enum err pair_close(struct side *s, uint64_t file, bool write)
{
	struct event ev = {.kind = EV_RELEASE};

	ev.file.file = file;
	ev.file.write = write;
	return pair_step(s, &ev);
}

enum err pair_write(struct side *s, uint64_t file, uint64_t off, struct bytes data)
{
	struct event ev = {.kind = EV_WRITE};

	ev.write.file = file;
	ev.write.off = off;
	ev.write.addr = s->data.len;
	ev.write.len = (uint32_t)data.len;
	wr_bytes(&s->data, data);
	return pair_step(s, &ev);
}

enum err pair_truncate(struct side *s, uint64_t file, uint64_t size)
{
	struct event ev = {.kind = EV_TRUNCATE};

	ev.truncate.file = file;
	ev.truncate.size = size;
	return pair_step(s, &ev);
}

enum err pair_rename(struct side *s, const char *from, const char *to)
{
	struct event ev = {.kind = EV_RENAME};

	ev.rename.from_dir = ev.rename.to_dir = INODE_ROOT;
	ev.rename.from = bytes_text(from);
	ev.rename.to = bytes_text(to);
	return pair_step(s, &ev);
}

enum err pair_unlink_name(struct side *s, const char *name)
{
	struct event ev = {.kind = EV_UNLINK};

	ev.name.dir = INODE_ROOT;
	ev.name.name = bytes_text(name);
	return pair_step(s, &ev);
}

enum err pair_read(struct side *s, uint64_t file, uint64_t off, uint32_t len, uint64_t tag,
		   struct wr *w)
{
	struct piece *pieces = calloc(NODE_PIECES_MAX, sizeof(*pieces));
	struct event ev = {.kind = EV_READ};
	size_t before = w->len;

	assert_non_null(pieces);
	ev.read.file = file;
	ev.read.off = off;
	ev.read.len = len;
	ev.read.tag = tag;
	ev.read.pieces = pieces;
	enum err e = pair_step(s, &ev);
	for (uint32_t k = 0; !e && k < ev.read.count; k++)
		pair_read_piece(s, &pieces[k], w);
	if (!e) {
		assert_false(ev.read.more);
		assert_int_equal(w->len - before, ev.read.len);
	}
	free(pieces);
	return e;
}

struct inode_id pair_put(struct side *s, const char *name, struct bytes content)
{
	struct inode_id i = {0};

	assert_int_equal(pair_make(s, name, &i), ERR_OK);
	uint64_t file = pair_open(s, i, true);
	if (content.len)
		assert_int_equal(pair_write(s, file, 0, content), ERR_OK);
	assert_int_equal(pair_close(s, file, true), ERR_OK);
	return i;
}

/* ---- what they see ---- */

enum err pair_lookup(struct side *s, const char *name, struct shown *ret)
{
	return view_lookup(node_view(s->node), INODE_ROOT, bytes_text(name), ret);
}

uint32_t pair_entries(struct side *s)
{
	uint8_t last[NAME_BYTES_MAX];
	struct bytes after = {last, 0};
	struct shown at;
	uint32_t count = 0;

	for (; view_next(node_view(s->node), INODE_ROOT, after, &at) == ERR_OK; count++) {
		memcpy(last, at.name, at.name_len);
		after.len = at.name_len;
	}
	return count;
}

void pair_digest(struct side *s, struct hash *ret)
{
	assert_int_equal(view_digest(node_view(s->node), ret), ERR_OK);
}

void pair_same(struct pair *p)
{
	struct hash a, b;

	pair_digest(&p->a, &a);
	pair_digest(&p->b, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	node_check(p->a.node);
	node_check(p->b.node);
}
