/* SPDX-License-Identifier: MIT */
/*
 * conversation.h - what the parts of the conversation tester share.
 *
 * A seed determines a plan: one connection, what each end sends in which turns, how it writes and
 * reads, with which buffers, and who ends it how. Each end has two threads, one that reads and one
 * that writes; every byte and the end are checked.
 */
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum side { CLIENT, SERVER };

#define TURNS_MAX 40

enum wait_way { WAIT_BLOCK, WAIT_TIMEOUT, WAIT_POLL, WAIT_EPOLL, WAIT_EDGE, WAIT_WAYS };
enum write_way {
    WRITE_WRITE,
    WRITE_SEND_MORE,
    WRITE_WRITEV,
    WRITE_SENDMSG,
    WRITE_SENDFILE,
    WRITE_SPLICE,
    WRITE_WAYS
};
enum read_way {
    READ_READ,
    READ_READV,
    READ_RECVMSG,
    READ_WAITALL,
    READ_PEEK,
    READ_COUNT,
    READ_WAYS
};
enum connect_way { CONNECT_BLOCK, CONNECT_POLL, CONNECT_EPOLL, CONNECT_WAYS };
enum shape { SHAPE_TOGETHER, SHAPE_REQUESTS, SHAPE_TURNS, SHAPE_GREETING, SHAPE_AT_ONCE, SHAPES };
enum ending { END_SHUTDOWN, END_CLOSE, END_RESET, ENDINGS };

/* What one end does. */
struct part {
    enum wait_way write_wait, read_wait;
    enum write_way write_way;
    enum read_way read_way;
    bool nonblocking, nodelay;
    size_t piece_min, piece_max;      /* bytes of one call that writes */
    size_t read_max;                  /* bytes of one call that reads */
    size_t low_water;                 /* SO_RCVLOWAT; 0: left alone */
    unsigned write_pause, read_pause; /* one call in so many is followed by a pause; 0: none */
    int sndbuf, rcvbuf;               /* 0: left alone */
    bool buffers_late;                /* set when connected */
    size_t total;
};

/* One end sends `len` bytes when it has read `after` bytes in total. */
struct turn {
    enum side who;
    size_t len, after;
};

struct plan {
    uint64_t seed;
    enum shape shape;
    enum ending ending;
    enum side ender; /* of a close or a reset */
    enum connect_way connect_way;
    bool ipv6;
    struct part part[2];
    struct turn turn[TURNS_MAX];
    int turns;
};

struct rng {
    uint64_t state;
};
uint32_t rng_next(struct rng *rng);
/* From low to high, both included. */
size_t rng_between(struct rng *rng, size_t low, size_t high);

/* `resets`: the path can tell a reset from an end of file. */
void plan_make(struct plan *plan, uint64_t seed, bool resets);
void plan_describe(const struct plan *plan, char *text, size_t size);

/* The bytes of a side from position `at` on, PATTERN_MAX at least; and a file with the same. */
#define PATTERN_MAX 65536u
void pattern_init(void);
const uint8_t *pattern_at(enum side side, size_t at);
extern int pattern_file;
off_t pattern_offset(enum side side, size_t at);

/* One end of a running conversation. */
struct talk {
    const struct plan *plan;
    enum side side;
    int fd;
    int pipes[2];
    atomic_size_t sent, got;
    atomic_int news; /* a futex: changes with `got` */
    const char *_Atomic doing_write, *_Atomic doing_read;
};

/* Write and read everything in the plan; end the process with one line if something is wrong. */
void talk_write(struct talk *talk);
void talk_read(struct talk *talk);
/* Expects the end that the plan says: end of file, or a reset. */
void talk_expect_end(struct talk *talk);

/* Waits until the descriptor is ready, in the planned way. `events` is POLLIN or POLLOUT. */
struct waiter {
    enum wait_way way;
    int fd, epoll;
    short events;
};
void waiter_init(struct waiter *waiter, enum wait_way way, int fd, short events);
void waiter_wait(const struct waiter *waiter);
void waiter_close(const struct waiter *waiter);

/* Says what is wrong and how to repeat it, and ends the process. */
__attribute__((noreturn, format(printf, 2, 3))) void wrong(const struct plan *plan,
                                                           const char *format, ...);

#endif
