// SPDX-License-Identifier: MIT
/*
 * content_cut.c - from writes to versions, live and in replay
 *
 * Part of content.c (content_impl.h).  A cut gives the version its dot, clock and vector and asks
 * for sealing; when the manifest is known the content record is emitted under that dot, so an
 * unlink or an edit that came in meanwhile counts as unseen.
 */
#include "core/content_impl.h"
#include "core/names.h"

static enum err discard(struct content *c, struct step *s, struct file *f)
{
	size_t mark;
	struct work *w = f->active;
	struct wr *j = step_entry(s, J_DISCARD, &mark);

	if (j) {
		wr_u64(j, w->no);
		step_entry_end(s, mark);
	}
	enum err e = work_drop(c->k.kv, c->extents, w);
	f->active = NULL;
	c->works--;
	work_free(w);
	outbox_stir(c->k.outbox);
	return e;
}

static enum err emit_version(struct content *c, struct step *s, struct file *f,
			     struct bytes manifest)
{
	struct work *w = f->sealing;
	struct record r = {.kind = REC_CONTENT, .inode = f->inode};
	enum err e = content_file_base(f, manifest, w->at.dot);

	if (e)
		return e;
	r.content = (struct rec_content){.bases = w->bases,
					 .bases_count = w->bases_count,
					 .mtime_ns = w->mtime_ns,
					 .content = wr_view(&f->manifest)};
	return outbox_emit_at(c->k.outbox, s, &w->at, &r);
}

static enum err mark_beside(struct content *c, struct step *s, struct work *w,
			    const struct place *at)
{
	size_t mark;
	struct wr *j;

	if (!w || w->beside)
		return ERR_OK;
	j = step_entry(s, J_BESIDE, &mark);
	if (j) {
		wr_u64(j, w->no);
		wr_u64(j, at->parent.inc);
		wr_u64(j, at->parent.op);
		wr_bytes(j, at->name);
		step_entry_end(s, mark);
	}
	return work_put_beside(c->k.kv, w, at);
}

enum err content_beside(struct content *c, struct step *s, struct inode_id inode,
			const struct place *at)
{
	enum err e = ERR_OK;

	for (struct file *f = *content_bucket(c, inode); f && !e; f = f->next_by_inode) {
		if (!inode_equal(f->inode, inode) || !f->stale)
			continue;
		e = mark_beside(c, s, f->sealing, at);
		if (!e && !f->writers)
			e = mark_beside(c, s, f->active, at);
	}
	return e;
}

static enum err replay_beside(struct content *c, struct work *w, struct rd *r)
{
	struct place at = {.parent = {rd_u64(r), 0}};

	at.parent.op = rd_u64(r);
	at.name = rd_bytes(r, rd_left(r));
	if (!w || r->bad || !name_ok(at.name))
		return fail(ERR_DAMAGED);
	return work_put_beside(c->k.kv, w, &at);
}

/* A file of its own beside the place that is lost, or in the root if the directory is gone, too. */
static enum err emit_beside(struct content *c, struct step *s, const struct work *w,
			    struct bytes manifest)
{
	const struct bytes name = {w->beside_name, w->beside_len};
	struct emitter em = outbox_emitter(c->k.outbox);
	struct make what = {.type = TYPE_FILE, .mode = 0644, .content = manifest};
	struct inode_id dir = view_is_shown(c->k.view, w->beside_dir) ? w->beside_dir : INODE_ROOT;
	struct inode_id made;
	struct view_attr a;
	uint8_t pref[NAME_BYTES_MAX], other[NAME_BYTES_MAX];

	what.mtime_ns = w->mtime_ns;
	if (!view_stat(c->k.view, w->inode, &a))
		what.mode = a.mode;
	struct bytes wanted = {pref, names_conflict(name, w->at.t, c->k.device_name, pref)};
	outbox_begin(c->k.outbox, s);
	enum err e = local_make(c->k.view, &em, dir, wanted, &what, &made);
	for (uint32_t try = 0; e == ERR_EXIST; try++) {
		const struct inode_id id = {w->at.dot.inc, w->at.dot.op};
		struct bytes next = {other, names_further(wanted, id, try, other)};
		e = local_make(c->k.view, &em, dir, next, &what, &made);
	}
	enum err e2 = outbox_end(c->k.outbox);
	return e ? e : e2;
}

/* The cut work has its manifest: it is a version now.  Shared by replay. */
static enum err finish(struct content *c, struct file *f)
{
	struct work *w = f->sealing;
	enum err e = work_drop(c->k.kv, c->extents, w);

