/* SPDX-License-Identifier: MIT
 *
 * A script drives two engines over an in-memory pipe: tests/unit/support_model.h with the
 * fuzzer's bytes as choices.  The first byte says whether memory may fail and whether the carrier
 * is cut at the end.
 */
#include "fuzz_check.h"
#include "tests/unit/support_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    choices c = {.data = data + 1, .len = size - 1, .steps = 2000};
    snprintf(model_name, sizeof(model_name), "script");
    model_run(&c, data[0] & 1, data[0] & 2);
    return 0;
}
