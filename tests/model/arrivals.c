// SPDX-License-Identifier: MIT
/*
 * arrivals.c - the same bundles come to the same tree, in whatever order they arrive
 *
 *	arrivals [--seed N] [--random N] [--family NAME]
 *
 * Three devices write up to seven bundles, each having seen some of the others'.  A node is fed
 * them in every order there is, also those in which a bundle comes before what it had seen: it
 * waits then.  In some families a record of the roster comes somewhere among them: a member is
 * removed, retired, rejected or made a reader and only so many of its bundles count, or what the
 * brake held is accepted.
 *
 * What the node must show in the end is worked out without it, by the rule as peerfs-internals(7)
 * has it: a replica that receives, causes first, the bundles that are accepted.  Tree, list of
 * conflicts, digest and what is applied must be the same for every order; no record may be
 * skipped.
 *
 * All 5,040 orders are tried where something is decided; else, and with the clocks the other way
 * round, one in seven, and of histories by chance one in eleven.  With PEERFS_FULL=1 it is all.
 */
#include "base/rng.h"
#include "hearer.h"
#include "replay.h"
#include <stdlib.h>

#define BUNDLES 7 /* arrivals, a record of the roster among them */
#define WRITERS 3 /* the first of the members */
#define WORDS 8
#define CLOCKS 2

struct family {
	const char *name;
	/* "B<AC operation words; operation words": B has pulled from A and C, then makes a bundle.
	 * A path ? is the first of a conflict copy. */
	const char *lines[BUNDLES];
	/* "remove B 1": only so many of its bundles count; "accept B": all do. */
	const char *decision;
};

static const struct family families[] = {
	{"a conflict copy is promoted, edited and resolved",
	 {"A create /f one", "B<A write /f two", "C<A write /f three", "A<BC rename ? /g",
	  "B<C write ? four", "C<B resolve /f ?", "A<BC write /g five"},
	 NULL},
	{"safe-saves",
	 {"A create /f one", "B<A safe_save /f two", "C<A safe_save /f three", "A write /f four",
	  "B<C unlink ?", "C rename /f /g", "A<BC write /g five"},
	 NULL},
	{"directories moved into each other",
	 {"A mkdir /a; mkdir /b; mkdir /c", "B<A rename /a /b/a", "C<A rename /b /c/b",
	  "A rename /c /a/c", "B<C create /c/b/a/x one", "C<A mkdir /n", "A<BC rmdir /n"},
	 NULL},
	{"two moves of one directory, and what is in it",
	 {"A mkdir /a; mkdir /b; create /a/f one", "B<A rename /a /b/a", "C<A rename /a /c",
	  "A write /a/f two", "B<A unlink /b/a/f", "C create /c/f2 three", "A<BC rmrf /b"},
	 NULL},
	{"a tree is removed under those who work in it",
	 {"A mkdir /d; mkdir /d/e; create /d/f one; create /d/e/g two", "B<A write /d/f three",
	  "C<A rmrf /d", "A create /d/e/h four", "B<C rename /d/f /f", "C create /d five",
	  "A<BC unlink /d/e/h"},
	 NULL},
	{"hard links",
	 {"A create /f one; link /f /h", "B<A unlink /f; unlink /h", "C<A write /h two",
	  "A rename /h /k", "B<C link /h /m", "C<B unlink /m", "A<BC create /n three"},
	 NULL},
	{"one name for all",
	 {"A mkdir /d; create /d/x one", "B mkdir /d; create /d/x two", "C create /d three",
	  "A<B rename /d /e", "B<C create /d/y four", "C<A rename ? /z", "A<BC rmrf /e"},
	 NULL},
	{"renames over files and edits of them",
	 {"A create /a one; create /t two", "B<A rename /a /t", "C<A write /t three",
	  "A rename /t /u", "B<C write /t four", "C<A unlink /a", "A<BC create /n five"},
	 NULL},
	{"exchanged",
	 {"A create /a one; mkdir /d; create /d/t two", "B<A exchange /a /d/t",
	  "C<A write /a three", "A exchange /a /d", "B<C write /d/t four", "C<B exchange /a /d/t",
	  "A<BC create /n five"},
	 NULL},
	{"attributes",
	 {"A create /f one", "B<A chmod /f 0600; setxattr /f k b", "C<A setxattr /f k c",
	  "A write /f two", "B write /f three", "C<A chmod /f 0640; removexattr /f k",
	  "A<B chown ? 7"},
	 NULL},
	{"equal contents",
	 {"A create /f one; create /g same", "B<A write /f same", "C<A write /f same",
	  "A rename /g /f", "B<C write /f other", "C unlink /f", "A<BC write /f last"},
	 NULL},
	{"removed, and somebody had built on more",
	 {"A create /f one; mkdir /d", "B<A write /f two", "B create /d/x three",
	  "C<B write /d/x four", "B rename /d /e", "A<C unlink /f"},
	 "remove B 1"},
	{"rejected, and those who had seen nothing",
	 {"A create /f one; create /g one", "B<A write /f two", "B write /f three",
	  "C<A write /f four", "B unlink /g", "A write /g five"},
	 "reject B 1"},
	{"made a reader with nothing accepted",
	 {"A mkdir /d; create /d/f one", "B<A rename /d/f /f", "B<A rmdir /d", "C<A rename /d /e",
	  "A<B write /f two", "C<A create /e/n three"},
	 "reader B 0"},
	{"retired, all of it accepted",
	 {"A create /f one", "B<A write /f two", "C<A write /f three", "B<C resolve /f /f",
	  "A<B rename /f /g", "C<B unlink /f"},
	 "retire B 2"},
	{"braked and accepted",
	 {"A create /1 a; create /2 a; create /3 a; create /4 a",
	  "B<A unlink /1; unlink /2; unlink /3", "B unlink /4", "C<A write /4 b", "B create /n x",
	  "C<B write /n y"},
	 "accept B"},
	{"braked and rejected",
	 {"A create /1 a; create /2 a; create /3 a; create /4 a", "B<A create /n x",
	  "B unlink /1; unlink /2; unlink /3", "C<A write /1 b", "B unlink /4", "A write /2 c"},
	 "reject B 1"},
};

