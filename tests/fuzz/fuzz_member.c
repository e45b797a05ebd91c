// SPDX-License-Identifier: MIT
/* fuzz_member.c - roster records, the keys in their boxes, acknowledgements */
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

	seal_use_fake(true); /* the author's signature is made again, and cheaply */
	try(recode_member, b);
	try(recode_keys, b);
	try(recode_ack, b);
	return 0;
}
