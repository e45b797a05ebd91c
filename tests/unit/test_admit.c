// SPDX-License-Identifier: MIT
/* test_admit.c - who is let in, who is not, and what those may do who only read */
#include "core/admit.h"
#include "core/tables.h"
#include "pair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>
#undef fail

#define WALL_MS INT64_C(1793000000000)

static enum err invite(struct side *s, uint8_t number, enum role role, int64_t expires_ms)
{
	struct event ev = {.kind = EV_INVITE};

	ev.invite.secret[0] = number;
	ev.invite.role = role;
	ev.invite.expires_ms = expires_ms;
	return pair_step(s, &ev);
}

/* B asks to be let in with that invitation. */
static void ask(struct pair *p, uint8_t number)
{
	const uint8_t secret[32] = {number};

	p->b.refused = 0;
	pair_link_to_join(p, secret);
	pair_run(p);
}

static enum err admit(struct pair *p, enum member_kind what, enum role role)
{
	struct event ev = {.kind = EV_ADMIT};

	ev.member.what = what;
	ev.member.subject = p->b.config.device.pub;
	ev.member.role = role;
	return pair_step(&p->a, &ev);
}

static enum role role_of_b(struct side *asked)
{
	return node_role(asked->node, &asked->pair->b.config.device.pub);
}

/* An invitation lets in whoever holds it, with the role it says; both then know of each other. */
static void test_invited(void **state)
{
	const enum role roles[] = {ROLE_READER, ROLE_WRITER, ROLE_ADMIN};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(roles); k++) {
		struct pair p;
		struct node_member m[4];
		char name[MEMBER_NAME_MAX + 1];
		pair_init(&p, ROLE_NONE);
		pair_put(&p.a, "f", bytes_text("was here before"));
		assert_false(node_is_member(p.b.node));
		assert_int_equal(invite(&p.a, 9, roles[k], WALL_MS + 10000), ERR_OK);
		ask(&p, 9);
		assert_int_equal(p.b.did[ACT_JOINED], 1);
		assert_int_equal(p.b.did[ACT_REFUSED], 0);
		assert_true(node_is_member(p.b.node));
		assert_int_equal(role_of_b(&p.a), roles[k]);
		assert_int_equal(role_of_b(&p.b), roles[k]);
		assert_int_equal(node_members(p.b.node, m, 4), 2);
		for (uint32_t n = 0; n < 2; n++)
			assert_string_equal(m[n].name, m[n].self ? p.b.config.device_name
								 : p.a.config.device_name);
		assert_true(node_folder_name(p.b.node, name));
		assert_string_equal(name, "folder");
		pair_same(&p);
		pair_fini(&p);
	}
}

/* An invitation that is unknown or expired lets nobody in. */
static void test_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_NONE);
	ask(&p, 9);
	assert_int_equal(p.b.refused, REFUSE_UNKNOWN);
	assert_int_equal(invite(&p.a, 9, ROLE_ADMIN, WALL_MS - 1), ERR_OK);
	ask(&p, 9);
	assert_int_equal(p.b.refused, REFUSE_EXPIRED);
	ask(&p, 10);
	assert_int_equal(p.b.refused, REFUSE_UNKNOWN);
	assert_int_equal(role_of_b(&p.a), ROLE_NONE);
	assert_false(node_is_member(p.b.node));
	assert_int_equal(p.b.did[ACT_JOINED], 0);
	/* At the moment that it names it still holds. */
	pair_unlink(&p);
	const int64_t now_ms = WALL_MS + (int64_t)(p.now / 1000);
	assert_int_equal(invite(&p.a, 11, ROLE_READER, now_ms), ERR_OK);
	ask(&p, 11);
	assert_int_equal(role_of_b(&p.a), ROLE_READER);
	pair_fini(&p);
}

/* An invitation is for one device: used, it lets no other in, not even after its user is removed;
 * but the same device may ask again, if the answer was lost. */
static void test_used(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_NONE);
	assert_int_equal(invite(&p.a, 9, ROLE_WRITER, WALL_MS + 1000000), ERR_OK);
	p.b.deaf = true;
	ask(&p, 9);
	p.b.deaf = false;
	assert_int_equal(role_of_b(&p.a), ROLE_WRITER);
	assert_false(node_is_member(p.b.node));
	ask(&p, 9);
	assert_true(node_is_member(p.b.node));
	assert_int_equal(p.b.did[ACT_REFUSED], 0);
	/* Another device with the same invitation. */
	pair_unlink(&p);
	pair_stop(&p.b);
	p.b.frames_count = 0;
	uint8_t seed[32] = {44};
	sign_pair_init(&p.b.config.device, seed);
	pair_start(&p.b, false);
	ask(&p, 9);
	assert_int_equal(p.b.refused, REFUSE_USED);
	assert_int_equal(role_of_b(&p.a), ROLE_NONE);
	pair_fini(&p);
}

