/* SPDX-License-Identifier: MIT */
/* export.c - the exported functions, each of which calls shim_NAME. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "shim/base/environment.h"
#include "shim/base/libc.h"
#include "shim/hooks/by_number.h"
#include "shim/hooks/data.h"
#include "shim/hooks/dup.h"
#include "shim/hooks/export.h"
#include "shim/hooks/sockopt.h"

bool hook_started;

void hook_start(void) {
    real_bind();
    environment_capture();
    hook_started = true;
}

/* A constructor, so that no forked child or signal handler has to make the lookup: dlsym takes a
 * lock of the dynamic loader. */
__attribute__((constructor)) static void start(void) {
    if (!hook_started)
        hook_start();
}

#define HOOK(type, name, params, args)                                                             \
    EXPORT(type, name, params) {                                                                   \
        READY;                                                                                     \
        return shim_##name args;                                                                   \
    }
#define HOOK_VARIADIC(type, name, params)
#include "shim/base/libc.def"

EXPORT_OPTIONAL(fcntl, int, command,
                shim_fcntl_done(fd, command, real.fcntl(fd, command, argument)))
EXPORT_OPTIONAL(fcntl64, int, command,
                shim_fcntl_done(fd, command, real.fcntl64(fd, command, argument)))
EXPORT_OPTIONAL(ioctl, unsigned long, request, shim_ioctl(fd, request, argument))

EXPORT(long, syscall, (long number, ...)) {
    long argument[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(args, long);
    va_end(args);
    READY;
    return shim_syscall(number, argument);
}

/* The functions that compilers call instead with _FORTIFY_SOURCE, and libc's aliases. With a libc
 * that does not have them (musl), no program calls them either. */
extern void __chk_fail(void) __attribute__((noreturn, weak));

#define CHECKED(size, len)                                                                         \
    do {                                                                                           \
        READY;                                                                                     \
        if ((len) > (size))                                                                        \
            __chk_fail ? __chk_fail() : abort();                                                   \
    } while (0)

EXPORT(ssize_t, __read_chk, (int fd, void *buf, size_t len, size_t size)) {
    CHECKED(size, len);
    return shim_read(fd, buf, len);
}

EXPORT(ssize_t, __recv_chk, (int fd, void *buf, size_t len, size_t size, int flags)) {
    CHECKED(size, len);
    return shim_recv(fd, buf, len, flags);
}

EXPORT(ssize_t, __recvfrom_chk,
       (int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *addr,
        socklen_t *addr_len)) {
    CHECKED(size, len);
    return shim_recvfrom(fd, buf, len, flags, addr, addr_len);
}

#define ALIAS(name, target)                                                                        \
    extern __typeof__(hook_##target) hook_##name __asm__(#name)                                    \
        __attribute__((alias(#target), visibility("default")));

ALIAS(__connect, connect)
ALIAS(__read, read)
ALIAS(__write, write)
ALIAS(__send, send)
