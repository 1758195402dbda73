/* SPDX-License-Identifier: MIT */
/*
 * net.h - common code of the benchmark's programs: time, sockets, numbers on the command line.
 *
 * The roles a client asks the peer for, by the first byte of a connection:
 *
 *     e   echo every byte, this one too
 *     d   discard; starts with nine bytes, 'd' and a 64-bit id (host order); what follows is
 *         counted under that id
 *     s   send without end
 *     h   hold: one more byte says for how many seconds nothing is read; then close
 *     q   answer with the time and every discarding connection's count, then close (struct report)
 *     i   idle: answer with one byte, then nothing more
 *
 * A connection that sends nothing is idle, too.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S     1000000000LL
#define BULK_SIZE    131072
#define COUNTERS_MAX 64

/* The peer's report about discarding connections. */
struct report {
    int64_t now_ns;
    uint32_t n;
    uint32_t unused;
    struct {
        uint64_t id, bytes;
    } counter[COUNTERS_MAX];
};

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static inline void sleep_ns(int64_t ns) {
    struct timespec t = {ns / NS_PER_S, ns % NS_PER_S};
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* A number of at least `min` in an option's value; anything else ends the program with status 2. */
static inline double number(const char *name, const char *text, double min) {
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !(value >= min)) {
        fprintf(stderr, "%s: --%s: expected a number of at least %g, got '%s'\n",
                program_invocation_short_name, name, min, text);
        exit(2);
    }
    return value;
}

static inline struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void nodelay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A blocking socket connected to a port of this machine. Ends the program on failure. */
static inline int dial(uint16_t port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect to port %u: %s", port, strerror(errno));
    nodelay(fd);
    return fd;
}

/* A listening socket on `port`, or on a free one for 0, which is stored. Flags as in socket(2). */
static inline int listen_on(uint16_t port, int flags, uint16_t *bound) {
    struct sockaddr_in address = loopback(port);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 4096) < 0)
        die("listen on port %u: %s", port, strerror(errno));
    getsockname(fd, (struct sockaddr *)&address, &len);
    *bound = ntohs(address.sin_port);
    return fd;
}

/* Transfers all of it, or returns false with errno (0 at the end of file). */
static inline bool read_all(int fd, void *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)data + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : 0;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static inline bool write_all(int fd, const void *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static inline int compare_ns(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The p-quantile of n sorted values (0 <= p <= 1). */
static inline int64_t quantile(const int64_t *sorted, size_t n, double p) {
    size_t at = (size_t)(p * (double)n);
    return sorted[at < n ? at : n - 1];
}

#endif
