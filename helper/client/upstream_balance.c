/* SPDX-License-Identifier: MIT */
/* upstream_balance.c - which session gets the next stream (upstream.h, `balance`). */
#include <stdlib.h>
#include <sys/random.h>

#include "helper/client/upstream_internal.h"

/* A session that has failed is about to say so, and then its link pauses. */
bool upstream_link_is_usable(const struct link *link, bool cautious) {
    return link->state == LINK_UP && !smux_session_error(link->session->pump->session) &&
           (link->session->state == SESSION_ESTABLISHED || !cautious);
}

/* The lower the better: a gateway that has proved to be one, and whose address has not failed since
 * then, goes before all others. */
static int rank_of(const struct link *link) {
    const struct backend *backend = link->session->backend;
    if (link->session->state != SESSION_ESTABLISHED)
        return 2;
    return backend && backend->state != BACKEND_UP;
}

static uint64_t load_of(const struct link *link) {
    return pump_streams(link->session->pump);
}

/* A weight of 0 stands for hardly any (RFC 2782). */
static uint64_t weight_of(const struct link *link) {
    const struct backend *backend = link->session->backend;
    return backend && backend->place.weight ? backend->place.weight * UINT64_C(256) : 1;
}

static bool is_less_loaded(const struct link *a, const struct link *b) {
    return (load_of(a) + 1) * weight_of(b) < (load_of(b) + 1) * weight_of(a);
}

/* Numbers that nobody has to be unable to guess: a system call for each would cost more. */
static uint64_t random_below(struct upstream *upstream, uint64_t limit) {
    if (upstream->random == 0 &&
        getrandom(&upstream->random, sizeof upstream->random, GRND_NONBLOCK) < 0)
        upstream->random = loop_clock_us();
    upstream->random |= upstream->random == 0;
    upstream->random ^= upstream->random << 13;
    upstream->random ^= upstream->random >> 7;
    upstream->random ^= upstream->random << 17;
    return limit ? upstream->random % limit : 0;
}

static bool is_ranked(const struct link *link, bool cautious, int rank) {
    return upstream_link_is_usable(link, cautious) && rank_of(link) == rank;
}

static struct link *draw(struct upstream *upstream, bool cautious, int rank) {
    uint64_t sum = 0;
    for (int i = 0; i < upstream->link_count; i++)
        if (is_ranked(&upstream->links[i], cautious, rank))
            sum += weight_of(&upstream->links[i]);
    uint64_t at = random_below(upstream, sum);
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (!is_ranked(link, cautious, rank))
            continue;
        if (at < weight_of(link))
            return link;
        at -= weight_of(link);
    }
    return NULL;
}

static struct link *least_loaded(struct upstream *upstream, bool cautious, int rank) {
    struct link *best = NULL;
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (is_ranked(link, cautious, rank) && (!best || is_less_loaded(link, best)))
            best = link;
    }
    return best;
}

struct link *upstream_choose(struct upstream *upstream, bool cautious) {
    int rank = 3;
    for (int i = 0; i < upstream->link_count; i++) {
        const struct link *link = &upstream->links[i];
        if (upstream_link_is_usable(link, cautious) && rank_of(link) < rank)
            rank = rank_of(link);
    }
    if (rank == 3)
        return NULL;
    return upstream->config.balance == CONFIG_RANDOM ? draw(upstream, cautious, rank)
                                                     : least_loaded(upstream, cautious, rank);
}
