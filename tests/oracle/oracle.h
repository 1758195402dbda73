/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what the oracle's programs share.
 *
 * A program exercises sockets and prints what it observes, one line "name: value" each. It is run
 * twice, direct and under the shim; both runs must print the same. It is its own server: sockets
 * that it listens at and accepts are plain TCP in both runs, and sockets that it connects are TCP
 * in one run and the shim's in the other. Values that differ from run to run (ports, times) must
 * not be printed.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 10000 /* for what must happen; a failure prints and goes on */

__attribute__((format(printf, 2, 3), unused)) static void observe(const char *name,
                                                                  const char *format, ...) {
    va_list args;
    printf("%s: ", name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* The name of an errno, to make outputs readable. */
__attribute__((unused)) static const char *error_name(int err) {
#ifdef __GLIBC__
    const char *name = err ? strerrorname_np(err) : "0";
#else /* musl has no names, but words */
    const char *name = err ? strerror(err) : "0";
#endif
    return name ? name : "?";
}

/* The result of a call: its value, or the errno. */
__attribute__((unused)) static void observe_result(const char *name, long result) {
    if (result < 0)
        observe(name, "%s", error_name(errno));
    else
        observe(name, "%ld", result);
}

struct server {
    int fd;
    struct sockaddr_in addr;
};

__attribute__((noreturn, unused)) static void die(const char *what) {
    perror(what);
    exit(3);
}

__attribute__((unused)) static struct server serve_backlog(int backlog) {
    struct server server = {.addr = {.sin_family = AF_INET}};
    socklen_t len = sizeof server.addr;
    server.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server.fd, (struct sockaddr *)&server.addr, len) != 0 ||
        listen(server.fd, backlog) != 0 ||
        getsockname(server.fd, (struct sockaddr *)&server.addr, &len) != 0)
        die("server");
    return server;
}

__attribute__((unused)) static struct server serve(void) {
    return serve_backlog(64);
}

/* A port that refuses: bound, but not listening. The descriptor must stay open. */
__attribute__((unused)) static struct server refuse(void) {
    struct server server = serve();
    struct server closed = {.addr = server.addr};
    close(server.fd);
    closed.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(closed.fd, (struct sockaddr *)&closed.addr, sizeof closed.addr) != 0)
        die("refuse");
    return closed;
}

__attribute__((unused)) static int tcp_socket(int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        die("socket");
    return fd;
}

__attribute__((unused)) static int connect_to(int fd, const struct server *server) {
    return connect(fd, (const struct sockaddr *)&server->addr, sizeof server->addr);
}

/* Events within WAIT_MS; 0 if none. */
__attribute__((unused)) static short wait_for(int fd, short events) {
    struct pollfd pfd = {.fd = fd, .events = events};
    return poll(&pfd, 1, WAIT_MS) > 0 ? pfd.revents : 0;
}

/* The events that poll reports now. */
__attribute__((unused)) static short poll_now(int fd, short events) {
    struct pollfd pfd = {.fd = fd, .events = events};
    return poll(&pfd, 1, 0) > 0 ? pfd.revents : 0;
}

/* Waits until a failed connect has been reported completely, which is when the socket is writable,
 * too: an AF_UNIX socket reports its peer's close a moment before that. */
__attribute__((unused)) static short wait_failed(int fd, short events) {
    for (int ms = 0; ms < WAIT_MS && !(poll_now(fd, POLLOUT) & POLLOUT); ms++)
        usleep(1000);
    return poll_now(fd, events);
}

__attribute__((unused)) static int socket_error(int fd) {
    int err = -1;
    socklen_t len = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        return -1;
    return err;
}

__attribute__((unused)) static const char *events_text(unsigned events) {
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{EPOLLIN, "IN"},         {EPOLLPRI, "PRI"},      {EPOLLOUT, "OUT"},
                 {EPOLLERR, "ERR"},       {EPOLLHUP, "HUP"},      {EPOLLRDHUP, "RDHUP"},
                 {EPOLLRDNORM, "RDNORM"}, {EPOLLWRNORM, "WRNORM"}};
    static char text[4][100];
    static unsigned turn;
    char *out = text[turn++ % 4];
    *out = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (events & names[i].bit) {
            strcat(out, *out ? "|" : "");
            strcat(out, names[i].name);
        }
    return *out ? out : "none";
}

/* A connected pair: the client end (the shim's in one run) and the accepted TCP end. */
struct pair {
    int client, accepted;
};

__attribute__((unused)) static struct pair connected_pair(const struct server *server, int flags) {
    struct pair pair = {.client = tcp_socket(0)};
    if (connect_to(pair.client, server) != 0)
        die("connect");
    pair.accepted = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
    if (pair.accepted < 0)
        die("accept");
    if (flags & SOCK_NONBLOCK)
        fcntl(pair.client, F_SETFL, O_NONBLOCK);
    return pair;
}

__attribute__((unused)) static void close_pair(const struct pair *pair) {
    close(pair->client);
    close(pair->accepted);
}

/* Closes with a reset. */
__attribute__((unused)) static void reset_close(int fd) {
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* Receives exactly `len` bytes, or all until end of file; waits. */
__attribute__((unused)) static ssize_t receive_all(int fd, void *buf, size_t len) {
    size_t got = 0;
    while (got < len && wait_for(fd, POLLIN)) {
        ssize_t n = recv(fd, (char *)buf + got, len - got, 0);
        if (n <= 0)
            return got ? (ssize_t)got : n;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* A server whose backlog is full: a connect to it stays in SYN_SENT until accept_full is called. */
struct full_server {
    struct server server;
    int fillers[16], n_fillers;
};

/* sendmsg of `len` bytes with a descriptor. */
__attribute__((unused)) static ssize_t send_descriptor(int to, int fd, const char *text,
                                                       size_t len) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {.cmsg_len = CMSG_LEN(sizeof fd),
                           .cmsg_level = SOL_SOCKET,
                           .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(char *)(uintptr_t)text, len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
    return sendmsg(to, &msg, 0);
}

/* recvmsg of one byte with a descriptor; *fd is -1 if none came. */
__attribute__((unused)) static ssize_t receive_descriptor(int from, int flags, int *fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(from, &msg, flags);
    *fd = -1;
    if (n == 1 && CMSG_FIRSTHDR(&msg))
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof *fd);
    return n;
}

__attribute__((unused)) static struct full_server serve_full(void) {
    struct full_server full = {.server = serve_backlog(0)};
    for (int i = 0; i < 16; i++) {
        /* The connections that fill the backlog take the same path as others; stop when one does
         * not get through. */
        int fd = tcp_socket(SOCK_NONBLOCK);
        connect_to(fd, &full.server);
        full.fillers[full.n_fillers++] = fd;
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        if (poll(&pfd, 1, 300) == 0)
            break;
    }
    return full;
}

__attribute__((unused)) static void end_full(struct full_server *full) {
    for (int i = 0; i < full->n_fillers; i++)
        close(full->fillers[i]);
    close(full->server.fd);
}

#endif
