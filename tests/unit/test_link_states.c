/* SPDX-License-Identifier: MIT */
/* Every event in every state of an upstream's links and sessions: real dials to a listener with a
 * simulated peer, and a resolver that answers when told to. A waiter for a stream is never left
 * waiting without reason. */
#include "support_states.h"

#include "helper/client/helper.h"
#include "helper/client/upstream_internal.h"
#include "support_resolver.h"

/* The first address is a name, the second refuses, the third cannot be connected to. */
#define ADDRESSES 3

/* No test waits for such a long pause. */
#define HOURS_MS 10000000u

enum kind { GATEWAY, PLAIN, CONNECTED, KINDS };

static struct subject {
    enum kind kind;
    struct upstream *upstream; /* NULL once retired */
    struct upstream_waiter waiter;
    bool opening; /* upstream_open is under way */
    struct relay relay;
    bool has_stream;
    int listener, peer; /* the latter: what was accepted and is not a session, or -1 */
    uint16_t port;
    struct pump *server; /* the peer as a session */
    int server_fd;
    int descriptors; /* before */
} subject;

static struct link *link_of(void) {
    return subject.upstream ? &subject.upstream->links[0] : NULL;
}

/* ---- Who asks for streams ---- */

static void on_relay_over(struct relay *relay, enum relay_reason reason, int error) {
    (void)relay;
    (void)reason;
    (void)error;
    subject.has_stream = false;
}

static const struct relay_ops relay_ops_of_test = {.ended = on_relay_over};

static void got_stream(struct pump *pump, smux_stream *stream) {
    assert_non_null(stream);
    if (subject.has_stream)
        relay_abort(&subject.relay, -ECANCELED);
    subject.has_stream = true;
    relay_init(&subject.relay, &world.reactor, &relay_ops_of_test);
    relay_bind(&subject.relay, pump, stream);
}

static void on_ready(struct upstream_waiter *waiter, int error, struct pump *pump,
                     smux_stream *stream) {
    assert_false(subject.opening);
    assert_null(waiter->upstream);
    assert_true(error <= 0);
    if (error)
        assert_null(stream);
    else
        got_stream(pump, stream);
}

static void ask_so(bool impatient, bool cautious) {
    struct pump *pump = NULL;
    smux_stream *stream = NULL;
    if (!subject.upstream || subject.waiter.upstream)
        return;
    subject.waiter.ready = on_ready;
    subject.waiter.impatient = impatient;
    subject.waiter.cautious = cautious;
    subject.opening = true;
    int error = upstream_open(subject.upstream, &subject.waiter, &pump, &stream);
    subject.opening = false;
    assert_int_equal(error == -EAGAIN, subject.waiter.upstream != NULL);
    if (error == 0)
        got_stream(pump, stream);
}

static void ask(void) {
    ask_so(false, false);
}

static void ask_impatiently(void) {
    ask_so(true, false);
}

static void ask_cautiously(void) {
    ask_so(false, true);
}

static void cancel(void) {
    upstream_cancel(&subject.waiter);
}

static void stream_ends(void) {
    if (subject.has_stream)
        relay_abort(&subject.relay, -ECANCELED);
}

/* ---- The peer ---- */

static void on_server_stream(struct pump *pump, smux_stream *stream) {
    (void)pump;
    smux_stream_accept(stream);
}

static void on_server_closed(struct pump *pump, int error, const char *why) {
    (void)error;
    (void)why;
    if (pump == subject.server)
        subject.server = NULL;
}

static const struct pump_ops server_ops = {.accepted = on_server_stream,
                                           .closed = on_server_closed};

static void serve_on(int fd) {
    if (subject.server)
        pump_end(subject.server, SMUX_ERR_CLOSED, "another one comes");
    subject.server_fd = fd;
    subject.server = gateway_pump(&world.reactor, fd, &server_ops);
}

static void peer_accepts(void) {
    accept_into(&subject.peer, subject.listener);
}

static void peer_serves(void) {
    peer_accepts();
    if (subject.peer < 0)
        return;
    int fd = subject.peer;
    subject.peer = -1;
    serve_on(fd);
}

