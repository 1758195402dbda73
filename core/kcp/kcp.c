/* SPDX-License-Identifier: MIT
 * KCP: see core/kcp.h.  Sequence numbers and times are compared modulo 2^32.
 */
#include "core/kcp.h"

#include <stdlib.h>
#include <string.h>

enum { PUSH = 81, ACK = 82, ASK = 83, TELL = 84 };

#define HEADER      24u
#define PAYLOAD_MAX (1500u - HEADER) /* of a segment of the peer, whose MTU may be another */
#define RTO_START   200u
#define RTO_MAX     60000u
#define PROBE_FIRST 7000u
#define PROBE_MAX   120000u
#define CWND_MIN    2u

struct sent {
    uint32_t ts, resend_at, rto, skipped, xmit, len;
    bool acked;
};

struct received {
    uint32_t len;
    bool present;
};

struct ack {
    uint32_t sn, ts;
};

/* Segments sn..sn+size-1 lie at sn & mask. */
struct smux_kcp {
    smux_kcp_config config;
    smux_allocator allocator;
    uint32_t mss, send_mask, receive_mask;
    uint32_t una, nxt, end; /* oldest unacknowledged, next to be sent first, end of the queue */
    uint32_t read, rcv_nxt; /* oldest not read to its end, next missing */
    uint32_t read_offset;   /* what of `read` has been taken */
    uint32_t scan;          /* segments before it need not be looked at before an ack or rto_at */
    uint32_t rto_at;        /* the earliest resend_at, or before it; if una != nxt */
    uint32_t remote_window, cwnd, cwnd_bytes, ssthresh, recover;
    uint32_t srtt, rttvar, rto;
    uint32_t probe_wait, probe_at;
    uint32_t ack_count, ack_at; /* at most receive_mask + 1: others will be asked for again */
    bool tell, dead;
    struct sent *sent;
    struct received *received;
    struct ack *acks;
    uint8_t *send_data, *receive_data;
};

struct header {
    uint8_t cmd;
    uint32_t window, ts, sn, una, len;
};

