/* SPDX-License-Identifier: MIT */
/* connects.c - see connects.h. What each case answers is what shim/hooks/connect.c answers. */
#include "shim/trap/connects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shim/base/pending_reset.h"
#include "shim/base/shim_log.h"
#include "shim/process/helper_socket.h"
#include "shim/socket/linger_notice.h"
#include "shim/socket/local_address.h"
#include "shim/socket/options.h"
#include "shim/socket/state.h"
#include "shim/socket/target.h"
#include "shim/trap/name_stub.h"

#define LOOK_MS          250 /* between looks for calls that have vanished */
#define NAME_SERVER_PORT 53
#define RETRY_MS         10 /* between attempts while the helper's backlog is full */

enum waiting_for {
    FOR_OUTCOME, /* of `pair` */
    FOR_BACKLOG,
    FOR_HELPER, /* that is being started */
};

struct waiting {
    size_t place; /* in connects.waiting */
    struct trap_call call;
    enum waiting_for what;
    int pair;            /* our copy of the program's socket, or -1 */
    uint64_t cookie;     /* of that socket */
    int64_t begun_ms;    /* the first attempt */
    int64_t deadline_ms; /* SO_SNDTIMEO; INT64_MAX: none */
    int late;            /* the errno when that is over */
    bool helper_asked;   /* a helper has been started for it */
    bool lost;           /* one helper has ended before it gave an outcome */
    bool given_up;       /* a call has disconnected the socket: it is about to hang up */
};

int64_t connects_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void look_at(struct connects *connects, int64_t when_ms) {
    if (when_ms < connects->look_ms)
        connects->look_ms = when_ms;
}

static uint64_t cookie_of(int fd) {
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static void close_pair(struct connects *connects, struct waiting *waiting) {
    if (waiting->pair < 0)
        return;
    epoll_ctl(connects->epoll, EPOLL_CTL_DEL, waiting->pair, NULL); /* the program has copies */
    close(waiting->pair);
    waiting->pair = -1;
}

/* The last one takes its place, so that a walk from the end may forget what it visits. */
static void forget(struct connects *connects, struct waiting *waiting) {
    struct waiting *last = connects->waiting[--connects->n];
    close_pair(connects, waiting);
    connects->waiting[waiting->place] = last;
    last->place = waiting->place;
    free(waiting);
}

static struct waiting *remember(struct connects *connects, const struct trap_call *call) {
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (connects->n == connects->room) {
        size_t room = connects->room ? 2 * connects->room : 64;
        struct waiting **more = realloc(connects->waiting, room * sizeof(struct waiting *));
        if (more) {
            connects->waiting = more;
            connects->room = room;
        }
    }
    if (!waiting || connects->n == connects->room) {
        free(waiting);
        return NULL;
    }
    *waiting = (struct waiting){.place = connects->n,
                                .call = *call,
                                .pair = -1,
                                .begun_ms = connects_now_ms(),
                                .deadline_ms = INT64_MAX};
    connects->waiting[connects->n++] = waiting;
    return waiting;
}

/* Answers, and forgets the call. False if it had vanished. */
static bool end(struct connects *connects, struct waiting *waiting, int result) {
    bool heard = call_answer(&waiting->call, result);
    forget(connects, waiting);
    return heard;
}

static void let_go(struct connects *connects, struct waiting *waiting) {
    call_let_go(&waiting->call);
    forget(connects, waiting);
}

static void log_connect(const struct waiting *waiting, const struct swap *swap, int err) {
    char dest[ENDPOINT_TEXT_SIZE];
    if (shim_log_wanted())
        shim_log("trap: connect of process %d, fd %d to %s: %s", (int)waiting->call.thread,
                 swap->number, endpoint_text(&swap->dest, dest, sizeof dest),
                 err > SWAP_REFUSED ? "refused by the helper"
                 : err              ? strerror(err)
                                    : "handed to the helper");
}

/* ---- The outcome ---- */

/* Tells the outcome of `fd`, one of ours. If nobody hears it, the next connect must tell it. */
static void report(const struct waiting *waiting, int fd, const struct shim_state *state) {
    int error = state->kind == SHIM_CONNECTED ? 0 : state->outcome.err;
    int taken = error ? shim_take_error(fd) : 0;
    options_set_flag(fd, MARK_PENDING, false);
    if (call_answer(&waiting->call, -error))
        return;
    options_set_flag(fd, MARK_PENDING, true);
    if (taken)
        pending_reset_put_back(fd);
}

/* Waits for the outcome of `pair`, which is the caller's and is copied. */
static void wait_for_outcome(struct connects *connects, struct waiting *waiting, int pair,
                             int late) {
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = waiting};
    struct timeval limit = {0};
    socklen_t len = sizeof limit;
    waiting->what = FOR_OUTCOME;
    waiting->late = late;
    waiting->pair = fcntl(pair, F_DUPFD_CLOEXEC, 0);
    if (waiting->pair < 0 ||
        epoll_ctl(connects->epoll, EPOLL_CTL_ADD, waiting->pair, &event) != 0) {
        end(connects, waiting, -errno);
        return;
    }
    waiting->cookie = cookie_of(pair);
    waiting->deadline_ms = INT64_MAX;
    if (getsockopt(pair, SOL_SOCKET, SO_SNDTIMEO, &limit, &len) == 0 &&
        (limit.tv_sec || limit.tv_usec))
        waiting->deadline_ms =
            connects_now_ms() + (int64_t)limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000;
    look_at(connects, waiting->deadline_ms);
    look_at(connects, connects_now_ms() + LOOK_MS);
}

