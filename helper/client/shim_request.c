/* SPDX-License-Identifier: MIT */
/* shim_request.c - see shim_request.h. Step numbers are those of core/common/CONTROL.md. */
#include "helper/client/shim_request.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "helper/client/app_socket.h"
#include "helper/client/name_table.h"
#include "helper/net/events.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"
#include "helper/net/stranger.h"

/* The time limit for an incomplete request. The shim sends its requests at once. */
#define REQUEST_TIMEOUT_US 5000000u

/* Attempts to find a free abstract name. Ids have 64 random bits, so even a second attempt is
 * unlikely. */
#define NAME_ATTEMPTS 4

/* ---- States ---- */

#define TO(state) (1u << REQUEST_##state)

static const struct state_table states = {
    .what = "request",
    .state = {[REQUEST_READING] = {"reading", TO(OPENING) | TO(OVER)},
              [REQUEST_OPENING] = {"opening", TO(TELLING) | TO(OVER)},
              [REQUEST_TELLING] = {"telling", TO(TELLING) | TO(OPENED) | TO(OPEN) | TO(OVER)},
              [REQUEST_OPENED] = {"opened", TO(OPEN) | TO(OVER)},
              [REQUEST_OPEN] = {"open", TO(OVER)},
              [REQUEST_OVER] = {"over", 0}}};

/* The only function that changes the state. An invalid transition ends this request only. */
static bool move(struct shim_request *request, enum request_state to) {
    if (state_move(&states, &request->state, to))
        return true;
    conn_end(&request->conn, -EPROTO);
    return false;
}

static void on_fd(struct loop_watch *watch, uint32_t events);
static void on_outcome(struct conn *conn, int error, const struct endpoint *local);
static void on_ended(struct conn *conn);

static const struct conn_ops request_ops = {.outcome = on_outcome, .ended = on_ended};

/* ---- Life ---- */

static struct loop *loop_of(struct shim_request *request) {
    return request->conn.conns->reactor->loop;
}

static void close_app_fd(struct shim_request *request) {
    if (request->opening->proven && request->opening->app_fd >= 0)
        close(request->opening->app_fd);
    else
        stranger_close(request->opening->app_fd, request->conn.uid);
    request->opening->app_fd = -1;
}

static void free_request(struct loop_garbage *garbage) {
    struct shim_request *request = container_of(garbage, struct shim_request, garbage);
    free(request->opening);
    free(request);
}

/* The request no longer counts as incomplete. */
static void been_read(struct shim_request *request) {
    if (request->conn.account && !request->read)
        request->conn.account->requests--;
    request->read = true;
}

static void on_ended(struct conn *conn) {
    struct shim_request *request = container_of(conn, struct shim_request, conn);
    move(request, REQUEST_OVER);
    been_read(request);
    account_put(&conn->conns->upstreams->accounts, conn->account);
    if (request->opening) {
        loop_timer_clear(loop_of(request), &request->opening->timer);
        abandon_watch_stop(&request->opening->pending);
        loop_watch_close(&request->opening->opened);
        close_app_fd(request);
    }
    loop_discard(loop_of(request), &request->garbage, free_request);
}

/* The request is invalid: logs one line and closes without a name (ECONNREFUSED). */
static void reject(struct shim_request *request, const char *why) {
    log_of(LOG_WARNING, ABOUT(.pid = request->conn.pid, .uid = request->conn.uid),
           "request refused: %s", why);
    conn_end(&request->conn, -EPROTO);
}

static void on_timeout(struct loop_timer *timer) {
    reject(container_of(timer, struct request_opening, timer)->request,
           "incomplete after the time limit");
}

bool shim_request_new(struct conns *conns, struct abandon_watches *watches, int fd,
                      const struct ucred *cred, struct account *account) {
    struct shim_request *request = calloc(1, sizeof *request);
    struct request_opening *opening = calloc(1, sizeof *opening);
    int one = 1;
    if (!request || !opening) {
        free(request);
        free(opening);
        return false;
    }
    request->opening = opening;
    opening->request = request;
    opening->watches = watches;
    conn_init(&request->conn, conns, &request_ops);
    request->opening->app_fd = -1;
    conn_set_user(&request->conn, cred, account);
    if (account)
        account->requests++;
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    int error = loop_watch_add(conns->reactor->loop, &request->conn.relay.watch, fd,
                               relay_end_app.mask, on_fd);
    if (error) {
        stranger_close(fd, cred->uid);
        reject(request, strerror(-error));
        return true;
    }
    loop_timer_set(conns->reactor->loop, &request->opening->timer,
                   loop_now_us(conns->reactor->loop) + REQUEST_TIMEOUT_US, on_timeout);
    return true;
}

