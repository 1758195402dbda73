/* SPDX-License-Identifier: MIT */
/* listen_broker.c - see listen_broker.h. */
#include "helper/net/listen_broker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/listen.h"
#include "helper/net/pass_descriptor.h"
#include "helper/net/subprocess.h"
#include "helper/net/system_calls.h"

struct request {
    struct config_address address;
    uint32_t unix_mode;
};

struct answer {
    int32_t error; /* 0: the socket comes with it */
    char why[60];
};

/* Of this process, unless it opens sockets itself. */
static struct subprocess broker = {.socket = -1};

/* ---- In the broker ---- */

/* What the broker is forked with. */
struct rule {
    enum config_sandbox mode;
    bool (*may)(void *user, const struct config_address *address);
    void *user;
};

static bool is_whole(const struct request *request, ssize_t len) {
    return len == (ssize_t)sizeof *request && request->address.scheme <= CONFIG_UNIX &&
           memchr(request->address.host, '\0', sizeof request->address.host);
}

static void serve_one(int socket, const struct request *request, const struct rule *rule) {
    struct answer answer = {.error = -EACCES};
    const char *why = "not allowed";
    int fd = -1;
    if (rule->may(rule->user, &request->address)) {
        fd = listen_open(&request->address, false, request->unix_mode, &why);
        answer.error = fd < 0 ? fd : 0;
    }
    snprintf(answer.why, sizeof answer.why, "%s", why);
    if (fd < 0) {
        send(socket, &answer, sizeof answer, MSG_NOSIGNAL);
        return;
    }
    pass_descriptor(socket, &answer, sizeof answer, fd, MSG_NOSIGNAL);
    close(fd);
}

static void run(int socket, void *user) {
    const struct rule *rule = user;
    static struct request request;
#ifndef SMUX_SANITIZED
    if (rule->mode != CONFIG_SANDBOX_NO)
        system_calls_restrict(SANDBOX_HELPER, rule->mode == CONFIG_SANDBOX_LOG, false);
#endif
    for (;;) {
        ssize_t n = recv(socket, &request, sizeof request, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !is_whole(&request, n))
            return;
        serve_one(socket, &request, rule);
    }
}

int listen_broker_start(enum config_sandbox mode,
                        bool (*may)(void *user, const struct config_address *address), void *user) {
    struct rule rule = {mode, may, user};
    return subprocess_start(&broker, "smux-listens", run, &rule);
}

/* ---- In the process ---- */

bool listen_broker_is_there(void) {
    return broker.socket >= 0;
}

static int receive_answer(const char **why) {
    static struct answer answer;
    int fd = -EMFILE; /* unless it comes: the kernel found no room for the descriptor */
    *why = "no answer";
    ssize_t n = receive_descriptor(broker.socket, &answer, sizeof answer, &fd);
    if (n != (ssize_t)sizeof answer)
        return n < 0 ? -errno : -EPIPE;
    answer.why[sizeof answer.why - 1] = '\0';
    *why = answer.why;
    return answer.error ? answer.error : fd;
}

int listen_broker_open(const struct config_address *address, uint32_t unix_mode, const char **why) {
    struct request request;
    if (broker.socket < 0)
        return listen_open(address, false, unix_mode, why);
    memset(&request, 0, sizeof request);
    request.address = *address;
    request.unix_mode = unix_mode;
    *why = "cannot ask";
    ssize_t n;
    do
        n = send(broker.socket, &request, sizeof request, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : receive_answer(why);
}
