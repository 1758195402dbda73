/* SPDX-License-Identifier: MIT */
/* Counts this process's open descriptors, to compare the numbers before and after. */
#ifndef SUPPORT_DESCRIPTORS_H
#define SUPPORT_DESCRIPTORS_H

#include <dirent.h>

static inline int open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

#endif
