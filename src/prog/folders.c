// SPDX-License-Identifier: MIT
/*
 * folders.c - what the daemon does with whole folders
 *
 * A folder that is being created or joined has a file ".new-NAME" beside its store; the next start
 * removes a store that still has one, so that what did not come to an end leaves nothing behind.
 *
 * I1  a store with a ".new-" file is nobody's: no other device has accepted anything of it, or
 *     (a join that was cut short) what it accepted was only our key
 * I2  f->mount is set and cleared under the loop's lock; whoever clears it stops the mount
 */
#include "prog/folders.h"
#include "sys/clock.h"
#include "sys/rand.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_MS 20000
#define CLOSE_MS 5000
#define READ_TIMEOUT_S 20 /* as in conf.c, for folders without a section */
#define KEEP_VERSIONS_DAYS 30

struct mounted {
	struct daemon *d;
	struct folder *f;
	struct mount *m;
	bool gone; /* unmounted: to be stopped */
};

static enum exits say(struct folders_say *s, enum exits code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static enum exits say(struct folders_say *s, enum exits code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(s->text, sizeof(s->text), format, args);
	va_end(args);
	return code;
}

/* ---- stores ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void store_remove(const char *store)
{
	if (nftw(store, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		report(REPORT_WARN, "cannot remove %s: %s", store, strerror(errno));
}

static enum err store_path(const struct daemon *d, const char *name, char ret[PATHS_MAX])
{
	const struct conf_folder *c = conf_folder(&d->conf, name);

	if (c && c->store[0]) {
		(void)snprintf(ret, PATHS_MAX, "%s", c->store);
		return ERR_OK;
	}
	return paths_store(&d->paths, name, ret, PATHS_MAX);
}

/* The file that says that a store is not finished. */
static enum err marker_path(const struct daemon *d, const char *name, char ret[PATHS_MAX])
{
	int n = snprintf(ret, PATHS_MAX, "%s/folders/.new-%s", d->paths.data, name);

	return n < PATHS_MAX ? ERR_OK : fail(ERR_NAMETOOLONG);
}

static enum exits marker_make(struct daemon *d, const char *name, struct folders_say *s)
{
	char path[PATHS_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/folders", d->paths.data);
	enum err e = paths_make(path);

	if (!e)
		e = marker_path(d, name, path);
	if (e)
		return say(s, EXIT_FAILED, "cannot make %s: %s", path, err_text(e));
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return say(s, errno == ENOSPC ? EXIT_NO_SPACE : EXIT_FAILED, "cannot make %s: %s",
			   path, strerror(errno));
	(void)close(fd);
	return EXIT_DONE;
}

static void marker_remove(struct daemon *d, const char *name)
{
	char path[PATHS_MAX];

	if (!marker_path(d, name, path) && unlink(path) < 0 && errno != ENOENT)
		report(REPORT_WARN, "cannot remove %s: %s", path, strerror(errno));
}

static void undo(struct daemon *d, const char *name, const char *store)
{
	store_remove(store);
	marker_remove(d, name);
}

/* What the configuration says of a folder, or the defaults. */
static void settings(const struct daemon *d, const char *name, struct loop_folder *ret)
{
	const struct conf_folder *c = conf_folder(&d->conf, name);

	ret->read_timeout_ms = (c ? c->read_timeout_s : READ_TIMEOUT_S) * 1000;
	ret->keep_ms = (c ? c->keep_versions_days : KEEP_VERSIONS_DAYS) * INT64_C(86400000);
	ret->brake = !c || c->brake;
}

/* ---- start and end ---- */

static void open_one(struct daemon *d, const char *name)
{
	char marker[PATHS_MAX], store[PATHS_MAX];
	struct folder *f;

	if (store_path(d, name, store) || marker_path(d, name, marker))
		return;
	if (access(marker, F_OK) == 0) { /* I1 */
		report(REPORT_WARN, "%s: was never finished, and is removed", name);
		undo(d, name, store);
		return;
	}
	if (access(store, F_OK) < 0)
		return;
	struct loop_folder lf = {.name = name, .store = store};

	settings(d, name, &lf);
	enum err e = loop_open(d->loop, &lf, &f);

	if (e) {
		d->unopened++;
		report(REPORT_ERROR, "folder %s cannot be opened (%s): %s", name, store,
		       err_text(e));
		return;
	}
	report(REPORT_INFO, "folder %s is open", name);
	loop_put(d->loop, f);
}

void folders_open_all(struct daemon *d)
{
	char path[PATHS_MAX + 16];
	struct dirent *e;

	(void)snprintf(path, sizeof(path), "%s/folders", d->paths.data);
	DIR *dir = opendir(path);

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && conf_folder_name_ok(e->d_name))
			open_one(d, e->d_name);
	if (dir)
		(void)closedir(dir);
	for (size_t i = 0; i < d->conf.folder_count; i++)
		if (d->conf.folders[i].store[0])
			open_one(d, d->conf.folders[i].name);
}

static struct mounted *mounted_take(struct daemon *d, struct folder *f)
{
	loop_lock(d->loop);
	struct mounted *m = f->mount;

	f->mount = NULL; /* I2 */
	loop_unlock(d->loop);
	return m;
}

static void mounted_end(struct mounted *m)
{
	mount_stop(m->m);
	loop_put(m->d->loop, m->f);
	free(m);
}

void folders_close_all(struct daemon *d)
{
	struct folder *f;

	(void)pthread_mutex_lock(&d->mutex);
	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		struct mounted *m = mounted_take(d, f);

		if (m)
			mounted_end(m);
		if (!host_settle(f->host, CLOSE_MS))
			report(REPORT_INFO,
			       "%s: not everything could be sealed and sent; the rest "
			       "follows after the next start",
			       f->name);
		loop_put(d->loop, f);
	}
	while ((f = loop_at(d->loop, 0)))
		loop_leave(d->loop, f);
	d->closed = true;
	(void)pthread_mutex_unlock(&d->mutex);
}

