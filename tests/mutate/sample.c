// SPDX-License-Identifier: MIT
/* Something of each kind that scripts/mutate changes, and of each that it leaves alone. */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TAKEN_MAX 4
#define BOTH(a, b) ((a) && (b)) /* a directive: left alone */

struct box {
	int count, taken;
	bool bad;
};

int box_rank(const struct box *b, const char *name);
bool box_takes(const struct box *b, int n);
void box_take(struct box *b, int n);
char *box_name(const char *name);

static const int limits[] = {TAKEN_MAX == 4 ? 1 : 2}; /* outside a function: left alone */

int box_rank(const struct box *b, const char *name)
{
	/* if (b->count == 0) in a comment */
	if (b->count == 0 && !strcmp(name, "a && b"))
		return 1;
	return b->taken > 2 ? limits[0] + 1 : 0;
}

bool box_takes(const struct box *b, int n)
{
	if (b->bad)
		return false;
	for (int k = 0; k < n; k++)
		if (k + b->taken >= TAKEN_MAX || (k && b->count < k))
			return false;
	return n != 0;
}

static void count_one(struct box *b)
{
	b->count++;
}

void box_take(struct box *b, int n)
{
	int e = box_takes(b, n) ? 0 : 1;

	assert(n >= 0);
	if (e)
		return;
	count_one(b);
	b->taken += n;
}

char *box_name(const char *name)
{
	char *copy = malloc(strlen(name) + 1);

	if (!copy)
		return NULL;
	memcpy(copy, name, strlen(name) + 1);
	free(strdup("left alone: it only frees"));
	return copy;
}
