/* SPDX-License-Identifier: MIT */
/*
 * loop_helper.c - the helper's side of core/common/CONTROL.md without a gateway: a thread for each
 * connection relays it to plain TCP from the same host. The oracle compares programs that run
 * direct with programs that run under the shim and this helper, so that differences are due to the
 * shim.
 *
 *     loop_helper [-d DELAY_MS] [-t TIMEOUT_MS] [-e] [-r] SOCKET_PATH
 *
 * -d waits before each outcome, -t is the connect timeout, -e reports success before connecting. -r
 * does not connect: it waits until the program sleeps in connect, and then gives it success, some
 * data and a reset, all before the program runs again. Prints "ready" when it listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asleep.h"
#include "core/common/helper_protocol.h"

#define RELAY_SIZE 65536

static int delay_ms, timeout_ms = 10000;
static bool eager, hasty;

/* One direction: bytes received and not yet sent on. */
struct pipe {
    char bytes[RELAY_SIZE];
    size_t at, len;
    bool ended;  /* the source sends no more */
    bool closed; /* and the sink was told */
    bool urgent; /* the last byte is */
};

struct relay {
    struct relay *next;
    uint64_t id;
    int b, target, copy_of_a;
    bool linger_reset, residue, broken;
    struct pipe out, in; /* application -> target, target -> application */
};

static struct relay *relays;
static pthread_mutex_t relays_lock = PTHREAD_MUTEX_INITIALIZER;

static void relays_add(struct relay *relay) {
    pthread_mutex_lock(&relays_lock);
    relay->next = relays;
    relays = relay;
    pthread_mutex_unlock(&relays_lock);
}

static void relays_remove(struct relay *relay) {
    pthread_mutex_lock(&relays_lock);
    for (struct relay **at = &relays; *at; at = &(*at)->next)
        if (*at == relay) {
            *at = relay->next;
            break;
        }
    pthread_mutex_unlock(&relays_lock);
}

static void handle_notice(const struct helper_request *req) {
    pthread_mutex_lock(&relays_lock);
    for (struct relay *relay = relays; relay; relay = relay->next)
        if (relay->id == req->id)
            relay->linger_reset = req->flags & HELPER_LINGER_RESET;
    pthread_mutex_unlock(&relays_lock);
}

