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
#include "helper/net/listen.h"
#include "helper/net/log.h"
#include "helper/net/loop.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/service_notify.h"
#include "helper/net/signals.h"

/* In a worker, its own. */
static uint64_t *own_beat;

uint64_t *worker_beat(void) {
    return own_beat;
}

/* A worker that ends sooner than this after its start is replaced only after this time. */
#define RESTART_PAUSE_S 1

/* ---- Sockets ---- */

/* Opens the socket for an address; `first` is the first worker's for it, -1 if this is that one. */
static int open_one(const struct gateway_config *config, int i, int first) {
    struct config_address address = config->address[i];
    char text[CONFIG_URL_MAX + 1];
    const char *why;
    if (first >= 0 && (address.scheme == CONFIG_UNIX || passed_sockets_was(first)))
        return first;
    if (first >= 0) /* port 0: the one that the kernel chose for the first */
        address.port = listen_port(first);
    int fd = listen_open(&address, config->workers > 1, config->socket_mode, &why);
    if (fd < 0)
        log_error("%s: %s: %s", config_address_text(&address, text, sizeof text), why,
                  strerror(-fd));
    return fd;
}

static void say_listening(const struct gateway_config *config, int i, const char *text) {
    log_info("listening at %s", text);
    if (gateway_config_is_exposed(&config->address[i]))
        log_warn("%s has no TLS (insecure = yes): everyone on the way can read and change what it "
                 "carries, and whoever reaches it can use it",
                 text);
}

bool worker_sockets_open(struct worker_sockets *sockets, const struct gateway_config *config) {
    char text[CONFIG_URL_MAX + 1];
    sockets->count = config->n_addresses;
    for (int i = 0; i < sockets->count; i++)
        sockets->scheme[i] = config->address[i].scheme;
    for (uint32_t worker = 0; worker < config->workers && worker < WORKERS_MAX; worker++)
        for (int i = 0; i < sockets->count; i++) {
            sockets->fd[worker][i] = open_one(config, i, worker ? sockets->fd[0][i] : -1);
            if (sockets->fd[worker][i] < 0)
                return false;
        }
    if (passed_sockets_left(text, sizeof text)) {
        log_error("%s was passed by the service manager, but is none of this gateway's addresses",
                  text);
        return false;
    }
    for (int i = 0; i < sockets->count; i++)
        say_listening(config, i,
                      listen_text(sockets->fd[0][i], sockets->scheme[i], text, sizeof text));
    return true;
}

/* ---- Supervisor ---- */

struct supervisor {
    struct worker_sockets *sockets;
    int workers;
    const struct workers_ops *ops;
    void *user;
    pid_t pid[WORKERS_MAX];           /* 0: not running */
    uint64_t started_us[WORKERS_MAX]; /* loop_clock_us; 0: never */
    uint64_t *beat;    /* of each worker, shared with it: loop_clock_us of its last */
    uint64_t drain_us; /* how long the end may take */
    uint64_t told_us;  /* when the service manager was last told that all is well */
    bool ending;
};

static void close_others(struct supervisor *supervisor, int me) {
    const int *mine = supervisor->sockets->fd[me];
    for (int w = 0; w < supervisor->workers; w++)
        for (int i = 0; i < supervisor->sockets->count; i++)
            if (w != me && supervisor->sockets->fd[w][i] != mine[i])
                close(supervisor->sockets->fd[w][i]);
}

/* Returns the worker's exit status in the worker, -1 in the supervisor. */
static int start_worker(struct supervisor *supervisor, int w) {
    pid_t parent = getpid();
    pid_t pid = fork();
    supervisor->started_us[w] = loop_clock_us();
    __atomic_store_n(&supervisor->beat[w], supervisor->started_us[w], __ATOMIC_RELAXED);
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
    own_beat = &supervisor->beat[w];
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
        uint64_t beat = __atomic_load_n(&supervisor->beat[w], __ATOMIC_RELAXED);
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
    uint64_t us = service_watchdog_us() / 4;
    bool whole = supervisor->ending || running(supervisor) == supervisor->workers;
    if (!whole && (us == 0 || us > RESTART_PAUSE_S * 1000000u))
        us = RESTART_PAUSE_S * 1000000u;
    *pause = (struct timespec){.tv_sec = (time_t)(us / 1000000u),
                               .tv_nsec = (long)(us % 1000000u) * 1000};
    return us > 0;
}

/* ---- Signals ---- */

static void end(struct supervisor *supervisor) {
    char status[SERVICE_STATUS_MAX];
    supervisor->ending = true;
    metrics_drain();
    service_stopping(describe(supervisor, status, sizeof status), supervisor->drain_us);
}

static void on_signal(struct supervisor *supervisor, int signo) {
    char status[SERVICE_STATUS_MAX];
    if (signo == SIGCHLD) {
        reap(supervisor);
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

/* Returns a worker's exit status in it, -1 in the supervisor once all have ended. */
static int supervise(struct supervisor *supervisor) {
    char status[SERVICE_STATUS_MAX];
    struct timespec pause;
    sigset_t set;
    signals_reported(&set);
    for (bool told = false; !supervisor->ending || running(supervisor) > 0; told = true) {
        int ended = supervisor->ending ? -1 : start_missing(supervisor);
        if (ended >= 0)
            return ended;
        if (!told)
            service_ready(describe(supervisor, status, sizeof status));
        tell_watchdog(supervisor);
        int signo = sigtimedwait(&set, NULL, pause_of(supervisor, &pause) ? &pause : NULL);
        if (signo > 0)
            on_signal(supervisor, signo);
    }
    return -1;
}

int workers_supervise(struct worker_sockets *sockets, int workers, uint64_t drain_us,
                      const struct workers_ops *ops, void *user) {
    struct supervisor supervisor = {
        .sockets = sockets, .workers = workers, .ops = ops, .user = user, .drain_us = drain_us};
    size_t size = sizeof *supervisor.beat * (size_t)workers;
    supervisor.beat = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (supervisor.beat == MAP_FAILED) {
        log_error("cannot start: %s", strerror(errno));
        return 1;
    }
    int status = supervise(&supervisor);
    return status < 0 ? 0 : status;
}
