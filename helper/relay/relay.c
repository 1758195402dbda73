/* SPDX-License-Identifier: MIT */
/* relay.c - see relay.h: life, and the way from the socket to the stream. The other way is in
 * relay_out.c, the kinds of socket are in relay_end.c. */
#include "helper/relay/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/net/stranger.h"
#include "helper/relay/relay_internal.h"

static void relay_task(struct loop_task *task);
static void again_later(struct relay *relay);
static const struct pump_sink_ops sink_ops;

/* ---- Life ---- */

void relay_init(struct relay *relay, struct reactor *reactor, const struct relay_ops *ops) {
    memset(relay, 0, sizeof *relay);
    relay->reactor = reactor;
    relay->ops = ops;
    relay->sink.ops = &sink_ops;
    relay->kept_end = &relay->kept;
    relay->watch.fd = -1;
}

void relay_bind(struct relay *relay, struct pump *pump, smux_stream *stream) {
    if (!relay_move(relay, RELAY_WAITING)) {
        smux_stream_reset(stream);
        return;
    }
    relay->pump = pump;
    relay->stream = stream;
    pump_bind(pump, &relay->sink, stream);
}

static void unbind(struct relay *relay, void (*close_stream)(smux_stream *stream)) {
    struct pump *pump = relay->pump;
    pump_unbind(pump, &relay->sink, relay->stream);
    close_stream(relay->stream);
    relay->stream = NULL;
    relay->pump = NULL;
    pump_kick(pump);
}

int relay_say(struct relay *relay, const void *data, size_t len) {
    ssize_t n = smux_stream_send(relay->stream, data, len);
    pump_kick(relay->pump);
    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : SMUX_ERR_NOMEM;
}

/* ---- The end ---- */

static void forget_loans(struct relay *relay) {
    while (relay->loans) {
        struct buffer *buffer = relay->loans;
        relay->loans = buffer->next;
        buffer->owner = NULL;
        buffer->next = buffer->prev = NULL;
    }
    relay->loan_len = 0;
}

/* Closes by a reset. A unix socket may have something unread whose closing blocks (stranger.h). */
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
    relay_drop_kept(relay);
    loop_timer_clear(loop, &relay->timer);
    loop_timer_clear(loop, &relay->ahead_timer);
    loop_task_cancel(loop, &relay->task);
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

void relay_drop_stream(struct relay *relay) {
    if (!relay->stream || !relay_move(relay, RELAY_IDLE))
        return;
    forget_loans(relay);
    relay_drop_kept(relay);
    unbind(relay, smux_stream_reset);
    relay->out = RELAY_OUT_OPEN;
}

void relay_release_stream(struct relay *relay) {
    forget_loans(relay);
    if (!relay_orphan_kept(relay))
        relay_drop_kept(relay);
    unbind(relay, smux_stream_reset);
}

/* What came before a reset can still be read, as from a kernel's receive queue; the socket is
 * closed behind it, also one that is still to be attached. */
static void leave_stream(struct relay *relay, enum relay_state to, int error) {
    relay_move(relay, to);
    relay_release_stream(relay);
    relay->in = RELAY_IN_SHUT;
    relay->error = error;
}

