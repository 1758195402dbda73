/* SPDX-License-Identifier: MIT */
/* One read from a carrier may bring thousands of small frames: other carriers get their turns in
 * between, and nothing is lost or changed. */
#include "support_relay.h"

#define STREAMS 3000

static struct seen {
    uint32_t accepted, most, bytes, last_id;
    bool closed;
} seen;

static uint32_t this_turn;

static void on_syn(struct pump *pump, smux_stream *stream) {
    (void)pump;
    assert_int_equal(smux_stream_id(stream), 3 + 2 * seen.accepted);
    seen.accepted++;
    this_turn++;
    seen.last_id = smux_stream_id(stream);
    smux_stream_accept(stream);
}

static void on_over(struct pump *pump, int error, const char *why) {
    (void)pump;
    (void)error;
    (void)why;
    seen.closed = true;
}

static const struct pump_ops counting = {.accepted = on_syn, .closed = on_over};

static void put(uint8_t *at, uint8_t command, uint32_t id, uint16_t len) {
    const uint8_t header[] = {2,
                              command,
                              (uint8_t)len,
                              (uint8_t)(len >> 8),
                              (uint8_t)id,
                              (uint8_t)(id >> 8),
                              (uint8_t)(id >> 16),
                              (uint8_t)(id >> 24)};
    memcpy(at, header, sizeof header);
}

/* Sends each stream's SYN and one byte. */
static void flood(int fd) {
    static uint8_t frames[STREAMS * 17];
    int size = sizeof frames;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    for (uint32_t i = 0; i < STREAMS; i++) {
        put(frames + i * 17, 0, 3 + 2 * i, 0);
        put(frames + i * 17 + 8, 2, 3 + 2 * i, 1);
        frames[i * 17 + 16] = 'x';
    }
    assert_int_equal(send(fd, frames, sizeof frames, MSG_DONTWAIT), sizeof frames);
}

static struct pump *flooded(struct reactor *reactor, int *peer) {
    smux_config config;
    int pair[2];
    memset(&seen, 0, sizeof seen);
    assert_int_equal(reactor_init(reactor), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    const struct session_limits limits = {.version = 2,
                                          .max_frame_size = 65535,
                                          .max_receive_buffer = 64u << 20,
                                          .max_stream_buffer = 4u << 20};
    session_config_fill(&config, &limits);
    struct carrier *carrier = carrier_new_socket(reactor->loop, pair[0], false, "test");
    struct pump *pump = pump_new(reactor, carrier, SMUX_SERVER, &config, &counting, NULL);
    assert_non_null(pump);
    *peer = pair[1];
    flood(pair[1]);
    return pump;
}

static void turn(struct reactor *reactor) {
    this_turn = 0;
    assert_int_equal(loop_turn(reactor->loop, 0), 0);
    if (this_turn > seen.most)
        seen.most = this_turn;
}

static void thousands_of_small_frames_are_processed_over_several_turns(void **state) {
    struct reactor reactor;
    smux_session_info info;
    int peer;
    (void)state;
    struct pump *pump = flooded(&reactor, &peer);
    for (int i = 0; i < 100 && seen.accepted < STREAMS; i++)
        turn(&reactor);
    assert_int_equal(seen.accepted, STREAMS);
    assert_in_range(seen.most, 1, 600);
    turn(&reactor);
    turn(&reactor);
    smux_session_get_info(pump->session, &info);
    assert_int_equal(info.bytes_in, STREAMS);
    assert_int_equal(reactor.kept.bytes, 0);
    assert_null(pump->held);
    pump_end(pump, SMUX_ERR_CLOSED, "test over");
    loop_turn(reactor.loop, 0);
    close(peer);
    reactor_fini(&reactor);
}

static void a_session_can_end_during_that(void **state) {
    struct reactor reactor;
    int peer;
    (void)state;
    struct pump *pump = flooded(&reactor, &peer);
    turn(&reactor);
    assert_in_range(seen.accepted, 1, STREAMS - 1);
    pump_end(pump, SMUX_ERR_CLOSED, "test over");
    assert_true(seen.closed);
    loop_turn(reactor.loop, 0);
    assert_int_equal(reactor.kept.bytes, 0);
    close(peer);
    reactor_fini(&reactor);
}

static void when_memory_is_short_they_are_processed_at_once(void **state) {
    struct reactor reactor;
    int peer;
    (void)state;
    struct pump *pump = flooded(&reactor, &peer);
    kept_set_max(&reactor.kept, 1u << 20);
    turn(&reactor);
    assert_int_equal(seen.accepted, STREAMS);
    pump_end(pump, SMUX_ERR_CLOSED, "test over");
    loop_turn(reactor.loop, 0);
    close(peer);
    reactor_fini(&reactor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_small_frames_are_processed_over_several_turns),
        cmocka_unit_test(a_session_can_end_during_that),
        cmocka_unit_test(when_memory_is_short_they_are_processed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
