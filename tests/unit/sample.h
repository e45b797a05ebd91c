/* SPDX-License-Identifier: MIT */
/*
 * sample.h - the worked examples of the format pages, built from what the pages say of them
 *
 * Each stands in tests/vectors/NAME.hex; test_vectors proves that these are the same bytes.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "codec/ack.h"
#include "codec/bundle.h"
#include "codec/manifest.h"
#include "codec/member.h"
#include "codec/store.h"

#define SAMPLE_WALL_MS INT64_C(1767225600000) /* 2026-01-01 00:00:00 UTC */
#define SAMPLE_T ((uint64_t)SAMPLE_WALL_MS << 16)

struct sample {
	const char *name; /* of the vector */
	void (*make)(struct wr *w);
	enum err (*recode)(struct bytes from, struct wr *w);
};
extern const struct sample samples[];
extern const size_t samples_count;

void sample_device(struct sign_pair *p, uint8_t n); /* of a seed of 32 bytes n */
void sample_folder(struct folder_id *f); /* hash of the founding record */
void sample_keys(struct seal_keys *k); /* epoch 1, folder key of 32 bytes 0x42 */
void sample_manifest_tree(struct manifest *m);
/* One record of a kind, pointing to static bytes; the dot is (0x1122334455667788, op). */
void sample_inode(struct record *r); /* directory "docs" below the root */
void sample_link(struct record *r); /* removed: it was "a.txt" in docs */
void sample_content(struct record *r); /* "hello", one base */
void sample_attr(struct record *r); /* xattr user.k = "v" */
/* A promoted copy, with a mode and a removed xattr; the caller drops ino.origin.vec. */
void sample_copy(struct record *r);

#endif