void relay_stream_reset(struct relay *relay, int error) {
    bool kept = relay->kept && relay->end == &relay_end_app && !relay->socket_hup;
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
        if (kept) {
            leave_stream(relay, RELAY_LEAVING, error);
            if (relay->kept)
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

/* ---- A reset goes behind what its sender said before ---- */

/* How long a window that stays closed can hold it up. */
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

/* The socket has no more to give: reset the stream when all it gave is on the carrier, which its
 * event of a reset tells (relay_stream_reset). */
static void fail_behind_data(struct relay *relay, int error) {
    struct loop *loop = relay->reactor->loop;
    if (!relay_is_attached(relay))
        return;
    relay->error = error;
    relay->readable = false;
    relay->in = RELAY_IN_SHUT;
    relay->discard = true;
    relay_drop_kept(relay);
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

/* Writing failed. There may be bytes to read before the reading fails as well. */
void relay_writing_failed(struct relay *relay, int error) {
    if (relay->in == RELAY_IN_SHUT) {
        fail_behind_data(relay, error);
        return;
    }
    if (!relay->error)
        relay->error = error;
    relay->discard = true;
    relay->readable = true;
    again_later(relay);
}

/* Ends the relay if both directions have ended. */
void relay_check_done(struct relay *relay) {
    if (relay->in == RELAY_IN_SHUT && relay->out == RELAY_OUT_SHUT)
        relay_finish(relay, RELAY_DONE, 0);
}

/* ---- Socket to stream ---- */

static void again_later(struct relay *relay) {
    loop_task_post(relay->reactor->loop, &relay->task, relay_task);
}

int relay_submit(struct relay *relay, struct buffer *buffer, size_t len) {
    const uint8_t *data = buffer->data;
    if (len <= RELAY_COPY_MAX) {
        ssize_t n = smux_stream_send(relay->stream, data, len);
        if (n == (ssize_t)len || (n < 0 && n != SMUX_ERR_NOMEM)) {
            buffer_put(&relay->reactor->pool, buffer);
            return n < 0 ? (int)n : 0;
        }
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    int error = pump_lend(relay->pump, &relay->sink, relay->stream, buffer, data, len);
    if (error) {
        buffer_put(&relay->reactor->pool, buffer);
        return error;
    }
    buffer->prev = NULL;
    buffer->next = relay->loans;
    if (relay->loans)
        relay->loans->prev = buffer;
    relay->loans = buffer;
    relay->loan_len += BUFFER_SIZE;
    return 0;
}

static void on_returned(struct pump_sink *sink, struct buffer *buffer) {
    struct relay *relay = container_of(sink, struct relay, sink);
    if (buffer->prev)
        buffer->prev->next = buffer->next;
    else
        relay->loans = buffer->next;
    if (buffer->next)
        buffer->next->prev = buffer->prev;
    relay->loan_len -= BUFFER_SIZE;
    if (relay->readable && relay->in == RELAY_IN_OPEN)
        again_later(relay);
}

/* How many bytes may be read now. Streams whose readers pause must not come to hold all that their
 * session may borrow: the readers of other streams, who do not pause, would get nothing. */
static size_t read_room(const struct relay *relay) {
    size_t cap = RELAY_LOAN_MAX;
    if (relay->reactor->pool.used_count > RELAY_BUFFERS_PLENTY || reactor_is_mixed(relay->reactor))
        cap = BUFFER_SIZE;
    size_t room = relay->loan_len < cap ? cap - relay->loan_len : 0;
    if (room == 0 || relay->pump->loans < RELAY_SESSION_LOANS_EASY)
        return room;
    uint64_t window = smux_stream_window_room(relay->stream);
    if (window > 0 && window < RELAY_COPY_MAX)
        window = RELAY_COPY_MAX; /* a copy takes nothing of what the session may borrow */
    return window < room ? (size_t)window : room;
}

static void on_writable(struct pump_sink *sink) {
    struct relay *relay = container_of(sink, struct relay, sink);
    if (relay->readable && relay->in == RELAY_IN_OPEN)
        again_later(relay);
}

static void on_may_borrow(struct pump_sink *sink) {
    again_later(container_of(sink, struct relay, sink));
}

/* The application has closed. What it said still goes out, as from a closed TCP socket; whatever
 * comes for it from now on the engine answers with a reset. */
static void application_gone(struct relay *relay) {
    if (relay->kept_len > 0) {
        fail_behind_data(relay, ECONNRESET);
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

static void socket_ended(struct relay *relay) {
    if (is_closed_to_reset(relay)) {
        fail_behind_data(relay, ECONNRESET);
        return;
    }
    relay->readable = false;
    relay->in = RELAY_IN_SHUT;
    smux_stream_close_write(relay->stream);
    relay_check_done(relay);
    if (!relay_is_over(relay) && relay->socket_hup && relay->end == &relay_end_app)
        application_gone(relay);
}

/* A notice that the application's close is to be a reset (core/common/CONTROL.md) comes on a
 * connection of its own: after a pause it may be there already, unseen, behind the end that came
 * after it. */
static bool notice_may_come(const struct relay *relay) {
    return relay->end == &relay_end_app && !relay->error && loop_is_behind(relay->reactor->loop);
}

static void read_socket(struct relay *relay) {
    size_t budget = RELAY_LOAN_MAX;
    while (relay->readable && relay->in == RELAY_IN_OPEN) {
        size_t room = read_room(relay);
        if (room == 0)
            break; /* on_returned or on_writable goes on */
        if (!pump_may_borrow(relay->pump)) {
            pump_park(relay->pump, &relay->sink); /* on_may_borrow does */
            break;
        }
        if (budget == 0) {
            again_later(relay);
            break;
        }
        ssize_t n = relay->end->read(relay, room < budget ? room : budget);
        if (n == 0 && notice_may_come(relay)) {
            again_later(relay);
            break;
        }
        if (n <= 0 && relay->error)
            fail_behind_data(relay, relay->error);
        else if (n == -EAGAIN)
            relay->readable = false;
        else if (n < 0)
            fail_behind_data(relay, (int)-n);
        else if (n == 0)
            socket_ended(relay);
        else
            budget -= (size_t)n < budget ? (size_t)n : budget;
        if (relay_is_over(relay))
            return;
    }
    if (relay->pump)
        pump_kick(relay->pump);
}

/* ---- The turn ---- */

/* News from a socket that has no more bytes to give: gone, or gone with a reset. */
static void news_after_eof(struct relay *relay, uint8_t events) {
    int error = 0;
    socklen_t len = sizeof error;
    if (events & EVENT_ERROR)
        getsockopt(relay->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        fail_behind_data(relay, error);
    else if (relay->socket_hup && relay->end == &relay_end_app)
        application_gone(relay);
}

static void react(struct relay *relay, uint8_t events) {
    if (events & EVENT_GONE)
        relay->socket_hup = true;
    if (events & EVENT_EOF)
        relay->socket_eof = true;
    if (events & EVENT_URGENT)
        relay->urgent = true;
    if (relay->socket_hup && relay->linger_reset && !relay->error)
        relay_writing_failed(relay, ECONNRESET);
    if (events & EVENT_WRITE && relay->watch.open)
        relay_socket_writable(relay);
    if (!relay->watch.open || !(events & EVENT_READ))
        return;
    relay->readable = true;
    if (relay->in == RELAY_IN_OPEN)
        read_socket(relay);
    else
        news_after_eof(relay, events);
}

static void relay_task(struct loop_task *task) {
    struct relay *relay = container_of(task, struct relay, task);
    uint8_t events = relay->early;
    relay->early = 0;
    if (events)
        react(relay, events);
    else
        read_socket(relay);
    if (relay->pump)
        pump_unpark(relay->pump); /* it may have had no use for its turn */
}

static void relay_on_fd(struct loop_watch *watch, uint32_t events) {
    react(container_of(watch, struct relay, watch), events_of(events));
}

void relay_hear(struct relay *relay, uint32_t events) {
    relay->early |= events_of(events);
}

void relay_broke(struct relay *relay, int error) {
    relay->error = error;
    relay->discard = true;
    relay->early |= EVENT_READ;
}

int relay_attach(struct relay *relay, int fd, const struct relay_end *end, uint32_t events) {
    static const uint8_t attached[] = {[RELAY_HEAD] = RELAY_OPEN_HEAD,
                                       [RELAY_WAITING] = RELAY_OPEN,
                                       [RELAY_ORPHANED] = RELAY_LEAVING};
    if (!relay_wants_socket(relay))
        return -EINVAL;
    if (relay->watch.open) {
        relay->watch.fn = relay_on_fd;
    } else {
        int error = loop_watch_add(relay->reactor->loop, &relay->watch, fd, end->mask, relay_on_fd);
        if (error)
            return error;
    }
    relay_move(relay, attached[relay->state]);
    relay->end = end;
    relay_hear(relay, events);
    if (relay->early)
        again_later(relay);
    if (relay_write_kept(relay))
        relay_pass_end(relay);
    return 0;
}

/* ---- The stream's events ---- */

static void on_data(struct pump_sink *sink, struct iovec *iov, int count, bool urgent) {
    relay_data(container_of(sink, struct relay, sink), iov, count, urgent);
}

static void on_eof(struct pump_sink *sink) {
    relay_eof(container_of(sink, struct relay, sink));
}

static void on_peer_closed(struct pump_sink *sink) {
    relay_peer_closed(container_of(sink, struct relay, sink));
}

static void on_reset(struct pump_sink *sink, int error) {
    relay_stream_reset(container_of(sink, struct relay, sink), error);
}

static const struct pump_sink_ops sink_ops = {.data = on_data,
                                              .eof = on_eof,
                                              .peer_closed = on_peer_closed,
                                              .reset = on_reset,
                                              .writable = on_writable,
                                              .returned = on_returned,
                                              .may_borrow = on_may_borrow};
