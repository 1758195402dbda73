/* SPDX-License-Identifier: MIT */
/* smuxshim.conf: keys, mistakes with their lines, and which source wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/common/config.h"
#include "core/common/ini.h"

static struct config config;
static struct config_error error;

static void parse(const char *text) {
    config_init(&config);
    if (!config_parse(&config, "test.conf", text, strlen(text), &error))
        fail_msg("%s", error.text);
}

static void refused(const char *text, const char *where, const char *why) {
    config_init(&config);
    if (config_parse(&config, "test.conf", text, strlen(text), &error))
        fail_msg("accepted: %s", text);
    if (strncmp(error.text, where, strlen(where)) != 0 || !strstr(error.text, why) ||
        strchr(error.text, '\n'))
        fail_msg("expected %s and \"%s\" in: %s", where, why, error.text);
}

#define MAIN "[gateway main]\naddress = tcp://10.0.0.1:7443\n"

static void everything_can_be_set(void **state) {
    char text[300];
    (void)state;
    parse("\xef\xbb\xbf# a comment\n"
          "[gateway  far ]\n"
          "address = tcp://gw.example.net:7443, unix:///run/gw.sock   ; two\n"
          "    tls://[2001:db8::1]:443\n"
          "version = 1\nconnections = 4\nkeepalive-interval = 0\nmax-frame-size = 32k\n"
          "psk = /etc/secret # not here\n"
          "\r\n"
          "[route  db]\r\n"
          "  destinations = 10.0.0.0/8:5432,\n"
          "     10.1.2.3\n"
          "  gateway = far\n"
          "[helper]\n"
          "socket = /run/x/smuxshim-helper.sock\nsocket-mode = 0666\n"
          "allow-users = www-data  1000,root\nautostart = no\nlog-level = debug\nlog-format = "
          "json\nmax-streams = 7\n");
    const struct config_gateway *gateway = config_gateway(&config, "far");
    assert_non_null(gateway);
    assert_int_equal(gateway->n_addresses, 3);
    assert_string_equal(config_address_text(&gateway->address[0], text, sizeof text),
                        "tcp://gw.example.net:7443");
    assert_string_equal(config_address_text(&gateway->address[1], text, sizeof text),
                        "unix:///run/gw.sock");
    assert_string_equal(config_address_text(&gateway->address[2], text, sizeof text),
                        "tls://[2001:db8::1]:443");
    assert_int_equal(gateway->session.version, 1);
    assert_int_equal(gateway->connections, 4);
    assert_int_equal(gateway->session.keepalive_interval_ms, 0);
    assert_int_equal(gateway->session.max_frame_size, 32768);
    assert_string_equal(gateway->psk, "/etc/secret");
    assert_int_equal(config.routes.n_rules, 2);
    assert_string_equal(config.routes.route[0].name, "db");
    assert_int_equal(config.helper.socket_mode, 0666);
    assert_string_equal(config.helper.allow_users, "www-data,1000,root");
    assert_false(config.helper.autostart);
    assert_int_equal(config.helper.log_level, CONFIG_LOG_DEBUG);
    assert_int_equal(config.helper.log_format, CONFIG_LOG_JSON);
    assert_int_equal(config.helper.max_streams, 7);
}

static void defaults(void **state) {
    (void)state;
    parse(MAIN);
    assert_int_equal(config.gateway[0].session.version, 2);
    assert_int_equal(config.gateway[0].connections, 1);
    assert_int_equal(config.gateway[0].session.keepalive_interval_ms, 10000);
    assert_int_equal(config.helper.socket_mode, 0600);
    assert_true(config.helper.autostart);
}

static void mistakes_name_file_line_and_expectation(void **state) {
    (void)state;
    refused("hello", "test.conf:1: ", "KEY = VALUE");
    refused("\n\n[route", "test.conf:3: ", "section header");
    refused("[gateway]\n", "test.conf:1: ", "[gateway NAME]");
    refused("[gateway a b]\n", "test.conf:1: ", "gateway name");
    refused("a = b\n", "test.conf:1: ", "before \"a\"");
    refused(MAIN "\nport = 3\n", "test.conf:4: ", "unknown key \"port\"");
    refused(MAIN "[helper]\nport = 3\n",
            "test.conf:4: ", ", max-streams, max-streams-per-user, max-memory, metrics");
    refused(
        MAIN "\nport = 3\n", "test.conf:4: ",
        ", max-stream-buffer, stalled-reader-timeout, psk, pin, ca, crl, server-name, cert, key");
    refused(MAIN "[helper]\nsocket = relative\n", "test.conf:4: ", "absolute path");
    refused(MAIN "connections = 65\n", "test.conf:3: ", "1 to 64");
    refused(MAIN "keepalive-timeout = 1s\n", "test.conf:1: ", "not below keepalive-interval");
    refused(MAIN "max-stream-buffer = 1g\n", "test.conf:1: ", "max-stream-buffer");
    refused(MAIN "cert = /x\n", "test.conf:1: ", "expected key with cert");
    refused(MAIN MAIN, "test.conf:3: ", "second");
    refused(MAIN "[route r]\n", "test.conf:3: ", "expected destinations");
    refused("[route r]\ndestinations = *\ngateway = g\n", "test.conf:1: ", "there is none");
    refused("[gateway main]\naddress = tcp://x:1,\n  tcp://y:z\n", "test.conf:2: ", "tcp://y:z");
    refused("[gateway main]\naddress =\n", "test.conf:2: ", "tcp://HOST:PORT");
    refused("[gateway main]\naddress = srv+tls://gw.example\n",
            "test.conf:2: ", "srv+tls://_NAME._tcp.DOMAIN, not \"srv+tls://gw.example\"");
    refused("[gateway main]\naddress = srv+tls://_smux._tcp.x:1\n",
            "test.conf:2: ", "srv+tls://_N");
    refused("[gateway main]\naddress = srv+unix://_smux._tcp.x\n", "test.conf:2: ", "srv+tls://_N");
    refused("[gateway main]\naddress = srv+tls://_smux._tcp.\n", "test.conf:2: ", "srv+tls://_N");
    refused("[gateway main]\nbalance = round-robin\n",
            "test.conf:2: ", "first, least-streams or random, not \"round-robin\"");
    refused("[gateway main]\naddress = tcp://x:1\nttl-min = 2s\nttl-max = 1s\n",
            "test.conf:1: ", "ttl-max not below ttl-min");
    refused("[helper]\nresolver = ns.example\n",
            "test.conf:2: ", "ADDRESS or ADDRESS:PORT of name servers, not \"ns.example\"");
    refused("[helper]\nresolver =\n", "test.conf:2: ", "of name servers");
    refused("[gateway main]\naddress = tcp://x:1 tcp://x:2 tcp://x:3 tcp://x:4 tcp://x:5 tcp://x:6 "
            "tcp://x:7 tcp://x:8 tcp://x:9\n",
            "test.conf:2: ", "at most 8");
}

#define ROUTE "[route r]\ndestinations = *.internal, 10.0.0.1:80\n"

static void ranges_for_names(void **state) {
    char text[NAME_RANGES_TEXT_SIZE];
    (void)state;
    parse(MAIN);
    assert_string_equal(name_ranges_text(&config.names.ranges, text, sizeof text),
                        NAME_RANGE_DEFAULT_V4 "," NAME_RANGE_DEFAULT_V6);
    assert_int_equal(config.names.max_per_user, 8192);
    parse("[names]\nipv4 = 10.9.0.0/16\nipv6 = fd00::/64\nmax-per-user = 3\n" MAIN ROUTE);
    assert_string_equal(name_ranges_text(&config.names.ranges, text, sizeof text),
                        "10.9.0.0/16,fd00::/64");
    assert_int_equal(config.names.max_per_user, 3);
    refused("[names]\nipv4 = fd00::/64\n", "test.conf:2: ", "ipv4: expected an IPv4 network");
    refused("[names]\nipv6 = 10.0.0.0/8\n", "test.conf:2: ", "ipv6: expected an IPv6 network");
    refused("[names]\nipv4 = 10.0.0.0/30\n", "test.conf:2: ", "prefix length from 8 to 28");
    refused("[names]\n\nipv6 = ::/64\n", "test.conf:3: ", "loopback");
    refused("[names]\nipv4 = 10.9.1.0/16\n", "test.conf:2: ", "bits set after");
    refused("[names]\nmax-per-user = 0\n", "test.conf:2: ", "1 to 65536");
    refused("[names]\nipv5 = 1\n", "test.conf:2: ", "ipv4, ipv6, max-per-user");
    /* An address in the range cannot be a destination, unless no route matches by name. */
    refused(MAIN ROUTE "[names]\nipv4 = 10.0.0.0/24\n", "test.conf:3: ", "\"10.0.0.1:80\" lies in");
    refused(MAIN "[route r]\ndestinations = x.y, [fd73:6d78:7368::/65]\n",
            "test.conf:3: ", "expected another destination, or another range");
    parse(MAIN "[route r]\ndestinations = 198.18.0.0/16, [fd73:6d78:7368::1]:80\n");
    parse(MAIN "[route r]\ndestinations = *.internal, 198.0.0.0/8, 0.0.0.0/0\n");
}

