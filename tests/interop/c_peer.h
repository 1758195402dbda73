/* SPDX-License-Identifier: MIT */
/* c_peer: libsmux as an ordinary process, for either end of the interoperability tests.  README.md
 * has the command line and the conversation that all peers share.
 *
 * Functions that return enum outcome describe what went wrong in `failure`. */
#ifndef C_PEER_H
#define C_PEER_H

#include <stdint.h>

#include "core/smux_blocking.h"

enum { CHUNK_LEN = 128 * 1024, LINE_MAX_LEN = 128, SUM_LEN = 33, FAILURE_LEN = 256 };

/* TRUNCATED: a clean end of file before the announced length. */
enum outcome { DONE, TRUNCATED, FAILED, SKIPPED };

/* Returns from the function on any outcome but DONE. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        enum outcome outcome_ = (expression);                                                      \
        if (outcome_ != DONE)                                                                      \
            return outcome_;                                                                       \
    } while (0)

struct options {
    const char *listen, *connect, *role, *run;
    uint64_t version, streams, size, seed;
    uint64_t interval_ms, timeout_ms, idle_ms, watchdog_s;
    uint64_t max_frame, receive_buffer, stream_buffer;
    bool careful, no_accept, fixed_window, about;
};

/* c_options.c */
void options_parse(struct options *o, int argc, char **argv);
void options_config(const struct options *o, smux_config *config);
enum smux_role options_role(const struct options *o);
_Noreturn void usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* c_address.c */
/* A socket that listens at ADDRESS:PORT, which is printed; one that is connected to it.  -1 with
 * errno: failed. */
int listen_at(const char *text, int backlog);
int connect_to(const char *text);

/* c_carrier.c; of plain_peer, plain/connections.c */
smuxb_session *start_session(const struct options *o);

/* c_pattern.c */
struct checksum {
    uint64_t a, b;
    uint8_t partial[8];
    size_t held;
};
void pattern_fill(uint8_t *data, size_t len, uint64_t seed, uint64_t offset);
/* A buffer of len bytes of the pattern, to be freed. */
uint8_t *pattern_new(size_t len, uint64_t seed);
void checksum_add(struct checksum *sum, const uint8_t *data, size_t len);
void checksum_text(struct checksum sum, char text[SUM_LEN]);
void checksum_of(const uint8_t *data, size_t len, char text[SUM_LEN]);

/* c_transfer.c */
extern _Thread_local char failure[FAILURE_LEN];
enum outcome fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *must_alloc(size_t size);
enum outcome write_all(smuxb_stream *stream, const void *data, size_t len);
enum outcome write_text(smuxb_stream *stream, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum outcome read_all(smuxb_stream *stream, void *data, size_t len);
/* One line without its newline.  TRUNCATED: the stream ended first; `line` is what arrived. */
enum outcome read_line(smuxb_stream *stream, char line[LINE_MAX_LEN]);
enum outcome receive(smuxb_stream *stream, uint64_t len, char sum[SUM_LEN]);
enum outcome send_pattern(smuxb_stream *stream, uint64_t len, uint64_t seed, char sum[SUM_LEN]);
/* Waits for the other side's end of file; data before it is a failure. */
enum outcome drain(smuxb_stream *stream);
/* Transfers the same amount both ways on a stream whose other side echoes; `request` goes first. */
enum outcome exchange(smuxb_stream *stream, const char *request, const uint8_t *data, size_t len);
/* The same with len bytes of the pattern, on a stream of its own. */
enum outcome exchange_opened(smuxb_session *session, size_t len, uint64_t seed);

/* c_responder.c */
struct responder;
struct responder *responder_new(smuxb_session *session);
/* Answers streams until the session ends. */
void responder_run(struct responder *r);
void responder_start(struct responder *r); /* the same in a thread */
void responder_report(struct responder *r);
/* Waits until every stream has been answered.  Call this after the session's end. */
void responder_free(struct responder *r);

/* c_driver.c */
struct driver {
    const struct options *o;
    smuxb_session *session;
    char details[FAILURE_LEN];
};
int drive(const struct options *o, smuxb_session *session);
uint64_t or_else(uint64_t value, uint64_t otherwise);
void detail(struct driver *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Opens a stream and sends the line that tells the other side what to do with it. */
enum outcome request(struct driver *d, smuxb_stream **stream, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A request whose whole answer is one line. */
enum outcome ask(struct driver *d, char line[LINE_MAX_LEN], const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A request whose whole answer must be `want`. */
enum outcome ask_for(struct driver *d, const char *question, const char *want);
/* Asks until the other side's stats contain the text; the watchdog limits the time. */
enum outcome await_stats(struct driver *d, const char *text);
/* Whether the line is "LEN SUM". */
enum outcome expect_sum(const char *line, uint64_t len, const char *sum);

/* c_scenarios.c, c_endings.c */
enum outcome run_echo(struct driver *d);
enum outcome run_churn(struct driver *d);
enum outcome run_bulk_up(struct driver *d);
enum outcome run_bulk_down(struct driver *d);
enum outcome run_parallel(struct driver *d);
enum outcome run_reverse(struct driver *d);
enum outcome run_slow_reader(struct driver *d);
enum outcome run_keepalive(struct driver *d);
enum outcome run_half_close(struct driver *d);
enum outcome run_early_close(struct driver *d);
enum outcome run_carrier_loss(struct driver *d);
enum outcome run_frozen(struct driver *d);

#endif
