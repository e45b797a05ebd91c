// SPDX-License-Identifier: MIT
/*
 * err.c - texts of errors, and the ring of their births
 *
 * The ring is per thread, so that no lock and no atomic is needed where errors are born.
 */
#include "base/err.h"
#include "base/bytes.h"

static const struct {
	const char *text;
	int number;
} table[ERR_COUNT] = {
#define X(code, num, txt) [ERR_##code] = {txt, num},
	ERR_TABLE(X)
#undef X
};

struct birth {
	enum err e;
	int line;
	const char *file;
};
static _Thread_local struct birth trail[ERR_TRAIL];
static _Thread_local unsigned trail_next;

const char *err_text(enum err e)
{
	return (unsigned)e < ERR_COUNT ? table[e].text : "unknown error";
}

int err_errno(enum err e)
{
	return (unsigned)e < ERR_COUNT ? table[e].number : EIO;
}

void err_note(enum err e, const char *file, int line)
{
	trail[trail_next++ % ERR_TRAIL] = (struct birth){e, line, file};
}

void err_trail(void (*show)(void *arg, enum err e, const char *file, int line), void *arg)
{
	for (unsigned k = 0; k < ERR_TRAIL; k++) {
		const struct birth *b = &trail[(trail_next + k) % ERR_TRAIL];
		if (b->file)
			show(arg, b->e, b->file, b->line);
	}
}
