/* SPDX-License-Identifier: MIT */
/* upstream_metrics.c - what the metrics say of an upstream (upstream.h). */
#include "helper/client/upstream_internal.h"

/* Without a session, and its addresses have failed, or it has got none. */
static bool is_dead(const struct upstream *upstream) {
    for (int i = 0; i < upstream->link_count; i++)
        if (upstream_link_is_usable(&upstream->links[i], true))
            return false;
    if (upstream->backends.listed == 0)
        return upstream_names_error(upstream);
    return !backends_have_other(&upstream->backends, NULL);
}

void upstream_look(const struct upstream *upstream, struct upstream_load *load) {
    smux_session_info info;
    *(is_dead(upstream) ? &load->dead : &load->alive) += 1;
    list_for_each(link, &upstream->waiters)
        load->waiters++;
    list_for_each(member, &upstream->sessions) {
        struct upstream_session *session = upstream_session_of(member);
        smux_session_get_info(session->pump->session, &info);
        load->queued += info.queued;
        metrics_round_trip(session->peer, &session->rtt_us, info.rtt_us);
    }
}
