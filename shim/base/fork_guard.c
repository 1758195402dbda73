/* SPDX-License-Identifier: MIT */
/* fork_guard.c - see fork_guard.h. */
#include "shim/base/fork_guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "shim/base/libc.h"

#define WAIT_STEP_NS   50000
#define WAIT_STEPS_MAX 2000 /* 100 ms in total */

static atomic_int windows; /* open guards in the whole process */
static atomic_int forks;   /* under way */
static atomic_flag registered = ATOMIC_FLAG_INIT;
static __thread int own_windows __attribute__((
    tls_model("initial-exec"))); /* of this thread: a signal handler may connect during a connect */

static void before_fork(void) {
    int saved = errno;
    atomic_fetch_add(&forks, 1);
    for (int i = 0; atomic_load(&windows) > own_windows && i < WAIT_STEPS_MAX; i++)
        raw_sleep(WAIT_STEP_NS);
    errno = saved;
}

static void after_fork_in_parent(void) {
    atomic_fetch_sub(&forks, 1);
}

static void after_fork_in_child(void) {
    atomic_store(&forks, 0);
    atomic_store(&windows, own_windows);
}

void fork_guard_open(void) {
    int saved = errno;
    /* glibc stores the first 48 handlers without allocating. */
    if (!atomic_flag_test_and_set(&registered))
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    for (int i = 0;; i++) {
        atomic_fetch_add(&windows, 1);
        if (atomic_load(&forks) == 0 || own_windows > 0 || i == WAIT_STEPS_MAX)
            break;
        atomic_fetch_sub(&windows, 1);
        raw_sleep(WAIT_STEP_NS);
    }
    own_windows++;
    errno = saved;
}

void fork_guard_close(void) {
    own_windows--;
    atomic_fetch_sub(&windows, 1);
}
