/* SPDX-License-Identifier: MIT
 *
 * smuxshim.conf and addresses: every text either parses or gives one line that names the file.
 */
#include "core/common/config.h"
#include "fuzz_check.h"

static void check_address(const char *text) {
    struct config_address address, again;
    const char *why = NULL;
    char url[1024];
    if (!config_address_parse(&address, text, &why)) {
        fuzz_check_message(why, SIZE_MAX / 2);
        return;
    }
    MUST(config_address_text(&address, url, sizeof(url)) == url);
    if (!config_address_parse(&again, url, &why)) {
        fprintf(stderr, "\"%s\": %s\n", url, why);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct config config;
    struct config_error error;
    char *text = fuzz_copy(data, size, 0);
    config_init(&config);
    if (!config_parse(&config, "fuzz.conf", text, size, &error)) {
        fuzz_check_message(error.text, sizeof(error.text));
        MUST(strncmp(error.text, "fuzz.conf", 9) == 0);
    } else {
        MUST(config_check_gateways(&config, &error));
    }
    free(text);
    text = fuzz_copy(data, size, 1);
    check_address(text);
    free(text);
    return 0;
}
