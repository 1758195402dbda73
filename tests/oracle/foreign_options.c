/* SPDX-License-Identifier: MIT */
/*
 * foreign_options.c - getsockopt and setsockopt on descriptors that are not ours: every level and
 * number, with every length that matters, and pointers that cannot be read.
 */
#include "tests/oracle/foreign_subjects.h"

static const int levels[] = {SOL_SOCKET,   IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP,
                             IPPROTO_IPV6, 255,        263,         270,
                             284,          AF_VSOCK,   -1};
static const int names[] = {-1, 99, 1000, 1 << 16, INT_MAX, INT_MIN};
static const int lengths[] = {0, 1, 2, 3, 4, 5, 8, 11, 12, 13, 16, 64, 1024, -1, INT_MIN};

#define N_OF(array)  ((int)(sizeof(array) / sizeof *(array)))
#define N_NAMES      (91 + N_OF(names))
#define VALUE        (arena.bytes + 1024)
#define LENGTH       ((socklen_t *)(void *)(arena.bytes + 512))
#define PEERPIDFD    77
#define BY_NUMBER(c) ((c) == &hooked ? by_number : false)

static bool by_number; /* the hooked call is made by syscall(2) */
static bool few;       /* not all lengths: in one place they have all been tried */

static int name_at(int i) {
    return i < 91 ? i : names[i - 91];
}

/* Levels that few sockets have, have few numbers. */
static bool is_wanted(int level, int i) {
    return level == SOL_SOCKET || level == IPPROTO_IP || level == IPPROTO_TCP ||
           level == IPPROTO_IPV6 || i < 20 || i > 90;
}

struct question {
    int fd, level, name, length;
    int value_pointer, length_pointer;
};

static long get(const struct calls *calls, const struct question *q) {
    void *value = q->value_pointer ? bad_pointer(q->value_pointer) : VALUE;
    socklen_t *length = q->length_pointer ? bad_pointer(q->length_pointer) : LENGTH;
    before_call();
    if (BY_NUMBER(calls))
        return calls->syscall(SYS_getsockopt, q->fd, q->level, q->name, value, length);
    return calls->getsockopt(q->fd, q->level, q->name, value, length);
}

/* Closes a descriptor that the call opens, so that it has the same number each time. */
static void get_with(const struct calls *calls, const struct question *q, struct answer *answer) {
    int next = q->level == SOL_SOCKET && q->name == PEERPIDFD ? plain.dup(0) : -1;
    memset(arena.bytes, PATTERN, ARENA_SIZE);
    memcpy(LENGTH, &q->length, sizeof q->length);
    if (next >= 0)
        close(next);
    long result = get(calls, q);
    after_call(answer, result);
    if (next >= 0)
        close(next);
}

/* Some answers are times: only three successive differences count as one. */
static void compare_get(const char *kind, const struct question *q) {
    struct answer direct, shim;
    for (int tries = 0; tries < 3; tries++) {
        get_with(&plain, q, &direct);
        get_with(&hooked, q, &shim);
        if (is_same(&direct, &shim))
            break;
    }
    USE(getsockopt);
    name_call("%s: getsockopt(%d, %d, length %d) pointers %d %d%s", kind, q->level, q->name,
              q->length, q->value_pointer, q->length_pointer, by_number ? " by number" : "");
    compare(&direct, &shim);
}

static void compare_lengths(const char *kind, int fd, int level, int name) {
    for (int i = 0; i < N_OF(lengths); i += few ? 4 : 1)
        compare_get(kind, &(struct question){fd, level, name, lengths[i], 0, 0});
}

static void compare_pointers(const char *kind, int fd, int level, int name) {
    for (int value = 0; value < N_POINTERS; value++)
        for (int length = 0; length < N_POINTERS; length++)
            compare_get(kind, &(struct question){fd, level, name, 64, value, length});
}

static void get_all(const char *kind, int fd) {
    for (int i = 0; i < N_OF(levels); i++)
        for (int j = 0; j < N_NAMES; j++)
            if (is_wanted(levels[i], j))
                compare_lengths(kind, fd, levels[i], name_at(j));
    for (int j = 0; j < N_NAMES; j++)
        compare_pointers(kind, fd, SOL_SOCKET, name_at(j));
    for (int i = 0; i < N_OF(levels); i++)
        compare_pointers(kind, fd, levels[i], 1);
}

