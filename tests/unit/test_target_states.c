/* SPDX-License-Identifier: MIT */
/* Every event in every state of a gateway's target: a real gateway, a client session, a listener to
 * dial, and a resolver that answers when told to. */
#include "support_states.h"

#include "support_resolver.h"

#include "helper/gateway/gateway.h"
#include "helper/gateway/gateway_target.h"

static struct subject {
    struct gateway *gateway;
    struct gateway_config config;
    struct target *target;   /* NULL once its memory is gone */
    struct opening *opening; /* of the target; likewise */
    int listener, other;     /* the latter: what was accepted, or -1 */
    uint16_t port;
    bool draining;
    struct {
        uint8_t bytes[64];
        size_t len;
        bool eof, ended;
    } client; /* what it has heard */
    struct relay relay;
    struct pump *server; /* the gateway's session; NULL: it has ended */
    struct pump_ops server_ops;
    const struct pump_ops *gateway_ops; /* what the former are made of */
} subject;

/* ---- The client ---- */

static size_t on_told(struct relay *relay, const uint8_t *data, size_t len) {
    (void)relay;
    for (size_t i = 0; data && i < len && subject.client.len < sizeof subject.client.bytes; i++)
        subject.client.bytes[subject.client.len++] = data[i];
    subject.client.eof |= !data;
    return len;
}

static void on_client_end(struct relay *relay, enum relay_reason reason, int error) {
    (void)relay;
    (void)reason;
    (void)error;
    subject.client.ended = true;
}

static const struct relay_ops client_ops = {.head = on_told, .ended = on_client_end};

static void begin_client(void) {
    smux_stream *stream;
    relay_init(&subject.relay, &world.reactor, &client_ops);
    assert_int_equal(smux_stream_open(world.client->session, &stream), 0);
    relay_bind(&subject.relay, world.client, stream);
    relay_expect_head(&subject.relay);
    pump_kick(world.client);
    until(!list_is_empty(&subject.server->sinks));
    subject.target =
        container_of(list_first(&subject.server->sinks), struct target, relay.sink.bound);
    subject.opening = subject.target->opening;
}

/* ---- Steps ---- */

static void some_turns(void) {
    turns(5);
    if (!subject.server || list_is_empty(&subject.server->sinks))
        subject.target = NULL;
    subject.opening = subject.target ? subject.target->opening : NULL;
}

static void give(const void *data, size_t len) {
    give_to(subject.target ? &subject.target->relay : NULL, data, len);
}

static const uint8_t greeting[] = {5, 1, 0};

static void greet(void) {
    give(greeting, sizeof greeting);
}

static void give_one_byte(void) {
    give("\5", 1);
}

static void give_much(void) {
    static uint8_t much[1 << 20];
    give(much, sizeof much);
}

/* `command` 1 is CONNECT. */
static void ask_address(uint8_t command, uint8_t last, uint16_t port) {
    uint8_t request[] = {
        5, command, 0, 1, 127, 0, 0, last, (uint8_t)(port >> 8), (uint8_t)port, 'b', 'y', 't', 'e'};
    give(request, sizeof request);
}

static void ask_name(const char *name, uint16_t port) {
    uint8_t request[64] = {5, 1, 0, 3, (uint8_t)strlen(name)};
    size_t len = strlen(name);
    memcpy(request + 5, name, len);
    request[5 + len] = (uint8_t)(port >> 8);
    request[6 + len] = (uint8_t)port;
    give(request, 7 + len);
}

static void ask_for_listener(void) {
    ask_address(1, 1, subject.port);
}

static void ask_all_at_once(void) {
    uint8_t request[] = {
        5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, (uint8_t)(subject.port >> 8), (uint8_t)subject.port};
    give(request, sizeof request);
}

static void ask_for_refused(void) {
    ask_address(1, 1, 1);
}

static void ask_for_denied(void) {
    ask_address(1, 9, subject.port);
}

static void ask_to_bind(void) {
    ask_address(2, 1, subject.port);
}

static void ask_for_name(void) {
    ask_name("db.internal", subject.port);
}

static void ask_for_other_name(void) {
    ask_name("db.example", subject.port);
}

static void ask_for_denied_name(void) {
    ask_name("db.example", 7);
}

static void ask_for_bad_name(void) {
    ask_name("a b", subject.port);
}

static void name_is_known(void) {
    resolved(0, 1, 1);
}

/* The first refuses. */
static void name_has_many(void) {
    resolved(0, 1, RESOLVER_ADDRESSES_MAX);
}