/* ---- Putting a socket in the program's place ---- */

/* Puts `fd` where the program has `copy`. 0 or an errno. */
static int put(const struct waiting *waiting, int copy, int fd) {
    options_carry_owner(copy, fd);
    swap_file_flags(fd, fcntl(copy, F_GETFL));
    return call_put_descriptor(&waiting->call, fd, (int)waiting->call.args[0]);
}

/* Puts a TCP socket in place of `*copy`, and sets *copy to it. 0 or an errno. */
static int put_tcp(const struct waiting *waiting, int *copy, const struct shim_state *state) {
    uint32_t restored;
    int tcp = swap_out_open(*copy, state, &restored);
    int err = tcp < 0 ? -tcp : put(waiting, *copy, tcp);
    if (err == 0) {
        if (state->kind != SHIM_FAILED)
            shutdown(*copy, SHUT_RDWR);
        close(*copy);
        *copy = tcp;
    } else if (tcp >= 0) {
        close(tcp);
    }
    return err;
}

/* ---- A connect over a route ---- */

static void wait_to_retry(struct connects *connects, struct waiting *waiting,
                          enum waiting_for what) {
    waiting->what = what;
    look_at(connects, connects_now_ms() + (what == FOR_BACKLOG ? RETRY_MS : LOOK_MS));
}

static bool is_no_helper(int err) {
    return err == ENOENT || err == ECONNREFUSED || err == EACCES || err == EPERM;
}

/* No socket could be handed to the helper. */
static void not_handed(struct connects *connects, struct waiting *waiting,
                       const struct target *target, int err) {
    const struct swap *swap = &target->swap;
    const struct route *route = target->route;
    uint32_t limit_ms = route ? route->connect_timeout_ms : ROUTE_DEFAULT_CONNECT_TIMEOUT_MS;
    bool none = err == ENOENT || err == ECONNREFUSED;
    if (err == EAGAIN && !(swap->file_flags & O_NONBLOCK)) {
        if (connects_now_ms() - waiting->begun_ms < limit_ms) {
            wait_to_retry(connects, waiting, FOR_BACKLOG);
            return;
        }
        err = ETIMEDOUT;
    }
    if (none && !waiting->helper_asked) {
        waiting->helper_asked = true;
        wait_to_retry(connects, waiting, FOR_HELPER);
        helper_start_begin(&connects->start, swap->settings->socket_path, limit_ms);
        return;
    }
    log_connect(waiting, swap, err);
    if (err > SWAP_REFUSED)
        end(connects, waiting, SWAP_REFUSED - err);
    else if (is_no_helper(err) && route && route->on_failure == ROUTE_DIRECT &&
             !target_is_synthetic(swap->settings, &swap->dest))
        let_go(connects, waiting);
    else
        end(connects, waiting, none ? -ENETUNREACH : -err);
}

/* The socket `pair` connects, and is in its place. */
static void handed(struct connects *connects, struct waiting *waiting, const struct swap *swap,
                   int pair) {
    log_connect(waiting, swap, 0);
    if (!(swap->file_flags & O_NONBLOCK)) {
        wait_for_outcome(connects, waiting, pair, EINPROGRESS);
        return;
    }
    if (!end(connects, waiting, -EINPROGRESS))
        options_set_flag(pair, MARK_UNSAID, true);
}

static void connect_over_route(struct connects *connects, struct waiting *waiting,
                               const struct target *target, int copy) {
    const struct swap *swap = &target->swap;
    int pair = swap_in_open(swap);
    if (pair < 0) {
        not_handed(connects, waiting, target, -pair);
        return;
    }
    options_set_flag(pair, MARK_PENDING, true);
    /* Only this process knows the destination, and it forgets it. */
    if (swap->file_flags & O_NONBLOCK)
        local_address_get(pair, swap->dest.family, &swap->dest);
    int err = put(waiting, copy, pair);
    if (err)
        end(connects, waiting, -err);
    else
        handed(connects, waiting, swap, pair);
    close(pair);
}

