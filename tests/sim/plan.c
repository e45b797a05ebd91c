// SPDX-License-Identifier: MIT
/* plan.c - see plan.h */
#include "plan.h"
#include "liar.h"
#include <inttypes.h>
#include <stdlib.h>

#define LINE_MAX_BYTES 256
#define YEAR_MS (INT64_C(365) * 24 * 3600 * 1000)

static const char *const kinds[ITEM_KINDS] = {
	[ITEM_MAKE] = "make",       [ITEM_MKDIR] = "mkdir",   [ITEM_SYMLINK] = "symlink",
	[ITEM_WRITE] = "write",     [ITEM_REMOVE] = "remove", [ITEM_RENAME] = "rename",
	[ITEM_LINK] = "link",       [ITEM_CHMOD] = "chmod",   [ITEM_XATTR] = "xattr",
	[ITEM_RESOLVE] = "resolve", [ITEM_READ] = "read",     [ITEM_GO_ON] = "go-on",
	[ITEM_FSYNC] = "fsync",     [ITEM_ROLE] = "role",     [ITEM_EXPEL] = "expel",
	[ITEM_RETIRE] = "retire",   [ITEM_CUT] = "cut",       [ITEM_BREAK] = "break",
	[ITEM_HALF] = "half",       [ITEM_POWER] = "power",   [ITEM_KILL] = "kill",
	[ITEM_CRASH] = "crash",     [ITEM_STOP] = "stop",     [ITEM_COMMIT] = "commit",
	[ITEM_CLOCK] = "clock",     [ITEM_FULL] = "full",     [ITEM_IMAGE] = "image",
	[ITEM_RESTORE] = "restore", [ITEM_ROT] = "rot",       [ITEM_LIE] = "lie",
	[ITEM_AUDIT] = "audit",     [ITEM_ACCEPT] = "accept", [ITEM_REJECT] = "reject"};

const char *plan_kind_text(enum item_kind k)
{
	return kinds[k];
}

void plan_fini(struct plan *p)
{
	free(p->items);
	*p = (struct plan){0};
}

void plan_copy(struct plan *to, const struct plan *from)
{
	*to = *from;
	to->items_room = from->items_count;
	to->items = malloc((from->items_count + 1) * sizeof(*to->items));
	assert(to->items);
	if (from->items_count)
		memcpy(to->items, from->items, from->items_count * sizeof(*to->items));
}

static struct item *add(struct plan *p)
{
	if (p->items_count == p->items_room) {
		p->items_room = p->items_room ? p->items_room * 2 : 64;
		p->items = realloc(p->items, p->items_room * sizeof(*p->items));
		assert(p->items);
	}
	struct item *i = &p->items[p->items_count++];
	*i = (struct item){0};
	return i;
}

bool plan_has(const struct plan *p, enum item_kind from, enum item_kind to)
{
	for (uint32_t k = 0; k < p->items_count; k++)
		if (p->items[k].kind >= from && p->items[k].kind <= to)
			return true;
	return false;
}

bool plan_lies(const struct plan *p)
{
	for (uint32_t k = 0; k < p->count; k++)
		if (p->nodes[k].lies)
			return true;
	return false;
}

bool plan_brakes(const struct plan *p)
{
	for (uint32_t k = 0; k < p->count; k++)
		if (p->nodes[k].brake)
			return true;
	return false;
}

/* ---- drawing ---- */

struct draw {
	struct dice d;
	struct plan *p;
	const struct options *o;
	bool on[ITEM_KINDS]; /* the faults that this seed turns on */
	bool flap;
	uint64_t user_usec, pause_usec, end;
};

static bool chance(struct draw *d, uint32_t one_in)
{
	return one_in && dice_below(&d->d, one_in) == 0;
}

static uint64_t about(struct draw *d, uint64_t usec)
{
	return 1 + dice_below(&d->d, 2 * usec + 1);
}

static uint32_t draw_count(struct draw *d)
{
	if (d->o->nodes)
		return MIN(d->o->nodes, (uint32_t)SIM_NODES_MAX);
	if (d->o->small)
		return 2 + (uint32_t)dice_below(&d->d, 5) / 2;
	if (chance(d, 200))
		return 20 + (uint32_t)dice_below(&d->d, 31);
	if (chance(d, 12))
		return 6 + (uint32_t)dice_below(&d->d, 6);
	return 2 + (uint32_t)dice_below(&d->d, 4);
}

