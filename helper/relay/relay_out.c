/* SPDX-License-Identifier: MIT */
/* relay_out.c - the relay's way from the stream to the socket (relay.h). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/net/log.h"
#include "helper/net/short_path.h"
#include "helper/relay/relay_internal.h"

/* Bytes kept for a socket that takes no more: a copy, or a reference to where they were received.
 * */
struct relay_chunk {
    struct relay_chunk *next;
    struct receive_buffer *shared; /* NULL: a copy */
    const uint8_t *bytes;
    size_t off, len, cap; /* bytes[off..len) is kept; a copy has room up to cap */
    uint8_t copy[];
};

/* Small messages to a blocked socket share a chunk, which is smaller when memory is short. */
#define CHUNK_MIN       4096u
#define CHUNK_MIN_SHORT 256u

/* From this size on bytes are not copied while memory is plentiful: a slice keeps all of its
 * receive buffer alive, and is charged for all of it. */
#define SHARE_MIN (REACTOR_RECEIVE_SIZE / 8)

/* So many bytes at a time belong to a long stream. */
#define BULK_MIN 32768u

/* ---- What is kept ---- */

static struct keeper *keeper_of(const struct relay *relay) {
    return relay->pump ? &relay->pump->keeper : NULL;
}

/* What the chunk pins. */
static size_t pinned(const struct relay_chunk *chunk) {
    return sizeof *chunk + (chunk->shared ? sizeof *chunk->shared : chunk->cap);
}

bool relay_orphan_kept(struct relay *relay) {
    size_t bytes = 0;
    for (struct relay_chunk *chunk = relay->kept; chunk; chunk = chunk->next)
        bytes += pinned(chunk);
    return kept_orphan(&relay->reactor->kept, &relay->pump->keeper, bytes);
}

static void free_chunk(struct relay *relay, struct relay_chunk *chunk) {
    kept_release(&relay->reactor->kept, keeper_of(relay), pinned(chunk));
    if (chunk->shared)
        reactor_receive_release(relay->reactor, chunk->shared);
    free(chunk);
}

void relay_drop_kept(struct relay *relay) {
    while (relay->kept) {
        struct relay_chunk *chunk = relay->kept;
        relay->kept = chunk->next;
        free_chunk(relay, chunk);
    }
    relay->kept_end = &relay->kept;
    relay->kept_len = 0;
    relay->urgent_at = 0;
}

static void consumed(struct relay *relay, size_t n) {
    if (n == 0 || !relay->stream)
        return;
    smux_stream_consume(relay->stream, n);
    pump_kick(relay->pump);
}

static void append_chunk(struct relay *relay, struct relay_chunk *chunk) {
    *relay->kept_end = chunk;
    relay->kept_end = &chunk->next;
    relay->kept_len += chunk->len;
    kept_charge(&relay->reactor->kept, keeper_of(relay), pinned(chunk));
}

static bool keep_shared(struct relay *relay, const uint8_t *data, size_t len) {
    struct receive_buffer *shared = reactor_receive_share(relay->reactor, data, len);
    struct relay_chunk *chunk = shared ? malloc(sizeof *chunk) : NULL;
    if (chunk) {
        *chunk = (struct relay_chunk){.shared = shared, .bytes = data, .len = len, .cap = len};
        append_chunk(relay, chunk);
        return true;
    }
    if (shared)
        reactor_receive_release(relay->reactor, shared);
    return false;
}

/* Copies as much as fits into the last chunk. */
static size_t fill_last(struct relay *relay, const uint8_t *data, size_t len) {
    if (!relay->kept)
        return 0;
    struct relay_chunk *last = container_of(relay->kept_end, struct relay_chunk, next);
    size_t n = last->cap - last->len < len ? last->cap - last->len : len;
    memcpy(last->copy + last->len, data, n);
    last->len += n;
    relay->kept_len += n;
    return n;
}

