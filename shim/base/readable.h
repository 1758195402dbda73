/* SPDX-License-Identifier: MIT */
/*
 * readable.h - may the library read what a pointer of the caller's points to?
 *
 * The kernel answers a bad pointer with EFAULT, or with an error that comes first; a library in
 * front of it would crash. So what the caller passed is read before the kernel has accepted it only
 * where one of these says that it can be.
 */
#ifndef SHIM_BASE_READABLE_H
#define SHIM_BASE_READABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/base/libc.h"

/* Could it be? False for NULL and what no program has: no system call. */
static inline bool readable_perhaps(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    /* Of 64 bits the kernel has the upper half, of 32 bits the last page, and perhaps more. */
    return address >= 4096 &&
           (UINTPTR_MAX > UINT32_MAX ? address <= UINTPTR_MAX / 2 : address <= UINTPTR_MAX - 4096);
}

/* Is it a variable of the caller's, a little above on the stack, as most lengths are? No system
 * call. */
static inline bool readable_near(const void *pointer) {
    const uintptr_t reach = 65536, frame = (uintptr_t)__builtin_frame_address(0);
    return (uintptr_t)pointer - frame < reach;
}

/* Can the bytes there be read? A system call unless readable_near: one that copies eight bytes of
 * the caller's in, and then finds that it was asked for nothing. Preserves errno. */
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

/* The same of `len` bytes, of which there are no more than a page. */
static inline bool readable_bytes(const void *pointer, size_t len) {
    return len == 0 || (readable(pointer) && readable((const char *)pointer + len - 1));
}

#endif
