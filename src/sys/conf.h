/* SPDX-License-Identifier: MIT */
/*
 * conf.h - the device's configuration: a small INI file, peerfs.conf(5)
 *
 * One table of keys (conf.c) says what exists; a file with anything else in it is refused, with
 * file, line, and what was probably meant.  A missing file is an empty one.  A key is written
 * "device.name", "log.level" or "folder.NAME.owner" outside the file.
 */
#ifndef CONF_H
#define CONF_H

#include "base/err.h"
#include "sys/report.h"
#include <stddef.h>
#include <stdint.h>

#define CONF_LINE_MAX 180 /* bytes of a line: the parser would cut longer ones silently */
#define CONF_TEXT (CONF_LINE_MAX + 1)
#define CONF_FOLDERS_MAX 256
#define CONF_FOLDER_NAME_MAX 64
#define CONF_PORT 27182 /* where a device listens unless told otherwise */
#define CONF_WHY 512 /* room that fits each error text */

enum conf_owner { CONF_OWNER_MOUNTER = 0, CONF_OWNER_PRESERVE };
enum conf_yes { CONF_NO = 0, CONF_YES };
struct conf_folder {
	char name[CONF_FOLDER_NAME_MAX + 1];
	uint32_t given; /* keys the file gives, a bit each, in the order of the table */
	char store[CONF_TEXT]; /* absolute; "": paths_store() */
	char mount[CONF_TEXT]; /* absolute; "": not mounted at start */
	uint32_t read_timeout_s;
	uint32_t keep_versions_days;
	uint32_t brake; /* 0: no, 1: yes */
	uint32_t owner; /* enum conf_owner */
	uint32_t inotify; /* enum conf_yes: programs hear of changes from elsewhere */
};
struct conf {
	uint32_t given;
	char name[CONF_TEXT]; /* the host's name unless given */
	char listen[CONF_TEXT];
	char announce[CONF_TEXT]; /* comma list, or "" */
	uint32_t log_level; /* enum report_level */
	struct conf_folder *folders; /* owned */
	size_t folder_count;
};

/* ERR_INVAL and in why "FILE:LINE: what is wrong"; ERR_IO, ERR_NOMEM and why. */
enum err conf_load(const char *file, struct conf *ret, char *why, size_t why_len) MUST_USE;
void conf_free(struct conf *c); /* accepts a zeroed struct */
/* NULL: no such folder in it. */
const struct conf_folder *conf_folder(const struct conf *c, const char *name);
/* 1 to CONF_FOLDER_NAME_MAX letters, digits, '.', '_', '-' or bytes of UTF-8; no '.' first. */
bool conf_folder_name_ok(const char *name);

/* Shows every problem of the file and returns how many there are; a missing file has none. */
unsigned conf_check(const char *file, void (*show)(void *arg, unsigned line, const char *text),
		    void *arg);
/* The value in force, as text.  ERR_NOENT: no such key or folder; why says so. */
enum err conf_get(const char *file, const char *key, char *value, size_t len, char *why,
		  size_t why_len) MUST_USE;
/* Give key a value, or with NULL take it out of the file; "folder.NAME" with NULL takes the whole
 * section out.  All else in the file stays as it is; it is replaced atomically, mode 0600, and made
 * if missing.  Refused as conf_load() would refuse the outcome. */
enum err conf_set(const char *file, const char *key, const char *value, char *why,
		  size_t why_len) MUST_USE;
#endif
