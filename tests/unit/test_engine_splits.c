/* SPDX-License-Identifier: MIT
 *
 * Every frame sequence has the same effect however the carrier splits it: whole, byte by byte, at
 * every position, and at every two positions; each piece ends at a page that cannot be read.
 */
#include "support_engine.h"

/* What happened, as text: events with the data of a stream joined, then what was sent. */
static void trace_event(bytes *trace, const smux_event *event, uint32_t *data_of) {
    char line[96];
    uint32_t sid = event->stream ? smux_stream_id(event->stream) : 0;
    if (event->type == SMUX_EVENT_DATA) {
        if (*data_of != sid) {
            snprintf(line, sizeof(line), "\ndata %u ", sid);
            bytes_add(trace, line, strlen(line));
        }
        *data_of = sid;
        bytes_add(trace, event->data, event->len);
        return;
    }
    *data_of = UINT32_MAX;
    snprintf(line, sizeof(line), "\nevent %d of %u, %s", event->type, sid,
             smux_error_name(event->error));
    bytes_add(trace, line, strlen(line));
}

static void trace_session(bytes *trace, engine *e) {
    char line[256];
    smux_session_info i = info_of(e);
    snprintf(line, sizeof(line),
             "\n%s, %u streams, %u waiting, frames %lu (%lu ignored), %lu bytes",
             smux_session_error_text(e->session), i.streams, i.backlog, (unsigned long)i.frames_in,
             (unsigned long)i.frames_ignored, (unsigned long)i.bytes_in);
    bytes_add(trace, line, strlen(line));
    drain(e);
    bytes_add(trace, e->out.data, e->out.len);
    e->out.len = 0;
}

typedef struct sequence {
    const char *name;
    enum smux_role role;
    int version; /* of the frames */
    bool automatic, extensions;
    void (*say)(engine *e);
} sequence;

/* Feeds the sequence in pieces that end at the given places (ascending, then the end). */
static void run_cut(const sequence *q, const size_t *cuts, size_t cut_count, bytes *trace) {
    engine e;
    engine_prepare(&e, q->role, q->automatic ? SMUX_VERSION_AUTO : q->version);
    e.version = q->version;
    e.config.extensions = q->extensions;
    e.config.accept_backlog = 4;
    engine_start(&e);
    if (q->role == SMUX_CLIENT)
        send_text(engine_opened(&e), "x");
    drain(&e);
    e.out.len = 0;
    q->say(&e);
    uint32_t data_of = UINT32_MAX;
    size_t at = 0;
    trace->len = 0;
    for (size_t i = 0; i <= cut_count; i++) {
        size_t end = i < cut_count ? cuts[i] : e.said.len;
        uint8_t *piece = engine_guarded(&e, e.said.data + at, end - at);
        if (smux_session_feed(e.session, piece, end - at, e.now_us))
            break; /* failed in an earlier piece, as it should */
        for (smux_event event; smux_session_next_event(e.session, &event);)
            trace_event(trace, &event, &data_of);
        memset(piece, 0xDD, end - at);
        at = end;
    }
    trace_session(trace, &e);
    engine_end_anyhow(&e);
}

/* ---- The sequences -------------------------------------------------------------------------- */

static void say_conversation(engine *e) {
    say_syn(e, 3);
    say_psh(e, 3, "hello");
    say_syn(e, 5);
    say_psh(e, 5, "there");
    say_psh(e, 3, ", world");
    say_fin(e, 3);
    say_nop(e, 0);
    say_fin(e, 5);
}

static void say_noise(engine *e) {
    say_nop(e, 77);
    say_fin(e, 99);
    say_psh(e, 99, "nobody");
    say_syn(e, 3);
    say_psh(e, 3, "");
    say_syn(e, 3);
    say_psh(e, 3, "x");
    say_fin(e, 3);
    say_fin(e, 3);
    say_psh(e, 3, "late");
}

static void say_windows(engine *e) {
    say_upd(e, 3, 1, 1 << 20);
    say_psh(e, 3, "reply");
    say_upd(e, 3, 0, 5);
    say_upd(e, 9, 0, 5);
    say_syn(e, 2);
    say_upd(e, 2, 0, 65536);
    say_psh(e, 2, "x");
    say_upd(e, 3, 1, 0);
}

static void say_extensions(engine *e) {
    say_fin(e, FIN_HELLO);
    say_syn(e, 3);
    say_psh(e, 3, "x");
    say_nop(e, NOP_PING + 7);
    say_nop(e, 3);
    say_fin(e, 3);
    say_syn(e, 5);
    say_nop(e, 5);
    say_psh(e, 5, "not a reset");
    say_fin(e, 5);
    say_nop(e, NOP_GOAWAY);
}

static void say_refused(engine *e) {
    for (uint32_t i = 0; i < 7; i++) {
        say_syn(e, 3 + 2 * i);
        say_psh(e, 3 + 2 * i, "abc");
    }
    say_fin(e, 3 + 2 * 5);
}

static void say_bad_version(engine *e) {
    say_syn(e, 3);
    say_psh(e, 3, "good");
    put_header(&e->said, 3, CMD_PSH, 4, 3);
    bytes_add(&e->said, "evil", 4);
}

