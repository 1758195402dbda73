/* SPDX-License-Identifier: MIT */
/* Applies every event in every state of one object, one at a time, and then random sequences of
 * events (the seed is printed; SEED=N repeats a sequence, SEQUENCES=N sets their number). */
#ifndef SUPPORT_STATES_H
#define SUPPORT_STATES_H

#include <stdio.h>
#include <sys/epoll.h>

#include "support_descriptors.h"
#include "support_relay.h"

#include "helper/net/log.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

struct step {
    const char *name;
    void (*fn)(void);
};

#define STEP(fn)                                                                                   \
    { #fn, fn }

/* Each test defines these functions, a step some_turns, and `steps`, the table of all steps. */
static void begin(unsigned kind);
static bool enter(unsigned state); /* false: this kind does not come there so */
static void check(void);           /* what must hold after each step */
static void finish(void);
static struct loop_watch *watch(void); /* to be told sets of epoll bits; NULL: there is none */
static int state(void);                /* -1: its memory is gone */
static void some_turns(void);

/* The object's description, given by the test's main. */
static struct machine {
    unsigned kinds, states; /* the last state is the end */
    const struct step *steps;
    unsigned count; /* of steps */
} machine;

/* Number of random sequences; a test may set a larger one. */
#ifndef SEQUENCES
#define SEQUENCES 2000
#endif

/* All sets of six epoll bits, reported regardless of the socket's true state. */
#define EVENT_SETS 64

static const char *doing = "";
static char doing_before[200];
static uint64_t seed_now;
static bool passed;

static uint32_t bits_of(unsigned set) {
    static const uint32_t bits[] = {EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLHUP, EPOLLERR};
    uint32_t all = 0;
    for (unsigned i = 0; i < 6; i++)
        all |= set >> i & 1 ? bits[i] : 0;
    return all;
}

static void note(const char *name) {
    size_t used = strlen(doing_before);
    if (used + strlen(doing) + 2 < sizeof doing_before)
        snprintf(doing_before + used, sizeof doing_before - used, "%s ", doing);
    doing = name;
}

static void do_step(struct step step) {
    note(step.name);
    step.fn();
    check();
}

static void tell(uint32_t events) {
    static char name[40];
    struct loop_watch *told = watch();
    note(name);
    snprintf(name, sizeof name, "event %#x", (unsigned)events);
    if (told && told->open)
        told->fn(told, events);
    check();
}

/* Runs a step or, for numbers beyond the steps, reports a set of events. */
static void do_number(unsigned number) {
    if (number < machine.count)
        do_step(machine.steps[number]);
    else
        tell(bits_of(number - machine.count));
}

static void begin_one(unsigned kind) {
    doing = "begin";
    doing_before[0] = '\0';
    state_wrong_moves = 0;
    begin(kind);
}

static bool enter_one(unsigned which) {
    bool there = enter(which);
    check();
    return there;
}

/* In each reachable state, applies each event once, and again after some turns. */
static void every_event_in_every_state(void **unused) {
    bool reached[32] = {false};
    (void)unused;
    for (unsigned kind = 0; kind < machine.kinds; kind++)
        for (unsigned which = 0; which < machine.states; which++)
            for (unsigned number = 0; number < machine.count + EVENT_SETS; number++) {
                begin_one(kind);
                if (enter_one(which)) {
                    reached[which] = true;
                    do_number(number);
                    do_step((struct step)STEP(some_turns));
                    do_number(number);
                    do_step((struct step)STEP(some_turns));
                }
                finish();
            }
    for (unsigned which = 0; which < machine.states; which++) {
        doing = "a state is never reached";
        assert_true(reached[which]);
    }
    passed = true;
}

static unsigned next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static void random_sequence(uint64_t seed) {
    uint64_t random = seed;
    begin_one(next_random(&random) % machine.kinds);
    enter_one(next_random(&random) % machine.states);
    for (unsigned left = 2 + next_random(&random) % 14; left > 0; left--) {
        unsigned number = next_random(&random) % (machine.count + 8);
        do_number(number < machine.count ? number
                                         : machine.count + next_random(&random) % EVENT_SETS);
    }
    finish();
}

static void random_sequences_of_events(void **unused) {
    const char *one = getenv("SEED"), *many = getenv("SEQUENCES");
    uint64_t first = one ? strtoull(one, NULL, 0) : 1;
    uint64_t count = many ? strtoull(many, NULL, 0) : one ? 1 : SEQUENCES;
    (void)unused;
    for (seed_now = first; seed_now < first + count; seed_now++)
        random_sequence(seed_now);
    passed = true;
}

static int begin_test(void **unused) {
    (void)unused;
    passed = false;
    seed_now = 0;
    return 0;
}

static int say_where(void **unused) {
    (void)unused;
    if (!passed)
        fprintf(stderr, "failed at SEED=%llu, state %d, after %s, at \"%s\"\n",
                (unsigned long long)seed_now, state(), doing_before, doing);
    return 0;
}

/* A main for that many kinds and the states from 0 to the last; TESTS is an X-macro of additional
 * tests. */
#define STATE_TEST(test) cmocka_unit_test_setup_teardown(test, begin_test, say_where),
#define STATES_MAIN(n_kinds, last_state, TESTS)                                                    \
    int main(void) {                                                                               \
        const struct CMUnitTest tests[] = {STATE_TEST(every_event_in_every_state) STATE_TEST(      \
            random_sequences_of_events) TESTS(STATE_TEST)};                                        \
        machine = (struct machine){(n_kinds), (last_state) + 1, steps, LENGTH(steps)};             \
        log_set_level(-1);                                                                         \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

/* ---- For their steps ---- */

/* Fires it as if it were due. */
static void fire(struct loop_timer *timer) {
    if (!timer->armed)
        return;
    void (*fn)(struct loop_timer *) = timer->fn;
    loop_timer_clear(world.reactor.loop, timer);
    fn(timer);
}

/* Delivers data as the pump does. NULL: none. */
static void give_to(struct relay *relay, const void *data, size_t len) {
    if (relay && relay->pump)
        relay_data(relay, &(struct iovec){(void *)data, len}, 1, false);
}

static int listen_on(uint16_t *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    *port = ntohs(name.sin_port);
    return fd;
}

/* Accepts a connection, if there is one, and replaces *fd (-1: none) by it. */
static void accept_into(int *fd, int listener) {
    int fresh = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fresh < 0)
        return;
    if (*fd >= 0)
        close(*fd);
    *fd = fresh;
}

/* Makes the next close a reset. */
static void will_reset(int fd) {
    struct linger linger = {.l_onoff = 1};
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* The session of a simulated gateway. */
static struct pump *gateway_pump(struct reactor *reactor, int fd, const struct pump_ops *ops) {
    smux_config config;
    const struct session_limits limits = {.version = SMUX_VERSION_AUTO,
                                          .max_frame_size = 65535,
                                          .max_receive_buffer = 64u << 20,
                                          .max_stream_buffer = 4u << 20};
    session_config_fill(&config, &limits);
    struct carrier *carrier = carrier_new_socket(reactor->loop, fd, false, "played");
    assert_non_null(carrier);
    struct pump *pump = pump_new(reactor, carrier, SMUX_SERVER, &config, ops, NULL);
    assert_non_null(pump);
    return pump;
}

#endif
