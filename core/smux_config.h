/* SPDX-License-Identifier: MIT
 *
 * libsmux: errors, configuration and memory, as the engine (smux.h) and the blocking API
 * (smux_blocking.h) use them.  Either of these headers includes this one.
 */
#ifndef SMUX_CONFIG_H
#define SMUX_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SMUX_API __attribute__((visibility("default")))

/* ---- Errors --------------------------------------------------------------------------------- */

/* What an error ends: the call alone, one stream, or the whole session. */
enum smux_tier { SMUX_TIER_NONE, SMUX_TIER_CALL, SMUX_TIER_STREAM, SMUX_TIER_SESSION };

/* name, value, tier, text.  Values are part of the ABI and never reused. */
#define SMUX_ERRORS(X)                                                                             \
    X(SMUX_OK, 0, NONE, "no error")                                                                \
    X(SMUX_ERR_NOMEM, -1, CALL, "out of memory")                                                   \
    X(SMUX_ERR_ARGUMENT, -2, CALL, "invalid argument")                                             \
    X(SMUX_ERR_CONFIG, -3, CALL, "invalid configuration")                                          \
    X(SMUX_ERR_BUSY, -4, CALL, "events of the previous input have not all been taken")             \
    X(SMUX_ERR_SHUT, -5, CALL, "stream is closed for writing")                                     \
    X(SMUX_ERR_STREAM_LIMIT, -6, CALL, "too many streams")                                         \
    X(SMUX_ERR_EXHAUSTED, -7, CALL, "stream ids of this session are used up")                      \
    X(SMUX_ERR_GOAWAY, -8, CALL, "session accepts no new streams")                                 \
    X(SMUX_ERR_PEER_RESET, -20, STREAM, "stream reset by peer")                                    \
    X(SMUX_ERR_LOCAL_RESET, -21, STREAM, "stream reset by this side")                              \
    X(SMUX_ERR_WINDOW, -22, STREAM, "peer sent more than its window")                              \
    X(SMUX_ERR_CONSUMED, -23, STREAM, "peer acknowledged more than was sent")                      \
    X(SMUX_ERR_OVERRUN, -24, STREAM, "receive budget exceeded, largest stream reset")              \
    X(SMUX_ERR_IDLE, -25, STREAM, "stream idle for too long")                                      \
    X(SMUX_ERR_VERSION, -40, SESSION, "bad frame version")                                         \
    X(SMUX_ERR_COMMAND, -41, SESSION, "bad frame command")                                         \
    X(SMUX_ERR_LENGTH, -42, SESSION, "bad frame length")                                           \
    X(SMUX_ERR_STREAM_ID, -43, SESSION, "bad stream id")                                           \
    X(SMUX_ERR_KEEPALIVE, -44, SESSION, "peer has gone silent")                                    \
    X(SMUX_ERR_CARRIER, -45, SESSION, "carrier lost")                                              \
    X(SMUX_ERR_CLOSED, -46, SESSION, "session closed")                                             \
    X(SMUX_ERR_FLOOD, -47, SESSION, "peer opens streams and does not read the answers")

enum smux_error {
#define X(name, value, tier, text) name = (value),
    SMUX_ERRORS(X)
#undef X
};

/* Static text for an error ("stream reset by peer").  Never NULL. */
SMUX_API const char *smux_strerror(int error);
/* Its name ("SMUX_ERR_PEER_RESET").  Never NULL. */
SMUX_API const char *smux_error_name(int error);
/* SMUX_TIER_NONE for SMUX_OK, and for what is none of the errors above. */
SMUX_API enum smux_tier smux_error_tier(int error);

/* ---- Configuration -------------------------------------------------------------------------- */

enum smux_role { SMUX_CLIENT, SMUX_SERVER };

#define SMUX_VERSION_AUTO 0 /* a server that adopts the version of the client's first frame */

/* What happens when the application holds max_receive_buffer bytes unread (smux_stream_consume not
 * yet called for them). */
