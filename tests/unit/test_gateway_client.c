/* SPDX-License-Identifier: MIT */
/* Whose a session at the gateway is: peers that prove who they are in the handshake of a carrier in
 * memory, sections that come and go, and what a client may begin in a second. */
#include "support_relay.h"

#include <stdio.h>

#include "helper/gateway/gateway.h"

static struct gateway_config config, other;
static struct gateway *gateway;
static struct gateway_session *session; /* gone when the client has heard of its end */

static void parse(struct gateway_config *to, const char *clients) {
    struct config_error error = {""};
    char text[600];
    int len = snprintf(text, sizeof text, "[listen]\naddress = unix:///x\nallow = *\n%s", clients);
    gateway_config_fini(to);
    gateway_config_init(to);
    if (!gateway_config_parse(to, "gateway.conf", text, (size_t)len, &error))
        fail_msg("%s", error.text);
}

static void begin(const char *clients, const char *name) {
    const struct gateway_source source = {.kind = GATEWAY_SOURCE_USER};
    struct carrier *pair[2];
    const char *why;
    memset(&world, 0, sizeof world);
    assert_int_equal(reactor_init(&world.reactor), 0);
    parse(&config, clients);
    gateway = gateway_new(&world.reactor, &config, &why);
    assert_non_null(gateway);
    network = (struct network){.seed = 3, .name = name};
    assert_int_equal(new_played_pair(world.reactor.loop, pair), 0);
    assert_int_equal(gateway_take(gateway, pair[1], &source), 0);
    session = ((struct pump *)pair[1]->user)->user;
    world.client = make_pump(pair[0], SMUX_CLIENT);
}

static void end(void) {
    if (!world.client_closed)
        pump_end(world.client, SMUX_ERR_CLOSED, "test over");
    turns(3);
    gateway_free(gateway);
    turns(1);
    assert_int_equal(carriers_alive, 0);
    reactor_fini(&world.reactor);
    gateway_config_fini(&config);
    gateway_config_fini(&other);
    network = (struct network){.seed = 1};
}

#define TWO "[client one]\nidentity = psk:laptop\n[client two]\nidentity = psk:server\n"

static void a_session_is_whose_its_handshake_has_proved(void **state) {
    (void)state;
    begin(TWO, "server");
    assert_null(session->client); /* not known before */
    assert_false(session->known);
    until(session->known);
    assert_string_equal(session->client->name, "two");
    assert_int_equal(session->client->sessions, 1);
    assert_string_equal(session->pump->carrier->peer, "played (two)");
    end();
}

static void whom_no_section_names_is_refused_and_opens_no_stream(void **state) {
    static const char *const strangers[] = {"lapto", "laptop2", "LAPTOP", "%6C", NULL};
    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        smux_stream *stream;
        begin(TWO, strangers[i]);
        assert_int_equal(smux_stream_open(world.client->session, &stream), 0);
        pump_kick(world.client);
        until(world.client_closed);
        end();
    }
}

static void without_sections_everybody_is_served(void **state) {
    (void)state;
    begin("", NULL);
    until(session->known);
    assert_null(session->client);
    assert_string_equal(session->pump->carrier->peer, "played");
    end();
}

static void a_reload_changes_whose_a_session_is(void **state) {
    (void)state;
    begin("", "laptop");
    until(session->known);
    parse(&other, TWO);
    gateway_reconfigure(gateway, &other);
    assert_string_equal(session->client->name, "one");
    parse(&config, "[client three]\nidentity = psk:laptop\nmax-bytes-per-second = 1k\n");
    gateway_reconfigure(gateway, &config);
    assert_string_equal(session->client->name, "three");
    assert_int_equal(session->client->from_targets.per_second, 1024);
    assert_string_equal(session->pump->carrier->peer, "played (three)");
    parse(&other, "[client three]\nidentity = psk:laptop\n");
    gateway_reconfigure(gateway, &other);
    assert_int_equal(session->client->from_targets.per_second, 0);
    parse(&config, "");
    gateway_reconfigure(gateway, &config);
    assert_null(session->client);
    assert_string_equal(session->pump->carrier->peer, "played");
    parse(&other, "[client two]\nidentity = psk:server\n");
    gateway_reconfigure(gateway, &other);
    until(world.client_closed);
    end();
}

/* ---- Connections in a second ---- */

#define SECOND_US UINT64_C(1000000)

static unsigned admitted(struct gateway_client *client, uint64_t now_us, unsigned tries) {
    unsigned count = 0;
    while (tries-- > 0)
        count += gateway_client_admit(client, now_us) == NULL;
    return count;
}

static void a_client_begins_so_many_in_a_second_and_saves_none_for_later(void **state) {
    static struct client_config section = {.max_connects_per_second = 10};
    struct gateway_client client = {.config = &section};
    uint64_t now_us = 5 * SECOND_US;
    (void)state;
    assert_int_equal(admitted(&client, now_us, 50), 10);
    assert_int_equal(admitted(&client, now_us + SECOND_US / 10 - 1, 5), 0);
    assert_int_equal(admitted(&client, now_us + SECOND_US / 10, 5), 1);
    assert_int_equal(admitted(&client, now_us + SECOND_US / 2, 50), 4);
    assert_int_equal(admitted(&client, now_us + 3600 * SECOND_US, 50), 10);
    section.max_connects_per_second = 1000000;
    assert_int_equal(admitted(&client, now_us + 7200 * SECOND_US, 1000001), 1000000);
    section.max_connects_per_second = 0;
    assert_int_equal(admitted(&client, now_us, 50), 50);
    assert_int_equal(admitted(NULL, now_us, 50), 50);
}

static void a_stream_too_many_takes_no_connection_from_the_second(void **state) {
    static struct client_config section = {.max_connects_per_second = 2, .max_streams = 3};
    struct gateway_client client = {.config = &section, .streams = 4};
    (void)state;
    assert_int_equal(admitted(&client, SECOND_US, 50), 0);
    client.streams = 3;
    assert_int_equal(admitted(&client, SECOND_US, 50), 2);
    client.config = NULL; /* its section has gone */
    assert_int_equal(admitted(&client, SECOND_US, 50), 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_whose_its_handshake_has_proved),
        cmocka_unit_test(whom_no_section_names_is_refused_and_opens_no_stream),
        cmocka_unit_test(without_sections_everybody_is_served),
        cmocka_unit_test(a_reload_changes_whose_a_session_is),
        cmocka_unit_test(a_client_begins_so_many_in_a_second_and_saves_none_for_later),
        cmocka_unit_test(a_stream_too_many_takes_no_connection_from_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