static void draw_nodes(struct draw *d)
{
	struct plan *p = d->p;
	int64_t skew = chance(d, 2) ? (int64_t)dice_below(&d->d, 600000) : 0;
	uint32_t drift = chance(d, 4) ? 1 + (uint32_t)dice_below(&d->d, 100000) : 0;

	for (uint32_t k = 0; k < p->count; k++) {
		struct plan_node *n = &p->nodes[k];
		n->role = k == 0 || chance(d, 4) ? ROLE_ADMIN : ROLE_WRITER;
		if (k > 1 && chance(d, 6))
			n->role = ROLE_READER;
		if (skew)
			n->skew_ms = (int64_t)dice_below(&d->d, 2 * (uint64_t)skew) - skew;
		if (drift)
			n->drift_ppm = (int32_t)dice_below(&d->d, 2 * drift + 1) - (int32_t)drift;
		if (skew && chance(d, 30)) /* somebody's battery is dead */
			n->skew_ms += chance(d, 2) ? YEAR_MS : -YEAR_MS;
	}
}

/* The first device is honest, and no liar is an admin: an admin's word counts. */
static void draw_liars(struct draw *d)
{
	struct plan *p = d->p;

	if (p->count < 3 || p->count > SIM_MESH_MAX || !chance(d, 5))
		return;
	d->on[ITEM_LIE] = true;
	uint32_t count = 1 + (uint32_t)dice_below(&d->d, (p->count - 1) / 2);
	for (uint32_t k = 0; k < count; k++) {
		struct plan_node *n = &p->nodes[1 + dice_below(&d->d, p->count - 1)];
		n->lies = (unsigned)(dice_u64(&d->d) & dice_u64(&d->d)) & LIE_ALL;
		n->lies |= chance(d, 2) ? LIE_WRITE : LIE_WITHHOLD;
		if (!d->o->forks)
			n->lies &= ~(unsigned)LIE_FORK;
		n->role = chance(d, 2) ? ROLE_READER : ROLE_WRITER;
	}
}

static void draw_faults(struct draw *d)
{
	static const uint64_t delays[] = {0, 1000, 20000, 300000};
	static const struct {
		enum item_kind kind;
		uint32_t one_in;
	} faults[] = {{ITEM_CUT, 2},   {ITEM_BREAK, 3}, {ITEM_HALF, 4},  {ITEM_POWER, 3},
		      {ITEM_KILL, 3},  {ITEM_CRASH, 2}, {ITEM_STOP, 3},  {ITEM_COMMIT, 1},
		      {ITEM_CLOCK, 5}, {ITEM_FULL, 6},  {ITEM_IMAGE, 8}, {ITEM_ROT, 8},
		      {ITEM_AUDIT, 2}};
	struct plan *p = d->p;
	bool small = d->o->small;

	p->delay_usec = delays[dice_below(&d->d, ARRAY_LEN(delays))];
	p->loss = chance(d, 2) ? 50 + (uint32_t)dice_below(&d->d, 1000) : 0;
	p->bandwidth = chance(d, 6) ? 20000 + dice_below(&d->d, 2000000) : 0;
	for (size_t k = 0; k < ARRAY_LEN(faults); k++)
		d->on[faults[k].kind] = chance(d, faults[k].one_in);
	d->on[ITEM_RESTORE] = d->on[ITEM_IMAGE];
	d->flap = chance(d, 3);
	for (enum item_kind k = ITEM_ROLE; k <= ITEM_RETIRE; k++)
		d->on[k] = chance(d, 5) && d->o->roles;
	uint64_t second = small ? SIM_SECOND / 8 : SIM_SECOND;
	d->pause_usec = second + dice_below(&d->d, 20 * second);
	d->user_usec = 2000 + dice_below(&d->d, 2 * second);
	p->big = chance(d, 2) ? 10 : 60;
	if (small)
		p->big = chance(d, 8) ? 30 : 0;
}

