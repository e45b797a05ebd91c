/* SPDX-License-Identifier: MIT */
/* pin.h - writing down shown places, so that an operation changes nothing else (merge.md 3) */
#ifndef PIN_H
#define PIN_H

#include "core/facts.h"

/* One local operation; after a failure its calls do nothing. */
struct op {
	struct view *v;
	const struct emitter *e;
	enum err bad;
};
/* Entries that the operation itself takes away: ids of copies to leave alone. */
struct but {
	uint32_t count;
	struct inode_id at[4];
};
struct list { /* entries, owned */
	uint32_t count, room;
	struct showing *at;
};
#define auto_list __attribute__((cleanup(pin_list_fini))) struct list

struct op pin_begin(struct view *v, const struct emitter *e);
void pin_emit(struct op *op, struct record *r);
bool pin_ok(struct op *op); /* whether nothing failed so far */
struct but pin_but(const struct showing *a, const struct showing *b); /* either may be NULL */
void pin_list_add(struct op *op, struct list *l, const struct showing *s);
void pin_list_fini(struct list *l);

/* A name of an inode: its place, or removed from prev. */
void pin_put(struct op *op, struct name_id n, struct inode_id i, const struct place *at,
	     const struct place *prev, bool pinned);
void pin_remove(struct op *op, struct name_id n, struct inode_id i, const struct place *prev);
/* A directory's name: place NULL: removed. */
void pin_put_dir(struct op *op, struct inode_id d, const struct place *at,
		 const struct place *prev);

/* Write down the place at which s is shown.  *ret and *n (may be NULL): what it is now. */
void pin_entry(struct op *op, const struct showing *s, const struct but *but, bool pinned,
	       struct inode_id *ret);
/* Make a copy an inode of its own at a place; n NULL: the name id that its version gives. */
void pin_promote(struct op *op, const struct showing *s, const struct place *at, bool pinned,
		 const struct name_id *n, const struct but *but);
/* Before content or links of s change: a copy becomes an inode, a kept file gets its name back. */
void pin_own_name(struct op *op, const struct showing *s);
/* Before copy s goes: a file that only an unseen edit keeps gets its name back, or loses it. */
void pin_keep(struct op *op, const struct showing *s, const struct but *but);
/* Drop versions of a copy's file: its own if so, and those hidden behind it. */
void pin_drop(struct op *op, const struct showing *s, bool own);
void pin_copies(struct op *op, struct inode_id i, const struct name_id *n, const struct but *but);
void pin_remove_hidden(struct op *op, const struct name_of *at, uint32_t count,
		       const struct but *but);
/* All names hidden behind names of s, and hidden names of s itself; caller frees. */
struct name_of *pin_hidden_by(struct op *op, const struct showing *s, uint32_t *count);
/* Before s leaves its place: whatever would change its shown place is pinned, but not t. */
void pin_leave(struct op *op, const struct showing *s, const struct showing *t);
void pin_skipped(struct op *op);
/* The derived entries of a shown directory, by stamp and id. */
void pin_derived(struct op *op, struct inode_id dir, struct list *ret);

static inline struct place pin_place(const struct showing *s) /* where it is shown */
{
	return (struct place){s->s.at, {s->s.name, s->s.name_len}};
}

#endif
