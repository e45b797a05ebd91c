// SPDX-License-Identifier: MIT
/*
 * log_dots.c - which bundle a record travelled in, and those that travelled in two
 *
 * A device that ends uncleanly leaves records behind that travel later, under their old dots, in
 * bundles of its next incarnation.  When its store was restored from an image, the life that the
 * image was taken from may have published the same records already.  Whichever bundle comes first
 * applies them; the other's are the same and are skipped, but whoever had seen either bundle has
 * seen the record.
 *
 * I1  every applied record has its dot in a run of TABLE_DOTS, with the bundle it was applied from
 * I2  only incarnations marked `borrowed` have dots that travelled in another's bundles
 */
#include "core/log_impl.h"

/* One row for a run of consecutive operations. */
static enum err put_run(struct log *l, enum table t, struct dot first, uint64_t last,
			struct where in)
{
	struct step_key k;
	uint8_t value[24];
	struct wr w = {.at = value, .room = sizeof(value)};

	step_key_init(&k, (uint8_t)t);
	step_key_u64(&k, first.inc);
	step_key_u64(&k, last);
	wr_u64(&w, first.op);
	wr_u64(&w, in.inc);
	wr_u64(&w, in.seq);
	return kv_put(l->kv, step_key_view(&k), wr_view(&w));
}

static bool find(struct log *l, enum table t, struct dot dot, struct where *ret)
{
	struct step_key k;
	struct bytes key, value;

	step_key_init(&k, (uint8_t)t);
	step_key_u64(&k, dot.inc);
	step_key_u64(&k, dot.op);
	if (kv_next_in(l->kv, step_key_view(&k), 9, false, &key, &value) != ERR_OK)
		return false;
	struct rd r = rd_of(value);
	uint64_t first = rd_u64(&r), inc = rd_u64(&r), seq = rd_u64(&r);
	if (!rd_done(&r) || first > dot.op)
		return false;
	*ret = (struct where){inc, seq};
	return true;
}

bool log_dots_find(struct log *l, struct dot dot, struct where *ret)
{
	return find(l, TABLE_DOTS, dot, ret);
}

bool log_applied_dot(struct log *l, struct dot dot)
{
	struct where in;

	return log_dots_find(l, dot, &in);
}

struct where log_where(void *arg, struct dot dot)
{
	struct log *l = arg;
	struct where in;

	return find(l, TABLE_OWN, dot, &in) ? in : (struct where){l->current, 0};
}

/* The dots of one bundle, in its order; those that were applied before are left out. */
enum err log_dots_note(struct log *l, enum table t, const struct log_dots *d)
{
	enum err e = ERR_OK;

	for (uint32_t a = 0, b; a < d->count && !e; a = b) {
		struct where old;
		b = a + 1;
		if (t == TABLE_DOTS && log_dots_suspect(l, d->at[a], d->in.inc) &&
		    find(l, t, d->at[a], &old))
			continue;
		while (b < d->count && d->at[b].inc == d->at[a].inc &&
		       d->at[b].op == d->at[b - 1].op + 1 &&
		       !(t == TABLE_DOTS && log_dots_suspect(l, d->at[b], d->in.inc)))
			b++;
		e = put_run(l, t, d->at[a], d->at[b - 1].op, d->in);
	}
	return e;
}

/* Whether a dot in a bundle of inc may have been applied from another bundle (I2). */
bool log_dots_suspect(const struct log *l, struct dot dot, uint64_t inc)
{
	const struct log_inc *i = log_inc_of(l, dot.inc);

	return dot.inc != inc || (i && i->borrowed);
}

enum err log_dots_again(struct log *l, struct dot dot, struct where in)
{
	struct step_key k;

	step_key_init(&k, TABLE_AGAIN);
	step_key_u64(&k, dot.inc);
	step_key_u64(&k, dot.op);
	step_key_u64(&k, in.inc);
	step_key_u64(&k, in.seq);
	l->again = true;
	return kv_put(l->kv, step_key_view(&k), (struct bytes){(const uint8_t *)"", 0});
}

