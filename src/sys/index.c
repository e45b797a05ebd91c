// SPDX-License-Identifier: MIT
/*
 * index.c - rows in memory in front of LMDB, and the one thread that drains them
 *
 *	step --> active --freeze--> frozen --drain--> LMDB
 *
 * A row in a map ends in a byte that says whether it is a value or marks a deletion; whichever of
 * active, frozen and LMDB knows a key first, in that order, decides.  Freezing swaps two pointers
 * under the node's lock; the drain reads the frozen map, which nobody changes any more, and
 * writes LMDB with no lock held; then, under the node's lock again, the frozen map is dropped.
 *
 * I1  LMDB's rows are those of the step that ended at LMDB's position: rows and position go in
 *     one transaction, and a freeze happens between steps
 * I2  the write transaction begins and ends in the index thread, in one call
 * I3  the read transaction is reset only under the node's lock and outside kv calls, so what get
 *     and next lent stays until the next call; it is no older than the last dropped frozen map
 * I4  frozen is not NULL until it is committed: rows that LMDB did not take are kept
 *
 * The kv calls run under the node's lock; m guards what the index thread and flushers share.
 */
#include "sys/index.h"
#include "base/map.h"
#include "base/rd.h"
#include "base/wr.h"
#include "sys/fdio.h"
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MAP_BYTES (UINT64_C(64) << 30)
#define MAP_BYTES_MIN (UINT64_C(64) << 20)
#define ROW_VALUE 1
#define ROW_GONE 0
#define POSITION_LEN 16
#define FULL_BELOW (1u << 20) /* free bytes at which a short write means a full disk */

struct position {
	uint64_t journal, pack;
};
struct index {
	struct kv kv;
	MDB_env *env;
	MDB_dbi rows, meta;
	/* under the node's lock */
	struct map *active, *frozen;
	struct position active_at, frozen_at;
	struct wr scratch;
	MDB_txn *read;
	MDB_cursor *cursor;
	bool reading; /* read is a snapshot, not reset */
	MDB_val seen; /* the key on which cursor stands; mv_data NULL: unknown */
	/* under m */
	pthread_mutex_t m;
	pthread_cond_t wake, done;
	struct position committed;
	uint64_t commits, begun, ended; /* rounds of the thread */
	enum err last; /* of the last round */
	bool wanted, stop, running, complained;
	pthread_t thread;
	_Atomic size_t active_bytes, frozen_bytes;

	enum err (*before_commit)(void *arg);
	void *before_arg;
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	void *lock_arg;
};

static enum err lmdb_err(int r)
{
	switch (r) {
	case MDB_SUCCESS:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOENT;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return fail(ERR_DAMAGED);
	default:
		return fail(r > 0 ? fdio_errno(r) : ERR_IO);
	}
}

static enum err lmdb_fail(const char *what, int r)
{
	report(REPORT_ERROR, "index: %s: %s", what, mdb_strerror(r));
	return lmdb_err(r);
}

/* ---- reading ---- */

/* A snapshot to read from: the last one until a drain resets it (I3). */
static enum err read_begin(struct index *x)
{
	int r = 0;

	if (x->reading)
		return ERR_OK;
	if (!x->read)
		r = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &x->read);
	else
		r = mdb_txn_renew(x->read);
	if (r)
		return lmdb_fail("begin to read", r);
	r = x->cursor ? mdb_cursor_renew(x->read, x->cursor)
		      : mdb_cursor_open(x->read, x->rows, &x->cursor);
	if (r) {
		mdb_txn_reset(x->read);
		return lmdb_fail("open a cursor", r);
	}
	x->reading = true;
	x->seen.mv_data = NULL;
	return ERR_OK;
}

/* Let the snapshot go, so that LMDB can use its pages again; under the node's lock (I3). */
static void read_end(struct index *x)
{
	if (x->reading)
		mdb_txn_reset(x->read);
	x->reading = false;
}

static void read_close(struct index *x)
{
	if (x->cursor)
		mdb_cursor_close(x->cursor);
	if (x->read)
		mdb_txn_abort(x->read);
	x->cursor = NULL;
	x->read = NULL;
	x->reading = false;
}

/* Whether a map's row is a value; then *ret is it without its mark. */
static bool row_value(struct bytes row, struct bytes *ret)
{
	assert(row.len >= 1);
	if (row.at[row.len - 1] == ROW_GONE)
		return false;
	*ret = (struct bytes){row.at, row.len - 1};
	return true;
}

