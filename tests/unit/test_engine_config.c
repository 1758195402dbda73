/* SPDX-License-Identifier: MIT
 *
 * Configuration, errors and the lifetime of a session.
 */
#include "support_engine.h"

static smux_config defaults(void) {
    smux_config config;
    memset(&config, 0xEE, sizeof(config));
    smux_config_init(&config);
    return config;
}

static void the_defaults_are_those_of_the_go_library(void **state) {
    (void)state;
    smux_config c = defaults();
    assert_int_equal(c.version, 1);
    assert_false(c.keepalive_disabled);
    assert_int_equal(c.keepalive_interval_us, SECONDS(10));
    assert_int_equal(c.keepalive_timeout_us, SECONDS(30));
    assert_int_equal(c.max_frame_size, 32768);
    assert_int_equal(c.max_receive_buffer, 4 * 1024 * 1024);
    assert_int_equal(c.max_stream_buffer, 65536);
}

static void the_defaults_of_our_own_fields_are_as_documented(void **state) {
    (void)state;
    smux_config c = defaults();
    assert_true(c.auto_window);
    assert_int_equal(c.max_window, 0);
    assert_int_equal(c.stream_idle_timeout_us, 0);
    assert_int_equal(c.accept_backlog, 1024);
    assert_int_equal(c.max_streams, 1048576);
    assert_int_equal(c.stream_send_buffer, 256 * 1024);
    assert_int_equal(c.session_send_buffer, 4 * 1024 * 1024);
    assert_int_equal(c.on_full, SMUX_FULL_STALL);
    assert_true(c.extensions);
    assert_int_equal(c.hash_seed, 0);
}

static void the_defaults_are_valid_for_both_roles(void **state) {
    (void)state;
    smux_config c = defaults();
    smux_config_fault fault = {"untouched", "untouched"};
    assert_int_equal(smux_config_verify(&c, SMUX_CLIENT, &fault), 0);
    assert_int_equal(smux_config_verify(&c, SMUX_SERVER, &fault), 0);
    assert_int_equal(smux_config_verify(&c, SMUX_SERVER, NULL), 0);
}

/* Every rule: a value that breaks it, the field that must be named, values at the edge that do
 * not. `second` sets a field that the rule depends on. */
#define RULES(X)                                                                                   \
    X(version, 3, SMUX_SERVER)                                                                     \
    X(version, -1, SMUX_SERVER)                                                                    \
    X(version, SMUX_VERSION_AUTO, SMUX_CLIENT)                                                     \
    X(keepalive_interval_us, 0, SMUX_CLIENT)                                                       \
    X(max_frame_size, 0, SMUX_CLIENT)                                                              \
    X(max_frame_size, 65536, SMUX_CLIENT)                                                          \
    X(max_frame_size, UINT32_MAX, SMUX_CLIENT)                                                     \
    X(max_receive_buffer, 0, SMUX_CLIENT)                                                          \
    X(max_receive_buffer, 0x80000000u, SMUX_CLIENT)                                                \
    X(max_stream_buffer, 0, SMUX_CLIENT)                                                           \
    X(max_stream_buffer, 4 * 1024 * 1024 + 1, SMUX_CLIENT)                                         \
    X(max_window, 1, SMUX_CLIENT)                                                                  \
    X(max_window, 262143, SMUX_CLIENT)                                                             \
    X(max_window, 4 * 1024 * 1024 + 1, SMUX_CLIENT)                                                \
    X(accept_backlog, 0, SMUX_SERVER)                                                              \
    X(accept_backlog, 0x80000000u, SMUX_SERVER)                                                    \
    X(max_streams, 0, SMUX_CLIENT)                                                                 \
    X(max_streams, 0x80000000u, SMUX_CLIENT)                                                       \
    X(stream_send_buffer, 0, SMUX_CLIENT)                                                          \
    X(stream_send_buffer, 0x80000000u, SMUX_CLIENT)                                                \
    X(session_send_buffer, 0, SMUX_CLIENT)                                                         \
    X(session_send_buffer, 0x80000000u, SMUX_CLIENT)                                               \
    X(on_full, (enum smux_on_full)7, SMUX_CLIENT)

