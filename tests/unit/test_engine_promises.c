/* SPDX-License-Identifier: MIT
 *
 * Two engines that keep to each other's promises (PROTOCOL.md, 7): with any number of streams, and
 * readers that pause for any time, unread data stays within the budget and no stream is reset
 * because of it.
 */
#include "support_engine.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

/* ---- Two engines and the wire between them ----------------------------------------------------
 * */

struct half {
    uint64_t to_send, sent, got, unread; /* of the application at this end */
    bool fin_sent, eof;
};

struct side {
    smux_session *session;
    bytes wire; /* what it has sent and the other has not been fed */
    size_t wire_at;
    struct half *halves; /* by (id - 3) / 2 */
    smux_stream **streams;
    uint64_t most_unread, resets, refused;
    bool reads;
};

struct pair {
    struct side side[2]; /* client, server */
    smux_config config;
    uint64_t now_us, seed, opened, answer; /* answer: bytes that the server sends on each stream */
    size_t bite;                           /* of the wire, for one feed; 0: random */
    uint32_t max;
};

static uint8_t text[65536 + 251];

static uint64_t any(struct pair *p, uint64_t n) {
    p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
    return (p->seed >> 33) % n;
}

static void pair_begin(struct pair *p, uint32_t budget, uint32_t streams) {
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i % 251);
    smux_config_init(&p->config);
    p->config.max_receive_buffer = budget;
    p->config.max_window = (uint32_t)MIB(16) < budget ? (uint32_t)MIB(16) : budget;
    p->config.on_full = SMUX_FULL_RESET;
    p->config.accept_backlog = 65536;
    p->config.max_streams = 65536;
    p->config.version = 2;
    p->config.session_send_buffer = INT32_MAX;
    p->config.stream_send_buffer = 1u << 20;
    p->now_us = SECONDS(1000);
    p->bite = 65536;
    p->max = streams;
    for (int i = 0; i < 2; i++) {
        struct side *s = &p->side[i];
        s->halves = calloc(streams, sizeof *s->halves);
        s->streams = calloc(streams, sizeof *s->streams);
        assert_int_equal(smux_session_new(&s->session, i ? SMUX_SERVER : SMUX_CLIENT, &p->config,
                                          NULL, p->now_us),
                         0);
    }
}

static void pair_end(struct pair *p) {
    for (int i = 0; i < 2; i++) {
        smux_session_free(p->side[i].session);
        free(p->side[i].halves);
        free(p->side[i].streams);
        bytes_free(&p->side[i].wire);
    }
}

static size_t index_of(const smux_stream *st) {
    return (smux_stream_id(st) - 3) / 2;
}

/* Queues what the application still has to send. */
static void speak(struct side *s, smux_stream *st) {
    struct half *h = &s->halves[index_of(st)];
    while (h->sent < h->to_send) {
        uint64_t n = h->to_send - h->sent < 65536 ? h->to_send - h->sent : 65536;
        ssize_t taken = smux_stream_send(st, text + h->sent % 251, n);
        if (taken <= 0)
            return;
        h->sent += (uint64_t)taken;
    }
    if (!h->fin_sent && h->to_send)
        h->fin_sent = smux_stream_close_write(st) == 0;
}

static void listen_to(struct pair *p, struct side *s, const smux_event *e) {
    struct half *h = &s->halves[index_of(e->stream)];
    size_t at = h->got % 251;
    for (size_t off = 0; off < e->len; off += 65536)
        assert_memory_equal(e->data + off, text + (at + off) % 251,
                            e->len - off < 65536 ? e->len - off : 65536);
    h->got += e->len;
    h->unread += e->len;
    if (s->reads && (p->bite || any(p, 2))) {
        assert_int_equal(smux_stream_consume(e->stream, h->unread), 0);
        h->unread = 0;
    }
}