static void name_is_elsewhere(void) {
    resolved(0, 99, 1);
}

static void name_has_none(void) {
    resolved(0, 1, 0);
}

static void name_is_unknown(void) {
    resolved(-EHOSTUNREACH, 1, 0);
}

static void stream_eof(void) {
    if (subject.target && subject.target->relay.stream)
        relay_eof(&subject.target->relay);
}

static void stream_reset(void) {
    if (subject.target && subject.target->relay.stream)
        relay_stream_reset(&subject.target->relay, SMUX_ERR_PEER_RESET);
}

static void client_leaves(void) {
    relay_abort(&subject.relay, -ECANCELED);
}

static void client_closes(void) {
    relay_hang_up(&subject.relay);
}

static void session_ends(void) {
    if (subject.server)
        pump_end(subject.server, SMUX_ERR_CARRIER, "cut");
}

static void on_drained(struct gateway *gateway, void *user) {
    (void)gateway;
    (void)user;
}

static void gateway_drains(void) {
    gateway_drain(subject.gateway, 0, on_drained, NULL);
}

static void time_passes(void) {
    struct target *target = subject.target;
    if (!target)
        return;
    fire(&target->probes);
    if (!target->opening)
        return;
    if (target->state == TARGET_DIALLING)
        target->opening->dial.deadline_us = 0;
    if (target->state == TARGET_DIALLING)
        fire(&target->opening->dial.timer);
    else
        fire(&target->opening->timer);
}

static void next_address_is_due(void) {
    if (subject.target && subject.target->state == TARGET_DIALLING)
        fire(&subject.target->opening->dial.timer);
}

static void other_accepts(void) {
    accept_into(&subject.other, subject.listener);
}

static void other_speaks(void) {
    other_accepts();
    if (subject.other >= 0)
        (void)!send(subject.other, "some bytes", 10, MSG_NOSIGNAL);
}

static void other_closes(void) {
    other_accepts();
    if (subject.other >= 0)
        close_now(&subject.other);
}

static void other_resets(void) {
    other_accepts();
    will_reset(subject.other);
    other_closes();
}

/* It sends and resets before the gateway has read. */
static void other_speaks_and_resets(void) {
    other_speaks();
    other_resets();
}

static void target_is_given_up(void) {
    if (subject.target)
        relay_abort(&subject.target->relay, -ECANCELED);
}

static const struct step steps[] = {STEP(some_turns),
                                    STEP(greet),
                                    STEP(give_one_byte),
                                    STEP(give_much),
                                    STEP(ask_for_listener),
                                    STEP(ask_all_at_once),
                                    STEP(ask_for_refused),
                                    STEP(ask_for_denied),
                                    STEP(ask_to_bind),
                                    STEP(ask_for_name),
                                    STEP(ask_for_other_name),
                                    STEP(ask_for_denied_name),
                                    STEP(ask_for_bad_name),
                                    STEP(name_is_known),
                                    STEP(name_has_many),
                                    STEP(name_is_elsewhere),
                                    STEP(name_has_none),
                                    STEP(name_is_unknown),
                                    STEP(stream_eof),
                                    STEP(stream_reset),
                                    STEP(client_leaves),
                                    STEP(client_closes),
                                    STEP(session_ends),
                                    STEP(gateway_drains),
                                    STEP(time_passes),
                                    STEP(next_address_is_due),
                                    STEP(other_accepts),
                                    STEP(other_speaks),
                                    STEP(other_closes),
                                    STEP(other_resets),
                                    STEP(other_speaks_and_resets),
                                    STEP(target_is_given_up)};

/* ---- What must hold after each ---- */

static void check(void) {
    const struct target *target = subject.target;
    assert_int_equal(state_wrong_moves, 0);
    if (!target) {
        assert_null(asked);
        return;
    }
    const struct relay *relay = &target->relay;
    const struct opening *opening = target->opening;
    assert_int_equal(opening != NULL, target->state < TARGET_RELAYING);
    assert_int_equal(asked != NULL, target->state == TARGET_RESOLVING);
    assert_int_equal(relay_is_over(relay), target->state == TARGET_OVER);
    if (!opening && subject.opening) { /* thrown away in this turn */
        assert_false(subject.opening->timer.armed);
        assert_false(subject.opening->dial.active);
    }
    if (opening) {
        assert_int_equal(relay->state,
                         target->state == TARGET_REQUEST ? RELAY_HEAD : RELAY_WAITING);
        assert_int_equal(opening->timer.armed, target->state != TARGET_DIALLING);
        assert_int_equal(opening->dial.active, target->state == TARGET_DIALLING);
        if (target->state != TARGET_DIALLING)
            assert_false(relay->watch.open);
    } else if (target->state == TARGET_RELAYING) {
        assert_true(relay_is_attached(relay) || relay->state == RELAY_FAILING);
    } else {
        assert_false(target->probes.armed);
        assert_false(relay->watch.open);
    }
}

