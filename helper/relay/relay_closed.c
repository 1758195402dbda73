/* SPDX-License-Identifier: MIT */
/* relay_closed.c - a stream whose peer has closed it in both directions, or may have: the socket is
 * closed behind what it is to get, instead of staying half open for as long as its other end likes.
 * */
#include "helper/relay/relay_internal.h"

/* What the socket still says nobody reads: its kernel answers that, as that of the program would.
 * */
static void close_with_peer(struct relay *relay) {
    relay_release_stream(relay);
    relay_finish(relay, RELAY_DONE, 0);
}

static uint64_t bytes_from_socket(const struct relay *relay) {
    smux_stream_info info;
    smux_stream_get_info(relay->stream, &info);
    return info.bytes_out + info.queued;
}

static void half_closed_look(struct loop_timer *timer);

static void wait_half_closed(struct relay *relay) {
    struct loop *loop = relay->reactor->loop;
    relay->moved = bytes_from_socket(relay);
    loop_timer_set(loop, &relay->timer, loop_now_us(loop) + relay->half_closed_us,
                   half_closed_look);
}

static void half_closed_look(struct loop_timer *timer) {
    struct relay *relay = container_of(timer, struct relay, timer);
    if (relay->in == RELAY_IN_SHUT)
        return; /* on its way to the end already */
    if (relay->moved == bytes_from_socket(relay))
        close_with_peer(relay);
    else
        wait_half_closed(relay);
}

/* A plain peer's FIN may mean either; a socket that has said nothing for long is taken for one that
 * nobody reads. */
static bool peer_cannot_say(const struct relay *relay) {
    smux_session_info info;
    smux_session_get_info(relay->pump->session, &info);
    return !info.peer_extensions;
}

void relay_out_ended(struct relay *relay) {
    relay_check_done(relay);
    if (relay_is_over(relay) || !relay->stream || !relay->end->closes_with_peer)
        return;
    if (relay->peer_closed)
        close_with_peer(relay);
    else if (relay->half_closed_us && relay->in == RELAY_IN_OPEN && peer_cannot_say(relay))
        wait_half_closed(relay);
}

void relay_peer_closed(struct relay *relay) {
    if (relay_is_over(relay) || relay->error)
        return;
    relay->peer_closed = true;
    if (relay->out == RELAY_OUT_SHUT)
        relay_out_ended(relay);
}