static void peer_speaks_nonsense(void) {
    peer_accepts();
    if (subject.peer >= 0)
        (void)!send(subject.peer, "HTTP/1.1 400 Bad Request\r\n", 26, MSG_NOSIGNAL);
}

static void peer_closes(void) {
    peer_accepts();
    if (subject.peer >= 0)
        close_now(&subject.peer);
    if (subject.server)
        pump_end(subject.server, SMUX_ERR_CLOSED, "peer closes");
}

static void peer_resets(void) {
    peer_accepts();
    will_reset(subject.peer);
    if (subject.server)
        will_reset(subject.server_fd);
    peer_closes();
}

static void peer_sends_away(void) {
    if (!subject.server)
        return;
    smux_session_goaway(subject.server->session);
    pump_kick(subject.server);
}

/* ---- Other steps ---- */

static void some_turns(void) {
    turns(5);
}

static void name_is_known(void) {
    resolved(0, 1, 1);
}

static void name_has_many(void) {
    resolved(0, 1, RESOLVER_ADDRESSES_MAX);
}

static void name_has_none(void) {
    resolved(-EHOSTUNREACH, 1, 0);
}

static void name_server_is_silent(void) {
    resolved(-ETIMEDOUT, 1, 0);
}

static void pause_is_over(void) {
    if (link_of())
        fire(&link_of()->timer);
}

static void dial_takes_too_long(void) {
    struct link *link = link_of();
    if (!link || link->state != LINK_DIALLING)
        return;
    fire(&link->dial.timer); /* of the look-up */
    link->dial.dial.deadline_us = 0;
    fire(&link->dial.dial.timer);
}

/* The hello timeout expires, or a draining session is checked. */
static void sessions_are_looked_at(void) {
    if (!subject.upstream)
        return;
    list_for_each(member, &subject.upstream->sessions)
        fire(&upstream_session_of(member)->timer);
}

static struct upstream_session *first_session(struct upstream *upstream) {
    struct list_link *first = upstream ? list_first(&upstream->sessions) : NULL;
    return first ? upstream_session_of(first) : NULL;
}

static void session_fails(void) {
    struct upstream_session *first = first_session(subject.upstream);
    if (first)
        pump_fail(first->pump, SMUX_ERR_CARRIER, "cut");
}

static void session_ends(void) {
    struct upstream_session *first = first_session(subject.upstream);
    if (first)
        pump_end(first->pump, SMUX_ERR_CARRIER, "cut");
}

static void sessions_have_lived_long(void) {
    if (!subject.upstream)
        return;
    list_for_each(member, &subject.upstream->sessions)
        upstream_session_of(member)->pump->since_us -= 3000000;
}

static void flush(void) {
    if (subject.upstream)
        upstream_flush(subject.upstream);
}

static void look_at_status(void) {
    if (subject.upstream)
        json_decref(upstream_status(subject.upstream));
}

static void retire(void) {
    if (!subject.upstream)
        return;
    upstream_retire(subject.upstream);
    assert_null(subject.waiter.upstream);
    subject.upstream = NULL;
}

static const struct step steps[] = {STEP(some_turns),
                                    STEP(ask),
                                    STEP(ask_impatiently),
                                    STEP(ask_cautiously),
                                    STEP(cancel),
                                    STEP(stream_ends),
                                    STEP(peer_accepts),
                                    STEP(peer_serves),
                                    STEP(peer_speaks_nonsense),
                                    STEP(peer_closes),
                                    STEP(peer_resets),
                                    STEP(peer_sends_away),
                                    STEP(name_is_known),
                                    STEP(name_has_many),
                                    STEP(name_has_none),
                                    STEP(name_server_is_silent),
                                    STEP(pause_is_over),
                                    STEP(dial_takes_too_long),
                                    STEP(sessions_are_looked_at),
                                    STEP(session_fails),
                                    STEP(session_ends),
                                    STEP(sessions_have_lived_long),
                                    STEP(flush),
                                    STEP(look_at_status),
                                    STEP(retire)};

/* ---- What must hold after each ---- */

