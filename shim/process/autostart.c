/* SPDX-License-Identifier: MIT */
/* autostart.c - see autostart.h. */
#include "shim/process/autostart.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "core/common/config.h"
#include "shim/base/environment.h"
#include "shim/base/fork_guard.h"
#include "shim/base/libc.h"
#include "shim/base/shim_log.h"
#include "shim/process/helper_socket.h"

/* Of each of the two short-lived processes that start the helper. */
#define STACK_SIZE           (64 * 1024)
#define MESSAGES_SIZE        500
#define KERNEL_SIGSET        8  /* bytes of a signal set in the kernel's interface */
#define KERNEL_SIGACTION_MAX 64 /* at least the size of its struct sigaction */
#define STEP_NS              5000000

/* Where smux-helper may be, relative to the library's folder: in a build, in an installation, in a
 * distribution that has lib/ARCHITECTURE, and as a private program of a package. */
static const char *const folders[] = {"", "/../bin", "/../../bin", "/../libexec/smuxshim"};

struct start {
    char file[PATH_MAX];
    char socket_variable[sizeof "SMUXSHIM_SOCKET=" + sizeof((struct sockaddr_un *)0)->sun_path];
    char *environment[ENVIRONMENT_MAX + 3];
    int messages; /* where the helper writes its messages until it detaches and closes this */
    _Alignas(16) char stacks[2][STACK_SIZE]; /* of the two processes; stacks grow down */
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Whether to start one, and which ---- */

static bool find_file(char *file, size_t size) {
    Dl_info library;
    if (!dladdr(&now_ms, &library) || !library.dli_fname)
        return false;
    const char *slash = strrchr(library.dli_fname, '/');
    if (!slash) { /* part of a program that was found in PATH */
        static char self[PATH_MAX];
        long n = real.syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", self, sizeof self - 1);
        library.dli_fname = self;
        slash = n > 0 ? strrchr(self, '/') : NULL;
    }
    int len = slash ? (int)(slash - library.dli_fname) : 0;
    for (size_t i = 0; slash && i < sizeof folders / sizeof *folders; i++)
        if ((size_t)snprintf(file, size, "%.*s%s/smux-helper", len, library.dli_fname, folders[i]) <
                size &&
            real.syscall(SYS_faccessat, AT_FDCWD, file, X_OK) == 0)
            return true;
    return false;
}

/* Would a helper with this environment have work to do? It reads the same configuration. */
static bool is_configured(void) {
    struct config_error error;
    struct config *config =
        mmap(NULL, sizeof *config, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (config == MAP_FAILED)
        return false;
    bool good = config_load(config, &error) && config_check_gateways(config, &error);
    if (!good)
        shim_log("cannot start smux-helper: %s", error.text);
    bool wanted = good && config->routes.n_routes > 0 && config->helper.autostart;
    munmap(config, sizeof *config);
    return wanted;
}

/* ---- The two processes that start it ---- */

/* Runs in the process that becomes the helper. It still shares the program's memory, so it does
 * nothing but make system calls. */
static int become_helper(void *argument) {
    struct start *start = argument;
    char *arguments[] = {start->file, (char *)(uintptr_t) "--on-demand", NULL};
    static const char usual[KERNEL_SIGACTION_MAX]; /* SIG_DFL, no flags */
    uint64_t none[KERNEL_SIGSET / sizeof(uint64_t)] = {0};
    for (int i = 1; i < NSIG; i++)
        real.syscall(SYS_rt_sigaction, i, usual, NULL, (size_t)KERNEL_SIGSET);
    real.syscall(SYS_setsid);
    /* Move both above 2 first: if the program has closed 0 to 2, these may have been given those
     * numbers. */
    int messages = raw_fcntl(start->messages, F_DUPFD, 3);
    int null = (int)real.syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    null = raw_fcntl(null, F_DUPFD, 3);
    if (raw_dup3(messages, STDERR_FILENO, 0) >= 0 && raw_dup3(null, STDIN_FILENO, 0) >= 0 &&
        raw_dup3(null, STDOUT_FILENO, 0) >= 0) {
        if (real.syscall(SYS_close_range, 3, ~0U, 0) != 0) /* before Linux 5.9 */
            for (int fd = 3; fd < 65536; fd++)
                raw_close(fd);
        real.syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, (size_t)KERNEL_SIGSET);
        real.syscall(SYS_execve, start->file, arguments, start->environment);
    }
    real.syscall(SYS_exit_group, 127);
    return 127;
}

/* A child that the program has for a moment. If it became the helper itself, the helper's exit
 * would send the program a SIGCHLD; so it makes a child of its own, which does, and exits. */
static int stand_between(void *argument) {
    struct start *start = argument;
    int pid = clone(become_helper, start->stacks[0] + STACK_SIZE, CLONE_VM | CLONE_VFORK, start);
    real.syscall(SYS_exit_group, pid < 0);
    return 1;
}

/* Runs both processes as vfork does: this thread waits, with all signals blocked, until the
 * helper's exec. */
static bool spawn(struct start *start) {
    uint64_t all[KERNEL_SIGSET / sizeof(uint64_t)], mask[KERNEL_SIGSET / sizeof(uint64_t)];
    int status = 1;
    memset(all, 0xff, sizeof all);
    real.syscall(SYS_rt_sigprocmask, SIG_SETMASK, all, mask, sizeof mask);
    int pid = clone(stand_between, start->stacks[1] + STACK_SIZE, CLONE_VM | CLONE_VFORK, start);
    while (pid > 0 && real.syscall(SYS_wait4, pid, &status, __WALL, NULL) < 0 && errno == EINTR)
        ;
    real.syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, sizeof mask);
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- Waiting for it ---- */

static bool answers(const char *socket_path) {
    fork_guard_open();
    int fd = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int err = fd >= 0 ? helper_socket_connect(fd, socket_path) : errno;
    if (fd >= 0)
        raw_close(fd);
    fork_guard_close();
    return err == 0 || err == EAGAIN;
}

/* Reads the helper's messages until it closes its end: then it has started, or failed. */
static void await(int messages, char *said, int64_t until_ms) {
    size_t len = 0;
    for (;;) {
        struct pollfd pfd = {.fd = messages, .events = POLLIN};
        int64_t left_ms = until_ms - now_ms();
        struct timespec wait = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        if (left_ms <= 0)
            break;
        long ready = real.syscall(SYS_ppoll, &pfd, 1, &wait, NULL, (size_t)KERNEL_SIGSET);
        if (ready < 0 && errno == EINTR)
            continue;
        char *at = said + (len < MESSAGES_SIZE - 1 ? len : 0); /* else keep the last part */
        ssize_t n = ready > 0 ? real.syscall(SYS_read, messages, at,
                                             (size_t)(said + MESSAGES_SIZE - 1 - at))
                              : 0;
        if (n <= 0)
            break;
        len = (size_t)(at - said) + (size_t)n;
    }
    while (len > 0 && said[len - 1] == '\n')
        len--;
    said[len] = '\0';
}

static bool start_and_wait(const char *socket_path, int64_t until_ms) {
    char said[MESSAGES_SIZE];
    int messages[2] = {-1, -1};
    const size_t size = sizeof(struct start);
    struct start *start =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (start == MAP_FAILED)
        return false;
    bool started = false;
    if (!find_file(start->file, sizeof start->file)) {
        shim_log("cannot start smux-helper: it is not beside libsmuxshim.so");
        goto out;
    }
    size_t n = environment_list(start->environment, "SMUXSHIM_SOCKET");
    snprintf(start->socket_variable, sizeof start->socket_variable, "SMUXSHIM_SOCKET=%s",
             socket_path);
    start->environment[n++] = start->socket_variable;
    start->environment[n] = (char *)(uintptr_t) "SMUXSHIM_DISABLE=1";
    fork_guard_open();
    if (real.syscall(SYS_pipe2, messages, O_CLOEXEC) == 0) {
        start->messages = messages[1];
        started = spawn(start);
        raw_close(messages[1]);
    }
    fork_guard_close();
    if (!started)
        shim_log("cannot start smux-helper: %s", strerror(errno));
out:
    munmap(start, size);
    if (started)
        await(messages[0], said, until_ms);
    if (messages[0] >= 0)
        raw_close(messages[0]);
    bool there = started && answers(socket_path);
    if (started)
        shim_log("smux-helper started: %s", there     ? "it answers"
                                            : said[0] ? said
                                                      : "it does not answer");
    return there;
}

/* ---- One at a time ---- */

static _Atomic int starter; /* id of the process while it starts a helper; a fork has another */
static _Atomic int64_t next_try_ms;

static bool wait_for_starter(const char *socket_path, int pid, int64_t until_ms) {
    struct timespec step = {.tv_nsec = STEP_NS};
    while (atomic_load(&starter) == pid && now_ms() < until_ms)
        real.syscall(SYS_nanosleep, &step, NULL);
    return answers(socket_path);
}

bool autostart_helper(const char *socket_path, uint32_t limit_ms) {
    int pid = (int)real.syscall(SYS_getpid);
    int64_t now = now_ms();
    int64_t until = now + (limit_ms < AUTOSTART_LIMIT_MS ? limit_ms : AUTOSTART_LIMIT_MS);
    int other = atomic_load(&starter);
    if (getauxval(AT_SECURE))
        return false;
    if (other == pid || !atomic_compare_exchange_strong(&starter, &other, pid))
        return wait_for_starter(socket_path, pid, until);
    bool there = answers(socket_path);
    if (!there && now >= atomic_load(&next_try_ms) && is_configured())
        there = start_and_wait(socket_path, until);
    if (!there)
        atomic_store(&next_try_ms, now_ms() + AUTOSTART_PAUSE_MS);
    atomic_store(&starter, 0);
    return there;
}