static void draw_acts(struct draw *d)
{
	static const struct {
		enum item_kind kind;
		uint32_t below; /* of a hundred */
	} acts[] = {{ITEM_FSYNC, 7},    {ITEM_GO_ON, 20}, {ITEM_MAKE, 35},   {ITEM_MKDIR, 43},
		    {ITEM_SYMLINK, 45}, {ITEM_WRITE, 59}, {ITEM_REMOVE, 69}, {ITEM_RENAME, 82},
		    {ITEM_LINK, 85},    {ITEM_CHMOD, 88}, {ITEM_XATTR, 90},  {ITEM_RESOLVE, 92},
		    {ITEM_READ, 100}};
	uint32_t count = 20 + (uint32_t)dice_below(&d->d, 200);
	uint64_t at = 0;

	if (d->o->small)
		count = 8 + (uint32_t)dice_below(&d->d, 40);
	if (d->p->tiny)
		count = MIN(count, 60u);
	if (d->o->steps)
		count = d->o->steps;
	for (uint32_t k = 0; k < count; k++) {
		struct item *i = add(d->p);
		uint64_t dice = dice_below(&d->d, 100);
		size_t j = 0;
		while (acts[j].below <= dice)
			j++;
		*i = (struct item){.at = at += about(d, d->user_usec),
				   .kind = acts[j].kind,
				   .node = (uint32_t)dice_below(&d->d, d->p->count),
				   .arg = dice_u64(&d->d)};
	}
	d->end = at;
}

/* One that flaps is a row of short ones between the same devices. */
static void draw_cuts(struct draw *d, const struct item *first)
{
	uint32_t more = 1 + (uint32_t)dice_below(&d->d, 8);
	uint64_t at = first->at, arg = first->arg;
	bool early = first->early;

	for (uint32_t k = 0; k < more; k++) {
		uint64_t len = about(d, SIM_SECOND / 2);
		at += len + about(d, SIM_SECOND / 2);
		*add(d->p) = (struct item){
			.at = at, .kind = ITEM_CUT, .arg = arg, .len = len, .early = early};
	}
}

static uint32_t any_liar(struct draw *d)
{
	uint32_t at = (uint32_t)dice_below(&d->d, d->p->count);

	for (uint32_t k = 0; k < d->p->count; k++)
		if (d->p->nodes[(at + k) % d->p->count].lies)
			return (at + k) % d->p->count;
	return 0;
}

static void draw_fault(struct draw *d, uint64_t at, bool early)
{
	uint64_t second = d->o->small ? SIM_SECOND / 2 : SIM_SECOND;
	enum item_kind kind =
		ITEM_ROLE + (enum item_kind)dice_below(&d->d, ITEM_AUDIT + 1 - ITEM_ROLE);
	if (d->on[ITEM_LIE] && chance(d, 3))
		kind = ITEM_LIE;
	struct item i = {.at = at,
			 .kind = kind,
			 .node = (uint32_t)dice_below(&d->d, d->p->count),
			 .arg = dice_u64(&d->d),
			 .early = early};

	bool later = kind <= ITEM_RETIRE || kind == ITEM_IMAGE || kind == ITEM_RESTORE;
	if (kind == ITEM_LIE)
		i.node = any_liar(d);
	if (!d->on[kind] || (early && later))
		return; /* an admin that forgets whom it let in is another story */
	if (kind == ITEM_CUT)
		i.len = about(d, 10 * second);
	else if (kind == ITEM_FULL)
		i.len = about(d, 20 * second);
	else if (kind >= ITEM_POWER && kind <= ITEM_RESTORE)
		i.len = about(d, 5 * second);
	*add(d->p) = i;
	if (kind == ITEM_CUT && d->flap)
		draw_cuts(d, &i);
}

struct series { /* of one node */
	uint32_t node;
	uint64_t at, pause;
};

/* One of so many kinds, soon after the last one. */
static void draw_next(struct draw *d, struct series *s, const enum item_kind *kinds_of,
		      uint32_t kinds_count)
{
	*add(d->p) = (struct item){.at = s->at += about(d, s->pause),
				   .kind = kinds_of[dice_below(&d->d, kinds_count)],
				   .node = s->node,
				   .arg = dice_u64(&d->d)};
}

