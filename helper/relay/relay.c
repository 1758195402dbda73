/* SPDX-License-Identifier: MIT */
/* relay.c - see relay.h: hears what happens to stream and socket, and reads the socket. The way
 * from the stream to the socket is in relay_out.c, what an end means in relay_finish.c, the kinds
 * of socket are in relay_end.c. */
#include "helper/relay/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/net/log.h"
#include "helper/relay/relay_internal.h"

static void relay_task(struct loop_task *task);
static const struct pump_sink_ops sink_ops;

/* ---- Life ---- */

void relay_init(struct relay *relay, struct reactor *reactor, const struct relay_ops *ops) {
    memset(relay, 0, sizeof *relay);
    relay->reactor = reactor;
    relay->ops = ops;
    relay->sink.ops = &sink_ops;
    list_init(&relay->loans);
    kept_queue_init(&relay->kept, reactor);
    relay->watch.fd = -1;
    relay->count_from = relay->count_to = metrics_nowhere()->value;
}

void relay_bind(struct relay *relay, struct pump *pump, smux_stream *stream) {
    if (!relay_move(relay, RELAY_WAITING)) {
        smux_stream_reset(stream);
        return;
    }
    relay->pump = pump;
    relay->stream = stream;
    relay->kept.keeper = &pump->keeper;
    pump_bind(pump, &relay->sink, stream);
}

int relay_say(struct relay *relay, const void *data, size_t len) {
    ssize_t n = smux_stream_send(relay->stream, data, len);
    pump_kick(relay->pump);
    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : SMUX_ERR_NOMEM;
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
    list_prepend(&relay->loans, &buffer->loan);
    relay->loan_len += BUFFER_SIZE;
    return 0;
}

static void on_returned(struct pump_sink *sink, struct buffer *buffer) {
    struct relay *relay = container_of(sink, struct relay, sink);
    list_remove(&buffer->loan);
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

/* A notice that the application's close is to be a reset (core/common/CONTROL.md) comes on a
 * connection of its own: after a pause it may be there already, unseen, behind the end that came
 * after it. */
static bool notice_may_come(const struct relay *relay) {
    return relay->end == &relay_end_app && !relay->error && loop_is_behind(relay->reactor->loop);
}

static void note_read(struct relay *relay, ssize_t n) {
    if (n <= 0)
        return;
    relay->from_socket += (size_t)n;
    metrics_add(relay->count_from, (size_t)n);
    if (relay->limit)
        rate_spend(&relay->limit->from_socket, (size_t)n);
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
        room = room < budget ? room : budget;
        if (relay->limit && (room = rate_room(&relay->limit->from_socket, room)) == 0)
            break; /* on_rate_in does */
        ssize_t n = relay->end->read(relay, room);
        note_read(relay, n);
        if (n == 0 && notice_may_come(relay)) {
            again_later(relay);
            break;
        }
        if (n <= 0 && relay->error)
            relay_fail_behind_data(relay, relay->error);
        else if (n == -EAGAIN)
            relay->readable = false;
        else if (n < 0)
            relay_fail_behind_data(relay, (int)n);
        else if (n == 0)
            relay_socket_ended(relay);
        else
            budget -= (size_t)n < budget ? (size_t)n : budget;
        if (n > 0 && relay->error) /* read to the end: there may be no further event */
            relay->readable = true;
        if (relay_is_over(relay))
            return;
    }
    if (relay->pump)
        pump_kick(relay->pump);
}

/* ---- Stream to socket ---- */

/* A write has failed. There may still be bytes to read before reading fails as well. */
static void writing_failed(struct relay *relay, int error) {
    if (relay->in == RELAY_IN_SHUT) {
        relay_fail_behind_data(relay, error);
        return;
    }
    if (!relay->error)
        relay->error = error;
    relay->discard = true;
    relay->readable = true;
    again_later(relay);
}

