// SPDX-License-Identifier: MIT
/*
 * catchup.c - two devices that were apart: how long until both show the same tree
 *
 *	catchup [--dir SCRATCH] [--changes N] [--common N]
 *
 * Two replicas (twins.h) with N files in common, each then served by a loop of its own as the
 * daemon does: a thread, a listener on loopback, Noise sessions.  While they are apart each side
 * makes N changes, half of them new files, the rest renames, changes of mode and removals of what
 * they had in common; the two meet at some of the same files.  Then one dials the other.  What is
 * told is the time from there until each has applied all that the other published; that the trees
 * are equal is checked after.
 */
#include "figure.h"
#include "sys/loop.h"
#include "sys/rand.h"
#include "twins.h"
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PER_DIR 1000
#define LIMIT_NS UINT64_C(600000000000)

struct device {
	struct loop *loop;
	struct folder *folder;
	struct loop_config config;
	pthread_t thread;
	sem_t ready;
};
struct common { /* a file both know */
	struct inode_id dir, id;
};

static void must(enum err e, const char *what)
{
	if (!e)
		return;
	fprintf(stderr, "catchup: %s: %s\n", what, err_text(e));
	exit(1);
}

/* ---- devices ---- */

static void *serve(void *arg)
{
	struct device *d = arg;

	must(loop_new(&d->config, &d->loop), "start a loop");
	must(loop_listen(d->loop, "127.0.0.1:0"), "listen");
	(void)sem_post(&d->ready);
	loop_run(d->loop);
	return NULL;
}

static void device_start(struct device *d, const struct sign_pair *keys, const char *name,
			 const char *store)
{
	const struct loop_folder f = {.name = "bench", .store = store, .read_timeout_ms = 1000};

	d->config = (struct loop_config){.device = keys, .device_name = name, .announce = ""};
	if (sem_init(&d->ready, 0, 0) || pthread_create(&d->thread, NULL, serve, d))
		figure_die("a thread");
	while (sem_wait(&d->ready))
		;
	must(loop_open(d->loop, &f, &d->folder), "open the folder");
}

static void device_stop(struct device *d)
{
	loop_leave(d->loop, d->folder);
	loop_end(d->loop);
	(void)pthread_join(d->thread, NULL);
	loop_free(d->loop);
}

struct dial {
	struct device *from, *to;
};

static enum err dial_job(void *arg)
{
	const struct dial *d = arg;
	char addr[64];

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", loop_port(d->to->loop));
	return link_keep(host_link(d->from->folder->host), d->from->folder->no,
			 &d->to->config.device->pub, addr, false);
}

/* ---- changes ---- */

static void set_mode(struct host *h, struct inode_id i, uint32_t mode)
{
	struct event ev = {.kind = EV_SETATTR};

	ev.setattr.inode = i;
	ev.setattr.set_mode = true;
	ev.setattr.mode = mode;
	twins_step(h, &ev);
}

static void unlink_one(struct host *h, struct inode_id dir, const char *name)
{
	struct event ev = {.kind = EV_UNLINK};

	ev.name.dir = dir;
	ev.name.name = bytes_text(name);
	twins_step(h, &ev);
}

/* The k-th change of a side; at: the next of the common files. */
static void change(struct host *h, const char *who, uint32_t k, const struct common *c, uint32_t at)
{
	char name[40], to[40];

	snprintf(name, sizeof(name), "common-%u", at);
	snprintf(to, sizeof(to), "%s-%u", who, k);
	if (k % 6 == 1)
		twins_rename(h, &(struct place){c->dir, bytes_text(name)},
			     &(struct place){c->dir, bytes_text(to)});
	else if (k % 6 == 3)
		set_mode(h, c->id, 0600);
	else
		unlink_one(h, c->dir, name);
}

