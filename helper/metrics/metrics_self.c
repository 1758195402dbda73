/* SPDX-License-Identifier: MIT */
/* metrics_self.c - see metrics_self.h. */
#include "helper/metrics/metrics_self.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/metrics/metrics.h"
#include "helper/net/log.h"
#include "helper/net/loop.h"

static struct {
    int memory, descriptors; /* of /proc/self */
    unsigned unwatched;      /* descriptors that no loop watches, as counted first; 0: not yet */
} self = {.memory = -1, .descriptors = -1};

/* At the first look there are few, and all of them have small numbers. */
static unsigned count_few(void) {
    struct pollfd p[256];
    unsigned open = 0;
    for (int i = 0; i < 256; i++)
        p[i] = (struct pollfd){.fd = i};
    if (poll(p, 256, 0) < 0)
        return 0;
    for (int i = 0; i < 256; i++)
        open += !(p[i].revents & POLLNVAL);
    return open;
}

void metrics_self_open(void) {
    if (!metrics_are_open())
        return;
    self.memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    self.descriptors = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The size of the folder is their number since Linux 6.2. Before, those that loops watch are
 * counted: what else is opened later is closed at once. */
static uint64_t open_descriptors(void) {
    struct stat st;
    if (fstat(self.descriptors, &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    if (self.unwatched == 0)
        self.unwatched = count_few() - loop_watches();
    return self.unwatched + loop_watches();
}

static uint64_t resident_bytes(void) {
    char text[64] = "";
    unsigned long pages = 0;
    if (pread(self.memory, text, sizeof text - 1, 0) <= 0 || sscanf(text, "%*u %lu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t microseconds(const struct timeval *time) {
    return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

void metrics_memory_look(const struct reactor *reactor) {
    uint64_t *value = metrics_slot()->value;
    const struct buffer_pool *pool = &reactor->pool;
    metrics_set(&value[WORKER_KEPT_BYTES], reactor->kept.bytes);
    metrics_set(&value[WORKER_KEPT_LIMIT_BYTES], reactor->kept.max);
    metrics_set(&value[WORKER_LENT_BYTES], pool->used_count * sizeof(struct buffer));
    metrics_set(&value[WORKER_SPARE_BYTES],
                pool->free_count * sizeof(struct buffer) +
                    reactor->receive_free_count * sizeof(struct receive_buffer));
}

void metrics_self_look(void) {
    uint64_t *value = metrics_slot()->value;
    struct rlimit limit;
    struct rusage usage;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_set(&value[WORKER_DESCRIPTORS_LIMIT], limit.rlim_cur);
    metrics_set(&value[WORKER_OPEN_DESCRIPTORS], open_descriptors());
    metrics_set(&value[WORKER_RESIDENT_BYTES], resident_bytes());
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metrics_continue(WORKER_CPU_US,
                         microseconds(&usage.ru_utime) + microseconds(&usage.ru_stime));
    metrics_continue(WORKER_SUPPRESSED_LINES, log_suppressed());
}
