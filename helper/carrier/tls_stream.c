/* SPDX-License-Identifier: MIT */
/* tls_stream.c - see tls_stream.h. */
#include "helper/carrier/tls_stream.h"

#include <openssl/err.h>
#include <string.h>

#include "helper/carrier/tls_alert.h"

enum { ALERT_WARNING = 1, ALERT_FATAL = 2 };
enum { NEW_SESSION_TICKET = 4, KEY_UPDATE = 24 };

static bool init_keys(struct tls_keys *keys, const SSL_CIPHER *suite,
                      const struct tls_traffic *traffic, bool client, bool sending) {
    return client ? tls_keys_init(keys, suite, traffic->client, traffic->client_len, sending)
                  : tls_keys_init(keys, suite, traffic->server, traffic->server_len, sending);
}

bool tls_stream_begin(struct tls_stream *s, struct tls_wire *wire, const SSL_CIPHER *suite,
                      const struct tls_traffic *traffic) {
    s->wire = wire;
    s->key_records = TLS_KEY_RECORDS;
    return init_keys(&s->in, suite, traffic, wire->server, false) &&
           init_keys(&s->out, suite, traffic, !wire->server, true);
}

void tls_stream_free(struct tls_stream *s) {
    tls_keys_free(&s->in);
    tls_keys_free(&s->out);
}

/* ---- Writing ---- */

static bool put_record(struct tls_stream *s, uint8_t type, struct iov_cursor *from, size_t len) {
    uint8_t *out = tls_wire_extend(s->wire, len + TLS_RECORD_COST);
    return out && tls_record_seal(&s->out, type, from, len, out);
}

static bool put_bytes(struct tls_stream *s, uint8_t type, const void *data, size_t len) {
    struct iovec iov = {(void *)data, len};
    return put_record(s, type, &(struct iov_cursor){&iov, 0}, len);
}

static bool put_alert(struct tls_stream *s, uint8_t level, uint8_t alert) {
    return put_bytes(s, TLS_RECORD_ALERT, (uint8_t[]){level, alert}, 2);
}

/* What follows has another key. */
static bool put_update(struct tls_stream *s) {
    static const uint8_t update[] = {KEY_UPDATE, 0, 0, 1, 0};
    s->owes_update = false;
    return put_bytes(s, TLS_RECORD_HANDSHAKE, update, sizeof update) && tls_keys_next(&s->out);
}

bool tls_stream_write(struct tls_stream *s, struct iov_cursor *from, size_t len) {
    if ((s->owes_update || s->out.count >= s->key_records) && !put_update(s))
        return false;
    return put_record(s, TLS_RECORD_DATA, from, len);
}

void tls_stream_close(struct tls_stream *s) {
    put_alert(s, ALERT_WARNING, SSL_AD_CLOSE_NOTIFY);
}

/* ---- What is no data ---- */

/* The number of OpenSSL's reason for an alert that this side sends. */
static int reason_of(int alert) {
    switch (alert) {
    case SSL_AD_BAD_RECORD_MAC:
        return SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC;
    case SSL_AD_RECORD_OVERFLOW:
        return SSL_R_DATA_LENGTH_TOO_LONG;
    case SSL_AD_UNEXPECTED_MESSAGE:
        return SSL_R_UNEXPECTED_MESSAGE;
    case SSL_AD_ILLEGAL_PARAMETER:
        return SSL_R_BAD_KEY_UPDATE;
    case SSL_AD_DECODE_ERROR:
        return SSL_R_BAD_LENGTH;
    default:
        return ERR_R_INTERNAL_ERROR;
    }
}

static void fail_because(struct tls_stream *s, int reason) {
    s->failed = true;
    ERR_clear_error();
    ERR_raise(ERR_LIB_SSL, reason);
}

/* What has come cannot be gone on with. */
static void refuse_because(struct tls_stream *s, int alert, int reason) {
    put_alert(s, ALERT_FATAL, (uint8_t)alert);
    fail_because(s, reason);
}

static void refuse(struct tls_stream *s, int alert) {
    refuse_because(s, alert, reason_of(alert));
}

static void on_alert(struct tls_stream *s, const uint8_t *data, size_t len) {
    if (len != 2)
        refuse(s, SSL_AD_DECODE_ERROR);
    else if (data[1] == SSL_AD_CLOSE_NOTIFY)
        s->ended = true;
    else if (data[1] != SSL_AD_USER_CANCELLED) /* close_notify follows that one */
        fail_because(s, SSL_AD_REASON_OFFSET + data[1]);
}

