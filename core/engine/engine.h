/* SPDX-License-Identifier: MIT
 * The nouns of the engine: session, stream, frame, and the functions its files share.
 *
 *   smux_config.c   defaults and rules          error.c    texts
 *   session.c  life and death              table.c    stream id -> stream
 *   stream.c   open, close, reset, states  queue.c    bytes waiting on a stream
 *   receive.c  bytes -> events             window.c   budget, windows, round-trip time
 *   send.c     frames -> bytes             timer.c    keepalive and timeouts
 *   promise.c  the sum of what has been promised to the peer
 *   refusal.c  resets for streams that do not exist
 *   hello.c    what waits for the peer's hello
 */
#ifndef CORE_ENGINE_ENGINE_H
#define CORE_ENGINE_ENGINE_H

#include "core/common/list.h"
#include "core/engine/spares.h"
#include "core/engine/wire.h"
#include "core/smux.h"

static inline uint32_t min_u32(uint32_t a, uint64_t b) {
    return a < b ? a : (uint32_t)b;
}

/* `at`: one of its links; `member`: which. */
#define stream_of(at, member) container_of(at, struct smux_stream, member)

/* ---- Stream --------------------------------------------------------------------------------- */

enum in_state {
    IN_OPEN,
    IN_EOF,    /* the peer sends nothing more */
    IN_CLOSED, /* and reads nothing more */
    IN_DEAD
};
enum out_state {
    OUT_OPEN,
    OUT_CLOSING, /* FIN is owed behind what is queued */
    OUT_CLOSED,  /* FIN is planned or sent */
    OUT_DEAD
};

enum stream_flag {
    F_LOCAL = 1 << 0,       /* opened here */
    F_ACCEPTED = 1 << 1,    /* out of the backlog */
    F_GIVEN_UP = 1 << 2,    /* the application has closed it: no more events */
    F_OWE_SYN = 1 << 3,     /* control frames that are owed */
    F_OWE_UPDATE = 1 << 4,  /* */
    F_OWE_RESET = 1 << 5,   /* */
    F_TOLD_RESET = 1 << 6,  /* the event SMUX_EVENT_RESET is owed */
    F_WRITABLE = 1 << 7,    /* the event SMUX_EVENT_WRITABLE is owed */
    F_BLOCKED = 1 << 8,     /* smux_stream_send fell short */
    F_DROP = 1 << 9,        /* drop the queue once no frame refers to it */
    F_PROBE = 1 << 10,      /* a round-trip time is being taken by the window */
    F_DRY = 1 << 11,        /* the peer has sent all it may, and the application has read it */
    F_URGENT = 1 << 12,     /* urgent_end lies in what no frame has been planned for */
    F_FAILING = 1 << 13,    /* a reset takes the place of the FIN behind what is queued */
    F_SMALL = 1 << 14,      /* opened with a small window for us, and no update has come since */
    F_OWE_CLOSED = 1 << 15, /* CLOSED is owed behind the FIN: it must not keep the FIN back */
};
#define F_OWED (F_OWE_SYN | F_OWE_UPDATE | F_OWE_RESET)

/* 200 bytes are 208 of malloc's; with 16 for each slot of the table, which is at least 3/8 full
 * when it grows, an idle stream stays below 256 at any number of them. */
struct smux_stream {
    smux_session *session;
    void *user;
    uint32_t id;
    uint16_t flags;
    uint8_t in : 2, out : 2;   /* enum in_state, out_state: set by stream_set_in/out alone */
    uint8_t awaits_window : 1; /* smux_stream_window_room said 0 */
    signed error : 8;

    /* Sending.  Positions are those of version 2, modulo 2^32. */
    uint16_t refs;    /* frames in the plan that belong to this stream */
    uint16_t deficit; /* bytes that its turns in the round robin fell short of */
    uint32_t planned; /* bytes at the queue's head that are in planned frames */
    smux_sendbuf *head, *tail;
    uint64_t queued; /* bytes in the queue, the planned ones included */
    uint64_t bytes_out;
    uint32_t peer_consumed, peer_window;
    uint32_t urgent_end; /* the position behind the urgent byte */

    /* Receiving. */
    uint32_t unread;
    uint64_t bytes_in;
    uint32_t window;      /* the window of the next UPD */
    uint32_t limit;       /* position that the peer may send up to */
    uint32_t update_at;   /* `consumed` of the last UPD */
    uint32_t probe_limit; /* a byte beyond this can only come after the last UPD arrived */
    uint32_t update_us;   /* low 32 bits of the time of the last UPD */
    uint32_t probe_us;    /* and of the one that started the probe */

