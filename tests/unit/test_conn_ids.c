/* SPDX-License-Identifier: MIT */
/* Notices find their connection by its id: whose it is decides, and no choice of ids makes it slow.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/client/conn.h"
#include "helper/client/helper.h"

enum { OWNER = 1000, OTHER = 1001, MANY = 65536 };

static void ended(struct conn *conn) {
    (void)conn;
}

static const struct conn_ops ops = {.ended = ended};
static struct helper helper;
static struct conn conns[MANY];

static int prepare(void **state) {
    (void)state;
    memset(&helper, 0, sizeof helper);
    memset(conns, 0, sizeof conns);
    helper.reactor.loop = loop_new();
    helper.ids_seed = 0x9d2c5680f3a1b7e5u;
    return helper.reactor.loop ? 0 : -1;
}

static int clean(void **state) {
    (void)state;
    loop_free(helper.reactor.loop);
    return 0;
}

static struct conn *enter(size_t i, uint64_t id, uid_t uid) {
    const struct ucred cred = {.pid = 1, .uid = uid, .gid = uid};
    conn_init(&conns[i], &helper, &ops);
    conn_set_user(&conns[i], &cred, NULL);
    conn_set_id(&conns[i], id);
    return &conns[i];
}

static void only_its_owner_and_root_find_a_connection(void **state) {
    bool found;
    struct conn *conn = enter(0, 7, OWNER);
    (void)state;
    assert_ptr_equal(conn_find(&helper, 7, OWNER, &found), conn);
    assert_true(found);
    assert_ptr_equal(conn_find(&helper, 7, 0, &found), conn);
    assert_null(conn_find(&helper, 7, OTHER, &found));
    assert_true(found);
    assert_null(conn_find(&helper, 8, OWNER, &found));
    assert_false(found);
}

/* An id is the program's choice: another user may have taken the same one, before or after. */
static void the_same_id_of_another_user_hides_nothing(void **state) {
    bool found;
    struct conn *mine = enter(0, 7, OWNER), *his = enter(1, 7, OTHER);
    (void)state;
    assert_ptr_equal(conn_find(&helper, 7, OWNER, &found), mine);
    assert_ptr_equal(conn_find(&helper, 7, OTHER, &found), his);
}

static void connections_that_have_ended_are_not_found(void **state) {
    bool found;
    (void)state;
    for (size_t i = 0; i < 3; i++) /* of one bucket */
        enter(i, 7, OWNER + (uid_t)i);
    static const size_t order[] = {1, 0, 2};
    for (size_t i = 0; i < 3; i++) {
        conn_end(&conns[order[i]], 0);
        for (size_t j = 0; j < 3; j++) {
            bool there = j != order[0] && (i < 1 || j != order[1]) && i < 2;
            assert_ptr_equal(conn_find(&helper, 7, OWNER + (uid_t)j, &found),
                             there ? &conns[j] : NULL);
        }
    }
    assert_false(found);
}

static size_t longest_chain(void) {
    size_t longest = 0;
    for (size_t i = 0; i < HELPER_IDS; i++) {
        size_t len = 0;
        for (const struct conn *conn = helper.ids[i]; conn; conn = conn->id_next)
            len++;
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* Four in each bucket on average: by chance hardly ever twenty. */
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
        cmocka_unit_test_setup_teardown(the_same_id_of_another_user_hides_nothing, prepare, clean),
        cmocka_unit_test_setup_teardown(connections_that_have_ended_are_not_found, prepare, clean),
        {"ids_in_a_pattern_are_spread: low", ids_in_a_pattern_are_spread, prepare, clean, &low},
        {"ids_in_a_pattern_are_spread: middle", ids_in_a_pattern_are_spread, prepare, clean,
         &middle},
        {"ids_in_a_pattern_are_spread: high", ids_in_a_pattern_are_spread, prepare, clean, &high},
        {"ids_in_a_pattern_are_spread: highest", ids_in_a_pattern_are_spread, prepare, clean,
         &highest},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
