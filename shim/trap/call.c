/* SPDX-License-Identifier: MIT */
/* call.c - see call.h. */
#include "shim/trap/call.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 5.3, 5.6 and 6.9; the numbers are the same on all machines. */
#define PIDFD_OPEN      434
#define PIDFD_GETFD     438
#define PIDFD_OF_THREAD O_EXCL

bool call_receive(struct trap_call *call, int listener) {
    struct seccomp_notif notice;
    memset(&notice, 0, sizeof notice);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) != 0)
        return false;
    *call = (struct trap_call){
        .listener = listener, .id = notice.id, .thread = (pid_t)notice.pid, .nr = notice.data.nr};
    for (unsigned i = 0; i < 6; i++)
        call->args[i] = notice.data.args[i];
    return true;
}

bool call_is_there(const struct trap_call *call) {
    return ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) == 0;
}

/* Opens a file below /proc for reading; -1 if it cannot be. */
static int open_proc(const struct trap_call *call, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)call->thread, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Finds the number after `key` in a file below /proc. */
static bool proc_number(const struct trap_call *call, const char *name, const char *key, int base,
                        long *number) {
    char text[1024];
    int fd = open_proc(call, name);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *found = strstr(text, key);
    if (found)
        *number = strtol(found + strlen(key), NULL, base);
    return found;
}

/* Before Linux 6.9 there is a descriptor only for the thread that the process began with. */
static int open_process(const struct trap_call *call) {
    long process;
    int fd = (int)syscall(PIDFD_OPEN, call->thread, PIDFD_OF_THREAD);
    if (fd < 0 && errno == EINVAL)
        fd = (int)syscall(PIDFD_OPEN, call->thread, 0);
    if (fd < 0 && proc_number(call, "status", "Tgid:", 10, &process))
        fd = (int)syscall(PIDFD_OPEN, (pid_t)process, 0);
    return fd;
}

int call_copy_descriptor(const struct trap_call *call, int number) {
    int process = open_process(call);
    int fd = process < 0 ? -1 : (int)syscall(PIDFD_GETFD, process, number, 0);
    int err = errno;
    if (process >= 0)
        close(process);
    if (fd < 0)
        return -err;
    if (call_is_there(call))
        return fd;
    close(fd);
    return -ENOENT;
}

int call_put_descriptor(const struct trap_call *call, int fd, int number) {
    char name[32];
    long flags = O_CLOEXEC; /* without /proc: the safer of two guesses */
    snprintf(name, sizeof name, "fdinfo/%d", number);
    proc_number(call, name, "flags:", 8, &flags);
    struct seccomp_notif_addfd put = {
        .id = call->id,
        .flags = SECCOMP_ADDFD_FLAG_SETFD,
        .srcfd = (uint32_t)fd,
        .newfd = (uint32_t)number,
        .newfd_flags = (uint32_t)(flags & O_CLOEXEC),
    };
    while (ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &put) < 0)
        if (errno != EINTR)
            return errno == EINPROGRESS ? ENOENT : errno;
    return 0;
}

bool call_read(const struct trap_call *call, uint64_t address, void *out, size_t len) {
    struct iovec here = {out, len}, there = {(void *)(uintptr_t)address, len};
    return process_vm_readv(call->thread, &here, 1, &there, 1, 0) == (ssize_t)len &&
           call_is_there(call);
}

bool call_write(const struct trap_call *call, uint64_t address, const void *value, size_t len) {
    struct iovec here = {(void *)(uintptr_t)value, len}, there = {(void *)(uintptr_t)address, len};
    return len == 0 || (call_is_there(call) &&
                        process_vm_writev(call->thread, &here, 1, &there, 1, 0) == (ssize_t)len);
}

static bool end(const struct trap_call *call, int result, uint32_t flags) {
    struct seccomp_notif_resp response = {.id = call->id, .error = result, .flags = flags};
    while (ioctl(call->listener, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

bool call_answer(const struct trap_call *call, int result) {
    return end(call, result, 0);
}

bool call_let_go(const struct trap_call *call) {
    return end(call, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}
