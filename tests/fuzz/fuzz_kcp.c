/* SPDX-License-Identifier: MIT
 *
 * Two KCP connections and a hostile path between them.
 *
 * The first bytes choose the configurations and the clock; the rest is a script of sends, receives,
 * packets that are delivered, lost, doubled, reordered, cut short or forged, and of time.  Checked:
 * no memory error (sanitizers), no memory after set-up, legal packets, bounded queues, a deadline
 * that moves once all that is due has been sent, and, as long as nothing was forged, exact bytes in
 * order, all of which arrive when the path is good in the end.
 */
#include "core/kcp.h"
#include "fuzz_check.h"
#include "tests/unit/support_alloc.h"

#define OPTIONS    14
#define MTU_MAX    1500
#define HEADER     24
#define UNDER_WAY  64 /* packets under way */
#define PIECE      4096
#define TIME_MAX   (1u << 30) /* a script's, in ms */
#define WAIT_MAX   120000u    /* no deadline is further away */
#define ROUNDS_MAX 20000

struct packet {
    int to;
    uint32_t len;
    uint8_t data[MTU_MAX];
};

struct side {
    smux_kcp *kcp;
    smux_kcp_config config;
    uint64_t put, got; /* bytes that the application has sent and received */
};

struct run {
    const uint8_t *data;
    size_t len;
    test_alloc alloc;
    struct side side[2];
    uint32_t now, passed;
    bool forged;
    uint32_t count;
    struct packet path[UNDER_WAY];
};

static struct run run;

static uint32_t next_byte(void) {
    if (!run.len)
        return 0;
    run.len--;
    return *run.data++;
}

static uint32_t next_pair(void) {
    uint32_t high = next_byte();
    return high << 8 | next_byte();
}

/* Small numbers as often as large ones, up to 255 << 7. */
static uint32_t next_size(void) {
    uint32_t shift = next_byte();
    return next_byte() << (shift & 7);
}

static uint8_t byte_at(int sender, uint64_t i) {
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (uint64_t)sender);
}

/* ---- What the connections say ---------------------------------------------------------------- */

static uint32_t little_endian(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void check_packet(const struct side *s, const uint8_t *p, size_t len) {
    MUST(len <= s->config.mtu);
    while (len) {
        MUST(len >= HEADER && little_endian(p) == s->config.conv);
        MUST(p[4] >= 81 && p[4] <= 84 && p[5] == 0);
        MUST((p[6] | (uint32_t)p[7] << 8) <= s->config.receive_window);
        uint32_t payload = little_endian(p + 20);
        MUST(payload <= len - HEADER && (payload > 0) == (p[4] == 81));
        p += HEADER + payload;
        len -= HEADER + payload;
    }
}

static void check_side(const struct side *s) {
    MUST(smux_kcp_unacknowledged(s->kcp) <= s->config.send_window);
    uint32_t wait = smux_kcp_timeout(s->kcp, run.now);
    MUST(wait <= WAIT_MAX || wait == SMUX_KCP_NEVER);
    if (smux_kcp_is_dead(s->kcp))
        MUST(wait == SMUX_KCP_NEVER);
}

/* Puts the next packet on the path, where a full one loses it. */
static bool put_packet(int from) {
    static struct packet lost;
    struct packet *p = run.count < UNDER_WAY ? &run.path[run.count] : &lost;
    p->len = (uint32_t)smux_kcp_output(run.side[from].kcp, p->data, run.now);
    p->to = !from;
    check_packet(&run.side[from], p->data, p->len);
    if (p->len && run.count < UNDER_WAY)
        run.count++;
    return p->len;
}

static void put_packets(int from) {
    const smux_kcp_config *c = &run.side[from].config;
    /* Each has a segment or an acknowledgement of its own at least, or all probes. */
    uint32_t most = c->send_window + 2 * c->receive_window + 4;
    while (put_packet(from))
        MUST(most-- > 0);
    MUST(smux_kcp_timeout(run.side[from].kcp, run.now) != 0);
}

/* ---- The path -------------------------------------------------------------------------------- */

/* Flush against the end of its memory. */
static int input(int to, const uint8_t *data, uint32_t len) {
    char *copy = fuzz_copy(data, len, 0);
    int error = smux_kcp_input(run.side[to].kcp, copy, len, run.now);
    free(copy);
    MUST(error == 0 || error == SMUX_ERR_ARGUMENT);
    return error;
}

static void take_packet(uint32_t i) {
    memmove(&run.path[i], &run.path[i + 1], (--run.count - i) * sizeof(*run.path));
}

static void deliver(uint32_t i, bool keep) {
    const struct packet *p = &run.path[i];
    MUST(input(p->to, p->data, p->len) == 0);
    if (!keep)
        take_packet(i);
}

static void deliver_cut(uint32_t i, uint32_t cut) {
    const struct packet *p = &run.path[i];
    (void)input(p->to, p->data, cut % (p->len + 1));
    take_packet(i);
}

static void corrupt(uint32_t i) {
    struct packet *p = &run.path[i];
    uint32_t at = next_byte() % (next_byte() & 1 ? p->len : HEADER);
    p->data[at] ^= (uint8_t)next_byte();
    (void)input(p->to, p->data, p->len);
    take_packet(i);
    run.forged = true;
}

static void forge(int to) {
    uint8_t data[MTU_MAX];
    uint32_t len = next_byte(), head = next_byte();
    len = len > run.len ? (uint32_t)run.len : len;
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)next_byte();
    if (head & 1 && len >= HEADER) { /* a packet that is looked at, with one segment */
        memcpy(data, (uint8_t[]){1, 0, 0, 0}, 4);
        data[4] = (uint8_t)(81 + (head >> 1) % 4);
        memcpy(data + 20, (uint8_t[]){(uint8_t)(len - HEADER), 0, 0, 0}, 4);
    }
    (void)input(to, data, len);
    run.forged = true;
}

