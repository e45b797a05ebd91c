// SPDX-License-Identifier: MIT
/* test_conf.c - what peerfs.conf may say, how it is refused, and how one key is changed */
#include "sys/conf.h"
#include "sys/paths.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define OK(call) assert_int_equal((call), ERR_OK)

static char top[] = "/tmp/peerfs-conf-XXXXXX";
static char file[64];

static void put(const char *text)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void holds(const char *text)
{
	char got[2000];
	FILE *f = fopen(file, "re");

	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = 0;
	assert_int_equal(fclose(f), 0);
	assert_string_equal(got, text);
}

static void show(void *arg, unsigned line, const char *text)
{
	char *all = arg;
	size_t len = strlen(all);

	(void)snprintf(all + len, 2000 - len, "%u: %s\n", line, text);
}

/* The text is refused, and problems is all that is said. */
static void refuses(const char *text, const char *problems)
{
	char all[2000] = "", why[CONF_WHY] = "";
	struct conf c = {.log_level = 77};

	put(text);
	assert_true(conf_check(file, show, all) > 0);
	assert_string_equal(all, problems);
	assert_int_equal(conf_load(file, &c, why, sizeof(why)), ERR_INVAL);
	assert_int_equal(c.log_level, 77);
	assert_memory_equal(why, file, strlen(file));
	assert_int_equal(why[strlen(file)], ':');
	assert_memory_equal(why + strlen(file) + 1, problems, strcspn(problems, "\n"));
}

static void test_defaults(void **state)
{
	struct conf c;
	char why[CONF_WHY];

	(void)state;
	(void)unlink(file);
	OK(conf_load(file, &c, why, sizeof(why)));
	assert_string_equal(c.listen, "0.0.0.0:27182");
	assert_int_equal(c.log_level, REPORT_INFO);
	assert_true(c.name[0] != 0);
	assert_int_equal(c.folder_count, 0);
	conf_free(&c);
	put("[folder docs]\n");
	OK(conf_load(file, &c, why, sizeof(why)));
	assert_int_equal(c.folder_count, 1);
	assert_int_equal(c.folders[0].read_timeout_s, 20);
	assert_int_equal(c.folders[0].keep_versions_days, 30);
	assert_int_equal(c.folders[0].brake, 1);
	assert_int_equal(c.folders[0].owner, CONF_OWNER_MOUNTER);
	conf_free(&c);
}

static void test_sound(void **state)
{
	struct conf c;
	char why[CONF_WHY];

	(void)state;
	put("; a comment\n# another\n\n[device]\nname = my laptop ; at home\r\n"
	    "listen=[::1]:0\nannounce = a.example:1, [fe80::1]:65535\n[log]\nlevel = debug\n"
	    "[folder docs]\nmount = /home/me/my docs\nowner = preserve\ninotify = no\n"
	    "[folder b-2.\xC3\xA4]\nread_timeout = 3600\nstore = /s=t:o\n");
	OK(conf_load(file, &c, why, sizeof(why)));
	assert_string_equal(c.name, "my laptop");
	assert_string_equal(c.listen, "[::1]:0");
	assert_string_equal(c.announce, "a.example:1, [fe80::1]:65535");
	assert_int_equal(c.log_level, REPORT_DEBUG);
	assert_int_equal(c.folder_count, 2);
	assert_string_equal(conf_folder(&c, "docs")->mount, "/home/me/my docs");
	assert_int_equal(conf_folder(&c, "docs")->owner, CONF_OWNER_PRESERVE);
	assert_int_equal(conf_folder(&c, "docs")->inotify, CONF_NO);
	assert_int_equal(conf_folder(&c, "b-2.\xC3\xA4")->inotify, CONF_YES);
	assert_int_equal(conf_folder(&c, "b-2.\xC3\xA4")->read_timeout_s, 3600);
	assert_string_equal(conf_folder(&c, "b-2.\xC3\xA4")->store, "/s=t:o");
	assert_null(conf_folder(&c, "b"));
	conf_free(&c);
}