/* Is a program with routes by host name about to ask a name server? A socket that is bound to a
 * device could not reach the stub. */
static bool is_for_name_server(const struct target *target, int copy) {
    const struct settings *settings = target->swap.settings;
    char device[IFNAMSIZ];
    int type = 0;
    socklen_t len = sizeof type;
    return settings && settings->routes.n_name_rules &&
           target->swap.dest.port == NAME_SERVER_PORT &&
           getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM &&
           !options_device(copy, device);
}

static void connect_to(struct connects *connects, struct waiting *waiting, int *copy,
                       const struct sockaddr *addr, socklen_t len) {
    struct target target;
    enum target_way way = target_of(&target, *copy, addr, len);
    target.swap.number = (int)waiting->call.args[0];
    if (way == TARGET_ROUTED)
        connect_over_route(connects, waiting, &target, *copy);
    else if (way == TARGET_DENIED)
        end(connects, waiting, -EACCES);
    else if (way == TARGET_UNREACHABLE)
        end(connects, waiting, -EHOSTUNREACH);
    else if (is_for_name_server(&target, *copy) && name_stub_connect(*copy, addr, len) == 0)
        end(connects, waiting, 0);
    else
        let_go(connects, waiting);
}

/* ---- A connect of a socket that is ours already ---- */

/* The target sees a reset; connects in progress of the same socket fail. 0 or an errno. */
static int disconnect(struct connects *connects, const struct waiting *waiting, int *copy,
                      const struct shim_state *state) {
    uint64_t cookie = cookie_of(*copy);
    if (state->kind == SHIM_CONNECTED)
        linger_notice_send(*copy, state->outcome.id, true);
    int err = put_tcp(waiting, copy, state);
    for (size_t i = 0; i < connects->n; i++) {
        struct waiting *other = connects->waiting[i];
        if (err == 0 && other->pair >= 0 && other->cookie == cookie)
            other->given_up = true;
    }
    return err;
}

static void connect_failed(struct connects *connects, struct waiting *waiting, int *copy,
                           const struct shim_state *state, const struct sockaddr *addr,
                           socklen_t len) {
    int err = shim_take_error(*copy);
    if ((err || options_flag(*copy, MARK_PENDING)) && state->outcome.err != ECONNRESET) {
        options_set_flag(*copy, MARK_PENDING, false);
        end(connects, waiting, err ? -state->outcome.err : -ECONNABORTED);
        return;
    }
    err = put_tcp(waiting, copy, state);
    if (err)
        end(connects, waiting, -err);
    else
        connect_to(connects, waiting, copy, addr, len);
}

static void connect_again(struct connects *connects, struct waiting *waiting, int *copy,
                          const struct shim_state *state, const struct sockaddr *addr,
                          socklen_t len) {
    bool blocking = shim_is_blocking(*copy);
    if (addr->sa_family == AF_UNSPEC) {
        end(connects, waiting, -disconnect(connects, waiting, copy, state));
    } else if (!blocking && options_flag(*copy, MARK_UNSAID)) {
        options_set_flag(*copy, MARK_UNSAID, false);
        end(connects, waiting, -EINPROGRESS);
    } else if (state->kind == SHIM_CONNECTING && blocking) {
        wait_for_outcome(connects, waiting, *copy, EALREADY);
    } else if (state->kind == SHIM_CONNECTING) {
        end(connects, waiting, -EALREADY);
    } else if (state->kind == SHIM_FAILED) {
        connect_failed(connects, waiting, copy, state, addr, len);
    } else if (options_flag(*copy, MARK_PENDING)) {
        report(waiting, *copy, state);
        forget(connects, waiting);
    } else {
        end(connects, waiting, -EISCONN);
    }
}

/* ---- A connect ---- */

/* The program may not be inspected: it has another user's rights, or has hidden itself. */
static void complain_of_access(const struct trap_call *call) {
    shim_log("trap: process %d may not be inspected: its connects go direct", (int)call->thread);
}

