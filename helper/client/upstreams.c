/* SPDX-License-Identifier: MIT */
/* upstreams.c - see upstreams.h. */
#include "helper/client/upstreams.h"

#include <string.h>

/* ---- Configuration ---- */

static bool is_plain(const struct config *config, const struct config_gateway *gateway) {
    for (int i = 0; i < config->routes.n_routes; i++) {
        const struct route *route = &config->routes.route[i];
        if (route->handshake == ROUTE_PLAIN && strcmp(route->gateway, gateway->name) == 0)
            return true;
    }
    return false;
}

struct upstream *upstreams_make(struct reactor *reactor, struct resolver_client *names,
                                const struct config *config, int i) {
    const struct config_gateway *gateway = &config->gateway[i];
    return upstream_new(reactor, names, gateway, is_plain(config, gateway));
}

static struct upstream *take_equal(struct upstreams *upstreams, const struct config *old,
                                   const struct config_gateway *gateway) {
    for (int i = 0; i < old->n_gateways; i++) {
        struct upstream *upstream = upstreams->to[i];
        if (upstream && config_gateway_equal(upstream_config(upstream), gateway)) {
            upstreams->to[i] = NULL;
            return upstream;
        }
    }
    return NULL;
}

static void retire_gateways(struct upstreams *upstreams) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (upstreams->to[i])
            upstream_retire(upstreams->to[i]);
    memset(upstreams->to, 0, sizeof upstreams->to);
}

void upstreams_follow(struct upstreams *upstreams, const struct config *old,
                      const struct config *fresh) {
    struct upstream *to[CONFIG_GATEWAYS_MAX] = {0};
    for (int i = 0; i < fresh->n_gateways; i++)
        to[i] = take_equal(upstreams, old, &fresh->gateway[i]);
    retire_gateways(upstreams);
    memcpy(upstreams->to, to, sizeof to);
}

void upstreams_use_trust(const struct upstreams *upstreams, const struct upstream_trust *trust) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (upstreams->to[i])
            upstream_use_tls(upstreams->to[i], trust->of[i]);
}

/* ---- All of them ---- */

void upstreams_retire(struct upstreams *upstreams) {
    retire_gateways(upstreams);
    if (upstreams->direct)
        upstream_retire(upstreams->direct);
    upstreams->direct = NULL;
}

void upstreams_flush(const struct upstreams *upstreams) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (upstreams->to[i])
            upstream_flush(upstreams->to[i]);
}

void upstreams_free(struct upstreams *upstreams) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (upstreams->to[i])
            upstream_free(upstreams->to[i]);
    if (upstreams->direct)
        upstream_free(upstreams->direct);
    memset(upstreams, 0, sizeof *upstreams);
}

uint32_t upstreams_streams(const struct upstreams *upstreams) {
    uint32_t streams = upstreams->direct ? upstream_streams(upstreams->direct) : 0;
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (upstreams->to[i])
            streams += upstream_streams(upstreams->to[i]);
    return streams;
}

typedef json_t *describe_fn(const struct upstream *upstream);

static void append(json_t *list, json_t *part, const uid_t *uid) {
    for (size_t i = 0; i < json_array_size(part); i++)
        json_object_set_new(json_array_get(part, i), "uid",
                            !uid                ? json_null()
                            : *uid == (uid_t)-1 ? json_integer(-1)
                                                : json_integer((json_int_t)*uid));
    json_array_extend(list, part);
    json_decref(part);
}

static void describe(const struct upstreams *upstreams, const uid_t *uid, json_t *list,
                     describe_fn *fn) {
    for (int i = 0; i < CONFIG_GATEWAYS_MAX; i++)
        if (upstreams->to[i])
            append(list, fn(upstreams->to[i]), uid);
    if (upstreams->direct)
        append(list, fn(upstreams->direct), uid);
}

void upstreams_status(const struct upstreams *upstreams, const uid_t *uid, json_t *list) {
    describe(upstreams, uid, list, upstream_status);
}

void upstreams_addresses(const struct upstreams *upstreams, const uid_t *uid, json_t *list) {
    describe(upstreams, uid, list, upstream_addresses);
}
