/* SPDX-License-Identifier: MIT */
/* asleep.h - whether another process waits in a system call. */
#ifndef ORACLE_ASLEEP_H
#define ORACLE_ASLEEP_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Is a process in an interruptible sleep? */
static inline bool is_asleep(pid_t pid) {
    char text[512];
    snprintf(text, sizeof text, "/proc/%d/stat", (int)pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}

/* Returns when it has been asleep for a while, as in connect, and not just for a moment. */
static inline void await_sleep(pid_t pid) {
    for (int times = 0; times < 5; times = is_asleep(pid) ? times + 1 : 0)
        usleep(10000);
}

#endif
