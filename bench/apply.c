// SPDX-License-Identifier: MIT
/*
 * apply.c - how fast a device takes over what another did, network apart
 *
 *	apply [--dir SCRATCH] [--files N] [--moves N] [--below N] [--times N]
 *
 * Three parts, each on two fresh replicas (twins.h): N files are made in directories of a
 * thousand; N times a directory is moved to another parent; a directory with N files below is
 * renamed, in turn with one that is nearly empty.  What A does and seals is not counted, what B
 * does with the bundles is: verify, decrypt, decode, apply, index, journal.
 *
 * A file is three records (inode, name, content), a directory move one.  "-cpu" is the time of the
 * thread that applies, "-stored" includes the wait until LMDB holds everything.
 */
#include "figure.h"
#include "sys/rand.h"
#include "twins.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PER_DIR 1000
#define MOVED_DIRS 1000
#define PARENTS 50
#define WARM 10 /* renames before those that count */

struct plan {
	const char *dir;
	uint32_t files, moves, below, times;
};

static uint64_t cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void print_rate(const char *what, const char *more, uint64_t count, uint64_t ns,
		       const char *unit)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s", what, more);
	figure_print(name, (double)count * 1e9 / (double)ns, unit);
}

/* Give B everything; print records a second. */
static void timed(struct twins *t, const struct twins_messages *m, const char *what,
		  uint64_t records)
{
	uint64_t cpu = cpu_now(), began = figure_now();

	twins_give(t, m);
	cpu = cpu_now() - cpu;
	uint64_t applied = figure_now() - began;
	twins_flush(t->b);
	uint64_t stored = figure_now() - began;
	print_rate(what, "", records, applied, "records/s");
	print_rate(what, "-cpu", records, cpu, "records/s");
	print_rate(what, "-stored", records, stored, "records/s");
	printf("# %s: %llu records in %u bundles of together %llu bytes\n", what,
	       (unsigned long long)records, m->count, (unsigned long long)m->bytes);
}

static struct inode_id make_numbered(struct host *h, struct inode_id dir, const char *stem,
				     uint32_t number, enum inode_type type)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%u", stem, number);
	return twins_make(h, dir, name, type);
}

static void make_files(struct host *h, struct inode_id dir, uint32_t count)
{
	struct inode_id sub = dir;

	for (uint32_t k = 0; k < count; k++) {
		if (k % PER_DIR == 0)
			sub = make_numbered(h, dir, "directory-", k / PER_DIR, TYPE_DIR);
		(void)make_numbered(h, sub, "file-", k, TYPE_FILE);
	}
}

static void creates(const struct plan *p)
{
	struct twins t;
	struct twins_messages m = {0};

	twins_init(&t, p->dir);
	make_files(t.a, INODE_ROOT, p->files);
	twins_take(&t, &m);
	timed(&t, &m, "apply-creates",
	      3 * (uint64_t)p->files + 2 * ((p->files + PER_DIR - 1) / PER_DIR));
	twins_same(t.a, t.b);
	twins_messages_fini(&m);
	twins_fini(&t);
}

static void moves(const struct plan *p)
{
	struct twins t;
	struct twins_messages m = {0};
	struct inode_id parents[PARENTS];
	uint32_t at[MOVED_DIRS];
	char name[32];

	twins_init(&t, p->dir);
	for (uint32_t k = 0; k < PARENTS; k++) {
		parents[k] = make_numbered(t.a, INODE_ROOT, "top-", k, TYPE_DIR);
		parents[k] = make_numbered(t.a, parents[k], "middle-", k, TYPE_DIR);
		parents[k] = make_numbered(t.a, parents[k], "parent-", k, TYPE_DIR);
	}
	for (uint32_t k = 0; k < MOVED_DIRS; k++) {
		at[k] = k % PARENTS;
		struct inode_id dir = make_numbered(t.a, parents[at[k]], "moved-", k, TYPE_DIR);
		for (uint32_t n = 0; n < 10; n++)
			(void)make_numbered(t.a, dir, "file-", n, TYPE_FILE);
	}
	twins_take(&t, &m);
	twins_give(&t, &m);
	twins_messages_fini(&m);
	for (uint32_t k = 0; k < p->moves; k++) {
		uint32_t which = k % MOVED_DIRS, to = (at[which] + 7) % PARENTS;
		snprintf(name, sizeof(name), "moved-%u", which);
		twins_rename(t.a, &(struct place){parents[at[which]], bytes_text(name)},
			     &(struct place){parents[to], bytes_text(name)});
		at[which] = to;
	}
	twins_take(&t, &m);
	timed(&t, &m, "apply-moves", p->moves);
	twins_same(t.a, t.b);
	twins_messages_fini(&m);
	twins_fini(&t);
}

