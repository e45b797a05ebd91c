/* SPDX-License-Identifier: MIT */
/*
 * crew.h - the threads that carry a session's requests, as few awake as the work asks for
 */
#ifndef CREW_H
#define CREW_H

#include "front/mount_impl.h"

struct crew;
struct crew_config {
	struct fuse_session *session;
	/* Once, from one of the threads, when the session ended by itself: unmounted or aborted. */
	void (*ended)(void *arg);
	void *arg;
};
enum err crew_start(const struct crew_config *c, struct crew **ret) MUST_USE;
/* Let requests in hand be answered, take no more, join all threads, free.  Accepts NULL. */
void crew_stop(struct crew *c);

#endif
