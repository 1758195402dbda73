/* SPDX-License-Identifier: MIT */
/*
 * foreign_subjects.h - descriptors that are not ours, of every kind, at every kind of number.
 *
 * A subject is among connections of ours. Its number was never that of a connection, or was: closed
 * and reused, or overwritten by dup2, with or without the library's knowledge.
 */
#ifndef FOREIGN_SUBJECTS_H
#define FOREIGN_SUBJECTS_H

#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "tests/oracle/foreign.h"

/* `fd` is what is looked at; what it is connected to and listens for is closed with it. */
struct subject {
    int fd, peer, others[2];
};

static struct server routed_server;

static int routed_connection(void) {
    int fd = tcp_socket(0), accepted;
    if (connect_to(fd, &routed_server) != 0)
        die("connect");
    accepted = accept4(routed_server.fd, NULL, NULL, SOCK_CLOEXEC);
    plain.dup2(accepted, 900); /* out of the way */
    close(accepted);
    close(900);
    return fd;
}

/* Not routed: 127.200.0.2. */
static struct sockaddr_in unrouted(uint16_t port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = port};
    addr.sin_addr.s_addr = htonl(0x7fc80002);
    return addr;
}

static struct sockaddr_un unix_name(const char *name) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s.%d", name, (int)getpid());
    return addr;
}

static socklen_t put_at(int fd, const void *addr, size_t len) {
    if (bind(fd, addr, (socklen_t)len) != 0)
        return 0;
    return (socklen_t)len;
}

static bool listen_tcp(int family, struct subject *s, int *listener) {
    struct sockaddr_in v4 = unrouted(0);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    v6.sin6_addr.s6_addr[15] = 1;
    *listener = socket(family, SOCK_STREAM, 0);
    (void)s;
    return *listener >= 0 &&
           (family == AF_INET ? put_at(*listener, &v4, sizeof v4)
                              : put_at(*listener, &v6, sizeof v6)) &&
           listen(*listener, 5) == 0;
}

static bool make_tcp(int family, bool accepted, const char *state, struct subject *s) {
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    int listener, client;
    if (!listen_tcp(family, s, &listener))
        return false;
    getsockname(listener, (struct sockaddr *)&addr, &len);
    client = socket(family, SOCK_STREAM, 0);
    if (plain.connect(client, (struct sockaddr *)&addr, len) != 0)
        return false;
    int server = accept4(listener, NULL, NULL, 0);
    *s = (struct subject){accepted ? server : client, accepted ? client : server, {listener, -1}};
    if (strstr(state, "data"))
        plain.send(s->peer, "some bytes", 10, 0);
    if (strstr(state, "urgent"))
        plain.send(s->peer, "!", 1, MSG_OOB);
    if (strstr(state, "reset")) {
        reset_close(s->peer);
        s->peer = -1;
    } else if (strstr(state, "closed")) {
        close(s->peer);
        s->peer = -1;
    }
    return true;
}

/* At end of file, and then reset because of what it sent: a read returns end of file and leaves the
 * error pending. */
static bool make_ended_with_error(struct subject *s) {
    if (!make_tcp(AF_INET, true, "closed", s))
        return false;
    plain.send(s->fd, "to nobody", 9, 0);
    for (int ms = 0; ms < WAIT_MS && !(poll_now(s->fd, 0) & POLLERR); ms++)
        usleep(1000);
    return true;
}

static bool make_pair(int type, const char *state, struct subject *s) {
    int fds[2];
    if (socketpair(AF_UNIX, type, 0, fds) != 0)
        return false;
    *s = (struct subject){fds[0], fds[1], {-1, -1}};
    if (strstr(state, "data"))
        plain.send(fds[1], "some bytes", 10, 0);
    if (strstr(state, "lost"))
        plain.send(fds[0], "unread", 6, 0); /* what it sent is lost: ECONNRESET */
    if (strstr(state, "closed") || strstr(state, "lost")) {
        close(fds[1]);
        s->peer = -1;
    }
    return true;
}

