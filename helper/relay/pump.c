/* SPDX-License-Identifier: MIT */
/* pump.c - see pump.h. */
#include "helper/relay/pump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/tls_alert.h"
#include "helper/net/events.h"
#include "helper/net/iov.h"
#include "helper/net/log.h"

/* The most bytes that one turn moves in one direction, so that other descriptors are served. */
#define TURN_BYTES   (1024u * 1024u)
#define IOV_MAX_USED 64
#define BURST_BYTES  (128u * 1024u) /* of one stream in a row, while no small messages pass */

/* The most events of one read that a turn dispatches: a read may hold thousands of small frames,
 * each of which starts a connection or reports its outcome. */
#define TURN_EVENTS 256

/* The limit for a carrier's handshake. The pump's owner may have a shorter one. */
#define START_US 30000000u

/* How long a carrier may take to send what was written to it, once its session has ended. */
#define END_US 5000000u

static void pump_task(struct loop_task *task);
static const struct carrier_user carrier_user;
static void read_again(struct keeper *keeper);

struct pump *pump_new(struct reactor *reactor, struct carrier *carrier, enum smux_role role,
                      const smux_config *config, const struct pump_ops *ops, void *user) {
    struct pump *pump = calloc(1, sizeof *pump);
    int error = -ENOMEM;
    if (!pump)
        goto fail;
    pump->reactor = reactor;
    pump->carrier = carrier;
    pump->ops = ops;
    pump->user = user;
    list_init(&pump->sinks);
    list_init(&pump->parked);
    pump->keeper.resume = read_again;
    pump->since_us = loop_now_us(reactor->loop);
    if (smux_session_new(&pump->session, role, config, NULL, pump->since_us) != 0)
        goto fail;
    error = carrier_start(carrier, &carrier_user, pump, START_US);
    if (error)
        goto fail;
    pump->writable = carrier_is_ready(carrier);
    pump_kick(pump);
    return pump;
fail:
    if (pump)
        smux_session_free(pump->session);
    free(pump);
    errno = -error;
    return NULL;
}

void pump_kick(struct pump *pump) {
    if (!pump->closing)
        loop_task_post(pump->reactor->loop, &pump->task, pump_task);
}

bool pump_has_heard(const struct pump *pump) {
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    return info.frames_in > 0;
}

/* ---- Events ---- */

static void hand_over(struct pump *pump, bool urgent) {
    struct pump_sink *sink = pump->batch;
    int count = pump->gather_count;
    pump->batch = NULL;
    pump->gather_count = 0;
    if (sink)
        sink->ops->data(sink, pump->gather, count, urgent);
}

static void flush_batch(struct pump *pump) {
    hand_over(pump, false);
}

static void on_data(struct pump *pump, const smux_event *event) {
    struct pump_sink *sink = event->user;
    if (!sink) {
        smux_stream_consume(event->stream, event->len);
        return;
    }
    if (pump->batch != sink || pump->gather_count == PUMP_GATHER_MAX)
        flush_batch(pump);
    if (!list_is_linked(&sink->bound))
        return; /* an earlier event of this batch has made it give up the stream */
    pump->batch = sink;
    pump->gather[pump->gather_count++] = (struct iovec){(void *)event->data, event->len};
    if (event->urgent)
        hand_over(pump, true);
}

static void on_sent(struct pump *pump, const smux_event *event) {
    struct buffer *buffer = container_of(event->buffer, struct buffer, lent);
    struct pump_sink *sink = buffer->owner;
    if (sink)
        sink->ops->returned(sink, buffer);
    buffer_put(&pump->reactor->pool, buffer);
    pump->loans--;
    pump_unpark(pump);
}

/* Whether the peer sent a TLS record in place of a smux frame. */
static bool speaks_tls(const struct pump *pump) {
    return (pump->first == TLS_RECORD_ALERT || pump->first == TLS_RECORD_HANDSHAKE) &&
           !pump_has_heard(pump);
}

/* A client that begins a handshake is told in its own language that there is nobody who could. */
static void answer_tls(struct pump *pump) {
    struct iovec alert = {(void *)tls_alert_unexpected, sizeof tls_alert_unexpected};
    if (speaks_tls(pump) && pump->first == TLS_RECORD_HANDSHAKE && carrier_is_ready(pump->carrier))
        carrier_writev(pump->carrier, &alert, 1);
}

static const char tls_text[] = "the peer speaks TLS, expected tls:// on both sides or on neither";

