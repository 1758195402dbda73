/* SPDX-License-Identifier: MIT */
/* upstream_link.c - one of the connections that an upstream keeps up (upstream.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"

static void pause_link(struct link *link, uint64_t due_us);
static void go_on(struct link *link, bool eager);

/* ---- States ---- */

#define TO(state) (1u << LINK_##state)

static const struct state_table states = {
    .what = "link",
    .state = {[LINK_IDLE] = {"idle", TO(IDLE) | TO(RESOLVING) | TO(DIALLING) | TO(UP) | TO(PAUSE) |
                                         TO(OVER)},
              [LINK_RESOLVING] = {"resolving", TO(IDLE)},
              [LINK_DIALLING] = {"dialling", TO(IDLE) | TO(UP)},
              [LINK_UP] = {"up", TO(IDLE)},
              [LINK_PAUSE] = {"pause", TO(IDLE)},
              [LINK_OVER] = {"over", 0}}};

static struct loop *loop_of(const struct link *link) {
    return link->upstream->reactor->loop;
}

static uint64_t now_us(const struct link *link) {
    return loop_now_us(loop_of(link));
}

/* The link counts as one of the backend's, whatever it was before. NULL: of none. */
static void count_for(struct link *link, struct backend *backend) {
    if (backend)
        backend->links++;
    if (link->counted)
        link->counted->links--;
    link->counted = backend;
}

static void forget_candidates(struct link *link) {
    for (int i = 0; i < link->count; i++)
        backend_release(link->candidates[i]);
    link->count = 0;
}

/* Moves the link to LINK_IDLE, from any state but LINK_OVER. */
static void give_up(struct link *link) {
    loop_timer_clear(loop_of(link), &link->timer);
    carrier_dial_cancel(&link->dial);
    if (link->session) {
        upstream_link_detach(link);
        return;
    }
    count_for(link, NULL);
    forget_candidates(link);
    if (link->state != LINK_OVER)
        upstream_link_move(link, LINK_IDLE);
}

bool upstream_link_move(struct link *link, enum link_state to) {
    if (state_move(&states, &link->state, to))
        return true;
    give_up(link);
    if (link->state == LINK_IDLE)
        pause_link(link, now_us(link) + link->upstream->config.retry_max_ms * UINT64_C(1000));
    return false;
}

/* ---- Pauses ---- */

/* While somebody waits, the link dials at least this often. */
#define EAGER_RETRY_US 500000u

/* With addresses at hand, how long the link waits for those of further names. */
#define NAMES_PATIENCE_US 1000000u

static bool waits_in_vain(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream_link_is_usable(&upstream->links[i], false))
            return false;
    return !list_is_empty(&upstream->waiters);
}

static void on_timer(struct loop_timer *timer) {
    struct link *link = container_of(timer, struct link, timer);
    bool paused = link->state == LINK_PAUSE;
    if (!upstream_link_move(link, LINK_IDLE))
        return;
    link->hasty = !paused;
    if (paused && link->upstream->backends.listed == 0)
        upstream_names_ask(link->upstream, true);
    go_on(link, paused && waits_in_vain(link->upstream));
}

static void set_timer(struct link *link, uint64_t due_us) {
    loop_timer_set(loop_of(link), &link->timer, due_us, on_timer);
}

static void pause_link(struct link *link, uint64_t due_us) {
    uint64_t soon_us = now_us(link) + backend_jittered(EAGER_RETRY_US / 1000u) * UINT64_C(1000);
    if (!list_is_empty(&link->upstream->waiters) && due_us > soon_us)
        due_us = soon_us;
    if (upstream_link_move(link, LINK_PAUSE))
        set_timer(link, due_us);
}

/* Somebody waits now: shortens long pauses. */
void upstream_hurry(struct upstream *upstream) {
    uint64_t soon_us = loop_now_us(upstream->reactor->loop) + EAGER_RETRY_US;
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (link->state == LINK_PAUSE && link->timer.due_us > soon_us)
            set_timer(link, soon_us);
    }
}

static unsigned count_in(const struct upstream *upstream, enum link_state state) {
    unsigned count = 0;
    for (int i = 0; i < upstream->link_count; i++)
        count += upstream->links[i].state == state;
    return count;
}

bool upstream_has_hope(const struct upstream *upstream) {
    return count_in(upstream, LINK_UP) + count_in(upstream, LINK_DIALLING) +
               count_in(upstream, LINK_RESOLVING) >
           0;
}

/* ---- Failures ---- */

