// SPDX-License-Identifier: MIT
/* linkworld.c - see linkworld.h; the owners of both sides, who check what every owner may rely on
 */
#include "linkworld.h"

/* ---- the owner ---- */

static bool on_authorise(void *arg, uint32_t folder, const struct device_id *who, bool joining)
{
	struct side *s = arg;

	(void)who;
	assert_int_equal(folder, s->folder);
	s->asked++;
	s->asked_joining = joining;
	return !s->refuse;
}

uint8_t *world_pattern(uint8_t kind, size_t len)
{
	uint8_t *m = malloc(len);

	assert_non_null(m);
	m[0] = kind;
	for (size_t k = 1; k < len; k++)
		m[k] = (uint8_t)(k * 31 + kind);
	return m;
}

static bool is_pattern(struct bytes m)
{
	for (size_t k = 1; k < m.len; k++)
		if (m.at[k] != (uint8_t)(k * 31 + m.at[0]))
			return false;
	return true;
}

static void on_up(void *arg, const struct link_up *up)
{
	struct side *s = arg;

	assert_int_equal(up->folder, s->folder);
	assert_non_null(strchr(up->addr, ':'));
	s->ups++;
	assert_int_equal(s->ups,
			 s->downs + 1); /* one session at a time, each ended before the next */
	s->session = up->session;
	s->up_who = up->who;
	s->last_dialled = up->dialled;
	s->last_joining = up->joining;
	memcpy(s->hash, up->hash, NOISE_HASH);
	if (s->send_on_up)
		assert_int_equal(
			link_send(s->link, up->session, LINK_CONTROL, world_pattern(42, 10), 10),
			ERR_OK);
	if (s->close_on_up)
		link_close(s->link, up->session, ERR_REFUSED);
}

static void on_message(void *arg, uint64_t session, struct bytes m)
{
	struct side *s = arg;

	assert_int_equal(session, s->session);
	assert_int_equal(s->ups, s->downs + 1);
	if (s->messages < sizeof(s->first))
		s->first[s->messages] = m.at[0];
	s->messages++;
	s->bytes += m.len;
	s->last_len = m.len;
	s->bad += m.len < 100000 && !is_pattern(m);
	if (s->echo) {
		uint8_t *copy = malloc(m.len);
		memcpy(copy, m.at, m.len);
		assert_int_equal(link_send(s->link, session, LINK_CONTROL, copy, m.len), ERR_OK);
	}
}

static void on_down(void *arg, uint64_t session, enum err why)
{
	struct side *s = arg;

	assert_int_equal(session, s->session);
	s->downs++;
	assert_int_equal(s->ups, s->downs);
	s->down_why = why;
}

static void on_failed(void *arg, uint32_t folder, const char *addr, enum err why)
{
	struct side *s = arg;

	(void)addr;
	assert_int_equal(folder, s->folder);
	s->failures++;
	s->failure_why = why;
}

/* ---- the world ---- */

const struct link_times world_quick = {2000, 15000, 45000, 20, 200};

static void on_beat(uv_timer_t *t)
{
	(void)t;
}

void world_start(struct world *w, struct side *s, uint8_t seed_byte, uint32_t folder)
{
	uint8_t seed[32];
	const struct link_ops ops = {s, on_authorise, on_up, on_message, on_down, on_failed};

	memset(seed, seed_byte, sizeof(seed));
	sign_pair_init(&s->pair, seed);
	s->folder = folder;
	s->port = 0;
	assert_int_equal(link_new(&w->loop, &s->pair, &ops, &s->link), ERR_OK);
	link_times(s->link, &world_quick);
	assert_int_equal(link_folder(s->link, folder, &w->folder), ERR_OK);
	assert_int_equal(link_listen(s->link, "127.0.0.1:0", &s->port), ERR_OK);
	assert_true(s->port != 0);
}

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_timer_init(&w->loop, &w->beat);
	uv_timer_start(&w->beat, on_beat, 5, 5);
	memset(w->folder.b, 0xf0, sizeof(w->folder.b));
	world_start(w, &w->a, 1, FOLDER_A);
	world_start(w, &w->b, 2, FOLDER_B);
	return w;
}

void world_freed(void *arg)
{
	((struct side *)arg)->freed++;
}

void world_free(struct world *w)
{
	if (!w->a.freed)
		link_free(w->a.link, world_freed, &w->a);
	if (!w->b.freed)
		link_free(w->b.link, world_freed, &w->b);
	uv_close((uv_handle_t *)&w->beat, NULL);
	UNTIL(w, w->a.freed && w->b.freed);
	assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&w->loop), 0); /* nothing of ours is left in the loop */
	free(w);
}

void world_dial(struct side *from, const struct side *to, bool joining)
{
	char addr[64];

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", to->port);
	assert_int_equal(link_keep(from->link, from->folder, &to->pair.pub, addr, joining), ERR_OK);
}

void world_pair(struct world *w)
{
	world_dial(&w->a, &w->b, false);
	UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
}

void world_send(struct side *s, enum link_class class, uint8_t kind, size_t len)
{
	assert_int_equal(link_send(s->link, s->session, class, world_pattern(kind, len), len),
			 ERR_OK);
}
