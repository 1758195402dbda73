/* relay.c - see relay.h. The kinds of socket are in relay_end.c. */
#include "helper/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/log.h"

/* Bytes kept for a socket that takes no more: a copy, or a reference to where they were received. */
struct relay_chunk {
    struct relay_chunk *next;
    struct receive_buffer *shared; /* NULL: a copy */
    const uint8_t *bytes;
    size_t off, len, cap; /* bytes[off..len) is kept; a copy has room up to cap */
    uint8_t copy[];
};

/* Small messages to a blocked socket share a chunk. */
#define CHUNK_MIN 4096u

/* From this size on bytes are not copied. A slice keeps all of its receive buffer alive, which is
 * this many times smaller than REACTOR_RECEIVE_SIZE: memory is bounded by 8 times the window. */
#define SHARE_MIN (REACTOR_RECEIVE_SIZE / 8)

static void relay_task(struct loop_task *task);

void relay_init(struct relay *relay, struct reactor *reactor, const struct relay_ops *ops) {
    memset(relay, 0, sizeof *relay);
    relay->reactor = reactor;
    relay->ops = ops;
    relay->kept_end = &relay->kept;
    relay->watch.fd = -1;
}

void relay_bind(struct relay *relay, struct pump *pump, smux_stream *stream) {
    relay->pump = pump;
    relay->stream = stream;
    smux_stream_set_user(stream, relay);
    relay->at = &pump->relays;
    relay->next = pump->relays;
    if (relay->next)
        relay->next->at = &relay->next;
    pump->relays = relay;
}

static void unbind(struct relay *relay, void (*close_stream)(smux_stream *stream)) {
    *relay->at = relay->next;
    if (relay->next)
        relay->next->at = relay->at;
    smux_stream_set_user(relay->stream, NULL);
    close_stream(relay->stream);
    relay->stream = NULL;
    pump_kick(relay->pump);
}

int relay_say(struct relay *relay, const void *data, size_t len) {
    ssize_t n = smux_send(relay->stream, data, len);
    pump_kick(relay->pump);
    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : SMUX_ERR_NOMEM;
}

/* ---- The end ---- */

static void forget_loans(struct relay *relay) {
    while (relay->loans) {
        struct buffer *buffer = relay->loans;
        relay->loans = buffer->next;
        buffer->relay = NULL;
        buffer->next = buffer->prev = NULL;
    }
    relay->loan_len = 0;
}

static void free_chunk(struct relay *relay, struct relay_chunk *chunk) {
    if (chunk->shared)
        reactor_receive_release(relay->reactor, chunk->shared);
    free(chunk);
}

static void drop_kept(struct relay *relay) {
    while (relay->kept) {
        struct relay_chunk *chunk = relay->kept;
        relay->kept = chunk->next;
        free_chunk(relay, chunk);
    }
    relay->kept_end = &relay->kept;
    relay->kept_len = 0;
}

static void finish(struct relay *relay, enum relay_reason reason, int error) {
    struct loop *loop = relay->reactor->loop;
    if (relay->over)
        return;
    relay->over = true;
    if (relay->pump && relay->pump->batch == relay) {
        relay->pump->batch = NULL;
        relay->pump->gather_count = 0;
    }
    forget_loans(relay);
    drop_kept(relay);
    loop_timer_clear(loop, &relay->timer);
    loop_task_cancel(loop, &relay->task);
    if (reason != RELAY_DONE && relay->watch.open && relay->end)
        relay->end->reset(relay);
    loop_watch_close(&relay->watch);
    if (relay->stream)
        unbind(relay, reason == RELAY_DONE ? smux_close : smux_reset);
    relay->ops->ended(relay, reason, error);
}

void relay_abort(struct relay *relay, int error) {
    finish(relay, RELAY_GIVEN_UP, error);
}

void relay_hang_up(struct relay *relay) {
    finish(relay, RELAY_DONE, 0);
}

void relay_drop_stream(struct relay *relay) {
    if (!relay->stream)
        return;
    forget_loans(relay);
    drop_kept(relay);
    unbind(relay, smux_reset);
    relay->out = RELAY_OUT_OPEN;
}

