/* SPDX-License-Identifier: MIT */
/* tls_hello.c - see tls_hello.h. */
#include "helper/carrier/tls_hello.h"

#include <string.h>

#include "helper/carrier/tls_alert.h"

/* Copies what a header still lacks. Returns how many bytes that took. */
static size_t take_header(uint8_t *header, uint8_t *have, size_t size, const uint8_t *data,
                          size_t len) {
    size_t n = size - *have < len ? size - *have : len;
    memcpy(header + *have, data, n);
    *have = (uint8_t)(*have + n);
    return n;
}

static size_t look_at_record_header(struct tls_hello *hello, const uint8_t *data, size_t len) {
    size_t n = take_header(hello->record, &hello->record_len, sizeof hello->record, data, len);
    if (hello->record_len < sizeof hello->record)
        return n;
    hello->record_left = (uint32_t)hello->record[3] << 8 | hello->record[4];
    /* What is no handshake is for OpenSSL to judge. */
    hello->whole |= hello->record[0] != TLS_RECORD_HANDSHAKE;
    return n;
}

static void message_begins(struct tls_hello *hello) {
    const uint8_t *header = hello->message;
    hello->message_left = (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
    hello->too_long |= hello->message_left > TLS_HELLO_MAX;
}

/* A handshake message may be spread over records, and a record may have several. */
static size_t look_at_message(struct tls_hello *hello, const uint8_t *data, size_t len) {
    size_t n;
    if (hello->message_len < sizeof hello->message) {
        n = take_header(hello->message, &hello->message_len, sizeof hello->message, data, len);
        if (hello->message_len == sizeof hello->message)
            message_begins(hello);
    } else {
        n = hello->message_left < len ? hello->message_left : len;
        hello->message_left -= (uint32_t)n;
    }
    if (hello->message_len == sizeof hello->message && hello->message_left == 0) {
        hello->message_len = 0;
        hello->whole = true;
    }
    return n;
}

static size_t look_at_record(struct tls_hello *hello, const uint8_t *data, size_t len) {
    size_t n = hello->record_left < len ? hello->record_left : len;
    if (n > 0 && hello->record[0] == TLS_RECORD_HANDSHAKE)
        n = look_at_message(hello, data, n);
    hello->record_left -= (uint32_t)n;
    return n;
}

void tls_hello_look(struct tls_hello *hello, const uint8_t *data, size_t len) {
    while (len > 0 && !hello->too_long) {
        size_t n = hello->record_len < sizeof hello->record
                       ? look_at_record_header(hello, data, len)
                       : look_at_record(hello, data, len);
        if (hello->record_len == sizeof hello->record && hello->record_left == 0)
            hello->record_len = 0;
        data += n;
        len -= n;
    }
}
