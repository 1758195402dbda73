/* SPDX-License-Identifier: MIT
 *
 * Two engines over a random lossless pipe, for thousands of seeds: see support_model.h.
 *
 *     test_engine_property            all of them
 *     test_engine_property 17         seed 17, with every property
 *     test_engine_property 1 1000000  a million seeds
 *
 * SMUX_TEST_TRACE=1 in the environment shows every frame.
 */
#include "support_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t first_seed = 1, seed_count = 4000;

static void run_seeds(const char *what, bool nomem, bool cut) {
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        snprintf(model_name, sizeof(model_name), "seed %" PRIu64 " (%s)", seed, what);
        choices c = {.seed = seed * 0x9E3779B97F4A7C15u, .steps = 20 + (int)(seed % 300)};
        model_run(&c, nomem, cut);
    }
}

static void every_byte_arrives_in_order_whatever_happens(void **state) {
    (void)state;
    run_seeds("lossless", false, false);
}

static void a_cut_carrier_leaves_nothing_behind(void **state) {
    (void)state;
    run_seeds("cut", false, true);
}

static void allocations_that_fail_lose_no_byte_of_what_was_taken(void **state) {
    (void)state;
    run_seeds("without memory", true, false);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_in_order_whatever_happens),
        cmocka_unit_test(a_cut_carrier_leaves_nothing_behind),
        cmocka_unit_test(allocations_that_fail_lose_no_byte_of_what_was_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
