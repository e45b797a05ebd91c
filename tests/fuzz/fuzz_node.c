// SPDX-License-Identifier: MIT
/*
 * fuzz_node.c - a replica among members that mean no good, and one that hears them in another order
 *
 * The input is a program.  Its first byte says how the members behave; each instruction after it
 * writes a record into a member's open bundle, closes that bundle, lets the member see another's
 * log, sends a raw wire message, or does something on the mount of the first node.
 *
 * Whatever they send, the first node must stay sound.  As long as the members name only what they
 * have seen (HONEST), a second node that gets the same bundles in another order must come to the
 * same tree (invariant I2 of the design), as must one that replays the first one's journal.
 */
#include "hostile.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum behaviour {
	HONEST = 1, /* refers to what it has seen, clocks rise */
	LOCAL = 2 /* the first node works too, so the second cannot be compared */
};

/* ---- records ---- */

static struct thing *thing_of(struct world *w, const struct member *m)
{
	uint8_t at = rd_u8(&w->in);

	if (!w->count)
		return NULL;
	struct thing *t = &w->things[at % w->count];
	return hostile_sees(w, m, t->in) ? t : NULL;
}

static struct place place_of(struct world *w, struct member *m, uint8_t letters[4])
{
	const struct thing *dir = thing_of(w, m);
	uint8_t name = rd_u8(&w->in);
	struct place p = {.parent = INODE_ROOT};

	letters[0] = (uint8_t) "aAbB"[name & 3];
	letters[1] = '.';
	letters[2] = 'x';
	if (dir && (dir->type == TYPE_DIR || !w->honest) && !(name & 0x80))
		p.parent = dir->inode;
	p.name = (struct bytes){letters, name & 4 ? 3 : 1};
	return p;
}

static uint64_t tick(struct world *w, struct member *m)
{
	uint8_t by = rd_u8(&w->in);

	if (w->honest)
		return m->t += 1 + (by & 3);
	switch (by & 7) {
	case 0:
		return m->t -= 5;
	case 1:
		return UINT64_MAX - (by >> 3);
	case 2:
		return by >> 3;
	default:
		return m->t += by & 3;
	}
}

static void emit(struct member *m, struct record *r)
{
	struct record_arena *arena = record_arena_new();
	struct record copy;
	struct wr one = {0};
	struct rd rd;

	r->dot = (struct dot){m->inc, m->op++};
	r->wall_ms = 1792000000000 + (int64_t)m->op;
	record_encode(&one, r);
	rd = rd_of(wr_view(&one));
	assert(arena && !record_decode(&rd, arena, &copy));
	record_arena_free(arena);
	wr_bytes(&m->body, wr_view(&one));
	wr_fini(&one);
}

static struct bytes content_of(struct world *w)
{
	static const uint8_t small[3][4] = {{1, 0, 0}, {1, 1, 0, 'a'}, {1, 1, 0, 'b'}};
	uint8_t which = rd_u8(&w->in) % 3;

	return (struct bytes){small[which], which ? 4 : 3};
}

static void link_to(struct world *w, struct member *m, struct thing *t, const struct place *p,
		    bool pinned)
{
	struct record r = {.kind = REC_LINK, .inode = t->inode, .t = tick(w, m)};

	r.link.name = t->name;
	if (!t->named)
		r.link.name = t->name = (struct name_id){r.t, m->inc, 0};
	r.link.has_place = p != NULL;
	r.link.has_prev = t->named;
	r.link.pinned = pinned && p;
	r.link.prev = t->at;
	if (p)
		r.link.place = *p;
	if (!p && !t->named)
		return;
	emit(m, &r);
}

