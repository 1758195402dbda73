/* SPDX-License-Identifier: MIT */
/*
 * readable.h - may the library read what the caller's pointer points to?
 *
 * The kernel answers a bad pointer with EFAULT, or with an error that comes first; a library in
 * front of it would crash. So the library reads the caller's memory before the kernel has accepted
 * it only if one of these functions says that it can.
 */
#ifndef SHIM_BASE_READABLE_H
#define SHIM_BASE_READABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/base/libc.h"

/* Could it be readable? False for NULL and for addresses that no program has. No system call. */
static inline bool readable_perhaps(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    /* The kernel has the upper half of a 64-bit address space, and at least the last page of a
     * 32-bit one. */
    return address >= 4096 &&
           (UINTPTR_MAX > UINT32_MAX ? address <= UINTPTR_MAX / 2 : address <= UINTPTR_MAX - 4096);
}

/* Does it point a little above on the stack, to a variable of the caller, as most lengths do? No
 * system call. */
static inline bool readable_near(const void *pointer) {
    const uintptr_t reach = 65536, frame = (uintptr_t)__builtin_frame_address(0);
    return (uintptr_t)pointer - frame < reach;
}

/* Can the bytes there be read? Makes a system call unless readable_near: one that copies eight
 * bytes from there and then does nothing, because its arguments ask for nothing. Preserves
 * errno. */
static inline bool readable(const void *pointer) {
    const int no_such_way = -1;
    if (readable_near(pointer))
        return true;
    if (!readable_perhaps(pointer))
        return false;
    int saved = errno;
    real.syscall(SYS_rt_sigprocmask, no_such_way, (uintptr_t)pointer & ~(uintptr_t)7, NULL,
                 (size_t)8);
    bool can = errno != EFAULT;
    errno = saved;
    return can;
}

/* The same for `len` bytes, at most a page. */
static inline bool readable_bytes(const void *pointer, size_t len) {
    return len == 0 || (readable(pointer) && readable((const char *)pointer + len - 1));
}

#endif