static void on_message_header(struct tls_stream *s) {
    const uint8_t *header = s->message;
    s->message_left = (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
    if (header[0] == KEY_UPDATE && s->message_left != 1)
        refuse(s, SSL_AD_DECODE_ERROR);
    else if (header[0] != KEY_UPDATE && (header[0] != NEW_SESSION_TICKET || s->wire->server))
        refuse(s, SSL_AD_UNEXPECTED_MESSAGE);
    s->restless = ++s->messages > TLS_MESSAGES_FREE + s->bytes / TLS_MESSAGES_BYTES;
    if (s->restless && !s->failed)
        refuse(s, SSL_AD_UNEXPECTED_MESSAGE);
}

/* `behind`: bytes of the same record, of which there must not be any. */
static void on_key_update(struct tls_stream *s, uint8_t requested, size_t behind) {
    if (requested > 1)
        refuse(s, SSL_AD_ILLEGAL_PARAMETER);
    else if (behind > 0)
        refuse(s, SSL_AD_UNEXPECTED_MESSAGE);
    else if (!tls_keys_next(&s->in))
        refuse(s, SSL_AD_INTERNAL_ERROR);
    s->owes_update |= requested == 1;
}

/* Messages may be spread over records, and a record may have several. Nothing of them is kept. */
static void on_messages(struct tls_stream *s, const uint8_t *data, size_t len) {
    while (len > 0 && !s->failed) {
        size_t n = 1;
        if (s->message_len < sizeof s->message) {
            s->message[s->message_len++] = *data;
            if (s->message_len == sizeof s->message)
                on_message_header(s);
        } else {
            n = s->message_left < len ? s->message_left : len;
            s->message_left -= (uint32_t)n;
            if (s->message[0] == KEY_UPDATE)
                on_key_update(s, *data, len - n);
        }
        if (s->message_len == sizeof s->message && s->message_left == 0)
            s->message_len = 0;
        data += n;
        len -= n;
    }
}

/* A record of `len` bytes that is not for the user. */
static void on_other(struct tls_stream *s, uint8_t type, const uint8_t *data, size_t len) {
    if (++s->barren > TLS_BARREN_MAX)
        refuse(s, SSL_AD_UNEXPECTED_MESSAGE);
    else if (type == TLS_RECORD_HANDSHAKE && len > 0)
        on_messages(s, data, len);
    else if (type == TLS_RECORD_ALERT && s->message_len == 0)
        on_alert(s, data, len);
    else if (type != TLS_RECORD_DATA || s->message_len > 0) /* within a message */
        refuse(s, SSL_AD_UNEXPECTED_MESSAGE);
}

/* ---- Reading ---- */

/* The record at wire->in_off is done with. */
static void drop_record(struct tls_stream *s) {
    s->left_len = 0;
    tls_wire_take(s->wire, s->record_len);
}

/* A whole record at wire->in_off? */
static bool has_record(struct tls_stream *s) {
    struct tls_wire *wire = s->wire;
    if (!tls_wire_need(wire, TLS_RECORD_HEADER))
        return false;
    int len = tls_record_length(wire->in + wire->in_off);
    if (len == -SSL_AD_UNEXPECTED_MESSAGE)
        refuse_because(s, -len, SSL_R_BAD_RECORD_TYPE);
    else if (len < 0)
        refuse(s, -len);
    if (len < 0)
        return false;
    s->record_len = TLS_RECORD_HEADER + (size_t)len;
    return tls_wire_need(wire, s->record_len);
}

/* Decrypts the next record: into data[0..len) if it fits, and returns how much it has brought;
 * otherwise, and with `len` 0, to where it is. `*more`: it was there, and goes on. */
static size_t open_record(struct tls_stream *s, uint8_t *data, size_t len, bool *more) {
    uint8_t type = 0;
    *more = has_record(s);
    if (!*more)
        return 0;
    uint8_t *record = s->wire->in + s->wire->in_off, *plain = record + TLS_RECORD_HEADER;
    size_t body = s->record_len - TLS_RECORD_HEADER;
    bool fits = data && body - TLS_RECORD_TAG <= len;
    int n = tls_record_open(&s->in, record, body, fits ? data : plain, &type);
    if (n > 0 && type == TLS_RECORD_DATA && s->message_len == 0) {
        s->barren = 0;
        s->bytes += (uint64_t)n;
        s->left_off = TLS_RECORD_HEADER;
        s->left_len = fits ? 0 : (size_t)n;
        if (fits)
            drop_record(s);
        return fits ? (size_t)n : 0;
    }
    if (n < 0)
        refuse(s, -n);
    else
        on_other(s, type, fits ? data : plain, (size_t)n);
    drop_record(s);
    return 0;
}

static size_t take_left(struct tls_stream *s, uint8_t *data, size_t len) {
    size_t n = s->left_len < len ? s->left_len : len;
    memcpy(data, s->wire->in + s->wire->in_off + s->left_off, n);
    s->left_off += n;
    s->left_len -= n;
    if (s->left_len == 0)
        drop_record(s);
    return n;
}

size_t tls_stream_read(struct tls_stream *s, uint8_t *data, size_t len) {
    size_t got = 0;
    bool more = true;
    while (got < len && more && !s->ended && !s->failed)
        got += s->left_len > 0 ? take_left(s, data + got, len - got)
                               : open_record(s, data + got, len - got, &more);
    return got;
}

void tls_stream_look(struct tls_stream *s) {
    bool more = true;
    while (s->left_len == 0 && more && !s->ended && !s->failed)
        open_record(s, NULL, 0, &more);
}