static void say_bad_command(engine *e) {
    say_syn(e, 3);
    put_header(&e->said, e->version, 200, 4, 3);
    say_fin(e, 3);
}

static void say_bad_length(engine *e) {
    say_syn(e, 3);
    say_psh(e, 3, "good");
    put_header(&e->said, e->version, CMD_FIN, 1, 3);
    bytes_add(&e->said, "x", 1);
}

static void say_bad_id(engine *e) {
    say_syn(e, 3);
    say_syn(e, 4);
    say_fin(e, 3);
}

static void say_unfinished(engine *e) {
    say_syn(e, 3);
    put_header(&e->said, e->version, CMD_PSH, 100, 3);
    bytes_add(&e->said, "only this", 9);
}

static void say_consumed_lie(engine *e) {
    say_upd(e, 3, 1, 65536);
    say_upd(e, 3, 2, 65536);
    say_psh(e, 3, "x");
    say_syn(e, 2);
}

#define SERVER(v, name)                                                                            \
    { #name, SMUX_SERVER, v, false, false, say_##name }
static const sequence sequences[] = {
    SERVER(1, conversation),
    SERVER(2, conversation),
    {"adopted conversation", SMUX_SERVER, 2, true, false, say_conversation},
    SERVER(1, noise),
    SERVER(2, noise),
    {"windows", SMUX_CLIENT, 2, false, false, say_windows},
    {"consumed lie", SMUX_CLIENT, 2, false, false, say_consumed_lie},
    {"extensions", SMUX_SERVER, 1, false, true, say_extensions},
    {"extensions, adopted", SMUX_SERVER, 2, true, true, say_extensions},
    SERVER(1, extensions), /* and not known */
    SERVER(1, refused),
    {"refused, with extensions", SMUX_SERVER, 2, false, true, say_refused},
    SERVER(1, bad_version),
    SERVER(2, bad_command),
    SERVER(1, bad_length),
    SERVER(1, bad_id),
    SERVER(1, unfinished),
};
#define SEQUENCES (sizeof(sequences) / sizeof(sequences[0]))

static size_t length_of(const sequence *q) {
    engine e = {.version = q->version};
    q->say(&e);
    size_t len = e.said.len;
    bytes_free(&e.said);
    return len;
}

static void expect_same(const sequence *q, const bytes *want, const bytes *got, const char *how,
                        size_t a, size_t b) {
    if (want->len != got->len || memcmp(want->data, got->data, want->len) != 0)
        fail_msg("%s, %s %zu %zu:\n%.*s\ninstead of\n%.*s", q->name, how, a, b, (int)got->len,
                 got->data, (int)want->len, want->data);
}

static void byte_by_byte_has_the_same_effect_as_one_piece(void **state) {
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++) {
        bytes want = {0}, got = {0};
        size_t len = length_of(&sequences[i]), cuts[1024];
        assert_true(len < 1024);
        for (size_t k = 0; k + 1 < len; k++)
            cuts[k] = k + 1;
        run_cut(&sequences[i], NULL, 0, &want);
        run_cut(&sequences[i], cuts, len - 1, &got);
        expect_same(&sequences[i], &want, &got, "bytes of", len, 0);
        bytes_free(&want);
        bytes_free(&got);
    }
}

static void a_split_at_any_place_has_no_effect(void **state) {
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++) {
        bytes want = {0}, got = {0};
        size_t len = length_of(&sequences[i]);
        run_cut(&sequences[i], NULL, 0, &want);
        for (size_t cut = 0; cut <= len; cut++) {
            run_cut(&sequences[i], &cut, 1, &got);
            expect_same(&sequences[i], &want, &got, "cut at", cut, 0);
        }
        bytes_free(&want);
        bytes_free(&got);
    }
}

static void splits_at_any_two_places_have_no_effect(void **state) {
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++) {
        bytes want = {0}, got = {0};
        size_t len = length_of(&sequences[i]);
        run_cut(&sequences[i], NULL, 0, &want);
        for (size_t a = 0; a <= len; a++)
            for (size_t b = a; b <= len && b <= a + 20;
                 b++) { /* further apart, a header is whole */
                size_t cuts[] = {a, b};
                run_cut(&sequences[i], cuts, 2, &got);
                expect_same(&sequences[i], &want, &got, "cut at", a, b);
            }
        bytes_free(&want);
        bytes_free(&got);
    }
}

static void a_sequence_that_stops_anywhere_harms_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t len = 0; len <= length_of(&sequences[i]); len++) {
            engine e;
            engine_prepare(&e, sequences[i].role, sequences[i].version);
            e.config.extensions = sequences[i].extensions;
            engine_start(&e);
            sequences[i].say(&e);
            assert_int_equal(feed(&e, e.said.data, len), 0);
            drain(&e);
            engine_end_anyhow(&e);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_by_byte_has_the_same_effect_as_one_piece),
        cmocka_unit_test(a_split_at_any_place_has_no_effect),
        cmocka_unit_test(splits_at_any_two_places_have_no_effect),
        cmocka_unit_test(a_sequence_that_stops_anywhere_harms_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
