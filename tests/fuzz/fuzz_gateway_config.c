/* SPDX-License-Identifier: MIT
 *
 * gateway.conf: every text either parses or gives one line that names the file.
 */
#include "fuzz_check.h"
#include "helper/gateway/gateway_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct gateway_config config;
    struct config_error error;
    char *text = fuzz_copy(data, size, 1);
    gateway_config_init(&config);
    if (!gateway_config_parse(&config, "gateway.conf", text, size, &error)) {
        fuzz_check_message(error.text, sizeof(error.text));
        MUST(strncmp(error.text, "gateway.conf", 12) == 0);
    } else if (!gateway_config_check(&config, &error)) {
        fuzz_check_message(error.text, sizeof(error.text));
    }
    gateway_config_fini(&config);
    free(text);
    return 0;
}