static void test_refused(void **state)
{
	char line[400], want[100];

	(void)state;
	refuses("[devise]\nname = x\n",
		"1: unknown section \"devise\": did you mean \"device\"?\n");
	refuses("[network]\n",
		"1: unknown section \"network\": known are device, log and folder NAME\n");
	refuses("[folder]\n", "1: unknown section \"folder\": did you mean \"folder NAME\"?\n");
	refuses("[folder a/b]\n",
		"1: folder name \"a/b\": 1 to 64 letters, digits, '.', '_' or '-', "
		"no '.' first\n");
	refuses("[folder a]\n[folder a]\n", "2: section [folder a] stands twice\n");
	refuses("[log]\n[device]\nname = a\n[device]\nlisten = 1.2.3.4:5\n",
		"4: section [device] stands twice\n");
	refuses("[device]\nname = a/b\n",
		"2: name = a/b: give 1 to 64 bytes of UTF-8 without '/' and control bytes\n");
	refuses("[device]\nname = \xff\n",
		"2: name = \xff: give 1 to 64 bytes of UTF-8 without '/' and control bytes\n");
	refuses("[device\nname = x\n", "1: a section without ']'\n");
	refuses("[device] name = x\n", "1: something stands behind the ']'\n");
	refuses("[device]\n\nnaem = x\n", "3: unknown key \"naem\": did you mean \"name\"?\n");
	refuses("[log]\ncolour = x\n", "2: unknown key \"colour\": known are level\n");
	refuses("[device]\nname = x\nname = y\n",
		"3: the key \"name\" stands twice in this section\n");
	refuses("name = x\n", "1: the key \"name\" stands before the first section\n");
	refuses("[device]\nname\n", "2: not a section, a comment or KEY = VALUE\n");
	refuses("[device]\nname: x\n", "2: not a section, a comment or KEY = VALUE\n");
	refuses("[device]\nname = x\n  y\n",
		"3: the line begins with a blank, which would continue the line before\n");
	refuses("[device]\nlisten = 27182\n",
		"2: listen = 27182: give ADDRESS:PORT or [V6ADDRESS]:PORT\n");
	refuses("[device]\nlisten = a:65536\n",
		"2: listen = a:65536: give ADDRESS:PORT or [V6ADDRESS]:PORT\n");
	refuses("[device]\nlisten = ::1:80\n",
		"2: listen = ::1:80: give ADDRESS:PORT or [V6ADDRESS]:PORT\n");
	refuses("[device]\nannounce = a:1,b\n",
		"2: announce = a:1,b: give HOST:PORT, several separated by commas\n");
	refuses("[device]\nannounce = a:1,\n",
		"2: announce = a:1,: give HOST:PORT, several separated by commas\n");
	refuses("[log]\nlevel = wran\n", "2: unknown level \"wran\": did you mean \"warn\"?\n");
	refuses("[log]\nlevel = 7\n",
		"2: unknown level \"7\": known are error, warn, info, debug\n");
	refuses("[folder a]\nkeep_versions = 0\n",
		"2: keep_versions = 0: give a whole number from 1 to 36500\n");
	refuses("[folder a]\nread_timeout = 0\n",
		"2: read_timeout = 0: give a whole number from 1 to 3600\n");
	refuses("[folder a]\nread_timeout = 20s\n",
		"2: read_timeout = 20s: give a whole number from 1 to 3600\n");
	refuses("[folder a]\nread_timeout = -1\n",
		"2: read_timeout = -1: give a whole number from 1 to 3600\n");
	refuses("[folder a]\nmount = here\n", "2: mount = here: give an absolute path\n");
	/* all problems in one go */
	refuses("[log]\nlevle = info\n[devcie]\n",
		"2: unknown key \"levle\": did you mean \"level\"?\n"
		"3: unknown section \"devcie\": did you mean \"device\"?\n");
	memset(line, 'x', sizeof(line));
	memcpy(line, "[device]\n; long: ", 17);
	line[9 + CONF_LINE_MAX] = '\n';
	line[10 + CONF_LINE_MAX] = 0;
	put(line);
	assert_int_equal(conf_check(file, show, want), 0);
	line[9 + CONF_LINE_MAX] = 'x';
	line[10 + CONF_LINE_MAX] = '\n';
	line[11 + CONF_LINE_MAX] = 0;
	(void)snprintf(want, sizeof(want), "2: the line has %d bytes, %d are allowed\n",
		       CONF_LINE_MAX + 1, CONF_LINE_MAX);
	refuses(line, want);
}

static void test_get(void **state)
{
	char value[CONF_TEXT], why[CONF_WHY];

	(void)state;
	put("[folder a.b]\nowner = preserve\n");
	OK(conf_get(file, "folder.a.b.owner", value, sizeof(value), why, sizeof(why)));
	assert_string_equal(value, "preserve");
	OK(conf_get(file, "folder.a.b.read_timeout", value, sizeof(value), why, sizeof(why)));
	assert_string_equal(value, "20");
	OK(conf_get(file, "log.level", value, sizeof(value), why, sizeof(why)));
	assert_string_equal(value, "info");
	assert_int_equal(conf_get(file, "log.levle", value, sizeof(value), why, sizeof(why)),
			 ERR_NOENT);
	assert_string_equal(why, "no key \"log.levle\": did you mean \"level\"?");
	assert_int_equal(conf_get(file, "folder.c.owner", value, sizeof(value), why, sizeof(why)),
			 ERR_NOENT);
	assert_int_equal(conf_get(file, "level", value, sizeof(value), why, sizeof(why)),
			 ERR_NOENT);
	assert_int_equal(conf_get(file, "folder.owner", value, sizeof(value), why, sizeof(why)),
			 ERR_NOENT);
}

static void sets(const char *key, const char *value, const char *outcome)
{
	char why[CONF_WHY] = "";

	assert_int_equal(conf_set(file, key, value, why, sizeof(why)), ERR_OK);
	holds(outcome);
}

static void set_refuses(const char *key, const char *value, enum err want)
{
	char why[CONF_WHY] = "";

	assert_int_equal(conf_set(file, key, value, why, sizeof(why)), want);
	assert_true(why[0] != 0);
}

