// SPDX-License-Identifier: MIT
/*
 * figure.c - time and print the machine's own figures
 *
 * Shared by the programs of this directory that measure what peerfs is held against.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figure.h"

uint64_t figure_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double figure_quantile(double *values, size_t n, double q)
{
	size_t at = (size_t)((double)n * q);

	qsort(values, n, sizeof(*values), ascending);
	return values[at < n ? at : n - 1];
}

void figure_print(const char *name, double value, const char *unit)
{
	printf("%-28s %10.4f %s\n", name, value, unit);
	fflush(stdout);
}

void figure_print_spread(const char *name, double *values, size_t n, const char *unit)
{
	char full[80];

	snprintf(full, sizeof(full), "%s-median", name);
	figure_print(full, figure_quantile(values, n, 0.5), unit);
	snprintf(full, sizeof(full), "%s-p99", name);
	figure_print(full, figure_quantile(values, n, 0.99), unit);
}

void figure_die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}
