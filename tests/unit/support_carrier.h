/* SPDX-License-Identifier: MIT */
/* Carriers for tests only, to check that users of carriers rely only on what carrier.h promises.
 * One is in memory, with a handshake, delays, short reads and writes, and would-block or failure at
 * any byte, all determined by a seed. The other is layered over another carrier, and keeps what
 * that one does not accept, as TLS would. */
#ifndef SUPPORT_CARRIER_H
#define SUPPORT_CARRIER_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/carrier/carrier_socket.h"
#include "helper/carrier/carrier_tls.h"

/* Not every test uses all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

/* ---- In memory ---- */

/* The settings of the carriers that are created next. */
static struct network {
    uint64_t seed;
    bool no_handshake;    /* it never comes */
    bool bad_handshake;   /* it comes, and is a wrong one */
    bool reads_nothing;   /* the second of a pair does not, so that the first cannot end */
    uint64_t fails_after; /* so many bytes have passed the first of a pair, both ways; 0: never */
    bool is_cut;          /* it does not fail then: both see an end, in the middle of whatever */
    const char *name;     /* each proves to the other to be that; NULL: nobody proves anything */
} network = {.seed = 1};

static int carriers_alive; /* those of this file that have not been freed */

#define PLAYED_ROOM  100000u
#define PLAYED_HELLO "hello"

struct played_carrier {
    struct carrier carrier;
    struct played_carrier *peer; /* NULL: it has closed */
    uint64_t random;
    uint64_t fails_after, passed;
    bool bad, silent, deaf, is_cut;
    bool blocked; /* a write fell short */
    bool ended;   /* nothing comes behind what is in `queue` */
    struct loop_task task;
    struct loop_timer timer;
    size_t arrived, len; /* bytes in `queue` that can be read, and those on their way as well */
    uint8_t queue[PLAYED_ROOM];
};

static struct played_carrier *played_of(struct carrier *carrier) {
    return container_of(carrier, struct played_carrier, carrier);
}

static size_t dice(struct played_carrier *p, size_t below) {
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return (size_t)(p->random % below);
}

/* Mostly most of `len`, sometimes a few bytes. */
static size_t some_of(struct played_carrier *p, size_t len) {
    size_t most = dice(p, 4) == 0 ? 20 : len;
    return 1 + dice(p, most < len ? most : len);
}

static void look(struct played_carrier *p);

static void on_task(struct loop_task *task) {
    look(container_of(task, struct played_carrier, task));
}

static void on_timer(struct loop_timer *timer) {
    look(container_of(timer, struct played_carrier, timer));
}

/* Now and then after a delay. */
static void soon(struct played_carrier *p) {
    struct loop *loop = p->carrier.loop;
    if (p->timer.armed || loop_task_is_posted(&p->task))
        return;
    if (dice(p, 10) == 0)
        loop_timer_set(loop, &p->timer, loop_now_us(loop) + dice(p, 1000), on_timer);
    else
        loop_task_post(loop, &p->task, on_task);
}

static bool has_failed(const struct played_carrier *p) {
    return p->fails_after > 0 && p->passed >= p->fails_after;
}

/* How many of `n` bytes come before the carrier is cut. */
static size_t before_cut(const struct played_carrier *p, size_t n) {
    uint64_t left = p->is_cut ? p->fails_after - p->passed : n;
    return left < n ? (size_t)left : n;
}

static void take_out(struct played_carrier *p, void *to, size_t n) {
    memcpy(to, p->queue, n);
    memmove(p->queue, p->queue + n, p->len - n);
    p->len -= n;
    p->arrived -= n;
    if (p->peer)
        soon(p->peer); /* there is room, and perhaps all has arrived that it waits for */
}

static void put_in(struct played_carrier *p, const void *from, size_t n) {
    memcpy(p->queue + p->len, from, n);
    p->len += n;
    soon(p);
}

static void greeting_arrived(struct played_carrier *p) {
    char hello[sizeof PLAYED_HELLO];
    if (p->silent)
        return;
    take_out(p, hello, sizeof hello);
    if (network.name)
        carrier_add_identity(&p->carrier, "psk", network.name, strlen(network.name));
    if (memcmp(hello, PLAYED_HELLO, sizeof hello) == 0)
        carrier_has_started(&p->carrier);
    else
        carrier_has_failed(&p->carrier, "a wrong handshake");
}

