// SPDX-License-Identifier: MIT
/* fuzz_store.c - what stands on disk: frames, pieces, local.db */
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

/* Nobody guesses a checksum: local.db is tried with its sum put right, too. */
static void try_with_sum(struct bytes b)
{
	if (b.len < 8)
		return;
	uint8_t *copy = malloc(b.len);
	if (!copy)
		return;
	memcpy(copy, b.at, b.len);
	uint64_t sum = hash_xxh((struct bytes){copy, b.len - 8}, 0);
	for (size_t k = 0; k < 8; k++)
		copy[b.len - 8 + k] = (uint8_t)(sum >> (8 * k));
	try(recode_local, (struct bytes){copy, b.len});
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};

	try(recode_journal, b);
	try(recode_pack, b);
	try(recode_local, b);
	try(recode_sealed, b);
	try_with_sum(b);
	return 0;
}
