/* SPDX-License-Identifier: MIT */
/* The helper's table of names: assigned addresses stay valid, whatever happens to the process or
 * its files. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/client/name_file.h"
#include "helper/client/name_table.h"

#define OWNER 1000

static char folder[64], socket_path[100], file[100], next_file[100];
static struct config_names config;
static struct name_table *names;

static void open_names(void) {
    name_table_free(names);
    names = name_table_new(socket_path, &config, OWNER);
    assert_non_null(names);
}

static int setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/test_name_table.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/smuxshim-helper.sock", folder);
    snprintf(file, sizeof file, "%s/" NAME_FILE, folder);
    snprintf(next_file, sizeof next_file, "%s/" NAME_FILE ".next", folder);
    config.max_per_user = 8192;
    name_ranges_default(&config.ranges);
    open_names();
    return 0;
}

static int teardown(void **state) {
    char other[120];
    (void)state;
    name_table_free(names);
    names = NULL;
    unlink(file);
    unlink(next_file);
    snprintf(other, sizeof other, "%s.new", file);
    unlink(other);
    return rmdir(folder);
}

/* The address as text, or the errno's name. */
static const char *give_to(uid_t uid, const char *name, int family) {
    static char text[4][INET6_ADDRSTRLEN];
    static int turn;
    struct endpoint address;
    int error = name_table_give(names, uid, name, family, &address);
    if (error)
        return strerrorname_np(-error);
    turn = (turn + 1) % 4;
    return inet_ntop(family, address.addr, text[turn], sizeof text[turn]);
}

static const char *give(const char *name) {
    return give_to(OWNER, name, AF_INET);
}

static const char *find(const char *ip) {
    struct endpoint address = {.family = strchr(ip, ':') ? AF_INET6 : AF_INET, .port = 7};
    assert_int_equal(inet_pton(address.family, ip, address.addr), 1);
    const char *name = name_table_find(names, &address);
    return name ? name : "(none)";
}

static char *contents(const char *path, size_t *len) {
    char *bytes = calloc(1, 100000);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    *len = fread(bytes, 1, 99999, in);
    fclose(in);
    return bytes;
}

static void overwrite(const char *path, const char *bytes, size_t len) {
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    fclose(out);
}

/* ---- */

static void a_name_keeps_its_addresses(void **state) {
    (void)state;
    assert_string_equal(give("db.internal"), "198.18.0.1");
    assert_string_equal(give_to(OWNER, "db.internal", AF_INET6), "fd73:6d78:7368::1");
    assert_string_equal(give("Other.Internal."), "198.18.0.2");
    assert_string_equal(give("DB.internal."), "198.18.0.1");
    assert_string_equal(find("198.18.0.1"), "db.internal");
    assert_string_equal(find("fd73:6d78:7368::2"), "other.internal");
    assert_string_equal(find("::ffff:198.18.0.2"), "other.internal");
    assert_int_equal(name_table_count(names), 2);
}

static void what_was_never_given_stands_for_nothing(void **state) {
    struct endpoint inside = {.family = AF_INET, .addr = {198, 19, 1, 1}};
    struct endpoint outside = {.family = AF_INET, .addr = {198, 20, 1, 1}}, none = {0};
    (void)state;
    give("db.internal");
    assert_string_equal(find("198.18.0.2"), "(none)");
    assert_string_equal(find("198.18.0.0"), "(none)");
    assert_string_equal(find("fd73:6d78:7368::"), "(none)");
    assert_true(name_table_hold(names, &inside));
    assert_false(name_table_hold(names, &outside));
    assert_false(name_table_hold(names, &none));
}

static void a_restart_changes_nothing(void **state) {
    char name[40];
    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "n%d.internal", i);
        give(name);
    }
    open_names();
    assert_int_equal(name_table_count(names), 500);
    assert_string_equal(find("198.18.1.44"), "n299.internal");
    assert_string_equal(give("n299.internal"), "198.18.1.44");
    assert_string_equal(give("new.internal"), "198.18.1.245");
}

