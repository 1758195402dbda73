/* SPDX-License-Identifier: MIT */
/* admin_probe.c - for `smuxctl doctor`: does a gateway answer? The session to it is used, or set
 * up; a ping over it must be answered. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/client/admin_client.h"
#include "helper/client/upstream.h"
#include "helper/client/upstream_pool.h"

/* Longer than a gateway with two addresses, one of which is silent, takes by default. */
#define PROBE_MAX_US 15000000u
/* Between two looks; longer ones once it has taken longer. */
#define LOOK_US      500u
#define LOOK_SLOW_US 5000u
#define SLOW_US      50000u
/* A link that pauses after a failure dials again within half a second (upstream_hurry). What it has
 * failed with before says nothing about now. */
#define OLD_FAILURE_US 600000u

struct admin_probe {
    struct admin_client *client;
    struct upstream_pool *upstreams;
    char gateway[ROUTE_NAME_MAX + 1]; /* a reload may replace its upstream between two looks */
    struct loop_timer timer;
    struct loop_garbage garbage;
    uint64_t began_us, asked_us; /* asked_us 0: there was no session yet */
    bool looked, had_failed;     /* before the first look the gateway had failed already */
};

static void free_probe(struct loop_garbage *garbage) {
    free(container_of(garbage, struct admin_probe, garbage));
}

/* The client is being closed, whether it has its answer or not. */
static void on_closing(struct admin_client *client) {
    struct admin_probe *probe = client->probe;
    client->probe = NULL;
    loop_timer_clear(client->clients->loop, &probe->timer);
    loop_discard(client->clients->loop, &probe->garbage, free_probe);
}

static void succeed(struct admin_probe *probe, const struct upstream_answer *answer) {
    uint64_t now_us = loop_clock_us();
    admin_client_answer(
        probe->client,
        json_pack("{s:b, s:s, s:s, s:i, s:b, s:I, s:I, s:I}", "ok", 1, "address",
                  answer->carrier->peer, "identity", carrier_identity(answer->carrier), "version",
                  answer->version, "extensions", (int)answer->extensions, "rtt_us",
                  (json_int_t)answer->rtt_us, "answer_us", (json_int_t)(now_us - probe->asked_us),
                  "setup_us", (json_int_t)(probe->asked_us - probe->began_us)));
}

/* A server without extensions does not answer pings: its session has to do. */
static bool is_answered(const struct admin_probe *probe, const struct upstream_answer *answer) {
    return probe->asked_us && (!answer->extensions || answer->at_us > probe->asked_us);
}

static void on_look(struct loop_timer *timer);

static void look_again(struct admin_probe *probe, uint64_t waited_us) {
    struct loop *loop = probe->client->clients->loop;
    loop_timer_set(loop, &probe->timer,
                   loop_now_us(loop) + (waited_us > SLOW_US ? LOOK_SLOW_US : LOOK_US), on_look);
}

static void look(struct admin_probe *probe, struct upstream *upstream) {
    uint64_t waited_us = loop_clock_us() - probe->began_us;
    struct upstream_answer answer;
    bool session = upstream_answer(upstream, &answer);
    if (session && is_answered(probe, &answer)) {
        succeed(probe, &answer);
        return;
    }
    int error = session && probe->asked_us ? 0 : upstream_ping(upstream);
    if (!probe->looked)
        probe->had_failed = error && error != -EAGAIN;
    probe->looked = true;
    if (error == 0 && !probe->asked_us)
        probe->asked_us = loop_clock_us();
    if (error && error != -EAGAIN && (!probe->had_failed || waited_us > OLD_FAILURE_US))
        admin_client_fail(probe->client, error, upstream_last_error(upstream));
    else if (waited_us > PROBE_MAX_US)
        admin_client_fail(probe->client, -ETIMEDOUT,
                          session ? "connected, but it answers no ping within 15 seconds"
                                  : "no answer within 15 seconds");
    else
        look_again(probe, waited_us);
}

static void on_look(struct loop_timer *timer) {
    struct admin_probe *probe = container_of(timer, struct admin_probe, timer);
    struct upstream *upstream = upstream_pool_get(probe->upstreams, NULL, probe->gateway);
    if (upstream)
        look(probe, upstream);
    else
        admin_client_fail(probe->client, -ENOENT, "there is no such gateway");
}

void admin_probe(struct admin_client *client, struct upstream_pool *upstreams,
                 const char *gateway) {
    struct admin_probe *probe = calloc(1, sizeof *probe);
    if (!probe) {
        admin_client_fail(client, -ENOMEM, strerror(ENOMEM));
        return;
    }
    probe->client = client;
    probe->upstreams = upstreams;
    snprintf(probe->gateway, sizeof probe->gateway, "%s", gateway);
    probe->began_us = loop_clock_us();
    client->probe = probe;
    client->closing = on_closing;
    loop_timer_clear(client->clients->loop, &client->timer);
    on_look(&probe->timer);
}
