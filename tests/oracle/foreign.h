/* SPDX-License-Identifier: MIT */
/*
 * foreign.h - does a call of the preloaded library behave exactly as libc's?
 *
 * Every hook is called as a program would call it, and so is libc's own function: on the same
 * descriptor if that changes nothing, else on two that were made alike. Result, errno (which a
 * successful call must not change), signals and all memory passed, with a pattern around it, must
 * be equal. A difference is printed for both, so it appears in no direct run.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <dlfcn.h>
#include <limits.h>
#include <netdb.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/oracle/oracle.h"

struct calls {
#define HOOK(type, name, params, args) type(*name) params;
#include "shim/base/libc.def"
};

/* What the program calls, and libc's own. */
static struct calls hooked, plain;

/* 32-bit programs with 64 bits of time call some functions by other names. */
__attribute__((unused)) static const char *symbol_of(const char *name) {
#if defined __GLIBC__ && defined _TIME_BITS && _TIME_BITS == 64 && __SIZEOF_POINTER__ == 4
    static const char *const names[][2] = {
        {"getsockopt", "__getsockopt64"}, {"setsockopt", "__setsockopt64"},
        {"recvmsg", "__recvmsg64"},       {"sendmsg", "__sendmsg64"},
        {"recvmmsg", "__recvmmsg64"},     {"sendmmsg", "__sendmmsg64"},
        {"ioctl", "__ioctl_time64"},      {"fcntl64", "__fcntl_time64"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
#endif
    return name;
}

/* Has it been called since the program began? By the position in struct calls. */
static bool exercised[sizeof(struct calls) / sizeof(void *)];

#define NUMBER_OF(name) (offsetof(struct calls, name) / sizeof(void *))
#define USE(name)       (exercised[NUMBER_OF(name)] = true)

static volatile sig_atomic_t n_signals;

static void count_signal(int number) {
    (void)number;
    n_signals++;
}

__attribute__((unused)) static void foreign_init(void) {
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    if (!libc)
        libc = dlopen("libc.so", RTLD_NOW);
#define HOOK(type, name, params, args)                                                             \
    *(void **)&hooked.name = dlsym(RTLD_DEFAULT, symbol_of(#name));                                \
    *(void **)&plain.name = libc ? dlsym(libc, symbol_of(#name)) : NULL;
#include "shim/base/libc.def"
    if (!plain.read)
        die("libc");
    signal(SIGPIPE, count_signal);
}

/* ---- What a call did ---- */

#define ARENA_SIZE 4096
#define PATTERN    0xa5
#define NO_ERRNO   12345

/* All memory passed to calls is in here, at the same addresses for both calls. */
static union {
    unsigned char bytes[ARENA_SIZE];
    long long align;
} arena;

struct answer {
    long result;
    int err, signals;
    unsigned char memory[ARENA_SIZE];
};

static unsigned long n_compared, n_succeeded;
static uint64_t digest; /* of results and errors, which are the same in each run */

__attribute__((unused)) static void before_call(void) {
    n_signals = 0;
    errno = NO_ERRNO;
}

__attribute__((unused)) static void after_call(struct answer *answer, long result) {
    answer->err = errno;
    answer->result = result;
    answer->signals = n_signals;
    memcpy(answer->memory, arena.bytes, ARENA_SIZE);
}

static char what[300]; /* the call being made */

__attribute__((format(printf, 1, 2), unused)) static void name_call(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
}

__attribute__((unused)) static bool is_same(const struct answer *a, const struct answer *b) {
    return a->result == b->result && a->err == b->err && a->signals == b->signals &&
           memcmp(a->memory, b->memory, ARENA_SIZE) == 0;
}

static void describe(const struct answer *a, size_t at, char *out, size_t size) {
    int len =
        snprintf(out, size, "%ld %s", a->result, a->err == NO_ERRNO ? "-" : error_name(a->err));
    len += snprintf(out + len, size - (size_t)len, " signals %d", a->signals);
    if (at < ARENA_SIZE)
        snprintf(out + len, size - (size_t)len, " [%zu]=%02x%02x%02x%02x", at, a->memory[at],
                 a->memory[at + 1], a->memory[at + 2], a->memory[at + 3]);
}

__attribute__((unused)) static void compare(const struct answer *direct,
                                            const struct answer *shim) {
    char left[120], right[120];
    size_t at = 0;
    n_compared++;
    n_succeeded += direct->result >= 0;
    digest = (digest ^ (uint64_t)(direct->result < 0 ? -direct->err : 1)) * 0x100000001b3u;
    if (is_same(direct, shim))
        return;
    while (at < ARENA_SIZE - 4 && direct->memory[at] == shim->memory[at])
        at++;
    at = at < ARENA_SIZE - 4 ? at : ARENA_SIZE;
    describe(direct, at, left, sizeof left);
    describe(shim, at, right, sizeof right);
    observe(what, "libc %s, hooked %s", left, right);
}

/* Prints one line about the comparisons since the last. */
__attribute__((unused)) static void summarize(const char *name) {
    observe(name, "%lu calls, %lu succeed, errors %08x", n_compared, n_succeeded,
            (unsigned)(digest ^ digest >> 32));
    n_compared = n_succeeded = 0;
    digest = 0;
}

/* ---- Pointers ---- */

enum { POINTER_GOOD, POINTER_NULL, POINTER_ONE, POINTER_LAST, POINTER_FORBIDDEN, N_POINTERS };

__attribute__((unused)) static void *bad_pointer(int kind) {
    static char *page;
    if (!page)
        page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    switch (kind) {
    case POINTER_NULL:
        return NULL;
    case POINTER_ONE:
        return (void *)1;
    case POINTER_LAST:
        return (void *)-1;
    default:
        return page + 2048;
    }
}

#endif
