/* SPDX-License-Identifier: MIT */
/* ctl_connect.c - smuxctl connect: a connection through the helper for a program that cannot be
 * preloaded, such as ssh's ProxyCommand. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_client.h"
#include "helper/net/pass_descriptor.h"

#define PIPE_BUFFER_SIZE (256 * 1024)

/* ---- Copying: two directions, each with one buffer ---- */

struct one_way {
    int from, to;
    size_t off, len; /* bytes in the buffer that are still to be written */
    bool ended;      /* `from` has ended */
    bool done;       /* and that was passed on to `to` */
    char *buffer;
};

static bool wants_read(const struct one_way *way) {
    return !way->ended && way->len == 0;
}

static bool is_retry(int error) {
    return error == EAGAIN || error == EINTR;
}

static bool fill(struct one_way *way) {
    ssize_t n = read(way->from, way->buffer, PIPE_BUFFER_SIZE);
    if (n < 0)
        return is_retry(errno);
    way->ended = n == 0;
    way->off = 0;
    way->len = (size_t)n;
    return true;
}

static bool empty(struct one_way *way) {
    ssize_t n = write(way->to, way->buffer + way->off, way->len);
    if (n < 0)
        return is_retry(errno);
    way->off += (size_t)n;
    way->len -= (size_t)n;
    return true;
}

/* Passes the end of file on: by a half-close of a socket, by closing anything else. */
static void finish(struct one_way *way) {
    if (shutdown(way->to, SHUT_WR) < 0 && errno == ENOTSOCK)
        close(way->to);
    way->done = true;
}

/* Reads and writes what poll allows. False, with errno, if that failed. */
static bool step(struct one_way *way, short from_events, short to_events) {
    if (way->done)
        return true;
    if (wants_read(way) && from_events && !fill(way))
        return false;
    if (way->len > 0 && (to_events || wants_read(way)) && !empty(way))
        return false;
    if (way->ended && way->len == 0)
        finish(way);
    return true;
}

static void set_poll(struct pollfd *poll_fd, const struct one_way *way, bool from) {
    bool wanted = from ? wants_read(way) : way->len > 0;
    poll_fd->fd = wanted && !way->done ? (from ? way->from : way->to) : -1;
    poll_fd->events = from ? POLLIN : POLLOUT;
    poll_fd->revents = 0;
}

static int copy(struct one_way *out, struct one_way *in) {
    /* After a half-close the other direction continues until its own end of file. */
    while (!in->done || !out->done) {
        struct pollfd fds[4];
        set_poll(&fds[0], out, true);
        set_poll(&fds[1], out, false);
        set_poll(&fds[2], in, true);
        set_poll(&fds[3], in, false);
        if (poll(fds, 4, -1) < 0 && errno != EINTR)
            break;
        if (!step(in, fds[2].revents, fds[3].revents) ||
            !step(out, fds[0].revents, fds[1].revents)) {
            fprintf(stderr, "smuxctl: the connection failed: %s\n", strerror(errno));
            return CTL_FAILED;
        }
    }
    return CTL_OK;
}

int ctl_pipe(int fd) {
    struct one_way out = {.from = STDIN_FILENO, .to = fd}, in = {.from = fd, .to = STDOUT_FILENO};
    out.buffer = malloc(PIPE_BUFFER_SIZE);
    in.buffer = malloc(PIPE_BUFFER_SIZE);
    signal(SIGPIPE, SIG_IGN);
    /* Only the socket is made non-blocking: other processes may share the open file descriptions of
     * stdin and stdout. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    int status = out.buffer && in.buffer ? copy(&out, &in) : CTL_FAILED;
    free(out.buffer);
    free(in.buffer);
    return status;
}

/* ---- --fdpass ---- */

static int pass_over_stdout(int fd) {
    if (pass_descriptor(STDOUT_FILENO, "", 1, fd, MSG_NOSIGNAL))
        return CTL_OK;
    fprintf(stderr, "smuxctl: --fdpass: expected stdout to be a unix socket: %s\n",
            strerror(errno));
    return CTL_FAILED;
}

/* ---- The command ---- */

int ctl_connect(const struct ctl_options *options, const char *host, const char *port) {
    char *end;
    long number = strtol(port, &end, 10);
    int fd = -1;
    if (*end || end == port || number < 1 || number > 65535) {
        fprintf(stderr, "smuxctl: \"%s\": expected a port from 1 to 65535\n", port);
        return CTL_USAGE;
    }
    json_t *answer = ctl_ask_helper(
        options,
        json_pack("{s:s, s:s, s:i}", "command", "connect", "host", host, "port", (int)number), &fd);
    if (!answer)
        return CTL_FAILED;
    json_decref(answer);
    if (fd < 0) {
        fprintf(stderr,
                "smuxctl: expected the helper to pass a connection, but its answer had none\n");
        return CTL_FAILED;
    }
    int status = options->fdpass ? pass_over_stdout(fd) : ctl_pipe(fd);
    close(fd);
    return status;
}
