/* SPDX-License-Identifier: MIT
 *
 * Two KCP connections with a simulated path between them, in virtual time.
 */
#include "core/kcp.h"
#include "tests/unit/support_alloc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PACKETS 4096
#define MTU_MAX 1500

struct packet {
    uint32_t at, len;
    int to;
    uint8_t data[MTU_MAX];
};

struct path {
    smux_kcp *end[2];
    uint32_t now, random, loss, delay, jitter; /* loss in percent, the others in ms */
    bool bad;                                  /* within a burst of losses */
    uint32_t bursty;
    uint32_t count;
    struct packet packets[PACKETS];
};

static struct path path;

static uint32_t dice(uint32_t n) {
    path.random = path.random * 1664525u + 1013904223u;
    return (path.random >> 8) % n;
}

static bool lost(void) {
    if (path.bursty && dice(20) == 0)
        path.bad = !path.bad && dice(100) < path.loss;
    return path.bad || dice(100) < path.loss;
}

static void post(int to, const uint8_t *data, uint32_t len) {
    if (path.count == PACKETS || lost())
        return;
    uint32_t copies = dice(50) == 0 ? 2 : 1;
    for (; copies && path.count < PACKETS; copies--) {
        struct packet *p = &path.packets[path.count++];
        *p = (struct packet){
            .at = path.now + path.delay + dice(path.jitter + 1), .len = len, .to = to};
        memcpy(p->data, data, len);
    }
}

static void deliver(void) {
    for (uint32_t i = 0; i < path.count;) {
        struct packet *p = &path.packets[i];
        if ((int32_t)(path.now - p->at) < 0) {
            i++;
            continue;
        }
        assert_int_equal(smux_kcp_input(path.end[p->to], p->data, p->len, path.now), 0);
        *p = path.packets[--path.count];
    }
}

static void drain(void) {
    uint8_t data[MTU_MAX];
    for (int i = 0; i < 2; i++) {
        size_t len;
        int packets = 0;
        while ((len = smux_kcp_output(path.end[i], data, path.now))) {
            assert_true(len <= MTU_MAX && ++packets < 100000);
            post(!i, data, (uint32_t)len);
        }
        assert_int_not_equal(smux_kcp_timeout(path.end[i], path.now), 0);
    }
}

static uint8_t byte_at(int end, uint32_t i) {
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (uint32_t)end);
}

static uint32_t read_some(int end, uint32_t got, uint32_t room) {
    uint8_t data[5000];
    size_t len = smux_kcp_recv(path.end[end], data, room);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], byte_at(!end, got + (uint32_t)i));
    return got + (uint32_t)len;
}

static uint32_t write_some(int end, uint32_t put, uint32_t total) {
    uint8_t data[3000];
    uint32_t len = total - put < sizeof(data) ? total - put : sizeof(data);
    for (uint32_t i = 0; i < len; i++)
        data[i] = byte_at(end, put + i);
    return put + (uint32_t)smux_kcp_send(path.end[end], data, len);
}

/* Both ends send `total` bytes; both get them within a bounded time. */
static void exchange(uint32_t total, uint32_t limit_ms) {
    uint32_t put[2] = {0}, got[2] = {0}, start = path.now;
    while (got[0] < total || got[1] < total || smux_kcp_unacknowledged(path.end[0]) ||
           smux_kcp_unacknowledged(path.end[1])) {
        deliver();
        for (int i = 0; i < 2; i++) {
            put[i] = write_some(i, put[i], total);
            got[i] = read_some(i, got[i], 1 + dice(5000));
        }
        drain();
        path.now++;
        if (path.now - start >= limit_ms)
            fail_msg("stalled at %u and %u of %u bytes", got[0], got[1], total);
    }
}

static void make_ends(uint32_t seed, const smux_allocator *allocator) {
    path.random = seed * 2654435761u;
    path.count = 0;
    path.bad = false;
    smux_kcp_config config;
    smux_kcp_config_init(&config);
    config.conv = seed;
    for (int i = 0; i < 2; i++) {
        config.mtu = 50 + dice(1451);
        config.send_window = 1 + dice(200);
        config.receive_window = 1 + dice(200);
        config.nodelay = dice(2);
        config.interval_ms = 10 + dice(40);
        config.resend = dice(4);
        config.no_congestion_window = dice(2);
        config.ack_no_delay = dice(2);
        config.dead_link = 1000;
        assert_int_equal(smux_kcp_new(&path.end[i], &config, allocator), 0);
    }
}

static void free_ends(void) {
    smux_kcp_free(path.end[0]);
    smux_kcp_free(path.end[1]);
}

static void every_byte_arrives_in_order_over_bad_paths(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 300; seed++) {
        test_alloc counts = {0};
        smux_allocator allocator = test_allocator(&counts);
        make_ends(seed, &allocator);
        size_t calls = counts.calls;
        path.now = dice(2) ? dice(1000) : 0u - dice(1000); /* the clock wraps around */
        path.loss = dice(25);
        path.bursty = dice(2);
        path.delay = dice(50);
        path.jitter = dice(40);
        exchange(1 + dice(30000), 3600u * 1000u);
        assert_int_equal(counts.calls, calls); /* no memory after set-up */
        free_ends();
        assert_int_equal(counts.live_blocks, 0);
    }
}

