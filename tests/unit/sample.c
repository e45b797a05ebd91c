// SPDX-License-Identifier: MIT
/* sample.c - the worked examples of the format pages: see sample.h */
#include "sample.h"
#include "recode.h"
#include <stdlib.h>

#define INC UINT64_C(0x1122334455667788)
#define INC_OTHER UINT64_C(0x0102030405060708)

static const uint8_t inline_hello[] = {1, 5, 0, 'h', 'e', 'l', 'l', 'o'};

static struct hash filled(uint8_t byte)
{
	struct hash h;

	memset(h.b, byte, sizeof(h.b));
	return h;
}

void sample_device(struct sign_pair *p, uint8_t n)
{
	uint8_t seed[32];

	memset(seed, n, sizeof(seed));
	sign_pair_init(p, seed);
}

void sample_keys(struct seal_keys *k)
{
	uint8_t key[KEY_LEN];

	memset(key, 0x42, sizeof(key));
	seal_keys_init(k, key, 1);
}

/* ---- contents ---- */

static void make_manifest_inline(struct wr *w)
{
	manifest_inline(w, bytes_text("hello"));
}

void sample_manifest_tree(struct manifest *m)
{
	memset(m, 0, sizeof(*m));
	m->count = 2;
	m->size = 100000 + 4096;
	m->at[0] = (struct entry){ENTRY_CHUNK, 100000, 1, 61234, filled(0xaa), filled(0xbb)};
	m->at[1] = (struct entry){.kind = ENTRY_HOLE, .len = 4096};
}

static void make_manifest_tree(struct wr *w)
{
	struct manifest m;

	sample_manifest_tree(&m);
	manifest_encode(w, &m);
}

static void make_node(struct wr *w)
{
	const struct entry at[2] = {
		{ENTRY_NODE, 25000000, 1, 20000, filled(0xc1), filled(0xd1)},
		{ENTRY_NODE, 300000, 2, 900, filled(0xc2), filled(0xd2)},
	};

	node_encode(w, 1, at, 2);
}

static void make_sealed(struct wr *w)
{
	struct seal_keys k;
	struct folder_id folder;
	uint8_t nonce[SEAL_NONCE];

	for (size_t n = 0; n < sizeof(nonce); n++)
		nonce[n] = (uint8_t)n;
	sample_keys(&k);
	sample_folder(&folder);
	seal_piece(w, &k, &folder, SEAL_CHUNK, 0, 5, bytes_text("hello"), nonce);
}

/* ---- records ---- */

static void record_base(struct record *r, uint8_t kind, uint64_t op)
{
	memset(r, 0, sizeof(*r));
	r->kind = kind;
	r->dot = (struct dot){INC, op};
	r->t = SAMPLE_T + op;
	r->wall_ms = SAMPLE_WALL_MS;
	r->inode = (struct inode_id){INC, 2};
}

void sample_inode(struct record *r)
{
	record_base(r, REC_INODE, 1);
	r->inode = (struct inode_id){INC, 1};
	r->ino.type = TYPE_DIR;
	r->ino.born = record_stamp(r);
	r->ino.has_birth = true;
	r->ino.birth = (struct place){INODE_ROOT, bytes_text("docs")};
}

void sample_link(struct record *r)
{
	record_base(r, REC_LINK, 5);
	r->link.name = (struct name_id){SAMPLE_T + 2, INC, 0};
	r->link.has_prev = true;
	r->link.prev = (struct place){{INC, 1}, bytes_text("a.txt")};
}

void sample_content(struct record *r)
{
	static const struct dot base = {INC_OTHER, 7};

	record_base(r, REC_CONTENT, 3);
	r->content.bases = &base;
	r->content.bases_count = 1;
	r->content.mtime_ns = SAMPLE_WALL_MS * 1000000;
	r->content.content = BYTES_OF(inline_hello);
}

void sample_attr(struct record *r)
{
	record_base(r, REC_ATTR, 4);
	r->attr.field = ATTR_XATTR;
	r->attr.xattr.key = bytes_text("user.k");
	r->attr.xattr.value = bytes_text("v");
}

