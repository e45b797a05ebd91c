// SPDX-License-Identifier: MIT
/*
 * report.c - one line on stderr for each thing the owner of the machine should know
 *
 * Under systemd (JOURNAL_STREAM is set) a line starts with "<level>", which journald takes for
 * its priority and adds the time itself; on a terminal we print both.  A line is one write(2), so
 * that lines of several threads never mix.  The level is the process's: there is one stderr.
 * Control characters, which names from peers may hold, are shown as '?': nobody repaints the
 * owner's terminal.
 */
#include "sys/report.h"
#include "base/bytes.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static atomic_int most = REPORT_INFO;

static const struct {
	const char *name;
	int priority; /* of syslog(3) */
} levels[] = {
	[REPORT_ERROR] = {"error", 3},
	[REPORT_WARN] = {"warn", 4},
	[REPORT_INFO] = {"info", 6},
	[REPORT_DEBUG] = {"debug", 7},
};

void report_level(enum report_level level)
{
	atomic_store_explicit(&most, (int)level, memory_order_relaxed);
}

/* getenv() is safe here: this program never changes its environment. */
static size_t line_start(enum report_level level, char *line, size_t room)
{
	struct timespec now;
	struct tm t;
	char when[32] = "";
	int n;

	if (getenv("JOURNAL_STREAM")) {
		n = snprintf(line, room, "<%d>", levels[level].priority);
		return (size_t)n;
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (localtime_r(&now.tv_sec, &t))
		(void)strftime(when, sizeof(when), "%F %T", &t);
	n = snprintf(line, room, "%s.%03ld %-5s ", when, now.tv_nsec / 1000000, levels[level].name);
	return (size_t)n;
}

void report(enum report_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if ((int)level > atomic_load_explicit(&most, memory_order_relaxed))
		return;
	size_t start = line_start(level, line, sizeof(line));
	va_start(ap, format);
	int n = vsnprintf(line + start, sizeof(line) - start - 1, format, ap);
	va_end(ap);
	size_t len = start + (n < 0 ? 0 : MIN((size_t)n, sizeof(line) - start - 2));
	for (size_t k = start; k < len; k++)
		if ((unsigned char)line[k] < ' ' || line[k] == 0x7f)
			line[k] = '?';
	line[len++] = '\n';
	ssize_t ignored = write(STDERR_FILENO, line, len); /* there is nobody left to tell */
	(void)ignored;
	errno = saved;
}

enum err report_sys(const char *what, const char *path)
{
	int number = errno;
	char text[128];

	/* the GNU strerror_r, which is safe from any thread */
	report(REPORT_ERROR, "%s%s%s: %s", what, path ? " " : "", path ? path : "",
	       strerror_r(number, text, sizeof(text)));
	switch (number) {
	case ENOSPC:
	case EDQUOT:
		return fail(ERR_NOSPC);
	case ENOMEM:
		return fail(ERR_NOMEM);
	case ENOENT:
		return fail(ERR_NOENT);
	case EEXIST:
		return fail(ERR_EXIST);
	default:
		return fail(ERR_IO);
	}
}
