/* SPDX-License-Identifier: MIT
 *
 * The blocking API: the thread that receives puts bulk data into the memory of readers that sleep.
 * They may wake at any moment, because their deadline expires or their stream ends, and after their
 * call has returned nobody may touch that memory.
 */
#include "support_blocking.h"

enum { STREAMS = 6, UNTOUCHED = 0xAA, ROOM = 150000 };
#define TOTAL (6000000u / SLOWNESS)

static void *write_bulk(void *stream) {
    write_pattern(stream, smuxb_stream_id(stream), TOTAL, 131072);
    return NULL;
}

static bool untouched(const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (data[i] != UNTOUCHED)
            return false;
    return true;
}

/* Fills `data`, lets some time pass, and checks that it has not changed. */
static void leave_alone(uint8_t *data, unsigned *random) {
    memset(data, UNTOUCHED, ROOM);
    if (rand_r(random) % 8 == 0)
        usleep(200);
    THREAD_ASSERT(untouched(data, ROOM));
}

static void *read_hastily(void *stream) {
    unsigned random = smuxb_stream_id(stream);
    uint8_t *data = malloc(ROOM);
    intptr_t timeouts = 0;
    THREAD_ASSERT(data);
    for (size_t done = 0; done < TOTAL;) {
        size_t want = 1 + (size_t)rand_r(&random) % ROOM;
        smuxb_stream_set_read_deadline(stream, smuxb_now_us() + (uint64_t)(rand_r(&random) % 400));
        ssize_t n = smuxb_stream_read(stream, data, want);
        if (n == SMUXB_ERR_TIMEOUT) {
            timeouts++;
        } else {
            if (n <= 0)
                fprintf(stderr, "read of stream %u at %zu: %zd (%s)\n", smuxb_stream_id(stream),
                        done, n, smuxb_strerror((int)n));
            THREAD_ASSERT(n > 0 && (size_t)n <= want && done + (size_t)n <= TOTAL);
            THREAD_ASSERT(pattern_ok(data, (size_t)n, smuxb_stream_id(stream), done));
            done += (size_t)n;
        }
        leave_alone(data, &random);
    }
    free(data);
    return (void *)timeouts;
}

static void deadlines_pass_while_bulk_is_being_received(void **state) {
    carry_over(*state, STREAMS, write_bulk, read_hastily);
}

/* Reads until the stream is reset; then the memory must not be touched. */
static void *read_until_reset(void *stream) {
    unsigned random = smuxb_stream_id(stream);
    uint8_t *data = malloc(ROOM);
    uint64_t done = 0;
    ssize_t n;
    THREAD_ASSERT(data);
    while ((n = smuxb_stream_read(stream, data, ROOM)) > 0) {
        THREAD_ASSERT(pattern_ok(data, (size_t)n, 7, done));
        done += (uint64_t)n;
    }
    THREAD_ASSERT(n == SMUXB_ERR_STREAM_CLOSED);
    for (int i = 0; i < 20; i++)
        leave_alone(data, &random);
    free(data);
    return NULL;
}

static void *write_until_reset(void *stream) {
    uint8_t *data = malloc(100000);
    ssize_t n = 1;
    THREAD_ASSERT(data);
    for (uint64_t done = 0; n > 0; done += (uint64_t)n) {
        pattern_fill(data, 100000, 7, done);
        n = smuxb_stream_write(stream, data, 100000);
        THREAD_ASSERT(n <= 100000 && n != 0); /* cut short by the end */
    }
    free(data);
    smuxb_stream_close(stream);
    return NULL;
}

static void streams_are_reset_while_bulk_is_being_received(void **state) {
    struct duo *d = *state;
    for (int round = 0; round < 10; round++) {
        struct ends ends[STREAMS];
        pthread_t readers[STREAMS], writers[STREAMS];
        for (int i = 0; i < STREAMS; i++)
            ends[i] = open_ends(d);
        for (int i = 0; i < STREAMS; i++) {
            smuxb_stream_ref(ends[i].far); /* for the reader, which outlives our handle */
            readers[i] = run(read_until_reset, ends[i].far);
            writers[i] = run(write_until_reset, ends[i].near);
        }
        usleep(3000);
        for (int i = 0; i < STREAMS; i++)
            smuxb_stream_reset(ends[i].far);
        for (int i = 0; i < STREAMS; i++) {
            result_of(readers[i]);
            result_of(writers[i]);
            smuxb_stream_unref(ends[i].far);
        }
    }
}

enum { MESSAGES = 50 };

static void *read_messages(void *stream) {
    uint8_t byte;
    for (int i = 0; i < MESSAGES; i++)
        THREAD_ASSERT(smuxb_stream_read(stream, &byte, 1) == 1);
    return NULL;
}

/* Regression: one thread had received all messages for a while, so it was expected to be the
 * receiving one, and then it ended. No thread received for readers whose deadlines always expired
 * before they could be woken, until the session considered its peer silent. */
static void readers_that_look_in_again_and_again_get_their_data(void **state) {
    struct duo *d = *state;
    struct ends busy = open_ends(d), polled = open_ends(d);
    pthread_t reader = run(read_messages, busy.far);
    uint64_t give_up_us = smuxb_now_us() + 20000000;
    uint8_t byte = 1;
    for (int i = 0; i < MESSAGES; i++) {
        assert_int_equal(smuxb_stream_write(busy.near, &byte, 1), 1);
        usleep(500);
    }
    result_of(reader);
    for (int i = 0; i < MESSAGES; i++) {
        ssize_t n = SMUXB_ERR_TIMEOUT;
        assert_int_equal(smuxb_stream_write(polled.near, &byte, 1), 1);
        while (n == SMUXB_ERR_TIMEOUT && smuxb_now_us() < give_up_us) {
            smuxb_stream_set_read_deadline(polled.far, smuxb_now_us() + 5);
            n = smuxb_stream_read(polled.far, &byte, 1);
        }
        assert_int_equal(n, 1);
    }
    close_ends(&busy);
    close_ends(&polled);
}

#define TESTS(X)                                                                                   \
    X(deadlines_pass_while_bulk_is_being_received)                                                 \
    X(streams_are_reset_while_bulk_is_being_received)                                              \
    X(readers_that_look_in_again_and_again_get_their_data)

DUO_MAIN(TESTS)