static void attempt(struct connects *connects, struct waiting *waiting) {
    const struct trap_call *call = &waiting->call;
    struct sockaddr_storage addr;
    socklen_t len = (socklen_t)call->args[2];
    memset(&addr, 0, sizeof addr);
    errno = 0;
    bool readable = len >= sizeof addr.ss_family && len <= sizeof addr &&
                    call_read(call, call->args[1], &addr, len);
    bool forbidden = !readable && errno == EPERM;
    bool wanted = readable && (addr.ss_family == AF_INET || addr.ss_family == AF_INET6 ||
                               addr.ss_family == AF_UNSPEC);
    int copy = wanted ? call_copy_descriptor(call, (int)call->args[0]) : -EBADF;
    if (copy == -EPERM || forbidden)
        complain_of_access(call);
    if (copy == -EMFILE || copy == -ENFILE) {
        end(connects, waiting, copy);
        return;
    }
    if (copy < 0) {
        let_go(connects, waiting);
        return;
    }
    struct shim_state state = shim_state_read(copy);
    if (state.kind == SHIM_FOREIGN)
        connect_to(connects, waiting, &copy, (struct sockaddr *)&addr, len);
    else
        connect_again(connects, waiting, &copy, &state, (struct sockaddr *)&addr, len);
    close(copy);
}

void connects_connect(struct connects *connects, const struct trap_call *call) {
    struct waiting *waiting = remember(connects, call);
    if (waiting)
        attempt(connects, waiting);
    else
        call_answer(call, -ENOMEM);
}

void connects_shutdown(struct connects *connects, const struct trap_call *call) {
    struct waiting self = {.call = *call, .pair = -1};
    int how = (int)call->args[1];
    int copy = how >= SHUT_RD && how <= SHUT_RDWR ? call_copy_descriptor(call, (int)call->args[0])
                                                  : -EINVAL;
    struct shim_state state = {.kind = SHIM_FOREIGN};
    if (copy >= 0)
        state = shim_state_read(copy);
    if (state.kind == SHIM_FOREIGN)
        call_let_go(call);
    else if (shim_is_hung_up(copy))
        call_answer(call, -ENOTCONN);
    else if (state.kind != SHIM_CONNECTING || disconnect(connects, &self, &copy, &state) != 0)
        call_let_go(call);
    else
        call_answer(call, 0);
    if (copy >= 0)
        close(copy);
}

/* ---- What happens to connects in progress ---- */

/* Does the program still have this socket at the number? Another thread may have closed it, and
 * opened something else there. */
static bool is_in_place(const struct waiting *waiting) {
    int now = call_copy_descriptor(&waiting->call, (int)waiting->call.args[0]);
    bool same = now >= 0 && waiting->cookie && cookie_of(now) == waiting->cookie;
    if (now >= 0)
        close(now);
    return same;
}

/* Has the helper ended before it gave an outcome? Then another one is asked, once. */
static bool ask_another(struct connects *connects, struct waiting *waiting,
                        const struct shim_state *state) {
    int copy = waiting->pair;
    if (waiting->lost || waiting->late != EINPROGRESS || state->kind != SHIM_FAILED ||
        state->outcome.dest.family != 0 || state->outcome.err != ECONNREFUSED ||
        !is_in_place(waiting))
        return false;
    shim_take_error(copy);
    epoll_ctl(connects->epoll, EPOLL_CTL_DEL, copy, NULL);
    waiting->pair = -1;
    waiting->lost = true;
    int err = put_tcp(waiting, &copy, state);
    close(copy);
    if (err)
        end(connects, waiting, -ECONNREFUSED);
    else
        attempt(connects, waiting);
    return true;
}

/* A call that has vanished is told nothing: the one that came in its place, or the next, is. */
void connects_ready(struct connects *connects, struct waiting *waiting) {
    if (!call_is_there(&waiting->call)) {
        forget(connects, waiting);
        return;
    }
    struct shim_state state = shim_state_read(waiting->pair);
    if (waiting->given_up) {
        end(connects, waiting, -ECONNRESET);
        return;
    }
    if (state.kind == SHIM_CONNECTING || ask_another(connects, waiting, &state))
        return;
    report(waiting, waiting->pair, &state);
    forget(connects, waiting);
}

static void look(struct connects *connects, struct waiting *waiting, int64_t now_ms) {
    if (!call_is_there(&waiting->call))
        forget(connects, waiting); /* interrupted, or killed */
    else if (now_ms >= waiting->deadline_ms)
        end(connects, waiting, -waiting->late);
    else if (waiting->what == FOR_BACKLOG)
        attempt(connects, waiting);
    else
        look_at(connects,
                waiting->deadline_ms < now_ms + LOOK_MS ? waiting->deadline_ms : now_ms + LOOK_MS);
}

void connects_look(struct connects *connects) {
    int64_t now_ms = connects_now_ms();
    connects->look_ms = INT64_MAX;
    for (size_t i = connects->n; i-- > 0;)
        look(connects, connects->waiting[i], now_ms);
}

void connects_helper_started(struct connects *connects) {
    helper_start_end(&connects->start);
    for (size_t i = connects->n; i-- > 0;)
        if (connects->waiting[i]->what == FOR_HELPER)
            attempt(connects, connects->waiting[i]);
}
