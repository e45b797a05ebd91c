// SPDX-License-Identifier: MIT
/* test_files.c - the store: what a tear, rot, a full disk, a failed sync and threads leave of it */
#include "base/rng.h"
#include "codec/seal.h"
#include "sys/files.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define OK(call) assert_int_equal((call), ERR_OK)

static char top[] = "/tmp/peerfs-files-XXXXXX";
static _Atomic unsigned syncs; /* calls of fdatasync() */
static _Atomic bool sync_fails;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	syncs++;
	if (!sync_fails)
		return __real_fdatasync(fd);
	errno = EIO;
	return -1;
}

static const struct local_db local = {
	.version = STORE_VERSION, .machine = 7, .clean = true, .name = "docs"};

static char *path_of(const char *store, const char *name)
{
	char *p = malloc(300);

	assert_non_null(p);
	(void)snprintf(p, 300, "%s/%s%s%s", top, store, name ? "/" : "", name ? name : "");
	return p;
}

static void make(const char *store)
{
	char *path = path_of(store, NULL);

	OK(files_create(path, &local));
	free(path);
}

static struct files *open_store(const char *store)
{
	char *path = path_of(store, NULL);
	struct files *f;

	OK(files_open(path, &f));
	free(path);
	return f;
}

static enum err try_open(const char *store)
{
	char *path = path_of(store, NULL);
	struct files *f = NULL;
	enum err e = files_open(path, &f);

	files_close(f);
	free(path);
	return e;
}

static int open_file(const char *store, const char *name)
{
	char *path = path_of(store, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	free(path);
	return fd;
}

/* The whole file; to be put back with restore() after it was spoiled. */
static uint8_t *save(const char *store, const char *name, size_t *len)
{
	int fd = open_file(store, name);
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *b = malloc((size_t)size + 1);

	assert_non_null(b);
	assert_int_equal(pread(fd, b, (size_t)size, 0), size);
	(void)close(fd);
	*len = (size_t)size;
	return b;
}

static void restore(const char *store, const char *name, const uint8_t *b, size_t len)
{
	int fd = open_file(store, name);

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, b, len, 0), (ssize_t)len);
	(void)close(fd);
}

/* ---- journal ---- */

struct seen {
	unsigned count;
	uint64_t bytes, next;
};

static enum err count_frame(void *arg, uint64_t at, struct bytes payload, uint64_t next)
{
	struct seen *s = arg;

	assert_int_equal(payload.at[0], 1);
	assert_int_equal(at + payload.len, next);
	s->count++;
	s->bytes += payload.len;
	s->next = next;
	return ERR_OK;
}

static unsigned walk(struct files *f, uint64_t *cut)
{
	struct seen s = {.count = 0};

	OK(files_journal_walk(f, 0, count_frame, &s, cut));
	assert_int_equal(s.next, files_journal_end(f));
	return s.count;
}

static enum err append(struct files *f, size_t len, uint8_t fill, uint64_t *at)
{
	uint8_t *b = malloc(len);

	assert_non_null(b);
	memset(b, fill, len);
	b[0] = 1;
	enum err e = files_journal_append(f, (struct bytes){b, len}, at);
	free(b);
	return e;
}

static void three_frames(const char *store, uint64_t at[3])
{
	make(store);
	struct files *f = open_store(store);
	uint64_t cut;

	assert_int_equal(walk(f, &cut), 0);
	OK(append(f, 40, 'a', &at[0]));
	OK(append(f, 5000, 'b', &at[1]));
	OK(append(f, 50, 'c', &at[2]));
	files_close(f);
}

