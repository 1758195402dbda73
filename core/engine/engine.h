/* SPDX-License-Identifier: MIT
 * The types of the engine (session, stream, frame) and the functions that its files share.
 *
 *   smux_config.c   defaults and rules          error.c    texts
 *   session.c  creation and teardown       table.c    stream id -> stream
 *   stream.c   open, close, reset, states  queue.c    bytes waiting on a stream
 *   receive.c  bytes -> events             window.c   budget, windows, round-trip time
 *   send.c     frames -> bytes             timer.c    keepalive and timeouts
 *   promise.c  the sum of the windows promised to the peer
 *   refusal.c  resets for streams that do not exist
 *   hello.c    frames that wait for the peer's hello
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

/* `at`: a link of the stream; `member`: the field that holds it. */
#define stream_of(at, member) container_of(at, struct smux_stream, member)

/* ---- Stream --------------------------------------------------------------------------------- */

enum in_state {
    IN_OPEN,
    IN_EOF,    /* the peer will send nothing more */
    IN_CLOSED, /* and will read nothing more */
    IN_DEAD
};
enum out_state {
    OUT_OPEN,
    OUT_CLOSING, /* a FIN is owed after the queued bytes */
    OUT_CLOSED,  /* FIN is planned or sent */
    OUT_DEAD
};

enum stream_flag {
    F_LOCAL = 1 << 0,    /* opened here */
    F_ACCEPTED = 1 << 1, /* taken out of the backlog */
    F_GIVEN_UP = 1 << 2, /* the application has closed it: no more events */
    F_OWE_SYN = 1 << 3,  /* this and the next two: control frames that are owed */
    F_OWE_UPDATE = 1 << 4,
    F_OWE_RESET = 1 << 5,
    F_TOLD_RESET = 1 << 6, /* an SMUX_EVENT_RESET is owed */
    F_WRITABLE = 1 << 7,   /* an SMUX_EVENT_WRITABLE is owed */
    F_BLOCKED = 1 << 8,    /* smux_stream_send took less than it was given */
    F_DROP = 1 << 9,       /* drop the queue once no frame refers to it */
    F_PROBE = 1 << 10,     /* the window is measuring a round-trip time */
    F_DRY = 1 << 11,     /* the peer has used up its window, and the application has read it all */
    F_URGENT = 1 << 12,  /* urgent_end lies in bytes not yet planned */
    F_FAILING = 1 << 13, /* the queue ends with a reset instead of a FIN */
    F_SMALL = 1 << 14,   /* we have a small first window, and no update has come yet */
    F_OWE_CLOSED = 1 << 15, /* CLOSED is owed after the FIN; it must not delay the FIN */
};
#define F_OWED (F_OWE_SYN | F_OWE_UPDATE | F_OWE_RESET)

/* malloc takes 208 bytes for these 200. With 16 bytes for each slot of the table, which is at least
 * 3/8 full after it has grown, an idle stream costs less than 256 bytes however many there are. */
struct smux_stream {
    smux_session *session;
    void *user;
    uint32_t id;
    uint16_t flags;
    uint8_t in : 2, out : 2;   /* enum in_state, out_state; only stream_set_in/out set them */
    uint8_t awaits_window : 1; /* smux_stream_window_room returned 0 */
    signed error : 8;

    /* Sending. Positions are those of version 2, modulo 2^32. */
    uint16_t refs : 10; /* planned frames of this stream */
    uint16_t round : 6; /* session.round in which it last overtook the ring, its low bits */
    uint16_t deficit;   /* bytes its earlier round-robin turns left unused */
    uint32_t planned;   /* bytes at the queue's head that planned frames cover */
    smux_sendbuf *head, *tail;
    uint64_t queued; /* bytes in the queue, including the planned ones */
    uint64_t bytes_out;
    uint32_t peer_consumed, peer_window;
    uint32_t urgent_end; /* the position after the urgent byte */

    /* Receiving. */
    uint32_t unread;
    uint64_t bytes_in;
    uint32_t window;      /* the window that the next UPD gives */
    uint32_t limit;       /* the position up to which the peer may send */
    uint32_t update_at;   /* `consumed` of the last UPD */
    uint32_t probe_limit; /* a byte beyond this proves that the last UPD has arrived */
    uint32_t update_us;   /* time of the last UPD, low 32 bits */
    uint32_t probe_us;    /* time of the UPD that started the probe, likewise */

