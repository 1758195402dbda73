/* SPDX-License-Identifier: MIT */
/*
 * helper_config.h - the helper's configuration: what the command line says, and what the file that
 * it names says, with what only a helper has to check.
 */
#ifndef HELPER_CLIENT_HELPER_CONFIG_H
#define HELPER_CLIENT_HELPER_CONFIG_H

#include "core/common/config.h"
#include "helper/client/admission.h"
#include "helper/client/upstream_trust.h"

/* The command line. NULL: not given. */
struct helper_options {
    const char *file, *gateway, *routes, *log_format;
    bool foreground, verbose, on_demand;
};

/* Reads it all but for the files with secrets, so that nothing is logged yet. To be freed; NULL
 * with one line in `error`. */
struct config *helper_config_parse(const struct helper_options *options,
                                   struct admission *admission, struct config_error *error);

/* The same with the secrets, which are in *trust then. */
struct config *helper_config_read(const struct helper_options *options, struct admission *admission,
                                  struct upstream_trust *trust, struct config_error *error);

/* Keeps the command line for a successor, and makes its paths absolute where the process will leave
 * its working directory. False if memory is short. */
bool helper_options_keep(struct helper_options *options, char *program);

#endif
