/* SPDX-License-Identifier: MIT */
/* state.c - see state.h. */
#include "shim/socket/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/base/pending_reset.h"
#include "shim/base/shim_log.h"
#include "shim/process/helper_socket.h"

bool shim_is_ours(int fd) {
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    int saved = errno;
    bool ours = raw_getpeername(fd, &name, &len) == 0 && helper_name_is_valid(&name, len);
    if (ours)
        hint_ours(fd);
    else
        hint_remove(fd, HINT_OURS | HINT_PENDING);
    errno = saved;
    return ours;
}

short shim_poll_now(int fd, short events) {
    struct pollfd pfd = {.fd = fd, .events = events};
    struct timespec now = {0};
    return real.syscall(SYS_ppoll, &pfd, 1, &now, NULL, (size_t)8) == 1 ? pfd.revents : 0;
}

bool shim_is_hung_up(int fd) {
    return shim_poll_now(fd, 0) & POLLHUP;
}

/* Reads the outcome from the socket's own name, if the helper has bound one. *maybe_ours: the
 * socket is at least AF_UNIX. */
static bool read_outcome(int fd, struct helper_outcome *outcome, bool *maybe_ours) {
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    *maybe_ours = raw_getsockname(fd, &name, &len) == 0 && name.sun_family == AF_UNIX;
    return *maybe_ours && helper_outcome_unpack(outcome, &name, len);
}

/* With a helper of another version all routed connects fail until one of the two is restarted, so
 * this is reported even if no log was asked for. */
static void complain_of_version(const struct helper_outcome *outcome) {
    static atomic_bool complained;
    char text[160];
    if (outcome->dest.port || !endpoint_is_any(&outcome->dest) ||
        atomic_exchange(&complained, true))
        return;
    snprintf(text, sizeof text,
             "connect refused: the helper speaks control version %u, this library %u: restart the "
             "older one",
             (unsigned)outcome->local.port, (unsigned)HELPER_PROTOCOL_VERSION);
    shim_complain(text);
}

static struct shim_state state_of(const struct helper_outcome *outcome) {
    if (outcome->err == EPROTO)
        complain_of_version(outcome);
    return (struct shim_state){outcome->err ? SHIM_FAILED : SHIM_CONNECTED, *outcome};
}

static int unnamed_error(int fd) {
    int err = helper_socket_refusal(fd);
    return err ? err : ECONNREFUSED;
}

struct shim_state shim_state_read(int fd) {
    struct shim_state state = {.kind = SHIM_FOREIGN};
    int saved = errno;
    bool maybe_ours;
    /* Only a helper binds such a name, so the name alone proves that the descriptor is ours. */
    if (read_outcome(fd, &state.outcome, &maybe_ours)) {
        hint_ours(fd);
        state = state_of(&state.outcome);
    } else if (maybe_ours && shim_is_ours(fd)) {
        state.kind = SHIM_CONNECTING;
        /* The helper binds the name before it closes, so a caller that sees the hang-up also finds
         * the name. */
        if (shim_is_hung_up(fd)) {
            if (!read_outcome(fd, &state.outcome, &maybe_ours))
                state.outcome.err = unnamed_error(fd);
            state = state_of(&state.outcome);
        }
    } else {
        hint_remove(fd, HINT_OURS | HINT_PENDING);
    }
    errno = saved;
    return state;
}

int shim_take_error(int fd) {
    int err = 0, saved = errno;
    socklen_t len = sizeof err;
    if (raw_getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = 0;
    errno = saved;
    return err;
}

int shim_reset_errno(const struct shim_state *state) {
    return state->kind == SHIM_FAILED ? state->outcome.err : ECONNRESET;
}

ssize_t shim_received(int fd, ssize_t result) {
    if (result >= 0 || !pending_reset_is(errno))
        return result;
    struct shim_state state = shim_state_read(fd);
    if (state.kind != SHIM_FOREIGN)
        errno = shim_reset_errno(&state);
    return result;
}

bool shim_is_blocking(int fd) {
    int saved = errno;
    bool blocking = !(raw_fcntl(fd, F_GETFL, 0) & O_NONBLOCK);
    errno = saved;
    return blocking;
}