/*
 * Where own records travel.  One that came in a bundle of another life while this one was being
 * sealed stays where it was applied from, as in a replay, in which that bundle comes first.
 */
enum err log_dots_own(struct log *l, const struct log_dots *d)
{
	struct where first;
	bool twice = false;
	enum err e = ERR_OK;

	for (uint32_t k = 0; k < d->count && !twice; k++)
		twice = log_dots_suspect(l, d->at[k], d->in.inc) &&
			log_dots_find(l, d->at[k], &first);
	if (!twice)
		return log_dots_note(l, TABLE_OWN, d);
	for (uint32_t k = 0; k < d->count && !e; k++)
		if (log_dots_suspect(l, d->at[k], d->in.inc) && log_dots_find(l, d->at[k], &first))
			e = log_dots_again(l, d->at[k], d->in);
		else
			e = log_dots_note(l, TABLE_OWN, &(struct log_dots){&d->at[k], 1, d->in});
	return e;
}

/* Further bundles that the record travelled in: the k-th, from 0. */
bool log_also(void *arg, struct dot dot, uint32_t k, struct where *ret)
{
	struct log *l = arg;
	struct step_key at;
	struct bytes key, value;
	bool beyond = false;

	if (!l->again)
		return false;
	step_key_init(&at, TABLE_AGAIN);
	step_key_u64(&at, dot.inc);
	step_key_u64(&at, dot.op);
	for (uint32_t n = 0;; n++, beyond = true) {
		if (kv_next_in(l->kv, step_key_view(&at), 17, beyond, &key, &value) != ERR_OK)
			return false;
		struct rd r = {.at = key.at + 17, .end = key.at + key.len};
		struct where in = {rd_be64(&r), 0};
		in.seq = rd_be64(&r);
		if (n == k) {
			*ret = in;
			return true;
		}
		at.len = 17;
		step_key_u64(&at, in.inc);
		step_key_u64(&at, in.seq);
	}
}

/* ---- what a record refers to ---- */

/*
 * Whether an author who had applied vec can have known inode id.  One that is derived can be made
 * by many; of those the view knows which it has.  What nobody applied here is the view's to judge.
 */
static bool knew(struct log *l, const struct bundle *b, const struct vector *vec,
		 struct inode_id id)
{
	const struct log_inc *i = log_inc_of(l, id.inc);
	const struct dot made = {id.inc, id.op};
	struct where in;

	if (!i || inode_derived(id) || memcmp(&i->device, &b->head.device, sizeof(i->device)) == 0)
		return true;
	if (!i->borrowed && vector_get(vec, id.inc) >= i->applied)
		return true; /* as a rule: it had all that is known of that log */
	bool found = log_dots_find(l, made, &in), seen = !found;
	for (uint32_t k = 0; found && !seen; k++) {
		seen = vector_get(vec, in.inc) >= in.seq;
		found = log_also(l, made, k, &in);
	}
	return seen;
}

/*
 * A liar may name what it has not seen.  Members who have it by chance would apply the record, and
 * those who get it later would not: so nobody does.
 */
bool log_dots_known(struct log *l, const struct bundle *b, const struct record *r)
{
	const struct rec_inode *n = &r->ino;
	const struct rec_link *k = &r->link;

	if (r->kind == REC_INODE)
		return (!n->has_birth || knew(l, b, r->vec, n->birth.parent)) &&
		       (!n->has_origin || knew(l, b, r->vec, n->origin_inode));
	if (!knew(l, b, r->vec, r->inode))
		return false;
	return r->kind != REC_LINK || ((!k->has_place || knew(l, b, r->vec, k->place.parent)) &&
				       (!k->has_prev || knew(l, b, r->vec, k->prev.parent)));
}

void log_dots_load(struct log *l)
{
	static const uint8_t first[] = {TABLE_AGAIN};
	struct bytes key, value;

	l->again = kv_next_in(l->kv, BYTES_OF(first), 1, false, &key, &value) == ERR_OK;
}