static void do_make(struct world *w, struct member *m)
{
	struct record r = {.kind = REC_INODE, .inode = {m->inc, m->op}};
	struct thing *t = &w->things[w->count];

	if (w->count == THINGS_MAX)
		return;
	memset(t, 0, sizeof(*t));
	t->type = (uint8_t)(1 + rd_u8(&w->in) % 7);
	t->inode = r.inode;
	t->in = hostile_current(w, m);
	r.t = tick(w, m);
	r.ino.type = t->type;
	r.ino.born = (struct stamp){r.t, m->inc};
	t->at = place_of(w, m, t->letters);
	t->at.name.at = t->letters;
	if (t->type == TYPE_SYMLINK)
		r.ino.target = bytes_text("target");
	r.ino.has_birth = t->type == TYPE_DIR;
	r.ino.birth = t->at;
	w->count++;
	emit(m, &r);
	if (t->type == TYPE_DIR && (rd_u8(&w->in) & 3))
		return;
	struct place p = t->at;
	link_to(w, m, t, &p, false);
	t->named = true;
}

/* A further name of the thing: known from now on as one more thing. */
static void do_link(struct world *w, struct member *m)
{
	struct thing *of = thing_of(w, m), *t = &w->things[w->count];

	if (!of || w->count == THINGS_MAX || (of->type == TYPE_DIR && w->honest))
		return;
	*t = *of;
	t->named = false;
	t->in = hostile_current(w, m);
	t->at = place_of(w, m, t->letters);
	t->at.name.at = t->letters;
	w->count++;
	struct place p = t->at;
	link_to(w, m, t, &p, false);
	t->named = true;
}

static void do_move(struct world *w, struct member *m)
{
	struct thing *t = thing_of(w, m);
	uint8_t letters[4], how = rd_u8(&w->in);
	struct place p = place_of(w, m, letters);

	if (t)
		link_to(w, m, t, how & 1 ? NULL : &p, (how & 2) != 0);
}

static void do_content(struct world *w, struct member *m)
{
	struct thing *t = thing_of(w, m);
	struct record r = {.kind = REC_CONTENT};
	uint8_t how = rd_u8(&w->in);
	struct dot base;

	if (!t || (t->type != TYPE_FILE && w->honest))
		return;
	r.inode = t->inode;
	base = t->version;
	/* an author has seen its own versions, and those of bundles before; others it may not */
	bool has = base.inc == m->inc || (base.inc && !w->honest);
	if (has && (how & 3)) {
		r.content.bases = &base;
		r.content.bases_count = 1;
	}
	r.content.dropped = r.content.bases_count && (how & 0x30) == 0x30;
	r.content.mtime_ns = how & 0x40 ? INT64_MAX : how & 0x80 ? INT64_MIN : how;
	r.content.content = content_of(w);
	if (r.content.dropped)
		r.content.content = (struct bytes){NULL, 0};
	r.t = tick(w, m);
	t->version = (struct dot){m->inc, m->op};
	t->version_t = r.t;
	t->version_seq = m->seq + 1;
	memcpy(t->version_sees, m->sees, sizeof(m->sees));
	emit(m, &r);
}

/* What the author of a version had seen. */
static struct vector *version_vector(const struct world *w, const struct thing *t)
{
	struct vector *v = vector_new(NULL, 0);

	for (int k = 0; k < MEMBERS; k++) {
		if (!t->version_sees[k])
			continue;
		struct vector *n = vector_with(v, w->members[k].inc, t->version_sees[k]);
		vector_unref(v);
		v = n;
	}
	return v;
}

static void do_attr(struct world *w, struct member *m)
{
	static uint8_t value[XATTR_VALUE_MAX_BYTES];
	const struct thing *t = thing_of(w, m);
	struct record r = {.kind = REC_ATTR, .inode = INODE_ROOT};
	uint8_t how = rd_u8(&w->in);
	uint8_t key[6] = {'u', 's', 'e', 'r', '.', 0};

	if (t)
		r.inode = t->inode;
	r.attr.field = (enum attr_field)(1 + (how & 3));
	if (r.attr.field == ATTR_MODE)
		r.attr.mode = how & 07777;
	if (r.attr.field == ATTR_OWNER)
		r.attr.owner.uid = how;
	if (r.attr.field == ATTR_TIMES)
		r.attr.mtime_ns = how & 4 ? INT64_MAX : INT64_MIN;
	if (r.attr.field == ATTR_XATTR) {
		key[5] = (uint8_t)('a' + (how >> 4));
		r.attr.xattr.key = BYTES_OF(key);
		if (how & 4)
			r.attr.xattr.value = (struct bytes){value, how & 8 ? sizeof(value) : 3};
	}
	r.t = tick(w, m);
	emit(m, &r);
}

