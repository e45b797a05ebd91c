/* SPDX-License-Identifier: MIT */
/* facts.h - attributes, xattrs and versions of one inode or copy: what view.h asks by id */
#ifndef FACTS_H
#define FACTS_H

#include "core/place.h"

/* As in view.h, but for absence: ERR_NOENT, ERR_NODATA without a note. */
enum err facts_born(struct view *v, struct inode_id id, struct stamp *ret) MUST_USE;
enum err facts_stat(struct view *v, struct inode_id id, struct view_attr *ret) MUST_USE;
enum err facts_xattr(struct view *v, struct inode_id id, struct bytes key,
		     struct bytes *value) MUST_USE;
enum err facts_xattr_next(struct view *v, struct inode_id id, struct bytes after,
			  struct bytes *key) MUST_USE;
enum err facts_bases(struct view *v, struct inode_id id, struct dot *ret, uint32_t max,
		     uint32_t *count) MUST_USE;
enum err facts_version(struct view *v, struct inode_id id, struct dot dot,
		       struct version *ret) MUST_USE;
/* Permission bits: what was set, or what a type has otherwise. */
uint32_t facts_mode(const struct inode_row *i);
/* The inode whose registers hold id (itself, unless a copy), with the head it shows. */
bool facts_inode(struct view *v, struct inode_id id, struct inode_row *ret, uint32_t *head);

#endif
