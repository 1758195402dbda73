/* SPDX-License-Identifier: MIT
 *
 * Raw bytes into one engine.
 *
 * The first bytes choose the role, the configuration and the habits of the application; the rest is
 * what the peer sends, cut into pieces.  The application accepts, consumes, answers and closes as
 * the bytes say.  Checked: no memory error (sanitizers), no endless loop, no leak, consistent
 * counters, and that the engine sends only legal frames, whatever it receives.
 */
#include "fuzz_check.h"
#include "tests/unit/support_alloc.h"
#include "tests/unit/support_frame.h"

#define OPTIONS 8

typedef struct run {
    smux_session *session;
    smux_config config;
    enum smux_role role;
    test_alloc alloc;
    uint64_t now_us;
    bytes out;
    uint8_t habits; /* bits */
    uint32_t turn;
    uint64_t unread;
    smux_sendbuf lent;
    bool is_lent, failed;
} run;

enum { CONSUME = 1, ANSWER = 2, CLOSE = 4, LEND = 8, SHORT_WRITES = 16, NO_MEMORY = 32, TIME = 64 };

static void configure(run *r, const uint8_t *o) {
    static const uint32_t receive[] = {4 << 20, 300000, 5000, 1};
    smux_config *g = &r->config;
    smux_config_init(g);
    r->role = o[0] & 1;
    g->version = o[0] & 2 ? 2 : 1;
    if (r->role == SMUX_SERVER && o[0] & 4)
        g->version = SMUX_VERSION_AUTO;
    g->extensions = !(o[0] & 8);
    g->on_full = o[0] & 16 ? SMUX_FULL_RESET : SMUX_FULL_STALL;
    g->auto_window = !(o[0] & 32);
    g->max_receive_buffer = receive[o[1] & 3];
    g->max_stream_buffer = g->max_receive_buffer / (1 + (o[1] >> 2) % 4);
    if (!g->max_stream_buffer)
        g->max_stream_buffer = 1;
    g->accept_backlog = o[2] & 1 ? 2 : 1024;
    g->max_streams = o[2] & 2 ? 3 : 1048576;
    g->stream_send_buffer = o[2] & 4 ? 100 : 262144;
    g->session_send_buffer = o[2] & 8 ? 1000 : 4 << 20;
    g->max_frame_size = o[2] & 16 ? 10 : 32768;
    g->stream_idle_timeout_us = o[2] & 32 ? SECONDS(20) : 0;
    g->hash_seed = o[3];
    r->habits = o[4];
}

static void check_output(run *r) {
    frame f;
    size_t at = 0;
    if (!r->out.len)
        return;
    for (size_t size; (size = frame_parse(r->out.data + at, r->out.len - at, &f)); at += size) {
        MUST(f.version == 1 || f.version == 2);
        MUST(f.cmd <= (f.version == 2 ? CMD_UPD : CMD_NOP));
        if (f.cmd == CMD_PSH)
            MUST(f.len > 0 && f.len <= r->config.max_frame_size);
        else
            MUST(f.len == (f.cmd == CMD_UPD ? 8u : 0u));
    }
    bytes_drop(&r->out, at);
}

static void events(run *r);

static void write_out(run *r) {
    struct iovec iov[16];
    for (int rounds = 0; rounds < 64; rounds++) {
        bool wanted = smux_session_want_write(r->session);
        int count = smux_session_output(r->session, iov, 16, r->now_us);
        MUST(count >= 0 && count <= 16 && wanted == (count > 0));
        size_t taken = 0;
        for (int i = 0; i < count; i++) {
            size_t part = iov[i].iov_len;
            if (r->habits & SHORT_WRITES && taken + part > 100 + r->turn % 100)
                part = taken > 100 + r->turn % 100 ? 0 : 100 + r->turn % 100 - taken;
            bytes_add(&r->out, iov[i].iov_base, part);
            taken += part;
            if (part < iov[i].iov_len)
                break;
        }
        smux_session_output_done(r->session, taken);
        check_output(r);
        events(r);
        if (!taken || r->habits & SHORT_WRITES)
            break;
    }
}

static void lend(run *r, smux_stream *s) {
    static const uint8_t data[3000];
    if (r->is_lent)
        return;
    r->lent = (smux_sendbuf){.data = data, .len = 1 + r->turn * 37 % sizeof(data)};
    r->is_lent = smux_stream_send_borrowed(s, &r->lent) == 0;
}

