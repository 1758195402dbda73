/* SPDX-License-Identifier: MIT */
/* metrics_process.c - see metrics_process.h. */
#include "helper/metrics/metrics_process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper/metrics/metrics_http.h"
#include "helper/net/landlock.h"
#include "helper/net/listen.h"
#include "helper/net/log.h"
#include "helper/net/pass_descriptor.h"
#include "helper/net/sandbox.h"
#include "helper/net/subprocess.h"
#include "helper/net/system_calls.h"

#define WHY_SIZE 300

static struct subprocess child = {.socket = -1};

/* What the child is forked with. */
struct task {
    const struct metrics_process *process;
    const struct metrics *metrics;
};

/* ---- In the child ---- */

static bool give_up_rights(const struct metrics_process *process, char *why, size_t size) {
    const char *what;
    int error = process->privileges ? privileges_drop(process->privileges, false, &what) : 0;
    if (error)
        snprintf(why, size, "%s: %s", what, strerror(-error));
    return error == 0;
}

/* What this kernel or this build does not offer, the daemon says for itself in its log. */
static void confine(const struct metrics_process *process) {
    struct tm tm;
    gmtime_r(&(time_t){0}, &tm); /* libc reads a file before it can tell any time of day */
    if (sandbox_is_off(process->sandbox))
        return;
    if (process->sandbox == CONFIG_SANDBOX_YES)
        landlock_restrict(NULL, 0);
    system_calls_restrict(SANDBOX_METRICS, process->sandbox == CONFIG_SANDBOX_LOG, false);
}

static void run(int socket, void *user) {
    const struct task *task = user;
    char why[WHY_SIZE] = "";
    int fd = -1;
    char byte;
    if (receive_descriptor(socket, &byte, 1, &fd) != 1 || fd < 0)
        return;
    bool good = give_up_rights(task->process, why, sizeof why) &&
                metrics_http_start(task->metrics, fd, why, sizeof why);
    if (good)
        confine(task->process);
    send(socket, why, strlen(why) + 1, MSG_NOSIGNAL);
    if (good)
        metrics_http_run(socket);
}

/* ---- In the daemon ---- */

/* An empty text: it answers. */
static bool answer(char *why, size_t size) {
    ssize_t n;
    do
        n = recv(child.socket, why, size - 1, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        why[n] = '\0';
    else
        snprintf(why, size, "its process has ended: %s", n < 0 ? strerror(errno) : "it has died");
    return n > 0 && why[0] == '\0';
}

static bool start(const struct metrics_process *process, char *why, size_t size) {
    struct task task = {process, metrics_open(process->program, process->workers)};
    int error = task.metrics ? subprocess_start(&child, "smux-metrics", run, &task) : -ENOMEM;
    if (error == 0 && !pass_descriptor(child.socket, "", 1, process->fd, MSG_NOSIGNAL))
        error = -errno;
    if (error)
        snprintf(why, size, "cannot start its process: %s", strerror(-error));
    return error == 0 && answer(why, size);
}

/* As a client would write it. */
static void say_where(const struct metrics_process *process) {
    char text[CONFIG_URL_MAX + 1];
    listen_text(process->fd, process->address->scheme, text, sizeof text);
    if (process->address->scheme == CONFIG_UNIX)
        log_info("metrics at %s", text);
    else
        log_info("metrics at http%s", text + strlen("tcp"));
}

bool metrics_process_start(const struct metrics_process *process) {
    char why[WHY_SIZE];
    if (process->fd < 0)
        return true;
    bool good = start(process, why, sizeof why);
    if (good)
        say_where(process);
    else
        log_error("metrics: %s", why);
    close(process->fd);
    return good;
}

int metrics_process_listen(const struct config_address *address, uint32_t unix_mode) {
    char text[CONFIG_URL_MAX + 1];
    const char *why;
    if (!address->host[0])
        return -1;
    int fd = listen_open(address, false, unix_mode, &why);
    if (fd >= 0)
        return fd;
    log_error("metrics: %s: %s: %s", config_address_text(address, text, sizeof text), why,
              strerror(-fd));
    return -2;
}

void metrics_process_look(pid_t pid) {
    if (child.pid == 0)
        return;
    if (pid == 0)
        pid = waitpid(child.pid, NULL, WNOHANG);
    if (pid != child.pid)
        return;
    child.pid = 0;
    log_error("the process that publishes the metrics has died: restart this daemon to have them "
              "again");
}

void metrics_process_stop(void) {
    if (child.pid == 0)
        return;
    shutdown(child.socket, SHUT_RDWR); /* workers have it, too */
    close(child.socket);
    waitpid(child.pid, NULL, 0);
    child.pid = 0;
}
