/* SPDX-License-Identifier: MIT */
/* supervisor.c - see supervisor.h. */
#include "shim/trap/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/base/environment.h"
#include "shim/base/libc.h"
#include "shim/base/shim_log.h"
#include "shim/trap/answers.h"
#include "shim/trap/connects.h"
#include "shim/trap/handshake.h"

#define EVENTS_MAX 64

/* Keys of `data.ptr` in the epoll set, besides the waiting connects. */
static char of_listener, of_helper;

static void dispatch(struct connects *connects, const struct trap_call *call) {
    switch (call->nr) {
    case SYS_connect:
        connects_connect(connects, call);
        break;
    case SYS_shutdown:
        connects_shutdown(connects, call);
        break;
    case SYS_getpeername:
        answer_getpeername(call);
        break;
    case SYS_getsockname:
        answer_getsockname(call);
        break;
    case SYS_getsockopt:
        answer_getsockopt(call);
        break;
    case SYS_setsockopt:
        answer_setsockopt(call);
        break;
    default:
        call_let_go(call);
        break;
    }
}

/* Returns false when no process is left under the filter. */
static bool listener_ready(struct connects *connects, int listener, uint32_t events) {
    struct trap_call call;
    if (events & EPOLLIN) {
        if (call_receive(&call, listener))
            dispatch(connects, &call);
        return true;
    }
    return !(events & (EPOLLHUP | EPOLLERR));
}

static int wait_ms(const struct connects *connects) {
    if (connects->look_ms == INT64_MAX)
        return -1;
    int64_t left_ms = connects->look_ms - connects_now_ms();
    return left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static bool watch(int epoll, int fd, void *key) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = key};
    return fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool handle(struct connects *connects, int listener, const struct epoll_event *event) {
    if (event->data.ptr == &of_listener)
        return listener_ready(connects, listener, event->events);
    if (event->data.ptr == &of_helper)
        connects_helper_started(connects);
    else
        connects_ready(connects, event->data.ptr);
    return true;
}

/* Serves until no process is left under the filter. */
static void serve(struct connects *connects, int listener) {
    struct epoll_event events[EVENTS_MAX];
    for (bool used = true; used;) {
        int n = epoll_wait(connects->epoll, events, EVENTS_MAX, wait_ms(connects));
        for (int i = 0; i < n; i++)
            used = handle(connects, listener, &events[i]) && used;
        if (connects_now_ms() >= connects->look_ms)
            connects_look(connects);
    }
}

/* Signals are the program's: those from the terminal, and those that a service manager sends to
 * all processes of a service. The supervisor ends after the program in any case. */
static void settle(void) {
    static const int ignored[] = {SIGINT,  SIGQUIT, SIGHUP,  SIGTERM, SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE};
    struct rlimit limit;
    sigset_t none;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Keeps none of the launcher's descriptors but these two, at the numbers 3 and 4, so that pipes of
 * the program end with it. stderr stays if the log goes there. */
static void keep_only(int *launcher, int *epoll) {
    const char *log = environment_get("SMUXSHIM_LOG");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int kept[2] = {fcntl(*launcher, F_DUPFD_CLOEXEC, 5), fcntl(*epoll, F_DUPFD_CLOEXEC, 5)};
    if (null < 0 || kept[0] < 0 || kept[1] < 0)
        _exit(1);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (!log || strcmp(log, "-") != 0)
        dup2(null, STDERR_FILENO);
    *launcher = dup3(kept[0], 3, O_CLOEXEC);
    *epoll = dup3(kept[1], 4, O_CLOEXEC);
    syscall(436 /* close_range */, 5, ~0U, 0);
}

void supervisor_run(int launcher) {
    static struct connects connects;
    real_bind();
    environment_capture();
    settle();
    connects.epoll = epoll_create1(EPOLL_CLOEXEC);
    keep_only(&launcher, &connects.epoll);
    connects.start.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    connects.look_ms = INT64_MAX;
    int listener = handshake_take(launcher);
    bool ready = listener >= 0 && watch(connects.epoll, listener, &of_listener) &&
                 watch(connects.epoll, connects.start.ended, &of_helper);
    handshake_ready(launcher, ready);
    close(launcher);
    if (!ready)
        _exit(1);
    shim_log("trap: process %d answers", (int)getpid());
    serve(&connects, listener);
    _exit(0);
}
