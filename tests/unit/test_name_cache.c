/* SPDX-License-Identifier: MIT */
/* The cache of a program's lookups: the last name of each address, in a table without locks. (The
 * library has no archive to link: its source is included.) */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/process/name_cache.c"

static struct endpoint address(const char *text) {
    struct endpoint ep = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    assert_int_equal(inet_pton(ep.family, text, ep.addr), 1);
    return ep;
}

static void remember(const char *text, const char *name) {
    struct endpoint ep = address(text);
    name_cache_remember(&ep, name);
}

static const char *find(const char *text) {
    static char name[HELPER_HOST_NAME_MAX + 1];
    struct endpoint ep = address(text);
    ep.port = 99;
    return name_cache_find(&ep, name, sizeof name) ? name : "(none)";
}

static void the_last_name_is_found(void **state) {
    (void)state;
    assert_string_equal(find("10.0.0.1"), "(none)");
    remember("10.0.0.1", "a.internal");
    remember("2001:db8::1", "six.internal");
    assert_string_equal(find("10.0.0.1"), "a.internal");
    assert_string_equal(find("::ffff:10.0.0.1"), "a.internal");
    assert_string_equal(find("2001:db8::1"), "six.internal");
    remember("::ffff:10.0.0.1", "B.internal.");
    assert_string_equal(find("10.0.0.1"), "B.internal");
    assert_string_equal(find("10.0.0.2"), "(none)");
}

static void invalid_host_names_are_not_stored(void **state) {
    char longest[HELPER_HOST_NAME_MAX + 2], small[4];
    struct endpoint ep = address("10.0.1.1");
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[HELPER_HOST_NAME_MAX + 1] = '\0';
    remember("10.0.1.1", longest);
    remember("10.0.1.1", "");
    remember("10.0.1.1", "a b");
    assert_string_equal(find("10.0.1.1"), "(none)");
    longest[HELPER_HOST_NAME_MAX] = '\0';
    remember("10.0.1.1", longest);
    assert_string_equal(find("10.0.1.1"), longest);
    assert_false(name_cache_find(&ep, small, sizeof small));
    remember("10.0.1.1", ".");
    assert_string_equal(find("10.0.1.1"), ".");
}

/* With more addresses than there is room for, every name found is right, and some of the latest are
 * found. */
static void a_full_table_forgets_names_but_never_confuses_them(void **state) {
    char text[32], name[48];
    int found = 0;
    (void)state;
    for (int i = 0; i < 4 * NAME_CACHE_MAX; i++) {
        snprintf(text, sizeof text, "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        snprintf(name, sizeof name, "n%d.internal", i);
        remember(text, name);
        assert_string_equal(find(text), name);
    }
    for (int i = 0; i < 4 * NAME_CACHE_MAX; i++) {
        snprintf(text, sizeof text, "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        snprintf(name, sizeof name, "n%d.internal", i);
        const char *known = find(text);
        if (strcmp(known, "(none)") != 0) {
            assert_string_equal(known, name);
            found++;
        }
    }
    assert_true(found > NAME_CACHE_MAX / 2 && found <= NAME_CACHE_MAX);
}

/* Each name consists of one letter, so that a mixture of two is detected. */
static void *write_and_read(void *bad) {
    char name[HELPER_HOST_NAME_MAX + 1], got[HELPER_HOST_NAME_MAX + 1];
    struct endpoint ep = {.family = AF_INET, .addr = {12, 0, 0, 1}};
    for (int i = 0; i < 200000; i++) {
        size_t len = 100 + (size_t)i % 150;
        memset(name, 'a' + i % 26, len);
        name[len] = '\0';
        if (i % 4 == 0)
            name_cache_remember(&ep, name);
        if (name_cache_find(&ep, got, sizeof got) &&
            strspn(got, (char[]){got[0], '\0'}) != strlen(got))
            *(_Atomic int *)bad = 1;
    }
    return NULL;
}

static void threads_never_see_half_a_name(void **state) {
    pthread_t thread[4];
    _Atomic int bad = 0;
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, write_and_read, &bad), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(bad, 0);
}

static void a_fork_knows_what_its_parent_knew(void **state) {
    int status = -1;
    (void)state;
    remember("13.0.0.1", "parent.internal");
    pid_t pid = fork();
    if (pid == 0)
        _exit(strcmp(find("13.0.0.1"), "parent.internal") != 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_name_is_found),
        cmocka_unit_test(invalid_host_names_are_not_stored),
        cmocka_unit_test(a_full_table_forgets_names_but_never_confuses_them),
        cmocka_unit_test(threads_never_see_half_a_name),
        cmocka_unit_test(a_fork_knows_what_its_parent_knew),
    };
    return cmocka_run_group_tests_name("shim_names", tests, NULL, NULL);
}