static enum err index_get(void *self, struct bytes key, struct bytes *ret)
{
	struct index *x = self;
	struct bytes row;

	if (map_get(x->active, key, &row) || (x->frozen && map_get(x->frozen, key, &row)))
		return row_value(row, ret) ? ERR_OK : ERR_NOENT;
	enum err e = read_begin(x);
	if (e)
		return e;
	MDB_val k = {.mv_size = key.len, .mv_data = (void *)(uintptr_t)key.at}, v;
	int r = mdb_get(x->read, x->rows, &k, &v);
	if (r == MDB_NOTFOUND)
		return ERR_NOENT;
	if (r)
		return lmdb_fail("read", r);
	*ret = (struct bytes){v.mv_data, v.mv_size};
	return ERR_OK;
}

/* LMDB's first row at or beyond from; ERR_NOENT.  A walk in order costs a step of the cursor. */
static enum err lmdb_next(struct index *x, struct bytes from, bool beyond, struct bytes *key,
			  struct bytes *value)
{
	MDB_val k = {.mv_size = from.len, .mv_data = (void *)(uintptr_t)from.at}, v;
	struct bytes seen = {x->seen.mv_data, x->seen.mv_size};
	int r;

	if (beyond && seen.at && bytes_equal(seen, from)) {
		r = mdb_cursor_get(x->cursor, &k, &v, MDB_NEXT);
	} else {
		r = mdb_cursor_get(x->cursor, &k, &v, MDB_SET_RANGE);
		if (!r && beyond && bytes_equal((struct bytes){k.mv_data, k.mv_size}, from))
			r = mdb_cursor_get(x->cursor, &k, &v, MDB_NEXT);
	}
	x->seen.mv_data = NULL;
	if (r == MDB_NOTFOUND)
		return ERR_NOENT;
	if (r)
		return lmdb_fail("walk", r);
	x->seen = k;
	*key = (struct bytes){k.mv_data, k.mv_size};
	*value = (struct bytes){v.mv_data, v.mv_size};
	return ERR_OK;
}

static enum err index_next(void *self, const struct kv_from *where, struct bytes *key,
			   struct bytes *value)
{
	struct bytes from = where->key;
	const struct bytes prefix = {from.at, where->within};
	bool beyond = where->beyond;
	struct index *x = self;
	struct map *const maps[2] = {x->active, x->frozen};
	enum err e = read_begin(x);

	while (!e) {
		struct bytes best, row = {0}, k, v;
		bool in_map = false;
		e = lmdb_next(x, from, beyond, &best, value);
		bool found = !e;
		if (e && e != ERR_NOENT)
			return e;
		for (size_t n = ARRAY_LEN(maps); n-- > 0;) { /* a tie goes to the newer one */
			if (!maps[n] || !map_next(maps[n], from, beyond, &k, &v))
				continue;
			if (found && bytes_compare(k, best) > 0)
				continue;
			best = k;
			row = v;
			found = in_map = true;
		}
		if (!found || !bytes_prefix(best, prefix))
			return ERR_NOENT;
		*key = best;
		if (!in_map || row_value(row, value))
			return ERR_OK;
		from = best; /* a deletion hides the key: go on behind it */
		beyond = true;
		e = ERR_OK;
	}
	return e;
}

/* ---- writing ---- */

static enum err put_row(struct index *x, struct bytes key, struct bytes value, uint8_t mark)
{
	wr_reset(&x->scratch);
	wr_bytes(&x->scratch, value);
	wr_u8(&x->scratch, mark);
	if (x->scratch.bad) {
		wr_fini(&x->scratch);
		return fail(ERR_NOMEM);
	}
	enum err e = map_put(x->active, key, wr_view(&x->scratch));
	if (x->scratch.room > (1u << 20))
		wr_fini(&x->scratch); /* one large row must not hold its memory for ever */
	if (e)
		return e;
	size_t bytes = map_bytes(x->active);
	bool full = atomic_exchange(&x->active_bytes, bytes) < INDEX_DRAIN_BYTES &&
		    bytes >= INDEX_DRAIN_BYTES;
	if (full) {
		(void)pthread_mutex_lock(&x->m);
		x->wanted = true;
		(void)pthread_cond_signal(&x->wake);
		(void)pthread_mutex_unlock(&x->m);
	}
	return ERR_OK;
}

static enum err index_put(void *self, struct bytes key, struct bytes value)
{
	return put_row(self, key, value, ROW_VALUE);
}

