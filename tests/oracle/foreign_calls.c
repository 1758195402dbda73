/* SPDX-License-Identifier: MIT */
/*
 * foreign_calls.c - all other hooks on descriptors that are not ours: names, data, copies, control.
 *
 * Each call is made three times on descriptors that were made alike, one after the other: by libc's
 * own function, by the hook, and by number. Side effects are compared as well. A sample of the
 * variants is tried, another sample with a number as argument, and all of them, in every place,
 * with "all".
 */
#include <linux/sockios.h>

#include "tests/oracle/foreign_data.h"
#include "tests/oracle/foreign_numbers.h"

static long names_with(int (*call)(int, struct sockaddr *, socklen_t *), int fd, int variant) {
    int pointers = variant - N_OF(sizes);
    if (variant >= N_OF(sizes) + N_POINTERS * N_POINTERS)
        return NO_MORE;
    set_length(variant < N_OF(sizes) ? sizes[variant] : 64);
    before_call();
    return pointers < 0 ? call(fd, ADDRESS, LENGTH)
                        : call(fd, pointer(pointers % N_POINTERS, ADDRESS),
                               pointer(pointers / N_POINTERS, LENGTH));
}

static long c_getsockname(const struct calls *c, const struct subject *s, int variant) {
    USE(getsockname);
    return names_with(c->getsockname, s->fd, variant);
}

static long c_getpeername(const struct calls *c, const struct subject *s, int variant) {
    USE(getpeername);
    return names_with(c->getpeername, s->fd, variant);
}

static long c_shutdown(const struct calls *c, const struct subject *s, int variant) {
    USE(shutdown);
    before_call();
    return variant < 5 ? c->shutdown(s->fd, variant - 1) : NO_MORE;
}

static long c_connect(const struct calls *c, const struct subject *s, int variant) {
    static const int lengths[] = {0, 1, 2, 7, 15, 128, 129, -1};
    int more = variant - 4, bad = more - N_OF(lengths);
    if (bad >= POINTER_FORBIDDEN)
        return NO_MORE;
    USE(connect);
    if (variant == 1 && becomes_ours)
        return 0;
    socklen_t len = put_address(variant < 4 ? variant : 0);
    before_call();
    return more < 0  ? c->connect(s->fd, ADDRESS, len)
           : bad < 0 ? c->connect(s->fd, ADDRESS, (socklen_t)lengths[more])
                     : c->connect(s->fd, pointer(bad, ADDRESS), len);
}

static long c_bind(const struct calls *c, const struct subject *s, int variant) {
    USE(bind);
    socklen_t len = put_address(variant < 4 ? variant : 2);
    before_call();
    if (variant < 4)
        return c->bind(s->fd, ADDRESS, len);
    return variant < 4 + N_POINTERS ? c->bind(s->fd, pointer(variant - 4, ADDRESS), len) : NO_MORE;
}

static long c_listen(const struct calls *c, const struct subject *s, int variant) {
    USE(listen);
    before_call();
    return variant < 3 ? c->listen(s->fd, variant - 1) : NO_MORE;
}

/* Closes the new descriptor, so that it has the same number each time. */
static long and_close(long fd) {
    int saved = errno;
    if (fd > 2)
        close((int)fd);
    errno = saved;
    return fd;
}

static long c_copies(const struct calls *c, const struct subject *s, int variant) {
    USE(dup), USE(dup2), USE(dup3);
    before_call();
    switch (variant) {
    case 0:
        return and_close(c->dup(s->fd));
    case 1:
        return and_close(c->dup2(s->fd, 800));
    case 2:
        return and_close(c->dup3(s->fd, 800, O_CLOEXEC));
    case 3:
        return c->dup2(s->fd, -1);
    case 4:
        return c->dup2(s->fd, INT_MAX);
    case 5:
        return c->dup3(s->fd, s->fd, 0);
    case 6:
        return c->dup3(s->fd, 800, 12345);
    case 7:
        return is_descriptor(s) ? c->dup2(s->fd, s->fd) : 0;
    case 8:
        return and_close(c->fcntl(s->fd, F_DUPFD, 50));
    case 9:
        return and_close(c->fcntl64(s->fd, F_DUPFD_CLOEXEC, 50));
    default:
        return NO_MORE;
    }
}

