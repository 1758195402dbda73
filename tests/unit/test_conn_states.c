/* SPDX-License-Identifier: MIT */
/* Every event in every state of a connection (helper/client/conn.h), in a whole helper, over every
 * kind of route, with a simulated gateway. */
#include "support_helper.h"

#include "helper/client/conn.h"

enum { STARTS_LATER = 8, KINDS = 16 };

static struct subject {
    struct conn conn;
    bool later; /* its owner starts or ends it in a step of its own, not from within the outcome */
    int app;    /* the application's end, or -1 */
    int successes, failures, ends;
} subject;

/* ---- The owner ---- */

static void watch_only(struct loop_watch *watch, uint32_t events) {
    relay_hear(container_of(watch, struct relay, watch), events);
}

static void start(void) {
    int pair[2], one = 1;
    if (subject.conn.state != CONN_EAGER && subject.conn.state != CONN_SUCCEEDED)
        return;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    assert_int_equal(send(pair[0], "", 1, 0), 1);
    assert_int_equal(subject.app, -1);
    subject.app = pair[0];
    assert_int_equal(loop_watch_add(helper.reactor.loop, &subject.conn.relay.watch, pair[1],
                                    relay_end_app.mask, watch_only),
                     0);
    conn_start(&subject.conn, -1, true, EPOLLIN);
}

static void on_outcome(struct conn *conn, int error, const struct endpoint *local) {
    assert_ptr_equal(conn, &subject.conn);
    assert_false(conn_is_started(conn));
    assert_true(error <= 0);
    assert_int_equal(local != NULL, error == 0);
    *(error ? &subject.failures : &subject.successes) += 1;
    if (subject.later)
        return;
    if (error)
        conn_end(conn, error);
    else
        start();
}

static void on_end_of_conn(struct conn *conn) {
    assert_ptr_equal(conn, &subject.conn);
    subject.ends++;
}

static const struct conn_ops owner = {.outcome = on_outcome, .ended = on_end_of_conn};

/* ---- Steps ---- */

static void some_turns(void) {
    turns(8);
}

static void open_it(void) {
    if (subject.conn.state == CONN_NEW)
        conn_open(&subject.conn);
}

static void open_it_to_nowhere(void) {
    if (subject.conn.state != CONN_NEW)
        return;
    subject.conn.dest.port ^= 1;
    conn_open(&subject.conn);
}

/* The outcome is not known yet. */
static void fail_it(void) {
    if (subject.conn.state == CONN_OPENING)
        conn_fail(&subject.conn, -ECONNRESET, "the test says so");
}

static void end_it(void) {
    conn_end(&subject.conn, -ECANCELED);
}

static void time_passes(void) {
    if (subject.conn.opening)
        fire(&subject.conn.opening->timer);
}

static void look_at_status(void) {
    json_decref(conn_status(&subject.conn));
}

static void stream_eof(void) {
    if (subject.conn.relay.stream)
        relay_eof(&subject.conn.relay);
}

static void stream_reset(void) {
    if (subject.conn.relay.stream)
        relay_stream_reset(&subject.conn.relay, SMUX_ERR_PEER_RESET);
}

/* All at once, as a carrier may deliver it: the answer, data, and the end. */
static void gateway_accepts_speaks_and_resets(void) {
    gateway_accepts_and_speaks();
    if (played.has_stream)
        smux_stream_reset_behind(played.relay.stream);
}

static void app_speaks(void) {
    if (subject.app >= 0)
        (void)!send(subject.app, "some bytes", 10, MSG_NOSIGNAL);
}

static void app_shuts_writing(void) {
    if (subject.app >= 0)
        shutdown(subject.app, SHUT_WR);
}

static void app_closes(void) {
    if (subject.app >= 0)
        close_now(&subject.app);
}

static const struct step steps[] = {STEP(some_turns),
                                    STEP(open_it),
                                    STEP(open_it_to_nowhere),
                                    STEP(start),
                                    STEP(fail_it),
                                    STEP(end_it),
                                    STEP(time_passes),
                                    STEP(look_at_status),
                                    STEP(stream_eof),
                                    STEP(stream_reset),
                                    STEP(gateway_accepts_speaks_and_resets),
                                    STEP(app_speaks),
                                    STEP(app_shuts_writing),
                                    STEP(app_closes),
                                    GATEWAY_STEPS};

/* ---- What must hold after each ---- */