static int32_t after(uint32_t a, uint32_t b) {
    return (int32_t)(a - b);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static void pack32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t unpack32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void smux_kcp_config_init(smux_kcp_config *config) {
    *config = (smux_kcp_config){.mtu = 1400,
                                .send_window = 128,
                                .receive_window = 512,
                                .interval_ms = 30,
                                .resend = 2,
                                .no_congestion_window = true,
                                .dead_link = 20};
}

static bool config_is_valid(const smux_kcp_config *c) {
    return c->mtu >= 50 && c->mtu <= 1500 && c->send_window >= 1 && c->send_window <= 32768 &&
           c->receive_window >= 1 && c->receive_window <= 32768 && c->interval_ms >= 10 &&
           c->interval_ms <= 5000 && c->dead_link >= 2;
}

static void *default_alloc(void *context, size_t size) {
    (void)context;
    return malloc(size);
}

static void default_free(void *context, void *memory) {
    (void)context;
    free(memory);
}

static uint32_t ring_size(uint32_t wanted) {
    uint32_t size = 1;
    while (size < wanted)
        size *= 2;
    return size;
}

static void *zeroed(smux_kcp *k, size_t size) {
    void *memory = k->allocator.alloc(k->allocator.context, size);
    return memory ? memset(memory, 0, size) : NULL;
}

int smux_kcp_new(smux_kcp **kcp, const smux_kcp_config *config, const smux_allocator *allocator) {
    smux_allocator a = {.alloc = default_alloc, .free = default_free};
    if (!config_is_valid(config))
        return SMUX_ERR_CONFIG;
    if (allocator)
        a = *allocator;
    smux_kcp *k = a.alloc(a.context, sizeof(*k));
    if (!k)
        return SMUX_ERR_NOMEM;
    uint32_t send = ring_size(config->send_window), receive = ring_size(config->receive_window);
    *k = (smux_kcp){.config = *config,
                    .allocator = a,
                    .mss = config->mtu - HEADER,
                    .send_mask = send - 1,
                    .receive_mask = receive - 1,
                    .remote_window = 32,
                    .cwnd = 1,
                    .ssthresh = CWND_MIN,
                    .rto = RTO_START};
    k->cwnd_bytes = k->mss;
    k->sent = zeroed(k, send * sizeof(*k->sent));
    k->received = zeroed(k, receive * sizeof(*k->received));
    k->acks = zeroed(k, receive * sizeof(*k->acks));
    k->send_data = zeroed(k, (size_t)send * k->mss);
    k->receive_data = zeroed(k, (size_t)receive * PAYLOAD_MAX);
    if (!k->sent || !k->received || !k->acks || !k->send_data || !k->receive_data) {
        smux_kcp_free(k);
        return SMUX_ERR_NOMEM;
    }
    *kcp = k;
    return 0;
}

void smux_kcp_free(smux_kcp *k) {
    if (!k)
        return;
    void *parts[] = {k->sent, k->received, k->acks, k->send_data, k->receive_data};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (parts[i])
            k->allocator.free(k->allocator.context, parts[i]);
    k->allocator.free(k->allocator.context, k);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

static void measure(smux_kcp *k, uint32_t rtt) {
    int32_t delta = (int32_t)rtt - (int32_t)k->srtt, var = (int32_t)k->rttvar;
    if (k->srtt == 0) {
        k->srtt = most(rtt, 1);
        k->rttvar = rtt / 2;
    } else {
        k->srtt = (uint32_t)most(1, (uint32_t)((int32_t)k->srtt + delta / 8));
        bool low = (int32_t)rtt < (int32_t)k->srtt - var;
        k->rttvar = (uint32_t)(var + ((delta < 0 ? -delta : delta) - var) / (low ? 32 : 4));
    }
    uint32_t rto = k->srtt + most(k->config.interval_ms, 4 * k->rttvar);
    k->rto = least(RTO_MAX, most(k->config.nodelay ? 30 : 100, rto));
}

static void grow_window(smux_kcp *k) {
    if (k->cwnd >= k->remote_window)
        return;
    if (k->cwnd < k->ssthresh) {
        k->cwnd++;
        k->cwnd_bytes += k->mss;
        return;
    }
    k->cwnd_bytes = most(k->cwnd_bytes, k->mss);
    k->cwnd_bytes += k->mss * k->mss / k->cwnd_bytes + k->mss / 16;
    if ((k->cwnd + 1) * k->mss <= k->cwnd_bytes)
        k->cwnd = (k->cwnd_bytes + k->mss - 1) / k->mss;
}

/* All before `una` have arrived.  What lies outside of what was sent is a lie, and ignored. */
static void take_una(smux_kcp *k, uint32_t una) {
    if (after(una, k->una) <= 0 || after(una, k->nxt) > 0)
        return;
    k->una = una;
    if (after(k->scan, una) < 0)
        k->scan = una;
    grow_window(k);
}

static void take_ack(smux_kcp *k, uint32_t sn, uint32_t ts) {
    if (after(sn, k->una) < 0 || after(sn, k->nxt) >= 0)
        return;
    k->sent[sn & k->send_mask].acked = true;
    for (uint32_t i = k->una; i != sn; i++) {
        struct sent *s = &k->sent[i & k->send_mask];
        if (!s->acked && after(s->ts, ts) <= 0)
            s->skipped++;
    }
    while (k->una != k->nxt && k->sent[k->una & k->send_mask].acked)
        take_una(k, k->una + 1);
    k->scan = k->una;
}

static void owe_ack(smux_kcp *k, uint32_t sn, uint32_t ts, uint32_t now) {
    if (k->ack_count > k->receive_mask)
        return;
    if (!k->ack_count)
        k->ack_at = now + (k->config.ack_no_delay ? 0 : k->config.interval_ms);
    k->acks[k->ack_count++] = (struct ack){.sn = sn, .ts = ts};
}

static void take_push(smux_kcp *k, const struct header *h, const uint8_t *data, uint32_t now) {
    if (after(h->sn, k->read + k->config.receive_window) >= 0)
        return;
    owe_ack(k, h->sn, h->ts, now);
    struct received *r = &k->received[h->sn & k->receive_mask];
    if (after(h->sn, k->rcv_nxt) < 0 || r->present)
        return;
    memcpy(k->receive_data + (size_t)(h->sn & k->receive_mask) * PAYLOAD_MAX, data, h->len);
    *r = (struct received){.len = h->len, .present = true};
    while (after(k->rcv_nxt, k->read + k->config.receive_window) < 0 &&
           k->received[k->rcv_nxt & k->receive_mask].present)
        k->rcv_nxt++;
}

static bool unpack(const smux_kcp *k, const uint8_t *p, size_t len, struct header *h) {
    if (len < HEADER || unpack32(p) != k->config.conv)
        return false;
    *h = (struct header){.cmd = p[4],
                         .window = p[6] | (uint32_t)p[7] << 8,
                         .ts = unpack32(p + 8),
                         .sn = unpack32(p + 12),
                         .una = unpack32(p + 16),
                         .len = unpack32(p + 20)};
    return h->len <= len - HEADER && h->len <= PAYLOAD_MAX && h->cmd >= PUSH && h->cmd <= TELL;
}

int smux_kcp_input(smux_kcp *k, const void *packet, size_t len, uint32_t now) {
    const uint8_t *p = packet;
    struct header h;
    bool measured = false;
    uint32_t latest = 0;
    int error = 0;
    do {
        if (!unpack(k, p, len, &h)) {
            error = SMUX_ERR_ARGUMENT;
            break;
        }
        k->remote_window = h.window;
        take_una(k, h.una);
        if (h.cmd == ACK) {
            take_ack(k, h.sn, h.ts);
            latest = h.ts;
            measured = true;
        } else if (h.cmd == PUSH) {
            take_push(k, &h, p + HEADER, now);
        } else if (h.cmd == ASK) {
            k->tell = true;
        }
        p += HEADER + h.len;
        len -= HEADER + h.len;
    } while (len);
    if (measured && after(now, latest) >= 0 && now - latest <= RTO_MAX)
        measure(k, now - latest);
    if (k->remote_window)
        k->probe_wait = 0;
    return error;
}

size_t smux_kcp_recv(smux_kcp *k, void *data, size_t len) {
    size_t done = 0;
    bool was_full = k->rcv_nxt - k->read >= k->config.receive_window;
    while (k->read != k->rcv_nxt) {
        struct received *r = &k->received[k->read & k->receive_mask];
        size_t part = r->len - k->read_offset;
        if (part > len - done)
            part = len - done;
        if (part)
            memcpy((uint8_t *)data + done,
                   k->receive_data + (size_t)(k->read & k->receive_mask) * PAYLOAD_MAX +
                       k->read_offset,
                   part);
        done += part;
        k->read_offset += (uint32_t)part;
        if (k->read_offset < r->len)
            break;
        r->present = false;
        k->read_offset = 0;
        k->read++;
    }
    if (was_full && k->rcv_nxt - k->read < k->config.receive_window)
        k->tell = true;
    return done;
}

/* ---- Sending -------------------------------------------------------------------------------- */

size_t smux_kcp_send(smux_kcp *k, const void *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        struct sent *s = &k->sent[(k->end - 1) & k->send_mask];
        if (k->end == k->nxt || s->len == k->mss) {
            if (k->end - k->una >= k->config.send_window)
                break;
            s = &k->sent[k->end++ & k->send_mask];
            *s = (struct sent){.len = 0};
        }
        size_t part = k->mss - s->len;
        if (part > len - done)
            part = len - done;
        memcpy(k->send_data + (size_t)((k->end - 1) & k->send_mask) * k->mss + s->len,
               (const uint8_t *)data + done, part);
        s->len += (uint32_t)part;
        done += part;
    }
    return done;
}

static bool may_send_new(const smux_kcp *k) {
    uint32_t window = least(k->config.send_window, k->remote_window);
    if (!k->config.no_congestion_window)
        window = least(window, most(1, k->cwnd));
    return k->nxt != k->end && k->nxt - k->una < window;
}

static uint8_t *pack(const smux_kcp *k, uint8_t *p, uint8_t cmd, const struct header *h) {
    uint32_t window = k->config.receive_window - (k->rcv_nxt - k->read);
    pack32(p, k->config.conv);
    p[4] = cmd;
    p[5] = 0;
    p[6] = (uint8_t)window;
    p[7] = (uint8_t)(window >> 8);
    pack32(p + 8, h->ts);
    pack32(p + 12, h->sn);
    pack32(p + 16, k->rcv_nxt);
    pack32(p + 20, h->len);
    return p + HEADER;
}

/* A window is reduced once for what was in flight when it was. */
static void shrink_window(smux_kcp *k, uint32_t sn, bool timeout) {
    if (after(sn, k->recover) < 0)
        return;
    k->recover = k->nxt;
    k->ssthresh = most(CWND_MIN, (k->nxt - k->una) / 2);
    k->cwnd = timeout ? 1 : k->ssthresh + k->config.resend;
    k->cwnd_bytes = k->cwnd * k->mss;
}

/* Whether an already sent segment is to be sent again, with its new timeout. */
static bool is_lost(smux_kcp *k, uint32_t sn, uint32_t now) {
    struct sent *s = &k->sent[sn & k->send_mask];
    bool skipped =
        (k->config.resend && s->skipped >= k->config.resend) || (s->skipped && !may_send_new(k));
    bool late = after(now, s->resend_at) >= 0;
    if (s->acked || (!skipped && !late))
        return false;
    s->rto = skipped ? k->rto : least(RTO_MAX, s->rto + k->rto / (k->config.nodelay ? 2 : 1));
    shrink_window(k, sn, !skipped);
    return true;
}

static uint8_t *put_segment(smux_kcp *k, uint8_t *p, uint32_t sn, uint32_t now) {
    struct sent *s = &k->sent[sn & k->send_mask];
    s->ts = now;
    s->resend_at = now + s->rto;
    s->skipped = 0;
    if (++s->xmit >= k->config.dead_link)
        k->dead = true;
    if (after(s->resend_at, k->rto_at) < 0)
        k->rto_at = s->resend_at;
    p = pack(k, p, PUSH, &(struct header){.ts = now, .sn = sn, .len = s->len});
    memcpy(p, k->send_data + (size_t)(sn & k->send_mask) * k->mss, s->len);
    return p + s->len;
}

static uint8_t *put_lost(smux_kcp *k, uint8_t *p, const uint8_t *end, uint32_t now) {
    if (k->una != k->nxt && after(now, k->rto_at) >= 0)
        k->scan = k->una;
    if (k->scan == k->una) /* a whole look: find the earliest anew */
        k->rto_at = now + RTO_MAX;
    for (; k->scan != k->nxt; k->scan++) {
        struct sent *s = &k->sent[k->scan & k->send_mask];
        if ((size_t)(end - p) < HEADER + s->len)
            break;
        if (is_lost(k, k->scan, now))
            p = put_segment(k, p, k->scan, now);
        else if (!s->acked && after(s->resend_at, k->rto_at) < 0)
            k->rto_at = s->resend_at;
    }
    return p;
}

static uint8_t *put_new(smux_kcp *k, uint8_t *p, const uint8_t *end, uint32_t now) {
    while (k->scan == k->nxt && may_send_new(k)) {
        struct sent *s = &k->sent[k->nxt & k->send_mask];
        if ((size_t)(end - p) < HEADER + s->len)
            break;
        if (k->una == k->nxt)
            k->rto_at = now + k->rto;
        s->rto = k->rto;
        p = put_segment(k, p, k->nxt, now);
        k->scan = ++k->nxt;
    }
    return p;
}

/* As many as fit; those that una says already are left out, except for the last. */
static uint8_t *put_acks(smux_kcp *k, uint8_t *p, const uint8_t *end) {
    uint32_t i = 0;
    for (; i < k->ack_count && (size_t)(end - p) >= HEADER; i++)
        if (after(k->acks[i].sn, k->rcv_nxt) >= 0 || i == k->ack_count - 1)
            p = pack(k, p, ACK, &(struct header){.sn = k->acks[i].sn, .ts = k->acks[i].ts});
    k->ack_count -= i;
    memmove(k->acks, k->acks + i, k->ack_count * sizeof(*k->acks));
    return p;
}

static bool probe_is_due(const smux_kcp *k, uint32_t now) {
    return k->probe_wait && after(now, k->probe_at) >= 0;
}

static uint8_t *put_probes(smux_kcp *k, uint8_t *p, const uint8_t *end, uint32_t now) {
    static const struct header nothing;
    if (k->tell && (size_t)(end - p) >= HEADER) {
        p = pack(k, p, TELL, &nothing);
        k->tell = false;
    }
    bool due = probe_is_due(k, now);
    if (due && (size_t)(end - p) >= HEADER)
        p = pack(k, p, ASK, &nothing);
    if (!k->remote_window && (due || !k->probe_wait)) {
        k->probe_wait = due ? least(PROBE_MAX, k->probe_wait * 3 / 2) : PROBE_FIRST;
        k->probe_at = now + k->probe_wait;
    }
    return p;
}

size_t smux_kcp_output(smux_kcp *k, void *packet, uint32_t now) {
    uint8_t *start = packet, *p = start;
    const uint8_t *end = start + k->config.mtu;
    if (k->dead)
        return 0;
    if (k->ack_count && after(now, k->ack_at) >= 0)
        p = put_acks(k, p, end);
    p = put_probes(k, p, end, now);
    p = put_lost(k, p, end, now);
    p = put_new(k, p, end, now);
    return (size_t)(p - start);
}

uint32_t smux_kcp_timeout(const smux_kcp *k, uint32_t now) {
    uint32_t wait = SMUX_KCP_NEVER;
    if (k->dead)
        return wait;
    if (k->tell || k->scan != k->nxt || may_send_new(k) || (!k->remote_window && !k->probe_wait))
        return 0;
    if (k->ack_count)
        wait = after(k->ack_at, now) > 0 ? k->ack_at - now : 0;
    if (k->una != k->nxt)
        wait = least(wait, after(k->rto_at, now) > 0 ? k->rto_at - now : 0);
    if (k->probe_wait)
        wait = least(wait, after(k->probe_at, now) > 0 ? k->probe_at - now : 0);
    return wait;
}

uint32_t smux_kcp_unacknowledged(const smux_kcp *k) {
    return k->end - k->una;
}

bool smux_kcp_is_dead(const smux_kcp *k) {
    return k->dead;
}