	f->sealing = NULL;
	c->works--;
	work_free(w);
	outbox_stir(c->k.outbox);
	if (f->active && !e) {
		f->active->over = 0;
		f->active->base_version = f->version;
		wr_reset(&f->active->base);
		wr_bytes(&f->active->base, wr_view(&f->manifest));
		e = f->active->base.bad ? fail(ERR_NOMEM) : work_store_static(c->k.kv, f->active);
		if (!e)
			e = work_store(c->k.kv, f->active);
	}
	return e;
}

/* New pieces of a version: what they hold.  Shared by replay. */
static enum err note_piece(struct content *c, const struct entry *e, struct bytes plain)
{
	enum err err = mapping_put_known(c->k.kv, e);

	if (!err && e->kind == ENTRY_NODE)
		err = mapping_put_node(c->k.kv, &e->name, plain);
	return err;
}

/* Body of J_SEALED: work u64, manifest length u32, manifest, count u32, then for each new piece:
 * entry, length u32, a node's plaintext.  ev NULL: no pieces. */
static enum err journal_sealed(struct content *c, struct step *s, struct work *w,
			       struct bytes manifest, const struct event *ev)
{
	size_t mark;
	struct wr *j = step_entry(s, J_SEALED, &mark);
	uint32_t count = ev ? ev->sealed.pieces_count : 0;
	enum err e = ERR_OK;

	wr_u64(j, w->no);
	wr_u32(j, (uint32_t)manifest.len);
	wr_bytes(j, manifest);
	wr_u32(j, count);
	for (uint32_t k = 0; k < count && !e; k++) {
		const struct sealed_piece *p = &ev->sealed.pieces[k];
		entry_encode(j, &p->entry);
		wr_u32(j, (uint32_t)p->plain.len);
		wr_bytes(j, p->plain);
		uint8_t kind = p->entry.kind == ENTRY_NODE ? SEAL_NODE : SEAL_CHUNK;
		e = mapping_put_piece(c->k.kv, &p->entry.name, kind, p->addr, p->entry.stored);
		if (!e)
			e = note_piece(c, &p->entry, p->plain);
	}
	step_entry_end(s, mark);
	return e;
}

/* Whether a version of inode is being sealed, over whichever version it was written. */
static bool is_sealing(struct content *c, struct inode_id inode)
{
	for (struct file *f = *content_bucket(c, inode); f; f = f->next_by_inode)
		if (f->sealing && inode_equal(f->inode, inode))
			return true;
	return false;
}

/* A version of inode is sealed: others that were written meanwhile may be cut, at the next tick. */
static void wake_waiting(struct content *c, const struct step *s, struct inode_id inode)
{
	for (struct file *f = *content_bucket(c, inode); f; f = f->next_by_inode)
		if (f->active && inode_equal(f->inode, inode))
			content_note_due(c, s->now);
}

static enum err finish_live(struct content *c, struct step *s, struct file *f,
			    struct bytes manifest, const struct event *ev)
{
	enum err e = journal_sealed(c, s, f->sealing, manifest, ev);

	bool beside = f->sealing->beside && content_is_gone(c, f->inode);
	if (!e && beside)
		e = content_file_base(f, manifest, f->sealing->at.dot);
	if (!e && beside)
		e = emit_beside(c, s, f->sealing, wr_view(&f->manifest));
	else if (!e)
		e = emit_version(c, s, f, manifest);
	if (!e)
		e = finish(c, f);
	wake_waiting(c, s, f->inode);
	if (!e && f->active && !f->writers)
		return content_cut(c, s, f);
	content_settle(c, f);
	return e;
}

enum err content_ask_to_seal(struct content *c, struct step *s, struct work *w)
{
	struct wr empty = {0};
	enum err e;

	w->retry_usec = 0;
	w->begun_usec = s->now;
	if (w->size == 0) {
		struct file *f = content_file_of_work(c, w->no);
		manifest_inline(&empty, (struct bytes){0});
		e = empty.bad ? fail(ERR_NOMEM) : finish_live(c, s, f, wr_view(&empty), NULL);
		wr_fini(&empty);
		return e;
	}
	struct action *a = step_act(s, ACT_SEAL);
	if (!a)
		return fail(ERR_NOMEM);
	a->seal.work = w->no;
	return ERR_OK;
}

/* What the new version replaces: the version the file stands on, and what hides behind it. */
static enum err find_bases(struct content *c, struct file *f)
{
	struct work *w = f->active;
	struct view_attr a;
	enum err e = view_stat(c->k.view, f->inode, &a);