static void files_are_readable_by_the_owner_alone(void **state) {
    struct stat st;
    (void)state;
    give("db.internal");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(next_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Each byte of the file is changed in turn: names in other lines stay, and no assigned address is
 * assigned to another name. */
static void a_damaged_line_loses_its_own_name_only(void **state) {
    size_t len;
    (void)state;
    give("a.internal");
    give("b.internal");
    give("c.internal");
    char *good = contents(file, &len), *bad = malloc(len);
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, good, len);
        bad[i] = (char)(bad[i] ^ 0x15);
        overwrite(file, bad, len);
        open_names();
        int left = strcmp(find("198.18.0.1"), "a.internal") == 0;
        left += strcmp(find("198.18.0.2"), "b.internal") == 0;
        left += strcmp(find("198.18.0.3"), "c.internal") == 0;
        assert_int_equal(name_table_count(names), left);
        assert_true(left >= (good[i] == '\n' ? 1 : 2));
        char expected[40];
        snprintf(expected, sizeof expected, "198.18.0.%d", 4 + (int)i);
        assert_string_equal(give("new.internal"), expected);
        overwrite(file, good, len);
    }
    free(good);
    free(bad);
}

static void a_file_cut_anywhere_gives_nothing_twice(void **state) {
    size_t len;
    (void)state;
    give("a.internal");
    give("b.internal");
    char *good = contents(file, &len);
    for (size_t cut = 0; cut < len; cut++) {
        overwrite(file, good, cut);
        open_names();
        assert_true(strcmp(find("198.18.0.2"), "(none)") == 0);
        const char *first = find("198.18.0.1");
        assert_true(strcmp(first, "(none)") == 0 || strcmp(first, "a.internal") == 0);
        char expected[40];
        snprintf(expected, sizeof expected, "198.18.0.%d", 3 + (int)cut);
        assert_string_equal(give("new.internal"), expected);
        /* Lines written after the truncation are valid again. */
        open_names();
        assert_string_equal(find(expected), "new.internal");
    }
    free(good);
}

static void without_the_table_numbers_go_on(void **state) {
    (void)state;
    give("a.internal");
    give("b.internal");
    assert_int_equal(unlink(file), 0);
    open_names();
    assert_string_equal(find("198.18.0.1"), "(none)");
    assert_string_equal(give("c.internal"), "198.18.0.3");
    assert_string_equal(give("a.internal"), "198.18.0.4");
}

static void without_the_number_the_table_tells(void **state) {
    static const char *const bad[] = {"", "0000000000000001 00000000\n", "x"};
    (void)state;
    give("a.internal");
    give("b.internal");
    for (int i = 0; i < 3; i++) {
        char expected[40], name[20];
        overwrite(next_file, bad[i], strlen(bad[i]));
        open_names();
        assert_string_equal(find("198.18.0.2"), "b.internal");
        snprintf(name, sizeof name, "x%d.internal", i);
        snprintf(expected, sizeof expected, "198.18.0.%d", 3 + i);
        assert_string_equal(give(name), expected);
    }
}

static void with_both_damaged_nothing_new_is_given(void **state) {
    (void)state;
    give("a.internal");
    give("b.internal");
    overwrite(next_file, "?", 1);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "?", 1, 0), 1);
    close(fd);
    open_names();
    assert_string_equal(give("c.internal"), "EIO");
    assert_string_equal(find("198.18.0.2"), "b.internal");
    assert_string_equal(give("b.internal"), "198.18.0.2");
    overwrite(file, "", 0);
    open_names();
    assert_string_equal(give("c.internal"), "EIO");
    /* Without both files the table starts from the beginning. */
    unlink(file);
    unlink(next_file);
    open_names();
    assert_string_equal(give("c.internal"), "198.18.0.1");
}

static void files_of_another_kind_are_not_touched(void **state) {
    (void)state;
    name_table_free(names);
    names = NULL;
    unlink(file);
    assert_int_equal(symlink("/dev/null", file), 0);
    open_names();
    assert_string_equal(give("a.internal"), "EIO");
    unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    open_names();
    assert_string_equal(give("a.internal"), "EIO");
}

/* A draining helper lets the next one start, and still serves what it has accepted. */
static void who_gave_way_gives_nothing_new(void **state) {
    (void)state;
    give("a.internal");
    struct name_table *old = names;
    name_table_hand_over(old);
    names = NULL;
    open_names();
    assert_string_equal(give("b.internal"), "198.18.0.2");
    struct name_table *fresh = names;
    names = old;
    assert_string_equal(give("c.internal"), "EAGAIN");
    assert_string_equal(give("a.internal"), "198.18.0.1");
    assert_string_equal(find("198.18.0.1"), "a.internal");
    name_table_free(old);
    names = fresh;
    assert_string_equal(give("c.internal"), "198.18.0.3");
}

