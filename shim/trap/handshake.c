/* SPDX-License-Identifier: MIT */
/* handshake.c - see handshake.h. */
#include "shim/trap/handshake.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIDFD_OPEN  434
#define PIDFD_GETFD 438

struct me {
    int process, descriptor;
};

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static bool take(int fd, void *out, size_t len) {
    ssize_t n;
    do
        n = recv(fd, out, len, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

static bool give(int fd, const void *value, size_t len) {
    return send(fd, value, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Tries what every trapped call needs. 0 or an errno. */
static int try_access(const struct me *program) {
    char byte;
    /* A byte that both have: they are forks. */
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)&try_access, 1};
    int process = (int)syscall(PIDFD_OPEN, program->process, 0);
    int copy = process < 0 ? -1 : (int)syscall(PIDFD_GETFD, process, program->descriptor, 0);
    int err = copy < 0 ? errno : 0;
    if (copy >= 0)
        close(copy);
    if (process >= 0)
        close(process);
    if (err == 0 && process_vm_readv(program->process, &here, 1, &there, 1, 0) != 1)
        err = errno;
    return err;
}

static int take_descriptor(int fd) {
    union control control;
    int word, taken = -1;
    struct iovec iov = {&word, sizeof word};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof word)
        return -1;
    const struct cmsghdr *first = CMSG_FIRSTHDR(&msg);
    if (first && first->cmsg_type == SCM_RIGHTS && first->cmsg_len == CMSG_LEN(sizeof taken))
        memcpy(&taken, CMSG_DATA(first), sizeof taken);
    return taken;
}

int handshake_take(int launcher) {
    int self = (int)getpid();
    struct me program;
    if (!give(launcher, &self, sizeof self) || !take(launcher, &program, sizeof program))
        return -1;
    int err = try_access(&program);
    if (!give(launcher, &err, sizeof err) || err)
        return -1;
    return take_descriptor(launcher);
}

void handshake_ready(int launcher, bool ready) {
    int err = ready ? 0 : EIO;
    give(launcher, &err, sizeof err);
}

int handshake_ask(int supervisor) {
    struct me self = {(int)getpid(), supervisor};
    int process, err;
    if (!take(supervisor, &process, sizeof process))
        return EPIPE;
    prctl(PR_SET_PTRACER, (unsigned long)process, 0, 0, 0); /* fails where nothing forbids it */
    if (!give(supervisor, &self, sizeof self) || !take(supervisor, &err, sizeof err))
        return EPIPE;
    return err;
}

bool handshake_give(int supervisor, int listener) {
    union control control;
    int word = 0, err = EIO;
    struct iovec iov = {&word, sizeof word};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    control.align.cmsg_len = CMSG_LEN(sizeof listener);
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.align), &listener, sizeof listener);
    bool sent = sendmsg(supervisor, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof word;
    close(listener);
    return sent && take(supervisor, &err, sizeof err) && err == 0;
}
