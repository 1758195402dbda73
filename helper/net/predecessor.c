/* SPDX-License-Identifier: MIT */
/* predecessor.c - see predecessor.h. */
#include "helper/net/predecessor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include "helper/net/log.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/successor.h"

/* The predecessor answers at once; its loop may be busy. */
#define ANSWER_S 10

static struct {
    bool found;
    int lock;
    int channel[PREDECESSORS_MAX]; /* that of the last one first */
    int count;
} predecessor = {.lock = -1};

/* ---- Finding it ---- */

static bool is_open(int fd) {
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* A number up to a colon or the end. */
static bool read_number(const char **text, int *number) {
    char *end;
    long value = strtol(*text, &end, 10);
    if (end == *text || (*end != ':' && *end != '\0') || value < -1 || value > INT32_MAX)
        return false;
    *number = (int)value;
    *text = *end == ':' ? end + 1 : end;
    return true;
}

static bool read_channels(const char *text) {
    while (*text) {
        int channel;
        if (!read_number(&text, &channel) || !is_open(channel))
            return false;
        if (predecessor.count < PREDECESSORS_MAX)
            predecessor.channel[predecessor.count++] = channel;
        else
            close(channel);
    }
    return predecessor.count > 0;
}

bool predecessor_find(char *why, size_t size) {
    const char *value = getenv(SUCCESSOR_VARIABLE), *text = value;
    int version, lock = -1, lent = 0;
    if (!value)
        return true;
    if (!read_number(&text, &version) || version != SUCCESSOR_VERSION ||
        !read_number(&text, &lent) || !read_number(&text, &lock) || (lock >= 0 && !is_open(lock)) ||
        !read_channels(text)) {
        snprintf(why, size,
                 "cannot replace the running process: expected a handover of version %d "
                 "(" SUCCESSOR_VARIABLE "), found \"%s\"",
                 SUCCESSOR_VERSION, value);
        return false;
    }
    unsetenv(SUCCESSOR_VARIABLE);
    predecessor.found = true;
    predecessor.lock = lock;
    passed_sockets_become_own(lent != 1);
    passed_sockets_hand_over(true);
    return true;
}

bool predecessor_was_found(void) {
    return predecessor.found;
}

int predecessor_take_lock(void) {
    int lock = predecessor.lock;
    predecessor.lock = -1;
    return lock;
}

/* ---- Being ready ---- */

static void say(int channel, enum successor_message message) {
    const uint8_t byte = (uint8_t)message;
    ssize_t sent = send(channel, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* one that has gone is noticed by who reads */
}

static bool agrees(void) {
    const struct timeval patience = {.tv_sec = ANSWER_S};
    uint8_t answer = 0;
    ssize_t n;
    if (predecessor.count == 0)
        return true;
    int channel = predecessor.channel[0];
    setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    say(channel, SUCCESSOR_SAYS_READY);
    do
        n = recv(channel, &answer, 1, 0);
    while (n < 0 && errno == EINTR);
    if (n == 1 && answer == SUCCESSOR_MAY_GO_ON)
        return true;
    if (n == 1 || (n < 0 && errno == EAGAIN)) {
        log_few(&successor_lines, LOG_ERR, NULL,
                "the running process has not given way: this one ends");
        return false;
    }
    log_few(&successor_lines, LOG_WARNING, NULL,
            "the process that was to be replaced has ended by itself");
    return true;
}

bool predecessor_agrees(void) {
    bool good = agrees();
    if (good)
        passed_sockets_hand_over(false);
    return good;
}

/* ---- While it drains ---- */

static bool has_gone(int channel) {
    uint8_t byte;
    ssize_t n = recv(channel, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

bool predecessor_is_there(void) {
    int left = 0;
    for (int i = 0; i < predecessor.count; i++) {
        int channel = predecessor.channel[i];
        if (has_gone(channel))
            close(channel);
        else
            predecessor.channel[left++] = channel;
    }
    predecessor.count = left;
    return left > 0;
}

void predecessor_end(void) {
    for (int i = 0; i < predecessor.count; i++)
        say(predecessor.channel[i], SUCCESSOR_SAYS_END);
}

int predecessor_channels(int out[PREDECESSORS_MAX]) {
    predecessor_is_there();
    memcpy(out, predecessor.channel, sizeof *out * (size_t)predecessor.count);
    return predecessor.count;
}

void predecessor_forget(void) {
    for (int i = 0; i < predecessor.count; i++)
        close(predecessor.channel[i]);
    predecessor.count = 0;
}
