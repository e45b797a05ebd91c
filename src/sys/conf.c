// SPDX-License-Identifier: MIT
/*
 * conf.c - the table of keys, reading and checking peerfs.conf
 *
 * The parser (inih) gives section, name and value; what it passes over in silence - long lines,
 * indented lines that continue a value, sections without keys - is looked at here line by line, as
 * the lines go by on their way to it.  Everything that is wrong becomes a problem with its
 * line; conf_load() takes the first, conf_check() shows them all.
 *
 * A new key is a line in the table and a field in conf.h.
 */
#include "sys/conf.h"
#include "codec/member.h"
#include "sys/conf_impl.h"
#include "sys/fdio.h"
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (1u << 20)
#define SAY_MAX 400

enum kind { NAME, LISTEN, ADDRESSES, PATH, NUMBER, CHOICE };
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const owners[] = {"mounter", "preserve", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};

struct key {
	const char *section, *name;
	enum kind kind;
	size_t offset; /* of a char[CONF_TEXT], or of an uint32_t */
	const char *fallback;
	uint32_t min, max; /* NUMBER */
	const char *const *choices; /* CHOICE */
	const char *doc;
};
static const struct key keys[] = {
	{.section = "device",
	 .name = "name",
	 .kind = NAME,
	 .offset = offsetof(struct conf, name),
	 .fallback = "",
	 .doc = "how other members see this device; default: the host's name"},
	{.section = "device",
	 .name = "listen",
	 .kind = LISTEN,
	 .offset = offsetof(struct conf, listen),
	 .fallback = "0.0.0.0:27182",
	 .doc = "address and port for other devices; port 0 takes any free one"},
	{.section = "device",
	 .name = "announce",
	 .kind = ADDRESSES,
	 .offset = offsetof(struct conf, announce),
	 .fallback = "",
	 .doc = "addresses told to other devices, separated by commas; default: those found"},
	{.section = "log",
	 .name = "level",
	 .kind = CHOICE,
	 .offset = offsetof(struct conf, log_level),
	 .fallback = "info",
	 .choices = levels,
	 .doc = "least urgent messages that are logged: error, warn, info or debug"},
	{.section = "folder",
	 .name = "store",
	 .kind = PATH,
	 .offset = offsetof(struct conf_folder, store),
	 .fallback = "",
	 .doc = "where the folder's store is; default: below the data folder"},
	{.section = "folder",
	 .name = "mount",
	 .kind = PATH,
	 .offset = offsetof(struct conf_folder, mount),
	 .fallback = "",
	 .doc = "where the folder is mounted"},
	{.section = "folder",
	 .name = "read_timeout",
	 .kind = NUMBER,
	 .offset = offsetof(struct conf_folder, read_timeout_s),
	 .fallback = "20",
	 .min = 1,
	 .max = 3600,
	 .doc = "seconds a read waits for bytes that are on no reachable device"},
	{.section = "folder",
	 .name = "keep_versions",
	 .kind = NUMBER,
	 .offset = offsetof(struct conf_folder, keep_versions_days),
	 .fallback = "30",
	 .min = 1,
	 .max = 36500,
	 .doc = "days that replaced and removed contents can be had back"},
	{.section = "folder",
	 .name = "brake",
	 .kind = CHOICE,
	 .offset = offsetof(struct conf_folder, brake),
	 .fallback = "yes",
	 .choices = no_yes,
	 .doc = "whether another device that removes or rewrites much at once is held: yes or no"},
	{.section = "folder",
	 .name = "owner",
	 .kind = CHOICE,
	 .offset = offsetof(struct conf_folder, owner),
	 .fallback = "mounter",
	 .choices = owners,
	 .doc = "who owns files: mounter (who mounts), or preserve (as their authors said)"},
	{.section = "folder",
	 .name = "inotify",
	 .kind = CHOICE,
	 .offset = offsetof(struct conf_folder, inotify),
	 .fallback = "yes",
	 .choices = yes_no,
	 .doc = "whether programs that watch the folder hear of other devices' changes: yes or no"},
};

struct parse {
	struct conf *conf;
	const char *at, *end; /* the rest of the text */
	unsigned line;
	char section[CONF_TEXT]; /* the one the last key was in */
	struct conf_folder *folder; /* of [folder NAME], or NULL */
	void (*show)(void *arg, unsigned line, const char *text);
	void *arg;
	unsigned problems;
	bool had_device, had_log; /* sections that were begun */
	bool bad_section; /* what is in it has been said: nothing more about its keys */
	enum err e;
};

