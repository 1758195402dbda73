/* SPDX-License-Identifier: MIT */
/* The life of a carrier: handshake, end, failure and counters, with kinds that delay and fail at
 * any byte. test_relay.c and similar tests check relays over them. */
#include "support_relay.h"

#include <stdio.h>

#include "helper/net/log.h"
#include "helper/net/state_table.h"

/* ---- A user that counts ---- */

static struct told {
    int ready, failed, ended;
    uint8_t events;
    char why[CARRIER_WHY_SIZE];
} told;

static struct reactor reactor;

static void on_ready(struct carrier *carrier) {
    assert_int_equal(carrier->state, CARRIER_READY);
    told.ready++;
}

static void on_failed(struct carrier *carrier, const char *why) {
    assert_int_equal(carrier->state, CARRIER_STARTING);
    told.failed++;
    snprintf(told.why, sizeof told.why, "%s", why);
}

static void on_events(struct carrier *carrier, uint8_t events) {
    assert_int_equal(carrier->state, CARRIER_READY);
    told.events |= events;
}

static void on_ended(struct carrier *carrier) {
    assert_int_equal(carrier->state, CARRIER_ENDING);
    told.ended++;
}

static const struct carrier_user counting = {
    .ready = on_ready, .failed = on_failed, .events = on_events, .ended = on_ended};

static void ignore_why(struct carrier *carrier, const char *why) {
    (void)carrier;
    (void)why;
}

static void ignore_events(struct carrier *carrier, uint8_t events) {
    (void)carrier;
    (void)events;
}

static void ignore(struct carrier *carrier) {
    (void)carrier;
}

static const struct carrier_user quiet = {
    .ready = ignore, .failed = ignore_why, .events = ignore_events, .ended = ignore};

static void pass(int ms) {
    uint64_t end_us = loop_clock_us() + (uint64_t)ms * 1000u;
    while (loop_clock_us() < end_us)
        assert_int_equal(loop_turn(reactor.loop, 1), 0);
}

#define wait_for(condition)                                                                        \
    do {                                                                                           \
        for (int left = 5000; !(condition); left--) {                                              \
            assert_true(left > 0);                                                                 \
            pass(1);                                                                               \
        }                                                                                          \
    } while (0)

static void begin(struct carrier *pair[2]) {
    memset(&told, 0, sizeof told);
    state_wrong_moves = 0;
    assert_int_equal(reactor_init(&reactor), 0);
    assert_int_equal(carrier_kind->new_pair(reactor.loop, pair), 0);
}

static void end(struct carrier *pair[2]) {
    struct told before;
    carrier_close(pair[0]);
    carrier_close(pair[1]);
    before = told;
    pass(3);
    assert_memory_equal(&told, &before, sizeof told); /* nothing is told of a closed one */
    assert_int_equal(carriers_alive, 0);
    assert_int_equal(state_wrong_moves, 0);
    reactor_fini(&reactor);
    network = (struct network){.seed = 1};
}

static void start_both(struct carrier *pair[2]) {
    assert_int_equal(carrier_start(pair[0], &counting, NULL, 5000000), 0);
    assert_int_equal(carrier_start(pair[1], &quiet, NULL, 5000000), 0);
    wait_for(carrier_is_ready(pair[0]) && carrier_is_ready(pair[1]));
}

/* ---- Beginnings ---- */

static void a_carrier_reports_once_that_it_is_ready_unless_it_is_at_once(void **state) {
    struct carrier *pair[2];
    (void)state;
    begin(pair);
    assert_int_equal(carrier_start(pair[0], &counting, NULL, 5000000), 0);
    bool at_once = carrier_is_ready(pair[0]);
    assert_int_equal(told.ready, 0);
    assert_int_equal(carrier_start(pair[1], &quiet, NULL, 5000000), 0);
    wait_for(carrier_is_ready(pair[0]) && carrier_is_ready(pair[1]));
    pass(3);
    assert_int_equal(told.ready, at_once ? 0 : 1);
    assert_int_equal(told.failed, 0);
    end(pair);
}

