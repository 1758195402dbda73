/* SPDX-License-Identifier: MIT */
/* libsmux's engine with the smallest loop that drives it: one thread, one descriptor, poll only
 * where the carrier cannot take more. */
#include <poll.h>

#include "bench.h"
#include "core/smux.h"

enum { INPUT_LEN = 256 * 1024, IOV_MAX_USED = 64, CHURN_BATCH = 256 };

struct loop {
    const struct bench *b;
    smux_session *session;
    int fd;
    bool ended; /* by the peer, or because the work is done */
    uint8_t *input, *data;
    smux_sendbuf *buffers; /* throughput: one for each stream */
    smux_stream *last;
    unsigned open;
    uint64_t count; /* bytes, streams or rounds */
    double first, last_s, end;
    long before;
    void (*on_event)(struct loop *l, const smux_event *event);
};

static uint64_t now_us(void) {
    return (uint64_t)(now_s() * 1e6);
}

static void check(int error) {
    if (error) {
        fprintf(stderr, "bench engine: %s\n", smux_strerror(error));
        exit(1);
    }
}

static void take_events(struct loop *l) {
    smux_event event;
    while (smux_session_next_event(l->session, &event))
        l->on_event(l, &event);
}

static void flush(struct loop *l) {
    struct iovec iov[IOV_MAX_USED];
    int pieces;
    while ((pieces = smux_session_output(l->session, iov, IOV_MAX_USED, now_us())) > 0) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
        ssize_t n = sendmsg(l->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            die("sendmsg");
        smux_session_output_done(l->session, n < 0 ? 0 : (size_t)n);
        take_events(l);
        if (n < 0)
            return;
    }
}

/* Takes what has arrived; waits if there is nothing else to do. */
static void receive(struct loop *l, bool wait) {
    int flags = MSG_DONTWAIT;
    if (wait && smux_session_want_write(l->session)) {
        struct pollfd pollfd = {.fd = l->fd, .events = POLLIN | POLLOUT};
        poll(&pollfd, 1, -1);
        if (!(pollfd.revents & ~POLLOUT))
            return;
    } else if (wait) {
        flags = 0;
    }
    ssize_t n = recv(l->fd, l->input, INPUT_LEN, flags);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        l->ended = true;
        return;
    }
    check(smux_session_feed(l->session, l->input, (size_t)n, now_us()));
    take_events(l);
}

static void run(struct loop *l) {
    while (!l->ended) {
        flush(l);
        if (!l->ended)
            receive(l, true);
    }
}

static smux_stream *open_stream(struct loop *l) {
    smux_stream *stream;
    check(smux_stream_open(l->session, &stream));
    return stream;
}

/* ---- Throughput ----------------------------------------------------------------------------- */

static void sender_event(struct loop *l, const smux_event *event) {
    if (event->type != SMUX_EVENT_RETURNED)
        return;
    l->count += WRITE_LEN;
    if (now_s() < l->end) {
        check(smux_stream_send_borrowed(event->stream, event->buffer));
        return;
    }
    if (--l->open == 0)
        report_sent(l->count);
    smux_stream_close(event->stream);
}

static void throughput_client(struct loop *l) {
    l->on_event = sender_event;
    l->buffers = calloc(l->b->streams, sizeof *l->buffers);
    l->open = l->b->streams;
    for (unsigned i = 0; i < l->b->streams; i++) {
        l->buffers[i] = (smux_sendbuf){.data = l->data, .len = WRITE_LEN};
        check(smux_stream_send_borrowed(open_stream(l), &l->buffers[i]));
    }
    run(l); /* until the server has seen all ends and closes the carrier */
    free(l->buffers);
}

static void receiver_event(struct loop *l, const smux_event *event) {
    switch (event->type) {
    case SMUX_EVENT_ACCEPT:
        smux_stream_accept(event->stream);
        if (l->open++ == 0)
            l->first = now_s();
        break;
    case SMUX_EVENT_DATA:
        l->count += event->len;
        check(smux_stream_consume(event->stream, event->len));
        break;
    case SMUX_EVENT_EOF:
        smux_stream_close(event->stream);
        if (--l->open == 0)
            l->ended = true;
        break;
    default:
        break;
    }
}

static void throughput_server(struct loop *l) {
    l->on_event = receiver_event;
    run(l);
    report_throughput(l->count, l->first, now_s());
}

/* ---- Open, accept, close -------------------------------------------------------------------- */

static void no_event(struct loop *l, const smux_event *event) {
    (void)l, (void)event;
}

