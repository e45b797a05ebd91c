/* SPDX-License-Identifier: MIT */
/*
 * paths.h - where a device keeps its configuration, its stores, its key and its socket
 *
 *	with PEERFS_HOME=DIR	DIR/peerfs.conf, DIR/data, DIR/data/device.key, DIR/run/ctl.sock
 *	without			$XDG_CONFIG_HOME/peerfs/peerfs.conf, $XDG_DATA_HOME/peerfs,
 *				device.key in it, $XDG_RUNTIME_DIR/peerfs/ctl.sock
 *
 * An XDG variable that is unset or not absolute counts as ~/.config, ~/.local/share, and the data
 * folder itself for the socket.  Never a cache folder: those may be emptied at any time.
 */
#ifndef PATHS_H
#define PATHS_H

#include "base/err.h"
#include <stddef.h>

#define PATHS_MAX 1024
#define PATHS_SOCKET_MAX 107 /* what a Unix socket's address holds */

struct paths {
	char config[PATHS_MAX]; /* the file */
	char data[PATHS_MAX];
	char run[PATHS_MAX];
	char socket[PATHS_MAX];
	char key[PATHS_MAX];
};
/* From the environment; nothing is created.  ERR_INVAL, ERR_NAMETOOLONG; why: what and what to do.
 */
enum err paths_find(struct paths *ret, char *why, size_t why_len) MUST_USE;
/* Where folder name keeps its store unless its "store" key says so: data/folders/NAME. */
enum err paths_store(const struct paths *p, const char *name, char *ret, size_t len) MUST_USE;
/* Make path and its missing parents, 0700 each. */
enum err paths_make(const char *path) MUST_USE;

#endif
