/* SPDX-License-Identifier: MIT */
/*
 * settings.h - the routes as this process sees them.
 *
 * SMUXSHIM_ROUTES and SMUXSHIM_NAMES (exported by the launcher, environment.h) are parsed once;
 * without them the configuration file is read at the first AF_INET connect and looked at again at
 * most once a second. Good settings stay in force until the file has held equally good ones for a
 * second: a file that is missing, unreadable, broken, without routes or being written changes
 * nothing. Only the first read has no settings to keep: it waits up to a second for a file that is
 * being written. Either way the result is a value in mapped memory behind one atomic pointer:
 * readers take no lock, and a reader that is interrupted by a signal or a fork cannot hold one. Old
 * values stay mapped, because another thread may be reading them; a change of the file therefore
 * costs about 130 KiB of address space.
 */
#ifndef SHIM_PROCESS_SETTINGS_H
#define SHIM_PROCESS_SETTINGS_H

#include <stdbool.h>

#include "core/common/helper_protocol.h"
#include "core/common/name_range.h"
#include "core/common/routes.h"

struct settings {
    /* No good configuration, and SMUXSHIM_STRICT=1: every TCP connect fails with EACCES. */
    bool deny;
    char socket_path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct route_list routes;
    struct name_ranges names; /* whose addresses stand for host names, if a route has any */
};

/* The settings in force, or NULL if nothing is routed (none, broken, or SMUXSHIM_DISABLE=1). Valid
 * for the life of the process. Preserves errno. No system call when the routes are in the
 * environment; else a stat at most once a second. */
const struct settings *settings_get(void);

#endif
