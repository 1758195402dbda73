/* SPDX-License-Identifier: MIT */
/* backend.c - see backend.h. */
#include "helper/client/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "helper/net/loop.h"
#include "helper/net/state_table.h"

/* ---- States ---- */

#define TO(state) (1u << BACKEND_##state)

static const struct state_table states = {
    .what = "gateway's address",
    .state = {[BACKEND_UNTRIED] = {"untried", TO(UP) | TO(FAILED) | TO(GONE)},
              [BACKEND_UP] = {"up", TO(UP) | TO(FAILED) | TO(GONE)},
              [BACKEND_FAILED] = {"failed", TO(UP) | TO(FAILED) | TO(GONE)},
              [BACKEND_GONE] = {"gone", TO(UNTRIED)}}};

bool backend_move(struct backend *backend, enum backend_state to) {
    return state_move(&states, &backend->state, to);
}

const char *backend_state_name(const struct backend *backend) {
    return states.state[backend->state].name;
}

/* ---- Life ---- */

/* "tls://gw1.example.net:7443 (192.0.2.1)". */
static void describe(struct backend *backend) {
    const struct backend_place *place = &backend->place;
    struct config_address named = place->address;
    char url[CONFIG_URL_MAX + 1];
    if (place->name[0])
        snprintf(named.host, sizeof named.host, "%s", place->name);
    config_address_text(&named, url, sizeof url);
    if (place->name[0])
        snprintf(backend->text, sizeof backend->text, "%.271s (%.45s)", url, place->address.host);
    else
        snprintf(backend->text, sizeof backend->text, "%s", url);
}

struct backend *backend_new(const struct backend_place *place) {
    struct backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return NULL;
    backend->place = *place;
    describe(backend);
    return backend;
}

void backend_free(struct backend *backend) {
    list_remove(&backend->member);
    free(backend);
}

void backend_use(struct backend *backend) {
    if (backend)
        backend->users++;
}

void backend_release(struct backend *backend) {
    if (backend && --backend->users == 0 && backend->state == BACKEND_GONE)
        backend_free(backend);
}

/* ---- How it does ---- */

uint32_t backend_jittered(uint32_t ms) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint32_t)loop_clock_us();
    return ms / 2 + (ms ? random % (ms / 2 + 1) : 0);
}

void backend_succeeded(struct backend *backend) {
    if (backend->state == BACKEND_GONE)
        return;
    backend_move(backend, BACKEND_UP);
    backend->failures = 0;
}

void backend_lasted(struct backend *backend) {
    backend->pause_ms = 0;
    backend->sent_away = false;
}

void backend_failed(struct backend *backend, const char *text, uint64_t began_us, uint64_t now_us,
                    const struct config_gateway *config) {
    bool same = backend->state == BACKEND_FAILED && began_us < backend->failed_us;
    snprintf(backend->error, sizeof backend->error, "%s", text);
    if (same || backend->state == BACKEND_GONE)
        return;
    backend->failures++;
    backend->failures_total++;
    backend->failed_us = now_us;
    uint64_t ms = backend->pause_ms ? UINT64_C(2) * backend->pause_ms : config->retry_min_ms;
    backend->pause_ms = ms < config->retry_max_ms ? (uint32_t)ms : config->retry_max_ms;
    backend->retry_us = now_us + backend_jittered(backend->pause_ms) * UINT64_C(1000);
    backend_move(backend, BACKEND_FAILED);
}
