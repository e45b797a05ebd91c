/* SPDX-License-Identifier: MIT */
/* notice.h - what a record changed for those who look: the one source of "changed" */
#ifndef NOTICE_H
#define NOTICE_H

#include "core/place.h"

/* The write set is complete: store it, and tell the hooks what may have changed. */
void notice_flush(struct view *v);

#endif
