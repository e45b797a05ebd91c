// SPDX-License-Identifier: MIT
/* ids.c - keys of ids, inode numbers, and the one rule for names */
#include "base/ids.h"

void ids_key_inode(struct wr *w, struct inode_id i)
{
	wr_be64(w, i.inc);
	wr_be64(w, i.op);
}

void ids_key_name(struct wr *w, struct name_id n)
{
	wr_be64(w, n.t);
	wr_be64(w, n.inc);
	wr_be64(w, n.h);
}

struct inode_id ids_rd_key_inode(struct rd *r)
{
	uint64_t inc = rd_be64(r);

	return (struct inode_id){inc, rd_be64(r)};
}

struct name_id ids_rd_key_name(struct rd *r)
{
	uint64_t t = rd_be64(r);
	uint64_t inc = rd_be64(r);

	return (struct name_id){t, inc, rd_be64(r)};
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so counters never collide. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t ids_ino(struct inode_id i)
{
	if (inode_equal(i, INODE_ROOT))
		return 1;
	uint64_t ino = mix(mix(i.inc) + i.op);
	return ino > 1 ? ino : ino + 2;
}

bool name_ok(struct bytes name)
{
	if (name.len == 0 || name.len > NAME_BYTES_MAX)
		return false;
	if (memchr(name.at, '/', name.len) || memchr(name.at, 0, name.len))
		return false;
	bool dots = name.at[0] == '.' && (name.len == 1 || (name.len == 2 && name.at[1] == '.'));
	return !dots;
}