/* Whatever part of the last frame is missing, the rest of it goes and the frames before stay. */
static void test_torn_tail(void **state)
{
	uint64_t at[3], cut;
	size_t len;

	(void)state;
	three_frames("torn", at);
	uint8_t *b = save("torn", "journal", &len);
	for (size_t end = (size_t)at[2] - JOURNAL_HEAD; end <= len; end++) {
		restore("torn", "journal", b, end);
		struct files *f = open_store("torn");
		size_t left = end - ((size_t)at[2] - JOURNAL_HEAD);
		assert_int_equal(walk(f, &cut), end == len ? 3 : 2);
		assert_int_equal(cut, end == len ? 0 : left);
		OK(append(f, 60, 'd', &at[2]));
		assert_int_equal(walk(f, &cut), end == len ? 4 : 3);
		at[2] = at[1] + 5000 + JOURNAL_HEAD;
		files_close(f);
	}
	free(b);
}

/* A flipped bit in the last frame is a tail; in one before, damage, and nothing is cut. */
static void test_flipped_bits(void **state)
{
	uint64_t at[3], cut = 0;
	size_t len;

	(void)state;
	three_frames("flip", at);
	uint8_t *b = save("flip", "journal", &len);
	for (size_t k = 0; k < len; k += k >= 100 && k + 200 < len ? 97 : 1) {
		for (unsigned bit = 0; bit < 8; bit += 5) {
			b[k] ^= (uint8_t)(1u << bit);
			restore("flip", "journal", b, len);
			b[k] ^= (uint8_t)(1u << bit);
			struct files *f = open_store("flip");
			struct seen s = {.count = 0};
			enum err e = files_journal_walk(f, 0, count_frame, &s, &cut);
			bool last = k >= at[2] - JOURNAL_HEAD;
			assert_int_equal(e, last ? ERR_OK : ERR_DAMAGED);
			files_close(f);
			free(save("flip", "journal", &s.bytes));
			assert_int_equal(s.bytes, last ? at[2] - JOURNAL_HEAD : len);
		}
	}
	free(b);
}

/* A block that a power cut left unwritten makes everything behind it a tail. */
static void test_unwritten_block(void **state)
{
	uint64_t at, cut;
	size_t len;

	(void)state;
	make("hole");
	struct files *f = open_store("hole");
	(void)walk(f, &cut);
	OK(append(f, 100, 'a', &at));
	OK(append(f, 20000, 'b', &at));
	OK(append(f, 100, 'c', &at));
	files_close(f);
	uint8_t *b = save("hole", "journal", &len);
	memset(b + 8192, 0, 4096);
	restore("hole", "journal", b, len);
	f = open_store("hole");
	assert_int_equal(walk(f, &cut), 1);
	assert_int_equal(cut, 20000 + 100 + 2 * JOURNAL_HEAD);
	files_close(f);
	free(b);
}

/* A large torn frame of random bytes is found to be a tail, and in short time. */
static void test_large_torn_frame(void **state)
{
	size_t len = JOURNAL_PAYLOAD_MAX;
	uint8_t *b = malloc(len);
	uint64_t at, cut;
	struct rng rng;

	(void)state;
	assert_non_null(b);
	rng_init_number(&rng, 3);
	rng_bytes(&rng, b, len);
	b[0] = 1;
	make("large");
	struct files *f = open_store("large");
	(void)walk(f, &cut);
	OK(append(f, 100, 'a', &at));
	OK(files_journal_append(f, (struct bytes){b, len}, &at));
	assert_int_equal(walk(f, &cut), 2);
	files_close(f);
	int fd = open_file("large", "journal");
	assert_int_equal(ftruncate(fd, (off_t)(at + 12345678)), 0);
	(void)close(fd);
	f = open_store("large");
	assert_int_equal(walk(f, &cut), 1);
	assert_int_equal(cut, 12345678 + JOURNAL_HEAD);
	files_close(f);
	free(b);
}

