/* SPDX-License-Identifier: MIT */
/* gateway_metrics.c - see gateway_metrics.h. */
#include "helper/gateway/gateway_metrics.h"

#include "helper/gateway/access_log.h"
#include "helper/metrics/metrics_flow.h"
#include "helper/metrics/metrics_self.h"

static void look_at_sessions(const struct gateway_sessions *sessions) {
    smux_session_info info;
    metrics_zero(&metrics_slot()->peers, PEER_OUTPUT_BYTES);
    list_for_each(link, &sessions->all) {
        struct gateway_session *session = container_of(link, struct gateway_session, link);
        if (!session->peer)
            continue;
        smux_session_get_info(session->pump->session, &info);
        metrics_add(&session->peer->value[PEER_OUTPUT_BYTES], info.queued);
        metrics_round_trip(session->peer, &session->rtt_us, info.rtt_us);
    }
}

static void look(struct loop_timer *timer) {
    struct gateway_metrics *metrics = container_of(timer, struct gateway_metrics, timer);
    const struct gateway_sessions *sessions = gateway_sessions(metrics->gateway);
    struct resolver_load names = resolver_load(sessions->resolver);
    struct loop *loop = sessions->reactor->loop;
    uint64_t *value = metrics_slot()->value;
    metrics_beat(true);
    metrics_self_look();
    metrics_memory_look(sessions->reactor);
    metrics_set(&value[WORKER_QUEUED_NAMES], names.waiting);
    metrics_set(&value[WORKER_NAMES_UNDER_WAY], names.under_way);
    metrics_continue(WORKER_LOST_LINES, access_log_lost());
    metrics_set(&value[WORKER_HANDSHAKES], sessions->handshakes.count);
    look_at_sessions(sessions);
    loop_timer_set(loop, timer, loop_now_us(loop) + METRICS_BEAT_US, look);
}

void gateway_metrics_start(struct gateway_metrics *metrics, const struct gateway *gateway) {
    metrics->gateway = gateway;
    metrics_enter(METRICS_SERVING);
    if (metrics_are_open())
        look(&metrics->timer);
}

void gateway_metrics_stop(struct gateway_metrics *metrics) {
    loop_timer_clear(gateway_sessions(metrics->gateway)->reactor->loop, &metrics->timer);
}
