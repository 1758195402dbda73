/* SPDX-License-Identifier: MIT
 * The session's own threads: the keeper, which minds the clock and, over a socket, is the I/O of
 * last resort; over a transport also the reader and the writer.
 */
#include "core/blocking/blk.h"

#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- The keeper ----------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Ends the session if writing has failed while reading waits for refusals to be written. */
static void give_up_broken(smuxb_session *s) {
    smux_session_info info;
    if (!s->broken || smux_session_want_read(s->engine))
        return;
    smux_session_get_info(s->engine, &info);
    if (!info.unread)
        blk_carrier_lost(s, s->broken_errno);
}

/* The roles that the keeper must take; sleeping user threads are woken to take them instead.
 * `quiet`: no user thread has read lately. */
static unsigned keeper_roles(smuxb_session *s, bool quiet, uint64_t *until_us) {
    unsigned roles = 0;
    if (s->threaded)
        return 0;
    if (s->full && !s->out_owner && !s->flushing && !s->broken) {
        if (list_is_empty(&s->sleepers[1]))
            roles |= BLK_OUT;
        else
            blk_pass_on_out(s);
    }
    if (s->in_owner || !blk_may_read(s, until_us))
        return roles;
    if (blk_sleeping(s) && (quiet || !blk_solo(s)))
        blk_pass_on_in(s);
    else if (quiet || s->broken)
        roles |= BLK_IN;
    return roles;
}

/* The start and the end of a wait. A wait that user threads can end with blk_watch was quiet if
 * they did not; any other was quiet if nobody has read meanwhile. */
static uint32_t begin_wait(smuxb_session *s, bool watches, uint64_t *until_us) {
    if (watches)
        s->keeper_until_us = *until_us;
    else
        *until_us = earlier(*until_us, smuxb_now_us() + BLK_NAP_US);
    return s->in_terms;
}

static bool was_quiet(smuxb_session *s, bool watched, uint32_t in_terms) {
    bool woken = !s->keeper_until_us;
    s->keeper_until_us = 0;
    return watched ? !woken : s->in_terms == in_terms;
}

/* Both return whether user threads have been quiet meanwhile. If not, the next rest is a nap, so
 * that a busy thread need not wake the keeper again and again. */
static bool keeper_turn(smuxb_session *s, unsigned roles, bool quiet, uint64_t until_us) {
    bool watches = roles & BLK_IN || (quiet && s->in_owner);
    uint32_t served = s->served, in_terms = begin_wait(s, watches, &until_us);
    blk_turn(s, &s->keeper, roles, until_us);
    quiet = was_quiet(s, watches, in_terms);
    if (!s->in_owner)
        blk_release_held(s);
    return quiet && s->served == served; /* otherwise they will want the role themselves */
}

static bool keeper_rest(smuxb_session *s, bool quiet, uint64_t until_us) {
    uint64_t ignored = 0;
    bool watches = s->threaded || (quiet && (s->in_owner || !blk_may_read(s, &ignored)));
    uint32_t in_terms = begin_wait(s, watches, &until_us);
    blk_sleep(s, &s->keeper, NULL, until_us);
    return was_quiet(s, watches, in_terms);
}

static void keeper_work(smuxb_session *s) {
    bool quiet = true;
    while (!s->error) {
        if (smuxb_now_us() >= smux_session_deadline(s->engine)) {
            smux_session_tick(s->engine, smuxb_now_us());
            blk_dispatch(s);
        }
        give_up_broken(s);
        blk_flush(s, NULL);
        uint64_t until_us = smux_session_deadline(s->engine);
        unsigned roles = keeper_roles(s, quiet, &until_us);
        if (s->error)
            break;
        quiet = roles ? keeper_turn(s, roles, quiet, until_us) : keeper_rest(s, quiet, until_us);
    }
}

