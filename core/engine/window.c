/* SPDX-License-Identifier: MIT
 * How much the peer may send: the session's budget, the windows of version 2, and their tuning.
 *
 * A window promises memory, and the budget counts it.  Windows start at what the protocol assumes.
 * They double while the window rather than the application limits the stream: as long as more than
 * a quarter of it is consumed per round trip, or the peer has hit the limit.  When half of the
 * budget lies unread they shrink again, to a share of what is left.
 *
 * Where nothing is promised a peer can fill the budget: in version 1 with one stream.  What happens
 * then under SMUX_FULL_RESET with full_patience_us:
 *
 *     free     unread < budget.  The session is read.
 *     full     unread >= budget.  It is not read.  The largest holder is watched from here on:
 *              full_us, full_id, full_consumed.
 *
 * Back in `free` the watch goes on.  When it ends, full_patience_us after it began: nothing, in
 * `free`.  In `full` the stream that was watched is reset if it has consumed next to nothing since,
 * and the largest holder is watched next.  So `full` lasts no longer than that time without a byte
 * that is consumed or a reset, both of which lead to `free`.
 */
#include "core/engine/engine.h"

#define WINDOW_MIN 4096u

/* What the holder of a full budget has to consume of it in full_patience_us, so that it does not
 * count as one that has stopped. */
#define FULL_PROGRESS_PART 1024u

/* While windows have taken more than half of what they may grow by together, those that were not
 * tuned for this long shrink. */
#define STILL_US 2000000u

/* A probe that took longer measures a pause of the peer, not the path. */
#define PROBE_MAX_US 2000000u

static bool under_pressure(const smux_session *s) {
    return s->unread > s->config.max_receive_buffer / 2;
}

static uint32_t initial_window(const smux_session *s) {
    if (!s->config.auto_window)
        return s->config.max_stream_buffer;
    return min_u32(s->config.max_receive_buffer, WIRE_INITIAL_WINDOW);
}

void smux_session_limit_windows(smux_session *s, uint32_t bytes) {
    s->window_limit = bytes > WINDOW_MIN ? bytes : WINDOW_MIN;
}

/* What a stream may be promised under pressure: all together get no more than is left. */
static uint32_t fair_share(const smux_session *s) {
    uint64_t left =
        s->unread < s->config.max_receive_buffer ? s->config.max_receive_buffer - s->unread : 0;
    uint64_t share = left / (s->table.used ? s->table.used : 1), most = initial_window(s);
    share = share > WINDOW_MIN ? share : WINDOW_MIN;
    return (uint32_t)(share < most ? share : most);
}

static uint32_t extra(uint32_t window) {
    return window > WIRE_INITIAL_WINDOW ? window - WIRE_INITIAL_WINDOW : 0;
}

/* What windows may grow by together. Where a full budget stops all streams, so little that unread
 * streams leave room for the others however far they have grown. Where it costs the largest holder
 * its stream, more than there is, because not all are ever unread at once. */
static uint64_t grants_max(const smux_session *s) {
    uint64_t all = s->config.max_receive_buffer;
    if (s->config.on_full == SMUX_FULL_RESET)
        return 8 * all;
    return all / 2 > WIRE_INITIAL_WINDOW ? all / 2 - WIRE_INITIAL_WINDOW : 0;
}

static bool keeps_sharers(const smux_session *s) {
    return s->config.on_full == SMUX_FULL_STALL;
}

/* Moves the stream to the end of those that share what windows may grow by, or removes it from
 * them. */
static void file_sharer(smux_stream *st, bool shares) {
    smux_session *s = st->session;
    if (!keeps_sharers(s))
        return;
    s->sharers += shares - list_is_linked(&st->hold);
    list_remove(&st->hold);
    if (shares)
        list_append(&s->hold[0], &st->hold);
}

static void set_window(smux_stream *st, uint32_t window) {
    smux_session *s = st->session;
    if (s->config.auto_window) {
        s->granted = s->granted - extra(st->window) + extra(window);
        file_sharer(st, extra(window));
    }
    st->window = window;
    if (promise_bounds(s)) {
        list_remove(&st->hold);
        if (window)
            list_append(&s->hold[31 - __builtin_clz(window)], &st->hold);
    }
}