struct coming { /* a bundle, or the record of the roster */
	size_t device;
	uint64_t seq; /* 0: the record */
	const struct vector *vec; /* of a bundle; its log's */
	struct wr bytes;
};
struct history {
	const char *name;
	struct world w;
	struct coming at[BUNDLES + 1];
	uint32_t count;
	struct brake_limits brake; /* of the node */
	struct member_record decided; /* kind 0: nothing was */
	size_t subject;
	uint64_t limit; /* of the subject's bundles; UINT64_MAX: none */
	struct vector *want; /* what is applied in the end */
	struct wr text; /* what is shown in the end */
	struct hash digest;
	bool has_digest;
	uint64_t orders, waited, braked, rebuilt;
};

/* ---- histories ---- */

/* The first path that is a conflict copy's. */
static bool copy_path(struct replica *r, char path[PATH_BYTES])
{
	struct paths all = {0};
	bool found = false;

	list_paths(r, "", &all);
	sort_paths(&all);
	for (size_t k = 0; k < all.count && !found; k++) {
		found = strstr(all.at[k], "(conflict") != NULL;
		if (found)
			snprintf(path, PATH_BYTES, "%s", all.at[k]);
	}
	paths_fini(&all);
	return found;
}

/* One operation, in words; false: it was refused. */
static bool act(struct world *w, struct replica *r, char *words)
{
	char *arg[WORDS], *rest = NULL, copy[PATH_BYTES];
	int count = 0;

	for (char *x = strtok_r(words, " ", &rest); x; x = strtok_r(NULL, " ", &rest)) {
		must(count < WORDS, "words");
		arg[count++] = x;
	}
	for (int k = 0; k < count; k++) {
		if (strcmp(arg[k], "?") != 0)
			continue;
		if (!copy_path(r, copy))
			return false;
		arg[k] = copy;
	}
	struct turn s = {w, r, arg, count};
	if (strcmp(arg[0], "rmrf") != 0)
		return run_operation(&s);
	do_rmrf(&s);
	return true;
}

/* A line of a family; false: an operation was refused. */
static bool play_line(struct history *h, const char *line)
{
	char text[512], *rest = NULL;
	struct replica *r = replica_of(&h->w, line[0]);
	bool done = true;

	snprintf(text, sizeof(text), "%s", line);
	char *at = strchr(text, ' ');
	must(at != NULL, "a line has operations");
	*at++ = 0;
	for (const char *from = text + 1; *from; from++)
		if (*from != '<')
			pull(&h->w, r, replica_of(&h->w, *from), UINT64_MAX);
	for (char *op = strtok_r(at, ";", &rest); op; op = strtok_r(NULL, ";", &rest))
		done = act(&h->w, r, op) && done;
	cut(&h->w, r);
	for (char name = 'A'; name < 'A' + WRITERS; name++)
		replica_of(&h->w, name)->now += 1000;
	return done;
}