static void check_link(const struct link *link) {
    assert_in_range(link->state, LINK_IDLE, LINK_OVER);
    assert_int_equal(asked != NULL, carrier_dial_is_resolving(&link->dial));
    assert_int_equal(link->dial.timer.armed, carrier_dial_is_resolving(&link->dial));
    assert_int_equal(asked || link->dial.dial.active || loop_task_is_posted(&link->dial.task),
                     link->state == LINK_DIALLING);
    assert_int_equal(link->session != NULL, link->state == LINK_UP);
    assert_int_equal(link->timer.armed, link->state == LINK_PAUSE);
    if (link->state != LINK_DIALLING)
        assert_false(link->dial.watch.open);
    if (link->session)
        assert_ptr_equal(link->session->link, link);
    assert_true(link->address == 0 || link->address < subject.upstream->config.n_addresses);
    /* If there is a waiter, an attempt is in progress or the pause is short. */
    if (subject.waiter.upstream) {
        assert_true(link->state != LINK_IDLE && link->state != LINK_OVER);
        assert_false(subject.waiter.impatient && link->state == LINK_PAUSE);
        if (link->state == LINK_PAUSE)
            assert_true(link->timer.due_us <= loop_now_us(world.reactor.loop) + 1000000);
    }
}

static void check(void) {
    assert_int_equal(state_wrong_moves, 0);
    if (!subject.upstream) {
        assert_null(subject.waiter.upstream);
        assert_null(asked);
        return;
    }
    check_link(link_of());
    list_for_each(member, &subject.upstream->sessions) {
        const struct upstream_session *s = upstream_session_of(member);
        assert_in_range(s->state, SESSION_NEW, SESSION_DRAINING);
        assert_int_equal(s->link != NULL, s->state != SESSION_DRAINING);
        assert_false(s->pump->closing);
    }
    assert_ptr_equal(list_first(&subject.upstream->waiters),
                     subject.waiter.upstream ? &subject.waiter.link : NULL);
}

/* ---- Into each state ---- */

/* In addition to the states of a link: a dial whose name has been resolved. */
#define CONNECTING (LINK_OVER + 1)

static void set_addresses(struct config_gateway *config) {
    char good[40];
    const char *why, *texts[ADDRESSES] = {good, "tcp://127.0.0.1:1", "tls://127.0.0.1:2"};
    config->n_addresses = ADDRESSES;
    snprintf(good, sizeof good, "tcp://gw.internal:%u", subject.port);
    for (int i = 0; i < ADDRESSES; i++)
        assert_true(config_address_parse(&config->address[i], texts[i], &why));
}

static void begin(unsigned kind) {
    struct config_gateway config = {.name = "test",
                                    .connections = 1,
                                    .dial_timeout_ms = HOURS_MS,
                                    .retry_min_ms = HOURS_MS,
                                    .retry_max_ms = HOURS_MS,
                                    .session = {.version = 2,
                                                .max_frame_size = 65535,
                                                .max_receive_buffer = 64 << 20,
                                                .max_stream_buffer = 4 << 20}};
    int pair[2];
    memset(&world, 0, sizeof world);
    memset(&subject, 0, sizeof subject);
    subject.descriptors = open_descriptors();
    subject.kind = kind;
    subject.peer = -1;
    asked = NULL;
    assert_int_equal(reactor_init(&world.reactor), 0);
    subject.listener = listen_on(&subject.port);
    struct resolver_client *names = resolver_client_new(resolver_new(NULL, true, NULL));
    if (kind != CONNECTED) {
        set_addresses(&config);
        subject.upstream = upstream_new(&world.reactor, names, &config, kind == PLAIN);
    } else {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        struct carrier *carrier = carrier_new_socket(world.reactor.loop, pair[0], false, "test");
        subject.upstream = upstream_new_connected(&world.reactor, names, &config, carrier);
        serve_on(pair[1]);
    }
    assert_non_null(subject.upstream);
}

static bool enter(unsigned state) {
    if (subject.kind == CONNECTED) {
        if (state == LINK_OVER)
            session_ends();
        return link_of()->state == state;
    }
    if (state != LINK_IDLE)
        ask();
    if (state == CONNECTING || state == LINK_UP)
        name_is_known();
    if (state == LINK_UP) {
        peer_serves();
        link_of()->dial.watch.fn(&link_of()->dial.watch, EPOLLOUT);
    }
    if (state == LINK_PAUSE) {
        name_has_none();
        link_of()->dial.watch.fn(&link_of()->dial.watch, EPOLLERR); /* there may be no error yet */
        dial_takes_too_long();
        turns(1);
    }
    if (state == CONNECTING)
        return link_of()->dial.dial.active;
    return link_of()->state == state;
}

