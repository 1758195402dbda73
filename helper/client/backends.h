/* SPDX-License-Identifier: MIT */
/*
 * backends.h - the addresses of one gateway (backend.h), and which one the next session goes to.
 *
 * With balance = first it is the first that is not left out: in the order of the configuration,
 * of SRV priorities, and then of the answer (drawn by the weights of SRV records, RFC 2782).
 * With the other kinds sessions go to all of the lowest priority number that works: as many to each
 * as `connections` says.
 */
#ifndef HELPER_CLIENT_BACKENDS_H
#define HELPER_CLIENT_BACKENDS_H

#include "helper/client/backend.h"

/* The most that are listed at a time, and of one source. */
#define BACKENDS_MAX           32
#define BACKENDS_OF_SOURCE_MAX 16

struct backends {
    struct list all; /* backend_of(): listed ones in the order to try them, then the others */
    int listed;
};

void backends_init(struct backends *backends);
/* Frees all. Nobody may use any. */
void backends_fini(struct backends *backends);

/* The source has these addresses now, in this order: those of it that are not among them are gone.
 * Those for which there is no memory, or no room, are left out. Returns true if any is gone. */
bool backends_take(struct backends *backends, uint8_t source, const struct backend_place *places,
                   int count);

/* What backends_pick has found. */
enum backends_answer {
    BACKENDS_SOME,  /* try these, in this order, each some time after the one before */
    BACKENDS_LATER, /* all that another session could go to are left out until *due_us */
    BACKENDS_ENOUGH /* each has as many sessions as it should have */
};

/* Which of them the next session may go to: at most `max`, their number in *count. `paused`: how
 * many links wait already for one that is left out. `eager`: somebody waits for a session, and none
 * is better than one that is left out. */
enum backends_answer backends_pick(const struct backends *backends,
                                   const struct config_gateway *config, uint64_t now_us,
                                   unsigned paused, bool eager, struct backend **picked, int max,
                                   int *count, uint64_t *due_us);

/* Whether any is not left out. */
bool backends_any(const struct backends *backends, uint64_t now_us);

/* Whether another one than `but` (NULL: any) has not failed since it was tried last. */
bool backends_have_other(const struct backends *backends, const struct backend *but);

/* Whether sessions with `backend` are to end because one with a lower priority number works. */
bool backends_outranked(const struct backends *backends, const struct config_gateway *config,
                        const struct backend *backend);

#endif
