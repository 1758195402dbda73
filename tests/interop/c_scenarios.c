/* SPDX-License-Identifier: MIT */
/* Scenarios that only move data.  Each returns early on failure: the process then ends, so nothing
 * needs to be released. */
#include "c_peer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * KIB };

enum outcome run_echo(struct driver *d) {
    uint64_t streams = or_else(d->o->streams, 40), limit = or_else(d->o->size, 256 * KIB);
    uint64_t total = 0, random;
    for (uint64_t i = 0; i < streams; i++) {
        pattern_fill((uint8_t *)&random, sizeof random, d->o->seed + i, 0);
        uint64_t len = 1 + random % limit;
        TRY(exchange_opened(d->session, len, d->o->seed + i));
        total += len;
    }
    detail(d, "streams=%" PRIu64 " bytes=%" PRIu64, streams, total);
    return DONE;
}

/* Opens and closes streams, every other one without a byte. */
enum outcome run_churn(struct driver *d) {
    uint64_t streams = or_else(d->o->streams, 5000);
    for (uint64_t i = 0; i < streams; i++) {
        if (i % 2 == 0) {
            TRY(exchange_opened(d->session, 32, i));
            continue;
        }
        smuxb_stream *stream;
        int error = smuxb_stream_open(d->session, &stream);
        if (error)
            return fail("open of stream %" PRIu64 ": %s", i, smuxb_error_name(error));
        smuxb_stream_close(stream);
    }
    char text[LINE_MAX_LEN];
    snprintf(text, sizeof text, " accepted=%" PRIu64 " ", streams);
    detail(d, "streams=%" PRIu64, streams);
    return await_stats(d, text); /* streams without a byte are counted some time later */
}

static void bulk_details(struct driver *d, uint64_t len, const char *sum, uint64_t begin_us) {
    double seconds = (double)(smuxb_now_us() - begin_us) / 1e6;
    detail(d, "bytes=%" PRIu64 " checksum=%s MB/s=%.0f", len, sum, (double)len / 1e6 / seconds);
}

enum outcome run_bulk_up(struct driver *d) {
    uint64_t len = or_else(d->o->size, 1024 * (uint64_t)MIB), begin_us = smuxb_now_us();
    smuxb_stream *stream;
    char sum[SUM_LEN], line[LINE_MAX_LEN];
    TRY(request(d, &stream, "sink %" PRIu64, len));
    TRY(send_pattern(stream, len, d->o->seed, sum));
    TRY(read_line(stream, line));
    TRY(expect_sum(line, len, sum));
    bulk_details(d, len, sum, begin_us);
    smuxb_stream_close(stream);
    return DONE;
}

static void checksum_of_pattern(uint64_t len, uint64_t seed, char sum[SUM_LEN]) {
    struct checksum running = {0};
    uint8_t *chunk = must_alloc(CHUNK_LEN);
    for (uint64_t done = 0; done < len; done += CHUNK_LEN) {
        size_t n = len - done < CHUNK_LEN ? len - done : CHUNK_LEN;
        pattern_fill(chunk, n, seed, done);
        checksum_add(&running, chunk, n);
    }
    free(chunk);
    checksum_text(running, sum);
}

enum outcome run_bulk_down(struct driver *d) {
    uint64_t len = or_else(d->o->size, 1024 * (uint64_t)MIB), begin_us = smuxb_now_us();
    smuxb_stream *stream;
    char got[SUM_LEN], want[SUM_LEN];
    TRY(request(d, &stream, "source %" PRIu64 " %" PRIu64, len, d->o->seed));
    TRY(receive(stream, len, got));
    bulk_details(d, len, got, begin_us);
    checksum_of_pattern(len, d->o->seed, want);
    if (strcmp(got, want) != 0)
        return fail("expected %s, received %s", want, got);
    smuxb_stream_close(stream);
    return DONE;
}

struct parallel {
    pthread_t thread;
    smuxb_stream *stream;
    size_t len;
    uint64_t seed;
    enum outcome outcome;
    char failure[FAILURE_LEN];
};

static void *parallel_thread(void *argument) {
    struct parallel *p = argument;
    uint8_t *data = pattern_new(p->len, p->seed);
    p->outcome = exchange(p->stream, "", data, p->len);
    memcpy(p->failure, failure, sizeof p->failure);
    free(data);
    smuxb_stream_close(p->stream);
    return NULL;
}