void relay_stream_reset(struct relay *relay, int error) {
    if (relay->over)
        return;
    if (relay->head && !relay->end && relay->ops->lost) {
        relay_drop_stream(relay);
        if (relay->ops->lost(relay, error))
            return;
    }
    finish(relay, RELAY_STREAM_RESET, error);
}

static void socket_failed(struct relay *relay, int error) {
    finish(relay, RELAY_SOCKET_RESET, error);
}

/* Ends the relay if both directions have ended. */
static void check_done(struct relay *relay) {
    if (relay->in == RELAY_IN_SHUT && relay->out == RELAY_OUT_SHUT)
        finish(relay, RELAY_DONE, 0);
}

static void orphan_timeout(struct loop_timer *timer) {
    struct relay *relay = container_of(timer, struct relay, timer);
    finish(relay, RELAY_SOCKET_RESET, ETIMEDOUT);
}

/* ---- Socket to stream ---- */

static void again_later(struct relay *relay) {
    loop_task_post(relay->reactor->loop, &relay->task, relay_task);
}

int relay_submit(struct relay *relay, struct buffer *buffer, size_t len) {
    const uint8_t *data = buffer->data;
    if (len <= RELAY_COPY_MAX) {
        ssize_t n = smux_send(relay->stream, data, len);
        if (n == (ssize_t)len || n < 0) {
            buffer_put(&relay->reactor->pool, buffer);
            return n < 0 ? (int)n : 0;
        }
        data += n;
        len -= (size_t)n;
    }
    buffer->lent.data = data;
    buffer->lent.len = len;
    int error = smux_send_borrowed(relay->stream, &buffer->lent);
    if (error) {
        buffer_put(&relay->reactor->pool, buffer);
        return error;
    }
    buffer->relay = relay;
    buffer->prev = NULL;
    buffer->next = relay->loans;
    if (relay->loans)
        relay->loans->prev = buffer;
    relay->loans = buffer;
    relay->loan_len += BUFFER_SIZE;
    return 0;
}

void relay_sent(struct relay *relay, struct buffer *buffer) {
    if (buffer->prev)
        buffer->prev->next = buffer->next;
    else
        relay->loans = buffer->next;
    if (buffer->next)
        buffer->next->prev = buffer->prev;
    relay->loan_len -= BUFFER_SIZE;
    if (relay->readable && relay->in == RELAY_IN_OPEN)
        again_later(relay);
}

/* How many bytes may be read now. */
static size_t read_room(const struct relay *relay) {
    size_t cap = RELAY_LOAN_MAX;
    if (relay->reactor->pool.used_count > RELAY_BUFFERS_PLENTY)
        cap = BUFFER_SIZE;
    return relay->loan_len < cap ? cap - relay->loan_len : 0;
}

/* The application is gone for good: what still comes for it is answered by a reset, as the kernel
 * answers for a closed socket; a far end that says nothing gets a while. */
static void become_orphan(struct relay *relay) {
    if (relay->kept_len > 0) {
        socket_failed(relay, ECONNRESET);
        return;
    }
    struct loop *loop = relay->reactor->loop;
    loop_timer_set(loop, &relay->timer, loop_now_us(loop) + RELAY_ORPHAN_US, orphan_timeout);
}

static void socket_ended(struct relay *relay) {
    relay->readable = false;
    relay->in = RELAY_IN_SHUT;
    smux_close_write(relay->stream);
    if (relay->out == RELAY_OUT_DISCARD && relay->socket_hup)
        relay->out = RELAY_OUT_OPEN;
    check_done(relay);
    if (!relay->over && relay->socket_hup && relay->end == &relay_end_app)
        become_orphan(relay);
}

static void read_socket(struct relay *relay) {
    size_t budget = RELAY_LOAN_MAX;
    while (relay->readable && relay->in == RELAY_IN_OPEN) {
        size_t room = read_room(relay);
        if (room == 0)
            break; /* relay_sent goes on */
        if (budget == 0) {
            again_later(relay);
            break;
        }
        ssize_t n = relay->end->read(relay, room < budget ? room : budget);
        if (n == -EAGAIN)
            relay->readable = false;
        else if (n < 0)
            socket_failed(relay, (int)-n);
        else if (n == 0)
            socket_ended(relay);
        else
            budget -= (size_t)n < budget ? (size_t)n : budget;
        if (relay->over)
            return;
    }
    pump_kick(relay->pump);
}