static void binary_is_refused(void **state) {
    static const char text[] = MAIN "[route \0 r]\n";
    (void)state;
    config_init(&config);
    assert_false(config_parse(&config, "test.conf", text, sizeof text - 1, &error));
    assert_non_null(strstr(error.text, "test.conf:3: "));
}

/* Every prefix of a good file either parses or is refused with a message; nothing is read behind
 * it. */
static void every_prefix_is_handled(void **state) {
    static const char text[] =
        MAIN "[route r]\ndestinations = 10.0.0.0/8:1-2, *.x\n connect = eager\n"
             "[helper]\nallow-users = a, b\n  c\nlog-level = info ; x\n";
    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, text, len);
        config_init(&config);
        error.text[0] = '\0';
        if (!config_parse(&config, "test.conf", copy, len, &error))
            assert_true(strlen(error.text) > strlen("test.conf:1: "));
        free(copy);
    }
}

static void the_environment_replaces_a_file(void **state) {
    (void)state;
    setenv("XDG_CONFIG_HOME", "/nonexisting", 1);
    unsetenv("SMUXSHIM_CONFIG");
    setenv("SMUXSHIM_ROUTES", "10.0.0.1:80", 1);
    setenv("SMUXSHIM_GATEWAY", "unix:///run/gw", 1);
    assert_true(config_load(&config, &error));
    assert_true(config_check_gateways(&config, &error));
    assert_string_equal(config.routes.route[0].gateway, "main");
    unsetenv("SMUXSHIM_GATEWAY");
    assert_true(config_load(&config, &error));
    assert_false(config_check_gateways(&config, &error));
    assert_non_null(strstr(error.text, "[gateway main]"));
    setenv("SMUXSHIM_ROUTES", "10.0.0.1:x", 1);
    assert_false(config_load(&config, &error));
    assert_non_null(strstr(error.text, "SMUXSHIM_ROUTES: "));
    /* The command line wins over the environment. */
    assert_true(config_load_with(&config, NULL, "tcp://h:1", "10.0.0.2", &error));
    assert_true(config_check_gateways(&config, &error));
    unsetenv("SMUXSHIM_ROUTES");
    setenv("SMUXSHIM_NAMES", "10.7.0.0/16", 1);
    assert_true(config_load_with(&config, NULL, "tcp://h:1", "a.internal", &error));
    assert_int_equal(config.names.ranges.v4.addr[1], 7);
    assert_false(config_load_with(&config, NULL, "tcp://h:1", "a.internal,10.7.1.1", &error));
    assert_non_null(strstr(error.text, "lies in 10.7.0.0/16"));
    setenv("SMUXSHIM_NAMES", "10.7.0.0/16,10.8.0.0/16", 1);
    assert_false(config_load(&config, &error));
    assert_non_null(strstr(error.text, "SMUXSHIM_NAMES: expected at most one network of each"));
    unsetenv("SMUXSHIM_NAMES");
}

