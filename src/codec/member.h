/* SPDX-License-Identifier: MIT */
/*
 * member.h - records of the roster: who is in the folder, in which role, with which keys
 *
 * Each is signed by its author and names the heads it had seen, so that concurrent acts have one
 * order everywhere (core/roster).  The hash of the founding record is the folder's id.
 * Bytes: magic "PFSR", version, folder (zeros in the founding one), kind, author, count of
 * parents, parents (ascending), wall ms, body by kind, signature: peerfs-wire(5).
 */
#ifndef MEMBER_H
#define MEMBER_H

#include "base/vector.h"
#include "codec/seal.h"

enum role { ROLE_NONE = 0, ROLE_HELPER = 1, ROLE_READER = 2, ROLE_WRITER = 3, ROLE_ADMIN = 4 };
enum member_kind {
	MEMBER_FOUND = 1, /* subject: founder; name: the device's; text: the folder's */
	MEMBER_ADD = 2, /* subject, role, name; box: keys for it; token: hash of the invitation */
	MEMBER_ROLE = 3, /* subject, role; vec: if it may write no more, what is accepted of it */
	MEMBER_REMOVE =
		4, /* subject; vec: what its author had applied: so much is accepted of it */
	MEMBER_RETIRE = 5, /* subject; vec likewise */
	MEMBER_KEYS = 6, /* subject: for whom; epoch; box */
	MEMBER_ADDR = 7, /* subject: itself; text: "host:port" list, by commas */
	MEMBER_ACCEPT = 8, /* subject; vec: its bundles that a brake held go on up to there */
	MEMBER_REJECT = 9 /* subject; vec: what is accepted of it; it begins a new incarnation */
};
#define MEMBER_PARENTS_MAX 16
#define MEMBER_NAME_MAX 64 /* a device's or folder's name: 1..64 bytes UTF-8, no control, '/' */
#define MEMBER_TEXT_MAX 255 /* addresses: printable ASCII without blanks, or nothing */
#define MEMBER_BOX_MAX 4096
#define MEMBER_BYTES_MAX (64u << 10)
#define FOLDER_EPOCHS_MAX 64
#define MEMBERS_MAX 1024

struct member_record {
	struct folder_id folder;
	uint8_t kind; /* unknown kinds are kept and skipped */
	struct device_id author, subject;
	uint32_t parents_count;
	struct hash parents[MEMBER_PARENTS_MAX];
	int64_t wall_ms;
	uint8_t role; /* enum role */
	uint32_t epoch;
	struct bytes name, text, box; /* borrowed */
	struct bytes unknown; /* body of an unknown kind; borrowed */
	struct hash token;
	struct vector *vec; /* ADD: applied by its author; owned by whoever decoded; may be NULL */
	uint8_t sig[SIG_LEN];
};
/* Appends and signs; by is the author.  What member_decode() would refuse is asserted. */
void member_encode(struct wr *w, const struct member_record *m, const struct sign_pair *by);
/* No signature check.  ERR_MALFORMED, ERR_VERSION, ERR_NOMEM.  The founding record has no parents,
 * every other one 1..MEMBER_PARENTS_MAX. */
enum err member_decode(struct bytes from, struct member_record *ret) MUST_USE;
bool member_verify(struct bytes whole, const struct member_record *m);
bool member_name_ok(struct bytes name);
const char *role_text(enum role r);
bool role_parse(const char *s, enum role *ret);

/* The plaintext of a box: count u32, then (epoch u32, key 32) each, ascending. */
struct folder_keys {
	uint32_t count;
	struct {
		uint32_t epoch;
		uint8_t key[KEY_LEN];
	} at[FOLDER_EPOCHS_MAX];
};
void folder_keys_encode(struct wr *w, const struct folder_keys *k);
enum err folder_keys_decode(struct bytes from, struct folder_keys *ret) MUST_USE;

#endif