void sample_copy(struct record *r)
{
	static const struct where applied = {INC, 4};
	static struct stamped_attr attrs[2] = {
		{{SAMPLE_T + 1, INC}, {.field = ATTR_MODE, .mode = 0600}},
		{{SAMPLE_T + 2, INC}, {.field = ATTR_XATTR}},
	};
	struct version *v = &r->ino.origin;

	attrs[1].v.xattr.key = bytes_text("user.gone"); /* removed: a value of no bytes at NULL */
	record_base(r, REC_INODE, 6);
	r->ino.type = TYPE_FILE;
	r->ino.has_origin = true;
	r->ino.origin_inode = (struct inode_id){INC, 2};
	v->dot = (struct dot){INC_OTHER, 9};
	v->t = SAMPLE_T + 3;
	v->in = (struct where){INC_OTHER, 2};
	v->vec = vector_new(&applied, 1);
	v->mtime_ns = SAMPLE_WALL_MS * 1000000 + 1;
	v->content = BYTES_OF(inline_hello);
	r->ino.born = (struct stamp){v->t, v->dot.inc};
	r->ino.attrs = attrs;
	r->ino.attrs_count = ARRAY_LEN(attrs);
	r->inode = hash_copy_id(r->ino.origin_inode, v->dot);
}

#define RECORD_MAKER(what)                                                                         \
	static void make_record_##what(struct wr *w)                                               \
	{                                                                                          \
		struct record r;                                                                   \
                                                                                                   \
		sample_##what(&r);                                                                 \
		record_encode(w, &r);                                                              \
		if (r.kind == REC_INODE)                                                           \
			vector_unref(r.ino.origin.vec);                                            \
	}
RECORD_MAKER(inode)
RECORD_MAKER(link)
RECORD_MAKER(content)
RECORD_MAKER(attr)
RECORD_MAKER(copy)

/* ---- bundle ---- */

static void make_bundle(struct wr *w)
{
	static const struct where at[] = {{INC_OTHER, 3}};
	struct bundle_head h;
	struct seal_keys k;
	struct sign_pair p;
	struct wr plain = {0}, body = {0};
	uint8_t nonce[SEAL_NONCE] = {7};

	memset(&h, 0, sizeof(h));
	sample_keys(&k);
	sample_device(&p, 1);
	sample_folder(&h.folder);
	h.device = p.pub;
	h.nonce = 0x0123456789abcdef;
	h.seq = 2;
	h.prev = filled(0x33);
	h.roster = filled(0x44);
	h.epoch = 1;
	h.delta = vector_new(at, 1);
	h.tags = calloc(1, sizeof(*h.tags));
	memset(h.tags, 0x55, sizeof(*h.tags));
	make_record_attr(&plain);
	seal_piece(&body, &k, &h.folder, SEAL_BUNDLE, 0, (uint32_t)plain.len, wr_view(&plain),
		   nonce);
	h.body = wr_view(&body);
	size_t start = w->len;
	bundle_encode(w, &h);
	bundle_sign(w, start, &p);
	bundle_head_fini(&h);
	wr_fini(&plain);
	wr_fini(&body);
}

/* ---- roster ---- */

static void member_base(struct member_record *m, struct sign_pair *p, enum member_kind kind)
{
	struct sign_pair other;

	memset(m, 0, sizeof(*m));
	sample_device(p, 1);
	sample_device(&other, 2);
	m->kind = (uint8_t)kind;
	m->author = p->pub;
	m->subject = other.pub;
	m->wall_ms = SAMPLE_WALL_MS;
	if (kind == MEMBER_FOUND)
		return;
	sample_folder(&m->folder);
	m->parents_count = 1;
	memcpy(m->parents[0].b, m->folder.b, HASH_LEN);
}

static void make_member_found(struct wr *w)
{
	struct member_record m;
	struct sign_pair p;

	member_base(&m, &p, MEMBER_FOUND);
	m.subject = p.pub;
	m.name = bytes_text("laptop");
	m.text = bytes_text("papers");
	member_encode(w, &m, &p);
}

void sample_folder(struct folder_id *f)
{
	struct wr w = {0};
	struct hash h;

	make_member_found(&w);
	hash_blake(wr_view(&w), &h);
	memcpy(f->b, h.b, HASH_LEN);
	wr_fini(&w);
}

static void make_keys(struct wr *w)
{
	struct folder_keys k = {.count = 2, .at = {{.epoch = 1}, {.epoch = 2}}};

	memset(k.at[0].key, 0x42, KEY_LEN);
	memset(k.at[1].key, 0x43, KEY_LEN);
	folder_keys_encode(w, &k);
}

