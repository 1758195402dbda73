/* SPDX-License-Identifier: MIT */
/* The common part of the C benchmark programs: command line, sockets, time, memory.  Each is one
 * process of a pair:
 *
 *     PROGRAM server MODE VERSION STREAMS          prints "port N", serves a client, prints results
 *     PROGRAM client MODE VERSION STREAMS PORT SECONDS
 *
 * Modes: throughput (STREAMS at once, 128 KiB writes, client to server), churn (open, accept and
 * close), latency (64 bytes back and forth on one stream), memory (STREAMS idle ones).  However
 * short SECONDS is, each mode does its work once.  Results are lines "name=value"; README.md says
 * which of them count. */
#ifndef BENCH_H
#define BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_LEN = 128 * 1024, PING_LEN = 64 };
/* The same for every library: frames as large as the protocol allows, budgets that do not limit
 * anything. */
enum { FRAME_LEN = 65535, RECEIVE_BUFFER_LEN = 16 << 20, STREAM_BUFFER_LEN = 4 << 20 };

enum mode { THROUGHPUT, CHURN, LATENCY, MEMORY, MODES };

struct bench {
    bool server;
    enum mode mode;
    int version;
    unsigned streams;
    int port;
    double seconds;
};

__attribute__((unused, noreturn)) static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

__attribute__((unused)) static struct bench bench_parse(int argc, char **argv) {
    static const char *const names[MODES] = {"throughput", "churn", "latency", "memory"};
    struct bench b = {.server = argc == 5 && strcmp(argv[1], "server") == 0, .mode = MODES};
    for (int i = 0; argc >= 5 && i < MODES; i++)
        if (strcmp(argv[2], names[i]) == 0)
            b.mode = (enum mode)i;
    if (b.mode == MODES || (!b.server && (argc != 7 || strcmp(argv[1], "client") != 0))) {
        fprintf(stderr,
                "usage: %s server MODE VERSION STREAMS\n"
                "       %s client MODE VERSION STREAMS PORT SECONDS\n",
                argv[0], argv[0]);
        exit(2);
    }
    b.version = atoi(argv[3]);
    b.streams = (unsigned)atoi(argv[4]);
    if (!b.server) {
        b.port = atoi(argv[5]);
        b.seconds = atof(argv[6]);
    }
    return b;
}

__attribute__((unused)) static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((unused)) static long rss_bytes(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*s %ld", &pages) != 1)
        die("/proc/self/statm");
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

__attribute__((unused)) static int listen_and_tell(int backlog) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, backlog) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        die("listen");
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

__attribute__((unused)) static int no_delay(int fd) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

__attribute__((unused)) static int accept_from(int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("accept");
    return no_delay(fd);
}

__attribute__((unused)) static int connect_to(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
        die("connect");
    return no_delay(fd);
}

__attribute__((unused)) static int open_carrier(const struct bench *b) {
    if (!b->server)
        return connect_to(b->port);
    int listener = listen_and_tell(1);
    int fd = accept_from(listener);
    close(listener);
    return fd;
}

/* Client: reports the bytes given to all streams.  Call this before the last stream ends, because
 * then the server ends the pair. */
__attribute__((unused)) static void report_sent(uint64_t bytes) {
    printf("bytes_sent=%" PRIu64 "\n", bytes);
    fflush(stdout);
}

/* Server: reports the bytes, and the seconds from the first to the last. */
__attribute__((unused)) static void report_throughput(uint64_t bytes, double first, double last) {
    printf("bytes_received=%" PRIu64 "\n", bytes);
    printf("throughput_mb_s=%.1f\n", (double)bytes / 1e6 / (last - first));
}

__attribute__((unused)) static void report_churn(uint64_t streams, double first, double last) {
    printf("churn_per_s=%.0f\n", (double)streams / (last - first));
}

__attribute__((unused)) static void report_latency(uint64_t rounds, double seconds) {
    printf("latency_us=%.2f\n", seconds * 1e6 / (double)rounds);
}

__attribute__((unused)) static void report_memory(long before, long after, unsigned streams) {
    printf("memory_per_stream=%.0f\n", (double)(after - before) / streams);
}

#endif
