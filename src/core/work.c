// SPDX-License-Identifier: MIT
/* work.c - works as rows and journal entries: see work.h */
#include "core/work.h"
#include "core/tables.h"

struct work *work_new(uint64_t no, struct inode_id inode, uint64_t since)
{
	struct work *w = calloc(1, sizeof(*w));

	if (w) {
		w->no = no;
		w->inode = inode;
		w->since = since;
	}
	return w;
}

void work_free(struct work *w)
{
	if (!w)
		return;
	vector_unref(w->at.vec);
	wr_fini(&w->base);
	free(w);
}

static void work_key(struct step_key *k, uint64_t no, uint8_t part)
{
	step_key_init(k, TABLE_WORK);
	step_key_u64(k, no);
	step_key_u8(k, part);
}

void work_write_new(struct wr *w, const struct work *k)
{
	wr_u64(w, k->no);
	wr_u64(w, k->inode.inc);
	wr_u64(w, k->inode.op);
	wr_u64(w, k->since);
	wr_u64(w, k->over);
	wr_u64(w, k->base_version.inc);
	wr_u64(w, k->base_version.op);
	wr_u32(w, (uint32_t)k->base.len);
	wr_bytes(w, wr_view(&k->base));
	wr_u64(w, k->size);
	wr_u64(w, k->base_limit);
	wr_u64(w, (uint64_t)k->mtime_ns);
}

enum err work_read_new(struct bytes body, struct work **ret)
{
	struct rd r = rd_of(body);
	uint64_t no = rd_u64(&r), inc = rd_u64(&r), op = rd_u64(&r), since = rd_u64(&r);
	struct work *w = work_new(no, (struct inode_id){inc, op}, since);

	if (!w)
		return fail(ERR_NOMEM);
	w->over = rd_u64(&r);
	w->base_version.inc = rd_u64(&r);
	w->base_version.op = rd_u64(&r);
	wr_bytes(&w->base, rd_bytes(&r, rd_u32(&r)));
	w->size = rd_u64(&r);
	w->base_limit = rd_u64(&r);
	w->mtime_ns = (int64_t)rd_u64(&r);
	if (w->base.bad || !rd_done(&r)) {
		enum err e = w->base.bad ? fail(ERR_NOMEM) : fail(ERR_DAMAGED);
		work_free(w);
		return e;
	}
	*ret = w;
	return ERR_OK;
}

void work_write_cut(struct wr *w, const struct work *k)
{
	wr_u64(w, k->at.dot.inc);
	wr_u64(w, k->at.dot.op);
	wr_u64(w, k->at.t);
	wr_u64(w, (uint64_t)k->at.wall_ms);
	vector_encode(w, k->at.vec);
	wr_u32(w, k->bases_count);
	for (uint32_t i = 0; i < k->bases_count; i++) {
		wr_u64(w, k->bases[i].inc);
		wr_u64(w, k->bases[i].op);
	}
}

enum err work_read_cut(struct rd *r, struct work *k)
{
	struct vector *vec;

	k->at.dot.inc = rd_u64(r);
	k->at.dot.op = rd_u64(r);
	k->at.t = rd_u64(r);
	k->at.wall_ms = (int64_t)rd_u64(r);
	enum err e = vector_decode(r, &vec);
	if (e)
		return fail(ERR_DAMAGED);
	vector_unref(k->at.vec);
	k->at.vec = vec;
	k->bases_count = rd_u32(r);
	if (k->bases_count > WORK_BASES_MAX)
		return fail(ERR_DAMAGED);
	for (uint32_t i = 0; i < k->bases_count; i++) {
		k->bases[i].inc = rd_u64(r);
		k->bases[i].op = rd_u64(r);
	}
	k->cut = true;
	return rd_done(r) ? ERR_OK : fail(ERR_DAMAGED);
}

enum err work_store_static(struct kv *kv, const struct work *w)
{
	struct step_key k;
	struct wr value = {0};

	work_key(&k, w->no, 's');
	work_write_new(&value, w);
	enum err e = value.bad ? fail(ERR_NOMEM) : kv_put(kv, step_key_view(&k), wr_view(&value));
	wr_fini(&value);
	return e;
}

