/* SPDX-License-Identifier: MIT */
/* carrier_tls.c - see carrier_tls.h. */
#include "helper/carrier/carrier_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/tls_alert.h"
#include "helper/carrier/tls_error.h"
#include "helper/carrier/tls_stream.h"

/* What one call reads from the lower carrier beyond what it was asked for, in pieces of
 * TLS_IN_SIZE: records may be empty, and everybody else waits. */
#define READS_EXTRA 2u

/* The lower carrier's handshake and end have no other limit than this one's own. */
#define LOWER_US UINT64_C(3600000000)

struct carrier_tls {
    struct carrier carrier;
    struct tls_context *context;
    struct tls_verdict verdict;
    struct loop_task task;
    SSL *ssl; /* from the handshake's first step to its last */
    char host[256];
    bool short_queue;            /* hold few bytes back */
    int read_error, write_error; /* errno for all further calls; 0: none */
    struct tls_wire wire;
    struct tls_stream stream; /* after the handshake */
};

static struct carrier_tls *self(struct carrier *carrier) {
    return container_of(carrier, struct carrier_tls, carrier);
}

/* Why reading and writing fail from now on. The first reason is the one that is told. */
static void set_why(struct carrier_tls *t, const char *why) {
    if (!t->carrier.why[0])
        snprintf(t->carrier.why, sizeof t->carrier.why, "%s", why);
}

/* Who closes without having read the hello resets the connection by that. */
static void explain(struct carrier_tls *t) {
    bool in_handshake = t->carrier.state == CARRIER_STARTING;
    bool closed = t->wire.eof || (in_handshake && t->wire.read_error == ECONNRESET);
    struct tls_failure failure = {.server = t->wire.server,
                                  .in_handshake = in_handshake,
                                  .eof = closed,
                                  .verdict = &t->verdict};
    enum carrier_failure kind = CARRIER_FAILED_OTHERWISE;
    char why[CARRIER_WHY_SIZE];
    if (t->wire.not_tls) {
        snprintf(why, sizeof why, "%s", t->wire.not_tls);
        kind = CARRIER_FAILED_NOT_TLS;
    } else if (t->wire.read_error && !closed) {
        snprintf(why, sizeof why, "%s", carrier_error_text(t->wire.lower, t->wire.read_error));
    } else {
        kind = tls_explain(&failure, why, sizeof why);
    }
    ERR_clear_error();
    set_why(t, why);
    t->carrier.failure = (uint8_t)kind;
}

/* ---- Handshake ---- */

static bool make_connection(struct carrier_tls *t) {
    BIO *bio = tls_wire_bio(&t->wire);
    t->ssl = bio ? tls_context_connection(t->context, &t->verdict, t->host) : NULL;
    if (!t->ssl) {
        BIO_free(bio);
        return false;
    }
    SSL_set_bio(t->ssl, bio, bio);
    return true;
}

/* `carrier.why` says why. */
static void fail(struct carrier_tls *t) {
    tls_wire_flush(&t->wire); /* the alert */
    carrier_has_failed(&t->carrier, t->carrier.why);
}

/* Nothing has come that TLS could begin with. What is something else is answered with an alert
 * (unexpected_message), by which it may know what it has got hold of. */
static void fail_at_once(struct carrier_tls *t) {
    if (t->wire.not_tls)
        tls_wire_put(&t->wire, tls_alert_unexpected, sizeof tls_alert_unexpected);
    if (t->wire.eof && !t->wire.heard)
        set_why(t, "the client has closed before it said anything");
    explain(t);
    fail(t);
}

static void on_task(struct loop_task *task);

/* This is only what one call may look at: the next turn goes on. */
static void go_on_later(struct carrier_tls *t) {
    if (t->wire.reads_left == 0 && t->wire.readable)
        loop_task_post(t->carrier.loop, &t->task, on_task);
}

/* A server spends nothing on a client that has not said all of its hello. */
static bool has_hello(struct carrier_tls *t) {
    if (tls_wire_gather(&t->wire))
        return true;
    if (t->wire.eof || t->wire.read_error)
        fail_at_once(t);
    else
        go_on_later(t);
    return false;
}

/* May a server answer another hello in this turn? */
static bool may_answer(const struct loop *loop) {
    static uint64_t turn_us;
    static unsigned answered;
    if (loop_now_us(loop) != turn_us)
        answered = 0;
    turn_us = loop_now_us(loop);
    return answered++ < TLS_ANSWERS_PER_TURN;
}

/* False: there is nothing to go on with, or not now. */
static bool begin(struct carrier_tls *t) {
    if (t->wire.server && !has_hello(t))
        return false;
    if (t->wire.server && !may_answer(t->carrier.loop)) {
        loop_task_post(t->carrier.loop, &t->task, on_task);
        return false;
    }
    if (make_connection(t))
        return true;
    set_why(t, "out of memory");
    fail(t);
    return false;
}

