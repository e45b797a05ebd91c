/* SPDX-License-Identifier: MIT */
/* replay.h - what the files of replay and arrivals share */
#ifndef REPLAY_H
#define REPLAY_H

#include "core/local.h"
#include "core/view.h"

#define DEVICES 26
#define PATH_BYTES 2048

struct published {
	struct vector *vec;
	struct wr bytes;
};
struct own_log { /* of one device; written by its author, read by all */
	struct published *at;
	uint64_t count;
};
struct shadow { /* an entry as somebody may have cached it */
	struct inode_id dir, id;
	struct dot version;
	uint32_t mode, nlink;
	enum inode_type type;
	uint16_t name_len;
	uint8_t name[NAME_BYTES_MAX];
};
struct shadows {
	size_t count;
	struct shadow *at;
};
struct told {
	size_t count;
	struct change *at;
};
struct group { /* of an operation's records, in no bundle yet */
	uint64_t op, t, first, last; /* clock of its first record; counters of its records */
	struct vector *vec;
	struct wr bytes;
	struct inode_id *about;
	size_t about_count;
};
struct world;
struct replica {
	struct world *world;
	size_t device;
	uint64_t inc;
	struct kv *kv;
	struct view *view;
	struct vector *vec;
	struct group *groups;
	size_t groups_count;
	uint64_t op; /* operations so far */
	struct inode_id *unsealed; /* whose groups wait */
	size_t unsealed_count;
	uint64_t last_t, now, ops, ops_room;
	uint64_t *bundle_of; /* op -> sequence, 0: not cut */
	struct vector *known[DEVICES]; /* what each device is known to have applied */
	struct shadows before;
	struct told told;
};
struct world {
	bool watch;
	uint64_t incs[DEVICES]; /* 0: the number of the device, from 1 */
	struct own_log logs[DEVICES];
	struct replica *at[DEVICES];
};
struct turn {
	struct world *w;
	struct replica *r;
	char **arg; /* arg[0] is the operation */
	int args;
};
struct paths {
	size_t count;
	char **at;
};

/* ---- replica.c ---- */

uint64_t inc_of(const struct world *w, size_t device);
struct replica *replica_of(struct world *w, char name); /* made when it is first asked for */
struct view *view_of(struct replica *r); /* a new one on its rows */
/* The local operation of a step; false: it was refused. */
bool run_operation(struct turn *s);
void do_rmrf(struct turn *s);
/* Close bundles of what need not wait. */
void cut(struct world *w, struct replica *r);
/* What comes later about the file at path waits. */
void hold(struct world *w, struct replica *r, const char *path);
/* The next bundle of a device; false: its causes are not all here. */
bool receive(struct world *w, struct replica *r, size_t device);
/* Up to limit bundles that from has and r lacks; both cut first. */
void pull(struct world *w, struct replica *r, struct replica *from, uint64_t limit);
/* After a bundle or, with members, what is stable among them goes. */
void forget(struct replica *r, const char *members);
void reset(struct world *w); /* forget all replicas and logs */

/* ---- replay_hear.c ---- */

void hear_run(struct world *w, char **arg, int args); /* a line that begins with "=" */
void hear_reset(void);
void hear_end(void);

/* ---- replay_show.c ---- */

void must(bool ok, const char *what); /* else says what, and aborts */
void *must_alloc(void *old, size_t size);
/* The shown entry of a path; the root's for "". */
enum err find(struct replica *r, const char *path, struct shown *ret);
/* Every path below top, "" for all; top itself comes first. */
void list_paths(struct replica *r, const char *top, struct paths *ret);
void sort_paths(struct paths *p);
void paths_fini(struct paths *p);
/* All paths and all conflicts, as compare.py prints those of the model. */
void print_view(struct replica *r, struct wr *w);
/* Of each path its links, owner and time of change in ms. */
void print_stats(struct replica *r, struct wr *w);
/* Whether all that differs since the last call was told by the hooks; checks the rows too. */
void watch(struct replica *r);

#endif
