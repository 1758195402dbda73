/* SPDX-License-Identifier: MIT */
/* upstream_link.c - one of the connections that an upstream keeps up (upstream.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "helper/client/upstream_internal.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"

static void pause_link(struct link *link, uint32_t ms);

/* ---- States ---- */

#define TO(state) (1u << LINK_##state)

static const struct state_table states = {
    .what = "link",
    .state = {[LINK_IDLE] = {"idle", TO(IDLE) | TO(DIALLING) | TO(UP) | TO(PAUSE) | TO(OVER)},
              [LINK_DIALLING] = {"dialling", TO(IDLE) | TO(UP)},
              [LINK_UP] = {"up", TO(IDLE)},
              [LINK_PAUSE] = {"pause", TO(IDLE)},
              [LINK_OVER] = {"over", 0}}};

/* Moves the link to LINK_IDLE, from any state but LINK_OVER. */
static void give_up(struct link *link) {
    loop_timer_clear(link->upstream->reactor->loop, &link->timer);
    carrier_dial_cancel(&link->dial);
    if (link->session)
        upstream_link_detach(link);
    else if (link->state != LINK_OVER)
        upstream_link_move(link, LINK_IDLE);
}

bool upstream_link_move(struct link *link, enum link_state to) {
    if (state_move(&states, &link->state, to))
        return true;
    give_up(link);
    if (link->state == LINK_IDLE)
        pause_link(link, link->upstream->config.retry_max_ms);
    return false;
}

/* ---- Pauses ---- */

/* While somebody waits, the link dials at least this often. */
#define EAGER_RETRY_MS 500u

/* A random time in the upper half of `ms`, so that many helpers do not reconnect at once. */
static uint32_t jittered(uint32_t ms) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint32_t)loop_clock_us();
    return ms / 2 + (ms ? random % (ms / 2 + 1) : 0);
}

static void on_pause_over(struct loop_timer *timer) {
    struct link *link = container_of(timer, struct link, timer);
    if (upstream_link_move(link, LINK_IDLE))
        upstream_link_connect(link);
}

static void pause_link(struct link *link, uint32_t ms) {
    struct loop *loop = link->upstream->reactor->loop;
    if (upstream_link_move(link, LINK_PAUSE))
        loop_timer_set(loop, &link->timer, loop_now_us(loop) + (uint64_t)ms * 1000u, on_pause_over);
}

/* Somebody waits now: shortens long pauses. */
void upstream_hurry(struct upstream *upstream) {
    uint64_t soon_us = loop_now_us(upstream->reactor->loop) + EAGER_RETRY_MS * 1000u;
    for (int i = 0; i < upstream->link_count; i++) {
        struct link *link = &upstream->links[i];
        if (link->state == LINK_PAUSE && link->timer.due_us > soon_us)
            loop_timer_set(upstream->reactor->loop, &link->timer, soon_us, on_pause_over);
    }
}

/* The whole list of addresses has failed, or the session was lost. */
static void link_failed(struct link *link, const char *why) {
    struct upstream *upstream = link->upstream;
    const struct config_gateway *config = &upstream->config;
    struct metrics_series *peer = metrics_series(&metrics_slot()->peers, config->name, NULL);
    snprintf(link->error, sizeof link->error, "%s", why);
    metrics_add(&peer->value[PEER_CONNECT_FAILURES], 1);
    uint32_t ms = link->pause_ms ? link->pause_ms * 2 : config->retry_min_ms;
    if (ms > config->retry_max_ms)
        ms = config->retry_max_ms;
    link->pause_ms = ms;
    if (!list_is_empty(&upstream->waiters) && ms > EAGER_RETRY_MS)
        ms = EAGER_RETRY_MS;
    link->address = 0;
    pause_link(link, jittered(ms));
    upstream->ops->failed(upstream);
}

