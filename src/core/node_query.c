// SPDX-License-Identifier: MIT
/* node_query.c - questions about a node; none changes anything.  Part of node.c (node_impl.h). */
#include "core/node_impl.h"

struct view *node_view(struct node *n)
{
	return n->view;
}

enum err node_stat(struct node *n, struct inode_id inode, uint64_t file, struct node_stat *ret)
{
	return content_stat(n->content, inode, file, ret);
}

/* ---- for the sealer ---- */

enum err node_work_map(struct node *n, uint64_t work, uint64_t off, uint64_t len,
		       struct node_map *map)
{
	struct sink sink = {.pieces = map->pieces,
			    .max = map->count,
			    .missing = map->missing,
			    .missing_max = map->missing_count};
	enum err e = content_work_map(n->content, work, off, len, &sink);

	map->count = sink.count;
	map->missing_count = sink.missing_count;
	return !e && sink.missing_count ? ERR_AGAIN : e;
}

uint64_t node_work_size(struct node *n, uint64_t work)
{
	return content_work_size(n->content, work);
}

enum err node_work_reuse(struct node *n, uint64_t work, uint64_t off, struct entry *ret)
{
	return content_work_reuse(n->content, work, off, ret);
}

enum err node_known(struct node *n, const struct hash *id, struct entry *ret)
{
	return mapping_known(n->kv, id, ret);
}

bool node_expects(struct node *n, uint64_t peer, const struct hash *name, uint8_t *kind)
{
	return fetch_expects(n->fetch, peer, name, kind);
}

bool node_segment_in_use(struct node *n, uint64_t segment)
{
	return content_segment_in_use(n->content, segment);
}

void node_keys(struct node *n, struct node_keys *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!n->have_keys)
		return;
	ret->have = true;
	seal_fixed_keys(n->keys.at[0].key, ret->id_key, ret->cut_key);
	uint32_t last = n->keys.count - 1;
	seal_keys_init(&ret->newest, n->keys.at[last].key, n->keys.at[last].epoch);
}

enum err node_keys_of(struct node *n, uint32_t epoch, struct seal_keys *ret)
{
	for (uint32_t k = 0; n->have_keys && k < n->keys.count; k++) {
		if (n->keys.at[k].epoch != epoch)
			continue;
		seal_keys_init(ret, n->keys.at[k].key, epoch);
		return ERR_OK;
	}
	return ERR_NOENT;
}

/* ---- members ---- */

enum role node_role(struct node *n, const struct device_id *d)
{
	return roster_role(n->roster, d);
}

bool node_is_member(struct node *n)
{
	return n->have_keys && roster_role(n->roster, &n->config.device.pub) != ROLE_NONE;
}

bool node_folder_name(struct node *n, char name[MEMBER_NAME_MAX + 1])
{
	return roster_name(n->roster, name);
}

static void describe(struct node *n, const struct roster_member *m, struct node_member *ret)
{
	*ret = (struct node_member){.device = m->device, .role = m->role};
	memcpy(ret->name, m->name, sizeof(ret->name));
	memcpy(ret->addr, m->addr, MIN(sizeof(ret->addr), sizeof(m->addr)));
	ret->self = memcmp(&m->device, &n->config.device.pub, sizeof(m->device)) == 0;
	for (uint32_t k = 0; k < spread_count(n->spread); k++) {
		const struct peer *p = spread_at(n->spread, k);
		if (memcmp(&p->device, &m->device, sizeof(m->device)) != 0)
			continue;
		ret->connected = true;
		ret->peer = p->session;
		ret->lacks = log_lacks(n->log, p->theirs);
		ret->fetched = p->fetched;
		ret->served = p->served;
	}
}

uint32_t node_members(struct node *n, struct node_member *ret, uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < roster_count(n->roster) && count < max; k++)
		describe(n, roster_at(n->roster, k), &ret[count++]);
	return count;
}

bool node_is_written(struct node *n, struct inode_id inode)
{
	return content_is_written(n->content, inode);
}

bool node_author(struct node *n, uint64_t inc, char name[MEMBER_NAME_MAX + 1])
{
	const struct log_inc *i = log_find(n->log, inc);

	node_device(n, inc, name);
	return i && memcmp(&i->device, &n->config.device.pub, sizeof(i->device)) == 0;
}

/* ---- figures ---- */

static bool count_conflict(void *arg, enum conflict_kind kind, const struct shown *s)
{
	uint64_t *count = arg;

	(void)kind;
	(void)s;
	++*count;
	return true;
}