static void changes(struct host *h, const char *who, uint32_t count, const struct common *c,
		    uint32_t common)
{
	struct inode_id dir = INODE_ROOT;
	char name[40];

	/* one goes up through the common files, the other down: their ends overlap */
	bool up = strcmp(who, "first") == 0;
	uint32_t used = 0;
	for (uint32_t k = 0; k < count; k++) {
		if (k % PER_DIR == 0) {
			snprintf(name, sizeof(name), "%s-dir-%u", who, k / PER_DIR);
			dir = twins_make(h, INODE_ROOT, name, TYPE_DIR);
		}
		if (k % 2 && used < common) {
			uint32_t at = up ? used : common - 1 - used;
			change(h, who, k, &c[at], at);
			used++;
			continue;
		}
		snprintf(name, sizeof(name), "%s-file-%u", who, k);
		(void)twins_make(h, dir, name, TYPE_FILE);
	}
}

/* ---- the run ---- */

static struct common *make_common(struct twins *t, uint32_t count)
{
	struct common *c = calloc(count + 1, sizeof(*c));
	struct twins_messages m = {0};
	struct inode_id dir = INODE_ROOT;
	char name[40];

	if (!c)
		figure_die("memory");
	for (uint32_t k = 0; k < count; k++) {
		if (k % PER_DIR == 0) {
			snprintf(name, sizeof(name), "dir-%u", k / PER_DIR);
			dir = twins_make(t->a, INODE_ROOT, name, TYPE_DIR);
		}
		snprintf(name, sizeof(name), "common-%u", k);
		c[k] = (struct common){dir, twins_make(t->a, dir, name, TYPE_FILE)};
	}
	twins_take(t, &m);
	twins_give(t, &m);
	twins_messages_fini(&m);
	return c;
}

static void publish_all(struct host *h)
{
	if (!host_settle(h, 60000)) {
		fprintf(stderr, "catchup: a device does not come to rest\n");
		exit(1);
	}
}

static struct vector *applied(struct host *h)
{
	host_lock(h);
	const struct vector *v = node_vector(host_node(h));
	struct vector *copy = vector_new(v ? v->at : NULL, v ? v->count : 0);
	host_unlock(h);
	if (!copy)
		figure_die("memory");
	return copy;
}

static bool caught_up(struct host *h, const struct vector *all)
{
	host_lock(h);
	bool is = vector_covers(node_vector(host_node(h)), all);
	host_unlock(h);
	return is;
}

static void run(const char *scratch, uint32_t count, uint32_t common)
{
	static struct twins t;
	static struct device a, b;
	struct dial dial = {&b, &a};

	twins_init(&t, scratch);
	struct common *c = make_common(&t, common);
	twins_close(&t);
	device_start(&a, &t.device[0], "first", t.store[0]);
	device_start(&b, &t.device[1], "second", t.store[1]);
	changes(a.folder->host, "first", count, c, common);
	changes(b.folder->host, "second", count, c, common);
	publish_all(a.folder->host);
	publish_all(b.folder->host);
	struct vector *of_a = applied(a.folder->host), *of_b = applied(b.folder->host);

	uint64_t began = figure_now(), took = 0;
	must(loop_call(b.loop, dial_job, &dial), "dial");
	while (!caught_up(a.folder->host, of_b) || !caught_up(b.folder->host, of_a)) {
		const struct timespec look = {.tv_nsec = 1000000};
		nanosleep(&look, NULL);
		took = figure_now() - began;
		if (took > LIMIT_NS) {
			fprintf(stderr, "catchup: not within ten minutes\n");
			exit(1);
		}
	}
	took = figure_now() - began;
	figure_print("catch-up", (double)took / 1e9, "s");
	twins_same(a.folder->host, b.folder->host);
	printf("# catch-up: %u changes at each side, %llu inodes after\n", count,
	       (unsigned long long)twins_inodes(a.folder->host));
	vector_unref(of_a);
	vector_unref(of_b);
	device_stop(&a);
	device_stop(&b);
	twins_fini(&t);
	free(c);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
						{"changes", required_argument, NULL, 'n'},
						{"common", required_argument, NULL, 'c'},
						{NULL, 0, NULL, 0}};
	const char *scratch = "/tmp";
	uint32_t count = 100000, common = 60000;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd')
			scratch = optarg;
		else if (o == 'n')
			count = (uint32_t)strtoul(optarg, NULL, 10);
		else if (o == 'c')
			common = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	rand_init();
	run(scratch, count, common);
	return 0;
}
