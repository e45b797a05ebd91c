/* SPDX-License-Identifier: MIT */
/*
 * hello.h - the handshake of a session: who speaks, and about which folder; no sockets
 *
 * Noise XX with three payloads.  1: a knock, a MAC under the folder's id over the ephemeral key,
 * so that who does not know a folder of ours costs us one hash and gets no answer.  2 and 3: the
 * device and its signature over the Noise key.  3 also: the folder, as a keyed tag, and flags.
 */
#ifndef HELLO_H
#define HELLO_H

#include "codec/noise.h"
#include "codec/seal.h"

#define HELLO_KNOCK 16
#define HELLO_FIRST (32 + HELLO_KNOCK) /* lengths of the three messages: there is no other */
#define HELLO_SECOND (32 + 32 + NOISE_TAG + 32 + SIG_LEN + NOISE_TAG)
#define HELLO_THIRD (32 + NOISE_TAG + 32 + SIG_LEN + HASH_LEN + 1 + NOISE_TAG)
#define HELLO_MAX 256

struct hello_self { /* made once for a device */
	struct device_id device;
	uint8_t noise_secret[32], cert[SIG_LEN];
};
enum err hello_self_init(struct hello_self *s, const struct sign_pair *device) MUST_USE;

struct hello {
	const struct hello_self *self; /* borrowed */
	struct noise noise;
	uint8_t bound[NOISE_HASH]; /* transcript after the second message: what the tag is over */
	struct device_id peer; /* set by reading the second or third message */
	struct hash tag; /* the folder the initiator names */
	bool joining;
};
/* e_secret: 32 fresh random bytes. */
void hello_init(struct hello *h, const struct hello_self *self, bool initiator,
		const uint8_t e_secret[32]);
/* Append the next message, with its length before it.  The initiator names folder and flag; both
 * are ignored for the responder. */
enum err hello_write(struct hello *h, const struct folder_id *folder, bool joining,
		     struct wr *w) MUST_USE;
/* Whether this first message comes from one that knows the folder; before hello_read(). */
bool hello_knocks(struct bytes first, const struct folder_id *folder);
/* ERR_MALFORMED, ERR_FORGED: the peer is not who it says it is, or speaks another version. */
enum err hello_read(struct hello *h, struct bytes message) MUST_USE;
/* Whether the initiator named this folder; after the third message. */
bool hello_names(const struct hello *h, const struct folder_id *folder);
static inline bool hello_done(const struct hello *h)
{
	return noise_done(&h->noise);
}
struct hello *hello_free(struct hello *h); /* wipes; accepts NULL, returns NULL */

#endif
