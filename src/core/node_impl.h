/* SPDX-License-Identifier: MIT */
/*
 * node_impl.h - the inside of a node, for node.c, node_net.c, node_local.c and node_query.c alone
 */
#ifndef NODE_IMPL_H
#define NODE_IMPL_H

#include "core/admit.h"
#include "core/content.h"
#include "core/history.h"
#include "core/node.h"
#include "core/reads.h"
#include "core/spread.h"
#include "core/stable.h"
#include "core/tables.h"

/* Of bundles that waited, in one step; and then one more. */
#define NODE_APPLY_BYTES_MAX (4u << 20)

struct node {
	struct kv *kv;
	struct node_config config;
	struct rng rng;
	struct view *view;
	struct roster *roster;
	struct log *log;
	struct outbox *outbox;
	struct brake *brake;
	struct fetch *fetch;
	struct content *content;
	struct ahead *ahead;
	struct reads *reads;
	struct spread *spread;
	struct stable *stable;
	struct folder_keys keys;
	bool have_keys, started, clean_start;
	bool waiting_due; /* bundles that waited may be ready: the next tick looks */
	bool cut_all; /* EV_CUT was given: publish without waiting for acknowledgements */
	uint32_t forks_told; /* of those that the log knows */
	bool unsettled; /* what is applied is not what is accepted */
	bool own_limited; /* nothing more is accepted of the current incarnation */
	bool cuts_due; /* what a crash left unsealed is still to be cut: when the tree is settled */
	bool unconfirmed; /* it was taken up after a clean stop, and no member has told yet that it
			     knows no more of it than we do: nothing new may be written in it */
	uint64_t clock_op, clock_t; /* while the view is made again */
	struct inode_id sealing; /* of the EV_SEALED being stepped */
	bool sealing_shown; /* what is sealed was written over the version that is shown */
	struct step step; /* of the running step */
	struct change *changes;
	uint32_t changes_count, changes_room;
	bool changes_lost; /* memory ran out */
	uint64_t pieces, piece_bytes;
	struct history_sweep sweep;
	int64_t dated_ms; /* of the last J_DATE */
	uint64_t tidy_due; /* when removed things are looked at; UINT64_MAX: nothing to look at */
	bool tidy_busy; /* something waits only for a program that has it open */
	const struct vector *tidy_seen; /* applied, when stable was last told; owned */
	struct sink sink; /* of node_work_map() */
};

/* node.c */
bool node_may_write(struct node *n);
void node_device(void *node, uint64_t inc, char name[65]); /* struct view_hooks */
enum err node_begin(struct node *n) MUST_USE; /* once there are keys: an incarnation, and works */
void node_refresh_keys(struct node *n);
void node_saw_clocks(struct node *n, const struct bundle *b);
enum err node_begin_incarnation(struct node *n) MUST_USE;
struct node_frame { /* of the journal */
	uint64_t at;
	struct bytes payload;
	bool view_only; /* only what the view is made of */
};
enum err node_replay_only(struct node *n, const struct node_frame *f,
			  enum err (*open)(void *arg, struct bytes raw, struct bundle **ret),
			  void *arg) MUST_USE;
void node_note_date(struct node *n); /* before what others did comes into the tree */
/* node_accept.c */
enum err node_judge(void *node, const struct bundle *b) MUST_USE; /* struct log_judge */
void node_accept_rules(struct node *n);
void node_accept_head(struct node *n, struct hash *ret); /* that bundles name now */
/* Raise *vec (replaced; NULL on error) to all that is held of d; ERR_NODATA: nothing is set aside.
 */
enum err node_accept_all(struct node *n, const struct device_id *d, struct vector **vec) MUST_USE;
enum err node_accept_decided(struct node *n) MUST_USE; /* the roster has grown */
/* By its vector a member knows more of the current incarnation than this device: a new one is due.
 */
bool node_accept_outlived(const struct node *n, const struct vector *theirs);
enum err node_accept_told(struct node *n, const struct vector *theirs) MUST_USE; /* by a member */
/* Before something is written: in an incarnation that is surely ours alone. */
enum err node_accept_write(struct node *n) MUST_USE;
void node_accept_look(struct node *n); /* the roster, or what is held, has changed */
enum err node_accept_load(struct node *n) MUST_USE; /* ERR_DAMAGED: the rows are half made */
/* Whether a step with that event may write to the journal (node_room()). */
bool node_writes(const struct event *ev);
bool node_accept_due(const struct node *n); /* a tick is wanted, for node_accept_go_on() */
enum err node_accept_go_on(struct node *n, bool may_write) MUST_USE; /* at the end of a step */
/* node_local.c: what programs on the mount do */
enum err node_local(struct node *n, struct event *ev) MUST_USE;
enum err node_open_version(struct node *n, struct event *ev) MUST_USE;
enum err node_local_write(struct node *n, struct event *ev) MUST_USE;
/* node_net.c: what other devices say, and the roster */
enum err node_net(struct node *n, struct event *ev) MUST_USE;
enum err node_net_admin(struct node *n, const struct event *ev) MUST_USE; /* EV_ADMIT, EV_ADDR */
void node_net_keep_all(struct node *n); /* ACT_KEEP for each member with an address */
/* A record of this device with all heads as its parents. */
enum err node_net_join_heads(struct node *n) MUST_USE;
enum err node_net_apply_waiting(struct node *n) MUST_USE;

/* node_tidy.c: what may be forgotten, and who must have heard of it */
void node_tidy_note(struct node *n, const struct event *ev); /* at the end of each step */
enum err node_tidy_tick(struct node *n) MUST_USE;
enum err node_tidy_ack(struct node *n, const struct event *ev) MUST_USE; /* EV_ACK */
uint64_t node_tidy_deadline(const struct node *n);

#endif
