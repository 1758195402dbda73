/* SPDX-License-Identifier: MIT */
#include "core/smux.h"

static const struct {
    int value;
    enum smux_tier tier;
    const char *name, *text;
} errors[] = {
#define X(name, value, tier, text) {value, SMUX_TIER_##tier, #name, text},
    SMUX_ERRORS(X)
#undef X
};

static size_t find(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].value == error)
            return i;
    return SIZE_MAX;
}

const char *smux_strerror(int error) {
    size_t i = find(error);
    return i == SIZE_MAX ? "unknown error" : errors[i].text;
}

const char *smux_error_name(int error) {
    size_t i = find(error);
    return i == SIZE_MAX ? "SMUX_ERR_UNKNOWN" : errors[i].name;
}

enum smux_tier smux_error_tier(int error) {
    size_t i = find(error);
    return i == SIZE_MAX ? SMUX_TIER_NONE : errors[i].tier;
}

const char *smux_library_version(void) {
    return SMUX_LIBRARY_VERSION;
}