/* ---- The application ------------------------------------------------------------------------- */

static void send_bytes(int from, uint32_t len) {
    static uint8_t data[PIECE];
    struct side *s = &run.side[from];
    len %= PIECE;
    for (uint32_t i = 0; i < len; i++)
        data[i] = byte_at(from, s->put + i);
    size_t taken = smux_kcp_send(s->kcp, data, len);
    MUST(taken <= len);
    s->put += taken;
}

static size_t receive_bytes(int to, uint32_t len) {
    struct side *s = &run.side[to];
    len %= PIECE;
    uint8_t *data = malloc(len + 1);
    MUST(data);
    size_t got = smux_kcp_recv(s->kcp, data, len);
    MUST(got <= len);
    for (size_t i = 0; i < got && !run.forged; i++)
        MUST(data[i] == byte_at(!to, s->got + i));
    free(data);
    s->got += got;
    if (!run.forged)
        MUST(s->got <= run.side[!to].put);
    return got;
}

/* ---- The script ------------------------------------------------------------------------------ */

static void pass_time(uint32_t ms) {
    if (run.passed + ms > TIME_MAX)
        return;
    run.passed += ms;
    run.now += ms;
}

static void pass_to_deadline(void) {
    uint32_t a = smux_kcp_timeout(run.side[0].kcp, run.now);
    uint32_t b = smux_kcp_timeout(run.side[1].kcp, run.now);
    a = a < b ? a : b;
    if (a != SMUX_KCP_NEVER)
        pass_time(a);
}

static void on_the_path(uint32_t what) {
    if (!run.count)
        return;
    switch (what) {
    case 0:
        deliver(0, false);
        break;
    case 1:
        deliver(next_byte() % run.count, false);
        break;
    case 2:
        deliver(next_byte() % run.count, true);
        break;
    case 3:
        take_packet(next_byte() % run.count);
        break;
    case 4:
        deliver_cut(run.count - 1, next_pair());
        break;
    case 5:
        corrupt(next_byte() % run.count);
        break;
    default:
        while (run.count)
            deliver(0, false);
    }
}

static void step(void) {
    uint32_t what = next_byte();
    int who = (what & 16) != 0;
    switch (what & 15) {
    case 0:
        send_bytes(who, next_size());
        break;
    case 1:
        (void)receive_bytes(who, next_size());
        break;
    case 2:
        (void)put_packet(who);
        break;
    case 3:
        put_packets(who);
        break;
    case 4:
        pass_time(next_byte());
        break;
    case 5:
        pass_time(next_pair());
        break;
    case 6:
        pass_to_deadline();
        break;
    case 7:
        forge(who);
        break;
    default:
        on_the_path(what & 7);
    }
    check_side(&run.side[0]);
    check_side(&run.side[1]);
}

static bool is_done(void) {
    for (int i = 0; i < 2; i++)
        if (run.side[i].got != run.side[!i].put || smux_kcp_unacknowledged(run.side[i].kcp))
            return false;
    return true;
}

/* Nothing is lost any more, and everybody reads: everything arrives, unless the link is dead. */
static void finish(void) {
    for (uint32_t rounds = 0; !is_done(); rounds++) {
        if (smux_kcp_is_dead(run.side[0].kcp) || smux_kcp_is_dead(run.side[1].kcp))
            return;
        MUST(rounds < ROUNDS_MAX);
        for (int i = 0; i < 2; i++) {
            put_packets(i);
            while (run.count)
                deliver(0, false);
            while (receive_bytes(!i, PIECE - 1))
                ;
        }
        run.passed = 0;
        if (smux_kcp_timeout(run.side[0].kcp, run.now) &&
            smux_kcp_timeout(run.side[1].kcp, run.now))
            pass_to_deadline();
    }
}

static void configure(smux_kcp_config *c) {
    smux_kcp_config_init(c);
    uint32_t flags = next_byte();
    c->conv = 1;
    c->mtu = 50 + next_pair() % 1451;
    c->send_window = 1 + next_byte();
    c->receive_window = 1 + next_byte();
    c->nodelay = flags & 1;
    c->no_congestion_window = flags & 2;
    c->ack_no_delay = flags & 4;
    c->resend = flags >> 3 & 3;
    c->interval_ms = flags & 32 ? 5000 : 10;
    c->dead_link = flags & 64 ? 2 : 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < OPTIONS)
        return 0;
    run.data = data;
    run.len = size;
    run.alloc = (test_alloc){0};
    run.passed = run.count = 0;
    run.forged = false;
    smux_allocator allocator = test_allocator(&run.alloc);
    for (int i = 0; i < 2; i++) {
        run.side[i] = (struct side){.put = 0};
        configure(&run.side[i].config);
        MUST(!smux_kcp_new(&run.side[i].kcp, &run.side[i].config, &allocator));
    }
    run.now = next_pair();
    run.now = next_byte() & 1 ? 0u - run.now : run.now << 16; /* near its end, or anywhere */
    size_t calls = run.alloc.calls;
    while (run.len)
        step();
    if (!run.forged)
        finish();
    MUST(run.alloc.calls == calls);
    smux_kcp_free(run.side[0].kcp);
    smux_kcp_free(run.side[1].kcp);
    MUST(run.alloc.live_blocks == 0);
    return 0;
}
