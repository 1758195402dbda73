/* SPDX-License-Identifier: MIT */
/* The tables of keys: each key is changed in turn, as by a file, and a reload must detect that key
 * and no other; the manual agrees with the tables on which keys need a restart. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/config.h"
#include "helper/client/upstreams.h"
#include "helper/gateway/gateway_config.h"

/* One of these is a value for any key, and not its default. */
static const char *const values[] = {
    "3",           "1",
    "2",           "7s",
    "9m",          "no",
    "yes",         "0640",
    "debug",       "tcp://192.0.2.1:9",
    "/x/y/z",      "/x/smuxshim-helper.sock",
    "10.9.0.0/16", "fd00:9::/64",
    "somebody",    "psk:laptop",
    "log",         "json",
    "random",      "192.0.2.1",
    "none",        "db.internal:5432",
    "v2",          "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="};

/* Sets a key to a value different from its present one. */
static void change(const struct key *keys, const struct key *key, void *section) {
    struct ini_error error;
    static char before[sizeof(struct gateway_config) + sizeof(struct client_config)];
    size_t size = key->offset + key->size;
    assert_true(size <= sizeof before);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        memcpy(before, section, size);
        if (keys_set(keys, section, key->name, values[i], "", &error) &&
            memcmp(before + key->offset, (char *)section + key->offset, key->size) != 0)
            return;
    }
    fail_msg("%s: no value to change it to: %s", key->name, error.text);
}

static void alone(const struct key *keys, const struct key *key, const void *a, const void *b) {
    const struct key *found = keys_changed(keys, a, b);
    if (found != key)
        fail_msg("%s has changed: a reload sees %s", key->name, found ? found->name : "nothing");
    assert_null(keys_changed(key + 1, a, b));
    assert_ptr_equal(keys_changed(keys, b, a), key);
}

static void each_key_of_a_helper_and_of_names_is_seen(void **state) {
    static struct config plain, changed;
    unsigned count = 0;
    (void)state;
    config_init(&plain);
    for (const struct key *key = config_helper_keys; key->name; key++, count++) {
        config_init(&changed);
        assert_null(keys_changed(config_helper_keys, &plain.helper, &changed.helper));
        change(config_helper_keys, key, &changed.helper);
        alone(config_helper_keys, key, &plain.helper, &changed.helper);
    }
    for (const struct key *key = config_names_keys; key->name; key++, count++) {
        config_init(&changed);
        assert_null(keys_changed(config_names_keys, &plain.names, &changed.names));
        change(config_names_keys, key, &changed.names);
        alone(config_names_keys, key, &plain.names, &changed.names);
    }
    assert_true(count >= 14);
}

static void each_key_of_a_gateway_process_is_seen(void **state) {
    static struct gateway_config plain, changed;
    unsigned count = 0;
    (void)state;
    gateway_config_init(&plain);
    for (const struct key *key = gateway_config_keys; key->name; key++, count++) {
        gateway_config_init(&changed);
        assert_null(keys_changed(gateway_config_keys, &plain, &changed));
        change(gateway_config_keys, key, &changed);
        alone(gateway_config_keys, key, &plain, &changed);
    }
    assert_true(count >= 24);
}

static void each_key_of_a_client_is_seen(void **state) {
    static struct client_config plain, changed;
    unsigned count = 0;
    (void)state;
    for (const struct key *key = client_config_keys; key->name; key++, count++) {
        memset(&changed, 0, sizeof changed);
        assert_null(keys_changed(client_config_keys, &plain, &changed));
        change(client_config_keys, key, &changed);
        alone(client_config_keys, key, &plain, &changed);
    }
    assert_true(count >= 5);
}

static void load(struct config *config) {
    static const char text[] = "[gateway main]\naddress = tcp://gw.example.net:1\n"
                               "[gateway other]\naddress = tcp://gw.example.net:2\n"
                               "[route all]\ndestinations = 10.0.0.0/8\n";
    struct config_error error;
    config_init(config);
    assert_true(config_parse(config, "smuxshim.conf", text, sizeof text - 1, &error));
}

/* A gateway keeps its sessions over a reload if and only if none of its keys has changed. */
static void each_key_of_a_gateway_gives_its_sessions_up(void **state) {
    static struct config plain, changed;
    struct reactor reactor;
    unsigned count = 0;
    (void)state;
    assert_int_equal(reactor_init(&reactor), 0);
    load(&plain);
    for (const struct key *key = config_gateway_keys; key->name; key++, count++) {
        struct upstreams upstreams = {0};
        for (int i = 0; i < plain.n_gateways; i++)
            assert_non_null(upstreams.to[i] = upstreams_make(&reactor, NULL, &plain, i));
        struct upstream *other = upstreams.to[1];
        load(&changed);
        upstreams_follow(&upstreams, &plain, &changed);
        assert_non_null(upstreams.to[0]);
        assert_ptr_equal(upstreams.to[1], other);
        change(config_gateway_keys, key, &changed.gateway[0]);
        alone(config_gateway_keys, key, &plain.gateway[0], &changed.gateway[0]);
        upstreams_follow(&upstreams, &plain, &changed);
        if (upstreams.to[0])
            fail_msg("%s has changed: its sessions are kept", key->name);
        assert_ptr_equal(upstreams.to[1], other);
        upstreams_free(&upstreams);
    }
    reactor_fini(&reactor);
    assert_true(count >= 15);
}

/* The entries of the page that need a restart are those of the table. */
static void the_manual_says_which_keys_need_a_restart(void **state) {
    bool said[64] = {0};
    const struct key *key = NULL;
    char line[300], name[64];
    glob_t found;
    (void)state;
    assert_int_equal(glob("helper/*/smux-gateway.conf.5.scd", 0, NULL, &found), 0);
    FILE *page = fopen(found.gl_pathv[0], "re");
    assert_non_null(page);
    globfree(&found);
    while (fgets(line, sizeof line, page)) {
        if (sscanf(line, "*%63[a-z-]* = ", name) == 1)
            for (key = gateway_config_keys; key->name && strcmp(key->name, name) != 0;)
                key++;
        if (key && key->name && (strstr(line, "eeds a restart.")))
            said[key - gateway_config_keys] = true;
    }
    fclose(page);
    for (key = gateway_config_keys; key->name; key++)
        if (said[key - gateway_config_keys] != key->restart)
            fail_msg("%s: the manual says that it %s a restart", key->name,
                     key->restart ? "needs no" : "needs");
}

/* A default is a text that is read as a file's would be. */
static void every_default_is_a_value(void **state) {
    static const struct key *const tables[] = {config_gateway_keys, config_helper_keys,
                                               config_names_keys, gateway_config_keys,
                                               client_config_keys};
    static char section[sizeof(struct gateway_config) + sizeof(struct client_config)];
    struct ini_error error;
    (void)state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct key *key = tables[i]; key->name; key++) {
            assert_true(key->offset + key->size <= sizeof section);
            if (key->by_default &&
                !keys_set(tables[i], section, key->name, key->by_default, "", &error))
                fail_msg("%s", error.text);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_of_a_helper_and_of_names_is_seen),
        cmocka_unit_test(each_key_of_a_gateway_process_is_seen),
        cmocka_unit_test(each_key_of_a_client_is_seen),
        cmocka_unit_test(each_key_of_a_gateway_gives_its_sessions_up),
        cmocka_unit_test(the_manual_says_which_keys_need_a_restart),
        cmocka_unit_test(every_default_is_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
