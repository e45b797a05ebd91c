// SPDX-License-Identifier: MIT
/*
 * files.c - open, lock and sync one folder's store; local.db; the parts behind one door
 *
 * The parts (journal, data log, packs) share one flag, broken: once a write or fsync has failed
 * nobody knows what is on the disk, so nothing is appended any more until the next start, which
 * reads what is there.  A full disk is not such a failure: what was written in part is taken back.
 *
 * I1  whoever has a struct files holds the lock of STORE/lock
 * I2  a store of a newer version is not touched: local.db is read before anything is opened
 *     for writing
 */
#include "sys/files.h"
#include "sys/datalog.h"
#include "sys/fdio.h"
#include "sys/journal.h"
#include "sys/packs.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LOCAL_BYTES_MAX 65536
#define RESERVE_BYTES (256u << 10)

struct files {
	int dirfd, lock_fd;
	atomic_bool broken;
	pthread_mutex_t sync_lock;
	pthread_mutex_t local_lock;
	struct local_db local;
	struct journal *journal;
	struct datalog *data;
	struct packs *packs;
};

/* Take blocks that a full disk gives back; only a wish, so nothing is said when it fails. */
static void reserve_fill(int dirfd)
{
	auto_fd fd = openat(dirfd, "reserve", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, RESERVE_BYTES);
}

static enum err write_local(int dirfd, const struct local_db *l)
{
	struct wr w = {0};
	enum err e;

	local_db_encode(&w, l);
	e = w.bad ? fail(ERR_NOMEM) : fdio_replace(dirfd, "local.db", wr_view(&w), 0600);
	if (e == ERR_NOSPC && unlinkat(dirfd, "reserve", 0) == 0) {
		e = fdio_replace(dirfd, "local.db", wr_view(&w), 0600);
		reserve_fill(dirfd);
	}
	wr_fini(&w);
	return e;
}

static enum err read_local(int dirfd, struct local_db *ret)
{
	char *p;
	size_t len;
	enum err e = fdio_slurp(dirfd, "local.db", LOCAL_BYTES_MAX, &p, &len);

	if (e)
		return e == ERR_TOOBIG ? fail(ERR_DAMAGED) : e;
	e = local_db_decode((struct bytes){(const uint8_t *)p, len}, ret);
	free(p);
	return e == ERR_MALFORMED ? fail(ERR_DAMAGED) : e;
}

static enum err make_file(int dirfd, const char *name)
{
	auto_fd fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? report_sys("create", name) : ERR_OK;
}

static enum err make_dir(int dirfd, const char *name)
{
	return mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST ? report_sys("create folder", name)
								 : ERR_OK;
}

/* The folder that holds path, to make the new name in it durable. */
static enum err sync_parent(const char *path)
{
	char *parent = malloc(strlen(path) + 4);

	if (!parent)
		return fail(ERR_NOMEM);
	memcpy(parent, path, strlen(path));
	memcpy(parent + strlen(path), "/..", 4);
	auto_fd fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	return fd < 0 || fsync(fd) < 0 ? report_sys("sync the folder of", path) : ERR_OK;
}

/* local.db comes last: a store without one was never finished, and is finished by the next try. */
enum err files_create(const char *store, const struct local_db *l)
{
	if (mkdir(store, 0700) < 0 && errno != EEXIST)
		return report_sys("create folder", store);
	auto_fd dirfd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return report_sys("open folder", store);
	if (faccessat(dirfd, "local.db", F_OK, 0) == 0)
		return fail(ERR_EXIST);
	enum err e = make_dir(dirfd, "data");
	if (!e)
		e = make_dir(dirfd, "packs");
	if (!e)
		e = make_file(dirfd, "lock");
	if (!e)
		e = make_file(dirfd, "journal");
	if (!e) {
		reserve_fill(dirfd);
		e = write_local(dirfd, l);
	}
	return e ? e : sync_parent(store);
}

static enum err take_lock(struct files *f)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	f->lock_fd = openat(f->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->lock_fd < 0)
		return report_sys("open", "lock");
	if (fcntl(f->lock_fd, F_OFD_SETLK, &all) == 0)
		return ERR_OK;
	if (errno == EAGAIN || errno == EACCES)
		return fail(ERR_BUSY);
	return report_sys("lock", "lock");
}

/* A folder of the store, opened; one that is missing was lost. */
static enum err open_dir(int dirfd, const char *name, int *ret)
{
	*ret = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret >= 0)
		return ERR_OK;
	enum err e = report_sys("open folder", name);
	return e == ERR_NOENT ? fail(ERR_DAMAGED) : e;
}

static enum err open_parts(struct files *f)
{
	int fd;
	enum err e = journal_open(f->dirfd, &f->broken, &f->journal);

	if (!e)
		e = open_dir(f->dirfd, "data", &fd);
	if (!e)
		e = datalog_open(fd, DATA_SEGMENT_BYTES, &f->broken, &f->data);
	if (!e)
		e = open_dir(f->dirfd, "packs", &fd);
	if (!e)
		e = packs_open(fd, PACK_SEGMENT_BYTES, &f->broken, &f->packs);
	return e;
}

