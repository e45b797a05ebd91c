/* SPDX-License-Identifier: MIT */
/* serve.h - requests that come over the control socket */
#ifndef SERVE_H
#define SERVE_H

#include "prog/folders.h"
#include <jansson.h>

/* As ctl_ops.answer; arg: the struct daemon. */
json_t *serve_answer(void *arg, const char *method, json_t *parameters, int take_fd);

#endif