static void look(struct played_carrier *p) {
    uint8_t events = 0;
    if (p->arrived < p->len) {
        p->arrived += some_of(p, p->len - p->arrived);
        soon(p);
    }
    if (p->carrier.state == CARRIER_STARTING) {
        if (p->arrived >= sizeof PLAYED_HELLO)
            greeting_arrived(p);
        else if (p->ended && p->arrived == p->len)
            carrier_has_failed(&p->carrier, "the peer has closed");
        return;
    }
    if (p->carrier.state == CARRIER_ENDING) {
        if (!p->peer || p->peer->len == 0)
            carrier_has_ended(&p->carrier);
        return;
    }
    if (p->blocked && (!p->peer || p->peer->len < PLAYED_ROOM)) {
        p->blocked = false;
        events |= EVENT_WRITE;
    }
    if (p->arrived > 0 || p->ended)
        events |= EVENT_READ;
    if (p->ended && p->arrived == p->len)
        events |= EVENT_EOF;
    if (has_failed(p))
        events |= EVENT_READ | EVENT_WRITE | (p->is_cut ? EVENT_EOF : 0);
    if (events)
        carrier_tell(&p->carrier, events);
}

static int played_start(struct carrier *carrier) {
    struct played_carrier *p = played_of(carrier);
    if (p->peer && !p->silent)
        put_in(p->peer, p->bad ? "HELLO" : PLAYED_HELLO, sizeof PLAYED_HELLO);
    soon(p);
    return 0;
}

static ssize_t would_block(void) {
    errno = EAGAIN;
    return -1;
}

static ssize_t played_failure(struct carrier *carrier) {
    strcpy(carrier->why, "a played failure");
    errno = EIO;
    return -1;
}

static void say_end(struct played_carrier *p) {
    if (!p->peer)
        return;
    p->peer->ended = true;
    soon(p->peer);
}

/* So many bytes have passed. */
static void count_passed(struct played_carrier *p, size_t n) {
    p->passed += n;
    if (!p->is_cut || !has_failed(p))
        return;
    say_end(p);
    soon(p);
}

static ssize_t played_read(struct carrier *carrier, void *data, size_t len) {
    struct played_carrier *p = played_of(carrier);
    if (has_failed(p))
        return p->is_cut ? 0 : played_failure(carrier);
    if (p->deaf)
        return would_block();
    if (p->len == 0 && p->ended)
        return 0;
    if (p->arrived == 0 || dice(p, 5) == 0) {
        soon(p);
        return would_block();
    }
    size_t n = before_cut(p, some_of(p, p->arrived < len ? p->arrived : len));
    take_out(p, data, n);
    count_passed(p, n);
    return (ssize_t)n;
}

static ssize_t played_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    struct played_carrier *p = played_of(carrier);
    size_t total = 0, done = 0;
    if (has_failed(p) && !p->is_cut)
        return played_failure(carrier);
    if (!p->peer || has_failed(p)) {
        errno = EPIPE;
        return -1;
    }
    size_t room = PLAYED_ROOM - p->peer->len;
    for (int i = 0; i < iovcnt; i++)
        total += iov[i].iov_len;
    size_t n = room && dice(p, 5) ? before_cut(p, some_of(p, total < room ? total : room)) : 0;
    for (int i = 0; i < iovcnt && done < n; i++) {
        size_t len = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;
        put_in(p->peer, iov[i].iov_base, len);
        done += len;
    }
    count_passed(p, n);
    if (n < total) {
        p->blocked = true;
        soon(p);
    }
    return n ? (ssize_t)n : would_block();
}

static uint32_t played_keep_short(struct carrier *carrier, bool on) {
    (void)carrier;
    return on ? 65536 : UINT32_MAX;
}

/* Complete when the peer has read everything, as on a carrier whose bytes are acknowledged. */
static bool played_shutdown(struct carrier *carrier) {
    struct played_carrier *p = played_of(carrier);
    say_end(p);
    return !p->peer || p->peer->len == 0;
}

static void played_close(struct carrier *carrier) {
    struct played_carrier *p = played_of(carrier);
    say_end(p);
    loop_timer_clear(carrier->loop, &p->timer);
    loop_task_cancel(carrier->loop, &p->task);
    if (p->peer)
        p->peer->peer = NULL;
    p->peer = NULL;
}

static void played_free(struct carrier *carrier) {
    carriers_alive--;
    free(played_of(carrier));
}

static const struct carrier_ops played_ops = {.start = played_start,
                                              .read = played_read,
                                              .writev = played_writev,
                                              .keep_short = played_keep_short,
                                              .shutdown = played_shutdown,
                                              .close = played_close,
                                              .free = played_free};