/* Acts on the outcome of a write that is not 0 (relay_internal.h). */
static void write_failed(struct relay *relay, int outcome) {
    if (outcome == -ENOMEM) {
        log_about(LOG_WARNING,
                  ABOUT(.peer = relay->pump ? relay->pump->carrier->peer : NULL,
                        .stream = relay->stream ? smux_stream_id(relay->stream) : 0),
                  "stream reset: out of memory for data its reader does not take");
        relay_finish(relay, RELAY_GIVEN_UP, outcome);
    } else if (outcome != -EAGAIN) {
        writing_failed(relay, outcome);
    }
}

/* Writes what is kept, and then passes on the end of the stream if it has come. */
static void write_kept(struct relay *relay) {
    int outcome = relay_out_write_kept(relay);
    if (outcome)
        write_failed(relay, outcome);
    if (outcome != -EAGAIN)
        relay_kept_written(relay);
}

static void socket_writable(struct relay *relay) {
    if (relay->blocked)
        write_kept(relay);
    else if (relay->end->out_on_demand) /* nobody waits: stop hearing of every read */
        loop_watch_mask(relay->reactor->loop, &relay->watch, relay->end->mask);
}

/* Passes bytes from the front to the handshake. False if nothing is left, or if the relay has ended
 * or lost its stream. */
static bool take_head(struct relay *relay, struct iovec **iov, int *count) {
    while (*count > 0 && relay_has_head(relay)) {
        size_t taken = relay->ops->head(relay, (*iov)->iov_base, (*iov)->iov_len);
        if (relay_is_over(relay) || !relay->stream)
            return false;
        relay_consume(relay, taken);
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + taken;
        (*iov)->iov_len -= taken;
        if ((*iov)->iov_len > 0)
            break;
        ++*iov;
        --*count;
    }
    return *count > 0;
}

void relay_data(struct relay *relay, struct iovec *iov, int count, bool urgent) {
    if (!take_head(relay, &iov, &count))
        return;
    int outcome = relay_out_write(relay, iov, count, urgent);
    if (outcome)
        write_failed(relay, outcome);
}

/* ---- Bounds ---- */

static void on_rate_in(struct rate_user *user) {
    struct relay *relay = container_of(user, struct relay_limit, from_socket)->relay;
    if (relay->stream)
        read_socket(relay);
}

static void on_rate_out(struct rate_user *user) {
    struct relay *relay = container_of(user, struct relay_limit, to_socket)->relay;
    if (relay_is_attached(relay) && relay->watch.open)
        socket_writable(relay);
}

void relay_limit(struct relay *relay, struct relay_limit *limit, struct rate *from_socket,
                 struct rate *to_socket) {
    if (relay_is_over(relay))
        return;
    limit->relay = relay;
    relay->limit = limit;
    rate_join(&limit->from_socket, from_socket, on_rate_in);
    if (!relay_is_over(relay)) /* what was waiting may have gone on, to the end */
        rate_join(&limit->to_socket, to_socket, on_rate_out);
}

/* ---- The turn ---- */

/* An event of a socket whose end of file has been read: it was closed or reset. */
static void news_after_eof(struct relay *relay, uint8_t events) {
    int error = 0;
    socklen_t len = sizeof error;
    if (events & EVENT_ERROR)
        getsockopt(relay->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        relay_fail_behind_data(relay, -error);
    else if (relay->socket_hup && relay->end->is_unix)
        relay_application_gone(relay);
}

static void react(struct relay *relay, uint8_t events) {
    if (events & EVENT_GONE)
        relay->socket_hup = true;
    if (events & EVENT_EOF)
        relay->socket_eof = true;
    if (events & EVENT_URGENT)
        relay->urgent = true;
    if (relay->socket_hup && relay->linger_reset && !relay->error)
        writing_failed(relay, -ECONNRESET);
    if (events & EVENT_WRITE && relay->watch.open)
        socket_writable(relay);
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
    write_kept(relay);
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
