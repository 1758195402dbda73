/* SPDX-License-Identifier: MIT
 * The types of the blocking API and the functions that its files share.  Everything except the
 * system calls that wake threads and the carrier's I/O happens under the session's one mutex.
 *
 *   blk_session.c  start, end                 blk_wait.c    sleeping, waking
 *   blk_info.c     queries, error texts       blk_io.c      roles, the carrier
 *   blk_stream.c   open, accept, read, close  blk_input.c   feeding, unread data
 *   blk_write.c    write                      blk_events.c  what the engine reports
 *   blk_keeper.c   the session's own threads  blk_block.c   received bytes
 *                                             blk_direct.c  bulk data without a copy
 *
 * How it works, and why it is fast.  No thread exists just to read the socket, because a hop from
 * such a thread to the one that wants the data costs more than the rest of a round trip.  Instead,
 * I/O is divided into roles, which threads take while they have to wait:
 *
 *   in    reads the carrier, feeds the engine and hands out the results.  A thread inside
 *         smuxb_stream_read, accept, write or wait takes it if it is vacant, keeps it until it has
 *         got what it wants, and passes it on (blk_leave).
 *   out   polls a full carrier until it takes bytes again.
 *   The flush itself (blk_flush) is done by any thread that has made something to send, unless
 *   another thread is already flushing, which then sends that too.
 *
 * A thread of the session's own (blk_keeper.c) is the I/O of last resort: it takes the roles when
 * no user thread does, and minds the clock.  While user threads are active it only looks in once a
 * millisecond, so that a ping-pong never crosses threads.
 *
 * If one thread is busy and others wait for rare things, as in smuxb_stream_accept, passing `in` on
 * would wake another thread for each message.  So the session observes which thread messages are
 * for.  If they have been for the same thread several times in a row ("solo"), only that thread
 * takes the role, and it leaves the role vacant on its way out.  The others rely on the session's
 * thread to notice if it does not come back, or take the role themselves after having passed up
 * several chances to do so since.
 *
 * Bulk data is received straight into the memory of the reader it is for, even if another thread
 * receives it (blk_direct.c); a reader does not return before that is finished.  Other bytes stay
 * where they are until the thread that wants them copies them, without the mutex: so there is one
 * copy, made on the processor that needs the data, and it stops nobody.  A thread whose read or
 * write is complete is taken off the session's lists before it is woken, and returns without
 * locking the mutex ("granted").
 *
 * Wake-ups cannot get lost: what a waiter waits for is set under the mutex, together with the word
 * it sleeps on, or with a byte in the eventfd that its poll watches; both last until it looks.
 */
#ifndef CORE_BLOCKING_BLK_H
#define CORE_BLOCKING_BLK_H

#include <pthread.h>

#include "core/common/list.h"
#include "core/smux_blocking.h"

/* ---- Cancellation --------------------------------------------------------------------------- */

/* A cancelled thread must not disappear while it holds roles or the mutex, or while lists contain a
 * waiter on its stack. So system calls that are cancellation points are made between these two
 * calls; waking sleepers (futex) is not one. Returns what the second call needs. */
