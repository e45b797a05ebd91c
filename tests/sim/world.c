// SPDX-License-Identifier: MIT
/*
 * world.c - one run: make a folder, let devices join, carry out the plan, heal, judge
 *
 *	join --all are members--> safety (the plan) --all done--> liveness (healed, quiet)
 *	--converged--> read everything --> silence: nobody writes any more
 *
 * I1  everything random comes from the plan or from w->dice, which are cast anew for each timer
 *     from the seed, the time and whom it concerns; nothing depends on addresses, real time or
 *     the environment
 */
#include "world.h"
#include "faults.h"
#include "liar.h"
#include "oracle.h"
#include "simfile.h"
#include "simnet.h"
#include "simnode.h"
#include "simpool.h"
#include "users.h"
#include <stdarg.h>
#include <stdlib.h>

#define JOIN_LIMIT (20 * 60 * SIM_SECOND)
#define HEAL_LIMIT (10 * 60 * SIM_SECOND)
#define READ_LIMIT (10 * 60 * SIM_SECOND)
#define MEET (10 * SIM_SECOND) /* in this time all that may be connected are */
#define DECIDE (5 * SIM_SECOND) /* members look so often what their brakes hold */
#define BRAKE_SHARE 10 /* percent */
#define SILENCE (90 * SIM_SECOND)
#define SEASON_ACTS 12
#define FORGET_LIMIT (10 * 60 * SIM_SECOND)
#define STEPS_MAX UINT64_C(3000000) /* of all nodes: more is a storm */

/* ---- telling ---- */

static void tell_birth(void *arg, enum err e, const char *file, int line)
{
	(void)arg;
	printf("    %s:%d: %s\n", file, line, err_text(e));
}

void world_fail(struct world *w, const char *format, ...)
{
	va_list args;

	if (w->failed)
		return;
	w->failed = true;
	int n = snprintf(w->why, sizeof(w->why),
			 "at %llu.%06llu s: ", (unsigned long long)(w->now / SIM_SECOND),
			 (unsigned long long)(w->now % SIM_SECOND));
	va_start(args, format);
	vsnprintf(w->why + n, sizeof(w->why) - (size_t)n, format, args);
	va_end(args);
	if (w->verbose)
		err_trail(tell_birth, NULL);
}