static void address_failed(struct link *link, const char *why) {
    struct upstream *upstream = link->upstream;
    char url[CONFIG_URL_MAX + 1], text[LINK_ERROR_SIZE];
    config_address_text(&upstream->config.address[link->address], url, sizeof url);
    snprintf(text, sizeof text, "%s: %s", url, why);
    /* A gateway that stays unreachable is logged once, not at every attempt. */
    bool known = strncmp(link->error, text, sizeof link->error - 1) == 0;
    log_about(known ? LOG_DEBUG : LOG_WARNING, ABOUT(.gateway = upstream->config.name, .peer = url),
              "%s", why);
    link->address++;
    if (!upstream_link_move(link, LINK_IDLE))
        return;
    if (link->address < upstream->config.n_addresses)
        upstream_link_connect(link);
    else
        link_failed(link, text);
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
    upstream_link_move(link, LINK_IDLE);
}

void upstream_link_detach(struct link *link) {
    struct upstream_session *session = link->session;
    leave_session(link);
    upstream_session_drain(session);
}

/* The session has ended: pauses, then connects again. If its peer has not spoken smux, its address
 * has failed, and the next one is tried. */
static void lost(struct link *link, bool heard, const char *why) {
    if (link->upstream->config.n_addresses == 0)
        no_way_back(link);
    else if (heard)
        link_failed(link, why);
    else
        address_failed(link, why);
}

/* The session drains. If that happens soon after it began, again and again, there is a pause. */
static void on_goaway(struct upstream_session *session) {
    struct link *link = session->link;
    bool soon = age_us(session) < STABLE_US;
    upstream_link_detach(link);
    if (soon && link->pause_ms > 0) {
        link_failed(link, "the gateway sends its clients away as soon as they have connected");
        return;
    }
    link->pause_ms = soon ? link->upstream->config.retry_min_ms : 0;
    upstream_link_connect(link);
}

static void on_established(struct upstream_session *session) {
    struct link *link = session->link;
    if (pump_has_heard(session->pump))
        link->address = 0; /* next time, begin with the first again */
    if (link->error[0])
        link->reconnects++;
    session->upstream->ops->usable(session->upstream);
}

static void on_ended(struct upstream_session *session, bool heard, const char *why) {
    struct upstream *upstream = session->upstream;
    struct link *link = session->link;
    if (link) {
        session->link = NULL;
        leave_session(link);
        if (heard && age_us(session) > STABLE_US)
            link->pause_ms = 0;
        lost(link, heard, why);
    }
    upstream->ops->session_ended(upstream);
}

static const struct upstream_session_ops session_ops = {
    .goaway = on_goaway, .established = on_established, .ended = on_ended};

int upstream_link_adopt(struct link *link, struct carrier *carrier) {
    link->session = upstream_session_new(link, carrier, &session_ops);
    if (!link->session)
        return -errno;
    upstream_link_move(link, LINK_UP);
    return 0;
}

/* ---- Connecting ---- */

static void on_dialled(struct carrier_dial *dial, struct carrier *carrier, int error,
                       const char *why) {
    struct link *link = container_of(dial, struct link, dial);
    if (carrier) {
        error = upstream_link_adopt(link, carrier);
        why = carrier_error_text(carrier, -error);
    }
    if (!error) {
        if (link->state == LINK_UP)
            link->upstream->ops->usable(link->upstream);
        return;
    }
    carrier_close(carrier);
    address_failed(link, why);
}

void upstream_link_connect(struct link *link) {
    struct upstream *upstream = link->upstream;
    const struct carrier_dial_options options = {
        .address = &upstream->config.address[link->address],
        .loop = upstream->reactor->loop,
        .names = upstream->names,
        .timeout_us = (uint64_t)upstream->config.dial_timeout_ms * 1000u,
        .layer = &upstream->tls.layer,
        .server_name = upstream->config.server_name[0] ? upstream->config.server_name : NULL};
    if (upstream->config.n_addresses == 0)
        no_way_back(link);
    else if (upstream_link_move(link, LINK_DIALLING))
        carrier_dial_start(&link->dial, &options, on_dialled);
}

void upstream_link_stop(struct link *link) {
    if (link->state == LINK_OVER)
        return;
    give_up(link);
    upstream_link_move(link, LINK_OVER);
}
