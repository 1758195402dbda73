/* SPDX-License-Identifier: MIT */
/* close_from.c - see close_from.h. */
#include "helper/net/close_from.h"

#include <sys/syscall.h>
#include <unistd.h>

void close_from(int first) {
    if (syscall(SYS_close_range, first, ~0U, 0) == 0) /* Linux 5.9 */
        return;
    long end = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < end && fd < 65536; fd++)
        close(fd);
}
