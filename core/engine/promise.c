/* SPDX-License-Identifier: MIT
 * Keeps what all streams together promise the peer within the budget (PROTOCOL.md, 7).
 *
 * Each stream holds the bytes it may make us store: those that lie unread and those that its window
 * still lets in, but never less than a small window, so that reading can always continue.  Besides
 * that, a full first window is held for each stream that the peer has a credit for.  A quarter of
 * the budget is left for the small windows of streams that may still come.  An eighth of the rest
 * is for the first windows of new streams, and no window may grow into it.  When it is touched, the
 * largest windows are lowered to an equal share, longest inactive streams first.  A lowered window
 * counts as lower only after the peer has answered that it knows.
 */
#include "core/engine/engine.h"

/* With less, the credits given at the start of a session would be half of it. */
#define BUDGET_MIN (4u * WIRE_CREDITS * WIRE_INITIAL_WINDOW)

/* How many windows each new stream lowers: enough that all that must shrink soon have. */
#define SHRINK_MAX 64

/* A stream whose window has not been tuned for this long counts as inactive. */
#define STILL_US 500000u

static uint32_t budget(const smux_session *s) {
    uint32_t most = s->config.max_promised, all = s->config.max_receive_buffer;
    return most && most < all ? most : all;
}

void promise_init(smux_session *s) {
    const smux_config *c = &s->config;
    s->offers = c->extensions && c->auto_window && c->on_full == SMUX_FULL_RESET &&
                budget(s) >= BUDGET_MIN && c->version != 1;
    s->peer_first = WIRE_INITIAL_WINDOW;
    s->credits = s->credits_out = WIRE_CREDITS;
    s->held = (uint64_t)WIRE_CREDITS * WIRE_INITIAL_WINDOW;
    if (s->offers && s->role == SMUX_CLIENT)
        s->owes |= OWE_WINDOWS;
}

/* The budget minus the small windows of streams that may come. */
static uint64_t usable(const smux_session *s) {
    uint64_t all = budget(s);
    uint64_t to_come = s->table.used < s->config.max_streams
                           ? (uint64_t)(s->config.max_streams - s->table.used) * WIRE_SMALL_WINDOW
                           : 0;
    return all - (to_come < all / 4 ? to_come : all / 4);
}

uint64_t promise_left(const smux_session *s) {
    uint64_t all = usable(s);
    return s->held < all ? all - s->held : 0;
}

uint32_t promise_usual(const smux_session *s) {
    uint64_t part = promise_left(s) / 8;
    return part < WIRE_SMALL_WINDOW ? WIRE_SMALL_WINDOW : min_u32(WIRE_INITIAL_WINDOW, part);
}

/* The part of the budget that windows may not grow into. */
static uint64_t kept_for_new(const smux_session *s) {
    return usable(s) / 8;
}

/* An equal share for each stream of `part` quarters of what streams may have. */
static uint32_t share(const smux_session *s, unsigned part) {
    uint64_t all = usable(s) - (uint64_t)s->credits_out * WIRE_INITIAL_WINDOW;
    uint64_t each = all / 4 * part / (s->table.used ? s->table.used : 1);
    return each > WIRE_SMALL_WINDOW ? min_u32(INT32_MAX, each) : WIRE_SMALL_WINDOW;
}

uint32_t promise_fair(const smux_stream *st) {
    const smux_session *s = st->session;
    uint64_t left = promise_left(s);
    uint32_t fair = share(s, 3);
    if (st->window > fair)
        return left < kept_for_new(s) ? fair : st->window;
    fair = fair < WIRE_INITIAL_WINDOW ? fair : WIRE_INITIAL_WINDOW;
    fair = min_u32(fair, promise_held(st) + left / 2);
    return fair > st->window ? fair : st->window;
}

uint64_t promise_growth(const smux_stream *st) {
    uint64_t left = promise_left(st->session), kept = kept_for_new(st->session);
    return promise_held(st) + (left > kept ? left - kept : 0);
}

static bool fits(const smux_session *s, uint32_t first) {
    return s->held + first <= budget(s);
}

/* Streams whose SYN is still waiting are opened small too, because the peer is told before it. */
static void tighten(smux_session *s) {
    list_for_each(link, &s->control) {
        smux_stream *st = stream_of(link, control);
        if (!(st->flags & F_OWE_SYN) || st->limit <= WIRE_SMALL_WINDOW)
            continue;
        uint64_t before = promise_held(st);
        st->limit = WIRE_SMALL_WINDOW;
        promise_note(st, before);
    }
}

uint32_t promise_open(smux_session *s) {
    if (!promise_bounds(s))
        return WIRE_INITIAL_WINDOW;
    uint64_t left = promise_left(s), kept = kept_for_new(s);
    bool tight = s->tight ? left < 4 * kept : left < kept;
    /* A SYN that waits to be sent must not promise a larger window than was held for it. */
    if (tight != s->tight && (tight || (list_is_empty(&s->control) && !s->outstanding))) {
        s->tight = tight;
        s->owes |= OWE_WINDOWS;
        if (tight)
            tighten(s);
    }
    uint32_t first = s->tight ? WIRE_SMALL_WINDOW : WIRE_INITIAL_WINDOW;
    return fits(s, first) ? first : 0;
}