static void on_event(struct pair *p, struct side *s, const smux_event *e) {
    switch (e->type) {
    case SMUX_EVENT_ACCEPT:
        smux_stream_accept(e->stream);
        s->streams[index_of(e->stream)] = e->stream;
        s->halves[index_of(e->stream)].to_send = p->answer;
        speak(s, e->stream);
        break;
    case SMUX_EVENT_DATA:
        listen_to(p, s, e);
        break;
    case SMUX_EVENT_EOF:
        s->halves[index_of(e->stream)].eof = true;
        break;
    case SMUX_EVENT_WRITABLE:
        speak(s, e->stream);
        break;
    case SMUX_EVENT_RESET:
        s->resets++;
        break;
    case SMUX_EVENT_FAILED:
        fail_msg("session failed: %s", smux_session_error_text(s->session));
        break;
    default:
        break;
    }
}

static void look(struct pair *p, struct side *s) {
    smux_event e;
    smux_session_info info;
    while (smux_session_next_event(s->session, &e))
        on_event(p, s, &e);
    smux_session_get_info(s->session, &info);
    s->refused = info.refused;
    if (info.unread > s->most_unread)
        s->most_unread = info.unread;
    assert_true(info.unread <= p->config.max_receive_buffer);
}

/* One write of a side: all of it, or a part. */
static bool utter(struct pair *p, struct side *s) {
    struct iovec iov[64];
    int n = smux_session_output(s->session, iov, 64, p->now_us);
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    size_t take = p->bite || !total ? total : any(p, total + 1), left = take;
    for (int i = 0; i < n && left; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        bytes_add(&s->wire, iov[i].iov_base, part);
        left -= part;
    }
    if (n > 0)
        smux_session_output_done(s->session, take);
    look(p, s);
    return n > 0;
}

/* Carries part of what `from` has sent to the other side. */
static bool carry(struct pair *p, struct side *from, struct side *to) {
    size_t n = from->wire.len - from->wire_at;
    if (!n)
        return false;
    if (!p->bite)
        n = any(p, n) + 1;
    else if (n > p->bite)
        n = p->bite;
    assert_int_equal(smux_session_feed(to->session, from->wire.data + from->wire_at, n, p->now_us),
                     0);
    look(p, to);
    from->wire_at += n;
    if (from->wire_at == from->wire.len)
        from->wire.len = from->wire_at = 0;
    return true;
}

static bool pair_step(struct pair *p) {
    bool moved = false;
    p->now_us += 100;
    for (int i = 0; i < 2; i++) {
        moved |= utter(p, &p->side[i]);
        moved |= carry(p, &p->side[i], &p->side[!i]);
    }
    return moved;
}

static void pair_rest(struct pair *p) {
    while (pair_step(p))
        continue;
}

/* The client opens a stream, on which both sides have so much to send. */
static int pair_open(struct pair *p, uint64_t upload) {
    smux_stream *st;
    int error = smux_stream_open(p->side[0].session, &st);
    if (error)
        return error;
    p->side[0].streams[p->opened] = st;
    p->side[0].halves[p->opened++].to_send = upload;
    speak(&p->side[0], st);
    return 0;
}

/* The application at that side takes what it has not read of stream number `k`. */
static void read_one(struct side *s, uint64_t k) {
    if (!s->streams[k] || !s->halves[k].unread)
        return;
    smux_stream_consume(s->streams[k], s->halves[k].unread);
    s->halves[k].unread = 0;
}

/* From now on both applications read, and what they have not read they read now. */
static void pair_read(struct pair *p) {
    for (int i = 0; i < 2; i++) {
        p->side[i].reads = true;
        for (uint64_t k = 0; k < p->opened; k++)
            read_one(&p->side[i], k);
    }
}

static void assert_complete(struct pair *p) {
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p->side[i].resets, 0);
        assert_int_equal(p->side[i].refused, 0);
        for (uint64_t k = 0; k < p->opened; k++) {
            assert_int_equal(p->side[!i].halves[k].got, p->side[i].halves[k].to_send);
            assert_true(p->side[!i].halves[k].eof || !p->side[i].halves[k].to_send);
        }
    }
}

