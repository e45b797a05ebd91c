// SPDX-License-Identifier: MIT
/*
 * faults.c - see faults.h
 *
 * A cut counts on each way that it closes, so that several may lie over each other; once all were
 * healed at once, the ends of those that were are void.
 */
#include "faults.h"
#include "liar.h"
#include "oracle.h"
#include "simfile.h"
#include "simnet.h"
#include "simnode.h"

#define CRASH_STEPS 12 /* a crash comes within so many steps */
#define ASIDE_MAX 256
#define YEAR_MS (INT64_C(365) * 24 * 3600 * 1000)

static void later(struct world *w, uint32_t k, uint64_t delay)
{
	struct timer *t = world_timer(w, TIMER_HEAL, delay);

	t->a = k;
	t->b = w->healed_cuts;
}

/* ---- the network ---- */

/* Two sides, which no longer hear of each other, or one of them not. */
static void cut_change(struct world *w, const struct item *i, int by)
{
	struct dice d = {i->arg};
	bool side[SIM_NODES_MAX], one_way = dice_below(&d, 3) == 0;

	for (uint32_t k = 0; k < w->count; k++)
		side[k] = dice_below(&d, 2);
	for (uint32_t a = 0; a < w->count; a++)
		for (uint32_t b = 0; b < w->count; b++)
			if (side[a] != side[b] && (!one_way || side[a]))
				w->cut[a][b] = (uint8_t)(w->cut[a][b] + by);
}

static void cut(struct world *w, uint32_t k)
{
	const struct item *i = &w->p->items[k];

	cut_change(w, i, 1);
	later(w, k, i->len);
	world_say(w, "the network is cut");
	simnet_cut(w, world_chance(w, 3));
}

/* ---- the admins' acts ---- */

static void admit(struct world *w, struct simnode *by, enum item_kind kind)
{
	static const enum member_kind what[] = {MEMBER_ROLE, MEMBER_REMOVE, MEMBER_RETIRE};
	struct simnode *of = &w->nodes[world_below(w, w->count)];
	struct event ev = {.kind = EV_ADMIT};

	if (!by->node || of->no == 0 || by == of || of->liar)
		return; /* the first one stays what it is, and nobody trusts a liar more */
	ev.member.what = what[kind - ITEM_ROLE];
	ev.member.subject = of->config.device.pub;
	ev.member.role = ROLE_READER + (enum role)world_below(w, 3);
	enum err e = simnode_step(by, &ev);
	of->limited |= e == ERR_OK;
	world_say(w, "node %u makes node %u %s: %s", by->no, of->no,
		  kind == ITEM_ROLE ? role_text(ev.member.role) : plan_kind_text(kind),
		  err_text(e));
	if (e && e != ERR_REFUSED && e != ERR_NOENT && e != ERR_NOSPC)
		world_fail(w, "node %u: an admin's act says %s", by->no, err_text(e));
}

/* ---- what the brake holds ---- */

/* One of the devices of which it holds something; NULL: of none. */
static struct simnode *held_of(struct simnode *n)
{
	static struct node_aside at[ASIDE_MAX];
	struct world *w = n->w;
	uint32_t count = node_aside(n->node, at, ASIDE_MAX), held = 0;

	for (uint32_t k = 0; k < count; k++)
		if (at[k].why == ASIDE_BRAKE)
			at[held++] = at[k];
	if (held == 0)
		return NULL;
	const struct node_aside *one = &at[world_below(w, held)];
	for (uint32_t k = 0; k < w->count; k++)
		if (memcmp(&w->nodes[k].config.device.pub, &one->device, sizeof(one->device)) == 0)
			return &w->nodes[k];
	world_fail(w, "node %u: holds what a stranger made", n->no);
	return NULL;
}

bool faults_held(struct simnode *n)
{
	return n->node && held_of(n);
}

static void decide(struct simnode *by, enum member_kind what)
{
	struct world *w = by->w;
	struct event ev = {.kind = EV_ADMIT};

	if (!by->node || by->dying || by->liar)
		return;
	struct simnode *of = held_of(by);
	if (!of)
		return;
	ev.member.what = what;
	ev.member.subject = of->config.device.pub;
	enum err e = simnode_step(by, &ev);
	of->rejected |= e == ERR_OK && what == MEMBER_REJECT;
	world_say(w, "node %u %s what node %u did: %s", by->no,
		  what == MEMBER_REJECT ? "rejects" : "accepts", of->no, err_text(e));
	if (e && e != ERR_REFUSED && e != ERR_NOSPC)
		world_fail(w, "node %u: a decision says %s", by->no, err_text(e));
}

void faults_decide(struct world *w)
{
	w->dice.s = dice_mix(w->p->seed ^ dice_mix(w->now));
	for (uint32_t k = 0; k < w->count && !w->failed; k++)
		if (world_counts(w, k))
			decide(&w->nodes[k], world_chance(w, 3) ? MEMBER_REJECT : MEMBER_ACCEPT);
}