/* A client of a server with a name, or the other way round. */
static bool make_named(int type, const char *name, const char *state, struct subject *s) {
    struct sockaddr_un addr = unix_name(name), own = unix_name("@client");
    size_t len = offsetof(struct sockaddr_un, sun_path) + strlen(addr.sun_path) + 1;
    int listener = socket(AF_UNIX, type, 0), client = socket(AF_UNIX, type, 0), server = -1;
    if (addr.sun_path[0] == '@')
        addr.sun_path[0] = '\0', len--;
    else
        unlink(addr.sun_path);
    own.sun_path[0] = '\0';
    if (!put_at(listener, &addr, len))
        return false;
    if (strstr(state, "named"))
        put_at(client, &own, sizeof own);
    if (type != SOCK_DGRAM)
        listen(listener, 5);
    if (plain.connect(client, (struct sockaddr *)&addr, (socklen_t)len) != 0)
        return false;
    if (type != SOCK_DGRAM)
        server = accept4(listener, NULL, NULL, 0);
    else
        server = listener, listener = -1;
    bool accepted = strstr(state, "accepted");
    *s = (struct subject){accepted ? server : client, accepted ? client : server, {listener, -1}};
    plain.send(s->peer, "some bytes", 10, 0);
    return true;
}

static bool make_udp(int family, const char *state, struct subject *s) {
    struct sockaddr_in v4 = unrouted(0);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    int fds[2];
    v6.sin6_addr.s6_addr[15] = 1;
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(family, SOCK_DGRAM, 0);
        if (fds[i] < 0)
            return false;
        if (*state &&
            !(family == AF_INET ? put_at(fds[i], &v4, sizeof v4) : put_at(fds[i], &v6, sizeof v6)))
            return false;
    }
    *s = (struct subject){fds[0], fds[1], {-1, -1}};
    if (!strstr(state, "connected"))
        return true;
    getsockname(fds[1], (struct sockaddr *)&addr, &len);
    plain.connect(fds[0], (struct sockaddr *)&addr, len);
    getsockname(fds[0], (struct sockaddr *)&addr, &len);
    plain.sendto(fds[1], "some bytes", 10, 0, (struct sockaddr *)&addr, len);
    if (strstr(state, "refused")) {
        close(fds[1]);
        s->peer = -1;
        plain.send(fds[0], "x", 1, 0);
        poll_now(fds[0], POLLIN);
    }
    return true;
}

static bool make_pipe(bool writer, bool closed, struct subject *s) {
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    *s = (struct subject){fds[writer], fds[!writer], {-1, -1}};
    if (!writer && write(fds[1], "some bytes", 10) != 10)
        return false;
    if (closed) {
        close(s->peer);
        s->peer = -1;
    }
    return true;
}

static bool only(int fd, struct subject *s) {
    *s = (struct subject){fd, -1, {-1, -1}};
    return fd >= 0;
}

static int temporary_file(int flags) {
    char name[] = "/tmp/foreign.XXXXXX";
    int fd = mkostemp(name, flags);
    if (fd >= 0 && write(fd, "some bytes of a file", 20) == 20)
        lseek(fd, 5, SEEK_SET);
    unlink(name);
    return fd;
}

static int made_epoll(void) {
    return epoll_create1(0);
}

static int armed_timer(void) {
    struct itimerspec now = {.it_value.tv_nsec = 1};
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(fd, 0, &now, NULL);
    poll_now(fd, POLLIN);
    return fd;
}

