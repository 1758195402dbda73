/* SPDX-License-Identifier: MIT */
/* Notices find their connection by id: its owner is checked, and no choice of ids makes this
 * slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/client/conn.h"
#include "helper/client/conns.h"

enum { OWNER = 1000, OTHER = 1001, MANY = 65536 };

static void ended(struct conn *conn) {
    (void)conn;
}

static const struct conn_ops ops = {.ended = ended};
static struct reactor reactor;
static struct conns all;
static struct conn conn_of[MANY];

static int prepare(void **state) {
    (void)state;
    memset(&reactor, 0, sizeof reactor);
    conns_init(&all);
    memset(conn_of, 0, sizeof conn_of);
    reactor.loop = loop_new();
    all.reactor = &reactor;
    all.ids_seed = 0x9d2c5680f3a1b7e5u;
    return reactor.loop ? 0 : -1;
}

static int clean(void **state) {
    (void)state;
    loop_free(reactor.loop);
    return 0;
}

static struct conn *enter(size_t i, uint64_t id, uid_t uid) {
    const struct ucred cred = {.pid = 1, .uid = uid, .gid = uid};
    conn_init(&conn_of[i], &all, &ops);
    conn_set_user(&conn_of[i], &cred, NULL);
    conns_set_id(&all, &conn_of[i], id);
    return &conn_of[i];
}

static void only_its_owner_and_root_find_a_connection(void **state) {
    bool found;
    struct conn *conn = enter(0, 7, OWNER);
    (void)state;
    assert_ptr_equal(conns_find(&all, 7, OWNER, &found), conn);
    assert_true(found);
    assert_ptr_equal(conns_find(&all, 7, 0, &found), conn);
    assert_null(conns_find(&all, 7, OTHER, &found));
    assert_true(found);
    assert_null(conns_find(&all, 8, OWNER, &found));
    assert_false(found);
}

/* An id is the program's choice: another user may have taken the same one, before or after. */
static void the_same_id_of_another_user_hides_no_connection(void **state) {
    bool found;
    struct conn *mine = enter(0, 7, OWNER), *his = enter(1, 7, OTHER);
    (void)state;
    assert_ptr_equal(conns_find(&all, 7, OWNER, &found), mine);
    assert_ptr_equal(conns_find(&all, 7, OTHER, &found), his);
}

static void ended_connections_are_not_found(void **state) {
    bool found;
    (void)state;
    for (size_t i = 0; i < 3; i++) /* of one bucket */
        enter(i, 7, OWNER + (uid_t)i);
    static const size_t order[] = {1, 0, 2};
    for (size_t i = 0; i < 3; i++) {
        conn_end(&conn_of[order[i]], 0);
        for (size_t j = 0; j < 3; j++) {
            bool there = j != order[0] && (i < 1 || j != order[1]) && i < 2;
            assert_ptr_equal(conns_find(&all, 7, OWNER + (uid_t)j, &found),
                             there ? &conn_of[j] : NULL);
        }
    }
    assert_false(found);
}

/* A walk over the list in parts visits each connection once that still exists. */
static void a_cursor_in_the_list_outlives_the_connection_there(void **state) {
    struct conns_cursor cursor = {0}, other = {0};
    (void)state;
    for (size_t i = 0; i < 5; i++)
        enter(i, i, OWNER); /* the last comes first */
    conns_cursor_begin(&all, &cursor);
    conns_cursor_begin(&all, &other);
    assert_ptr_equal(conns_cursor_take(&cursor), &conn_of[4]);
    conn_end(&conn_of[4], 0);
    conn_end(&conn_of[3], 0);
    conn_end(&conn_of[2], 0);
    enter(5, 5, OWNER);
    assert_ptr_equal(conns_cursor_take(&cursor), &conn_of[1]);
    assert_ptr_equal(conns_cursor_take(&other), &conn_of[1]);
    conns_cursor_end(&other);
    conn_end(&conn_of[0], 0);
    assert_null(conns_cursor_take(&cursor));
    assert_ptr_equal(other.conn, &conn_of[0]); /* its end has been heard of no more */
    conns_cursor_end(&cursor);
    conns_cursor_end(&cursor);
    assert_true(list_is_empty(&all.cursors));
}

static size_t longest_chain(void) {
    size_t longest = 0;
    for (size_t i = 0; i < CONNS_IDS; i++) {
        size_t len = 0;
        for (const struct conn *conn = all.ids[i]; conn; conn = conn->id_next)
            len++;
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* Four per bucket on average; twenty are very unlikely by chance. */
static void ids_in_a_pattern_are_spread(void **state) {
    const unsigned shift = *(const unsigned *)*state;
    for (size_t i = 0; i < MANY; i++)
        enter(i, (uint64_t)i << shift, OWNER);
    assert_in_range(longest_chain(), 4, 32);
}

int main(void) {
    static unsigned low = 0, middle = 14, high = 32, highest = 48;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_its_owner_and_root_find_a_connection, prepare, clean),
        cmocka_unit_test_setup_teardown(a_cursor_in_the_list_outlives_the_connection_there, prepare,
                                        clean),
        cmocka_unit_test_setup_teardown(the_same_id_of_another_user_hides_no_connection, prepare,
                                        clean),
        cmocka_unit_test_setup_teardown(ended_connections_are_not_found, prepare, clean),
        {"ids_in_a_pattern_are_spread: low", ids_in_a_pattern_are_spread, prepare, clean, &low},
        {"ids_in_a_pattern_are_spread: middle", ids_in_a_pattern_are_spread, prepare, clean,
         &middle},
        {"ids_in_a_pattern_are_spread: high", ids_in_a_pattern_are_spread, prepare, clean, &high},
        {"ids_in_a_pattern_are_spread: highest", ids_in_a_pattern_are_spread, prepare, clean,
         &highest},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
