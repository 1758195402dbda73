/* SPDX-License-Identifier: MIT
 * How sessions start and end.
 */
#include "core/blocking/blk.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/engine/wire.h"

/* Input is held back while this many streams wait to be accepted, even if the backlog is larger:
 * what has not been received needs no memory, and a short queue stays in the caches. */
#define BACKLOG_HOLD 512u

/* ---- Start ---------------------------------------------------------------------------------- */

/* If there are no random bytes (before the kernel's pool is ready) the clock must do. */
static uint64_t random_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = smuxb_now_us() * UINT64_C(0x9E3779B97F4A7C15) ^ (uintptr_t)&seed;
    return seed;
}

static int engine_new(smuxb_session *s, enum smux_role role, const smux_config *config) {
    smux_config c;
    smux_config_init(&c);
    if (config)
        c = *config;
    if (!c.hash_seed)
        c.hash_seed = random_seed();
    s->backlog_max = c.accept_backlog < BACKLOG_HOLD ? c.accept_backlog : BACKLOG_HOLD;
    return smux_session_new(&s->engine, role, &c, NULL, smuxb_now_us());
}

static void session_init(smuxb_session *s, const smuxb_transport *transport) {
    *s = (smuxb_session){.refs = 1, .fd = -1, .in_wake_fd = -1, .out_wake_fd = -1};
    s->linger_max_ms = SMUXB_LINGER_MAX_MS;
    if (transport)
        s->transport = *transport;
    s->threaded = transport != NULL;
    pthread_mutex_init(&s->mutex, NULL);
    for (int i = 0; i < 2; i++)
        list_init(&s->sleepers[i]);
    list_init(&s->held);
    list_init(&s->cancels);
    list_init(&s->accepters);
    list_init(&s->watchers);
    list_init(&s->ready);
    list_init(&s->unaccepted);
    list_init(&s->spare_streams);
    list_init(&s->enders);
}

/* The session takes the descriptor over only after everything else has succeeded. */
static int use_descriptor(smuxb_session *s, int fd) {
    int type = 0, one = 1;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
        return SMUXB_ERR_DESCRIPTOR;
    s->local_len = s->remote_len = sizeof s->local;
    if (getsockname(fd, (struct sockaddr *)&s->local, &s->local_len) ||
        getpeername(fd, (struct sockaddr *)&s->remote, &s->remote_len))
        return SMUXB_ERR_DESCRIPTOR;
    s->in_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->out_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->in_wake_fd < 0 || s->out_wake_fd < 0)
        return SMUXB_ERR_SYSTEM;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on unix sockets */
    s->fd = fd;
    return 0;
}

static int session_new(smuxb_session **session, enum smux_role role, int fd,
                       const smuxb_transport *transport, const smux_config *config) {
    *session = NULL;
    smuxb_session *s = malloc(sizeof *s);
    if (!s)
        return SMUX_ERR_NOMEM;
    int cancel = blk_forbid_cancel();
    session_init(s, transport);
    int error = engine_new(s, role, config);
    if (!error && !blk_input_new(s))
        error = SMUX_ERR_NOMEM;
    if (!error && !transport)
        error = use_descriptor(s, fd);
    if (!error)
        error = blk_threads_start(s);
    if (error)
        blk_session_destroy(s);
    else
        *session = s;
    blk_allow_cancel(cancel);
    return error;
}

int smuxb_session_client(smuxb_session **session, int fd, const smux_config *config) {
    return session_new(session, SMUX_CLIENT, fd, NULL, config);
}

int smuxb_session_server(smuxb_session **session, int fd, const smux_config *config) {
    return session_new(session, SMUX_SERVER, fd, NULL, config);
}

static int over_transport(smuxb_session **session, enum smux_role role,
                          const smuxb_transport *transport, const smux_config *config) {
    *session = NULL;
    if (!transport || !transport->read || !transport->writev || !transport->shutdown)
        return SMUX_ERR_ARGUMENT;
    return session_new(session, role, -1, transport, config);
}