static bool keep(struct relay *relay, const uint8_t *data, size_t len) {
    bool plenty = kept_is_plentiful(&relay->reactor->kept, keeper_of(relay), REACTOR_RECEIVE_SIZE);
    if (plenty && len >= SHARE_MIN && keep_shared(relay, data, len))
        return true;
    size_t done = fill_last(relay, data, len);
    data += done;
    len -= done;
    if (len == 0)
        return true;
    size_t least = plenty ? CHUNK_MIN : CHUNK_MIN_SHORT, cap = len > least ? len : least;
    struct relay_chunk *chunk = malloc(sizeof *chunk + cap);
    if (!chunk)
        return false;
    *chunk = (struct relay_chunk){.bytes = chunk->copy, .len = len, .cap = cap};
    memcpy(chunk->copy, data, len);
    append_chunk(relay, chunk);
    return true;
}

/* As much as one read of a carrier, which unix sockets do not have room for to begin with. Done
 * where it is first missed. The kernel doubles it, for its own needs. */
static bool make_room(struct relay *relay) {
    int size = REACTOR_RECEIVE_SIZE;
    if (!relay->end->out_on_demand || relay->roomy)
        return false;
    relay->roomy = true;
    return setsockopt(relay->watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0;
}

/* A stream for this socket turned out to be long. */
static void note_bulk(struct relay *relay) {
    if (relay->roomy || relay->end != &relay_end_tcp)
        return;
    relay->roomy = true;
    short_path_stop_pacing(relay->watch.fd);
}

static void set_blocked(struct relay *relay, bool blocked) {
    if (relay->blocked == blocked)
        return;
    relay->blocked = blocked;
    if (blocked && relay->end->out_on_demand)
        loop_watch_mask(relay->reactor->loop, &relay->watch, relay->end->mask | EPOLLOUT);
}

/* The application has shut down reading, which TCP takes in silence; or it is gone. */
static bool is_deaf(struct relay *relay) {
    struct pollfd p = {.fd = relay->watch.fd};
    return relay->end->reader_may_be_deaf && poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

/* Writes, and returns how much was taken; -1 if nothing more will be, ever (the relay may be over).
 * */
static ssize_t write_socket(struct relay *relay, struct iovec *iov, int count, int flags) {
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    do
        n = sendmsg(relay->watch.fd, &msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EOPNOTSUPP && flags) /* unix sockets of this kernel have no urgent data */
        return write_socket(relay, iov, count, 0);
    if (n > 0)
        relay->unanswered = false;
    if (n >= 0 || errno == EAGAIN)
        return n < 0 ? 0 : n;
    int error = errno;
    if (error == EPIPE && is_deaf(relay)) {
        relay->discard = true;
        return -1;
    }
    relay_writing_failed(relay, error);
    return -1;
}

static void discard_kept(struct relay *relay) {
    size_t len = relay->kept_len;
    relay_drop_kept(relay);
    consumed(relay, len);
}

/* Everything before the FIN has been written. */
void relay_pass_fin(struct relay *relay) {
    relay->out = RELAY_OUT_SHUT;
    relay->end->shut(relay, relay->in == RELAY_IN_SHUT);
    relay_out_ended(relay);
}

#define KEPT_IOV_MAX 16

/* What to write next of what is kept. The urgent byte goes alone: which byte a short write with
 * MSG_OOB makes urgent is not certain. */
static int gather_kept(const struct relay *relay, struct iovec *iov, size_t *total) {
    size_t max = relay->urgent_at > 1 ? relay->urgent_at - 1 : relay->urgent_at ? 1 : SIZE_MAX;
    int count = 0;
    *total = 0;
    for (struct relay_chunk *c = relay->kept; c && count < KEPT_IOV_MAX && *total < max;
         c = c->next) {
        size_t len = c->len - c->off < max - *total ? c->len - c->off : max - *total;
        iov[count++] = (struct iovec){(void *)(c->bytes + c->off), len};
        *total += len;
    }
    return count;
}

/* Writes what was kept. Returns false if the socket is still blocked or the relay is over. */
bool relay_write_kept(struct relay *relay) {
    while (relay->kept) {
        struct iovec iov[KEPT_IOV_MAX];
        size_t total;
        int count = gather_kept(relay, iov, &total);
        ssize_t n = write_socket(relay, iov, count, relay->urgent_at == 1 ? MSG_OOB : 0);
        if (n < 0) {
            if (!relay_is_over(relay))
                discard_kept(relay);
            return !relay_is_over(relay);
        }
        size_t left = (size_t)n;
        relay->kept_len -= left;
        relay->urgent_at -= relay->urgent_at ? left : 0;
        while (relay->kept && left >= relay->kept->len - relay->kept->off) {
            struct relay_chunk *chunk = relay->kept;
            left -= chunk->len - chunk->off;
            relay->kept = chunk->next;
            free_chunk(relay, chunk);
        }
        if (relay->kept)
            relay->kept->off += left;
        else
            relay->kept_end = &relay->kept;
        consumed(relay, (size_t)n);
        if ((size_t)n < total) {
            set_blocked(relay, true);
            return false;
        }
    }
    set_blocked(relay, false);
    return true;
}

static void keep_all(struct relay *relay, struct iovec *iov, int count, size_t skip) {
    for (int i = 0; i < count; i++) {
        size_t off = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= off;
        if (off < iov[i].iov_len &&
            !keep(relay, (uint8_t *)iov[i].iov_base + off, iov[i].iov_len - off)) {
            log_warn("stream reset: out of memory for data its reader does not take");
            relay_finish(relay, RELAY_GIVEN_UP, ENOMEM);
            return;
        }
    }
}

/* Straight from the receive buffer. What the socket does not take is kept. */
static void write_new(struct relay *relay, struct iovec *iov, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    reactor_note(relay->reactor, &relay->out_few, total);
    if (total >= BULK_MIN)
        note_bulk(relay);
    ssize_t n = write_socket(relay, iov, count, 0);
    if (n < 0) {
        consumed(relay, total);
        return;
    }
    consumed(relay, (size_t)n);
    if ((size_t)n < total) {
        keep_all(relay, iov, count, (size_t)n);
        if (relay_is_over(relay))
            return;
        if (make_room(relay))
            relay_write_kept(relay);
        else
            set_blocked(relay, true);
    }
}

/* Takes what is the handshake's away from the front. False if there is nothing left, or nobody to
 * give it to. */
static bool take_head(struct relay *relay, struct iovec **iov, int *count) {
    while (*count > 0 && relay_has_head(relay)) {
        size_t taken = relay->ops->head(relay, (*iov)->iov_base, (*iov)->iov_len);
        if (relay_is_over(relay) || !relay->stream)
            return false;
        consumed(relay, taken);
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + taken;
        (*iov)->iov_len -= taken;
        if ((*iov)->iov_len > 0)
            break;
        ++*iov;
        --*count;
    }
    return *count > 0;
}

/* What is kept ends with an urgent byte. */
static void urge(struct relay *relay) {
    if (relay_is_over(relay) || !relay->kept)
        return;
    relay->urgent_at = relay->kept_len;
    if (relay_is_attached(relay) && !relay->blocked)
        relay_write_kept(relay);
}

void relay_data(struct relay *relay, struct iovec *iov, int count, bool urgent) {
    if (!take_head(relay, &iov, &count))
        return;
    if (relay->discard) {
        for (int i = 0; i < count; i++)
            consumed(relay, iov[i].iov_len);
        return;
    }
    if (urgent || !relay_is_attached(relay) || relay->kept || relay->blocked)
        keep_all(relay, iov, count, 0);
    else
        write_new(relay, iov, count);
    if (urgent)
        urge(relay);
}

void relay_eof(struct relay *relay) {
    if (relay_is_over(relay) || relay->error)
        return;
    relay->out = RELAY_OUT_DRAINING;
    if (relay_has_head(relay)) /* the handshake was cut short: its owner decides */
        relay->ops->head(relay, NULL, 0);
    else if (relay_is_attached(relay) && !relay->kept)
        relay_pass_fin(relay);
}

void relay_pass_end(struct relay *relay) {
    if (relay->state == RELAY_LEAVING)
        relay_finish(relay, RELAY_STREAM_RESET, relay->error);
    else if (relay->out == RELAY_OUT_DRAINING)
        relay_pass_fin(relay);
}

void relay_socket_writable(struct relay *relay) {
    if (!relay->blocked) {
        /* Nobody waits: stop hearing of every read of the application's. */
        if (relay->end->out_on_demand)
            loop_watch_mask(relay->reactor->loop, &relay->watch, relay->end->mask);
        return;
    }
    if (relay_write_kept(relay))
        relay_pass_end(relay);
}