    uint64_t active_us;       /* maintained only if a timeout needs it */
    struct list_link ring;    /* session.ring: has data that may be sent */
    struct list_link control; /* session.control: owes a control frame */
    struct list_link events;  /* session.events, .blocked or .starved */
    struct list_link idle;    /* session.idle, .still, or .lingering once given up */
    struct list_link hold;    /* session.hold[log2(unread)] or .shrunk; see there */
};
_Static_assert(sizeof(struct smux_stream) <= 200, "an idle stream costs less than 256 bytes");
_Static_assert(SMUX_ERR_FLOOD >= INT8_MIN, "every error fits into smux_stream.error");

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

/* A planned frame: smux_session_output has given it to the caller, smux_session_output_done has not
 * yet reported it. */
struct frame {
    smux_stream *stream; /* NULL for frames of the session */
    uint32_t id;         /* FRAME_REFUSE, PING, PONG */
    uint32_t payload;    /* bytes from the stream's queue */
    uint32_t deficit;    /* the stream's, before this frame was planned */
    uint32_t turn_left;  /* the session's, likewise */
    bool continues;      /* it is not the first frame of the stream's turn */
    bool overtakes;      /* it came before the ring, outside any turn */
    uint16_t header_at;  /* its header in session.headers */
    uint8_t header_len;
    uint8_t kind;
    bool urgent; /* its last byte is urgent */
    bool small;  /* SYN: opens the stream small; WINDOWS: what the previous one said */
};

#ifndef FIRST_CLIENT_ID /* tests start near the last id */
#define FIRST_CLIENT_ID 3
#endif

#define FRAME_HEADER_MAX 16u
#define PLAN_MAX         256u /* frames in one plan: more than 64 iovecs need, in a few KiB */
#define ROUND_MASK       63u  /* of smux_stream.round */

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

/* Whether both sides keep their promises (PROTOCOL.md, 7); unknown before the peer's second
 * frame. */
enum terms { TERMS_UNKNOWN, TERMS_KEPT, TERMS_NONE };

enum goaway { GOAWAY_NONE, GOAWAY_SENT, GOAWAY_TOLD };

/* Limits on unsent refusals. Every refused SYN must be answered; a peer that lets this many answers
 * pile up ends the session. An answer to data may be dropped, because the next data causes another.
 * Reading never stops for refusals: otherwise two engines that refuse each other's streams would
 * both stop forever. */
#define REFUSALS_MAX      65536u
#define REFUSALS_FOR_DATA 1024u

/* How long resets wait for the hello at the start of a session. Without the hello they would be
 * plain FINs, which say that the data is complete. */
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
    uint64_t hello_until_us; /* no reset is sent before this; 0: no hello is expected any more */
    uint64_t keepalive_us;   /* when the next NOP is due */
    uint64_t last_received_us;
    uint64_t suspect_us; /* when silence was first noticed; 0: the peer is not silent */

    /* Receiving. */
    const uint8_t *input;
    size_t input_len;
    uint8_t partial[WIRE_HEADER_LEN + WIRE_UPDATE_LEN];
    uint8_t partial_len;
    bool payload_urgent;         /* the last byte of the PSH being received is urgent */
    uint16_t payload_len;        /* of the last PSH with payload */
    uint32_t payload_left;       /* what is missing of the PSH being received */
    smux_stream *payload_stream; /* NULL: its payload is dropped */
    uint32_t payload_orphan;  /* the id of its stream if that ended in mid-payload; 0: answered */
    uint32_t mark_id;         /* stream of the preceding NOP; 0: none */
    uint64_t unread, granted; /* granted: what windows exceed the initial one by, summed */
    /* Streams in the order in which their windows were last tuned. Where promises are kept, in
     * [log2(window)]; under SMUX_FULL_STALL in [0] alone, and only those whose windows have grown
     * or should grow. */
    struct list hold[32];
    uint32_t sharers;                /* how many streams these are */
    uint32_t full_id, full_consumed; /* whose reader is watched, and what it had consumed then */
    uint32_t backlog;
    uint64_t full_us;      /* since when the full budget's holder is watched; 0: nobody is */
    bool paused;           /* smux_session_pause_reading */
    uint32_t window_limit; /* the present limit of automatic windows */

    /* Promises, ours and the peer's. */
    bool offers;     /* we keep our promises if the peer keeps its own */
    uint8_t terms;   /* enum terms */
    bool tight;      /* streams that we open give the peer a small window */
    bool told_tight; /* the peer has been told so */
    bool sync_pending;
    uint64_t held;        /* the most that can lie unread if the peer obeys */
    struct list shrunk;   /* windows lowered by updates before the next SYNC(ED) */
    uint32_t credits_out; /* the peer's streams that may still start with a full window */
    uint32_t credits;     /* and ours */
    uint32_t small_id;    /* stream of the preceding FIN; 0: none */
    uint32_t peer_first;  /* our first window on streams that the peer opens */

    /* Events. */
    smux_sendbuf *returned, **returned_tail;
    struct list events;

    /* Sending. */
    struct list ring, control;
    struct list overtakers;       /* have little to send, and go before the ring (stream.ring) */
    struct list idle, lingering;  /* by last activity: the first has been inactive longest */
    struct list still;            /* seen inactive once, in that order */
    struct list blocked, starved; /* whose smux_stream_send fell short of the session's share */
    uint32_t ring_len;            /* of ring and overtakers together */
    uint32_t burst;               /* smux_session_set_burst */
    smux_stream *turn;            /* the stream that is in the middle of its turn, or NULL */
    uint32_t turn_left;      /* how many bytes more than a frame it may still send in this turn */
    uint32_t round_left;     /* turns until each stream in the ring has had one */
    uint64_t queued, copied; /* sums over all streams; copied: in buffers of the engine */
    uint64_t chunks;         /* memory taken by those buffers */
    uint32_t *refusals;      /* stream ids; [refusals_head, refusals_tail) are unsent */
    uint32_t refusals_head, refusals_tail, refusals_size;
    uint8_t round;    /* counts the rounds in which each stream of the ring has a turn */
    bool outstanding; /* between smux_session_output and smux_session_output_done */
    bool hello_waits; /* a RESET or CLOSED waits until hello_until_us */
    uint32_t frames_len;
    uint32_t begun; /* bytes of frames[0] already sent; if not 0, the plan is that frame alone */
    uint32_t headers_len;
    struct frame frames[PLAN_MAX];
    uint8_t headers[PLAN_MAX * FRAME_HEADER_MAX];

    smux_session_info count; /* only its counters are kept up to date */
};

