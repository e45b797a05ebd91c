// SPDX-License-Identifier: MIT
/* test_index.c - rows in front of LMDB behave as a plain map does, whatever drains meanwhile */
#include "base/rng.h"
#include "base/wr.h"
#include "sys/index.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define OK(call) assert_int_equal((call), ERR_OK)
#define KEYS 300

static char top[] = "/tmp/peerfs-index-XXXXXX";
static pthread_mutex_t node_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic enum err commit_err;

static void lock(void *arg)
{
	(void)pthread_mutex_lock(arg);
}

static void unlock(void *arg)
{
	(void)pthread_mutex_unlock(arg);
}

static enum err before(void *arg)
{
	(void)arg;
	return commit_err;
}

static struct index *open_index(const char *dir, bool start)
{
	struct index *x;

	OK(index_open(dir, before, NULL, &x));
	index_lock_with(x, lock, unlock, &node_lock);
	if (start)
		OK(index_start(x));
	return x;
}

static char *fresh(const char *name)
{
	char *dir = malloc(200);

	assert_non_null(dir);
	(void)snprintf(dir, 200, "%s/%s", top, name);
	return dir;
}

static struct bytes number(const uint64_t *n)
{
	return (struct bytes){(const uint8_t *)n, sizeof(*n)};
}

/* Keys of different lengths, many of them prefixes of others. */
static struct bytes key_of(uint32_t n, uint8_t b[KV_KEY_MAX])
{
	size_t len = 1 + n % 7;

	if (n % 50 == 0)
		len = KV_KEY_MAX;
	memset(b, 'a' + (int)(n % 3), len);
	b[len - 1] = (uint8_t)(n / 7);
	return (struct bytes){b, len};
}

static void same_rows(struct kv *one, struct kv *other)
{
	uint8_t from[KV_KEY_MAX] = {0};
	struct bytes at = {from, 1}, k1, v1, k2, v2;
	bool beyond = false;

	for (;;) {
		enum err e = kv_next(one, at, beyond, &k1, &v1);
		assert_int_equal(e, kv_next(other, at, beyond, &k2, &v2));
		if (e == ERR_NOENT)
			return;
		OK(e);
		assert_true(bytes_equal(k1, k2) && bytes_equal(v1, v2));
		memcpy(from, k1.at, k1.len);
		at.len = k1.len;
		beyond = true;
	}
}

static void one_operation(struct rng *rng, struct kv *kv, struct kv *plain)
{
	uint8_t kb[KV_KEY_MAX], vb[5000];
	struct bytes key = key_of((uint32_t)rng_below(rng, KEYS), kb), v1, v2, k1, k2;
	size_t len = rng_below(rng, 20) ? rng_below(rng, 60) : rng_below(rng, sizeof(vb));
	enum err e;

	switch (rng_below(rng, 5)) {
	case 0:
	case 1:
		memset(vb, (int)rng_below(rng, 256), len);
		OK(kv_put(kv, key, (struct bytes){vb, len}));
		OK(kv_put(plain, key, (struct bytes){vb, len}));
		break;
	case 2:
		OK(kv_del(kv, key));
		OK(kv_del(plain, key));
		break;
	case 3:
		e = kv_get(kv, key, &v1);
		assert_int_equal(e, kv_get(plain, key, &v2));
		if (!e)
			assert_true(bytes_equal(v1, v2));
		break;
	default:
		e = kv_next(kv, key, len & 1, &k1, &v1);
		assert_int_equal(e, kv_next(plain, key, len & 1, &k2, &v2));
		if (!e)
			assert_true(bytes_equal(k1, k2) && bytes_equal(v1, v2));
		break;
	}
}