static void a_handshake_that_does_not_come_fails_in_time(void **state) {
    struct carrier *pair[2];
    (void)state;
    network.no_handshake = true;
    begin(pair);
    assert_int_equal(carrier_start(pair[1], &quiet, NULL, 5000000), 0);
    uint64_t since_us = loop_now_us(reactor.loop);
    assert_int_equal(carrier_start(pair[0], &counting, NULL, 20000), 0);
    wait_for(told.failed);
    assert_true(loop_clock_us() - since_us >= 20000);
    assert_string_equal(told.why, "the handshake was not completed in time");
    assert_int_equal(told.ready, 0);
    end(pair);
}

static void a_wrong_handshake_fails_and_reports_the_reason(void **state) {
    struct carrier *pair[2];
    (void)state;
    network.bad_handshake = true;
    begin(pair);
    assert_int_equal(carrier_start(pair[1], &quiet, NULL, 5000000), 0);
    assert_int_equal(carrier_start(pair[0], &counting, NULL, 5000000), 0);
    wait_for(told.failed);
    assert_string_equal(told.why, "a wrong handshake");
    end(pair);
}

static void a_carrier_can_be_closed_in_every_state(void **state) {
    struct carrier *pair[2];
    (void)state;
    for (int until_state = CARRIER_NEW; until_state <= CARRIER_ENDING; until_state++) {
        begin(pair);
        if (until_state == CARRIER_STARTING)
            assert_int_equal(carrier_start(pair[0], &counting, NULL, 5000000), 0);
        if (until_state >= CARRIER_READY)
            start_both(pair);
        if (until_state == CARRIER_ENDING)
            carrier_shutdown(pair[0], 5000000);
        end(pair);
    }
}

/* ---- Who the peer is ---- */

static bool carrier_has_identity(const struct carrier *carrier, const char *identity) {
    for (const char *own = carrier->identities; *own; own += strlen(own) + 1)
        if (strcmp(own, identity) == 0)
            return true;
    return false;
}

static void a_peer_has_no_identity_before_its_handshake_has_proved_one(void **state) {
    struct carrier *pair[2];
    (void)state;
    network.name = "laptop";
    begin(pair);
    assert_string_equal(carrier_identity(pair[0]), "");
    assert_false(carrier_has_identity(pair[0], "psk:laptop"));
    start_both(pair);
    assert_string_equal(carrier_identity(pair[0]), "psk:laptop");
    assert_true(carrier_has_identity(pair[0], "psk:laptop"));
    end(pair);
}

static bool add(struct carrier *carrier, const char *name) {
    return carrier_add_identity(carrier, "cert", name, strlen(name));
}

static void a_peer_can_prove_several_names_and_has_no_others(void **state) {
    struct carrier carrier = {0};
    (void)state;
    assert_false(carrier_has_identity(&carrier, ""));
    assert_true(add(&carrier, "CN=web"));
    assert_true(add(&carrier, "web.example.net"));
    assert_string_equal(carrier_identity(&carrier), "cert:CN=web");
    assert_true(carrier_has_identity(&carrier, "cert:CN=web"));
    assert_true(carrier_has_identity(&carrier, "cert:web.example.net"));
    assert_false(carrier_has_identity(&carrier, "cert:web"));
    assert_false(carrier_has_identity(&carrier, "cert:WEB.example.net"));
    assert_false(carrier_has_identity(&carrier, "pin:web.example.net"));
    assert_false(carrier_has_identity(&carrier, ""));
}

static void no_two_names_of_peers_look_the_same_and_none_breaks_a_list_or_a_line(void **state) {
    static const struct {
        const char *name;
        size_t len;
        const char *identity;
    } names[] = {{"a", 1, "cert:a"},
                 {"a\0b", 3, "cert:a%00b"},
                 {"a%00b", 5, "cert:a%2500b"},
                 {"a, b", 4, "cert:a%2C%20b"},
                 {"a\r\n\x1b[2J", 7, "cert:a%0D%0A%1B[2J"},
                 {"\xc3\xa9\x7f", 3, "cert:%C3%A9%7F"}};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct carrier carrier = {0};
        assert_true(carrier_add_identity(&carrier, "cert", names[i].name, names[i].len));
        assert_string_equal(carrier_identity(&carrier), names[i].identity);
    }
}

