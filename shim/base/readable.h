/* SPDX-License-Identifier: MIT */
/*
 * readable.h - may the library read what the caller's pointer points to?
 *
 * The kernel answers a bad pointer with EFAULT, or with an error that it checks first; a library
 * that reads through the pointer would crash. So where the kernel has not yet accepted a pointer,
 * the library reads the caller's memory only if one of these functions says that it is readable.
 */
#ifndef SHIM_BASE_READABLE_H
#define SHIM_BASE_READABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/base/libc.h"

/* Could it be readable? False for NULL and for addresses that user space does not have. No system
 * call. */
static inline bool readable_perhaps(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    /* The upper half of a 64-bit address space is the kernel's, and at least the last page of a
     * 32-bit one. */
    return address >= 4096 &&
           (UINTPTR_MAX > UINT32_MAX ? address <= UINTPTR_MAX / 2 : address <= UINTPTR_MAX - 4096);
}

/* Does it point to the stack a little above this frame, at a variable of a caller, as most pointers
 * to lengths do? No system call. */
static inline bool readable_near(const void *pointer) {
    const uintptr_t reach = 65536, frame = (uintptr_t)__builtin_frame_address(0);
    return (uintptr_t)pointer - frame < reach;
}

/* Can the byte there be read? Unless readable_near says so, a system call finds out: rt_sigprocmask
 * copies eight bytes from there and then fails, because `how` is invalid. Preserves errno. */
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

/* The same for `len` bytes, which must not be more than a page. */
static inline bool readable_bytes(const void *pointer, size_t len) {
    return len == 0 || (readable(pointer) && readable((const char *)pointer + len - 1));
}

#endif