/* ---- Setting: two that are alike ---- */

/* Unsuitable for a test: they would end it, change the machine, or end a connection at some
 * time. */
static bool is_harmful(int level, int name) {
    return (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT) ||
           (level == SOL_SOCKET && (name == SO_ATTACH_BPF || name == SO_ATTACH_REUSEPORT_EBPF)) ||
           (level == IPPROTO_IP && name >= 64) ||
           (level == IPPROTO_IPV6 && name >= 64 && name < 67);
}

static void set_one(const struct calls *calls, const struct question *q, struct answer *answer) {
    void *value = q->value_pointer ? bad_pointer(q->value_pointer) : VALUE;
    int one = 1;
    long result;
    memset(arena.bytes, 0, ARENA_SIZE);
    memcpy(VALUE, &one, sizeof one);
    before_call();
    if (BY_NUMBER(calls))
        result = calls->syscall(SYS_setsockopt, q->fd, q->level, q->name, value, q->length);
    else
        result = calls->setsockopt(q->fd, q->level, q->name, value, (socklen_t)q->length);
    after_call(answer, result);
}

static void compare_set(const char *kind, const int fds[2], struct question q) {
    struct answer direct, shim;
    q.fd = fds[0];
    set_one(&plain, &q, &direct);
    q.fd = fds[1];
    set_one(&hooked, &q, &shim);
    USE(setsockopt);
    name_call("%s: setsockopt(%d, %d, length %d) pointer %d", kind, q.level, q.name, q.length,
              q.value_pointer);
    compare(&direct, &shim);
}

/* What libc reads afterwards must be the same of both. */
static bool is_different_anyway(int level, int name) {
    return (level == SOL_SOCKET && (name == SO_COOKIE || name == SO_MEMINFO || name == SO_ERROR ||
                                    name == SO_INCOMING_CPU || name == PEERPIDFD ||
                                    name == SO_PEERNAME || name == SO_PEERCRED)) ||
           level == IPPROTO_TCP ||
           (level == IPPROTO_IP && (name == IP_MTU || name == 52 /* IP_PROTOCOL */)) ||
           (level == IPPROTO_IPV6 && name == IPV6_MTU) || name > 90;
}

static void compare_state(const char *kind, const int fds[2], int level, int name) {
    struct answer first, second;
    if (is_different_anyway(level, name))
        return;
    get_with(&plain, &(struct question){fds[0], level, name, 4, 0, 0}, &first);
    get_with(&plain, &(struct question){fds[1], level, name, 4, 0, 0}, &second);
    name_call("%s: what %d, %d reads after it was set", kind, level, name);
    compare(&first, &second);
}

static void set_all(const char *kind, int place, int number) {
    static const int set_lengths[] = {0, 1, 3, 4, 5, 8, 16, 64, -1};
    struct subject first, second;
    if (!subject_make(number, place, &first))
        return;
    if (subject_make(number, place, &second)) {
        int fds[2] = {first.fd, second.fd};
        for (int i = 0; i < N_OF(levels) * N_NAMES; i++) {
            int level = levels[i / N_NAMES], name = name_at(i % N_NAMES);
            if (is_harmful(level, name) || !is_wanted(level, i % N_NAMES))
                continue;
            for (int j = 0; j < N_OF(set_lengths); j += few ? 4 : 1)
                compare_set(kind, fds, (struct question){-1, level, name, set_lengths[j], 0, 0});
            for (int pointer = 1; pointer < N_POINTERS; pointer++)
                compare_set(kind, fds, (struct question){-1, level, name, 4, pointer, 0});
            compare_state(kind, fds, level, name);
        }
        subject_free(&second);
    }
    subject_free(&first);
}

int main(void) {
    foreign_init();
    routed_server = serve();
    open_neighbours();
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int place = 0; place < N_PLACES; place++) {
            char name[100];
            struct subject subject;
            snprintf(name, sizeof name, "%s, %s", kinds[kind], places[place]);
            few = place != PLACE_NEW;
            by_number = place == PLACE_REUSED;
            if (!subject_make(kind, place, &subject)) {
                observe(name, "not on this machine");
                continue;
            }
            get_all(name, subject.fd);
            subject_free(&subject);
            summarize(name);
            set_all(name, place, kind);
            strcat(name, ", set");
            summarize(name);
        }
    return 0;
}