	w->bases_count = 0;
	if (e == ERR_NOENT)
		return ERR_OK;
	if (!e && f->version.inc && dot_compare(a.version, f->version) == 0)
		return view_bases(c->k.view, f->inode, w->bases, WORK_BASES_MAX, &w->bases_count);
	if (!e && f->version.inc)
		w->bases[w->bases_count++] = f->version;
	return e;
}

/* Nobody can come to the file by a name any more. */
bool content_is_gone(struct content *c, struct inode_id i)
{
	struct view_attr a;

	return !view_is_shown(c->k.view, i) &&
	       (view_stat(c->k.view, i, &a) != ERR_OK || a.nlink == 0);
}

/* The dot, clock and vector that a version was given, for good. */
static enum err note_cut(struct content *c, struct step *s, struct work *w)
{
	size_t mark;
	struct wr *j = step_entry(s, J_CUT, &mark);

	if (j) {
		wr_u64(j, w->no);
		work_write_cut(j, w);
		step_entry_end(s, mark);
	}
	return work_store(c->k.kv, w);
}

/* Turn what was written since the last version into one; nothing to do without. */
enum err content_cut(struct content *c, struct step *s, struct file *f)
{
	struct work *w = f->active;

	/* One version of an inode is sealed at a time, so that they are applied in the order of
	 * their dots: what is written over another version too waits until content_tick(). */
	if (!w || is_sealing(c, f->inode)) {
		content_settle(c, f);
		return ERR_OK;
	}
	bool gone = content_is_gone(c, f->inode);
	if (gone && !w->beside) {
		enum err e = f->opens ? ERR_OK : discard(c, s, f);
		content_settle(c, f);
		return e;
	}
	struct emitter em = outbox_emitter(c->k.outbox);
	outbox_begin(c->k.outbox, s);
	enum err e = gone ? ERR_OK : local_edit(c->k.view, &em, f->inode);
	enum err e2 = outbox_end(c->k.outbox);
	e = e ? e : e2;
	if (!e)
		e = find_bases(c, f);
	if (e)
		return e;
	outbox_reserve(c->k.outbox, s, &w->at);
	w->cut = true;
	f->sealing = w;
	f->active = NULL;
	e = note_cut(c, s, w);
	return e ? e : content_ask_to_seal(c, s, w);
}

static enum err seal_later(struct content *c, struct step *s, struct file *f,
			   const struct event *ev)
{
	struct work *w = f->sealing;

	w->lacks = 0;
	for (uint32_t k = 0; k < ev->sealed.missing_count; k++) {
		struct waiter who = {WAITER_WORK, w->no};
		enum err e = fetch_want(c->k.fetch, &ev->sealed.missing[k], true, who);
		w->lacks += e == ERR_OK;
		if (e && e != ERR_FULL)
			return e;
	}
	if (!w->lacks) {
		w->retry_usec = s->now + CONTENT_RETRY_USEC;
		content_note_due(c, w->retry_usec);
	}
	if (ev->sealed.err != ERR_AGAIN)
		step_report(s, true,
			    "a version could not be sealed: %s; it stays in the data log "
			    "and is tried again%s",
			    err_text(ev->sealed.err),
			    ev->sealed.err == ERR_NOSPC ? ": make room on the store's disk" : "");
	return ERR_OK;
}

enum err content_sealed(struct content *c, struct step *s, struct event *ev)
{
	struct file *f = content_file_of_work(c, ev->sealed.work);

	if (!f || !f->sealing || f->sealing->no != ev->sealed.work)
		return ERR_OK; /* it was dropped meanwhile */
	if (ev->sealed.err)
		return seal_later(c, s, f, ev);
	f->seal_usec = s->now - f->sealing->begun_usec;
	return finish_live(c, s, f, ev->sealed.manifest, ev);
}

void content_settled(struct content *c, struct step *s, uint64_t work, enum err err)
{
	struct file *f = content_file_of_work(c, work);
	struct work *w = f ? f->sealing : NULL;

	if (!w || w->no != work || !w->lacks)
		return;
	w->lacks = err ? 0 : w->lacks - 1;
	if (w->lacks)
		return;
	w->retry_usec = s->now + (err ? CONTENT_RETRY_USEC : 0);
	content_note_due(c, w->retry_usec);
}

/* ---- replay ---- */

static enum err replay_work(void *arg, struct work *take)
{
	struct content *c = arg;
	struct file *f = take->over ? content_file_of_work(c, take->over) : NULL;