static enum err index_del(void *self, struct bytes key)
{
	return put_row(self, key, (struct bytes){NULL, 0}, ROW_GONE);
}

static const struct kv_ops index_ops = {
	.get = index_get, .put = index_put, .del = index_del, .next = index_next};

struct kv *index_kv(struct index *x)
{
	return &x->kv;
}

void index_at(struct index *x, uint64_t journal, uint64_t pack)
{
	x->active_at = (struct position){journal, pack};
}

/* ---- draining: the index thread ---- */

/* Make active the frozen map, unless there is nothing new. */
static enum err freeze(struct index *x)
{
	struct map *fresh = map_new();

	if (!fresh)
		return fail(ERR_NOMEM);
	x->lock(x->lock_arg);
	assert(!x->frozen);
	bool fruitful = map_count(x->active) > 0 ||
			memcmp(&x->active_at, &x->frozen_at, sizeof(x->active_at)) != 0;
	if (fruitful) {
		x->frozen = x->active;
		x->frozen_at = x->active_at;
		x->active = fresh;
		fresh = NULL;
		atomic_store(&x->frozen_bytes, map_bytes(x->frozen));
		atomic_store(&x->active_bytes, 0);
	}
	x->unlock(x->lock_arg);
	map_free(fresh);
	return ERR_OK;
}

static int put_rows(struct index *x, MDB_txn *txn, const struct map *from)
{
	struct bytes key = {(const uint8_t *)"", 0}, row;
	bool beyond = false;

	while (map_next(from, key, beyond, &key, &row)) {
		MDB_val k = {.mv_size = key.len, .mv_data = (void *)(uintptr_t)key.at};
		struct bytes value;
		int r;
		if (row_value(row, &value)) {
			MDB_val v = {.mv_size = value.len, .mv_data = (void *)(uintptr_t)value.at};
			r = mdb_put(txn, x->rows, &k, &v, 0);
		} else {
			r = mdb_del(txn, x->rows, &k, NULL);
		}
		if (r && r != MDB_NOTFOUND)
			return r;
		beyond = true;
	}
	return 0;
}

static int put_position(struct index *x, MDB_txn *txn, const struct position *at)
{
	struct wr w = {0};
	MDB_val k = {.mv_size = 8, .mv_data = (void *)(uintptr_t) "position"};

	wr_u64(&w, at->journal);
	wr_u64(&w, at->pack);
	MDB_val v = {.mv_size = w.len, .mv_data = w.at};
	int r = w.bad ? ENOMEM : mdb_put(txn, x->meta, &k, &v, 0);
	wr_fini(&w);
	return r;
}

/* The map is full: double it.  No transaction may be open then, so readers wait. */
static enum err grow(struct index *x)
{
	MDB_envinfo info;

	x->lock(x->lock_arg);
	read_close(x);
	int r = mdb_env_info(x->env, &info);
	if (!r)
		r = mdb_env_set_mapsize(x->env, info.me_mapsize * 2);
	x->unlock(x->lock_arg);
	return r ? lmdb_fail("grow", r) : ERR_OK;
}

/*
 * LMDB says EIO when the kernel wrote less than it was given, which is how a disk fills up.  The
 * next transaction writes all its pages anew, so trying again hides nothing.
 */
static enum err drain_err(struct index *x, int r)
{
	struct statvfs sv;
	int fd;

	if (r == EIO && mdb_env_get_fd(x->env, &fd) == 0 && fstatvfs(fd, &sv) == 0 &&
	    (uint64_t)sv.f_bavail * sv.f_frsize < map_bytes(x->frozen) + FULL_BELOW)
		return fail(ERR_NOSPC);
	return lmdb_err(r);
}

/* One transaction with the frozen map's rows and position (I1, I2). */
static enum err drain_once(struct index *x, bool *map_full)
{
	MDB_txn *txn;
	int r = mdb_txn_begin(x->env, NULL, 0, &txn);

	*map_full = false;
	if (r)
		return drain_err(x, r);
	r = put_rows(x, txn, x->frozen);
	if (!r)
		r = put_position(x, txn, &x->frozen_at);
	enum err e = r ? ERR_OK : x->before_commit(x->before_arg);
	if (r || e)
		mdb_txn_abort(txn);
	else
		r = mdb_txn_commit(txn);
	*map_full = r == MDB_MAP_FULL;
	return e ? e : drain_err(x, r);
}