void world_say(const struct world *w, const char *format, ...)
{
	va_list args;

	if (!w->verbose)
		return;
	printf("%8llu.%06llu  ", (unsigned long long)(w->now / SIM_SECOND),
	       (unsigned long long)(w->now % SIM_SECOND));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

void world_trace(struct world *w, const void *at, size_t len)
{
	w->trace = hash_xxh((struct bytes){at, len}, w->trace);
}

void world_trace_u64(struct world *w, uint64_t v)
{
	world_trace(w, &v, sizeof(v));
}

/* ---- chance ---- */

uint64_t world_below(struct world *w, uint64_t bound)
{
	return dice_below(&w->dice, bound);
}

bool world_chance(struct world *w, uint32_t one_in)
{
	return one_in && dice_below(&w->dice, one_in) == 0;
}

uint64_t world_about(struct world *w, uint64_t usec)
{
	return 1 + dice_below(&w->dice, 2 * usec + 1);
}

/* I1.  Numbers that shift when something else is left out (sessions, works) have no part in it. */
static void cast(struct world *w, const struct timer *t)
{
	uint64_t pair = t->kind == TIMER_CONNECT ? t->a << 8 | t->b : 0;

	w->dice.s = dice_mix(w->p->seed ^ dice_mix(t->at)) +
		    dice_mix((uint64_t)t->kind << 32 | t->node << 16 | pair);
}

/* ---- timers ---- */

static bool earlier(const struct timer *a, const struct timer *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

struct timer *world_timer(struct world *w, enum timer_kind kind, uint64_t delay)
{
	struct timer t = {.kind = kind, .at = w->now + delay, .seq = ++w->seq};
	uint32_t k = w->heap_count++;

	if (k == w->heap_room) {
		w->heap_room = w->heap_room ? w->heap_room * 2 : 256;
		w->heap = realloc(w->heap, w->heap_room * sizeof(*w->heap));
		assert(w->heap);
	}
	while (k && earlier(&t, &w->heap[(k - 1) / 2])) {
		w->heap[k] = w->heap[(k - 1) / 2];
		k = (k - 1) / 2;
	}
	w->heap[k] = t;
	return &w->heap[k]; /* a, b and bytes have no part in the order */
}

struct timer *world_timer_of(struct simnode *n, enum timer_kind kind, uint64_t delay)
{
	struct timer *t = world_timer(n->w, kind, delay);

	t->node = n->no;
	t->life = n->life;
	return t;
}

static struct timer timer_take(struct world *w)
{
	struct timer first = w->heap[0], last = w->heap[--w->heap_count];
	uint32_t k = 0;

	for (;;) {
		uint32_t c = 2 * k + 1;
		if (c >= w->heap_count)
			break;
		if (c + 1 < w->heap_count && earlier(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (earlier(&last, &w->heap[c]))
			break;
		w->heap[k] = w->heap[c];
		k = c;
	}
	w->heap[k] = last;
	return first;
}

/* ---- the loop ---- */

static void settle(struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++) {
		struct simnode *n = &w->nodes[k];
		if (n->node && n->dying) {
			simnode_end(n, n->dying == CRASH_KILL ? SIMNODE_KILL : SIMNODE_POWER);
			(void)world_timer_of(n, TIMER_START, n->crash_len);
		}
		if (!n->node || !n->stopping || !node_idle(n->node))
			continue;
		simnode_end(n, SIMNODE_CLEAN);
		(void)world_timer_of(n, TIMER_START, world_about(w, SIM_SECOND));
	}
}

static void on_item(struct world *w, uint64_t k)
{
	const struct item *i = &w->p->items[k];

	w->items--;
	w->dice.s = i->arg;
	if (i->kind < ITEM_ROLE)
		users_act(&w->nodes[i->node], i->kind);
	else if (!w->healed)
		faults_item(w, (uint32_t)k);
}

static void next(struct world *w)
{
	struct timer t = timer_take(w);

	w->now = t.at;
	cast(w, &t);
	switch (t.kind) {
	case TIMER_TICK:
	case TIMER_SEAL:
	case TIMER_BUNDLE:
	case TIMER_READ:
	case TIMER_START:
	case TIMER_STOP:
		simnode_timer(&w->nodes[t.node], &t);
		break;
	case TIMER_DELIVER:
	case TIMER_DOWN:
	case TIMER_BREAK:
	case TIMER_CONNECT:
		simnet_timer(w, &t);
		break;
	case TIMER_ITEM:
		on_item(w, t.a);
		break;
	case TIMER_HEAL:
		faults_over(w, &t);
		break;
	}
	free(t.bytes);
	if (!w->failed)
		settle(w);
	for (unsigned k = 1; w->steps > STEPS_MAX && k <= EV_TICK; k++)
		world_say(w, "%llu events of kind %u", (unsigned long long)w->events[k], k);
	if (w->steps > STEPS_MAX)
		world_fail(w, "a storm: %llu steps", (unsigned long long)w->steps);
}

/* Run for so long, or until done() says so; false: it never did. */
static bool run(struct world *w, uint64_t usec, bool (*done)(struct world *w))
{
	uint64_t end = w->now + usec, look = w->now;

	while (!w->failed && w->heap_count && w->heap[0].at <= end) {
		if (done && w->now >= look) {
			if (done(w))
				return true;
			look = w->now + SIM_SECOND / 4;
		}
		next(w);
	}
	return !w->failed && done && done(w);
}

/* ---- where it stands ---- */

static bool all_members(struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++)
		if (!w->nodes[k].node || !node_is_member(w->nodes[k].node))
			return false;
	return true;
}

bool world_counts(const struct world *w, uint32_t k)
{
	struct node *first = w->nodes[0].node;

	return !w->nodes[k].liar &&
	       (!first || node_role(first, &w->nodes[k].config.device.pub) != ROLE_NONE);
}

/* What is done waits until somebody listens. */
static bool alone(const struct world *w)
{
	uint32_t others = 0;

	for (uint32_t k = 1; k < w->count; k++)
		others += world_counts(w, k);
	return others == 0;
}

bool world_converged(struct world *w, char *why, size_t size)
{
	struct node_counts c;

	why[0] = '\0';
	for (uint32_t k = 0; k < w->count; k++) {
		struct simnode *n = &w->nodes[k];
		if (!world_counts(w, k))
			continue;
		if (!n->node) {
			snprintf(why, size, "node %u is down", k);
			return false;
		}
		node_counts(n->node, &c);
		if (!node_is_member(n->node))
			snprintf(why, size, "node %u is no member", k);
		else if (!node_idle(n->node) && !alone(w))
			snprintf(why, size, "node %u is not idle: %llu works, %llu records held", k,
				 (unsigned long long)c.works, (unsigned long long)c.records_held);
		else if (c.waiting_bundles && !plan_lies(w->p))
			snprintf(why, size, "node %u: %llu bundles wait", k,
				 (unsigned long long)c.waiting_bundles);
		else if (!vector_equal(node_vector(n->node), node_vector(w->nodes[0].node)))
			snprintf(why, size, "node %u has not the bundles that node 0 has", k);
		if (why[0])
			return false;
	}
	if (!simnet_silent(w) && !plan_lies(w->p))
		snprintf(why, size, "messages are on their way");
	return !why[0];
}

static bool converged(struct world *w)
{
	char why[256];

	return w->nodes[0].node && world_converged(w, why, sizeof(why));
}

static bool undecided(struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++)
		if (world_counts(w, k) && faults_held(&w->nodes[k]))
			return true;
	return false;
}

static bool decided(struct world *w)
{
	return converged(w) && !undecided(w);
}

static bool plan_done(struct world *w)
{
	return w->items == 0;
}

static bool reads_done(struct world *w)
{
	return !simfile_reading(w);
}

/* ---- beginning ---- */

static void node_setup(struct world *w, uint32_t k)
{
	struct simnode *n = &w->nodes[k];
	const struct plan_node *p = &w->p->nodes[k];

	n->w = w;
	n->no = k;
	n->tick_at = UINT64_MAX;
	simpool_pair(&n->config.device, (uint8_t)((w->p->seed + 5 * k) % 256));
	snprintf(n->config.device_name, sizeof(n->config.device_name), "device%u", k);
	n->config.read_timeout_ms = 20000;
	if (p->brake)
		n->config.brake = (struct brake_limits){BRAKE_SHARE, p->brake};
	n->role = p->role;
	n->skew_ms = p->skew_ms;
	n->drift_ppm = p->drift_ppm;
	dice_bytes(&w->dice, n->secret, sizeof(n->secret));
	n->joining = k > 0;
	if (p->lies)
		liar_init(n, p->lies);
}

static void invite_all(struct world *w)
{
	for (uint32_t k = 1; k < w->count && !w->failed; k++) {
		struct event ev = {.kind = EV_INVITE};
		memcpy(ev.invite.secret, w->nodes[k].secret, sizeof(ev.invite.secret));
		ev.invite.role = w->nodes[k].role;
		ev.invite.expires_ms = INT64_MAX;
		enum err e = simnode_step(&w->nodes[0], &ev);
		if (e)
			world_fail(w, "invite says %s", err_text(e));
	}
	simdisk_sync(&w->nodes[0].disk);
}

static void items_begin(struct world *w, bool early)
{
	for (uint32_t k = 0; k < w->p->items_count; k++) {
		if (w->p->items[k].early != early)
			continue;
		world_timer(w, TIMER_ITEM, w->p->items[k].at)->a = k;
		w->items++;
	}
}

static void begin(struct world *w)
{
	seal_use_fake(!w->p->real);
	w->dice.s = dice_mix(w->p->seed);
	w->count = w->p->count;
	w->nodes = calloc(w->count, sizeof(*w->nodes));
	assert(w->nodes);
	oracle_init(w);
	for (uint32_t k = 0; k < w->count; k++)
		node_setup(w, k);
	simnode_found(&w->nodes[0]);
	for (uint32_t k = 0; k < w->count && !w->failed; k++) {
		w->nodes[k].config.folder = w->nodes[0].config.folder;
		simnode_start(&w->nodes[k]);
	}
	if (!w->failed)
		invite_all(w);
	simnet_init(w);
	if (w->verbose)
		plan_write(w->p, stdout);
}

static void end(struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++)
		simnode_free(&w->nodes[k]);
	simnet_fini(w);
	while (w->heap_count) {
		struct timer t = timer_take(w);
		free(t.bytes);
	}
	free(w->heap);
	free(w->nodes);
	oracle_fini(w);
}