/* Resets every sink: the engine reports no event for each stream when the session fails. */
static void on_failed(struct pump *pump, const smux_event *event) {
    pump->failed = true;
    while (!list_is_empty(&pump->sinks)) {
        struct pump_sink *sink = container_of(list_first(&pump->sinks), struct pump_sink, bound);
        sink->ops->reset(sink, event->error);
    }
    if (!pump->why[0] && speaks_tls(pump))
        snprintf(pump->why, sizeof pump->why, "%s", tls_text);
    if (!pump->why[0])
        snprintf(pump->why, sizeof pump->why, "%s: %s", smux_strerror(event->error),
                 smux_session_error_text(pump->session));
}

static void say_overrun(const struct pump *pump, const smux_stream *stream) {
    log_about(LOG_WARNING, ABOUT(.peer = pump->carrier->peer, .stream = smux_stream_id(stream)),
              "stream reset: its reader has stopped while max-receive-buffer was full");
}

static void dispatch(struct pump *pump, const smux_event *event) {
    struct pump_sink *sink = event->user;
    if (event->type != SMUX_EVENT_DATA)
        flush_batch(pump);
    switch (event->type) {
    case SMUX_EVENT_ACCEPT:
        if (pump->ops->accepted)
            pump->ops->accepted(pump, event->stream);
        else
            smux_stream_reset(event->stream);
        break;
    case SMUX_EVENT_DATA:
        on_data(pump, event);
        break;
    case SMUX_EVENT_EOF:
        if (sink)
            sink->ops->eof(sink);
        break;
    case SMUX_EVENT_RESET:
        if (event->error == SMUX_ERR_OVERRUN)
            say_overrun(pump, event->stream);
        if (sink)
            sink->ops->reset(sink, event->error);
        break;
    case SMUX_EVENT_PEER_CLOSED:
        if (sink)
            sink->ops->peer_closed(sink);
        break;
    case SMUX_EVENT_RETURNED:
        on_sent(pump, event);
        break;
    case SMUX_EVENT_GOAWAY:
        if (pump->ops->goaway)
            pump->ops->goaway(pump);
        break;
    case SMUX_EVENT_FAILED:
        on_failed(pump, event);
        break;
    case SMUX_EVENT_HELLO:
        if (pump->ops->hello)
            pump->ops->hello(pump);
        break;
    case SMUX_EVENT_WRITABLE: /* relays lend what does not fit, and wait for windows alone */
        if (sink)
            sink->ops->writable(sink);
        break;
    }
}

static void let_go(struct pump *pump) {
    if (!pump->held)
        return;
    kept_release(&pump->reactor->kept, &pump->keeper, sizeof *pump->held);
    reactor_receive_release(pump->reactor, pump->held);
    pump->held = NULL;
}

static void pump_free(struct loop_garbage *garbage) {
    struct pump *pump = container_of(garbage, struct pump, garbage);
    smux_session_free(pump->session);
    free(pump);
}

static void finish(struct pump *pump) {
    if (pump->closed)
        return;
    pump->closed = true;
    carrier_close(pump->carrier);
    pump->ops->closed(pump, smux_session_error(pump->session), pump->why);
    loop_discard(pump->reactor->loop, &pump->garbage, pump_free);
}

/* The session has ended: ends the carrier, in order if the session was closed in order. */
static void end_carrier(struct pump *pump) {
    struct loop *loop = pump->reactor->loop;
    if (pump->closing)
        return;
    pump->closing = true;
    let_go(pump);
    kept_wait_no_more(&pump->keeper);
    loop_timer_clear(loop, &pump->timer);
    loop_task_cancel(loop, &pump->task);
    answer_tls(pump);
    if (smux_session_error(pump->session) != SMUX_ERR_CLOSED ||
        carrier_shutdown(pump->carrier, END_US))
        finish(pump);
}

static void drain_events(struct pump *pump) {
    smux_event event;
    while (smux_session_next_event(pump->session, &event))
        dispatch(pump, &event);
    let_go(pump);
    flush_batch(pump);
    if (pump->failed)
        end_carrier(pump);
}

/* Keeps the receive buffer, whose remaining frames the next turn dispatches. False if there is no
 * memory for that. */
