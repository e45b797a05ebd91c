// SPDX-License-Identifier: MIT
/*
 * test_view_hostile.c - records as no honest device writes them
 *
 * A member may sign anything that decodes.  Whatever comes, in whatever order and with whatever
 * vectors: the view neither crashes nor asserts, what it refuses leaves no trace, its rows keep
 * their invariants, and every question has an answer.
 */
#include "base/hash.h"
#include "base/rng.h"
#include "viewfix.h"

#define IDS 24

static struct inode_id any_inode(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
		return INODE_ROOT;
	case 1:
		return (struct inode_id){rng_u64(r), rng_u64(r)};
	case 2:
		return hash_copy_id((struct inode_id){1 + rng_below(r, 3), 1 + rng_below(r, IDS)},
				    (struct dot){1 + rng_below(r, 3), 1 + rng_below(r, IDS)});
	default:
		return (struct inode_id){1 + rng_below(r, 3), 1 + rng_below(r, IDS)};
	}
}

static struct place any_place(struct rng *r)
{
	static const char *const names[] = {"a", "b", "c.txt", ".d", "a (conflict A x)"};

	return (struct place){any_inode(r), bytes_text(names[rng_below(r, ARRAY_LEN(names))])};
}

static void any_link(struct rng *r, struct record *rec)
{
	rec->link.name = (struct name_id){rng_below(r, 4), rng_below(r, 3), rng_below(r, 2)};
	rec->link.has_place = rng_below(r, 3) > 0;
	rec->link.has_prev = rng_below(r, 2);
	rec->link.pinned = rng_below(r, 3) == 0;
	rec->link.place = any_place(r);
	rec->link.prev = any_place(r);
}

static void any_record(struct rng *r, struct record *rec, struct dot bases[4], struct wr *text)
{
	static const char *const words[] = {"0", "1", "2", "3"};
	const char *word = words[rng_below(r, ARRAY_LEN(words))];

	*rec = (struct record){.kind = (uint8_t)(1 + rng_below(r, 5)), .inode = any_inode(r)};
	rec->dot = (struct dot){1 + rng_below(r, 3), 1 + rng_below(r, IDS * 4)};
	rec->t = rng_below(r, 200);
	rec->wall_ms = (int64_t)rng_u64(r);
	rec->in = (struct where){1 + rng_below(r, 3), rng_below(r, 20)};
	wr_reset(text);
	manifest_inline(text, bytes_text(word));
	for (int k = 0; k < 4; k++)
		bases[k] = (struct dot){1 + rng_below(r, 3), 1 + rng_below(r, IDS * 4)};
	if (rec->kind == REC_INODE) {
		if (rng_below(r, 4))
			rec->inode = (struct inode_id){rec->dot.inc, rec->dot.op};
		rec->ino.type = (enum inode_type)(1 + rng_below(r, 4));
		rec->ino.target = bytes_text(word);
		rec->ino.born = (struct stamp){rng_below(r, 50), rng_below(r, 3)};
		rec->ino.has_birth = rng_below(r, 8) > 0;
		rec->ino.birth = any_place(r);
		rec->ino.has_origin = rng_below(r, 5) == 0;
		rec->ino.origin_inode = any_inode(r);
		rec->ino.origin.dot = bases[0];
		rec->ino.origin.t = rng_below(r, 200);
		rec->ino.origin.in = (struct where){1 + rng_below(r, 3), rng_below(r, 20)};
		rec->ino.origin.content = wr_view(text);
		if (rec->ino.has_origin && rng_below(r, 8))
			rec->inode = hash_copy_id(rec->ino.origin_inode, bases[0]);
	} else if (rec->kind == REC_LINK) {
		any_link(r, rec);
	} else if (rec->kind == REC_CONTENT) {
		rec->content.bases = bases;
		rec->content.bases_count = (uint32_t)rng_below(r, 5);
		rec->content.dropped = rng_below(r, 4) == 0;
		rec->content.content = wr_view(text);
	} else if (rec->kind == REC_ATTR) {
		rec->attr.field = ATTR_MODE;
		rec->attr.mode = (uint32_t)rng_u64(r);
	}
}

static struct vector *any_vector(struct rng *r)
{
	struct where at[3];
	uint32_t count = 0;

	for (uint64_t inc = 1; inc <= 3; inc++)
		if (rng_below(r, 2))
			at[count++] = (struct where){inc, 1 + rng_below(r, 20)};
	return vector_new(at, count);
}