/* An invitation survives a crash of who gave it out, and so does that it was used. */
static void test_invitations_are_kept(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ROLE_NONE);
	assert_int_equal(invite(&p.a, 9, ROLE_WRITER, WALL_MS + 1000000), ERR_OK);
	pair_stop(&p.a);
	pair_start(&p.a, false);
	ask(&p, 9);
	assert_true(node_is_member(p.b.node));
	pair_unlink(&p);
	pair_stop(&p.a);
	pair_start(&p.a, false);
	assert_int_equal(role_of_b(&p.a), ROLE_WRITER);
	pair_fini(&p);
}

/* The proof is of this session and this device: copied from another it is worth nothing. */
static void test_a_copied_proof(void **state)
{
	struct pair p;
	struct wire_message m;
	struct wr w = {0};
	const uint8_t secret[32] = {9}, other[32] = {9, 1};

	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		pair_init(&p, ROLE_NONE);
		assert_int_equal(invite(&p.a, 9, ROLE_WRITER, WALL_MS + 1000000), ERR_OK);
		pair_link_to_join(&p, secret);
		assert_int_equal(p.queue_count, 1);
		wr_reset(&w);
		wr_raw(&w, p.queue[0].at, p.queue[0].len);
		assert_int_equal(wire_decode(wr_view(&w), &m), ERR_OK);
		assert_int_equal(m.type, WIRE_JOIN);
		if (turn == 0) /* in another session */
			pair_link_to_join(&p, other);
		else /* for another device */
			m.join.device.b[0] ^= 1;
		pair_forget(&p);
		struct wr forged = {0};
		wire_encode(&forged, &m);
		pair_send(&p.a, wr_view(&forged));
		wr_fini(&forged);
		pair_run(&p);
		assert_int_equal(p.b.refused, REFUSE_UNKNOWN);
		assert_int_equal(role_of_b(&p.a), ROLE_NONE);
		pair_fini(&p);
	}
	wr_fini(&w);
}

/* Only an admin invites, changes roles and removes. */
static void test_only_admins(void **state)
{
	const enum role roles[] = {ROLE_READER, ROLE_WRITER};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(roles); k++) {
		struct pair p;
		struct event ev = {.kind = EV_ADMIT};
		pair_init(&p, roles[k]);
		assert_int_equal(invite(&p.b, 3, ROLE_ADMIN, INT64_MAX), ERR_REFUSED);
		ev.member.what = MEMBER_REMOVE;
		ev.member.subject = p.a.config.device.pub;
		assert_int_equal(pair_step(&p.b, &ev), ERR_REFUSED);
		ev.member.what = MEMBER_ROLE;
		ev.member.subject = p.b.config.device.pub;
		ev.member.role = ROLE_ADMIN;
		assert_int_equal(pair_step(&p.b, &ev), ERR_REFUSED);
		assert_int_equal(role_of_b(&p.a), roles[k]);
		assert_int_equal(role_of_b(&p.b), roles[k]);
		pair_fini(&p);
	}
}

/* What one says of members the other hears, at once or when they meet. */
static void test_the_roster_spreads(void **state)
{
	struct pair p;
	struct event ev = {.kind = EV_ADDR};
	struct node_member m[2];

	(void)state;
	pair_init(&p, ROLE_WRITER);
	ev.addr.text = bytes_text("here:7");
	assert_int_equal(pair_step(&p.b, &ev), ERR_OK);
	pair_run(&p);
	assert_int_equal(p.a.did[ACT_KEEP], 1);
	assert_int_equal(node_members(p.a.node, m, 2), 2);
	assert_string_equal(m[m[0].self ? 1 : 0].addr, "here:7");
	uint32_t frames = p.b.frames_count;
	assert_int_equal(pair_step(&p.b, &ev), ERR_OK); /* the same again is nothing new */
	assert_int_equal(p.b.frames_count, frames);
	pair_unlink(&p);
	assert_int_equal(admit(&p, MEMBER_ROLE, ROLE_ADMIN), ERR_OK);
	ev.addr.text = bytes_text("there:8");
	assert_int_equal(pair_step(&p.b, &ev), ERR_OK);
	assert_int_equal(role_of_b(&p.b), ROLE_WRITER);
	pair_link(&p);
	pair_run(&p);
	assert_int_equal(role_of_b(&p.b), ROLE_ADMIN);
	assert_int_equal(node_members(p.a.node, m, 2), 2);
	assert_string_equal(m[m[0].self ? 1 : 0].addr, "there:8");
	pair_fini(&p);
}