static void expect_fault(const smux_config *config, enum smux_role role, const char *field) {
    smux_config_fault fault = {NULL, NULL};
    assert_int_equal(smux_config_verify(config, role, &fault), SMUX_ERR_CONFIG);
    assert_int_equal(smux_config_verify(config, role, NULL), SMUX_ERR_CONFIG);
    assert_non_null(fault.field);
    assert_string_equal(fault.field, field);
    assert_non_null(fault.why);
    assert_true(strlen(fault.why) > 3);
}

static void an_invalid_value_is_reported_with_its_field_and_what_was_expected(void **state) {
    (void)state;
    smux_config c;
#define X(name, value, role)                                                                       \
    c = defaults();                                                                                \
    c.name = value;                                                                                \
    expect_fault(&c, role, #name);
    RULES(X)
#undef X
}

static void an_invalid_configuration_creates_no_session(void **state) {
    (void)state;
    test_alloc a = {0};
    smux_allocator allocator = test_allocator(&a);
    smux_config c;
    smux_session *s = NULL;
#define X(name, value, role)                                                                       \
    c = defaults();                                                                                \
    c.name = value;                                                                                \
    assert_int_equal(smux_session_new(&s, role, &c, &allocator, 0), SMUX_ERR_CONFIG);
    RULES(X)
#undef X
    assert_null(s);
    assert_int_equal(a.live_blocks, 0);
}

static void the_values_at_the_edge_of_each_rule_are_valid(void **state) {
    (void)state;
    smux_config c;
#define EDGE(role, ...)                                                                            \
    do {                                                                                           \
        c = defaults();                                                                            \
        __VA_ARGS__;                                                                               \
        smux_config_fault fault = {NULL, NULL};                                                    \
        if (smux_config_verify(&c, role, &fault))                                                  \
            fail_msg("%s: %s: %s", #__VA_ARGS__, fault.field, fault.why);                          \
    } while (0)
    EDGE(SMUX_CLIENT, c.version = 2);
    EDGE(SMUX_SERVER, c.version = 2);
    EDGE(SMUX_SERVER, c.version = SMUX_VERSION_AUTO);
    EDGE(SMUX_CLIENT, c.keepalive_interval_us = 1, c.keepalive_timeout_us = 1);
    EDGE(SMUX_CLIENT, c.keepalive_interval_us = c.keepalive_timeout_us = UINT64_MAX);
    EDGE(SMUX_CLIENT, c.max_frame_size = 1);
    EDGE(SMUX_CLIENT, c.max_frame_size = 65535);
    EDGE(SMUX_CLIENT, c.max_receive_buffer = 1, c.max_stream_buffer = 1);
    EDGE(SMUX_CLIENT, c.max_receive_buffer = 0x7FFFFFFF);
    EDGE(SMUX_CLIENT, c.max_receive_buffer = c.max_stream_buffer = 0x7FFFFFFF);
    EDGE(SMUX_CLIENT, c.max_stream_buffer = c.max_receive_buffer);
    EDGE(SMUX_CLIENT, c.max_window = 262144);
    EDGE(SMUX_CLIENT, c.max_window = c.max_receive_buffer);
    EDGE(SMUX_CLIENT, c.accept_backlog = 1);
    EDGE(SMUX_CLIENT, c.accept_backlog = 0x7FFFFFFF);
    EDGE(SMUX_CLIENT, c.max_streams = 1);
    EDGE(SMUX_CLIENT, c.max_streams = 0x7FFFFFFF);
    EDGE(SMUX_CLIENT, c.stream_send_buffer = 1);
    EDGE(SMUX_CLIENT, c.stream_send_buffer = 0x7FFFFFFF);
    EDGE(SMUX_CLIENT, c.session_send_buffer = 1);
    EDGE(SMUX_CLIENT, c.session_send_buffer = 0x7FFFFFFF);
    EDGE(SMUX_CLIENT, c.on_full = SMUX_FULL_RESET);
    EDGE(SMUX_CLIENT, c.stream_idle_timeout_us = UINT64_MAX);
    EDGE(SMUX_CLIENT, c.hash_seed = UINT64_MAX);
#undef EDGE
}

static void a_timeout_below_the_interval_is_reported_for_the_timeout(void **state) {
    (void)state;
    smux_config c = defaults();
    c.keepalive_timeout_us = c.keepalive_interval_us - 1;
    expect_fault(&c, SMUX_CLIENT, "keepalive_timeout_us");
    c.keepalive_timeout_us = c.keepalive_interval_us;
    assert_int_equal(smux_config_verify(&c, SMUX_CLIENT, NULL), 0);
}

static void a_disabled_keepalive_may_have_any_times(void **state) {
    (void)state;
    smux_config c = defaults();
    c.keepalive_disabled = true;
    c.keepalive_interval_us = c.keepalive_timeout_us = 0;
    assert_int_equal(smux_config_verify(&c, SMUX_CLIENT, NULL), 0);
    c.keepalive_interval_us = 5;
    assert_int_equal(smux_config_verify(&c, SMUX_CLIENT, NULL), 0);
}

static void extreme_keepalive_times_do_not_overflow(void **state) {
    (void)state;
    engine e;
    engine_prepare(&e, SMUX_CLIENT, 1);
    e.config.keepalive_interval_us = e.config.keepalive_timeout_us = UINT64_MAX;
    e.config.stream_idle_timeout_us = UINT64_MAX;
    e.now_us = UINT64_MAX / 2 + 12345;
    engine_start(&e);
    engine_opened(&e);
    expect_frame(&e, CMD_SYN, 3);
    say_nop(&e, 0);
    hear(&e);
    pass_time(&e, SECONDS(1000000));
    assert_int_equal(smux_session_error(e.session), 0);
    engine_end(&e);
}

static void without_a_configuration_the_defaults_apply(void **state) {
    (void)state;
    smux_session *s = NULL;
    assert_int_equal(smux_session_new(&s, SMUX_SERVER, NULL, NULL, 0), 0);
    smux_session_info info;
    smux_session_get_info(s, &info);
    assert_int_equal(info.version, 1);
    assert_int_equal(info.role, SMUX_SERVER);
    smux_session_free(s);
}

static void configuration_and_allocator_are_copied(void **state) {
    (void)state;
    test_alloc a = {0};
    smux_allocator allocator = test_allocator(&a);
    smux_config c = defaults();
    smux_session *s = NULL;
    c.version = 2;
    assert_int_equal(smux_session_new(&s, SMUX_CLIENT, &c, &allocator, 0), 0);
    memset(&c, 0xEE, sizeof(c));
    memset(&allocator, 0, sizeof(allocator));
    smux_stream *stream = NULL;
    assert_int_equal(smux_stream_open(s, &stream), 0);
    assert_int_equal(smux_stream_send(stream, "x", 1), 1);
    smux_session_free(s);
    assert_true(a.calls > 0);
    assert_int_equal(a.live_blocks, 0);
}

static void freeing_no_session_is_fine(void **state) {
    (void)state;
    smux_session_free(NULL);
}

static void a_session_frees_its_streams_data_and_borrowed_buffers(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "unread");
    hear(&e);
    smux_stream *own = engine_opened(&e);
    assert_int_equal(send_pattern(own, 0, 100000), 100000);
    smux_sendbuf buffer = {.data = (const uint8_t *)"lent", .len = 4};
    assert_int_equal(smux_stream_send_borrowed(s, &buffer), 0);
    struct iovec iov[4];
    assert_true(smux_session_output(e.session, iov, 4, e.now_us) > 0);
    engine_end_anyhow(&e);
}

static void every_error_has_its_own_name_and_text_and_a_tier(void **state) {
    (void)state;
    static const struct {
        int value;
        const char *name, *text;
        enum smux_tier tier;
    } all[] = {
#define X(name, value, tier, text) {value, #name, text, SMUX_TIER_##tier},
        SMUX_ERRORS(X)
#undef X
    };
    size_t count = sizeof(all) / sizeof(all[0]);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(smux_error_name(all[i].value), all[i].name);
        assert_string_equal(smux_strerror(all[i].value), all[i].text);
        assert_int_equal(smux_error_tier(all[i].value), all[i].tier);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(smux_strerror(all[i].value), smux_strerror(all[j].value));
    }
}