static void history_init(struct history *h, const struct folder *f, const char *name, int clocks)
{
	*h = (struct history){.name = name, .limit = UINT64_MAX};
	for (size_t k = 0; k < WRITERS; k++) {
		h->w.incs[k] = f->who[k].inc;
		struct replica *r = replica_of(&h->w, (char)('A' + k));
		r->now = HEARER_WALL_MS - 60000 + 5000 * (clocks ? WRITERS - k : k);
	}
}

static void history_fini(struct history *h)
{
	for (uint32_t k = 0; k < h->count; k++)
		wr_fini(&h->at[k].bytes);
	vector_unref(h->decided.vec);
	vector_unref(h->want);
	wr_fini(&h->text);
	reset(&h->w);
}

/* "remove B 1" */
static void decide(struct history *h, const char *what)
{
	const char *who = strchr(what, ' ');

	must(who != NULL, "a decision is about somebody");
	must(folder_decision((struct bytes){(const uint8_t *)what, (size_t)(who - what)},
			     &h->decided),
	     "a kind of decision");
	h->subject = (size_t)(who[1] - 'A');
	if (h->decided.kind != MEMBER_ACCEPT)
		h->limit = strtoull(who + 2, NULL, 10);
	for (size_t k = 0; k < WRITERS;
	     k++) { /* whoever accepts has seen all, else of one so much */
		const struct vector *less = h->decided.vec;
		if (h->decided.kind != MEMBER_ACCEPT && k != h->subject)
			continue;
		h->decided.vec = vector_with(
			less, h->w.incs[k],
			k == h->subject && h->limit != UINT64_MAX ? h->limit : h->w.logs[k].count);
		vector_unref(less);
	}
	if (h->decided.kind == MEMBER_ACCEPT || h->decided.kind == MEMBER_REJECT)
		h->brake = (struct brake_limits){.percent = 30, .files = 2};
}

/* All bundles, and the decision, as they are sent. */
static void publish(struct history *h, struct folder *f)
{
	folder_rewind(f);
	for (size_t k = 0; k < WRITERS; k++) {
		const struct own_log *l = &h->w.logs[k];
		for (uint64_t n = 0; n < l->count; n++) {
			must(h->count < BUNDLES, "bundles");
			struct coming *a = &h->at[h->count++];
			*a = (struct coming){.device = k, .seq = n + 1, .vec = l->at[n].vec};
			folder_bundle(f, k, wr_view(&l->at[n].bytes), a->vec, &a->bytes);
		}
	}
	if (h->decided.kind == 0)
		return;
	must(h->count < BUNDLES, "arrivals");
	folder_decide(f, &h->decided, h->subject, &h->at[h->count++].bytes);
}

/* ---- what must come of it ---- */

/* Of a limited incarnation so much is accepted as the decision says, or as one without limit had
 * seen. */
static uint64_t accepted(const struct history *h, size_t device)
{
	uint64_t most = h->limit;

	if (device != h->subject || most == UINT64_MAX)
		return UINT64_MAX;
	for (uint32_t k = 0; k < h->count; k++)
		if (h->at[k].seq && h->at[k].device != device)
			most = MAX(most, vector_get(h->at[k].vec, h->w.incs[device]));
	return most;
}

static void expect(struct history *h)
{
	struct replica *z = replica_of(&h->w, 'Z');
	bool progress = true;

	while (progress) {
		progress = false;
		for (size_t k = 0; k < WRITERS; k++)
			while (vector_get(z->vec, h->w.incs[k]) < accepted(h, k) &&
			       receive(&h->w, z, k))
				progress = true;
	}
	h->want = vector_ref(z->vec);
	print_view(z, &h->text);
}