static void do_promote(struct world *w, struct member *m)
{
	struct thing *of = thing_of(w, m), *t = &w->things[w->count];
	struct record r = {.kind = REC_INODE};
	struct stamped_attr attr = {.v = {.field = ATTR_MODE, .mode = 0600}};

	if (!of || w->count == THINGS_MAX || !of->version.inc)
		return;
	if (w->honest && (of->version.inc != m->inc || of->type != TYPE_FILE))
		return;
	r.inode = hash_copy_id(of->inode, of->version);
	r.t = tick(w, m);
	r.ino.type = TYPE_FILE;
	r.ino.has_origin = true;
	r.ino.born = (struct stamp){of->version_t, of->version.inc};
	r.ino.origin_inode = of->inode;
	r.ino.origin.dot = of->version;
	r.ino.origin.t = of->version_t;
	r.ino.origin.in = (struct where){m->inc, of->version_seq};
	if (of->version_seq == m->seq + 1)
		r.ino.origin.in.seq = 0; /* not cut yet */
	struct vector *vec = version_vector(w, of);
	r.ino.origin.vec = vec;
	r.ino.origin.content = content_of(w);
	attr.stamp = (struct stamp){r.t, m->inc};
	r.ino.attrs = &attr;
	r.ino.attrs_count = 1;
	if (w->honest) { /* what a version holds does not change: only liars say so */
		static const uint8_t empty[] = {1, 0, 0};
		r.ino.origin.content = BYTES_OF(empty);
	}
	memset(t, 0, sizeof(*t));
	t->inode = r.inode;
	t->type = TYPE_FILE;
	t->in = hostile_current(w, m);
	t->at = place_of(w, m, t->letters);
	t->at.name.at = t->letters;
	w->count++;
	emit(m, &r);
	vector_unref(vec);
	struct place p = t->at;
	link_to(w, m, t, &p, false);
	t->named = true;
}

static void do_unknown(struct world *w, struct member *m)
{
	struct record r = {.kind = 200, .inode = INODE_ROOT, .t = tick(w, m)};

	r.unknown = bytes_text("later");
	emit(m, &r);
}

/* ---- the wire ---- */

static void as_event(const struct wire_message *m, struct bytes whole, struct event *ev)
{
	switch (m->type) {
	case WIRE_JOIN:
		ev->kind = EV_JOIN;
		ev->join = m->join;
		break;
	case WIRE_REFUSE:
		ev->kind = EV_REFUSE;
		ev->refuse.code = m->refuse.code;
		ev->refuse.text = m->refuse.text;
		break;
	case WIRE_ROSTER:
		ev->kind = EV_ROSTER;
		ev->message.bytes = whole;
		break;
	case WIRE_ACK:
		ev->kind = EV_ACK;
		ev->message.bytes = whole;
		break;
	case WIRE_VECTOR:
		ev->kind = EV_VECTOR;
		ev->vector.take_applied = m->vector.applied;
		ev->vector.heads = m->vector.heads;
		ev->vector.roster = m->vector.roster;
		break;
	case WIRE_WANT:
	case WIRE_NO:
	case WIRE_CANCEL:
		ev->kind = m->type == WIRE_WANT ? EV_WANT : m->type == WIRE_NO ? EV_NO : EV_CANCEL;
		ev->names.at = m->names.at;
		ev->names.count = m->names.count;
		break;
	default:
		break;
	}
}