/* It goes on with what it has made since then while nobody hears of it, and dies. */
static void draw_left_behind(struct draw *d, struct series *s)
{
	static const enum item_kind makes[] = {ITEM_MAKE, ITEM_MKDIR},
				    goes_on[] = {ITEM_RENAME, ITEM_RENAME, ITEM_WRITE, ITEM_CHMOD,
						 ITEM_LINK,   ITEM_MAKE,   ITEM_GO_ON},
				    breaks[] = {ITEM_BREAK}, dies[] = {ITEM_KILL, ITEM_POWER};

	for (uint32_t k = 1 + (uint32_t)dice_below(&d->d, 3); k > 0; k--)
		draw_next(d, s, makes, ARRAY_LEN(makes));
	s->pause = SIM_SECOND / 4;
	draw_next(d, s, breaks, ARRAY_LEN(breaks));
	s->pause = SIM_SECOND / 200;
	for (uint32_t k = 1 + (uint32_t)dice_below(&d->d, 4); k > 0; k--)
		draw_next(d, s, goes_on, ARRAY_LEN(goes_on));
	draw_next(d, s, dies, ARRAY_LEN(dies));
	d->p->items[d->p->items_count - 1].len = about(d, SIM_SECOND);
}

/* Somebody removes and rewrites a good deal. */
static void draw_burst(struct draw *d)
{
	static const enum item_kind destroys[] = {ITEM_REMOVE, ITEM_REMOVE, ITEM_WRITE};
	struct series s = {.node = (uint32_t)dice_below(&d->d, d->p->count),
			   .at = dice_below(&d->d, d->end + 1),
			   .pause = d->user_usec / 4};

	for (uint32_t k = 3 + (uint32_t)dice_below(&d->d, 6); k > 0; k--)
		draw_next(d, &s, destroys, ARRAY_LEN(destroys));
	if (chance(d, 2))
		draw_left_behind(d, &s);
}

/*
 * Some devices hold what others remove or rewrite at once, and members decide about it.  Readers
 * cannot, and one of them may be the only one to hold something: so they have no brake.
 */
static void draw_brakes(struct draw *d)
{
	struct plan *p = d->p;

	if (!chance(d, 6) || d->on[ITEM_ROLE])
		return;
	for (uint32_t k = 0; k < p->count; k++)
		if (p->nodes[k].role >= ROLE_WRITER && !p->nodes[k].lies && !chance(d, 3))
			p->nodes[k].brake = 1 + (uint32_t)dice_below(&d->d, 3);
	for (uint32_t k = (uint32_t)dice_below(&d->d, 4); k < 5; k++)
		draw_burst(d);
	for (uint32_t k = (uint32_t)dice_below(&d->d, 8); k > 0; k--)
		*add(p) = (struct item){.at = dice_below(&d->d, d->end + 1),
					.kind = chance(d, 3) ? ITEM_REJECT : ITEM_ACCEPT,
					.node = (uint32_t)dice_below(&d->d, p->count),
					.arg = dice_u64(&d->d)};
}

static int by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->early != y->early)
		return x->early ? -1 : 1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->arg < y->arg ? -1 : x->arg > y->arg;
}

void plan_draw(struct plan *p, const struct options *o)
{
	struct draw d = {.d = {dice_mix(o->seed)}, .p = p, .o = o};

	*p = (struct plan){.seed = o->seed};
	p->unsynced = o->unsynced;
	p->forks = o->forks;
	p->real = o->seed % 100 == 99;
	draw_faults(&d);
	p->count = draw_count(&d);
	p->tiny = p->count > SIM_MESH_MAX || (o->small && chance(&d, 2));
	p->tiny |= d.on[ITEM_EXPEL] || d.on[ITEM_RETIRE]; /* who goes takes contents along */
	draw_nodes(&d);
	draw_liars(&d);
	draw_acts(&d);
	for (uint64_t at = 0; at < d.end; at += about(&d, d.pause_usec) / 4)
		draw_fault(&d, at, false);
	uint64_t early = chance(&d, 4) ? 20 * SIM_SECOND : 0;
	for (uint64_t at = 0; at < early; at += about(&d, d.pause_usec) / 4)
		draw_fault(&d, at, true);
	draw_brakes(&d);
	qsort(p->items, p->items_count, sizeof(*p->items), by_time);
}