static inline int blk_forbid_cancel(void) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}
static inline void blk_allow_cancel(int before) {
    pthread_setcancelstate(before, NULL);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

enum blk_where {
    BLK_RUNNING, /* will look at `done` before it waits again */
    BLK_ASLEEP,  /* on `futex`, in session.sleepers */
    BLK_IN_IO    /* without the mutex, possibly polling `wake_fd` */
};

enum blk_role { BLK_IN = 1 << 0, BLK_OUT = 1 << 1 };

/* What happened to a sleeping waiter: the value of its futex. */
enum blk_fate {
    BLK_SLEEPING,
    BLK_WOKEN,    /* must look again */
    BLK_GRANTED,  /* it has all it came for and has left the session */
    BLK_WITHDRAWN /* it woke up by itself */
};

/* Bytes waiting to be copied to the application, in a block that is kept for them. */
struct blk_piece {
    struct blk_block *block;
    const uint8_t *data;
    size_t len;
    uint8_t *to;
};
#define BLK_PIECES_MAX 8

/* A thread inside a call, on its stack. */
struct blk_waiter {
    struct list_link home;   /* stream.readers, .writers, session.accepters, .watchers, .enders */
    struct list_link sleep;  /* session.sleepers[writes], or session.held */
    struct list_link cancel; /* session.cancels */
    uintptr_t thread;
    const uint64_t *deadline_us;
    uint32_t futex; /* enum blk_fate */
    int wake_fd;
    uint8_t where; /* enum blk_where */
    bool done;     /* there is no more reason to wait */
    bool kicked;   /* wake_fd has been written to */
    bool waits;    /* it is inside blk_wait */
    bool granted;  /* blk_wait has returned without the mutex, see BLK_GRANTED */
    bool writes;   /* it waits for bytes to go out */
    bool recalls;  /* it sleeps until its memory is no longer lent */
    int error;

    smuxb_stream *stream; /* of a reader or writer */
    uint8_t *data;        /* of a reader: where to store; NULL: it borrows */
    size_t room, got;
    int pieces_len;

    smux_sendbuf *bufs; /* of a writer: the buffers it has lent */
    int bufs_len;
    size_t pending, kept_back; /* buffers still lent; bytes not lent, or taken back */

    struct blk_piece pieces[BLK_PIECES_MAX]; /* of a reader: what it must copy to `data` */
};

/* ---- Session and stream --------------------------------------------------------------------- */

/* Unread data. */
struct blk_node {
    struct blk_node *next;
    struct blk_piece piece;
};

struct blk_queue {
    struct blk_node *head, *tail;
    size_t len;
};

/* The most recent frames. */
#define BLK_HISTORY 8
struct blk_history {
    uint32_t id;                /* the stream of the last payload, */
    uint16_t lens[BLK_HISTORY]; /* the lengths of its latest payloads, newest first */
    bool within;                /* the last payload is still being received */
};

struct smuxb_stream {
    smuxb_session *session;
    smux_stream *engine; /* NULL once closed */
    uint32_t id, refs;   /* refs: handles, and threads inside */
    bool closed, reset;  /* closed: by close or reset; reset: by smuxb_stream_reset */
    bool eof, fin;       /* eof: received; fin: asked for by smuxb_stream_close_write */
    bool borrows;        /* the last read was smuxb_stream_borrow */
    int error;           /* why it was reset; 0: it was not */
    uint64_t read_deadline_us, write_deadline_us;
    struct blk_queue queue;
    bool watched;          /* belongs in session.ready when it can be read */
    struct list_link link; /* session.unaccepted, later .ready, finally .spare_streams */
    struct list readers, writers;
};

#define BLK_IOV_MAX   64
#define BLK_WAKES_MAX 256

struct smuxb_session {
    pthread_mutex_t mutex;
    smux_session *engine;
    uint32_t refs; /* the handle, streams, threads inside */
    int fd;        /* -1 over a transport */
    smuxb_transport transport;

    /* The end. */
    int error; /* why it has ended; 0: it has not */
    int carrier_errno, broken_errno;
    char error_text[128];
    struct blk_waiter *drainer; /* smuxb_session_close, waiting for the queue to go out */
    uint64_t linger_max_ms;     /* SMUXB_LINGER_MAX_MS, or less in tests */
    uint64_t linger_until_us;   /* when lingering ends, once it has started */
    uint64_t sent_len;          /* bytes that the carrier has taken */

    /* Roles. */
    struct blk_waiter *in_owner, *out_owner;
    int in_wake_fd, out_wake_fd;
    struct list sleepers[2];   /* [1]: writers */
    struct list held;          /* readers that have got something while more is at hand */
    struct blk_waiter *nudged; /* woken to take the role `in`, but has not run yet */
    uintptr_t solo_thread;     /* the thread that the last messages were for, and their number */
    uint32_t solo;
    uint32_t solo_denials; /* how often others could have read since that thread last did */
    uint32_t served;       /* total of waiters that got what they waited for */
    uint32_t in_terms;     /* how often user threads took or left `in` */
    uint64_t flushed_us;
    struct list cancels; /* writers that want their buffers back during a flush */
    uint32_t wakes_len;
    struct blk_waiter *wakes[BLK_WAKES_MAX]; /* to be woken when the mutex is unlocked */

    /* Received bytes, and how far they have been fed. */
    struct blk_block *input, *next_input; /* next_input: NULL if memory is short */
    size_t input_at, input_len;
    smuxb_stream *receiving; /* the stream of the last payload; NULL if it has ended */
    struct blk_waiter *lent; /* another thread is receiving into its memory */
    uint64_t pinned_len;     /* total of the pieces of input blocks in streams' queues, */
    uint32_t pinned;         /* and the number of blocks they belong to */
    struct blk_history history;

    struct list accepters, watchers, enders;
    struct list ready;         /* watched streams that can be read */
    struct list unaccepted;    /* streams of the peer, in order of arrival */
    struct list spare_streams; /* memory of some streams that have ended */
    uint32_t spare_streams_len;
    uint64_t accept_deadline_us;
    /* The backlog: how many streams wait, how many fit; while it is full: since when, and how many
     * had been accepted then. */
    uint32_t backlog_len, backlog_max, accepted, full_accepted;
    uint64_t full_since_us;

    /* Its own threads; reader and writer only over a transport. */
    pthread_t threads[3];
    int threads_len;
    struct blk_waiter keeper, reader, writer;
    uint64_t keeper_until_us; /* it waits until then; 0: it does not, or only for BLK_NAP_US */
    uint32_t carrier_users;   /* threads using fd or transport without the mutex */

    struct sockaddr_storage local, remote;
    socklen_t local_len, remote_len;
    struct iovec iov[BLK_IOV_MAX];

    bool threaded;   /* over a transport: no roles; its own threads do all I/O */
    bool closing;    /* smuxb_session_close: calls fail, queued bytes go out */
    bool aborted;    /* some of its threads could not be started */
    bool flushing;   /* a thread is in blk_flush */
    bool full;       /* the carrier takes no more for now */
    bool broken;     /* and it never will again */
    bool stalled;    /* reading has stopped because too much is unread */
    bool poll_first; /* the last receive found little, so now there will be nothing */
    bool dry;        /* the last receive found nothing */
    bool more;       /* the carrier had more than the last receive took */
};

/* ---- blk_wait.c ------------------------------------------------------------------------ */

void blk_lock(smuxb_session *s);
/* Also makes the system calls for the wake-ups decided on. */
void blk_unlock(smuxb_session *s);
/* Like blk_unlock after giving up a reference: frees the session if that was the last one. */
void blk_leave(smuxb_session *s);
/* Called when the session has no threads, handles or streams left. */
void blk_session_destroy(smuxb_session *s);
void blk_waiter_init(struct blk_waiter *w, const uint64_t *deadline_us);
/* Makes the waiter look again. */
void blk_wake(smuxb_session *s, struct blk_waiter *w);
void blk_wake_all(smuxb_session *s, struct list *waiters);
/* Tells the waiter that what it waits for has come. */
void blk_satisfy(smuxb_session *s, struct blk_waiter *w);
/* The same for the first of the waiters that have nothing yet. */
void blk_satisfy_one(smuxb_session *s, struct list *waiters);
void blk_satisfy_all(smuxb_session *s, struct list *waiters);
/* Unlocks the mutex until woken or until `until_us` (0: forever). `sleepers`: the list in which
 * threads that may take roles can be found meanwhile, or NULL. */
void blk_sleep(smuxb_session *s, struct blk_waiter *w, struct list *sleepers, uint64_t until_us);
/* Waits until w->done, doing the session's I/O meanwhile. False: its deadline has passed. If
 * w->granted is set afterwards, the mutex is not held, and the session and the stream must not be
 * touched. */
bool blk_wait(smuxb_session *s, struct blk_waiter *w);
/* The same as a member of `waiters`, where blk_satisfy_all and the like find it. */
bool blk_wait_among(smuxb_session *s, struct blk_waiter *w, struct list *waiters);
/* Make sure that a vacant role is taken where needed, by a sleeping thread or by the keeper. */
void blk_pass_on_out(smuxb_session *s);
void blk_pass_on_in(smuxb_session *s);
/* Call this after reading: somebody else will read, at once or when the keeper finds that nobody
 * does. */
void blk_left_in(smuxb_session *s, bool at_once);
/* Tells the keeper that there is something to do, at once or after its nap. */
void blk_watch(smuxb_session *s);
/* Gives a reader part of what it waits for. If it could take much more and more is at hand, it is
 * not woken yet (blk_release_held does that). */
void blk_served(smuxb_session *s, struct blk_waiter *w);
void blk_release_held(smuxb_session *s);
/* Whether so many readers are held that their wake-ups are worth a short wait for more input. */
bool blk_many_held(const smuxb_session *s);
/* Whether a reader should go on rather than return now. */
bool blk_wants_more(const smuxb_session *s, const struct blk_waiter *w);
/* Whether recent messages have all been for one thread. */
bool blk_solo(const smuxb_session *s);
static inline bool blk_sleeping(const smuxb_session *s) {
    return !list_is_empty(&s->sleepers[0]) || !list_is_empty(&s->sleepers[1]);
}

/* ---- blk_io.c -------------------------------------------------------------------------- */

/* One turn in the roles: waits for the carrier, at most until `until_us` (0: forever), and does
 * what is to be done. */
void blk_turn(smuxb_session *s, struct blk_waiter *w, unsigned roles, uint64_t until_us);
/* Sends what is to be sent, as far as the carrier takes it at once. If another thread is already
 * sending, that one does it. Stops early if `w` (or NULL) is done meanwhile or its deadline
 * passes. */
void blk_flush(smuxb_session *s, const struct blk_waiter *w);
/* Leaves sending to the next call, or to the keeper within a millisecond; at once if all is
 * quiet. */
void blk_flush_later(smuxb_session *s);
/* Like blk_flush if the last flush is a while ago, otherwise like blk_flush_later: small frames
 * gather. */
void blk_flush_gathered(smuxb_session *s);
static inline bool blk_flush_due(const smuxb_session *s) {
    return !s->threaded && !s->flushing && !s->full && !s->broken &&
           smux_session_want_write(s->engine);
}
/* Takes back what has not gone out of the waiter's buffers. False: a flush is under way or memory
 * is short; try again. */
bool blk_take_back(smuxb_session *s, struct blk_waiter *w);
/* The carrier has ended, or failed with an errno. */
void blk_carrier_lost(smuxb_session *s, int saved_errno);

/* ---- blk_input.c ----------------------------------------------------------------------- */

/* Whether the engine may be given more input now. If not, *until_us is lowered to the time to ask
 * again, if there is one. */
bool blk_may_read(smuxb_session *s, uint64_t *until_us);
/* Call this when unread data has been read: reading resumes if it had stopped. */
void blk_unstall(smuxb_session *s);
/* Feeds a header or payload that does not lie in the input. */
void blk_feed_bytes(smuxb_session *s, const uint8_t *data, size_t len);
/* While an event is being handled: feed what follows it in the input later. */
void blk_feed_no_further(smuxb_session *s);
/* Feeds about `limit` bytes of the received input, if allowed. */
void blk_feed(smuxb_session *s, size_t limit);
static inline bool blk_unfed(const smuxb_session *s) {
    return s->input_at < s->input_len;
}

/* ---- blk_block.c ----------------------------------------------------------------------- */

/* Memory for received bytes, shared by all who still have to copy theirs. */
struct blk_block *blk_block_new(size_t size);
void blk_block_release(struct blk_block *b);
/* False: memory is short. */
bool blk_input_new(smuxb_session *s);
/* Makes room to receive into, and returns it. */
struct iovec blk_input_prepare(smuxb_session *s);
/* The end of the received bytes; the first byte that has not been fed. */
uint8_t *blk_input_end(const smuxb_session *s);
const uint8_t *blk_input_data(const smuxb_session *s);
/* Leaves data in the input for a waiter to copy itself or to borrow, or copies it at once. False:
 * it borrows, and there is no memory to leave data in. */
bool blk_hand_over(smuxb_session *s, struct blk_waiter *w, const uint8_t *data, size_t len);
/* The waiter's part; runs without the mutex. */
void blk_copy_pieces(struct blk_waiter *w);
void blk_lend_pieces(const struct blk_waiter *w, smuxb_loan *loan);

/* False: memory is short, and nothing has been stored. */
bool blk_queue_put(smuxb_session *s, struct blk_queue *q, const uint8_t *data, size_t len);
/* Gives the waiter as much as it has room for. */
void blk_queue_take(smuxb_session *s, struct blk_queue *q, struct blk_waiter *w);
void blk_queue_drop(smuxb_session *s, struct blk_queue *q);

/* ---- blk_direct.c ---------------------------------------------------------------------- */

/* How many frames may be expected at a time. */
#define BLK_FRAMES_MAX 8
#define BLK_HEADER_LEN 8u /* what smux_session_get_incoming reports between two frames */

/* Where to receive the next bytes. */
struct blk_plan {
    struct iovec iov[2 * BLK_FRAMES_MAX + 2];
    int iovcnt, frames;
    size_t total;
    size_t current; /* payload of the current frame that goes to the reader */
    uint32_t id;    /* the stream of the frames expected after it */
    uint8_t headers[BLK_FRAMES_MAX][BLK_HEADER_LEN];
};
/* Call this when payload of the stream has arrived: notes how long its frame is. */
void blk_note_frame(smuxb_session *s, const smuxb_stream *st);
void blk_plan(smuxb_session *s, struct blk_waiter *w, struct blk_plan *plan);
/* `len` bytes have been received. Feeds them, except for those that ended up in the input. */
void blk_plan_received(smuxb_session *s, struct blk_plan *plan, size_t len);

/* ---- blk_events.c ---------------------------------------------------------------------- */

void blk_dispatch(smuxb_session *s);
/* Makes every thread inside a write return; inside any call. */
void blk_fail_writers(smuxb_session *s);
void blk_fail_waiters(smuxb_session *s);

/* ---- blk_stream.c ---------------------------------------------------------------------- */

/* The stream has no handle yet and does not count as a user of the session. */
smuxb_stream *blk_stream_new(smuxb_session *s, smux_stream *engine);
/* Gives up one reference: of a handle or a thread. */
void blk_stream_unref(smuxb_stream *st);
/* The stream can be read: tells those who wait for that. */
void blk_stream_ready(smuxb_stream *st);
/* Why calls on the stream, writes to it, or calls on the session fail now; 0: they do not. */
int blk_stream_error(const smuxb_stream *st);
int blk_write_error(const smuxb_stream *st);
int blk_session_error(const smuxb_session *s);

/* ---- blk_keeper.c ---------------------------------------------------------------------- */

/* How long user threads may leave the carrier alone before the keeper takes over. */
#define BLK_NAP_US 1000u

/* SMUXB_ERR_THREAD: no thread has been left running. */
int blk_threads_start(smuxb_session *s);
void blk_threads_join(smuxb_session *s);

static inline smuxb_session *blk_mutable(const smuxb_session *s) {
    return (smuxb_session *)(uintptr_t)s; /* const to the caller, but the mutex must be locked */
}

#endif
