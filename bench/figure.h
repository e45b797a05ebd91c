/* SPDX-License-Identifier: MIT */
/*
 * figure.h - time and print the machine's own figures
 *
 * A figure is one line, "name value unit", for report.py and for people.
 */
#ifndef FIGURE_H
#define FIGURE_H

#include <stddef.h>
#include <stdint.h>

uint64_t figure_now(void); /* monotonic, ns */
/* The q-th quantile (0..1) of n > 0 values, which are sorted in place. */
double figure_quantile(double *values, size_t n, double q);
void figure_print(const char *name, double value, const char *unit);
/* The median as NAME-median, the 99th percentile as NAME-p99; sorts the values. */
void figure_print_spread(const char *name, double *values, size_t n, const char *unit);
/* Says what failed, with errno, and ends the program: a yardstick has nothing to recover. */
void figure_die(const char *what) __attribute__((noreturn));

#endif