    uint64_t active_us;       /* kept if there is a timeout for it */
    struct list_link ring;    /* session.ring: has data that may be sent */
    struct list_link control; /* session.control: owes a control frame */
    struct list_link events;  /* session.events, .blocked or .starved */
    struct list_link idle;    /* session.idle, .lingering once given up, or .still */
    struct list_link hold;    /* session.hold[log2(unread)], or .shrunk; see there */
};
_Static_assert(sizeof(struct smux_stream) <= 200, "an idle stream is to stay below 256 bytes");
_Static_assert(SMUX_ERR_FLOOD >= INT8_MIN, "errors fit into smux_stream.error");

/* ---- Frames to send ------------------------------------------------------------------------- */

enum frame_kind {
    FRAME_SYN,
    FRAME_FIN,
    FRAME_RESET,  /* NOP and FIN, or FIN alone */
    FRAME_CLOSED, /* two NOPs */
    FRAME_UPDATE,
    FRAME_DATA,
    FRAME_REFUSE, /* a reset for a stream that does not exist */
    FRAME_HELLO,
    FRAME_GOAWAY,
    FRAME_NOP,
    FRAME_PING,
    FRAME_PONG,
    FRAME_WINDOWS, /* WIRE_FULL or WIRE_SMALL */
    FRAME_CREDIT,
    FRAME_SYNC,
    FRAME_SYNCED
};

/* A frame in the plan: given to the caller by smux_session_output, not yet reported by
 * smux_session_output_done. */
struct frame {
    smux_stream *stream; /* NULL for frames of the session */
    uint32_t id;         /* FRAME_REFUSE, PING, PONG */
    uint32_t payload;    /* bytes from the stream's queue */
    uint32_t deficit;    /* of the stream, before the frame was planned */
    uint16_t header_at;  /* its header in session.headers */
    uint8_t header_len;
    uint8_t kind;
    bool urgent; /* its last byte is */
    bool small;  /* SYN: the stream is opened small; WINDOWS: what the one before said */
};

#ifndef FIRST_CLIENT_ID /* tests begin near the end of the ids */
#define FIRST_CLIENT_ID 3
#endif

#define FRAME_HEADER_MAX 16u
#define PLAN_MAX         256u /* frames in one plan: more than 64 iovecs need, few KiB of memory */

/* ---- Session -------------------------------------------------------------------------------- */

struct slot {
    uint32_t id;
    smux_stream *stream;
};

struct table {
    struct slot *slots;
    uint32_t size, used; /* size is 0 or a power of two */
    uint64_t multiplier;
};

enum session_owes {
    OWE_HELLO = 1 << 0,
    OWE_GOAWAY = 1 << 1,
    OWE_NOP = 1 << 2,
    OWE_PING = 1 << 3,
    OWE_PONG = 1 << 4,
    OWE_WINDOWS = 1 << 5,
    OWE_CREDIT = 1 << 6,
    OWE_SYNC = 1 << 7,
    OWE_SYNCED = 1 << 8
};

/* Whether promises are kept to (PROTOCOL.md, 7): not known before the peer's second frame. */
enum terms { TERMS_UNKNOWN, TERMS_KEPT, TERMS_NONE };

enum goaway { GOAWAY_NONE, GOAWAY_SENT, GOAWAY_TOLD };

/* Limits of unsent refusals. Refusals of SYNs are owed, and a peer that lets so many pile up ends
 * the session; one that answers data is made again for the next data. Reading never stops for them:
 * two engines that refuse each other's streams would then both stop for ever. */
#define REFUSALS_MAX      65536u
#define REFUSALS_FOR_DATA 1024u

/* How long resets wait, at a session's beginning, for a hello, without which they would be plain
 * FINs and say that the data is complete. */
#define HELLO_PATIENCE_US 1000000u

struct smux_session {
    smux_config config;
    smux_allocator memory;
    smux_stream *spares; /* linked by `user` */
    uint32_t spares_len;
    enum smux_role role;
    int version;
    int error;
    bool failed_told;
    char text[96];
    uint64_t now_us;
    struct table table;
    uint32_t next_id;

    /* Extensions and keepalive. */
    uint16_t owes; /* enum session_owes */
    bool peer_extensions, peer_goaway, peer_keeps_alive;
    uint8_t goaway; /* enum goaway */
    uint8_t ping_seq, pong_seq;
    bool ping_pending;
    uint64_t ping_us, rtt_us;
    uint64_t hello_until_us;   /* no reset is sent before, 0: no hello is expected any more */
    uint64_t keepalive_us;     /* when the next NOP is due */
    uint64_t last_received_us; /* */
    uint64_t suspect_us;       /* when silence was first noticed, 0: not */

