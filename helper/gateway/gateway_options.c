/* SPDX-License-Identifier: MIT */
/* gateway_options.c - see gateway_options.h. */
#include "helper/gateway/gateway_options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/common/command_line.h"
#include "core/smux.h"
#include "helper/gateway/gateway_trust.h"

/* The keys of the flags have one value that a command line can give. */
static bool add_setting(void *out, const char *key, const char *value) {
    struct gateway_options *options = out;
    const int max = (int)(sizeof options->setting / sizeof *options->setting);
    if (options->setting_count == max)
        return false;
    if (!value)
        value = strcmp(key, "log-level") == 0 ? "debug" : "yes";
    options->setting[options->setting_count].key = key;
    options->setting[options->setting_count++].value = value;
    return true;
}

static const struct program_option option_table[] = {
    {"config", 'c', "FILE", "read the configuration from FILE ([listen] section)",
     offsetof(struct gateway_options, file), NULL},
    {"listen", 0, "URL", "listen at tls://ADDRESS:PORT, tcp:// or unix:///PATH as well", 0,
     "address"},
    {"allow", 0, "LIST", "destinations that may be connected to, e.g. 10.0.0.0/8:*", 0, "allow"},
    {"workers", 0, "N", "number of processes", 0, "workers"},
    {"user", 'u', "NAME", "become this user once all is open", 0, "user"},
    {"insecure", 0, NULL, "listen beyond loopback without TLS", 0, "insecure"},
    {"verbose", 'v', NULL, "log every connection", 0, "log-level"},
    {"log-format", 0, "FORMAT", "text or json", 0, "log-format"},
    {"show-pin", 0, NULL, "print the pin of this gateway's key, and exit",
     offsetof(struct gateway_options, show_pin), NULL},
    {0}};

static const struct program smux_gateway = {
    .name = "smux-gateway",
    .version = SMUX_LIBRARY_VERSION,
    .synopsis = "[-c FILE] [--listen URL]... [--allow DESTINATIONS] [--workers N] [-u NAME] "
                "[--insecure] [-v] [--log-format FORMAT] [--show-pin]",
    .options = option_table,
    .take = add_setting,
};

int gateway_options_parse(struct gateway_options *options, int argc, char **argv) {
    int status = program_options(&smux_gateway, argc, argv, options);
    if (status < 0 && optind < argc)
        return program_misused(&smux_gateway, "\"%s\": expected options only", argv[optind]);
    return status;
}

void gateway_options_unload(struct gateway_config *config) {
    if (config)
        gateway_config_fini(config);
    free(config);
}

struct gateway_config *gateway_options_read(const struct gateway_options *options,
                                            struct config_error *error) {
    struct gateway_config *config = malloc(sizeof *config);
    if (!config) {
        snprintf(error->text, sizeof error->text, "out of memory");
        return NULL;
    }
    gateway_config_init(config);
    bool good = !options->file || gateway_config_read(config, options->file, error);
    for (int i = 0; good && i < options->setting_count; i++) {
        struct config_error setting;
        good = gateway_config_set(config, options->setting[i].key, options->setting[i].value,
                                  &setting);
        if (!good)
            snprintf(error->text, sizeof error->text, "command line: %.400s", setting.text);
    }
    if (good && gateway_config_check(config, error))
        return config;
    gateway_options_unload(config);
    return NULL;
}

struct gateway_config *gateway_options_load(const struct gateway_options *options,
                                            struct config_error *error) {
    struct gateway_config *config = gateway_options_read(options, error);
    if (!config || gateway_trust_read(config, error))
        return config;
    gateway_options_unload(config);
    return NULL;
}

bool gateway_options_keep(struct gateway_options *options, const struct gateway_config *config,
                          struct config_error *error) {
    char why[200];
    static char log_file[sizeof config->log_file], access_log[sizeof config->access_log];
    snprintf(log_file, sizeof log_file, "%s", config->log_file);
    snprintf(access_log, sizeof access_log, "%s", config->access_log);
    options->files = (struct gateway_files){options->file, log_file, access_log};
    options->sandbox = config->sandbox;
    if (privileges_find(&options->privileges, config->user, config->group, why, sizeof why))
        return true;
    snprintf(error->text, sizeof error->text, "%s: %s",
             config->file[0] ? config->file : "command line", why);
    return false;
}
