/* Every event in every state of one object, each alone, and random sequences of them (the seed is
 * printed; SEED=N repeats one, SEQUENCES=N runs so many). */
#ifndef SUPPORT_STATES_H
#define SUPPORT_STATES_H

#include <stdio.h>
#include <sys/epoll.h>

#include "support_relay.h"

struct machine {
    unsigned kinds, states; /* the last state is the end */
    const struct step {
        const char *name;
        void (*fn)(void);
    } * steps;
    unsigned count; /* of steps */
    void (*begin)(unsigned kind);
    bool (*enter)(unsigned state); /* false: this kind does not come there so */
    void (*check)(void);           /* what must hold after each step */
    void (*finish)(void);
    struct loop_watch *(*watch)(void); /* to be told sets of epoll bits; NULL: there is none */
    int (*state)(void);                /* -1: its memory is gone */
};

/* Sets of six epoll bits, told whatever the socket's true state is. */
#define EVENT_SETS 64

static const struct machine *machine;
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

static void step(unsigned number) {
    static char name[40];
    size_t used = strlen(doing_before);
    if (used + strlen(doing) + 2 < sizeof doing_before)
        snprintf(doing_before + used, sizeof doing_before - used, "%s ", doing);
    if (number < machine->count) {
        doing = machine->steps[number].name;
        machine->steps[number].fn();
    } else {
        struct loop_watch *watch = machine->watch();
        snprintf(name, sizeof name, "event %#x", (unsigned)bits_of(number - machine->count));
        doing = name;
        if (watch && watch->open)
            watch->fn(watch, bits_of(number - machine->count));
    }
    machine->check();
}

static void begin_one(unsigned kind) {
    doing = "begin";
    doing_before[0] = '\0';
    state_wrong_moves = 0;
    machine->begin(kind);
}

static bool enter_one(unsigned state) {
    bool there = machine->enter(state);
    machine->check();
    return there;
}

/* Each event once, and again after some turns, in each state that can be entered. */
static void every_event_in_every_state(void **unused) {
    bool reached[32] = {false};
    (void)unused;
    for (unsigned kind = 0; kind < machine->kinds; kind++)
        for (unsigned state = 0; state < machine->states; state++)
            for (unsigned number = 0; number < machine->count + EVENT_SETS; number++) {
                begin_one(kind);
                if (enter_one(state)) {
                    reached[state] = true;
                    step(number);
                    step(0); /* some turns */
                    step(number);
                    step(0);
                }
                machine->finish();
            }
    for (unsigned state = 0; state < machine->states; state++) {
        doing = "a state is never reached";
        assert_true(reached[state]);
    }
    passed = true;
}

static unsigned next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static void random_sequence(uint64_t seed) {
    uint64_t random = seed;
    begin_one(next_random(&random) % machine->kinds);
    enter_one(next_random(&random) % machine->states);
    for (unsigned left = 2 + next_random(&random) % 14; left > 0; left--) {
        unsigned number = next_random(&random) % (machine->count + 8);
        step(number < machine->count ? number : machine->count + next_random(&random) % EVENT_SETS);
    }
    machine->finish();
}

static void random_sequences_of_events(void **unused) {
    const char *one = getenv("SEED"), *many = getenv("SEQUENCES");
    uint64_t first = one ? strtoull(one, NULL, 0) : 1;
    uint64_t count = many ? strtoull(many, NULL, 0) : one ? 1 : 2000;
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
                (unsigned long long)seed_now, machine->state(), doing_before, doing);
    return 0;
}

/* Fires it as if it were due. */
static void fire(struct loop_timer *timer) {
    if (!timer->armed)
        return;
    void (*fn)(struct loop_timer *) = timer->fn;
    loop_timer_clear(world.reactor.loop, timer);
    fn(timer);
}

#endif
