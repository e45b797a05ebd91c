// SPDX-License-Identifier: MIT
/*
 * fuzz_noise.c - a peer that says anything: a handshake ends right or refused, records too
 *
 * The first byte chooses the side we play (bit 0); then come what the peer sends, each as length
 * u16 and bytes: handshake messages, and after those records of the session.  Our keys are fixed,
 * so the corpus holds a true session that variants start from.
 */
#include "codec/noise.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void secret(uint8_t key[32], uint8_t fill)
{
	memset(key, fill, 32);
}

static bool handshake(struct noise *n, struct rd *r)
{
	struct wr w = {0};
	bool ok = true;

	while (ok && !noise_done(n)) {
		wr_reset(&w);
		if ((n->step % 2 == 0) == n->initiator) {
			ok = !noise_write(n, bytes_text("payload"), &w);
			continue;
		}
		struct bytes message = rd_bytes(r, rd_u16(r));
		ok = !r->bad && !noise_read(n, message, &w);
	}
	wr_fini(&w);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of((struct bytes){data, size});
	uint8_t s[32], e[32], hash[NOISE_HASH];
	struct noise_cipher sending, receiving;
	bool initiator = rd_u8(&r) & 1;
	struct noise n;

	secret(s, initiator ? 1 : 2);
	secret(e, initiator ? 3 : 4);
	noise_init(&n, initiator, bytes_text("fuzz"), s, e);
	if (handshake(&n, &r)) {
		noise_split(&n, &sending, &receiving, hash);
		while (rd_left(&r) && !r.bad) {
			struct bytes record = rd_bytes(&r, rd_u16(&r));
			uint8_t *out = malloc(record.len ? record.len : 1);
			uint64_t before = receiving.nonce;
			assert(out);
			enum err err = noise_open(&receiving, record, out);
			assert(receiving.nonce == before + (err ? 0 : 1)); /* threat 11 */
			free(out);
		}
	}
	noise_fini(&n);
	return 0;
}
