/* SPDX-License-Identifier: MIT */
/* The corpus of tests/fuzz/fuzz_tls.c, replayed. */
#include "tests/fuzz/fuzz_tls.c"
#include "tests/fuzz/replay.h"

static void what_strangers_and_liars_have_sent_passes(void **state) {
    (void)state;
    replay_corpus("tests/fuzz/corpus/tls");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_strangers_and_liars_have_sent_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
