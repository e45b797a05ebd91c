// SPDX-License-Identifier: MIT
/*
 * sim.c - run worlds: sim [--seed N] [--runs N] [--small] [--script FILE] ...
 *
 * Seeds run in child processes, many in each, so that an assertion that fails in one does not hide
 * the others: the child notes in shared memory which one it is at.  What to type to see a failing
 * seed again is printed.  --twice runs each seed twice and compares the traces; --shrink makes a
 * failing one short (shrink.c); --script runs what was printed then, or FILE under so many seeds.
 * --unsynced lets bundles leave before they are synced; --roles lets admins change roles, remove
 * and retire; --seconds N stops after so much time, whatever is left.
 */
#include "shrink.h"
#include "world.h"
#include <getopt.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_SECONDS 240 /* a seed that takes longer hangs */
#define CHILD_RUNS 256 /* so many in a child: memory that leaks shows in the sanitizer's builds */

struct shared { /* with the child */
	uint64_t seed, done, bad;
	uint64_t applied; /* records */
};
struct order {
	struct options o;
	struct shared *shared;
	const char *script;
	uint64_t runs;
	unsigned seconds;
	bool twice, here, shrink; /* here: no child, for a debugger */
};

static void plan_of(const struct order *r, uint64_t seed, struct plan *ret)
{
	struct options o = r->o;
	unsigned line;

	o.seed = seed;
	if (!r->script) {
		plan_draw(ret, &o);
		return;
	}
	FILE *f = fopen(r->script, "r");
	if (!f || !plan_read(ret, f, &line)) {
		fprintf(stderr, "%s: %s\n", r->script, f ? "a bad line" : "cannot be read");
		exit(2);
	}
	(void)fclose(f);
	ret->seed += seed - r->o.seed;
}

static int once(const struct order *r, uint64_t seed, uint64_t *trace)
{
	struct world_sum sum;
	struct plan p;
	char why[1024];

	plan_of(r, seed, &p);
	enum world_answer a = world_run(&p, r->o.verbose, &sum, why);
	r->shared->applied += sum.applied;
	*trace = sum.trace;
	if (r->o.verbose)
		printf("trace %016llx\n", (unsigned long long)*trace);
	plan_fini(&p);
	if (a == WORLD_OK)
		return 0;
	printf("seed %llu: %s\n", (unsigned long long)seed, why);
	return 1;
}

static int run_seed(const struct order *r, uint64_t seed)
{
	uint64_t first = 0, second = 0;
	int bad = once(r, seed, &first);

	if (bad || !r->twice)
		return bad;
	bad = once(r, seed, &second);
	if (!bad && first != second) {
		printf("seed %llu: two runs, two traces\n", (unsigned long long)seed);
		bad = 1;
	}
	return bad;
}

/* ---- children ---- */

static void tell_again(const struct order *r, uint64_t seed)
{
	if (r->script)
		printf("again with: sim --script %s", r->script);
	else
		printf("again with: sim --seed %llu", (unsigned long long)seed);
	if (r->o.nodes)
		printf(" --nodes %u", r->o.nodes);
	if (r->o.steps)
		printf(" --steps %u", r->o.steps);
	printf("%s%s%s%s --verbose\n", r->o.small ? " --small" : "", r->o.roles ? " --roles" : "",
	       r->o.forks ? " --forks" : "", r->o.unsynced ? " --unsynced" : "");
}

static void shrink_seed(const struct order *r, uint64_t seed)
{
	struct plan p;

	plan_of(r, seed, &p);
	shrink(&p);
	printf("# a failing run, made short\n");
	plan_write(&p, stdout);
	plan_fini(&p);
}

static _Noreturn void child(const struct order *r, struct shared *s, uint64_t runs, time_t end)
{
	for (; runs && (!r->seconds || time(NULL) < end); runs--) {
		(void)alarm(RUN_SECONDS);
		int bad = run_seed(r, s->seed);
		if (bad)
			tell_again(r, s->seed);
		s->bad += bad ? 1 : 0;
		s->done++;
		s->seed++;
	}
	fflush(NULL);
	_exit(0);
}