/* ---- create ---- */

static enum exits name_free(struct daemon *d, const char *name, struct folders_say *s)
{
	char store[PATHS_MAX];

	if (!conf_folder_name_ok(name))
		return say(s, EXIT_USAGE,
			   "\"%s\" cannot be the name of a folder: use 1 to %d letters, digits, "
			   "'.', '_' or '-', the first not '.'",
			   name, CONF_FOLDER_NAME_MAX);
	if (store_path(d, name, store))
		return say(s, EXIT_FAILED, "%s: path too long", name);
	if (access(store, F_OK) == 0)
		return say(s, EXIT_FAILED,
			   "there is a folder \"%s\" on this device already: choose another name, "
			   "or mount it with: peerfs mount %s",
			   name, name);
	return EXIT_DONE;
}

static enum exits create(struct daemon *d, const char *name, struct folders_say *s)
{
	char store[PATHS_MAX];
	struct folder *f;
	enum exits x = name_free(d, name, s);

	if (x || store_path(d, name, store))
		return x;
	x = marker_make(d, name, s);
	if (x)
		return x;
	enum err e = host_found(store, &d->device, d->name, name);
	struct loop_folder lf = {.name = name, .store = store};

	settings(d, name, &lf);
	if (!e)
		e = loop_open(d->loop, &lf, &f);
	if (e) {
		undo(d, name, store);
		return say(s, e == ERR_NOSPC ? EXIT_NO_SPACE : EXIT_FAILED,
			   "cannot create \"%s\" in %s: %s", name, store, err_text(e));
	}
	marker_remove(d, name);
	loop_put(d->loop, f);
	return EXIT_DONE;
}

enum exits folders_create(struct daemon *d, const char *name, struct folders_say *s)
{
	(void)pthread_mutex_lock(&d->mutex);
	enum exits x = create(d, name, s);

	(void)pthread_mutex_unlock(&d->mutex);
	return x;
}

/* ---- join ---- */

struct joining {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool done;
	enum err err;
	char text[128];
};

static void on_joined(void *arg, enum err err, const char *text)
{
	struct joining *j = arg;

	(void)pthread_mutex_lock(&j->mutex);
	if (!j->done) {
		j->done = true;
		j->err = err;
		(void)snprintf(j->text, sizeof(j->text), "%s", text);
		(void)pthread_cond_broadcast(&j->changed);
	}
	(void)pthread_mutex_unlock(&j->mutex);
}

