/* SPDX-License-Identifier: MIT */
/* connect_request.c - see connect_request.h. */
#include "helper/relay/connect_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "core/common/helper_protocol.h"

void connect_request_init(struct connect_request *request, const struct socks5_login *login) {
    memset(request, 0, sizeof *request);
    request->login = login;
}

const char *connect_protocol_name(enum connect_protocol protocol) {
    static const char *const names[] = {[CONNECT_UNKNOWN] = "unknown protocol",
                                        [CONNECT_SOCKS4] = "SOCKS4",
                                        [CONNECT_SOCKS5] = "SOCKS5",
                                        [CONNECT_HTTP] = "HTTP"};
    return names[protocol];
}

static void say(struct connect_request *request, const void *data, size_t len) {
    memcpy(request->answer + request->answer_len, data, len);
    request->answer_len += len;
}

/* ---- One protocol each ---- */

static enum socks5_progress feed_socks4(struct connect_request *request, const uint8_t *data,
                                        size_t len, size_t *taken) {
    struct socks4_server *socks = &request->parser.socks4;
    enum socks5_progress progress = socks4_server_feed(socks, data, len, taken);
    request->destination = socks->destination;
    request->why = socks->why;
    if (progress == SOCKS5_DONE && request->login) {
        request->why = "SOCKS4 has no password, which is needed here";
        progress = SOCKS5_BROKEN;
    }
    if (progress == SOCKS5_BROKEN)
        request->answer_len = socks4_reply_write(request->answer, -EACCES, NULL);
    return progress;
}

/* What is due now of what was not due before. */
static void answer_socks5(struct connect_request *request, bool greeted, uint8_t login_state,
                          bool broken) {
    const struct socks5_server *socks = &request->parser.socks5;
    if (socks->greeted && !greeted)
        say(request, request->login ? socks5_login_question : socks5_greeting_answer,
            SOCKS5_GREETING_ANSWER_LEN);
    if (socks->login_state != login_state)
        say(request, socks5_login_answer[socks->login_state == SOCKS5_LOGIN_ADMITTED],
            SOCKS5_LOGIN_ANSWER_LEN);
    if (broken && socks->without_method)
        say(request, socks5_no_method, SOCKS5_GREETING_ANSWER_LEN);
    if (broken && socks->reply) {
        uint8_t reply[SOCKS5_REPLY_MAX];
        size_t len = socks5_reply_write(reply, -EOPNOTSUPP, NULL);
        reply[1] = socks->reply;
        say(request, reply, len);
    }
}

static enum socks5_progress feed_socks5(struct connect_request *request, const uint8_t *data,
                                        size_t len, size_t *taken) {
    struct socks5_server *socks = &request->parser.socks5;
    bool greeted = socks->greeted;
    uint8_t login_state = socks->login_state;
    enum socks5_progress progress = socks5_server_feed(socks, data, len, taken);
    answer_socks5(request, greeted, login_state, progress == SOCKS5_BROKEN);
    request->destination = socks->destination;
    request->why = socks->why;
    return progress;
}

static enum socks5_progress feed_http(struct connect_request *request, const uint8_t *data,
                                      size_t len, size_t *taken) {
    struct http_connect *http = &request->parser.http;
    enum socks5_progress progress = http_connect_feed(http, data, len, taken);
    request->destination = http->destination;
    request->why = http->why;
    if (progress == SOCKS5_BROKEN)
        request->answer_len = http_answer_write((char *)request->answer, http->status, 0);
    return progress;
}

/* ---- All of them ---- */

static bool tell_apart(struct connect_request *request, uint8_t first) {
    if (first == 4) {
        request->protocol = CONNECT_SOCKS4;
        socks4_server_init(&request->parser.socks4);
    } else if (first == 5) {
        request->protocol = CONNECT_SOCKS5;
        socks5_server_init(&request->parser.socks5);
        request->parser.socks5.login = request->login;
    } else if (first >= 'A' && first <= 'Z') {
        request->protocol = CONNECT_HTTP;
        http_connect_init(&request->parser.http);
        request->parser.http.login = request->login;
    } else {
        request->why = "it begins neither as SOCKS nor as HTTP";
    }
    return request->protocol != CONNECT_UNKNOWN;
}

/* The private methods that our own clients send are not for a proxy: a name is a name, and one that
 * is an address in text is an address. */
static const char *complete(struct socks5_destination *destination) {
    struct endpoint *address = &destination->address;
    uint16_t port = address->port;
    if (port == 0)
        return "port 0";
    if (destination->name_len == 0)
        return NULL;
    memset(address, 0, sizeof *address);
    address->port = port;
    destination->name[destination->name_len] = '\0';
    if (inet_pton(AF_INET, destination->name, address->addr) == 1)
        address->family = AF_INET;
    else if (inet_pton(AF_INET6, destination->name, address->addr) == 1)
        address->family = AF_INET6;
    else if (!helper_host_name_valid(destination->name, destination->name_len))
        return "the host name has characters that no host name has";
    if (address->family)
        destination->name_len = 0;
    return NULL;
}

enum socks5_progress connect_request_feed(struct connect_request *request, const uint8_t *data,
                                          size_t len, size_t *taken) {
    static enum socks5_progress (*const feed[])(struct connect_request * request,
                                                const uint8_t *data, size_t len, size_t *taken) = {
        [CONNECT_SOCKS4] = feed_socks4, [CONNECT_SOCKS5] = feed_socks5, [CONNECT_HTTP] = feed_http};
    *taken = 0;
    request->answer_len = 0;
    if (len == 0)
        return SOCKS5_MORE;
    if (request->protocol == CONNECT_UNKNOWN && !tell_apart(request, data[0]))
        return SOCKS5_BROKEN;
    enum socks5_progress progress = feed[request->protocol](request, data, len, taken);
    if (progress != SOCKS5_DONE || !(request->why = complete(&request->destination)))
        return progress;
    uint8_t answer[CONNECT_ANSWER_MAX];
    size_t answer_len =
        connect_answer_write((enum connect_protocol)request->protocol, answer, -EHOSTUNREACH, NULL);
    say(request, answer, answer_len);
    return SOCKS5_BROKEN;
}

size_t connect_answer_write(enum connect_protocol protocol, uint8_t *out, int error,
                            const struct endpoint *bound) {
    switch (protocol) {
    case CONNECT_SOCKS4:
        return socks4_reply_write(out, error, bound);
    case CONNECT_SOCKS5:
        if (error == -EACCES || error == -EPERM)
            error = SOCKS5_DENIED;
        return socks5_reply_write(out, error, bound);
    case CONNECT_HTTP:
        return http_answer_write((char *)out, http_status_of(error), error);
    case CONNECT_UNKNOWN:
        break;
    }
    return 0; /* a fixed port: the connection itself is the answer */
}
