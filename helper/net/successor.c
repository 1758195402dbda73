/* SPDX-License-Identifier: MIT */
/* successor.c - see successor.h. The child that starts a successor is in successor_starter.c. */
#include "helper/net/successor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "helper/net/log.h"
#include "helper/net/loop.h"
#include "helper/net/pass_descriptor.h"
#include "helper/net/predecessor.h"
#include "helper/net/service_notify.h"
#include "helper/net/subprocess.h"
#include "helper/net/successor_starter.h"

struct log_kind successor_lines = {.what = "about a successor"};

static struct subprocess starter = {.socket = -1};

/* ---- The child that starts it ---- */

int successor_prepare(void) {
    return subprocess_start(&starter, "smux-successor", successor_starter_run, NULL);
}

static bool starter_is_gone(int flags) {
    pid_t ended;
    do
        ended = waitpid(starter.pid, NULL, flags);
    while (ended < 0 && errno == EINTR);
    return ended != 0; /* -1: somebody else has waited for it */
}

bool successor_cannot_start(void) {
    if (starter.pid == 0 || !starter_is_gone(WNOHANG))
        return false;
    starter.pid = 0;
    return true;
}

/* What it has started has the init for its parent then, which looks after it. */
static void dismiss_starter(void) {
    if (starter.socket >= 0) {
        shutdown(starter.socket, SHUT_RDWR);
        close(starter.socket);
    }
    starter.socket = -1;
    if (starter.pid > 0)
        starter_is_gone(0);
    starter.pid = 0;
}

/* ---- Starting ---- */

static int tell(enum starter_order order, int value) {
    const struct starter_request request = {order, value};
    return send(starter.socket, &request, sizeof request, MSG_NOSIGNAL) == (ssize_t)sizeof request
               ? 0
               : -errno;
}

static int give(enum starter_order order, int fd) {
    const struct starter_request request = {order, 0};
    return pass_descriptor(starter.socket, &request, sizeof request, fd, MSG_NOSIGNAL) ? 0 : -errno;
}

static int give_all(const struct successor_gift *gift) {
    static const enum starter_order standard[] = {STARTER_INPUT, STARTER_OUTPUT, STARTER_ERROR};
    int elders[PREDECESSORS_MAX], elder_count = predecessor_channels(elders);
    int error = tell(STARTER_FORGET, 0);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && error == 0; fd++) {
        error = give(standard[fd], fd);
        if (error == -EBADF) /* it has none either */
            error = 0;
    }
    for (int i = 0; i < gift->count && error == 0; i++)
        error = give(STARTER_LISTENER, gift->listeners[i]);
    for (int i = 0; i < elder_count && error == 0; i++)
        error = give(STARTER_ELDER, elders[i]);
    if (error == 0 && gift->lock >= 0)
        error = give(STARTER_LOCK, gift->lock);
    return error ? error : tell(STARTER_START, gift->activated);
}

static int receive_answer(struct successor *successor) {
    struct starter_answer answer = {.error = -EPIPE};
    int channel = -1;
    ssize_t n = receive_descriptor(starter.socket, &answer, sizeof answer, &channel);
    if (n != (ssize_t)sizeof answer)
        return n < 0 ? -errno : -EPIPE;
    if (answer.error)
        return answer.error;
    if (channel < 0)
        return -EMFILE;
    *successor =
        (struct successor){.pid = answer.pid, .channel = channel, .begun_us = loop_clock_us()};
    return 0;
}

const char *successor_start(struct successor *successor, const struct successor_gift *gift) {
    if (getpid() == 1)
        return "it is the first process of its PID namespace (a container), which ends with it";
    int error = starter.socket < 0 ? successor_prepare() : 0;
    if (error == 0)
        error = give_all(gift);
    if (error == 0)
        error = receive_answer(successor);
    if (error)
        return strerror(-error);
    log_few(&successor_lines, LOG_INFO, NULL, "the successor starts (pid %d)", (int)successor->pid);
    return NULL;
}

/* ---- Watching it ---- */

static void forget(struct successor *successor) {
    close(successor->channel);
    *successor = (struct successor){0};
}

void successor_forget(struct successor *successor) {
    if (successor->pid)
        forget(successor);
    if (starter.socket >= 0)
        close(starter.socket);
    starter = (struct subprocess){.socket = -1};
}

void successor_give_up(struct successor *successor) {
    const uint8_t must_end = SUCCESSOR_MUST_END;
    if (successor->pid == 0 || successor->ready)
        return;
    ssize_t sent = send(successor->channel, &must_end, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
    tell(STARTER_END, 0);
    forget(successor);
}

static void fail(struct successor *successor, const char *why) {
    log_few(&successor_lines, LOG_ERR, NULL, "the successor (pid %d) %s: this process goes on",
            (int)successor->pid, why);
    successor_give_up(successor);
}

static enum successor_news on_message(struct successor *successor, uint8_t message) {
    if (message == SUCCESSOR_SAYS_READY && !successor->ready)
        return SUCCESSOR_IS_READY;
    return message == SUCCESSOR_SAYS_END && successor->ready ? SUCCESSOR_ENDS : SUCCESSOR_NO_NEWS;
}

enum successor_news successor_look(struct successor *successor) {
    uint8_t message;
    if (successor->pid == 0)
        return SUCCESSOR_NO_NEWS;
    ssize_t n = recv(successor->channel, &message, 1, MSG_DONTWAIT);
    if (n == 1)
        return on_message(successor, message);
    bool silent = n < 0 && (errno == EAGAIN || errno == EINTR);
    if (successor->ready && !silent)
        forget(successor);
    else if (!silent)
        fail(successor, "has ended before it was ready");
    else if (!successor->ready && loop_clock_us() - successor->begun_us > SUCCESSOR_READY_US)
        fail(successor, "was not ready in time");
    return SUCCESSOR_NO_NEWS;
}

void successor_go(struct successor *successor) {
    const uint8_t go_on = SUCCESSOR_MAY_GO_ON;
    successor->ready = true;
    dismiss_starter();
    service_hand_over(successor->pid);
    ssize_t sent = send(successor->channel, &go_on, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* one that has ended is seen by the next look */
    predecessor_forget();
    log_few(&successor_lines, LOG_INFO, NULL, "replaced by pid %d", (int)successor->pid);
}
