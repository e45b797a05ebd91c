// SPDX-License-Identifier: MIT
/* fuzz_manifest.c - contents: roots and nodes */
#include "recode.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken is encoded as just these bytes. */
static void try(enum err (*recode)(struct bytes from, struct wr *w), struct bytes b)
{
	struct wr w = {0};

	if (recode(b, &w) == ERR_OK && !bytes_equal(b, wr_view(&w)))
		abort();
	wr_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	struct manifest m;

	try(recode_manifest, b);
	try(recode_node, b);
	if (manifest_equal(b, b) != (manifest_decode(b, &m) == ERR_OK))
		abort();
	return 0;
}