static int new_played_pair(struct loop *loop, struct carrier *pair[2]) {
    struct played_carrier *p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = calloc(1, sizeof *p[i]);
        if (!p[i])
            abort();
        carrier_init(&p[i]->carrier, &played_ops, loop, "played");
        p[i]->random = (network.seed * 2 + (uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        pair[i] = &p[i]->carrier;
        carriers_alive++;
    }
    p[0]->peer = p[1];
    p[1]->peer = p[0];
    p[0]->fails_after = network.fails_after;
    p[0]->is_cut = network.is_cut;
    p[1]->silent = network.no_handshake;
    p[1]->bad = network.bad_handshake;
    p[1]->deaf = network.reads_nothing;
    return 0;
}

/* ---- Over another carrier ---- */

#define LAYER_RECORD 5000u
#define LAYER_HELLO  "LAYER"

struct layer {
    struct carrier carrier;
    struct carrier *lower;
    size_t greeted, heard; /* bytes of the handshake */
    size_t off, len;       /* record[off..len) is still to be written */
    uint8_t record[LAYER_RECORD];
};

static struct layer *layer_of(struct carrier *carrier) {
    return container_of(carrier, struct layer, carrier);
}

static void disguise(uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        bytes[i] ^= 0x5a;
}

static bool is_lasting(ssize_t n) {
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static const char *layer_greet(struct layer *l) {
    char byte;
    while (l->greeted < sizeof LAYER_HELLO) {
        struct iovec iov = {(char *)LAYER_HELLO + l->greeted, sizeof LAYER_HELLO - l->greeted};
        ssize_t n = carrier_writev(l->lower, &iov, 1);
        if (n <= 0)
            return is_lasting(n) ? "no greeting" : NULL;
        l->greeted += (size_t)n;
    }
    while (l->heard < sizeof LAYER_HELLO) {
        ssize_t n = carrier_read(l->lower, &byte, 1);
        if (n <= 0)
            return is_lasting(n) ? "no greeting" : NULL;
        if (byte != LAYER_HELLO[l->heard++])
            return "a wrong greeting";
    }
    return NULL;
}

static void layer_begin(struct layer *l) {
    const char *why = layer_greet(l);
    if (why)
        carrier_has_failed(&l->carrier, why);
    if (why || l->greeted < sizeof LAYER_HELLO || l->heard < sizeof LAYER_HELLO)
        return;
    carrier_pass_identities(&l->carrier, l->lower);
    carrier_has_started(&l->carrier);
}

static bool layer_flush(struct layer *l) {
    while (l->off < l->len) {
        ssize_t n =
            carrier_writev(l->lower, &(struct iovec){l->record + l->off, l->len - l->off}, 1);
        if (n < 0)
            return false;
        l->off += (size_t)n;
    }
    return true;
}

#define LAYER_PATIENCE_US 3000000u

static void on_lower_ready(struct carrier *lower) {
    layer_begin(lower->user);
}

static void on_lower_failed(struct carrier *lower, const char *why) {
    carrier_has_failed(&((struct layer *)lower->user)->carrier, why);
}

static void on_lower_events(struct carrier *lower, uint8_t events) {
    struct layer *l = lower->user;
    if (l->carrier.state == CARRIER_STARTING) {
        layer_begin(l);
        return;
    }
    if (events & EVENT_WRITE && !layer_flush(l) && errno == EAGAIN)
        events &= (uint8_t)~EVENT_WRITE;
    if (l->carrier.state == CARRIER_ENDING && events & EVENT_WRITE &&
        carrier_shutdown(lower, LAYER_PATIENCE_US))
        carrier_has_ended(&l->carrier);
    else
        carrier_tell(&l->carrier, events);
}

static void on_lower_ended(struct carrier *lower) {
    carrier_has_ended(&((struct layer *)lower->user)->carrier);
}

static const struct carrier_user layer_user = {.ready = on_lower_ready,
                                               .failed = on_lower_failed,
                                               .events = on_lower_events,
                                               .ended = on_lower_ended};

/* The lower carrier reports its progress by an event; nothing is tried before that. */
static int layer_start(struct carrier *carrier) {
    struct layer *l = layer_of(carrier);
    return carrier_start(l->lower, &layer_user, l, LAYER_PATIENCE_US);
}

static ssize_t layer_read(struct carrier *carrier, void *data, size_t len) {
    ssize_t n = carrier_read(layer_of(carrier)->lower, data, len);
    if (n > 0)
        disguise(data, (size_t)n);
    return n;
}

/* Fills the record from the array, from byte `skip` on. */
static void layer_fill(struct layer *l, const struct iovec *iov, int iovcnt, size_t skip) {
    l->off = l->len = 0;
    for (int i = 0; i < iovcnt && l->len < LAYER_RECORD; i++) {
        size_t off = skip < iov[i].iov_len ? skip : iov[i].iov_len, n = iov[i].iov_len - off;
        skip -= off;
        n = n < LAYER_RECORD - l->len ? n : LAYER_RECORD - l->len;
        memcpy(l->record + l->len, (uint8_t *)iov[i].iov_base + off, n);
        l->len += n;
    }
    disguise(l->record, l->len);
}

static ssize_t layer_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    struct layer *l = layer_of(carrier);
    size_t total = 0, taken = 0;
    for (int i = 0; i < iovcnt; i++)
        total += iov[i].iov_len;
    while (layer_flush(l) && taken < total) {
        layer_fill(l, iov, iovcnt, taken);
        taken += l->len;
    }
    return taken ? (ssize_t)taken : -1;
}

static uint32_t layer_keep_short(struct carrier *carrier, bool on) {
    struct layer *l = layer_of(carrier);
    return l->lower->ops->keep_short(l->lower, on);
}

static bool layer_shutdown(struct carrier *carrier) {
    struct layer *l = layer_of(carrier);
    if (!layer_flush(l) && errno == EAGAIN)
        return false;
    return carrier_shutdown(l->lower, LAYER_PATIENCE_US);
}

static void layer_close(struct carrier *carrier) {
    carrier_close(layer_of(carrier)->lower);
}

static void layer_free(struct carrier *carrier) {
    carriers_alive--;
    free(layer_of(carrier));
}

static const struct carrier_ops layer_ops = {.start = layer_start,
                                             .read = layer_read,
                                             .writev = layer_writev,
                                             .keep_short = layer_keep_short,
                                             .shutdown = layer_shutdown,
                                             .close = layer_close,
                                             .free = layer_free};

/* Takes over the lower carrier. */
static struct carrier *new_layer(struct carrier *lower) {
    struct layer *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    carrier_init(&l->carrier, &layer_ops, lower->loop, "layer");
    l->lower = lower;
    carriers_alive++;
    return &l->carrier;
}

/* ---- Kinds to choose from ---- */

static int new_unix_pair(struct loop *loop, struct carrier *pair[2]) {
    return carrier_new_pair(loop, "test", pair);
}

static int new_layered_unix_pair(struct loop *loop, struct carrier *pair[2]) {
    int error = new_unix_pair(loop, pair);
    for (int i = 0; i < 2 && error == 0; i++)
        pair[i] = new_layer(pair[i]);
    return error;
}

static int new_layered_pair(struct loop *loop, struct carrier *pair[2]) {
    new_played_pair(loop, pair);
    for (int i = 0; i < 2; i++)
        pair[i] = new_layer(new_layer(pair[i]));
    return 0;
}

/* ---- TLS ---- */

/* Contexts that share a secret: of the client, of the server. Made once. */
static struct tls_context *tls_context_of_test(bool server) {
    static struct tls_context *context[2];
    static const char line[] = "laptop:000102030405060708090a0b0c0d0e0f\n";
    char file[] = "/tmp/smux-test.XXXXXX", why[300];
    if (context[server])
        return context[server];
    int fd = mkstemp(file);
    if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
        abort();
    close(fd);
    struct tls_settings settings = {.server = server, .psk = file};
    context[server] = tls_context_new(&settings, why, sizeof why);
    if (!context[server])
        abort();
    unlink(file);
    return context[server];
}

/* Takes the lower ones over. */
static void put_tls_over(struct carrier *pair[2]) {
    for (int i = 0; i < 2; i++) {
        pair[i] = carrier_tls_new(pair[i], tls_context_of_test(i == 1), i ? NULL : "test");
        if (!pair[i])
            abort();
    }
}

static int new_tls_unix_pair(struct loop *loop, struct carrier *pair[2]) {
    int error = new_unix_pair(loop, pair);
    if (error == 0)
        put_tls_over(pair);
    return error;
}

static int new_tls_pair(struct loop *loop, struct carrier *pair[2]) {
    new_played_pair(loop, pair);
    put_tls_over(pair);
    return 0;
}

static int new_tls_layered_pair(struct loop *loop, struct carrier *pair[2]) {
    new_layered_pair(loop, pair);
    put_tls_over(pair);
    return 0;
}

struct carrier_kind {
    const char *name;
    int (*new_pair)(struct loop *loop, struct carrier *pair[2]);
    bool slow; /* nothing arrives within the turn it was sent in */
};

enum { CARRIER_UNIX, CARRIER_TLS_UNIX = 4 }; /* of the kinds, those that tests name */

static const struct carrier_kind carrier_kinds[] = {
    [CARRIER_UNIX] = {"unix sockets", new_unix_pair, false},
    {"a layer over unix sockets", new_layered_unix_pair, false},
    {"carriers in memory", new_played_pair, true},
    {"two layers over carriers in memory", new_layered_pair, true},
    [CARRIER_TLS_UNIX] = {"TLS over unix sockets", new_tls_unix_pair, false},
    {"TLS over carriers in memory", new_tls_pair, true},
    {"TLS over two layers over carriers in memory", new_tls_layered_pair, true}};

__attribute__((unused)) static const struct carrier_kind *carrier_kind = &carrier_kinds[0];

#endif
