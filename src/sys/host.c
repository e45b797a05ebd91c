// SPDX-License-Identifier: MIT
/*
 * host.c - steps of one folder's node: under the lock, into the journal, then out to the world
 *
 * A step goes: lock, room in the journal, node_step(), append, position for the index, messages
 * queued, unlock; then the other actions.  Sealing a bundle is an action whose completion is
 * stepped by the same thread at once, so that a change leaves for the peers without a hop.
 *
 * I1  what a step decided is in the journal before anybody sees it: actions are carried out, and
 *     replies given, after the append
 * I2  after a failed append, or when the node ran out of memory or rows, it is never stepped
 *     again; the next start replays
 * I3  while the view is made again (hoststart_rebuild()) nobody else steps or looks
 * I4  a data log segment is removed when no row needed it at two commits of the index that lie
 *     apart, so neither memory nor the disk as of the last commit refers to it
 */
#include "sys/clock.h"
#include "sys/fdio.h"
#include "sys/host_impl.h"
#include "sys/rand.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_TRIES 3
#define TRIM_USEC 5000000
#define SPARE_USEC 30000000 /* a write between data log and step takes no longer */
#define RETRY_USEC 1000000

/* ---- steps ---- */

/* Free what an event that is never stepped would have given away. */
static void event_drop(struct event *ev)
{
	if (ev->kind == EV_BUNDLE)
		bundle_free(ev->bundle.take);
	else if (ev->kind == EV_BUNDLE_SEALED)
		free(ev->bundle_sealed.take_raw);
	else if (ev->kind == EV_VECTOR)
		vector_unref(ev->vector.take_applied);
}

static enum err journal(struct host *h, struct actions *a)
{
	uint64_t at;

	if (a->journal.len == 0)
		return ERR_OK;
	if (a->journal.bad)
		return fail(ERR_NOMEM);
	return files_journal_append(h->files, wr_view(&a->journal), &at);
}

/* I2 */
static void die(struct host *h, enum err e)
{
	h->dead = true;
	report(REPORT_ERROR, "%s: stopped: %s; restart the daemon, it goes on from the journal",
	       h->store, err_text(e));
}

/*
 * Who is let in, invited or changed must not be forgotten by a power cut that the others outlive:
 * they would go on with a member that this device refuses.  Rare, so synced under the lock.
 */
static bool must_last(const struct event *ev, const struct actions *a)
{
	bool joined = false;

	for (uint32_t i = 0; i < a->count; i++)
		joined = joined || a->at[i].kind == ACT_JOINED;
	return joined || ev->kind == EV_JOIN || ev->kind == EV_ADMIT || ev->kind == EV_INVITE;
}

enum err host_begin(struct host *h, struct event *ev, struct actions *a)
{
	enum err e = ERR_OK;

	memset(a, 0, sizeof(*a));
	host_lock(h);
	if (h->dead)
		e = fail(ERR_IO);
	size_t room = e ? 0 : node_room(h->node, ev);
	if (room)
		e = files_journal_room(h->files, room);
	if (e) {
		event_drop(ev);
		return e;
	}
	ev->now_usec = clock_usec();
	ev->wall_ms = clock_wall_ms();
	ev->journal_at = files_journal_end(h->files) + JOURNAL_HEAD;
	e = node_step(h->node, ev, a);
	if (e == ERR_NOMEM || e == ERR_IO || a->bad) {
		die(h, e ? e : ERR_NOMEM);
		actions_reset(a);
		return e ? e : fail(ERR_NOMEM);
	}
	enum err j = journal(h, a);

	if (!j && a->journal.len && must_last(ev, a))
		j = files_sync(h->files);
	if (j) {
		die(h, j);
		actions_reset(a); /* I1 */
		return j;
	}
	index_at(h->index, files_journal_end(h->files), marks_low(&h->marks));
	for (int k = 0; k < NODE_REBUILDS_MAX && node_wants_rebuild(h->node); k++) {
		enum err r = hoststart_rebuild(h, a);

		if (r)
			die(h, r);
	}
	hosthands_queue(h, a);
	return e;
}