static const char *socket_of(const char *gateway, const char *routes) {
    static char socket[sizeof config.helper.socket];
    config.helper.socket[0] = '\0';
    config_own_socket(&config, gateway, routes);
    return strcpy(socket, config.helper.socket);
}

static void every_configuration_has_a_separate_helper(void **state) {
    char first[sizeof config.helper.socket], runtime[] = "/tmp/smuxshim-unit-XXXXXX", longer[100];
    (void)state;
    unsetenv("SMUXSHIM_SOCKET");
    assert_non_null(mkdtemp(runtime));
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    setenv("XDG_CONFIG_HOME", "/home/u", 1);
    config_init(&config);
    assert_string_equal(socket_of(NULL, NULL), "");
    strcpy(first, socket_of("tcp://h:1", "10.0.0.1"));
    assert_memory_equal(first, runtime, strlen(runtime));
    assert_memory_equal(first + strlen(runtime), "/smuxshim/", 10);
    assert_string_equal(first + strlen(runtime) + 10 + 16, "/smuxshim-helper.sock");
    assert_string_equal(socket_of("tcp://h:1", "10.0.0.1"), first);
    assert_string_not_equal(socket_of("tcp://h:2", "10.0.0.1"), first);
    assert_string_not_equal(socket_of("tcp://h:1", "10.0.0.2"), first);
    strcpy(first, socket_of("tcp://h:1", NULL));
    assert_string_not_equal(socket_of(NULL, "tcp://h:1"), first);
    /* The usual files share one helper; any other file has a separate one. */
    strcpy(config.file, "/etc/smuxshim/smuxshim.conf");
    assert_string_equal(socket_of(NULL, NULL), "");
    strcpy(config.file, "/home/u/smuxshim/smuxshim.conf");
    assert_string_equal(socket_of(NULL, NULL), "");
    strcpy(config.file, "/home/u/other.conf");
    strcpy(first, socket_of(NULL, NULL));
    assert_string_not_equal(first, "");
    strcpy(config.file, "/home/u/third.conf");
    assert_string_not_equal(socket_of(NULL, NULL), first);
    /* A path from the file is kept; no path that is too long for a socket is made. */
    strcpy(config.helper.socket, "/a/smuxshim-helper.sock");
    config_own_socket(&config, "tcp://h:1", NULL);
    assert_string_equal(config.helper.socket, "/a/smuxshim-helper.sock");
    snprintf(longer, sizeof longer, "%s/a-folder-with-a-name-that-is-long-enough-to-leave-no-room",
             runtime);
    assert_int_equal(mkdir(longer, 0700), 0);
    setenv("XDG_RUNTIME_DIR", longer, 1);
    assert_string_equal(socket_of(NULL, NULL), "");
    unsetenv("XDG_RUNTIME_DIR");
    rmdir(longer);
    rmdir(runtime);
}

