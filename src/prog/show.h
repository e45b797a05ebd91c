/* SPDX-License-Identifier: MIT */
/* show.h - answers of the daemon as text for people */
#ifndef SHOW_H
#define SHOW_H

#include <jansson.h>

void show_json(const json_t *o); /* as it is, to stdout */
void show_status(const json_t *o);
void show_path(const json_t *o);
void show_peers(const json_t *o);
void show_conflicts(const json_t *o);
void show_resolved(const json_t *o);
void show_versions(const json_t *o);
void show_restored(const char *path, const json_t *o);

#endif