/* ---- phases ---- */

static void join(struct world *w)
{
	items_begin(w, true);
	w->healed = w->items == 0;
	if (!run(w, JOIN_LIMIT, all_members))
		world_fail(w, "not all have joined");
}

static void safety(struct world *w)
{
	w->healed = false;
	items_begin(w, false);
	(void)run(w, UINT64_MAX / 2, plan_done);
}

/* Until all have converged; members decide about what is held meanwhile. */
static bool settles(struct world *w)
{
	if (!plan_brakes(w->p))
		return run(w, HEAL_LIMIT, converged);
	for (uint64_t end = w->now + HEAL_LIMIT; !w->failed && w->now < end;) {
		uint64_t before = w->now;
		if (run(w, DECIDE, decided))
			return true;
		w->now = MAX(w->now, before + DECIDE);
		faults_decide(w);
	}
	return false;
}

static void liveness(struct world *w)
{
	char why[256];

	if (w->failed)
		return;
	w->healed = w->quiet = true;
	faults_heal(w);
	if (!settles(w) && !w->failed) {
		(void)world_converged(w, why, sizeof(why));
		world_fail(w, "has not converged: %s", why);
	}
	(void)run(w, MEET, NULL);
}

/* What a liar kept back until now may just be on its way through the others. */
static void judge(struct world *w)
{
	if (!w->failed && plan_lies(w->p) && !settles(w))
		world_fail(w, "no longer of one mind, for what liars say");
	if (!w->failed)
		oracle_end(w);
}

