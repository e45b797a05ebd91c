// SPDX-License-Identifier: MIT
/*
 * meet.c - from a handshake to a session, and which of two sessions stays
 *
 * One session for each pair of devices and folder.  The side that accepts decides, when the third
 * message has come, and answers with a frame, so the other is up only once that is settled:
 *  - two devices that dial each other at once have both sent a third message and both wait: the
 *    one with the lower id refuses the other's, the one with the higher id gives up its own;
 *  - a dialler that finds a session when the second message comes says no more;
 *  - the lower one refuses while a session it dialled itself is younger than a handshake may last,
 *    since the third message may then be of a dial that its sender has given up;
 *  - any other session that was there is replaced: its other end would not dial if it still had it.
 *
 * Loop thread; called by conn.c.
 */
#include "sys/link_impl.h"
#include <stdlib.h>

/* Handshake messages are smaller than any socket buffer: written whole, or the peer is lost. */
enum err meet_write(struct conn *c)
{
	struct folder_id id = {{0}};
	struct wr w = {0};

	if (c->dialled && !link_folder_id(c->link, c->folder, &id))
		return fail(ERR_CANCELED);
	enum err e = hello_write(c->hello, &id, c->joining, &w);
	if (!e) {
		uv_buf_t buf = uv_buf_init((char *)w.at, (unsigned)w.len);
		int r = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
		e = r == (int)w.len ? ERR_OK : fail(r < 0 ? link_err(r) : ERR_IO);
		atomic_fetch_add_explicit(&c->sent, w.len, memory_order_relaxed);
	}
	wr_fini(&w);
	return e;
}

/* A session is there: our own dials to that device are superfluous. */
static void give_up_dials(struct conn *c)
{
	struct link *l = c->link;
	struct conn *next;

	for (struct conn *o = l->conns; o; o = next) {
		next = o->next;
		bool dial = o->dialled && o->state < CONN_UP && o->folder == c->folder &&
			    memcmp(o->who.b, c->who.b, sizeof(c->who.b)) == 0;
		if (dial && o != c)
			conn_end(o, ERR_OK);
	}
}

static enum err come_up(struct conn *c)
{
	struct link *l = c->link;
	uint8_t hash[NOISE_HASH];
	uint8_t *room = realloc(c->read, CONN_READ_UP);

	if (!room)
		return fail(ERR_NOMEM);
	c->read = room;
	c->read_room = CONN_READ_UP;
	memcpy(hash, c->hello->noise.h, NOISE_HASH);
	c->hello = hello_free(c->hello);
	l->half_open -= conn_half_open(c);
	c->state = CONN_UP;
	c->announced = true;
	c->born_ms = c->heard_ms = c->pinged_ms = uv_now(l->loop);
	c->out.ping_due = true; /* the answer the dialler waits for, and a first round trip */
	pthread_mutex_lock(&l->lock);
	c->open = true;
	pthread_mutex_unlock(&l->lock);
	struct keep *k = c->keep;
	c->keep = NULL;
	if (k)
		dial_over(l, k, c->addr, ERR_OK);
	give_up_dials(c);
	link_arm(l, c->born_ms + MIN(l->times.keepalive_ms, l->times.dead_ms));
	conn_flush(c);
	struct link_up up = {.session = c->id,
			     .folder = c->folder,
			     .who = c->who,
			     .dialled = c->dialled,
			     .joining = c->joining,
			     .addr = c->addr};
	memcpy(up.hash, hash, sizeof(up.hash));
	l->ops.up(l->ops.arg, &up);
	return ERR_OK;
}

static bool lower(const struct link *l, const struct device_id *than)
{
	return memcmp(l->self.device.b, than->b, sizeof(than->b)) < 0;
}

