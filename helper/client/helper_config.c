/* SPDX-License-Identifier: MIT */
/* helper_config.c - see helper_config.h. */
#include "helper/client/helper_config.h"
#include "helper/net/successor.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a helper needs beyond what the parser checks. */
static bool check_config(const struct config *config, struct admission *admission,
                         struct config_error *error) {
    const char *file = config->file[0] ? config->file : "configuration";
    char bad[64];
    const char *why = admission_resolve(admission, &config->helper, bad, sizeof bad);
    if (why) {
        snprintf(error->text, sizeof error->text, "%s: %s \"%s\"", file, why, bad);
        return false;
    }
    if (config->routes.n_routes > 0)
        return true;
    snprintf(error->text, sizeof error->text,
             "no routes: expected a configuration file, or SMUXSHIM_ROUTES and SMUXSHIM_GATEWAY, "
             "or -r and -g");
    return false;
}

static bool set_log_format(struct config_helper *helper, const char *format,
                           struct config_error *error) {
    struct ini_error why;
    if (!format || keys_set(config_helper_keys, helper, "log-format", format, "", &why))
        return true;
    snprintf(error->text, sizeof error->text, "command line: %.400s", why.text);
    return false;
}

struct config *helper_config_parse(const struct helper_options *options,
                                   struct admission *admission, struct config_error *error) {
    struct config *config = calloc(1, sizeof *config);
    if (!config) {
        snprintf(error->text, sizeof error->text, "out of memory");
        return NULL;
    }
    if (config_load_with(config, options->file, options->gateway, options->routes, error) &&
        set_log_format(&config->helper, options->log_format, error) &&
        check_config(config, admission, error))
        return config;
    free(config);
    return NULL;
}

struct config *helper_config_read(const struct helper_options *options, struct admission *admission,
                                  struct upstream_trust *trust, struct config_error *error) {
    struct config *config = helper_config_parse(options, admission, error);
    if (!config || upstream_trust_read(trust, config, error))
        return config;
    free(config);
    return NULL;
}

/* Makes paths absolute, because the configuration is read again later from another working
 * directory. */
static void keep_paths(struct helper_options *options) {
    static char file[2 * PATH_MAX];
    char folder[PATH_MAX];
    const char *given = options->file ? options->file : getenv("SMUXSHIM_CONFIG");
    if (!given || given[0] == '/' || !given[0] || !getcwd(folder, sizeof folder))
        return;
    snprintf(file, sizeof file, "%s/%s", folder, given);
    if (options->file)
        options->file = file;
    else
        setenv("SMUXSHIM_CONFIG", file, 1);
}

/* For a successor, which is started from another working directory. False if memory is short. */
static bool keep_command_line(const struct helper_options *options, char *program) {
    static char *arguments[10];
    const struct {
        const char *option, *value;
    } all[] = {{"-c", options->file},
               {"-g", options->gateway},
               {"-r", options->routes},
               {options->foreground ? "-f" : NULL, NULL},
               {options->verbose ? "-v" : NULL, NULL},
               {options->on_demand ? "--on-demand" : NULL, NULL}};
    int count = 0;
    arguments[count++] = program;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool has_value = i < 3;
        if (!(has_value ? all[i].value : all[i].option))
            continue;
        arguments[count++] = (char *)(uintptr_t)all[i].option;
        if (has_value)
            arguments[count++] = (char *)(uintptr_t)all[i].value;
    }
    return successor_program(arguments);
}

bool helper_options_keep(struct helper_options *options, char *program) {
    if (!options->foreground)
        keep_paths(options);
    return keep_command_line(options, program);
}