static inline void *engine_alloc(smux_session *s, size_t size) {
    return s->memory.alloc(s->memory.context, size);
}
static inline void engine_free(smux_session *s, void *memory) {
    if (memory)
        s->memory.free(s->memory.context, memory);
}
/* Notes the time that the caller gives. It never goes back. */
static inline void engine_time(smux_session *s, uint64_t now_us) {
    if (now_us > s->now_us)
        s->now_us = now_us;
}

/* session.c */
/* Fails the session with the text of the error and up to two values, as in "bad frame length: 9,
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
/* Ends a stream with an error, and reports it as asked: to the peer, and by SMUX_EVENT_RESET to the
 * application. */
void stream_kill(smux_stream *st, int error, bool tell_peer, bool tell_application);
/* Kills the stream if smux_stream_reset_behind was called and none of its bytes are left to
 * send. */
void stream_fail_behind(smux_stream *st);
/* Frees the stream if the application has given it up and nothing of it is left to send. */
void stream_settle(smux_stream *st);
void stream_owe_nothing(smux_stream *st);
/* Notes that bytes have moved. timer.c ends a stream on which none have moved for too long. */
void stream_active(smux_stream *st);
/* Whether it has something to send that only the carrier holds up. */
static inline bool stream_waits_for_carrier(const smux_stream *st) {
    return list_is_linked(&st->ring) || list_is_linked(&st->control) || st->refs;
}
void stream_set_in(smux_stream *st, enum in_state to);
void stream_set_out(smux_stream *st, enum out_state to);
void stream_event(smux_stream *st, uint16_t flag);

/* queue.c */
void queue_advance(smux_stream *st, size_t n);
/* Drops all queued bytes; those that a frame refers to go when it no longer does. */
void queue_drop(smux_stream *st);
/* Describes `len` bytes of the queue, starting at `from`. Returns how many fitted into the
 * iovecs. */
size_t queue_gather(const smux_stream *st, uint64_t from, size_t len, struct iovec *iov,
                    int *iovcnt, int iov_max);
void queue_unblock(smux_session *s);
uint64_t queue_room(const smux_stream *st);

/* send.c */
/* Puts the stream into the lists of streams with something to send, or takes it out. */
void send_schedule(smux_stream *st);
void send_void_plan(smux_session *s);
/* How many bytes beyond those in flight and planned the peer's window allows. */
static inline int64_t send_allowance(const smux_stream *st) {
    if (st->session->version != 2)
        return INT64_MAX;
    uint32_t in_flight = (uint32_t)st->bytes_out + st->planned - st->peer_consumed;
    return (int32_t)(st->peer_window - in_flight);
}
/* Whether it has data that may be sent. */
static inline bool send_data_due(const smux_stream *st) {
    return (st->out == OUT_OPEN || st->out == OUT_CLOSING) && st->queued > st->planned &&
           send_allowance(st) > 0;
}
static inline bool send_fin_due(const smux_stream *st) {
    return st->out == OUT_CLOSING && st->queued == st->planned && !(st->flags & F_FAILING);
}