enum err files_open(const char *store, struct files **ret)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f)
		return fail(ERR_NOMEM);
	f->lock_fd = -1;
	(void)pthread_mutex_init(&f->sync_lock, NULL);
	(void)pthread_mutex_init(&f->local_lock, NULL);
	f->dirfd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = f->dirfd < 0 ? fail(fdio_errno(errno)) : ERR_OK;
	if (!e)
		e = read_local(f->dirfd, &f->local); /* I2 */
	if (!e)
		e = take_lock(f);
	if (!e)
		e = read_local(f->dirfd, &f->local); /* its last owner may just have replaced it */
	if (!e)
		e = open_parts(f);
	if (e) {
		files_close(f);
		return e;
	}
	reserve_fill(f->dirfd);
	*ret = f;
	return ERR_OK;
}

void files_close(struct files *f)
{
	if (!f)
		return;
	packs_close(f->packs);
	datalog_close(f->data);
	journal_close(f->journal);
	if (f->lock_fd >= 0)
		(void)close(f->lock_fd);
	if (f->dirfd >= 0)
		(void)close(f->dirfd);
	(void)pthread_mutex_destroy(&f->local_lock);
	(void)pthread_mutex_destroy(&f->sync_lock);
	free(f);
}

const struct local_db *files_local(const struct files *f)
{
	return &f->local;
}

enum err files_set_local(struct files *f, const struct local_db *l)
{
	(void)pthread_mutex_lock(&f->local_lock);
	enum err e = files_broken(f) ? fail(ERR_IO) : write_local(f->dirfd, l);
	if (!e)
		f->local = *l;
	(void)pthread_mutex_unlock(&f->local_lock);
	if (e)
		report(REPORT_ERROR, "local.db: cannot replace: %s", err_text(e));
	return e;
}

bool files_broken(const struct files *f)
{
	return atomic_load(&f->broken);
}

enum err files_journal_walk(struct files *f, uint64_t from,
			    enum err (*show)(void *arg, uint64_t at, struct bytes payload,
					     uint64_t next),
			    void *arg, uint64_t *cut_bytes)
{
	return journal_walk(f->journal, from, show, arg, cut_bytes);
}

enum err files_journal_room(struct files *f, size_t len)
{
	return files_broken(f) ? fail(ERR_IO) : journal_room(f->journal, len);
}

enum err files_journal_append(struct files *f, struct bytes payload, uint64_t *at)
{
	return journal_append(f->journal, payload, at);
}

enum err files_journal_read(struct files *f, uint64_t at, void *to, size_t len)
{
	return journal_read(f->journal, at, to, len);
}

uint64_t files_journal_end(const struct files *f)
{
	return journal_end(f->journal);
}

/*
 * Group commit: who finds a sync under way waits for the lock, and the first to get it then syncs
 * for all who came meanwhile; these find nothing left to sync.  Data goes before the journal that
 * refers to it.
 */
enum err files_sync(struct files *f)
{
	(void)pthread_mutex_lock(&f->sync_lock);
	enum err e = datalog_sync(f->data);
	if (!e)
		e = journal_sync(f->journal);
	(void)pthread_mutex_unlock(&f->sync_lock);
	return e;
}

enum err files_journal_sync(struct files *f, uint64_t end)
{
	enum err e = ERR_OK;

	(void)pthread_mutex_lock(&f->sync_lock);
	if (!journal_is_synced(f->journal, end))
		e = journal_sync(f->journal);
	(void)pthread_mutex_unlock(&f->sync_lock);
	return e;
}

bool files_journal_is_synced(const struct files *f, uint64_t end)
{
	return journal_is_synced(f->journal, end);
}

enum err files_data_write(struct files *f, struct bytes data, uint64_t *addr)
{
	return datalog_write(f->data, data, addr);
}

enum err files_data_read(struct files *f, uint64_t addr, void *to, size_t len)
{
	return datalog_read(f->data, addr, to, len);
}

void files_data_trim(struct files *f, uint64_t limit_segment,
		     bool (*in_use)(void *arg, uint64_t segment), void *arg)
{
	datalog_trim(f->data, limit_segment, in_use, arg);
}

uint64_t files_data_segment(const struct files *f)
{
	return datalog_segment(f->data);
}

enum err files_pack_write(struct files *f, uint8_t kind, const struct hash *name,
			  struct bytes sealed, uint64_t *addr)
{
	return packs_write(f->packs, kind, name, sealed, addr);
}

enum err files_pack_read(struct files *f, uint64_t addr, void *to, size_t len)
{
	return packs_read(f->packs, addr, to, len);
}

enum err files_pack_sync(struct files *f)
{
	return packs_sync(f->packs);
}

enum err files_pack_walk(struct files *f, uint64_t from,
			 enum err (*show)(void *arg, uint64_t addr, const struct pack_head *h),
			 void *arg, uint64_t *end)
{
	return packs_walk(f->packs, from, show, arg, end);
}

enum err files_space(struct files *f, struct files_space *ret)
{
	struct statvfs sv;

	if (fstatvfs(f->dirfd, &sv) < 0)
		return report_sys("statvfs", "store");
	*ret = (struct files_space){
		.block = sv.f_frsize,
		.blocks = sv.f_blocks,
		.free = sv.f_bfree,
		.avail = sv.f_bavail,
		.journal_bytes = journal_end(f->journal),
		.data_bytes = datalog_bytes(f->data),
		.pack_bytes = packs_bytes(f->packs),
	};
	return ERR_OK;
}