/* Random operations, with drains and reopenings at random moments, give what a plain map gives. */
static void test_same_as_a_map(void **state)
{
	struct kv *plain = kv_new_map();
	char *dir = fresh("random");
	struct index *x = open_index(dir, true);
	struct rng rng;
	uint64_t step = 0, journal, pack;

	(void)state;
	rng_init_number(&rng, 7);
	for (unsigned round = 0; round < 120; round++) {
		for (unsigned n = 0; n < 100; n++) {
			(void)pthread_mutex_lock(&node_lock);
			one_operation(&rng, index_kv(x), plain);
			step++;
			index_at(x, step, step * 2);
			(void)pthread_mutex_unlock(&node_lock);
		}
		if (rng_below(&rng, 3) == 0)
			OK(index_flush(x));
		if (rng_below(&rng, 10) == 0) {
			index_close(x);
			x = open_index(dir, true);
			index_position(x, &journal, &pack);
			assert_int_equal(journal, step);
			assert_int_equal(pack, step * 2);
		}
		(void)pthread_mutex_lock(&node_lock);
		same_rows(index_kv(x), plain);
		(void)pthread_mutex_unlock(&node_lock);
	}
	index_close(x);
	kv_free_map(plain);
	free(dir);
}

struct flusher {
	struct index *x;
	_Atomic bool stop;
};

static void *flush_always(void *arg)
{
	struct flusher *f = arg;

	while (!f->stop)
		OK(index_flush(f->x));
	return NULL;
}

/* The same while another thread drains without pause: steps and drains overlap in every way. */
static void test_same_while_draining(void **state)
{
	struct kv *plain = kv_new_map();
	char *dir = fresh("busy");
	struct flusher f = {.x = open_index(dir, true)};
	pthread_t thread;
	struct rng rng;

	(void)state;
	rng_init_number(&rng, 8);
	assert_int_equal(pthread_create(&thread, NULL, flush_always, &f), 0);
	for (unsigned n = 0; n < 20000 || (n < 20000000 && index_commits(f.x) < 3); n++) {
		(void)pthread_mutex_lock(&node_lock);
		one_operation(&rng, index_kv(f.x), plain);
		index_at(f.x, n, 0);
		(void)pthread_mutex_unlock(&node_lock);
	}
	f.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	same_rows(index_kv(f.x), plain);
	assert_true(index_commits(f.x) > 2);
	index_close(f.x);
	kv_free_map(plain);
	free(dir);
}

/* What get lent stays as it was through a commit that replaces the row, until the next call. */
static void test_borrowed_outlives_a_commit(void **state)
{
	char *dir = fresh("borrowed");
	struct index *x = open_index(dir, true);
	struct bytes key = bytes_text("k"), got;

	(void)state;
	OK(kv_put(index_kv(x), key, bytes_text("old")));
	index_at(x, 1, 0);
	OK(index_flush(x));
	OK(kv_put(index_kv(x), key, bytes_text("new")));
	OK(kv_del(index_kv(x), bytes_text("other")));
	index_at(x, 2, 0);
	OK(kv_get(index_kv(x), key, &got));
	assert_true(bytes_equal(got, bytes_text("new")));
	assert_true(index_backlog(x) > 0);
	OK(index_flush(x));
	OK(kv_get(index_kv(x), key, &got));
	assert_true(bytes_equal(got, bytes_text("new")));
	assert_int_equal(kv_get(index_kv(x), bytes_text("other"), &got), ERR_NOENT);
	index_close(x);
	free(dir);
}

/* When journal and packs cannot be made durable nothing is committed, and nothing is lost. */
static void test_nothing_before_the_journal(void **state)
{
	char *dir = fresh("order");
	struct index *x = open_index(dir, true);
	uint64_t journal, pack;
	struct bytes got;

	(void)state;
	OK(kv_put(index_kv(x), bytes_text("k"), bytes_text("v")));
	index_at(x, 5, 6);
	commit_err = ERR_NOSPC;
	assert_int_equal(index_flush(x), ERR_NOSPC);
	index_position(x, &journal, &pack);
	assert_int_equal(journal, 0);
	OK(kv_get(index_kv(x), bytes_text("k"), &got));
	OK(kv_put(index_kv(x), bytes_text("l"), bytes_text("w")));
	index_at(x, 7, 8);
	commit_err = ERR_OK;
	OK(index_flush(x));
	index_close(x);
	x = open_index(dir, false);
	index_position(x, &journal, &pack);
	assert_int_equal(journal, 7);
	assert_int_equal(pack, 8);
	OK(kv_get(index_kv(x), bytes_text("k"), &got));
	OK(kv_get(index_kv(x), bytes_text("l"), &got));
	index_close(x);
	free(dir);
}

