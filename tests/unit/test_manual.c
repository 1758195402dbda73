/* SPDX-License-Identifier: MIT */
/* The defaults in the manual pages of the configurations are those of the code: setting a key to
 * what its page calls the default changes nothing. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/config.h"
#include "helper/gateway/gateway_config.h"

/* A key of a page, with the section that it stands in. */
struct entry {
    char section[64], key[64], value[64];
};

static FILE *open_page(const char *name) {
    char pattern[100];
    glob_t found;
    snprintf(pattern, sizeof pattern, "{shim,helper,core}{,/*}/%s.scd", name);
    if (glob(pattern, GLOB_BRACE, NULL, &found) != 0)
        fail_msg("no %s below the working directory, expected to run in the root of the tree",
                 pattern);
    FILE *page = fopen(found.gl_pathv[0], "re");
    assert_non_null(page);
    globfree(&found);
    return page;
}

/* Finds the next default that is a value, and not a description. */
static bool next_default(FILE *page, struct entry *entry) {
    char line[300];
    while (fgets(line, sizeof line, page)) {
        sscanf(line, "# [%63[^]]", entry->section);
        sscanf(line, "*%63[a-z0-9-]* = ", entry->key);
        int end = 0;
        sscanf(line, "\tDefault: *%63[^*]*.%n", entry->value, &end);
        if (end > 0)
            return true;
    }
    return false;
}

static void parse(struct config *config, const char *text, const struct entry *entry) {
    struct config_error error;
    config_init(config);
    if (!config_parse(config, "smuxshim.conf", text, strlen(text), &error))
        fail_msg("[%s] %s = %s: %s", entry->section, entry->key, entry->value, error.text);
}

static void smuxshim_conf(void **state) {
    static const char base[] =
        "[helper]\n[names]\n[gateway NAME]\naddress = tcp://gw.example.net:1\n"
        "[gateway main]\naddress = tcp://gw.example.net:1\n"
        "[route NAME]\ndestinations = 10.0.0.0/8\n"
        "[socks]\nlisten = 127.0.0.1:1080\n"
        "[forward NAME]\nlisten = 127.0.0.1:1081\ndestination = db.internal:1\n";
    static struct config plain, changed;
    struct entry entry = {0};
    char text[800];
    unsigned count = 0;
    FILE *page = open_page("smuxshim.conf.5");
    (void)state;
    for (; next_default(page, &entry); count++) {
        char header[80];
        snprintf(header, sizeof header, "[%s]\n", entry.section);
        const char *at = strstr(base, header);
        assert_non_null(at);
        at += strlen(header);
        snprintf(text, sizeof text, "%.*s%s = %s\n%s", (int)(at - base), base, entry.key,
                 entry.value, at);
        parse(&plain, base, &entry);
        parse(&changed, text, &entry);
        if (memcmp(&plain, &changed, sizeof plain) != 0)
            fail_msg("[%s] %s: the default is not %s", entry.section, entry.key, entry.value);
    }
    fclose(page);
    assert_true(count >= 20);
}

static void smux_gateway_conf(void **state) {
    static struct gateway_config plain, changed;
    struct entry entry = {0};
    struct config_error error;
    unsigned count = 0;
    FILE *page = open_page("smux-gateway.conf.5");
    (void)state;
    for (; next_default(page, &entry); count++) {
        gateway_config_init(&plain);
        gateway_config_init(&changed);
        if (!gateway_config_set(&changed, entry.key, entry.value, &error))
            fail_msg("%s = %s: %s", entry.key, entry.value, error.text);
        if (memcmp(&plain, &changed, sizeof plain) != 0)
            fail_msg("%s: the default is not %s", entry.key, entry.value);
    }
    fclose(page);
    assert_true(count >= 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smuxshim_conf),
        cmocka_unit_test(smux_gateway_conf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
