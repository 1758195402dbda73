/* SPDX-License-Identifier: MIT */
/* Which peers count as near, and how bulk data affects small messages. */
#include "support_relay.h"

#include <netinet/tcp.h>

#include "helper/net/short_path.h"

static void congestion_control(int fd, char name[16]) {
    socklen_t len = 15;
    memset(name, 0, 16);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
}

/* A connected pair that has had time to measure a short round trip: the shortest one counts, and on
 * a busy machine that of the handshake may be long. */
static void near_pair(int pair[2]) {
    char byte = 'x';
    tcp_pair(pair);
    for (int i = 0; i < 10000 && short_path_rtt_us(pair[0]) >= SHORT_PATH_RTT_US; i++)
        for (int from = 0; from < 2; from++) {
            assert_int_equal(send(pair[from], &byte, 1, MSG_NOSIGNAL), 1);
            assert_int_equal(recv(pair[1 - from], &byte, 1, 0), 1);
        }
}

static void loopback_is_near_and_an_unconnected_socket_is_not(void **state) {
    (void)state;
    int pair[2], fresh = socket(AF_INET, SOCK_STREAM, 0), local[2];
    near_pair(pair);
    assert_true(short_path_rtt_us(pair[0]) < SHORT_PATH_RTT_US);
    assert_int_equal(short_path_rtt_us(fresh), UINT32_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, local), 0);
    assert_int_equal(short_path_rtt_us(local[0]), UINT32_MAX);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(local[i]);
    }
    close(fresh);
}

static void a_congestion_control_without_a_timer_stays(void **state) {
    (void)state;
    char name[16];
    int pair[2];
    tcp_pair(pair);
    assert_int_equal(setsockopt(pair[0], IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
    short_path_stop_pacing(pair[0]);
    congestion_control(pair[0], name);
    assert_string_equal(name, "reno");
    close(pair[0]);
    close(pair[1]);
}

static void bbr_gives_way_on_a_near_path_only(void **state) {
    (void)state;
    char name[16];
    int pair[2], fresh = socket(AF_INET, SOCK_STREAM, 0);
    near_pair(pair);
    if (setsockopt(pair[0], IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) == 0 &&
        setsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) == 0) {
        short_path_stop_pacing(pair[0]);
        congestion_control(pair[0], name);
        assert_true(strcmp(name, "cubic") == 0 || strcmp(name, "reno") == 0);
        short_path_stop_pacing(fresh);
        congestion_control(fresh, name);
        assert_string_equal(name, "bbr");
    } else {
        print_message("this kernel has no bbr, or does not permit it: not looked at\n");
    }
    close(pair[0]);
    close(pair[1]);
    close(fresh);
}

static void several_small_messages_in_a_row_are_a_conversation(void **state) {
    (void)state;
    struct reactor *reactor = &world.reactor;
    uint8_t few = 0;
    for (int i = 0; i < 100; i++) { /* pieces of something long */
        reactor_note(reactor, &few, 65535);
        reactor_note(reactor, &few, 2);
        reactor_note(reactor, &few, 2);
        assert_false(reactor_is_mixed(reactor));
    }
    for (int i = 0; i < 10; i++)
        reactor_note(reactor, &few, 64);
    assert_true(reactor_is_mixed(reactor));
    assert_int_equal(reactor_step(reactor), REACTOR_STEP_MIXED);
    reactor->small_us -= REACTOR_MIXED_US;
    assert_false(reactor_is_mixed(reactor));
    assert_int_equal(reactor_step(reactor), REACTOR_RECEIVE_SIZE);
}

/* Sends zeros on the first stream as fast as possible, and words on the second, each of which is
 * answered. Returns whether queues were kept short at any time. (After a slow round trip they are
 * not.) */
static bool converse_beside_bulk(int words) {
    static char bulk[200000], waste[200000];
    bool kept_short = false;
    for (int i = 0; i < words; i++) {
        while (send(world.app[0], bulk, sizeof bulk, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            continue;
        say(world.app[1], "word");
        turns(1);
        while (take(world.far[0], waste, sizeof waste) > 0)
            continue;
        expect(world.far[1], "word");
        say(world.far[1], "answer");
        expect(world.app[1], "answer");
        kept_short |= world.client->kept_short || world.server->kept_short;
    }
    return kept_short;
}

static void queues_are_kept_short_while_bulk_and_a_conversation_share_the_carrier(void **state) {
    static char bulk[200000], waste[200000];
    (void)state;
    open_pair(0);
    open_pair(1);
    assert_true(converse_beside_bulk(100));
    until((send(world.app[0], bulk, sizeof bulk, MSG_DONTWAIT | MSG_NOSIGNAL),
           take(world.far[0], waste, sizeof waste),
           !world.client->kept_short && !world.server->kept_short));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_is_near_and_an_unconnected_socket_is_not),
        cmocka_unit_test(a_congestion_control_without_a_timer_stays),
        cmocka_unit_test(bbr_gives_way_on_a_near_path_only),
        cmocka_unit_test_setup_teardown(several_small_messages_in_a_row_are_a_conversation,
                                        setup_world, teardown_world),
        cmocka_unit_test_setup_teardown(
            queues_are_kept_short_while_bulk_and_a_conversation_share_the_carrier, setup_world,
            teardown_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