static void note_failure(struct link *link, struct backend *backend, const char *why) {
    struct upstream *upstream = link->upstream;
    struct metrics_series *peer =
        metrics_series(&metrics_slot()->peers, upstream->config.name, NULL);
    char text[BACKEND_ERROR_SIZE];
    metrics_add(&peer->value[PEER_CONNECT_FAILURES], 1);
    snprintf(text, sizeof text, "%.319s: %.290s", backend->text, why);
    /* A gateway that stays unreachable is logged once, not at every attempt. */
    bool known = strcmp(backend->error, text) == 0;
    log_about(known ? LOG_DEBUG : LOG_WARNING,
              ABOUT(.gateway = upstream->config.name, .peer = backend->text), "%s", why);
    snprintf(link->error, sizeof link->error, "%s", text);
    backend_failed(backend, text, link->began_us, now_us(link), &upstream->config);
}

/* The attempt has failed: the link tries another address, or pauses. */
static void try_again(struct link *link) {
    struct upstream *upstream = link->upstream;
    go_on(link, false);
    if (link->state != LINK_DIALLING)
        upstream_names_doubt(upstream);
    if (!upstream_has_hope(upstream))
        upstream->ops->failed(upstream);
}

/* The link was given its session, and has no address to dial for another one. */
static void no_way_back(struct link *link) {
    upstream_link_move(link, LINK_OVER);
    link->upstream->ops->link_over(link->upstream);
}

/* ---- The session ---- */

/* After a session that has lasted so long, the pause before the next one begins small again. */
#define STABLE_US 2000000u

static uint64_t age_us(const struct upstream_session *session) {
    return loop_now_us(session->upstream->reactor->loop) - session->pump->since_us;
}

/* The link may connect again. */
static void leave_session(struct link *link) {
    link->session = NULL;
    count_for(link, NULL);
    upstream_link_move(link, LINK_IDLE);
}

void upstream_link_detach(struct link *link) {
    struct upstream_session *session = link->session;
    leave_session(link);
    upstream_session_drain(session);
}

/* The session keeps its streams, and the link connects to another address. */
static void on_silent(struct upstream_session *session, const char *why) {
    struct link *link = session->link;
    note_failure(link, session->backend, why);
    upstream_link_detach(link);
    try_again(link);
}

/* The session has ended: the link connects again, or pauses. If its peer has spoken smux, the
 * reason is told by the session, and otherwise here, once. */
static void lost(struct link *link, struct backend *backend, bool heard, const char *why) {
    if (!backend) {
        no_way_back(link);
        return;
    }
    if (heard) {
        snprintf(link->error, sizeof link->error, "%s", why);
        backend_failed(backend, why, link->began_us, now_us(link), &link->upstream->config);
    } else {
        note_failure(link, backend, why);
    }
    try_again(link);
}

#define SENT_AWAY "the gateway sends its clients away as soon as they have connected"

/* The session drains. If that happens soon after it began, again and again, there is a pause. */
static void on_goaway(struct upstream_session *session) {
    struct link *link = session->link;
    struct backend *backend = session->backend;
    bool soon = age_us(session) < STABLE_US;
    if (!backend) {
        upstream_link_detach(link);
        no_way_back(link);
        return;
    }
    bool again = soon && backend->sent_away;
    if (!soon)
        backend_lasted(backend);
    backend->sent_away = soon;
    if (again) {
        snprintf(link->error, sizeof link->error, "%s", SENT_AWAY);
        backend_failed(backend, SENT_AWAY, link->began_us, now_us(link), &link->upstream->config);
    }
    upstream_link_detach(link);
    try_again(link);
}

/* Sessions with addresses of a higher priority number are no longer needed. */
static void drain_outranked(struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (link->session && link->session->backend &&
            backends_outranked(&upstream->backends, &upstream->config, link->session->backend))
            upstream_link_detach(link);
    }
}

static void on_established(struct upstream_session *session) {
    struct link *link = session->link;
    if (session->backend && pump_has_heard(session->pump))
        backend_succeeded(session->backend);
    if (link->error[0])
        link->reconnects++;
    drain_outranked(session->upstream);
    session->upstream->ops->usable(session->upstream);
}

static void on_ended(struct upstream_session *session, bool heard, const char *why) {
    struct upstream *upstream = session->upstream;
    struct backend *backend = session->backend;
    struct link *link = session->link;
    if (link) {
        session->link = NULL;
        leave_session(link);
        if (backend && heard && age_us(session) > STABLE_US)
            backend_lasted(backend);
        lost(link, backend, heard, why);
    }
    session->backend = NULL;
    backend_release(backend);
    upstream->ops->session_ended(upstream);
}

static const struct upstream_session_ops session_ops = {
    .goaway = on_goaway, .established = on_established, .silent = on_silent, .ended = on_ended};

int upstream_link_adopt(struct link *link, struct carrier *carrier, struct backend *backend) {
    link->session = upstream_session_new(link, carrier, backend, &session_ops);
    if (!link->session)
        return -errno;
    count_for(link, backend);
    upstream_link_move(link, LINK_UP);
    return 0;
}

/* ---- Connecting ---- */