/* Opens all streams before the first byte flows, then uses all of them at once. */
enum outcome run_parallel(struct driver *d) {
    uint64_t streams = or_else(d->o->streams, 200), len = or_else(d->o->size, 256 * KIB);
    struct parallel *all = must_alloc(streams * sizeof *all);
    for (uint64_t i = 0; i < streams; i++) {
        all[i] = (struct parallel){.len = len, .seed = i};
        TRY(request(d, &all[i].stream, "echo"));
    }
    for (uint64_t i = 0; i < streams; i++)
        if (pthread_create(&all[i].thread, NULL, parallel_thread, &all[i]))
            return fail("cannot start a thread");
    enum outcome outcome = DONE;
    for (uint64_t i = 0; i < streams; i++) {
        pthread_join(all[i].thread, NULL);
        if (all[i].outcome != DONE)
            outcome = fail("stream %" PRIu64 ": %.200s", i, all[i].failure);
    }
    free(all);
    detail(d, "streams=%" PRIu64 " bytes=%" PRIu64, streams, streams * len);
    return outcome;
}

/* Lets the other side open the streams. */
enum outcome run_reverse(struct driver *d) {
    uint64_t streams = or_else(d->o->streams, 50), len = or_else(d->o->size, 100000);
    char question[LINE_MAX_LEN], want[LINE_MAX_LEN];
    snprintf(question, sizeof question, "call %" PRIu64 " %" PRIu64, streams, len);
    snprintf(want, sizeof want, "called %" PRIu64, streams);
    detail(d, "streams=%" PRIu64 " bytes=%" PRIu64, streams, streams * len);
    return ask_for(d, question, want);
}

struct upload {
    smuxb_stream *stream;
    uint64_t len, seed;
    enum outcome outcome;
    char sum[SUM_LEN], failure[FAILURE_LEN];
};

static void *upload_thread(void *argument) {
    struct upload *upload = argument;
    upload->outcome = send_pattern(upload->stream, upload->len, upload->seed, upload->sum);
    memcpy(upload->failure, failure, sizeof failure);
    return NULL;
}

/* Leaves one stream unread in each direction while others exchange more than any window, and only
 * then drains the two. */
enum outcome run_slow_reader(struct driver *d) {
    uint64_t len = or_else(d->o->size, d->o->version == 2 ? 2 * MIB : 512 * KIB);
    struct upload held = {.len = len, .seed = d->o->seed};
    smuxb_stream *unread;
    pthread_t thread;
    char line[LINE_MAX_LEN], sum[SUM_LEN];
    TRY(request(d, &held.stream, "hold %" PRIu64, len));
    if (pthread_create(&thread, NULL, upload_thread, &held))
        return fail("cannot start a thread");
    TRY(request(d, &unread, "source %" PRIu64 " %" PRIu64, len, d->o->seed));
    for (uint64_t i = 0; i < 8; i++)
        TRY(exchange_opened(d->session, MIB, i));
    TRY(ask_for(d, "release", "released"));
    pthread_join(thread, NULL);
    if (held.outcome != DONE)
        return fail("held stream: %.200s", held.failure);
    TRY(read_line(held.stream, line));
    TRY(expect_sum(line, len, held.sum));
    TRY(receive(unread, len, sum));
    if (strcmp(sum, held.sum) != 0)
        return fail("unread stream: expected %s, received %s", held.sum, sum);
    smuxb_stream_close(held.stream);
    smuxb_stream_close(unread);
    detail(d, "held=%" PRIu64 " beside=%d", 2 * len, 8 * MIB);
    return DONE;
}

enum outcome run_keepalive(struct driver *d) {
    smuxb_stream *stream;
    uint8_t *data = pattern_new(1000, d->o->seed);
    TRY(request(d, &stream, "echo"));
    TRY(exchange(stream, "", data, 1000));
    usleep((useconds_t)d->o->idle_ms * 1000);
    TRY(exchange(stream, "", data, 1000));
    smuxb_stream_close(stream);
    free(data);
    detail(d, "idle-ms=%" PRIu64 " interval-ms=%" PRIu64 " timeout-ms=%" PRIu64, d->o->idle_ms,
           d->o->interval_ms, d->o->timeout_ms);
    return DONE;
}
