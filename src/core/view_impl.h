/* SPDX-License-Identifier: MIT */
/*
 * view_impl.h - struct view and its rows, for the files that are the view and nobody else
 *
 * While a record is being applied, its row changes gather in a write set: reading sees them,
 * or, while `old` is set, the state before.  So what changed is found by asking before and after,
 * and a record that turns out to be malformed leaves no trace.
 *
 * Failures of memory or disk are sticky (`bad`): after one, rows read as absent and the call in
 * progress returns it, so that the rules read as rules.
 */
#ifndef VIEW_IMPL_H
#define VIEW_IMPL_H

#include "core/kv.h"
#include "core/shown.h"
#include "core/tables.h"

#define VEC_KEY_LEN 16
#define CANDIDATES_MAX 3
#define VECTORS_CACHED 64
#define BUCKETS 256
#define ROWS_CACHED 512
#define ROW_CACHED_MAX 2048 /* bytes of a value that is kept */

/* second byte of TABLE_VIEW rows */
enum view_row {
	ROW_BATCH = 'b', /* number -> what stands in it may be forgotten when: core/forget */
	ROW_CONTESTED = 'c', /* parent, name: something to work out there */
	ROW_COPY = 'h', /* derived id -> inode, dot of a head, while the inode has several */
	ROW_FORGOT = 'f', /* -> vector: all that was forgotten lies below it */
	ROW_COUNT = 'n', /* -> inodes known */
	ROW_NAMES = 'N', /* -> names of files that stand somewhere */
	ROW_LISTED = 'q', /* batch, inode: something of it may be forgotten some day */
	ROW_STRAY = 'y', /* what was forgotten was met: the view is to be made again */
	ROW_SURVIVOR = 'o', /* directory: live, yet no place of its own */
	ROW_SKIPPED = 's', /* directory: its move is skipped */
	ROW_TWICE = 't', /* directory: moved to two places at once */
	ROW_UNION = 'u' /* parent, name: several directories there */
};