static long c_fcntl(const struct calls *c, const struct subject *s, int variant) {
    static const int commands[] = {F_GETFD,      F_GETFL,     F_GETOWN,    F_GETSIG,    F_GETLEASE,
                                   F_GETPIPE_SZ, F_GET_SEALS, 9999,        F_SETFD,     F_SETOWN,
                                   F_SETSIG,     F_GETLK,     F_GETOWN_EX, F_SETOWN_EX, F_SETLK};
    if (variant >= N_OF(commands) * 2)
        return NO_MORE;
    USE(fcntl), USE(fcntl64);
    int command = commands[variant / 2];
    bool takes_pointer = command == F_GETLK || command == F_SETLK || command == F_GETOWN_EX ||
                         command == F_SETOWN_EX;
    memset(OTHER, 0, 64);
    before_call();
    return (variant % 2 ? c->fcntl64 : c->fcntl)(s->fd, command,
                                                 takes_pointer ? (void *)OTHER : NULL);
}

static long c_ioctl(const struct calls *c, const struct subject *s, int variant) {
    static const unsigned long requests[] = {
        FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK, SIOCGIFNAME,    SIOCGIFFLAGS, SIOCGPGRP,
        FIONBIO,  FIOASYNC, FIOCLEX,     TIOCGWINSZ, SIOCGSTAMP_OLD, 0x8999,       0xdead};
    if (variant >= N_OF(requests) * N_POINTERS)
        return NO_MORE;
    USE(ioctl);
    memset(OTHER, 0, 64);
    OTHER[0] = requests[variant / N_POINTERS] != FIOASYNC;
    before_call();
    return c->ioctl(s->fd, requests[variant / N_POINTERS], pointer(variant % N_POINTERS, OTHER));
}

static int helper_set;

static long c_epoll(const struct calls *c, const struct subject *s, int variant) {
    struct epoll_event *event = (void *)OTHER;
    int op = variant % 4;
    if (variant >= 4 * N_POINTERS + 3)
        return NO_MORE;
    USE(epoll_ctl);
    *event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP};
    before_call();
    if (variant >= 4 * N_POINTERS)
        return c->epoll_ctl(s->fd, variant - 4 * N_POINTERS + 1, helper_pipe[0], event);
    long result = c->epoll_ctl(helper_set, op, s->fd, pointer(variant / 4, event));
    int saved = errno;
    plain.epoll_ctl(helper_set, EPOLL_CTL_DEL, s->fd, event);
    errno = saved;
    return result;
}

#define CALLS                                                                                      \
    CALL(getsockname)                                                                              \
    CALL(getpeername)                                                                              \
    CALL(read)                                                                                     \
    CALL(write)                                                                                    \
    CALL(readv)                                                                                    \
    CALL(writev)                                                                                   \
    CALL(positions)                                                                                \
    CALL(recv)                                                                                     \
    CALL(recvfrom)                                                                                 \
    CALL(recvmsg)                                                                                  \
    CALL(recvmmsg)                                                                                 \
    CALL(send)                                                                                     \
    CALL(sendto)                                                                                   \
    CALL(sendmsg)                                                                                  \
    CALL(sendmmsg)                                                                                 \
    CALL(moves)                                                                                    \
    CALL(shutdown)                                                                                 \
    CALL(connect)                                                                                  \
    CALL(bind)                                                                                     \
    CALL(listen)                                                                                   \
    CALL(copies)                                                                                   \
    CALL(fcntl)                                                                                    \
    CALL(ioctl)                                                                                    \
    CALL(epoll)

static const struct {
    const char *name;
    call *call;
} table[] = {
#define CALL(name) {#name, c_##name},
    CALLS
#undef CALL
};

/* ---- What is left behind ---- */