static void an_unknown_error_has_a_text_too(void **state) {
    (void)state;
    static const int unknown[] = {1, -19, -1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_non_null(smux_strerror(unknown[i]));
        assert_true(strlen(smux_strerror(unknown[i])) > 0);
        assert_non_null(smux_error_name(unknown[i]));
        assert_string_not_equal(smux_strerror(unknown[i]), "no error");
    }
}

static void the_library_reports_its_version(void **state) {
    (void)state;
    assert_string_equal(smux_library_version(), SMUX_LIBRARY_VERSION);
}

static void failing_a_session_fails_every_stream_and_is_reported_once(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_CLIENT, 1);
    smux_stream *a = engine_opened(&e), *b = engine_opened(&e);
    smux_session_fail(e.session, SMUX_ERR_CARRIER);
    smux_session_fail(e.session, SMUX_ERR_CLOSED); /* the first reason stays */
    expect_failed(&e, SMUX_ERR_CARRIER);
    assert_int_equal(smux_stream_send(a, "x", 1), SMUX_ERR_CARRIER);
    assert_int_equal(smux_stream_close_write(b), SMUX_ERR_CARRIER);
    assert_int_equal(stream_info(a).error, SMUX_ERR_CARRIER);
    assert_int_equal(feed(&e, "x", 1), SMUX_ERR_CARRIER);
    smux_stream *c = NULL;
    assert_int_equal(smux_stream_open(e.session, &c), SMUX_ERR_CARRIER);
    smux_sendbuf buffer = {.data = (const uint8_t *)"x", .len = 1};
    assert_int_equal(smux_stream_send_borrowed(a, &buffer), SMUX_ERR_CARRIER);
    struct iovec iov[4];
    assert_int_equal(smux_session_output(e.session, iov, 4, e.now_us), 0);
    assert_int_equal(smux_session_deadline(e.session), SMUX_NEVER);
    smux_stream_close(a);
    smux_stream_reset(b);
    engine_end(&e);
}