/* A reader changes nothing: not the tree, not contents, not attributes; it reads. */
static void test_a_reader_reads(void **state)
{
	struct pair p;
	struct inode_id i;
	struct event ev = {.kind = EV_OPEN};
	struct wr got = {0};

	(void)state;
	pair_init(&p, ROLE_READER);
	i = pair_put(&p.a, "f", bytes_text("words"));
	pair_run(&p);
	uint32_t frames = p.b.frames_count;
	struct inode_id d;
	assert_int_equal(pair_mkdir(&p.b, "d", &d), ERR_ROFS);
	assert_int_equal(pair_make(&p.b, "g", &d), ERR_ROFS);
	assert_int_equal(pair_rename(&p.b, "f", "g"), ERR_ROFS);
	assert_int_equal(pair_unlink_name(&p.b, "f"), ERR_ROFS);
	ev.open.inode = i;
	ev.open.write = true;
	assert_int_equal(pair_step(&p.b, &ev), ERR_ROFS);
	uint64_t f = pair_open(&p.b, i, false);
	assert_int_equal(pair_write(&p.b, f, 0, bytes_text("x")), ERR_ROFS);
	assert_int_equal(pair_truncate(&p.b, f, 0), ERR_ROFS);
	ev = (struct event){.kind = EV_SETATTR};
	ev.setattr.inode = i;
	ev.setattr.set_mode = true;
	assert_int_equal(pair_step(&p.b, &ev), ERR_ROFS);
	assert_int_equal(p.b.frames_count, frames);
	assert_int_equal(pair_read(&p.b, f, 0, 100, 0, &got), ERR_OK);
	assert_true(bytes_equal(wr_view(&got), bytes_text("words")));
	wr_fini(&got);
	pair_same(&p);
	pair_fini(&p);
}

/* A bundle as a modified program of B's would make it: it makes a directory. */
static void send_own_bundle(struct pair *p, const struct hash *roster)
{
	struct action a = {.kind = ACT_BUNDLE};
	struct bundle_head *h = &a.bundle.head;
	struct record r = {.kind = REC_INODE, .ino = {.type = TYPE_FILE}};
	struct seal_keys keys;
	struct wr body = {0}, message = {0};
	struct node_keys k;

	node_keys(p->b.node, &k);
	keys = k.newest;
	h->folder = p->b.config.folder;
	h->device = p->b.config.device.pub;
	h->nonce = 99;
	h->inc = hash_incarnation(&h->folder, &h->device, h->nonce);
	h->seq = 1;
	h->roster = *roster;
	h->epoch = keys.epoch;
	h->delta = vector_new(NULL, 0);
	r.dot = (struct dot){h->inc, 1};
	r.t = UINT64_C(1) << 50;
	r.inode = (struct inode_id){h->inc, 1};
	r.ino.born = (struct stamp){r.t, h->inc};
	record_encode(&body, &r);
	a.bundle.body = wr_take(&body, &a.bundle.len);
	size_t len;
	uint8_t *raw = pair_raw_bundle(&keys, &p->b.config.device, &a, &len);
	wr_u8(&message, WIRE_BUNDLE);
	wr_raw(&message, raw, len);
	pair_send(&p->a, wr_view(&message));
	pair_run(p);
	wr_fini(&message);
	free(raw);
	free(a.bundle.body);
	vector_unref(h->delta);
}

/* The hash of the last roster record in A's journal: the head of its roster. */
static struct hash head_of(struct pair *p)
{
	struct rd r = rd_of(wr_view(&p->a.journal));
	struct hash h = {{0}};

	while (rd_left(&r)) {
		uint8_t kind = rd_u8(&r);
		struct bytes entry = rd_bytes(&r, rd_u32(&r));
		if (kind == J_ROSTER)
			hash_blake(entry, &h);
	}
	return h;
}

/* A reader's bundle is refused even when its program is not ours: nothing changes, and nobody is
 * dropped for having passed it on; a writer's is taken. */
