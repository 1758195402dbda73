/* SPDX-License-Identifier: MIT */
/*
 * gateway_options.h - smux-gateway's command line, and the configuration that it and the file make.
 */
#ifndef HELPER_GATEWAY_GATEWAY_OPTIONS_H
#define HELPER_GATEWAY_GATEWAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/gateway/gateway_config.h"
#include "helper/gateway/gateway_files.h"
#include "helper/net/privileges.h"

/* What the command line says, kept for reloading. */
struct gateway_options {
    const char *file;
    int setting_count;
    struct {
        const char *key, *value;
    } setting[32];
    /* Of the start, for workers that are started later as well. */
    struct privileges privileges;
    struct gateway_files files;
    uint8_t sandbox; /* enum config_sandbox */
    bool show_pin;
};

/* Reads it into zeroed options, which refer to it. Returns -1 to go on, or the exit status. */
int gateway_options_parse(struct gateway_options *options, int argc, char **argv);

/* The configuration, checked, without what its files of secrets hold. It is to be unloaded. NULL
 * and one line in `error`. */
struct gateway_config *gateway_options_read(const struct gateway_options *options,
                                            struct config_error *error);
/* The same with keys and secrets. */
struct gateway_config *gateway_options_load(const struct gateway_options *options,
                                            struct config_error *error);
/* NULL is fine. */
void gateway_options_unload(struct gateway_config *config);

/* Keeps what all workers are started with, whatever later configurations say. False and one line in
 * `error`. */
bool gateway_options_keep(struct gateway_options *options, const struct gateway_config *config,
                          struct config_error *error);

#endif
