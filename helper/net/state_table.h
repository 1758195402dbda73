/* SPDX-License-Identifier: MIT */
/*
 * state_table.h - states that are written down: what each is called, and which may follow it.
 */
#ifndef HELPER_NET_STATE_TABLE_H
#define HELPER_NET_STATE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define STATES_MAX 16

struct state_table {
    const char *what; /* whose states they are, for the log */
    struct {
        const char *name; /* NULL: there is no such state */
        uint16_t next;    /* the states that may follow: 1 << state */
    } state[STATES_MAX];
};

/* The one way to change a state. A move that the table does not have is a bug of ours: it is
 * logged, counted in state_wrong_moves and not made. */
bool state_move(const struct state_table *table, uint8_t *state, unsigned to);

extern unsigned state_wrong_moves;

#endif
