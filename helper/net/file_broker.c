/* SPDX-License-Identifier: MIT */
/* file_broker.c - see file_broker.h. */
#include "helper/net/file_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/net/pass_descriptor.h"
#include "helper/net/system_calls.h"

struct request {
    uint32_t use; /* enum file_use */
    char path[PATH_MAX];
};

/* Of this process; fd -1: it opens files itself. */
static struct {
    int fd;
    pid_t pid;
} broker = {.fd = -1};

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

/* Nothing of the process stays open in the broker: a port would outlive it. */
static void let_go(int socket) {
    if (socket == STDERR_FILENO + 1)
        fcntl(socket, F_SETFD, FD_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++)
        dup2(null, fd);
    dup3(socket, STDERR_FILENO + 1, O_CLOEXEC);
    if (syscall(SYS_close_range, STDERR_FILENO + 2, ~0U, 0) == 0) /* Linux 5.9 */
        return;
    long end = sysconf(_SC_OPEN_MAX);
    for (int fd = STDERR_FILENO + 2; fd < end && fd < 65536; fd++)
        close(fd);
}

static void restrict_broker(enum config_sandbox mode) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef SMUX_SANITIZED
    if (mode != CONFIG_SANDBOX_NO)
        system_calls_restrict(SANDBOX_BROKER, mode == CONFIG_SANDBOX_LOG, false);
#else
    (void)mode;
#endif
}

static _Noreturn void run(int socket, pid_t parent, enum config_sandbox mode,
                          bool (*may)(void *user, const char *path, enum file_use use),
                          void *user) {
    prctl(PR_SET_NAME, "smux-files");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    let_go(socket);
    restrict_broker(mode);
    serve(STDERR_FILENO + 1, may, user);
    _exit(0);
}

int file_broker_start(enum config_sandbox mode,
                      bool (*may)(void *user, const char *path, enum file_use use), void *user) {
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        run(pair[1], parent, mode, may, user);
    int error = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (error) {
        close(pair[0]);
        return error;
    }
    broker.fd = pair[0];
    broker.pid = pid;
    return 0;
}

/* ---- In the process ---- */

static int receive_answer(void) {
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    int32_t error = -EPIPE;
    struct iovec iov = {&error, sizeof error};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(broker.fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof error)
        return n < 0 ? -errno : -EPIPE;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (error || !c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return error ? error : -EMFILE; /* the kernel found no room for the descriptor */
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

int file_open(const char *path, enum file_use use) {
    static struct request request;
    size_t len = strlen(path);
    if (broker.fd < 0)
        return open_here(path, use);
    if (len >= sizeof request.path)
        return -ENAMETOOLONG;
    memset(&request, 0, sizeof request);
    request.use = use;
    memcpy(request.path, path, len);
    ssize_t n;
    do
        n = send(broker.fd, &request, sizeof request, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : receive_answer();
}

bool file_broker_has_ended(void) {
    if (broker.pid == 0 || waitpid(broker.pid, NULL, WNOHANG) != broker.pid)
        return false;
    broker.pid = 0;
    return true;
}