/* A node's plaintext, as the pool hands it over after it has opened the piece. */
static void send_piece(struct world *w, struct bytes plain)
{
	struct event ev = {.kind = EV_PIECE, .peer = SESSION};

	hash_blake(plain, &ev.piece.name);
	ev.piece.kind = SEAL_NODE;
	ev.piece.plain = plain;
	ev.piece.stored = 1;
	(void)hostile_step(w, &w->a, &ev);
}

static void do_wire(struct world *w)
{
	struct event ev = {.peer = rd_u8(&w->in) & 1 ? SESSION : SESSION + 1};
	struct bytes message = rd_bytes(&w->in, rd_u8(&w->in));
	struct wire_message m;

	if (message.len == 0)
		return;
	if (message.at[0] == 0) {
		send_piece(w, (struct bytes){message.at + 1, message.len - 1});
		return;
	}
	if (wire_decode(message, &m))
		return;
	if (m.type == WIRE_BUNDLE) {
		(void)hostile_feed(w, &w->a, m.bundle);
		return;
	}
	as_event(&m, message, &ev);
	if (ev.kind)
		(void)hostile_step(w, &w->a, &ev);
}

/* ---- the mount of the first node ---- */

static bool pick(struct world *w, struct shown *ret)
{
	struct view *v = node_view(w->a.node);
	struct inode_id dir = INODE_ROOT;
	uint8_t which = rd_u8(&w->in);

	for (int deep = 0; deep < 4; deep++) {
		struct bytes after = {NULL, 0};
		struct shown s, last;
		bool any = false;
		for (int k = 0; k <= (which & 3) && !view_next(v, dir, after, &s); k++) {
			last = s;
			any = true;
			after = (struct bytes){last.name, last.name_len};
		}
		if (!any)
			return deep > 0;
		*ret = last;
		which = (uint8_t)(which >> 2);
		if (last.type != TYPE_DIR || (which & 1))
			return true;
		dir = last.id;
	}
	return true;
}

static void do_local(struct world *w)
{
	struct shown s, to;
	struct event ev = {0};
	uint8_t how = rd_u8(&w->in);

	if (!pick(w, &s) || !pick(w, &to))
		return;
	struct bytes name = {s.name, s.name_len}, target = {to.name, to.name_len};
	switch (how % 7) {
	case 0:
		ev.kind = s.type == TYPE_DIR ? EV_RMDIR : EV_UNLINK;
		ev.name.dir = s.at;
		ev.name.name = name;
		break;
	case 1:
		ev.kind = EV_RENAME;
		ev.rename.from_dir = s.at;
		ev.rename.from = name;
		ev.rename.to_dir = to.type == TYPE_DIR && (how & 0x80) ? to.id : to.at;
		ev.rename.to = how & 0x40 ? bytes_text("moved") : target;
		ev.rename.flags = (how & 0x20) ? LOCAL_EXCHANGE : 0;
		break;
	case 2:
		ev.kind = EV_LINK;
		ev.link.inode = s.id;
		ev.link.dir = to.at;
		ev.link.name = bytes_text("linked");
		break;
	case 3:
		ev.kind = EV_SETATTR;
		ev.setattr.inode = s.id;
		ev.setattr.set_mode = ev.setattr.set_mtime = true;
		ev.setattr.mode = 0640;
		ev.setattr.mtime_ns = INT64_MIN;
		break;
	case 4:
		ev.kind = EV_RESOLVE;
		ev.resolve.dir = s.at;
		ev.resolve.name = name;
		ev.resolve.keep = how & 0x80 ? target : name;
		ev.resolve.all = (how & 0x40) != 0;
		break;
	case 5:
		ev.kind = EV_XATTR;
		ev.xattr.inode = s.id;
		ev.xattr.key = bytes_text("user.k");
		ev.xattr.value = bytes_text("v");
		break;
	default:
		ev.kind = EV_MAKE;
		ev.make.dir = to.at;
		ev.make.name = how & 0x80 ? target : bytes_text("made");
		ev.make.what.type = how & 0x40 ? TYPE_DIR : TYPE_SYMLINK;
		ev.make.what.target = bytes_text("t");
		if (how & 0x40)
			ev.make.what.target = (struct bytes){NULL, 0};
		break;
	}
	(void)hostile_step(w, &w->a, &ev);
	view_check(node_view(w->a.node));
}

