// SPDX-License-Identifier: MIT
/* fuzz_wire.c - any bytes are a message or are refused; a message re-encodes to the same bytes */
#include "codec/wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_message m;
	struct wr w = {0};

	if (wire_decode((struct bytes){data, size}, &m))
		return 0;
	wire_encode(&w, &m);
	assert(bytes_equal(wr_view(&w), (struct bytes){data, size}));
	if (m.type == WIRE_VECTOR)
		vector_unref(m.vector.applied);
	wr_fini(&w);
	return 0;
}
