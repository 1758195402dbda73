/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - the parts of smuxctl.
 */
#ifndef HELPER_CTL_CTL_H
#define HELPER_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/common/config.h"
#include "helper/ctl/ctl_text.h"

/* Exit statuses of every command. */
enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

struct ctl_options {
    const char *file; /* -c, or NULL */
    bool json;
    bool fdpass;
    bool watch;       /* streams */
    bool wait;        /* drain */
    char socket[256]; /* path of the control socket */
};

/* The whole program. Returns the exit status. */
int ctl_main(int argc, char **argv);

int ctl_status(const struct ctl_options *options);
int ctl_streams(const struct ctl_options *options);
int ctl_top(const struct ctl_options *options);
int ctl_events(const struct ctl_options *options);
/* With options->wait it prints how many connections are left, until the helper has ended. */
int ctl_drain(const struct ctl_options *options);
/* The same with the old helper, once it has been replaced; prints by which process. */
int ctl_upgrade(const struct ctl_options *options);
int ctl_routes(const struct ctl_options *options, const char *destination);
int ctl_names(const struct ctl_options *options);
int ctl_check(const struct ctl_options *options);
/* Takes programs and HOST:PORTs, up to a NULL. Finds options->socket itself. */
int ctl_doctor(struct ctl_options *options, char **arguments);
int ctl_connect(const struct ctl_options *options, const char *host, const char *port);

/* Splits HOST:PORT, of which HOST may be in brackets. False if it is something else. */
bool ctl_split_destination(const char *text, char *host, size_t size, uint16_t *port);

/* Makes a key in a new file, and prints its pin. */
int ctl_genkey(const char *file);
/* Makes a secret, as a line of a file of secrets: into a new file, or NULL: to standard output. */
int ctl_genpsk(const char *identity, const char *file);

/* Copies between stdin/stdout and a connected socket, each direction until its own end of file.
 * Returns CTL_OK, or CTL_FAILED after a line on stderr if the connection failed. */
int ctl_pipe(int fd);

#endif