/* From here on the stream goes on with what OpenSSL has agreed on. */
static bool take_over(struct carrier_tls *t) {
    const SSL_CIPHER *suite = SSL_get_current_cipher(t->ssl);
    bool good = tls_stream_begin(&t->stream, &t->wire, suite, &t->verdict.traffic);
    tls_traffic_wipe(&t->verdict.traffic);
    SSL_free(t->ssl);
    t->ssl = NULL;
    if (!good)
        set_why(t, "out of memory");
    return good;
}

static void handshake_done(struct carrier_tls *t) {
    if (!tls_context_accepts(t->context, t->ssl, &t->verdict)) {
        set_why(t, t->verdict.why);
        t->carrier.failure = t->verdict.failure;
        fail(t);
        return;
    }
    t->wire.trusted = true;
    tls_context_name_peer(t->ssl, &t->verdict, &t->carrier);
    if (take_over(t))
        carrier_has_started(&t->carrier);
    else
        fail(t);
}

/* As far as it goes now; returns what SSL_get_error says. */
static int shake_hands(struct carrier_tls *t) {
    int error;
    do {
        ERR_clear_error();
        error = SSL_get_error(t->ssl, SSL_do_handshake(t->ssl));
    } while (tls_wire_flush(&t->wire) && error == SSL_ERROR_WANT_WRITE);
    return error;
}

static void handshake(struct carrier_tls *t) {
    t->wire.reads_left = READS_EXTRA;
    if (!t->ssl && !begin(t))
        return;
    int error = shake_hands(t);
    if (error == SSL_ERROR_NONE) {
        handshake_done(t);
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        explain(t);
        fail(t);
    } else if (t->wire.write_error) {
        set_why(t, carrier_error_text(t->wire.lower, t->wire.write_error));
        fail(t);
    } else {
        go_on_later(t);
    }
}

/* ---- Reading and writing ---- */

static ssize_t failed_with(int error) {
    errno = error;
    return -1;
}

static bool cannot_write(const struct carrier_tls *t) {
    return t->write_error || t->wire.write_error;
}

/* A peer that refuses this side says why before it closes: that may be there to be read. */
static void look_for_reason(struct carrier_tls *t) {
    tls_wire_events(&t->wire, EVENT_READ);
    t->wire.reads_left = READS_EXTRA;
    if (!t->read_error)
        tls_stream_look(&t->stream);
    if (t->stream.failed)
        explain(t);
}

static ssize_t writing_failed(struct carrier_tls *t) {
    if (t->wire.write_error && !t->carrier.why[0])
        look_for_reason(t);
    int error = t->write_error ? t->write_error : t->wire.write_error;
    set_why(t, carrier_error_text(t->wire.lower, error));
    return failed_with(error);
}

/* No byte for the user. */
static ssize_t nothing_yet(struct carrier_tls *t) {
    go_on_later(t);
    return cannot_write(t) ? writing_failed(t) : failed_with(EAGAIN);
}

/* There are no more bytes: the reason is kept. */
static void look_at_end(struct carrier_tls *t) {
    const struct tls_wire *wire = &t->wire;
    if (t->stream.ended || (!t->stream.failed && !wire->read_error && !wire->eof))
        return;
    if (!t->stream.failed)
        ERR_clear_error();
    if (t->stream.restless)
        set_why(t, "the peer changes its keys, or sends tickets, without end");
    explain(t);
    t->read_error = wire->read_error ? wire->read_error : wire->eof ? ECONNRESET : EPROTO;
}

static ssize_t tls_read(struct carrier *carrier, void *data, size_t len) {
    struct carrier_tls *t = self(carrier);
    size_t got = 0;
    t->wire.reads_left = (unsigned)(len / TLS_IN_SIZE) + READS_EXTRA;
    if (!t->read_error) {
        got = tls_stream_read(&t->stream, data, len);
        if (got < len)
            look_at_end(t);
        tls_wire_flush(&t->wire); /* an alert, perhaps */
    }
    if (got > 0)
        return (ssize_t)got;
    if (t->stream.ended)
        return 0;
    return t->read_error ? failed_with(t->read_error) : nothing_yet(t);
}

static bool has_room(const struct carrier_tls *t) {
    return tls_wire_has_room(&t->wire, t->short_queue ? 1 : TLS_OUT_RECORDS);
}

/* Returns how many of `left` bytes are in it; 0: the connection has failed. */
static size_t make_record(struct carrier_tls *t, struct iov_cursor *from, size_t left) {
    size_t len = left < TLS_RECORD_MAX ? left : TLS_RECORD_MAX;
    if (!t->stream.failed && tls_stream_write(&t->stream, from, len))
        return len;
    t->write_error = t->wire.write_error ? t->wire.write_error : EPROTO;
    return 0;
}

static ssize_t tls_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    struct carrier_tls *t = self(carrier);
    struct iov_cursor cursor = {iov, 0};
    size_t total = iov_total(iov, iovcnt), left = total;
    while (left > 0 && !cannot_write(t) &&
           (has_room(t) || (tls_wire_flush(&t->wire) && has_room(t))))
        left -= make_record(t, &cursor, left);
    tls_wire_flush(&t->wire);
    if (cannot_write(t))
        return writing_failed(t);
    return left < total ? (ssize_t)(total - left) : failed_with(EAGAIN);
}

