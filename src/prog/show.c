// SPDX-License-Identifier: MIT
/*
 * show.c - print what the daemon told
 *
 * Text comes from other devices, too: control characters never reach the terminal.
 */
#include "prog/show.h"
#include "base/bytes.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define TIME_TEXT 32

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool yes(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void put(const char *s)
{
	for (; *s; s++)
		(void)putchar(iscntrl((unsigned char)*s) ? '?' : *s);
}

static void put_bytes(uint64_t n)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned unit = 0;

	if (n < 1024) {
		(void)printf("%" PRIu64 " bytes", n);
		return;
	}
	uint64_t tenths = n / 1024 * 10 + n % 1024 * 10 / 1024;

	while (tenths >= 10240 && unit + 1 < ARRAY_LEN(units)) {
		tenths /= 1024;
		unit++;
	}
	(void)printf("%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[unit]);
}

/* Local time, as "peerfs restore --at" takes it. */
static void time_text(uint64_t ms, char ret[TIME_TEXT])
{
	time_t t = (time_t)(ms / 1000);
	char text[TIME_TEXT] = "";
	struct tm tm;

	if (localtime_r(&t, &tm))
		(void)strftime(text, sizeof(text), "%F %T", &tm);
	(void)snprintf(ret, TIME_TEXT, "%.27s.%03u", text, (unsigned)(ms % 1000));
}

void show_json(const json_t *o)
{
	(void)json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	(void)putchar('\n');
}

/* What other devices changed and is not in the tree. */
static void show_aside(const json_t *list)
{
	const json_t *a;
	size_t i;

	json_array_foreach(list, i, a)
	{
		const char *name = text(a, "name")[0] ? text(a, "name") : text(a, "device");
		const char *why = text(a, "why");

		(void)fputs("  set aside: ", stdout);
		(void)printf("%" PRIu64 " bundles of ", number(a, "bundles"));
		put(name);
		if (strcmp(why, "mass change") == 0) {
			(void)fputs(", which removed or rewrote much at once: peerfs accept ",
				    stdout);
			put(name);
			(void)fputs(", or peerfs reject ", stdout);
			put(name);
		} else if (strcmp(why, "not accepted") == 0) {
			(void)fputs(", made when it might not write, or rejected; taken in all the "
				    "same by: peerfs accept ",
				    stdout);
			put(name);
		} else {
			(void)fputs(", which had seen others that are set aside", stdout);
		}
		(void)putchar('\n');
	}
}

static void show_forks(const json_t *list)
{
	const json_t *a;
	size_t i;

	json_array_foreach(list, i, a)
	{
		(void)fputs("  forked: ", stdout);
		put(text(a, "name")[0] ? text(a, "name") : text(a, "device"));
		(void)fputs(" gave one number to two different changes; both are kept\n", stdout);
	}
}

static void show_folder(const json_t *f)
{
	(void)putchar('\n');
	put(text(f, "name"));
	if (text(f, "mount")[0]) {
		(void)fputs(", mounted on ", stdout);
		put(text(f, "mount"));
	} else {
		(void)fputs(", not mounted: peerfs mount ", stdout);
		put(text(f, "name"));
	}
	(void)printf("\n  role %s, %" PRIu64 " members, %" PRIu64 " connected\n", text(f, "role"),
		     number(f, "members"), number(f, "connected"));
	(void)printf("  %" PRIu64 " entries; ", number(f, "inodes"));
	put_bytes(number(f, "pack_bytes") + number(f, "bytes_unsealed"));
	(void)fputs(" of contents here, ", stdout);
	put_bytes(number(f, "fetched_bytes"));
	(void)fputs(" fetched since the daemon started\n", stdout);
	if (number(f, "files_unsealed"))
		(void)printf("  %" PRIu64 " files are being sealed\n", number(f, "files_unsealed"));
	if (number(f, "reads_waiting"))
		(void)printf("  %" PRIu64 " reads wait for other devices\n",
			     number(f, "reads_waiting"));
	show_aside(json_object_get(f, "set_aside"));
	show_forks(json_object_get(f, "forks"));
	if (number(f, "conflicts"))
		(void)printf("  %" PRIu64 " conflicts: peerfs conflicts\n", number(f, "conflicts"));
}

void show_status(const json_t *o)
{
	const json_t *f;
	size_t i;

	(void)fputs("device ", stdout);
	put(text(o, "name"));
	(void)printf(" (%.16s), daemon %s, process %" PRIu64 "\n", text(o, "device"),
		     text(o, "version"), number(o, "pid"));
	if (text(o, "addresses")[0]) {
		(void)fputs("listens at ", stdout);
		put(text(o, "addresses"));
		(void)putchar('\n');
	} else {
		(void)puts("does not listen");
	}
	if (number(o, "folders_unopened"))
		(void)printf("%" PRIu64 " folders cannot be opened: the daemon's log says why\n",
			     number(o, "folders_unopened"));
	else if (json_array_size(json_object_get(o, "folders")) == 0)
		(void)puts("no folders yet: peerfs create NAME DIR, or peerfs join INVITATION DIR");
	json_array_foreach(json_object_get(o, "folders"), i, f) show_folder(f);
}

void show_path(const json_t *o)
{
	char when[TIME_TEXT];

	put(text(o, "path"));
	(void)printf(": %s, %s", text(o, "type"), text(o, "state"));
	if (strcmp(text(o, "type"), "file") == 0) {
		(void)fputs(", ", stdout);
		put_bytes(number(o, "local"));
		(void)fputs(" of ", stdout);
		put_bytes(number(o, "size"));
		(void)fputs(" here", stdout);
	}
	(void)putchar('\n');
	if (yes(o, "conflict_copy"))
		(void)puts("  a conflict copy: rename or remove it when you are done with it");
	else if (yes(o, "conflict"))
		(void)puts("  in conflict: peerfs conflicts lists the copies");
	if (!text(o, "last_failure")[0])
		return;
	time_text(number(o, "last_failure_ms"), when);
	(void)printf("  the last read failed at %s: %s\n", when, text(o, "last_failure"));
}

static void show_peer(const json_t *p)
{
	(void)fputs("  ", stdout);
	put(text(p, "name"));
	(void)printf(" (%.16s), %s", text(p, "device"), text(p, "role"));
	if (yes(p, "self")) {
		(void)puts(", this device");
		return;
	}
	if (!yes(p, "connected")) {
		(void)fputs(", not connected", stdout);
		if (text(p, "addresses")[0]) {
			(void)fputs("; known at ", stdout);
			put(text(p, "addresses"));
		}
		(void)putchar('\n');
		return;
	}
	(void)fputs(", connected ", stdout);
	put(text(p, "address"));
	(void)printf(", lacks %" PRIu64 " bundles; fetched ", number(p, "lacks_bundles"));
	put_bytes(number(p, "fetched_bytes"));
	(void)fputs(" from it, served it ", stdout);
	put_bytes(number(p, "served_bytes"));
	(void)putchar('\n');
}

void show_peers(const json_t *o)
{
	const char *folder = "";
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(o, "peers"), i, p)
	{
		if (strcmp(folder, text(p, "folder")) != 0) {
			folder = text(p, "folder");
			put(folder);
			(void)putchar('\n');
		}
		show_peer(p);
	}
	if (i == 0)
		(void)puts("no folders yet");
}

