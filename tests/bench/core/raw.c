/* SPDX-License-Identifier: MIT */
/* The yardstick: plain TCP connections, as many as there are streams; one thread and epoll on
 * either side or, with BENCH_THREADS set, a thread for each connection. */
#include <pthread.h>
#include <sys/epoll.h>

#include "bench.h"

/* ---- Throughput, one thread on either side ---- */

static int watch(int epoll, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
    return fd;
}

static void send_to_all(const struct bench *b, int epoll, const char *data) {
    struct epoll_event events[256];
    uint64_t sent = 0;
    double end = now_s() + b->seconds;
    do {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            ssize_t taken = send(events[i].data.fd, data, WRITE_LEN, MSG_DONTWAIT);
            if (taken < 0 && errno != EAGAIN)
                die("send");
            sent += taken > 0 ? (uint64_t)taken : 0;
        }
    } while (now_s() < end);
    report_sent(sent);
}

static void receive_from_all(const struct bench *b, int epoll, char *data) {
    struct epoll_event events[256];
    uint64_t bytes = 0;
    double first = now_s();
    for (unsigned open = b->streams; open > 0;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            ssize_t got = recv(events[i].data.fd, data, WRITE_LEN, MSG_DONTWAIT);
            if (got < 0 && errno != EAGAIN)
                die("recv");
            if (got > 0) {
                bytes += (uint64_t)got;
            } else if (got == 0) {
                close(events[i].data.fd);
                open--;
            }
        }
    }
    report_throughput(bytes, first, now_s());
}

static void throughput(const struct bench *b, int listener) {
    int epoll = epoll_create1(0);
    char *data = calloc(1, WRITE_LEN);
    for (unsigned i = 0; i < b->streams; i++)
        watch(epoll, b->server ? accept_from(listener) : connect_to(b->port),
              b->server ? EPOLLIN : EPOLLOUT);
    if (b->server)
        receive_from_all(b, epoll, data);
    else
        send_to_all(b, epoll, data);
    free(data);
}

/* ---- Throughput, a thread for each connection ---- */

struct lane {
    pthread_t thread;
    int fd;
    double end;
    uint64_t bytes;
};

static const char data_out[WRITE_LEN];

static void *sender(void *argument) {
    struct lane *lane = argument;
    do {
        if (send(lane->fd, data_out, WRITE_LEN, 0) != WRITE_LEN)
            die("send");
        lane->bytes += WRITE_LEN;
    } while (now_s() < lane->end);
    return NULL;
}

static void *receiver(void *argument) {
    struct lane *lane = argument;
    char *data = malloc(WRITE_LEN);
    ssize_t n;
    while ((n = recv(lane->fd, data, WRITE_LEN, 0)) > 0)
        lane->bytes += (uint64_t)n;
    if (n < 0)
        die("recv");
    free(data);
    return NULL;
}

static void throughput_threads(const struct bench *b, int listener) {
    struct lane *lanes = calloc(b->streams, sizeof *lanes);
    uint64_t total = 0;
    double first = 0, end = now_s() + b->seconds;
    for (unsigned i = 0; i < b->streams; i++) {
        lanes[i].fd = b->server ? accept_from(listener) : connect_to(b->port);
        lanes[i].end = end;
        if (i == 0)
            first = now_s();
        if (pthread_create(&lanes[i].thread, NULL, b->server ? receiver : sender, &lanes[i]))
            die("pthread_create");
    }
    for (unsigned i = 0; i < b->streams; i++) {
        pthread_join(lanes[i].thread, NULL);
        total += lanes[i].bytes;
    }
    if (b->server)
        report_throughput(total, first, now_s());
    else
        report_sent(total);
    free(lanes);
}

/* ---- The rest ---- */

/* Connections are reset so that none lingers in TIME_WAIT and uses up the ports. */
static void churn_client(const struct bench *b) {
    double end = now_s() + b->seconds;
    do {
        int fd = connect_to(b->port);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
    } while (now_s() < end);
    int last = connect_to(b->port);
    if (write(last, "x", 1) != 1)
        die("write");
    pause(); /* until the server has seen it and kills this process */
}

static void churn_server(int listener) {
    char byte;
    uint64_t count = 0;
    double first = now_s();
    for (;; count++) {
        int fd = accept_from(listener);
        if (read(fd, &byte, 1) == 1)
            break;
        close(fd);
    }
    report_churn(count, first, now_s());
}

static bool read_ping(int fd, char *data) {
    for (size_t done = 0; done < PING_LEN;) {
        ssize_t n = read(fd, data + done, PING_LEN - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void latency(const struct bench *b, int fd) {
    char data[PING_LEN] = {0};
    if (b->server) {
        while (read_ping(fd, data) && write(fd, data, PING_LEN) == PING_LEN)
            ;
        return;
    }
    double begin = now_s(), now = begin;
    uint64_t rounds = 0;
    for (; !rounds || now < begin + b->seconds; rounds++, now = now_s())
        if (write(fd, data, PING_LEN) != PING_LEN || !read_ping(fd, data))
            die("ping");
    report_latency(rounds, now - begin);
}

int main(int argc, char **argv) {
    struct bench b = bench_parse(argc, argv);
    int listener = b.server ? listen_and_tell(4096) : -1;
    switch (b.mode) {
    case THROUGHPUT:
        (getenv("BENCH_THREADS") ? throughput_threads : throughput)(&b, listener);
        break;
    case CHURN:
        if (b.server)
            churn_server(listener);
        else
            churn_client(&b);
        break;
    case LATENCY:
        latency(&b, b.server ? accept_from(listener) : connect_to(b.port));
        break;
    default:
        fprintf(stderr, "the memory of a TCP connection is the kernel's\n");
        return 2;
    }
    return 0;
}