static void test_a_readers_bundle(void **state)
{
	(void)state;
	for (int writer = 0; writer < 2; writer++) {
		struct pair p;
		struct hash before, after;
		pair_init(&p, writer ? ROLE_WRITER : ROLE_READER);
		struct hash head = head_of(&p);
		uint32_t frames = p.a.frames_count, reports = p.a.did[ACT_REPORT];
		uint64_t inodes = view_inodes(node_view(p.a.node));
		pair_digest(&p.a, &before);
		send_own_bundle(&p, &head);
		pair_digest(&p.a, &after);
		assert_int_equal(p.a.last, ERR_OK);
		assert_int_equal(p.a.did[ACT_DROP], 0);
		assert_int_equal(p.a.frames_count - frames, writer);
		assert_int_equal(p.a.did[ACT_REPORT] - reports, !writer);
		assert_int_equal(view_inodes(node_view(p.a.node)) - inodes, writer);
		assert_memory_equal(&before, &after, sizeof(before)); /* it has no name */
		pair_fini(&p);
	}
}

/* A writer that becomes a reader may change nothing more, and one that is a writer again may. */
static void test_roles_change(void **state)
{
	struct pair p;
	struct inode_id d;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_mkdir(&p.b, "one", &d), ERR_OK);
	pair_run(&p);
	assert_int_equal(admit(&p, MEMBER_ROLE, ROLE_READER), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_mkdir(&p.b, "two", &d), ERR_ROFS);
	assert_int_equal(admit(&p, MEMBER_ROLE, ROLE_WRITER), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_mkdir(&p.b, "three", &d), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), 2);
	pair_same(&p);
	pair_fini(&p);
}

/* What a removed device does after its removal stays its own. */
static void test_removed(void **state)
{
	struct pair p;
	struct inode_id d;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(pair_mkdir(&p.b, "before", &d), ERR_OK);
	pair_run(&p);
	pair_unlink(&p);
	assert_int_equal(admit(&p, MEMBER_REMOVE, ROLE_NONE), ERR_OK);
	assert_int_equal(role_of_b(&p.a), ROLE_NONE);
	assert_int_equal(pair_mkdir(&p.b, "after", &d), ERR_OK); /* it does not know yet */
	pair_link(&p);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.a), 1);
	struct shown at;
	assert_int_equal(pair_lookup(&p.a, "before", &at), ERR_OK);
	assert_int_equal(admit(&p, MEMBER_REMOVE, ROLE_NONE), ERR_REFUSED); /* it is out */
	pair_fini(&p);
}

/* Who is removed while connected hears no more. */
static void test_removed_while_connected(void **state)
{
	struct pair p;
	struct inode_id d;

	(void)state;
	pair_init(&p, ROLE_WRITER);
	assert_int_equal(admit(&p, MEMBER_REMOVE, ROLE_NONE), ERR_OK);
	assert_int_equal(p.a.did[ACT_DROP], 1);
	pair_run(&p);
	assert_int_equal(pair_mkdir(&p.a, "secret", &d), ERR_OK);
	pair_run(&p);
	assert_int_equal(pair_entries(&p.b), 0);
	pair_fini(&p);
}

/* A founding names a folder: bad names are refused, and each folder has another id. */
static void test_found(void **state)
{
	struct node_config c = {.device_name = "dev"}, d = c;
	struct wr journal = {0};
	uint8_t seed[32] = {3};

	(void)state;
	sign_pair_init(&c.device, seed);
	d.device = c.device;
	assert_int_equal(node_found(&c, bytes_text(""), 5, &journal), ERR_INVAL);
	assert_int_equal(node_found(&c, bytes_text("a\nb"), 5, &journal), ERR_INVAL);
	assert_int_equal(journal.len, 0);
	assert_int_equal(node_found(&c, bytes_text("one"), 5, &journal), ERR_OK);
	assert_true(journal.len > 0);
	assert_int_equal(node_found(&d, bytes_text("two"), 5, &journal), ERR_OK);
	assert_memory_not_equal(&c.folder, &d.folder, sizeof(c.folder));
	wr_fini(&journal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invited),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_used),
		cmocka_unit_test(test_invitations_are_kept),
		cmocka_unit_test(test_a_copied_proof),
		cmocka_unit_test(test_only_admins),
		cmocka_unit_test(test_the_roster_spreads),
		cmocka_unit_test(test_a_reader_reads),
		cmocka_unit_test(test_a_readers_bundle),
		cmocka_unit_test(test_roles_change),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_removed_while_connected),
		cmocka_unit_test(test_found),
	};

	seal_use_fake(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
