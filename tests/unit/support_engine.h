/* SPDX-License-Identifier: MIT
 *
 * One engine under test, whose peer is played by the test.
 *
 *     engine e;
 *     engine_begin(&e, SMUX_SERVER, 1);
 *     say_syn(&e, 3);
 *     say_psh(&e, 3, "hello");
 *     hear(&e);                          // the engine is fed what was said
 *     smux_stream *s = expect_accept(&e, 3);
 *     expect_data(&e, s, "hello");
 *     smux_stream_close(s);
 *     expect_frame(&e, CMD_FIN, 3);      // what the engine sends
 *     engine_end(&e);                    // nothing unexpected left, nothing leaked
 */
#ifndef TEST_SUPPORT_ENGINE_H
#define TEST_SUPPORT_ENGINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support_alloc.h"
#include "support_frame.h"

typedef struct seen {
    smux_event event; /* event.data is NULL: the bytes are in `data` */
    bytes data;
    uint32_t sid;
} seen;

typedef struct engine {
    smux_session *session;
    enum smux_role role;
    smux_config config;
    test_alloc alloc;
    smux_allocator allocator;
    uint64_t now_us;
    int version;    /* of the frames said to it */
    bytes said;     /* not fed yet */
    bytes out;      /* taken from smux_session_output, not looked at yet */
    uint8_t *guard; /* input lies flush against a page that cannot be read */
    size_t guard_len;
    seen *events;
    size_t event_count, event_next, event_cap;
    size_t output_max; /* bytes taken per smux_session_output_done by drain; 0: all */
} engine;

/* ---- Life ----------------------------------------------------------------------------------- */

/* Prepares everything except the session, so that e->config can be changed before engine_start.
 * Extensions are off unless a test turns them on, so that the output is the plain protocol. */
static inline void engine_prepare(engine *e, enum smux_role role, int version) {
    memset(e, 0, sizeof(*e));
    smux_config_init(&e->config);
    e->config.version = version;
    e->config.extensions = false;
    e->role = role;
    e->version = version ? version : 1;
    e->now_us = SECONDS(1000);
    e->allocator = test_allocator(&e->alloc);
}

static inline void engine_start(engine *e) {
    assert_int_equal(smux_session_new(&e->session, e->role, &e->config, &e->allocator, e->now_us),
                     0);
    assert_non_null(e->session);
}

static inline void engine_begin(engine *e, enum smux_role role, int version) {
    engine_prepare(e, role, version);
    engine_start(e);
}

static inline void engine_drop_events(engine *e) {
    for (size_t i = 0; i < e->event_count; i++)
        bytes_free(&e->events[i].data);
    e->event_count = e->event_next = 0;
}

/* Frees everything, even if events or output are left, and checks that the engine leaked
 * nothing. */
static inline void engine_end_anyhow(engine *e) {
    smux_session_free(e->session);
    assert_int_equal(e->alloc.live_blocks, 0);
    assert_int_equal(e->alloc.live_bytes, 0);
    engine_drop_events(e);
    free(e->events);
    bytes_free(&e->said);
    bytes_free(&e->out);
    if (e->guard)
        munmap(e->guard, e->guard_len);
    memset(e, 0, sizeof(*e));
}

/* ---- Events --------------------------------------------------------------------------------- */

static inline seen *engine_record(engine *e, const smux_event *event) {
    if (e->event_count == e->event_cap) {
        e->event_cap = 2 * e->event_cap + 16;
        e->events = realloc(e->events, e->event_cap * sizeof(*e->events));
        assert_non_null(e->events);
    }
    seen *s = &e->events[e->event_count++];
    *s = (seen){.event = *event, .sid = event->stream ? smux_stream_id(event->stream) : 0};
    if (event->type == SMUX_EVENT_DATA)
        bytes_add(&s->data, event->data, event->len);
    s->event.data = NULL;
    return s;
}

