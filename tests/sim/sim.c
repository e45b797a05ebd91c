// SPDX-License-Identifier: MIT
/*
 * sim.c - run worlds: sim [--seed N] [--runs N] [--nodes N] [--steps N] [--twice] [--verbose]
 *
 * Each seed runs in a child process, so that an assertion that fails in one does not hide the
 * others; what to type to see it again is printed.  --twice runs each seed twice and compares the
 * traces.  --unsynced lets bundles leave before they are synced; --roles
 * lets admins change roles.  --seconds N stops after so much
 * time, whatever is left.
 */
#include "world.h"
#include <getopt.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_SECONDS 240 /* a seed that takes longer hangs */

struct plan {
	struct options o;
	uint64_t runs;
	unsigned seconds;
	bool twice, here; /* here: no child, for a debugger */
};

static int once(const struct options *o, uint64_t *trace)
{
	char why[1024];

	enum world_answer a = world_run(o, trace, why);
	if (o->verbose)
		printf("trace %016llx\n", (unsigned long long)*trace);
	if (a == WORLD_OK)
		return 0;
	printf("seed %llu: %s\n", (unsigned long long)o->seed, why);
	return 1;
}

static int run_seed(const struct plan *p)
{
	uint64_t first = 0, second = 0;
	int bad = once(&p->o, &first);

	if (bad || !p->twice)
		return bad;
	bad = once(&p->o, &second);
	if (!bad && first != second) {
		printf("seed %llu: two runs, two traces\n", (unsigned long long)p->o.seed);
		bad = 1;
	}
	return bad;
}

static int in_child(const struct plan *p)
{
	int status;

	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (pid == 0) {
		(void)alarm(RUN_SECONDS);
		int bad = run_seed(p);
		fflush(NULL);
		_exit(bad);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		printf("seed %llu: ended by signal %d (%s)\n", (unsigned long long)p->o.seed,
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 0)
		return 0;
	printf("again with: sim --seed %llu", (unsigned long long)p->o.seed);
	if (p->o.nodes)
		printf(" --nodes %u", p->o.nodes);
	if (p->o.steps)
		printf(" --steps %u", p->o.steps);
	printf(" --verbose\n");
	return 1;
}

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: %s [--seed N] [--runs N] [--nodes N] [--steps N] [--seconds N]\n"
		"          [--twice] [--here] [--unsynced] [--roles] [--verbose]\n",
		name);
	return 2;
}

static bool parse(int argc, char **argv, struct plan *p)
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
		case 'v':
			p->o.verbose = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	struct plan p = {.runs = 1, .o.seed = 1};
	uint64_t bad = 0, done = 0;
	time_t end;

	if (!parse(argc, argv, &p))
		return usage(argv[0]);
	end = time(NULL) + (time_t)p.seconds;
	for (; done < p.runs && (!p.seconds || time(NULL) < end); done++, p.o.seed++)
		bad += p.here ? (uint64_t)run_seed(&p) : (uint64_t)in_child(&p);
	printf("%llu of %llu seeds failed\n", (unsigned long long)bad, (unsigned long long)done);
	return bad ? 1 : 0;
}
