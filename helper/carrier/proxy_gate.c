/* SPDX-License-Identifier: MIT */
/* proxy_gate.c - see proxy_gate.h. */
#include "helper/carrier/proxy_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/log.h"

struct proxy_wait {
    struct proxy_gate *gate;
    struct endpoint balancer;
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
    gate->count--;
    loop_watch_close(&wait->watch);
    loop_timer_clear(gate->loop, &wait->timer);
    loop_discard(gate->loop, &wait->garbage, free_wait);
}

static void refuse(const struct endpoint *balancer, const char *why) {
    char text[ENDPOINT_TEXT_SIZE];
    log_warn("%s: carrier refused: %s (accept-proxy)", endpoint_text(balancer, text, sizeof text),
             why);
}

static void refuse_and_leave(struct proxy_wait *wait, const char *why) {
    refuse(&wait->balancer, why);
    leave(wait);
}

static void on_due(struct loop_timer *timer) {
    refuse_and_leave(container_of(timer, struct proxy_wait, timer), "no PROXY header within 5 s");
}

static void pass(struct proxy_wait *wait, const struct proxy_header *header, size_t used) {
    uint8_t consumed[PROXY_HEADER_MAX];
    struct proxy_gate *gate = wait->gate;
    struct endpoint balancer = wait->balancer;
    if (recv(wait->watch.fd, consumed, used, MSG_DONTWAIT) != (ssize_t)used) {
        refuse_and_leave(wait, "its PROXY header cannot be read");
        return;
    }
    int fd = loop_watch_release(gate->loop, &wait->watch);
    leave(wait);
    gate->passed(gate, fd, &balancer, header);
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
        log_debug("a balancer's connection was closed before its PROXY header");
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

static struct proxy_wait *new_wait(struct proxy_gate *gate, int fd) {
    struct proxy_wait *wait = calloc(1, sizeof *wait);
    if (!wait)
        return NULL;
    int error = loop_watch_add(gate->loop, &wait->watch, fd, EPOLLIN | EPOLLRDHUP, on_fd);
    if (error == 0)
        return wait;
    free(wait);
    errno = -error;
    return NULL;
}

void proxy_gate_enter(struct proxy_gate *gate, int fd, const struct endpoint *balancer) {
    bool full = gate->count >= PROXY_GATE_MAX;
    struct proxy_wait *wait = full ? NULL : new_wait(gate, fd);
    if (!wait) {
        refuse(balancer, full ? "too many that have not sent their PROXY header" : strerror(errno));
        close(fd);
        return;
    }
    wait->gate = gate;
    wait->balancer = *balancer;
    list_prepend(&gate->waiting, &wait->link);
    gate->count++;
    loop_timer_set(gate->loop, &wait->timer, loop_now_us(gate->loop) + PROXY_GATE_US, on_due);
}

void proxy_gate_close(struct proxy_gate *gate) {
    list_for_each(link, &gate->waiting)
        leave(container_of(link, struct proxy_wait, link));
}
