/* SPDX-License-Identifier: MIT */
/* inherited.c - see inherited.h. */
#include "helper/net/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/net/close_from.h"
#include "helper/net/log.h"

#define USUAL_UMASK          022
#define USUAL_TIMER_SLACK_NS 50000
#define CPUS_MAX             8192

#define FIRST_RESERVED_SIGNAL 32 /* where the real-time signals begin, on every architecture */

/* The inode of the first PID namespace, on every Linux (PROC_PID_INIT_INO). */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"

/* What could not be reset. */
static char kept[400];

static void keep(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void keep(const char *format, ...) {
    size_t len = strlen(kept);
    va_list args;
    if (len > 0)
        len += (size_t)snprintf(kept + len, sizeof kept - len, ", ");
    if (len >= sizeof kept)
        return;
    va_start(args, format);
    vsnprintf(kept + len, sizeof kept - len, format, args);
    va_end(args);
}

/* ---- Limits ---- */

static const struct limit {
    int resource;
    const char *name; /* NULL: not worth a line */
    rlim_t enough;    /* a hard limit below this is worth one */
    rlim_t most;      /* what root asks for */
} limits[] = {
    {RLIMIT_NOFILE, "open files", 4096, 524288},
    {RLIMIT_FSIZE, "bytes in a file", RLIM_INFINITY, RLIM_INFINITY},
    {RLIMIT_CPU, "CPU seconds", RLIM_INFINITY, RLIM_INFINITY},
    {RLIMIT_DATA, "bytes of data", RLIM_INFINITY, RLIM_INFINITY},
    {RLIMIT_AS, "bytes of address space", RLIM_INFINITY, RLIM_INFINITY},
    {RLIMIT_STACK, NULL, 0, RLIM_INFINITY},
    {RLIMIT_CORE, NULL, 0, RLIM_INFINITY},
    {RLIMIT_NPROC, NULL, 0, RLIM_INFINITY},
};

static void lift(const struct limit *limit) {
    struct rlimit now, wanted;
    if (getrlimit((unsigned)limit->resource, &now) < 0)
        return;
    wanted.rlim_max = now.rlim_max < limit->most ? limit->most : now.rlim_max;
    wanted.rlim_cur = wanted.rlim_max;
    /* A process that may not raise the hard limit may still raise the soft one up to it. */
    if (wanted.rlim_max == now.rlim_max || setrlimit((unsigned)limit->resource, &wanted) < 0) {
        wanted.rlim_cur = wanted.rlim_max = now.rlim_max;
        if (now.rlim_cur != now.rlim_max)
            setrlimit((unsigned)limit->resource, &wanted);
    }
    if (limit->name && wanted.rlim_max < limit->enough)
        keep("at most %llu %s", (unsigned long long)wanted.rlim_max, limit->name);
}

void inherited_lift_limits(void) {
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGXCPU, SIG_IGN);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        lift(&limits[i]);
}

/* ---- The rest ---- */

/* glibc keeps the first real-time signals for its threads and lets nobody change them: if the
 * program that started this one ignored them, only the system call itself can undo that. */
static void reset_reserved_signals(void) {
    struct {
        void (*handler)(int);
        unsigned long rest[8];
    } action, usual = {.handler = SIG_DFL};
    for (int i = FIRST_RESERVED_SIGNAL; i < SIGRTMIN; i++) {
        if (syscall(SYS_rt_sigaction, i, NULL, &action, _NSIG / 8) == 0 &&
            action.handler == SIG_IGN)
            syscall(SYS_rt_sigaction, i, &usual, NULL, _NSIG / 8);
    }
}

static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    reset_reserved_signals();
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Opens 0 to 2 if the program had closed them: no other file may get these numbers. */
static void close_descriptors(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close_from(STDERR_FILENO + 1);
}

static void reset_scheduling(void) {
    static const unsigned char all_cpus[CPUS_MAX / 8] = {[0 ... CPUS_MAX / 8 - 1] = 0xff};
    struct sched_param usual = {0};
    enum { WHO_PROCESS = 1 }; /* IOPRIO_WHO_PROCESS; priority 0 is none, policy 0 the default */
    if (sched_getscheduler(0) != SCHED_OTHER && sched_setscheduler(0, SCHED_OTHER, &usual) < 0)
        keep("scheduling policy %d", sched_getscheduler(0));
    errno = 0;
    int nice_value = getpriority(PRIO_PROCESS, 0);
    if (errno == 0 && nice_value != 0 && setpriority(PRIO_PROCESS, 0, 0) < 0)
        keep("nice value %d", nice_value);
    /* The kernel leaves out processors that this machine, or its cpuset, does not have. */
    sched_setaffinity(0, sizeof all_cpus, (const cpu_set_t *)all_cpus);
    syscall(SYS_ioprio_set, WHO_PROCESS, 0, 0);
    syscall(SYS_set_mempolicy, 0, NULL, 0);
    prctl(PR_SET_TIMERSLACK, USUAL_TIMER_SLACK_NS, 0, 0, 0);
}

static void reset_oom_score(void) {
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n > 0 && atoi(text) != 0 && write(fd, "0", 1) != 1)
        keep("OOM score adjustment %d", atoi(text));
    close(fd);
}

void inherited_reset(void) {
    close_descriptors();
    reset_signals();
    umask(USUAL_UMASK);
    reset_scheduling();
    reset_oom_score();
    if (chdir("/") < 0)
        keep("the working directory");
}

void inherited_log(void) {
    if (kept[0])
        log_warn("inherited from the program that started it, and kept for want of permission: %s",
                 kept);
}

void inherited_forbid_dumps(void) {
#ifndef SMUX_SANITIZED
    static const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* ---- The birthplace ---- */

static bool in_first_namespace(void) {
    char name[64];
    ssize_t len = readlink("/proc/self/ns/pid", name, sizeof name - 1);
    if (len <= 0)
        return true; /* without /proc nothing is known */
    name[len] = '\0';
    return strcmp(name, FIRST_PID_NAMESPACE) == 0;
}

static bool parent_is(const char *name) {
    char path[32], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, comm, sizeof comm - 1) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 && strcspn(comm, "\n") == strlen(name) && memcmp(comm, name, strlen(name)) == 0;
}

const char *inherited_birthplace(void) {
    if (!in_first_namespace())
        return "in a PID namespace, whose first process may wait for it and takes it along when it "
               "ends";
    if (getppid() > 1 && !parent_is("systemd"))
        return "below a process that has made itself its init (a subreaper), and may wait for it";
    return NULL;
}
