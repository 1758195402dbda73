/* SPDX-License-Identifier: MIT Frames that only a peer with extensions understands, and that
 * therefore wait for its hello at a session's beginning: resets and CLOSED.
 */
#include "core/engine/engine.h"

/* A peer without extensions cannot be told CLOSED. Streams that waited for nothing else are freed,
 * which must not happen while the table is walked. */
static void forget_closed(struct list *untold) {
    while (!list_is_empty(untold)) {
        smux_stream *st = stream_of(list_first(untold), control);
        list_remove(&st->control);
        st->flags &= (uint16_t)~F_OWE_CLOSED;
        send_schedule(st);
        stream_settle(st);
    }
}

void send_waiting(smux_session *s) {
    struct list untold;
    s->hello_until_us = 0;
    if (!s->hello_waits)
        return;
    s->hello_waits = false;
    list_init(&untold);
    for (smux_stream *st = NULL; (st = table_next(s, st));) {
        if (st->flags & F_OWE_CLOSED && !s->peer_extensions) {
            list_remove(&st->control);
            list_append(&untold, &st->control);
        } else if (st->flags & (F_OWE_RESET | F_OWE_CLOSED)) {
            send_schedule(st);
        }
    }
    forget_closed(&untold);
}