/* It still is, but for what devices say to each other now and then. */
static void still_converged(struct world *w)
{
	char why[256];

	if (run(w, MEET, converged) || w->failed)
		return;
	(void)world_converged(w, why, sizeof(why));
	world_fail(w, "no longer converged: %s", why);
}

/* Once converged, nobody writes any more, whatever time passes.  What liars say does not count. */
static void silence(struct world *w)
{
	if (w->failed)
		return;
	uint32_t before = oracle_bundles(w);
	(void)run(w, SILENCE, NULL);
	/* One that is alone with liars publishes when one of them listens. */
	if (!w->failed && oracle_bundles(w) != before && !alone(w))
		world_fail(w, "somebody wrote though all was quiet");
	if (!plan_lies(w->p))
		still_converged(w);
}

/* All that was removed is forgotten, everywhere, and all show the same as before. */
static void forgetting(struct world *w)
{
	if (!run(w, FORGET_LIMIT, oracle_forgotten) && !w->failed)
		world_fail(w, "removals are still remembered");
	still_converged(w);
	if (!w->failed)
		oracle_end(w);
}

/* A few acts more, on what is left. */
static void second_season(struct world *w)
{
	if (w->failed)
		return;
	w->quiet = false;
	for (uint32_t k = 0; k < SEASON_ACTS && !w->failed; k++) {
		w->dice.s = dice_mix(w->p->seed + k);
		struct simnode *n = &w->nodes[dice_below(&w->dice, w->count)];
		users_act(n, ITEM_MAKE + (enum item_kind)dice_below(&w->dice, ITEM_FSYNC));
		(void)run(w, SIM_SECOND, NULL);
	}
	liveness(w);
	if (!w->failed)
		oracle_end(w);
}

enum world_answer world_run(const struct plan *p, bool verbose, struct world_sum *sum,
			    char why[1024])
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	w->p = p;
	w->verbose = verbose;
	begin(w);
	if (!w->failed)
		join(w);
	if (!w->failed)
		safety(w);
	liveness(w);
	judge(w);
	if (!w->failed) {
		simfile_read_all(w);
		if (!run(w, READ_LIMIT, reads_done))
			world_fail(w, "reads do not end");
	}
	silence(w);
	judge(w);
	if (!w->failed && !plan_lies(w->p)) {
		forgetting(w);
		second_season(w);
	}
	if (!w->failed && !plan_lies(w->p))
		forgetting(w);
	end(w);
	enum world_answer a = w->failed ? WORLD_FAILED : WORLD_OK;
	*sum = (struct world_sum){w->trace, w->applied};
	memcpy(why, w->why, 1024);
	free(w);
	return a;
}
