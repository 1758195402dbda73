/* SPDX-License-Identifier: MIT */
/* The gateway's supervisor: a worker that dies is replaced, whatever the wall clock does. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/gateway/gateway_workers.h"
#include "helper/net/signals.h"

#define WORKERS 2

/* Only guards against a hang. */
#define GUARD_MS 60000

/* A replacement of libc's wall clock, which steps back an hour at each call. */
static time_t wall_clock = 2000000000;

time_t time(time_t *out) {
    wall_clock -= 3600;
    if (out)
        *out = wall_clock;
    return wall_clock;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock != CLOCK_REALTIME)
        return (int)syscall(SYS_clock_gettime, clock, out);
    *out = (struct timespec){.tv_sec = time(NULL)};
    return 0;
}

/* A worker reports its pid, and then waits to be killed. */
static int serve(void *user, struct worker_sockets *sockets, int worker) {
    const int *out = user;
    pid_t me = getpid();
    sigset_t set;
    (void)sockets;
    (void)worker;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (write(*out, &me, sizeof me) == sizeof me)
        sigwaitinfo(&set, NULL);
    return 0;
}

static pid_t next_worker(int from) {
    struct pollfd p = {.fd = from, .events = POLLIN};
    pid_t pid = 0;
    int ready;
    while ((ready = poll(&p, 1, GUARD_MS)) < 0 && errno == EINTR)
        continue;
    assert_int_equal(ready, 1);
    assert_int_equal(read(from, &pid, sizeof pid), sizeof pid);
    return pid;
}

static const struct workers_ops ops = {.serve = serve};

static void dead_workers_are_replaced_while_the_wall_clock_steps_back(void **state) {
    static struct worker_sockets sockets = {.metrics = -1}; /* none: these workers need no port */
    int tell[2], status;
    pid_t worker[WORKERS];
    (void)state;
    assert_int_equal(pipe(tell), 0);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signals_block(1);
        _exit(workers_supervise(&sockets, WORKERS, 0, &ops, &tell[1]));
    }
    for (int i = 0; i < WORKERS; i++)
        worker[i] = next_worker(tell[0]);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < WORKERS; i++)
            kill(worker[i], SIGKILL);
        for (int i = 0; i < WORKERS; i++)
            worker[i] = next_worker(tell[0]);
    }
    kill(supervisor, SIGTERM);
    assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(tell[0]);
    close(tell[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_workers_are_replaced_while_the_wall_clock_steps_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
