/* SPDX-License-Identifier: MIT */
/* Numbers in the environment: what is none, or too large, is not taken for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "helper/net/number_variable.h"

#define NAME "SMUX_TEST_NUMBER"

static void numbers_up_to_the_limit_are_taken(void **state) {
    static const struct {
        const char *text;
        unsigned long long max, number;
    } cases[] = {{"0", 0, 0},
                 {"7", 7, 7},
                 {"0012", 99, 12},
                 {"2147483647", INT_MAX, INT_MAX},
                 {"18446744073709551614", ULLONG_MAX - 1, ULLONG_MAX - 1}};
    unsigned long long number;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv(NAME, cases[i].text, 1);
        assert_true(number_variable(NAME, cases[i].max, &number));
        assert_true(number == cases[i].number);
    }
}

static void everything_else_is_no_number(void **state) {
    static const char *const texts[] = {"",
                                        " 1",
                                        "1 ",
                                        "-1",
                                        "+1",
                                        "0x1",
                                        "a",
                                        "1a",
                                        "2147483648",
                                        "4294967297", /* 1 in 32 bits */
                                        "18446744073709551615",
                                        "18446744073709551617" /* 1 in 64 bits */};
    unsigned long long number;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        setenv(NAME, texts[i], 1);
        assert_false(number_variable(NAME, INT_MAX, &number));
    }
    setenv(NAME, "18446744073709551616", 1);
    assert_false(number_variable(NAME, ULLONG_MAX - 1, &number));
    unsetenv(NAME);
    assert_false(number_variable(NAME, INT_MAX, &number));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_up_to_the_limit_are_taken),
        cmocka_unit_test(everything_else_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
