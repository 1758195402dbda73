/* SPDX-License-Identifier: MIT */
/*
 * events.h - epoll's bits in terms of reading and writing a socket.
 *
 * An edge comes once and may report several things: data, its end, and the success of a connect. So
 * whoever takes an event must act on all of it.
 */
#ifndef HELPER_NET_EVENTS_H
#define HELPER_NET_EVENTS_H

#include <stdint.h>
#include <sys/epoll.h>

enum event_flag {
    EVENT_READ = 1 << 0,   /* there is something to read: bytes, an end or an error */
    EVENT_WRITE = 1 << 1,  /* there is room to write, or an error to get */
    EVENT_URGENT = 1 << 2, /* urgent data is or was in the queue */
    EVENT_EOF = 1 << 3,    /* no more bytes will arrive than are there */
    EVENT_GONE = 1 << 4,   /* and nobody reads what is written */
    EVENT_ERROR = 1 << 5   /* SO_ERROR says why */
};

/* The flags of some EPOLL bits. */
static inline uint8_t events_of(uint32_t bits) {
    uint8_t flags = 0;
    if (bits & EPOLLIN)
        flags |= EVENT_READ;
    if (bits & EPOLLOUT)
        flags |= EVENT_WRITE;
    if (bits & EPOLLPRI)
        flags |= EVENT_READ | EVENT_URGENT;
    if (bits & EPOLLRDHUP)
        flags |= EVENT_READ | EVENT_EOF;
    if (bits & EPOLLHUP)
        flags |= EVENT_READ | EVENT_EOF | EVENT_GONE;
    if (bits & EPOLLERR)
        flags |= EVENT_READ | EVENT_EOF | EVENT_GONE | EVENT_ERROR;
    return flags;
}

#endif
