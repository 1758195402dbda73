/* SPDX-License-Identifier: MIT
 * Resets and CLOSED at the start of a session. Only a peer with extensions understands them, so
 * they wait for its hello.
 */
#include "core/engine/engine.h"

/* A peer without extensions cannot be told CLOSED. Collects the streams that waited for nothing
 * else: they are freed later, because that must not happen while the table is walked. */
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