/* Rename a directory; the time from A's call until B has applied it, in usec. */
static double rename_once(struct twins *t, const char *stem, uint32_t k, uint64_t *bytes)
{
	char from[32], to[32];
	struct twins_messages m = {0};

	snprintf(from, sizeof(from), "%s-%u", stem, k);
	snprintf(to, sizeof(to), "%s-%u", stem, k + 1);
	uint64_t began = figure_now();
	twins_rename(t->a, &(struct place){INODE_ROOT, bytes_text(from)},
		     &(struct place){INODE_ROOT, bytes_text(to)});
	twins_take(t, &m);
	twins_give(t, &m);
	uint64_t took = figure_now() - began;
	*bytes = m.bytes;
	twins_messages_fini(&m);
	return (double)took / 1000;
}

static void renames(const struct plan *p)
{
	struct twins t;
	struct twins_messages m = {0};
	double *big = calloc(p->times, sizeof(*big)), *small = calloc(p->times, sizeof(*small));
	uint64_t bytes = 0, bytes_small = 0;

	if (!big || !small)
		figure_die("memory");
	twins_init(&t, p->dir);
	struct inode_id dir = twins_make(t.a, INODE_ROOT, "large-0", TYPE_DIR);
	make_files(t.a, dir, p->below);
	dir = twins_make(t.a, INODE_ROOT, "small-0", TYPE_DIR);
	make_files(t.a, dir, 1);
	twins_take(&t, &m);
	twins_give(&t, &m);
	twins_messages_fini(&m);
	twins_flush(t.a);
	twins_flush(t.b);
	for (uint32_t k = 0; k < p->times + WARM; k++) {
		double s = rename_once(&t, "small", k, &bytes_small);
		double l = rename_once(&t, "large", k, &bytes);
		if (k >= WARM) {
			small[k - WARM] = s;
			big[k - WARM] = l;
		}
	}
	figure_print_spread("rename-small", small, p->times, "us");
	figure_print_spread("rename-large", big, p->times, "us");
	figure_print("rename-large-wire", (double)bytes, "bytes");
	figure_print("rename-large-inodes", (double)twins_inodes(t.b), "inodes");
	free(big);
	free(small);
	twins_fini(&t);
}

static uint32_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || n > 10000000) {
		fprintf(stderr, "apply: %s is not a number up to 10000000\n", text);
		exit(2);
	}
	return (uint32_t)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},   {"files", required_argument, NULL, 'f'},
		{"moves", required_argument, NULL, 'm'}, {"below", required_argument, NULL, 'b'},
		{"times", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
	struct plan p = {
		.dir = "/tmp", .files = 100000, .moves = 50000, .below = 100000, .times = 200};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			p.dir = optarg;
		else if (c == 'f')
			p.files = number(optarg);
		else if (c == 'm')
			p.moves = number(optarg);
		else if (c == 'b')
			p.below = number(optarg);
		else if (c == 't')
			p.times = number(optarg);
		else
			return 2;
	}
	rand_init();
	if (p.files)
		creates(&p);
	if (p.moves)
		moves(&p);
	if (p.below && p.times)
		renames(&p);
	return 0;
}