int smuxb_session_client_over(smuxb_session **session, const smuxb_transport *transport,
                              const smux_config *config) {
    return over_transport(session, SMUX_CLIENT, transport, config);
}

int smuxb_session_server_over(smuxb_session **session, const smuxb_transport *transport,
                              const smux_config *config) {
    return over_transport(session, SMUX_SERVER, transport, config);
}

/* ---- End ------------------------------------------------------------------------------------ */

/* Signs that written data is going out: payload that the carrier has taken, also as part of a
 * frame, and streams that have ended. Control frames do not count, because a peer can have them
 * sent forever (answers to pings). */
struct outflow {
    uint64_t payload, frames, bytes;
    uint32_t streams;
};

#define CONTROL_LEN_MAX (WIRE_HEADER_LEN + WIRE_UPDATE_LEN)

/* Whether more has gone out since; streams count when they are fewer than ever before. */
static bool flows(const smuxb_session *s, struct outflow *o) {
    smux_session_info info;
    smux_session_get_info(s->engine, &info);
    /* The most that this many whole frames and a part of the next can amount to if they are all
     * control frames. */
    uint64_t frames = info.frames_out - o->frames, bytes = s->sent_len - o->bytes;
    uint64_t control_len = frames ? (frames + 1) * CONTROL_LEN_MAX : 0;
    bool more = info.bytes_out != o->payload || info.streams < o->streams || bytes > control_len;
    *o = (struct outflow){info.bytes_out, info.frames_out, s->sent_len,
                          info.streams < o->streams ? info.streams : o->streams};
    return more;
}

/* Lets written data go out for as long as it does go out. */
static void linger(smuxb_session *s) {
    struct blk_waiter w;
    struct outflow outflow = {.streams = UINT32_MAX};
    uint64_t deadline_us = 0;
    (void)flows(s, &outflow);
    s->linger_until_us = smuxb_after_ms(s->linger_max_ms);
    blk_waiter_init(&w, &deadline_us);
    w.writes = true;
    s->drainer = &w;
    do {
        deadline_us = smuxb_after_ms(SMUXB_LINGER_MS);
        if (deadline_us > s->linger_until_us)
            deadline_us = s->linger_until_us;
        blk_flush(s, &w);
        blk_dispatch(s); /* tells the drainer if there is nothing to wait for */
        blk_wait(s, &w);
    } while (!w.done && !s->broken && flows(s, &outflow) && smuxb_now_us() < s->linger_until_us);
    s->drainer = NULL;
}

/* Waits until the session has ended or the deadline has passed. */
static void await_end(smuxb_session *s, const uint64_t *deadline_us) {
    struct blk_waiter w;
    blk_waiter_init(&w, deadline_us);
    if (!s->error)
        (void)blk_wait_among(s, &w, &s->enders);
}

static int close_locked(smuxb_session *s) {
    const uint64_t none = 0;
    if (s->closing) { /* by another thread, which may still be closing it */
        await_end(s, &none);
    } else if (!s->error) {
        s->closing = true;
        blk_fail_waiters(s);
        linger(s);
        smux_session_fail(s->engine, SMUX_ERR_CLOSED);
        blk_dispatch(s);
    }
    return s->error == SMUX_ERR_CLOSED ? 0 : s->error;
}

int smuxb_session_close(smuxb_session *s) {
    blk_lock(s);
    s->refs++;
    int error = close_locked(s);
    s->refs--;
    blk_leave(s);
    return error;
}

void smuxb_session_free(smuxb_session *s) {
    if (!s)
        return;
    (void)smuxb_session_close(s);
    blk_threads_join(s);
    blk_lock(s);
    s->refs--;
    blk_leave(s);
}

int smuxb_session_wait(smuxb_session *s, uint64_t deadline_us) {
    blk_lock(s);
    s->refs++;
    await_end(s, &deadline_us);
    int error = s->error ? s->error : SMUXB_ERR_TIMEOUT;
    s->refs--;
    blk_leave(s);
    return error;
}
