/* SPDX-License-Identifier: MIT */
/* relay_state.c - the states of a relay (relay.h): which may follow which, and the one setter. */
#include "helper/relay/relay_internal.h"

#define TO(state) (1u << RELAY_##state)

static const struct state_table states = {
    .what = "relay",
    .state = {
        [RELAY_IDLE] = {"idle", TO(WAITING) | TO(OVER)},
        [RELAY_HEAD] = {"head", TO(IDLE) | TO(WAITING) | TO(OPEN_HEAD) | TO(OVER)},
        [RELAY_WAITING] = {"waiting", TO(IDLE) | TO(HEAD) | TO(OPEN) | TO(ORPHANED) | TO(OVER)},
        [RELAY_OPEN_HEAD] = {"open head", TO(OPEN) | TO(LEAVING) | TO(FAILING) | TO(OVER)},
        [RELAY_OPEN] = {"open", TO(LEAVING) | TO(FAILING) | TO(OVER)},
        [RELAY_ORPHANED] = {"orphaned", TO(LEAVING) | TO(OVER)},
        [RELAY_LEAVING] = {"leaving", TO(OVER)},
        [RELAY_FAILING] = {"failing", TO(OVER)},
        [RELAY_OVER] = {"over", 0},
    }};

bool relay_move(struct relay *relay, enum relay_state to) {
    return state_move(&states, &relay->state, to);
}

void relay_expect_head(struct relay *relay) {
    relay_move(relay, RELAY_HEAD);
}

void relay_head_over(struct relay *relay) {
    if (relay_has_head(relay))
        relay_move(relay, relay->state == RELAY_HEAD ? RELAY_WAITING : RELAY_OPEN);
}
