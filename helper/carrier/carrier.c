/* SPDX-License-Identifier: MIT */
/* carrier.c - the life of a carrier, whatever its kind (carrier.h). */
#include "helper/carrier/carrier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/net/log.h"
#include "helper/net/state_table.h"

#define TO(state) (1u << CARRIER_##state)

static const struct state_table states = {
    .what = "carrier",
    .state = {[CARRIER_NEW] = {"new", TO(STARTING) | TO(OVER)},
              [CARRIER_STARTING] = {"starting", TO(READY) | TO(OVER)},
              [CARRIER_READY] = {"ready", TO(ENDING) | TO(OVER)},
              [CARRIER_ENDING] = {"ending", TO(OVER)},
              [CARRIER_OVER] = {"over", 0}}};

static bool move(struct carrier *carrier, enum carrier_state to) {
    return state_move(&states, &carrier->state, to);
}

void carrier_init(struct carrier *carrier, const struct carrier_ops *ops, struct loop *loop,
                  const char *peer) {
    carrier->ops = ops;
    carrier->loop = loop;
    snprintf(carrier->peer, sizeof carrier->peer, "%s", peer);
}

/* ---- The beginning ---- */

static void fail(struct carrier *carrier, const char *why) {
    if (!carrier->why[0])
        snprintf(carrier->why, sizeof carrier->why, "%s", why);
    carrier->calls->failed(carrier, why);
}

static void on_start_due(struct loop_timer *timer) {
    struct carrier *carrier = container_of(timer, struct carrier, timer);
    fail(carrier, "the handshake was not completed in time");
}

int carrier_start(struct carrier *carrier, const struct carrier_user *calls, void *user,
                  uint64_t timeout_us) {
    carrier->calls = calls;
    carrier->user = user;
    if (!move(carrier, CARRIER_STARTING))
        return -EINVAL;
    int error = carrier->ops->start(carrier);
    if (error == 0 && carrier->state == CARRIER_STARTING)
        loop_timer_set(carrier->loop, &carrier->timer, loop_now_us(carrier->loop) + timeout_us,
                       on_start_due);
    return error;
}

void carrier_has_started(struct carrier *carrier) {
    bool told = carrier->timer.armed; /* carrier_start has returned */
    if (carrier->state != CARRIER_STARTING || !move(carrier, CARRIER_READY))
        return;
    loop_timer_clear(carrier->loop, &carrier->timer);
    if (told)
        carrier->calls->ready(carrier);
}

void carrier_has_failed(struct carrier *carrier, const char *why) {
    if (carrier->state != CARRIER_STARTING)
        return;
    loop_timer_clear(carrier->loop, &carrier->timer);
    fail(carrier, why);
}

/* ---- Between ---- */

void carrier_tell(struct carrier *carrier, uint8_t events) {
    if (carrier->state == CARRIER_READY)
        carrier->calls->events(carrier, events);
}

const char *carrier_error_text(const struct carrier *carrier, int error) {
    return carrier->why[0] ? carrier->why : strerror(error);
}

/* ---- Who the peer is ---- */

/* The end of the last identity. */
static char *identities_end(struct carrier *carrier) {
    char *end = carrier->identities;
    while (*end)
        end += strlen(end) + 1;
    return end;
}

static bool stands_for_itself(uint8_t byte) {
    return byte > ' ' && byte < 0x7f && byte != ',' && byte != '%';
}

bool carrier_add_identity(struct carrier *carrier, const char *kind, const void *name, size_t len) {
    char text[CARRIER_IDENTITY_MAX + 1];
    const uint8_t *byte = name;
    char *end = identities_end(carrier);
    size_t used = (size_t)snprintf(text, sizeof text, "%s:", kind);
    for (size_t i = 0; i < len; i++) {
        if (used + 3 >= sizeof text)
            return false;
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 stands_for_itself(byte[i]) ? "%c" : "%%%02X", byte[i]);
    }
    if (len == 0 || end + used + 2 > carrier->identities + sizeof carrier->identities)
        return false;
    memcpy(end, text, used + 1);
    return true;
}

void carrier_pass_identities(struct carrier *carrier, const struct carrier *lower) {
    memcpy(carrier->identities, lower->identities, sizeof carrier->identities);
}

const char *carrier_identity(const struct carrier *carrier) {
    return carrier->identities;
}

/* ---- The end ---- */

static void on_end_due(struct loop_timer *timer) {
    struct carrier *carrier = container_of(timer, struct carrier, timer);
    carrier->calls->ended(carrier);
}

bool carrier_shutdown(struct carrier *carrier, uint64_t timeout_us) {
    if (carrier->state != CARRIER_READY || !move(carrier, CARRIER_ENDING) ||
        !carrier->ops->shutdown || carrier->ops->shutdown(carrier))
        return true;
    loop_timer_set(carrier->loop, &carrier->timer, loop_now_us(carrier->loop) + timeout_us,
                   on_end_due);
    return false;
}

void carrier_has_ended(struct carrier *carrier) {
    if (carrier->state != CARRIER_ENDING)
        return;
    loop_timer_clear(carrier->loop, &carrier->timer);
    carrier->calls->ended(carrier);
}

static void free_carrier(struct loop_garbage *garbage) {
    struct carrier *carrier = container_of(garbage, struct carrier, garbage);
    carrier->ops->free(carrier);
}

void carrier_close(struct carrier *carrier) {
    if (!carrier || carrier->state == CARRIER_OVER)
        return;
    const struct carrier_stats *stats = &carrier->stats;
    log_about(LOG_DEBUG, ABOUT(.peer = carrier->peer),
              "carrier closed: %llu bytes in %llu reads, %llu bytes in %llu writes",
              (unsigned long long)stats->bytes_in, (unsigned long long)stats->reads,
              (unsigned long long)stats->bytes_out, (unsigned long long)stats->writes);
    move(carrier, CARRIER_OVER);
    loop_timer_clear(carrier->loop, &carrier->timer);
    carrier->ops->close(carrier);
    loop_discard(carrier->loop, &carrier->garbage, free_carrier);
}