static void finish(void) {
    cancel();
    if (subject.upstream)
        upstream_free(subject.upstream);
    subject.upstream = NULL;
    close(subject.listener);
    peer_closes();
    stream_ends();
    /* A retired one ends with its sessions. */
    for (int i = 0; i < 20; i++)
        loop_turn(world.reactor.loop, 0);
    assert_int_equal(world.reactor.pool.used_count, 0);
    reactor_fini(&world.reactor);
    assert_int_equal(open_descriptors(), subject.descriptors);
    assert_int_equal(state_wrong_moves, 0);
}

static struct loop_watch *watch(void) {
    struct link *link = link_of();
    if (link && link->session)
        return &container_of(link->session->pump->carrier, struct carrier_socket, carrier)->watch;
    return link ? &link->dial.watch : NULL;
}

static int state(void) {
    return link_of() ? link_of()->state : -1;
}

/* ---- Single ones ---- */

static void a_wrong_move_of_a_link_makes_it_begin_anew(void **unused) {
    (void)unused;
    begin_one(GATEWAY);
    enter_one(LINK_DIALLING);
    upstream_link_move(link_of(), LINK_PAUSE);
    assert_int_equal(state_wrong_moves, 1);
    state_wrong_moves = 0;
    assert_int_equal(link_of()->state, LINK_PAUSE);
    assert_true(link_of()->timer.armed);
    assert_null(asked);
    assert_false(link_of()->dial.dial.active);
    assert_false(link_of()->dial.watch.open);
    pause_is_over();
    assert_true(carrier_dial_is_resolving(&link_of()->dial));
    finish();
    passed = true;
}

/* Reconnects at once, as after a restart of the gateway, but not repeatedly. */
static void a_peer_that_sends_everybody_away_is_not_stormed(void **unused) {
    int sessions = 0;
    (void)unused;
    begin_one(GATEWAY);
    ask();
    for (int i = 0; i < 200; i++) {
        name_is_known();
        turns(1);
        if (subject.server)
            continue;
        peer_serves();
        if (!subject.server)
            continue;
        until(link_of()->session && link_of()->session->state == SESSION_ESTABLISHED);
        peer_sends_away();
        until(!link_of()->session);
        pump_end(subject.server, SMUX_ERR_CLOSED, "gone");
        sessions++;
    }
    assert_int_equal(sessions, 2);
    assert_int_equal(link_of()->state, LINK_PAUSE);
    finish();
    passed = true;
}

/* The helper's own gateway, for on-failure = direct. */
static void a_direct_session_that_is_lost_is_replaced(void **unused) {
    static struct helper helper;
    struct config *config = malloc(sizeof *config);
    struct upstream_waiter waiter = {.ready = on_ready, .impatient = true};
    struct pump *pump;
    smux_stream *stream;
    const char *why;
    (void)unused;
    assert_non_null(config);
    config_init(config);
    assert_true(helper_init(&helper, config, &why));
    struct upstream *first = upstream_pool_direct(&helper.upstreams, NULL);
    assert_non_null(first);
    assert_ptr_equal(upstream_pool_direct(&helper.upstreams, NULL), first);
    pump_end(first_session(first)->pump, SMUX_ERR_NOMEM, "out of memory");
    assert_int_equal(upstream_open(first, &waiter, &pump, &stream), -ENETUNREACH);
    struct upstream *second = upstream_pool_direct(&helper.upstreams, NULL);
    assert_non_null(second);
    assert_int_equal(upstream_open(second, &waiter, &pump, &stream), 0);
    loop_turn(helper.reactor.loop, 0);
    helper_fini(&helper);
    passed = true;
}

#define TESTS(X)                                                                                   \
    X(a_wrong_move_of_a_link_makes_it_begin_anew)                                                  \
    X(a_peer_that_sends_everybody_away_is_not_stormed)                                             \
    X(a_direct_session_that_is_lost_is_replaced)

STATES_MAIN(KINDS, CONNECTING, TESTS)
