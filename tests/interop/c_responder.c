/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct responder {
    smuxb_session *session;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t acceptor; /* of responder_start */
    bool started;
    unsigned serving;  /* streams being answered */
    unsigned releases; /* `release` requests not yet used up */
    bool ended;
    uint64_t accepted, outcomes[SKIPPED + 1];
    char early[LINE_MAX_LEN]; /* what the last `early` stream received */
};

/* One accepted stream, answered by a thread of its own. */
struct job {
    struct responder *r;
    smuxb_stream *stream;
};

typedef enum outcome answer(struct responder *r, smuxb_stream *s, uint64_t a, uint64_t b);

static enum outcome echo(struct responder *r, smuxb_stream *s, uint64_t a, uint64_t b) {
    (void)r, (void)a, (void)b;
    uint8_t *chunk = must_alloc(CHUNK_LEN);
    enum outcome outcome = DONE;
    ssize_t n = 0;
    while (outcome == DONE && (n = smuxb_stream_read(s, chunk, CHUNK_LEN)) > 0)
        outcome = write_all(s, chunk, (size_t)n);
    free(chunk);
    return n < 0 ? fail("read: %s", smuxb_error_name((int)n)) : outcome;
}

static enum outcome sink(struct responder *r, smuxb_stream *s, uint64_t len, uint64_t b) {
    (void)r, (void)b;
    char sum[SUM_LEN];
    enum outcome outcome = receive(s, len, sum);
    if (outcome == DONE)
        outcome = write_text(s, "%" PRIu64 " %s\n", len, sum);
    return outcome == DONE ? drain(s) : outcome;
}

static enum outcome source(struct responder *r, smuxb_stream *s, uint64_t len, uint64_t seed) {
    (void)r;
    char sum[SUM_LEN];
    enum outcome outcome = send_pattern(s, len, seed, sum);
    return outcome == DONE ? drain(s) : outcome;
}

static enum outcome wait_gate(struct responder *r) {
    pthread_mutex_lock(&r->lock);
    while (!r->releases && !r->ended)
        pthread_cond_wait(&r->changed, &r->lock);
    bool released = r->releases > 0;
    if (released)
        r->releases--;
    pthread_mutex_unlock(&r->lock);
    return released ? DONE : fail("session ended before the release");
}

static enum outcome hold(struct responder *r, smuxb_stream *s, uint64_t len, uint64_t b) {
    enum outcome outcome = wait_gate(r);
    return outcome == DONE ? sink(r, s, len, b) : outcome;
}

/* Reads everything up to the end of file into *data, which the caller frees. */
static enum outcome slurp(smuxb_stream *s, uint8_t **data, size_t *len) {
    size_t room = CHUNK_LEN;
    ssize_t n;
    *len = 0;
    *data = must_alloc(room);
    while ((n = smuxb_stream_read(s, *data + *len, room - *len)) > 0) {
        *len += (size_t)n;
        if (*len < room)
            continue;
        uint8_t *larger = must_alloc(room * 2);
        memcpy(larger, *data, *len);
        free(*data);
        *data = larger;
        room *= 2;
    }
    return n < 0 ? fail("read: %s", smuxb_error_name((int)n)) : DONE;
}

/* Reads to the end of file, replies, and closes; when careful, only after a `release`. */
static enum outcome half(struct responder *r, smuxb_stream *s, uint64_t careful, uint64_t b) {
    (void)b;
    uint8_t *data;
    size_t len;
    char sum[SUM_LEN];
    enum outcome outcome = slurp(s, &data, &len);
    checksum_of(data, len, sum);
    if (outcome == DONE)
        outcome = write_text(s, "%zu %s\n", len, sum);
    if (outcome == DONE)
        outcome = write_all(s, data, len);
    free(data);
    return outcome == DONE && careful ? wait_gate(r) : outcome;
}

/* Ends its own direction first and then keeps reading. */
static enum outcome early(struct responder *r, smuxb_stream *s, uint64_t len, uint64_t b) {
    (void)b;
    char sum[SUM_LEN];
    enum outcome outcome = write_text(s, "bye\n");
    if (outcome == DONE && smuxb_stream_close_write(s))
        outcome = fail("close_write failed");
    if (outcome == DONE)
        outcome = receive(s, len, sum);
    if (outcome != DONE)
        return outcome;
    pthread_mutex_lock(&r->lock);
    snprintf(r->early, sizeof r->early, "%" PRIu64 ":%s", len, sum);
    pthread_mutex_unlock(&r->lock);
    return drain(s);
}

static enum outcome call(struct responder *r, smuxb_stream *s, uint64_t streams, uint64_t len) {
    for (uint64_t i = 0; i < streams; i++) {
        enum outcome outcome = exchange_opened(r->session, len, i);
        if (outcome != DONE) {
            write_text(s, "stream %" PRIu64 ": %s\n", i, failure);
            return outcome;
        }
    }
    enum outcome outcome = write_text(s, "called %" PRIu64 "\n", streams);
    return outcome == DONE ? drain(s) : outcome;
}