void window_set(smux_stream *st, uint32_t window) {
    set_window(st, window);
}

/* The largest automatic window, set when a window is tuned: a stream that never needs more keeps
 * the window it started with. No stream gets more than its share of what all may grow by. */
static uint32_t largest_window(const smux_stream *st) {
    const smux_session *s = st->session;
    uint32_t most = min_u32(s->config.max_window, s->window_limit);
    if (!keeps_sharers(s))
        return most;
    uint64_t sharers = s->sharers + !list_is_linked(&st->hold);
    return min_u32(most, initial_window(s) + grants_max(s) / sharers);
}

/* Takes growth back from streams that have moved little since. */
static void shrink_still(smux_session *s) {
    for (int i = 0; i < 2 && keeps_sharers(s) && s->granted > grants_max(s) / 2; i++) {
        smux_stream *st = stream_of(list_first(&s->hold[0]), hold);
        if ((uint32_t)s->now_us - st->update_us < STILL_US)
            return;
        set_window(st, initial_window(s));
        if (st->in == IN_OPEN) {
            st->flags |= F_OWE_UPDATE;
            send_schedule(st);
        }
    }
}

static void grow(smux_stream *st, uint32_t most) {
    smux_session *s = st->session;
    uint32_t twice = st->window < most / 2 ? st->window * 2 : most;
    if (promise_bounds(s)) {
        if (promise_growth(st) < twice)
            promise_shrink(s, false); /* for the next time */
        if (min_u32(twice, promise_growth(st)) > st->window)
            set_window(st, min_u32(twice, promise_growth(st)));
        return;
    }
    uint64_t others = s->granted - extra(st->window), all = grants_max(s);
    uint32_t left = min_u32(UINT32_MAX, WIRE_INITIAL_WINDOW + (others < all ? all - others : 0));
    if (min_u32(twice, left) > st->window)
        set_window(st, min_u32(twice, left));
}

static void start_bounded(smux_stream *st, uint32_t first) {
    smux_session *s = st->session;
    st->limit = first;
    s->held += promise_held(st);
    uint32_t usual = promise_usual(s);
    set_window(st, usual > first ? usual : first);
    if (st->window > first)
        st->flags |= F_OWE_UPDATE;
}

void window_start(smux_stream *st, uint32_t first) {
    smux_session *s = st->session;
    st->update_us = (uint32_t)s->now_us;
    if (promise_bounds(s)) {
        start_bounded(st, first);
        return;
    }
    bool scarce = s->config.auto_window && under_pressure(s);
    set_window(st, scarce ? fair_share(s) : initial_window(s));
    st->limit = WIRE_INITIAL_WINDOW;
    if (s->version == 2 && (scarce || st->window > WIRE_INITIAL_WINDOW))
        st->flags |= F_OWE_UPDATE;
}

void window_end(smux_stream *st) {
    set_window(st, 0);
    list_remove(&st->hold);
}

/* Files the stream under the logarithm of what it holds. */
static void hold(smux_stream *st) {
    smux_session *s = st->session;
    if (s->config.on_full != SMUX_FULL_RESET || promise_bounds(s))
        return;
    list_remove(&st->hold);
    if (st->unread)
        list_append(&s->hold[31 - __builtin_clz(st->unread)], &st->hold);
}

bool window_admits(const smux_stream *st, uint32_t len) {
    return st->session->version != 2 || (int32_t)(st->limit - ((uint32_t)st->bytes_in + len)) >= 0;
}

static smux_stream *largest_holder(const smux_session *s) {
    for (int i = 31; i >= 0; i--)
        if (!list_is_empty(&s->hold[i]))
            return stream_of(list_first(&s->hold[i]), hold);
    return NULL;
}

static bool is_patient(const smux_session *s) {
    return s->config.full_patience_us && !promise_bounds(s);
}

static bool stalls(const smux_session *s) {
    return s->config.on_full == SMUX_FULL_STALL || is_patient(s);
}

static bool is_full(const smux_session *s) {
    return s->unread >= s->config.max_receive_buffer;
}

void window_make_room(smux_session *s, uint32_t len) {
    smux_stream *st;
    if (is_patient(s))
        return;
    while (s->unread + len > s->config.max_receive_buffer && (st = largest_holder(s)))
        stream_kill(st, SMUX_ERR_OVERRUN, true, true);
}