    /* Receiving. */
    const uint8_t *input;
    size_t input_len;
    uint8_t partial[WIRE_HEADER_LEN + WIRE_UPDATE_LEN];
    uint8_t partial_len;
    bool payload_urgent;         /* of the PSH being received: its last byte is urgent */
    uint16_t payload_len;        /* of the last PSH that had any */
    uint32_t payload_left;       /* of the PSH being received */
    smux_stream *payload_stream; /* NULL: drop it */
    uint32_t payload_orphan;     /* its stream, if that went in the middle of it; 0: answered */
    uint32_t mark_id;            /* stream of the NOP just before, 0: none */
    uint64_t unread, granted;    /* granted: windows beyond the initial one, summed */
    /* Streams in the order in which their windows were last tuned.  Where promises are kept to:
     * [log2(window)]; under SMUX_FULL_STALL [0] alone: those whose windows have grown, or should.
     * */
    struct list hold[32];
    uint32_t sharers; /* how many these are */
    uint32_t backlog;
    bool paused;           /* smux_session_pause_reading */
    uint32_t window_limit; /* of automatic windows, for now */

    /* Promises, ours and the peer's. */
    bool offers;            /* we keep to the peer's if it keeps to ours */
    uint8_t terms;          /* enum terms */
    bool tight, told_tight; /* streams that we open give the peer a small window; and the peer
                               has been told */
    bool sync_pending;
    uint64_t held;        /* the most that can ever lie unread, if the peer keeps to it */
    struct list shrunk;   /* windows that were lowered, in updates before the next SYNC(ED) */
    uint32_t credits_out; /* streams of the peer that may still begin with a full window */
    uint32_t credits;     /* and of ours */
    uint32_t small_id;    /* stream of the FIN just before, 0: none */
    uint32_t peer_first;  /* the window that streams opened by the peer give us */

    /* Events. */
    smux_sendbuf *returned, **returned_tail;
    struct list events;

    /* Sending. */
    struct list ring, control;
    struct list idle, lingering;  /* by last activity: the first has been still for longest */
    struct list still;            /* found still once, in that order */
    struct list blocked, starved; /* whose smux_stream_send fell short of the session's share */
    uint32_t ring_len;
    uint64_t queued, copied; /* of all streams; of that, what lies in buffers made here */
    uint64_t chunks;         /* memory of those buffers */
    uint32_t *refusals;      /* stream ids; [refusals_head, refusals_tail) are unsent */
    uint32_t refusals_head, refusals_tail, refusals_size;
    bool outstanding; /* between smux_session_output and smux_session_output_done */
    bool hello_waits; /* a RESET or CLOSED does, for hello_until_us */
    uint32_t frames_len;
    uint32_t begun; /* bytes of frames[0] that are on the wire; then it alone is in the plan */
    uint32_t headers_len;
    struct frame frames[PLAN_MAX];
    uint8_t headers[PLAN_MAX * FRAME_HEADER_MAX];

    smux_session_info count; /* the counters of it alone are kept up to date */
};

static inline void *engine_alloc(smux_session *s, size_t size) {
    return s->memory.alloc(s->memory.context, size);
}
static inline void engine_free(smux_session *s, void *memory) {
    if (memory)
        s->memory.free(s->memory.context, memory);
}
/* Notes what the caller says the time is.  It never goes back. */
static inline void engine_time(smux_session *s, uint64_t now_us) {
    if (now_us > s->now_us)
        s->now_us = now_us;
}

/* session.c */
/* Fails the session with the error's text and up to two values, as in "bad frame length: 9,
 * expected 0". `expected` may be NULL. */
void session_fail_got(smux_session *s, int error, uint64_t got, const char *expected);

/* table.c.  O(1); the table's own memory comes from the session's allocator. */
smux_stream *table_get(const smux_session *s, uint32_t id);
int table_put(smux_session *s, smux_stream *st);
void table_remove(smux_session *s, uint32_t id);
smux_stream *table_next(const smux_session *s, const smux_stream *previous);

/* stream.c */
/* `first`: what the peer may send before any update; 0: there is no room for it. */
int stream_new(smux_session *s, uint32_t id, uint16_t flags, uint32_t first, smux_stream **stream);
void stream_free(smux_stream *st);
void stream_free_spares(smux_session *s);
/* Ends a stream with an error.  `tell` the peer, and the application by SMUX_EVENT_RESET. */
void stream_kill(smux_stream *st, int error, bool tell_peer, bool tell_application);
/* Kills it if smux_stream_reset_behind was called and nothing of it is left to send. */
void stream_fail_behind(smux_stream *st);
/* Frees it if the application has given it up and nothing of it is left to send. */
void stream_settle(smux_stream *st);
void stream_owe_nothing(smux_stream *st);
/* Notes that bytes have moved. timer.c ends a stream on which none move for too long. */
void stream_active(smux_stream *st);
/* Would what it has to send go out at once if the carrier took it? */
static inline bool stream_waits_for_carrier(const smux_stream *st) {
    return list_is_linked(&st->ring) || list_is_linked(&st->control) || st->refs;
}
void stream_set_in(smux_stream *st, enum in_state to);
void stream_set_out(smux_stream *st, enum out_state to);
void stream_event(smux_stream *st, uint16_t flag);

