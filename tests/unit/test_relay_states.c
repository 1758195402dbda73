/* SPDX-License-Identifier: MIT */
/* Every event in every state of a relay: each alone, and thousands of random sequences (the seed is
 * printed; SEED=N repeats one). Whatever happens, the state matches what the relay has, no invalid
 * transition is attempted, the relay ends once, and nothing is left behind. */
#define SEQUENCES 4000
#include "support_states.h"

static struct subject {
    struct relay relay;
    const struct relay_end *end;
    bool keeps; /* it has ops->lost, as the helper's have */
    int other;  /* the other end of its socket, -1 when closed */
    int ended;
} subject;

/* ---- The owner of the relay ---- */

static size_t on_head(struct relay *relay, const uint8_t *data, size_t len) {
    if (!data)
        relay_abort(relay, -EPIPE);
    else if (data[0] == '!')
        relay_head_over(relay);
    return len < 10 ? len : 10;
}

static size_t on_whole_head(struct relay *relay, const uint8_t *data, size_t len) {
    size_t taken = on_head(relay, data, len);
    relay_head_over(relay);
    return taken;
}

static bool on_lost(struct relay *relay, int error) {
    (void)error;
    assert_int_equal(relay->state, RELAY_IDLE);
    return true;
}

static void on_over(struct relay *relay, enum relay_reason reason, int error) {
    (void)reason;
    (void)error;
    assert_ptr_equal(relay, &subject.relay);
    subject.ended++;
}

static const struct relay_ops keeping = {.head = on_whole_head, .lost = on_lost, .ended = on_over};
static const struct relay_ops leaving = {.head = on_whole_head, .ended = on_over};

static void on_stream(struct pump *pump, smux_stream *stream) {
    (void)pump;
    smux_stream_accept(stream);
}

static const struct pump_ops quiet_ops = {.accepted = on_stream, .closed = on_closed};

/* ---- Steps ---- */

static void bind_one(void) {
    smux_stream *stream;
    if (subject.relay.state == RELAY_IDLE && !world.client_closed &&
        smux_stream_open(world.client->session, &stream) == 0)
        relay_bind(&subject.relay, world.client, stream);
}

static void expect_head(void) {
    if (subject.relay.state == RELAY_WAITING)
        relay_expect_head(&subject.relay);
}

static void head_over(void) {
    relay_head_over(&subject.relay);
}

static void attach_to(uint32_t events) {
    int pair[2], one = 1;
    if (!relay_wants_socket(&subject.relay)) {
        assert_int_equal(relay_attach(&subject.relay, -1, subject.end, events), -EINVAL);
        return;
    }
    if (subject.end == &relay_end_tcp)
        tcp_pair(pair);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (int i = 0; i < 2; i++)
        fcntl(pair[i], F_SETFL, O_NONBLOCK);
    if (subject.end == &relay_end_app) {
        setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
        assert_int_equal(send(pair[0], "", 1, 0), 1);
        subject.relay.ahead = 1;
        subject.relay.untrusted = true;
    }
    if (subject.other >= 0)
        close(subject.other);
    subject.other = pair[0];
    assert_int_equal(relay_attach(&subject.relay, pair[1], subject.end, events), 0);
}

static void attach(void) {
    attach_to(EPOLLIN);
}