/* ---- Stream to socket ---- */

static void consumed(struct relay *relay, size_t n) {
    if (n == 0 || !relay->stream)
        return;
    smux_consume(relay->stream, n);
    pump_kick(relay->pump);
}

static void append_chunk(struct relay *relay, struct relay_chunk *chunk) {
    *relay->kept_end = chunk;
    relay->kept_end = &chunk->next;
    relay->kept_len += chunk->len;
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
    if (len >= SHARE_MIN && keep_shared(relay, data, len))
        return true;
    size_t done = fill_last(relay, data, len);
    data += done;
    len -= done;
    if (len == 0)
        return true;
    size_t cap = len > CHUNK_MIN ? len : CHUNK_MIN;
    struct relay_chunk *chunk = malloc(sizeof *chunk + cap);
    if (!chunk)
        return false;
    *chunk = (struct relay_chunk){.bytes = chunk->copy, .len = len, .cap = cap};
    memcpy(chunk->copy, data, len);
    append_chunk(relay, chunk);
    return true;
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

/* Writes, and returns how much was taken; -1 if nothing more will be, ever (the relay may be over). */
static ssize_t write_socket(struct relay *relay, struct iovec *iov, int count) {
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    do
        n = sendmsg(relay->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0 || errno == EAGAIN)
        return n < 0 ? 0 : n;
    int error = errno;
    if (error == EPIPE && is_deaf(relay)) {
        relay->out = RELAY_OUT_DISCARD;
        return -1;
    }
    socket_failed(relay, error);
    return -1;
}

static void discard_kept(struct relay *relay) {
    size_t len = relay->kept_len;
    drop_kept(relay);
    consumed(relay, len);
}

/* Everything before the FIN has been written. */
static void pass_fin(struct relay *relay) {
    relay->out = RELAY_OUT_SHUT;
    relay->end->shut(relay, relay->in == RELAY_IN_SHUT);
    check_done(relay);
}

#define KEPT_IOV_MAX 16

/* Writes what was kept. Returns false if the socket is still blocked or the relay is over. */
static bool write_kept(struct relay *relay) {
    while (relay->kept) {
        struct iovec iov[KEPT_IOV_MAX];
        int count = 0;
        size_t total = 0;
        for (struct relay_chunk *c = relay->kept; c && count < KEPT_IOV_MAX; c = c->next) {
            iov[count++] = (struct iovec){(void *)(c->bytes + c->off), c->len - c->off};
            total += c->len - c->off;
        }
        ssize_t n = write_socket(relay, iov, count);
        if (n < 0) {
            if (!relay->over)
                discard_kept(relay);
            return !relay->over;
        }
        size_t left = (size_t)n;
        relay->kept_len -= left;
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

static void keep_gathered(struct relay *relay, struct iovec *iov, int count, size_t skip) {
    for (int i = 0; i < count; i++) {
        size_t off = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= off;
        if (off < iov[i].iov_len &&
            !keep(relay, (uint8_t *)iov[i].iov_base + off, iov[i].iov_len - off)) {
            log_warn("stream reset: out of memory for data its reader does not take");
            finish(relay, RELAY_GIVEN_UP, ENOMEM);
            return;
        }
    }
}

void relay_flush(struct relay *relay) {
    struct pump *pump = relay->pump;
    int count = pump->gather_count;
    size_t total = 0;
    pump->gather_count = 0;
    if (relay->over || count == 0)
        return;
    for (int i = 0; i < count; i++)
        total += pump->gather[i].iov_len;
    ssize_t n = write_socket(relay, pump->gather, count);
    if (n < 0) {
        consumed(relay, total);
        return;
    }
    consumed(relay, (size_t)n);
    if ((size_t)n < total) {
        keep_gathered(relay, pump->gather, count, (size_t)n);
        if (!relay->over)
            set_blocked(relay, true);
    }
}

/* Data for an application that has closed its end: as the kernel, answer with a reset. */
static bool arrives_too_late(struct relay *relay) {
    if (!relay->timer.armed)
        return false;
    socket_failed(relay, ECONNRESET);
    return true;
}

bool relay_data(struct relay *relay, const uint8_t *data, size_t len) {
    if (relay->head) {
        size_t taken = relay->ops->head(relay, data, len);
        if (relay->over || !relay->stream)
            return false;
        consumed(relay, taken);
        data += taken;
        len -= taken;
    }
    if (len == 0 || arrives_too_late(relay))
        return false;
    if (relay->out == RELAY_OUT_DISCARD) {
        consumed(relay, len);
        return false;
    }
    struct pump *pump = relay->pump;
    if (!relay->end || relay->kept || relay->blocked) {
        keep_gathered(relay, &(struct iovec){(void *)data, len}, 1, 0);
        return false;
    }
    if (pump->gather_count == PUMP_GATHER_MAX) {
        relay_flush(relay);
        return !relay->over && relay_data(relay, data, len);
    }
    pump->gather[pump->gather_count++] = (struct iovec){(void *)data, len};
    return true;
}

void relay_eof(struct relay *relay) {
    if (relay->over)
        return;
    if (relay->out == RELAY_OUT_DISCARD) {
        relay->out = RELAY_OUT_SHUT;
        if (relay->end)
            relay->end->shut(relay, relay->in == RELAY_IN_SHUT);
        check_done(relay);
        return;
    }
    relay->out = RELAY_OUT_DRAINING;
    if (relay->head) /* the handshake was cut short: its owner decides */
        relay->ops->head(relay, NULL, 0);
    else if (relay->end && !relay->kept)
        pass_fin(relay);
}

static void socket_writable(struct relay *relay) {
    if (!relay->blocked) {
        /* Nobody waits: stop hearing of every read of the application's. */
        if (relay->end->out_on_demand)
            loop_watch_mask(relay->reactor->loop, &relay->watch, relay->end->mask);
        return;
    }
    if (write_kept(relay) && relay->out == RELAY_OUT_DRAINING)
        pass_fin(relay);
}

/* ---- The turn ---- */

static void relay_task(struct loop_task *task) {
    struct relay *relay = container_of(task, struct relay, task);
    read_socket(relay);
}

/* News from a socket that has no more bytes to give: gone, or gone with a reset. */
static void news_after_eof(struct relay *relay, uint32_t events) {
    int error = 0;
    socklen_t len = sizeof error;
    if (events & EPOLLERR)
        getsockopt(relay->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        socket_failed(relay, error);
    else if (relay->socket_hup && relay->end == &relay_end_app && !relay->timer.armed)
        become_orphan(relay);
}

static void relay_on_fd(struct loop_watch *watch, uint32_t events) {
    struct relay *relay = container_of(watch, struct relay, watch);
    if (events & (EPOLLHUP | EPOLLERR))
        relay->socket_hup = relay->socket_eof = true;
    if (events & EPOLLRDHUP)
        relay->socket_eof = true;
    if (relay->socket_hup && relay->linger_reset) {
        socket_failed(relay, ECONNRESET);
        return;
    }
    if (events & EPOLLOUT)
        socket_writable(relay);
    if (relay->over)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        relay->readable = true;
        if (relay->in == RELAY_IN_OPEN)
            read_socket(relay);
        else
            news_after_eof(relay, events);
    }
}

int relay_attach(struct relay *relay, int fd, const struct relay_end *end, bool readable) {
    if (relay->watch.open) {
        relay->watch.fn = relay_on_fd;
    } else {
        int error = loop_watch_add(relay->reactor->loop, &relay->watch, fd, end->mask, relay_on_fd);
        if (error)
            return error;
    }
    relay->end = end;
    relay->readable = readable;
    if (readable)
        again_later(relay);
    if (relay->kept && !write_kept(relay))
        return 0;
    if (!relay->over && relay->out == RELAY_OUT_DRAINING)
        pass_fin(relay);
    return 0;
}
