/*
 * dial.h - a TCP (or unix) connection to the first of several addresses that answers.
 *
 * Addresses are tried one after the other; each but the last gets an equal share of the time that is
 * left, so that a silent one cannot use up all of it. The descriptor lives in a watch of the caller's
 * from the start, registered for EPOLLIN | EPOLLOUT | EPOLLRDHUP: no system call hands it over.
 */
#ifndef HELPER_DIAL_H
#define HELPER_DIAL_H

#include <sys/socket.h>

#include "helper/loop.h"

#define DIAL_ADDRESSES_MAX 16

struct dial_address {
    struct sockaddr_storage addr;
    socklen_t len;
};

struct dial {
    struct loop *loop;
    struct loop_watch *watch;
    void (*on_fd)(struct loop_watch *watch, uint32_t events);
    struct loop_timer timer;
    /* Called once, never from within dial_start. error 0: the watch holds the connection, and its fn
     * is the caller's to set; `readable`: data may be there. Otherwise an errno: that of the last
     * address, or of the most telling one. */
    void (*done)(struct dial *dial, int error, bool readable);
    uint64_t deadline_us;
    int count, at, error;
    bool reset_on_close; /* see carrier_connect_start; the caller's to set */
    bool active;
    struct loop_task task;
    struct dial_address addresses[DIAL_ADDRESSES_MAX];
};

/* Set addresses, count (> 0), loop, watch, on_fd and done first. `on_fd` is called with the events of
 * the watch, which only the caller can trace back to the dial, and passes them to dial_event. */
void dial_start(struct dial *dial, uint64_t timeout_us);
void dial_event(struct dial *dial, uint32_t events);
/* Gives up; `done` will not be called. Harmless when not active. */
void dial_cancel(struct dial *dial);

#endif