/* turn.c */
bool turn_is_due(const smux_session *s);
/* The stream whose frame is next. Somebody's turn must be due. */
smux_stream *turn_first(const smux_session *s);
/* Puts the stream, which has data that may be sent, among those that wait for their turn. */
void turn_enter(smux_stream *st);
void turn_leave(smux_stream *st);
/* How long frames of data may be now. */
uint32_t turn_frame_limit(const smux_session *s);
/* A frame of `got` bytes of turn_first() has been planned, under that limit. */
void turn_move_on(smux_stream *st, uint32_t got, uint32_t limit);
/* Notes in the data frame `f` of turn_first() what turn_take_back() needs. Before turn_move_on. */
void turn_note(const smux_session *s, struct frame *f);
/* The frame is not sent after all: its stream is the first again, and its turn as it was. Frames
 * are taken back from the last one on. */
void turn_take_back(const struct frame *f);

/* hello.c */
static inline void send_owe_reset(smux_stream *st) {
    st->flags |= F_OWE_RESET;
    st->session->hello_waits |= st->session->hello_until_us != 0;
}
/* The application has closed the stream; the peer, which may still be sending, must be told. */
static inline void send_owe_closed(smux_stream *st) {
    if (st->in != IN_OPEN || !(st->session->peer_extensions || st->session->hello_until_us))
        return;
    st->flags |= F_OWE_CLOSED;
    st->session->hello_waits |= st->session->hello_until_us != 0;
}
/* The peer's hello has come, or will not come: send the resets and CLOSEDs that waited for it. */
void send_waiting(smux_session *s);

/* refusal.c */
/* Owes a reset for a stream that does not exist, in answer to a SYN or to data. */
void send_refuse(smux_session *s, uint32_t id, bool for_data);

/* window.c */
void window_start(smux_stream *st, uint32_t first);
void window_set(smux_stream *st, uint32_t window);
void window_end(smux_stream *st);
void window_consumed(smux_stream *st);
bool window_admits(const smux_stream *st, uint32_t len);
/* Makes room in the budget for `len` more bytes, under SMUX_FULL_RESET without patience. */
void window_make_room(smux_session *s, uint32_t len);
void window_delivered(smux_stream *st, uint32_t len);
/* When the holder of a full budget is to be judged, which window_judge does if it is time. */
uint64_t window_deadline(const smux_session *s);
void window_judge(smux_session *s);
/* Lowers `unread` of the stream by n. */
void window_release(smux_stream *st, uint32_t n);
struct wire_update window_update(smux_stream *st);
void window_rtt(smux_session *s, uint64_t sample_us);

/* promise.c */
void promise_init(smux_session *s);
/* Whether the sum of promises is bounded by the budget, as far as is known yet. */
static inline bool promise_bounds(const smux_session *s) {
    return s->offers && s->terms != TERMS_NONE && s->version != 1;
}
/* How much of the budget the stream uses or may yet use. */
static inline uint64_t promise_held(const smux_stream *st) {
    if (st->flags & F_GIVEN_UP)
        return 0; /* what arrives is dropped */
    if (st->in != IN_OPEN)
        return st->unread;
    uint32_t held = st->limit - (uint32_t)(st->bytes_in - st->unread);
    return held > WIRE_SMALL_WINDOW ? held : WIRE_SMALL_WINDOW;
}
/* Call this after a change, with the value of promise_held from before it. */
static inline void promise_note(smux_stream *st, uint64_t before) {
    st->session->held += promise_held(st) - before;
}
/* How much may still be promised. */
uint64_t promise_left(const smux_session *s);
/* How much a new stream may be promised. */
uint32_t promise_usual(const smux_session *s);
/* The window for an update, before any growth: smaller than now while others are short of room,
 * larger if the stream has less than its share. */
uint32_t promise_fair(const smux_stream *st);
/* The largest window that a stream may grow to. */
uint64_t promise_growth(const smux_stream *st);
/* The window that the peer has on a new stream before any update. 0: there is no room for the
 * stream. */
uint32_t promise_open(smux_session *s);
uint32_t promise_accept(smux_session *s, uint32_t id);
/* Call this when a stream has started or ended: makes room, or hands out what has become free. */
void promise_balance(smux_session *s);
/* Takes windows back from inactive streams, or from all that have more than their share. */
void promise_shrink(smux_session *s, bool all);
/* The SYN is being planned. True: it opens the stream small. */
bool promise_plan_syn(smux_stream *st);
void promise_take_back_syn(smux_stream *st, bool small);
/* The peer's frames have arrived. */
void promise_windows(smux_session *s, uint32_t id);
void promise_synced(smux_session *s);
/* The peer does not keep promises. */
void promise_none(smux_session *s);

#endif
