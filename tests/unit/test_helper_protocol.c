/* SPDX-License-Identifier: MIT */
/* The control protocol: requests that must be refused, and outcome names. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/helper_protocol.h"

static struct helper_request request(void) {
    return (struct helper_request){.magic = HELPER_PROTOCOL_MAGIC,
                                   .version = HELPER_PROTOCOL_VERSION,
                                   .size = sizeof(struct helper_request),
                                   .kind = HELPER_REQUEST_CONNECT,
                                   .family = AF_INET,
                                   .dest = {.family = AF_INET, .port = 80}};
}

static void good_requests_pass(void **state) {
    struct helper_request req = request();
    (void)state;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_OK);
    req.name_len = 255;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_OK);
    req.kind = HELPER_REQUEST_ADDRESS;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_OK);
    req.kind = HELPER_NOTICE_LINGER;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_OK);
    req.kind = HELPER_REQUEST_NAME;
    req.name_len = 0;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_OK);
}

static void every_short_request_is_refused(void **state) {
    struct helper_request req = request();
    (void)state;
    for (size_t len = 0; len < sizeof req; len++) {
        /* A copy of exactly that length, so that a sanitizer detects a read beyond it. */
        void *copy = malloc(len + 1);
        memcpy(copy, &req, len);
        assert_int_equal(helper_request_check(copy, len), HELPER_REQUEST_SHORT);
        free(copy);
    }
}

static void invalid_requests_are_distinguished(void **state) {
    struct helper_request req = request();
    (void)state;
    req.magic++;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_NOT_OURS);
    req = request();
    req.version++;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_VERSION);
    assert_int_equal(helper_request_check(&req, 8), HELPER_REQUEST_VERSION);
    req = request();
    req.size += 8;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_VERSION);
    req = request();
    req.kind = 99;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_KIND);
    req = request();
    req.dest.family = AF_INET6;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_FAMILY);
    req = request();
    req.flags = HELPER_LOCAL_BOUND;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_FAMILY);
    req = request();
    req.name_len = 256;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_NAME_LENGTH);
    req = request();
    req.kind = HELPER_REQUEST_ADDRESS;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_NAME_MISPLACED);
    req.kind = HELPER_REQUEST_NAME;
    req.name_len = 1;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_NAME_MISPLACED);
    req.dest.family = req.family = AF_UNIX;
    assert_int_equal(helper_request_check(&req, sizeof req), HELPER_REQUEST_FAMILY);
    for (int i = 0; i <= HELPER_REQUEST_NAME_MISPLACED; i++)
        assert_true(strlen(helper_request_problem_text((enum helper_request_problem)i)) > 4);
}

static struct endpoint endpoint(int family, const char *text, uint16_t port) {
    struct endpoint ep = {.family = (uint16_t)family, .port = port};
    assert_int_equal(inet_pton(family, text, ep.addr), 1);
    return ep;
}

static void check_round_trip(const struct helper_outcome *outcome) {
    struct sockaddr_un name;
    struct helper_outcome back;
    socklen_t len = helper_outcome_pack(outcome, &name);
    assert_in_range(len, 1, sizeof name);
    assert_int_equal(name.sun_path[0], 0);
    assert_true(helper_outcome_unpack(&back, &name, len));
    assert_int_equal(back.id, outcome->id);
    assert_int_equal(back.err, outcome->err);
    assert_memory_equal(&back.local, &outcome->local, sizeof back.local);
    assert_memory_equal(&back.dest, &outcome->dest, sizeof back.dest);
    /* No prefix of a name is a valid name, and no change of its text yields the same outcome. */
    for (socklen_t cut = 0; cut < len; cut++)
        if (helper_outcome_unpack(&back, &name, cut))
            assert_int_not_equal(memcmp(&back, outcome, sizeof back), 0);
}

static void outcomes_round_trip(void **state) {
    struct helper_outcome outcome = {.id = 0x0123456789abcdef,
                                     .dest = endpoint(AF_INET, "10.1.2.3", 65535),
                                     .local = endpoint(AF_INET, "192.0.2.1", 1)};
    (void)state;
    check_round_trip(&outcome);
    outcome.err = 111;
    check_round_trip(&outcome);
    outcome.dest = endpoint(AF_INET6, "2001:db8::ffff", 443);
    outcome.local = endpoint(AF_INET6, "::1", 65535);
    check_round_trip(&outcome);
    outcome.err = 0;
    check_round_trip(&outcome);
    outcome.dest.scope_id = 4000000000;
    check_round_trip(&outcome);
}

static void local_addresses_take_the_family_of_the_socket(void **state) {
    struct helper_outcome back, outcome = {.dest = endpoint(AF_INET6, "::ffff:10.0.0.1", 80),
                                           .local = endpoint(AF_INET, "10.0.0.9", 5)};
    struct endpoint want = endpoint(AF_INET6, "::ffff:10.0.0.9", 5);
    struct sockaddr_un name;
    (void)state;
    assert_true(helper_outcome_unpack(&back, &name, helper_outcome_pack(&outcome, &name)));
    assert_memory_equal(&back.local, &want, sizeof want);
    outcome.dest = endpoint(AF_INET, "10.0.0.1", 80);
    outcome.local = endpoint(AF_INET6, "2001:db8::1", 7);
    want = endpoint(AF_INET, "0.0.0.0", 7);
    assert_true(helper_outcome_unpack(&back, &name, helper_outcome_pack(&outcome, &name)));
    assert_memory_equal(&back.local, &want, sizeof want);
}