	if (content_file_of_work(c, take->no)) { /* two works, one number */
		work_free(take);
		return fail(ERR_DAMAGED);
	}
	c->next_work = MAX(c->next_work, take->no / CONTENT_BUCKETS + 1);
	if (!f) {
		f = content_file_new(c, take->inode);
		if (!f || content_file_base(f, wr_view(&take->base), take->base_version)) {
			work_free(take);
			return fail(ERR_NOMEM);
		}
	}
	if ((take->cut && f->sealing) || (!take->cut && f->active)) {
		work_free(take);
		return fail(ERR_DAMAGED);
	}
	*(take->cut ? &f->sealing : &f->active) = take;
	c->works++;
	outbox_begins_again(c->k.outbox);
	return ERR_OK;
}

enum err content_load(struct content *c)
{
	enum err e = extents_load(c->extents);

	return e ? e : work_load(c->k.kv, replay_work, c);
}

static enum err replay_new(struct content *c, struct bytes body)
{
	struct work *w;
	enum err e = work_read_new(body, &w);

	if (e)
		return e;
	e = work_store_static(c->k.kv, w);
	if (!e)
		e = work_store(c->k.kv, w);
	if (!e)
		return replay_work(c, w);
	work_free(w);
	return e;
}

static enum err replay_cut(struct content *c, struct file *f, uint64_t no, struct rd *r)
{
	uint64_t op, t;
	struct work *w = f->active;

	if (!w || w->no != no || f->sealing)
		return fail(ERR_DAMAGED);
	enum err e = work_read_cut(r, w);
	if (e)
		return e;
	outbox_clock(c->k.outbox, &op, &t); /* the dot is given: the next one is another */
	outbox_set_clock(c->k.outbox, MAX(op, w->at.dot.op + 1), MAX(t, w->at.t));
	f->sealing = w;
	f->active = NULL;
	return work_store(c->k.kv, w);
}

static enum err replay_sealed(struct content *c, struct file *f, struct rd *r)
{
	if (!f->sealing)
		return fail(ERR_DAMAGED);
	struct bytes manifest = rd_bytes(r, rd_u32(r));
	uint32_t count = rd_u32(r);
	enum err e = content_file_base(f, manifest, f->sealing->at.dot);
	for (uint32_t k = 0; k < count && !e && !r->bad; k++) {
		struct entry x;
		e = entry_decode(r, &x);
		if (!e)
			e = note_piece(c, &x, rd_bytes(r, rd_u32(r)));
	}
	if (e)
		return e == ERR_MALFORMED ? fail(ERR_DAMAGED) : e;
	e = finish(c, f);
	content_settle(c, f);
	return e;
}

static enum err replay_one(struct content *c, struct file *f, uint64_t no, uint8_t kind,
			   struct rd *r)
{
	bool active = f->active && f->active->no == no;
	struct work *w = active ? f->active : f->sealing;
	uint64_t a = 0, b = 0, d = 0;

	if (!active && (kind == J_WRITE || kind == J_TRUNCATE || kind == J_DISCARD))
		return fail(ERR_DAMAGED); /* what is cut is written no more */
	switch ((enum journal_kind)kind) {
	case J_WRITE:
		a = rd_u64(r);
		b = rd_u64(r);
		d = rd_u64(r);
		return content_apply_write(c, w, (struct extent){a, b, d}, (int64_t)rd_u64(r));
	case J_TRUNCATE:
		a = rd_u64(r);
		return content_apply_truncate(c, w, a, (int64_t)rd_u64(r));
	case J_TOUCH:
		w->mtime_ns = (int64_t)rd_u64(r);
		return work_store(c->k.kv, w);
	case J_CUT:
		return replay_cut(c, f, no, r);
	case J_SEALED:
		return replay_sealed(c, f, r);
	case J_BESIDE:
		return replay_beside(c, w, r);
	case J_DISCARD:
		f->active = NULL;
		c->works--;
		enum err e = work_drop(c->k.kv, c->extents, w);
		work_free(w);
		content_settle(c, f);
		return e;
	case J_RECORDS:
	case J_WORK:
	case J_OWN:
	case J_BUNDLE:
	case J_NODE:
	case J_ROSTER:
	case J_INC:
	case J_TOKEN:
	case J_DATE:
	case J_HELD:
	case J_BRAKE:
	default:
		return fail(ERR_DAMAGED);
	}
}

enum err content_replay(struct content *c, uint8_t kind, struct bytes body)
{
	struct rd r = rd_of(body);

	if (kind == J_WORK)
		return replay_new(c, body);
	uint64_t no = rd_u64(&r);
	struct file *f = content_file_of_work(c, no);
	if (!f)
		return fail(ERR_DAMAGED);
	enum err e = replay_one(c, f, no, kind, &r);
	return !e && !rd_done(&r) ? fail(ERR_DAMAGED) : e;
}
