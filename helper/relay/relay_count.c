/* SPDX-License-Identifier: MIT */
/* relay_count.c - see relay_count.h. */
#include "helper/relay/relay_count.h"

void relay_count(struct relay *relay, struct metrics_flow *flow, struct metrics_series *series,
                 enum relay_socket socket) {
    uint64_t *from_target = &series->value[FLOW_FROM_TARGET];
    uint64_t *to_target = &series->value[FLOW_TO_TARGET];
    if (flow->series)
        metrics_flow_move(flow, series);
    else
        metrics_flow_begin(flow, series);
    relay->count_from = socket == RELAY_TO_TARGET ? from_target : to_target;
    relay->count_to = socket == RELAY_TO_TARGET ? to_target : from_target;
}

void relay_count_end(struct metrics_flow *flow, enum relay_reason reason,
                     enum relay_socket socket) {
    bool to_target = socket == RELAY_TO_TARGET;
    const enum metrics_end ends[] = {
        [RELAY_DONE] = ENDED_CLOSED,
        [RELAY_STREAM_RESET] = to_target ? ENDED_CLIENT_RESET : ENDED_TARGET_RESET,
        [RELAY_SOCKET_RESET] = to_target ? ENDED_TARGET_RESET : ENDED_CLIENT_RESET,
        [RELAY_GIVEN_UP] = ENDED_GIVEN_UP};
    metrics_flow_ended(flow, ends[reason]);
}