static int bound_to(int fd, const void *addr, size_t len) {
    if (fd >= 0 && !put_at(fd, addr, len)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listening(int fd) {
    if (fd >= 0)
        listen(fd, 5);
    return fd;
}

static int signals(void) {
    sigset_t none;
    sigemptyset(&none);
    return signalfd(-1, &none, 0);
}

static int bound_v4(int type) {
    struct sockaddr_in addr = unrouted(0);
    return bound_to(socket(AF_INET, type, 0), &addr, sizeof addr);
}

static int bound_unix(int type) {
    struct sockaddr_un addr = unix_name("@foreign-bound");
    addr.sun_path[0] = '\0';
    return bound_to(socket(AF_UNIX, type, 0), &addr, sizeof(sa_family_t) + 20);
}

static int bound_vsock(void) {
    struct sockaddr_vm addr = {
        .svm_family = AF_VSOCK, .svm_port = 70000 + (unsigned)getpid(), .svm_cid = VMADDR_CID_ANY};
    return bound_to(socket(AF_VSOCK, SOCK_STREAM, 0), &addr, sizeof addr);
}

static int bound_netlink(void) {
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
    return bound_to(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), &addr, sizeof addr);
}

/* One row for each kind: its name, and an expression that makes it into *s. */
#define SUBJECTS                                                                                   \
    SUBJECT("file", only(temporary_file(0), s))                                                    \
    SUBJECT("file appended to", only(temporary_file(O_APPEND), s))                                 \
    SUBJECT("folder", only(open("/", O_RDONLY), s))                                                \
    SUBJECT("/dev/null", only(open("/dev/null", O_RDWR), s))                                       \
    SUBJECT("/dev/zero", only(open("/dev/zero", O_RDWR), s))                                       \
    SUBJECT("O_PATH", only(open("/", O_PATH), s))                                                  \
    SUBJECT("memfd", only(memfd_create("foreign", 0), s))                                          \
    SUBJECT("pipe, reading", make_pipe(false, false, s))                                           \
    SUBJECT("pipe, reading, closed", make_pipe(false, true, s))                                    \
    SUBJECT("pipe, writing", make_pipe(true, false, s))                                            \
    SUBJECT("pipe, writing, closed", make_pipe(true, true, s))                                     \
    SUBJECT("eventfd", only(eventfd(3, 0), s))                                                     \
    SUBJECT("timerfd", only(armed_timer(), s))                                                     \
    SUBJECT("signalfd", only(signals(), s))                                                        \
    SUBJECT("inotify", only(inotify_init1(0), s))                                                  \
    SUBJECT("epoll", only(made_epoll(), s))                                                        \
    SUBJECT("pidfd", only((int)syscall(SYS_pidfd_open, getpid(), 0), s))                           \
    SUBJECT("unix stream", only(socket(AF_UNIX, SOCK_STREAM, 0), s))                               \
    SUBJECT("unix datagram", only(socket(AF_UNIX, SOCK_DGRAM, 0), s))                              \
    SUBJECT("unix stream, bound", only(bound_unix(SOCK_STREAM), s))                                \
    SUBJECT("unix datagram, bound", only(bound_unix(SOCK_DGRAM), s))                               \
    SUBJECT("unix stream, listening", only(listening(bound_unix(SOCK_STREAM)), s))                 \
    SUBJECT("unix stream pair", make_pair(SOCK_STREAM, "", s))                                     \
    SUBJECT("unix stream pair, data", make_pair(SOCK_STREAM, "data", s))                           \
    SUBJECT("unix stream pair, closed", make_pair(SOCK_STREAM, "data closed", s))                  \
    SUBJECT("unix stream pair, reset", make_pair(SOCK_STREAM, "lost", s))                          \
    SUBJECT("unix datagram pair, data", make_pair(SOCK_DGRAM, "data", s))                          \
    SUBJECT("unix datagram pair, closed", make_pair(SOCK_DGRAM, "closed", s))                      \
    SUBJECT("unix seqpacket pair, data", make_pair(SOCK_SEQPACKET, "data", s))                     \
    SUBJECT("unix seqpacket pair, closed", make_pair(SOCK_SEQPACKET, "closed", s))                 \
    SUBJECT("unix client of a path", make_named(SOCK_STREAM, "/tmp/foreign-server", "", s))        \
    SUBJECT("unix client of a long path",                                                          \
            make_named(SOCK_STREAM, "/tmp/not-a-smuxshim-helper.sock", "", s))                     \
    SUBJECT("unix client, abstract", make_named(SOCK_STREAM, "@foreign-smuxshim-helper", "", s))   \
    SUBJECT("unix client, named", make_named(SOCK_STREAM, "@foreign-smuxshim-help", "named", s))   \
    SUBJECT("unix accepted", make_named(SOCK_STREAM, "@foreign-server-of", "accepted named", s))   \
    SUBJECT("unix seqpacket client", make_named(SOCK_SEQPACKET, "@foreign-sequences", "", s))      \
    SUBJECT("unix datagrams of a named",                                                           \
            make_named(SOCK_DGRAM, "@foreign-datagrams-of", "accepted named", s))                  \
    SUBJECT("netlink", only(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), s))                       \
    SUBJECT("netlink, bound", only(bound_netlink(), s))                                            \
    SUBJECT("vsock", only(socket(AF_VSOCK, SOCK_STREAM, 0), s))                                    \
    SUBJECT("vsock, listening", only(listening(bound_vsock()), s))                                 \
    SUBJECT("UDP", make_udp(AF_INET, "", s))                                                       \
    SUBJECT("UDP, bound", make_udp(AF_INET, "bound", s))                                           \
    SUBJECT("UDP, connected", make_udp(AF_INET, "connected", s))                                   \
    SUBJECT("UDP, refused", make_udp(AF_INET, "connected refused", s))                             \
    SUBJECT("UDP6, connected", make_udp(AF_INET6, "connected", s))                                 \
    SUBJECT("raw", only(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), s))                               \
    SUBJECT("packet", only(socket(AF_PACKET, SOCK_RAW, 0), s))                                     \
    SUBJECT("TCP", only(socket(AF_INET, SOCK_STREAM, 0), s))                                       \
    SUBJECT("TCP6", only(socket(AF_INET6, SOCK_STREAM, 0), s))                                     \
    SUBJECT("MPTCP", only(socket(AF_INET, SOCK_STREAM, 262), s))                                   \
    SUBJECT("TCP, bound", only(bound_v4(SOCK_STREAM), s))                                          \
    SUBJECT("TCP, listening", only(listening(bound_v4(SOCK_STREAM)), s))                           \
    SUBJECT("TCP, connected", make_tcp(AF_INET, false, "data", s))                                 \
    SUBJECT("TCP, accepted", make_tcp(AF_INET, true, "data", s))                                   \
    SUBJECT("TCP6, accepted", make_tcp(AF_INET6, true, "data", s))                                 \
    SUBJECT("TCP, urgent", make_tcp(AF_INET, true, "data urgent", s))                              \
    SUBJECT("TCP, ended", make_tcp(AF_INET, true, "closed", s))                                    \
    SUBJECT("TCP, ended, with an error", make_ended_with_error(s))                                 \
    SUBJECT("TCP, reset", make_tcp(AF_INET, false, "reset", s))                                    \
    SUBJECT("closed", only(700, s))                                                                \
    SUBJECT("-1", only(-1, s) || true)                                                             \
    SUBJECT("huge", only(1 << 21, s))                                                              \
    SUBJECT("largest", only(INT_MAX, s))                                                           \
    SUBJECT("smallest", only(INT_MIN, s) || true)