static void say(struct parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct parse *p, const char *format, ...)
{
	char text[SAY_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	p->problems++;
	p->show(p->arg, p->line, text);
}

/* ---- did you mean ---- */

/* How many letters to change, add or drop to make b of a. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], len = strlen(b);

	if (len >= ARRAY_LEN(row))
		return SIZE_MAX;
	for (size_t k = 0; k <= len; k++)
		row[k] = k;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t k = 1; k <= len; k++) {
			size_t up = row[k], change = diagonal + (a[i - 1] != b[k - 1]);
			row[k] = MIN(MIN(up, row[k - 1]) + 1, change);
			diagonal = up;
		}
	}
	return row[len];
}

struct guess {
	const char *wrong, *best;
	size_t best_distance;
};

static void guess(struct guess *g, const char *word)
{
	size_t d = distance(g->wrong, word);

	if (d <= strlen(word) / 3 + 1 && (!g->best || d < g->best_distance)) {
		g->best = word;
		g->best_distance = d;
	}
}

static void say_guess(struct parse *p, const char *what, const struct guess *g, const char *known)
{
	if (g->best)
		say(p, "unknown %s \"%s\": did you mean \"%s\"?", what, g->wrong, g->best);
	else
		say(p, "unknown %s \"%s\": known are %s", what, g->wrong, known);
}

/* ---- values ---- */

static bool port_ok(const char *s, uint32_t min)
{
	uint32_t port = 0;

	if (!s[0] || strlen(s) > 5 || strspn(s, "0123456789") != strlen(s))
		return false;
	for (; *s; s++)
		port = port * 10 + (uint32_t)(*s - '0');
	return port >= min && port <= UINT16_MAX;
}

/* HOST:PORT or [V6]:PORT. */
static bool address_ok(const char *s, size_t len, uint32_t min_port)
{
	char port[8];
	size_t host = len;

	while (host > 0 && s[host - 1] != ':')
		host--;
	if (host < 2 || len - host >= sizeof(port))
		return false;
	memcpy(port, s + host, len - host);
	port[len - host] = 0;
	host--;
	bool v6 = s[0] == '[' && s[host - 1] == ']' && host > 2;
	for (size_t k = v6 ? 1 : 0; k < (v6 ? host - 1 : host); k++)
		if (strchr(v6 ? "[]/ ," : "[]/: ,", s[k]))
			return false;
	return port_ok(port, min_port);
}

static bool addresses_ok(const char *s)
{
	while (*s) {
		size_t len = strcspn(s, ",");
		size_t next = s[len] ? len + 1 : len;
		while (len && *s == ' ') {
			s++;
			len--;
			next--;
		}
		if (!address_ok(s, len, 1) || (s[len] && !s[len + 1]))
			return false;
		s += next;
	}
	return true;
}

static void bad_choice(struct parse *p, const struct key *k, const char *value)
{
	char known[100];
	size_t len = 0;
	struct guess g = {.wrong = value};

	for (size_t n = 0; k->choices[n]; n++) {
		guess(&g, k->choices[n]);
		int w = snprintf(known + len, sizeof(known) - len, "%s%s", n ? ", " : "",
				 k->choices[n]);
		len += w > 0 ? (size_t)w : 0;
		assert(len < sizeof(known));
	}
	say_guess(p, k->name, &g, known);
}

/* Put a checked value into its field; what is wrong with it is said. */
static void store(struct parse *p, const struct key *k, void *base, const char *value)
{
	char *text = (char *)base + k->offset;
	uint32_t number = 0;
	size_t len = strlen(value);
	bool ok = false;

	switch (k->kind) {
	case NAME:
		ok = !len || member_name_ok(bytes_text(value));
		if (!ok)
			say(p, "%s = %s: give 1 to %d bytes of UTF-8 without '/' and control bytes",
			    k->name, value, MEMBER_NAME_MAX);
		break;
	case LISTEN:
		ok = address_ok(value, len, 0);
		if (!ok)
			say(p, "%s = %s: give ADDRESS:PORT or [V6ADDRESS]:PORT", k->name, value);
		break;
	case ADDRESSES:
		ok = addresses_ok(value);
		if (!ok)
			say(p, "%s = %s: give HOST:PORT, several separated by commas", k->name,
			    value);
		break;
	case PATH:
		ok = value[0] == '/' || !value[0];
		if (!ok)
			say(p, "%s = %s: give an absolute path", k->name, value);
		break;
	case NUMBER:
		ok = len >= 1 && len <= 9 && strspn(value, "0123456789") == len;
		number = ok ? (uint32_t)strtoul(value, NULL, 10) : 0;
		ok = ok && number >= k->min && number <= k->max;
		if (!ok)
			say(p, "%s = %s: give a whole number from %u to %u", k->name, value, k->min,
			    k->max);
		break;
	case CHOICE:
		while (k->choices[number] && strcmp(k->choices[number], value) != 0)
			number++;
		ok = k->choices[number] != NULL;
		if (!ok)
			bad_choice(p, k, value);
		break;
	}
	if (ok && (k->kind == NUMBER || k->kind == CHOICE))
		memcpy(text, &number, sizeof(number));
	else if (ok)
		memcpy(text, value, len + 1);
}

static void fill_defaults(struct parse *p, const char *section, void *base)
{
	for (size_t n = 0; n < ARRAY_LEN(keys); n++)
		if (strcmp(keys[n].section, section) == 0)
			store(p, &keys[n], base, keys[n].fallback);
}

/* ---- sections ---- */

bool conf_folder_name_ok(const char *name)
{
	size_t len = strlen(name);

	for (size_t k = 0; k < len; k++) {
		unsigned char c = (unsigned char)name[k];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c >= 0x80;
		if (!plain && !strchr("._-", c))
			return false;
	}
	return len >= 1 && len <= CONF_FOLDER_NAME_MAX && name[0] != '.';
}

static void enter_folder(struct parse *p, const char *name)
{
	struct conf *c = p->conf;

	if (!conf_folder_name_ok(name)) {
		say(p, "folder name \"%s\": 1 to %d letters, digits, '.', '_' or '-', no '.' first",
		    name, CONF_FOLDER_NAME_MAX);
		return;
	}
	if (conf_folder(c, name)) {
		say(p, "section [folder %s] stands twice", name);
		return;
	}
	if (c->folder_count == CONF_FOLDERS_MAX) {
		say(p, "more than %d folders", CONF_FOLDERS_MAX);
		return;
	}
	struct conf_folder *more = realloc(c->folders, (c->folder_count + 1) * sizeof(*more));
	if (!more) {
		p->e = fail(ERR_NOMEM);
		return;
	}
	c->folders = more;
	p->folder = &more[c->folder_count++];
	*p->folder = (struct conf_folder){.given = 0};
	memcpy(p->folder->name, name, strlen(name) + 1);
	fill_defaults(p, "folder", p->folder);
	p->bad_section = false;
}

/* name: what stands between the brackets. */
static void enter(struct parse *p, const char *name)
{
	struct guess g = {.wrong = name};

	p->folder = NULL;
	p->bad_section = true;
	if (strncmp(name, "folder ", 7) == 0) {
		enter_folder(p, name + 7 + strspn(name + 7, " "));
		return;
	}
	bool device = strcmp(name, "device") == 0, log = strcmp(name, "log") == 0;
	if ((device && p->had_device) || (log && p->had_log)) {
		say(p, "section [%s] stands twice", name);
		return;
	}
	if (device || log) {
		p->had_device |= device;
		p->had_log |= log;
		p->bad_section = false;
		return;
	}
	guess(&g, "device");
	guess(&g, "log");
	guess(&g, "folder NAME");
	if (strcmp(name, "folder") == 0)
		g.best = "folder NAME";
	say_guess(p, "section", &g, "device, log and folder NAME");
}

/* ---- lines ---- */

/* What the parser would not tell us about a line; line has no newline. */
static void look_at(struct parse *p, const char *line, size_t len)
{
	char name[CONF_TEXT];
	size_t sep = 0;

	if (memchr(line, 0, len)) {
		say(p, "a byte 0 in the line");
		return;
	}
	size_t blank = strspn(line, " \t\r");
	if (blank >= len || line[blank] == ';' || line[blank] == '#')
		return;
	if (blank > 0) {
		say(p, "the line begins with a blank, which would continue the line before");
		return;
	}
	if (line[0] == '[') {
		const char *close = memchr(line, ']', len);
		if (!close) {
			say(p, "a section without ']'");
			p->bad_section = true;
			return;
		}
		size_t rest = strspn(close + 1, " \t\r");
		if (close[1 + rest] != 0 && close[1 + rest] != ';' && close[1 + rest] != '\n' &&
		    close[1 + rest] != '#')
			say(p, "something stands behind the ']'");
		memcpy(name, line + 1, (size_t)(close - line - 1));
		name[close - line - 1] = 0;
		enter(p, name);
		return;
	}
	while (sep < len && line[sep] != '=' && line[sep] != ':')
		sep++;
	if (sep == len || line[sep] == ':')
		say(p, "not a section, a comment or KEY = VALUE");
}

/* inih's fgets(): the next line; one that was found wrong goes to it as a comment. */
static char *next_line(char *to, int room, void *stream)
{
	struct parse *p = stream;

	if (p->at == p->end || p->e)
		return NULL;
	const char *stop = memchr(p->at, '\n', (size_t)(p->end - p->at));
	size_t len = stop ? (size_t)(stop - p->at) : (size_t)(p->end - p->at);
	unsigned before = p->problems;
	assert(room > CONF_LINE_MAX + 2);
	p->line++;
	if (len > CONF_LINE_MAX) {
		say(p, "the line has %zu bytes, %d are allowed", len, CONF_LINE_MAX);
		to[0] = 0;
	} else {
		memcpy(to, p->at, len);
		to[len] = 0;
		look_at(p, to, len);
	}
	if (p->problems > before && to[0] != '[') {
		to[0] = ';';
		to[1] = 0;
	}
	(void)strncat(to, "\n", 2);
	p->at = stop ? stop + 1 : p->end;
	return to;
}

/* A key is in no section of ours: it may be that of another. */
static void say_unknown_key(struct parse *p, const char *section, const char *name)
{
	struct guess g = {.wrong = name};
	char known[200] = "";
	size_t len = 0;

	for (size_t n = 0; n < ARRAY_LEN(keys); n++) {
		if (strcmp(keys[n].section, section) != 0)
			continue;
		guess(&g, keys[n].name);
		int w = snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "",
				 keys[n].name);
		len += w > 0 ? (size_t)w : 0;
		assert(len < sizeof(known));
	}
	say_guess(p, "key", &g, known);
}

