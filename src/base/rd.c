// SPDX-License-Identifier: MIT
/* rd.c - the reading cursor: see rd.h */
#include "base/rd.h"

void rd_copy(struct rd *r, void *to, size_t len)
{
	const uint8_t *p = rd_span(r, len);

	if (p)
		memcpy(to, p, len);
	else
		memset(to, 0, len);
}
