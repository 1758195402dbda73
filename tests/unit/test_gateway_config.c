/* SPDX-License-Identifier: MIT */
/* gateway.conf: what is accepted, and the one-line message for each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "helper/gateway/gateway_config.h"

static struct gateway_config config;

/* Parses and checks; on failure `error` has the line. */
static bool load(const char *text, struct config_error *error) {
    char copy[4096];
    size_t len = strlen(text);
    assert_true(len + 1 < sizeof copy);
    memcpy(copy, text, len + 1);
    gateway_config_fini(&config);
    gateway_config_init(&config);
    return gateway_config_parse(&config, "gateway.conf", copy, len, error) &&
           gateway_config_check(&config, error);
}

static void a_full_configuration_is_accepted(void **state) {
    struct config_error error = {""};
    (void)state;
    assert_true(load("# comment\n[listen]\n"
                     "address = tcp://127.0.0.1:7443, unix:///run/gateway.sock\n"
                     "address = tcp://[::1]:7444\n"
                     "allow = 10.0.0.0/8:*, *.db.internal:3306-3310\n"
                     "version = 2\nworkers = 4\nconnect-timeout = 3s\ndrain-timeout = 0\n"
                     "keepalive-interval = 0\ntarget-keepalive = 0\nmax-frame-size = "
                     "32k\nmax-receive-buffer = 8m\n"
                     "max-streams = 100\nsocket-mode = 0660\nlog-level = warn\nlog-file = syslog\n",
                     &error));
    assert_int_equal(config.n_addresses, 3);
    assert_int_equal(config.address[2].port, 7444);
    assert_int_equal(config.allow.n_rules, 2);
    assert_int_equal(config.session.version, 2);
    assert_int_equal(config.workers, 4);
    assert_int_equal(config.connect_timeout_ms, 3000);
    assert_int_equal(config.drain_timeout_ms, 0);
    assert_int_equal(config.session.keepalive_interval_ms, 0);
    assert_int_equal(config.target_keepalive_ms, 0);
    assert_int_equal(config.session.max_frame_size, 32768);
    assert_int_equal(config.session.max_receive_buffer, 8 << 20);
    assert_int_equal(config.max_streams, 100);
    assert_int_equal(config.socket_mode, 0660);
    assert_int_equal(config.log_level, LOG_WARNING);
    assert_string_equal(config.log_file, "syslog");
}

static void nothing_is_allowed_unless_listed(void **state) {
    struct config_error error;
    struct endpoint loopback = {.family = 2, .port = 80, .addr = {127, 0, 0, 1}};
    (void)state;
    assert_true(load("[listen]\naddress = tcp://127.0.0.1:1\n", &error));
    assert_null(route_list_match_rule(&config.allow, &loopback, NULL));
    assert_null(route_list_match_rule(&config.allow, &loopback, "localhost"));
}

static struct socks5_destination target_of(const char *text) {
    char lines[200];
    struct config_error error = {""};
    struct socks5_destination destination = {0};
    snprintf(lines, sizeof lines, "[listen]\naddress = unix:///x\nhandshake = none\ntarget = %s\n",
             text);
    if (!load(lines, &error))
        fail_msg("%s", error.text);
    gateway_config_target(&config, &destination);
    return destination;
}

static void clients_that_name_no_target_have_that_of_the_file(void **state) {
    struct socks5_destination destination = target_of("192.0.2.7:22");
    char text[80];
    (void)state;
    assert_int_equal(destination.name_len, 0);
    assert_string_equal(endpoint_text(&destination.address, text, sizeof text), "192.0.2.7:22");
    destination = target_of("[2001:db8::1]:23");
    assert_int_equal(destination.name_len, 0);
    assert_string_equal(endpoint_text(&destination.address, text, sizeof text), "[2001:db8::1]:23");
    destination = target_of("db.internal:5432");
    assert_int_equal(destination.name_len, strlen("db.internal"));
    assert_string_equal(destination.name, "db.internal");
    assert_int_equal(destination.address.family, 0);
    assert_int_equal(destination.address.port, 5432);
}

