/* SPDX-License-Identifier: MIT */
/* helper_files.h - the files that a helper reads or writes after its start, for Landlock. */
#ifndef HELPER_CLIENT_HELPER_FILES_H
#define HELPER_CLIENT_HELPER_FILES_H

#include "core/common/config.h"
#include "helper/net/landlock.h"

struct helper_files {
    struct landlock_rule *rules; /* with paths of their own */
    size_t count;
};

/* Writes to the folder of its socket, and to that of the log file; reads the folders of the
 * configuration and of the files that its gateways name, /proc, and what libraries read to look up
 * names and users. Folders, because files are replaced, and with all below them, because Landlock
 * has nothing else. What memory is short for is left out. */
void helper_files_init(struct helper_files *files, const struct config *config,
                       const char *socket_path);
void helper_files_fini(struct helper_files *files);

#endif