/* Until it is killed: each step n changes a few rows, all of them functions of n. */
static void step_rows(struct kv *kv, uint64_t n)
{
	uint8_t kb[KV_KEY_MAX];
	struct rng rng;

	rng_init_number(&rng, n);
	for (unsigned k = 0; k < 3; k++) {
		struct bytes key = key_of((uint32_t)rng_below(&rng, KEYS), kb);
		if (rng_below(&rng, 3) == 0)
			OK(kv_del(kv, key));
		else
			OK(kv_put(kv, key, number(&n)));
	}
}

static void child(const char *dir, int progress)
{
	struct flusher f = {.x = open_index(dir, true)};
	pthread_t thread;
	uint64_t n, pack;

	index_position(f.x, &n, &pack);
	if (pthread_create(&thread, NULL, flush_always, &f) != 0)
		_exit(1);
	for (;;) {
		(void)pthread_mutex_lock(&node_lock);
		step_rows(index_kv(f.x), ++n);
		index_at(f.x, n, n);
		(void)pthread_mutex_unlock(&node_lock);
		if (n % 16 == 0 && write(progress, "", 1) != 1)
			_exit(1);
	}
}

/* Killed at any time, LMDB holds exactly the rows of the step that its position names. */
static void test_kill(void **state)
{
	char *dir = fresh("kill");
	struct kv *plain = kv_new_map();
	struct rng rng;
	uint64_t have = 0;

	(void)state;
	rng_init_number(&rng, 9);
	index_close(open_index(dir, false));
	for (unsigned round = 0; round < 15; round++) {
		uint64_t journal, pack, steps = 1 + rng_below(&rng, 400);
		int progress[2];
		uint8_t byte;
		assert_int_equal(pipe(progress), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child(dir, progress[1]);
		(void)close(progress[1]);
		while (steps--)
			assert_int_equal(read(progress[0], &byte, 1), 1);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		(void)close(progress[0]);
		struct index *x = open_index(dir, false);
		index_position(x, &journal, &pack);
		assert_true(journal >= have && journal == pack);
		while (have < journal)
			step_rows(plain, ++have);
		same_rows(index_kv(x), plain);
		index_close(x);
	}
	assert_true(have > 0);
	kv_free_map(plain);
	free(dir);
}

static void write_over(const char *dir, off_t at, off_t cut)
{
	char name[300];

	(void)snprintf(name, sizeof(name), "%s/data.mdb", dir);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	if (cut)
		assert_int_equal(ftruncate(fd, cut), 0);
	else
		assert_int_equal(pwrite(fd, "garbage garbage garbage garbage!", 32, at), 32);
	(void)close(fd);
}

/* An index that cannot be read says so instead of crashing: it can be rebuilt. */
static void test_damaged(void **state)
{
	char *dir = fresh("damaged");
	struct index *x = open_index(dir, true);

	(void)state;
	for (uint64_t n = 1; n < 2000; n++)
		step_rows(index_kv(x), n);
	index_at(x, 1, 1);
	index_close(x);
	write_over(dir, 0, 3 * 4096);
	assert_int_equal(index_open(dir, before, NULL, &x), ERR_DAMAGED);
	write_over(dir, 0, 0);
	write_over(dir, 16, 0);
	write_over(dir, 4096, 0);
	write_over(dir, 4096 + 16, 0);
	assert_int_equal(index_open(dir, before, NULL, &x), ERR_DAMAGED);
	free(dir);
}

static void fill(struct kv *kv, uint64_t from, uint64_t to)
{
	uint8_t value[1000] = {1};

	for (uint64_t n = from; n < to; n++) {
		struct wr w = {0};
		wr_be64(&w, n + 1);
		OK(kv_put(kv, wr_view(&w), BYTES_OF(value)));
		wr_fini(&w);
	}
}

/* On a full disk rows stay in memory and readable, and go to LMDB when there is room again. */
static void test_full_disk(void **state)
{
	char *dir = fresh("full"), ballast[300];
	struct bytes key, value;
	struct index *x;

	(void)state;
	if (mkdir(dir, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=6m") < 0) {
		free(dir);
		skip();
	}
	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
	int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fallocate(fd, 0, 0, 4 << 20), 0);
	(void)close(fd);
	x = open_index(dir, true);
	fill(index_kv(x), 0, 100);
	index_at(x, 1, 0);
	OK(index_flush(x));
	fill(index_kv(x), 100, 3000);
	index_at(x, 2, 0);
	assert_int_equal(index_flush(x), ERR_NOSPC);
	fill(index_kv(x), 3000, 3100);
	index_at(x, 3, 0);
	assert_int_equal(index_flush(x), ERR_NOSPC);
	assert_int_equal(index_commits(x), 1);
	OK(kv_next(index_kv(x), (struct bytes){(const uint8_t *)"\0\0\0\0\0\0\x0c\x1b", 8}, true,
		   &key, &value));
	assert_int_equal(key.at[7], 0x1c);
	assert_int_equal(unlink(ballast), 0);
	OK(index_flush(x));
	index_close(x);
	x = open_index(dir, false);
	uint64_t journal, pack, count = 0;
	index_position(x, &journal, &pack);
	assert_int_equal(journal, 3);
	uint8_t at[8] = {0};
	while (kv_next(index_kv(x), BYTES_OF(at), true, &key, &value) == ERR_OK) {
		memcpy(at, key.at, 8);
		count++;
	}
	assert_int_equal(count, 3100);
	index_close(x);
	(void)umount(dir);
	free(dir);
}

static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%lu", &pages) != 1 || fclose(f) != 0)
		_exit(1);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where address space is rationed, a small map of LMDB is taken, and doubled when it is full. */
static void grow_in_child(const char *dir)
{
	static uint8_t value[1 << 20];
	struct rlimit rl = {.rlim_max = RLIM_INFINITY};
	uint64_t n;

	(void)alarm(60);
	rl.rlim_cur = address_space() + (200 << 20); /* room for a map of 64 MiB, not of 256 */
	if (setrlimit(RLIMIT_AS, &rl) < 0)
		_exit(1);
	struct index *x = open_index(dir, true);
	for (n = 0; n < 80; n++) {
		uint64_t key = n;
		struct bytes got;
		value[0] = (uint8_t)n;
		OK(kv_put(index_kv(x), number(&key), BYTES_OF(value)));
		index_at(x, n, n);
		OK(index_flush(x));
		key = n / 2;
		OK(kv_get(index_kv(x), number(&key), &got));
		if (got.len != sizeof(value) || got.at[0] != key)
			_exit(2);
	}
	if (index_commits(x) != n)
		_exit(3);
	_exit(0);
}

static void test_grow(void **state)
{
	char *dir = fresh("grow");
	int status;

	(void)state;
	if (address_space() > UINT64_C(1) << 40) { /* a sanitizer's: it dies of such a limit */
		free(dir);
		skip();
	}
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		grow_in_child(dir);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(dir);
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
		cmocka_unit_test(test_same_as_a_map),
		cmocka_unit_test(test_same_while_draining),
		cmocka_unit_test(test_borrowed_outlives_a_commit),
		cmocka_unit_test(test_nothing_before_the_journal),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
