/* SPDX-License-Identifier: MIT */
/* libsmux's blocking API: one thread on either side or, with BENCH_THREADS set, one for each
 * stream. Two more variables exercise heuristics of the library: BENCH_READ=LEN makes the receiver
 * of the throughput mode read into LEN bytes of its own instead of borrowing; with BENCH_ACCEPTER
 * set, another thread on either side waits in smuxb_stream_accept while latency is measured. */
#include <pthread.h>

#include "bench.h"
#include "core/smux_blocking.h"

static smuxb_session *session;
static double end_s;

static void check(ssize_t error) {
    if (error < 0) {
        fprintf(stderr, "bench blocking: %s\n", smuxb_strerror((int)error));
        exit(1);
    }
}

static smuxb_stream *open_stream(void) {
    smuxb_stream *stream;
    check(smuxb_stream_open(session, &stream));
    return stream;
}

static smuxb_stream *accept_stream(void) {
    smuxb_stream *stream;
    check(smuxb_stream_accept(session, &stream));
    return stream;
}

static void read_all(smuxb_stream *stream, char *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = smuxb_stream_read(stream, data + done, len - done);
        check(n);
        done += (size_t)n;
    }
}

/* All streams are written from this memory, as in the peers' programs. */
static const char data_out[WRITE_LEN];

/* The value of BENCH_READ; 0: borrow. */
static size_t read_len;

/* Takes what there is of the stream and ignores the content, as the peers' programs do.  0 at the
 * end.  `data` has room for read_len bytes. */
static uint64_t receive_some(smuxb_stream *stream, void *data) {
    smuxb_loan loan;
    if (read_len) {
        ssize_t read = smuxb_stream_read(stream, data, read_len);
        check(read);
        return (uint64_t)read;
    }
    ssize_t n = smuxb_stream_borrow(stream, SIZE_MAX, &loan);
    check(n);
    smuxb_stream_return(&loan);
    return (uint64_t)n;
}

/* ---- Throughput, one thread on either side ---- */

static void write_in_turn(unsigned count) {
    smuxb_stream **streams = calloc(count, sizeof *streams);
    uint64_t sent = 0;
    for (unsigned i = 0; i < count; i++)
        streams[i] = open_stream();
    do
        for (unsigned i = 0; i < count; i++, sent += WRITE_LEN)
            check(smuxb_stream_write(streams[i], data_out, WRITE_LEN));
    while (now_s() < end_s);
    report_sent(sent);
    for (unsigned i = 0; i < count; i++)
        smuxb_stream_close(streams[i]);
    free(streams);
    smuxb_session_wait(session, 0); /* the server, which has seen all ends, closes the carrier */
}

static void read_what_is_ready(unsigned count) {
    smuxb_stream *stream;
    uint64_t total = 0;
    double first = 0;
    void *data = malloc(read_len);
    for (unsigned i = 0; i < count; i++) {
        stream = accept_stream();
        if (i == 0)
            first = now_s();
        smuxb_stream_watch(stream);
    }
    while (count) {
        check(smuxb_session_ready(session, 0, &stream));
        uint64_t n = receive_some(stream, data);
        total += n;
        if (n) {
            smuxb_stream_watch(stream);
        } else {
            smuxb_stream_close(stream);
            count--;
        }
    }
    free(data);
    report_throughput(total, first, now_s());
}

static void throughput(const struct bench *b) {
    if (b->server)
        read_what_is_ready(b->streams);
    else
        write_in_turn(b->streams);
}

/* ---- Throughput, a thread for each stream ---- */

struct lane {
    pthread_t thread;
    smuxb_stream *stream;
    uint64_t bytes;
};

static void *sender(void *argument) {
    struct lane *lane = argument;
    do {
        check(smuxb_stream_write(lane->stream, data_out, WRITE_LEN));
        lane->bytes += WRITE_LEN;
    } while (now_s() < end_s);
    return NULL;
}

static void *receiver(void *argument) {
    struct lane *lane = argument;
    void *data = malloc(read_len);
    for (uint64_t n; (n = receive_some(lane->stream, data));)
        lane->bytes += n;
    free(data);
    return NULL;
}

static void throughput_threads(const struct bench *b) {
    struct lane *lanes = calloc(b->streams, sizeof *lanes);
    uint64_t total = 0;
    double first = 0;
    for (unsigned i = 0; i < b->streams; i++) {
        lanes[i].stream = b->server ? accept_stream() : open_stream();
        if (i == 0)
            first = now_s();
        if (pthread_create(&lanes[i].thread, NULL, b->server ? receiver : sender, &lanes[i]))
            die("pthread_create");
    }
    for (unsigned i = 0; i < b->streams; i++) {
        pthread_join(lanes[i].thread, NULL);
        total += lanes[i].bytes;
    }
    if (b->server)
        report_throughput(total, first, now_s());
    else
        report_sent(total);
    for (unsigned i = 0; i < b->streams; i++)
        smuxb_stream_close(lanes[i].stream);
    if (!b->server)
        smuxb_session_wait(session, 0);
    free(lanes);
}