/* So many runs, or as many as there is time for. */
static void children(const struct order *r, struct shared *s)
{
	time_t end = time(NULL) + (time_t)r->seconds;
	int status;

	while (s->done < r->runs && (!r->seconds || time(NULL) < end)) {
		uint64_t bad = s->bad;
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0)
			child(r, s, MIN(r->runs - s->done, (uint64_t)CHILD_RUNS), end);
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("sim");
			exit(2);
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status)) { /* it died of this seed */
			printf("seed %llu: ended with status %d (signal %d)\n",
			       (unsigned long long)s->seed, status, WTERMSIG(status));
			tell_again(r, s->seed);
			s->bad++;
			s->done++;
			s->seed++;
		}
		if (r->shrink && s->bad > bad && s->done == 1)
			shrink_seed(r, s->seed - 1);
	}
}

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: %s [--seed N] [--runs N] [--nodes N] [--steps N] [--seconds N]\n"
		"          [--small] [--twice] [--here] [--unsynced] [--roles] [--forks]\n"
		"          [--script FILE] [--shrink] [--verbose]\n",
		name);
	return 2;
}

static bool parse(int argc, char **argv, struct order *p)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"runs", required_argument, NULL, 'r'},
						{"nodes", required_argument, NULL, 'n'},
						{"steps", required_argument, NULL, 't'},
						{"seconds", required_argument, NULL, 'S'},
						{"twice", no_argument, NULL, '2'},
						{"here", no_argument, NULL, 'h'},
						{"unsynced", no_argument, NULL, 'u'},
						{"roles", no_argument, NULL, 'R'},
						{"small", no_argument, NULL, 'm'},
						{"forks", no_argument, NULL, 'f'},
						{"script", required_argument, NULL, 'c'},
						{"shrink", no_argument, NULL, 'k'},
						{"verbose", no_argument, NULL, 'v'},
						{NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;
		switch (c) {
		case 's':
			p->o.seed = n;
			break;
		case 'r':
			p->runs = n;
			break;
		case 'n':
			p->o.nodes = (uint32_t)n;
			break;
		case 't':
			p->o.steps = (uint32_t)n;
			break;
		case 'S':
			p->seconds = (unsigned)n;
			break;
		case '2':
			p->twice = true;
			break;
		case 'h':
			p->here = true;
			break;
		case 'R':
			p->o.roles = true;
			break;
		case 'u':
			p->o.unsynced = true;
			break;
		case 'm':
			p->o.small = true;
			break;
		case 'f':
			p->o.forks = true;
			break;
		case 'c':
			p->script = optarg;
			break;
		case 'k':
			p->shrink = true;
			break;
		case 'v':
			p->o.verbose = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

/* Of one core, for a world has one thread; views and oracles, crashes and replays included. */
static void tell_rate(const struct shared *s, int whose)
{
	struct rusage u;

	if (getrusage(whose, &u))
		return;
	double took = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	printf("%llu records applied in %.1f s of processor time, %.0f a second\n",
	       (unsigned long long)s->applied, took, (double)s->applied / MAX(took, 0.001));
}

int main(int argc, char **argv)
{
	struct order r = {.runs = 1, .o.seed = 1};

	if (!parse(argc, argv, &r))
		return usage(argv[0]);
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED) {
		perror("sim");
		return 2;
	}
	s->seed = r.o.seed;
	r.shared = s;
	if (!r.here)
		children(&r, s);
	for (; r.here && s->done < r.runs; s->done++, s->seed++)
		s->bad += run_seed(&r, s->seed) ? 1 : 0;
	printf("%llu of %llu seeds failed\n", (unsigned long long)s->bad,
	       (unsigned long long)s->done);
	tell_rate(s, r.here ? RUSAGE_SELF : RUSAGE_CHILDREN);
	return s->bad ? 1 : 0;
}