/* The accepting side's decision, see above: whether to go on with c. */
static bool settle(struct conn *c)
{
	struct link *l = c->link;
	struct conn *old = conn_find(l, c->folder, &c->who);
	uint64_t now = uv_now(l->loop);

	if (old && old->dialled && lower(l, &c->who) && now - old->born_ms < l->times.half_open_ms)
		return false;
	for (struct conn *o = l->conns; o; o = o->next) {
		bool crossing = o->state == CONN_WAITING && o->folder == c->folder &&
				memcmp(o->who.b, c->who.b, sizeof(c->who.b)) == 0;
		if (crossing && lower(l, &c->who))
			return false;
	}
	if (old)
		conn_end(old, ERR_CLOSED);
	return true;
}

static enum err third_came(struct conn *c)
{
	struct link *l = c->link;
	bool found = false;

	c->who = c->hello->peer;
	c->joining = c->hello->joining;
	if (memcmp(c->who.b, l->self.device.b, sizeof(c->who.b)) == 0)
		return fail(ERR_REFUSED); /* ourselves, by a name or address of ours */
	pthread_mutex_lock(&l->lock);
	for (size_t k = 0; !found && k < LINK_FOLDERS_MAX; k++) {
		const struct link_folder_entry *f = &l->folders[k];
		found = f->used && hello_names(c->hello, &f->id);
		c->folder = f->no;
	}
	pthread_mutex_unlock(&l->lock);
	if (!found)
		return fail(ERR_REFUSED);
	uint32_t folder = c->folder;
	if (!l->ops.authorise(l->ops.arg, folder, &c->who, c->joining))
		return fail(ERR_REFUSED);
	if (!settle(c))
		return fail(ERR_EXIST);
	struct noise_cipher *in = &c->in.cipher, *out = &c->out.cipher;
	uint8_t hash[NOISE_HASH];
	noise_split(&c->hello->noise, out, in, hash);
	return come_up(c);
}

static enum err second_came(struct conn *c)
{
	struct link *l = c->link;
	uint8_t hash[NOISE_HASH];

	if (memcmp(c->hello->peer.b, c->who.b, sizeof(c->who.b)) != 0)
		return fail(ERR_FORGED); /* not the device we want */
	for (struct conn *o = l->conns; o; o = o->next)
		if (o != c && o->folder == c->folder &&
		    (o->state == CONN_UP || o->state == CONN_WAITING) &&
		    memcmp(o->who.b, c->who.b, sizeof(c->who.b)) == 0)
			return fail(ERR_EXIST); /* another way to it was faster */
	enum err e = meet_write(c);
	if (e)
		return e;
	noise_split(&c->hello->noise, &c->out.cipher, &c->in.cipher, hash);
	c->state = CONN_WAITING;
	return ERR_OK;
}

static bool knocks(struct conn *c, struct bytes message)
{
	struct link *l = c->link;

	pthread_mutex_lock(&l->lock);
	for (size_t k = 0; !c->knocked && k < LINK_FOLDERS_MAX; k++)
		c->knocked = l->folders[k].used && hello_knocks(message, &l->folders[k].id);
	pthread_mutex_unlock(&l->lock);
	return c->knocked;
}

enum err meet_came(struct conn *c, struct bytes message)
{
	if (!c->dialled && !c->knocked && !knocks(c, message))
		return fail(ERR_REFUSED); /* a stranger: not even an answer */
	enum err e = hello_read(c->hello, message);
	if (e)
		return e;
	if (c->dialled)
		return second_came(c);
	return hello_done(c->hello) ? third_came(c) : meet_write(c);
}

/*
 * The first frame says that the other side has chosen this connection.  come_up() makes the read
 * buffer larger, so it goes before anything points into it.
 */
enum err meet_first_frame(struct conn *c, size_t at, size_t len)
{
	struct bytes message;
	bool ours;
	enum err e = flow_take(&c->in, c->read + at, len, &message);

	if (e)
		return e;
	if (message.len == 0)
		return fail(ERR_MALFORMED); /* it is a ping: short */
	e = conn_ping_came(c, message, &ours);
	if (!e && !ours)
		e = fail(ERR_MALFORMED);
	if (e)
		return e;
	return come_up(c);
}
