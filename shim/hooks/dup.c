/* SPDX-License-Identifier: MIT */
/* dup.c - see dup.h. */
#include "shim/hooks/dup.h"

#include <fcntl.h>

#include "shim/base/hint.h"
#include "shim/socket/epoll_sets.h"
#include "shim/socket/local_address.h"

/* Epoll registrations belong to a descriptor number and are not copied. Nothing is cleared for the
 * number that was overwritten: a child of vfork shares its parent's memory, but not its
 * descriptors. */
int shim_copied(int from, int result) {
    uint32_t word = hint_get(from) & ~(uint32_t)HINT_NUMBER;
    if (result < 0 || result == from)
        return result;
    if (word)
        hint_change(result, HINT_NUMBER, word);
    if (word & HINT_PENDING)
        local_address_copy(from, result);
    epoll_sets_copied(from, result);
    return result;
}

int shim_dup(int fd) {
    return shim_copied(fd, real.dup(fd));
}

int shim_dup2(int fd, int to) {
    return shim_copied(fd, real.dup2(fd, to));
}

int shim_dup3(int fd, int to, int flags) {
    return shim_copied(fd, real.dup3(fd, to, flags));
}

int shim_fcntl_done(int fd, int command, int result) {
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        return shim_copied(fd, result);
    if (command == F_SETOWN || command == F_SETOWN_EX || command == F_SETSIG)
        hint_add(fd, HINT_OWNER);
    return result;
}
