/* SPDX-License-Identifier: MIT */
/* tls_wire.c - see tls_wire.h. */
#include "helper/carrier/tls_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "helper/carrier/tls_alert.h"
#include "helper/carrier/tls_buffer.h"

_Static_assert(TLS_BUFFER_SIZE >= TLS_OUT_SIZE, "one kind of buffer is for both directions");

void tls_wire_init(struct tls_wire *wire, struct carrier *lower, bool server) {
    *wire = (struct tls_wire){.lower = lower, .server = server};
}

static void drop_in(struct tls_wire *wire) {
    if (wire->in_room == TLS_IN_SIZE)
        tls_buffer_return(wire->in);
    else
        free(wire->in);
    wire->in = NULL;
    wire->in_off = wire->in_len = 0;
}

static void drop_out(struct tls_wire *wire) {
    tls_buffer_return(wire->out);
    wire->out = NULL;
    wire->out_off = wire->out_len = 0;
}

void tls_wire_fini(struct tls_wire *wire) {
    drop_in(wire);
    drop_out(wire);
}

void tls_wire_events(struct tls_wire *wire, uint8_t events) {
    wire->readable |= (events & (EVENT_READ | EVENT_EOF)) != 0;
    wire->writable |= (events & EVENT_WRITE) != 0;
    wire->lower_ended |= (events & EVENT_EOF) != 0;
}

/* ---- Reading ---- */

/* A gateway at tcp:// says this of a hello. */
static bool is_plain_answer(const struct tls_wire *wire) {
    return !wire->server && wire->in_len == sizeof tls_alert_unexpected &&
           memcmp(wire->in, tls_alert_unexpected, sizeof tls_alert_unexpected) == 0;
}

/* What a peer speaks instead of TLS, by the first that it says; NULL: it may be TLS. */
static const char *spoken_instead(const struct tls_wire *wire) {
    uint8_t first = wire->in[0];
    bool plain = first == 1 || first == 2 || is_plain_answer(wire);
    if (!plain && (first == TLS_RECORD_HANDSHAKE || first == TLS_RECORD_ALERT))
        return NULL;
    if (plain)
        return wire->server
                   ? "the client speaks plain smux to a port of TLS, expected tls:// there"
                   : "the gateway speaks plain smux there, expected tcp:// here or tls:// there";
    return wire->server ? "the client does not speak TLS" : "the gateway does not speak TLS there";
}

/* A server's: follows the client's hello, and ends it where it grows too long. */
static void look_at_hello(struct tls_wire *wire, const uint8_t *data, size_t len) {
    tls_hello_look(&wire->hello, data, len);
    if (wire->hello.too_long || (!wire->hello.whole && wire->in_len == TLS_IN_SIZE_STRANGER))
        wire->not_tls = "the client's hello is longer than is taken here";
}

/* What is no TLS at all is told as such: OpenSSL would call it a wrong version. */
static void look_at_stranger(struct tls_wire *wire, const uint8_t *data, size_t len) {
    if (!wire->heard)
        wire->not_tls = spoken_instead(wire);
    wire->heard = true;
    if (wire->server && !wire->not_tls)
        look_at_hello(wire, data, len);
    if (wire->not_tls)
        wire->read_error = EPROTO;
}

static bool has_in(struct tls_wire *wire) {
    if (wire->in)
        return true;
    wire->in_room = wire->trusted ? TLS_IN_SIZE : TLS_IN_SIZE_STRANGER;
    wire->in = wire->trusted ? tls_buffer_take() : malloc(wire->in_room);
    if (!wire->in)
        wire->read_error = ENOMEM;
    return wire->in;
}

/* One read of the lower carrier, behind what there is. */
static ssize_t read_lower(struct tls_wire *wire) {
    size_t room = wire->in_room - wire->in_len;
    ssize_t n = carrier_read(wire->lower, wire->in + wire->in_len, room);
    if (n > 0 && n < (ssize_t)room && wire->lower->ops->short_read_drains && !wire->lower_ended)
        wire->readable = false;
    else if (n == 0)
        wire->eof = true;
    else if (n < 0 && errno == EAGAIN)
        wire->readable = false;
    else if (n < 0 && errno != EINTR)
        wire->read_error = errno;
    return n;
}

static bool read_more(struct tls_wire *wire) {
    if (!wire->readable || wire->eof || wire->read_error || wire->reads_left == 0 || !has_in(wire))
        return false;
    wire->reads_left--;
    ssize_t n = read_lower(wire);
    if (n > 0) {
        wire->in_len += (size_t)n;
        if (!wire->trusted)
            look_at_stranger(wire, wire->in + wire->in_len - n, (size_t)n);
    }
    if ((n <= 0 && wire->in_len == 0) || wire->read_error)
        drop_in(wire);
    return wire->in && n > 0;
}