static void on_data(run *r, const smux_event *event) {
    static const uint8_t answer[5000];
    uint8_t sum = 0;
    for (size_t i = 0; i < event->len; i++) /* every byte must be readable */
        sum = (uint8_t)(sum + event->data[i]);
    r->turn += 1 + sum;
    if (r->habits & ANSWER)
        (void)smux_stream_send(event->stream, answer, r->turn % sizeof(answer));
    if (r->habits & LEND)
        lend(r, event->stream);
    if (r->habits & CONSUME) {
        smux_stream_info info;
        smux_stream_get_info(event->stream, &info);
        MUST(smux_stream_consume(event->stream, info.unread - r->turn % (info.unread + 1)) == 0);
        MUST(smux_stream_consume(event->stream, SIZE_MAX) == SMUX_ERR_ARGUMENT || info.error);
    }
    if (r->habits & CLOSE && r->turn % 4 == 1)
        (void)smux_stream_reset_behind(event->stream);
    if (r->habits & CLOSE && r->turn % 3 == 0)
        (r->turn % 2 ? smux_stream_close : smux_stream_reset)(event->stream);
}

static void on_event(run *r, const smux_event *event) {
    MUST(!r->failed);
    switch (event->type) {
    case SMUX_EVENT_ACCEPT:
        if (r->turn++ % 4)
            smux_stream_accept(event->stream);
        break;
    case SMUX_EVENT_DATA:
        MUST(event->len > 0);
        on_data(r, event);
        break;
    case SMUX_EVENT_EOF:
        if (r->turn++ % 2)
            smux_stream_close(event->stream);
        break;
    case SMUX_EVENT_RESET:
        MUST(event->error < 0);
        smux_stream_close(event->stream);
        break;
    case SMUX_EVENT_RETURNED:
        MUST(r->is_lent && event->buffer == &r->lent);
        r->is_lent = false;
        break;
    case SMUX_EVENT_FAILED:
        MUST(event->error == smux_session_error(r->session));
        MUST(smux_session_error_text(r->session)[0]);
        r->failed = true;
        break;
    default:
        break;
    }
}

static void events(run *r) {
    smux_event event;
    while (smux_session_next_event(r->session, &event))
        on_event(r, &event);
}

static void some_streams_of_ours(run *r) {
    smux_stream *s;
    for (uint32_t i = 0; i < r->turn % 4; i++)
        if (smux_stream_open(r->session, &s) == 0)
            (void)smux_stream_send(s, "hello", 5);
}

static void feed_pieces(run *r, const uint8_t *data, size_t len, uint8_t piece) {
    while (len) {
        size_t part = piece ? piece : len;
        part = part < len ? part : len;
        uint8_t *copy = malloc(part);
        memcpy(copy, data, part);
        int error = smux_session_feed(r->session, copy, part, r->now_us);
        MUST(error == smux_session_error(r->session));
        if (!error)
            events(r);
        free(copy);
        data += part;
        len -= part;
        r->turn++;
        if (r->habits & TIME && r->turn % 4 == 0)
            smux_session_tick(r->session, r->now_us += SECONDS(7));
        write_out(r);
    }
}

static void finish(run *r) {
    smux_session_info info;
    smux_session_get_info(r->session, &info);
    uint64_t unread = 0, count = 0;
    for (smux_stream *s = NULL; (s = smux_session_next_stream(r->session, s)); count++) {
        smux_stream_info stream;
        smux_stream_get_info(s, &stream);
        unread += stream.error ? 0 : stream.unread;
        MUST(count <= info.streams);
    }
    MUST(info.error || unread <= info.unread);
    if (r->turn % 2) {
        smux_session_fail(r->session, SMUX_ERR_CLOSED);
        events(r);
        MUST(!r->is_lent && r->failed);
    }
    smux_session_free(r->session);
    MUST(r->alloc.live_blocks == 0);
    bytes_free(&r->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < OPTIONS)
        return 0;
    run r = {.now_us = SECONDS(10), .turn = data[5]};
    configure(&r, data);
    if (r.habits & NO_MEMORY)
        r.alloc.fail_one_in = 3;
    smux_allocator allocator = test_allocator(&r.alloc);
    if (smux_session_new(&r.session, r.role, &r.config, &allocator, r.now_us))
        return 0; /* out of memory, which is a valid case */
    some_streams_of_ours(&r);
    feed_pieces(&r, data + OPTIONS, size - OPTIONS, data[6]);
    finish(&r);
    return 0;
}