static bool hold(struct pump *pump) {
    struct reactor *reactor = pump->reactor;
    if (pump->held)
        return true;
    if (!kept_is_plentiful(&reactor->kept, &pump->keeper, sizeof *pump->held))
        return false;
    pump->held = reactor_receive_hold(reactor);
    kept_charge(&reactor->kept, &pump->keeper, sizeof *pump->held);
    return true;
}

/* Dispatches one turn's share of the events of the receive buffer. */
static void drain_some(struct pump *pump) {
    smux_event event;
    for (int i = 0; i < TURN_EVENTS; i++) {
        if (!smux_session_next_event(pump->session, &event)) {
            drain_events(pump);
            return;
        }
        dispatch(pump, &event);
    }
    if (pump->failed || !hold(pump)) {
        drain_events(pump);
        return;
    }
    flush_batch(pump);
    pump_kick(pump);
}

/* Dispatches events that do not come from a read. They must wait while a buffer is held, whose
 * events come first. */
static void drain_unless_held(struct pump *pump) {
    if (!pump->held)
        drain_events(pump);
}

void pump_fail(struct pump *pump, int error, const char *why) {
    if (pump->closing || smux_session_error(pump->session) != 0)
        return;
    snprintf(pump->why, sizeof pump->why, "%s", why);
    smux_session_fail(pump->session, error);
    /* If this is a callback of dispatch, its loop takes the event; otherwise the task does. */
    pump_kick(pump);
}

void pump_end(struct pump *pump, int error, const char *why) {
    pump_fail(pump, error, why);
    if (!pump->closing)
        drain_events(pump);
    if (pump->closing)
        finish(pump);
}

/* ---- The carrier ---- */

/* How long the result of keep_short, which measures the path, is used. */
#define KEEP_SHORT_US 5000u

/* Keeps the carrier's queues short while bulk data shares it with small messages (reactor_note).
 * `bulk`: the last read or write was a large one. */
static void adapt_queues(struct pump *pump, bool bulk) {
    uint64_t now_us = loop_now_us(pump->reactor->loop);
    bool mixed = reactor_is_mixed(pump->reactor);
    if (mixed ? !bulk || (pump->kept_short && now_us - pump->kept_short_us < KEEP_SHORT_US)
              : !pump->kept_short)
        return;
    smux_session_limit_windows(pump->session, pump->carrier->ops->keep_short(pump->carrier, mixed));
    pump->kept_short = mixed;
    pump->kept_short_us = now_us;
}

static bool carrier_failed(struct pump *pump, ssize_t n) {
    char why[CARRIER_WHY_SIZE + 40];
    int error = errno;
    if (n < 0 && error == EINTR)
        return false;
    pump->peer_closed =
        !speaks_tls(pump) &&
        (n == 0 || ((error == ECONNRESET || error == EPIPE) && !pump->carrier->why[0]));
    if (speaks_tls(pump))
        snprintf(why, sizeof why, "%s", tls_text);
    else if (n == 0)
        snprintf(why, sizeof why, "carrier closed by the peer");
    else
        snprintf(why, sizeof why, "carrier lost: %s", carrier_error_text(pump->carrier, error));
    pump_end(pump, SMUX_ERR_CARRIER, why);
    return true;
}

static void read_again(struct keeper *keeper) {
    struct pump *pump = container_of(keeper, struct pump, keeper);
    smux_session_pause_reading(pump->session, false, loop_now_us(pump->reactor->loop));
    pump_kick(pump);
}

/* Whether there is memory to read more. A carrier that has ended is read to its end in any case,
 * because the session's end frees what it keeps. */
static bool may_read(struct pump *pump) {
    struct kept *kept = &pump->reactor->kept;
    if (pump->ended || kept_may_read(kept, &pump->keeper)) {
        if (list_is_linked(&pump->keeper.waits)) {
            kept_wait_no_more(&pump->keeper);
            read_again(&pump->keeper);
        }
        return smux_session_want_read(pump->session);
    }
    kept_wait(kept, &pump->keeper);
    smux_session_pause_reading(pump->session, true, loop_now_us(pump->reactor->loop));
    return false;
}