/* Receives the header, and the application's end if it was passed. Returns the number of bytes. */
static ssize_t receive_request(int b, struct helper_request *req, int *fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {req, sizeof *req};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(b, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    *fd = -1;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return n;
}

/* The connection was established, and the target has reset it since. */
#define BROKEN (-1)

/* A hang-up of `b` means that the application has shut down: the connect is aborted. */
static int connect_target(int fd, int b, const struct helper_request *req) {
    struct sockaddr_storage addr;
    struct pollfd pfd[2] = {{.fd = fd, .events = POLLOUT}, {.fd = eager ? -1 : b}};
    int err = 0, only_v6 = 0;
    socklen_t len = sizeof err;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);
    if (req->flags & HELPER_LOCAL_BOUND) {
        int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        len = endpoint_to_sockaddr(&req->local, &addr);
        /* The application's TCP socket holds the port until the swap. */
        int failed = bind(fd, (struct sockaddr *)&addr, len);
        for (int i = 0; failed && errno == EADDRINUSE && i < 1000; i++) {
            usleep(1000);
            failed = bind(fd, (struct sockaddr *)&addr, len);
        }
        if (failed)
            return errno;
    }
    len = endpoint_to_sockaddr(&req->dest, &addr);
    if (connect(fd, (struct sockaddr *)&addr, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (poll(pfd, 2, timeout_ms) == 0)
        return ETIMEDOUT;
    if (pfd[1].revents & POLLHUP)
        return ECONNRESET;
    len = sizeof err;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return err == ECONNRESET || err == EPIPE ? BROKEN : err;
}

/* Step 8a: the gate must be complete before anything is drained. */
static void wait_for_gate(int b, size_t rest) {
    struct pollfd pfd = {.fd = b, .events = POLLIN};
    int have = 0;
    while (ioctl(b, SIOCINQ, &have) == 0 && (size_t)have < rest && poll(&pfd, 1, 1000) > 0 &&
           !(pfd.revents & POLLHUP))
        usleep(100);
}

static void give_outcome(struct relay *relay, const struct helper_request *req, int err) {
    struct helper_outcome outcome = {.id = req->id, .err = err, .dest = req->dest};
    struct sockaddr_storage addr;
    struct sockaddr_un name;
    socklen_t len = sizeof addr;
    int sndbuf = req->sndbuf > HELPER_OPEN_SNDBUF ? (int)req->sndbuf : HELPER_OPEN_SNDBUF;
    char scratch[HELPER_GATE_LEN];
    size_t rest = HELPER_GATE_LEN - sizeof *req - req->name_len;
    outcome.local.family = req->family;
    if (!err && getsockname(relay->target, (struct sockaddr *)&addr, &len) == 0)
        endpoint_from_sockaddr(&outcome.local, (struct sockaddr *)&addr, len);
    outcome.local = helper_request_local(req, &outcome.local);
    wait_for_gate(relay->b, rest);
    bind(relay->copy_of_a, (struct sockaddr *)&name, helper_outcome_pack(&outcome, &name));
    if (!err && recv(relay->b, scratch, rest - 1, MSG_WAITALL) != (ssize_t)rest - 1)
        fprintf(stderr, "loop_helper: the gate was shorter than HELPER_GATE_LEN\n");
    if (!err) {
        struct linger linger = {0};
        len = sizeof linger;
        pthread_mutex_lock(&relays_lock); /* what a notice says is newer than what is read first */
        getsockopt(relay->copy_of_a, SOL_SOCKET, SO_LINGER, &linger, &len);
        relay->linger_reset = linger.l_onoff && linger.l_linger == 0;
        pthread_mutex_unlock(&relays_lock);
        setsockopt(relay->copy_of_a, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
    }
    close(relay->copy_of_a);
    relay->residue = true;
}

/* Peeks. *marked: the last byte came with a descriptor, so it is urgent
 * (core/common/CONTROL.md). */
static ssize_t peek_marked(int b, void *bytes, size_t len, bool *marked) {
    struct iovec iov = {bytes, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = recvmsg(b, &msg, MSG_PEEK | MSG_DONTWAIT);
    *marked = msg.msg_flags & MSG_CTRUNC;
    return n;
}

/* Receives new bytes from the helper's end, with the old residue; the last new byte stays unread
 * instead. Returns false if the application reset the connection. */
static bool receive_from_application(struct relay *relay, bool *hung_up) {
    struct pipe *pipe = &relay->out;
    /* Check for the end before the amount, so that nothing can arrive in between. */
    struct pollfd pfd = {.fd = relay->b, .events = POLLRDHUP};
    int have = 0;
    poll(&pfd, 1, 0);
    ioctl(relay->b, SIOCINQ, &have);
    size_t fresh = (size_t)(have - relay->residue > 0 ? have - relay->residue : 0);
    if (fresh > RELAY_SIZE - 1)
        fresh = RELAY_SIZE - 1;
    if (fresh) {
        char first[RELAY_SIZE + 1];
        size_t skip = relay->residue;
        ssize_t n = peek_marked(relay->b, first, fresh + skip, &pipe->urgent);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        if (n == 1 &&
            skip) { /* the residue was urgent: what is behind it comes with the next read */
            pipe->urgent = false;
            relay->residue = false;
            return recv(relay->b, first, 1, MSG_DONTWAIT) == 1;
        }
        fresh = (size_t)n - skip;
        memcpy(pipe->bytes, first + skip, fresh);
        size_t take = relay->in.closed ? fresh + skip : fresh + skip - 1;
        relay->residue = !relay->in.closed;
        pipe->at = 0;
        pipe->len = fresh;
        return take == 0 || recv(relay->b, first, take, MSG_DONTWAIT) > 0;
    }
    char byte;
    if (pfd.revents & (POLLRDHUP | POLLHUP))
        pipe->ended = true;
    if (pfd.revents & POLLHUP)
        *hung_up = true;
    if (!*hung_up)
        return true;
    return !(recv(relay->b, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET) &&
           !(recv(relay->b, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
}

/* Sends what is pending; false if the sink is gone. */
static bool pass_on(struct pipe *pipe, int fd) {
    while (pipe->len) {
        size_t len = pipe->urgent && pipe->len > 1 ? pipe->len - 1 : pipe->len;
        int flags = pipe->urgent && pipe->len == 1 ? MSG_OOB : 0;
        ssize_t n = send(fd, pipe->bytes + pipe->at, len, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        pipe->at += (size_t)n;
        pipe->len -= (size_t)n;
    }
    return true;
}

/* Receives from the target; its urgent byte comes alone. */
static ssize_t receive_from_target(struct relay *relay, bool may_be_urgent) {
    struct pipe *pipe = &relay->in;
    int at_mark = 0;
    if (may_be_urgent)
        ioctl(relay->target, SIOCATMARK, &at_mark);
    pipe->urgent = at_mark && recv(relay->target, pipe->bytes, 1, MSG_OOB | MSG_DONTWAIT) == 1;
    return pipe->urgent ? 1 : recv(relay->target, pipe->bytes, RELAY_SIZE, MSG_DONTWAIT);
}

static void reset(int fd) {
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void end_of_target(struct relay *relay) {
    char rest[2];
    shutdown(relay->b, SHUT_WR);
    relay->in.closed = true;
    if (relay->residue) {
        int have = 0;
        ioctl(relay->b, SIOCINQ, &have);
        /* Receive only the residue: bytes after it are new and still to be relayed. */
        recv(relay->b, rest, 1, MSG_DONTWAIT);
        relay->residue = false;
    }
}

/* One turn of the relay; false when it has ended. */
static bool turn(struct relay *relay) {
    struct pollfd pfd[2] = {{.fd = relay->b}, {.fd = relay->target}};
    bool b_may_read = !relay->out.ended && relay->out.len == 0;
    pfd[0].events = (short)(b_may_read ? POLLIN | POLLRDHUP : 0) | (relay->in.len ? POLLOUT : 0);
    pfd[1].events = (short)(!relay->in.ended && relay->in.len == 0 ? POLLIN | POLLPRI : 0) |
                    (relay->out.len ? POLLOUT : 0);
    /* The residue keeps the helper's end readable, so a level-triggered poll would spin: check for
     * more bytes at short intervals. */
    int have = 0;
    ioctl(relay->b, SIOCINQ, &have);
    if (relay->residue && have <= 1)
        pfd[0].events &= ~POLLIN;
    poll(pfd, 2, 1);
    if (pfd[1].revents & POLLERR && relay->in.closed)
        return false; /* a reset after the end: the application's next write is EPIPE */
    bool hung_up = pfd[0].revents & (POLLHUP | POLLERR);
    if (b_may_read && !receive_from_application(relay, &hung_up)) {
        reset(relay->target);
        return false;
    }
    if (!pass_on(&relay->out, relay->target))
        return false;
    if (relay->out.ended && relay->out.len == 0 && !relay->out.closed) {
        relay->out.closed = true;
        if (relay->linger_reset && hung_up)
            reset(relay->target);
        else
            shutdown(relay->target, SHUT_WR);
    }
    if (hung_up && relay->out.closed) {
        char residue; /* left there, it would be a reset for a reader that shut down both ways */
        recv(relay->b, &residue, 1, MSG_DONTWAIT);
        return false;
    }
    if (!relay->in.ended && relay->in.len == 0) {
        ssize_t n = receive_from_target(relay, pfd[1].revents & POLLPRI);
        if ((n < 0 && errno != EAGAIN) || (n == 0 && relay->broken))
            return false; /* B is closed with the residue: the application sees the reset */
        relay->in.at = 0;
        relay->in.len = n > 0 ? (size_t)n : 0;
        relay->in.ended = n == 0;
    }
    pass_on(&relay->in, relay->b);
    if (relay->in.ended && relay->in.len == 0 && !relay->in.closed)
        end_of_target(relay);
    return !(relay->in.closed && relay->out.closed);
}

/* The gate stays full until the helper's end is closed, which is the reset: only that wakes the
 * program. */
static void speak_and_reset(struct relay *relay, const struct helper_request *req) {
    struct helper_outcome outcome = {.id = req->id, .dest = req->dest, .local = req->local};
    struct sockaddr_un name;
    struct ucred program;
    socklen_t len = sizeof program;
    if (getsockopt(relay->b, SOL_SOCKET, SO_PEERCRED, &program, &len) != 0)
        return;
    await_sleep(program.pid);
    bind(relay->copy_of_a, (struct sockaddr *)&name, helper_outcome_pack(&outcome, &name));
    close(relay->copy_of_a);
    send(relay->b, "last words", 10, MSG_NOSIGNAL);
}

static void serve(struct relay *relay, struct helper_request *req) {
    char name[HELPER_HOST_NAME_MAX];
    if (req->name_len && recv(relay->b, name, req->name_len, MSG_WAITALL) != req->name_len)
        return;
    relay->id = req->id;
    relay->linger_reset = req->flags & HELPER_LINGER_RESET;
    relays_add(relay); /* before the outcome: a notice may follow at once */
    if (eager)
        give_outcome(relay, req, 0);
    int err = connect_target(relay->target, relay->b, req);
    relay->broken = err == BROKEN;
    if (relay->broken)
        err = 0;
    usleep((useconds_t)delay_ms * 1000);
    if (!eager)
        give_outcome(relay, req, err);
    while (!err && turn(relay))
        ;
    relays_remove(relay);
}

static void *run(void *argument) {
    struct relay *relay = argument;
    struct helper_request req;
    ssize_t n = receive_request(relay->b, &req, &relay->copy_of_a);
    enum helper_request_problem problem = helper_request_check(&req, n > 0 ? (size_t)n : 0);
    int on = 1;
    relay->target = -1;
    if (n > 0 && problem != HELPER_REQUEST_OK) {
        fprintf(stderr, "loop_helper: the request is %s\n", helper_request_problem_text(problem));
    } else if (n > 0 && req.kind == HELPER_NOTICE_LINGER) {
        handle_notice(&req);
    } else if (n > 0 && relay->copy_of_a >= 0 && hasty) {
        speak_and_reset(relay, &req);
    } else if (n > 0 && relay->copy_of_a >= 0) {
        relay->target = socket(req.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        setsockopt(relay->target, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(relay, &req);
    }
    if (relay->target >= 0)
        close(relay->target);
    close(relay->b);
    free(relay);
    return NULL;
}

static void accept_loop(int listener) {
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 512 * 1024);
    for (;;) {
        pthread_t thread;
        struct relay *relay = calloc(1, sizeof *relay);
        relay->b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (relay->b < 0 || pthread_create(&thread, &detached, run, relay) != 0) {
            perror("loop_helper");
            free(relay);
            return;
        }
    }
}

static int listen_at(const char *path) {
    struct sockaddr_un name;
    socklen_t len = helper_path_name(&name, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (len && bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 4096) == 0)
        return fd;
    fprintf(stderr, "loop_helper: %s: %s\n", path,
            len ? strerror(errno) : "must end in /" HELPER_SOCKET_FILE);
    return -1;
}

int main(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "d:t:er")) != -1;) {
        if (option == 'd')
            delay_ms = atoi(optarg);
        else if (option == 't')
            timeout_ms = atoi(optarg);
        else if (option == 'e')
            eager = true;
        else if (option == 'r')
            hasty = true;
        else
            return 2;
    }
    int listener = optind < argc ? listen_at(argv[optind]) : -1;
    if (listener < 0)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    puts("ready");
    fflush(stdout);
    accept_loop(listener);
    return 1;
}
