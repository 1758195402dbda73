/* SPDX-License-Identifier: MIT */
/* relay_finish.c - the ends of a relay (relay.h, relay_internal.h): of each direction, of the
 * stream, of the socket, and what follows from them for the whole. */
#include <errno.h>
#include <poll.h>

#include "helper/net/stranger.h"
#include "helper/relay/relay_internal.h"

/* ---- All of it ---- */

static void unbind(struct relay *relay, void (*close_stream)(smux_stream *stream)) {
    struct pump *pump = relay->pump;
    pump_unbind(pump, &relay->sink, relay->stream);
    close_stream(relay->stream);
    relay->stream = NULL;
    relay->pump = NULL;
    relay->kept.keeper = NULL;
    pump_kick(pump);
}

/* Buffers that are still on loan come back to the pump alone. */
static void forget_loans(struct relay *relay) {
    list_for_each(loan, &relay->loans) {
        container_of(loan, struct buffer, loan)->owner = NULL;
        list_remove(loan);
    }
    relay->loan_len = 0;
}

/* Closes by a reset. What is unread in a unix socket may block its close (stranger.h). */
static void close_socket(struct relay *relay) {
    if (!relay->watch.open)
        return;
    if (relay->end)
        relay->end->reset(relay);
    if (!relay->untrusted)
        loop_watch_close(&relay->watch);
    else
        stranger_close(loop_watch_release(relay->reactor->loop, &relay->watch), relay->uid);
}

void relay_finish(struct relay *relay, enum relay_reason reason, int error) {
    struct loop *loop = relay->reactor->loop;
    if (relay_is_over(relay))
        return;
    relay_move(relay, RELAY_OVER);
    forget_loans(relay);
    kept_queue_drop(&relay->kept);
    loop_timer_clear(loop, &relay->timer);
    loop_timer_clear(loop, &relay->ahead_timer);
    loop_task_cancel(loop, &relay->task);
    if (relay->limit) {
        rate_leave(&relay->limit->from_socket);
        rate_leave(&relay->limit->to_socket);
    }
    if (reason == RELAY_DONE)
        loop_watch_close(&relay->watch);
    else
        close_socket(relay);
    if (relay->stream)
        unbind(relay, reason == RELAY_DONE ? smux_stream_close : smux_stream_reset);
    relay->ops->ended(relay, reason, error);
}

void relay_abort(struct relay *relay, int error) {
    relay_finish(relay, RELAY_GIVEN_UP, error);
}

void relay_hang_up(struct relay *relay) {
    relay_finish(relay, RELAY_DONE, 0);
}

static void finish_if_both_ended(struct relay *relay) {
    if (relay->in == RELAY_IN_SHUT && relay->out == RELAY_OUT_SHUT)
        relay_finish(relay, RELAY_DONE, 0);
}

/* ---- The stream is lost ---- */

void relay_drop_stream(struct relay *relay) {
    if (!relay->stream || !relay_move(relay, RELAY_IDLE))
        return;
    forget_loans(relay);
    kept_queue_drop(&relay->kept);
    unbind(relay, smux_stream_reset);
    relay->out = RELAY_OUT_OPEN;
}

/* Resets the stream and gives it up; the relay goes on without one, or ends. */
static void release_stream(struct relay *relay) {
    forget_loans(relay);
    kept_queue_orphan(&relay->kept);
    unbind(relay, smux_stream_reset);
}

/* What came before a reset can still be read, as it can from a kernel's receive queue. The socket,
 * also one that is still to be attached, is closed behind it. */
static void leave_stream(struct relay *relay, enum relay_state to, int error) {
    relay_move(relay, to);
    release_stream(relay);
    relay->in = RELAY_IN_SHUT;
    relay->error = error;
}

/* Are bytes kept that the application may still read? */
static bool has_reader(const struct relay *relay) {
    return !kept_queue_is_empty(&relay->kept) && relay->end->is_unix && !relay->socket_hup;
}

void relay_stream_reset(struct relay *relay, int error) {
    switch ((enum relay_state)relay->state) {
    case RELAY_HEAD:
        if (relay->ops->lost) {
            relay_drop_stream(relay);
            if (relay->ops->lost(relay, error))
                return;
        }
        break;
    case RELAY_WAITING: /* the application may know that its connection stands */
        if (relay->ops->lost) {
            leave_stream(relay, RELAY_ORPHANED, error);
            return;
        }
        break;
    case RELAY_OPEN_HEAD:
    case RELAY_OPEN:
        if (has_reader(relay)) {
            leave_stream(relay, RELAY_LEAVING, error);
            if (!kept_queue_is_empty(&relay->kept))
                return;
        }
        break;
    case RELAY_FAILING:
        relay_finish(relay, RELAY_SOCKET_RESET, relay->error);
        return;
    case RELAY_IDLE:
    case RELAY_ORPHANED:
    case RELAY_LEAVING:
    case RELAY_OVER:
        return; /* it has no stream */
    }
    relay_finish(relay, RELAY_STREAM_RESET, error);
}