static void an_exhausted_range_says_so_and_the_other_family_goes_on(void **state) {
    char name[40];
    (void)state;
    assert_null(name_range_parse(&config.ranges.v4, AF_INET, "10.0.0.0/28"));
    open_names();
    for (int i = 0; i < 14; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_string_not_equal(give(name), "ENOSPC");
    }
    assert_string_equal(give("more"), "ENOSPC");
    assert_string_equal(give("more"), "ENOSPC");
    assert_int_equal(name_table_count(names), 14);
    assert_string_equal(give("n13"), "10.0.0.14");
    assert_string_equal(give_to(OWNER, "more", AF_INET6), "fd73:6d78:7368::f");
    assert_string_equal(give("more"), "ENOSPC");
    open_names();
    assert_string_equal(find("fd73:6d78:7368::f"), "more");
    assert_string_equal(give("n0"), "10.0.0.1");
    assert_string_equal(give("again"), "ENOSPC");
}

static void another_range_leaves_the_old_addresses_valid(void **state) {
    (void)state;
    give("a.internal");
    give("b.internal");
    assert_null(name_range_parse(&config.ranges.v4, AF_INET, "10.0.0.0/28"));
    name_table_configure(names, &config);
    assert_string_equal(give("a.internal"), "10.0.0.3");
    assert_string_equal(find("198.18.0.1"), "a.internal");
    open_names();
    assert_string_equal(find("198.18.0.1"), "a.internal");
    assert_string_equal(give("a.internal"), "10.0.0.3");
    /* Back to an overlapping range: no assigned address is assigned again. */
    assert_null(name_range_parse(&config.ranges.v4, AF_INET, "10.0.0.0/8"));
    name_table_configure(names, &config);
    assert_string_equal(give("a.internal"), "10.0.0.3");
    assert_string_equal(give("b.internal"), "10.0.0.4");
}

static void a_user_has_a_limit_and_others_do_not_feel_it(void **state) {
    (void)state;
    config.max_per_user = 3;
    open_names();
    give_to(77, "a", AF_INET);
    give_to(77, "b", AF_INET);
    assert_string_equal(give_to(77, "c", AF_INET), "198.18.0.3");
    assert_string_equal(give_to(77, "d", AF_INET), "EDQUOT");
    assert_string_equal(give_to(77, "d", AF_INET6), "EDQUOT");
    assert_string_equal(give_to(77, "a", AF_INET), "198.18.0.1");
    assert_string_equal(give_to(78, "d", AF_INET), "198.18.0.4");
    assert_string_equal(give_to(77, "d", AF_INET), "198.18.0.4");
    for (int i = 0; i < 10; i++) {
        char name[40];
        snprintf(name, sizeof name, "own%d", i);
        assert_string_not_equal(give(name), "EDQUOT");
        snprintf(name, sizeof name, "root%d", i);
        assert_string_not_equal(give_to(0, name, AF_INET), "EDQUOT");
    }
    open_names(); /* the limit counts what was given before a restart */
    assert_string_equal(give_to(77, "e", AF_INET), "EDQUOT");
}

static void a_full_table_forgets_what_was_used_least_recently(void **state) {
    char name[40];
    struct stat st;
    (void)state;
    for (unsigned i = 0; i < NAME_TABLE_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        give(name);
    }
    assert_int_equal(name_table_count(names), NAME_TABLE_MAX);
    assert_string_equal(give("n0"), "198.18.0.1"); /* used again */
    assert_string_equal(give("one.more"), "198.19.0.1");
    assert_int_equal(name_table_count(names), NAME_TABLE_MAX);
    assert_string_equal(find("198.18.0.1"), "n0");
    assert_string_equal(find("198.18.0.2"), "(none)");
    assert_string_equal(give("n1"), "198.19.0.2"); /* back, with an address that nobody had */
    assert_string_equal(find("198.18.0.3"), "(none)");
    /* Lines of forgotten names do not make the file grow without limit: it is rewritten. */
    for (unsigned i = 0; i < NAME_TABLE_MAX - 10; i++) {
        snprintf(name, sizeof name, "m%u", i);
        if (strcmp(give_to(OWNER, name, AF_INET6), "EIO") == 0)
            fail_msg("%s", name);
    }
    assert_int_equal(stat(file, &st), 0);
    assert_true(st.st_size < 2l * (NAME_TABLE_MAX + 2000) * 60);
    open_names();
    assert_int_equal(name_table_count(names), NAME_TABLE_MAX);
    assert_string_equal(give("m7"), "198.19.0.10");
    assert_string_equal(find("198.19.0.1"), "one.more");
}