static int on_key(void *arg, const char *section, const char *name, const char *value)
{
	struct parse *p = arg;

	if (p->bad_section)
		return 1;
	if (!section[0]) {
		say(p, "the key \"%s\" stands before the first section", name);
		return 1;
	}
	void *base = p->folder ? (void *)p->folder : (void *)p->conf;
	uint32_t *given = p->folder ? &p->folder->given : &p->conf->given;
	const char *kind = p->folder ? "folder" : section;
	for (size_t n = 0; n < ARRAY_LEN(keys); n++) {
		if (strcmp(keys[n].section, kind) != 0 || strcmp(keys[n].name, name) != 0)
			continue;
		if (*given & 1u << n)
			say(p, "the key \"%s\" stands twice in this section", name);
		*given |= 1u << n;
		store(p, &keys[n], base, value);
		return 1;
	}
	say_unknown_key(p, kind, name);
	return 1;
}

enum err conf_parse(const char *text, size_t len, struct conf *ret,
		    void (*show)(void *arg, unsigned line, const char *text), void *arg,
		    unsigned *problems)
{
	struct conf c = {.given = 0};
	struct parse p = {.conf = &c, .at = text, .end = text + len, .show = show, .arg = arg};

	fill_defaults(&p, "device", &c);
	fill_defaults(&p, "log", &c);
	assert(p.problems == 0); /* the table's own defaults are sound */
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		p.at += 3;
	int r = ini_parse_stream(next_line, &p, on_key, &p);
	if (p.e || r < 0) {
		conf_free(&c);
		return p.e ? p.e : fail(ERR_NOMEM);
	}
	if (!c.name[0] && gethostname(c.name, sizeof(c.name) - 1) < 0)
		memcpy(c.name, "device", sizeof("device"));
	*problems = p.problems;
	*ret = c;
	return ERR_OK;
}