static void files(void **state) {
    char path[] = "/tmp/smuxshim-unit-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, MAIN, strlen(MAIN)), (int)strlen(MAIN));
    close(fd);
    setenv("SMUXSHIM_CONFIG", path, 1);
    assert_true(config_load(&config, &error));
    assert_int_equal(config.n_gateways, 1);
    assert_string_equal(config.file, path);
    unlink(path);
    assert_false(config_load(&config, &error));
    assert_non_null(strstr(error.text, path));
    config_init(&config);
    assert_false(config_read(&config, "/", &error));
    assert_non_null(strstr(error.text, "/: "));
    unsetenv("SMUXSHIM_CONFIG");
}

static void values(void **state) {
    uint32_t number = 77;
    bool flag = false;
    (void)state;
    assert_true(ini_duration_ms("1h", &number) && number == 3600000);
    assert_true(ini_duration_ms("0", &number) && number == 0);
    assert_false(ini_duration_ms("5", &number));
    assert_false(ini_duration_ms("s", &number));
    assert_false(ini_duration_ms("99999999h", &number));
    assert_false(ini_duration_ms("1 s", &number));
    assert_true(ini_size("1m", &number) && number == 1048576);
    assert_false(ini_size("4g", &number));
    assert_false(ini_size("-1", &number));
    assert_true(ini_mode("0660", &number) && number == 0660);
    assert_false(ini_mode("1000", &number));
    assert_false(ini_mode("77777777777777", &number));
    assert_true(ini_bool("on", &flag) && flag);
    assert_false(ini_bool("On", &flag));
    assert_false(ini_number("5x", 0, 9, &number));
    assert_false(ini_number("99999999999999999999", 0, UINT32_MAX, &number));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_can_be_set),
        cmocka_unit_test(defaults),
        cmocka_unit_test(mistakes_name_file_line_and_expectation),
        cmocka_unit_test(ranges_for_names),
        cmocka_unit_test(binary_is_refused),
        cmocka_unit_test(every_prefix_is_handled),
        cmocka_unit_test(the_environment_replaces_a_file),
        cmocka_unit_test(every_configuration_has_a_separate_helper),
        cmocka_unit_test(files),
        cmocka_unit_test(values),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
