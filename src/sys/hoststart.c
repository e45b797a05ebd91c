// SPDX-License-Identifier: MIT
/*
 * hoststart.c - make, open and close a folder: the beginning and the end of host.h
 *
 * Opening is recovery, always: rows up to the position that the index committed, then pieces and
 * journal frames behind it, then EV_START.  An index that cannot be used is made again from the
 * beginning of the journal.
 *
 * I1  the marker of a clean stop is used up, durably, before the first step
 * I2  the marker is written when no thread steps any more and everything before it is durable
 */
#include "sys/clock.h"
#include "sys/fdio.h"
#include "sys/host_impl.h"
#include "sys/rand.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define POOL_THREADS 2
#define SETTLE_MS 10000

/* Hash of the machine's id and the store's inode: a store that was copied is another's. */
static uint64_t machine_of(const char *store)
{
	uint8_t id[64 + sizeof(ino_t)] = {0};
	struct stat st;
	size_t n = 0;
	auto_fd fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t got = read(fd, id, 64);

		n = got > 0 ? (size_t)got : 0;
	}
	if (stat(store, &st) == 0) {
		memcpy(id + n, &st.st_ino, sizeof(st.st_ino));
		n += sizeof(st.st_ino);
	}
	return hash_xxh((struct bytes){id, n}, 0);
}

static void local_init(struct local_db *l, const struct sign_pair *device,
		       const struct folder_id *id, const char *name)
{
	uint8_t seed[32];

	memset(l, 0, sizeof(*l));
	l->version = STORE_VERSION;
	l->folder = *id;
	l->device = device->pub;
	rand_seed(seed);
	memcpy(l->store_id, seed, sizeof(l->store_id));
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
}

static enum err first_frame(void *arg, uint64_t at, struct bytes payload, uint64_t next)
{
	(void)arg, (void)at, (void)payload, (void)next;
	return ERR_OK;
}

enum err host_prepare(const char *store, const struct sign_pair *device, const struct folder_id *id,
		      const char *name)
{
	struct local_db l;

	local_init(&l, device, id, name);
	return files_create(store, &l);
}

enum err host_found(const char *store, const struct sign_pair *device, const char *device_name,
		    const char *name)
{
	struct node_config c = {.device = *device};
	struct files *f = NULL;
	struct wr w = {0};
	uint64_t cut, at;

	(void)snprintf(c.device_name, sizeof(c.device_name), "%s", device_name);
	rand_seed(c.seed);
	enum err e = node_found(&c, bytes_text(name), clock_wall_ms(), &w);

	if (!e)
		e = host_prepare(store, device, &c.folder, name);
	if (!e)
		e = files_open(store, &f);
	if (!e)
		e = files_journal_walk(f, 0, first_frame, NULL, &cut);
	if (!e)
		e = files_journal_append(f, wr_view(&w), &at);
	if (!e)
		e = files_sync(f);
	files_close(f);
	wr_fini(&w);
	return e;
}

/* A raw bundle of the journal, opened if we hold its key.  Under the lock. */
static enum err replay_open(void *arg, struct bytes raw, struct bundle **ret)
{
	struct host *h = arg;
	struct bundle *b = calloc(1, sizeof(*b));
	struct seal_keys keys;
	size_t len;

	if (!b)
		return fail(ERR_NOMEM);
	b->raw = malloc(raw.len);
	b->raw_len = raw.len;
	enum err e = b->raw ? ERR_OK : fail(ERR_NOMEM);

	if (!e) {
		memcpy(b->raw, raw.at, raw.len);
		e = bundle_decode((struct bytes){b->raw, raw.len}, &b->head);
	}
	if (!e)
		bundle_hash((struct bytes){b->raw, raw.len}, &b->hash);
	if (!e && !node_keys_of(h->node, b->head.epoch, &keys)) {
		e = pool_open(b->head.body, &keys, &h->folder, SEAL_BUNDLE, BUNDLE_BODY_MAX,
			      &b->plain, &len);
		if (!e)
			e = bundle_records(b, len);
	}
	if (e) {
		bundle_free(b);
		return e == ERR_NOMEM ? e : fail(ERR_DAMAGED);
	}
	*ret = b;
	return ERR_OK;
}

static enum err replay_frame(void *arg, uint64_t at, struct bytes payload, uint64_t next)
{
	struct host *h = arg;

	host_lock(h);
	enum err e = node_replay(h->node, at, payload, replay_open, h);

	if (!e)
		index_at(h->index, next, marks_low(&h->marks));
	host_unlock(h);
	return e;
}

struct walking {
	struct host *h;
	uint64_t journal;
};

static enum err replay_piece(void *arg, uint64_t addr, const struct pack_head *p)
{
	struct walking *w = arg;
	struct host *h = w->h;

