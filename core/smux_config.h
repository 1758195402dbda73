/* SPDX-License-Identifier: MIT
 *
 * libsmux: errors, configuration and memory, as the engine (smux.h) and the blocking API
 * (smux_blocking.h) use them.  Both of those headers include this one.
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

/* Name, value, tier and text.  Values are part of the ABI and never reused. */
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

/* The text of an error ("stream reset by peer"): static, never NULL. */
SMUX_API const char *smux_strerror(int error);
/* Its name ("SMUX_ERR_PEER_RESET"): static, never NULL. */
SMUX_API const char *smux_error_name(int error);
/* What it ends.  SMUX_TIER_NONE for SMUX_OK and for values that are not among the errors above. */
SMUX_API enum smux_tier smux_error_tier(int error);

/* ---- Configuration -------------------------------------------------------------------------- */

enum smux_role { SMUX_CLIENT, SMUX_SERVER };

/* For servers: adopt the version of the client's first frame. */
#define SMUX_VERSION_AUTO 0

/* What happens when max_receive_buffer bytes have been delivered and not yet consumed
 * (smux_stream_consume). */
enum smux_on_full {
    /* Reading stops, as in the Go library: smux_session_want_read is false until some bytes have
     * been consumed.  Nothing is lost, but all streams wait.  The rest of the buffer given to
     * smux_session_feed is still delivered. */
    SMUX_FULL_STALL,
    /* The stream that holds the most bytes (within a factor of two) is reset with SMUX_ERR_OVERRUN,
     * so that the others continue: at once, or after full_patience_us.  This never happens between
     * two sides of this library that both use version 2, this setting, extensions, auto_window and
     * a max_receive_buffer of at least 16 MiB: they promise each other no more than the budget
     * holds and refuse streams for which there is no room (PROTOCOL.md, 7). */
    SMUX_FULL_RESET
};

/* Fill it with smux_config_init first, then change fields, since fields may be appended.  The first
 * seven are those of the Go library, with its meaning, rules and defaults. */
typedef struct smux_config {
    /* The protocol version: 1 or 2; for servers also SMUX_VERSION_AUTO.  Default 1. */
    int version;
    /* Send no keepalives and let the peer be silent for any time.  Default false. */
    bool keepalive_disabled;
    /* How often a NOP is sent, at least 1.  Default 10 s. */
    uint64_t keepalive_interval_us;
    /* How long the peer may be silent, at least keepalive_interval_us.  Default 30 s.  It applies
     * only to a peer that has sent a NOP or announced the extensions, since some peers never send
     * anything of their own accord, and not while SMUX_FULL_STALL has stopped reading.  (Go peers
     * end a session that has been silent for their own timeout.) */
    uint64_t keepalive_timeout_us;
    /* The most payload bytes of a frame that this side sends, 1..65535.  Default 32768. */
    uint32_t max_frame_size;
    /* The most unread bytes of all streams together, 1..2^31-1.  Default 4 MiB.  In version 2 each
     * stream may fill 256 KiB of it unread, because that is its initial window, which no setting
     * changes.  An application that leaves many streams unread at once (such as an echo that does
     * not read while it cannot write) needs that much for each. */
    uint32_t max_receive_buffer;
    /* The window of a version 2 stream without auto_window, 1..max_receive_buffer.  Default
     * 64 KiB. */
    uint32_t max_stream_buffer;
    /* Version 2: windows start at 256 KiB and grow with the measured bandwidth-delay product, all
     * of them together by less than half of max_receive_buffer.  Default true. */
    bool auto_window;
    /* The largest automatic window, 262144..max_receive_buffer; 0 means half of
     * max_receive_buffer, at least 256 KiB.  Default 0. */
    uint32_t max_window;
    /* A stream on which no data has moved for this long is reset; 0: never.  Default 0. */
    uint64_t stream_idle_timeout_us;
    /* A stream given up by smux_stream_close that still has data to send is reset when the peer has
     * opened no window for it for this long; 0: never.  Default 10 min: a reader may well pause for
     * a minute, but a plain peer that has closed the stream will never open one. */
    uint64_t linger_timeout_us;
    /* The most streams of the peer that wait for smux_stream_accept, 1..2^31-1.  Further ones are
     * refused.  Default 1024. */
    uint32_t accept_backlog;
    /* The most streams alive at once, 1..2^31-1.  Default 1048576. */
    uint32_t max_streams;
    /* The most bytes that smux_stream_send queues on a stream, 1..2^31-1.  Default 256 KiB. */
    uint32_t stream_send_buffer;
    /* The same for all streams together, 1..2^31-1.  Default 4 MiB.  In version 2 a stream with an
     * empty queue may still queue 4 KiB, up to twice the limit in all, so that streams without
     * window do not stop the others.  The memory for it is at most twice those bytes. */
    uint32_t session_send_buffer;
    /* See above.  Default SMUX_FULL_STALL. */
    enum smux_on_full on_full;
    /* Offer the extensions, and use them with a peer that has them.  Default true. */
    bool extensions;
    /* A random number that protects look-ups against peers that choose stream ids to slow them
     * down.  0 means one derived from addresses and the time, which is weaker.  Default 0. */
    uint64_t hash_seed;
    /* Where both sides keep their promises (SMUX_FULL_RESET): the most bytes that may be promised
     * in all.  0, or more than max_receive_buffer, means max_receive_buffer.  Default 0. */
    uint32_t max_promised;
    /* For SMUX_FULL_RESET where promises are not kept: reading stops as with SMUX_FULL_STALL while
     * the stream that holds the most is consumed.  It is reset only if reading has been stopped and
     * it has been consumed by less than a 1024th of max_receive_buffer for this long.  So no reader
     * that makes progress loses its stream, and no other stream waits longer for one that makes
     * none.  0: it is reset at once.  Default 0. */
    uint64_t full_patience_us;
} smux_config;

/* What is wrong with a configuration.  Both texts are static. */
typedef struct smux_config_fault {
    /* The name of the field. */
    const char *field;
    /* What was expected ("must be 1 to 65535"). */
    const char *why;
} smux_config_fault;

/* Sets all fields to their defaults. */
SMUX_API void smux_config_init(smux_config *config);
/* Checks ranges and rules.  Returns 0, or SMUX_ERR_CONFIG with the first fault in *fault unless
 * `fault` is NULL. */
SMUX_API int smux_config_verify(const smux_config *config, enum smux_role role,
                                smux_config_fault *fault);

/* Where memory comes from.  `alloc` returns NULL on failure, otherwise memory aligned as malloc's.
 * `free` is never given NULL.  `context` is passed to both. */
typedef struct smux_allocator {
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *memory);
    void *context;
} smux_allocator;

#ifdef __cplusplus
}
#endif
#endif