static enum outcome release(struct responder *r, smuxb_stream *s, uint64_t a, uint64_t b) {
    (void)a, (void)b;
    pthread_mutex_lock(&r->lock);
    r->releases++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    enum outcome outcome = write_text(s, "released\n");
    return outcome == DONE ? drain(s) : outcome;
}

static enum outcome stats(struct responder *r, smuxb_stream *s, uint64_t a, uint64_t b) {
    (void)a, (void)b;
    char line[2 * LINE_MAX_LEN];
    pthread_mutex_lock(&r->lock);
    snprintf(line, sizeof line, "accepted=%" PRIu64 " active=%u early=%s\n", r->accepted,
             (unsigned)smuxb_session_num_streams(r->session), r->early);
    pthread_mutex_unlock(&r->lock);
    enum outcome outcome = write_text(s, "%s", line);
    return outcome == DONE ? drain(s) : outcome;
}

/* Requests that only serve the driver's bookkeeping are not counted: the session may end while
 * their last answer is being read. */
static const struct request {
    const char *name;
    answer *answer;
    bool counted;
} requests[] = {
    {"echo", echo, true}, {"sink", sink, true},    {"source", source, true},
    {"hold", hold, true}, {"half", half, true},    {"early", early, true},
    {"call", call, true}, {"stats", stats, false}, {"release", release, false},
};

static const struct request *find_request(const char *name) {
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (strcmp(requests[i].name, name) == 0)
            return &requests[i];
    return NULL;
}

static void count_accepted(struct responder *r) {
    pthread_mutex_lock(&r->lock);
    r->accepted++;
    pthread_mutex_unlock(&r->lock);
}

/* Returns whether the outcome counts. */
static bool serve(struct responder *r, smuxb_stream *s, enum outcome *outcome) {
    char line[LINE_MAX_LEN] = "", name[LINE_MAX_LEN] = "";
    uint64_t a = 0, b = 0;
    *outcome = read_line(s, line);
    sscanf(line, "%127s %" SCNu64 " %" SCNu64, name, &a, &b);
    const struct request *request = find_request(name);
    if (!request || request->counted)
        count_accepted(r);
    if (*outcome == TRUNCATED && line[0] == 0)
        *outcome = DONE; /* opened and closed again without a request */
    else if (*outcome == DONE && !request)
        *outcome = fail("unknown request %s", name);
    else if (*outcome == DONE)
        *outcome = request->answer(r, s, a, b);
    if (*outcome == FAILED && (!request || request->counted))
        printf("stream %u %s: %s\n", smuxb_stream_id(s), name, failure);
    return !request || request->counted;
}

static void *serve_thread(void *argument) {
    struct job job = *(struct job *)argument;
    struct responder *r = job.r;
    free(argument);
    enum outcome outcome;
    bool counted = serve(r, job.stream, &outcome);
    smuxb_stream_close(job.stream);
    pthread_mutex_lock(&r->lock);
    r->outcomes[outcome] += counted;
    r->serving--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

struct responder *responder_new(smuxb_session *session) {
    struct responder *r = must_alloc(sizeof *r);
    *r = (struct responder){.session = session, .early = "none"};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    return r;
}

static void start_job(struct responder *r, smuxb_stream *stream, const pthread_attr_t *attr) {
    struct job *job = must_alloc(sizeof *job);
    *job = (struct job){r, stream};
    pthread_mutex_lock(&r->lock);
    r->serving++;
    pthread_mutex_unlock(&r->lock);
    pthread_t thread;
    if (pthread_create(&thread, attr, serve_thread, job)) {
        fprintf(stderr, "c_peer: cannot start a thread\n");
        exit(1);
    }
}

void responder_run(struct responder *r) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    smuxb_stream *stream;
    while (smuxb_stream_accept(r->session, &stream) == 0)
        start_job(r, stream, &attr);
    pthread_attr_destroy(&attr);
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void *run_thread(void *r) {
    responder_run(r);
    return NULL;
}

void responder_start(struct responder *r) {
    if (pthread_create(&r->acceptor, NULL, run_thread, r)) {
        fprintf(stderr, "c_peer: cannot start a thread\n");
        exit(1);
    }
    r->started = true;
}

static void await_answers(struct responder *r) {
    pthread_mutex_lock(&r->lock);
    while (r->serving > 0)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

void responder_free(struct responder *r) {
    if (r->started)
        pthread_join(r->acceptor, NULL);
    await_answers(r);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    free(r);
}

void responder_report(struct responder *r) {
    await_answers(r);
    pthread_mutex_lock(&r->lock);
    printf("session ended: %s accepted=%" PRIu64 " completed=%" PRIu64 " truncated=%" PRIu64
           " failed=%" PRIu64 "\n",
           smuxb_session_error_text(r->session), r->accepted, r->outcomes[DONE],
           r->outcomes[TRUNCATED], r->outcomes[FAILED]);
    pthread_mutex_unlock(&r->lock);
}