bool tls_wire_fill(struct tls_wire *wire) {
    return (wire->in && wire->in_off < wire->in_len) || read_more(wire);
}

/* Makes room in `in` for a whole record: what has been taken goes, and so does a stranger's small
 * buffer. */
static bool make_room(struct tls_wire *wire) {
    size_t len = wire->in_len - wire->in_off;
    if (!wire->in)
        return true;
    if (wire->in_room < TLS_IN_SIZE) {
        uint8_t *small = wire->in, *large = tls_buffer_take();
        if (!large) {
            wire->read_error = ENOMEM;
            return false;
        }
        memcpy(large, small + wire->in_off, len);
        free(small);
        wire->in = large;
        wire->in_room = TLS_IN_SIZE;
    } else {
        memmove(wire->in, wire->in + wire->in_off, len);
    }
    wire->in_off = 0;
    wire->in_len = len;
    return true;
}

bool tls_wire_need(struct tls_wire *wire, size_t n) {
    while (wire->in_len - wire->in_off < n)
        if (!make_room(wire) || !read_more(wire))
            return false;
    return true;
}

void tls_wire_take(struct tls_wire *wire, size_t n) {
    wire->in_off += n;
    if (wire->in_off == wire->in_len)
        drop_in(wire);
}

bool tls_wire_gather(struct tls_wire *wire) {
    while (!wire->hello.whole)
        if (!read_more(wire))
            return false;
    return true;
}

/* ---- Writing ---- */

bool tls_wire_flush(struct tls_wire *wire) {
    while (wire->out_off < wire->out_len && wire->writable) {
        struct iovec iov = {wire->out + wire->out_off, wire->out_len - wire->out_off};
        ssize_t n = carrier_writev(wire->lower, &iov, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            wire->write_error = errno;
            return false;
        }
        wire->out_off += n > 0 ? (size_t)n : 0;
        wire->writable = n == (ssize_t)iov.iov_len;
    }
    if (wire->out_off < wire->out_len) {
        errno = EAGAIN;
        return false;
    }
    drop_out(wire);
    return true;
}

uint8_t *tls_wire_extend(struct tls_wire *wire, size_t len) {
    if (!wire->out && !(wire->out = tls_buffer_take())) {
        wire->write_error = ENOMEM;
        return NULL;
    }
    wire->out_len += len;
    return wire->out + wire->out_len - len;
}

size_t tls_wire_put(struct tls_wire *wire, const void *data, size_t len) {
    size_t n = TLS_OUT_SIZE - wire->out_len < len ? TLS_OUT_SIZE - wire->out_len : len;
    uint8_t *end = tls_wire_extend(wire, n);
    if (!end)
        return 0;
    memcpy(end, data, n);
    return n;
}

bool tls_wire_has_room(const struct tls_wire *wire, unsigned max_records) {
    return wire->writable && wire->out_off == 0 &&
           wire->out_len <= (max_records - 1) * (TLS_RECORD_MAX + TLS_RECORD_OVERHEAD);
}

/* ---- OpenSSL's view ---- */

static int bio_read(BIO *bio, char *data, size_t len, size_t *got) {
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = 0;
    if (!tls_wire_fill(wire)) {
        if (!wire->eof && !wire->read_error)
            BIO_set_retry_read(bio);
        return 0;
    }
    size_t n = wire->in_len - wire->in_off < len ? wire->in_len - wire->in_off : len;
    memcpy(data, wire->in + wire->in_off, n);
    tls_wire_take(wire, n);
    *got = n;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *done) {
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *done = tls_wire_put(wire, data, len);
    if (*done == 0 && !wire->write_error)
        BIO_set_retry_write(bio);
    return *done > 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    const struct tls_wire *wire = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return wire->eof;
    default:
        return 0;
    }
}

/* Made once; it lives as long as the process. */
static BIO_METHOD *wire_method(void) {
    static BIO_METHOD *method;
    if (method)
        return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "carrier");
    if (method && BIO_meth_set_read_ex(method, bio_read) &&
        BIO_meth_set_write_ex(method, bio_write) && BIO_meth_set_ctrl(method, bio_ctrl))
        return method;
    BIO_meth_free(method);
    method = NULL;
    return NULL;
}

BIO *tls_wire_bio(struct tls_wire *wire) {
    BIO *bio = wire_method() ? BIO_new(wire_method()) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    return bio;
}