static void a_name_that_does_not_fit_is_refused_as_a_whole(void **state) {
    char name[CARRIER_IDENTITY_MAX + 1] = "";
    struct carrier carrier = {0};
    (void)state;
    assert_false(add(&carrier, ""));
    memset(name, 'n', CARRIER_IDENTITY_MAX);
    assert_false(add(&carrier, name));
    memset(name, ',', CARRIER_IDENTITY_MAX);
    assert_false(add(&carrier, name));
    assert_string_equal(carrier_identity(&carrier), "");
    size_t added = 0, used = 0;
    for (size_t len = 1; len <= CARRIER_IDENTITY_MAX - 5; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        bool fits = used + len + sizeof "cert:" + 1 <= CARRIER_IDENTITIES_MAX;
        assert_int_equal(add(&carrier, name), fits);
        used += fits ? len + sizeof "cert:" : 0;
        added += fits;
    }
    assert_true(added > 10);
    assert_string_equal(carrier_identity(&carrier), "cert:n");
}

/* ---- Ends ---- */

#define SENT 60000u

/* As many bytes as possible at a time. */
static void send_all(struct carrier *carrier) {
    static uint8_t bytes[SENT];
    size_t done = 0;
    for (size_t i = 0; i < SENT; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    while (done < SENT) {
        struct iovec iov[2] = {{bytes + done, (SENT - done) / 2},
                               {bytes + done + (SENT - done) / 2, SENT - done - (SENT - done) / 2}};
        ssize_t n = carrier_writev(carrier, iov, 2);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            told.events = 0;
            wait_for(told.events & EVENT_WRITE); /* it is told: no other hint comes */
        }
        done += n > 0 ? (size_t)n : 0;
    }
}

static size_t receive_all(struct carrier *carrier) {
    static uint8_t bytes[SENT + 1];
    size_t got = 0;
    for (ssize_t n = 1; n != 0;) {
        n = carrier_read(carrier, bytes + got, sizeof bytes - got);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            pass(1);
        }
        got += n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < got; i++)
        assert_int_equal(bytes[i], (uint8_t)(i * 2654435761u >> 24));
    return got;
}

static void data_written_before_the_end_arrives_before_it(void **state) {
    struct carrier *pair[2];
    (void)state;
    for (network.seed = 1; network.seed < 20; network.seed++) {
        uint64_t seed = network.seed;
        begin(pair);
        start_both(pair);
        send_all(pair[0]);
        bool at_once = carrier_shutdown(pair[0], 5000000);
        assert_int_equal(told.ended, 0);
        if (at_once)
            carrier_close(pair[0]);
        assert_int_equal(receive_all(pair[1]), SENT);
        assert_int_equal(pair[1]->stats.bytes_in, SENT);
        if (!at_once)
            wait_for(told.ended == 1);
        end((struct carrier *[2]){at_once ? NULL : pair[0], pair[1]});
        network.seed = seed;
    }
    network.seed = 1;
}

static void an_end_that_the_peer_delays_is_limited_in_time(void **state) {
    struct carrier *pair[2];
    (void)state;
    begin(pair);
    start_both(pair);
    send_all(pair[0]);
    uint64_t since_us = loop_now_us(reactor.loop);
    assert_false(carrier_shutdown(pair[0], 20000));
    assert_int_equal(told.ended, 0);
    wait_for(told.ended == 1);
    assert_true(loop_clock_us() - since_us >= 20000);
    end(pair);
}

/* ---- Sessions on carriers ---- */

static void a_session_waits_for_its_carrier(void **state) {
    struct carrier *carrier = world.client->carrier;
    (void)state;
    while (!carrier_is_ready(carrier)) {
        assert_int_equal(carrier->stats.reads + carrier->stats.writes, 0);
        turns(1);
    }
    open_pair(0);
    say(world.app[0], "request");
    expect(world.far[0], "request");
}

