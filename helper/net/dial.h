/* SPDX-License-Identifier: MIT */
/*
 * dial.h - a TCP (or unix) connection to the first of several addresses that answers (RFC 8305).
 *
 * Addresses are tried in their order, each DIAL_STAGGER_US after the one before, or at once when
 * that has failed; the first that connects wins, and the others are closed. At most DIAL_AT_ONCE
 * are tried at the same time: the oldest attempt is given up for a new one, so that each address
 * has a share of the time. The descriptor of the first attempt is in the caller's watch from the
 * start, registered for EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, and handing it over needs no
 * system call. Handing over that of another attempt needs one.
 */
#ifndef HELPER_NET_DIAL_H
#define HELPER_NET_DIAL_H

#include <sys/socket.h>

#include "helper/net/loop.h"

#define DIAL_ADDRESSES_MAX 16
#define DIAL_AT_ONCE       4
#define DIAL_STAGGER_US    250000u

struct dial_address {
    struct sockaddr_storage addr;
    socklen_t len;
    /* Why a connect to it has failed, a negative errno; 0: it has not. The caller may set it, and
     * then the address is not tried. */
    int error;
};

struct dial;

/* An attempt besides the one in the caller's watch. */
struct dial_attempt {
    struct dial *dial;
    struct loop_watch watch;
};

struct dial {
    struct loop *loop;
    struct loop_watch *watch;
    void (*on_fd)(struct loop_watch *watch, uint32_t events);
    struct loop_timer timer; /* of the next attempt, or of the end */
    /* Called once, never from within dial_start. error 0: the watch holds the connection, and its
     * fn is the caller's to set; `events` are all EPOLL bits that came with the success and will
     * not come again. Otherwise a negative errno: of the errors of all addresses, the one that says
     * most about the host. */
    void (*done)(struct dial *dial, int error, uint32_t events);
    /* In done: the connection was established and then broke. This is its pending error (SO_ERROR),
     * which was taken from the socket, as a negative errno; 0: it stands. */
    int broken;
    int won; /* in done, with error 0: the index of the address */
    uint64_t deadline_us;
    int count;           /* of addresses */
    int next;            /* the first one not tried yet */
    int error;           /* the most telling one so far, a negative errno; 0: none */
    bool reset_on_close; /* see sockaddr_connect_start; the caller's to set */
    bool active;
    struct loop_task task;
    uint8_t tried[DIAL_AT_ONCE]; /* which address each attempt tries: the caller's watch first,
                                    then `beside` */
    struct dial_attempt beside[DIAL_AT_ONCE - 1];
    struct dial_address addresses[DIAL_ADDRESSES_MAX];
};

/* Orders the addresses so that the families alternate, beginning with that of the first address;
 * `preferred`, if not NULL and among the addresses, goes first. The order within each family
 * stays. */
void dial_order(struct dial *dial, const struct dial_address *preferred);

/* Set addresses, count (> 0), loop, watch, on_fd and done first. `on_fd` gets the events of the
 * watch, which only the caller can relate to the dial, and passes them to dial_event. */
void dial_start(struct dial *dial, uint64_t timeout_us);
void dial_event(struct dial *dial, uint32_t events);
/* Gives up; `done` will not be called. Harmless when not active. */
void dial_cancel(struct dial *dial);

#endif