static enum err drain(struct index *x)
{
	bool map_full;
	enum err e;

	do {
		e = drain_once(x, &map_full);
		if (map_full)
			e = grow(x);
	} while (map_full && !e);
	if (e)
		return e; /* I4 */
	(void)pthread_mutex_lock(&x->m);
	x->committed = x->frozen_at;
	x->commits++;
	(void)pthread_mutex_unlock(&x->m);
	x->lock(x->lock_arg);
	struct map *old = x->frozen;
	x->frozen = NULL;
	read_end(x); /* I3: the next call reads what was just committed */
	atomic_store(&x->frozen_bytes, 0);
	x->unlock(x->lock_arg);
	map_free(old);
	return ERR_OK;
}

/* What an earlier round could not drain, then what is active now. */
static enum err round_of(struct index *x)
{
	enum err e = x->frozen ? drain(x) : ERR_OK;

	if (!e)
		e = freeze(x);
	if (!e && x->frozen)
		e = drain(x);
	return e;
}

static void complain(struct index *x, enum err e)
{
	if (e && !x->complained)
		report(REPORT_ERROR, "index: cannot be written: %s; kept in memory", err_text(e));
	if (!e && x->complained)
		report(REPORT_INFO, "index: written again");
	x->complained = e != ERR_OK;
}

static void wait_for_work(struct index *x)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += INDEX_DRAIN_MS / 1000;
	until.tv_nsec += INDEX_DRAIN_MS % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!x->wanted && !x->stop)
		if (pthread_cond_timedwait(&x->wake, &x->m, &until) == ETIMEDOUT)
			break;
	x->wanted = false;
}

/* Whether to leave LMDB alone from now on: anything but want of room may have hit the disk. */
static bool hopeless(enum err e)
{
	return e == ERR_IO || e == ERR_DAMAGED;
}

static void *run(void *arg)
{
	struct index *x = arg;

	(void)pthread_mutex_lock(&x->m);
	for (;;) {
		wait_for_work(x);
		bool stop = x->stop;
		uint64_t this = ++x->begun;
		enum err e = x->last;
		(void)pthread_mutex_unlock(&x->m);
		if (!hopeless(e))
			e = round_of(x);
		(void)pthread_mutex_lock(&x->m);
		complain(x, e);
		x->last = e;
		x->ended = this;
		(void)pthread_cond_broadcast(&x->done);
		if (stop)
			break;
	}
	(void)pthread_mutex_unlock(&x->m);
	return NULL;
}

enum err index_flush(struct index *x)
{
	(void)pthread_mutex_lock(&x->m);
	assert(x->running);
	uint64_t mine = x->begun + 1; /* one that is under way froze without us */
	x->wanted = true;
	(void)pthread_cond_signal(&x->wake);
	while (x->ended < mine)
		(void)pthread_cond_wait(&x->done, &x->m);
	enum err e = x->last;
	(void)pthread_mutex_unlock(&x->m);
	return e;
}

void index_position(struct index *x, uint64_t *journal, uint64_t *pack)
{
	(void)pthread_mutex_lock(&x->m);
	*journal = x->committed.journal;
	*pack = x->committed.pack;
	(void)pthread_mutex_unlock(&x->m);
}

uint64_t index_commits(struct index *x)
{
	(void)pthread_mutex_lock(&x->m);
	uint64_t n = x->commits;
	(void)pthread_mutex_unlock(&x->m);
	return n;
}

size_t index_backlog(struct index *x)
{
	return atomic_load(&x->active_bytes) + atomic_load(&x->frozen_bytes);
}

void index_lock_with(struct index *x, void (*lock)(void *arg), void (*unlock)(void *arg), void *arg)
{
	assert(!x->running);
	x->lock = lock;
	x->unlock = unlock;
	x->lock_arg = arg;
}

enum err index_start(struct index *x)
{
	assert(!x->running && x->lock && x->unlock);
	if (pthread_create(&x->thread, NULL, run, x) != 0)
		return fail(ERR_NOMEM);
	(void)pthread_mutex_lock(&x->m);
	x->running = true;
	(void)pthread_mutex_unlock(&x->m);
	return ERR_OK;
}

/* ---- opening ---- */

/* LMDB trusts its meta page; a file that was cut short would be met by SIGBUS later. */
static enum err check_size(struct index *x)
{
	MDB_envinfo info;
	MDB_stat st;
	uint64_t size;
	int fd, r = mdb_env_get_fd(x->env, &fd);