/* Moves all events of the engine to the record. */
static inline void collect(engine *e) {
    smux_event event;
    while (smux_session_next_event(e->session, &event))
        engine_record(e, &event);
}

static inline seen *peek_event(engine *e) {
    collect(e);
    return e->event_next < e->event_count ? &e->events[e->event_next] : NULL;
}

static inline seen *take_event(engine *e, smux_event_type type) {
    seen *s = peek_event(e);
    if (!s)
        fail_msg("event %d expected, there is none (session error: %s)", type,
                 smux_session_error_text(e->session));
    if (s->event.type != type)
        fail_msg("event %d expected, got %d (stream %u, error %s)", type, s->event.type, s->sid,
                 smux_error_name(s->event.error));
    e->event_next++;
    return s;
}

#define expect_event(e, type) take_event(e, type)

static inline void expect_no_event(engine *e) {
    seen *s = peek_event(e);
    if (s)
        fail_msg("no event expected, got %d (stream %u, error %s)", s->event.type, s->sid,
                 smux_error_name(s->event.error));
}

static inline smux_stream *expect_accept(engine *e, uint32_t sid) {
    seen *s = expect_event(e, SMUX_EVENT_ACCEPT);
    assert_int_equal(s->sid, sid);
    smux_stream_accept(s->event.stream);
    return s->event.stream;
}

static inline void expect_stream_event(engine *e, smux_event_type type, smux_stream *stream,
                                       int error) {
    seen *s = expect_event(e, type);
    assert_ptr_equal(s->event.stream, stream);
    assert_string_equal(smux_error_name(s->event.error), smux_error_name(error));
}

#define expect_eof(e, stream)         expect_stream_event(e, SMUX_EVENT_EOF, stream, 0)
#define expect_reset(e, stream, code) expect_stream_event(e, SMUX_EVENT_RESET, stream, code)
#define expect_writable(e, stream)    expect_stream_event(e, SMUX_EVENT_WRITABLE, stream, 0)

/* The session has failed with this error and a detailed text. */
static inline void expect_failed(engine *e, int error) {
    seen *s = expect_event(e, SMUX_EVENT_FAILED);
    assert_null(s->event.stream);
    assert_string_equal(smux_error_name(s->event.error), smux_error_name(error));
    assert_string_equal(smux_error_name(smux_session_error(e->session)), smux_error_name(error));
    assert_non_null(smux_session_error_text(e->session));
    assert_true(strlen(smux_session_error_text(e->session)) > 0);
    assert_false(smux_session_want_read(e->session));
    assert_false(smux_session_want_write(e->session));
    expect_no_event(e);
}

/* The next events are DATA of this stream, together exactly these bytes. */
static inline void expect_bytes(engine *e, smux_stream *stream, const void *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        seen *s = expect_event(e, SMUX_EVENT_DATA);
        assert_ptr_equal(s->event.stream, stream);
        assert_true(s->data.len > 0);
        assert_true(s->data.len <= len - done);
        assert_memory_equal(s->data.data, (const uint8_t *)data + done, s->data.len);
        done += s->data.len;
    }
}

static inline void expect_data(engine *e, smux_stream *stream, const char *text) {
    expect_bytes(e, stream, text, strlen(text));
}

/* Data as put_pattern makes it. */
static inline void expect_pattern(engine *e, smux_stream *stream, uint64_t offset, size_t len) {
    uint8_t *want = malloc(len + 1);
    pattern_fill(want, len, smux_stream_id(stream), 0, offset);
    expect_bytes(e, stream, want, len);
    free(want);
}

/* ---- Feeding -------------------------------------------------------------------------------- */

