// SPDX-License-Identifier: MIT
/*
 * replay_hear.c - what a node makes of the bundles of a history, with decisions about members
 *
 * Lines of a script that begin with "=":
 *
 *	=	incs			the numbers that the members' incarnations have
 *	=	folder			this history is one of that folder; before all else
 *	=	publish			all bundles are signed
 *	=	decide KIND A B=3...	remove, retire, reject, reader, accept: with that vector
 *	=	fresh			a node that has heard nothing yet
 *	=	hear A 2		that bundle of A's arrives
 *	=	roster 1		the first decision arrives
 *	=	applied | hash | view	how many bundles of each it has applied; what it shows
 */
#include "base/hash.h"
#include "hearer.h"
#include "replay.h"
#include <stdlib.h>

#define DECISIONS_MAX 8

static struct {
	struct folder folder;
	bool made, hears; /* the folder is; the node is */
	struct hearer node;
	struct wr *raw[AUTHORS]; /* the bundles of each */
	uint64_t count[AUTHORS];
	struct wr decisions[DECISIONS_MAX];
	uint32_t decisions_count;
} all;

static void need_folder(void)
{
	if (!all.made)
		folder_init(&all.folder);
	all.made = true;
}

void hear_reset(void)
{
	if (all.hears)
		hearer_fini(&all.node);
	all.hears = false;
	for (size_t k = 0; k < AUTHORS; k++) {
		for (uint64_t n = 0; n < all.count[k]; n++)
			wr_fini(&all.raw[k][n]);
		free(all.raw[k]);
		all.raw[k] = NULL;
		all.count[k] = 0;
	}
	for (uint32_t k = 0; k < all.decisions_count; k++)
		wr_fini(&all.decisions[k]);
	all.decisions_count = 0;
	if (all.made)
		folder_rewind(&all.folder);
}

void hear_end(void)
{
	hear_reset();
	if (all.made)
		folder_fini(&all.folder);
}

static void publish(const struct world *w)
{
	for (size_t k = 0; k < AUTHORS; k++) {
		const struct own_log *l = &w->logs[k];
		all.raw[k] = must_alloc(NULL, (l->count + 1) * sizeof(*all.raw[k]));
		for (uint64_t n = 0; n < l->count; n++) {
			all.raw[k][n] = (struct wr){0};
			folder_bundle(&all.folder, k, wr_view(&l->at[n].bytes), l->at[n].vec,
				      &all.raw[k][n]);
		}
		all.count[k] = l->count;
	}
}

static size_t member(const char *name)
{
	must(name[0] >= 'A' && name[0] < 'A' + AUTHORS, "a member");
	return (size_t)(name[0] - 'A');
}

static void decide(char **arg, int args)
{
	struct member_record m = {0};

	must(args > 2 && all.decisions_count < DECISIONS_MAX, "decide");
	must(folder_decision(bytes_text(arg[1]), &m), "a kind of decision");
	m.vec = vector_new(NULL, 0);
	for (int k = 3; k < args; k++) {
		const struct vector *less = m.vec;
		m.vec = vector_with(less, all.folder.who[member(arg[k])].inc,
				    strtoull(arg[k] + 2, NULL, 10));
		vector_unref(less);
	}
	struct wr *message = &all.decisions[all.decisions_count++];
	*message = (struct wr){0};
	folder_decide(&all.folder, &m, member(arg[2]), message);
	vector_unref(m.vec);
}

static void print_applied(void)
{
	const struct vector *v = node_vector(all.node.node);

	printf("applied");
	for (size_t k = 0; k < AUTHORS; k++)
		printf(" %llu", (unsigned long long)vector_get(v, all.folder.who[k].inc));
	printf("\n");
}

static void print_shown(bool whole)
{
	struct replica shown = {.view = node_view(all.node.node)};
	struct wr w = {0};
	struct hash h;

	print_view(&shown, &w);
	hash_blake(wr_view(&w), &h);
	if (whole)
		fwrite(w.at, 1, w.len, stdout);
	for (size_t k = 0; k < 16 && !whole; k++)
		printf("%02x", h.b[k]);
	printf(whole ? "" : "\n");
	wr_fini(&w);
}

void hear_run(struct world *w, char **arg, int args)
{
	static const struct brake_limits none;

	need_folder();
	if (strcmp(arg[0], "incs") == 0) {
		for (size_t k = 0; k < AUTHORS; k++)
			printf("%llu\n", (unsigned long long)all.folder.who[k].inc);
	} else if (strcmp(arg[0], "folder") == 0) {
		for (size_t k = 0; k < AUTHORS; k++)
			w->incs[k] = all.folder.who[k].inc;
	} else if (strcmp(arg[0], "publish") == 0) {
		publish(w);
	} else if (strcmp(arg[0], "decide") == 0) {
		decide(arg, args);
	} else if (strcmp(arg[0], "fresh") == 0) {
		if (all.hears)
			hearer_fini(&all.node);
		hearer_init(&all.node, &all.folder, &none);
		all.hears = true;
	} else if (strcmp(arg[0], "hear") == 0) {
		const size_t who = member(arg[1]);
		const uint64_t seq = strtoull(arg[2], NULL, 10);
		must(seq > 0 && seq <= all.count[who], "a bundle");
		hearer_bundle(&all.node, wr_view(&all.raw[who][seq - 1]));
	} else if (strcmp(arg[0], "roster") == 0) {
		const unsigned long number = strtoul(arg[1], NULL, 10);
		must(number > 0 && number <= all.decisions_count, "a decision");
		hearer_roster(&all.node, wr_view(&all.decisions[number - 1]));
	} else if (strcmp(arg[0], "applied") == 0) {
		print_applied();
	} else {
		print_shown(arg[0][0] == 'v');
	}
	must(!all.hears || !all.node.warned, "a report");
}