static void loopback_and_unix_need_no_tls(void **state) {
    static const char *const good[] = {"tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://[::1]:1",
                                       "tcp://localhost:1", "unix:///run/x"};
    char text[200];
    struct config_error error;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "[listen]\naddress = %s\n", good[i]);
        assert_true(load(text, &error));
    }
}

#define PIN_OF_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static bool proves(const char *name, const char *kind, const char *identity) {
    struct carrier carrier = {0};
    assert_true(carrier_add_identity(&carrier, kind, identity, strlen(identity)));
    const struct client_config *client = client_config_of(config.clients, &carrier);
    return client && strcmp(client->name, name) == 0;
}

static void clients_are_recognized_by_what_they_have_proved(void **state) {
    struct config_error error = {""};
    struct carrier nobody = {0};
    (void)state;
    assert_true(load("[listen]\naddress = unix:///run/x\n"
                     "[client a]\nidentity = psk:alpha, pin:" PIN_OF_A "\nidentity = uid:1000\n"
                     "[client b.c]\nidentity = user:root cert:CN=b%2C%20c\n"
                     "allow = 10.0.0.0/8:1\nmax-streams = 3\nmax-connects-per-second = 4\n"
                     "[listen]\nworkers = 2\n",
                     &error));
    assert_int_equal(config.workers, 2);
    assert_null(client_config_of(config.clients, &nobody));
    assert_true(proves("a", "psk", "alpha"));
    assert_true(proves("a", "pin", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    assert_true(proves("a", "uid", "1000"));
    assert_true(proves("b.c", "uid", "0"));
    assert_true(proves("b.c", "cert", "CN=b, c"));
    assert_false(proves("a", "psk", "alph"));
    assert_false(proves("a", "cert", "alpha"));
    assert_false(proves("b.c", "cert", "CN=b%2C%20c"));
    const struct client_config *client = client_config_find(config.clients, "b.c");
    assert_int_equal(client->allow.n_rules, 1);
    assert_int_equal(client->max_streams, 3);
    assert_int_equal(client->max_connects_per_second, 4);
    assert_int_equal(client_config_find(config.clients, "a")->allow.n_rules, 0);
    assert_null(client_config_find(config.clients, "b"));
}

static void a_peer_with_several_names_is_the_client_of_the_first_known_one(void **state) {
    struct config_error error = {""};
    struct carrier carrier = {0};
    (void)state;
    assert_true(load("[listen]\naddress = unix:///run/x\n[client a]\nidentity = cert:a.example\n"
                     "[client b]\nidentity = cert:b.example\n",
                     &error));
    assert_true(carrier_add_identity(&carrier, "cert", "CN=both", 7));
    assert_true(carrier_add_identity(&carrier, "cert", "b.example", 9));
    assert_true(carrier_add_identity(&carrier, "cert", "a.example", 9));
    assert_string_equal(client_config_of(config.clients, &carrier)->name, "b");
}

/* A mistake and what its message must contain. */
static const struct {
    const char *text, *line;
} mistakes[] = {
    {"", "gateway.conf: no address to listen on"},
    {"[listen]\nallow = *\n", "gateway.conf: no address to listen on"},
    {"[listn]\n", "gateway.conf:1: unknown section [listn], expected [listen] or [client NAME]"},
    {"[listen]\nadress = tcp://127.0.0.1:1\n", "gateway.conf:2: unknown key \"adress\""},
    {"[listen]\naddress = ftp://127.0.0.1:1\n", "gateway.conf:2: address: expected "},
    {"[listen]\naddress = tcp://127.0.0.1:99999\n", "gateway.conf:2: address: expected "},
    {"[listen]\naddress = tcp://0.0.0.0:1\n", "open to the network without TLS"},
    {"[listen]\naddress = tcp://[::]:1\n", "open to the network without TLS"},
    {"[listen]\naddress = tcp://10.0.0.1:1\n", "open to the network without TLS"},
    {"[listen]\naddress = tcp://gw.example.net:1\n", "open to the network without TLS"},
    {"[listen]\nallow = 10.0.0.1/8:*\n", "gateway.conf:2: allow: "},
    {"[listen]\nallow = \n", "gateway.conf:2: "},
    {"[listen]\nversion = 3\n", "gateway.conf:2: version: expected auto, 1 or 2, not \"3\""},
    {"[listen]\nworkers = 0\n", "gateway.conf:2: workers: expected a number from 1 to 256"},
    {"[listen]\nworkers = 257\n", "gateway.conf:2: workers: expected a number from 1 to 256"},
    {"[listen]\ninsecure = maybe\n", "gateway.conf:2: insecure: expected yes or no"},
    {"[listen]\nconnect-timeout = 10\n", "gateway.conf:2: connect-timeout: expected a duration"},
    {"[listen]\nconnect-timeout = 0\n", "gateway.conf:2: connect-timeout: expected a duration"},
    {"[listen]\nmax-frame-size = 70000\n", "max-frame-size: expected a size from 1 to 65535"},
    {"[listen]\nmax-receive-buffer = 0\n", "max-receive-buffer: expected a size"},
    {"[listen]\nmax-streams = 0\n", "max-streams: expected a number from 1 to 1000000"},
    {"[listen]\nsocket-mode = 999\n", "socket-mode: expected an octal mode"},
    {"[listen]\nlog-format = xml\n", "log-format: expected text or json, not \"xml\""},
    {"[listen]\nlog-level = loud\n", "log-level: expected error, warn, info or debug"},
    {"[listen]\nlog-file = here\n", "log-file: expected stderr, syslog or an absolute path"},
    {"[listen]\naccess-log = stderr\n", "access-log: expected syslog or an absolute path"},
    {"[listen]\nmetrics = 9180\n",
     "gateway.conf:2: metrics: expected ADDRESS:PORT or the path of a socket, not \"9180\""},
    {"[listen]\nmetrics = 127.0.0.1:0\n", "metrics: expected ADDRESS:PORT"},
    {"[listen]\nmetrics = http://127.0.0.1:9180\n", "metrics: expected ADDRESS:PORT"},
    {"[listen]\nmetrics = ::1:9180\n", "metrics: expected ADDRESS:PORT"},
    {"[listen]\naddress = tcp://127.0.0.1:1\nkeepalive-timeout = 1s\n",
     "keepalive-timeout: expected at least keepalive-interval"},
    {"[listen]\nnonsense\n", "gateway.conf:2: "},
    {"[listen]\naccept-proxy = 10.0.0.1/8\n",
     "gateway.conf:2: accept-proxy: expected a network whose bits behind the prefix are zero"},
    {"[listen]\naccept-proxy = \n", "accept-proxy: expected networks such as 10.0.0.0/8"},
    {"[listen]\nproxy-protocol = 1\n", "proxy-protocol: expected v1 or v2, not \"1\""},
    {"[listen]\naddress = unix:///x\nproxy-protocol-to = 10.0.0.0/8\n",
     "proxy-protocol-to: expected proxy-protocol"},
    {"[client a]\nidentity = uid:1\nproxy-protocol-to = 10.0.0.0/8\n",
     "gateway.conf:1: [client a]: proxy-protocol-to: expected proxy-protocol"},
    {"[listen]\nhandshake = smux\n",
     "gateway.conf:2: handshake: expected socks5 or none, not \"smux\""},
    {"[listen]\ntarget = 10.0.0.1\n", "gateway.conf:2: target: expected HOST:PORT"},
    {"[listen]\ntarget = tcp://10.0.0.1:1\n", "gateway.conf:2: target: expected HOST:PORT"},
    {"[listen]\ntarget = 10.0.0.1:0\n", "gateway.conf:2: target: expected HOST:PORT"},
    {"[listen]\naddress = unix:///x\nhandshake = none\n",
     "gateway.conf: handshake = none: expected target = HOST:PORT as well"},
    {"[listen]\naddress = unix:///x\ntarget = 10.0.0.1:1\n",
     "gateway.conf: target: expected handshake = none as well"},
    {"[listen]\naddress = unix:///x\nhandshake = socks5\ntarget = 10.0.0.1:1\n",
     "gateway.conf: target: expected handshake = none as well"},
    {"[client]\n", "gateway.conf:1: unknown section [client], expected [listen] or [client NAME]"},
    {"[client a b]\n", "gateway.conf:1: [client a b]: expected a name of letters, digits"},
    {"[client a]\nidentity = uid:1\n\n[client a]\n",
     "gateway.conf:4: [client a]: expected one section of a name"},
    {"[client a]\nallow = *\n", "gateway.conf:1: [client a]: expected an identity"},
    {"[client a]\nidentity = \n", "gateway.conf:2: identity: expected psk:, pin:, cert:, uid: or "},
    {"[client a]\nidentity = laptop\n", "expected psk:IDENTITY, pin:sha256//BASE64, cert:NAME, "},
    {"[client a]\nidentity = psk:\n", "gateway.conf:2: identity: expected psk:IDENTITY"},
    {"[client a]\nidentity = uid:-1\n", "gateway.conf:2: identity: expected uid: and a number"},
    {"[client a]\nidentity = uid:4294967295\n", "expected uid: and a number"},
    {"[client a]\nidentity = user:no-such-user\n",
     "expected user: and a name of /etc/passwd, or uid: and a number, not \"user:no-such-user\""},
    {"[client a]\nidentity = pin:sha256//AAAA=\n",
     "expected pin:sha256// and 44 characters of base64"},
    {"[client a]\nidentity = pin:" PIN_OF_A "A\n", "44 characters of base64"},
    {"[client a]\nidentity = psk:x\n[client b]\nidentity = psk:y\n\tpsk:x\n",
     "gateway.conf:3: [client b]: psk:x is an identity of [client a] already"},
    {"[client a]\nidentity = psk:1 psk:2 psk:3 psk:4 psk:5 psk:6 psk:7 psk:8 psk:9\n"
     "identity = psk:10 psk:11 psk:12 psk:13 psk:14 psk:15 psk:16 psk:17\n",
     "gateway.conf:3: identity: expected at most 16"},
    {"[client a]\nallow = 10.0.0.1/8:*\n", "gateway.conf:2: allow: "},
    {"[client a]\nmax-streams = 0\n", "max-streams: expected a number from 1 to 1000000"},
    {"[client a]\nversion = 1\n",
     "unknown key \"version\" in [client a], expected one of identity"},
};

static void each_error_gets_one_line_that_says_what_was_expected(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct config_error error = {""};
        assert_false(load(mistakes[i].text, &error));
        if (!strstr(error.text, mistakes[i].line))
            fail_msg("\"%s\" gives \"%s\", expected \"%s\"", mistakes[i].text, error.text,
                     mistakes[i].line);
        assert_null(strchr(error.text, '\n'));
    }
}

static void an_unknown_key_gets_the_list_of_all_that_exist(void **state) {
    const struct key *last = gateway_config_keys;
    struct config_error error;
    (void)state;
    while (last[1].name)
        last++;
    assert_false(load("[listen]\nan-unknown-key-with-a-name-of-forty-letters = 1\n", &error));
    assert_non_null(strstr(error.text, "an-unknown-key-with-a-name-of-forty-lett"));
    assert_non_null(strstr(error.text, "expected one of address, allow, handshake, "));
    assert_string_equal(error.text + strlen(error.text) - strlen(last->name), last->name);
}

static void nine_addresses_are_too_many(void **state) {
    char text[1000] = "[listen]\naddress = ";
    struct config_error error;
    (void)state;
    for (int i = 1; i <= GATEWAY_ADDRESSES_MAX + 1; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "tcp://127.0.0.1:%d ", i);
    assert_false(load(text, &error));
    assert_non_null(strstr(error.text, "at most 8 addresses"));
}

static void insecure_allows_any_address(void **state) {
    struct config_error error;
    (void)state;
    assert_true(load("[listen]\naddress = tcp://0.0.0.0:1\ninsecure = yes\n", &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_configuration_is_accepted),
        cmocka_unit_test(nothing_is_allowed_unless_listed),
        cmocka_unit_test(clients_that_name_no_target_have_that_of_the_file),
        cmocka_unit_test(loopback_and_unix_need_no_tls),
        cmocka_unit_test(clients_are_recognized_by_what_they_have_proved),
        cmocka_unit_test(a_peer_with_several_names_is_the_client_of_the_first_known_one),
        cmocka_unit_test(each_error_gets_one_line_that_says_what_was_expected),
        cmocka_unit_test(an_unknown_key_gets_the_list_of_all_that_exist),
        cmocka_unit_test(nine_addresses_are_too_many),
        cmocka_unit_test(insecure_allows_any_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
