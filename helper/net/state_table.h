/* SPDX-License-Identifier: MIT */
/*
 * state_table.h - tables of states: the name of each, and which states may follow it.
 */
#ifndef HELPER_NET_STATE_TABLE_H
#define HELPER_NET_STATE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define STATES_MAX 16

struct state_table {
    const char *what; /* what has these states, for the log */
    struct {
        const char *name; /* NULL: there is no such state */
        uint16_t next;    /* the states that may follow: 1 << state */
    } state[STATES_MAX];
};

/* The only function that changes a state. A transition that is not in the table is a bug: it is
 * logged, counted in state_wrong_moves and not made. */
bool state_move(const struct state_table *table, uint8_t *state, unsigned to);

extern unsigned state_wrong_moves;

#endif
