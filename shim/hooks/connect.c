/* SPDX-License-Identifier: MIT */
/* connect.c - see connect.h. */
#include "shim/hooks/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/base/pending_reset.h"
#include "shim/base/readable.h"
#include "shim/base/shim_log.h"
#include "shim/process/autostart.h"
#include "shim/process/helper_socket.h"
#include "shim/socket/linger_notice.h"
#include "shim/socket/local_address.h"
#include "shim/socket/state.h"
#include "shim/socket/swap.h"
#include "shim/socket/target.h"

static int fail(int err) {
    errno = err;
    return -1;
}

/* Maps an empty file for reading: every access to the page faults. (A page without read permission
 * would do as well, but memory checkers object to passing one to a system call. It is used if no
 * memfd can be made.) */
static void *map_nothing(void) {
    int fd = (int)real.syscall(SYS_memfd_create, "smuxshim", 1u /* MFD_CLOEXEC */);
    void *page = mmap(NULL, 1, fd < 0 ? PROT_NONE : PROT_READ,
                      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (fd >= 0)
        raw_close(fd);
    return page == MAP_FAILED ? NULL : page;
}

/* A page that cannot be read. A send from it waits for buffer space as any send does, and then
 * fails with EFAULT. Mapped at the first blocking connect of the process, and never unmapped. */
static const void *unreadable_page(void) {
    static void *_Atomic page;
    void *known = atomic_load(&page);
    if (known)
        return known;
    void *fresh = map_nothing();
    if (fresh && !atomic_compare_exchange_strong(&page, &known, fresh)) {
        munmap(fresh, 1);
        return known;
    }
    return fresh;
}

/* Reports the outcome of a finished connect as connect(2) does. */
static int report(int fd, const struct shim_state *state) {
    hint_remove(fd, HINT_PENDING);
    if (state->kind == SHIM_CONNECTED)
        return 0;
    shim_take_error(fd);
    return fail(state->outcome.err);
}

int shim_wait_writable(int fd) {
    const void *page = unreadable_page();
    if (!page)
        return fail(ENOMEM);
    return real.send(fd, page, 1, MSG_NOSIGNAL) < 0 && errno == EFAULT ? 0 : -1;
}

int shim_wait_connected(int fd) {
    int err = shim_wait_writable(fd) != 0 ? errno : 0;
    if (err == EINTR || err == ENOMEM)
        return -1;
    if (err == EAGAIN)
        return fail(EINPROGRESS);
    struct shim_state state = shim_state_read(fd);
    /* Another thread has disconnected it: it is a TCP socket again (swap_out), whose pending error
     * says why. */
    if (state.kind == SHIM_FOREIGN && (err == EPIPE || err == ECONNRESET)) {
        shim_take_error(fd);
        return fail(ECONNRESET);
    }
    /* Another process has disconnected it through its own copy of the descriptor, and the helper
     * has not given an outcome. The outcome must not be reported by the next connect, so a new
     * socket is put in place. */
    if (err == EPIPE && state.kind == SHIM_FAILED && state.outcome.dest.family == 0 &&
        helper_socket_refusal(fd) == 0 && shim_take_error(fd) == 0) {
        swap_out(fd, &state);
        return fail(ECONNRESET);
    }
    /* It was connected, and reset before this thread ran. The send has taken the pending error, so
     * put it back: it is due after the data that the target sent before. */
    if (err == ECONNRESET && state.kind == SHIM_CONNECTED)
        pending_reset_put_back(fd);
    return state.kind == SHIM_FOREIGN ? fail(EBADF) : report(fd, &state);
}

static void log_connect(const struct swap *swap, int err) {
    char dest[ENDPOINT_TEXT_SIZE];
    if (shim_log_wanted())
        shim_log("connect fd %d to %s%s%s%s: %s", swap->fd,
                 endpoint_text(&swap->dest, dest, sizeof dest), swap->host ? " (" : "",
                 swap->host ? swap->host : "", swap->host ? ")" : "",
                 err > SWAP_REFUSED ? "refused by the helper"
                 : err              ? strerror(err)
                                    : "handed to the helper");
}

/* A helper that is stopped or overloaded may have a full backlog. A blocking connect then tries
 * again until the route's timeout, and does not hold the fork guard while it waits. */
static int swap_in_patiently(const struct swap *swap, uint32_t timeout_ms) {
    struct timespec pause = {.tv_nsec = 1000000};
    int64_t waited_ns = 0;
    int err = swap_in(swap);
    while (err == EAGAIN && !(swap->file_flags & O_NONBLOCK)) {
        if (waited_ns >= (int64_t)timeout_ms * 1000000)
            return ETIMEDOUT;
        if (nanosleep(&pause, NULL) != 0)
            return EINTR;
        waited_ns += pause.tv_nsec;
        if (pause.tv_nsec < 50000000)
            pause.tv_nsec *= 2;
        err = swap_in(swap);
    }
    return err;
}

static bool is_no_helper(int err) {
    return err == ENOENT || err == ECONNREFUSED || err == EACCES || err == EPERM;
}

/* Hands the socket to the helper, and starts one if none answers. 0 or an errno. */
static int hand_over(const struct swap *swap, uint32_t timeout_ms) {
    /* Set these before the swap, because other threads may use the new socket at once. */
    local_address_note(swap->fd, &swap->dest);
    hint_remove(swap->fd, HINT_GIVEN_UP);
    hint_add(swap->fd, HINT_OURS);
    int err = swap_in_patiently(swap, timeout_ms);
    if ((err == ENOENT || err == ECONNREFUSED) &&
        autostart_helper(swap->settings->socket_path, timeout_ms))
        err = swap_in_patiently(swap, timeout_ms);
    log_connect(swap, err);
    if (err) {
        hint_remove(swap->fd, HINT_OURS);
        return err;
    }
    /* A blocking connect, too, may return before there is an outcome: EINTR, SO_SNDTIMEO. */
    hint_change(swap->fd, HINT_LASTING, HINT_OURS | HINT_PENDING);
    return 0;
}

/* Did the helper end before it gave an outcome? If so, makes the descriptor a TCP socket again,
 * bound as before, so that another helper can be asked. */
static bool helper_was_lost(const struct swap *swap) {
    struct shim_state state = shim_state_read(swap->fd);
    int saved = errno;
    if (state.kind != SHIM_FAILED || state.outcome.dest.family != 0)
        return false;
    bool fresh = swap_out(swap->fd, &state) == 0;
    errno = saved;
    return fresh;
}

/* `route` is NULL for a synthetic address whose name only the helper knows. */
static int connect_over_route(struct swap *swap, const struct route *route,
                              const struct sockaddr *addr, socklen_t len) {
    uint32_t timeout_ms = route ? route->connect_timeout_ms : ROUTE_DEFAULT_CONNECT_TIMEOUT_MS;
    for (bool again = false;; again = true) {
        int err = hand_over(swap, timeout_ms);
        if (err > SWAP_REFUSED)
            return fail(err - SWAP_REFUSED);
        if (is_no_helper(err) && route && route->on_failure == ROUTE_DIRECT &&
            !target_is_synthetic(swap->settings, &swap->dest))
            return real.connect(swap->fd, addr, len);
        if (err == ENOENT || err == ECONNREFUSED)
            return fail(ENETUNREACH);
        if (err)
            return fail(err);
        if (swap->file_flags & O_NONBLOCK)
            return fail(EINPROGRESS);
        if (shim_wait_connected(swap->fd) == 0)
            return 0;
        if (again || errno != ECONNREFUSED || !helper_was_lost(swap))
            return -1;
    }
}

static int connect_new(int fd, const struct sockaddr *addr, socklen_t len);

/* A second connect while one is in progress: waits for the same outcome, and returns EALREADY where
 * the first one returns EINPROGRESS. */
static int wait_again(int fd) {
    if (!shim_is_blocking(fd))
        return fail(EALREADY);
    int result = shim_wait_connected(fd);
    return result < 0 && errno == EINPROGRESS ? fail(EALREADY) : result;
}

/* Disconnects as TCP does: the target sees a reset. */
static int disconnect(int fd, const struct shim_state *state) {
    if (state->kind == SHIM_CONNECTED)
        linger_notice_send(fd, state->outcome.id, true);
    int err = swap_out(fd, state);
    return err ? fail(err) : 0;
}

bool shim_give_up(int fd, const struct shim_state *state) {
    return state->kind == SHIM_CONNECTING && disconnect(fd, state) == 0;
}

/* connect(2) on a descriptor that is already ours. */
static int connect_again(int fd, const struct shim_state *state, const struct sockaddr *addr,
                         socklen_t len) {
    bool pending = hint_has(fd, HINT_PENDING);
    int err;
    if (addr->sa_family == AF_UNSPEC)
        return disconnect(fd, state);
    switch (state->kind) {
    case SHIM_CONNECTING:
        return wait_again(fd);
    case SHIM_CONNECTED:
        return pending ? report(fd, state) : fail(EISCONN);
    default:
        break;
    }
    err = shim_take_error(fd);
    /* After a disconnect (ECONNRESET) there is no outcome left to report. */
    if ((pending || err) && state->outcome.err != ECONNRESET) {
        hint_remove(fd, HINT_PENDING);
        return fail(err ? state->outcome.err : ECONNABORTED);
    }
    err = swap_out(fd, state);
    return err ? fail(err) : connect_new(fd, addr, len);
}

/* connect(2) on a socket that may be the application's own TCP socket. */
static int connect_new(int fd, const struct sockaddr *addr, socklen_t len) {
    struct target target;
    switch (target_of(&target, fd, addr, len)) {
    case TARGET_ROUTED:
        return connect_over_route(&target.swap, target.route, addr, len);
    case TARGET_DENIED:
        return fail(EACCES);
    case TARGET_UNREACHABLE:
        return fail(EHOSTUNREACH);
    default:
        return real.connect(fd, addr, len);
    }
}

bool shim_connect_is_routed(int fd, const struct sockaddr *addr, socklen_t len) {
    return len <= sizeof(struct sockaddr_storage) && readable_bytes(addr, len) &&
           target_is_routed(fd, addr, len);
}

int shim_connect(int fd, const struct sockaddr *addr, socklen_t len) {
    if (!readable_perhaps(addr) || len < sizeof addr->sa_family ||
        len > sizeof(struct sockaddr_storage))
        return real.connect(fd, addr, len);
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6) {
        struct shim_state state = {.kind = SHIM_FOREIGN};
        if (hint_has(fd, HINT_OURS))
            state = shim_state_read(fd);
        return state.kind == SHIM_FOREIGN ? real.connect(fd, addr, len)
                                          : connect_again(fd, &state, addr, len);
    }
    int result = connect_new(fd, addr, len);
    /* An AF_UNIX socket rejects the address with EINVAL; it may be ours, connected by another
     * process. */
    if (result == 0 || errno != EINVAL)
        return result;
    struct shim_state state = shim_state_read(fd);
    return state.kind == SHIM_FOREIGN ? result : connect_again(fd, &state, addr, len);
}

/* If the call failed with EINVAL, as on an AF_UNIX socket, and `fd` is ours with a failed connect,
 * replaces it by a TCP socket and returns true. */
static bool gives_way(int fd, int result) {
    if (result == 0 || errno != EINVAL || !hint_has(fd, HINT_OURS))
        return false;
    struct shim_state state = shim_state_read(fd);
    return state.kind == SHIM_FAILED && swap_out(fd, &state) == 0;
}

int shim_bind(int fd, const struct sockaddr *addr, socklen_t len) {
    int result = real.bind(fd, addr, len);
    return gives_way(fd, result) ? real.bind(fd, addr, len) : result;
}

/* Until connect has reported the failure, TCP's socket would still be connecting, and cannot
 * listen. */
int shim_listen(int fd, int backlog) {
    int result = real.listen(fd, backlog);
    bool told = !hint_has(fd, HINT_PENDING);
    return told && gives_way(fd, result) ? real.listen(fd, backlog) : result;
}