static void joining_init(struct joining *j)
{
	pthread_condattr_t attr;

	memset(j, 0, sizeof(*j));
	(void)pthread_mutex_init(&j->mutex, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&j->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

/* ERR_TIMEDOUT, or what came of it. */
static enum err joining_wait(struct joining *j)
{
	struct timespec until;
	int r = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += JOIN_MS / 1000;
	(void)pthread_mutex_lock(&j->mutex);
	while (!j->done && r == 0)
		r = pthread_cond_timedwait(&j->changed, &j->mutex, &until);
	enum err e = j->done ? j->err : fail(ERR_TIMEDOUT);

	(void)pthread_mutex_unlock(&j->mutex);
	return e;
}

struct keeping {
	struct loop *l;
	struct folder *f;
	const struct invitation *by;
};

/* From now on as a member. */
static enum err keep_job(void *arg)
{
	struct keeping *k = arg;

	return link_keep(host_link(k->f->host), k->f->no, &k->by->admin, k->by->addr, false);
}

static enum exits join_failed(const struct invitation *i, const struct joining *j, enum err e,
			      struct folders_say *s)
{
	if (e == ERR_TIMEDOUT)
		return say(s, EXIT_TIME,
			   "no answer from the device that invited, at %s: is its daemon running "
			   "and the address reachable?  Then join again",
			   i->addr);
	if (e == ERR_REFUSED)
		return say(s, EXIT_REFUSED, "the invitation was refused: %s; ask for a new one",
			   j->text);
	return say(s, exits_of(e), "cannot join \"%s\": %s", i->folder_name, err_text(e));
}

static enum exits join(struct daemon *d, const struct invitation *i, const char *name,
		       struct folders_say *s)
{
	struct host_join hj = {.joining = true};
	char store[PATHS_MAX];
	struct joining *j = malloc(sizeof(*j));
	struct folder *f = NULL;

	if (!j || store_path(d, name, store)) {
		free(j);
		return say(s, EXIT_FAILED, "out of memory");
	}
	joining_init(j);
	memcpy(hj.secret, i->secret, sizeof(hj.secret));
	struct loop_folder lf = {.name = name,
				 .store = store,
				 .join = &hj,
				 .by = i,
				 .on_joined = on_joined,
				 .arg = j};

	settings(d, name, &lf);
	enum err e = host_prepare(store, &d->device, &i->folder, name);

	if (!e)
		e = loop_open(d->loop, &lf, &f);
	if (!e)
		e = joining_wait(j);
	if (!e) {
		struct keeping k = {d->loop, f, i};

		e = loop_call(d->loop, keep_job, &k);
		loop_announce(d->loop, f);
	}
	enum exits x = EXIT_DONE;

	if (e) {
		if (f)
			loop_leave(d->loop, f);
		undo(d, name, store);
		x = join_failed(i, j, e, s);
	} else {
		marker_remove(d, name);
		loop_put(d->loop, f);
	}
	free(j); /* on_joined() comes once, or not at all after loop_leave() */
	return x;
}

static bool folder_of(struct daemon *d, const struct folder_id *id, char name[LOCAL_TEXT_MAX + 1])
{
	struct folder *f;

	for (uint32_t i = 0; (f = loop_at(d->loop, i)); i++) {
		bool same = memcmp(&f->id, id, sizeof(*id)) == 0;

		if (same)
			(void)snprintf(name, LOCAL_TEXT_MAX + 1, "%s", f->name);
		loop_put(d->loop, f);
		if (same)
			return true;
	}
	return false;
}

static enum exits join_checked(struct daemon *d, const char *text, const char *local,
			       char name[MEMBER_NAME_MAX + 1], struct folders_say *s)
{
	char had[LOCAL_TEXT_MAX + 1];
	struct invitation i;
	enum err e = invitation_parse(text, &i);

	if (e == ERR_VERSION)
		return say(s, EXIT_VERSION,
			   "the invitation is of a newer version of peerfs: "
			   "upgrade this device");
	if (e)
		return say(s, EXIT_REFUSED,
			   "this is not an invitation, or it is damaged: copy the "
			   "whole line that \"peerfs invite\" printed");
	if (i.expires_ms && i.expires_ms < clock_wall_ms())
		return say(s, EXIT_REFUSED, "the invitation has expired: ask for a new one");
	if (folder_of(d, &i.folder, had))
		return say(s, EXIT_FAILED,
			   "this device is in that folder already, as \"%s\": peerfs mount %s", had,
			   had);
	(void)snprintf(name, MEMBER_NAME_MAX + 1, "%s", local ? local : i.folder_name);
	enum exits x = name_free(d, name, s);

	if (x) {
		size_t len = strlen(s->text);

		(void)snprintf(s->text + len, sizeof(s->text) - len,
			       "; or join under another name with --name");
		return x;
	}
	x = marker_make(d, name, s);
	return x ? x : join(d, &i, name, s);
}

enum exits folders_join(struct daemon *d, const char *invitation, const char *local,
			char name[MEMBER_NAME_MAX + 1], struct folders_say *s)
{
	(void)pthread_mutex_lock(&d->mutex);
	enum exits x = join_checked(d, invitation, local, name, s);

	(void)pthread_mutex_unlock(&d->mutex);
	return x;
}

/* ---- invite ---- */

static enum exits no_folder(const char *name, struct folders_say *s)
{
	return say(s, EXIT_NO_SUCH,
		   "there is no folder \"%s\" on this device: peerfs status lists "
		   "them",
		   name);
}

enum exits folders_invite(struct daemon *d, const char *name, enum role role, int64_t seconds,
			  char text[INVITATION_TEXT_MAX], struct folders_say *s)
{
	struct folder *f = loop_get(d->loop, name);
	struct invitation i = {.role = (uint8_t)role};
	struct event ev = {.kind = EV_INVITE};

	if (!f)
		return no_folder(name, s);
	i.folder = f->id;
	i.admin = d->device.pub;
	i.expires_ms = clock_wall_ms() + seconds * 1000;
	rand_seed(i.secret);
	loop_addrs(d->loop, i.addr);
	memcpy(ev.invite.secret, i.secret, sizeof(i.secret));
	ev.invite.role = role;
	ev.invite.expires_ms = i.expires_ms;
	host_lock(f->host);
	bool admin = node_role(host_node(f->host), &d->device.pub) == ROLE_ADMIN;
	bool named = node_folder_name(host_node(f->host), i.folder_name);

	host_unlock(f->host);
	enum err e = ERR_OK;

	if (admin && named && i.addr[0])
		e = host_step(f->host, &ev);
	if (admin && named && i.addr[0] && !e)
		e = invitation_print(&i, text);
	loop_put(d->loop, f);
	if (!admin)
		return say(s, EXIT_REFUSED, "only an admin of \"%s\" may invite: ask one", name);
	if (!i.addr[0])
		return say(s, EXIT_FAILED,
			   "this device does not listen, so nobody could join: "
			   "peerfs config set device.listen ADDRESS:PORT");
	if (e || !named)
		return say(s, exits_of(e), "cannot invite: %s", err_text(e));
	return EXIT_DONE;
}

/* ---- mounts ---- */

struct reaping {
	struct daemon *d;
	char name[LOCAL_TEXT_MAX + 1];
};

/* Stop the mount of a folder if it has ended.  folders_mount() holds the mutex until it is whole.
 */
static void *reap(void *arg)
{
	struct reaping *r = arg;
	struct mounted *mine = NULL;

	(void)pthread_mutex_lock(&r->d->mutex);
	struct folder *f = r->d->closed ? NULL : loop_get(r->d->loop, r->name);

	if (f) {
		loop_lock(r->d->loop);
		struct mounted *m = f->mount;

		if (m && m->gone) {
			mine = m;
			f->mount = NULL; /* I2 */
		}
		loop_unlock(r->d->loop);
	}
	if (mine) {
		report(REPORT_INFO, "%s: unmounted from %s", r->name, mount_dir(mine->m));
		mounted_end(mine);
	}
	if (f)
		loop_put(r->d->loop, f);
	(void)pthread_mutex_unlock(&r->d->mutex);
	free(r);
	return NULL;
}

/* From a thread of the mount, which must end before the mount can be stopped. */
static void on_gone(void *arg, struct mount *mount)
{
	struct mounted *m = arg;
	struct reaping *r = malloc(sizeof(*r));
	pthread_t thread;

	(void)mount;
	loop_lock(m->d->loop);
	m->gone = true;
	loop_unlock(m->d->loop);
	if (!r)
		return; /* stopped with the daemon */
	r->d = m->d;
	(void)snprintf(r->name, sizeof(r->name), "%s", m->f->name);
	if (pthread_create(&thread, NULL, reap, r) == 0)
		(void)pthread_detach(thread);
	else
		free(r);
}

static void remember(struct daemon *d, const char *name, const char *dir)
{
	char key[CONF_TEXT], why[CONF_WHY];

	(void)snprintf(key, sizeof(key), "folder.%s.mount", name);
	if (conf_set(d->paths.config, key, dir, why, sizeof(why)))
		report(REPORT_WARN, "the mount point of %s is not remembered: %s", name, why);
}

static enum exits mount_one(struct daemon *d, struct folder *f, const char *dir, int take_fd,
			    struct folders_say *s)
{
	const struct conf_folder *c = conf_folder(&d->conf, f->name);
	struct mount_options o = {.preserve_owner = c && c->owner == CONF_OWNER_PRESERVE,
				  .uid = geteuid(),
				  .gid = getegid(),
				  .privileged = geteuid() == 0,
				  .events = !c || c->inotify == CONF_YES};
	struct mounted *m = calloc(1, sizeof(*m));

	if (!m || f->mount) {
		(void)close(take_fd);
		free(m);
		return say(s, EXIT_FAILED, "\"%s\" is mounted already: peerfs status says where",
			   f->name);
	}
	m->d = d;
	m->f = f;
	loop_lock(d->loop);
	f->users++; /* the mount's */
	f->mount = m;
	loop_unlock(d->loop);
	struct mount *served = NULL;
	enum err e = mount_serve(f->host, take_fd, dir, &o, on_gone, m, &served);

	loop_lock(d->loop);
	m->m = served; /* folders_where() may be looking */
	loop_unlock(d->loop);
	if (e) {
		(void)mounted_take(d, f);
		loop_put(d->loop, f);
		free(m);
		return say(s, EXIT_FAILED, "cannot serve %s: %s", dir, err_text(e));
	}
	report(REPORT_INFO, "%s: mounted on %s", f->name, dir);
	remember(d, f->name, dir);
	return EXIT_DONE;
}

enum exits folders_mount(struct daemon *d, const char *name, const char *dir, int take_fd,
			 struct folders_say *s)
{
	struct folder *f = loop_get(d->loop, name);

	if (!f) {
		(void)close(take_fd);
		return no_folder(name, s);
	}
	(void)pthread_mutex_lock(&d->mutex);
	enum exits x = mount_one(d, f, dir, take_fd, s);

	(void)pthread_mutex_unlock(&d->mutex);
	loop_put(d->loop, f);
	return x;
}

static enum exits poke_one(struct daemon *d, struct folder *f, int take_fd,
			   char nonce[MOUNT_NONCE_TEXT], struct folders_say *s)
{
	loop_lock(d->loop);
	struct mounted *m = f->mount;
	struct mount *mount = m && !m->gone ? m->m : NULL; /* the mutex keeps it */

	loop_unlock(d->loop);
	if (!mount) {
		(void)close(take_fd);
		return say(s, EXIT_NO_SUCH, "\"%s\" is not mounted: peerfs mount %s", f->name,
			   f->name);
	}
	enum err e = mount_poke(mount, take_fd, nonce);

	if (e == ERR_NOTSUP)
		return say(s, EXIT_REFUSED,
			   "events are switched off: peerfs config set folder.%s.inotify yes, "
			   "restart the daemon and mount again",
			   f->name);
	if (e == ERR_BUSY)
		return say(s, EXIT_FAILED, "\"%s\" has a peerfs-poke already", f->name);
	return e ? say(s, exits_of(e), "peerfs-poke cannot serve \"%s\": %s", f->name, err_text(e))
		 : EXIT_DONE;
}

enum exits folders_poke(struct daemon *d, const char *name, int take_fd,
			char nonce[MOUNT_NONCE_TEXT], struct folders_say *s)
{
	struct folder *f = loop_get(d->loop, name);

	if (!f) {
		(void)close(take_fd);
		return no_folder(name, s);
	}
	(void)pthread_mutex_lock(&d->mutex);
	enum exits x = poke_one(d, f, take_fd, nonce, s);

	(void)pthread_mutex_unlock(&d->mutex);
	loop_put(d->loop, f);
	return x;
}

void folders_where(struct daemon *d, struct folder *f, struct folders_where *ret)
{
	char key[LOCAL_TEXT_MAX + 32], why[CONF_WHY];

	*ret = (struct folders_where){.dir = ""};
	loop_lock(d->loop);
	struct mounted *m = f->mount;

	if (m && m->m) {
		(void)snprintf(ret->dir, PATHS_MAX, "%s", mount_dir(m->m));
		mount_counts(m->m, &ret->counts);
	}
	loop_unlock(d->loop);
	(void)snprintf(key, sizeof(key), "folder.%s.mount", f->name);
	if (conf_get(d->paths.config, key, ret->remembered, PATHS_MAX, why, sizeof(why)))
		ret->remembered[0] = 0;
}