/* What stands behind the end of the journal cannot be walked from: whoever says so is newer. */
static void test_walk_from(void **state)
{
	uint64_t at[3], cut;
	struct seen s = {.count = 0};
	char got[4];

	(void)state;
	three_frames("from", at);
	struct files *f = open_store("from");
	OK(files_journal_walk(f, at[2] - JOURNAL_HEAD, count_frame, &s, &cut));
	assert_int_equal(s.count, 1);
	OK(files_journal_walk(f, files_journal_end(f), count_frame, &s, &cut));
	assert_int_equal(s.count, 1);
	assert_int_equal(files_journal_walk(f, files_journal_end(f) + 1, count_frame, &s, &cut),
			 ERR_DAMAGED);
	OK(files_journal_read(f, at[1] + 1, got, 4));
	assert_memory_equal(got, "bbbb", 4);
	assert_int_equal(files_journal_read(f, files_journal_end(f) - 1, got, 4), ERR_DAMAGED);
	files_close(f);
}

/* ---- opening ---- */

static void test_lock_and_versions(void **state)
{
	struct local_db l = local;
	size_t len;

	(void)state;
	make("lock");
	char *path = path_of("lock", NULL);
	assert_int_equal(files_create(path, &local), ERR_EXIST);
	struct files *f = open_store("lock");
	assert_int_equal(try_open("lock"), ERR_BUSY);
	l.clean = false;
	OK(files_set_local(f, &l));
	assert_false(files_local(f)->clean);
	files_close(f);
	f = open_store("lock");
	assert_false(files_local(f)->clean);
	assert_string_equal(files_local(f)->name, "docs");
	files_close(f);
	uint8_t *b = save("lock", "local.db", &len);
	b[len / 2] ^= 1;
	restore("lock", "local.db", b, len);
	assert_int_equal(try_open("lock"), ERR_DAMAGED);
	b[len / 2] ^= 1;
	b[4] = STORE_VERSION + 1; /* behind the magic */
	restore("lock", "local.db", b, len);
	free(b);
	/* not even the lock file is made in a store of a newer version */
	char *lock = path_of("lock", "lock");
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(try_open("lock"), ERR_VERSION);
	assert_int_equal(access(lock, F_OK), -1);
	assert_int_equal(try_open("nowhere"), ERR_NOENT);
	free(lock);
	free(path);
}

/* ---- packs ---- */

struct piece {
	uint64_t addr;
	uint32_t len;
	uint8_t fill;
};

static enum err put_piece(struct files *f, struct piece *p)
{
	uint8_t *b = malloc(p->len);
	struct hash name;

	assert_non_null(b);
	memset(b, p->fill, p->len);
	hash_blake((struct bytes){b, p->len}, &name);
	enum err e = files_pack_write(f, SEAL_CHUNK, &name, (struct bytes){b, p->len}, &p->addr);
	free(b);
	return e;
}

static void check_piece(struct files *f, const struct piece *p)
{
	uint8_t *b = malloc(p->len);

	assert_non_null(b);
	OK(files_pack_read(f, p->addr, b, p->len));
	for (uint32_t k = 0; k < p->len; k++)
		assert_int_equal(b[k], p->fill);
	free(b);
}

static enum err count_piece(void *arg, uint64_t addr, const struct pack_head *h)
{
	struct seen *s = arg;

	assert_true(h->kind == SEAL_CHUNK);
	s->count++;
	s->bytes += h->len;
	s->next = addr + h->len;
	return ERR_OK;
}

/* The last pack is cut behind its last sound piece, wherever it was torn. */
static void test_pack_tail(void **state)
{
	struct piece p[3] = {
		{.len = 3000, .fill = 1}, {.len = 70, .fill = 2}, {.len = 90, .fill = 3}};
	uint64_t end;
	size_t len, now;

	(void)state;
	make("packs");
	struct files *f = open_store("packs");
	for (size_t k = 0; k < 3; k++)
		OK(put_piece(f, &p[k]));
	OK(files_pack_sync(f));
	for (size_t k = 0; k < 3; k++)
		check_piece(f, &p[k]);
	files_close(f);
	uint8_t *b = save("packs", "packs/00000001", &len);
	for (size_t cut = 0; cut < 90 + PACK_HEAD; cut++) {
		struct seen s = {.count = 0};
		restore("packs", "packs/00000001", b, len - cut);
		f = open_store("packs");
		OK(files_pack_walk(f, 0, count_piece, &s, &end));
		assert_int_equal(s.count, cut ? 2 : 3);
		assert_int_equal(end, s.next);
		files_close(f);
		free(save("packs", "packs/00000001", &now));
		assert_int_equal(now, end & UINT32_MAX);
	}
	free(b);
}

