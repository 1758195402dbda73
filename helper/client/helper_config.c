/* SPDX-License-Identifier: MIT */
/* helper_config.c - see helper_config.h. */
#include "helper/client/helper_config.h"

#include <stdio.h>
#include <stdlib.h>

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
