/* SPDX-License-Identifier: MIT */
/* Users who share a helper have separate sessions, as far as there are places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/client/helper.h"
#include "helper/net/log.h"

#define USERS 5

static struct helper helper;
static struct account *account[USERS];

static int begin(void **state) {
    static const char text[] = "[gateway main]\naddress = tcp://127.0.0.1:9\n"
                               "[route test]\ndestinations = 127.0.0.1:80\ngateway = main\n";
    struct config *config = malloc(sizeof *config);
    struct config_error error;
    const char *why;
    (void)state;
    assert_non_null(config);
    config_init(config);
    assert_true(config_parse(config, "test", text, sizeof text - 1, &error));
    assert_true(helper_init(&helper, config, &why));
    helper.upstreams.accounts.owners_max = 2;
    for (int i = 0; i < USERS; i++)
        account[i] = account_get(&helper.upstreams.accounts, 1000 + (uid_t)i);
    return 0;
}

static int end(void **state) {
    (void)state;
    for (int i = 0; i < USERS; i++)
        account_put(&helper.upstreams.accounts, account[i]);
    helper_fini(&helper);
    return 0;
}

static void turns(int count) {
    for (int i = 0; i < count; i++)
        assert_int_equal(loop_turn(helper.reactor.loop, 0), 0);
}

static void leave(int user) {
    account_put(&helper.upstreams.accounts, account[user]);
    account[user] = NULL;
}

static struct upstream *upstream_of(int user) {
    struct upstream *upstream = upstream_pool_get(&helper.upstreams, account[user], "main");
    assert_non_null(upstream);
    return upstream;
}

static bool has_own(int user) {
    struct upstream *upstream = upstream_of(user);
    return account[user]->own && account[user]->own->to[0] == upstream;
}

/* Lets the account be without connections for this time. */
static void let_idle_for(struct account *idle, uint64_t us) {
    struct loop *loop = helper.reactor.loop;
    assert_true(helper.upstreams.accounts.timer.armed);
    idle->idle_us = loop_now_us(loop) - us;
    loop_timer_set(loop, &helper.upstreams.accounts.timer, loop_now_us(loop),
                   helper.upstreams.accounts.timer.fn);
    turns(2);
}

static void each_user_has_sessions_of_his_own(void **state) {
    (void)state;
    struct upstream *first = upstream_of(0), *second = upstream_of(1);
    assert_ptr_not_equal(first, second);
    assert_ptr_not_equal(first, upstream_pool_get(&helper.upstreams, NULL, "main"));
    assert_ptr_equal(upstream_pool_get(&helper.upstreams, NULL, "main"),
                     helper.upstreams.own.to[0]);
    assert_ptr_equal(upstream_of(0), first);
    assert_null(upstream_pool_get(&helper.upstreams, account[0], "another"));
    assert_ptr_not_equal(upstream_pool_direct(&helper.upstreams, account[0]),
                         upstream_pool_direct(&helper.upstreams, account[1]));
    assert_ptr_not_equal(upstream_pool_direct(&helper.upstreams, account[0]),
                         upstream_pool_direct(&helper.upstreams, NULL));
}

static void who_finds_no_place_shares_the_sessions_of_the_others(void **state) {
    (void)state;
    upstream_of(0);
    upstream_of(1);
    assert_ptr_equal(upstream_of(2), upstream_of(3));
    assert_ptr_equal(upstream_of(2), helper.upstreams.accounts.others.to[0]);
    assert_true(has_own(0) && has_own(1) && !has_own(2));
    assert_int_equal(helper.upstreams.accounts.owner_count, 2);
}

static void who_has_been_idle_for_longest_gives_up_his_place(void **state) {
    (void)state;
    upstream_of(0);
    upstream_of(1);
    leave(1);
    turns(1);
    usleep(2000);
    turns(1);
    leave(0);
    assert_true(has_own(2));
    assert_int_equal(helper.upstreams.accounts.owner_count, 2);
    account[0] = account_get(&helper.upstreams.accounts, 1000);
    assert_true(has_own(0));
    account[1] = account_get(&helper.upstreams.accounts, 1001);
    assert_false(has_own(1));
}

static void sessions_outlive_their_last_connection_for_a_minute(void **state) {
    (void)state;
    struct upstream *own = upstream_of(0);
    struct account *idle = account[0];
    leave(0);
    let_idle_for(idle, ACCOUNT_IDLE_US / 2);
    account[0] = account_get(&helper.upstreams.accounts, 1000);
    assert_ptr_equal(account[0], idle);
    assert_ptr_equal(upstream_of(0), own);
    let_idle_for(idle, 2 * (uint64_t)ACCOUNT_IDLE_US); /* he is back */
    assert_int_equal(helper.upstreams.accounts.owner_count, 1);
    leave(0);
    let_idle_for(idle, ACCOUNT_IDLE_US);
    assert_int_equal(helper.upstreams.accounts.owner_count, 0);
    assert_false(helper.upstreams.accounts.timer.armed);
    account[0] = account_get(&helper.upstreams.accounts, 1000);
    assert_null(account[0]->own);
}

static struct config *reread(uint16_t port) {
    struct config *config = malloc(sizeof *config);
    assert_non_null(config);
    *config = *helper.config;
    config->gateway[0].address[0].port = port;
    return config;
}

static void a_new_configuration_keeps_what_is_as_before(void **state) {
    (void)state;
    uint16_t port = helper.config->gateway[0].address[0].port;
    struct upstream *own = upstream_of(0),
                    *common = upstream_pool_get(&helper.upstreams, NULL, "main");
    assert_true(helper_reconfigure(&helper, reread(port)));
    assert_ptr_equal(upstream_of(0), own);
    assert_ptr_equal(upstream_pool_get(&helper.upstreams, NULL, "main"), common);
    assert_true(helper_reconfigure(&helper, reread((uint16_t)(port ^ 1))));
    assert_null(account[0]->own->to[0]);
    assert_int_equal(upstream_config(upstream_of(0))->address[0].port, port ^ 1);
    assert_int_equal(
        upstream_config(upstream_pool_get(&helper.upstreams, NULL, "main"))->address[0].port,
        port ^ 1);
}

static void places_are_as_many_as_memory_allows_and_gateways_have_connections(void **state) {
    (void)state;
    uint16_t port = helper.config->gateway[0].address[0].port;
    struct config *config = reread(port);
    config->helper.max_memory = 64u << 20;
    assert_true(helper_reconfigure(&helper, config));
    uint32_t few = helper.upstreams.accounts.owners_max;
    assert_in_range(few, 4, 16);
    config = reread(port);
    config->helper.max_memory = 1u << 30;
    assert_true(helper_reconfigure(&helper, config));
    assert_int_equal(helper.upstreams.accounts.owners_max, 64);
    config = reread(port);
    config->gateway[0].connections = 16;
    assert_true(helper_reconfigure(&helper, config));
    assert_int_equal(helper.upstreams.accounts.owners_max, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_user_has_sessions_of_his_own),
        TEST(who_finds_no_place_shares_the_sessions_of_the_others),
        TEST(who_has_been_idle_for_longest_gives_up_his_place),
        TEST(sessions_outlive_their_last_connection_for_a_minute),
        TEST(a_new_configuration_keeps_what_is_as_before),
        TEST(places_are_as_many_as_memory_allows_and_gateways_have_connections),
    };
    log_set_level(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