/* ---- the program ---- */

static void instruction(struct world *w)
{
	uint8_t op = rd_u8(&w->in);
	struct member *m = &w->members[(op >> 4) % MEMBERS];

	switch (op & 15) {
	case 0:
	case 1:
		do_make(w, m);
		break;
	case 2:
		do_link(w, m);
		break;
	case 3:
	case 4:
		do_move(w, m);
		break;
	case 5:
	case 6:
		do_content(w, m);
		break;
	case 7:
		do_attr(w, m);
		break;
	case 8:
		do_promote(w, m);
		break;
	case 9:
		do_unknown(w, m);
		break;
	case 10:
		do_wire(w);
		break;
	case 11:
		if (w->local)
			do_local(w);
		break;
	case 12:
	case 13:
		hostile_publish(w, m);
		break;
	default:
		hostile_meet(w, m, &w->members[rd_u8(&w->in) % MEMBERS]);
		break;
	}
}

/* The same bundles, the last member's log first: what comes too early has to wait. */
static void compare_orders(struct world *w, const struct hash *want)
{
	static struct replica b; /* 8 KiB: off the stack */

	memset(&b, 0, sizeof(b));
	hostile_open(w, &b);
	hostile_start(w, &b);
	for (int k = MEMBERS; k-- > 0;)
		for (uint64_t n = 0; n < w->members[k].seq; n++) {
			enum err e = hostile_feed(w, &b, wr_view(&w->members[k].bundles[n]));
			assert(!e);
		}
	struct hash got = hostile_digest_of(&b);
	assert(memcmp(&got, want, sizeof(got)) == 0); /* I2 */
	hostile_close(&b);
}

static void compare_replay(struct world *w, const struct hash *want)
{
	static struct replica b; /* 8 KiB: off the stack */

	memset(&b, 0, sizeof(b));
	b.kv = kv_new_map();
	assert(b.kv);
	b.node = node_new(b.kv, &w->config);
	assert(b.node);
	for (uint32_t k = 0; k < w->a.frames_count; k++) {
		const struct frame *f = &w->a.frames[k];
		struct bytes payload = {w->a.journal.at + f->at, f->len};
		enum err e = node_replay(b.node, f->at, payload, hostile_open_bundle, w);
		assert(!e);
	}
	struct hash got = hostile_digest_of(&b);
	assert(memcmp(&got, want, sizeof(got)) == 0); /* I7 */
	hostile_close(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	seal_use_fake(true);
	w->in = rd_of((struct bytes){data, size});
	uint8_t behaviour = rd_u8(&w->in);
	w->honest = (behaviour & HONEST) != 0;
	w->local = (behaviour & LOCAL) != 0;
	hostile_found(w);
	for (uint32_t k = 0; k < 200 && rd_left(&w->in) && w->a.frames_count < JOURNAL_MAX / 2; k++)
		instruction(w);
	for (int k = 0; k < MEMBERS; k++)
		hostile_publish(w, &w->members[k]);
	struct hash digest = hostile_digest_of(&w->a);
	if (w->honest && !w->local)
		compare_orders(w, &digest);
	compare_replay(w, &digest);
	hostile_close(&w->a);
	for (int k = 0; k < MEMBERS; k++) {
		for (uint64_t n = 0; n < w->members[k].seq; n++)
			wr_fini(&w->members[k].bundles[n]);
		wr_fini(&w->members[k].body);
	}
	wr_fini(&w->founding);
	free(w);
	return 0;
}