	host_lock(h);
	enum err e = node_replay_piece(h->node, &p->name, p->kind, addr, p->len);

	if (!e)
		index_at(h->index, w->journal, addr + p->len);
	host_unlock(h);
	return e;
}

static enum err before_commit(void *arg)
{
	struct host *h = arg;
	enum err e = files_sync(h->files);

	return e ? e : files_pack_sync(h->files);
}

static void lock_cb(void *arg)
{
	host_lock(arg);
}

static void unlock_cb(void *arg)
{
	host_unlock(arg);
}

/* The index may commit while the view is made again: the rows say that they are half made. */
static void index_lock_cb(void *arg)
{
	struct host *h = arg;

	(void)pthread_mutex_lock(&h->lock);
}

static void index_unlock_cb(void *arg)
{
	struct host *h = arg;

	(void)pthread_mutex_unlock(&h->lock);
}

static enum err rebuild_frame(void *arg, uint64_t at, struct bytes payload, uint64_t next)
{
	struct host *h = arg;
	enum err e = node_rebuild_frame(h->node, at, payload, replay_open, h);

	(void)next;
	(void)pthread_mutex_unlock(&h->lock);
	(void)pthread_mutex_lock(&h->lock);
	return e;
}

enum err hoststart_rebuild(struct host *h, struct actions *a)
{
	uint64_t cut;

	report(REPORT_INFO, "%s: what is accepted has changed: making the tree again", h->store);
	h->rebuilding = true;
	enum err e = node_rebuild_begin(h->node);

	if (!e)
		e = files_journal_walk(h->files, 0, rebuild_frame, h, &cut);
	if (!e)
		e = node_rebuild_end(h->node, a);
	h->rebuilding = false;
	(void)pthread_cond_broadcast(&h->rebuilt);
	return e;
}

static enum err step_cb(void *arg, struct event *ev)
{
	return host_step(arg, ev);
}

static enum err keys_cb(void *arg, uint32_t epoch, struct seal_keys *ret)
{
	return host_keys(arg, epoch, ret);
}

/* The index is derived: one that cannot be read is thrown away. */
static enum err index_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? ERR_OK : report_sys("open folder", dir);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) < 0)
			report(REPORT_WARN, "cannot remove %s/%s", dir, e->d_name);
	(void)closedir(d);
	return ERR_OK;
}

static enum err start_index(struct host *h, bool afresh)
{
	char dir[4096];

	if (snprintf(dir, sizeof(dir), "%s/index", h->store) >= (int)sizeof(dir))
		return fail(ERR_NAMETOOLONG);
	if (afresh) {
		enum err e = index_remove(dir);

		if (e)
			return e;
	}
	enum err e = index_open(dir, before_commit, h, &h->index);

	if (!e)
		index_lock_with(h->index, index_lock_cb, index_unlock_cb, h);
	return e;
}

static enum err start_node(struct host *h)
{
	struct node_config c = {.folder = h->folder,
				.device = *h->c.device,
				.read_timeout_ms = h->c.read_timeout_ms,
				.keep_ms = h->c.keep_ms,
				.brake = {h->c.brake ? BRAKE_PERCENT : 0, BRAKE_FILES}};

	(void)snprintf(c.device_name, sizeof(c.device_name), "%s", h->c.device_name);
	rand_seed(c.seed);
	h->node = node_new(index_kv(h->index), &c);
	return h->node ? ERR_OK : fail(ERR_NOMEM);
}

/* Rows up to the index's position, then packs and journal from there. */
static enum err replay(struct host *h)
{
	struct walking w = {.h = h};
	uint64_t pack, end = 0, cut = 0;

	index_position(h->index, &w.journal, &pack);
	if (w.journal > files_journal_end(h->files))
		return fail(ERR_DAMAGED); /* the index knows more than the journal */
	enum err e = w.journal > 0 ? node_load(h->node) : ERR_OK;

	if (!e)
		e = index_start(h->index);
	marks_init(&h->marks, pack);
	if (!e)
		e = files_pack_walk(h->files, pack, replay_piece, &w, &end);
	if (e)
		return e;
	marks_wrote(&h->marks, end);
	e = files_journal_walk(h->files, w.journal, replay_frame, h, &cut);
	if (!e && cut)
		report(REPORT_WARN, "%s: cut off %llu bytes that a crash left unfinished", h->store,
		       (unsigned long long)cut);
	return e;
}

static enum err rows(struct host *h, bool afresh)
{
	enum err e = start_index(h, afresh);

	if (!e)
		e = start_node(h);
	if (!e)
		e = replay(h);
	if (!e)
		return ERR_OK;
	/* the thread of the index may be at work on the node's lock, never on the node */
	index_close(h->index);
	h->index = NULL;
	node_free(h->node);
	h->node = NULL;
	return e;
}