static void show_writer(const char *what, const json_t *v)
{
	char when[TIME_TEXT];

	time_text(number(v, "time_ms"), when);
	(void)printf("    %s%s  ", what, when);
	put(text(v, "device"));
	(void)fputs(", ", stdout);
	put_bytes(number(v, "size"));
	if (text(v, "path")[0]) {
		(void)fputs(", ", stdout);
		put(text(v, "path"));
	}
	(void)putchar('\n');
}

void show_conflicts(const json_t *o)
{
	const json_t *c, *with, *base;
	size_t i;

	json_array_foreach(json_object_get(o, "conflicts"), i, c)
	{
		with = json_object_get(c, "with");
		base = json_object_get(c, "base");
		put(text(c, "folder"));
		(void)fputs(": ", stdout);
		put(text(c, "path"));
		(void)printf(": %s\n", text(c, "what"));
		if (text(c, "device")[0])
			show_writer("this  ", c);
		if (with)
			show_writer("other ", with);
		if (base)
			show_writer("base  ", base);
	}
	if (i == 0)
		(void)puts("no conflicts");
	else
		(void)puts("peerfs resolve PATH --keep mine|theirs|both|base|NAME ends one");
}

void show_resolved(const json_t *o)
{
	(void)fputs("resolved ", stdout);
	put(text(o, "file"));
	(void)putchar('\n');
}

static void show_version(const json_t *v)
{
	char when[TIME_TEXT];
	const char *state = text(v, "state");

	time_text(number(v, "time_ms"), when);
	(void)printf("%s  ", when);
	put(text(v, "device"));
	(void)fputs(", ", stdout);
	put_bytes(number(v, "size"));
	if (number(v, "local") < number(v, "size"))
		(void)fputs(", contents elsewhere", stdout);
	(void)printf(", %s", strcmp(state, "copy") == 0 ? "conflict copy" : state);
	if (number(v, "until_ms")) {
		time_text(number(v, "until_ms"), when);
		(void)printf(" %s", when);
	}
	if (text(v, "by")[0]) {
		(void)fputs(" by ", stdout);
		put(text(v, "by"));
	}
	(void)putchar('\n');
}

static void show_ended(const json_t *x)
{
	char when[TIME_TEXT];

	time_text(number(x, "until_ms"), when);
	(void)printf("%s  %s by ", when, text(x, "state"));
	put(text(x, "by"));
	(void)printf(", %s: ", text(x, "type"));
	put(text(x, "name"));
	if (text(x, "now")[0]) {
		(void)fputs(", now ", stdout);
		put(text(x, "now"));
	}
	(void)putchar('\n');
}

void show_versions(const json_t *o)
{
	const json_t *x;
	size_t i;

	json_array_foreach(json_object_get(o, "versions"), i, x) show_version(x);
	json_array_foreach(json_object_get(o, "ended"), i, x) show_ended(x);
	if (i == 0 && json_object_get(o, "ended"))
		(void)puts("nothing was removed or moved away here");
}

void show_restored(const char *path, const json_t *o)
{
	char when[TIME_TEXT];

	time_text(number(o, "time_ms"), when);
	if (!number(o, "restored")) {
		put(path);
		(void)printf(" is as it was at %s: nothing to restore\n", when);
		return;
	}
	(void)fputs("restored ", stdout);
	put(path);
	(void)printf(" as of %s", when);
	if (number(o, "restored") + number(o, "unchanged") > 1)
		(void)printf(": %" PRIu64 " entries, %" PRIu64 " were there", number(o, "restored"),
			     number(o, "unchanged"));
	(void)putchar('\n');
}