struct rkey { /* a row's key */
	size_t len;
	uint8_t b[360];
};
/* What is kept of a record whatever its kind: enough to tell who saw whom. */
struct origin {
	struct dot dot;
	uint64_t t;
	struct where in;
	uint8_t vec[VEC_KEY_LEN]; /* key of its vector in TABLE_VECTOR; zeros: empty */
};
struct head { /* a version of a file */
	struct origin o;
	int64_t mtime_ns;
	struct bytes content;
};
struct link_head {
	struct origin o;
	int64_t wall_ms;
	bool has_place, has_prev, pinned;
	struct place place, prev;
};
struct inode_row {
	struct inode_id id;
	enum inode_type type;
	uint32_t rdev;
	struct bytes target;
	struct stamp born;
	bool has_birth;
	struct place birth;
	int64_t made_ms, wall_ms;
	struct stamp mode_at, owner_at, times_at; /* {0, 0}: never set */
	uint32_t mode, uid, gid;
	int64_t mtime_ns;
	uint64_t listed; /* the batch that ROW_LISTED has it in; 0: none */
	bool tidied; /* heads of it were forgotten while it had a name */
	uint32_t heads_count, gone_count;
	struct head *heads; /* stamp falling */
	struct origin *gone; /* versions dropped or promoted away, which no head has seen */
	struct wr raw; /* what the bytes above are borrowed from */
};
struct link_row {
	struct inode_id id;
	struct name_id n;
	uint32_t count;
	struct link_head *heads;
	struct wr raw;
};
struct dir_row {
	struct inode_id id;
	bool own, live;
	uint8_t level, count; /* of the candidates: which is effective, how many there are */
	struct stamp at; /* of the head that decides */
	struct stamp born;
	struct place cands[CANDIDATES_MAX];
	uint32_t contested, subdirs;
	uint32_t named; /* places, previous places and birth places held that lie in it */
	int64_t mtime_ms; /* of the last entry that came or went, at touched_t */
	uint64_t touched_t;
	struct wr raw;
};
/* A row of TABLE_PLACE: name id n of inode i stands at (parent, name). */
enum place_flags {
	PLACE_KEPT = 1,
	PLACE_MULTI = 2, /* the inode has several heads */
	PLACE_ODD = 4 /* pinned, or several places were asked for */
};
struct place_row {
	struct inode_id parent;
	uint16_t name_len;
	uint8_t name[NAME_BYTES_MAX];
	struct name_id n;
	struct inode_id i;
	struct stamp at;
	uint8_t flags;
	enum inode_type type;
};
struct spot { /* a place whose entry may have changed */
	struct inode_id parent;
	uint16_t name_len;
	uint8_t name[NAME_BYTES_MAX];
};
struct spots {
	uint32_t count, room;
	struct spot *at;
};
/* The directories that are shown as one; at[0] is the canonical one. */
struct parts {
	uint32_t count;
	struct inode_id one; /* at points here if there is one alone */
	struct inode_id *at;
};
struct parts_cached {
	struct parts_cached *next; /* in its bucket, by the member asked for */
	struct inode_id of;
	uint32_t count;
	struct inode_id at[];
};
struct name_of {
	struct name_id n;
	struct inode_id i;
};
/* One shown entry with what operations need to know. */
struct showing {
	struct shown s;
	struct stamp at;
	uint16_t pref_len;
	uint8_t pref[NAME_BYTES_MAX + 1]; /* the name it wanted */
	uint32_t hidden_count;
	struct name_of *hidden; /* names behind it */
};
/* The derived entries of a shown directory: losers and copies, by name. */
struct overlay {
	struct overlay *next;
	struct inode_id dir;
	uint32_t count, room;
	struct showing **at;
	struct spots probed; /* names whose coming or going moves a derived one */
};
struct named { /* a directory, and by how much its count of names changes */
	struct inode_id id;
	int32_t by;
};
struct news { /* ATTR or DATA, told when the record is applied */
	enum change_kind kind;
	struct inode_id inode;
};
struct ws_row {
	size_t key_at, key_len, value_at, value_len;
	bool del;
};
struct row_cached { /* what the kv says of a key; key.len 0: nothing known */
	struct wr key, value;
	bool there;
};
struct view {
	struct kv *kv;
	struct view_hooks hooks;
	bool tell_before;
	enum err bad;
	uint64_t applied; /* records, since it was made */
	/* write set */
	bool old;
	struct wr ws_bytes;
	struct ws_row *ws;
	uint32_t ws_count, ws_room;
	uint32_t ws_open; /* being written by rows_begin(); ws_count: none */
	struct spots touched;
	bool dirs_touched; /* a child of a directory came, went or moved */
	struct news *news;
	uint32_t news_count, news_room;
	struct named *named;
	uint32_t named_count, named_room;
	bool doubtful; /* a record met what was forgotten; until view_doubtful() */
	bool plain; /* the register written last holds one head, a place */
	uint64_t batch; /* what is listed now goes into it; 0: not looked up yet */
	/* caches; -1: not known */
	struct row_cached *rows; /* ROWS_CACHED of them, by a hash of the key */
	int8_t kinds[256]; /* by enum view_row: whether the kv has any */
	int has_unions;
	struct vector_cached {
		uint8_t key[VEC_KEY_LEN];
		const struct vector *vec;
	} vectors[VECTORS_CACHED];
	const struct vector *vec_last; /* of the record before, with its key */
	uint8_t vec_last_key[VEC_KEY_LEN];
	struct parts_cached *parts[BUCKETS];
	uint32_t parts_count;
	struct overlay *overlays[BUCKETS];
	uint32_t overlays_count;
	/* what borrowed results point into */
	struct inode_row result;
	struct wr result_bytes;
};

#define auto_wr __attribute__((cleanup(wr_fini))) struct wr
#define auto_inode __attribute__((cleanup(cells_inode_fini))) struct inode_row
#define auto_link __attribute__((cleanup(cells_link_fini))) struct link_row
#define auto_dir __attribute__((cleanup(cells_dir_fini))) struct dir_row
#define auto_spots __attribute__((cleanup(rows_spots_fini))) struct spots
#define auto_showing __attribute__((cleanup(place_showing_fini))) struct showing
#define auto_parts __attribute__((cleanup(dirs_parts_fini))) struct parts

#endif