/* Rot in a piece costs that piece alone: those behind it are found. */
static void test_pack_rot(void **state)
{
	struct piece p[3] = {
		{.len = 300, .fill = 1}, {.len = 70, .fill = 2}, {.len = 90, .fill = 3}};
	uint64_t end;
	size_t len;

	(void)state;
	make("rot");
	struct files *f = open_store("rot");
	for (size_t k = 0; k < 3; k++)
		OK(put_piece(f, &p[k]));
	files_close(f);
	uint8_t *b = save("rot", "packs/00000001", &len);
	for (size_t k = 0; k < 300 + 70 + 2 * PACK_HEAD; k++) {
		struct seen s = {.count = 0};
		b[k] ^= 4;
		restore("rot", "packs/00000001", b, len);
		b[k] ^= 4;
		f = open_store("rot");
		OK(files_pack_walk(f, 0, count_piece, &s, &end));
		assert_int_equal(s.count, 2);
		check_piece(f, &p[2]);
		assert_int_equal(files_pack_walk(f, end + 1, count_piece, &s, &end), ERR_DAMAGED);
		files_close(f);
	}
	free(b);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 200

struct worker {
	struct files *f;
	uint8_t no;
	struct piece pieces[ROUNDS];
	uint64_t addrs[ROUNDS];
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t data[700], got[700];

	for (unsigned k = 0; k < ROUNDS; k++) {
		memset(data, w->no * 40 + (int)k % 40, sizeof(data));
		w->pieces[k] = (struct piece){.len = 1 + k * 3, .fill = (uint8_t)(w->no + k)};
		if (put_piece(w->f, &w->pieces[k]) ||
		    files_data_write(w->f, BYTES_OF(data), &w->addrs[k]) ||
		    (k % 16 == 0 && (files_sync(w->f) || files_pack_sync(w->f))) ||
		    files_data_read(w->f, w->addrs[k / 2], got, sizeof(got)))
			return w;
		if (got[0] != w->no * 40 + (int)(k / 2) % 40 || got[699] != got[0])
			return w;
	}
	return NULL;
}

/* Threads that write, read and sync at once never meet each other's bytes. */
static void test_threads(void **state)
{
	static struct worker w[THREADS];
	struct seen s = {.count = 0};
	pthread_t t[THREADS];
	uint64_t end;

	(void)state;
	make("threads");
	struct files *f = open_store("threads");
	for (uint8_t k = 0; k < THREADS; k++) {
		w[k] = (struct worker){.f = f, .no = k};
		assert_int_equal(pthread_create(&t[k], NULL, work, &w[k]), 0);
	}
	for (unsigned k = 0; k < THREADS; k++) {
		void *bad;
		assert_int_equal(pthread_join(t[k], &bad), 0);
		assert_null(bad);
	}
	for (unsigned k = 0; k < THREADS; k++)
		for (unsigned n = 0; n < ROUNDS; n++)
			check_piece(f, &w[k].pieces[n]);
	OK(files_pack_walk(f, 0, count_piece, &s, &end));
	assert_int_equal(s.count, THREADS * ROUNDS);
	files_close(f);
}

static void *sync_often(void *arg)
{
	for (unsigned k = 0; k < ROUNDS; k++)
		if (files_sync(arg))
			return arg;
	return NULL;
}

/* With nothing new to sync, callers cost no call of the kernel. */
static void test_group_commit(void **state)
{
	pthread_t t[THREADS];
	uint64_t cut, at;
	void *bad;

	(void)state;
	make("group");
	struct files *f = open_store("group");
	(void)walk(f, &cut);
	OK(append(f, 10, 'a', &at));
	syncs = 0;
	for (unsigned k = 0; k < THREADS; k++)
		assert_int_equal(pthread_create(&t[k], NULL, sync_often, f), 0);
	for (unsigned k = 0; k < THREADS; k++) {
		assert_int_equal(pthread_join(t[k], &bad), 0);
		assert_null(bad);
	}
	assert_int_equal(syncs, 1);
	OK(append(f, 10, 'b', &at));
	OK(files_data_write(f, bytes_text("data"), &at));
	OK(files_sync(f));
	OK(files_sync(f));
	assert_int_equal(syncs, 3);
	files_close(f);
}

/* After a failed sync nothing is appended or synced again, though the disk says it is well. */
static void test_failed_sync(void **state)
{
	struct piece p = {.len = 10};
	uint64_t cut, at;
	char got[4];

	(void)state;
	make("broken");
	struct files *f = open_store("broken");
	(void)walk(f, &cut);
	OK(append(f, 10, 'a', &at));
	sync_fails = true;
	assert_int_equal(files_sync(f), ERR_IO);
	sync_fails = false;
	assert_true(files_broken(f));
	syncs = 0;
	assert_int_equal(files_sync(f), ERR_IO);
	assert_int_equal(files_pack_sync(f), ERR_IO);
	assert_int_equal(append(f, 10, 'a', &cut), ERR_IO);
	assert_int_equal(files_data_write(f, bytes_text("x"), &cut), ERR_IO);
	assert_int_equal(put_piece(f, &p), ERR_IO);
	assert_int_equal(files_set_local(f, &local), ERR_IO);
	assert_int_equal(syncs, 0);
	OK(files_journal_read(f, at, got, 4)); /* reading goes on */
	files_close(f);
}

/* ---- data log ---- */

static bool is_in_use(void *arg, uint64_t segment)
{
	return segment == *(const uint64_t *)arg;
}

/* Segments are never numbered twice; trimming takes those that nobody needs. */
static void test_data_trim(void **state)
{
	struct files_space sp;
	uint64_t addr[4], keep;
	char got[8];

	(void)state;
	make("trim");
	for (unsigned k = 0; k < 4; k++) {
		struct files *f = open_store("trim");
		OK(files_data_write(f, bytes_text("segment"), &addr[k]));
		assert_int_equal(addr[k] / DATA_SEGMENT_BYTES, k + 1);
		files_close(f);
	}
	struct files *f = open_store("trim");
	assert_int_equal(files_data_segment(f), 5);
	keep = 2;
	files_data_trim(f, files_data_segment(f), is_in_use, &keep);
	OK(files_data_read(f, addr[1], got, 7));
	assert_memory_equal(got, "segment", 7);
	assert_int_equal(files_data_read(f, addr[0], got, 7), ERR_DAMAGED);
	assert_int_equal(files_data_read(f, addr[3], got, 7), ERR_DAMAGED);
	OK(files_space(f, &sp));
	assert_int_equal(sp.data_bytes, 7);
	files_close(f);
	f = open_store("trim");
	assert_int_equal(files_data_segment(f), 5); /* the emptied one still counts */
	assert_int_equal(files_data_read(f, 0, got, 1), ERR_DAMAGED);
	files_close(f);
}

/* Segments are left when full; a write never lies in two. */
static void test_data_roll(void **state)
{
	size_t len = DATA_SEGMENT_BYTES / 2 + 1;
	uint8_t *b = malloc(len), end;
	uint64_t addr[3];

	(void)state;
	assert_non_null(b);
	memset(b, 9, len);
	make("roll");
	struct files *f = open_store("roll");
	for (unsigned k = 0; k < 3; k++) {
		OK(files_data_write(f, (struct bytes){b, len}, &addr[k]));
		assert_int_equal(addr[k], (uint64_t)(k + 1) * DATA_SEGMENT_BYTES);
	}
	OK(files_data_write(f, (struct bytes){b, 10}, &addr[0]));
	assert_int_equal(addr[0], 3 * (uint64_t)DATA_SEGMENT_BYTES + len);
	OK(files_sync(f));
	OK(files_data_read(f, addr[1] + len - 1, &end, 1));
	assert_int_equal(end, 9);
	files_close(f);
	free(b);
}

/* ---- a full disk ---- */

static void fill_up(struct files *f, struct seen *frames, struct seen *pieces)
{
	struct piece p = {.len = 200000, .fill = 5};
	static const uint8_t data[100000] = {1};
	uint64_t at;
	unsigned writes = 0;
	enum err e;

	while ((e = files_data_write(f, BYTES_OF(data), &at)) == ERR_OK)
		writes++;
	assert_int_equal(e, ERR_NOSPC);
	while ((e = put_piece(f, &p)) == ERR_OK)
		pieces->count++;
	assert_int_equal(e, ERR_NOSPC);
	while ((e = append(f, 300000, 'x', &at)) == ERR_OK)
		frames->count++;
	assert_int_equal(e, ERR_NOSPC);
	while ((e = append(f, 300, 'x', &at)) == ERR_OK)
		frames->count++;
	assert_int_equal(e, ERR_NOSPC);
	assert_int_equal(files_journal_room(f, 1 << 20), ERR_NOSPC);
	assert_true(writes > 0 && pieces->count > 0 && frames->count > 0);
}

/* A full disk says so, leaves whole frames and pieces only, and is forgotten when there is room. */
static void test_full_disk(void **state)
{
	struct seen frames = {.count = 0}, pieces = {.count = 0}, s = {.count = 0};
	char *dir = path_of("full", NULL), *ballast = path_of("full", "ballast");
	struct local_db l = local;
	uint64_t cut, end, at;

	(void)state;
	if (mkdir(dir, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=12m") < 0) {
		free(dir);
		free(ballast);
		skip();
	}
	make("full");
	struct files *f = open_store("full");
	(void)walk(f, &cut);
	OK(append(f, 300, 'x', &at)); /* reserves 4 MiB */
	frames.count = 1;
	pieces.count = 0;
	struct piece first = {.len = 100000, .fill = 4};
	OK(put_piece(f, &first));
	pieces.count = 1;
	int fd = open_file("full", "ballast");
	assert_int_equal(fallocate(fd, 0, 0, 1 << 20), 0);
	(void)close(fd);
	fill_up(f, &frames, &pieces);
	l.clean = false;
	OK(files_set_local(f, &l)); /* has room of its own */
	assert_false(files_broken(f));
	OK(files_sync(f));
	OK(files_pack_sync(f));
	check_piece(f, &first);
	assert_int_equal(unlink(ballast), 0);
	OK(append(f, 300, 'x', &at));
	OK(put_piece(f, &first));
	files_close(f);
	f = open_store("full");
	assert_false(files_local(f)->clean);
	assert_int_equal(walk(f, &cut), frames.count + 1);
	assert_int_equal(cut, 0);
	OK(files_pack_walk(f, 0, count_piece, &s, &end));
	assert_int_equal(s.count, pieces.count + 1);
	files_close(f);
	(void)umount(dir);
	free(dir);
	free(ballast);
}

static int setup(void **state)
{
	(void)state;
	report_level(REPORT_ERROR);
	return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", top, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torn_tail),       cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_unwritten_block), cmocka_unit_test(test_large_torn_frame),
		cmocka_unit_test(test_walk_from),       cmocka_unit_test(test_lock_and_versions),
		cmocka_unit_test(test_pack_tail),       cmocka_unit_test(test_pack_rot),
		cmocka_unit_test(test_threads),         cmocka_unit_test(test_group_commit),
		cmocka_unit_test(test_failed_sync),     cmocka_unit_test(test_data_trim),
		cmocka_unit_test(test_data_roll),       cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
