/* SPDX-License-Identifier: MIT */
/* reactor.c - see reactor.h. */
#include "helper/net/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_MIN   (64u << 20)
#define MEMORY_MAX   (1u << 30)
#define PROMISES_MIN (16u << 20)

static struct receive_buffer *receive_new(struct reactor *reactor) {
    struct receive_buffer *buffer = reactor->receive_free;
    if (buffer) {
        reactor->receive_free = buffer->next;
        reactor->receive_free_count--;
    } else {
        buffer = malloc(sizeof *buffer);
        if (!buffer)
            return NULL;
    }
    buffer->refs = 1;
    return buffer;
}

void reactor_receive_release(struct reactor *reactor, struct receive_buffer *buffer) {
    if (--buffer->refs > 0)
        return;
    if (reactor->receive_free_count >= REACTOR_RECEIVE_KEEP) {
        free(buffer);
        return;
    }
    buffer->next = reactor->receive_free;
    reactor->receive_free = buffer;
    reactor->receive_free_count++;
}

struct receive_buffer *reactor_receive_buffer(struct reactor *reactor) {
    if (reactor->receive->refs == 1)
        return reactor->receive;
    struct receive_buffer *fresh = receive_new(reactor);
    if (!fresh)
        return NULL;
    reactor_receive_release(reactor, reactor->receive);
    reactor->receive = fresh;
    return fresh;
}

struct receive_buffer *reactor_receive_share(struct reactor *reactor, const uint8_t *data,
                                             size_t len) {
    struct receive_buffer *buffer = reactor->receive;
    if (data < buffer->data || data + len > buffer->data + sizeof buffer->data)
        return NULL;
    buffer->refs++;
    return buffer;
}

struct receive_buffer *reactor_receive_hold(struct reactor *reactor) {
    reactor->receive->refs++;
    return reactor->receive;
}

/* Reads the number in a file such as a control group's memory.max; UINT64_MAX if there is none
 * ("max"). */
static uint64_t number_in(const char *file) {
    char text[32] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return UINT64_MAX;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    return n <= 0 || end == text || errno ? UINT64_MAX : number;
}

/* The group that /proc/self/cgroup names, as this process sees it: in a container, the container's
 * own group is the root. */
static uint64_t read_group_memory(void) {
    static const char *const roots[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    char line[512], path[600];
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        uint64_t limit = number_in(roots[i]);
        least = limit < least ? limit : least;
    }
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", line + 3);
        uint64_t limit = number_in(path);
        least = limit < least ? limit : least;
    }
    if (file)
        fclose(file);
    return least;
}

/* Determined when the process starts: later it may not read these files (sandbox.h). */
static uint64_t group_memory(void) {
    static uint64_t limit;
    if (limit == 0)
        limit = read_group_memory();
    return limit;
}

uint32_t reactor_default_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t all = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
    uint64_t group = group_memory(), quarter = (group < all ? group : all) / 4;
    if (quarter < MEMORY_MIN)
        return MEMORY_MIN;
    return quarter < MEMORY_MAX ? (uint32_t)quarter : MEMORY_MAX;
}

void reactor_set_memory(struct reactor *reactor, uint64_t bytes) {
    if (bytes == 0)
        bytes = reactor_default_memory();
    reactor->loans_max = (size_t)(bytes / 2 / sizeof(struct buffer));
    kept_set_max(&reactor->kept, (size_t)(bytes / 2));
}

uint32_t reactor_promises(const struct reactor *reactor) {
    size_t most = reactor->kept.max / 8 * 3;
    if (most > INT32_MAX)
        return INT32_MAX;
    return most > PROMISES_MIN ? (uint32_t)most : PROMISES_MIN;
}

int reactor_init(struct reactor *reactor) {
    memset(reactor, 0, sizeof *reactor);
    kept_init(&reactor->kept, NULL); /* until there is a loop */
    reactor_set_memory(reactor, 0);
#ifdef M_TRIM_THRESHOLD
    /* Otherwise glibc returns memory to the kernel and takes it again at every burst. */
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
    reactor->receive = receive_new(reactor);
    if (!reactor->receive)
        return -ENOMEM;
    reactor->loop = loop_new();
    reactor->kept.loop = reactor->loop;
    if (reactor->loop)
        return 0;
    int saved = errno;
    free(reactor->receive);
    return -saved;
}

void reactor_fini(struct reactor *reactor) {
    loop_free(reactor->loop);
    reactor_receive_release(reactor, reactor->receive);
    while (reactor->receive_free) {
        struct receive_buffer *buffer = reactor->receive_free;
        reactor->receive_free = buffer->next;
        free(buffer);
    }
    buffer_pool_fini(&reactor->pool);
}