static void read_carrier(struct pump *pump) {
    struct reactor *reactor = pump->reactor;
    size_t budget = TURN_BYTES;
    while (pump->readable && !pump->held && !pump->closing && may_read(pump)) {
        struct receive_buffer *buffer = reactor_receive_buffer(reactor);
        if (!buffer)
            return; /* `readable` remains set: the next turn tries again */
        size_t step = reactor_step(reactor);
        ssize_t n = carrier_read(pump->carrier, buffer->data, step);
        if (n < 0 && errno == EAGAIN) {
            pump->readable = false;
            return;
        }
        if (n <= 0) {
            if (carrier_failed(pump, n))
                return;
            continue;
        }
        if (n < (ssize_t)step && pump->carrier->ops->short_read_drains && !pump->ended)
            pump->readable = false;
        adapt_queues(pump, n == (ssize_t)step);
        if (pump->carrier->stats.bytes_in == (size_t)n)
            pump->first = buffer->data[0];
        smux_session_feed(pump->session, buffer->data, (size_t)n, loop_now_us(reactor->loop));
        drain_some(pump);
        if ((size_t)n >= budget || step < REACTOR_RECEIVE_SIZE)
            return;
        budget -= (size_t)n;
    }
}

/* Returns true if there may be more to write now. */
static bool write_once(struct pump *pump) {
    struct iovec iov[IOV_MAX_USED];
    smux_session_set_burst(pump->session, reactor_is_mixed(pump->reactor) ? 0 : BURST_BYTES);
    int count =
        smux_session_output(pump->session, iov, IOV_MAX_USED, loop_now_us(pump->reactor->loop));
    if (count <= 0)
        return false;
    size_t total = iov_total(iov, count);
    ssize_t n = carrier_writev(pump->carrier, iov, count);
    int error = errno;
    smux_session_output_done(pump->session, n > 0 ? (size_t)n : 0);
    if (n < 0 && error != EAGAIN) {
        errno = error;
        return !carrier_failed(pump, n);
    }
    if (n < (ssize_t)total)
        pump->writable = false;
    adapt_queues(pump, total >= REACTOR_STEP_MIXED);
    drain_unless_held(pump);
    return pump->writable && !pump->closing;
}

static void write_carrier(struct pump *pump) {
    for (size_t sent = 0; pump->writable && !pump->closing && sent < TURN_BYTES;
         sent += SMUX_OUTPUT_MAX)
        if (!write_once(pump))
            return;
}

void pump_flush(struct pump *pump) {
    while (pump->writable && !pump->closing && write_once(pump))
        continue;
}

/* ---- The turn ---- */

static void on_timer(struct loop_timer *timer) {
    struct pump *pump = container_of(timer, struct pump, timer);
    smux_session_tick(pump->session, loop_now_us(pump->reactor->loop));
    drain_unless_held(pump);
    pump_kick(pump);
}

/* Later deadlines do not move the timer: it fires early once, and is set again then. */
static void arm_timer(struct pump *pump) {
    uint64_t due_us = smux_session_deadline(pump->session);
    if (due_us == SMUX_NEVER)
        return;
    if (!pump->timer.armed || due_us < pump->timer.due_us)
        loop_timer_set(pump->reactor->loop, &pump->timer, due_us, on_timer);
}

static void pump_task(struct loop_task *task) {
    struct pump *pump = container_of(task, struct pump, task);
    if (pump->held)
        drain_some(pump);
    else
        drain_events(pump);
    if (pump->readable)
        read_carrier(pump);
    write_carrier(pump);
    if (pump->closing || pump->held)
        return; /* the next turn continues with the held buffer */
    arm_timer(pump);
    if ((pump->writable && smux_session_want_write(pump->session)) ||
        (pump->readable && smux_session_want_read(pump->session)))
        pump_kick(pump);
}

static void on_carrier_events(struct carrier *carrier, uint8_t events) {
    struct pump *pump = carrier->user;
    if (pump->closing)
        return;
    if (events & EVENT_EOF)
        pump->ended = true;
    if (events & EVENT_WRITE)
        pump->writable = true;
    if (events & EVENT_READ) {
        pump->readable = true;
        read_carrier(pump);
    }
    pump_kick(pump);
}

static void on_carrier_ready(struct carrier *carrier) {
    struct pump *pump = carrier->user;
    pump->readable = pump->writable = true;
    pump_kick(pump);
    if (pump->ops->ready)
        pump->ops->ready(pump);
}

static void on_carrier_failed(struct carrier *carrier, const char *why) {
    pump_end(carrier->user, SMUX_ERR_CARRIER, why);
}

static void on_carrier_ended(struct carrier *carrier) {
    finish(carrier->user);
}

static const struct carrier_user carrier_user = {.ready = on_carrier_ready,
                                                 .failed = on_carrier_failed,
                                                 .events = on_carrier_events,
                                                 .ended = on_carrier_ended};