static const char *const kinds[] = {
#define SUBJECT(name, make) name,
    SUBJECTS
#undef SUBJECT
};
#define N_KINDS ((int)(sizeof kinds / sizeof *kinds))

static bool make_kind(int kind, struct subject *s) {
    int at = 0;
#define SUBJECT(name, make)                                                                        \
    if (kind == at++)                                                                              \
        return make;
    SUBJECTS
#undef SUBJECT
    return false;
}

static bool is_descriptor(const struct subject *s) {
    return s->fd >= 0 && s->fd < 700;
}

/* ---- Places ---- */

enum { PLACE_NEW, PLACE_REUSED, PLACE_DUP2, PLACE_UNSEEN, N_PLACES };
static const char *const places[] = {"new", "reused", "by dup2", "unseen"};

#define N_GAPS 4

/* Connections of ours on every second number. */
static void open_neighbours(void) {
    int fds[2 * N_GAPS];
    for (int i = 0; i < 2 * N_GAPS; i++)
        fds[i] = routed_connection();
    for (int i = 0; i < 2 * N_GAPS; i += 2)
        close(fds[i]);
}

/* The lowest free numbers become those of connections that have been closed. */
static void make_stale(void) {
    int fds[N_GAPS];
    for (int i = 0; i < N_GAPS; i++)
        fds[i] = routed_connection();
    for (int i = 0; i < N_GAPS; i++)
        close(fds[i]);
}

/* Makes a subject in its place, not blocking. False: this machine has no such thing. */
static bool subject_make(int kind, int place, struct subject *s) {
    if (place == PLACE_REUSED)
        make_stale();
    s->fd = s->peer = s->others[0] = s->others[1] = -1;
    if (!make_kind(kind, s))
        return false;
    if (is_descriptor(s) && (place == PLACE_DUP2 || place == PLACE_UNSEEN)) {
        int fd = routed_connection();
        (place == PLACE_DUP2 ? hooked.dup2 : plain.dup2)(s->fd, fd);
        close(s->fd);
        s->fd = fd;
    }
    if (is_descriptor(s))
        plain.fcntl(s->fd, F_SETFL, plain.fcntl(s->fd, F_GETFL) | O_NONBLOCK);
    if (s->peer >= 0)
        plain.fcntl(s->peer, F_SETFL, plain.fcntl(s->peer, F_GETFL) | O_NONBLOCK);
    return true;
}

static void subject_free(const struct subject *s) {
    if (is_descriptor(s))
        close(s->fd);
    if (s->peer >= 0)
        close(s->peer);
    for (int i = 0; i < 2; i++)
        if (s->others[i] >= 0)
            close(s->others[i]);
}

#endif