static void a_session_fails_with_errors_of_sessions_only(void **state) {
    (void)state;
    const int others[] = {0, 1, -256, SMUX_ERR_NOMEM, SMUX_ERR_PEER_RESET};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        engine e;
        engine_begin(&e, SMUX_CLIENT, 1);
        smux_stream *s = engine_opened(&e);
        smux_session_fail(e.session, others[i]);
        expect_failed(&e, SMUX_ERR_CLOSED);
        assert_int_equal(stream_info(s).error, SMUX_ERR_CLOSED);
        engine_end(&e);
    }
}

static void a_failed_session_can_still_be_used_without_harm(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 2);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "unread");
    hear(&e);
    expect_data(&e, s, "unread");
    smux_session_fail(e.session, SMUX_ERR_CLOSED);
    expect_failed(&e, SMUX_ERR_CLOSED);
    smux_session_goaway(e.session);
    smux_session_ping(e.session);
    smux_session_tick(e.session, e.now_us + SECONDS(1000));
    smux_session_output_done(e.session, 0);
    smux_stream_consume(s, 6);
    assert_true(smux_stream_send_room(s) == 0 || smux_stream_send(s, "x", 1) < 0);
    stream_info(s);
    info_of(&e);
    smux_stream_close(s);
    engine_end(&e);
}

