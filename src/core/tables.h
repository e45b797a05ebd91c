/* SPDX-License-Identifier: MIT */
/* tables.h - the first byte of each kv key: who owns which rows (layouts: in the owner's file) */
#ifndef TABLES_H
#define TABLES_H

/* The tables that are derived from records and bundles alone: they are deleted and made again when
 * what is accepted changes (core/node_accept). */
#define TABLES_OF_VIEW "ILPDCVXvHOABlhdaf"

enum table {
	/* reg and view */
	TABLE_INODE = 'I', /* inode -> type, birth, heads of content, attributes */
	TABLE_LINK = 'L', /* inode, name id -> link heads */
	TABLE_PLACE = 'P', /* parent, name, name id, inode -> live or kept entry there */
	TABLE_DIR = 'D', /* directory -> effective place, counts */
	TABLE_CHILD = 'C', /* parent, name, directory -> effective children */
	TABLE_VIEW = 'V', /* anything else the view keeps: second byte tells */
	TABLE_XATTR = 'X', /* inode, key -> stamped value */
	TABLE_VECTOR = 'v', /* vector number -> encoded vector; rows of 'I', 'L' and 'H' name it */
	TABLE_HISTORY = 'H', /* what was: second byte tells; dropped and rebuilt with the view */
	/* content */
	TABLE_WORK = 'W', /* inode, work number -> file being written */
	TABLE_EXTENT = 'E', /* work number, offset -> length, place in the data log */
	TABLE_NODE = 'N', /* manifest node's name -> its plaintext */
	/* log */
	TABLE_OUT = 'O', /* own op -> record not yet in a bundle */
	TABLE_ARRIVAL = 'A', /* arrival number -> incarnation, sequence, journal offset, length */
	TABLE_BUNDLE = 'B', /* incarnation, sequence -> arrival number, hash */
	TABLE_OWN = 'o', /* own incarnation, first op -> last op, bundle */
	TABLE_HELD = 'h', /* arrival number -> incarnation, sequence, vector: not applied */
	TABLE_DOTS = 'd', /* incarnation, last op of a run -> first op, bundle applied */
	TABLE_AGAIN = 'a', /* incarnation, op, bundle: the same record, in another bundle */
	TABLE_ALIAS = 'f', /* branch, id of a conflict copy -> its id in terms of branches */
	TABLE_LOG = 'l', /* incarnation -> device, last vector, ... */
	/* roster, node */
	TABLE_ROSTER = 'R', /* number -> roster record */
	TABLE_STATE = 'S', /* small things of the node: second byte tells */
	/* sys: rows the core only reads */
	TABLE_PIECE = 'c', /* piece name -> pack, offset, length, kind */
	TABLE_KNOWN = 'k' /* chunk id -> name, epoch, stored length: known contents */
};

#endif