static void check(void) {
#define RELAY(state) 1u << RELAY_##state
    static const struct {
        bool opening;
        unsigned relay; /* the states it may have */
    } has[] = {[CONN_NEW] = {false, RELAY(IDLE)},
               [CONN_OPENING] = {true, RELAY(IDLE) | RELAY(HEAD)},
               [CONN_EAGER] = {true, RELAY(IDLE) | RELAY(HEAD)},
               [CONN_STARTED] = {true, RELAY(IDLE) | RELAY(OPEN_HEAD)},
               [CONN_SUCCEEDED] = {false, RELAY(WAITING) | RELAY(ORPHANED)},
               [CONN_OPEN] = {false, RELAY(OPEN) | RELAY(LEAVING) | RELAY(FAILING)},
               [CONN_FAILED] = {false, RELAY(IDLE)},
               [CONN_OVER] = {false, RELAY(OVER)}};
    const struct conn *conn = &subject.conn;
    const struct conn_opening *opening = conn->opening;
    assert_int_equal(state_wrong_moves, 0);
    assert_in_range(conn->state, CONN_NEW, CONN_OVER);
    assert_int_equal(has[conn->state].opening, opening != NULL);
    assert_true(has[conn->state].relay >> conn->relay.state & 1);
    assert_int_equal(subject.ends, conn_is_over(conn));
    assert_int_equal(conns_first(&helper.conns) == conn, !conn_is_over(conn));
    assert_int_equal(helper.conns.count, conn->counted && !conn_is_over(conn));
    if (opening) { /* it waits for a stream, or has one; and not for ever */
        assert_true(opening->timer.armed);
        assert_int_equal(opening->waiter.upstream != NULL, conn->relay.stream == NULL);
    }
    if (conn->state == CONN_NEW || conn->state == CONN_OPENING)
        assert_int_equal(subject.successes + subject.failures, 0);
    if (conn->state == CONN_EAGER || conn_is_started(conn) || conn->state == CONN_SUCCEEDED)
        assert_int_equal(subject.successes * 10 + subject.failures, 10);
    if (conn->state == CONN_FAILED)
        assert_int_equal(subject.failures, 1);
    assert_in_range(subject.successes, 0, 1);
    assert_in_range(subject.failures, 0, 1);
}

/* ---- Into each state ---- */

static void begin(unsigned kind) {
    begin_helper(kind & ~(unsigned)STARTS_LATER);
    memset(&subject, 0, sizeof subject);
    subject.later = kind & STARTS_LATER;
    subject.app = -1;
    conn_init(&subject.conn, &helper.conns, &owner);
    conn_set_user(&subject.conn, &(struct ucred){.pid = getpid(), .uid = geteuid()}, NULL);
    subject.conn.dest = destination();
}

static bool enter(unsigned state) {
    if (state == CONN_NEW)
        return true;
    if (state == CONN_FAILED)
        open_it_to_nowhere();
    else
        open_it();
    if (state == CONN_SUCCEEDED || state == CONN_OPEN) {
        turns(3);
        gateway_serves();
        turns(10);
        gateway_accepts();
        turns(5);
    }
    if (state == CONN_STARTED || state == CONN_OPEN)
        start();
    if (state == CONN_OVER)
        end_it();
    return subject.conn.state == state;
}

static void finish(void) {
    end_it();
    assert_int_equal(subject.ends, 1);
    app_closes();
    finish_helper();
}

static struct loop_watch *watch(void) {
    return &subject.conn.relay.watch;
}

static int state(void) {
    return subject.conn.state;
}

static void a_wrong_move_ends_its_connection_alone(void **unused) {
    (void)unused;
    begin_one(STARTS_LATER);
    enter_one(CONN_OPENING);
    struct conn other;
    conn_init(&other, &helper.conns, &owner);
    conn_start(&subject.conn, -1, false, 0); /* before the outcome */
    assert_int_equal(state_wrong_moves, 1);
    assert_int_equal(subject.conn.state, CONN_OVER);
    assert_int_equal(subject.ends, 1);
    assert_ptr_equal(conns_first(&helper.conns), &other);
    assert_int_equal(other.state, CONN_NEW);
    state_wrong_moves = 0;
    subject.ends = 0;
    list_remove(&other.link);
    memcpy(&subject.conn, &other, sizeof other);
    list_init(&subject.conn.relay.loans); /* a list cannot be copied */
    list_prepend(&helper.conns.all, &subject.conn.link);
    finish();
    passed = true;
}

#define TESTS(X) X(a_wrong_move_ends_its_connection_alone)

STATES_MAIN(KINDS, CONN_OVER, TESTS)
