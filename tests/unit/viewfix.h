/* SPDX-License-Identifier: MIT */
/* viewfix.h - a view of one device with all that it needs, for tests of the view */
#ifndef VIEWFIX_H
#define VIEWFIX_H

#include "codec/manifest.h"
#include "core/local.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

struct fix {
	struct kv *kv;
	struct view *v;
	struct emitter e;
	struct vector *vec; /* of what the device itself writes */
	uint64_t inc, ops, t;
	uint64_t told; /* changes */
	int64_t now_ms; /* of hook now */
};

static inline struct where fix_where(void *arg, struct dot dot)
{
	(void)arg;
	return (struct where){dot.inc, 0};
}

static inline bool fix_line(void *arg, struct where a, struct where b)
{
	(void)arg;
	return a.inc == b.inc;
}

static inline void fix_device(void *arg, uint64_t inc, char name[65])
{
	(void)arg;
	name[0] = (char)('A' + inc % 26 - 1);
	name[1] = 0;
}

static inline void fix_changed(void *arg, const struct change *c)
{
	struct fix *f = arg;

	(void)c;
	f->told++;
}

static inline int64_t fix_now(void *arg)
{
	return ((struct fix *)arg)->now_ms;
}

static inline void fix_next(void *arg, struct dot *dot, uint64_t *t)
{
	struct fix *f = arg;

	*dot = (struct dot){f->inc, f->ops + 1};
	*t = f->t + 1;
}

static inline enum err fix_emit(void *arg, struct record *r)
{
	struct fix *f = arg;

	fix_next(f, &r->dot, &r->t);
	f->ops++;
	f->t++;
	r->in = (struct where){f->inc, 0};
	r->vec = f->vec;
	r->wall_ms = (int64_t)(r->t >> 16);
	return view_apply(f->v, r);
}

static inline struct fix *fix_new(void)
{
	struct fix *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->kv = kv_new_map();
	assert_non_null(f->kv);
	f->inc = 1;
	f->t = UINT64_C(1000) << 16;
	const struct view_hooks hooks = {.arg = f,
					 .where = fix_where,
					 .line = fix_line,
					 .device = fix_device,
					 .changed = fix_changed,
					 .now = fix_now};
	f->v = view_new(f->kv, &hooks);
	assert_non_null(f->v);
	f->e = (struct emitter){.arg = f, .next = fix_next, .emit = fix_emit};
	return f;
}

static inline void fix_free(struct fix *f)
{
	view_check(f->v);
	view_free(f->v);
	kv_free_map(f->kv);
	vector_unref(f->vec);
	free(f);
}

static inline struct inode_id fix_make(struct fix *f, enum inode_type type, struct inode_id dir,
				       const char *name, const char *text)
{
	struct make what = {.type = type, .mode = type == TYPE_DIR ? 0755 : 0644};
	struct inode_id i;
	struct wr w = {0};

	if (text && type == TYPE_FILE)
		manifest_inline(&w, bytes_text(text));
	what.content = wr_view(&w);
	assert_int_equal(local_make(f->v, &f->e, dir, bytes_text(name), &what, &i), ERR_OK);
	wr_fini(&w);
	return i;
}

static inline enum err fix_content(struct fix *f, struct inode_id i, const char *text)
{
	struct record r = {.kind = REC_CONTENT, .inode = i};
	struct dot bases[16];
	uint32_t count = 0;
	struct wr w = {0};

	enum err e = view_bases(f->v, i, bases, 16, &count);
	manifest_inline(&w, bytes_text(text));
	r.content.bases = bases;
	r.content.bases_count = count;
	r.content.content = wr_view(&w);
	r.content.mtime_ns = 77;
	if (!e)
		e = fix_emit(f, &r);
	wr_fini(&w);
	return e;
}

/* A record of another device, in the next bundle of that one. */
static inline enum err fix_foreign(struct fix *f, struct record *r, uint64_t inc, uint64_t op,
				   uint64_t t, const struct vector *vec)
{
	r->dot = (struct dot){inc, op};
	r->t = t;
	r->in = (struct where){inc, op};
	r->vec = vec;
	return view_apply(f->v, r);
}

#endif