void conf_free(struct conf *c)
{
	free(c->folders);
	c->folders = NULL;
	c->folder_count = 0;
}

/* ---- whole files ---- */

enum err conf_slurp(const char *file, char **ret, size_t *len, char *why, size_t why_len)
{
	errno = 0;
	enum err e = fdio_slurp(AT_FDCWD, file, FILE_BYTES_MAX, ret, len);

	if (e == ERR_NOENT) {
		*ret = calloc(1, 1);
		*len = 0;
		e = *ret ? ERR_OK : fail(ERR_NOMEM);
	}
	if (e)
		(void)snprintf(why, why_len, "%s: cannot be read: %s", file,
			       errno ? strerror(errno) : err_text(e));
	return e;
}

void conf_first(void *arg, unsigned line, const char *text)
{
	struct conf_first *f = arg;

	if (f->seen)
		return;
	f->seen = true;
	(void)snprintf(f->why, f->why_len, "%s:%u: %s", f->file, line, text);
}

enum err conf_load(const char *file, struct conf *ret, char *why, size_t why_len)
{
	struct conf_first first = {.file = file, .why = why, .why_len = why_len};
	struct conf c;
	unsigned problems;
	char *text;
	size_t len;
	enum err e = conf_slurp(file, &text, &len, why, why_len);