/* ---- Into each state ---- */

static void on_server_closed(struct pump *pump, int error, const char *why) {
    assert_ptr_equal(pump, subject.server);
    subject.server = NULL;
    subject.gateway_ops->closed(pump, error, why);
}

/* Notices when it ends. */
static void watch_server(struct pump *pump) {
    subject.server = pump;
    subject.gateway_ops = pump->ops;
    subject.server_ops = *pump->ops;
    subject.server_ops.closed = on_server_closed;
    pump->ops = &subject.server_ops;
}

/* Clients make no request. Time passes only when it is told to. */
static void have_target(const char *host) {
    struct config_error error;
    char target[40];
    snprintf(target, sizeof target, "%s:%u", host, subject.port);
    assert_true(gateway_config_set(&subject.config, "handshake", "none", &error));
    assert_true(gateway_config_set(&subject.config, "target", target, &error));
    assert_true(gateway_config_set(&subject.config, "silent-client-delay", "24h", &error));
}

/* Kinds: 4 plain clients, 2 TLS, 1 greeted already or, of plain clients, to a name. */
static void begin(unsigned kind) {
    const char *why;
    struct config_error error;
    struct carrier *carrier[2];
    char allow[120];
    memset(&world, 0, sizeof world);
    memset(&subject, 0, sizeof subject);
    subject.other = -1;
    subject.listener = listen_on(&subject.port);
    assert_int_equal(reactor_init(&world.reactor), 0);
    gateway_config_init(&subject.config);
    if (kind & 4)
        have_target(kind & 1 ? "db.internal" : "127.0.0.1");
    snprintf(allow, sizeof allow, "127.0.0.1:%u, 127.0.0.1:1, 127.0.0.2:%u, db.internal:%u",
             subject.port, subject.port, subject.port);
    assert_true(gateway_config_set(&subject.config, "allow", allow, &error));
    subject.gateway = gateway_new(&world.reactor, &subject.config, &why);
    carrier_kind = &carrier_kinds[kind & 2 ? CARRIER_TLS_UNIX : CARRIER_UNIX];
    assert_int_equal(carrier_kind->new_pair(world.reactor.loop, carrier), 0);
    assert_int_equal(gateway_take(subject.gateway, carrier[1], NULL), 0);
    watch_server(carrier[1]->user);
    world.client = make_pump(carrier[0], SMUX_CLIENT);
    begin_client();
    if ((kind & 5) == 1)
        greet();
}

static bool enter_plain(unsigned state) {
    bool named = subject.target->opening->socks.destination.name_len > 0;
    if (state >= TARGET_RESOLVING && state <= TARGET_RELAYING &&
        (state > TARGET_RESOLVING || named))
        give_one_byte();
    if (named && (state == TARGET_DIALLING || state == TARGET_RELAYING))
        name_is_known();
    if (state == TARGET_RELAYING)
        subject.target->relay.watch.fn(&subject.target->relay.watch, EPOLLOUT);
    if (state == TARGET_OVER)
        target_is_given_up();
    return subject.target->state == state;
}

static bool enter(unsigned state) {
    if (subject.target->opening->plain)
        return enter_plain(state);
    bool greeted = subject.target->opening->greeting_sent;
    if (state == TARGET_RESOLVING && greeted)
        ask_for_name();
    if (state == TARGET_RESOLVING && !greeted) {
        greet();
        ask_for_name();
    }
    if (state == TARGET_DIALLING || state == TARGET_RELAYING)
        (greeted ? ask_for_listener : ask_all_at_once)();
    if (state == TARGET_RELAYING)
        subject.target->relay.watch.fn(&subject.target->relay.watch, EPOLLOUT);
    if (state == TARGET_OVER)
        target_is_given_up();
    return subject.target->state == state;
}

