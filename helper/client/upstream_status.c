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

static json_t *link_status(const struct link *link) {
    return json_pack("{s:s, s:s}", "gateway", link->upstream->config.name, "state",
                     link_state_name(link));
}

json_t *upstream_status(const struct upstream *upstream) {
    json_t *list = json_array();
    list_for_each(member, &upstream->sessions) {
        const struct upstream_session *s = upstream_session_of(member);
        json_t *entry = session_status(s);
        uint64_t reconnects = s->link ? s->link->reconnects : 0;
        json_object_set_new(entry, "reconnects", json_integer((json_int_t)reconnects));
        json_object_set_new(entry, "last_error", json_string(s->link ? s->link->error : ""));
        json_array_append_new(list, entry);
    }
    for (int i = 0; i < upstream->link_count; i++) {
        const struct link *link = &upstream->links[i];
        if (link->state == LINK_UP)
            continue;
        json_t *entry = link_status(link);
        json_object_set_new(entry, "reconnects", json_integer((json_int_t)link->reconnects));
        json_object_set_new(entry, "last_error", json_string(link->error));
        json_array_append_new(list, entry);
    }
    return list;
}