static void a_session_whose_carrier_has_no_handshake_fails(void **state) {
    (void)state;
    network.bad_handshake = true;
    setup_world(NULL);
    until(world.client_closed);
    teardown_world(NULL);
    network = (struct network){.seed = 1};
}

static uint64_t bytes_said(const struct pump *pump) {
    smux_session_info info;
    smux_session_get_info(pump->session, &info);
    return info.bytes_out;
}

static void a_session_can_end_before_its_carrier_is_ready(void **state) {
    (void)state;
    pump_end(world.client, SMUX_ERR_CLOSED, "at once");
    assert_true(world.client_closed);
    until(world.server_closed);
}

/* The carrier's peer must have received everything before the session counts as ended. */
static void a_session_that_ends_in_order_waits_for_its_carriers_end(void **state) {
    (void)state;
    open_pair(0);
    say(world.app[0], "the last words");
    until(bytes_said(world.client) > 0 && !smux_session_want_write(world.client->session));
    uint64_t written = world.client->carrier->stats.bytes_out;
    struct carrier *other = world.server->carrier;
    pump_fail(world.client, SMUX_ERR_CLOSED, "in order");
    while (!world.client_closed) {
        if (!world.server_closed && other->stats.bytes_in < written)
            assert_false(world.client_closed);
        turns(1);
    }
    expect(world.far[0], "the last words");
}

static void a_session_that_is_ended_at_once_does_not_wait(void **state) {
    (void)state;
    open_pair(0);
    say(world.app[0], "lost, perhaps");
    turns(1);
    pump_fail(world.client, SMUX_ERR_CLOSED, "in order");
    pump_end(world.client, SMUX_ERR_CLOSED, "at once");
    assert_true(world.client_closed);
}

static void what_one_has_written_the_other_has_read(void **state) {
    (void)state;
    open_pair(0);
    say(world.app[0], "request");
    expect(world.far[0], "request");
    const struct carrier_stats *near = &world.client->carrier->stats;
    const struct carrier_stats *distant = &world.server->carrier->stats;
    until(near->bytes_out == distant->bytes_in && distant->bytes_out == near->bytes_in);
    assert_true(near->bytes_out > strlen("request"));
    assert_true(near->writes > 0 && distant->reads > 0);
}

/* ---- Failures at any byte ---- */

static uint8_t byte_at(size_t i) {
    return (uint8_t)(i * 40503u >> 8);
}

/* Returns -EAGAIN, or what the end is told by this: a busy kernel may deliver TCP's reset so late
 * that a write hears of it, and the read behind it does not. */
static ssize_t give(int fd, size_t *sent) {
    uint8_t bytes[30000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = byte_at(*sent + i);
    ssize_t n = send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    *sent += n > 0 ? (size_t)n : 0;
    return n < 0 && errno == ECONNRESET ? -ECONNRESET : -EAGAIN;
}

static ssize_t get(int fd, size_t *got) {
    uint8_t bytes[30000];
    ssize_t n = take(fd, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], byte_at(*got + (size_t)i));
    *got += n > 0 ? (size_t)n : 0;
    return n;
}

/* Sends in both directions until both ends have seen the end, which must be a reset. */
static void talk_until_it_breaks(void) {
    int fds[2] = {world.app[0], world.far[0]};
    size_t sent[2] = {0}, got[2] = {0};
    ssize_t last[2] = {-EAGAIN, -EAGAIN};
    int patience = 10000;
    while (last[0] != -ECONNRESET || last[1] != -ECONNRESET) {
        assert_true(patience-- > 0);
        for (int i = 0; i < 2; i++)
            while (last[i] > 0 || last[i] == -EAGAIN) {
                last[i] = get(fds[i], &got[1 - i]);
                if (last[i] == -EAGAIN)
                    break;
            }
        if (last[0] == 0 || last[1] == 0)
            fail_msg("seed %llu, %llu bytes: a false end of file at the %s end",
                     (unsigned long long)network.seed, (unsigned long long)network.fails_after,
                     last[0] ? "far" : "near");
        for (int i = 0; i < 2; i++)
            if (last[i] == -EAGAIN) /* behind a reset this would be what is told */
                last[i] = give(fds[i], &sent[i]);
        turns(1);
    }
    assert_true(got[0] <= sent[0] && got[1] <= sent[1]);
}

