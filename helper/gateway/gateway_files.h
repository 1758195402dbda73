/* SPDX-License-Identifier: MIT */
/* gateway_files.h - the files that a gateway reads or writes after its start, which a broker opens
 * for it (helper/net/file_broker.h). */
#ifndef HELPER_GATEWAY_GATEWAY_FILES_H
#define HELPER_GATEWAY_GATEWAY_FILES_H

#include "helper/gateway/gateway_config.h"
#include "helper/net/file_broker.h"

struct gateway_files {
    const char *config;     /* NULL: none */
    const char *log;        /* path, "stderr" or "syslog" */
    const char *access_log; /* the same, or empty: none */
};

/* The broker's rule, `files` being a struct gateway_files: for reading the configuration, the files
 * that its keys of type path name now, /etc/hosts and /etc/passwd; for appending the log files. */
bool gateway_files_may(void *files, const char *path, enum file_use use);

#endif
