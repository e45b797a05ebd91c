// SPDX-License-Identifier: MIT
/* fuzz_bundle.c - whole bundles */
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
	try(recode_bundle, (struct bytes){data, size});
	return 0;
}