static void differ(const struct history *h, const uint8_t *order, const char *what,
		   const struct wr *got)
{
	printf("FAILED %s: %s\n  in the order", h->name, what);
	for (uint32_t k = 0; k < h->count; k++) {
		const struct coming *a = &h->at[order[k]];
		if (a->seq)
			printf(" %c%llu", (int)('A' + a->device), (unsigned long long)a->seq);
		else
			printf(" roster");
	}
	printf("\nshown:\n%.*swanted:\n%.*s", (int)got->len, (const char *)got->at,
	       (int)h->text.len, (const char *)h->text.at);
	must(false, what);
}

static void compare(struct history *h, const uint8_t *order, struct hearer *n)
{
	struct replica shown = {.view = node_view(n->node)};
	struct node_counts counts;
	struct hash digest;
	struct wr text = {0};
	const char *what = NULL;

	print_view(&shown, &text);
	node_counts(n->node, &counts);
	must(view_digest(shown.view, &digest) == ERR_OK, "view_digest");
	if (!vector_equal(node_vector(n->node), h->want))
		what = "other bundles are applied";
	else if (!bytes_equal(wr_view(&text), wr_view(&h->text)))
		what = "another tree is shown";
	else if (h->has_digest && memcmp(&digest, &h->digest, sizeof(digest)) != 0)
		what = "another digest";
	else if (n->warned)
		what = "something was reported";
	else if (counts.waiting_bundles)
		what = "bundles wait";
	if (what)
		differ(h, order, what, &text);
	h->digest = digest;
	h->has_digest = true;
	wr_fini(&text);
}

/* ---- orders ---- */

static void arrive(struct history *h, const struct folder *f, const uint8_t *order)
{
	struct hearer n;

	hearer_init(&n, f, &h->brake);
	for (uint32_t k = 0; k < h->count; k++) {
		const struct coming *a = &h->at[order[k]];
		if (a->seq)
			hearer_bundle(&n, wr_view(&a->bytes));
		else
			hearer_roster(&n, wr_view(&a->bytes));
	}
	compare(h, order, &n);
	h->orders++;
	h->waited += n.waited;
	h->braked += n.braked;
	h->rebuilt += n.rebuilt > 0;
	hearer_fini(&n);
}

/* The next permutation in order of the alphabet; false: that was the last. */
static bool next_order(uint8_t *order, uint32_t count)
{
	uint32_t i = count - 1, k = count - 1;

	while (i > 0 && order[i - 1] > order[i])
		i--;
	if (i == 0)
		return false;
	while (order[k] < order[i - 1])
		k--;
	uint8_t swap = order[i - 1];
	order[i - 1] = order[k];
	order[k] = swap;
	for (k = count - 1; i < k; i++, k--) {
		swap = order[i];
		order[i] = order[k];
		order[k] = swap;
	}
	return true;
}

/* every: of so many orders one is tried. */
static void all_orders(struct history *h, struct folder *f, uint32_t every)
{
	uint8_t order[BUNDLES] = {0, 1, 2, 3, 4, 5, 6};
	uint64_t number = 0;

	publish(h, f);
	expect(h);
	do {
		if (number++ % every == 0)
			arrive(h, f, order);
	} while (next_order(order, h->count));
}

/* ---- families ---- */

static void demand(const struct history *h, bool ok, const char *what)
{
	if (!ok)
		printf("FAILED %s\n", h->name);
	must(ok, what);
}

static uint64_t run_family(struct folder *f, const struct family *of, bool full)
{
	uint64_t orders = 0;

	for (int clocks = 0; clocks < CLOCKS; clocks++) {
		struct history h;
		history_init(&h, f, of->name, clocks);
		for (size_t k = 0; k < BUNDLES && of->lines[k]; k++) {
			if (!play_line(&h, of->lines[k])) {
				printf("FAILED %s: %s\n", of->name, of->lines[k]);
				print_view(replica_of(&h.w, of->lines[k][0]), &h.text);
				printf("%.*s", (int)h.text.len, (const char *)h.text.at);
				must(false, "an operation was refused");
			}
		}
		if (of->decision)
			decide(&h, of->decision);
		all_orders(&h, f, full || (clocks == 0 && of->decision) ? 1 : 7);
		demand(&h, h.waited > 0, "no bundle came too early");
		demand(&h, strncmp(h.name, "braked", 6) != 0 || h.braked > 0,
		       "the brake held nothing");
		demand(&h, h.limit > 1 || h.brake.percent || h.rebuilt > 0,
		       "nothing was taken back");
		orders += h.orders;
		history_fini(&h);
	}
	return orders;
}

/* ---- by chance ---- */

