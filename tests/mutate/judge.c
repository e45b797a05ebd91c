// SPDX-License-Identifier: MIT
/* The tests of sample.c.  They leave some of its rules out, and mutate must say which. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct box {
	int count, taken;
	bool bad;
};

int box_rank(const struct box *b, const char *name);
bool box_takes(const struct box *b, int n);
void box_take(struct box *b, int n);
char *box_name(const char *name);

static void check(bool right)
{
	if (!right)
		exit(1);
}

int main(void)
{
	struct box b = {0};
	char *name = box_name("box");

	check(!strcmp(name, "box"));
	free(name);
	check(!box_takes(&b, 0) && box_takes(&b, 1) && !box_takes(&b, 5));
	box_take(&b, 1);
	check(b.count == 1 && b.taken == 1);
	check(box_takes(&b, 2) && box_takes(&b, 3) == false && !box_takes(&b, 4));
	return 0;
}
