/* SPDX-License-Identifier: MIT
 * Sleeping, waking, and which thread does the I/O meanwhile.
 */
#include "core/blocking/blk.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* This many messages in a row for one thread make it the only one to read the carrier. The number
 * is low because a wrong guess costs at most a nap of the keeper, and a right one saves a hop for
 * each message. */
#define SOLO_MIN 4u
/* If others could have read this many times since that thread last did, the guess is wrong: it may
 * be gone. Readers with short deadlines leave the keeper no quiet moment to find that out. */
#define SOLO_DENIALS_MAX 8u

uint64_t smuxb_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t smuxb_after_ms(uint64_t milliseconds) {
    uint64_t now = smuxb_now_us();
    return milliseconds < (UINT64_MAX - now) / 1000 ? now + milliseconds * 1000 : UINT64_MAX;
}

/* ---- The mutex ------------------------------------------------------------------------------ */

static void futex_wake(uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_wait(uint32_t *word, uint64_t until_us) {
    struct timespec t = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
    bool for_ever = !until_us || until_us == UINT64_MAX;
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, 0, for_ever ? NULL : &t, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

void blk_lock(smuxb_session *s) {
    pthread_mutex_lock(&s->mutex);
}

/* Whether the thread no longer needs to look at anything of the session's. */
static bool complete(const smuxb_session *s, const struct blk_waiter *w) {
    return w->stream && w->done && s->lent != w && s->nudged != w && !w->recalls &&
           (w->writes ? w->bufs && !w->pending && !w->error : w->got > 0);
}

/* From the moment its fate is set, the waiter belongs to its thread again. */
static uint32_t *decide_fate(struct blk_waiter *w, bool grant) {
    uint32_t *futex = &w->futex, sleeping = BLK_SLEEPING;
    struct list_link home = w->home;
    smuxb_stream *st = w->stream;
    if (!__atomic_compare_exchange_n(futex, &sleeping, grant ? BLK_GRANTED : BLK_WOKEN, false,
                                     __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return NULL; /* it woke up by itself and wants the mutex */
    if (grant) {
        list_remove(&home);
        blk_stream_unref(st);
    }
    return futex;
}

/* True: nobody uses the session any more. */
static bool unlock(smuxb_session *s) {
    uint32_t *wakes[BLK_WAKES_MAX], len = 0;
    if (s->keeper_until_us && smux_session_deadline(s->engine) < s->keeper_until_us)
        blk_watch(s);
    for (uint32_t i = 0; i < s->wakes_len; i++) {
        wakes[len] = decide_fate(s->wakes[i], complete(s, s->wakes[i]));
        len += wakes[len] != NULL;
    }
    s->wakes_len = 0;
    bool last = !s->refs;
    pthread_mutex_unlock(&s->mutex);
    /* A waiter may have returned meanwhile, and its stack frame with it: waking an address that
     * nobody waits on does nothing. */
    for (uint32_t i = 0; i < len; i++)
        futex_wake(wakes[i]);
    return last;
}

void blk_unlock(smuxb_session *s) {
    (void)unlock(s);
}

void blk_session_destroy(smuxb_session *s) {
    int cancel = blk_forbid_cancel();
    list_for_each(link, &s->unaccepted) {
        smuxb_stream *st = container_of(link, smuxb_stream, link);
        blk_queue_drop(s, &st->queue);
        free(st);
    }
    list_for_each(link, &s->spare_streams)
        free(container_of(link, smuxb_stream, link));
    smux_session_free(s->engine);
    if (s->in_wake_fd >= 0)
        close(s->in_wake_fd);
    if (s->out_wake_fd >= 0)
        close(s->out_wake_fd);
    pthread_mutex_destroy(&s->mutex);
    blk_block_release(s->input);
    blk_block_release(s->next_input);
    free(s);
    blk_allow_cancel(cancel);
}

void blk_leave(smuxb_session *s) {
    if (unlock(s))
        blk_session_destroy(s);
}

/* ---- Waking --------------------------------------------------------------------------------- */

void blk_waiter_init(struct blk_waiter *w, const uint64_t *deadline_us) {
    memset(w, 0, offsetof(struct blk_waiter, pieces)); /* the many pieces need no clearing */
    w->deadline_us = deadline_us;
    w->wake_fd = -1;
    w->thread = (uintptr_t)pthread_self();
}

void blk_wake(smuxb_session *s, struct blk_waiter *w) {
    if (w->where == BLK_ASLEEP) {
        list_remove(&w->sleep);
        w->where = BLK_RUNNING;
        if (s->wakes_len < BLK_WAKES_MAX) {
            s->wakes[s->wakes_len++] = w;
        } else {
            uint32_t *futex = decide_fate(w, false); /* the caller may still need it */
            if (futex)
                futex_wake(futex);
        }
    } else if (w->where == BLK_IN_IO && w->wake_fd >= 0 && !w->kicked) {
        int cancel = blk_forbid_cancel();
        w->kicked = true;
        eventfd_write(w->wake_fd, 1);
        blk_allow_cancel(cancel);
    }
}

void blk_wake_all(smuxb_session *s, struct list *waiters) {
    list_for_each(link, waiters)
        blk_wake(s, container_of(link, struct blk_waiter, home));
}

static void note_served(smuxb_session *s, uintptr_t thread) {
    s->served++;
    if (thread != s->solo_thread) {
        s->solo_thread = thread;
        s->solo = 0;
    } else if (s->solo < SOLO_MIN) {
        s->solo++;
    }
}

static void set_done(smuxb_session *s, struct blk_waiter *w) {
    if (!w->done && w->waits)
        note_served(s, w->thread);
    w->done = true;
}

void blk_satisfy(smuxb_session *s, struct blk_waiter *w) {
    if (w->done)
        return;
    set_done(s, w);
    blk_wake(s, w);
}

/* Waking a thread for every frame of a bulk transfer costs more than receiving it. So a reader that
 * has got much, or is about to, and has room for much more is left asleep while there is more to
 * receive. That takes no longer than filling its buffer. */
#define HOLD_MIN 16384u

static bool gets_much(const smuxb_session *s, const struct blk_waiter *w) {
    smux_incoming in;
    if (w->got >= HOLD_MIN || !w->stream)
        return w->got >= HOLD_MIN;
    smux_session_get_incoming(s->engine, &in);
    return in.stream && in.stream == w->stream->engine && in.len >= HOLD_MIN;
}

bool blk_wants_more(const smuxb_session *s, const struct blk_waiter *w) {
    return s->more && gets_much(s, w) && w->room - w->got >= HOLD_MIN &&
           w->pieces_len + 1 < BLK_PIECES_MAX && !s->threaded && !s->error;
}

void blk_served(smuxb_session *s, struct blk_waiter *w) {
    set_done(s, w);
    if (w->where != BLK_ASLEEP || !blk_wants_more(s, w)) {
        blk_wake(s, w);
        return;
    }
    list_remove(&w->sleep);
    list_append(&s->held, &w->sleep);
}

/* Waking this many takes about as long as waiting a moment for input that makes it unnecessary. */
#define MANY_HELD 8

bool blk_many_held(const smuxb_session *s) {
    int n = 0;
    list_for_each(link, &s->held) {
        if (++n == MANY_HELD)
            return true;
    }
    return false;
}

void blk_release_held(smuxb_session *s) {
    while (!list_is_empty(&s->held))
        blk_wake(s, container_of(list_first(&s->held), struct blk_waiter, sleep));
}

void blk_satisfy_one(smuxb_session *s, struct list *waiters) {
    list_for_each(link, waiters) {
        struct blk_waiter *w = container_of(link, struct blk_waiter, home);
        if (!w->done) {
            blk_satisfy(s, w);
            break;
        }
    }
}

void blk_satisfy_all(smuxb_session *s, struct list *waiters) {
    list_for_each(link, waiters)
        blk_satisfy(s, container_of(link, struct blk_waiter, home));
}

/* If woken for nothing (a signal, a stale wake-up) the waiter withdraws; the caller looks, and
 * sleeps again. */
static uint32_t sleep_on(uint32_t *futex, uint64_t until_us) {
    uint32_t fate = __atomic_load_n(futex, __ATOMIC_ACQUIRE);
    if (fate == BLK_SLEEPING) {
        futex_wait(futex, until_us);
        __atomic_compare_exchange_n(futex, &fate, BLK_WITHDRAWN, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_ACQUIRE);
    }
    return fate;
}

/* The waiter must not return while another thread receives into its memory; that does not take
 * long. */
static void recall(smuxb_session *s, struct blk_waiter *w) {
    while (s->lent == w) {
        w->recalls = true;
        w->where = BLK_ASLEEP;
        __atomic_store_n(&w->futex, BLK_SLEEPING, __ATOMIC_RELAXED);
        blk_unlock(s);
        (void)sleep_on(&w->futex, 0);
        blk_lock(s);
        w->where = BLK_RUNNING;
        w->recalls = false;
    }
}

void blk_sleep(smuxb_session *s, struct blk_waiter *w, struct list *sleepers, uint64_t until_us) {
    w->where = BLK_ASLEEP;
    __atomic_store_n(&w->futex, BLK_SLEEPING, __ATOMIC_RELAXED);
    if (sleepers)
        list_append(sleepers, &w->sleep);
    blk_unlock(s);
    w->granted = sleep_on(&w->futex, until_us) == BLK_GRANTED;
    if (w->granted)
        return;
    blk_lock(s);
    list_remove(&w->sleep);
    w->where = BLK_RUNNING;
    recall(s, w);
}

/* ---- Roles ---------------------------------------------------------------------------------- */

bool blk_solo(const smuxb_session *s) {
    return s->solo >= SOLO_MIN;
}

void blk_watch(smuxb_session *s) {
    if (!s->keeper_until_us)
        return;
    s->keeper_until_us = 0;
    blk_wake(s, &s->keeper);
}

/* The thread that came last: what it needs is most likely still in the caches. */
static struct blk_waiter *last_sleeper(smuxb_session *s, bool writes) {
    struct list_link *last = list_last(&s->sleepers[writes]);
    return last ? container_of(last, struct blk_waiter, sleep) : NULL;
}

void blk_pass_on_in(smuxb_session *s) {
    uint64_t until_us = 0;
    if (s->in_owner || s->nudged || s->threaded)
        return;
    struct blk_waiter *w = last_sleeper(s, false);
    if (!w)
        w = last_sleeper(s, true);
    if (!w || !blk_may_read(s, &until_us)) {
        blk_watch(s);
        return;
    }
    s->nudged = w;
    blk_wake(s, w);
}

void blk_pass_on_out(smuxb_session *s) {
    if (s->threaded || s->flushing || s->broken)
        return;
    /* A full carrier is watched even with nothing to send, because data made later relies on that
     * (may_copy). */
    if (s->full ? s->out_owner != NULL : !smux_session_want_write(s->engine))
        return;
    struct blk_waiter *w = last_sleeper(s, true);
    s->keeper_until_us = w ? s->keeper_until_us : 0;
    blk_wake(s, w ? w : &s->keeper);
}

/* Whether this thread must read the carrier, now that nobody does. */
static bool is_reader(smuxb_session *s, const struct blk_waiter *w, bool nudged) {
    if (blk_solo(s) && w->thread != s->solo_thread && !nudged) {
        if (++s->solo_denials < SOLO_DENIALS_MAX)
            return false;
        s->solo = 0;
    }
    s->solo_denials = 0;
    return true;
}

static unsigned take_roles(smuxb_session *s, const struct blk_waiter *w) {
    uint64_t until_us = 0;
    unsigned roles = 0;
    bool nudged = s->nudged == w;
    if (nudged)
        s->nudged = NULL; /* it has run: others may be nudged, whether or not it takes the role */
    if (s->threaded || s->error)
        return 0;
    if (s->full && !s->out_owner && !s->flushing && !s->broken)
        roles |= BLK_OUT;
    if (!s->in_owner && is_reader(s, w, nudged) && blk_may_read(s, &until_us))
        roles |= BLK_IN;
    return roles;
}

void blk_left_in(smuxb_session *s, bool at_once) {
    if (s->in_owner)
        return;
    if (!s->threaded && !s->error) {
        s->in_terms++;
        if (blk_sleeping(s) && (!blk_solo(s) || at_once || blk_unfed(s)))
            blk_pass_on_in(s);
        else
            blk_watch(s);
    }
    if (!s->nudged)
        blk_release_held(s);
}

/* Called on the way out of blk_wait: somebody must do what the thread has been doing. */
static void leave_roles(smuxb_session *s, struct blk_waiter *w) {
    bool nudged = s->nudged == w;
    if (nudged) {
        /* Its time was up before it ran. The one thread that was expected to read does not, so
         * the next one that comes must: otherwise readers with short deadlines would all be too
         * late. */
        s->nudged = NULL;
        s->solo = 0;
    }
    /* Whoever makes something to send sends it, unless the carrier is full, or a writer was woken
     * to do it and has not. */
    if ((s->full || (w->writes && !w->done)) && !s->error)
        blk_pass_on_out(s);
    blk_left_in(s, nudged);
}

bool blk_wait(smuxb_session *s, struct blk_waiter *w) {
    bool in_time = true;
    w->waits = true;
    while ((!w->done || blk_wants_more(s, w)) && in_time) {
        if (blk_flush_due(s)) {
            blk_flush(s, w);
            if (w->done)
                break;
        }
        unsigned roles = take_roles(s, w);
        if (w->done && !(roles & BLK_IN))
            break;
        if (!(roles & BLK_IN) && !s->in_owner) { /* it may have been this thread's */
            blk_release_held(s);
            blk_watch(s);
        }
        if (roles) {
            blk_turn(s, w, roles, *w->deadline_us);
        } else {
            blk_sleep(s, w, &s->sleepers[w->writes], *w->deadline_us);
            if (w->granted)
                return true;
        }
        in_time = w->done || !*w->deadline_us || smuxb_now_us() < *w->deadline_us;
    }
    w->waits = false;
    leave_roles(s, w);
    return in_time;
}

bool blk_wait_among(smuxb_session *s, struct blk_waiter *w, struct list *waiters) {
    list_append(waiters, &w->home);
    bool in_time = blk_wait(s, w);
    list_remove(&w->home);
    return in_time;
}