/* queue.c */
void queue_advance(smux_stream *st, size_t n);
/* Drops all queued bytes; those that a frame refers to as soon as it no longer does. */
void queue_drop(smux_stream *st);
/* Describes `len` bytes of the queue from `from` on; returns how many fitted into the iovecs. */
size_t queue_gather(const smux_stream *st, uint64_t from, size_t len, struct iovec *iov,
                    int *iovcnt, int iov_max);
void queue_unblock(smux_session *s);
uint64_t queue_room(const smux_stream *st);

/* send.c */
/* Puts the stream into the lists of those that have something to send, or takes it out. */
void send_schedule(smux_stream *st);
void send_leave_ring(smux_stream *st);
void send_void_plan(smux_session *s);
int64_t send_allowance(const smux_stream *st);
static inline bool send_fin_due(const smux_stream *st) {
    return st->out == OUT_CLOSING && st->queued == st->planned && !(st->flags & F_FAILING);
}

/* hello.c */
static inline void send_owe_reset(smux_stream *st) {
    st->flags |= F_OWE_RESET;
    st->session->hello_waits |= st->session->hello_until_us != 0;
}
/* The application has closed the stream, and the peer, which may still send, is to be told. */
static inline void send_owe_closed(smux_stream *st) {
    if (st->in != IN_OPEN || !(st->session->peer_extensions || st->session->hello_until_us))
        return;
    st->flags |= F_OWE_CLOSED;
    st->session->hello_waits |= st->session->hello_until_us != 0;
}
/* The peer's hello has come, or will not: resets and CLOSED need not wait for it any longer. */
void send_waiting(smux_session *s);

/* refusal.c */
/* Owes a reset for a stream that does not exist, in answer to SYN or to data. */
void send_refuse(smux_session *s, uint32_t id, bool for_data);

/* window.c */
void window_start(smux_stream *st, uint32_t first);
void window_set(smux_stream *st, uint32_t window);
void window_end(smux_stream *st);
void window_consumed(smux_stream *st);
bool window_admits(const smux_stream *st, uint32_t len);
/* Makes room in the budget for len more bytes, under SMUX_FULL_RESET. */
void window_make_room(smux_session *s, uint32_t len);
void window_delivered(smux_stream *st, uint32_t len);
/* `unread` of the stream goes down by n. */
void window_release(smux_stream *st, uint32_t n);
struct wire_update window_update(smux_stream *st);
void window_rtt(smux_session *s, uint64_t sample_us);

/* promise.c */
void promise_init(smux_session *s);
/* Is the sum of promises bounded by the budget, as far as is known yet? */
static inline bool promise_bounds(const smux_session *s) {
    return s->offers && s->terms != TERMS_NONE && s->version != 1;
}
/* How much of the budget the stream takes or may take. */
static inline uint64_t promise_held(const smux_stream *st) {
    if (st->flags & F_GIVEN_UP)
        return 0; /* what comes is dropped */
    if (st->in != IN_OPEN)
        return st->unread;
    uint32_t held = st->limit - (uint32_t)(st->bytes_in - st->unread);
    return held > WIRE_SMALL_WINDOW ? held : WIRE_SMALL_WINDOW;
}
/* Call this after a change, with what promise_held returned before. */
static inline void promise_note(smux_stream *st, uint64_t before) {
    st->session->held += promise_held(st) - before;
}
/* What may still be promised. */
uint64_t promise_left(const smux_session *s);
/* What a new stream may be promised. */
uint32_t promise_usual(const smux_session *s);
/* The window for an update, growth left aside: less than now while others are short of room, more
 * if the stream has less than its share. */
uint32_t promise_fair(const smux_stream *st);
/* The largest window that a stream may grow to. */
uint64_t promise_growth(const smux_stream *st);
/* The window that the peer has on a new stream without any update. 0: there is no room for it. */
uint32_t promise_open(smux_session *s);
uint32_t promise_accept(smux_session *s, uint32_t id);
/* A stream has begun, or ended: makes room, or uses it. */
void promise_balance(smux_session *s);
/* Takes windows back from streams that are still, or from all that have more than their share. */
void promise_shrink(smux_session *s, bool all);
/* The SYN is planned; true: it opens the stream small. */
bool promise_plan_syn(smux_stream *st);
void promise_take_back_syn(smux_stream *st, bool small);
/* The peer's frames. */
void promise_windows(smux_session *s, uint32_t id);
void promise_synced(smux_session *s);
/* The peer keeps no promises. */
void promise_none(smux_session *s);

#endif