struct batch { /* what one step asked for */
	struct batch *next;
	struct actions a;
};

/* Carry out a batch; each bundle sealed is a step of its own, whose batch goes to the end. */
static struct batch *batch_carry(struct host *h, struct batch *b, struct batch *last)
{
	hosthands_carry(h, &b->a);
	for (uint32_t i = 0; i < b->a.count; i++) {
		struct event ev;

		if (b->a.at[i].kind != ACT_BUNDLE)
			continue;
		struct batch *more = calloc(1, sizeof(*more));

		hosthands_bundle(h, &b->a.at[i], &ev);
		if (!more) {
			event_drop(&ev);
			host_lock(h);
			die(h, ERR_NOMEM);
			host_unlock(h);
			break;
		}
		enum err e = host_begin(h, &ev, &more->a);
		if (e == ERR_NOSPC) { /* it is told that it has to be made again */
			host_unlock(h);
			report(REPORT_WARN, "%s: a bundle waits: the disk is full", h->store);
			ev = (struct event){.kind = EV_BUNDLE_SEALED};
			ev.bundle_sealed.err = e;
			e = host_begin(h, &ev, &more->a);
			assert(e != ERR_OK); /* it comes back as it was told */
		}
		host_unlock(h);
		last->next = more;
		last = more;
	}
	return last;
}

void host_end(struct host *h, struct actions *a)
{
	struct batch first = {.a = *a}, *b = &first, *last = &first;

	memset(a, 0, sizeof(*a));
	host_unlock(h);
	while (b) {
		last = batch_carry(h, b, last);
		struct batch *next = b->next;

		actions_fini(&b->a);
		if (b != &first)
			free(b);
		b = next;
	}
}

enum err host_step(struct host *h, struct event *ev)
{
	struct actions a;
	enum err e = host_begin(h, ev, &a);

	host_end(h, &a);
	return e;
}

enum err host_release(struct host *h, uint64_t file, bool write)
{
	struct event ev = {.kind = EV_RELEASE};

	ev.file.file = file;
	ev.file.write = write;
	enum err e = host_step(h, &ev);
	if (e != ERR_NOSPC)
		return e;
	ev.file.full = true; /* nobody releases it a second time */
	return host_step(h, &ev);
}

void host_lock(struct host *h)
{
	(void)pthread_mutex_lock(&h->lock);
	while (h->rebuilding) /* I3 */
		(void)pthread_cond_wait(&h->rebuilt, &h->lock);
}

void host_unlock(struct host *h)
{
	if (h->settling)
		(void)pthread_cond_broadcast(&h->stepped);
	(void)pthread_mutex_unlock(&h->lock);
}

struct node *host_node(struct host *h)
{
	return h->node;
}

const struct folder_id *host_folder(const struct host *h)
{
	return &h->folder;
}

struct link *host_link(struct host *h)
{
	return h->c.link;
}

struct files *host_files(struct host *h)
{
	return h->files;
}

struct marks *host_marks(struct host *h)
{
	return &h->marks;
}

bool host_joining(struct host *h, uint8_t secret[32])
{
	host_lock(h);
	bool joining = h->joining;

	host_unlock(h);
	memcpy(secret, h->c.join.secret, 32);
	return joining;
}

int64_t host_arriving(struct host *h, int64_t more)
{
	return atomic_fetch_add(&h->arriving, more) + more;
}

enum err host_submit(struct host *h, void (*job)(void *arg), void *arg)
{
	return pool_submit(h->pool, job, arg);
}

/* Waits for calls that are under way in other threads. */
void host_set_front(struct host *h, const struct host_front *f)
{
	(void)pthread_rwlock_wrlock(&h->front_lock);
	h->have_front = f != NULL;
	if (f)
		h->front = *f;
	(void)pthread_rwlock_unlock(&h->front_lock);
	host_lock(h);
	view_tell_before(node_view(h->node), f && f->tell_before);
	host_unlock(h);
}