static void attach_with_its_end(void) {
    attach_to(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

static void attach_broken(void) {
    if (relay_wants_socket(&subject.relay) && subject.relay.state != RELAY_ORPHANED)
        relay_broke(&subject.relay, -ECONNRESET);
    attach();
}

static void data(void) {
    give_to(&subject.relay, "some bytes of the stream", 24);
}

static void much_data(void) {
    static uint8_t much[1 << 20];
    give_to(&subject.relay, much, sizeof much);
}

static void urgent_data(void) {
    if (subject.relay.stream)
        relay_data(&subject.relay, &(struct iovec){"some urgent bytes", 17}, 1, true);
}

static void stream_eof(void) {
    if (subject.relay.stream)
        relay_eof(&subject.relay);
}

static void stream_peer_closed(void) {
    if (subject.relay.stream)
        relay_peer_closed(&subject.relay);
}

static void stream_reset(void) {
    if (subject.relay.stream)
        relay_stream_reset(&subject.relay, SMUX_ERR_PEER_RESET);
}

static void session_ends(void) {
    if (!world.client_closed)
        pump_end(world.client, SMUX_ERR_CARRIER, "cut");
}

static void other_speaks(void) {
    static char bytes[3000];
    if (subject.other >= 0)
        send(subject.other, bytes, sizeof bytes, MSG_NOSIGNAL);
}

static void other_speaks_much(void) {
    static char bytes[1 << 20];
    if (subject.other >= 0)
        send(subject.other, bytes, sizeof bytes, MSG_NOSIGNAL);
}

static void other_is_urgent(void) {
    if (subject.other >= 0)
        send(subject.other, "abc", 3, MSG_NOSIGNAL | MSG_OOB);
}

static void other_reads(void) {
    static char bytes[1 << 20];
    if (subject.other >= 0)
        (void)!recv(subject.other, bytes, sizeof bytes, 0);
}

static void other_shuts_writing(void) {
    if (subject.other >= 0)
        shutdown(subject.other, SHUT_WR);
}

static void other_shuts_reading(void) {
    if (subject.other >= 0)
        shutdown(subject.other, SHUT_RD);
}

static void other_closes(void) {
    if (subject.other >= 0)
        close_now(&subject.other);
}

static void other_resets(void) {
    if (subject.other < 0)
        return;
    subject.relay.linger_reset = subject.end == &relay_end_app;
    will_reset(subject.other);
    close_now(&subject.other);
}

static void say_something(void) {
    if (subject.relay.stream)
        relay_say(&subject.relay, "said", 4);
}

static void time_passes(void) {
    fire(&subject.relay.timer);
}

static void a_turn(void) {
    turns(1);
}

static void some_turns(void) {
    turns(5);
}

static void abort_it(void) {
    relay_abort(&subject.relay, -ECANCELED);
}

static void hang_up(void) {
    relay_hang_up(&subject.relay);
}

/* Its owner does so only before there is a socket. */
static void drop_stream(void) {
    if (subject.relay.state == RELAY_HEAD || subject.relay.state == RELAY_WAITING)
        relay_drop_stream(&subject.relay);
}

static const struct step steps[] = {STEP(some_turns),
                                    STEP(bind_one),
                                    STEP(expect_head),
                                    STEP(head_over),
                                    STEP(attach),
                                    STEP(attach_with_its_end),
                                    STEP(attach_broken),
                                    STEP(data),
                                    STEP(much_data),
                                    STEP(urgent_data),
                                    STEP(stream_eof),
                                    STEP(stream_reset),
                                    STEP(session_ends),
                                    STEP(other_speaks),
                                    STEP(other_speaks_much),
                                    STEP(other_is_urgent),
                                    STEP(other_reads),
                                    STEP(other_shuts_writing),
                                    STEP(other_shuts_reading),
                                    STEP(other_closes),
                                    STEP(other_resets),
                                    STEP(say_something),
                                    STEP(time_passes),
                                    STEP(a_turn),
                                    STEP(abort_it),
                                    STEP(hang_up),
                                    STEP(drop_stream),
                                    STEP(stream_peer_closed)};

/* ---- What must hold after each ---- */

static void check(void) {
    static const struct {
        bool stream, socket;
    } has[] = {[RELAY_HEAD] = {true, false},      [RELAY_WAITING] = {true, false},
               [RELAY_OPEN_HEAD] = {true, true},  [RELAY_OPEN] = {true, true},
               [RELAY_LEAVING] = {false, true},   [RELAY_FAILING] = {true, false},
               [RELAY_ORPHANED] = {false, false}, [RELAY_OVER] = {false, false}};
    const struct relay *relay = &subject.relay;
    assert_int_equal(state_wrong_moves, 0);
    assert_in_range(relay->state, RELAY_IDLE, RELAY_OVER);
    assert_int_equal(has[relay->state].stream, relay->stream != NULL);
    assert_int_equal(has[relay->state].stream, relay->pump != NULL);
    assert_int_equal(has[relay->state].socket, relay->watch.open);
    assert_int_equal(has[relay->state].socket, relay_is_attached(relay));
    assert_int_equal(subject.ended, relay_is_over(relay));
    assert_int_equal(!kept_queue_is_empty(&relay->kept), relay->kept.len != 0);
    if (relay_is_over(relay) || relay->state == RELAY_FAILING)
        assert_int_equal(relay->kept.len, 0);
    if (relay_is_over(relay)) {
        assert_int_equal(relay->loan_len, 0);
        assert_false(relay->timer.armed);
        assert_false(loop_task_is_posted(&relay->task));
    }
}

/* ---- Into each state ---- */

static void begin(unsigned kind) {
    carrier_kind = &carrier_kinds[kind & 4 ? CARRIER_TLS_UNIX : CARRIER_UNIX];
    setup_world(NULL);
    world.client->ops = world.server->ops = &quiet_ops;
    memset(&subject, 0, sizeof subject);
    subject.end = kind & 1 ? &relay_end_app : &relay_end_tcp;
    subject.keeps = kind & 2;
    subject.other = -1;
    relay_init(&subject.relay, &world.reactor, subject.keeps ? &keeping : &leaving);
}

static bool enter(unsigned state) {
    if (state != RELAY_IDLE)
        bind_one();
    if (state == RELAY_HEAD || state == RELAY_OPEN_HEAD)
        expect_head();
    if (state == RELAY_OPEN || state == RELAY_OPEN_HEAD || state >= RELAY_LEAVING)
        attach();
    if (state == RELAY_LEAVING)
        much_data();
    if (state == RELAY_LEAVING || state == RELAY_ORPHANED)
        stream_reset();
    if (state == RELAY_FAILING) {
        say_something();
        other_resets();
        subject.relay.watch.fn(&subject.relay.watch, EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR);
        relay_eof(&subject.relay); /* before any turn: what was said is still queued */
    }
    if (state == RELAY_OVER)
        abort_it();
    return subject.relay.state == state;
}

static void finish(void) {
    if (!relay_is_over(&subject.relay))
        do_step((struct step)STEP(abort_it));
    assert_int_equal(subject.ended, 1);
    if (subject.other >= 0)
        close(subject.other);
    teardown_world(NULL);
}

static struct loop_watch *watch(void) {
    return &subject.relay.watch;
}

static int state(void) {
    return subject.relay.state;
}

static void a_move_that_the_table_does_not_have_is_refused(void **unused) {
    static const struct state_table table = {.what = "thing",
                                             .state = {{"begun", 1 << 1}, {"ended", 0}}};
    uint8_t state = 0;
    (void)unused;
    state_wrong_moves = 0;
    assert_true(state_move(&table, &state, 1));
    assert_false(state_move(&table, &state, 0));
    assert_false(state_move(&table, &state, 7));
    assert_false(state_move(&table, &state, 99));
    assert_int_equal(state, 1);
    assert_int_equal(state_wrong_moves, 3);
    passed = true;
}

#define TESTS(X) X(a_move_that_the_table_does_not_have_is_refused)

STATES_MAIN(8, RELAY_OVER, TESTS)