uint32_t promise_accept(smux_session *s, uint32_t id) {
    if (!promise_bounds(s))
        return WIRE_INITIAL_WINDOW;
    uint32_t first = s->small_id == id ? WIRE_SMALL_WINDOW : WIRE_INITIAL_WINDOW;
    if (first == WIRE_INITIAL_WINDOW && s->credits_out) {
        s->credits_out--;
        s->held -= first;
    }
    return fits(s, first) ? first : 0;
}

/* Lowers one window to `target`; this takes effect when the peer has answered. */
static void shrink(smux_stream *st, uint32_t target) {
    smux_session *s = st->session;
    window_set(st, target);
    if (promise_held(st) <= target || st->in != IN_OPEN || st->flags & F_OWE_SYN)
        return;
    list_remove(&st->hold);
    list_append(&s->shrunk, &st->hold);
    st->flags |= F_OWE_UPDATE;
    s->owes |= OWE_SYNC;
    send_schedule(st);
}

/* Lowers the largest windows above `target` whose streams have been inactive for this long. */
static int shrink_still(smux_session *s, uint32_t target, uint32_t still_us) {
    int shrunk = 0;
    for (int level = 31; level >= 0; level--) {
        while (!list_is_empty(&s->hold[level])) {
            smux_stream *st = stream_of(list_first(&s->hold[level]), hold);
            if ((uint32_t)s->now_us - st->update_us < still_us)
                break;
            if (st->window <= target || shrunk == SHRINK_MAX)
                return shrunk;
            shrink(st, target);
            shrunk++;
        }
    }
    return shrunk;
}

/* Lowers the largest windows to an equal share of half of the budget. Windows of active streams are
 * lowered only if `all` is set and new streams need room. */
void promise_shrink(smux_session *s, bool all) {
    uint32_t target = share(s, 2);
    if (s->terms == TERMS_KEPT && !s->sync_pending && !shrink_still(s, target, STILL_US) && all)
        shrink_still(s, target, 0);
}

void promise_balance(smux_session *s) {
    if (s->error || !s->offers || s->terms != TERMS_KEPT)
        return;
    uint64_t left = promise_left(s), kept = kept_for_new(s);
    uint64_t credits = (uint64_t)WIRE_CREDITS * WIRE_INITIAL_WINDOW;
    if (left < kept)
        promise_shrink(s, true);
    if (s->credits_out <= WIRE_CREDITS / 2 && left >= kept + credits && !(s->owes & OWE_CREDIT)) {
        s->credits_out += WIRE_CREDITS;
        s->held += credits;
        s->owes |= OWE_CREDIT;
    }
}

/* ---- Streams that we open ---- */

bool promise_plan_syn(smux_stream *st) {
    smux_session *s = st->session;
    if (!promise_bounds(s))
        return false;
    uint64_t before = promise_held(st);
    st->limit = s->told_tight ? WIRE_SMALL_WINDOW : WIRE_INITIAL_WINDOW;
    promise_note(st, before);
    if (st->window > st->limit && st->window > promise_usual(s))
        window_set(st, promise_usual(s) > st->limit ? promise_usual(s) : st->limit);
    if (st->window > st->limit)
        st->flags |= F_OWE_UPDATE; /* it goes out after the SYN */
    if (s->credits) {
        s->credits--;
        return false;
    }
    st->flags |= F_SMALL;
    st->peer_window = WIRE_SMALL_WINDOW;
    return true;
}

void promise_take_back_syn(smux_stream *st, bool small) {
    if (!small) {
        st->session->credits += promise_bounds(st->session);
        return;
    }
    st->flags &= (uint16_t)~F_SMALL;
    st->peer_window = WIRE_INITIAL_WINDOW;
}

/* ---- What the peer says ---- */

void promise_none(smux_session *s) {
    if (!s->offers || s->terms != TERMS_UNKNOWN)
        return;
    s->terms = TERMS_NONE;
    s->owes &= (uint16_t) ~(OWE_WINDOWS | OWE_CREDIT | OWE_SYNC);
    for (smux_stream *st = NULL; (st = table_next(s, st));) {
        if (st->limit < WIRE_INITIAL_WINDOW)
            st->limit = WIRE_INITIAL_WINDOW; /* which it has anyway */
        list_remove(&st->hold);
        if (st->flags & F_SMALL) {
            st->flags &= (uint16_t)~F_SMALL;
            st->peer_window = WIRE_INITIAL_WINDOW;
            send_schedule(st);
        }
    }
}

void promise_windows(smux_session *s, uint32_t id) {
    if (!s->offers || s->version != 2 || !s->peer_extensions || s->terms == TERMS_NONE)
        return;
    s->terms = TERMS_KEPT;
    s->peer_first = id == WIRE_FULL ? WIRE_INITIAL_WINDOW : WIRE_SMALL_WINDOW;
}

void promise_synced(smux_session *s) {
    if (!s->sync_pending)
        return;
    s->sync_pending = false;
    while (!list_is_empty(&s->shrunk)) {
        smux_stream *st = stream_of(list_first(&s->shrunk), hold);
        uint64_t before = promise_held(st);
        uint32_t limit = st->update_at + st->window;
        if ((int32_t)(limit - (uint32_t)st->bytes_in) < 0)
            limit = (uint32_t)st->bytes_in;
        if ((int32_t)(st->limit - limit) > 0)
            st->limit = limit;
        promise_note(st, before);
        window_set(st, st->window);
    }
    promise_balance(s);
}
