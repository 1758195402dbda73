/* The yardstick: plain TCP connections, as many as there are streams. */
#include <sys/epoll.h>

#include "bench.h"

/* One thread and epoll on either side: 256 connections with a thread for each are slower. */
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
    pause(); /* until the server has seen it and ends us */
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
        throughput(&b, listener);
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
