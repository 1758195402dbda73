/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local char failure[FAILURE_LEN];

enum outcome fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(failure, sizeof failure, format, args);
    va_end(args);
    return FAILED;
}

void *must_alloc(size_t size) {
    void *memory = malloc(size > 0 ? size : 1);
    if (!memory) {
        fprintf(stderr, "c_peer: out of memory\n");
        exit(1);
    }
    return memory;
}

enum outcome write_all(smuxb_stream *stream, const void *data, size_t len) {
    ssize_t n = smuxb_stream_write(stream, data, len);
    if (n < 0)
        return fail("write: %s", smuxb_error_name((int)n));
    return (size_t)n == len ? DONE : fail("write: %zd of %zu bytes went out", n, len);
}

enum outcome write_text(smuxb_stream *stream, const char *format, ...) {
    char line[LINE_MAX_LEN + FAILURE_LEN];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return write_all(stream, line, (size_t)len);
}

enum outcome read_all(smuxb_stream *stream, void *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = smuxb_stream_read(stream, (uint8_t *)data + done, len - done);
        if (n < 0)
            return fail("read: %s", smuxb_error_name((int)n));
        if (n == 0) {
            fail("end of file after %zu of %zu bytes", done, len);
            return TRUNCATED;
        }
        done += (size_t)n;
    }
    return DONE;
}

enum outcome read_line(smuxb_stream *stream, char line[LINE_MAX_LEN]) {
    for (size_t len = 0; len < LINE_MAX_LEN; len++) {
        line[len] = 0;
        char c;
        enum outcome outcome = read_all(stream, &c, 1);
        if (outcome != DONE)
            return outcome;
        if (c == '\n')
            return DONE;
        line[len] = c;
    }
    line[LINE_MAX_LEN - 1] = 0;
    return fail("line too long: %s", line);
}

enum outcome receive(smuxb_stream *stream, uint64_t len, char sum[SUM_LEN]) {
    struct checksum running = {0};
    uint8_t *chunk = must_alloc(CHUNK_LEN);
    enum outcome outcome = DONE;
    while (len > 0 && outcome == DONE) {
        ssize_t n = smuxb_stream_read(stream, chunk, len < CHUNK_LEN ? len : CHUNK_LEN);
        if (n < 0) {
            outcome = fail("read: %s", smuxb_error_name((int)n));
        } else if (n == 0) {
            fail("end of file with %" PRIu64 " bytes missing", len);
            outcome = TRUNCATED;
        } else {
            checksum_add(&running, chunk, (size_t)n);
            len -= (uint64_t)n;
        }
    }
    free(chunk);
    checksum_text(running, sum);
    return outcome;
}

enum outcome send_pattern(smuxb_stream *stream, uint64_t len, uint64_t seed, char sum[SUM_LEN]) {
    struct checksum running = {0};
    uint8_t *chunk = must_alloc(CHUNK_LEN);
    enum outcome outcome = DONE;
    for (uint64_t done = 0; done < len && outcome == DONE;) {
        size_t n = len - done < CHUNK_LEN ? len - done : CHUNK_LEN;
        pattern_fill(chunk, n, seed, done);
        checksum_add(&running, chunk, n);
        outcome = write_all(stream, chunk, n);
        done += n;
    }
    free(chunk);
    checksum_text(running, sum);
    return outcome;
}

enum outcome drain(smuxb_stream *stream) {
    uint8_t byte;
    ssize_t n = smuxb_stream_read(stream, &byte, 1);
    if (n < 0)
        return fail("instead of the end of file: %s", smuxb_error_name((int)n));
    return n == 0 ? DONE : fail("data instead of the end of file");
}

struct upload {
    smuxb_stream *stream;
    struct iovec pieces[2];
    ssize_t written;
};

static void *upload_thread(void *argument) {
    struct upload *upload = argument;
    upload->written = smuxb_stream_writev(upload->stream, upload->pieces, 2);
    return NULL;
}

enum outcome exchange(smuxb_stream *stream, const char *request, const uint8_t *data, size_t len) {
    struct upload upload = {.stream = stream,
                            .pieces = {{(void *)request, strlen(request)}, {(void *)data, len}}};
    size_t want = strlen(request) + len;
    pthread_t thread;
    if (pthread_create(&thread, NULL, upload_thread, &upload))
        return fail("cannot start a thread");
    uint8_t *back = must_alloc(len);
    enum outcome outcome = read_all(stream, back, len);
    /* A reader that failed must not wait for a writer that nobody answers. */
    if (outcome != DONE)
        smuxb_stream_set_write_deadline(stream, 1);
    pthread_join(thread, NULL);
    if (outcome == DONE && upload.written != (ssize_t)want)
        outcome = fail("writev: %zd of %zu bytes", upload.written, want);
    else if (outcome == DONE && memcmp(back, data, len) != 0)
        outcome = fail("%zu bytes came back changed", len);
    free(back);
    return outcome;
}

enum outcome exchange_opened(smuxb_session *session, size_t len, uint64_t seed) {
    smuxb_stream *stream;
    int error = smuxb_stream_open(session, &stream);
    if (error)
        return fail("open: %s", smuxb_error_name(error));
    uint8_t *data = pattern_new(len, seed);
    enum outcome outcome = exchange(stream, "echo\n", data, len);
    smuxb_stream_close(stream);
    free(data);
    return outcome;
}
