/* SPDX-License-Identifier: MIT
 *
 * The text form of routes: a mistake is reported in one line; what parses can be written and parsed
 * again with the same result, and matches the same destinations.
 */
#include "core/common/routes.h"
#include "fuzz_check.h"

#include <sys/socket.h>

static void check_match(const struct route_list *a, const struct route_list *b, const uint8_t *data,
                        size_t size) {
    struct endpoint dest = {.family = size % 2 ? AF_INET : AF_INET6};
    memcpy((uint8_t *)&dest + sizeof(dest.family), data,
           size < sizeof(dest) - sizeof(dest.family) ? size : sizeof(dest) - sizeof(dest.family));
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(size < 60 ? size : 60), (const char *)data);
    const struct route_rule *ra = route_list_match_rule(a, &dest, name);
    const struct route_rule *rb = route_list_match_rule(b, &dest, name);
    MUST((ra ? ra - a->rule : -1) == (rb ? rb - b->rule : -1));
    MUST(route_list_watches_name(a, name) == route_list_watches_name(b, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct route_list list, again, only;
    static char text[1 << 17], twice[1 << 17];
    struct route_error error;
    char *copy = fuzz_copy(data, size, 1);
    if (!route_list_parse_destinations(&only, copy, &error))
        fuzz_check_message(error.text, sizeof(error.text));
    bool good = route_list_parse(&list, copy, &error);
    free(copy);
    if (!good) {
        fuzz_check_message(error.text, sizeof(error.text));
        return 0;
    }
    size_t len = route_list_format(&list, text, sizeof(text));
    MUST(len < sizeof(text) && len == strlen(text));
    char small[8];
    MUST(route_list_format(&list, small, sizeof(small)) == len);
    if (!route_list_parse(&again, text, &error)) {
        fprintf(stderr, "\"%s\": %s\n", text, error.text);
        abort();
    }
    MUST(route_list_format(&again, twice, sizeof(twice)) == len && strcmp(text, twice) == 0);
    check_match(&list, &again, data, size);
    return 0;
}
