/* SPDX-License-Identifier: MIT */
/*
 * hosts.h - /etc/hosts, for a process whose files are opened by a broker (file_broker.h).
 *
 * The resolver's library opens the file for each name that it looks up. Where it may not, this code
 * reads the file instead, and reads it again when it has changed: when another file is in its
 * place, or its time or size differs.
 */
#ifndef HELPER_NET_HOSTS_H
#define HELPER_NET_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "core/common/endpoint.h"

#define HOSTS_FILE "/etc/hosts"

/* Of a larger file, the rest is ignored. */
#define HOSTS_SIZE_MAX (4u << 20)

struct hosts {
    char *text; /* NULL: no file, or not read yet */
    size_t len;
    struct stat seen; /* of the file that `text` is from */
};

/* Reads the file if it has changed since the last call. A file that cannot be read counts as empty,
 * and one line in the log says so. */
void hosts_update(struct hosts *hosts, const char *path);
void hosts_fini(struct hosts *hosts);

/* The addresses of a name in the file's order, without their ports, at most `max`. Case and a final
 * dot do not matter. localhost, and every name that ends in .localhost, is loopback if the file
 * does not have the name. Returns how many there are. */
int hosts_find(const struct hosts *hosts, const char *name, struct endpoint *addresses, int max);

#define NSSWITCH_FILE "/etc/nsswitch.conf"

/* Where the machine looks host names up. */
struct hosts_order {
    bool files;       /* in /etc/hosts */
    bool servers;     /* at name servers */
    bool files_first; /* if both: in /etc/hosts first */
};

/* Reads the line "hosts:" of nsswitch.conf: its words files, and dns, resolve, resolv or bind.
 * Other words, and what to do between two of them, are ignored. Without the file, or any of these
 * words, it is files and then name servers. */
struct hosts_order hosts_order_read(const char *path);

#endif