static void a_failing_allocation_leaves_nothing_behind(void **state) {
    (void)state;
    smux_kcp_config config;
    smux_kcp_config_init(&config);
    for (size_t i = 1; i <= 6; i++) {
        test_alloc counts = {.fail_at = i};
        smux_allocator allocator = test_allocator(&counts);
        smux_kcp *kcp = NULL;
        assert_int_equal(smux_kcp_new(&kcp, &config, &allocator), SMUX_ERR_NOMEM);
        assert_null(kcp);
        assert_int_equal(counts.live_blocks, 0);
    }
}

static void hostile_packets_do_no_harm(void **state) {
    (void)state;
    make_ends(7, NULL);
    path.now = 0;
    path.loss = path.bursty = path.delay = path.jitter = 0;
    uint8_t out[MTU_MAX];
    (void)smux_kcp_send(path.end[0], "hello", 5);
    size_t len = smux_kcp_output(path.end[0], out, 0);
    assert_int_equal(len, 29);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, out, cut);
        assert_int_equal(smux_kcp_input(path.end[1], copy, cut, 0), SMUX_ERR_ARGUMENT);
        free(copy);
    }
    post(1, out, (uint32_t)len);
    for (uint32_t round = 0; round < 200000; round++) {
        uint8_t packet[48];
        for (size_t i = 0; i < sizeof(packet); i++)
            packet[i] = (uint8_t)dice(256);
        memcpy(packet, out, 4);
        packet[4] = (uint8_t)(82 + dice(4)); /* no data that would count */
        memcpy(packet + 20, "\x18\0\0\0", 4);
        memset(packet + 16, dice(2) ? 0xff : 0x7f, 4);
        packet[14] = 0x7f; /* acknowledges what was never sent */
        (void)smux_kcp_input(path.end[1], packet, sizeof(packet), 0);
        while (smux_kcp_output(path.end[1], out, 0))
            ;
    }
    assert_int_equal(smux_kcp_unacknowledged(path.end[0]), 1);
    free_ends();
}

/* The example in core/PROTOCOL.md. */
static void packets_are_as_documented(void **state) {
    static const char push[] = "\7\0\0\0\x51\0\0\2\xe8\3\0\0\0\0\0\0\0\0\0\0\5\0\0\0hello";
    static const char ack[] = "\7\0\0\0\x52\0\xff\1\xe8\3\0\0\0\0\0\0\1\0\0\0\0\0\0";
    (void)state;
    smux_kcp_config config;
    smux_kcp_config_init(&config);
    config.conv = 7;
    smux_kcp *client, *server;
    uint8_t out[MTU_MAX];
    assert_int_equal(smux_kcp_new(&client, &config, NULL), 0);
    assert_int_equal(smux_kcp_new(&server, &config, NULL), 0);
    assert_int_equal(smux_kcp_send(client, "hello", 5), 5);
    assert_int_equal(smux_kcp_output(client, out, 1000), sizeof(push) - 1);
    assert_memory_equal(out, push, sizeof(push) - 1);
    assert_int_equal(smux_kcp_input(server, out, sizeof(push) - 1, 5), 0);
    assert_int_equal(smux_kcp_output(server, out, 5), 0); /* it waits for others */
    assert_int_equal(smux_kcp_timeout(server, 5), config.interval_ms);
    assert_int_equal(smux_kcp_output(server, out, 5 + config.interval_ms), sizeof(ack));
    assert_memory_equal(out, ack, sizeof(ack));
    smux_kcp_free(client);
    smux_kcp_free(server);
}

static void a_closed_window_is_probed_and_opens_again(void **state) {
    (void)state;
    make_ends(3, NULL);
    path.now = 0;
    path.loss = path.bursty = path.jitter = 0;
    path.delay = 5;
    uint32_t put = 0, got = 0, total = 1000000;
    for (; path.now < 60000; path.now++) { /* nobody reads */
        deliver();
        put = write_some(0, put, total);
        drain();
    }
    assert_true(put < total);
    for (; got < put && path.now < 600000; path.now++) {
        deliver();
        got = read_some(1, got, 5000);
        drain();
    }
    assert_int_equal(got, put);
    free_ends();
}

static void a_link_without_answers_is_dead(void **state) {
    (void)state;
    smux_kcp_config config;
    smux_kcp_config_init(&config);
    smux_kcp *kcp;
    uint8_t out[MTU_MAX];
    assert_int_equal(smux_kcp_new(&kcp, &config, NULL), 0);
    assert_int_equal(smux_kcp_send(kcp, "hello", 5), 5);
    uint32_t now = 0, packets = 0;
    for (uint32_t wait; (wait = smux_kcp_timeout(kcp, now)) != SMUX_KCP_NEVER; now += wait)
        packets += smux_kcp_output(kcp, out, now + wait) > 0;
    assert_true(smux_kcp_is_dead(kcp));
    assert_int_equal(packets, config.dead_link);
    smux_kcp_free(kcp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_in_order_over_bad_paths),
        cmocka_unit_test(a_failing_allocation_leaves_nothing_behind),
        cmocka_unit_test(hostile_packets_do_no_harm),
        cmocka_unit_test(packets_are_as_documented),
        cmocka_unit_test(a_closed_window_is_probed_and_opens_again),
        cmocka_unit_test(a_link_without_answers_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