enum smux_on_full {
    /* As the Go library: nothing more is read (smux_session_want_read is false) until some is
     * consumed. No byte is lost, but every stream waits.  The rest of the buffer given to
     * smux_session_feed is still delivered. */
    SMUX_FULL_STALL,
    /* The stream that holds the most (within a factor of two) is reset with SMUX_ERR_OVERRUN, so
     * that the others flow on.  Never between two sides of this library in version 2 that are both
     * configured so, with extensions, auto_window and max_receive_buffer of 16 MiB at least: they
     * promise each other no more than the budget holds, and refuse streams for which there is no
     * room (PROTOCOL.md, 7). */
    SMUX_FULL_RESET
};

/* Always fill with smux_config_init first, then change fields: new fields may be appended.
 * The first seven are the Go library's, with its meaning, rules and defaults. */
typedef struct smux_config {
    /* 1 or 2; servers also SMUX_VERSION_AUTO.  Default 1. */
    int version;
    /* Default false. */
    bool keepalive_disabled;
    /* > 0.  Default 10 s. */
    uint64_t keepalive_interval_us;
    /* >= interval.  Default 30 s.  Runs only against a peer that has itself sent a NOP (some peers
     * never do), and not while reading is stopped by SMUX_FULL_STALL; a hello counts as well as a
     * NOP.  (Go peers end a session that has been silent for their own timeout). */
    uint64_t keepalive_timeout_us;
    /* Payload bytes of a frame we send, 1..65535.  Default 32768. */
    uint32_t max_frame_size;
    /* Bytes unread over all streams, 1..2^31-1.  Default 4 MiB. A version 2 stream may fill 256
     * KiB of it unread whatever we say: who lets many go unread at once (an echo that does not
     * read while it cannot write) needs that for each. */
    uint32_t max_receive_buffer;
    /* Version 2 window without auto_window, 1..max_receive_buffer. Default 64 KiB. */
    uint32_t max_stream_buffer;
    /* Version 2: windows start at 256 KiB and grow with the measured bandwidth-delay product,
     * together by less than half of max_receive_buffer.  Default true. */
    bool auto_window;
    /* Largest automatic window, 0 or 262144..max_receive_buffer. 0: half of max_receive_buffer, at
     * least 256 KiB.  Default 0. */
    uint32_t max_window;
    /* Reset a stream without data for that long.  0: never. */
    uint64_t stream_idle_timeout_us;
    /* Reset a stream given up by smux_stream_close when the peer has opened no window for what it
     * still has to send for that long.  0: never.  Default 10 min: a reader may well pause for a
     * minute; a plain peer that has gone will never open one. */
    uint64_t linger_timeout_us;
    /* Streams not yet smux_stream_accept-ed, 1..2^31-1.  Further ones are refused.  Default 1024.
     * */
    uint32_t accept_backlog;
    /* Streams alive at once, 1..2^31-1.  Default 1048576. */
    uint32_t max_streams;
    /* Cap of bytes queued by smux_stream_send on a stream, 1..2^31-1. Default 256 KiB. */
    uint32_t stream_send_buffer;
    /* The same over all streams, 1..2^31-1.  Default 4 MiB.  In version 2 a stream with nothing
     * queued may still queue 4 KiB, up to twice this in all: those without window must not stop
     * the others.  Their memory is bounded by twice that. */
    uint32_t session_send_buffer;
    /* Default SMUX_FULL_STALL. */
    enum smux_on_full on_full;
    /* Offer and use the extensions.  Default true. */
    bool extensions;
    /* A random number, against peers that choose stream ids to slow down look-ups.  Default 0:
     * made of addresses and the time, which is better than nothing. */
    uint64_t hash_seed;
    /* Where promises are kept to (SMUX_FULL_RESET), what they may sum up to.  0, the default, or
     * more than max_receive_buffer: that. */
    uint32_t max_promised;
} smux_config;

typedef struct smux_config_fault {
    const char *field; /* static name of the wrong field */
    const char *why;   /* static text: what was expected */
} smux_config_fault;

SMUX_API void smux_config_init(smux_config *config);
/* 0, or SMUX_ERR_CONFIG with `fault` (if not NULL) filled in. */
SMUX_API int smux_config_verify(const smux_config *config, enum smux_role role,
                                smux_config_fault *fault);

/* Memory.  `alloc` returns NULL on failure, otherwise memory aligned as malloc's. */
typedef struct smux_allocator {
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *memory);
    void *context;
} smux_allocator;

#ifdef __cplusplus
}
#endif
#endif
