/* SPDX-License-Identifier: MIT */
/*
 * shrink.h - make a failing plan short
 */
#ifndef SHRINK_H
#define SHRINK_H

#include "plan.h"

/* Leave out what a failing run does not need, as long as it fails in the same way.  Each trial is
 * a child process. */
void shrink(struct plan *p);

#endif