static void lines_round_trip_and_nothing_else_is_one(void **state) {
    struct name_record record = {.v4 = {.family = AF_INET, .addr = {10, 0, 0, 1}},
                                 .uid = 4000000000u};
    struct name_record back;
    char line[NAME_LINE_SIZE];
    (void)state;
    memset(record.name, 'x', HELPER_HOST_NAME_MAX);
    record.v6.family = AF_INET6;
    memset(record.v6.addr, 0xfd, 16);
    size_t len = name_line_format(&record, line);
    assert_true(name_line_parse(&back, line, len - 1));
    assert_memory_equal(&back.v6, &record.v6, sizeof record.v6);
    assert_string_equal(back.name, record.name);
    assert_int_equal(back.uid, 4000000000u);
    assert_false(name_line_parse(&back, line, len));
    for (size_t i = 0; i < len - 1; i++) {
        assert_false(name_line_parse(&back, line, i));
        line[i] ^= 1;
        assert_false(name_line_parse(&back, line, len - 1));
        line[i] ^= 1;
    }
    assert_false(name_line_parse(&back, "", 0));
    assert_false(name_line_parse(&back, "- - 0 a 00000000", 16));
    assert_false(name_line_parse(&back, "    ", 4));
}

static void questions_are_answered(void **state) {
    static struct route_list routes;
    struct route_error error;
    struct helper_request request = {.kind = HELPER_REQUEST_ADDRESS, .dest = {.family = AF_INET}};
    struct helper_name_answer answer;
    uint8_t bytes[NAME_ANSWER_SIZE];
    char name[HELPER_HOST_NAME_MAX + 1];
    (void)state;
    assert_true(route_list_parse(&routes, "*.internal:5432", &error));
    size_t len = name_answer(names, &routes, 5, &request, "Db.internal", bytes);
    assert_true(helper_name_answer_check(bytes, len, &answer, name));
    assert_int_equal(answer.err, 0);
    assert_string_equal(name, "db.internal");
    request.kind = HELPER_REQUEST_NAME;
    request.dest = answer.address;
    request.dest.port = 99;
    len = name_answer(names, &routes, 6, &request, "", bytes);
    assert_true(helper_name_answer_check(bytes, len, &answer, name));
    assert_string_equal(name, "db.internal");
    assert_int_equal(answer.address.port, 0);
    request.dest.addr[3]++;
    len = name_answer(names, &routes, 6, &request, "", bytes);
    assert_true(helper_name_answer_check(bytes, len, &answer, name));
    assert_int_equal(answer.err, ENOENT);
    request.kind = HELPER_REQUEST_ADDRESS;
    len = name_answer(names, &routes, 5, &request, "db.elsewhere", bytes);
    assert_true(helper_name_answer_check(bytes, len, &answer, name));
    assert_int_equal(answer.err, ENOENT);
    assert_int_equal(name_table_count(names), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_name_keeps_its_addresses),
        TEST(what_was_never_given_stands_for_nothing),
        TEST(a_restart_changes_nothing),
        TEST(files_are_readable_by_the_owner_alone),
        TEST(a_damaged_line_loses_its_own_name_only),
        TEST(a_file_cut_anywhere_gives_nothing_twice),
        TEST(without_the_table_numbers_go_on),
        TEST(without_the_number_the_table_tells),
        TEST(with_both_damaged_nothing_new_is_given),
        TEST(files_of_another_kind_are_not_touched),
        TEST(who_gave_way_gives_nothing_new),
        TEST(an_exhausted_range_says_so_and_the_other_family_goes_on),
        TEST(another_range_leaves_the_old_addresses_valid),
        TEST(a_user_has_a_limit_and_others_do_not_feel_it),
        TEST(a_full_table_forgets_what_was_used_least_recently),
        TEST(lines_round_trip_and_nothing_else_is_one),
        TEST(questions_are_answered),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