/* Every question about everything. */
static void ask_all(struct fix *f, struct rng *r)
{
	struct shown s;
	struct view_attr a;
	struct hash h;
	static char path[8192];

	for (int k = 0; k < 20; k++) {
		struct inode_id i = any_inode(r);
		struct place p = any_place(r);
		struct dot dots[8];
		uint32_t count;
		(void)!view_find(f->v, i, &s);
		(void)!view_stat(f->v, i, &a);
		(void)!view_path(f->v, i, path, sizeof(path));
		(void)!view_bases(f->v, i, dots, 8, &count);
		(void)!view_lookup(f->v, p.parent, p.name, &s);
		(void)!view_next(f->v, p.parent, p.name, &s);
	}
	assert_int_equal(view_digest(f->v, &h), ERR_OK);
}

/* Some entry that is shown, reached from the root; false in an empty tree. */
static bool any_entry(struct fix *f, struct rng *r, struct shown *ret)
{
	struct inode_id dir = INODE_ROOT;
	bool found = false;

	for (int depth = 0; depth < 4; depth++) {
		struct shown s;
		uint64_t skip = rng_below(r, 6);
		struct bytes after = {NULL, 0};
		bool here = false;
		while (view_next(f->v, dir, after, &s) == ERR_OK) {
			*ret = s;
			after = (struct bytes){ret->name, ret->name_len};
			found = here = true;
			if (skip-- == 0)
				break;
		}
		if (!here || ret->type != TYPE_DIR || rng_below(r, 3) == 0)
			break;
		dir = ret->id;
	}
	return found;
}

/* A local operation on what is shown: none may fail for another reason than POSIX has. */
static void operate(struct fix *f, struct rng *r)
{
	struct inode_id dir = any_inode(r), i;
	struct place p = any_place(r), q = any_place(r);
	struct make what = {.type = rng_below(r, 2) ? TYPE_FILE : TYPE_DIR, .mode = 0644};
	unsigned flags = (unsigned)rng_below(r, 3);
	enum err e = ERR_OK;
	struct shown s = {.id = dir}, o;

	if (any_entry(f, r, &s)) {
		dir = s.at;
		p.name = (struct bytes){s.name, s.name_len};
	}
	if (rng_below(r, 2) && any_entry(f, r, &o))
		q = (struct place){o.at, {o.name, o.name_len}};
	switch (rng_below(r, 6)) {
	case 0:
		e = local_make(f->v, &f->e, dir, p.name, &what, &i);
		break;
	case 1:
		e = local_unlink(f->v, &f->e, dir, p.name);
		break;
	case 2:
		e = local_rmdir(f->v, &f->e, dir, p.name);
		break;
	case 3:
		e = local_rename(f->v, &f->e, &(struct place){dir, p.name},
				 &(struct place){q.parent, q.name}, flags);
		break;
	case 4:
		e = local_edit(f->v, &f->e, s.id);
		break;
	default:
		e = local_link(f->v, &f->e, s.id, q.parent, q.name);
		break;
	}
	assert_true(e != ERR_MALFORMED && e != ERR_IO && e != ERR_DAMAGED);
}

static void storm(uint64_t seed)
{
	struct fix *f = fix_new();
	struct rng r;
	struct wr text = {0};
	struct dot bases[4];
	struct record rec;
	uint32_t taken = 0;

	f->inc = 7;
	rng_init_number(&r, seed);
	for (int k = 0; k < 400; k++) {
		struct hash before, after;
		struct vector *vec = any_vector(&r);
		assert_non_null(vec);
		any_record(&r, &rec, bases, &text);
		if (rec.kind <= REC_CONTENT && rng_below(&r, 2)) /* mostly those that exist */
			rec.t += (uint64_t)k;
		rec.vec = vec;
		bool look = k % 16 == 0;
		if (look)
			assert_int_equal(view_digest(f->v, &before), ERR_OK);
		enum err e = view_apply(f->v, &rec);
		assert_true(e == ERR_OK || e == ERR_MALFORMED);
		if (look && e) {
			assert_int_equal(view_digest(f->v, &after), ERR_OK);
			assert_memory_equal(&before, &after, sizeof(before));
		}
		taken += e == ERR_OK;
		if (rng_below(&r, 4) == 0)
			operate(f, &r);
		if (k % 8 == 0)
			view_check(f->v);
		vector_unref(vec);
	}
	assert_true(taken > 20);
	ask_all(f, &r);
	wr_fini(&text);
	fix_free(f);
}

static void test_view_survives_hostile_records(void **state)
{
	(void)state;
	const char *from = getenv("SEED"), *many = getenv("SEEDS");
	uint64_t seed = from ? strtoull(from, NULL, 10) : 1;
	uint64_t count = many ? strtoull(many, NULL, 10) : 150;

	for (uint64_t k = 0; k < count; k++)
		storm(seed + k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view_survives_hostile_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
