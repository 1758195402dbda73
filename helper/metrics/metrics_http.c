/* SPDX-License-Identifier: MIT */
/* metrics_http.c - see metrics_http.h. */
#include "helper/metrics/metrics_http.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/metrics/metrics_text.h"
#include "helper/metrics/microhttpd.h"
#include "helper/net/loop.h"

#ifndef SMUX_MICROHTTPD

bool metrics_http_start(const struct metrics *metrics, int fd, char *why, size_t size) {
    (void)metrics;
    (void)fd;
    return microhttpd_load(why, size);
}

void metrics_http_run(int until) {
    (void)until;
}

#else

/* What the answers of one text are made of, for as long as it is fresh. */
struct answer {
    struct MHD_Response *response;
    uint64_t made_us;
};

struct connection {
    uint64_t since_us; /* 0: this place is free */
    int fd;
};

static struct {
    const struct metrics *metrics;
    struct MHD_Daemon *daemon;
    int events; /* a descriptor */
    struct answer answer[METRICS_FORMATS];
    struct connection connections[METRICS_CONNECTIONS];
    bool freed; /* a place: the next connection may be waiting for it */
} server;

/* ---- Connections ---- */

/* libmicrohttpd notices the end, and closes it. */
static void end(struct connection *connection) {
    shutdown(connection->fd, SHUT_RDWR);
}

static void make_room(void) {
    struct connection *oldest = NULL;
    int used = 0;
    for (struct connection *c = server.connections; c < server.connections + METRICS_CONNECTIONS;
         c++) {
        used += c->since_us > 0;
        if (c->since_us > 0 && (!oldest || c->since_us < oldest->since_us))
            oldest = c;
    }
    if (used == METRICS_CONNECTIONS)
        end(oldest);
}

static void enter(struct MHD_Connection *connection, void **place) {
    const union MHD_ConnectionInfo *info =
        microhttpd.MHD_get_connection_info_(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (struct connection *c = server.connections;
         info && c < server.connections + METRICS_CONNECTIONS; c++)
        if (c->since_us == 0) {
            *c = (struct connection){loop_clock_us(), info->connect_fd};
            *place = c;
            break;
        }
    make_room();
}

static void on_connection(void *user, struct MHD_Connection *connection, void **place,
                          enum MHD_ConnectionNotificationCode code) {
    (void)user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        enter(connection, place);
    else if (*place)
        ((struct connection *)*place)->since_us = 0;
    server.freed |= code == MHD_CONNECTION_NOTIFY_CLOSED;
}

static void end_the_old(void) {
    uint64_t now_us = loop_clock_us();
    for (struct connection *c = server.connections; c < server.connections + METRICS_CONNECTIONS;
         c++)
        if (c->since_us > 0 && now_us - c->since_us > METRICS_CONNECTION_US)
            end(c);
}

/* ---- Answers ---- */

static struct MHD_Response *make_response(const char *text, size_t len,
                                          enum MHD_ResponseMemoryMode mode, const char *type) {
    struct MHD_Response *response =
        microhttpd.MHD_create_response_from_buffer_(len, (void *)text, mode);
    if (!response)
        return NULL;
    microhttpd.MHD_add_response_header_(response, "Content-Type", type);
    microhttpd.MHD_add_response_header_(response, "Cache-Control", "no-store");
    microhttpd.MHD_add_response_header_(response, "Connection", "close");
    return response;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text) {
    char line[260];
    snprintf(line, sizeof line, "%s\n", text);
    struct MHD_Response *response =
        make_response(line, strlen(line), MHD_RESPMEM_MUST_COPY, "text/plain; charset=utf-8");
    if (!response)
        return MHD_NO;
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        microhttpd.MHD_add_response_header_(response, "Allow", "GET, HEAD");
    enum MHD_Result result = microhttpd.MHD_queue_response_(connection, status, response);
    microhttpd.MHD_destroy_response_(response);
    return result;
}

static enum MHD_Result say_state(struct MHD_Connection *connection,
                                 bool (*is)(const struct metrics *, uint64_t, char *, size_t)) {
    char why[200];
    bool good = is(server.metrics, loop_clock_us(), why, sizeof why);
    return say(connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, good ? "ok" : why);
}

/* What has been made lately is good for all who ask. Whoever still sends an older one has it. */
static struct MHD_Response *fresh_text(enum metrics_format format) {
    struct answer *answer = &server.answer[format];
    uint64_t now_us = loop_clock_us();
    size_t len;
    if (answer->response && now_us - answer->made_us < METRICS_FRESH_US)
        return answer->response;
    char *text = metrics_text(server.metrics, format, now_us, &len);
    if (answer->response)
        microhttpd.MHD_destroy_response_(answer->response);
    answer->made_us = now_us;
    answer->response =
        text ? make_response(text, len, MHD_RESPMEM_MUST_FREE, metrics_content_type[format]) : NULL;
    return answer->response;
}

static enum MHD_Result say_metrics(struct MHD_Connection *connection) {
    const char *accept =
        microhttpd.MHD_lookup_connection_value_(connection, MHD_HEADER_KIND, "Accept");
    struct MHD_Response *response = fresh_text(metrics_format_wanted(accept));
    return response ? microhttpd.MHD_queue_response_(connection, MHD_HTTP_OK, response) : MHD_NO;
}

/* A request's body, if it has one, is not waited for. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **request) {
    (void)user;
    (void)version;
    (void)data;
    (void)data_len;
    (void)request;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "expected GET or HEAD");
    if (strcmp(url, "/metrics") == 0)
        return say_metrics(connection);
    if (strcmp(url, "/healthz") == 0)
        return say_state(connection, metrics_is_healthy);
    if (strcmp(url, "/readyz") == 0)
        return say_state(connection, metrics_is_ready);
    return say(connection, MHD_HTTP_NOT_FOUND, "expected /metrics, /healthz or /readyz");
}

/* ---- Life ---- */

bool metrics_http_start(const struct metrics *metrics, int fd, char *why, size_t size) {
    if (!microhttpd_load(why, size))
        return false;
    server.metrics = metrics;
    server.daemon = microhttpd.MHD_start_daemon_(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)METRICS_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)METRICS_REQUEST_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(METRICS_CONNECTION_US / 1000000u),
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        server.daemon ? microhttpd.MHD_get_daemon_info_(server.daemon, MHD_DAEMON_INFO_EPOLL_FD)
                      : NULL;
    if (!info) {
        snprintf(why, size, "libmicrohttpd cannot start");
        return false;
    }
    server.events = info->epoll_fd;
    return true;
}

/* How long nothing needs to be done. libmicrohttpd does not listen while every place is taken, and
 * begins again only when it is called once more. */
static int pause_ms(void) {
    MHD_UNSIGNED_LONG_LONG ms;
    bool freed = server.freed;
    server.freed = false;
    if (freed)
        return 0;
    bool any = microhttpd.MHD_get_timeout_(server.daemon, &ms) == MHD_YES;
    return any && ms < 1000 ? (int)ms : 1000;
}

void metrics_http_run(int until) {
    struct pollfd p[] = {{.fd = until, .events = POLLIN}, {.fd = server.events, .events = POLLIN}};
    while (p[0].revents == 0) {
        poll(p, 2, pause_ms());
        end_the_old();
        microhttpd.MHD_run_(server.daemon);
    }
    microhttpd.MHD_stop_daemon_(server.daemon);
}

#endif
