/* SPDX-License-Identifier: MIT */
/* cells.h - the registers' rows as structs */
#ifndef CELLS_H
#define CELLS_H

#include "core/rows.h"

/* A struct given in must be zeroed or used before, and be finished with _fini */
bool cells_inode(struct view *v, struct inode_id id, struct inode_row *ret);
void cells_put_inode(struct view *v, const struct inode_row *i);
void cells_inode_fini(struct inode_row *i);
/* The row's bytes alone; what is read borrows from row. */
void cells_write_inode(struct wr *w, const struct inode_row *i);
bool cells_read_inode(struct view *v, struct inode_id id, struct bytes row, struct inode_row *ret);
void cells_put_origin(struct wr *w, const struct origin *o);
struct origin cells_get_origin(struct rd *r);
bool cells_link(struct view *v, struct inode_id id, struct name_id n, struct link_row *ret);
void cells_put_link(struct view *v, const struct link_row *l);
void cells_link_fini(struct link_row *l);
/* The next name of an inode in the order of births; the walk is begun by cells_links(). */
struct walk cells_links(struct inode_id id);
bool cells_links_next(struct view *v, struct walk *w, struct link_row *ret);
bool cells_dir(struct view *v, struct inode_id id, struct dir_row *ret);
struct dir_glance { /* what is asked of directories most of the time, without taking it apart */
	bool live;
	uint32_t contested;
};
bool cells_glance(struct view *v, struct inode_id id, struct dir_glance *ret);
void cells_put_dir(struct view *v, const struct dir_row *d);
void cells_dir_fini(struct dir_row *d);
/* A record held came to name the directory in that place, or does no more: by 1 or -1.  Gathered in
 * v->named until forget_settle(). */
void cells_name(struct view *v, const struct place *p, int32_t by);
void cells_put_place(struct view *v, const struct place_row *p);
void cells_del_place(struct view *v, const struct place_row *p);
struct walk cells_places(struct inode_id parent, struct bytes name);
bool cells_places_next(struct view *v, struct walk *w, struct place_row *ret);

#endif
