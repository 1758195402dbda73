/* SPDX-License-Identifier: MIT
 * The roles at work: reading and writing a carrier that is a socket. The descriptor's flags are
 * left alone: MSG_DONTWAIT makes each call non-blocking by itself.
 */
#include "core/blocking/blk.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

/* Small frames (SYN, FIN) made within this time of each other share a system call. */
#define GATHER_US 50u
/* Feeding less than this at a time costs more than it saves. */
#define FEED_MIN 4096u
/* A thread that receives this much at once is likely to find more. */
#define BULK_MIN 16384
/* How long a dry carrier is watched before many readers are woken for what they have. */
#define DRY_PATIENCE_US 100u
/* How many rounds a thread that could return flushes for others before it wakes one of them to do
 * it. */
#define FLUSH_FAVOURS 2

/* ---- Without the mutex ---------------------------------------------------------------------- */

struct carrier_io {
    int fd, wake_fd;
    struct blk_plan *plan;
    short events;
    bool poll_first, never_poll;
    bool broken; /* it already was when this began */
    uint64_t until_us;
    /* The results: */
    ssize_t got;
    int error; /* errno of recv; EAGAIN: nothing was received */
    short revents;
    bool polled;
};

static void receive(struct carrier_io *io) {
    struct blk_plan *p = io->plan;
    struct msghdr message = {.msg_iov = p->iov, .msg_iovlen = (size_t)p->iovcnt};
    do
        io->got = p->iovcnt > 1 ? recvmsg(io->fd, &message, MSG_DONTWAIT)
                                : recv(io->fd, p->iov[0].iov_base, p->iov[0].iov_len, MSG_DONTWAIT);
    while (io->got < 0 && errno == EINTR);
    io->error = io->got < 0 ? errno : 0;
    if (io->error == EWOULDBLOCK)
        io->error = EAGAIN;
}

static void wait_for_carrier(struct carrier_io *io) {
    struct pollfd fds[2] = {{.fd = io->fd, .events = io->events},
                            {.fd = io->wake_fd, .events = POLLIN}};
    struct timespec left = {0, 0};
    bool for_ever = !io->until_us || io->until_us == UINT64_MAX;
    uint64_t now_us = for_ever ? 0 : smuxb_now_us();
    if (io->until_us > now_us)
        left = (struct timespec){(time_t)((io->until_us - now_us) / 1000000),
                                 (long)((io->until_us - now_us) % 1000000) * 1000};
    io->polled = true;
    if (ppoll(fds, 2, for_ever ? NULL : &left, NULL) > 0)
        io->revents = fds[0].revents;
}

/* If the last attempt found nothing, this one would not either: poll at once, if that is
 * allowed. */
static void use_carrier(struct carrier_io *io) {
    bool receives = io->events & POLLIN;
    io->error = EAGAIN;
    if (receives && (!io->poll_first || io->never_poll))
        receive(io);
    if (io->error != EAGAIN || io->never_poll)
        return;
    wait_for_carrier(io);
    if (receives && io->revents & ~POLLOUT)
        receive(io);
}

/* ---- A turn --------------------------------------------------------------------------------- */

void blk_carrier_lost(smuxb_session *s, int saved_errno) {
    if (smux_session_error(s->engine))
        return;
    s->carrier_errno = saved_errno;
    smux_session_fail(s->engine, SMUX_ERR_CARRIER);
    blk_dispatch(s);
}

static void begin_io(smuxb_session *s, struct blk_waiter *w, int wake_fd) {
    w->where = BLK_IN_IO;
    w->wake_fd = wake_fd;
    s->carrier_users++;
    blk_unlock(s);
}

static void end_io(smuxb_session *s, struct blk_waiter *w) {
    eventfd_t ignored;
    blk_lock(s);
    s->carrier_users--;
    w->where = BLK_RUNNING;
    if (w->kicked)
        eventfd_read(w->wake_fd, &ignored);
    w->kicked = false;
    if (s->error)
        blk_wake(s, &s->keeper); /* it closes the carrier once nobody uses it */
}

/* If nobody else waits, feed no more than this waiter can take: the rest stays where it is until
 * the next call takes it from there, instead of being copied. */
