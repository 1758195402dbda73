/* SPDX-License-Identifier: MIT */
/* /etc/hosts as the gateway reads it: what a line means, and that a change counts at once. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/net/hosts.h"

static char path[] = "/tmp/smuxshim-hosts.XXXXXX";

static int make_file(void **state) {
    int fd = mkstemp(path);
    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

/* Puts another file in its place, as editors do. */
static void replace(const char *text) {
    char other[sizeof path + 4];
    snprintf(other, sizeof other, "%s.new", path);
    FILE *file = fopen(other, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(other, path), 0);
}

/* The addresses of a name, as text with commas. */
static const char *found(const struct hosts *hosts, const char *name) {
    static char out[400];
    struct endpoint addresses[4];
    char text[INET6_ADDRSTRLEN];
    int count = hosts_find(hosts, name, addresses, 4);
    size_t len = 0;
    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        inet_ntop(addresses[i].family, addresses[i].addr, text, sizeof text);
        len += (size_t)snprintf(out + len, sizeof out - len, "%s%s", i ? "," : "", text);
        assert_int_equal(addresses[i].port, 0);
    }
    return out;
}

static void names_of_a_line(void **state) {
    struct hosts hosts = {0};
    (void)state;
    replace("# 10.0.0.9 comment\n"
            "10.0.0.1\tone first  # uno\n"
            "  10.0.0.2 two\r\n"
            "2001:db8::1 one\n"
            "10.0.0.3 one\n"
            "nonsense broken\n"
            "fe80::1%eth0 scoped\n"
            "10.0.0.300 large\n"
            "10.0.0.4\n"
            "\n"
            "10.0.0.5 last");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "one"), "10.0.0.1,2001:db8::1,10.0.0.3");
    assert_string_equal(found(&hosts, "ONE."), "10.0.0.1,2001:db8::1,10.0.0.3");
    assert_string_equal(found(&hosts, "first"), "10.0.0.1");
    assert_string_equal(found(&hosts, "two"), "10.0.0.2");
    assert_string_equal(found(&hosts, "last"), "10.0.0.5");
    static const char *const none[] = {"comment", "uno", "on",       "onee", "broken", "scoped",
                                       "large",   "#",   "10.0.0.1", "",     "."};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_string_equal(found(&hosts, none[i]), "");
    hosts_fini(&hosts);
}

static void a_name_with_many_addresses_gives_as_many_as_there_is_room(void **state) {
    struct hosts hosts = {0};
    (void)state;
    replace("10.0.0.1 x\n10.0.0.2 x\n10.0.0.3 x\n10.0.0.4 x\n10.0.0.5 x\n");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "x"), "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4");
    hosts_fini(&hosts);
}

static void localhost_is_loopback_unless_the_file_says_otherwise(void **state) {
    struct hosts hosts = {0};
    (void)state;
    replace("10.0.0.1 one\n");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "localhost"), "127.0.0.1,::1");
    assert_string_equal(found(&hosts, "a.LOCALHOST."), "127.0.0.1,::1");
    assert_string_equal(found(&hosts, "notlocalhost"), "");
    replace("127.0.0.2 localhost\n");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "localhost"), "127.0.0.2");
    hosts_fini(&hosts);
    assert_string_equal(found(&hosts, "localhost"), "127.0.0.1,::1");
}

static void a_change_counts_at_the_next_look(void **state) {
    struct hosts hosts = {0};
    (void)state;
    replace("10.0.0.1 one\n");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "one"), "10.0.0.1");
    const char *same = hosts.text;
    hosts_update(&hosts, path);
    assert_ptr_equal(hosts.text, same);
    replace("10.0.0.2 one\n");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "one"), "10.0.0.2");
    FILE *file = fopen(path, "ae"); /* and in its place */
    fputs("10.0.0.3 one\n", file);
    assert_int_equal(fclose(file), 0);
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "one"), "10.0.0.2,10.0.0.3");
    hosts_update(&hosts, "/nowhere/hosts");
    assert_string_equal(found(&hosts, "one"), "");
    hosts_update(&hosts, path);
    assert_string_equal(found(&hosts, "one"), "10.0.0.2,10.0.0.3");
    hosts_fini(&hosts);
}

/* The order of a file with this text: "f" files, "b" name servers. */
static const char *order_of(const char *text) {
    replace(text);
    struct hosts_order order = hosts_order_read(path);
    if (!order.files || !order.servers)
        return order.files ? "f" : "b";
    return order.files_first ? "fb" : "bf";
}

static void the_order_of_hosts_and_name_servers_is_that_of_nsswitch(void **state) {
    (void)state;
    assert_string_equal(order_of("passwd: files\nhosts: files dns\nnetworks: files\n"), "fb");
    assert_string_equal(order_of("hosts:\tfiles mymachines [!UNAVAIL=return] resolve\n"), "fb");
    assert_string_equal(order_of(" HOSTS: dns files\n"), "bf");
    assert_string_equal(order_of("hosts:files"), "f");
    assert_string_equal(order_of("hosts: files # dns\n"), "f");
    assert_string_equal(order_of("hosts: mymachines dns\n"), "b");
    assert_string_equal(order_of("hosts: wins\n"), "fb");
    assert_string_equal(order_of("# hosts: dns\nnothosts: dns\n"), "fb");
    assert_string_equal(order_of(""), "fb");
    assert_true(hosts_order_read("/nonexistent").files_first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_a_line),
        cmocka_unit_test(a_name_with_many_addresses_gives_as_many_as_there_is_room),
        cmocka_unit_test(localhost_is_loopback_unless_the_file_says_otherwise),
        cmocka_unit_test(a_change_counts_at_the_next_look),
        cmocka_unit_test(the_order_of_hosts_and_name_servers_is_that_of_nsswitch),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