static uint32_t consumed_of(const smux_stream *st) {
    return (uint32_t)(st->bytes_in - st->unread);
}

static void watch_holder(smux_session *s) {
    const smux_stream *st = largest_holder(s);
    s->full_us = s->now_us ? s->now_us : 1;
    s->full_id = st ? st->id : 0;
    s->full_consumed = st ? consumed_of(st) : 0;
}

static void note_full(smux_session *s) {
    if (!s->full_us && s->config.on_full == SMUX_FULL_RESET && is_patient(s))
        watch_holder(s);
}

uint64_t window_deadline(const smux_session *s) {
    uint64_t patience_us = s->config.full_patience_us;
    if (!s->full_us || s->full_us > UINT64_MAX - patience_us)
        return SMUX_NEVER;
    return s->full_us + patience_us;
}

static bool has_stopped(const smux_session *s, const smux_stream *st) {
    uint32_t least = s->config.max_receive_buffer / FULL_PROGRESS_PART;
    return st && st->unread && consumed_of(st) - s->full_consumed < (least ? least : 1);
}

void window_judge(smux_session *s) {
    if (s->now_us < window_deadline(s))
        return;
    s->full_us = 0;
    if (!is_full(s) || promise_bounds(s))
        return;
    smux_stream *st = table_get(s, s->full_id);
    if (has_stopped(s, st))
        stream_kill(st, SMUX_ERR_OVERRUN, true, true);
    if (is_full(s))
        watch_holder(s);
}

/* A byte beyond the previous limit proves that the last UPD has arrived, one round trip ago, or
 * more if the application there was slow. Used where the peer does not answer pings. */
static void probe(smux_stream *st) {
    smux_session *s = st->session;
    if (!(st->flags & F_PROBE) || (int32_t)((uint32_t)st->bytes_in - st->probe_limit) <= 0)
        return;
    st->flags &= (uint16_t)~F_PROBE;
    uint32_t sample_us = (uint32_t)s->now_us - st->probe_us;
    if (s->peer_extensions || sample_us > PROBE_MAX_US)
        return;
    /* Takes the shortest, because longer ones include pauses of the peer, but rises slowly, because
     * paths change. */
    if (!s->rtt_us || sample_us < s->rtt_us)
        s->rtt_us = sample_us ? sample_us : 1;
    else
        s->rtt_us += (sample_us - s->rtt_us < s->rtt_us ? sample_us - s->rtt_us : s->rtt_us) / 16;
}

/* A peer stops exactly at an old limit only if it does not have a newer one yet. This needs no
 * round-trip time, so it also works when queues on the way make the real one longer. */
static void notice_dry(smux_stream *st, uint32_t len) {
    uint32_t limit = st->limit;
    if (st->flags & F_PROBE) {
        /* The peer has long known a newer limit: a frame ends here by chance. */
        if ((uint32_t)st->session->now_us - st->probe_us > PROBE_MAX_US)
            return;
        limit = st->probe_limit;
    }
    if ((uint32_t)st->bytes_in == limit && st->unread - len <= st->window / 16)
        st->flags |= F_DRY;
}

/* Under pressure, tells a stream that fills up to stop early. */
static void stop_early(smux_stream *st) {
    smux_session *s = st->session;
    if (s->version != 2 || !s->config.auto_window || promise_bounds(s) || !under_pressure(s))
        return;
    uint32_t share = fair_share(s);
    if (st->unread <= share || st->window <= 2 * share)
        return;
    set_window(st, share);
    st->flags |= F_OWE_UPDATE;
    send_schedule(st);
}

void window_delivered(smux_stream *st, uint32_t len) {
    st->bytes_in += len;
    st->unread += len;
    st->session->unread += len;
    notice_dry(st, len);
    probe(st);
    stop_early(st);
    hold(st);
    if (is_full(st->session))
        note_full(st->session);
}

bool smux_session_want_read(const smux_session *s) {
    if (s->error || s->paused)
        return false;
    return !is_full(s) || !stalls(s);
}