/* Every address that has failed, or has answered after another one, is left out for a time. */
static void note_failures(struct link *link) {
    for (int i = 0; i < link->count; i++) {
        const char *why = carrier_dial_why(&link->dial, i);
        if (why)
            note_failure(link, link->candidates[i], why);
    }
}

static void on_dialled(struct carrier_dial *dial, struct carrier *carrier, int error) {
    struct link *link = container_of(dial, struct link, dial);
    struct upstream *upstream = link->upstream;
    struct backend *backend = carrier ? link->candidates[dial->won] : NULL;
    note_failures(link);
    if (carrier) {
        error = upstream_link_adopt(link, carrier, backend);
        if (error)
            note_failure(link, backend, carrier_error_text(carrier, -error));
    }
    forget_candidates(link);
    if (!error) {
        if (link->state == LINK_UP)
            upstream->ops->usable(upstream);
        return;
    }
    carrier_close(carrier);
    count_for(link, NULL);
    if (upstream_link_move(link, LINK_IDLE))
        try_again(link);
}

static void dial(struct link *link) {
    struct upstream *upstream = link->upstream;
    struct carrier_place places[DIAL_ADDRESSES_MAX];
    for (int i = 0; i < link->count; i++)
        backend_use(link->candidates[i]);
    if (!upstream_link_move(link, LINK_DIALLING))
        return;
    for (int i = 0; i < link->count; i++) {
        const struct backend *backend = link->candidates[i];
        const char *server_name = backend->place.server_name;
        places[i] = (struct carrier_place){.address = &backend->place.address,
                                           .text = backend->text,
                                           .server_name = server_name[0] ? server_name : NULL};
    }
    if (upstream->config.balance != CONFIG_FIRST)
        count_for(link, link->candidates[0]);
    link->began_us = now_us(link);
    const struct carrier_dial_options options = {.places = places,
                                                 .count = link->count,
                                                 .loop = loop_of(link),
                                                 .timeout_us = upstream->config.dial_timeout_ms *
                                                               UINT64_C(1000),
                                                 .layer = &upstream->tls.layer};
    carrier_dial_start(&link->dial, &options, on_dialled);
}

static void resolve(struct link *link) {
    if (upstream_link_move(link, LINK_RESOLVING))
        set_timer(link, now_us(link) + NAMES_PATIENCE_US);
}

/* Without any address: waits for names that are being asked, or until they are asked again. */
static void wait_for_names(struct link *link) {
    const char *error = upstream_names_error(link->upstream);
    if (upstream_names_pending(link->upstream)) {
        resolve(link);
        return;
    }
    snprintf(link->error, sizeof link->error, "%s", error ? error : "");
    pause_link(link, upstream_names_due_us(link->upstream));
}

/* An idle link dials, or waits for what it needs for that. `eager`: it has paused, and somebody
 * waits. */
static void go_on(struct link *link, bool eager) {
    struct upstream *upstream = link->upstream;
    bool waits_for_more = upstream_names_pending(upstream) && !link->hasty;
    uint64_t due_us;
    if (link->state != LINK_IDLE)
        return;
    link->hasty = false;
    if (upstream->backends.listed == 0) {
        wait_for_names(link);
        return;
    }
    if (waits_for_more) {
        resolve(link);
        return;
    }
    switch (backends_pick(&upstream->backends, &upstream->config, now_us(link),
                          count_in(upstream, LINK_PAUSE), eager, link->candidates,
                          DIAL_ADDRESSES_MAX, &link->count, &due_us)) {
    case BACKENDS_SOME:
        dial(link);
        break;
    case BACKENDS_LATER:
        pause_link(link, due_us);
        break;
    case BACKENDS_ENOUGH:
        break;
    }
}

void upstream_link_connect(struct link *link) {
    if (link->upstream->config.n_addresses == 0) {
        no_way_back(link);
        return;
    }
    upstream_names_ask(link->upstream, false);
    go_on(link, false);
}

void upstream_start_links(struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state == LINK_IDLE)
            upstream_link_connect(&upstream->links[i]);
}

void upstream_link_stop(struct link *link) {
    if (link->state == LINK_OVER)
        return;
    give_up(link);
    upstream_link_move(link, LINK_OVER);
}

/* ---- What names report ---- */

void upstream_take_addresses(struct upstream *upstream) {
    bool any = backends_any(&upstream->backends, loop_now_us(upstream->reactor->loop));
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (link->session && link->session->backend && !backend_is_listed(link->session->backend))
            upstream_link_detach(link);
        if (link->state == LINK_RESOLVING || (link->state == LINK_PAUSE && any)) {
            loop_timer_clear(loop_of(link), &link->timer);
            upstream_link_move(link, LINK_IDLE);
        }
    }
    upstream_start_links(upstream);
    if (!upstream_has_hope(upstream))
        upstream->ops->failed(upstream);
}
