/* SPDX-License-Identifier: MIT */
/*
 * cut.h - where a file's content is cut into chunks: FastCDC (Xia et al., USENIX ATC 2016)
 *
 * The gear table is keyed per folder, so that chunk lengths tell a stranger nothing; cut points
 * are a function of content and folder alone.  Normalised chunking: a harder mask before the
 * average, an easier one after.
 */
#ifndef CUT_H
#define CUT_H

#include "codec/manifest.h"

#define CUT_AVERAGE (96u << 10)
struct cutter {
	uint64_t gear[256];
};
void cut_init(struct cutter *c, const uint8_t key[KEY_LEN]);
/*
 * The length of the first chunk of data: CHUNK_BYTES_MIN..CHUNK_BYTES_MAX, or data.len when less
 * (then it is the whole only if last is true; else 0: give more bytes).
 */
size_t cut_next(const struct cutter *c, struct bytes data, bool last);

#endif
