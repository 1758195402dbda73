/* SPDX-License-Identifier: MIT */
/*
 * tls_hello.h - what a client that is still a stranger sends in the clear, before OpenSSL sees it.
 *
 * OpenSSL allocates what the header of a handshake message announces, 128 KiB if a client likes,
 * and some 60 KiB for every handshake that has begun. So the length is checked here first, and a
 * server begins with OpenSSL only once the whole ClientHello has arrived.
 */
#ifndef HELPER_CARRIER_TLS_HELLO_H
#define HELPER_CARRIER_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest message in the clear. Clients' are 200 to 600 bytes, with post-quantum keys 3 KiB. */
#define TLS_HELLO_MAX 7168u

/* How far the records have been looked at. Zeroed before the first byte. */
struct tls_hello {
    uint8_t record[5], message[4];      /* their headers, */
    uint8_t record_len, message_len;    /* as far as they have come */
    uint32_t record_left, message_left; /* bytes that belong to them and have not come */
    bool whole;                         /* the first message has arrived, or what is none */
    bool too_long;                      /* a message is longer than TLS_HELLO_MAX */
};

/* Looks at the next bytes from the client. */
void tls_hello_look(struct tls_hello *hello, const uint8_t *data, size_t len);

#endif
