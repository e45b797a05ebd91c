// SPDX-License-Identifier: MIT
/*
 * replay.c - several replicas in one process, driven by a script; the view's side of the trial
 *
 * Reads lines of tab-separated words, as compare.py writes them from histories that the model went
 * through, and prints what came of each, so that the two texts can be compared.  With -c each
 * replica is also watched: every entry, attribute and version that differs after a step must have
 * been told by the hooks, and the rows must satisfy their invariants.
 *
 *	-	reset			forget all replicas
 *	A	OPERATION ARGS...	a local operation on device A; prints ok or no
 *	A	pull B [LIMIT]		and cut, tick MS, restart
 *	A	receive B		the next bundle of B alone
 *	A	hold PATH		what comes later about that file waits; release ends it
 *	A	gc ABC			forget what is stable among these members
 *	A	left			prints how many inodes are known
 *	A	view | hash | digest	the whole view and its conflicts
 *	A	stat			of each path its links, owner, time of change
 *	A	ops			how many records it has written
 *	=	WORDS...		of the node that hears: replay_hear.c
 */
#include "replay.h"
#include "base/hash.h"
#include <stdlib.h>

#define WORDS_MAX 64
#define LINE_MAX_BYTES 4096

static void print_hash(struct replica *r, bool digest)
{
	struct wr w = {0};
	struct hash h;

	if (digest) {
		must(view_digest(r->view, &h) == ERR_OK, "view_digest");
	} else {
		print_view(r, &w);
		hash_blake(wr_view(&w), &h);
	}
	for (size_t k = 0; k < 16; k++)
		printf("%02x", h.b[k]);
	printf("\n");
	wr_fini(&w);
}

static void run(struct turn *s)
{
	const char *op = s->arg[0];
	struct wr w = {0};

	if (strcmp(op, "pull") == 0) {
		pull(s->w, s->r, replica_of(s->w, s->arg[1][0]),
		     s->args > 2 ? strtoull(s->arg[2], NULL, 10) : UINT64_MAX);
	} else if (strcmp(op, "receive") == 0) {
		must(receive(s->w, s->r, (size_t)(s->arg[1][0] - 'A')), "receive");
	} else if (strcmp(op, "cut") == 0) {
		cut(s->w, s->r);
	} else if (strcmp(op, "tick") == 0) {
		s->r->now += strtoull(s->arg[1], NULL, 10);
	} else if (strcmp(op, "restart") == 0) {
		cut(s->w, s->r);
		view_free(s->r->view);
		s->r->view = view_of(s->r);
	} else if (strcmp(op, "hold") == 0) {
		hold(s->w, s->r, s->arg[1]);
	} else if (strcmp(op, "release") == 0) {
		s->r->unsealed_count = 0;
	} else if (strcmp(op, "gc") == 0) {
		cut(s->w, s->r);
		forget(s->r, s->arg[1]);
	} else if (strcmp(op, "left") == 0) {
		printf("%llu\n", (unsigned long long)view_inodes(s->r->view));
	} else if (strcmp(op, "rmrf") == 0) {
		do_rmrf(s);
	} else if (strcmp(op, "hash") == 0 || strcmp(op, "digest") == 0) {
		print_hash(s->r, op[0] == 'd');
	} else if (strcmp(op, "ops") == 0) {
		printf("%llu\n", (unsigned long long)s->r->ops);
	} else if (strcmp(op, "view") == 0 || strcmp(op, "stat") == 0) {
		if (op[0] == 'v')
			print_view(s->r, &w);
		else
			print_stats(s->r, &w);
		fwrite(w.at, 1, w.len, stdout);
	} else {
		printf("%s\n", run_operation(s) ? "ok" : "no");
	}
	wr_fini(&w);
}

int main(int argc, char **argv)
{
	struct world w = {.watch = argc > 1 && strcmp(argv[1], "-c") == 0};
	char line[LINE_MAX_BYTES], *words[WORDS_MAX];

	while (fgets(line, sizeof(line), stdin)) {
		int count = 0;
		line[strcspn(line, "\n")] = 0;
		for (char *at = line; at && count < WORDS_MAX; count++) {
			words[count] = at;
			at = strchr(at, '\t');
			if (at)
				*at++ = 0;
		}
		if (strcmp(words[0], "-") == 0) {
			printf("%s\n", words[1]);
			reset(&w);
			memset(w.incs, 0, sizeof(w.incs));
			hear_reset();
			continue;
		}
		if (strcmp(words[0], "=") == 0) {
			hear_run(&w, words + 1, count - 1);
			continue;
		}
		struct turn s = {&w, replica_of(&w, words[0][0]), words + 1, count - 1};
		run(&s);
		if (w.watch)
			watch(s.r);
	}
	reset(&w);
	hear_end();
	return 0;
}