/* ---- Step 8: the outcome ---- */

static uint64_t random_id(void) {
    uint64_t id = 0;
    while (getrandom(&id, sizeof id, GRND_NONBLOCK) != sizeof id && errno == EINTR)
        continue;
    return id;
}

/* Binds the application's end to the name that contains the outcome. This also proves that the
 * descriptor is the other end of this connection: otherwise the peer of the helper's end would not
 * get that name. `error`: 0 or a negative errno; in the name it is positive. */
static bool bind_outcome(struct shim_request *request, int error) {
    struct conn *conn = &request->conn;
    struct helper_outcome outcome = {
        .id = request->opening->header.id, .err = -error, .dest = conn->dest};
    struct sockaddr_un name, peer;
    socklen_t len = 0, peer_len = sizeof peer;
    outcome.local =
        helper_request_local(&request->opening->header, &request->opening->outcome_local);
    len = helper_outcome_pack(&outcome, &name);
    int failed = bind(request->opening->app_fd, (struct sockaddr *)&name, len);
    for (int i = 1; failed && errno == EADDRINUSE && i < NAME_ATTEMPTS; i++) {
        outcome.id = random_id();
        len = helper_outcome_pack(&outcome, &name);
        failed = bind(request->opening->app_fd, (struct sockaddr *)&name, len);
    }
    if (failed) {
        reject(request, "the descriptor is not an unnamed AF_UNIX socket");
        return false;
    }
    conns_set_id(conn->conns, conn, outcome.id);
    if (getpeername(conn->relay.watch.fd, (struct sockaddr *)&peer, &peer_len) < 0 ||
        peer_len != len || memcmp(&peer, &name, len) != 0) {
        reject(request, "the descriptor is not the other end of this connection");
        return false;
    }
    request->opening->proven = true;
    return true;
}

static int gate_left(const struct shim_request *request) {
    return HELPER_GATE_LEN - (int)sizeof request->opening->header -
           request->opening->header.name_len;
}

/* Opens the gate: reads all of it except one byte, the residue. */
static bool drain_gate(struct shim_request *request) {
    static char junk[HELPER_GATE_LEN]; /* never read */
    size_t left = (size_t)gate_left(request) - 1;
    while (left > 0) {
        bool descriptors; /* are closed */
        ssize_t n = stranger_receive(request->conn.relay.watch.fd, request->conn.uid,
                                     &(struct iovec){junk, left}, 1, &descriptors);
        if (n <= 0)
            return false;
        left -= (size_t)n;
    }
    return true;
}

static int wanted_sndbuf(const struct helper_request *header) {
    if (header->sndbuf > HELPER_OPEN_SNDBUF && header->sndbuf <= INT32_MAX)
        return (int)header->sndbuf;
    return HELPER_OPEN_SNDBUF;
}

/* The application's end is complete: starts the relay. `events`: those of the helper's end that
 * have not been handled meanwhile. */
static void start(struct shim_request *request, uint32_t events) {
    if (!move(request, REQUEST_OPEN))
        return;
    close_app_fd(request);
    loop_timer_clear(loop_of(request), &request->opening->timer);
    free(request->opening);
    request->opening = NULL;
    conn_start(&request->conn, -1, true, events);
}

static void on_opened(struct loop_watch *watch, uint32_t events) {
    struct shim_request *request = container_of(watch, struct request_opening, opened)->request;
    (void)events;
    loop_watch_close(watch);
    start(request, EPOLLIN);
}

/* For users other than the helper's own: the loop must not wait for the locks of their sockets. */
static bool open_in_thread(struct shim_request *request) {
    struct request_opening *opening = request->opening;
    int done[2];
    if (pipe2(done, O_CLOEXEC) < 0)
        return false;
    if (loop_watch_add(loop_of(request), &opening->opened, done[0], EPOLLIN, on_opened) != 0) {
        close(done[0]);
        close(done[1]);
        return false;
    }
    if (!stranger_set_sndbuf(opening->app_fd, request->conn.uid, wanted_sndbuf(&opening->header),
                             done[1])) {
        close(done[1]);
        return false;
    }
    opening->app_fd = -1;
    move(request, REQUEST_OPENED);
    return true;
}