static uint64_t send_window(struct pair *p, int side, uint64_t k) {
    smux_stream_info info;
    smux_stream_get_info(p->side[side].streams[k], &info);
    return (uint64_t)info.send_window;
}

/* ---- Nobody is reset --------------------------------------------------------------------------
 * */

/* All streams are opened before anything from the other side has arrived. */
static void many_paused_readers_lose_nothing(uint32_t streams, uint64_t upload, uint64_t answer) {
    struct pair p;
    pair_begin(&p, MIB(64), streams);
    p.answer = answer;
    for (uint32_t i = 0; i < streams; i++)
        assert_int_equal(pair_open(&p, upload), 0);
    pair_rest(&p);
    assert_true(p.side[upload > 0].most_unread > MIB(4)); /* the readers do pause */
    pair_read(&p);
    pair_rest(&p);
    assert_complete(&p);
    pair_end(&p);
}

static void readers_that_pause_lose_no_answers(void **state) {
    (void)state;
    many_paused_readers_lose_nothing(1500, 0, KIB(300));
}

static void readers_that_pause_lose_no_uploads(void **state) {
    (void)state;
    many_paused_readers_lose_nothing(1500, KIB(300), 0);
}

static void sixty_thousand_paused_readers_lose_nothing(void **state) {
    (void)state;
    many_paused_readers_lose_nothing(60000, 700, KIB(2));
}

/* Streams come and go, readers pause and read, on both sides and in any order. */
static void whatever_is_opened_read_and_closed_no_stream_is_reset(void **state) {
    (void)state;
    enum { STREAMS = 3000, STEPS = 6000 };
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct pair p;
        pair_begin(&p, MIB(seed % 3 ? 16 : 40), STREAMS);
        p.seed = seed;
        p.bite = seed % 2 ? 0 : 32768;
        p.answer = KIB(any(&p, 60));
        for (int step = 0; step < STEPS; step++) {
            if (any(&p, 4) == 0)
                for (uint64_t n = any(&p, 40); n && p.opened < STREAMS; n--)
                    assert_int_equal(pair_open(&p, KIB(any(&p, 100))), 0);
            for (int i = 0; i < 2 && p.opened; i++) {
                struct side *s = &p.side[i];
                uint64_t k = any(&p, p.opened);
                s->reads = any(&p, 8) == 0;
                read_one(s, k);
            }
            pair_step(&p);
        }
        p.bite = 65536;
        pair_read(&p);
        pair_rest(&p);
        assert_complete(&p);
        pair_end(&p);
    }
}

/* ---- No stream gets a small window without need
 * ------------------------------------------------- */

/* One after the other, so that each is established before the next. */
static void open_idle(struct pair *p, int count) {
    for (int i = 0; i < count; i++) {
        assert_int_equal(pair_open(p, 0), 0);
        pair_rest(p);
    }
}

static void a_hundred_idle_streams_keep_their_full_windows(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, MIB(64), 64);
    open_idle(&p, 64);
    for (uint64_t k = 0; k < 64; k++) {
        assert_int_equal(send_window(&p, 0, k), 262144);
        assert_int_equal(send_window(&p, 1, k), 262144);
    }
    pair_end(&p);
}

/* Thousands that are idle give their windows back, and one that is busy grows. */
static void idle_streams_make_room_for_a_busy_one(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, MIB(64), 5001);
    open_idle(&p, 5000);
    p.side[0].reads = p.side[1].reads = true;
    p.now_us += SECONDS(3);
    p.answer = MIB(60);
    assert_int_equal(pair_open(&p, 0), 0);
    uint64_t most = 0;
    while (pair_step(&p)) {
        smux_stream_info info;
        smux_stream_get_info(p.side[0].streams[5000], &info);
        most = info.recv_window > most ? info.recv_window : most;
    }
    assert_complete(&p);
    assert_true(most >= MIB(1));
    assert_true(send_window(&p, 1, 0) >= 512);
    pair_end(&p);
}

/* ---- Those who do not know, and those who lie --------------------------------------------------
 * */

