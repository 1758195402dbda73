/* SPDX-License-Identifier: MIT */
/* helper_start.c - see helper_start.h. */
#include "shim/trap/helper_start.h"

#include <sys/eventfd.h>

#include "shim/process/autostart.h"

static void *run(void *argument) {
    const struct helper_start *start = argument;
    autostart_helper(start->socket_path, start->limit_ms);
    eventfd_write(start->ended, 1);
    return NULL;
}

void helper_start_begin(struct helper_start *start, const char *socket_path, uint32_t limit_ms) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (start->running)
        return;
    start->running = true;
    start->socket_path = socket_path; /* of the settings, which stay */
    start->limit_ms = limit_ms;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, run, start) != 0)
        eventfd_write(start->ended, 1);
    pthread_attr_destroy(&attributes);
}

void helper_start_end(struct helper_start *start) {
    eventfd_t ignored;
    eventfd_read(start->ended, &ignored);
    start->running = false;
}
