/* SPDX-License-Identifier: MIT */
/* upstream_metrics.c - what the metrics say of an upstream (upstream.h). */
#include "helper/client/upstream_internal.h"

static bool is_dead(const struct link *link) {
    bool lives = link->state == LINK_UP && link->session->state == SESSION_ESTABLISHED;
    return link->error[0] && link->pause_ms > 0 && !lives;
}

static bool all_are_dead(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (!is_dead(&upstream->links[i]))
            return false;
    return true;
}

void upstream_look(const struct upstream *upstream, struct upstream_load *load) {
    smux_session_info info;
    *(all_are_dead(upstream) ? &load->dead : &load->alive) += 1;
    list_for_each(link, &upstream->waiters)
        load->waiters++;
    list_for_each(member, &upstream->sessions) {
        struct upstream_session *session = upstream_session_of(member);
        smux_session_get_info(session->pump->session, &info);
        load->queued += info.queued;
        metrics_round_trip(session->peer, &session->rtt_us, info.rtt_us);
    }
}