static bool keys_kept(struct host *h, uint32_t epoch, struct seal_keys *ret)
{
	bool found = false;

	(void)pthread_mutex_lock(&h->small);
	for (uint32_t i = 0; i < h->keys_count && !found; i++)
		if (h->keys[i].epoch == epoch) {
			*ret = h->keys[i];
			found = true;
		}
	(void)pthread_mutex_unlock(&h->small);
	return found;
}

enum err host_keys(struct host *h, uint32_t epoch, struct seal_keys *ret)
{
	if (keys_kept(h, epoch, ret))
		return ERR_OK;
	host_lock(h);
	enum err e = node_keys_of(h->node, epoch, ret);

	host_unlock(h);
	if (e)
		return e;
	(void)pthread_mutex_lock(&h->small);
	if (h->keys_count < FOLDER_EPOCHS_MAX)
		h->keys[h->keys_count++] = *ret;
	(void)pthread_mutex_unlock(&h->small);
	return ERR_OK;
}

/* ---- contents ---- */

enum err host_data(struct host *h, struct bytes data, uint64_t *addr)
{
	return files_data_write(h->files, data, addr);
}

enum err host_fsync(struct host *h)
{
	return files_sync(h->files);
}

enum err host_space(struct host *h, struct files_space *ret)
{
	return files_space(h->files, ret);
}

static struct read_room *room_take(struct host *h)
{
	(void)pthread_mutex_lock(&h->small);
	struct read_room *r = h->rooms;

	if (r)
		h->rooms = r->next;
	(void)pthread_mutex_unlock(&h->small);
	return r ? r : malloc(sizeof(*r));
}

static void room_give(struct host *h, struct read_room *r)
{
	(void)pthread_mutex_lock(&h->small);
	r->next = h->rooms;
	h->rooms = r;
	(void)pthread_mutex_unlock(&h->small);
}

/* Map, and copy what is only valid under the lock. */
static enum err read_map(struct host *h, struct event *ev, uint8_t *buf)
{
	struct actions a;
	enum err e = host_begin(h, ev, &a);
	uint32_t at = 0;

	for (uint32_t i = 0; !e && i < ev->read.count; i++) {
		const struct piece *p = &ev->read.pieces[i];
		uint32_t n = (uint32_t)MIN(p->len, (uint64_t)(ev->read.len - at));

		if (p->kind == PIECE_INLINE)
			memcpy(buf + at, p->data, n);
		at += n;
	}
	host_end(h, &a);
	return e;
}

static enum err read_copy(struct host *h, const struct event *ev, uint8_t *buf, uint32_t *done)
{
	uint32_t at = 0;
	enum err e = ERR_OK;

	for (uint32_t i = 0; !e && i < ev->read.count && at < ev->read.len; i++) {
		const struct piece *p = &ev->read.pieces[i];
		uint32_t n = (uint32_t)MIN(p->len, (uint64_t)(ev->read.len - at));

		if (p->kind != PIECE_INLINE)
			e = reader_copy(h->reader, p, 0, buf + at, n);
		at += n;
	}
	if (!e)
		*done = at;
	return e;
}

/* As much of a read as there are pieces for; *more: there is more of it. */
static enum err read_part(struct host *h, struct event *ev, uint8_t *buf, uint32_t *done)
{
	const struct event asked = *ev;
	enum err e = ERR_NOENT;

	/* between map and copy the data log may have moved on: what was there is sealed now */
	for (int i = 0; e == ERR_NOENT && i < READ_TRIES; i++) {
		*ev = asked;
		e = read_map(h, ev, buf);
		if (e)
			break;
		e = read_copy(h, ev, buf, done);
	}
	return e;
}

