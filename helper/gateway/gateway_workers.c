/* SPDX-License-Identifier: MIT */
/* gateway_workers.c - see gateway_workers.h. */
#include "helper/gateway/gateway_workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/gateway/access_log.h"
#include "helper/metrics/metrics_process.h"
#include "helper/net/log.h"
#include "helper/net/loop.h"
#include "helper/net/predecessor.h"
#include "helper/net/service_notify.h"
#include "helper/net/signals.h"
#include "helper/net/successor.h"

/* What a worker shares with the supervisor. */
struct worker_state {
    uint64_t beat_us; /* loop_clock_us of its last */
    bool serves;
};

/* In a worker, its own. */
static struct worker_state *own;

uint64_t *worker_beat(void) {
    return own ? &own->beat_us : NULL;
}

void worker_serves(void) {
    if (own)
        __atomic_store_n(&own->serves, true, __ATOMIC_RELEASE);
}

/* A worker that ends sooner than this after its start is replaced only after this time. */
#define RESTART_PAUSE_S 1

/* ---- Supervisor ---- */

struct supervisor {
    struct worker_sockets *sockets;
    int workers;
    const struct workers_ops *ops;
    void *user;
    pid_t pid[WORKERS_MAX];           /* 0: not running */
    uint64_t started_us[WORKERS_MAX]; /* loop_clock_us; 0: never */
    struct worker_state *state;       /* of each worker */
    struct successor successor;
    uint64_t drain_us; /* how long the end may take */
    uint64_t told_us;  /* when the service manager was last told that all is well */
    bool told;         /* that it is ready */
    bool ending;
    bool failed;
};

/* `me` -1: all. */
static void close_others(struct supervisor *supervisor, int me) {
    for (int i = 0; i < supervisor->sockets->count; i++) {
        const struct listening *at = &supervisor->sockets->at[i];
        for (int k = 0; k < at->count; k++)
            if (me < 0 || !worker_sockets_serves(supervisor->sockets, at, me, k))
                close(at->fd[k]);
    }
    worker_sockets_free_metrics(supervisor->sockets);
}

