/* SPDX-License-Identifier: MIT
 *
 * The corpus of tests/fuzz/fuzz_kcp.c, replayed.
 */
#include "tests/fuzz/fuzz_kcp.c"
#include "tests/fuzz/replay.h"

static void the_inputs_that_fuzzers_found_pass(void **state) {
    (void)state;
    replay_corpus("tests/fuzz/corpus/kcp");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_inputs_that_fuzzers_found_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