enum err work_store(struct kv *kv, const struct work *w)
{
	struct step_key k;
	struct wr value = {0};

	work_key(&k, w->no, 'd');
	wr_u64(&value, w->size);
	wr_u64(&value, w->base_limit);
	wr_u64(&value, (uint64_t)w->mtime_ns);
	wr_u64(&value, w->over);
	wr_u8(&value, w->cut);
	if (w->cut)
		work_write_cut(&value, w);
	enum err e = value.bad ? fail(ERR_NOMEM) : kv_put(kv, step_key_view(&k), wr_view(&value));
	wr_fini(&value);
	return e;
}

enum err work_drop(struct kv *kv, struct extents *x, const struct work *w)
{
	struct step_key k;
	enum err e = extents_cut(x, w->no, 0, UINT64_MAX);

	for (const char *part = w->beside ? "sdp" : "sd"; *part && !e; part++) {
		work_key(&k, w->no, (uint8_t)*part);
		e = kv_del(kv, step_key_view(&k));
	}
	return e;
}

enum err work_put_beside(struct kv *kv, struct work *w, const struct place *at)
{
	struct step_key k;
	uint8_t room[INODE_ID_LEN + NAME_BYTES_MAX];
	struct wr value = {.at = room, .room = sizeof(room)};

	assert(at->name.len && at->name.len <= NAME_BYTES_MAX);
	w->beside = true;
	w->beside_dir = at->parent;
	w->beside_len = (uint8_t)at->name.len;
	memcpy(w->beside_name, at->name.at, at->name.len);
	wr_u64(&value, at->parent.inc);
	wr_u64(&value, at->parent.op);
	wr_bytes(&value, at->name);
	work_key(&k, w->no, 'p');
	return kv_put(kv, step_key_view(&k), wr_view(&value));
}

static enum err read_beside(struct kv *kv, struct work *w)
{
	struct step_key k;
	struct bytes value;

	work_key(&k, w->no, 'p');
	enum err e = kv_get(kv, step_key_view(&k), &value);
	if (e)
		return e == ERR_NOENT ? ERR_OK : e;
	struct rd r = rd_of(value);
	w->beside_dir.inc = rd_u64(&r);
	w->beside_dir.op = rd_u64(&r);
	struct bytes name = rd_bytes(&r, rd_left(&r));
	if (r.bad || !name_ok(name))
		return fail(ERR_DAMAGED);
	w->beside = true;
	w->beside_len = (uint8_t)name.len;
	memcpy(w->beside_name, name.at, name.len);
	return ERR_OK;
}

static enum err read_changing(struct kv *kv, struct work *w)
{
	struct step_key k;
	struct bytes value;

	work_key(&k, w->no, 'd');
	enum err e = kv_get(kv, step_key_view(&k), &value);
	if (e)
		return e == ERR_NOENT ? ERR_OK : e;
	struct rd r = rd_of(value);
	w->size = rd_u64(&r);
	w->base_limit = rd_u64(&r);
	w->mtime_ns = (int64_t)rd_u64(&r);
	w->over = rd_u64(&r);
	if (rd_u8(&r))
		return work_read_cut(&r, w);
	return rd_done(&r) ? ERR_OK : fail(ERR_DAMAGED);
}

enum err work_load(struct kv *kv, enum err (*show)(void *arg, struct work *take), void *arg)
{
	uint8_t copy[STEP_KEY_MAX] = {TABLE_WORK};
	struct bytes from = {copy, 1}, key, value;

	while (kv_next(kv, from, true, &key, &value) == ERR_OK && key.at[0] == TABLE_WORK) {
		struct work *w;
		if (key.len != 10)
			return fail(ERR_DAMAGED);
		memcpy(copy, key.at, key.len);
		from.len = key.len;
		if (key.at[9] != 's')
			continue;
		enum err e = work_read_new(value, &w);
		if (e)
			return e;
		e = read_changing(kv, w);
		if (!e)
			e = read_beside(kv, w);
		if (e)
			work_free(w);
		else
			e = show(arg, w);
		if (e)
			return e;
	}
	return ERR_OK;
}
