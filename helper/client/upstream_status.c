/* SPDX-License-Identifier: MIT */
/* upstream_status.c - an upstream's sessions, for smuxctl (upstream.h). */
#include <time.h>

#include "helper/client/upstream_internal.h"

static const char *link_state_name(const struct link *link) {
    static const char *const names[] = {
        [LINK_IDLE] = "idle", [LINK_RESOLVING] = "resolving", [LINK_DIALLING] = "connecting",
        [LINK_UP] = "up",     [LINK_PAUSE] = "reconnecting",  [LINK_OVER] = "lost"};
    return names[link->state];
}

/* The wall clock's time when the session began, as the wall clock is set now. */
static json_int_t began_at(const struct pump *pump) {
    uint64_t age_us = loop_clock_us() - pump->since_us;
    return (json_int_t)time(NULL) - (json_int_t)(age_us / 1000000u);
}

static json_t *session_status(const struct upstream_session *session) {
    smux_session_info info;
    smux_session_get_info(session->pump->session, &info);
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "gateway",
                     session->upstream->config.name, "address", session->pump->carrier->peer,
                     "state", session->link ? "up" : "draining", "version", info.version, "rtt_us",
                     (json_int_t)info.rtt_us, "since", began_at(session->pump), "bytes_in",
                     (json_int_t)info.bytes_in, "bytes_out", (json_int_t)info.bytes_out, "streams",
                     (json_int_t)info.streams, "streams_total", (json_int_t)info.opened);
}

/* A link without a session has the same members. */
static json_t *link_status(const struct link *link) {
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "gateway",
                     link->upstream->config.name, "address", "", "state", link_state_name(link),
                     "version", 0, "rtt_us", 0, "since", 0, "bytes_in", 0, "bytes_out", 0,
                     "streams", 0, "streams_total", 0);
}

static void append(json_t *list, json_t *entry, const struct link *link) {
    uint64_t reconnects = link ? link->reconnects : 0;
    json_object_set_new(entry, "reconnects", json_integer((json_int_t)reconnects));
    json_object_set_new(entry, "last_error", json_string(link ? link->error : ""));
    json_array_append_new(list, entry);
}

/* Links that have nothing to do are told of only if there is nothing else to tell. */
static bool is_shown(const struct upstream *upstream, int i) {
    const struct link *link = &upstream->links[i];
    if (link->state != LINK_IDLE || upstream->config.balance == CONFIG_FIRST)
        return link->state != LINK_UP;
    for (int at = 0; at < upstream->link_count; at++)
        if (at < i || upstream->links[at].state != LINK_IDLE)
            return false;
    return list_is_empty(&upstream->sessions);
}

json_t *upstream_status(const struct upstream *upstream) {
    json_t *list = json_array();
    list_for_each(member, &upstream->sessions) {
        const struct upstream_session *session = upstream_session_of(member);
        append(list, session_status(session), session->link);
    }
    for (int i = 0; i < upstream->link_count; i++)
        if (is_shown(upstream, i))
            append(list, link_status(&upstream->links[i]), &upstream->links[i]);
    return list;
}

/* ---- Addresses ---- */

static void count_sessions(const struct upstream *upstream, const struct backend *backend,
                           unsigned *sessions, unsigned *streams) {
    list_for_each(member, &upstream->sessions) {
        const struct upstream_session *session = upstream_session_of(member);
        if (session->backend != backend)
            continue;
        ++*sessions;
        *streams += pump_streams(session->pump);
    }
}

/* Milliseconds until then; 0: it is not waited for. */
static json_int_t until_ms(const struct upstream *upstream, uint64_t due_us) {
    uint64_t now_us = loop_now_us(upstream->reactor->loop);
    return due_us > now_us ? (json_int_t)((due_us - now_us + 999) / 1000u) : 0;
}

static json_t *backend_status(const struct upstream *upstream, const struct backend *backend) {
    unsigned sessions = 0, streams = 0;
    bool left_out = backend->state == BACKEND_FAILED;
    count_sessions(upstream, backend, &sessions, &streams);
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:s}", "gateway",
                     upstream->config.name, "address", backend->text, "name", backend->place.name,
                     "state", backend_state_name(backend), "priority", backend->place.priority,
                     "weight", backend->place.weight, "sessions", (int)sessions, "streams",
                     (int)streams, "failures", (int)backend->failures, "failures_total",
                     (json_int_t)backend->failures_total, "retry_ms",
                     left_out ? until_ms(upstream, backend->retry_us) : 0, "resolve_ms",
                     until_ms(upstream, upstream_names_next_us(upstream, backend->place.source)),
                     "last_error", backend->error);
}

/* A name without an address has the same members. */
static json_t *name_status(const struct upstream *upstream, int source) {
    const struct config_address *address = &upstream->config.address[source];
    char url[CONFIG_URL_MAX + 1];
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:s}", "gateway",
                     upstream->config.name, "address",
                     config_address_text(address, url, sizeof url), "name", address->host, "state",
                     "unresolved", "priority", 0, "weight", 0, "sessions", 0, "streams", 0,
                     "failures", 0, "failures_total", 0, "retry_ms", 0, "resolve_ms",
                     until_ms(upstream, upstream_names_next_us(upstream, source)), "last_error",
                     upstream_names_last_error(upstream, source));
}

static bool has_backend(const struct upstream *upstream, int source) {
    list_for_each(member, &upstream->backends.all)
        if (backend_of(member)->place.source == source)
            return true;
    return false;
}

json_t *upstream_addresses(const struct upstream *upstream) {
    json_t *list = json_array();
    for (int source = 0; source < upstream->config.n_addresses; source++)
        if (!has_backend(upstream, source))
            json_array_append_new(list, name_status(upstream, source));
    list_for_each(member, &upstream->backends.all)
        json_array_append_new(list, backend_status(upstream, backend_of(member)));
    return list;
}