void window_release(smux_stream *st, uint32_t n) {
    smux_session *s = st->session;
    bool stopped = !smux_session_want_read(s);
    uint64_t before = promise_held(st);
    st->unread -= n;
    s->unread -= n;
    promise_note(st, before);
    hold(st);
    if (stopped && smux_session_want_read(s)) {
        s->last_received_us = s->now_us; /* the peer's silence starts now */
        s->suspect_us = 0;
    }
}

/* Whether the bytes since the last update were consumed at more than a quarter of the window per
 * round trip. */
static bool window_limits(const smux_stream *st, uint32_t since, uint32_t elapsed_us) {
    uint64_t rtt_us = st->session->rtt_us < 10000000 ? st->session->rtt_us : 10000000;
    return 4 * rtt_us * since > (uint64_t)st->window * elapsed_us;
}

static void tune_bounded(smux_stream *st, bool limits) {
    uint32_t most = largest_window(st), fair = min_u32(most, promise_fair(st));
    if (fair == st->window && fair < most && limits)
        grow(st, most);
    else
        set_window(st, fair); /* it counts as just tuned even if it stays the same */
    promise_balance(st->session);
}

/* The window for the next update. */
static void tune(smux_stream *st, uint32_t since) {
    smux_session *s = st->session;
    uint32_t elapsed = (uint32_t)s->now_us - st->update_us;
    bool dry = st->flags & F_DRY;
    st->flags &= (uint16_t)~F_DRY;
    st->update_us = (uint32_t)s->now_us;
    if (!s->config.auto_window)
        return;
    bool limits = dry || window_limits(st, since, elapsed);
    if (promise_bounds(s)) {
        tune_bounded(st, limits);
        return;
    }
    file_sharer(st, limits || extra(st->window)); /* the others then make room for it */
    shrink_still(s);
    uint32_t most = largest_window(st), least = min_u32(initial_window(s), most);
    if (under_pressure(s))
        set_window(st, fair_share(s));
    else if (st->window < least)
        set_window(st, least);
    else if (st->window > most)
        set_window(st, most);
    else if (st->window < most && limits)
        grow(st, most);
}

void window_consumed(smux_stream *st) {
    if (st->session->version != 2 || st->in != IN_OPEN || st->flags & F_OWE_UPDATE)
        return;
    uint32_t consumed = (uint32_t)(st->bytes_in - st->unread);
    uint32_t since = consumed - st->update_at, promised = st->limit - st->update_at;
    uint32_t step = (st->window < promised ? st->window : promised) / 2;
    if (st->window > WIRE_INITIAL_WINDOW)
        step /= 2; /* keep a long path from running dry between updates */
    bool first = st->update_at == 0 && st->window < WIRE_INITIAL_WINDOW && consumed;
    if (!first && since < (step ? step : 1))
        return;
    tune(st, since);
    st->flags |= F_OWE_UPDATE;
    send_schedule(st);
}

struct wire_update window_update(smux_stream *st) {
    uint32_t consumed = (uint32_t)(st->bytes_in - st->unread), before = st->limit;
    uint64_t held = promise_held(st);
    if (promise_bounds(st->session) && st->window > held + promise_left(st->session))
        set_window(st, (uint32_t)(held + promise_left(st->session)));
    if ((int32_t)(consumed + st->window - before) > 0) {
        st->limit = consumed + st->window;
        if (!(st->flags & F_PROBE)) {
            st->flags |= F_PROBE;
            st->probe_limit = before;
            st->probe_us = (uint32_t)st->session->now_us;
        }
    }
    st->update_at = consumed;
    promise_note(st, held);
    return (struct wire_update){consumed, st->window};
}

void window_rtt(smux_session *s, uint64_t sample_us) {
    if (!sample_us)
        sample_us = 1;
    s->rtt_us = s->rtt_us ? (7 * s->rtt_us + sample_us) / 8 : sample_us;
    if (!s->rtt_us)
        s->rtt_us = 1;
}

int smux_stream_consume(smux_stream *st, size_t n) {
    if (n > st->unread)
        /* What a stream held counts as consumed when it ends; repeating that is not an error. */
        return st->in == IN_DEAD ? 0 : SMUX_ERR_ARGUMENT;
    window_release(st, (uint32_t)n);
    window_consumed(st);
    return 0;
}