static size_t feed_limit(const smuxb_session *s, const struct blk_waiter *w) {
    if (!w->waits || blk_sleeping(s) || !list_is_empty(&s->held))
        return SIZE_MAX;
    return w->room - w->got > FEED_MIN ? w->room - w->got + 8 : FEED_MIN;
}

static void end_lending(smuxb_session *s) {
    struct blk_waiter *w = s->lent;
    s->lent = NULL;
    if (w && w->recalls)
        blk_wake(s, w);
}

static void received(smuxb_session *s, const struct carrier_io *io) {
    s->poll_first = (io->polled || s->lent) && io->got < BULK_MIN;
    s->dry = io->got <= 0;
    s->more = io->got == (ssize_t)io->plan->total;
    if (io->got > 0) {
        blk_plan_received(s, io->plan, (size_t)io->got);
    } else if (io->error != EAGAIN) {
        blk_carrier_lost(s, io->error);
    } else if (io->broken) {
        blk_carrier_lost(s, s->broken_errno); /* there is nothing left to read */
    }
}

/* The earlier of `until_us` (0: forever) and `wait_us` from now. */
static uint64_t sooner(uint64_t until_us, uint64_t wait_us) {
    uint64_t end_us = smuxb_now_us() + wait_us;
    return until_us && until_us < end_us ? until_us : end_us;
}

static void io_turn(smuxb_session *s, struct blk_waiter *w, unsigned roles, uint64_t until_us) {
    struct blk_plan plan;
    bool reads = roles & BLK_IN, holds = reads && !list_is_empty(&s->held);
    bool patient = holds && blk_many_held(s);
    struct carrier_io io = {
        .fd = s->fd,
        .wake_fd = reads ? s->in_wake_fd : s->out_wake_fd,
        .plan = &plan,
        .events = (short)((reads ? POLLIN : 0) | (roles & BLK_OUT ? POLLOUT : 0)),
        .never_poll = w->done || (holds && !patient),
        .broken = s->broken,
        .until_us = patient ? sooner(until_us, DRY_PATIENCE_US) : until_us,
    };
    if (s->broken)
        io.until_us = 1;
    if (roles & BLK_OUT)
        s->poll_first |= reads; /* otherwise steady input would keep it from watching both */
    io.poll_first = s->poll_first;
    if (reads)
        blk_plan(s, w, &plan);
    io.never_poll |= s->lent != NULL;
    int cancel = blk_forbid_cancel();
    begin_io(s, w, io.wake_fd);
    use_carrier(&io);
    end_io(s, w);
    blk_allow_cancel(cancel);
    if (roles & BLK_OUT && io.revents & (POLLOUT | POLLERR | POLLHUP))
        s->full = false;
    if (reads) {
        received(s, &io);
        end_lending(s);
    }
}