/* ---- devices ---- */

static void down(struct simnode *n, enum simnode_end how, uint64_t len)
{
	if (!n->node)
		return;
	simnode_end(n, how);
	(void)world_timer_of(n, TIMER_START, len);
}

static void crash_soon(struct simnode *n, uint64_t len)
{
	struct world *w = n->w;

	n->armed = world_chance(w, 2) ? CRASH_KILL : CRASH_POWER;
	n->crash_in = 1 + (uint32_t)world_below(w, CRASH_STEPS);
	n->crash_done = (uint32_t)world_below(w, 6);
	n->crash_len = len;
}

static void clock_jumps(struct simnode *n)
{
	struct world *w = n->w;
	int64_t ms = (int64_t)world_below(w, 7200000) - 3600000;

	if (world_chance(w, 6))
		ms = world_chance(w, 2) ? YEAR_MS : -YEAR_MS;
	n->skew_ms += ms;
	world_say(w, "node %u: the clock jumps by %lld ms", n->no, (long long)ms);
}

static void disk_full(struct world *w, uint32_t k)
{
	struct simnode *n = &w->nodes[w->p->items[k].node];

	n->full_until = w->now + w->p->items[k].len;
	n->full_all = world_chance(w, 2);
	later(w, k, w->p->items[k].len);
	world_say(w, "node %u: the disk is full%s", n->no, n->full_all ? " to the brim" : "");
}

static void rot(struct simnode *n)
{
	if (world_chance(n->w, 2)) {
		n->rot_sends = 1 + (uint32_t)world_below(n->w, 3);
		world_say(n->w, "node %u: the next it reads for others is rotten", n->no);
		return;
	}
	simnode_repair(n);
	if (n->disk.pieces_count) {
		uint32_t k = (uint32_t)world_below(n->w, n->disk.pieces_count);
		n->rotten = n->disk.pieces[k];
		n->disk.packs.at[n->rotten.addr + n->rotten.len / 2] ^= 1;
		world_say(n->w, "node %u: a piece is rotten", n->no);
	}
}

void faults_item(struct world *w, uint32_t k)
{
	const struct item *i = &w->p->items[k];
	struct simnode *n = &w->nodes[i->node];

	switch ((int)i->kind) {
	case ITEM_ROLE:
	case ITEM_EXPEL:
	case ITEM_RETIRE:
		admit(w, n, i->kind);
		break;
	case ITEM_ACCEPT:
	case ITEM_REJECT:
		decide(n, i->kind == ITEM_ACCEPT ? MEMBER_ACCEPT : MEMBER_REJECT);
		break;
	case ITEM_CUT:
		cut(w, k);
		break;
	case ITEM_BREAK:
		simnet_break(n);
		break;
	case ITEM_HALF:
		simnet_half(n);
		break;
	case ITEM_POWER:
		down(n, SIMNODE_POWER, i->len);
		break;
	case ITEM_KILL:
		down(n, SIMNODE_KILL, i->len);
		break;
	case ITEM_CRASH:
		crash_soon(n, i->len);
		break;
	case ITEM_STOP:
		simnode_stop(n);
		break;
	case ITEM_COMMIT:
		simnode_commit(n);
		break;
	case ITEM_CLOCK:
		clock_jumps(n);
		break;
	case ITEM_FULL:
		disk_full(w, k);
		break;
	case ITEM_IMAGE:
		simnode_image(n);
		break;
	case ITEM_RESTORE:
		simnode_restore(n, i->len);
		break;
	case ITEM_ROT:
		rot(n);
		break;
	case ITEM_LIE:
		liar_acts(n);
		break;
	case ITEM_AUDIT:
		oracle_audit(n);
		break;
	default:
		break;
	}
}

/* ---- the end of it ---- */

void faults_over(struct world *w, const struct timer *t)
{
	const struct item *i = &w->p->items[t->a];
	struct simnode *n = &w->nodes[i->node];

	if (i->kind == ITEM_CUT && t->b == w->healed_cuts) {
		cut_change(w, i, -1);
		world_say(w, "a cut has healed");
	}
	if (i->kind == ITEM_FULL && n->full_until && n->full_until <= w->now)
		simnode_space(n);
}

void faults_heal(struct world *w)
{
	memset(w->cut, 0, sizeof(w->cut));
	w->healed_cuts++;
	for (uint32_t k = 0; k < w->count && !w->failed; k++) {
		struct simnode *n = &w->nodes[k];
		n->armed = CRASH_NONE;
		n->rot_sends = 0;
		simnode_repair(n);
		if (n->full_until)
			simnode_space(n);
		if (!n->node)
			simnode_start(n);
		else if (!n->stopping)
			simfile_close_all(n);
	}
	world_say(w, "healed");
}