	if (!r)
		r = mdb_env_info(x->env, &info);
	if (!r)
		r = mdb_env_stat(x->env, &st);
	if (r)
		return lmdb_fail("look at the file", r);
	enum err e = fdio_size(fd, &size);
	if (!e && (info.me_last_pgno + 1) * (uint64_t)st.ms_psize > size && info.me_last_txnid > 0)
		e = fail(ERR_DAMAGED);
	return e;
}

static enum err read_position(struct index *x, MDB_txn *txn)
{
	MDB_val k = {.mv_size = 8, .mv_data = (void *)(uintptr_t) "position"}, v;
	int r = mdb_get(txn, x->meta, &k, &v);

	if (r == MDB_NOTFOUND)
		return ERR_OK; /* a new index */
	if (r)
		return lmdb_fail("read the position", r);
	if (v.mv_size != POSITION_LEN)
		return fail(ERR_DAMAGED);
	struct rd d = rd_of((struct bytes){v.mv_data, v.mv_size});
	x->committed.journal = rd_u64(&d);
	x->committed.pack = rd_u64(&d);
	x->active_at = x->frozen_at = x->committed;
	return ERR_OK;
}

/* Rows and meta are tables of one file. */
static enum err open_tables(struct index *x)
{
	MDB_txn *txn;
	int dead, r = mdb_reader_check(x->env, &dead);

	if (!r)
		r = mdb_txn_begin(x->env, NULL, 0, &txn);
	if (r)
		return lmdb_fail("begin", r);
	r = mdb_dbi_open(txn, "rows", MDB_CREATE, &x->rows);
	if (!r)
		r = mdb_dbi_open(txn, "meta", MDB_CREATE, &x->meta);
	enum err e = r ? lmdb_fail("open", r) : read_position(x, txn);
	if (e) {
		mdb_txn_abort(txn);
		return e;
	}
	r = mdb_txn_commit(txn);
	return r ? lmdb_fail("commit", r) : ERR_OK;
}

/* A map of MAP_BYTES is only address space; where that is rationed, take less and grow later. */
static int open_env(struct index *x, const char *dir)
{
	int r = ENOMEM;

	for (uint64_t size = MAP_BYTES; r == ENOMEM && size >= MAP_BYTES_MIN; size /= 4) {
		r = mdb_env_create(&x->env);
		if (r)
			break;
		r = mdb_env_set_maxdbs(x->env, 2);
		if (!r)
			r = mdb_env_set_mapsize(x->env, (size_t)size);
		if (!r)
			r = mdb_env_open(x->env, dir, MDB_NOTLS | MDB_NORDAHEAD, 0600);
		if (r) {
			mdb_env_close(x->env);
			x->env = NULL;
		}
	}
	return r;
}

enum err index_open(const char *dir, enum err (*before_commit)(void *arg), void *arg,
		    struct index **ret)
{
	pthread_condattr_t attr;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return report_sys("create folder", dir);
	struct index *x = calloc(1, sizeof(*x));
	if (!x)
		return fail(ERR_NOMEM);
	x->kv = (struct kv){.ops = &index_ops, .self = x};
	x->before_commit = before_commit;
	x->before_arg = arg;
	(void)pthread_mutex_init(&x->m, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&x->wake, &attr);
	(void)pthread_cond_init(&x->done, NULL);
	(void)pthread_condattr_destroy(&attr);
	x->active = map_new();
	int r = open_env(x, dir);
	enum err e = x->active ? ERR_OK : fail(ERR_NOMEM);
	if (r)
		e = lmdb_fail("open", r);
	if (!e)
		e = check_size(x);
	if (!e)
		e = open_tables(x);
	if (e) {
		index_close(x);
		return e;
	}
	*ret = x;
	return ERR_OK;
}

void index_close(struct index *x)
{
	if (!x)
		return;
	if (x->running) {
		(void)pthread_mutex_lock(&x->m);
		x->stop = true;
		(void)pthread_cond_signal(&x->wake);
		(void)pthread_mutex_unlock(&x->m);
		(void)pthread_join(x->thread, NULL);
	}
	read_close(x);
	if (x->env)
		mdb_env_close(x->env);
	map_free(x->active);
	map_free(x->frozen);
	wr_fini(&x->scratch);
	(void)pthread_cond_destroy(&x->done);
	(void)pthread_cond_destroy(&x->wake);
	(void)pthread_mutex_destroy(&x->m);
	free(x);
}
