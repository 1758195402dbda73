/* SPDX-License-Identifier: MIT */
/* proxy_gate.c - see proxy_gate.h. */
#include "helper/carrier/proxy_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/log.h"

struct proxy_wait {
    struct proxy_gate *gate;
    struct endpoint balancer;
    uint64_t since_us;
    struct handshake handshake;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_garbage garbage;
    struct list_link link; /* in gate->waiting */
};

static void free_wait(struct loop_garbage *garbage) {
    free(container_of(garbage, struct proxy_wait, garbage));
}

/* The fd is closed, or somebody else's. */
static void leave(struct proxy_wait *wait) {
    struct proxy_gate *gate = wait->gate;
    list_remove(&wait->link);
    if (gate->handshakes)
        handshakes_leave(gate->handshakes, &wait->handshake);
    loop_watch_close(&wait->watch);
    loop_timer_clear(gate->loop, &wait->timer);
    loop_discard(gate->loop, &wait->garbage, free_wait);
}

static struct log_kind refusals = {.what = "carriers refused before their PROXY header"};

static void refuse(const struct endpoint *balancer, const char *why) {
    char text[ENDPOINT_TEXT_SIZE];
    log_few(&refusals, LOG_WARNING, ABOUT(.peer = endpoint_text(balancer, text, sizeof text)),
            "carrier refused: %s (accept-proxy)", why);
}

static void say_closed(const struct endpoint *balancer) {
    char text[ENDPOINT_TEXT_SIZE];
    log_about(LOG_DEBUG, ABOUT(.peer = endpoint_text(balancer, text, sizeof text)),
              "carrier closed before its PROXY header");
}

static void refuse_and_leave(struct proxy_wait *wait, const char *why) {
    refuse(&wait->balancer, why);
    leave(wait);
}

static uint64_t patience_us(const struct proxy_gate *gate) {
    return gate->within_us && gate->within_us < PROXY_GATE_US ? gate->within_us : PROXY_GATE_US;
}

static void on_due(struct loop_timer *timer) {
    struct proxy_wait *wait = container_of(timer, struct proxy_wait, timer);
    char why[60];
    snprintf(why, sizeof why, "no PROXY header within %g s", (double)patience_us(wait->gate) / 1e6);
    refuse_and_leave(wait, why);
}

static void give_way(struct handshake *handshake, const char *why) {
    refuse_and_leave(container_of(handshake, struct proxy_wait, handshake), why);
}

static void pass(struct proxy_wait *wait, const struct proxy_header *header, size_t used) {
    uint8_t consumed[PROXY_HEADER_MAX];
    struct proxy_gate *gate = wait->gate;
    struct endpoint balancer = wait->balancer;
    uint64_t since_us = wait->since_us;
    if (recv(wait->watch.fd, consumed, used, MSG_DONTWAIT) != (ssize_t)used) {
        refuse_and_leave(wait, "its PROXY header cannot be read");
        return;
    }
    int fd = loop_watch_release(gate->loop, &wait->watch);
    leave(wait);
    gate->passed(gate, fd, &balancer, header, since_us);
}

static void on_fd(struct loop_watch *watch, uint32_t events) {
    struct proxy_wait *wait = container_of(watch, struct proxy_wait, watch);
    struct proxy_header header;
    uint8_t data[PROXY_HEADER_MAX];
    const char *why;
    size_t used;
    ssize_t n = recv(watch->fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 0) { /* so balancers look whether somebody is there */
        say_closed(&wait->balancer);
        leave(wait);
        return;
    }
    if (n < 0) {
        refuse_and_leave(wait, strerror(errno));
        return;
    }
    switch (proxy_header_read(data, (size_t)n, &header, &used, &why)) {
    case PROXY_DONE:
        pass(wait, &header, used);
        break;
    case PROXY_BROKEN:
        refuse_and_leave(wait, why);
        break;
    case PROXY_MORE:
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            refuse_and_leave(wait, "it was closed within its PROXY header");
        break;
    }
}

/* 0 or a negative errno. */
static int wait_for_header(struct proxy_gate *gate, struct proxy_wait *wait, int fd) {
    int error = 0;
    wait->handshake.give_way = give_way;
    if (gate->handshakes)
        error = handshakes_enter(gate->handshakes, &wait->handshake, &wait->balancer, true);
    if (error == 0)
        error = loop_watch_add(gate->loop, &wait->watch, fd, EPOLLIN | EPOLLRDHUP, on_fd);
    if (error && gate->handshakes)
        handshakes_leave(gate->handshakes, &wait->handshake);
    return error;
}

void proxy_gate_enter(struct proxy_gate *gate, int fd, const struct endpoint *balancer) {
    struct proxy_wait *wait = calloc(1, sizeof *wait);
    int error = -ENOMEM;
    if (wait) {
        wait->gate = gate;
        wait->balancer = *balancer;
        wait->since_us = loop_now_us(gate->loop);
        error = wait_for_header(gate, wait, fd);
    }
    if (error) {
        refuse(balancer, strerror(-error));
        close(fd);
        free(wait);
        return;
    }
    list_prepend(&gate->waiting, &wait->link);
    loop_timer_set(gate->loop, &wait->timer, wait->since_us + patience_us(gate), on_due);
}

void proxy_gate_close(struct proxy_gate *gate) {
    list_for_each(link, &gate->waiting)
        leave(container_of(link, struct proxy_wait, link));
}
