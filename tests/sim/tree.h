/* SPDX-License-Identifier: MIT */
/*
 * tree.h - the whole tree that a node shows, as a list in order of paths
 */
#ifndef TREE_H
#define TREE_H

#include "core/node.h"

#define TREE_PATH_MAX 4096

struct leaf {
	char *path; /* without a leading slash; "" is the root; owned */
	struct shown s;
	uint32_t mode;
	struct hash sum; /* of type, id, mode, target and content: what a user sees of it */
	uint8_t *content; /* files: the encoded manifest of what is shown; owned */
	size_t content_len;
};
struct tree {
	struct leaf *at; /* the root first */
	uint32_t count, room;
};
/* False: the view breaks its own contract, told in why. */
bool tree_list(struct node *n, struct tree *ret, char *why, size_t size);
void tree_fini(struct tree *t);
const struct leaf *tree_find(const struct tree *t, const char *path);

#endif