/* ---- The rest ---- */

static void *churner(void *argument) {
    (void)argument;
    do
        for (int i = 0; i < 8; i++) /* like async_smux's program */
            smuxb_stream_close(open_stream());
    while (now_s() < end_s);
    return NULL;
}

static void churn_client(const struct bench *b) {
    pthread_t *threads = calloc(b->streams, sizeof *threads);
    for (unsigned i = 0; i < b->streams; i++)
        if (pthread_create(&threads[i], NULL, churner, NULL))
            die("pthread_create");
    for (unsigned i = 0; i < b->streams; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static void churn_server(void) {
    smuxb_stream *stream;
    uint64_t count = 0;
    double first = 0;
    for (; smuxb_stream_accept(session, &stream) == 0; count++) {
        if (count == 0)
            first = now_s();
        smuxb_stream_close(stream);
    }
    report_churn(count, first, now_s());
}

/* Waits for a stream that never comes, like a program that accepts streams at any time. */
static void *accepter(void *argument) {
    smuxb_stream *stream;
    (void)argument;
    (void)smuxb_stream_accept(session, &stream);
    return NULL;
}

static void start_accepter(void) {
    pthread_t thread;
    if (getenv("BENCH_ACCEPTER") && pthread_create(&thread, NULL, accepter, NULL))
        die("pthread_create");
}

static void latency(const struct bench *b) {
    char data[PING_LEN] = {0};
    if (b->server) {
        smuxb_stream *stream = accept_stream();
        start_accepter();
        while (smuxb_stream_read(stream, data, PING_LEN) == PING_LEN)
            check(smuxb_stream_write(stream, data, PING_LEN));
        smuxb_stream_close(stream);
        return;
    }
    smuxb_stream *stream = open_stream();
    start_accepter();
    double begin = now_s(), now = begin;
    uint64_t rounds = 0;
    for (; !rounds || now < end_s; rounds++, now = now_s()) {
        check(smuxb_stream_write(stream, data, PING_LEN));
        read_all(stream, data, PING_LEN);
    }
    report_latency(rounds, now - begin);
    smuxb_stream_close(stream);
}

static void memory(const struct bench *b) {
    char data[PING_LEN] = {0};
    smuxb_stream **all = calloc(b->streams, sizeof *all);
    memset(all, 1, b->streams * sizeof *all); /* resident before memory is counted */
    long before = rss_bytes();
    for (unsigned i = 0; i < b->streams; i++) {
        all[i] = b->server ? accept_stream() : open_stream();
        if (b->server)
            read_all(all[i], data, PING_LEN);
        else
            check(smuxb_stream_write(all[i], data, PING_LEN));
    }
    smuxb_stream *last = all[b->streams - 1];
    if (!b->server)
        read_all(last, data, 1); /* the server has read all greetings */
    report_memory(before, rss_bytes(), b->streams);
    if (b->server) {
        check(smuxb_stream_write(last, data, 1));
        smuxb_session_wait(session, 0);
    }
    free(all);
}

static void start(const struct bench *b) {
    smux_config config;
    smux_config_init(&config);
    config.version = b->version;
    config.keepalive_disabled = true;
    config.max_frame_size = FRAME_LEN;
    config.max_receive_buffer = RECEIVE_BUFFER_LEN;
    config.max_stream_buffer = STREAM_BUFFER_LEN;
    /* The peers block instead of refusing, so nothing may be refused here either. */
    config.accept_backlog = 1 << 30;
    config.max_streams = 1 << 30;
    int fd = open_carrier(b);
    check(b->server ? smuxb_session_server(&session, fd, &config)
                    : smuxb_session_client(&session, fd, &config));
}

int main(int argc, char **argv) {
    struct bench b = bench_parse(argc, argv);
    read_len = getenv("BENCH_READ") ? strtoul(getenv("BENCH_READ"), NULL, 10) : 0;
    start(&b);
    end_s = now_s() + b.seconds;
    switch (b.mode) {
    case THROUGHPUT:
        if (getenv("BENCH_THREADS"))
            throughput_threads(&b);
        else
            throughput(&b);
        break;
    case CHURN:
        if (b.server)
            churn_server();
        else
            churn_client(&b);
        break;
    case LATENCY:
        latency(&b);
        break;
    default:
        memory(&b);
        break;
    }
    fflush(stdout);
    smuxb_session_free(session);
    return 0;
}
