// SPDX-License-Identifier: MIT
/*
 * decide.c - see decide.h
 *
 * The decision is a record of the roster, so it holds on every device.
 */
#include "prog/decide.h"
#include "prog/tell.h"
#include <stdarg.h>
#include <stdlib.h>

#define ASIDE_MAX 256 /* incarnations told */
#define ID_DIGITS_MIN 8

struct found { /* in one folder */
	struct node_member members[MEMBERS_MAX];
	struct node_aside aside[ASIDE_MAX];
	uint32_t members_count, aside_count;
};

static enum exits say(struct folders_say *s, enum exits x, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static enum exits say(struct folders_say *s, enum exits x, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(s->text, sizeof(s->text), format, args);
	va_end(args);
	return x;
}

static struct found *look(struct folder *f)
{
	struct found *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	host_lock(f->host);
	r->members_count = node_members(host_node(f->host), r->members, MEMBERS_MAX);
	r->aside_count = node_aside(host_node(f->host), r->aside, ASIDE_MAX);
	host_unlock(f->host);
	return r;
}

static void hex(const struct device_id *d, char ret[2 * sizeof(d->b) + 1])
{
	for (size_t k = 0; k < sizeof(d->b); k++)
		(void)snprintf(ret + 2 * k, 3, "%02x", d->b[k]);
}

static bool named(const struct node_member *m, const char *device)
{
	char id[2 * sizeof(m->device.b) + 1];
	size_t len = strlen(device);

	hex(&m->device, id);
	return strcmp(m->name, device) == 0 ||
	       (len >= ID_DIGITS_MIN && len < sizeof(id) && strncmp(id, device, len) == 0);
}

/* Whether there is something to decide: what was set aside for good may still be accepted. */
static bool held(const struct found *r, const struct device_id *d, bool accept)
{
	for (uint32_t k = 0; k < r->aside_count; k++)
		if ((r->aside[k].why == ASIDE_BRAKE ||
		     (accept && r->aside[k].why == ASIDE_LIMIT)) &&
		    memcmp(&r->aside[k].device, d, sizeof(*d)) == 0)
			return true;
	return false;
}

struct search { /* over all folders */
	const struct decide_ask *ask;
	struct folders_say *say;
	json_t *folders;
	bool known, several;
	enum exits exit;
};

static void decide_in(struct search *s, struct folder *f)
{
	struct found *r = look(f);
	const struct node_member *which = NULL;
	struct event ev = {.kind = EV_ADMIT};

	for (uint32_t k = 0; r && k < r->members_count; k++) {
		if (!named(&r->members[k], s->ask->device))
			continue;
		s->known = true;
		if (!held(r, &r->members[k].device, s->ask->accept))
			continue;
		s->several |= which != NULL;
		which = &r->members[k];
	}
	if (which && !s->several) {
		ev.member.what = s->ask->accept ? MEMBER_ACCEPT : MEMBER_REJECT;
		ev.member.subject = which->device;
		enum err e = host_step(f->host, &ev);
		if (!e)
			(void)json_array_append_new(s->folders, tell_text(f->name));
		else
			s->exit =
				say(s->say, exits_of(e), "%s: %s", f->name,
				    e == ERR_REFUSED ? "only a writer or an admin may decide, and "
						       "not the device itself: ask one"
						     : err_text(e));
	}
	free(r);
}

static enum exits outcome(const struct search *s)
{
	if (s->exit)
		return s->exit;
	if (s->several)
		return say(s->say, EXIT_USAGE,
			   "several devices are called \"%s\": give the first digits of the id "
			   "that peerfs peers --json shows",
			   s->ask->device);
	if (json_array_size(s->folders))
		return EXIT_DONE;
	return s->known ? say(s->say, EXIT_FALSE,
			      "nothing of \"%s\" is held: peerfs status shows what is",
			      s->ask->device)
			: say(s->say, EXIT_NO_SUCH,
			      "no folder%s%s has a member \"%s\": peerfs peers lists them",
			      s->ask->folder ? " " : "", s->ask->folder ? s->ask->folder : "",
			      s->ask->device);
}

enum exits decide(struct daemon *d, const struct decide_ask *a, json_t **result,
		  struct folders_say *text)
{
	struct search s = {.ask = a, .say = text, .folders = json_array()};
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		if (!a->folder || strcmp(f->name, a->folder) == 0)
			decide_in(&s, f);
		loop_put(d->loop, f);
	}
	enum exits x = outcome(&s);
	if (x)
		json_decref(s.folders);
	else
		*result = json_pack("{s:o}", "folders", s.folders);
	return x;
}