static enum err start_rows(struct host *h)
{
	enum err e = rows(h, false);

	if (e != ERR_DAMAGED && e != ERR_VERSION)
		return e;
	report(REPORT_WARN, "%s: the index cannot be used; it is made again from the journal",
	       h->store);
	return rows(h, true);
}

/* Whether the last stop was clean, here; the marker is used up. */
static enum err take_marker(struct host *h, bool *clean)
{
	struct local_db l = *files_local(h->files);
	uint64_t machine = machine_of(h->store);

	*clean = l.clean && l.machine == machine;
	h->folder = l.folder;
	if (memcmp(&l.device, &h->c.device->pub, sizeof(l.device)) != 0) {
		report(REPORT_ERROR, "%s: belongs to another device key", h->store);
		return fail(ERR_REFUSED);
	}
	if (!l.clean && l.machine == machine)
		return ERR_OK;
	l.clean = false;
	l.machine = machine;
	return files_set_local(h->files, &l);
}

static enum err start_hands(struct host *h)
{
	struct reader_ops ops = {.arg = h, .keys = keys_cb};
	enum err e = reader_new(h->files, &h->folder, &ops, &h->reader);
	struct sealer_config sc = {.files = h->files,
				   .reader = h->reader,
				   .marks = &h->marks,
				   .node = h->node,
				   .folder = h->folder,
				   .arg = h,
				   .lock = lock_cb,
				   .unlock = unlock_cb,
				   .step = step_cb};

	if (!e)
		e = sealer_new(&sc, &h->sealer);
	return e ? e : pool_new(POOL_THREADS, &h->pool);
}

static struct host *host_make(const struct host_config *c)
{
	struct host *h = calloc(1, sizeof(*h));
	pthread_condattr_t attr;

	if (!h)
		return NULL;
	h->store = strdup(c->store);
	if (!h->store) {
		free(h);
		return NULL;
	}
	h->c = *c;
	h->c.store = h->store;
	h->joining = c->join.joining;
	h->messages.last = &h->messages.first;
	h->bundles.last = &h->bundles.first;
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_mutex_init(&h->out_mutex, NULL);
	(void)pthread_mutex_init(&h->small, NULL);
	(void)pthread_rwlock_init(&h->front_lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&h->stepped, &attr);
	(void)pthread_cond_init(&h->rebuilt, NULL);
	(void)pthread_condattr_destroy(&attr);
	return h;
}

/* Threads first, then what they use. */
static void host_free(struct host *h)
{
	bool marked = h->index != NULL;

	sealer_free(h->sealer);
	pool_free(h->pool);
	index_close(h->index);
	node_free(h->node);
	reader_free(h->reader);
	hosthands_fini(h);
	files_close(h->files);
	if (marked)
		marks_fini(&h->marks);
	while (h->rooms) {
		struct read_room *r = h->rooms;

		h->rooms = r->next;
		free(r);
	}
	(void)pthread_cond_destroy(&h->stepped);
	(void)pthread_cond_destroy(&h->rebuilt);
	(void)pthread_rwlock_destroy(&h->front_lock);
	(void)pthread_mutex_destroy(&h->small);
	(void)pthread_mutex_destroy(&h->out_mutex);
	(void)pthread_mutex_destroy(&h->lock);
	free(h->store);
	free(h);
}

enum err host_open(const struct host_config *c, struct host **ret)
{
	struct host *h = host_make(c);
	struct event ev = {.kind = EV_START};

	if (!h)
		return fail(ERR_NOMEM);
	enum err e = files_open(h->store, &h->files);

	if (!e)
		e = take_marker(h, &ev.start.clean);
	if (!e)
		e = start_rows(h);
	/* What a killed daemon left in the page cache is acted on from now on, membership above
	 * all, and must not be lost to a power cut. */
	if (!e)
		e = files_sync(h->files);
	if (!e)
		e = start_hands(h);
	if (!e)
		e = host_step(h, &ev);
	if (e) {
		host_free(h);
		return e;
	}
	*ret = h;
	return ERR_OK;
}

void host_close(struct host *h)
{
	if (!h)
		return;
	(void)host_settle(h, SETTLE_MS);
	/* jobs end before the marker is written: what they step is part of what it vouches for */
	sealer_free(h->sealer);
	h->sealer = NULL;
	pool_free(h->pool);
	h->pool = NULL;
	enum err e = h->dead ? ERR_IO : index_flush(h->index);

	if (!e)
		e = files_sync(h->files);
	if (!e && !files_broken(h->files)) {
		struct local_db l = *files_local(h->files);

		l.clean = true;
		if (files_set_local(h->files, &l))
			report(REPORT_WARN, "%s: closed, but not marked as clean", h->store);
	}
	host_free(h);
}