static void a_bound_address_or_port_wins(void **state) {
    struct helper_request req = request();
    struct endpoint seen = endpoint(AF_INET, "10.0.0.9", 4000), local;
    (void)state;
    local = helper_request_local(&req, &seen);
    assert_memory_equal(&local, &seen, sizeof seen);
    req.flags = HELPER_LOCAL_BOUND;
    req.local = endpoint(AF_INET, "0.0.0.0", 77);
    local = helper_request_local(&req, &seen);
    assert_int_equal(local.port, 77);
    assert_memory_equal(local.addr, seen.addr, 4);
    req.local = endpoint(AF_INET, "10.0.0.1", 0);
    local = helper_request_local(&req, &seen);
    assert_int_equal(local.port, 4000);
    assert_memory_equal(local.addr, req.local.addr, 4);
    req.family = AF_INET6;
    req.local = endpoint(AF_INET6, "::", 9);
    local = helper_request_local(&req, &seen);
    assert_int_equal(local.family, AF_INET6);
    assert_int_equal(local.port, 9);
    assert_true(endpoint_is_v4_mapped(&local));
}

static void other_names_are_no_outcomes(void **state) {
    static const char *const foreign[] = {"",
                                          "smuxshim/",
                                          "smuxshim/0123456789abcdef",
                                          "smuxshim/0123456789abcdefc0a01020300",
                                          "other/0123456789abcdef",
                                          "smuxshim/0123456789abcdeXc0a0102030050c0a801010001"};
    struct helper_outcome outcome;
    (void)state;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        strcpy(name.sun_path + 1, foreign[i]);
        assert_false(helper_outcome_unpack(&outcome, &name, (socklen_t)(3 + strlen(foreign[i]))));
    }
}

static void helpers_are_known_by_their_names(void **state) {
    struct sockaddr_un name;
    socklen_t len;
    (void)state;
    len = helper_path_name(&name, "/run/smuxshim/smuxshim-helper.sock");
    assert_true(len > 0 && helper_name_is_valid(&name, len));
    len = helper_abstract_name(&name, "/run/smuxshim/smuxshim-helper.sock");
    assert_true(len > 0 && helper_name_is_valid(&name, len));
    assert_int_equal(helper_path_name(&name, "/run/other.sock"), 0);
    assert_int_equal(helper_path_name(&name, "/run/xsmuxshim-helper.sock"), 0);
    name = (struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = "/run/mysql.sock"};
    assert_false(helper_name_is_valid(&name, sizeof name));
    assert_false(helper_name_is_valid(&name, sizeof(sa_family_t)));
    name.sun_family = AF_INET;
    assert_false(helper_name_is_valid(&name, 16));
}

struct packed_answer {
    struct helper_name_answer head;
    char name[HELPER_HOST_NAME_MAX + 1];
};

static bool accepts(const struct packed_answer *packed, size_t len) {
    struct helper_name_answer answer;
    char name[HELPER_HOST_NAME_MAX + 1];
    void *copy = malloc(len + 1);
    memcpy(copy, packed, len);
    bool good = helper_name_answer_check(copy, len, &answer, name);
    free(copy);
    return good;
}

static void answers_about_names_are_whole_or_none(void **state) {
    struct packed_answer packed = {{.magic = HELPER_PROTOCOL_MAGIC,
                                    .version = HELPER_PROTOCOL_VERSION,
                                    .name_len = 11,
                                    .address = endpoint(AF_INET, "198.18.0.1", 0)},
                                   "db.internal"};
    size_t len = sizeof packed.head + 11;
    (void)state;
    assert_true(accepts(&packed, len));
    for (size_t i = 0; i < len; i++)
        assert_false(accepts(&packed, i));
    assert_false(accepts(&packed, len + 1));
    struct packed_answer bad = packed;
    bad.head.magic++;
    assert_false(accepts(&bad, len));
    bad = packed;
    bad.head.version++;
    assert_false(accepts(&bad, len));
    bad = packed;
    bad.head.name_len = 60000;
    assert_false(accepts(&bad, len));
    bad = packed;
    bad.head.address.family = AF_UNIX;
    assert_false(accepts(&bad, len));
    bad = packed;
    bad.name[3] = 0x1b;
    assert_false(accepts(&bad, len));
    bad = packed;
    bad.head.name_len = 0;
    assert_false(accepts(&bad, sizeof bad.head));
    bad.head.err = 2;
    assert_true(accepts(&bad, sizeof bad.head));
    bad.head.err = -2;
    assert_false(accepts(&bad, sizeof bad.head));
}

static void host_names(void **state) {
    (void)state;
    assert_true(helper_host_name_valid("a-b_c.Example.9", 15));
    assert_false(helper_host_name_valid("", 0));
    assert_false(helper_host_name_valid("a b", 3));
    assert_false(helper_host_name_valid("a\0b", 3));
    assert_false(helper_host_name_valid("a/b", 3));
}

static void the_descriptor_of_a_request(void **state) {
    static const struct {
        uint32_t told;
        int fd;
    } cases[] = {{0, -1},        {1, 0},          {8, 7}, {INT32_MAX, INT32_MAX - 1},
                 {1u << 31, -1}, {UINT32_MAX, -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct helper_request req = {.fd = cases[i].told};
        assert_int_equal(helper_request_fd(&req), cases[i].fd);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_descriptor_of_a_request),
        cmocka_unit_test(good_requests_pass),
        cmocka_unit_test(every_short_request_is_refused),
        cmocka_unit_test(invalid_requests_are_distinguished),
        cmocka_unit_test(outcomes_round_trip),
        cmocka_unit_test(local_addresses_take_the_family_of_the_socket),
        cmocka_unit_test(a_bound_address_or_port_wins),
        cmocka_unit_test(other_names_are_no_outcomes),
        cmocka_unit_test(helpers_are_known_by_their_names),
        cmocka_unit_test(answers_about_names_are_whole_or_none),
        cmocka_unit_test(host_names),
    };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