static void make_member_add(struct wr *w)
{
	struct member_record m;
	struct sign_pair p;
	struct wr keys = {0}, box = {0};
	uint8_t seed[32];

	memset(seed, 9, sizeof(seed));
	member_base(&m, &p, MEMBER_ADD);
	make_keys(&keys);
	if (seal_box(&box, &m.subject, wr_view(&keys), seed))
		abort();
	m.role = ROLE_WRITER;
	m.name = bytes_text("desktop");
	m.box = wr_view(&box);
	m.token = filled(0x55);
	m.vec = vector_new(&(struct where){INC, 12}, 1);
	member_encode(w, &m, &p);
	vector_unref(m.vec);
	wr_fini(&keys);
	wr_fini(&box);
}

static void make_member_role(struct wr *w)
{
	struct member_record m;
	struct sign_pair p;

	member_base(&m, &p, MEMBER_ROLE);
	m.role = ROLE_READER;
	m.vec = vector_new(&(struct where){INC_OTHER, 3}, 1);
	member_encode(w, &m, &p);
	vector_unref(m.vec);
}

static void make_member_remove(struct wr *w)
{
	static const struct where at[] = {{INC_OTHER, 3}, {INC, 12}};
	struct member_record m;
	struct sign_pair p;

	member_base(&m, &p, MEMBER_REMOVE);
	m.vec = vector_new(at, 2);
	member_encode(w, &m, &p);
	vector_unref(m.vec);
}

static void make_member_addr(struct wr *w)
{
	struct member_record m;
	struct sign_pair p;

	member_base(&m, &p, MEMBER_ADDR);
	m.subject = p.pub;
	m.text = bytes_text("192.0.2.7:22017,[2001:db8::7]:22017");
	member_encode(w, &m, &p);
}

/* ---- disk ---- */

static void make_journal(struct wr *w)
{
	uint8_t head[JOURNAL_HEAD];
	static const uint8_t discard_work_5[] = {8, 8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};
	struct bytes payload = BYTES_OF(discard_work_5);

	journal_head(head, RECODE_JOURNAL_AT, payload);
	wr_bytes(w, BYTES_OF(head));
	wr_bytes(w, payload);
}

static void make_pack(struct wr *w)
{
	struct wr sealed = {0};
	struct pack_head h = {.kind = SEAL_CHUNK};
	uint8_t head[PACK_HEAD];

	make_sealed(&sealed);
	h.len = (uint32_t)sealed.len;
	hash_blake(wr_view(&sealed), &h.name);
	pack_head_encode(head, &h);
	wr_bytes(w, BYTES_OF(head));
	wr_bytes(w, wr_view(&sealed));
	wr_fini(&sealed);
}

static void make_local(struct wr *w)
{
	struct local_db l = {.version = STORE_VERSION, .name = "papers", .clean = true};
	struct sign_pair p;

	sample_device(&p, 1);
	sample_folder(&l.folder);
	l.device = p.pub;
	memset(l.store_id, 0x66, sizeof(l.store_id));
	l.machine = 0x7788;
	local_db_encode(w, &l);
}

/* Two incarnations at 3 and 12; of the second it acknowledges 10 so far. */
static void make_ack(struct wr *w)
{
	static const struct where at[] = {{0x0102030405060708, 3}, {0x1122334455667788, 12}};
	struct ack a = {.t = SAMPLE_T};
	struct sign_pair p;

	sample_device(&p, 1);
	sample_folder(&a.folder);
	a.device = p.pub;
	memset(a.roster.b, 0x44, HASH_LEN);
	a.held = vector_new(at, 2);
	a.acked = vector_with(a.held, at[1].inc, 10);
	ack_encode(w, &a, &p);
	ack_fini(&a);
}

const struct sample samples[] = {
	{"manifest-inline", make_manifest_inline, recode_manifest},
	{"manifest-tree", make_manifest_tree, recode_manifest},
	{"manifest-node", make_node, recode_node},
	{"sealed-chunk", make_sealed, recode_sealed},
	{"record-inode", make_record_inode, recode_record},
	{"record-copy", make_record_copy, recode_record},
	{"record-link", make_record_link, recode_record},
	{"record-content", make_record_content, recode_record},
	{"record-attr", make_record_attr, recode_record},
	{"bundle", make_bundle, recode_bundle},
	{"member-found", make_member_found, recode_member},
	{"member-add", make_member_add, recode_member},
	{"member-role", make_member_role, recode_member},
	{"member-remove", make_member_remove, recode_member},
	{"member-addr", make_member_addr, recode_member},
	{"member-keys", make_keys, recode_keys},
	{"ack", make_ack, recode_ack},
	{"journal-frame", make_journal, recode_journal},
	{"pack-piece", make_pack, recode_pack},
	{"local-db", make_local, recode_local},
};
const size_t samples_count = ARRAY_LEN(samples);
