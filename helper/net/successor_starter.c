/* SPDX-License-Identifier: MIT */
/* successor_starter.c - see successor_starter.h. */
#include "helper/net/successor_starter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/net/close_from.h"
#include "helper/net/pass_descriptor.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/predecessor.h"
#include "helper/net/service_notify.h"
#include "helper/net/signals.h"
#include "helper/net/successor.h"

enum { FIRST_PASSED = STDERR_FILENO + 1 };

static char *const *program; /* its arguments; the file below is for argv[0] */
static char *program_file;
static struct stat running; /* st_ino 0: not known */

/* What has been given; a standard descriptor that is missing is -1. */
static struct {
    int standard[3];
    int listener[PASSED_SOCKETS_MAX];
    int count;
    int lock;
    int elder[PREDECESSORS_MAX];
    int elder_count;
} given = {.standard = {-1, -1, -1}, .lock = -1};

static pid_t started; /* 0: none */

/* A relative path counts from here: the process may go elsewhere. */
bool successor_program(char *const argv[]) {
    char folder[PATH_MAX], path[2 * PATH_MAX];
    bool relative = argv[0][0] != '/' && strchr(argv[0], '/');
    if (!relative || !getcwd(folder, sizeof folder))
        *folder = '\0';
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", argv[0]);
    program = argv;
    if (stat("/proc/self/exe", &running) < 0)
        running.st_ino = 0;
    free(program_file);
    program_file = strdup(path);
    return program_file != NULL;
}

bool successor_program_is_same(void) {
    struct stat now;
    return running.st_ino && strchr(program_file, '/') && stat(program_file, &now) == 0 &&
           now.st_ino == running.st_ino && now.st_dev == running.st_dev &&
           now.st_mtim.tv_sec == running.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == running.st_mtim.tv_nsec;
}

/* ---- In the successor, before it is one ---- */

/* From 3 on: the listeners, the channels, the lock. All are first moved behind those numbers. 0 or
 * a negative errno. */
static int arrange(int channel) {
    int fds[PASSED_SOCKETS_MAX + PREDECESSORS_MAX + 2], count = given.count;
    memcpy(fds, given.listener, sizeof *fds * (size_t)count);
    fds[count++] = channel;
    for (int i = 0; i < given.elder_count; i++)
        fds[count++] = given.elder[i];
    if (given.lock >= 0)
        fds[count++] = given.lock;
    for (int i = 0; i < count; i++) {
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_PASSED + count);
        if (fds[i] < 0)
            return -errno;
    }
    for (int i = 0; i < 3; i++)
        if (given.standard[i] >= 0)
            dup2(given.standard[i], i);
    for (int i = 0; i < count; i++)
        if (dup2(fds[i], FIRST_PASSED + i) < 0)
            return -errno;
    close_from(FIRST_PASSED + count);
    return 0;
}

static void set_number(const char *name, long number) {
    char text[24];
    snprintf(text, sizeof text, "%ld", number);
    setenv(name, text, 1);
}

static void set_environment(bool activated) {
    char text[40 + 12 * (PREDECESSORS_MAX + 1)];
    int channel = FIRST_PASSED + given.count, end = channel + 1 + given.elder_count;
    int len = snprintf(text, sizeof text, "%d:%d:%d", SUCCESSOR_VERSION, activated,
                       given.lock >= 0 ? end : -1);
    for (; channel < end; channel++)
        len += snprintf(text + len, sizeof text - (size_t)len, ":%d", channel);
    setenv(SUCCESSOR_VARIABLE, text, 1);
    set_number("LISTEN_FDS", given.count);
    set_number("LISTEN_PID", getpid());
    service_notify_export();
}

static void become(int channel, bool activated) {
    int error = arrange(channel);
    if (error == 0) {
        set_environment(activated);
        signals_block(0);
        execvp(program_file, program);
        error = -errno;
    }
    fprintf(stderr, "%s: cannot be started: %s\n", program_file, strerror(-error));
    _exit(127);
}

/* ---- In the starter ---- */

static void forget_given(void) {
    for (int i = 0; i < given.count; i++)
        close(given.listener[i]);
    for (int i = 0; i < given.elder_count; i++)
        close(given.elder[i]);
    for (int i = 0; i < 3; i++)
        if (given.standard[i] >= 0)
            close(given.standard[i]);
    if (given.lock >= 0)
        close(given.lock);
    given.count = given.elder_count = 0;
    given.lock = given.standard[0] = given.standard[1] = given.standard[2] = -1;
}

static void end_started(void) {
    if (started == 0)
        return;
    kill(started, SIGKILL);
    while (waitpid(started, NULL, 0) < 0 && errno == EINTR)
        continue;
    started = 0;
}

static void start(int socket, bool activated) {
    struct starter_answer answer = {0};
    int channel[2] = {-1, -1};
    end_started();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0) {
        answer.error = -errno;
    } else {
        started = fork();
        if (started == 0)
            become(channel[1], activated);
        answer.error = started < 0 ? -errno : 0;
    }
    if (started < 0)
        started = 0;
    answer.pid = started;
    forget_given();
    if (answer.error)
        send(socket, &answer, sizeof answer, MSG_NOSIGNAL);
    else
        pass_descriptor(socket, &answer, sizeof answer, channel[0], MSG_NOSIGNAL);
    for (int i = 0; i < 2; i++)
        if (channel[i] >= 0)
            close(channel[i]);
}

/* Where an order puts its descriptor; NULL: nowhere. */
static int *place_of(uint32_t order) {
    if (order >= STARTER_INPUT && order <= STARTER_ERROR)
        return &given.standard[order - STARTER_INPUT];
    if (order == STARTER_LOCK)
        return &given.lock;
    if (order == STARTER_ELDER && given.elder_count < PREDECESSORS_MAX)
        return &given.elder[given.elder_count++];
    return order == STARTER_LISTENER && given.count < PASSED_SOCKETS_MAX
               ? &given.listener[given.count++]
               : NULL;
}

static void take(uint32_t order, int fd) {
    int *place = fd >= 0 ? place_of(order) : NULL;
    if (place)
        *place = fd;
    else if (fd >= 0)
        close(fd);
}

void successor_starter_run(int socket, void *unused) {
    struct starter_request request;
    (void)unused;
    for (;;) {
        int fd = -1;
        if (receive_descriptor(socket, &request, sizeof request, &fd) != (ssize_t)sizeof request)
            return;
        if (request.order == STARTER_START)
            start(socket, request.value);
        else if (request.order == STARTER_FORGET)
            forget_given();
        else if (request.order == STARTER_END)
            end_started();
        else
            take(request.order, fd);
    }
}