/* Whatever has happened, the client learns of the end. */
static void finish(void) {
    if (subject.target)
        relay_abort(&subject.target->relay, -ECANCELED);
    some_turns();
    assert_null(subject.target);
    until(subject.client.eof || subject.client.ended);
    if (!subject.client.ended)
        relay_abort(&subject.relay, -ECANCELED);
    if (!world.client_closed)
        pump_end(world.client, SMUX_ERR_CLOSED, "test over");
    gateway_free(subject.gateway);
    if (subject.other >= 0)
        close(subject.other);
    close(subject.listener);
    turns(1);
    assert_int_equal(world.reactor.pool.used_count, 0);
    reactor_fini(&world.reactor);
    assert_int_equal(state_wrong_moves, 0);
}

static struct loop_watch *watch(void) {
    return subject.target ? &subject.target->relay.watch : NULL;
}

static int state(void) {
    return subject.target ? subject.target->state : -1;
}

/* ---- A wrong move ---- */

static void a_wrong_move_ends_its_target_alone(void **unused) {
    (void)unused;
    begin_one(0);
    struct target *first = subject.target;
    struct relay another;
    smux_stream *stream;
    relay_init(&another, &world.reactor, &client_ops);
    assert_int_equal(smux_stream_open(world.client->session, &stream), 0);
    relay_bind(&another, world.client, stream);
    relay_expect_head(&another);
    pump_kick(world.client);
    until(list_first(&subject.server->sinks) != &first->relay.sink.bound);
    subject.target =
        container_of(list_first(&subject.server->sinks), struct target, relay.sink.bound);
    subject.target->state = TARGET_RELAYING;
    ask_all_at_once();
    assert_int_equal(state_wrong_moves, 1);
    assert_int_equal(subject.target->state, TARGET_OVER);
    assert_true(relay_is_over(&subject.target->relay));
    until(subject.client.ended);
    assert_ptr_equal(list_first(&subject.server->sinks), &first->relay.sink.bound);
    assert_int_equal(first->state, TARGET_REQUEST);
    subject.client.ended = false;
    state_wrong_moves = 0;
    subject.target = first;
    finish();
    passed = true;
}

/* ---- Clients that make no request ---- */

static void heard(const char *text) {
    until(subject.client.len == strlen(text));
    assert_memory_equal(subject.client.bytes, text, subject.client.len);
}

static void end_plain(void) {
    finish();
    passed = true;
}

static void a_target_that_speaks_first_is_heard_by_a_silent_client(void **unused) {
    (void)unused;
    begin_one(4);
    some_turns();
    assert_int_equal(subject.target->state, TARGET_REQUEST); /* no byte may go before that */
    time_passes();
    assert_int_equal(subject.target->state, TARGET_DIALLING);
    while (subject.other < 0)
        other_speaks();
    heard("some bytes");
    end_plain();
}

static void a_client_that_speaks_need_not_wait_and_loses_no_byte(void **unused) {
    char back[8] = "";
    (void)unused;
    begin_one(4);
    assert_int_equal(smux_stream_send(subject.relay.stream, "hello", 5), 5);
    pump_kick(world.client);
    until(subject.target->state != TARGET_REQUEST);
    while (subject.other < 0 || recv(subject.other, back, sizeof back, MSG_PEEK) < 5) {
        other_accepts();
        turns(1);
    }
    assert_int_equal(recv(subject.other, back, sizeof back, 0), 5);
    assert_string_equal(back, "hello");
    other_speaks();
    heard("some bytes");
    end_plain();
}

static void a_client_that_only_ends_gets_the_answer(void **unused) {
    char back[8];
    (void)unused;
    begin_one(4);
    stream_eof();
    assert_int_equal(subject.target->state, TARGET_DIALLING);
    while (subject.other < 0 || recv(subject.other, back, sizeof back, 0) != 0) {
        other_accepts();
        turns(1);
    }
    other_speaks();
    heard("some bytes");
    end_plain();
}

static void what_the_list_lacks_is_refused_without_a_byte(void **unused) {
    struct config_error error;
    (void)unused;
    begin_one(4);
    assert_true(gateway_config_set(&subject.config, "allow", "192.0.2.1:1", &error));
    give_one_byte();
    until(subject.client.ended || subject.client.eof);
    assert_int_equal(subject.client.len, 0);
    some_turns();
    end_plain();
}

#define TESTS(X)                                                                                   \
    X(a_wrong_move_ends_its_target_alone)                                                          \
    X(a_target_that_speaks_first_is_heard_by_a_silent_client)                                      \
    X(a_client_that_speaks_need_not_wait_and_loses_no_byte)                                        \
    X(a_client_that_only_ends_gets_the_answer)                                                     \
    X(what_the_list_lacks_is_refused_without_a_byte)

STATES_MAIN(8, TARGET_OVER, TESTS)
