// SPDX-License-Identifier: MIT
/*
 * shrink.c - see shrink.h
 *
 * Items go by halves, quarters and so on down to single ones, again and again until none can go;
 * then the set-up is made plainer, device by device and fault by fault; then items once more.  Two
 * failures are the same when their messages are, numbers and paths aside.
 */
#include "shrink.h"
#include "world.h"
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIAL_SECONDS 20
#define TRIALS_MAX 4000
#define WHY_MAX 1024

struct shrink {
	struct plan *best;
	char (*why)[WHY_MAX]; /* shared with the children */
	char first[WHY_MAX];
	unsigned trials;
};

/* The message without numbers, paths and what else differs from run to run. */
static void essence(char *why)
{
	char *to = why;

	for (const char *from = why; *from; from++) {
		if (*from == '/') {
			while (from[1] && from[1] != ' ' && from[1] != ':')
				from++;
			continue;
		}
		if (!isdigit((unsigned char)*from) &&
		    !(isxdigit((unsigned char)*from) &&
		      (isdigit((unsigned char)from[1]) ||
		       (from > why && isdigit((unsigned char)from[-1])))))
			*to++ = *from;
	}
	*to = '\0';
}

/* How a plan fails; empty: it does not. */
static void trial(struct shrink *s, const struct plan *p, char ret[WHY_MAX])
{
	int status;

	s->trials++;
	(*s->why)[0] = '\0';
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct world_sum sum;
		(void)alarm(TRIAL_SECONDS);
		(void)close(STDERR_FILENO);
		(void)world_run(p, false, &sum, *s->why);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("sim");
		exit(2);
	}
	if (WIFSIGNALED(status))
		snprintf(*s->why, WHY_MAX, "ended by signal %s", strsignal(WTERMSIG(status)));
	memcpy(ret, *s->why, WHY_MAX);
	essence(ret);
}

/* Take it if it fails as the first one did; else it is freed. */
static bool better(struct shrink *s, struct plan *take)
{
	char why[WHY_MAX];

	if (s->trials >= TRIALS_MAX) {
		plan_fini(take);
		return false;
	}
	trial(s, take, why);
	if (strcmp(why, s->first) != 0) {
		plan_fini(take);
		return false;
	}
	plan_fini(s->best);
	*s->best = *take;
	return true;
}

static bool without(struct shrink *s, uint32_t from, uint32_t count)
{
	struct plan p;

	plan_copy(&p, s->best);
	memmove(p.items + from, p.items + from + count,
		(p.items_count - from - count) * sizeof(*p.items));
	p.items_count -= count;
	return better(s, &p);
}

static bool fewer_items(struct shrink *s)
{
	bool any = false;

	for (uint32_t part = s->best->items_count / 2 + 1; part; part /= 2) {
		for (uint32_t from = 0; from < s->best->items_count;) {
			uint32_t count = MIN(part, s->best->items_count - from);
			if (without(s, from, count))
				any = true;
			else
				from += count;
		}
	}
	return any;
}

/* The device with that number goes, and all that happens to it. */
static bool fewer_nodes(struct shrink *s)
{
	bool any = false;

	for (uint32_t k = s->best->count; k-- > 1 && s->best->count > 1;) {
		struct plan p;
		uint32_t kept = 0;
		plan_copy(&p, s->best);
		for (uint32_t j = 0; j < p.items_count; j++) {
			if (p.items[j].node == k)
				continue;
			p.items[kept] = p.items[j];
			p.items[kept++].node -= p.items[j].node > k;
		}
		p.items_count = kept;
		memmove(p.nodes + k, p.nodes + k + 1, (p.count - k - 1) * sizeof(*p.nodes));
		p.count--;
		any |= better(s, &p);
	}
	return any;
}

static void plain_loss(struct plan *p)
{
	p->loss = 0;
}

static void plain_delay(struct plan *p)
{
	p->delay_usec = 0;
}

static void plain_bandwidth(struct plan *p)
{
	p->bandwidth = 0;
}

static void plain_clocks(struct plan *p)
{
	for (uint32_t k = 0; k < p->count; k++)
		p->nodes[k].skew_ms = p->nodes[k].drift_ppm = 0;
}

static void plain_roles(struct plan *p)
{
	for (uint32_t k = 1; k < p->count; k++)
		p->nodes[k].role = ROLE_WRITER;
}

static void plain_truth(struct plan *p)
{
	for (uint32_t k = 1; k < p->count; k++)
		p->nodes[k].lies = 0;
}

static void plain_sizes(struct plan *p)
{
	p->tiny = true;
}

static void plain_ciphers(struct plan *p)
{
	p->real = false;
}

static bool plainer(struct shrink *s)
{
	static void (*const changes[])(struct plan * p) = {
		plain_loss,  plain_delay, plain_bandwidth, plain_clocks,
		plain_roles, plain_truth, plain_sizes,     plain_ciphers};
	bool any = false;

	for (size_t k = 0; k < ARRAY_LEN(changes); k++) {
		struct plan p;
		plan_copy(&p, s->best);
		changes[k](&p);
		if (memcmp(&p, s->best, offsetof(struct plan, items)) == 0)
			plan_fini(&p);
		else
			any |= better(s, &p);
	}
	return any;
}

void shrink(struct plan *p)
{
	struct shrink s = {.best = p};

	s.why = mmap(NULL, WHY_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.why == MAP_FAILED)
		return;
	trial(&s, p, s.first);
	for (bool went = true; went && s.first[0];) { /* each has its turn */
		went = fewer_items(&s);
		went = fewer_nodes(&s) || went;
		went = plainer(&s) || went;
	}
	printf("# %u trials: %s\n", s.trials, s.first);
	(void)munmap(s.why, WHY_MAX);
}