/* One key changes; comments, order and everything else stay. */
static void test_set(void **state)
{
	struct stat st;

	(void)state;
	(void)unlink(file);
	sets("device.name", "box", "[device]\nname = box\n");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	sets("folder.docs.mount", "/mnt", "[device]\nname = box\n\n[folder docs]\nmount = /mnt\n");
	sets("device.listen", "0.0.0.0:0",
	     "[device]\nname = box\nlisten = 0.0.0.0:0\n\n[folder docs]\nmount = /mnt\n");
	put("# top\n[log]\n; how much\nlevel=warn  ; less\n\n; names\n[device]\nname = x");
	sets("log.level", "debug",
	     "# top\n[log]\n; how much\nlevel = debug  ; less\n\n; names\n[device]\nname = x");
	sets("device.listen", "h:1",
	     "# top\n[log]\n; how much\nlevel = debug  ; less\n\n; names\n[device]\nname = x\n"
	     "listen = h:1\n");
	sets("log.level", NULL,
	     "# top\n[log]\n; how much\n\n; names\n[device]\nname = x\nlisten = h:1\n");
	sets("log.level", NULL,
	     "# top\n[log]\n; how much\n\n; names\n[device]\nname = x\nlisten = h:1\n");
	put("[folder a]\nowner = preserve\n[folder b]\n; kept\n[folder c]\n");
	sets("folder.a", NULL, "[folder b]\n; kept\n[folder c]\n");
	sets("folder.c", NULL, "[folder b]\n; kept\n");
}

/* What could not be read back as it was given is refused, and the file stays as it was. */
static void test_set_refused(void **state)
{
	const char *was = "[device]\nname = x\n";
	char line[300];

	(void)state;
	put(was);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	set_refuses("device.name", line, ERR_INVAL);
	set_refuses("device.name", " x", ERR_INVAL);
	set_refuses("device.name", "x ; y", ERR_INVAL);
	set_refuses("device.name", "x\n[log]", ERR_INVAL);
	set_refuses("log.level", "loud", ERR_INVAL);
	set_refuses("log.color", "red", ERR_NOENT);
	set_refuses("folder.a/b.owner", "mounter", ERR_NOENT);
	set_refuses("folder.docs", "x", ERR_NOENT);
	holds(was);
	was = "[device]\nname = x\nbad = y\n";
	put(was);
	set_refuses("device.name", "y", ERR_INVAL);
	holds(was);
}

static void test_paths(void **state)
{
	char why[CONF_WHY], text[PATHS_MAX];
	struct paths p;

	(void)state;
	assert_int_equal(setenv("PEERFS_HOME", "/dev1", 1), 0);
	OK(paths_find(&p, why, sizeof(why)));
	assert_string_equal(p.config, "/dev1/peerfs.conf");
	assert_string_equal(p.data, "/dev1/data");
	assert_string_equal(p.key, "/dev1/data/device.key");
	assert_string_equal(p.socket, "/dev1/run/ctl.sock");
	OK(paths_store(&p, "docs", text, sizeof(text)));
	assert_string_equal(text, "/dev1/data/folders/docs");
	assert_int_equal(setenv("PEERFS_HOME", "dev1", 1), 0);
	assert_int_equal(paths_find(&p, why, sizeof(why)), ERR_INVAL);
	memset(text, 'x', 120);
	text[0] = '/';
	text[120] = 0;
	assert_int_equal(setenv("PEERFS_HOME", text, 1), 0);
	assert_int_equal(paths_find(&p, why, sizeof(why)), ERR_NAMETOOLONG);
	assert_int_equal(unsetenv("PEERFS_HOME"), 0);
	assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
	assert_int_equal(setenv("XDG_DATA_HOME", "relative", 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0);
	assert_int_equal(setenv("HOME", "/h", 1), 0);
	OK(paths_find(&p, why, sizeof(why)));
	assert_string_equal(p.config, "/h/.config/peerfs/peerfs.conf");
	assert_string_equal(p.data, "/h/.local/share/peerfs");
	assert_string_equal(p.socket, "/run/user/7/peerfs/ctl.sock");
	assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
	assert_int_equal(setenv("XDG_CONFIG_HOME", "/c", 1), 0);
	OK(paths_find(&p, why, sizeof(why)));
	assert_string_equal(p.config, "/c/peerfs/peerfs.conf");
	assert_string_equal(p.socket, "/h/.local/share/peerfs/ctl.sock");
	assert_int_equal(unsetenv("HOME"), 0);
	assert_int_equal(paths_find(&p, why, sizeof(why)), ERR_INVAL);
	(void)snprintf(text, sizeof(text), "%s/a/b/c", top);
	OK(paths_make(text));
	OK(paths_make(text));
	assert_int_equal(rmdir(text), 0);
	*strrchr(text, '/') = 0;
	assert_int_equal(rmdir(text), 0);
	*strrchr(text, '/') = 0;
	assert_int_equal(rmdir(text), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	(void)snprintf(file, sizeof(file), "%s/peerfs.conf", top);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(file);
	return rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_sound),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_get),
		cmocka_unit_test(test_set),      cmocka_unit_test(test_set_refused),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