void blk_turn(smuxb_session *s, struct blk_waiter *w, unsigned roles, uint64_t until_us) {
    if (roles & BLK_IN) {
        s->in_owner = w;
        s->in_terms += w != &s->keeper;
    }
    if (roles & BLK_OUT)
        s->out_owner = w;
    if (!(roles & BLK_IN && blk_unfed(s)))
        io_turn(s, w, roles, until_us);
    if (roles & BLK_IN)
        blk_feed(s, feed_limit(s, w));
    if (s->in_owner == w)
        s->in_owner = NULL;
    if (!s->in_owner && !(s->more || blk_unfed(s)) && (s->dry || !blk_many_held(s)))
        blk_release_held(s);
    if (s->out_owner == w)
        s->out_owner = NULL;
    if (blk_flush_due(s))
        blk_flush(s, w);
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* What the peer sent before it broke the connection must still be read, so the session fails only
 * after that. Writing fails at once. */
static void carrier_broken(smuxb_session *s, int saved_errno) {
    s->broken = true;
    s->broken_errno = saved_errno;
    blk_fail_writers(s);
    blk_wake(s, s->in_owner ? s->in_owner : &s->keeper);
    if (s->out_owner)
        blk_wake(s, s->out_owner);
}

bool blk_take_back(smuxb_session *s, struct blk_waiter *w) {
    for (int i = 0; i < w->bufs_len && w->pending; i++) {
        smux_sendbuf *b = &w->bufs[i];
        size_t left = 0;
        if (b->user != w)
            continue;
        int error = smux_session_send_cancel(s->engine, b, &left);
        if (error == SMUX_ERR_BUSY || error == SMUX_ERR_NOMEM)
            return false;
        if (error)
            continue; /* its SMUX_EVENT_RETURNED is about to be taken */
        b->user = NULL;
        w->kept_back += left;
        w->pending--;
    }
    return !w->pending;
}

/* Serves writers whose time is up: they wait until their memory is not being sent from. */
static void serve_cancels(smuxb_session *s) {
    list_for_each(link, &s->cancels) {
        struct blk_waiter *w = container_of(link, struct blk_waiter, cancel);
        if (!blk_take_back(s, w))
            continue;
        list_remove(&w->cancel);
        blk_wake(s, w);
    }
}

/* Makes one system call. False: the carrier takes no more, or there is nothing more to send. */
static bool send_some(smuxb_session *s) {
    s->flushed_us = smuxb_now_us();
    int len = smux_session_output(s->engine, s->iov, BLK_IOV_MAX, s->flushed_us), saved_errno = 0;
    struct msghdr message = {.msg_iov = s->iov, .msg_iovlen = (size_t)len};
    size_t total = 0;
    if (len <= 0)
        return false;
    for (int i = 0; i < len; i++)
        total += s->iov[i].iov_len;
    blk_unlock(s);
    int cancel = blk_forbid_cancel();
    ssize_t n = sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    saved_errno = n < 0 ? errno : 0;
    blk_allow_cancel(cancel);
    blk_lock(s);
    smux_session_output_done(s->engine, n > 0 ? (size_t)n : 0);
    s->sent_len += n > 0 ? (size_t)n : 0;
    if (n < 0 && saved_errno != EAGAIN && saved_errno != EWOULDBLOCK && saved_errno != EINTR)
        carrier_broken(s, saved_errno);
    else if ((n >= 0 && (size_t)n < total) || (n < 0 && saved_errno != EINTR))
        s->full = true; /* a short write means the same as EAGAIN */
    blk_dispatch(s);
    serve_cancels(s);
    return !s->full && !s->broken && smux_session_want_write(s->engine);
}

/* As of the last system call. */
static bool is_late(const smuxb_session *s, const struct blk_waiter *w) {
    return w->deadline_us && *w->deadline_us && s->flushed_us >= *w->deadline_us;
}

void blk_flush(smuxb_session *s, const struct blk_waiter *w) {
    bool late = false;
    if (s->threaded && smux_session_want_write(s->engine))
        blk_wake(s, &s->writer);
    if (!blk_flush_due(s))
        return;
    s->flushing = true;
    s->carrier_users++;
    for (int favours = 0; !late && send_some(s);) {
        if (w && w->done && favours++ >= FLUSH_FAVOURS)
            break;
        late = w && !w->done && is_late(s, w);
    }
    s->flushing = false;
    s->carrier_users--;
    if (s->error)
        blk_wake(s, &s->keeper);
    if (!w || w->done || late)
        blk_pass_on_out(s); /* otherwise this thread goes on itself */
}

void blk_flush_later(smuxb_session *s) {
    if (s->threaded)
        blk_wake(s, &s->writer);
    else
        blk_watch(s);
}

/* A thread that keeps sending small frames also reads what has arrived meanwhile, so that the
 * keeper need not wake for it and contend for the mutex. */
static void read_along(smuxb_session *s) {
    const uint64_t none = 0;
    uint64_t until_us = UINT64_MAX;
    struct blk_waiter w;
    if (s->in_owner || s->nudged || !list_is_empty(&s->unaccepted) || blk_sleeping(s) || s->error ||
        s->broken || !blk_may_read(s, &until_us))
        return;
    blk_waiter_init(&w, &none);
    w.done = true;
    blk_turn(s, &w, BLK_IN, 0);
    blk_left_in(s, true); /* pass it to one that came meanwhile */
}

void blk_flush_gathered(smuxb_session *s) {
    uint64_t since_us = s->threaded ? 0 : smuxb_now_us() - s->flushed_us;
    if (since_us < GATHER_US) {
        blk_flush_later(s);
        return;
    }
    blk_flush(s, NULL);
    if (since_us < BLK_NAP_US)
        read_along(s);
}
