/* SPDX-License-Identifier: MIT
 * How a session is created, fails and ends.
 */
#include "core/engine/engine.h"

#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *context, size_t size) {
    (void)context;
    return malloc(size);
}

static void default_free(void *context, void *memory) {
    (void)context;
    free(memory);
}

static uint32_t default_max_window(const smux_config *c) {
    uint32_t all = c->max_receive_buffer, half = all / 2;
    uint32_t least = all < WIRE_INITIAL_WINDOW ? all : WIRE_INITIAL_WINDOW;
    return half > least ? half : least;
}

static void session_init(smux_session *s, enum smux_role role, const smux_config *config,
                         uint64_t now_us) {
    s->config = *config;
    s->role = role;
    s->version = config->version;
    if (!s->config.max_window)
        s->config.max_window = default_max_window(config);
    s->window_limit = UINT32_MAX;
    s->now_us = s->last_received_us = now_us;
    s->keepalive_us = now_us + config->keepalive_interval_us;
    if (s->keepalive_us < now_us)
        s->keepalive_us = SMUX_NEVER;
    /* An odd number. Without a seed it is derived from what a peer can hardly know: addresses and
     * the time. */
    uint64_t seed = config->hash_seed;
    if (!seed)
        seed = (uintptr_t)s ^ (uint64_t)(uintptr_t)&seed << 20 ^ now_us << 40;
    s->table.multiplier = (seed * 2 + 1) * 0x9E3779B97F4A7C15u;
    /* As in the Go library, which adds 2 before the first use. */
    s->next_id = role == SMUX_CLIENT ? FIRST_CLIENT_ID : 2;
    if (role == SMUX_CLIENT && config->extensions)
        s->owes = OWE_HELLO;
    if (config->extensions)
        s->hello_until_us =
            now_us < UINT64_MAX - HELLO_PATIENCE_US ? now_us + HELLO_PATIENCE_US : 1;
    promise_init(s);
    s->returned_tail = &s->returned;
    list_init(&s->events);
    list_init(&s->ring);
    list_init(&s->overtakers);
    list_init(&s->control);
    list_init(&s->blocked);
    list_init(&s->starved);
    list_init(&s->idle);
    list_init(&s->lingering);
    list_init(&s->still);
    list_init(&s->shrunk);
    for (size_t i = 0; i < sizeof s->hold / sizeof *s->hold; i++)
        list_init(&s->hold[i]);
}

int smux_session_new(smux_session **session, enum smux_role role, const smux_config *config,
                     const smux_allocator *allocator, uint64_t now_us) {
    smux_config defaults;
    smux_allocator memory =
        allocator ? *allocator : (smux_allocator){default_alloc, default_free, NULL};
    *session = NULL;
    if (!config) {
        smux_config_init(&defaults);
        config = &defaults;
    }
    if ((role != SMUX_CLIENT && role != SMUX_SERVER) || smux_config_verify(config, role, NULL))
        return SMUX_ERR_CONFIG;
    smux_session *s = memory.alloc(memory.context, sizeof *s);
    if (!s)
        return SMUX_ERR_NOMEM;
    memset(s, 0, sizeof *s);
    s->memory = memory;
    session_init(s, role, config, now_us);
    *session = s;
    return 0;
}

void smux_session_free(smux_session *s) {
    if (!s)
        return;
    for (uint32_t i = 0; i < s->table.size; i++) {
        smux_stream *st = s->table.slots[i].stream;
        if (!st)
            continue;
        for (smux_sendbuf *b = st->head, *next; b; b = next) {
            next = b->next_;
            b->state_ = 0;
            if (b->capacity_)
                engine_free(s, b);
        }
        engine_free(s, st);
    }
    for (smux_sendbuf *b = s->returned; b; b = b->next_) {
        b->state_ = 0;
        b->capacity_ = 0;
    }
    stream_free_spares(s);
    engine_free(s, s->table.slots);
    engine_free(s, s->refusals);
    smux_allocator memory = s->memory;
    memory.free(memory.context, s);
}

static size_t append(char *to, size_t at, size_t size, const char *text) {
    while (*text && at + 1 < size)
        to[at++] = *text++;
    to[at] = '\0';
    return at;
}

static size_t append_number(char *to, size_t at, size_t size, uint64_t n) {
    char digits[21];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    return append(to, at, size, digits + i);
}

void session_fail_got(smux_session *s, int error, uint64_t got, const char *expected) {
    if (s->error)
        return;
    size_t at = append(s->text, 0, sizeof s->text, smux_strerror(error));
    if (expected) {
        at = append(s->text, at, sizeof s->text, ": ");
        at = append_number(s->text, at, sizeof s->text, got);
        at = append(s->text, at, sizeof s->text, ", expected ");
        append(s->text, at, sizeof s->text, expected);
    }
    smux_session_fail(s, error);
}

/* Freeing a stream moves later ones back in the table, so look at its slot again. The table no
 * longer shrinks once the session has an error. */
static void kill_streams(smux_session *s, int error) {
    smux_stream *st;
    for (uint32_t i = 0; i < s->table.size; i++)
        if ((st = s->table.slots[i].stream)) {
            stream_kill(st, error, false, false);
            stream_owe_nothing(st); /* even if it had ended before */
        }
    for (uint32_t i = 0; i < s->table.size; i++)
        while ((st = s->table.slots[i].stream) && st->flags & F_GIVEN_UP && !st->refs)
            stream_settle(st);
}

void smux_session_fail(smux_session *s, int error) {
    if (s->error)
        return;
    s->error = smux_error_tier(error) == SMUX_TIER_SESSION ? error : SMUX_ERR_CLOSED;
    if (!s->text[0])
        append(s->text, 0, sizeof s->text, smux_strerror(s->error));
    s->input_len = 0;
    s->refusals_head = s->refusals_tail = 0;
    s->owes = 0;
    kill_streams(s, s->error);
    if (!s->outstanding)
        send_void_plan(s);
}

int smux_session_error(const smux_session *s) {
    return s->error;
}

const char *smux_session_error_text(const smux_session *s) {
    return s->error ? s->text : smux_strerror(0);
}

void smux_session_goaway(smux_session *s) {
    if (s->goaway != GOAWAY_NONE || s->error)
        return;
    if (s->peer_extensions) {
        s->goaway = GOAWAY_SENT;
        s->owes |= OWE_GOAWAY | OWE_PING; /* its pong shows that the peer has been told */
    } else {
        s->goaway = GOAWAY_TOLD;
    }
}

void smux_session_ping(smux_session *s) {
    if (!s->error)
        s->owes |= s->peer_extensions && !s->ping_pending ? OWE_PING : OWE_NOP;
}

void smux_session_get_info(const smux_session *s, smux_session_info *info) {
    *info = s->count;
    info->role = s->role;
    info->version = s->version;
    info->error = s->error;
    info->peer_extensions = s->peer_extensions;
    info->peer_goaway = s->peer_goaway;
    info->streams = s->table.used;
    info->backlog = s->backlog;
    info->unread = s->unread;
    info->queued = s->queued;
    info->rtt_us = s->rtt_us;
    info->last_received_us = s->last_received_us;
}
