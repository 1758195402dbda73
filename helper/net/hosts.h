/* SPDX-License-Identifier: MIT */
/*
 * hosts.h - /etc/hosts, for a process whose files are opened by a broker (file_broker.h).
 *
 * The resolver's library opens the file for each name that it looks up. Where it may not, this
 * reads it instead, and again when it has changed: another file in its place, another time or size.
 */
#ifndef HELPER_NET_HOSTS_H
#define HELPER_NET_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "core/common/endpoint.h"

#define HOSTS_FILE "/etc/hosts"

/* A larger file counts up to here. */
#define HOSTS_SIZE_MAX (4u << 20)

struct hosts {
    char *text; /* NULL: no file, or not read yet */
    size_t len;
    struct stat seen; /* of the file that `text` is from */
};

/* Reads the file if it has changed since. One that cannot be read is as if it were empty, and one
 * line in the log. */
void hosts_update(struct hosts *hosts, const char *path);
void hosts_fini(struct hosts *hosts);

/* The addresses of a name in the file's order, without their ports, at most `max`. Upper and lower
 * case are the same; a last dot does not count; localhost, and what ends in .localhost, is loopback
 * if the file has no such name. Returns how many. */
int hosts_find(const struct hosts *hosts, const char *name, struct endpoint *addresses, int max);

#endif
