/* SPDX-License-Identifier: MIT */
/* Scenarios about how streams and sessions end. */
#include "c_peer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum outcome expect_end(smuxb_stream *stream) {
    uint8_t byte;
    ssize_t n = smuxb_stream_read(stream, &byte, 1);
    if (n < 0)
        return fail("expected the end of file, got %s", smuxb_error_name((int)n));
    return n == 0 ? DONE : fail("expected the end of file, got data");
}

/* Reads a reply "LEN SUM" and the same bytes again. */
static enum outcome expect_reply(smuxb_stream *stream, const uint8_t *data, size_t len) {
    char line[LINE_MAX_LEN], sum[SUM_LEN];
    checksum_of(data, len, sum);
    TRY(read_line(stream, line));
    TRY(expect_sum(line, len, sum));
    uint8_t *back = must_alloc(len);
    enum outcome outcome = read_all(stream, back, len);
    if (outcome == DONE && memcmp(back, data, len) != 0)
        outcome = fail("the reply came back changed");
    free(back);
    return outcome;
}

enum outcome run_half_close(struct driver *d) {
    size_t len = or_else(d->o->size, 48 * 1024);
    uint8_t *data = pattern_new(len, d->o->seed);
    smuxb_stream *stream;
    TRY(request(d, &stream, "half %d", d->o->careful));
    TRY(write_all(stream, data, len));
    int error = smuxb_stream_close_write(stream);
    if (error)
        return fail("close_write: %s", smuxb_error_name(error));
    ssize_t n = smuxb_stream_write(stream, "x", 1);
    if (n != SMUX_ERR_SHUT)
        return fail("write after close_write returned %zd", n);
    TRY(expect_reply(stream, data, len));
    if (d->o->careful)
        TRY(ask_for(d, "release", "released"));
    TRY(expect_end(stream));
    smuxb_stream_close(stream);
    free(data);
    detail(d, "bytes=%zu careful=%d", len, d->o->careful);
    return DONE;
}

/* The other side ends its direction first; ours stays usable. */
enum outcome run_early_close(struct driver *d) {
    size_t len = or_else(d->o->size, 48 * 1024);
    uint8_t *data = pattern_new(len, d->o->seed);
    char line[LINE_MAX_LEN], sum[SUM_LEN], want[LINE_MAX_LEN];
    smuxb_stream *stream;
    TRY(request(d, &stream, "early %zu", len));
    TRY(read_line(stream, line));
    if (strcmp(line, "unsupported") == 0) {
        fail("the other side has no close_write");
        return SKIPPED;
    }
    if (strcmp(line, "bye") != 0)
        return fail("expected bye, got %s", line);
    TRY(expect_end(stream));
    TRY(write_all(stream, data, len));
    if (!d->o->careful)
        smuxb_stream_close(stream);
    checksum_of(data, len, sum);
    snprintf(want, sizeof want, " early=%zu:%s ", len, sum);
    TRY(await_stats(d, want));
    if (d->o->careful)
        smuxb_stream_close(stream);
    free(data);
    detail(d, "bytes=%zu careful=%d", len, d->o->careful);
    return DONE;
}

static const uint64_t endless = UINT64_C(1) << 60;

static void *endless_upload(void *stream) {
    uint8_t *chunk = pattern_new(CHUNK_LEN, 2);
    ssize_t n;
    /* A write that goes halfway returns what went out; the next one returns the error. */
    while ((n = smuxb_stream_write(stream, chunk, CHUNK_LEN)) > 0)
        ;
    free(chunk);
    return (void *)(intptr_t)n;
}

static ssize_t read_to_the_end(smuxb_stream *stream) {
    uint8_t *chunk = must_alloc(CHUNK_LEN);
    ssize_t n;
    while ((n = smuxb_stream_read(stream, chunk, CHUNK_LEN)) > 0)
        ;
    free(chunk);
    return n;
}

static const char *ending(ssize_t n) {
    return n == 0 ? "eof" : smuxb_error_name((int)n);
}

/* Transfers endlessly both ways and prints `ready` when bytes flow; the test then kills the other
 * side.  The result is how reading and writing ended, which the test judges. */
enum outcome run_carrier_loss(struct driver *d) {
    smuxb_stream *down, *up;
    pthread_t thread;
    char sum[SUM_LEN];
    void *wrote;
    TRY(request(d, &down, "source %" PRIu64 " 1", endless));
    TRY(request(d, &up, "sink %" PRIu64, endless));
    if (pthread_create(&thread, NULL, endless_upload, up))
        return fail("cannot start a thread");
    TRY(receive(down, 8 << 20, sum));
    puts("ready");
    ssize_t n = read_to_the_end(down);
    pthread_join(thread, &wrote);
    detail(d, "read=%s write=%s", ending(n), ending((intptr_t)wrote));
    smuxb_stream_close(down);
    smuxb_stream_close(up);
    return DONE;
}

/* Prints `ready` and then waits for keepalive to detect that the other side is stopped.  The
 * pause before it lets keepalives of the other side arrive: some libraries arm their timeout
 * only then. */
enum outcome run_frozen(struct driver *d) {
    smuxb_stream *stream;
    uint8_t *data = pattern_new(1000, d->o->seed);
    TRY(request(d, &stream, "echo"));
    usleep((useconds_t)d->o->idle_ms * 1000);
    TRY(exchange(stream, "", data, 1000));
    free(data);
    puts("ready");
    detail(d, "read=%s", ending(read_to_the_end(stream)));
    smuxb_stream_close(stream);
    return DONE;
}
