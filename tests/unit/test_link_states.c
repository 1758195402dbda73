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

enum kind { GATEWAY, PLAIN, BALANCED, CONNECTED, KINDS };

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
    for (int i = 0; subject.upstream && i < subject.upstream->link_count; i++)
        fire(&subject.upstream->links[i].timer);
}

static void dial_takes_too_long(void) {
    struct link *link = link_of();
    if (!link || link->state != LINK_DIALLING)
        return;
    link->dial.dial.deadline_us = 0;
    fire(&link->dial.dial.timer);
}

/* The look-up has taken too long, or its answer is too old. */
static void name_is_due(void) {
    for (int i = 0; subject.upstream && i < subject.upstream->source_count; i++)
        fire(&subject.upstream->sources[i].timer);
}

/* The gateway is asked whether it lives, or has not answered that. */
static void silence_is_looked_at(void) {
    if (!subject.upstream)
        return;
    list_for_each(member, &subject.upstream->sessions)
        fire(&upstream_session_of(member)->silence);
}

static void pauses_of_addresses_are_over(void) {
    if (!subject.upstream)
        return;
    list_for_each(member, &subject.upstream->backends.all)
        backend_of(member)->retry_us = 0;
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

static void look_at_addresses(void) {
    if (subject.upstream)
        json_decref(upstream_addresses(subject.upstream));
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
                                    STEP(name_is_due),
                                    STEP(silence_is_looked_at),
                                    STEP(pauses_of_addresses_are_over),
                                    STEP(look_at_addresses),
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
    assert_int_equal(link->dial.dial.active, link->state == LINK_DIALLING);
    assert_int_equal(link->count > 0, link->state == LINK_DIALLING);
    assert_int_equal(link->session != NULL, link->state == LINK_UP);
    assert_int_equal(link->timer.armed, link->state == LINK_PAUSE || link->state == LINK_RESOLVING);
    if (link->state != LINK_DIALLING)
        assert_false(link->dial.watch.open);
    if (link->session) {
        assert_ptr_equal(link->session->link, link);
        assert_ptr_equal(link->session->backend, link->counted);
    }
    if (link->state != LINK_UP && link->state != LINK_DIALLING)
        assert_null(link->counted);
    if (subject.waiter.upstream && link->state == LINK_PAUSE)
        assert_true(link->timer.due_us <= loop_now_us(world.reactor.loop) + 1000000);
}

static unsigned users_of(const struct backend *backend) {
    unsigned users = 0;
    for (int i = 0; i < subject.upstream->link_count; i++)
        for (int at = 0; at < subject.upstream->links[i].count; at++)
            users += subject.upstream->links[i].candidates[at] == backend;
    list_for_each(member, &subject.upstream->sessions)
        users += upstream_session_of(member)->backend == backend;
    return users;
}

static unsigned links_of(const struct backend *backend) {
    unsigned links = 0;
    for (int i = 0; i < subject.upstream->link_count; i++)
        links += subject.upstream->links[i].counted == backend;
    return links;
}

static void check_backends(void) {
    int listed = 0;
    list_for_each(member, &subject.upstream->backends.all) {
        const struct backend *backend = backend_of(member);
        assert_in_range(backend->state, BACKEND_UNTRIED, BACKEND_GONE);
        assert_int_equal(backend->users, users_of(backend));
        assert_int_equal(backend->links, links_of(backend));
        assert_true(backend_is_listed(backend) || backend->users > 0);
        listed += backend_is_listed(backend);
    }
    assert_int_equal(listed, subject.upstream->backends.listed);
}

static void check_names(void) {
    for (int i = 0; i < subject.upstream->source_count; i++) {
        const struct name_source *source = &subject.upstream->sources[i];
        assert_int_equal(asked == &source->query,
                         source->state == NAME_HOST || source->state == NAME_SERVICE);
        assert_int_equal(source->timer.armed,
                         source->state != NAME_IDLE && source->state != NAME_STOPPED);
    }
}

/* If there is a waiter, an attempt is in progress or its pause is short. */
static void check_hope(void) {
    const struct upstream *upstream = subject.upstream;
    int tries = 0;
    for (int i = 0; i < upstream->link_count; i++)
        tries += upstream->links[i].state != LINK_IDLE && upstream->links[i].state != LINK_OVER;
    assert_true(tries > 0);
    if (subject.waiter.impatient)
        assert_true(upstream_has_hope(upstream));
}

static void check(void) {
    assert_int_equal(state_wrong_moves, 0);
    if (!subject.upstream) {
        assert_null(subject.waiter.upstream);
        assert_null(asked);
        return;
    }
    for (int i = 0; i < subject.upstream->link_count; i++)
        check_link(&subject.upstream->links[i]);
    check_backends();
    check_names();
    if (subject.waiter.upstream)
        check_hope();
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
                                    .answer_timeout_ms = HOURS_MS,
                                    .ttl_min_ms = HOURS_MS,
                                    .ttl_max_ms = HOURS_MS,
                                    .balance =
                                        kind == BALANCED ? CONFIG_LEAST_STREAMS : CONFIG_FIRST,
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
    struct resolver_client *names = resolver_client_new(resolver_new(NULL, true, NULL, NULL));
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
    if (state == LINK_DIALLING || state == LINK_UP)
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
    assert_false(link_of()->dial.dial.active);
    assert_false(link_of()->dial.watch.open);
    pause_is_over();
    assert_int_equal(link_of()->state, LINK_DIALLING);
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

STATES_MAIN(KINDS, LINK_OVER, TESTS)