/* ---- scripts ---- */

void plan_write(const struct plan *p, FILE *to)
{
	fprintf(to, "seed %" PRIu64 "\n", p->seed);
	for (uint32_t k = 0; k < p->count; k++)
		fprintf(to, "node %s %" PRId64 " %" PRId32 " %x %u\n", role_text(p->nodes[k].role),
			p->nodes[k].skew_ms, p->nodes[k].drift_ppm, p->nodes[k].lies,
			p->nodes[k].brake);
	fprintf(to, "delay %" PRIu64 "\nbandwidth %" PRIu64 "\nloss %u\nbig %u\n", p->delay_usec,
		p->bandwidth, p->loss, p->big);
	fprintf(to, "%s%s%s%s", p->tiny ? "tiny\n" : "", p->real ? "real\n" : "",
		p->unsynced ? "unsynced\n" : "", p->forks ? "forks\n" : "");
	for (uint32_t k = 0; k < p->items_count; k++) {
		const struct item *i = &p->items[k];
		fprintf(to, "%s %" PRIu64 " %s %u %" PRIx64 " %" PRIu64 "\n",
			i->early ? "early" : "at", i->at, kinds[i->kind], i->node, i->arg, i->len);
	}
}

static bool read_item(struct plan *p, const char *text, bool early)
{
	char name[16];
	struct item i = {.early = early};

	if (sscanf(text, "%" SCNu64 " %15s %u %" SCNx64 " %" SCNu64, &i.at, name, &i.node, &i.arg,
		   &i.len) != 5)
		return false;
	for (enum item_kind k = ITEM_MAKE; k < ITEM_KINDS; k++)
		if (strcmp(kinds[k], name) == 0)
			i.kind = k;
	if (!i.kind)
		return false;
	*add(p) = i;
	return true;
}

static bool read_node(struct plan *p, const char *text)
{
	struct plan_node *n = &p->nodes[p->count];
	char role[16];

	if (p->count == SIM_NODES_MAX ||
	    sscanf(text, "%15s %" SCNd64 " %" SCNd32 " %x %u", role, &n->skew_ms, &n->drift_ppm,
		   &n->lies, &n->brake) < 3)
		return false;
	p->count++;
	return role_parse(role, &n->role);
}

static bool read_flag(struct plan *p, const char *word)
{
	const struct {
		const char *word;
		bool *to;
	} flags[] = {{"tiny", &p->tiny},
		     {"real", &p->real},
		     {"unsynced", &p->unsynced},
		     {"forks", &p->forks}};

	for (size_t k = 0; k < ARRAY_LEN(flags); k++)
		if (strcmp(flags[k].word, word) == 0)
			return *flags[k].to = true;
	return false;
}

static bool read_line(struct plan *p, const char *line)
{
	char word[16];
	int at = 0;

	if (sscanf(line, "%15s %n", word, &at) < 1 || word[0] == '#')
		return true;
	const char *rest = line + at;
	if (strcmp(word, "at") == 0 || strcmp(word, "early") == 0)
		return read_item(p, rest, word[0] == 'e');
	if (strcmp(word, "node") == 0)
		return read_node(p, rest);
	if (strcmp(word, "seed") == 0)
		return sscanf(rest, "%" SCNu64, &p->seed) == 1;
	if (strcmp(word, "delay") == 0)
		return sscanf(rest, "%" SCNu64, &p->delay_usec) == 1;
	if (strcmp(word, "bandwidth") == 0)
		return sscanf(rest, "%" SCNu64, &p->bandwidth) == 1;
	if (strcmp(word, "loss") == 0)
		return sscanf(rest, "%u", &p->loss) == 1;
	if (strcmp(word, "big") == 0)
		return sscanf(rest, "%u", &p->big) == 1;
	return read_flag(p, word);
}

bool plan_read(struct plan *p, FILE *from, unsigned *line)
{
	char text[LINE_MAX_BYTES];

	*p = (struct plan){0};
	for (*line = 1; fgets(text, sizeof(text), from); (*line)++)
		if (!read_line(p, text))
			return false;
	for (uint32_t k = 0; k < p->items_count; k++)
		if (p->items[k].node >= p->count)
			return false;
	return p->count > 0;
}
