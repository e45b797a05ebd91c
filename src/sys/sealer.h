/* SPDX-License-Identifier: MIT */
/*
 * sealer.h - ACT_SEAL: a file's unsealed content becomes chunks in packs and a manifest
 *
 * Jobs run on threads of the sealer's own; each ends with EV_SEALED, after what it wrote is
 * durable.  Jobs that finish together share one sync.
 */
#ifndef SEALER_H
#define SEALER_H

#include "core/node.h"
#include "sys/marks.h"
#include "sys/reader.h"

#define SEALER_THREADS 2
#define SEALER_WINDOW (4u << 20) /* bytes of a file in memory at once, for each thread */

struct sealer;
struct sealer_config {
	struct files *files;
	struct reader *reader;
	struct marks *marks;
	struct node *node;
	struct folder_id folder;
	void *arg;
	void (*lock)(void *arg); /* the node's */
	void (*unlock)(void *arg);
	/* ERR_NOSPC: there was no room for the step; it is given again by sealer_retry(). */
	enum err (*step)(void *arg, struct event *ev);
};
enum err sealer_new(const struct sealer_config *c, struct sealer **ret) MUST_USE;
void sealer_free(struct sealer *s); /* ends what was submitted, long files unsealed; accepts NULL */
enum err sealer_submit(struct sealer *s,
		       uint64_t work) MUST_USE; /* any thread; ERR_NOMEM, ERR_CLOSED */
void sealer_retry(struct sealer *s);

#endif
