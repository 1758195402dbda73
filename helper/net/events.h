/* SPDX-License-Identifier: MIT */
/*
 * events.h - what epoll says of a socket, in the terms of those who read and write it.
 *
 * An edge comes once, and several things come in one: data and its end together with a connect's
 * success. Whoever takes an event takes all of it.
 */
#ifndef HELPER_NET_EVENTS_H
#define HELPER_NET_EVENTS_H

#include <stdint.h>
#include <sys/epoll.h>

enum event_flag {
    EVENT_READ = 1 << 0,   /* reading gives something new: bytes, an end or an error */
    EVENT_WRITE = 1 << 1,  /* there is room, or writing gives an error */
    EVENT_URGENT = 1 << 2, /* urgent data is or was in the queue */
    EVENT_EOF = 1 << 3,    /* no more bytes will come in than are there */
    EVENT_GONE = 1 << 4,   /* nor is there anybody to write to */
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
