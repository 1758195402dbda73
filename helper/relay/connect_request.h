/* SPDX-License-Identifier: MIT */
/*
 * connect_request.h - a request for a connection as proxies get it: SOCKS 5, 4 or 4a, or HTTP
 * CONNECT. The first byte tells which.
 *
 * The parser is incremental: it gives the same result however the bytes are split, and takes no
 * byte behind the request, which is the connection's first already. Nothing here does I/O.
 */
#ifndef HELPER_RELAY_CONNECT_REQUEST_H
#define HELPER_RELAY_CONNECT_REQUEST_H

#include "helper/relay/http_connect.h"
#include "helper/relay/socks4.h"
#include "helper/relay/socks5.h"

enum connect_protocol { CONNECT_UNKNOWN, CONNECT_SOCKS4, CONNECT_SOCKS5, CONNECT_HTTP };

#define CONNECT_ANSWER_MAX HTTP_ANSWER_MAX

struct connect_request {
    uint8_t protocol;                 /* enum connect_protocol */
    const struct socks5_login *login; /* NULL: anybody */
    union {
        struct socks4_server socks4;
        struct socks5_server socks5;
        struct http_connect http;
    } parser;
    /* What is to be sent now, if anything, after each call of connect_request_feed. */
    size_t answer_len;
    uint8_t answer[CONNECT_ANSWER_MAX];
    struct socks5_destination destination; /* when SOCKS5_DONE: a name, or an address */
    const char *why;                       /* when SOCKS5_BROKEN; a static text */
};

/* `login` lives as long as the request; NULL: nobody needs a password. */
void connect_request_init(struct connect_request *request, const struct socks5_login *login);

/* Takes bytes and sets *taken to their number. After SOCKS5_BROKEN the answer says so, as far as
 * the protocol can, and the connection is to be closed. */
enum socks5_progress connect_request_feed(struct connect_request *request, const uint8_t *data,
                                          size_t len, size_t *taken);

/* Writes the answer to a request that was SOCKS5_DONE: 0 with the connection's local address
 * (family 0: not known), or a negative errno. Returns the length, at most CONNECT_ANSWER_MAX. */
size_t connect_answer_write(enum connect_protocol protocol, uint8_t *out, int error,
                            const struct endpoint *bound);

/* "SOCKS5", for logs. */
const char *connect_protocol_name(enum connect_protocol protocol);

#endif