/* A copy of the input that ends where readable memory ends. */
static inline uint8_t *engine_guarded(engine *e, const void *data, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t need = (len + page - 1) / page * page + page;
    if (need > e->guard_len) {
        if (e->guard)
            munmap(e->guard, e->guard_len);
        e->guard_len = need;
        e->guard = mmap(NULL, need, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(e->guard, MAP_FAILED);
        assert_int_equal(mprotect(e->guard + need - page, page, PROT_NONE), 0);
    }
    uint8_t *at = e->guard + e->guard_len - page - len;
    if (len)
        memcpy(at, data, len);
    return at;
}

/* Feeds these bytes in one piece, records the events, and then overwrites the buffer. */
static inline int feed(engine *e, const void *data, size_t len) {
    uint8_t *at = engine_guarded(e, data, len);
    int error = smux_session_feed(e->session, at, len, e->now_us);
    if (error)
        return error;
    collect(e);
    memset(at, 0xDD, len);
    return 0;
}

/* Feeds everything that the peer has sent. */
static inline void hear(engine *e) {
    assert_int_equal(feed(e, e->said.data, e->said.len), 0);
    e->said.len = 0;
}

#define say_frame(e, cmd, sid, p, n)   put_frame(&(e)->said, (e)->version, cmd, sid, p, n)
#define say_syn(e, sid)                say_frame(e, CMD_SYN, sid, NULL, 0)
#define say_fin(e, sid)                say_frame(e, CMD_FIN, sid, NULL, 0)
#define say_nop(e, sid)                say_frame(e, CMD_NOP, sid, NULL, 0)
#define say_psh(e, sid, text)          put_psh(&(e)->said, (e)->version, sid, text)
#define say_upd(e, sid, consumed, win) put_upd(&(e)->said, (e)->version, sid, consumed, win)
#define say_pattern(e, sid, offset, len)                                                           \
    put_pattern(&(e)->said, (e)->version, sid, offset, len, 32768)

/* A stream opened by the peer and accepted. */
static inline smux_stream *engine_accepted(engine *e, uint32_t sid) {
    say_syn(e, sid);
    hear(e);
    return expect_accept(e, sid);
}

static inline smux_stream *engine_opened(engine *e) {
    smux_stream *stream = NULL;
    assert_int_equal(smux_stream_open(e->session, &stream), 0);
    assert_non_null(stream);
    return stream;
}

/* ---- Output --------------------------------------------------------------------------------- */

static inline size_t iov_total(const struct iovec *iov, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

/* One smux_session_output and smux_session_output_done of at most `max` bytes.  Returns how many
 * were taken. */
static inline size_t drain_some(engine *e, size_t max) {
    struct iovec iov[16];
    bool wanted = smux_session_want_write(e->session);
    int count = smux_session_output(e->session, iov, 16, e->now_us);
    assert_true(count >= 0 && count <= 16);
    assert_int_equal(wanted, count > 0);
    size_t total = iov_total(iov, count), taken = total < max ? total : max, left = taken;
    assert_true(count == 0 || total > 0);
    assert_true(total <= SMUX_OUTPUT_MAX + FRAME_HEADER + FRAME_PAYLOAD_MAX);
    for (int i = 0; i < count && left; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        bytes_add(&e->out, iov[i].iov_base, part);
        left -= part;
    }
    smux_session_output_done(e->session, taken);
    return taken;
}

static inline void drain(engine *e) {
    while (drain_some(e, e->output_max ? e->output_max : SIZE_MAX))
        ;
}

/* The next frame sent, valid until the next look at the output; cmd -1 if there is none. */
static inline frame next_frame(engine *e) {
    static bytes last;
    frame f = {.cmd = -1};
    drain(e);
    size_t size = frame_parse(e->out.data, e->out.len, &f);
    if (!size) {
        assert_int_equal(e->out.len, 0); /* never half a frame once drained */
        return (frame){.cmd = -1};
    }
    last.len = 0;
    bytes_add(&last, e->out.data, size);
    bytes_drop(&e->out, size);
    frame_parse(last.data, last.len, &f);
    return f;
}

static inline frame expect_frame(engine *e, int cmd, uint32_t sid) {
    frame f = next_frame(e);
    if (f.cmd == -1)
        fail_msg("frame %d of stream %#x expected, nothing was sent", cmd, sid);
    if (f.cmd != cmd || f.sid != sid)
        fail_msg("frame %d of stream %#x expected, got %d of %#x, length %u", cmd, sid, f.cmd,
                 f.sid, f.len);
    assert_int_equal(f.version, e->version);
    if (cmd != CMD_PSH)
        assert_int_equal(f.len, cmd == CMD_UPD ? 8 : 0);
    return f;
}

static inline void expect_psh(engine *e, uint32_t sid, const char *text) {
    frame f = expect_frame(e, CMD_PSH, sid);
    assert_int_equal(f.len, strlen(text));
    assert_memory_equal(f.payload, text, f.len);
}

static inline void expect_silence(engine *e) {
    frame f = next_frame(e);
    if (f.cmd != -1)
        fail_msg("no output expected, got frame %d of stream %#x, length %u", f.cmd, f.sid, f.len);
    assert_false(smux_session_want_write(e->session));
}

/* ---- An engine that knows the extensions ----------------------------------------------------- */

static inline void engine_extended(engine *e, enum smux_role role, int version) {
    engine_prepare(e, role, version);
    e->config.extensions = true;
    engine_start(e);
}

/* Hellos exchanged; the ping that follows is answered, so that the RTT is known. */
static inline void engine_greeted(engine *e, enum smux_role role, int version) {
    engine_extended(e, role, version);
    if (role == SMUX_CLIENT)
        expect_frame(e, CMD_FIN, FIN_HELLO);
    say_fin(e, FIN_HELLO);
    hear(e);
    expect_event(e, SMUX_EVENT_HELLO);
    if (role == SMUX_SERVER)
        expect_frame(e, CMD_FIN, FIN_HELLO);
    frame ping = next_frame(e);
    assert_int_equal(ping.cmd, CMD_NOP);
    assert_in_range(ping.sid, NOP_PING, NOP_PING + 15);
    say_nop(e, ping.sid - NOP_PING + NOP_PONG);
    hear(e);
    expect_silence(e);
}

/* ---- The end -------------------------------------------------------------------------------- */

static inline void engine_end(engine *e) {
    expect_no_event(e);
    if (!smux_session_error(e->session))
        expect_silence(e);
    engine_end_anyhow(e);
}

/* ---- Looking inside ------------------------------------------------------------------------- */

static inline smux_session_info info_of(const engine *e) {
    smux_session_info info;
    memset(&info, 0xEE, sizeof(info));
    smux_session_get_info(e->session, &info);
    return info;
}

static inline smux_stream_info stream_info(const smux_stream *stream) {
    smux_stream_info info;
    memset(&info, 0xEE, sizeof(info));
    smux_stream_get_info(stream, &info);
    return info;
}

static inline ssize_t send_text(smux_stream *stream, const char *text) {
    return smux_stream_send(stream, text, strlen(text));
}

/* Sends the stream's pattern and returns the result of smux_stream_send. */
static inline ssize_t send_pattern(smux_stream *stream, uint64_t offset, size_t len) {
    uint8_t *data = malloc(len + 1);
    pattern_fill(data, len, smux_stream_id(stream), 1, offset);
    ssize_t sent = smux_stream_send(stream, data, len);
    free(data);
    return sent;
}

/* Advances the time to `now_us`, with a tick at every deadline in between. */
static inline void pass_time_until(engine *e, uint64_t now_us) {
    for (int guard = 0;; guard++) {
        uint64_t next = smux_session_deadline(e->session);
        if (next > now_us)
            break;
        assert_true(guard < 100000); /* a deadline that ticking does not move would spin */
        if (next > e->now_us)
            e->now_us = next;
        smux_session_tick(e->session, e->now_us);
        collect(e);
    }
    e->now_us = now_us;
    smux_session_tick(e->session, now_us);
}

static inline void pass_time(engine *e, uint64_t us) {
    pass_time_until(e, e->now_us + us);
}

#endif