	if (e)
		return e;
	e = conf_parse(text, len, &c, conf_first, &first, &problems);
	free(text);
	if (e) {
		(void)snprintf(why, why_len, "%s: %s", file, err_text(e));
		return e;
	}
	if (problems) {
		conf_free(&c);
		return fail(ERR_INVAL);
	}
	*ret = c;
	return ERR_OK;
}

unsigned conf_check(const char *file, void (*show)(void *arg, unsigned line, const char *text),
		    void *arg)
{
	char why[CONF_WHY], *text;
	size_t len;
	struct conf c;
	unsigned problems;

	if (conf_slurp(file, &text, &len, why, sizeof(why))) {
		show(arg, 0, why);
		return 1;
	}
	enum err e = conf_parse(text, len, &c, show, arg, &problems);
	free(text);
	if (e) {
		show(arg, 0, err_text(e));
		return 1;
	}
	conf_free(&c);
	return problems;
}

const struct conf_folder *conf_folder(const struct conf *c, const char *name)
{
	for (size_t k = 0; k < c->folder_count; k++)
		if (strcmp(c->folders[k].name, name) == 0)
			return &c->folders[k];
	return NULL;
}

/* ---- single keys ---- */

enum err conf_address(const char *key, struct conf_address *ret)
{
	const char *first = strchr(key, '.'), *last = strrchr(key, '.');
	size_t len = first ? (size_t)(first - key) : 0;

	*ret = (struct conf_address){.found = false};
	if (!first || strlen(key) >= sizeof(ret->section))
		return fail(ERR_NOENT);
	bool folder = len == 6 && memcmp(key, "folder", 6) == 0;
	if (!folder) {
		memcpy(ret->section, key, len);
	} else {
		if (last == first || !last[1])
			return fail(ERR_NOENT);
		memcpy(ret->section, "folder ", 7);
		memcpy(ret->section + 7, first + 1, (size_t)(last - first - 1));
		if (!conf_folder_name_ok(ret->section + 7))
			return fail(ERR_NOENT);
	}
	const char *name = folder ? last + 1 : first + 1;
	for (size_t n = 0; n < ARRAY_LEN(keys); n++) {
		if (strcmp(keys[n].section, folder ? "folder" : ret->section) == 0 &&
		    strcmp(keys[n].name, name) == 0) {
			ret->name = keys[n].name;
			ret->no = n;
			ret->found = true;
			return ERR_OK;
		}
	}
	return fail(ERR_NOENT);
}

void conf_value(const struct conf *c, const struct conf_address *a, char *value, size_t len)
{
	const struct key *k = &keys[a->no];
	const void *base = strcmp(k->section, "folder") == 0
				   ? (const void *)conf_folder(c, a->section + 7)
				   : (const void *)c;
	uint32_t number;

	assert(base);
	const char *field = (const char *)base + k->offset;
	if (k->kind == NUMBER || k->kind == CHOICE) {
		memcpy(&number, field, sizeof(number));
		if (k->kind == CHOICE)
			(void)snprintf(value, len, "%s", k->choices[number]);
		else
			(void)snprintf(value, len, "%u", number);
		return;
	}
	(void)snprintf(value, len, "%s", field);
}

void conf_no_key(const char *key, char *why, size_t why_len)
{
	const char *last = strrchr(key, '.');
	bool folder = strncmp(key, "folder.", 7) == 0;
	struct guess g = {.wrong = last ? last + 1 : key};

	for (size_t n = 0; n < ARRAY_LEN(keys); n++)
		if (folder == (strcmp(keys[n].section, "folder") == 0))
			guess(&g, keys[n].name);
	int w = snprintf(why, why_len, "no key \"%s\"", key);
	if (g.best && w > 0 && (size_t)w < why_len)
		(void)snprintf(why + w, why_len - (size_t)w, ": did you mean \"%s\"?", g.best);
}

enum err conf_get(const char *file, const char *key, char *value, size_t len, char *why,
		  size_t why_len)
{
	struct conf_address a;
	struct conf c;

	if (conf_address(key, &a)) {
		conf_no_key(key, why, why_len);
		return fail(ERR_NOENT);
	}
	enum err e = conf_load(file, &c, why, why_len);
	if (e)
		return e;
	if (strncmp(a.section, "folder ", 7) == 0 && !conf_folder(&c, a.section + 7)) {
		(void)snprintf(why, why_len, "%s: no section [%s]", file, a.section);
		e = fail(ERR_NOENT);
	} else {
		conf_value(&c, &a, value, len);
	}
	conf_free(&c);
	return e;
}