static void tell_success(struct shim_request *request) {
    int sndbuf = wanted_sndbuf(&request->opening->header);
    if (!drain_gate(request)) {
        reject(request, "expected the rest of the gate");
        return;
    }
    request->conn.relay.linger_reset = app_socket_resets(request->opening->app_fd);
    if (!request->conn.account) {
        setsockopt(request->opening->app_fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
        start(request, 0);
    } else if (!open_in_thread(request)) {
        reject(request, "out of memory or descriptors");
    }
}

/* Gives the outcome if the whole gate has arrived; otherwise the next edge calls this again. */
static void tell(struct shim_request *request) {
    int unread = 0;
    if (ioctl(request->conn.relay.watch.fd, SIOCINQ, &unread) < 0 || unread < gate_left(request))
        return;
    int error = request->opening->outcome_error;
    if (!bind_outcome(request, error))
        return;
    if (error == 0) {
        tell_success(request);
        return;
    }
    close_app_fd(request);
    conn_end(&request->conn, error);
}

static void on_outcome(struct conn *conn, int error, const struct endpoint *local) {
    struct shim_request *request = container_of(conn, struct shim_request, conn);
    if (request->state == REQUEST_OPENED) { /* eager: success was given, but the connect fails */
        conn_end(conn, error);
        return;
    }
    if (!move(request, REQUEST_TELLING))
        return;
    request->opening->outcome_error = error;
    if (local)
        request->opening->outcome_local = *local;
    abandon_watch_stop(&request->opening->pending);
    loop_timer_set(loop_of(request), &request->opening->timer,
                   loop_now_us(loop_of(request)) + REQUEST_TIMEOUT_US, on_timeout);
    tell(request);
}

/* ---- Notices ---- */

static void apply_notice(struct shim_request *request) {
    struct conn *own = &request->conn;
    bool found;
    struct conn *conn = conns_find(own->conns, request->opening->header.id, own->uid, &found);
    if (conn)
        conn->relay.linger_reset = request->opening->header.flags & HELPER_LINGER_RESET;
    else if (found)
        log_of(LOG_WARNING, ABOUT(.pid = own->pid, .uid = own->uid),
               "notice about another user's connection ignored");
    conn_end(own, 0);
}

/* ---- Questions about names ---- */

static void answer_question(struct shim_request *request) {
    struct conn *conn = &request->conn;
    uint8_t answer[NAME_ANSWER_SIZE];
    size_t len = name_answer(conn->conns->names, &conn->conns->config->routes, conn->uid,
                             &request->opening->header, request->opening->name, answer);
    /* Nothing else has been sent on it, so there is room. A peer that has gone needs no answer. */
    if (send(conn->relay.watch.fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_of(LOG_DEBUG, ABOUT(.pid = conn->pid, .uid = conn->uid), "no answer about a name: %s",
               strerror(errno));
    conn_end(conn, 0);
}

/* ---- Steps 5 to 7: the request ---- */

/* Takes the descriptors passed by SCM_RIGHTS. Returns NULL, or what is wrong with them. */
static const char *take_descriptors(struct shim_request *request, struct msghdr *msg) {
    const char *why = NULL;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        int fds[STRANGER_FDS_MAX];
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
            if (request->opening->app_fd < 0 && count == 1) {
                request->opening->app_fd = fds[i];
            } else {
                stranger_close(fds[i], request->conn.uid);
                why = "more than one descriptor";
            }
        }
    }
    if (msg->msg_flags & MSG_CTRUNC)
        why = "descriptors were lost on the way: too many, or this helper has none left";
    return why;
}

static void version_mismatch(struct shim_request *request) {
    log_of(LOG_WARNING, ABOUT(.pid = request->conn.pid, .uid = request->conn.uid),
           "request refused: its shim speaks control version %u, this helper %u",
           request->opening->header.version, HELPER_PROTOCOL_VERSION);
    /* Of this header only the version has a known meaning. */
    request->opening->header.family = AF_INET;
    request->opening->header.flags = 0;
    request->opening->outcome_local = (struct endpoint){AF_INET, HELPER_PROTOCOL_VERSION, 0, {0}};
    if (request->opening->app_fd < 0 || !bind_outcome(request, -EPROTO)) {
        conn_end(&request->conn, -EPROTO);
        return;
    }
    close_app_fd(request);
    conn_end(&request->conn, -EPROTO);
}

static void serve_connect(struct shim_request *request) {
    struct conn *conn = &request->conn;
    if (request->opening->app_fd < 0) {
        reject(request, "no descriptor");
        return;
    }
    /* Binding the outcome will prove that it is the peer. */
    if (!app_socket_is_unix_stream(request->opening->app_fd)) {
        reject(request, "the descriptor is not an unnamed AF_UNIX socket");
        return;
    }
    conn->dest = request->opening->header.dest;
    conn->relay.linger_reset = request->opening->header.flags & HELPER_LINGER_RESET;
    if (request->opening->header.name_len > 0)
        conn->name = strdup(request->opening->name);
    if (!move(request, REQUEST_OPENING))
        return;
    loop_timer_clear(loop_of(request), &request->opening->timer);
    abandon_watch_start(request->opening->watches, &request->opening->pending, conn,
                        request->opening->app_fd, helper_request_fd(&request->opening->header));
    conn_open(conn);
}

/* The request is complete. */
static void serve(struct shim_request *request) {
    uint16_t name_len = request->opening->header.name_len;
    been_read(request);
    if (name_len > 0 && !helper_host_name_valid(request->opening->name, name_len))
        reject(request, "the host name has characters that are not allowed in one");
    else if (request->opening->header.kind == HELPER_REQUEST_CONNECT)
        serve_connect(request);
    else
        answer_question(request);
}

/* The header has been read. Returns true if a name must be read next. */
static bool header_complete(struct shim_request *request) {
    enum helper_request_problem problem =
        helper_request_check(&request->opening->header, sizeof request->opening->header);
    if (problem == HELPER_REQUEST_VERSION) {
        version_mismatch(request);
        return false;
    }
    if (problem != HELPER_REQUEST_OK) {
        char why[120];
        snprintf(why, sizeof why, "it is %s", helper_request_problem_text(problem));
        reject(request, why);
        return false;
    }
    if (request->opening->header.kind == HELPER_NOTICE_LINGER) {
        apply_notice(request);
        return false;
    }
    return true;
}

/* Reads up to len bytes of the request. Returns false if nothing has been read, or nothing more
 * will be. */
static bool read_part(struct shim_request *request, void *at, size_t len) {
    if (stranger_is_jammed(request->conn.uid)) {
        reject(request, "descriptors that this user has sent cannot be closed");
        return false;
    }
    union {
        char space[CMSG_SPACE(STRANGER_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {at, len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(request->conn.relay.watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0) {
        const char *why = take_descriptors(request, &msg);
        request->opening->have = (uint16_t)(request->opening->have + n);
        if (!why)
            return true;
        reject(request, why);
    } else if (request->opening->have == 0) {
        conn_end(&request->conn, 0); /* a probe: it only asks whether a helper listens */
    } else {
        reject(request, "it ends before it is complete");
    }
    return false;
}

static void read_request(struct shim_request *request) {
    const uint16_t header_len = sizeof request->opening->header;
    while (request->opening->have < header_len) {
        if (!read_part(request, (char *)&request->opening->header + request->opening->have,
                       (size_t)(header_len - request->opening->have)))
            return;
        if (request->opening->have == header_len && !header_complete(request))
            return;
    }
    uint16_t total = (uint16_t)(header_len + request->opening->header.name_len);
    while (request->opening->have < total)
        if (!read_part(request, request->opening->name + request->opening->have - header_len,
                       (size_t)(total - request->opening->have)))
            return;
    serve(request);
}

static void on_fd(struct loop_watch *watch, uint32_t events) {
    struct relay *relay = container_of(watch, struct relay, watch);
    struct conn *conn = container_of(relay, struct conn, relay);
    struct shim_request *request = container_of(conn, struct shim_request, conn);
    /* Bytes that are read here need not be reported again, but an end is reported only once. */
    if (request->state != REQUEST_OPEN)
        relay_hear(relay, events & ~(uint32_t)(EPOLLIN | EPOLLOUT));
    switch ((enum request_state)request->state) {
    case REQUEST_READING:
        read_request(request);
        break;
    case REQUEST_OPENING:
    case REQUEST_OPENED:
        break;
    case REQUEST_TELLING:
        tell(request);
        break;
    case REQUEST_OPEN: /* eager: success was given, and the stream is not yet open */
        relay_hear(relay, events);
        break;
    case REQUEST_OVER:
        return;
    }
    /* While the helper has a copy of the application's end, only a shutdown causes a hang-up. */
    if (events_of(events) & EVENT_GONE && request->state == REQUEST_OPENING)
        conn_fail(conn, -ECONNRESET, "shut down by the program");
}
