/* SPDX-License-Identifier: MIT */
/*
 * http_connect.h - HTTP/1.x CONNECT (RFC 9110, section 9.3.6), with Basic authentication (RFC
 * 7617): the server's side.
 *
 * The parser is incremental as that of socks5.h: it takes the head up to its empty line, and no
 * byte behind it. It keeps one line at a time, so that a long head needs no memory.
 */
#ifndef HELPER_RELAY_HTTP_CONNECT_H
#define HELPER_RELAY_HTTP_CONNECT_H

#include "helper/relay/socks5.h"

/* Of a line; a longer header that nobody asks for is skipped. And of the whole head. */
#define HTTP_LINE_MAX 1024u
#define HTTP_HEAD_MAX 16384u

struct http_connect {
    uint8_t state;
    bool admitted;                    /* name and password were right */
    const struct socks5_login *login; /* NULL: anybody. To be set after http_connect_init */
    uint16_t line_len, head_len;      /* bytes so far; a line is cut at HTTP_LINE_MAX */
    uint16_t status;                  /* when SOCKS5_BROKEN: to answer with */
    char line[HTTP_LINE_MAX];
    struct socks5_destination destination; /* when SOCKS5_DONE */
    const char *why;                       /* when SOCKS5_BROKEN */
};

void http_connect_init(struct http_connect *http);
enum socks5_progress http_connect_feed(struct http_connect *http, const uint8_t *data, size_t len,
                                       size_t *taken);

/* The status that says what a negative errno, or SOCKS5_DENIED, means for the client. 200 for 0. */
unsigned http_status_of(int error);

/* Writes an answer that ends the head. `error`: in an answer to a good request, what it failed with
 * (Proxy-Status, RFC 9209); 0: nothing is said of that. Returns the length. */
size_t http_answer_write(char *out, unsigned status, int error);
#define HTTP_ANSWER_MAX 400

#endif