static void break_at(uint64_t seed, uint64_t at, bool is_cut) {
    network = (struct network){.seed = seed, .fails_after = at, .is_cut = is_cut};
    setup_world(NULL);
    if (open_pair_if_it_lives(0))
        talk_until_it_breaks();
    until(world.client_closed && world.server_closed);
    teardown_world(NULL);
    network = (struct network){.seed = 1};
}

static void a_failure_at_any_byte_is_a_reset_on_both_sides(void **state) {
    (void)state;
    for (uint64_t at = 1; at < 70; at++)
        break_at(at, at, false);
    for (uint64_t seed = 100; seed < 160; seed++)
        break_at(seed, 70 + seed * seed * 7919 % 400000, false);
}

/* What a network does that forges the end of the connection: behind a whole frame, within one,
 * within a record of TLS or between two, and never with TLS's own word for it. CUTS=N makes so many
 * cuts. */
static void an_end_that_nobody_said_is_a_reset_on_both_sides_at_any_byte(void **state) {
    const char *cuts = getenv("CUTS");
    uint64_t last = 1000 + (cuts ? strtoull(cuts, NULL, 10) : 100);
    (void)state;
    for (uint64_t seed = 1000; seed < last; seed++) {
        uint64_t most = seed % 2 ? 3000 : 400000; /* many within the handshake, and soon after it */
        break_at(seed, 1 + seed * seed * 7919 % most, true);
    }
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, teardown_world)

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(a_carrier_reports_once_that_it_is_ready_unless_it_is_at_once),
        cmocka_unit_test(a_carrier_can_be_closed_in_every_state),
        cmocka_unit_test(data_written_before_the_end_arrives_before_it),
        WORLD_TEST(a_session_waits_for_its_carrier),
        WORLD_TEST(a_session_can_end_before_its_carrier_is_ready),
        WORLD_TEST(a_session_that_ends_in_order_waits_for_its_carriers_end),
        WORLD_TEST(a_session_that_is_ended_at_once_does_not_wait),
        WORLD_TEST(what_one_has_written_the_other_has_read),
    };
    const struct CMUnitTest names[] = {
        cmocka_unit_test(a_peer_can_prove_several_names_and_has_no_others),
        cmocka_unit_test(no_two_names_of_peers_look_the_same_and_none_breaks_a_list_or_a_line),
        cmocka_unit_test(a_name_that_does_not_fit_is_refused_as_a_whole),
    };
    const struct CMUnitTest slow[] = {
        cmocka_unit_test(a_handshake_that_does_not_come_fails_in_time),
        cmocka_unit_test(a_wrong_handshake_fails_and_reports_the_reason),
        cmocka_unit_test(a_peer_has_no_identity_before_its_handshake_has_proved_one),
        cmocka_unit_test(an_end_that_the_peer_delays_is_limited_in_time),
        cmocka_unit_test(a_session_whose_carrier_has_no_handshake_fails),
        cmocka_unit_test(a_failure_at_any_byte_is_a_reset_on_both_sides),
        cmocka_unit_test(an_end_that_nobody_said_is_a_reset_on_both_sides_at_any_byte),
    };
    int failed = run_over_carriers(all, 1);
    failed += cmocka_run_group_tests_name("names", names, NULL, NULL);
    for (size_t k = 0; k < sizeof carrier_kinds / sizeof *carrier_kinds; k++) {
        carrier_kind = &carrier_kinds[k];
        if (carrier_kind->slow)
            failed += cmocka_run_group_tests_name(carrier_kind->name, slow, NULL, NULL);
    }
    return failed;
}
