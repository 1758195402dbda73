/* SPDX-License-Identifier: MIT */
/* The corpus of tests/fuzz/fuzz_daemons.c, replayed. */
#include "tests/fuzz/fuzz_daemons.c"
#include "tests/fuzz/replay.h"

static void nothing_that_a_fuzzer_ever_found_is_broken_again(void **state) {
    (void)state;
    replay_corpus("tests/fuzz/corpus/daemons");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_a_fuzzer_ever_found_is_broken_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
