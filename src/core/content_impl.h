/* SPDX-License-Identifier: MIT */
/* content_impl.h - the inside of content, for content.c, content_cut.c and content_ask.c alone */
#ifndef CONTENT_IMPL_H
#define CONTENT_IMPL_H

#include "core/content.h"

/* Numbers of files and works are n * CONTENT_BUCKETS + bucket of their inode. */
#define CONTENT_BUCKETS 1024

struct file {
	uint64_t no;
	struct inode_id inode;
	uint32_t opens, writers;
	struct wr manifest; /* encoded, of the version it stands on; empty: none yet */
	struct dot version;
	bool stale;
	struct work *active, *sealing;
	uint64_t ahead_next, ahead_done, ahead_window; /* of reads in order */
	uint64_t seal_usec; /* how long the last sealing took */
	struct file *next_by_inode;
};
struct content {
	struct content_config k;
	struct extents *extents;
	struct file *by_inode[CONTENT_BUCKETS];
	uint32_t files;
	uint64_t next_file, next_work, works;
	uint64_t due; /* no work is due before */
};

/* content.c */
struct file **content_bucket(struct content *c, struct inode_id i);
struct file *content_file(struct content *c, uint64_t no); /* NULL: no such file */
struct file *content_file_of_work(struct content *c, uint64_t work); /* NULL */
struct file *content_current(struct content *c, struct inode_id i); /* what new opens share; NULL */
struct file *content_file_new(struct content *c, struct inode_id i); /* NULL: no room */
enum err content_file_base(struct file *f, struct bytes manifest, struct dot version) MUST_USE;
void content_settle(struct content *c, struct file *f); /* I2 */
uint64_t content_size(const struct file *f);
void content_note_due(struct content *c, uint64_t at);
enum err content_apply_write(struct content *c, struct work *w, struct extent x,
			     int64_t mtime_ns) MUST_USE;
enum err content_apply_truncate(struct content *c, struct work *w, uint64_t size,
				int64_t mtime_ns) MUST_USE;
/* content_cut.c */
enum err content_cut(struct content *c, struct step *s, struct file *f) MUST_USE;
enum err content_ask_to_seal(struct content *c, struct step *s, struct work *w) MUST_USE;
bool content_is_gone(struct content *c, struct inode_id i);

#endif