/* ---- The socket has failed ---- */

/* How long a window that stays closed can hold up the stream's reset. */
#define FAILING_MAX_US 60000000u

static void on_failing_too_long(struct loop_timer *timer) {
    struct relay *relay = container_of(timer, struct relay, timer);
    relay_finish(relay, RELAY_SOCKET_RESET, relay->error);
}

static uint64_t queued(const struct relay *relay) {
    smux_stream_info info = {0};
    if (relay->stream)
        smux_stream_get_info(relay->stream, &info);
    return info.queued;
}

/* The stream's reset event says that everything is on the carrier (relay_stream_reset). */
void relay_fail_behind_data(struct relay *relay, int error) {
    struct loop *loop = relay->reactor->loop;
    if (!relay_is_attached(relay))
        return;
    relay->error = error;
    relay->readable = false;
    relay->in = RELAY_IN_SHUT;
    relay->discard = true;
    kept_queue_drop(&relay->kept);
    close_socket(relay);
    if (queued(relay) == 0) {
        relay_finish(relay, RELAY_SOCKET_RESET, error);
        return;
    }
    relay_move(relay, RELAY_FAILING);
    smux_stream_reset_behind(relay->stream);
    pump_kick(relay->pump);
    loop_timer_set(loop, &relay->timer, loop_now_us(loop) + FAILING_MAX_US, on_failing_too_long);
}

/* ---- From socket to stream ---- */

/* What the application said still goes out, as from a closed TCP socket; whatever comes for it from
 * now on the engine answers with a reset. */
void relay_application_gone(struct relay *relay) {
    if (!kept_queue_is_empty(&relay->kept)) {
        relay_fail_behind_data(relay, -ECONNRESET);
    } else {
        relay->end->shut(relay, true); /* it may be there yet, and read: that is no reset */
        relay_finish(relay, RELAY_DONE, 0);
    }
}

/* The end of file may be seen before the event that says the application has closed. */
static bool is_closed_to_reset(const struct relay *relay) {
    struct pollfd p = {.fd = relay->watch.fd};
    return relay->linger_reset && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

void relay_socket_ended(struct relay *relay) {
    if (is_closed_to_reset(relay)) {
        relay_fail_behind_data(relay, -ECONNRESET);
        return;
    }
    relay->readable = false;
    relay->in = RELAY_IN_SHUT;
    smux_stream_close_write(relay->stream);
    finish_if_both_ended(relay);
    if (!relay_is_over(relay) && relay->socket_hup && relay->end->is_unix)
        relay_application_gone(relay);
}

/* ---- From stream to socket ----
 *
 * A stream whose peer has closed it in both directions, or may have: the socket is closed behind
 * what it is to get, instead of staying half open for as long as its other end likes. */

/* Nobody reads what the socket still sends: this kernel answers it with a reset, as the program's
 * kernel would. */
static void close_with_peer(struct relay *relay) {
    release_stream(relay);
    relay_finish(relay, relay->error ? RELAY_SOCKET_RESET : RELAY_DONE, relay->error);
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

/* The stream's FIN has been passed on. */
static void out_ended(struct relay *relay) {
    finish_if_both_ended(relay);
    if (relay_is_over(relay) || !relay->stream || !relay->end->closes_with_peer)
        return;
    if (relay->peer_closed)
        close_with_peer(relay);
    else if (relay->half_closed_us && relay->in == RELAY_IN_OPEN && peer_cannot_say(relay))
        wait_half_closed(relay);
}

/* Behind a write that has failed there is no FIN: it would say that nothing was lost. */
static void pass_fin(struct relay *relay) {
    relay->out = RELAY_OUT_SHUT;
    if (!relay->error)
        relay->end->shut(relay, relay->in == RELAY_IN_SHUT);
    out_ended(relay);
}

void relay_kept_written(struct relay *relay) {
    if (!relay_is_attached(relay)) /* the socket failed when it was written to */
        return;
    if (relay->state == RELAY_LEAVING)
        relay_finish(relay, RELAY_STREAM_RESET, relay->error);
    else if (relay->out == RELAY_OUT_DRAINING)
        pass_fin(relay);
}

void relay_eof(struct relay *relay) {
    if (relay_is_over(relay))
        return;
    relay->out = RELAY_OUT_DRAINING;
    if (relay_has_head(relay) && !relay->error) /* it was cut short: its owner decides */
        relay->ops->head(relay, NULL, 0);
    else if (relay_is_attached(relay) && kept_queue_is_empty(&relay->kept))
        pass_fin(relay);
}

void relay_peer_closed(struct relay *relay) {
    if (relay_is_over(relay))
        return;
    relay->peer_closed = true;
    if (relay_is_attached(relay) && relay->out == RELAY_OUT_SHUT)
        out_ended(relay);
}
