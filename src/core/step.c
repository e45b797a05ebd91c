// SPDX-License-Identifier: MIT
/* step.c - actions, journal entries and keys of a running step: see step.h */
#include "core/step.h"
#include <stdarg.h>
#include <stdio.h>

struct action *step_act(struct step *s, enum action_kind kind)
{
	struct actions *a = s->acts;

	if (a->bad)
		return NULL;
	if (a->count == a->room) {
		uint32_t room = a->room ? a->room * 2 : 16;
		struct action *p = realloc(a->at, room * sizeof(*p));
		if (!p) {
			a->bad = true;
			return NULL;
		}
		a->at = p;
		a->room = room;
	}
	struct action *act = &a->at[a->count++];
	memset(act, 0, sizeof(*act));
	act->kind = kind;
	return act;
}

void step_report(struct step *s, bool warn, const char *format, ...)
{
	struct action *act = step_act(s, ACT_REPORT);
	va_list args;

	if (!act)
		return;
	act->report.warn = warn;
	va_start(args, format);
	(void)vsnprintf(act->report.text, sizeof(act->report.text), format, args);
	va_end(args);
}

struct wr *step_entry(struct step *s, enum journal_kind kind, size_t *mark)
{
	if (s->replaying)
		return NULL;
	struct wr *w = &s->acts->journal;
	wr_u8(w, (uint8_t)kind);
	*mark = w->len;
	wr_u32(w, 0);
	return w;
}

void step_entry_end(struct step *s, size_t mark)
{
	struct wr *w = &s->acts->journal;

	if (!s->replaying && !w->bad)
		wr_patch_u32(w, mark, (uint32_t)(w->len - mark - 4));
}

enum err step_sound(const struct step *s)
{
	return s->acts->bad || s->acts->journal.bad ? fail(ERR_NOMEM) : ERR_OK;
}

void step_key_init(struct step_key *k, uint8_t table)
{
	k->at[0] = table;
	k->len = 1;
}

void step_key_u8(struct step_key *k, uint8_t v)
{
	step_key_raw(k, &v, 1);
}

void step_key_u64(struct step_key *k, uint64_t v)
{
	uint8_t b[8];

	bytes_put_be64(b, v);
	step_key_raw(k, b, sizeof(b));
}

void step_key_raw(struct step_key *k, const void *at, size_t len)
{
	assert(k->len + len <= sizeof(k->at));
	memcpy(k->at + k->len, at, len);
	k->len += len;
}

static void action_fini(struct action *a)
{
	if (a->kind == ACT_BUNDLE) {
		bundle_head_fini(&a->bundle.head);
		free(a->bundle.body);
	} else if (a->kind == ACT_SEND) {
		free(a->send.message);
	}
}

void actions_reset(struct actions *a)
{
	for (uint32_t k = 0; k < a->count; k++)
		action_fini(&a->at[k]);
	a->count = 0;
	a->bad = false;
	wr_reset(&a->journal);
}

void actions_fini(struct actions *a)
{
	actions_reset(a);
	free(a->at);
	wr_fini(&a->journal);
	*a = (struct actions){0};
}