static const char *pick(struct rng *r, const char *const *words, uint32_t count)
{
	return words[rng_below(r, count)];
}

/* A line that may well be refused. */
static void random_line(struct rng *r, char *line, size_t room)
{
	static const char *const paths[] = {"/f",   "/g",   "/d",   "/e", "/d/f",
					    "/d/e", "/e/f", "/e/d", "?"};
	static const char *const texts[] = {"one", "two", "three"};
	static const char *const with_text[] = {"create", "write", "write", "safe_save"};
	static const char *const with_path[] = {"rename", "rename",   "rename",
						"link",   "exchange", "resolve"};
	static const char *const alone[] = {"unlink", "rmrf", "mkdir", "mkdir"};
	const char who = (char)('A' + rng_below(r, WRITERS));
	size_t len = (size_t)snprintf(line, room, "%c<", who);

	for (char from = 'A'; from < 'A' + WRITERS; from++)
		if (from != who && rng_below(r, 3) == 0)
			line[len++] = from;
	const char *path = pick(r, paths, ARRAY_LEN(paths));
	switch (rng_below(r, 3)) {
	case 0:
		snprintf(line + len, room - len, " %s %s %s",
			 pick(r, with_text, ARRAY_LEN(with_text)), path,
			 pick(r, texts, ARRAY_LEN(texts)));
		break;
	case 1:
		snprintf(line + len, room - len, " %s %s %s",
			 pick(r, with_path, ARRAY_LEN(with_path)), path,
			 pick(r, paths, ARRAY_LEN(paths)));
		break;
	default:
		snprintf(line + len, room - len, " %s %s", pick(r, alone, ARRAY_LEN(alone)), path);
	}
}

static uint64_t bundles_of(const struct history *h)
{
	uint64_t count = 0;

	for (size_t k = 0; k < WRITERS; k++)
		count += h->w.logs[k].count;
	return count;
}

static uint64_t run_random(struct folder *f, uint64_t seed, uint64_t bundles, uint32_t every)
{
	static const char *const decisions[] = {"remove", "retire", "reject", "reader", "accept"};
	struct history h;
	struct rng r;
	char line[64], name[64];

	rng_init_number(&r, seed);
	snprintf(name, sizeof(name), "--seed %llu", (unsigned long long)seed);
	history_init(&h, f, name, (int)(seed % CLOCKS));
	(void)play_line(&h, "A mkdir /d; create /d/f one; create /f two");
	while (bundles_of(&h) < bundles) {
		random_line(&r, line, sizeof(line));
		(void)play_line(&h, line);
	}
	if (bundles < BUNDLES) {
		const size_t who = rng_below(&r, WRITERS);
		const uint64_t count = h.w.logs[who].count;
		const char *kind = pick(&r, decisions, ARRAY_LEN(decisions));
		snprintf(line, sizeof(line), "%s %c %llu", kind, (int)('A' + who),
			 (unsigned long long)(strcmp(kind, "accept") == 0
						      ? count
						      : rng_below(&r, count + 1)));
		decide(&h, line);
		if (h.decided.kind == MEMBER_REJECT)
			h.brake.percent = 0; /* it might hold another than is decided about */
	}
	all_orders(&h, f, every);
	uint64_t orders = h.orders;
	history_fini(&h);
	return orders;
}

int main(int argc, char **argv)
{
	const bool full = getenv("PEERFS_FULL") != NULL;
	uint64_t seed = 1, random = full ? 1000 : 40, orders = 0;
	const char *only = NULL;
	struct folder f;

	for (int k = 1; k + 1 < argc; k += 2) {
		if (strcmp(argv[k], "--seed") == 0)
			seed = strtoull(argv[k + 1], NULL, 10);
		else if (strcmp(argv[k], "--random") == 0)
			random = strtoull(argv[k + 1], NULL, 10);
		else if (strcmp(argv[k], "--family") == 0)
			only = argv[k + 1];
	}
	folder_init(&f);
	for (size_t k = 0; k < ARRAY_LEN(families); k++)
		if (!only || strstr(families[k].name, only))
			orders += run_family(&f, &families[k], full);
	for (uint64_t k = 0; k < random && !only; k++)
		orders += run_random(&f, seed + k, 4 + (seed + k) % 4, full ? 1 : 11);
	folder_fini(&f);
	printf("%llu orders alike\n", (unsigned long long)orders);
	return 0;
}
