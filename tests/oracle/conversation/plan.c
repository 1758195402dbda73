/* SPDX-License-Identifier: MIT */
/* plan.c - makes a plan from a seed, and describes it (conversation.h). */
#include <stdio.h>
#include <string.h>

#include "tests/oracle/conversation/conversation.h"

uint32_t rng_next(struct rng *rng) {
    rng->state += 0x9e3779b97f4a7c15u;
    uint64_t z = rng->state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

size_t rng_between(struct rng *rng, size_t low, size_t high) {
    return low + rng_next(rng) % (high - low + 1);
}

static bool one_in(struct rng *rng, unsigned n) {
    return rng_next(rng) % n == 0;
}

/* ---- How an end writes and reads ---- */

static void plan_pieces(struct rng *rng, struct part *part) {
    static const struct {
        size_t min, max;
    } sizes[] = {{1, 1}, {1, 30}, {12, 12}, {20, 200}, {1, 1500}, {1000, 17000}, {1, 65536}};
    size_t i = rng_between(rng, 0, sizeof sizes / sizeof *sizes - 1);
    part->piece_min = sizes[i].min;
    part->piece_max = sizes[i].max;
}

static int plan_buffer(struct rng *rng) {
    static const int sizes[] = {0, 0, 0, 1, 3000, 40000, 600000};
    return sizes[rng_between(rng, 0, sizeof sizes / sizeof *sizes - 1)];
}

/* Ways that wait inside the call need a blocking descriptor, and so does SO_RCVLOWAT to take
 * effect. */
static void plan_part(struct rng *rng, struct part *part) {
    part->nonblocking = one_in(rng, 2);
    size_t first = part->nonblocking ? WAIT_POLL : WAIT_BLOCK;
    part->write_wait = (enum wait_way)rng_between(rng, first, WAIT_WAYS - 1);
    part->read_wait = (enum wait_way)rng_between(rng, first, WAIT_WAYS - 1);
    part->write_way = (enum write_way)rng_between(rng, 0, WRITE_WAYS - 1);
    part->read_way = (enum read_way)rng_between(rng, 0, READ_WAYS - 1);
    part->nodelay = one_in(rng, 2);
    plan_pieces(rng, part);
    static const size_t reads[] = {1, 100, 4096, 65536, 65536};
    part->read_max = reads[rng_between(rng, 0, 4)];
    part->write_pause = one_in(rng, 3) ? (unsigned)rng_between(rng, 1, 100) : 0;
    part->read_pause = one_in(rng, 4) ? (unsigned)rng_between(rng, 1, 100) : 0;
    part->sndbuf = plan_buffer(rng);
    part->rcvbuf = plan_buffer(rng);
    part->buffers_late = one_in(rng, 2);
}

/* A mark that single pieces reach, and room for it: TCP itself stalls with others. */
static void plan_low_water(struct rng *rng, struct part *to, const struct part *from) {
    if (to->read_wait == WAIT_BLOCK && from->piece_min >= 12 && !to->rcvbuf && !from->sndbuf)
        to->low_water = rng_between(rng, 1, from->piece_min);
}

/* ---- What is said ---- */

/* Not more calls than can be made in a moment, by the writer or the reader. */
static size_t plan_amount(struct rng *rng, const struct plan *plan, enum side who, int turns) {
    const struct part *from = &plan->part[who], *to = &plan->part[!who];
    size_t calls = rng_between(rng, 1, one_in(rng, 4) ? 4000 : 400) / (size_t)turns + 1;
    size_t most = 400000 / (size_t)turns;
    size_t len = calls * (from->piece_min + from->piece_max) / 2;
    if (to->read_max < 100 && most > 3000)
        most = 3000;
    if ((to->rcvbuf && to->rcvbuf < 10000) || (from->sndbuf && from->sndbuf < 10000))
        most = most > 20000 ? 20000 : most;
    /* Far less than a receive buffer: TCP itself stalls for ever if the buffer's memory is used up
     * by segments of which only a few bytes, fewer than the low-water mark, are unread, and the
     * window is closed. */
    if (to->low_water && most > 40000 / (size_t)turns)
        most = 40000 / (size_t)turns;
    return len < most ? len : most;
}

static void add_turn(struct plan *plan, enum side who, size_t len) {
    plan->turn[plan->turns++] =
        (struct turn){.who = who, .len = len, .after = plan->part[!who].total};
    plan->part[who].total += len;
}

/* Both ends send at once: neither waits for the other. */
static void plan_together(struct rng *rng, struct plan *plan) {
    add_turn(plan, CLIENT, plan_amount(rng, plan, CLIENT, 1));
    add_turn(plan, SERVER, plan_amount(rng, plan, SERVER, 1));
    plan->turn[1].after = 0;
}

static void plan_turns(struct rng *rng, struct plan *plan, enum side first, int turns) {
    for (int i = 0; i < turns; i++) {
        enum side who = i % 2 ? (enum side) !first : first;
        add_turn(plan, who, plan_amount(rng, plan, who, turns));
    }
}

/* An end that sends data or not, and ends within microseconds of connect or accept. Data before a
 * reset must fit one segment, because TCP drops unsent data. */
static void plan_at_once(struct rng *rng, struct plan *plan) {
    static const size_t sizes[] = {0, 1, 12, 1000, 60000};
    struct part *part = &plan->part[plan->ender];
    size_t len = sizes[rng_between(rng, 0, plan->ending == END_RESET ? 3 : 4)];
    part->piece_min = part->piece_max = len;
    part->write_wait = part->nonblocking ? WAIT_EDGE : WAIT_BLOCK;
    part->write_way = WRITE_WRITE;
    part->write_pause = 0;
    plan->part[!plan->ender].low_water = 0;
    if (len > 0)
        add_turn(plan, plan->ender, len);
}

static void plan_talk(struct rng *rng, struct plan *plan) {
    switch (plan->shape) {
    case SHAPE_TOGETHER:
        plan_together(rng, plan);
        break;
    case SHAPE_REQUESTS:
        plan_turns(rng, plan, CLIENT, 2 * (int)rng_between(rng, 1, 3));
        break;
    case SHAPE_TURNS:
        plan_turns(rng, plan, CLIENT, (int)rng_between(rng, 10, TURNS_MAX - 2));
        break;
    case SHAPE_GREETING:
        plan_turns(rng, plan, SERVER, (int)rng_between(rng, 1, 7));
        break;
    default:
        plan_at_once(rng, plan);
        return;
    }
    /* The end that resets must know that the other has read everything, because TCP drops unsent
     * data. */
    if (plan->ending == END_RESET)
        add_turn(plan, (enum side) !plan->ender, 1);
}

void plan_make(struct plan *plan, uint64_t seed, bool resets) {
    struct rng rng = {seed * 0xd1342543de82ef95u + 1};
    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    plan->shape = (enum shape)rng_between(&rng, 0, SHAPES - 1);
    plan->ending = (enum ending)rng_between(&rng, 0, ENDINGS - 1);
    if (plan->ending == END_RESET && !resets)
        plan->ending = END_CLOSE;
    if (plan->shape == SHAPE_AT_ONCE && plan->ending == END_SHUTDOWN)
        plan->ending = END_CLOSE;
    plan->ender = (enum side)rng_between(&rng, 0, 1);
    plan->connect_way = (enum connect_way)rng_between(&rng, 0, CONNECT_WAYS - 1);
    plan->ipv6 = one_in(&rng, 3);
    plan_part(&rng, &plan->part[CLIENT]);
    plan_part(&rng, &plan->part[SERVER]);
    plan_low_water(&rng, &plan->part[CLIENT], &plan->part[SERVER]);
    plan_low_water(&rng, &plan->part[SERVER], &plan->part[CLIENT]);
    plan_talk(&rng, plan);
}

/* ---- In words ---- */

static const char *const wait_names[] = {"blocking", "timeout", "poll", "epoll", "edge"};
static const char *const write_names[] = {"write",   "MSG_MORE", "writev",
                                          "sendmsg", "sendfile", "splice"};
static const char *const read_names[] = {"read",        "readv",    "recvmsg",
                                         "MSG_WAITALL", "MSG_PEEK", "FIONREAD"};
static const char *const shape_names[] = {"together", "requests", "turns", "greeting", "at once"};
static const char *const connect_names[] = {"blocking", "poll", "epoll"};
static const char *const ending_names[] = {"shutdown", "close", "reset"};

static int describe_part(const struct part *part, char *text, size_t size) {
    return snprintf(text, size,
                    "%zu bytes in pieces of %zu to %zu by %s/%s pause 1/%u, read %s/%s of %zu "
                    "lowat %zu pause 1/%u,%s%s sndbuf %d rcvbuf %d%s",
                    part->total, part->piece_min, part->piece_max, wait_names[part->write_wait],
                    write_names[part->write_way], part->write_pause, wait_names[part->read_wait],
                    read_names[part->read_way], part->read_max, part->low_water, part->read_pause,
                    part->nonblocking ? " nonblocking" : "", part->nodelay ? " nodelay" : "",
                    part->sndbuf, part->rcvbuf, part->buffers_late ? " late" : "");
}

void plan_describe(const struct plan *plan, char *text, size_t size) {
    int n = snprintf(text, size, "%s, %d turns, %s connect, %s; ends by %s%s; client: ",
                     shape_names[plan->shape], plan->turns, connect_names[plan->connect_way],
                     plan->ipv6 ? "v6" : "v4", ending_names[plan->ending],
                     plan->ending == END_SHUTDOWN ? ""
                     : plan->ender == CLIENT      ? " of the client"
                                                  : " of the server");
    n += describe_part(&plan->part[CLIENT], text + n, size - (size_t)n);
    n += snprintf(text + n, size - (size_t)n, "; server: ");
    describe_part(&plan->part[SERVER], text + n, size - (size_t)n);
}
