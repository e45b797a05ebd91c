/* SPDX-License-Identifier: MIT */
/*
 * poke.h - events for programs that watch the mount: what peerfs-poke is told, and who it is
 *
 * The kernel gives events only for what is done through the mount.  So a process of its own,
 * peerfs-poke(8), repeats what came from elsewhere, one order at a time, and poked.c answers its
 * requests without doing anything.  Nothing depends on it: without it events are missing.
 */
#ifndef POKE_H
#define POKE_H

#include "front/mount_impl.h"
#include "front/pokes.h"

struct poke;
#define POKE_NONCE_TEXT 80 /* room for a name that only the process knows */

enum err poke_new(struct mount *m, struct poke **ret) MUST_USE;
void poke_stop(struct poke *p); /* no more orders; joins the thread; accepts NULL */
void poke_free(struct poke *p); /* when no request is carried any more; accepts NULL */

/* Any thread, without the host's lock: news to the kernel; all news of a step were told. */
void poke_change(struct poke *p, const struct change *c);
void poke_kick(struct poke *p);

/*
 * A process offers itself over a SOCK_SEQPACKET socket (taken, also on error) that it made.  It is
 * the one as soon as a request looks nonce up in the root, by the thread id of that request: so
 * the kernel's words are compared with the kernel's words, whatever namespace anybody lives in.
 * ERR_BUSY: there is one; ERR_REFUSED: of another user, or dead; ERR_NOMEM.
 */
enum err poke_connect(struct poke *p, int take_fd, char nonce[POKE_NONCE_TEXT]) MUST_USE;
struct poke_counts {
	bool connected; /* and recognised */
	uint64_t told, failed, dropped;
};
void poke_counts(struct poke *p, struct poke_counts *ret);

/* For poked.c. */
/* Whether the request comes from the process.  p may be NULL. */
bool poke_is(struct poke *p, fuse_req_t req);
/* Whether this lookup in the root is a process making itself known; it is answered like others. */
void poke_meet(struct poke *p, fuse_req_t req, const char *name);
struct poke_current { /* the order that the process has in hand; kind 0: none */
	struct pokes_order o;
	bool stub; /* what goes is a directory that lives on elsewhere: it is played by a stub */
};
void poke_current(struct poke *p, struct poke_current *ret);

#endif
