// SPDX-License-Identifier: MIT
/*
 * fuzz_invitation.c - any text is an invitation or is refused; one that is prints as it was typed
 *
 * A fuzzer cannot guess the checksum, so an input that starts with '#' is taken as the bytes
 * behind it: they are given a right checksum and their base64url here.
 */
#include "base/hash.h"
#include "codec/wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const uint8_t *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct wr body = {0}, text = {0};
	struct hash sum;
	uint32_t v = 0, bits = 0;
	size_t len;

	hash_blake((struct bytes){data, size}, &sum);
	wr_raw(&body, data, size);
	wr_raw(&body, sum.b, 4);
	wr_raw(&text, "peerfs1:", 8);
	for (size_t k = 0; k < body.len; k++) {
		v = v << 8 | body.at[k];
		for (bits += 8; bits >= 6; bits -= 6)
			wr_u8(&text, (uint8_t)digits[v >> (bits - 6) & 63]);
	}
	if (bits)
		wr_u8(&text, (uint8_t)digits[v << (6 - bits) & 63]);
	wr_u8(&text, 0);
	wr_fini(&body);
	return (char *)wr_take(&text, &len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[INVITATION_TEXT_MAX];
	struct invitation i;
	char *text;

	if (size && data[0] == '#') {
		text = text_of(data + 1, size - 1);
	} else {
		text = malloc(size + 1);
		if (size && text)
			memcpy(text, data, size);
		if (text)
			text[size] = '\0';
	}
	assert(text);
	if (!invitation_parse(text, &i)) {
		enum err e = invitation_print(&i, again);
		assert(!e);
		assert(strstr(text, again)); /* blanks around it may be gone */
	}
	free(text);
	return 0;
}
