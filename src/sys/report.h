/* SPDX-License-Identifier: MIT */
/* report.h - log lines to stderr with levels; safe from any thread, never from the core */
#ifndef REPORT_H
#define REPORT_H

#include "base/err.h"
#include <stdbool.h>

enum report_level { REPORT_ERROR = 0, REPORT_WARN, REPORT_INFO, REPORT_DEBUG };
void report_level(enum report_level most);
/* One line, prefixed "<3>".. for journald when JOURNAL_STREAM is set, else with time and level. */
void report(enum report_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Report what failed with strerror(errno) and turn errno into an enum err (ENOSPC, EDQUOT ->
 * ERR_NOSPC, ENOMEM -> ERR_NOMEM, ENOENT -> ERR_NOENT, EEXIST -> ERR_EXIST, else ERR_IO). */
enum err report_sys(const char *what, const char *path) MUST_USE;

#endif