static void churn_client(struct loop *l) {
    l->on_event = no_event;
    do {
        for (int i = 0; i < CHURN_BATCH; i++)
            smux_stream_close(open_stream(l));
        flush(l);
        receive(l, smux_session_want_write(l->session));
    } while (now_s() < l->end);
    while (smux_session_want_write(l->session)) {
        flush(l);
        receive(l, smux_session_want_write(l->session));
    }
    shutdown(l->fd, SHUT_WR);
    run(l);
}

static void churner_event(struct loop *l, const smux_event *event) {
    if (event->type != SMUX_EVENT_ACCEPT)
        return;
    smux_stream_accept(event->stream);
    smux_stream_close(event->stream);
    if (l->count++ == 0)
        l->first = now_s();
}

static void churn_server(struct loop *l) {
    l->on_event = churner_event;
    run(l);
    report_churn(l->count, l->first, now_s());
}

/* ---- Latency -------------------------------------------------------------------------------- */

static void ping(smux_stream *stream, const uint8_t *data, size_t len) {
    if (smux_stream_send(stream, data, len) != (ssize_t)len)
        check(SMUX_ERR_NOMEM);
}

static void pinger_event(struct loop *l, const smux_event *event) {
    if (event->type != SMUX_EVENT_DATA)
        return;
    check(smux_stream_consume(event->stream, event->len));
    l->count += event->len;
    if (l->count % PING_LEN)
        return;
    l->last_s = now_s();
    if (l->last_s < l->end)
        ping(event->stream, l->data, PING_LEN);
    else
        l->ended = true;
}

static void latency_client(struct loop *l) {
    l->on_event = pinger_event;
    double begin = now_s();
    ping(open_stream(l), l->data, PING_LEN);
    run(l);
    report_latency(l->count / PING_LEN, l->last_s - begin);
}

static void ponger_event(struct loop *l, const smux_event *event) {
    (void)l;
    if (event->type == SMUX_EVENT_ACCEPT)
        smux_stream_accept(event->stream);
    if (event->type != SMUX_EVENT_DATA)
        return;
    ping(event->stream, event->data, event->len);
    check(smux_stream_consume(event->stream, event->len));
}

static void latency_server(struct loop *l) {
    l->on_event = ponger_event;
    run(l);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static void greeter_event(struct loop *l, const smux_event *event) {
    if (event->type == SMUX_EVENT_DATA)
        l->ended = true; /* the server has read all greetings */
}

static void memory_client(struct loop *l) {
    l->on_event = greeter_event;
    l->before = rss_bytes();
    for (unsigned i = 0; i < l->b->streams; i++) {
        ping(open_stream(l), l->data, PING_LEN);
        flush(l);
    }
    run(l);
    report_memory(l->before, rss_bytes(), l->b->streams);
}

static void greeted_event(struct loop *l, const smux_event *event) {
    if (event->type == SMUX_EVENT_ACCEPT) {
        smux_stream_accept(event->stream);
        l->last = event->stream;
    }
    if (event->type != SMUX_EVENT_DATA)
        return;
    check(smux_stream_consume(event->stream, event->len));
    l->count += event->len;
    if (l->count < (uint64_t)l->b->streams * PING_LEN)
        return;
    report_memory(l->before, rss_bytes(), l->b->streams);
    ping(l->last, l->data, 1);
}

static void memory_server(struct loop *l) {
    l->on_event = greeted_event;
    l->before = rss_bytes();
    run(l);
}

static void configure(struct loop *l) {
    smux_config config;
    smux_config_init(&config);
    config.version = l->b->version;
    config.keepalive_disabled = true;
    config.max_frame_size = FRAME_LEN;
    config.max_receive_buffer = RECEIVE_BUFFER_LEN;
    config.max_stream_buffer = STREAM_BUFFER_LEN;
    enum smux_role role = l->b->server ? SMUX_SERVER : SMUX_CLIENT;
    check(smux_session_new(&l->session, role, &config, NULL, now_us()));
}

int main(int argc, char **argv) {
    static void (*const modes[MODES][2])(struct loop * l) = {
        [THROUGHPUT] = {throughput_client, throughput_server},
        [CHURN] = {churn_client, churn_server},
        [LATENCY] = {latency_client, latency_server},
        [MEMORY] = {memory_client, memory_server},
    };
    struct bench b = bench_parse(argc, argv);
    struct loop l = {.b = &b, .input = malloc(INPUT_LEN), .data = calloc(1, WRITE_LEN)};
    l.fd = open_carrier(&b);
    l.end = now_s() + b.seconds;
    memset(l.input, 0, INPUT_LEN); /* resident before memory is counted */
    configure(&l);
    modes[b.mode][b.server](&l);
    smux_session_free(l.session);
    free(l.input);
    free(l.data);
    return 0;
}