/* Discards what comes in, but not for as long as the peer likes. False: the peer is gone. */
#define DISCARD_ROUNDS 64
static bool discard_input(smuxb_session *s) {
    uint8_t waste[16384];
    ssize_t n;
    int rounds = 0;
    do
        n = recv(s->fd, waste, sizeof waste, MSG_DONTWAIT);
    while (n == (ssize_t)sizeof waste && ++rounds < DISCARD_ROUNDS);
    return n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Input that arrives after the socket is closed makes TCP send a reset and discard what it has not
 * yet been able to send. So the socket is closed when the peer has acknowledged everything, has
 * stopped doing so, or has had SMUXB_LINGER_MAX_MS. Its sending side has been shut down before. */
static void await_acknowledgement(smuxb_session *s) {
    int left = 0, before = INT32_MAX, idle_ms = 0;
    while (discard_input(s) && idle_ms < SMUXB_LINGER_MS && smuxb_now_us() < s->linger_until_us) {
        if (s->local.ss_family == AF_UNIX || ioctl(s->fd, SIOCOUTQ, &left) || !left)
            break;
        idle_ms = left < before ? 0 : idle_ms + 1;
        before = left;
        usleep(1000);
    }
}

/* Nobody uses the carrier any more, so the mutex is not held. */
static void close_carrier(smuxb_session *s, int error) {
    if (s->threaded) {
        if (s->transport.close)
            s->transport.close(s->transport.context);
        return;
    }
    if (error == SMUX_ERR_CLOSED)
        await_acknowledgement(s);
    close(s->fd);
}

static void *keeper_main(void *session) {
    smuxb_session *s = session;
    blk_lock(s);
    if (s->aborted) {
        blk_unlock(s);
        return NULL;
    }
    keeper_work(s);
    if (s->threaded) {
        blk_unlock(s);
        s->transport.shutdown(s->transport.context);
        blk_lock(s);
    }
    while (s->carrier_users)
        blk_sleep(s, &s->keeper, NULL, 0);
    int error = s->error;
    blk_unlock(s);
    close_carrier(s, error);
    return NULL;
}

/* ---- Reader and writer ---------------------------------------------------------------------- */

static void *reader_main(void *session) {
    smuxb_session *s = session;
    blk_lock(s);
    while (!s->error && !s->aborted) {
        uint64_t until_us = UINT64_MAX;
        if (!blk_may_read(s, &until_us)) {
            blk_sleep(s, &s->reader, NULL, until_us);
            continue;
        }
        if (!blk_unfed(s)) {
            struct iovec input = blk_input_prepare(s);
            blk_unlock(s);
            ssize_t n = s->transport.read(s->transport.context, input.iov_base, input.iov_len);
            int saved_errno = errno;
            blk_lock(s);
            if (n <= 0)
                blk_carrier_lost(s, n ? saved_errno : 0);
            s->input_len += n > 0 ? (size_t)n : 0;
        }
        blk_feed(s, SIZE_MAX);
        blk_flush(s, NULL);
    }
    s->carrier_users--;
    blk_wake(s, &s->keeper);
    blk_unlock(s);
    return NULL;
}

static void writer_turn(smuxb_session *s) {
    int len = smux_session_output(s->engine, s->iov, BLK_IOV_MAX, smuxb_now_us());
    if (len <= 0) {
        blk_sleep(s, &s->writer, NULL, 0);
        return;
    }
    blk_unlock(s);
    ssize_t n = s->transport.writev(s->transport.context, s->iov, len);
    int saved_errno = errno;
    blk_lock(s);
    smux_session_output_done(s->engine, n > 0 ? (size_t)n : 0);
    s->sent_len += n > 0 ? (size_t)n : 0;
    if (n <= 0)
        blk_carrier_lost(s, n ? saved_errno : EPIPE);
    blk_dispatch(s);
}

static void *writer_main(void *session) {
    smuxb_session *s = session;
    blk_lock(s);
    while (!s->error && !s->aborted)
        writer_turn(s);
    s->carrier_users--;
    blk_wake(s, &s->keeper);
    blk_unlock(s);
    return NULL;
}

/* ---- Starting and joining ------------------------------------------------------------------- */

static int start(pthread_t *thread, void *(*main)(void *), smuxb_session *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? SMUXB_ERR_THREAD : 0;
}

static int start_all(smuxb_session *s) {
    static void *(*const mains[])(void *) = {keeper_main, reader_main, writer_main};
    int count = s->threaded ? 3 : 1, error = 0;
    for (; s->threads_len < count && !error; s->threads_len += !error)
        error = start(&s->threads[s->threads_len], mains[s->threads_len], s);
    return error;
}

/* No thread gets past the mutex before all have been started. */
int blk_threads_start(smuxb_session *s) {
    blk_waiter_init(&s->keeper, NULL);
    blk_waiter_init(&s->reader, NULL);
    blk_waiter_init(&s->writer, NULL);
    s->carrier_users = s->threaded ? 2 : 0;
    blk_lock(s);
    int error = start_all(s);
    s->aborted = error != 0;
    blk_unlock(s);
    if (error)
        blk_threads_join(s);
    return error;
}

void blk_threads_join(smuxb_session *s) {
    int cancel = blk_forbid_cancel();
    while (s->threads_len)
        pthread_join(s->threads[--s->threads_len], NULL);
    blk_allow_cancel(cancel);
}
