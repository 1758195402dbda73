/* SPDX-License-Identifier: MIT */
/*
 * carrier.h - the reliable ordered connection that a session runs on, as an interface.
 *
 * A carrier is a connected, non-blocking descriptor and a table of functions; what kind it is
 * matters to nobody above. The descriptor itself is watched by the owner (pump.h).
 */
#ifndef HELPER_CARRIER_CARRIER_H
#define HELPER_CARRIER_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Enough for "tcp://[...]:65535" and any unix path. */
#define CARRIER_TEXT_SIZE 320

struct carrier;

struct carrier_ops {
    /* As read(2) on a non-blocking descriptor: > 0, 0 at the end, -1 with errno (EAGAIN: wait). */
    ssize_t (*read)(struct carrier *carrier, void *data, size_t len);
    /* As writev(2), without SIGPIPE. */
    ssize_t (*writev)(struct carrier *carrier, const struct iovec *iov, int iovcnt);
    /* A read that returns less than asked for has emptied the source: no need to ask again before
     * the next edge. */
    bool short_read_drains;
    /* Lets the kernel hold no more unsent bytes than the path needs, or as many as usual again, and
     * returns what windows should be limited to meanwhile (smux_session_limit_windows). */
    uint32_t (*keep_short)(struct carrier *carrier, bool on);
    /* Frees the carrier but not the descriptor, which its watch closes. */
    void (*free)(struct carrier *carrier);
};

struct carrier {
    const struct carrier_ops *ops;
    int fd;
    char peer[CARRIER_TEXT_SIZE]; /* for the log */
};

/* Makes a carrier of a connected socket. Sets O_NONBLOCK and, if `tcp`, NODELAY, keepalive and
 * TCP_USER_TIMEOUT, so that a peer that vanished is noticed also while data is unacknowledged. The
 * fd belongs to the carrier's owner. NULL with errno set (the fd stays open). */
struct carrier *carrier_new_socket(int fd, bool tcp, const char *peer);

/* Unacknowledged data for this long means that the peer is gone. */
#define CARRIER_USER_TIMEOUT_MS 30000

/* Bytes that the kernel may hold without having sent them. What is queued in the engine instead can
 * be overtaken by other streams' small messages; less than this costs throughput on loopback. */
#define CARRIER_NOTSENT_MAX (512 * 1024)

#endif