static void a_session_may_fail_while_resets_and_ends_are_still_to_be_sent(void **state) {
    (void)state;
    for (int between = 0; between < 2; between++) {
        engine e;
        engine_begin(&e, SMUX_SERVER, 1);
        smux_stream *reset = engine_accepted(&e, 3), *closed = engine_accepted(&e, 5);
        smux_stream *opened = engine_opened(&e);
        struct iovec iov[4];
        if (between)
            assert_true(smux_session_output(e.session, iov, 4, e.now_us) > 0);
        smux_stream_reset(reset); /* once this hung: what a dead stream owed was never cleared */
        smux_stream_close(closed);
        smux_stream_close(opened);
        smux_session_fail(e.session, SMUX_ERR_CARRIER);
        if (between)
            smux_session_output_done(e.session, 0);
        expect_failed(&e, SMUX_ERR_CARRIER);
        assert_int_equal(info_of(&e).streams, 0);
        engine_end(&e);
    }
}

static void data_already_fed_is_not_delivered_after_the_failure(void **state) {
    (void)state;
    engine e;
    engine_begin(&e, SMUX_SERVER, 1);
    smux_stream *s = engine_accepted(&e, 3);
    say_psh(&e, 3, "one");
    say_psh(&e, 3, "two");
    assert_int_equal(smux_session_feed(e.session, e.said.data, e.said.len, e.now_us), 0);
    smux_event event;
    assert_true(smux_session_next_event(e.session, &event));
    assert_int_equal(event.type, SMUX_EVENT_DATA);
    smux_session_fail(e.session, SMUX_ERR_CARRIER);
    /* earlier data may follow, but FAILED comes exactly once, and last */
    int failed = 0;
    while (smux_session_next_event(e.session, &event)) {
        assert_int_equal(failed, 0);
        failed += event.type == SMUX_EVENT_FAILED;
    }
    assert_int_equal(failed, 1);
    smux_stream_close(s);
    engine_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_go_library),
        cmocka_unit_test(the_defaults_of_our_own_fields_are_as_documented),
        cmocka_unit_test(the_defaults_are_valid_for_both_roles),
        cmocka_unit_test(an_invalid_value_is_reported_with_its_field_and_what_was_expected),
        cmocka_unit_test(an_invalid_configuration_creates_no_session),
        cmocka_unit_test(the_values_at_the_edge_of_each_rule_are_valid),
        cmocka_unit_test(a_timeout_below_the_interval_is_reported_for_the_timeout),
        cmocka_unit_test(a_disabled_keepalive_may_have_any_times),
        cmocka_unit_test(extreme_keepalive_times_do_not_overflow),
        cmocka_unit_test(without_a_configuration_the_defaults_apply),
        cmocka_unit_test(configuration_and_allocator_are_copied),
        cmocka_unit_test(freeing_no_session_is_fine),
        cmocka_unit_test(a_session_frees_its_streams_data_and_borrowed_buffers),
        cmocka_unit_test(every_error_has_its_own_name_and_text_and_a_tier),
        cmocka_unit_test(an_unknown_error_has_a_text_too),
        cmocka_unit_test(the_library_reports_its_version),
        cmocka_unit_test(failing_a_session_fails_every_stream_and_is_reported_once),
        cmocka_unit_test(a_session_fails_with_errors_of_sessions_only),
        cmocka_unit_test(a_failed_session_can_still_be_used_without_harm),
        cmocka_unit_test(a_session_may_fail_while_resets_and_ends_are_still_to_be_sent),
        cmocka_unit_test(data_already_fed_is_not_delivered_after_the_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