void node_counts(struct node *n, struct node_counts *ret)
{
	*ret = (struct node_counts){.inodes = view_inodes(n->view),
				    .bundles = log_arrivals(n->log) - 1,
				    .waiting_bundles = log_waiting(n->log),
				    .set_aside = log_unapplied(n->log),
				    .records_held = outbox_count(n->outbox),
				    .works = content_works(n->content),
				    .bytes_unsealed = content_bytes(n->content),
				    .parked_reads = reads_count(n->reads),
				    .pieces = n->pieces,
				    .piece_bytes = n->piece_bytes};
	struct forgetting f;

	if (view_forgetting(n->view, &f) == ERR_OK)
		ret->removed = f.inodes;
	if (view_conflicts(n->view, count_conflict, &ret->conflicts) != ERR_OK)
		ret->conflicts = 0;
}

enum err node_residency(struct node *n, struct inode_id inode, uint64_t *local, uint64_t *size)
{
	struct node_stat st;
	enum err e = content_stat(n->content, inode, 0, &st);

	if (e)
		return e;
	*size = st.size;
	*local = 0;
	if (!st.a.content.len) {
		*local = st.size;
		return ERR_OK;
	}
	return node_local_bytes(n, st.a.content, local);
}

enum err node_local_bytes(struct node *n, struct bytes manifest, uint64_t *ret)
{
	struct manifest m;

	return manifest_decode(manifest, &m) ? fail(ERR_DAMAGED) : mapping_local(n->kv, &m, ret);
}

bool node_last_failure(struct node *n, struct inode_id inode, enum err *e, int64_t *wall_ms)
{
	return reads_last_failure(n->reads, inode, e, wall_ms);
}

const struct vector *node_vector(struct node *n)
{
	return log_applied(n->log);
}

bool node_idle(struct node *n)
{
	return !content_works(n->content) && !outbox_count(n->outbox) && !outbox_busy(n->outbox);
}

void node_check(struct node *n)
{
	view_check(n->view);
}

/* ---- room ---- */

#define ROOM_STEP (16u << 10) /* journal that an ordinary step may need */
#define ROOM_WRITE (256u << 10) /* left to removals when the disk is full */

bool node_writes(const struct event *ev)
{
	enum event_kind kind = ev->kind;

	if (kind == EV_TICK)
		return !ev->tick.full;
	if (kind == EV_RELEASE)
		return !ev->file.full;
	if (kind == EV_BUNDLE_SEALED)
		return ev->bundle_sealed.err == ERR_OK;
	return kind != EV_READ && kind != EV_READ_CANCEL && kind != EV_DOWN && kind != EV_WANT &&
	       kind != EV_NO && kind != EV_CANCEL && kind != EV_UP && kind != EV_VECTOR &&
	       kind != EV_ACK;
}

/* What applying bundles that wait may write besides. */
static size_t room_waiting(const struct node *n)
{
	return log_waiting(n->log) ? NODE_APPLY_BYTES_MAX + BUNDLE_BYTES_MAX : 0;
}

static size_t room_sealed(const struct event *ev)
{
	size_t room = ROOM_STEP + ev->sealed.manifest.len;

	for (uint32_t i = 0; i < ev->sealed.pieces_count; i++)
		room += 256 + ev->sealed.pieces[i].plain.len;
	return room;
}

static size_t room_of(const struct node *n, const struct event *ev)
{
	switch ((int)ev->kind) {
	case EV_BUNDLE:
		return ROOM_WRITE + ev->bundle.take->raw_len + room_waiting(n);
	case EV_BUNDLE_SEALED:
		return ROOM_STEP + ev->bundle_sealed.len + room_waiting(n);
	case EV_SEALED:
		return room_sealed(ev);
	case EV_PIECE:
		return ROOM_STEP + ev->piece.plain.len;
	case EV_ROSTER:
		return ROOM_STEP + 2 * ev->message.bytes.len;
	case EV_MAKE:
	case EV_LINK:
	case EV_WRITE:
	case EV_TRUNCATE:
	case EV_RESTORE:
	case EV_SETTLE:
		return ROOM_WRITE;
	case EV_XATTR:
		return ROOM_WRITE + ev->xattr.value.len;
	case EV_START:
	case EV_CUT:
		return 2 * ROOM_WRITE;
	case EV_TICK:
		return 2 * ROOM_WRITE + room_waiting(n);
	default:
		return ROOM_STEP;
	}
}

size_t node_room(const struct node *n, const struct event *ev)
{
	if (ev->kind == EV_VECTOR && node_accept_outlived(n, ev->vector.take_applied))
		return ROOM_STEP;
	if (!node_writes(ev))
		return 0;
	return room_of(n, ev) + (n->cuts_due ? 2 * ROOM_WRITE : 0);
}
