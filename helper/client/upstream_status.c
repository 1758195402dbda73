/* SPDX-License-Identifier: MIT */
/* upstream_status.c - an upstream's sessions, for smuxctl (upstream.h). */
#include <time.h>

#include "helper/client/upstream_internal.h"

static const char *link_state_name(const struct link *link) {
    static const char *const names[] = {[LINK_IDLE] = "idle",
                                        [LINK_DIALLING] = "connecting",
                                        [LINK_UP] = "up",
                                        [LINK_PAUSE] = "reconnecting",
                                        [LINK_OVER] = "lost"};
    return carrier_dial_is_resolving(&link->dial) ? "resolving" : names[link->state];
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

json_t *upstream_status(const struct upstream *upstream) {
    json_t *list = json_array();
    list_for_each(member, &upstream->sessions) {
        const struct upstream_session *session = upstream_session_of(member);
        append(list, session_status(session), session->link);
    }
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream->links[i].state != LINK_UP)
            append(list, link_status(&upstream->links[i]), &upstream->links[i]);
    return list;
}
