/* SPDX-License-Identifier: MIT */
/* state_table.c - see state_table.h. */
#include "helper/net/state_table.h"

#include "helper/net/log.h"

unsigned state_wrong_moves;

static const char *name_of(const struct state_table *table, unsigned state) {
    return state < STATES_MAX && table->state[state].name ? table->state[state].name : "?";
}

bool state_move(const struct state_table *table, uint8_t *state, unsigned to) {
    unsigned from = *state;
    if (from < STATES_MAX && to < STATES_MAX && table->state[from].next >> to & 1) {
        *state = (uint8_t)to;
        return true;
    }
    state_wrong_moves++;
    log_error("bug: a %s cannot go from \"%s\" to \"%s\"", table->what, name_of(table, from),
              name_of(table, to));
    return false;
}