#define FIN_FULL 0xFFFFFF02u

static void promising(engine *e, enum smux_role role) {
    engine_prepare(e, role, 2);
    e->config.extensions = true;
    e->config.keepalive_disabled = true;
    e->config.on_full = SMUX_FULL_RESET;
    e->config.max_receive_buffer = (uint32_t)MIB(64);
    e->config.accept_backlog = 65536;
    engine_start(e);
}

/* Each with more to send than a small window allows. */
static void open_forty(engine *e) {
    smux_stream *st;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(smux_stream_open(e->session, &st), 0);
        send_pattern(st, 0, 2000);
    }
}

static void a_plain_peer_gets_the_plain_windows(void **state) {
    (void)state;
    engine e;
    promising(&e, SMUX_CLIENT);
    open_forty(&e);
    expect_frame(&e, CMD_FIN, FIN_HELLO);
    expect_frame(&e, CMD_FIN, FIN_FULL);
    drain(&e);
    e.out.len = 0;
    assert_int_equal(info_of(&e).queued, 24 * (2000 - 512)); /* 16 were sent whole */
    say_nop(&e, 0);                                          /* no hello: a plain peer */
    hear(&e);
    drain(&e);
    e.out.len = 0;
    assert_int_equal(info_of(&e).queued, 0);
    engine_end_anyhow(&e);
}

static void a_silent_peer_is_taken_for_a_plain_one_after_a_second(void **state) {
    (void)state;
    engine e;
    promising(&e, SMUX_CLIENT);
    open_forty(&e);
    drain(&e);
    e.out.len = 0;
    assert_true(smux_session_deadline(e.session) <= e.now_us + SECONDS(1));
    pass_time(&e, SECONDS(1));
    drain(&e);
    assert_int_equal(info_of(&e).queued, 0);
    engine_end_anyhow(&e);
}

/* A stream that it opens without credit is refused when there is no room for it. */
static void a_peer_that_opens_more_than_it_may_is_refused(void **state) {
    (void)state;
    engine e;
    promising(&e, SMUX_SERVER);
    say_fin(&e, FIN_HELLO);
    say_fin(&e, FIN_FULL);
    for (uint32_t i = 0; i < 1000; i++)
        say_syn(&e, 3 + 2 * i);
    hear(&e);
    drain(&e);
    uint64_t refused = info_of(&e).refused;
    assert_true(refused > 700 && refused < 1000);
    engine_end_anyhow(&e);
}

/* A stream that is announced as small, but is not. */
static void more_than_a_small_window_is_a_violation(void **state) {
    (void)state;
    engine e;
    promising(&e, SMUX_SERVER);
    say_fin(&e, FIN_HELLO);
    say_fin(&e, FIN_FULL);
    say_fin(&e, 3);
    say_syn(&e, 3);
    hear(&e);
    collect(&e);
    say_pattern(&e, 3, 0, 513);
    hear(&e);
    expect_event(&e, SMUX_EVENT_HELLO);
    expect_accept(&e, 3);
    seen *reset = expect_event(&e, SMUX_EVENT_RESET);
    assert_int_equal(reset->event.error, SMUX_ERR_WINDOW);
    engine_end_anyhow(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_that_pause_lose_no_answers),
        cmocka_unit_test(readers_that_pause_lose_no_uploads),
        cmocka_unit_test(sixty_thousand_paused_readers_lose_nothing),
        cmocka_unit_test(whatever_is_opened_read_and_closed_no_stream_is_reset),
        cmocka_unit_test(a_hundred_idle_streams_keep_their_full_windows),
        cmocka_unit_test(idle_streams_make_room_for_a_busy_one),
        cmocka_unit_test(a_plain_peer_gets_the_plain_windows),
        cmocka_unit_test(a_silent_peer_is_taken_for_a_plain_one_after_a_second),
        cmocka_unit_test(a_peer_that_opens_more_than_it_may_is_refused),
        cmocka_unit_test(more_than_a_small_window_is_a_violation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
