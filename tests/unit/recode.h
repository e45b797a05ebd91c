/* SPDX-License-Identifier: MIT */
/*
 * recode.h - decode and encode again: what every format must survive, in tests and fuzzers
 *
 * Each gives the decoder's error, or ERR_OK with the bytes appended to w; these must be the input.
 */
#ifndef RECODE_H
#define RECODE_H

#include "codec/ack.h"
#include "codec/bundle.h"
#include "codec/manifest.h"
#include "codec/member.h"
#include "codec/store.h"

#define RECODE_JOURNAL_AT 4096 /* where the frame of the worked example stands */

enum err recode_manifest(struct bytes from, struct wr *w) MUST_USE;
enum err recode_node(struct bytes from, struct wr *w) MUST_USE;
enum err recode_record(struct bytes from, struct wr *w) MUST_USE; /* exactly one */
enum err recode_version(struct bytes from, struct wr *w) MUST_USE;
enum err recode_bundle(struct bytes from, struct wr *w) MUST_USE;
/* A bundle's plaintext: any number of records. */
enum err recode_body(struct bytes from, struct wr *w) MUST_USE;
enum err recode_member(struct bytes from, struct wr *w) MUST_USE;
enum err recode_ack(struct bytes from, struct wr *w) MUST_USE;
enum err recode_keys(struct bytes from, struct wr *w) MUST_USE;
enum err recode_journal(struct bytes from, struct wr *w) MUST_USE; /* nothing behind the frame */
enum err recode_pack(struct bytes from, struct wr *w) MUST_USE; /* head and piece */
enum err recode_local(struct bytes from, struct wr *w) MUST_USE;
enum err recode_sealed(struct bytes from, struct wr *w) MUST_USE; /* header only, body as it is */

#endif
