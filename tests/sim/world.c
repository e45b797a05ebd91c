// SPDX-License-Identifier: MIT
/*
 * world.c - one run: make a folder, let devices join, let users and faults loose, heal, judge
 *
 *	join --all are members--> safety (users, faults) --acts done--> liveness (healed, quiet)
 *	--converged--> read everything --> silence: nobody writes any more
 *
 * I1  everything random comes from w->rng, in the order of the timers; nothing depends on
 *     addresses, real time or the environment
 */
#include "world.h"
#include "oracle.h"
#include "simfile.h"
#include "simnet.h"
#include "simnode.h"
#include "users.h"
#include <stdarg.h>
#include <stdlib.h>

#define JOIN_LIMIT (20 * 60 * SIM_SECOND)
#define HEAL_LIMIT (10 * 60 * SIM_SECOND)
#define READ_LIMIT (10 * 60 * SIM_SECOND)
#define MEET (10 * SIM_SECOND) /* in this time all that may be connected are */
#define SILENCE (90 * SIM_SECOND)
#define STEPS_MAX UINT64_C(3000000) /* of all nodes: more is a storm */

enum heal { HEAL_CUTS = 1 };

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
	if (w->o.verbose)
		err_trail(tell_birth, NULL);
}

void world_say(const struct world *w, const char *format, ...)
{
	va_list args;

	if (!w->o.verbose)
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

bool world_chance(struct world *w, uint32_t one_in)
{
	return one_in && rng_below(&w->rng, one_in) == 0;
}

uint64_t world_about(struct world *w, uint64_t usec)
{
	return 1 + rng_below(&w->rng, 2 * usec + 1);
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

/* ---- faults ---- */

static void cut_some(struct world *w, bool one_way)
{
	bool side[SIM_NODES_MAX];

	for (uint32_t k = 0; k < w->count; k++)
		side[k] = world_chance(w, 2);
	for (uint32_t a = 0; a < w->count; a++)
		for (uint32_t b = 0; b < w->count; b++)
			w->cut[a][b] |= side[a] != side[b] && (!one_way || side[a]);
	simnet_cut(w, one_way && w->f.clog);
	world_timer(w, TIMER_HEAL, world_about(w, 10 * SIM_SECOND))->a = HEAL_CUTS;
	world_say(w, "the network is cut%s", one_way ? " one way" : "");
}

/* An admin gives somebody else another role; the first one stays what it is. */
static void change_role(struct world *w)
{
	struct simnode *by = &w->nodes[rng_below(&w->rng, w->count)];
	struct simnode *of = &w->nodes[rng_below(&w->rng, w->count)];
	struct event ev = {.kind = EV_ADMIT};

	if (!by->node || of->no == 0 || by == of)
		return;
	ev.member.what = MEMBER_ROLE;
	ev.member.subject = of->config.device.pub;
	ev.member.role = ROLE_READER + (enum role)rng_below(&w->rng, 3);
	enum err e = simnode_step(by, &ev);
	world_say(w, "node %u makes node %u %s: %s", by->no, of->no, role_text(ev.member.role),
		  err_text(e));
	if (e && e != ERR_REFUSED && e != ERR_NOENT)
		world_fail(w, "node %u: a change of role says %s", by->no, err_text(e));
}

static void fault(struct world *w)
{
	struct simnode *n = &w->nodes[rng_below(&w->rng, w->count)];
	uint64_t down = world_about(w, 5 * SIM_SECOND);

	world_timer(w, TIMER_FAULT, world_about(w, w->f.pause_usec));
	if (w->healed)
		return;
	switch (rng_below(&w->rng, 6)) {
	case 0:
	case 1:
		if (w->f.partition)
			cut_some(w, w->f.clog && world_chance(w, 2));
		break;
	case 2:
		if (w->f.power && n->node) {
			simnode_end(n, SIMNODE_POWER);
			(void)world_timer_of(n, TIMER_START, down);
		}
		break;
	case 3:
		if (w->f.kill && n->node) {
			simnode_end(n, SIMNODE_KILL);
			(void)world_timer_of(n, TIMER_START, down);
		}
		break;
	case 4:
		if (w->f.clean)
			simnode_stop(n);
		break;
	default:
		if (w->f.roles && world_chance(w, 2))
			change_role(w);
		else
			simnode_commit(n);
		break;
	}
}

static void heal(struct world *w)
{
	memset(w->cut, 0, sizeof(w->cut));
	world_say(w, "the network is whole again");
}

/* ---- the loop ---- */

static void settle_stopping(struct world *w)
{
	for (uint32_t k = 0; k < w->count; k++) {
		struct simnode *n = &w->nodes[k];
		if (!n->node || !n->stopping || !node_idle(n->node))
			continue;
		simnode_end(n, SIMNODE_CLEAN);
		(void)world_timer_of(n, TIMER_START, world_about(w, SIM_SECOND));
	}
}

static void on_user(struct world *w)
{
	if (w->quiet || w->acts == 0)
		return;
	w->acts--;
	world_timer(w, TIMER_USER, world_about(w, w->f.user_usec));
	users_act(w);
}

static void next(struct world *w)
{
	struct timer t = timer_take(w);

	w->now = t.at;
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
	case TIMER_USER:
		on_user(w);
		break;
	case TIMER_FAULT:
		fault(w);
		break;
	case TIMER_HEAL:
		heal(w);
		break;
	}
	free(t.bytes);
	if (!w->failed)
		settle_stopping(w);
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

bool world_converged(struct world *w, char *why, size_t size)
{
	struct node_counts c;

	why[0] = '\0';
	for (uint32_t k = 0; k < w->count; k++) {
		struct simnode *n = &w->nodes[k];
		if (!n->node) {
			snprintf(why, size, "node %u is down", k);
			return false;
		}
		node_counts(n->node, &c);
		if (!node_is_member(n->node))
			snprintf(why, size, "node %u is no member", k);
		else if (!node_idle(n->node))
			snprintf(why, size, "node %u is not idle: %llu works, %llu records held", k,
				 (unsigned long long)c.works, (unsigned long long)c.records_held);
		else if (c.waiting_bundles)
			snprintf(why, size, "node %u: %llu bundles wait", k,
				 (unsigned long long)c.waiting_bundles);
		else if (!vector_equal(node_vector(n->node), node_vector(w->nodes[0].node)))
			snprintf(why, size, "node %u has not the bundles that node 0 has", k);
		if (why[0])
			return false;
	}
	if (!simnet_silent(w))
		snprintf(why, size, "messages are on their way");
	return !why[0];
}

static bool converged(struct world *w)
{
	char why[256];

	return w->nodes[0].node && world_converged(w, why, sizeof(why));
}

static bool acts_done(struct world *w)
{
	return w->acts == 0;
}

static bool reads_done(struct world *w)
{
	return !simfile_reading(w);
}

/* ---- beginning ---- */

static void draw_faults(struct world *w)
{
	struct faults *f = &w->f;
	static const uint64_t delays[] = {0, 1000, 20000, 300000};

	f->delay_usec = delays[rng_below(&w->rng, ARRAY_LEN(delays))];
	f->loss = world_chance(w, 2) ? 50 + (uint32_t)rng_below(&w->rng, 1000) : 0;
	f->skew_ms = world_chance(w, 2) ? rng_below(&w->rng, 600000) : 0;
	f->partition = world_chance(w, 2);
	f->clog = world_chance(w, 2);
	f->power = world_chance(w, 3);
	f->kill = world_chance(w, 3);
	f->clean = world_chance(w, 3);
	f->early = world_chance(w, 4);
	f->roles = world_chance(w, 6) && w->o.roles;
	f->pause_usec = SIM_SECOND + rng_below(&w->rng, 20 * SIM_SECOND);
	f->user_usec = 2000 + rng_below(&w->rng, 2 * SIM_SECOND);
	f->big = world_chance(w, 2) ? 10 : 60;
}

static uint32_t draw_count(struct world *w)
{
	if (w->o.nodes)
		return MIN(w->o.nodes, (uint32_t)SIM_NODES_MAX);
	if (world_chance(w, 200))
		return 20 + (uint32_t)rng_below(&w->rng, 31);
	if (world_chance(w, 12))
		return 6 + (uint32_t)rng_below(&w->rng, 6);
	return 2 + (uint32_t)rng_below(&w->rng, 4);
}

static void node_setup(struct world *w, uint32_t k)
{
	struct simnode *n = &w->nodes[k];
	uint8_t seed[32];

	n->w = w;
	n->no = k;
	n->tick_at = UINT64_MAX;
	rng_bytes(&w->rng, seed, sizeof(seed));
	sign_pair_init(&n->config.device, seed);
	snprintf(n->config.device_name, sizeof(n->config.device_name), "device%u", k);
	n->config.read_timeout_ms = 20000;
	n->role = k == 0 || world_chance(w, 4) ? ROLE_ADMIN : ROLE_WRITER;
	if (k > 1 && world_chance(w, 6))
		n->role = ROLE_READER;
	if (w->f.skew_ms)
		n->skew_ms = (int64_t)rng_below(&w->rng, 2 * w->f.skew_ms) - (int64_t)w->f.skew_ms;
	rng_bytes(&w->rng, n->secret, sizeof(n->secret));
	n->joining = k > 0;
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

static void begin(struct world *w)
{
	rng_init_number(&w->rng, w->o.seed);
	seal_use_fake(w->o.seed % 100 != 99);
	draw_faults(w);
	w->count = draw_count(w);
	w->f.tiny = w->count > SIM_MESH_MAX;
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
	w->acts = w->o.steps ? w->o.steps : 20 + (uint32_t)rng_below(&w->rng, 200);
	if (w->f.tiny && !w->o.steps)
		w->acts = MIN(w->acts, 60u);
	world_say(
		w,
		"seed %llu: %u nodes, %u acts, delay %llu us, loss 1/%u, skew %llu ms%s%s%s%s%s%s",
		(unsigned long long)w->o.seed, w->count, w->acts,
		(unsigned long long)w->f.delay_usec, w->f.loss, (unsigned long long)w->f.skew_ms,
		w->f.partition ? ", partitions" : "", w->f.clog ? ", clogs" : "",
		w->f.power ? ", power cuts" : "", w->f.kill ? ", kills" : "",
		w->f.clean ? ", stops" : "", w->f.roles ? ", roles" : "");
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
	w->healed = !w->f.early;
	world_timer(w, TIMER_FAULT, world_about(w, w->f.pause_usec));
	if (!run(w, JOIN_LIMIT, all_members))
		world_fail(w, "not all have joined");
}

static void safety(struct world *w)
{
	w->healed = false;
	world_timer(w, TIMER_USER, 1);
	(void)run(w, UINT64_MAX / 2, acts_done);
}

static void liveness(struct world *w)
{
	char why[256];

	if (w->failed)
		return;
	w->healed = w->quiet = true;
	heal(w);
	for (uint32_t k = 0; k < w->count && !w->failed; k++) {
		struct simnode *n = &w->nodes[k];
		if (!n->node)
			simnode_start(n);
		else if (!n->stopping)
			simfile_close_all(n);
	}
	world_say(w, "healed");
	if (!run(w, HEAL_LIMIT, converged) && !w->failed) {
		(void)world_converged(w, why, sizeof(why));
		world_fail(w, "has not converged: %s", why);
	}
	(void)run(w, MEET, NULL);
}

/* Once converged, nobody writes any more, whatever time passes. */
static void silence(struct world *w)
{
	struct vector *before;
	char why[256];

	if (w->failed)
		return;
	before = vector_ref(node_vector(w->nodes[0].node));
	(void)run(w, SILENCE, NULL);
	if (!w->failed && !vector_equal(before, node_vector(w->nodes[0].node)))
		world_fail(w, "somebody wrote though all was quiet");
	if (!w->failed && !world_converged(w, why, sizeof(why)))
		world_fail(w, "no longer converged: %s", why);
	vector_unref(before);
}

enum world_answer world_run(const struct options *o, uint64_t *trace, char why[1024])
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	w->o = *o;
	begin(w);
	if (!w->failed)
		join(w);
	if (!w->failed)
		safety(w);
	liveness(w);
	if (!w->failed)
		oracle_end(w);
	if (!w->failed) {
		simfile_read_all(w);
		if (!run(w, READ_LIMIT, reads_done))
			world_fail(w, "reads do not end");
	}
	silence(w);
	if (!w->failed)
		oracle_end(w);
	end(w);
	enum world_answer a = w->failed ? WORLD_FAILED : WORLD_OK;
	*trace = w->trace;
	memcpy(why, w->why, 1024);
	free(w);
	return a;
}
