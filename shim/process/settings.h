/* SPDX-License-Identifier: MIT */
/*
 * settings.h - the routes as this process sees them.
 *
 * SMUXSHIM_ROUTES and SMUXSHIM_NAMES (exported by the launcher, environment.h) are parsed once;
 * without them the configuration file is read at the first AF_INET connect and looked at again at
 * most once a second. Good settings stay in force until the file has held other good ones for a
 * second: a file that is missing, unreadable, invalid, without routes or still being written
 * changes nothing. The first read has no settings to keep, so it waits up to a second for a file
 * that is being written. The settings are a value behind one atomic pointer. Readers take no lock,
 * so a reader that a signal or a fork interrupts cannot hold one. Old values stay mapped, because
 * another thread may be reading them; a change of the file therefore costs about 130 KiB of address
 * space.
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
    struct name_ranges
        names; /* addresses that stand for host names, if any route matches by host name */
};

/* The settings in force, or NULL if nothing is routed (no configuration, an invalid one, or
 * SMUXSHIM_DISABLE=1). Valid for the life of the process. Preserves errno. No system call when the
 * routes are in the environment; otherwise a look at the file at most once a second. */
const struct settings *settings_get(void);

#endif