enum err host_read(struct host *h, uint64_t file, uint64_t off, uint32_t len, uint64_t tag,
		   bool polite, uint8_t *buf, uint32_t *done)
{
	struct read_room *room = room_take(h);
	uint32_t at = 0, n;
	bool more = true;
	enum err e = ERR_OK;

	if (!room)
		return fail(ERR_NOMEM);
	while (more && at < len && !e) {
		struct event ev = {.kind = EV_READ};

		ev.read.file = file;
		ev.read.off = off + at;
		ev.read.len = len - at;
		ev.read.tag = tag;
		ev.read.polite = polite;
		ev.read.pieces = room->at;
		e = read_part(h, &ev, buf + at, &n);
		if (!e) {
			at += n;
			more = ev.read.more && n > 0;
		}
	}
	room_give(h, room);
	if (!e)
		*done = at;
	return e;
}

/* ---- time ---- */

static void keep_told(struct host *h)
{
	(void)pthread_mutex_lock(&h->small);
	struct kept *list = h->kept;

	h->kept = NULL;
	(void)pthread_mutex_unlock(&h->small);
	while (list) {
		struct kept *next = list->next;
		enum err e = h->c.link ? link_keep(h->c.link, h->c.folder_no, &list->device,
						   list->addr, false)
				       : ERR_OK;

		if (e)
			report(REPORT_WARN, "cannot keep a session with %s: %s", list->addr,
			       err_text(e));
		free(list);
		list = next;
	}
}

/* Whether segment must stay (I4). */
static bool segment_needed(void *arg, uint64_t segment)
{
	struct host *h = arg;
	uint64_t now = clock_usec(), commits = index_commits(h->index);
	uint32_t i = 0;

	host_lock(h);
	bool used = h->dead || node_segment_in_use(h->node, segment);

	host_unlock(h);
	while (i < h->spare_count && h->spare[i].no != segment)
		i++;
	if (used) {
		if (i < h->spare_count)
			h->spare[i] = h->spare[--h->spare_count];
		return true;
	}
	if (i == h->spare_count) {
		if (i < TRIM_SEGMENTS_MAX)
			h->spare[h->spare_count++] = (struct spare_segment){segment, now, commits};
		return true;
	}
	if (commits < h->spare[i].commits + 2 || now < h->spare[i].since_usec + SPARE_USEC)
		return true;
	h->spare[i] = h->spare[--h->spare_count];
	return false;
}

int host_timeout(struct host *h)
{
	(void)pthread_mutex_lock(&h->small);
	bool pending = h->kept != NULL;

	(void)pthread_mutex_unlock(&h->small);
	if (pending)
		return 0;
	host_lock(h);
	uint64_t due = h->dead ? UINT64_MAX : node_deadline(h->node);

	host_unlock(h);
	uint64_t now = clock_usec();

	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int)MIN((due - now + 999) / 1000, UINT64_C(60000));
}

void host_tick(struct host *h)
{
	uint64_t now = clock_usec();
	struct event ev = {.kind = EV_TICK};

	keep_told(h);
	host_lock(h);
	bool due = !h->dead && node_deadline(h->node) <= now;

	host_unlock(h);
	if (due && now >= h->next_retry && host_step(h, &ev)) {
		h->next_retry = now + RETRY_USEC; /* a full disk: not in circles */
		ev = (struct event){.kind = EV_TICK};
		ev.tick.full = true; /* but reads that waited long enough end all the same */
		if (host_step(h, &ev))
			report(REPORT_DEBUG, "%s: a tick failed", h->store);
	}
	if (now >= h->next_trim) {
		h->next_trim = now + TRIM_USEC;
		sealer_retry(h->sealer);
		files_data_trim(h->files, files_data_segment(h->files), segment_needed, h);
	}
}

bool host_settle(struct host *h, unsigned timeout_ms)
{
	struct event ev = {.kind = EV_CUT};
	struct timespec until;
	int r = 0;

	if (host_step(h, &ev))
		return false;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	host_lock(h);
	h->settling++;
	bool idle = node_idle(h->node);

	while (!idle && !h->dead && r == 0) {
		r = pthread_cond_timedwait(&h->stepped, &h->lock, &until);
		idle = node_idle(h->node);
	}
	h->settling--;
	host_unlock(h);
	return idle;
}
