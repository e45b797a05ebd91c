/* SPDX-License-Identifier: MIT */
/*
 * wire.h - messages between two devices of a folder, inside the Noise session: peerfs-wire(5)
 *
 * A message is one type byte and a body; sys/link cuts it into frames of at most 64 KiB and puts
 * it together again, so a message is at most WIRE_BYTES_MAX.  Decoded pointers are borrowed.
 */
#ifndef WIRE_H
#define WIRE_H

#include "base/vector.h"
#include "codec/member.h"

#define WIRE_VERSION 1
#define WIRE_BYTES_MAX (6u << 20)
#define WIRE_NAMES_MAX 256 /* pieces asked for in one WANT */
#define WIRE_ROSTER_MAX 1024
#define WIRE_ADDR_MAX 256
#define WIRE_HEAD 8
#define WIRE_TEXT_MAX 256 /* of a REFUSE */
#define WIRE_INVITATION_VERSION 1

enum wire_type {
	WIRE_JOIN = 1, /* joiner -> inviter, first message of a joiner */
	WIRE_REFUSE = 2, /* code u8, text; then the link closes */
	WIRE_ROSTER = 3, /* roster records, parents before children */
	WIRE_VECTOR = 4, /* what the sender has applied: greeting and acknowledgement */
	WIRE_BUNDLE = 5, /* one whole bundle */
	WIRE_WANT = 6, /* names of pieces wanted, in order of urgency */
	WIRE_DATA = 7, /* one sealed piece; its name is its hash */
	WIRE_NO = 8, /* names of pieces wanted that the sender does not hold */
	WIRE_CANCEL = 9, /* names no longer wanted */
	WIRE_PING = 10, /* number u64 */
	WIRE_PONG = 11,
	WIRE_ACK = 12 /* what some member has applied, signed by it: codec/ack */
};
enum refuse_code { REFUSE_UNKNOWN = 1, REFUSE_USED, REFUSE_EXPIRED, REFUSE_ROLE, REFUSE_VERSION };

struct wire_join {
	struct device_id device;
	struct bytes name; /* the device's */
	struct hash proof; /* keyed hash under the token's secret of the session's hash */
	struct hash token; /* hash of the token's secret */
};
struct wire_message {
	uint8_t type;
	union {
		struct wire_join join;
		struct {
			uint8_t code;
			struct bytes text;
		} refuse;
		struct {
			uint32_t count;
			struct bytes
				rest; /* count times: length u32, bytes; use wire_roster_next() */
		} roster;
		struct {
			struct vector *applied; /* the decoder's caller owns it */
			struct hash roster; /* of the sorted roster heads */
			/* For each entry the first WIRE_HEAD bytes of that bundle's hash. */
			struct bytes heads;
		} vector;
		struct bytes bundle;
		struct {
			uint32_t count;
			const uint8_t *at; /* count times HASH_LEN */
		} names; /* WANT, NO, CANCEL */
		struct bytes data;
		struct bytes ack;
		uint64_t number; /* PING, PONG */
	};
};
enum err wire_decode(struct bytes from, struct wire_message *ret) MUST_USE;
bool wire_roster_next(struct bytes *rest, struct bytes *ret);
void wire_encode(struct wr *w, const struct wire_message *m);

/* An invitation: "peerfs1:" and base64url of version, folder, admin, expiry, role, secret, address,
 * folder name, checksum. */
struct invitation {
	struct folder_id folder;
	struct device_id admin;
	int64_t expires_ms;
	uint8_t role;
	uint8_t secret[32];
	char addr[WIRE_ADDR_MAX]; /* "host:port" list, by commas */
	char folder_name[MEMBER_NAME_MAX + 1];
};
#define INVITATION_TEXT_MAX 1024
enum err invitation_print(const struct invitation *i, char text[INVITATION_TEXT_MAX]) MUST_USE;
enum err invitation_parse(const char *text,
			  struct invitation *ret) MUST_USE; /* ERR_MALFORMED, ERR_VERSION */

#endif