struct left {
    int readable, error, events, flags;
    long position, at_peer;
    char bytes[64];
};

static void look_at(const struct subject *s) {
    struct left left = {0};
    socklen_t len = sizeof left.error;
    if (!is_descriptor(s))
        return;
    left.events = poll_now(s->fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP);
    left.flags = plain.fcntl(s->fd, F_GETFL);
    left.position = (long)lseek(s->fd, 0, SEEK_CUR);
    plain.ioctl(s->fd, FIONREAD, &left.readable);
    plain.getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &left.error, &len);
    if (s->peer >= 0)
        left.at_peer = plain.read(s->peer, left.bytes, sizeof left.bytes);
    memcpy(LEFT, &left, sizeof left);
}

/* Hides the port, which the kernel chooses. */
static void hide_port(void) {
    struct sockaddr_in *addr = (void *)ADDRESS;
    if (addr->sin_family == AF_INET || addr->sin_family == AF_INET6)
        addr->sin_port = 0;
}

static bool make_call(const struct calls *c, int kind, int place, int number, int variant,
                      struct answer *answer) {
    struct subject s;
    char drain[256];
    memset(arena.bytes, PATTERN, ARENA_SIZE);
    while (plain.read(helper_pipe[0], drain, sizeof drain) > 0)
        ;
    plain.write(helper_pipe[1], "in the pipe", 11);
    lseek(helper_file, 0, SEEK_SET);
    if (!subject_make(kind, place, &s))
        return false;
    long result = table[number].call(c, &s, variant);
    int err = errno, n = n_signals;
    hide_port();
    look_at(&s);
    subject_free(&s);
    errno = err;
    n_signals = n;
    after_call(answer, result);
    return result != NO_MORE;
}

static bool all; /* every variant, which takes minutes */
static int seed; /* which of them, if not all */

/* The sample takes every n-th variant, and begins with another one for each kind. */
static int step_of(int kind, int place) {
    static const int steps[] = {7, 29, 61, 61};
    if (strcmp(kinds[kind], "packet") == 0)
        return 61; /* closing one takes the kernel long */
    return all ? 1 : steps[place];
}

static void compare_calls(int kind, int place, int number, const char *name) {
    static struct answer direct, shim;
    int step = step_of(kind, place), variant = (kind + seed) % step;
    for (; make_call(&plain, kind, place, number, variant, &direct); variant += step) {
        name_call("%s: %s %d", name, table[number].name, variant);
        make_call(&hooked, kind, place, number, variant, &shim);
        compare(&direct, &shim);
        if (place != PLACE_NEW || (variant % 3 != 0 && !all))
            continue;
        strcat(what, " by number");
        make_call(&by_number, kind, place, number, variant, &shim);
        compare(&direct, &shim);
    }
}

static bool is_fresh_tcp(const char *kind) {
    return strcmp(kind, "TCP") == 0 || strcmp(kind, "TCP6") == 0 || strcmp(kind, "MPTCP") == 0 ||
           strcmp(kind, "TCP, bound") == 0;
}

static void begin(void) {
    foreign_init();
    numbers_init();
    routed_server = serve();
    open_neighbours();
    if (pipe2(helper_pipe, O_NONBLOCK) != 0)
        die("pipe");
    helper_file = temporary_file(0);
    helper_set = epoll_create1(0);
}

int main(int argc, char **argv) {
    all = argc > 1 && strcmp(argv[1], "all") == 0;
    seed = argc > 1 && !all ? abs(atoi(argv[1])) : 0;
    begin();
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int place = 0; place < N_PLACES; place++) {
            char name[100];
            struct subject subject;
            snprintf(name, sizeof name, "%s, %s", kinds[kind], places[place]);
            becomes_ours = is_fresh_tcp(kinds[kind]);
            if (!subject_make(kind, place, &subject)) {
                observe(name, "not on this machine");
                continue;
            }
            subject_free(&subject);
            for (int number = 0; number < N_OF(table); number++)
                compare_calls(kind, place, number, name);
            summarize(name);
        }
    return 0;
}