/* Returns the worker's exit status in the worker, -1 in the supervisor. */
static int start_worker(struct supervisor *supervisor, int w) {
    pid_t parent = getpid();
    supervisor->started_us[w] = loop_clock_us();
    supervisor->state[w] = (struct worker_state){supervisor->started_us[w], false};
    pid_t pid = fork();
    if (pid < 0) {
        log_error("worker %d cannot be started: %s", w, strerror(errno));
        return -1;
    }
    if (pid > 0) {
        supervisor->pid[w] = pid;
        return -1;
    }
    /* Workers must not outlive a supervisor that was killed. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return 1;
    close_others(supervisor, w);
    service_notify_close();
    predecessor_forget();
    successor_forget(&supervisor->successor);
    own = &supervisor->state[w];
    return supervisor->ops->serve(supervisor->user, supervisor->sockets, w);
}

static void reap(struct supervisor *supervisor) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        metrics_process_look(pid);
        for (int w = 0; w < supervisor->workers; w++) {
            if (supervisor->pid[w] != pid)
                continue;
            supervisor->pid[w] = 0;
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
                log_error(
                    "worker %d (pid %d) was killed by the filter of system calls: it made one "
                    "that its sandbox does not have; with sandbox = log the kernel's log "
                    "names it",
                    w, (int)pid);
            else if (WIFSIGNALED(status))
                log_error("worker %d (pid %d) was killed by signal %d", w, (int)pid,
                          WTERMSIG(status));
            else if (!supervisor->ending)
                log_error("worker %d (pid %d) ended with status %d", w, (int)pid,
                          WEXITSTATUS(status));
            supervisor->failed |= !supervisor->told && predecessor_was_found();
        }
    }
}

static int running(const struct supervisor *supervisor) {
    int count = 0;
    for (int w = 0; w < supervisor->workers; w++)
        count += supervisor->pid[w] > 0;
    return count;
}

static void pass_on(const struct supervisor *supervisor, int signo) {
    for (int w = 0; w < supervisor->workers; w++)
        if (supervisor->pid[w] > 0)
            kill(supervisor->pid[w], signo);
}

static bool is_due(const struct supervisor *supervisor, int w) {
    uint64_t started_us = supervisor->started_us[w];
    return supervisor->pid[w] == 0 &&
           (started_us == 0 || loop_clock_us() - started_us >= RESTART_PAUSE_S * 1000000u);
}

/* Starts what is not running. Returns a worker's exit status in it, -1 in the supervisor. */
static int start_missing(struct supervisor *supervisor) {
    for (int w = 0; w < supervisor->workers; w++) {
        if (!is_due(supervisor, w))
            continue;
        if (supervisor->started_us[w] > 0)
            metrics_count_replaced();
        int status = start_worker(supervisor, w);
        if (status >= 0)
            return status;
    }
    return -1;
}

/* ---- The service manager ---- */

static const char *describe(const struct supervisor *supervisor, char *out, size_t size) {
    snprintf(out, size, "%s: %d of %d workers run", supervisor->ending ? "draining" : "serving",
             running(supervisor), supervisor->workers);
    return out;
}

static void kill_the_stuck(struct supervisor *supervisor, uint64_t patience_us) {
    for (int w = 0; w < supervisor->workers; w++) {
        uint64_t beat = __atomic_load_n(&supervisor->state[w].beat_us, __ATOMIC_RELAXED);
        if (supervisor->pid[w] == 0 || loop_clock_us() < beat + patience_us)
            continue;
        log_error("worker %d (pid %d) has done nothing for %.1f s: it is killed and replaced", w,
                  (int)supervisor->pid[w], (double)(loop_clock_us() - beat) / 1e6);
        kill(supervisor->pid[w], SIGKILL);
    }
}

/* Four times in the watchdog's time. Whoever comes here late has been stopped or kept waiting, and
 * the workers have, too: they get another chance. */
static void tell_watchdog(struct supervisor *supervisor) {
    char status[SERVICE_STATUS_MAX];
    uint64_t watchdog_us = service_watchdog_us(), now = loop_clock_us();
    uint64_t since_us = now - supervisor->told_us;
    if (watchdog_us == 0 || since_us < watchdog_us / 4)
        return;
    supervisor->told_us = now;
    if (since_us < watchdog_us / 2)
        kill_the_stuck(supervisor, watchdog_us);
    service_alive(describe(supervisor, status, sizeof status));
}

/* How long to wait for a signal; false: for ever. */
static bool pause_of(const struct supervisor *supervisor, struct timespec *pause) {
    uint64_t us = service_watchdog_us() / 4, most = 0;
    if (supervisor->ending || running(supervisor) != supervisor->workers)
        most = RESTART_PAUSE_S * 1000000u;
    if (supervisor->ending)
        most = SUCCESSOR_LOOK_LATER_US;
    if (!supervisor->told || (supervisor->successor.pid && !supervisor->successor.ready))
        most = SUCCESSOR_LOOK_US;
    if (most && (us == 0 || us > most))
        us = most;
    *pause = (struct timespec){.tv_sec = (time_t)(us / 1000000u),
                               .tv_nsec = (long)(us % 1000000u) * 1000};
    return us > 0;
}

/* ---- Successor and predecessor ---- */

static void start_successor(struct supervisor *supervisor) {
    int fds[PASSED_SOCKETS_MAX];
    if (supervisor->ending) {
        log_few(&successor_lines, LOG_WARNING, NULL, "not replaced: it ends");
        return;
    }
    successor_give_up(&supervisor->successor);
    const struct successor_gift gift = {
        .listeners = fds, .count = worker_sockets_list(supervisor->sockets, fds), .lock = -1};
    const char *why = successor_start(&supervisor->successor, &gift);
    if (why)
        log_few(&successor_lines, LOG_ERR, NULL, "cannot be replaced: %s", why);
}

/* The workers accept no more, and end after their last streams. */
static void give_way(struct supervisor *supervisor) {
    successor_go(&supervisor->successor);
    supervisor->ending = true;
    close_others(supervisor, -1);
    metrics_process_stop();
    pass_on(supervisor, SIGUSR2);
}

static void look_at_successor(struct supervisor *supervisor) {
    enum successor_news news = successor_look(&supervisor->successor);
    if (news == SUCCESSOR_IS_READY)
        give_way(supervisor);
    else if (news == SUCCESSOR_ENDS) {
        pass_on(supervisor, SIGTERM);
        predecessor_end();
    }
}

static bool all_serve(const struct supervisor *supervisor) {
    for (int w = 0; w < supervisor->workers; w++)
        if (!__atomic_load_n(&supervisor->state[w].serves, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

/* When all workers accept: the predecessor may stop to. */
static void tell_ready(struct supervisor *supervisor) {
    char status[SERVICE_STATUS_MAX];
    if (supervisor->told || supervisor->failed || !all_serve(supervisor))
        return;
    supervisor->told = true;
    supervisor->failed = !predecessor_agrees();
    if (!supervisor->failed)
        service_ready(describe(supervisor, status, sizeof status));
}

/* ---- Signals ---- */

static void end(struct supervisor *supervisor) {
    char status[SERVICE_STATUS_MAX];
    successor_give_up(&supervisor->successor);
    supervisor->ending = true;
    metrics_drain();
    service_stopping(describe(supervisor, status, sizeof status), supervisor->drain_us);
    predecessor_end();
}

static void on_signal(struct supervisor *supervisor, int signo) {
    char status[SERVICE_STATUS_MAX];
    if (signo == SIGCHLD) {
        reap(supervisor);
        return;
    }
    if (signo == SIGUSR2) {
        start_successor(supervisor);
        return;
    }
    if (signo == SIGTERM || signo == SIGINT)
        end(supervisor);
    if (signo == SIGHUP)
        service_reloading();
    if (signo == SIGHUP || signo == SIGUSR1) {
        log_reopen();
        access_log_reopen(); /* for later workers */
    }
    if (signo == SIGHUP)
        supervisor->ops->reload(supervisor->user);
    pass_on(supervisor, signo);
    if (signo == SIGHUP && !supervisor->ending)
        service_ready(describe(supervisor, status, sizeof status));
}

static bool is_over(const struct supervisor *supervisor) {
    return supervisor->ending && running(supervisor) == 0 && !predecessor_is_there();
}

/* Its predecessor goes on in its place. */
static void end_if_failed(struct supervisor *supervisor) {
    if (!supervisor->failed || supervisor->ending)
        return;
    supervisor->ending = true;
    pass_on(supervisor, SIGTERM);
}

/* Returns a worker's exit status in it, -1 in the supervisor once all have ended. */
static int supervise(struct supervisor *supervisor) {
    struct timespec pause;
    sigset_t set;
    signals_reported(&set);
    while (!is_over(supervisor)) {
        int ended = supervisor->ending ? -1 : start_missing(supervisor);
        if (ended >= 0)
            return ended;
        tell_ready(supervisor);
        end_if_failed(supervisor);
        tell_watchdog(supervisor);
        int signo = sigtimedwait(&set, NULL, pause_of(supervisor, &pause) ? &pause : NULL);
        if (signo > 0)
            on_signal(supervisor, signo);
        look_at_successor(supervisor);
    }
    return -1;
}

int workers_supervise(struct worker_sockets *sockets, int workers, uint64_t drain_us,
                      const struct workers_ops *ops, void *user) {
    struct supervisor supervisor = {
        .sockets = sockets, .workers = workers, .ops = ops, .user = user, .drain_us = drain_us};
    size_t size = sizeof *supervisor.state * (size_t)workers;
    supervisor.state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (supervisor.state == MAP_FAILED) {
        log_error("cannot start: %s", strerror(errno));
        return 1;
    }
    int status = supervise(&supervisor);
    return status < 0 ? supervisor.failed : status;
}
