/* SPDX-License-Identifier: MIT */
/* file_broker.c - see file_broker.h. */
#include "helper/net/file_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/net/pass_descriptor.h"
#include "helper/net/subprocess.h"
#include "helper/net/system_calls.h"

struct request {
    uint32_t use; /* enum file_use */
    char path[PATH_MAX];
};

/* Of this process, unless it opens files itself. */
static struct subprocess broker = {.socket = -1};

static int open_here(const char *path, enum file_use use) {
    /* Neither a pipe without a reader nor one whose reader sleeps holds anybody up. */
    int flags = use == FILE_APPEND ? O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK : O_RDONLY;
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

/* ---- In the broker ---- */

static int serve_one(const struct request *request,
                     bool (*may)(void *user, const char *path, enum file_use use), void *user) {
    if ((request->use != FILE_READ && request->use != FILE_APPEND) ||
        !memchr(request->path, '\0', sizeof request->path))
        return -EINVAL;
    return may(user, request->path, request->use) ? open_here(request->path, request->use)
                                                  : -EACCES;
}

static void answer(int socket, int file) {
    int32_t error = file < 0 ? file : 0;
    if (file < 0) {
        send(socket, &error, sizeof error, MSG_NOSIGNAL);
        return;
    }
    pass_descriptor(socket, &error, sizeof error, file, MSG_NOSIGNAL);
    close(file);
}

static void serve(int socket, bool (*may)(void *user, const char *path, enum file_use use),
                  void *user) {
    static struct request request;
    for (;;) {
        ssize_t n = recv(socket, &request, sizeof request, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        answer(socket, n == (ssize_t)sizeof request ? serve_one(&request, may, user) : -EINVAL);
    }
}

/* What the broker is forked with. */
struct rule {
    enum config_sandbox mode;
    bool (*may)(void *user, const char *path, enum file_use use);
    void *user;
};

static void run(int socket, void *user) {
    const struct rule *rule = user;
#ifndef SMUX_SANITIZED
    if (rule->mode != CONFIG_SANDBOX_NO)
        system_calls_restrict(SANDBOX_BROKER, rule->mode == CONFIG_SANDBOX_LOG, false);
#endif
    serve(socket, rule->may, rule->user);
}

int file_broker_start(enum config_sandbox mode,
                      bool (*may)(void *user, const char *path, enum file_use use), void *user) {
    struct rule rule = {mode, may, user};
    return subprocess_start(&broker, "smux-files", run, &rule);
}

/* ---- In the process ---- */

static int receive_answer(void) {
    int32_t error = -EPIPE;
    int fd = -EMFILE; /* unless it comes: the kernel found no room for the descriptor */
    ssize_t n = receive_descriptor(broker.socket, &error, sizeof error, &fd);
    if (n != (ssize_t)sizeof error)
        return n < 0 ? -errno : -EPIPE;
    return error ? error : fd;
}

int file_open(const char *path, enum file_use use) {
    static struct request request;
    size_t len = strlen(path);
    if (broker.socket < 0)
        return open_here(path, use);
    if (len >= sizeof request.path)
        return -ENAMETOOLONG;
    memset(&request, 0, sizeof request);
    request.use = use;
    memcpy(request.path, path, len);
    ssize_t n;
    do
        n = send(broker.socket, &request, sizeof request, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : receive_answer();
}

bool file_broker_has_ended(void) {
    if (broker.pid == 0 || waitpid(broker.pid, NULL, WNOHANG) != broker.pid)
        return false;
    broker.pid = 0;
    return true;
}