static uint32_t tls_keep_short(struct carrier *carrier, bool on) {
    struct carrier_tls *t = self(carrier);
    t->short_queue = on;
    return t->wire.lower->ops->keep_short(t->wire.lower, on);
}

/* ---- The lower carrier's news ---- */

static void on_lower_ready(struct carrier *lower) {
    struct carrier_tls *t = lower->user;
    tls_wire_events(&t->wire, EVENT_READ | EVENT_WRITE);
    handshake(t);
}

static void on_lower_failed(struct carrier *lower, const char *why) {
    carrier_has_failed(&((struct carrier_tls *)lower->user)->carrier, why);
}

static void on_lower_ended(struct carrier *lower) {
    carrier_has_ended(&((struct carrier_tls *)lower->user)->carrier);
}

/* The last records are on their way: the lower carrier's end follows. True: that is done too. */
static bool end_lower(struct carrier_tls *t) {
    if (!tls_wire_flush(&t->wire) && !t->wire.write_error)
        return false;
    return carrier_shutdown(t->wire.lower, LOWER_US);
}

/* Room in the lower carrier is for what waits here first. Whose writing fails is told to look. */
static uint8_t for_user(struct carrier_tls *t, uint8_t events) {
    if (events & EVENT_WRITE && !tls_wire_flush(&t->wire))
        events = t->wire.write_error ? events | EVENT_READ : events & (uint8_t)~EVENT_WRITE;
    return events;
}

static void on_lower_events(struct carrier *lower, uint8_t events) {
    struct carrier_tls *t = lower->user;
    tls_wire_events(&t->wire, events);
    switch (t->carrier.state) {
    case CARRIER_STARTING:
        handshake(t);
        break;
    case CARRIER_READY:
        carrier_tell(&t->carrier, for_user(t, events));
        break;
    case CARRIER_ENDING:
        if (events & EVENT_WRITE && end_lower(t))
            carrier_has_ended(&t->carrier);
        break;
    default:
        break;
    }
}

static const struct carrier_user lower_user = {.ready = on_lower_ready,
                                               .failed = on_lower_failed,
                                               .events = on_lower_events,
                                               .ended = on_lower_ended};

/* ---- Its life ---- */

/* The handshake begins or goes on; or there is still something to read. */
static void on_task(struct loop_task *task) {
    struct carrier_tls *t = container_of(task, struct carrier_tls, task);
    if (t->carrier.state == CARRIER_STARTING)
        on_lower_ready(t->wire.lower);
    else
        carrier_tell(&t->carrier, EVENT_READ);
}

static int tls_start(struct carrier *carrier) {
    struct carrier_tls *t = self(carrier);
    int error = carrier_start(t->wire.lower, &lower_user, t, LOWER_US);
    if (error == 0 && carrier_is_ready(t->wire.lower))
        loop_task_post(carrier->loop, &t->task, on_task);
    return error;
}

static bool tls_shutdown(struct carrier *carrier) {
    struct carrier_tls *t = self(carrier);
    if (!cannot_write(t) && !t->read_error)
        tls_stream_close(&t->stream); /* into `out` */
    return end_lower(t);
}

static void tls_close(struct carrier *carrier) {
    struct carrier_tls *t = self(carrier);
    loop_task_cancel(carrier->loop, &t->task);
    carrier_close(t->wire.lower);
}

static void tls_free(struct carrier *carrier) {
    struct carrier_tls *t = self(carrier);
    SSL_free(t->ssl);
    tls_traffic_wipe(&t->verdict.traffic);
    tls_stream_free(&t->stream);
    tls_wire_fini(&t->wire);
    tls_context_unref(t->context);
    free(t);
}

static const struct carrier_ops tls_ops = {.start = tls_start,
                                           .read = tls_read,
                                           .writev = tls_writev,
                                           .keep_short = tls_keep_short,
                                           .shutdown = tls_shutdown,
                                           .close = tls_close,
                                           .free = tls_free};

struct carrier *carrier_tls_new(struct carrier *lower, struct tls_context *context,
                                const char *host) {
    struct carrier_tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    tls_wire_init(&t->wire, lower, tls_context_is_server(context));
    carrier_init(&t->carrier, &tls_ops, lower->loop, lower->peer);
    snprintf(t->host, sizeof t->host, "%s", host ? host : "");
    t->context = tls_context_ref(context);
    return &t->carrier;
}

/* ---- As a layer ---- */

static struct carrier *lay(const struct carrier_layer *layer, struct carrier *lower,
                           const char *server_name) {
    const struct tls_layer *tls = container_of(layer, const struct tls_layer, layer);
    errno = tls->context ? ENOMEM : EPROTONOSUPPORT;
    return tls->context ? carrier_tls_new(lower, tls->context, server_name) : NULL;
}

void tls_layer_use(struct tls_layer *layer, struct tls_context *context) {
    struct tls_context *old = layer->context;
    layer->layer.lay = lay;
    layer->context = context ? tls_context_ref(context) : NULL;
    tls_context_unref(old);
}
